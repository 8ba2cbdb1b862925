"""The mark of the generation table: one stat shows that no slot has changed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from botocache._coherence import EvictionRequest, Held
from botocache.stores.disk import generation_file
from botocache.stores.disk.generation_file import (
    GenerationFile,
    RememberedSlots,
    open_generation_file,
)
from botocache.stores.generation_table import Words
from tests.support.digests import tag, tags
from tests.support.processes import TIMEOUT, forked

A, B = tag("a"), tag("b")
NOW = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slots"


def opened(path: Path) -> GenerationFile:
    return open_generation_file(path, bytes(range(16)), os.urandom)


def evict(table: GenerationFile, *evicted: bytes, hold_off: float = 5.0) -> None:
    table.slots.evict(EvictionRequest(evicted, hold_off), NOW, table.exclusive())


def slots(table: GenerationFile) -> RememberedSlots:
    found = table.slots_in_place()
    assert found is not None
    return found


def generations(table: GenerationFile, *asked: bytes) -> tuple[int, ...]:
    return slots(table).generations(asked)


def mark_of(path: Path) -> int:
    return path.stat().st_mtime_ns


def fail(*_: object) -> bytes:
    raise OSError("a slot was read")


class Observed:
    """Words that call `look` after each write of one of them."""

    def __init__(self, words: Words, look: Callable[[], object]) -> None:
        self._words = words
        self._look = look

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, index: int) -> int:
        return self._words[index]

    def __setitem__(self, index: int, word: int) -> None:
        self._words[index] = word
        self._look()


@pytest.fixture
def writer(path: Path) -> GenerationFile:
    return opened(path)


@pytest.fixture
def reader(path: Path, writer: GenerationFile) -> GenerationFile:
    return opened(path)


@pytest.fixture
def no_slot_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], None]:
    """Return what lets each read of a slot fail from now on."""
    return lambda: monkeypatch.setattr(os, "pread", fail)


def test_a_watched_snapshot_stays_current_without_a_read(
    reader: GenerationFile, no_slot_is_read: Callable[[], None]
) -> None:
    is_current = reader.watch([A, B], generations(reader, A, B))
    no_slot_is_read()
    assert is_current()
    assert is_current()


def test_after_an_eviction_of_others_one_more_read_is_enough(
    reader: GenerationFile,
    writer: GenerationFile,
    no_slot_is_read: Callable[[], None],
) -> None:
    is_current = reader.watch([A], generations(reader, A))
    evict(writer, B)
    assert is_current()
    no_slot_is_read()
    assert is_current()


def test_the_slots_of_equal_loads_are_read_once(
    reader: GenerationFile, no_slot_is_read: Callable[[], None]
) -> None:
    known, held = generations(reader, A), slots(reader).held([A], NOW)
    no_slot_is_read()
    assert (generations(reader, A), slots(reader).held([A], NOW)) == (known, held)


def test_a_writer_reads_no_header_to_find_its_own_mark(
    writer: GenerationFile, no_slot_is_read: Callable[[], None]
) -> None:
    evict(writer, A)
    no_slot_is_read()
    assert writer.is_in_place()


def test_every_eviction_leaves_a_mark_that_was_never_there(
    path: Path, writer: GenerationFile
) -> None:
    marks = [mark_of(path)]
    for _ in range(20):
        evict(writer, A)
        marks.append(mark_of(path))
    assert len(set(marks)) == len(marks)
    with path.open("rb") as file:
        file.seek(generation_file._MARK_AT)
        assert file.read(8) == generation_file._WORD.pack(marks[-1])


def test_a_mark_is_a_date_of_the_last_weeks(path: Path, writer: GenerationFile) -> None:
    evict(writer, A)
    assert (
        0 <= path.with_name("lock").stat().st_mtime - path.stat().st_mtime < 14 * 86400
    )


def test_a_reader_in_the_middle_of_an_eviction_remembers_nothing(
    path: Path, reader: GenerationFile, writer: GenerationFile
) -> None:
    before = generations(reader, B)
    is_current = reader.watch([B], before)
    seen_at: list[int] = []

    def look() -> None:
        if is_current() and generations(reader, B) == before:
            seen_at.append(mark_of(path))

    words: Any = Observed(writer.slots._words, look)
    writer.slots._words = words
    evict(writer, A, B)  # B last
    assert len(seen_at) > 1
    assert not is_current()
    assert generations(reader, B) != before
    # The clock is at the same tick when the next writer begins.
    for mark in seen_at:
        os.utime(path, ns=(mark, mark))
        assert not is_current()
        assert generations(reader, B) != before


def test_an_eviction_that_ends_between_a_look_at_the_mark_and_the_slots_is_seen(
    reader: GenerationFile, writer: GenerationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_current = reader.watch([A], generations(reader, A))
    evict(writer, B)
    read, stat = os.pread, os.stat

    def evict_and_read(*args: int) -> bytes:
        monkeypatch.setattr(os, "pread", read)
        evict(writer, A)
        return read(*args)

    def stat_and_evict(path: str) -> os.stat_result:
        monkeypatch.setattr(os, "stat", stat)
        monkeypatch.setattr(os, "pread", evict_and_read)
        return stat(path)

    monkeypatch.setattr(os, "stat", stat_and_evict)
    is_current()
    assert not is_current()


def test_a_killed_writers_changes_are_seen(
    path: Path, reader: GenerationFile, writer: GenerationFile
) -> None:
    before = generations(reader, A)
    is_current = reader.watch([A], before)

    def child(pipe: Any) -> None:
        table = opened(path)
        written: list[int] = []

        def die_at_the_second_word() -> None:
            written.append(1)
            if len(written) == 2:
                pipe.send("dead")
                os._exit(0)

        words: Any = Observed(table.slots._words, die_at_the_second_word)
        table.slots._words = words
        evict(table, A)

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        pipe.recv()
    assert not is_current()
    assert generations(reader, A) != before
    assert slots(reader).held([A], NOW) is Held.WRITING


# --- where there is no mark ----------------------------------------------------------


@pytest.mark.parametrize("unit", [100, 10**9, 2 * 10**9], ids=str)
def test_evictions_are_seen_on_a_file_system_that_rounds_times(
    path: Path, monkeypatch: pytest.MonkeyPatch, unit: int
) -> None:
    utime = os.utime

    def rounded(number: int, ns: tuple[int, int]) -> None:
        utime(number, ns=(ns[0] // unit * unit, ns[1] // unit * unit))

    monkeypatch.setattr(os, "utime", rounded)
    writer, reader = opened(path), opened(path)
    for _ in range(20):
        is_current = reader.watch([A, B], generations(reader, A, B))
        assert is_current()
        evict(writer, A)
        assert not is_current()
        assert generations(reader, A) == writer.slots.generations([A])


@pytest.mark.parametrize("at", [0, -1, 10**18, None], ids=str)
def test_evictions_are_seen_in_a_file_that_others_touch(
    path: Path, reader: GenerationFile, writer: GenerationFile, at: int | None
) -> None:
    def touch() -> None:
        if at is None:
            path.touch()
        else:
            os.utime(path, ns=(at, at))

    is_current = reader.watch([A], generations(reader, A))
    touch()
    assert is_current()
    evict(writer, A)
    touch()
    assert not is_current()
    assert generations(reader, A) == writer.slots.generations([A])


# --- what is remembered --------------------------------------------------------------


def test_threads_find_no_new_generation_beside_an_old_hold_off(
    reader: GenerationFile, writer: GenerationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = writer.slots.generations([A])
    of_both, read = slots(reader), os.pread

    def read_late(*args: int) -> bytes:
        # Meanwhile another thread reads the slot, and a writer evicts it.
        monkeypatch.setattr(os, "pread", read)
        assert of_both.generations([A]) == before
        assert of_both.held([A], NOW) is Held.FREE
        evict(writer, A)
        return read(*args)

    monkeypatch.setattr(os, "pread", read_late)
    found = (of_both.generations([A]), of_both.held([A], NOW))
    after = writer.slots.generations([A])
    assert after != before
    assert found in [(before, Held.FREE), (after, Held.WRITING)]


def test_a_process_remembers_a_bounded_number_of_words(
    reader: GenerationFile, writer: GenerationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "_REMEMBERED", 8)
    many = tags(30)
    evict(writer, *many[:15])
    found = slots(reader)
    assert found.generations(many) == writer.slots.generations(many)
    for each in many:
        assert found.held([each], NOW) == writer.slots.held([each], NOW)
    assert len(found._remembered) == 8
