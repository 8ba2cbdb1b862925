"""Index queries by images: a write evicts those that its item was or is in, no others.

For `precise_index_eviction`; without it every write evicts all index queries of its
table, which test_writes.py holds.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

import botocache
from tests.integration.app import (
    World,
    delete,
    every_store,
    get,
    put,
    query_index,
    wire,
)
from tests.support.network import intercept

GROUPS = ("one", "two", "three")


def make_table(world: World) -> str:
    """Create a table with an index on `g`, and an item in each group."""
    table = world.table(
        "pk:S",
        AttributeDefinitions=[
            {"AttributeName": "g", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": f"by-{attribute}",
                "KeySchema": [{"AttributeName": attribute, "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
            for attribute in ("g", "n")
        ],
    )
    for n, group in enumerate(GROUPS):
        put(world.outside, table, pk=f"k{n}", g=group, n=n)
    return table


def ask(client: Any, table: str) -> dict[str, list[str]]:
    """Query each group; return the keys found in each."""
    return {
        group: sorted(
            item["pk"] for item in query_index(client, table, "by-g", g=group)
        )
        for group in GROUPS
    }


def _update(client: Any, table: str, expression: str, **values: Any) -> None:
    client.update_item(
        TableName=table,
        Key=wire({"pk": "k0"}),
        UpdateExpression=expression,
        **(
            {"ExpressionAttributeValues": wire({f":{k}": v for k, v in values.items()})}
            if values
            else {}
        ),
    )


Write = Callable[[Any, str], Any]

PRECISE: dict[str, tuple[Write, int]] = {
    "a put that moves": (lambda c, t: put(c, t, pk="k0", g="two", n=0), 2),
    "a put that stays": (lambda c, t: put(c, t, pk="k0", g="one", n=7), 1),
    "a put of a new item": (lambda c, t: put(c, t, pk="new", g="three"), 1),
    "a put that leaves the index": (lambda c, t: put(c, t, pk="k0", n=0), 1),
    "a delete": (lambda c, t: delete(c, t, pk="k0"), 1),
    "a delete of nothing": (lambda c, t: delete(c, t, pk="nothing"), 0),
    "an update that moves": (lambda c, t: _update(c, t, "SET g = :g", g="two"), 2),
    "an update that stays": (lambda c, t: _update(c, t, "SET v = :v", v=1), 1),
    "an update that counts": (lambda c, t: _update(c, t, "ADD n :v", v=1), 1),
    "an update that leaves": (lambda c, t: _update(c, t, "REMOVE g"), 1),
    "an update that asks for the old item": (
        lambda c, t: c.update_item(
            TableName=t,
            Key=wire({"pk": "k0"}),
            UpdateExpression="REMOVE v",
            ReturnValues="ALL_OLD",
        ),
        1,
    ),
}

COARSE: dict[str, Write] = {
    "a batch": lambda c, t: c.batch_write_item(
        RequestItems={t: [{"DeleteRequest": {"Key": wire({"pk": "k0"})}}]}
    ),
    "an update that asks for something else": lambda c, t: c.update_item(
        TableName=t,
        Key=wire({"pk": "k0"}),
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"N": "1"}},
        ReturnValues="ALL_NEW",
    ),
    "an update in the legacy form": lambda c, t: c.update_item(
        TableName=t,
        Key=wire({"pk": "k0"}),
        AttributeUpdates={"v": {"Value": {"N": "1"}, "Action": "PUT"}},
    ),
}


@pytest.fixture
def client(world: World) -> Any:
    """A client with precise index eviction."""
    return world.cached_client(precise_index_eviction=True)


@pytest.fixture
def indexed(world: World, client: Any) -> str:
    """A table with known key attributes and all index queries cached."""
    table = make_table(world)
    get(client, table, pk="k0")
    for _ in range(2):
        assert ask(client, table) == {"one": ["k0"], "two": ["k1"], "three": ["k2"]}
    return table


@every_store
@pytest.mark.parametrize(("write", "expected"), PRECISE.values(), ids=PRECISE.keys())
def test_a_write_evicts_only_the_partitions_of_its_item(
    write: Write, expected: int, world: World, client: Any, indexed: str
) -> None:
    write(client, indexed)
    with world.counting() as reached:
        found = ask(client, indexed)
    assert found == ask(world.outside, indexed)
    assert reached.get("Query", 0) == expected


@every_store
@pytest.mark.parametrize("write", COARSE.values(), ids=COARSE.keys())
def test_a_write_without_known_images_evicts_all_index_queries(
    write: Write, world: World, client: Any, indexed: str
) -> None:
    write(client, indexed)
    with world.counting() as reached:
        found = ask(client, indexed)
    assert found == ask(world.outside, indexed)
    assert reached == {"Query": 3}


def test_a_writer_without_precise_index_eviction_evicts_all_index_queries(
    world: World, client: Any, indexed: str
) -> None:
    put(world.cached_client(precise_index_eviction=False), indexed, pk="k0", g="two")
    with world.counting() as reached:
        assert ask(client, indexed) == ask(world.outside, indexed)
    assert reached["Query"] == 6


@every_store
def test_a_write_that_overlaps_another_evicts_all_index_queries(
    world: World, client: Any, indexed: str
) -> None:
    other = world.cached_client(precise_index_eviction=True)

    def meanwhile(**_: Any) -> None:
        end()
        world.cached_client().update_item(
            TableName=indexed,
            Key=wire({"pk": "k1"}),
            UpdateExpression="SET g = :g",
            ExpressionAttributeValues={":g": {"S": "one"}},
        )

    end = intercept(client, "before-send.dynamodb.DeleteItem", meanwhile)
    delete(client, indexed, pk="k2")
    assert ask(other, indexed) == {"one": ["k0", "k1"], "two": [], "three": []}


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem"])
def test_the_application_never_sees_the_old_image_that_botocache_requested(
    operation: str, world: World, client: Any, indexed: str
) -> None:
    sent: list[str] = []
    intercept(
        client,
        f"before-send.dynamodb.{operation}",
        lambda request, **_: sent.append(json.loads(request.body)["ReturnValues"]),
    )
    subject: dict[str, Any] = {
        "Item" if operation == "PutItem" else "Key": wire({"pk": "k0"})
    }
    if operation == "UpdateItem":
        subject["UpdateExpression"] = "REMOVE n"
    method = {"PutItem": "put_item", "UpdateItem": "update_item"}.get(operation)
    answer = getattr(client, method or "delete_item")(TableName=indexed, **subject)
    assert sent == ["ALL_OLD"]
    assert "Attributes" not in answer


def test_an_application_that_requests_the_old_item_gets_it(
    world: World, client: Any, indexed: str
) -> None:
    answer = client.delete_item(
        TableName=indexed, Key=wire({"pk": "k0"}), ReturnValues="ALL_OLD"
    )
    assert answer["Attributes"] == wire({"pk": "k0", "g": "one", "n": 0})


def test_a_refused_write_evicts_all_index_queries(
    world: World, client: Any, indexed: str
) -> None:
    with pytest.raises(ClientError):
        client.delete_item(
            TableName=indexed,
            Key=wire({"pk": "k0"}),
            ConditionExpression="attribute_not_exists(pk)",
        )
    with world.counting() as reached:
        ask(client, indexed)
    assert reached == {"Query": 3}


def test_an_uninstallation_during_a_write_leaves_no_old_image_in_the_answer(
    world: World,
) -> None:
    table = make_table(world)
    client = world.client(world.session())
    botocache.install(client, url=world.store, precise_index_eviction=True)
    get(client, table, pk="k0")
    intercept(
        client,
        "before-send.dynamodb.DeleteItem",
        lambda **_: botocache.uninstall(client),
    )
    answer = client.delete_item(TableName=table, Key=wire({"pk": "k0"}))
    assert "Attributes" not in answer


POLICIES: dict[str, tuple[dict[str, str], int, list[str]]] = {
    "coherent": ({}, 3, ["k0", "k1"]),
    "ttl only": ({"index_queries": "ttl_only"}, 0, ["k0"]),
    "off": ({"index_queries": "off"}, 3, ["k0", "k1"]),
}


@pytest.mark.parametrize(
    ("options", "sent", "found"), POLICIES.values(), ids=POLICIES.keys()
)
def test_a_policy_sets_whether_index_queries_are_coherent(
    options: dict[str, str], sent: int, found: list[str], world: World
) -> None:
    client = world.cached_client(tables={"*": {"ttl": 60, **options}})
    table = make_table(world)
    get(client, table, pk="k0")
    for _ in range(2):
        ask(client, table)
    put(client, table, pk="k1", g="one")
    with world.counting() as reached:
        assert ask(client, table)["one"] == found
    assert reached.get("Query", 0) == sent
    client.update_table(TableName=table, BillingMode="PAY_PER_REQUEST")
    assert ask(client, table)["one"] == ["k0", "k1"]
