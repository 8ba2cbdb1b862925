"""Many processes that cost one start: a process imports what is needed, and forks them.

Each makes the calls that it gets, in order, as a Peer does. All end when the context
does, or when the process of the benchmark dies.
"""

import contextlib
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.processes import TIMEOUT, running_peer

_Pipe: TypeAlias = "Connection[Any, Any]"


class Member:
    """One of the processes."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a module's function in that process."""
        self.start(function, *arguments)
        return self.result()

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have the function called, and don't wait for it."""
        self._pipe.send((function, arguments))

    def result(self) -> Any:
        """Return the result of the function that was started first."""
        if not self._pipe.poll(TIMEOUT):
            raise TimeoutError("a process of the crowd does not answer")
        succeeded, answer = self._pipe.recv()
        if not succeeded:
            raise RuntimeError(answer)
        return answer


def call_all(
    crowd: Sequence[Member], function: Callable[..., Any], *arguments: Any
) -> list[Any]:
    """Return the results of a function that all call at the same time."""
    for member in crowd:
        member.start(function, *arguments)
    return [member.result() for member in crowd]


@contextmanager
def running_crowd(
    count: int, prepare: Callable[..., Any], *arguments: Any
) -> Iterator[list[Member]]:
    """Run some processes for as long as the context lasts.

    prepare: called once, before they are forked.
    """
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        address = str(Path(directory) / "crowd")
        listener = stack.enter_context(Listener(address, "AF_UNIX", backlog=count))
        peer = stack.enter_context(running_peer())
        peer.call(fork_all, address, count, prepare, *arguments)
        yield [
            Member(stack.enter_context(contextlib.closing(listener.accept())))
            for _ in range(count)
        ]


def fork_all(
    address: str, count: int, prepare: Callable[..., Any], *arguments: Any
) -> None:
    """Fork the processes, each with a pipe of its own. In a process of its own."""
    prepare(*arguments)
    for _ in range(count):
        if not os.fork():
            try:
                _serve(Client(address, "AF_UNIX"))
            finally:
                os._exit(0)


def _serve(pipe: _Pipe) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            function, arguments = pipe.recv()
            try:
                answer = True, function(*arguments)
            except Exception:  # noqa: BLE001 - it is the answer
                answer = False, traceback.format_exc()
            pipe.send(answer)
