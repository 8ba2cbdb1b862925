"""Evictions that a store could not do: remembered, bounded, retried.

Until one is delivered, whoever asks `concerns` must serve nothing that depends on it.
They are tried at once and again and again by a thread that is there while something
waits, so that a process delivers that makes no calls any more; and by the calls
themselves, in case there can be no thread.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from botocache._cache.worker import Start, Worker
from botocache._coherence import Eviction, EvictionRequest
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._forks import renew_after_fork
from botocache.stores.protocol import Store

MOST = 10_000
"""Tags to remember. Beyond it, everything is evicted instead."""

RETRY_INTERVAL = 1.0
"""Seconds between two attempts."""

AT_ONCE = 500
"""Tags in one eviction: a server that does one has no time for anybody else."""

_PATIENCE = 1.0
"""Seconds to wait for the thread's end, which may be waiting for the store."""

_EVERYTHING = tag_digest(EVERYTHING)


class Evicts(Protocol):
    """A store, or a store as one call uses it."""

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""


class PendingEvictions:
    """Tags that wait for their eviction. Its truth is whether there are any.

    tags: they, as they are at any moment; for whoever has no time for a call.
    hold_off: seconds for which a delivered tag is held; a write window, because
    nobody knows whether the write is over. report: is told why the thread could not
    deliver. interval, start: of the thread; see Worker.
    """

    def __init__(
        self,
        store: Store,
        hold_off: float,
        report: Callable[[Exception], None],
        *,
        interval: float = RETRY_INTERVAL,
        start: Start = threading.Thread.start,
    ) -> None:
        self._store = store
        self._hold_off = hold_off
        self._report = report
        self._tags: dict[bytes, object] = {}
        self.tags: Final[Mapping[bytes, object]] = self._tags
        self._next_attempt = 0.0
        self._lock = threading.Lock()
        self._worker = Worker(self.attempt, interval, start)
        renew_after_fork(self, PendingEvictions._renew)

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
        if tags:
            self._worker.wake()

    def includes(self, tags: Sequence[bytes]) -> bool:
        """Tell whether one of the tags waits."""
        return bool(self._tags) and not self._tags.keys().isdisjoint(tags)

    def deliver(self, store: Evicts | None = None, *, at_once: bool = False) -> None:
        """Try again. Raises what the store raises.

        store: as the call uses it that this is a part of.
        at_once: also when another attempt was made just now.
        """
        now = self._store.now()
        if now < self._next_attempt and not at_once:
            return
        if self._tags and not self._worker.is_at_work:
            self._worker.wake()  # it was stopped, or could not be started
        self._send(store or self._store)

    def attempt(self) -> bool:
        """Try again now, and tell whether something still waits. Raises nothing."""
        try:
            self._send(self._store)
        except Exception as error:  # noqa: BLE001 - there is nobody to raise it to
            self._report(error)
        return bool(self._tags)

    def stop(self) -> None:
        """End the thread. What waits goes on waiting for a call."""
        self._worker.stop(_PATIENCE)

    def _send(self, store: Evicts) -> None:
        """Evict what waits, piece by piece; what could be done waits no more."""
        self._next_attempt = self._store.now() + RETRY_INTERVAL
        with self._lock:
            waiting = list(self._tags.items())
        for at in range(0, len(waiting), AT_ONCE):
            piece = waiting[at : at + AT_ONCE]
            tags = [tag for tag, _ in piece]
            store.evict(EvictionRequest(tags, self._hold_off))
            with self._lock:
                for tag, token in piece:
                    # A tag that was added again meanwhile must be evicted again.
                    if self._tags.get(tag) is token:
                        del self._tags[tag]

    def _renew(self) -> None:
        """In a child: what waited in the parent waits here, and nobody tries it."""
        self._lock = threading.Lock()
        self._worker.renew()
        if self._tags:
            self._worker.wake()
