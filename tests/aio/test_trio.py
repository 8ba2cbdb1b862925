"""aiobotocore's clients in trio, by its sessions over httpx: since aiobotocore 3.9."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import botocache
from botocache._aiobotocore import offload as offload_module
from botocache._cache.cache import Cache
from botocache.stores.protocol import Store
from tests.aio.app import (
    WatchedMemory,
    WatchedWaiting,
    client_of,
    get,
    new_session,
    put,
)
from tests.support.dynamodb import DynamoDB
from tests.support.processes import eventually
from tests.support.refusing_server import RefusingServer, refusing_server

trio = pytest.importorskip("trio")
pytest.importorskip("httpx")
sessions = pytest.importorskip("aiobotocore.httpxsession")
config = pytest.importorskip("aiobotocore.config")

Application = Callable[[Any], Awaitable[None]]


def run(url: str, store: Store, application: Application, **settings: Any) -> Cache:
    """Run an application in trio; return the cache that its client has."""
    session = new_session()
    settings = {"settle": 0, **settings}
    cache = botocache.install(session, url=store, **settings)

    async def main() -> None:
        over_httpx = config.AioConfig(http_session_cls=sessions.HttpxSession)
        async with client_of(url, session, config=over_httpx) as client:
            await application(client)

    trio.run(main)
    return cache


@pytest.mark.parametrize("near", ["on", "off"])
def test_reads_are_cached_and_writes_evict(
    near: str, store: Store, dynamodb: DynamoDB
) -> None:
    table = dynamodb.create_table("pk:S")

    async def application(client: Any) -> None:
        for n in (1, 2):
            await put(client, table, n)
            with dynamodb.counting() as sent:
                assert [await get(client, table) for _ in range(3)] == [str(n)] * 3
            assert sent["GetItem"] <= 1

    cache = run(dynamodb.url, store, application, near=near)
    stats = cache.stats()
    assert stats.hits + stats.near_hits >= 4
    assert stats.failures == {}


@pytest.fixture
def server() -> Iterator[RefusingServer]:
    with refusing_server() as made:
        yield made


@pytest.mark.parametrize("kind", [WatchedMemory, WatchedWaiting])
def test_a_write_that_is_cut_evicts_again(
    kind: type[WatchedMemory], server: RefusingServer
) -> None:
    store = kind()

    async def application(client: Any) -> None:
        await put(client, "t", 1)
        store.evictions.clear()
        with trio.CancelScope() as scope:
            server.before_answer = lambda _: trio.from_thread.run_sync(
                scope.cancel, trio_token=token
            )
            token = trio.lowlevel.current_trio_token()
            await put(client, "t", 2)
        assert scope.cancelled_caught
        server.before_answer = lambda _: None

    run(server.url, store, application, write_hold_off=7)
    eventually(lambda: offload_module._threads._outstanding == 0)
    assert [len(store.evictions), store.evictions[-1].hold_off] == [2, 7]
