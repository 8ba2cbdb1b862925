"""Which directories and files the disk store uses: those of this user alone.

It follows no link below its root, and nothing that another user owns or can change. It
judges what it has opened, not what was at the path before. So nothing that another
program puts there in between is used.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from botocache._errors import StoreError, pass_on

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_AS_DIRECTORY = os.O_RDONLY | _FLAGS
_AS_PARENT = os.O_PATH | _FLAGS  # needs no right to read it

_USER_MAP = Path("/proc/self/uid_map")
_ALL_USERS = ["0", "0", "4294967295"]
_NO_USER = 65534
"""Whose is what belongs to users that a user namespace does not have."""


@contextlib.contextmanager
def private_directory(root: Path, *below: str) -> Iterator[int]:
    """Make or check a directory, and yield a descriptor of it.

    root: must lie where no other user can replace it.
    below: names of directories in it, each in the one before.

    Raises OSError.
    """
    if root.name in ("", ".."):
        root = Path(os.path.realpath(root))
    with contextlib.ExitStack() as opened:
        number = _open_parents(root.parent, makes=True)
        opened.callback(os.close, number)
        for path in (
            root,
            *(root.joinpath(*below[: n + 1]) for n in range(len(below))),
        ):
            number = _open_or_make(path.name, number, _AS_DIRECTORY)
            opened.callback(os.close, number)
            _check_directory(path, number, is_root=path == root)
        yield number


def trouble_of(status: os.stat_result) -> str:
    """Return why a file is not used, or "". status: of the file, not of a link's."""
    if stat.S_ISLNK(status.st_mode):
        return "is a link"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_nlink != 1:
        return "has another name, in this directory or elsewhere"
    return ""


def is_private(status: os.stat_result) -> bool:
    """Return whether a directory is this user's, and no other can write to it."""
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & _OTHERS_WRITE
    )


def check_opened(number: int, path: Path, directory: int | None) -> None:
    """Check a file that was opened by its path, and let no other user read it.

    number: of its descriptor.
    directory: the descriptor of the directory in which the file must be; None if the
        path leads to it for certain.

    Raises StoreError or OSError.
    """
    status = os.fstat(number)
    trouble = trouble_of(status)
    if not trouble and directory is not None:
        there = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
        if not os.path.samestat(there, status):
            trouble = "was replaced while it was opened"
    if trouble:
        raise StoreError(f"{path} {trouble}")
    if stat.S_IMODE(status.st_mode) != FILE_MODE:
        os.fchmod(number, FILE_MODE)


def is_safe_place(directory: Path) -> bool:
    """Return whether a directory is, or would be, this user's alone. Makes nothing."""
    try:
        os.close(_open_parents(directory.parent, makes=False))
        return is_private(directory.lstat())
    except FileNotFoundError:
        return True  # what is there above it is safe
    except OSError as error:
        pass_on(error)
        return False


def _open_parents(path: Path, *, makes: bool) -> int:
    """Open a directory step by step, and check it and all above it.

    makes: whether to make those that are missing.
    """
    path, here = Path(os.path.realpath(path)), Path("/")
    number = os.open(here, _AS_PARENT)
    try:
        _check_parent(here, os.fstat(number))
        for name in path.parts[1:]:
            here /= name
            above, open_it = number, _open_or_make if makes else _open
            number = open_it(name, above, _AS_PARENT)
            os.close(above)
            _check_parent(here, os.fstat(number))
    except BaseException:
        os.close(number)
        raise
    return number


def _check_parent(path: Path, status: os.stat_result) -> None:
    """Raise PermissionError if another user could replace what is in it."""
    if status.st_uid not in _trusted_users():
        raise PermissionError(
            f"{path} belongs to another user, who could replace the cache"
        )
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise PermissionError(
            f"{path} can be written by all users, who could replace the cache; "
            "let its owner alone write to it, or set its sticky bit"
        )


def _trusted_users() -> Sequence[int]:
    trusted = [0, os.geteuid()]
    with contextlib.suppress(OSError):
        if _USER_MAP.read_text().split() != _ALL_USERS:
            trusted.append(_NO_USER)  # may be root outside of a container
    return trusted


def _check_directory(path: Path, number: int, *, is_root: bool) -> None:
    """Check a directory that was opened, and close it to other users.

    is_root: whether it is the root, which the user may have made, and keeps its mode.
    """
    status = os.fstat(number)
    if status.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user")
    mode = stat.S_IMODE(status.st_mode)
    # In a sticky directory others can replace nothing of ours. Below the root, where
    # they could put files, it would be of no use.
    if mode & _OTHERS_WRITE and not (is_root and mode & stat.S_ISVTX):
        raise PermissionError(
            f"{path} can be written by other users (mode {mode:o}); remove it, or "
            "'chmod go-w' it if its files are your own"
        )
    if not is_root and mode != DIRECTORY_MODE:
        os.fchmod(number, DIRECTORY_MODE)


def _open(name: str, above: int, flags: int) -> int:
    return os.open(name, flags, dir_fd=above)


def _open_or_make(name: str, above: int, flags: int) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, DIRECTORY_MODE, dir_fd=above)
        os.chmod(name, DIRECTORY_MODE, dir_fd=above)  # the umask may have taken bits
    try:
        return _open(name, above, flags)
    except NotADirectoryError:  # or a link
        # The system's error names no path.
        raise NotADirectoryError(f"{name} is a link, or not a directory") from None
