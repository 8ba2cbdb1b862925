"""For how long local generations are trusted. Owns no clock: callers pass the time.

Redis sends invalidations and PONGs on one connection in order. When a PONG arrives, all
invalidations from before its PING have arrived. So local generations are trusted for
LEASE seconds from the moment the PING was *sent*. A late PONG proves just as much of
that moment.
"""

HEARTBEAT = 0.1
"""Seconds from one PING to the next."""

LEASE = 0.5
"""Seconds. An invalidation that is lost has no effect for longer."""

PATIENCE = 2.0
"""Seconds without a PONG, after which the connection is given up."""

NEVER = float("-inf")


class TrackingLease:
    """until: the moment at which trust ends; NEVER before the first PONG."""

    def __init__(self) -> None:
        self.until = NEVER
        self._sent_at = NEVER
        self._is_waiting = False

    def ping_sent(self, now: float) -> None:
        """Note that a PING is about to be sent. Call it before, not after."""
        self._sent_at, self._is_waiting = now, True

    def pong_received(self) -> None:
        """Note that the PONG arrived."""
        self.until, self._is_waiting = self._sent_at + LEASE, False

    def is_ping_due(self, now: float) -> bool:
        """Tell whether it is time for the next PING."""
        return not self._is_waiting and now - self._sent_at >= HEARTBEAT

    def is_pong_overdue(self, now: float) -> bool:
        """Tell whether the PONG takes too long."""
        return self._is_waiting and now - self._sent_at >= PATIENCE

    def end(self) -> None:
        """Trust nothing until the next PONG."""
        self.until, self._is_waiting = NEVER, False
