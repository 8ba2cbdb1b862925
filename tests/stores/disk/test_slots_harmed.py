"""What others do to the table's file and descriptor while a process uses them."""

import contextlib
import errno
import fcntl
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from botocache._coherence import EvictionRequest, Held
from botocache._errors import StoreError, StoreLostError
from botocache.stores.disk import generation_file, slot_words
from botocache.stores.disk import store as disk_store
from botocache.stores.disk.store import DiskStore
from tests.support.digests import key, tag
from tests.support.processes import TIMEOUT, forked, running_peer
from tests.support.store_peer import hold_lock

KEY, A = key("an entry"), tag("a")
OPEN_ENTRIES = DiskStore._open_entries
LAST = (slot_words.SLOT_COUNT - 1).to_bytes(8, "little") + bytes(8)
"""A tag whose slot is the last one of the table."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def slots(root: Path) -> Path:
    return root / "v1" / "default" / "slots"


@pytest.fixture(autouse=True)
def no_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave SQLite out: this is about the table alone."""
    monkeypatch.setattr(DiskStore, "_open_entries", lambda _: None)


def generation(store: DiskStore, of: bytes = A) -> int:
    return store.load(KEY, [of]).snapshot[0]


def evict(store: DiskStore, *tags: bytes) -> None:
    store.evict(EvictionRequest(tags, 5.0))


def outcome(verb: Callable[[], object]) -> object:
    try:
        return verb()
    except StoreError as error:
        return type(error)


# --- truncated -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 64, generation_file._SIZE // 2], ids=str)
@pytest.mark.parametrize("verb", ["load", "evict", "is_current", "watched"])
def test_a_file_that_is_truncated_after_it_was_looked_at_kills_no_process(
    root: Path, slots: Path, size: int, verb: str
) -> None:
    def child(pipe: Any) -> None:
        store = DiskStore(root)
        before = generation(store, LAST)
        watched = store.watch([LAST], [before])
        evict(DiskStore(root), A)  # the slots must be read again
        verbs: dict[str, Callable[[], object]] = {
            "load": lambda: store.load(KEY, [LAST]),
            "evict": lambda: evict(store, LAST),
            "is_current": lambda: store.is_current([LAST], [before]),
            "watched": watched,
        }
        # An eviction looks at the header first, and at the path last.
        name = "pread" if verb == "evict" else "stat"
        look = getattr(os, name)

        def look_and_truncate(*place: Any) -> object:
            setattr(os, name, look)
            seen = look(*place)
            os.truncate(slots, size)
            return seen

        setattr(os, name, look_and_truncate)  # of this child alone
        first = outcome(verbs[verb])
        outcome(lambda: generation(store))  # reports the loss, if `verb` did not
        pipe.send((first, generation(store, LAST) != before))

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        first, is_lost = pipe.recv()
    assert first is (StoreLostError if verb in ("load", "evict") else False)
    assert is_lost


@pytest.mark.parametrize("verb", ["load", "evict"])
def test_a_file_that_grew_again_after_it_was_truncated_is_replaced(
    root: Path, slots: Path, verb: str
) -> None:
    store = DiskStore(root)
    before = generation(store)
    inode = slots.stat().st_ino
    other = os.open(slots, os.O_RDWR)
    os.truncate(slots, generation_file._SIZE // 2)
    os.pwrite(other, os.urandom(8), generation_file._SIZE - 8)
    os.close(other)
    assert slots.stat().st_size == generation_file._SIZE
    in_the_zeros = (slot_words.SLOT_COUNT - 9).to_bytes(8, "little") + bytes(8)
    use = generation if verb == "load" else evict
    with pytest.raises(StoreLostError):
        use(store, in_the_zeros)
    assert generation(store) != before
    assert slots.stat().st_ino != inode


def test_an_eviction_in_a_table_that_another_process_condemned_is_an_error(
    root: Path, slots: Path
) -> None:
    store, other = DiskStore(root), DiskStore(root)
    generation(store)
    inode = slots.stat().st_ino
    other._table().condemn()
    with pytest.raises(StoreLostError):
        evict(store, A)
    assert slots.stat().st_ino != inode


def test_a_hold_off_that_was_cut_off_is_not_taken_for_none(
    root: Path, slots: Path
) -> None:
    store = DiskStore(root)
    table = store._table()
    found = table.slots_in_place()
    assert found is not None
    found.generations([LAST])
    os.truncate(slots, generation_file._SIZE - 8)
    with pytest.raises(StoreLostError):
        found.held([LAST], store.now())


@pytest.mark.parametrize("call", ["pread", "pwrite", "utime"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_an_eviction_that_the_disk_refuses_is_an_error_of_the_store(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    store = DiskStore(root)
    before = generation(store)

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StoreError, match=os.strerror(code)):
            evict(store, A)
    evict(store, A)
    assert generation(store) != before


# --- descriptors that were closed ----------------------------------------------------


def with_all_descriptors_replaced(directory: Path, kept: int) -> list[tuple[int, Path]]:
    """Close all descriptors but one, and open files that get the old numbers."""
    last = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    for number in range(3, last + 1):
        if number != kept:
            with contextlib.suppress(OSError):
                os.close(number)
    files = []
    for at in range(last):
        path = directory / f"file-{at}"
        path.write_bytes(b"precious" * 10)
        files.append((os.open(path, os.O_RDWR), path))
    return files


def are_intact(files: Sequence[tuple[int, Path]]) -> bool:
    return all(
        path.read_bytes() == b"precious" * 10
        and os.fstat(number).st_ino == path.stat().st_ino
        for number, path in files
    )


@pytest.mark.parametrize("verb", ["load", "evict", "watched", "close", "condemn"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_program_that_closes_all_descriptors_keeps_its_files(
    root: Path, tmp_path: Path, verb: str, *, is_marked: bool
) -> None:
    other = DiskStore(root)
    evict(other, A)

    def child(pipe: Any) -> None:
        store = DiskStore(root)
        before = generation(store)
        watched = store.watch([A], [before])
        if not is_marked:
            pipe.send("evict")
            pipe.recv()
        files = with_all_descriptors_replaced(tmp_path, pipe.fileno())
        for number, _ in files:
            fcntl.flock(number, fcntl.LOCK_EX)
        if verb == "load":
            assert generation(store, LAST) == generation(DiskStore(root), LAST)
        elif verb == "evict":
            evict(store, A)
        elif verb == "watched":
            assert watched() is is_marked
        elif verb == "condemn":
            table = store._slot_file
            assert table is not None
            table.condemn()
        store.close()
        del store, watched
        gc.collect()
        are_locked = not any(can_be_locked(path) for _, path in files)
        pipe.send((are_intact(files), are_locked, len(files)))

    with forked(child) as pipe:
        if not is_marked:
            assert pipe.recv() == "evict"
            evict(other, A)
            pipe.send("evicted")
        assert pipe.poll(TIMEOUT)
        before = generation(other)
        intact, are_locked, count = pipe.recv()
    assert count > 3
    assert intact
    assert are_locked
    assert generation(other) == before or verb == "evict"


def can_be_locked(path: Path) -> bool:
    number = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(number)
    return True


def test_a_word_of_the_applications_file_is_not_taken_for_a_hold_off(
    root: Path, tmp_path: Path
) -> None:
    evict(DiskStore(root), A)
    store = DiskStore(root)
    number = store._table()._file.number
    assert not store.is_current([A], [0])  # the generation alone is remembered
    (tmp_path / "file").write_bytes(bytes(generation_file._SIZE))
    other = os.open(tmp_path / "file", os.O_RDWR)
    os.dup2(other, number)  # closes it first
    assert store.load(KEY, [A]).held is Held.WRITING
    os.close(number)
    os.close(other)


def test_evictions_go_on_after_the_descriptor_was_closed(root: Path) -> None:
    store, other = DiskStore(root), DiskStore(root)
    generation(other)
    for _ in range(3):
        before = generation(store)
        table = store._slot_file
        assert table is not None
        os.close(table._file.number)
        evict(store, A)
        assert generation(other) == generation(store) != before


# --- a process that is stopped while it holds a lock ---------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long each attempt to get a lock waits at most, if it waits."""
    found: list[float] = []
    lock = generation_file.lock_within

    def lock_within(number: int, patience: float) -> bool:
        if patience:
            found.append(patience)
        return lock(number, patience)

    monkeypatch.setattr(generation_file, "lock_within", lock_within)
    return found


@contextlib.contextmanager
def stopped_holder(path: Path) -> Iterator[None]:
    with running_peer() as holder:
        holder.call(hold_lock, path)
        holder.stop()
        yield
        holder.kill()


def test_all_calls_together_wait_once_for_a_holder_that_is_stopped(
    root: Path, slots: Path, waits: list[float]
) -> None:
    store = DiskStore(root)
    generation(store)
    waits.clear()
    with stopped_holder(slots):
        threads = [threading.Thread(target=evict, args=(store, A)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        for _ in range(4):  # a write's begin and its end, twice
            before = generation(store)
            evict(store, A)
            assert generation(store) != before
        assert waits == [generation_file.LOCK_PATIENCE]
        table = store._slot_file
        assert table is not None
        is_over = time.monotonic() + generation_file.IMPATIENCE
        assert table._impatient_until <= is_over
        table._impatient_until = 0.0
        evict(store, A)
        assert waits == [generation_file.LOCK_PATIENCE] * 2


class Event(threading.Event):
    """An event that notes how long it is waited for."""

    waits: ClassVar[list[float | None]] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)


def test_a_call_that_opens_the_store_waits_for_its_two_parts_together(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiskStore, "_open_entries", OPEN_ENTRIES)
    monkeypatch.setattr(disk_store, "OPEN_PATIENCE", generation_file.MAKER_PATIENCE)
    monkeypatch.setattr(threading, "Event", Event)
    monkeypatch.setattr(Event, "waits", [])
    store = DiskStore(tmp_path)
    store.directory.mkdir(mode=0o700, parents=True)
    lock = store.directory / "lock"
    lock.touch()
    with stopped_holder(lock), contextlib.closing(store):
        generation(store)
    assert waits == [generation_file.MAKER_PATIENCE]
    assert Event.waits[-1] == 0.0
