"""What the store on Redis does when another server becomes the primary.

Real servers, one a replica of the other. Who is the primary is said to them directly;
nobody else here knows.
"""

from collections.abc import Iterator

import pytest

from botocache._coherence import EvictionRequest, Held
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreError
from botocache.stores.redis.store import CLOCK_SYNC_INTERVAL, RedisStore
from botocache.stores.redis.urls import connections_of_url
from tests.support.processes import TIMEOUT, eventually
from tests.support.redis_stores import redis_store
from tests.support.valkey_server import ValkeyServer, running_valkey, valkey_binary

KEY = b"key".ljust(16)
TAG = b"tag".ljust(16)
TAGS = (TAG, tag_digest(EVERYTHING))


@pytest.fixture
def servers() -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    at_once = {"repl_diskless_sync_delay": "0"}
    with (
        running_valkey(valkey_binary(), **at_once) as one,
        running_valkey(valkey_binary(), **at_once) as other,
    ):
        yield one, other


@pytest.fixture
def stores(
    servers: tuple[ValkeyServer, ValkeyServer],
) -> Iterator[tuple[RedisStore, RedisStore]]:
    """A store on each; nothing is connected yet."""
    one, other = (_store(server) for server in servers)
    yield one, other
    one.close()
    other.close()


def _store(server: ValkeyServer) -> RedisStore:
    name, make = connections_of_url(server.url, TIMEOUT)
    return redis_store(make, name=name, timeout=TIMEOUT, settle=0.0)


def follow(replica: ValkeyServer, primary: ValkeyServer) -> None:
    """Make one the replica of the other, and wait until it has all that there is."""
    replica.command("REPLICAOF", "127.0.0.1", str(primary.port))
    eventually(lambda: b"master_link_status:up" in replica.command("INFO", "all"))


def lead(server: ValkeyServer) -> None:
    server.command("REPLICAOF", "NO", "ONE")


def exchange_roles(primary: ValkeyServer, replica: ValkeyServer) -> None:
    """Fail over, as an operator does it: nothing is lost, no connection ends."""
    follow(replica, primary)
    lead(replica)
    follow(primary, replica)


def test_a_primary_that_became_a_replica_serves_nothing_after_the_first_write(
    servers: tuple[ValkeyServer, ValkeyServer],
    stores: tuple[RedisStore, RedisStore],
) -> None:
    store, _ = stores
    store.load(KEY, TAGS)
    store.fill(KEY, b"entry", 60.0, TAGS)
    exchange_roles(*servers)
    assert store.load(KEY, TAGS).entry == b"entry"
    with pytest.raises(StoreError, match=r"a replica|read only replica"):
        store.evict(EvictionRequest([TAG], 1.0))
    with pytest.raises(StoreError, match=r"a replica|read only replica"):
        store.load(KEY, TAGS)


def test_a_process_that_only_reads_notices_when_it_next_asks_for_the_time(
    servers: tuple[ValkeyServer, ValkeyServer],
    stores: tuple[RedisStore, RedisStore],
) -> None:
    store, _ = stores
    before = store.load(KEY, TAGS).snapshot
    store.fill(KEY, b"entry", 60.0, TAGS)
    exchange_roles(*servers)
    assert store.load(KEY, TAGS) == (b"entry", before, Held.FREE)
    store._synced_at -= CLOCK_SYNC_INTERVAL
    for _ in range(2):
        with pytest.raises(StoreError, match=r"a replica|read only replica"):
            store.load(KEY, TAGS)
    lead(servers[0])
    assert store.load(KEY, TAGS).snapshot[1] != before[1]


def test_a_primary_that_was_a_replica_in_between_evicts_everything(
    servers: tuple[ValkeyServer, ValkeyServer],
    stores: tuple[RedisStore, RedisStore],
) -> None:
    one, other = servers
    on_one, on_other = stores
    on_one.load(KEY, TAGS)  # so this run of it is known
    exchange_roles(one, other)
    filled_under = on_other.load(KEY, TAGS).snapshot
    on_other.fill(KEY, b"entry", 60.0, TAGS)
    assert other.command("WAIT", "1", "0") == b":1\r\n"
    lead(one)
    on_other.evict(EvictionRequest([TAG], 1.0))  # too late for the new primary
    on_one.close()  # as the failover does to its connections
    loaded = on_one.load(KEY, TAGS)
    assert loaded.entry == b"entry"
    assert loaded.snapshot[0] == filled_under[0], "the eviction was lost"
    assert loaded.snapshot[1] != filled_under[1]
