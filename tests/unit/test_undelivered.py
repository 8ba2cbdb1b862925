"""Evictions that failed are kept, and tried again, until they were delivered."""

from collections.abc import Collection, Sequence

import pytest

from botocache import _forks
from botocache._coherence import Eviction
from botocache._errors import StoreError
from botocache._keys import EVERYTHING, tag_digest
from botocache._undelivered import MOST, RETRY_INTERVAL, Undelivered
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore

HOLD_OFF = 5.0
EVERYTHING_ = tag_digest(EVERYTHING)
A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


@pytest.fixture
def store(clock: FakeClock) -> FailingStore:
    return FailingStore(MemoryStore(clock=clock))


@pytest.fixture
def undelivered(store: FailingStore) -> Undelivered:
    return Undelivered(store, HOLD_OFF)


def _generations(store: FailingStore, *tags: bytes) -> tuple[int, ...]:
    return store.store.load(b"", tags).snapshot


def _tags(count: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(count)]


# --- what waits --------------------------------------------------------------------


def test_nothing_waits_at_first(undelivered: Undelivered) -> None:
    assert not undelivered
    assert not undelivered.concerns((A, B))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ((A,), True),
        ((B,), True),
        ((C, B), True),
        ((C,), False),
        ((), False),
        ((EVERYTHING_,), False),
    ],
)
def test_what_waits_concerns_whoever_depends_on_it(
    undelivered: Undelivered,
    tags: tuple[bytes, ...],
    expected: bool,
) -> None:
    undelivered.add((A, B))
    assert undelivered.concerns(tags) is expected


def test_a_tag_waits_once_however_often_it_is_added(undelivered: Undelivered) -> None:
    undelivered.add((A, A))
    undelivered.add((A, B))
    assert len(undelivered) == 2


def test_nothing_that_is_added_makes_nothing_wait(undelivered: Undelivered) -> None:
    undelivered.add(())
    assert not undelivered


# --- delivery ----------------------------------------------------------------------


def test_what_waits_is_evicted_and_waits_no_more(
    undelivered: Undelivered, store: FailingStore
) -> None:
    before = _generations(store, A, B, C)
    undelivered.add((A, B))
    undelivered.deliver()
    after = _generations(store, A, B, C)
    assert [was != now for was, now in zip(before, after, strict=True)] == [
        True,
        True,
        False,
    ]
    assert not undelivered


def test_what_is_delivered_is_held_for_a_write_window(
    undelivered: Undelivered, store: FailingStore, clock: FakeClock
) -> None:
    undelivered.add((A,))
    undelivered.deliver()
    clock.advance(HOLD_OFF - 0.1)
    assert store.load(b"", (A,)).held
    clock.advance(0.2)
    assert not store.load(b"", (A,)).held


def test_what_cannot_be_delivered_goes_on_waiting(
    undelivered: Undelivered, store: FailingStore
) -> None:
    store.failing.add("evict")
    undelivered.add((A,))
    with pytest.raises(StoreError):
        undelivered.deliver()
    assert undelivered.concerns((A,))


def test_a_store_whose_clock_fails_delivers_nothing_and_loses_nothing(
    undelivered: Undelivered, store: FailingStore
) -> None:
    store.failing.add("now")
    undelivered.add((A,))
    with pytest.raises(StoreError):
        undelivered.deliver()
    assert undelivered.concerns((A,))


def test_a_store_that_fails_is_not_tried_again_at_once(
    undelivered: Undelivered, store: FailingStore, clock: FakeClock
) -> None:
    store.failing.add("evict")
    undelivered.add((A,))
    with pytest.raises(StoreError):
        undelivered.deliver()
    clock.advance(RETRY_INTERVAL / 2)
    undelivered.deliver()
    assert store.asked["evict"] == 1
    assert undelivered.concerns((A,))


def test_a_store_that_recovered_is_tried_again_after_a_while(
    undelivered: Undelivered, store: FailingStore, clock: FakeClock
) -> None:
    store.failing.add("evict")
    undelivered.add((A,))
    with pytest.raises(StoreError):
        undelivered.deliver()
    store.failing.clear()
    clock.advance(RETRY_INTERVAL)
    undelivered.deliver()
    assert store.asked["evict"] == 2
    assert not undelivered


def test_where_nothing_waits_the_store_is_not_asked_to_evict(
    undelivered: Undelivered, store: FailingStore
) -> None:
    undelivered.deliver()
    assert store.asked["evict"] == 0


class _AddsMeanwhile(FailingStore):
    """A store in which a write fails while what waits is being delivered."""

    undelivered: Undelivered
    meanwhile: tuple[bytes, ...] = ()

    def evict(
        self,
        tags: Sequence[bytes],
        hold_off: float,
        *,
        watch: Sequence[bytes] = (),
        since: Eviction | None = None,
        spare: Collection[bytes] = (),
    ) -> Eviction:
        eviction = super().evict(tags, hold_off, watch=watch, since=since, spare=spare)
        self.undelivered.add(self.meanwhile)
        return eviction


@pytest.mark.parametrize(
    ("meanwhile", "waiting"),
    [
        ((A,), [A]),
        ((C,), [C]),
        ((A, C), [A, C]),
        (tuple(_tags(MOST + 1)), [EVERYTHING_]),
    ],
    ids=["the same", "another", "both", "too many"],
)
def test_what_is_added_during_a_delivery_must_be_delivered_again(
    meanwhile: tuple[bytes, ...], waiting: list[bytes], clock: FakeClock
) -> None:
    store = _AddsMeanwhile(MemoryStore(clock=clock))
    store.undelivered = undelivered = Undelivered(store, HOLD_OFF)
    store.meanwhile = meanwhile
    undelivered.add((A, B))
    undelivered.deliver()
    candidates = (A, B, C, EVERYTHING_)
    assert [tag for tag in candidates if undelivered.concerns((tag,))] == waiting
    store.meanwhile = ()
    clock.advance(RETRY_INTERVAL)
    undelivered.deliver()
    assert not undelivered


# --- bounds ------------------------------------------------------------------------


def test_as_many_tags_as_may_wait_wait_each_for_itself(
    undelivered: Undelivered,
) -> None:
    undelivered.add(_tags(MOST))
    assert len(undelivered) == MOST
    assert not undelivered.concerns((EVERYTHING_,))


@pytest.mark.parametrize("added", [(MOST + 1, 0), (MOST, 1), (1, MOST)])
def test_more_tags_than_may_wait_are_everything(
    undelivered: Undelivered, added: tuple[int, int]
) -> None:
    first, second = added
    tags = _tags(first + second)
    undelivered.add(tags[:first])
    undelivered.add(tags[first:])
    assert len(undelivered) == 1
    assert undelivered.concerns((EVERYTHING_,))


def test_once_everything_waits_more_may_wait_beside_it(
    undelivered: Undelivered, store: FailingStore
) -> None:
    before = _generations(store, EVERYTHING_, A)
    undelivered.add(_tags(MOST + 1))
    undelivered.add((A,))
    undelivered.deliver()
    after = _generations(store, EVERYTHING_, A)
    assert all(was != now for was, now in zip(before, after, strict=True))
    assert not undelivered


def test_a_lock_that_was_held_at_a_fork_is_free_in_the_child(
    undelivered: Undelivered,
) -> None:
    undelivered.add((A,))
    undelivered._lock.acquire()
    _forks._after_fork()
    assert not undelivered._lock.locked()
    assert undelivered.concerns((A,))
