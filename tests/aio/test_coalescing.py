"""Tasks that miss the same item send one request, and block no loop meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import botocache
from botocache import Cache
from botocache._aiobotocore import offload
from botocache._cache import coalescing
from tests.aio.app import (
    WatchedMemory,
    WatchedWaiting,
    client_of,
    new_session,
)
from tests.support.processes import TIMEOUT, eventually
from tests.support.refusing_server import Refusal, RefusingServer

GET = "GetItem"


@pytest.fixture
def server(refusing: RefusingServer) -> RefusingServer:
    return refusing


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as a busy machine may take."""
    monkeypatch.setattr(coalescing, "PATIENCE", float(TIMEOUT))


each_way = pytest.mark.parametrize(
    ("near", "kind"),
    [
        ("on", WatchedMemory),
        ("on", WatchedWaiting),
        ("off", WatchedMemory),
        ("off", WatchedWaiting),
    ],
)

Application = Callable[[Any, Cache], Any]


def run(url: str, kind: type, near: Any, application: Application) -> None:
    """Run an application in asyncio."""
    session = new_session()
    cache = botocache.install(session, url=kind(), near=near)

    async def main() -> None:
        async with client_of(url, session) as client:
            await application(client, cache)

    asyncio.run(main())


async def read(client: Any, pk: str = "a") -> Any:
    """Return the header of a hit, or "miss"."""
    answer = await client.get_item(TableName="ttt", Key={"pk": {"S": pk}})
    assert answer["Item"]["pk"] == {"S": pk}
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-botocache", "miss")


async def until(is_so: Callable[[], bool]) -> None:
    """Let other tasks run until something is so."""
    for _ in range(TIMEOUT * 1000):
        if is_so():
            return
        await asyncio.sleep(0.001)  # real: of other tasks, until they wait
    raise AssertionError


def waiting(cache: Cache) -> int:
    """Return how many tasks wait."""
    return sum(len(each.wakers) for each in cache.coalescing._open.values())


def asked(server: RefusingServer) -> int:
    """Return how many requests there were."""
    return sum(server.asked.values())


@each_way
def test_tasks_that_read_a_cold_key_send_one_request(
    near: str, kind: type, server: RefusingServer
) -> None:
    async def application(client: Any, cache: Cache) -> None:
        server.before_answer = lambda _: eventually(lambda: waiting(cache) == 59)
        for pk in "ab":  # of the second one the near cache knows the request
            got = await asyncio.gather(*(read(client, pk) for _ in range(60)))
            assert sorted(got) == ["hit"] * 59 + ["miss"]
        assert asked(server) == 2
        assert sum(each.coalesced for each in cache.stats().tables) == 118
        assert cache.stats().failures == {}
        # Those who wait keep no thread.
        assert offload._threads._count <= offload.MOST_THREADS

    run(server.url, kind, near, application)


@each_way
def test_if_the_task_that_asks_is_cancelled_the_next_one_asks(
    near: str, kind: type, server: RefusingServer
) -> None:
    async def application(client: Any, cache: Cache) -> None:
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(read(client))
        others: list[asyncio.Task[Any]] = []
        left = [True]

        def cut(_what: str) -> None:
            if left and left.pop():
                eventually(lambda: waiting(cache) == 4)
                loop.call_soon_threadsafe(first.cancel)

        server.before_answer = cut
        await until(lambda: len(cache.coalescing) == 1)
        others += [asyncio.create_task(read(client)) for _ in range(4)]
        with pytest.raises(asyncio.CancelledError):
            await first
        assert sorted(await asyncio.gather(*others)) == ["hit"] * 3 + ["miss"]
        assert asked(server) == 2

    run(server.url, kind, near, application)


@each_way
def test_a_task_that_waits_can_be_cancelled_and_times_out(
    near: str, kind: type, server: RefusingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def application(client: Any, cache: Cache) -> None:
        monkeypatch.setattr(coalescing, "PATIENCE", float(TIMEOUT))
        left = [True]

        def hold(_what: str) -> None:
            if left and left.pop():
                eventually(lambda: asked(server) == 2)

        server.before_answer = hold
        first = asyncio.create_task(read(client))
        await until(lambda: len(cache.coalescing) == 1)
        second = asyncio.create_task(read(client))
        await until(lambda: waiting(cache) == 1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert waiting(cache) == 0
        monkeypatch.setattr(coalescing, "PATIENCE", 0.01)
        assert await read(client) == "miss"
        assert await first == "miss"

    run(server.url, kind, near, application)


def test_an_error_goes_to_the_task_that_asked(server: RefusingServer) -> None:
    async def application(client: Any, cache: Cache) -> None:
        def be_well(_what: str) -> None:
            eventually(lambda: waiting(cache) == 4 or asked(server) > 1)
            server.refuse()

        refusal = Refusal("ValidationException")
        server.refuses = lambda _key, _what: refusal
        server.before_answer = be_well
        got = await asyncio.gather(
            *(read(client) for _ in range(5)), return_exceptions=True
        )
        kinds = sorted(each if type(each) is str else "error" for each in got)
        assert kinds == ["error", *["hit"] * 3, "miss"]

    run(server.url, WatchedMemory, "on", application)


@pytest.mark.parametrize("near", ["on", "off"])
def test_tasks_of_trio_wait_as_well(near: Any, server: RefusingServer) -> None:
    trio = pytest.importorskip("trio")
    pytest.importorskip("httpx")
    sessions = pytest.importorskip("aiobotocore.httpxsession")
    config = pytest.importorskip("aiobotocore.config")
    session = new_session()
    cache = botocache.install(session, url=WatchedWaiting(), near=near)
    got: list[str] = []

    async def main() -> None:
        over_httpx = config.AioConfig(http_session_cls=sessions.HttpxSession)

        async def note() -> None:
            got.append(await read(client))

        server.before_answer = lambda _: eventually(lambda: waiting(cache) == 9)
        async with (
            client_of(server.url, session, config=over_httpx) as client,
            trio.open_nursery() as nursery,
        ):
            for _ in range(10):
                nursery.start_soon(note)

    trio.run(main)
    assert sorted(got) == ["hit"] * 9 + ["miss"]
    assert asked(server) == 1
