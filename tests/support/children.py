"""Processes that never outlive the one that starts them, even if that is killed.

The kernel sees to it. It calls a child orphaned when the *thread* is gone that started
it, so all of them are started by one thread, which lives as long as the process. What
would set that up in a forked child is done by a program of its own instead, because
Python warns of code that runs between fork and exec in a process with threads.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support import launcher

_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


def start_child(command: Sequence[str | Path], output: Path) -> subprocess.Popen[bytes]:
    """Start a program, by its full path; what it prints is added to a file.

    It has a session of its own: Ctrl-C ends the tests, and they end it.
    """
    starter = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid())]
    return _STARTER.submit(_start, [*starter, *command], output).result()


def _start(command: list[str | Path], output: Path) -> subprocess.Popen[bytes]:
    with output.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_child(child: subprocess.Popen[bytes]) -> None:
    """Stop it where it is. Returns when it has stopped."""
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)


def kill_child(child: subprocess.Popen[bytes]) -> None:
    """Kill it as it stands. Returns when it is gone; also if it was."""
    child.kill()
    child.wait()
