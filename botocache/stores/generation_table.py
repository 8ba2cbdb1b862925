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
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from operator import itemgetter
from typing import TypeAlias

from botocache._coherence import (
    Eviction,
    Held,
    Mark,
    TagState,
    is_held,
    next_state,
)
from botocache._forks import renew_after_fork
from botocache.stores.protocol import Random, StillCurrent

WORD = 8
"""Bytes of a word."""

SLOT = 2 * WORD
"""Bytes of a slot: its generation, and the nanosecond until which it is held."""

_Reading: TypeAlias = Callable[[memoryview], tuple[int, ...]]

_NS = 1_000_000_000
_SETTLING = 1


class GenerationTable:
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
        renew_after_fork(self, GenerationTable._renew_lock)

    def __repr__(self) -> str:
        return f"<GenerationTable {self._count} of {SLOT} bytes>"

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
        read: _Reading = itemgetter(*places, *places[:1])  # never of one alone
        found = read(words)
        known = tuple([word or self._origin_generation for word in found])
        if known[: len(places)] != tuple(snapshot):
            return _never

        # By defaults and not by cells: there are many of these at a time.
        def is_current(
            read: _Reading = read,
            words: memoryview = words,
            found: tuple[int, ...] = found,
        ) -> bool:
            return read(words) == found

        return is_current

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
        words, origin = self._words, self._origin_generation
        count = self._count
        # _at, written out: it is on the path of every write.
        places = [int.from_bytes(tag, "little") % count * 2 for tag in tags]
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
        left: dict[int, tuple[int, int]] = {}
        # By what was found, which is mostly the same of all tags: nobody held them.
        hold_offs: dict[tuple[float, bool, bool], int] = {}
        with exclusive:
            for slot, number in zip(slots, fresh, strict=True):
                generation, word = number or 1, words[slot + 1]
                found = words[slot] or origin
                until, is_settling = word / _NS, (word & _SETTLING) == _SETTLING
                mark = before.get(slot)
                was_alone = mark is not None and mark.generation == found
                if slot in spared:
                    state = TagState(found, until, is_settling)
                    state = next_state(
                        state, generation, now, hold_off, mark, is_spared=True
                    )
                    generation, held = state.generation, _held_word(state)
                else:
                    if mark is not None and was_alone:
                        others = (mark.held_until, mark.is_settling, True)
                    else:
                        others = (until, is_settling, mark is not None)
                    seen = hold_offs.get(others)
                    if seen is None:
                        state = TagState(found, until, is_settling)
                        state = next_state(
                            state, generation, now, hold_off, mark, is_spared=False
                        )
                        seen = hold_offs[others] = _held_word(state)
                    held = seen
                left[slot] = (generation, held)
                marks[slot] = _mark((generation, until, is_settling, found, was_alone))
            self._store(left, [slot for slot in slots if slot not in spared])
            if spared:
                # Last: it may be all that keeps an entry from being served that one
                # of the others evicts, and whoever writes may be killed in between.
                self._store(left, spared)
        evicted = tuple([marks[place] for place in places])
        if not watch:
            return Eviction(evicted, ())
        return Eviction(evicted, self.generations(watch), self.held(watch, now))

    def _store(
        self, left: Mapping[int, tuple[int, int]], slots: Collection[int]
    ) -> None:
        """Write slots: all hold-offs, then all generations."""
        words = self._words
        for slot in slots:
            words[slot + 1] = left[slot][1]
        with self._barrier:
            pass
        for slot in slots:
            words[slot] = left[slot][0]

    def _renew_lock(self) -> None:
        # Release and acquire of a lock is a full barrier on every processor; plain
        # stores to shared memory may otherwise be seen out of order (ARM).
        self._barrier = threading.Lock()

    def _at(self, tag: bytes) -> int:
        """Return the index of the first word of the tag's slot."""
        return int.from_bytes(tag, "little") % self._count * 2


_mark: Callable[[tuple[int, float, bool, int, bool]], Mark] = partial(
    tuple.__new__, Mark
)
"""Makes a Mark of its fields, in a third of the time that its class takes."""


def _never() -> bool:
    return False


def _held_word(state: TagState) -> int:
    """Return the second word of a slot; at most a nanosecond less than it was."""
    word = int(state.held_until * _NS)
    if not state.is_settling:
        return word & ~_SETTLING
    return max(word - 1, 0) | _SETTLING
