"""A cluster whose servers lie about it: StoreErrors, bounded, and well again later."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import MovedError

from botocache._coherence import EvictionRequest
from botocache._errors import StoreError
from botocache.stores.redis.cluster import client as client_module
from botocache.stores.redis.cluster.store import ClusterStore
from botocache.stores.redis.cluster.urls import endpoints_of_url
from botocache.stores.redis.types import Address
from tests.support.digests import key, tag
from tests.support.hostile_server import HostileServer, Part, hostile_server
from tests.support.processes import TIMEOUT, eventually, in_thread
from tests.support.redis_stores import cluster_store
from tests.support.valkey_server import ValkeyServer, free_port, running_valkey

KEY, A, B = key("an entry"), tag("a"), tag("b")


@pytest.fixture(scope="module")
def alone() -> Iterator[ValkeyServer]:
    """A cluster of one server, which holds all slots."""
    with running_valkey(cluster_enabled="yes", cluster_port=f"{free_port()}") as server:
        server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        eventually(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))
        yield server


@pytest.fixture
def server(alone: ValkeyServer) -> Iterator[HostileServer]:
    with hostile_server(alone.port) as made:
        yield made


@pytest.fixture
def store(
    server: HostileServer, alone: ValkeyServer, namespace: str
) -> Iterator[ClusterStore]:
    """A store that reaches the server by the hostile one only."""
    _, endpoints = endpoints_of_url(server.url("redis+cluster"), TIMEOUT)

    def through(address: Address) -> Address:
        return ("127.0.0.1", server.port) if address[1] == alone.port else address

    made = cluster_store(
        replace(endpoints, remap=through),
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
    )
    eventually(lambda: works(made))
    made._cluster._timeout = 0.3
    yield made
    made.close()


def works(store: ClusterStore) -> bool:
    try:
        snapshot = store.load(KEY, [A, B]).snapshot
        store.fill(KEY, b"right", 60.0, [A, B])
        found = store.load(KEY, [A, B])
        store.evict(EvictionRequest([A], 0.0))
    except StoreError:
        return False
    return (found.entry, found.snapshot) == (b"right", snapshot)


def outcome(verb: Callable[[], object]) -> object:
    """Return what a verb returns, or its StoreError."""
    try:
        return verb()
    except StoreError as error:
        return error


def a_map(primaries: int) -> bytes:
    """Return the reply to CLUSTER SLOTS of so many primaries."""
    size = 16384 // primaries
    each = b"".join(
        b"*3\r\n:%d\r\n:%d\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n"
        % (n * size, (n + 1) * size - 1, n + 1)
        for n in range(primaries)
    )
    return b"*%d\r\n%b" % (primaries, each)


REPLIES = {
    "a list of two thousand million": b"*2000000000\r\n",
    "lists in lists": b"*1\r\n" * 1000,
    "a number": b":1\r\n",
    "an entry that is a list": b"*1\r\n:1\r\n",
    "an entry of five megabytes": b"$5000000\r\n" + b"x" * 5_000_000 + b"\r\n",
    "moved to nowhere": b"-MOVED 1\r\n",
    "moved to no port": b"-MOVED 1 host:port\r\n",
    "moved to itself": b"-MOVED 1 127.0.0.1:1\r\n",
    "asked elsewhere": b"-ASK 1 127.0.0.1:1\r\n",
    "try again": b"-TRYAGAIN\r\n",
    "an error of a megabyte": b"-ERR " + b"x" * 1_000_000 + b"\r\n",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_costs_a_miss_or_a_storeerror(
    reply: bytes, server: HostileServer, store: ClusterStore
) -> None:
    for to in (b"GETRANGE", b"EVALSHA"):
        server.answer(reply, to=to)
        for verb in (
            lambda: store.load(KEY, [A]).entry,
            lambda: store.evict(EvictionRequest([A], 0.0)),
        ):
            found = in_thread(lambda v=verb: outcome(v), TIMEOUT)  # type: ignore[misc]  # a default
            assert len(str(found)) < 1000
        server.heal()
        eventually(lambda: works(store))


def test_no_more_is_read_than_the_values_may_have(
    server: HostileServer, store: ClusterStore
) -> None:
    server.answer(REPLIES["an entry of five megabytes"], to=b"GETRANGE")
    store._cluster._timeout = TIMEOUT
    with pytest.raises(StoreError, match="OversizedError"):
        store.load(KEY, [A])


def test_a_drip_ends_at_the_deadline(
    server: HostileServer, store: ClusterStore
) -> None:
    def drip() -> Iterator[Part]:
        yield b"$3000000\r\n"
        while True:
            yield 0.02
            yield b"x"

    server.stream(drip, b"GETRANGE")
    with pytest.raises(StoreError):  # and not after the 17 hours that it takes
        in_thread(lambda: store.load(KEY, [A]), TIMEOUT)
    server.heal()
    eventually(lambda: works(store))


@pytest.mark.parametrize(
    "slots",
    [
        a_map(2048),
        b"*2000000000\r\n",
        b"*1\r\n*3\r\n:0\r\n:99999999999\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        b"*2\r\n" + a_map(1)[4:] * 2,
        b"*1\r\n*1\r\n:0\r\n",
        b"$4\r\nslot\r\n",
        b"*0\r\n",
    ],
    ids=[
        *("too many servers", "too long", "too many slots", "slots twice", "too short"),
        *("text", "none"),
    ],
)
def test_a_map_that_cannot_be_is_refused(
    slots: bytes, server: HostileServer, store: ClusterStore
) -> None:
    store.close()
    server.answer(slots, to=b"SLOTS")
    before = threading.active_count()
    with pytest.raises(StoreError):
        in_thread(lambda: store.load(KEY, [A]), TIMEOUT)
    assert threading.active_count() < before + client_module._AT_ONCE
    if slots == a_map(2048):
        with pytest.raises(StoreError, match="more servers than a cluster can have"):
            store._cluster.probe(list)
    server.heal()
    eventually(lambda: works(store))


def test_servers_that_ask_and_moved_name_are_not_kept_without_bound(
    server: HostileServer, store: ClusterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_MOST_ASKED", 5)
    monkeypatch.setattr(client_module, "MOST_SERVERS", 5)
    cluster = store._cluster
    assert cluster._cluster is not None
    asked = cluster._cluster.primaries()[0]
    for port in range(1, 20):
        cluster._node("127.0.0.1", port)
    assert len(cluster._asked) == 5
    for port in range(1, 20):
        moved: Any = MovedError(f"1 other:{port}")
        cluster._move(moved, asked)
    assert len(cluster._cluster.servers()) <= 5


def test_runs_that_a_server_invents_are_not_kept_without_bound(
    server: HostileServer, store: ClusterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocache.stores.redis.cluster.store.MOST_SERVERS", 3)

    def info() -> Iterator[Part]:
        run = b"role:master\r\nmaster_replid:1\r\nrun_id:%d\r\n" % time.monotonic_ns()
        run += b"cluster_enabled:1\r\n"
        yield b"$%d\r\n%b\r\n" % (len(run), run)

    server.stream(info, b"INFO")
    for _ in range(8):
        store.close()
        eventually(lambda: works(store))
    assert len(store._known_primaries) <= 3
