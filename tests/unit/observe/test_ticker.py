"""When exporters that are not asked export."""

import threading
import time
from collections.abc import Callable

from botocache._observe.ticker import Ticker
from tests.support.clock import FakeClock
from tests.support.processes import eventually

SHORT = 0.001


class Work:
    """Counts how often it was done, and has changes for so many times."""

    def __init__(self, changes: int = 0) -> None:
        self.done = self.ended = 0
        self.changes = changes

    def __call__(self) -> bool:
        self.done += 1
        self.changes -= 1
        return self.changes >= 0

    def end(self) -> None:
        self.ended += 1


def rests(ticker: Ticker) -> Callable[[], bool]:
    return lambda: ticker.is_resting and not ticker._worker.is_at_work


def test_the_thread_ends_after_an_interval_without_changes() -> None:
    work = Work(changes=3)
    ticker = Ticker(work, work.end, SHORT)
    assert ticker.is_resting
    assert work.done == 0
    ticker.touch()
    eventually(rests(ticker))
    assert work.done == 5  # three with changes, one without, and once more to be sure
    ticker.touch()
    eventually(rests(ticker))
    assert work.done > 5


def test_a_call_that_counts_while_the_thread_makes_up_its_mind_is_exported() -> None:
    ticker: Ticker
    seen: list[bool] = []

    def work() -> bool:
        seen.append(ticker.is_resting)
        return len(seen) == 3  # a change that the second, idle, round did not see

    ticker = Ticker(work, Work().end, SHORT)
    ticker.touch()
    eventually(rests(ticker))
    # The first two do not rest; the third decides, and finds a change after all.
    assert seen[:4] == [False, False, True, False]


def test_work_that_fails_starts_no_thread_for_each_call() -> None:
    work, started = Work(), []

    def start(thread: threading.Thread) -> None:
        started.append(thread)
        thread.start()

    ticker = Ticker(work, work.end, 60.0, start=start)
    for _ in range(50):
        if ticker.is_resting:
            ticker.touch()
    eventually(lambda: work.done == 1)
    assert len(started) == 1
    assert not ticker.is_resting
    ticker.deliver_until(time.monotonic() + 5)


def test_without_threads_calls_do_the_work_when_it_is_due() -> None:
    clock, work = FakeClock(), Work()

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for ticker in (
        Ticker(work, work.end, 10.0, inline=True, clock=clock),
        Ticker(work, work.end, 10.0, clock=clock, start=start),
    ):
        work.done = 0
        for seconds, done in ((0, 1), (9, 1), (1, 2), (500, 3), (-3600, 4), (9, 4)):
            clock.advance(seconds)
            assert ticker.is_resting
            ticker.touch()
            assert work.done == done


def test_a_pause_does_the_work_and_ends_the_thread_until_the_next_call() -> None:
    work = Work(changes=100)
    ticker = Ticker(work, work.end, 60.0)
    ticker.pause()
    assert work.done == 0  # no call was made
    for done in (2, 4):
        ticker.touch()
        eventually(lambda: work.done == done - 1)  # noqa: B023 - called at once
        ticker.pause()
        assert work.done == done
        assert rests(ticker)()


def test_the_end_of_the_process_ends_the_thread_and_exports_once_more() -> None:
    work = Work(changes=100)
    ticker = Ticker(work, work.end, 60.0)
    ticker.touch()
    eventually(lambda: work.done == 1)
    ticker.deliver_until(time.monotonic() + 5)
    assert (work.done, work.ended) == (1, 1)
    assert not ticker._worker.is_at_work
    ticker.deliver_until(time.monotonic())  # no time is left
    assert work.ended == 1
