"""A database that another program planted or altered: it is replaced, and runs nothing.

The program knows all of the store: it writes rows with a checksum, and schemas that
SQLite accepts.
"""

import contextlib
import math
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from botocache._errors import StoreError
from botocache.stores.disk import connections
from botocache.stores.disk.connections import Connection, check_header
from botocache.stores.disk.entry_database import (
    _SCHEMA,
    LARGEST_ENTRY,
    EntryDatabase,
    EntryDatabaseError,
    _checksum,
    keeps_database,
)
from botocache.stores.disk.store import PAUSE, DiskStore
from tests.support.clock import FakeClock
from tests.support.digests import key, tag
from tests.support.processes import in_thread

KEY, OTHER_KEY, A = key("an entry"), key("another entry"), tag("a")
TTL = 60.0
LIMIT = 100 * 1024**2

COUNT_FOR_EVER = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "entries"


@pytest.fixture
def database(directory: Path) -> Iterator[sqlite3.Connection]:
    """What the other program does, to a database that is not open elsewhere."""
    EntryDatabase(directory, LIMIT).close()
    with contextlib.closing(connected(directory)) as connection:
        yield connection


@pytest.fixture
def entries(directory: Path) -> Iterator[EntryDatabase]:
    with contextlib.closing(EntryDatabase(directory, LIMIT)) as opened:
        opened.put_many([(KEY, b"entry", TTL)])
        yield opened


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[DiskStore]:
    with contextlib.closing(DiskStore(tmp_path / "disk", clock=clock)) as made:
        made.load(KEY, [A])
        made.fill(KEY, b"entry", TTL)
        yield made


def connected(directory: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        directory / "cache.db", isolation_level=None, timeout=9
    )
    connection.execute("PRAGMA synchronous = 0")  # else the tests wait for the disk
    return connection


def run(directory: Path, *statements: str) -> None:
    with contextlib.closing(connected(directory)) as connection:
        for statement in statements:
            connection.execute(statement)


# --- schemas -------------------------------------------------------------------------

CHANGED_CACHE = [
    "DROP INDEX Cache_key_raw",
    "DROP INDEX Cache_expire_time",
    "DROP INDEX Cache_store_time",
    "DROP TABLE Cache",
]


def instead_of_cache(statement: str) -> list[str]:
    """Replace the table by another one, with all its indexes."""
    indexes = [sql for name, sql in _SCHEMA.items() if name != "Cache"]
    return [*CHANGED_CACHE, statement, *indexes]


def cache_with(old: str, new: str) -> list[str]:
    assert old in _SCHEMA["Cache"]
    return instead_of_cache(_SCHEMA["Cache"].replace(old, new))


SCHEMAS: dict[str, list[str]] = {
    "a trigger": [
        "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END"
    ],
    "a view": ["CREATE VIEW v AS SELECT 1"],
    "another table": ["CREATE TABLE another (value)"],
    "another index": ["CREATE INDEX i ON Cache (value)"],
    "an index of an expression": ["CREATE INDEX i ON Cache (length(value))"],
    "an index of some rows": [
        "DROP INDEX Cache_expire_time",
        "CREATE INDEX Cache_expire_time ON Cache (expire_time) WHERE raw = 1",
    ],
    "one index less": ["DROP INDEX Cache_expire_time"],
    "a virtual table": ["CREATE VIRTUAL TABLE f USING fts5(value)"],
    "a view for the table": [
        "ALTER TABLE Cache RENAME TO Rows",
        "CREATE VIEW Cache AS SELECT * FROM Rows",
    ],
    "a check": cache_with("value BLOB)", "value BLOB CHECK (length(value) > 0))"),
    "a default": cache_with("value BLOB)", "value BLOB DEFAULT (randomblob(9)))"),
    "a generated column": cache_with("tag BLOB", "tag BLOB AS (zeroblob(9))"),
    "a collation": cache_with("filename TEXT", "filename TEXT COLLATE NOCASE"),
    "a foreign key": cache_with("mode INTEGER", "mode INTEGER REFERENCES Cache"),
    "statistics": ["ANALYZE"],
    "the settings of diskcache": [
        "CREATE TABLE Settings (key TEXT NOT NULL UNIQUE, value)",
        "INSERT INTO Settings VALUES ('sqlite_mmap_size', 67108864)",
        "INSERT INTO Settings VALUES ('eviction_policy', 'least-recently-used')",
        "INSERT INTO Settings VALUES ('cull_limit', 0)",
        "INSERT INTO Settings VALUES ('_sql', 1)",
    ],
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_database_with_another_schema_is_not_opened(
    name: str, database: sqlite3.Connection, directory: Path
) -> None:
    for statement in SCHEMAS[name]:
        database.execute(statement)
    database.close()
    with pytest.raises(EntryDatabaseError, match="schema of another") as caught:
        EntryDatabase(directory, LIMIT)
    assert not keeps_database(caught.value, directory)


def test_a_database_with_the_schema_of_ours_is_opened(
    database: sqlite3.Connection, directory: Path
) -> None:
    """It shows that the tables above are refused for what they change."""
    for statement in instead_of_cache(_SCHEMA["Cache"]):
        database.execute(statement)
    database.close()
    EntryDatabase(directory, LIMIT).close()


def test_a_store_replaces_a_planted_database_and_answers_meanwhile(
    store: DiskStore, clock: FakeClock
) -> None:
    store.close()
    entries = store.directory / "entries-2"
    run(entries, *SCHEMAS["a trigger"])
    assert store.load(KEY, [A]).entry is None
    clock.advance(PAUSE)
    store.load(KEY, [A])
    store.fill(KEY, b"new", TTL)
    assert store.load(KEY, [A]).entry == b"new"
    with contextlib.closing(connected(entries)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert {name for (name,) in found} == set(_SCHEMA)


# --- headers -------------------------------------------------------------------------


def make_with(directory: Path, *settings: str) -> None:
    """Make a database with our schema, and other settings."""
    directory.mkdir(mode=0o700)
    with contextlib.closing(connected(directory)) as connection:
        for setting in settings:
            connection.execute(f"PRAGMA {setting}").fetchall()
        for statement in _SCHEMA.values():
            connection.execute(statement)


HEADERS = {
    "large pages": ["page_size = 65536", "auto_vacuum = FULL"],
    "small pages": ["page_size = 512", "auto_vacuum = FULL"],
    "a log": ["auto_vacuum = FULL", "journal_mode = WAL"],
    "no vacuum": ["auto_vacuum = NONE"],
    "a vacuum on request": ["auto_vacuum = INCREMENTAL"],
    "another encoding": ["encoding = 'UTF-16'", "auto_vacuum = FULL"],
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_database_with_another_header_is_not_opened(
    name: str, directory: Path
) -> None:
    make_with(directory, *HEADERS[name])
    with pytest.raises(EntryDatabaseError, match="not a database of this") as caught:
        EntryDatabase(directory, LIMIT)
    assert not keeps_database(caught.value, directory)


def test_a_database_with_the_header_of_ours_is_opened(directory: Path) -> None:
    make_with(directory, "auto_vacuum = FULL")
    EntryDatabase(directory, LIMIT).close()


def test_settings_in_the_header_that_sqlite_keeps_for_others_change_nothing(
    directory: Path,
) -> None:
    make_with(
        directory, "auto_vacuum = FULL", "user_version = 9", "default_cache_size = 9999"
    )
    with contextlib.closing(EntryDatabase(directory, LIMIT)) as entries:
        pool = entries._connections
        connection = pool.take(0.0)
        connection.set_authorizer(None)
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("cache_size", "mmap_size", "journal_mode", "trusted_schema")
        ]
        pool.give_back(connection)
    assert found == [1024, 0, "memory", 0]


def test_no_part_of_a_database_is_mapped(
    entries: EntryDatabase, tmp_path: Path
) -> None:
    """A program that truncates a mapped file kills its readers."""
    assert entries.get(KEY) == b"entry"
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_no_part_of_a_log_that_is_planted_is_mapped(
    entries: EntryDatabase, directory: Path, tmp_path: Path, suffix: str
) -> None:
    (directory / f"cache.db{suffix}").write_bytes(os.urandom(5000))
    began = time.monotonic()
    with contextlib.suppress(StoreError):
        entries.get(KEY)
    with contextlib.suppress(StoreError):
        entries.put_many([(KEY, b"new", TTL)])
    assert time.monotonic() - began < 5.0  # SQLite may try for ten seconds
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


# --- while it is open ----------------------------------------------------------------

LIVE: dict[str, list[str]] = {
    "a trigger after inserts": [
        f"CREATE TRIGGER t AFTER INSERT ON Cache BEGIN {COUNT_FOR_EVER}; END"
    ],
    "a trigger before deletions": [
        f"CREATE TRIGGER t BEFORE DELETE ON Cache BEGIN {COUNT_FOR_EVER}; END"
    ],
    "a trigger after updates": [
        f"CREATE TRIGGER t AFTER UPDATE ON Cache BEGIN {COUNT_FOR_EVER}; END"
    ],
    "a view for the table": [
        "ALTER TABLE Cache RENAME TO Rows",
        "CREATE VIEW Cache AS SELECT rowid, key, raw, expire_time, value FROM Rows "
        f"WHERE ({COUNT_FOR_EVER}) > 0",
    ],
}


@pytest.mark.parametrize("name", LIVE)
def test_what_is_planted_in_an_open_database_ends_soon_and_is_replaced(
    name: str, store: DiskStore, clock: FakeClock
) -> None:
    run(store.directory / "entries-2", *LIVE[name])

    def use() -> None:
        for _ in range(2):
            with contextlib.suppress(StoreError):
                store.load(KEY, [A])
            with contextlib.suppress(StoreError):
                store.fill(OTHER_KEY, b"other", TTL)
            with contextlib.suppress(StoreError):
                store.fill(OTHER_KEY, b"other again", TTL)
            with contextlib.suppress(StoreError):
                store.clear()
        clock.advance(PAUSE)
        store.load(KEY, [A])
        store.fill(KEY, b"new", TTL)

    in_thread(use)  # not for ever
    assert store.load(KEY, [A]).entry == b"new"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN UPDATE Cache SET raw = 2; END",
    ],
)
def test_a_trigger_is_refused_also_if_it_does_what_the_store_does(
    statement: str, entries: EntryDatabase, directory: Path
) -> None:
    run(directory, statement)
    with pytest.raises(EntryDatabaseError, match="authorized") as caught:
        entries.put_many([(OTHER_KEY, b"other", TTL)])
    assert not keeps_database(caught.value, directory)


@pytest.mark.parametrize("name", LIVE)
def test_what_the_tests_plant_would_run(name: str, directory: Path) -> None:
    """An ordinary connection, with a limit of its own."""
    EntryDatabase(directory, LIMIT).close()
    with contextlib.closing(connected(directory)) as connection:
        connection.execute("INSERT INTO Cache (key, raw) VALUES (x'01', 1)")
        for statement in LIVE[name]:
            connection.execute(statement)
        ended = iter([False] * 300)
        connection.set_progress_handler(lambda: next(ended, True), 1000)
        for statement in (
            "INSERT INTO Cache (key, raw) VALUES (x'02', 1)",
            "UPDATE Cache SET raw = 2",
            "DELETE FROM Cache",
            "SELECT value FROM Cache",
        ):
            with contextlib.suppress(sqlite3.Error):
                connection.execute(statement).fetchall()
        steps = 300 - len(list(ended))
    assert steps == 300


REFUSAL = "authoriz|prohibited|may not be"

REFUSED_STATEMENTS = [
    "ATTACH ':memory:' AS other",
    "CREATE TABLE another (value)",
    "CREATE TEMP TABLE another (value)",
    "DROP TABLE Cache",
    "PRAGMA mmap_size = 1000000",
    "PRAGMA writable_schema = 1",
    "PRAGMA journal_mode = WAL",
    "SELECT load_extension('x')",
    "SELECT randomblob(9)",
    "SELECT * FROM pragma_table_info('Cache')",
    "SELECT name FROM sqlite_temp_master",
    "UPDATE sqlite_master SET sql = ''",
    "SAVEPOINT s",
    "VACUUM INTO '/dev/null'",
    COUNT_FOR_EVER,
]


@pytest.mark.parametrize("statement", REFUSED_STATEMENTS)
def test_no_connection_runs_what_the_store_does_not_need(
    statement: str, entries: EntryDatabase
) -> None:
    pool = entries._connections
    first, second = pool.take(0.0), pool.take(0.0)
    for connection in (first, second):
        with pytest.raises(sqlite3.DatabaseError, match=REFUSAL):
            connection.execute(statement).fetchall()
        pool.give_back(connection)


def test_the_name_of_a_file_in_a_row_is_not_even_read(
    entries: EntryDatabase, directory: Path
) -> None:
    run(directory, "UPDATE Cache SET filename = '/etc/passwd'")
    connection = entries._connections.take(0.0)
    found = connection.execute("SELECT filename FROM Cache").fetchall()
    entries._connections.give_back(connection)
    assert found == [(None,)]
    assert entries.get(KEY) == b"entry"


def test_a_statement_ends_after_so_many_steps(
    entries: EntryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the authorizer, as on a SQLite that has a way around it."""
    monkeypatch.setattr(
        Connection, "restrict", lambda connection: connection.set_authorizer(None)
    )
    entries.close()
    connection = entries._connections.take(0.0)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        in_thread(lambda: connection.execute(COUNT_FOR_EVER).fetchall())
    entries._connections.give_back(connection)


# --- rows ----------------------------------------------------------------------------


def plant(directory: Path, *keys: bytes, **columns: Any) -> None:
    """Write rows as fills do, but for some columns."""
    now = time.time()
    with contextlib.closing(connected(directory)) as connection:
        connection.execute("BEGIN")
        for name in keys:
            row = {
                "key": name,
                "raw": 1,
                "store_time": now,
                "expire_time": now + TTL,
                "mode": 1,
                "value": _checksum(name, b"planted") + b"planted",
                **columns,
            }
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            connection.execute("DELETE FROM Cache WHERE key = ?", (name,))
            insert = f"INSERT INTO Cache ({names}) VALUES ({marks})"
            connection.execute(insert, tuple(row.values()))
        connection.execute("COMMIT")


TIMES: dict[str, Any] = {
    "nothing": None,
    "not a number": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "a text": "never",
    "bytes": b"\xff",
    "a year of its own": 1e18,
    "long ago": 0,
}


@pytest.mark.parametrize("name", TIMES)
def test_a_row_that_ends_at_no_time_is_a_miss(
    name: str, entries: EntryDatabase, directory: Path
) -> None:
    plant(directory, OTHER_KEY)
    assert entries.get(OTHER_KEY) == b"planted"  # such a row would be read
    plant(directory, OTHER_KEY, expire_time=TIMES[name])
    assert entries.get(OTHER_KEY) is None
    entries.put_many([(OTHER_KEY, b"new", TTL)])
    assert entries.get(OTHER_KEY) == b"new"


@pytest.mark.parametrize(
    "value",
    [bytes(LARGEST_ENTRY + 5), bytes(9 * 1024**2), "text", "t" * 1024**2],
    ids=["one byte more", "9 MiB", "a text", "a long text"],
)
def test_a_row_larger_than_any_entry_is_not_read_and_ends_the_database(
    value: object,
    entries: EntryDatabase,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(directory, OTHER_KEY, value=value)
    with pytest.raises(EntryDatabaseError, match="larger than any") as caught:
        entries.get(OTHER_KEY)
    assert not keeps_database(caught.value, directory)


def test_columns_that_are_giants_are_not_read(
    entries: EntryDatabase, directory: Path
) -> None:
    giant = "x" * (6 * 1024**2)
    plant(directory, OTHER_KEY, filename=giant, tag=giant, mode=giant, size=giant)
    with contextlib.suppress(StoreError):
        assert entries.get(OTHER_KEY) in (None, b"planted")
    with contextlib.suppress(StoreError):
        entries.put_many([(OTHER_KEY, b"new", TTL)])


# --- size ----------------------------------------------------------------------------


def test_a_database_much_larger_than_its_limit_is_replaced(
    entries: EntryDatabase, directory: Path
) -> None:
    os.truncate(directory / "cache.db", 1024**4)  # sparse
    with pytest.raises(EntryDatabaseError, match="larger than its limit") as caught:
        entries.put_many([(KEY, b"new", TTL)])
    assert not keeps_database(caught.value, directory)
    entries.close()
    with pytest.raises(EntryDatabaseError, match="larger than its limit"):
        EntryDatabase(directory, LIMIT)


@pytest.mark.parametrize("stored", [math.inf, 1e18, "never", b"\xff", None])
def test_rows_that_are_planted_do_not_keep_out_new_ones(
    stored: object, directory: Path
) -> None:
    """As if they were younger than all others, or ended never."""
    limit = 2 * 1024**2
    with contextlib.closing(EntryDatabase(directory, limit)) as entries:
        names = [key(f"planted {number}") for number in range(400)]
        plant(
            directory,
            *names,
            store_time=stored,
            expire_time=math.inf,
            value=bytes(6000),
        )
        for number in range(12):
            entries.put_many([(key(str(number)), b"x" * 6000, TTL)])
        kept = [entries.get(key(str(number))) for number in range(12)]
        assert kept == [b"x" * 6000] * 12
    assert (directory / "cache.db").stat().st_size < limit + 200_000


def test_many_small_entries_make_room_for_large_ones(directory: Path) -> None:
    limit = 2 * 1024**2
    with contextlib.closing(EntryDatabase(directory, limit)) as entries:
        small = [(key(str(number)), bytes(500), TTL) for number in range(2500)]
        entries.put_many(small)
        for number in range(60):
            entries.put_many([(key(f"large {number}"), bytes(200_000), TTL)])
        assert (directory / "cache.db").stat().st_size < limit + 2 * 1024**2


# --- chance --------------------------------------------------------------------------


def flip(content: bytes, chance: random.Random) -> bytes:
    harmed = bytearray(content)
    for _ in range(chance.choice([1, 3, 30])):
        harmed[chance.randrange(len(harmed))] = chance.randrange(256)
    return bytes(harmed)


def flip_in_the_beginning(content: bytes, chance: random.Random) -> bytes:
    return flip(content[:8192], chance) + content[8192:]


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def exchange_pages(content: bytes, chance: random.Random) -> bytes:
    pages = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    one, other = chance.randrange(len(pages)), chance.randrange(len(pages))
    pages[one], pages[other] = pages[other], pages[one]
    return b"".join(pages)


def add_noise(content: bytes, chance: random.Random) -> bytes:
    return content + chance.randbytes(chance.randrange(9000))


HARMS: list[Callable[[bytes, random.Random], bytes]] = [
    flip,
    flip_in_the_beginning,
    cut,
    exchange_pages,
    add_noise,
]


def names_of(count: int) -> list[bytes]:
    return [key(str(number)) for number in range(count)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the directory of a store with entries."""
    root = tmp_path_factory.mktemp("whole")
    with contextlib.closing(DiskStore(root)) as store:
        store.load(KEY, [A])
        for number, name in enumerate(names_of(60)):
            store.fill(name, b"%d" % number * 300, 3600.0)
    yield root
    shutil.rmtree(root)


def assert_harmless(
    whole: Path, place: Path, seed: int, clock: FakeClock, *, is_open: bool
) -> None:
    """Harm a copy of the entries; each load is right or a miss, and they heal."""
    chance = random.Random(seed)
    names = names_of(60)
    with contextlib.closing(DiskStore(place, clock=clock)) as store:
        snapshot = store.load(KEY, [A]).snapshot
        entries = store.directory / "entries-2"
        store.close()
        shutil.rmtree(entries)
        shutil.copytree(whole / "v1" / "default" / "entries-2", entries, symlinks=True)
        if is_open:
            assert store.load(names[7], [A]).entry == b"7" * 300
        database = entries / "cache.db"
        harm = chance.choice(HARMS)
        database.write_bytes(harm(database.read_bytes(), chance))

        for number in chance.sample(range(60), 12):
            with contextlib.suppress(StoreError):
                loaded = store.load(names[number], [A])
                assert loaded.entry in (None, b"%d" % number * 300)
                assert loaded.snapshot == snapshot
            with contextlib.suppress(StoreError):
                store.fill(names[number], b"%d" % number * 300, TTL)
        for _ in range(4):  # several parts may be found damaged one after the other
            clock.advance(PAUSE)
            with contextlib.suppress(StoreError):
                store.load(KEY, [A])
                store.fill(KEY, b"new", TTL)
        assert store.load(KEY, [A]).entry == b"new", harm


def test_a_database_with_damage_by_chance_is_harmless(
    whole: Path, tmp_path: Path, clock: FakeClock
) -> None:
    for seed in range(16):
        in_thread(
            lambda seed=seed: assert_harmless(  # type: ignore[misc]
                whole, tmp_path / str(seed), seed, clock, is_open=bool(seed % 2)
            )
        )


@pytest.mark.long
def test_databases_with_damage_by_chance_are_harmless(
    whole: Path, tmp_path: Path, clock: FakeClock
) -> None:
    for seed in range(1000, 2500):
        place = tmp_path / str(seed)
        in_thread(
            lambda seed=seed, place=place: assert_harmless(  # type: ignore[misc]
                whole, place, seed, clock, is_open=bool(seed % 2)
            )
        )
        shutil.rmtree(place)


FOREIGN: dict[str, bytes] = {
    "nothing but a magic": b"SQLite format 3\0",
    "text": b"hello\n" * 1000,
    "zeros": bytes(8192),
    "a pickle": b"\x80\x04\x95" + bytes(500),
    "a header alone": connections._HEADER + bytes(76),
    "a header and a page": connections._HEADER + bytes(4096 - 24),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_kind_is_not_opened(name: str, directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "cache.db").write_bytes(FOREIGN[name])
    with pytest.raises(EntryDatabaseError) as caught:
        EntryDatabase(directory, LIMIT)
    assert not keeps_database(caught.value, directory)


def test_a_new_file_has_no_header_to_check(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    number = os.open(tmp_path / "new", os.O_RDONLY)
    check_header(number)
    os.close(number)
