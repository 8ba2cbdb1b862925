"""`bypass` and `refresh`: how the calling thread or task uses the cache."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from botocache._cache.read_mode import Mode

# Not a thread-local: the tasks of an event loop share a thread.
_mode: ContextVar[Mode] = ContextVar("botocache_mode", default=Mode.NORMAL)

current_mode = _mode.get
"""Returns the mode of the calling thread or task."""


@contextmanager
def _in_mode(mode: Mode) -> Iterator[None]:
    before = _mode.get()
    try:
        # Inside: a signal handler may raise as soon as it is set.
        _mode.set(mode)
        yield
    finally:
        _mode.set(before)


def bypass() -> AbstractContextManager[None]:
    """Within this context, reads are neither served from the cache nor filled.

    Writes still evict. The context manager applies to the calling thread or asyncio
    task, and to what the task awaits or runs with asyncio.to_thread.
    """
    return _in_mode(Mode.BYPASS)


def refresh() -> AbstractContextManager[None]:
    """Within this context, DynamoDB answers all reads, and the cache is filled.

    The context manager applies to the calling thread or asyncio task, and to what the
    task awaits or runs with asyncio.to_thread.
    """
    return _in_mode(Mode.REFRESH)
