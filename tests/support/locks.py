"""Finds the locks of an object and its attributes, for tests of forks."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

_LOCKS = (type(threading.Lock()), type(threading.RLock()))


def all_locks(owner: object) -> list[Any]:
    """Return the locks among an object's attributes and those of its parts of ours."""
    locks = []
    for value in getattr(owner, "__dict__", {}).values():
        if isinstance(value, _LOCKS):
            locks.append(value)
        elif type(value).__module__.startswith("botocache."):
            locks.extend(all_locks(value))
    return locks


@contextlib.contextmanager
def locked(locks: Sequence[Any]) -> Iterator[None]:
    """Hold all of them."""
    with contextlib.ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        yield
