"""A write fills the item that it has left, if that is known exactly."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

import botocache
from tests.integration.app import (
    NEGATIVE_TTL,
    World,
    delete,
    every_store,
    get,
    put,
    query,
    set_n,
    wire,
)
from tests.support.network import intercept
from tests.support.write_through import without_write_through

Write = Callable[[Any, str], Any]

SET_N = {
    "UpdateExpression": "SET n = :n",
    "ExpressionAttributeValues": {":n": {"N": "2"}},
}


def _learn_keys(client: Any, table: str) -> None:
    """Have the cache learn the table's key attributes."""
    get(client, table, pk="another")


def _update(client: Any, table: str, **more: Any) -> Any:
    return client.update_item(TableName=table, Key=wire({"pk": "a"}), **SET_N, **more)


FILLING: dict[str, tuple[Write, dict[str, Any] | None]] = {
    "a put": (
        lambda client, table: put(client, table, pk="a", n=2),
        {"pk": "a", "n": 2},
    ),
    "an update that returns all": (
        lambda client, table: _update(client, table, ReturnValues="ALL_NEW"),
        {"pk": "a", "n": 2, "kept": True},
    ),
    "a delete": (lambda client, table: delete(client, table, pk="a"), None),
}

filling = pytest.mark.parametrize(
    ("write", "left"), FILLING.values(), ids=FILLING.keys()
)


@every_store
@filling
def test_the_next_get_is_a_hit_with_what_the_write_left(
    write: Write, left: Any, world: World, client: Any, table: str
) -> None:
    _learn_keys(client, table)
    put(world.outside, table, pk="a", n=1, kept=True)
    get(client, table, pk="a")
    write(client, table)
    with world.counting() as reached:
        assert get(client, table, pk="a") == left
        assert client.batch_get_item(
            RequestItems={table: {"Keys": [wire({"pk": "a"})]}}
        )["Responses"][table] == ([] if left is None else [wire(left)])
    assert reached == {}


@filling
def test_it_equals_what_dynamodb_returns(
    write: Write, left: Any, world: World, client: Any, table: str
) -> None:
    _learn_keys(client, table)
    put(world.outside, table, pk="a", n=1, kept=True)
    write(client, table)
    assert get(client, table, pk="a") == get(world.outside, table, pk="a") == left


def test_every_type_comes_back_as_dynamodb_has_it(
    world: World, client: Any, table: str
) -> None:
    _learn_keys(client, table)
    item = {
        "pk": {"S": "a"},
        "n": {"N": "-12.5"},
        "b": {"B": b"\x00\xff"},
        "t": {"BOOL": False},
        "z": {"NULL": True},
        "l": {"L": [{"N": "0"}, {"L": []}, {"M": {"b": {"B": b""}}}]},
        "m": {"M": {"deep": {"M": {"S": {"S": ""}}}}},
        "ss": {"SS": ["one"]},
        "ns": {"NS": ["1"]},
        "bs": {"BS": [b"\x01"]},
    }
    client.put_item(TableName=table, Item=item)
    with world.counting() as reached:
        found = client.get_item(TableName=table, Key=wire({"pk": "a"}))["Item"]
    assert reached == {}
    assert found == item
    outside = world.outside.get_item(TableName=table, Key=wire({"pk": "a"}))["Item"]
    assert found == outside


UNCERTAIN: dict[str, dict[str, Any]] = {
    "a number in another spelling": {"N": "1.0"},
    "a number with an exponent": {"N": "1e2"},
    "a negative zero": {"N": "-0"},
    "a set of several": {"SS": ["a", "b"]},
    "one in a document": {"M": {"l": {"L": [{"N": "01"}]}}},
}


@pytest.mark.parametrize("value", UNCERTAIN.values(), ids=UNCERTAIN)
def test_a_value_that_dynamodb_normalizes_is_not_written_through(
    value: dict[str, Any], world: World, client: Any, table: str
) -> None:
    _learn_keys(client, table)
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "v": value})
    with world.counting() as reached:
        client.get_item(TableName=table, Key=wire({"pk": "a"}))
    assert reached == {"GetItem": 1}


def test_a_put_into_a_table_with_unknown_keys_fills_nothing(
    world: World, client: Any, table: str
) -> None:
    put(client, table, pk="a", n=1)
    with world.counting() as reached:
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    assert reached == {"GetItem": 1}


def _bypassing(client: Any, table: str) -> None:
    with botocache.bypass():
        put(client, table, pk="a", n=2)


NOT_FILLING: dict[str, Write] = {
    "an update that returns nothing": _update,
    "an update that returns what it changed": lambda client, table: _update(
        client, table, ReturnValues="UPDATED_NEW"
    ),
    "a batch": lambda client, table: client.batch_write_item(
        RequestItems={table: [{"PutRequest": {"Item": wire({"pk": "a", "n": 2})}}]}
    ),
    "a put within bypass": _bypassing,
}


@pytest.mark.parametrize("write", NOT_FILLING.values(), ids=NOT_FILLING)
def test_a_write_that_does_not_say_what_it_left_only_evicts(
    write: Write, world: World, client: Any, table: str
) -> None:
    _learn_keys(client, table)
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    write(client, table)
    with world.counting() as reached:
        assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert reached == {"GetItem": 1}


def test_a_write_that_is_refused_fills_nothing(
    world: World, client: Any, table: str
) -> None:
    _learn_keys(client, table)
    put(world.outside, table, pk="a", n=1)
    with pytest.raises(ClientError):
        client.put_item(
            TableName=table,
            Item=wire({"pk": "a", "n": 2}),
            ConditionExpression="attribute_not_exists(pk)",
        )
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}


@every_store
def test_a_write_by_another_between_its_evictions_keeps_it_out(
    world: World, client: Any, table: str
) -> None:
    _learn_keys(client, table)
    other = world.cached_client()

    def meanwhile(**_: Any) -> None:
        set_n(other, table, 3, pk="a")

    intercept(client, "response-received.dynamodb.PutItem", meanwhile)
    put(client, table, pk="a", n=2)  # as it was sent, but not as it is now
    assert get(client, table, pk="a") == {"pk": "a", "n": 3}


@every_store
def test_an_eviction_of_the_table_between_its_evictions_keeps_it_out(
    world: World, client: Any, table: str
) -> None:
    _learn_keys(client, table)
    other = world.cached_client()

    def meanwhile(**_: Any) -> None:
        other.execute_statement(
            Statement=f'UPDATE "{table}" SET n = ? WHERE pk = ?',
            Parameters=[{"N": "3"}, {"S": "a"}],
        )

    intercept(client, "response-received.dynamodb.PutItem", meanwhile)
    put(client, table, pk="a", n=2)
    assert get(client, table, pk="a") == {"pk": "a", "n": 3}


@every_store
def test_a_later_write_evicts_it(world: World, client: Any, table: str) -> None:
    _learn_keys(client, table)
    put(client, table, pk="a", n=1)
    set_n(world.cached_client(), table, 2, pk="a")
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}


@every_store
def test_the_absence_that_a_delete_left_has_the_negative_ttl(
    world: World, client: Any, table: str
) -> None:
    delete(client, table, pk="a")
    put(world.outside, table, pk="a", n=1)
    assert get(client, table, pk="a") is None
    world.clock.advance(NEGATIVE_TTL)
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}


@pytest.mark.parametrize(
    "settings",
    [
        {"tables": "*=off"},
        {"tables": {"*": {"operations": ["Query"]}}},
    ],
    ids=str,
)
def test_it_fills_nothing_for_a_table_whose_items_are_not_cached(
    settings: dict[str, Any], world: World, table: str
) -> None:
    client = world.cached_client(**settings)
    _learn_keys(client, table)
    put(client, table, pk="a", n=1)
    with world.counting() as reached:
        get(client, table, pk="a")
    assert reached == {"GetItem": 1}


# --- reads that follow a write -----------------------------------------------------


def _sent(client: Any, operation: str) -> list[bool]:
    """Return a list that fills with whether each request was strongly consistent."""
    sent: list[bool] = []

    def note(request: Any, **_: Any) -> None:
        sent.append(json.loads(request.body).get("ConsistentRead", False))

    intercept(client, f"before-send.dynamodb.{operation}", note)
    return sent


@pytest.mark.parametrize("operation", ["GetItem", "Query"])
def test_a_read_after_a_write_is_sent_consistent_and_filled_at_once(
    operation: str, world: World, table: str
) -> None:
    client = world.cached_client(reads_after_write="consistent", writes_through=False)
    set_n(client, table, 1, pk="a")
    sent = _sent(client, operation)
    for _ in range(3):
        with world.counting() as reached:
            if operation == "GetItem":
                assert get(client, table, pk="a") == {"pk": "a", "n": 1}
            else:
                assert query(client, table, pk="a") == [{"pk": "a", "n": 1}]
    assert reached == {}
    assert any(sent)


def test_a_read_during_a_write_is_not_made_consistent(world: World, table: str) -> None:
    client = world.cached_client(reads_after_write="consistent", writes_through=False)
    other = world.cached_client(reads_after_write="consistent", writes_through=False)
    sent = _sent(other, "GetItem")

    def read(**_: Any) -> None:
        get(other, table, pk="a")

    intercept(client, "before-send.dynamodb.UpdateItem", read)
    set_n(client, table, 1, pk="a")
    assert sent == [False]
    assert get(other, table, pk="a") == {"pk": "a", "n": 1}


def test_with_uncached_a_read_is_sent_as_it_is(world: World, table: str) -> None:
    client = world.cached_client(reads_after_write="uncached", writes_through=False)
    set_n(client, table, 1, pk="a")
    sent = _sent(client, "GetItem")
    for _ in range(2):
        with world.counting() as reached:
            assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    assert reached == {"GetItem": 1}
    assert not any(sent)


class _Capacity:
    """A table's capacity, which refuses some reads. sent: how they were sent."""

    def __init__(self, client: Any, code: str, status: int, *refused: bool) -> None:
        self.sent: list[bool] = []
        self._refused = set(refused)
        self._error = (code, status)
        intercept(client, "before-send.dynamodb.GetItem", self._send)

    def _send(self, request: Any, **_: Any) -> AWSResponse | None:
        self.sent.append(json.loads(request.body).get("ConsistentRead", False))
        if self.sent[-1] not in self._refused:
            return None
        code, status = self._error
        body = json.dumps({"__type": f"com.amazonaws.dynamodb#{code}"}).encode()
        return AWSResponse(request.url, status, {}, _Raw(body))  # type: ignore[arg-type]  # it takes any mapping


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]


REFUSALS = [
    ("ProvisionedThroughputExceededException", 400),
    ("ThrottlingException", 400),
    ("InternalServerError", 500),
]


def _impatient(world: World, table: str, mode: str) -> Any:
    """Return a client without retries, which has just written."""
    session = world.session()
    without_write_through(botocache.install(session, url=world.store))
    retries: Any = {"total_max_attempts": 1, "mode": mode}
    client = world.client(session, config=Config(retries=retries))
    set_n(client, table, 1, pk="a")
    return client


@pytest.mark.parametrize(("code", "status"), REFUSALS)
@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_a_refusal_of_strong_consistency_alone_fails_no_read(
    mode: str, code: str, status: int, world: World, table: str
) -> None:
    client = _impatient(world, table, mode)
    capacity = _Capacity(client, code, status, True)
    for _ in range(2):  # what a replica may have answered is not kept
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    # A table that was throttled is braked: no read of it costs twice meanwhile.
    again = [True, False] if status >= 500 else [False]
    assert capacity.sent == [True, False, *again]


def test_a_read_that_is_refused_as_the_application_made_it_fails(
    world: World, table: str
) -> None:
    client = _impatient(world, table, "legacy")
    capacity = _Capacity(client, "ThrottlingException", 400, True, False)
    with pytest.raises(ClientError) as raised:
        get(client, table, pk="a")
    assert raised.value.response["Error"]["Code"] == "ThrottlingException"
    assert capacity.sent == [True, False]


def test_an_error_with_another_reason_is_not_retried(world: World, table: str) -> None:
    client = _impatient(world, table, "legacy")
    capacity = _Capacity(client, "ResourceNotFoundException", 400, True)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        get(client, table, pk="a")
    assert capacity.sent == [True]
