"""The mark of the generation table: one stat shows that no slot has changed."""

import os
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from botocache._coherence import Eviction, EvictionRequest, Held
from botocache.stores.disk import generation_file, slot_words
from botocache.stores.disk.generation_file import (
    Exclusive,
    GenerationFile,
    open_generation_file,
)
from botocache.stores.disk.slot_words import RememberedSlots
from tests.support.digests import tag, tags
from tests.support.interruptions import Interruption
from tests.support.processes import TIMEOUT, forked

A, B = tag("a"), tag("b")
NOW = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slots"


def opened(path: Path) -> GenerationFile:
    return open_generation_file(path, bytes(range(16)), os.urandom)


def evict(table: GenerationFile, *evicted: bytes, hold_off: float = 5.0) -> None:
    evict_as(table, EvictionRequest(evicted, hold_off))


def evict_as(table: GenerationFile, request: EvictionRequest) -> Eviction:
    return table.slots.evict(request, NOW, Exclusive(table, table.stamp()))


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


def after_each_word(look: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Call `look` after each write of a word of a slot."""
    pwrite = os.pwrite

    def write_and_look(number: int, word: bytes, at: int) -> int:
        written = pwrite(number, word, at)
        if at >= slot_words.HEADER_SIZE:
            look()
        return written

    patch.setattr(os, "pwrite", write_and_look)


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
        assert file.read(8) == slot_words.WORD_FORMAT.pack(marks[-1])


def test_a_mark_is_a_date_of_the_last_weeks(path: Path, writer: GenerationFile) -> None:
    evict(writer, A)
    assert (
        0 <= path.with_name("lock").stat().st_mtime - path.stat().st_mtime < 14 * 86400
    )


def test_a_reader_in_the_middle_of_an_eviction_remembers_nothing(
    path: Path,
    reader: GenerationFile,
    writer: GenerationFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = generations(reader, B)
    is_current = reader.watch([B], before)
    seen_at: list[int] = []

    def look() -> None:
        if is_current() and generations(reader, B) == before:
            seen_at.append(mark_of(path))

    with monkeypatch.context() as patch:
        after_each_word(look, patch)
        evict(writer, A, B)  # B last
    assert len(seen_at) > 1
    assert not is_current()
    assert generations(reader, B) != before
    # The clock is at the same tick when the next writer begins.
    for mark in seen_at:
        os.utime(path, ns=(mark, mark))
        assert not is_current()
        assert generations(reader, B) != before


# --- at every step -------------------------------------------------------------------

_CALLS = ("pread", "pwrite", "utime", "stat", "fstat")


def interrupt(
    verb: Callable[[], object], at: int, meanwhile: Callable[[], object]
) -> bool:
    """Call `verb`, and `meanwhile` before one of its system calls.

    at: the number of that call.

    Return whether there was such a call.
    """
    steps = count()
    original = {name: getattr(os, name) for name in _CALLS}

    def restore() -> None:
        for name, call in original.items():
            setattr(os, name, call)

    def interrupted(call: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **kwargs: object) -> object:
            if next(steps) == at:
                restore()
                meanwhile()
            return call(*args, **kwargs)

        return step

    for name, call in original.items():
        setattr(os, name, interrupted(call))
    try:
        verb()
    finally:
        restore()
    return next(steps) > at


def assert_seen(
    reader: GenerationFile, writer: GenerationFile, is_current: Callable[[], bool]
) -> None:
    assert not is_current()
    assert generations(reader, A, B) == writer.slots.generations([A, B])
    for each in (A, B):
        assert slots(reader).held([each], NOW) is writer.slots.held([each], NOW)


def test_a_reader_that_looks_at_any_step_of_an_eviction_sees_it_at_its_end(
    reader: GenerationFile, writer: GenerationFile
) -> None:
    for at in count():
        is_current = reader.watch([A, B], generations(reader, A, B))
        evict(writer, tag("another"))  # the reader has to read again

        def look(is_current: Callable[[], bool] = is_current) -> None:
            if is_current():
                slots(reader).held([A, B], NOW)

        if not interrupt(lambda: evict(writer, A, B), at, look):
            break
        assert_seen(reader, writer, is_current)
    assert at >= 8


@pytest.mark.parametrize("verb", ["watched", "loaded"])
def test_an_eviction_between_any_two_steps_of_a_reader_is_seen(
    reader: GenerationFile, writer: GenerationFile, verb: str
) -> None:
    for at in count():
        is_current = reader.watch([A, B], generations(reader, A, B))
        evict(writer, tag("another"))

        def load() -> None:
            found = slots(reader)
            found.generations([A, B])
            found.held([A, B], NOW)

        look = is_current if verb == "watched" else load
        if not interrupt(look, at, lambda: evict(writer, A, B)):
            break
        assert_seen(reader, writer, is_current)
    assert at > 3


def test_a_writer_between_any_two_steps_of_one_without_the_lock_is_seen(
    path: Path,
    reader: GenerationFile,
    writer: GenerationFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    intruder = opened(path)
    for at in count():
        before = generations(reader, A, B)
        is_current = reader.watch([A, B], before)
        looks: list[Callable[[], bool]] = []

        def intrude(looks: list[Callable[[], bool]] = looks) -> None:
            evict(intruder, A, B)
            looks.append(reader.watch([A], generations(reader, A)))

        if not interrupt(lambda: evict(writer, A, B), at, intrude):
            break
        assert_seen(reader, writer, is_current)
        # Nor does the writer go on with what it remembers.
        assert generations(writer, A, B) == generations(reader, A, B)
        assert not set(before) & set(generations(reader, A, B))
        (look,) = looks
        evict(writer, A)
        assert not look()
    assert at >= 8


def test_a_writer_remembers_nothing_across_another_ones_eviction_at_any_step(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it has the lock, or without the lock."""
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    for at in count():
        path.unlink(missing_ok=True)
        writer, other = opened(path), opened(path)
        evict(writer, A)
        before = generations(writer, A, B)
        if not interrupt(partial(evict, writer, A), at, partial(evict, other, B)):
            break
        assert generations(writer, A, B) == generations(other, A, B)
        assert not set(before) & set(generations(writer, A, B))
    assert at >= 7


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

        after_each_word(die_at_the_second_word, pytest.MonkeyPatch())
        evict(table, A)

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        pipe.recv()
    assert not is_current()
    assert generations(reader, A) != before
    assert slots(reader).held([A], NOW) is Held.WRITING


def test_a_writer_goes_on_with_nothing_from_before_a_killed_writers_changes(
    path: Path, writer: GenerationFile
) -> None:
    """They come after it has looked at the table, and before it has the lock."""
    evict(writer, A)
    generations(writer, B)
    stamp = writer.stamp()
    killed = opened(path)
    killed.slots._renew(killed.words, [killed.slots._at(B)], {}, NOW, 5.0)
    second = EvictionRequest((A,), 1.0, watch=(B,))
    found = writer.slots.evict(second, NOW, Exclusive(writer, stamp))
    assert tuple(found.watched.values()) == killed.slots.generations([B])
    assert found.held is Held.WRITING
    assert generations(writer, B) == killed.slots.generations([B])


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


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Return each access to slots: its verb, its bytes and its place in the file."""
    found: list[tuple[str, int, int]] = []

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def touch(number: int, what: Any, at: int) -> Any:
            if at >= slot_words.HEADER_SIZE:
                found.append((name, what if name == "pread" else len(what), at))
            return call(number, what, at)

        return touch

    for name in ("pread", "pwrite"):
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    return found


def test_the_second_eviction_of_a_write_reads_no_slot_and_writes_each_at_once(
    writer: GenerationFile, touched: list[tuple[str, int, int]]
) -> None:
    first = evict_as(writer, EvictionRequest((A, B), 5.0))
    touched.clear()
    evict_as(writer, EvictionRequest((A, B), 1.0, (A,), first))
    assert [each[:2] for each in touched] == [("pwrite", 16)] * 2


@pytest.mark.parametrize("hold_off", [5.0, 6.0])
def test_a_hold_off_that_gets_longer_is_written_before_any_generation(
    writer: GenerationFile, touched: list[tuple[str, int, int]], hold_off: float
) -> None:
    first = evict_as(writer, EvictionRequest((A, B), 5.0))
    touched.clear()
    evict_as(writer, EvictionRequest((A, B), hold_off, (), first))
    assert [each[:2] for each in touched] == [("pwrite", 8)] * 4
    assert [at % 16 for _, _, at in touched] == [8, 8, 0, 0]


def test_after_another_writes_eviction_hold_offs_are_written_before_generations(
    writer: GenerationFile, touched: list[tuple[str, int, int]]
) -> None:
    first = evict_as(writer, EvictionRequest((A, B), 5.0))
    evict_as(writer, EvictionRequest((A,), 1.0))
    touched.clear()
    evict_as(writer, EvictionRequest((A,), 1.0, (), first))
    assert [at % 16 for _, _, at in touched] == [8, 0]


def test_an_eviction_of_ones_own_leaves_what_is_remembered(
    reader: GenerationFile, writer: GenerationFile, no_slot_is_read: Callable[[], None]
) -> None:
    evict(writer, A)
    known = generations(writer, B)
    evict(writer, A)
    no_slot_is_read()
    assert generations(writer, B) == known
    assert slots(writer).held([A], NOW) is Held.WRITING
    assert writer.slots_in_place() is not None


@pytest.mark.parametrize("evicted", [(A,), (B,), (A, B)])
def test_what_is_remembered_ends_with_an_eviction_of_others(
    reader: GenerationFile, writer: GenerationFile, evicted: tuple[bytes, ...]
) -> None:
    first = evict_as(writer, EvictionRequest((A,), 5.0))
    before = generations(writer, A, B)
    evict(reader, *evicted)
    second = evict_as(writer, EvictionRequest((A,), 1.0, (), first))
    assert second.evicted[A].was_alone is (A not in evicted)
    assert generations(writer, A, B) == generations(reader, A, B)
    if B in evicted:
        assert generations(writer, B) != before[1:]


def test_nothing_is_remembered_across_a_writer_that_had_no_lock(
    path: Path, writer: GenerationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be between its slots still, so its eviction shows only afterwards."""
    monkeypatch.setattr(generation_file, "LOCK_PATIENCE", 0.0)
    intruder = opened(path)
    with Exclusive(writer):
        evict(intruder, tag("another"))
    evict(writer, A)
    before = generations(writer, B)
    original = os.utime

    def late(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(os, "utime", original)
        # Without the lock, and after its mark of an intrusion, which was there before.
        intruder.slots._renew(intruder.words, [intruder.slots._at(B)], {}, NOW, 5.0)
        original(*args, **kwargs)

    monkeypatch.setattr(os, "utime", late)
    evict(writer, A)
    assert generations(writer, B) != before


def test_an_eviction_within_an_eviction_leaves_nothing_that_is_remembered_wrongly(
    reader: GenerationFile, writer: GenerationFile
) -> None:
    """As a signal handler does it."""
    for at in count():
        evict(writer, A, B)
        if not interrupt(lambda: evict(writer, A, B), at, lambda: evict(writer, B)):
            break
        assert generations(writer, A, B) == writer.slots.generations([A, B])
        assert generations(writer, A, B) == generations(reader, A, B)
    assert at >= 8


def test_an_eviction_at_any_line_of_another_leaves_nothing_remembered_wrongly(
    reader: GenerationFile, writer: GenerationFile
) -> None:
    """Also if it comes before the other one has written anything."""
    for at in count():
        evict(writer, A, B)
        handler = Interruption(at, lambda: evict(writer, B))
        handler.during(lambda: evict(writer, A, B))
        assert generations(writer, A, B) == generations(reader, A, B), handler.place
        if not handler.place:
            break
    assert at > 50


def test_an_eviction_that_fails_leaves_nothing_that_is_remembered_wrongly(
    reader: GenerationFile, writer: GenerationFile
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    for at in count():
        evict(writer, A, B)
        try:
            if not interrupt(lambda: evict(writer, A, B), at, stop):
                break
        except KeyboardInterrupt:
            pass
        assert generations(writer, A, B) == generations(reader, A, B)
    assert at >= 8


def test_a_process_remembers_a_bounded_number_of_words(
    reader: GenerationFile, writer: GenerationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_words, "_REMEMBERED", 8)
    many = tags(30)
    evict(writer, *many[:15])
    found = slots(reader)
    assert found.generations(many) == writer.slots.generations(many)
    for each in many:
        assert found.held([each], NOW) == writer.slots.held([each], NOW)
    assert len(found.words) == 8
