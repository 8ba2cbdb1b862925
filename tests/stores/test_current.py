"""`is_current` of the local stores: it sees every eviction, and never waits."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botocache._coherence import EvictionRequest
from botocache._errors import StoreLostError
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support.clock import FakeClock
from tests.support.digests import key, tag
from tests.support.locks import all_locks, locked
from tests.support.processes import TIMEOUT, forked

KEY = key("an entry")
A, B = tag("a"), tag("b")


@pytest.fixture(params=["memory", "disk"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Iterator[Store]:
    made = (
        MemoryStore(clock=clock)
        if request.param == "memory"
        else DiskStore(tmp_path / "disk", clock=clock)
    )
    yield made
    made.close()


@pytest.fixture
def disk(tmp_path: Path, clock: FakeClock) -> Iterator[DiskStore]:
    made = DiskStore(tmp_path / "disk", clock=clock)
    yield made
    made.close()


def generations(store: Store, *asked: bytes) -> tuple[int, ...]:
    return store.load(KEY, asked).snapshot


def test_a_loaded_snapshot_is_current_until_a_tag_is_evicted(store: Store) -> None:
    snapshot = generations(store, A, B)
    assert store.is_current([A, B], snapshot)
    assert store.is_current((A, B), list(snapshot))
    store.evict(EvictionRequest([A], 0.0))
    assert not store.is_current([A, B], snapshot)
    assert store.is_current([B], snapshot[1:])


def test_the_generations_that_an_eviction_left_are_current(store: Store) -> None:
    evicted = store.evict(EvictionRequest([A], 0.0, watch=[A, B]))
    assert store.is_current([A, B], [evicted.watched[A], evicted.watched[B]])


def test_an_empty_snapshot_of_no_tags_is_current(store: Store) -> None:
    generations(store)
    assert store.is_current([], ())


def test_a_restored_generation_is_current_again(store: Store) -> None:
    before = generations(store, A)
    first = store.evict(EvictionRequest([A], 5.0))
    assert not store.is_current([A], before)
    store.evict(EvictionRequest([A], 1.0, first_eviction=first, restore=[A]))
    assert store.is_current([A], before)


def test_a_child_sees_its_parents_evictions_at_once(store: Store) -> None:
    before = generations(store, A)

    def child(pipe: Any) -> None:
        generations(store, A)  # a store on disk opens anew
        pipe.send(store.is_current([A], before))
        assert pipe.recv() == "evicted"
        pipe.send(store.is_current([A], before))

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is True
        store.evict(EvictionRequest([A], 0.0))
        pipe.send("evicted")
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is False
    assert not store.is_current([A], before)


def test_nothing_is_current_before_a_store_on_disk_is_open(disk: DiskStore) -> None:
    assert not disk.is_current([], ())
    assert not disk.directory.exists()


def test_nothing_is_current_in_a_store_on_disk_that_is_closed(
    disk: DiskStore,
) -> None:
    snapshot = generations(disk, A)
    disk.close()
    assert not disk.is_current([A], snapshot)
    generations(disk, A)
    assert disk.is_current([A], snapshot)


def test_an_eviction_of_another_process_is_seen_at_once(
    disk: DiskStore, tmp_path: Path
) -> None:
    snapshot = generations(disk, A)
    DiskStore(tmp_path / "disk").evict(EvictionRequest([A], 0.0))
    assert not disk.is_current([A], snapshot)


def test_nothing_is_current_once_the_directory_is_removed(disk: DiskStore) -> None:
    snapshot = generations(disk, A)
    shutil.rmtree(disk.directory)
    assert not disk.is_current([A], snapshot)
    with pytest.raises(StoreLostError):  # the loss is still to be reported
        generations(disk, A)
    assert not disk.is_current([A], snapshot)


def test_slots_that_were_wiped_are_not_current(disk: DiskStore) -> None:
    generations(disk, A)
    with (disk.directory / "slots").open("r+b") as slots:
        slots.seek(64)
        slots.write(bytes((disk.directory / "slots").stat().st_size - 64))
    assert not disk.is_current([A], (0,))


@pytest.mark.parametrize("lock", ["_opening", "_writing"])
def test_is_current_does_not_wait_for_openers_or_writers(
    disk: DiskStore, lock: str
) -> None:
    snapshot = generations(disk, A)
    held: threading.Lock = getattr(disk, lock)
    with held:
        assert disk.is_current([A], snapshot)


def test_is_current_in_memory_waits_for_no_lock(
    clock: FakeClock,
) -> None:
    store = MemoryStore(clock=clock)
    snapshot = generations(store, A)
    with locked(all_locks(store)):
        assert store.is_current([A], snapshot)


# --- in a hurry: what is watched -----------------------------------------------------


@pytest.mark.parametrize("tags", [(A,), (A, B), (B, A, B)], ids=len)
def test_a_watched_snapshot_is_current_until_a_tag_is_evicted(
    store: MemoryStore | DiskStore, tags: tuple[bytes, ...]
) -> None:
    is_current = store.watch(tags, generations(store, *tags))
    assert is_current()
    store.evict(EvictionRequest([tag("another")], 0.0))
    assert is_current()
    store.evict(EvictionRequest([A], 0.0))
    assert not is_current()


def test_a_snapshot_evicted_before_it_is_watched_is_never_current(
    store: MemoryStore | DiskStore,
) -> None:
    before = generations(store, A)
    store.evict(EvictionRequest([A], 0.0))
    assert not store.watch([A], before)()


def test_a_watched_snapshot_is_current_again_once_its_tag_is_restored(
    store: MemoryStore | DiskStore,
) -> None:
    store.evict(
        EvictionRequest([A], 0.0)
    )  # a generation that was never written may be known no more
    is_current = store.watch([A], generations(store, A))
    first = store.evict(EvictionRequest([A], 5.0))
    assert not is_current()
    store.evict(EvictionRequest([A], 1.0, first_eviction=first, restore=[A]))
    assert is_current()


def test_a_watched_snapshot_of_no_tags_stays_current(
    store: MemoryStore | DiskStore,
) -> None:
    is_current = store.watch([], generations(store))
    store.evict(EvictionRequest([A], 0.0))
    assert is_current()


def test_a_watched_snapshot_is_not_current_after_an_eviction_of_another_process(
    store: MemoryStore | DiskStore,
) -> None:
    is_current = store.watch([A], generations(store, A))

    def child(pipe: Any) -> None:
        store.evict(EvictionRequest([A], 0.0))
        pipe.send("evicted")

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() == "evicted"
    assert not is_current()


def test_no_watched_snapshot_is_current_once_the_directory_is_gone(
    disk: DiskStore,
) -> None:
    assert not disk.watch([A], (1,))()  # nothing is open yet
    is_current = disk.watch([A], generations(disk, A))
    disk.close()
    assert not is_current()
    is_current = disk.watch([A], generations(disk, A))
    assert is_current()
    shutil.rmtree(disk.directory)
    assert not is_current()
