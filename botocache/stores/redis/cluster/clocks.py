"""The clocks of a cluster's servers, as seen by this process. Asks no server."""

import time
from collections.abc import Collection

from botocache._coherence import LONGEST_HOLD_OFF
from botocache._errors import StoreError
from botocache.stores.clock import machine_clock
from botocache.stores.redis.commands import server_time
from botocache.stores.redis.scripts import US

SYNC_INTERVAL = 10.0
"""Seconds after which a server's clock is asked for again."""


class ServerClocks:
    """How far each server's clock is ahead of this process's, at the least.

    offset: of the clock that is furthest behind, in seconds. By that one no hold-off
        seems shorter than it is.
    """

    def __init__(self) -> None:
        self.offset = time.time() - machine_clock()  # until a server tells
        self._offsets: dict[str, float] = {}
        self._synced_at: dict[str, float] = {}
        self._spread = 0.0

    def is_due(self, server: str) -> bool:
        """Tell whether a server's clock must be asked for."""
        synced_at = self._synced_at.get(server)
        return synced_at is None or machine_clock() - synced_at >= SYNC_INTERVAL

    def sync(self, server: str, reply: tuple[int, int]) -> None:
        """Take in a reply to TIME: seconds and microseconds."""
        microseconds = server_time(*reply)
        # The reply took a while, so the clock is further ahead than this.
        now = machine_clock()
        self.set_offset(server, microseconds / US - now)
        self._synced_at[server] = now

    def set_offset(self, server: str, offset: float) -> None:
        """Set how far a server's clock is ahead."""
        self._offsets[server] = offset
        self._compare()

    def forget_all_but(self, servers: Collection[str]) -> None:
        """Forget the clocks of servers that hold nothing any more."""
        for server in [*self._offsets]:
            if server not in servers:
                self._offsets.pop(server, None)
                self._synced_at.pop(server, None)
        self._compare()

    def require_agreement(self) -> None:
        """Raise StoreError if the clocks differ by more than a hold-off may last."""
        if self._spread > LONGEST_HOLD_OFF:
            raise StoreError("the cluster: the clocks of its servers are too far apart")

    def _compare(self) -> None:
        offsets = [*self._offsets.values()]
        self.offset = min(offsets, default=self.offset)
        self._spread = max(offsets, default=self.offset) - self.offset
