"""Threads that begin together."""

import threading

THREADS = 4
TIMEOUT = 60
"""Seconds after which a test fails if its threads wait for each other."""


def at_once(threads: int) -> threading.Barrier:
    """Return what so many threads wait for, to begin together."""
    return threading.Barrier(threads, timeout=TIMEOUT)
