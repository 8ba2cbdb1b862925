"""A disk store that fills behind the call: what it shows, writes, loses and reports."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botocache._cache.cache import Cache
from botocache._coherence import EvictionRequest
from botocache._errors import EntryError, QueueFullError, StoreLostError
from botocache._settings.load import load_settings
from botocache.stores.disk import entry_database, fill_queue
from botocache.stores.disk.fill_queue import FillQueue
from botocache.stores.disk.store import PAUSE, DiskStore
from botocache.stores.protocol import Deferring, Fill
from tests.support.calls import call_of
from tests.support.clock import FakeClock
from tests.support.digests import key, tag
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, forked
from tests.support.threads import no_thread

KEY, OTHER_KEY = key("an entry"), key("another entry")
A = tag("a")
TTL = 60.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", TIMEOUT)
    monkeypatch.setattr("botocache.stores.disk.store.OPEN_PATIENCE", TIMEOUT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disk"


def _start_nothing(_thread: object) -> None:
    """Start no thread: nothing is written before the test wants it."""


@pytest.fixture
def store(root: Path, clock: FakeClock) -> Iterator[DiskStore]:
    with contextlib.closing(DiskStore(root, is_behind=True, clock=clock)) as made:
        made._queue = FillQueue(made._write_behind, _start_nothing)
        made.load(KEY, [A])
        yield made


@pytest.fixture
def other(root: Path, clock: FakeClock) -> Iterator[DiskStore]:
    """Another store on the same directory, as another process has it."""
    with contextlib.closing(DiskStore(root, clock=clock)) as made:
        yield made


def entry(store: DiskStore, name: bytes = KEY) -> bytes | None:
    return store.load(name, [A]).entry


def test_the_store_that_a_url_names_fills_behind_the_call(tmp_path: Path) -> None:
    made = open_store_at(f"disk://{tmp_path}/cache")
    assert isinstance(made, Deferring)
    assert isinstance(made, DiskStore)
    assert made._queue is not None
    made.load(KEY, [A])
    made.fill(KEY, b"entry", TTL)
    assert made.load(KEY, [A]).entry == b"entry"
    assert made.flush(TIMEOUT)
    made.close()


def test_an_entry_is_found_here_at_once_and_elsewhere_once_it_is_written(
    store: DiskStore, other: DiskStore
) -> None:
    store.fill(KEY, b"entry", TTL)
    assert entry(store) == b"entry"
    assert entry(other) is None
    assert store.flush(0.0)
    assert entry(store) == entry(other) == b"entry"


def test_a_batch_finds_what_waits_and_what_is_written(store: DiskStore) -> None:
    snapshot = store.load(KEY, [A]).snapshot
    store.fill(KEY, b"written", TTL)
    store.flush(0.0)
    store.fill_many([Fill(OTHER_KEY, b"waits", TTL)])
    found = store.load_many([(KEY, [A]), (OTHER_KEY, [A]), (key("none"), [A])])
    assert [each.entry for each in found] == [b"written", b"waits", None]
    assert [each.snapshot for each in found] == [snapshot] * 3


def test_a_batch_has_its_snapshots_from_before_its_entries(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the other order an eviction would give an old entry the new generation."""
    before = store.load(KEY, [A]).snapshot
    assert store._queue is not None
    get = store._queue.get

    def evict_and_get(name: bytes) -> bytes | None:
        store.evict(EvictionRequest([A], 0.0))
        return get(name)

    monkeypatch.setattr(store._queue, "get", evict_and_get)
    assert store.load_many([(KEY, [A])])[0].snapshot == before
    here = generations(store)
    assert here != before
    assert store.load(KEY, [A]).snapshot == here
    assert generations(store) != here


def generations(store: DiskStore) -> tuple[int, ...]:
    assert store._slot_file is not None
    return store._slot_file.slots.generations([A])


def test_closing_writes_what_waits(store: DiskStore, other: DiskStore) -> None:
    store.fill(KEY, b"entry", TTL)
    store.close()
    assert entry(other) == b"entry"
    store.fill(OTHER_KEY, b"entry", TTL)  # it opens again
    store.flush(0.0)
    assert entry(other, OTHER_KEY) == b"entry"


def test_clearing_drops_what_waits(store: DiskStore, other: DiskStore) -> None:
    store.fill(KEY, b"entry", TTL)
    store.clear()
    store.flush(0.0)
    assert entry(store) is entry(other) is None


def test_clearing_fails_while_entries_are_written_that_would_come_after_it(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FillQueue, "drop", lambda *_: False)
    with pytest.raises(EntryError, match="being written"):
        store.clear()


def test_a_database_that_was_replaced_gets_what_waits(
    store: DiskStore, other: DiskStore
) -> None:
    store.fill(KEY, b"entry", TTL)
    shutil.rmtree(store.directory / "entries-2")
    entry(other)
    store.flush(0.0)
    store.fill(OTHER_KEY, b"entry", TTL)  # nothing to report
    store.flush(0.0)
    assert entry(store, OTHER_KEY) == b"entry"


def test_nothing_is_made_in_a_directory_that_was_removed(store: DiskStore) -> None:
    store.fill(KEY, b"entry", TTL)
    shutil.rmtree(store.directory)
    store.flush(0.0)
    assert not store.directory.exists()
    with pytest.raises(StoreLostError):
        store.load(KEY, [A])
    assert entry(store) is None


@pytest.mark.parametrize("wait", [0.0, PAUSE + 1.0], ids=["at once", "later"])
def test_what_the_thread_failed_with_is_raised_by_the_next_fill(
    wait: float, store: DiskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store._entries is not None

    def fail(*_: object) -> None:
        raise entry_database.EntryDatabaseError("the disk is full")

    monkeypatch.setattr(store._entries, "put_many", fail)
    store.fill(KEY, b"entry", TTL)
    store.flush(0.0)
    assert entry(store) is None
    clock.advance(wait)
    with pytest.raises(EntryError, match="entries were lost: the disk is full"):
        store.fill(KEY, b"entry", TTL)
    if not wait:
        with pytest.raises(EntryError, match="not open: the disk is full"):
            store.fill(KEY, b"entry", TTL)  # until the pause is over
        clock.advance(PAUSE + 1.0)
    store.fill(KEY, b"entry", TTL)
    assert entry(store) == b"entry"


def test_a_full_queue_is_counted_and_not_reported(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(store, load_settings({}, {}, "disk:"))
    read(cache, "a")  # and learns the table's key attributes
    monkeypatch.setattr(fill_queue, "MOST_ENTRIES", 0)
    with pytest.raises(QueueFullError):
        store.fill(KEY, b"entry", TTL)
    read(cache, "b")
    (series,) = cache.stats().tables
    assert (series.fills, series.unfilled) == (1, {"queue_full": 1})
    assert not caplog.records


def read(cache: Cache, pk: str) -> None:
    item = {"pk": {"S": pk}}
    ticket: Any = cache.begin(call_of("GetItem"), {"TableName": "t", "Key": item})
    cache.finish(ticket, {"Item": item}, succeeded=True, certain=True)


def test_without_a_thread_a_fill_is_written_when_it_returns(
    store: DiskStore, other: DiskStore
) -> None:
    store._queue = FillQueue(store._write_behind, no_thread)
    store.fill(KEY, b"entry", TTL)
    assert entry(other) == b"entry"


def test_a_child_finds_what_waited_at_the_fork(store: DiskStore) -> None:
    store.fill(KEY, b"entry", TTL)
    with forked(lambda pipe: pipe.send(entry(store))) as child:
        assert child.recv() == b"entry"


# --- processes that end --------------------------------------------------------------

FILLING = """
import multiprocessing, os, sys, threading
from botocache.stores.disk import fill_queue, store
from tests.support.opening import open_store_at

store.OPEN_PATIENCE, fill_queue.GATHERED = {patience}, {patience}

def fill():
    made = open_store_at(sys.argv[1])
    made.load({key!r}, [{tag!r}])
    made.fill({key!r}, b"entry", 60.0)
    return made

if __name__ == "__main__":
"""

ENDS = {
    "the end of the script": "kept = fill()",
    "a store that is dropped": "fill()",
    "sys.exit": "kept = fill(); sys.exit(0)",
    "a thread that still runs": """
    kept = []
    def later():
        threading.main_thread().join()
        kept.append(fill())
    threading.Thread(target=later).start()""",
    "a child of multiprocessing": """
    kept = []
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=lambda: kept.append(fill()))
    child.start(); child.join(); sys.exit(child.exitcode)""",
    "a spawned child": """
    child = multiprocessing.get_context("spawn").Process(target=fill)
    child.start(); child.join(); sys.exit(child.exitcode)""",
    "a forked child": """
    pid = os.fork()
    if pid:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    kept = fill()""",
    "a parent that ends before its child": """
    kept = fill()
    if os.fork():
        os._exit(0)
    os._exit(0)""",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_leaves_its_entries(end: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    begin = FILLING.format(key=KEY, tag=A, patience=TIMEOUT)
    program.write_text(f"{begin}    {ENDS[end].strip()}\n")
    url = f"disk://{tmp_path}/cache"
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(program), url],
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    made = open_store_at(url)
    assert made.load(KEY, [A]).entry == b"entry"
    made.close()


def test_a_process_that_is_killed_loses_what_waits_and_harms_nothing(
    store: DiskStore, other: DiskStore
) -> None:
    def fill(pipe: Any) -> None:
        store.fill(KEY, b"lost", TTL)
        pipe.send(os.getpid())  # and ends without any of its exits

    with forked(fill) as child:
        child.recv()
    assert entry(store) is entry(other) is None
    store.fill(KEY, b"entry", TTL)
    store.flush(0.0)
    assert entry(other) == b"entry"
