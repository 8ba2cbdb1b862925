"""The connections of a process to its SQLite database.

A `ConnectionPool` has at most `MOST_CONNECTIONS`, whatever the number of threads, and
opens them when they are needed. A thread takes one, and gives it back.

A connection is safe to use with a file that another program altered. It maps nothing,
so no cut file kills the process. It runs the statements of `entry_database.py` alone:
`_is_allowed` refuses triggers, views and all else that a schema can hold. And no
statement goes on for long: `_MOST_STEPS`.

SQLite keeps state for the whole process by device and inode: which locks the process
holds on a file. So two rules hold:

- A connection whose descriptors the application closed is never used and never closed,
  and its database is never opened again. The numbers may be the application's by now.
- A child never uses or closes a connection of its parent (sqlite.org/howtocorrupt.html,
  2.6). It opens the database itself, while the inherited descriptors are still open.
"""

import _sqlite3
import atexit
import contextlib
import os
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from botocache._errors import EntryError, pass_on
from botocache._forks import renew_after_fork
from botocache.stores.disk.descriptors import OpenFile, open_file
from botocache.stores.disk.private_files import FILE_MODE, trouble_of

MOST_CONNECTIONS = 8
"""Each takes one descriptor."""

CACHED_PAGES = 1024
"""Of 4 KiB, in each connection: 32 MiB in all of them."""

_OPEN_NUMBERS = "/proc/self/fd"

_MOST_PROBED = 1024
"""Where the system does not list the open descriptors, those below this are tried."""

PAGE_SIZE = 4096

_STEPS = 20_000
"""Steps of SQLite's machine between two looks at their number."""

_MOST_STEPS = 500_000
"""Steps after which SQLite ends a statement, which takes it about 20 ms.

A load takes 20 steps, a fill 100, and one that makes much room a hundred thousand. More
takes what another program planted: a trigger that counts for ever, an index that leads
in circles. Steps, not time: a busy machine must not end a statement of ours."""

_SETTINGS = (
    "PRAGMA trusted_schema = 0",  # before a statement that reads the schema
    "PRAGMA mmap_size = 0",  # truncating the file would raise SIGBUS
    # No log, whose index SQLite maps: see `entry_database.py`. And no journal.
    "PRAGMA journal_mode = MEMORY",
    "PRAGMA synchronous = 0",  # after a power loss all entries are unreachable
    "PRAGMA temp_store = MEMORY",  # else entries might lie in another directory
    "PRAGMA cell_size_check = 1",
    f"PRAGMA cache_size = {CACHED_PAGES}",
)
"""What SQLite forgets with each connection. The header of the database has the rest."""

_LIMITS = (
    ("SQLITE_LIMIT_ATTACHED", 0),
    ("SQLITE_LIMIT_TRIGGER_DEPTH", 1),
    ("SQLITE_LIMIT_WORKER_THREADS", 0),
    ("SQLITE_LIMIT_LENGTH", 5 * 1024**2),  # more than an entry with its row
)
"""Limits of a connection, from Python 3.11 on."""

_SWITCHES = (
    ("SQLITE_DBCONFIG_DEFENSIVE", True),
    ("SQLITE_DBCONFIG_TRUSTED_SCHEMA", False),
    ("SQLITE_DBCONFIG_ENABLE_TRIGGER", False),
    ("SQLITE_DBCONFIG_ENABLE_VIEW", False),
)
"""Switches of a connection, from Python 3.12 on."""

_HEADER_SIZE = 100
_HEADER = b"SQLite format 3\0" + PAGE_SIZE.to_bytes(2, "big") + b"\1\1\0\x40\x20\x20"
"""How each database of ours begins. `\1\1`: it has no log, which SQLite would map."""

_NUMBERS = [number.to_bytes(4, "big") for number in range(2)]

_TABLE = "Cache"
_READABLE = frozenset({_TABLE, "sqlite_master", "sqlite_schema"})
_FUNCTIONS = frozenset({"count", "length", "typeof"})
_LOST = "the application closed descriptors of SQLite"


class DescriptorsLostError(EntryError):
    """The application closed descriptors of SQLite; their numbers may be its own."""


class DatabaseReplacedError(EntryError):
    """Another process replaced the database that the other connections have open."""


class NoFreeConnectionError(EntryError):
    """Other threads kept all connections in use."""


class UnsafeDatabaseError(Exception):
    """The database is not one that this user made for the cache: it is replaced."""


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
    file: the database's descriptor.
    size: of the database when `check_file` looked last, bytes.
    steps: of SQLite's machine for the user of the connection, counted by `_STEPS`.
    """

    patience: float
    round = 0
    pool: object = None
    database: tuple[int, int] | None = None
    file: OpenFile | None = None
    size = 0
    steps = 0
    _is_lost = False
    _opened_by: int | None = None

    def __init__(self, path: Path, patience: float) -> None:
        super().__init__(
            _uri(path),
            uri=True,
            timeout=0,  # `execute` waits
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
        """Close the connection, or leave it if its descriptor is not its own."""
        with contextlib.suppress(_sqlite3.Error):
            self.__del__()

    def note_file(self, path: Path, before: set[int]) -> None:
        """Find the descriptor that SQLite opened, and check what it leads to.

        SQLite has read 100 bytes by now, and written nothing.

        path: of the database.
        before: the numbers that were open before this connection was.

        Raises UnsafeDatabaseError or DatabaseReplacedError.
        """
        self.database = found = look_up(path)
        opened = _listed_numbers() - before
        own = [file for file in _files_of(opened) if file[1:] == found]
        if own:
            self.file = own[-1]
        else:
            # SQLite reuses a descriptor that it could not close earlier.
            own = [file for file in _files_of(before) if file[1:] == found]
        if not own:
            raise DatabaseReplacedError("another process replaced the database")
        number = own[-1].number
        if stat.S_IMODE(os.fstat(number).st_mode) != FILE_MODE:
            os.fchmod(number, FILE_MODE)
        check_header(number)

    def check_same(self, database: tuple[int, int] | None) -> None:
        """Raise DatabaseReplacedError unless this is that database; None for any."""
        if database not in (None, self.database):
            raise DatabaseReplacedError("another process replaced the database")

    def protect(self) -> None:
        """Allow this connection no other statements than those of the cache."""
        self.set_progress_handler(self._is_endless, _STEPS)
        for name, limit in _LIMITS:
            if hasattr(_sqlite3, name):
                self.setlimit(getattr(_sqlite3, name), limit)
        for name, switch in _SWITCHES:
            if hasattr(_sqlite3, name):
                self.setconfig(getattr(_sqlite3, name), switch)  # type: ignore[attr-defined,unused-ignore]

    def restrict(self) -> None:
        """Refuse from now on what is not needed to load, fill and remove rows.

        SQLite asks when it prepares a statement, and again after each change of the
        schema. Execution asks nothing.
        """
        self.set_authorizer(_is_allowed)

    def _is_endless(self) -> bool:
        self.steps += _STEPS
        return self.steps > _MOST_STEPS

    def execute(self, *statement: Any) -> _sqlite3.Cursor:
        """Execute a statement; wait for a lock no longer than `patience`."""
        try:
            return super().execute(*statement)
        except _sqlite3.OperationalError as error:
            if not _is_locked(error):
                raise
        # Not by SQLite, whose shortest wait is a millisecond: a commit of another
        # process takes a tenth of that.
        deadline, pause = time.monotonic() + self.patience, _SHORTEST_WAIT
        while True:
            time.sleep(pause)  # SQLite tells no process that a lock is free
            try:
                return super().execute(*statement)
            except _sqlite3.OperationalError as error:
                if not _is_locked(error) or time.monotonic() >= deadline:
                    raise
            pause = min(2 * pause, _LONGEST_WAIT)

    def check_file(self) -> None:
        """Raise DescriptorsLostError unless the descriptor is SQLite's own (1 µs)."""
        file = self.file
        if file is None:
            return  # not opened yet
        try:
            status = os.fstat(file.number)
        except OSError as error:
            pass_on(error)  # a time limit may be a TimeoutError
            status = None
        # As file.is_ours() does; a second fstat would take another microsecond.
        if (
            status is None
            or status.st_ino != file.inode
            or status.st_dev != file.device
        ):
            self._is_lost = True
            raise DescriptorsLostError(_LOST)
        self.size = status.st_size

    def is_ours(self) -> bool:
        """Return True if the descriptor is still SQLite's own."""
        # Once lost, for ever: an old number may lead to our file again by chance.
        if not self._is_lost and self.file is not None:
            self._is_lost = not self.file.is_ours()
        return not self._is_lost


_SHORTEST_WAIT, _LONGEST_WAIT = 0.00005, 0.001
"""Seconds between two attempts to get a lock: the first one, and the last ones."""


def _is_locked(error: Exception) -> bool:
    return "locked" in str(error)


def _uri(path: Path) -> str:
    """Return the URI by which SQLite opens a file that exists, and makes none."""
    quoted = quote_from_bytes(os.fsencode(path))
    return f"file:{'//' if path.is_absolute() else ''}{quoted}?mode=rw"


def _is_allowed(
    action: int,
    name: str | None,
    detail: str | None,
    _database: str | None,
    inside: str | None,
) -> int:
    """Decide on one part of a statement, as SQLite's authorizer.

    action: what the part does.
    name: of a table, or what else the action needs.
    detail: a column, or the name of a function.
    inside: the trigger or the view that has the part.
    """
    if inside is not None:
        return _sqlite3.SQLITE_DENY
    if action == _sqlite3.SQLITE_READ:
        if detail == "filename":
            return _sqlite3.SQLITE_IGNORE  # NULL: no row of ours names a file
        allowed = name in _READABLE
    elif action in (
        _sqlite3.SQLITE_INSERT,
        _sqlite3.SQLITE_UPDATE,
        _sqlite3.SQLITE_DELETE,
    ):
        allowed = name == _TABLE
    elif action == _sqlite3.SQLITE_FUNCTION:
        allowed = detail in _FUNCTIONS
    else:
        allowed = action in (_sqlite3.SQLITE_SELECT, _sqlite3.SQLITE_TRANSACTION)
    return _sqlite3.SQLITE_OK if allowed else _sqlite3.SQLITE_DENY


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
        self._database: tuple[int, int] | None = None
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
            connection = self._connect(patience)
            try:
                yield connection
                connection.restrict()
            except BaseException:
                connection.dispose()
                raise
        self._database = connection.database
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
            connection.steps = 0
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
        self._database = None
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
                    connection.steps, connection.patience = 0, patience
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
            connection = self._connect(patience)
            try:
                connection.check_same(self._database)
                connection.restrict()
            except BaseException:
                connection.dispose()
                raise
        return connection

    def _connect(self, patience: float) -> Connection:
        """Open a connection to a file that was checked, with all settings."""
        before = _open_numbers()
        _check_database(self._path)
        connection = Connection(self._path, patience)
        connection.round, connection.pool = self._round, self._mark
        try:
            connection.note_file(self._path, before)
            connection.protect()
            for setting in _SETTINGS:
                connection.execute(setting).fetchall()
        except BaseException:
            connection.dispose()
            raise
        return connection


_pools: "weakref.WeakSet[ConnectionPool]" = weakref.WeakSet()

_pins: list[OpenFile] = []
"""Descriptors of lost databases, so that no new file gets the inode of one."""


def _check_database(path: Path) -> None:
    """Make the file if it is missing, and check it before SQLite opens it.

    Raises DescriptorsLostError if SQLite would use a lost number for it, and
    UnsafeDatabaseError.
    """
    # By SQLite it would be made too late to look at its inode.
    try:
        made = os.open(
            path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_RDWR, FILE_MODE
        )
    except FileExistsError:
        pass
    else:
        os.fchmod(made, FILE_MODE)  # the umask may have taken bits away
        os.close(made)
    if _is_lost(look_up(path)):
        _pin(path)
        raise DescriptorsLostError(_LOST)


def look_up(path: Path) -> tuple[int, int]:
    """Return device and inode of a database that is safe to open.

    Raises UnsafeDatabaseError or OSError.
    """
    status = path.lstat()
    if trouble := trouble_of(status):
        raise UnsafeDatabaseError(f"the database {trouble}")
    return status.st_dev, status.st_ino


def check_header(number: int) -> None:
    """Check the settings that a database has in its first bytes.

    SQLite must not see others: for a log it would map a file, for pages of 64 KiB its
    cache would take as much more memory.

    Raises UnsafeDatabaseError or OSError.
    """
    found = os.pread(number, _HEADER_SIZE, 0)
    if not found:
        return  # a new one
    is_ours = (
        found[: len(_HEADER)] == _HEADER
        and found[52:56] > _NUMBERS[0]  # vacuums itself
        # Texts are in UTF-8; 0 while another process makes the first table.
        and found[56:60] in (_NUMBERS[0], _NUMBERS[1])
        and found[64:68] == _NUMBERS[0]  # vacuums all at each commit
    )
    if not is_ours:
        raise UnsafeDatabaseError("not a database of this version")


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
