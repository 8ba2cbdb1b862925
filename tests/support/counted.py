"""A cache of which nothing but its counts is looked at."""

from bisect import bisect_left
from dataclasses import replace
from typing import Any

from botocache._counting.stats import (
    LATENCY_BOUNDS,
    Histogram,
    Stats,
    StreamStats,
    TableStats,
)
from botocache._observe.readings import Readings
from botocache.stores.protocol import Usage


class BoardStore:
    """A store whose usage may be read."""

    def __init__(self, entries: int | None, size: int | None) -> None:
        self.is_failing = False
        self.reads = 0
        self._usage = Usage(entries, size)

    def usage(self) -> Usage:
        self.reads += 1
        if self.is_failing:
            raise OSError("no store")
        return self._usage

    def post(self, name: str, record: bytes, ttl: float) -> None: ...

    def names(self) -> list[str]:
        return []

    def posted(self, *_: Any) -> dict[str, bytes]:
        return {}

    def merge(self, *_: Any) -> bool:
        return True


class Counted:
    """A cache that has counted `now`."""

    def __init__(self, **of_table: Any) -> None:
        self.now = Stats()
        self.set(**of_table)

    def stats(self) -> Stats:
        return self.now

    def set(self, table: str = "users", operation: str = "GetItem", **of: Any) -> None:
        """Have other counts of one table and operation; nothing else of tables."""
        self.now = replace(self.now, tables=(TableStats(table, operation, **of),))


def bucket_of(seconds: float) -> int:
    """Return the index of the bucket in `Histogram.counts` that a duration is in."""
    return bisect_left(LATENCY_BOUNDS, seconds)


def durations(*seconds: float) -> Histogram:
    """Return the histogram of some durations."""
    counts = [0] * len(Histogram().counts)
    for each in seconds:
        counts[bucket_of(each)] += 1
    return Histogram(tuple(counts), sum(seconds))


def everything() -> Stats:
    """Return stats in which nothing is 0; the numbers differ."""
    table = TableStats(
        table="users",
        operation="GetItem",
        near_hits=1000,
        store_hits=200,
        misses=40,
        bypassed={"off": 5, "mode": 2},
        fills=31,
        unfilled={"held": 6, "too_large": 3},
        writes=0,
        evicted=0,
        throttled=8,
        answered_stale=7,
        coalesced=14,
        leased=6,
        units_saved=600.5,
        units_consumed=23.5,
        units_estimated=11.5,
        near_latency=durations(*[3e-6] * 62),
        store_latency=durations(*[60e-6] * 199, 0.3),
        miss_latency=durations(0.004, 0.009, 20.0),
        compared=90,
        differing={"settling": 12, "lasting": 9},
        stale_seconds=47.5,
    )
    write = TableStats("users", "PutItem", writes=13, evicted=52)
    return Stats(
        undelivered=4,
        failures={"load_failed": 7, "evict_failed": 1},
        tables=(table, write),
        streams=(StreamStats("users", 1.5, 120, 240, 60, 2),),
    )


def readings_of(*caches: Counted, store: object = None) -> Readings:
    """Return readings of some caches. The caller keeps the store."""
    readings = Readings()
    for cache in caches:
        readings.add(cache, cache if store is None else store)
    return readings
