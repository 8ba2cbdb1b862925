"""The generation table: two words for each of a fixed number of slots.

A tag hashes to a slot. Two tags that share a slot are evicted together, which costs a
miss now and then. The words are memory of one process, or stand in a file that several
read and write. Reading takes no lock. Writers exclude each other by a lock of the
table's owner, or in memory by writing in one step.

A word is eight bytes, aligned. In memory, a memoryview of native unsigned 64-bit
integers reads and writes it: CPython copies such an item by one fixed-size move, so no
reader sees half of one. (`struct` in its standard modes goes byte by byte.) The lowest
bit of the second word says that the hold-off is settling.

`next_state` and `restored_state` in _coherence.py decide what becomes of a tag. This
file owns the order of words: hold-off before generation in the writer, generation
before hold-off in the reader, and restored slots after all evicted ones.
"""

import _thread
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from itertools import chain, repeat, starmap
from operator import itemgetter, setitem
from typing import Final, Protocol, TypeAlias, cast

from botocache._coherence import (
    Eviction,
    EvictionRequest,
    Held,
    TagEviction,
    TagState,
    is_held,
    next_state,
    restored_state,
)
from botocache._forks import hold_during_fork, renew_after_fork
from botocache.stores.one_step import NO_ARGUMENTS, TakeStep, take_step
from botocache.stores.protocol import Clock, Random, StillCurrent

WORD = 8
"""Bytes of a word."""

SLOT = 2 * WORD
"""Bytes of a slot: its generation, and the nanosecond until which it is held."""

_NS = 1_000_000_000
_SETTLING = 1


class ReadableWords(Protocol):
    """Words by their index."""

    def __getitem__(self, index: int, /) -> int: ...


class Words(ReadableWords, Protocol):
    """Words that can be written, too."""

    def __setitem__(self, index: int, word: int, /) -> None: ...

    def __len__(self) -> int: ...


EvictedSlot: TypeAlias = tuple[int, float, bool, int, bool]
"""The fields of a TagEviction. Few are ever looked at by name."""

_GENERATION: Final = 0
_HELD_UNTIL: Final = 1

_DRAWN_AT_ONCE = 512
"""Generations. To ask the system for four of them takes 0.9 µs, for so many 17 µs."""

_Reading: TypeAlias = Callable[[Words], tuple[int, ...]]


class SlotReader:
    """Reads the slots of a table.

    words: of the slots.
    count: of the slots.
    origin_generation: as for GenerationTable.
    """

    def __init__(
        self, words: ReadableWords, count: int, origin_generation: int
    ) -> None:
        self._words = words
        self._count = count
        self._origin_generation = origin_generation

    def generations(self, tags: Sequence[bytes]) -> tuple[int, ...]:
        """Return the generations of the tags."""
        words, first, count = self._words, self._origin_generation, self._count
        # _at, written out: it is on the path of every hit.
        return tuple(
            [words[int.from_bytes(tag, "little") % count * 2] or first for tag in tags]
        )

    def look(self, tags: Sequence[bytes]) -> tuple[tuple[int, ...], list[int]]:
        """Return the generations of the tags, and the places of these for `held_at`."""
        words, first, count = self._words, self._origin_generation, self._count
        generations, places = [], []
        for tag in tags:
            # _at, written out: it is on the path of every hit.
            place = int.from_bytes(tag, "little") % count * 2
            places.append(place)
            generations.append(words[place] or first)
        return tuple(generations), places

    def held_at(self, places: Sequence[int], now: float) -> Held:
        """Return whether one of the tags is on hold-off, and for what.

        places: of their generations, as `look` returns them. So this comes after it.
            See `held`.
        """
        words = self._words
        held = Held.FREE
        for place in places:
            word = words[place + 1]
            if word and is_held(word / _NS, now):
                if not word & _SETTLING:
                    return Held.WRITING
                held = Held.SETTLING
        return held

    def held(self, tags: Sequence[bytes], now: float) -> Held:
        """Return whether one of the tags is on hold-off, and for what.

        Called after `generations`: a writer stores the hold-off first, so a reader that
        saw a new generation sees its hold-off.
        """
        words, count = self._words, self._count
        held = Held.FREE
        for tag in tags:
            # _at, written out: it is on the path of every miss.
            word = words[int.from_bytes(tag, "little") % count * 2 + 1]
            if word and is_held(word / _NS, now):
                if not word & _SETTLING:
                    return Held.WRITING
                held = Held.SETTLING
        return held


class GenerationTable(SlotReader):
    """A table of as many slots as there are pairs of words.

    words: native unsigned 64-bit integers, or what reads and writes like them.
    origin_generation: random, and new whenever the words are made anew. It is the
        generation of every slot whose word is still zero, so that a fresh table needs
        no writing and an old entry matches nothing in it.
    random: makes new generations.
    """

    _words: Words

    def __init__(self, words: Words, *, origin_generation: int, random: Random) -> None:
        super().__init__(words, len(words) // 2, origin_generation)
        self._random = random
        self._drawn: list[int] = []
        self._drawn_at_once = _DRAWN_AT_ONCE
        self._renew_lock()
        renew_after_fork(self, GenerationTable._after_fork)

    def __repr__(self) -> str:
        return f"<GenerationTable {self._count} of {SLOT} bytes>"

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """Return a function that tells whether the tags still have these generations.

        It reads their words in one go: three tags take a fifth of the time that
        `generations` takes.
        """
        words, count = self._words, self._count
        # _at, written out: it is on the path of hits that are to be remembered.
        places = [int.from_bytes(tag, "little") % count * 2 for tag in tags]
        if not places:
            return lambda: True
        read: _Reading = itemgetter(*places, places[0])  # never of one alone
        found = read(words)
        first = self._origin_generation
        if tuple([word or first for word in found[:-1]]) != tuple(snapshot):
            return _never

        # Defaults take less memory than a closure's cells, and there are many of these.
        def is_current(
            read: _Reading = read,
            words: Words = words,
            found: tuple[int, ...] = found,
        ) -> bool:
            return read(words) == found

        return is_current

    def evict(
        self,
        request: EvictionRequest,
        now: float,
        exclusive: AbstractContextManager[object],
    ) -> Eviction:
        """Do what Store.evict says, while `exclusive` keeps other writers out."""
        tags, hold_off, watch, first_eviction, restore, _left = request
        if restore:  # the rest knows nothing of restoring
            return self._evict_and_restore(request, now, exclusive)
        count, slots, first = self._count, None, _NOTHING
        if first_eviction is not None:
            slots, first = self._of_first(tags, first_eviction)
        if slots is None:
            # _at, written out: it is on the path of every write.
            slots = [int.from_bytes(tag, "little") % count * 2 for tag in tags]
        if len(self._drawn) < len(slots):  # before the lock: it takes a while
            self._drawn = self._draw(len(slots))
        with exclusive:
            done = self._renew(self._words, slots, first, now, hold_off)
            # A list of tags might be another one by the second eviction.
            evicted = EvictedSlots(count, tuple(tags), slots, done)
            if not watch:
                return _eviction((evicted, {}, Held.FREE, False))
            watched = dict(zip(watch, self.generations(watch), strict=True))
            return _eviction((evicted, watched, self.held(watch, now), False))

    def _evict_and_restore(
        self,
        request: EvictionRequest,
        now: float,
        exclusive: AbstractContextManager[object],
    ) -> Eviction:
        """Evict, and restore those slots of `request.restore` that are this write's.

        A slot is evicted all the same if a tag that is not restored shares it.
        """
        tags, hold_off, watch, first_eviction, restore, _left = request
        slots, first = None, _NOTHING
        if first_eviction is not None:
            slots, first = self._of_first(tags, first_eviction)
        slots = slots or list(map(self._at, tags))
        candidates = set(map(self._at, restore)).intersection(slots)
        candidates -= {self._at(tag) for tag in tags if tag not in restore}
        restored: dict[int, TagState] = {}
        done: dict[int, EvictedSlot] = {}
        with exclusive:
            for slot in candidates:
                found = self._state(slot)
                its_first = first.get(slot)
                if its_first is None:
                    continue
                state = restored_state(found, _tag_eviction(its_first))
                if state is None:
                    continue  # another write has evicted it: so does this one
                restored[slot] = state
                done[slot] = (state.generation, *found[1:], found.generation, True)
            evicted = [slot for slot in slots if slot not in restored]
            done |= self._renew(self._words, evicted, first, now, hold_off)
            # Restored last: the replaced generation may be all that invalidates an
            # entry which another tag of this write is to evict, and the writer may be
            # killed in between.
            self._restore(restored)
            watched = dict(zip(watch, self.generations(watch), strict=True))
            held = self.held(watch, now)
        return Eviction(
            EvictedSlots(self._count, tuple(tags), slots, done), watched, held
        )

    def _renew(
        self,
        words: Words,
        slots: Sequence[int],
        first: Mapping[int, EvictedSlot],
        now: float,
        hold_off: float,
    ) -> dict[int, EvictedSlot]:
        """Give slots new generations and a hold-off, with other writers kept out.

        Return what was done to each slot.

        words: of the slots.
        first: what the first eviction of the same write did to each.
        """
        done = self._hold(words, words, slots, first, now, hold_off)
        with self._barrier:
            pass
        for slot, each in done.items():
            words[slot] = each[_GENERATION]
        return done

    def _hold(  # noqa: PLR0913, PLR0917 - what `_renew` has, and where the result goes
        self,
        words: ReadableWords,
        left: MutableMapping[int, int] | Words,
        slots: Sequence[int],
        first: Mapping[int, EvictedSlot],
        now: float,
        hold_off: float,
    ) -> dict[int, EvictedSlot]:
        """Give slots a hold-off; return what is done to each, with its generation.

        The caller writes the generations, after a barrier.

        left: where the words of the hold-offs go. The rest is as for `_renew`.
        """
        origin, draw = self._origin_generation, self._drawn.pop
        done: dict[int, EvictedSlot] = {}
        # What next_state leaves where the hold-off of others is over, which most are.
        # It takes as long as all the rest of a slot.
        ends = max(int((now + hold_off) * _NS), 0)
        of_first, of_second = ends & ~_SETTLING, max(ends - 1, 0) | _SETTLING
        for slot in slots:
            if slot in done:  # two tags may share it
                continue
            try:
                generation = draw()  # atomic: a signal handler may evict in here
            except IndexError:  # it has
                generation = self.draw()
            word, found = words[slot + 1], words[slot] or origin
            until = word / _NS
            others: float = until
            is_settling = word & _SETTLING == _SETTLING
            was_alone = False
            before = first.get(slot)
            if before is not None and before[_GENERATION] == found:
                others, was_alone = before[_HELD_UNTIL], True
            if others <= now:
                left[slot + 1] = of_first if before is None else of_second
            else:
                its_first = None if before is None else _tag_eviction(before)
                state = TagState(found, until, is_settling)
                state = next_state(state, generation, now, hold_off, its_first)
                left[slot + 1] = _held_word(state)
            done[slot] = generation, until, is_settling, found, was_alone
        return done

    def _restore(self, states: Mapping[int, TagState]) -> None:
        """Put back the words of slots."""
        words = self._words
        for slot, state in states.items():
            words[slot + 1] = _held_word(state)
        with self._barrier:
            pass
        for slot, state in states.items():
            words[slot] = state.generation

    def draw(self) -> int:
        """Return a random number that nothing else gets."""
        try:
            return self._drawn.pop()  # atomic: a signal handler may evict in here
        except IndexError:
            drawn = self._draw(1)
            self._drawn = drawn[1:]
            return drawn[0]

    def _draw(self, count: int) -> list[int]:
        """Return at least as many generations that were never used."""
        size = WORD * max(count, self._drawn_at_once)
        drawn: list[int] = memoryview(self._random(size)).cast("Q").tolist()
        # Zero stands for a slot that was never written.
        return [generation or 1 for generation in drawn]

    def _of_first(
        self, tags: Sequence[bytes], first: Eviction
    ) -> tuple[Sequence[int] | None, Mapping[int, EvictedSlot]]:
        """Return the slots of tags, if known, and what a first eviction did to each."""
        evicted = first.evicted
        if type(evicted) is EvictedSlots and evicted.count == self._count:
            # Most second evictions are of the tags of the first one.
            return evicted.slots if evicted.tags is tags else None, evicted.done
        return None, {self._at(tag): each for tag, each in evicted.items()}

    def _state(self, slot: int) -> TagState:
        word = self._words[slot + 1]
        generation = self._words[slot] or self._origin_generation
        return TagState(generation, word / _NS, (word & _SETTLING) == _SETTLING)

    def _renew_lock(self) -> None:
        # To acquire and release a lock is a full memory barrier on every processor.
        # Without it ARM may show other processes the two stores in the other order.
        # An RLock, because a signal handler may evict in here.
        self._barrier = threading.RLock()

    def _after_fork(self) -> None:
        # The parent has the same ones left, and a generation must never come again.
        self._drawn.clear()
        self._renew_lock()

    def _at(self, tag: bytes) -> int:
        """Return the index of the first word of the tag's slot."""
        return int.from_bytes(tag, "little") % self._count * 2


class MemoryTable(GenerationTable):
    """A table in memory, whose writers wait for nothing: see one_step.py.

    An eviction finds out what it leaves of its slots, and writes all of that in one
    step. If another eviction has come between, it begins again.

    After a fork other processes may come between the words of one step, so a write that
    takes itself for alone may be wrong. From then on no second eviction counts as one.

    words: a memoryview.
    has_forked: of one word, which is not zero from the first fork on. Shared, too: the
        parent must know that a child is there.
    """

    def __init__(
        self,
        words: Words,
        *,
        has_forked: Words,
        origin_generation: int,
        random: Random,
    ) -> None:
        super().__init__(words, origin_generation=origin_generation, random=random)
        self._has_forked = has_forked
        self._version: dict[int, None] = {0: None}
        self._take_step: TakeStep = take_step  # the explorer replaces it
        renew_after_fork(self, MemoryTable._after_fork)
        hold_during_fork(self, MemoryTable._before_fork, MemoryTable._ignore)

    def evict_in_one_step(self, request: EvictionRequest, clock: Clock) -> Eviction:
        """Do what Store.evict says. clock: in seconds."""
        tags, hold_off, watch, first_eviction, restore, _left = request
        if restore:
            return self._restore_in_one_step(request, clock)
        count, slots, first = self._count, None, _NOTHING
        if first_eviction is not None:
            slots, first = self._of_first(tags, first_eviction)
        if slots is None:
            # _at, written out: it is on the path of every write.
            slots = [int.from_bytes(tag, "little") % count * 2 for tag in tags]
        if len(self._drawn) < len(slots):
            self._drawn = self._draw(len(slots))
        versions, words, fence = self._version, self._words, self._fence
        while True:
            [version] = versions  # before the words: they may change after it
            if self._has_forked[0]:  # after the version: see _before_fork
                first = _NOTHING
            now = clock()  # after it: a later eviction has no earlier time
            held: dict[int, int] = {}
            done = self._hold(words, held, slots, first, now, hold_off)
            try:
                self._take_step(
                    chain(
                        map(versions.pop, (version,)),  # or KeyError
                        map(versions.setdefault, (version + 1,)),
                        map(_write, repeat(words), held, held.values()),
                        starmap(fence.acquire, NO_ARGUMENTS),
                        starmap(fence.release, NO_ARGUMENTS),
                        map(_write, repeat(words), done, map(_first, done.values())),
                    ),
                    0,
                )
            except KeyError:  # another eviction came between
                continue
            break
        # A list of tags might be another one by the second eviction.
        evicted = EvictedSlots(count, tuple(tags), slots, done)
        if not watch:
            return _eviction((evicted, {}, Held.FREE, False))
        watched = dict(zip(watch, self.generations(watch), strict=True))
        is_held = self.held(watch, now)
        if version + 1 not in versions:
            # Another eviction has come, perhaps between this one and that look. Its
            # generations are not those of the words that this one found.
            watched, is_held = {tag: self.draw() for tag in watch}, Held.WRITING
        return _eviction((evicted, watched, is_held, False))

    def _restore_in_one_step(self, request: EvictionRequest, clock: Clock) -> Eviction:
        """Evict and restore in a copy, then write what has changed there."""
        versions, words, fence = self._version, self._words, self._fence
        while True:
            [version] = versions
            if self._has_forked[0]:
                return self.evict_in_one_step(request.as_first(), clock)
            changed = _Changed(words)
            copy = GenerationTable.__new__(GenerationTable)
            copy.__dict__.update(self.__dict__, _words=changed)
            eviction = copy.evict(request, clock(), nullcontext())
            step: list[Iterator[object]] = [
                map(versions.pop, (version,)),
                map(versions.setdefault, (version + 1,)),
            ]
            for index, word in changed.items():  # in the order of the writing
                step += (
                    map(_write, (words,), (index,), (word,)),
                    starmap(fence.acquire, NO_ARGUMENTS),
                    starmap(fence.release, NO_ARGUMENTS),
                )
            try:
                self._take_step(chain.from_iterable(step), 0)
            except KeyError:
                continue
            return eviction

    def _before_fork(self) -> None:
        """Have evictions that are under way in other threads begin again.

        One that has looked at the words would else not see what a child writes there.
        """
        self._has_forked[0] = 1
        versions = self._version
        while True:
            [version] = versions
            with suppress(KeyError):  # an eviction came between
                take_step(
                    chain(
                        map(versions.pop, (version,)),
                        map(versions.setdefault, (version + 1,)),
                    ),
                    0,
                )
                return

    def _ignore(self) -> None:
        """Nothing is to be done after a fork, in the parent."""

    def _after_fork(self) -> None:
        super()._after_fork()
        self._has_forked[0] = 1  # not all forks call `_before_fork`

    def _renew_lock(self) -> None:
        super()._renew_lock()
        # Like `_barrier`, but taken within steps only, so that no step waits for it.
        # Not of `threading`: gevent puts locks there that are written in Python.
        self._fence = _thread.RLock()


class _Changed(dict[int, int]):
    """Words that were written, in their order. Others are read from the table."""

    def __init__(self, words: ReadableWords) -> None:
        super().__init__()
        self._words = words

    def __missing__(self, index: int) -> int:
        return self._words[index]


class EvictedSlots(Mapping[bytes, TagEviction]):
    """What an eviction did to each tag, kept by slot.

    A write asks for few of its tags, and its second eviction goes by slots again.

    count: of the slots of the table.
    tags: of the request.
    slots: the slot of each.
    done: what was done to each slot.
    """

    __slots__ = ("count", "done", "slots", "tags")

    def __init__(
        self,
        count: int,
        tags: tuple[bytes, ...],
        slots: Sequence[int],
        done: Mapping[int, EvictedSlot],
    ) -> None:
        self.count = count
        self.tags = tags
        self.slots = slots
        self.done = done

    def __repr__(self) -> str:
        return repr(dict(self))

    def __getitem__(self, tag: bytes) -> TagEviction:
        if tag not in self.tags:  # another tag may share a slot
            raise KeyError(tag)
        return _tag_eviction(self.done[int.from_bytes(tag, "little") % self.count * 2])

    def __iter__(self) -> Iterator[bytes]:
        return iter(dict.fromkeys(self.tags))

    def __len__(self) -> int:
        return len(set(self.tags))


_NOTHING: Mapping[int, EvictedSlot] = {}

_write = cast("Callable[[Words, int, int], None]", setitem)

_first: Callable[[EvictedSlot], int] = itemgetter(_GENERATION)
"""Takes a tuple of arguments in Python 3.10, which is harmless in a step that has freed
containers before: each that is freed puts a collection off by one."""

_tag_eviction: Callable[[EvictedSlot], TagEviction] = partial(
    tuple.__new__, TagEviction
)
"""Makes a TagEviction of its fields, in a third of the time that its class takes."""

_eviction: Callable[
    [tuple[Mapping[bytes, TagEviction], Mapping[bytes, int], Held, bool]], Eviction
]
_eviction = partial(tuple.__new__, Eviction)
"""Makes an Eviction of its fields, as above."""


def _never() -> bool:
    return False


def _held_word(state: TagState) -> int:
    """Return the second word of a slot; at most a nanosecond less than it was."""
    word = int(state.held_until * _NS)
    if not state.is_settling:
        return word & ~_SETTLING
    return max(word - 1, 0) | _SETTLING
