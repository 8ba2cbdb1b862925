"""A Redis server that is a few megabytes big, and full: only misses, and the promise.

Every policy of `maxmemory`, while writers and readers go on. DynamoDB is a dictionary
whose reads lag behind; what is served is held against the writes that had ended.
"""

import bisect
import contextlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest
import redis as redis_py

from botocache._coherence import EvictionRequest, Held, may_fill, may_serve
from botocache._errors import StoreError
from botocache.stores.redis.circuit_breaker import FAILURES
from botocache.stores.redis.commands import FullError
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.urls import connections_of_url
from tests.support.digests import key, tag
from tests.support.processes import TIMEOUT, eventually, in_threads
from tests.support.redis_stores import redis_store
from tests.support.valkey_server import ValkeyServer, running_valkey

WINDOW = 5.0
SETTLE = 0.05
LAG = SETTLE / 2
"""Seconds by which reads of the model lag: less than `settle`, as it must be."""

TTL = 60.0
POLICIES = [
    "noeviction",
    *(f"allkeys-{kind}" for kind in ("lru", "lfu", "random")),
    *(f"volatile-{kind}" for kind in ("lru", "lfu", "random", "ttl")),
]


@contextlib.contextmanager
def full_server(policy: str) -> Iterator[ValkeyServer]:
    """Run a server with room for some hundred entries beside itself."""
    with running_valkey(maxmemory_policy=policy) as server:
        with redis_py.Redis(port=server.port) as client:
            used: Any = client.info("memory")
            client.config_set("maxmemory", used["used_memory"] + 3 * 1024**2)
        yield server


@contextlib.contextmanager
def opened(server: ValkeyServer, settle: float = SETTLE) -> Iterator[RedisStore]:
    name, make = connections_of_url(server.url, TIMEOUT)
    store = redis_store(make, name=name, timeout=TIMEOUT, settle=settle)
    with contextlib.closing(store):
        yield store


class Table:
    """What DynamoDB has: numbers that grow. Reads lag; each write evicts around itself.

    Entries are as large as many items are, and cannot be compressed.
    """

    def __init__(self, store: RedisStore, items: int) -> None:
        self._store = store
        self._written = [[(0.0, 0)] for _ in range(items)]
        self._completed = [0] * items
        self._locks = [threading.Lock() for _ in range(items)]
        self.seen: Counter[str] = Counter()
        self.stale: list[str] = []

    def write(self, item: int) -> None:
        with self._locks[item]:
            first = self._store.evict(
                EvictionRequest([tag(f"item {item}"), SHARED], WINDOW)
            )
            number = self._completed[item] + 1
            self._written[item].append((time.monotonic(), number))
            self._store.evict(
                EvictionRequest(
                    [tag(f"item {item}"), SHARED],
                    SETTLE,
                    first_eviction=first,
                    restore=[SHARED],
                )
            )
            self._completed[item] = number
            self.seen["written"] += 1

    def read(self, item: int) -> None:
        newest, tags = self._completed[item], [tag(f"item {item}")]
        try:
            loaded = self._store.load(key(f"item {item}"), tags)
        except StoreError:
            self.seen["not looked up"] += 1
            return
        if loaded.entry is not None:
            snapshot, number = decoded(loaded.entry)
            if may_serve(snapshot, loaded.snapshot, 1.0, 0.0):
                self.seen["hit"] += 1
                if number < newest:
                    self.stale.append(f"{number} of {item}, where {newest} had ended")
                return
        self.seen["miss"] += 1
        if not may_fill(loaded.held, is_consistent=False):
            return
        entry = encoded(loaded.snapshot, self._lagging(item))
        try:
            self._store.fill(key(f"item {item}"), entry, TTL, tags)
            self.seen["filled"] += 1
        except StoreError:
            self.seen["not filled"] += 1

    def _lagging(self, item: int) -> int:
        """Return what a replica has that lags as much as it may."""
        written = list(self._written[item])
        at = bisect.bisect(written, (time.monotonic() - LAG, 1 << 60))
        return written[at - 1][1]


SHARED = tag("of all items")


def encoded(snapshot: tuple[int, ...], number: int) -> bytes:
    (generation,) = snapshot
    head = b"\1" + generation.to_bytes(8, "little") + number.to_bytes(8, "little")
    return head + os.urandom(15_000)


def decoded(entry: bytes) -> tuple[tuple[int, ...], int]:
    generation = int.from_bytes(entry[1:9], "little")
    return (generation,), int.from_bytes(entry[9:17], "little")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_full_server_costs_misses_and_nothing_else(policy: str) -> None:
    with full_server(policy) as server, opened(server) as store:
        table = Table(store, 500)  # more than twice of what there is room for

        def use(number: int) -> None:
            chance = random.Random(number)
            for _ in range(500):
                hot = chance.choice([chance.randrange(10), chance.randrange(500)])
                chance.choices([table.read, table.write], [9, 1])[0](hot)

        in_threads([partial(use, number) for number in range(4)])
        assert table.stale == []
        assert table.seen["hit"]
        assert table.seen["written"]
        assert is_full(server, policy)
        assert ("not filled" in table.seen) == (policy == "noeviction")
        assert "closed" in repr(store)


def is_full(server: ValkeyServer, policy: str) -> bool:
    with redis_py.Redis(port=server.port) as client:
        info: Any = client.info()
        refused: Any = client.info("errorstats")
    if policy == "noeviction":
        return bool(refused["errorstat_OOM"]["count"])
    return bool(info["evicted_keys"])


# --- a server that may not evict -----------------------------------------------------

A, B, C = tag("a"), tag("b"), tag("c")
KEY = key("an entry")


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with full_server("noeviction") as made:
        yield made


@pytest.fixture
def store(server: ValkeyServer) -> Iterator[RedisStore]:
    with opened(server, settle=0.0) as made:
        yield made


def fill_up(server: ValkeyServer) -> None:
    """Fill it until there is no room, nor will be when a client has gone."""
    with redis_py.Redis(port=server.port) as client:
        with pytest.raises(redis_py.exceptions.OutOfMemoryError):
            put_without_end(client, 10_000)
        used: Any = client.info("memory")
        client.config_set("maxmemory", used["used_memory"] - 1024**2)


def put_without_end(client: Any, size: int) -> None:
    for number in count():
        client.set(f"of others: {size} {number}", os.urandom(size))


def test_what_is_there_is_served_by_a_server_that_is_full(
    store: RedisStore, server: ValkeyServer
) -> None:
    before = store.load(KEY, [A])
    store.fill(KEY, b"entry", TTL, [A])
    fill_up(server)
    assert store.load(KEY, [A]) == (b"entry", before.snapshot, Held.FREE)
    assert store.load_many([(KEY, [A])])[0].entry == b"entry"


@pytest.mark.parametrize("watch", [[], [A, C]], ids=["alone", "watching"])
def test_a_full_server_evicts(
    store: RedisStore, server: ValkeyServer, watch: list[bytes]
) -> None:
    before = store.load(KEY, [A, B]).snapshot
    store.load(KEY, [C])
    fill_up(server)
    first = store.evict(EvictionRequest([A, B], WINDOW, watch=watch))
    assert len(first.evicted) == 2
    assert len(first.watched) == len(watch)
    assert (first.held is Held.WRITING) == bool(watch)
    assert_evicted(store, before)
    second = store.evict(
        EvictionRequest([A, B], SETTLE, first_eviction=first, watch=watch, restore=[B])
    )
    assert [mark.was_alone for mark in second.evicted.values()] == [False, False]
    assert_evicted(store, before)
    assert not set(second.watched) & {*before, *first.watched.values()}


def assert_evicted(store: RedisStore, before: tuple[int, ...]) -> None:
    """Assert that nothing from before is served, and nothing is filled now."""
    for each, old in zip((A, B), before, strict=True):
        try:
            loaded = store.load(KEY, [each])
        except StoreError:  # it has no room for a new generation
            continue
        assert loaded.snapshot != (old,)
        assert loaded.held is Held.WRITING


def test_hold_offs_that_were_set_on_a_full_server_count_when_there_is_room(
    store: RedisStore, server: ValkeyServer
) -> None:
    store.load(KEY, [A, B])
    fill_up(server)
    first = store.evict(EvictionRequest([A], WINDOW))
    store.evict(
        EvictionRequest([B], 0.0, first_eviction=store.evict(EvictionRequest([B], 0.0)))
    )
    make_room(server)
    assert store.load(KEY, [A]).held is Held.WRITING
    assert store.load(KEY, [B]).held is Held.FREE
    second = store.evict(EvictionRequest([A], 0.0, first_eviction=first))
    assert not second.evicted[A].was_alone
    assert store.load(KEY, [A]).held is Held.WRITING  # until the window ends


def make_room(server: ValkeyServer) -> None:
    with redis_py.Redis(port=server.port) as client:
        client.config_set("maxmemory", 0)


def test_a_write_that_began_before_the_server_was_full_ends_after(
    store: RedisStore, server: ValkeyServer
) -> None:
    store.load(KEY, [A, B])
    first = store.evict(EvictionRequest([A, B], WINDOW))
    left = tuple(mark.generation for mark in first.evicted.values())
    fill_up(server)
    store.evict(EvictionRequest([A, B], 0.0, first_eviction=first))
    make_room(server)
    loaded = store.load(KEY, [A, B])
    assert not set(loaded.snapshot) & set(left)


def test_evictions_do_not_make_a_full_server_fuller(
    store: RedisStore, server: ValkeyServer
) -> None:
    many = [tag(f"{number}") for number in range(300)]
    store.load(KEY, many)
    with redis_py.Redis(port=server.port) as client:
        fill_up(server)
        before: Any = client.dbsize()
        for each in many:
            store.evict(
                EvictionRequest(
                    [each],
                    0.0,
                    first_eviction=store.evict(EvictionRequest([each], WINDOW)),
                )
            )
        generations = client.keys(Keys("default").generations.decode() + "*")
        assert client.dbsize() <= before
        assert generations == []


def test_a_full_server_is_no_reason_to_leave_it_alone(
    store: RedisStore, server: ValkeyServer
) -> None:
    store.load(KEY, [A])
    fill_up(server)
    for number in range(FAILURES + 2):
        with pytest.raises(FullError):
            store.fill(key(f"more {number}"), os.urandom(100_000), TTL)
    assert "closed" in repr(store)
    store.evict(EvictionRequest([A], WINDOW))


def test_a_server_that_comes_back_full_is_used_again(
    store: RedisStore, server: ValkeyServer
) -> None:
    store.load(KEY, [A])
    fill_up(server)
    server.signal(SIGSTOP)  # else a probe may close it before it is looked at
    try:
        for _ in range(FAILURES):
            store._breaker.failed(StoreError("no answer"))
        assert "open" in repr(store)
    finally:
        server.signal(SIGCONT)
    eventually(lambda: "closed" in repr(store))
    store.close()  # a connection to a full server can be made, too
    store.evict(EvictionRequest([A], WINDOW))


@pytest.mark.parametrize("verb", ["load", "load_many", "clear"])
def test_no_verb_of_a_full_server_fails_but_by_store_error(
    store: RedisStore, server: ValkeyServer, verb: str
) -> None:
    fill_up(server)
    new = tag("new")
    verbs: dict[str, Callable[[], object]] = {
        "load": lambda: store.load(KEY, [new]),
        "load_many": lambda: store.load_many([(KEY, [new])]),
        "clear": store.clear,
    }
    with contextlib.suppress(StoreError):
        verbs[verb]()
    store.evict(EvictionRequest([new], WINDOW))
    make_room(server)
    store.fill(KEY, b"entry", TTL)
    assert store.load(KEY, [new]).entry == b"entry"
