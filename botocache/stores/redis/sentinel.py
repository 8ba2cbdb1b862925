"""Whether the primary that Sentinels named is still the one.

A failover leaves the old primary running, and for ten seconds or more it takes reads
and writes from whoever is still connected to it, as if nothing had happened. So that
Sentinels name it is believed for a moment only: behind the calls they are asked again
and again, and a call that comes after a pause, or when none of them answers, waits for
what they say.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from redis.exceptions import RedisError
from redis.sentinel import SentinelManagedConnection

from botocache._forks import renew_after_fork

LASTS = 1.0
"""Seconds from a question to Sentinels, for which the answer is believed."""

_Address: TypeAlias = tuple[str, int]


class Lease:
    """Ends when the primary is not, or may not be, the one that was met last.

    One that was met without Sentinels is the primary for ever. lost: is called when
    connections that were made before must not be used any more.
    """

    _renewing: threading.Event | None

    def __init__(self, lost: Callable[[], object]) -> None:
        self._lost = lost
        self._discover: Callable[[], _Address] | None = None
        self._address: _Address | None = None
        self._until = self._due = 0.0
        self._reset()
        renew_after_fork(self, Lease._reset)

    def __repr__(self) -> str:
        return f"<Lease of {self._address}>"

    def lasts(self, deadline: float) -> bool:
        """Tell whether the primary is known to be the same; wait until then at most."""
        if self._discover is None:
            return True
        now = time.monotonic()
        if now < self._due:
            return True
        renewed = self._renew_behind()
        if now < self._until:
            return True
        renewed.wait(max(0.0, deadline - now))
        return time.monotonic() < self._until

    def met(self, connection: Any, asked_at: float) -> None:
        """Note what a connection leads to. asked_at: before it was made."""
        if not isinstance(connection, SentinelManagedConnection):
            return
        pool = connection.connection_pool
        manager, service = pool.sentinel_manager, pool.service_name
        address = connection.host, connection.port
        if self._address not in (None, address):
            self._lost()
        self._discover, self._address = (
            lambda: manager.discover_master(service),
            address,
        )
        self._extend(asked_at)

    def _extend(self, asked_at: float) -> None:
        self._until, self._due = asked_at + LASTS, asked_at + LASTS / 2

    def _renew_behind(self) -> threading.Event:
        """Ask in a thread; one at a time. Return what tells that it has ended."""
        with self._lock:
            if self._renewing is not None:
                return self._renewing
            renewed = self._renewing = threading.Event()
        try:
            threading.Thread(target=self._renew, args=(renewed,), daemon=True).start()
        except RuntimeError:  # no thread can be started now
            self._end(renewed)
        return renewed

    def _renew(self, renewed: threading.Event) -> None:
        discover, asked_at = self._discover, time.monotonic()
        try:
            if discover is None or discover() == self._address:
                self._extend(asked_at)
            else:  # until one is met that it leads to
                self._until = self._due = 0.0
                self._lost()
        except (RedisError, OSError):  # then it ends
            pass
        finally:
            self._end(renewed)

    def _end(self, renewed: threading.Event) -> None:
        self._renewing = None
        renewed.set()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._renewing = None
