"""The connections of a process to its SQLite database.

A `ConnectionPool` has at most `MOST_CONNECTIONS`, whatever the number of threads, and
opens them when they are needed. A thread takes one, and gives it back.

SQLite keeps state for the whole process by device and inode: which locks the process
holds on a file, and the descriptor of the index of the log. So two rules hold:

- A connection whose descriptors the application closed is never used and never closed,
  and its database is never opened again. The numbers may be the application's by now.
- A child never uses or closes a connection of its parent (sqlite.org/howtocorrupt.html,
  2.6). It opens the database itself, while the inherited descriptors are still open.
"""

import _sqlite3
import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from botocache._errors import EntryError, pass_on
from botocache._forks import renew_after_fork
from botocache.stores.disk.descriptors import OpenFile, open_file

MOST_CONNECTIONS = 8
"""Each takes two descriptors. One more is for the index of SQLite's log."""

CACHED_PAGES = 1024
"""Of 4 KiB, in each connection: 32 MiB in all of them."""

_OPEN_NUMBERS = "/proc/self/fd"

_MOST_PROBED = 1024
"""Where the system does not list the open descriptors, those below this are tried."""

_INDEX_SIZE = 32768
"""Bytes. The index of SQLite's log (`cache.db-shm`) is a multiple of this size."""

_SETTINGS = (
    "PRAGMA synchronous = 0",  # after a power loss all entries are unreachable
    "PRAGMA mmap_size = 0",  # truncating the file would raise SIGBUS
    f"PRAGMA cache_size = {CACHED_PAGES}",
)
"""What SQLite forgets with each connection. The rest is in the database."""

_LOST = "the application closed descriptors of SQLite"


class DescriptorsLostError(EntryError):
    """The application closed descriptors of SQLite; their numbers may be its own."""


class DatabaseReplacedError(EntryError):
    """Another process replaced the database that the other connections have open."""


class NoFreeConnectionError(EntryError):
    """Other threads kept all connections in use."""


_left: list["Connection"] = []
"""Connections that must not be closed: lost ones, and those of the parent process."""

_open: dict[int, "weakref.ref[Connection]"] = {}
"""All connections that SQLite has open, those of `_left` included, by their `id`."""


# From `_sqlite3`: tracers replace `sqlite3.connect` and `sqlite3.Connection`, and would
# show the statements of the cache in the application's traces.
class Connection(_sqlite3.Connection):
    """A connection that knows its descriptors, and closes itself when it is freed.

    Since Python 3.13, freeing an open connection gives a ResourceWarning.

    patience: seconds that a statement waits for a lock.
    pool: the mark of the pool that has opened it.
    round: how often the pool had been closed when this connection was opened.
    database: device and inode of the database.
    index: of SQLite's log. A process opens it once for all connections.
    """

    patience: float
    round = 0
    pool: object = None
    database: tuple[int, int] | None = None
    index: OpenFile | None = None
    _index_size = _INDEX_SIZE
    _others: tuple[OpenFile, ...] = ()
    _is_lost = False
    _opened_by: int | None = None

    def __init__(self, path: Path, patience: float) -> None:
        super().__init__(
            path,
            timeout=patience,
            isolation_level=None,
            check_same_thread=False,  # it has one user at a time, in any thread
        )
        self.patience = patience
        self._opened_by = os.getpid()
        _open[id(self)] = weakref.ref(self)

    # Default values, because the interpreter clears globals when it exits.
    def __del__(
        self,
        left: list["Connection"] = _left,
        still_open: dict[int, "weakref.ref[Connection]"] = _open,
        getpid: Callable[[], int] = os.getpid,
    ) -> None:
        if self._opened_by is None:
            return  # closed, or SQLite could not open the file
        if self._opened_by == getpid() and self.is_ours():
            self._opened_by = None
            self.close()
            still_open.pop(id(self), None)
        else:
            # A reference for ever, because freeing the object would close it.
            left.append(self)
            still_open[id(self)] = weakref.ref(self)  # the old one is dead by now

    @property
    def is_open(self) -> bool:
        """Whether this connection neither closes nor was closed."""
        return self._opened_by is not None

    def dispose(self) -> None:
        """Close the connection, or leave it if its descriptors are not its own."""
        # SQLite reads its index to close.
        with contextlib.suppress(DescriptorsLostError, OSError):
            self.check_index()
        with contextlib.suppress(_sqlite3.Error):
            self.__del__()

    def note_files(
        self, path: Path, before: set[int], first: "Connection | None" = None
    ) -> None:
        """Find the descriptors that SQLite opened for this connection.

        path: of the database.
        before: the numbers that were open before this connection was.
        first: another connection, which must be to the same database.

        Raises DatabaseReplacedError.
        """
        self.database, log, shared = (
            _identity(f"{path}{suffix}") for suffix in ("", "-wal", "-shm")
        )
        if first is not None and first.database != self.database:
            raise DatabaseReplacedError("another process replaced the database")
        opened = _files_of(_listed_numbers() - before)
        indexes = [file for file in opened if file[1:] == shared]
        if not indexes and first and first.index and first.index[1:] == shared:
            indexes = [first.index]
        if not indexes:  # the index of another pool, or of the parent process
            indexes = [file for file in _files_of(before) if file[1:] == shared]
        if not indexes:
            raise DatabaseReplacedError("SQLite's files are no longer at their paths")
        self.index = indexes[-1]
        own = [file for file in opened if file[1:] in (self.database, log)]
        self._others = (*own, *indexes[:-1])

    def set_patience(self, patience: float) -> None:
        """Let a statement wait for a lock no longer than `patience` seconds."""
        self.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}").fetchall()
        self.patience = patience

    def check_index(self) -> None:
        """Check the index of SQLite's log, and restore its size (about 1 µs).

        SQLite maps this file. Reading a truncated part would raise SIGBUS; SQLite
        rebuilds an index that contains zeros.

        Enough before a read, which harms no file. Before a write: `check_files`.

        Raises DescriptorsLostError if its descriptor is not SQLite's any more.
        """
        index = self.index
        if index is None:
            return  # not opened yet
        try:
            status = os.fstat(index.number)
        except OSError as error:
            pass_on(error)  # a time limit may be a TimeoutError
            status = None
        # As index.is_ours() does; a second fstat would take another microsecond.
        if (
            status is None
            or status.st_ino != index.inode
            or status.st_dev != index.device
        ):
            self._is_lost = True
            raise DescriptorsLostError(_LOST)
        size = status.st_size
        if size < self._index_size:
            os.truncate(index.number, self._index_size)
        else:
            self._index_size = size

    def check_files(self) -> None:
        """Raise DescriptorsLostError unless all descriptors are SQLite's own.

        Restores the size of the index, too.
        """
        self.check_index()
        if not all(file.is_ours() for file in self._others):
            self._is_lost = True
            raise DescriptorsLostError(_LOST)

    def is_ours(self) -> bool:
        """Return True if all descriptors are still SQLite's own."""
        # Once lost, for ever: an old number may lead to our file again by chance.
        if not self._is_lost:
            files = (self.index, *self._others) if self.index else self._others
            self._is_lost = not all(file.is_ours() for file in files)
        return not self._is_lost


def is_owned(lock: Any) -> bool:
    """Return whether the calling thread holds a lock."""
    owned: bool = lock._is_owned()  # noqa: SLF001 - threading.Condition relies on it
    return owned


class _Opening:
    """Lets the threads of a process open connections one after the other.

    A connection notes the numbers that are open after it and were not before. It would
    note those of another one that is opened at that time, and take itself for lost when
    the other is closed.
    """

    def __init__(self) -> None:
        self._renew()
        renew_after_fork(self, _Opening._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def alone(self, patience: float) -> Iterator[None]:
        """Keep other threads from opening connections meanwhile.

        patience: seconds to wait for them.

        Raises NoFreeConnectionError.
        """
        lock = self._lock
        try:
            if not lock.acquire(timeout=patience):
                raise NoFreeConnectionError("other threads open connections to SQLite")
            yield
        finally:
            # Not by a variable: a signal handler may raise before it is set.
            while is_owned(lock):
                lock.release()


_opening = _Opening()


class ConnectionPool:
    """At most `MOST_CONNECTIONS` connections to one database, for all threads.

    path: of the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # A stack, so that few are opened. None stands for one that is not open. Its
        # methods are atomic, so a signal handler never finds a lock that it waits for.
        self._free: list[Connection | None] = [None] * MOST_CONNECTIONS
        self._waiting: deque[threading.Lock] = deque()
        self._round = 0
        self._first: Connection | None = None
        self._mark = object()  # of its connections; not the pool, which may end first
        _pools.add(self)

    def __repr__(self) -> str:
        idle = sum(connection is not None for connection in list(self._free))
        used = MOST_CONNECTIONS - len(self._free)
        return f"<ConnectionPool {used} in use, {idle} idle>"

    @contextlib.contextmanager
    def first(self, patience: float) -> Iterator[Connection]:
        """Open the first connection, whose user makes the database if necessary.

        patience: seconds that a statement waits for a lock.
        """
        with _opening.alone(patience):
            before = _open_numbers()
            connection = self._connect(patience)
            try:
                yield connection
                connection.note_files(self._path, before)
            except BaseException:
                connection.dispose()
                raise
        self._first = connection
        self._free[-1] = connection

    def take(self, patience: float) -> Connection:
        """Return a connection for one user; open one if necessary.

        patience: seconds to wait for a free connection and for SQLite's locks. Both
            waits together take no longer.

        Raises EntryError, sqlite3.Error or OSError.
        """
        try:
            connection = self._free.pop()
        except IndexError:
            return self._take_slowly(patience)
        if connection is not None and connection.patience == patience:
            return connection
        self._put(connection)
        return self._take_slowly(patience)

    def give_back(self, connection: Connection) -> None:
        """Let another user have the connection."""
        if connection.round != self._round or connection.in_transaction:
            # The pool was closed meanwhile, or a signal handler's exception came.
            connection.dispose()
            self._put(None)
        else:
            self._put(connection)

    def close(self) -> None:
        """Close all connections; those in use when they are given back.

        The pool may be used again.
        """
        self._round += 1
        for connection in self._drain():
            if connection is not None:
                connection.dispose()
            self._put(None)
        if _is_lost(_identity(str(self._path))):
            _pin(self._path)

    def leave_to_parent(self) -> None:
        """Forget all connections, in a forked child. The pool may be used again."""
        self._round += 1
        self._first = None
        for connection in self._drain():
            if connection is not None:
                _left.append(connection)
            self._put(None)

    def _is_all(self, count: int) -> bool:
        """Return True if there is no connection beside `count` and the free ones."""
        return count + len(self._free) >= MOST_CONNECTIONS

    def _drain(self) -> list[Connection | None]:
        drained = []
        with contextlib.suppress(IndexError):
            while True:
                drained.append(self._free.pop())
        return drained

    def _put(self, connection: Connection | None) -> None:
        if len(self._free) >= MOST_CONNECTIONS:  # it was taken for lost
            if connection is not None:
                connection.dispose()
            return
        if connection is None:
            self._free.insert(0, None)
        else:
            self._free.append(connection)
        if self._waiting:
            with contextlib.suppress(IndexError):
                self._waiting.popleft().release()

    def _take_slowly(self, patience: float) -> Connection:
        deadline = time.monotonic() + patience
        unopened = 0
        try:
            while True:
                try:
                    connection = self._free.pop()
                except IndexError:
                    self._wait(deadline)
                    patience = max(0.0, deadline - time.monotonic())
                    continue
                try:
                    if connection is None:
                        return self._open(patience)
                    connection.set_patience(patience)
                except BaseException as error:
                    unopened += 1
                    if connection is not None:
                        connection.dispose()
                    # Without a descriptor, another thread's connection will do.
                    if not is_unopened(error) or self._is_all(unopened):
                        raise
                else:
                    return connection
        finally:
            for _ in range(unopened):
                self._put(None)

    def _wait(self, deadline: float) -> None:
        """Wait until a connection may be free."""
        woken = threading.Lock()
        woken.acquire()
        self._waiting.append(woken)
        # One may have been given back before this thread was in the queue.
        if not self._free and woken.acquire(
            timeout=max(0.0, deadline - time.monotonic())
        ):
            return
        with contextlib.suppress(ValueError):
            self._waiting.remove(woken)
        # gevent: the deadline may be over because SQLite kept all others from running.
        if not self._free:
            self._replace_lost()
        if not self._free:
            raise NoFreeConnectionError("all connections to SQLite are in use")

    def _replace_lost(self) -> None:
        """Make room for a connection that an interruption has lost, if there is one.

        A signal handler may raise after one was taken and before its user has it.
        """
        made = [reference() for reference in list(_open.values())]
        alive = sum(each is not None and each.pool is self._mark for each in made)
        if alive < MOST_CONNECTIONS:
            self._put(None)

    def _open(self, patience: float) -> Connection:
        with _opening.alone(patience):
            before = _open_numbers()
            connection = self._connect(patience)
            try:
                for setting in _SETTINGS:
                    connection.execute(setting).fetchall()
                # Opens the log and its index, which opening the database does not.
                connection.execute("SELECT 1 FROM Settings LIMIT 1").fetchall()
                connection.note_files(self._path, before, self._first)
            except BaseException:
                connection.dispose()
                raise
        return connection

    def _connect(self, patience: float) -> Connection:
        _check_database(self._path)
        connection = Connection(self._path, patience)
        connection.round, connection.pool = self._round, self._mark
        return connection


_pools: "weakref.WeakSet[ConnectionPool]" = weakref.WeakSet()

_pins: list[OpenFile] = []
"""Descriptors of lost databases, so that no new file gets the inode of one."""


def _check_database(path: Path) -> None:
    """Make the file if it is missing, and check it before SQLite opens it.

    Raises DescriptorsLostError if SQLite would use a lost number for it.
    """
    # By SQLite it would be made too late to look at its inode.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    if _is_lost(_identity(str(path))):
        _pin(path)
        raise DescriptorsLostError(_LOST)


def _is_lost(database: tuple[int, int] | None) -> bool:
    """Return True if SQLite has this database open by a number that it lost."""
    connections = [reference() for reference in list(_open.values())]
    return any(
        # The last look: another thread may be closing it.
        connection.database == database
        and not connection.is_ours()
        and connection.is_open
        for connection in connections
        if connection is not None and connection.database is not None
    )


def _pin(path: Path) -> None:
    """Keep the inode of a lost database in use."""
    identity = _identity(str(path))
    if any(pin[1:] == identity and pin.is_ours() for pin in _pins):
        return
    # O_PATH: closing any other descriptor of a file drops SQLite's locks on it.
    with contextlib.suppress(OSError):
        _pins.append(open_file(os.open(path, os.O_PATH | os.O_CLOEXEC)))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path would be made for it
    except OSError as error:
        pass_on(error)
        return None
    return status.st_dev, status.st_ino


def _open_numbers() -> set[int]:
    # The listing shows its own descriptor, too. SQLite may get the number of that next.
    return {file.number for file in _files_of(_listed_numbers())}


def _listed_numbers() -> set[int]:
    try:
        return set(map(int, os.listdir(_OPEN_NUMBERS)))  # noqa: PTH208 - numbers, no paths
    except FileNotFoundError:
        return set(range(_MOST_PROBED))


def _files_of(numbers: set[int]) -> list[OpenFile]:
    files = []
    for number in numbers:
        try:
            files.append(open_file(number))
        except OSError as error:  # noqa: PERF203 - another thread has closed it
            pass_on(error)
    return files


def is_unopened(error: BaseException | None) -> bool:
    """Return True if a file was not opened, e.g. because descriptors ran out."""
    return isinstance(error, OSError) or "unable to open" in str(error)


@atexit.register
def _close_all() -> None:
    """Close what is open, before the interpreter frees it in any order."""
    for pool in list(_pools):
        pool.close()
    if not _left:
        return
    # The interpreter frees the connections in `_left` when it exits, which would close
    # numbers of the application. A reference that is never given up prevents it.
    with contextlib.suppress(ImportError, AttributeError):
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_left))
