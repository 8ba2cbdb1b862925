"""With `on_eviction_failure="refuse"` a write that cannot be evicted is not sent."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

import botocache
from botocache import Cache, EvictionError, _install
from botocache._coherence import EvictionRequest
from botocache._dynamodb.operations import may_write
from botocache._errors import StoreError, StoreLostError
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.integration.app import (
    WINDOW,
    World,
    get,
    put,
    query,
    set_n,
    wire,
)
from tests.support.clock import FakeClock
from tests.support.flaky_store import FlakyStore
from tests.support.network import intercept
from tests.unit.dynamodb.test_operations import ROWS


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """One store is enough: nothing here depends on which."""
    return MemoryStore(clock=clock)


FAILURE = StoreError("on purpose")

MODEL = botocore.session.get_session().get_service_model("dynamodb")
WRITES = sorted(name for name in MODEL.operation_names if may_write(name))
OTHERS = sorted(name for name in MODEL.operation_names if not may_write(name))

_ITEM = {"pk": {"S": "s3cret-key"}, "text": {"S": "s3cret-text"}}
_KEY = {"pk": {"S": "s3cret-key"}}
_WRITE = "DELETE FROM ttt WHERE pk = 's3cret-key'"
_SELECT = "SELECT * FROM ttt WHERE pk = 's3cret-key'"

PARAMETERS: dict[str, dict[str, Any]] = {
    "PutItem": {"TableName": "ttt", "Item": _ITEM},
    "UpdateItem": {"TableName": "ttt", "Key": _KEY},
    "DeleteItem": {"TableName": "ttt", "Key": _KEY},
    "BatchWriteItem": {"RequestItems": {"ttt": [{"PutRequest": {"Item": _ITEM}}]}},
    "TransactWriteItems": {
        "TransactItems": [{"Delete": {"TableName": "ttt", "Key": _KEY}}]
    },
    "ExecuteStatement": {"Statement": _WRITE},
    "BatchExecuteStatement": {"Statements": [{"Statement": _WRITE}]},
    "ExecuteTransaction": {"TransactStatements": [{"Statement": _WRITE}]},
}
"""Requests with a secret in them; other operations use those of test_plan.py."""


def parameters_of(operation: str) -> dict[str, Any]:
    """Return parameters that botocore takes for an operation."""
    if operation in PARAMETERS:
        return PARAMETERS[operation]
    body = json.dumps(ROWS[operation].body)
    for short in ("t", "u"):  # the names of DynamoDB's tables have three letters
        body = body.replace(f'"{short}"', f'"{short * 3}"')
    parameters: dict[str, Any] = json.loads(body)
    return parameters


class Network:
    """Answers a client in the network's place, and notes what was sent.

    contexts: of all calls, sent or not.
    """

    def __init__(self, client: Any) -> None:
        self.sent: list[str] = []
        self.contexts: list[dict[str, Any]] = []
        client.meta.events.register_first("before-call.dynamodb", self._note)
        intercept(client, "before-send.dynamodb", self._answer)

    def _note(self, context: dict[str, Any], **_: Any) -> None:
        self.contexts.append(context)

    def _answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        self.sent.append(event_name.rpartition(".")[2])
        return AWSResponse(request.url, 200, HTTPHeaders(), _Body())


class _Body:
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield b"{}"


def call(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
    name = botocore.xform_name(operation)
    return getattr(client, name)(**parameters)


@pytest.fixture
def flaky(world: World) -> FlakyStore:
    """The store, which a test can make fail."""
    world.store = FlakyStore(world.store)
    return world.store


@pytest.fixture
def cache(world: World, flaky: FlakyStore, session: Any) -> Cache:
    """The cache, which refuses writes that it cannot evict."""
    return botocache.install(session, url=world.store, on_eviction_failure="refuse")


def left_of(network: Network) -> list[str]:
    """Return what is left of ours in the contexts of calls."""
    names = [name for context in network.contexts for name in context]
    return [name for name in names if name.startswith("botocache")]


def hooks_of(cache: Cache) -> Any:
    (hooks,) = [h for h in _install._installed.values() if h.cache is cache]
    return hooks


# --- every operation -----------------------------------------------------------------


def test_the_operations_that_write_are_many_and_known() -> None:
    assert {"PutItem", "TransactWriteItems", "UpdateTable"} <= set(WRITES)
    assert {"GetItem", "TransactGetItems", "ListTables"} <= set(OTHERS)


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("precise_index_eviction", [False, True])
def test_a_write_whose_eviction_fails_is_not_sent_and_says_why(
    operation: str, precise_index_eviction: bool, world: World, flaky: FlakyStore
) -> None:
    session = world.session()
    cache = botocache.install(
        session,
        url=flaky,
        on_eviction_failure="refuse",
        precise_index_eviction=precise_index_eviction,
    )
    client = world.client(session)
    network = Network(client)
    with flaky.failing(FAILURE, "evict"), pytest.raises(EvictionError) as refused:
        call(client, operation, parameters_of(operation))
    assert type(refused.value) is EvictionError
    assert refused.value.__cause__ is FAILURE
    message = str(refused.value)
    assert message.startswith(f"{operation} was not sent: ")
    assert "on_eviction_failure is 'refuse'" in message
    assert "s3cret" not in message
    assert network.sent == []
    assert len(network.contexts) == 1
    assert left_of(network) == []
    assert not hooks_of(cache)._rewritten
    assert cache.stats().undelivered == 0
    assert cache.stats().writes == 0
    assert cache.stats().failures == {"evict_failed": 1}
    call(client, operation, parameters_of(operation))
    assert network.sent == [operation]
    assert cache.stats().writes == 1


@pytest.mark.parametrize("operation", WRITES)
def test_a_write_that_could_not_be_planned_is_refused_as_well(
    operation: str,
    flaky: FlakyStore,
    client: Any,
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bug(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    network = Network(client)
    for place in ("botocache._cache.cache.plan", "botocache._botocore.hooks.call_of"):
        with monkeypatch.context() as patch:
            patch.setattr(place, bug)
            with flaky.failing(FAILURE, "evict"):
                with pytest.raises(EvictionError, match=operation) as refused:
                    call(client, operation, parameters_of(operation))
                assert refused.value.__cause__ is FAILURE
            assert network.sent == []
            assert cache.stats().undelivered == 0
            evictions = flaky.calls["evict"]
            call(client, operation, parameters_of(operation))
            assert flaky.calls["evict"] == evictions + 2
        assert network.sent.pop() == operation
    assert left_of(network) == []


@pytest.mark.parametrize("operation", OTHERS)
def test_a_call_that_does_not_write_is_never_refused(
    operation: str, flaky: FlakyStore, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    verbs = [verb for verb in flaky.calls if verb != "now"]
    network = Network(client)
    for failing in (verbs, ["evict"], list(flaky.calls)):
        with flaky.failing(FAILURE, *failing):
            call(client, operation, parameters_of(operation))

    def bug(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("botocache._cache.cache.plan", bug)
    with flaky.failing(FAILURE, *verbs):
        call(client, operation, parameters_of(operation))
    assert network.sent == [operation] * 4


def test_a_statement_that_reads_is_not_refused(flaky: FlakyStore, client: Any) -> None:
    network = Network(client)
    with flaky.failing(FAILURE, "evict", "load"):
        client.execute_statement(Statement=_SELECT)
        client.batch_execute_statement(Statements=[{"Statement": _SELECT}])
        client.execute_transaction(TransactStatements=[{"Statement": _SELECT}])
    assert len(network.sent) == 3


# --- other cases ---------------------------------------------------------------------


def test_a_refused_write_names_its_tables_and_no_others(
    flaky: FlakyStore, client: Any
) -> None:
    key = {"Key": wire({"pk": "a"})}
    with flaky.failing(FAILURE, "evict"), pytest.raises(EvictionError) as refused:
        client.transact_write_items(
            TransactItems=[
                {"Delete": {"TableName": name, **key}} for name in ("one", "other")
            ]
        )
    assert "the cached answers of 'one', 'other' could not be evicted" in str(
        refused.value
    )


Write = Callable[[Any, str], object]


def _by_batch_writer(resource: Any, table: str) -> None:
    with resource.Table(table).batch_writer() as writer:
        writer.put_item(Item={"pk": "a"})


RESOURCE_WRITES: dict[str, Write] = {
    "put": lambda r, t: r.Table(t).put_item(Item={"pk": "a"}),
    "update": lambda r, t: r.Table(t).update_item(Key={"pk": "a"}),
    "delete": lambda r, t: r.Table(t).delete_item(Key={"pk": "a"}),
    "batch writer": _by_batch_writer,
    "delete table": lambda r, t: r.Table(t).delete(),
}


@pytest.mark.parametrize("write", RESOURCE_WRITES.values(), ids=RESOURCE_WRITES.keys())
def test_a_resource_raises_the_refusal_too(
    write: Write, world: World, flaky: FlakyStore, resource: Any, table: str
) -> None:
    with (
        flaky.failing(FAILURE, "evict"),
        world.counting() as reached,
        pytest.raises(EvictionError),
    ):
        write(resource, table)
    assert reached == {}


def test_a_refused_write_loses_no_entries(
    world: World, flaky: FlakyStore, client: Any, table: str
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    query(client, table, pk="a")
    with flaky.failing(FAILURE, "evict"):
        with pytest.raises(EvictionError):
            set_n(client, table, 2, pk="a")
        with world.counting() as reached:
            assert get(client, table, pk="a") == {"pk": "a", "n": 1}
            assert query(client, table, pk="a") == [{"pk": "a", "n": 1}]
    assert reached == {}
    set_n(client, table, 2, pk="a")
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert query(client, table, pk="a") == [{"pk": "a", "n": 2}]


def test_an_eviction_that_was_done_though_it_failed_costs_misses_only(
    world: World,
    flaky: FlakyStore,
    client: Any,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    evict = flaky.store.evict

    def done_but_failed(request: EvictionRequest) -> Any:
        evict(request)
        raise FAILURE

    with monkeypatch.context() as patch:
        patch.setattr(flaky.store, "evict", done_but_failed)
        with pytest.raises(EvictionError):
            set_n(client, table, 2, pk="a")
    for _ in range(2):
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
        world.clock.advance(WINDOW)
    with world.counting() as reached:
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    assert reached == {}


def test_a_store_that_failed_in_the_plan_is_not_asked_to_evict(
    world: World, flaky: FlakyStore, client: Any, cache: Cache, table: str
) -> None:
    with (
        flaky.failing(FAILURE, "load"),
        world.counting() as reached,
        pytest.raises(EvictionError),
    ):
        put(client, table, pk="a")
    assert reached == {}
    assert flaky.calls["evict"] == 0
    put(client, table, pk="a")
    assert get(client, table, pk="a") == {"pk": "a"}


def test_a_loss_of_generations_alone_refuses_nothing(
    world: World, flaky: FlakyStore, client: Any, table: str
) -> None:
    flaky.fail_once(StoreLostError("lost"), "evict", 1)
    put(client, table, pk="a")
    assert get(client, table, pk="a") == {"pk": "a"}


def test_a_write_whose_second_eviction_fails_was_sent_and_its_tags_are_pending(
    world: World, flaky: FlakyStore, client: Any, cache: Cache, table: str
) -> None:
    put(world.outside, table, pk="a", n=1)
    set_n(client, table, 2, pk="a")
    flaky.fail_once(FAILURE, "evict", 2)
    with flaky.failing(FAILURE, "clear"):
        set_n(client, table, 3, pk="a")
    assert get(client, table, pk="a") == {"pk": "a", "n": 3}
    assert cache.stats().failures == {"evict_failed": 1}


def test_an_invalidation_that_fails_is_pending_and_not_refused(
    flaky: FlakyStore, client: Any, cache: Cache, table: str
) -> None:
    with flaky.failing(FAILURE, "evict"):
        done = cache.invalidate(table)
        assert (done.table, done.is_delivered) == (table, False)
        cache.clear()
        assert cache.stats().undelivered == 2


def test_by_default_a_write_whose_eviction_fails_is_sent(
    world: World, flaky: FlakyStore, table: str
) -> None:
    client = world.cached_client()
    with flaky.failing(FAILURE, "evict", "load"):
        put(client, table, pk="a")
        assert get(client, table, pk="a") == {"pk": "a"}


def test_refusal_can_be_set_by_the_environment(
    world: World,
    flaky: FlakyStore,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOTOCACHE_ON_EVICTION_FAILURE", "refuse")
    client = world.cached_client()
    with flaky.failing(FAILURE, "evict"), pytest.raises(EvictionError):
        put(client, table, pk="a")
