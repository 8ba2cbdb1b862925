"""A cluster whose primaries change, and may lose what they were told last."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from botocache._coherence import EvictionRequest, Held, Loaded
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreError
from botocache.stores.redis.cluster.batch import slot_of
from botocache.stores.redis.cluster.client import server_at
from botocache.stores.redis.cluster.store import ClusterStore
from botocache.stores.redis.cluster.urls import endpoints_of_url
from botocache.stores.redis.keys import Keys
from tests.support.digests import key, tags
from tests.support.processes import TIMEOUT, eventually
from tests.support.redis_stores import cluster_store
from tests.support.valkey_cluster import ValkeyCluster, running_cluster
from tests.support.valkey_server import ValkeyServer

KEY = key("an entry")
ALL = tag_digest(EVERYTHING)
WINDOW = 5.0
TTL = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    """A cluster with a replica for each primary; roles are as the last test left them.

    A server that does not answer for two seconds is given up.
    """
    with running_cluster(has_replicas=True, cluster_node_timeout="2000") as servers:
        yield servers


@pytest.fixture
def opened(
    cluster: ValkeyCluster, namespace: str
) -> Iterator[Callable[..., ClusterStore]]:
    """Opens stores, each as another process does."""
    made: list[ClusterStore] = []

    def open_one(url: str = cluster.url, **settings: Any) -> ClusterStore:
        _, endpoints = endpoints_of_url(url, TIMEOUT)
        settings = {"timeout": TIMEOUT, "settle": 0.0, **settings}
        made.append(cluster_store(endpoints, namespace=namespace, **settings))
        return made[-1]

    yield open_one
    for store in made:
        store.close()


@pytest.fixture
def tag(cluster: ValkeyCluster, namespace: str) -> bytes:
    """A tag that is not where everything is."""
    return next(t for t in tags(60) if owner(cluster, t) is not owner(cluster, ALL))


def owner(cluster: ValkeyCluster, of: bytes) -> ValkeyServer:
    return cluster.owner(slot_of((b"GET", Keys("").generation(of))))


def loaded(store: ClusterStore, *of: bytes) -> Loaded:
    """What a store says as soon as it says something."""
    said: list[Loaded] = []

    def says() -> bool:
        with suppress(StoreError):
            said.append(store.load(KEY, of))
        return bool(said)

    eventually(says)
    return said[0]


def lose(
    cluster: ValkeyCluster, primary: ValkeyServer, write: Callable[[], object]
) -> None:
    """Let a primary die before its replica, which takes its place, has a write."""
    replica = cluster.replica_of(primary)
    assert primary.command("WAIT", "1", str(1000 * TIMEOUT)) == b":1\r\n"
    replica.signal(SIGSTOP)
    try:
        primary.command("CLIENT", "KILL", "TYPE", "replica")
        write()
        primary.kill()
    finally:
        replica.signal(SIGCONT)
    cluster.wait_for_primary(replica)


def bring_back(cluster: ValkeyCluster, node: ValkeyServer) -> None:
    node.start()
    eventually(lambda: b"master_link_status:up" in node.command("INFO", "replication"))
    eventually(cluster.is_well)


def test_an_eviction_that_is_lost_with_its_primary_evicts_everything(
    opened: Callable[[], ClusterStore], cluster: ValkeyCluster, tag: bytes
) -> None:
    writer, reader, primary = opened(), opened(), owner(cluster, tag)
    before = writer.load(KEY, [ALL, tag]).snapshot
    reader.fill(KEY, b"entry", TTL, [ALL, tag])
    lose(cluster, primary, lambda: writer.evict(EvictionRequest([tag], WINDOW)))
    after = loaded(reader, ALL, tag).snapshot
    assert after[1] == before[1]  # it was lost indeed
    assert after[0] != before[0]
    assert loaded(writer, ALL, tag).snapshot == after
    assert loaded(opened(), ALL, tag).snapshot == after  # once is enough
    bring_back(cluster, primary)


def test_the_loss_of_an_eviction_of_everything_is_made_good(
    opened: Callable[[], ClusterStore], cluster: ValkeyCluster
) -> None:
    writer, reader, primary = opened(), opened(), owner(cluster, ALL)
    before = writer.load(KEY, [ALL]).snapshot
    assert reader.load(KEY, [ALL]).snapshot == before
    lose(cluster, primary, lambda: writer.evict(EvictionRequest([ALL], WINDOW)))
    assert loaded(reader, ALL).snapshot != before
    assert loaded(writer, ALL).snapshot == loaded(reader, ALL).snapshot
    bring_back(cluster, primary)


def test_a_hold_off_that_may_be_lost_is_in_doubt(
    opened: Callable[..., ClusterStore], cluster: ValkeyCluster, tag: bytes
) -> None:
    store = opened(settle=3600.0, clock=lambda: 1000.0)
    primary = owner(cluster, tag)
    store.load(KEY, [ALL, tag])
    lose(cluster, primary, lambda: store.evict(EvictionRequest([tag], WINDOW)))
    assert loaded(store, ALL).held is Held.SETTLING
    bring_back(cluster, primary)


def test_servers_that_change_places_are_followed_and_each_time_is_noticed(
    opened: Callable[[], ClusterStore], cluster: ValkeyCluster, tag: bytes
) -> None:
    store, primary = opened(), owner(cluster, tag)
    replica = cluster.replica_of(primary)
    seen = [store.load(KEY, [ALL, tag]).snapshot]
    for node in (replica, primary, replica, primary):  # and no run id is new
        cluster.failover(node)
        seen.append(loaded(store, ALL, tag).snapshot)
        assert loaded(opened(), ALL, tag).snapshot == seen[-1]
    assert len({everything for everything, _ in seen}) == len(seen)
    assert len({generation for _, generation in seen}) == 1


def test_an_eviction_follows_its_server(
    opened: Callable[[], ClusterStore], cluster: ValkeyCluster, tag: bytes
) -> None:
    writer, reader = opened(), opened()
    first = writer.evict(EvictionRequest([tag, ALL], WINDOW, watch=[tag]))
    assert reader.load(KEY, [tag]).held is Held.WRITING
    cluster.failover(cluster.replica_of(owner(cluster, tag)))
    second = writer.evict(
        EvictionRequest([tag, ALL], 0.0, watch=[tag], first_eviction=first)
    )
    assert second.watched == {tag: second.evicted[tag].generation}
    assert loaded(reader, tag).snapshot == (second.watched[tag],)


def test_a_primary_that_began_anew_evicts_everything(
    opened: Callable[[], ClusterStore], cluster: ValkeyCluster, tag: bytes
) -> None:
    store, primary = opened(), owner(cluster, tag)
    before = store.load(KEY, [ALL, tag]).snapshot
    primary.kill()
    primary.start()  # with nothing; or its replica has taken its place
    after = loaded(store, ALL, tag).snapshot
    assert after[0] != before[0]
    eventually(cluster.is_well)


def test_replicas_are_never_asked(
    opened: Callable[[], ClusterStore], cluster: ValkeyCluster, tag: bytes
) -> None:
    store = opened()
    store.fill(KEY, b"entry", TTL, [tag])
    store.load(KEY, [ALL, tag])
    primaries = {("127.0.0.1", node.port) for node in cluster.primaries}
    assert {(node.host, node.port) for node in store._cluster.primaries} == primaries
    replica = cluster.replica_of(owner(cluster, tag))
    with pytest.raises(StoreError, match="replica"):
        store._cluster.ask_server(server_at("127.0.0.1", replica.port), (b"PING",))


def test_a_replica_is_enough_to_find_the_others(
    opened: Callable[..., ClusterStore], cluster: ValkeyCluster, tag: bytes
) -> None:
    replica = cluster.replica_of(owner(cluster, tag))
    store = opened(url=f"redis+cluster://127.0.0.1:{replica.port}")
    store.fill(KEY, b"entry", TTL, [tag])
    assert store.load(KEY, [tag]).entry == b"entry"
