"""For how long it is known that nothing was missed. Owns no clock: it is told the time.

Somebody who tells of changes, in the order in which they happen, answers questions in
the same order. So with an answer all is known that had happened when it was asked for,
and for LEASE seconds from then on, not from when it came, what is known is taken for
current. An answer may come late, and proves just as much of its own moment.
"""

HEARTBEAT = 0.1
"""Seconds from one question to the next."""

LEASE = 0.5
"""Seconds. What is missed is missed for no longer."""

PATIENCE = 2.0
"""Seconds without an answer, after which whoever is asked is given up."""

NEVER = float("-inf")


class Lease:
    """until: the moment from which on nothing is known; NEVER where nothing was."""

    def __init__(self) -> None:
        self.until = NEVER
        self._asked_at = NEVER
        self._is_waiting = False

    def asks(self, now: float) -> None:
        """Note that a question is about to be sent."""
        self._asked_at, self._is_waiting = now, True

    def is_answered(self) -> None:
        """Note that the answer came."""
        self.until, self._is_waiting = self._asked_at + LEASE, False

    def is_to_ask(self, now: float) -> bool:
        """Tell whether it is time for the next question."""
        return not self._is_waiting and now - self._asked_at >= HEARTBEAT

    def is_hopeless(self, now: float) -> bool:
        """Tell whether the answer takes too long."""
        return self._is_waiting and now - self._asked_at >= PATIENCE

    def ends(self) -> None:
        """Note that nothing is known any more."""
        self.until, self._is_waiting = NEVER, False
