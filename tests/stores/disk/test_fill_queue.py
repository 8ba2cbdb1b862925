"""Entries that wait to be written: they are found, bounded, and written once."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

import pytest

from botocache.stores.disk import fill_queue
from botocache.stores.disk.fill_queue import (
    IDLE,
    MOST_BYTES,
    MOST_ENTRIES,
    NAME,
    Entry,
    FillQueue,
)
from tests.support.digests import key
from tests.support.processes import TIMEOUT, eventually, forked, in_thread
from tests.support.threads import no_thread

KEY, OTHER_KEY = key("an entry"), key("another entry")
TTL = 60.0


def asleep(_thread: threading.Thread) -> None:
    """Start a thread that never comes to run."""


class Written(list[Entry]):
    """What was written. meanwhile: called with the entries as they are written."""

    meanwhile: Callable[[Sequence[Entry]], object] | None = None

    def __call__(self, entries: Sequence[Entry]) -> None:
        if self.meanwhile is not None:
            self.meanwhile(entries)
        self += entries


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def queue(written: Written) -> FillQueue:
    return FillQueue(written, asleep)


@pytest.fixture
def behind(written: Written) -> Iterator[FillQueue]:
    """A queue with a thread."""
    made = FillQueue(written)
    yield made
    made.stop()
    eventually(lambda: not writers())


def writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def put(queue: FillQueue, name: bytes = KEY, entry: bytes = b"entry") -> bool:
    return queue.put([(name, entry, TTL)])


def slow(written: Written) -> tuple[threading.Event, threading.Event]:
    """Let writing take until the second event; the first one says that it has begun."""
    begun, goes_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        begun.set()
        goes_on.wait(TIMEOUT)

    written.meanwhile = wait
    return begun, goes_on


# --- what waits ----------------------------------------------------------------------


def test_an_entry_that_waits_is_found_and_not_written_yet(
    queue: FillQueue, written: Written
) -> None:
    assert put(queue)
    assert queue.get(KEY) == b"entry"
    assert queue.get(OTHER_KEY) is None
    assert not written
    assert repr(queue) == "<FillQueue of 1 entries, 105 bytes>"


def test_an_entry_that_is_empty_is_found(queue: FillQueue) -> None:
    put(queue, entry=b"")
    assert queue.get(KEY) == b""


def test_an_entry_is_found_until_it_is_written(
    queue: FillQueue, written: Written
) -> None:
    found = []
    written.meanwhile = lambda _: found.append(queue.get(KEY))
    put(queue)
    assert queue.flush(0.0)
    assert found == [b"entry"]
    assert written == [(KEY, b"entry", TTL)]
    assert queue.get(KEY) is None


def test_of_two_entries_under_a_key_the_last_one_is_found_and_written(
    queue: FillQueue, written: Written
) -> None:
    put(queue, entry=b"old")
    put(queue, entry=b"new")
    assert queue.get(KEY) == b"new"
    queue.flush(0.0)
    assert written == [(KEY, b"new", TTL)]


def test_an_entry_that_is_filled_again_while_it_is_written_is_the_one_that_is_found(
    queue: FillQueue, written: Written
) -> None:
    written.meanwhile = lambda _: put(queue, entry=b"new")
    put(queue, entry=b"old")
    queue.flush(0.0)
    assert queue.get(KEY) == b"new"
    written.meanwhile = None
    queue.flush(0.0)
    assert [entry for _, entry, _ in written] == [b"old", b"new"]


@pytest.mark.parametrize(
    ("size", "fits"),
    [(10, MOST_ENTRIES), (MOST_BYTES // 8, 7)],
    ids=["by their number", "by their bytes"],
)
def test_what_finds_the_queue_full_is_dropped(
    size: int, fits: int, queue: FillQueue, written: Written
) -> None:
    names = [key(str(number)) for number in range(fits)]
    for name in names:
        assert put(queue, name, bytes(size))
    # All of a fill or nothing: it counts as one.
    assert not queue.put([(KEY, bytes(size), TTL), (OTHER_KEY, b"", TTL)])
    assert queue.get(KEY) is queue.get(OTHER_KEY) is None
    queue.flush(0.0)
    assert [name for name, _, _ in written] == names
    assert put(queue)


def test_one_key_does_not_fill_the_queue_by_its_number(queue: FillQueue) -> None:
    for _ in range(2 * MOST_ENTRIES):
        assert put(queue, entry=b"")
    assert "1 entries" in repr(queue)


def test_what_is_dropped_is_not_written(queue: FillQueue, written: Written) -> None:
    put(queue)
    assert queue.drop(0.0)
    assert queue.get(KEY) is None
    assert queue.flush(0.0)
    assert not written


def test_nothing_comes_after_a_drop_that_was_taken_before(
    queue: FillQueue, written: Written
) -> None:
    begun, goes_on = slow(written)
    put(queue)
    thread = threading.Thread(target=queue.flush, args=(TIMEOUT,))
    thread.start()
    assert begun.wait(TIMEOUT)
    assert not queue.drop(0.0)
    goes_on.set()
    assert queue.drop(TIMEOUT)
    assert written == [(KEY, b"entry", TTL)]  # it is there to be removed
    thread.join(TIMEOUT)


# --- who writes ----------------------------------------------------------------------


def test_a_thread_writes_what_comes_together(
    behind: FillQueue, written: Written
) -> None:
    sizes: list[int] = []
    written.meanwhile = lambda entries: sizes.append(len(entries))
    for number in range(100):
        put(behind, key(str(number)))
    eventually(lambda: len(written) == 100)
    assert len(sizes) < 50
    assert len(writers()) == 1


def test_the_thread_ends_when_nothing_comes_and_the_next_entry_starts_another(
    behind: FillQueue, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_queue, "IDLE", 0.01)
    for number in range(1, 4):
        put(behind)
        eventually(lambda number=number: len(written) == number)  # type: ignore[misc]  # a default
        eventually(lambda: not writers())


def test_a_thread_that_rests_writes_the_next_entry(
    behind: FillQueue, written: Written
) -> None:
    for number in range(1, 4):
        put(behind)
        eventually(lambda number=number: len(written) == number)  # type: ignore[misc]  # a default
        eventually(lambda: not behind._is_awake)
    assert len(writers()) == 1


def test_an_entry_that_comes_as_the_thread_ends_is_written(
    behind: FillQueue, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_woken = fill_queue._is_woken

    def comes_too_late(woken: "SimpleQueue[None]", patience: float) -> bool:
        if patience == IDLE and len(written) == 1:
            put(behind, OTHER_KEY)
            return False
        return is_woken(woken, patience)

    monkeypatch.setattr(fill_queue, "_is_woken", comes_too_late)
    put(behind)
    eventually(lambda: len(written) == 2)


def test_where_no_thread_can_be_started_a_fill_writes_by_itself(
    written: Written,
) -> None:
    queue = FillQueue(written, no_thread)
    assert put(queue)
    assert put(queue, OTHER_KEY)
    assert [name for name, _, _ in written] == [KEY, OTHER_KEY]


def test_a_process_that_ends_writes_what_waits_and_then_each_entry_by_itself(
    queue: FillQueue, written: Written
) -> None:
    put(queue)
    queue.deliver_until(time.monotonic() + TIMEOUT)
    assert [name for name, _, _ in written] == [KEY]
    put(queue, OTHER_KEY)
    assert [name for name, _, _ in written] == [KEY, OTHER_KEY]


def test_the_end_of_a_process_waits_for_the_thread_for_a_bounded_time(
    behind: FillQueue, written: Written
) -> None:
    begun, goes_on = slow(written)
    put(behind)
    assert begun.wait(TIMEOUT)
    in_thread(lambda: behind.deliver_until(time.monotonic()))
    assert not written
    goes_on.set()
    in_thread(lambda: behind.deliver_until(time.monotonic() + TIMEOUT))
    assert len(written) == 1


def test_a_signal_handler_may_fill_and_flush_while_its_thread_writes(
    queue: FillQueue, written: Written
) -> None:
    outcomes: list[bool] = []
    written.meanwhile = lambda _: outcomes.extend(
        [put(queue, OTHER_KEY), queue.flush(TIMEOUT)]
    )
    put(queue)
    assert in_thread(lambda: queue.flush(0.0))
    assert outcomes == [True, False]
    assert queue.get(OTHER_KEY) == b"entry"


def test_an_exception_in_the_middle_leaves_no_lock(
    queue: FillQueue, written: Written
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    written.meanwhile = interrupt
    put(queue)
    with pytest.raises(KeyboardInterrupt):
        queue.flush(0.0)
    written.meanwhile = None
    put(queue, OTHER_KEY)
    assert in_thread(lambda: queue.flush(0.0))
    assert OTHER_KEY in [name for name, _, _ in written]


def test_an_exception_that_is_thrown_into_the_thread_ends_it_alone(
    behind: FillQueue, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    written.meanwhile = interrupt
    put(behind)
    eventually(lambda: behind._thread is None)
    written.meanwhile = None
    put(behind, OTHER_KEY)
    eventually(lambda: OTHER_KEY in [name for name, _, _ in written])


# --- forks ---------------------------------------------------------------------------


def test_a_child_has_nothing_of_its_parents_and_fills_by_itself(
    behind: FillQueue, written: Written
) -> None:
    put(behind)
    with forked(
        lambda pipe: pipe.send(
            (behind.get(KEY), put(behind, OTHER_KEY), behind.flush(1), written)
        )
    ) as child:
        found, was_put, was_flushed, wrote = child.recv()
    assert (found, was_put, was_flushed) == (None, True, True)
    # What waited was written before the fork: the child wrote it not again.
    assert [name for name, _, _ in wrote] == [KEY, OTHER_KEY]
    assert [name for name, _, _ in written] == [KEY]


def test_no_thread_is_left_at_a_fork(behind: FillQueue) -> None:
    put(behind)
    assert writers()
    threads: list[object] = []
    with forked(lambda pipe: pipe.send(os.getpid())) as child:
        threads += writers()
        child.recv()
    assert not threads


def test_a_fork_does_not_come_while_the_thread_writes(
    behind: FillQueue, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_queue, "FORK_PATIENCE", TIMEOUT)
    begun = threading.Event()
    is_writing = [False]

    def slowly(_: object) -> None:
        is_writing[0] = True
        begun.set()
        time.sleep(0.05)  # the fork comes meanwhile; there is no event for that
        is_writing[0] = False

    written.meanwhile = slowly
    put(behind)
    assert begun.wait(TIMEOUT)
    with forked(lambda pipe: pipe.send(is_writing[0])) as child:
        assert child.recv() is False


def test_a_writer_that_takes_long_delays_a_fork_for_a_bounded_time(
    behind: FillQueue, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_queue, "FORK_PATIENCE", 0.01)
    begun, goes_on = slow(written)
    put(behind)
    assert begun.wait(TIMEOUT)
    with forked(lambda pipe: pipe.send((put(behind), behind.get(KEY)))) as child:
        assert child.recv() == (True, b"entry")
    goes_on.set()
    eventually(lambda: len(written) == 1)
    assert put(behind, OTHER_KEY)
    eventually(lambda: len(written) == 2)


def test_a_signal_handler_may_fork_while_its_thread_writes(
    queue: FillQueue, written: Written
) -> None:
    def fork(_: object) -> None:
        with forked(lambda pipe: pipe.send(queue.get(KEY))) as child:
            assert child.recv() is None

    written.meanwhile = fork
    put(queue)
    assert queue.flush(0.0)
    assert len(written) == 1
    assert in_thread(lambda: queue.flush(0.0))


def test_a_signal_handler_may_fork_while_its_thread_forks(
    queue: FillQueue, written: Written
) -> None:
    queue._hold()
    with forked(lambda pipe: pipe.send(put(queue))) as child:
        assert child.recv()
    queue._release()
    put(queue)
    assert in_thread(lambda: queue.flush(0.0))
    assert len(written) == 1


def test_the_thread_may_fork_itself(
    behind: FillQueue, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may run a finalizer of the application's."""
    unraisable: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)

    def fork(_: object) -> None:
        with forked(lambda pipe: pipe.send(behind.get(KEY))) as child:
            assert child.recv() is None

    written.meanwhile = fork
    put(behind)
    eventually(lambda: len(written) == 1)
    assert not unraisable
    written.meanwhile = None
    put(behind, OTHER_KEY)
    eventually(lambda: len(written) == 2)
