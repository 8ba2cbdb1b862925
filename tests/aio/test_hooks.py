"""Reads of aiobotocore's clients are cached, and their writes evict, on each store.

Without the near cache: these tests are of the hooks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

import botocache
from botocache import EvictionError
from botocache._aiobotocore import offload as offload_module
from botocache._aiobotocore.offload import MOST_THREADS
from botocache._cache.cache import Cache
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.aio.app import GatedStore, client_of, get, new_session, put
from tests.support.dynamodb import DynamoDB
from tests.support.processes import eventually


class World:
    """An application with the cache on a store; and DynamoDB."""

    def __init__(self, dynamodb: DynamoDB, store: Store, table: str) -> None:
        self.dynamodb = dynamodb
        self.store = store
        self.table = table
        self.settings: dict[str, Any] = {"near": "off", "settle": 0}
        self.cache: Cache

    def run(
        self, application: Callable[[Any], Awaitable[None]], **options: Any
    ) -> None:
        """Run an application, which gets a client with the cache."""

        async def main() -> None:
            session = new_session()
            self.cache = botocache.install(session, url=self.store, **self.settings)
            async with client_of(self.dynamodb.url, session, **options) as client:
                await application(client)

        asyncio.run(main())


@pytest.fixture
def world(dynamodb: DynamoDB, store: Store) -> World:
    return World(dynamodb, store, dynamodb.create_table("pk:S"))


@pytest.fixture
def gated(dynamodb: DynamoDB) -> Iterator[World]:
    """Return a world whose store waits while it is shut."""
    store = GatedStore(MemoryStore())
    yield World(dynamodb, store, dynamodb.create_table("pk:S"))
    store.open()
    eventually(lambda: offload_module._threads._outstanding == 0)


def test_a_read_is_answered_from_the_cache(world: World) -> None:
    async def application(client: Any) -> None:
        await put(client, world.table, 1)
        with world.dynamodb.counting() as sent:
            assert [await get(client, world.table) for _ in range(3)] == ["1"] * 3
        assert sent["GetItem"] <= 1

    world.run(application)
    stats = world.cache.stats()
    assert (stats.hits + stats.misses, stats.hits >= 2) == (3, True)
    assert stats.failures == {}


def test_an_item_that_is_missing_and_a_page_are_cached_as_well(world: World) -> None:
    async def application(client: Any) -> None:
        for _ in range(2):
            assert await get(client, world.table, "none") is None
            page = await client.scan(TableName=world.table)
            assert page["Items"] == []

    with world.dynamodb.counting() as sent:
        world.run(application)
    assert sent == {"GetItem": 1, "Scan": 1}


WRITES: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "put": lambda client, table: put(client, table, 2),
    "delete": lambda client, table: client.delete_item(
        TableName=table, Key={"pk": {"S": "a"}}
    ),
    "update": lambda client, table: client.update_item(
        TableName=table,
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "2"}},
    ),
    "batch": lambda client, table: client.batch_write_item(
        RequestItems={
            table: [{"PutRequest": {"Item": {"pk": {"S": "a"}, "n": {"N": "2"}}}}]
        }
    ),
    "transaction": lambda client, table: client.transact_write_items(
        TransactItems=[
            {
                "Put": {
                    "TableName": table,
                    "Item": {"pk": {"S": "a"}, "n": {"N": "2"}},
                }
            }
        ]
    ),
    "statement": lambda client, table: client.execute_statement(
        Statement=f'UPDATE "{table}" SET n=? WHERE pk=?',
        Parameters=[{"N": "2"}, {"S": "a"}],
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_evicts_what_it_changes(
    write: Callable[[Any, str], Awaitable[Any]], world: World
) -> None:
    async def application(client: Any) -> None:
        await put(client, world.table, 1)
        for _ in range(2):
            assert await get(client, world.table) == "1"
        await write(client, world.table)
        after = await get(client, world.table)
        assert after == (None if write is WRITES["delete"] else "2")
        assert await get(client, world.table) == after

    world.run(application)


def test_a_batch_asks_dynamodb_for_what_is_not_cached(world: World) -> None:
    async def application(client: Any) -> None:
        for pk in "ab":
            await put(client, world.table, 1, pk)
        await get(client, world.table, "a")
        for _ in range(2):
            keys = [{"pk": {"S": pk}} for pk in "abc"]
            answer = await client.batch_get_item(
                RequestItems={world.table: {"Keys": keys}}
            )
            found = sorted(each["pk"]["S"] for each in answer["Responses"][world.table])
            assert found == ["a", "b"]

    with world.dynamodb.counting() as sent:
        world.run(application)
    assert sent["BatchGetItem"] == 1


def test_a_write_that_dynamodb_refuses_evicts_and_raises_its_error(
    world: World,
) -> None:
    async def application(client: Any) -> None:
        await put(client, world.table, 1)
        await get(client, world.table)
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            await client.put_item(
                TableName=world.table,
                Item={"pk": {"S": "a"}},
                ConditionExpression="attribute_not_exists(pk)",
            )
        assert await get(client, world.table) == "1"

    world.run(application)
    assert world.cache.stats().evicted >= 2


def test_a_paginator_runs_through_the_cache(world: World) -> None:
    async def application(client: Any) -> None:
        for pk in "abc":
            await put(client, world.table, 1, pk)
        for _ in range(2):
            pages = client.get_paginator("scan").paginate(
                TableName=world.table, PaginationConfig={"PageSize": 1}
            )
            found = [each["pk"]["S"] async for page in pages for each in page["Items"]]
            assert sorted(found) == ["a", "b", "c"]

    with world.dynamodb.counting() as sent:
        world.run(application)
    assert sent["Scan"] <= 4


def test_bypass_and_refresh_apply_to_their_task(world: World) -> None:
    async def application(client: Any) -> None:
        await put(client, world.table, 1)
        await get(client, world.table)
        inside, outside = asyncio.Event(), asyncio.Event()

        async def bypassing() -> None:
            with botocache.bypass():
                inside.set()
                await outside.wait()
                await get(client, world.table)

        task = asyncio.create_task(bypassing())
        await inside.wait()
        with world.dynamodb.counting() as sent:
            await get(client, world.table)
        assert sent["GetItem"] == 0
        with world.dynamodb.counting() as sent:
            outside.set()
            await task
            with botocache.refresh():
                await get(client, world.table)
        assert sent["GetItem"] == 2

    world.run(application)


def test_handlers_get_a_response_whose_content_is_awaited(world: World) -> None:
    seen: list[tuple[int, bytes, str, dict[str, str]]] = []

    async def note(http_response: Any, **_: Any) -> None:
        content, text = await http_response.content, await http_response.text
        seen.append((http_response.status_code, content, text, http_response.headers))

    async def application(client: Any) -> None:
        await get(client, world.table)
        client.meta.events.register("after-call.dynamodb.GetItem", note)
        await get(client, world.table)

    world.run(application)
    ((status, content, text, headers),) = seen
    assert (status, content, text) == (200, b"", "")
    assert headers["x-botocache"] == "hit"


def test_a_client_that_cannot_reach_dynamodb_evicts_what_it_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # ten take half a minute

    async def application(client: Any) -> None:
        with pytest.raises(Exception, match="connect"):
            await put(client, world.table, 1)

    server, world.dynamodb = world.dynamodb, DynamoDB("http://127.0.0.1:9")
    world.run(application)
    world.dynamodb = server
    (counts,) = world.cache.stats().tables
    assert (counts.operation, counts.writes) == ("PutItem", 1)
    assert world.cache.stats().undelivered == 0


# --- a store that waits ------------------------------------------------------------


def test_other_tasks_go_on_while_the_store_waits(gated: World) -> None:
    async def application(client: Any) -> None:
        await put(client, gated.table, 1)
        store: Any = gated.store
        store.shut()
        task = asyncio.create_task(get(client, gated.table))
        await asyncio.to_thread(store.entered.acquire)
        for _ in range(100):  # of which one would be enough to hang
            await asyncio.sleep(0)
        assert not task.done()
        store.open()  # by the loop itself: had it waited, nobody would
        assert await task == "1"

    gated.run(application)


def test_a_store_that_hangs_delays_calls_for_a_bounded_time(gated: World) -> None:
    gated.settings["timeout"] = 0.01

    async def application(client: Any) -> None:
        await put(client, gated.table, 1)
        await get(client, gated.table)
        store: Any = gated.store
        store.shut()
        hung = [
            asyncio.create_task(get(client, gated.table)) for _ in range(MOST_THREADS)
        ]
        for _ in hung:
            await asyncio.to_thread(store.entered.acquire)
        with gated.dynamodb.counting() as sent:
            # Neither waits for the sixteen threads.
            assert await get(client, gated.table) == "1"
            await put(client, gated.table, 2)
        assert sent == {"GetItem": 1, "PutItem": 1}
        assert gated.cache.stats().undelivered
        store.open()
        await asyncio.gather(*hung)
        await asyncio.to_thread(eventually, lambda: not gated.cache.stats().undelivered)
        assert await get(client, gated.table) == "2"

    gated.run(application)
    assert gated.cache.stats().failures["begin_failed"] >= 2


def test_a_write_is_refused_where_its_eviction_must_not_fail(gated: World) -> None:
    gated.settings["timeout"] = 0.01
    gated.settings["on_eviction_failure"] = "refuse"

    async def application(client: Any) -> None:
        store: Any = gated.store
        await get(client, gated.table)
        store.shut()
        hung = [
            asyncio.create_task(get(client, gated.table)) for _ in range(MOST_THREADS)
        ]
        for _ in hung:
            await asyncio.to_thread(store.entered.acquire)
        with gated.dynamodb.counting() as sent, pytest.raises(EvictionError):
            await put(client, gated.table, 2)
        assert not sent
        store.open()
        await asyncio.gather(*hung)

    gated.run(application)


def test_a_call_that_cannot_be_prepared_is_sent_without_the_cache(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("as the test wants it")

    async def application(client: Any) -> None:
        await put(client, world.table, 1)
        await get(client, world.table)
        with monkeypatch.context() as patch:
            patch.setattr("botocache._botocore.hooks.call_of", fail)
            assert await get(client, world.table) == "1"
            await put(client, world.table, 2)
        assert await get(client, world.table) == "2"

    world.run(application)
    assert world.cache.stats().failures["begin_failed"] == 2


def test_an_uninstallation_during_a_call_leaves_its_second_eviction(
    gated: World,
) -> None:
    async def application(client: Any) -> None:
        await put(client, gated.table, 1)
        await get(client, gated.table)
        store: Any = gated.store
        store.shut()
        task = asyncio.create_task(put(client, gated.table, 2))
        await asyncio.to_thread(store.entered.acquire)
        botocache.uninstall(client)
        store.open()
        await task
        assert await get(client, gated.table) == "2"

    async def main() -> None:
        session = new_session()
        async with client_of(gated.dynamodb.url, session) as client:
            gated.cache = botocache.install(client, url=gated.store, **gated.settings)
            await application(client)

    asyncio.run(main())
    stats = gated.cache.stats()
    assert (stats.writes, stats.undelivered) == (2, 0)
