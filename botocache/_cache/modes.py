"""`bypass` and `refresh`: what the calling thread or task wants of the cache now."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from botocache._cache.prepare import Mode

_mode: ContextVar[Mode] = ContextVar("botocache_mode", default=Mode.NORMAL)

current_mode = _mode.get
"""Returns the mode of the calling thread or task."""


@contextmanager
def _in_mode(mode: Mode) -> Iterator[None]:
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)


def bypass() -> AbstractContextManager[None]:
    """Within this context, reads neither ask the cache nor fill it; writes evict.

    Holds for the calling thread or asyncio task alone, and for what it awaits or runs
    by asyncio.to_thread. A context manager.
    """
    return _in_mode(Mode.BYPASS)


def refresh() -> AbstractContextManager[None]:
    """Within this context, reads are answered by DynamoDB, and fill the cache.

    Holds for the calling thread or asyncio task alone, and for what it awaits or runs
    by asyncio.to_thread. A context manager.
    """
    return _in_mode(Mode.REFRESH)
