"""One call never waits for a failing store more than once.

The rule is CallStore's, and test_call_store.py tests it verb by verb. Here whole calls,
from `begin` to `finish`, show that they use the store through nothing else. A verb that
fails counts as one wait for the store's timeout.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest

from botocache import Cache
from botocache._cache.tickets import Hit, Ticket
from botocache._errors import (
    EntryError,
    EvictionError,
    StoreError,
    StoreLostError,
)
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore
from tests.support.calls import begin
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore
from tests.support.threads import no_thread

State: TypeAlias = Callable[[Cache, FakeClock], None]

A, B = {"pk": {"S": "a"}}, {"pk": {"S": "b"}}
MOVED = {"pk": {"S": "a"}, "sk": {"S": "moved"}}
"""A key with other attributes than were learned: the table was created anew."""

READS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "get": ("GetItem", {"TableName": "t", "Key": A}, {"Item": A}),
    "get of a table made anew": (
        "GetItem",
        {"TableName": "t", "Key": MOVED},
        {"Item": MOVED},
    ),
    "get of a projection": (
        "GetItem",
        {"TableName": "t", "Key": A, "ProjectionExpression": "pk"},
        {"Item": A},
    ),
    "consistent get": (
        "GetItem",
        {"TableName": "t", "Key": A, "ConsistentRead": True},
        {"Item": A},
    ),
    "query": (
        "Query",
        {
            "TableName": "t",
            "KeyConditionExpression": "pk = :a",
            "ExpressionAttributeValues": {":a": {"S": "a"}},
        },
        {"Items": [A], "Count": 1, "LastEvaluatedKey": A},
    ),
    "index query": (
        "Query",
        {
            "TableName": "t",
            "IndexName": "i",
            "KeyConditionExpression": "pk = :a",
            "ExpressionAttributeValues": {":a": {"S": "a"}},
        },
        {"Items": [A], "Count": 1},
    ),
    "scan": ("Scan", {"TableName": "t"}, {"Items": [A], "Count": 1}),
    "large scan": ("Scan", {"TableName": "t"}, {"Items": [{"x": {"S": "x" * 70_000}}]}),
    "batch": (
        "BatchGetItem",
        {"RequestItems": {"t": {"Keys": [A, B]}, "u": {"Keys": [A, B]}}},
        {"Responses": {"t": [A], "u": [B, A]}},
    ),
    "batch of projections": (
        "BatchGetItem",
        {"RequestItems": {"t": {"Keys": [A, B], "ProjectionExpression": "pk"}}},
        {"Responses": {"t": [A, B]}},
    ),
    "describe": (
        "DescribeTable",
        {"TableName": "t"},
        {"Table": {"TableName": "t", "KeySchema": [{"AttributeName": "pk"}]}},
    ),
}

_VALUES = {"TableName": "t", "Key": A, "UpdateExpression": "SET n = n"}

WRITES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "put": ("PutItem", {"TableName": "t", "Item": A}, {}),
    "put into a table made anew": ("PutItem", {"TableName": "t", "Item": MOVED}, {}),
    "update": ("UpdateItem", _VALUES, {}),
    "update that fills": (
        "UpdateItem",
        {**_VALUES, "ReturnValues": "ALL_NEW"},
        {"Attributes": A},
    ),
    "update of a table made anew": ("UpdateItem", {**_VALUES, "Key": MOVED}, {}),
    "delete": ("DeleteItem", {"TableName": "t", "Key": A}, {}),
    "batch write": (
        "BatchWriteItem",
        {
            "RequestItems": {
                "t": [{"PutRequest": {"Item": A}}],
                "u": [{"PutRequest": {"Item": B}}, {"DeleteRequest": {"Key": A}}],
                "v": [{"DeleteRequest": {"Key": MOVED}}],
            }
        },
        {"UnprocessedItems": {}},
    ),
    "transaction": (
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Put": {"TableName": "t", "Item": A}},
                {"Put": {"TableName": "u", "Item": A}},
                {"Delete": {"TableName": "v", "Key": A}},
                {"Update": {"TableName": "w", "Key": MOVED}},
            ]
        },
        {},
    ),
    "statement": ("ExecuteStatement", {"Statement": "DELETE FROM t WHERE pk='a'"}, {}),
    "create": (
        "CreateTable",
        {"TableName": "t"},
        {
            "TableDescription": {
                "TableName": "t",
                "KeySchema": [{"AttributeName": "pk"}],
            }
        },
    ),
    "not to be understood": ("PutItem", {"TableName": 7}, {}),
}

CALLS = {**READS, **WRITES}

STEPS = 14
"""More verbs than any of these calls needs."""


class SlowStore(FailingStore):
    """Fails from some verb on, in this and in all other threads.

    waited: how many verbs have failed in this thread.
    error: makes the error to raise.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(MemoryStore(clock=clock))
        self.waited = 0
        self.error: Callable[[str], Exception] = StoreError
        self._thread = threading.get_ident()
        self._left: int | None = None
        self._lost: int | None = None

    @contextmanager
    def failing_after(self, verbs: int, *, lost: int | None = None) -> Iterator[None]:
        """Do that many verbs, and fail from then on.

        lost: the number of the verb that finds lost generations; None for no loss.
        """
        self._left, self._lost = verbs, lost
        try:
            yield
        finally:
            self._left = self._lost = None

    def _before(self, verb: str) -> None:
        self.asked[verb] += 1
        if verb in self.failing:
            raise self.error(f"{verb} fails")
        if self._left is None or verb == "now":
            return
        if threading.get_ident() != self._thread:
            raise StoreError(f"{verb} fails for others too")
        if self._lost is not None:
            self._lost -= 1
            if self._lost < 0:
                self._lost = None
                raise StoreLostError("generations were lost")
        self._left -= 1
        if self._left < 0:
            self.waited += 1
            raise self.error(f"{verb} waits, and fails")


def begin_of(cache: Cache, call: str) -> Hit | Ticket | None:
    operation, parameters, _ = CALLS[call]
    return begin(cache, operation, json.loads(json.dumps(parameters)))


def begin_write(cache: Cache, call: str) -> Ticket:
    ticket = begin_of(cache, call)
    assert ticket is not None
    assert not isinstance(ticket, Hit)
    return ticket


def make(cache: Cache, call: str) -> None:
    """Make a call as the hooks do, with an answer by DynamoDB."""
    ticket = begin_of(cache, call)
    if ticket is not None and not isinstance(ticket, Hit):
        answer = json.loads(json.dumps(CALLS[call][2]))
        cache.finish(ticket, answer, succeeded=True, certain=True)


# --- what the cache has learned before -----------------------------------------------


def fresh(_cache: Cache, _clock: FakeClock) -> None:
    """Do nothing: this process is new to the store."""


def knowing_for_long(cache: Cache, clock: FakeClock) -> None:
    """Learn the key attributes of t and u, so long ago that they need confirmation.

    The entries have expired.
    """
    for call in ("batch", "scan"):
        make(cache, call)
    clock.advance(130.0)


def owing(cache: Cache, clock: FakeClock) -> None:
    """Learn them just now; leave an eviction pending, with no thread to deliver it."""
    for call in ("batch", "scan"):
        make(cache, call)
    cache._evictions.pending._worker._start = no_thread
    cache._evictions.pending.add((b"x" * 16,))
    clock.advance(10.0)


_made: list[Cache] = []


@pytest.fixture(autouse=True)
def _all_closed() -> Iterator[None]:
    """Close the caches of a test, some of which have pending evictions."""
    yield
    while _made:
        _made.pop().close()


@pytest.fixture
def store(clock: FakeClock) -> SlowStore:
    return SlowStore(clock)


def cache_of(store: SlowStore, state: State, clock: FakeClock, **more: Any) -> Cache:
    cache = Cache(store, Settings(settle=0.0, **more))
    _made.append(cache)
    state(cache, clock)
    store.waited = 0
    return cache


# --- every call, wherever the store fails --------------------------------------------

CASES: list[tuple[str, State, int | None]] = [
    *((call, fresh, None) for call in CALLS),
    *(
        (call, owing, None)
        for call in (
            "get of a projection",
            "index query",
            "batch",
            "describe",
            "put into a table made anew",
            "update that fills",
            "batch write",
            "transaction",
        )
    ),
    *((call, knowing_for_long, None) for call in ("get", "put", "update that fills")),
    # Generations are lost at that verb, and then the store fails.
    ("get", knowing_for_long, 0),
    ("batch", owing, 1),
    ("update that fills", knowing_for_long, 0),
    ("update that fills", owing, 1),
    ("put", fresh, 2),
]
"""The call, what was learned before it, and the verb that finds lost generations."""


@pytest.mark.parametrize(("call", "state", "lost"), CASES)
def test_a_call_waits_for_a_failing_store_at_most_once(
    call: str, state: State, lost: int | None, clock: FakeClock
) -> None:
    waited = []
    for verbs in range(STEPS):
        store = SlowStore(clock)
        cache = cache_of(store, state, clock, precise_index_eviction=True)
        with store.failing_after(verbs, lost=lost):
            make(cache, call)
        waited.append(store.waited)
    assert set(waited) <= {0, 1}
    assert waited[-1] == 0  # the call needs no more verbs
    # A read reports a loss and goes on to DynamoDB; a write asks the store again.
    assert waited[0] == 1 or (lost is not None and call in READS)


@pytest.mark.parametrize("call", ["update", "batch write", "transaction"])
@pytest.mark.parametrize("lost", [None, 0])
def test_a_refused_write_has_waited_once(
    call: str, lost: int | None, store: SlowStore, clock: FakeClock
) -> None:
    cache = cache_of(store, owing, clock, on_eviction_failure="refuse")
    with store.failing_after(0, lost=lost), pytest.raises(EvictionError):
        make(cache, call)
    assert store.waited == 1


# --- the two halves of a call --------------------------------------------------------


@pytest.mark.parametrize("call", ["update", "transaction", "not to be understood"])
def test_a_write_that_has_waited_at_its_begin_skips_the_store_at_its_end(
    call: str, store: SlowStore, clock: FakeClock
) -> None:
    cache = cache_of(store, fresh, clock)
    with store.failing_after(0):
        ticket = begin_write(cache, call)
        assert store.waited == 1
        pending = cache.stats().undelivered
        assert pending
        cache.finish(ticket, {}, succeeded=True, certain=True)
        assert store.waited == 1
        assert cache.stats().undelivered == pending


def test_a_write_whose_eviction_is_pending_queues_its_second_one(
    store: SlowStore, clock: FakeClock
) -> None:
    cache = cache_of(store, knowing_for_long, clock)
    pending = cache._evictions.pending
    with store.failing_after(0):
        ticket = begin_write(cache, "update")
        before = dict(pending._tags)
        cache.finish(ticket, {}, succeeded=True, certain=True)
        assert pending._tags.keys() == before.keys()
        assert all(pending._tags[tag] is not before[tag] for tag in before)


def test_a_write_whose_first_eviction_was_delivered_meanwhile_evicts_at_its_end(
    store: SlowStore, clock: FakeClock
) -> None:
    cache = cache_of(store, knowing_for_long, clock)
    with store.failing_after(0):
        ticket = begin_write(cache, "update")
    clock.advance(10.0)
    cache._evictions.pending.deliver(store, at_once=True)
    evictions = store.asked["evict"]
    cache.finish(ticket, {}, succeeded=True, certain=True)
    assert store.asked["evict"] == evictions + 1
    assert cache.stats().undelivered == 0


@pytest.mark.parametrize("call", ["put", "transaction"])
def test_a_write_evicts_though_the_store_has_no_entries(
    call: str, store: SlowStore, clock: FakeClock
) -> None:
    cache = cache_of(store, fresh, clock)
    store.error = EntryError
    store.failing.update(("load", "fill", "load_many", "fill_many"))
    make(cache, call)
    assert store.asked["evict"] >= 2
    assert cache.stats().undelivered == 0


@pytest.mark.parametrize("call", ["get", "batch"])
def test_a_read_that_cannot_deliver_is_not_looked_up(
    call: str, store: SlowStore, clock: FakeClock
) -> None:
    cache = cache_of(store, owing, clock)
    before = store.asked.copy()
    with store.failing_after(0):
        assert not isinstance(begin_of(cache, call), Hit)
    assert store.waited
    assert store.asked["load"] == before["load"]
    assert store.asked["load_many"] == before["load_many"]


def test_clear_waits_for_a_failing_store_once(
    store: SlowStore, clock: FakeClock
) -> None:
    cache = cache_of(store, knowing_for_long, clock)
    with store.failing_after(0):
        cache.clear()
    assert store.waited == 1
    assert store.asked["clear"] == 0
