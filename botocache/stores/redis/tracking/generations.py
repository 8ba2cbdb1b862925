"""The generations that this process knows, kept current by client tracking. In memory.

Look-ups call `learn`, invalidation messages call `forget`, in any order. A look-up that
overlaps an invalidation may have read the old generation. So `learn` ignores tags that
were invalidated since the look-up's `mark`. Time does not matter here, nor whether
invalidations still arrive.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Final

LIMIT = 100_000
"""Tags. They take some 14 MB; the one that was looked up longest ago goes first."""

_CELLS = 4096
"""Counters of changes, which tags share by their hash. A collision only makes `learn`
ignore a tag that has not changed."""


class LocalGenerations:
    """Generations of tags. Safe for threads; the child of a fork needs a new one.

    limit: the most tags that are kept.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.RLock()  # a signal handler may make calls in here
        self._generations: dict[bytes, int] = {}
        self.get: Final = (
            self._generations.get
        )  # for hits, which have no time for `match`
        self._now = 0  # changes so far
        self._changed_at = [0] * _CELLS
        self._all_changed_at = 0

    def __len__(self) -> int:
        return len(self._generations)

    def mark(self) -> int:
        """Return the argument of `learn` for a look-up that begins now."""
        return self._now

    def match(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """Tell whether all of the tags are known to have these generations."""
        # Without a lock, one tag after the other. That is enough: a generation that is
        # still here was current all the time since its look-up.
        return [*map(self._generations.get, tags)] == [*snapshot]

    def learn(self, mark: int, tags: Sequence[bytes], snapshot: Sequence[int]) -> None:
        """Keep what a look-up found, without tags that changed after it began."""
        kept, changed_at = self._generations, self._changed_at
        with self._lock:
            now = self._now
            if self._all_changed_at > mark:
                return
            for tag, generation in zip(tags, snapshot, strict=True):
                if changed_at[hash(tag) % _CELLS] <= mark:
                    kept.pop(tag, None)  # so that it moves to the end
                    kept[tag] = generation
            while len(kept) > self._limit:
                kept.pop(next(iter(kept)), None)
            if self._now != now:
                # A signal handler has evicted in here, maybe a tag that was then kept.
                for tag in tags:
                    kept.pop(tag, None)

    def forget(self, tags: Iterable[bytes]) -> None:
        """Drop the generations of tags that changed."""
        with self._lock:
            self._now += 1
            for tag in tags:
                self._changed_at[hash(tag) % _CELLS] = self._now
                self._generations.pop(tag, None)

    def forget_all(self) -> None:
        """Drop all generations: any may have changed."""
        with self._lock:
            self._now += 1
            self._all_changed_at = self._now
            self._generations.clear()
