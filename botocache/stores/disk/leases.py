"""The leases that a process holds on this machine: locks on bytes of one file.

Each key has a byte of its own, and the file is empty: a lock needs no byte to be there.
The locks are those of open file descriptions, which the system drops when the process
dies, however it dies. Within the process a dict keeps threads apart, because all of
them lock through one descriptor.

The system knows no time. A lease whose time is over is taken by the next reader of its
own process; other processes wait for its bytes until it is given back. They wait for a
moment only, and then ask.

Where the system or the file system has no such locks, everyone gets a lease. This is
logged once.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Final

from botocache._errors import StoreError, pass_on
from botocache._forks import renew_after_fork
from botocache._log import log, log_once
from botocache.stores.disk.descriptors import OpenFile, open_file
from botocache.stores.disk.private_files import (
    FILE_MODE,
    check_opened,
    private_directory,
)
from botocache.stores.protocol import Clock

NAME = "leases"

_SET_LOCK: Final[int | None] = getattr(fcntl, "F_OFD_SETLK", None)

_LOCK = struct.Struct("hhqqi")
"""`struct flock`: kind, whence, start, length, process. The process must be 0."""

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_TAKEN = (errno.EAGAIN, errno.EACCES)

_NO_LEASES = (
    "the system or the file system of the cache's directory has no locks of open file "
    "descriptions; reads that miss ask DynamoDB at once, as without miss_leases"
)

SetLock = Callable[[int, bytes], object]
"""Locks or unlocks a byte, or raises OSError: `fcntl.fcntl`, except in tests."""


def _set_lock(number: int, lock: bytes) -> None:
    if _SET_LOCK is None:
        raise OSError(errno.ENOSYS, "no locks of open file descriptions")
    fcntl.fcntl(number, _SET_LOCK, lock)


class DiskLeases:
    """The leases of one store of this process. It opens its file for the first one.

    root: of the store.
    below: names of directories below it, in the last of which the file lies.
    clock: seconds; for the time of leases.
    set_lock: locks or unlocks a byte.
    """

    def __init__(
        self,
        root: Path,
        below: Sequence[str],
        clock: Clock,
        set_lock: SetLock = _set_lock,
    ) -> None:
        self._root: Final = root
        self._below: Final = below
        self._path: Final = str(root.joinpath(*below, NAME))
        self._clock: Final = clock
        self._set_lock: Final = set_lock
        self._reset()
        renew_after_fork(self, DiskLeases._leave_to_parent)

    def __repr__(self) -> str:
        return f"<DiskLeases {self._path}, {len(self.held)} held>"

    def _reset(self) -> None:
        self.held: dict[int, DiskLease] = {}
        self._file: OpenFile | None = None
        self._opening = RLock()  # a signal handler may make calls, too

    def take(self, key: bytes, seconds: float) -> "DiskLease | None":
        """See Leasing.take_lease."""
        byte, now = _byte_of(key), self._clock()
        lease = DiskLease(self, byte, now + seconds)
        holder = self.held.setdefault(byte, lease)
        if holder is not lease:
            if 0.0 <= holder.until - now <= seconds:
                return None
            self.held[byte] = lease  # the other one has ended; its lock is this one's
        try:
            lease.is_locked = self._lock(byte)
        except BaseException:
            lease.end()
            raise
        if not lease.is_locked:
            lease.end()
            return None
        return lease

    def end_of(self, keys: Iterable[bytes]) -> None:
        """End the leases of keys, if this process has any."""
        for key in keys:
            lease = self.held.get(_byte_of(key))
            if lease is not None:
                lease.end()

    def has_any_of(self, keys: Iterable[bytes]) -> bool:
        """Return whether this process has a lease of one of the keys."""
        return any(_byte_of(key) in self.held for key in keys)

    def close(self) -> None:
        """End all leases, and close the file."""
        file = self._file
        self._reset()
        if file is not None:
            file.close()

    def _leave_to_parent(self) -> None:
        """Forget what the parent holds, in a child: closing ends none of its locks."""
        # It must be closed all the same: a lock lasts while any process has it open.
        self.close()

    def _lock(self, byte: int) -> bool:
        """Lock a byte; return False if another process has locked it."""
        file = self._file_in_place()
        try:
            self._set_lock(file.number, _LOCK.pack(fcntl.F_WRLCK, 0, byte, 1, 0))
        except OSError as error:
            own = pass_on(error)
            if error.errno in _TAKEN:
                return False
            if not file.is_ours():
                raise StoreError("the descriptor of the leases was closed") from own
            log_once(log.info, "leases_not_supported", _NO_LEASES)
        return True

    def unlock(self, byte: int) -> None:
        """Unlock a byte."""
        file = self._file
        if file is not None and file.is_ours():
            with suppress(OSError):
                self._set_lock(file.number, _LOCK.pack(fcntl.F_UNLCK, 0, byte, 1, 0))

    def _file_in_place(self) -> OpenFile:
        """Return the file that is at the path now; open or make it if necessary."""
        file = self._file
        if file is not None and _is_at(self._path, file) and file.is_ours():
            return file
        with self._opening:
            file, found = self._file, None
            if file is not None:
                if _is_at(self._path, file) and file.is_ours():
                    return file
                # The program closed it, or the directory was removed: with the file go
                # its locks. Other processes lock another one.
                self.held = {b: each for b, each in self.held.items() if each.is_new}
                self._file = None
                file.close()
            try:
                with private_directory(self._root, *self._below) as directory:
                    number = os.open(NAME, _FLAGS, FILE_MODE, dir_fd=directory)
                    try:
                        check_opened(number, Path(self._path), directory)
                        found = open_file(number)
                    finally:
                        if found is None:
                            os.close(number)
            except OSError as error:
                raise StoreError(f"cannot open {self._path}: {error}") from pass_on(
                    error
                )
            self._file = found
            return found


class DiskLease:
    """See Lease.

    until: when its time is over, by the clock of the store.
    is_locked: whether its byte is locked; None until that is known.
    """

    __slots__ = ("_byte", "_leases", "is_locked", "until")

    def __init__(self, leases: DiskLeases, byte: int, until: float) -> None:
        self._leases = leases
        self._byte = byte
        self.until = until
        self.is_locked: bool | None = None

    def __repr__(self) -> str:
        is_held = self._leases.held.get(self._byte) is self
        return f"<DiskLease {'held' if is_held else 'ended'}>"

    @property
    def is_new(self) -> bool:
        """Whether its byte is yet to be locked."""
        return self.is_locked is None

    def end(self) -> bool:
        """End it; return True if it had not ended."""
        held = self._leases.held
        # Another reader of this process has taken it over, or the file is another one.
        if held.get(self._byte) is not self:
            return False
        # First: once it is out of the dict, another thread may lock the byte.
        if self.is_locked is not False:
            self._leases.unlock(self._byte)
        return held.pop(self._byte, None) is not None

    def give_back(self) -> bool:
        """See Lease.give_back."""
        return self.end()

    def drop(self) -> None:
        """See Lease.drop. A system call that does not wait."""
        self.end()


def _byte_of(key: bytes) -> int:
    """Return the byte that stands for a key; of 2**62, so no two keys share one."""
    return int.from_bytes(key[:8], "little") >> 2


def _is_at(path: str, file: OpenFile) -> bool:
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - Path.stat takes twice as long
    except OSError as error:
        pass_on(error)
        return False
    return status.st_ino == file.inode and status.st_dev == file.device
