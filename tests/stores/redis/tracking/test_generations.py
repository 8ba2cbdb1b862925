"""What a process knows of generations: in whatever order look-ups and changes come."""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache.stores.redis.tracking.generations import LocalGenerations
from tests.support.digests import tag, tags
from tests.support.processes import in_threads

A, B = tag("a"), tag("b")


def test_what_was_looked_up_is_known() -> None:
    known = LocalGenerations()
    known.learn(known.mark(), [A, B], (1, 2))
    assert known.match([A, B], (1, 2))
    assert known.match((B,), [2])
    assert known.match([], ())


@pytest.mark.parametrize("wrong", [(), (1,), (2, 1), (1, 3), (1, 2, 2), (1, 0)])
def test_nothing_else_is_known(wrong: tuple[int, ...]) -> None:
    known = LocalGenerations()
    assert not known.match([A], (1,))
    known.learn(known.mark(), [A, B], (1, 2))
    assert not known.match([A, B], wrong)


def test_what_was_changed_is_no_longer_known_and_the_rest_is() -> None:
    known = LocalGenerations()
    known.learn(known.mark(), [A, B], (1, 2))
    known.forget([A])
    assert not known.match([A], (1,))
    assert known.match([B], (2,))
    known.forget_all()
    assert not known.match([B], (2,))
    assert len(known) == 0


def test_a_lookup_that_a_change_crossed_counts_for_nothing() -> None:
    known = LocalGenerations()
    mark = known.mark()
    known.forget([A])
    known.learn(mark, [A, B], (1, 2))
    assert not known.match([A], (1,))
    assert known.match([B], (2,))
    known.learn(known.mark(), [A], (3,))
    assert known.match([A], (3,))


def test_a_lookup_during_which_all_was_lost_counts_for_nothing() -> None:
    known = LocalGenerations()
    mark = known.mark()
    known.forget_all()
    known.learn(mark, [A], (1,))
    assert not known.match([A], (1,))


def test_an_older_lookup_does_not_bring_back_what_a_newer_one_found_changed() -> None:
    known = LocalGenerations()
    older = known.mark()
    known.forget([A])
    known.learn(known.mark(), [A], (2,))
    known.learn(older, [A], (1,))
    assert known.match([A], (2,))


def test_beyond_the_limit_what_was_looked_up_longest_ago_goes_first() -> None:
    known = LocalGenerations(limit=3)
    first, second, third, fourth = tags(4)
    for number, each in enumerate((first, second, third, first, fourth)):
        known.learn(known.mark(), [each], (number,))
    assert len(known) == 3
    assert not known.match([second], (1,))
    assert known.match([first, third, fourth], (3, 2, 4))


def test_one_lookup_of_more_tags_than_the_limit_is_kept_within_it() -> None:
    known = LocalGenerations(limit=10)
    many = tags(25)
    known.learn(known.mark(), many, range(25))
    assert len(known) == 10
    assert known.match(many[-10:], range(15, 25))


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sampled_from([A, B])),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.tuples(st.just("write"), st.sampled_from([A, B])),
        st.tuples(st.just("hear"), st.integers(0, 3)),
        st.tuples(st.just("lose"), st.none()),
    ),
    max_size=25,
)


@given(_STEPS)
def test_once_all_is_heard_only_the_last_generation_is_known(
    steps: list[tuple[str, object]],
) -> None:
    # A look-up reads at its begin and is learned at its end; changes arrive later.
    known, last, fresh = LocalGenerations(), {A: 0, B: 0}, itertools.count(1)
    under_way: list[tuple[int, bytes, int]] = []
    unheard: list[bytes] = []
    for step, what in steps:
        if step == "begin":
            assert isinstance(what, bytes)
            under_way.append((known.mark(), what, last[what]))
        elif step == "end" and under_way:
            assert isinstance(what, int)
            mark, name, found = under_way.pop(what % len(under_way))
            known.learn(mark, [name], (found,))
        elif step == "write":
            assert isinstance(what, bytes)
            last[what] = next(fresh)
            unheard.append(what)
        elif step == "hear" and unheard:
            known.forget([unheard.pop(0)])
        elif step == "lose":
            known.forget_all()
    known.forget(unheard)
    for mark, name, found in under_way:
        known.learn(mark, [name], (found,))
    for name, generation in last.items():
        for older in range(generation):
            assert not known.match([name], (older,))


def test_threads_that_look_up_never_bring_back_what_another_has_changed() -> None:
    known = LocalGenerations(limit=50)
    current = dict.fromkeys(tags(4), 0)
    is_over = threading.Event()
    stale: list[bytes] = []

    def look_up() -> None:
        while not is_over.is_set():
            mark = known.mark()
            known.learn(mark, list(current), list(current.values()))

    def change() -> None:
        for number in range(1, 3000):
            for each in current:
                current[each] = number
                known.forget([each])
                if known.match([each], (number - 1,)):
                    stale.append(each)
        is_over.set()

    in_threads([look_up, look_up, change])
    assert stale == []
