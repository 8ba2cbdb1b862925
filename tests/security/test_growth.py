"""Nothing grows: whatever an application's input names, what is kept is bounded.

Each kind of input comes in three thirds. The first fills what is bounded; the last must
not leave more behind than the second. `make test` runs a hundredth, with small bounds.
"""

import contextlib
import gc
import inspect
import os
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

import botocache
from botocache import _install
from botocache._cache.cache import Cache
from botocache._cache.prepare import Call
from botocache._cache.read_mode import Mode
from botocache._cache.tickets import Hit
from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import Read, Write
from botocache._dynamodb.tags import tag_digest
from botocache._errors import StoreError
from botocache._log import log, log_once
from botocache._settings.load import Settings, load_settings
from botocache.stores.memory import MemoryStore
from botocache.stores.opening import open_store
from botocache.stores.protocol import Deferring, Store
from tests.support.flaky_store import FlakyStore
from tests.support.processes import TIMEOUT
from tests.support.trips import answering
from tests.support.valkey_server import ValkeyServer

_SMALL = 50
"""Of what is bounded by number, in `make test`.

It divides the thirds. What is emptied when full is equally full after each of them.
"""

_BLOCKS_PER_INPUT = 0.05
"""How many objects may be left of an input, on the average: less than one in twenty."""


class _State(NamedTuple):
    """What a process has. blocks: of memory; size: of its memory, in bytes."""

    blocks: int
    size: int
    descriptors: int
    threads: int


def _memos() -> list[Any]:
    """Return the functions and methods of ours that remember their results."""
    modules = [module for name, module in sys.modules.items() if "botocache" in name]
    # A store has memos of its own methods. Functions and classes may be frozen, so that
    # the collector does not know them.
    candidates = [each for module in modules for each in vars(module).values()]
    classes = [each for each in candidates if isinstance(each, type)]
    candidates += [each for kind in classes for each in vars(kind).values()]
    found = [
        each
        for each in (*candidates, *gc.get_objects())
        if type(each) is type(tag_digest) and each.__module__.startswith("botocache")
    ]
    return [*{id(each): each for each in found}.values()]


def _state() -> _State:
    for memo in _memos():
        memo.cache_clear()  # bounded in number, see below
    gc.collect()
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return _State(
        sys.getallocatedblocks(),
        pages * os.sysconf("SC_PAGESIZE"),
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - of names alone
        threading.active_count(),
    )


def require_flat(give: Callable[[int], object], count: int) -> None:
    """Give inputs of all numbers up to a count. Compare what the thirds leave."""
    third = count // 3
    states = []
    # Each state takes two collections. After many tests they take half a second, unless
    # the collector leaves out what there was before.
    gc.collect()
    gc.freeze()
    for part in range(3):
        for number in range(part * third, (part + 1) * third):
            give(number)
        states.append(_state())
    _, second, last = states
    assert last.blocks - second.blocks <= 300 + third * _BLOCKS_PER_INPUT
    assert last.size - second.size <= 8 * 1024**2 + third * 2
    assert last.descriptors <= second.descriptors + 1
    assert last.threads <= second.threads + 1


class World:
    """A cache whose requests come with answers. store: that may be made to fail."""

    def __init__(self, store: Store) -> None:
        self.store = FlakyStore(store)
        self.cache = Cache(
            self.store,
            Settings(url="memory:", settle=0.0, precise_index_eviction=True),
        )

    def ask(
        self,
        operation: str,
        body: dict[str, Any],
        answer: dict[str, Any] | None = None,
        *,
        origin: str = "here",
        scope: bytes = b"me",
    ) -> None:
        call = Call(operation, origin, scope, Mode.NORMAL)
        outcome = self.cache.begin(call, body)
        if outcome is not None and not isinstance(outcome, Hit):
            given = answer or {}
            self.cache.finish(outcome, given, succeeded=True, certain=True)


def _key(number: int) -> dict[str, Any]:
    return {"id": {"S": f"item-{number}"}}


def _items(world: World, number: int) -> None:
    item = {**_key(number), "value": {"S": "x" * 50}}
    body = {"TableName": "t", "Key": _key(number)}
    world.ask("GetItem", body, {"Item": item})
    if number % 4 == 0:
        world.ask("PutItem", {"TableName": "t", "Item": item})


def _long_values(world: World, number: int) -> None:
    text = f"{number:010}" * 2000
    world.ask("GetItem", {"TableName": "t", "Key": {"id": {"S": text}}})
    world.ask("DeleteItem", {"TableName": "t", "Key": {"id": {"S": text}}})
    world.ask(
        "Query",
        {
            "TableName": f"t{text}",
            "KeyConditionExpression": "id = :v",
            "ExpressionAttributeValues": {":v": {"S": text}},
        },
    )


def _tables(world: World, number: int) -> None:
    table = f"table-{number}"
    world.ask("GetItem", {"TableName": table, "Key": _key(1)}, {"Item": _key(1)})
    world.ask("PutItem", {"TableName": table, "Item": _key(1)})
    described = {
        "TableName": table,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    }
    world.ask("DescribeTable", {"TableName": table}, {"Table": described})


def _refused_images(world: World, number: int) -> None:
    body = {"TableName": f"table-{number}", "Key": _key(1)}
    call = Call("DeleteItem", "here", b"me", Mode.NORMAL)
    ticket = world.cache.begin(call, body)
    world.cache.fail(world.cache.without_additions(ticket))  # type: ignore[arg-type]  # a write's


def _scopes(world: World, number: int) -> None:
    body = {"TableName": "t", "Key": _key(1)}
    world.ask("GetItem", body, {"Item": _key(1)}, scope=b"scope-%d" % number)


def _origins(world: World, number: int) -> None:
    body = {"TableName": "t", "Key": _key(1)}
    world.ask("GetItem", body, {"Item": _key(1)}, origin=f"http://{number}")


def _expressions(world: World, number: int) -> None:
    names = ", ".join(f"a{number}b{at}" for at in range(30))
    body = {"TableName": "t", "Key": _key(1), "ProjectionExpression": names}
    world.ask("GetItem", body, {"Item": {}})
    world.ask("GetItem", {**body, "ProjectionExpression": f"{names}, {names}x"})
    values = {":v": {"S": "x"}, f":w{number}": {"N": "1"}}
    query = {"KeyConditionExpression": f"id = :v AND n{number} > :w{number}"}
    query["FilterExpression"] = f"a{number} <> :v"
    world.ask("Query", {"TableName": "t", **query, "ExpressionAttributeValues": values})


def _operations(world: World, number: int) -> None:
    world.ask(f"Operation{number}", {"TableName": "t"})
    world.ask("ExecuteStatement", {"Statement": f'UPDATE "t{number}" SET a=1'})


def _failures(world: World, number: int) -> None:
    with world.store.failing(StoreError(f"down {number}"), "load", "fill", "evict"):
        _items(world, number * 4)


def _lines(_world: World, number: int) -> None:
    log_once(log.info, "answers_not_shared", f"because of {number}")


KINDS: dict[str, Callable[[World, int], None]] = {
    "items": _items,
    "long values": _long_values,
    "tables": _tables,
    "tables without old images": _refused_images,
    "scopes": _scopes,
    "origins": _origins,
    "expressions": _expressions,
    "operations": _operations,
    "failures": _failures,
    "lines": _lines,
}

_SHARE = {"long values": 300, "lines": 6000}
"""Inputs in `make test`; 600 of the others."""


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "key_schemas.MOST_TABLES",
        "item_writes._MOST_KINDS",
        "preparers._MOST_PREPARERS",
        "preparers._MOST_TABLES",
        "writes._MOST_TABLES",
        "pending_evictions.MOST_TAGS",
    ):
        monkeypatch.setattr(f"botocache._cache.{name}", _SMALL)
    for module in ("item_shapes", "writes"):
        monkeypatch.setattr(f"botocache._dynamodb.{module}._MOST_SHAPES", _SMALL)
    monkeypatch.setattr("botocache.stores.generation_table._DRAWN_AT_ONCE", _SMALL)
    monkeypatch.setattr("botocache._near.fill_places.PLACES", _SMALL)
    monkeypatch.setattr("botocache._log._MOST_LOGGED", _SMALL)
    monkeypatch.setattr("botocache._counting.counters.MOST_SERIES", _SMALL)
    monkeypatch.setattr("botocache._counting.hot_keys.MOST_KEPT", 5)
    monkeypatch.setattr("botocache._install._MOST_KEPT", 5)


@pytest.fixture(autouse=True)
def _no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocache._log._logged", set())


def _opened(kind: str, directory: Path, valkey: ValkeyServer, name: str) -> Store:
    url = {
        "memory": "memory:?size_limit=1MiB",
        "disk": f"disk://{directory}/cache?size_limit=8MiB",
        "redis": f"redis://127.0.0.1:{valkey.port}/0",
    }[kind]
    given = {"url": url, "namespace": f"growth-{name}", "timeout": 5.0}
    return open_store(load_settings(given, {}, "memory:").store_options(os.environ))


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("kind", KINDS)
def test_input_leaves_nothing_behind(
    kind: str,
) -> None:
    world = World(MemoryStore(size_limit=20_000))
    require_flat(lambda number: KINDS[kind](world, number), _SHARE.get(kind, 600))
    world.cache.close()


def test_a_tag_is_bounded_in_size() -> None:
    text = "x" * 1_000_000
    for body in (
        {"TableName": text, "Key": {"id": {"S": text}}},
        {"TableName": f"arn:aws:dynamodb:a:1:table/{text}", "Key": {"id": {"B": text}}},
    ):
        planned = plan("DeleteItem", body, lambda _: None)
        assert isinstance(planned, Write)
        assert all(len(repr(tuple(tag))) < 1000 for tag in planned.tags)
    values = {":v": {"S": text}, ":n": {"N": "7" * 1_000_000}}
    for condition in ("id = :v", "id = :n", "id = :v AND n = :n"):
        body = {"TableName": "t", "KeyConditionExpression": condition}
        planned = plan(
            "Query", {**body, "ExpressionAttributeValues": values}, lambda _: None
        )
        assert isinstance(planned, Read)
        assert all(len(repr(tuple(tag))) < 1000 for tag in planned.tags)


def test_each_memo_is_bounded_in_number() -> None:
    assert len(_memos()) > 8
    unbounded = [
        memo.__qualname__
        for memo in _memos()
        # Without parameters it has one result.
        if memo.cache_parameters()["maxsize"] is None
        and inspect.signature(memo).parameters
    ]
    assert unbounded == []


def test_what_is_kept_of_long_values_is_short() -> None:
    world = World(MemoryStore(size_limit=20_000))
    _long_values(world, 0)
    tracemalloc.start()
    for number in range(1, 101):
        _long_values(world, number)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000  # of 100 times 20 KB, in a dozen places


@pytest.mark.long("with fewer inputs, on the memory store")
@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("store_kind", ["memory", "disk", "redis"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_inputs_leave_nothing_behind(
    kind: str, store_kind: str, valkey: ValkeyServer, tmp_path: Path, namespace: str
) -> None:
    count = {"items": 1_000_000, "long values": 15_000}.get(kind, 40_000)
    if store_kind != "memory":
        count //= 10
    with contextlib.closing(_opened(store_kind, tmp_path, valkey, namespace)) as store:
        world = World(store)

        def give(number: int) -> None:
            KINDS[kind](world, number)
            if isinstance(store, Deferring):
                store.flush(TIMEOUT)  # else what waits is counted, more or less of it

        require_flat(give, count)
        world.cache.close()


# --- sessions and clients ----------------------------------------------------------

_ANSWERS = {"GetItem": b'{"Item":{"id":{"S":"7"}}}'}


def _session_of(number: int) -> Any:
    return boto3.Session(f"AKIA{number:016}", "secret", region_name="us-east-1")


def _give_session(number: int) -> None:
    """A session for each tenant, with a scope of its own, made and dropped."""
    botocache.install(_session_of(number), url="memory:", scope=f"tenant-{number}")


@pytest.fixture
def client() -> Iterator[Any]:
    session = _session_of(0)
    botocache.install(session, url=MemoryStore(size_limit=50_000), settle=0.0)
    made = session.client("dynamodb", endpoint_url="http://127.0.0.1:1")
    with answering(made, _ANSWERS):
        yield made


def _read(client: Any, number: int) -> None:
    for _ in range(4):  # a full near cache takes what is asked for again, and again
        client.get_item(TableName="t", Key=_key(number))
    client.get_item(TableName=f"table-{number}", Key=_key(1))


@pytest.mark.usefixtures("_small")
def test_sessions_leave_nothing_behind() -> None:
    require_flat(_give_session, 30)
    assert len(_install._caches) <= 6


@pytest.mark.usefixtures("_small")
def test_near_hits_leave_nothing_behind(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocache._near.client_state._MOST_TABLES", 50)
    (cache,) = _install._caches.values()
    near: Any = cache.near
    near.memory._half = 5_000
    require_flat(lambda number: _read(client, number), 300)
    assert cache.stats().near_hits


def test_a_cache_that_owes_an_eviction_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("botocache._install._MOST_KEPT", 1)
    debtor = botocache.install(_session_of(0), url="memory:", scope="debtor")
    pending = debtor._evictions.pending
    pending.add_quietly((b"a" * 16,))
    del debtor
    for number in range(3):
        _give_session(number)
    for _ in range(5):  # what one collection frees holds what the next one does
        gc.collect()
    assert {cache.settings.scope for cache in _install._caches.values()} == {
        "debtor",
        "tenant-2",
    }
    pending.attempt()


@pytest.mark.long("forty-five of them")
def test_a_thousand_sessions_leave_nothing_behind() -> None:
    require_flat(_give_session, 1500)
    assert len(_install._caches) <= _install._MOST_KEPT + 1


@pytest.mark.long("with small bounds")
def test_a_million_near_reads_leave_nothing_behind(client: Any) -> None:
    require_flat(lambda number: _read(client, number), 150_000)
