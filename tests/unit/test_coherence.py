"""The laws of coherence, as tables."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from botocache._coherence import (
    LONGEST_HOLD_OFF,
    Held,
    TagEviction,
    TagState,
    is_held,
    may_fill,
    may_serve,
    may_serve_stale,
    next_held_until,
    next_is_settling,
    next_state,
    restored_state,
)

NOW = 1000.0
OURS, OTHERS = 11, 22
"""Generations: the one that our first eviction left, and one of somebody else."""

FAR = NOW + LONGEST_HOLD_OFF
DAMAGE = FAR + LONGEST_HOLD_OFF + 1.0

# --- how long a tag is held --------------------------------------------------------

FIRST_EVICTIONS = {
    "a tag that was never written": (0.0, 5.0, NOW + 5.0),
    "a tag whose hold-off is over": (NOW - 1.0, 5.0, NOW + 5.0),
    "another writer's shorter hold-off": (NOW + 1.0, 5.0, NOW + 5.0),
    "another writer's longer hold-off": (NOW + 9.0, 5.0, NOW + 9.0),
    "no hold-off is asked for": (NOW - 1.0, 0.0, NOW),
    "none is asked for, another writer has one": (NOW + 9.0, 0.0, NOW + 9.0),
    "the longest that can be": (FAR, 5.0, FAR),
    "longer than any can be": (DAMAGE, 5.0, NOW + 5.0),
    "endless": (math.inf, 5.0, NOW + 5.0),
}


@pytest.mark.parametrize(
    ("found", "hold_off", "expected"),
    FIRST_EVICTIONS.values(),
    ids=list(FIRST_EVICTIONS),
)
def test_an_eviction_holds_a_tag_for_as_long_as_anybody_wants(
    found: float, hold_off: float, expected: float
) -> None:
    state = TagState(OTHERS, found)
    assert next_held_until(state, NOW, hold_off, None) == expected


# What the first eviction found; what is there at the second; what it leaves. Settle
# is 1 second, the write window was 5.
SECOND_EVICTIONS = {
    "nobody else: shortened": (0.0, (OURS, NOW + 5.0), NOW + 1.0),
    "nobody else, and the window is over": (0.0, (OURS, NOW - 2.0), NOW + 1.0),
    "nobody else, after one whose hold-off is over": (
        NOW - 3.0,
        (OURS, NOW + 5.0),
        NOW + 1.0,
    ),
    "one that began earlier is still under way": (
        NOW + 4.0,
        (OURS, NOW + 5.0),
        NOW + 4.0,
    ),
    "one that began earlier, with a longer window": (
        NOW + 9.0,
        (OURS, NOW + 9.0),
        NOW + 9.0,
    ),
    "one that ended earlier has not settled yet": (
        NOW + 1.5,
        (OURS, NOW + 5.0),
        NOW + 1.5,
    ),
    "one in between: the window stays": (0.0, (OTHERS, NOW + 5.0), NOW + 5.0),
    "one in between, whose window is longer": (0.0, (OTHERS, NOW + 9.0), NOW + 9.0),
    "one in between, all windows over": (0.0, (OTHERS, NOW - 1.0), NOW + 1.0),
    "the generation was lost": (NOW + 4.0, (0, 0.0), NOW + 1.0),
    "damage before our first": (DAMAGE, (OURS, NOW + 5.0), NOW + 1.0),
    "damage since our first": (0.0, (OTHERS, DAMAGE), NOW + 1.0),
}


@pytest.mark.parametrize(
    ("before", "found", "expected"),
    SECOND_EVICTIONS.values(),
    ids=list(SECOND_EVICTIONS),
)
def test_the_second_eviction_shortens_the_hold_off_of_its_own_write_alone(
    before: float, found: tuple[int, float], expected: float
) -> None:
    first = TagEviction(OURS, before)
    assert next_held_until(TagState(*found), NOW, 1.0, first) == expected


def test_a_second_eviction_without_an_answer_shortens_nothing() -> None:
    found = TagState(OURS, NOW + 3.0)
    assert next_held_until(found, NOW, 5.0, None) == NOW + 5.0
    assert next_held_until(found, NOW, 1.0, None) == NOW + 3.0


_clocks = st.floats(0.0, 1e10)
_hold_offs = st.floats(0.001, LONGEST_HOLD_OFF)
_moments = st.floats(0.0, 1e11)
_generations = st.sampled_from([OURS, OTHERS])
_marks = st.none() | st.builds(TagEviction, _generations, _moments)


@given(st.builds(TagState, _generations, _moments), _clocks, _hold_offs, _marks)
def test_an_eviction_holds_the_tag_for_what_it_asks_at_least(
    found: TagState, now: float, hold_off: float, first: TagEviction | None
) -> None:
    assert next_held_until(found, now, hold_off, first) >= now + hold_off


@given(_clocks, _hold_offs)
@example(522812.29, LONGEST_HOLD_OFF)
def test_a_tag_is_held_at_once_by_every_hold_off_that_may_be_set(
    now: float, hold_off: float
) -> None:
    held_until = next_held_until(TagState(OTHERS, 0.0), now, hold_off, None)
    assert is_held(held_until, now)


@given(
    st.builds(TagState, _generations, _moments), _clocks, _hold_offs, _hold_offs, _marks
)
def test_an_eviction_never_ends_the_hold_off_of_an_unknown_writer(
    found: TagState,
    now: float,
    hold_off: float,
    others: float,
    first: TagEviction | None,
) -> None:
    found = TagState(OTHERS + 1, min(found.held_until, now + others))
    assert next_held_until(found, now, hold_off, first) >= min(
        found.held_until, now + LONGEST_HOLD_OFF
    )


# --- whether a tag is settling -----------------------------------------------------

WRITING, SETTLING = False, True

# What the first eviction found; what is there at the second; whether no write can be
# under way after it.
ENDS = {
    "a tag that was never written": ((0.0, WRITING), (OURS, NOW + 5.0, WRITING), True),
    "after one whose window is over": (
        (NOW - 1.0, WRITING),
        (OURS, NOW + 5.0, WRITING),
        True,
    ),
    "after one whose window ends now": ((NOW, WRITING), (OURS, NOW, WRITING), True),
    "within the settling of another": (
        (NOW + 0.5, SETTLING),
        (OURS, NOW + 5.0, WRITING),
        True,
    ),
    "within another that may be under way": (
        (NOW + 0.5, WRITING),
        (OURS, NOW + 5.0, WRITING),
        False,
    ),
    "within another, its own window over": (
        (NOW + 0.5, WRITING),
        (OURS, NOW - 1.0, WRITING),
        False,
    ),
    "around another that may be under way": (
        (0.0, WRITING),
        (OTHERS, NOW + 0.5, WRITING),
        False,
    ),
    "around another that ended": ((0.0, WRITING), (OTHERS, NOW + 0.5, SETTLING), True),
    "around another whose window is over": (
        (0.0, WRITING),
        (OTHERS, NOW - 1.0, WRITING),
        True,
    ),
    "around another, and within a third whose window that one took over": (
        (NOW + 9.0, WRITING),
        (OTHERS, NOW + 9.0, WRITING),
        False,
    ),
    "the generation was lost": ((NOW + 4.0, WRITING), (0, 0.0, WRITING), True),
    "damage before our first": ((DAMAGE, WRITING), (OURS, NOW + 5.0, WRITING), True),
    "damage since our first": ((0.0, WRITING), (OTHERS, DAMAGE, WRITING), True),
}


@pytest.mark.parametrize(("before", "found", "expected"), ENDS.values(), ids=list(ENDS))
def test_a_tag_is_settling_when_all_its_writes_have_ended_or_timed_out(
    before: tuple[float, bool], found: tuple[int, float, bool], expected: bool
) -> None:
    first = TagEviction(OURS, *before)
    assert next_is_settling(TagState(*found), NOW, first) is expected


@pytest.mark.parametrize("is_settling", [WRITING, SETTLING])
@pytest.mark.parametrize("held_until", [0.0, NOW - 1.0, NOW + 1.0, DAMAGE])
def test_a_tag_is_not_settling_when_a_write_begins_or_was_not_answered(
    held_until: float, is_settling: bool
) -> None:
    found = TagState(OTHERS, held_until, is_settling)
    assert next_is_settling(found, NOW, None) is False


# --- what an eviction leaves -------------------------------------------------------

FRESH, BEFORE = 33, 44


def state_after(
    found: TagState,
    now: float,
    hold_off: float,
    first: TagEviction | None,
    *,
    is_restored: bool,
) -> TagState:
    """Return what a store leaves of a tag."""
    restored = restored_state(found, first) if is_restored else None
    return restored or next_state(found, FRESH, now, hold_off, first)


_ALONE = TagState(OURS, NOW + 5.0)

# What is there; the mark of the first eviction; whether the tag is to be restored.
STATES: dict[
    str, tuple[TagState, TagEviction | None, bool, tuple[int, float, bool]]
] = {
    "the first eviction": (TagState(BEFORE, 0.0), None, False, (FRESH, 6.0, WRITING)),
    "the first one, of what settles": (
        TagState(BEFORE, NOW + 0.5, SETTLING),
        None,
        False,
        (FRESH, 6.0, WRITING),
    ),
    "the second eviction": (
        _ALONE,
        TagEviction(OURS, 0.0, WRITING, BEFORE),
        False,
        (FRESH, 6.0, SETTLING),
    ),
    "restored": (
        _ALONE,
        TagEviction(OURS, 0.0, WRITING, BEFORE),
        True,
        (BEFORE, -NOW, WRITING),
    ),
    "restored, within the settling of another": (
        _ALONE,
        TagEviction(OURS, NOW + 0.5, SETTLING, BEFORE),
        True,
        (BEFORE, 0.5, SETTLING),
    ),
    "restored, within another write": (
        _ALONE,
        TagEviction(OURS, NOW + 9.0, WRITING, BEFORE),
        True,
        (BEFORE, 9.0, WRITING),
    ),
    "not restored: another came": (
        TagState(OTHERS, NOW + 4.0),
        TagEviction(OURS, 0.0, WRITING, BEFORE),
        True,
        (FRESH, 6.0, WRITING),
    ),
    "not restored: another came and went": (
        TagState(OTHERS, NOW + 0.5, SETTLING),
        TagEviction(OURS, 0.0, WRITING, BEFORE),
        True,
        (FRESH, 6.0, SETTLING),
    ),
    "not restored: the generation was lost": (
        TagState(0, 0.0),
        TagEviction(OURS, 0.0, WRITING, BEFORE),
        True,
        (FRESH, 6.0, SETTLING),
    ),
    "not restored: no first eviction": (_ALONE, None, True, (FRESH, 6.0, WRITING)),
}


@pytest.mark.parametrize(
    ("found", "first", "is_restored", "expected"), STATES.values(), ids=list(STATES)
)
def test_an_eviction_leaves_a_new_generation_or_restores_what_its_write_found(
    found: TagState,
    first: TagEviction | None,
    is_restored: bool,
    expected: tuple[int, float, bool],
) -> None:
    generation, held_for, is_settling = expected
    state = state_after(found, NOW, 6.0, first, is_restored=is_restored)
    assert state == (generation, NOW + held_for, is_settling)


_flags = st.booleans()
_states = st.builds(TagState, _generations, _moments, _flags)
_full_marks = st.builds(TagEviction, _generations, _moments, _flags, st.just(BEFORE))


@given(_states, _clocks, _hold_offs, st.none() | _full_marks, _flags)
def test_a_generation_is_fresh_unless_a_write_that_was_alone_restores_the_tag(
    found: TagState,
    now: float,
    hold_off: float,
    first: TagEviction | None,
    is_restored: bool,
) -> None:
    state = state_after(found, now, hold_off, first, is_restored=is_restored)
    was_alone = first is not None and first.generation == found.generation
    if is_restored and was_alone:
        assert first is not None
        assert state == (first.previous_generation, first.held_until, first.is_settling)
    else:
        assert state.generation == FRESH
        assert state == next_state(found, FRESH, now, hold_off, first)


_holds = st.tuples(st.floats(-10.0, 10.0), _flags)
"""For how long from now, and whether it is settling."""


@given(_clocks, _holds, st.tuples(_generations, _holds), _hold_offs, _flags)
def test_a_tag_never_settles_while_another_writer_may_be_under_way(
    now: float,
    before: tuple[float, bool],
    there: tuple[int, tuple[float, bool]],
    hold_off: float,
    is_restored: bool,
) -> None:
    first = TagEviction(OURS, now + before[0], before[1], BEFORE)
    generation, (held_for, is_settling) = there
    found = TagState(generation, now + held_for, is_settling)
    state = state_after(found, now, hold_off, first, is_restored=is_restored)
    # If nobody came since the first eviction, what is there is our own.
    anothers: TagState | TagEviction = first if generation == OURS else found
    if is_held(anothers.held_until, now) and not anothers.is_settling:
        assert not state.is_settling
        assert state.held_until >= anothers.held_until


@given(_clocks, _states, _hold_offs, _flags)
def test_a_write_that_begins_never_settles_and_restores_nothing(
    now: float, found: TagState, hold_off: float, is_restored: bool
) -> None:
    state = state_after(found, now, hold_off, None, is_restored=is_restored)
    assert (state.generation, state.is_settling) == (FRESH, False)


# --- what is held, served, filled --------------------------------------------------


@pytest.mark.parametrize(
    ("held_until", "expected"),
    [
        (0.0, False),
        (NOW - 0.001, False),
        (NOW, False),
        (NOW + 0.001, True),
        (NOW + 5.0, True),
        (FAR, True),
        (DAMAGE, False),
        (math.inf, False),
        (math.nan, False),
    ],
)
def test_a_tag_is_held_until_its_moment_unless_that_is_damage(
    held_until: float,
    expected: bool,
) -> None:
    assert is_held(held_until, NOW) is expected


@pytest.mark.parametrize(
    ("snapshot", "current", "expires_at", "expected"),
    [
        ((1, 2, 3), (1, 2, 3), NOW + 1.0, True),
        ((1, 2, 3), (1, 2, 3), NOW, False),
        ((1, 2, 3), (1, 2, 3), NOW - 1.0, False),
        ((1, 2, 3), (1, 2, 3), math.nan, False),
        ((1, 2, 3), (9, 2, 3), NOW + 1.0, False),
        ((1, 2, 3), (1, 9, 3), NOW + 1.0, False),
        ((1, 2, 3), (1, 2, 9), NOW + 1.0, False),
        ((1, 2, 3), (3, 2, 1), NOW + 1.0, False),
        ((1, 2), (1, 2, 3), NOW + 1.0, False),
        ((1, 2, 3), (1, 2), NOW + 1.0, False),
        ((), (1, 2, 3), NOW + 1.0, False),
    ],
)
def test_an_entry_is_served_while_its_snapshot_is_current_and_it_has_not_expired(
    snapshot: tuple[int, ...],
    current: tuple[int, ...],
    expires_at: float,
    expected: bool,
) -> None:
    assert may_serve(snapshot, current, expires_at, NOW) is expected


@pytest.mark.parametrize(
    ("snapshot", "expires_at", "stale_for", "expected"),
    [
        ((1, 2), NOW - 1.0, 5.0, True),
        ((1, 2), NOW + 1.0, 5.0, True),
        ((1, 2), NOW - 4.999, 5.0, True),
        ((1, 2), NOW - 5.0, 5.0, False),
        ((1, 2), NOW - 1.0, 0.0, False),
        ((1, 2), NOW + 1.0, 0.0, False),
        ((1, 2), NOW - 1.0, math.nan, False),
        ((1, 2), math.nan, 5.0, False),
        ((9, 2), NOW - 1.0, 5.0, False),
        ((1, 9), NOW - 1.0, 5.0, False),
        ((2, 1), NOW - 1.0, 5.0, False),
        ((1,), NOW - 1.0, 5.0, False),
        ((9, 2), NOW + 1.0, 5.0, False),
    ],
)
def test_a_stale_answer_has_a_snapshot_that_is_current_and_is_over_by_what_is_allowed(
    snapshot: tuple[int, ...], expires_at: float, stale_for: float, expected: bool
) -> None:
    found = may_serve_stale(snapshot, (1, 2), expires_at, NOW, stale_for)
    assert found is expected


@pytest.mark.parametrize(
    ("held", "is_consistent", "expected"),
    [
        (Held.FREE, False, True),
        (Held.FREE, True, True),
        (Held.SETTLING, False, False),
        (Held.SETTLING, True, True),
        (Held.WRITING, False, False),
        (Held.WRITING, True, False),
    ],
)
def test_an_answer_may_be_filled_unless_a_tag_is_held_or_it_is_newer_than_the_write(
    held: Held, is_consistent: bool, expected: bool
) -> None:
    assert may_fill(held, is_consistent=is_consistent) is expected
