"""`stats` shows the followed tables: how far behind they are, and who follows them."""

import json
from dataclasses import replace

import pytest
from rich.console import Console as RichConsole

from botocache._cli.console import Console
from botocache._cli.live_view import draw
from botocache._cli.rates_view import Watch, watch_in_blocks
from botocache._cli.stats_view import StoreContent, View, show
from botocache._streams.followed import FollowedTable
from botocache.stores.protocol import Usage
from tests.support.followed import STORE_NOW, followed
from tests.support.posted import overview_of, record


def view_of(*looks: tuple[FollowedTable, ...], table: str | None = None) -> View:
    """Return a view of the followed tables that each look sees; then the last again."""
    waiting = [replace(overview_of(record()), followed=each) for each in looks]

    def read() -> StoreContent:
        overview = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return StoreContent(overview, Usage(1, 2))

    return View(read, "redis://cache", 10.0, table, shows_keys=False)


def shown(capsys: pytest.CaptureFixture[str], view: View) -> str:
    show(view, Console())
    return capsys.readouterr().out


ALL = """
Followed tables (evicted: tags, for changes by any program)
  table   state         behind  led by    shards  records  evicted  gaps
  orders  not followed  2 min   -              2    1,200    2,400     0
  users   followed      1.5 s   web-1:42       2    1,200    2,400     1
  Of a table that is not followed, entries live for ttl_unfollowed, if it is set.
"""


def test_each_followed_table_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    gone = followed("orders", lag=130.0, has_leader=False)
    assert ALL in shown(capsys, view_of((gone, followed(gaps=1))))


def test_without_a_ledger_there_is_no_section(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "Followed" not in shown(capsys, view_of(()))


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (followed(), "followed"),
        (followed(has_heartbeat=False), "no heartbeat"),
        (followed(lag=20.0), "late"),
        (followed(lag=20.0, has_leader=False), "not followed"),
    ],
)
def test_the_state_says_whether_readers_trust(
    capsys: pytest.CaptureFixture[str], made: FollowedTable, state: str
) -> None:
    (line,) = [
        line
        for line in shown(capsys, view_of((made,))).splitlines()
        if line.startswith("  users ") and " 1,200 " in line
    ]
    assert line.split("  ")[2].strip() == state or f" {state} " in line


def test_of_one_table_only_its_own_line_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = shown(capsys, view_of((followed("orders"), followed()), table="orders"))
    section = text.partition("Followed tables")[2].partition("\n\n")[0]
    assert "orders" in section
    assert "users" not in section


def test_the_document_has_each_shard(capsys: pytest.CaptureFixture[str]) -> None:
    show(view_of((followed(),)), Console(is_json=True))
    (table,) = json.loads(capsys.readouterr().out)["followed"]
    assert (table["table"], table["region"]) == ("users", "eu-west-1")
    assert (table["followed"], table["heartbeat"], table["lag"]) == (True, True, 1.5)
    assert (table["requests"], table["counted_for"]) == (3600, 3600.0)
    # The one that was seen long ago is gone.
    assert [each["host"] for each in table["followers"]] == ["web-1"]
    assert table["followers"][0]["leads"] == 2
    assert [(each["shard"], each["lag"]) for each in table["shards"]] == [
        ("shard-1", 0.5),
        ("shard-2", 1.5),
    ]


LATER = followed(records=1300, at=STORE_NOW + 20)


def test_the_rates_are_of_the_time_between_two_looks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = [None]

    def wait(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()

    watched = Watch(view_of((followed(),), (LATER,)))
    with pytest.raises(KeyboardInterrupt):
        watch_in_blocks(watched, Console(), 20.0, wait)
    assert capsys.readouterr().out.endswith(
        "  followed table  state     behind  records/s  evicted/s\n"
        "  users           followed   1.5 s          5         10\n"
    )


def test_a_ledger_that_began_anew_has_no_negative_rate() -> None:
    watched = Watch(view_of((followed(records=9000),), (LATER,)))
    watched.look()
    (rates,) = watched.followed
    assert (rates.records, rates.evicted) == (0.0, 0.0)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (50, 24), (132, 43)])
def test_the_live_view_has_them_and_still_fits(width: int, height: int) -> None:
    watched = Watch(view_of((followed("orders"), followed()), (LATER,)))
    console = RichConsole(width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(draw(watched, "", console))
    lines = captured.get().splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    at = next(i for i, line in enumerate(lines) if line.startswith("followed tables"))
    assert lines[at + 1].split()[:4] == ["orders", "followed", "1.5", "s"]
