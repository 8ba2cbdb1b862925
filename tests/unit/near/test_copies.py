"""Copiers return equal values that share no object that can be changed."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary, TypeDeserializer
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache._near.copies import NotCopyableError, copier_for, cost_of
from tests.support.documents import items

KINDS = frozenset({Binary})

ANSWER: dict[str, Any] = {
    "Item": {
        "text": "a",
        "number": Decimal("1.50"),
        "binary": Binary(b"a"),
        "texts": {"a", "b"},
        "numbers": {Decimal(1), Decimal(2)},
        "binaries": {Binary(b"a"), Binary(b"b")},
        "list": ["a", {"b": ["c"]}, None, True, Binary(b"d")],
        "lists": [["a"], ["b"]],
        "flat": ["a", Decimal(1)],
        "map": {"empty": {}, "none": [], "deep": {"er": {"a": "b"}}},
    },
    "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 0.0},
}


def changeable(value: Any) -> Iterator[Any]:
    """Yield every object in a value that can be changed."""
    if isinstance(value, dict):
        members = list(value.values())
    elif isinstance(value, (list, set)):
        members = list(value)
    elif isinstance(value, Binary):
        members = []
    else:
        return
    yield value
    for member in members:
        yield from changeable(member)


def types_in(value: Any) -> Any:
    """Return the types of a value, as it is nested."""
    if isinstance(value, dict):
        return {name: types_in(member) for name, member in value.items()}
    if isinstance(value, list):
        return [types_in(member) for member in value]
    return type(value)


def require_fresh(value: dict[str, Any]) -> None:
    """Require that a value's copier returns equal, fresh values."""
    make = copier_for(value, KINDS)
    one, other = make(), make()
    assert one == other == value
    assert types_in(one) == types_in(value)
    owners = [{id(each) for each in changeable(made)} for made in (one, other, value)]
    assert owners[0].isdisjoint(owners[1] | owners[2])
    assert owners[1].isdisjoint(owners[2])


def test_a_copy_is_equal_and_fresh_at_every_depth() -> None:
    require_fresh(ANSWER)


_deserialize = TypeDeserializer().deserialize


_WIRE = st.one_of(
    st.sampled_from(["", "a"]).map(lambda text: {"S": text}),
    st.sampled_from(["1", "1.0"]).map(lambda number: {"N": number}),
    st.just({"B": b"a"}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
    st.just({"SS": ["a", "b"]}),
    st.just({"NS": ["1", "2"]}),
    st.just({"BS": [b"a", b"b"]}),
)


@given(item=items(_WIRE))
@settings(max_examples=100, deadline=None)
def test_a_copy_of_any_answer_of_a_resource_is_equal_and_fresh(
    item: dict[str, Any],
) -> None:
    require_fresh({"Item": {name: _deserialize(each) for name, each in item.items()}})


def test_changing_a_copy_does_not_change_the_next() -> None:
    make = copier_for({"a": Binary(b"a"), "b": {"c"}, "d": [1, [2]]}, KINDS)
    made = make()
    made["a"].value = b"x"
    made["b"].add("x")
    made["d"][1].append("x")
    assert make() == {"a": Binary(b"a"), "b": {"c"}, "d": [1, [2]]}


class _Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value", [(1,), bytearray(b"a"), _Text("a"), object(), frozenset(), {(1, 2)}]
)
def test_a_value_of_another_type_has_no_copier(value: Any) -> None:
    for holder in ({"a": value}, {"a": [value]}, {"a": {"b": [[value]]}}):
        with pytest.raises(NotCopyableError):
            copier_for(holder, KINDS)


def test_a_binary_that_holds_a_changeable_value_has_no_copier() -> None:
    binary = Binary(b"a")
    vars(binary)["value"] = bytearray(b"a")
    with pytest.raises(NotCopyableError):
        copier_for({"a": binary}, KINDS)


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("a", "a" * 500),
        (b"a", b"a" * 500),
        ([1], [1] * 500),
        ({"a": 1}, {str(number): 1 for number in range(500)}),
    ],
)
def test_a_larger_value_costs_more(small: Any, large: Any) -> None:
    assert cost_of({"a": large}) - cost_of({"a": small}) >= 499
