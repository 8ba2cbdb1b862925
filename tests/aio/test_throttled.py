"""aiobotocore's reads that DynamoDB refuses, and the entries that answer them.

tests/integration/test_throttled.py has the whole table of which reads and errors.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.endpoint import AioEndpoint
from aiobotocore.session import AioSession

import botocache
from botocache._cache import coalescing
from botocache._cache.cache import Cache
from botocache.stores.memory import MemoryStore
from tests.aio.app import client_of, new_session
from tests.support.clock import FakeClock
from tests.support.processes import TIMEOUT, eventually
from tests.support.refusing_server import Refusal, RefusingServer, refusing_server

TTL, STALE = 60.0, 30.0
KEY = {"pk": {"S": "a"}}
THROTTLED = Refusal("ProvisionedThroughputExceededException")
UNAVAILABLE = Refusal("ServiceUnavailable", 503)

MODES = ["legacy", "standard", "adaptive"]


class _Waiting(MemoryStore):
    """A store that may wait, so that a thread asks it."""

    waits = True


class SleepError(Exception):
    """aiobotocore waits before it repeats a request, so it has got the refusal."""


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def server(servers: ExitStack) -> RefusingServer:
    return servers.enter_context(refusing_server())


@pytest.fixture(autouse=True)
def _does_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(*_: Any) -> None:
        raise SleepError

    async def acquire(_bucket: Any, *_: Any, **__: Any) -> bool:
        return True

    if hasattr(AioEndpoint, "_sleep"):
        monkeypatch.setattr(AioEndpoint, "_sleep", sleep)
    else:
        only_sleep = SimpleNamespace(sleep=sleep)
        monkeypatch.setattr("aiobotocore.endpoint.asyncio", only_sleep)
    bucket = "aiobotocore.retries.bucket.AsyncTokenBucket.acquire"
    monkeypatch.setattr(bucket, acquire)


class App:
    """An application with the cache; and the DynamoDB that it reads."""

    def __init__(self, server: RefusingServer, clock: FakeClock) -> None:
        self.server, self.clock = server, clock
        self.cache: Cache

    def run(
        self,
        application: Callable[[Any], Awaitable[None]],
        mode: str = "legacy",
        store: type[MemoryStore] = MemoryStore,
        **settings: Any,
    ) -> None:
        async def main() -> None:
            session: AioSession = new_session()
            given = {"ttl": TTL, "settle": 0, "stale_if_throttled": STALE, **settings}
            url = store(clock=self.clock)
            self.cache = botocache.install(session, url=url, **given)
            retries: Any = {"mode": mode, "total_max_attempts": 4}
            config = AioConfig(retries=retries)
            async with client_of(self.server.url, session, config=config) as client:
                await application(client)

        asyncio.run(main())

    def refuse(self, refusal: Refusal) -> None:
        self.server.refuses = lambda _key, _what: refusal
        self.server.asked.clear()

    @property
    def asked(self) -> int:
        return sum(self.server.asked.values())


@pytest.fixture
def app(server: RefusingServer, clock: FakeClock) -> App:
    return App(server, clock)


def body_and_result(answer: Any) -> tuple[Any, str]:
    headers = answer.pop("ResponseMetadata")["HTTPHeaders"]
    return answer, headers.get("x-botocache", "")


async def get(client: Any, **more: Any) -> tuple[Any, str]:
    return body_and_result(await client.get_item(TableName="ttt", Key=KEY, **more))


async def scan(client: Any) -> tuple[Any, str]:
    return body_and_result(await client.scan(TableName="ttt"))


async def batch(client: Any) -> tuple[Any, str]:
    keys = [KEY, {"pk": {"S": "b"}}]
    asked = {"ttt": {"Keys": keys}}
    return body_and_result(await client.batch_get_item(RequestItems=asked))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("near", ["on", "off"])
@pytest.mark.parametrize("store", [MemoryStore, _Waiting])
def test_the_first_refusal_is_answered_stale(
    app: App, mode: str, near: str, store: type[MemoryStore]
) -> None:
    async def application(client: Any) -> None:
        reads = (get, scan, batch)
        before = [(await read(client))[0] for read in reads]
        app.clock.advance(TTL)
        for refusal in (THROTTLED, UNAVAILABLE):
            app.refuse(refusal)
            for number, read in enumerate(reads, 1):
                assert await read(client) == (before[number - 1], "stale")
                assert app.asked == number

    app.run(application, mode, store, near=near)
    assert app.cache.stats().answered_stale == 8


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("store", [MemoryStore, _Waiting])
def test_a_request_without_an_answer_is_answered_stale(
    app: App, servers: ExitStack, mode: str, store: type[MemoryStore]
) -> None:
    async def application(client: Any) -> None:
        reads = (get, scan, batch)
        before = [(await read(client))[0] for read in reads]
        app.clock.advance(TTL)
        # Its connections end as well.
        await client._endpoint.http_session.close()
        await client._endpoint.http_session.__aenter__()
        servers.close()
        for answer, read in zip(before, reads, strict=True):
            for _ in range(2):
                assert await read(client) == (answer, "stale")

    app.run(application, mode, store)


def test_other_reads_are_not_answered_stale(app: App) -> None:
    async def application(client: Any) -> None:
        await get(client)
        app.clock.advance(TTL)
        app.refuse(THROTTLED)
        with pytest.raises(SleepError):
            await get(client, ConsistentRead=True)
        with pytest.raises(SleepError), botocache.bypass():
            await get(client)
        app.server.refuses = lambda _key, _what: None
        await client.update_item(
            TableName="ttt",
            Key=KEY,
            UpdateExpression="SET n = :n",
            ExpressionAttributeValues={":n": {"N": "1"}},
        )
        app.refuse(THROTTLED)
        with pytest.raises(SleepError):
            await get(client)

    app.run(application)
    assert app.cache.stats().answered_stale == 0


@pytest.mark.parametrize("near", ["on", "off"])
@pytest.mark.parametrize("store", [MemoryStore, _Waiting])
def test_tasks_that_wait_for_a_refused_read_are_answered_stale_and_ask_nothing(
    app: App, near: str, store: type[MemoryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "PATIENCE", float(TIMEOUT))  # for a busy machine

    def wait_for_them(_what: str) -> None:
        flights = app.cache.coalescing._open.values()
        eventually(lambda: sum(len(each.wakers) for each in [*flights]) == 19)

    async def application(client: Any) -> None:
        first, _ = await get(client)
        app.clock.advance(TTL)
        app.refuse(THROTTLED)
        app.server.before_answer = wait_for_them
        answers = await asyncio.gather(*(get(client) for _ in range(20)))
        assert answers == [(first, "stale")] * 20

    app.run(application, store=store, near=near)
    assert app.asked == 1
    stats = app.cache.stats()
    assert (stats.answered_stale, stats.misses, stats.failures) == (20, 21, {})
