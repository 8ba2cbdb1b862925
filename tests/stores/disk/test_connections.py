"""Connections to SQLite: how many, how long a thread waits, and whose descriptors."""

import contextlib
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from botocache._coherence import Held
from botocache._errors import EntryError, StoreError
from botocache.stores.disk import connections, entry_database
from botocache.stores.disk.connections import (
    MOST_CONNECTIONS,
    Connection,
    ConnectionPool,
    DescriptorsLostError,
    NoFreeConnectionError,
)
from botocache.stores.disk.entry_database import EntryDatabase
from botocache.stores.disk.store import PAUSE, DiskStore
from tests.support.clock import FakeClock
from tests.support.digests import key, tag
from tests.support.processes import (
    TIMEOUT,
    Peer,
    eventually,
    forked,
    in_thread,
    in_threads,
    running_peer,
)
from tests.support.store_peer import fill, load

KEY, OTHER_KEY, A = key("an entry"), key("another entry"), tag("a")
TTL = 60.0
LIMIT = 100 * 1024**2
MOST_DESCRIPTORS = MOST_CONNECTIONS


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "entries"


@pytest.fixture
def entries(directory: Path) -> Iterator[EntryDatabase]:
    with contextlib.closing(EntryDatabase(directory, LIMIT)) as opened:
        opened.put_many([(KEY, b"entry", TTL)])
        yield opened


@pytest.fixture
def pool(entries: EntryDatabase) -> ConnectionPool:
    return entries._connections


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[DiskStore]:
    with contextlib.closing(DiskStore(tmp_path / "disk", clock=clock)) as made:
        made.load(KEY, [A])
        made.fill(KEY, b"entry", TTL)
        yield made


def numbers_of(directory: Path, name: str = "") -> list[int]:
    """Return the descriptors that this process has of files in the directory."""
    numbers = []
    for number in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(number.readlink()).startswith(f"{directory}/{name}"):
                numbers.append(int(number.name))
    return numbers


# --- how many ------------------------------------------------------------------------


def test_idle_threads_have_no_connection_of_their_own(
    entries: EntryDatabase, directory: Path
) -> None:
    read: list[bytes | None] = []
    all_have_read, may_end = threading.Barrier(41), threading.Event()

    def work() -> None:
        read.append(entries.get(KEY))
        all_have_read.wait(TIMEOUT)
        may_end.wait(TIMEOUT)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    all_have_read.wait(TIMEOUT)
    numbers = numbers_of(directory)
    may_end.set()
    for thread in threads:
        thread.join()
    assert read == [b"entry"] * 40
    assert len(numbers) <= MOST_DESCRIPTORS


def test_a_thread_reads_by_a_connection_that_is_open_already(
    entries: EntryDatabase, directory: Path
) -> None:
    before = numbers_of(directory)
    for _ in range(5):
        assert in_thread(lambda: entries.get(KEY), TIMEOUT) == b"entry"
    assert sorted(numbers_of(directory)) == sorted(before)


def test_there_are_eight_connections_at_most(
    pool: ConnectionPool, directory: Path
) -> None:
    taken = [pool.take(0.0) for _ in range(MOST_CONNECTIONS)]
    assert len({id(connection) for connection in taken}) == MOST_CONNECTIONS == 8
    assert repr(pool) == "<ConnectionPool 8 in use, 0 idle>"
    assert len(numbers_of(directory)) == MOST_DESCRIPTORS
    with pytest.raises(NoFreeConnectionError):
        pool.take(0.01)
    for connection in taken:
        pool.give_back(connection)
    assert repr(pool) == "<ConnectionPool 0 in use, 8 idle>"


def test_a_thread_waits_until_another_gives_a_connection_back(
    pool: ConnectionPool,
) -> None:
    taken = [pool.take(0.0) for _ in range(MOST_CONNECTIONS)]
    found: list[Connection] = []
    thread = threading.Thread(
        target=lambda: found.append(pool.take(TIMEOUT)), daemon=True
    )
    thread.start()
    eventually(lambda: bool(pool._waiting))
    pool.give_back(taken[3])
    thread.join(TIMEOUT)
    assert found == [taken[3]]
    assert not pool._waiting


def test_many_threads_share_the_connections(entries: EntryDatabase) -> None:
    found: dict[int, list[bytes | None]] = {}

    def work(number: int) -> None:
        name = key(str(number))
        entries.put_many([(name, b"%d" % number, TTL)])
        found[number] = [entries.get(name) for _ in range(20)]

    in_threads([partial(work, number) for number in range(30)])
    assert found == {number: [b"%d" % number] * 20 for number in range(30)}


def test_a_load_without_a_free_connection_costs_no_other_load(store: DiskStore) -> None:
    entries = store._entries
    assert entries is not None
    pool = entries._connections
    taken = [pool.take(0.0) for _ in range(MOST_CONNECTIONS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry_database, "LOCK_PATIENCE", 0.01)
        with pytest.raises(EntryError, match="in use"):
            store.load(KEY, [A])
    pool.give_back(taken[0])
    assert store.load(KEY, [A]).entry == b"entry"
    for connection in taken[1:]:
        pool.give_back(connection)


def test_without_a_descriptor_a_thread_waits_for_a_connection_of_another(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptors(*_: object) -> Connection:
        raise sqlite3.OperationalError("unable to open database file")

    (first,) = [pool.take(0.0)]
    monkeypatch.setattr(connections, "Connection", no_descriptors)
    found: list[Connection] = []
    thread = threading.Thread(
        target=lambda: found.append(pool.take(TIMEOUT)), daemon=True
    )
    thread.start()
    eventually(lambda: bool(pool._waiting))
    pool.give_back(first)
    thread.join(TIMEOUT)
    assert found == [first]
    pool.give_back(first)
    assert repr(pool) == "<ConnectionPool 0 in use, 1 idle>"


def test_closing_leaves_no_descriptor_whichever_threads_used_the_entries(
    entries: EntryDatabase, directory: Path, pool: ConnectionPool
) -> None:
    taken = [pool.take(0.0) for _ in range(3)]
    for connection in taken[1:]:
        pool.give_back(connection)
    entries.close()
    assert taken[0].execute("SELECT rowid FROM Cache").fetchall() == [(1,)]
    pool.give_back(taken[0])
    assert numbers_of(directory) == []
    assert entries.get(KEY) == b"entry"


def test_a_connection_that_an_exception_left_in_a_transaction_is_not_used_again(
    entries: EntryDatabase, pool: ConnectionPool
) -> None:
    connection = pool.take(0.0)
    connection.execute("BEGIN IMMEDIATE")
    pool.give_back(connection)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    entries.put_many([(OTHER_KEY, b"other", TTL)])
    assert entries.get(OTHER_KEY) == b"other"


# --- one patience --------------------------------------------------------------------


class SteppedTime:
    """A clock that goes on by `step` seconds each time it is read."""

    def __init__(self, step: float) -> None:
        self._now, self._step = 0.0, step

    def monotonic(self) -> float:
        self._now += self._step
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    time = staticmethod(time.time)


def test_all_waits_of_one_verb_share_one_patience_and_each_has_a_least_one(
    entries: EntryDatabase, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    patiences: list[float] = []
    take = pool.take

    def noted(patience: float) -> Connection:
        patiences.append(patience)
        return take(patience)

    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 4.0)
    monkeypatch.setattr(entry_database, "time", SteppedTime(step=2.0))
    monkeypatch.setattr(pool, "take", noted)
    large = bytes(200_000)  # each is a transaction of its own
    entries.put_many([(key(str(number)), large, TTL) for number in range(4)])
    least = entry_database._LEAST_PATIENCE
    assert patiences == [4.0, 2.0, least, least]
    assert entries.get(key("3")) == large


def test_a_wait_for_a_connection_shortens_the_wait_for_a_lock(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [pool.take(0.0) for _ in range(MOST_CONNECTIONS)]
    monkeypatch.setattr(connections, "time", SteppedTime(step=1.0))
    monkeypatch.setattr(pool, "_wait", lambda _: pool.give_back(taken[0]))
    assert pool.take(3.0).patience == 2.0


class Releasing:
    """A time that stands still, and in which the third wait ends another's lock."""

    def __init__(self, writer: sqlite3.Connection) -> None:
        self.waits: list[float] = []
        self._writer = writer

    def monotonic(self) -> float:
        return sum(self.waits)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == 3:
            self._writer.execute("COMMIT")


@pytest.mark.parametrize("verb", ["load", "fill"])
def test_a_wait_for_a_commit_of_another_process_is_no_longer_than_the_commit(
    verb: str,
    directory: Path,
    entries: EntryDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries.put_many([(KEY, b"entry", TTL)])
    with contextlib.closing(connected(directory)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        releasing = Releasing(writer)
        monkeypatch.setattr(connections, "time", releasing)
        if verb == "fill":
            entries.put_many([(OTHER_KEY, b"other", TTL)])
        else:
            assert entries.get(KEY) == b"entry"
    assert releasing.waits == [0.00005, 0.0001, 0.0002]


def test_a_wait_for_a_lock_ends_with_the_patience(
    directory: Path, entries: EntryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 0.001)
    with contextlib.closing(connected(directory)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        releasing = Releasing(writer)
        monkeypatch.setattr(releasing, "sleep", releasing.waits.append)
        monkeypatch.setattr(connections, "time", releasing)
        assert entries.get(KEY) is None
    assert sum(releasing.waits[:-1]) < 0.001 <= sum(releasing.waits)


def test_opening_does_not_wait_for_another_process_that_writes(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 0.0)
    EntryDatabase(directory, LIMIT).close()
    with contextlib.closing(connected(directory)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        EntryDatabase(directory, LIMIT).close()


def test_a_first_load_does_not_wait_for_a_stopped_writer_to_open_entries(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The patience of a slow opening is TIMEOUT here: see conftest.py.
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 0.01)
    another = DiskStore(store.directory.parents[1], clock=store.now)
    with contextlib.closing(connected(store.directory / "entries-2")) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        loaded = in_thread(lambda: another.load(KEY, [A]), TIMEOUT / 2)
    assert loaded.entry is None
    assert loaded.snapshot == store.load(KEY, [A]).snapshot
    another.close()


def connected(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(directory / "cache.db", isolation_level=None, timeout=0)


# --- descriptors that the application closed -----------------------------------------


@contextlib.contextmanager
def taken_over(numbers: list[int], path: Path) -> Iterator[None]:
    """Let an application's file have the numbers, as after os.closerange()."""
    path.write_bytes(b"theirs")
    theirs = os.open(path, os.O_RDWR)
    for number in numbers:
        os.dup2(theirs, number)
    yield
    for number in numbers:
        assert os.path.samestat(os.fstat(number), os.fstat(theirs))
        os.close(number)
    os.close(theirs)
    assert path.read_bytes() == b"theirs"


FILES = ["cache.db", ""]


@pytest.mark.parametrize("name", FILES, ids=lambda name: name or "all")
def test_entries_write_to_no_descriptor_that_the_application_took_over(
    store: DiskStore, clock: FakeClock, tmp_path: Path, name: str
) -> None:
    directory = store.directory / "entries-2"
    numbers = numbers_of(directory) if not name else exactly(directory / name)
    assert numbers
    with taken_over(numbers, tmp_path / "theirs"):
        with pytest.raises(DescriptorsLostError):
            store.fill(OTHER_KEY, b"x" * 50_000, TTL)
        clock.advance(PAUSE)
        store.load(KEY, [A])
        store.fill(OTHER_KEY, b"x" * 50_000, TTL)
        assert store.load(OTHER_KEY, [A]).entry == b"x" * 50_000
        store.close()
        gc.collect()


def exactly(path: Path) -> list[int]:
    numbers = numbers_of(path.parent, path.name)
    return [n for n in numbers if os.path.samestat(os.fstat(n), path.stat())]


@pytest.mark.parametrize("is_reused", [True, False])
def test_a_load_notices_that_all_descriptors_were_closed(
    store: DiskStore, clock: FakeClock, tmp_path: Path, is_reused: bool
) -> None:
    numbers = numbers_of(store.directory / "entries-2")
    snapshot = store.load(KEY, [A]).snapshot
    for number in () if is_reused else numbers:
        os.close(number)
    with taken_over(numbers if is_reused else [], tmp_path / "theirs"):
        with pytest.raises(DescriptorsLostError):
            store.load(KEY, [A])
        assert store.load(KEY, [A]) == (None, snapshot, Held.FREE)
        clock.advance(PAUSE)
        store.load(KEY, [A])
        store.fill(KEY, b"new", TTL)
        assert store.load(KEY, [A]).entry == b"new"


def test_closing_a_store_closes_no_descriptor_that_the_application_took_over(
    store: DiskStore, tmp_path: Path
) -> None:
    with taken_over(numbers_of(store.directory / "entries-2"), tmp_path / "theirs"):
        store.close()
        gc.collect()
        # The same file again would make SQLite use the old numbers.
        with contextlib.suppress(StoreError):
            store.load(KEY, [A])
        with contextlib.suppress(StoreError):
            store.fill(KEY, b"entry", TTL)
        store.close()


def test_no_new_database_gets_the_inode_of_a_lost_one(
    store: DiskStore, clock: FakeClock, tmp_path: Path
) -> None:
    """SQLite knows a file by its inode, and would go on with the old numbers."""
    database = store.directory / "entries-2" / "cache.db"
    with taken_over(numbers_of(database.parent), tmp_path / "theirs"):
        lost = database.stat().st_ino
        found = set()
        for _ in range(4):
            with contextlib.suppress(StoreError):
                store.fill(KEY, b"entry", TTL)
            clock.advance(PAUSE)
            with contextlib.suppress(StoreError):
                store.load(KEY, [A])
            if store._entries is not None:
                found.add(database.stat().st_ino)
        assert found
        assert lost not in found
        store.close()


def test_a_lost_database_that_cannot_be_removed_costs_one_descriptor(
    store: DiskStore,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DiskStore, "_discard", lambda *_: None)
    directory = store.directory / "entries-2"
    numbers = numbers_of(directory)
    with taken_over(numbers, tmp_path / "theirs"):
        for _ in range(5):
            with contextlib.suppress(StoreError):
                store.fill(KEY, b"entry", TTL)
            clock.advance(PAUSE)
        assert len(numbers_of(directory)) == 1
        store.close()


def test_other_processes_share_the_new_database(
    store: DiskStore, clock: FakeClock, tmp_path: Path
) -> None:
    root = store.directory.parents[1]
    with running_peer() as peer:
        assert loaded_by(peer, root, KEY) == b"entry"
        with taken_over(numbers_of(store.directory / "entries-2"), tmp_path / "theirs"):
            with pytest.raises(DescriptorsLostError):
                store.fill(KEY, b"lost", TTL)
            clock.advance(PAUSE)
            store.load(KEY, [A])
            peer.call(fill, root, OTHER_KEY, b"from there")
            assert store.load(OTHER_KEY, [A]).entry == b"from there"
            store.close()


def loaded_by(peer: Peer, root: Path, name: bytes) -> bytes | None:
    entry: bytes | None = peer.call(load, root, name, [A]).entry
    return entry


def test_a_forked_child_that_closes_all_descriptors_writes_to_none_of_its_own_files(
    store: DiskStore, clock: FakeClock, tmp_path: Path
) -> None:
    def child(_: object) -> None:
        numbers = numbers_of(store.directory / "entries-2")
        with taken_over(numbers, tmp_path / "theirs"):
            for _ in range(2):
                with contextlib.suppress(StoreError):
                    store.load(KEY, [A])
                clock.advance(PAUSE)
            store.fill(KEY, b"the child's", TTL)
            assert store.load(KEY, [A]).entry == b"the child's"
            store.close()

    with forked(child):
        pass


def test_a_forked_child_closes_no_connection_that_its_parent_has_open(
    directory: Path,
) -> None:
    """SQLite forbids it, also when the child frees what it has inherited."""
    opened = [EntryDatabase(directory, LIMIT)]
    opened[0].put_many([(KEY, b"entry", TTL)])
    numbers = numbers_of(directory)

    def child(_: object) -> None:
        opened.clear()
        gc.collect()
        assert set(numbers) <= set(numbers_of(directory))
        with contextlib.closing(EntryDatabase(directory, LIMIT)) as entries:
            assert entries.get(KEY) == b"entry"
        assert set(numbers) <= set(numbers_of(directory))

    with forked(child):
        pass
    assert opened[0].get(KEY) == b"entry"
    opened[0].close()


EXIT = """
import gc, os, sys
from pathlib import Path
from botocache.stores.disk.entry_database import EntryDatabase

place, is_forked, is_noticed = Path(sys.argv[1]), sys.argv[2] == "1", sys.argv[3] == "1"
entries = EntryDatabase(place / "entries", 10**8)
entries.put_many([(bytes(16), b"entry", 60.0)])
if is_forked and (pid := os.fork()):
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
if is_forked:
    entries.leave_to_parent()
os.closerange(3, 256)
files = [open(place / f"file-{n}", "w") for n in range(12)]
for file in files:
    file.write("theirs")  # reaches the file when the interpreter exits
if is_noticed and not is_forked:
    try:
        entries.get(bytes(16))
    except Exception as error:
        assert "closed descriptors" in str(error), error
    entries.close()
sys.files = files  # freed late
del entries
gc.collect()
"""


@pytest.mark.parametrize("is_forked", [False, True], ids=["alone", "forked"])
@pytest.mark.parametrize("is_noticed", [False, True], ids=["unnoticed", "noticed"])
def test_no_descriptor_of_the_application_is_closed_when_the_interpreter_exits(
    tmp_path: Path, is_forked: bool, is_noticed: bool
) -> None:
    arguments = [str(tmp_path), str(int(is_forked)), str(int(is_noticed))]
    assert_runs(EXIT, *arguments)
    written = [path.read_text() for path in tmp_path.glob("file-*")]
    assert written == ["theirs"] * 12


def assert_runs(program: str, *arguments: str) -> None:
    filters = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    ran = subprocess.run(
        [sys.executable, *filters, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


# --- tracers -------------------------------------------------------------------------

TRACED = """
import sqlite3, sys
from pathlib import Path

spans = []
connect = sqlite3.connect

class TracedCursor(sqlite3.Cursor):
    def execute(self, *arguments):
        spans.append(arguments)
        return super().execute(*arguments)

class Traced(sqlite3.Connection):
    def execute(self, *arguments):
        spans.append(arguments)
        return super().execute(*arguments)

    def cursor(self, factory=TracedCursor):
        return super().cursor(factory)

def traced(*arguments, **options):
    spans.append(arguments)
    return connect(*arguments, **{**options, "factory": Traced})

def trace():
    sqlite3.connect = sqlite3.dbapi2.connect = traced
    sqlite3.Connection = sqlite3.dbapi2.Connection = Traced
    sqlite3.Cursor = sqlite3.dbapi2.Cursor = TracedCursor

def use(entries):
    for number in range(3):
        key = bytes([number]) * 16
        assert entries.get(key) is None
        entries.put_many([(key, b"entry", 60.0), (key[::-1], b"entry", 60.0)])
        assert entries.get(key) == b"entry"

if sys.argv[2] == "early":
    trace()
from botocache.stores.disk.entry_database import EntryDatabase
entries = EntryDatabase(Path(sys.argv[1]), 10**8)
use(entries)
trace()
use_again = EntryDatabase(Path(sys.argv[1]) / "another", 10**8)
entries.clear()
for each in (entries, use_again):
    use(each)
    each.clear()
    each.close()
assert spans == [], spans
sqlite3.connect(":memory:").close()
assert spans == [(":memory:",)]
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_tracer_of_sqlite_sees_nothing_of_the_cache(
    tmp_path: Path, when: str
) -> None:
    assert_runs(TRACED, str(tmp_path / "entries"), when)
