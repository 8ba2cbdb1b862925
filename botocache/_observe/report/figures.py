"""The figures of a report, from an overview. Pure.

What comes from a store is not to be trusted: a figure may be no number, a minute may be
of another millennium. Here it becomes a number of a size that the rest can show, or 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any, Final

from botocache._counting.stats import (
    LATENCY_BOUNDS,
    Counts,
    Histogram,
    HotKey,
    Stats,
    TableStats,
    hottest,
    sum_by_table,
    sum_of,
)
from botocache._errors import shows
from botocache._observe.points import COARSE, FINE_TABLES
from botocache._observe.prices import HourlyPeak, Money, money, stream_cost
from botocache._observe.records import Overview, Point, ProcessRecord
from botocache._settings.prices import Prices
from botocache._streams.followed import FollowedTable

SERVING: Final = "serving"
SHADOW: Final = "shadow"
BOTH: Final = "both"
"""What the processes did with hits: serve them, only compare them, or both."""

_WIDTHS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 10080)
"""Minutes that a step of a chart may take."""

MOST_STEPS: Final = 120

_LONGEST_PAST: Final = 400 * 86400.0
"""Seconds. Older points are no points of ours."""

_LEAST_STEP: Final = 30.0
"""Seconds that a rate is taken over, because processes post only now and then."""

_MOST: Final = 1e18
"""No count or amount is as large."""

_LAST: Final = 32_503_680_000.0
"""The beginning of the year 3000. No time is as late."""

_ALIVE: Final = 120.0
"""Seconds since its last post after which a process counts as ended."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a chart.

    began: seconds since the epoch.
    seconds: of it in which something was observed.
    saved: read units.
    consumed: read units.
    hits: reads.
    misses: reads.
    throttled: refused answers.
    stale: hits that differed for good.
    """

    began: float
    seconds: float
    saved: float = 0.0
    consumed: float = 0.0
    hits: int = 0
    misses: int = 0
    throttled: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class FollowedFigures:
    """A table whose stream is or was followed.

    is_fresh: readers take it as followed.
    lag: seconds.
    records: changes that were read.
    evicted: tags, for them.
    gaps: times that the table was evicted, because changes may have been missed.
    requests: GetRecords that were sent.
    cost: of the requests, a month; None if it is not known.
    """

    table: str
    is_fresh: bool
    lag: float
    shards: int
    records: int
    evicted: int
    gaps: int
    requests: int
    cost: float | None


@shows("mode", "processes")
@dataclass(frozen=True, slots=True)
class Figures:
    """What a report shows.

    read_at: when the store was read.
    began: when the observed time began.
    ended: when it ended.
    days: that the user has limited it to; None if all is shown.
    mode: SERVING, SHADOW or BOTH.
    processes: that posted just before the store was read.
    ended_processes: the others.
    hosts: machines.
    saved: read units in the observed time.
    consumed: read units in the same time.
    all_saved: read units of all that is remembered.
    step_minutes: of a step of a chart.
    steps: of the chart, in order and without gaps.
    rows: by table and operation.
    tables: by table; the operation is empty.
    total: of all tables; table and operation are empty.
    failures: inside the cache, by kind.
    undelivered: evictions that wait for the store.
    entries: that the store holds; None if that is not known.
    size: bytes of the store; None if that is not known.
    hot_keys: the most useful ones first.
    money: None if nothing was observed.
    followed: tables whose streams are or were followed, by their names.
    """

    read_at: float
    began: float
    ended: float
    days: float | None
    mode: str
    processes: int
    ended_processes: int
    hosts: int
    saved: float
    consumed: float
    all_saved: float
    step_minutes: int
    steps: tuple[Step, ...]
    rows: tuple[TableStats, ...]
    tables: tuple[TableStats, ...]
    total: TableStats
    failures: Counts
    undelivered: int
    entries: int | None
    size: int | None
    hot_keys: tuple[HotKey, ...]
    money: Money | None
    followed: tuple[FollowedFigures, ...] = ()

    @property
    def seconds(self) -> float:
        """The observed time."""
        return self.ended - self.began

    @property
    def share(self) -> float:
        """The share of read units that were saved; 0.0 without any."""
        units = self.saved + self.consumed
        return self.saved / units if units else 0.0

    @property
    def is_empty(self) -> bool:
        """Whether no process has made a call."""
        total = self.total
        calls = (total.hits, total.misses, total.writes, *total.bypassed.values())
        return not (any(calls) or self.steps)

    @property
    def is_part(self) -> bool:
        """Whether the observed time leaves out some of what the tables count."""
        # Points and counters are posted one after the other, so they differ a little.
        return abs(self.all_saved - self.saved) > 0.01 * self.all_saved + 0.5


def figures(overview: Overview, prices: Prices, days: float | None = None) -> Figures:
    """Return the figures of a report.

    days: show this many, up to the time of the overview; None for all.
    """
    processes = overview.processes
    read_at = _time(overview.read_at)
    stats = [overview.past, *(each.stats for each in processes)]
    rows = sum_by_table(_clean(row) for part in stats for row in part.tables)
    tables = sum_by_table(replace(row, operation="") for row in rows)
    total = sum_of(tables)
    points = _points(overview.points, read_at, days)
    began, ended = _observed(points, processes, read_at, days)
    saved = sum(point.saved for point in points)
    consumed = sum(point.consumed for point in points)
    # The counters are exact, and have no times. They may reach further back than the
    # points, which expire.
    counted = total.units_saved + total.units_consumed
    differ = abs(saved + consumed - counted)
    if days is None and (not points or differ <= 0.05 * counted):
        saved, consumed = total.units_saved, total.units_consumed
    width = _width(began, ended)
    alive = sum(_is_alive(each, read_at) for each in processes)
    failures: Counts = {}
    for part in stats:
        for kind, count in part.failures.items():
            failures[kind] = failures.get(kind, 0) + int(_number(count))
    return Figures(
        read_at=read_at,
        began=began,
        ended=ended,
        days=days,
        mode=_mode(overview),
        processes=alive,
        ended_processes=(
            len(processes) - alive + int(_number(overview.past_processes))
        ),
        hosts=len({each.host for each in processes}),
        saved=saved,
        consumed=consumed,
        all_saved=total.units_saved,
        step_minutes=width,
        steps=_steps(points, began, ended, width),
        rows=rows,
        tables=tables,
        total=total,
        failures=failures,
        # Of processes that may still deliver them.
        undelivered=sum(
            int(_number(each.stats.undelivered))
            for each in processes
            if _is_alive(each, read_at)
        ),
        entries=_greatest(each.entries for each in processes),
        size=_greatest(each.size for each in processes),
        hot_keys=_hot_keys(stats),
        money=money(
            prices,
            saved=saved,
            consumed=consumed,
            seconds=ended - began,
            peaks=_peaks(points),
            hours=_hours(began, ended) if points else 0,
        ),
        followed=tuple(_followed(each, prices) for each in overview.followed),
    )


def _followed(followed: FollowedTable, prices: Prices) -> FollowedFigures:
    # Its numbers need no cleaning: a ledger that has impossible ones is not opened.
    ledger = followed.ledger
    return FollowedFigures(
        followed.table,
        followed.is_fresh,
        followed.lag,
        len(ledger.shards),
        ledger.records,
        ledger.evicted,
        ledger.gaps,
        ledger.requests,
        stream_cost(prices, ledger.requests, followed.seconds),
    )


# --- what may be wrong -------------------------------------------------------------


def _number(value: float) -> float:
    """Return a count or an amount; 0.0 for what cannot be one."""
    return float(value) if isfinite(value) and 0 < value < _MOST else 0.0


def _time(value: float) -> float:
    """Return a time between 1970 and 2999; the beginning for any other."""
    return float(value) if isfinite(value) and 0 < value < _LAST else 0.0


def _greatest(values: Iterable[int | None]) -> int | None:
    known = [int(_number(value)) for value in values if value is not None]
    return max(known) if known else None


def _clean(row: TableStats) -> TableStats:
    """Return the counts of a table with numbers alone."""
    values: dict[str, Any] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Histogram):
            values[field.name] = _clean_histogram(value)
        elif isinstance(value, Mapping):
            counts = {str(name): int(_number(count)) for name, count in value.items()}
            values[field.name] = {name: n for name, n in counts.items() if n}
        elif isinstance(value, (int, float)):
            values[field.name] = type(value)(_number(value))
    return replace(row, **values)


def _clean_histogram(histogram: Histogram) -> Histogram:
    # Another version may have other buckets, which cannot be added to these.
    counts = tuple(int(_number(count)) for count in histogram.counts)
    if len(counts) != len(LATENCY_BOUNDS) + 1:
        return Histogram()
    return Histogram(counts, _number(histogram.seconds))


def _hot_keys(stats: Iterable[Stats]) -> tuple[HotKey, ...]:
    return hottest(
        replace(key, hits=int(_number(key.hits)), units_saved=_number(key.units_saved))
        for part in stats
        for key in part.hot_keys
    )


def _points(points: Iterable[Point], read_at: float, days: float | None) -> list[Point]:
    """Return the points of the time that is shown, in order."""
    first = read_at - (_LONGEST_PAST if days is None else days * 86400.0)
    last = read_at + 3600.0  # clocks differ
    cleaned = (
        Point(
            point.minute,
            point.table,
            saved=_number(point.saved),
            consumed=_number(point.consumed),
            hits=int(_number(point.hits)),
            misses=int(_number(point.misses)),
            writes=int(_number(point.writes)),
            throttled=int(_number(point.throttled)),
            stale=int(_number(point.stale)),
        )
        for point in points
        if first <= point.minute * 60.0 + 60.0 and point.minute * 60.0 <= last
    )
    return sorted(cleaned, key=lambda point: (point.minute, point.table))


# --- sums --------------------------------------------------------------------------


def _is_alive(process: ProcessRecord, read_at: float) -> bool:
    return not process.has_ended and process.updated >= read_at - _ALIVE


def _mode(overview: Overview) -> str:
    # Of those that have a record: a sum of ended processes does not say what they did.
    modes = {SHADOW if each.shadow else SERVING for each in overview.processes}
    return modes.pop() if len(modes) == 1 else BOTH if modes else SERVING


# --- time --------------------------------------------------------------------------


def _observed(
    points: list[Point],
    processes: Iterable[ProcessRecord],
    read_at: float,
    days: float | None,
) -> tuple[float, float]:
    """Return the beginning and the end of the observed time.

    Points have minutes. The processes know better when the first of them began, and the
    last of them ended.
    """
    starts = [_time(each.started) for each in processes if _time(each.started)]
    ends = [min(_time(each.updated), read_at) for each in processes]
    first = min(starts, default=read_at)
    last = max(ends, default=first)
    if points:
        began = points[0].minute * 60.0
        ended = points[-1].minute * 60.0 + 60.0
        # In the first minute of the points, or after it: then it is no start of them.
        first = first if began <= first < began + 60.0 else began
        # No minute has ended yet if the last post came within it.
        last = last if last >= ended - 60.0 else ended
    if days is not None:
        first = max(first, read_at - days * 86400.0)
    last = min(last, max(read_at, first))
    return first, max(last, first)


def _hours(began: float, ended: float) -> int:
    return int(ended // 3600.0) - int(began // 3600.0) + 1


def _width(began: float, ended: float) -> int:
    """Return the minutes of a step, so that a chart has few enough of them."""
    minutes = (ended - began) / 60.0
    fitting = (width for width in _WIDTHS if minutes / width <= MOST_STEPS - 2)
    return next(fitting, _WIDTHS[-1])


def _steps(
    points: Iterable[Point], began: float, ended: float, width: int
) -> tuple[Step, ...]:
    """Return the steps of a chart; those without a point have no units."""
    sums: dict[int, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    names = ("saved", "consumed", "hits", "misses", "throttled", "stale")
    for point in points:
        for name in names:
            sums[point.minute // width][name] += getattr(point, name)
    if not sums:
        return ()
    last = max(*sums, int(ended / 60.0 - 1e-6) // width)
    first = min(*sums, int(began / 60.0) // width)
    # Of a year whose clock was set back, the end is the part that is shown.
    first = max(first, last - 4 * MOST_STEPS)
    # A step that has just begun holds what came before it, too: a process posts
    # only now and then.
    floor = max(1.0, min(ended - began, _LEAST_STEP))
    steps = []
    for number in range(first, last + 1):
        start, end = number * width * 60.0, (number + 1) * width * 60.0
        covered = max(floor, min(end, ended) - max(start, began))
        first_moment = max(start, began) if end > began else start
        steps.append(Step(max(first_moment, 0.0), covered, **sums.get(number, {})))
    return tuple(steps)


def _peaks(points: Iterable[Point]) -> dict[str, list[HourlyPeak]]:
    """Return the busiest minute of each hour, for each table."""
    hours: dict[int, dict[str, dict[int, list[float]]]] = {}
    for point in points:
        tables = hours.setdefault(point.minute // 60, {})
        units = tables.setdefault(point.table, {}).setdefault(point.minute, [0.0, 0.0])
        units[0] += point.saved
        units[1] += point.consumed
    peaks: dict[str, list[HourlyPeak]] = defaultdict(list)
    for tables in hours.values():
        for table, minutes in tables.items():
            is_coarse = len(tables) > FINE_TABLES and not any(
                minute % COARSE for minute in minutes
            )
            seconds = 60.0 * (COARSE if is_coarse else 1)
            peaks[table].append(
                HourlyPeak(
                    max(sum(units) for units in minutes.values()) / seconds,
                    max(units[1] for units in minutes.values()) / seconds,
                )
            )
    return dict(peaks)
