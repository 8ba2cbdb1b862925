"""After a failure, a call skips the store; the next call asks it again."""

from collections.abc import Callable

import pytest

from botocache._cache.call_store import CallStore
from botocache._coherence import EvictionRequest
from botocache._errors import (
    EntryError,
    StoreError,
    StoreLostError,
    StoreSkippedError,
)
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Fill
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore

KEY, OTHER, TAG = b"k" * 16, b"o" * 16, b"t" * 16

VERBS: dict[str, Callable[[CallStore], object]] = {
    "load": lambda store: store.load(KEY, (TAG,)),
    "load_many": lambda store: store.load_many([(KEY, (TAG,)), (OTHER, (TAG,))]),
    "fill": lambda store: store.fill([Fill(KEY, b"entry", 60.0, (TAG,))]),
    "fill_many": lambda store: store.fill(
        [Fill(key, b"entry", 60.0, (TAG,)) for key in (KEY, OTHER)]
    ),
    "evict": lambda store: store.evict(EvictionRequest((TAG,), 1.0)),
}
"""By the verb of the store that each should reach."""

verbs = pytest.mark.parametrize("verb", VERBS)


class BrokenStore(FailingStore):
    """Raises `error` from every verb, if there is one."""

    error: Exception | None = None

    def _before(self, verb: str) -> None:
        self.asked[verb] += 1
        if self.error is not None and verb != "now":
            raise self.error


@pytest.fixture
def store(clock: FakeClock) -> BrokenStore:
    return BrokenStore(MemoryStore(clock=clock))


@pytest.fixture
def call(store: BrokenStore) -> CallStore:
    return CallStore(store)


def fail(call: CallStore, store: BrokenStore, verb: str, error: Exception) -> None:
    """Make a verb fail once; afterwards the store works."""
    store.error = error
    with pytest.raises(type(error)) as raised:
        VERBS[verb](call)
    assert raised.value is error
    store.error = None
    store.asked.clear()


@verbs
def test_a_store_that_works_is_asked_each_time(
    verb: str, call: CallStore, store: BrokenStore
) -> None:
    VERBS[verb](call)
    VERBS[verb](call)
    assert store.asked == {verb: 2}
    assert call.failure is None


def test_the_answers_are_those_of_the_store(
    call: CallStore, store: BrokenStore
) -> None:
    call.fill([Fill(KEY, b"entry", 60.0, (TAG,))])
    assert call.load(KEY, (TAG,)) == store.load(KEY, (TAG,))
    assert call.load(KEY, (TAG,)).entry == b"entry"
    lookups = [(KEY, (TAG,)), (OTHER, (TAG,))]
    assert call.load_many(lookups) == store.load_many(lookups)
    before = call.load(KEY, (TAG,)).snapshot
    evicted = call.evict(EvictionRequest((TAG,), 1.0)).evicted
    assert call.load(KEY, (TAG,)).snapshot == (evicted[TAG].generation,) != before


@pytest.mark.parametrize("error", [StoreError("no answer"), RuntimeError("a bug")])
@pytest.mark.parametrize("failed", VERBS)
def test_after_a_failure_no_verb_reaches_the_store(
    failed: str, error: Exception, call: CallStore, store: BrokenStore
) -> None:
    fail(call, store, failed, error)
    for verb in VERBS.values():
        with pytest.raises(StoreSkippedError) as skipped:
            verb(call)
        assert skipped.value.__cause__ is error
    assert not store.asked
    assert call.failure is error


@pytest.mark.parametrize("error", [EntryError("no entries"), StoreLostError("lost")])
@pytest.mark.parametrize("failed", VERBS)
def test_a_failure_after_which_the_store_responds_changes_nothing(
    failed: str, error: Exception, call: CallStore, store: BrokenStore
) -> None:
    fail(call, store, failed, error)
    assert call.failure is None
    for verb in VERBS.values():
        verb(call)
    assert store.asked == dict.fromkeys(VERBS, 1)


def test_a_failure_after_such_a_failure_counts(
    call: CallStore, store: BrokenStore
) -> None:
    fail(call, store, "load", EntryError("no entries"))
    fail(call, store, "evict", StoreError("no answer"))
    with pytest.raises(StoreSkippedError):
        call.load(KEY, (TAG,))


def test_another_call_asks_the_store_again(call: CallStore, store: BrokenStore) -> None:
    fail(call, store, "load", StoreError("no answer"))
    other = CallStore(store)
    other.load(KEY, (TAG,))
    assert store.asked == {"load": 1}
    assert other.failure is None


def test_the_clock_can_be_read_after_a_failure(
    call: CallStore, store: BrokenStore, clock: FakeClock
) -> None:
    fail(call, store, "load", StoreError("no answer"))
    clock.advance(5.0)
    assert call.now() == store.now()


def test_a_skipped_store_is_one_that_does_not_respond() -> None:
    assert not StoreSkippedError.is_alive
