"""A store that lends, in turns, and readers that wait for those who have a lease.

A lease ends when its holder gives it back, or fills its entry, or after its time. Those
of a process that was killed go on until then, as on a server, or end before, as on
disk. At each look of a reader that waits it may be interrupted, too.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, cast

from botocache._cache.cache import Cache
from botocache._cache.leases import Leases, LeaseWait
from botocache._cache.tickets import Lookup, ReadTicket
from tests.explorer.backends import Eyes, Moment
from tests.explorer.turns import record

FEATURES = ("leases", "late leases")
"""With the latter, a lease is had so late that its reader has to look again."""

LOOKS = 2
"""How often a reader looks again: more would take the same ways."""

_LONG = 1e6


class Lent:
    """The lease of a key. See Lease.

    client: that has it.
    until: when its time is over.
    is_lost: nobody can give it back: its process was killed, or its answer lost.
    """

    def __init__(self, desk: "Desk", key: bytes, client: int, until: float) -> None:
        self._desk = desk
        self._key = key
        self.client = client
        self.until = until
        self.is_lost = False

    def give_back(self) -> bool:
        """See Lease."""
        return self._desk.end(self._key, self)

    def drop(self) -> None:
        """See Lease."""
        self.give_back()


class Desk:
    """All leases of a world. lent: by key."""

    def __init__(self) -> None:
        self.lent: dict[bytes, Lent] = {}

    def lend(self, client: int, key: bytes, now: float, seconds: float) -> Lent | None:
        """Return a lease; None if another reader has it."""
        holder = self.lent.get(key)
        if holder is not None and now < holder.until:
            return None
        self.lent[key] = Lent(self, key, client, now + seconds)
        return self.lent[key]

    def end(self, key: bytes, lent: Lent) -> bool:
        """End a lease, if it is one, and somebody can."""
        if self.lent.get(key) is not lent or lent.is_lost:
            return False
        del self.lent[key]
        return True

    def note_filled(self, client: int, key: bytes) -> None:
        """End the lease of a key by a fill of its holder's process."""
        holder = self.lent.get(key)
        if holder is not None and holder.client == client:
            self.end(key, holder)

    def lose(self, client: int) -> None:
        """Lose the leases of a process that is about to be killed."""
        for lent in self.lent.values():
            lent.is_lost |= lent.client == client

    def lost(self) -> list[bytes]:
        """Return the keys whose leases are lost, and may end at any moment."""
        return [key for key, lent in self.lent.items() if lent.is_lost]

    def kept(self, now: float) -> bool:
        """Return whether a process that lives still has a lease."""
        return any(not lent.is_lost and now < lent.until for lent in self.lent.values())

    def state(self, eyes: Eyes) -> list[Any]:
        """Return all of it, flat."""
        state: list[Any] = ["lent"]
        for key, lent in sorted(self.lent.items()):
            state += (key, lent.client, lent.is_lost, eyes.until(lent.until))
        return state


def arrange(
    cache: Cache, clock: Any, note_overdue: Callable[[], object], *, is_late: bool
) -> None:
    """Let the leases of a cache go by the clock of its world, and by few looks.

    note_overdue: called when a reader waits for longer than it may.
    """
    leases = cache.leases
    if leases is None:
        return
    changed = cast("Any", leases)
    changed._clock = clock
    join, resume = leases.join, leases.resume

    def join_in_turns(ticket: ReadTicket) -> Lookup | LeaseWait:
        # How long it takes to have a lease, the schedule does not say.
        started = ticket.store.started
        ticket.store.started = perf_counter() + (-_LONG if is_late else _LONG)
        try:
            outcome = join(ticket)
        finally:
            ticket.store.started = started
        if isinstance(outcome, LeaseWait):
            outcome.pauses = outcome.pauses[-LOOKS:]
            record("waits for a lease", Moment(outcome.until))
        return outcome

    def resume_in_turns(wait: LeaseWait) -> Lookup | LeaseWait:
        left = len(wait.pauses)
        outcome = resume(wait)
        if isinstance(outcome, LeaseWait) and len(outcome.pauses) >= left:
            note_overdue()
        return outcome

    changed.join, changed.resume = join_in_turns, resume_in_turns


def state_of(leases: Leases | None, eyes: Eyes) -> list[Any]:
    """Return what a process remembers of leases, flat."""
    if leases is None or not leases._apart:
        return []
    state: list[Any] = ["apart"]
    for key, until in leases._apart.items():
        state += (key, eyes.until(until))
    return state
