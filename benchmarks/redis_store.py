"""What a hit, a miss and a write cost on the store on Redis, beside redis-py itself.

    python -m benchmarks.redis_store [--quick]

On a real server of this machine, which is as near as a server can be: what is ours
shows most. Bare are the commands that one would write by hand with redis-py for
the same keys and values. Through the hooks, what a hit adds to a `before-call` handler
that does nothing but answer is counted in bare MGETs of the same rounds.
"""

import argparse
import os
from collections.abc import Callable
from itertools import count
from typing import Any

import redis

from benchmarks.clients import (
    ITEM,
    client,
    floor_client,
    getting,
    getting_new,
    updating,
)
from benchmarks.measure import compare, figure_of, report, time_rounds
from botocache._cache.entries import encode_entry
from botocache._coherence import EvictionRequest
from botocache.stores.protocol import Store
from botocache.stores.redis.keys import Keys
from tests.support.opening import open_store_at
from tests.support.valkey_server import ValkeyServer, running_valkey

TTL = 3600.0
NAMESPACE = "bench"
HANDLER = "do-nothing before-call handler"
AT_ONCE = "uncached, transport answers at once"

TAGS_OF_GET, TAGS_OF_WRITE = 3, 4
"""A GetItem depends on its item, its table and everything; a write of an item with two
key attributes evicts the item, two partitions and the table's scans."""


def opened(url: str) -> Store:
    """Return a store that is patient: a busy machine is no failure here."""
    return open_store_at(
        url,
        namespace=NAMESPACE,
        timeout=1.0,
        settle=0.0,
        longest_ttl=TTL,
    )


def cached(server: ValkeyServer) -> Any:
    """Return a client of DynamoDB with the cache on a server."""
    return client(url=server.url, ttl=TTL, timeout=1.0, settle=0.0)


class Verbs:
    """One entry with its tags: the store's verbs, and bare commands of equal size."""

    def __init__(self, store: Store, bare: Any) -> None:
        self._store = store
        self._bare = bare
        self._key = os.urandom(16)
        self._tags = [os.urandom(16) for _ in range(TAGS_OF_GET)]
        self._written = [os.urandom(16) for _ in range(TAGS_OF_WRITE)]
        snapshot = store.load(self._key, self._tags).snapshot
        self._entry = encode_entry({"Item": ITEM}, snapshot, 0.0, TTL)
        store.fill(self._key, self._entry, TTL, self._tags)
        keys = Keys(NAMESPACE)
        self._names = [keys.entry(self._key), *map(keys.generation, self._tags)]
        self._numbers = count()

    def hit(self) -> object:
        """Look the entry up."""
        return self._store.load(self._key, self._tags)

    def miss(self) -> None:
        """Look up what is not there, and fill it."""
        key = b"%016d" % next(self._numbers)
        self._store.load(key, self._tags)
        self._store.fill(key, self._entry, TTL, self._tags)

    def write(self) -> None:
        """Evict as a write does, before and after it."""
        first = self._store.evict(EvictionRequest(self._written, 5.0))
        self._store.evict(EvictionRequest(self._written, 1.0, first_eviction=first))

    def mget(self) -> object:
        """Get the same keys by hand."""
        return self._bare.mget(self._names)

    def mget_and_set(self) -> None:
        """Get what is not there, and set it, by hand."""
        name = b"bare:%016d" % next(self._numbers)
        self._bare.mget([name, *self._names[1:]])
        self._bare.set(name, self._entry, px=int(TTL * 1000))

    def sets(self) -> None:
        """Set as many generations twice, in one pipeline each."""
        for _ in range(2):
            pipeline = self._bare.pipeline(transaction=False)
            for tag in self._written:
                pipeline.set(b"bare:" + tag, os.urandom(16), px=int(TTL * 1000))
            pipeline.execute()


def compare_verbs(verbs: Verbs, rounds: int, calls: int) -> None:
    """Report each verb beside what it would be by hand."""
    for title, bare, by_hand, name, verb in (
        ("Redis hit: a look-up", "MGET", verbs.mget, "load", verbs.hit),
        (
            "Redis miss: a look-up in vain, and a fill",
            *("MGET, SET", verbs.mget_and_set, "load, fill", verbs.miss),
        ),
        (
            "Redis write: both halves of an eviction",
            *("2 pipelines of 4 SET", verbs.sets, "2 evictions", verbs.write),
        ),
    ):
        contenders: dict[str, Callable[[], object]] = {bare: by_hand, name: verb}
        figures = compare(contenders, base=bare, rounds=rounds, calls=calls)
        report(title, f"redis-py, {bare}", figures)


def compare_hits(
    server: ValkeyServer, verbs: Verbs, rounds: int, calls: int, /
) -> None:
    """Report what a hit through the hooks adds to the handler, in MGETs."""
    contenders = {
        "MGET": verbs.mget,
        "load": verbs.hit,
        HANDLER: getting(floor_client()),
        "hit, memory": getting(client(url="memory:", ttl=TTL)),
        "hit": getting(cached(server)),
    }
    times = time_rounds(contenders, rounds=rounds, calls=calls)
    for name in ("hit, memory", "hit"):
        pairs = zip(times[name], times[HANDLER], strict=True)
        times[f"{name}, less the handler"] = [hit - floor for hit, floor in pairs]
    figures = [figure_of(name, own, times["MGET"]) for name, own in times.items()]
    report("Redis hooks: GetItem of six attributes", "redis-py, MGET", figures)


def compare_calls(server: ValkeyServer, rounds: int, calls: int) -> None:
    """Report what is added to a call that goes to DynamoDB."""
    made, plain = cached(server), client()
    for verb, doing in (("miss", getting_new), ("write", updating)):
        contenders = {AT_ONCE: doing(plain), f"{verb}, redis": doing(made)}
        figures = compare(contenders, base=AT_ONCE, rounds=rounds, calls=calls)
        report(f"Redis {verb} through the hooks: what is added", AT_ONCE, figures)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds, calls = (7, 200) if parser.parse_args().quick else (31, 300)
    with running_valkey() as server, redis.Redis.from_url(server.url) as bare:
        store = opened(server.url)
        try:
            verbs = Verbs(store, bare)
            compare_verbs(verbs, rounds, calls)
            compare_hits(server, verbs, rounds, calls)
            compare_calls(server, rounds, calls)
        finally:
            store.close()


if __name__ == "__main__":
    main()
