"""The file that holds a machine's generation table, read and written by every process.

The first process that needs the file makes it. A file from before the last boot is
replaced: a power loss may have lost its last evictions. A damaged one is replaced, too.
`slots_in_place` checks that the file was not removed or replaced: before each load, and
after each eviction.

The file is not mapped: a program that truncates it would kill every process that reads
its mapping (SIGBUS). All blocks are allocated when the file is made, so that a write
finds room on a full disk. Every slot is written, too, with the origin generation: zeros
were wiped, or fill up a file that was truncated.

The mark
--------
To read a slot takes a system call. The file's modification time tells a reader that no
slot has changed, with the `stat` that it needs in any case.

    A writer that has changed slots puts a fresh random number, the *mark*, into the
    header, sets the modification time to it, and only then returns.

    A reader looks at the modification time first. If it is the header's mark, what the
    reader then finds in the slots counts as long as the modification time stays.

Why an eviction that has returned is never overlooked: it has set a modification time of
its own after its last change. So a reader that still finds the earlier mark has looked
before the eviction returned. In the other order, with the slots read before the mark,
an eviction between the two would hide the old slots behind the new mark.

Each write sets the modification time to the clock's. Such a time is no mark: it is not
that of the header, and the reader remembers nothing. It may come again within a tick
of the clock, in the middle of two evictions. A mark is random, not counted: a writer
that proceeds without the lock would count to the same number. A mark never comes again.

The rule needs nothing of the file system. If that rounds times, or if a program touches
the file or was killed in an eviction, no mark is found, and each read reads the slots.

A writer goes on with what its process remembers, if that counted when it got the lock.
While it has the lock, only its own writes change the slots, and it notes them. So with
its new mark all of that counts. A writer that has no lock breaks the rule; after the
first one, no writer of this table goes on so. Nor does an eviction of a signal handler
within another eviction, or that other one.

Linux copies eight aligned bytes in one move on all processors that it is known to run
on. If it did not, a reader might see half of a generation. Half of a random number
equals no snapshot; and an entry that is filled under one is never served.
"""

import contextlib
import errno
import fcntl
import os
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from botocache._errors import StoreError, pass_on, shows
from botocache.stores.disk.private_files import FILE_MODE, check_opened
from botocache.stores.disk.slot_words import (
    HEADER_SIZE,
    ORDER,
    SLOT_COUNT,
    SLOT_FORMAT,
    WORD_FORMAT,
    FileTable,
    FileWords,
    OwnedFile,
    RememberedSlots,
    unread,
    write_at,
)
from botocache.stores.generation_table import SLOT, WORD, GenerationTable, SlotReader
from botocache.stores.options import BOOT_ID
from botocache.stores.protocol import Random, StillCurrent

LOCK_PATIENCE = 0.05
"""Seconds to wait for another process's lock.

A holder needs microseconds, unless it was stopped (SIGSTOP, a frozen container)."""

MAKER_PATIENCE = 0.25
"""Seconds to wait for another process to make the table.

It writes 16 MiB, which takes about 10 ms on an idle machine."""

IMPATIENCE = 1.0
"""Seconds after a vain wait for the lock in which no call waits for it again."""

_MAGIC = b"botocache slots\x03"
_HEADER = struct.Struct("=16s16sQQ")  # magic, boot, slots, origin generation
_ORIGIN_AT = 40
_INTRUSIONS_AT = 48  # the first after the header proper
_STAMP_SIZE = _INTRUSIONS_AT + 8
_NO_INTRUSION = bytes(8)
_MARK_AT = 56
_MARK_RANGE = 1 << 50
"""Nanoseconds. A mark lies up to 13 days ago: a date that surprises no program."""

_TEMPORARY = "new-"
_LONGEST_MAKING = 60.0
"""Seconds after which nothing makes a temporary file any more."""

_WRITTEN_AT_ONCE = 1 << 12
"""Slots in one write to a new file: 64 KiB, to save 16 MiB of memory."""

_SIZE = HEADER_SIZE + SLOT_COUNT * SLOT

_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""O_NONBLOCK: to open a device or a pipe in the place of a file takes no time."""


def boot_id() -> bytes:
    """Return 16 bytes that are the same until the machine is booted again.

    Read when a table is opened, not before. Raises StoreError if there is none.
    """
    try:
        return UUID(BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError) as error:
        raise StoreError(
            "the disk store needs the boot id of Linux, to find files from before a "
            f"power loss: {error}"
        ) from error


class GenerationFile:
    """One generation table. `Exclusive` keeps other processes' writers out.

    slots: the table itself, for writers. A generation of 0 was wiped.
    words: of the slots.
    identity: differs from that of every other file, also of a copy.
    owned: the file.
    seen: the slots as they were found last.
    is_held: whether this process has the lock.
    random: makes new generations.
    """

    def __init__(self, path: Path, number: int, boot: bytes, random: Random) -> None:
        """Use an open file. Raises StoreError if it is no table of this boot.

        path: of the file.
        number: of the file's descriptor; this object closes it.
        boot: this boot's id, 16 bytes.
        random: makes new generations.
        """
        self._path = str(path)
        self.owned = OwnedFile(number)
        self._file = self.owned.file
        self.random = random
        self._is_open = True
        self.is_held = False
        self._impatient_until = 0.0
        status = os.fstat(number)
        self._header = os.pread(number, _HEADER.size, 0)
        origin = _checked(self._header, status, boot)
        self.identity = (origin, self._file.device, self._file.inode, _SIZE)
        self.words = FileWords(self.owned)
        self.slots: GenerationTable = FileTable(
            self.words,
            origin_generation=0,  # slots that were never evicted are not zero here
            random=random,
        )
        self.seen = RememberedSlots(self.owned, None)

    def __repr__(self) -> str:
        return f"<GenerationFile {self._path}>"

    def abandon(self) -> None:
        """Let nothing that is watched here be current any more."""
        self._is_open = False
        self.owned.is_ours()  # asked before the file is opened again

    def is_in_place(self) -> bool:
        """Return True if the path still names this file, undamaged."""
        return self.slots_in_place() is not None

    def slots_in_place(self) -> "RememberedSlots | None":
        """Return the slots as they are now; None if the table is not in place.

        About 2 µs: every load begins with it. Processes that use different
        files would not see each other's evictions.
        """
        try:
            status = os.stat(self._path)  # noqa: PTH116 - Path.stat takes twice as long
        except OSError as error:
            pass_on(error)  # a time limit may be a TimeoutError
            return None
        seen = self.seen
        if (
            status.st_mtime_ns == seen.mark
            and status.st_ino == self._file.inode
            and status.st_dev == self._file.device
            and status.st_size == _SIZE
            and self._is_open
        ):
            return seen
        return self._slots_at(status)

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """See Watching.watch."""
        seen, known = self.slots_in_place(), tuple(snapshot)
        # Before the slots: another thread may evict, and set another mark.
        mark = None if seen is None else seen.mark
        if seen is None or not _are_current(seen, tags, known):
            return _never

        # Defaults are read faster than the attributes of `self`.
        def is_current(
            table: GenerationFile = self,
            path: str = self._path,
            inode: int = self._file.inode,
            device: int = self._file.device,
        ) -> bool:
            # Almost what slots_in_place does: the whole of a near hit's check.
            nonlocal mark
            try:
                status = os.stat(path)  # noqa: PTH116 - Path.stat takes twice as long
            except OSError as error:
                pass_on(error)
                return False
            if (
                status.st_mtime_ns == mark
                and status.st_ino == inode
                and status.st_dev == device
            ):
                return table._is_open
            seen = table._slots_at(status)
            found = None if seen is None else seen.mark  # before the slots, as above
            if seen is None or not _are_current(seen, tags, known):
                return False
            mark = found
            return True

        return is_current

    def _slots_at(self, status: os.stat_result) -> "RememberedSlots | None":
        """Return the slots, for a reader who has just seen this status of the path."""
        file, seen = self._file, self.seen
        if (
            not self._is_open
            or (status.st_ino, status.st_dev) != (file.inode, file.device)
            or status.st_size != _SIZE
        ):
            return None
        if status.st_mtime_ns == seen.mark:
            return seen
        try:
            header = os.pread(file.number, HEADER_SIZE, 0)
        except OSError as error:
            pass_on(error)
            return None
        # Another header: the table was condemned or overwritten, or the program closed
        # our descriptor, and its number belongs to another file now.
        if header[: _HEADER.size] != self._header or len(header) != HEADER_SIZE:
            return None
        mark = int.from_bytes(header[_MARK_AT:], ORDER)
        if status.st_mtime_ns != mark:
            return RememberedSlots(self.owned, None)  # for this reader alone
        # Read before the mark of the header, so the slots will be read after both.
        self.seen = seen = RememberedSlots(self.owned, mark)
        return seen

    def has_descriptor(self) -> bool:
        """Return True unless the program closed our descriptor (about 1 µs)."""
        return self.owned.is_ours()

    def stamp(self) -> "Stamp | None":
        """Return what changes when a writer proceeds without the lock (about 3 µs).

        None if this table must not be written to: it was abandoned or condemned, or the
        program closed our descriptor.
        """
        file = self._file
        if not self._is_open:
            return None
        try:
            status = os.fstat(file.number)
        except OSError as error:
            pass_on(error)  # a time limit may be a TimeoutError
            status = None
        if (
            status is None
            or status.st_ino != file.inode
            or status.st_dev != file.device
            or self.owned.is_lost
        ):
            self.owned.is_lost = True
            return None
        try:
            header = os.pread(file.number, HEADER_SIZE, 0)
        except OSError as error:
            raise unread(error) from error
        # A file that was truncated has too short a one.
        if len(header) != HEADER_SIZE or not header.startswith(self._header):
            return None
        mark = int.from_bytes(header[_MARK_AT:], ORDER)
        stamp = header[:_STAMP_SIZE]
        is_marked = status.st_mtime_ns == mark and status.st_size == _SIZE
        return Stamp(stamp, mark if is_marked else None)

    def condemn(self) -> None:
        """Mark this table as damaged; every process then opens or makes another one."""
        self.abandon()
        if self.owned.is_ours():
            with contextlib.suppress(OSError):
                os.pwrite(self._file.number, bytes(WORD), _ORIGIN_AT)
                os.utime(self._file.number)

    def wait_for_lock(self) -> bool:
        """Return True if the lock becomes free within the patience."""
        now = time.monotonic()
        # One wait for all calls. Else threads that write would wait one after another,
        # and a write at its begin and at its end.
        locked = now >= self._impatient_until and lock_within(
            self._file.number, LOCK_PATIENCE
        )
        if not locked:
            self._impatient_until = max(self._impatient_until, now + IMPATIENCE)
        if not self.owned.is_ours():  # closed during the wait
            raise StoreError(f"the descriptor of {self._path} was closed")
        return locked


@shows("mark")
class Stamp(NamedTuple):
    """What a writer sees of a table before it waits for the lock.

    header: changes when a writer proceeds without the lock.
    mark: of the header, if it shows that no slot has changed since it was set; else
        None.
    """

    header: bytes
    mark: int | None


class Exclusive:
    """Keeps the writers of other processes out, or proceeds after `LOCK_PATIENCE`.

    Sets a new mark at its end: what is written within shows to all readers then.

    A holder that keeps the lock longer is assumed to be stopped. Without the lock a
    hold-off may be lost, an eviction cannot. When the holder continues, it may restore
    an old generation; it sees by `intrusions` that it was not alone.

    If only this process has written since it read the slots, what it remembers of them
    stays true, with what it writes itself. So its second eviction need not read what
    its first one wrote, and its hits read nothing again. That ends for ever with the
    first writer that proceeds without the lock: it might still be writing.

    is_disturbed: whether a writer proceeded without the lock meanwhile.
    """

    __slots__ = (
        "_before",
        "_holds",
        "_locked",
        "_seen",
        "_stamp",
        "_table",
        "is_disturbed",
    )

    def __init__(self, table: GenerationFile, stamp: Stamp | None = None) -> None:
        self._table = table
        self._stamp = stamp
        self._before = table.seen
        self._seen: RememberedSlots | None = None
        self._holds = self._locked = self.is_disturbed = False

    def __enter__(self) -> None:
        table, stamp = self._table, self._stamp
        number = table.owned.file.number
        # False if a signal handler evicts in the middle of an eviction.
        self._holds = not table.is_held
        try:
            # Inside: a signal handler may raise as soon as the file is locked.
            table.is_held = True
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._locked = True
            except BlockingIOError:
                self._locked = table.wait_for_lock()
            seen = self._before = table.seen
            if not self._locked:
                write_at(number, _INTRUSIONS_AT, table.random(WORD))
            elif not self._holds:
                # What the outer eviction goes on with may lack what it has written. So
                # it is left alone here, and not gone on with there: see `__exit__`.
                table.words.remembered = None
            elif stamp is not None and stamp.header.endswith(_NO_INTRUSION):
                if (
                    stamp.mark is None
                    or stamp.mark != seen.mark
                    # Another writer came before this one had the lock. By the time, not
                    # by the header: one that was killed has left no mark.
                    or os.fstat(number).st_mtime_ns != stamp.mark
                ):
                    seen = RememberedSlots(table.owned, None)
                self._seen = seen
                table.words.remembered = seen.words
        except OSError as error:
            self.release()
            raise StoreError(f"cannot lock the generation table: {error}") from error
        except BaseException:
            self.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        table, seen, stamp = self._table, self._seen, self._stamp
        number = table.owned.file.number
        try:
            table.words.remembered = None
            mark = _set_mark(number, table.slots.draw())
            if stamp is not None:
                # Before the lock is given up: it says what is remembered, too.
                header = os.pread(number, _STAMP_SIZE, 0)
                self.is_disturbed = header != stamp.header
            if (
                kind is None
                and not self.is_disturbed
                and seen is not None
                # No signal handler has evicted meanwhile.
                and table.seen is self._before
                and not seen.is_full
            ):
                seen.mark = mark  # after its words: see `watch`
                table.seen = seen
            else:
                table.seen = RememberedSlots(table.owned, mark)
        except OSError as error:
            raise unread(error) from error
        finally:
            self.release()

    def release(self) -> None:
        """Give up the lock, if that has not been done.

        Call it after an exception: an interruption at the very beginning of `__exit__`
        keeps it from doing anything.
        """
        table = self._table
        if self._holds:
            table.words.remembered = None
            table.is_held = False
            # Without the lock, the number may be another file's by now.
            if self._locked or table.owned.is_ours():
                fcntl.flock(table.owned.file.number, fcntl.LOCK_UN)
            self._holds = False  # last: it may be interrupted, too


def _set_mark(number: int, drawn: int) -> int:
    """Put a new mark into the header, then set the modification time to it.

    Called after the slots were written: see the top of this file.

    drawn: a random number of 64 bits.
    """
    mark = time.time_ns() - drawn % _MARK_RANGE
    try:
        os.pwrite(number, WORD_FORMAT.pack(mark), _MARK_AT)
        os.utime(number, ns=(mark, mark))
    except OSError as error:
        raise StoreError(f"cannot mark the generation table: {error}") from error
    return mark


def _are_current(
    slots: SlotReader, tags: Sequence[bytes], snapshot: tuple[int, ...]
) -> bool:
    try:
        return slots.generations(tags) == snapshot
    except StoreError:
        return False


def _never() -> bool:
    return False


def _checked(header: bytes, status: os.stat_result, boot: bytes) -> int:
    """Return the origin generation of a table that can be trusted, or raise."""
    if status.st_size != _SIZE or len(header) != _HEADER.size:
        raise StoreError("not a generation table: wrong size")
    magic, made_in, count, origin_generation = _HEADER.unpack(header)
    if (magic, count) != (_MAGIC, SLOT_COUNT) or not origin_generation:
        raise StoreError("not a generation table of this version")
    if made_in != boot:
        raise StoreError("a generation table from another boot")
    return int(origin_generation)


def lock_within(fd: int, patience: float) -> bool:
    """Lock a file against other processes, or return False after `patience` seconds.

    The operating system releases the lock when the process dies.
    """
    deadline = 0.0  # set after the first failure: most calls read no clock
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # noqa: PERF203 - the loop retries because of it
            now = time.monotonic()
            deadline = deadline or now + patience
            if now >= deadline:
                return False
            time.sleep(0.0001)  # flock has no timeout of its own
        else:
            return True


def open_generation_file(
    path: Path, boot: bytes, random: Random, directory: int | None = None
) -> GenerationFile:
    """Open the table, or make it. Several processes may call this at once.

    path: of the file.
    boot: this boot's id, 16 bytes.
    random: makes new generations.
    directory: a descriptor of the directory in which the file must be; None if the path
        leads to it for certain.

    Raises StoreError (also when the disk is full) or OSError.
    """
    try:
        return _open(path, boot, random, directory)
    except (StoreError, FileNotFoundError):
        pass
    with _lock_of_makers(path, directory):
        try:
            return _open(path, boot, random, directory)
        except (StoreError, FileNotFoundError):
            _make(path, boot, random)
            return _open(path, boot, random, directory)


@contextlib.contextmanager
def _lock_of_makers(path: Path, directory: int | None) -> Iterator[None]:
    """Let one process make the table, and others wait for `MAKER_PATIENCE`."""
    path = path.with_name("lock")
    try:
        lock = _open_checked(path, os.O_CREAT, directory)
    except StoreError:
        path.unlink(missing_ok=True)  # e.g. a second name, of a backup by hard links
        lock = _open_checked(path, os.O_CREAT, directory)
    try:
        # Without the lock, after this wait, two processes may each make a table. The
        # later one replaces the earlier, which slots_in_place() then detects.
        lock_within(lock, MAKER_PATIENCE)
        yield
    finally:
        os.close(lock)


def _open(
    path: Path, boot: bytes, random: Random, directory: int | None
) -> GenerationFile:
    return GenerationFile(path, _open_checked(path, 0, directory), boot, random)


def _open_checked(path: Path, flags: int, directory: int | None) -> int:
    """Open a file of this user's own. Raises StoreError for any other, or OSError."""
    try:
        number = os.open(path, flags | _FLAGS, FILE_MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{path} is a link") from None
        raise
    try:
        check_opened(number, path, directory)
    except BaseException:
        os.close(number)
        raise
    return number


def _make(path: Path, boot: bytes, random: Random) -> None:
    """Write a new table beside `path`, then rename it: no process opens a part."""
    for leftover in path.parent.glob(f"{_TEMPORARY}*"):  # its process was killed
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            # Not one that another process makes right now. Its other time is a mark.
            if time.time() - leftover.lstat().st_ctime > _LONGEST_MAKING:
                leftover.unlink()
    origin_generation = int.from_bytes(random(WORD), "little") or 1
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
    try:
        os.fchmod(fd, FILE_MODE)  # whatever the umask is
        os.posix_fallocate(fd, 0, _SIZE)
        os.pwrite(fd, _HEADER.pack(_MAGIC, boot, SLOT_COUNT, origin_generation), 0)
        slots = SLOT_FORMAT.pack(origin_generation, 0) * _WRITTEN_AT_ONCE
        for at in range(HEADER_SIZE, _SIZE, len(slots)):
            os.pwrite(fd, slots, at)
        _set_mark(fd, int.from_bytes(random(WORD), ORDER))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
