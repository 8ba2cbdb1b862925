"""A store of each kind, on the clock of its test."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from botocache._errors import EntryError
from botocache.stores.disk.store import DiskStore
from botocache.stores.keyed_names import Names, keyed_store
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from botocache.stores.redis.cluster.urls import endpoints_of_url
from botocache.stores.redis.urls import connections_of_url
from tests.support.keys import key
from tests.support.processes import TIMEOUT
from tests.support.redis_stores import cluster_store, redis_store


@contextmanager
def opened_store(kind: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Open a store for as long as the context lasts: "memory", "disk", "redis" ...

    Its clock, directory, server and namespace are fixtures.
    """
    made = _STORES[kind](request.getfixturevalue)
    try:
        yield made
    finally:
        made.close()


_Fixture = Callable[[str], Any]


def _memory(fixture: _Fixture) -> Store:
    return MemoryStore(clock=fixture("clock"))


def _keyed(fixture: _Fixture) -> Store:
    names = Names([key(1), None, key(2)])
    return keyed_store(_memory(fixture), lambda: names)


def _disk(fixture: _Fixture) -> Store:
    clock = fixture("clock")
    store = DiskStore(fixture("tmp_path") / "disk", clock=clock, wall_clock=clock)
    deadline = time.monotonic() + TIMEOUT
    while True:  # a busy machine may take longer to open it than the store waits
        try:
            store.clear()
        except EntryError:  # noqa: PERF203
            assert time.monotonic() < deadline, "entries are not opened"
        else:
            return store


def _redis(fixture: _Fixture) -> Store:
    name, make = connections_of_url(fixture("valkey").url, TIMEOUT)
    return redis_store(make, name=name, **_shared(fixture))


def _cluster(fixture: _Fixture) -> Store:
    name, endpoints = endpoints_of_url(fixture("cluster").url, TIMEOUT)
    return cluster_store(endpoints, name=name, **_shared(fixture))


def _shared(fixture: _Fixture) -> dict[str, Any]:
    return {
        "namespace": fixture("namespace"),
        "timeout": TIMEOUT,
        "settle": 0.0,  # a database that is new would else be held for a while
        "clock": fixture("clock"),
    }


_STORES: Mapping[str, Callable[[_Fixture], Store]] = {
    "memory": _memory,
    "keyed": _keyed,
    "disk": _disk,
    "redis": _redis,
    "cluster": _cluster,
}
