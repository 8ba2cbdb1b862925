"""Evictions that may fail: done at once, or pending until they can be done.

Failure policy: a write is sent even if its tags could not be evicted. They become
pending, and are retried before the store is asked for anything else. Until they are
delivered, this process serves and fills nothing that depends on them. A store that
fails may take its whole timeout, so a call that has met a failure does not ask it
again. Only `evict_or_raise` raises.
"""

from collections.abc import Sequence
from typing import Final

from botocache._cache.call_store import CallStore
from botocache._cache.pending_evictions import PendingEvictions
from botocache._coherence import Eviction, EvictionRequest
from botocache._digests import EVERYTHING_DIGEST
from botocache._errors import (
    QueueFullError,
    StoreConnectingError,
    StoreLostError,
    StoreSkippedError,
    pass_on,
)
from botocache._log import FailureLog
from botocache.stores.protocol import Store

BEGIN_FAILED = ("begin_failed", "the call is sent without the cache")
"""Reported if a call could not be prepared or looked up."""

_UNREPORTED = (StoreSkippedError, StoreConnectingError, QueueFullError)


class Evictions:
    """The evictions of this process, done or pending.

    settle: seconds of hold-off if no write can be under way.
    write_hold_off: seconds of hold-off if one can.
    """

    def __init__(
        self,
        store: Store,
        failures: FailureLog,
        *,
        settle: float,
        write_hold_off: float,
    ) -> None:
        self._failures: Final = failures
        self._settle: Final = settle
        self.pending: Final = PendingEvictions(
            store, write_hold_off, self._report_undelivered
        )

    def evict(self, request: EvictionRequest, store: CallStore) -> Eviction | None:
        """Evict; return None if that failed and is remembered as pending."""
        try:
            try:
                return store.evict(request)
            except StoreLostError as error:
                return self._evict_after_loss(request, store, error)
        except BaseException as error:  # whatever it is, the tags must be evicted
            self.pending.add(request.tags)  # first: others must stop serving at once
            own = pass_on(error)
            self.make_pending(request.tags, store.failure or own)
            return None

    def evict_or_raise(self, request: EvictionRequest, store: CallStore) -> Eviction:
        """Evict, or raise the store's error; then nothing becomes pending."""
        try:
            return store.evict(request)
        except StoreLostError as error:
            return self._evict_after_loss(request, store, error)

    def _evict_after_loss(
        self, request: EvictionRequest, store: CallStore, error: StoreLostError
    ) -> Eviction:
        """Evict everything, then once more what a write evicts. May raise."""
        self.report(
            "evict_failed", "generations were lost; everything is evicted", error
        )
        # `report` has made everything pending, and that comes first: a process that is
        # new to the store may have filled it during this write, and no other process
        # will evict there. Then `as_first`: what the first eviction found is lost, so
        # it proves nothing any more.
        self.pending.deliver(store, at_once=True)
        return store.evict(request.as_first())

    def evict_tags(self, tags: Sequence[bytes], store: CallStore) -> bool:
        """Evict what no write of this process is changing; False if it is pending."""
        return self.evict(EvictionRequest(tags, self._settle), store) is not None

    def queue_if_pending(self, tags: tuple[bytes, ...]) -> bool:
        """Return True, and queue the second eviction, if the first is still pending.

        False once the first was delivered: the store works again.
        """
        # Everything is pending instead of the tags after a loss, or if there were many.
        if not self.pending.includes((*tags, EVERYTHING_DIGEST)):
            return False
        self.pending.add(tags)
        return True

    def make_pending(self, tags: Sequence[bytes], error: Exception) -> None:
        """Make an eviction pending that failed with an error."""
        self.pending.add(tags)  # first: other threads must stop serving at once
        self.report(
            "evict_failed",
            "it is retried every second, and until then this process serves nothing "
            "that depends on it; other processes may serve old answers until their TTL",
            error,
        )

    def are_pending(self, tags: tuple[bytes, ...], store: CallStore) -> bool:
        """Deliver what is pending, and return whether one of the tags still is.

        True as well if the delivery failed: this call must not ask the store again.
        """
        if not self.pending.tags:
            return False
        return not self.deliver(store) or self.pending.includes(tags)

    def deliver(self, store: CallStore) -> bool:
        """Retry what is pending, unless just done; return False if it failed."""
        if not self.pending.tags:
            return True
        try:
            self.pending.deliver(store)
        except Exception as error:
            pass_on(error)
            self._report_undelivered(error)
            return False
        return True

    def report(self, kind: str, consequence: str, error: Exception) -> None:
        """Count and log a failure. If the store lost generations, evict everything.

        A call that skipped a failed store has reported that failure before. One that
        found a connection still being made has met no failure, and one that found more
        entries waiting than may wait has counted that.
        """
        if isinstance(error, _UNREPORTED):
            return
        if isinstance(error, StoreLostError):
            # New generations alone would do, but hold-offs were lost with the old ones.
            self.pending.add((EVERYTHING_DIGEST,))
        self._failures.report(kind, consequence, error)

    def _report_undelivered(self, error: Exception) -> None:
        self.report("evict_failed", "it is retried every second", error)
