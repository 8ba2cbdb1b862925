"""Many callers in one process, and in those forked from it, keep the promise.

As a server of many workers has them (installed before it forks), a pool of threads on
one client, and asyncio code that calls a client in threads.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.config import Config

import botocache
from tests.soak.caller import Caller, Surroundings
from tests.soak.calls import create_tables
from tests.soak.checker import violations
from tests.soak.journal import History, Journal, now, read_history
from tests.support.dynamodb import DynamoDB, running_dynamodb
from tests.support.processes import eventually, forked, in_threads

DURATION = 2_500_000_000
"""Nanoseconds for which callers call: more than one cycle of theirs."""


@pytest.fixture(scope="module")
def slow_dynamodb() -> Iterator[DynamoDB]:
    with running_dynamodb("tests.soak.server") as server:
        yield server


class Crowd:
    """Callers of one application, with the cache installed on the process."""

    def __init__(self, server: DynamoDB, place: Path) -> None:
        self._server = server
        self._place = place
        self._tables = create_tables(server)
        self._journal = Journal(place / "crowd.journal")
        self.cache = botocache.install(
            url=f"disk://{place / 'store'}", settle=0.02, write_hold_off=0.5
        )

    def client(self) -> Any:
        return self._server.client(config=Config(max_pool_connections=16))

    def caller(self, name: str, client: Any) -> Caller:
        around = Surroundings(
            client,
            self._tables,
            self._journal,
            lambda: self.cache.stats().undelivered,
        )
        return Caller(name, Random(name), around)

    def history(self) -> History:
        return read_history(self._place)


@pytest.fixture
def crowd(slow_dynamodb: DynamoDB, tmp_path: Path) -> Crowd:
    """A crowd with a store in use: SQLite may take a while to open."""
    crowd = Crowd(slow_dynamodb, tmp_path)
    first = crowd.caller("first", crowd.client())

    def has_hit() -> bool:
        first.read()
        return crowd.cache.stats().hits > 0

    eventually(has_hit)
    return crowd


def call_for_a_while(*callers: Caller) -> None:
    """Make calls with all callers, each in a thread of its own."""
    end = now() + DURATION

    def work(caller: Caller) -> None:
        while now() < end:
            caller.call()

    in_threads([partial(work, caller) for caller in callers])


def assert_the_promise_was_kept(crowd: Crowd) -> None:
    history = crowd.history()
    assert violations(history) == []
    assert history.errors == []
    assert any(write.ended for write in history.writes)
    assert hitting(history) > {"first"}


def hitting(history: History) -> set[str]:
    """Return the first parts of the names of callers with a hit."""
    return {read.name.partition("/")[0] for read in history.reads if read.is_hit}


def test_processes_forked_after_the_installation_read_nothing_stale(
    crowd: Crowd,
) -> None:
    client = crowd.client()

    def child(pipe: Any) -> None:
        name = pipe.recv()
        call_for_a_while(*(crowd.caller(f"{name}/{n}", client) for n in range(3)))

    with contextlib.ExitStack() as children:
        for number in range(4):
            children.enter_context(forked(child)).send(f"child{number}")
        call_for_a_while(crowd.caller("parent", client))
    assert_the_promise_was_kept(crowd)


def test_sixteen_threads_on_one_client_read_nothing_stale(crowd: Crowd) -> None:
    client = crowd.client()
    call_for_a_while(*(crowd.caller(f"thread{n}", client) for n in range(16)))
    assert_the_promise_was_kept(crowd)


def test_asyncio_tasks_that_call_a_client_in_threads_read_nothing_stale(
    crowd: Crowd,
) -> None:
    client = crowd.client()
    end = now() + DURATION
    modes = {
        "normal": contextlib.nullcontext,
        "bypassing": botocache.bypass,
        "refreshing": botocache.refresh,
    }

    async def task(caller: Caller, mode: AbstractContextManager[None]) -> None:
        with mode:
            while now() < end:
                await asyncio.to_thread(caller.call)

    async def all_tasks() -> None:
        await asyncio.gather(
            *(
                task(crowd.caller(f"{name}/{number}", client), mode())
                for name, mode in modes.items()
                for number in range(5)
            )
        )

    asyncio.run(all_tasks())
    assert_the_promise_was_kept(crowd)
    assert hitting(crowd.history()) == {"first", "normal"}
