"""Threads that there are not, and those that should not be there any more."""

import threading

from botocache._cache.worker import NAME


def no_thread(_thread: threading.Thread) -> None:
    """Start no thread, as a system does that has no more."""
    raise RuntimeError("can't start new thread")


def workers() -> list[threading.Thread]:
    """Return the threads of workers that are at work now."""
    return [thread for thread in threading.enumerate() if thread.name == NAME]
