"""Which directories and files the disk store uses: those of this user alone.

It follows no link below its root, and nothing that another user owns or can change. It
judges what it has opened, not what was at the path before. So nothing that another
program puts there in between is used.

One place that others can write to is trusted: a volume of a container, such as an
`emptyDir` of Kubernetes (`_is_volume`).
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
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

_IN_CONTAINER = ("KUBERNETES_SERVICE_HOST", "ECS_CONTAINER_METADATA_URI_V4")
"""Variables that a runtime sets in each container."""

_CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files of Docker and Podman, in directories that root alone can write to."""


@contextlib.contextmanager
def private_directory(root: Path, *below: str, makes: bool = True) -> Iterator[int]:
    """Make or check a directory, and yield a descriptor of it.

    root: must lie where no other user can replace it.
    below: names of directories in it, each in the one before.
    makes: whether to make those that are missing.

    Raises OSError.
    """
    if root.name in ("", ".."):
        root = Path(os.path.realpath(root))
    with contextlib.ExitStack() as opened:
        open_it = _open_or_make if makes else _open
        number = _open_parents(root.parent, makes=makes)
        opened.callback(os.close, number)
        for path in (
            root,
            *(root.joinpath(*below[: n + 1]) for n in range(len(below))),
        ):
            above, number = number, open_it(path.name, number, _AS_DIRECTORY)
            opened.callback(os.close, number)
            if path == root and _is_volume(number, above):
                continue  # it has its owner's mode, and may not be ours
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
        with contextlib.ExitStack() as opened:
            above = _open_parents(directory.parent, makes=False)
            opened.callback(os.close, above)
            number = _open(directory.name, above, _AS_PARENT)
            opened.callback(os.close, number)
            return is_private(os.fstat(number)) or _is_volume(number, above)
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
            try:
                number = open_it(name, above, _AS_PARENT)
                if not _is_volume(number, above):
                    _check_parent(here, os.fstat(number))
            finally:
                if number != above:
                    os.close(above)
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


def _is_volume(number: int, above: int) -> bool:
    """Return whether a directory is where root has mounted a volume in a container.

    Kubernetes gives an `emptyDir` mode 0777, and volumes to a group (`fsGroup`). Those
    who can write there are the users of one pod, which has one owner. What is made
    below is private all the same.

    number: the directory's descriptor.
    above: a descriptor of the one above it.
    """
    return (
        os.fstat(number).st_uid == 0
        and _device(number) != _device(above)
        and _is_in_container(os.environ)
    )


def _device(number: int) -> int:
    return os.fstat(number).st_dev


def _is_regrouped(number: int) -> bool:
    """Return whether Kubernetes has opened a directory of ours to the pod's group.

    With an `fsGroup`, it does so to all that is in a volume, at each start of a pod.
    """
    mode = os.fstat(number).st_mode
    return (
        mode & (stat.S_ISGID | stat.S_IWOTH) == stat.S_ISGID
        and _device(number) != Path("/").stat().st_dev
        and _is_in_container(os.environ)
    )


def _is_in_container(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in _IN_CONTAINER) or any(
        os.path.lexists(path) for path in _CONTAINER_FILES
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
    allowed = mode & stat.S_ISVTX if is_root else _is_regrouped(number)
    if mode & _OTHERS_WRITE and not allowed:
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
