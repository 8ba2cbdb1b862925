"""A worker's thread starts when there is work, and ends when there is none."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from botocache._cache.worker import NAME, Worker
from tests.support.processes import TIMEOUT, eventually, forked, in_threads
from tests.support.threads import no_thread

NEVER = 1e6
"""Seconds; no test waits so long."""

AT_ONCE = 0.001


class Work:
    """Some work, which waits until the test lets it through.

    left: after how many more rounds nothing is left.
    done: how many rounds were done.
    """

    def __init__(self, left: int = 0) -> None:
        self.left = left
        self.done = 0
        self.threads: set[int] = set()
        self.may_end = threading.Event()
        self.may_end.set()
        self.has_begun = threading.Event()

    def __call__(self) -> bool:
        self.has_begun.set()
        assert self.may_end.wait(TIMEOUT)
        self.threads.add(threading.get_ident())
        self.done += 1
        self.left -= 1
        return self.left >= 0


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def worker(work: Work) -> Iterator[Worker]:
    made = Worker(work, NEVER)
    yield made
    work.may_end.set()
    made.stop(TIMEOUT)


def is_idle(worker: Worker) -> bool:
    return not worker.is_at_work


def test_there_is_no_thread_before_there_is_work(worker: Worker, work: Work) -> None:
    assert is_idle(worker)
    assert repr(worker) == "<Worker not needed>"
    assert work.done == 0


def test_work_is_done_at_once_and_then_the_thread_ends(
    worker: Worker, work: Work
) -> None:
    worker.wake()
    eventually(lambda: work.done == 1 and is_idle(worker))
    assert work.threads.isdisjoint({threading.get_ident()})


def test_work_is_done_by_a_thread_that_keeps_no_process_from_ending(
    worker: Worker, work: Work
) -> None:
    work.may_end.clear()
    worker.wake()
    assert worker.is_at_work
    assert repr(worker) == "<Worker at work>"
    (thread,) = [t for t in threading.enumerate() if t is worker._thread]
    assert thread.daemon
    assert thread.name == NAME


def test_a_process_can_end_while_work_is_left() -> None:
    program = (
        "from botocache._cache.worker import Worker\n"
        "worker = Worker(lambda: True, 1e6)\n"
        "worker.wake()\n"
        "print(worker)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert ended.stdout == "<Worker at work>\n"
    assert ended.stderr == ""


def test_work_is_done_until_nothing_is_left(work: Work) -> None:
    work.left = 5
    worker = Worker(work, AT_ONCE)
    worker.wake()
    eventually(lambda: is_idle(worker))
    assert work.done == 6


def test_work_that_is_left_waits_for_the_interval_or_for_wake(
    worker: Worker, work: Work
) -> None:
    work.left = 2
    worker.wake()
    for done in (1, 2):
        eventually(lambda done=done: work.done == done)  # type: ignore[misc]  # a default
        assert worker.is_at_work
        worker.wake()
    eventually(lambda: is_idle(worker))
    assert work.done == 3


def test_a_wake_during_the_work_causes_another_round(
    worker: Worker, work: Work
) -> None:
    work.may_end.clear()
    worker.wake()
    assert work.has_begun.wait(TIMEOUT)
    for _ in range(3):
        worker.wake()
    work.may_end.set()
    eventually(lambda: is_idle(worker))
    assert work.done == 2


def test_work_that_makes_work_does_not_spin() -> None:
    done: list[bool] = []

    def work() -> bool:
        ours.wake()
        done.append(True)
        return True

    ours = Worker(work, NEVER)
    ours.wake()
    thread = ours._thread
    assert thread is not None
    eventually(lambda: bool(done))
    thread.join(0.05)  # it would have done it thousands of times
    assert len(done) == 1
    ours.stop(TIMEOUT)


def test_many_threads_that_call_wake_start_one_thread(work: Work) -> None:
    work.left = 10**6
    worker = Worker(work, NEVER)
    in_threads([worker.wake] * 8)
    eventually(lambda: work.done >= 1)
    assert len(work.threads) == 1
    worker.stop(TIMEOUT)


def test_no_work_that_is_added_is_left_undone() -> None:
    """Adds work while the thread is about to end, again and again."""
    todo: list[int] = []

    def work() -> bool:
        todo.clear()
        return False

    worker = Worker(work, NEVER)

    def add() -> None:
        for number in range(300):
            todo.append(number)
            worker.wake()

    in_threads([add] * 3)
    eventually(lambda: is_idle(worker))
    assert todo == []


def test_stop_ends_the_thread_and_leaves_its_work(worker: Worker, work: Work) -> None:
    work.left = 10
    worker.wake()
    thread = worker._thread
    assert thread is not None
    eventually(lambda: work.done == 1)
    worker.stop(TIMEOUT)
    assert not thread.is_alive()
    assert is_idle(worker)
    assert work.done == 1


def test_a_stopped_worker_works_again_after_wake(worker: Worker, work: Work) -> None:
    worker.stop(TIMEOUT)
    worker.wake()
    eventually(lambda: work.done == 1 and is_idle(worker))
    worker.stop(TIMEOUT)


def test_stop_waits_no_longer_than_its_patience(worker: Worker, work: Work) -> None:
    work.may_end.clear()
    work.left = 10
    worker.wake()
    thread = worker._thread
    assert thread is not None
    assert work.has_begun.wait(TIMEOUT)
    worker.stop(0.0)
    assert thread.is_alive()
    work.may_end.set()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert work.done == 1


def test_the_thread_may_stop_its_own_worker() -> None:
    def work() -> bool:
        ours.stop(TIMEOUT)
        return True

    ours = Worker(work, NEVER)
    ours.wake()
    eventually(lambda: is_idle(ours))


def test_wake_raises_nothing_if_no_thread_can_be_started(
    work: Work,
) -> None:
    worker = Worker(work, NEVER, start=no_thread)
    for _ in range(2):
        worker.wake()
        assert is_idle(worker)
    assert work.done == 0
    worker.stop(TIMEOUT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_replaced() -> None:
    ends: list[Any] = [SystemExit, None]

    def work() -> bool:
        end = ends.pop(0)
        if end is not None:
            raise end
        return False

    worker = Worker(work, NEVER)
    worker.wake()
    thread = worker._thread
    if thread is not None:
        thread.join(TIMEOUT)
    worker.wake()
    eventually(lambda: is_idle(worker))
    assert ends == []


def test_a_child_has_no_thread_until_it_is_renewed_and_woken(work: Work) -> None:
    work.left = 10**6
    worker = Worker(work, NEVER)
    worker.wake()
    eventually(lambda: work.done == 1)

    def child(pipe: Any) -> None:
        worker.renew()
        pipe.send(is_idle(worker))
        worker.wake()
        eventually(lambda: work.done == 2)

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is True
    assert worker.is_at_work
    worker.stop(TIMEOUT)
