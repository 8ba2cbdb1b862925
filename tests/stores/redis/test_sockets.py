"""A socket keeps its deadline, and leaves alone what the application opened instead."""

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as LostError

from botocache._cache.call_store import CallStore
from botocache._cache.evictions import Evictions
from botocache._coherence import EvictionRequest
from botocache._counting.counters import Counters
from botocache._errors import StoreConnectingError, StoreError
from botocache._log import FailureLog
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Fill, Store
from botocache.stores.redis.sockets import GuardedSocket
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.tracking.messages import Listener
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually, in_thread
from tests.support.tcp_proxy import running_proxy
from tests.support.valkey_cluster import ValkeyCluster
from tests.support.valkey_server import ValkeyServer

KEY, TAG = b"k" * 16, b"t" * 16


@pytest.fixture
def ends() -> Iterator[tuple[GuardedSocket, socket.socket]]:
    """A guarded socket, and the other end of it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(TIMEOUT)
    with closing(GuardedSocket(ours)) as guarded, theirs:
        yield guarded, theirs


def replace(number: int, path: Path) -> int:
    """Close a descriptor, and open a file that gets its number; return that."""
    os.close(number)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    if fd != number:
        os.dup2(fd, number)
        os.close(fd)
    os.write(number, b"mine")
    return number


# --- the deadline --------------------------------------------------------------------


def receive(ours: GuardedSocket) -> object:
    return ours.recv(9)


def receive_into(ours: GuardedSocket) -> object:
    return ours.recv_into(bytearray(9))


def send_all(ours: GuardedSocket) -> None:
    ours.sendall(b"x")


@pytest.mark.parametrize("step", [receive, receive_into, send_all])
def test_nothing_passes_after_the_deadline(
    step: Callable[[GuardedSocket], object],
    ends: tuple[GuardedSocket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(b"there")
    ours.until = time.monotonic() - 1.0
    with pytest.raises(TimeoutError, match="deadline"):
        step(ours)
    ours.until = time.monotonic() + TIMEOUT
    step(ours)


def test_a_step_waits_for_what_is_left_and_no_longer_than_its_own_timeout(
    ends: tuple[GuardedSocket, socket.socket],
) -> None:
    ours, _ = ends
    ours.until = time.monotonic() + 0.01
    with pytest.raises(TimeoutError):  # not after TIMEOUT
        in_thread(lambda: ours.recv(1), TIMEOUT / 2)
    ours.until = time.monotonic() + 4 * TIMEOUT
    ours.settimeout(0.01)
    with pytest.raises(TimeoutError):
        in_thread(lambda: ours.recv(1), TIMEOUT / 2)
    assert ours.gettimeout() == 0.01


def test_what_does_not_wait_is_not_late(
    ends: tuple[GuardedSocket, socket.socket],
) -> None:
    ours, theirs = ends
    ours.settimeout(0)
    ours.until = 0.0
    with pytest.raises(BlockingIOError):
        ours.recv(1)
    theirs.sendall(b"x")
    assert ours.recv(9) == b"x"


def test_without_a_deadline_and_a_timeout_a_step_waits_for_its_bytes(
    ends: tuple[GuardedSocket, socket.socket],
) -> None:
    ours, theirs = ends
    ours.settimeout(None)
    theirs.sendall(b"x")
    assert ours.recv(9) == b"x"
    ours.sendall(b"y")
    assert theirs.recv(9) == b"y"


# --- numbers that belong to others ---------------------------------------------------


@pytest.mark.parametrize("end", ["close", "shut down and close", "delete"])
def test_a_number_that_is_another_file_is_not_closed(end: str, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    guarded = GuardedSocket(ours)
    number = replace(ours.fileno(), tmp_path / "theirs")
    del ours
    assert not guarded.is_ours()
    if end == "shut down and close":
        guarded.shutdown(socket.SHUT_RDWR)
    if end != "delete":
        guarded.close()
    del guarded
    assert os.write(number, b" too") == 4
    assert (tmp_path / "theirs").read_bytes() == b"mine too"
    os.close(number)
    theirs.close()


def test_a_number_that_is_closed_is_no_error(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    guarded = GuardedSocket(ours)
    os.close(ours.fileno())
    assert not guarded.is_ours()
    guarded.close()
    theirs.close()


def test_an_own_socket_is_closed_when_it_is_dropped() -> None:
    ours, theirs = socket.socketpair()
    guarded = GuardedSocket(ours)
    del ours
    assert guarded.is_ours()
    del guarded
    theirs.settimeout(TIMEOUT)
    assert theirs.recv(1) == b""
    theirs.close()


def test_an_encrypted_socket_gives_up_its_number_as_well(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    encrypted = context.wrap_socket(ours, do_handshake_on_connect=False)
    guarded = GuardedSocket(encrypted)
    number = replace(encrypted.fileno(), tmp_path / "theirs")
    guarded.close()
    del encrypted, guarded
    assert os.write(number, b" too") == 4
    os.close(number)
    theirs.close()


def test_a_listener_does_not_read_what_the_application_opened() -> None:
    ours, theirs = socket.socketpair()
    guarded = GuardedSocket(ours)
    listener = Listener(SimpleNamespace(_sock=guarded))
    number = ours.fileno()
    mine, sender = socket.socketpair()
    os.dup2(
        mine.fileno(), number
    )  # what a program does that closes all it did not open
    sender.sendall(b"*2\r\n")
    with pytest.raises(LostError, match="closed"):
        list(listener.read_messages(TIMEOUT))
    with pytest.raises(LostError, match="closed"):
        listener.send(b"PING")
    assert mine.recv(9) == b"*2\r\n"
    guarded.close()
    os.fstat(number)  # still open
    os.close(number)
    for other in (theirs, mine, sender):
        other.close()


def sockets_of(store: Any) -> list[int]:
    """Return the numbers of the idle connections of a store."""
    if hasattr(store, "_cluster"):
        pools = [n.redis_connection.connection_pool for n in store._cluster.primaries]
        idle = [one for pool in pools for one in pool._available_connections]
    else:
        idle = [*store._connections._idle]
    return [connection._sock.fileno() for connection in idle]


@pytest.fixture(params=["redis", "redis+cluster"])
def store(
    request: pytest.FixtureRequest, valkey: ValkeyServer, namespace: str
) -> Iterator[Store]:
    server = valkey
    if request.param == "redis+cluster":
        cluster: ValkeyCluster = request.getfixturevalue("cluster")
        server = cluster  # type: ignore[assignment]  # it has a URL as well
    made = open_store_at(server.url, namespace=namespace, timeout=TIMEOUT)
    yield made
    made.close()


@pytest.mark.parametrize("then", ["use", "close"])
def test_a_store_neither_writes_to_nor_closes_what_the_application_opened(
    then: str, store: Store, tmp_path: Path
) -> None:
    eventually(lambda: is_usable(store))
    numbers = sockets_of(store)
    assert numbers
    for number in numbers:
        replace(number, tmp_path / f"{number}")
    if then == "close":
        store.close()
    assert store.load(KEY, [TAG]).entry is None
    store.evict(EvictionRequest([TAG], 0.0))
    for number in numbers:
        os.write(number, b" too")
        assert (tmp_path / f"{number}").read_bytes() == b"mine too"
        os.close(number)


def is_usable(store: Store) -> bool:
    try:
        store.load(KEY, [TAG])
    except StoreError:
        return False
    return True


# --- what a call waits for -----------------------------------------------------------


def test_a_reply_that_drips_in_ends_at_the_deadline_of_the_call(
    valkey: ValkeyServer, namespace: str
) -> None:
    with running_proxy(valkey.port) as proxy:
        store = open_store_at(proxy.url(), namespace=namespace, timeout=0.2)
        assert isinstance(store, RedisStore)
        eventually(lambda: is_usable(store))
        proxy.drip(0.02)  # a byte each: 2.5 s for what a load has here
        store._connections._patience = TIMEOUT  # the call's deadline bounds it alone
        call = store.for_call()
        began = time.monotonic()
        with pytest.raises(StoreError, match="Timeout"):
            call.load(KEY, [TAG, b"u" * 16, b"v" * 16])
        with pytest.raises(StoreError):
            call.load(KEY, [TAG])
        assert time.monotonic() - began < 1.5
        assert not store._connections._idle
        proxy.heal()
        store._connections._patience = TIMEOUT
        snapshot = store.load(KEY, [TAG]).snapshot
        assert store.load(KEY, [TAG]).snapshot == snapshot
        store.close()


def test_an_entry_that_is_large_arrives_in_one_call(
    valkey: ValkeyServer, namespace: str
) -> None:
    store = open_store_at(valkey.url, namespace=namespace, timeout=TIMEOUT)
    eventually(lambda: is_usable(store))
    entry = os.urandom(1_000_000)
    assert isinstance(store, RedisStore)
    store.for_call().fill(KEY, entry, 60.0)
    assert store.for_call().load(KEY, [TAG]).entry == entry
    store.close()


def test_what_is_asked_after_the_answer_has_a_deadline_of_its_own(
    valkey: ValkeyServer, namespace: str
) -> None:
    store = open_store_at(valkey.url, namespace=namespace, timeout=TIMEOUT)
    eventually(lambda: is_usable(store))
    call = CallStore(store)
    call.load(KEY, [TAG])
    verbs: Any = call._store
    verbs._deadline = 0.0  # the time before the request is used up
    with pytest.raises(StoreError, match="Timeout"):
        call.load(KEY, [TAG])
    another = CallStore(store)
    another.load(KEY, [TAG])
    verbs = another._store
    verbs._deadline = 0.0
    another.restart()
    another.fill([Fill(KEY, b"entry", 60.0, [TAG])])
    assert store.load(KEY, [TAG]).entry == b"entry"
    store.close()


def test_a_process_that_starts_reports_no_failure() -> None:
    counters = Counters()
    evictions = Evictions(
        MemoryStore(), FailureLog(counters, time.monotonic), settle=0, write_hold_off=0
    )
    evictions.report("begin_failed", "a miss", StoreConnectingError("still connecting"))
    assert counters.read(undelivered=0).failures == {}
    evictions.report("begin_failed", "a miss", StoreError("down"))
    assert counters.read(undelivered=0).failures == {"begin_failed": 1}
