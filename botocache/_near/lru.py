"""What the near cache remembers, in bounded memory.

There are two dicts, a young one and an old one. A value that is found in the old dict
moves to the young one. When the young dict takes half of the room, it becomes the old
dict, and the values of the old one, which were not looked up since, are dropped. So
values that are looked up stay, as in an LRU, and a look-up costs one dict access and no
lock.

Once it is full, a value has to be asked for twice before it is worth the place of
others. Where far more is asked for than fits, most of it would be dropped before it is
looked up again, and to remember it takes as long as to load it.
"""

import threading
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from botocache._forks import renew_after_fork

_ROWS = 1 << 15
"""Rows of marks, by which keys that were asked for are known. A mark is a byte."""

_MARKS = 4
"""Marks of a row: those of the last keys that came to it. A key that was not asked for
is taken for one of them once in 64 times."""


class Sized(Protocol):
    """A value that knows how many bytes it takes."""

    @property
    def size(self) -> int:
        """Bytes, its key included."""


T = TypeVar("T", bound=Sized)


class LRUCache(Generic[T]):
    """A mapping of at most about `size_limit` bytes. Safe for threads and a fork.

    A value that takes more than half of it is not kept.

    young: values that were put or looked up of late. For readers in a hurry: they must
        `get` what they do not find here.
    """

    def __init__(self, size_limit: int) -> None:
        self._half = size_limit // 2
        self.young: dict[Hashable, T] = {}
        self._old: dict[Hashable, T] = {}
        self._young_size = 0
        self._marks = bytearray()
        self._renew_lock()
        renew_after_fork(self, LRUCache._renew_lock)

    def __repr__(self) -> str:
        return f"<LRUCache {len(self)} entries>"

    def __len__(self) -> int:
        return len(self.young.keys() | self._old.keys())

    def get(self, key: Hashable) -> T | None:
        """Return the value of a key, or None."""
        # Without a lock: values are valid or not by themselves, so that a value which
        # another thread replaces meanwhile may come back for a while.
        found = self.young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def get_many(self, keys: Sequence[Hashable]) -> list[T | None]:
        """Return the value of each key; None for a key that has none."""
        # A value is true: it is a tuple with a size. So both loops are in C.
        found = [*map(self.young.get, keys)]
        if self._old and not all(found):
            found = [*map(self.get, keys)]
        return found

    def admits(self, key: Hashable, size: int) -> bool:
        """Return whether a value of this size that was just asked for is worth a place.

        Any is, while there is room. Else one that is asked for again, before some
        100,000 others are.
        """
        if not self._old:
            return size <= self._half
        # Without a lock: the worst that can happen is that a key asks once more.
        marks = self._marks
        if not marks:
            marks = self._marks = bytearray(_ROWS * _MARKS)
        number = hash(key)
        start = number % _ROWS * _MARKS
        mark = number // _ROWS % 255 + 1
        row = marks[start : start + _MARKS]
        if mark in row:
            return size <= self._half
        # The oldest one goes. Of one mark a row, keys that are asked for in turn would
        # be forgotten by each other, each time.
        marks[start : start + _MARKS] = bytes((mark, *row[:-1]))
        return False

    def put(self, key: Hashable, value: T) -> None:
        """Keep a value in place of the key's earlier one, or drop both if too large."""
        with self._lock:
            replaced = self.young.pop(key, None)
            if replaced is not None:
                self._young_size -= replaced.size
            self._old.pop(key, None)
            if value.size > self._half:
                return
            # By halves: dropping entries one by one would need their order, and so a
            # lock at each look-up.
            if self._young_size + value.size > self._half:
                self._old, self.young, self._young_size = self.young, {}, 0
            self.young[key] = value
            self._young_size += value.size

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self.young, self._old, self._young_size = {}, {}, 0

    def _renew_lock(self) -> None:
        # An RLock, because a signal handler may make calls of its own in here. A size
        # may then be off by some values, until the young dict is replaced.
        self._lock = threading.RLock()
