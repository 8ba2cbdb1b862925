"""What a reader is served of a table that is followed, and of one that no longer is.

The follower's posts are made by the tests: nothing is evicted, so that what a hit shows
tells whether it was trusted.
"""

from typing import Any

import boto3
import pytest

import botocache
from botocache import Cache
from botocache._botocore.requests import origin
from tests.integration.app import World, every_store, get, put, query_index, wire
from tests.integration.test_lowered_ttl import READS, how_often_sent, write_around

TTL, UNFOLLOWED, TRUST = 3600, 20, 10

each_way = pytest.mark.parametrize("near", ["on", "off"])


class Reader:
    """A service that trusts a long TTL only while a table is followed."""

    def __init__(self, world: World, **settings: Any) -> None:
        session: boto3.Session = world.session()
        settings = {"ttl": TTL, "ttl_unfollowed": UNFOLLOWED, **settings}
        self.cache: Cache = botocache.install(session, url=world.store, **settings)
        self.client: Any = world.client(session)
        self._world = world

    def follow(self, table: str) -> None:
        """Post that all changes until now are evicted, as a follower does."""
        # Any process may post: they share the store.
        region = self.client.meta.region_name
        self.cache._services.heartbeats.post(region, table, self._world.clock())


@pytest.fixture
def table(world: World) -> str:
    """A table with two items, n=1."""
    name = world.table("pk:S")
    write_around(world, name, 1)
    return name


@every_store
@each_way
@pytest.mark.parametrize("name", READS)
def test_an_entry_outlives_the_short_ttl_only_while_its_table_is_followed(
    name: str, near: Any, world: World, table: str
) -> None:
    reader, read = Reader(world, near=near), READS[name]
    client = reader.client
    get(client, table, pk="a")  # from which projections are served
    first = read(client, table)
    write_around(world, table, 2)
    for _ in range(6):
        world.clock.advance(UNFOLLOWED / 4)
        reader.follow(table)
        for _ in range(3):  # by way of the store, then from memory
            assert read(client, table) == first
    world.clock.advance(TRUST - 0.1)  # the follower is dead
    assert read(client, table) == first
    world.clock.advance(0.2)
    assert how_often_sent(world, lambda: read(client, table)) == 1
    assert read(client, table) == read(world.outside, table) != first


@every_store
@each_way
def test_without_a_follower_the_short_ttl_is_what_counts(
    near: Any, world: World, table: str
) -> None:
    client = Reader(world, near=near).client
    first = get(client, table, pk="a")
    write_around(world, table, 2)
    world.clock.advance(UNFOLLOWED - 0.1)
    for _ in range(3):
        assert get(client, table, pk="a") == first
    world.clock.advance(0.2)
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}


@each_way
def test_while_it_is_followed_an_entry_lives_no_longer_than_the_ttl(
    near: Any, world: World, table: str
) -> None:
    reader = Reader(world, near=near, ttl=25)
    get(reader.client, table, pk="a")
    write_around(world, table, 2)
    world.clock.advance(24.9)
    reader.follow(table)
    for _ in range(3):
        assert get(reader.client, table, pk="a") == {"pk": "a", "n": 1}
    world.clock.advance(0.2)
    assert get(reader.client, table, pk="a") == {"pk": "a", "n": 2}


@each_way
def test_an_absent_item_lives_no_longer_than_the_short_ttl_either(
    near: Any, world: World, table: str
) -> None:
    client = Reader(world, near=near, negative_ttl=100).client
    assert get(client, table, pk="c") is None
    put(world.outside, table, pk="c", n=1)
    world.clock.advance(UNFOLLOWED + 0.1)
    assert get(client, table, pk="c") == {"pk": "c", "n": 1}


def test_the_heartbeat_of_another_region_counts_for_nothing(
    world: World, table: str
) -> None:
    reader = Reader(world)
    get(reader.client, table, pk="a")
    write_around(world, table, 2)
    world.clock.advance(UNFOLLOWED + 0.1)
    heartbeats = reader.cache._services.heartbeats
    heartbeats.post("mars-north-1", table, world.clock())
    assert get(reader.client, table, pk="a") == {"pk": "a", "n": 2}


def test_the_region_of_a_call_begins_its_origin() -> None:
    assert origin("https://example.org", "us-east-1").partition(" ")[0] == "us-east-1"


def test_a_table_may_have_a_short_ttl_of_its_own(world: World, table: str) -> None:
    reader = Reader(world, tables={table: {"ttl_unfollowed": 5}})
    get(reader.client, table, pk="a")
    write_around(world, table, 2)
    world.clock.advance(5.1)
    assert get(reader.client, table, pk="a") == {"pk": "a", "n": 2}


def test_a_process_without_the_setting_goes_by_its_ttl_alone(
    world: World, table: str
) -> None:
    reader = Reader(world, ttl_unfollowed=None)
    get(reader.client, table, pk="a")
    write_around(world, table, 2)
    world.clock.advance(TTL - 0.1)
    assert get(reader.client, table, pk="a") == {"pk": "a", "n": 1}


def test_what_no_follower_evicts_is_never_trusted(world: World) -> None:
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
    put(world.outside, table, pk="a", g="x", n=1)
    reader = Reader(world, tables={"*": {"index_queries": "ttl_only"}})
    first = query_index(reader.client, table, "by-g", g="x")
    put(world.outside, table, pk="a", g="x", n=2)
    world.clock.advance(UNFOLLOWED + 0.1)
    reader.follow(table)
    assert query_index(reader.client, table, "by-g", g="x") != first


@every_store
def test_a_cleared_store_is_unfollowed_until_the_next_post(
    world: World, table: str
) -> None:
    reader = Reader(world)
    reader.follow(table)
    reader.cache.clear()
    get(reader.client, table, pk="a")
    write_around(world, table, 2)
    world.clock.advance(UNFOLLOWED + 0.1)
    assert get(reader.client, table, pk="a") == {"pk": "a", "n": 2}
    write_around(world, table, 3)
    world.clock.advance(UNFOLLOWED + 0.1)
    reader.follow(table)
    assert get(reader.client, table, pk="a") == {"pk": "a", "n": 2}


def test_the_store_is_asked_once_more_when_trust_ends_and_else_not(
    world: World, table: str
) -> None:
    reader = Reader(world, near="off")
    get(reader.client, table, pk="a")
    loads: list[bytes] = []
    load = world.store.load

    def counted(key: bytes, tags: Any) -> Any:
        loads.append(key)
        return load(key, tags)

    world.store.load = counted  # type: ignore[method-assign]  # to count
    for _ in range(20):
        reader.follow(table)
        world.clock.advance(1.0)
        reader.client.get_item(TableName=table, Key=wire({"pk": "a"}))
    heartbeats = len(loads) - 20
    assert 2 <= heartbeats <= 3
