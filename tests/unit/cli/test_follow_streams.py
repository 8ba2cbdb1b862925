"""`follow-streams` exports what its follower does, as `metrics` says."""

import pytest

from botocache import Cache
from botocache._cli.follow_streams import _export, _Following
from botocache._observe import exports
from botocache._observe.readings import Readings
from botocache._settings.load import Settings
from tests.support import followers


class Exports:
    """Stands in for the exports of a process, of which there is one for good."""

    def __init__(self) -> None:
        self.readings = Readings()
        self.calls = 0

    def on_call(self) -> None:
        self.calls += 1


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[object, Exports]:
    """The exports that a command makes, by what they are of."""
    found: dict[object, Exports] = {}

    def exports_for(names: tuple[str, ...], interval: float) -> Exports:
        return found.setdefault((names, interval), Exports())

    monkeypatch.setattr(exports, "exports_for", exports_for)
    return found


def test_the_follower_of_the_command_is_exported(made: dict[object, Exports]) -> None:
    table = followers.FollowedTable()
    follower = table.follower()
    cache = Cache(table.store, Settings(metrics=("otel",), stats_interval=5.0))
    tick = _export(cache, table.store)
    cache.follower = _Following(follower)
    table.run(follower, seconds=5)
    (found,) = made.values()
    tick()
    assert found.calls == 1
    totals = found.readings.read()
    requests = totals["botocache.streams.requests", (table.stream.table,)]
    assert isinstance(requests, float)
    assert requests > 0
    assert ("botocache.streams.lag", (table.stream.table,)) in totals
    cache.close()
    assert [*made] == [(("otel",), 5.0)]


def test_without_the_setting_nothing_is_exported(made: dict[object, Exports]) -> None:
    table = followers.FollowedTable()
    cache = Cache(table.store, Settings())
    _export(cache, table.store)()
    assert not made
    cache.close()
