"""Coalescing: reads that miss the same entry at the same time send one request.

Theory of operation
-------------------
A *flight* is a miss that is being sent, and whose answer may be filled. Its key is that
of the entry. It begins with the ticket of the one who asks, and ends with it: when the
ticket is finished, or when it is dropped, whatever has cut the call.

Another reader of the key has looked into the store as well, and missed. Its look gave
it the generations of its tags, and the flight has those of its own look, its snapshot.

    A reader waits only for a flight whose snapshot equals the generations that the
    reader's own look gave.

Then it may take the flight's entry without another look. No write of the tags began or
ended between the two looks. The flight's look came before its request was sent. So a
write that was over when the reader began was over when the request was sent, and the
entry shows it as far as any entry does: a hold-off that forbids the fill forbids the
flight. Which of the two looks came first does not matter. The entry carries its
snapshot, and it is compared once more before it is served.

How a wait ends:

- The flight has *landed*, with an entry: the reader is served, from fresh objects. It
  does not look for the entry in the store, where it may arrive later.
- It was answered, but nothing could be filled: all ask. Readers of such a key do not
  wait for a while.
- It has failed: by an error, which only the one who asked gets, or because its call was
  cut. The first reader to wake opens the next flight, for which the others wait.
- DynamoDB has throttled it, or has not answered it: a reader that has a stale answer
  of its own gets that (see stale.py), and sends nothing. The others go on as above.
- The reader's time is over: it asks. All of its waits together take that time at most.

No reader waits for a flight of its own thread, greenlet or task: a handler or a signal
may make a call within a call. A longer circle, in which the one who asks waits for the
one who waits, ends with the time of the wait.

A reader can have looked before a flight landed and ask for the flight afterwards. So a
flight that was waited for stays known for a moment. It is no cache: the reader's look
must agree with it in the same way.

There is no lock. What threads change in common is changed by single operations of dict
and list, which are atomic; how a flight ends is in flights.py. So nothing is held while
anybody waits.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final, TypeAlias

from botocache._cache.brakes import Brakes
from botocache._cache.flights import Flight, OpenFlight, State
from botocache._cache.read_mode import Mode
from botocache._cache.refusals import Refusals
from botocache._cache.tickets import AuditTicket, Hit, ReadTicket
from botocache._coherence import may_fill
from botocache._errors import pass_on
from botocache._forks import renew_after_fork

PATIENCE = 0.25
"""Seconds that a read waits for others at most; then it asks. DynamoDB answers most
reads in a hundredth of a second, and an SDK repeats the first time after 50 ms."""

BRAKED_PATIENCE = 2.0
"""The same while DynamoDB throttles the table."""

MOST_FLIGHTS = 10_000
"""Flights that are known at a time; further ones have no waiters."""

MOST_LANDED = 64
"""Flights that stay known when they have landed; at one more, the oldest does not."""

LARGEST_LANDED = 64 * 1024
"""Bytes of an entry that stays known when its flight has landed."""

BARREN_SECONDS = 5.0
"""For so long no reader waits for a key whose answer could not be filled."""

MOST_BARREN = 1_000
"""Such keys; at one more, all are forgotten."""

_NORMAL: Final = Mode.NORMAL
_OPEN: Final = State.OPEN

Serve: TypeAlias = Callable[[ReadTicket, bytes], Hit | AuditTicket | None]
"""Returns what a reader gets of an entry; None if it must ask."""

FindStale: TypeAlias = Callable[[ReadTicket], Hit | None]
"""Returns what answers a read in the place of DynamoDB; None for nothing."""


class Wait:
    """A reader that waits for a flight of another one.

    ticket: of its own look, to ask with.
    flight: it waits for.
    until: when it asks itself, by `monotonic`.
    task: that waits, by its id; 0 if it is none.
    """

    __slots__ = ("flight", "task", "ticket", "until")

    def __init__(
        self, ticket: ReadTicket, flight: Flight, until: float, task: int
    ) -> None:
        flight.is_awaited = True
        self.ticket = ticket
        self.flight = flight
        self.until = until
        self.task = task

    def __repr__(self) -> str:
        return f"<Wait for {self.flight!r}>"

    @property
    def is_over(self) -> bool:
        """Whether the flight is."""
        return self.flight.state is not _OPEN

    @property
    def seconds(self) -> float:
        """How long it may wait."""
        return max(0.0, self.until - monotonic())

    def add(self, wake: Callable[[], object]) -> bool:
        """Have a function called at the flight's end; return False if it is over.

        `remove` must be called in any case.
        """
        self.flight.wakers.append(wake)
        # After it was appended: see flights.py.
        return not self.is_over

    def remove(self, wake: Callable[[], object]) -> None:
        """Have the function called no more."""
        with suppress(ValueError):  # it was called
            self.flight.wakers.remove(wake)

    def pause(self) -> None:
        """Wait in this thread, or greenlet."""
        if self.is_over:
            return
        # Found by its name now: gevent may have put another one there.
        lock = threading.Lock()
        lock.acquire()
        wake = lock.release
        try:
            if self.add(wake):
                lock.acquire(timeout=self.seconds)
        finally:
            self.remove(wake)


class Coalescing:
    """The flights of one cache in this process. Its methods raise interruptions alone.

    is_on: whether any read waits for another one.
    refusals: readers who are served nothing.
    serve: serves an entry to one who has waited. May raise.
    brakes: of the tables that DynamoDB throttles.

    find_stale: called with the ticket of a reader whose flight DynamoDB has refused.
    """

    def __init__(
        self, refusals: Refusals, serve: Serve, brakes: Brakes, *, is_on: bool
    ) -> None:
        self.is_on: Final = is_on
        self.find_stale: FindStale = _find_nothing
        self._brakes: Final = brakes
        self._refused: Final = refusals.tags
        self._serve: Final = serve
        self._open: dict[bytes, Flight] = {}
        self._landed: dict[bytes, Flight] = {}
        self._barren: dict[bytes, float] = {}
        renew_after_fork(self, Coalescing.forget)

    def __repr__(self) -> str:
        return f"<Coalescing: {len(self._open)} open>"

    def __len__(self) -> int:
        return len(self._open)

    def forget(self) -> None:
        """Know of no flight; those who wait are not woken. For a forked child."""
        for flight in [*self._open.values()]:
            flight.wakers.clear()  # of threads and loops of the parent
        self._open, self._landed, self._barren = {}, {}, {}

    # --- for the doors -------------------------------------------------------------

    def wait(self, ticket: ReadTicket) -> Hit | AuditTicket | ReadTicket:
        """Return what a miss comes to, having waited in this thread if that helps.

        See `join`, which is for those who must not wait in a thread.
        """
        outcome: Hit | AuditTicket | ReadTicket | Wait
        try:
            outcome = self._join(ticket, 0, None)
        except Exception as error:
            pass_on(error)
            return alone(ticket)
        while isinstance(outcome, Wait):
            outcome.pause()
            outcome = self.resume(outcome)
        return outcome

    def join(self, ticket: ReadTicket, task: int = 0) -> ReadTicket | Wait:
        """Return the ticket to ask with, or what to wait for before `resume`.

        ticket: of a miss; once for each.
        task: that asks, by its id; 0 if it is none, and may wait in its thread.
        """
        try:
            return self._join(ticket, task, None)
        except Exception as error:
            pass_on(error)
            return alone(ticket)

    def resume(self, wait: Wait) -> Hit | AuditTicket | ReadTicket | Wait:
        """Return what a reader gets when it has waited, or what to wait for next."""
        ticket, state = wait.ticket, wait.flight.state
        try:
            if state is State.LANDED:
                return self._serve(ticket, wait.flight.entry) or alone(ticket)
            if state is State.UNFILLED:
                return alone(ticket)
            # Before the next one asks: a table that throttles must not be asked by all,
            # each after the refusal of the one before. Also while the flight is open:
            # botocore may repeat its request for longer than a reader waits.
            if wait.flight.is_rejected:
                stale = self.find_stale(ticket)
                if stale is not None:
                    return stale
            # If the flight is not over, its reader's time is, whatever the clock says.
            until = 0.0 if state is _OPEN else wait.until
            return self._join(ticket, wait.task, until)
        except Exception as error:
            pass_on(error)
            return alone(ticket)

    # --- the flights ---------------------------------------------------------------

    def _join(
        self, ticket: ReadTicket, task: int, until: float | None
    ) -> ReadTicket | Wait:
        """Do what `join` does. until: when the reader's time is over, if it waited."""
        key, now = ticket.prepared.key, monotonic()
        if not self._takes_part(ticket) or (
            self._barren and now < self._barren.get(key, 0.0)
        ):
            return alone(ticket)
        # By its name: gevent may have put another function there.
        thread = threading.get_ident()
        landed = self._landed_for(ticket, now) if self._landed else None
        if landed is not None:
            return Wait(ticket, landed, now, task)
        flight = self._open.get(key)
        if flight is None:
            opened = self._open_flight(ticket, thread, task, now, until)
            # None: another one was faster, by a moment.
            return opened or self._join(ticket, task, until)
        if flight.is_of(thread, task):
            return alone(ticket)
        table, store_now = ticket.prepared.read.table, ticket.store.now
        braked = self._brakes.until and self._brakes.is_braked(table, store_now())
        patience = BRAKED_PATIENCE if braked else PATIENCE
        deadline = now + patience if until is None else until
        is_current = flight.snapshot == ticket.loaded.snapshot
        is_of_use = flight.state <= State.LANDED and now - flight.started < patience
        if is_of_use and (is_current or flight.began > ticket.began):
            may_wait = is_current and now < deadline
            return Wait(ticket, flight, deadline, task) if may_wait else alone(ticket)
        # It hangs, or a write has come since. Later readers wait for this one.
        self.leave(flight)
        return self._open_flight(ticket, thread, task, now, until) or alone(ticket)

    def _takes_part(self, ticket: ReadTicket) -> bool:
        """Return whether a miss may be filled for others, and others answer it."""
        prepared, held = ticket.prepared, ticket.loaded.held
        return (
            self.is_on
            and prepared.call.mode is _NORMAL  # as `may_hit` has it
            and not prepared.read.is_consistent
            and (not held or may_fill(held, is_consistent=ticket.is_consistent))
            and not (self._refused and prepared.reader_tag in self._refused)
        )

    def _landed_for(self, ticket: ReadTicket, now: float) -> Flight | None:
        """Return a flight that has landed since this reader's look, perhaps."""
        landed = self._landed.get(ticket.prepared.key)
        if (
            landed is None
            or landed.snapshot != ticket.loaded.snapshot
            or now - landed.started >= PATIENCE
        ):
            return None
        return landed

    def _open_flight(
        self,
        ticket: ReadTicket,
        thread: int,
        task: int,
        now: float,
        until: float | None,
    ) -> ReadTicket | None:
        """Return the ticket with a flight; None if there is one, or was just now.

        This is where it is settled which reader asks for all of a process.
        """
        key, flights = ticket.prepared.key, self._open
        flight = Flight(key, ticket.loaded.snapshot, ticket.began, thread, task, now)
        mine = OpenFlight(flight, self.leave)
        # Others who waited before may come as late as when it has landed.
        flight.is_awaited = until is not None
        if flights.setdefault(key, flight) is not flight:
            return None
        # Once more: another one may have landed since it was looked for.
        if self._landed and self._landed_for(ticket, now) is not None:
            return None  # the flight fails as `mine` goes
        if len(flights) > MOST_FLIGHTS and not self._make_room(now):
            return alone(ticket)
        return _ticket((*ticket[:_FLIGHT], mine))

    def _make_room(self, now: float) -> bool:
        """Forget the oldest flight; return False if it may still be of use."""
        try:
            oldest = next(iter(self._open.values()))
        except (StopIteration, RuntimeError):  # it changes at this moment
            return False
        if now - oldest.started < BRAKED_PATIENCE:
            return False
        self.leave(oldest)
        return True

    def leave(self, flight: Flight) -> None:
        """Forget a flight that is over, or of no use to later readers."""
        key = flight.key
        if flight.is_awaited:
            if flight.state is State.LANDED and len(flight.entry) <= LARGEST_LANDED:
                landed = self._landed
                landed.pop(key, None)
                landed[key] = flight
                while len(landed) > MOST_LANDED:
                    with suppress(StopIteration, RuntimeError):
                        landed.pop(next(iter(landed)), None)
            elif flight.state is State.UNFILLED:
                if len(self._barren) >= MOST_BARREN:
                    self._barren = {}
                self._barren[key] = monotonic() + BARREN_SECONDS
        # Between the two lines another one may have put its own there. It is
        # not known any more then, and those who wait for it hold it.
        if self._open.get(key) is flight:
            self._open.pop(key, None)


def land(ticket: ReadTicket, entry: bytes) -> None:
    """End the flight of a ticket, if it has one, by an entry that was found meanwhile.

    entry: as the store has it. Each who waits for it compares it with its own look.
    """
    if ticket.flight:
        ticket.flight.entry = entry
        ticket.flight.end(answered=True)


def note_answer(ticket: ReadTicket, *, is_refused: bool) -> None:
    """Note how a request was answered, for those who wait for the ticket's flight."""
    if ticket.flight:
        ticket.flight.flight.is_rejected = is_refused


def _find_nothing(_ticket: ReadTicket) -> None:
    """Stand in for `find_stale`."""


def alone(ticket: ReadTicket) -> ReadTicket:
    """Return the ticket of a read that has no waiters."""
    return _ticket((*ticket[:_FLIGHT], False))


_FLIGHT: Final = ReadTicket._fields.index("flight")
_ticket: Callable[[tuple[Any, ...]], ReadTicket] = partial(tuple.__new__, ReadTicket)
