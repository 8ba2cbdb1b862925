"""The exporters of this process, and what calls tell them.

One of each kind for all caches together, because the systems behind them take a metric
once in a process. Each imports its library when the process makes its first call, not
when the cache is installed: an application may still choose how that library works, by
variables that are read at its import.
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
    """What `metrics` has switched on in this process. Calls tell it that they are made.

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
        if name == "otel" and "opentelemetry.trace" in sys.modules:
            # The first hits, too, may be in a span.
            self.spans.begin()

    # --- for calls -----------------------------------------------------------------

    def on_call(self) -> None:
        """Note that something was counted. Never raises."""
        if self.ticker.is_resting:
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

    # --- the work ------------------------------------------------------------------

    def _export(self) -> bool:
        """Export; return whether anything had changed. Raises nothing."""
        with self._lock:
            self._make()
            changed = [self._try(name, Exporter.export) for name in [*self._exporters]]
            if all(each.is_asked for each in self._exporters.values()):
                self.ticker.retire()
            return any(changed)

    def _end(self) -> None:
        with self._lock:
            self._make()
            for name in [*self._exporters]:
                self._try(name, Exporter.end)

    def _try(self, name: str, method: Callable[[Exporter], object]) -> bool:
        exporter = self._exporters[name]
        try:
            return bool(getattr(exporter, method.__name__)())
        except Exception as error:  # noqa: BLE001 - the system behind it is not ours
            pass_on(error)
            _say_failed(name, error)
            return False

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

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()


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
        _exports.append(
            Exports(
                is_lambda="AWS_LAMBDA_FUNCTION_NAME" in os.environ,
                interval=interval or _DEFAULT_INTERVAL,
            )
        )
    exports = _exports[0]
    for name in names:
        exports.want(name)
    return exports
