"""The store in a cluster: what goes where, and what it does when that changes.

What it has in common with other stores is in test_contract.py; what happens when a
primary changes is in test_cluster_failover.py.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from os import urandom
from signal import SIGCONT, SIGSTOP
from threading import Event, Thread
from typing import Any

import pytest
import redis as redis_py
from redis.cluster import LoadBalancingStrategy

from botocache._coherence import LONGEST_HOLD_OFF, EvictionRequest, Held
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreError
from botocache.stores.protocol import Fill
from botocache.stores.redis.cluster.batch import slot_of
from botocache.stores.redis.cluster.store import ClusterStore
from botocache.stores.redis.cluster.urls import endpoints_of_url
from botocache.stores.redis.keys import Keys
from tests.support.digests import key, tag, tags
from tests.support.evictions import left_by
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually, forked
from tests.support.redis_stores import cluster_store
from tests.support.valkey_cluster import ValkeyCluster, move_keys, slots_of
from tests.support.valkey_server import ValkeyServer

KEY = key("an entry")
A = tag("a")
WINDOW = 5.0
TTL = 60.0


@pytest.fixture
def opened(
    cluster: ValkeyCluster, namespace: str
) -> Iterator[Callable[..., ClusterStore]]:
    """Opens stores on the cluster, each as another process does."""
    made: list[ClusterStore] = []

    def open_one(
        timeout: float = TIMEOUT, url: str = cluster.url, **settings: Any
    ) -> ClusterStore:
        name, endpoints = endpoints_of_url(url, timeout)
        settings = {"name": name, "timeout": timeout, "settle": 0.0, **settings}
        store = cluster_store(endpoints, namespace=namespace, **settings)
        made.append(store)
        return store

    yield open_one
    for store in made:
        store.close()


@pytest.fixture
def store(opened: Callable[[], ClusterStore]) -> ClusterStore:
    return opened()


def slot_of_tag(of: bytes, namespace: str) -> int:
    return slot_of((b"GET", Keys(namespace).generation(of)))


def keys_at(node: ValkeyServer, namespace: str) -> set[str]:
    """The keys of a namespace that a server has."""
    lines = node.command("KEYS", f"botocache:{namespace}:*").split(b"\r\n")
    return {line.decode() for line in lines[2::2]}


@contextmanager
def stopped(*nodes: ValkeyServer) -> Iterator[None]:
    for node in nodes:
        node.signal(SIGSTOP)
    try:
        yield
    finally:
        for node in nodes:
            node.signal(SIGCONT)


def calls_of(node: ValkeyServer, verb: str) -> int:
    """How often a server was told to do something."""
    for line in node.command("INFO", "commandstats").split(b"\r\n"):
        if line.startswith(b"cmdstat_%b:" % verb.encode()):
            return int(line.split(b"calls=")[1].split(b",")[0])
    return 0


# --- what goes where ---------------------------------------------------------------


def test_what_an_entry_depends_on_is_spread_and_a_tag_is_with_its_shard(
    store: ClusterStore, cluster: ValkeyCluster, namespace: str
) -> None:
    many = tags(60)
    store.fill_many([Fill(each, b"entry", TTL, [each]) for each in many])
    store.evict(EvictionRequest(many, WINDOW))
    kept = [keys_at(node, namespace) for node in cluster.nodes]
    assert all(any(":e:" in name for name in names) for names in kept)
    for names in kept:
        shards = {name.partition("{")[2][:2] for name in names if ":g:" in name}
        held = {name.partition("{")[2][:2] for name in names if ":h:" in name}
        assert shards
        assert shards <= held


def test_two_processes_see_one_store(opened: Callable[[], ClusterStore]) -> None:
    one, other = opened(), opened()
    before = other.load(KEY, [A]).snapshot
    one.fill(KEY, b"entry", TTL, [A])
    assert other.load(KEY, [A]) == (b"entry", before, Held.FREE)
    one.evict(EvictionRequest([A], WINDOW))
    after = other.load(KEY, [A])
    assert after.snapshot != before
    assert after.held is Held.WRITING


def test_all_servers_work_at_a_time(
    store: ClusterStore, cluster: ValkeyCluster
) -> None:
    many = tags(60)
    store.load(KEY, many)
    slow, *others = cluster.nodes
    before = [calls_of(node, "getrange") for node in others]
    reader = Thread(target=store.load, args=(KEY, many))
    with stopped(slow):
        reader.start()
        for node, count in zip(others, before, strict=True):
            eventually(lambda n=node, c=count: calls_of(n, "getrange") > c)  # type: ignore[misc]  # defaults
        assert reader.is_alive()
    reader.join(TIMEOUT)
    assert not reader.is_alive()


def test_clear_drops_what_is_on_any_server_and_nothing_else(
    store: ClusterStore, cluster: ValkeyCluster, namespace: str
) -> None:
    others = Keys(f"{namespace}-other")
    with redis_py.RedisCluster("127.0.0.1", cluster.nodes[0].port) as client:
        client.set(others.entry(KEY), "entry")
        store.fill_many([Fill(each, b"entry", TTL, [each]) for each in tags(60)])
        store.clear()
        assert client.get(others.entry(KEY)) == b"entry"
        client.delete(others.entry(KEY))
    left = set().union(*(keys_at(node, namespace) for node in cluster.nodes))
    assert left
    assert not any(":e:" in name for name in left)


def test_a_value_of_another_type_is_a_miss(
    store: ClusterStore, cluster: ValkeyCluster, namespace: str
) -> None:
    keys = Keys(namespace)
    before = store.load(KEY, [A]).snapshot
    with redis_py.RedisCluster("127.0.0.1", cluster.nodes[0].port) as client:
        for name in (keys.entry(KEY), keys.generation(A)):
            client.delete(name)
            client.lpush(name, "damage")
    loaded = store.load(KEY, [A])
    assert loaded.entry is None
    assert loaded.snapshot != before
    assert store.load(KEY, [A]) == loaded


def test_its_clock_is_that_of_the_servers(store: ClusterStore) -> None:
    assert store.now() == pytest.approx(time.time(), abs=TIMEOUT)  # until they tell
    store.load(KEY, tags(60))
    assert store.now() <= time.time()
    assert store.now() == pytest.approx(time.time(), abs=TIMEOUT)


def set_back(store: ClusterStore, seconds: float) -> None:
    """Set one server's clock back; no server of this machine has a clock of its own."""
    slow, *_ = store._cluster.primaries
    clocks = store._cluster.clocks
    clocks.set_offset(slow.name, clocks.offset - seconds)


def test_of_clocks_that_differ_the_one_that_is_behind_counts(
    store: ClusterStore,
) -> None:
    many = tags(60)
    store.load(KEY, many)
    set_back(store, 100.0)
    assert store.now() <= time.time() - 100.0
    store.evict(EvictionRequest(many, 1.0))
    assert store.load(KEY, many).held is Held.WRITING


def test_where_clocks_are_too_far_apart_nothing_is_kept(store: ClusterStore) -> None:
    store.load(KEY, tags(60))
    set_back(store, LONGEST_HOLD_OFF + 60.0)
    with pytest.raises(StoreError, match="too far apart"):
        store.load(KEY, tags(60))


def test_what_a_new_store_meets_late_evicts_nothing(
    store: ClusterStore, cluster: ValkeyCluster, namespace: str
) -> None:
    # All primaries are connected, and their clocks read, when the map is known.
    everything = tag_digest(EVERYTHING)
    before = store.load(KEY, [everything]).snapshot
    client = store._cluster
    assert not any(client.clocks.is_due(node.name) for node in client.primaries)
    store.load(KEY, tags(60))
    assert store.load(KEY, [everything]).snapshot == before


def test_a_hanging_server_that_is_not_needed_delays_calls_once_at_most(
    opened: Callable[..., ClusterStore], cluster: ValkeyCluster, namespace: str
) -> None:
    keys = Keys(namespace)
    needed = cluster.owner(slot_of_tag(tag_digest(EVERYTHING), namespace))
    held = {*slots_of(needed)}
    near = next(t for t in tags(60) if slot_of((b"GET", keys.generation(t))) in held)
    entry = next(k for k in tags(60) if slot_of((b"GET", keys.entry(k))) in held)
    store = opened(timeout=0.5)
    with stopped(next(node for node in cluster.nodes if node is not needed)):
        with suppress(StoreError):  # it may wait, and then others have no time
            store.load(entry, [near])
        store.fill(entry, b"entry", TTL, [near])
        assert store.load(entry, [near]).entry == b"entry"


# --- slots on their way --------------------------------------------------------------


def test_a_slot_may_move_while_it_is_used(
    store: ClusterStore, cluster: ValkeyCluster, namespace: str
) -> None:
    slot = slot_of_tag(A, namespace)
    target = next(n for n in cluster.nodes if n is not cluster.owner(slot))
    store.load(KEY, [A])

    def use() -> None:
        first = store.evict(EvictionRequest([A], WINDOW, watch=[A]))
        assert first.watched == {A: first.evicted[A].generation}
        second = store.evict(EvictionRequest([A], 0.0, first_eviction=first))
        assert second.evicted[A].was_alone
        assert store.load(KEY, [A]).snapshot == (second.evicted[A].generation,)

    use()
    with closing(cluster.migrate(slot, target)) as moving:
        for _ in moving:
            use()
    use()
    assert cluster.owner(slot) is target


def test_an_entry_is_found_wherever_its_slot_is(
    store: ClusterStore, cluster: ValkeyCluster, namespace: str
) -> None:
    slot = slot_of((b"GET", Keys(namespace).entry(KEY)))
    target = next(n for n in cluster.nodes if n is not cluster.owner(slot))
    store.fill(KEY, b"entry", TTL)
    with closing(cluster.migrate(slot, target)) as moving:
        for _ in moving:
            assert store.load(KEY, [A]).entry == b"entry"
            store.fill(KEY, b"entry", TTL)
    assert store.load(KEY, [A]).entry == b"entry"


@pytest.mark.parametrize("moved", ["generation", "held"])
def test_what_is_divided_between_two_servers_can_be_evicted(
    opened: Callable[[], ClusterStore],
    cluster: ValkeyCluster,
    namespace: str,
    moved: str,
) -> None:
    store, other = opened(), opened()
    slot = slot_of_tag(A, namespace)
    source = cluster.owner(slot)
    target = next(n for n in cluster.nodes if n is not source)
    first = store.evict(EvictionRequest([A], WINDOW))
    before = other.load(KEY, [A]).snapshot
    with closing(cluster.migrate(slot, target)) as moving:
        next(moving)
        move_keys(source, target, getattr(Keys(namespace), moved)(A).decode())
        second = store.evict(
            EvictionRequest([A], 0.0, watch=[A], first_eviction=first, restore=[A])
        )
        assert not second.evicted[A].was_alone
        assert second.held is Held.WRITING
        with pytest.raises(StoreError, match="is moving"):
            other.load(KEY, [A])
        assert other._breaker._failures == 0  # for the servers do not fail
    assert other.load(KEY, [A]).snapshot != before


# --- servers that fail ---------------------------------------------------------------


def test_a_call_to_two_slow_servers_waits_once(
    opened: Callable[[float], ClusterStore], cluster: ValkeyCluster
) -> None:
    timeout, many = 1.0, tags(60)
    store = opened(timeout)
    store.load(KEY, many)
    with stopped(*cluster.nodes[1:]):
        began = time.monotonic()
        with pytest.raises(StoreError):
            store.load(KEY, many)
        assert time.monotonic() - began < 2 * timeout
    eventually(lambda: is_usable(store, many))


def is_usable(store: ClusterStore, asked: list[bytes]) -> bool:
    with suppress(StoreError):
        return bool(store.load(KEY, asked).snapshot)
    return False


def test_a_server_that_does_not_answer_is_left_alone_until_it_does(
    opened: Callable[[float], ClusterStore], cluster: ValkeyCluster
) -> None:
    many = tags(60)
    store = opened(0.2)
    eventually(lambda: is_usable(store, many))
    before = store.load(KEY, many).snapshot
    with stopped(cluster.nodes[1]):
        # A read that gives up waiting for a connection is no failure of the server;
        # the attempt to connect, which goes on behind it, may fail and is one.
        eventually(lambda: not is_usable(store, many) and "open" in repr(store))
        with pytest.raises(StoreError, match="left alone"):
            store.evict(EvictionRequest([A], WINDOW))
    # Attempts that began while the server was stopped may fail after that, and count.
    eventually(lambda: "closed" in repr(store) and is_usable(store, many))
    assert store.load(KEY, many).snapshot == before


def test_a_cluster_without_an_answering_server_is_a_store_error(namespace: str) -> None:
    _, endpoints = endpoints_of_url("redis+cluster://127.0.0.1:1,127.0.0.1:2", TIMEOUT)
    store = cluster_store(endpoints, namespace=namespace, timeout=TIMEOUT)
    for use in (
        partial(store.load, KEY, [A]),
        partial(store.load_many, [(KEY, [A])]),
        partial(store.fill, KEY, b"entry", TTL, [A]),
        partial(store.evict, EvictionRequest([A], WINDOW, watch=[A])),
        store.clear,
    ):
        with pytest.raises(StoreError):
            use()
    store.close()


def test_a_server_of_no_cluster_is_a_store_error(
    valkey: ValkeyServer, namespace: str
) -> None:
    _, endpoints = endpoints_of_url(f"redis+cluster://127.0.0.1:{valkey.port}", TIMEOUT)
    store = cluster_store(endpoints, namespace=namespace, timeout=TIMEOUT)
    with pytest.raises(StoreError, match="no server returned the map"):
        store.load(KEY, [A])
    store.close()


def test_a_server_whose_run_cannot_be_checked_is_not_used(
    opened: Callable[..., ClusterStore], cluster: ValkeyCluster
) -> None:
    for node in cluster.nodes:
        rules = ("on", "nopass", "~*", "+@all", "-eval")
        node.command("ACL", "SETUSER", "limited", *rules)
    url = cluster.url.replace("//", "//limited:any@")
    with pytest.raises(StoreError, match="NoPermission"):
        opened(url=url).load(KEY, [])
    for node in cluster.nodes:
        node.command("ACL", "SETUSER", "limited", "+eval", "-info")
    assert opened(url=url).load(KEY, [A]).snapshot  # INFO is optional
    for node in cluster.nodes:
        node.command("ACL", "DELUSER", "limited")


def test_servers_that_are_full_evict_by_removing_generations(
    store: ClusterStore, cluster: ValkeyCluster
) -> None:
    many = tags(60)
    before = store.load(KEY, many).snapshot
    for node in cluster.nodes:
        node.command("CONFIG", "SET", "maxmemory", "1")
    try:
        evicted = store.evict(EvictionRequest(many, WINDOW, watch=[A]))
    finally:
        for node in cluster.nodes:
            node.command("CONFIG", "SET", "maxmemory", "0")
    after = store.load(KEY, many).snapshot
    assert not set(before) & set(after)
    assert evicted.held is Held.WRITING
    assert not any(mark.was_alone for mark in evicted.evicted.values())


def test_a_script_that_is_forgotten_is_brought_again(
    store: ClusterStore, cluster: ValkeyCluster
) -> None:
    many = tags(60)
    store.evict(EvictionRequest(many, WINDOW, watch=[A]))
    for node in cluster.nodes:
        node.command("SCRIPT", "FLUSH")
    store.load(
        KEY, tags(60, "new")
    )  # by a script that looks, and not by one that evicts
    evicted = store.evict(EvictionRequest(many, WINDOW, watch=many))
    assert evicted.watched == left_by(evicted)


def test_what_is_sent_again_is_made_anew(
    opened: Callable[..., ClusterStore], cluster: ValkeyCluster
) -> None:
    # It may have been carried out already, and others may have evicted since.
    drawn = []

    def random(count: int) -> bytes:
        drawn.append(urandom(count))
        return drawn[-1]

    store = opened(random=random)
    store.evict(EvictionRequest([A], WINDOW))
    for node in cluster.nodes:
        node.command("SCRIPT", "FLUSH")
    drawn.clear()
    left = store.evict(EvictionRequest([A], WINDOW)).evicted[A].generation
    first, second = (int.from_bytes(each[:8], "little") for each in drawn)
    assert left == second != first


def test_what_is_restored_is_put_back_when_all_else_is_evicted(
    opened: Callable[..., ClusterStore], cluster: ValkeyCluster, namespace: str
) -> None:
    by_node = {cluster.owner(slot_of_tag(each, namespace)): each for each in tags(60)}
    (slow, evicted), (_, restored), *_ = by_node.items()
    store = opened(timeout=0.5)
    eventually(lambda: is_usable(store, [evicted, restored]))
    before = store.load(KEY, [restored]).snapshot
    first = store.evict(EvictionRequest([evicted, restored], WINDOW))
    with stopped(slow), pytest.raises(StoreError):
        store.evict(
            EvictionRequest(
                [evicted, restored], 0.0, first_eviction=first, restore=[restored]
            )
        )
    assert store.load(KEY, [restored]).snapshot != before
    first = store.evict(EvictionRequest([evicted, restored], WINDOW))
    store.evict(
        EvictionRequest(
            [evicted, restored], 0.0, first_eviction=first, restore=[restored]
        )
    )
    again = (first.evicted[restored].previous_generation,)
    assert store.load(KEY, [restored]).snapshot == again


def test_connections_that_were_closed_meanwhile_are_made_anew(
    store: ClusterStore, cluster: ValkeyCluster
) -> None:
    before = store.load(KEY, tags(60)).snapshot
    for node in cluster.nodes:
        node.command("CLIENT", "KILL", "TYPE", "normal")
    assert store.load(KEY, tags(60)).snapshot == before


# --- a client of the user's ----------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"load_balancing_strategy": LoadBalancingStrategy.ROUND_ROBIN},
        {"socket_timeout": None},
        {"protocol": 3},
    ],
    ids=str,
)
def test_a_client_that_the_user_built_is_enough(
    cluster: ValkeyCluster, namespace: str, settings: dict[str, Any]
) -> None:
    with redis_py.RedisCluster(
        "127.0.0.1", cluster.nodes[0].port, **settings
    ) as client:
        store = open_store_at(
            "",
            namespace=namespace,
            timeout=TIMEOUT,
            settle=0.0,
            longest_ttl=TTL,
            client=client,
        )
        assert isinstance(store, ClusterStore)
        before = sum(map(readers_of_replicas, cluster.nodes))
        store.load(KEY, tags(60))
        store.fill(KEY, b"entry", TTL, [A])
        assert store.load(KEY, [A]).entry == b"entry"
        assert sum(map(readers_of_replicas, cluster.nodes)) == before
        store.close()


def readers_of_replicas(node: ValkeyServer) -> int:
    """How many connections to a server would read what it has as a replica."""
    return node.command("CLIENT", "LIST").count(b"flags=r ")


def test_where_servers_are_seen_is_as_the_client_says(
    cluster: ValkeyCluster, namespace: str
) -> None:
    seen = []

    def remap(address: tuple[str, int]) -> tuple[str, int]:
        seen.append(address)
        return address

    with redis_py.RedisCluster(
        "127.0.0.1", cluster.nodes[0].port, address_remap=remap
    ) as client:
        store = open_store_at(
            "",
            namespace=namespace,
            timeout=TIMEOUT,
            settle=0.0,
            longest_ttl=TTL,
            client=client,
        )
        seen.clear()
        store.load(KEY, [A])
        assert {port for _, port in seen} == {node.port for node in cluster.nodes}
        store.close()


def test_that_a_cluster_cannot_be_followed_is_said_and_all_else_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = open_store_at(
        "redis+cluster://127.0.0.1:1",
        namespace="default",
        timeout=TIMEOUT,
        settle=0.0,
        longest_ttl=60.0,
        client_tracking=True,
    )
    assert isinstance(store, ClusterStore)
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "client_tracking_refused"
    ]
    assert not store.is_current([], ())
    store.close()


@pytest.mark.parametrize(
    "verb",
    [
        lambda store: store.load(KEY, [A]),
        lambda store: store.evict(EvictionRequest([A], 5.0)),
        lambda store: store.clear(),
    ],
    ids=["load", "evict", "clear"],
)
def test_what_is_no_answer_is_a_storeerror(
    verb: Callable[[ClusterStore], object],
    store: ClusterStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.load(KEY, [A])
    with monkeypatch.context() as patch:
        patch.setattr(store._cluster, "ask", lambda make: [7 for _ in make()])
        patch.setattr(store._cluster, "ask_server", lambda *_: 7)
        with pytest.raises(StoreError, match="no answer"):
            verb(store)
    assert store.load(KEY, [A]).entry is None


def test_a_first_call_while_servers_hang_waits_no_longer_than_its_timeout(
    opened: Callable[[float], ClusterStore], cluster: ValkeyCluster
) -> None:
    timeout, waits = 0.5, []
    store = opened(timeout)
    with stopped(*cluster.nodes[:2]):  # of which the first are asked for the map
        for _ in range(4):
            began = time.monotonic()
            with suppress(StoreError):
                store.load(KEY, tags(60))
            waits.append(time.monotonic() - began)
    # The median: a busy machine may stop the test itself now and then. Calls that wait
    # for one server after the other all take longer.
    assert statistics.median(waits) < 2 * timeout
    eventually(lambda: is_usable(store, tags(60)))


@pytest.mark.parametrize("is_connected", [True, False])
def test_an_eviction_reaches_the_servers_that_answer(
    opened: Callable[[float], ClusterStore],
    cluster: ValkeyCluster,
    namespace: str,
    *,
    is_connected: bool,
) -> None:
    by_node = {cluster.owner(slot_of_tag(each, namespace)): each for each in tags(60)}
    slow = cluster.nodes[0]
    reached = [each for node, each in by_node.items() if node is not slow]
    store, other = opened(0.3), opened(TIMEOUT)
    eventually(lambda: is_usable(store, tags(60)))
    store.evict(EvictionRequest([*by_node.values()], 0.0))  # all know the script then
    before = {*other.load(KEY, reached).snapshot}
    if not is_connected:
        for node in store._cluster.primaries:
            if node.port == slow.port:
                store._cluster._drop_idle(node)
    with stopped(slow), pytest.raises(StoreError):
        store.evict(EvictionRequest([*by_node.values()], WINDOW))
    eventually(lambda: not before & {*other.load(KEY, reached).snapshot})


def test_a_connection_to_a_server_that_sends_elsewhere_is_verified_anew(
    store: ClusterStore, cluster: ValkeyCluster, namespace: str
) -> None:
    # It may be a replica now, and miss evictions before it is a primary again.
    slot = slot_of_tag(A, namespace)
    source = cluster.owner(slot)
    target = next(n for n in cluster.nodes if n is not source)
    store.load(KEY, tags(60))
    with closing(cluster.migrate(slot, target)) as moving:
        for _ in moving:
            pass
    before = calls_of(source, "info")
    for _ in range(3):
        store.load(KEY, [A])
        store.load(KEY, tags(60))
    assert calls_of(source, "info") > before + 1  # by our own question for it


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_child_of_a_fork_has_its_own_connections_and_locks(
    store: ClusterStore, *, is_locked: bool
) -> None:
    many = tags(60)
    before = store.load(KEY, many).snapshot

    def child(pipe: Any) -> None:
        pipe.send(store.load(KEY, many).snapshot)
        gc.collect()  # what redis-py does when its objects are deleted takes locks
        store.close()

    locked, done = Event(), Event()

    def lock() -> None:
        client: Any = store._cluster
        with client._lock, client._cluster.nodes_manager._lock:
            locked.set()
            done.wait(TIMEOUT)

    holder = Thread(target=lock)
    if is_locked:
        holder.start()
        assert locked.wait(TIMEOUT)
    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() == before
    done.set()
    if is_locked:
        holder.join()
    assert store.load(KEY, many).snapshot == before
