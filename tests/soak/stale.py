"""How old hits are that a write around the cache had overwritten. Pure.

A hit is *stale* if a write around the cache, which certainly came after the one whose
value was seen, had ended before the read began. It is as stale as the first such write
is old. The promise bounds that: see docs/explanation/coherence.md.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from tests.soak.journal import History, Outcome, Read, Write

AROUND = "around"
"""The name of the caller that writes around the cache. The checker of promise 1 must
not know when its writes end, so their outcome is unknown."""


class StaleHit(NamedTuple):
    """A hit on what was overwritten around the cache.

    seconds: how long ago.
    """

    read: Read
    item: str
    newer: Write
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.read.kind} {self.read.name} saw {self.read.saw[self.item]} as "
            f"{self.item}, {self.seconds:.2f} s after {self.newer.name}\n  {self.read}"
        )


def stale_hits(history: History) -> Iterator[StaleHit]:
    """Yield the stale hits of a history."""
    writers: dict[tuple[str, str | None], Write] = {}
    around: defaultdict[str, list[Write]] = defaultdict(list)
    for write in history.writes:
        for item, value in write.wrote.items():
            writers[item, value] = write
            if write.name.startswith(AROUND) and write.ended is not None:
                around[item].append(write)
    starts: dict[str, list[int]] = {}
    for item, writes in around.items():
        writes.sort(key=lambda write: write.started)
        starts[item] = [write.started for write in writes]
    for read in history.reads:
        for item, value in read.saw.items() if read.is_hit else ():
            newer = _first_newer(writers.get((item, value)), item, around, starts)
            if newer is not None and newer.ended is not None:
                seconds = (read.started - newer.ended) / 1e9
                if seconds > 0:
                    yield StaleHit(read, item, newer, seconds)


def _first_newer(
    writer: Write | None,
    item: str,
    around: defaultdict[str, list[Write]],
    starts: dict[str, list[int]],
) -> Write | None:
    """Return the first write around the cache that certainly came after another."""
    if writer is None:
        over = 0  # it was there from the beginning
    elif writer.ended is None or not _is_certain(writer):
        return None
    else:
        over = writer.ended
    at = bisect_left(starts.get(item, []), over + 1)
    return around[item][at] if at < len(around[item]) else None


def _is_certain(writer: Write) -> bool:
    """Return whether a write was carried out once, before its end."""
    if writer.name.startswith(AROUND):
        return True
    return writer.outcome is Outcome.APPLIED and not writer.retried
