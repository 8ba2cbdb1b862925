"""Entries in SQLite: refused rows, lost rows, and the longest waits."""

import contextlib
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from diskcache.core import MODE_BINARY, MODE_PICKLE, MODE_RAW, MODE_TEXT

from botocache._errors import StoreError
from botocache.stores.disk import connections, entry_database
from botocache.stores.disk.entry_database import (
    LARGEST_ENTRY,
    DamagedEntryError,
    EntryDatabase,
    EntryDatabaseError,
    can_be_opened,
)
from tests.support.digests import key
from tests.support.locks import all_locks, locked
from tests.support.privileges import NOBODY, as_nobody, is_root
from tests.support.processes import TIMEOUT, in_thread

KEY, OTHER_KEY = key("an entry"), key("another entry")
TTL = 60.0
LIMIT = 100 * 1024**2


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "entries"


@pytest.fixture
def entries(directory: Path) -> Iterator[EntryDatabase]:
    with contextlib.closing(EntryDatabase(directory, LIMIT)) as opened:
        yield opened


@pytest.fixture
def database(entries: EntryDatabase, directory: Path) -> Iterator[sqlite3.Connection]:
    """A second connection."""
    with contextlib.closing(connected(directory)) as connection:
        yield connection


def connected(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(directory / "cache.db", isolation_level=None, timeout=0)


def test_an_entry_comes_back_as_it_was_filled(entries: EntryDatabase) -> None:
    entries.put_many([(KEY, b"entry", TTL)])
    assert entries.get(KEY) == b"entry"
    assert entries.get(OTHER_KEY) is None


def test_an_entry_outlives_the_process_that_filled_it(
    entries: EntryDatabase, directory: Path
) -> None:
    entries.put_many([(KEY, b"entry", TTL)])
    entries.close()
    with contextlib.closing(EntryDatabase(directory, LIMIT)) as opened:
        assert opened.get(KEY) == b"entry"


def test_no_entry_lies_in_a_file_of_its_own(
    entries: EntryDatabase, directory: Path
) -> None:
    entries.put_many([(KEY, bytes(LARGEST_ENTRY), TTL)])
    assert {each.name for each in directory.iterdir()} <= {
        "cache.db",
        "cache.db-wal",
        "cache.db-shm",
    }


def test_clearing_drops_all_entries(entries: EntryDatabase) -> None:
    entries.put_many([(KEY, b"one", TTL)])
    entries.put_many([(OTHER_KEY, b"other", TTL)])
    entries.clear()
    assert (entries.get(KEY), entries.get(OTHER_KEY)) == (None, None)


# --- size ----------------------------------------------------------------------------


def test_the_largest_entry_is_kept_and_a_larger_one_is_not(
    entries: EntryDatabase,
) -> None:
    entries.put_many([(KEY, bytes(LARGEST_ENTRY), TTL)])
    entries.put_many([(OTHER_KEY, bytes(LARGEST_ENTRY + 1), TTL)])
    assert entries.get(KEY) == bytes(LARGEST_ENTRY)
    assert entries.get(OTHER_KEY) is None


def test_of_many_entries_the_too_large_ones_are_left_out(
    entries: EntryDatabase,
) -> None:
    entries.put_many([(KEY, b"small", TTL), (OTHER_KEY, bytes(LARGEST_ENTRY + 1), TTL)])
    assert entries.get(KEY) == b"small"
    assert entries.get(OTHER_KEY) is None


def test_no_transaction_is_large(
    entries: EntryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another fill waits for the transaction, and for 50 ms at most."""
    sizes = [100, 200_000, 200_000, 300_000, 10, 20]
    keys = [key(str(number)) for number in range(len(sizes))]
    put_piece, pieces = entries._put_piece, []

    def noted(piece: Any, patience: float) -> None:
        pieces.append([len(entry) for _, entry, _ in piece])
        put_piece(piece, patience)

    monkeypatch.setattr(entries, "_put_piece", noted)
    entries.put_many([(k, bytes(n), TTL) for k, n in zip(keys, sizes, strict=True)])
    assert [entries.get(k) for k in keys] == [bytes(size) for size in sizes]
    assert pieces == [[100, 200_000], [200_000], [300_000], [10, 20]]


def test_no_transaction_has_many_entries(entries: EntryDatabase) -> None:
    many = [(key(str(number)), b"%d" % number, TTL) for number in range(200)]
    entries.put_many(many)
    assert entries.get_many([each[0] for each in many]) == {
        each[0]: each[1] for each in many
    }


def test_several_entries_are_loaded_as_one_by_one(entries: EntryDatabase) -> None:
    names = [key(str(number)) for number in range(9)]
    entries.put_many([(name, name * 2, TTL) for name in names[::2]])
    assert entries.get_many(names) == {name: name * 2 for name in names[::2]}
    assert entries.get_many(names[:2]) == {names[0]: names[0] * 2}
    assert entries.get_many([]) == {}


def test_filling_no_entries_changes_nothing(entries: EntryDatabase) -> None:
    entries.put_many([])
    assert entries.get(KEY) is None


def test_a_few_entries_are_filled_together_or_not_at_all(
    entries: EntryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries.put_many([(OTHER_KEY, b"old", TTL)])
    refused: Any = "no bytes"
    with pytest.raises(StoreError):
        entries.put_many([(KEY, b"new", TTL), (OTHER_KEY, refused, TTL)])
    assert entries.get(KEY) is None
    assert entries.get(OTHER_KEY) == b"old"


def test_entries_beyond_the_limit_are_dropped_oldest_first(
    directory: Path,
) -> None:
    limit, size = 4 * 1024**2, 100_000
    names = [key(str(number)) for number in range(200)]
    with contextlib.closing(EntryDatabase(directory, limit)) as entries:
        for name in names:
            entries.put_many([(name, os.urandom(size), TTL)])
        kept = [entries.get(name) is not None for name in names]
    first = kept.index(True)
    assert all(kept[first:])
    assert 15 <= len(kept) - first <= limit // size + 10


def test_the_files_stay_near_the_limit(directory: Path) -> None:
    limit = 4 * 1024**2
    slack = 8 * 1024**2  # SQLite's log of what was written last, and one more round
    with contextlib.closing(EntryDatabase(directory, limit)) as entries:
        for number in range(400):
            entries.put_many([(key(str(number)), os.urandom(100_000), TTL)])
            assert sum(each.lstat().st_size for each in directory.iterdir()) < (
                limit + slack
            )


# --- damage --------------------------------------------------------------------------


def assert_damaged_once(entries: EntryDatabase, name: bytes = KEY) -> None:
    with pytest.raises(DamagedEntryError):
        entries.get(name)
    assert entries.get(name) is None
    entries.put_many([(name, b"new", TTL)])
    assert entries.get(name) == b"new"


def flip(at: int) -> Callable[[bytes], bytes]:
    def change(row: bytes) -> bytes:
        changed = bytearray(row)
        changed[at] ^= 1
        return bytes(changed)

    return change


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit of the checksum": flip(0),
    "the first bit of the entry": flip(4),
    "the last bit of the entry": flip(-1),
    "one byte less": lambda row: row[:-1],
    "one byte more": lambda row: row + b"\0",
    "the checksum alone": lambda row: row[:4],
    "half a checksum": lambda row: row[:2],
    "nothing": lambda _: b"",
    "zeros": lambda row: bytes(len(row)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_row_that_changed_is_refused_once_and_deleted(
    entries: EntryDatabase,
    database: sqlite3.Connection,
    change: Callable[[bytes], bytes],
) -> None:
    entries.put_many([(KEY, b"an entry that is good", TTL)])
    ((row,),) = database.execute("SELECT value FROM Cache").fetchall()
    database.execute("UPDATE Cache SET value = ?", (change(row),))
    assert_damaged_once(entries)


def test_the_bytes_of_one_key_are_refused_under_another_key(
    entries: EntryDatabase, database: sqlite3.Connection
) -> None:
    entries.put_many([(KEY, b"one", TTL)])
    entries.put_many([(OTHER_KEY, b"other", TTL)])
    (one, other) = database.execute("SELECT value FROM Cache ORDER BY rowid").fetchall()
    database.execute("UPDATE Cache SET value = ? WHERE rowid = 1", other)
    database.execute("UPDATE Cache SET value = ? WHERE rowid = 2", one)
    assert_damaged_once(entries, KEY)
    assert_damaged_once(entries, OTHER_KEY)


def test_a_damaged_row_does_not_affect_the_others(
    entries: EntryDatabase, database: sqlite3.Connection
) -> None:
    entries.put_many([(KEY, b"one", TTL)])
    entries.put_many([(OTHER_KEY, b"other", TTL)])
    database.execute("UPDATE Cache SET value = x'00' WHERE rowid = 1")
    with pytest.raises(DamagedEntryError):
        entries.get(KEY)
    assert entries.get(OTHER_KEY) == b"other"


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return open, (str(self._trace), "w")


def test_the_exploit_that_the_tests_use_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Exploit(tmp_path / "trace"))).close()
    assert (tmp_path / "trace").exists()


Row: TypeAlias = tuple[int | str, str | None, Any]
"""The columns mode, filename and value."""

VALUES: dict[str, Callable[[bytes], Row]] = {
    "a pickle": lambda exploit: (MODE_PICKLE, None, exploit),
    "a pickle in a file": lambda _: (MODE_PICKLE, "pickle", None),
    "a pickle in a file and a value": lambda exploit: (MODE_PICKLE, "pickle", exploit),
    "bytes in a file": lambda _: (MODE_BINARY, "pickle", None),
    "text in a file": lambda _: (MODE_TEXT, "pickle", None),
    "bytes in a row that names a file": lambda exploit: (MODE_RAW, "pickle", exploit),
    "a file that does not exist": lambda _: (MODE_BINARY, "nowhere", None),
    "an int": lambda _: (MODE_RAW, None, 5),
    "a float": lambda _: (MODE_RAW, None, 5.5),
    "nothing": lambda _: (MODE_RAW, None, None),
    "a mode that does not exist": lambda exploit: (99, None, exploit),
    "a mode that is text": lambda exploit: ("pickle", None, exploit),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_row_that_is_not_bytes_is_refused_once_and_never_executed(
    entries: EntryDatabase,
    database: sqlite3.Connection,
    directory: Path,
    tmp_path: Path,
    value: Callable[[bytes], Row],
) -> None:
    exploit = pickle.dumps(Exploit(tmp_path / "trace"))
    (directory / "pickle").write_bytes(exploit)
    entries.put_many([(KEY, b"entry", TTL)])
    database.execute(
        "UPDATE Cache SET mode = ?, filename = ?, value = ?", value(exploit)
    )
    assert_damaged_once(entries)
    assert not (tmp_path / "trace").exists()


def test_a_pickled_key_is_never_executed(
    entries: EntryDatabase, database: sqlite3.Connection, tmp_path: Path
) -> None:
    entries.put_many([(KEY, b"entry", TTL)])
    exploit = pickle.dumps(Exploit(tmp_path / "trace"))
    database.execute("UPDATE Cache SET key = ?, raw = 0", (exploit,))
    assert entries.get(KEY) is None
    entries.clear()
    assert not (tmp_path / "trace").exists()


REMOVALS: dict[str, Callable[[EntryDatabase], object]] = {
    "refused": lambda entries: entries.get(KEY),
    "replaced": lambda entries: entries.put_many([(KEY, b"new", TTL)]),
    "cleared": lambda entries: entries.clear(),
}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS.keys())
@pytest.mark.parametrize("is_absolute", [True, False], ids=["absolute", "relative"])
def test_a_file_that_a_row_names_is_not_removed_with_it(
    entries: EntryDatabase,
    database: sqlite3.Connection,
    tmp_path: Path,
    remove: Callable[[EntryDatabase], object],
    is_absolute: bool,
) -> None:
    precious = tmp_path / "precious" / "file"
    precious.parent.mkdir()
    precious.write_text("precious")
    filename = str(precious) if is_absolute else "../precious/file"
    entries.put_many([(KEY, b"entry", TTL)])
    database.execute("UPDATE Cache SET filename = ?", (filename,))
    with contextlib.suppress(DamagedEntryError):
        remove(entries)
    assert precious.exists()


def test_a_value_that_is_not_bytes_is_refused_before_it_is_filled(
    entries: EntryDatabase,
) -> None:
    value: Any = [1, 2, 3]
    with pytest.raises(StoreError):
        entries.put_many([(KEY, value, TTL)])
    assert entries.get(KEY) is None


# --- locks ---------------------------------------------------------------------------


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 0.05)


WRITES: dict[str, Callable[[EntryDatabase], object]] = {
    "put": lambda entries: entries.put_many([(OTHER_KEY, b"entry", TTL)]),
    "clear": lambda entries: entries.clear(),
}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_write_to_a_locked_database_fails_as_busy_and_does_not_wait_long(
    entries: EntryDatabase,
    database: sqlite3.Connection,
    lock: str,
    write: Callable[[EntryDatabase], object],
) -> None:
    entries.put_many([(KEY, b"entry", TTL)])
    database.execute(f"BEGIN {lock}")
    with pytest.raises(EntryDatabaseError) as caught:
        in_another_thread(entries, write, times=2)
    assert caught.value.is_busy
    database.execute("ROLLBACK")
    write(entries)


def in_another_thread(
    entries: EntryDatabase,
    use: Callable[[EntryDatabase], object],
    timeout: float = 10.0,
    times: int = 1,
) -> object:
    def run() -> object:
        try:
            return [use(entries) for _ in range(times)][-1]
        finally:
            entries.close()

    return in_thread(run, timeout)


@pytest.mark.usefixtures("_impatient")
def test_a_database_in_which_another_process_writes_can_be_read(
    entries: EntryDatabase, database: sqlite3.Connection
) -> None:
    entries.put_many([(KEY, b"entry", TTL)])
    database.execute("BEGIN IMMEDIATE")
    assert in_another_thread(entries, lambda entries: entries.get(KEY)) == b"entry"


USES: dict[str, Callable[[EntryDatabase], object]] = {
    "get": lambda entries: entries.get(KEY),
    **WRITES,
}


def test_a_transaction_waits_for_a_lock_however_long_those_before_it_took(
    entries: EntryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of entries take longer than the patience of one fill.

    Without patience one load in another thread would lose all that are left.
    """
    many = [(key(str(number)), b"entry", TTL) for number in range(200)]
    now = count(0.0, 2 * entry_database.LOCK_PATIENCE)  # each look is that much later
    waits: list[float] = []
    pauses: list[float] = []
    clock = SimpleNamespace(monotonic=now.__next__, sleep=pauses.append)
    monkeypatch.setattr(entry_database, "time", clock)
    monkeypatch.setattr(
        entries, "_put_piece", lambda _piece, patience: waits.append(patience)
    )
    entries.put_many(many)
    assert len(waits) > 2
    assert waits[0] == entry_database.LOCK_PATIENCE
    # Others get the lock in between.
    assert len(pauses) == len(waits) - 1
    assert min(pauses) > connections._LONGEST_WAIT
    # A thread that loads may have to wait for its turn before it gives its lock up.
    assert min(waits) > 2 * sys.getswitchinterval()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_an_exclusively_locked_database_fails_as_busy_and_does_not_wait_long(
    directory: Path, use: Callable[[EntryDatabase], object]
) -> None:
    with contextlib.closing(EntryDatabase(directory, LIMIT)) as entries:
        entries.close()
        with contextlib.closing(connected(directory)) as owner:
            owner.execute("PRAGMA locking_mode = EXCLUSIVE")
            owner.execute("BEGIN EXCLUSIVE")
            with pytest.raises(EntryDatabaseError) as caught:
                in_another_thread(entries, use, times=2)
            assert caught.value.is_busy
        in_another_thread(entries, use)


@pytest.mark.usefixtures("_impatient")
def test_a_lock_that_is_held_for_long_once_costs_one_load_and_one_fill(
    entries: EntryDatabase, database: sqlite3.Connection
) -> None:
    """A busy machine may stop a process for that long while it has the lock."""
    entries.put_many([(KEY, b"entry", TTL)])
    for _ in range(2):
        database.execute("BEGIN EXCLUSIVE")
        assert in_another_thread(entries, lambda entries: entries.get(KEY)) is None
        in_another_thread(entries, lambda e: e.put_many([(OTHER_KEY, b"dropped", TTL)]))
        database.execute("ROLLBACK")
        assert entries.get(KEY) == b"entry"
        assert entries.get(OTHER_KEY) is None
        entries.put_many([(KEY, b"entry", TTL)])


@pytest.mark.usefixtures("_impatient")
def test_a_damaged_row_in_a_locked_database_is_a_miss_without_a_long_wait(
    entries: EntryDatabase, database: sqlite3.Connection
) -> None:
    entries.put_many([(KEY, b"entry", TTL)])
    database.execute("UPDATE Cache SET value = x'00'")
    database.execute("BEGIN IMMEDIATE")
    assert in_another_thread(entries, lambda entries: entries.get(KEY)) is None


def test_a_fill_that_would_wait_long_for_another_thread_is_dropped(
    entries: EntryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 0.01)
    with locked(all_locks(entries)):
        in_thread(lambda: entries.put_many([(KEY, b"entry", TTL)]), TIMEOUT)
    assert entries.get(KEY) is None
    entries.put_many([(KEY, b"entry", TTL)])
    assert entries.get(KEY) == b"entry"


# --- broken databases ----------------------------------------------------------------


def test_a_broken_database_raises_another_error_than_a_busy_one(
    directory: Path,
) -> None:
    directory.mkdir()
    (directory / "cache.db").write_bytes(b"noise" * 10_000)
    with pytest.raises(EntryDatabaseError, match="not a database") as caught:
        EntryDatabase(directory, LIMIT)
    assert not caught.value.is_busy


def test_a_missing_table_raises_another_error_than_a_busy_database(
    entries: EntryDatabase, database: sqlite3.Connection
) -> None:
    database.execute("DROP TABLE Cache")
    for use in USES.values():
        with pytest.raises(EntryDatabaseError) as caught:
            use(entries)
        assert not caught.value.is_busy


def test_an_empty_database_file_is_a_new_database(directory: Path) -> None:
    directory.mkdir()
    (directory / "cache.db").touch()
    with contextlib.closing(EntryDatabase(directory, LIMIT)) as entries:
        entries.put_many([(KEY, b"entry", TTL)])
        assert entries.get(KEY) == b"entry"


def test_a_file_in_place_of_the_directory_is_an_error(directory: Path) -> None:
    directory.touch()
    with pytest.raises(EntryDatabaseError) as caught:
        EntryDatabase(directory, LIMIT)
    assert not caught.value.is_busy


@pytest.mark.parametrize("name", ["$SOME", "a ${SOME} b", "~", "?mode=ro", "50%41#"])
def test_a_directory_is_used_by_the_name_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SOME", "elsewhere")
    with contextlib.closing(EntryDatabase(tmp_path / name, LIMIT)) as entries:
        entries.put_many([(KEY, b"entry", TTL)])
        assert entries.get(KEY) == b"entry"
    assert [each.name for each in tmp_path.iterdir()] == [name]


NOT_TO_BE_OPENED: dict[str, Callable[[Path], object]] = {
    "no directory": lambda directory: directory.rename(directory.with_name("moved")),
    "a directory without permission to enter": lambda directory: directory.chmod(0),
    "a file without permission to read": lambda d: (d / "cache.db").chmod(0),
    "a file without permission to write": lambda d: (d / "cache.db").chmod(0o400),
    "a directory for a file": lambda d: (
        (d / "cache.db").replace(d / "old") and (d / "other").rename(d / "cache.db")
    ),
    "a file with two names": lambda d: (d / "two").hardlink_to(d / "cache.db"),
    "a link for a file": lambda d: (d / "link").rename(d / "cache.db"),
    "a directory that others can write to": lambda directory: directory.chmod(0o770),
}


@pytest.mark.parametrize("harm", NOT_TO_BE_OPENED.values(), ids=NOT_TO_BE_OPENED.keys())
def test_an_error_of_opening_names_the_files_as_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], object]
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the directories above may be closed to others
    directory = Path("entries")
    (directory / "other").mkdir(parents=True)
    (directory / "cache.db").touch()
    (directory / "link").symlink_to("/dev/null")
    for path in (directory, *directory.iterdir()) if is_root() else ():
        os.chown(path, NOBODY, -1, follow_symlinks=False)
    with as_nobody():
        assert can_be_opened(directory)
    harm(directory)
    with as_nobody():
        assert not can_be_opened(directory)


DROP_CONNECTIONS = """
import gc, os, sys, threading
from pathlib import Path
from botocache.stores.disk.entry_database import EntryDatabase

KEY = bytes(16)
entries = EntryDatabase(Path(sys.argv[1]), 10**8)
entries.put_many([(KEY, b"entry", 60.0)])
ended = threading.Thread(target=entries.get, args=(KEY,))
ended.start()
ended.join()

has_read, may_end = threading.Event(), threading.Event()

def read_and_wait(entries):
    entries.get(KEY)
    has_read.set()
    del entries
    may_end.wait()

waiting = threading.Thread(target=read_and_wait, args=(entries,))
waiting.start()
has_read.wait()
if pid := os.fork():  # the child has the connections of both threads
    os.waitpid(pid, 0)
gc.collect()
if pid:
    del entries, ended, waiting  # this thread frees the connection of the other one
    gc.collect()
    may_end.set()
"""


def test_a_connection_that_is_dropped_gives_no_warning(directory: Path) -> None:
    filters = ["-W", "error", "-W", "ignore::DeprecationWarning"]  # it forks threads
    ran = subprocess.run(
        [sys.executable, *filters, "-c", DROP_CONNECTIONS, str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
