"""Nothing waits behind a writer: not for its store, nor for a lock that it holds.

A thread stands in a verb of the store, or another connection has the database's lock.
Meanwhile hits, reads and writes of other items must come to their end. Times are the
benchmarks' affair; here a call that waits fails its test.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import botocache
from botocache.stores.disk import entry_database
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.integration.app import World, get, put, set_n
from tests.integration.test_races import TIMEOUT, Thread
from tests.support.forwarding_store import ForwardingStore
from tests.support.locks import all_locks, locked
from tests.support.network import intercepted

NEAR_HITS = 200
"""More than a sample's: now and then a hit does more for the statistics."""

local_stores = pytest.mark.parametrize("store", ["memory", "disk"], indirect=True)


class StoppingStore(ForwardingStore):
    """Stops the first thread that comes to a verb, until `go_on` is set.

    reached: set when a thread stands there.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.verb: str | None = None
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def _before(self, verb: str) -> None:
        if verb == self.verb and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(3 * TIMEOUT), "the test did not go on"


class Application:
    """Clients with the cache on a table, of which an item is remembered.

    near: has the near cache.
    hooks: has none, so that each of its hits is the store's.
    """

    def __init__(self, world: World, store: Store) -> None:
        off: dict[str, Any] = {"settle": 0, "write_hold_off": 0}
        sessions = world.session(), world.session()
        botocache.install(sessions[0], url=store, **off)
        botocache.install(sessions[1], url=store, near="off", **off)
        self.near, self.hooks = map(world.client, sessions)
        self.table = world.table("pk:S")
        for pk in ("warm", "written", "stopped"):
            put(self.near, self.table, pk=pk, n=1)
        self.near_hit()
        get(self.hooks, self.table, pk="warm")

    def near_hit(self) -> None:
        """Read what the near cache remembers."""
        for _ in range(NEAR_HITS):
            assert get(self.near, self.table, pk="warm") == {"pk": "warm", "n": 1}

    def store_hit(self) -> None:
        """Read what the store has; fail if it is no hit."""
        sent: list[object] = []
        with intercepted(self.hooks, "before-send", lambda **_: sent.append(1)):
            get(self.hooks, self.table, pk="warm")
        assert not sent

    def miss(self, pk: str = "missing") -> None:
        """Read what the store does not have."""
        get(self.near, self.table, pk=pk)

    def update(self, pk: str = "written") -> None:
        """Write an item."""
        set_n(self.near, self.table, 2, pk=pk)

    def works(self, *work: Callable[[], None]) -> None:
        """Do all of it in threads; fail if one of them does not come to its end."""
        threads = [Thread(each) for each in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.finish()


STOPPED: dict[str, Callable[[Application], None]] = {
    "load": lambda application: application.miss("absent"),
    "fill": lambda application: application.miss("absent"),
    "evict": lambda application: application.update("stopped"),
}
"""Calls that come to a verb of the store."""


@local_stores
@pytest.mark.parametrize("verb", STOPPED)
def test_other_calls_go_on_while_one_stands_in_the_store(
    verb: str, world: World
) -> None:
    store = StoppingStore(world.store)
    application = Application(world, store)
    store.verb = verb
    stopped = Thread(lambda: STOPPED[verb](application))
    stopped.start()
    assert store.reached.wait(TIMEOUT)
    try:
        each = application
        each.works(each.near_hit, each.store_hit, each.miss, each.update)
    finally:
        store.go_on.set()
    stopped.finish()


def test_a_near_hit_takes_no_lock_of_the_memory_store(world: World) -> None:
    assert isinstance(world.store, MemoryStore)
    application = Application(world, world.store)
    locks = all_locks(world.store)
    assert locks
    with locked(locks):
        application.works(application.near_hit)


@pytest.mark.parametrize("store", ["disk"], indirect=True)
def test_hits_and_writes_go_on_while_another_writes_in_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(world.store, DiskStore)
    application = Application(world, world.store)
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", 2.0 * TIMEOUT)
    with writing_in(world.store.directory):
        each = application
        each.works(each.near_hit, each.store_hit, each.update)


@contextlib.contextmanager
def writing_in(directory: Path) -> Iterator[None]:
    """Have the lock of writers of a store's database, as another process would."""
    (path,) = directory.glob("**/cache.db")
    database = sqlite3.connect(path, isolation_level=None, timeout=0)
    with contextlib.closing(database):
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")
