"""Failures inside the cache: counted, and logged once per kind and minute.

The application never sees one. Keys, items and credentials never get into a line.
"""

import logging
import math
from collections.abc import Callable

from botocache._stats import Counters

log = logging.getLogger("botocache")

INTERVAL = 60.0
"""Seconds between two lines about the same kind of failure."""


class Failures:
    """Counts and logs failures by kind, an event name such as `load_failed`."""

    def __init__(self, counters: Counters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._last: dict[str, float] = {}

    def report(self, kind: str, consequence: str, error: BaseException) -> None:
        """Count a failure, and log what it means for the application."""
        self._counters.add_failure(kind)
        try:
            now = self._clock()
        except Exception:  # noqa: BLE001 - a store of the user's own, and the last resort
            now = math.inf
        # A lost race logs twice; waiting for a lock here could stall a call.
        if now - self._last.get(kind, -INTERVAL) >= INTERVAL:
            self._last[kind] = now
            log.warning(
                "%s: %s (%s: %s)", kind, consequence, type(error).__name__, error
            )
