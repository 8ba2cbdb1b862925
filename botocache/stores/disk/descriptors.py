"""Whether a descriptor number still belongs to the file that this package opened.

A program may close all descriptors, e.g. when it becomes a daemon. Its own files then
get the old numbers. To write to such a number would destroy a file of the application,
and to close it would take the file away. So the stores look at a number before each
use: it is theirs while it leads to the same device and inode.
"""

import contextlib
import os
from typing import NamedTuple

from botocache._errors import pass_on


class OpenFile(NamedTuple):
    """A descriptor, and the file that it led to when it was opened.

    number: of the descriptor.
    device: `st_dev` of the file.
    inode: `st_ino` of the file.
    """

    number: int
    device: int
    inode: int

    def is_ours(self) -> bool:
        """Return True if the number still leads to this file (about 1 µs)."""
        try:
            status = os.fstat(self.number)
        except OSError as error:
            pass_on(error)  # a time limit may be a TimeoutError
            return False
        return status.st_ino == self.inode and status.st_dev == self.device

    def close(self) -> None:
        """Close the descriptor, unless the number now belongs to another file."""
        if self.is_ours():
            with contextlib.suppress(OSError):
                os.close(self.number)


def open_file(number: int) -> OpenFile:
    """Return the file that a descriptor leads to now. Raises OSError."""
    status = os.fstat(number)
    return OpenFile(number, status.st_dev, status.st_ino)
