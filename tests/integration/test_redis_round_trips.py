"""What each operation costs on a server: what it waits for, and what it sends.

A ceiling that a change must raise knowingly, as those of test_roads.py. And what
becomes of that which is sent and not waited for.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

import boto3
import pytest

import botocache
from botocache._cache.cache import Cache
from botocache._errors import StoreError
from botocache.stores.redis.connections import ServerConnections, exchange
from botocache.stores.redis.deadlines import BoundedVerbs
from botocache.stores.redis.types import Connection
from tests.support.processes import (
    FORK_TIMEOUT,
    TIMEOUT,
    eventually,
    forked,
    in_thread,
)
from tests.support.tcp_proxy import TcpProxy, commands_in, running_proxy
from tests.support.threads import no_thread
from tests.support.trips import answering
from tests.support.valkey_server import ValkeyServer

ANSWERS = {
    "GetItem": b'{"Item":{"pk":{"S":"a"},"n":{"N":"1"}}}',
    "BatchGetItem": b'{"Responses":{"t":[]},"UnprocessedKeys":{}}',
    "BatchWriteItem": b"{}",
    "PutItem": b"{}",
    "UpdateItem": b'{"Attributes":{"pk":{"S":"a"},"n":{"N":"2"}}}',
    "DeleteItem": b"{}",
}

_numbers = count()


@pytest.fixture
def proxy(valkey: ValkeyServer) -> Iterator[TcpProxy]:
    with running_proxy(valkey.port) as made:
        yield made


class Caching(NamedTuple):
    """A client with a cache on a server, through a proxy."""

    client: Any
    cache: Cache
    connections: ServerConnections

    def settle(self) -> None:
        """Read what is owed."""
        self.connections.settle(time.monotonic() + TIMEOUT)

    def pending(self) -> int:
        """Return how many tags are pending."""
        return len(self.cache._evictions.pending)


@pytest.fixture
def namespace() -> str:
    """A namespace of one length: the sizes of commands depend on it."""
    return f"test-{next(_numbers):05}"


@pytest.fixture
def caching(proxy: TcpProxy, namespace: str) -> Iterator[Caching]:
    session: Any = boto3.Session("AKIA0123456789012345", "secret")
    cache: Any = botocache.install(
        session,
        url=proxy.url(),
        namespace=namespace,
        timeout=10.0,
        settle=60.0,  # twice the time that a write may take and be evicted late
        write_hold_off=120.0,
    )
    client: Any = session.client(
        "dynamodb", region_name="us-east-1", endpoint_url="http://127.0.0.1:1"
    )
    made = Caching(client, cache, cache._store._connections)
    with answering(client, ANSWERS):
        eventually(lambda: _has_filled(made))
        for _ in range(3):  # learns what there is to learn
            get(made, new())
        for _ in range(2):
            update(made, new())
        made.settle()
        cache._evictions.pending._worker._start = no_thread
        yield made
    cache.close()


def _has_filled(made: Caching) -> bool:
    get(made, "warm")
    return made.cache.stats().fills > 0


def new() -> str:
    return f"new#{next(_numbers):05}"


def get(made: Caching, pk: str) -> None:
    made.client.get_item(TableName="t", Key={"pk": {"S": pk}})


def get_many(made: Caching, pks: Sequence[str]) -> None:
    keys = [{"pk": {"S": pk}} for pk in pks]
    made.client.batch_get_item(RequestItems={"t": {"Keys": keys}})


def update(made: Caching, pk: str) -> None:
    made.client.update_item(
        TableName="t",
        Key={"pk": {"S": pk}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "2"}},
    )


def put(made: Caching, pk: str) -> None:
    made.client.put_item(TableName="t", Item={"pk": {"S": pk}, "n": {"N": "2"}})


def update_all_new(made: Caching, pk: str) -> None:
    made.client.update_item(
        TableName="t",
        Key={"pk": {"S": pk}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "2"}},
        ReturnValues="ALL_NEW",
    )


def delete(made: Caching, pk: str) -> None:
    made.client.delete_item(TableName="t", Key={"pk": {"S": pk}})


class Traffic(NamedTuple):
    """What an operation costs.

    waits: for replies of the server.
    commands: that are sent.
    size: bytes that are sent.
    """

    waits: int
    commands: int
    size: int


OPERATIONS: dict[str, tuple[Callable[[Caching], None], Traffic]] = {
    "miss": (lambda made: get(made, new()), Traffic(1, 3, 750)),
    "update": (lambda made: update(made, new()), Traffic(1, 2, 1175)),
    "update all new": (lambda made: update_all_new(made, "a"), Traffic(1, 2, 1965)),
    "delete": (lambda made: delete(made, new()), Traffic(1, 2, 1940)),
    "put": (lambda made: put(made, new()), Traffic(2, 2, 1975)),
    "batch of ten keys that are absent": (
        lambda made: get_many(made, [new() for _ in range(10)]),
        Traffic(1, 2, 2740),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_costs_no_more_than_this(
    name: str, caching: Caching, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else it may be due in one call, and not in another.
    monkeypatch.setattr("botocache.stores.redis.store.CLOCK_SYNC_INTERVAL", 3600.0)
    call, most = OPERATIONS[name]
    call(caching)
    waits, sent = [], []

    def waiting(connection: Connection, *args: Any) -> Any:
        waits.append(connection)
        return exchange(connection, *args)

    (connection,) = caching.connections._idle
    send = connection.send_packed_command

    def sending(packed: Sequence[bytes], **settings: Any) -> None:
        sent.append(b"".join(packed))
        send(packed, **settings)

    monkeypatch.setattr("botocache.stores.redis.connections.exchange", waiting)
    monkeypatch.setattr(connection, "send_packed_command", sending)
    call(caching)
    packed = b"".join(sent)
    traffic = Traffic(len(waits), len([*commands_in(packed)]), len(packed))
    print(traffic)
    assert all(cost <= ceiling for cost, ceiling in zip(traffic, most, strict=True))


# --- with client tracking -----------------------------------------------------------


@pytest.fixture
def tracking(valkey: ValkeyServer, namespace: str) -> Iterator[Caching]:
    """A client whose process knows which generations are current."""
    session: Any = boto3.Session("AKIA0123456789012345", "secret")
    cache: Any = botocache.install(
        session,
        url=valkey.url,
        namespace=namespace,
        timeout=10.0,
        client_tracking=True,
        settle=0.0,
    )
    client: Any = session.client(
        "dynamodb", region_name="us-east-1", endpoint_url="http://127.0.0.1:1"
    )
    with answering(client, ANSWERS):
        yield Caching(client, cache, cache._store._connections)
    cache.close()


class Waits:
    """Counts the exchanges with the server that a call waits for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._number = 0
        monkeypatch.setattr(
            "botocache.stores.redis.connections.exchange", self._exchange
        )

    def _exchange(self, *args: Any) -> Any:
        self._number += 1
        return exchange(*args)

    def of(self, call: Callable[[], None]) -> int:
        """Make a call; return how many exchanges it waited for."""
        self._number = 0
        call()
        return self._number


TEN = tuple(f"ten#{number}" for number in range(10))


def test_with_client_tracking_a_batch_of_remembered_keys_waits_for_nothing(
    tracking: Caching, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may not hear of the server for half a second: then it asks.
    waits = Waits(monkeypatch)
    eventually(lambda: not waits.of(lambda: get_many(tracking, TEN)))
    assert tracking.cache.stats().near_hits >= len(TEN)
    update(tracking, TEN[0])
    assert waits.of(lambda: get_many(tracking, TEN))
    eventually(lambda: not waits.of(lambda: get_many(tracking, TEN)))


def test_with_client_tracking_the_server_is_asked_for_what_is_not_remembered(
    tracking: Caching, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits(monkeypatch)
    eventually(lambda: not waits.of(lambda: get_many(tracking, TEN)))
    near_hits = tracking.cache.stats().near_hits

    loads: list[int] = []
    load_many = BoundedVerbs.load_many

    def loading(self: BoundedVerbs, lookups: Any) -> Any:
        loads.append(len(lookups))
        return load_many(self, lookups)

    monkeypatch.setattr(BoundedVerbs, "load_many", loading)

    def half_is_loaded() -> bool:
        loads.clear()
        get_many(tracking, [*TEN[:5], *(new() for _ in range(5))])
        return loads == [5]

    eventually(half_is_loaded)
    assert tracking.cache.stats().near_hits >= near_hits + 5


# --- what a write has left -----------------------------------------------------------


@pytest.mark.parametrize("write", [update_all_new, put])
def test_what_a_write_has_left_is_put_with_its_second_eviction(
    write: Callable[[Caching, str], None], caching: Caching
) -> None:
    write(caching, "a")
    caching.settle()
    before = caching.cache.stats()
    write(caching, "a")
    caching.settle()
    assert caching.cache.stats().fills == before.fills + 1
    get(caching, "a")
    assert caching.cache.stats().hits == before.hits + 1


def test_what_a_write_has_left_is_not_put_if_another_write_came(
    caching: Caching,
) -> None:
    update_all_new(caching, "a")
    before = caching.cache.stats()
    others = [lambda: update(caching, "a")]

    def come_between(**_: Any) -> None:
        if others:
            others.pop()()

    caching.client.meta.events.register_first(
        "before-send.dynamodb.UpdateItem", come_between
    )
    update_all_new(caching, "a")
    caching.settle()
    after = caching.cache.stats()
    assert (after.fills, after.hits) == (before.fills, before.hits)
    get(caching, "a")
    assert caching.cache.stats().hits == before.hits


# --- what is not waited for ----------------------------------------------------------


def test_a_fill_counts_once_the_server_has_confirmed_it(
    caching: Caching, proxy: TcpProxy
) -> None:
    before = caching.cache.stats().fills
    get(caching, new())
    assert caching.cache.stats().fills == before + 1
    assert caching.cache.stats().failures.get("fill_failed", 0) == 0


def test_a_fill_that_the_server_refuses_counts_as_failed(
    caching: Caching, proxy: TcpProxy
) -> None:
    before = caching.cache.stats()
    proxy.answer(b"-OOM no room\r\n", to=b"SET")
    get(caching, new())
    eventually(lambda: proxy.answered == 1)
    after = caching.cache.stats()
    assert after.fills == before.fills
    assert after.failures["fill_failed"] == before.failures.get("fill_failed", 0) + 1


def get_consistently(made: Caching) -> None:
    made.client.get_item(TableName="t", Key={"pk": {"S": new()}}, ConsistentRead=True)


def get_many_consistently(made: Caching) -> None:
    part = {"Keys": [{"pk": {"S": new()}}], "ConsistentRead": True}
    made.client.batch_get_item(RequestItems={"t": part})


def refresh(made: Caching) -> None:
    with botocache.refresh():
        get(made, new())


def refresh_many(made: Caching) -> None:
    with botocache.refresh():
        get_many(made, [new()])


@pytest.mark.parametrize(
    "call", [get_consistently, get_many_consistently, refresh, refresh_many]
)
def test_a_fill_that_the_next_read_must_find_is_waited_for(
    caching: Caching,
    call: Callable[[Caching], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be newer than an entry that is still current, of an outside write."""
    # The server's new hold-offs settle.
    monkeypatch.setattr("botocache._cache.fills.may_fill", lambda *_, **__: True)
    before = caching.cache.stats().fills
    call(caching)
    assert [each.owed for each in caching.connections._idle] == [()]
    assert caching.cache.stats().fills == before + 1


def update_without_a_reply(made: Caching, proxy: TcpProxy) -> None:
    """Update, so that the server's reply to the second eviction does not come back."""
    made.client.meta.events.register_first(
        "before-send.dynamodb.UpdateItem", lambda **_: proxy.hold_replies()
    )
    update(made, new())
    eventually(lambda: proxy.unanswered == 1)


def cut(made: Caching, proxy: TcpProxy) -> None:
    proxy.cut()
    made.settle()


LOSSES: dict[str, Callable[[Caching, TcpProxy], object]] = {
    "the connection is cut": cut,
    "the reply is late": lambda made, _: made.connections.settle(time.monotonic()),
    "the store is closed": lambda made, _: made.connections.close(),
    "the connection is forgotten": lambda made, _: made.connections._idle.clear(),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_second_eviction_whose_reply_is_lost_becomes_pending(
    loss: str, caching: Caching, proxy: TcpProxy
) -> None:
    update_without_a_reply(caching, proxy)
    assert caching.pending() == 0
    LOSSES[loss](caching, proxy)
    gc.collect()
    assert caching.pending() >= 2
    proxy.release_replies()
    eventually(lambda: not caching.cache._evictions.pending.attempt())


def test_a_second_eviction_that_is_confirmed_is_not_pending(
    caching: Caching, proxy: TcpProxy
) -> None:
    update_without_a_reply(caching, proxy)
    proxy.release_replies()
    caching.settle()
    assert [each.owed for each in caching.connections._idle] == [()]
    gc.collect()
    assert caching.pending() == 0


def test_a_forked_child_takes_nothing_on_that_its_parent_awaits(
    caching: Caching, proxy: TcpProxy
) -> None:
    update_without_a_reply(caching, proxy)
    with forked(lambda pipe: pipe.send(caching.pending())) as child:
        assert child.recv() == 0
    proxy.release_replies()
    caching.settle()
    assert caching.pending() == 0


def test_a_child_that_drops_its_parents_connections_waits_for_no_lock(
    caching: Caching, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of the parent may have held it at the fork: then it is never freed."""
    update_without_a_reply(caching, proxy)
    child = os.getpid() + 1
    with monkeypatch.context() as patch, caching.cache._evictions.pending._lock:
        patch.setattr(os, "getpid", lambda: child)
        in_thread(caching.connections._reset, FORK_TIMEOUT)
    proxy.release_replies()


def test_a_second_eviction_that_the_server_refuses_becomes_pending(
    caching: Caching, proxy: TcpProxy
) -> None:
    caching.client.meta.events.register_first(
        "before-send.dynamodb.UpdateItem",
        lambda **_: proxy.answer(b"-OOM no room\r\n"),
    )
    update(caching, new())
    eventually(lambda: proxy.answered == 1)
    assert caching.pending() == 0
    caching.settle()
    assert caching.pending() >= 2


def test_a_write_that_took_long_waits_for_its_second_eviction(
    caching: Caching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of `settle`: then the hold-off of the first may be over too soon."""
    offset = [0.0]
    store: Any = caching.cache._store
    now = store.now
    monkeypatch.setattr(store, "now", lambda: now() + offset[0])
    caching.client.meta.events.register_first(
        "before-send.dynamodb.UpdateItem",
        lambda **_: offset.append(offset.pop() + 30.0),
    )
    update(caching, new())
    assert [each.owed for each in caching.connections._idle] == [()]


def test_a_write_whose_hold_off_is_as_short_as_settling_waits(
    caching: Caching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a replica may lag for longer than the first eviction's hold-off lasts."""
    settings = replace(caching.cache.settings, write_hold_off=60.0)
    monkeypatch.setattr(caching.cache._writes, "_settings", settings)
    update(caching, new())
    assert [each.owed for each in caching.connections._idle] == [()]


def test_a_write_that_rests_on_a_learned_key_schema_waits(caching: Caching) -> None:
    """The table may have been made anew meanwhile, and its entries be others."""
    request: Any = {"PutRequest": {"Item": {"pk": {"S": new()}}}}
    caching.client.batch_write_item(RequestItems={"t": [request]})
    assert [each.owed for each in caching.connections._idle] == [()]


def test_with_nothing_idle_a_second_eviction_is_waited_for(caching: Caching) -> None:
    caching.client.meta.events.register_first(
        "before-send.dynamodb.UpdateItem", lambda **_: caching.connections.close()
    )
    update(caching, new())
    assert caching.pending() == 0
    assert [each.owed for each in caching.connections._idle] == [()]


def test_a_store_that_fails_leaves_the_second_eviction_pending(
    caching: Caching, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StoreError("nothing is sent")

    monkeypatch.setattr(caching.connections, "send", fail)
    update(caching, new())
    assert caching.pending() >= 2
