"""How long a process with client tracking still serves what another one has evicted.

Two processes on one machine share a Valkey server. One tracks its changes and calls
`is_current` all the time; the other evicts, and notes when the eviction returned. What
counts is the last call of `is_current` that began after that moment and still returned
True: how long after it, or 0 if there was none. The first process either sleeps between
its calls, like one that waits for a network, or never does, which starves the thread
that reads invalidations. PINGs are timed in between, for comparison.

Besides, the cost of `is_current`, beside the memory store's and beside a load.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from benchmarks import names
from benchmarks.entries import opened
from benchmarks.measure import Group, timed_group
from benchmarks.places import Places
from benchmarks.scale import Scale
from botocache._coherence import EvictionRequest
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support.digests import key, tags
from tests.support.processes import Peer, running_peer

WRITES_PER_ROUND = 50
KEY, TAGS = key("an entry"), tags(4)
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
PING = "PING, p50"

RESTS: dict[str, Callable[[], object]] = {
    "sleeps 20 us between calls": lambda: time.sleep(20e-6),  # real: others work
    "never sleeps": lambda: None,
}

_stores: list[Store] = []
"""Of the other process."""


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Measure delays, then the cost of `is_current`."""
    settings = {**places.stores()[names.REDIS], "client_tracking": True}
    with closing(opened(settings)) as store:
        yield _delays(scale.rounds * WRITES_PER_ROUND, store, settings, places.bare)
        yield _cost(scale, store)


def _delays(writes: int, store: Store, settings: dict[str, Any], bare: Any) -> Group:
    delays: dict[str, list[float]] = {"PING": [], **{name: [] for name in RESTS}}
    with running_peer() as writer:
        for _ in range(writes):
            for name, rest in RESTS.items():
                delays[name].append(_delay(store, writer, settings, rest))
                begun = time.monotonic()
                bare.ping()
                delays["PING"].append((time.monotonic() - begun) * 1e6)
    rows = {
        f"{name}, {quantile}": [
            sorted(each)[min(int(share * len(each)), len(each) - 1)]
        ]
        for name, each in delays.items()
        for quantile, share in QUANTILES.items()
    }
    late = {name: sum(each > 0 for each in delays[name]) for name in RESTS}
    return Group(
        "tracking-delay",
        f"Tracking: still current after an eviction, {writes:,} writes",
        PING,
        rows,
        note=f"Evictions that were seen late at all: {late}.",
    )


def evict(settings: dict[str, Any]) -> float:
    """Evict, and return when that returned. In the other process."""
    if not _stores:
        _stores.append(opened({**settings, "client_tracking": False}))
    _stores[0].evict(EvictionRequest(TAGS[:1], 0.0))
    return time.monotonic()


def _delay(
    store: Store, writer: Peer, settings: dict[str, Any], rest: Callable[[], object]
) -> float:
    """Return how many microseconds after an eviction the snapshot was still current.

    rest: is called between two calls of `is_current`.
    """
    snapshot = _current_snapshot(store)
    writer.start(evict, settings)
    last, begun = 0.0, time.monotonic()
    while store.is_current(TAGS, snapshot):
        last = begun
        rest()
        begun = time.monotonic()
    returned: float = writer.result()
    return max(0.0, (last - returned) * 1e6)


def _current_snapshot(store: Store) -> Sequence[int]:
    """Return a snapshot that the store knows to be current."""
    while True:
        snapshot = store.load(KEY, TAGS).snapshot
        if store.is_current(TAGS, snapshot):
            return snapshot
        time.sleep(0.001)  # real: the tracking thread starts


def _cost(scale: Scale, store: Store) -> Group:
    memory = MemoryStore()
    in_memory, snapshot = memory.load(KEY, TAGS).snapshot, _current_snapshot(store)
    base = "is_current, memory"
    contenders: dict[str, Callable[[], object]] = {
        base: lambda: memory.is_current(TAGS, in_memory),
        "is_current, redis with client tracking": lambda: store.is_current(
            TAGS, snapshot
        ),
        "load, redis": lambda: store.load(KEY, TAGS),
    }
    title = "Tracking: whether four tags are current"
    return timed_group("tracking-cost", title, base, contenders, scale)
