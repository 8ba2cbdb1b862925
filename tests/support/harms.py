"""What may happen to the directory of a disk store. Each harm gets the directory."""

import contextlib
import gc
import os
import pickle
import random
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import diskcache

from botocache.stores.disk import generation_file, slot_words
from botocache.stores.disk.entry_database import _checksum
from tests.support.processes import TIMEOUT

Harm: TypeAlias = Callable[[Path], object]

HEADER = slot_words.HEADER_SIZE
"""Where the slots begin in their file."""

EXECUTED = "executed"
"""The file that appears in the directory when a pickle is loaded."""


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def other_version(_: int) -> bytes:
    """Return the header of a table that a later version made."""
    return generation_file._HEADER.pack(
        b"botocache slots\x63", generation_file.boot_id(), slot_words.SLOT_COUNT, 7
    )


def remove(name: str) -> Harm:
    """Remove a file or directory."""

    def harm(directory: Path) -> None:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    return harm


def cut(name: str, size: int) -> Harm:
    """Give a file another size."""
    return lambda directory: os.truncate(directory / name, size)


def overwrite(name: str, content: Callable[[int], bytes], at: int = 0) -> Harm:
    """Write other bytes to where they are: file and size stay."""

    def harm(directory: Path) -> None:
        with (directory / name).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(at)
            file.write(content(size - at))

    return harm


def replace(name: str, content: Callable[[int], bytes]) -> Harm:
    """Replace a file by another one of the same size."""

    def harm(directory: Path) -> None:
        path, other = directory / name, directory / "other"
        other.write_bytes(content(path.stat().st_size))
        other.replace(path)

    return harm


def plant(name: str, content: bytes = noise(5000)) -> Harm:
    """Put a file of this user's there, in the place of whatever is there."""

    def harm(directory: Path) -> None:
        other = directory / "other"
        other.write_bytes(content)
        other.chmod(0o600)
        other.replace(directory / name)

    return harm


def replace_by_a_directory(name: str) -> Harm:
    def harm(directory: Path) -> None:
        remove(name)(directory)
        (directory / name).mkdir()

    return harm


def replace_by_a_file(name: str) -> Harm:
    def harm(directory: Path) -> None:
        remove(name)(directory)
        (directory / name).touch()

    return harm


def replace_by_a_link(name: str, target: str) -> Harm:
    def harm(directory: Path) -> None:
        remove(name)(directory)
        (directory / name).symlink_to(target)

    return harm


def set_mode(name: str, mode: int) -> Harm:
    return lambda directory: (directory / name).chmod(mode)


def in_turn(*harms: Harm) -> Harm:
    def harm(directory: Path) -> None:
        for each in harms:
            each(directory)

    return harm


# --- entries, through SQLite ---------------------------------------------------------


@contextlib.contextmanager
def connected(directory: Path) -> Iterator[sqlite3.Connection]:
    """Yield a second connection to the entries."""
    with contextlib.closing(
        sqlite3.connect(
            directory / "entries-2" / "cache.db", isolation_level=None, timeout=TIMEOUT
        )
    ) as connection:
        yield connection


def execute(*statements: str) -> Harm:
    def harm(directory: Path) -> None:
        with connected(directory) as connection:
            for statement in statements:
                connection.execute(statement)

    return harm


def change_entries(
    change: Callable[[bytes], bytes], *, knows_checksum: bool = False
) -> Harm:
    """Change each entry. knows_checksum: whether the checksum is changed to match."""

    def harm(directory: Path) -> None:
        with connected(directory) as connection:
            for rowid, key, row in list(
                connection.execute("SELECT rowid, key, value FROM Cache")
            ):
                entry = change(row[4:] if knows_checksum else row)
                value = _checksum(key, entry) + entry if knows_checksum else entry
                connection.execute(
                    "UPDATE Cache SET value = ? WHERE rowid = ?", (value, rowid)
                )

    return harm


def flip_a_bit(row: bytes) -> bytes:
    return row[:-5] + bytes([row[-5] ^ 4]) + row[-4:]


class Exploit:
    """What executes when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def replace_entries_by_pickles(directory: Path) -> None:
    exploit = pickle.dumps(Exploit(directory / EXECUTED))
    with connected(directory) as connection:
        connection.execute(
            "UPDATE Cache SET mode = ?, value = ?",
            (diskcache.core.MODE_PICKLE, exploit),
        )


# --- what a Peer does ----------------------------------------------------------------

_held: list[Any] = []
_filled: list[int] = []


def hold_database(directory: Path) -> None:
    """Lock the entries exclusively, until `release_database`."""
    connection = sqlite3.connect(
        directory / "entries-2" / "cache.db", isolation_level=None, timeout=TIMEOUT
    )
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    _held.append(connection)


def release_database() -> None:
    _held.pop().close()


def use_up_descriptors(but: int) -> None:
    """Open files until no more than so many can be opened."""
    gc.collect()  # garbage would free some later
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    with contextlib.suppress(OSError):
        while True:
            _filled.append(os.open(os.devnull, os.O_RDONLY))
    for _ in range(but):
        os.close(_filled.pop())


def give_descriptors_back() -> None:
    while _filled:
        os.close(_filled.pop())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def remount(directory: Path, options: str) -> None:
    """Remount a file system of this process's namespace with other options."""
    subprocess.run(
        ["mount", "-o", f"remount,{options}", str(directory)],
        check=True,
        timeout=TIMEOUT,
    )


def fill_disk(directory: Path) -> None:
    """Leave no room on the file system."""
    with contextlib.suppress(OSError), (directory / "ballast").open("wb", 0) as file:
        while True:
            file.write(bytes(4096))


def free_disk(directory: Path) -> None:
    (directory / "ballast").unlink()
