"""The promises of every store, tested through the Store protocol and a fake clock.

Nothing here knows which store it is given: another store is one more parameter of the
`store` fixture. Tests of the application above have fewer of them.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations, count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botocache._coherence import (
    LONGEST_HOLD_OFF,
    Eviction,
    EvictionRequest,
    Held,
    Loaded,
    may_fill,
    may_serve,
)
from botocache._errors import StoreError
from botocache.stores.protocol import Fill, Store
from tests.support.clock import FakeClock
from tests.support.digests import key, tag, tags
from tests.support.evictions import left_by
from tests.support.processes import in_threads
from tests.support.stores import opened_store

WINDOW = 5.0
"""Seconds of hold-off of a write's first eviction."""

SETTLE = 1.0
"""The same for its second one, when DynamoDB answered."""

TTL = 60.0
MOMENT = 0.125
"""Seconds, as are all durations here, that binary fractions and Redis can hold."""

W, S, F = Held.WRITING, Held.SETTLING, Held.FREE

KEY, OTHER_KEY = key("an entry"), key("another entry")
A, B, C = tag("a"), tag("b"), tag("c")


class InterruptedClock(FakeClock):
    """A clock that calls a function once, at its next reading."""

    interruption: Callable[[], object] | None = None

    def __call__(self) -> float:
        interruption, self.interruption = self.interruption, None
        if interruption is not None:
            interruption()
        return super().__call__()


@pytest.fixture
def clock() -> InterruptedClock:
    return InterruptedClock()


@pytest.fixture(params=["memory", "keyed", "disk", "redis", "cluster"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: InterruptedClock
) -> Iterator[Store]:
    with opened_store(request.param, request) as made:
        yield made


def generations(store: Store, *asked: bytes) -> tuple[int, ...]:
    return store.load(KEY, asked).snapshot


def generation(store: Store, asked: bytes) -> int:
    (only,) = generations(store, asked)
    return only


def is_held(store: Store, *asked: bytes) -> bool:
    return held(store, *asked) is not Held.FREE


def held(store: Store, *asked: bytes) -> Held:
    return store.load(KEY, asked).held


def entry(store: Store, of: bytes = KEY) -> bytes | None:
    return store.load(of, [A]).entry


def test_every_store_has_the_verbs_of_the_protocol(store: Store) -> None:
    assert isinstance(store, Store)


def test_now_is_the_time_of_the_given_clock(store: Store, clock: FakeClock) -> None:
    clock.advance(7)
    assert store.now() == clock()


# --- entries -------------------------------------------------------------------------


def test_an_entry_that_was_never_filled_is_missing(store: Store) -> None:
    assert entry(store) is None


@pytest.mark.parametrize(
    "filled",
    [b"", b"\0", b"entry", bytes(range(256)), b"\xff" * 1_000_000],
    ids=["empty", "zero", "text", "every byte", "a page of DynamoDB"],
)
def test_an_entry_comes_back_as_it_was_filled(store: Store, filled: bytes) -> None:
    store.load(KEY, [A])
    store.fill(KEY, filled, TTL)
    assert entry(store) == filled


def test_an_entry_is_replaced_by_the_next(store: Store) -> None:
    store.fill(KEY, b"old and long", TTL)
    store.fill(KEY, b"new", TTL)
    assert entry(store) == b"new"


def test_each_key_has_its_own_entry(store: Store) -> None:
    store.fill(KEY, b"one", TTL)
    store.fill(OTHER_KEY, b"other", TTL)
    assert (entry(store), entry(store, OTHER_KEY)) == (b"one", b"other")


def test_an_entry_does_not_depend_on_the_tags_that_it_is_loaded_with(
    store: Store,
) -> None:
    store.fill(KEY, b"entry", TTL)
    assert [store.load(KEY, asked).entry for asked in ([], [A], [B, C])] == [
        b"entry",
        b"entry",
        b"entry",
    ]


def test_an_entry_stays_when_its_tags_are_evicted(store: Store) -> None:
    store.fill(KEY, b"entry", TTL)
    store.evict(EvictionRequest([A], WINDOW))
    assert entry(store) == b"entry"


def test_an_entry_of_any_size_is_kept_whole_or_not_at_all(store: Store) -> None:
    large = bytes(5 * 1024**2)
    store.fill(KEY, b"small", TTL)
    with contextlib.suppress(StoreError):
        store.fill(OTHER_KEY, large, TTL)
    assert entry(store, OTHER_KEY) in (None, large)
    store.fill(KEY, b"after", TTL)
    assert entry(store) == b"after"


def test_clear_drops_all_entries(store: Store) -> None:
    store.fill(KEY, b"one", TTL)
    store.fill(OTHER_KEY, b"other", TTL)
    store.clear()
    assert (entry(store), entry(store, OTHER_KEY)) == (None, None)


def test_clear_keeps_generations_and_hold_offs(store: Store) -> None:
    store.evict(EvictionRequest([A], WINDOW))
    before = generations(store, A, B)
    store.clear()
    assert generations(store, A, B) == before
    assert is_held(store, A)


def test_an_empty_store_can_be_cleared(store: Store) -> None:
    store.clear()
    store.clear()
    assert entry(store) is None


def test_a_store_can_be_used_again_after_it_was_closed(store: Store) -> None:
    store.fill(KEY, b"before", TTL)
    store.close()
    store.close()
    store.load(KEY, [A])
    store.fill(KEY, b"after", TTL)
    assert entry(store) == b"after"
    evicted = store.evict(EvictionRequest([A], WINDOW))
    assert generations(store, A) == (evicted.evicted[A].generation,)


def test_closing_does_not_bring_an_evicted_generation_back(store: Store) -> None:
    before = generations(store, A)
    store.evict(EvictionRequest([A], WINDOW))
    store.close()
    assert generations(store, A) != before


def test_an_entry_may_be_filled_with_the_tags_that_it_depends_on(store: Store) -> None:
    before = generations(store, A, B)
    store.fill(KEY, b"entry", TTL, [A, B])
    assert entry(store) == b"entry"
    assert generations(store, A, B) == before


# --- many at once --------------------------------------------------------------------


def test_many_entries_are_loaded_as_each_by_itself(
    store: Store, clock: FakeClock
) -> None:
    store.fill(KEY, b"one", TTL)
    store.fill(OTHER_KEY, b"other", TTL)
    store.evict(EvictionRequest([A], WINDOW))
    first = store.evict(EvictionRequest([C], WINDOW))
    store.evict(EvictionRequest([C], SETTLE, first_eviction=first))
    lookups: list[tuple[bytes, Sequence[bytes]]] = [
        (KEY, [A, B]),
        (key("missing"), [B]),
        (OTHER_KEY, [B, C]),
        (KEY, []),
        (OTHER_KEY, [C, A]),
        (OTHER_KEY, [B, C]),
    ]
    expected = [store.load(*lookup) for lookup in lookups]
    assert store.load_many(lookups) == expected
    assert [loaded.held for loaded in expected] == [W, F, S, F, W, S]


def test_loading_no_keys_returns_nothing(store: Store) -> None:
    assert store.load_many([]) == []


def test_a_load_of_many_creates_missing_generations(
    store: Store,
) -> None:
    many = tags(300, "of many")
    loaded = store.load_many([(each[::-1], [A, each]) for each in many])
    made = [each.snapshot[1] for each in loaded]
    assert all(0 < each < 1 << 64 for each in made)
    assert {each.snapshot[0] for each in loaded} == {generation(store, A)}
    assert generations(store, *many) == tuple(made)


def test_a_fill_of_many_stores_each_entry_under_its_key(store: Store) -> None:
    keys = [key(f"{number} of many") for number in range(100)]
    fills = [Fill(each, b"of " + each, TTL, [A, each]) for each in keys]
    store.fill_many(fills)
    loaded = store.load_many([(each, [A, each]) for each in keys])
    assert [each.entry for each in loaded] == [fill.entry for fill in fills]


def test_the_last_of_many_fills_of_one_key_stays(store: Store) -> None:
    store.fill_many([Fill(KEY, b"first", TTL), Fill(KEY, b"last", TTL, [A])])
    assert entry(store) == b"last"


def test_filling_nothing_stores_nothing(store: Store) -> None:
    store.fill(KEY, b"entry", TTL)
    store.fill_many([])
    assert entry(store) == b"entry"


def test_an_eviction_during_a_load_of_many_leaves_nothing_that_is_served(
    store: Store, clock: InterruptedClock
) -> None:
    clock.interruption = lambda: store.evict(EvictionRequest([B], WINDOW))
    before = store.load_many([(KEY, [A, B]), (OTHER_KEY, [A])])
    assert clock.interruption is None
    store.fill_many([Fill(KEY, b"old", TTL, [A, B]), Fill(OTHER_KEY, b"new", TTL, [A])])
    after = store.load_many([(KEY, [A, B]), (OTHER_KEY, [A])])
    assert [
        was.held is F and may_serve(was.snapshot, now.snapshot, 1.0, 0.0)
        for was, now in zip(before, after, strict=True)
    ] == [False, True]  # a store may see the eviction: then it sees the hold-off, too


# --- what is current -----------------------------------------------------------------


def test_a_snapshot_from_before_an_eviction_is_not_current(store: Store) -> None:
    before = generations(store, A, B)
    store.evict(EvictionRequest([B], 0.0))
    assert not store.is_current([A, B], before)


def test_a_snapshot_is_not_current_once_a_write_has_begun_or_ended(
    store: Store,
) -> None:
    before = generations(store, A)
    first = store.evict(EvictionRequest([A], WINDOW))
    between = generations(store, A)
    assert not store.is_current([A], before)
    store.evict(EvictionRequest([A], SETTLE, first_eviction=first))
    assert not store.is_current([A], before)
    assert not store.is_current([A], between)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b: (b, a),
        lambda a, _: (a,),
        lambda a, b: (a, b, b),
        lambda a, b: (a, b ^ 1),
        lambda a, _: (a, 0),
        lambda _a, _b: (),
    ],
    ids=["turned", "shorter", "longer", "another", "zero", "empty"],
)
def test_only_the_snapshot_of_the_tags_is_current(
    store: Store, wrong: Callable[[int, int], tuple[int, ...]]
) -> None:
    store.evict(EvictionRequest([A, B], 0.0))  # tags that never were may share one
    snapshot = generations(store, A, B)
    assert not store.is_current([A, B], wrong(*snapshot))


def test_an_unused_store_calls_no_snapshot_current(store: Store) -> None:
    assert not store.is_current([A], (1,))


def test_a_closed_store_calls_no_old_snapshot_current(
    store: Store,
) -> None:
    before = generations(store, A)
    store.evict(EvictionRequest([A], 0.0))
    store.close()
    assert not store.is_current([A], before)


# --- generations ---------------------------------------------------------------------


def test_a_snapshot_does_not_change_without_an_eviction(
    store: Store, clock: FakeClock
) -> None:
    before = generations(store, A, B, C)
    clock.advance(100_000)
    store.fill(KEY, b"entry", TTL)
    assert generations(store, A, B, C) == before


def test_a_snapshot_has_the_order_of_the_tags(store: Store) -> None:
    store.evict(EvictionRequest([A, B, C], 0.0))
    a, b, c = generations(store, A, B, C)
    assert len({a, b, c}) == 3
    assert generations(store, C, A, B) == (c, a, b)
    assert generations(store, A, A) == (a, a)


def test_a_snapshot_of_no_tags_is_empty_and_not_held(store: Store) -> None:
    store.evict(EvictionRequest([A], WINDOW))
    loaded = store.load(KEY, [])
    assert (loaded.snapshot, loaded.held) == ((), Held.FREE)


def test_a_snapshot_does_not_depend_on_the_key(store: Store) -> None:
    assert store.load(KEY, [A, B]).snapshot == store.load(OTHER_KEY, [A, B]).snapshot


def test_a_generation_fits_into_64_bits_and_is_not_zero(store: Store) -> None:
    asked = tags(50)
    store.evict(EvictionRequest(asked[:25], 0.0))
    assert all(0 < number < 1 << 64 for number in generations(store, *asked))


def test_a_load_creates_a_missing_generation_that_stays(
    store: Store,
) -> None:
    made = [generation(store, asked) for asked in tags(50)]
    assert [generation(store, asked) for asked in tags(50)] == made


def test_an_eviction_replaces_the_generation_of_each_of_its_tags(store: Store) -> None:
    asked = tags(50)
    before = generations(store, *asked)
    store.evict(EvictionRequest(asked, 0.0))
    after = generations(store, *asked)
    assert not set(before) & set(after)
    assert len(set(after)) == 50


def test_an_eviction_replaces_no_other_generation(store: Store) -> None:
    # Tags may share a slot, but not these: see tests/support/digests.py.
    evicted, others = tags(20, "evicted"), tags(500, "other")
    before = generations(store, *others)
    store.evict(EvictionRequest(evicted, WINDOW))
    assert generations(store, *others) == before
    assert not is_held(store, *others)


def test_an_eviction_returns_the_generations_that_it_left(store: Store) -> None:
    left = store.evict(EvictionRequest([A, B], 0.0)).evicted.values()
    assert tuple(mark.generation for mark in left) == generations(store, A, B)


def test_generations_never_repeat(store: Store) -> None:
    seen = [generation(store, A)]
    for _ in range(1000):
        seen.extend(
            mark.generation
            for mark in store.evict(EvictionRequest([A, B], 0.0)).evicted.values()
        )
    assert len(set(seen)) == len(seen)


def test_an_eviction_of_no_tags_changes_nothing(store: Store) -> None:
    before = generations(store, A, B)
    assert store.evict(EvictionRequest([], WINDOW)) == Eviction({}, {})
    assert generations(store, A, B) == before
    assert not is_held(store, A, B)


def test_a_tag_may_be_evicted_twice_in_one_call(store: Store) -> None:
    before = generation(store, A)
    first = store.evict(EvictionRequest([A, B, A], WINDOW))
    assert first.evicted.keys() == {A, B}
    assert generation(store, A) == first.evicted[A].generation != before
    store.evict(EvictionRequest([A, B, A], SETTLE, first_eviction=first))
    assert generation(store, A) != first.evicted[A].generation


def test_a_tag_that_was_evicted_twice_in_one_call_is_held_as_if_once(
    store: Store, clock: FakeClock
) -> None:
    first = store.evict(EvictionRequest([A, A], WINDOW))
    store.evict(EvictionRequest([A, A], SETTLE, first_eviction=first))
    assert_held_until(store, clock, clock() + SETTLE)


def test_an_eviction_returns_watched_generations_unchanged(store: Store) -> None:
    before = generations(store, B, C)
    expected = dict(zip([B, C], before, strict=True))
    assert store.evict(EvictionRequest([A], WINDOW, watch=[B, C])).watched == expected
    assert store.evict(EvictionRequest([], WINDOW, watch=[C, B])).watched == expected
    assert generations(store, B, C) == before
    assert not is_held(store, B, C)


def test_watched_generations_are_those_after_the_eviction(store: Store) -> None:
    evicted = store.evict(EvictionRequest([A], WINDOW, watch=[A, B]))
    assert evicted.watched == {
        A: evicted.evicted[A].generation,
        B: generation(store, B),
    }


# --- hold-off ------------------------------------------------------------------------


def assert_held_until(
    store: Store, clock: FakeClock, end: float, asked: bytes = A
) -> None:
    clock.advance(end - MOMENT - clock())
    assert is_held(store, asked), "it is held no more"
    clock.advance(MOMENT)
    assert not is_held(store, asked), "it is still held"


def test_a_tag_that_was_never_evicted_is_not_held(store: Store) -> None:
    assert not is_held(store, A)


def test_a_tag_is_held_from_its_eviction_to_exactly_the_end(
    store: Store, clock: FakeClock
) -> None:
    store.evict(EvictionRequest([A], WINDOW))
    assert is_held(store, A)
    assert_held_until(store, clock, clock() + WINDOW)


def test_an_eviction_without_hold_off_holds_nothing(store: Store) -> None:
    store.evict(EvictionRequest([A], 0.0))
    assert not is_held(store, A)


def test_each_tag_has_a_hold_off_of_its_own(store: Store, clock: FakeClock) -> None:
    store.evict(EvictionRequest([A], WINDOW))
    store.evict(EvictionRequest([B], 2 * WINDOW))
    assert (is_held(store, A), is_held(store, B), is_held(store, C)) == (1, 1, 0)
    clock.advance(WINDOW)
    assert (is_held(store, A), is_held(store, B), is_held(store, C)) == (0, 1, 0)


def test_tags_are_held_if_one_of_them_is(store: Store) -> None:
    store.evict(EvictionRequest([B], WINDOW))
    assert is_held(store, A, B, C)
    assert not is_held(store, A, C)


@pytest.mark.parametrize("hold_offs", [(WINDOW, SETTLE), (SETTLE, WINDOW)])
def test_of_two_hold_offs_the_later_one_stands(
    store: Store, clock: FakeClock, hold_offs: tuple[float, float]
) -> None:
    began = clock()
    for hold_off in hold_offs:
        store.evict(EvictionRequest([A], hold_off))
    assert_held_until(store, clock, began + WINDOW)


def test_the_longest_hold_off_is_kept(store: Store, clock: FakeClock) -> None:
    store.evict(EvictionRequest([A], LONGEST_HOLD_OFF))
    assert_held_until(store, clock, clock() + LONGEST_HOLD_OFF)


def test_a_hold_off_beyond_the_longest_is_taken_for_damage_and_ignored(
    store: Store, clock: FakeClock
) -> None:
    clock.advance(10 * LONGEST_HOLD_OFF)
    store.evict(EvictionRequest([A], WINDOW))
    clock.advance(-5 * LONGEST_HOLD_OFF)
    assert not is_held(store, A)
    store.evict(EvictionRequest([A], WINDOW))
    assert_held_until(store, clock, clock() + WINDOW)


def test_a_tag_eviction_carries_the_hold_off_that_was_found(
    store: Store, clock: FakeClock
) -> None:
    began = clock()
    found = [
        store.evict(EvictionRequest([A], WINDOW)).evicted[A].held_until
        for _ in range(2)
    ]
    assert found == [0.0, began + WINDOW]


SCENARIOS = {
    "a write that is under way": ("A begins 0", WINDOW),
    "a write that was answered": ("A begins 0, A ends 1", 1 + SETTLE),
    "a write that was answered late": ("A begins 0, A ends 7", 7 + SETTLE),
    "a write that was not answered": ("A begins 0, A is lost 1", 1 + WINDOW),
    "a write after another": (
        "A begins 0, A ends 1, B begins 3, B ends 3.5",
        3.5 + SETTLE,
    ),
    "a write within the settling of another": (
        "A begins 0, A ends 1, B begins 1.125, B ends 1.25",
        1.25 + SETTLE,
    ),
    "a write within another that goes on": (
        "A begins 0, B begins 1, B ends 2",
        0 + WINDOW,
    ),
    "a write within another that ends": (
        "A begins 0, B begins 1, B ends 2, A ends 3",
        0 + WINDOW,
    ),
    "a long write within another": (
        "A begins 0, B begins 1, B ends 4.5, A ends 4.75",
        4.75 + SETTLE,
    ),
    "a write that overlaps another": (
        "A begins 0, B begins 1, A ends 2, B ends 3",
        1 + WINDOW,
    ),
    "the first of two that overlap, ended": (
        "A begins 0, B begins 1, A ends 2",
        1 + WINDOW,
    ),
    "the last of two that overlap, lost": (
        "A begins 0, B begins 1, A ends 2, B is lost 3",
        3 + WINDOW,
    ),
    "a write after one that was lost": (
        "A begins 0, A is lost 1, B begins 2, B ends 3",
        1 + WINDOW,
    ),
    "a write after one that died, and long after": (
        "A begins 0, B begins 1, B ends 2, C begins 6, C ends 6.5",
        6.5 + SETTLE,
    ),
    "three writes, each within the one before": (
        "A begins 0, B begins 1, C begins 2, C ends 2.5, B ends 3, A ends 3.5",
        1 + WINDOW,
    ),
    "three writes, each begun before the one before ended": (
        "A begins 0, B begins 1, A ends 1.5, C begins 2, B ends 2.5, C ends 3",
        2 + WINDOW,
    ),
}


class Writers:
    """Writers of one tag that follow the protocol."""

    def __init__(self, store: Store, written: bytes = A) -> None:
        self.begun: dict[str, Eviction] = {}
        self._store = store
        self._written = [written]

    def begin(self, writer: str) -> None:
        self.begun[writer] = self._store.evict(EvictionRequest(self._written, WINDOW))

    def end(self, writer: str) -> None:
        first = self.begun.pop(writer)
        self._store.evict(EvictionRequest(self._written, SETTLE, first_eviction=first))

    def lose(self, writer: str) -> None:
        del self.begun[writer]
        self._store.evict(EvictionRequest(self._written, WINDOW))


@pytest.mark.parametrize(("script", "end"), SCENARIOS.values(), ids=SCENARIOS)
def test_a_hold_off_ends_as_the_rules_of_coherence_say(
    store: Store, clock: FakeClock, script: str, end: float
) -> None:
    start = clock()
    writers = Writers(store)
    acts = {"begins": writers.begin, "ends": writers.end, "lost": writers.lose}
    for line in script.split(", "):
        writer, *_, verb, at = line.split()
        clock.advance(start + float(at) - clock())
        acts[verb](writer)
        assert is_held(store, A)
    assert_held_until(store, clock, start + end)


def test_each_tag_follows_the_rules_of_coherence_by_itself(
    store: Store, clock: FakeClock
) -> None:
    start = clock()
    first = store.evict(EvictionRequest([A, B], WINDOW))
    store.evict(EvictionRequest([B], 2 * WINDOW))  # another write
    store.evict(EvictionRequest([A, B], SETTLE, first_eviction=first))
    assert_held_until(store, clock, start + SETTLE, A)
    assert_held_until(store, clock, start + 2 * WINDOW, B)


def test_a_read_between_two_evictions_does_not_change_the_hold_off(
    store: Store, clock: FakeClock
) -> None:
    start = clock()
    first = store.evict(EvictionRequest([A], WINDOW))
    store.load(KEY, [A])
    store.fill(KEY, b"entry", TTL)
    store.evict(EvictionRequest([B], WINDOW, watch=[A]))
    store.evict(EvictionRequest([A], SETTLE, first_eviction=first))
    assert_held_until(store, clock, start + SETTLE)


Step = tuple[float, str, bool]
"""Seconds that pass, a writer that begins or ends, and whether its end is answered."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0]),
        st.sampled_from("ABC"),
        st.booleans(),
    ),
    max_size=12,
)

on_one_store = settings(
    deadline=None,
    max_examples=50,
    # Each example has a tag of its own, and time goes on.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def take_step(
    writers: Writers, windows: dict[object, float], clock: FakeClock, step: Step
) -> float | None:
    """Let a writer begin or end; return when its end has settled, if it ended.

    windows: by writer, when the hold-off of its write ends.
    """
    _, writer, is_answered = step
    if writer not in writers.begun:
        writers.begin(writer)
        windows[writer] = clock() + WINDOW
        return None
    del windows[writer]
    (writers.end if is_answered else writers.lose)(writer)
    return clock() + (SETTLE if is_answered else WINDOW)


@given(STEPS)
@on_one_store
def test_a_tag_is_held_while_a_write_may_not_have_settled(
    store: Store, clock: FakeClock, steps: list[Step]
) -> None:
    written = tag(f"written {next(_numbers)}")
    writers = Writers(store, written)
    windows: dict[object, float] = {}
    settled_at = 0.0

    def check() -> None:
        if clock() < max([settled_at, *windows.values()]):
            assert is_held(store, written)

    for step in steps:
        clock.advance(step[0])
        check()
        settled_at = max(settled_at, take_step(writers, windows, clock, step) or 0.0)
        check()
    for _ in range(int(WINDOW / MOMENT)):
        clock.advance(MOMENT)
        check()
    assert not is_held(store, written)


_numbers = count()


# --- races ---------------------------------------------------------------------------


class Reader:
    """A reader of one entry with two tags, which follows the protocol.

    is_consistent: its reads are strongly consistent.
    """

    def __init__(self, store: Store, *, is_consistent: bool = False) -> None:
        self._store = store
        self._is_consistent = is_consistent
        self._loaded: Loaded | None = None
        self._filled_with: Sequence[int] | None = None

    def load(self) -> None:
        self._loaded = self._store.load(KEY, [A, B])

    def fill(self) -> None:
        assert self._loaded is not None
        if may_fill(self._loaded.held, is_consistent=self._is_consistent):
            self._store.fill(KEY, b"entry", TTL)
            self._filled_with = self._loaded.snapshot

    def is_served(self) -> bool:
        """Return whether the next reader is served the entry that this one filled."""
        loaded = self._store.load(KEY, [A, B])
        if self._filled_with is None:
            return False
        assert loaded.entry == b"entry"
        return may_serve(self._filled_with, loaded.snapshot, 1.0, 0.0)


def interleavings(one: Sequence[str], other: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all orders of the steps of both in which each keeps its own order."""
    size = len(one) + len(other)
    orders = []
    for places in combinations(range(size), len(one)):
        first, second = iter(one), iter(other)
        orders.append(
            tuple(next(first if at in places else second) for at in range(size))
        )
    return orders


class Races:
    """Plays orders of a reader's and a writer's steps, one after another on a store.

    A store takes longer to open than an order to play.
    """

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self._store = store
        self._clock = clock

    def is_served(
        self, order: Sequence[str], pause: float, *, is_consistent: bool = False
    ) -> bool:
        """Return whether what the reader filled is served after these steps."""
        start_afresh(self._store, self._clock)
        reader = Reader(self._store, is_consistent=is_consistent)
        do = steps_of(reader, Writers(self._store))
        for step in order:
            do[step]()
            self._clock.advance(pause)
        return reader.is_served()


def start_afresh(store: Store, clock: FakeClock) -> None:
    """Let all hold-offs pass, and drop the entries."""
    clock.advance(TTL)
    store.clear()


@pytest.fixture
def races(store: Store, clock: FakeClock) -> Races:
    return Races(store, clock)


def test_an_entry_is_served_only_if_its_read_began_when_the_write_had_settled(
    races: Races,
) -> None:
    served = {
        (order, pause)
        for order in interleavings(["load", "fill"], ["begin", "end"])
        for pause in (0.0, SETTLE, WINDOW, 2 * WINDOW)
        if races.is_served(order, pause)
    }
    after = ("begin", "end", "load", "fill")
    assert served == {(after, pause) for pause in (SETTLE, WINDOW, 2 * WINDOW)}


def test_a_consistent_entry_is_served_only_if_its_read_began_when_the_write_had_ended(
    races: Races,
) -> None:
    pauses = (0.0, SETTLE, WINDOW, 2 * WINDOW)
    served = {
        (order, pause)
        for order in interleavings(["load", "fill"], ["begin", "end"])
        for pause in pauses
        if races.is_served(order, pause, is_consistent=True)
    }
    assert served == {(("begin", "end", "load", "fill"), pause) for pause in pauses}


@pytest.mark.parametrize("is_consistent", [False, True])
def test_an_entry_is_served_only_if_its_read_began_when_a_lost_write_had_settled(
    races: Races, is_consistent: bool
) -> None:
    served = {
        (order, pause)
        for order in interleavings(["load", "fill"], ["begin", "lose"])
        for pause in (0.0, SETTLE, WINDOW)
        if races.is_served(order, pause, is_consistent=is_consistent)
    }
    assert served == {(("begin", "lose", "load", "fill"), WINDOW)}


@pytest.mark.parametrize("is_consistent", [False, True])
def test_an_entry_is_served_only_if_its_read_began_after_a_dead_writers_hold_off(
    races: Races, is_consistent: bool
) -> None:
    served = {
        (order, pause)
        for order in interleavings(["load", "fill"], ["begin"])
        for pause in (0.0, SETTLE, WINDOW)
        if races.is_served(order, pause, is_consistent=is_consistent)
    }
    assert served == {(("begin", "load", "fill"), WINDOW)}


def steps_of(reader: Reader, writers: Writers) -> dict[str, Callable[[], object]]:
    return {
        "load": reader.load,
        "fill": reader.fill,
        "begin": lambda: writers.begin("A"),
        "end": lambda: writers.end("A"),
        "lose": lambda: writers.lose("A"),
    }


def test_an_entry_is_not_served_after_an_eviction_of_either_of_its_tags(
    store: Store,
) -> None:
    for evicted in (A, B):
        reader = Reader(store)
        reader.load()
        reader.fill()
        assert reader.is_served()
        store.evict(EvictionRequest([evicted], 0.0))
        assert not reader.is_served()


def test_an_entry_is_served_after_an_eviction_of_another_tag(store: Store) -> None:
    reader = Reader(store)
    reader.load()
    reader.fill()
    store.evict(EvictionRequest([C], WINDOW))
    assert reader.is_served()


def test_a_read_that_an_eviction_interrupts_fills_nothing_that_is_served(
    store: Store, clock: InterruptedClock
) -> None:
    reader = Reader(store)
    clock.interruption = lambda: store.evict(EvictionRequest([B], WINDOW))
    reader.load()
    assert clock.interruption is None
    reader.fill()
    assert not reader.is_served()


def test_an_old_entry_is_not_served_with_the_snapshot_of_a_later_read(
    store: Store,
) -> None:
    slow, quick = Reader(store), Reader(store)
    slow.load()
    store.evict(EvictionRequest([A], 0.0))
    quick.load()
    quick.fill()
    slow.fill()  # overwrites the newer entry
    assert not slow.is_served()


# --- settling ------------------------------------------------------------------------

# What a load says after each step. A and B write the same tag: they begin (+), end
# answered (-), or end without an answer (?).
ORDERS = {
    "A+ A-": (W, S),
    "A+ A?": (W, W),
    "A+ A- B+ B-": (W, S, W, S),
    "A+ B+ A- B-": (W, W, W, W),
    "A+ B+ B- A-": (W, W, W, W),
    "A+ A? B+ B-": (W, W, W, W),
    "A+ B+ A? B-": (W, W, W, W),
    "A+ B+ B? A-": (W, W, W, W),
    "A+ B+ B- A?": (W, W, W, W),
    "A+ A- B+ B?": (W, S, W, W),
    "A+ B+ A- B?": (W, W, W, W),
    "A+ A? B+ B?": (W, W, W, W),
    "A+ B+ A? B?": (W, W, W, W),
    "A+ B+ B? A?": (W, W, W, W),
}


def take(writers: Writers, step: str) -> None:
    """Take a step such as `A+`."""
    act = {"+": writers.begin, "-": writers.end, "?": writers.lose}[step[-1]]
    act(step[:-1])


def test_the_table_of_orders_is_complete() -> None:
    ends = [("A+", a) for a in ("A-", "A?")], [("B+", b) for b in ("B-", "B?")]
    both = {
        " ".join(order)
        for one in ends[0]
        for other in ends[1]
        for order in interleavings(one, other)
        if order[0] == "A+"
    }
    assert both | {"A+ A-", "A+ A?"} == set(ORDERS)


@pytest.mark.parametrize("pause", [0.0, MOMENT])
def test_a_load_distinguishes_settling_from_writing(
    store: Store, clock: FakeClock, pause: float
) -> None:
    seen = {}
    for order in ORDERS:
        start_afresh(store, clock)
        writers, after_each = Writers(store), []
        for step in order.split():
            take(writers, step)
            after_each.append(held(store, A))
            clock.advance(pause)
        seen[order] = tuple(after_each)
    assert seen == ORDERS


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        # A died; its window is over.
        ("A+ 5 B+ 0 B-", (W, W, S)),
        ("A+ 4.875 B+ 0 B-", (W, W, W)),
        ("A+ 4.875 B+ 0.125 B-", (W, W, S)),
        ("A+ 1 A? 5 B+ 0 B-", (W, W, W, S)),
        # A is slow; its window ends while B is under way.
        ("A+ 4 B+ 2 B- 0 A-", (W, W, S, S)),
        ("A+ 4 B+ 2 A- 0 B-", (W, W, W, W)),
        ("A+ 4 B+ 6 A- 0 B-", (W, W, S, S)),
        # B begins while A settles, and while A has settled.
        ("A+ 1 A- 0.5 B+ 1 B-", (W, S, W, S)),
        ("A+ 1 A- 2 B+ 1 B-", (W, S, W, S)),
    ],
)
def test_a_writer_whose_hold_off_ended_does_not_keep_others_from_settling(
    store: Store, clock: FakeClock, script: str, seen: tuple[Held, ...]
) -> None:
    writers, seen_held = Writers(store), []
    for word in script.split():
        if word[0] in "AB":
            take(writers, word)
            seen_held.append(held(store, A))
        else:
            clock.advance(float(word))
    assert tuple(seen_held) == seen


def test_a_settling_tag_is_free_once_it_has_settled(
    store: Store, clock: FakeClock
) -> None:
    writers = Writers(store)
    writers.begin("A")
    writers.end("A")
    clock.advance(SETTLE - MOMENT)
    assert held(store, A) is S
    clock.advance(MOMENT)
    assert held(store, A) is F


def test_settling_never_lengthens_a_hold_off(store: Store, clock: FakeClock) -> None:
    for eighths in range(1, 100):
        hold_off = eighths * MOMENT
        each = tag(f"held for {hold_off}")
        store.evict(
            EvictionRequest(
                [each],
                hold_off,
                first_eviction=store.evict(EvictionRequest([each], 0.0)),
            )
        )
        assert held(store, each) is S
        clock.advance(hold_off)
        assert held(store, each) is F


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ((F, F), F),
        ((F, S), S),
        ((S, F), S),
        ((S, S), S),
        ((S, W), W),
        ((W, S), W),
        ((W, F), W),
        ((F, W), W),
    ],
)
def test_a_tag_under_a_write_outweighs_settling_and_free_tags(
    store: Store, states: tuple[Held, ...], together: Held
) -> None:
    for each, state in zip((A, B), states, strict=True):
        if state is not F:
            first = store.evict(EvictionRequest([each], WINDOW))
        if state is S:
            store.evict(EvictionRequest([each], SETTLE, first_eviction=first))
    assert held(store, A, B) is together
    assert held(store, A, C, B) is together


@given(STEPS)
@on_one_store
def test_no_tag_settles_while_a_write_may_be_under_way(
    store: Store, clock: FakeClock, steps: list[Step]
) -> None:
    written = tag(f"settling {next(_numbers)}")
    writers = Writers(store, written)
    windows: dict[object, float] = {}

    def check() -> None:
        if clock() < max(windows.values(), default=0.0):
            assert held(store, written) is W

    for step in steps:
        clock.advance(step[0])
        check()
        settled_at = take_step(writers, windows, clock, step)
        if settled_at is not None and not step[2]:
            windows[object()] = settled_at
        check()


# --- being alone ---------------------------------------------------------------------


def was_alone(eviction: Eviction) -> tuple[bool, ...]:
    return tuple(mark.was_alone for mark in eviction.evicted.values())


def test_a_first_eviction_is_no_evidence_of_having_been_alone(store: Store) -> None:
    assert was_alone(store.evict(EvictionRequest([A, B], WINDOW))) == (False, False)
    assert was_alone(store.evict(EvictionRequest([A, B], WINDOW))) == (False, False)


def test_a_write_was_alone_with_each_tag_that_no_other_write_touched(
    store: Store,
) -> None:
    first = store.evict(EvictionRequest([A, B, C], WINDOW))
    store.evict(EvictionRequest([B], 0.0))
    assert was_alone(
        store.evict(EvictionRequest([A, B, C], SETTLE, first_eviction=first))
    ) == (True, False, True)


@pytest.mark.parametrize("touch", ["begins", "begins and ends", "is invalidated"])
def test_a_write_was_not_alone_if_another_one_came_and_ended(
    store: Store, clock: FakeClock, touch: str
) -> None:
    first = store.evict(EvictionRequest([A], WINDOW))
    hold_off = 0.0 if touch == "is invalidated" else WINDOW
    others = store.evict(EvictionRequest([A], hold_off))
    if touch == "begins and ends":
        assert was_alone(
            store.evict(EvictionRequest([A], SETTLE, first_eviction=others))
        ) == (True,)
    clock.advance(2 * WINDOW)
    assert was_alone(
        store.evict(EvictionRequest([A], SETTLE, first_eviction=first))
    ) == (False,)


def test_reads_and_watches_do_not_change_whether_a_write_was_alone(
    store: Store,
) -> None:
    first = store.evict(EvictionRequest([A], WINDOW))
    store.load(KEY, [A])
    store.fill(KEY, b"entry", TTL)
    store.evict(EvictionRequest([B], WINDOW, watch=[A]))
    store.clear()
    assert was_alone(
        store.evict(EvictionRequest([A], SETTLE, first_eviction=first))
    ) == (True,)


def test_new_tags_come_after_those_of_the_first_eviction(
    store: Store, clock: FakeClock
) -> None:
    start = clock()
    before = generations(store, B, C)
    first = store.evict(EvictionRequest([A], WINDOW))
    second = store.evict(EvictionRequest([A, B, C], SETTLE, first_eviction=first))
    assert was_alone(second) == (True, False, False)
    assert not {*before} & {*generations(store, B, C)}
    assert tuple(m.generation for m in second.evicted.values()) == generations(
        store, A, B, C
    )
    assert (held(store, A), held(store, B), held(store, C)) == (S, W, W)
    assert_held_until(store, clock, start + SETTLE, B)


# --- restoring -----------------------------------------------------------------------


def test_a_tag_is_restored_by_a_write_that_was_alone(
    store: Store, clock: FakeClock
) -> None:
    before = generations(store, A, B)
    first = store.evict(EvictionRequest([A, B], WINDOW))
    second = store.evict(
        EvictionRequest([A, B], SETTLE, first_eviction=first, restore=[A])
    )
    assert generation(store, A) == before[0] == second.evicted[A].generation
    assert generation(store, B) == second.evicted[B].generation
    assert generation(store, B) not in (before[1], first.evicted[B].generation)
    assert (held(store, A), held(store, B)) == (F, S)
    assert was_alone(second) == (True, True)
    clock.advance(SETTLE)
    assert held(store, A, B) is F


def test_an_entry_with_a_restored_tag_is_served_again(store: Store) -> None:
    reader = Reader(store)
    reader.load()
    reader.fill()
    first = store.evict(EvictionRequest([A], WINDOW))
    assert not reader.is_served()
    store.evict(EvictionRequest([A], SETTLE, first_eviction=first, restore=[A]))
    assert reader.is_served()


@pytest.mark.parametrize("is_consistent", [False, True])
def test_a_read_during_a_write_that_restores_its_tag_is_not_served(
    store: Store, is_consistent: bool
) -> None:
    reader = Reader(store, is_consistent=is_consistent)
    first = store.evict(EvictionRequest([A], WINDOW))
    reader.load()
    store.evict(EvictionRequest([A], SETTLE, first_eviction=first, restore=[A]))
    reader.fill()
    assert not reader.is_served()


def test_a_write_that_dies_restores_nothing(store: Store, clock: FakeClock) -> None:
    before = generation(store, A)
    store.evict(EvictionRequest([A], WINDOW))
    assert generation(store, A) != before
    assert_held_until(store, clock, clock() + WINDOW)
    assert generation(store, A) != before


def test_a_write_that_was_not_answered_restores_nothing(
    store: Store, clock: FakeClock
) -> None:
    before = generation(store, A)
    store.evict(EvictionRequest([A], WINDOW))
    store.evict(EvictionRequest([A], WINDOW, restore=[A]))
    assert generation(store, A) != before
    assert_held_until(store, clock, clock() + WINDOW)


def test_a_first_eviction_restores_nothing(store: Store) -> None:
    before = generation(store, A)
    store.evict(EvictionRequest([A], WINDOW, restore=[A]))
    assert generation(store, A) != before
    assert held(store, A) is W


def test_a_tag_that_is_not_evicted_cannot_be_restored(store: Store) -> None:
    first = store.evict(EvictionRequest([A], WINDOW))
    store.evict(EvictionRequest([B], WINDOW))
    before = generation(store, B)
    store.evict(EvictionRequest([A], SETTLE, first_eviction=first, restore=[B, C]))
    assert (generation(store, B), held(store, B)) == (before, W)
    assert held(store, C) is F


# What is between the two evictions of a write that restores its tag: another one, or
# the end of one that was under way before.
DISTURBANCES = ["B+", "B+ B-", "B+ B?", "B+ B- C+ C-", "B+ C+ C- B-"]


@pytest.mark.parametrize("pause", [0.0, WINDOW])
@pytest.mark.parametrize("script", DISTURBANCES)
def test_a_tag_that_another_write_touched_is_not_restored(
    store: Store, clock: FakeClock, script: str, pause: float
) -> None:
    before = generation(store, A)
    others = Writers(store)
    first = store.evict(EvictionRequest([A], WINDOW))
    for step in script.split():
        take(others, step)
    clock.advance(pause)
    seen = {before, first.evicted[A].generation, generation(store, A)}
    second = store.evict(
        EvictionRequest([A], SETTLE, first_eviction=first, restore=[A])
    )
    assert was_alone(second) == (False,)
    assert generation(store, A) == second.evicted[A].generation
    assert generation(store, A) not in seen
    assert held(store, A) is not F


@pytest.mark.parametrize("end", ["B-", "B?"])
def test_a_tag_is_not_restored_when_a_write_from_before_ended_meanwhile(
    store: Store, end: str
) -> None:
    others = Writers(store)
    others.begin("B")
    before = generation(store, A)
    first = store.evict(EvictionRequest([A], WINDOW))
    take(others, end)
    store.evict(EvictionRequest([A], SETTLE, first_eviction=first, restore=[A]))
    assert generation(store, A) != before
    assert held(store, A) is W


def test_of_two_writes_that_overlap_neither_restores_the_tag(store: Store) -> None:
    before = generation(store, A)
    one = store.evict(EvictionRequest([A], WINDOW))
    other = store.evict(EvictionRequest([A], WINDOW))
    store.evict(EvictionRequest([A], SETTLE, first_eviction=one, restore=[A]))
    store.evict(EvictionRequest([A], SETTLE, first_eviction=other, restore=[A]))
    assert generation(store, A) != before
    assert held(store, A) is W


def test_of_two_writes_one_within_the_other_both_restore_the_tag(store: Store) -> None:
    # To the outer one it is as if the inner one had not been: it did not concern it.
    before = generation(store, A)
    outer = store.evict(EvictionRequest([A], WINDOW))
    inner = store.evict(EvictionRequest([A], WINDOW))
    store.evict(EvictionRequest([A], SETTLE, first_eviction=inner, restore=[A]))
    assert generation(store, A) == outer.evicted[A].generation
    assert held(store, A) is W
    store.evict(EvictionRequest([A], SETTLE, first_eviction=outer, restore=[A]))
    assert (generation(store, A), held(store, A)) == (before, F)


def test_a_write_within_one_that_restores_the_tag_evicts_it_for_both(
    store: Store,
) -> None:
    before = generation(store, A)
    outer = store.evict(EvictionRequest([A], WINDOW))
    inner = store.evict(EvictionRequest([A], WINDOW))
    store.evict(EvictionRequest([A], SETTLE, first_eviction=inner))
    store.evict(EvictionRequest([A], SETTLE, first_eviction=outer, restore=[A]))
    assert generation(store, A) != before


@pytest.mark.parametrize(
    ("script", "found", "end"),
    [
        ("", F, 0.0),
        ("B+", W, WINDOW),
        ("B+ B-", S, SETTLE),
        ("B+ B?", W, WINDOW),
        ("B+ C+ B- C-", W, WINDOW),
    ],
)
def test_restoring_a_tag_restores_its_hold_off(
    store: Store, clock: FakeClock, script: str, found: Held, end: float
) -> None:
    start = clock()
    others = Writers(store)
    for step in script.split():
        take(others, step)
    before = generation(store, A)
    assert held(store, A) is found
    clock.advance(MOMENT)
    first = store.evict(EvictionRequest([A], 2 * WINDOW))
    clock.advance(MOMENT)
    store.evict(EvictionRequest([A], 2 * WINDOW, first_eviction=first, restore=[A]))
    assert (generation(store, A), held(store, A)) == (before, found)
    if end:
        assert_held_until(store, clock, start + end)


def test_a_writer_whose_hold_off_was_restored_was_still_alone(
    store: Store, clock: FakeClock
) -> None:
    others = Writers(store)
    others.begin("B")
    first = store.evict(EvictionRequest([A], WINDOW))
    store.evict(EvictionRequest([A], SETTLE, first_eviction=first, restore=[A]))
    others.end("B")
    assert held(store, A) is S
    assert_held_until(store, clock, clock() + SETTLE)


def test_restoring_a_tag_a_thousand_times_does_not_lengthen_its_hold_off(
    store: Store, clock: FakeClock
) -> None:
    start = clock()
    store.evict(
        EvictionRequest(
            [A], SETTLE, first_eviction=store.evict(EvictionRequest([A], WINDOW))
        )
    )
    before = generation(store, A)
    for _ in range(1000):
        first = store.evict(EvictionRequest([A], WINDOW))
        store.evict(EvictionRequest([A], WINDOW, first_eviction=first, restore=[A]))
    assert generation(store, A) == before
    assert held(store, A) is S
    assert_held_until(store, clock, start + SETTLE)


def test_a_tag_that_was_never_evicted_is_restored_like_any_other(store: Store) -> None:
    # A load before the write has its generation, though no eviction gave it.
    before = generations(store, *tags(20, "restored"))
    for each in tags(20, "restored"):
        first = store.evict(EvictionRequest([each], WINDOW))
        store.evict(
            EvictionRequest([each], SETTLE, first_eviction=first, restore={each})
        )
    assert generations(store, *tags(20, "restored")) == before
    assert held(store, *tags(20, "restored")) is F


def test_a_reopened_store_restores_a_tag_evicted_before_it_was_closed(
    store: Store,
) -> None:
    before = generation(store, A)
    first = store.evict(EvictionRequest([A], WINDOW))
    store.close()
    store.load(KEY, [])
    second = store.evict(
        EvictionRequest([A], SETTLE, first_eviction=first, restore=[A])
    )
    assert second.evicted[A].generation == generation(store, A)
    assert (generation(store, A) == before) is was_alone(second)[0]


@given(
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.sampled_from(["end", "lose", "restore"])),
        max_size=14,
    )
)
@on_one_store
def test_a_generation_returns_only_if_every_write_since_restored_it(
    store: Store, steps: list[tuple[str, str]]
) -> None:
    written = tag(f"restored {next(_numbers)}")
    begun: dict[str, Eviction] = {}
    # Of each generation: whether a write has ended since that did not restore the tag.
    is_spent = {generation(store, written): False}
    for writer, verb in steps:
        if writer not in begun:
            begun[writer] = store.evict(EvictionRequest([written], WINDOW))
        else:
            began = begun.pop(writer)
            first = None if verb == "lose" else began
            restore = [written] if verb == "restore" else []
            store.evict(EvictionRequest([written], SETTLE, (), first, restore))
            if verb != "restore":
                is_spent = dict.fromkeys(is_spent, True)
        now = generation(store, written)
        assert not is_spent.get(now, False)
        is_spent.setdefault(now, False)


# --- threads -------------------------------------------------------------------------


def test_threads_that_evict_see_their_own_new_generations(store: Store) -> None:
    shared = [A, B, C]

    def hammer(number: int) -> None:
        own = key(f"of thread {number}")
        for turn in range(100):
            before = store.load(own, shared)
            store.fill(own, b"%d of %d" % (turn, number), TTL)
            store.fill(KEY, b"%d of %d" % (turn, number), TTL)
            first = store.evict(EvictionRequest(shared, WINDOW, watch=shared))
            after = store.load(own, shared)
            second = store.evict(EvictionRequest(shared, SETTLE, first_eviction=first))
            last = store.load(KEY, shared)
            assert not set(before.snapshot) & {*after.snapshot, *first.watched.values()}
            assert not set(after.snapshot) & set(last.snapshot)
            assert len({*first.evicted.values(), *second.evicted.values()}) == 6
            assert (before.entry is None) == (turn == 0)
            assert after.entry == b"%d of %d" % (turn, number)

    in_threads([partial(hammer, number) for number in range(4)])


def test_threads_that_open_a_store_at_once_see_the_same_one(store: Store) -> None:
    seen = []

    def use() -> None:
        seen.append(generations(store, A, B))
        store.fill(KEY, b"entry", TTL)

    in_threads([use] * 8)
    assert seen == [seen[0]] * 8
    assert entry(store) == b"entry"


def test_threads_may_close_and_clear_while_others_read_and_write(store: Store) -> None:
    def use() -> None:
        for _ in range(30):
            with contextlib.suppress(StoreError):  # it was closed meanwhile
                store.load(KEY, [A])
                store.fill(KEY, b"entry", TTL)
            evicted = store.evict(EvictionRequest([A], 0.0)).evicted[A].generation
            assert evicted

    def disturb() -> None:
        for _ in range(10):
            with contextlib.suppress(StoreError):
                store.clear()
            store.close()

    in_threads([use, use, disturb])
    store.load(KEY, [A])
    store.fill(KEY, b"entry", TTL)
    assert entry(store) == b"entry"


# --- odd arguments -------------------------------------------------------------------

ODD_BYTES = [b"", b"\0", b"\0" * 16, b"\xff" * 16, b"x" * 1000]


@pytest.mark.parametrize("odd", ODD_BYTES, ids=lambda odd: f"{len(odd)} {odd[:1]!r}")
def test_an_odd_key_or_tag_raises_only_store_error(store: Store, odd: bytes) -> None:
    with contextlib.suppress(StoreError):
        before = store.load(odd, [odd]).snapshot
        store.fill(odd, odd, TTL)
        assert store.load(odd, [odd]) == Loaded(odd, before, Held.FREE)
        assert store.load_many([(odd, [odd])]) == [Loaded(odd, before, Held.FREE)]
        store.evict(EvictionRequest([odd], WINDOW))
        assert store.load(odd, [odd]).snapshot != before
        assert not store.is_current([odd], before)


@pytest.mark.parametrize("ttl", [0.0, -1.0, 1e-9, 1e300, float("inf"), float("nan")])
def test_an_odd_ttl_raises_only_store_error(store: Store, ttl: float) -> None:
    with contextlib.suppress(StoreError):
        store.fill(KEY, b"entry", ttl)
    assert entry(store) in (None, b"entry")
    store.fill(KEY, b"next", TTL)
    assert entry(store) == b"next"


@pytest.mark.parametrize("hold_off", [1e-9, -1.0, -1e9])
def test_an_odd_hold_off_raises_only_store_error(store: Store, hold_off: float) -> None:
    with contextlib.suppress(StoreError):
        store.evict(EvictionRequest([A], hold_off))
    store.evict(EvictionRequest([A], WINDOW))
    assert is_held(store, A)


def test_many_tags_are_evicted_in_one_call(store: Store) -> None:
    many = tags(2000, "many")
    evicted = store.evict(EvictionRequest(many, WINDOW, watch=many))
    assert evicted.watched == left_by(evicted)
    assert generations(store, *many) == tuple(evicted.watched.values())
