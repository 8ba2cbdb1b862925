"""What overviews say of all processes together: sums, rates and their course. Pure.

A rate is the difference of two posts of one process, divided by the time between them.
So a process that appears, ends or falls silent makes no rate negative, and a process
that posts less often than it is looked at makes no rate jump.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final, TypeAlias

from botocache._counting.stats import Histogram, HotKey, Stats, TableStats
from botocache._errors import shows
from botocache._observe.differences import minus
from botocache._observe.records import Overview, ProcessRecord

KeyName: TypeAlias = tuple[str, str, str]
"""Table, operation and digest of a hot key."""

SILENT_AFTER: Final = 3
"""Intervals between posts after which a process that has not posted is silent."""


# --- sums --------------------------------------------------------------------------


def by_table(tables: Iterable[TableStats]) -> tuple[TableStats, ...]:
    """Return one sum for each table, those that save most first; no operations."""
    names: dict[str, TableStats] = {}
    for each in tables:
        before = names.get(each.table, TableStats(each.table, ""))
        names[each.table] = before + each
    return tuple(
        sorted(names.values(), key=lambda each: (-each.units_saved, each.table))
    )


def of_table(stats: Stats, table: str) -> Stats:
    """Return the stats of one table. Failures are those of all: they name no table."""
    return replace(
        stats,
        tables=tuple(each for each in stats.tables if each.table == table),
        hot_keys=tuple(each for each in stats.hot_keys if each.table == table),
    )


def state_of(record: ProcessRecord, read_at: float, interval: float) -> str:
    """Return `running`, `ended`, or `silent`: killed, frozen or without its store.

    interval: seconds between two posts of a process.
    """
    if record.has_ended:
        return "ended"
    # A process that counts nothing new posts nothing, so one interval is too few.
    is_silent = silence_of(record, read_at) > SILENT_AFTER * max(interval, 1.0)
    return "silent" if is_silent else "running"


def silence_of(record: ProcessRecord, read_at: float) -> float:
    """Return the seconds since a process has posted."""
    return max(0.0, read_at - record.updated)  # the clocks of two machines may differ


# --- differences -------------------------------------------------------------------


def _tables_since(later: Stats, earlier: Stats) -> tuple[TableStats, ...]:
    before = {(each.table, each.operation): each for each in earlier.tables}
    return tuple(
        minus(each, before.get(name, TableStats(*name)))
        for each in later.tables
        for name in [(each.table, each.operation)]
    )


def _keys_since(later: Stats, earlier: Stats) -> tuple[HotKey, ...]:
    """Return the growth of the keys that are among the hottest both times."""
    before = {name_of(each): each for each in earlier.hot_keys}
    return tuple(
        minus(each, before[name_of(each)])
        for each in later.hot_keys
        if name_of(each) in before
    )


def name_of(key: HotKey) -> KeyName:
    """Return what tells a hot key apart."""
    return key.table, key.operation, key.digest


# --- rates -------------------------------------------------------------------------

_NONE: Final = Histogram()


@dataclass(frozen=True, slots=True)
class Rates:
    """What happens in a second.

    hits: reads.
    misses: reads.
    saved: read units.
    consumed: read units.
    near_latency: how long the near hits of the last posts took.
    store_latency: how long their hits of the store took.
    miss_latency: how long their misses took.
    """

    hits: float = 0.0
    misses: float = 0.0
    saved: float = 0.0
    consumed: float = 0.0
    near_latency: Histogram = _NONE
    store_latency: Histogram = _NONE
    miss_latency: Histogram = _NONE

    @property
    def hit_ratio(self) -> float | None:
        """The share of hits among the reads that were looked up; None without any."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else None

    def __add__(self, other: "Rates") -> "Rates":
        sums = (
            getattr(self, each.name) + getattr(other, each.name)
            for each in fields(self)
        )
        return Rates(*sums)


def rates_of(grown: TableStats, seconds: float) -> Rates:
    """Return the rates of counts that have grown within some seconds."""
    return Rates(
        grown.hits / seconds,
        grown.misses / seconds,
        grown.units_saved / seconds,
        grown.units_consumed / seconds,
        grown.near_latency,
        grown.store_latency,
        grown.miss_latency,
    )


@shows("at", "total", "tables", "running", "measured", "is_known")
@dataclass(frozen=True, slots=True)
class Frame:
    """The rates at one moment, of all processes together.

    at: seconds since the epoch.
    total: of all tables.
    tables: by their names.
    keys: hits per second, of the hottest keys.
    running: processes that are running.
    measured: those of them that have posted twice, so that their rates are known.
    is_known: the rates of a process are in it; or none is running.
    """

    at: float
    total: Rates = field(default_factory=Rates)
    tables: dict[str, Rates] = field(default_factory=dict)
    keys: dict[KeyName, float] = field(default_factory=dict)
    running: int = 0
    measured: int = 0
    is_known: bool = True


@shows("record", "seen_at", "seconds")
@dataclass(frozen=True, slots=True)
class _Course:
    """What is known of one process.

    record: its last post.
    seen_at: when that was read first, by the clock of the reader.
    tables: what has grown between its last two posts.
    keys: the same.
    seconds: between these two posts; 0.0 if there is one alone.
    """

    record: ProcessRecord
    seen_at: float
    tables: tuple[TableStats, ...] = ()
    keys: tuple[HotKey, ...] = ()
    seconds: float = 0.0


class Trail:
    """Overviews that were read one after the other, and the rates between them.

    length: frames that are kept.
    interval: seconds between two posts of a process.
    table: the only one that is of interest; None for all.
    """

    def __init__(self, length: int, interval: float, table: str | None = None) -> None:
        self._frames: deque[Frame] = deque(maxlen=length)
        self._courses: dict[str, _Course] = {}
        self._interval = interval
        self._table = table

    def add(self, overview: Overview) -> Frame:
        """Return the rates at the moment at which the overview was read."""
        courses = {
            record.process: self._course(record, overview.read_at)
            for record in overview.processes
        }
        self._courses = courses
        running = {
            name: course
            for name, course in courses.items()
            if state_of(course.record, overview.read_at, self._interval) == "running"
        }
        total = Rates()
        tables: dict[str, Rates] = {}
        keys: dict[KeyName, float] = {}
        current = [
            course
            for course in courses.values()
            if course.seconds and not self._is_over(course, overview.read_at)
        ]
        for course in current:
            for grown in course.tables:
                if self._table in (None, grown.table):
                    rates = rates_of(grown, course.seconds)
                    total += rates
                    tables[grown.table] = tables.get(grown.table, Rates()) + rates
            for key in course.keys:
                if self._table in (None, key.table):
                    before = keys.get(name_of(key), 0.0)
                    keys[name_of(key)] = before + key.hits / course.seconds
        measured = sum(course.seconds > 0 for course in running.values())
        frame = Frame(
            overview.read_at,
            total,
            tables,
            keys,
            running=len(running),
            measured=measured,
            is_known=bool(current) or not running,
        )
        self._frames.append(frame)
        return frame

    def frames(self) -> Sequence[Frame]:
        """Return the frames that are kept, the newest last."""
        return tuple(self._frames)

    def _course(self, record: ProcessRecord, now: float) -> _Course:
        before = self._courses.get(record.process)
        if before is None:
            if not self._frames:  # it has run before: when it read what is not known
                return _Course(record, now)
            seconds = record.updated - record.started
            stats = record.stats
            if seconds <= 0:
                return _Course(record, now)
            return _Course(record, now, stats.tables, stats.hot_keys, seconds)
        seconds = record.updated - before.record.updated
        # The same post as before: the process posts less often than we look.
        if seconds <= 0:
            return before
        return _Course(
            record,
            now,
            _tables_since(record.stats, before.record.stats),
            _keys_since(record.stats, before.record.stats),
            seconds,
        )

    def _is_over(self, course: _Course, now: float) -> bool:
        """Return whether the last post of a process says nothing of this moment."""
        # The last post of a process that has ended is shown for one interval.
        posts = 1 if course.record.has_ended else SILENT_AFTER
        patience = posts * max(self._interval, course.seconds)
        return now - course.seen_at > patience
