"""A soak from its beginning to its end, and its report."""

import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

from botocache._errors import StoreError
from botocache._observe.overview import open_board, read_overview
from botocache._observe.records import Overview
from botocache._settings.load import load_settings
from botocache.stores.protocol import Board, Store
from tests.soak.calls import create_tables
from tests.soak.checker import Violation, violations
from tests.soak.disturbances import (
    Crew,
    Disturbance,
    Kind,
    clear,
    plan_disturbances,
    running_crew,
)
from tests.soak.journal import History, read_history
from tests.soak.server_harms import harm, plan_harms
from tests.soak.worker import STALE, Assignment
from tests.support.dynamodb import running_dynamodb
from tests.support.processes import eventually
from tests.support.valkey_server import running_valkey

WORKERS = 4

_SERVER = "tests.soak.server"

STORES = ("disk", "redis")

_TTLS = {"disk": 60.0, "redis": 2.0}
"""Seconds for which an unreachable Redis server may keep an eviction pending."""

_WRITES_OF_ONE = 3
"""Tables that a transaction writes to, each of which counts it, and attempts."""

_SLOW = 2.0
"""Seconds until a read fills at the latest, also if its process is stopped."""


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a soak, which failed if there are problems."""

    history: History
    disturbances: Counter[Kind]
    violations: list[Violation]
    posted: Overview

    @property
    def hits(self) -> int:
        return sum(read.is_hit for read in self.history.reads)

    def problems(self) -> list[str]:
        """Return what ought not to be."""
        return [
            *map(str, self.violations),
            *self.history.errors,
            *(f"{w} is no warning to expect" for w in self._unexpected_warnings()),
            *self._wrong_posts(),
        ]

    def _wrong_posts(self) -> Iterator[str]:
        """Yield what is wrong with the statistics that the workers have posted.

        A worker that is killed posts less than it did, and some calls are more to
        botocache than to the journal: a batch counts its keys. None is counted twice.
        """
        posted = self.posted
        if posted.unreadable:
            yield f"{posted.unreadable} records of statistics cannot be read"
        if posted.total.writes > len(self.history.writes) * _WRITES_OF_ONE:
            yield f"{posted.total.writes} writes are posted, more than there were"
        in_points = sum(point.writes for point in posted.points)
        if in_points > len(self.history.writes) * _WRITES_OF_ONE:
            yield f"{in_points} writes are in points, more than there were"
        # A process posts its points after its record. If the board is lost between the
        # two, the points of what the lost record counted are on the next board alone.
        if not _LOSSES & {*self.disturbances} and in_points > posted.total.writes:
            yield "the points have more writes than the processes"

    def __str__(self) -> str:
        reads, writes = self.history.reads, self.history.writes
        lines = [
            *_counts("reads", Counter(read.kind for read in reads)),
            *_counts("hits", Counter(read.kind for read in reads if read.is_hit)),
            *_counts("stale", Counter(read.kind for read in reads if read.is_stale)),
            *_counts("writes", Counter(write.kind for write in writes)),
            *_counts("outcomes", Counter(write.outcome.value for write in writes)),
            f"retried writes: {sum(w.retried for w in writes)}",
            f"left evictions pending: {sum(w.pending_evictions for w in writes)}",
            *_counts("disturbances", _by_value(self.disturbances)),
            *_counts("warnings", Counter(map(" ".join, self.history.warnings))),
            f"posted: {len(self.posted.processes)} processes, "
            f"{self.posted.past_processes} more, {self.posted.total.hits} hits, "
            f"{self.posted.total.misses} misses, {self.posted.total.writes} writes; "
            f"in points {sum(point.hits for point in self.posted.points)}, "
            f"{sum(point.misses for point in self.posted.points)}, "
            f"{sum(point.writes for point in self.posted.points)}",
            *_counts("of the posted", self._waited()),
            f"cancelled: {self.history.cut}",
            f"errors: {len(self.history.errors)}",
            f"violations: {len(self.violations)}",
        ]
        return "\n".join(lines)

    def _waited(self) -> Counter[str]:
        names = ("throttled", "answered_stale", "coalesced", "leased")
        tables = self.posted.total.tables
        return Counter({n: sum(getattr(each, n) for each in tables) for n in names})

    def _unexpected_warnings(self) -> list[tuple[str, str]]:
        return sorted(
            {w for w in self.history.warnings if w[1] not in _EXPECTED_ERRORS}
        )


_LOSSES = {Kind.CLEAR, Kind.RESTART, Kind.FLUSH, Kind.CROWD}
"""Disturbances that lose what was posted."""

_EXPECTED_ERRORS = {
    "StoreLostError",  # the directory was removed
    "StoreError",  # it was removed while it was opened; or SQLite takes long to open
    "EntryError",  # the same, of entries alone
    "EntryDatabaseError",  # SQLite was busy, or its files were removed
    "FullError",  # the server is full
}


def soak(  # noqa: PLR0913 - all but two have defaults
    seconds: float,
    seed: int,
    *,
    store: str = "disk",
    mutant: str = "",
    settle: float = 0.02,
    disturbances: Sequence[Disturbance] | None = None,
    ends_early: bool = False,
    with_tasks: bool = False,
) -> Report:
    """Let workers work for some seconds, counted from when all of them do.

    store: one of STORES. disturbances: what is done to them meanwhile; chosen by the
    seed unless given.
    ends_early: it ends once a violation has been found.
    with_tasks: every other worker calls through aiobotocore, and cancels many calls.
    """
    if disturbances is None:
        disturbances = _plan(store, seconds, Random(seed))
    bound = _TTLS[store] + STALE + _SLOW if store == "redis" else 0.0
    with (
        tempfile.TemporaryDirectory() as place,
        running_dynamodb(_SERVER) as server,
        _RUNNING[store](Path(place)) as (url, do_harm),
    ):
        journals = Path(place, "journals")
        journals.mkdir()
        assignment = Assignment(
            name="",
            seed=seed,
            url=server.url,
            tables=list(create_tables(server)),
            store=url,
            journals=str(journals),
            settle=settle,
            write_hold_off=0.5,
            ttl=_TTLS[store],
            mutant=mutant,
        )

        def is_over() -> bool:
            return ends_early and bool(violations(read_history(journals), bound))

        crew = running_crew(assignment, WORKERS, do_harm, with_tasks=with_tasks)
        _run(crew, seconds, disturbances, is_over)
        history = read_history(journals)
        posted = _overview(url)
    done = Counter(disturbance.kind for disturbance in disturbances)
    return Report(history, done, violations(history, bound), posted)


def _overview(url: str) -> Overview:
    """Return what the workers have posted. A harmed server may need a moment."""
    settings = load_settings({"url": url, "timeout": 5.0}, {}, "")
    with open_board(settings, os.environ) as (store, codec, _):
        eventually(lambda: _can_be_read(store))
        return read_overview(store, codec)


def _can_be_read(store: Store) -> bool:
    try:
        return isinstance(store, Board) and store.posted() is not None
    except StoreError:
        return False


def _plan(store: str, seconds: float, random: Random) -> list[Disturbance]:
    if store == "disk":
        return plan_disturbances(seconds, WORKERS, random)
    workers = plan_disturbances(seconds, WORKERS, random, clears=False)
    both = [*workers, *plan_harms(seconds, random)]
    return sorted(both, key=lambda planned: planned.at)


_Running: TypeAlias = "tuple[str, Callable[[Kind], object]]"
"""A store's URL, and what does harm to it."""


@contextlib.contextmanager
def _on_disk(place: Path) -> Iterator[_Running]:
    directory = place / "store"
    directory.mkdir(mode=0o700)
    yield f"disk://{directory}", lambda _: clear(directory)


@contextlib.contextmanager
def _on_redis(_: Path) -> Iterator[_Running]:
    with running_valkey(enable_debug_command="local") as server:
        yield server.url, lambda kind: harm(server, kind)


_RUNNING = {"disk": _on_disk, "redis": _on_redis}


def _run(
    running: contextlib.AbstractContextManager[Crew],
    seconds: float,
    disturbances: Sequence[Disturbance],
    is_over: Callable[[], bool],
) -> None:
    with running as crew:
        eventually(crew.is_at_work)
        began = time.monotonic()
        for disturbance in disturbances:
            _sleep_until(began + disturbance.at)
            crew.disturb(disturbance)
        while time.monotonic() < began + seconds and not is_over():
            _sleep_until(min(began + seconds, time.monotonic() + 1.0))


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))  # real: the workers work


def _counts(title: str, counts: Counter[str]) -> list[str]:
    each = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return [f"{title}: {counts.total()} ({each})"]


def _by_value(counts: Counter[Kind]) -> Counter[str]:
    return Counter({kind.value: count for kind, count in counts.items()})
