"""Flights: misses that are being sent, as those see them who wait for their answers.

Who waits for which, and why it may, is in coalescing.py. Here is how a flight ends:
with its ticket, whether that is finished or dropped, and without a lock.

A reader appends what wakes it and then looks whether the flight is over; who ends the
flight says so first and then wakes. So no reader is missed by both.
"""

from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from time import monotonic
from typing import Final


class State(IntEnum):
    """What has become of a flight."""

    OPEN = 0
    LANDED = 1
    UNFILLED = 2
    FAILED = 3


_OPEN: Final = State.OPEN
_LANDED: Final = State.LANDED


class Flight:
    """A read that is being sent, for those who wait for it.

    key: of the entry.
    snapshot: the generations of the tags, from before it was sent.
    began: when the store was asked, in seconds on its clock.
    thread: which asks, by its identifier.
    task: which asks, by its id; 0 if it is none.
    started: when it was opened, by `monotonic`; once it is over, when it was over.
    wakers: wake those who wait for it; each is called at most once.
    is_awaited: another reader has waited for it.
    state: what has become of it.
    entry: once it has landed.
    is_rejected: DynamoDB has refused its last request, or not answered it.
    """

    __slots__ = (
        "began",
        "entry",
        "is_awaited",
        "is_rejected",
        "key",
        "snapshot",
        "started",
        "state",
        "task",
        "thread",
        "wakers",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - by keyword it would take longer
        self,
        key: bytes,
        snapshot: tuple[int, ...],
        began: float,
        thread: int,
        task: int,
        started: float,
    ) -> None:
        self.key = key
        self.snapshot = snapshot
        self.began = began
        self.thread = thread
        self.task = task
        self.started = started
        self.wakers: list[Callable[[], object]] = []
        self.is_awaited = self.is_rejected = False
        self.state = _OPEN
        self.entry = b""

    def __repr__(self) -> str:
        return f"<Flight {self.state.name.lower()}>"

    def is_of(self, thread: int, task: int) -> bool:
        """Return whether it cannot go on while this thread or task waits."""
        if self.thread != thread:
            return False
        return not task or not self.task or task == self.task


class OpenFlight:
    """Ends a flight; its ticket holds it. If the ticket is dropped, the flight fails.

    leave: called with the flight when it is over.

    entry: of its answer, once it is encoded.
    """

    __slots__ = ("_is_over", "_leave", "entry", "flight")

    def __init__(self, flight: Flight, leave: Callable[[Flight], object]) -> None:
        self._is_over = False
        self._leave = leave
        self.flight = flight
        self.entry: bytes | None = None

    def __repr__(self) -> str:
        return f"<OpenFlight of {self.flight!r}>"

    def end(self, *, answered: bool) -> None:
        """End the flight.

        answered: DynamoDB has answered it, so that the next answer would be alike.
        """
        flight = self.flight
        if flight.state is _OPEN:
            if self.entry is not None:
                flight.entry = self.entry
                if flight.is_awaited:
                    flight.started = monotonic()
                flight.state = _LANDED
            else:
                flight.state = State.UNFILLED if answered else State.FAILED
        self._leave(flight)
        wakers = flight.wakers
        while wakers:
            with suppress(IndexError):  # the reader's time was over just now
                wake = wakers.pop()
                with suppress(RuntimeError):  # its loop was closed
                    wake()
        # Last: if this is interrupted, the ticket's end comes here once more.
        self._is_over = True

    def __del__(self) -> None:
        # `__init__` may have been interrupted; then the flight was not opened either.
        if not getattr(self, "_is_over", True) and hasattr(self, "entry"):
            self.end(answered=False)
