"""The verbs of the store on a cluster, beside pipelines of redis-py's own client.

Three primaries on this machine. By hand are pipelines of `RedisCluster` with commands
for the same keys and values.
"""

import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import redis

from benchmarks import names
from benchmarks.entries import opened
from benchmarks.measure import Group, timed_group
from benchmarks.places import TTL, Places
from benchmarks.scale import Scale
from botocache._coherence import EvictionRequest
from botocache.stores.protocol import Store
from botocache.stores.redis.keys import Keys
from tests.support.valkey_cluster import running_cluster

TAGS_OF_GET, TAGS_OF_WRITE = 3, 4
"""As in benchmarks/redis_store.py."""

ENTRY = b"x" * 300


class Verbs:
    """One entry with its tags: the store's verbs, and pipelines by hand."""

    def __init__(self, store: Store, bare: Any, namespace: str) -> None:
        self._store = store
        self._bare = bare
        self._key = os.urandom(16)
        self._tags = [os.urandom(16) for _ in range(TAGS_OF_GET)]
        self._written = [os.urandom(16) for _ in range(TAGS_OF_WRITE)]
        store.load(self._key, self._tags)
        store.fill(self._key, ENTRY, TTL, self._tags)
        keys = Keys(namespace)
        self._names = [keys.entry(self._key), *map(keys.generation, self._tags)]
        self._numbers = count()

    def load(self) -> object:
        """Load the entry."""
        return self._store.load(self._key, self._tags)

    def load_and_fill(self) -> None:
        """Load an entry that is missing, and fill it."""
        key = b"%016d" % next(self._numbers)
        self._store.load(key, self._tags)
        self._store.fill(key, ENTRY, TTL, self._tags)

    def evict_twice(self) -> None:
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

    def set_twice(self) -> None:
        """Set as many generations twice, in one pipeline each."""
        for _ in range(2):
            pipeline = self._bare.pipeline()
            for tag in self._written:
                pipeline.set(b"bare:" + tag, os.urandom(16), px=int(TTL * 1000))
            pipeline.execute()


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare the verbs with what redis-py's own client takes."""
    settings = {**places.stores()[names.REDIS], "timeout": 1.0}
    with (
        running_cluster() as cluster,
        redis.RedisCluster("127.0.0.1", cluster.nodes[0].port) as bare,
    ):
        settings["url"] = cluster.url
        store = opened(settings)
        verbs = Verbs(store, bare, settings["namespace"])
        for name, title, by_hand, own, verb in (
            ("load", "a load", verbs.get, "load", verbs.load),
            (
                *("miss", "a load and a fill", verbs.get_and_set),
                *("load, fill", verbs.load_and_fill),
            ),
            (
                *("write", "a write's evictions", verbs.set_twice),
                *("2 evictions", verbs.evict_twice),
            ),
        ):
            contenders: dict[str, Callable[[], object]] = {
                "by hand": by_hand,
                own: verb,
            }
            yield timed_group(
                f"cluster-{name}", f"Cluster: {title}", "by hand", contenders, scale
            )
        store.close()
