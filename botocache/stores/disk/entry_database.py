"""Entries in one SQLite database that all processes of a machine share.

The table has the columns of diskcache, and nothing else is used of that package. The
statements are our own, and safe with a file that another program has altered:

- Nothing is unpickled. A tampered row would otherwise execute code (CVE-2025-69872).
- Nothing in the file decides how it is used: neither settings, which diskcache would
  apply as pragmas and attributes, nor its schema, which must be `_SCHEMA`. Any
  other database is replaced by a new one.
- A row is read only if it has the type, the size and the end of one of ours.
- Each row carries a checksum of its key and bytes, because SQLite has none.
- Values never go to files of their own, which a killed process would leave behind.
- It has a few connections for all threads, not one for each (`connections.py`).
- No call waits longer than `LOCK_PATIENCE`, for a connection and locks together.

There is no write-ahead log. SQLite maps the log's index, and a program that truncates
that file (a clean-up script, `rsync --inplace`) kills every process that reads it, by
SIGBUS. To look at the size before each use leaves a race, and the first cut of a file
in steady use has lost it each time. Without the log a load takes 4 µs more (18 to 22),
and a fill 15 µs less. A load waits while another process commits. SQLite then sleeps
for a millisecond or more: beside a process that does nothing but fill, the slowest
hundredth of loads takes 3 ms, the others 20 to 30 µs, and none misses.

The journal is in memory: a process that is killed while it writes leaves a database
that may have to be replaced. Of 370 writers of many pages that were killed, two did so.
No load found wrong bytes, and each time the entries were back after `PAUSE`. A journal
in a file would prevent that, and a fill would take 40 µs more (PERSIST) or 70
(TRUNCATE).

A lost or old entry is harmless: its snapshot alone decides whether it may be served
(`_coherence.py`).
"""

import contextlib
import os
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import diskcache

from botocache._errors import EntryError, StoreError, pass_on
from botocache.stores.disk.connections import (
    Connection,
    ConnectionPool,
    DatabaseReplacedError,
    DescriptorsLostError,
    UnsafeDatabaseError,
    is_owned,
    is_unopened,
)
from botocache.stores.disk.private_files import (
    is_private,
    private_directory,
    trouble_of,
)

LOCK_PATIENCE = 0.05
"""Seconds that one verb waits for other threads and for another process's lock."""

LARGEST_ENTRY = 4 * 1024**2
"""Bytes. A page of DynamoDB is at most 1 MB; a larger entry is not filled."""

_LEAST_PATIENCE = 0.02
"""Seconds that a transaction waits where those before it took all of LOCK_PATIENCE.

To write thousands of entries takes longer than that, without any wait. Without patience
one load in another thread would then lose all that are left. That thread may hold its
lock until it has its turn again, 5 ms later."""

_PAUSE = 0.0015
"""Seconds between two transactions: longer than others pause between two attempts to
get the lock. Without it a load has failed beside thousands of entries."""

_AT_ONCE = 256 * 1024
"""Bytes of entries in one transaction. Other writers wait until it ends."""

_FILLED_AT_ONCE = 64
"""Entries in one transaction. More of them save nothing."""

_LOADED_AT_ONCE, _LOADED_STEP = 104, 8
"""Entries that one statement loads at most, and the step between two numbers. A
BatchGetItem asks for 100 at most."""

_CHECKSUM_SIZE = 4
_LARGEST_ROW = LARGEST_ENTRY + _CHECKSUM_SIZE

_FURTHEST = 1e10
"""Seconds from now. No row of ours ends later; infinity and texts are beyond it."""

_DAY = 86400.0

_CULLED = 10
"""Rows that a fill removes of those that ended, and at least of a full database."""

_MOST_CULLED = 2000
"""Rows that a fill removes at most. That takes it about 10 ms."""

_ROW_SIZE = 4096
"""Bytes beyond the limit for which a fill removes one row more."""

_SLACK = 64 * 1024**2
"""Bytes. A database that exceeds its limit by more was altered."""

_CLEARED = 500
"""Rows in one transaction of `clear`."""

_LEFTOVERS = ("-journal", "-wal", "-shm")
"""Files beside the database that SQLite would use. Ours has none."""

_NO_INDEX = "/proc/none"
"""What the link in the place of an index leads to: a path that cannot exist.

So SQLite maps no file even where a program leaves a log beside the database: it opens
the log, then fails to open the index.
"""

_DATABASE: str = diskcache.core.DBNAME

_AUTO_VACUUM = "PRAGMA auto_vacuum = FULL"

_SCHEMA = {
    "Cache": (
        "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER,"
        " store_time REAL, expire_time REAL, access_time REAL, access_count INTEGER,"
        " tag BLOB, size INTEGER, mode INTEGER, filename TEXT, value BLOB)"
    ),
    "Cache_key_raw": "CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",
    "Cache_expire_time": "CREATE INDEX Cache_expire_time ON Cache (expire_time)",
    "Cache_store_time": "CREATE INDEX Cache_store_time ON Cache (store_time)",
}
"""What the database consists of: name, and how it was made.

The columns are those of diskcache. Its triggers, which count, are left out: nothing
reads the counts, and a fill is faster without them.
"""

_SELECT_SCHEMA = "SELECT name, sql, tbl_name FROM sqlite_master LIMIT 9"

# Of a blob SQLite knows the length without reading it. It would read a text.
_SELECT_ENTRY = """
SELECT CASE WHEN typeof(value) = 'blob' AND length(value) <= ? THEN value
            ELSE typeof(value) END
FROM Cache WHERE key = ? AND raw = 1 AND expire_time > ? AND expire_time < ? LIMIT 1
"""

# As many keys as there are marks.
_SELECT_ENTRIES = """
SELECT key, CASE WHEN typeof(value) = 'blob' AND length(value) <= ? THEN value
                 ELSE typeof(value) END
FROM Cache WHERE raw = 1 AND expire_time > ? AND expire_time < ? AND key IN ({})
"""

# One statement for all rows, without BEGIN and COMMIT: SQLite has the lock within one
# call alone. Between two, its thread would wait for the other threads of Python.
_INSERT = """
INSERT OR REPLACE INTO Cache (key, raw, store_time, expire_time, access_time,
    access_count, tag, size, mode, filename, value)
VALUES {}
"""

_ROW = "(?, 1, ?, ?, ?, 0, NULL, 0, 1, NULL, ?)"

_DELETE_ENTRY = "DELETE FROM Cache WHERE key = ? AND raw = 1"

_DELETE_ENDED = """
DELETE FROM Cache WHERE rowid IN (
    SELECT rowid FROM Cache WHERE expire_time < ? ORDER BY expire_time LIMIT ?)
"""

_DELETE_OLDEST = """
DELETE FROM Cache WHERE rowid IN (
    SELECT rowid FROM Cache ORDER BY store_time LIMIT ?)
"""

# Infinity and texts come last in the order, and would stay for ever.
_DELETE_FUTURE = """
DELETE FROM Cache WHERE rowid IN (
    SELECT rowid FROM Cache WHERE store_time > ? ORDER BY store_time DESC LIMIT ?)
"""

_DELETE_SOME = """
DELETE FROM Cache WHERE rowid IN (
    SELECT rowid FROM Cache WHERE rowid <= ? ORDER BY rowid LIMIT ?)
"""


class DamagedEntryError(EntryError):
    """One row differs from what was written; the other rows may be whole."""


class EntryDatabase:
    """The entries under one directory, for all threads and processes that open it.

    Every method raises StoreError. `keeps_database` says whether the database can be
    used after one.

    directory: is made if it is missing. The one above must be private.
    size_limit: of the database, bytes. Beyond it the oldest entries are removed first.
    """

    def __init__(self, directory: Path, size_limit: int) -> None:
        with _store_errors("open"):
            self._path = directory / _DATABASE
            self._most = size_limit + max(size_limit // 4, _SLACK)
            self._putting = threading.RLock()
            self._putters: set[int] = set()
            # Once may be chance, on a busy machine: one load misses, or one fill is
            # dropped. Twice in a row, a process that holds the lock was stopped.
            self._was_busy_for_loads = self._was_busy_for_fills = False
            self._connections = ConnectionPool(self._path)
            self._size_limit = size_limit
            with private_directory(directory.parent, directory.name) as opened:
                self._remove_leftovers()
                with self._connections.first(LOCK_PATIENCE) as connection:
                    self._check_place(connection, opened)
                    self._check_size(connection)
                    _make_or_check_schema(connection)
            self._inode = self._path.stat().st_ino

    def _remove_leftovers(self) -> None:
        journal, log, index = (f"{self._path}{suffix}" for suffix in _LEFTOVERS)
        _remove(journal)
        _remove(log)
        try:
            if os.readlink(index) == _NO_INDEX:  # noqa: PTH115 - index is no Path
                return
            _remove(index)
        except FileNotFoundError:
            pass
        except OSError as error:  # no link
            pass_on(error)
            _remove(index)
        with contextlib.suppress(FileExistsError):  # another process made it
            os.symlink(_NO_INDEX, index)  # noqa: PTH211 - index is no Path

    def _check_place(self, connection: Connection, directory: int) -> None:
        """Check that SQLite opened the file in the directory that was checked."""
        there = os.stat(self._path.name, dir_fd=directory, follow_symlinks=False)
        if connection.database != (there.st_dev, there.st_ino):
            raise UnsafeDatabaseError("the database was replaced while it was opened")

    def _check_size(self, connection: Connection) -> None:
        """Check the descriptor, and that the database is not much too large."""
        connection.check_file()
        if connection.size > self._most:
            raise UnsafeDatabaseError("the database is much larger than its limit")

    def is_in_place(self) -> bool:
        """Return True if the path still leads to this database."""
        try:
            return bool(self._path.stat().st_ino == self._inode)
        except OSError as error:
            pass_on(error)  # a time limit may be a TimeoutError
            return False

    def get(self, key: bytes) -> bytes | None:
        """Return the entry under `key`, or None if there is none."""
        try:
            connection = self._connections.take(LOCK_PATIENCE)
            try:
                connection.check_file()
                now = time.time()
                rows = connection.execute(
                    _SELECT_ENTRY, (_LARGEST_ROW, key, now, now + _FURTHEST)
                ).fetchall()
                entry = _entry_in(connection, key, rows[0][0]) if rows else None
            finally:
                self._connections.give_back(connection)
        except Exception as error:  # noqa: BLE001 - it is passed on there
            self._raise_unless_busy_once(error)
            return None
        self._was_busy_for_loads = False
        return entry

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the entries that are there, by their keys.

        They share SQLite's locks, which take most of the time of one `get`.
        """
        found: dict[bytes, bytes] = {}
        try:
            with self._taken(LOCK_PATIENCE) as connection:
                connection.check_file()
                now = time.time()
                limits = (_LARGEST_ROW, now, now + _FURTHEST)
                for at in range(0, len(keys), _LOADED_AT_ONCE):
                    some = keys[at : at + _LOADED_AT_ONCE]
                    # Few lengths, so that few statements are prepared.
                    marks = -(-len(some) // _LOADED_STEP) * _LOADED_STEP
                    padded = [*some] + [some[-1]] * (marks - len(some))
                    statement = _SELECT_ENTRIES.format(",".join("?" * marks))
                    connection.steps = 0
                    rows = connection.execute(statement, (*limits, *padded)).fetchall()
                    for key, row in rows:
                        found[key] = _entry_in(connection, key, row)
        except Exception as error:  # noqa: BLE001 - it is passed on there
            self._raise_unless_busy_once(error)
            return {}
        self._was_busy_for_loads = False
        return found

    def _raise_unless_busy_once(self, error: Exception) -> None:
        failure = _as_store_error("get", error)
        is_busy = isinstance(failure, EntryDatabaseError) and failure.is_busy
        if not is_busy or self._was_busy_for_loads:
            raise failure
        self._was_busy_for_loads = True

    def put_many(self, entries: Sequence[tuple[bytes, bytes, float]]) -> None:
        """Write entries in as few transactions as `_AT_ONCE` allows.

        Those that are larger than `LARGEST_ENTRY` are left out. All of them together
        wait no longer than `LOCK_PATIENCE`, and then `_LEAST_PATIENCE` each. What comes
        after one that has waited in vain is dropped.

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
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(_PAUSE)  # loads wait for the lock, and SQLite is not fair
            try:
                # SQLite's own lock is not fair: some of many threads would time out.
                if not self._putting.acquire(blocking=False):
                    if not self._putting.acquire(timeout=patience):
                        return
                    patience = max(_LEAST_PATIENCE, deadline - time.monotonic())
                with _store_errors("put"):
                    self._put_piece(piece, patience)
                self._was_busy_for_fills = False
            except EntryDatabaseError as error:
                if not error.is_busy or self._was_busy_for_fills:
                    raise
                self._was_busy_for_fills = True
                return
            finally:
                # Not by a variable: a signal handler may raise before it is set. An
                # earlier call may have been interrupted right here.
                while is_owned(self._putting):
                    self._putting.release()
            patience = max(_LEAST_PATIENCE, deadline - time.monotonic())

    def _put_piece(
        self, piece: Sequence[tuple[bytes, bytes, float]], patience: float
    ) -> None:
        now = time.time()
        values: list[Any] = []
        for key, entry, ttl in piece:
            values += (key, now, now + ttl, now, _checksum(key, entry) + entry)
        statement = _INSERT.format(",".join([_ROW] * len(piece)))
        with self._taken(patience) as connection:
            self._check_size(connection)
            connection.execute(statement, values)
            self._cull(connection, now, len(piece))

    def _cull(self, connection: Connection, now: float, filled: int) -> None:
        """Remove some rows that have ended, and if the database is full, the oldest.

        filled: how many rows have been filled.
        """
        connection.steps = 0
        connection.execute(_DELETE_ENDED, (now, _CULLED * filled))
        excess = connection.size - self._size_limit
        if excess < 0:
            return
        # The more, the larger the excess: old rows may be small, and new ones large.
        rows = min(_CULLED * filled + excess // _ROW_SIZE, _MOST_CULLED)
        connection.steps = 0
        if connection.execute(_DELETE_FUTURE, (now + _DAY, rows)).rowcount <= 0:
            connection.execute(_DELETE_OLDEST, (rows,))

    def clear(self) -> None:
        """Remove all entries that are there when this is called."""
        with _store_errors("clear"):
            last = self._last_row()
            while self._clear_some(last):
                pass

    def _last_row(self) -> int:
        with self._taken(LOCK_PATIENCE) as connection:
            connection.check_file()
            rows = connection.execute(
                "SELECT rowid FROM Cache ORDER BY rowid DESC LIMIT 1"
            ).fetchall()
            return int(rows[0][0]) if rows else 0

    def _clear_some(self, last: int) -> bool:
        """Remove some rows up to `last`. Return False if there were none."""
        with self._taken(LOCK_PATIENCE) as connection:
            connection.check_file()
            removed = connection.execute(_DELETE_SOME, (last, _CLEARED))
            return removed.rowcount > 0

    def usage(self) -> tuple[int, int]:
        """Return how many entries there are, and the bytes of the database."""
        with _store_errors("count"), self._taken(LOCK_PATIENCE) as connection:
            connection.check_file()
            ((count,),) = connection.execute("SELECT count(*) FROM Cache").fetchall()
            return int(count), connection.size

    def close(self) -> None:
        """Close all connections. The next use opens one."""
        self._connections.close()

    def leave_to_parent(self) -> None:
        """Forget all connections without closing them, in a forked child."""
        self._connections.leave_to_parent()

    @contextlib.contextmanager
    def _taken(self, patience: float) -> Iterator[Connection]:
        """Have a connection; a signal handler that comes meanwhile takes another."""
        connection = self._connections.take(patience)
        try:
            yield connection
        finally:
            self._connections.give_back(connection)


def _pieces(
    entries: Sequence[tuple[bytes, bytes, float]],
) -> Iterator[Sequence[tuple[bytes, bytes, float]]]:
    """Yield the entries of one transaction after the other."""
    piece: list[tuple[bytes, bytes, float]] = []
    size = 0
    for each in entries:
        length = len(each[1])
        if length > LARGEST_ENTRY:
            continue
        if piece and (size + length > _AT_ONCE or len(piece) == _FILLED_AT_ONCE):
            yield piece
            piece, size = [], 0
        piece.append(each)
        size += length
    if piece:
        yield piece


def _entry_in(connection: Connection, key: bytes, row: object) -> bytes:
    """Return the entry in a row. Raises UnsafeDatabaseError or DamagedEntryError."""
    if isinstance(row, bytes):
        entry = row[_CHECKSUM_SIZE:]
        if row[:_CHECKSUM_SIZE] == _checksum(key, entry):
            return entry
    elif row in ("blob", "text"):
        # To remove one row of a gigabyte would take SQLite seconds.
        raise UnsafeDatabaseError("a row is a text, or larger than any entry")
    # Without this, each load of the key would fail until the TTL ends.
    connection.execute(_DELETE_ENTRY, (key,))
    raise DamagedEntryError("a row does not match its checksum")


def _as_store_error(verb: str, error: Exception) -> StoreError:
    """Return the StoreError to raise for an exception of SQLite."""
    if isinstance(error, StoreError):
        return error
    pass_on(error)  # else the database would be taken for damaged
    failure = EntryDatabaseError(f"cannot {verb} entries: {error!r}")
    failure.__cause__ = error
    return failure


class _store_errors:  # noqa: N801 - a context manager, used like a function
    """Turns every exception of SQLite into an EntryDatabaseError."""

    def __init__(self, verb: str) -> None:
        self._verb = verb

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _at: object) -> None:
        if isinstance(error, StoreError) or error is None:
            return
        raise _as_store_error(self._verb, pass_on(error))


class EntryDatabaseError(EntryError):
    """SQLite failed; `__cause__` is its exception."""

    @property
    def is_busy(self) -> bool:
        """Whether another writer held a lock; the database is whole then."""
        return "locked" in str(self.__cause__)

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
    """Return True if directory and database are this user's, to read and to write.

    If SQLite cannot open them then, they need not be replaced. Needs no descriptor.
    """
    path = directory / _DATABASE
    try:
        if not is_private(directory.lstat()):
            return False
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            return False
        if any(os.path.exists(f"{path}{suffix}") for suffix in _LEFTOVERS):  # noqa: PTH110 - a Path would be made for it
            return False  # SQLite opens them, too
        is_file = not trouble_of(path.lstat())
    except FileNotFoundError:
        return directory.exists()  # the database is made
    return is_file and os.access(path, os.R_OK | os.W_OK, effective_ids=True)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - path is no Path


def _make_or_check_schema(connection: Connection) -> None:
    """Make the tables in a new database, or check those of an old one.

    Raises UnsafeDatabaseError or sqlite3.Error.
    """
    if not connection.execute(_SELECT_SCHEMA).fetchall():
        # Counts until something is written.
        connection.execute(_AUTO_VACUUM).fetchall()
        # In one transaction: another process finds all of the schema, or makes it.
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute(_SELECT_SCHEMA).fetchall():
            for statement in _SCHEMA.values():
                connection.execute(statement)
        connection.execute("COMMIT")
    found = connection.execute(_SELECT_SCHEMA).fetchall()
    if {name: sql for name, sql, _ in found} != _SCHEMA or len(found) != len(_SCHEMA):
        raise UnsafeDatabaseError("the database has a schema of another program")


def _checksum(key: bytes, entry: bytes) -> bytes:
    return zlib.crc32(entry, zlib.crc32(key)).to_bytes(_CHECKSUM_SIZE, "little")
