"""The computed image after an update agrees with a server's item."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botocache._dynamodb.items import image_after, partitions_of
from tests.integration.app import World

KEY = {"pk": {"S": "k"}}

# Attributes by names that an expression has for them, with values that suit them.
USUAL: dict[str, dict[str, Any]] = {
    "a": {"S": "text"},
    "b": {"B": b"\x00\x01"},
    "l": {"L": [{"N": "1"}, {"S": "one"}]},
    "m": {"M": {"x": {"N": "1"}}},
    "n": {"N": "12"},
    "#o": {"N": "0.50"},
    "#dotted": {"S": "no path"},
    "ss": {"SS": ["p", "q"]},
}
NAMES = {"#o": "o", "#dotted": "m.x"}
VALUES: dict[str, Any] = {
    ":s": {"S": "new"},
    ":n": {"N": "7"},
    ":tenth": {"N": "-0.10"},
    ":b": {"B": b"\x02"},
    ":l": {"L": [{"N": "1"}]},
    ":m": {"M": {"y": {"N": "1"}}},
    ":ss": {"SS": ["q", "r"]},
    ":ns": {"NS": ["1", "2"]},
}

_names = st.sampled_from(list(USUAL))
_values = st.sampled_from(list(VALUES))
_paths = _names | _names | st.sampled_from(["m.x", "m.#o", "l[0]", "l[7].x", "a.x"])
_numbers = st.sampled_from(["n", "#o", ":n", ":tenth", "m.x", "l[0]"])
_lists = st.sampled_from(["l", ":l", "if_not_exists(l, :l)"])
_simple = _paths | _values
_rights = st.one_of(
    _simple,
    st.builds("if_not_exists({}, {})".format, _paths, _simple),
    st.builds("list_append({}, {})".format, _lists, _lists),
    st.builds("{} {} {}".format, _numbers, st.sampled_from("+-"), _numbers),
    st.builds("if_not_exists({}, {}) + {}".format, _numbers, _numbers, _numbers),
)
_ACTIONS = {
    "SET": st.builds(" = {}".format, _rights),
    "REMOVE": st.just(""),
    "ADD": st.builds(" {}".format, _values),
    "DELETE": st.builds(" {}".format, _values),
}


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Draw an expression: a few actions, none of which touches another's attribute."""
    clauses: dict[str, list[str]] = {}
    for name in draw(st.lists(_names, min_size=1, max_size=3, unique=True)):
        inside = st.sampled_from([f"{name}.x", f"{name}[0]"])
        keyword = draw(st.sampled_from(list(_ACTIONS)))
        path = draw(st.just(name) | st.just(name) | inside)
        clauses.setdefault(keyword, []).append(path + draw(_ACTIONS[keyword]))
    return " ".join(f"{key} {', '.join(each)}" for key, each in clauses.items())


def _item(values: Mapping[str, Any]) -> dict[str, Any]:
    return {NAMES.get(name, name): value for name, value in values.items()}


_some = st.fixed_dictionaries({}, optional={n: st.just(v) for n, v in USUAL.items()})
_others = st.dictionaries(_names, st.sampled_from(list(VALUES.values())), max_size=2)
_olds = st.none() | st.builds(lambda some, others: {**some, **others}, _some, _others)


def request(expression: str) -> dict[str, Any]:
    """Return an update with the placeholders that it uses, and no others."""
    parameters: dict[str, Any] = {"Key": KEY, "UpdateExpression": expression}
    for name, meant in (
        ("ExpressionAttributeNames", NAMES),
        ("ExpressionAttributeValues", VALUES),
    ):
        used = {k: v for k, v in meant.items() if k in _words(expression)}
        if used:
            parameters[name] = used
    return parameters


def _words(expression: str) -> set[str]:
    for symbol in "(),.[]":
        expression = expression.replace(symbol, " ")
    return set(expression.split())


@pytest.fixture
def server(world: World) -> Any:
    """A client without a cache, which tries once: moto fails at some expressions."""
    return world.client(world.session(), config=Config(retries=ONCE))


ONCE: Any = {"total_max_attempts": 1}


@given(_olds, expressions())
@settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_an_update_leaves_the_index_keys_that_image_after_computes(
    server: Any, table: str, old: dict[str, Any] | None, expression: str
) -> None:
    if old is None:
        server.delete_item(TableName=table, Key=KEY)
    else:
        server.put_item(TableName=table, Item={**KEY, **_item(old)})
    parameters = request(expression)
    try:
        answer = server.update_item(
            TableName=table, ReturnValues="ALL_OLD", **parameters
        )
    except ClientError:
        return  # botocache does not compute this image
    said = image_after("UpdateItem", parameters, answer.get("Attributes", {}))
    item = server.get_item(TableName=table, Key=KEY)["Item"]
    if said is not None:
        assert set(partitions_of("t", said)) == set(partitions_of("t", item))
        assert said.keys() == item.keys()
