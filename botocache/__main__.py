"""The door of the command line: `botocache`, and `python -m botocache`."""

import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns an exit status, or becomes another program.

    arguments: without the name of the program; None for those of this process.
    """
    try:
        from botocache._cli.main import run_command

        return run_command(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED


_INTERRUPTED = 128 + signal.SIGINT
"""What a shell shows as the exit status of a program that Ctrl-C has ended."""


def script() -> None:
    """Run the command line, and exit. What `botocache` calls."""
    status = main()
    if status == _INTERRUPTED:
        # A shell ends its own loop only if the signal itself ends the program.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit(status)


if __name__ == "__main__":
    script()
