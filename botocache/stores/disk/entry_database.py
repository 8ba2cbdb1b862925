"""Entries in diskcache: one SQLite database that all processes of a machine share.

`EntryDatabase` replaces those defaults of diskcache that are not safe here:

- It never unpickles. A tampered row would otherwise execute code (CVE-2025-69872).
- Each row carries a checksum of its key and bytes, because SQLite has none.
- Values never go to files of their own, which a killed process would leave behind.
- No call waits longer than `LOCK_PATIENCE` for a lock.
- A truncated database file does not kill the processes that have it mapped.

A lost or old entry is harmless: its snapshot alone decides whether it may be served
(`_coherence.py`).
"""

import os
import sqlite3
import stat
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import diskcache

from botocache._errors import EntryError, StoreError

LOCK_PATIENCE = 0.05
"""Seconds that one statement waits for another process's transaction."""

LARGEST_ENTRY = 4 * 1024**2
"""Bytes. A page of DynamoDB is at most 1 MB; a larger entry is not filled."""

_AT_ONCE = 256 * 1024
"""Bytes of entries in one transaction. Other writers wait until it ends."""

_CHECKSUM_SIZE = 4

_INDEX_SIZE = 32768
"""Bytes. The index of SQLite's log (`cache.db-shm`) is a multiple of this size."""


class _BytesOnly(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Writes and reads values as plain bytes; raises DamagedEntryError for others."""

    def put(self, key: Any) -> tuple[Any, bool]:
        return sqlite3.Binary(key), True

    def get(self, key: Any, raw: bool) -> Any:  # noqa: FBT001 - diskcache passes it by position
        # A key that is not raw is a pickle, and reading it would execute it.
        if not raw:
            self._refuse()
        return bytes(key)

    def store(
        self,
        value: Any,
        read: bool,  # noqa: FBT001 - diskcache passes it by position
        key: Any = diskcache.UNKNOWN,  # noqa: ARG002 - diskcache passes it by name
    ) -> tuple[int, int, None, Any]:
        if read or not isinstance(value, bytes):
            self._refuse()
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> Any:  # noqa: FBT001 - diskcache passes it by position
        if mode != diskcache.core.MODE_RAW or filename or read:
            self._refuse()
        if not isinstance(value, bytes):
            self._refuse()
        return value

    def remove(self, file_path: Any) -> None:
        """Remove nothing. No row has a file; one that names a file was altered."""

    def _refuse(self) -> NoReturn:
        raise DamagedEntryError("a row holds something else than bytes")


class _Connection(sqlite3.Connection):
    """Closes itself when it is freed.

    diskcache opens a connection for each thread and frees it when the thread ends.
    Since Python 3.13, freeing an open connection gives a ResourceWarning.
    """

    _opened_by: int | None = None
    _left_to_parent: ClassVar[list[sqlite3.Connection]] = []

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._opened_by = os.getpid()

    # A default value, because the interpreter clears globals when it exits.
    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        if self._opened_by is None:
            return  # SQLite could not open the file
        if self._opened_by == getpid():
            self.close()
        else:
            # A child process must not use, nor even close, a connection that its parent
            # opened (sqlite.org/howtocorrupt.html, 2.6).
            self._left_to_parent.append(self)


class _Cache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """Closes its connections when opening fails and when a thread ends."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        try:
            super().__init__(*arguments, **settings)
        except BaseException:
            self.close()
            raise

    @property
    def _con(self) -> sqlite3.Connection:
        """Return the calling thread's connection.

        Like diskcache's property, but the connection is a `_Connection`.
        """
        con: sqlite3.Connection | None = getattr(self._local, "con", None)
        if con is None:
            con = self._local.con = sqlite3.connect(
                Path(self._directory, diskcache.core.DBNAME),
                timeout=self._timeout,
                isolation_level=None,
                check_same_thread=False,  # any thread may run the garbage collector
                factory=_Connection,
            )
            try:
                settings = con.execute("SELECT key, value FROM Settings").fetchall()
            except sqlite3.OperationalError:  # a new file has no settings yet
                return con
            for key, value in settings:
                if key.startswith("sqlite_"):
                    self.reset(key, value, update=False)
        return con


class DamagedEntryError(EntryError):
    """One row differs from what was written; the other rows may be whole."""


class EntryDatabase:
    """The entries under one directory, for all threads and processes that open it.

    Every method raises StoreError. An EntryDatabaseError says whether the database
    can be used again (`is_busy`, `is_unopened`).

    directory: is made if it is missing.
    size_limit: of the database, bytes. Beyond it the oldest entries are removed first.
    """

    def __init__(self, directory: Path, size_limit: int) -> None:
        with _store_errors("open"):
            if os.path.expandvars(directory) != str(directory):
                # diskcache expands variables, so it would use another directory.
                raise EntryDatabaseError(
                    f"{directory} contains a variable of the environment"
                )
            self._cache = _Cache(
                str(directory),
                timeout=LOCK_PATIENCE,
                disk=_BytesOnly,
                size_limit=size_limit,
                eviction_policy="least-recently-stored",  # a get() writes nothing
                statistics=0,
                tag_index=0,
                sqlite_synchronous=0,  # after a power loss all entries are unreachable
                sqlite_mmap_size=0,  # truncating the file would raise SIGBUS
            )
            self._putting = threading.Lock()
            self._path = directory / diskcache.core.DBNAME
            self._inode = self._path.stat().st_ino
            self._index = f"{self._path}-shm"
            self._index_size = _INDEX_SIZE

    def is_in_place(self) -> bool:
        """Return True if the path still leads to this database."""
        try:
            return bool(self._path.stat().st_ino == self._inode)
        except OSError:
            return False

    def get(self, key: bytes) -> bytes | None:
        """Return the entry under `key`, or None if there is none."""
        with _store_errors("get"):
            self._mend_index()
            try:
                row = self._cache.get(key)
            except DamagedEntryError:
                # Without this, each load of the key would fail until the TTL ends.
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
        """Write an entry unless it is larger than `LARGEST_ENTRY`. ttl: in seconds."""
        self.put_many([(key, entry, ttl)])

    def put_many(self, entries: Sequence[tuple[bytes, bytes, float]]) -> None:
        """Write entries in as few transactions as `_AT_ONCE` allows.

        entries: each its key, its bytes, and its TTL in seconds.
        """
        for piece in _pieces(entries):
            # SQLite's own lock is not fair: some of many threads would time out.
            if not self._putting.acquire(timeout=LOCK_PATIENCE):
                return
            try:
                with _store_errors("put"):
                    self._mend_index()
                    if len(piece) == 1:  # diskcache's set() begins one itself
                        self._put(*piece[0])
                        continue
                    with self._cache.transact():
                        for entry in piece:
                            self._put(*entry)
            finally:
                self._putting.release()

    def _put(self, key: bytes, entry: bytes, ttl: float) -> None:
        if len(entry) <= LARGEST_ENTRY:
            self._cache.set(key, _checksum(key, entry) + entry, expire=ttl)

    def clear(self) -> None:
        """Remove all entries."""
        with _store_errors("clear"):
            self._mend_index()
            self._cache.clear()

    def close(self) -> None:
        """Close the calling thread's connection. Others close when freed."""
        with _store_errors("close"):
            self._mend_index()
            self._cache.close()

    def _mend_index(self) -> None:
        """Restore the size of the `-shm` file if it was truncated (about 1 µs).

        SQLite maps this index of its log. Reading a truncated part would raise SIGBUS;
        SQLite rebuilds an index that contains zeros.
        """
        # By path: closing a descriptor of the file would drop SQLite's locks on it.
        try:
            size = os.stat(self._index).st_size  # noqa: PTH116 - Path.stat takes twice as long
            if size < self._index_size:
                os.truncate(self._index, self._index_size)
            else:
                self._index_size = size
        except (FileNotFoundError, NotADirectoryError):
            pass  # not in use, or unlinked: a mapping outlives its name


def _pieces(
    entries: Sequence[tuple[bytes, bytes, float]],
) -> Iterator[Sequence[tuple[bytes, bytes, float]]]:
    """Yield the entries of one transaction after the other."""
    begin = size = 0
    for at, (_, entry, _) in enumerate(entries):
        if at > begin and size + len(entry) > _AT_ONCE:
            yield entries[begin:at]
            begin, size = at, 0
        size += len(entry)
    if entries:
        yield entries[begin:]


class _store_errors:  # noqa: N801 - a context manager, used like a function
    """Turns every exception of diskcache into an EntryDatabaseError."""

    def __init__(self, verb: str) -> None:
        self._verb = verb

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _at: object) -> None:
        if isinstance(error, StoreError) or not isinstance(error, Exception):
            return
        raise EntryDatabaseError(f"cannot {self._verb} entries: {error!r}") from error


class EntryDatabaseError(EntryError):
    """diskcache or SQLite failed; `__cause__` is its exception."""

    @property
    def is_busy(self) -> bool:
        """Whether another writer held a lock; the database is whole then."""
        cause = self.__cause__
        return isinstance(cause, diskcache.Timeout) or "locked" in str(cause)

    @property
    def is_unopened(self) -> bool:
        """Whether SQLite could not open a file, e.g. because descriptors ran out."""
        return "unable to open" in str(self.__cause__)


def can_be_opened(directory: Path) -> bool:
    """Return True if the files are regular, and this user may read and write them.

    If SQLite cannot open them then, they need not be replaced. Needs no descriptor.
    """
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return False
    for suffix in ("", "-wal", "-shm"):
        path = directory / f"{diskcache.core.DBNAME}{suffix}"
        try:
            is_file = stat.S_ISREG(path.stat().st_mode)
        except FileNotFoundError:
            continue  # SQLite makes it
        if not (is_file and os.access(path, os.R_OK | os.W_OK, effective_ids=True)):
            return False
    return True


def _checksum(key: bytes, entry: bytes) -> bytes:
    return zlib.crc32(entry, zlib.crc32(key)).to_bytes(_CHECKSUM_SIZE, "little")
