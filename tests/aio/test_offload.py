"""Who waits for the store: threads of a bounded number, for a bounded time."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from botocache._aiobotocore import offload as module
from botocache._aiobotocore.offload import MOST_THREADS, SLACK, Offload, offload_of
from botocache._cache.cache import Cache
from botocache._settings.load import load_settings
from botocache.stores.memory import MemoryStore
from botocache.stores.options import default_url
from botocache.stores.redis import deadlines
from tests.support.processes import eventually

PATIENCE = 0.01
LONG = 60

offload = Offload(waits=True, patience=LONG)
hurried = Offload(waits=True, patience=PATIENCE)


def refuse(*_: object) -> Any:
    """Stand in for a function that has to run in a thread."""
    raise AssertionError("a thread was free")


class Gate:
    """A store's verb that waits until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def __call__(self, result: object = None) -> object:
        self.entered.release()
        assert self._open.wait(LONG)
        return result


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a gate; open it in the end, so that no thread hangs."""
    made = Gate()
    yield made
    made.open()
    eventually(lambda: module._threads._outstanding == 0)


def test_a_server_may_take_longer_for_a_thread_beside_the_loop() -> None:
    slack = asyncio.run(offload.run(lambda: deadlines._call.slack, instead=refuse))
    assert (slack, deadlines._call.slack) == (SLACK, 0.0)


def test_what_never_waits_is_called_on_the_loop() -> None:
    never = Offload(waits=False, patience=LONG)
    thread = asyncio.run(never.run(threading.current_thread, instead=refuse))
    assert thread is threading.current_thread()


def test_what_may_wait_is_called_in_a_thread_that_keeps_no_process_alive() -> None:
    thread = asyncio.run(offload.run(threading.current_thread, instead=refuse))
    assert thread is not threading.current_thread()
    assert thread.daemon


tenant: ContextVar[str] = ContextVar("tenant")


def test_a_thread_has_the_context_of_its_caller() -> None:
    async def main() -> str:
        tenant.set("this one")
        return await offload.run(tenant.get, instead=refuse)

    assert asyncio.run(main()) == "this one"


def test_an_error_reaches_the_caller_and_leaves_the_thread_alive() -> None:
    async def main() -> int:
        for _ in range(2 * MOST_THREADS):
            with pytest.raises(ZeroDivisionError):
                await offload.run(divmod, 1, 0, instead=refuse)
        return await offload.run(max, 1, 2, instead=refuse)

    assert asyncio.run(main()) == 2


def test_other_tasks_go_on_while_the_store_waits(gate: Gate) -> None:
    async def main() -> object:
        waiting = asyncio.create_task(offload.run(gate, "late", instead=refuse))
        for _ in range(100):  # of which one would be enough to hang
            await asyncio.sleep(0)
        gate.open()  # by the loop itself: had it waited, nobody would
        return await waiting

    assert asyncio.run(main()) == "late"


def test_a_function_whose_task_is_cancelled_runs_to_its_end(gate: Gate) -> None:
    abandoned: list[object] = []

    async def main() -> None:
        task = asyncio.create_task(
            offload.run(gate, "a ticket", instead=refuse, on_abandoned=abandoned.append)
        )
        await asyncio.to_thread(gate.entered.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert abandoned == []
        gate.open()

    asyncio.run(main())
    eventually(lambda: abandoned == ["a ticket"])


def test_a_result_that_came_at_the_moment_of_the_cancellation_is_abandoned() -> None:
    abandoned: list[object] = []

    async def main() -> None:
        done = threading.Event()

        def work() -> str:
            try:
                return "a ticket"
            finally:
                done.set()

        task = asyncio.create_task(
            offload.run(work, instead=refuse, on_abandoned=abandoned.append)
        )
        await asyncio.sleep(0)
        assert done.wait(LONG)  # on the loop, which cannot take the result meanwhile
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    eventually(lambda: abandoned == ["a ticket"])


def test_a_result_for_a_loop_that_was_closed_is_abandoned(gate: Gate) -> None:
    abandoned: list[object] = []
    loop = asyncio.new_event_loop()
    running = offload.run(gate, 7, instead=refuse, on_abandoned=abandoned.append)

    async def begin() -> None:
        running.send(None)

    loop.run_until_complete(begin())
    loop.close()
    running.close()  # as the garbage collector does
    gate.open()
    eventually(lambda: abandoned == [7])


async def _fill_pool(gate: Gate) -> list["asyncio.Task[object]"]:
    tasks = [
        asyncio.create_task(offload.run(gate, instead=refuse))
        for _ in range(MOST_THREADS)
    ]
    await asyncio.sleep(0)
    return tasks


def test_a_call_that_finds_no_free_thread_in_time_goes_on_without(gate: Gate) -> None:
    async def main() -> None:
        hung = await _fill_pool(gate)
        loop = threading.current_thread()

        def instead(name: str) -> tuple[str, object]:
            return name, threading.current_thread()

        late = await hurried.run(refuse, "late", instead=instead)
        assert late == ("late", loop)
        assert threading.active_count() <= MOST_THREADS + 2  # pytest's own, perhaps
        gate.open()
        await asyncio.gather(*hung)

    asyncio.run(main())


def test_a_call_that_is_cancelled_in_the_queue_is_not_left_there(gate: Gate) -> None:
    done: list[str] = []

    async def main() -> None:
        hung = await _fill_pool(gate)
        task = asyncio.create_task(
            hurried.run(refuse, instead=lambda: "stood in", on_abandoned=done.append)
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(eventually, lambda: bool(done))
        gate.open()
        await asyncio.gather(*hung)

    asyncio.run(main())
    assert done == ["stood in"]


def test_the_queue_is_bounded(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", MOST_THREADS + 2)

    async def main() -> None:
        hung = await _fill_pool(gate)
        hung += [asyncio.create_task(offload.run(gate, instead=refuse)) for _ in "ab"]
        await asyncio.sleep(0)
        # By an offload with patience: it would wait for a minute.
        assert await offload.run(refuse, instead=lambda: "at once") == "at once"
        gate.open()
        await asyncio.gather(*hung)

    asyncio.run(main())


def test_work_is_handed_over_to_a_free_thread_or_done_instead(gate: Gate) -> None:
    done: list[str] = []
    offload.hand_over(done.append, "in a thread", instead=refuse)
    eventually(lambda: done == ["in a thread"])

    async def main() -> None:
        hung = await _fill_pool(gate)
        offload.hand_over(refuse, "instead", instead=done.append)
        gate.open()
        await asyncio.gather(*hung)

    asyncio.run(main())
    assert done == ["in a thread", "instead"]


def test_without_a_thread_work_is_done_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As at the end of the interpreter, since Python 3.12."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = module._Threads()
    monkeypatch.setattr(module, "_threads", threads)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert asyncio.run(hurried.run(refuse, instead=lambda: 7)) == 7
    done: list[int] = []
    hurried.hand_over(refuse, 8, instead=done.append)
    assert done == [8]


def test_a_forked_child_has_a_pool_of_its_own(gate: Gate) -> None:
    async def fill() -> None:
        hung = await _fill_pool(gate)
        await asyncio.to_thread(gate.entered.acquire)
        for task in hung:
            task.cancel()
        await asyncio.gather(*hung, return_exceptions=True)

    asyncio.run(fill())
    child = os.fork()
    if not child:
        status = 1
        try:
            status = asyncio.run(offload.run(int, "7", instead=refuse))
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_the_end_of_the_process_waits_a_moment_and_does_the_rest_instead(
    gate: Gate,
) -> None:
    done: list[str] = []
    threads = module._threads

    def put(function: Callable[..., Any], *arguments: Any) -> None:
        threads.put(module._Work(threads, function, arguments, done.append))

    for _ in range(MOST_THREADS):
        put(gate)
    put(refuse, "what waited")
    threads.deliver_until(0)
    assert done == ["what waited"]


def test_a_thread_that_has_nothing_to_do_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.001)
    threads = module._Threads()
    monkeypatch.setattr(module, "_threads", threads)
    thread = asyncio.run(offload.run(threading.current_thread, instead=refuse))
    thread.join(LONG)
    assert not thread.is_alive()
    assert threads._count == 0
    other = asyncio.run(offload.run(threading.current_thread, instead=refuse))
    assert other is not thread


class Derived(MemoryStore):
    """A store that may do anything in its verbs."""


@pytest.mark.parametrize(("store", "waits"), [(MemoryStore, False), (Derived, True)])
def test_only_a_store_whose_own_class_says_so_never_waits(
    store: type[MemoryStore], waits: bool
) -> None:
    cache = Cache(
        store(), load_settings({"timeout": 3, "url": "memory:"}, {}, default_url())
    )
    found = offload_of(cache)
    assert found.waits is waits
    assert found.patience == 3 + SLACK
    assert offload_of(cache) is found


def test_trio_waits_as_well(gate: Gate) -> None:
    trio = pytest.importorskip("trio")
    abandoned: list[object] = []

    async def main() -> None:
        assert await offload.run(max, 1, 2, instead=refuse) == 2
        with pytest.raises(ZeroDivisionError):
            await offload.run(divmod, 1, 0, instead=refuse)
        with trio.move_on_after(PATIENCE):
            await offload.run(
                gate, "cut", instead=refuse, on_abandoned=abandoned.append
            )
        async with trio.open_nursery() as nursery:
            for _ in range(MOST_THREADS - 1):
                nursery.start_soon(lambda: offload.run(gate, instead=refuse))
            await trio.sleep(PATIENCE)  # for the tasks to begin
            assert await hurried.run(refuse, instead=lambda: "late") == "late"
            gate.open()

    trio.run(main)
    eventually(lambda: abandoned == ["cut"])
