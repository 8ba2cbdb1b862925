"""Others who can write to the server put anything under our keys: misses, no failures.

Each verb goes on, a write ends what was planted, and a script touches no more than a
bounded part of it.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from botocache._coherence import EvictionRequest, Held
from botocache._digests import EVERYTHING_DIGEST
from botocache.stores.protocol import Fill, Store
from botocache.stores.redis.cluster.store import ClusterStore
from botocache.stores.redis.store import RedisStore
from tests.support.digests import key, tag
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually
from tests.support.valkey_server import ValkeyServer

KEY, A, B = key("an entry"), tag("a"), tag("b")
TTL = 60.0
FAR = 2**63 - 1
"""Milliseconds since 1970, and as long a life as a server takes."""

Plant = Callable[[Any, bytes], object]


def wrong_types() -> dict[str, Plant]:
    """Return what puts a value of another type under a key."""
    return {
        "a list": lambda client, name: client.rpush(name, *range(1000)),
        "a hash": lambda client, name: client.hset(name, "field", "value"),
        "a set": lambda client, name: client.sadd(name, *range(1000)),
        "a sorted set": lambda client, name: client.zadd(name, {"a": 1.0}),
        "a stream": lambda client, name: client.xadd(name, {"a": "b"}),
        "a bitmap": lambda client, name: client.setbit(name, 100_000, 1),
    }


def values() -> dict[str, Plant]:
    """Return what puts bytes under a key."""
    each = {
        "nothing": b"",
        "a byte": b"x",
        "15 bytes": b"x" * 15,
        "16 bytes": b"x" * 16,
        "17 bytes": b"x" * 17,
        "a hold-off without end": b"x" * 8 + b"\xff" * 8,
        "a hold-off of zero": b"x" * 8 + b"\0" * 8,
        "no generation": b"\0" * 16,
        "a frame": b"\xc1\1\x28\xb5\x2f\xfd" + b"\xff" * 100,
        "two megabytes": b"x" * 2_000_000,
    }
    return {
        name: lambda client, key, value=value: client.set(key, value)  # type: ignore[misc]  # a default
        for name, value in each.items()
    }


def lives() -> dict[str, Plant]:
    """Return what lets a generation live longer than any of ours."""

    def for_ever(client: Any, name: bytes) -> None:
        client.set(name, os.urandom(8) + bytes(8))

    def long(client: Any, name: bytes) -> None:
        client.set(name, os.urandom(8) + bytes(8), pxat=FAR)

    return {"for ever": for_ever, "a hundred million years": long}


PLANTS = {**wrong_types(), **values(), **lives()}


def scores(*each: object, members: str = "x") -> Plant:
    def plant(client: Any, name: bytes) -> None:
        client.delete(name)
        client.zadd(name, {f"{members}{n}": score for n, score in enumerate(each)})

    return plant


def everybody(score: object) -> Plant:
    """Hold all tags of a shard."""

    def plant(client: Any, name: bytes) -> None:
        client.delete(name)
        client.zadd(name, {"all": score, "kept": "+inf"})

    return plant


HELD = {
    **wrong_types(),
    "a value": values()["16 bytes"],
    "infinite scores": scores("+inf", "-inf"),
    "all tags are held for ever": everybody("+inf"),
    "all tags are held until the year 9999": everybody(2 * 253_370_764_800_000_000),
    "all tags were held": everybody("-inf"),
    "a score of a fraction": everybody(0.5),
}


@pytest.fixture
def store(server: Any, namespace: str) -> Iterator[RedisStore]:
    made = open_store_at(
        server.url,
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
        longest_ttl=TTL,
    )
    assert isinstance(made, RedisStore)
    made.load(KEY, [A, B])
    yield made
    made.close()


def write(store: Store) -> None:
    """Evict as writes do that DynamoDB has answered."""
    for restore in ((), (A,)):
        first = store.evict(EvictionRequest([A], 0.0, watch=[B]))
        again = EvictionRequest([A], 0.0, (B,), first, restore)
        store.evict(again)


def assert_heals(store: RedisStore) -> None:
    """After a write and a fill all is well, and nothing counted as a failure."""
    write(store)
    snapshot = store.load(KEY, [A, B]).snapshot
    store.fill_many([Fill(KEY, b"right", TTL, [A, B])])
    found = store.load(KEY, [A, B])
    assert (found.entry, found.snapshot) == (b"right", snapshot)
    assert found.held is not Held.WRITING
    assert not store._breaker._failures
    write(store)
    store.evict(EvictionRequest([A], 0.0))
    assert store.load(KEY, [A, B]).snapshot[0] != snapshot[0]


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
def test_anything_under_a_key_of_ours_is_a_miss_and_a_write_ends_it(
    plant: Plant, store: RedisStore, client: Any
) -> None:
    keys = store._keys
    for name in (
        keys.entry(KEY),
        keys.generation(A),
        keys.generation(EVERYTHING_DIGEST),
    ):
        client.delete(name)
        plant(client, name)
        found = store.load(KEY, [A, B])
        (other,) = store.load_many([(KEY, [A, B])])
        assert found.snapshot == other.snapshot
        assert_heals(store)
        # A server refuses what lives much longer, and then nothing could be evicted.
        assert client.pttl(keys.generation(A)) <= 10**14


@pytest.mark.parametrize("plant", HELD.values(), ids=HELD.keys())
def test_anything_under_the_key_of_hold_offs_ends_with_a_write(
    plant: Plant, store: RedisStore, client: Any
) -> None:
    name = store._keys.held(A)
    for is_lost in (True, False):
        client.delete(name)
        plant(client, name)
        if is_lost:  # then the hold-offs are looked at
            client.delete(store._keys.generation(A))
            assert store.load(KEY, [A, B]).held in (Held.FREE, Held.SETTLING)
        assert_heals(store)


def test_a_hold_off_that_is_planted_lasts_no_longer_than_ours_may(
    store: RedisStore, client: Any
) -> None:
    now = time.time() * 1e6
    for seconds, is_held in ((3000, True), (7201, False), (1e9, False)):
        word = 2 * int(now + seconds * 1e6)
        client.set(store._keys.generation(A), b"g" * 8 + word.to_bytes(8, "little"))
        assert (store.load(KEY, [A]).held is Held.WRITING) is is_held


def test_of_more_hold_offs_than_there_can_be_none_is_kept(
    valkey: ValkeyServer, namespace: str
) -> None:
    store = open_store_at(
        valkey.url, namespace=namespace, timeout=TIMEOUT, settle=0.0, longest_ttl=TTL
    )
    assert isinstance(store, RedisStore)
    store.load(KEY, [A, B])
    name = store._keys.held(A)
    with redis.Redis(port=valkey.port) as client:
        script = "for i = 1, 250001 do redis.call('ZADD', KEYS[1], 1e17, i) end"
        client.eval(script, 1, name)
        assert_heals(store)
        for _ in range(500):  # one in eight looks after the hold-offs
            if client.zcard(name) <= 3:
                break
            store.evict(EvictionRequest([A], 0.0))
        assert client.zcard(name) <= 3
    store.close()


@pytest.mark.parametrize("name", ["a list", "a hash", "two megabytes"])
def test_anything_under_the_key_of_runs_evicts_everything_at_most(
    name: str, store: RedisStore, client: Any
) -> None:
    client.delete(store._keys.runs)
    PLANTS[name](client, store._keys.runs)
    store.close()
    if isinstance(store, ClusterStore):
        store._known_primaries.clear()
    store.load(KEY, [A, B])
    assert client.scard(store._keys.runs) >= 1
    assert_heals(store)


def test_a_set_of_runs_that_is_too_large_is_made_anew(
    valkey: ValkeyServer, namespace: str
) -> None:
    store = open_store_at(
        valkey.url, namespace=namespace, timeout=TIMEOUT, settle=0.0, longest_ttl=TTL
    )
    assert isinstance(store, RedisStore)
    with redis.Redis(port=valkey.port) as client:
        client.sadd(store._keys.runs, *range(1001))
        store.load(KEY, [A, B])
        assert client.scard(store._keys.runs) == 1
        assert_heals(store)
    store.close()


def test_an_old_generation_that_is_put_back_brings_its_entry_back(
    store: RedisStore, client: Any
) -> None:
    """What a writer of the server can do; docs/explanation/security.md says so."""
    old = client.get(store._keys.generation(A))
    snapshot = store.load(KEY, [A]).snapshot
    store.fill(KEY, b"old", TTL, [A])
    store.evict(EvictionRequest([A], 0.0))
    assert store.load(KEY, [A]).snapshot != snapshot
    client.set(store._keys.generation(A), old)
    assert store.load(KEY, [A]).snapshot == snapshot
    write(store)
    assert store.load(KEY, [A]).snapshot != snapshot


@pytest.mark.parametrize(
    "message",
    [b"", b"x", b"\xff" * 100, b"botocache:", b"x" * 1_000_000],
    ids=["empty", "a byte", "bytes", "a prefix", "a megabyte"],
)
def test_a_message_that_others_publish_ends_no_tracking(
    message: bytes, valkey: ValkeyServer, namespace: str
) -> None:
    store = open_store_at(
        valkey.url,
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
        longest_ttl=TTL,
        client_tracking=True,
    )

    def is_tracked() -> bool:
        return store.is_current([A], store.load(KEY, [A]).snapshot)

    eventually(is_tracked)
    with redis.Redis(port=valkey.port) as client:
        client.publish("__redis__:invalidate", message)
    eventually(is_tracked)
    snapshot = store.load(KEY, [A]).snapshot
    other = open_store_at(
        valkey.url, namespace=namespace, timeout=TIMEOUT, settle=0.0, longest_ttl=TTL
    )
    other.evict(EvictionRequest([A], 0.0))
    eventually(lambda: not store.is_current([A], snapshot))
    other.close()
    store.close()
