"""A derived body is the one that boto3 and botocore make, or there is none."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache._near.call_keys import quick_key
from botocache._near.request_bodies import (
    BodyOf,
    _plain_body,
    _to_json,
    derive_body,
    resource_body,
    wire_body,
)
from tests.support.bodies import CLIENT, OF_A_RESOURCE, sent_body

TEXTS = st.text(max_size=8) | st.sampled_from(['"B":', "null", ":null", "B", "BS"])
NAMES = st.sampled_from(["pk", "sk", "B", "BS", "S", "null"])


def values() -> st.SearchStrategy[Any]:
    """Return values of attributes as a client takes them, right and wrong ones."""
    leaf = st.one_of(
        st.fixed_dictionaries({"S": TEXTS}),
        st.fixed_dictionaries({"N": TEXTS}),
        st.fixed_dictionaries({"B": TEXTS}),
        st.fixed_dictionaries({"BOOL": st.booleans()}),
        st.fixed_dictionaries({"NULL": st.booleans()}),
        st.fixed_dictionaries({"SS": st.lists(TEXTS, max_size=2)}),
        st.fixed_dictionaries({"BS": st.lists(TEXTS, max_size=2)}),
        TEXTS,
        st.none(),
        st.integers(),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"L": st.lists(inner, max_size=2)}),
            st.fixed_dictionaries({"M": st.dictionaries(NAMES, inner, max_size=2)}),
        ),
        max_leaves=4,
    )


def require_what_is_sent(made: Any, client: Any, arguments: dict[str, Any]) -> None:
    """Require that a body is the one that is sent, if there is one and one is sent."""
    sent = sent_body(client, copy.deepcopy(arguments))
    if made is not None and isinstance(sent, bytes):
        assert made == json.loads(sent)


@settings(max_examples=300, deadline=None)
@given(
    arguments=st.fixed_dictionaries(
        {"TableName": TEXTS, "Key": st.dictionaries(NAMES, values())},
        optional={
            "ConsistentRead": st.booleans() | st.none() | TEXTS,
            "ProjectionExpression": TEXTS,
            "ExpressionAttributeNames": st.dictionaries(TEXTS, TEXTS),
        },
    )
)
def test_a_clients_body_is_the_one_that_botocore_makes(
    arguments: dict[str, Any],
) -> None:
    made = wire_body("GetItem", _to_json(arguments), arguments)
    require_what_is_sent(made, CLIENT, arguments)


@settings(max_examples=300, deadline=None)
@given(
    arguments=st.fixed_dictionaries(
        {
            "TableName": TEXTS,
            "Key": st.dictionaries(
                NAMES, st.one_of(TEXTS, st.integers(), st.booleans(), st.none())
            ),
        },
        optional={"ConsistentRead": st.booleans(), "ProjectionExpression": TEXTS},
    )
)
def test_a_resources_body_is_the_one_that_boto3_and_botocore_make(
    arguments: dict[str, Any],
) -> None:
    made = resource_body("GetItem", _to_json(arguments), arguments)
    require_what_is_sent(made, OF_A_RESOURCE, arguments)


def test_common_reads_have_a_body() -> None:
    of_client = {"TableName": "table", "Key": {"pk": {"S": "a"}, "sk": {"N": "1"}}}
    of_resource = {"TableName": "table", "Key": {"pk": "a", "sk": 1}}
    assert wire_body("GetItem", _to_json(of_client), of_client) == of_client
    assert resource_body("GetItem", _to_json(of_resource), of_resource) == of_client
    assert json.loads(sent_body(CLIENT, of_client)) == of_client
    assert json.loads(sent_body(OF_A_RESOURCE, of_resource)) == of_client


@pytest.mark.parametrize("value", [{"B": "a"}, {"BS": ["a"]}, {"M": {"n": None}}])
def test_what_botocore_sends_otherwise_than_it_is_given_has_no_body(
    value: dict[str, Any],
) -> None:
    arguments = {"TableName": "table", "Key": {"pk": value}}
    assert wire_body("GetItem", _to_json(arguments), arguments) is None


def derived(arguments: dict[str, Any], body_of: BodyOf) -> Any:
    """Return the body that is derived of a GetItem; None if there is none."""
    key = quick_key(1, arguments)
    return key and derive_body("GetItem", 1, key, arguments, body_of)


KINDS = st.sampled_from(["S", "N", "B", "SS", "M", "x"])
WIRE_VALUES = st.dictionaries(KINDS, TEXTS | st.integers() | st.none(), max_size=2)


@settings(max_examples=100, deadline=None)
@given(
    table=TEXTS | st.none() | st.integers(),
    key=st.dictionaries(NAMES | st.integers(), WIRE_VALUES | TEXTS | st.lists(TEXTS)),
)
def test_the_body_of_an_item_is_derived_only_if_it_is_what_botocore_sends(
    table: Any, key: Any
) -> None:
    arguments = {"TableName": table, "Key": key}
    made = derived(arguments, wire_body)
    require_what_is_sent(made, CLIENT, arguments)
    assert made is None or made == arguments


@settings(max_examples=100, deadline=None)
@given(
    table=TEXTS | st.none(),
    key=st.dictionaries(NAMES, TEXTS | st.integers() | st.booleans() | st.none()),
)
def test_the_body_of_a_resources_item_is_derived_only_if_boto3_makes_it(
    table: Any, key: Any
) -> None:
    arguments = {"TableName": table, "Key": key}
    require_what_is_sent(derived(arguments, resource_body), OF_A_RESOURCE, arguments)


@pytest.mark.parametrize(
    "value",
    [
        {"S": 1},
        {"S": None},
        {"S": ["a"]},
        {"B": "a"},
        {"SS": "a"},
        {"S": "a", "N": "1"},
        {},
        ("S", "a"),
        "a",
    ],
)
def test_a_value_that_is_no_text_or_number_is_left_to_the_forms(value: Any) -> None:
    arguments = {"TableName": "t", "Key": {"pk": {"S": "a"}, "sk": value}}
    assert _plain_body(arguments, wire_body) is None


@pytest.mark.parametrize("key", [{"pk": {"S": "a"}}, {"pk": {"B": "a"}, "n": {}}])
def test_a_body_is_of_the_arguments_as_its_key_has_them(key: Any) -> None:
    """The application may change them at any time, in another thread."""
    arguments: dict[str, Any] = {"TableName": "t", "Key": key}
    quick = quick_key(1, arguments)
    assert quick is not None
    before = copy.deepcopy(arguments)
    made = derive_body("GetItem", 1, quick, arguments, wire_body)
    arguments["Key"]["pk"] = {"S": "changed"}
    assert made is None or made == before
    later = derive_body("GetItem", 1, quick, arguments, wire_body)
    assert later is None or later == before


@pytest.mark.parametrize("operation", ["Query", "Scan"])
def test_pages_of_a_resource_have_no_body(operation: str) -> None:
    assert resource_body(operation, b"{}", {"TableName": "table"}) is None
