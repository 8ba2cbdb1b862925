"""The log: one logger, event names, and nothing that can disturb a call."""

import logging
import math
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

from botocache._counting.counters import Counters
from botocache._errors import pass_on


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

    def print_all(self) -> None:
        """Print each line on standard error, with its time: for a program of ours."""
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._logger.addHandler(handler)
        self._logger.setLevel(logging.INFO)

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


def package_version() -> str:
    """Return the version of this package, for what says who wrote it."""
    # Not by an import: the package's own file stands above all rooms that ask.
    return str(getattr(sys.modules.get("botocache"), "__version__", ""))


LOG_INTERVAL = 60.0
"""Seconds between two log lines about the same kind of failure."""


class FailureLog:
    """Counts and logs failures by kind.

    clock: the store's, in seconds.
    """

    def __init__(self, counters: Counters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def report(self, kind: str, consequence: str, error: BaseException) -> None:
        """Count a failure and log it, at most once in LOG_INTERVAL for each kind.

        A line says how many failures of its kind came up since the last line.

        kind: an event name, such as `load_failed`.
        consequence: what botocache does about the failure.
        """
        self._counters.add_failure(kind)
        try:
            now = self._clock()
        except Exception as error_of_clock:  # noqa: BLE001 - the store may be the user's own, and this is its last report
            pass_on(error_of_clock)
            now = math.inf
        # Without a lock: two threads may both log or lose a count, but neither waits.
        since = self._unlogged.get(kind, 0) + 1
        if now - self._logged_at.get(kind, -LOG_INTERVAL) < LOG_INTERVAL:
            self._unlogged[kind] = since
            return
        self._logged_at[kind] = now
        self._unlogged[kind] = 0
        log.warning(
            "%s: %s%s (%s: %s)",
            kind,
            consequence,
            f"; {since} failures since the last line" if since > 1 else "",
            type(error).__name__,
            _trouble_of(error),
        )
