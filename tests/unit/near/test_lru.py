"""The near cache's memory is bounded, and keeps the values that are looked up."""

from typing import NamedTuple

import pytest

from botocache._near import lru
from botocache._near.lru import LRUCache


class Value(NamedTuple):
    """A value of so many bytes."""

    name: str
    size: int


def memory(limit: int = 100) -> LRUCache[Value]:
    """Return a memory of that many bytes."""
    return LRUCache(limit)


def test_a_value_that_was_put_is_found() -> None:
    kept = memory()
    kept.put("a", Value("a", 10))
    assert kept.get("a") == Value("a", 10)
    assert kept.get("b") is None


def test_a_value_that_is_put_again_is_replaced_and_not_counted_twice() -> None:
    kept = memory()
    kept.put("b", Value("b", 10))
    for number in range(100):
        kept.put("a", Value(str(number), 40))
    assert kept.get("a") == Value("99", 40)
    assert kept.get("b") == Value("b", 10)
    assert len(kept) == 2


def test_it_never_holds_more_than_its_limit() -> None:
    kept = memory(1000)
    for number in range(500):
        kept.put(number, Value("x", 7 + number % 13))
        sizes = [each.size for each in map(kept.get, range(500)) if each]
        assert sum(sizes) <= 1000


def test_values_that_are_looked_up_stay_while_the_rest_goes() -> None:
    kept = memory(100)
    kept.put("hot", Value("hot", 10))
    for number in range(100):
        kept.put(number, Value("cold", 10))
        assert kept.get("hot") == Value("hot", 10)
    assert kept.get(0) is None


def test_a_value_that_is_too_large_is_not_kept_and_displaces_none() -> None:
    kept = memory(100)
    kept.put("a", Value("a", 10))
    kept.put("large", Value("large", 51))
    assert kept.get("large") is None
    assert kept.get("a") == Value("a", 10)


def test_a_value_that_became_too_large_is_gone() -> None:
    kept = memory(100)
    kept.put("a", Value("a", 10))
    kept.put("a", Value("a", 51))
    assert kept.get("a") is None


def test_with_no_room_nothing_is_kept() -> None:
    kept = memory(0)
    kept.put("a", Value("a", 1))
    assert kept.get("a") is None


def test_clear_forgets_all_and_gives_back_the_room() -> None:
    kept = memory(100)
    kept.put("a", Value("a", 40))
    kept.clear()
    assert kept.get("a") is None
    assert len(kept) == 0
    kept.put("b", Value("b", 40))
    kept.put("c", Value("c", 10))
    assert kept.get("b") == Value("b", 40)


def test_its_repr_says_how_many_it_has() -> None:
    kept = memory()
    kept.put("a", Value("a", 1))
    assert repr(kept) == "<LRUCache 1 entries>"


# --- what is worth a place ---------------------------------------------------------


def full(limit: int = 100) -> LRUCache[Value]:
    """Return a memory that has dropped values already."""
    kept = memory(limit)
    for number in range(20):
        kept.put(number, Value("x", limit // 10))
    return kept


def test_every_value_is_worth_a_place_while_there_is_room() -> None:
    kept = memory(100)
    assert kept.admits("a", 10)
    assert not kept.admits("large", 51)


def test_a_value_is_worth_the_place_of_others_when_it_is_asked_for_again() -> None:
    kept = full()
    assert [kept.admits("a", 10) for _ in range(3)] == [False, True, True]
    assert not kept.admits("large", 51)
    assert not kept.admits("large", 51)


def test_values_that_are_asked_for_once_never_get_a_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are: one in 64 is taken for another one."""
    monkeypatch.setattr(lru, "_ROWS", 1024)
    kept = full()
    keys = [f"key {number}" for number in range(20_000)]
    admitted = sum(kept.admits(key, 10) for key in keys)
    assert admitted < len(keys) / 50
    # In turn, too: there are too many for each to be known until it comes again.
    again = sum(kept.admits(key, 10) for key in keys)
    assert again < len(keys) / 50


def test_values_that_are_asked_for_in_turn_get_places_if_they_are_few() -> None:
    kept = full()
    keys = [f"key {number}" for number in range(30_000)]
    for key in keys:
        kept.admits(key, 10)
    assert sum(kept.admits(key, 10) for key in keys) > 0.95 * len(keys)


def test_a_value_that_was_asked_for_long_ago_is_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lru, "_ROWS", 1)
    kept = full()
    assert not kept.admits(100, 10)
    for number in range(3):
        assert not kept.admits(number, 10)
    assert kept.admits(100, 10)
    for number in range(4, 8):
        assert not kept.admits(number, 10)
    assert not kept.admits(100, 10)
    assert kept.admits(100, 10)


def test_all_values_are_found_or_none_and_old_ones_stay() -> None:
    kept = memory(100)
    for name in "abcdef":  # the first five are in the old half then
        kept.put(name, Value(name, 10))
    assert kept.get_many(["f", "a"]) == [Value("f", 10), Value("a", 10)]
    assert kept.get_many(["a", "x"]) == [Value("a", 10), None]
    for name in "ghij":
        kept.put(name, Value(name, 10))
        assert kept.get_many(["a"]) == [Value("a", 10)]
