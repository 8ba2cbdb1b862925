"""The Redis store's verbs, beside bare commands of redis-py for as many keys.

Then the same with more of everything. More processes load the same entry on one server,
as fast as they can, beside as many that send bare MGETs. More entries: a write's
evictions on a server with few and on one with many entries must cost the same.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import redis

from benchmarks import names
from benchmarks.crowds import in_processes, open_contender
from benchmarks.entries import entry_of, opened, put_entries
from benchmarks.measure import Contender, Group, time_rounds, timed, timed_group
from benchmarks.places import TTL, Places
from benchmarks.scale import Scale
from benchmarks.work import GET
from botocache._coherence import EvictionRequest
from tests.support.processes import running_peers
from tests.support.valkey_server import running_valkey

TAGS_OF_GET, TAGS_OF_WRITE = 3, 4
"""A GetItem depends on its item, its table and everything. A write of an item with two
key attributes evicts the item, two partitions and the table's scans."""


class Verbs:
    """One entry with its tags: the store's verbs, and bare commands of equal size."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._store = opened(settings)
        self._bare: Any = redis.Redis.from_url(settings["url"])
        self._key = os.urandom(16)
        self._tags = [os.urandom(16) for _ in range(TAGS_OF_GET)]
        self._written = [os.urandom(16) for _ in range(TAGS_OF_WRITE)]
        snapshot = self._store.load(self._key, self._tags).snapshot
        self._entry = entry_of(self._key, GET.answer, snapshot, 0.0)
        self._store.fill(self._key, self._entry, TTL, self._tags)
        states = {b"bare:" + tag: os.urandom(16) for tag in self._tags}
        self._bare.mset({b"bare:" + self._key: self._entry, **states})
        self._names = [b"bare:" + self._key, *states]
        self._numbers = count()

    def load(self) -> object:
        """Load the entry."""
        return self._store.load(self._key, self._tags)

    def load_and_fill(self) -> None:
        """Load an entry that is missing, and fill it."""
        key = b"%016d" % next(self._numbers)
        self._store.load(key, self._tags)
        self._store.fill(key, self._entry, TTL, self._tags)

    def evict_twice(self) -> None:
        """Evict as a write does, before and after it."""
        first = self._store.evict(EvictionRequest(self._written, 5.0))
        self._store.evict(EvictionRequest(self._written, 1.0, first_eviction=first))

    def mget(self) -> object:
        """Get as many keys as a load."""
        return self._bare.mget(self._names)

    def mget_and_set(self) -> None:
        """Get a key that is missing, and set it."""
        name = b"bare:%016d" % next(self._numbers)
        self._bare.mget([name, *self._names[1:]])
        self._bare.set(name, self._entry, px=int(TTL * 1000))

    def set_twice(self) -> None:
        """Set as many keys as two evictions, in one pipeline each."""
        for _ in range(2):
            pipeline = self._bare.pipeline(transaction=False)
            for tag in self._written:
                pipeline.set(b"bare:" + tag, os.urandom(16), px=int(TTL * 1000))
            pipeline.execute()

    def close(self) -> None:
        """Close the store and the client."""
        self._store.close()
        self._bare.close()


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare the verbs, then with more processes and with more entries."""
    verbs = Verbs(places.stores()[names.REDIS])
    for name, title, bare, by_hand, own, verb in (
        ("load", "a load", "MGET", verbs.mget, "load", verbs.load),
        (
            *("miss", "a load and a fill", "MGET, SET", verbs.mget_and_set),
            *("load, fill", verbs.load_and_fill),
        ),
        (
            *("write", "a write's evictions", "2 pipelines of 4 SET", verbs.set_twice),
            *("2 evictions", verbs.evict_twice),
        ),
    ):
        contenders: dict[str, Callable[[], object]] = {bare: by_hand, own: verb}
        yield timed_group(f"redis-{name}", f"Redis: {title}", bare, contenders, scale)
    verbs.close()
    yield _processes(scale, places.stores()[names.REDIS])
    yield _entries(scale, places.stores()[names.REDIS])


def _processes(scale: Scale, settings: dict[str, Any]) -> Group:
    times = {}
    with running_peers(max(scale.processes)) as peers:
        for peer in peers:
            for verb in ("mget", "load"):
                peer.call(open_contender, verb, verb_of, settings, verb)
        contenders = {
            (number, verb): in_processes(verb, peers[:number])
            for number in scale.processes
            for verb in ("mget", "load")
        }
        measured = time_rounds(
            {
                f"{verb}, {number} processes": c
                for (number, verb), c in contenders.items()
            },
            rounds=scale.server_rounds,
            seconds=scale.seconds * 5,
            slices=1,
        )
    for (number, verb), each in zip(contenders, measured.values(), strict=True):
        times[f"{verb}, {number} processes"] = [micros / number for micros in each]
    title = "Redis: a load by more processes, time divided by processes"
    return Group("redis-processes", title, "mget, 1 processes", times)


def verb_of(settings: dict[str, Any], verb: str) -> Contender:
    """Return a verb as a contender, in a process of the crowd."""
    return timed(getattr(Verbs(settings), verb))


def _entries(scale: Scale, settings: dict[str, Any]) -> Group:
    contenders: dict[str, Callable[[], object]] = {}
    with ExitStack() as stack:
        for entries in (scale.few, scale.many):
            server = stack.enter_context(running_valkey())
            own = {**settings, "url": server.url}
            store = opened(own)
            put_entries(store, entries)
            store.close()
            verbs = Verbs(own)
            stack.callback(verbs.close)
            contenders[f"{entries:,} entries"] = verbs.evict_twice
        title = "Redis: a write's evictions among more entries"
        base = f"{scale.few:,} entries"
        return timed_group("redis-entries", title, base, contenders, scale)
