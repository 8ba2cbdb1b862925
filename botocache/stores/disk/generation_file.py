"""The file that holds a machine's generation table, mapped by every process.

The first process that needs the file makes it. A file from before the last boot is
replaced: a power loss may have lost its last evictions. A damaged one is replaced,
too. Before each use `is_in_place` checks that the file was not removed or replaced.

All blocks are allocated when the file is made. Otherwise a write to a mapped hole on a
full disk would raise SIGBUS, which kills the process. Every slot is written, too, with
the origin generation, so that a slot of zeros is one that was wiped.
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
"""16 MiB. At a million live tags, a tag shares its slot with one other on average.

An eviction of a tag also evicts those that share its slot."""

LOCK_PATIENCE = 0.05
"""Seconds to wait for another process's lock.

A holder needs microseconds, unless it was stopped (SIGSTOP, a frozen container)."""

_MAGIC = b"botocache slots\x02"
_HEADER = struct.Struct("=16s16sQQ")  # magic, boot, slots, origin generation
_HEADER_SIZE = 64
_ORIGIN_WORD = 5
_INTRUSIONS_WORD = 6  # the first after the header proper
_TEMPORARY = "new-"
_WRITTEN_AT_ONCE = 1 << 12
"""Slots in one write to a new file: 64 KiB, to save 16 MiB of memory."""

_SIZE = _HEADER_SIZE + SLOT_COUNT * SLOT


def boot_id() -> bytes:
    """Return 16 bytes that are the same until the machine is booted again.

    Raises StoreError if the operating system has no boot id.
    """
    try:
        return UUID(BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError) as error:
        raise StoreError(f"this machine has no boot id: {error}") from error


class GenerationFile:
    """One mapped generation table. `exclusive()` keeps other processes' writers out.

    slots: the table itself. A generation of 0 was wiped.
    identity: differs from that of every other file, also of a copy.
    """

    def __init__(self, path: Path, fd: int, boot: bytes, random: Random) -> None:
        """Map an open file. Raises StoreError if it is no table of this boot.

        path: of the file.
        fd: of the file; this object closes it.
        boot: this boot's id, 16 bytes.
        random: makes new generations.
        """
        self._path = str(path)
        self._fd = fd
        status = os.fstat(fd)
        self._origin = _checked(os.pread(fd, _HEADER.size, 0), status, boot)
        self._file = (status.st_dev, status.st_ino, status.st_size)
        self.identity = (self._origin, *self._file)
        try:
            mapped = mmap.mmap(fd, _SIZE)
        except ValueError as error:  # the file shrank after fstat
            raise StoreError(f"cannot map the generation table: {error}") from error
        self._header = memoryview(mapped)[:_HEADER_SIZE].cast("Q")
        self.slots = GenerationTable(
            memoryview(mapped)[_HEADER_SIZE:],
            origin_generation=0,  # slots that were never evicted are not zero here
            random=random,
        )

    def __repr__(self) -> str:
        return f"<GenerationFile {self._path}>"

    def __del__(self) -> None:
        # Not closed earlier: another thread may still read or lock a replaced table.
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def is_in_place(self) -> bool:
        """Return True if the path still names this file and its size is unchanged.

        The store checks this before every use (about 1 µs). Processes that map
        different files would not see each other's evictions, and reading a truncated
        file raises SIGBUS. The header detects a file that was overwritten in place,
        which would restore old generations.
        """
        try:
            status = os.stat(self._path)  # noqa: PTH116 - Path.stat takes twice as long
        except OSError:
            return False
        file = (status.st_dev, status.st_ino, status.st_size)
        return file == self._file and self._header[_ORIGIN_WORD] == self._origin

    def intrusions(self) -> int:
        """Return a number that changes when a writer proceeds without the lock."""
        return self._header[_INTRUSIONS_WORD]

    def condemn(self) -> None:
        """Mark this table as damaged; every process then opens or makes another one."""
        self._header[_ORIGIN_WORD] = 0

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep the writers of other processes out, or proceed after `LOCK_PATIENCE`.

        A holder that keeps the lock longer is assumed to be stopped. Without the lock a
        hold-off may be lost, an eviction cannot. When the holder continues, it may
        restore an old generation; it sees by `intrusions` that it was not alone.
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


def open_generation_file(path: Path, boot: bytes, random: Random) -> GenerationFile:
    """Open the table, or make it. Several processes may call this at once.

    Raises StoreError (also when the disk is full) or OSError.
    """
    try:
        return _open(path, boot, random)
    except (StoreError, FileNotFoundError):
        pass
    lock = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Without the lock, after this wait, two processes may each make a table. The
        # later one replaces the earlier, which is_in_place() then detects.
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
    """Write a new table beside `path`, then rename it: no process opens a part."""
    for leftover in path.parent.glob(f"{_TEMPORARY}*"):  # its process was killed
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
