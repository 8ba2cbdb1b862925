"""Entries that are filled, and not yet in the database: a thread writes them.

A transaction takes 30 µs for one entry, and 7 µs for each of fifty. So a fill leaves
its entry here, and the thread writes together what comes within `GATHERED`. An entry
may be late or lost without harm: its snapshot alone decides whether it may be served
(`_coherence.py`).

- `get` finds what is not in the database yet. It looks at what waits, then at what is
  being written; its caller then looks into the database. An entry takes the same way in
  the same order, so no load comes between.
- The queue has a bound in entries and in bytes. What finds it full is dropped.
- The thread starts at the first fill, and ends after `IDLE` seconds without one. Where
  none can be started, and once the process is ending, `put` writes by itself.
- A fork first writes what waits, and ends the thread. Within SQLite it would leave the
  child with SQLite's own locks locked for ever, and Python warns of forks in a process
  that has threads. The child begins with an empty queue.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeAlias

from botocache._errors import pass_on
from botocache._exits import deliver_at_exit
from botocache._forks import hold_during_fork, renew_after_fork
from botocache.stores.disk.connections import is_owned

Entry: TypeAlias = tuple[bytes, bytes, float]
"""A key, the bytes of its entry, and its TTL in seconds."""

Start: TypeAlias = Callable[[threading.Thread], None]
"""Starts a thread or raises RuntimeError: threading.Thread.start, except in tests."""

NAME = "botocache-fills"

MOST_BYTES = 8 * 1024**2
"""Of entries that wait. As many again may be written meanwhile."""

MOST_ENTRIES = 4096

GATHERED = 0.05
"""Seconds for which the thread lets entries come together. Each time that it wakes up,
the thread of a call waits for it."""

IDLE = 5.0
"""Seconds without an entry after which the thread ends. To start one takes 60 µs."""

PATIENCE = 0.05
"""Seconds that a fill waits for another thread's, where each writes by itself."""

FORK_PATIENCE = 0.25
"""Seconds that a fork waits for another thread that is writing."""

_ROW = 100
"""Bytes that an entry takes here beside its own."""


class FillQueue:
    """The entries that one store of this process has yet to write.

    write: writes entries. It must not raise.
    start: starts the thread.
    """

    _thread: threading.Thread | None
    _waiting: dict[bytes, Entry]
    _being_written: dict[bytes, Entry]

    def __init__(
        self,
        write: Callable[[Sequence[Entry]], None],
        start: Start = threading.Thread.start,
    ) -> None:
        self._write = write
        self._start = start
        self.renew()
        renew_after_fork(self, FillQueue.renew)
        hold_during_fork(self, FillQueue._hold, FillQueue._release)

    def __repr__(self) -> str:
        return f"<FillQueue of {len(self._waiting)} entries, {self._size} bytes>"

    def put(self, entries: Sequence[Entry]) -> bool:
        """Leave entries to be written. Return False if there is no room for them."""
        size = sum(len(entry) + _ROW for _, entry, _ in entries)
        with self._lock:
            waiting = self._waiting
            if (
                self._size + size > MOST_BYTES
                or len(waiting) + len(entries) > MOST_ENTRIES
            ):
                return False
            self._size += size
            for each in entries:
                waiting[each[0]] = each
            has_thread = self._is_awake or self._wake()
        if not has_thread:
            self.flush(PATIENCE)
        return True

    def get(self, key: bytes) -> bytes | None:
        """Return the entry that was put under a key and is not written yet."""
        found = self._waiting.get(key) or self._being_written.get(key)
        return None if found is None else found[1]

    def flush(self, patience: float) -> bool:
        """Write what waits; return whether all that was put before is written.

        Returns False at once where the same thread is writing: in a signal handler.

        patience: seconds to wait for what another thread writes.
        """
        writing = self._writing
        if is_owned(writing):
            return False
        try:
            if not writing.acquire(timeout=max(0.0, patience)):
                return False
            with self._lock:
                # Seen as being written before it is seen to wait no more: see `get`.
                self._being_written = self._waiting
                self._waiting = {}
                self._size = 0
            if self._being_written:
                self._write(list(self._being_written.values()))
            self._being_written = {}
        finally:
            # Not by a variable: a signal handler may raise before it is set.
            while is_owned(writing):
                writing.release()
        return True

    def drop(self, patience: float) -> bool:
        """Forget all entries; return whether none of them is written after this.

        patience: seconds to wait for what another thread writes.
        """
        with self._lock:
            self._waiting = {}
            self._size = 0
        # What is being written now is in the database before its owner clears that.
        return self.flush(patience)

    def deliver_until(self, deadline: float) -> None:
        """Write what waits while the process ends. See Debtor.

        From now on `put` writes by itself: the process must not end in the middle of a
        transaction of the thread's, which might leave a damaged database.
        """
        self._is_ending = True
        self.stop()
        self.flush(deadline - time.monotonic())

    def stop(self) -> None:
        """Let the thread end. The next entry starts another one."""
        with self._lock:
            self._thread = None
            self._is_awake = False
            self._woken.put(None)

    def renew(self) -> None:
        """Reset to an empty queue without a thread."""
        # An RLock: a signal handler may fill in the middle of a fill.
        self._lock = threading.RLock()
        self._writing = threading.RLock()
        self._waiting = {}
        self._being_written = {}
        self._size = 0
        self._thread = None
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._is_awake = False
        self._is_ending = False
        self._holds = 0  # of the thread that has `_writing`

    def _hold(self) -> None:
        """Before a fork: write what waits, end the thread, keep others from writing.

        A signal handler may fork while its thread is writing: that goes on after it.
        """
        thread, deadline = self._thread, time.monotonic() + FORK_PATIENCE
        self.stop()
        if self._waiting:
            self.flush(FORK_PATIENCE)
        is_other = thread is not threading.current_thread()
        if thread is not None and thread.ident is not None and is_other:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._writing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._holds += 1

    def _release(self) -> None:
        """After a fork, in the parent."""
        # Counted: a signal handler may fork between the two.
        if self._holds and is_owned(self._writing):
            self._holds -= 1
            self._writing.release()

    def _wake(self) -> bool:
        """Have the thread write. Return False if there is none. Needs the lock."""
        if self._is_ending:
            return False
        if self._thread is not None:
            self._is_awake = True
            self._woken.put(None)
            return True
        self._woken = SimpleQueue()  # a stopped thread may still use the old one
        thread = threading.Thread(
            target=self._run, args=(self._woken,), name=NAME, daemon=True
        )
        # First: a signal handler that fills while it starts must not start another.
        self._thread, self._is_awake = thread, True
        try:
            self._start(thread)
        except BaseException as error:
            if thread.ident is None:
                self._thread, self._is_awake = None, False
            # No more threads, or the interpreter is ending.
            if not isinstance(pass_on(error), RuntimeError):
                raise
            return False
        # Each time: a child of multiprocessing forgets it as it begins.
        deliver_at_exit(self)
        return True

    def _run(self, woken: "SimpleQueue[None]") -> None:
        me = threading.current_thread()
        try:
            while self._thread is me:
                # Fills of the meantime wake nothing; `stop` does.
                _is_woken(woken, GATHERED)
                self.flush(IDLE)
                if not self._rests(me) or _is_woken(woken, IDLE):
                    continue
                # Under the lock of `put`: it wakes this thread, or starts another.
                with self._lock:
                    if not self._is_awake and self._thread is me:
                        self._thread = None
        finally:
            if self._thread is me:  # something was thrown into this thread
                self.stop()

    def _rests(self, me: threading.Thread) -> bool:
        """Note that the thread rests, if there is nothing to write."""
        with self._lock:
            if self._waiting or self._thread is not me:
                return False
            self._is_awake = False
            return True


def _is_woken(woken: "SimpleQueue[None]", patience: float) -> bool:
    try:
        woken.get(timeout=patience)
    except Empty:
        return False
    return True
