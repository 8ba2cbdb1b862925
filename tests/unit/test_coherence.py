"""The laws of coherence, as tables."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from botocache._coherence import (
    LONGEST_HOLD_OFF,
    Held,
    Mark,
    TagState,
    is_held,
    may_fill,
    may_serve,
    next_held_until,
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
    since = Mark(OURS, before)
    assert next_held_until(TagState(*found), NOW, 1.0, since) == expected


def test_a_second_eviction_without_an_answer_shortens_nothing() -> None:
    found = TagState(OURS, NOW + 3.0)
    assert next_held_until(found, NOW, 5.0, None) == NOW + 5.0
    assert next_held_until(found, NOW, 1.0, None) == NOW + 3.0


_clocks = st.floats(0.0, 1e10)
_hold_offs = st.floats(0.001, LONGEST_HOLD_OFF)
_moments = st.floats(0.0, 1e11)
_generations = st.sampled_from([OURS, OTHERS])
_marks = st.none() | st.builds(Mark, _generations, _moments)


@given(st.builds(TagState, _generations, _moments), _clocks, _hold_offs, _marks)
def test_an_eviction_holds_the_tag_for_what_it_asks_at_least(
    found: TagState, now: float, hold_off: float, since: Mark | None
) -> None:
    assert next_held_until(found, now, hold_off, since) >= now + hold_off


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
    found: TagState, now: float, hold_off: float, others: float, since: Mark | None
) -> None:
    found = TagState(OTHERS + 1, min(found.held_until, now + others))
    assert next_held_until(found, now, hold_off, since) >= min(
        found.held_until, now + LONGEST_HOLD_OFF
    )


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
