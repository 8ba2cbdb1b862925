"""`wait_replicas`: an eviction is done when replicas have it. Real ones."""

from collections.abc import Iterator

import pytest
from redis.exceptions import NoScriptError

from botocache._coherence import EvictionRequest
from botocache._errors import StoreError
from botocache.stores.redis.connections import pack
from botocache.stores.redis.replicas import TooFewReplicasError, exchange_with
from botocache.stores.redis.scripts import EVICT, Keys
from botocache.stores.redis.store import RedisStore
from tests.support.digests import key, tag
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually
from tests.support.tcp_proxy import TcpProxy, running_proxy
from tests.support.valkey_server import ValkeyServer, running_valkey

KEY, TAG = key("an entry"), tag("a")
SHORT = 0.2
"""Seconds that a call may wait, of which replicas get half."""


@pytest.fixture
def primary() -> Iterator[ValkeyServer]:
    with running_valkey(repl_diskless_sync_delay="0") as server:
        yield server


@pytest.fixture
def replica(primary: ValkeyServer) -> Iterator[ValkeyServer]:
    with running_valkey() as server:
        server.command("REPLICAOF", "127.0.0.1", str(primary.port))
        eventually(
            lambda: b"master_link_status:up" in server.command("INFO", "replication")
        )
        yield server


@pytest.fixture
def proxy(primary: ValkeyServer) -> Iterator[TcpProxy]:
    with running_proxy(primary.port) as made:
        yield made


@pytest.fixture
def store(proxy: TcpProxy, namespace: str) -> Iterator[RedisStore]:
    """A store that waits for one replica."""
    made = opened(proxy.url(options="?wait_replicas=1"), namespace)
    yield made
    made.close()


def opened(url: str, namespace: str) -> RedisStore:
    store = open_store_at(
        url,
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
        longest_ttl=60.0,
    )
    assert isinstance(store, RedisStore)
    return store


def impatient(store: RedisStore, replicas: int = 1) -> None:
    """Have it wait in vain for a moment only."""
    store._link._exchange = exchange_with(replicas, SHORT)


def state(server: ValkeyServer, namespace: str) -> bytes:
    """Return a tag's state on a server, as it is on the wire."""
    return server.command("GET", Keys(namespace).generation(TAG).decode())


def test_an_eviction_that_is_done_is_on_the_replica(
    store: RedisStore, primary: ValkeyServer, replica: ValkeyServer, namespace: str
) -> None:
    for _ in range(20):
        mark = store.evict(EvictionRequest([TAG], 0.0)).evicted[TAG]
        assert mark.generation.to_bytes(8, "little") in state(replica, namespace)


def test_it_takes_no_round_trip_of_its_own(
    store: RedisStore, proxy: TcpProxy, replica: ValkeyServer
) -> None:
    store.evict(
        EvictionRequest([TAG], 0.0, watch=[tag("b")])
    )  # the scripts are known from now on
    before = len(proxy.commands)
    first = store.evict(EvictionRequest([TAG], 5.0, watch=[tag("b")]))
    assert proxy.commands[before:] == [b"EVALSHA", b"EVALSHA", b"WAIT"]
    assert len(first.watched) == 1
    store.load(KEY, [TAG])
    store.fill(KEY, b"entry", 60.0, [TAG])
    assert proxy.commands[before:].count(b"WAIT") == 1


def test_without_the_replica_it_fails_though_the_primary_has_evicted(
    store: RedisStore, primary: ValkeyServer, replica: ValkeyServer, namespace: str
) -> None:
    store.evict(EvictionRequest([TAG], 0.0))
    before = state(primary, namespace)
    replica.kill()
    impatient(store)
    with pytest.raises(StoreError, match="TooFewReplicasError: 0 of 1 replicas"):
        store.evict(EvictionRequest([TAG], 0.0))
    assert state(primary, namespace) != before
    assert store.load(KEY, [TAG]).snapshot  # reads go on
    assert len(store._link._idle) == 1  # by the same connection


def test_more_replicas_than_there_are_are_too_few(
    store: RedisStore, replica: ValkeyServer
) -> None:
    store.evict(EvictionRequest([TAG], 0.0))
    impatient(store, replicas=2)
    with pytest.raises(StoreError, match="1 of 2 replicas"):
        store.evict(EvictionRequest([TAG], 0.0))


def test_without_the_option_nobody_waits(
    proxy: TcpProxy, primary: ValkeyServer, namespace: str
) -> None:
    store = opened(proxy.url(), namespace)
    store.evict(EvictionRequest([TAG], 0.0))
    assert b"WAIT" not in proxy.commands
    store.close()


def test_a_server_that_cannot_wait_fails_evictions(
    store: RedisStore, proxy: TcpProxy, replica: ValkeyServer
) -> None:
    store.evict(EvictionRequest([TAG], 0.0))
    store.evict(EvictionRequest([TAG], 0.0))
    proxy.answer(
        b"*3\r\n$1\r\n1\r\n$16\r\n0123456789abcdef\r\n$16\r\n0123456789abcdef\r\n"
        b"-NOPERM this user has no permissions to run the 'wait' command\r\n",
        is_whole=True,
    )
    with pytest.raises(StoreError, match="NoPermissionError"):
        store.evict(EvictionRequest([TAG], 0.0))


def test_what_is_back_is_found_to_be_so_with_its_replicas_only(
    store: RedisStore, replica: ValkeyServer
) -> None:
    store.evict(EvictionRequest([TAG], 0.0))
    impatient(store)
    replica.kill()
    for _ in range(3):
        with pytest.raises(StoreError):
            store.evict(EvictionRequest([TAG], 0.0))
    with pytest.raises(StoreError, match="0 of 1"):
        store._probe()


def test_a_script_that_is_not_known_is_not_taken_for_too_few(
    primary: ValkeyServer, namespace: str
) -> None:
    store = opened(primary.url, namespace)
    command = pack((b"EVALSHA", EVICT.sha, b"0"))
    with_replica = exchange_with(1, SHORT)
    connection = store._link._connect()
    (reply,) = with_replica(connection, command, 1)
    assert isinstance(reply, NoScriptError)
    assert not isinstance(reply, TooFewReplicasError)
    connection.disconnect()
    store.close()
