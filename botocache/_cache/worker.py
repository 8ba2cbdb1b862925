"""A thread that starts when there is work, and ends when there is none.

It is a daemon, so it does not keep the process alive. If no thread can be started,
`wake` does nothing: the owner of the work must also be able to do it in its own calls.
"""

import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeAlias

from botocache._errors import pass_on

Start: TypeAlias = Callable[[threading.Thread], None]
"""Starts a thread or raises RuntimeError: threading.Thread.start, except in tests."""

NAME = "botocache-worker"


class Worker:
    """Calls `work` in a daemon thread until no work is left.

    Safe for threads, and for a signal handler that calls it while it works. The owner
    must call `renew` in a forked child.

    work: does what there is to do, and returns whether something is left. It must not
        raise.
    interval: seconds from the end of one call of `work` to the next; `wake` from
        another thread ends the wait. It may be changed.
    start: starts the thread.
    name: of the thread.
    """

    _thread: threading.Thread | None

    def __init__(
        self,
        work: Callable[[], bool],
        interval: float,
        start: Start = threading.Thread.start,
        name: str = NAME,
    ) -> None:
        self._work = work
        self.interval = interval
        self._start = start
        self._name = name
        self.renew()

    def __repr__(self) -> str:
        return f"<Worker {'at work' if self.is_at_work else 'not needed'}>"

    @property
    def is_at_work(self) -> bool:
        """Whether it has a thread now."""
        return self._thread is not None

    def wake(self) -> None:
        """Have the work done now, and again until nothing is left.

        Does nothing if the thread itself calls it: work that fails and adds itself
        again would spin without a pause.
        """
        with self._lock:
            thread = self._thread
            if thread is threading.current_thread():
                return
            self._woken.put(None)
            if thread is None or not thread.is_alive():
                self._begin()

    def stop(self, patience: float) -> None:
        """End the thread, and wait for its end. The next `wake` starts another one.

        patience: seconds to wait. A call of `work` that takes longer ends later.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            self._woken.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def wait(self, patience: float) -> None:
        """Wait until no work is left, or for `patience` seconds."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def renew(self) -> None:
        """Reset to the state without a thread: a forked child has none."""
        # The lock, too: a thread of the parent may have held it at the fork.
        self._lock = threading.RLock()
        self._thread = None
        # Not an Event, which has a lock inside: a signal handler that comes while the
        # event is set, and sets it, too, would wait for ever.
        self._woken: SimpleQueue[None] = SimpleQueue()

    def _begin(self) -> None:
        self._woken = SimpleQueue()  # a stopped thread may still use the old one
        self._thread = thread = threading.Thread(
            target=self._run, args=(self._woken,), name=self._name, daemon=True
        )
        try:
            self._start(thread)
        except BaseException as error:
            if thread.ident is None and self._thread is thread:
                self._thread = None
            # No more threads, or the interpreter is ending.
            if not isinstance(pass_on(error), RuntimeError):
                raise

    def _run(self, woken: "SimpleQueue[None]") -> None:
        me = threading.current_thread()
        while self._thread is me:  # else `stop` was called
            # Cleared before the work: a `wake` during it must cause another round.
            while not woken.empty():
                woken.get()
            if not self._work() and self._may_end(me, woken):
                return
            with contextlib.suppress(Empty):
                woken.get(timeout=self.interval)

    def _may_end(self, me: threading.Thread, woken: "SimpleQueue[None]") -> bool:
        """Return True, and give up the thread, unless `wake` was called meanwhile."""
        # Under the lock of `wake`: it either sets the event before this check, or finds
        # no thread and starts a new one. No work is left behind.
        with self._lock:
            if self._thread is me and woken.empty():
                self._thread = None
            return self._thread is not me
