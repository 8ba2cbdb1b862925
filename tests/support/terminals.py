"""A program on a terminal of its own: what it prints there, and what ends it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.support.processes import TIMEOUT

_WITH_CONTROL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.default_int_handler)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Lets the terminal control the program, so that Ctrl-C is a signal. A shell starts
what runs in the background with that signal ignored, and children inherit it."""


class Shown(NamedTuple):
    """What a terminal has received.

    raw: everything.
    status: the exit status of the program; negative for a signal.
    modes: of the terminal before and after, as termios has them.
    """

    raw: str
    status: int
    modes: tuple[object, object]

    @property
    def text(self) -> str:
        """The text without escape sequences."""
        return without_escapes(self.raw)


_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])")


def without_escapes(raw: str) -> str:
    """Return what a terminal shows, without the sequences that it obeys."""
    return _ESCAPE.sub("", raw).replace("\r", "")


def on_terminal(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    size: tuple[int, int] = (80, 24),
    until: Callable[[str], bool] = lambda _: False,
    then: bytes | signal.Signals = b"",
) -> Shown:
    """Run a command on a terminal. Fails the test if it does not end.

    command: begins with the path of a program.

    size: columns and lines.
    until: of what the terminal has received so far.
    then: keys that are pressed, or a signal that is sent, once `until` is true.
    """
    columns, lines = size
    command = [sys.executable, "-SEc", _WITH_CONTROL, *command]
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(
            theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0)
        )
        before = termios.tcgetattr(theirs)
        program = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.STDOUT,
            env={"TERM": "xterm-256color", "LANG": "C.UTF-8", "TZ": "UTC", **env},
            start_new_session=True,
        )
        raw = b""
        is_done = False
        end = time.monotonic() + TIMEOUT
        try:
            while time.monotonic() < end:
                ready, _, _ = select.select([ours], [], [], 0.02)
                if ready:
                    raw += os.read(ours, 65536)
                elif program.poll() is not None:
                    break
                if not is_done and until(raw.decode(errors="replace")):
                    is_done = True
                    if isinstance(then, bytes):
                        os.write(ours, then)
                    else:
                        program.send_signal(then)
            else:
                raise AssertionError(f"it has not ended: {raw!r}")
        finally:
            program.kill()
            program.wait()
        after = termios.tcgetattr(theirs)
        return Shown(raw.decode(errors="replace"), program.returncode, (before, after))
    finally:
        os.close(ours)
        os.close(theirs)
