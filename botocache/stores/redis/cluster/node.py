"""One server of a cluster: its connections, and how late it is there."""

import time
from collections.abc import Callable
from typing import Any

from botocache.stores.redis.cluster.topology import Address
from botocache.stores.redis.connections import Attempt, Connection, Link
from botocache.stores.redis.scripts import US

TIME_LASTS = 10.0
"""Seconds after which a server's clock is asked for again."""


class Node(Link):
    """A link whose connections are lent, so that several servers work at a time."""

    def __init__(
        self,
        address: Address,
        make: Callable[[Address], Connection],
        greet: Callable[[Any, Connection], object],
        patience: float,
    ) -> None:
        super().__init__(lambda: make(address), greet, patience)
        self.address = address
        self.ahead = 0.0
        self._told_at: float | None = None
        self._is_retired = False

    @property
    def has_told(self) -> bool:
        """Whether it has ever said how late it is."""
        return self._told_at is not None

    @property
    def is_due(self) -> bool:
        """Whether it is to say so now."""
        told_at = self._told_at
        return told_at is None or time.monotonic() - told_at >= TIME_LASTS

    def tell_time(self, seconds: bytes, microseconds: bytes) -> None:
        """Hear from the server how late it is: later than that, when it is heard."""
        here = time.monotonic()
        self.ahead = int(seconds) + int(microseconds) / US - here
        self._told_at = here

    def begin(self) -> Connection | Attempt:
        """Return a connection that is idle, or one that is being made."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._begin_to_connect()

    def give(self, connection: Connection) -> None:
        """Take a connection back."""
        self._idle.append(connection)
        if self._is_retired:
            self.close()

    def lose(self) -> None:
        """Hear that one of its connections is lost: so are all that were idle."""
        self.drop()

    def retire(self) -> None:
        """Be used no more."""
        self._is_retired = True
        self.close()
