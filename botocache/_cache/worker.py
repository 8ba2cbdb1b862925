"""A thread that comes when there is work, and goes when there is none.

It keeps no process from ending and needs nobody to call it. Where no thread can be
started, nothing happens: whoever has the work must be able to do it himself.
"""

import threading
from collections.abc import Callable
from typing import TypeAlias

Start: TypeAlias = Callable[[threading.Thread], None]
"""Starts a thread, or raises RuntimeError; threading.Thread.start, save in tests."""

NAME = "botocache-worker"


class Worker:
    """Calls `work` in a daemon thread of its own for as long as it is needed.

    work: does what there is to do; raises nothing, and returns whether something is
    left. interval: seconds from the end of one call to the next, unless `wake` is
    called by somebody else meanwhile. Safe for threads; whoever has one must `renew` it
    after a fork.
    """

    _thread: threading.Thread | None

    def __init__(
        self,
        work: Callable[[], bool],
        interval: float,
        start: Start = threading.Thread.start,
    ) -> None:
        self._work = work
        self._interval = interval
        self._start = start
        self.renew()

    def __repr__(self) -> str:
        return f"<Worker {'at work' if self.is_at_work else 'not needed'}>"

    @property
    def is_at_work(self) -> bool:
        """Whether it has a thread now."""
        return self._thread is not None

    def wake(self) -> None:
        """Have the work done now, and again until nothing is left.

        By the thread itself it changes nothing: work that makes work must not spin.
        """
        with self._lock:
            thread = self._thread
            if thread is threading.current_thread():
                return
            self._woken.set()
            if thread is None or not thread.is_alive():
                self._begin()

    def stop(self, patience: float) -> None:
        """End the thread, and wait for that; the next `wake` starts another one.

        patience: seconds. A call of `work` that takes longer ends behind.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            self._woken.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def renew(self) -> None:
        """Start as if there had been no thread: in a child there is none."""
        self._lock = threading.Lock()
        self._thread = None
        self._woken = threading.Event()

    def _begin(self) -> None:
        self._woken = threading.Event()  # an older thread may still look at its own
        self._thread = thread = threading.Thread(
            target=self._run, args=(self._woken,), name=NAME, daemon=True
        )
        try:
            self._start(thread)
        except RuntimeError:  # the system has no more, or Python is about to end
            self._thread = None

    def _run(self, woken: threading.Event) -> None:
        me = threading.current_thread()
        while self._thread is me:  # else it was stopped
            woken.clear()
            if not self._work() and self._may_end(me, woken):
                return
            woken.wait(self._interval)

    def _may_end(self, me: threading.Thread, woken: threading.Event) -> bool:
        """Go, unless somebody has made work since; who does so later starts another."""
        with self._lock:
            if self._thread is me and not woken.is_set():
                self._thread = None
            return self._thread is not me
