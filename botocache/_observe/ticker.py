"""When exporters that cannot be asked export: now and then, while calls are made.

Calls say that there is something to export, by `touch`. A thread does the work until
nothing has changed in an interval, and ends then; the next call starts another one. On
Lambda a process is frozen between two invocations, and a thread with it, so there the
calls themselves do the work when it is due. So does the end of the process.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from botocache._cache.worker import Start, Worker
from botocache._exits import deliver_at_exit
from botocache._forks import renew_after_fork

_STOP_TIMEOUT = 1.0
"""Seconds for the thread to end in; it may be in its work."""


class Ticker:
    """Does some work at most once in an interval, while calls are made.

    is_resting: the next call must `touch` it. Calls read this, because a near hit has
        no time for more.

    work: exports, and returns whether anything had changed. It must not raise.
    end: exports for the last time. It must not raise.
    interval: seconds.
    inline: the calls do the work, and no thread.
    clock: seconds, for `inline`. By the wall clock, which goes on in a frozen process.
    start: starts the thread; see Worker.
    """

    def __init__(  # noqa: PLR0913 - the last ones are for tests
        self,
        work: Callable[[], bool],
        end: Callable[[], None],
        interval: float,
        *,
        inline: bool = False,
        clock: Callable[[], float] = time.time,
        start: Start = threading.Thread.start,
    ) -> None:
        self._is_registered = self._is_first = False
        self._due_at = 0.0
        self._work: Final = work
        self._end: Final = end
        self._interval: Final = interval
        self._inline: Final = inline
        self._clock: Final = clock
        self._worker: Final = Worker(self._tick, interval, start)
        self._renew()
        renew_after_fork(self, Ticker._renew)

    def __repr__(self) -> str:
        return f"<Ticker {'resting' if self.is_resting else 'at work'}>"

    def touch(self) -> None:
        """Have the work done: now, if it is due, or by the thread. Never raises."""
        if not self._is_registered:
            self._is_registered = True
            deliver_at_exit(self)
        if not self._inline:
            # One interval at least for each thread: its work may have failed.
            self._is_first = True
            self.is_resting = False
            self._worker.wake()
            if self._worker.is_at_work:
                return
            self.is_resting = True  # there are no more threads
        now = self._clock()
        # Farther away than an interval: the clock was set back.
        if now >= self._due_at or self._due_at > now + self._interval:
            # First: another thread must not do the same meanwhile.
            self._due_at = now + self._interval
            self._work()

    def pause(self) -> None:
        """Do the work now, if calls were made, and end the thread until the next."""
        if self._is_registered:
            self.rest()
            self._work()

    def rest(self) -> None:
        """End the thread, if there is one, until the next call."""
        if self._worker.is_at_work:
            self._worker.stop(_STOP_TIMEOUT)
            self.is_resting = True

    def deliver_until(self, deadline: float) -> None:
        """Do the work once more as the process ends. See Debtor."""
        if time.monotonic() < deadline:
            self._worker.stop(deadline - time.monotonic())
            self._end()

    def _tick(self) -> bool:
        is_first, self._is_first = self._is_first, False
        is_busy = self._work() or is_first
        if not is_busy:
            self.is_resting = True
            # Again: a call that counted after the work has read did not touch this.
            is_busy = self._work()
            self.is_resting = not is_busy
        return is_busy

    def _renew(self) -> None:
        """Reset to the state without a thread: a forked child has none."""
        self._worker.renew()
        self.is_resting = True
        self._is_registered = False
        self._is_first = False
        self._due_at = 0.0
