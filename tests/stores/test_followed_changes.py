"""Evictions of changes that others made: they settle, and shorten no hold-off.

Such an eviction is the second half of a write whose first half is not known: see
`eviction_of`. A store knows nothing of that. So this holds for each of them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from botocache._coherence import Eviction, EvictionRequest, Held
from botocache._streams.changes import NEVER_LEFT, eviction_of
from botocache.stores.protocol import Store
from tests.support.clock import FakeClock
from tests.support.digests import key, tag, tags
from tests.support.stores import opened_store

WINDOW, SETTLE, MOMENT = 5.0, 1.0, 0.125
"""Seconds, that binary fractions and Redis can hold."""

KEY = key("an entry")
A, B = tag("a"), tag("b")


@pytest.fixture(params=["memory", "keyed", "disk", "redis", "cluster"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Iterator[Store]:
    with opened_store(request.param, request) as made:
        yield made


def held(store: Store, *asked: bytes) -> Held:
    return store.load(KEY, asked).held


def follow(store: Store, settle: float = SETTLE) -> Eviction:
    """Evict a change that another program made."""
    return store.evict(eviction_of([A], settle))


def begin(store: Store, window: float = WINDOW) -> Eviction:
    """Evict as a write of ours begins."""
    return store.evict(EvictionRequest([A], window))


def end(store: Store, first: Eviction) -> Eviction:
    """Evict as a write of ours ends."""
    return store.evict(EvictionRequest([A], SETTLE, first_eviction=first))


@pytest.mark.parametrize("before", ["never", "long ago", "in a write", "by a change"])
def test_a_change_gives_its_tags_new_generations(
    store: Store, clock: FakeClock, before: str
) -> None:
    if before == "by a change":
        follow(store)
    elif before != "never":
        begin(store)
        clock.advance(0 if before == "in a write" else 2 * WINDOW)
    found = store.load(KEY, [A, B]).snapshot
    done = follow(store)
    after = store.load(KEY, [A, B]).snapshot
    assert after[0] not in (found[0], NEVER_LEFT)
    assert after[0] == done.evicted[A].generation
    assert after[1] == found[1]


def test_a_change_holds_its_tag_for_settle_and_lets_consistent_reads_be_filled(
    store: Store, clock: FakeClock
) -> None:
    assert held(store, A) is Held.FREE
    follow(store)
    assert held(store, A) is Held.SETTLING
    assert held(store, B) is Held.FREE
    clock.advance(SETTLE - MOMENT)
    assert held(store, A) is Held.SETTLING
    clock.advance(MOMENT)
    assert held(store, A) is Held.FREE


def test_a_tag_that_only_changes_have_evicted_settles_each_time(
    store: Store, clock: FakeClock
) -> None:
    for _ in range(3):
        follow(store)
        assert held(store, A) is Held.SETTLING
        clock.advance(SETTLE / 2)
        follow(store)
        clock.advance(SETTLE - MOMENT)
        assert held(store, A) is Held.SETTLING
        clock.advance(MOMENT)
        assert held(store, A) is Held.FREE


def test_a_change_during_a_write_neither_shortens_its_hold_off_nor_settles(
    store: Store, clock: FakeClock
) -> None:
    begin(store)
    clock.advance(MOMENT)
    follow(store)
    clock.advance(WINDOW - 2 * MOMENT)
    assert held(store, A) is Held.WRITING
    clock.advance(MOMENT)
    assert held(store, A) is Held.FREE


def test_a_change_late_in_a_write_lengthens_its_hold_off_and_does_not_settle(
    store: Store, clock: FakeClock
) -> None:
    begin(store)
    clock.advance(WINDOW - MOMENT)
    follow(store)
    clock.advance(SETTLE - MOMENT)
    assert held(store, A) is Held.WRITING
    clock.advance(MOMENT)
    assert held(store, A) is Held.FREE


def test_a_change_does_not_shorten_a_settling_hold_off(
    store: Store, clock: FakeClock
) -> None:
    follow(store, WINDOW)
    follow(store, MOMENT)
    clock.advance(WINDOW - MOMENT)
    assert held(store, A) is Held.SETTLING


def test_a_change_is_never_alone_and_neither_is_a_write_that_it_came_into(
    store: Store,
) -> None:
    assert not follow(store).evicted[A].was_alone
    first = begin(store)
    assert not follow(store).evicted[A].was_alone
    second = end(store, first)
    assert not second.evicted[A].was_alone
    # So this write does not end the hold-off of its begin, which is no longer its own.
    assert held(store, A) is Held.WRITING


def test_a_write_after_a_change_is_alone_and_finds_that_it_settles(
    store: Store,
) -> None:
    change = follow(store)
    first = begin(store)
    assert first.evicted[A].is_settling
    assert first.evicted[A].previous_generation == change.evicted[A].generation
    assert end(store, first).evicted[A].was_alone
    assert held(store, A) is Held.SETTLING


def test_many_tags_are_evicted_by_one_request(store: Store) -> None:
    many = tags(500)
    found = store.load(KEY, many).snapshot
    store.evict(eviction_of(many, SETTLE))
    after = store.load(KEY, many)
    assert {*after.snapshot}.isdisjoint(found)
    assert after.held is Held.SETTLING
