"""Entries in diskcache: one SQLite database that all processes of a machine share.

It owns what must not be taken from diskcache's defaults. Nothing is ever unpickled: a
tampered row would otherwise execute (CVE-2025-69872). Every row carries a checksum
over its key and its bytes, because SQLite has none. Values never go to files of their
own, which a killed process would leave behind. Nothing waits long for a lock.

An entry that is lost, old or unknown here is harmless; whether one may be served is
said by its snapshot alone (_coherence.py).
"""

import sqlite3
import threading
import zlib
from pathlib import Path
from typing import Any, NoReturn

import diskcache

from botocache._errors import StoreError

LOCK_PATIENCE = 0.05
"""Seconds that one statement waits for another process's transaction."""

LARGEST_ENTRY = 4 * 1024**2
"""Bytes. A page of DynamoDB is at most 1 MB; what is larger is not kept."""

_CHECKSUM_SIZE = 4


class _BytesOnly(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Stores bytes as bytes in SQLite, and refuses everything else, both ways."""

    def put(self, key: Any) -> tuple[Any, bool]:
        return sqlite3.Binary(key), True

    def get(self, key: Any, raw: bool) -> Any:  # noqa: FBT001 - diskcache's signature
        if not raw:
            self._refuse()
        return bytes(key)

    def store(
        self,
        value: Any,
        read: bool,  # noqa: FBT001 - diskcache's signature
        key: Any = diskcache.UNKNOWN,  # noqa: ARG002 - diskcache's signature
    ) -> tuple[int, int, None, Any]:
        if read or not isinstance(value, bytes):
            self._refuse()
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> Any:  # noqa: FBT001 - diskcache's signature
        if mode != diskcache.core.MODE_RAW or filename or read:
            self._refuse()
        if not isinstance(value, bytes):
            self._refuse()
        return value

    def remove(self, file_path: Any) -> None:
        """Remove nothing: there are no files, and a row that names one is a lie."""

    def _refuse(self) -> NoReturn:
        raise DamagedEntryError("a row holds something else than bytes")


class DamagedEntryError(StoreError):
    """One row is not what was put there; the others may well be."""


class EntryFile:
    """Entries under one directory. Raises StoreError; `is_broken` says what to do.

    size_limit: bytes of the database; beyond it the entries stored first go first.
    """

    def __init__(self, directory: Path, size_limit: int) -> None:
        with _store_errors("open"):
            self._cache = diskcache.Cache(
                str(directory),
                timeout=LOCK_PATIENCE,
                disk=_BytesOnly,
                size_limit=size_limit,
                eviction_policy="least-recently-stored",  # the one without a write
                statistics=0,
                tag_index=0,
                sqlite_synchronous=0,  # an entry is worth nothing after a power cut
                sqlite_mmap_size=0,  # a file that shrinks would kill the process
            )
            self._putting = threading.Lock()
            self._path = directory / diskcache.core.DBNAME
            self._inode = self._path.stat().st_ino

    def is_in_place(self) -> bool:
        """Tell whether other processes that open the entries find these."""
        try:
            return bool(self._path.stat().st_ino == self._inode)
        except OSError:
            return False

    def get(self, key: bytes) -> bytes | None:
        """Return the entry under `key`, or None."""
        with _store_errors("get"):
            try:
                row = self._cache.get(key)
            except DamagedEntryError:
                self._cache.delete(key)
                raise
            if row is None:
                return None
            entry: bytes = row[_CHECKSUM_SIZE:]
            if row[:_CHECKSUM_SIZE] != _checksum(key, entry):
                self._cache.delete(key)
                raise DamagedEntryError("a row does not match its checksum")
            return entry

    def put(self, key: bytes, entry: bytes, ttl: float) -> None:
        """Put an entry, if it is not too large."""
        if len(entry) > LARGEST_ENTRY:
            return
        # SQLite's own waiting is not fair: among many threads some would time out.
        if not self._putting.acquire(timeout=LOCK_PATIENCE):
            return
        try:
            with _store_errors("put"):
                self._cache.set(key, _checksum(key, entry) + entry, expire=ttl)
        finally:
            self._putting.release()

    def clear(self) -> None:
        """Drop all entries."""
        with _store_errors("clear"):
            self._cache.clear()

    def close(self) -> None:
        """Close the calling thread's connection; the garbage collector the others."""
        with _store_errors("close"):
            self._cache.close()


class _store_errors:  # noqa: N801 - used like a function
    """Turns whatever diskcache raises into StoreError."""

    def __init__(self, verb: str) -> None:
        self._verb = verb

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _at: object) -> None:
        if isinstance(error, StoreError) or not isinstance(error, Exception):
            return
        raise EntryFileError(f"cannot {self._verb} entries: {error!r}") from error


class EntryFileError(StoreError):
    """diskcache or SQLite could not do it."""

    @property
    def is_busy(self) -> bool:
        """Whether somebody else held a lock: the file itself is in order."""
        cause = self.__cause__
        return isinstance(cause, diskcache.Timeout) or "locked" in str(cause)


def _checksum(key: bytes, entry: bytes) -> bytes:
    return zlib.crc32(entry, zlib.crc32(key)).to_bytes(_CHECKSUM_SIZE, "little")
