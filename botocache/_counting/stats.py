"""What the counters show: plain values, of one process or of several together. Pure.

They survive a trip through JSON or MessagePack: `msgspec.convert(builtins, Stats)`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import add
from typing import Any, Final, TypeAlias, TypeVar

from botocache._errors import shows

LATENCY_BOUNDS: Final = tuple(
    float(f"{step}e{exponent}") for exponent in range(-6, 2) for step in (1, 2, 5)
)[:-2]
"""Upper bounds of a histogram's buckets in seconds: 1, 2, 5 µs and so on, to 10 s."""

Counts: TypeAlias = dict[str, int]
"""Counts by a reason: `{"pending": 2}`."""

OTHER: Final = "(other)"
"""The name of the table that stands for all those after the first ones."""

HELD: Final = "held"
"""Why an answer is not filled: a write was too recent."""

LASTING: Final = "lasting"
"""What a difference is that was seen again: a writer goes around botocache."""


FOLLOWED: Final = "followed"
"""What a difference is that was seen while the stream of its table is followed."""

EVICTED: Final = "evicted"
NOT_EVICTED: Final = "not_evicted"
"""What became of such an entry within the time for which a heartbeat is trusted."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long calls took.

    counts: of the calls in each bucket of LATENCY_BOUNDS; the last one is of those that
        took longer than the highest bound.
    seconds: that the calls took together.
    """

    counts: tuple[int, ...] = (0,) * (len(LATENCY_BOUNDS) + 1)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many calls there are."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Seconds that a call took on average; 0.0 without any."""
        return self.seconds / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Return the seconds within which that share of the calls ended.

        It is the upper bound of a bucket; 0.0 without any calls, and infinity if they
        took longer than the highest bound. share: from 0.0 to 1.0.
        """
        total = self.count
        if not total:
            return 0.0
        reached = 0
        for bound, calls in zip(LATENCY_BOUNDS, self.counts, strict=False):
            # Buckets are not cumulative, unlike those of Prometheus.
            reached += calls
            if reached >= share * total:
                return bound
        return float("inf")

    def __add__(self, other: "Histogram") -> "Histogram":
        counts = (a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(tuple(counts), self.seconds + other.seconds)

    def since(self, earlier: "Histogram") -> "Histogram":
        """Return what has been added to an earlier one; never less than nothing."""
        counts = zip(self.counts, earlier.counts, strict=True)
        seconds = max(0.0, self.seconds - earlier.seconds)
        return Histogram(tuple(max(0, a - b) for a, b in counts), seconds)


@dataclass(frozen=True, slots=True)
class TableStats:
    """Counts of one operation on one table. A BatchGetItem counts once for each key.

    table: its name; "(other)" for all tables after the first thousand.
    operation: as the service model spells it, `GetItem`.
    near_hits: reads that were answered from this process's memory.
    store_hits: reads that the store answered.
    misses: reads that were looked up and that DynamoDB answered.
    bypassed: reads that were neither looked up nor filled, by the reason.
    fills: entries that reads and writes have filled.
    unfilled: answers of misses that were not filled, by the reason; `held` is a write
        that was too recent.
    writes: calls that have evicted.
    evicted: tags that these calls have evicted, each counted once per call.
    throttled: answers of DynamoDB that refused a request for lack of capacity. botocore
        may have repeated the request.
    units_saved: read units that the hits would have consumed.
    units_consumed: read units that the misses and bypassed reads have consumed.
    units_estimated: the part of `units_saved` that rests on an estimate of item sizes,
        because the answers show only parts of their items.
    near_latency: how long near hits took; one in a hundred and one is timed.
    store_latency: how long hits of the store took.
    miss_latency: how long misses took.
    compared: hits that shadow mode or an audit compared with DynamoDB's answer.
    differing: those that differed, by what the difference was: `settling` (within
        `settle` of a write of ours), `unconfirmed` (seen once), `lasting` (seen again
        after `settle` seconds: a writer goes around botocache), `lasting_on_index` (the
        same, or the index lags), `ttl_only` (writes do not evict it, by the settings),
        `followed` (seen while the stream of the table is followed, and for less than
        ten seconds: a follower is about to evict it).
    stale_seconds: the longest time for which a difference was seen to last.
    consistent: the part of `misses` for which the application asked for strong
        consistency, so that no entry could answer them.
    expired: answers in the near cache that reached their TTL, though no write had
        evicted them. Each process counts its own.
    outdated: the part of `misses` whose entry a write had evicted, and was still there.
    index_outdated: the part of that which are queries of an index.
    coalesced: the part of `store_hits` that the store did not have yet: another read
        had asked for the same, and these waited for its answer.
    leased: the part of `store_hits` that had missed, and waited for another process
        that asked for the same under a lease; see `miss_leases`.
    answered_stale: the part of `misses` that DynamoDB refused, or did not answer, and
        that an entry over its TTL has answered; see `stale_if_throttled`.
    follow_ups: entries that differed while their table was followed, by what a later
        call found: `evicted` within ten seconds, or `not_evicted`.
    """

    table: str
    operation: str
    near_hits: int = 0
    store_hits: int = 0
    misses: int = 0
    bypassed: Counts = field(default_factory=dict)
    fills: int = 0
    unfilled: Counts = field(default_factory=dict)
    writes: int = 0
    evicted: int = 0
    throttled: int = 0
    units_saved: float = 0.0
    units_consumed: float = 0.0
    units_estimated: float = 0.0
    near_latency: Histogram = Histogram()
    store_latency: Histogram = Histogram()
    miss_latency: Histogram = Histogram()
    compared: int = 0
    differing: Counts = field(default_factory=dict)
    stale_seconds: float = 0.0
    consistent: int = 0
    expired: int = 0
    outdated: int = 0
    index_outdated: int = 0
    coalesced: int = 0
    leased: int = 0
    answered_stale: int = 0
    follow_ups: Counts = field(default_factory=dict)

    @property
    def hits(self) -> int:
        """Reads that the cache answered, or would have answered in shadow mode."""
        return self.near_hits + self.store_hits

    @property
    def looked_up(self) -> int:
        """Reads that did not bypass the cache."""
        return self.hits + self.misses

    @property
    def hit_ratio(self) -> float:
        """The share of hits among the reads that were looked up; 0.0 without any."""
        return self.hits / self.looked_up if self.looked_up else 0.0

    @property
    def held(self) -> int:
        """Misses that were not filled, because a write was too recent."""
        return self.unfilled.get(HELD, 0)

    @property
    def lasting(self) -> int:
        """Compared hits that differed for good: a writer goes around botocache."""
        return self.differing.get(LASTING, 0)

    def __add__(self, other: "TableStats") -> "TableStats":
        """Return the sum; the names are those of the left side."""
        return _sum(self, other, ("table", "operation"), ("stale_seconds",))


@shows("table", "operation", "digest", "hits", "units_saved")
@dataclass(frozen=True, slots=True)
class HotKey:
    """A key that is read often. The counts are estimates from a sample of the reads.

    table: its name.
    operation: as the service model spells it.
    digest: of the key, in hex.
    key: the key as text, cut off after 200 characters; for people who ask for it.
    hits: reads of it that the cache answered.
    units_saved: read units that these would have consumed.
    """

    table: str
    operation: str
    digest: str
    key: str
    hits: int
    units_saved: float


@dataclass(frozen=True, slots=True)
class StreamStats:
    """What this process does to follow the stream of a table.

    table: its name.
    lag: seconds since the moment before which each change has been evicted; None while
        the process leads no part of the stream.
    records: changes that it has read.
    evicted: tags that it has evicted for them.
    requests: GetRecords that it has sent.
    gaps: times that it has evicted the table, because changes may have been missed.
    """

    table: str
    lag: float | None = None
    records: int = 0
    evicted: int = 0
    requests: int = 0
    gaps: int = 0

    def __add__(self, later: "StreamStats") -> "StreamStats":
        """Return the sum of one follower and the next one in the same process."""
        return StreamStats(
            self.table,
            later.lag,
            self.records + later.records,
            self.evicted + later.evicted,
            self.requests + later.requests,
            self.gaps + later.gaps,
        )


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
    tables: the same and more, by table and operation.
    hot_keys: the keys with the most read units saved, the highest first.
    streams: the tables whose streams this process follows. A sum of processes has none:
        the ledgers on the store have all.
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
    failures: Counts = field(default_factory=dict)
    tables: tuple[TableStats, ...] = ()
    hot_keys: tuple[HotKey, ...] = ()
    streams: tuple[StreamStats, ...] = ()

    @property
    def hit_ratio(self) -> float:
        """The share of hits among the reads that were looked up; 0.0 without any."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else 0.0

    @property
    def units_saved(self) -> float:
        """Read units that the hits would have consumed."""
        return sum(each.units_saved for each in self.tables)

    @property
    def units_consumed(self) -> float:
        """Read units that the misses and bypassed reads have consumed."""
        return sum(each.units_consumed for each in self.tables)

    @property
    def answered_stale(self) -> int:
        """Reads that an entry over its TTL has answered in DynamoDB's place."""
        return sum(each.answered_stale for each in self.tables)

    def __add__(self, other: "Stats") -> "Stats":
        """Return the sum of two processes' counts."""
        total = _sum(self, other, ("tables", "hot_keys", "streams"), ())
        return replace(
            total,
            streams=(),
            tables=sum_by_table((*self.tables, *other.tables)),
            hot_keys=hottest((*self.hot_keys, *other.hot_keys)),
        )


MOST_HOT_KEYS = 20
"""Hot keys that are kept of a process, and of all together."""


def sum_by_table(parts: Iterable[TableStats]) -> tuple[TableStats, ...]:
    """Return one sum for each table and operation, in the order of their names."""
    sums: dict[tuple[str, str], TableStats] = {}
    for part in parts:
        name = (part.table, part.operation)
        sums[name] = sums[name] + part if name in sums else part
    return tuple(sums[name] for name in sorted(sums))


def sum_of(tables: Iterable[TableStats]) -> TableStats:
    """Return one sum of all; its table and its operation are empty."""
    return reduce(add, tables, TableStats("", ""))


def hottest(keys: Iterable[HotKey]) -> tuple[HotKey, ...]:
    """Return the keys with the most read units saved; the same key counts together."""
    sums: dict[tuple[str, str, str], HotKey] = {}
    for key in keys:
        name = (key.table, key.operation, key.digest)
        before = sums.get(name)
        sums[name] = key if before is None else _sum(before, key, _KEY_NAMES, ())
    ordered = sorted(sums.values(), key=lambda key: (-key.units_saved, key.digest))
    return tuple(ordered[:MOST_HOT_KEYS])


_KEY_NAMES = ("table", "operation", "digest", "key")


_T = TypeVar("_T", TableStats, HotKey, Stats)


def _sum(left: _T, right: _T, kept: Collection[str], greatest: Collection[str]) -> _T:
    """Return the sum of two values of one class.

    kept: fields that are those of the left side.
    greatest: fields that are the greater of both.
    """
    values: dict[str, Any] = {}
    for each in fields(left):
        a, b = getattr(left, each.name), getattr(right, each.name)
        if each.name in kept:
            continue
        if each.name in greatest:
            # Two processes that saw one difference did not see it for twice as long.
            values[each.name] = max(a, b)
        elif isinstance(a, Mapping):
            # Counter drops what is zero, which no reader misses.
            values[each.name] = dict(Counter(a) + Counter(b))
        else:
            values[each.name] = a + b
    return replace(left, **values)
