"""The circuit breaker: it opens, asks by itself, and closes again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from botocache._errors import StoreError
from botocache.stores.redis.circuit_breaker import FAILURES, PAUSES, Breaker
from tests.support.locks import all_locks, locked
from tests.support.processes import TIMEOUT, eventually, forked, in_thread, in_threads
from tests.support.threads import no_thread

ERROR = StoreError("no answer")


class Server:
    """What a breaker probes: refuses as long as it is down. Counts the probes.

    A probe waits at the gate until it is let through, and then tells that it passed.
    """

    def __init__(self) -> None:
        self.error: Exception | None = ERROR
        self.probes = 0
        self.threads: set[threading.Thread] = set()
        self.gate = threading.Semaphore(0)
        self.passed = threading.Semaphore(0)

    def probe(self) -> None:
        assert self.gate.acquire(timeout=TIMEOUT)
        self.probes += 1
        self.threads.add(threading.current_thread())
        self.passed.release()
        if self.error is not None:
            raise self.error

    def let(self, count: int) -> None:
        """Let probes through, and wait until they have passed."""
        for _ in range(count):
            self.gate.release()
            assert self.passed.acquire(timeout=TIMEOUT)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def breaker(server: Server) -> Iterator[Breaker]:
    with closing(Breaker(server.probe, pauses=(0.0,)), server) as made:
        yield made


@contextmanager
def closing(breaker: Breaker, server: Server) -> Iterator[Breaker]:
    """Close it at last, whatever it waits for."""
    yield breaker
    server.gate.release(1000)
    breaker.close()


def fail(breaker: Breaker, times: int = FAILURES, error: Exception = ERROR) -> None:
    for _ in range(times):
        breaker.failed(error)


def probers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "botocache-probe"]


def test_it_is_closed_at_first_and_lets_everybody_ask(breaker: Breaker) -> None:
    breaker.check()
    assert not breaker.is_open
    assert repr(breaker) == "<Breaker closed>"


def test_it_opens_after_some_failures_in_a_row_and_not_before(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.check()
    assert not breaker.is_open
    fail(breaker, 1)
    assert breaker.is_open


def test_a_success_in_between_keeps_it_closed(breaker: Breaker) -> None:
    for _ in range(5):
        fail(breaker, FAILURES - 1)
        breaker.succeeded()
    breaker.check()
    fail(breaker)
    assert breaker.is_open


def test_an_open_breaker_refuses_each_call_with_the_reason(
    breaker: Breaker,
) -> None:
    fail(breaker, error=StoreError("cannot be reached"))
    with pytest.raises(StoreError, match="left alone: cannot be reached"):
        breaker.check()
    assert repr(breaker) == "<Breaker open: cannot be reached>"


def test_a_failure_without_words_has_its_kind_for_a_reason(breaker: Breaker) -> None:
    fail(breaker, error=TimeoutError())
    with pytest.raises(StoreError, match="TimeoutError"):
        breaker.check()


def test_it_probes_in_a_thread_of_its_own_until_the_server_is_back(
    breaker: Breaker, server: Server
) -> None:
    fail(breaker)
    server.let(4)
    assert breaker.is_open
    server.error = None
    server.let(1)
    eventually(lambda: not breaker.is_open)
    breaker.check()
    (thread,) = server.threads
    assert thread is not threading.current_thread()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert server.probes == 5


def test_the_reason_is_that_of_the_last_probe(breaker: Breaker, server: Server) -> None:
    fail(breaker)
    server.error = StoreError("LOADING")
    server.let(1)
    eventually(lambda: "LOADING" in repr(breaker))
    assert breaker.is_open


@pytest.mark.parametrize("error", [RuntimeError("no credentials"), ValueError()])
def test_a_probe_that_fails_in_any_way_is_followed_by_another(
    breaker: Breaker, server: Server, error: Exception
) -> None:
    server.error = error
    fail(breaker)
    server.let(2)
    assert breaker.is_open
    server.error = None
    server.let(1)
    eventually(lambda: not breaker.is_open)


def test_a_closed_breaker_does_not_probe(breaker: Breaker, server: Server) -> None:
    before = len(probers())
    fail(breaker, FAILURES - 1)
    breaker.succeeded()
    assert len(probers()) == before
    assert server.probes == 0


def test_it_opens_again_after_it_was_closed(breaker: Breaker, server: Server) -> None:
    for _ in range(3):
        server.error = ERROR
        fail(breaker, FAILURES - 1)
        assert not breaker.is_open  # failures from before it was open count no more
        fail(breaker, 1)
        assert breaker.is_open
        server.error = None
        server.let(1)
        eventually(lambda: not breaker.is_open)


def test_a_late_success_of_a_call_from_before_does_not_close_it(
    breaker: Breaker,
) -> None:
    fail(breaker)
    breaker.succeeded()
    assert breaker.is_open


class Recorded(threading.Event):
    """Remembers for how long it was waited for, and lets nobody wait."""

    def __init__(self, waits: list[float | None]) -> None:
        super().__init__()
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        self._waits.append(timeout)
        return self.is_set()


def test_it_probes_at_once_and_then_more_and_more_seldom(server: Server) -> None:
    waits: list[float | None] = []
    with closing(Breaker(server.probe), server) as breaker:
        breaker._ended = Recorded(waits)
        fail(breaker)
        server.let(len(PAUSES) + 2)
        assert waits[: len(PAUSES)] == list(PAUSES)
        assert waits[len(PAUSES) :][:2] == [PAUSES[-1]] * 2
    assert PAUSES[0] == 0.0
    assert sorted(PAUSES) == list(PAUSES)


# --- closing -------------------------------------------------------------------------


def test_closing_ends_its_thread_and_forgets_what_was(
    breaker: Breaker, server: Server
) -> None:
    fail(breaker)
    server.gate.release(1000)
    breaker.close()
    assert not any(thread.is_alive() for thread in server.threads)
    breaker.check()
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open


def test_closing_does_not_wait_for_the_next_probe(server: Server) -> None:
    breaker = Breaker(server.probe, pauses=(0.0, 1e6))
    fail(breaker)
    server.let(1)
    in_thread(breaker.close)
    assert server.probes == 1


def test_a_closed_one_can_be_used_again(breaker: Breaker, server: Server) -> None:
    breaker.close()
    breaker.close()
    fail(breaker)
    assert breaker.is_open
    server.error = None
    server.let(1)
    eventually(lambda: not breaker.is_open)


def test_the_probe_itself_may_close_it() -> None:
    ended = threading.Event()

    def probe() -> None:
        made.close()
        ended.set()

    made = Breaker(probe, pauses=(0.0,))
    fail(made)
    assert ended.wait(TIMEOUT)
    eventually(lambda: not made.is_open)


def test_a_failure_while_it_is_being_closed_starts_no_thread(
    breaker: Breaker,
) -> None:
    breaker._ended.set()  # the first thing that close() does
    fail(breaker)
    assert not breaker.is_open


# --- threads and forks ---------------------------------------------------------------


def test_of_many_threads_that_fail_at_once_one_opens_it(
    breaker: Breaker, server: Server
) -> None:
    before = len(probers())
    in_threads([lambda: fail(breaker, 20)] * 8)
    assert breaker.is_open
    assert len(probers()) == before + 1
    server.let(3)
    assert len(server.threads) == 1


def test_where_no_thread_can_be_started_it_stays_closed_and_tries_again(
    breaker: Breaker, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        fail(breaker, FAILURES + 2)
        breaker.check()
    fail(breaker, 1)
    assert breaker.is_open
    server.let(1)


def test_a_child_starts_closed_and_probes_for_itself(
    breaker: Breaker, server: Server
) -> None:
    fail(breaker)
    server.let(1)

    def child(pipe: Any) -> None:
        pipe.send(breaker.is_open)
        server.gate = threading.Semaphore(0)
        fail(breaker, FAILURES - 1)
        pipe.send(breaker.is_open)
        fail(breaker, 1)
        pipe.send(breaker.is_open)
        server.error = None
        server.gate.release()
        eventually(lambda: not breaker.is_open)
        pipe.send("back")

    with forked(child) as pipe:
        seen = []
        for _ in range(4):
            assert pipe.poll(TIMEOUT)
            seen.append(pipe.recv())
    assert seen == [False, False, True, "back"]
    assert breaker.is_open


def test_a_child_is_not_kept_by_a_lock_that_its_parent_held(breaker: Breaker) -> None:
    def child(pipe: Any) -> None:
        fail(breaker)
        pipe.send(breaker.is_open)

    with locked(all_locks(breaker)), forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() is True
