"""Other processes and threads, for tests that need some; none outlives its test.

Also a program, which a Peer runs with the file descriptor of a pipe as argument. It
calls the functions that come through the pipe, and ends when the pipe does.
"""

import contextlib
import ctypes
import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

TIMEOUT = 30
"""Seconds after which whatever a test waits for is given up, and the test fails."""

FORK_TIMEOUT = 10
"""Seconds after which a forked child is killed."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Pipe: TypeAlias = "Connection[Any, Any]"
_ROOT = Path(__file__).parents[2]


class Peer:
    """Another process, started afresh. It makes the calls that it gets, in order.

    prefix: a command that starts it, such as `unshare -m`.
    """

    def __init__(self, *prefix: str) -> None:
        self._pipe, theirs = Pipe()
        fd = theirs.fileno()
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", __name__, str(fd)],
            cwd=_ROOT,
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def close(self) -> None:
        """Let it end, whatever state it is in."""
        self._pipe.close()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def call(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Return or raise the result of a module's function in the other process."""
        self.start(function, *args, **kwargs)
        answer: _T = self.result()
        return answer

    def start(
        self, function: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Have the function called, and don't wait for it."""
        self._pipe.send((function, args, kwargs))

    def is_done(self) -> bool:
        """Return whether `result` returns at once."""
        return self._pipe.poll()

    def result(self) -> Any:
        """Return or raise the result of the function that was started first."""
        if not self._pipe.poll(TIMEOUT):
            raise TimeoutError("the peer does not answer")
        try:
            succeeded, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise AssertionError(
                f"the peer ended with {self._process.wait(TIMEOUT)}"
            ) from None
        if not succeeded:
            raise answer
        return answer

    def stop(self) -> None:
        """Stop it where it is, until it is killed. Returns when it has stopped."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """Kill it as it stands. Returns when it is gone."""
        self._process.kill()
        self._process.wait(TIMEOUT)


@contextlib.contextmanager
def running_peer(*prefix: str) -> Iterator[Peer]:
    """Run a peer for as long as the context lasts."""
    with contextlib.closing(Peer(*prefix)) as peer:
        yield peer


@contextlib.contextmanager
def running_peers(count: int) -> Iterator[list[Peer]]:
    """Run some peers for as long as the context lasts."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running_peer()) for _ in range(count)]


@contextlib.contextmanager
def forked(
    work: Callable[[_Pipe], object], fork: Callable[[], int] = os.fork
) -> Iterator[_Pipe]:
    """Fork a child that does `work` on one end of a pipe; yield the other end.

    fork: as `os.fork` does.

    The child is killed after FORK_TIMEOUT seconds. Fails unless it did its work.
    """
    ours, theirs = Pipe()
    with warnings.catch_warnings():
        # "This process is multi-threaded": that is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = fork()
    if not pid:
        ours.close()
        _work_and_exit(work, theirs)
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the forked child failed"


_fork_in_c: Callable[[], int] = ctypes.PyDLL(None).fork


def fork_from_c() -> int:
    """Fork as a server in C does that embeds Python: without the callbacks of a fork.

    For a test that is `by_itself`. The child of a process with another thread that
    takes or gives back Python's lock just then may wait for that thread for ever. Such
    a server has none. Threads that wait for something else do no harm.
    """
    eventually(_all_others_wait)
    return _fork_in_c()


def _all_others_wait() -> bool:
    """Return whether all other threads of this process wait, and not for our lock."""
    time.sleep(0.02)  # real: they can have Python's lock meanwhile
    own = threading.get_native_id()
    stats = [task / "stat" for task in _TASKS.iterdir() if task.name != str(own)]
    try:
        states = [stat.read_text().rpartition(")")[2].split()[0] for stat in stats]
    except (FileNotFoundError, ProcessLookupError):  # one has ended just now
        return False
    return all(state == "S" for state in states)


_TASKS = Path("/proc/self/task")


def by_itself(test: Callable[_P, object]) -> Callable[_P, None]:
    """Run a test in a forked child, whose only thread it is."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        def work(pipe: _Pipe) -> None:
            os.setpgid(0, 0)
            pipe.send(os.getpid())
            test(*args, **kwargs)

        child = None
        try:
            with forked(work) as pipe:
                child = pipe.recv()
        finally:
            # What it has forked from C may never have come so far as to set its alarm.
            if child is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)

    return run


def _work_and_exit(work: Callable[[_Pipe], object], pipe: _Pipe) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(FORK_TIMEOUT)  # ends it even if it waits for a lock
    status = 1
    try:
        _drop_connections()
        work(pipe)
        status = 0
    except BaseException:  # noqa: BLE001 - the child must not go on as the test
        traceback.print_exc()
    finally:
        os._exit(status)


def _drop_connections() -> None:
    """Let the clients of a forked child make connections of their own.

    On one that both have, each may get the answer to the other.
    """
    urllib3: Any = sys.modules.get("urllib3")  # not imported for peers that need none
    for each in gc.get_objects() if urllib3 is not None else ():
        if type(each) is urllib3.PoolManager:
            each.clear()


def in_thread(function: Callable[[], _T], timeout: float = TIMEOUT) -> _T:
    """Return or raise the result of a function in a thread of its own.

    Raises TimeoutError when it has not ended in time.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise TimeoutError(f"{function} still runs after {timeout} seconds")
    if errors:
        raise errors[0]
    return results[0]


def in_threads(functions: list[Callable[[], object]]) -> None:
    """Call all functions at once, each in a thread of its own; raise what one does."""
    barrier = threading.Barrier(len(functions))
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            barrier.wait(TIMEOUT)
            function()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(function,), daemon=True)
        for function in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"


def eventually(is_true: Callable[[], bool]) -> None:
    """Wait for another thread or process to make it true."""
    deadline = time.monotonic() + TIMEOUT
    while not is_true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)  # real: another process is waited for


def main() -> None:
    """Be a peer."""
    pipe: _Pipe = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            function, args, kwargs = pipe.recv()
            try:
                answer = True, function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - it is the answer
                answer = False, error
            pipe.send(answer)


if __name__ == "__main__":
    main()
