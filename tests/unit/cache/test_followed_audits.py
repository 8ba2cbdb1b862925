"""Shadow mode and audits of a followed table: are stale entries evicted in time."""

from collections import Counter

import pytest

from botocache._cache import audits as audits_module
from botocache._cache.audits import MOST_EXPECTED
from botocache._coherence import TRUST, EvictionRequest
from botocache._dynamodb.tags import item_tag, tag_digest
from botocache._settings.load import Settings
from tests.support.calls import ORIGIN
from tests.support.clock import FakeClock
from tests.unit.cache.test_audits import ALWAYS, GET, SHADOW, World, item, key, query_by

REGION = ORIGIN.partition(" ")[0]


def world_of(clock: FakeClock, settings: Settings = SHADOW) -> World:
    """Return a world with a cached item that another program then changes."""
    world = World(clock, settings)
    world.warm()
    world.database.put(item(2))
    return world


def follow(world: World, until: float | None = None) -> None:
    """Post a heartbeat, as a follower does. until: now, if it is not given."""
    now = world.clock()
    heartbeats = world.cache.services.heartbeats
    heartbeats.post(REGION, "t", now if until is None else until)


def evict(world: World) -> None:
    """Evict the item, as a follower does."""
    tag = tag_digest(item_tag("t", key()))
    world.store.evict(EvictionRequest([tag], 0.0))


def follow_ups(world: World) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for table in world.stats.tables:
        counts.update(table.follow_ups)
    return dict(counts)


OTHER = query_by("pk", "other")
"""A read whose hit is always equal."""


def look_again(world: World) -> None:
    """Make a call that compares another read, so that what is due is looked at."""
    world.call(OTHER)
    world.call(OTHER)


def test_a_difference_while_followed_counts_apart(clock: FakeClock) -> None:
    world = world_of(clock)
    follow(world)
    world.call(GET)
    clock.advance(TRUST - 1)  # `settle` is long over
    world.call(GET)
    assert world.compared() == (2, {"followed": 2})


def test_an_entry_that_a_follower_evicts_counts_as_evicted(clock: FakeClock) -> None:
    world = world_of(clock)
    follow(world)
    world.call(GET)
    clock.advance(2.0)
    evict(world)
    world.call(GET)  # a miss, which fills the entry anew
    clock.advance(2.0)
    world.call(GET)  # and an equal hit
    assert follow_ups(world) == {}
    clock.advance(TRUST)
    look_again(world)
    look_again(world)
    assert follow_ups(world) == {"evicted": 1}
    assert "lasting" not in world.compared()[1]


def test_an_entry_that_stays_counts_as_not_evicted(clock: FakeClock) -> None:
    world = world_of(clock)
    follow(world)
    world.call(GET)
    clock.advance(TRUST + 0.1)
    look_again(world)
    assert follow_ups(world) == {"not_evicted": 1}
    look_again(world)
    assert follow_ups(world) == {"not_evicted": 1}


@pytest.mark.parametrize("settings", [SHADOW, ALWAYS])
def test_a_difference_that_outlasts_the_trust_is_lasting_and_counts_once(
    clock: FakeClock, settings: Settings
) -> None:
    world = world_of(clock, settings)
    follow(world)
    world.call(GET)
    clock.advance(TRUST + 0.1)
    world.call(GET)
    clock.advance(1.0)
    look_again(world)
    assert world.compared()[1]["lasting"] == 1
    assert follow_ups(world) == {"not_evicted": 1}


@pytest.mark.parametrize("until", [None, -TRUST])
def test_without_a_fresh_heartbeat_nothing_is_expected(
    clock: FakeClock, until: float | None
) -> None:
    world = world_of(clock)
    if until is not None:
        follow(world, clock() + until)
    world.call(GET)
    assert world.compared() == (1, {"unconfirmed": 1})
    clock.advance(TRUST + 1)
    world.call(GET)
    assert world.compared()[1] == {"unconfirmed": 1, "lasting": 1}
    assert follow_ups(world) == {}


def test_an_entry_that_is_equal_again_was_right(clock: FakeClock) -> None:
    world = world_of(clock)
    follow(world)
    world.call(GET)
    world.database.put(item(1))  # as if a replica had answered that lags
    world.call(GET)
    clock.advance(TRUST + 0.1)
    look_again(world)
    assert follow_ups(world) == {}


def test_a_call_that_comes_much_later_counts_no_eviction(clock: FakeClock) -> None:
    world = world_of(clock)
    follow(world)
    world.call(GET)
    clock.advance(2 * TRUST)
    evict(world)
    look_again(world)
    assert follow_ups(world) == {}


def test_a_store_that_fails_then_counts_nothing(clock: FakeClock) -> None:
    world = world_of(clock)
    follow(world)
    world.call(GET)
    clock.advance(TRUST + 0.1)
    world.call(OTHER)
    outcome = world.begin(OTHER)
    world.store.failing = {"load"}
    world.finish(OTHER, outcome)
    world.store.failing = set()
    look_again(world)
    assert follow_ups(world) == {}


def test_what_is_expected_has_a_bound(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_EXPECTED == 1000
    monkeypatch.setattr(audits_module, "MOST_EXPECTED", 1)
    world = world_of(clock)
    query = query_by("pk", "a")
    world.call(query)  # filled with what the item is now
    world.database.put(item(3))
    follow(world)
    world.call(GET)
    world.call(query)
    assert world.compared()[1] == {"followed": 2}
    clock.advance(TRUST + 0.1)
    for _ in range(3):
        look_again(world)
    assert follow_ups(world) == {"not_evicted": 1}
