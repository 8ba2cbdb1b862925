"""The memory store beyond the contract: LRU by bytes, threads, and forks."""

import gc
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, starmap
from multiprocessing import Pipe
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache._coherence import Eviction, EvictionRequest, Held, TagEviction
from botocache.stores import memory
from botocache.stores.generation_table import SLOT
from botocache.stores.memory import ENTRY_OVERHEAD, SLOT_COUNT, MemoryStore
from botocache.stores.one_step import NO_ARGUMENTS, take_step
from botocache.stores.protocol import Fill
from tests.support.clock import FakeClock
from tests.support.digests import key, tag, tags
from tests.support.locks import all_locks, locked
from tests.support.processes import TIMEOUT, forked

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


# --- in one step ---------------------------------------------------------------------


@contextmanager
def hasty_threads() -> Iterator[None]:
    """Let threads take turns after a few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(*work: Callable[[], object]) -> None:
    """Do all of it at once, in a thread each."""
    threads = [threading.Thread(target=each, daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def meanwhile(store: MemoryStore, do: Callable[[], object], *, before: bool) -> None:
    """Have something done once: just before the next step of an eviction, or after."""
    table = store._table

    def step(calls: Iterable[object], kept: int) -> object:
        table._take_step = take_step
        if before:
            do()
        taken = take_step(calls, kept)
        if not before:
            do()
        return taken

    table._take_step = step


def test_evictions_of_threads_come_one_after_another(store: MemoryStore) -> None:
    """Each finds what the one before it has left, and nothing gets lost."""
    (origin,) = store.load(KEY, [A]).snapshot
    done: list[TagEviction] = []

    def slow_step(calls: Iterable[object], kept: int) -> object:
        time.sleep(1e-6)  # so that another thread has its turn in the middle
        return take_step(calls, kept)

    store._table._take_step = slow_step

    def write() -> None:
        request = EvictionRequest([B, A], 5.0)
        done.extend(store.evict(request).evicted[A] for _ in range(100))

    in_threads(write, write, write, write)
    left = {each.previous_generation: each.generation for each in done}
    chain = [origin]
    while chain[-1] in left:
        chain.append(left[chain[-1]])
    assert len(chain) == 401
    assert store.load(KEY, [A]).snapshot == (chain[-1],)


def test_no_verb_waits_for_an_eviction_of_another_thread(store: MemoryStore) -> None:
    began, go_on, clock = threading.Event(), threading.Event(), store.now

    def slow_clock() -> float:
        began.set()
        go_on.wait(TIMEOUT)
        return clock()

    store.now = slow_clock
    slow = threading.Thread(
        target=store.evict, args=(EvictionRequest([A], 5.0),), daemon=True
    )
    slow.start()
    assert began.wait(TIMEOUT)
    store.now = clock
    try:
        in_threads(lambda: use_every_verb(store))
    finally:
        go_on.set()
        slow.join(TIMEOUT)


def test_a_write_was_not_alone_if_another_evicts_in_the_middle_of_its_eviction(
    store: MemoryStore,
) -> None:
    first = store.evict(EvictionRequest([A], 5.0))
    others: list[Eviction] = []
    meanwhile(
        store,
        lambda: others.append(store.evict(EvictionRequest([A], 5.0))),
        before=True,
    )
    second = store.evict(EvictionRequest([A], 0.0, first_eviction=first))
    (other,) = others
    assert not second.evicted[A].was_alone
    assert second.evicted[A].previous_generation == other.evicted[A].generation
    assert store.load(KEY, [A]).held is Held.WRITING


def test_a_tag_is_not_restored_if_another_write_evicts_it_in_the_middle(
    store: MemoryStore,
) -> None:
    before = store.load(KEY, [A]).snapshot
    first = store.evict(EvictionRequest([A], 5.0))
    meanwhile(store, lambda: store.evict(EvictionRequest([A], 5.0)), before=True)
    store.evict(EvictionRequest([A], 0.0, first_eviction=first, restore=[A]))
    assert store.load(KEY, [A]).snapshot != before
    assert store.load(KEY, [A]).held is Held.WRITING


def test_what_is_watched_is_never_current_if_another_eviction_may_have_come_first(
    store: MemoryStore,
) -> None:
    meanwhile(store, lambda: store.evict(EvictionRequest([B], 0.0)), before=False)
    eviction = store.evict(EvictionRequest([A], 0.0, watch=[B]))
    assert eviction.held is Held.WRITING
    assert (eviction.watched[B],) != store.load(KEY, [B]).snapshot
    assert (
        store.evict(EvictionRequest([A], 0.0, watch=[B])).watched[B]
        == (store.load(KEY, [B]).snapshot[0])
    )


@pytest.mark.parametrize("restore", [(), (A,)], ids=["evicted", "restored"])
def test_no_lock_of_a_program_that_replaces_those_of_threading_is_in_a_step(
    monkeypatch: pytest.MonkeyPatch, restore: tuple[bytes, ...]
) -> None:
    """As gevent does. Python runs handlers and other threads where it takes one."""
    taken: list[str] = []

    class Replaced:
        def acquire(self) -> bool:
            taken.append("acquired")
            return True

        def release(self) -> None:
            taken.append("released")

        def __enter__(self) -> bool:
            return True

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(threading, "Lock", Replaced)
    monkeypatch.setattr(threading, "RLock", Replaced)
    store = MemoryStore()
    first = store.evict(EvictionRequest([A, B], 5.0))
    assert store.evict(EvictionRequest([A, B], 0.0, (), first, restore)).evicted
    assert not taken


_Steps: TypeAlias = Callable[[Iterable[object], int], object]


def evict_by(steps: _Steps, restore: Collection[bytes]) -> None:
    store = MemoryStore()
    first = store.evict(EvictionRequest([A, B], 5.0))
    store._table._take_step = steps
    store.evict(EvictionRequest([A, B], 0.0, (), first, restore))


def fill_by(steps: _Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    store = room_for(2, 10)
    fill(store, "a")
    monkeypatch.setattr(memory, "take_step", steps)
    fill(store, "a")
    store.fill_many([Fill(key(name), bytes(10), TTL) for name in "abc"])
    store.clear()


@pytest.mark.parametrize("made", range(3), ids="{} containers before".format)
@pytest.mark.parametrize("verb", ["evict", "restore", "fill"])
def test_no_garbage_is_collected_in_the_middle_of_a_step(
    verb: str, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would call finalizers, which may evict, between two words of a slot."""
    log: list[str] = []
    kept: list[object] = []

    def steps(calls: Iterable[object], most: int) -> object:
        begun = chain(
            # Leaves no memory of small containers that are gone, to be used again; and
            # counts from zero.
            starmap(gc.collect, NO_ARGUMENTS),
            # One of these numbers is just short of the next collection.
            map(kept.append, map(list, [()] * made)),
            map(log.append, ("begins",)),
        )
        return take_step(chain(begun, calls, map(log.append, ("ends",))), most)

    note = partial(log.append, "collects")
    callback, before = (lambda *_: note()), gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(2)
    try:
        if verb == "fill":
            fill_by(steps, monkeypatch)
        else:
            evict_by(steps, [A] if verb == "restore" else [])
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(callback)
    begun = [at for at, each in enumerate(log) if each == "begins"]
    assert begun
    assert {log[at + 1] for at in begun} == {"ends"}


def test_threads_that_fill_and_load_in_a_full_store_keep_the_size_right() -> None:
    store = room_for(5, 50)

    def use(number: int) -> None:
        for turn in range(300):
            name = key(str(turn * number % 11))
            store.fill(name, bytes(turn % 90), TTL)
            store.load(name, [])
            store.fill_many([Fill(key("x"), b"x", TTL), Fill(name, b"", TTL)])

    with hasty_threads():
        in_threads(*(partial(use, number) for number in (1, 3, 5, 7)))
    entries = store._entries.values()
    assert store.usage() == (len(entries), sum(map(size_of, entries)))
    assert 0 < sum(map(size_of, entries)) <= 5 * (50 + ENTRY_OVERHEAD)


def test_filling_many_keeps_what_filling_each_would() -> None:
    one, other = room_for(3, 10), room_for(3, 10)
    fills = [Fill(key(name), bytes(10), TTL) for name in "abcd"]
    fills.append(Fill(key("x"), bytes(1000), TTL))  # has no place
    for each in fills:
        one.fill(*each)
    other.fill_many(fills)
    assert kept(one, "abcdx") == kept(other, "abcdx") == "bcd"
    assert state(one) == state(other)


# --- the rest ------------------------------------------------------------------------


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


@pytest.mark.parametrize("restore", [(), (A,)], ids=["evicted", "restored"])
def test_what_a_child_evicts_is_not_undone_if_it_was_forked_during_an_eviction(
    store: MemoryStore, restore: tuple[bytes, ...]
) -> None:
    """Of another thread, which has looked at the words and not yet written any."""
    before = store.load(KEY, [A]).snapshot
    first = store.evict(EvictionRequest([A, B], 5.0))

    def write_in_child() -> None:
        with forked(lambda _: store.evict(EvictionRequest([A, B], 50.0))):
            pass

    meanwhile(store, write_in_child, before=True)
    second = store.evict(
        EvictionRequest([A, B], 0.0, first_eviction=first, restore=restore)
    )
    assert not second.evicted[A].was_alone
    assert store.load(KEY, [A]).snapshot != before
    assert store.load(KEY, [A]).held is Held.WRITING


def test_no_step_that_a_fork_has_cut_in_two_writes_the_same_generations(
    store: MemoryStore,
) -> None:
    """A signal handler forks in the middle of an eviction, which both then end."""
    pids: list[int] = []
    ours, theirs = Pipe()
    meanwhile(store, lambda: pids.append(os.fork()), before=True)
    evicted = store.evict(EvictionRequest([A], 5.0)).evicted[A]
    if not pids[0]:
        theirs.send(evicted.generation)
        os._exit(0)
    os.waitpid(pids[0], 0)
    assert ours.poll()
    assert ours.recv() != evicted.generation


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
