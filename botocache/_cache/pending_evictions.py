"""Evictions that failed: bounded in number, and retried until they are delivered.

While a tag is pending, this process must serve nothing that depends on it. A daemon
thread retries every second while tags are pending, so that an idle process delivers
them too. Calls also retry, in case no thread could be started. So does the end of the
process, see _exits.py.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from botocache._cache.worker import Start, Worker
from botocache._coherence import Eviction, EvictionRequest
from botocache._digests import EVERYTHING_DIGEST
from botocache._exits import deliver_at_exit
from botocache._forks import renew_after_fork
from botocache.stores.protocol import Store

MOST_TAGS = 10_000
"""Tags that can be pending. With more, everything is evicted instead."""

RETRY_INTERVAL = 1.0
"""Seconds between two attempts."""

TAGS_PER_EVICTION = 500
"""A Redis server runs an eviction in one go, and other clients wait meanwhile."""

_EXIT_INTERVAL = 0.1
"""Seconds between two attempts while the process ends."""

_STOP_TIMEOUT = 1.0
"""Seconds for the thread to end in; it may be waiting for the store."""


class Evictor(Protocol):
    """A Store or a CallStore: what an eviction needs of either."""

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""


class PendingEvictions:
    """The tags whose eviction failed. True in a condition if there are any.

    tags: a live view of them, for callers that cannot afford a method call.
    hold_off: seconds for which a delivered tag is held. The writer's whole
        `write_hold_off`, because the write may still be under way.
    report: called with the error if the thread could not deliver.
    interval: seconds between two attempts of the thread.
    start: starts the thread; see Worker.
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
        self._lock = threading.RLock()  # a signal handler may add tags in here
        self._worker = Worker(self.attempt, interval, start)
        renew_after_fork(self, PendingEvictions._renew)

    def __len__(self) -> int:
        return len(self._tags)

    def add(self, tags: Sequence[bytes]) -> None:
        """Add tags. A tag that is added again must be delivered again."""
        self.add_quietly(tags)
        if tags:
            self._worker.wake()

    def add_quietly(self, tags: Sequence[bytes]) -> None:
        """Add tags without a thread; the next call starts it. For `__del__`.

        The garbage collector may call that anywhere, also while a thread is started.
        """
        with self._lock:
            if len(self._tags) + len(tags) > MOST_TAGS:
                # Everything covers them all, in bounded memory.
                self._tags.clear()
                tags = (EVERYTHING_DIGEST,)
            for tag in tags:
                # A new token even for a pending tag: it may be in delivery right now.
                self._tags[tag] = object()
        if tags:
            deliver_at_exit(self)

    def includes(self, tags: Sequence[bytes]) -> bool:
        """Return whether one of the tags is pending."""
        return bool(self._tags) and not self._tags.keys().isdisjoint(tags)

    def deliver(self, store: Evictor | None = None, *, at_once: bool = False) -> None:
        """Retry. Raises what the store raises.

        store: the CallStore of the call that retries; None for the store itself.
        at_once: retry even if the last attempt is less than RETRY_INTERVAL ago.
        """
        now = self._store.now()
        # One attempt a second for all calls together: it may take the store's timeout.
        if now < self._next_attempt and not at_once:
            return
        if self._tags and not self._worker.is_at_work:
            self._worker.wake()  # `stop` ended it, or no thread could be started
        self._evict_pending(store or self._store)

    def attempt(self) -> bool:
        """Retry now, and return whether something is still pending. Raises nothing."""
        try:
            self._evict_pending(self._store)
        except Exception as error:  # the thread has no caller
            self._report(error)
        if self._tags:  # again: a child of multiprocessing forgets it as it begins
            deliver_at_exit(self)
        return bool(self._tags)

    def deliver_until(self, deadline: float) -> None:
        """Retry while the process ends. See Debtor."""
        while self._tags and (now := time.monotonic()) < deadline:
            pause = min(_EXIT_INTERVAL, deadline - now)
            self._worker.wake()
            if self._worker.is_at_work:
                self._worker.wait(pause)
            elif self.attempt():
                # Since Python 3.12 no thread can be started any more, so there is none
                # to wait for. The server may be back in a moment.
                time.sleep(pause)  # for the server, which nothing announces

    def stop(self) -> None:
        """End the thread. What is pending is left to calls."""
        self._worker.stop(_STOP_TIMEOUT)

    def _evict_pending(self, store: Evictor) -> None:
        """Evict what is pending, in pieces; drop what was delivered."""
        # Set first: other calls must not try the same while this one waits.
        self._next_attempt = self._store.now() + RETRY_INTERVAL
        with self._lock:
            pending = list(self._tags.copy().items())  # `copy` is one step
        for at in range(0, len(pending), TAGS_PER_EVICTION):
            piece = pending[at : at + TAGS_PER_EVICTION]
            tags = [tag for tag, _ in piece]
            store.evict(EvictionRequest(tags, self._hold_off))
            with self._lock:
                for tag, token in piece:
                    # A write may have added the tag again during the eviction, with a
                    # new token: its own eviction is still to come.
                    if self._tags.get(tag) is token:
                        self._drop(tag, token)

    def _drop(self, tag: bytes, token: object) -> None:
        found = self._tags.pop(tag, None)
        # A signal handler may have added it again since the comparison.
        if found is not None and found is not token:
            self._tags[tag] = found

    def _renew(self) -> None:
        """Start a thread in a forked child, which has its parent's tags but no thread.

        The parent may end before it delivers them, so the child must, too.
        """
        self._lock = threading.RLock()
        self._worker.renew()
        if self._tags:
            self._worker.wake()
