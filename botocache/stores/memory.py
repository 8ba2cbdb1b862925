"""The store of one process: entries in a dict, least recently used ones dropped.

Entries are kept as bytes, never as live objects, so nothing that a caller does to an
answer can reach another. Generations live in a slot table of anonymous memory. After
a fork that table stays shared while the entries part, so the workers that a server
forks from one parent see each other's evictions. But their writers do not keep each
other out. So from the first fork on no write counts as alone: its hold-offs run for the
whole `write_hold_off`.

Only the board has a lock. Nothing else here waits for one: see one_step.py.
"""

import mmap
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, repeat, starmap
from operator import setitem

from botocache._coherence import Eviction, EvictionRequest, Held, Loaded
from botocache.stores.boards import MemoryBoard
from botocache.stores.clock import machine_clock
from botocache.stores.generation_table import SLOT, WORD, MemoryTable
from botocache.stores.one_step import NO_ARGUMENTS, NONE, take_step
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
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        # The bytes of the entries, by a number that each change replaces by the next.
        self._sizes = {0: 0}
        self._board = MemoryBoard(clock)
        shared = memoryview(mmap.mmap(-1, SLOT_COUNT * SLOT + WORD))
        self._table = MemoryTable(
            shared[:-WORD].cast("Q"),
            has_forked=shared[-WORD:].cast("Q"),
            origin_generation=int.from_bytes(random(WORD), "little"),
            random=random,
        )

    def __repr__(self) -> str:
        return (
            f"<MemoryStore {len(self._entries)} entries, "
            f"{self._size()} of {self._size_limit} bytes>"
        )

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        snapshot, places = self._table.look(tags)  # before the entry: see Store.load
        entry = self._entries.get(key)
        if entry is not None:
            try:  # noqa: SIM105 - `suppress` takes 0.25 µs more in each hit
                self._entries.move_to_end(key)
            except KeyError:
                pass  # another thread or a signal handler has dropped it
        return _loaded((entry, snapshot, self._table.held_at(places, self.now())))

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        # Most tags are common to all: each is read once.
        tags = list(dict.fromkeys(chain.from_iterable(tags for _, tags in lookups)))
        generations = dict(zip(tags, self._table.generations(tags), strict=True))
        entries = self._entries
        found: list[bytes | None] = []
        for key, _ in lookups:
            entry = entries.get(key)
            if entry is not None:
                with suppress(KeyError):  # dropped meanwhile, as in `load`
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
        ttl: float,  # LRU drops what is no longer asked for
        tags: Sequence[bytes] = (),  # generations are never dropped
    ) -> None:
        """See Store.fill."""
        size = len(entry) + ENTRY_OVERHEAD
        if size > self._size_limit:  # it replaces one, and has no place itself
            self.fill_many((Fill(key, entry, ttl, tags),))
            return
        entries, sizes = self._entries, self._sizes
        while True:
            [(version, total)] = sizes.items()  # first of all, as in MemoryTable
            replaced = entries.get(key)
            if replaced is not None:
                total -= len(replaced) + ENTRY_OVERHEAD
            total += size
            try:
                take_step(
                    chain(
                        map(sizes.pop, (version,)),  # or KeyError
                        map(sizes.setdefault, (version + 1,), (total,)),
                        map(entries.pop, (key,), NONE),
                        map(setitem, (entries,), (key,), (entry,)),
                    ),
                    0,
                )
            except KeyError:  # other entries have come or gone meanwhile
                continue
            break
        if total > self._size_limit:
            self._drop_oldest()

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        entries, sizes = self._entries, self._sizes
        largest = self._size_limit - ENTRY_OVERHEAD
        filled = {key: entry for key, entry, _, _ in fills}
        # A larger one would cost all others their place, and have none itself.
        kept = {key: entry for key, entry in filled.items() if len(entry) <= largest}
        size = _size_of(kept.values())
        while True:
            [(version, total)] = sizes.items()
            replaced = [each for each in map(entries.get, filled) if each is not None]
            total += size - _size_of(replaced)
            with suppress(KeyError):  # as in `fill`
                take_step(
                    chain(
                        map(sizes.pop, (version,)),
                        map(sizes.setdefault, (version + 1,), (total,)),
                        map(entries.pop, filled, repeat(None)),
                        map(setitem, repeat(entries), kept, kept.values()),
                    ),
                    0,
                )
                break
        if total > self._size_limit:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Drop entries until the rest is within the limit."""
        entries, sizes = self._entries, self._sizes
        while True:
            [(version, total)] = sizes.items()
            if total <= self._size_limit:
                return
            # One call: while an iterator waits, a load may change the order.
            oldest = next(chain.from_iterable((entries,)), b"")
            dropped = entries.get(oldest, b"")
            total -= len(dropped) + ENTRY_OVERHEAD
            with suppress(KeyError):  # as in `fill`
                take_step(
                    chain(
                        map(sizes.pop, (version,)),
                        map(sizes.setdefault, (version + 1,), (total,)),
                        map(entries.pop, (oldest,), NONE),
                    ),
                    0,
                )

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        return self._table.evict_in_one_step(request, self.now)

    def clear(self) -> None:
        """See Store.clear."""
        entries, sizes = self._entries, self._sizes
        while True:
            [version] = sizes
            with suppress(KeyError):  # as in `fill`
                take_step(
                    chain(
                        map(sizes.pop, (version,)),
                        map(sizes.setdefault, (version + 1,), (0,)),
                        starmap(entries.clear, NO_ARGUMENTS),
                    ),
                    0,
                )
                return

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
        return Usage(len(self._entries), self._size())

    def _size(self) -> int:
        [size] = self._sizes.values()
        return size


def _size_of(entries: Collection[bytes]) -> int:
    return sum(map(len, entries)) + len(entries) * ENTRY_OVERHEAD
