"""Why reads missed, as the report's advice needs it: too old, or evicted by a write."""

from typing import Any

import botocache
from botocache._stats import TableStats
from botocache.stores.redis.store import RedisStore
from tests.integration.app import World, every_store, get, put, query_index
from tests.integration.test_index_queries import make_table

TTL = 10.0


def reader(world: World) -> tuple[Any, Any]:
    """Return a client whose answers live for TTL seconds, and its cache."""
    session = world.session()
    cache = botocache.install(session, url=world.store, ttl=TTL)
    return world.client(session), cache


def counts(cache: Any, operation: str) -> TableStats:
    tables: tuple[TableStats, ...] = cache.stats().tables
    found: TableStats
    (found,) = [each for each in tables if each.operation == operation]
    return found


@every_store
def test_an_answer_that_reached_its_ttl_has_expired(world: World) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a")
    client, cache = reader(world)
    for _ in range(3):
        get(client, table, pk="a")
    world.clock.advance(TTL + 1)
    get(client, table, pk="a")
    found = counts(cache, "GetItem")
    # A server without client tracking leaves nothing in the near cache to expire.
    expired = 0 if isinstance(world.store, RedisStore) else 1
    assert (found.misses, found.expired, found.outdated) == (2, expired, 0)


@every_store
def test_an_answer_that_a_write_has_evicted_has_not_expired(world: World) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a")
    client, cache = reader(world)
    for _ in range(3):
        get(client, table, pk="a")
    cache.invalidate(table)
    world.clock.advance(TTL + 1)
    get(client, table, pk="a")
    found = counts(cache, "GetItem")
    assert (found.misses, found.expired) == (2, 0)


@every_store
def test_a_miss_whose_entry_a_write_has_evicted_is_outdated(world: World) -> None:
    table = make_table(world)
    client, cache = reader(world)
    query_index(client, table, "by-g", g="one")
    get(client, table, pk="k0")
    put(client, table, pk="k9", g="two", n=9)
    world.settle()
    query_index(client, table, "by-g", g="one")
    found = counts(cache, "Query")
    assert (found.misses, found.outdated, found.index_outdated) == (2, 1, 1)
    put(client, table, pk="k0", g="two", n=9)
    cache.invalidate(table, {"pk": "k0"})
    world.settle()
    get(client, table, pk="k0")
    found = counts(cache, "GetItem")
    assert (found.misses, found.outdated, found.index_outdated) == (2, 1, 0)
