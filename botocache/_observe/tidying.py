"""Keep the number of records on a board small: merge those of ended processes.

Any process may do this at any time. A merge happens at once or not at all, so nothing
is counted twice. A process whose record was merged, because it was stopped for a while
or had nothing to post, goes on under another id.
"""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence

from botocache._cache.entries import EntryCodec
from botocache._cache.sealed import seal
from botocache._errors import CodecError
from botocache._observe.differences import bounded as bounded_stats
from botocache._observe.points import HOUR, bounded
from botocache._observe.records import PastRecord, Point, ProcessRecord
from botocache._observe.sealing import (
    hour_name,
    hour_of,
    is_past,
    is_process,
    open_past,
    open_points,
    open_process,
    process_name,
)
from botocache.stores.protocol import Board

MOST_PROCESSES = 64
"""Processes that are remembered one by one, unless more are alive."""

DEAD_AFTER = 300.0
"""Seconds without a post after which a process counts as ended."""

REMEMBERED = 7 * 86400.0
"""Seconds for which an ended process is remembered by itself, at most."""

RETENTION = 14 * 86400.0
"""Seconds for which points are kept; the sum of ended processes is kept that much
longer than the last post of any process."""

MOST_PARTS = 64
"""Records of an hour that is not over, and records in one merge."""

_GRACE = 300.0
"""Seconds after an hour before its points are merged."""


class Tidying:
    """Merges records of one board.

    now: seconds since the epoch.
    new_id: returns a random id.
    """

    def __init__(
        self, board: Board, codec: EntryCodec, now: float, new_id: Callable[[], str]
    ) -> None:
        self._board = board
        self._codec = codec
        self._now = now
        self._new_id = new_id

    def tidy(self) -> int:
        """Merge what can be merged; return how many processes have a record.

        Raises StoreError.
        """
        names = self._board.names()
        self._merge_hours(names)
        processes = [name for name in names if is_process(name)]
        self._merge_processes(processes, [name for name in names if is_past(name)])
        return len(processes)

    # --- processes -----------------------------------------------------------------

    def _merge_processes(self, names: Sequence[str], past: Sequence[str]) -> None:
        if not names:
            return
        # The records of hours are most of a board, and are not read for this.
        posted = self._board.posted([*names, *past])
        records = []
        for name in names:
            with contextlib.suppress(CodecError, KeyError):
                records.append(open_process(self._codec, name, posted[name]))
        # What has ended long ago is of least interest one by one.
        oldest_first = sorted(records, key=lambda record: record.updated)
        ended = [record for record in oldest_first if self._has_ended(record)]
        surplus = max(0, len(names) - MOST_PROCESSES)
        old = [r for r in ended if self._now - r.updated > REMEMBERED]
        merged = ended[: max(surplus, len(old))]
        target = self._target(past, "past", posted, open_past)
        # In pieces: one merge has a bound, and may be all that is done before a kill.
        for at in range(0, len(merged), MOST_PARTS):
            if not self._merge_some(merged[at : at + MOST_PARTS], target, posted):
                return  # another process does it

    def _has_ended(self, record: ProcessRecord) -> bool:
        return record.has_ended or self._now - record.updated > DEAD_AFTER

    def _merge_some(
        self, records: Sequence[ProcessRecord], target: str, posted: dict[str, bytes]
    ) -> bool:
        total, count = records[0].stats, len(records)
        for each in records[1:]:
            total = total + each.stats
        parts = {n: posted[n] for n in (process_name(r.process) for r in records)}
        if target in posted:
            before = open_past(self._codec, target, posted[target])
            total, count = before.stats + total, before.processes + count
            # The former sum is a part as well: if another process has changed it, the
            # merge fails, and nothing counts twice.
            parts[target] = posted[target]
        record = PastRecord(bounded_stats(total), count)
        sealed = seal(self._codec, target, record, self._now, RETENTION)
        if not self._board.merge(parts, target, sealed, RETENTION):
            return False
        posted[target] = sealed
        return True

    # --- hours ---------------------------------------------------------------------

    def _merge_hours(self, names: Collection[str]) -> None:
        of_hour: dict[int, list[str]] = {}
        for name in names:
            hour = hour_of(name)
            if hour is not None:
                of_hour.setdefault(hour, []).append(name)
        for hour, parts in sorted(of_hour.items()):
            # Later, because the clocks of other machines may be behind.
            is_over = self._now > (hour + 1) * HOUR + _GRACE
            if self._life(hour) <= 0.0:
                self._board.posted(parts)  # which drops them
            elif len(parts) > (1 if is_over else MOST_PARTS):
                self._merge_hour(hour, parts)

    def _merge_hour(self, hour: int, names: Sequence[str]) -> None:
        whole = hour_name(hour)
        posted = self._board.posted([*names, whole])
        target = self._target(
            [n for n in names if n == whole], whole, posted, open_points
        )
        points: dict[str, tuple[Point, ...]] = {}
        for name in names:
            with contextlib.suppress(CodecError, KeyError):
                points[name] = open_points(self._codec, name, posted[name])
        others = [name for name in points if name != target]
        for at in range(0, len(others), MOST_PARTS):
            some = [
                *others[at : at + MOST_PARTS],
                *([target] if target in points else []),
            ]
            if len(some) < 2:  # noqa: PLR2004 - one alone stays as it is
                return
            total = bounded(point for name in some for point in points[name])
            life = self._life(hour)
            sealed = seal(self._codec, target, total, self._now, life)
            parts = {name: posted[name] for name in some}
            if not self._board.merge(parts, target, sealed, life):
                return
            points[target], posted[target] = total, sealed

    def _life(self, hour: int) -> float:
        return life_of(hour, self._now)

    def _target(
        self,
        names: Sequence[str],
        usual: str,
        posted: Mapping[str, bytes],
        open_record: Callable[[EntryCodec, str, bytes], object],
    ) -> str:
        """Return under which name to put a sum: one that can be read, or a new one."""
        for name in sorted(names):
            with contextlib.suppress(CodecError, KeyError):
                open_record(self._codec, name, posted[name])
                return name
        return f"{usual}-{self._new_id()}" if usual in posted else usual


def life_of(hour: int, now: float) -> float:
    """Return for how many seconds the points of an hour are kept from now on."""
    return (hour + 1) * HOUR + RETENTION - now
