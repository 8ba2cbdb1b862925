"""Small records that the processes of a machine leave each other. See Board.

    <root>/v1/<namespace>/board/r-<name>   a record: magic, end of its life, bytes
    <root>/v1/<namespace>/board/lock       held while records are changed or read
    <root>/v1/<namespace>/board/journal    a merge that has begun, and is to be finished

A record is written beside its place and renamed, so no process reads a part of one. A
merge that is killed half-way would count what it merged twice. So it first writes the
journal, and the next process that has the lock finishes what stands there.

A process may be stopped while it has the lock. Others wait for a moment only: then they
post and read without it, and merge nothing. A reader then sees the merge of the journal
as finished.

Another program of this user may put anything into the directory. A file is used only if
it is a regular one of this user's, of a bounded size. No link is followed.
"""

import contextlib
import os
import stat
import struct
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from botocache._errors import StoreError, pass_on
from botocache.stores.boards import (
    LARGEST_RECORD,
    MOST_BYTES,
    MOST_PARTS,
    MOST_RECORDS,
    check_merge,
    check_record,
    end_of_life,
    full_board,
    is_name,
    lives,
)
from botocache.stores.disk.generation_file import lock_within
from botocache.stores.disk.private_files import (
    FILE_MODE,
    check_opened,
    private_directory,
)
from botocache.stores.protocol import Clock, Random

LOCK_PATIENCE = 0.05
"""Seconds to wait for another process. Reading all records takes it some 10 ms."""

_HEADER = struct.Struct("<8sd")
_MAGIC = b"botorec\x01"
_LARGEST_FILE = _HEADER.size + LARGEST_RECORD

_PREFIX = "r-"
_TEMPORARY = ".new-"
_LOCK = "lock"
_JOURNAL = "journal"

_LONGEST_WRITING = 60.0
"""Seconds after which nothing writes a temporary file any more."""

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""O_NONBLOCK: to open a device or a pipe in the place of a file takes no time."""


class _Merge(msgspec.Struct, array_like=True, frozen=True):
    """What stands in the journal.

    temporary: the file that has the new record.
    name: of the new record.
    parts: names of the records in whose place it is put.
    """

    temporary: str
    name: str
    parts: Annotated[list[str], msgspec.Meta(max_length=MOST_PARTS)]


_decode_merge = msgspec.msgpack.Decoder(_Merge).decode


class _NoBoardError(StoreError):
    """No process has posted anything, so there is no directory."""


class DiskBoard:
    """The records of one namespace. It keeps nothing open.

    root: of the store.
    below: names of directories below it, the last one of the records.
    clock: the wall clock, which goes on when the machine is booted.
    random: as os.urandom.
    """

    def __init__(
        self,
        root: Path,
        below: Sequence[str],
        *,
        clock: Clock = time.time,
        random: Random = os.urandom,
    ) -> None:
        self._root = root
        self._below = below
        self._clock = clock
        self._random = random

    def __repr__(self) -> str:
        return f"<DiskBoard {self._root.joinpath(*self._below)}>"

    def post(self, name: str, record: bytes, ttl: float) -> None:
        """See Board.post."""
        check_record(name, record)
        with self._opened() as (directory, is_locked):
            if not _is_there(directory, name):
                self._require_room(directory, is_locked=is_locked)
            self._put(directory, self._write(directory, record, ttl), name)

    def names(self) -> Collection[str]:
        """See Board.names."""
        with (
            contextlib.suppress(_NoBoardError),
            self._opened(makes=False) as (directory, is_locked),
        ):
            if is_locked:
                _drop_leftovers(directory)
            merge = None if is_locked else _read_journal(directory)
            return _names_after(merge, _names(directory))
        return []  # after `suppress`: there is no directory

    def posted(self, names: Collection[str] | None = None) -> dict[str, bytes]:
        """See Board.posted."""
        with (
            contextlib.suppress(_NoBoardError),
            self._opened(makes=False) as (directory, is_locked),
        ):
            merge = None if is_locked else _read_journal(directory)
            there = _names_after(merge, _names(directory))
            wanted = there if names is None else [n for n in there if n in names]
            return self._read_all(directory, wanted, merge, is_locked=is_locked)
        return {}

    def merge(
        self, parts: Mapping[str, bytes], name: str, record: bytes, ttl: float
    ) -> bool:
        """See Board.merge."""
        check_merge(parts, name, record)
        with self._opened() as (directory, is_locked):
            if not is_locked:
                return False
            now = self._clock()
            for each, part in parts.items():
                if not is_name(each) or _read(directory, _PREFIX + each, now) != part:
                    return False
            if name not in parts and _is_there(directory, name):
                if _read(directory, _PREFIX + name, now) is not None:
                    return False
            elif name not in parts:
                self._require_room(directory, is_locked=True)
            others = [each for each in parts if each != name]
            temporary = self._write(directory, record, ttl)
            # A rename is atomic by itself; it is the removals that need a journal.
            if not others:  # one step needs no journal
                self._put(directory, temporary, name)
                return True
            merge = _Merge(temporary, name, others)
            journal = self._write_file(directory, msgspec.msgpack.encode(merge))
            # From here on the merge counts as done: any process can finish it.
            _rename(directory, journal, _JOURNAL)
            _finish(directory)
            return True

    @contextlib.contextmanager
    def _opened(self, *, makes: bool = True) -> Iterator[tuple[int, bool]]:
        """Yield a descriptor of the directory, and whether this process has the lock.

        With the lock, no merge is left half done.

        makes: whether to make the directory. Readers leave nothing behind: one of
            another user's, `sudo botocache stats`, would shut the application out.

        Raises StoreError; _NoBoardError if there is no directory to read.
        """
        try:
            with private_directory(self._root, *self._below, makes=makes) as directory:
                lock = _open_lock(directory)
                try:
                    is_locked = lock_within(lock, LOCK_PATIENCE)
                    if is_locked:
                        _finish(directory)
                    yield directory, is_locked
                finally:
                    os.close(lock)
        except OSError as error:
            pass_on(error)
            if not makes and isinstance(error, FileNotFoundError):
                raise _NoBoardError("there is no board") from error
            raise StoreError(f"the board cannot be used: {error}") from error

    def _read_all(
        self,
        directory: int,
        names: Collection[str],
        merge: _Merge | None,
        *,
        is_locked: bool,
    ) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        now, size = self._clock(), 0
        for name in names:
            is_new = merge is not None and name == merge.name
            file = merge.temporary if merge is not None and is_new else _PREFIX + name
            record = _read(directory, file, now)
            # The merge was finished between the look at the journal and this one.
            if record is None and is_new:
                record = _read(directory, _PREFIX + name, now)
            if record is None:  # it has expired, or is none of ours
                if is_locked:
                    _remove(directory, file)
                continue
            # Summed up as they are read: together they could be two gigabytes.
            size += len(record)
            if size > MOST_BYTES:
                raise StoreError("the records of the board are too large together")
            found[name] = record
        return found

    def _require_room(self, directory: int, *, is_locked: bool) -> None:
        if len(_names(directory)) < MOST_RECORDS:
            return
        if is_locked:
            self._read_all(directory, _names(directory), None, is_locked=True)
        if len(_names(directory)) >= MOST_RECORDS:
            raise full_board()

    def _write(self, directory: int, record: bytes, ttl: float) -> str:
        """Write a record to a file of its own; return the name of the file."""
        header = _HEADER.pack(_MAGIC, end_of_life(self._clock(), ttl))
        return self._write_file(directory, header + record)

    def _write_file(self, directory: int, content: bytes) -> str:
        name = _TEMPORARY + self._random(8).hex()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
        number = os.open(name, flags, FILE_MODE, dir_fd=directory)
        try:
            os.fchmod(number, FILE_MODE)  # whatever the umask is
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(number, rest) :]
        except BaseException:
            _remove(directory, name)
            raise
        finally:
            os.close(number)
        return name

    def _put(self, directory: int, temporary: str, name: str) -> None:
        try:
            _rename(directory, temporary, _PREFIX + name)
        except BaseException:
            _remove(directory, temporary)
            raise


def _finish(directory: int) -> None:
    """Finish the merge of the journal, if there is one. Needs the lock."""
    merge = _read_journal(directory)
    if merge is not None:
        # Each step may have been done before its process was killed.
        with contextlib.suppress(FileNotFoundError):  # renamed already
            _rename(directory, merge.temporary, _PREFIX + merge.name)
        for part in merge.parts:
            _remove(directory, _PREFIX + part)
    _remove(directory, _JOURNAL)  # last: until then, the next process does this again


def _read_journal(directory: int) -> _Merge | None:
    content = _content(directory, _JOURNAL)
    if content is None:
        return None
    try:
        merge = _decode_merge(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    names = (merge.name, *merge.parts, merge.temporary.removeprefix(_TEMPORARY))
    is_ours = merge.temporary.startswith(_TEMPORARY) and all(map(is_name, names))
    return merge if is_ours else None


def _names(directory: int) -> list[str]:
    """Return the names of records."""
    names = [
        name.removeprefix(_PREFIX)
        for name in os.listdir(directory)
        if name.startswith(_PREFIX)
    ]
    return sorted(filter(is_name, names))


def _names_after(merge: _Merge | None, names: list[str]) -> list[str]:
    """Return the names that there will be after a merge."""
    if merge is None:
        return names
    return sorted({*names, merge.name} - {*merge.parts})


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(_PREFIX + name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _read(directory: int, file: str, now: float) -> bytes | None:
    """Return a record; None if it is missing, has expired or is none of ours."""
    content = _content(directory, file)
    if content is None or len(content) < _HEADER.size:
        return None
    magic, expires_at = _HEADER.unpack_from(content)
    if magic != _MAGIC or not lives(expires_at, now):
        return None
    return content[_HEADER.size :]


def _content(directory: int, file: str) -> bytes | None:
    """Return what is in a file; None if it is missing or none of ours."""
    try:
        number = os.open(file, os.O_RDONLY | _FLAGS, dir_fd=directory)
    except OSError as error:
        pass_on(error)
        return None
    try:
        status = os.fstat(number)
        # Of the open file, not of the path, which may be another one by now.
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return None
        with open(number, "rb", buffering=0, closefd=False) as opened:
            # One byte more than allowed shows that the file is too large.
            content = opened.read(_LARGEST_FILE + 1) or b""
        return content if len(content) <= _LARGEST_FILE else None
    finally:
        os.close(number)


def _drop_leftovers(directory: int) -> None:
    """Remove what processes that were killed have left. Needs the lock."""
    for name in os.listdir(directory):
        if name.startswith(_TEMPORARY):
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                # Younger ones may be of a process that writes just now, without the
                # lock.
                if time.time() - status.st_ctime > _LONGEST_WRITING:
                    _remove(directory, name)


def _open_lock(directory: int) -> int:
    try:
        return _open_checked(directory, _LOCK)
    except (StoreError, OSError) as error:
        pass_on(error)
        # A link, a directory, or a second name, e.g. of a backup by hard links.
        _remove(directory, _LOCK)
        return _open_checked(directory, _LOCK)


def _open_checked(directory: int, file: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | _FLAGS
    number = os.open(file, flags, FILE_MODE, dir_fd=directory)
    try:
        check_opened(number, Path(file), directory)
    except BaseException:
        os.close(number)
        raise
    return number


def _rename(directory: int, old: str, new: str) -> None:
    os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)


def _remove(directory: int, file: str) -> None:
    with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
        os.unlink(file, dir_fd=directory)
