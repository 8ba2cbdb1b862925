"""Following inside a service: one thread of a process that also makes calls.

Each process of a service would follow, so that one leads whichever of them ends. Only
two of them share the shards of a table: see `MOST_EMBEDDED`. The others look now and
then whether one of the two is gone.

The thread starts with the first call that the near cache does not answer, so a process
that makes none follows nothing. It is a daemon. Before a fork it ends, because Python
warns of forks in a process that has threads, and after it goes on in the parent. The
child is another follower.
"""

import threading
from collections.abc import Callable
from typing import Final

from botocache._cache.worker import Start, Worker
from botocache._counting.stats import StreamStats
from botocache._errors import pass_on
from botocache._exits import deliver_at_exit
from botocache._forks import hold_during_fork, renew_after_fork
from botocache._log import describe, log
from botocache._streams.follower import Follower

NAME = "botocache-streams"
"""Of the thread."""

MOST_EMBEDDED = 2
"""Processes of a service that follow a table: one, and one that is ready to go on."""

RETRY = 30.0
"""Seconds after which a follower is made again that could not be made, or that raised.
"""

_PATIENCE = 0.5
"""Seconds to wait for the thread to end; it may be waiting for DynamoDB."""


class EmbeddedFollower:
    """Follows the tables of a setting, in a thread. See StreamCompanion and Debtor.

    make: makes the follower of this process. It may raise anything.
    now: the store's clock, in seconds.
    start: starts the thread; see Worker.
    """

    def __init__(
        self,
        make: Callable[[], Follower],
        now: Callable[[], float],
        start: Start = threading.Thread.start,
    ) -> None:
        self._make: Final = make
        self._now: Final = now
        self._follower: Follower | None = None
        self._ended: dict[str, StreamStats] = {}
        self._worker: Final = Worker(self._work, 0.0, start, NAME)
        self._is_registered = self._was_at_work = False
        self._trouble = ""
        self._turn = threading.Lock()
        renew_after_fork(self, EmbeddedFollower._renew)
        hold_during_fork(self, EmbeddedFollower._pause, EmbeddedFollower._go_on)

    def __repr__(self) -> str:
        return f"<EmbeddedFollower {self._follower!r}, {self._worker!r}>"

    def note_call(self) -> None:
        """Note that a call begins: follow, if no thread does."""
        if not self._worker.is_at_work:
            if not self._is_registered:
                self._is_registered = True
                deliver_at_exit(self)
            self._worker.wake()

    def stream_stats(self) -> tuple[StreamStats, ...]:
        """See StreamCompanion."""
        follower, ended = self._follower, self._ended
        if follower is None:
            return tuple(ended.values())
        return tuple(
            ended[each.table] + each if each.table in ended else each
            for each in follower.stream_stats()
        )

    def rest(self) -> None:
        """Give the shards back to others, and end the thread. The next call goes on."""
        self._worker.stop(_PATIENCE)
        # Without its turn, the thread still waits for DynamoDB. Its leases end soon.
        if not self._turn.acquire(timeout=_PATIENCE):
            return
        try:
            if self._follower is not None:
                self._follower.release()
                # The process exports at its end, after this; and the next follower
                # counts from nothing, but a counter must not fall.
                ended = self.stream_stats()
                self._follower = None
                self._ended = {each.table: each for each in ended}
        finally:
            self._turn.release()

    def deliver_until(self, deadline: float) -> None:  # noqa: ARG002 - it takes a moment
        """Give the shards back as the process ends. See Debtor."""
        self.rest()

    def _work(self) -> bool:
        """Do what is due; return True: there is always more. Raises nothing of ours."""
        try:
            with self._turn:
                if self._follower is None:
                    self._follower = self._make()
                self._worker.interval = self._follower.step(self._now())
            self._trouble = ""
        except Exception as error:  # noqa: BLE001 - the thread has no caller
            described = describe(pass_on(error))
            # Without a thread it was told to end, and the store may be closed.
            if self._worker.is_at_work:
                self._complain(described)
            self._worker.interval = RETRY
        return True

    def _complain(self, trouble: str) -> None:
        """Log what is wrong, once until something else is."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(_NOT_FOLLOWED, trouble)

    def _pause(self) -> None:
        self._was_at_work = self._worker.is_at_work
        if self._was_at_work:
            self._worker.stop(_PATIENCE)

    def _go_on(self) -> None:
        if self._was_at_work:
            self._worker.wake()

    def _renew(self) -> None:
        # Its parent leads what this follower leads: the child begins as another one.
        self._follower = None
        self._ended = {}
        self._turn = threading.Lock()
        self._worker.renew()
        self._is_registered = False


_NOT_FOLLOWED = (
    "streams_failed: the streams that `streams` names cannot be followed (%s). It is "
    "tried again; until it succeeds, ttl_unfollowed counts"
)
