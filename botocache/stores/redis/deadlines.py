"""Until when the current call may wait for the server.

A verb may take several round trips, and a call several verbs. All that a call asks for
before its request is sent has one deadline, and all that it asks for afterwards.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import cast

from botocache._coherence import Eviction, EvictionRequest, Loaded
from botocache.stores.protocol import (
    BoundedCallVerbs,
    Fill,
    Lease,
    Leasing,
    Settle,
    SettleEviction,
)

CONNECTING = 1.0
"""Seconds that an eviction waits for a connection if there is none, unless the last one
waited in vain."""

CONNECT_TIMEOUT = 2.0
"""Seconds for each step of connecting to a server, behind the calls."""

SENTINEL_TIMEOUT = 0.25
"""Seconds for a Sentinel, after which the next one is asked."""


class _Call(threading.local):
    """The call of the current thread, or what it does apart from calls.

    deadline: a moment of `time.monotonic`.
    is_apart: no call waits for it.
    slack: seconds that its calls may take longer.
    """

    deadline = math.inf
    is_apart = False
    slack = 0.0


_call = _Call()


def call_deadline(timeout: float) -> float:
    """Return the moment at which the current thread stops waiting.

    timeout: seconds for a request that belongs to no call.
    """
    deadline = _call.deadline
    return time.monotonic() + timeout if deadline == math.inf else deadline


def extended_deadline(timeout: float) -> float:
    """Start the current thread's time anew, after an eviction waited to connect."""
    deadline = time.monotonic() + timeout
    if _call.deadline != math.inf:
        _call.deadline = deadline
    return deadline


@contextlib.contextmanager
def with_deadline(seconds: float) -> Iterator[None]:
    """Let the current thread wait for so long: it does what belongs to no call."""
    before = _call.deadline, _call.is_apart
    _call.deadline, _call.is_apart = time.monotonic() + seconds, True
    try:
        yield
    finally:
        _call.deadline, _call.is_apart = before


def allow_slack(seconds: float) -> None:
    """Let the calls of the current thread take so much longer from now on.

    For a thread beside an event loop: it waits for the interpreter whenever the server
    has answered, and that is no fault of the server.
    """
    _call.slack = seconds


def is_apart() -> bool:
    """Return whether no call waits for what the current thread does."""
    return _call.is_apart


class BoundedVerbs:
    """The verbs of a store for one half of a call, which share one deadline.

    timeout: seconds from the first verb; and the slack of the thread.
    """

    def __init__(self, store: BoundedCallVerbs, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self._deadline = math.inf

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        self._begin()
        try:
            return self._store.load(key, tags)
        finally:
            self._end()

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        self._begin()
        try:
            return self._store.load_many(lookups)
        finally:
            self._end()

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        self._begin()
        try:
            self._store.fill(key, entry, ttl, tags)
        finally:
            self._end()

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        self._begin()
        try:
            self._store.fill_many(fills)
        finally:
            self._end()

    def fill_later(self, fills: Sequence[Fill], settle: Settle) -> None:
        """See BoundedCallVerbs.fill_later."""
        self._begin()
        try:
            self._store.fill_later(fills, settle)
        finally:
            self._end()

    def evict_later(self, request: EvictionRequest, settle: SettleEviction) -> None:
        """See BoundedCallVerbs.evict_later."""
        self._begin()
        try:
            self._store.evict_later(request, settle)
        finally:
            self._end()

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        self._begin()
        try:
            return self._store.evict(request)
        finally:
            self._end()

    def take_lease(self, key: bytes, seconds: float) -> Lease | None:
        """See Leasing.take_lease."""
        self._begin()
        try:
            return cast("Leasing", self._store).take_lease(key, seconds)
        finally:
            self._end()

    def _begin(self) -> None:
        if self._deadline == math.inf:
            self._deadline = time.monotonic() + self._timeout + _call.slack
        _call.deadline = self._deadline

    def _end(self) -> None:
        self._deadline = _call.deadline  # an eviction may have extended it
        _call.deadline = math.inf
