"""The time and the memory that one input may take."""

import contextlib
import gc
import signal
import time
import tracemalloc
from collections.abc import Callable, Iterator

SECONDS = 2.0
"""Of the processor's time, for one input of a few kilobytes. Most take microseconds."""


class HangError(BaseException):
    """An input takes too long."""


@contextlib.contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """Raise HangError as soon as the body has taken more time of the processor.

    For the main thread. Other processes take no part of that time. Nor does a garbage
    collection: it goes through all that the tests before have left, for seconds.
    """

    def stop(*_: object) -> None:
        raise HangError(f"more than {seconds} s")

    collects = gc.isenabled()
    gc.disable()
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    except HangError as error:
        raise TimeoutError(str(error)) from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)
        if collects:
            gc.enable()


def cost_of(work: Callable[[], object]) -> tuple[float, int]:
    """Return what work takes: seconds of this thread, and bytes at its peak."""
    began = time.thread_time()
    work()
    took = time.thread_time() - began
    tracemalloc.start()
    try:
        work()
        return took, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
