"""Leases of misses: of all processes that miss an entry, one asks DynamoDB.

Of the reads of one process that miss an entry, coalescing chooses one that asks for all
of them. With the setting `miss_leases`, this is its course:

- It takes the lease of its entry's key, and asks DynamoDB. Its fill ends the lease once
  others can see the entry, and so does whatever else ends its ticket.
- If another process has the lease, the read waits, and looks into the store again after
  2, 4, 8 ... ms. Each look is a load of this very read, with generations of its own. So
  what the read is served is an ordinary hit. If it misses, it tries to take the lease,
  too: its holder may have failed. After PAUSES, or when its looks have taken as long,
  it asks without a lease.
- While DynamoDB throttles the table there are more looks, BRAKED_PAUSES. But a read
  with a stale answer (see stale.py) gets that after PAUSES, or when the holder has
  ended without a fill, and sends nothing.

Only an answer that may be filled is worth a lease. Where an answer could not be kept,
the key is left alone for APART seconds: its readers would ask one after another. A
holder that dies costs the others one wait. So does one that hangs, or is stopped: who
has waited in vain leaves the key alone for as long as a lease lasts, because a lease on
disk lasts until the system ends it. A store that fails lends nothing, and then nothing
waits. A batch neither takes leases nor waits for any: DynamoDB is asked for its
other keys anyway.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, TypeAlias

from botocache._cache.brakes import Brakes
from botocache._cache.call_store import CallStore
from botocache._cache.evictions import Evictions
from botocache._cache.refusals import Refusals
from botocache._cache.services import CacheServices
from botocache._cache.tickets import Hit, Lookup, ReadTicket
from botocache._coherence import may_fill
from botocache._errors import pass_on
from botocache._forks import renew_after_fork
from botocache.stores.protocol import Lease, lends

LEASE_SECONDS = 2.0
"""Longer than nearly all reads take, with a retry or two."""

PAUSES = (0.002, 0.004, 0.008, 0.016, 0.032, 0.038)
"""Seconds between two looks, 0.1 in all: DynamoDB answers most reads in 10 ms."""

BRAKED_PAUSES = (*PAUSES, 0.1, 0.2, 0.3, 0.4, 0.5, 0.4)
"""The same while DynamoDB throttles the table, 2 in all: an SDK sends a read again."""

LONG = 0.25
"""Seconds that a call has waited for reads of its own process, after which it does not
wait for longer because of a brake: its caller may have a time limit."""

_LAST_LOOKS: Final = (0, len(BRAKED_PAUSES) - len(PAUSES))
"""Pauses that are left when PAUSES are over."""

QUICK = 0.002
"""Seconds since the call began in which a look is hardly outdated: DynamoDB takes some
milliseconds for a read. Later, a read that has taken a lease looks once more."""

APART = 10.0
"""Seconds in which no lease of a key is tried whose answer could not be kept."""

MOST_APART = 1024
"""Keys that are remembered so."""

Look: TypeAlias = Callable[[ReadTicket], tuple[Lookup, bytes]]
"""Loads a read once more. Returns what it comes to, and the entry of its hit."""


class LeaseWait:
    """A read that waits for the holder of its lease.

    ticket: of its last look, to ask with.
    pauses: seconds until each look that is left.
    until: when it looks no more, by the clock of the leases.
    """

    __slots__ = ("pauses", "ticket", "until")

    def __init__(
        self, ticket: ReadTicket, pauses: Sequence[float], until: float
    ) -> None:
        self.ticket = ticket
        self.pauses = pauses
        self.until = until

    def __repr__(self) -> str:
        return f"<LeaseWait with {len(self.pauses)} looks>"


class Leases:
    """The leases of one cache, and what waits for those of others.

    evictions: reports failures.
    refusals: readers who are served nothing.
    look: see Look.
    brakes: of the tables that DynamoDB throttles.
    timeout: seconds that a call may wait for the store before it is sent.
    clock: seconds.

    on_found: called with the ticket of a read that has waited, and the entry that it
        has found.
    find_stale: called with the ticket of a read that has waited in vain while DynamoDB
        throttles its table. Returns what answers it, or None.
    """

    def __init__(  # noqa: PLR0913 - leases consist of these
        self,
        evictions: Evictions,
        refusals: Refusals,
        look: Look,
        brakes: Brakes,
        *,
        timeout: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._brakes: Final = brakes
        self.find_stale: Callable[[ReadTicket], Hit | None] = _find_nothing
        self.on_found: Callable[[ReadTicket, bytes], object] = _ignore
        self._evictions: Final = evictions
        self._refused: Final = refusals.tags
        self._look: Final = look
        self._timeout: Final = timeout
        self._clock: Final = clock
        self._reset()
        renew_after_fork(self, Leases._reset)

    def __repr__(self) -> str:
        return f"<Leases {self.taken} taken, {self.waits} waits, {self.served} served>"

    def _reset(self) -> None:
        self.taken = self.waits = self.served = 0  # not exact: threads may lose one
        self._apart: dict[bytes, float] = {}

    def settle(self, ticket: ReadTicket) -> Lookup:
        """Return what a miss comes to, having waited in this thread if that helps.

        See `join`, which is for those who must not wait in a thread.
        """
        outcome: Lookup | LeaseWait = self.join(ticket)
        while isinstance(outcome, LeaseWait):
            _sleep(outcome.pauses[0])
            outcome = self.resume(outcome)
        return outcome

    def join(self, ticket: ReadTicket) -> Lookup | LeaseWait:
        """Return what a miss comes to, or a wait for `resume`. Asks the store."""
        if not _may_be_filled(ticket) or self._is_apart(ticket.prepared.key):
            return ticket
        if self._refused and ticket.prepared.reader_tag in self._refused:
            return ticket
        try:
            seconds = perf_counter() - ticket.store.started
            if seconds > self._timeout:  # it has waited for another read
                ticket.store.restart()
            lease = self._take(ticket)
            if lease is not None:
                if perf_counter() - ticket.store.started < QUICK:
                    return leased(ticket, lease)
                return self._look_under(lease, ticket)
        except Exception as error:
            return self._without_lease(ticket, error)
        self.waits += 1
        braked = seconds < LONG and self._is_braked(ticket)
        pauses = BRAKED_PAUSES if braked else PAUSES
        return LeaseWait(ticket, pauses, self._clock() + sum(pauses))

    def resume(self, wait: LeaseWait) -> Lookup | LeaseWait:
        """Return what a read comes to after the first of its pauses. Asks the store."""
        try:
            return self._resume(wait.ticket, wait.pauses[1:], wait.until)
        except Exception as error:
            return self._without_lease(wait.ticket, error)

    def _resume(
        self, ticket: ReadTicket, pauses: Sequence[float], until: float
    ) -> Lookup | LeaseWait:
        ticket.store.restart()  # each look has a deadline of its own
        lookup = self._look_again(ticket)
        if not isinstance(lookup, ReadTicket) or not _may_be_filled(lookup):
            return lookup  # of these, a write has come: no holder fills it now
        lease = self._take(lookup)
        # A store that answers slowly must not make the wait longer.
        is_over = not pauses or self._clock() >= until
        may_wait = lease is None and not is_over and len(pauses) not in _LAST_LOOKS
        # Also with the lease in hand, which says that its holder was not answered: of
        # all processes, those that waited need not be refused one after another. A new
        # read takes the lease, and asks whether DynamoDB answers again.
        if not may_wait and self._is_braked(lookup):
            stale = self.find_stale(lookup)
            if stale is not None:
                if lease is not None:
                    lease.end(lookup.store)
                return stale
        if lease is not None:
            return self._look_under(lease, lookup)
        if not is_over:
            return LeaseWait(lookup, pauses, until)
        self.set_apart(lookup.prepared.key, LEASE_SECONDS)
        return lookup

    def _is_braked(self, ticket: ReadTicket) -> bool:
        table = ticket.prepared.read.table
        return bool(self._brakes.until) and self._brakes.is_braked(
            table, ticket.store.now()
        )

    def _look_under(self, lease: "HeldLease", ticket: ReadTicket) -> Lookup:
        """Return what a read comes to that has taken a lease.

        Another holder may have filled the entry since the read has looked.
        """
        try:
            lookup = self._look_again(ticket)
        except BaseException:
            # Not by its `__del__`: an error that the store keeps holds this frame.
            lease.end(ticket.store)
            raise
        if isinstance(lookup, ReadTicket) and _may_be_filled(lookup):
            return leased(lookup, lease)
        lease.end(ticket.store)
        return lookup

    def _look_again(self, ticket: ReadTicket) -> Lookup:
        lookup, entry = self._look(ticket)
        if isinstance(lookup, ReadTicket):
            return lookup
        if entry:
            self.served += 1
            self.on_found(ticket, entry)
        elif ticket.flight:
            # It bypasses the cache, after an eviction that failed. Its store keeps that
            # error, and the frames of the error the ticket.
            ticket.flight.end(answered=False)
        return lookup

    def _take(self, ticket: ReadTicket) -> "HeldLease | None":
        key = ticket.prepared.key
        lease = ticket.store.take_lease(key, LEASE_SECONDS)
        if lease is None:
            return None
        self.taken += 1
        return HeldLease(self, key, lease)

    def _without_lease(self, ticket: ReadTicket, error: Exception) -> ReadTicket:
        own = pass_on(error)
        self._evictions.report(
            "lease_failed", "a read that misses asks DynamoDB at once", own
        )
        # The store of the call keeps the error, and its frames hold the ticket. In a
        # cycle, a flight would not end when its ticket is dropped.
        own.__traceback__ = None
        return ticket

    # --- keys for which leases bring nothing ----------------------------------------

    def set_apart(self, key: bytes, seconds: float = APART) -> None:
        """Try no lease of a key for a while; for APART at the longest."""
        apart = self._apart
        if len(apart) >= MOST_APART:
            apart.clear()  # to try them again costs a wait each
        apart[key] = self._clock() + seconds

    def _is_apart(self, key: bytes) -> bool:
        apart = self._apart
        if not apart or (until := apart.get(key)) is None:
            return False
        if 0.0 < until - self._clock() <= APART:
            return True
        apart.pop(key, None)
        return False


class HeldLease:
    """The lease of a ticket. It ends with the ticket, however that ends."""

    __slots__ = ("_key", "_lease", "_leases")

    def __init__(self, leases: Leases, key: bytes, lease: Lease) -> None:
        self._leases = leases
        self._key = key
        self._lease: Lease | None = lease

    def __repr__(self) -> str:
        return f"<HeldLease {self._lease!r}>"

    def end(self, store: CallStore, *, is_answered: bool = False) -> None:
        """Give it back, unless a fill has. Raises nothing.

        store: as the call uses it.
        is_answered: DynamoDB has answered the read.
        """
        lease, self._lease = self._lease, None
        if lease is None:
            return
        if store.failure is not None:
            lease.drop()
        elif lease.give_back() and is_answered:
            # Its answers cannot be kept. Others would ask one after another.
            self._leases.set_apart(self._key)

    def __del__(self) -> None:
        # `__init__` may have been interrupted.
        lease = getattr(self, "_lease", None)
        if lease is not None:
            with suppress(Exception):  # the interpreter may be ending
                lease.drop()

    def drop(self) -> None:
        """End it soon, and wait for nothing. Raises nothing."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.drop()


class LeasedTicket(ReadTicket):
    """The ticket of a read that is sent under a lease."""

    lease: HeldLease

    def _replace(self, /, **changes: Any) -> "LeasedTicket":
        return leased(super()._replace(**changes), self.lease)


def leased(ticket: ReadTicket, lease: HeldLease) -> LeasedTicket:
    """Return a ticket with a lease."""
    made: LeasedTicket = tuple.__new__(LeasedTicket, ticket)
    made.lease = lease
    return made


def abandon(ticket: ReadTicket) -> None:
    """Let no one wait for a read any more, if anybody does. Waits for nothing."""
    if ticket.flight:
        ticket.flight.end(answered=False)
    if isinstance(ticket, LeasedTicket):
        ticket.lease.drop()


def leases_of(services: CacheServices, refusals: Refusals, look: Look) -> Leases | None:
    """Return the leases of a cache; None if it has none."""
    settings, store = services.settings, services.store
    # In shadow mode nothing is served, so nothing is worth a wait.
    if not settings.miss_leases or settings.shadow or not lends(store):
        return None
    timeout = settings.timeout
    return Leases(services.evictions, refusals, look, services.brakes, timeout=timeout)


def _may_be_filled(ticket: ReadTicket) -> bool:
    """Return whether the answer may be filled, and be served to others."""
    prepared, held = ticket.prepared, ticket.loaded.held
    if not prepared.may_hit or prepared.policy.ttl <= 0.0:
        return False
    return not held or may_fill(held, is_consistent=ticket.is_consistent)


def _find_nothing(_ticket: ReadTicket) -> None:
    """Stand in for `find_stale`."""


def _ignore(_ticket: ReadTicket, _entry: bytes) -> None:
    """Stand in for `on_found`."""


def _sleep(seconds: float) -> None:
    time.sleep(seconds)  # real: another process asks. Looked up now, for gevent
