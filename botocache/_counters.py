"""Counters of what the cache did in this process. Always on."""

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from botocache._forks import renew_after_fork
from botocache._stats import Stats


class Counters:
    """Counts exactly, from any number of threads and in a forked child.

    With a lock, because a bare `+=` loses counts between threads. The lock costs some
    50 ns in every call.

    number_near_hit: counts a near hit, which counts as a hit, too. Returns its number,
        which no other near hit of this process has. A forked child has another function
        here than its parent.
    """

    number_near_hit: Callable[[], int]

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._near_hits = 0  # of the processes that this one was forked from
        self._begin_numbers()
        self._renew_lock()
        renew_after_fork(self, Counters._after_fork)

    def add(self, name: str, amount: int = 1) -> None:
        """Add `amount` to a count, named as in Stats."""
        with self._lock:
            self._counts[name] += amount

    def add_failure(self, kind: str) -> None:
        """Count a failure of a kind."""
        with self._lock:
            self._failures[kind] += 1

    def read(self, undelivered: int) -> Stats:
        """Return the current counts. undelivered: tags whose eviction is pending."""
        with self._lock:
            near_hits = self._count_near_hits()
            counts: dict[str, Any] = self._counts + Counter(
                hits=near_hits, near_hits=near_hits
            )
            return replace(
                Stats(undelivered=undelivered, failures=dict(self._failures)), **counts
            )

    def _count_near_hits(self) -> int:
        # To read the numbers advances them, too, so the reads are counted beside them.
        return self._near_hits + next(self._numbers) - next(self._reads)

    def _begin_numbers(self) -> None:
        # From anywhere: other processes, and the parent of a fork, number as well.
        first = int.from_bytes(os.urandom(6), "little")
        self._numbers, self._reads = count(first), count(first)
        # Atomic, a tenth of the time of a lock, and no frame of Python's on the path of
        # a near hit.
        self.number_near_hit = self._numbers.__next__

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # a signal handler may make calls in here

    def _after_fork(self) -> None:
        self._renew_lock()
        self._near_hits = self._count_near_hits()
        self._begin_numbers()
