"""What a repeated read returns, and whether it reaches DynamoDB."""

import re
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError

import botocache
from botocache import Cache
from botocache.stores.disk import entry_database
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from botocache.stores.redis import commands
from tests.integration.app import (
    NEGATIVE_TTL,
    TTL,
    World,
    answer_of,
    every_store,
    get,
    put,
    query,
    query_index,
    query_parameters,
    wire,
)
from tests.support.processes import TIMEOUT, forked

_LONG = " " * 4096

REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a long filter": (
        "query",
        {"FilterExpression": "n = :pk"},
        {"FilterExpression": f"n{_LONG}= :pk"},
    ),
    "a long key condition": (
        "query",
        {"KeyConditionExpression": "pk = :pk"},
        {"KeyConditionExpression": f"pk{_LONG}= :pk"},
    ),
    "a long projection": (
        "get_item",
        {"ProjectionExpression": "pk, n"},
        {"ProjectionExpression": f"pk,{_LONG}n"},
    ),
    "a long number": (
        "get_item",
        {"Key": {"pk": {"N": "1"}}},
        {"Key": {"pk": {"N": f"1.{0:050}"}}},
    ),
    "a word that runs into a placeholder": (
        "query",
        {"FilterExpression": "n BETWEEN :pk AND :pk"},
        {"FilterExpression": "n BETWEEN :pk AND:pk"},
    ),
}
"""A method, what DynamoDB accepts, and its like that DynamoDB refuses."""


@every_store
@pytest.mark.parametrize("near", ["on", "off"])
@pytest.mark.parametrize(
    ("method", "accepted", "refused"), REFUSED.values(), ids=list(REFUSED)
)
def test_what_dynamodb_refuses_reaches_it_whatever_is_cached(
    method: str,
    accepted: dict[str, Any],
    refused: dict[str, Any],
    near: str,
    world: World,
) -> None:
    client = world.cached_client(near=near)
    is_number = "Key" in accepted
    table = world.table("pk:N" if is_number else "pk:S")
    common: dict[str, Any] = {"TableName": table, "Key": {"pk": {"S": "a"}}}
    if method == "query":
        common = {
            "TableName": table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": "a"}},
        }
    for _ in range(2):
        getattr(client, method)(**{**common, **accepted})
    with world.counting() as reached:
        getattr(client, method)(**{**common, **accepted})
    assert reached == {}
    with world.counting() as reached, suppress(ClientError):  # moto takes some of them
        getattr(client, method)(**{**common, **refused})
    assert reached.total() == 1


Reader = Callable[[Any, Any, str], Any]
"""Reads the item `a` through a client or a resource, and returns the whole answer."""

READERS: dict[str, tuple[str, Reader]] = {
    "client, GetItem": (
        "GetItem",
        lambda client, _, table: client.get_item(
            TableName=table, Key={"pk": {"S": "a"}}
        ),
    ),
    "Table, GetItem": (
        "GetItem",
        lambda _, resource, table: resource.Table(table).get_item(Key={"pk": "a"}),
    ),
    "client of a resource, GetItem": (
        "GetItem",
        lambda _, resource, table: resource.meta.client.get_item(
            TableName=table, Key={"pk": "a"}
        ),
    ),
    "client, Query": (
        "Query",
        lambda client, _, table: client.query(
            **query_parameters(table, None, pk="a"),
        ),
    ),
    "Table, Query": (
        "Query",
        lambda _, resource, table: resource.Table(table).query(
            KeyConditionExpression=Key("pk").eq("a")
        ),
    ),
    "client, legacy Query": (
        "Query",
        lambda client, _, table: client.query(
            TableName=table,
            KeyConditions={
                "pk": {
                    "ComparisonOperator": "EQ",
                    "AttributeValueList": [{"S": "a"}],
                }
            },
        ),
    ),
}

readers = pytest.mark.parametrize(
    ("operation", "read"), READERS.values(), ids=READERS.keys()
)

EVERY_TYPE = {
    "pk": "a",
    "string": "text \u00e9 \U0001f600",
    "empty": "",
    "number": Decimal("12345678901234567890.0987654321"),
    "negative": Decimal("-0.5"),
    "binary": Binary(b"\x00\xff\x80"),
    "true": True,
    "null": None,
    "strings": {"x", "y"},
    "numbers": {Decimal(1), Decimal("2.5")},
    "binaries": {Binary(b"1"), Binary(b"2")},
    "list": [Decimal(1), "two", Binary(b"3"), [None, False]],
    "map": {"deep": {"deeper": {"deepest": [{"n": Decimal(1)}]}}, "-": {}},
}


# --- hits --------------------------------------------------------------------------


@every_store
@readers
def test_a_repeated_read_is_equal_and_does_not_reach_dynamodb(
    operation: str, read: Reader, world: World, client: Any, resource: Any
) -> None:
    table = world.table("pk:S")
    world.outside.put_item(TableName=table, Item=wire(EVERY_TYPE))
    with world.counting() as reached:
        first, second = read(client, resource, table), read(client, resource, table)
    assert reached == {operation: 1}
    assert answer_of(second) == answer_of(first)
    assert _types(answer_of(second)) == _types(answer_of(first))


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _types(content) for name, content in value.items()}
    if isinstance(value, list):
        return [_types(content) for content in value]
    if isinstance(value, set):
        return {type(content) for content in value}
    return type(value)


def test_a_client_gets_bytes_and_a_resource_gets_its_own_types(
    world: World, table: str, client: Any, resource: Any
) -> None:
    world.outside.put_item(TableName=table, Item=wire(EVERY_TYPE))
    get(client, table, pk="a")
    with world.counting() as reached:
        low = client.get_item(TableName=table, Key={"pk": {"S": "a"}})["Item"]
        high = resource.Table(table).get_item(Key={"pk": "a"})["Item"]
    assert reached == {}
    assert low["binary"] == {"B": b"\x00\xff\x80"}
    assert low["number"] == {"N": "12345678901234567890.0987654321"}
    assert sorted(low["binaries"]["BS"]) == [b"1", b"2"]
    assert high == EVERY_TYPE
    assert type(high["binary"]) is Binary
    assert type(high["number"]) is Decimal
    assert type(high["numbers"]) is set


@every_store
def test_low_level_and_high_level_callers_share_the_entry_of_an_item(
    world: World, table: str, client: Any, resource: Any
) -> None:
    put(world.outside, table, pk="a", n=1)
    key = {"pk": "a"}
    with world.counting() as reached:
        high = resource.Table(table).get_item(Key=key)["Item"]
        middle = resource.meta.client.get_item(TableName=table, Key=key)["Item"]
        low = get(client, table, pk="a")
    assert reached == {"GetItem": 1}
    assert high == middle == low == {"pk": "a", "n": 1}


def test_all_spellings_of_a_query_share_an_entry(
    world: World, table: str, client: Any, resource: Any
) -> None:
    put(world.outside, table, pk="a", n=1)
    low = (
        {
            "KeyConditionExpression": "pk = :v",
            "ExpressionAttributeValues": {":v": {"S": "a"}},
        },
        {
            "KeyConditionExpression": "#other=:other",
            "ExpressionAttributeNames": {"#other": "pk"},
            "ExpressionAttributeValues": {":other": {"S": "a"}},
        },
    )
    high = (
        {"KeyConditionExpression": Key("pk").eq("a")},
        {
            "KeyConditionExpression": "pk = :x",
            "ExpressionAttributeValues": {":x": "a"},
        },
    )
    with world.counting() as reached:
        counts = [client.query(TableName=table, **spelt)["Count"] for spelt in low]
        counts += [resource.Table(table).query(**spelt)["Count"] for spelt in high]
    assert reached == {"Query": 1}
    assert counts == [1] * 4


DIFFERENT_QUESTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another projection": (
        {"ProjectionExpression": "n"},
        {"ProjectionExpression": "m"},
    ),
    "a limit": ({"Limit": 1}, {"Limit": 2}),
    "another direction": ({"ScanIndexForward": True}, {"ScanIndexForward": False}),
    "counted only": ({"Select": "COUNT"}, {"Select": "ALL_ATTRIBUTES"}),
    "a filter": (
        {"FilterExpression": Attr("n").eq(1)},
        {"FilterExpression": Attr("n").eq(2)},
    ),
    "a page": ({}, {"ExclusiveStartKey": {"pk": "a", "sk": 1}}),
}


@pytest.mark.parametrize(
    "options", DIFFERENT_QUESTIONS.values(), ids=DIFFERENT_QUESTIONS.keys()
)
def test_two_different_questions_do_not_share_an_entry(
    options: tuple[dict[str, Any], dict[str, Any]], world: World, resource: Any
) -> None:
    table = world.table("pk:S", "sk:N")
    for n in (1, 2, 3):
        put(world.outside, table, pk="a", sk=n, n=n, m=-n)

    def ask(**more: Any) -> Any:
        condition = Key("pk").eq("a")
        answer = resource.Table(table).query(KeyConditionExpression=condition, **more)
        return answer_of(answer)

    with botocache.bypass():
        expected = [ask(**more) for more in options]
    with world.counting() as reached:
        answers = [ask(**more) for more in options for _ in range(2)]
    assert reached == {"Query": 2}
    assert answers == [expected[0]] * 2 + [expected[1]] * 2
    assert expected[0] != expected[1]


def test_two_regions_behind_one_endpoint_do_not_share_an_entry(
    world: World, client: Any, session: boto3.Session
) -> None:
    west = session.client(
        "dynamodb", endpoint_url=world.dynamodb.url, region_name="us-west-2"
    )
    with botocache.bypass():
        name = world.dynamodb.create_table("pk:S", client=client)
        world.dynamodb.create_table("pk:S", name=name, client=west)
        put(client, name, pk="a", n=1)
        put(west, name, pk="a", n=2)
    world.settle()
    for _ in range(2):
        assert get(client, name, pk="a") == {"pk": "a", "n": 1}
        assert get(west, name, pk="a") == {"pk": "a", "n": 2}


def test_an_empty_page_is_a_hit_too(world: World, table: str, client: Any) -> None:
    with world.counting() as reached:
        assert [query(client, table, pk="a") for _ in range(2)] == [[], []]
    assert reached == {"Query": 1}


def test_mutating_an_answer_changes_no_other_answer(
    world: World, table: str, client: Any, resource: Any
) -> None:
    world.outside.put_item(TableName=table, Item=wire(EVERY_TYPE))
    high = resource.Table(table)
    pristine = high.get_item(Key={"pk": "a"})["Item"]
    assert pristine == EVERY_TYPE
    for _ in range(2):  # the fill, and a hit
        item = high.get_item(Key={"pk": "a"})["Item"]
        item["map"]["deep"]["deeper"].clear()
        item["list"].append("more")
        item["strings"].add("more")
        del item["number"]
        low = client.get_item(TableName=table, Key={"pk": {"S": "a"}})
        low["Item"]["map"]["M"].clear()
        low["Item"].clear()
        low["ResponseMetadata"]["HTTPHeaders"].clear()
    answer = high.get_item(Key={"pk": "a"})
    assert answer["Item"] == pristine
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-botocache"] == "hit"


def test_mutating_the_answer_that_was_filled_changes_no_other_answer(
    world: World, table: str, client: Any
) -> None:
    put(world.outside, table, pk="a", m={"deep": [1]})
    first = client.get_item(TableName=table, Key=wire({"pk": "a"}))
    first["Item"]["m"]["M"]["deep"]["L"].clear()
    assert get(client, table, pk="a") == {"pk": "a", "m": {"deep": [1]}}


# --- the metadata of a hit ----------------------------------------------------------


def test_response_metadata_keeps_its_shape_and_marks_a_hit(
    world: World, table: str, client: Any
) -> None:
    miss, _ = _get_twice(client, table)
    world.clock.advance(3.7)
    hit = client.get_item(TableName=table, Key=wire({"pk": "a"}))
    metadata = hit["ResponseMetadata"]
    assert metadata.keys() == miss["ResponseMetadata"].keys()
    assert metadata["HTTPStatusCode"] == 200
    assert metadata["RetryAttempts"] == 0
    assert metadata["RequestId"].startswith("botocache-")
    assert metadata["HTTPHeaders"] == {"x-botocache": "hit", "age": "3"}


@every_store
@pytest.mark.parametrize("near", ["on", "off"])
def test_each_hit_of_one_entry_has_a_request_id_of_its_own(
    near: Any, world: World, table: str
) -> None:
    sessions = [world.session() for _ in range(2)]
    for session in sessions:
        botocache.install(session, url=world.store, near=near)
    clients = [world.client(session) for session in sessions]
    hits = [
        client.get_item(TableName=table, Key=wire({"pk": "a"}))["ResponseMetadata"]
        for _ in range(4)
        for client in clients
    ][1:]
    assert [hit["HTTPHeaders"]["x-botocache"] for hit in hits] == ["hit"] * 7
    ids = [hit["RequestId"] for hit in hits]
    assert len(set(ids)) == 7
    # All begin with the entry's key: who looks for one entry finds its hits.
    (prefix,) = {each.rpartition("-")[0] for each in ids}
    assert re.fullmatch("botocache-[0-9a-f]{32}", prefix)


def test_a_forked_child_goes_on_with_other_request_ids(table: str, client: Any) -> None:
    def read() -> str:
        answer = client.get_item(TableName=table, Key=wire({"pk": "a"}))
        request_id: str = answer["ResponseMetadata"]["RequestId"]
        return request_id

    for _ in range(3):
        read()
    with forked(lambda pipe: pipe.send([read() for _ in range(3)])) as child:
        here = [read() for _ in range(3)]
        assert child.poll(TIMEOUT)
        there = child.recv()
    assert all(each.startswith("botocache-") for each in (*here, *there))
    assert len({*here, *there}) == 6


def test_an_answer_of_dynamodb_is_not_marked(table: str, client: Any) -> None:
    miss, _ = _get_twice(client, table)
    metadata = miss["ResponseMetadata"]
    assert "x-botocache" not in metadata["HTTPHeaders"]
    assert not metadata["RequestId"].startswith("botocache-")


def _get_twice(client: Any, table: str) -> list[Any]:
    return [client.get_item(TableName=table, Key=wire({"pk": "a"})) for _ in range(2)]


CAPACITIES: dict[str, tuple[dict[str, Any], Callable[[str], Any]]] = {
    "not asked for": ({}, lambda _: None),
    "NONE": ({"ReturnConsumedCapacity": "NONE"}, lambda _: None),
    "TOTAL": (
        {"ReturnConsumedCapacity": "TOTAL"},
        lambda table: {"TableName": table, "CapacityUnits": 0.0},
    ),
    "INDEXES": (
        {"ReturnConsumedCapacity": "INDEXES"},
        lambda table: {
            "TableName": table,
            "CapacityUnits": 0.0,
            "Table": {"CapacityUnits": 0.0},
        },
    ),
}


@pytest.mark.parametrize("filled_with", CAPACITIES)
@pytest.mark.parametrize(
    ("asked", "expected"), CAPACITIES.values(), ids=CAPACITIES.keys()
)
def test_a_hit_reports_zero_capacity_if_it_was_requested(
    filled_with: str,
    asked: dict[str, Any],
    expected: Callable[[str], Any],
    world: World,
    client: Any,
) -> None:
    table = world.table("pk:S")
    key = wire({"pk": "a"})
    client.get_item(TableName=table, Key=key, **CAPACITIES[filled_with][0])
    with world.counting() as reached:
        hit = client.get_item(TableName=table, Key=key, **asked)
    assert reached == {}
    assert hit.get("ConsumedCapacity") == expected(table)


# --- time to live ------------------------------------------------------------------


@every_store
@readers
def test_an_entry_lives_for_its_ttl_and_no_longer(
    operation: str, read: Reader, world: World, client: Any, resource: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a")
    with world.counting() as reached:
        read(client, resource, table)
        world.clock.advance(TTL - 0.2)
        read(client, resource, table)
    assert reached == {operation: 1}
    world.clock.advance(0.2)
    with world.counting() as reached:
        read(client, resource, table)
        read(client, resource, table)
    assert reached == {operation: 1}


def test_the_ttl_runs_from_the_read_and_not_from_the_last_hit(
    world: World, table: str, client: Any
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    put(world.outside, table, pk="a", n=2)
    for _ in range(3):
        world.clock.advance(19)
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    world.clock.advance(TTL - 57)
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}


@every_store
def test_a_missing_item_is_cached_for_the_negative_ttl(
    world: World, table: str, client: Any
) -> None:
    with world.counting() as reached:
        assert [get(client, table, pk="a") for _ in range(2)] == [None, None]
        world.clock.advance(NEGATIVE_TTL - 0.2)
        assert get(client, table, pk="a") is None
    assert reached == {"GetItem": 1}
    put(world.outside, table, pk="a", n=1)
    world.clock.advance(0.2)
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}


def test_with_a_negative_ttl_of_zero_no_missing_item_is_cached(
    world: World, table: str
) -> None:
    client = world.cached_client(negative_ttl=0)
    put(world.outside, table, pk="a")
    with world.counting() as reached:
        for pk in "aabb":
            get(client, table, pk=pk)
    assert reached == {"GetItem": 3}


# --- reads that are not served -----------------------------------------------------


@readers
def test_a_consistent_read_is_never_served_but_fills(
    operation: str, read: Reader, world: World, client: Any, resource: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    read(client, resource, table)

    def make_consistent(params: dict[str, Any], **_: Any) -> None:
        params["ConsistentRead"] = True

    event = f"provide-client-params.dynamodb.{operation}"
    for events in (client.meta.events, resource.meta.client.meta.events):
        events.register(event, make_consistent)
    put(world.outside, table, pk="a", n=2)
    with world.counting() as reached:
        consistent = [answer_of(read(client, resource, table)) for _ in range(2)]
    assert reached == {operation: 2}
    for events in (client.meta.events, resource.meta.client.meta.events):
        events.unregister(event, make_consistent)
    with world.counting() as reached:
        assert answer_of(read(client, resource, table)) == consistent[0]
    assert reached == {}
    assert "'2'" in repr(consistent[0])


def test_an_explicitly_eventual_read_is_the_same_as_a_plain_one(
    world: World, table: str, client: Any
) -> None:
    get(client, table, pk="a")
    with world.counting() as reached:
        key = wire({"pk": "a"})
        client.get_item(TableName=table, Key=key, ConsistentRead=False)
    assert reached == {}


ERRORS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "GetItem, no such table": (
        "ResourceNotFoundException",
        lambda client, _: get(client, "no-such-table", pk="a"),
    ),
    "Query, no such table": (
        "ResourceNotFoundException",
        lambda client, _: query(client, "no-such-table", pk="a"),
    ),
    "GetItem, wrong key": (
        "ValidationException",
        lambda client, table: get(client, table, other="a"),
    ),
    "Query, wrong key": (
        "ValidationException",
        lambda client, table: query(client, table, other="a"),
    ),
}


@pytest.mark.parametrize(("code", "read"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_is_never_cached(
    code: str,
    read: Callable[[Any, str], Any],
    world: World,
    table: str,
    client: Any,
) -> None:
    with world.counting() as reached:
        for _ in range(2):
            with pytest.raises(ClientError) as raised:
                read(client, table)
            assert raised.value.response["Error"]["Code"] == code
    assert sum(reached.values()) == 2


def test_a_table_that_was_missing_is_found_as_soon_as_it_exists(
    world: World, client: Any
) -> None:
    name = "appears-" + str(id(world))
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        get(client, name, pk="a")
    world.table("pk:S", name=name)
    assert get(client, name, pk="a") is None


PASSED_THROUGH: dict[str, Callable[[Any, str], Any]] = {
    "TransactGetItems": lambda client, table: [
        part["Item"]
        for part in client.transact_get_items(
            TransactItems=[{"Get": {"TableName": table, "Key": wire({"pk": "a"})}}]
        )["Responses"]
    ],
    "ExecuteStatement": lambda client, table: client.execute_statement(
        Statement=f"SELECT * FROM \"{table}\" WHERE pk = 'a'"
    )["Items"],
    "BatchExecuteStatement": lambda client, table: [
        part["Item"]
        for part in client.batch_execute_statement(
            Statements=[{"Statement": f"SELECT * FROM {table} WHERE pk = 'a'"}]
        )["Responses"]
    ],
}


@pytest.mark.parametrize("operation", PASSED_THROUGH)
def test_other_reads_pass_through_and_evict_nothing(
    operation: str, world: World, table: str, client: Any
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    with world.counting() as reached:
        for _ in range(2):
            items = PASSED_THROUGH[operation](client, table)
            assert items == [wire({"pk": "a", "n": 1})]
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    assert reached == {operation: 2}


# --- pages and indexes -------------------------------------------------------------


def test_a_paginator_is_answered_page_by_page(world: World, client: Any) -> None:
    table = world.table("pk:S", "sk:N")
    for n in range(7):
        put(world.outside, table, pk="a", sk=n)
    parameters = query_parameters(table, None, pk="a")

    def pages() -> list[Any]:
        paginator = client.get_paginator("query")
        pages = paginator.paginate(**parameters, PaginationConfig={"PageSize": 2})
        return [answer_of(page) for page in pages]

    with world.counting() as reached:
        first = pages()
    assert reached == {"Query": 4}
    with world.counting() as reached:
        assert pages() == first
    assert reached == {}
    assert [len(page["Items"]) for page in first] == [2, 2, 2, 1]


def test_a_paginator_starts_at_its_starting_token(world: World, client: Any) -> None:
    table = world.table("pk:S", "sk:N")
    for n in range(5):
        put(world.outside, table, pk="a", sk=n)
    paginator = client.get_paginator("query")

    def some(**config: Any) -> Any:
        return paginator.paginate(
            **query_parameters(table, None, pk="a"),
            PaginationConfig={"MaxItems": 2, "PageSize": 2, **config},
        ).build_full_result()

    with world.counting() as reached:
        first = some()
        second = some(StartingToken=first["NextToken"])
        assert some() == first
        assert some(StartingToken=first["NextToken"]) == second
    assert reached == {"Query": 2}
    assert [item["sk"]["N"] for item in second["Items"]] == ["2", "3"]


def test_queries_on_indexes_are_hits(world: World, client: Any) -> None:
    table = indexed_table(world)
    put(world.outside, table, pk="a", sk=1, color="red", size=5)
    with world.counting() as reached:
        for _ in range(2):
            assert query_index(client, table, "by_color", color="red")[0]["sk"] == 1
            assert query_index(client, table, "by_size", pk="a", size=5)[0]["sk"] == 1
            assert query(client, table, pk="a")[0]["sk"] == 1
    assert reached == {"Query": 3}


def indexed_table(world: World) -> str:
    """Create a table with a global and a local index."""
    everything = {"ProjectionType": "ALL"}
    return world.table(
        "pk:S",
        "sk:N",
        AttributeDefinitions=[
            {"AttributeName": "color", "AttributeType": "S"},
            {"AttributeName": "size", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_color",
                "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}],
                "Projection": everything,
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by_size",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "size", "KeyType": "RANGE"},
                ],
                "Projection": everything,
            }
        ],
    )


# --- other people's handlers -------------------------------------------------------

AFTER_CALL = (
    "after-call",
    "after-call.*",
    "after-call.*.*",
    "after-call.*.GetItem",
    "after-call.dynamodb",
    "after-call.dynamodb.*",
    "after-call.dynamodb.GetItem",
)


@pytest.mark.parametrize("event", AFTER_CALL)
def test_a_handler_that_reads_the_http_response_can_do_so_on_a_hit(
    event: str, world: World, client: Any
) -> None:
    table = world.table("pk:S")
    seen: list[tuple[int, str | None, bool, str]] = []

    def look(http_response: Any, **_: Any) -> None:
        marked = http_response.headers.get("X-Botocache")
        is_empty = not http_response.content and not http_response.text
        url = http_response.url
        seen.append((http_response.status_code, marked, is_empty, url))

    client.meta.events.register(event, look)
    _get_twice(client, table)
    (*miss, first_url), (*hit, second_url) = seen
    assert miss == [200, None, False]
    assert hit == [200, "hit", True]
    assert first_url.rstrip("/") == second_url.rstrip("/") == world.dynamodb.url


@pytest.mark.parametrize("event", AFTER_CALL)
def test_a_handler_that_rewrites_an_answer_does_so_once(
    event: str, world: World, client: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)

    def add_one(parsed: dict[str, Any], **_: Any) -> None:
        number = parsed["Item"]["n"]
        number["N"] = str(int(number["N"]) + 1)

    client.meta.events.register(event, add_one)
    assert [get(client, table, pk="a") for _ in range(3)] == [{"pk": "a", "n": 2}] * 3


@pytest.mark.parametrize(
    "event",
    [
        "before-call",
        "before-call.*",
        "before-call.*.*",
        "before-call.dynamodb",
        "before-call.dynamodb.*",
        "before-call.dynamodb.GetItem",
    ],
)
def test_a_handler_that_changes_a_request_is_honoured(
    event: str, world: World, client: Any
) -> None:
    table = world.table("pk:S")
    for n, pk in enumerate("ab"):
        put(world.outside, table, pk=pk, n=n)
    assert get(client, table, pk="a") == {"pk": "a", "n": 0}

    def ask_for_b(params: dict[str, Any], **_: Any) -> None:
        params["body"] = params["body"].replace(b'"a"', b'"b"')

    client.meta.events.register(event, ask_for_b)
    assert [get(client, table, pk="a") for _ in range(2)] == [{"pk": "b", "n": 1}] * 2
    client.meta.events.unregister(event, ask_for_b)
    assert get(client, table, pk="a") == {"pk": "a", "n": 0}


# --- sizes -------------------------------------------------------------------------


@every_store
def test_an_answer_that_is_too_large_is_right_and_evicts_no_other_entry(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_database, "LARGEST_ENTRY", 20_000)
    monkeypatch.setattr(commands, "UNPACKED_LIMIT", 20_000)
    small_store: Store = world.store
    if isinstance(small_store, MemoryStore):
        small_store = MemoryStore(clock=world.clock, size_limit=20_000)
    session = world.session()
    cache = botocache.install(session, url=small_store)
    client = world.client(session)
    put(world.outside, table, pk="small", text="x")
    put(world.outside, table, pk="large", text="x" * 30_000)
    get(client, table, pk="small")
    with world.counting() as reached:
        for _ in range(2):
            item = get(client, table, pk="large")
            assert item is not None
            assert len(item["text"]) == 30_000
        assert get(client, table, pk="small") == {"pk": "small", "text": "x"}
    assert reached == {"GetItem": 2}
    assert cache.stats().failures == {}


@every_store
def test_a_large_page_is_a_hit(world: World, client: Any) -> None:
    table = world.table("pk:S", "sk:N")
    for n in range(3):
        put(world.outside, table, pk="a", sk=n, text="x" * 300_000)
    with world.counting() as reached:
        first, second = query(client, table, pk="a"), query(client, table, pk="a")
    assert reached == {"Query": 1}
    assert second == first
    assert len(first) == 3


def test_every_hit_and_miss_is_counted(table: str, client: Any, cache: Cache) -> None:
    for pk in "aabba":
        get(client, table, pk=pk)
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.fills) == (3, 2, 2)
    assert stats.hit_ratio == pytest.approx(0.6)
