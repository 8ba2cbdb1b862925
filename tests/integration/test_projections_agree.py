"""botocache answers a projection from a whole item as a server does.

Asked only where moto does as DynamoDB does. It does not know names with brackets, a
placeholder before an index, a second index, more than one step after an index, two
elements of one list, and paths into what is neither map nor list; it loses NULL beside
a map. What DynamoDB does with these stands in tests/unit/dynamodb/test_projections.py.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botocache._dynamodb.projections import project, read_projection
from botocache._dynamodb.reserved_words import RESERVED_WORDS
from tests.support.documents import (
    SCALARS,
    Path,
    Writer,
    addresses,
    items,
    paths_into,
)
from tests.support.dynamodb import DynamoDB

KEY = {"pk": {"S": "p"}}

_settings = settings(
    max_examples=150,
    deadline=None,  # a server answers when it can
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_items = items(SCALARS | st.sampled_from([{"B": b"\x00"}, {"SS": ["s"]}]))


class Server:
    """One item in a table of the server."""

    def __init__(self, dynamodb: DynamoDB) -> None:
        self._client = dynamodb.client()
        self._table = dynamodb.create_table("pk:S")

    def put(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Put the item; return it as a read returns it."""
        self._client.put_item(TableName=self._table, Item={**item, **KEY})
        return self.get({})

    def get(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the item, as the parameters project it."""
        answer = self._client.get_item(TableName=self._table, Key=KEY, **body)
        item: dict[str, Any] = answer["Item"]
        return item

    def get_of_batch(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same, by BatchGetItem."""
        request = {self._table: {"Keys": [KEY], **body}}
        answer = self._client.batch_get_item(RequestItems=request)
        item: dict[str, Any] = answer["Responses"][self._table][0]
        return item


@pytest.fixture(scope="module")
def server(dynamodb: DynamoDB) -> Server:
    return Server(dynamodb)


def _answered(item: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any] | None:
    projection = read_projection(body)
    return None if projection is None else project(item, projection)


def _leads_through_maps(item: Mapping[str, Any], path: Path) -> bool:
    """Return whether all steps of a path lead into maps; names have no brackets."""
    value: Any = {"M": item}
    for step in path:
        if "M" not in value or isinstance(step, int) or "[" in step:
            return False
        value = value["M"].get(step, {"M": {}})
    return True


def test_names_and_members_of_maps_are_projected_as_the_server_does(
    server: Server,
) -> None:
    agreed = set()

    @_settings
    @given(st.data(), _items)
    def agree(data: st.DataObject, item: dict[str, Any]) -> None:
        whole = server.put(item)
        paths = [
            p for p in data.draw(paths_into(whole)) if _leads_through_maps(whole, p)
        ]
        body = Writer(data).body(paths)
        answered = _answered(whole, body)
        if answered is not None:
            assert answered == server.get(body) == server.get_of_batch(body)
            agreed.add(repr(answered))

    agree()
    assert len(agreed) > 10


def _is_plain(step: str | int) -> bool:
    name = str(step)
    is_reserved = name.upper() in RESERVED_WORDS
    return isinstance(step, int) or (
        name.isascii() and name.isalpha() and not is_reserved
    )


def _elements(item: Mapping[str, Any]) -> list[Path]:
    """Return the paths to elements of lists, to their members, and beyond the lists."""
    ends = [
        (*path[:-1], step)
        for path in addresses(item)
        if isinstance(path[-1], int)
        for step in (path[-1], path[-1] + 9)
    ]
    members = [path for path in addresses(item) if isinstance(path[-2:][0], int)]
    return [
        path
        for path in ends + members
        if all(map(_is_plain, path)) and sum(isinstance(s, int) for s in path) == 1
    ]


def test_an_element_of_a_list_is_projected_as_the_server_does(server: Server) -> None:
    agreed = set()

    @settings(_settings, max_examples=50)
    @given(st.data(), st.lists(_items, min_size=1, max_size=3))
    def agree(data: st.DataObject, elements: list[dict[str, Any]]) -> None:
        maps = [{"M": element} for element in elements]
        whole = server.put({"a": {"L": maps}, "b": {"M": {"c": {"L": maps}}}})
        path = data.draw(st.sampled_from(_elements(whole)))
        text = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)
        body = {"ProjectionExpression": f"pk, {text[1:]}"}
        answered = _answered(whole, body)
        assert answered == server.get(body) == server.get_of_batch(body)
        agreed.add(repr(answered))

    agree()
    assert len(agreed) > 5


def test_the_legacy_parameter_is_projected_as_the_server_does(server: Server) -> None:
    whole = server.put({"a": {"S": "x"}, "name": {"M": {}}, "b": {"N": "1"}})
    body = {"AttributesToGet": ["pk", "name", "a", "gone"]}
    assert _answered(whole, body) == server.get_of_batch(body)
    assert _answered(whole, body) != whole


@pytest.mark.parametrize(
    "body",
    [
        {"ProjectionExpression": "a, a"},
        {"ProjectionExpression": "name"},
        {"ProjectionExpression": "a b"},
        {"ProjectionExpression": "0a"},
        {"ProjectionExpression": "a", "ExpressionAttributeNames": {"#n": "name"}},
        {"ProjectionExpression": "a", "ExpressionAttributeNames": {}},
        {"ProjectionExpression": "a", "AttributesToGet": ["a"]},
        {"ExpressionAttributeNames": {"#n": "name"}},
    ],
)
def test_a_projection_that_the_server_refuses_is_not_answered(
    server: Server, body: dict[str, Any]
) -> None:
    whole = server.put({"a": {"S": "x"}, "name": {"S": "y"}})
    with pytest.raises(server._client.exceptions.ClientError, match="Validation"):
        server.get(body)
    assert _answered(whole, body) is None
