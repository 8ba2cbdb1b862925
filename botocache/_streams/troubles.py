"""What goes wrong in following a table: on the log once, until all is well again."""

from collections.abc import Callable
from typing import Final

from botocache._log import log

QUIET = 60.0
"""Seconds without a trouble, after which the next one is logged again."""

_MOST_SAID = 100
"""Troubles that are remembered; at one more, all may be logged again."""


class Troubles:
    """The troubles of one table.

    table: its name.
    now: the store's clock, in seconds.

    last: the sentence of what failed last; "" when all has been well for some time.
    """

    def __init__(self, table: str, now: Callable[[], float]) -> None:
        self.last = ""
        self._table: Final = table
        self._now: Final = now
        self._said: set[str] = set()
        self._noted_at = 0.0

    def __repr__(self) -> str:
        return f"<Troubles of {self._table!r}: {self.last or 'none'}>"

    def note(self, trouble: str) -> None:
        """Note a trouble. Log it, unless that was done since all was well."""
        self.last, self._noted_at = trouble, self._now()
        if trouble in self._said:
            return
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        self._said.add(trouble)
        log.warning(_FAILED, self._table, trouble)

    def are_over(self) -> bool:
        """Return whether all has been well for some time; then forget what was said."""
        # One from the future was noted before the store's clock was set back.
        if 0.0 <= self._now() - self._noted_at < QUIET and self._noted_at:
            return False
        self.last = ""
        self._said.clear()
        return True


_FAILED = (
    "stream_failed: the stream of table %r is not followed as it should be (%s). It is "
    "tried again; until it succeeds, ttl_unfollowed counts"
)
