"""Entries in diskcache: one SQLite database that all processes of a machine share.

`EntryDatabase` replaces those defaults of diskcache that are not safe here:

- It never unpickles. A tampered row would otherwise execute code (CVE-2025-69872).
- It trusts no value to be as it was filled: SQLite has no checksums, entries have.
- Values never go to files of their own, which a killed process would leave behind.
- It has a few connections for all threads, not one for each (`connections.py`).
- No call waits longer than `LOCK_PATIENCE`, for a connection and locks together.
- A truncated database file does not kill the processes that have it mapped.

A lost or old entry is harmless: its snapshot alone decides whether it may be served
(`_coherence.py`).
"""

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import diskcache

from botocache._errors import EntryError, StoreError, pass_on
from botocache.stores.disk.connections import (
    CACHED_PAGES,
    Connection,
    ConnectionPool,
    DatabaseReplacedError,
    DescriptorsLostError,
    is_owned,
    is_unopened,
)

LOCK_PATIENCE = 0.05
"""Seconds that one verb waits for other threads and for another process's lock."""

LARGEST_ENTRY = 4 * 1024**2
"""Bytes. A page of DynamoDB is at most 1 MB; a larger entry is not filled."""

_AT_ONCE = 256 * 1024
"""Bytes of entries in one transaction. Other writers wait until it ends."""


class _InterruptedFetchError(Exception):
    """A time limit that is an OSError; diskcache would take it for a missing file."""


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
        try:
            if mode != diskcache.core.MODE_RAW or filename or read:
                self._refuse()
            if not isinstance(value, bytes):
                self._refuse()
            return value  # noqa: TRY300 - a time limit may come up on this line, too
        except OSError as error:
            raise _InterruptedFetchError from error

    def remove(self, file_path: Any) -> None:
        """Remove nothing. No row has a file; one that names a file was altered."""

    def _refuse(self) -> NoReturn:
        raise DamagedEntryError("a row holds something else than bytes")


class _Cache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """Uses the connection that the calling thread has taken from the pool.

    taken: its `connection` is the one that the calling thread has taken.
    on_busy: called during opening when another process has kept the database locked
        for `LOCK_PATIENCE`. diskcache goes on trying for a minute.
    """

    def __init__(
        self,
        directory: Path,
        connection: Connection,
        on_busy: Callable[[], object],
        **settings: Any,
    ) -> None:
        self.taken = threading.local()
        self.taken.connection = connection
        self._patient_until = time.monotonic() + LOCK_PATIENCE
        self._on_busy: Callable[[], object] | None = on_busy
        super().__init__(str(directory), **settings)
        self._on_busy = None
        del self.taken.connection

    @property
    def _con(self) -> Connection:
        taken: Connection = self.taken.connection
        return taken

    @property
    def _sql(self) -> Callable[..., sqlite3.Cursor]:
        if self._on_busy is not None:
            return self._execute_in_opening
        execute: Callable[..., sqlite3.Cursor] = self.taken.connection.execute
        return execute

    def _execute_in_opening(self, *statement: Any) -> sqlite3.Cursor:
        try:
            return self._con.execute(*statement)
        except sqlite3.OperationalError as error:
            # Not at once: processes that make the database together lock each other
            # out for moments, and SQLite does not wait before each statement.
            is_late = time.monotonic() >= self._patient_until
            if self._on_busy is not None and is_late and "locked" in str(error):
                self._on_busy()
            raise

    def forget_transaction(self) -> None:
        """Forget the calling thread's transaction, if it left one open."""
        if self._txn_id == threading.get_ident():
            self._txn_id: int | None = None

    def close(self) -> None:
        """Close nothing: the pool owns the connections."""


class DamagedEntryError(EntryError):
    """One row holds what was never written; the other rows may be whole."""


class EntryDatabase:
    """The entries under one directory, for all threads and processes that open it.

    Every method raises StoreError. `keeps_database` says whether the database can be
    used after one.

    directory: is made if it is missing.
    size_limit: of the database, bytes. Beyond it the oldest entries are removed first.
    on_busy: called when opening has to wait for another process.
    """

    def __init__(
        self,
        directory: Path,
        size_limit: int,
        on_busy: Callable[[], object] = lambda: None,
    ) -> None:
        with _store_errors("open"):
            if os.path.expandvars(directory) != str(directory):
                # diskcache expands variables, so it would use another directory.
                raise EntryDatabaseError(
                    f"{directory} contains a variable of the environment"
                )
            directory.mkdir(parents=True, exist_ok=True)
            self._path = directory / diskcache.core.DBNAME
            self._putting = threading.RLock()
            self._putters: set[int] = set()
            self._connections = ConnectionPool(self._path)
            with self._connections.first(LOCK_PATIENCE) as connection:
                self._cache = _Cache(
                    directory,
                    connection,
                    on_busy,
                    disk=_BytesOnly,
                    size_limit=size_limit,
                    eviction_policy="least-recently-stored",  # a get() writes nothing
                    statistics=0,
                    tag_index=0,
                    sqlite_synchronous=0,  # as in connections.py
                    sqlite_mmap_size=0,
                    sqlite_cache_size=CACHED_PAGES,
                )
            self._inode = self._path.stat().st_ino

    def is_in_place(self) -> bool:
        """Return True if the path still leads to this database."""
        try:
            return bool(self._path.stat().st_ino == self._inode)
        except OSError as error:
            pass_on(error)  # a time limit may be a TimeoutError
            return False

    def get(self, key: bytes) -> bytes | None:
        """Return the entry under `key`, or None if there is none."""
        with _store_errors("get"), self._taken(LOCK_PATIENCE) as connection:
            connection.check_index()
            return self._get(key)

    def _get(self, key: bytes) -> bytes | None:
        try:
            row = self._cache.get(key)
        except DamagedEntryError:
            # Without this, each load of the key would fail until the TTL ends.
            self._cache.delete(key)
            raise
        entry: bytes | None = row
        return entry

    def put(self, key: bytes, entry: bytes, ttl: float) -> None:
        """Write an entry unless it is larger than `LARGEST_ENTRY`. ttl: in seconds."""
        self.put_many([(key, entry, ttl)])

    def put_many(self, entries: Sequence[tuple[bytes, bytes, float]]) -> None:
        """Write entries in as few transactions as `_AT_ONCE` allows.

        All of them together wait no longer than `LOCK_PATIENCE`.

        entries: each its key, its bytes, and its TTL in seconds.
        """
        me = threading.get_ident()
        if me in self._putters:
            return  # a signal handler, in the middle of a transaction of its thread
        try:
            self._putters.add(me)
            self._put_pieces(_pieces(entries))
        finally:
            self._putters.discard(me)

    def _put_pieces(
        self, pieces: Iterator[Sequence[tuple[bytes, bytes, float]]]
    ) -> None:
        patience, deadline = LOCK_PATIENCE, time.monotonic() + LOCK_PATIENCE
        for piece in pieces:
            try:
                # SQLite's own lock is not fair: some of many threads would time out.
                if not self._putting.acquire(blocking=False):
                    if not self._putting.acquire(timeout=patience):
                        return
                    patience = max(0.0, deadline - time.monotonic())
                with _store_errors("put"):
                    self._put_piece(piece, patience)
            finally:
                # Not by a variable: a signal handler may raise before it is set. An
                # earlier call may have been interrupted right here.
                while is_owned(self._putting):
                    self._putting.release()
            patience = max(0.0, deadline - time.monotonic())

    def _put_piece(
        self, piece: Sequence[tuple[bytes, bytes, float]], patience: float
    ) -> None:
        with self._taken(patience) as connection:
            connection.check_files()
            if len(piece) == 1:  # diskcache's set() begins a transaction itself
                self._put(*piece[0])
                return
            with self._cache.transact():
                for entry in piece:
                    self._put(*entry)

    def _put(self, key: bytes, entry: bytes, ttl: float) -> None:
        if len(entry) <= LARGEST_ENTRY:
            self._cache.set(key, entry, expire=ttl)

    def clear(self) -> None:
        """Remove all entries."""
        with _store_errors("clear"), self._taken(LOCK_PATIENCE) as connection:
            connection.check_files()
            self._cache.clear()

    def close(self) -> None:
        """Close all connections. The next use opens one."""
        self._connections.close()

    def leave_to_parent(self) -> None:
        """Forget all connections without closing them, in a forked child."""
        self._connections.leave_to_parent()

    def _taken(self, patience: float) -> "_TakenConnection":
        """Return a context in which the calling thread has a connection."""
        return _TakenConnection(self._connections, self._cache, patience)


class _TakenConnection:
    """Takes a connection for the statements of the calling thread, and gives it back.

    A signal handler may read in the middle of it: then the thread has another one for a
    while. And it may raise, even between two statements of diskcache's own.
    """

    __slots__ = ("_before", "_cache", "_connection", "_connections", "_patience")

    def __init__(
        self, connections: ConnectionPool, cache: _Cache, patience: float
    ) -> None:
        self._connections = connections
        self._cache = cache
        self._patience = patience

    def __enter__(self) -> Connection:
        self._before = getattr(self._cache.taken, "connection", None)
        try:
            self._connection = connection = self._connections.take(self._patience)
            self._cache.taken.connection = connection
        except BaseException:
            self._cache.taken.connection = self._before
            raise
        return connection

    def __exit__(self, *_: object) -> None:
        # The pool rolls an open transaction back; diskcache must forget it, too.
        cache, before = self._cache, self._before
        # None after all reads: they begin no transaction.
        if cache._txn_id is not None and before is None:  # noqa: SLF001 - it has no method for it
            cache.forget_transaction()
        cache.taken.connection = before
        self._connections.give_back(self._connection)


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
        if isinstance(error, StoreError) or error is None:
            return
        pass_on(error)  # else the database would be taken for damaged
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
        """Whether a file could not be opened, e.g. because descriptors ran out."""
        return is_unopened(self.__cause__)


UNUSABLE = (EntryDatabaseError, DescriptorsLostError, DatabaseReplacedError)
"""Errors after which an EntryDatabase is of no more use. Others affect one verb."""


def keeps_database(error: StoreError, directory: Path) -> bool:
    """Return True if the files can be used after the error.

    Otherwise they are damaged, or SQLite cannot open them again in this process.
    """
    if isinstance(error, EntryDatabaseError):
        return error.is_busy or (error.is_unopened and can_be_opened(directory))
    return not isinstance(error, DescriptorsLostError)


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
