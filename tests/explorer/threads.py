"""An event loop and the threads of its offload, in turns.

A Task is an actor that runs a coroutine. Its loop and its threads are not there: where
the coroutine awaits a thread, the task pauses, and what the thread would do is an actor
beside it. At each such pause the task may be cancelled.
"""

from asyncio import CancelledError, events
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from botocache._aiobotocore import offload
from botocache._aiobotocore.offload import Offload
from botocache._cache.cache import Cache
from botocache.stores.protocol import waits
from tests.explorer.turns import (
    Actor,
    Offer,
    Offers,
    current_actor,
    current_call,
    pause,
    record,
)

CUT = "cut"
"""What happens to a task that is cancelled."""


class Owner(Protocol):
    """The world of a task."""

    cuts: int
    faults: int
    has_failed_eviction: bool

    def begin_end(self) -> None:
        """Note that the current write begins to end."""


class Task(Actor):
    """An actor that makes an awaited call.

    world: see World.
    opening_of: returns the offers of a thread's first pause; it gets the number of the
        thread.
    ended: called at the end of each thread.
    was_sent: whether its request has left the process.
    was_cut: whether it has been cancelled.
    threads: that wait for its store, the first one first.
    timers: after which the loop does a thread's work itself.
    """

    is_on_loop = True

    def __init__(
        self,
        work: Callable[[], object],
        opening: Offers,
        observe: Callable[[], list[Any]],
        world: Owner,
    ) -> None:
        super().__init__(work, opening, observe)
        self.world = world
        self.opening_of: Callable[[int], Offers] = lambda _: _taken
        self.ended: Callable[[], object] = lambda: None
        self.was_sent = self.was_cut = False
        self.threads: list[_Thread] = []
        self.timers: list[_Timer] = []

    @property
    def is_waited_for(self) -> bool:
        """Whether the store is asked for it, or will be."""
        return any(thread.is_busy for thread in self.threads)

    def take(self, result: Any) -> None:
        """See Actor.take. Its loop runs meanwhile."""
        with _running():
            super().take(result)

    def kill(self) -> None:
        """See Actor.kill."""
        with _running():
            super().kill()
        for thread in self.threads:
            thread.kill()
        self.timers.clear()

    def cuts(self) -> list[Offer]:
        """Return the offer to cancel it."""
        return [("is cancelled", CUT)] if self.world.cuts else []

    def cut(self) -> None:
        """Cancel it where it is. Raises CancelledError."""
        self.world.cuts -= 1
        self.was_cut = True
        if not self.was_sent:
            if self.evictions:
                self.world.begin_end()
            else:
                self.is_abandoned = True
        raise CancelledError

    def begin_thread(self, work: "offload._Work[Any]", *, is_free: bool) -> None:
        """Let an actor do some work, or the loop, if no thread is free for it."""
        opening = self.opening_of(len(self.threads))
        self.threads.append(_Thread(self, work, opening, self._observe))
        if not is_free:
            self.world.faults -= 1

    def state(self) -> list[Any]:
        """Return what its history does not tell, flat."""
        state: list[Any] = [self.was_cut, self.was_sent, self.is_abandoned]
        state += (self.is_ending, self.was_exempt, self.evictions)
        for thread in self.threads:
            state += ("thread", thread.is_busy, thread.dead, *thread.history)
        return [*state, *(timer.is_set for timer in self.timers)]


class _Thread(Actor):
    """Does one work for a task."""

    def __init__(
        self,
        task: Task,
        work: "offload._Work[Any]",
        opening: Offers,
        observe: Callable[[], list[Any]],
    ) -> None:
        super().__init__(self._run_work, opening, observe)
        assert task.parent is not None
        self.parent = task.parent  # else it would pause into the task
        self.call = task
        self._task = task
        self._work = work
        self._is_over = False

    @property
    def is_busy(self) -> bool:
        """Whether it does its work, or will."""
        if self.dead or self._is_over:
            return False
        return self.is_under_way or bool(self._work._unclaimed)

    def offers(self) -> list[Offer]:
        """See Actor.offers."""
        return super().offers() if self.is_busy else []

    def _run_work(self) -> None:
        self._work.run()
        self._is_over = True
        if not self.is_killed:
            self._task.ended()


class _Timer:
    """Has the loop do what no thread has begun in time."""

    def __init__(self, task: Task, callback: Callable[[], object]) -> None:
        self._task = task
        self._callback = callback
        self._thread = task.threads[-1]
        self._is_cancelled = False

    @property
    def is_set(self) -> bool:
        """Whether it may still make a difference."""
        return not self._is_cancelled and bool(self._thread._work._unclaimed)

    def cancel(self) -> None:
        """See asyncio.TimerHandle."""
        self._is_cancelled = True

    def fire(self) -> None:
        """Let its time be over."""
        actor = Actor(self._callback, _taken, list)
        actor.call, actor.is_on_loop = self._task, True
        _fail_eviction(self._task)
        with _running():
            actor.take(None)
            if not actor.dead:  # it waits: judge_wait has noted it
                actor.kill()
        self._task.history.append("timer")
        self._task.ended()


def _fail_eviction(task: Task) -> None:
    """Note that the eviction of a write becomes pending."""
    if task.fills == "own item":
        task.world.has_failed_eviction = True


class _Future:
    """What a task awaits: the end of a thread's work."""

    def __init__(self) -> None:
        self._is_done = False

    def done(self) -> bool:
        """See asyncio.Future."""
        return self._is_done

    def set_result(self, _: object) -> None:
        """See asyncio.Future."""
        self._is_done = True

    def __await__(self) -> Iterator[None]:
        task = current_actor()
        assert isinstance(task, Task)
        if pause(lambda: self._offers(task)) == CUT:
            task.cut()
        return
        yield  # it is a generator, and never awaits

    def _offers(self, task: Task) -> list[Offer]:
        return [*([("goes on", "goes on")] if self._is_done else []), *task.cuts()]


class _Loop:
    """An event loop, as far as offloads use it."""

    def create_future(self) -> _Future:
        """See asyncio.AbstractEventLoop."""
        return _Future()

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any) -> None:
        """See asyncio.AbstractEventLoop. Later would not differ: see `_Future`."""
        callback(*args)

    def call_later(self, _: float, callback: Callable[[], object]) -> _Timer:
        """See asyncio.AbstractEventLoop."""
        task = current_call()
        assert isinstance(task, Task)
        task.timers.append(_Timer(task, callback))
        return task.timers[-1]


class _running:  # noqa: N801 - as contextlib names them
    """A context in which the loop runs."""

    def __enter__(self) -> None:
        events._set_running_loop(_LOOP)  # type: ignore[arg-type]  # as far as it is used

    def __exit__(self, *_: object) -> None:
        events._set_running_loop(None)


_LOOP = _Loop()


class _Threads:
    """The threads of a process. See Threads."""

    def has_room(self) -> bool:
        """See Threads. Where it has not, a timer would be over at once."""
        return True

    def put(self, work: "offload._Work[Any]", *, only_if_free: bool = False) -> bool:
        """See Threads."""
        task = current_call()
        assert isinstance(task, Task)
        if task.is_killed:
            return True  # with its process
        is_free = self._find_one(task)
        if is_free or not only_if_free:
            task.begin_thread(work, is_free=is_free)
        else:
            task.world.faults -= 1
            _fail_eviction(task)
        return is_free

    @staticmethod
    def _find_one(task: Task) -> bool:
        if not task.world.faults:
            record(True)
            return True
        is_free: bool = pause(lambda: _threads_of(task))
        return is_free


def _threads_of(task: Task) -> list[Offer]:
    offers: list[Offer] = [("a thread is free", True)]
    if task.world.faults:
        offers.append(("no thread is free", False))
    return offers


def _taken() -> list[Offer]:
    return [("a thread takes it", "taken")]


_THREADS = _Threads()


def give_threads(cache: Cache) -> None:
    """Let what waits for a cache's store be done in turns."""
    offload._offloads[cache] = Offload(
        waits=waits(cache.services.store), patience=1.0, threads=_THREADS
    )
