"""What a process knows of generations that change elsewhere, in memory alone.

Whoever looks generations up tells what he found, and whoever hears of a change tells
that; they come in any order. A look-up that a change crossed may have found what was
there before it, so it counts for nothing: `mark` is called before anybody is asked,
and `learn` refuses what was changed since its mark. Nothing is known of time here, nor
of whether anybody still hears of changes.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Final

LIMIT = 100_000
"""Tags, which take some 14 MB; the one that was looked up longest ago goes first."""

_CELLS = 4096
"""Tags share one of these where it is noted when they changed: a collision only makes
a look-up count for nothing."""


class Known:
    """The generations of tags, as far as they are known. Safe for threads.

    It has locks: who forks makes a new one.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._generations: dict[bytes, int] = {}
        self.get: Final = self._generations.get  # for whoever has no time for `are`
        self._now = 0  # changes so far
        self._changed_at = [0] * _CELLS
        self._all_changed_at = 0

    def __len__(self) -> int:
        return len(self._generations)

    def mark(self) -> int:
        """Return what `learn` is to be told of a look-up that begins now."""
        return self._now

    def are(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """Tell whether all of the tags are known to have these generations.

        Takes no lock. One by one, which is enough: a generation that is still there
        was there all the time since it was looked up.
        """
        return [*map(self._generations.get, tags)] == [*snapshot]

    def learn(self, mark: int, tags: Sequence[bytes], snapshot: Sequence[int]) -> None:
        """Note what a look-up found, save what was changed after it had begun."""
        known, changed_at = self._generations, self._changed_at
        with self._lock:
            if self._all_changed_at > mark:
                return
            for tag, generation in zip(tags, snapshot, strict=True):
                if changed_at[hash(tag) % _CELLS] <= mark:
                    known.pop(tag, None)  # it comes to the end
                    known[tag] = generation
            while len(known) > self._limit:
                del known[next(iter(known))]

    def forget(self, tags: Iterable[bytes]) -> None:
        """Note that these were changed."""
        with self._lock:
            self._now += 1
            for tag in tags:
                self._changed_at[hash(tag) % _CELLS] = self._now
                self._generations.pop(tag, None)

    def forget_all(self) -> None:
        """Note that any may have been changed."""
        with self._lock:
            self._now += 1
            self._all_changed_at = self._now
            self._generations.clear()
