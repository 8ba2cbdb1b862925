"""What only root may do, or root alone is not kept from."""

import contextlib
import functools
import os
import subprocess
from collections.abc import Iterator

from tests.support.processes import TIMEOUT

NOBODY = 12345
"""A user that owns nothing."""


def is_root() -> bool:
    return os.geteuid() == 0


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Let file permissions count, which root is not bound by."""
    if not is_root():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@functools.cache
def can_mount() -> bool:
    """Return whether a file system can be mounted that no other process sees."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
    try:
        return not subprocess.run(
            command, check=False, capture_output=True, timeout=TIMEOUT
        ).returncode
    except OSError:
        return False
