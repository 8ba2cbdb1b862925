"""Whether the primary that Sentinels named is still the primary.

A failover leaves the old primary running. For ten seconds or more it takes reads and
writes from clients that are still connected to it, as if nothing had happened. So the
answer of Sentinels counts for a moment only. A thread asks them again and again behind
the calls. A call that comes after a pause, or while no Sentinel answers, waits for it.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

from redis.sentinel import SentinelManagedConnection

from botocache._errors import pass_on
from botocache._forks import renew_after_fork
from botocache.stores.clock import machine_clock
from botocache.stores.redis.types import Address

LASTS = 1.0
"""Seconds from a question to Sentinels, for which the answer counts."""


class _Sentinels(Protocol):
    """redis-py's Sentinel."""

    def discover_master(self, service_name: str) -> Address:
        """Return the address of a service's primary."""


_Discover: TypeAlias = Callable[[], Address]


class PrimaryLease:
    """Lasts as long as the primary is known to be the one that was connected to last.

    lost: called when connections made so far must not be used any longer.
    """

    _renewing: threading.Event | None

    def __init__(self, lost: Callable[[], object]) -> None:
        self._lost = lost
        self._discover: _Discover | None = None
        self._address: Address | None = None
        self._until = self._due = 0.0
        self._reset()
        renew_after_fork(self, PrimaryLease._reset)

    def __repr__(self) -> str:
        return f"<PrimaryLease of {self._address}>"

    def lasts(self, deadline: float) -> bool:
        """Tell whether the primary is known to be the same; wait until the deadline.

        deadline: moment of `time.monotonic`.
        """
        if self._discover is None:  # not connected yet: the handshake comes first
            return True
        now = machine_clock()
        if now < self._due:
            return True
        renewed = self._renew_behind()
        if now < self._until:
            return True
        renewed.wait(max(0.0, deadline - time.monotonic()))
        return machine_clock() < self._until

    def confirm(self, connection: SentinelManagedConnection, asked_at: float) -> None:
        """Note which primary Sentinels named for a new connection.

        asked_at: moment of `machine_clock` before the connection was made.
        """
        pool = connection.connection_pool
        sentinels: _Sentinels = pool.sentinel_manager
        service: str = pool.service_name
        address = connection.host, connection.port
        if self._address not in (None, address):
            self._lost()
        self._discover = lambda: sentinels.discover_master(service)
        self._address = address
        # From before the question: the answer may have been true then only.
        self._extend(asked_at)

    def _extend(self, asked_at: float) -> None:
        self._until, self._due = asked_at + LASTS, asked_at + LASTS / 2

    def _renew_behind(self) -> threading.Event:
        """Ask in a thread, one at a time. Return the event that tells its end."""
        with self._lock:
            if self._renewing is not None:
                return self._renewing
            renewed = self._renewing = threading.Event()
        thread = threading.Thread(target=self._renew, args=(renewed,), daemon=True)
        try:
            thread.start()
        except BaseException as error:
            if thread.ident is None:
                self._end(renewed)
            # No thread can be started now.
            if not isinstance(pass_on(error), RuntimeError):
                raise
        return renewed

    def _renew(self, renewed: threading.Event) -> None:
        discover, asked_at = self._discover, machine_clock()
        try:
            if discover is None or discover() == self._address:
                self._extend(asked_at)
            else:  # until a connection leads to another primary
                self._until = self._due = 0.0
                self._lost()
        except Exception as error:  # noqa: BLE001 - what answers may be no Sentinel
            pass_on(error)  # no answer: the lease runs out
        finally:
            self._end(renewed)

    def _end(self, renewed: threading.Event) -> None:
        self._renewing = None
        renewed.set()

    def _reset(self) -> None:
        self._lock = threading.RLock()  # a signal handler may make calls in here
        self._renewing = None
