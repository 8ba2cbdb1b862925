"""What DynamoDB was asked for: per table who may read, what it cost, what was refused.

Holds the token buckets and the recording, behind one lock. No HTTP and no JSON text:
`dynamodb.py` tells it what passes by and serves its report.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from capacity import TokenBucket

Timeline = defaultdict[int, float]
"""Amounts by the number of the time bucket, counted from the recording's start."""


class Meter:
    """Enforces and records; every method may be called from any thread."""

    def __init__(
        self,
        *,
        burst_seconds: float,
        bucket_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._burst_seconds = burst_seconds
        self._bucket_seconds = bucket_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._rates: dict[str, float] = {}
        self._start()

    def provision(self, table: str, rate: float) -> None:
        """Give a table `rate` read units a second, and a full bucket."""
        with self._lock:
            self._rates[table] = rate
            self._buckets[table] = self._full_bucket(rate)

    def reset(self) -> None:
        """Begin a new recording, with all buckets full."""
        with self._lock:
            self._start()

    def count(self, operation: str) -> None:
        """Note that a request for `operation` arrived."""
        with self._lock:
            self._operations[operation] += 1

    def admits(self, table: str) -> bool:
        """Whether a read of `table` may be served now; a refusal is recorded.

        A table without provisioned capacity (on demand) admits everything.
        """
        with self._lock:
            bucket = self._buckets.get(table)
            if bucket is None or bucket.admits():
                return True
            self._throttled[table][self._now()] += 1
            return False

    def charge(self, table: str, units: float) -> None:
        """Record a served read of `table` and take its units from the bucket."""
        with self._lock:
            if table in self._buckets:
                self._buckets[table].charge(units)
            self._consumed[table][self._now()] += units
            self._answered[table] += 1

    def report(self) -> dict[str, Any]:
        """Return the recording so far, as values that JSON can carry."""
        with self._lock:
            return {
                "bucket_seconds": self._bucket_seconds,
                "operations": dict(self._operations),
                "tables": {table: self._table(table) for table in self._rates},
            }

    def _table(self, table: str) -> dict[str, Any]:
        buckets = range(self._now() + 1)
        return {
            "provisioned": self._rates[table],
            "answered": self._answered[table],
            "consumed": [self._consumed[table][bucket] for bucket in buckets],
            "throttled": [int(self._throttled[table][bucket]) for bucket in buckets],
        }

    def _start(self) -> None:
        self._started = self._clock()
        self._buckets = {
            table: self._full_bucket(rate) for table, rate in self._rates.items()
        }
        self._operations: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._consumed: defaultdict[str, Timeline] = defaultdict(_timeline)
        self._throttled: defaultdict[str, Timeline] = defaultdict(_timeline)

    def _full_bucket(self, rate: float) -> TokenBucket:
        return TokenBucket(rate, burst_seconds=self._burst_seconds, clock=self._clock)

    def _now(self) -> int:
        return int((self._clock() - self._started) / self._bucket_seconds)


def _timeline() -> Timeline:
    return defaultdict(float)
