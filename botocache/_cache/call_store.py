"""The store as one call uses it: after the first failure, the call skips it.

A store that does not respond may take its whole timeout for each verb. The first such
failure ends the use of the store for this call: later verbs raise at once. So a failing
store delays a call once. `begin` makes the CallStore, and the ticket carries it to
`finish`.

A store across a network also has a deadline for all verbs of `begin` together, and
another one for those of `finish`. It has not one for both: a read that was answered in
time must be filled, and a write evicted twice, wherever a round trip fits in `timeout`.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import cast

from botocache._coherence import Eviction, EvictionRequest, Loaded
from botocache._errors import StoreSkippedError, is_alive
from botocache.stores.protocol import (
    BoundedCallVerbs,
    CallVerbs,
    Fill,
    Lease,
    Leasing,
    Settle,
    SettleEviction,
    Store,
)


class CallStore:
    """A store for the duration of one call. See Store for its verbs.

    A verb raises what the store raises. After a failure that is not `is_alive`, every
    verb raises StoreSkippedError instead, without a request.

    started: when the call began, by `perf_counter`; None for now.

    can_defer: whether `fill_later` and `evict_later` may be called.
    now: the store's clock. It is local, so it works after a failure, too.
    trusted: until when tables count as followed, by region and table, as this call has
        found out before it looked at generations. See heartbeats.py.
    """

    __slots__ = (
        "_failure",
        "_for_call",
        "_store",
        "can_defer",
        "now",
        "started",
        "trusted",
    )

    def __init__(self, store: Store, started: float | None = None) -> None:
        self.started = perf_counter() if started is None else started
        # See Bounding. Not by isinstance, which takes a microsecond for a protocol.
        self._for_call: Callable[[], BoundedCallVerbs] | None = getattr(
            store, "for_call", None
        )
        self._store: CallVerbs = store if self._for_call is None else self._for_call()
        self.can_defer = self._for_call is not None
        self._failure: Exception | None = None
        self.trusted: dict[tuple[str, str], float] | None = None
        self.now = store.now  # bound here: one call less in every hit

    def skip(self, reason: Exception) -> None:
        """Skip the store from now on, as after a failure."""
        if self._failure is None:
            self._failure = reason

    @property
    def failure(self) -> Exception | None:
        """The error that ended the use of the store; None if the store is in use."""
        return self._failure

    def restart(self) -> None:
        """Set a new deadline, if the store has one: DynamoDB has answered the call."""
        if self._for_call is not None:
            self._store = self._for_call()

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        if self._failure is not None:
            raise self._skipped()
        try:
            return self._store.load(key, tags)
        except Exception as error:
            self._note(error)
            raise

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        if self._failure is not None:
            raise self._skipped()
        try:
            return self._store.load_many(lookups)
        except Exception as error:
            self._note(error)
            raise

    def fill(self, fills: Sequence[Fill]) -> None:
        """Call Store.fill for one entry, Store.fill_many for several."""
        if self._failure is not None:
            raise self._skipped()
        try:
            if len(fills) == 1:
                self._store.fill(*fills[0])
            else:
                self._store.fill_many(fills)
        except Exception as error:
            self._note(error)
            raise

    def fill_one(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes]
    ) -> None:
        """See Store.fill. Saves the Fill, and the sequence, that `fill` takes."""
        if self._failure is not None:
            raise self._skipped()
        try:
            self._store.fill(key, entry, ttl, tags)
        except Exception as error:
            self._note(error)
            raise

    def fill_later(self, fills: Sequence[Fill], settle: Settle) -> None:
        """See BoundedCallVerbs.fill_later."""
        if self._failure is not None:
            raise self._skipped()
        try:
            # `can_defer` says that they are bounded.
            cast("BoundedCallVerbs", self._store).fill_later(fills, settle)
        except Exception as error:
            self._note(error)
            raise

    def evict_later(self, request: EvictionRequest, settle: SettleEviction) -> None:
        """See BoundedCallVerbs.evict_later."""
        if self._failure is not None:
            raise self._skipped()
        try:
            cast("BoundedCallVerbs", self._store).evict_later(request, settle)
        except Exception as error:
            self._note(error)
            raise

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        if self._failure is not None:
            raise self._skipped()
        try:
            return self._store.evict(request)
        except Exception as error:
            self._note(error)
            raise

    def take_lease(self, key: bytes, seconds: float) -> Lease | None:
        """See Leasing.take_lease. Only of a store that lends."""
        if self._failure is not None:
            raise self._skipped()
        try:
            return cast("Leasing", self._store).take_lease(key, seconds)
        except Exception as error:
            self._note(error)
            raise

    def _skipped(self) -> StoreSkippedError:
        # A new error each time: an object that is raised twice collects tracebacks.
        error = StoreSkippedError("skipped: the store failed earlier in this call")
        error.__cause__ = self._failure
        return error

    def _note(self, error: Exception) -> None:
        # Also an unexpected error: a bug in the user's own store may block again.
        if not is_alive(error):
            self._failure = error
