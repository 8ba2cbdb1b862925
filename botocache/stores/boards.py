"""What all boards have in common, and the board of one process. See Board.

A board is read by processes that did not write it, and others can write to a store. So
each board bounds the number and the size of its records before it reads them.
"""

import math
import re
import threading
from collections.abc import Collection, Mapping
from typing import cast

from botocache._errors import StoreError
from botocache._forks import renew_after_fork
from botocache.stores.protocol import Board, Clock

LARGEST_RECORD = 1024**2
"""Bytes."""

MOST_RECORDS = 2000
"""More are not read, and a board that is full takes no new names."""

MOST_BYTES = 64 * 1024**2
"""Bytes of all records that one `posted` returns."""

MOST_PARTS = 100
"""Records in the place of which `merge` puts one."""

LONGEST_LIFE = 400 * 86400.0
"""Seconds. A record that claims to live longer was not written by us."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


def board_of(store: object) -> Board | None:
    """Return the store as a board; None if processes cannot leave records on it."""
    # Not isinstance: it looks the methods up on the object, and a store of the user's
    # may have a `__getattr__`.
    return cast("Board", store) if issubclass(type(store), Board) else None


def is_name(name: str) -> bool:
    """Return whether a record can have this name."""
    return _NAME.fullmatch(name) is not None


def check_record(name: str, record: bytes) -> None:
    """Raise StoreError if a board does not take a record."""
    if not is_name(name):
        raise StoreError("a record has a name that no record can have")
    if len(record) > LARGEST_RECORD:
        raise StoreError(f"a record has {len(record)} bytes, more than a board takes")


def check_merge(parts: Mapping[str, bytes], name: str, record: bytes) -> None:
    """Raise StoreError if a board does not merge these."""
    check_record(name, record)
    if len(parts) > MOST_PARTS:
        raise StoreError(f"{len(parts)} records are too many for one merge")


def full_board() -> StoreError:
    """Return the error to raise for a new record on a board that is full."""
    return StoreError(f"the board has {MOST_RECORDS} records and takes no more")


def lives(expires_at: float, now: float) -> bool:
    """Return whether a record has not expired. False for NaN and absurd times."""
    return 0.0 < expires_at - now <= LONGEST_LIFE


def end_of_life(now: float, ttl: float) -> float:
    """Return when a record expires."""
    return now + (min(ttl, LONGEST_LIFE) if ttl > 0 else math.ulp(now))


class MemoryBoard:
    """The records of one process. clock: in seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, tuple[bytes, float]] = {}
        self._renew_lock()
        renew_after_fork(self, MemoryBoard._renew_lock)

    def __repr__(self) -> str:
        return f"<MemoryBoard {len(self._records)} records>"

    def post(self, name: str, record: bytes, ttl: float) -> None:
        """See Board.post."""
        check_record(name, record)
        with self._lock:
            self._put(name, record, ttl)

    def names(self) -> Collection[str]:
        """See Board.names."""
        with self._lock:
            self._drop_expired()
            return [*self._records]

    def posted(self, names: Collection[str] | None = None) -> dict[str, bytes]:
        """See Board.posted."""
        with self._lock:
            self._drop_expired()
            return {
                name: record
                for name, (record, _) in self._records.items()
                if names is None or name in names
            }

    def merge(
        self, parts: Mapping[str, bytes], name: str, record: bytes, ttl: float
    ) -> bool:
        """See Board.merge."""
        check_merge(parts, name, record)
        with self._lock:
            self._drop_expired()
            there = {each: found for each, (found, _) in self._records.items()}
            if any(there.get(each) != part for each, part in parts.items()):
                return False
            if name in there and name not in parts:
                return False
            for each in parts:
                del self._records[each]
            self._put(name, record, ttl)
            return True

    def _put(self, name: str, record: bytes, ttl: float) -> None:
        self._drop_expired()
        if name not in self._records and len(self._records) >= MOST_RECORDS:
            raise full_board()
        self._records[name] = record, end_of_life(self._clock(), ttl)

    def _drop_expired(self) -> None:
        now = self._clock()
        for name in [n for n, (_, end) in self._records.items() if not lives(end, now)]:
            del self._records[name]

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # a signal handler may make calls in here
