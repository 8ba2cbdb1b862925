"""Keys of the near cache: calls that have one key have one wire body."""

import copy
import sys
from array import array
from collections.abc import Callable
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from boto3.dynamodb.types import Binary
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache._near.call_keys import cost_of, exact_key, quick_key
from botocache._near.client_state import boto3_kinds
from tests.support.bodies import CLIENT, OF_A_RESOURCE, sent_body

KINDS = boto3_kinds()


def key_of(arguments: Any) -> Any:
    """Return the key of a call's arguments."""
    return exact_key(1, arguments, KINDS)


# --- values with keys of their own -------------------------------------------------

LOOKALIKES: list[Any] = [
    1,
    True,
    "1",
    b"1",
    Decimal(1),
    Decimal("1.0"),
    Binary(b"1"),
    ["1"],
    ("1",),
    {"1"},
    frozenset({"1"}),
    {1},
    {True},
    {Decimal(1)},
    {b"1"},
    {Binary(b"1")},
    [],
    {},
    None,
    0,
    False,
    "",
    b"",
    "None",
    {"a": 1},
    {"a": "1"},
    {"a": {"a": 1}},
    {"S": "1"},
    {"N": "1"},
    {"B": b"1"},
    ["1", "1"],
    [["1"], "1"],
    ["1", ["1"]],
    [["1", "1"]],
    [{}, "a", "b"],
    [{"a": "b"}],
    Key("a"),
    Attr("a"),
    Key("a").eq("1"),
    Key("a").eq(1),
    Key("a").eq(Decimal(1)),
    Attr("a").eq("1"),
    Attr("a").eq(Attr("1")),
    Attr("a").ne("1"),
    ~Attr("a").eq("1"),
    Key("a").begins_with("1"),
    Attr("a").size().eq("1"),
    Attr("a").is_in(["1", "2"]),
    Attr("a").is_in(["1", 2]),
    Key("a").between("1", "2"),
    Key("a").eq("1") & Key("b").eq("2"),
    Key("a").eq("1") | Key("b").eq("2"),
    Key("b").eq("2") & Key("a").eq("1"),
    int,
]


@pytest.mark.parametrize("place", [lambda v: {"a": v}, lambda v: {"a": [{"b": v}]}])
def test_values_that_look_alike_have_keys_of_their_own(
    place: Callable[[Any], Any],
) -> None:
    keys = [key_of(place(value)) for value in LOOKALIKES if value is not int]
    assert None not in keys
    for one, other in combinations(keys, 2):
        assert one != other


@pytest.mark.parametrize("value", LOOKALIKES)
def test_an_equal_copy_has_the_same_key(value: Any) -> None:
    assert key_of({"a": copy.deepcopy(value)}) == key_of({"a": value})


@pytest.mark.parametrize("value", LOOKALIKES)
def test_the_key_is_the_same_for_a_caller_that_has_the_quick_one(value: Any) -> None:
    arguments = {"a": value}
    quick = quick_key(1, arguments)
    assert exact_key(1, arguments, KINDS, quick) == key_of(arguments)


@pytest.mark.parametrize("value", ["b", Binary(b"b")])
def test_the_token_is_part_of_the_key(value: object) -> None:
    keys = {exact_key(token, {"a": value}, KINDS) for token in (1, 2, 300)}
    assert len(keys) == 3


def test_where_a_container_ends_is_part_of_the_key() -> None:
    assert key_of({"a": {"b": "c"}, "d": "e"}) != key_of({"a": {"b": "c", "d": "e"}})


def test_a_name_is_not_mistaken_for_a_value() -> None:
    assert key_of({"a": {}, "b": "c"}) != key_of({"a": "b"})


# --- values without a key ----------------------------------------------------------


class _Text(str):
    __slots__ = ()


class _Bytes(bytes):
    pass


class _Number(int):
    pass


class _Map(dict[str, Any]):
    pass


class _OwnCondition(ConditionBase):
    pass


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        float("nan"),
        _Text("a"),
        _Number(1),
        _Map(),
        memoryview(b"1"),
        object(),
        int,
        1j,
        _OwnCondition(Key("a"), "1"),
        {1: "a"},
        {_Text("a"): "a"},
        [{"a": [object()]}],
        range(3),
    ],
)
def test_a_value_of_another_type_has_no_key(value: Any) -> None:
    assert key_of({"a": value}) is None
    assert key_of({"a": Key("a").eq(value)}) is None


def test_a_binary_whose_value_has_another_type_has_no_key() -> None:
    binary = Binary(b"1")
    vars(binary)["value"] = memoryview(b"1")
    assert key_of({"a": binary}) is None


@pytest.mark.parametrize("arguments", [None, [], "a", _Map()])
def test_arguments_that_are_no_dict_have_no_key(arguments: Any) -> None:
    assert key_of(arguments) is None


def test_arguments_that_contain_themselves_have_no_key() -> None:
    arguments: dict[str, Any] = {}
    arguments["a"] = arguments
    assert key_of(arguments) is None


def test_types_of_boto3_have_no_key_unless_they_are_among_the_kinds() -> None:
    assert exact_key(1, {"a": Binary(b"1")}, frozenset()) is None


# --- quick keys --------------------------------------------------------------------

_UNKNOWN: list[Any] = [memoryview(b"1"), array("B", b"1"), _Bytes(b"1"), 1.0, 1j]


@pytest.mark.parametrize("place", [lambda v: {"a": v}, lambda v: {"a": [{"b": v}]}])
def test_a_quick_key_is_the_key_or_no_calls_key(
    place: Callable[[Any], Any],
) -> None:
    keys = {key_of(place(value)): value for value in LOOKALIKES}
    for value in (*LOOKALIKES, *_UNKNOWN):
        quick = quick_key(1, place(value))
        key = key_of(place(value))
        assert quick is None or quick == key or quick not in keys


@pytest.mark.parametrize("value", ["1", {"S": "1"}, [1, True, None], {"1"}, ()])
def test_the_key_of_arguments_without_a_buffer_is_the_quick_key(value: Any) -> None:
    quick = quick_key(1, {"a": value})
    assert quick == key_of({"a": value}) is not None


def test_the_number_of_references_to_a_text_does_not_change_a_quick_key() -> None:
    text, name = "".join(list("user")), sys.intern("user")
    one = {"a": text, "b": [text, text]}
    other = {"a": name, "b": [name, "".join(list("user"))]}
    assert quick_key(1, one) == quick_key(1, other)


# --- contents of a key -------------------------------------------------------------


def test_changing_the_arguments_later_does_not_change_the_key() -> None:
    binary = bytearray(b"1")
    arguments: dict[str, Any] = {"a": [{"b": {"c"}}], "d": binary, "e": Attr("a")}
    before = copy.deepcopy(key := key_of(arguments))
    arguments["a"][0]["b"].add("x")
    arguments["e"].name = "b"
    binary += b"2"
    assert key == before != key_of(arguments)


def test_a_key_costs_more_the_longer_its_texts_are() -> None:
    short, long = key_of({"a": "b"}), key_of({"a": "b" * 1000})
    assert cost_of(long) - cost_of(short) == 999


# --- the property ------------------------------------------------------------------

_NAMES = st.sampled_from(["a", "b", "S", "1", ""])
_NUMBERS = st.sampled_from(
    [Decimal(text) for text in ("0", "-0", "1", "1.0", "1E0", "10", "1E1")]
)
_SCALARS = st.one_of(
    st.sampled_from(["", "0", "1", "a", "None", "True"]),
    st.sampled_from([b"", b"0", b"1", b"a"]),
    st.sampled_from([bytearray(b""), bytearray(b"1")]),
    st.sampled_from([Binary(b""), Binary(b"1")]),
    st.integers(0, 2),
    st.booleans(),
    st.none(),
    _NUMBERS,
)
_SETS = st.one_of(
    st.sets(st.sampled_from(["1", "a"]), min_size=1),
    st.sets(st.integers(0, 2), min_size=1),
    st.sets(_NUMBERS, min_size=1),
    st.sets(st.sampled_from([b"1", b"a"]), min_size=1),
    st.sets(st.sampled_from([Binary(b"1"), Binary(b"a")]), min_size=1),
)
_VALUES = st.recursive(
    st.one_of(_SCALARS, _SETS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(_NAMES, inner, max_size=2),
    ),
    max_leaves=4,
)
_COMPARISONS = st.one_of(
    st.builds(lambda n, v: Key(n).eq(v), _NAMES, _VALUES),
    st.builds(lambda n, v: Attr(n).eq(v), _NAMES, _VALUES),
    st.builds(lambda n, v: Attr(n).is_in([v, v]), _NAMES, _VALUES),
    st.builds(lambda n, v: Attr(n).size().gt(v), _NAMES, _VALUES),
    st.builds(lambda n, v: Attr(n).between(v, v), _NAMES, _VALUES),
    st.builds(lambda n: Attr(n).exists(), _NAMES),
)
_CONDITIONS = st.recursive(
    _COMPARISONS,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=3,
)
_KEYS = st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=2)
_OF_RESOURCE = st.one_of(
    st.fixed_dictionaries({"TableName": st.just("t"), "Key": _KEYS}),
    st.fixed_dictionaries(
        {"TableName": st.just("t"), "FilterExpression": _CONDITIONS},
        optional={"Limit": st.integers(1, 2), "ExclusiveStartKey": _KEYS},
    ),
)
_WIRE = st.one_of(
    st.fixed_dictionaries({"S": st.sampled_from(["", "1"])}),
    st.fixed_dictionaries({"N": st.sampled_from(["1", "1.0"])}),
    st.fixed_dictionaries(
        {"B": st.sampled_from([b"1", bytearray(b"1"), "1"])},
    ),
    st.fixed_dictionaries({"BOOL": st.booleans()}),
    st.fixed_dictionaries({"NULL": st.just(value=True)}),
    st.fixed_dictionaries({"SS": st.lists(st.sampled_from(["1", "a"]), max_size=2)}),
    st.fixed_dictionaries({"L": st.lists(st.just({"S": "1"}), max_size=2)}),
    st.fixed_dictionaries({"L": st.tuples(st.just({"S": "1"}))}),
    st.fixed_dictionaries({"M": st.just({"1": {"S": "1"}})}),
)
_OF_CLIENT = st.fixed_dictionaries(
    {
        "TableName": st.sampled_from(["t", "u"]),
        "Key": st.dictionaries(_NAMES, _WIRE, min_size=1, max_size=2),
    },
    optional={
        "ConsistentRead": st.booleans(),
        "ProjectionExpression": st.sampled_from(["a", "b"]),
        "AttributesToGet": st.lists(_NAMES, min_size=1, max_size=2),
    },
)


def _require(client: Any, one: dict[str, Any], other: dict[str, Any]) -> None:
    key = key_of(one)
    assert key is not None
    if key == key_of(other):
        assert sent_body(client, one) == sent_body(client, other)


@given(one=_OF_RESOURCE, other=_OF_RESOURCE)
@settings(max_examples=150, deadline=None)
def test_calls_of_a_resource_with_one_key_have_one_body(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    _require(OF_A_RESOURCE, one, other)
    _require(OF_A_RESOURCE, one, copy.deepcopy(one))


@given(one=_OF_CLIENT, other=_OF_CLIENT)
@settings(max_examples=150, deadline=None)
def test_calls_of_a_client_with_one_key_have_one_body(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    _require(CLIENT, one, other)
    _require(CLIENT, one, copy.deepcopy(one))


@given(value=_VALUES, other=_VALUES)
@settings(max_examples=500, deadline=None)
def test_values_with_one_key_are_serialised_alike(value: Any, other: Any) -> None:
    one, two = (
        {"TableName": "t", "Key": {"a": value}},
        {"TableName": "t", "Key": {"a": other}},
    )
    if key_of(one) == key_of(two):
        assert sent_body(OF_A_RESOURCE, one) == sent_body(OF_A_RESOURCE, two)
