"""The life of the table's file: made once, trusted never too much, replaced at need."""

import contextlib
import errno
import fcntl
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from botocache._coherence import Eviction, EvictionRequest
from botocache._errors import StoreError, StoreLostError
from botocache.stores.disk import generation_file, slot_words
from botocache.stores.disk.generation_file import (
    Exclusive,
    GenerationFile,
    boot_id,
    lock_within,
    open_generation_file,
)
from botocache.stores.disk.store import DiskStore
from tests.support.digests import key, tag, tags
from tests.support.privileges import as_nobody, can_mount
from tests.support.processes import Peer, in_thread, running_peer, running_peers
from tests.support.store_peer import (
    evict,
    hold_lock,
    identity,
    load,
    mount_tiny,
    open_table,
)

KEY, A = key("an entry"), tag("a")
BOOT = bytes(range(16))
SIZE = generation_file._SIZE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slots"


def opened(path: Path, boot: bytes = BOOT) -> GenerationFile:
    return open_generation_file(path, boot, os.urandom)


def evict_in(table: GenerationFile, evicted: list[bytes]) -> tuple[int, ...]:
    table.slots.evict(EvictionRequest(evicted, 5.0), 1000.0, Exclusive(table))
    return table.slots.generations(evicted)


def names(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


# --- made once -----------------------------------------------------------------------


def test_a_new_table_is_complete_and_no_other_file_is_left(path: Path) -> None:
    opened(path)
    assert path.stat().st_size == SIZE
    assert names(path) == {"slots", "lock"}


def test_a_new_table_has_all_its_blocks_so_that_no_write_to_it_can_fail(
    path: Path,
) -> None:
    opened(path)
    assert path.stat().st_blocks * 512 >= SIZE


def test_only_the_owner_of_a_table_can_read_it(path: Path) -> None:
    opened(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("lock").stat().st_mode & 0o777 == 0o600


def test_a_reopened_table_has_all_its_generations(path: Path) -> None:
    left = evict_in(opened(path), tags(50))
    assert opened(path).slots.generations(tags(50)) == left


def test_two_openers_of_a_table_see_each_others_evictions(path: Path) -> None:
    one, other = opened(path), opened(path)
    assert evict_in(one, [A]) == other.slots.generations([A])
    assert evict_in(other, [A]) == one.slots.generations([A])


def test_a_new_table_shares_no_generation_with_the_old_one(path: Path) -> None:
    asked = tags(50)
    old = opened(path)
    evict_in(old, asked[:25])
    path.unlink()
    new = opened(path)
    assert not set(old.slots.generations(asked)) & set(new.slots.generations(asked))


@pytest.mark.parametrize("preexisting", [None, b"", b"noise" * 1000])
def test_processes_that_make_a_table_at_once_end_up_with_the_same(
    tmp_path: Path, preexisting: bytes | None
) -> None:
    with running_peers(8) as peers:
        for turn in range(7):
            directory = tmp_path / str(turn)
            directory.mkdir()
            path = directory / "slots"
            if preexisting is not None:
                path.write_bytes(preexisting)
            for peer in peers:
                peer.start(open_table, path)
            made = {peer.result() for peer in peers}
            assert made == {identity(opened(path, boot_id()))}
            assert names(path) == {"slots", "lock"}
            path.unlink()


def test_a_file_left_by_a_killed_maker_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "_LONGEST_MAKING", -1.0)
    path.with_name("new-abc").write_bytes(b"half a table")
    opened(path)
    assert names(path) == {"slots", "lock"}


def test_a_file_that_another_process_makes_right_now_is_left(path: Path) -> None:
    path.with_name("new-abc").write_bytes(b"half a table")
    opened(path)
    assert names(path) == {"slots", "lock", "new-abc"}


def test_the_repr_shows_the_path(path: Path) -> None:
    assert repr(opened(path)) == f"<GenerationFile {path}>"


def test_an_unused_table_holds_no_file_open(path: Path) -> None:
    table = opened(path)
    assert open_files(path)
    del table
    assert not open_files(path)


def open_files(path: Path) -> list[str]:
    links = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(str(fd.readlink()))
    return [link for link in links if link.startswith(str(path))]


# --- replaced at need ----------------------------------------------------------------


def header(
    magic: bytes = generation_file._MAGIC,
    boot: bytes = BOOT,
    count: int = slot_words.SLOT_COUNT,
    origin: int = 99,
) -> bytes:
    return generation_file._HEADER.pack(magic, boot, count, origin)


def table_of(head: bytes, size: int = SIZE, rest: bytes = b"\0") -> bytes:
    return head + rest * (size - len(head))


NOT_TO_BE_TRUSTED: dict[str, Callable[[], bytes]] = {
    "empty": bytes,
    "one byte": lambda: b"b",
    "half a header": lambda: header()[:20],
    "a header only": header,
    "one byte too few": lambda: table_of(header(), SIZE - 1),
    "one byte too many": lambda: table_of(header(), SIZE + 1),
    "half of its slots": lambda: table_of(header(), SIZE // 2),
    "zeros": lambda: table_of(b""),
    "ones": lambda: table_of(b"", rest=b"\xff"),
    "noise": lambda: os.urandom(SIZE),
    "another magic": lambda: table_of(header(magic=b"botocache slits\x01")),
    "an earlier version": lambda: table_of(header(magic=b"botocache slots\x02")),
    "a later version": lambda: table_of(header(magic=b"botocache slots\x04")),
    "another boot": lambda: table_of(header(boot=BOOT[::-1])),
    "fewer slots": lambda: table_of(header(count=slot_words.SLOT_COUNT // 2)),
    "more slots": lambda: table_of(header(count=slot_words.SLOT_COUNT * 2)),
    "no origin": lambda: table_of(header(origin=0)),
}


def test_the_header_that_the_tests_vary_is_valid(path: Path) -> None:
    path.write_bytes(table_of(header()))
    before = path.stat().st_ino
    opened(path)
    assert path.stat().st_ino == before


@pytest.mark.parametrize(
    "content", NOT_TO_BE_TRUSTED.values(), ids=NOT_TO_BE_TRUSTED.keys()
)
def test_an_invalid_file_is_replaced(path: Path, content: Callable[[], bytes]) -> None:
    path.write_bytes(content())
    before = path.stat().st_ino
    table = opened(path)
    assert path.stat().st_ino != before
    assert path.stat().st_size == SIZE
    assert table.slots.generations([A]) not in [(99,), (0,), (2**64 - 1,)]
    assert not table.slots.held(tags(50), 1000.0)
    assert evict_in(table, [A]) == opened(path).slots.generations([A])


def test_no_generation_of_an_earlier_boot_is_valid(path: Path) -> None:
    asked = tags(50)
    before = opened(path, boot=bytes(16))
    evict_in(before, asked[:25])
    after = opened(path)
    assert not set(before.slots.generations(asked)) & set(
        after.slots.generations(asked)
    )
    assert not after.slots.held(asked, 1000.0)


def test_a_table_that_was_replaced_is_no_longer_in_place(path: Path) -> None:
    table = opened(path)
    assert table.is_in_place()
    path.rename(path.with_name("moved"))
    assert not table.is_in_place()
    opened(path)
    assert not table.is_in_place()


def test_a_condemned_table_is_replaced_when_it_is_opened_next(
    path: Path,
) -> None:
    one, other = opened(path), opened(path)
    one.condemn()
    assert not one.is_in_place()
    assert not other.is_in_place()
    assert opened(path).identity != one.identity


def test_no_generation_of_a_new_table_is_zero(path: Path) -> None:
    slots = path.read_bytes() if opened(path) else b""
    words = memoryview(slots)[slot_words.HEADER_SIZE :].cast("Q")
    assert 0 not in words[::2]


@pytest.mark.parametrize("size", [0, 1, SIZE // 2, SIZE - 1, SIZE + 1])
def test_a_table_of_another_size_is_no_longer_in_place(path: Path, size: int) -> None:
    table = opened(path)
    os.truncate(path, size)
    assert not table.is_in_place()


def test_a_file_that_shrinks_while_it_is_opened_is_an_error_of_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(path)
    check = generation_file._checked

    def check_and_shrink(head: bytes, status: os.stat_result, boot: bytes) -> int:
        origin = check(head, status, boot)
        os.truncate(path, 0)
        return origin

    monkeypatch.setattr(generation_file, "_checked", check_and_shrink)
    with contextlib.suppress(StoreError, OSError):
        opened(path)


# --- by others, while it is used -----------------------------------------------------


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Peer]:
    """Another process that has a disk store of this directory in use."""
    with running_peer() as peer:
        peer.call(evict, tmp_path, [A])
        peer.call(load, tmp_path, KEY, [A])
        yield peer


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    path.with_name("other").write_bytes(os.urandom(SIZE))
    path.with_name("other").replace(path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def halve(path: Path) -> None:
    os.truncate(path, SIZE // 2)


def replace_by_a_copy(path: Path) -> None:
    path.with_name("copy").write_bytes(path.read_bytes())
    path.with_name("copy").replace(path)


def wipe(path: Path) -> None:
    overwrite(path, 0)


def wipe_the_slots(path: Path) -> None:
    overwrite(path, slot_words.HEADER_SIZE)


def overwrite(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(SIZE - at))


HARMS = [remove, replace, empty, halve, wipe]


@pytest.mark.parametrize("harm", [*HARMS, wipe_the_slots])
def test_a_process_whose_table_is_harmed_continues_with_a_new_one(
    tmp_path: Path, user: Peer, harm: Callable[[Path], None]
) -> None:
    before = user.call(load, tmp_path, KEY, tags(50)).snapshot
    harm(tmp_path / "v1" / "default" / "slots")
    with pytest.raises(StoreLostError):
        user.call(load, tmp_path, KEY, [A])
    after = user.call(load, tmp_path, KEY, tags(50)).snapshot
    assert not set(before) & set(after)
    evicted = user.call(evict, tmp_path, [A])
    with contextlib.closing(DiskStore(tmp_path)) as store:
        assert store.load(KEY, [A]).snapshot == (evicted.evicted[A].generation,)
        evicted = store.evict(EvictionRequest([A], 0.0))
    found = user.call(load, tmp_path, KEY, [A]).snapshot
    assert found == (evicted.evicted[A].generation,)


@pytest.mark.parametrize("harm", [*HARMS, replace_by_a_copy])
def test_a_process_whose_table_is_harmed_may_evict_next(
    tmp_path: Path, user: Peer, harm: Callable[[Path], None]
) -> None:
    harm(tmp_path / "v1" / "default" / "slots")
    with pytest.raises(StoreLostError):
        user.call(evict, tmp_path, [A])
    evicted = user.call(evict, tmp_path, [A])
    found = user.call(load, tmp_path, KEY, [A]).snapshot
    assert found == (evicted.evicted[A].generation,)


# --- where it cannot be made ---------------------------------------------------------


def test_a_directory_without_write_permission_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    sealed.chmod(0o555)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the directories above may be closed to others
    with as_nobody(), pytest.raises(PermissionError):
        opened(Path("sealed", "slots"))
    assert not list(sealed.iterdir())


def test_a_table_without_write_permission_is_an_error_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path / "slots")
    (tmp_path / "slots").chmod(0o444)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "slots").stat().st_ino
    with as_nobody(), pytest.raises(PermissionError):
        opened(Path("slots"))
    assert (tmp_path / "slots").stat().st_ino == before


def test_a_directory_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "missing" / "slots")


def test_a_symlink_is_replaced_and_not_followed(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(b"precious")
    path.symlink_to(target)
    opened(path)
    assert target.read_bytes() == b"precious"
    assert not path.is_symlink()


def test_a_symlink_to_a_table_is_replaced_and_not_followed(path: Path) -> None:
    target = path.with_name("target")
    left = evict_in(opened(target), [A])
    path.symlink_to(target)
    assert opened(path).slots.generations([A]) != left
    assert opened(target).slots.generations([A]) == left


def test_a_directory_in_place_of_the_table_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        opened(path)


def test_a_pipe_in_its_place_is_replaced_without_a_wait(path: Path) -> None:
    os.mkfifo(path)
    in_thread(lambda: opened(path))
    assert path.is_file()


def test_a_full_disk_is_an_error_and_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(OSError, match="No space"):
        opened(path)
    assert names(path) == {"lock"}


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_a_store_on_a_disk_too_small_fails_and_does_not_kill(tmp_path: Path) -> None:
    with running_peer("unshare", "-m") as peer:
        peer.call(mount_tiny, tmp_path / "tiny", "1m")
        for _ in range(3):
            with pytest.raises(StoreError, match="No space"):
                peer.call(load, tmp_path / "tiny", KEY, [A])
            with pytest.raises(StoreError, match="No space"):
                peer.call(evict, tmp_path / "tiny", [A])


def test_a_failed_opening_holds_no_file_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"noise")
    monkeypatch.setattr(generation_file, "_make", lambda *_: None)
    with pytest.raises(StoreError):
        opened(path)
    gc.collect()
    assert not open_files(path.parent)


# --- the boot id ---------------------------------------------------------------------


def test_the_boot_id_is_16_bytes_and_the_same_twice() -> None:
    assert len(boot_id()) == 16
    assert boot_id() == boot_id() != bytes(16)


@pytest.mark.parametrize("content", [None, "", "no hex", "\x00"])
def test_a_machine_without_a_boot_id_has_no_table(
    path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(generation_file, "BOOT_ID", path)
    with pytest.raises(StoreError, match="boot id"):
        boot_id()


# --- locks ---------------------------------------------------------------------------


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "a lock", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_a_free_lock_is_taken_at_once(lock: int) -> None:
    assert lock_within(lock, 0.0)


def test_waiting_for_a_lock_of_another_process_ends_after_the_patience(
    tmp_path: Path, lock: int
) -> None:
    with running_peer() as holder:
        holder.call(hold_lock, tmp_path / "a lock")
        assert not lock_within(lock, 0.0)
        assert not lock_within(lock, 0.01)


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path: Path, lock: int) -> None:
    with running_peer() as holder:
        holder.call(hold_lock, tmp_path / "a lock")
        holder.stop()
        assert not lock_within(lock, 0.01)
        holder.kill()
        assert lock_within(lock, 0.0)


def test_the_writers_of_a_table_exclude_each_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    one, other = opened(path), opened(path)
    with Exclusive(one):
        assert not lock_within(other._file.number, 0.0)
    assert lock_within(other._file.number, 0.0)
    fcntl.flock(other._file.number, fcntl.LOCK_UN)


def test_a_writer_that_fails_leaves_no_lock(path: Path) -> None:
    table, other = opened(path), opened(path)
    with pytest.raises(ZeroDivisionError), Exclusive(table):
        _ = 1 / 0
    assert lock_within(other._file.number, 0.0)


def test_a_writer_that_stopped_waiting_does_not_free_the_holders_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    holder, writer, third = opened(path), opened(path), opened(path)
    with Exclusive(holder):
        evict_in(writer, [A])
        assert not lock_within(third._file.number, 0.0)


def test_a_writer_continues_when_the_holder_of_the_lock_is_stopped(
    tmp_path: Path, user: Peer
) -> None:
    with contextlib.closing(DiskStore(tmp_path)) as reader, running_peer() as holder:
        holder.call(hold_lock, tmp_path / "v1" / "default" / "slots")
        holder.stop()
        for _ in range(3):
            evicted = user.call(evict, tmp_path, [A], 5.0)
            loaded = reader.load(KEY, [A])
            assert loaded.snapshot == (evicted.evicted[A].generation,)
            assert loaded.held
        holder.kill()


def test_a_table_is_made_even_when_another_maker_is_stopped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "MAKER_PATIENCE", 0.001)
    path.with_name("lock").touch()
    with running_peer() as maker:
        maker.call(hold_lock, path.with_name("lock"))
        maker.stop()
        table = opened(path)
        assert table.is_in_place()
        maker.kill()


def test_an_existing_table_is_opened_without_any_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(path)
    path.with_name("lock").unlink()
    opened(path)
    assert names(path) == {"slots"}


def test_an_eviction_that_was_interrupted_leaves_no_words_that_the_next_one_takes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = open_generation_file(path, boot_id(), os.urandom)
    other = open_generation_file(path, boot_id(), os.urandom)
    a, b = tags(2, "tag")

    def write(table: GenerationFile, *evicted: bytes, **how: Any) -> Eviction:
        request = EvictionRequest(evicted, 5.0, **how)
        return table.slots.evict(request, 1000.0, Exclusive(table))

    first = write(one, a, b)
    with monkeypatch.context() as patch:
        patch.setattr(type(one.slots._words), "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(one, a, b)
    write(other, b)
    second = write(one, b, first_eviction=first, restore=(b,))
    assert not second.evicted[b].was_alone


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
