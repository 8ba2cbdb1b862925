"""Counters of what the cache did in this process. Always on.

They count exactly, from any number of threads and in a forked child. All but near hits
count with a lock, because a bare `+=` loses counts between threads. The lock costs some
50 ns in every call. A near hit takes a number of an `itertools.count`, which is atomic
and takes a tenth of that time.
"""

import os
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import count, islice
from typing import Any, Final, TypeAlias

from botocache._counting.hot_keys import HotKeys, TextOf
from botocache._counting.stats import (
    LATENCY_BOUNDS,
    OTHER,
    Histogram,
    Stats,
    TableStats,
)
from botocache._forks import renew_after_fork

Lock: TypeAlias = AbstractContextManager[Any]

MOST_SERIES = 1_000
"""Tables and operations that are counted apart; all others count as one, OTHER."""

UNKNOWN = "(unknown)"
"""The name of the table of a call that does not say which it concerns."""

NEAR_SAMPLED = 101
"""One near hit in so many has its time and its key noted, which takes as long as the
near hit itself. A prime: of 2 or 16 keys that an application reads in turn, each must
be noted at times."""

STORE_SAMPLED = 17
"""One hit of the store in so many has its key noted."""

FOREIGN = "foreign"
"""Why an answer is not filled: other keys signed the request than its scope is of."""

UNENCODABLE = "unencodable"
"""Why an answer is not filled: an entry cannot hold it."""

_MOST_UNITS = 1_024
"""Different read units of near hits that a series counts apart."""


class _Timings:
    """How long calls took. Series adds to it under its lock, without a further call."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS) + 1)
        self.seconds = 0.0

    def read(self) -> Histogram:
        """Return the histogram of this moment."""
        return Histogram(tuple(self.counts), self.seconds)


class NearHits:
    """The near hits of one series on entries of the same read units.

    number: counts a near hit. Returns its number, which no other near hit on these
        entries has in this process. `sample` must be called for those that leave 1
        when they are divided by NEAR_SAMPLED. A forked child has another function here.
    """

    __slots__ = ("_before", "_first", "_numbers", "_series", "_units", "number")

    number: Callable[[], int]

    def __init__(self, series: "Series", units: float) -> None:
        self._series = series
        self._units = units
        self._before = 0  # counted in the processes that this one was forked from
        self._begin()

    @property
    def place(self) -> tuple[str, str]:
        """The table and the operation."""
        return self._series.table, self._series.operation

    @property
    def count(self) -> int:
        """How many there were."""
        # By its text: to take the next number would count one more.
        return self._before + int(repr(self._numbers)[6:-1]) - self._first

    def take(self, hits: int) -> list[int]:
        """Count several near hits; return their numbers. See `number`."""
        return [*islice(self._numbers, hits)]

    def sample(
        self, seconds: float | None, digest: str, text_of: TextOf, asked: object
    ) -> None:
        """Take note of a near hit that stands for NEAR_SAMPLED of them.

        seconds: that it took; None if that is not known.
        digest: of its entry's key, in hex.
        text_of: makes the key's text of `asked`.
        """
        units = self._units * NEAR_SAMPLED
        self._series.add_near_sample(seconds, units, digest, text_of, asked)

    def expire(self) -> None:
        """Count that such an entry is too old, and that no write has evicted it."""
        self._series.add_expired()

    def _begin(self) -> None:
        # From anywhere: other processes, and the parent of a fork, number as well.
        self._first = int.from_bytes(os.urandom(6), "little")
        self._numbers = count(self._first)
        self.number = self._numbers.__next__

    def after_fork(self) -> None:
        """Begin numbers of its own, in a forked child."""
        self._before = self.count
        self._begin()


class Series:
    """The counts of one operation on one table. See TableStats for what each means."""

    __slots__ = (
        "_answered_stale",
        "_bypassed",
        "_coalesced",
        "_compared",
        "_consistent",
        "_differing",
        "_estimated",
        "_evicted",
        "_expired",
        "_fills",
        "_follow_ups",
        "_hot_keys",
        "_index_outdated",
        "_leased",
        "_lock",
        "_miss_latency",
        "_misses",
        "_near",
        "_near_latency",
        "_outdated",
        "_stale_seconds",
        "_store_hits",
        "_store_latency",
        "_throttled",
        "_unfilled",
        "_units_consumed",
        "_units_saved",
        "_writes",
        "operation",
        "table",
    )

    def __init__(
        self, table: str, operation: str, lock: Lock, hot_keys: HotKeys
    ) -> None:
        self.table: Final = table
        self.operation: Final = operation
        self._lock = lock
        self._hot_keys = hot_keys
        self._near: dict[tuple[float, bool], NearHits] = {}
        self._store_hits = self._misses = self._consistent = 0
        self._expired = self._outdated = self._index_outdated = 0
        self._fills = self._writes = self._evicted = self._throttled = 0
        self._answered_stale = 0
        self._units_saved = self._units_consumed = self._estimated = 0.0
        self._bypassed: Counter[str] = Counter()
        self._unfilled: Counter[str] = Counter()
        self._near_latency = _Timings()
        self._store_latency = _Timings()
        self._miss_latency = _Timings()
        self._compared = self._coalesced = self._leased = 0
        self._differing: Counter[str] = Counter()
        self._follow_ups: Counter[str] = Counter()
        self._stale_seconds = 0.0

    def __repr__(self) -> str:
        return f"<Series of {self.operation} on {self.table!r}>"

    # --- reads ---------------------------------------------------------------------

    def near_hits(self, units: float, *, is_estimated: bool = False) -> NearHits:
        """Return the count of the near hits on entries of so many read units."""
        with self._lock:
            near = self._near.get((units, is_estimated))
            if near is None:
                if len(self._near) >= _MOST_UNITS:
                    # Another process may have filled entries of any read units.
                    nearest = min(self._near, key=lambda each: abs(each[0] - units))
                    return self._near[nearest]
                near = self._near[units, is_estimated] = NearHits(self, units)
            return near

    def add_near_sample(
        self,
        seconds: float | None,
        units: float,
        digest: str,
        text_of: TextOf,
        asked: object,
    ) -> None:
        """Take note of a near hit that stands for several. See NearHits.sample."""
        with self._lock:
            self._hot_keys.add(self, digest, NEAR_SAMPLED, units, text_of, asked)
            if seconds is not None:
                timings = self._near_latency
                timings.counts[bisect_left(LATENCY_BOUNDS, seconds)] += 1
                timings.seconds += seconds

    def add_store_hit(
        self, seconds: float, units: float, *, is_estimated: bool = False
    ) -> bool:
        """Count a read that the store answered, or would have answered.

        Return whether it stands for STORE_SAMPLED of them: then call `add_hot_key`.

        seconds: that the call took.
        units: read units that it would have consumed.
        is_estimated: the units rest on an estimate.
        """
        with self._lock:
            self._store_hits += 1
            self._units_saved += units
            if is_estimated:
                self._estimated += units
            timings = self._store_latency
            timings.counts[bisect_left(LATENCY_BOUNDS, seconds)] += 1
            timings.seconds += seconds
            return not self._store_hits % STORE_SAMPLED

    def add_store_hits(
        self, seconds: float, hits: int, units: float, estimated: float
    ) -> range:
        """Count the keys of a batch that the store answered. See `add_store_hit`.

        Return the places among them of those that stand for STORE_SAMPLED.

        seconds: that the call took.
        hits: keys.
        units: read units of all of them.
        estimated: those of the units that rest on an estimate.
        """
        with self._lock:
            before = self._store_hits
            self._store_hits += hits
            self._units_saved += units
            self._estimated += estimated
            timings = self._store_latency
            timings.counts[bisect_left(LATENCY_BOUNDS, seconds)] += hits
            timings.seconds += seconds * hits
            return range((-before - 1) % STORE_SAMPLED, hits, STORE_SAMPLED)

    def add_hot_key(
        self, digest: str, hits: int, units: float, text_of: TextOf, asked: object
    ) -> None:
        """Take note of the key of a hit that stands for several. See HotKeys.add."""
        with self._lock:
            self._hot_keys.add(self, digest, hits, units, text_of, asked)

    def add_miss(  # noqa: PLR0913 - each says one thing of the miss
        self,
        seconds: float | None,
        units: float,
        *,
        is_consistent: bool = False,
        is_outdated: bool = False,
        is_on_index: bool = False,
        reads: int = 1,
        fills: int = 0,
    ) -> None:
        """Count a read that was looked up and that was sent to DynamoDB.

        seconds: that the call took; None if DynamoDB has not answered it.
        units: read units that it has consumed.
        is_consistent: the application asked for strong consistency.
        is_outdated: the store had an entry that a write has evicted.
        is_on_index: it is a query of an index.
        reads: keys of a batch, which count one by one; the units are those of all.
        fills: entries of it that were filled, if that is known already.
        """
        with self._lock:
            self._misses += reads
            self._fills += fills
            self._units_consumed += units
            if is_consistent:
                self._consistent += reads
            if is_outdated:
                self._outdated += reads
                if is_on_index:
                    self._index_outdated += reads
            if seconds is not None:
                timings = self._miss_latency
                timings.counts[bisect_left(LATENCY_BOUNDS, seconds)] += reads
                timings.seconds += seconds * reads

    def add_expired(self) -> None:
        """Count an answer in the near cache that is too old, and else still good."""
        with self._lock:
            self._expired += 1

    def add_bypass(self, reason: str, reads: int = 1) -> None:
        """Count reads that are neither looked up nor filled, when they begin."""
        with self._lock:
            self._bypassed[reason] += reads

    def add_consumed(self, units: float) -> None:
        """Add read units that a bypassed read has consumed, when it ends."""
        with self._lock:
            self._units_consumed += units

    def add_fills(self, entries: int = 1) -> None:
        """Count entries that were filled."""
        with self._lock:
            self._fills += entries

    def add_unfilled(self, reason: str, answers: int = 1) -> None:
        """Count answers of misses that were not filled."""
        with self._lock:
            self._unfilled[reason] += answers

    def add_coalesced(self) -> None:
        """Count a hit, which is counted already, on an answer that it waited for."""
        with self._lock:
            self._coalesced += 1

    def add_leased(self) -> None:
        """Count a hit, which is counted already, on what another process has filled."""
        with self._lock:
            self._leased += 1

    def add_throttled(self) -> None:
        """Count an answer of DynamoDB that refused a request for lack of capacity."""
        with self._lock:
            self._throttled += 1

    def add_answered_stale(self, reads: int) -> None:
        """Count reads that DynamoDB refused, and entries over their TTL answered."""
        with self._lock:
            self._answered_stale += reads

    # --- writes --------------------------------------------------------------------

    def add_write(self, tags: int) -> None:
        """Count a call that evicts so many tags of this table."""
        with self._lock:
            self._writes += 1
            self._evicted += tags

    def add_evicted(self, tags: int) -> None:
        """Count tags that a write, which is counted already, evicts in addition."""
        with self._lock:
            self._evicted += tags

    # --- shadow mode and audit -----------------------------------------------------

    def add_comparison(self, difference: str | None, seconds: float = 0.0) -> None:
        """Count a hit that was compared with DynamoDB's answer.

        difference: `settling`, `unconfirmed` or `lasting`; None if they were equal.
        seconds: for which the difference has lasted.
        """
        with self._lock:
            self._compared += 1
            if difference is not None:
                self._differing[difference] += 1
                self._stale_seconds = max(self._stale_seconds, seconds)

    def add_follow_up(self, outcome: str) -> None:
        """Count what became of an entry that a follower should evict."""
        with self._lock:
            self._follow_ups[outcome] += 1

    # --- the counts of this moment -------------------------------------------------

    def read(self) -> TableStats:
        """Return the counts of this moment."""
        with self._lock:
            near_hits, saved = 0, self._units_saved
            estimated = self._estimated
            for (units, is_estimated), near in self._near.items():
                hits = near.count
                near_hits += hits
                saved += hits * units
                if is_estimated:
                    estimated += hits * units
            return TableStats(
                table=self.table,
                operation=self.operation,
                near_hits=near_hits,
                store_hits=self._store_hits,
                misses=self._misses,
                bypassed=dict(self._bypassed),
                fills=self._fills,
                unfilled=dict(self._unfilled),
                writes=self._writes,
                evicted=self._evicted,
                throttled=self._throttled,
                units_saved=saved,
                units_consumed=self._units_consumed,
                units_estimated=estimated,
                near_latency=self._near_latency.read(),
                store_latency=self._store_latency.read(),
                miss_latency=self._miss_latency.read(),
                compared=self._compared,
                differing=dict(self._differing),
                stale_seconds=self._stale_seconds,
                consistent=self._consistent,
                expired=self._expired,
                outdated=self._outdated,
                index_outdated=self._index_outdated,
                coalesced=self._coalesced,
                leased=self._leased,
                answered_stale=self._answered_stale,
                follow_ups=dict(self._follow_ups),
            )

    def after_fork(self, lock: Lock) -> None:
        """Count with another lock and other numbers than the parent."""
        self._lock = lock
        for near in self._near.values():
            near.after_fork()


class Counters:
    """The counts of one cache in this process.

    known_series: those that there are, by table and operation. For callers in a hurry,
        who ask `series` for what they do not find.
    """

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()
        self.known_series: Final[dict[tuple[str, str], Series]] = {}
        self._hot_keys = HotKeys()
        self._lock = threading.RLock()  # a signal handler may make calls in here
        renew_after_fork(self, Counters._after_fork)

    def series(self, table: str, operation: str) -> Series:
        """Return the counts of an operation on a table, always the same object.

        After MOST_SERIES, all others are one, whose table is OTHER.
        """
        series = self.known_series.get((table, operation))
        return self._add_series(table, operation) if series is None else series

    def add_failure(self, kind: str) -> None:
        """Count a failure of a kind."""
        with self._lock:
            self._failures[kind] += 1

    def read(self, undelivered: int) -> Stats:
        """Return the current counts. undelivered: tags whose eviction is pending."""
        with self._lock:
            tables = tuple(
                self.known_series[name].read() for name in sorted(self.known_series)
            )
            return Stats(
                hits=sum(each.hits for each in tables),
                near_hits=sum(each.near_hits for each in tables),
                misses=sum(each.misses for each in tables),
                bypassed=sum(_total(each.bypassed) for each in tables),
                held=sum(each.held for each in tables),
                fills=sum(each.fills for each in tables),
                writes=sum(each.writes for each in tables),
                evicted=sum(each.evicted for each in tables),
                undelivered=undelivered,
                failures=dict(self._failures),
                tables=tables,
                hot_keys=self._hot_keys.read(),
            )

    def _add_series(self, table: str, operation: str) -> Series:
        with self._lock:
            name = (table, operation)
            if len(self.known_series) >= MOST_SERIES:
                name = (OTHER, OTHER)
            series = self.known_series.get(name)
            if series is None:
                series = Series(*name, self._lock, self._hot_keys)
                self.known_series[name] = series
            return series

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        for series in self.known_series.values():
            series.after_fork(self._lock)


def _total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())
