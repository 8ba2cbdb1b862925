"""The brake of a hot table: for some seconds after DynamoDB has throttled a read of it.

Meanwhile botocache makes no read of it strongly consistent, which would cost twice the
units, and a miss waits longer for another one of the same key. In this process alone.
"""

from typing import Final

BRAKED_FOR = 5.0
"""Seconds after the last read that was throttled."""

MOST_TABLES = 1_000
"""Tables that are remembered; at one more, the oldest is forgotten."""


class Brakes:
    """The tables of one cache that DynamoDB has throttled lately.

    until: when the brake of a table is released, by its name, in seconds on the store's
        clock. For callers in a hurry: while it is empty, no table is braked.
    """

    def __init__(self) -> None:
        self.until: Final[dict[str, float]] = {}

    def __repr__(self) -> str:
        return f"<Brakes of {len(self.until)} tables>"

    def brake(self, table: str, now: float) -> None:
        """Brake a table: a read of it was throttled just now."""
        # Put in anew, so that the first one is that which was throttled longest ago.
        self.until.pop(table, None)
        self.until[table] = now + BRAKED_FOR
        if len(self.until) > MOST_TABLES:
            # A list: another thread's table would end an iteration over the dict.
            for oldest in [*self.until][:-MOST_TABLES]:
                self.until.pop(oldest, None)

    def is_braked(self, table: str, now: float) -> bool:
        """Return whether a table is braked."""
        until = self.until.get(table)
        if until is None:
            return False
        # Not for longer, if the store's clock was set back.
        if 0.0 < until - now <= BRAKED_FOR:
            return True
        self.until.pop(table, None)
        return False
