"""Evictions that failed stay pending, and are retried until they are delivered."""

from collections.abc import Iterator
from typing import Any

import pytest

from botocache._cache.pending_evictions import (
    MOST_TAGS,
    RETRY_INTERVAL,
    TAGS_PER_EVICTION,
    PendingEvictions,
)
from botocache._coherence import Eviction, EvictionRequest
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreError, StoreLostError
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore
from tests.support.processes import TIMEOUT, eventually, forked, in_threads
from tests.support.threads import no_thread

HOLD_OFF = 5.0
NEVER = 1e6
"""Seconds; no test waits so long."""

EVERYTHING_ = tag_digest(EVERYTHING)
A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


@pytest.fixture
def store(clock: FakeClock) -> FailingStore:
    return FailingStore(MemoryStore(clock=clock))


@pytest.fixture
def reported() -> list[Exception]:
    """The errors that the thread has reported."""
    return []


@pytest.fixture
def pending(store: FailingStore, reported: list[Exception]) -> PendingEvictions:
    """A process in which no thread can be started: only calls deliver."""
    return PendingEvictions(store, HOLD_OFF, reported.append, start=no_thread)


def _generations(store: FailingStore, *tags: bytes) -> tuple[int, ...]:
    return store.store.load(b"", tags).snapshot


def _tags(count: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(count)]


# --- what is pending ---------------------------------------------------------------


def test_nothing_is_pending_at_first(pending: PendingEvictions) -> None:
    assert not pending
    assert not pending.includes((A, B))


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
def test_includes_finds_a_pending_tag_among_others(
    pending: PendingEvictions,
    tags: tuple[bytes, ...],
    expected: bool,
) -> None:
    pending.add((A, B))
    assert pending.includes(tags) is expected


def test_a_tag_is_pending_once_however_often_it_is_added(
    pending: PendingEvictions,
) -> None:
    pending.add((A, A))
    pending.add((A, B))
    assert len(pending) == 2


def test_adding_no_tags_makes_nothing_pending(
    pending: PendingEvictions,
) -> None:
    pending.add(())
    assert not pending


# --- delivery ----------------------------------------------------------------------


def test_a_delivered_tag_is_evicted_and_no_longer_pending(
    pending: PendingEvictions, store: FailingStore
) -> None:
    before = _generations(store, A, B, C)
    pending.add((A, B))
    pending.deliver()
    after = _generations(store, A, B, C)
    assert [was != now for was, now in zip(before, after, strict=True)] == [
        True,
        True,
        False,
    ]
    assert not pending


def test_a_delivered_tag_is_held_for_the_whole_write_hold_off(
    pending: PendingEvictions, store: FailingStore, clock: FakeClock
) -> None:
    pending.add((A,))
    pending.deliver()
    clock.advance(HOLD_OFF - 0.1)
    assert store.load(b"", (A,)).held
    clock.advance(0.2)
    assert not store.load(b"", (A,)).held


def test_a_tag_that_cannot_be_delivered_stays_pending(
    pending: PendingEvictions, store: FailingStore
) -> None:
    store.failing.add("evict")
    pending.add((A,))
    with pytest.raises(StoreError):
        pending.deliver()
    assert pending.includes((A,))


def test_a_store_whose_clock_fails_delivers_nothing_and_loses_nothing(
    pending: PendingEvictions, store: FailingStore
) -> None:
    store.failing.add("now")
    pending.add((A,))
    with pytest.raises(StoreError):
        pending.deliver()
    assert pending.includes((A,))


def test_a_failing_store_is_not_retried_at_once(
    pending: PendingEvictions, store: FailingStore, clock: FakeClock
) -> None:
    store.failing.add("evict")
    pending.add((A,))
    with pytest.raises(StoreError):
        pending.deliver()
    clock.advance(RETRY_INTERVAL / 2)
    pending.deliver()
    assert store.asked["evict"] == 1
    assert pending.includes((A,))


def test_a_store_is_retried_after_the_interval(
    pending: PendingEvictions, store: FailingStore, clock: FakeClock
) -> None:
    store.failing.add("evict")
    pending.add((A,))
    with pytest.raises(StoreError):
        pending.deliver()
    store.failing.clear()
    clock.advance(RETRY_INTERVAL)
    pending.deliver()
    assert store.asked["evict"] == 2
    assert not pending


def test_without_pending_tags_the_store_evicts_nothing(
    pending: PendingEvictions, store: FailingStore
) -> None:
    pending.deliver()
    assert store.asked["evict"] == 0


class _AddsMeanwhile(FailingStore):
    """A store in which a write fails during the delivery of pending tags."""

    pending: PendingEvictions
    meanwhile: tuple[bytes, ...] = ()

    def evict(self, request: EvictionRequest) -> Eviction:
        eviction = super().evict(request)
        self.pending.add(self.meanwhile)
        return eviction


@pytest.mark.parametrize(
    ("meanwhile", "waiting"),
    [
        ((A,), [A]),
        ((C,), [C]),
        ((A, C), [A, C]),
        (tuple(_tags(MOST_TAGS + 1)), [EVERYTHING_]),
    ],
    ids=["the same", "another", "both", "too many"],
)
def test_a_tag_that_is_added_during_its_delivery_stays_pending(
    meanwhile: tuple[bytes, ...], waiting: list[bytes], clock: FakeClock
) -> None:
    store = _AddsMeanwhile(MemoryStore(clock=clock))
    store.pending = pending = PendingEvictions(store, HOLD_OFF, print, start=no_thread)
    store.meanwhile = meanwhile
    pending.add((A, B))
    pending.deliver()
    candidates = (A, B, C, EVERYTHING_)
    assert [tag for tag in candidates if pending.includes((tag,))] == waiting
    store.meanwhile = ()
    clock.advance(RETRY_INTERVAL)
    pending.deliver()
    assert not pending


def test_at_once_retries_within_the_interval(
    pending: PendingEvictions, store: FailingStore
) -> None:
    pending.deliver()
    pending.add((A,))
    pending.deliver()
    assert pending.includes((A,))
    pending.deliver(at_once=True)
    assert not pending


def test_an_attempt_raises_nothing_and_returns_whether_anything_is_pending(
    pending: PendingEvictions, store: FailingStore, reported: list[Exception]
) -> None:
    assert pending.attempt() is False
    pending.add((A,))
    store.failing.add("evict")
    assert pending.attempt() is True
    store.failing = {"now"}
    assert pending.attempt() is True
    store.failing.clear()
    assert pending.attempt() is False
    assert [type(error) for error in reported] == [StoreError, StoreError]


# --- piece by piece ----------------------------------------------------------------


class _CountingStore(FailingStore):
    """Records the sizes of evictions, and fails from the n-th on."""

    def __init__(self, clock: FakeClock, works: int = MOST_TAGS) -> None:
        super().__init__(MemoryStore(clock=clock))
        self.pieces: list[int] = []
        self.works = works

    def evict(self, request: EvictionRequest) -> Eviction:
        self.pieces.append(len(request.tags))
        if len(self.pieces) > self.works:
            raise StoreError("enough")
        return super().evict(request)


@pytest.mark.parametrize(
    ("count", "pieces"),
    [
        (1, [1]),
        (TAGS_PER_EVICTION, [TAGS_PER_EVICTION]),
        (TAGS_PER_EVICTION + 1, [TAGS_PER_EVICTION, 1]),
        (2 * TAGS_PER_EVICTION + 200, [TAGS_PER_EVICTION, TAGS_PER_EVICTION, 200]),
    ],
)
def test_many_tags_are_delivered_in_pieces(
    count: int, pieces: list[int], clock: FakeClock
) -> None:
    store = _CountingStore(clock)
    pending = PendingEvictions(store, HOLD_OFF, print, start=no_thread)
    before = _generations(store, *_tags(count))
    pending.add(_tags(count))
    pending.deliver()
    assert store.pieces == pieces
    after = _generations(store, *_tags(count))
    assert all(was != now for was, now in zip(before, after, strict=True))
    assert not pending


def test_a_delivered_piece_is_not_pending_after_a_later_one_failed(
    clock: FakeClock,
) -> None:
    store = _CountingStore(clock, works=1)
    pending = PendingEvictions(store, HOLD_OFF, print, start=no_thread)
    tags = _tags(3 * TAGS_PER_EVICTION)
    pending.add(tags)
    with pytest.raises(StoreError):
        pending.deliver()
    assert store.pieces == [TAGS_PER_EVICTION, TAGS_PER_EVICTION]
    assert not pending.includes(tags[:TAGS_PER_EVICTION])
    assert all(pending.includes((tag,)) for tag in tags[TAGS_PER_EVICTION:])


# --- in the thread -----------------------------------------------------------------


def _by_itself(
    store: FailingStore, reported: list[Exception], interval: float
) -> Iterator[PendingEvictions]:
    made = PendingEvictions(store, HOLD_OFF, reported.append, interval=interval)
    yield made
    made.stop()
    assert not made._worker.is_at_work


@pytest.fixture
def patient(
    store: FailingStore, reported: list[Exception]
) -> Iterator[PendingEvictions]:
    """Its thread retries only after `wake`."""
    yield from _by_itself(store, reported, NEVER)


@pytest.fixture
def eager(store: FailingStore, reported: list[Exception]) -> Iterator[PendingEvictions]:
    """Its thread retries at once."""
    yield from _by_itself(store, reported, 0.001)


def _has_no_thread(pending: PendingEvictions) -> bool:
    return not pending._worker.is_at_work


def test_a_tag_is_delivered_without_any_call(
    patient: PendingEvictions, store: FailingStore
) -> None:
    before = _generations(store, A, B)
    patient.add((A, B))
    eventually(lambda: not patient and _has_no_thread(patient))
    after = _generations(store, A, B)
    assert all(was != now for was, now in zip(before, after, strict=True))


def test_adding_no_tags_starts_no_thread(patient: PendingEvictions) -> None:
    patient.add(())
    assert _has_no_thread(patient)


def test_a_failing_store_is_retried_until_it_works(
    eager: PendingEvictions, store: FailingStore, reported: list[Exception]
) -> None:
    store.failing.add("evict")
    eager.add((A,))
    eventually(lambda: store.asked["evict"] >= 3)
    assert eager.includes((A,))
    store.failing.clear()
    eventually(lambda: not eager and _has_no_thread(eager))
    assert {type(error) for error in reported} == {StoreError}


def test_a_clock_that_stands_still_does_not_make_the_thread_spin(
    patient: PendingEvictions, store: FailingStore
) -> None:
    store.failing.add("evict")
    patient.add((A,))
    eventually(lambda: store.asked["evict"] == 1)
    thread = patient._worker._thread
    assert thread is not None
    thread.join(0.05)  # it would have asked thousands of times
    assert store.asked["evict"] == 1


def test_a_tag_that_is_added_while_the_thread_waits_is_tried_at_once(
    patient: PendingEvictions, store: FailingStore
) -> None:
    store.failing.add("evict")
    patient.add((A,))
    eventually(lambda: store.asked["evict"] == 1)
    store.failing.clear()
    patient.add((B,))
    eventually(lambda: not patient)


def test_a_read_does_not_retry_at_once_after_the_thread_did(
    patient: PendingEvictions, store: FailingStore, clock: FakeClock
) -> None:
    store.failing.add("evict")
    patient.add((A,))
    eventually(lambda: store.asked["evict"] == 1)
    patient.deliver()
    assert store.asked["evict"] == 1
    clock.advance(RETRY_INTERVAL)
    with pytest.raises(StoreError):
        patient.deliver()


def test_lost_generations_are_reported_and_do_not_make_the_thread_spin(
    store: FailingStore,
) -> None:
    class Losing(FailingStore):
        def _before(self, verb: str) -> None:
            super()._before(verb)
            if verb == "evict":
                raise StoreLostError("lost, again and again")

    def report(_error: Exception) -> None:
        ours.add((EVERYTHING_,))

    losing = Losing(store.store)
    ours = PendingEvictions(losing, HOLD_OFF, report, interval=NEVER)
    ours.add((A,))
    eventually(lambda: ours.includes((EVERYTHING_,)))
    thread = ours._worker._thread
    assert thread is not None
    thread.join(0.05)
    assert losing.asked["evict"] == 1
    ours.stop()


def test_threads_that_add_while_the_store_comes_and_goes_leave_nothing_behind(
    eager: PendingEvictions, store: FailingStore
) -> None:
    tags = _tags(400)
    before = _generations(store, *tags)

    def add(first: int) -> None:
        for at in range(first, len(tags), 4):
            if at % 7 == 0:
                store.failing ^= {"evict"}
            eager.add((tags[at],))

    in_threads([lambda first=first: add(first) for first in range(4)])  # type: ignore[misc]  # a default
    store.failing.clear()
    eventually(lambda: not eager and _has_no_thread(eager))
    after = _generations(store, *tags)
    assert all(was != now for was, now in zip(before, after, strict=True))


def test_a_stopped_thread_leaves_the_tags_pending_and_a_call_starts_it_again(
    patient: PendingEvictions, store: FailingStore, clock: FakeClock
) -> None:
    store.failing.add("evict")
    patient.add((A,))
    thread = patient._worker._thread
    assert thread is not None
    eventually(lambda: store.asked["evict"] == 1)
    patient.stop()
    assert not thread.is_alive()
    assert patient.includes((A,))
    clock.advance(RETRY_INTERVAL)
    with pytest.raises(StoreError):
        patient.deliver()
    store.failing.clear()
    patient.add((B,))
    eventually(lambda: not patient and _has_no_thread(patient))


def test_a_child_delivers_the_pending_tags_of_its_parent(
    eager: PendingEvictions, store: FailingStore
) -> None:
    before = _generations(store, A)
    store.failing.add("evict")
    eager.add((A,))
    eventually(lambda: bool(store.asked["evict"]))
    of_the_parent = eager._worker._thread

    def child(pipe: Any) -> None:
        own = eager._worker._thread
        pipe.send(own is not None and own is not of_the_parent)
        store.failing.clear()
        eventually(lambda: not eager and _has_no_thread(eager))

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is True
    assert _generations(store, A) != before
    assert eager.includes((A,))  # the parent does not see the child's deliveries


def test_a_child_without_pending_tags_starts_no_thread(
    patient: PendingEvictions, store: FailingStore
) -> None:
    patient.add((A,))
    eventually(lambda: not patient and _has_no_thread(patient))

    def child(pipe: Any) -> None:
        pipe.send(_has_no_thread(patient))
        patient.add((A,))
        eventually(lambda: not patient)

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is True


# --- bounds ------------------------------------------------------------------------


def test_up_to_the_limit_each_tag_is_pending_by_itself(
    pending: PendingEvictions,
) -> None:
    pending.add(_tags(MOST_TAGS))
    assert len(pending) == MOST_TAGS
    assert not pending.includes((EVERYTHING_,))


@pytest.mark.parametrize("added", [(MOST_TAGS + 1, 0), (MOST_TAGS, 1), (1, MOST_TAGS)])
def test_beyond_the_limit_everything_is_pending_instead(
    pending: PendingEvictions, added: tuple[int, int]
) -> None:
    first, second = added
    tags = _tags(first + second)
    pending.add(tags[:first])
    pending.add(tags[first:])
    assert len(pending) == 1
    assert pending.includes((EVERYTHING_,))


def test_further_tags_are_pending_beside_everything(
    pending: PendingEvictions, store: FailingStore
) -> None:
    before = _generations(store, EVERYTHING_, A)
    pending.add(_tags(MOST_TAGS + 1))
    pending.add((A,))
    pending.deliver()
    after = _generations(store, EVERYTHING_, A)
    assert all(was != now for was, now in zip(before, after, strict=True))
    assert not pending


def test_a_lock_that_was_held_at_a_fork_is_free_in_the_child(
    pending: PendingEvictions,
) -> None:
    pending.add((A,))

    def child(pipe: Any) -> None:
        pending.add((B,))
        pipe.send(pending.includes((A,)) and pending.includes((B,)))

    with pending._lock, forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is True
