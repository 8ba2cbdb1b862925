"""Evictions that failed are kept, and tried again, until they were delivered."""

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
"""Seconds that no test waits."""

EVERYTHING_ = tag_digest(EVERYTHING)
A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


@pytest.fixture
def store(clock: FakeClock) -> FailingStore:
    return FailingStore(MemoryStore(clock=clock))


@pytest.fixture
def reported() -> list[Exception]:
    """What the thread could not do."""
    return []


@pytest.fixture
def undelivered(store: FailingStore, reported: list[Exception]) -> PendingEvictions:
    """Where no thread can be started: calls deliver, or nobody."""
    return PendingEvictions(store, HOLD_OFF, reported.append, start=no_thread)


def _generations(store: FailingStore, *tags: bytes) -> tuple[int, ...]:
    return store.store.load(b"", tags).snapshot


def _tags(count: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(count)]


# --- what waits --------------------------------------------------------------------


def test_nothing_waits_at_first(undelivered: PendingEvictions) -> None:
    assert not undelivered
    assert not undelivered.includes((A, B))


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
    undelivered: PendingEvictions,
    tags: tuple[bytes, ...],
    expected: bool,
) -> None:
    undelivered.add((A, B))
    assert undelivered.includes(tags) is expected


def test_a_tag_waits_once_however_often_it_is_added(
    undelivered: PendingEvictions,
) -> None:
    undelivered.add((A, A))
    undelivered.add((A, B))
    assert len(undelivered) == 2


def test_nothing_that_is_added_makes_nothing_wait(
    undelivered: PendingEvictions,
) -> None:
    undelivered.add(())
    assert not undelivered


# --- delivery ----------------------------------------------------------------------


def test_what_waits_is_evicted_and_waits_no_more(
    undelivered: PendingEvictions, store: FailingStore
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
    undelivered: PendingEvictions, store: FailingStore, clock: FakeClock
) -> None:
    undelivered.add((A,))
    undelivered.deliver()
    clock.advance(HOLD_OFF - 0.1)
    assert store.load(b"", (A,)).held
    clock.advance(0.2)
    assert not store.load(b"", (A,)).held


def test_what_cannot_be_delivered_goes_on_waiting(
    undelivered: PendingEvictions, store: FailingStore
) -> None:
    store.failing.add("evict")
    undelivered.add((A,))
    with pytest.raises(StoreError):
        undelivered.deliver()
    assert undelivered.includes((A,))


def test_a_store_whose_clock_fails_delivers_nothing_and_loses_nothing(
    undelivered: PendingEvictions, store: FailingStore
) -> None:
    store.failing.add("now")
    undelivered.add((A,))
    with pytest.raises(StoreError):
        undelivered.deliver()
    assert undelivered.includes((A,))


def test_a_store_that_fails_is_not_tried_again_at_once(
    undelivered: PendingEvictions, store: FailingStore, clock: FakeClock
) -> None:
    store.failing.add("evict")
    undelivered.add((A,))
    with pytest.raises(StoreError):
        undelivered.deliver()
    clock.advance(RETRY_INTERVAL / 2)
    undelivered.deliver()
    assert store.asked["evict"] == 1
    assert undelivered.includes((A,))


def test_a_store_that_recovered_is_tried_again_after_a_while(
    undelivered: PendingEvictions, store: FailingStore, clock: FakeClock
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
    undelivered: PendingEvictions, store: FailingStore
) -> None:
    undelivered.deliver()
    assert store.asked["evict"] == 0


class _AddsMeanwhile(FailingStore):
    """A store in which a write fails while what waits is being delivered."""

    undelivered: PendingEvictions
    meanwhile: tuple[bytes, ...] = ()

    def evict(self, request: EvictionRequest) -> Eviction:
        eviction = super().evict(request)
        self.undelivered.add(self.meanwhile)
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
def test_what_is_added_during_a_delivery_must_be_delivered_again(
    meanwhile: tuple[bytes, ...], waiting: list[bytes], clock: FakeClock
) -> None:
    store = _AddsMeanwhile(MemoryStore(clock=clock))
    store.undelivered = undelivered = PendingEvictions(
        store, HOLD_OFF, print, start=no_thread
    )
    store.meanwhile = meanwhile
    undelivered.add((A, B))
    undelivered.deliver()
    candidates = (A, B, C, EVERYTHING_)
    assert [tag for tag in candidates if undelivered.includes((tag,))] == waiting
    store.meanwhile = ()
    clock.advance(RETRY_INTERVAL)
    undelivered.deliver()
    assert not undelivered


def test_who_must_deliver_at_once_does_so_though_it_was_just_tried(
    undelivered: PendingEvictions, store: FailingStore
) -> None:
    undelivered.deliver()
    undelivered.add((A,))
    undelivered.deliver()
    assert undelivered.includes((A,))
    undelivered.deliver(at_once=True)
    assert not undelivered


def test_an_attempt_raises_nothing_and_tells_whether_anything_waits(
    undelivered: PendingEvictions, store: FailingStore, reported: list[Exception]
) -> None:
    assert undelivered.attempt() is False
    undelivered.add((A,))
    store.failing.add("evict")
    assert undelivered.attempt() is True
    store.failing = {"now"}
    assert undelivered.attempt() is True
    store.failing.clear()
    assert undelivered.attempt() is False
    assert [type(error) for error in reported] == [StoreError, StoreError]


# --- piece by piece ----------------------------------------------------------------


class _CountingStore(FailingStore):
    """Notes how many tags it was to evict, and fails from the n-th time on."""

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
    undelivered = PendingEvictions(store, HOLD_OFF, print, start=no_thread)
    before = _generations(store, *_tags(count))
    undelivered.add(_tags(count))
    undelivered.deliver()
    assert store.pieces == pieces
    after = _generations(store, *_tags(count))
    assert all(was != now for was, now in zip(before, after, strict=True))
    assert not undelivered


def test_what_was_delivered_waits_no_more_though_a_later_piece_failed(
    clock: FakeClock,
) -> None:
    store = _CountingStore(clock, works=1)
    undelivered = PendingEvictions(store, HOLD_OFF, print, start=no_thread)
    tags = _tags(3 * TAGS_PER_EVICTION)
    undelivered.add(tags)
    with pytest.raises(StoreError):
        undelivered.deliver()
    assert store.pieces == [TAGS_PER_EVICTION, TAGS_PER_EVICTION]
    assert not undelivered.includes(tags[:TAGS_PER_EVICTION])
    assert all(undelivered.includes((tag,)) for tag in tags[TAGS_PER_EVICTION:])


# --- by itself ---------------------------------------------------------------------


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
    """Its thread tries only when it is woken."""
    yield from _by_itself(store, reported, NEVER)


@pytest.fixture
def eager(store: FailingStore, reported: list[Exception]) -> Iterator[PendingEvictions]:
    """Its thread tries again at once."""
    yield from _by_itself(store, reported, 0.001)


def _has_no_thread(undelivered: PendingEvictions) -> bool:
    return not undelivered._worker.is_at_work


def test_what_is_added_is_delivered_without_any_call(
    patient: PendingEvictions, store: FailingStore
) -> None:
    before = _generations(store, A, B)
    patient.add((A, B))
    eventually(lambda: not patient and _has_no_thread(patient))
    after = _generations(store, A, B)
    assert all(was != now for was, now in zip(before, after, strict=True))


def test_nothing_that_is_added_starts_no_thread(patient: PendingEvictions) -> None:
    patient.add(())
    assert _has_no_thread(patient)


def test_a_store_that_fails_is_tried_again_until_it_has_come_back(
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


def test_what_is_added_while_the_thread_waits_is_tried_at_once(
    patient: PendingEvictions, store: FailingStore
) -> None:
    store.failing.add("evict")
    patient.add((A,))
    eventually(lambda: store.asked["evict"] == 1)
    store.failing.clear()
    patient.add((B,))
    eventually(lambda: not patient)


def test_what_the_thread_has_tried_a_read_does_not_try_again_at_once(
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


def test_generations_that_are_found_lost_are_reported_and_do_not_make_it_spin(
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


def test_a_thread_that_was_stopped_leaves_what_waits_and_comes_back_with_a_call(
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


def test_a_child_delivers_by_itself_what_its_parent_could_not(
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
    assert eager.includes((A,))  # the parent cannot know


def test_a_child_to_which_nothing_is_left_starts_no_thread(
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


def test_as_many_tags_as_may_wait_wait_each_for_itself(
    undelivered: PendingEvictions,
) -> None:
    undelivered.add(_tags(MOST_TAGS))
    assert len(undelivered) == MOST_TAGS
    assert not undelivered.includes((EVERYTHING_,))


@pytest.mark.parametrize("added", [(MOST_TAGS + 1, 0), (MOST_TAGS, 1), (1, MOST_TAGS)])
def test_more_tags_than_may_wait_are_everything(
    undelivered: PendingEvictions, added: tuple[int, int]
) -> None:
    first, second = added
    tags = _tags(first + second)
    undelivered.add(tags[:first])
    undelivered.add(tags[first:])
    assert len(undelivered) == 1
    assert undelivered.includes((EVERYTHING_,))


def test_once_everything_waits_more_may_wait_beside_it(
    undelivered: PendingEvictions, store: FailingStore
) -> None:
    before = _generations(store, EVERYTHING_, A)
    undelivered.add(_tags(MOST_TAGS + 1))
    undelivered.add((A,))
    undelivered.deliver()
    after = _generations(store, EVERYTHING_, A)
    assert all(was != now for was, now in zip(before, after, strict=True))
    assert not undelivered


def test_a_lock_that_was_held_at_a_fork_is_free_in_the_child(
    undelivered: PendingEvictions,
) -> None:
    undelivered.add((A,))

    def child(pipe: Any) -> None:
        undelivered.add((B,))
        pipe.send(undelivered.includes((A,)) and undelivered.includes((B,)))

    with undelivered._lock, forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is True
