"""The disk store under attack: the application's calls go on, right, and it heals.

Two applications share a directory, one here and one in another process; each has a
clock of its own, which moves when the test says so. Harm is done from outside to what
both have in use, or before their first call.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

import diskcache
import pytest

from botocache._coherence import LONGEST_HOLD_OFF
from botocache.stores.disk import generation_file
from botocache.stores.disk.store import PAUSE
from tests.integration.app import SETTLE, WINDOW, put
from tests.integration.attacked import SECRET, Application
from tests.support import harms, store_peer
from tests.support.digests import key, tag
from tests.support.dynamodb import DynamoDB
from tests.support.harms import (
    HEADER,
    Harm,
    cut,
    execute,
    noise,
    overwrite,
    plant,
    remove,
)
from tests.support.privileges import as_nobody, can_mount
from tests.support.processes import Peer, eventually, running_peer, running_peers

HOUR = 3600.0


class Placed(NamedTuple):
    """An application, and the process where it runs; None is this one."""

    application: Application
    peer: Peer | None = None

    def do(self, verb: str, *arguments: Any) -> Any:
        function = getattr(self.application, verb)
        if self.peer is None:
            return function(*arguments)
        return self.peer.call(function, *arguments)


@dataclass
class Applications:
    """The two, and the directory that they share."""

    dynamodb: DynamoDB
    one: Placed
    other: Placed

    @property
    def directory(self) -> Path:
        return self.one.application.root / "v1" / "default"

    def do(self, verb: str, *arguments: Any) -> list[Any]:
        """Have both do it."""
        return [each.do(verb, *arguments) for each in (self.other, self.one)]

    def advance(self, seconds: float) -> None:
        self.do("advance", seconds)

    def assert_read(self, n: int) -> None:
        assert self.do("read") == [{n}, {n}]

    def write_and_settle(self, n: int) -> None:
        self.other.do("update", n)
        self.advance(SETTLE)
        self.assert_read(n)

    def write_outside(self, n: int) -> None:
        """Write around the cache."""
        put(self.dynamodb.client(), self.one.application.table, pk=SECRET, n=n)

    def tell_story(self, n: int) -> None:
        """Write in each, and read in both; every answer is right."""
        self.other.do("update", n)
        self.assert_read(n)
        self.advance(SETTLE)
        self.assert_read(n)
        self.one.do("update", n + 1)
        self.assert_read(n + 1)
        self.other.do("put", n + 2)
        assert self.one.do("read") == {n + 2}
        self.one.do("delete")
        assert self.other.do("read") == {0}
        self.one.do("put", n + 3)
        self.assert_read(n + 3)

    def are_cached(self) -> bool:
        with self.dynamodb.counting() as reached:
            self.do("read")
        return not reached

    def assert_healed(self) -> None:
        """Assert that after pauses and hold-offs both are served from the cache."""
        for _ in range(2):  # the first may have to wait for an eviction's hold-off
            self.advance(WINDOW + PAUSE)
            self.do("read")
        assert self.are_cached()

    def assert_logged(self, reason: str) -> None:
        """Assert that each kind of failure was logged once, with its reason.

        reason: a pattern; empty if nothing may be logged.
        """
        logged = self.do("lines")
        assert bool(any(logged)) == bool(reason), logged
        in_one_process = 2 if self.one.peer is self.other.peer else 1
        for lines in logged:
            kinds = [line.split(": ")[1] for line in lines]
            assert all(kinds.count(kind) <= in_one_process for kind in kinds), lines
            for line in lines:
                assert re.search(reason, line), line
                assert not re.search(SECRET, line, re.IGNORECASE), line


@contextlib.contextmanager
def running(dynamodb: DynamoDB, one: Placed, other: Placed) -> Iterator[Applications]:
    """Run two applications; yield them when they have cached an item and a query."""
    both = Applications(dynamodb, one, other)
    try:
        one.do("put", 1)
        both.advance(WINDOW)
        both.do("read")
        assert both.are_cached()
        both.do("lines")  # on a busy machine opening may have taken too long at first
        yield both
    finally:
        both.do("end")


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with running_peer() as started:
        yield started


@pytest.fixture
def application(dynamodb: DynamoDB, tmp_path: Path, outside: Any) -> Application:
    table = dynamodb.create_table("pk:S", client=outside)
    return Application(dynamodb.url, tmp_path / "disk", table)


@pytest.fixture
def applications(
    dynamodb: DynamoDB, application: Application, peer: Peer
) -> Iterator[Applications]:
    """One application here, and one in another process."""
    with running(dynamodb, Placed(application), Placed(application, peer)) as both:
        yield both


@pytest.fixture
def local(dynamodb: DynamoDB, application: Application) -> Iterator[Applications]:
    """Both here, for what can be done to this process alone."""
    other = application._replace(name="other")
    with running(dynamodb, Placed(application), Placed(other)) as both:
        yield both


# --- files that are not what they were -----------------------------------------------


class Attack(NamedTuple):
    """A harm to the store, and what applications log.

    logged: a pattern of the messages of applications that used the store before.
    logged_first: the same for applications with their first call after the attack;
        None if it is the same pattern.
    """

    harm: Harm
    logged: str = ""
    logged_first: str | None = None


def copy_slots(directory: Path) -> None:
    shutil.copy(directory / "slots", directory / "copy")
    (directory / "copy").replace(directory / "slots")


LOST = "removed or replaced"
WIPED = "were wiped|removed or replaced"
MALFORMED = "malformed|not a database|disk I/O error"
UNOPENED = "unable to open|Is a directory|not a regular file|link, or not a directory"
DATABASE = "entries-2/cache.db"
LOG, INDEX, JOURNAL = f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal"

ATTACKS: dict[str, Attack] = {
    "the directory removed": Attack(shutil.rmtree, LOST, ""),
    "all removed": Attack(lambda directory: shutil.rmtree(directory.parents[1]), LOST),
    "no generations": Attack(remove("slots"), LOST, ""),
    "no bytes of generations": Attack(cut("slots", 0), LOST, ""),
    "half of the generations": Attack(cut("slots", 8 * 1024**2), WIPED, ""),
    "more than the generations": Attack(cut("slots", 20 * 1024**2), LOST),
    "other generations": Attack(harms.replace("slots", noise), LOST, ""),
    "a copy of the generations": Attack(copy_slots, LOST, ""),
    "zeros for all generations": Attack(overwrite("slots", bytes), LOST, ""),
    "noise for all generations": Attack(overwrite("slots", noise), LOST),
    "zeros behind the header": Attack(overwrite("slots", bytes, HEADER), WIPED, WIPED),
    "noise behind the header": Attack(overwrite("slots", noise, HEADER)),
    "generations of another version": Attack(
        overwrite("slots", harms.other_version), LOST, ""
    ),
    "no lock": Attack(remove("lock")),
    "noise in the database": Attack(overwrite(DATABASE, noise), MALFORMED),
    "zeros in the database": Attack(overwrite(DATABASE, bytes), MALFORMED),
    "a database of noise": Attack(harms.replace(DATABASE, noise), MALFORMED),
    "an empty database": Attack(cut(DATABASE, 0), "no such table", ""),
    "a short database": Attack(cut(DATABASE, 5000), MALFORMED),
    "no database": Attack(remove(DATABASE)),
    "a directory for a database": Attack(
        harms.replace_by_a_directory(DATABASE), UNOPENED, UNOPENED
    ),
    "a link for a database": Attack(
        harms.replace_by_a_link(DATABASE, "/etc/passwd"), "is a link"
    ),
    "a second name of the database": Attack(
        lambda directory: (directory / "two").hardlink_to(directory / DATABASE),
        "",
        "has another name",
    ),
    "a pipe for a database": Attack(
        harms.in_turn(remove(DATABASE), lambda d: os.mkfifo(d / DATABASE)),
        "not a regular file",
        "not a regular file",
    ),
    "a log": Attack(plant(LOG), "unable to open", ""),
    "an empty log": Attack(plant(LOG, b"")),
    "a directory for a log": Attack(
        harms.replace_by_a_directory(LOG), UNOPENED, UNOPENED
    ),
    "an index of a log": Attack(plant(INDEX)),
    "a directory for an index": Attack(
        harms.replace_by_a_directory(INDEX), "", UNOPENED
    ),
    "a journal": Attack(plant(JOURNAL)),
    "a database with a log": Attack(
        execute("PRAGMA journal_mode = WAL"), f"{UNOPENED}|{MALFORMED}", MALFORMED
    ),
    "no entries": Attack(remove("entries-2")),
    "a file for the entries": Attack(
        harms.replace_by_a_file("entries-2"), UNOPENED, UNOPENED
    ),
    "a link that leads nowhere": Attack(
        harms.replace_by_a_link("entries-2", "/nonexistent/entries"), UNOPENED, UNOPENED
    ),
    "no table": Attack(execute("DROP TABLE Cache"), "no such table", ""),
    "a database of another version": Attack(
        execute(
            "ALTER TABLE Cache RENAME COLUMN mode TO kind", "PRAGMA user_version=9"
        ),
        "no (such )?column",
        "schema of another program",
    ),
    "a database with settings": Attack(
        execute(
            "CREATE TABLE Settings (key TEXT NOT NULL UNIQUE, value)",
            "INSERT INTO Settings VALUES ('sqlite_mmap_size', 1000000)",
        ),
        "",
        "schema of another program",
    ),
    "short entries": Attack(harms.change_entries(lambda row: row[:20]), "checksum"),
    "a bit of each entry": Attack(
        harms.change_entries(harms.flip_a_bit), "checksum", "checksum"
    ),
    "entries of another version": Attack(
        harms.change_entries(lambda entry: b"\x63" + entry[1:], knows_checksum=True),
        "has version 99, not 2",
        "has version 99, not 2",
    ),
    "short entries with a checksum": Attack(
        harms.change_entries(lambda entry: entry[:20], knows_checksum=True),
        "header cannot be read",
    ),
    "pickles for entries": Attack(
        harms.replace_entries_by_pickles, "checksum", "checksum"
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        name
        if attack.logged_first is None
        else pytest.param(name, marks=pytest.mark.long("done before first use as well"))
        for name, attack in ATTACKS.items()
    ],
)
def test_applications_recover_from_harm_to_a_store_in_use(
    name: str, applications: Applications
) -> None:
    attack = ATTACKS[name]
    applications.write_and_settle(2)
    attack.harm(applications.directory)
    applications.tell_story(3)
    applications.assert_healed()
    applications.assert_logged(attack.logged)
    assert not (applications.directory / harms.EXECUTED).exists()


@pytest.mark.parametrize(
    "name", [name for name, each in ATTACKS.items() if each.logged_first is not None]
)
def test_applications_recover_from_harm_to_a_store_before_its_first_use(
    name: str, applications: Applications
) -> None:
    attack = ATTACKS[name]
    applications.write_and_settle(2)
    applications.do("end")
    attack.harm(applications.directory)
    applications.tell_story(3)
    applications.assert_healed()
    applications.assert_logged(attack.logged_first or "")
    assert not (applications.directory / harms.EXECUTED).exists()


@pytest.mark.parametrize("at", [0, HEADER], ids=["all", "behind the header"])
def test_generations_overwritten_with_zeros_bring_back_no_stale_entry(
    at: int, applications: Applications
) -> None:
    """A table with zero as first generation would serve the old entry again."""
    applications.do("end")
    remove("slots")(applications.directory)
    applications.write_outside(2)
    applications.assert_read(2)  # filled under generations that no write has changed
    assert applications.are_cached()
    applications.other.do("update", 3)
    overwrite("slots", bytes, at)(applications.directory)
    applications.assert_read(3)


def test_generations_restored_from_a_copy_bring_back_no_stale_entry(
    applications: Applications,
) -> None:
    shutil.copy(applications.directory / "slots", applications.directory / "copy")
    applications.other.do("update", 2)
    (applications.directory / "copy").replace(applications.directory / "slots")
    applications.assert_read(2)


def test_a_discarded_directory_of_a_killed_process_is_removed_with_the_next_one(
    applications: Applications,
) -> None:
    applications.do("end")
    (applications.directory / "old-left").mkdir()
    harms.replace_by_a_file("entries-2")(applications.directory)
    applications.assert_healed()
    assert not list(applications.directory.glob("old-*"))


# --- locks ---------------------------------------------------------------------------


def test_a_database_that_another_process_locks_exclusively_only_causes_misses(
    applications: Applications,
) -> None:
    applications.do("end")
    with running_peer() as owner:
        owner.call(harms.hold_database, applications.directory)
        applications.tell_story(3)
        applications.assert_logged("takes long|locked")
        owner.call(harms.release_database)
        eventually(lambda: is_healed(applications))
    applications.tell_story(20)
    applications.assert_healed()


def is_healed(applications: Applications) -> bool:
    applications.advance(WINDOW)
    applications.do("read")
    return applications.are_cached()


def test_a_database_that_another_process_locks_loses_no_entry(
    applications: Applications,
) -> None:
    with harms.connected(applications.directory) as owner:
        owner.execute("BEGIN EXCLUSIVE")
        assert applications.are_cached()
        applications.tell_story(3)
        owner.execute("ROLLBACK")
    applications.assert_healed()
    applications.assert_logged("Timeout|locked")


@pytest.mark.parametrize("name", ["slots", "lock"])
def test_a_process_stopped_while_it_holds_a_lock_blocks_no_other(
    name: str, applications: Applications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "MAKER_PATIENCE", 0.001)
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.001)
    with running_peer() as holder:
        holder.call(store_peer.hold_lock, applications.directory / name)
        holder.stop()
        if name == "lock":  # it is taken when a table is made
            remove("slots")(applications.directory)
        applications.tell_story(3)
        applications.assert_healed()
        holder.kill()
    applications.tell_story(10)
    # To make a table may take all the time that a call has for opening the store.
    applications.assert_logged(f"{LOST}|takes long" if name == "lock" else "")


# --- no room, no rights, no descriptors ----------------------------------------------


@contextlib.contextmanager
def on_a_disk_of(
    size: str, dynamodb: DynamoDB, application: Application
) -> Iterator[tuple[Applications, Peer]]:
    """Yield two applications of one process, and a file system that only it has."""
    with running_peer("unshare", "-m") as peer:
        peer.call(store_peer.mount_tiny, application.root, size)
        one, other = (
            Placed(application, peer),
            Placed(application._replace(name="2"), peer),
        )
        yield Applications(dynamodb, one, other), peer


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_a_full_disk_only_causes_misses(
    dynamodb: DynamoDB, application: Application
) -> None:
    root = application.root
    with on_a_disk_of("20m", dynamodb, application) as (applications, peer):
        applications.tell_story(1)
        applications.assert_healed()
        peer.call(harms.fill_disk, root)
        applications.tell_story(10)
        for _ in range(3):
            applications.advance(WINDOW)
            applications.assert_read(13)
        applications.assert_logged("")  # what it replaces makes room for what it fills
        peer.call(harms.free_disk, root)
        applications.assert_healed()


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
@pytest.mark.parametrize(
    ("mended", "reason"), [("size=40m", "No space"), ("rw", "Read-only")]
)
def test_a_disk_on_which_no_file_can_be_made_only_causes_misses(
    mended: str, reason: str, dynamodb: DynamoDB, application: Application
) -> None:
    size = "1m" if reason == "No space" else "40m,ro"
    with on_a_disk_of(size, dynamodb, application) as (applications, peer):
        applications.tell_story(1)
        applications.advance(WINDOW)
        applications.assert_read(4)
        applications.assert_logged(reason)
        peer.call(harms.remount, application.root, mended)
        applications.assert_healed()
        applications.tell_story(10)


def test_a_directory_that_became_inaccessible_only_causes_misses(
    local: Applications,
) -> None:
    """Root is not bound by permissions, so another user calls for a while."""
    with as_nobody():
        local.tell_story(3)
    local.assert_healed()
    local.tell_story(10)
    local.assert_logged("Permission denied|Operation not permitted")


def test_a_process_without_file_descriptors_drops_no_entries_of_others(
    dynamodb: DynamoDB, application: Application
) -> None:
    """The table takes two, SQLite three, and one is for the application's own call."""
    with (
        running_peer() as peer,
        running(dynamodb, Placed(application), Placed(application, peer)) as both,
    ):
        for left in range(3, 8):
            both.other.do("close")
            peer.call(harms.use_up_descriptors, left)
            assert both.other.do("read") == {1}
            peer.call(harms.give_descriptors_back)
            with dynamodb.counting() as reached:
                both.one.do("read")
            assert reached == {}
            both.other.do("advance", PAUSE)
        both.assert_healed()
        both.assert_logged("unable to open|Too many open files")


# --- clocks --------------------------------------------------------------------------


def test_no_stale_entry_is_served_after_the_wall_clock_stepped(
    applications: Applications, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of diskcache expire by it. It is wrong here, and right over there."""
    for number, step in enumerate((HOUR, -HOUR, 50 * 365 * 24 * HOUR, 0.0)):
        stepped = SimpleNamespace(
            time=lambda step=step: time.time() + step, sleep=time.sleep
        )
        monkeypatch.setattr(diskcache.core, "time", stepped)
        applications.tell_story(10 * number)
        applications.assert_healed()
    applications.assert_logged("")


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_no_stale_entry_is_served_after_the_stores_clock_stepped(
    step: float, applications: Applications
) -> None:
    """The boot clock cannot be set; a faulty one must cause no stale read either."""
    applications.write_and_settle(2)
    applications.advance(step)
    applications.assert_read(2)
    applications.tell_story(3)
    applications.advance(-step)
    applications.assert_read(6)
    applications.tell_story(10)
    applications.advance(LONGEST_HOLD_OFF)  # so long may it take what was just written
    applications.assert_healed()
    applications.assert_logged("")


def test_after_the_stores_clock_stepped_back_the_pause_of_entries_ends(
    local: Applications,
) -> None:
    overwrite(DATABASE, noise)(local.directory)
    local.do("end")
    local.do("read")
    local.advance(-HOUR)
    local.assert_healed()


def test_no_entry_from_before_a_boot_is_served(
    local: Applications,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local.do("end")
    local.write_outside(2)
    (tmp_path / "boot_id").write_text(f"{uuid4()}\n")
    monkeypatch.setattr(generation_file, "BOOT_ID", tmp_path / "boot_id")
    after = [
        Placed(each.application._replace(name=f"after {n}", since_boot=20.0))
        for n, each in enumerate((local.one, local.other))
    ]
    booted = Applications(local.dynamodb, *after)
    booted.assert_read(2)
    assert booted.are_cached()
    booted.tell_story(3)
    booted.assert_healed()
    booted.assert_logged("")
    booted.do("end")


# --- at the same moment --------------------------------------------------------------


def test_processes_that_open_a_new_store_at_once_share_it_a_hundred_times(
    tmp_path: Path,
) -> None:
    entry, evicted = key("an entry"), tag("a")
    with running_peers(2) as peers:
        one, other = peers
        for number in range(100):
            root = tmp_path / str(number)
            for peer in peers:
                peer.start(store_peer.fill, root, entry, b"by either")
            for peer in peers:
                peer.result()
            found = {
                peer.call(store_peer.load, root, entry, [evicted]) for peer in peers
            }
            assert {loaded.entry for loaded in found} == {b"by either"}
            assert len(found) == 1
            one.call(store_peer.fill, root, entry, b"by one")
            assert other.call(store_peer.load, root, entry, []).entry == b"by one"
            (mark,) = other.call(store_peer.evict, root, [evicted]).evicted.values()
            loaded = one.call(store_peer.load, root, entry, [evicted])
            assert loaded.snapshot == (mark.generation,)
            for peer in peers:
                peer.call(store_peer.close, root)
            shutil.rmtree(root)  # 16 MiB
