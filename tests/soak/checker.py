"""Proves the promise on a history: which reads saw what they could not have. Pure.

The order in which DynamoDB carried out writes that overlap is unknown, so only what is
certain counts. One write is *certainly older* than another when it ended before the
other started. A write without a known end, with an unknown failure, or
that was sent more than once is never certainly older: it may be applied at any time.
A read of an item is wrong when

- no write wrote the value that it saw, or DynamoDB refused that write;
- the write of that value started after the read had ended;
- a write of the item completed before the read started, and every write that explains
  what was seen is certainly older than it.

Deletes explain that an item is not there, and so does the beginning.

Where the store can be away, a write may leave evictions pending. Other processes may
serve old values for a bounded time; for so long such a write does not count for their
reads. It does for those of its own process.

Each item is checked on its own, whatever operation it was read by.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from tests.soak.journal import History, Outcome, Read, Write

_NEVER = -1
"""Before all moments."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A read that saw an impossible value. newer: the write that it missed."""

    read: Read
    item: str
    reason: str
    newer: Write | None = None

    def __str__(self) -> str:
        return (
            f"{self.read.kind} {self.read.name} saw {self.read.saw[self.item]} as "
            f"{self.item}: {self.reason}\n  {self.read}\n  {self.newer}"
        )


def violations(history: History, bound: float = 0.0) -> list[Violation]:
    """Return all that is wrong with the reads of a history.

    bound: seconds for which other processes may not see a write with pending evictions.
    """
    written: defaultdict[str, list[Write]] = defaultdict(list)
    for write in history.writes:
        for item in write.wrote:
            written[item].append(write)
    items = {item: _Item(item, writes, bound) for item, writes in written.items()}
    found = (
        items.get(item, _Item(item, (), bound)).check(read)
        for read in history.reads
        for item in read.saw
    )
    return [violation for violation in found if violation is not None]


class _Item:
    """All writes of one item. bound: see `violations`."""

    def __init__(self, name: str, writes: Sequence[Write], bound: float) -> None:
        self._name = name
        self._bound = round(bound * 1e9)
        self._writers = {write.wrote[name]: write for write in writes}
        completed = [w for w in writes if w.outcome is Outcome.APPLIED]
        self._completed = completed
        self._over_values = _Latest(completed)
        self._over_absence = _Latest(w for w in completed if name not in w.if_there)
        deletes = [
            w
            for w in writes
            if w.wrote[name] is None and w.outcome is not Outcome.REFUSED
        ]
        self._absences = _LatestEnd(deletes)

    def check(self, read: Read) -> Violation | None:
        """Return the violation of a read of this item, or None."""
        value = read.saw[self._name]
        if value is None:
            explained = self._absences.before(read.ended)
            newer = self._over_absence.completed_before(read.started)
            return self._judge(read, explained, newer)
        writer = self._writers.get(value)
        if writer is None:
            return Violation(read, self._name, "no write wrote it")
        if writer.outcome is Outcome.REFUSED:
            return Violation(read, self._name, f"{writer.name} was refused")
        if writer.started > read.ended:
            return Violation(read, self._name, f"{writer.name} was yet to start")
        newer = self._over_values.completed_before(read.started)
        return self._judge(read, _over_at(writer), newer)

    def _judge(
        self, read: Read, explained: float, newer: Write | None
    ) -> Violation | None:
        """explained: the last moment at which the seen value can have been written."""
        if newer is None or explained >= newer.started:
            return None
        if _may_be_cached(read) and self._may_not_know(read, newer):
            newer = self._known(read, explained)
        if newer is None:
            return None
        return Violation(read, self._name, f"older than {newer.name}", newer)

    def _known(self, read: Read, explained: float) -> Write | None:
        """Return a write after the seen value that the reading process must see."""
        ignores = read.saw[self._name] is None
        for write in self._completed:
            if ignores and self._name in write.if_there:
                continue
            is_newer = write.started > explained and not self._may_not_know(read, write)
            if is_newer and write.ended is not None and write.ended < read.started:
                return write
        return None

    def _may_not_know(self, read: Read, write: Write) -> bool:
        if not write.pending_evictions or write.ended is None:
            return False
        is_late = read.started - write.ended > self._bound
        return not is_late and process_of(read) != process_of(write)


def _may_be_cached(read: Read) -> bool:
    """Return whether a read may have been answered from the cache, or in part."""
    return (
        read.is_hit or read.kind == "BatchGetItem"
    )  # which sends the keys that it lacks


def process_of(call: Read | Write) -> str:
    """Return the worker that made a call."""
    return call.name.partition("/")[0]


def _over_at(write: Write) -> float:
    """Return the moment after which a write can no longer be applied."""
    if write.outcome is not Outcome.APPLIED or write.retried or write.ended is None:
        return inf
    return write.ended


class _Latest:
    """Of the writes that completed before a moment, the one that started last."""

    def __init__(self, writes: Iterable[Write]) -> None:
        by_end = sorted((w.ended, w.started, w.name, w) for w in writes if w.ended)
        self._ends = [end for end, *_ in by_end]
        self._latest: list[Write] = []
        for *_, write in by_end:
            last = self._latest[-1] if self._latest else write
            self._latest.append(max(last, write, key=lambda w: w.started))

    def completed_before(self, moment: int) -> Write | None:
        index = bisect_left(self._ends, moment)
        return self._latest[index - 1] if index else None


class _LatestEnd:
    """Of the writes that started before a moment, the last end. Never without any."""

    def __init__(self, writes: Iterable[Write]) -> None:
        by_start = sorted((w.started, _over_at(w)) for w in writes)
        self._starts = [start for start, _ in by_start]
        self._ends: list[float] = []
        for _, end in by_start:
            self._ends.append(max(end, self._ends[-1] if self._ends else end))

    def before(self, moment: int) -> float:
        index = bisect_right(self._starts, moment)
        return self._ends[index - 1] if index else _NEVER
