"""bypass() and refresh(), and the threads and tasks that they apply to."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import boto3
import pytest

import botocache
from botocache import Cache
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.integration.app import World, get, put, query, set_n
from tests.support.clock import FakeClock
from tests.support.write_through import without_write_through

TIMEOUT = 30


@pytest.fixture
def cache(world: World, session: boto3.Session) -> Cache:
    """The cache: a read that follows a write is held off, and not made consistent."""
    return without_write_through(
        botocache.install(session, url=world.store, reads_after_write="uncached")
    )


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """One store is enough: nothing here depends on which."""
    return MemoryStore(clock=clock)


MODES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "bypass": botocache.bypass,
    "refresh": botocache.refresh,
}

modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())


@pytest.fixture
def warm(world: World, table: str, client: Any) -> str:
    """The name of a table whose item a is cached with n=1, and has n=2 by now."""
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    query(client, table, pk="a")
    put(world.outside, table, pk="a", n=2)
    return table


def n_of(client: Any, table: str) -> int:
    """Return the attribute `n` of the item a, as its GetItem and its Query have it."""
    item = get(client, table, pk="a")
    assert item is not None
    assert query(client, table, pk="a") == [item]
    return int(item["n"])


def test_bypass_neither_reads_nor_fills(
    warm: str, client: Any, cache: Cache, world: World
) -> None:
    with botocache.bypass(), world.counting() as reached:
        assert [n_of(client, warm) for _ in range(2)] == [2, 2]
    assert reached == {"GetItem": 2, "Query": 2}
    assert n_of(client, warm) == 1  # the entry is untouched
    assert cache.stats().bypassed == 4


def test_refresh_reads_from_dynamodb_and_fills(
    warm: str, client: Any, world: World
) -> None:
    with botocache.refresh(), world.counting() as reached:
        assert [n_of(client, warm) for _ in range(2)] == [2, 2]
    assert reached == {"GetItem": 2, "Query": 2}
    with world.counting() as reached:
        assert n_of(client, warm) == 2
    assert reached == {}


@modes
def test_a_write_evicts_in_every_mode(
    mode: Callable[[], AbstractContextManager[None]], world: World, client: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    assert n_of(client, table) == 1
    with mode():
        set_n(client, table, 2, pk="a")
    assert n_of(client, table) == 2
    world.settle()
    with world.counting() as reached:
        assert [n_of(client, table) for _ in range(2)] == [2, 2]
    assert reached == {"GetItem": 1, "Query": 1}


def test_refresh_does_not_fill_on_hold_off(
    world: World, table: str, client: Any
) -> None:
    set_n(client, table, 1, pk="a")
    with botocache.refresh():
        n_of(client, table)
    with world.counting() as reached:
        n_of(client, table)
    assert reached == {"GetItem": 1, "Query": 1}


@modes
def test_a_mode_ends_with_an_exception(
    mode: Callable[[], AbstractContextManager[None]],
    world: World,
    table: str,
    client: Any,
) -> None:
    class Trouble(Exception):  # noqa: N818 - it is none
        pass

    put(world.outside, table, pk="a", n=1)
    with pytest.raises(Trouble), mode():
        raise Trouble
    with world.counting() as reached:
        assert [n_of(client, table) for _ in range(2)] == [1, 1]
    assert reached == {"GetItem": 1, "Query": 1}


def test_modes_nest(warm: str, client: Any) -> None:
    with botocache.bypass():
        with botocache.bypass():
            assert n_of(client, warm) == 2
        assert n_of(client, warm) == 2
        with botocache.refresh():
            pass  # nothing is read, so nothing is filled
        assert n_of(client, warm) == 2
    assert n_of(client, warm) == 1
    with botocache.refresh():
        with botocache.bypass():
            assert n_of(client, warm) == 2
        with botocache.bypass():
            pass
    assert n_of(client, warm) == 1
    with botocache.bypass(), botocache.refresh():
        assert n_of(client, warm) == 2
    with botocache.bypass(), botocache.refresh():
        pass
    assert n_of(client, warm) == 2


@modes
def test_threads_do_not_inherit_a_mode(
    mode: Callable[[], AbstractContextManager[None]], warm: str, client: Any
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with mode():
            assert pool.submit(n_of, client, warm).result(TIMEOUT) == 1
        assert pool.submit(n_of, client, warm).result(TIMEOUT) == 1


def test_a_mode_in_a_thread_holds_for_no_other(warm: str, client: Any) -> None:
    entered, leave = threading.Event(), threading.Event()
    found: list[int] = []

    def bypass() -> None:
        with botocache.bypass():
            entered.set()
            assert leave.wait(TIMEOUT)
            found.append(n_of(client, warm))

    thread = threading.Thread(target=bypass, daemon=True)
    thread.start()
    assert entered.wait(TIMEOUT)
    assert n_of(client, warm) == 1
    leave.set()
    thread.join(TIMEOUT)
    assert found == [2]


def test_asyncio_tasks_are_isolated(warm: str, client: Any) -> None:
    async def read(mode: AbstractContextManager[None]) -> int:
        with mode:
            await asyncio.sleep(0)  # the others enter their modes
            found = n_of(client, warm)
            await asyncio.sleep(0)
        return found

    async def read_all() -> tuple[int, int, int]:
        normal, bypassed, other = nullcontext(), botocache.bypass(), nullcontext()
        return await asyncio.gather(read(normal), read(bypassed), read(other))

    assert tuple(asyncio.run(asyncio.wait_for(read_all(), TIMEOUT))) == (1, 2, 1)


def test_a_task_that_starts_within_a_mode_keeps_it_and_changes_no_other_task(
    warm: str, client: Any
) -> None:
    async def read() -> int:
        await asyncio.sleep(0)
        return n_of(client, warm)

    async def read_both() -> list[int]:
        with botocache.bypass():
            inside = asyncio.create_task(read())
            within = await read()
        return [within, await inside, await read()]

    assert asyncio.run(asyncio.wait_for(read_both(), TIMEOUT)) == [2, 2, 1]


def test_asyncios_to_thread_inherits_a_mode(warm: str, client: Any) -> None:
    async def read_both() -> list[int]:
        with botocache.bypass():
            bypassed = await asyncio.to_thread(n_of, client, warm)
        return [bypassed, await asyncio.to_thread(n_of, client, warm)]

    assert asyncio.run(asyncio.wait_for(read_both(), TIMEOUT)) == [2, 1]


def test_asyncios_executor_does_not_inherit_a_mode(warm: str, client: Any) -> None:
    async def read() -> int:
        loop = asyncio.get_running_loop()
        with botocache.bypass():
            return await loop.run_in_executor(None, n_of, client, warm)

    assert asyncio.run(asyncio.wait_for(read(), TIMEOUT)) == 1


def test_bypass_holds_for_a_resource_and_for_pages_too(
    warm: str, client: Any, resource: Any, world: World
) -> None:
    table = resource.Table(warm)
    with botocache.bypass(), world.counting() as reached:
        for _ in range(2):
            assert table.get_item(Key={"pk": "a"})["Item"]["n"] == 2
    assert reached == {"GetItem": 2}
    assert table.get_item(Key={"pk": "a"})["Item"]["n"] == 1
