"""Tasks under `miss_leases`: they wait for another process, and no thread waits.

Two sessions with stores of their own in one directory stand for two processes.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import botocache
from botocache._aiobotocore import offload as offload_module
from botocache._aiobotocore import waits
from botocache._cache import leases
from botocache._cache.cache import Cache
from botocache.stores.disk.store import DiskStore
from tests.aio.app import LONG, client_of, get
from tests.aio.app import new_session as session_of
from tests.support.refusing_server import RefusingServer, refusing_server


@pytest.fixture
def server() -> Iterator[RefusingServer]:
    with refusing_server() as made:
        yield made


class Process:
    """A session with the cache, its client, and its store."""

    def __init__(self, directory: Path, near: str) -> None:
        self.session = session_of()
        self.store = DiskStore(directory)
        self.cache: Cache = botocache.install(
            self.session,
            url=self.store,
            near="on" if near == "on" else "off",
            miss_leases=True,
            settle=0.0,
        )
        self.client: Any = None

    async def open(self, url: str, stack: AsyncExitStack) -> None:
        self.client = await stack.enter_async_context(client_of(url, self.session))

    @property
    def leases(self) -> leases.Leases:
        assert self.cache.leases is not None
        return self.cache.leases


def run(
    server: RefusingServer,
    processes: list[Process],
    application: Callable[..., Any],
) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            for each in processes:
                await each.open(server.url, stack)
            await application(*processes)

    asyncio.run(main())
    for each in processes:
        each.store.close()


@pytest.mark.parametrize("near", ["on", "off"])
def test_a_task_waits_for_another_process_and_keeps_no_thread_meanwhile(
    server: RefusingServer, tmp_path: Path, near: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, answers = threading.Semaphore(0), threading.Event()
    filled = threading.Event()

    def hold(_what: str) -> None:
        arrived.release()
        assert answers.wait(LONG)

    server.before_answer = hold
    pauses: list[int] = []

    async def sleep(_seconds: float) -> None:
        # Others may still ask the store. If this one kept a thread, it would never end.
        while offload_module._threads._outstanding:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)  # real: of other threads
        pauses.append(1)
        if len(pauses) == 2:
            answers.set()
            await asyncio.to_thread(filled.wait, LONG)

    monkeypatch.setattr(waits, "_sleep", sleep)

    async def application(here: Process, there: Process) -> None:
        first = asyncio.create_task(get(here.client, "t"))
        await asyncio.to_thread(arrived.acquire)
        first.add_done_callback(lambda _: filled.set())
        others = [asyncio.create_task(get(there.client, "t")) for _ in range(20)]
        assert {await each for each in (first, *others)} == {"0"}
        assert (there.leases.waits, there.leases.served) == (1, 1)

    run(server, [Process(tmp_path, near), Process(tmp_path, near)], application)
    assert sum(server.asked.values()) == 1
    assert len(pauses) == 2


@pytest.mark.parametrize("near", ["on", "off"])
def test_a_task_that_is_cancelled_under_its_lease_gives_it_back(
    server: RefusingServer, tmp_path: Path, near: str
) -> None:
    arrived, answers = threading.Semaphore(0), threading.Event()

    def hold(_what: str) -> None:
        arrived.release()
        assert answers.wait(LONG)

    server.before_answer = hold

    async def application(here: Process, there: Process) -> None:
        first = asyncio.create_task(get(here.client, "t"))
        await asyncio.to_thread(arrived.acquire)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        del first
        answers.set()
        assert await get(there.client, "t") == "0"
        assert (there.leases.taken, there.leases.served) == (1, 0)

    run(server, [Process(tmp_path, near), Process(tmp_path, near)], application)
