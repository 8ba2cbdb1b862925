"""Counters of what the cache did in this process, and the log of what failed."""

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
    """Counts of this process since the cache was installed.

    A BatchGetItem counts once for each key.

    hits: reads that the cache answered.
    near_hits: the hits among them that were served from this process's memory.
    misses: reads that were looked up and that DynamoDB answered.
    bypassed: reads that were neither looked up nor filled, because of `bypass()`, a
        table that is off, or a pending eviction.
    held: misses that were not filled, because a write was too recent.
    fills: entries that reads and writes have filled.
    writes: calls that have evicted.
    evicted: tags that these calls have evicted, each counted once per call.
    undelivered: tags whose eviction has failed and is pending now.
    failures: failures inside the cache, by kind: `{"load_failed": 2}`. The application
        sees none of them.
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
        """The share of hits among the reads that were looked up; 0.0 without any."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else 0.0


class Counters:
    """Counts exactly, from any number of threads and in a forked child.

    With a lock, because a bare `+=` loses counts between threads. The lock costs some
    50 ns in every call.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._near_hits = count()
        self._near_reads = 0  # `read` advances the counter, too
        self._renew_lock()
        renew_after_fork(self, Counters._renew_lock)

    def add(self, name: str, amount: int = 1) -> None:
        """Add `amount` to a count, named as in Stats."""
        with self._lock:
            self._counts[name] += amount

    def add_near_hit(self) -> None:
        """Count a near hit; it counts as a hit, too."""
        next(self._near_hits)  # atomic, and ten times as fast as a lock

    def add_failure(self, kind: str) -> None:
        """Count a failure of a kind."""
        with self._lock:
            self._failures[kind] += 1

    def read(self, undelivered: int) -> Stats:
        """Return the current counts. undelivered: tags whose eviction is pending."""
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

_logged: set[str] = set()


def log_once(level: int, event: str, text: str) -> None:
    """Log a line, unless this process has logged it.

    level: of the module logging.
    event: the name of what happened, with which the line begins.
    """
    if text not in _logged:
        _logged.add(text)
        log.log(level, "%s: %s", event, text)


LOG_INTERVAL = 60.0
"""Seconds between two log lines about the same kind of failure."""


class FailureLog:
    """Counts and logs failures by kind.

    clock: the store's, in seconds.
    """

    def __init__(self, counters: Counters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._last: dict[str, float] = {}

    def report(self, kind: str, consequence: str, error: BaseException) -> None:
        """Count a failure and log it, at most once in LOG_INTERVAL for each kind.

        kind: an event name, such as `load_failed`.
        consequence: what botocache does about the failure.
        """
        self._counters.add_failure(kind)
        try:
            now = self._clock()
        except Exception:  # noqa: BLE001 - the store may be the user's own, and this is its last report
            now = math.inf
        # Without a lock: two threads may both log, but neither waits.
        if now - self._last.get(kind, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._last[kind] = now
            log.warning(
                "%s: %s (%s: %s)", kind, consequence, type(error).__name__, error
            )
