"""The generation table by itself: where a tag's words are, and in which order."""

import ctypes
import os
import threading
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache._coherence import (
    LONGEST_HOLD_OFF,
    Eviction,
    EvictionRequest,
    Held,
    TagEviction,
    TagState,
    next_state,
)
from botocache.stores.disk.generation_file import boot_id, open_generation_file
from botocache.stores.generation_table import SLOT, WORD, GenerationTable
from botocache.stores.memory import MemoryStore
from tests.support.digests import tag, tags
from tests.support.processes import forked, running_peers
from tests.support.store_peer import open_table, words, write_words

A, B = tag("a"), tag("b")
NOW = 1000.0
ORIGIN = 0x0123_4567_89AB_CDEF


def new_table(count: int = 1024, origin: int = ORIGIN) -> GenerationTable:
    memory = memoryview(bytearray(count * SLOT)).cast("Q")
    return GenerationTable(memory, origin_generation=origin, random=os.urandom)


def evict(table: GenerationTable, *evicted: bytes, hold_off: float = 5.0) -> Eviction:
    return table.evict(EvictionRequest(evicted, hold_off), NOW, nullcontext())


def slot(number: int, rest: bytes = bytes(8)) -> bytes:
    """Return a tag of that slot, in a table that has so many."""
    return number.to_bytes(WORD, "little") + rest


def test_a_slot_that_was_never_evicted_has_the_generation_of_the_tables_origin() -> (
    None
):
    table = new_table()
    evict(table, B)
    assert table.generations([A]) == (ORIGIN,)
    assert not table.held([A], NOW)


def test_two_tables_have_no_generation_in_common() -> None:
    one, other = new_table(origin=1), new_table(origin=2)
    for table in (one, other):
        evict(table, *tags(100, "evicted"))
    asked = tags(100, "evicted") + tags(100, "never evicted")
    assert not set(one.generations(asked)) & set(other.generations(asked))


def test_tags_of_one_slot_are_evicted_together() -> None:
    table = new_table()
    one, other = slot(7, b"one     "), slot(7, b"other   ")
    evicted = evict(table, one)
    assert table.generations([one, other]) == (evicted.evicted[one].generation,) * 2
    assert table.held([other], NOW)


def test_tags_of_one_slot_evicted_in_one_call_share_one_generation() -> None:
    table = new_table()
    one, other = slot(7, b"one     "), slot(7, b"other   ")
    first = evict(table, one, other)
    left = TagEviction(table.generations([one])[0], 0.0, previous_generation=ORIGIN)
    assert first.evicted == {one: left, other: left}
    table.evict(
        EvictionRequest([one, other], 1.0, first_eviction=first), NOW, nullcontext()
    )
    assert not table.held([one], NOW + 1.0)


def test_a_number_beyond_the_count_of_slots_wraps_around() -> None:
    table = new_table(count=8)
    evicted = evict(table, slot(3))
    assert table.generations([slot(3 + 8)]) == (evicted.evicted[slot(3)].generation,)
    assert table.generations([slot(n) for n in range(8) if n != 3]) == (ORIGIN,) * 7


@pytest.mark.parametrize("count", [1, 2, 3, 8, 1000, 1024])
def test_the_first_and_the_last_slot_work_like_any_other(count: int) -> None:
    table = new_table(count)
    for number in (0, count - 1):
        evicted = slot(number)
        left = evict(table, evicted).evicted[evicted].generation
        assert table.generations([evicted]) == (left,)


def test_tags_spread_over_all_slots() -> None:
    table = new_table(count=64)
    evict(table, *tags(64 * 20))
    assert ORIGIN not in table.generations([slot(number) for number in range(64)])


def test_a_random_zero_does_not_bring_the_origin_back() -> None:
    memory = memoryview(bytearray(SLOT)).cast("Q")
    table = GenerationTable(memory, origin_generation=ORIGIN, random=bytes)
    left = evict(table, A).evicted[A].generation
    assert table.generations([A]) == (left,) != (ORIGIN,)


@pytest.mark.parametrize("hold_off", [0.0, 1e-9, 0.1, 1.0, 5.0, LONGEST_HOLD_OFF])
@pytest.mark.parametrize("now", [0.0, 0.3, 1e6 + 0.1, 1e9 + 0.7])
def test_a_hold_off_is_kept_to_the_microsecond(now: float, hold_off: float) -> None:
    table = new_table()
    table.evict(EvictionRequest([A], hold_off), now, nullcontext())
    found = (
        table.evict(EvictionRequest([A], 0.0), now, nullcontext()).evicted[A].held_until
    )
    assert found == pytest.approx(now + hold_off, abs=1e-6, rel=0)


def test_noise_in_a_slot_holds_nothing_and_is_overwritten() -> None:
    memory = memoryview(bytearray(b"\xff" * SLOT)).cast("Q")
    table = GenerationTable(memory, origin_generation=ORIGIN, random=os.urandom)
    assert not table.held([A], NOW)
    evict(table, A)
    assert table.held([A], NOW)
    assert not table.held([A], NOW + 5.0)


def test_the_repr_shows_the_number_of_slots() -> None:
    assert repr(new_table(8)) == "<GenerationTable 8 of 16 bytes>"


# --- settling and restoring ----------------------------------------------------------


def write(
    table: GenerationTable,
    *written: bytes,
    restore: Collection[bytes] = (),
    more: bytes = b"",
) -> Eviction:
    """Begin a write and end it. more: a tag that it evicts at its end only."""
    first = evict(table, *written)
    tags = (*written, more) if more else written
    return table.evict(
        EvictionRequest(tags, 1.0, first_eviction=first, restore=restore),
        NOW,
        nullcontext(),
    )


@pytest.mark.parametrize("now", [0.125, 1.0, 1e6 + 0.375, 5e6 + 0.625])
@given(st.integers(1, int(LONGEST_HOLD_OFF) * 1000))
def test_marking_a_hold_off_as_settling_changes_it_by_a_nanosecond_at_most(
    now: float, milliseconds: int
) -> None:
    table, hold_off = new_table(), milliseconds / 1000
    first = table.evict(EvictionRequest([A], 0.0), now, nullcontext())
    table.evict(
        EvictionRequest([A], hold_off, first_eviction=first), now, nullcontext()
    )
    assert table.held([A], now) is Held.SETTLING
    settling = table.evict(EvictionRequest([A], 0.0), now, nullcontext()).evicted[A]
    assert settling.is_settling
    # Floats of so many seconds are a nanosecond apart.
    assert -3e-9 <= settling.held_until - (now + hold_off) <= 1e-9


def test_a_hold_off_of_zero_does_not_settle() -> None:
    table = new_table()
    first = table.evict(EvictionRequest([A], 0.0), NOW, nullcontext())
    table.evict(EvictionRequest([A], 0.0, first_eviction=first), NOW, nullcontext())
    assert table.held([A], NOW) is Held.FREE
    first = table.evict(EvictionRequest([B], 0.0), 0.0, nullcontext())
    table.evict(EvictionRequest([B], 0.0, first_eviction=first), 0.0, nullcontext())
    assert table.held([B], 1e-6) is Held.FREE


def test_noise_in_a_slot_is_not_taken_for_a_writer_under_way() -> None:
    memory = memoryview(bytearray(b"\xff" * SLOT)).cast("Q")
    table = GenerationTable(memory, origin_generation=ORIGIN, random=os.urandom)
    write(table, A)
    assert table.held([A], NOW) is Held.SETTLING


ONE, OTHER = slot(7, b"one     "), slot(7, b"other   ")


def test_a_tag_that_shares_its_slot_with_no_other_tag_of_the_call_is_restored() -> None:
    table = new_table()
    before = table.generations([ONE, A])
    write(table, ONE, A, restore=[ONE])
    after = table.generations([ONE, A])
    assert after[0] == before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize("written", [(ONE, OTHER), (OTHER, ONE), (ONE, A, OTHER)])
def test_a_tag_that_shares_its_slot_with_an_evicted_tag_is_not_restored(
    written: tuple[bytes, ...],
) -> None:
    table = new_table()
    write(table, *written, restore=[ONE])
    assert table.generations([ONE]) != (ORIGIN,)
    assert table.held([ONE], NOW) is Held.SETTLING


def test_a_tag_that_shares_its_slot_with_a_later_tag_is_not_restored() -> None:
    table = new_table()
    write(table, ONE, restore=[ONE], more=OTHER)
    assert table.generations([ONE]) != (ORIGIN,)
    assert table.held([ONE], NOW) is Held.SETTLING


def test_a_slot_is_restored_when_all_of_its_tags_are() -> None:
    table = new_table()
    write(table, ONE, OTHER, restore=[OTHER, ONE])
    assert table.generations([ONE]) == (ORIGIN,)
    assert table.held([ONE], NOW) is Held.FREE


def test_a_tag_that_is_not_of_the_call_restores_none_that_shares_its_slot() -> None:
    table = new_table()
    write(table, ONE, restore=[OTHER])
    assert table.generations([ONE]) != (ORIGIN,)


def test_a_tag_is_not_restored_after_another_write_evicted_one_of_its_slot() -> None:
    table = new_table()
    first = evict(table, ONE)
    write(table, OTHER)
    second = table.evict(
        EvictionRequest([ONE], 1.0, first_eviction=first, restore=[ONE]),
        NOW,
        nullcontext(),
    )
    assert table.generations([ONE]) != (ORIGIN,)
    assert not second.evicted[ONE].was_alone


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@given(st.data())
def test_a_slot_is_restored_only_if_all_tags_in_it_are(
    count: int, data: st.DataObject
) -> None:
    table = new_table(count)
    some = st.lists(st.sampled_from(tags(8, "few")), unique=True, max_size=6)
    written, more, restore = data.draw(some), data.draw(some), data.draw(some)
    ended = [*written, *(each for each in more if each not in written)]
    first = evict(table, *written)
    table.evict(
        EvictionRequest(ended, 1.0, first_eviction=first, restore=restore),
        NOW,
        nullcontext(),
    )
    for each in ended:
        sharing = [o for o in ended if table._at(o) == table._at(each)]
        began = any(other in written for other in sharing)
        is_restored = began and set(sharing) <= set(restore)
        assert (table.generations([each]) == (ORIGIN,)) is is_restored
        assert (table.held([each], NOW) is Held.FREE) is is_restored


def test_evictions_of_a_lost_table_restore_nothing_in_the_next_one() -> None:
    lost, table = new_table(origin=1), new_table(origin=2)
    write(lost, A, B)
    first = evict(lost, A, B)
    before = table.generations([A, B])
    second = table.evict(
        EvictionRequest([A, B], 1.0, first_eviction=first, restore=[A]),
        NOW,
        nullcontext(),
    )
    assert [mark.was_alone for mark in second.evicted.values()] == [False, False]
    assert not set(table.generations([A, B])) & {
        *before,
        *(mark.generation for mark in first.evicted.values()),
        *(mark.previous_generation for mark in first.evicted.values()),
    }
    assert table.held([A], NOW) is not Held.FREE


def test_a_slot_whose_generation_was_wiped_is_not_restored() -> None:
    memory = memoryview(bytearray(SLOT)).cast("Q")
    table = GenerationTable(memory, origin_generation=ORIGIN, random=os.urandom)
    before = write(table, A).evicted[A].generation
    first = evict(table, A)
    memory[0] = memory[1] = 0
    second = table.evict(
        EvictionRequest([A], 1.0, first_eviction=first, restore=[A]), NOW, nullcontext()
    )
    assert not second.evicted[A].was_alone
    assert table.generations([A]) not in [(before,), (ORIGIN,)]


def law(
    found: TagState, fresh: int, now: float, hold_off: float, first: TagEviction | None
) -> tuple[TagState, TagEviction]:
    """Return what an eviction leaves of a slot, and what it says that it did."""
    was_alone = first is not None and first.generation == found.generation
    left = next_state(found, fresh, now, hold_off, first)
    return left, TagEviction(
        fresh, found.held_until, found.is_settling, found.generation, was_alone
    )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_eviction_leaves_in_each_slot_what_the_law_says(data: st.DataObject) -> None:
    """Whatever earlier writes have left, and whichever first eviction it has."""
    table, now, earlier = new_table(4), NOW, [Eviction({}, {})]
    for _ in range(data.draw(st.integers(1, 8))):
        now += data.draw(st.sampled_from([0.0, 0.5, 1.0, 5.0, 2 * LONGEST_HOLD_OFF]))
        # Often all: where one slot is taken for another, it shows in what they share.
        some = st.lists(st.sampled_from(range(4)), unique=True)
        evicted = data.draw(st.just([0, 1, 2, 3]) | some)
        hold_off = data.draw(st.sampled_from([0.0, 1.0, 5.0, LONGEST_HOLD_OFF]))
        first = data.draw(st.sampled_from([None, *earlier]))
        by_hand = data.draw(st.booleans())  # as another store returns it
        if first is not None and by_hand:
            first = first._replace(evicted=dict(first.evicted))
        found = [table._state(2 * number) for number in range(4)]
        done = table.evict(
            EvictionRequest(tuple(map(slot, evicted)), hold_off, (), first),
            now,
            nullcontext(),
        )
        for number, before in enumerate(found):
            state = table._state(2 * number)
            if number not in evicted:
                assert state == before
                continue
            its_first = None if first is None else first.evicted.get(slot(number))
            left, says = law(before, state.generation, now, hold_off, its_first)
            assert done.evicted[slot(number)] == says
            assert state.is_settling == left.is_settling
            assert state.held_until == pytest.approx(left.held_until, abs=1e-6, rel=0)
        generations = [state.generation for state in found]
        assert not set(generations) & {
            each.generation for each in done.evicted.values()
        }
        earlier.append(done)


@pytest.mark.parametrize("drawn", [1, 2, 600])
def test_generations_are_drawn_once_each(drawn: int) -> None:
    table, seen = new_table(1 << 12), set[int]()
    for _ in range(5):
        left = evict(table, *map(slot, range(drawn))).evicted.values()
        seen.update(each.generation for each in left)
    assert len(seen) == 5 * drawn


def test_a_fork_shares_no_generation_that_was_drawn_and_not_used() -> None:
    table = new_table()
    evict(table, A)
    with forked(
        lambda pipe: pipe.send(evict(table, A, B).evicted[B].generation)
    ) as its:
        there = its.recv()
    assert evict(table, A, B).evicted[B].generation != there


# --- words and their order -----------------------------------------------------------


def test_words_in_memory_are_aligned_so_that_no_reader_sees_half_a_word() -> None:
    words: Any = MemoryStore()._table._words
    assert (words.format, words.itemsize) == ("Q", WORD)
    assert ctypes.addressof(ctypes.c_char.from_buffer(words)) % SLOT == 0


@dataclass
class Memory:
    """Words that log every access."""

    size: int
    done: list[tuple[str, int]] = field(default_factory=list)
    words: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        self.done.append(("read", index))
        return self.words.get(index, 0)

    def __setitem__(self, index: int, word: int) -> None:
        self.done.append(("wrote", index))
        self.words[index] = word


@dataclass
class Recorder:
    """Records in the memory's log when it is entered and left."""

    memory: Memory
    name: str

    def __enter__(self) -> None:
        self.memory.done.append((f"entered {self.name}", 0))

    def __exit__(self, *_: object) -> None:
        self.memory.done.append((f"left {self.name}", 0))


def recorded_eviction(
    monkeypatch: pytest.MonkeyPatch, *evicted: bytes
) -> list[tuple[str, int]]:
    memory: Any = Memory(2 * 16)
    locks = SimpleNamespace(RLock=lambda: Recorder(memory, "barrier"))
    monkeypatch.setattr("botocache.stores.generation_table.threading", locks)
    table = GenerationTable(memory, origin_generation=ORIGIN, random=os.urandom)
    table.evict(EvictionRequest(evicted, 5.0), NOW, Recorder(memory, "exclusive"))
    done: list[tuple[str, int]] = memory.done
    return done


def test_a_writer_stores_all_hold_offs_before_any_generation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = recorded_eviction(monkeypatch, slot(1), slot(5), slot(9))
    written = [index for verb, index in done if verb == "wrote"]
    assert [index % 2 for index in written] == [1, 1, 1, 0, 0, 0]
    assert sorted(written) == [2, 3, 10, 11, 18, 19]


def test_a_barrier_stands_between_the_hold_offs_and_the_generations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = recorded_eviction(monkeypatch, slot(1), slot(5))
    order = [verb for verb, _ in done if verb != "read"]
    assert order == [
        "entered exclusive",
        *["wrote"] * 2,
        "entered barrier",
        "left barrier",
        *["wrote"] * 2,
        "left exclusive",
    ]


def test_a_writer_looks_at_a_slot_only_while_others_are_excluded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = recorded_eviction(monkeypatch, slot(1), slot(5))
    assert done[0] == ("entered exclusive", 0)
    assert done[-1] == ("left exclusive", 0)


def test_a_reader_waits_for_no_writer() -> None:
    table, lock = new_table(), threading.Lock()
    with lock:
        assert table.generations([A]) == (ORIGIN,)
        assert not table.held([A], NOW)
        assert table.evict(
            EvictionRequest([], 5.0, watch=[A]), NOW, nullcontext()
        ).watched == {A: ORIGIN}


HALVES = (0xAAAAAAAA_AAAAAAAA, 0x55555555_55555555)


def test_no_reader_sees_half_of_a_word_that_another_process_writes(
    tmp_path: Path,
) -> None:
    path, shared = tmp_path / "slots", tags(4)
    table = open_generation_file(path, boot_id(), words(HALVES[0])).slots
    whole = {*HALVES, *table.generations(shared)}
    seen: set[int] = set()
    with running_peers(2) as writers:
        for writer in writers:
            writer.call(open_table, path)
        for writer, word in zip(writers, HALVES, strict=True):
            writer.start(write_words, path, word, shared, rounds=20_000)
        for _ in range(10_000):
            for _ in range(100):
                seen.update(table.generations(shared))
            if all(writer.is_done() for writer in writers):
                break
        for writer in writers:
            writer.result()
    assert seen <= whole
    assert seen >= set(HALVES)
