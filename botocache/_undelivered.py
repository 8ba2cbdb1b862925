"""Evictions that a store could not do: remembered, bounded, retried.

Until one is delivered, whoever asks `concerns` must serve nothing that depends on it.
"""

import threading
from collections.abc import Sequence

from botocache._forks import renew_after_fork
from botocache._keys import EVERYTHING, tag_digest
from botocache.stores import Store

MOST = 10_000
"""Tags to remember. Beyond it, everything is evicted instead."""

RETRY_INTERVAL = 1.0
"""Seconds between two attempts."""

_EVERYTHING = tag_digest(EVERYTHING)


class Undelivered:
    """Tags that wait for their eviction. Its truth is whether there are any.

    hold_off: seconds for which a delivered tag is held; a write window, because
    nobody knows whether the write is over.
    """

    def __init__(self, store: Store, hold_off: float) -> None:
        self._store = store
        self._hold_off = hold_off
        self._tags: dict[bytes, object] = {}
        self._next_attempt = 0.0
        self._renew_lock()
        renew_after_fork(self, Undelivered._renew_lock)

    def __len__(self) -> int:
        return len(self._tags)

    def add(self, tags: Sequence[bytes]) -> None:
        """Remember tags. One that is added again must be delivered again."""
        with self._lock:
            if len(self._tags) + len(tags) > MOST:
                self._tags.clear()
                tags = (_EVERYTHING,)
            for tag in tags:
                self._tags[tag] = object()

    def concerns(self, tags: Sequence[bytes]) -> bool:
        """Tell whether one of the tags waits."""
        return not self._tags.keys().isdisjoint(tags)

    def deliver(self) -> None:
        """Try again, unless that was just done. Raises StoreError."""
        now = self._store.now()
        if now < self._next_attempt:
            return
        self._next_attempt = now + RETRY_INTERVAL
        with self._lock:
            waiting = dict(self._tags)
        if not waiting:
            return
        self._store.evict(tuple(waiting), self._hold_off)
        with self._lock:
            for tag, since in waiting.items():
                if self._tags.get(tag) is since:
                    del self._tags[tag]

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()
