"""Read units by DynamoDB's own rules, from the examples of its documentation."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._cache.entries import encode_answer
from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import BatchRead, Read
from botocache._dynamodb.read_units import (
    BLOCK,
    MOST_BLOCKS,
    ReadCost,
    cost_of_item,
    cost_of_read,
    cost_of_units,
    item_size,
    reads_by_table,
    reported_units,
    units_by_table,
    units_of_keys,
)

# --- sizes -------------------------------------------------------------------------

NUMBERS = {
    **dict.fromkeys(("0", "-0", "0.0", "0E+10", "000"), 1),
    **dict.fromkeys(("1", "12", "99", "100", "1000", "10", "1E+2", "1.0", "0012"), 2),
    **dict.fromkeys(("0.01", "0.001", "0.1", "0.10", "1E-130"), 2),
    **dict.fromkeys(("123", "101", "1.5", "0.123", "100.1E+1", "-1", "-10"), 3),
    **dict.fromkeys(("12345", "-123", "1.2345"), 4),
    "9" * 38: 20,
    "-" + "9" * 38: 21,
    "1" + "0" * 37: 2,
    "9.9999999999999999999999999999999999999E+125": 20,
}
"""Bytes of a number: one for each pair of digits around the point, and one more."""


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_takes_a_byte_for_two_digits_and_one_more(text: str) -> None:
    assert item_size({"n": {"N": text}}) == 1 + NUMBERS[text]


SIZES: list[tuple[dict[str, Any], int]] = [
    ({}, 0),
    ({"pk": {"S": ""}}, 2),
    ({"pk": {"S": "abc"}}, 5),
    # Bytes of UTF-8, in names as well.
    ({"ü": {"S": "€\U0001f600"}}, 2 + 3 + 4),
    ({"b": {"B": b"\x00\xff\x00"}}, 1 + 3),
    ({"b": {"B": base64.b64encode(b"\x00\xff\x00").decode()}}, 1 + 3),
    ({"b": {"B": base64.b64encode(b"\x00\xff").decode()}}, 1 + 2),
    ({"b": {"B": base64.b64encode(b"\x00").decode()}}, 1 + 1),
    ({"t": {"BOOL": True}, "n": {"NULL": True}}, 2 + 2),
    ({"l": {"L": []}, "m": {"M": {}}}, 4 + 4),
    ({"l": {"L": [{"S": "ab"}, {"N": "1"}]}}, 1 + 3 + (1 + 2) + (1 + 2)),
    ({"m": {"M": {"ab": {"S": "c"}}}}, 1 + 3 + 1 + 2 + 1),
    ({"m": {"M": {"l": {"L": [{"BOOL": True}]}}}}, 1 + 3 + (1 + 1 + 3 + (1 + 1))),
    ({"s": {"SS": ["a", "bc"]}, "n": {"NS": ["1", "123"]}}, 1 + 3 + 1 + 2 + 3),
    ({"b": {"BS": [b"ab", b""]}}, 1 + 2),
]


@pytest.mark.parametrize(("item", "size"), SIZES, ids=repr)
def test_the_size_of_an_item_is_that_of_its_names_and_values(
    item: dict[str, Any], size: int
) -> None:
    assert item_size(item) == size


_text = st.text(max_size=12)
_number = st.decimals(allow_nan=False, allow_infinity=False).map(str)
_values = st.recursive(
    st.one_of(
        st.builds(lambda v: {"S": v}, _text),
        st.builds(lambda v: {"N": v}, _number),
        st.builds(lambda v: {"B": v}, st.binary(max_size=12)),
        st.builds(lambda v: {"BOOL": v}, st.booleans()),
        st.just({"NULL": True}),
        st.builds(lambda v: {"SS": v}, st.lists(_text, max_size=3)),
        st.builds(lambda v: {"NS": v}, st.lists(_number, max_size=3)),
        st.builds(lambda v: {"BS": v}, st.lists(st.binary(max_size=9), max_size=3)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda v: {"L": v}, st.lists(inner, max_size=3)),
        st.builds(lambda v: {"M": v}, st.dictionaries(_text, inner, max_size=3)),
    ),
    max_leaves=8,
)
_items = st.dictionaries(_text, _values, max_size=5)


@given(_items)
def test_an_item_is_no_larger_than_dynamodb_counts_it_on_the_wire_or_in_an_entry(
    item: dict[str, Any],
) -> None:
    """So an answer of at most 4 KB is one block, and its items are not looked at."""
    size = item_size(item)
    assert len(encode_answer({"Item": item})) >= size
    assert len(msgspec.json.encode({"Item": item})) >= size


# --- a read ------------------------------------------------------------------------


def _read(operation: str, body: dict[str, Any]) -> Read:
    planned = plan(operation, body, lambda _: frozenset({"pk"}))
    assert isinstance(planned, Read)
    return planned


def _item(size: int) -> dict[str, Any]:
    """Return an item of that many bytes."""
    item = {"pk": {"S": "a"}, "s": {"S": "x" * (size - 4)}}
    assert item_size(item) == size
    return item


KEY = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
QUERY = {
    "TableName": "t",
    "KeyConditionExpression": "pk = :v",
    "ExpressionAttributeValues": {":v": {"S": "a"}},
}
FILTERED = {
    **QUERY,
    "FilterExpression": "s <> :f",
    "ExpressionAttributeValues": {":v": {"S": "a"}, ":f": {"S": "b"}},
}
SCAN = {"TableName": "t"}


def _page(
    *sizes: int, scanned: int | None = None, more: bool = False
) -> dict[str, Any]:
    page: dict[str, Any] = {"Items": [_item(size) for size in sizes]}
    page |= {"Count": len(sizes), "ScannedCount": scanned or len(sizes)}
    return page | ({"LastEvaluatedKey": {"pk": {"S": "a"}}} if more else {})


COSTS: dict[str, tuple[str, dict[str, Any], dict[str, Any], ReadCost]] = {
    "an absent item": ("GetItem", KEY, {}, ReadCost(1)),
    "an item without attributes": ("GetItem", KEY, {"Item": {}}, ReadCost(1)),
    "4 KB": ("GetItem", KEY, {"Item": _item(4096)}, ReadCost(1)),
    "a byte more": ("GetItem", KEY, {"Item": _item(4097)}, ReadCost(2)),
    "the largest": ("GetItem", KEY, {"Item": _item(400 * 1024)}, ReadCost(100)),
    "a projection of what is absent": (
        "GetItem",
        {**KEY, "ProjectionExpression": "pk"},
        {},
        ReadCost(1),
    ),
    "a projection": (
        "GetItem",
        {**KEY, "ProjectionExpression": "pk, s"},
        {"Item": _item(5000)},
        ReadCost(2, is_estimated=True),
    ),
    "a projection of an older kind": (
        "GetItem",
        {**KEY, "AttributesToGet": ["pk"]},
        {"Item": {"pk": {"S": "a"}}},
        ReadCost(1, is_estimated=True),
    ),
    # Of the documentation: 8 items of 1 KB are 2 units, or 1 if eventually consistent.
    "a page, rounded as a whole": (
        "Query",
        QUERY,
        _page(*[1024] * 8),
        ReadCost(2),
    ),
    "an empty page": ("Query", QUERY, _page(), ReadCost(1)),
    "a scan": ("Scan", SCAN, _page(*[1500] * 40), ReadCost(15)),
    "a filter": (
        "Query",
        FILTERED,
        _page(2000, 4000, scanned=10),
        ReadCost(8, is_estimated=True),  # 10 of 3000 bytes on average
    ),
    "a filter that passes all": ("Query", FILTERED, _page(2000, 4000), ReadCost(2)),
    "a filter that passes none": (
        "Query",
        FILTERED,
        _page(scanned=7),
        ReadCost(1, is_estimated=True),
    ),
    "a filter, and a page that was full": (
        "Query",
        FILTERED,
        _page(2000, scanned=400, more=True),
        ReadCost(256, is_estimated=True),
    ),
    "a filter, and a page that Limit has ended": (
        "Query",
        {**FILTERED, "Limit": 20},
        _page(2048, scanned=20, more=True),
        ReadCost(10, is_estimated=True),
    ),
    "a count": (
        "Query",
        {**QUERY, "Select": "COUNT"},
        {"Count": 3, "ScannedCount": 3},
        ReadCost(1, is_estimated=True),
    ),
    "an index that fetches from the table": (
        "Query",
        {**QUERY, "IndexName": "i", "Select": "ALL_ATTRIBUTES"},
        _page(3000, 3000),
        ReadCost(2, is_estimated=True),
    ),
}


@pytest.mark.parametrize("case", COSTS)
def test_a_read_costs_what_dynamodb_reads_for_it(case: str) -> None:
    operation, body, answer, cost = COSTS[case]
    read = _read(operation, body)
    assert cost_of_read(read, body, answer) == cost
    # With the length, where it is known, it is the same.
    length = 2 * BLOCK if cost.blocks > 1 else BLOCK
    assert cost_of_read(read, body, answer, length) == cost


def test_an_answer_of_one_block_is_not_looked_into() -> None:
    read = _read("GetItem", KEY)
    assert cost_of_read(read, KEY, {"Item": _item(9000)}, BLOCK) == ReadCost(1)
    assert cost_of_read(read, KEY, {"Item": _item(9000)}, BLOCK + 1) == ReadCost(3)


def test_an_answer_of_another_form_is_an_estimate() -> None:
    read = _read("GetItem", KEY)
    for item in ({"a": 7}, {"a": {"Z": 7}}, {"a": {"N": "x"}}, "text"):
        assert cost_of_read(read, KEY, {"Item": item}) == ReadCost(1, is_estimated=True)


def test_a_projection_of_a_batch_is_an_estimate_too() -> None:
    part = {"Keys": [KEY["Key"]], "AttributesToGet": ["pk"]}
    body = {"RequestItems": {"t": part}}
    batch = plan("BatchGetItem", body, lambda _: frozenset({"pk"}))
    assert isinstance(batch, BatchRead)
    ((read,),) = batch.reads.values()
    item = {"pk": {"S": "a"}}
    assert cost_of_read(read, body, {"Item": item}) == ReadCost(1, is_estimated=True)


def test_a_consistent_read_costs_twice_as_much() -> None:
    cost = cost_of_item(_item(5000))
    assert (cost.units(), cost.units(is_consistent=True)) == (1.0, 2.0)


def test_a_cost_has_a_bound() -> None:
    assert cost_of_units(1e9, is_consistent=False) == ReadCost(MOST_BLOCKS)
    assert cost_of_units(0.0, is_consistent=True) == ReadCost(1)


# --- what DynamoDB reports ---------------------------------------------------------


@pytest.mark.parametrize(
    ("reported", "units"),
    [
        ({}, None),
        ({"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 7.5}}, 7.5),
        ({"ConsumedCapacity": {"TableName": "t"}}, None),
        ({"ConsumedCapacity": {"CapacityUnits": "7"}}, None),
    ],
)
def test_the_number_that_dynamodb_reports(
    reported: dict[str, Any], units: float | None
) -> None:
    assert reported_units(reported) == units


def test_the_number_that_dynamodb_reports_of_a_part_of_a_batch() -> None:
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/u"
    answer = {
        "ConsumedCapacity": [
            {"TableName": "t", "CapacityUnits": 2.0},
            {"TableName": "u", "CapacityUnits": 3.0},
        ]
    }
    assert [reported_units(answer, name) for name in ("t", arn, "v")] == [
        2.0,
        3.0,
        None,
    ]


@pytest.mark.parametrize(("units", "is_consistent"), [(7.5, False), (15.0, True)])
def test_a_hit_saves_the_eventually_consistent_part_of_it(
    units: float, is_consistent: bool
) -> None:
    assert cost_of_units(units, is_consistent=is_consistent).units() == 7.5


# --- all reads ---------------------------------------------------------------------

_KEYS = [{"pk": {"S": "a"}}, {"pk": {"S": "b"}}, {"pk": {"S": "c"}}]
_SELECT = "SELECT * FROM t WHERE pk = 'a'"

ALL: dict[str, tuple[str, dict[str, Any], dict[str, Any], int, float]] = {
    "GetItem": ("GetItem", KEY, {"Item": _item(5000)}, 1, 1.0),
    "GetItem, consistent": (
        "GetItem",
        {**KEY, "ConsistentRead": True},
        {"Item": _item(5000)},
        1,
        2.0,
    ),
    "Query": ("Query", QUERY, _page(3000, 3000), 1, 1.0),
    "Scan, consistent": ("Scan", {**SCAN, "ConsistentRead": True}, _page(100), 1, 1.0),
    # One of 1 KB, one of 5 KB and an absent one: each is rounded by itself.
    "BatchGetItem": (
        "BatchGetItem",
        {"RequestItems": {"t": {"Keys": _KEYS}}},
        {"Responses": {"t": [_item(1024), _item(5000)]}},
        3,
        0.5 + 1.0 + 0.5,
    ),
    "BatchGetItem, in part": (
        "BatchGetItem",
        {"RequestItems": {"t": {"Keys": _KEYS, "ConsistentRead": True}}},
        {
            "Responses": {"t": [_item(5000)]},
            "UnprocessedKeys": {"t": {"Keys": _KEYS[:1]}},
        },
        3,
        2.0 + 1.0,
    ),
    "TransactGetItems": (
        "TransactGetItems",
        {"TransactItems": [{"Get": KEY}, {"Get": KEY}]},
        {"Responses": [{"Item": _item(5000)}, {}]},
        2,
        4.0 + 2.0,
    ),
    "ExecuteStatement": (
        "ExecuteStatement",
        {"Statement": _SELECT},
        {"Items": [_item(3000), _item(3000)]},
        1,
        1.0,
    ),
    "BatchExecuteStatement": (
        "BatchExecuteStatement",
        {"Statements": [{"Statement": _SELECT}, {"Statement": _SELECT}]},
        {"Responses": [{"Item": _item(5000)}, {}]},
        2,
        1.0 + 0.5,
    ),
    "ExecuteTransaction": (
        "ExecuteTransaction",
        {"TransactStatements": [{"Statement": _SELECT}]},
        {"Responses": [{"Item": _item(5000)}]},
        1,
        4.0,
    ),
    "reported": (
        "Query",
        QUERY,
        {"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 9.5}, **_page(100)},
        1,
        9.5,
    ),
}


@pytest.mark.parametrize("case", ALL)
def test_any_read_consumes_units_of_its_tables(case: str) -> None:
    operation, body, answer, reads, units = ALL[case]
    assert reads_by_table(operation, body) == {"t": reads}
    assert units_by_table(operation, body, answer) == {"t": units}


@pytest.mark.parametrize("operation", ["ListTables", "PutItem", "DescribeTable"])
def test_what_is_no_read_consumes_no_read_units(operation: str) -> None:
    assert reads_by_table(operation, KEY) == {}
    assert units_by_table(operation, KEY, {}) == {}


def test_the_keys_of_a_short_answer_cost_a_block_each() -> None:
    answer = {"Responses": {"t": [_item(9000)]}}
    units = [
        units_of_keys("t", 3, answer, is_consistent=False, length=length)
        for length in (BLOCK, BLOCK + 1, None)
    ]
    assert units == [1.5, 2.5, 2.5]
