"""What an item is after a write: said exactly as DynamoDB would, or not at all."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._dynamodb.items import (
    answer_after,
    determines_new_keys,
    image_after,
    partitions_of,
    stored_item,
)
from botocache._dynamodb.tags import partition_tag
from botocache._dynamodb.types import Item

KEY = {"pk": {"S": "k"}}
OLD = {**KEY, "color": {"S": "red"}, "n": {"N": "1"}}

# --- a put's item, as it is read ---------------------------------------------------

CERTAIN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": ({"S": "text"}, {"S": "text"}),
    "an empty text": ({"S": ""}, {"S": ""}),
    "zero": ({"N": "0"}, {"N": "0"}),
    "a number": ({"N": "120"}, {"N": "120"}),
    "a negative number": ({"N": "-7"}, {"N": "-7"}),
    "a fraction": ({"N": "10.25"}, {"N": "10.25"}),
    "less than one": ({"N": "0.001"}, {"N": "0.001"}),
    "a millionth": ({"N": "0.000001"}, {"N": "0.000001"}),
    "less than none": ({"N": "-0.5"}, {"N": "-0.5"}),
    "as many digits as there are": ({"N": "9" * 38}, {"N": "9" * 38}),
    "binary": ({"B": "AAEC"}, {"B": b"\x00\x01\x02"}),
    "no bytes": ({"B": ""}, {"B": b""}),
    "true": ({"BOOL": True}, {"BOOL": True}),
    "false": ({"BOOL": False}, {"BOOL": False}),
    "null": ({"NULL": True}, {"NULL": True}),
    "an empty list": ({"L": []}, {"L": []}),
    "an empty map": ({"M": {}}, {"M": {}}),
    "a document": (
        {"M": {"a": {"L": [{"N": "1"}, {"B": "AA=="}, {"M": {"b": {"S": ""}}}]}}},
        {"M": {"a": {"L": [{"N": "1"}, {"B": b"\0"}, {"M": {"b": {"S": ""}}}]}}},
    ),
    "a set of one text": ({"SS": ["a"]}, {"SS": ["a"]}),
    "a set of one number": ({"NS": ["1.5"]}, {"NS": ["1.5"]}),
    "a set of one binary": ({"BS": ["AA=="]}, {"BS": [b"\0"]}),
}


@pytest.mark.parametrize(("put", "read"), CERTAIN.values(), ids=list(CERTAIN))
def test_what_is_put_is_read_as_botocore_parses_it(
    put: dict[str, Any], read: dict[str, Any]
) -> None:
    assert stored_item({**KEY, "a": put}) == {**KEY, "a": read}


UNCERTAIN: dict[str, Any] = {
    # DynamoDB has one spelling of its own for each number.
    "a leading zero": {"N": "01"},
    "what may have an exponent": {"N": "0.0000001"},
    "a trailing zero": {"N": "1.0"},
    "a trailing point": {"N": "1."},
    "a leading point": {"N": ".5"},
    "a plus": {"N": "+1"},
    "minus zero": {"N": "-0"},
    "minus zero, with a fraction": {"N": "-0.0"},
    "an exponent": {"N": "1e2"},
    "a blank": {"N": " 1"},
    "a line's end": {"N": "1\n"},
    "other digits": {"N": "\u0663"},
    "an underscore": {"N": "1_0"},
    "no digits": {"N": ""},
    "no number": {"N": "NaN"},
    # It rounds, or refuses.
    "more digits than there are": {"N": "9" * 39},
    "a fraction of more digits": {"N": "0." + "1" * 38},
    # The order of a set's elements is its own.
    "a set of two texts": {"SS": ["a", "b"]},
    "a set of two numbers": {"NS": ["1", "2"]},
    "a set of two binaries": {"BS": ["AA==", "AQ=="]},
    "a set of none": {"SS": []},
    "a set of a number with a zero": {"NS": ["1.0"]},
    # It is no value.
    "nothing": {},
    "two values": {"S": "a", "N": "1"},
    "an unknown type": {"X": "a"},
    "a text that is none": {"S": 5},
    "a number that is no text": {"N": 5},
    "binary that is no base64": {"B": "no base64!"},
    "binary that is cut off": {"B": "AA="},
    "binary that is no text": {"B": 5},
    "binary beyond ASCII": {"B": "\u00fc"},
    "a truth that is none": {"BOOL": 1},
    "a null that is none": {"NULL": False},
    "a list that holds one": {"L": [{"S": "a"}, {"N": "1.0"}]},
    "a map that holds one": {"M": {"x": {"M": {"y": {"N": "1.0"}}}}},
}


@pytest.mark.parametrize("put", UNCERTAIN.values(), ids=list(UNCERTAIN))
def test_an_item_is_not_certain_where_dynamodb_may_have_another_form_of_it(
    put: dict[str, Any],
) -> None:
    assert stored_item({**KEY, "a": put}) is None


def test_an_item_of_any_depth_is_certain_or_not_and_raises_nothing() -> None:
    value: dict[str, Any] = {"S": "deep"}
    for _ in range(50_000):
        value = {"L": [value]}
    assert stored_item({"a": value}) is None


_values = st.recursive(
    st.one_of(
        st.text(max_size=3).map(lambda text: {"S": text}),
        st.integers(-(10**30), 10**30).map(lambda number: {"N": str(number)}),
        st.binary(max_size=4).map(lambda raw: {"B": raw}),
        st.booleans().map(lambda truth: {"BOOL": truth}),
        st.just({"NULL": True}),
        st.text(max_size=2).map(lambda text: {"SS": [text]}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: {"L": each}),
        st.dictionaries(st.text(max_size=2), inner, max_size=3).map(
            lambda each: {"M": each}
        ),
    ),
    max_leaves=8,
)


def _on_the_wire(value: Any) -> Any:
    match value:
        case bytes():
            return b64encode(value).decode()
        case dict():
            return {name: _on_the_wire(part) for name, part in value.items()}
        case list():
            return [_on_the_wire(part) for part in value]
        case _:
            return value


@given(st.dictionaries(st.text(max_size=2), _values, max_size=4))
def test_a_plain_item_comes_back_as_it_was_put(item: dict[str, Any]) -> None:
    assert stored_item(_on_the_wire(item)) == item


# --- a GetItem after a write -------------------------------------------------------

LEFT_BY: dict[str, tuple[str, dict[str, Any], dict[str, Any], Any]] = {
    "a put": ("PutItem", {"Item": OLD}, {}, {"Item": OLD}),
    "a put with the old item in its answer": (
        "PutItem",
        {"Item": OLD, "ReturnValues": "ALL_OLD"},
        {"Attributes": {"other": {"S": "a"}}},
        {"Item": OLD},
    ),
    "a put of what DynamoDB spells otherwise": (
        "PutItem",
        {"Item": {**OLD, "n": {"N": "1.0"}}},
        {},
        None,
    ),
    "a delete": ("DeleteItem", {"Key": KEY}, {}, {}),
    "a delete with the old item in its answer": (
        "DeleteItem",
        {"Key": KEY, "ReturnValues": "ALL_OLD"},
        {"Attributes": OLD},
        {},
    ),
    "an update that tells the new item": (
        "UpdateItem",
        {"Key": KEY, "ReturnValues": "ALL_NEW"},
        {"Attributes": OLD},
        {"Item": OLD},
    ),
    "an update that tells nothing, though asked": (
        "UpdateItem",
        {"Key": KEY, "ReturnValues": "ALL_NEW"},
        {},
        None,
    ),
    "an update that tells the old item": (
        "UpdateItem",
        {"Key": KEY, "ReturnValues": "ALL_OLD"},
        {"Attributes": OLD},
        None,
    ),
    "an update that tells a part of the new item": (
        "UpdateItem",
        {"Key": KEY, "ReturnValues": "UPDATED_NEW"},
        {"Attributes": {"n": {"N": "1"}}},
        None,
    ),
    "an update that tells nothing": ("UpdateItem", {"Key": KEY}, {}, None),
}


@pytest.mark.parametrize(
    ("operation", "parameters", "answer", "left"), LEFT_BY.values(), ids=list(LEFT_BY)
)
def test_the_next_answer_is_certain_only_if_the_write_holds_the_whole_item(
    operation: str, parameters: dict[str, Any], answer: dict[str, Any], left: Any
) -> None:
    assert answer_after(operation, parameters, answer) == left


# --- images of a write -------------------------------------------------------------

SET = {
    "Key": KEY,
    "UpdateExpression": "SET color = :c",
    "ExpressionAttributeValues": {":c": {"S": "blue"}},
}
UNREADABLE = {"Key": KEY, "UpdateExpression": "SET color = size(color)"}
LEGACY = {"Key": KEY, "AttributeUpdates": {"color": {"Action": "DELETE"}}}
BLIND = {"Key": KEY, "UpdateExpression": "SET color = document.color"}

IMAGES: dict[str, tuple[str, dict[str, Any], bool, Any]] = {
    "a put": ("PutItem", {"Item": {**KEY, "a": {"N": "1.0"}}}, True, "its item"),
    "a delete": ("DeleteItem", {"Key": KEY}, True, {}),
    "an update": ("UpdateItem", SET, True, {**OLD, "color": {"S": "blue"}}),
    "an update without an expression": ("UpdateItem", {"Key": KEY}, True, OLD),
    "an update that cannot be read": ("UpdateItem", UNREADABLE, False, None),
    "an update of the legacy kind": ("UpdateItem", LEGACY, False, None),
    "an update out of a document": ("UpdateItem", BLIND, True, None),
}


@pytest.mark.parametrize(
    ("operation", "parameters", "can_be", "image"), IMAGES.values(), ids=list(IMAGES)
)
def test_the_new_image_follows_from_the_old_one_where_that_suffices(
    operation: str, parameters: dict[str, Any], can_be: bool, image: Any
) -> None:
    expected = parameters["Item"] if image == "its item" else image
    assert determines_new_keys(operation, parameters) is can_be
    assert image_after(operation, parameters, OLD) == expected


# --- what index queries depend on --------------------------------------------------

LONGEST = 2732  # characters, in base64, of 2048 bytes: the longest key of an index

IN_AN_INDEX = [
    {"S": "a"},
    {"S": "\u00fc" * 1024},
    {"S": "a" * 2048},
    {"N": "1.0"},
    {"N": "-1e-130"},
    {"B": "AA=="},
    {"B": b"\0"},
    {"B": "A" * LONGEST},
]


@pytest.mark.parametrize("value", IN_AN_INDEX, ids=lambda value: repr(value)[:20])
def test_an_item_is_in_the_partition_of_each_value_that_a_key_may_have(
    value: dict[str, Any],
) -> None:
    assert list(partitions_of("t", {"a": value, "b": value})) == [
        partition_tag("t", "a", value),
        partition_tag("t", "b", value),
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"S": ""},
        {"B": ""},
        {"B": b""},
        {"S": "a" * 4097},
        {"BOOL": True},
        {"NULL": True},
        {"L": [{"S": "a"}]},
        {"M": {"S": {"S": "a"}}},
        {"SS": ["a"]},
        {"NS": ["1"]},
        {"BS": ["AA=="]},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_item_is_in_no_partition_of_a_value_that_no_key_has(
    value: dict[str, Any],
) -> None:
    assert list(partitions_of("t", {"a": value})) == []


def test_an_image_of_the_wire_and_a_parsed_one_are_in_the_same_partitions() -> None:
    wire = {"a": {"B": "AAE="}, "b": {"N": "1.0"}}
    parsed: Item = {"a": {"B": b"\x00\x01"}, "b": {"N": "1"}}
    assert list(partitions_of("t", wire)) == list(partitions_of("t", parsed))


def test_no_item_is_in_no_partition() -> None:
    assert list(partitions_of("t", {})) == []
