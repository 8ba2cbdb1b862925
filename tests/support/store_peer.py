"""Functions for a Peer with the disk store of a directory. It keeps one open."""

import fcntl
import functools
import os
import struct
import subprocess
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from botocache._coherence import Eviction, EvictionRequest, Loaded
from botocache._errors import StoreError
from botocache.stores.disk import entry_database, generation_file
from botocache.stores.disk import store as disk_store
from botocache.stores.disk.generation_file import (
    Exclusive,
    GenerationFile,
    boot_id,
    open_generation_file,
)
from botocache.stores.disk.store import DiskStore
from botocache.stores.generation_table import WORD
from botocache.stores.protocol import Lease
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT

Identity = tuple[int, int]
"""Which file it is: its inode, and the origin generation that stands in it."""

_held: list[int] = []


@functools.cache
def _store(root: Path) -> DiskStore:
    disk_store.OPEN_PATIENCE = entry_database.LOCK_PATIENCE = TIMEOUT
    return DiskStore(root)


def load(root: Path, key: bytes, tags: Sequence[bytes]) -> Loaded:
    return _store(root).load(key, tags)


def fill(root: Path, key: bytes, entry: bytes) -> None:
    _store(root).fill(key, entry, 60.0)


def evict(
    root: Path,
    tags: Sequence[bytes],
    hold_off: float = 0.0,
    first_eviction: Eviction | None = None,
    restore: Collection[bytes] = (),
) -> Eviction:
    return _store(root).evict(
        EvictionRequest(tags, hold_off, first_eviction=first_eviction, restore=restore)
    )


def close(root: Path) -> None:
    _store(root).close()


def evict_one_by_one(root: Path, tags: Sequence[bytes], hold_off: float) -> None:
    """Evict each of the tags once, in order."""
    for tag in tags:
        _store(root).evict(EvictionRequest([tag], hold_off))


def write_on_and_on(root: Path, key: bytes, tags: Sequence[bytes]) -> None:
    """Do nothing but evict and fill; to be killed meanwhile. Ends at last."""
    store = _store(root)
    for number in range(200_000):
        store.evict(
            EvictionRequest(
                tags, 5.0, first_eviction=store.evict(EvictionRequest(tags, 1.0))
            )
        )
        if number % 10 == 0:
            store.load(key, tags)
            store.fill(key, b"%d" % number * 1000, 60.0)


def write_words(path: Path, word: int, tags: Sequence[bytes], rounds: int) -> None:
    """Give the slots of the tags one and the same word as generation, over and over."""
    table = open_generation_file(path, boot_id(), words(word))
    for _ in range(rounds):
        table.slots.evict(EvictionRequest(tags, 0.0), 1.0, Exclusive(table))


def words(word: int) -> Callable[[int], bytes]:
    """Return a source of randomness that has but one word."""
    return lambda size: struct.pack("=Q", word) * (size // WORD)


def open_table(path: Path) -> Identity:
    """Open the table, or make it; return which one it was."""
    generation_file.MAKER_PATIENCE = TIMEOUT
    return identity(open_generation_file(path, boot_id(), os.urandom))


def identity(table: GenerationFile) -> Identity:
    """Return which file a table is."""
    (never_evicted,) = table.slots.generations([b"never evicted"])
    return os.fstat(table._file.number).st_ino, never_evicted


def hold_lock(path: Path) -> None:
    """Lock a file, and keep it locked."""
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    _held.append(fd)


def mount_tiny(directory: Path, size: str) -> None:
    """Mount a file system of that size, such as "1m", in this process's namespace."""
    directory.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(directory)],
        check=True,
        timeout=TIMEOUT,
    )


def fill_until_full(root: Path, tags: Sequence[bytes]) -> tuple[int, int]:
    """Use a store on a disk that its entries fill: each tag once.

    Return how many fills succeeded and how many failed. Loads may fail, too;
    evictions must not.
    """
    store = _store(root)
    filled = failed = 0
    for tag in tags:
        evicted = store.evict(EvictionRequest([tag], 0.0)).evicted
        try:
            snapshot = store.load(tag, [tag]).snapshot
            assert snapshot == (evicted[tag].generation,)
            store.fill(tag, os.urandom(100_000), 60.0)
            filled += 1
        except StoreError:
            failed += 1
    return filled, failed


def hold_lease(root: Path, key: bytes, seconds: float) -> bool:
    """Take a lease and keep it; return whether it could be had."""
    _leases.append(_store(root).take_lease(key, seconds))
    return _leases[-1] is not None


def hold_lease_at(url: str, namespace: str, key: bytes, seconds: float) -> bool:
    """Do the same on a server."""
    store: Any = open_store_at(url, namespace=namespace, timeout=TIMEOUT)
    _leases.append(store.take_lease(key, seconds))
    return _leases[-1] is not None


_leases: list[Lease | None] = []
