"""Scans: page by page, evicted by any write, and no danger to all other entries."""

from typing import Any

import pytest

import botocache
from tests.integration.app import (
    World,
    answer_of,
    every_store,
    get,
    put,
    set_n,
)

LARGE = "x" * 20_000


def fill(world: World, table: str, number: int = 4, text: str = "") -> None:
    """Put items around the cache."""
    for n in range(number):
        put(world.outside, table, pk=f"k{n}", n=n, text=text)


def scan_all(client: Any, table: str, **parameters: Any) -> list[Any]:
    """Return all items, in pages."""
    pages = client.get_paginator("scan").paginate(TableName=table, **parameters)
    return [item for page in pages for item in page["Items"]]


PARAMETERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "in pages": {"PaginationConfig": {"PageSize": 3}},
    "one segment": {"Segment": 1, "TotalSegments": 3},
    "filtered": {
        "FilterExpression": "#n > :n",
        "ExpressionAttributeNames": {"#n": "n"},
        "ExpressionAttributeValues": {":n": {"N": "1"}},
    },
    "projected": {"ProjectionExpression": "pk, n"},
}


@every_store
@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_a_scan_is_answered_from_the_cache_until_any_item_is_written(
    parameters: dict[str, Any], world: World, client: Any, table: str
) -> None:
    fill(world, table)
    first = scan_all(client, table, **parameters)
    with world.counting() as reached:
        assert scan_all(client, table, **parameters) == first
    assert reached == {}
    set_n(client, table, 9, pk="k3")
    after = scan_all(client, table, **parameters)
    assert after == scan_all(world.outside, table, **parameters)


def test_each_segment_of_a_scan_has_an_entry_of_its_own(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, 8)
    for _ in range(2):
        with world.counting() as reached:
            found = [
                item["pk"]["S"]
                for segment in range(3)
                for item in client.scan(
                    TableName=table, Segment=segment, TotalSegments=3
                )["Items"]
            ]
        assert sorted(found) == [f"k{n}" for n in range(8)]
    assert reached == {}


def test_a_count_and_a_scan_have_entries_of_their_own(
    world: World, client: Any, table: str
) -> None:
    fill(world, table)
    client.scan(TableName=table)
    for _ in range(2):
        with world.counting() as reached:
            counted = client.scan(TableName=table, Select="COUNT")
    assert reached == {}
    assert answer_of(counted) == {"Count": 4, "ScannedCount": 4}


@every_store
def test_a_page_over_the_size_limit_is_never_kept(
    world: World, client: Any, table: str
) -> None:
    fill(world, table, text=LARGE)
    for _ in range(3):
        with world.counting() as reached:
            scan_all(client, table)
        assert reached.total() == 1


@pytest.mark.parametrize(("limit", "sent"), [("1MiB", 0), (80_000, 1), (90_000, 0)])
def test_each_table_has_its_own_size_limit(
    limit: Any, sent: int, world: World, table: str
) -> None:
    client = world.cached_client(tables={table: {"scan_size_limit": limit}})
    fill(world, table, text=LARGE)  # four items: 80 KB of text
    scan_all(client, table)
    with world.counting() as reached:
        scan_all(client, table)
    assert reached.total() == sent


def test_a_pass_over_a_large_table_drops_no_other_entries(
    world: World, table: str
) -> None:
    store = botocache.stores.memory.MemoryStore(size_limit=2**20, clock=world.clock)
    session = world.session()
    botocache.install(session, url=store)
    client = world.client(session)
    fill(world, table, 70, text=LARGE)
    get(client, table, pk="k1")
    scan_all(client, table, PaginationConfig={"PageSize": 10})
    with world.counting() as reached:
        get(client, table, pk="k1")
    assert reached == {}


def test_a_scan_of_an_index_is_evicted_by_any_write(world: World, client: Any) -> None:
    table = world.table(
        "pk:S",
        AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-g",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    put(world.outside, table, pk="a", g="1")
    for _ in range(2):
        with world.counting() as reached:
            assert len(scan_all(client, table, IndexName="by-g")) == 1
    assert reached == {}
    put(client, table, pk="b", g="1")
    assert len(scan_all(client, table, IndexName="by-g")) == 2
