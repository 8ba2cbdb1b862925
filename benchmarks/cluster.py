"""What a hit, a miss and a write cost in a cluster, beside redis-py's own client.

    python -m benchmarks.cluster [--quick]

Three primaries on this machine. By hand are pipelines of `RedisCluster` with commands
for the same keys and values.
"""

import argparse
import os
from collections.abc import Callable
from itertools import count
from typing import Any

import redis

from benchmarks.measure import compare, report
from benchmarks.redis_store import NAMESPACE, TTL, opened
from botocache._coherence import EvictionRequest
from botocache.stores.protocol import Store
from botocache.stores.redis.keys import Keys
from tests.support.valkey_cluster import running_cluster

TAGS_OF_GET, TAGS_OF_WRITE = 3, 4
"""As in benchmarks/redis_store.py."""

ENTRY = b"x" * 300


class Verbs:
    """One entry with its tags: the store's verbs, and pipelines by hand."""

    def __init__(self, store: Store, bare: Any) -> None:
        self._store = store
        self._bare = bare
        self._key = os.urandom(16)
        self._tags = [os.urandom(16) for _ in range(TAGS_OF_GET)]
        self._written = [os.urandom(16) for _ in range(TAGS_OF_WRITE)]
        store.load(self._key, self._tags)
        store.fill(self._key, ENTRY, TTL, self._tags)
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
        self._store.fill(key, ENTRY, TTL, self._tags)

    def write(self) -> None:
        """Evict as a write does, before and after it."""
        first = self._store.evict(EvictionRequest(self._written, 5.0))
        self._store.evict(EvictionRequest(self._written, 1.0, first_eviction=first))

    def get(self) -> object:
        """Get the same keys by hand."""
        pipeline = self._bare.pipeline()
        for name in self._names:
            pipeline.get(name)
        return pipeline.execute()

    def get_and_set(self) -> None:
        """Get what is not there, and set it, by hand."""
        self.get()
        self._bare.set(b"bare:%016d" % next(self._numbers), ENTRY, px=int(TTL * 1000))

    def sets(self) -> None:
        """Set as many generations twice, in one pipeline each."""
        for _ in range(2):
            pipeline = self._bare.pipeline()
            for tag in self._written:
                pipeline.set(b"bare:" + tag, os.urandom(16), px=int(TTL * 1000))
            pipeline.execute()


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds, calls = (7, 50) if parser.parse_args().quick else (31, 200)
    with (
        running_cluster() as cluster,
        redis.RedisCluster("127.0.0.1", cluster.nodes[0].port) as bare,
    ):
        store = opened(cluster.url)
        verbs = Verbs(store, bare)
        for title, by_hand, name, verb in (
            ("hit: a look-up", verbs.get, "load", verbs.hit),
            ("miss: a look-up and a fill", verbs.get_and_set, "load, fill", verbs.miss),
            ("write: both halves of one", verbs.sets, "2 evictions", verbs.write),
        ):
            contenders: dict[str, Callable[[], object]] = {
                "by hand": by_hand,
                name: verb,
            }
            figures = compare(contenders, base="by hand", rounds=rounds, calls=calls)
            report(f"Cluster {title}", "redis-py, by hand", figures)
        store.close()


if __name__ == "__main__":
    main()
