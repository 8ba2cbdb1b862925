"""Finds the locks of an object and its attributes, for tests of forks."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from threading import Lock

_LOCK = type(threading.Lock())


def all_locks(owner: object) -> list[Lock]:
    """Return the locks among an object's attributes and those of its parts of ours."""
    locks = []
    for value in getattr(owner, "__dict__", {}).values():
        if isinstance(value, _LOCK):
            locks.append(value)
        elif type(value).__module__.startswith("botocache."):
            locks.extend(all_locks(value))
    return locks


@contextlib.contextmanager
def locked(locks: Sequence[Lock]) -> Iterator[None]:
    """Hold all of them."""
    with contextlib.ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        yield
