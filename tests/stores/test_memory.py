"""The memory store beyond the contract: LRU by bytes, and forks."""

import os
import threading
from collections import OrderedDict
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache._coherence import Eviction, EvictionRequest, Held
from botocache.stores.generation_table import SLOT
from botocache.stores.memory import ENTRY_OVERHEAD, SLOT_COUNT, MemoryStore
from tests.support.clock import FakeClock
from tests.support.digests import key, tag, tags
from tests.support.locks import all_locks, locked
from tests.support.processes import TIMEOUT, forked
from tests.support.words import Watched

KEY, OTHER_KEY = key("an entry"), key("another entry")
A, B = tag("a"), tag("b")
TTL = 60.0

_Step: TypeAlias = tuple[str, int, int]


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock=clock)


def room_for(count: int, size: int) -> MemoryStore:
    """Return a store that has room for exactly that many entries of that size."""
    return MemoryStore(size_limit=count * (size + ENTRY_OVERHEAD))


def fill(store: MemoryStore, name: str, size: int = 10) -> None:
    store.fill(key(name), bytes(size), TTL)


def load(store: MemoryStore, name: str) -> bytes | None:
    return store.load(key(name), []).entry


def kept(store: MemoryStore, names: str) -> str:
    """Return which of the entries are there. Makes them the last ones used."""
    return "".join(name for name in names if load(store, name) is not None)


def state(store: MemoryStore) -> str:
    return repr(store).removeprefix("<MemoryStore ").partition(" of ")[0]


# --- least recently used, by bytes ---------------------------------------------------


def test_the_oldest_entry_is_dropped_first() -> None:
    store = room_for(3, 10)
    for name in "abcd":
        fill(store, name)
    assert kept(store, "abcd") == "bcd"


def test_a_loaded_entry_is_dropped_later() -> None:
    store = room_for(3, 10)
    for name in "abc":
        fill(store, name)
    load(store, "a")
    fill(store, "d")
    assert kept(store, "abcd") == "acd"


def test_a_refilled_entry_is_dropped_later() -> None:
    store = room_for(3, 10)
    for name in "abcad":
        fill(store, name)
    assert kept(store, "abcd") == "acd"


def test_a_miss_does_not_change_the_order() -> None:
    store = room_for(2, 10)
    for name in "ab":
        fill(store, name)
    load(store, "x")
    fill(store, "c")
    assert kept(store, "abc") == "bc"


def test_an_eviction_of_tags_does_not_change_the_order() -> None:
    store = room_for(2, 10)
    for name in "ab":
        fill(store, name)
    store.evict(EvictionRequest([A], 1.0))
    fill(store, "c")
    assert kept(store, "abc") == "bc"


def test_the_limit_is_kept_to_the_byte() -> None:
    limit = 2 * ENTRY_OVERHEAD + 100
    store = MemoryStore(size_limit=limit)
    fill(store, "a", 40)
    fill(store, "b", 60)
    assert state(store) == f"2 entries, {limit}"
    fill(store, "b", 61)
    assert state(store) == f"1 entries, {ENTRY_OVERHEAD + 61}"
    assert kept(store, "ab") == "b"


def test_a_large_entry_drops_as_many_small_ones_as_it_needs() -> None:
    store = room_for(4, 100)
    for name in "abcd":
        fill(store, name, 100)
    fill(store, "e", 2 * 100 + ENTRY_OVERHEAD)
    assert kept(store, "abcde") == "cde"


def test_an_entry_counts_once_however_often_it_is_filled() -> None:
    store = room_for(2, 10)
    for size in (10, 3, 7, 0, 5):
        fill(store, "a", size)
    assert state(store) == f"1 entries, {ENTRY_OVERHEAD + 5}"


def test_an_entry_larger_than_the_limit_is_not_kept_and_drops_no_other() -> None:
    store = room_for(2, 10)
    for name in "ab":
        fill(store, name)
    fill(store, "large", 2 * (10 + ENTRY_OVERHEAD))
    assert load(store, "large") is None
    assert kept(store, "ab") == "ab"
    assert state(store) == f"2 entries, {2 * (10 + ENTRY_OVERHEAD)}"


def test_an_entry_larger_than_the_limit_drops_the_one_that_it_replaces() -> None:
    store = room_for(2, 10)
    fill(store, "a")
    fill(store, "a", 2 * (10 + ENTRY_OVERHEAD))
    assert load(store, "a") is None
    assert state(store) == "0 entries, 0"


def test_a_limit_smaller_than_any_entry_keeps_nothing() -> None:
    store = MemoryStore(size_limit=1)
    fill(store, "a", 0)
    assert load(store, "a") is None
    assert state(store) == "0 entries, 0"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("fill"), st.integers(0, 6), st.integers(0, 900)),
            st.tuples(st.just("load"), st.integers(0, 6), st.just(0)),
            st.tuples(st.just("clear"), st.just(0), st.just(0)),
        ),
        max_size=40,
    )
)
@settings(deadline=None)
def test_a_store_keeps_what_a_simple_model_of_it_keeps(steps: list[_Step]) -> None:
    limit = 1000
    store, model = MemoryStore(size_limit=limit), OrderedDict[bytes, bytes]()
    for verb, number, size in steps:
        name = key(str(number))
        if verb == "fill":
            store.fill(name, bytes(size), TTL)
            model.pop(name, None)
            if size + ENTRY_OVERHEAD <= limit:
                model[name] = bytes(size)
            while sum(map(size_of, model.values())) > limit:
                model.popitem(last=False)
        elif verb == "load":
            assert store.load(name, []).entry == model.get(name)
            if name in model:
                model.move_to_end(name)
        else:
            store.clear()
            model.clear()
        kept_bytes = sum(map(size_of, model.values()))
        assert state(store) == f"{len(model)} entries, {kept_bytes}"


def size_of(entry: bytes) -> int:
    return len(entry) + ENTRY_OVERHEAD


def test_threads_that_fill_keep_the_size_right() -> None:
    store = room_for(5, 50)

    def use(number: int) -> None:
        for turn in range(500):
            store.fill(key(str((turn * number) % 11)), bytes(turn % 90), TTL)
            if turn % 100 == 99:
                store.clear()

    threads = [threading.Thread(target=use, args=(n,)) for n in (1, 3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    store.clear()
    assert state(store) == "0 entries, 0"


def test_generations_are_read_before_the_entry_and_hold_offs_after_it(
    store: MemoryStore,
) -> None:
    class Interrupted(OrderedDict[bytes, bytes]):
        def get(self, asked: bytes, default: object = None) -> Any:
            evicted.append(store.evict(EvictionRequest([A], 5.0)))
            return super().get(asked)

    evicted: list[Eviction] = []
    before = store.load(KEY, [A]).snapshot
    store._entries = Interrupted({KEY: b"entry"})
    assert store.load(KEY, [A]) == (b"entry", before, Held.WRITING)
    assert evicted


def test_a_writer_touches_slots_only_while_other_threads_are_excluded(
    store: MemoryStore,
) -> None:
    words = Watched(store._table._words, store._writing._is_owned)  # type: ignore[attr-defined]  # which 3.14 calls `locked`
    store._table._words = words
    first = store.evict(EvictionRequest([A, B], 5.0))
    store.evict(EvictionRequest([A, B], 1.0, first_eviction=first))
    assert words.seen == {True}


def test_the_repr_shows_entries_and_size() -> None:
    store = room_for(1, 10)
    assert repr(store) == f"<MemoryStore 0 entries, 0 of {10 + ENTRY_OVERHEAD} bytes>"


def test_closing_frees_the_memory_of_the_entries(store: MemoryStore) -> None:
    fill(store, "a")
    store.close()
    assert state(store) == "0 entries, 0"


def test_two_stores_share_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    one.fill(KEY, b"entry", TTL)
    assert other.load(KEY, []).entry is None
    assert one.load(KEY, [A]).snapshot != other.load(KEY, [A]).snapshot


def test_slots_take_no_memory_until_they_are_used() -> None:
    before = resident_bytes()
    stores = [MemoryStore() for _ in range(20)]
    for store in stores:
        store.load(KEY, tags(10))
    assert resident_bytes() - before < SLOT_COUNT * SLOT


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - nothing shorter
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


# --- forks ---------------------------------------------------------------------------


def test_a_forked_child_sees_what_its_parent_evicts(store: MemoryStore) -> None:
    before = store.load(KEY, [A, B]).snapshot
    with forked(lambda pipe: pipe.send((pipe.recv(), store.load(KEY, [A, B])))) as pipe:
        evicted = store.evict(EvictionRequest([A], 5.0))
        pipe.send("evicted")
        _, seen = pipe.recv()
    assert seen.snapshot == (evicted.evicted[A].generation, before[1])
    assert seen.held


def test_a_parent_sees_what_its_forked_child_evicts(store: MemoryStore) -> None:
    before = store.load(KEY, [A, B]).snapshot
    with forked(lambda pipe: pipe.send(store.evict(EvictionRequest([A], 5.0)))) as pipe:
        evicted = pipe.recv()
    seen = store.load(KEY, [A, B])
    assert seen.snapshot == (evicted.evicted[A].generation, before[1])
    assert seen.held


def test_forked_children_see_each_others_evictions(store: MemoryStore) -> None:
    with (
        forked(lambda pipe: pipe.send((pipe.recv(), store.load(KEY, [A])))) as reader,
        forked(
            lambda pipe: pipe.send(store.evict(EvictionRequest([A], 5.0)))
        ) as writer,
    ):
        evicted = writer.recv()
        reader.send("evicted")
        _, seen = reader.recv()
    assert seen.snapshot == (evicted.evicted[A].generation,)


def test_a_write_across_a_fork_was_not_alone(store: MemoryStore) -> None:
    """Writers of other processes are not kept out while one is in the table."""
    before = store.evict(EvictionRequest([A, B], 5.0))
    assert (
        store.evict(EvictionRequest([A, B], 1.0, first_eviction=before))
        .evicted[A]
        .was_alone
    )
    with forked(lambda pipe: pipe.send(None)) as pipe:
        pipe.recv()
        first = store.evict(EvictionRequest([A, B], 5.0))
        second = store.evict(
            EvictionRequest([A, B], 1.0, first_eviction=first, restore=[B])
        )
    assert not second.evicted[A].was_alone
    assert second.evicted[B].generation != before.evicted[B].generation
    assert store.load(KEY, [A]).held is Held.WRITING


def test_the_entries_of_a_forked_child_are_its_own(store: MemoryStore) -> None:
    store.fill(KEY, b"parent's", TTL)

    def use(pipe: object) -> None:
        assert store.load(KEY, []).entry == b"parent's"
        store.fill(KEY, b"child's", TTL)
        store.fill(OTHER_KEY, b"child's", TTL)
        assert store.load(KEY, []).entry == b"child's"

    with forked(use):
        pass
    assert store.load(KEY, []).entry == b"parent's"
    assert store.load(OTHER_KEY, []).entry is None


def use_every_verb(store: MemoryStore) -> None:
    store.fill(KEY, b"entry", TTL)
    assert store.load(KEY, [A]).entry == b"entry"
    evicted = store.evict(EvictionRequest([A], 5.0))
    assert store.load(KEY, [A]).snapshot == (evicted.evicted[A].generation,)
    store.clear()
    store.close()


def test_no_lock_that_another_thread_held_at_a_fork_stops_the_child(
    store: MemoryStore,
) -> None:
    locks = all_locks(store)
    assert len(locks) >= 2
    with locked(locks), forked(lambda _: use_every_verb(store)):
        pass


def test_a_fork_of_a_fork_works_like_the_first(store: MemoryStore) -> None:
    def fork_again(_: object) -> None:
        with locked(all_locks(store)), forked(lambda _: use_every_verb(store)):
            pass

    with forked(fork_again):
        pass


class SlowToMeasure(bytes):
    """An entry at which a fill by another thread stops, where it counts the bytes."""

    def __init__(self, _content: bytes) -> None:
        self.is_asked, self.go_on = threading.Event(), threading.Event()

    def __len__(self) -> int:
        if threading.current_thread() is not threading.main_thread():
            self.is_asked.set()
            self.go_on.wait(TIMEOUT)
        return super().__len__()


@pytest.mark.parametrize("is_replaced", [False, True], ids=["put", "replaced"])
def test_a_fork_during_a_fill_leaves_the_childs_size_right(
    *, is_replaced: bool
) -> None:
    store = room_for(3, 10)
    slow = SlowToMeasure(bytes(10))
    entry: bytes = slow
    if is_replaced:
        store.fill(KEY, slow, TTL)
        entry = bytes(10)
    thread = threading.Thread(target=store.fill, args=(KEY, entry, TTL), daemon=True)
    thread.start()
    try:
        assert slow.is_asked.wait(TIMEOUT)
        with forked(lambda _: check_size(store)):
            pass
    finally:
        slow.go_on.set()
        thread.join(TIMEOUT)


def check_size(store: MemoryStore) -> None:
    store.fill(KEY, bytes(10), TTL)
    for name in "abcdef":
        fill(store, name)
    assert kept(store, "abcdef") == "def"
    assert state(store) == f"3 entries, {3 * (10 + ENTRY_OVERHEAD)}"
    store.clear()
    assert state(store) == "0 entries, 0"
