"""The file that holds a machine's generation table, mapped by every process.

It owns the file's life: made once, whoever comes first; never trusted across a boot,
because a power cut may have lost the last evictions; replaced when it is damaged; and
noticed when somebody removes, replaces or wipes it. All of its blocks are allocated
when it is made: writing to a hole of a mapped file on a full disk kills the process
(SIGBUS), and no cache may do that. Every slot is written, too, with the origin
generation: so one that is zero was wiped, and can be told from one never evicted.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from botocache._errors import StoreError
from botocache.stores.generation_table import SLOT, WORD, GenerationTable
from botocache.stores.options import BOOT_ID
from botocache.stores.protocol import Random

SLOT_COUNT = 1 << 20
"""16 MiB. With a million tags alive a write evicts one stranger for each of its own."""

LOCK_PATIENCE = 0.05
"""Seconds to wait for another process's lock. It is held for microseconds, unless its
holder was stopped (SIGSTOP, a frozen container), and nobody should wait for that."""

_MAGIC = b"botocache slots\x02"
_HEADER = struct.Struct("=16s16sQQ")  # magic, boot, slots, origin generation
_HEADER_SIZE = 64
_ORIGIN_WORD = 5
_INTRUSIONS_WORD = 6  # the first after the header proper
_TEMPORARY = "new-"
_WRITTEN_AT_ONCE = 1 << 12
"""GenerationTable. 64 KiB a time: fast, and no 16 MiB of the process's own memory."""

_SIZE = _HEADER_SIZE + SLOT_COUNT * SLOT


def boot_id() -> bytes:
    """Return 16 bytes that are the same until the machine is booted again.

    Raises StoreError where the operating system does not tell.
    """
    try:
        return UUID(BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError) as error:
        raise StoreError(f"this machine has no boot id: {error}") from error


class GenerationFile:
    """One mapped slot table.

    slots: the view; a generation of 0 was wiped. identity: tells this table from any
    other, and from a copy of itself. exclusive(): keeps writers out.
    """

    def __init__(self, path: Path, fd: int, boot: bytes, random: Random) -> None:
        """Map an open file, and take over `fd`. Raises StoreError if it is no table."""
        self._path = str(path)
        self._fd = fd
        status = os.fstat(fd)
        self._origin = _checked(os.pread(fd, _HEADER.size, 0), status, boot)
        self._file = (status.st_dev, status.st_ino, status.st_size)
        self.identity = (self._origin, *self._file)
        try:
            mapped = mmap.mmap(fd, _SIZE)
        except ValueError as error:  # it shrank meanwhile
            raise StoreError(f"cannot map the generation table: {error}") from error
        self._header = memoryview(mapped)[:_HEADER_SIZE].cast("Q")
        self.slots = GenerationTable(
            memoryview(mapped)[_HEADER_SIZE:],
            origin_generation=0,  # never evicted is not zero here
            random=random,
        )

    def __repr__(self) -> str:
        return f"<GenerationFile {self._path}>"

    def __del__(self) -> None:
        # Whoever still reads the old table keeps it alive; the last one closes it.
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def is_in_place(self) -> bool:
        """Tell whether the path still names this file, whole.

        Asked before every use (about 1 µs): processes that map different files would
        not see each other's evictions, and touching a truncated one is a SIGBUS. One
        overwritten in place would bring old generations back: its header tells that.
        """
        try:
            status = os.stat(self._path)  # noqa: PTH116 - Path.stat takes twice as long
        except OSError:
            return False
        file = (status.st_dev, status.st_ino, status.st_size)
        return file == self._file and self._header[_ORIGIN_WORD] == self._origin

    def intrusions(self) -> int:
        """Return a number that changes when a writer goes on without the lock."""
        return self._header[_INTRUSIONS_WORD]

    def condemn(self) -> None:
        """Have every process take another table: this one is damaged."""
        self._header[_ORIGIN_WORD] = 0

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep the writers of other processes out, as far as patience goes.

        When it ends without the lock, the holder is taken for stopped and the writer
        goes on: a hold-off may then be lost, an eviction cannot. The holder may believe
        that it was alone, and put an old generation back; `intrusions` tells it.
        """
        locked = lock_within(self._fd, LOCK_PATIENCE)
        if not locked:
            self._header[_INTRUSIONS_WORD] = (self.intrusions() + 1) % (1 << 64)
        try:
            yield
        finally:
            if locked:
                fcntl.flock(self._fd, fcntl.LOCK_UN)


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

    The operating system unlocks it when the process dies.
    """
    deadline = 0.0
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # noqa: PERF203 - it is what we wait for
            now = time.monotonic()
            deadline = deadline or now + patience
            if now >= deadline:
                return False
            time.sleep(0.0001)  # a real wait, for another process's lock
        else:
            return True


def open_generation_file(path: Path, boot: bytes, random: Random) -> GenerationFile:
    """Open the table, or make it. Any number of processes may do so at once.

    Raises StoreError (also when the disk is full) or OSError.
    """
    try:
        return _open(path, boot, random)
    except (StoreError, FileNotFoundError):
        pass
    lock = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock_within(lock, 20 * LOCK_PATIENCE)
        try:
            return _open(path, boot, random)
        except (StoreError, FileNotFoundError):
            _make(path, boot, random)
            return _open(path, boot, random)
    finally:
        os.close(lock)


def _open(path: Path, boot: bytes, random: Random) -> GenerationFile:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    return GenerationFile(path, fd, boot, random)


def _make(path: Path, boot: bytes, random: Random) -> None:
    """Put a new table in place, whole: nobody ever opens half of one."""
    for leftover in path.parent.glob(f"{_TEMPORARY}*"):  # its maker was killed
        leftover.unlink(missing_ok=True)
    origin_generation = int.from_bytes(random(WORD), "little") or 1
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
    try:
        os.posix_fallocate(fd, 0, _SIZE)
        os.pwrite(fd, _HEADER.pack(_MAGIC, boot, SLOT_COUNT, origin_generation), 0)
        slots = struct.pack("=QQ", origin_generation, 0) * _WRITTEN_AT_ONCE
        for at in range(_HEADER_SIZE, _SIZE, len(slots)):
            os.pwrite(fd, slots, at)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
