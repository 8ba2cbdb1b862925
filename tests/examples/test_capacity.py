"""The demo's DynamoDB charges and throttles reads as the developer guide says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def load_capacity() -> ModuleType:
    """Load the file by its path: the demo is no package, and is not installed."""
    parents = Path(__file__).resolve().parents
    root = next(p for p in parents if (p / "examples" / "crawl").is_dir())
    path = root / "examples" / "crawl" / "capacity.py"
    spec = importlib.util.spec_from_file_location("crawl_capacity", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


capacity = load_capacity()

VALUE_SIZES: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("empty text", {"S": ""}, 0),
    ("text counts UTF-8 bytes, not characters", {"S": "Zoë€"}, 7),
    ("binary counts bytes, not their base64", {"B": "AAECAwQ="}, 5),
    ("true", {"BOOL": True}, 1),
    ("false", {"BOOL": False}, 1),
    ("null", {"NULL": True}, 1),
    ("zero", {"N": "0"}, 1),
    ("zero with a point", {"N": "0.00"}, 1),
    ("one digit", {"N": "7"}, 2),
    ("two digits share a byte", {"N": "42"}, 2),
    ("three digits need two", {"N": "421"}, 3),
    ("leading zeroes are trimmed", {"N": "0042"}, 2),
    ("trailing zeroes are trimmed", {"N": "42000000"}, 2),
    ("a fraction's zeroes are trimmed", {"N": "0.00042"}, 2),
    ("zeroes within count", {"N": "4002"}, 3),
    ("a sign takes a byte", {"N": "-42"}, 3),
    ("an exponent is no digit", {"N": "4.2e37"}, 2),
    ("38 digits are kept", {"N": "1" * 38}, 20),
    ("text set", {"SS": ["ab", "c"]}, 3),
    ("number set", {"NS": ["1", "234"]}, 5),
    ("binary set", {"BS": ["AAE=", "Ag=="]}, 3),
    ("empty list", {"L": []}, 3),
    ("each element of a list takes a byte", {"L": [{"S": "ab"}, {"BOOL": True}]}, 8),
    ("empty map", {"M": {}}, 3),
    ("a map counts its names", {"M": {"ab": {"S": "cde"}}}, 9),
    ("nested containers", {"M": {"a": {"L": [{"S": "b"}]}}}, 10),
)


@pytest.mark.parametrize(
    ("value", "size"),
    [case[1:] for case in VALUE_SIZES],
    ids=[c[0] for c in VALUE_SIZES],
)
def test_a_value_has_the_size_that_the_developer_guide_gives(
    value: dict[str, Any], size: int
) -> None:
    assert capacity.value_size(value) == size


def test_an_item_is_as_large_as_its_names_and_values() -> None:
    item = {"id": {"S": "x"}, "größe": {"N": "10"}}
    assert capacity.item_size(item) == len("id") + 1 + len("größe".encode()) + 2


def test_an_item_without_attributes_has_no_size() -> None:
    assert capacity.item_size({}) == 0


def test_a_type_that_dynamodb_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        capacity.value_size({"X": "?"})


READ_UNITS: tuple[tuple[str, list[int], float], ...] = (
    ("a missing item costs the minimum", [], 1),
    ("so does an empty one", [0], 1),
    ("a byte", [1], 1),
    ("exactly 4 KB", [4096], 1),
    ("a byte more", [4097], 2),
    ("exactly 8 KB", [8192], 2),
    ("small items share a unit", [100] * 40, 1),
    ("items are added up before they are rounded", [3000, 3000], 2),
)


@pytest.mark.parametrize(
    ("sizes", "units"),
    [case[1:] for case in READ_UNITS],
    ids=[c[0] for c in READ_UNITS],
)
def test_a_read_costs_a_unit_per_4_kb_begun_and_half_if_eventually_consistent(
    sizes: list[int], units: float
) -> None:
    assert capacity.read_units(sizes, consistent=True) == units
    assert capacity.read_units(sizes, consistent=False) == units / 2


class Clock:
    """A clock that moves only when the test advances it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def bucket(clock: Clock) -> Any:
    """Ten units a second, of which two seconds' worth can be saved up."""
    return capacity.TokenBucket(10.0, burst_seconds=2.0, clock=clock)


def served(full: Any, units: float) -> int:
    """Count how many reads of so many units are served while time stands still."""
    count = 0
    while full.admits():
        full.charge(units)
        count += 1
    return count


def test_a_new_table_has_its_whole_burst(clock: Clock) -> None:
    assert served(bucket(clock), units=1) == 20


def test_an_empty_bucket_admits_nothing_while_the_clock_stands_still(
    clock: Clock,
) -> None:
    drained = bucket(clock)
    served(drained, units=1)
    assert not drained.admits()
    assert not drained.admits()


def test_a_bucket_refills_at_the_provisioned_rate(clock: Clock) -> None:
    drained = bucket(clock)
    served(drained, units=1)
    clock.now += 0.5
    assert served(drained, units=1) == 5


def test_frequent_calls_do_not_refill_a_bucket_faster(clock: Clock) -> None:
    drained = bucket(clock)
    served(drained, units=1)
    for _ in range(8):
        clock.now += 0.0625
        drained.admits()
    assert served(drained, units=1) == 5


def test_a_bucket_saves_no_more_than_its_burst(clock: Clock) -> None:
    idle = bucket(clock)
    clock.now += 3600
    assert served(idle, units=1) == 20


def test_a_large_read_is_served_and_then_paid_off(clock: Clock) -> None:
    indebted = bucket(clock)
    indebted.charge(25)
    assert not indebted.admits()
    clock.now += 0.5
    assert not indebted.admits(), "the level is exactly zero"
    clock.now += 0.125
    assert indebted.admits()


def test_half_units_are_counted_as_halves(clock: Clock) -> None:
    assert served(bucket(clock), units=0.5) == 40


def test_a_bucket_shows_its_state(clock: Clock) -> None:
    used = bucket(clock)
    used.charge(2.5)
    assert repr(used) == "TokenBucket(level=17.5, rate=10/s)"
