"""The exporters of this process, and the events of calls that reach them.

One of each kind for all caches together, because the systems behind them take a metric
once in a process. Each imports its library when the process makes its first call, not
when the cache is installed: an application may still choose how that library works, by
variables that are read at its import.

A fork must find no thread of ours in foreign code: the child would wait for ever for a
lock that it held. So calls import, never the ticker's thread; and a fork waits until an
export is over.
"""

import os
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Final, Protocol

from botocache._errors import pass_on
from botocache._forks import renew_after_fork
from botocache._log import describe, log, log_once
from botocache._observe.readings import Readings
from botocache._observe.spans import HitSpans
from botocache._observe.ticker import Ticker

_DEFAULT_INTERVAL = 10.0
"""Seconds between two exports if `stats_interval` is 0, which is about posts alone."""

_FORK_PATIENCE = 1.0
"""Seconds that a fork waits for an export; reading a store's usage may take long."""


class Exporter(Protocol):
    """Hands the readings of this process on to one system.

    is_asked: the system asks for readings by itself, so ticks are of no use.
    """

    @property
    def is_asked(self) -> bool:
        """Whether the system asks for readings by itself."""

    def export(self) -> bool:
        """Hand on what has changed, and return whether anything had. May raise."""

    def end(self) -> None:
        """Hand on the rest as the process ends. May raise."""


def _open_telemetry(readings: Readings) -> Exporter:
    from botocache._observe.open_telemetry import OpenTelemetryExporter

    return OpenTelemetryExporter(readings)


def _prometheus(readings: Readings) -> Exporter:
    from botocache._observe.prometheus import PrometheusExporter

    return PrometheusExporter(readings)


def _cloudwatch(readings: Readings) -> Exporter:
    from botocache._observe.cloudwatch import CloudWatchExporter

    return CloudWatchExporter(readings)


_MAKERS: Final[dict[str, Callable[[Readings], Exporter]]] = {
    "otel": _open_telemetry,
    "prometheus": _prometheus,
    "cloudwatch": _cloudwatch,
}
"""By the name in the setting `metrics`."""

_NEEDED: Final = {"otel": "opentelemetry.metrics", "prometheus": "prometheus_client"}
"""The module that an exporter imports."""


class Exports:
    """What `metrics` has switched on in this process. Each call reports to it.

    is_lambda: the process runs on AWS Lambda.
    interval: seconds between two exports.
    """

    def __init__(self, *, is_lambda: bool, interval: float) -> None:
        self.readings: Final = Readings()
        self.spans: Final = HitSpans()
        self._wanted: list[str] = []
        self._exporters: dict[str, Exporter] = {}
        self._renew_lock()
        self.ticker: Final = Ticker(self._export, self._end, interval, inline=is_lambda)
        renew_after_fork(self, Exports._renew_lock)

    def want(self, name: str) -> None:
        """Make an exporter at the first call; log if its library is missing."""
        if name in self._wanted or _lacks_library(name):
            return
        self._wanted.append(name)
        self.ticker.is_resting = True
        if name == "otel" and "opentelemetry.trace" in sys.modules:
            # The first hits, too, may be in a span.
            self.spans.begin()

    # --- for calls -----------------------------------------------------------------

    def on_call(self) -> None:
        """Note that something was counted. Never raises."""
        if not self.ticker.is_resting:
            return
        with self._lock:
            self._make()
        if all(each.is_asked for each in self._exporters.values()):
            self.ticker.is_resting = False  # for good: no thread is needed
        else:
            self.ticker.touch()

    def on_hit(
        self, table: str, operation: str, tier: str, age: float, hits: int = 1
    ) -> None:
        """Show hits in the current span, if one is recording. See CallObserver."""
        self.on_call()
        try:
            self.spans.add(table, operation, tier, age, hits)
        except Exception as error:  # noqa: BLE001 - the tracer is the application's
            pass_on(error)
            _say_failed("otel", error)

    def on_stale(self, table: str, operation: str, age: float, reads: int) -> None:
        """Show stale answers in the current span. See CallObserver."""
        try:
            self.spans.add(table, operation, "store", age, reads, "stale")
        except Exception as error:  # noqa: BLE001 - the tracer is the application's
            pass_on(error)
            _say_failed("otel", error)

    def on_close(self) -> None:
        """Export what was counted. See CallObserver."""
        self.ticker.pause()

    # --- the work ------------------------------------------------------------------

    def _export(self) -> bool:
        """Export; return whether anything had changed. Raises nothing."""
        with self._lock:
            # A list: each must be tried.
            return any([*map(self._try_export, self._exporters)])

    def _end(self) -> None:
        with self._lock:
            for name in self._exporters:
                self._try_end(name)

    def _try_export(self, name: str) -> bool:
        try:
            return self._exporters[name].export()
        except Exception as error:  # noqa: BLE001 - the system behind it is not ours
            pass_on(error)
            _say_failed(name, error)
            return False

    def _try_end(self, name: str) -> None:
        try:
            self._exporters[name].end()
        except Exception as error:  # noqa: BLE001 - the system behind it is not ours
            pass_on(error)
            _say_failed(name, error)

    def _make(self) -> None:
        for name in self._wanted:
            if name in self._exporters:
                continue
            try:
                self._exporters[name] = _MAKERS[name](self.readings)
                if name == "otel":
                    self.spans.begin()
            except Exception as error:  # noqa: BLE001 - a library, or its configuration
                pass_on(error)
                self._wanted = [each for each in self._wanted if each != name]
                _say_failed(name, error)

    def before_fork(self) -> None:
        """End the thread, and have no export until `after_fork`.

        Python warns of a fork of a process with threads, and the application asked for
        none. The next call starts another one.
        """
        self.ticker.rest()
        self._is_held = self._lock.acquire(timeout=_FORK_PATIENCE)

    def after_fork(self) -> None:
        """Allow exports again, in the parent. The child has a lock of its own."""
        if self._is_held:
            self._lock.release()

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()
        self._is_held = False


def _say_failed(name: str, error: Exception) -> None:
    log_once(log.warning, "metrics_not_exported", f"metrics={name}: {describe(error)}")


def _lacks_library(name: str) -> bool:
    """Return whether the library of an exporter is missing; log that, once."""
    if name not in _NEEDED:
        return False
    try:
        is_there = find_spec(_NEEDED[name]) is not None
    except (ImportError, ValueError):
        is_there = False
    if not is_there:
        log_once(
            log.warning,
            "metrics_not_exported",
            f"metrics={name} needs a library: pip install 'botocache-dynamodb[{name}]'",
        )
    return not is_there


_exports: list[Exports] = []
"""None or one: that of the process."""


def exports_for(names: tuple[str, ...], interval: float) -> Exports:
    """Return the exports of this process, with some more exporters switched on."""
    if not _exports:
        is_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
        made = Exports(is_lambda=is_lambda, interval=interval or _DEFAULT_INTERVAL)
        if hasattr(os, "register_at_fork"):  # all but Windows
            # It cannot be undone, which is why a process has one of these for good.
            os.register_at_fork(
                before=made.before_fork, after_in_parent=made.after_fork
            )
        _exports.append(made)
    exports = _exports[0]
    for name in names:
        exports.want(name)
    return exports
