"""Client tracking on real servers: what is current is known, and no more than that.

On a Valkey server, and on Redis' own where there is one on the PATH.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis as redis_py

from botocache._coherence import EvictionRequest
from botocache._errors import StoreError
from botocache.stores.clock import machine_clock
from botocache.stores.redis.commands import pack
from botocache.stores.redis.connections import exchange
from botocache.stores.redis.scripts import US
from botocache.stores.redis.store import CLOCK_SYNC_INTERVAL, SET_BACK, RedisStore
from botocache.stores.redis.tracking import lease, tracker
from botocache.stores.redis.tracking.lease import (
    HEARTBEAT,
    LEASE,
    PATIENCE,
    TrackingLease,
)
from botocache.stores.redis.tracking.tracker import InvalidationTracker
from botocache.stores.redis.types import Connection
from botocache.stores.redis.urls import connections_of_client, connections_of_url
from tests.support.clock import FakeClock
from tests.support.digests import key, tag, tags
from tests.support.opening import open_store_at
from tests.support.processes import (
    TIMEOUT,
    Peer,
    by_itself,
    eventually,
    fork_from_c,
    forked,
    running_peer,
)
from tests.support.redis_stores import redis_store
from tests.support.threads import no_thread
from tests.support.valkey_server import ValkeyServer, redis_binary, running_valkey

KEY = key("an entry")
A, B = tag("a"), tag("b")

_peers_store: list[RedisStore] = []


SERVERS = ["valkey", *(["redis"] if redis_binary() else [])]
"""Redis' own as well, where there is one on the PATH."""


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[ValkeyServer]:
    """A server of this file's own: its clients are killed, and it is stopped."""
    binary = redis_binary() if request.param == "redis" else None
    with running_valkey(binary) as made:
        yield made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing lapse on a slow machine."""
    monkeypatch.setattr(lease, "LEASE", 3 * TIMEOUT)
    monkeypatch.setattr(lease, "PATIENCE", 3 * TIMEOUT)


def opened(
    server: ValkeyServer, namespace: str, timeout: float = TIMEOUT, **more: Any
) -> RedisStore:
    name, make = connections_of_url(server.url, timeout)
    usual = {"name": name, "timeout": timeout, "settle": 0.0, "client_tracking": True}
    return redis_store(make, namespace=namespace, **{**usual, **more})


@pytest.fixture
def store(server: ValkeyServer, namespace: str, patient: None) -> Iterator[RedisStore]:
    made = opened(server, namespace)
    with contextlib.closing(made):
        yield made


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with running_peer() as made:
        yield made


@pytest.fixture
def other(peer: Peer, server: ValkeyServer, namespace: str) -> Peer:
    """Another process with a store of the same namespace, without client tracking."""
    peer.call(open_in_peer, server.url, namespace)
    return peer


def open_in_peer(url: str, namespace: str) -> None:
    name, make = connections_of_url(url, TIMEOUT)
    _peers_store.append(
        redis_store(make, name=name, namespace=namespace, timeout=TIMEOUT, settle=0.0)
    )


def evict_in_peer(asked: Sequence[bytes]) -> None:
    _peers_store[-1].evict(EvictionRequest(asked, 0.0))


def fresh(store: RedisStore, *asked: bytes) -> tuple[int, ...]:
    """Return generations that are current, until an eviction."""
    found: list[tuple[int, ...]] = []
    store.load(KEY, asked)
    eventually(lambda: is_at_work(store))
    process_all(store)  # that is, of those that the load has just made

    def is_known() -> bool:
        found[:] = [store.load(KEY, asked).snapshot]
        return store.is_current(asked, found[0])

    eventually(is_known)
    return found[0]


def process_all(store: RedisStore) -> None:
    """Wait until all earlier invalidations were processed."""
    it, last = tracker_of(store), tag("the last change")
    it._generations.learn(it.begin(), [last], (1,))
    connection = it._make()
    connection.connect()
    exchange(connection, pack((b"SET", store._keys.generation(last), b"1")), 1)
    connection.disconnect()
    eventually(lambda: not it._generations.match([last], (1,)))


def tracker_of(store: RedisStore) -> InvalidationTracker:
    assert store._tracker is not None
    return store._tracker


def remembers(store: RedisStore, *asked: bytes, snapshot: tuple[int, ...]) -> bool:
    """Tell whether it would say that this is current, if there were nothing unheard."""
    return tracker_of(store)._generations.match(asked, snapshot)


def is_at_work(store: RedisStore) -> bool:
    return "at work" in repr(tracker_of(store))


def kill_tracking(server: ValkeyServer) -> None:
    server.command("CLIENT", "KILL", "TYPE", "pubsub")


def lose_it(server: ValkeyServer, store: RedisStore) -> None:
    """Kill the connection; return when there is another one."""
    it, begun = tracker_of(store), threading.Event()
    restart = it._restart

    def noted() -> None:
        restart()
        begun.set()

    it._restart = noted
    kill_tracking(server)
    assert begun.wait(TIMEOUT)
    it._restart = restart
    eventually(lambda: is_at_work(store))


def tracking_connections(server: ValkeyServer) -> int:
    return server.command("CLIENT", "LIST", "TYPE", "pubsub").count(b"sub=1")


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == tracker.NAME]


@contextlib.contextmanager
def deaf(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Keep the thread from reading messages for a while."""
    session, is_deaf, may_hear = (
        current_session(store),
        threading.Event(),
        threading.Event(),
    )
    is_ping_due = TrackingLease.is_ping_due

    def wait(it: TrackingLease, now: float) -> bool:
        if it is session.lease and not it._is_waiting:  # else a PONG would be unheard
            is_deaf.set()
            assert may_hear.wait(TIMEOUT)
        return is_ping_due(it, now)

    monkeypatch.setattr(TrackingLease, "is_ping_due", wait)
    assert is_deaf.wait(TIMEOUT)
    try:
        yield session
    finally:
        may_hear.set()


class Crossing:
    """Stands between a store and its server: something happens to each answer."""

    def __init__(self, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ask = store._connections.ask
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None
        monkeypatch.setattr(store._connections, "ask", self)

    def __call__(self, packed: bytes, count: int, *more: Any, **how: Any) -> list[Any]:
        before, self.before = self.before, lambda: None
        after, self.after = self.after, lambda: None
        before()
        replies = self._ask(packed, count, *more, **how)
        after()
        return replies


# --- what is current -----------------------------------------------------------------


def test_what_was_loaded_is_current_until_a_tag_is_evicted(store: RedisStore) -> None:
    snapshot = fresh(store, A, B)
    eventually(lambda: store.is_current((A, B), list(snapshot)))
    store.evict(EvictionRequest([A], 0.0))
    assert not store.is_current([A, B], snapshot)
    assert not remembers(store, A, snapshot=snapshot[:1])
    eventually(lambda: store.is_current([B], snapshot[1:]))


def test_what_is_watched_is_current_for_as_long_as_it_is(
    server: ValkeyServer, store: RedisStore, other: Peer
) -> None:
    snapshot = fresh(store, A, B)
    both, one, old = (
        store.watch([A, B], snapshot),
        store.watch([B], snapshot[1:]),
        store.watch([A], [snapshot[0] + 1]),
    )
    eventually(lambda: both() and one())
    assert not old()
    other.call(evict_in_peer, [A])
    eventually(lambda: not both())
    eventually(one)
    store.evict(EvictionRequest([B], 0.0))
    assert not one()


def test_nothing_that_was_watched_is_current_after_the_servers_clock_went_back(
    store: RedisStore,
) -> None:
    """A server that slows its clock must not keep what it says alive beyond its TTL."""
    snapshot = fresh(store, A)
    watched = store.watch([A], snapshot)
    eventually(watched)
    # In steps, each of which is small. Each sync replaces what is known.
    for back in (0.0, 0.4, 0.8, 1.2):
        told = (machine_clock() + store._latest_offset - back * SET_BACK) * US
        store._synced_at -= CLOCK_SYNC_INTERVAL
        is_still_watched = back < 1.0
        store._sync_clock(round(told))
        eventually(lambda: watched() is is_still_watched)  # noqa: B023 - at once
    assert fresh(store, A) == snapshot
    assert not watched()


def test_a_watched_snapshot_is_not_current_without_client_tracking(
    server: ValkeyServer, store: RedisStore
) -> None:
    assert not store.watch([A], (1,))()
    snapshot = fresh(store, A)
    watched = store.watch([A], snapshot)
    eventually(watched)
    kill_tracking(server)
    eventually(lambda: not watched())
    assert fresh(store, A) == snapshot
    eventually(watched)

    def child(pipe: Any) -> None:
        pipe.send(watched())
        fresh(store, A)
        pipe.send(watched())

    with forked(child) as pipe:
        for _ in range(2):
            assert pipe.poll(TIMEOUT)
            assert pipe.recv() is False
    store.close()
    assert not watched()


def test_a_store_that_does_not_follow_watches_nothing(
    server: ValkeyServer, namespace: str
) -> None:
    with contextlib.closing(opened(server, namespace, client_tracking=False)) as made:
        snapshot = made.load(KEY, [A]).snapshot
        assert not made.watch([A], snapshot)()


def test_what_a_batch_loaded_is_current(store: RedisStore) -> None:
    fresh(store, A, B)
    loaded = store.load_many([(KEY, [A]), (key("another"), [B, A])])
    eventually(lambda: store.is_current([A], loaded[0].snapshot))
    eventually(lambda: store.is_current([B, A], loaded[1].snapshot))


def test_a_restored_generation_is_current_again(store: RedisStore) -> None:
    before = fresh(store, A)
    first = store.evict(EvictionRequest([A], 5.0))
    assert not store.is_current([A], before)
    store.evict(EvictionRequest([A], 1.0, first_eviction=first, restore=[A]))
    assert fresh(store, A) == before


def test_an_eviction_of_another_process_is_heard_of(
    store: RedisStore, other: Peer
) -> None:
    snapshot = fresh(store, A, B)
    other.call(evict_in_peer, [A])
    eventually(lambda: not store.is_current([A, B], snapshot))
    eventually(lambda: store.is_current([B], snapshot[1:]))
    assert fresh(store, A) != snapshot[:1]


def test_an_eviction_by_another_store_of_this_process_is_known_when_it_ends(
    server: ValkeyServer, store: RedisStore, namespace: str
) -> None:
    second = opened(server, namespace, client_tracking=False)
    with contextlib.closing(second):
        for _ in range(50):
            snapshot = fresh(store, A)
            second.evict(EvictionRequest([A], 0.0))
            assert not remembers(store, A, snapshot=snapshot)


def test_an_eviction_in_another_namespace_changes_nothing(
    server: ValkeyServer, store: RedisStore, namespace: str
) -> None:
    snapshot = fresh(store, A)
    another = opened(server, namespace + "x")
    with contextlib.closing(another):
        another.evict(EvictionRequest([A], 0.0))
        fresh(another, A)  # so the server has told of all that was before
    eventually(lambda: store.is_current([A], snapshot))


def test_what_the_server_loses_is_not_current(
    server: ValkeyServer, store: RedisStore
) -> None:
    snapshot = fresh(store, A, B)
    server.command("DEL", store._keys.generation(A).decode())
    eventually(lambda: not store.is_current([A], snapshot[:1]))
    eventually(lambda: store.is_current([B], snapshot[1:]))
    server.command("FLUSHALL")
    eventually(lambda: not store.is_current([B], snapshot[1:]))


def test_an_invalidation_of_another_key_changes_no_generation(
    server: ValkeyServer, store: RedisStore
) -> None:
    snapshot = fresh(store, A)
    server.command("SET", store._keys.generations.decode() + "{zz}\u00fc", "1")
    server.command("DEL", store._keys.generation(B).decode())
    fresh(store, B)
    eventually(lambda: store.is_current([A], snapshot))


def test_a_store_that_does_not_follow_knows_nothing(
    server: ValkeyServer, namespace: str
) -> None:
    store = opened(server, namespace, client_tracking=False)
    with contextlib.closing(store):
        assert not store.is_current([A], store.load(KEY, [A]).snapshot)
    assert "InvalidationTracker" not in repr(store)


def test_not_more_tags_are_remembered_than_the_limit(
    store: RedisStore,
) -> None:
    many = tags(30)
    fresh(store, *many)
    tracker_of(store)._generations._limit = 10
    snapshot = store.load(KEY, many).snapshot
    assert repr(tracker_of(store)) == "<InvalidationTracker at work, 10 tags>"
    assert not store.is_current(many, snapshot)
    eventually(lambda: store.is_current(many[-10:], snapshot[-10:]))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode", [False, True])
def test_the_users_own_client_may_speak_either_protocol(
    server: ValkeyServer, namespace: str, patient: None, protocol: int, decode: bool
) -> None:
    client = redis_py.Redis(
        port=server.port, protocol=protocol, decode_responses=decode
    )
    with client:
        name, make = connections_of_client(client, TIMEOUT)
        store = redis_store(
            make,
            name=name,
            namespace=namespace,
            timeout=TIMEOUT,
            settle=0.0,
            client_tracking=True,
        )
        with contextlib.closing(store):
            snapshot = fresh(store, A, B)
            server.command("DEL", store._keys.generation(A).decode())
            eventually(lambda: not store.is_current([A], snapshot[:1]))
            eventually(lambda: store.is_current([B], snapshot[1:]))


@pytest.mark.parametrize("scheme", ["redis", "valkey", "unix"])
def test_it_is_followed_where_the_url_and_the_setting_say_so(
    server: ValkeyServer, namespace: str, scheme: str
) -> None:
    place = server.socket_path if scheme == "unix" else f"127.0.0.1:{server.port}"
    store = open_store_at(
        f"{scheme}://{place}",
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
        longest_ttl=60.0,
        client_tracking=True,
    )
    assert isinstance(store, RedisStore)
    with contextlib.closing(store):
        assert fresh(store, A)


# --- races ---------------------------------------------------------------------------


def test_a_load_that_an_invalidation_crosses_does_not_bring_the_old_back(
    store: RedisStore, other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fresh(store, A, B)
    crossing = Crossing(store, monkeypatch)

    def evicted_meanwhile() -> None:
        other.call(evict_in_peer, [A])
        eventually(lambda: not remembers(store, A, snapshot=old[:1]))

    crossing.after = evicted_meanwhile
    assert store.load(KEY, [A, B]).snapshot == old  # for it was asked before
    assert not remembers(store, A, snapshot=old[:1])
    eventually(lambda: store.is_current([B], old[1:]))
    assert fresh(store, A) != old[:1]


def test_a_batch_that_an_invalidation_crosses_does_not_bring_the_old_back(
    store: RedisStore, other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fresh(store, A)
    crossing = Crossing(store, monkeypatch)

    def evicted_meanwhile() -> None:
        other.call(evict_in_peer, [A])
        eventually(lambda: not remembers(store, A, snapshot=old))

    crossing.after = evicted_meanwhile
    assert store.load_many([(KEY, [A])])[0].snapshot == old
    assert not remembers(store, A, snapshot=old)


def test_a_load_that_an_eviction_of_this_process_crosses_does_not_bring_the_old_back(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fresh(store, A)
    crossing = Crossing(store, monkeypatch)
    crossing.after = lambda: store.evict(EvictionRequest([A], 0.0))
    assert store.load(KEY, [A]).snapshot == old
    assert not remembers(store, A, snapshot=old)


def test_an_invalidation_that_comes_after_the_load_ends_what_it_brought(
    store: RedisStore, other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reply is from before the eviction, and learned before the invalidation.
    old = fresh(store, A)
    with deaf(store, monkeypatch) as session:
        monkeypatch.setattr(session, "has_unread", lambda: False)  # it is on its way
        crossing = Crossing(store, monkeypatch)
        crossing.after = lambda: other.call(evict_in_peer, [A])
        assert store.load(KEY, [A]).snapshot == old
        eventually(lambda: store.is_current([A], old))  # as late as the way takes
    eventually(lambda: not store.is_current([A], old))


def test_what_has_arrived_counts_although_the_thread_had_no_turn_to_hear_it(
    store: RedisStore, other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fresh(store, A)
    with deaf(store, monkeypatch):
        eventually(lambda: store.is_current([A], old))
        other.call(evict_in_peer, [A])
        eventually(lambda: not store.is_current([A], old))
    assert fresh(store, A) != old


def test_what_is_being_heard_counts(
    store: RedisStore, other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, hearing = fresh(store, A), threading.Event()
    take_in = tracker_of(store)._invalidate

    def take_in_late(changed: Sequence[bytes] | None) -> None:
        assert hearing.wait(TIMEOUT)
        take_in(changed)

    monkeypatch.setattr(tracker_of(store), "_invalidate", take_in_late)
    other.call(evict_in_peer, [A])
    eventually(lambda: not store.is_current([A], old))
    assert remembers(store, A, snapshot=old)  # which it is still about to forget
    hearing.set()
    eventually(lambda: not remembers(store, A, snapshot=old))


def test_a_load_that_a_loss_crosses_brings_nothing(
    server: ValkeyServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fresh(store, A)
    crossing = Crossing(store, monkeypatch)
    crossing.after = lambda: lose_it(server, store)
    assert store.load(KEY, [A]).snapshot == old
    assert not remembers(store, A, snapshot=old)


def test_a_load_that_began_before_it_followed_counts_for_nothing(
    store: RedisStore, other: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = store.load(KEY, [A]).snapshot
    store.close()
    make, may_go_on = tracker_of(store)._make, threading.Event()

    def make_late() -> Connection:
        assert may_go_on.wait(TIMEOUT)
        return make()

    monkeypatch.setattr(tracker_of(store), "_make", make_late)
    crossing = Crossing(store, monkeypatch)

    def evicted_and_followed_meanwhile() -> None:
        other.call(evict_in_peer, [A])  # whose invalidation is lost
        may_go_on.set()
        eventually(lambda: is_at_work(store))

    crossing.after = evicted_and_followed_meanwhile
    assert store.load(KEY, [A]).snapshot == old
    assert not remembers(store, A, snapshot=old)


def test_an_eviction_with_an_unknown_outcome_counts_as_done(
    server: ValkeyServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = fresh(store, A)

    def fail() -> None:
        raise StoreError("no answer")

    Crossing(store, monkeypatch).before = fail
    with pytest.raises(StoreError):
        store.evict(EvictionRequest([A], 0.0))
    assert not remembers(store, A, snapshot=snapshot)
    assert fresh(store, A) == snapshot


def test_own_writes_are_never_late_whatever_other_threads_load(
    store: RedisStore,
) -> None:
    is_over = threading.Event()

    def load() -> None:
        while not is_over.is_set():
            store.load(KEY, [A])

    loader = threading.Thread(target=load)
    loader.start()
    late = 0
    for _ in range(300):
        snapshot = store.load(KEY, [A]).snapshot
        store.evict(EvictionRequest([A], 0.0))
        late += remembers(store, A, snapshot=snapshot)
    is_over.set()
    loader.join(TIMEOUT)
    assert late == 0


# --- losses --------------------------------------------------------------------------


def test_when_its_connection_is_killed_nothing_is_current_until_it_follows_again(
    server: ValkeyServer, store: RedisStore
) -> None:
    snapshot = fresh(store, A)
    kill_tracking(server)
    eventually(lambda: not store.is_current([A], snapshot))
    eventually(lambda: is_at_work(store))
    assert not store.is_current([A], snapshot)  # an eviction may have been missed
    assert fresh(store, A) == snapshot


def test_an_eviction_while_it_did_not_follow_is_not_missed(
    server: ValkeyServer,
    store: RedisStore,
    other: Peer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshot = fresh(store, A)
    make, may_go_on = tracker_of(store)._make, threading.Event()

    def make_late() -> Connection:
        assert may_go_on.wait(TIMEOUT)
        return make()

    monkeypatch.setattr(tracker_of(store), "_make", make_late)
    kill_tracking(server)
    eventually(lambda: not is_at_work(store))
    store.load(KEY, [A])
    other.call(evict_in_peer, [A])
    may_go_on.set()
    eventually(lambda: is_at_work(store))
    assert not store.is_current([A], snapshot)
    assert fresh(store, A) != snapshot


def test_a_server_that_restarts_is_followed_again(
    namespace: str, patient: None
) -> None:
    with running_valkey() as server:
        store = opened(server, namespace, timeout=1.0)
        with contextlib.closing(store):
            snapshot = fresh(store, A)
            server.kill()
            eventually(lambda: not store.is_current([A], snapshot))
            server.start()
            eventually(lambda: _answers(store))
            assert fresh(store, A) != snapshot


def _answers(store: RedisStore) -> bool:
    try:
        store.load(KEY, [A])
    except StoreError:
        return False
    return True


def test_a_server_that_is_stopped_is_not_trusted_beyond_the_lease(
    server: ValkeyServer, namespace: str
) -> None:
    clock = FakeClock()
    store = opened(server, namespace)
    with contextlib.closing(store):
        tracker_of(store)._clock = clock
        snapshot = fresh(store, A)
        until = current_session(store).lease.until
        server.signal(signal.SIGSTOP)
        try:
            clock.advance(until - clock() - 0.001)
            eventually(lambda: store.is_current([A], snapshot))
            clock.advance(0.002)
            assert not store.is_current([A], snapshot)
        finally:
            server.signal(signal.SIGCONT)
        # Nothing was missed, as its answer to what it was asked meanwhile proves.
        eventually(lambda: _ticks(clock) and store.is_current([A], snapshot))


def _ticks(clock: FakeClock) -> bool:
    clock.advance(HEARTBEAT / 10)
    return True


def current_session(store: RedisStore) -> Any:
    session = tracker_of(store)._session
    assert session is not None
    return session


def test_the_lease_counts_from_when_the_server_was_asked_not_from_its_answer(
    server: ValkeyServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, leases = FakeClock(), []
    is_answered = TrackingLease.pong_received

    def noted(it: TrackingLease) -> None:
        is_answered(it)
        leases.append(it.until)

    monkeypatch.setattr(TrackingLease, "pong_received", noted)
    store = opened(server, namespace)
    with contextlib.closing(store):
        tracker_of(store)._clock = clock
        fresh(store, A)
        leases.clear()
        server.signal(signal.SIGSTOP)
        try:
            clock.advance(HEARTBEAT)
            asked = clock()
            eventually(lambda: current_session(store).lease._is_waiting)
            clock.advance(HEARTBEAT)
        finally:
            server.signal(signal.SIGCONT)
        eventually(lambda: len(leases) > 0)
        assert leases[0] == asked + LEASE


def test_a_connection_without_an_answer_is_given_up(
    server: ValkeyServer, namespace: str
) -> None:
    clock = FakeClock()
    store = opened(server, namespace)
    with contextlib.closing(store):
        tracker_of(store)._clock = clock
        fresh(store, A)
        server.signal(signal.SIGSTOP)
        try:
            clock.advance(HEARTBEAT)
            eventually(lambda: current_session(store).lease._is_waiting)
            clock.advance(PATIENCE)
            eventually(lambda: current_session(store).trouble == "ConnectionError")
        finally:
            server.signal(signal.SIGCONT)
        fresh(store, A)


def test_an_answer_that_is_none_of_ours_is_a_loss(
    server: ValkeyServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh(store, A)

    def damaged(_: object) -> None:
        raise ValueError("damaged")

    monkeypatch.setattr(tracker_of(store), "_invalidate", damaged)
    server.command("DEL", store._keys.generation(A).decode())
    eventually(lambda: current_session(store).trouble == "ValueError")
    monkeypatch.undo()
    fresh(store, A)


def test_a_store_that_was_led_to_another_server_follows_that_one(
    server: ValkeyServer, namespace: str, patient: None
) -> None:
    with running_valkey() as second:
        here, there = (connections_of_url(s.url, TIMEOUT)[1] for s in (server, second))
        leads_to = [here]

        def make() -> Connection:
            return leads_to[0]()

        store = redis_store(
            make,
            namespace=namespace,
            timeout=TIMEOUT,
            settle=0.0,
            client_tracking=True,
        )
        with contextlib.closing(store):
            old = fresh(store, A)
            session = tracker_of(store)._session
            leads_to[0] = there
            store._connections.close()  # as if that connection alone had been lost
            store.load(KEY, [A])
            assert not store.is_current([A], old)
            assert tracker_of(store)._session is not session
            new = fresh(store, A)
            assert new != old
            second.command("DEL", store._keys.generation(A).decode())
            eventually(lambda: not store.is_current([A], new))


def test_connections_from_before_it_follows_are_not_used_after(
    server: ValkeyServer, store: RedisStore
) -> None:
    fresh(store, A)
    idle = list(store._connections._idle)
    assert idle
    lose_it(server, store)
    fresh(store, A)
    assert not set(map(id, idle)) & set(map(id, store._connections._idle))


# --- beginning and ending ------------------------------------------------------------


def test_opening_a_store_connects_to_nothing_and_starts_nothing(
    server: ValkeyServer, namespace: str
) -> None:
    before = set(threads())
    store = opened(server, namespace)
    assert not store.is_current([A], (1,))
    assert not store.is_current([], ())
    assert not set(threads()) - before
    assert not store._connections._idle
    store.close()


def test_closing_ends_thread_and_connection_and_the_next_load_begins_anew(
    server: ValkeyServer, namespace: str, patient: None
) -> None:
    before = set(threads())
    store = opened(server, namespace)
    snapshot = fresh(store, A)
    assert len(set(threads()) - before) == 1
    eventually(lambda: tracking_connections(server) == 1)
    store.close()
    assert not set(threads()) - before
    eventually(lambda: tracking_connections(server) == 0)
    assert not store.is_current([A], snapshot)
    assert fresh(store, A) == snapshot
    store.close()


def test_where_no_thread_can_be_started_nothing_is_current_and_all_else_goes_on(
    server: ValkeyServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(server, namespace)
    store.load(KEY, [A])  # a connection takes a thread, too
    store.close()
    with contextlib.closing(store):
        start = threading.Thread.start
        monkeypatch.setattr(
            threading.Thread,
            "start",
            lambda it: (no_thread if it.name == tracker.NAME else start)(it),
        )
        snapshot = store.load(KEY, [A]).snapshot
        assert not store.is_current([A], snapshot)
        monkeypatch.undo()
        assert fresh(store, A) == snapshot


def test_a_child_follows_by_itself_and_leaves_its_parent_alone(
    server: ValkeyServer, store: RedisStore, other: Peer
) -> None:
    snapshot = fresh(store, A)
    session = tracker_of(store)._session

    def child(pipe: Any) -> None:
        pipe.send(store.is_current([A], snapshot))
        pipe.send(fresh(store, A))
        assert pipe.recv() == "evicted"
        eventually(lambda: not store.is_current([A], snapshot))
        pipe.send(fresh(store, A))

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is False  # before its first look-up
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() == snapshot
        other.call(evict_in_peer, [A])
        eventually(lambda: not store.is_current([A], snapshot))
        pipe.send("evicted")
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() == fresh(store, A)
    assert tracker_of(store)._session is session
    snapshot = fresh(store, A)
    other.call(evict_in_peer, [A])
    eventually(lambda: not store.is_current([A], snapshot))


@by_itself
def test_a_worker_that_was_forked_from_c_takes_nothing_for_current(
    store: RedisStore,
) -> None:
    """The thread of its parent takes the messages."""
    snapshot = fresh(store, A)
    is_current = store.watch([A], snapshot)
    assert is_current()

    def work(pipe: Any) -> None:
        pipe.send((store.is_current([A], snapshot), is_current()))

    with forked(work, fork_from_c) as worker:
        assert worker.recv() == (False, False)
    assert is_current()


def test_a_process_that_was_stopped_trusts_nothing_when_it_goes_on(
    server: ValkeyServer, namespace: str, patient: None
) -> None:
    with running_peer() as peer:
        pid = peer.call(os.getpid)
        peer.call(follow_in_peer, server.url, namespace)
        snapshot = peer.call(fresh_in_peer, [A])
        peer.stop()
        evicting = opened(server, namespace, client_tracking=False)
        with contextlib.closing(evicting):
            evicting.evict(EvictionRequest([A], 0.0))
        time.sleep(2 * LEASE)  # real: the lease of another process ends
        os.kill(pid, signal.SIGCONT)
        assert peer.call(is_current_in_peer, [A], snapshot) is False


def follow_in_peer(url: str, namespace: str) -> None:
    name, make = connections_of_url(url, TIMEOUT)
    _peers_store.append(
        redis_store(
            make,
            name=name,
            namespace=namespace,
            timeout=TIMEOUT,
            settle=0.0,
            client_tracking=True,
        )
    )


def fresh_in_peer(asked: Sequence[bytes]) -> tuple[int, ...]:
    return fresh(_peers_store[-1], *asked)


def is_current_in_peer(asked: Sequence[bytes], snapshot: Sequence[int]) -> bool:
    return _peers_store[-1].is_current(asked, snapshot)


# --- where it may not ----------------------------------------------------------------

FORBIDDEN = {
    "-client|id": "CLIENT ID: NoPermissionError",
    "-client|tracking": "CLIENT TRACKING: NoPermissionError",
    "-subscribe": "SUBSCRIBE: NOPERM",
    "resetchannels": "SUBSCRIBE: NOPERM",
}


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_a_server_that_forbids_client_tracking_is_loaded_from_and_logged_once(
    server: ValkeyServer,
    namespace: str,
    rule: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    user = f"user-{namespace}"
    server.command("ACL", "SETUSER", user, "on", ">s3cret", "~*", "&*", "+@all", rule)
    url = f"redis://{user}:s3cret@127.0.0.1:{server.port}/0"
    store = redis_store(
        connections_of_url(url, TIMEOUT)[1],
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
        client_tracking=True,
    )
    with contextlib.closing(store):
        for _ in range(3):
            snapshot = store.load(KEY, [A]).snapshot
            eventually(lambda: "<InvalidationTracker refused" in repr(store))
            assert not store.is_current([A], snapshot)
            store.close()  # and even if it is opened anew
    (line,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert line.getMessage() == (
        "botocache: client_tracking_refused: the server does not announce changes to "
        f"us, so every hit asks it ({FORBIDDEN[rule]}); allow the command, or remove "
        "client_tracking"
    )
    eventually(lambda: not threads())


def test_a_user_without_the_right_to_info_can_use_client_tracking(
    server: ValkeyServer, namespace: str, patient: None
) -> None:
    user = f"user-{namespace}"
    server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-info")
    url = f"redis://{user}:pw@127.0.0.1:{server.port}/0"
    store = redis_store(
        connections_of_url(url, TIMEOUT)[1],
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
        client_tracking=True,
    )
    with contextlib.closing(store):
        assert fresh(store, A)
