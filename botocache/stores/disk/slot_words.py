"""The words of a table's file, and what a process remembers of them.

Here are the system calls that read and write slots. Which ones, in which order and
under which lock: see generation_file.py and generation_table.py.
"""

import os
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from botocache._coherence import Held
from botocache._errors import StoreError, StoreLostError
from botocache.stores.disk.descriptors import open_file
from botocache.stores.generation_table import (
    SLOT,
    WORD,
    EvictedSlot,
    GenerationTable,
    SlotReader,
    Words,
)
from botocache.stores.protocol import Random

SLOT_COUNT = 1 << 20
"""16 MiB. At a million live tags, a tag shares its slot with one other on average.

An eviction of a tag also evicts those that share its slot."""

HEADER_SIZE = 64
"""Bytes before the first slot."""

ORDER = sys.byteorder
WORD_FORMAT = struct.Struct("=Q")
SLOT_FORMAT = struct.Struct("=QQ")

_REMEMBERED = 1 << 14
"""Words that a process remembers of a table: at most about 2 MiB."""

_NS = 1_000_000_000


class OwnedFile:
    """Closes a descriptor when no table and no reader uses it any more.

    Not earlier: another thread may still read or lock a replaced table.
    """

    def __init__(self, number: int) -> None:
        self.is_lost = True  # until it is known which file it is
        self.file = open_file(number)
        self.is_lost = False

    def __del__(self) -> None:
        if self.is_ours():
            self.file.close()

    def is_ours(self) -> bool:
        """Return True unless the program closed the descriptor (about 1 µs)."""
        # Once lost, it stays so: the file may be open again under the same number, for
        # another object that closes it.
        self.is_lost = self.is_lost or not self.file.is_ours()
        return not self.is_lost


class RememberedSlots(SlotReader):
    """Slots as a reader found them at one mark, read when they are first asked for.

    What is remembered is as old as the mark. That is as if the reader had come before
    an eviction which has not returned yet: what it fills is dead once that has.

    mark: at which they count; None if they count for one reader alone.
    words: as they were found.
    """

    def __init__(self, owned: OwnedFile, mark: int | None) -> None:
        self._owned = owned
        self.words = RememberedWords(owned.file.number)
        self.mark = mark
        super().__init__(self.words, SLOT_COUNT, 0)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is remembered."""
        return len(self.words) >= _REMEMBERED

    def held(self, tags: Sequence[bytes], now: float) -> Held:
        """See SlotReader.held. Raises StoreError if the descriptor was closed."""
        known = len(self.words)
        held = super().held(tags, now)
        # Words of another file might say that nothing is held. As generations they are
        # harmless: no write changes them, and other processes serve nothing by them.
        if len(self.words) != known and not self._owned.is_ours():
            raise StoreError("the descriptor of the generation table was closed")
        return held


class RememberedWords(dict[int, int]):
    """Words by their index, each read from the file at most once.

    Each reader asks for a slot's generation before its hold-off. All threads get the
    generation that was remembered first. So a remembered hold-off was read after it,
    which is the order that SlotReader.held asks for. It is why nothing is ever dropped.

    This process's own evictions change it in the order in which they change the file.
    """

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def __missing__(self, index: int) -> int:
        word = _slot_word(self._number, index)
        # Not by assignment: an eviction may have written the word meanwhile.
        return word if len(self) >= _REMEMBERED else self.setdefault(index, word)


class FileTable(GenerationTable):
    """The table itself. It reads and writes slots by few system calls."""

    def __init__(
        self, words: "FileWords", *, origin_generation: int, random: Random
    ) -> None:
        super().__init__(words, origin_generation=origin_generation, random=random)
        self._file_words = words

    def _renew(
        self,
        words: Words,  # noqa: ARG002 - the file's, which are read in fewer steps here
        slots: Sequence[int],
        first: Mapping[int, EvictedSlot],
        now: float,
        hold_off: float,
    ) -> dict[int, EvictedSlot]:
        # A dict: to ask FileWords for one word takes as long as a system call.
        found = self._file_words.read(slots)
        done = self._hold(found, found, slots, first, now, hold_off)
        for slot, each in done.items():
            found[slot] = each[0]
        self._file_words.write(found, done, self._barrier)
        return done


class FileWords:
    """The words of a file's slots, read and written at once.

    remembered: words that are as in the file, while the writers of other processes are
        kept out; else None.
    """

    def __init__(self, owned: OwnedFile) -> None:
        self._owned = owned
        self.number = owned.file.number
        self.remembered: RememberedWords | None = None

    def read(self, slots: Iterable[int]) -> dict[int, int]:
        """Return both words of slots, by their index. Other writers must be excluded.

        Raises StoreLostError if a generation was wiped.
        """
        number, words, pread, unpack = self.number, {}, os.pread, SLOT_FORMAT.unpack
        remembered = self.remembered or _NOTHING
        try:
            for slot in slots:
                if slot in remembered and slot + 1 in remembered:
                    words[slot], words[slot + 1] = (
                        remembered[slot],
                        remembered[slot + 1],
                    )
                    continue
                found = pread(number, SLOT, HEADER_SIZE + slot * WORD)
                words[slot], words[slot + 1] = unpack(found)
                if not words[slot]:
                    raise StoreLostError(_WIPED)
        except OSError as error:
            raise unread(error) from error
        except struct.error:
            raise StoreLostError(_TRUNCATED) from None
        return words

    def write(
        self,
        words: Mapping[int, int],
        done: Mapping[int, EvictedSlot],
        barrier: AbstractContextManager[object],
    ) -> None:
        """Write both words of slots: all hold-offs, then all generations.

        A hold-off that replaces a longer one of the same write is written together with
        its generation, by one system call. A reader may then see the new generation
        beside the longer hold-off, under which it fills nothing.

        words: by their index.
        done: what is done to each slot.
        barrier: between the two.
        """
        number, pwrite, pack = self.number, os.pwrite, WORD_FORMAT.pack
        both = SLOT_FORMAT.pack
        remembered = self.remembered
        together = set()
        try:
            for slot, (_, held_until, is_settling, _, was_alone) in done.items():
                held = words[slot + 1]
                # Floats of so many seconds are less than a microsecond apart.
                if was_alone and not is_settling and held_until * _NS - 1000 > held:
                    together.add(slot)
                else:
                    pwrite(number, pack(held), HEADER_SIZE + slot * WORD + WORD)
            with barrier:
                pass
            for slot in done:
                at = HEADER_SIZE + slot * WORD
                if slot in together:
                    pwrite(number, both(words[slot], words[slot + 1]), at)
                else:
                    pwrite(number, pack(words[slot]), at)
        except OSError as error:
            raise unwritten(error) from error
        if remembered is not None:
            remembered.update(words)  # one step: no thread sees a part of it

    def __len__(self) -> int:
        return 2 * SLOT_COUNT

    def __getitem__(self, index: int) -> int:
        remembered = self.remembered
        if remembered is not None:
            return remembered[index]
        return _slot_word(self.number, index)

    def __setitem__(self, index: int, word: int) -> None:
        write_at(self.number, HEADER_SIZE + index * WORD, WORD_FORMAT.pack(word))
        remembered = self.remembered  # once: an eviction in here may end it
        if remembered is not None:
            remembered[index] = word


_NOTHING: Mapping[int, int] = {}

_WIPED = "generations were wiped"
_TRUNCATED = "the generation table was truncated"


def _slot_word(number: int, index: int) -> int:
    """Return a word of a slot. Raises StoreLostError if its generation was wiped."""
    word = int.from_bytes(read_at(number, WORD, HEADER_SIZE + index * WORD), ORDER)
    # A write into a truncated file lets it grow again, with zeros in between. To evict
    # in the zeros would make a slot that looks whole and has lost its hold-off.
    if not word and not index % 2:
        raise StoreLostError(_WIPED)
    return word


def read_at(number: int, size: int, at: int) -> bytes:
    """Return bytes of a file. Raises StoreLostError if it is shorter."""
    try:
        found = os.pread(number, size, at)
    except OSError as error:
        raise unread(error) from error
    if len(found) != size:
        raise StoreLostError(_TRUNCATED)
    return found


def write_at(number: int, at: int, word: bytes) -> None:
    """Write bytes to a file. Raises StoreError."""
    try:
        os.pwrite(number, word, at)
    except OSError as error:
        raise unwritten(error) from error


def unread(error: OSError) -> StoreError:
    """Return the error of a table that cannot be read."""
    return StoreError(f"cannot read the generation table: {error}")


def unwritten(error: OSError) -> StoreError:
    """Return the error of a table that cannot be written."""
    return StoreError(f"cannot write the generation table: {error}")
