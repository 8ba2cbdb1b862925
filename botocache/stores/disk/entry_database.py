"""Entries in diskcache: one SQLite database that all processes of a machine share.

It owns what must not be taken from diskcache's defaults. Nothing is ever unpickled: a
tampered row would otherwise execute (CVE-2025-69872). Every row carries a checksum
over its key and its bytes, because SQLite has none. Values never go to files of their
own, which a killed process would leave behind. Nothing waits long for a lock. Nobody
who cuts a file kills the process that has it mapped.

An entry that is lost, old or unknown here is harmless; whether one may be served is
said by its snapshot alone (_coherence.py).
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
"""Bytes. A page of DynamoDB is at most 1 MB; what is larger is not kept."""

_AT_ONCE = 256 * 1024
"""Bytes of entries in one transaction: others wait for its end, and not for long."""

_CHECKSUM_SIZE = 4

_INDEX_SIZE = 32768
"""Bytes of which the index of SQLite's log has one or more; all processes map it."""


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


class _Connection(sqlite3.Connection):
    """Closes itself when no thread uses it any more.

    diskcache opens a connection for each thread, and drops it when the thread ends.
    Since Python 3.13 an open connection that is dropped gives a ResourceWarning.
    """

    _opened_by: int | None = None
    _left_to_parent: ClassVar[list[sqlite3.Connection]] = []

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._opened_by = os.getpid()

    # A default value, because globals may be gone when the interpreter exits.
    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        if self._opened_by is None:
            return  # SQLite could not open the file
        if self._opened_by == getpid():
            self.close()
        else:  # SQLite forbids a child process to close what its parent opened
            self._left_to_parent.append(self)


class _Cache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """Leaves no connection open, neither when opening fails nor when a thread ends."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        try:
            super().__init__(*arguments, **settings)
        except BaseException:
            self.close()
            raise

    @property
    def _con(self) -> sqlite3.Connection:
        """Return the calling thread's connection: diskcache's `_con`, with our type."""
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
    """One row is not what was put there; the others may well be."""


class EntryDatabase:
    """Entries under one directory.

    Raises StoreError; EntryDatabaseError says what to do.

    size_limit: bytes of the database; beyond it the entries stored first go first.
    """

    def __init__(self, directory: Path, size_limit: int) -> None:
        with _store_errors("open"):
            if os.path.expandvars(directory) != str(directory):
                # diskcache expands them, and would make another directory.
                raise EntryDatabaseError(
                    f"{directory} has a variable of the environment"
                )
            self._cache = _Cache(
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
            self._index = f"{self._path}-shm"
            self._index_size = _INDEX_SIZE

    def is_in_place(self) -> bool:
        """Tell whether other processes that open the entries find these."""
        try:
            return bool(self._path.stat().st_ino == self._inode)
        except OSError:
            return False

    def get(self, key: bytes) -> bytes | None:
        """Return the entry under `key`, or None."""
        with _store_errors("get"):
            self._mend_index()
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
        self.put_many([(key, entry, ttl)])

    def put_many(self, entries: Sequence[tuple[bytes, bytes, float]]) -> None:
        """Put entries, each with its key and TTL, not too many in one transaction."""
        for piece in _pieces(entries):
            # SQLite's own waiting is not fair: among many threads some would time out.
            if not self._putting.acquire(timeout=LOCK_PATIENCE):
                return
            try:
                with _store_errors("put"):
                    self._mend_index()
                    if len(piece) == 1:  # set() begins a transaction itself
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
        """Drop all entries."""
        with _store_errors("clear"):
            self._mend_index()
            self._cache.clear()

    def close(self) -> None:
        """Close the calling thread's connection; others close when they are freed."""
        with _store_errors("close"):
            self._mend_index()
            self._cache.close()

    def _mend_index(self) -> None:
        """Give the index of SQLite's log back what somebody cut off (about 1 µs).

        Touching what is mapped and gone is a SIGBUS. SQLite finds zeros instead, and
        makes the index anew. Only its size is asked: whoever opens the file and closes
        it again gives up the locks that SQLite has on it.
        """
        try:
            size = os.stat(self._index).st_size  # noqa: PTH116 - Path.stat takes twice as long
            if size < self._index_size:
                os.truncate(self._index, self._index_size)
            else:
                self._index_size = size
        except (FileNotFoundError, NotADirectoryError):
            pass  # nobody uses it, or it was removed, and what is mapped lives on


def _pieces(
    entries: Sequence[tuple[bytes, bytes, float]],
) -> Iterator[Sequence[tuple[bytes, bytes, float]]]:
    """Yield entries, divided into those that are put in one transaction."""
    begin = size = 0
    for at, (_, entry, _) in enumerate(entries):
        if at > begin and size + len(entry) > _AT_ONCE:
            yield entries[begin:at]
            begin, size = at, 0
        size += len(entry)
    if entries:
        yield entries[begin:]


class _store_errors:  # noqa: N801 - used like a function
    """Turns whatever diskcache raises into StoreError."""

    def __init__(self, verb: str) -> None:
        self._verb = verb

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _at: object) -> None:
        if isinstance(error, StoreError) or not isinstance(error, Exception):
            return
        raise EntryDatabaseError(f"cannot {self._verb} entries: {error!r}") from error


class EntryDatabaseError(EntryError):
    """diskcache or SQLite could not do it."""

    @property
    def is_busy(self) -> bool:
        """Whether somebody else held a lock: the file itself is in order."""
        cause = self.__cause__
        return isinstance(cause, diskcache.Timeout) or "locked" in str(cause)

    @property
    def is_unopened(self) -> bool:
        """Whether SQLite could not open a file; perhaps for want of descriptors."""
        return "unable to open" in str(self.__cause__)


def can_be_opened(directory: Path) -> bool:
    """Tell whether the files are such that they are not to blame if nobody opens them.

    Needs no file descriptor.
    """
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return False
    for suffix in ("", "-wal", "-shm"):
        path = directory / f"{diskcache.core.DBNAME}{suffix}"
        try:
            is_file = stat.S_ISREG(path.stat().st_mode)
        except FileNotFoundError:
            continue
        if not (is_file and os.access(path, os.R_OK | os.W_OK, effective_ids=True)):
            return False
    return True


def _checksum(key: bytes, entry: bytes) -> bytes:
    return zlib.crc32(entry, zlib.crc32(key)).to_bytes(_CHECKSUM_SIZE, "little")
