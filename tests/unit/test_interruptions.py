"""What interrupts our work is told from what our work fails with."""

import contextlib
import ctypes
import functools
import queue
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import diskcache
import msgspec
import pytest
import redis

from botocache._errors import StoreError, pass_on


class TimeLimit(Exception):  # noqa: N818 - as applications name theirs
    """An application's time limit."""


class SlowLimit(TimeoutError):  # noqa: N818 - as applications name theirs
    """Another, which redis-py and our stores take for an error of a socket."""


class OwnStoreError(Exception):
    """What a store of the application's raises."""


def caught(work: Callable[[], object]) -> BaseException | None:
    """Return what `pass_on` raises of what the work raises; None if it returns."""
    try:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - as the code that is tested
            own = pass_on(error)
    except BaseException as passed:  # noqa: BLE001 - that is the question
        return passed
    assert isinstance(own, Exception)
    return None


# --- signal handlers -----------------------------------------------------------------


def handler(_number: int, _frame: object) -> None:
    raise TimeLimit


def handler_of_any(*_: object) -> None:
    raise TimeLimit


def handler_with_help(number: int, frame: object) -> None:
    """A handler whose exception comes from deeper down."""
    handler(number, frame)


def handler_by_name(*, number: int, frame: object) -> None:
    handler(number, frame)


class Handlers:
    """Handlers that are methods."""

    def method(self, _number: int, _frame: object) -> None:
        raise TimeLimit

    def __call__(self, *_: object) -> None:
        raise TimeLimit


def decorated(*args: Any, **kwargs: Any) -> None:
    handler(*args, **kwargs)


def handler_that_deletes(number: int, frame: object) -> None:
    del number, frame  # unused, as some styles ask for
    raise TimeLimit


class DeletingHandler:
    def method(self, number: int, frame: object) -> None:
        del number, frame
        raise TimeLimit

    __call__ = method


def of_a_builtin_type(_number: int, _frame: object) -> None:
    raise ValueError("past its time")


def of_a_socket_type(_number: int, _frame: object) -> None:
    raise SlowLimit("past its time")


def of_our_own_type(_number: int, _frame: object) -> None:
    raise StoreError("a handler may do so")


HANDLERS: dict[str, Callable[..., object]] = {
    "function": handler,
    "any arguments": handler_of_any,
    "with help": handler_with_help,
    "method": Handlers().method,
    "object": Handlers(),
    "partial": functools.partial(handler_of_any, "more"),
    "decorated": decorated,
    "keywords": lambda number, frame: handler_by_name(number=number, frame=frame),
    "deletes": handler_that_deletes,
    "method that deletes": DeletingHandler().method,
    "object that deletes": DeletingHandler(),
    "partial that deletes": functools.partial(DeletingHandler().method),
    "of C": functools.partial(signal.default_int_handler),
    "a builtin type": of_a_builtin_type,
    "a type of sockets": of_a_socket_type,
    "a type of ours": of_our_own_type,
}


@contextlib.contextmanager
def handled_by(function: Callable[..., object]) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, function)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def send() -> None:
    """Have the handler called, somewhere in here."""
    signal.raise_signal(signal.SIGUSR1)
    len(())


def in_a_library() -> None:
    """The handler interrupts a function that is called back from C."""
    list(map(lambda _: send(), [1, 2]))  # noqa: C417 - by C


@pytest.mark.parametrize("work", [send, in_a_library])
@pytest.mark.parametrize("name", HANDLERS)
def test_what_a_signal_handler_raises_is_passed_on(
    name: str, work: Callable[[], None]
) -> None:
    with handled_by(HANDLERS[name]):
        passed = caught(work)
    expected = {
        "of C": KeyboardInterrupt,
        "a builtin type": ValueError,
        "a type of sockets": SlowLimit,
        "a type of ours": StoreError,
    }
    assert type(passed) is expected.get(name, TimeLimit)


def converted() -> None:
    """What redis-py and our stores do with errors that they take for a server's."""
    try:
        try:
            send()
        except OSError as error:
            raise redis.ConnectionError("gone") from error
    except redis.RedisError as error:
        raise StoreError("cannot be reached") from error


def replaced() -> None:
    """As diskcache: without a cause that is named."""
    try:
        send()
    except SlowLimit:
        raise diskcache.Timeout  # noqa: B904 - that is the case


@pytest.mark.parametrize("work", [converted, replaced])
def test_what_a_library_raised_in_its_place_is_undone(
    work: Callable[[], None],
) -> None:
    with handled_by(of_a_socket_type):
        assert type(caught(work)) is SlowLimit


def test_a_trace_function_is_no_part_of_our_work() -> None:
    def trace(frame: Any, event: str, _arg: object) -> Any:
        if frame.f_code is work.__code__ and event == "line":
            raise TimeLimit
        return trace

    def work() -> None:
        len(())

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        passed = caught(work)
    finally:
        sys.settrace(before)
    assert type(passed) is TimeLimit


# --- other threads, and greenlets ----------------------------------------------------


def in_module(name: str, source: str, **names: object) -> Callable[[], object]:
    """Return the function `work` of a source, as if that were installed as a module."""
    made = ModuleType(name)
    vars(made).update(names)
    exec(source, vars(made))
    work: Callable[[], object] = made.work
    return work


def thrown_in(name: str, error: type[BaseException]) -> Callable[[], object]:
    """Return a function of a module, into which an error is thrown as by a thread."""
    throw = functools.partial(
        ctypes.pythonapi.PyThreadState_SetAsyncExc,
        ctypes.c_ulong(threading.get_ident()),
        ctypes.py_object(error),
    )
    source = "def work():\n    throw()\n    [None for _ in range(99)]\n"
    return in_module(name, source, throw=throw)


@pytest.mark.parametrize("error", [TimeLimit, SlowLimit, TimeoutError, GeneratorExit])
@pytest.mark.parametrize(
    "where",
    ["botocache.x", "redis.connection", "diskcache.core", "gevent.hub", "threading"],
)
def test_what_is_thrown_into_our_work_is_passed_on(
    where: str, error: type[BaseException]
) -> None:
    assert type(caught(thrown_in(where, error))) is error


# --- failures of our own work --------------------------------------------------------


def raised_in(name: str, error: Exception | type[Exception]) -> Callable[[], object]:
    """Return a function of a module that raises an error."""
    return in_module(name, "def work():\n    raise error\n", error=error)


def of_sqlite() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("nonsense")


def of_a_thread() -> object:
    future: Future[object] = Future()
    future.set_exception(OwnStoreError())
    return future.result()


FAILURES: dict[str, Callable[[], object]] = {
    "a bug of ours": raised_in("botocache.x", ZeroDivisionError("a bug")),
    "a store that is down": raised_in("botocache.x", StoreError("down")),
    "a server": raised_in("redis.connection", redis.ConnectionError("refused")),
    "a socket": raised_in("redis.connection", TimeoutError("timed out")),
    "a future": lambda: Future[object]().result(0.0),
    "a queue": lambda: queue.Queue[object]().get(timeout=0.0),
    "SQLite": of_sqlite,
    "diskcache": raised_in("diskcache.core", diskcache.Timeout),
    "the codec": lambda: msgspec.json.decode(b"{"),
    "the application's store": raised_in("shop.store", OwnStoreError()),
    "what that is built on": in_module(
        "shop.store", "def work():\n    get()\n", get=raised_in("lmdb", OwnStoreError())
    ),
    "a thread of that": of_a_thread,
    "deeper down": in_module(
        "botocache.x",
        "def work():\n    get()\n",
        get=raised_in("shop.store", TimeLimit),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_of_our_own_work_is_not_passed_on(name: str) -> None:
    assert caught(FAILURES[name]) is None


@pytest.mark.parametrize("name", FAILURES)
def test_what_the_application_is_handling_does_not_count(name: str) -> None:
    passed: object = "not reached"
    with handled_by(handler):
        try:
            send()
        except TimeLimit:
            passed = caught(FAILURES[name])
    assert passed is None


def test_a_cause_without_a_traceback_was_never_raised() -> None:
    def work() -> None:
        raise StoreError from KeyboardInterrupt()

    assert caught(work) is None
