"""In shadow mode a real follower evicts, and the counts say whether it was in time."""

from collections import Counter

import pytest

from botocache import Cache
from botocache._cache.tickets import Hit
from botocache._coherence import TRUST
from botocache._settings.load import Settings
from botocache._streams.follower import Follower
from tests.support.calls import call_of
from tests.support.clock import FakeClock
from tests.support.followers import REGION, FollowedTable, item

ORIGIN = f"{REGION} https://dynamodb.{REGION}.amazonaws.com"


class World:
    """A service in shadow mode, and another program that changes the same table."""

    def __init__(self) -> None:
        self.table = FollowedTable()
        self.cache = Cache(self.table.store, Settings(shadow=True))
        self.items = {name: item(name, city="Rome") for name in ("7", "8")}
        self.follower = self.table.follower()
        self.run(self.follower, seconds=10)
        for name in self.items:
            self.get(name)

    def get(self, name: str) -> None:
        """Read an item; DynamoDB answers, in any case."""
        asked = {"TableName": self.table.stream.table, "Key": {"id": {"S": name}}}
        outcome = self.cache.begin(call_of("GetItem", origin=ORIGIN), asked)
        assert outcome is not None
        assert not isinstance(outcome, Hit)
        answer = {"Item": self.items[name]}
        self.cache.finish(outcome, answer, succeeded=True, certain=True)

    def change(self, name: str) -> None:
        """Change an item around the cache."""
        self.items[name] = item(name, city="Oslo")
        self.table.stream.put(self.items[name])

    def run(self, *followers: Follower, seconds: float) -> None:
        if followers:
            self.table.run(*followers, seconds=seconds)
            return
        assert isinstance(self.table.clock, FakeClock)
        self.table.clock.advance(seconds)

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the differences by their kinds, and what became of them."""
        differing: Counter[str] = Counter()
        follow_ups: Counter[str] = Counter()
        for each in self.cache.stats().tables:
            differing.update(each.differing)
            follow_ups.update(each.follow_ups)
        return dict(differing), dict(follow_ups)


@pytest.mark.parametrize(
    ("goes_on", "outcome"), [(True, "evicted"), (False, "not_evicted")]
)
def test_a_change_is_caught_in_time_only_while_the_follower_goes_on(
    goes_on: bool,
    outcome: str,
) -> None:
    world = World()
    world.change("7")
    world.get("7")
    world.run(*[world.follower] * goes_on, seconds=TRUST + 1)
    world.get("8")  # the call that looks again
    assert world.counts() == ({"followed": 1}, {outcome: 1})
    world.cache.close()


def test_without_changes_there_is_no_difference() -> None:
    world = World()
    for _ in range(30):
        world.run(world.follower, seconds=1)
        world.get("7")
    assert world.counts() == ({}, {})
    world.cache.close()
