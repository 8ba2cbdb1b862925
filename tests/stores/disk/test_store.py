"""The disk store: its directory, its forks, and how its two halves fail apart."""

import contextlib
import fcntl
import gc
import os
import random
import shutil
import sqlite3
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import diskcache
import pytest

from botocache._coherence import EvictionRequest, Held
from botocache._errors import EntryError, StoreError, StoreLostError
from botocache.stores.clock import machine_clock
from botocache.stores.disk import (
    connections,
    entry_database,
    generation_file,
    slot_words,
)
from botocache.stores.disk import store as disk_store
from botocache.stores.disk.connections import is_owned
from botocache.stores.disk.entry_database import (
    EntryDatabase,
    EntryDatabaseError,
)
from botocache.stores.disk.generation_file import Exclusive
from botocache.stores.disk.store import (
    PAUSE,
    DiskStore,
    default_directory,
)
from tests.support.clock import FakeClock
from tests.support.digests import key, tag, tags
from tests.support.interruptions import Interruption
from tests.support.locks import all_locks, locked
from tests.support.privileges import NOBODY, as_nobody, can_mount, is_root
from tests.support.processes import (
    TIMEOUT,
    Peer,
    eventually,
    forked,
    in_thread,
    in_threads,
    running_peer,
)
from tests.support.store_peer import evict, fill, fill_until_full, load, mount_tiny

KEY, OTHER_KEY = key("an entry"), key("another entry")
A, B = tag("a"), tag("b")
TTL = 60.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def store(root: Path, clock: FakeClock) -> Iterator[DiskStore]:
    with contextlib.closing(DiskStore(root, clock=clock)) as made:
        yield made


@pytest.fixture
def peer() -> Iterator[Peer]:
    with running_peer() as running:
        yield running


def generations(store: DiskStore, *asked: bytes) -> tuple[int, ...]:
    return store.load(KEY, asked).snapshot


def generation_of(store: DiskStore, asked: bytes) -> int:
    (only,) = generations(store, asked)
    return only


def use(store: DiskStore, entry: bytes = b"entry") -> None:
    """Use every important verb, and check its result."""
    evicted = store.evict(EvictionRequest([A], 0.0))
    assert generations(store, A) == (evicted.evicted[A].generation,)
    store.fill(KEY, entry, TTL)
    assert store.load(KEY, [A]).entry == entry


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the directory -------------------------------------------------------------------


def test_no_file_is_made_before_the_first_verb(root: Path, clock: FakeClock) -> None:
    store = DiskStore(root, clock=clock)
    assert store.now() == clock()
    assert "not open" in repr(store)
    store.close()
    assert not root.exists()


FIRST_VERBS: dict[str, Callable[[DiskStore], object]] = {
    "load": lambda store: store.load(KEY, [A]),
    "fill": lambda store: store.fill(KEY, b"entry", TTL),
    "evict": lambda store: store.evict(EvictionRequest([A], 0.0)),
    "clear": lambda store: store.clear(),
}


@pytest.mark.parametrize("verb", FIRST_VERBS.values(), ids=FIRST_VERBS.keys())
def test_the_directory_is_private_whichever_verb_comes_first(
    store: DiskStore, verb: Callable[[DiskStore], object]
) -> None:
    with contextlib.suppress(StoreError):
        verb(store)
    if store.directory.exists():
        assert mode(store.directory) == 0o700


@pytest.mark.parametrize("before", [0o755, 0o711, 0o750, 0o500])
def test_a_directory_that_was_open_to_others_becomes_private(
    store: DiskStore, before: int
) -> None:
    store.directory.mkdir(parents=True)
    store.directory.chmod(before)
    use(store)
    assert mode(store.directory) == 0o700


def test_a_directory_that_was_opened_to_others_becomes_private_when_opened_again(
    store: DiskStore,
) -> None:
    use(store)
    store.directory.chmod(0o755)
    store.close()
    use(store)
    assert mode(store.directory) == 0o700


@pytest.mark.skipif(not is_root(), reason="needs root to give a directory away")
def test_a_directory_of_another_user_is_refused(store: DiskStore) -> None:
    store.directory.mkdir(parents=True, mode=0o700)
    os.chown(store.directory, NOBODY, NOBODY)
    for verb in (FIRST_VERBS["load"], FIRST_VERBS["evict"]):
        with pytest.raises(StoreError, match="another user"):
            verb(store)
    assert not list(store.directory.iterdir())


def test_a_file_in_the_directorys_place_is_refused(store: DiskStore) -> None:
    store.directory.parent.mkdir(parents=True)
    store.directory.touch()
    for verb in (FIRST_VERBS["load"], FIRST_VERBS["evict"]):
        with pytest.raises(StoreError, match="not a directory"):
            verb(store)


def test_a_symlink_in_the_directorys_place_is_refused(
    store: DiskStore, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    store.directory.parent.mkdir(parents=True)
    store.directory.symlink_to(elsewhere)
    for verb in (FIRST_VERBS["load"], FIRST_VERBS["evict"]):
        with pytest.raises(StoreError, match="not a directory"):
            verb(store)
    assert not list(elsewhere.iterdir())


def test_a_symlink_that_leads_nowhere_is_refused(store: DiskStore, root: Path) -> None:
    root.symlink_to(root.with_name("nowhere"))
    with pytest.raises(StoreError, match="not a directory"):
        store.load(KEY, [A])


def test_a_file_above_the_directory_is_an_error_of_the_store(
    store: DiskStore, root: Path
) -> None:
    root.touch()
    for verb in FIRST_VERBS.values():
        with pytest.raises(StoreError):
            verb(store)


def test_a_directory_that_cannot_be_made_is_an_error_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed").chmod(0o555)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the directories above may be closed to others
    store = DiskStore(Path("sealed", "disk"))
    with as_nobody():
        for verb in FIRST_VERBS.values():
            with pytest.raises(StoreError):
                verb(store)


def test_a_machine_without_a_boot_id_has_no_disk_store(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "BOOT_ID", tmp_path / "missing")
    with pytest.raises(StoreError, match="boot id"):
        store.load(KEY, [A])


def test_namespaces_share_nothing(root: Path) -> None:
    one, other = DiskStore(root, namespace="one"), DiskStore(root, namespace="other")
    use(one)
    assert other.load(KEY, [A]).entry is None
    assert generations(one, A, B) != generations(other, A, B)
    one.close()
    other.close()


def test_stores_of_one_directory_are_one_store(store: DiskStore, root: Path) -> None:
    with contextlib.closing(DiskStore(root, clock=store.now)) as other:
        use(store)
        assert other.load(KEY, [A]) == store.load(KEY, [A])
        use(other, b"changed")
        assert other.load(KEY, [A]) == store.load(KEY, [A])


def test_the_repr_shows_the_directory_and_whether_it_is_open(store: DiskStore) -> None:
    assert repr(store) == f"<DiskStore {store.directory}, entries not open>"
    use(store)
    assert repr(store) == f"<DiskStore {store.directory}, entries open>"
    store.close()
    assert repr(store) == f"<DiskStore {store.directory}, entries not open>"


def test_a_store_that_is_closed_holds_no_file_open(store: DiskStore) -> None:
    use(store)
    assert open_files(store)
    store.close()
    assert not open_files(store)


def open_files(store: DiskStore) -> list[str]:
    links = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(str(fd.readlink()))
    return [link for link in links if link.startswith(str(store.directory))]


# --- the default directory -----------------------------------------------------------


def test_the_default_directory_is_in_the_cache_home(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    assert default_directory(environ) == tmp_path / "cache" / "botocache"


@pytest.mark.parametrize("cache_home", [None, "", "relative/cache", "."])
def test_the_default_directory_is_under_home_without_a_cache_home(
    tmp_path: Path, cache_home: str | None
) -> None:
    environ = {"HOME": str(tmp_path)}
    if cache_home is not None:
        environ["XDG_CACHE_HOME"] = cache_home
    assert default_directory(environ) == tmp_path / ".cache" / "botocache"


@pytest.mark.parametrize("home", [None, "", ".", "relative", "/nonexistent/home"])
def test_the_default_directory_is_a_temporary_one_per_user_without_a_home(
    home: str | None,
) -> None:
    environ = {} if home is None else {"HOME": home}
    expected = Path(tempfile.gettempdir(), f"botocache-{os.getuid()}")
    assert default_directory(environ) == expected


def test_the_default_directory_is_a_temporary_one_when_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere.
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != tmp_path)
    expected = Path(tempfile.gettempdir(), f"botocache-{os.getuid()}")
    assert default_directory({"HOME": str(tmp_path)}) == expected


def test_looking_up_the_default_directory_does_not_make_it(tmp_path: Path) -> None:
    default_directory({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert not (tmp_path / "cache").exists()


def test_the_clock_is_the_boot_clock_that_all_processes_share(peer: Peer) -> None:
    monotonic = time.clock_gettime(time.CLOCK_MONOTONIC)
    before = machine_clock()
    there = peer.call(machine_clock)
    assert monotonic <= before <= there <= machine_clock()


# --- forks ---------------------------------------------------------------------------


def test_a_forked_child_and_its_parent_see_each_others_evictions(
    store: DiskStore,
) -> None:
    use(store)
    before = generations(store, A, B)

    def child(pipe: Any) -> None:
        assert generations(store, A, B) == before
        pipe.send(store.evict(EvictionRequest([A], 5.0)))
        evicted = pipe.recv()
        loaded = store.load(KEY, [B])
        assert loaded.snapshot == (evicted.evicted[B].generation,)
        assert loaded.held

    with forked(child) as pipe:
        evicted = pipe.recv()
        loaded = store.load(KEY, [A])
        assert loaded.snapshot == (evicted.evicted[A].generation,)
        assert loaded.held
        pipe.send(store.evict(EvictionRequest([B], 5.0)))
    use(store)


def test_a_forked_child_and_its_parent_share_entries(store: DiskStore) -> None:
    store.fill(KEY, b"from before", TTL)

    def child(pipe: Any) -> None:
        assert store.load(KEY, []).entry == b"from before"
        store.fill(KEY, b"the child's", TTL)
        pipe.send("filled")
        pipe.recv()
        assert store.load(OTHER_KEY, []).entry == b"the parent's"

    with forked(child) as pipe:
        pipe.recv()
        assert store.load(KEY, []).entry == b"the child's"
        store.fill(OTHER_KEY, b"the parent's", TTL)
        pipe.send("filled")


def test_a_forked_child_uses_no_connection_of_its_parent(store: DiskStore) -> None:
    use(store)
    parents = store._entries
    assert parents is not None

    def child(_: object) -> None:
        assert store._entries is None
        use(store)
        assert store._entries is not parents

    with forked(child):
        pass
    assert store._entries is parents


def test_a_forked_child_closes_no_connection_of_its_parent(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(store)
    parents = store._entries
    closed: list[EntryDatabase] = []

    def close(entries: EntryDatabase) -> None:
        closed.append(entries)

    def child(_: object) -> None:
        use(store)
        store.close()
        assert closed
        assert parents not in closed

    with monkeypatch.context() as patch:
        patch.setattr(EntryDatabase, "close", close)
        with forked(child):
            pass


def test_a_forked_child_that_ends_leaves_its_parents_database_in_order(
    store: DiskStore,
) -> None:
    for number in range(8):
        store.fill(KEY, b"%d" % number, TTL)
        with forked(lambda _: use_and_collect(store)):
            store.fill(OTHER_KEY, b"%d" % number, TTL)
        assert store.load(OTHER_KEY, []).entry == b"%d" % number
    with contextlib.closing(connected(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def use_and_collect(store: DiskStore) -> None:
    use(store)
    gc.collect()


def test_a_store_can_be_used_for_the_first_time_by_a_forked_child(
    store: DiskStore,
) -> None:
    with forked(lambda _: use(store)):
        pass
    use(store)


def test_no_lock_that_another_thread_held_at_a_fork_stops_the_child(
    store: DiskStore,
) -> None:
    use(store)
    locks = all_locks(store)
    assert len(locks) >= 2
    with locked(locks), forked(lambda _: use(store)):
        pass


def test_a_writer_of_the_parent_at_a_fork_blocks_the_child_no_longer_than_the_patience(
    store: DiskStore,
) -> None:
    use(store)
    table = store._slot_file
    assert table is not None
    with Exclusive(table), forked(lambda _: use(store)):
        pass


def test_a_forked_child_does_not_free_its_parents_lock(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    use(store)
    table = store._slot_file
    assert table is not None
    other = os.open(store.directory / "slots", os.O_RDWR)
    with Exclusive(table):
        with forked(lambda _: use(store)):
            pass
        assert not generation_file.lock_within(other, 0.0)
    assert generation_file.lock_within(other, 0.0)
    os.close(other)


def test_a_fork_while_entries_are_opened_leaves_both_able_to_open_them(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = SlowOpening(monkeypatch)
    monkeypatch.setattr(disk_store, "OPEN_PATIENCE", 0.01)
    assert store.load(KEY, []).entry is None

    def child(_: object) -> None:
        disk_store.OPEN_PATIENCE = TIMEOUT
        opening.go_on.set()
        use(store)

    with forked(child):
        pass
    opening.go_on.set()
    eventually(lambda: "entries open" in repr(store))
    use(store)


# --- a directory that disappears -----------------------------------------------------


def harm_root(store: DiskStore) -> None:
    shutil.rmtree(store.directory.parents[1])


def harm_directory(store: DiskStore) -> None:
    shutil.rmtree(store.directory)


def move_directory(store: DiskStore) -> None:
    store.directory.rename(tempfile.mkdtemp(dir=store.directory.parent))


HARMS = [harm_root, harm_directory, move_directory]


def notice(store: DiskStore) -> None:
    """Have the loss of its directory noticed, which every process does once."""
    with pytest.raises(StoreLostError):
        store.load(KEY, [A])


@pytest.mark.parametrize("harm", HARMS)
def test_processes_whose_directory_is_removed_continue_and_agree_again(
    store: DiskStore, root: Path, peer: Peer, harm: Callable[[DiskStore], None]
) -> None:
    use(store)
    peer.call(load, root, KEY, [A])
    before = generations(store, A, B)
    harm(store)
    notice(store)
    evicted = store.evict(EvictionRequest([A], 0.0))
    with pytest.raises(StoreLostError):
        peer.call(load, root, KEY, [A, B])
    there = peer.call(load, root, KEY, [A, B])
    assert there.entry is None
    assert there.snapshot == (evicted.evicted[A].generation, generations(store, B)[0])
    assert not set(there.snapshot) & set(before)
    evicted = peer.call(evict, root, [B])
    assert generations(store, B) == (evicted.evicted[B].generation,)
    peer.call(fill, root, KEY, b"from there")
    assert store.load(KEY, [A]).entry == b"from there"
    store.fill(KEY, b"from here", TTL)
    assert peer.call(load, root, KEY, [A]).entry == b"from here"


@pytest.mark.parametrize("harm", HARMS)
def test_a_removed_directory_is_made_again_as_private(
    store: DiskStore, harm: Callable[[DiskStore], None]
) -> None:
    use(store)
    harm(store)
    notice(store)
    use(store)
    assert mode(store.directory) == 0o700


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("verb", ["load", "evict", "clear"])
def test_any_verb_reports_a_removed_directory_once(
    store: DiskStore, harm: Callable[[DiskStore], None], verb: str
) -> None:
    use(store)
    for _ in range(3):
        harm(store)
        with pytest.raises(StoreLostError):
            FIRST_VERBS[verb](store)
        for each in FIRST_VERBS.values():
            each(store)


def test_the_first_use_of_a_store_by_a_process_reports_no_loss(root: Path) -> None:
    for _ in range(2):
        with contextlib.closing(DiskStore(root)) as store:
            use(store)
            store.close()
            use(store)


def test_a_directory_removed_while_the_store_was_closed_is_reported(
    store: DiskStore,
) -> None:
    # More than once, because file systems give an inode's number to the next file.
    use(store)
    for _ in range(10):
        store.close()
        harm_directory(store)
        notice(store)
        use(store)


def test_a_directory_removed_before_a_fork_is_reported_to_both_processes(
    store: DiskStore,
) -> None:
    def child(_: object) -> None:
        notice(store)
        use(store)

    use(store)
    harm_directory(store)
    with forked(child):
        pass
    notice(store)
    use(store)


def test_a_fork_alone_reports_no_loss(store: DiskStore) -> None:
    use(store)
    with forked(lambda _: use(store)):
        pass
    use(store)


def test_evictions_of_a_removed_directory_restore_nothing_in_the_next_one(
    store: DiskStore,
) -> None:
    use(store)
    before = generations(store, A, B)
    first = store.evict(EvictionRequest([A, B], 5.0))
    harm_directory(store)
    with pytest.raises(StoreLostError):
        store.evict(EvictionRequest([A, B], 1.0, first_eviction=first, restore=[A]))
    second = store.evict(
        EvictionRequest([A, B], 1.0, first_eviction=first, restore=[A])
    )
    assert [mark.was_alone for mark in second.evicted.values()] == [False, False]
    left = {mark.generation for mark in first.evicted.values()} | {*before}
    assert not left & {*generations(store, A, B)}
    assert store.load(KEY, [A]).held is not Held.FREE


def test_an_entry_is_never_served_after_its_directory_was_removed(
    store: DiskStore,
) -> None:
    loaded = store.load(KEY, [A])
    store.fill(KEY, b"entry", TTL)
    harm_directory(store)
    notice(store)
    store.fill(KEY, b"entry", TTL)  # by a read that began before
    assert generations(store, A) != loaded.snapshot


@pytest.mark.parametrize("is_noticed", [False, True], ids=["", "noticed meanwhile"])
def test_an_eviction_is_seen_even_if_the_directory_is_removed_during_it(
    root: Path, clock: FakeClock, is_noticed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, ...]] = []

    def remove_and_read(*place: Any, **times: Any) -> None:
        monkeypatch.undo()
        utime(*place, **times)
        harm_directory(reader)
        if is_noticed:  # by another thread, which gets the error
            notice(writer)
        read.append(generations(reader, A))

    writer = DiskStore(root, clock=clock)
    reader = DiskStore(root, clock=clock)
    with contextlib.closing(reader), contextlib.closing(writer):
        use(writer)
        utime = os.utime
        monkeypatch.setattr(os, "utime", remove_and_read)  # by which it ends
        with contextlib.suppress(StoreError):  # and then it is tried again
            writer.evict(EvictionRequest([A], 0.0))
            assert generations(reader, A) != read[0]
    assert read


# --- order ---------------------------------------------------------------------------


def test_generations_are_read_before_the_entry(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_and_evict(entries: EntryDatabase, asked: bytes) -> bytes | None:
        store.evict(EvictionRequest([A], 5.0))
        return get(entries, asked)

    use(store)
    before = generations(store, A)
    get = EntryDatabase.get
    monkeypatch.setattr(EntryDatabase, "get", get_and_evict)
    loaded = store.load(KEY, [A])
    assert (loaded.entry, loaded.snapshot) == (b"entry", before)
    assert not store.is_current([A], loaded.snapshot)


class Stopped:
    """A barrier at which a writer is stopped once, after its hold-offs."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = [meanwhile]

    def __enter__(self) -> None:
        while self._meanwhile:
            self._meanwhile.pop()()

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("is_restored", [False, True])
@pytest.mark.parametrize("writes", [1, 2])
def test_a_stopped_writer_was_not_alone_and_undoes_no_eviction(
    store: DiskStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
    is_restored: bool,
) -> None:
    def write() -> None:
        for _ in range(writes):
            other.evict(
                EvictionRequest(
                    [A], 1.0, first_eviction=other.evict(EvictionRequest([A], 5.0))
                )
            )

    use(store)
    before = generation_of(store, A)
    first = store.evict(EvictionRequest([A], 5.0))
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    with contextlib.closing(DiskStore(root, clock=store.now)) as other:
        table = store._table()
        monkeypatch.setattr(table.slots, "_barrier", Stopped(write))
        restore = [A] if is_restored else []
        second = store.evict(
            EvictionRequest([A], 1.0, first_eviction=first, restore=restore)
        )
        found = generation_of(other, A)
    assert found == second.evicted[A].generation
    assert found not in (before, first.evicted[A].generation)
    assert not second.evicted[A].was_alone


def test_a_writer_that_was_stopped_as_it_began_restores_nothing(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(store)
    before = generation_of(store, A)
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    with contextlib.closing(DiskStore(root, clock=store.now)) as other:

        def write() -> None:
            other.evict(
                EvictionRequest(
                    [A], 1.0, first_eviction=other.evict(EvictionRequest([A], 5.0))
                )
            )

        monkeypatch.setattr(store._table().slots, "_barrier", Stopped(write))
        first = store.evict(EvictionRequest([A], 5.0))
        store.evict(EvictionRequest([A], 1.0, first_eviction=first, restore=[A]))
        assert generation_of(other, A) != before


def test_a_writer_that_went_on_without_the_lock_restores_nothing(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(store)
    before = generation_of(store, A)
    first = store.evict(EvictionRequest([A], 5.0))
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    fd = os.open(store.directory / "slots", os.O_RDWR)
    try:
        assert generation_file.lock_within(fd, 0.0)
        store.evict(EvictionRequest([A], 1.0, first_eviction=first, restore=[A]))
    finally:
        os.close(fd)
    assert generation_of(store, A) != before
    assert store.load(KEY, [A]).held is Held.WRITING


def test_a_writer_touches_slots_only_while_others_are_excluded(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(store)
    table = store._slot_file
    assert table is not None
    other = os.open(store.directory / "slots", os.O_RDWR)
    seen: dict[str, set[bool]] = {"pread": set(), "pwrite": set()}

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def touch(number: int, what: Any, at: int) -> Any:
            if at >= slot_words.HEADER_SIZE:
                is_alone = not generation_file.lock_within(other, 0.0)
                seen[name].add(is_owned(store._writing) and is_alone)
            return call(number, what, at)

        return touch

    with monkeypatch.context() as patch:
        for name in seen:
            patch.setattr(os, name, watched(name, getattr(os, name)))
        first = store.evict(EvictionRequest([A, B], 5.0))
        store.evict(EvictionRequest([A, B], 1.0, first_eviction=first))
    os.close(other)
    assert seen == {"pread": {True}, "pwrite": {True}}


def test_an_eviction_lets_that_of_another_thread_end(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    set_mark = generation_file._set_mark

    def set_mark_late(number: int, drawn: int) -> int:
        began.set()
        go_on.wait(TIMEOUT)
        return set_mark(number, drawn)

    done: list[Any] = []
    use(store)
    monkeypatch.setattr(generation_file, "_set_mark", set_mark_late)
    monkeypatch.setattr(disk_store, "WRITER_PATIENCE", TIMEOUT)
    threads = [
        threading.Thread(
            target=lambda: done.append(store.evict(EvictionRequest([A], 5.0))),
            daemon=True,
        )
        for _ in range(3)
    ]
    threads[0].start()
    assert began.wait(TIMEOUT)
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: sum(map(is_looking_on, threads)) == 2)
    go_on.set()
    for thread in threads:
        thread.join(TIMEOUT)
    found = {each.evicted[A].previous_generation for each in done}
    assert len(found) == 3


def is_looking_on(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == "_look_on"


def test_an_eviction_of_a_signal_handler_does_not_wait_for_the_one_around_it(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(store)
    table = store._slot_file
    assert table is not None
    with (
        store._writing,
        store._busy,
        Exclusive(table),
        monkeypatch.context() as patch,
    ):
        patch.setattr(time, "sleep", pytest.fail)
        assert store.evict(EvictionRequest([A], 5.0)).evicted


# --- entries that fail ---------------------------------------------------------------


def connected(store: DiskStore) -> sqlite3.Connection:
    path = store.directory / "entries-2" / "cache.db"
    return sqlite3.connect(path, isolation_level=None, timeout=0)


def overwrite(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(50_000))


def truncate(path: Path) -> None:
    os.truncate(path, 5000)


def cut_the_header(path: Path) -> None:
    os.truncate(path, 50)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def spoil_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40_000)


def replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def drop_a_table(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE Cache")


DATABASE_HARMS = [
    overwrite,
    truncate,
    cut_the_header,
    empty,
    spoil_a_page,
    replace_by_a_directory,
    drop_a_table,
]


@pytest.mark.parametrize("harm", DATABASE_HARMS)
def test_a_store_with_a_broken_database_misses_and_recovers_after_a_pause(
    store: DiskStore, clock: FakeClock, harm: Callable[[Path], None]
) -> None:
    names = [key(str(number)) for number in range(30)]
    store.load(KEY, [A, B])
    for name in names:
        store.fill(name, b"old" * 1000, TTL)
    snapshot = generations(store, A, B)
    store.close()
    harm(store.directory / "entries-2" / "cache.db")
    for name in names:
        with contextlib.suppress(StoreError):
            loaded = store.load(name, [A, B])
            assert loaded.entry in (None, b"old" * 1000)
            assert loaded.snapshot == snapshot
        with contextlib.suppress(StoreError):
            store.fill(name, b"old" * 1000, TTL)
    clock.advance(PAUSE)
    for name in names:
        assert store.load(name, [A, B]).snapshot == snapshot
        store.fill(name, b"new", TTL)
        assert store.load(name, [A, B]).entry == b"new"


def test_evictions_and_snapshots_work_without_entries(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EntryDatabaseError("broken")

    monkeypatch.setattr(disk_store, "EntryDatabase", fail)
    for _ in range(3):
        evicted = store.evict(EvictionRequest([A], 5.0))
        loaded = store.load(KEY, [A])
        assert loaded == (None, (evicted.evicted[A].generation,), Held.WRITING)
        with pytest.raises(StoreError):
            store.fill(KEY, b"entry", TTL)


def test_after_a_failure_entries_are_not_tried_before_the_pause_is_over(
    store: DiskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(*_: object) -> None:
        tried.append(clock())
        raise EntryDatabaseError("broken")

    monkeypatch.setattr(disk_store, "EntryDatabase", fail)
    for _ in range(8):
        store.load(KEY, [A])
        clock.advance(PAUSE / 2)
    assert [at - tried[0] for at in tried] == [0, PAUSE, 2 * PAUSE, 3 * PAUSE]


def test_entries_that_another_thread_reopened_stay_in_use(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: EntryDatabase, __: bytes) -> None:
        store.close()
        store.fill(KEY, b"entry", TTL)
        raise EntryDatabaseError("of those before")

    use(store)
    with monkeypatch.context() as patch:
        patch.setattr(EntryDatabase, "get", fail)
        with pytest.raises(StoreError):
            store.load(KEY, [A])
    assert store.load(KEY, [A]).entry == b"entry"


def test_a_damaged_entry_is_one_miss_and_affects_no_other_entry(
    store: DiskStore,
) -> None:
    store.fill(KEY, b"one", TTL)
    store.fill(OTHER_KEY, b"other", TTL)
    with contextlib.closing(connected(store)) as connection:
        connection.execute("UPDATE Cache SET value = x'00' WHERE rowid = 1")
    with pytest.raises(StoreError):
        store.load(KEY, [A])
    assert store.load(KEY, [A]).entry is None
    assert store.load(OTHER_KEY, [A]).entry == b"other"


def test_a_process_without_file_descriptors_drops_no_entries_of_others(
    store: DiskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.fill(KEY, b"entry", TTL)
    another = DiskStore(store.directory.parents[1], clock=clock)
    another.evict(EvictionRequest([A], 0.0))
    with monkeypatch.context() as patch:
        patch.setattr(connections, "Connection", no_descriptors)
        assert another.load(KEY, [A]).entry is None
    assert store.load(KEY, [A]).entry == b"entry"
    clock.advance(disk_store.PAUSE)
    assert another.load(KEY, [A]).entry == b"entry"
    another.close()


def no_descriptors(*_: object, **__: object) -> None:
    """Fail as SQLite does."""
    raise sqlite3.OperationalError("unable to open database file")


def test_a_locked_database_causes_a_pause_and_loses_no_entry(
    store: DiskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 0.01)
    store.fill(KEY, b"entry", TTL)
    with contextlib.closing(connected(store)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        store.fill(OTHER_KEY, b"lost", TTL)
        assert store.load(KEY, [A]).entry == b"entry"  # once may be chance
        with pytest.raises(StoreError):
            store.fill(OTHER_KEY, b"lost", TTL)
        assert store.load(KEY, [A]).entry is None
        store.evict(EvictionRequest([A], 0.0))
    clock.advance(PAUSE)
    assert store.load(KEY, [A]).entry == b"entry"


def test_clear_raises_if_entries_could_not_be_dropped(
    store: DiskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 0.01)
    use(store)
    with contextlib.closing(connected(store)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(StoreError):
                store.clear()
            with contextlib.suppress(StoreError):
                store.fill(OTHER_KEY, b"lost", TTL)  # this one begins a pause
    clock.advance(PAUSE)
    assert store.load(KEY, [A]).entry == b"entry"


def test_clear_replaces_a_broken_database(store: DiskStore, clock: FakeClock) -> None:
    use(store)
    with contextlib.closing(connected(store)) as connection:
        connection.execute("DROP TABLE Cache")
    with contextlib.suppress(StoreError):
        store.clear()
    clock.advance(PAUSE)
    store.load(KEY, [A])
    store.fill(KEY, b"new", TTL)
    assert store.load(KEY, [A]).entry == b"new"


def test_an_abandoned_database_is_not_kept_open(
    store: DiskStore, clock: FakeClock
) -> None:
    use(store)
    gc.collect()
    gc.disable()  # a full disk cannot wait for it
    try:
        with contextlib.closing(connected(store)) as connection:
            connection.execute("DROP TABLE Cache")
        with pytest.raises(StoreError):
            store.load(KEY, [A])
        clock.advance(PAUSE)
        use(store)
        assert not [link for link in open_files(store) if "deleted" in link]
    finally:
        gc.enable()


def test_a_process_whose_database_another_one_replaced_shares_the_new_one(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    use(store)
    peer.call(load, root, KEY, [A])
    with contextlib.closing(connected(store)) as connection:
        # Broken for the next process that opens it; the peer has it open.
        connection.execute("CREATE TABLE Another (value)")
    store.close()
    assert store.load(KEY, [A]).entry is None
    assert not (store.directory / "entries-2").exists()
    store.close()
    use(store, b"from here")
    peer.call(fill, root, OTHER_KEY, b"from there")
    assert store.load(OTHER_KEY, [A]).entry == b"from there"
    assert peer.call(load, root, KEY, [A]).entry == b"from here"


@pytest.mark.parametrize("size", [0, 4096, 100_000])
def test_a_database_that_shrinks_while_it_is_open_kills_no_process(
    root: Path, peer: Peer, size: int
) -> None:
    names = tags(80)
    for name in names:
        peer.call(load, root, name, [A])
        peer.call(fill, root, name, os.urandom(100_000))
    os.truncate(root / "v1" / "default" / "entries-2" / "cache.db", size)
    for name in names:
        with contextlib.suppress(StoreError):
            peer.call(load, root, name, [A])


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_a_disk_full_of_entries_stops_no_eviction_and_kills_no_process(
    tmp_path: Path,
) -> None:
    with running_peer("unshare", "-m") as peer:
        peer.call(mount_tiny, tmp_path / "tiny", "20m")
        filled, failed = peer.call(fill_until_full, tmp_path / "tiny", tags(100))
    assert filled
    assert failed


# --- opening takes long --------------------------------------------------------------


class SlowOpening:
    """Makes entries open only when `go_on` is set; counts how often they are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.count = 0
        monkeypatch.setattr(disk_store, "EntryDatabase", self._open)

    def _open(self, directory: Path, size_limit: int) -> EntryDatabase:
        self.count += 1
        assert self.go_on.wait(TIMEOUT)
        return EntryDatabase(directory, size_limit)


def test_opening_entries_blocks_briefly_and_continues_in_the_background(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = SlowOpening(monkeypatch)
    monkeypatch.setattr(disk_store, "OPEN_PATIENCE", 0.01)
    for _ in range(3):
        evicted = in_thread(lambda: store.evict(EvictionRequest([A], 5.0)), TIMEOUT / 2)
        loaded = in_thread(lambda: store.load(KEY, [A]), TIMEOUT / 2)
        assert loaded == (None, (evicted.evicted[A].generation,), Held.WRITING)
        with pytest.raises(StoreError, match="not open"):
            in_thread(lambda: store.fill(KEY, b"entry", TTL), TIMEOUT / 2)
    opening.go_on.set()
    eventually(lambda: "entries open" in repr(store))
    use(store)
    assert opening.count == 1


def test_threads_that_use_a_store_first_open_its_entries_once(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = SlowOpening(monkeypatch)
    opening.go_on.set()
    in_threads([lambda: store.load(KEY, [A])] * 8)
    assert opening.count == 1


def test_entries_are_opened_later_when_no_thread_can_be_started_now(
    store: DiskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(StoreError):
            store.fill(KEY, b"entry", TTL)
    clock.advance(PAUSE)
    store.load(KEY, [A])
    store.fill(KEY, b"entry", TTL)
    assert store.load(KEY, [A]).entry == b"entry"


# --- other versions ------------------------------------------------------------------


def earlier_version(store: DiskStore) -> diskcache.Cache:
    """Open entries as an earlier version did: with a log, and with settings."""
    directory = store.directory / "entries"
    return diskcache.Cache(str(directory), eviction_policy="least-recently-stored")


def test_an_earlier_version_beside_this_one_keeps_its_entries(
    store: DiskStore, clock: FakeClock
) -> None:
    """While a new version is rolled out, both use the generations of one table."""
    store.load(KEY, [A])
    with contextlib.closing(earlier_version(store)) as earlier:
        for n in range(3):
            earlier.set(n, b"theirs")
            store.fill(KEY, b"ours", TTL)
            assert store.load(KEY, [A]).entry == b"ours"
            assert earlier.get(n) == b"theirs"
            store.close()
            clock.advance(PAUSE)
        assert earlier.get(0) == b"theirs"


def _await_our_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("botocache"):
            thread.join(10.0)


def test_an_earlier_version_that_has_just_made_its_directory_keeps_it(
    store: DiskStore,
) -> None:
    directory = store.directory / "entries"
    directory.mkdir(parents=True)
    store.load(KEY, [A])
    _await_our_threads()
    assert directory.exists()


@pytest.mark.parametrize(("hours", "is_kept"), [(23, True), (25, False)])
def test_entries_of_an_earlier_version_go_a_day_after_its_last_fill(
    store: DiskStore, hours: float, *, is_kept: bool
) -> None:
    store.load(KEY, [A])
    store.close()
    with contextlib.closing(earlier_version(store)) as earlier:
        earlier.set(1, b"theirs")
    directory = store.directory / "entries"
    then = time.time() - hours * 3600
    for path in [*directory.iterdir(), directory]:
        os.utime(path, (then, then))
    store.load(KEY, [A])
    _await_our_threads()
    assert directory.exists() == is_kept
    store.fill(KEY, b"ours", TTL)
    assert store.load(KEY, [A]).entry == b"ours"


def test_a_store_waits_for_threads_that_open_others_and_says_nothing(
    root: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own thread raises nothing that Python would print."""
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    monkeypatch.setattr("botocache.stores.disk.entry_database.LOCK_PATIENCE", 0.01)
    with contextlib.closing(DiskStore(root, clock=clock)) as store:
        with connections._opening.alone(TIMEOUT):
            store.load(KEY, ())
            eventually(lambda: "other threads open" in store._trouble)
        eventually(lambda: fills(store))
    assert not raised


def fills(store: DiskStore) -> bool:
    try:
        store.fill(KEY, b"entry", 60.0)
    except EntryError:
        return False
    return True


def test_an_interruption_at_any_line_of_an_eviction_keeps_no_lock(
    store: DiskStore,
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    def write() -> None:
        store.evict(EvictionRequest((A,), 1.0))

    write()
    table = store._slot_file
    assert table is not None
    with (store.directory / "slots").open("rb") as file:
        for at in count():
            handler = Interruption(at, stop)
            with contextlib.suppress(KeyboardInterrupt):
                handler.during(write)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            assert not table.is_held, handler.place
            assert table.words.remembered is None, handler.place
            if not handler.place:
                break
    assert at > 50
