"""What is found about the directory of a store on disk: whose, where, and how full."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from botocache._errors import pass_on
from botocache._observe.doctor.findings import Finding, bad, good, size_text, warning
from botocache.stores.disk.private_files import private_directory, trouble_of

TABLE = 16 * 1024**2
"""Bytes of the generations, which are allocated when the store is first used."""

LEAST_FREE = 2 * TABLE
"""Bytes without which no store is made for a test: it would fill the disk."""

_FEW_INODES = 100

NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre"),
        *("gpfs", "beegfs", "ocfs2", "gfs2", "orangefs", "pvfs2", "ncpfs", "coda"),
        *("fuse.sshfs", "fuse.s3fs", "fuse.glusterfs", "fuse.ceph", "fuse.gcsfuse"),
        *("fuse.rclone", "fuse.juicefs", "fuse.goofys", "fuse.mountpoint-s3"),
        *("mountpoint-s3", "fuse.blobfuse", "fuse.blobfuse2", "davfs", "fuse.davfs"),
    }
)
"""File systems that other machines write to. They show one machine's changes to another
late, and their locks may be of one machine."""

_LOCK_PATIENCE = 0.6
"""Seconds. A process holds the lock of the generations for some microseconds."""

_PAUSE = 0.01


class Space(NamedTuple):
    """Room on a file system.

    free: bytes.
    inodes: free ones; None if the file system does not count them.
    """

    free: int
    inodes: int | None


def check_directory(root: Path, directory: Path, size_limit: int) -> Iterator[Finding]:
    """Yield what is found about the directories of a store.

    root: the directory that the URL names, or the default one.
    directory: that of the namespace, in it.
    size_limit: of the entries, bytes.

    The last finding is bad if a store must not be made there for a test.
    """
    is_new = not os.path.lexists(root)
    try:
        # What the store itself would do, with its own checks and its own words.
        with private_directory(root):
            pass
    except OSError as error:
        pass_on(error)
        yield bad(
            "directory", _text_of(error, root), advice_of(str(error), error.errno)
        )
        return
    try:
        # Root, too, cannot write to a file system that is mounted read-only.
        if not os.access(root, os.W_OK | os.X_OK, effective_ids=True):
            is_read_only = os.statvfs(root).f_flag & os.ST_RDONLY
            number = errno.EROFS if is_read_only else errno.EACCES
            text = f"{root}: {os.strerror(number)}"
            yield bad("directory", text, advice_of(text, number))
            return
        yield good("directory", f"{root} can be {'made' if is_new else 'used'}")
        yield from _check_files(directory)
        yield judge_file_system(file_system_of(root), root)
        yield from judge_space(_space_of(root), size_limit, _used_in(directory))
        yield from _check_lock(directory / "slots")
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # a process has begun to use it
                root.rmdir()


def _text_of(error: OSError, root: Path) -> str:
    """Return what an error says; ours name the path, and the system's do not."""
    if error.errno is None:
        return str(error)
    return f"{error.filename or root}: {error.strerror}"


_ELSEWHERE = "name another directory: BOTOCACHE_URL=disk:///path"

_ADVICE: tuple[tuple[tuple[int | str, ...], str], ...] = (
    (
        ("belongs to another user",),
        f"Let the application's user own it (`chown`), remove it, or {_ELSEWHERE}.",
    ),
    (
        ("can be written by",),
        f"Take others' right to write (`chmod go-w`), or {_ELSEWHERE}.",
    ),
    (
        (errno.EROFS, "Read-only file system"),
        f"Mount it writable, or a tmpfs on /tmp, or {_ELSEWHERE}.",
    ),
    (
        (errno.EACCES, errno.EPERM, "ermission denied"),
        f"Give the application's user the right to write there, or {_ELSEWHERE}.",
    ),
    (
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, "No space", "too large", "is full"),
        f"Free space, or raise the quota, or {_ELSEWHERE}.",
    ),
    (
        (errno.ENOTDIR, errno.ELOOP, errno.EEXIST, "link", "not a directory"),
        f"Remove the file or link that is there, or {_ELSEWHERE}.",
    ),
)
"""What to do, by the number of an error or words in it. The first match counts."""


def advice_of(text: str, number: int | None = None) -> str:
    """Return what to do about an error of a store's directory.

    text: of the error.
    number: of the system's error, if it is one.
    """
    for signs, advice in _ADVICE:
        words = [sign for sign in signs if isinstance(sign, str)]
        if number in signs or any(word in text for word in words):
            return advice
    return f"See docs/reference/stores.md#disk, or {_ELSEWHERE}."


def _check_files(directory: Path) -> Iterator[Finding]:
    """Judge directories and files that are there already."""
    # The store checks these when it opens them. But the doctor opens another namespace,
    # so that it disturbs no process, and would not meet what is wrong with this one.
    chain = [directory.parent, directory, directory / "entries-2"]
    troubles = []
    for place in chain:
        with contextlib.suppress(OSError):
            status = place.lstat()
            if not stat.S_ISDIR(status.st_mode):
                troubles.append(f"{place} is not a directory")
            elif status.st_uid != os.geteuid():
                troubles.append(f"{place} belongs to another user")
            elif status.st_mode & stat.S_IWOTH:
                troubles.append(f"{place} can be written by other users")
    for file in (directory / "slots", directory / "entries-2" / "cache.db"):
        with contextlib.suppress(OSError):
            trouble = trouble_of(file.lstat())
            if trouble:
                troubles.append(f"{file} {trouble}")
    if troubles:
        text = "; ".join(troubles)
        yield bad("directory", text, advice_of(text))


# --- the file system ---------------------------------------------------------------


def file_system_of(path: Path) -> str:
    """Return the type of the file system that a path is on; "" if unknown."""
    try:
        device = path.stat().st_dev
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    return type_in(
        lines, os.path.realpath(path), f"{os.major(device)}:{os.minor(device)}"
    )


def type_in(lines: list[str], path: str, device: str) -> str:
    """Return the type that /proc/self/mountinfo has for a path.

    lines: of that file.
    path: without links.
    device: of the path, as `8:1`.
    """
    best, kind = -1, ""
    for line in lines:
        front, _, back = line.partition(" - ")
        words, types = front.split(), back.split()
        if len(words) < 5 or not types:  # noqa: PLR2004 - the columns up to the place
            continue
        # The kernel writes a space as \040.
        place = words[4].encode().decode("unicode_escape")
        is_above = path == place or path.startswith(place.rstrip("/") + "/")
        # A device may be mounted often, and btrfs has another number there.
        rank = len(place) + (4096 if words[2] == device else 0)
        # The last mount on a place hides those before it.
        if is_above and rank >= best:
            best, kind = rank, types[0]
    return kind


def judge_file_system(kind: str, root: Path) -> Finding:
    """Judge a file system by its type; "" if that is unknown."""
    if kind in NETWORK:
        return bad(
            "file system",
            f"{root} is on a network file system ({kind}), which does not show one "
            "machine's evictions to another",
            "Use a directory of this machine: BOTOCACHE_URL=disk:///path, or a server "
            "that all machines share.",
        )
    return good(
        "file system", f"{root} is on {kind or 'a file system of no known type'}"
    )


def _space_of(root: Path) -> Space:
    found = os.statvfs(root)
    # btrfs and others make inodes as they need them, and count none.
    inodes = found.f_favail if found.f_files else None
    return Space(found.f_bavail * found.f_frsize, inodes)


def _used_in(directory: Path) -> int:
    used = 0
    with contextlib.suppress(OSError):
        for path in directory.rglob("*"):
            used += path.lstat().st_blocks * 512
    return used


def judge_space(space: Space, size_limit: int, used: int) -> Iterator[Finding]:
    """Judge the room that is left.

    space: on the file system.
    size_limit: of the entries, bytes.
    used: by the store already, bytes.
    """
    subject = "space"
    found = f"{size_text(space.free)} are free"
    # A store that is there already has its generations: it can evict on a full disk.
    needed = 0 if used >= TABLE else LEAST_FREE
    if space.free < max(needed, 1024**2):
        yield bad(
            subject,
            f"{found}: the disk is full; the store takes {size_text(TABLE)} and its "
            "entries",
            "Free space, or name another directory: BOTOCACHE_URL=disk:///path.",
        )
    elif used + space.free < size_limit + TABLE:
        yield warning(
            subject,
            f"{found}, and entries may take {size_text(size_limit)}, of which "
            f"{size_text(used)} are used",
            f"Limit the entries: BOTOCACHE_URL=disk:?size_limit="
            f"{max(1, (used + space.free) // 2 // 1024**2)}MiB, or free space.",
        )
    else:
        yield good(subject, f"{found}; entries may take {size_text(size_limit)}")
    if space.inodes is not None and space.inodes < _FEW_INODES:
        yield bad(
            "inodes",
            f"the file system has room for {space.inodes} more files",
            "Remove files, or name another directory: BOTOCACHE_URL=disk:///path.",
        )


# --- other processes ---------------------------------------------------------------


def _check_lock(slots: Path) -> Iterator[Finding]:
    """Judge whether a process holds the lock of the generations for long."""
    try:
        number = os.open(
            slots, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        )
    except OSError:
        return  # not there yet; what else is wrong with it is found elsewhere
    try:
        end = time.monotonic() + _LOCK_PATIENCE
        while not _is_free(number):
            if time.monotonic() >= end:
                yield warning(
                    "lock",
                    f"a process{_holder_of(number)} has held the lock of {slots} for "
                    f"{_LOCK_PATIENCE:g} s; it may be stopped",
                    "Continue or end it: `kill -CONT` or `kill`. Each call waits for "
                    "it, 50 ms in a second.",
                )
                return
            time.sleep(_PAUSE)  # to wait for the lock itself has no time limit
        yield good("lock", "no process holds it for long")
    finally:
        os.close(number)


def _is_free(number: int) -> bool:
    try:
        # Shared, and given back at once: a writer waits for some microseconds.
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(number, fcntl.LOCK_UN)
    return True


def _holder_of(number: int) -> str:
    """Return the process that locks a file, for a sentence; "" if unknown."""
    inode = os.fstat(number).st_ino
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if "->" not in words and words[5:6] and words[5].endswith(f":{inode}"):
                return f" ({words[4]})"
    return ""
