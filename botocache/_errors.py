"""The tree of errors.

Two of them reach an application: ConfigError when it installs the cache, and
EvictionError from a write, if a setting asks for that. The others travel inside, from a
store or the codec to the failure policy in cache.py.

What interrupts our work is no error of ours: see `pass_on`.
"""

import functools
import signal
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import CodeType, FrameType, TracebackType
from typing import Any, ClassVar, NoReturn, TypeVar

_T = TypeVar("_T")


class BotocacheError(Exception):
    """Base of every error that botocache raises."""


class ConfigError(BotocacheError, ValueError):
    """A setting or an install target is wrong; the message says what is accepted."""


class EvictionError(BotocacheError, RuntimeError):
    """A write was not sent, because the entries that it changes could not be evicted.

    Raised only with `on_eviction_failure="refuse"`, and never for a read. Nothing was
    written: the application may make the same call again.
    """


class StoreError(BotocacheError):
    """A request to a store failed; it may have been carried out all the same.

    is_alive: the store still responds, so another request in the same call will not
        run into the timeout again.
    """

    is_alive: ClassVar[bool] = False


class EntryError(StoreError):
    """A store cannot reach its entries now, but its generations: it can still evict."""

    is_alive = True


class QueueFullError(EntryError):
    """A store has more entries to write than may wait, and has dropped some.

    That is no failure of the store, so it counts and is not reported.
    """


class StoreUnavailableError(StoreError):
    """This process cannot have a store: its environment lacks what a store needs.

    Raised when a store is opened, not by a verb. The message says what is missing and
    what to do. The settings are right, so the application starts, and runs uncached.
    """


class StoreConnectingError(StoreError):
    """A read did not wait any longer for a connection, which is still being made.

    Each process starts like that, so it is no failure and not reported. An eviction
    that has no connection in time raises a StoreError.
    """

    is_alive = True


class StoreSkippedError(StoreError):
    """A call skipped the store, because the store failed earlier in the same call.

    `__cause__` is that failure, which was reported when it happened.
    """


class StoreLostError(StoreError):
    """A store lost its generations and hold-offs. Raised once in each process.

    Lost generations only cost misses. Lost hold-offs do harm: another process may fill
    the old item that its eventually consistent read still saw. So everything must be
    evicted.
    """

    is_alive = True


class CodecError(BotocacheError):
    """An answer cannot be encoded, or a store's bytes are no entry of this version."""


def assert_never(value: NoReturn) -> NoReturn:
    """Prove to the type checker that a union is exhausted.

    typing.assert_never needs Python 3.11.
    """
    raise AssertionError(f"unexpected {value!r}")


def is_alive(error: Exception) -> bool:
    """Return whether a store that raised this still responds; see StoreError."""
    return isinstance(error, StoreError) and error.is_alive


_LONGEST_NAME = 100
"""Characters of a name that may be a misspelt one. To compare takes long."""


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: "; did you mean ...?".

    Empty if no known name is similar.
    """
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return ""
    spellings = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), spellings, n=1)
    return f"; did you mean {spellings[near[0]]!r}?" if near else ""


def hint(name: object, known: Iterable[str]) -> str:
    """Return a suggestion, or the list of all known names if none is similar."""
    return suggestion(name, known) or f"; known: {', '.join(known)}"


# --- what an object shows of itself ------------------------------------------------


def shows(*names: str) -> Callable[[type[_T]], type[_T]]:
    """Let the `repr` of a class show these attributes of its instances, and no other.

    For each class that holds an item, a key or a credential: objects get into logs and
    into reports of errors.
    """

    def shown(self: object) -> str:
        parts = [f"{name}={getattr(self, name)!r}" for name in names]
        return f"<{' '.join([type(self).__name__, *parts])}>"

    def change(kind: type[_T]) -> type[_T]:
        kind.__repr__ = shown  # type: ignore[method-assign]  # of all classes
        return kind

    return change


# --- what others raise in the middle of our work -----------------------------------

_OURS = frozenset(
    {
        *sys.stdlib_module_names,
        *("botocache", "msgspec", "diskcache", "redis", "hiredis", "zstandard"),
        *("botocore", "boto3", "awscrt", "urllib3", "cryptography", "OpenSSL"),
    }
)
"""Packages that do our work. What they raise is of a type of theirs, or built in."""

_BETWEEN = frozenset(
    {
        *("gevent", "greenlet", "eventlet", "wrapt", "opentelemetry", "ddtrace"),
        *("newrelic", "sentry_sdk", "elasticapm", "aws_xray_sdk"),
    }
)
"""Packages whose frames stand between ours, and which pass on what is thrown there."""


_BARE_TIMEOUTS = (["concurrent"], ["asyncio"])
"""Packages that raise a TimeoutError without arguments; sockets and locks do not."""


def pass_on(error: BaseException) -> Exception:
    """Raise what interrupted our work, if that is what this error is or comes from.

    Call it in each `except Exception`, once the state is right. A time limit may be an
    exception that a signal handler raises, or that another thread or greenlet throws.
    It comes up wherever our work is at that moment, and the application waits for it.

    Returns the error if our work itself failed: a store, the codec, a bug.
    """
    interruption = _interruption_of(error)
    if interruption is not None or not isinstance(error, Exception):
        raise interruption or error
    return error


def _interruption_of(error: BaseException) -> BaseException | None:
    """Return what interrupted our work, if this error is it or comes from it."""
    callers = _callers_of(error)
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        at = found.__traceback__
        # An application may call us while it handles an error: that one is no cause.
        if at is None or id(at.tb_frame) in callers:
            return None
        if _is_interruption(found):
            return found
        # redis-py and our stores raise errors of their own in its place.
        found = found.__cause__ or found.__context__
    return None


def _callers_of(error: BaseException) -> set[int]:
    """Return the ids of the frames that have called the one which caught an error."""
    callers: set[int] = set()
    at = error.__traceback__
    if at is not None:
        frame = at.tb_frame.f_back
        while frame is not None:
            callers.add(id(frame))
            frame = frame.f_back
    return callers


def _is_interruption(error: BaseException) -> bool:
    """Return whether an error did not come out of the work in its traceback."""
    if not isinstance(error, Exception):
        return True  # it ends the thread, the greenlet or the process
    at: TracebackType | None = error.__traceback__
    before: FrameType | None = None
    packages: list[str] = []
    codes: set[CodeType] = set()
    while at is not None:
        frame = at.tb_frame
        if before is not None and _is_handler(frame, before):
            return True
        packages.append(_package(frame.f_globals.get("__name__")))
        codes.add(frame.f_code)
        before, at = frame, at.tb_next
    # What another thread or greenlet throws has no frame of its own. A store, a redis
    # client or a credential provider of the application's has: its errors are its
    # failures. The first frame is the one that has caught the error, and ours.
    if not {*packages[1:]} <= _OURS | _BETWEEN:
        # A handler may have deleted its arguments: `del signum, frame`.
        return not codes.isdisjoint(_codes_of_handlers())
    if type(error) is TimeoutError and not error.args:  # often a bare class is thrown
        return packages[-1:] not in _BARE_TIMEOUTS
    return _package(type(error).__module__) not in _OURS


def _is_handler(frame: FrameType, interrupted: FrameType) -> bool:
    """Return whether a frame is that of a signal handler, or of a trace function.

    Python calls those with the frame that they interrupt.
    """
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & CO_VARARGS) + bool(code.co_flags & CO_VARKEYWORDS)
    local = frame.f_locals
    for name in code.co_varnames[:count]:
        value = local.get(name)
        if value is interrupted:
            return True
        if type(value) is tuple and any(each is interrupted for each in value):
            return True
    return False


def _codes_of_handlers() -> set[CodeType]:
    """Return the code of each signal handler that is written in Python."""
    codes = set()
    for number in range(1, signal.NSIG):
        handler: Any = signal.getsignal(number)
        while isinstance(handler, functools.partial):
            handler = handler.func
        for function in (handler, vars(type(handler)).get("__call__")):
            code = getattr(function, "__code__", None)  # a method has its function's
            if isinstance(code, CodeType):
                codes.add(code)
    return codes


def _package(module: object) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""
