"""What the near cache remembers, in bounded memory.

Two dicts, a young one and an old one. What is found in the old one becomes young; when
the young ones take half of the room, they become the old ones, and those that nobody
has asked for since are dropped. So what is asked for stays, as in an LRU, and finding
it takes a dict's look-up and no lock.
"""

import threading
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from botocache._forks import renew_after_fork


class Sized(Protocol):
    """Whatever says how many bytes it takes."""

    @property
    def size(self) -> int:
        """Bytes, its key included."""


T = TypeVar("T", bound=Sized)


class LRUCache(Generic[T]):
    """A mapping of at most about `size_limit` bytes. Safe for threads and a fork.

    What takes more than half of it is not kept.
    """

    def __init__(self, size_limit: int) -> None:
        self._half = size_limit // 2
        self._young: dict[Hashable, T] = {}
        self._old: dict[Hashable, T] = {}
        self._young_size = 0
        self._renew_lock()
        renew_after_fork(self, LRUCache._renew_lock)

    def __repr__(self) -> str:
        return f"<LRUCache {len(self)} entries>"

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, key: Hashable) -> T | None:
        """Return what is remembered under a key."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Hashable, value: T) -> None:
        """Remember a value, in place of any other under the key."""
        with self._lock:
            replaced = self._young.pop(key, None)
            if replaced is not None:
                self._young_size -= replaced.size
            self._old.pop(key, None)
            if value.size > self._half:
                return
            if self._young_size + value.size > self._half:
                self._old, self._young, self._young_size = self._young, {}, 0
            self._young[key] = value
            self._young_size += value.size

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._young, self._old, self._young_size = {}, {}, 0

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()
