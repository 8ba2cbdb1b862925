"""Two real processes on one disk store: what one evicts, the other's next load sees."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from botocache._coherence import Eviction, EvictionRequest, Held, Loaded
from botocache.stores.disk.generation_file import (
    boot_id,
    lock_within,
    open_generation_file,
)
from botocache.stores.disk.store import DiskStore
from tests.support.digests import key, tag, tags
from tests.support.processes import Peer, eventually, running_peer, running_peers
from tests.support.store_peer import (
    evict,
    evict_one_by_one,
    fill,
    load,
    write_on_and_on,
)

KEY = key("an entry")
A, B = tag("a"), tag("b")
TTL = 60.0
LONG = 3000.0
"""Seconds of hold-off that no test lives to see end; processes have a real clock."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def store(root: Path) -> Iterator[DiskStore]:
    with contextlib.closing(DiskStore(root)) as made:
        yield made


@pytest.fixture
def peer() -> Iterator[Peer]:
    with running_peer() as running:
        yield running


def test_an_eviction_is_seen_by_the_very_next_load_of_another_process(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    seen = {store.load(KEY, [A]).snapshot}
    for _ in range(2000):
        here = store.evict(EvictionRequest([A], 0.0)).evicted[A].generation
        assert peer.call(load, root, KEY, [A]).snapshot == (here,)
        there = peer.call(evict, root, [A]).evicted[A].generation
        assert store.load(KEY, [A]).snapshot == (there,)
        seen |= {(here,), (there,)}
    assert len(seen) == 4001


def test_an_entry_is_found_by_another_process_with_the_snapshot_of_its_read(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    for number in range(200):
        entry = b"%d" % number
        snapshot = store.load(KEY, [A, B]).snapshot
        store.fill(KEY, entry, TTL)
        assert peer.call(load, root, KEY, [A, B]) == (entry, snapshot, Held.FREE)
        peer.call(evict, root, [B])
        assert store.load(KEY, [A, B]).snapshot != snapshot


def test_an_entry_that_another_process_fills_after_an_eviction_is_not_valid(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    for _ in range(200):
        loaded = peer.call(load, root, KEY, [A])
        store.evict(EvictionRequest([A], 0.0))
        peer.call(fill, root, KEY, b"late")
        assert store.load(KEY, [A]).snapshot != loaded.snapshot


def test_a_hold_off_is_seen_by_another_process_until_the_write_ends(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    first = store.evict(EvictionRequest([A], LONG))
    assert peer.call(load, root, KEY, [A]).held is Held.WRITING
    store.evict(EvictionRequest([A], 0.0, first_eviction=first))
    assert peer.call(load, root, KEY, [A]).held is Held.FREE
    first = store.evict(EvictionRequest([A], 0.0))
    peer.call(evict, root, [A], LONG)
    store.evict(EvictionRequest([A], 0.0, first_eviction=first))
    assert store.load(KEY, [A]).held is Held.WRITING


def test_a_settling_write_is_seen_by_another_process(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    first = peer.call(evict, root, [A, B], LONG)
    assert store.load(KEY, [A]).held is Held.WRITING
    second = peer.call(evict, root, [A], LONG, first_eviction=first)
    assert second.evicted[A].was_alone
    assert store.load(KEY, [A]) == (
        None,
        (second.evicted[A].generation,),
        Held.SETTLING,
    )
    assert store.load(KEY, [A, B]).held is Held.WRITING
    store.evict(EvictionRequest([A], 0.0))
    assert peer.call(load, root, KEY, [A]).held is Held.WRITING


def test_a_tag_that_one_process_restores_is_restored_in_the_other(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    store.evict(
        EvictionRequest(
            [A], LONG, first_eviction=store.evict(EvictionRequest([A], 0.0))
        )
    )
    before = store.load(KEY, [A])
    first = peer.call(evict, root, [A], LONG)
    assert store.load(KEY, [A]).snapshot != before.snapshot
    peer.call(evict, root, [A], LONG, first_eviction=first, restore=[A])
    assert store.load(KEY, [A]) == before == (None, before.snapshot, Held.SETTLING)


def test_a_tag_that_another_process_touched_meanwhile_is_not_restored(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    before = store.load(KEY, [A]).snapshot
    first = peer.call(evict, root, [A], LONG)
    store.evict(
        EvictionRequest([A], 0.0, first_eviction=store.evict(EvictionRequest([A], 0.0)))
    )
    second = peer.call(evict, root, [A], 0.0, first_eviction=first, restore=[A])
    assert not second.evicted[A].was_alone
    assert store.load(KEY, [A]).snapshot not in [before, (first.evicted[A].generation,)]


def test_a_process_that_sees_a_new_generation_sees_its_hold_off(
    store: DiskStore, root: Path, peer: Peer
) -> None:
    written = tags(5000, "written")
    before = store.load(KEY, written).snapshot
    slots = open_generation_file(store.directory / "slots", boot_id(), os.urandom).slots
    peer.call(load, root, KEY, [A])
    peer.start(evict_one_by_one, root, written, LONG)
    for each, old in zip(written, before, strict=True):
        for _ in range(10_000_000):  # at the writer's heels, so no sleep in between
            if slots.generations([each]) != (old,):
                break
        assert slots.held([each], store.now())
    peer.result()


def test_evictions_of_several_processes_at_once_are_all_seen(
    store: DiskStore, root: Path
) -> None:
    shared = tags(3)
    with running_peers(3) as peers:
        for peer in peers:
            peer.start(evict_one_by_one, root, shared * 300, LONG)
        for _ in range(300):
            before = store.load(KEY, shared)
            evicted = store.evict(EvictionRequest(shared, LONG))
            after = store.load(KEY, shared)
            assert not set(before.snapshot) & set(after.snapshot)
            assert after.held
            store.evict(EvictionRequest(shared, 0.0, first_eviction=evicted))
        for peer in peers:
            peer.result()
        last = store.load(KEY, shared)
        assert {peer.call(load, root, KEY, shared).snapshot for peer in peers} == {
            last.snapshot
        }
    assert last.held


@pytest.mark.parametrize("seed", range(6))
def test_a_process_killed_while_it_writes_leaves_a_store_that_others_can_use(
    store: DiskStore, root: Path, peer: Peer, seed: int
) -> None:
    moment = random.Random(seed).randrange(1, 3000)
    shared = tags(4)
    with running_peer() as victim:
        before = store.load(KEY, shared).snapshot
        victim.call(load, root, KEY, shared)
        victim.start(write_on_and_on, root, KEY, shared)
        eventually(lambda: store.load(KEY, shared).snapshot != before)
        for _ in range(moment):
            store.load(KEY, shared)
        assert not victim.is_done()
        victim.kill()
    assert is_unlocked(store.directory / "slots")
    for _ in range(2):
        evicted = store.evict(EvictionRequest(shared, LONG))
        assert_seen(evicted, peer.call(load, root, KEY, shared))
        evicted = peer.call(evict, root, shared, LONG)
        assert_seen(evicted, store.load(KEY, shared))
    store.fill(KEY, b"from here", TTL)
    assert peer.call(load, root, KEY, shared).entry == b"from here"
    peer.call(fill, root, KEY, b"from there")
    assert store.load(KEY, shared).entry == b"from there"


def assert_seen(evicted: Eviction, loaded: Loaded) -> None:
    assert loaded.snapshot == tuple(
        mark.generation for mark in evicted.evicted.values()
    )
    assert loaded.held


def is_unlocked(path: Path) -> bool:
    fd = os.open(path, os.O_RDWR)
    try:
        return lock_within(fd, 0.0)
    finally:
        os.close(fd)


def test_a_hold_off_of_a_killed_process_ends_when_it_was_due(
    store: DiskStore, root: Path
) -> None:
    with running_peer() as victim:
        victim.call(evict, root, [A], LONG)
        victim.call(evict, root, [B], 0.0)
        victim.kill()
    assert store.load(KEY, [A]).held is Held.WRITING
    assert store.load(KEY, [B]).held is Held.FREE
