"""What the setting `tables` does for each table."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import botocache
from botocache import Cache
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.integration.app import World, get, put, query, set_n
from tests.support.clock import FakeClock


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """One store is enough: nothing here depends on which."""
    return MemoryStore(clock=clock)


class Tables:
    """Three tables: one with a TTL of its own, one that is off, and another."""

    def __init__(self, world: World) -> None:
        self.users, self.sessions, self.other = (world.table("pk:S") for _ in range(3))
        for table in (self.users, self.sessions, self.other):
            put(world.outside, table, pk="a", n=1)

    def setting(self, rest: str = "") -> str:
        """Return the setting; `rest` is for all others."""
        return f"{self.users}=300, {self.sessions}=off{rest}"


@pytest.fixture
def tables(world: World) -> Tables:
    """Three tables."""
    return Tables(world)


def installed(world: World, **settings: Any) -> tuple[Cache, Any]:
    """Install with these settings, and return cache and client."""
    session: boto3.Session = world.session()
    cache = botocache.install(session, url=world.store, **settings)
    return cache, world.client(session)


def reads_that_reach(world: World, client: Any, table: str) -> int:
    """Return how many of four reads, two of them equal to the others, are sent."""
    with world.counting() as reached:
        for _ in range(2):
            get(client, table, pk="a")
            query(client, table, pk="a")
    return sum(reached.values())


def test_each_table_has_its_own_ttl(world: World, tables: Tables) -> None:
    _, client = installed(world, tables=tables.setting(", *=30"), ttl=60)
    for table in (tables.users, tables.other):
        assert reads_that_reach(world, client, table) == 2
    world.clock.advance(29.9)
    for table in (tables.users, tables.other):
        assert reads_that_reach(world, client, table) == 0
    world.clock.advance(0.2)
    assert reads_that_reach(world, client, tables.users) == 0
    assert reads_that_reach(world, client, tables.other) == 2
    world.clock.advance(300 - 30.2)
    assert reads_that_reach(world, client, tables.users) == 0
    world.clock.advance(0.2)
    assert reads_that_reach(world, client, tables.users) == 2


def test_a_table_that_is_not_named_has_the_general_ttl(
    world: World, tables: Tables
) -> None:
    _, client = installed(world, tables=tables.setting(), ttl=10)
    assert reads_that_reach(world, client, tables.other) == 2
    world.clock.advance(9.9)
    assert reads_that_reach(world, client, tables.other) == 0
    world.clock.advance(0.2)
    assert reads_that_reach(world, client, tables.other) == 2


def test_reads_of_a_table_that_is_off_bypass_the_cache(
    world: World, tables: Tables
) -> None:
    cache, client = installed(world, tables=tables.setting())
    assert reads_that_reach(world, client, tables.sessions) == 4
    assert reads_that_reach(world, client, tables.users) == 2
    stats = cache.stats()
    assert (stats.bypassed, stats.misses, stats.hits) == (4, 2, 2)


def test_all_tables_but_some_can_be_off(world: World, tables: Tables) -> None:
    _, client = installed(world, tables={tables.users: 300, "*": "off"})
    assert reads_that_reach(world, client, tables.users) == 2
    assert reads_that_reach(world, client, tables.other) == 4
    assert reads_that_reach(world, client, tables.sessions) == 4


def test_a_table_named_by_its_arn_in_a_call_has_its_setting(
    world: World, tables: Tables
) -> None:
    _, client = installed(world, tables=tables.setting())
    arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{tables.sessions}"
    assert reads_that_reach(world, client, arn) == 4


def test_writes_to_a_table_that_is_off_evict_for_caches_in_which_it_is_on(
    world: World, tables: Tables
) -> None:
    _, client = installed(world, tables=tables.setting())
    _, other = installed(world)  # to it, the table is on
    assert reads_that_reach(world, other, tables.sessions) == 2
    set_n(client, tables.sessions, 2, pk="a")
    assert get(other, tables.sessions, pk="a") == {"pk": "a", "n": 2}
    assert query(other, tables.sessions, pk="a") == [{"pk": "a", "n": 2}]


def test_a_missing_item_lives_no_longer_than_its_tables_ttl(
    world: World, tables: Tables
) -> None:
    _, client = installed(world, tables={tables.users: 2}, negative_ttl=5)
    with world.counting() as reached:
        get(client, tables.users, pk="none")
        world.clock.advance(1.9)
        get(client, tables.users, pk="none")
        world.clock.advance(0.2)
        get(client, tables.users, pk="none")
    assert reached == {"GetItem": 2}


def test_errors_of_a_table_that_is_off_are_those_of_dynamodb(world: World) -> None:
    _, client = installed(world, tables="nowhere=off")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        get(client, "nowhere", pk="a")


def test_tables_can_be_set_by_the_environment(
    world: World, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_TABLES", tables.setting(",*=60"))
    _, client = installed(world)
    assert reads_that_reach(world, client, tables.sessions) == 4
    assert reads_that_reach(world, client, tables.other) == 2
