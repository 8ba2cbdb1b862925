"""Outcomes and counters: what the cache did for this process, and what went wrong."""

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from botocache._forks import renew_after_fork


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the cache was installed, for this process alone.

    Of a BatchGetItem each key counts.

    hits: reads answered from the cache.
    near_hits: those of them that this process answered without asking the store.
    misses: reads that the cache was asked for and DynamoDB answered.
    bypassed: reads that the cache was not asked for (`bypass()`, a table that is
        off, evictions that wait for delivery).
    held: misses that could not be filled because a write was too recent.
    fills: entries put, by reads and by writes.
    writes: calls that evicted.
    evicted: tags that they evicted, each counted once per call.
    undelivered: tags whose eviction failed and waits to be retried, now.
    failures: what went wrong inside, by kind; none of it reached the application.
    """

    hits: int = 0
    near_hits: int = 0
    misses: int = 0
    bypassed: int = 0
    held: int = 0
    fills: int = 0
    writes: int = 0
    evicted: int = 0
    undelivered: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def hit_ratio(self) -> float:
        """Hits among the reads that the cache was asked for; 0.0 when none was."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class Counters:
    """Counts exactly, from any number of threads, and across a fork.

    A lock and not a bare `+=`, which loses counts between threads; it costs some
    50 ns on the path of every call.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._near_hits = count()
        self._near_reads = 0  # of that counter, each of which counts itself
        self._renew_lock()
        renew_after_fork(self, Counters._renew_lock)

    def add(self, name: str, amount: int = 1) -> None:
        """Count `amount` more of an outcome, named as in Stats."""
        with self._lock:
            self._counts[name] += amount

    def add_near_hit(self) -> None:
        """Count a hit that the store was not asked for; as a hit, too."""
        next(self._near_hits)  # atomic, and a tenth of a lock's time

    def add_failure(self, kind: str) -> None:
        """Count one failure more of a kind."""
        with self._lock:
            self._failures[kind] += 1

    def read(self, undelivered: int) -> Stats:
        """Return the counts of now."""
        with self._lock:
            near_hits = next(self._near_hits) - self._near_reads
            self._near_reads += 1
            counts = self._counts + Counter(hits=near_hits, near_hits=near_hits)
            return Stats(
                **counts, undelivered=undelivered, failures=dict(self._failures)
            )

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


log = logging.getLogger("botocache")

LOG_INTERVAL = 60.0
"""Seconds between two lines about the same kind of failure."""


class FailureLog:
    """Counts and logs failures by kind, an event name such as `load_failed`."""

    def __init__(self, counters: Counters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._last: dict[str, float] = {}

    def report(self, kind: str, consequence: str, error: BaseException) -> None:
        """Count a failure, and log what it means for the application."""
        self._counters.add_failure(kind)
        try:
            now = self._clock()
        except Exception:  # noqa: BLE001 - a store of the user's own, and the last resort
            now = math.inf
        # A lost race logs twice; waiting for a lock here could stall a call.
        if now - self._last.get(kind, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._last[kind] = now
            log.warning(
                "%s: %s (%s: %s)", kind, consequence, type(error).__name__, error
            )
