"""The board on disk: kills, stops, and what another program puts into its directory."""

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from botocache._errors import StoreError
from botocache.stores.boards import LARGEST_RECORD, MOST_RECORDS
from botocache.stores.disk import board as board_module
from botocache.stores.disk.board import DiskBoard
from tests.support.clock import FakeClock
from tests.support.privileges import is_root

TTL = 60.0

as_root = pytest.mark.skipif(not is_root(), reason="only root may give files away")
BELOW = ("v1", "default", "board")


@pytest.fixture
def board(tmp_path: Path, clock: FakeClock) -> DiskBoard:
    return DiskBoard(tmp_path / "disk", BELOW, clock=clock)


@pytest.fixture
def place(board: DiskBoard, tmp_path: Path) -> Path:
    """The directory of the board, which has two records."""
    board.post("a", b"1", TTL)
    board.post("b", b"2", TTL)
    return tmp_path.joinpath("disk", *BELOW)


def files(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


# --- kills ---------------------------------------------------------------------------


class _KilledError(BaseException):
    """The process ends here."""


def steps(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Let the process end before a step: each rename and each removal is one."""
    done = 0

    def counted(step: Callable[..., None]) -> Callable[..., None]:
        def take(*arguments: object) -> None:
            nonlocal done
            if done == last:
                raise _KilledError
            done += 1
            step(*arguments)

        return take

    for name in ("_rename", "_remove"):
        step = getattr(board_module, name)
        monkeypatch.setattr(board_module, name, counted(step))


@pytest.mark.parametrize("last", range(8))
def test_a_merge_that_is_killed_is_done_or_not_done(
    board: DiskBoard, place: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    board.post("sum", b"10", TTL)
    parts = {"a": b"1", "b": b"2", "sum": b"10"}
    with monkeypatch.context() as patched:
        steps(patched, last)
        with contextlib.suppress(_KilledError):
            assert board.merge(parts, "sum", b"13", TTL)
    before, after = {"a": b"1", "b": b"2", "sum": b"10"}, {"sum": b"13"}
    assert board.posted() in (before, after)
    assert board.posted() == board.posted()
    assert "journal" not in files(place)


def test_the_steps_of_a_merge_are_all_tried(
    board: DiskBoard, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More kills than the test above has would change nothing."""
    with monkeypatch.context() as patched:
        steps(patched, 7)
        assert board.merge({"a": b"1", "b": b"2"}, "sum", b"3", TTL)


@pytest.mark.parametrize("last", range(2))
def test_a_post_that_is_killed_leaves_the_record_before(
    board: DiskBoard,
    place: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    last: int,
) -> None:
    with monkeypatch.context() as patched:
        steps(patched, last)
        with contextlib.suppress(_KilledError):
            board.post("a", b"new", TTL)
    assert board.posted()["a"] in (b"1", b"new")
    assert {*board.posted()} == {"a", "b"}


def test_what_a_killed_process_has_written_is_removed_later(
    board: DiskBoard, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / ".new-0123456789abcdef").write_bytes(b"half")
    board.names()
    assert ".new-0123456789abcdef" in files(place), "a process may be writing it"
    monkeypatch.setattr(board_module, "_LONGEST_WRITING", -1.0)
    board.names()
    assert files(place) == {"lock", "r-a", "r-b"}


# --- a process that was stopped ------------------------------------------------------


@pytest.fixture
def _stopped(place: Path) -> Iterator[None]:
    """Another process, which has the lock and does nothing."""
    with (place / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("_stopped")
def test_a_process_that_was_stopped_with_the_lock_keeps_others_from_merging_alone(
    board: DiskBoard,
) -> None:
    board.post("c", b"3", TTL)
    assert board.posted() == {"a": b"1", "b": b"2", "c": b"3"}
    assert [*board.names()] == ["a", "b", "c"]
    assert not board.merge({"a": b"1"}, "a", b"new", TTL)


@pytest.mark.parametrize("last", range(1, 6))
def test_a_merge_of_a_process_that_was_stopped_shows_as_done(
    board: DiskBoard, place: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    with monkeypatch.context() as patched:
        steps(patched, last)
        with contextlib.suppress(_KilledError):
            board.merge({"a": b"1", "b": b"2"}, "sum", b"3", TTL)
    with (place / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_begun = last > 1  # the removal of an earlier journal, and the rename of ours
        expected = {"sum": b"3"} if is_begun else {"a": b"1", "b": b"2"}
        assert board.posted() == expected
        assert {*board.names()} == {*expected}
    assert board.posted() == expected


# --- what others put there -----------------------------------------------------------

HOSTILE: dict[str, Callable[[Path], object]] = {
    "a link to a file": lambda path: path.symlink_to("/etc/hostname"),
    "a link to a record": lambda path: path.symlink_to("r-a"),
    "a link to nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
    "a directory": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "an empty file": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(os.urandom(100)),
    "a record that never ends": lambda path: path.write_bytes(
        b"botorec\x01" + b"\xff" * 6 + b"\xef\x7f" + b"forged"
    ),
    "a record until NaN": lambda path: path.write_bytes(
        b"botorec\x01" + b"\0" * 6 + b"\xf8\x7f" + b"forged"
    ),
    "a gigabyte": lambda path: os.truncate(
        os.open(path, os.O_CREAT | os.O_RDWR), 2**30
    ),
}


@pytest.mark.parametrize("planted", HOSTILE)
def test_what_is_none_of_ours_is_no_record_and_does_not_stay(
    board: DiskBoard, place: Path, planted: str
) -> None:
    HOSTILE[planted](place / "r-x")
    assert board.posted() == {"a": b"1", "b": b"2"}
    assert not board.merge({"x": b""}, "x", b"new", TTL)
    if planted != "a directory":  # which may have anything in it
        assert "r-x" not in files(place)
        HOSTILE[planted](place / "r-x")
        board.post("x", b"mine", TTL)
        assert board.posted()["x"] == b"mine"
        assert (place / "r-x").is_file()
        assert not (place / "r-x").is_symlink()


@pytest.mark.parametrize("planted", HOSTILE)
@pytest.mark.parametrize("name", ["lock", "journal"])
def test_the_lock_and_the_journal_may_be_anything(
    board: DiskBoard, place: Path, planted: str, name: str
) -> None:
    (place / name).unlink(missing_ok=True)
    HOSTILE[planted](place / name)
    if planted == "a directory":  # which may have anything in it
        with pytest.raises(StoreError):
            board.merge({"a": b"1", "b": b"2"}, "sum", b"3", TTL)
        return
    assert board.posted() == {"a": b"1", "b": b"2"}
    assert board.merge({"a": b"1", "b": b"2"}, "sum", b"3", TTL)
    assert board.posted() == {"sum": b"3"}


@pytest.mark.parametrize(
    "merge",
    [
        (".new-0", "../../escaped", []),
        ("../../slots", "x", []),
        ("r-a", "x", []),
        (".new-0", "x", ["../../slots"]),
        (".new-0", "x", [7]),
        (".new-0", "x", ["a"] * 101),
        (".new-0",),
        [],
    ],
)
def test_a_forged_journal_reaches_no_other_file(
    board: DiskBoard, place: Path, merge: object
) -> None:
    slots = place.parent / "slots"
    slots.write_bytes(b"precious")
    (place / "journal").write_bytes(msgspec.msgpack.encode(merge))
    assert board.posted() == {"a": b"1", "b": b"2"}
    assert slots.read_bytes() == b"precious"
    assert files(place.parent) == {"board", "slots"}


@as_root
def test_a_record_of_another_user_is_none(board: DiskBoard, place: Path) -> None:
    os.chown(place / "r-a", 12345, 12345)
    assert board.posted() == {"b": b"2"}


def test_a_second_name_of_a_file_as_of_a_backup_does_not_matter(
    board: DiskBoard, place: Path, tmp_path: Path
) -> None:
    for name in ("r-a", "lock"):
        os.link(place / name, tmp_path / name)
    assert board.posted() == {"a": b"1", "b": b"2"}
    assert board.merge({"a": b"1", "b": b"2"}, "sum", b"3", TTL)
    assert (tmp_path / "r-a").read_bytes().endswith(b"1"), "nothing is written to it"


def test_a_full_board_takes_no_new_record_until_some_expire(
    board: DiskBoard, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_RECORDS == 2000
    monkeypatch.setattr(board_module, "MOST_RECORDS", 5)
    for number in range(5):
        board.post(f"r{number}", b"x", 60.0 + number)
    with pytest.raises(StoreError, match="takes no more"):
        board.post("new", b"new", TTL)
    with pytest.raises(StoreError, match="takes no more"):
        board.merge({}, "new", b"new", TTL)
    board.post("r0", b"y", 60.0)
    clock.advance(61.5)
    board.post("new", b"new", TTL)


def test_records_that_are_too_large_together_are_not_read(
    board: DiskBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "MOST_BYTES", 3 * LARGEST_RECORD - 1)
    for number in range(3):
        board.post(f"r{number}", bytes(LARGEST_RECORD), TTL)
    with pytest.raises(StoreError, match="too large together"):
        board.posted()
    assert len(board.posted(["r0", "r1"])) == 2


# --- the directory -------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_all_that_is_made_is_private_whatever_the_umask(
    board: DiskBoard, tmp_path: Path, mask: int
) -> None:
    before = os.umask(mask)
    try:
        board.post("a", b"1", TTL)
        board.post("b", b"2", TTL)
        board.merge({"a": b"1"}, "sum", b"1", TTL)
    finally:
        os.umask(before)
    place = tmp_path.joinpath("disk", *BELOW)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()}
    assert modes == dict.fromkeys(("lock", "r-b", "r-sum"), 0o600)


def test_a_directory_that_others_can_write_to_is_refused(
    board: DiskBoard, place: Path
) -> None:
    place.chmod(0o777)
    with pytest.raises(StoreError, match="other users"):
        board.posted()
    with pytest.raises(StoreError, match="other users"):
        board.post("c", b"3", TTL)


def test_a_directory_that_was_removed_is_made_again(
    board: DiskBoard, place: Path
) -> None:
    shutil.rmtree(place.parent)
    assert not board.merge({"a": b"1"}, "a", b"2", TTL)
    board.post("a", b"1", TTL)
    assert board.posted() == {"a": b"1"}


def test_nothing_stays_open(board: DiskBoard, place: Path) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    board.post("c", b"3", TTL)
    board.merge({"a": b"1", "b": b"2"}, "sum", b"3", TTL)
    board.posted()
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_who_reads_makes_nothing(board: DiskBoard, tmp_path: Path) -> None:
    assert (board.names(), board.posted(), board.posted(["a"])) == ([], {}, {})
    assert list(tmp_path.iterdir()) == []
    board.post("a", b"1", TTL)
    assert board.posted() == {"a": b"1"}
