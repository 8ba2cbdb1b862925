"""What processes post on the store of themselves, and an overview of it. Pure.

Three kinds of records, by the beginning of their names:

- `process-ID`: a ProcessRecord. Each process replaces its own now and then.
- `hour-NUMBER-ID`: a process's points of one hour; `hour-NUMBER` those of all.
- `past`: a PastRecord, the sum of the processes that have ended, so that their number
  has a bound.

A `past` or an `hour-NUMBER` that cannot be read stays until it expires, and others take
its place: `past-ID`, `hour-NUMBER-ID`. A reader adds up all that it finds.

Times are in seconds since the epoch, by the clock of the process's machine. An ID is
random: a process that finds its record merged goes on under another one.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocache._counting.stats import Stats

if TYPE_CHECKING:  # a service that follows nothing need not load it
    from botocache._streams.followed import FollowedTable


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What a process posts of itself.

    process: a random id, in hex.
    host: the name of its machine.
    pid: its number there.
    version: of botocache.
    started: when the cache was installed.
    updated: when this was posted.
    has_ended: the process has ended by itself, and this is its last post.
    shadow: it serves nothing, and compares.
    stats: its counts since `started`.
    entries: of the store; None if it cannot count them.
    size: bytes that they take; None if that is not known.
    """

    process: str
    host: str
    pid: int
    version: str
    started: float
    updated: float
    stats: Stats
    has_ended: bool = False
    shadow: bool = False
    entries: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class PastRecord:
    """The sum of processes that have ended.

    processes: how many they are.
    """

    stats: Stats
    processes: int


@dataclass(frozen=True, slots=True)
class Point:
    """What happened to a table in one minute, in one process or in several.

    minute: since the epoch. Where an hour has many tables, one point stands for five
        minutes, and has the first of them.
    table: its name; "(other)" for all but the fifty with the most reads.
    saved: read units.
    consumed: read units.
    hits: reads.
    misses: reads.
    writes: calls that have evicted.
    throttled: answers that refused a request for lack of capacity.
    stale: hits that differed from DynamoDB's answer for good.
    """

    minute: int
    table: str
    saved: float = 0.0
    consumed: float = 0.0
    hits: int = 0
    misses: int = 0
    writes: int = 0
    throttled: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class Overview:
    """What all processes have posted.

    processes: those that are remembered one by one, the newest first.
    past: the sum of the others, which have ended.
    past_processes: how many these are.
    points: in the order of their minutes; one for each minute and table.
    read_at: when all this was read.
    unreadable: how many records were left out, because they are damaged, forged, or
        sealed with another key.
    followed: tables whose streams are or were followed, by their names.
    """

    processes: tuple[ProcessRecord, ...] = ()
    past: Stats = field(default_factory=Stats)
    past_processes: int = 0
    points: tuple[Point, ...] = ()
    read_at: float = 0.0
    unreadable: int = 0
    followed: "tuple[FollowedTable, ...]" = ()

    @property
    def total(self) -> Stats:
        """The sum of all processes."""
        total = self.past
        # One by one: a process is in `past`, or has a record, and never both.
        for each in self.processes:
            total = total + each.stats
        return total
