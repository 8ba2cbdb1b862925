"""The generation table: two words of memory for each of a fixed number of slots.

A tag hashes to a slot; two tags that share one are evicted together, which costs a
miss now and then and nothing else. The memory may belong to one process or be a file
that many map: reading takes no lock, and writers exclude each other by the lock that
the owner passes in.

A word is eight bytes, aligned, and is read and written by a memoryview of native
unsigned 64-bit integers. CPython copies such an item by one fixed-size move, so no
reader ever sees half of one. (`struct` in its standard modes goes byte by byte.)
The lowest bit of the second word says that the hold-off is a settling one.

This file decides nothing; `next_state` in _coherence.py does. It owns the order:
hold-off before generation in the writer, generation before hold-off in the reader;
and what is spared after all that is evicted.
"""

import struct
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter

from botocache._coherence import (
    Eviction,
    Held,
    Mark,
    TagState,
    is_held,
    next_state,
)
from botocache._forks import renew_after_fork
from botocache.stores import Random, StillCurrent

WORD = 8
"""Bytes of a word."""

SLOT = 2 * WORD
"""Bytes of a slot: its generation, and the nanosecond until which it is held."""

_NS = 1_000_000_000
_SETTLING = 1


class Slots:
    """A view of as many slots as fit in some writable memory.

    origin_generation: random, and new whenever the memory is made anew. It is the
    generation of every slot whose word is still zero, so that a fresh table needs no
    writing and an old entry matches nothing in it.
    """

    def __init__(
        self, memory: memoryview, *, origin_generation: int, random: Random
    ) -> None:
        self._words = memory.cast("B").cast("Q")
        self._count = len(self._words) // 2
        self._origin_generation = origin_generation
        self._random = random
        self._renew_lock()
        renew_after_fork(self, Slots._renew_lock)

    def __repr__(self) -> str:
        return f"<Slots {self._count} of {SLOT} bytes>"

    def generations(self, tags: Sequence[bytes]) -> tuple[int, ...]:
        """Return the generations of the tags."""
        words, first, count = self._words, self._origin_generation, self._count
        # _at, written out: it is on the path of every hit.
        return tuple(
            [words[int.from_bytes(tag, "little") % count * 2] or first for tag in tags]
        )

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """Return what tells whether the tags still have these generations.

        By their words, read in one go: three tags are compared in a fifth of the time
        that `generations` takes.
        """
        words = self._words
        places = list(map(self._at, tags))
        if not places:
            return lambda: True
        read = itemgetter(*places, *places[:1])  # never of one alone
        found = read(words)
        known = tuple([word or self._origin_generation for word in found])
        if known[: len(places)] != tuple(snapshot):
            return _never
        return lambda: read(words) == found

    def held(self, tags: Sequence[bytes], now: float) -> Held:
        """Tell whether one of the tags is on hold-off, and for what."""
        words = self._words
        held = Held.FREE
        for tag in tags:
            word = words[self._at(tag) + 1]
            if word and is_held(word / _NS, now):
                if not word & _SETTLING:
                    return Held.WRITING
                held = Held.SETTLING
        return held

    def evict(  # noqa: PLR0913 - Store.evict, with what its owner knows
        self,
        tags: Sequence[bytes],
        hold_off: float,
        now: float,
        exclusive: AbstractContextManager[object],
        *,
        watch: Sequence[bytes] = (),
        since: Eviction | None = None,
        spare: Collection[bytes] = (),
    ) -> Eviction:
        """Do what Store.evict says, while `exclusive` keeps other writers out."""
        words = self._words
        places = list(map(self._at, tags))
        slots = dict.fromkeys(places)  # two tags may share one
        before: Mapping[int, Mark] = {}
        if since is not None:
            before = dict(zip(places, since.marks, strict=False))
        spared: set[int] = set()
        if spare:
            spared = slots.keys() & set(map(self._at, spare))
            spared -= {self._at(tag) for tag in tags if tag not in spare}
        fresh = struct.unpack(f"={len(slots)}Q", self._random(WORD * len(slots)))
        marks: dict[int, Mark] = {}
        held: dict[int, int] = {}
        with exclusive:
            for slot, generation in zip(slots, fresh, strict=True):
                found = TagState(
                    words[slot] or self._origin_generation,
                    words[slot + 1] / _NS,
                    bool(words[slot + 1] & _SETTLING),
                )
                mark = before.get(slot)
                state = next_state(
                    found,
                    generation or 1,
                    now,
                    hold_off,
                    mark,
                    is_spared=slot in spared,
                )
                held[slot] = _held_word(state)
                marks[slot] = Mark(
                    state.generation,
                    found.held_until,
                    found.is_settling,
                    found.generation,
                    was_alone=mark is not None and mark.generation == found.generation,
                )
            self._store(held, marks, [slot for slot in slots if slot not in spared])
            if spared:
                # Last: it may be all that keeps an entry from being served that one
                # of the others evicts, and whoever writes may be killed in between.
                self._store(held, marks, spared)
        return Eviction(
            tuple([marks[place] for place in places]),
            self.generations(watch),
            self.held(watch, now),
        )

    def _store(
        self, held: Mapping[int, int], marks: Mapping[int, Mark], slots: Iterable[int]
    ) -> None:
        """Write slots: all hold-offs, then all generations."""
        words = self._words
        for slot in slots:
            words[slot + 1] = held[slot]
        with self._barrier:
            pass
        for slot in slots:
            words[slot] = marks[slot].generation

    def _renew_lock(self) -> None:
        # Release and acquire of a lock is a full barrier on every processor; plain
        # stores to shared memory may otherwise be seen out of order (ARM).
        self._barrier = threading.Lock()

    def _at(self, tag: bytes) -> int:
        """Return the index of the first word of the tag's slot."""
        return int.from_bytes(tag, "little") % self._count * 2


def _never() -> bool:
    return False


def _held_word(state: TagState) -> int:
    """Return the second word of a slot; at most a nanosecond less than it was."""
    word = int(state.held_until * _NS)
    if not state.is_settling:
        return word & ~_SETTLING
    return max(word - 1, 0) | _SETTLING
