"""The cache's own functions, awaited: they keep the event loop free."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import botocache
from botocache import Cache
from botocache.stores.memory import MemoryStore
from tests.aio.app import GatedStore, client_of, get, new_session, put
from tests.support.dynamodb import DynamoDB

FUNCTIONS: dict[str, Callable[[Cache, str], Awaitable[Any]]] = {
    "ainvalidate": lambda cache, table: cache.ainvalidate(table, {"pk": "a"}),
    "aclear": lambda cache, _: cache.aclear(),
    "aclose": lambda cache, _: cache.aclose(),
}

each_function = pytest.mark.parametrize("call", FUNCTIONS.values(), ids=FUNCTIONS)


@pytest.fixture
def store() -> Iterator[GatedStore]:
    made = GatedStore(MemoryStore())
    yield made
    made.open()


@each_function
def test_other_tasks_go_on_while_the_store_waits(
    call: Callable[[Cache, str], Awaitable[Any]], store: GatedStore
) -> None:
    async def main() -> None:
        cache = botocache.install(new_session(), url=store)
        store.shut()
        task = asyncio.ensure_future(call(cache, "t"))
        await asyncio.to_thread(store.entered.acquire)
        for _ in range(100):  # of which one would be enough to hang
            await asyncio.sleep(0)
        assert not task.done()
        store.open()  # by the loop itself
        await task

    asyncio.run(main())


@pytest.mark.parametrize("name", ["ainvalidate", "aclear"])
def test_what_is_evicted_is_read_from_dynamodb_again(
    name: str, dynamodb: DynamoDB
) -> None:
    table = dynamodb.create_table("pk:S")

    async def main() -> None:
        session = new_session()
        cache = botocache.install(session, url=MemoryStore(), settle=0)
        async with client_of(dynamodb.url, session) as client:
            await put(client, table, 1)
            await get(client, table)
            with dynamodb.counting() as sent:
                assert await get(client, table) == "1"
                done = await FUNCTIONS[name](cache, table)
                assert await get(client, table) == "1"
            assert sent["GetItem"] == 1
            if name == "ainvalidate":
                assert done.is_delivered

    asyncio.run(main())


def test_an_error_is_raised_as_by_the_function_itself() -> None:
    cache = botocache.install(new_session(), url=MemoryStore())
    with pytest.raises(ValueError, match="table"):
        asyncio.run(cache.ainvalidate(""))


@each_function
def test_they_are_awaited_in_trio_as_well(
    call: Callable[[Cache, str], Awaitable[Any]],
) -> None:
    trio = pytest.importorskip("trio")
    cache = botocache.install(new_session(), url=MemoryStore())
    trio.run(call, cache, "t")
