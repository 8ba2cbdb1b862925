"""The store of one process: entries in a dict, least recently used ones dropped.

Entries are kept as bytes, never as live objects, so nothing that a caller does to an
answer can reach another. Generations live in a slot table of anonymous memory. After
a fork that table stays shared while the entries part, so the workers that a server
forks from one parent see each other's evictions. But each process then has a lock of
its own for its writers. So from the first fork on no write counts as alone: its
hold-offs run for the whole `write_hold_off`.
"""

import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

from botocache._coherence import Eviction, EvictionRequest, Held, Loaded
from botocache._forks import renew_after_fork
from botocache.stores.boards import MemoryBoard
from botocache.stores.clock import machine_clock
from botocache.stores.generation_table import SLOT, WORD, GenerationTable
from botocache.stores.protocol import Clock, Fill, Random, StillCurrent, Usage

DEFAULT_SIZE_LIMIT = 256 * 1024**2
"""Bytes of entries."""

SLOT_COUNT = 1 << 20
"""16 MiB of address space, of which only the pages that are used take memory."""

ENTRY_OVERHEAD = 200
"""Bytes that an entry takes beside its own: key, dict and object headers, measured."""

_loaded: Callable[[tuple[bytes | None, tuple[int, ...], Held]], Loaded] = partial(
    tuple.__new__, Loaded
)
"""Makes a Loaded of its fields, in half of the time that its class takes."""


class MemoryStore:
    """Entries and generations of this process. See the Store protocol.

    size_limit: bytes of entries, ENTRY_OVERHEAD included.
    clock: in seconds.
    """

    waits = False  # see `waits` in stores/protocol.py

    def __init__(
        self,
        *,
        size_limit: int = DEFAULT_SIZE_LIMIT,
        clock: Clock = machine_clock,
        random: Random = os.urandom,
    ) -> None:
        self.now = clock
        self._size_limit = size_limit
        self._size = self._changes = self._evictions = 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        self._board = MemoryBoard(clock)
        shared = memoryview(mmap.mmap(-1, SLOT_COUNT * SLOT + WORD))
        # Shared, too: the parent must know that a child is there.
        self._has_forked = shared[-WORD:].cast("Q")
        self._table = GenerationTable(
            shared[:-WORD].cast("Q"),
            origin_generation=int.from_bytes(random(WORD), "little"),
            random=random,
        )
        self._renew_locks()
        renew_after_fork(self, MemoryStore._after_fork)

    def __repr__(self) -> str:
        return (
            f"<MemoryStore {len(self._entries)} entries, "
            f"{self._size} of {self._size_limit} bytes>"
        )

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        snapshot = self._table.generations(tags)  # before the entry: see Store.load
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                try:  # noqa: SIM105 - `suppress` takes 0.25 µs more in each hit
                    self._entries.move_to_end(key)
                except KeyError:
                    pass  # a signal handler has dropped it
        return _loaded((entry, snapshot, self._table.held(tags, self.now())))

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        # Most tags are common to all: each is read once.
        tags = list(dict.fromkeys(chain.from_iterable(tags for _, tags in lookups)))
        generations = dict(zip(tags, self._table.generations(tags), strict=True))
        entries = self._entries
        found: list[bytes | None] = []
        with self._lock:
            for key, _ in lookups:
                entry = entries.get(key)
                if entry is not None:
                    with suppress(KeyError):  # a signal handler has dropped it
                        entries.move_to_end(key)
                found.append(entry)
        now = self.now()
        is_any_held = self._table.held(tags, now)
        generation_of = generations.__getitem__
        return [
            Loaded(
                entry,
                tuple(map(generation_of, tags)),
                self._table.held(tags, now) if is_any_held else Held.FREE,
            )
            for entry, (_, tags) in zip(found, lookups, strict=True)
        ]

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current."""
        return self._table.generations(tags) == tuple(snapshot)

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """See Watching.watch."""
        return self._table.watch(tags, snapshot)

    def fill(
        self,
        key: bytes,
        entry: bytes,
        ttl: float,  # noqa: ARG002 - LRU drops what is no longer asked for
        tags: Sequence[bytes] = (),  # noqa: ARG002 - generations are never dropped
    ) -> None:
        """See Store.fill."""
        with self._lock:
            self._changes = mine = self._changes + 1
            try:
                replaced = self._entries.pop(key, None)
                if replaced is not None:
                    self._size -= len(replaced) + ENTRY_OVERHEAD
                if len(entry) + ENTRY_OVERHEAD > self._size_limit:
                    return  # it would cost all others their place, and have none itself
                self._entries[key] = entry
                self._size += len(entry) + ENTRY_OVERHEAD
                while self._size > self._size_limit and self._entries:
                    _, dropped = self._entries.popitem(last=False)
                    self._size -= len(dropped) + ENTRY_OVERHEAD
            except BaseException:
                self._count_anew()  # interrupted between an entry and its size
                raise
            if self._changes != mine:  # a signal handler has filled in there
                self._count_anew()

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        for fill in fills:
            self.fill(*fill)

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        if self._has_forked[0]:
            # `_writing` does not exclude the other processes, so a write that takes
            # itself for alone may be wrong.
            request = request.as_first()
        with self._writing:
            self._evictions = mine = self._evictions + 1
            eviction = self._table.evict(request, self.now(), self._writing)
            while self._evictions != mine:
                # A signal handler has evicted in the middle of this eviction, which may
                # have undone the handler's: evict again.
                mine = self._evictions
                eviction = self._table.evict(
                    request.as_first(), self.now(), self._writing
                )
            return eviction

    def clear(self) -> None:
        """See Store.clear."""
        with self._lock:
            self._changes += 1
            self._entries.clear()
            self._size = 0

    def close(self) -> None:
        """See Store.close. What is in memory only is gone."""
        self.clear()

    # --- the board -----------------------------------------------------------------

    def post(self, name: str, record: bytes, ttl: float) -> None:
        """See Board.post."""
        self._board.post(name, record, ttl)

    def names(self) -> Collection[str]:
        """See Board.names."""
        return self._board.names()

    def posted(self, names: Collection[str] | None = None) -> dict[str, bytes]:
        """See Board.posted."""
        return self._board.posted(names)

    def merge(
        self, parts: Mapping[str, bytes], name: str, record: bytes, ttl: float
    ) -> bool:
        """See Board.merge."""
        return self._board.merge(parts, name, record, ttl)

    def usage(self) -> Usage:
        """See Board.usage. The size has ENTRY_OVERHEAD for each entry."""
        return Usage(len(self._entries), self._size)

    def _count_anew(self) -> None:
        self._size = sum(
            len(entry) + ENTRY_OVERHEAD for entry in self._entries.copy().values()
        )

    def _renew_locks(self) -> None:
        # A signal handler may make calls of its own while its thread holds them.
        self._lock = threading.RLock()
        self._writing = threading.RLock()

    def _after_fork(self) -> None:
        self._has_forked[0] = 1
        self._renew_locks()
        # Another thread of the parent may have been between an entry and its size.
        self._count_anew()
