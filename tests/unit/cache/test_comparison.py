"""Two answers say the same where DynamoDB's values are equal, and only there."""

from typing import Any

import pytest

from botocache._cache.comparison import say_the_same

A: dict[str, Any] = {"pk": {"S": "a"}, "n": {"N": "1"}}
B: dict[str, Any] = {"pk": {"S": "b"}, "n": {"N": "2"}}


def item(value: dict[str, Any]) -> dict[str, Any]:
    return {"Item": {"pk": {"S": "a"}, "v": value}}


def page(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Items": [*items], "Count": len(items), "ScannedCount": 2, **more}


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "the metadata of the call": (
        {"Item": A, "ResponseMetadata": {"RequestId": "1"}},
        {"Item": A, "ConsumedCapacity": {"CapacityUnits": 0.5}},
    ),
    "a number": (item({"N": "1.0"}), item({"N": "1"})),
    "a negative zero": (item({"N": "-0.00"}), item({"N": "0"})),
    "an exponent": (item({"N": "1E+3"}), item({"N": "1000"})),
    "a set of strings": (item({"SS": ["a", "b"]}), item({"SS": ["b", "a"]})),
    "a set of numbers": (item({"NS": ["1", "2.0"]}), item({"NS": ["2", "1.00"]})),
    "a set of binaries": (item({"BS": [b"a", b"b"]}), item({"BS": [b"b", b"a"]})),
    "a number in a map in a list": (
        item({"L": [{"M": {"x": {"N": "01"}}}]}),
        item({"L": [{"M": {"x": {"N": "1"}}}]}),
    ),
    "a set in a map": (
        item({"M": {"x": {"SS": ["a", "b"]}}}),
        item({"M": {"x": {"SS": ["b", "a"]}}}),
    ),
    "names in another order": (
        {"Item": {"a": {"S": ""}, "b": {"NULL": True}}},
        {"Item": {"b": {"NULL": True}, "a": {"S": ""}}},
    ),
    "items in another order": (page(A, B), page(B, A)),
    "a number in a page": (
        page(item({"N": "1"})["Item"]),
        page(item({"N": "1.0"})["Item"]),
    ),
    "the key of the last item": (
        page(A, LastEvaluatedKey={"n": {"N": "1.0"}}),
        page(A, LastEvaluatedKey={"n": {"N": "1"}}),
    ),
    "a mere count": ({"Count": 3, "ScannedCount": 3}, {"ScannedCount": 3, "Count": 3}),
}

DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no item": ({}, {"Item": A}),
    "an empty item and none": ({}, {"Item": {}}),
    "another number": (item({"N": "1"}), item({"N": "1.1"})),
    "a number of 38 digits": (item({"N": "1" * 38}), item({"N": "1" * 37 + "2"})),
    "another sign": (item({"N": "1"}), item({"N": "-1"})),
    "another type": (item({"N": "1"}), item({"S": "1"})),
    "a text like a number": (item({"S": "1.0"}), item({"S": "1"})),
    "a set and a list": (item({"SS": ["a"]}), item({"L": [{"S": "a"}]})),
    "numbers and strings in sets": (item({"NS": ["1"]}), item({"SS": ["1"]})),
    "one more in a set": (item({"SS": ["a"]}), item({"SS": ["a", "b"]})),
    "a list in another order": (
        item({"L": [{"S": "a"}, {"S": "b"}]}),
        item({"L": [{"S": "b"}, {"S": "a"}]}),
    ),
    "a missing attribute": (item({"M": {}}), item({"M": {"x": {"S": ""}}})),
    "null and empty": (item({"NULL": True}), item({"S": ""})),
    "false and true": (item({"BOOL": True}), item({"BOOL": False})),
    "binary": (item({"B": b"a"}), item({"B": b"b"})),
    "another item in a page": (page(A), page(B)),
    "an item twice": (page(A, A, B), page(A, B, B)),
    "a page with more after it": (page(A), page(A, LastEvaluatedKey={"pk": A["pk"]})),
    "another last key": (
        page(A, LastEvaluatedKey={"pk": {"S": "a"}}),
        page(A, LastEvaluatedKey={"pk": {"S": "b"}}),
    ),
    "what was scanned": (page(A), {**page(A), "ScannedCount": 3}),
    "a mere count": ({"Count": 3, "ScannedCount": 3}, {"Count": 2, "ScannedCount": 3}),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_answers_say_the_same_whatever_differs_in(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert say_the_same(one, other)
    assert say_the_same(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_answers_do_not_say_the_same_where_it_differs(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert not say_the_same(one, other)
    assert not say_the_same(other, one)


def test_a_comparison_changes_neither_answer() -> None:
    one = {"Item": {"n": {"NS": ["1", "2"]}}, "ResponseMetadata": {}}
    other = {"Item": {"n": {"NS": ["2.0", "1"]}}, "ConsumedCapacity": {}}
    before = repr((one, other))
    assert say_the_same(one, other)
    assert repr((one, other)) == before
