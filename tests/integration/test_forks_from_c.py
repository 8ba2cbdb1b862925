"""Workers that a server forks from C, after it has loaded the application: uWSGI.

Python's callbacks of a fork do not run there. Without them two workers would draw the
same generations, and an entry of one could come back to life by a write of another.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botocache import _forks
from botocache._cache.cache import Cache
from botocache._cache.tickets import Hit
from botocache._dynamodb.tags import table_tag, tag_digest
from botocache._settings.load import load_settings
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support.calls import call_of
from tests.support.processes import (
    TIMEOUT,
    by_itself,
    eventually,
    fork_from_c,
    forked,
)

TABLE_TAG = tag_digest(table_tag("t"))


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store
    is_memory = request.param == "memory"
    made = MemoryStore() if is_memory else DiskStore(tmp_path, is_behind=True)
    with contextlib.closing(made):
        yield made


def new_cache(store: Store) -> Cache:
    return Cache(store, load_settings({}, {}, "disk:"))


def evicted_generation(cache: Cache, store: Store) -> int:
    cache.invalidate("t")
    return store.load(b"k" * 16, [TABLE_TAG]).snapshot[0]


@by_itself
def test_no_two_workers_draw_the_same_generation(store: Store) -> None:
    cache = new_cache(store)
    seen = [evicted_generation(cache, store)]  # more are drawn than it takes

    def work(pipe: Any) -> None:
        pipe.send(evicted_generation(cache, store))

    for _ in range(3):
        with forked(work, fork_from_c) as worker:
            seen.append(worker.recv())
        seen.append(evicted_generation(cache, store))
    assert len(set(seen)) == len(seen)


def read(cache: Cache, pk: str) -> Any:
    item = {"pk": {"S": pk}}
    found: Any = cache.begin(call_of("GetItem"), {"TableName": "t", "Key": item})
    if not isinstance(found, Hit):
        cache.finish(found, {"Item": item}, succeeded=True, certain=True)
    return found


@by_itself
def test_what_a_worker_fills_is_written(tmp_path: Path) -> None:
    with contextlib.closing(DiskStore(tmp_path, is_behind=True)) as store:
        cache = new_cache(store)
        read(cache, "a")
        read(cache, "b")  # its thread is there now, and is not in the worker
        assert store.flush(TIMEOUT)  # it waits for entries, and not for Python's lock

        def work(pipe: Any) -> None:
            read(cache, "of the worker")
            with contextlib.closing(DiskStore(tmp_path)) as another:
                other = new_cache(another)
                eventually(lambda: isinstance(read_only(other), Hit))
            pipe.send("written")

        with forked(work, fork_from_c) as worker:
            assert worker.recv() == "written"


def read_only(cache: Cache) -> Any:
    item = {"pk": {"S": "of the worker"}}
    return cache.begin(call_of("GetItem"), {"TableName": "t", "Key": item})


@by_itself
def test_all_threads_of_a_worker_wait_for_one_renewal() -> None:
    class Owner:
        renewals = 0

        def renew(self) -> None:
            self.renewals += 1

    owner = Owner()
    _forks.renew_after_fork(owner, Owner.renew)

    def work(pipe: Any) -> None:
        assert not _forks.is_renewed()
        threads = [threading.Thread(target=_forks.renew) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(TIMEOUT)
        _forks.renew()
        pipe.send((owner.renewals, bool(_forks.is_renewed())))

    with forked(work, fork_from_c) as worker:
        assert worker.recv() == (1, True)
    assert (owner.renewals, bool(_forks.is_renewed())) == (0, True)


def test_pythons_own_fork_leaves_nothing_to_renew() -> None:
    with forked(lambda pipe: pipe.send(bool(_forks.is_renewed()))) as child:
        assert child.recv() is True


@by_itself
def test_a_system_without_such_memory_compares_process_ids() -> None:
    assert _forks._is_same_process()
    with forked(lambda pipe: pipe.send(_forks._is_same_process())) as child:
        assert child.recv() is True

    def work(pipe: Any) -> None:
        pipe.send(_forks._is_same_process())
        _forks.renew()
        pipe.send(_forks._is_same_process())

    with forked(work, fork_from_c) as worker:
        assert [worker.recv(), worker.recv()] == [False, True]
