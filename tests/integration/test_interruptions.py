"""A time limit comes up anywhere in a call, reaches the application, and all is well.

A signal handler may also use the cache itself, in the middle of a call.
"""

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

import botocache
from botocache import Cache
from tests.integration.app import (
    WINDOW,
    World,
    delete,
    every_store,
    get,
    put,
    query,
    set_n,
    wire,
)
from tests.support.interruptions import Interruption, lines_of
from tests.support.processes import TIMEOUT, eventually

PLACES = 25 if os.environ.get("EXAMPLES") == "new" else 3
"""How many lines of each call are interrupted, from the first to the last."""


class TimeLimit(Exception):  # noqa: N818 - as applications name theirs
    """An application's time limit."""


class SlowLimit(TimeoutError):  # noqa: N818 - as applications name theirs
    """Another, which redis-py takes for an error of a socket."""


LIMITS = [TimeLimit, SlowLimit, KeyboardInterrupt]


def get_both(client: Any, table: str) -> dict[str, int]:
    """Read two items as a batch; `b` was not read before."""
    keys = [wire({"pk": pk}) for pk in "ab"]
    answer = client.batch_get_item(RequestItems={table: {"Keys": keys}})
    items = answer["Responses"][table]
    return {item["pk"]["S"]: int(item["n"]["N"]) for item in items}


CALLS: dict[str, Callable[[Any, str], object]] = {
    "hit": lambda client, table: get(client, table, pk="a"),
    "miss": lambda client, table: get(client, table, pk="b"),
    "query": lambda client, table: query(client, table, pk="b"),
    "batch": get_both,
    "update": lambda client, table: set_n(client, table, 2, pk="a"),
    "put": lambda client, table: put(client, table, pk="b", n=2),
    "delete": lambda client, table: delete(client, table, pk="b"),
}

STORES = ["memory", "disk", "redis"]

each_way = pytest.mark.parametrize("near", ["on", "off"])

each_pair = pytest.mark.parametrize(
    ("name", "store", "near"),
    [
        pytest.param(
            name,
            store,
            near,
            marks=[pytest.mark.long("each two of the three together")]
            if (at + STORES.index(store)) % 2 != (near == "on")
            else [],
        )
        for at, name in enumerate(CALLS)
        for store in STORES
        for near in ("on", "off")
    ],
    indirect=["store"],
)
"""Runs a test with each call, on each store, with near reads and without.

In `make test` each two of them come together, which is half of all."""


class Application:
    """Two processes, as it were: one whose calls are interrupted, and another."""

    def __init__(self, world: World, near: Any) -> None:
        self.world = world
        session, other = world.session(), world.session()
        self.cache: Cache = botocache.install(session, url=world.store, near=near)
        botocache.install(other, url=world.store, near="off", ttl=61)
        self.client, self.other = world.client(session), world.client(other)
        self.table = world.table("pk:S")

    def prepare(self) -> None:
        """Have `a` cached, and `b` not."""
        for pk in "ab":
            put(self.client, self.table, pk=pk, n=1)
        self.world.settle()
        self.cache.clear()
        self.world.clock.advance(1.1)
        for _ in range(3):
            get(self.client, self.table, pk="a")

    def check(self, place: str) -> None:
        """Check that no process is served anything but what DynamoDB holds."""
        self.world.clock.advance(1.1)  # what is pending is tried again
        get(self.client, self.table, pk="z")
        eventually(lambda: self.cache.stats().undelivered == 0)
        for pk in "ab":
            truth = get(self.world.outside, self.table, pk=pk)
            for client in (self.client, self.other, self.client):
                assert get(client, self.table, pk=pk) == truth, place
            assert query(self.client, self.table, pk=pk) == [truth] * bool(truth), place

    def check_that_it_caches(self) -> None:
        """Check that other threads can use everything, and that hits are hits."""
        self.prepare()
        self.world.clock.advance(10.0)
        done: list[object] = []

        def use() -> None:
            for _ in range(2):
                put(self.client, self.table, pk="b", n=3)
                self.world.settle()
                done.extend(get(self.client, self.table, pk="b") for _ in range(3))
            with self.world.counting() as reached:
                done.append(get(self.client, self.table, pk="b"))
            done.append(reached)

        thread = threading.Thread(target=use, daemon=True)
        thread.start()
        thread.join(TIMEOUT)
        assert done == [{"pk": "b", "n": 3}] * 7 + [{}]
        assert self.cache.stats().failures == {}


def places(call: Callable[[], object], prepare: Callable[[], None]) -> Iterator[int]:
    """Yield lines of a call, from the first to the last; prepare before each."""
    prepare()
    count = lines_of(call)
    assert count > 10
    for number in range(PLACES):
        prepare()
        yield number * (count - 1) // (PLACES - 1)


@each_pair
def test_a_time_limit_in_the_middle_of_a_call_reaches_the_application(
    name: str, near: Any, world: World
) -> None:
    application = Application(world, near)
    call = partial(CALLS[name], application.client, application.table)
    for number, at in enumerate(places(call, application.prepare)):
        limit = LIMITS[number % len(LIMITS)]

        def interrupt(limit: type[BaseException] = limit) -> None:
            raise limit

        interruption = Interruption(at, interrupt)
        with contextlib.suppress(limit):
            interruption.during(call)
            assert not interruption.place, f"lost at {interruption.place}"
        application.check(interruption.place)
    application.check_that_it_caches()


@every_store
@each_way
def test_no_line_of_a_hit_takes_a_time_limit_for_an_error_of_the_system(
    near: Any, world: World
) -> None:
    application = Application(world, near)
    application.prepare()
    call = partial(CALLS["hit"], application.client, application.table)

    def interrupt() -> None:
        raise TimeoutError

    with world.counting() as reached:
        for at in range(lines_of(call)):
            interruption = Interruption(at, interrupt)
            with contextlib.suppress(TimeoutError):
                interruption.during(call)
                assert not interruption.place, f"lost at {interruption.place}"
            assert call() == {"pk": "a", "n": 1}, interruption.place
    assert reached == {}
    application.check_that_it_caches()


@each_pair
def test_a_handler_may_use_the_cache_in_the_middle_of_a_call(
    name: str, near: Any, world: World
) -> None:
    application = Application(world, near)
    table = application.table
    call = partial(CALLS[name], application.client, table)
    numbers = iter(range(10, 1000))

    def use() -> None:
        number = next(numbers)
        set_n(application.client, table, number, pk="a")
        put(application.client, table, pk="b", n=number)
        expected = {"a": number, "b": number}
        assert get_both(application.client, table) == expected
        assert get(application.client, table, pk="a") == {"pk": "a", "n": number}

    def run() -> None:
        for at in places(call, application.prepare):
            interruption = Interruption(at, use)
            interruption.during(call)
            application.check(interruption.place)
        application.check_that_it_caches()
        done.append(True)

    done: list[bool] = []
    # In a thread, so that the test ends if a lock waits for itself.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(2 * TIMEOUT)
    assert done


@every_store
@each_way
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_in_a_storm_of_alarms_each_reaches_the_application(
    near: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = Application(world, near)
    client, table = application.client, application.table
    application.prepare()
    raised = 0
    reached: set[int] = set()
    dropped: set[int] = set()

    def ring(_: int, frame: FrameType | None) -> None:
        nonlocal raised
        raised += 1
        while frame is not None:
            if frame.f_code.co_name == "__del__":  # that of redis-py drops all errors
                dropped.add(raised)
            frame = frame.f_back
        raise TimeLimit

    def unraisable(lost: Any) -> None:
        # Python drops what is raised in `__del__` or the callback of a reference.
        # A thread whose start is interrupted may end with a KeyError of `threading`.
        if lost.exc_type is TimeLimit:
            dropped.add(raised)

    monkeypatch.setattr(sys, "unraisablehook", unraisable)
    before = signal.signal(signal.SIGALRM, ring)
    try:
        for number in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.001 + number % 37 * 1e-5)
                end = time.monotonic() + TIMEOUT
                # Until the alarm, also if Python drops what it raises.
                while raised == number and time.monotonic() < end:
                    get(client, table, pk="a")  # hits, so botocore waits for nothing
            except TimeLimit:  # noqa: PERF203 - one alarm after the other
                reached.add(raised)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    gc.collect()  # sockets whose closing was interrupted
    assert raised == 60
    assert reached | dropped == {*range(1, 61)}
    assert len(reached) > 30
    application.check("the storm")
    application.check_that_it_caches()


@every_store
@each_way
@pytest.mark.parametrize("limit", LIMITS)
def test_a_long_write_that_is_interrupted_evicts_all_the_same(
    limit: type[BaseException], near: Any, world: World
) -> None:
    application = Application(world, near)
    application.prepare()
    client, other, table = application.client, application.other, application.table

    def take_long(**_: object) -> None:
        world.clock.advance(WINDOW)  # the hold-off of its begin is over
        assert get(other, table, pk="a") == {"pk": "a", "n": 1}

    def interrupt(**_: object) -> None:
        raise limit  # DynamoDB has carried the write out

    events = client.meta.events
    events.register("before-send.dynamodb.PutItem", take_long)
    events.register("response-received.dynamodb.PutItem", interrupt)
    with pytest.raises(limit):
        put(client, table, pk="a", n=2)
    events.unregister("response-received.dynamodb.PutItem", interrupt)
    events.unregister("before-send.dynamodb.PutItem", take_long)
    application.check("a long write")
    assert get(other, table, pk="a") == {"pk": "a", "n": 2}
