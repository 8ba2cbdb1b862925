"""A program: becomes the command that it is given, and dies with who started it.

Arguments: the starter's process id, and the command. Nothing is imported that is not
needed: it runs before each server.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Have the kernel kill this process when its starter is gone; be the command."""
    starter, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(starter):  # it was gone before the kernel knew
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
