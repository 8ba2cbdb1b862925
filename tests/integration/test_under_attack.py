"""An application whose store on disk is harmed: it notices nothing but a miss or two.

Two applications share a directory, as two processes do; each in the tests' process,
so that the clock is the test's. Harm is done while both have it in use. What the
parts do by themselves is in tests/stores.
"""

import contextlib
import os
import pickle
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import diskcache
import pytest

import botocache
from botocache.stores import Store, slotfile
from botocache.stores.disk import PAUSE, DiskStore
from botocache.stores.entryfile import _checksum
from botocache.stores.memory import MemoryStore
from tests.integration.app import (
    SETTLE,
    WINDOW,
    World,
    get,
    put,
    query,
    set_n,
)
from tests.support.clock import FakeClock
from tests.support.privileges import as_nobody
from tests.support.processes import TIMEOUT, Peer, running_peers
from tests.support.store_peer import evict, fill, load

SECRET = re.compile(r"hidden|AKIA|secret", re.IGNORECASE)
"""What stands in keys, items and credentials of these tests."""


class Applications(NamedTuple):
    """Two clients with caches of their own on one directory, and what they log."""

    world: World
    one: Any
    other: Any
    table: str
    directory: Path
    clock: FakeClock

    def read_all(self, client: Any) -> set[int]:
        """Return what every kind of read shows, each asked twice."""
        found = set()
        for _ in range(2):
            item = get(client, self.table, pk="hidden") or {"n": 0}
            found |= {int(item["n"])}
            found |= {int(i["n"]) for i in query(client, self.table, pk="hidden")}
        return found

    def tell_story(self, n: int) -> None:
        """Write in each application, and read in both; every answer is right."""
        for number, writer in enumerate((self.one, self.other), start=n):
            set_n(writer, self.table, number, pk="hidden")
            for reader in (self.other, self.one):
                assert self.read_all(reader) == {number}
            self.clock.advance(SETTLE)
            for reader in (self.one, self.other):
                assert self.read_all(reader) == {number}
        put(self.one, self.table, pk="hidden", n=n + 2)
        assert self.read_all(self.other) == {n + 2}
        self.one.delete_item(TableName=self.table, Key={"pk": {"S": "hidden"}})
        assert get(self.other, self.table, pk="hidden") is None
        put(self.other, self.table, pk="hidden", n=n + 3)
        assert self.read_all(self.one) == {n + 3}

    def assert_caching(self) -> None:
        """Assert that both are served from the cache, after a while."""
        for _ in range(3):
            self.clock.advance(WINDOW + PAUSE)
            for client in (self.one, self.other):
                self.read_all(client)
        with self.world.counting() as reached:
            for client in (self.one, self.other):
                self.read_all(client)
        assert reached == {}


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """The world's own store, which plays no part here."""
    return MemoryStore(clock=clock)


@pytest.fixture
def applications(
    world: World, clock: FakeClock, tmp_path: Path, table: str
) -> Iterator[Applications]:
    """Two applications that have cached an item and a query of it."""
    root = tmp_path / "shared"
    stores = [DiskStore(root, clock=clock) for _ in range(2)]
    clients = []
    for store in stores:
        session = world.session()
        botocache.install(session, url=store)
        clients.append(world.client(session))
    one, other = clients
    applications = Applications(world, one, other, table, stores[0].directory, clock)
    put(one, table, pk="hidden", n=1)
    applications.assert_caching()
    yield applications
    for store in stores:
        store.close()


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the kinds of failure that were logged; none says what is secret."""
    messages = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("botocache")
    ]
    assert not [message for message in messages if SECRET.search(message)]
    return [message.partition(":")[0] for message in messages]


# --- the generation table ------------------------------------------------------------


def slots_of(directory: Path) -> Path:
    return directory / "slots"


def overwrite_slots(content: Callable[[int], bytes], at: int = 0) -> Callable[..., Any]:
    """Return a harm that keeps file and size, and changes what is in it."""

    def harm(directory: Path) -> None:
        path = slots_of(directory)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(content(path.stat().st_size - at))

    return harm


def replace_slots(directory: Path) -> None:
    path = slots_of(directory)
    path.with_name("other").write_bytes(os.urandom(path.stat().st_size))
    path.with_name("other").replace(path)


def shrink_slots(directory: Path) -> None:
    path = slots_of(directory)
    os.truncate(path, path.stat().st_size // 2)


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def zeros(size: int) -> bytes:
    return bytes(size)


def other_version(_: int) -> bytes:
    return slotfile._HEADER.pack(
        b"botocache slots\x02", slotfile.boot_id(), slotfile.SLOT_COUNT, 7
    )


SLOT_HARMS: dict[str, Callable[[Path], None]] = {
    "removed": lambda directory: slots_of(directory).unlink(),
    "truncated": lambda directory: os.truncate(slots_of(directory), 0),
    "half of it gone": shrink_slots,
    "grown": lambda directory: os.truncate(slots_of(directory), 20 * 1024**2),
    "replaced by noise": replace_slots,
    "zeros in place": overwrite_slots(zeros),
    "noise in place": overwrite_slots(noise),
    "of another version": overwrite_slots(other_version),
    "the whole directory removed": shutil.rmtree,
}


@pytest.mark.parametrize("harm", SLOT_HARMS.values(), ids=SLOT_HARMS.keys())
def test_a_harmed_generation_table_is_noticed_told_once_and_replaced(
    applications: Applications,
    harm: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    set_n(applications.world.outside, applications.table, 2, pk="hidden")
    harm(applications.directory)
    applications.tell_story(3)
    applications.assert_caching()
    applications.tell_story(20)
    kinds = logged(caplog)
    assert kinds
    assert all(kinds.count(kind) <= 2 for kind in kinds)  # one for each application


def test_entries_from_before_the_table_was_wiped_are_not_served_again(
    world: World, clock: FakeClock, tmp_path: Path, table: str
) -> None:
    """Zeros would bring the generations of a fresh table back, and old entries too."""
    put(world.outside, table, pk="hidden", n=1)
    session = world.session()
    store = DiskStore(tmp_path / "fresh", clock=clock)
    botocache.install(session, url=store)
    client = world.client(session)
    assert get(client, table, pk="hidden") == {"pk": "hidden", "n": 1}
    set_n(client, table, 2, pk="hidden")
    overwrite_slots(zeros)(store.directory)
    assert get(client, table, pk="hidden") == {"pk": "hidden", "n": 2}
    store.close()


def test_noise_among_the_slots_costs_misses_only(applications: Applications) -> None:
    """The header is in order, so nobody can tell noise from evictions."""
    overwrite_slots(noise, at=64)(applications.directory)
    applications.tell_story(3)
    applications.assert_caching()


def test_after_a_boot_nothing_of_before_is_served(
    applications: Applications, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    boot = tuple(reversed(slotfile.boot_id()))
    monkeypatch.setattr("botocache.stores.disk.boot_id", lambda: bytes(boot))
    session = applications.world.session()
    store = DiskStore(applications.directory.parents[1], clock=clock)
    cache = botocache.install(session, url=store)
    client = applications.world.client(session)
    set_n(applications.world.outside, applications.table, 2, pk="hidden")
    clock.advance(SETTLE)
    assert applications.read_all(client) == {2}
    assert cache.stats().hits == 2
    assert not cache.stats().failures
    store.close()


# --- the entries ---------------------------------------------------------------------


def database_of(directory: Path) -> Path:
    return directory / "entries" / "cache.db"


@contextlib.contextmanager
def connected(directory: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(
        sqlite3.connect(database_of(directory), isolation_level=None, timeout=TIMEOUT)
    ) as connection:
        yield connection


def overwrite_database(directory: Path) -> None:
    database_of(directory).write_bytes(noise(50_000))


def execute(*statements: str) -> Callable[[Path], None]:
    """Return a harm that SQLite does."""

    def harm(directory: Path) -> None:
        with connected(directory) as connection:
            for statement in statements:
                connection.execute(statement)

    return harm


def replace_database_by_a_directory(directory: Path) -> None:
    database_of(directory).unlink()
    database_of(directory).mkdir()


class Exploit:
    """What executes when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def replace_entries_by_pickles(directory: Path) -> None:
    exploit = pickle.dumps(Exploit(directory / "executed"))
    with connected(directory) as connection:
        connection.execute(
            "UPDATE Cache SET mode = ?, value = ?",
            (diskcache.core.MODE_PICKLE, exploit),
        )


def change_entries(
    change: Callable[[bytes], bytes], *, checksum: bool = False
) -> Callable[[Path], None]:
    """Return a harm to each entry. checksum: whoever does it makes that right, too."""

    def harm(directory: Path) -> None:
        with connected(directory) as connection:
            for rowid, key, row in list(
                connection.execute("SELECT rowid, key, value FROM Cache")
            ):
                entry = change(row[4:] if checksum else row)
                value = _checksum(key, entry) + entry if checksum else entry
                connection.execute(
                    "UPDATE Cache SET value = ? WHERE rowid = ?", (value, rowid)
                )

    return harm


def flip_a_bit(row: bytes) -> bytes:
    return row[:-5] + bytes([row[-5] ^ 4]) + row[-4:]


ENTRY_HARMS: dict[str, Callable[[Path], None]] = {
    "a database of noise": overwrite_database,
    "an empty database": lambda directory: os.truncate(database_of(directory), 0),
    "a truncated database": lambda directory: os.truncate(database_of(directory), 5000),
    "a removed database": lambda directory: database_of(directory).unlink(),
    "a directory in the database's place": replace_database_by_a_directory,
    "no directory of entries": lambda directory: shutil.rmtree(directory / "entries"),
    "a table dropped": execute("DROP TABLE Cache"),
    "a database of another version": execute(
        "ALTER TABLE Cache RENAME COLUMN mode TO kind"
    ),
    "truncated entries": change_entries(lambda row: row[:20]),
    "entries with a bit flipped": change_entries(flip_a_bit),
    "entries of another codec version": change_entries(
        lambda entry: b"\x63" + entry[1:], checksum=True
    ),
    "entries truncated by who knows the checksum": change_entries(
        lambda entry: entry[:20], checksum=True
    ),
    "entries that are pickles": replace_entries_by_pickles,
}

INVISIBLE = {
    "an empty database",
    "a truncated database",
    "a removed database",
    "no directory of entries",
}
"""Harms that SQLite or a file that is still open make good: perhaps nothing is told."""


@pytest.mark.parametrize("name", ENTRY_HARMS)
def test_harmed_entries_are_told_once_never_executed_and_replaced(
    name: str, applications: Applications, caplog: pytest.LogCaptureFixture
) -> None:
    set_n(applications.one, applications.table, 2, pk="hidden")
    ENTRY_HARMS[name](applications.directory)
    for client in (applications.other, applications.one):
        assert applications.read_all(client) == {2}
    applications.tell_story(3)
    applications.assert_caching()
    assert not (applications.directory / "executed").exists()
    kinds = logged(caplog)
    assert kinds or name in INVISIBLE
    assert all(kinds.count(kind) <= 2 for kind in kinds)  # one for each application


def test_a_database_that_another_process_keeps_locked_costs_misses_only(
    applications: Applications, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(applications.directory) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        applications.tell_story(3)
        connection.execute("ROLLBACK")
    applications.assert_caching()
    assert logged(caplog)
    with connected(applications.directory) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# --- the directory -------------------------------------------------------------------


def test_a_directory_that_cannot_be_written_costs_misses_only(
    applications: Applications, caplog: pytest.LogCaptureFixture
) -> None:
    """Root is not bound by permissions, so it is somebody else who calls."""
    shutil.rmtree(applications.directory)
    root = applications.directory.parents[1]
    root.chmod(0o500)
    with as_nobody():
        applications.tell_story(3)
    root.chmod(0o700)
    applications.assert_caching()
    kinds = logged(caplog)
    assert kinds
    assert all(kinds.count(kind) <= 2 for kind in kinds)


# --- the clock -----------------------------------------------------------------------


@pytest.mark.parametrize("steps", [(-3600.0, 3600.0), (3600.0, -3600.0), (-3600.0,)])
def test_a_clock_that_steps_an_hour_makes_nothing_old(
    applications: Applications, clock: FakeClock, steps: tuple[float, ...]
) -> None:
    """The machine's clock since boot cannot be set; should one step, nothing is old."""
    n = 3
    for step in steps:
        set_n(applications.one, applications.table, n, pk="hidden")
        clock.advance(step)
        for client in (applications.other, applications.one):
            assert applications.read_all(client) == {n}
        applications.tell_story(n + 1)
        n += 10
    clock.advance(3600.0 + WINDOW)
    applications.assert_caching()


# --- at the same moment --------------------------------------------------------------


def test_processes_that_create_everything_at_once_share_it_a_hundred_times(
    tmp_path: Path,
) -> None:
    key, tag = b"k" * 16, b"t" * 16
    with running_peers(2) as peers:
        for number in range(100):
            root = tmp_path / str(number)
            for peer in peers:
                peer.start(load, root, key, [tag])
            snapshots = {peer.result().snapshot for peer in peers}
            assert len(snapshots) == 1
            assert_shared(peers, root, key, tag)
            shutil.rmtree(root)  # 16 MiB


def assert_shared(peers: list[Peer], root: Path, key: bytes, tag: bytes) -> None:
    """Assert that what one evicts and fills the other one finds."""
    one, other = peers
    one.call(fill, root, key, b"entry")
    assert other.call(load, root, key, [tag]).entry == b"entry"
    evicted = other.call(evict, root, [tag])
    assert one.call(load, root, key, [tag]).snapshot == (evicted.marks[0].generation,)
