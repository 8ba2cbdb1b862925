"""A reader's own TTL bounds what it is served, whatever TTL the entry was filled under.

A deployment lowers a TTL, or two services have different ones, and share a store.
"""

from typing import Any

import boto3
import pytest

import botocache
from tests.integration.app import World, every_store, get, put, query, wire

LONG, SHORT = 3600, 10

each_way = pytest.mark.parametrize("near", ["on", "off"])


def reader(world: World, **settings: Any) -> Any:
    """Return a client of a service with these settings."""
    session: boto3.Session = world.session()
    botocache.install(session, url=world.store, **settings)
    return world.client(session)


def get_both(client: Any, table: str, *pks: str) -> list[Any]:
    """Return the items of a BatchGetItem, by their keys' order."""
    keys = [wire({"pk": pk}) for pk in pks]
    answer = client.batch_get_item(RequestItems={table: {"Keys": keys}})
    found = sorted(answer["Responses"][table], key=lambda item: str(item["pk"]))
    return [int(item["n"]["N"]) for item in found]


def project(client: Any, table: str) -> Any:
    """Return what is answered from the whole item, where that is cached."""
    answer = client.get_item(
        TableName=table, Key=wire({"pk": "a"}), ProjectionExpression="n"
    )
    return int(answer["Item"]["n"]["N"])


READS: dict[str, Any] = {
    "GetItem": lambda client, table: get(client, table, pk="a"),
    "Query": lambda client, table: query(client, table, pk="a"),
    "BatchGetItem": lambda client, table: get_both(client, table, "a", "b"),
    "projection": project,
}


@pytest.fixture
def table(world: World) -> str:
    """A table with two items, n=1."""
    name = world.table("pk:S")
    write_around(world, name, 1)
    return name


def write_around(world: World, table: str, n: int) -> None:
    """Write both items around every cache."""
    for pk in "ab":
        put(world.outside, table, pk=pk, n=n)


def how_often_sent(world: World, read: Any) -> int:
    with world.counting() as reached:
        read()
    return sum(reached.values())


@every_store
@each_way
@pytest.mark.parametrize("name", READS)
def test_no_reader_is_served_an_entry_that_is_older_than_its_own_ttl(
    name: str, near: Any, world: World, table: str
) -> None:
    read = READS[name]
    before = reader(world, ttl=LONG, near=near)
    get(before, table, pk="a")  # from which projections are served
    first = read(before, table)
    after = reader(world, ttl=SHORT, near=near)
    write_around(world, table, 2)
    world.clock.advance(SHORT - 0.1)
    for _ in range(3):  # by way of the store, then from memory
        assert read(after, table) == first
    world.clock.advance(0.2)
    assert how_often_sent(world, lambda: read(after, table)) == 1
    assert read(after, table) == read(world.outside, table) != first


@every_store
@each_way
def test_the_ttl_of_a_table_counts_where_it_has_one(
    near: Any, world: World, table: str
) -> None:
    before = reader(world, ttl=LONG, near=near)
    get(before, table, pk="a")
    after = reader(world, ttl=LONG, near=near, tables={table: SHORT})
    write_around(world, table, 2)
    world.clock.advance(SHORT + 0.1)
    assert get(before, table, pk="a") == {"pk": "a", "n": 1}
    assert get(after, table, pk="a") == {"pk": "a", "n": 2}


@every_store
@each_way
def test_the_ttl_of_absent_items_counts_for_what_was_absent(
    near: Any, world: World, table: str
) -> None:
    before = reader(world, ttl=LONG, negative_ttl=LONG, near=near)
    get(before, table, pk="c")
    get(before, table, pk="a")
    after = reader(world, ttl=LONG, negative_ttl=SHORT, near=near)
    put(world.outside, table, pk="c", n=1)
    world.clock.advance(SHORT - 0.1)
    for _ in range(3):
        assert get(after, table, pk="c") is None
    world.clock.advance(0.2)
    assert get(after, table, pk="c") == {"pk": "c", "n": 1}
    assert how_often_sent(world, lambda: get(after, table, pk="a")) == 0


@every_store
@each_way
def test_absent_items_that_a_reader_does_not_cache_are_not_served_to_it(
    near: Any, world: World, table: str
) -> None:
    get(reader(world, ttl=LONG, negative_ttl=LONG, near=near), table, pk="c")
    after = reader(world, ttl=LONG, negative_ttl=0, near=near)
    put(world.outside, table, pk="c", n=1)
    assert get(after, table, pk="c") == {"pk": "c", "n": 1}


@every_store
@each_way
def test_an_entry_lives_no_longer_for_a_reader_with_a_longer_ttl(
    near: Any, world: World, table: str
) -> None:
    get(reader(world, ttl=SHORT, near=near), table, pk="a")
    after = reader(world, ttl=LONG, near=near)
    write_around(world, table, 2)
    world.clock.advance(SHORT - 0.1)
    for _ in range(3):
        assert get(after, table, pk="a") == {"pk": "a", "n": 1}
    world.clock.advance(0.2)
    assert get(after, table, pk="a") == {"pk": "a", "n": 2}


@every_store
@each_way
def test_a_table_that_is_off_for_a_reader_is_not_served_from_what_is_there(
    near: Any, world: World, table: str
) -> None:
    get(reader(world, ttl=LONG, near=near), table, pk="a")
    after = reader(world, ttl=LONG, near=near, tables={table: "off"})
    write_around(world, table, 2)
    assert get(after, table, pk="a") == {"pk": "a", "n": 2}
