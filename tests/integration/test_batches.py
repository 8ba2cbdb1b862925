"""BatchGetItem key by key: only misses are requested, and every key is answered."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

import botocache
from botocache import Cache
from tests.integration.app import (
    NEGATIVE_TTL,
    TTL,
    World,
    answer_of,
    delete,
    every_store,
    get,
    put,
    set_n,
    wire,
)
from tests.integration.batched import Sent, Throttling, batch, fill, keys_of
from tests.support.network import intercept


@every_store
def test_three_of_ten_keys_are_requested_if_seven_are_cached(
    world: World, client: Any, cache: Cache, table: str
) -> None:
    fill(world, table, *"abcdefghij")
    batch(client, table, *"abcdefg")
    sent = Sent(client)
    with world.counting() as reached:
        items = batch(client, table, *"abcdefghij")
    assert reached == {"BatchGetItem": 1}
    assert sent.requests == [{table: ["h", "i", "j"]}]
    assert [item["pk"] for item in items] == list("abcdefghij")
    assert cache.stats().hits == 7
    with world.counting() as reached:
        assert batch(client, table, *"jihgfedcba") == items[::-1]
    assert reached == {}


@every_store
def test_get_and_batch_share_their_entries(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a", "b")
    get(client, table, pk="a")
    batch(client, table, "b")
    with world.counting() as reached:
        assert len(batch(client, table, "a", "b")) == 2
        assert get(client, table, pk="b") == {"pk": "b", "n": 98, "text": "item b"}
    assert reached == {}


def test_clients_and_resources_share_them_and_each_has_its_own_form(
    world: World, client: Any, resource: Any, table: str
) -> None:
    fill(world, table, "a")
    batch(client, table, "a")
    with world.counting() as reached:
        answer = resource.batch_get_item(RequestItems={table: {"Keys": [{"pk": "a"}]}})
    assert reached == {}
    assert answer["Responses"][table] == [{"pk": "a", "n": 97, "text": "item a"}]
    answer["Responses"][table][0]["n"] = "changed by its caller"
    assert batch(client, table, "a")[0]["n"] == 97


def test_an_absent_item_is_cached_for_the_negative_ttl(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a")
    assert len(batch(client, table, "a", "x")) == 1
    with world.counting() as reached:
        assert len(batch(client, table, "a", "x")) == 1
        assert get(client, table, pk="x") is None
    assert reached == {}
    world.clock.advance(NEGATIVE_TTL)
    sent = Sent(client)
    batch(client, table, "a", "x")
    assert sent.requests == [{table: ["x"]}]


def test_nothing_found_is_an_empty_list_as_dynamodb_says_it(
    world: World, client: Any, table: str
) -> None:
    asked = {"RequestItems": {table: keys_of("x", "y")}}
    first = client.batch_get_item(**asked)
    with world.counting() as reached:
        second = client.batch_get_item(**asked)
    assert reached == {}
    assert (
        answer_of(second)
        == answer_of(first)
        == answer_of(world.outside.batch_get_item(**asked))
    )


def test_each_table_is_asked_for_its_misses(world: World, client: Any) -> None:
    one, other, third = (world.table("pk:S") for _ in range(3))
    for table in (one, other, third):
        fill(world, table, "a", "b")
    batch(client, one, "a", "b")
    batch(client, other, "a")
    asked = {
        "RequestItems": {table: keys_of("a", "b") for table in (one, other, third)},
        "ReturnConsumedCapacity": "TOTAL",
    }
    sent = Sent(client)
    answer = client.batch_get_item(**asked)
    assert sent.requests == [{other: ["b"], third: ["a", "b"]}]
    assert answer_of(answer) == answer_of(world.outside.batch_get_item(**asked))
    consumed = {c["TableName"]: c["CapacityUnits"] for c in answer["ConsumedCapacity"]}
    assert consumed.keys() == {one, other, third}
    assert consumed[one] == 0.0
    with world.counting() as reached:
        again = client.batch_get_item(**asked)
    assert reached == {}
    assert {c["CapacityUnits"] for c in again["ConsumedCapacity"]} == {0.0}
    assert again["ResponseMetadata"]["HTTPHeaders"]["x-botocache"] == "hit"


@every_store
def test_a_write_evicts_its_key_of_a_batch_alone(world: World, table: str) -> None:
    client = world.cached_client(writes_through=False)
    fill(world, table, "a", "b", "c")
    batch(client, table, "a", "b", "c")
    set_n(client, table, 7, pk="b")
    sent = Sent(client)
    assert [item["n"] for item in batch(client, table, "a", "b", "c")] == [97, 7, 99]
    assert sent.requests == [{table: ["b"]}]
    delete(client, table, pk="a")
    assert [item["n"] for item in batch(client, table, "a", "b", "c")] == [7, 99]


def test_strongly_consistent_batches_go_to_dynamodb_and_refresh_the_entries(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a", "b")
    batch(client, table, "a")
    put(world.outside, table, pk="a", n=1)
    with world.counting() as reached:
        assert [
            i["n"] for i in batch(client, table, "a", "b", ConsistentRead=True)
        ] == [
            1,
            98,
        ]
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    assert reached == {"BatchGetItem": 1}


def test_each_table_is_consistent_or_not_by_itself(world: World, client: Any) -> None:
    one, other = world.table("pk:S"), world.table("pk:S")
    fill(world, one, "a")
    fill(world, other, "a")
    asked = {one: keys_of("a", ConsistentRead=True), other: keys_of("a")}
    client.batch_get_item(RequestItems=asked)
    sent = Sent(client)
    answer = client.batch_get_item(RequestItems=asked)
    assert sent.requests == [{one: ["a"]}]
    assert len(answer["Responses"][one]) == len(answer["Responses"][other]) == 1


# --- keys that are not processed ---------------------------------------------------


def test_unprocessed_keys_are_passed_on_and_never_filled(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a")
    get(client, table, pk="a")
    throttling = Throttling(client, table, "c", "d")
    answer = client.batch_get_item(RequestItems={table: keys_of(*"abcd")})
    assert [item["pk"]["S"] for item in answer["Responses"][table]] == ["a", "b"]
    left = answer["UnprocessedKeys"]
    assert left == {table: {"Keys": [wire({"pk": "c"}), wire({"pk": "d"})]}}
    throttling.keys = set()
    answer = client.batch_get_item(RequestItems=left)
    assert [item["n"]["N"] for item in answer["Responses"][table]] == ["99", "100"]
    with world.counting() as reached:
        assert len(batch(client, table, *"abcd")) == 4
    assert reached == {}


def test_a_loop_until_all_is_processed_ends_with_every_item(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, *"abc")
    get(client, table, pk="a")
    throttling = Throttling(client, table, "c")
    asked: Mapping[str, Any] = {table: keys_of(*"abc")}
    found = []
    while asked:
        answer = client.batch_get_item(RequestItems=asked)
        found += [item["pk"]["S"] for item in answer["Responses"].get(table, [])]
        asked = answer["UnprocessedKeys"]
        throttling.keys = set()
    assert sorted(found) == ["a", "b", "c"]


# --- what DynamoDB refuses ---------------------------------------------------------

REFUSED: dict[str, dict[str, Any]] = {
    "a key twice": keys_of("a", "a"),
    "over a hundred keys": keys_of("a", *(f"k{n}" for n in range(100))),
    "a key that is none": {"Keys": [wire({"pk": "a"}), wire({"other": "b"})]},
    "a reserved word": keys_of("a", ProjectionExpression="size"),
    "two kinds of projection": keys_of(
        "a", ProjectionExpression="n", AttributesToGet=["n"]
    ),
}


def outcome(client: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the answer or the error."""
    try:
        return answer_of(client.batch_get_item(RequestItems=asked))
    except ClientError as error:
        return dict(error.response["Error"])


@pytest.mark.parametrize("part", REFUSED.values(), ids=REFUSED)
def test_a_batch_that_dynamodb_refuses_fails_although_a_key_is_cached(
    part: dict[str, Any], world: World, client: Any, table: str
) -> None:
    fill(world, table, "a")
    get(client, table, pk="a")
    batch(client, table, "a")
    asked = {table: part}
    assert outcome(client, asked) == outcome(world.outside, asked)


def test_an_error_of_the_rest_is_the_error_of_the_call(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a")
    get(client, table, pk="a")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.batch_get_item(
            RequestItems={table: keys_of("a"), "no-such-table": keys_of("a")}
        )
    assert len(batch(client, table, "a")) == 1


# --- projections -------------------------------------------------------------------


def test_a_projection_is_answered_from_whole_items(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a", "b")
    batch(client, table, "a", "b")
    with world.counting() as reached:
        assert batch(client, table, "b", "a", ProjectionExpression="n, pk") == [
            {"pk": "b", "n": 98},
            {"pk": "a", "n": 97},
        ]
    assert reached == {}


def test_a_projection_with_the_key_is_cached_for_gets_of_the_same(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a", "b")
    batch(client, table, "a", "b", ProjectionExpression="pk, n")
    with world.counting() as reached:
        answer = client.get_item(
            TableName=table, Key=wire({"pk": "a"}), AttributesToGet=["n", "pk"]
        )
    assert answer["Item"] == wire({"pk": "a", "n": 97})
    assert reached == {}


def test_a_projection_without_the_key_is_right_although_it_is_not_cached(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a", "b", "c")
    get(client, table, pk="b")
    for _ in range(2):
        items = batch(client, table, "a", "b", "c", ProjectionExpression="n")
        assert sorted(item["n"] for item in items) == [97, 98, 99]


# --- modes and policies ------------------------------------------------------------


def test_bypass_and_refresh_request_every_key(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a", "b")
    batch(client, table, "a", "b")
    put(world.outside, table, pk="a", n=1)
    sent = Sent(client)
    with botocache.bypass():
        assert batch(client, table, "a", "b")[0]["n"] == 1
    assert batch(client, table, "a", "b")[0]["n"] == 97
    with botocache.refresh():
        assert batch(client, table, "a", "b")[0]["n"] == 1
    assert batch(client, table, "a", "b")[0]["n"] == 1
    assert sent.requests == [{table: ["a", "b"]}] * 2


def test_a_table_that_is_off_goes_to_dynamodb_and_the_other_one_is_cached(
    world: World,
) -> None:
    one, other = world.table("pk:S"), world.table("pk:S")
    client = world.cached_client(tables={one: "off"})
    fill(world, one, "a")
    fill(world, other, "a")
    asked = {one: keys_of("a"), other: keys_of("a")}
    client.batch_get_item(RequestItems=asked)
    sent = Sent(client)
    answer = client.batch_get_item(RequestItems=asked)
    assert sent.requests == [{one: ["a"]}]
    assert len(answer["Responses"][one]) == len(answer["Responses"][other]) == 1


def test_a_batch_that_is_under_way_when_the_cache_is_uninstalled_has_its_hits(
    world: World, table: str
) -> None:
    client = world.client(world.session())
    botocache.install(client, url=world.store)
    fill(world, table, "a", "b")
    get(client, table, pk="a")
    intercept(
        client,
        "before-send.dynamodb.BatchGetItem",
        lambda **_: botocache.uninstall(client),
    )
    assert [item["pk"] for item in batch(client, table, "a", "b")] == ["a", "b"]


def test_an_entry_of_a_batch_lives_as_long_as_any_other(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, "a")
    batch(client, table, "a")
    world.clock.advance(TTL)
    with world.counting() as reached:
        batch(client, table, "a")
    assert reached == {"BatchGetItem": 1}
