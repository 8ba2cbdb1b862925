"""Who waits for the store: a bounded pool of threads, and never the event loop.

What a call asks of the cache (`begin`, `load`, `finish`) is one synchronous course. A
store that never waits is asked on the loop. For any other the whole course runs in a
thread, and the coroutine awaits its result.

The pool is bounded, so that a store that hangs cannot fill a service with threads, and
what waits in its queue is bounded in number and in time: after the store's own
`timeout`, and SLACK, a call goes on without the store, on the loop. A read is not
cached then, and what a write evicts becomes pending, as after an eviction that failed.
"""

import time
from asyncio import events
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import RLock, Thread
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from botocache._cache.cache import Cache
from botocache._errors import pass_on
from botocache._exits import deliver_first
from botocache._forks import is_renewed, renew, renew_after_fork
from botocache.stores.protocol import waits
from botocache.stores.redis.deadlines import allow_slack

_Result = TypeVar("_Result")

MOST_THREADS = 16
"""Threads of a process. They wait and do not compute: with a server a millisecond away,
16 make 16,000 round trips a second, more than one event loop asks for."""

MOST_WAITING = 1000
"""Calls that may wait for a thread. A thousand at a millisecond each, by 16 threads,
are done before the shortest sensible `timeout` is over."""

IDLE_SECONDS = 30.0
"""Seconds after which a thread that has nothing to do ends."""

SLACK = 0.2
"""Seconds that a call may take beyond `timeout`. A thread whose server has answered
waits for the interpreter, 5 ms each time while the loop computes, and a call that holds
up no other task can wait longer than one that holds up its thread."""

_EXIT_PATIENCE = 0.5
"""Seconds by which work that is under way may delay the end of the process."""

_EXIT_INTERVAL = 0.002

NAME = "botocache-offload"


class Offload:
    """Runs what may wait for the store of one cache.

    waits: whether the store may wait, so that the loop must not ask it.
    patience: seconds that a call may wait for a thread.
    threads: do the work; by default those of the process.
    """

    def __init__(
        self, *, waits: bool, patience: float, threads: "Threads | None" = None
    ) -> None:
        self.waits: Final = waits
        self.patience: Final = patience
        self._own_threads: Final = threads

    async def run(
        self,
        function: Callable[..., _Result],
        *arguments: Any,
        instead: Callable[..., _Result],
        on_abandoned: Callable[[_Result], object] | None = None,
    ) -> _Result:
        """Return what a function returns, or raise what it raises.

        It runs in a thread, in a copy of the caller's context; or here and now, if the
        store never waits.

        instead: called on the loop with the same arguments, in the place of the
            function, if no thread was free for `patience` seconds. Must not wait.
        on_abandoned: called with the result, in that thread, if the task was cancelled
            meanwhile. The function is never cut short.
        """
        if not self.waits:
            return function(*arguments)
        threads = self._own_threads or _threads
        work = _Work(threads, function, arguments, instead, on_abandoned)
        loop = events._get_running_loop()  # noqa: SLF001 - asyncio's own name for "or None"
        if loop is None:
            return await _run_on_trio(work, threads, self.patience)
        if not threads.has_room():
            return instead(*arguments)
        future = loop.create_future()
        work.wake = partial(loop.call_soon_threadsafe, _settle, future)
        timer = None
        if not threads.put(work):
            timer = loop.call_later(self.patience, work.run_instead)
        try:
            await future
        except BaseException:
            # Cancelled, or closed with its loop. The timer stays: what no task awaits
            # must not wait for ever, either.
            work.abandon()
            raise
        if timer is not None:
            timer.cancel()
        return work.take()

    def hand_over(
        self,
        function: Callable[..., object],
        *arguments: Any,
        instead: Callable[..., object],
    ) -> None:
        """Have a function called, and wait for nothing.

        For a task that is being cancelled, also without a running loop.

        instead: called here and now with the same arguments, if no thread is free. Must
            not wait.
        """
        if not self.waits:
            function(*arguments)
            return
        threads = self._own_threads or _threads
        work = _Work(threads, function, arguments, instead)
        if not threads.put(work, only_if_free=True):
            instead(*arguments)


def offload_of(cache: Cache) -> Offload:
    """Return what runs the work of a cache; one for its life."""
    found = _offloads.get(cache)
    if found is None:
        services = cache.services
        patience = services.settings.timeout + SLACK
        found = Offload(waits=waits(services.store), patience=patience)
        found = _offloads.setdefault(cache, found)
    return found


_offloads: "WeakKeyDictionary[Cache, Offload]" = WeakKeyDictionary()


# --- work --------------------------------------------------------------------------


class _Work(Generic[_Result]):
    """One function, to be called once: by a thread, or `instead` on the loop.

    threads: do it.
    wake: tells the coroutine that awaits the result.
    """

    __slots__ = (
        "_arguments",
        "_context",
        "_error",
        "_function",
        "_instead",
        "_on_abandoned",
        "_result",
        "_threads",
        "_unclaimed",
        "_unmet",
        "wake",
    )

    _result: _Result

    def __init__(
        self,
        threads: "Threads",
        function: Callable[..., _Result],
        arguments: tuple[Any, ...],
        instead: Callable[..., _Result],
        on_abandoned: Callable[[_Result], object] | None = None,
    ) -> None:
        self._threads = threads
        self._function = function
        self._instead = instead
        self._arguments = arguments
        self._on_abandoned = on_abandoned
        self._context: Context = copy_context()
        self._error: BaseException | None = None
        # To pop the last object of a list is one step in any thread, without a lock.
        self._unclaimed = [True]
        self._unmet = [True]
        self.wake: Callable[[], object] | None = None

    def run(self) -> None:
        """Call the function, unless it was called `instead`."""
        if _is_first(self._unclaimed):
            self._call(self._function)

    def run_instead(self) -> None:
        """Call what stands in for the function, unless a thread has begun it."""
        if _is_first(self._unclaimed):
            self._call(self._instead)

    def abandon(self) -> None:
        """Note that no one awaits the result any more."""
        if not _is_first(self._unmet) and self._error is None:
            # It came in the moment of the cancellation. Not here: this may wait.
            left = partial(_call, self._on_abandoned, self._result)
            self._threads.put(_Work(self._threads, left, (), left))

    def take(self) -> _Result:
        """Return the result; raise what the function has raised."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame
        return self._result

    def _call(self, function: Callable[..., _Result]) -> None:
        try:
            self._result = self._context.run(function, *self._arguments)
        except BaseException as error:  # noqa: BLE001 - for the coroutine
            self._error = error
        if not _is_first(self._unmet):
            if self._error is None:
                _call(self._on_abandoned, self._result)
        elif self.wake is not None:
            with suppress(RuntimeError):  # its loop was closed
                self.wake()


def _is_first(tokens: list[bool]) -> bool:
    """Return whether this is the first of two that come to one point."""
    try:
        tokens.pop()
    except IndexError:
        return False
    return True


def _call(function: Callable[[_Result], object] | None, result: _Result) -> None:
    if function is not None:
        try:
            function(result)
        except Exception as error:  # noqa: BLE001 - no one awaits it
            pass_on(error)


def _settle(future: Any) -> None:
    if not future.done():  # else it was cancelled
        future.set_result(None)


# --- threads -----------------------------------------------------------------------


class Threads(Protocol):
    """What does the work of offloads."""

    def has_room(self) -> bool:
        """Return whether more work may wait."""

    def put(self, work: "_Work[Any]", *, only_if_free: bool = False) -> bool:
        """Queue work; return whether a thread was free for it.

        only_if_free: do nothing if none is.
        """


class _Threads:
    """Daemon threads that do work; they start when there is some, and end later."""

    def __init__(self) -> None:
        self._renew()
        renew_after_fork(self, _Threads._renew)

    def __repr__(self) -> str:
        return f"<{self._count} threads, {self._outstanding} works>"

    def _renew(self) -> None:
        # What is in the old queue is the parent's to do.
        self._lock = RLock()  # a signal handler may put work, too
        self._queue: SimpleQueue[_Work[Any]] = SimpleQueue()
        self._count = self._outstanding = 0

    def has_room(self) -> bool:
        """See Threads."""
        return self._outstanding < MOST_WAITING

    def put(self, work: "_Work[Any]", *, only_if_free: bool = False) -> bool:
        """See Threads."""
        if not is_renewed():
            renew()
        with self._lock:
            is_free = self._outstanding < self._count or self._begin()
            if is_free or not only_if_free:
                self._outstanding += 1
                self._queue.put(work)
        return is_free

    def _begin(self) -> bool:
        """Start a thread; return False if there may be none."""
        if self._count >= MOST_THREADS:
            return False
        if not self._count:
            deliver_first(self)
        thread = Thread(target=self._run, args=(self._queue,), name=NAME, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more, or the interpreter is ending
            return False
        self._count += 1
        return True

    def _run(self, queue: "SimpleQueue[_Work[Any]]") -> None:
        allow_slack(SLACK)
        while True:
            try:
                work = queue.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if queue.empty():
                        self._count -= 1
                        return
                continue
            try:
                work.run()
            finally:
                del work  # else it keeps a ticket alive until the next work comes
                with self._lock:
                    self._outstanding -= 1

    def deliver_until(self, deadline: float) -> None:
        """Wait for what is under way as the process ends, for a moment. See Debtor."""
        deadline = min(deadline, time.monotonic() + _EXIT_PATIENCE)
        while self._outstanding and time.monotonic() < deadline:
            time.sleep(_EXIT_INTERVAL)  # for the threads; they tell only their loops
        with suppress(Empty):
            while True:  # evictions among it become pending, and are delivered next
                self._queue.get_nowait().run_instead()
                with self._lock:
                    self._outstanding -= 1


_threads: Final = _Threads()


# --- trio --------------------------------------------------------------------------


async def _run_on_trio(
    work: "_Work[_Result]", threads: "Threads", patience: float
) -> _Result:
    """Do what `Offload.run` does in a task of trio.

    aiobotocore's httpx sessions run on it. Raises ImportError in any other loop.
    """
    import trio

    done = trio.Event()
    token = trio.lowlevel.current_trio_token()
    work.wake = partial(token.run_sync_soon, done.set)
    try:
        if not threads.has_room():
            work.run_instead()
        elif not threads.put(work):
            with trio.move_on_after(patience):
                await done.wait()
            work.run_instead()
        await done.wait()
    except BaseException:
        work.abandon()
        raise
    return work.take()
