"""Counters of what the cache did in this process, and the log of what failed."""

import logging
import math
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import count

from botocache._errors import pass_on
from botocache._forks import renew_after_fork


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of this process since the cache was installed.

    A BatchGetItem counts once for each key.

    hits: reads that the cache answered.
    near_hits: the hits among them that were served from this process's memory.
    misses: reads that were looked up and that DynamoDB answered.
    bypassed: reads that were neither looked up nor filled, because of `bypass()`, a
        table that is off, or a pending eviction.
    held: misses that were not filled, because a write was too recent.
    fills: entries that reads and writes have filled.
    writes: calls that have evicted.
    evicted: tags that these calls have evicted, each counted once per call.
    undelivered: tags whose eviction has failed and is pending now.
    failures: failures inside the cache, by kind: `{"load_failed": 2}`. The application
        sees none of them.
    """

    hits: int = 0
    near_hits: int = 0
    misses: int = 0
    bypassed: int = 0
    held: int = 0
    fills: int = 0
    writes: int = 0
    evicted: int = 0
    undelivered: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def hit_ratio(self) -> float:
        """The share of hits among the reads that were looked up; 0.0 without any."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else 0.0


class Counters:
    """Counts exactly, from any number of threads and in a forked child.

    With a lock, because a bare `+=` loses counts between threads. The lock costs some
    50 ns in every call.

    number_near_hit: counts a near hit, which counts as a hit, too. Returns its number,
        which no other near hit of this process has. A forked child has another function
        here than its parent.
    """

    number_near_hit: Callable[[], int]

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._near_hits = 0  # of the processes that this one was forked from
        self._begin_numbers()
        self._renew_lock()
        renew_after_fork(self, Counters._after_fork)

    def add(self, name: str, amount: int = 1) -> None:
        """Add `amount` to a count, named as in Stats."""
        with self._lock:
            self._counts[name] += amount

    def add_failure(self, kind: str) -> None:
        """Count a failure of a kind."""
        with self._lock:
            self._failures[kind] += 1

    def read(self, undelivered: int) -> Stats:
        """Return the current counts. undelivered: tags whose eviction is pending."""
        with self._lock:
            near_hits = self._count_near_hits()
            counts = self._counts + Counter(hits=near_hits, near_hits=near_hits)
            return Stats(
                **counts, undelivered=undelivered, failures=dict(self._failures)
            )

    def _count_near_hits(self) -> int:
        # To read the numbers advances them, too, so the reads are counted beside them.
        return self._near_hits + next(self._numbers) - next(self._reads)

    def _begin_numbers(self) -> None:
        # From anywhere: other processes, and the parent of a fork, number as well.
        first = int.from_bytes(os.urandom(6), "little")
        self._numbers, self._reads = count(first), count(first)
        # Atomic, a tenth of the time of a lock, and no frame of Python's on the path of
        # a near hit.
        self.number_near_hit = self._numbers.__next__

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # a signal handler may make calls in here

    def _after_fork(self) -> None:
        self._renew_lock()
        self._near_hits = self._count_near_hits()
        self._begin_numbers()


# --- the log -----------------------------------------------------------------------


class _Log:
    """The logger `botocache`. Each of its lines begins with "botocache: ".

    A handler of the application may fail, and without handlers `logging` writes to
    standard error, which may be gone. Neither may disturb a call.
    """

    def __init__(self) -> None:
        self._logger = logging.getLogger("botocache")

    def info(self, message: str, *arguments: object) -> None:
        """Log at INFO."""
        self._log(logging.INFO, message, arguments)

    def warning(self, message: str, *arguments: object) -> None:
        """Log at WARNING."""
        self._log(logging.WARNING, message, arguments)

    def error(self, message: str, *arguments: object) -> None:
        """Log at ERROR."""
        self._log(logging.ERROR, message, arguments)

    def shows_info(self) -> bool:
        """Return whether a line at INFO would go anywhere now."""
        return self._logger.isEnabledFor(logging.INFO) and self._logger.hasHandlers()

    def has_handlers(self) -> bool:
        """Return whether the application has configured logging."""
        return self._logger.hasHandlers()

    def _log(self, level: int, message: str, arguments: tuple[object, ...]) -> None:
        line = f"botocache: {message}"
        try:
            if self._is_printed(level):
                record = self._logger.makeRecord(
                    self._logger.name, level, "", 0, line, arguments, None
                )
                if self._logger.filter(record):
                    say(record.getMessage())
                return
            # `stacklevel`: the caller of `info`, `warning` or `error`.
            self._logger.log(level, line, *arguments, stacklevel=3)
        except Exception as error:  # noqa: BLE001 - the handlers are the application's
            pass_on(error)

    def _is_printed(self, level: int) -> bool:
        """Return whether `logging` would print a line on standard error by itself.

        Such a line goes through `say`, which leaves nothing behind in a buffer.
        """
        last = logging.lastResort  # the application may have put its own here
        return (
            last is not None
            and last is getattr(logging, "_defaultLastResort", last)
            and level >= last.level
            and not self._logger.hasHandlers()
            and self._logger.isEnabledFor(level)
        )


log = _Log()


def say(line: str) -> None:
    """Write a line to standard error, if there is one that takes it. Never raises."""
    stream = sys.stderr
    if stream is None:
        return  # print(file=None) would write among the application's output
    try:
        if type(stream) is TextIOWrapper:
            stream.flush()
            # Past its buffer: Python would try again at exit what the buffer holds, and
            # end a process whose standard error is full with status 120.
            text = f"{line}\n".encode(stream.encoding, "backslashreplace")
            os.write(stream.fileno(), text)
        else:  # the application's own
            stream.write(f"{line}\n")
            stream.flush()
    except Exception as error:  # noqa: BLE001 - it is full, closed, or the application's own
        pass_on(error)


def printable(text: str) -> str:
    """Return a text that every log takes, whatever the encoding of its file.

    Names of files come from the environment. In a process without a locale, `logging`
    would print a traceback instead of a line with other characters.
    """
    return text.encode("ascii", "backslashreplace").decode("ascii")


def text_of(error: BaseException) -> str:
    """Return the message of an error, in one line. Never raises."""
    try:
        return printable(" ".join(str(error).split()))
    except Exception as trouble:  # noqa: BLE001 - str() runs code of the error's class
        pass_on(trouble)
        return ""


_ABOUT_DATA = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, TypeError),
    ValueError,
)
"""What Python raises in code that works on data. Its messages repeat the data."""


def _trouble_of(error: BaseException) -> str:
    """Return the message of an error that came up in a call, without the call's data.

    In the place of a message that may repeat data stands where the error was raised.
    """
    if not isinstance(error, _ABOUT_DATA) or type(error).__module__ != "builtins":
        # Servers and proxies that do not know a command repeat its arguments.
        return text_of(error).partition(", with args")[0]
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return "no traceback"
    module = at.tb_frame.f_globals.get("__name__", "")
    return printable(f"in {module}, line {at.tb_lineno}")


def describe(error: BaseException) -> str:
    """Return the type and the message of an error, in one line. Never raises."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_logged: set[str] = set()

_MOST_LOGGED = 1000
"""Lines that are logged once. Some name a handler or a class, which may be made anew
for each client."""


def log_once(write: Callable[..., None], event: str, text: str) -> None:
    """Log a line, unless this process has logged it.

    write: `log.info` or `log.warning`.
    event: the name of what happened, with which the line begins.
    """
    if text not in _logged and len(_logged) < _MOST_LOGGED:
        _logged.add(text)
        write("%s: %s", event, text)


LOG_INTERVAL = 60.0
"""Seconds between two log lines about the same kind of failure."""


class FailureLog:
    """Counts and logs failures by kind.

    clock: the store's, in seconds.
    """

    def __init__(self, counters: Counters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._last: dict[str, float] = {}

    def report(self, kind: str, consequence: str, error: BaseException) -> None:
        """Count a failure and log it, at most once in LOG_INTERVAL for each kind.

        kind: an event name, such as `load_failed`.
        consequence: what botocache does about the failure.
        """
        self._counters.add_failure(kind)
        try:
            now = self._clock()
        except Exception as error_of_clock:  # noqa: BLE001 - the store may be the user's own, and this is its last report
            pass_on(error_of_clock)
            now = math.inf
        # Without a lock: two threads may both log, but neither waits.
        if now - self._last.get(kind, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._last[kind] = now
            log.warning(
                "%s: %s (%s: %s)",
                kind,
                consequence,
                type(error).__name__,
                _trouble_of(error),
            )
