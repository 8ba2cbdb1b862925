"""Evictions that may fail: done, or remembered until they can be done.

Failure policy: a write is sent even when its tags could not be evicted. They are
remembered, retried before anything else is asked of the store, and until then nothing
that depends on them is served or filled by this process. A store that fails may take
its time: no call asks it again once it has failed. Nothing here raises, save
`evict_at_once`.
"""

from collections.abc import Sequence
from typing import Final

from botocache._cache.pending_evictions import PendingEvictions
from botocache._coherence import Eviction, EvictionRequest
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreLostError
from botocache._stats import FailureLog
from botocache.stores.protocol import Store

BEGIN_FAILED = ("begin_failed", "the call goes on uncached")
"""What is reported where the cache could not be asked before a call."""

EVERYTHING_DIGEST = tag_digest(EVERYTHING)


class Evictions:
    """What this process evicts. settle, write_hold_off: seconds of hold-off."""

    def __init__(
        self,
        store: Store,
        failures: FailureLog,
        *,
        settle: float,
        write_hold_off: float,
    ) -> None:
        self._store: Final = store
        self._failures: Final = failures
        self._settle: Final = settle
        self.pending: Final = PendingEvictions(
            store, write_hold_off, self._undeliverable
        )

    def evict(self, request: EvictionRequest) -> Eviction | None:
        """Evict; return None if that failed and is remembered as pending."""
        try:
            return self.evict_at_once(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the tags must be remembered
            self.remember(request.tags, error)
            return None

    def evict_at_once(self, request: EvictionRequest) -> Eviction:
        """Evict, or raise what the store raised; then nothing is remembered."""
        try:
            return self._store.evict(request)
        except StoreLostError as error:
            self.report("evict_failed", "everything is evicted instead", error)
        # A process that is new to the store may have filled it during this write, and
        # no other process will evict there. What the first eviction found was lost, so
        # it proves nothing now.
        self.pending.deliver(at_once=True)
        return self._store.evict(request.as_first())

    def evict_now(self, tags: Sequence[bytes]) -> bool:
        """Evict outdated tags; return False if that failed and is pending."""
        return self.evict(EvictionRequest(tags, self._settle)) is not None

    def must_wait(self, tags: tuple[bytes, ...]) -> bool:
        """Tell whether a write's first eviction still waits; then its second does, too.

        False once all of it was delivered: the store works again.
        """
        if not self.pending.includes((*tags, EVERYTHING_DIGEST)):
            return False
        self.pending.add(tags)
        return True

    def remember(self, tags: Sequence[bytes], error: Exception) -> None:
        """Evict later, because of an error."""
        self.pending.add(tags)
        self.report(
            "evict_failed",
            "it is retried, and until then this process serves nothing that depends "
            "on it; other processes may serve what they have until its TTL ends",
            error,
        )

    def are_waiting(self, tags: tuple[bytes, ...]) -> bool:
        """Tell whether one of the tags is still to be evicted; try it first.

        True as well when that failed just now: the store is not to be asked.
        """
        if not self.pending:
            return False
        return not self.deliver() or self.pending.includes(tags)

    def deliver(self) -> bool:
        """Try what waits, unless that was just done; False when it failed."""
        if not self.pending:
            return True
        try:
            self.pending.deliver()
        except Exception as error:  # noqa: BLE001 - as ever
            self._undeliverable(error)
            return False
        return True

    def report(self, kind: str, consequence: str, error: Exception) -> None:
        """Count and log a failure. With generations, hold-offs are lost: evict all."""
        if isinstance(error, StoreLostError):
            self.pending.add((EVERYTHING_DIGEST,))
        self._failures.report(kind, consequence, error)

    def _undeliverable(self, error: Exception) -> None:
        self.report("evict_failed", "it is retried", error)
