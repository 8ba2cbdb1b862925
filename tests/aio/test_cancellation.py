"""Calls that are cut at each await: what a write had to evict, it evicts."""

import asyncio
import gc
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest

import botocache
from botocache._aiobotocore import offload as offload_module
from botocache._aiobotocore.cancellation import close_if_cut, note_context
from botocache._cache.cache import Cache
from botocache._cache.prepare import Call
from botocache._cache.read_mode import Mode
from botocache._settings.load import load_settings
from botocache.stores.options import default_url
from tests.aio.app import LONG, WatchedMemory, WatchedWaiting, client_of, get, put
from tests.aio.app import new_session as session_of
from tests.support.processes import eventually
from tests.support.refusing_server import RefusingServer, refusing_server

WRITE_HOLD_OFF = 7.0
SETTLE = 3.0


class World:
    """An application with the cache, and a DynamoDB whose answers can be held back."""

    def __init__(self, server: RefusingServer, store: WatchedMemory) -> None:
        self.server = server
        self.store = store
        self.cache: Cache
        self.arrived = threading.Semaphore(0)
        self._answers = threading.Event()
        self._answers.set()
        server.before_answer = self._hold

    def _hold(self, _what: str) -> None:
        self.arrived.release()
        assert self._answers.wait(LONG)

    def hold_answers(self) -> None:
        self._answers.clear()

    def let_answer(self) -> None:
        self._answers.set()

    def run(self, application: Callable[[Any], Awaitable[None]]) -> None:
        async def main() -> None:
            session = session_of()
            self.cache = botocache.install(
                session,
                url=self.store,
                near="off",
                settle=SETTLE,
                write_hold_off=WRITE_HOLD_OFF,
            )
            async with client_of(self.server.url, session) as client:
                await application(client)

        asyncio.run(main())

    def is_settled(self) -> bool:
        """Return whether no thread works, and nothing is pending."""
        return (
            offload_module._threads._outstanding == 0
            and not self.cache.stats().undelivered
        )

    def settle(self) -> None:
        """Wait for the threads."""
        eventually(self.is_settled)


@pytest.fixture(params=[WatchedMemory, WatchedWaiting], ids=["memory", "waiting"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with refusing_server() as server:
        world = World(server, request.param())
        try:
            yield world
        finally:
            world.let_answer()


@pytest.fixture(autouse=True)
def _all_is_awaited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a coroutine behind that was never awaited."""
    left: list[str] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda each: left.append(str(each.exc_value))
    )
    yield
    gc.collect()
    assert left == []


async def cut(call: Awaitable[Any], steps: int) -> bool:
    """Cut a call after some steps of the loop; return whether it had not ended."""
    task = asyncio.ensure_future(call)
    for _ in range(steps):
        await asyncio.sleep(0)
        if task.done():
            break
    is_cut = task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return is_cut


def test_a_write_that_is_cut_while_it_is_sent_evicts_again_at_once(
    world: World,
) -> None:
    async def application(client: Any) -> None:
        await get(client, "t")
        world.hold_answers()
        task = asyncio.create_task(put(client, "t", 1))
        await asyncio.to_thread(_skip, world.arrived, 2)
        (first,) = world.store.evictions
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not world.store.waits:
            assert len(world.store.evictions) == 2
        await asyncio.to_thread(world.settle)
        _, second = world.store.evictions
        assert set(second.tags) >= set(first.tags)
        # It may still be carried out.
        assert second.hold_off == WRITE_HOLD_OFF
        world.let_answer()

    world.run(application)


def _skip(semaphore: threading.Semaphore, times: int) -> None:
    for _ in range(times):
        semaphore.acquire()


def test_a_write_that_its_caller_gives_up_evicts_again(world: World) -> None:
    async def application(client: Any) -> None:
        world.hold_answers()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(put(client, "t", 1), 0.05)
        await asyncio.to_thread(world.settle)
        assert len(world.store.evictions) == 2
        world.let_answer()

    world.run(application)


def test_a_write_is_cut_at_each_step_and_evicts_all_it_began(world: World) -> None:
    ends: set[int] = set()

    async def application(client: Any) -> None:
        await put(client, "t", 0)  # connections, and what is learnt once
        steps, is_cut = 0, True
        while is_cut:
            await asyncio.to_thread(world.settle)
            world.store.evictions.clear()
            is_cut = await cut(put(client, "t", 1), steps)
            await asyncio.to_thread(world.settle)
            evictions = world.store.evictions
            ends.add(len(evictions))
            if evictions:
                first, *rest = evictions
                assert rest
                assert set(rest[-1].tags) >= set(first.tags)
                # Not sent, or answered; or perhaps under way.
                assert rest[-1].hold_off in {SETTLE, WRITE_HOLD_OFF}
            steps += 1
        assert steps > 5

    world.run(application)
    assert ends == {0, 2}  # before it was begun, and after


def test_a_read_is_cut_at_each_step_and_leaves_nothing(world: World) -> None:
    async def application(client: Any) -> None:
        steps, is_cut = 0, True
        while is_cut:
            world.server.value = str(steps)
            is_cut = await cut(get(client, "t", f"pk-{steps}"), steps)
            await asyncio.to_thread(world.settle)
            assert await get(client, "t", f"pk-{steps}") == str(steps)
            steps += 1

    world.run(application)
    stats = world.cache.stats()
    assert stats.failures == {}
    assert stats.undelivered == 0


def test_a_write_that_is_cut_while_it_begins_was_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(WatchedWaiting):
        waits = True

        def evict(self, request: Any) -> Any:
            answer = super().evict(request)
            if len(self.evictions) == 1:
                entered.set()
                assert go_on.wait(LONG)
            return answer

    with refusing_server() as server:
        world = World(server, Slow())

        async def application(client: Any) -> None:
            task = asyncio.create_task(put(client, "t", 1))
            await asyncio.to_thread(entered.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(world.store.evictions) == 1
            go_on.set()
            await asyncio.to_thread(world.settle)
            _, second = world.store.evictions
            assert second.hold_off == SETTLE  # it is certain: nothing was sent

        world.run(application)
        assert not server.asked


def test_a_write_that_is_cut_while_it_ends_evicts_to_the_end() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(WatchedWaiting):
        waits = True

        def evict(self, request: Any) -> Any:
            if self.evictions and not go_on.is_set():
                entered.set()
                assert go_on.wait(LONG)
            return super().evict(request)

    with refusing_server() as server:
        world = World(server, Slow())

        async def application(client: Any) -> None:
            task = asyncio.create_task(put(client, "t", 1))
            await asyncio.to_thread(entered.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            await asyncio.to_thread(world.settle)
            _, second = world.store.evictions
            assert second.hold_off == SETTLE

        world.run(application)


def test_an_error_of_a_handler_ends_the_call_as_well(world: World) -> None:
    def fail(**_: Any) -> None:
        raise KeyError("as the test wants it")

    async def application(client: Any) -> None:
        client.meta.events.register("before-call.dynamodb.PutItem", fail)
        client.meta.events.register_last("before-call", fail)
        with pytest.raises(KeyError):
            await put(client, "t", 1)
        await asyncio.to_thread(world.settle)

    world.run(application)
    assert len(world.store.evictions) in {0, 2}


def test_a_call_within_a_call_is_ended_by_itself(world: World) -> None:
    """A handler of the one makes the other, which is cut."""

    async def application(client: Any) -> None:
        async with client_of(world.server.url, session_of("AKIAOTHER")) as other:

            async def read_first(**_: Any) -> None:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(get(other, "t"), 0.05)
                world.let_answer()

            client.meta.events.register("before-send.dynamodb.PutItem", read_first)
            world.hold_answers()
            await put(client, "t", 1)

    world.run(application)
    world.settle()
    assert [each.hold_off for each in world.store.evictions][1:] == [SETTLE]


def test_a_call_that_is_closed_in_another_context_evicts(
    world: World,
) -> None:
    """As the garbage collector closes what a loop has left behind."""
    cache = Cache(world.store, load_settings({"url": "memory:"}, {}, default_url()))
    world.cache = cache
    item = {"TableName": "t", "Item": {"pk": {"S": "a"}}}
    ticket = cache.begin(Call("PutItem", "here", None, Mode.NORMAL), item)
    signer: Any = object()
    context: Any = {"botocache_ticket": (cache, ticket)}

    async def pipeline(_operation: str, _arguments: object) -> Any:
        note_context(signer, context)
        await asyncio.Future(loop=loop)

    loop = asyncio.new_event_loop()
    call = close_if_cut(signer, pipeline, "PutItem", {})
    copy_context().run(call.send, None)
    loop.close()
    assert len(world.store.evictions) == 1
    call.close()
    world.settle()
    assert len(world.store.evictions) == 2
    assert context == {}
