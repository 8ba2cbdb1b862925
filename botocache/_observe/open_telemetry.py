"""The table of metrics as OpenTelemetry's instruments.

Counters and gauges are observable: the SDK asks for them when it collects, and calls
pay nothing. A histogram cannot be observed, so each collection records what is new in
ours. The instruments are those of the global MeterProvider, which may be set later.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from botocache._counting.stats import LATENCY_BOUNDS, Histogram
from botocache._errors import pass_on
from botocache._log import package_version
from botocache._observe.metrics import ATTRIBUTES, METRICS, Kind, Labels, Metric
from botocache._observe.readings import Growth, Readings, Totals
from botocache._observe.replay import replayed

_SYSTEM = {"db.system.name": "aws.dynamodb"}


class OpenTelemetryExporter:
    """The instruments of this process. The SDK keeps them, and so this object.

    provider: the global one, also if it is set later; tests have their own.
    """

    is_asked = True

    def __init__(
        self, readings: Readings, provider: metrics.MeterProvider | None = None
    ) -> None:
        self._readings: Final = readings
        self._growth: Final = Growth()
        self._totals: Totals | None = None
        meter = metrics.get_meter("botocache", package_version(), provider)
        self._histograms: Final = {
            metric.name: _histogram(meter, metric)
            for metric in METRICS
            if metric.kind is Kind.HISTOGRAM
        }
        for metric in METRICS:
            if metric.kind is Kind.HISTOGRAM:
                continue
            make = (
                meter.create_observable_counter
                if metric.kind is Kind.COUNTER
                else meter.create_observable_gauge
            )
            make(
                metric.name,
                [partial(self._observe, metric)],
                unit=metric.unit,
                description=metric.help,
            )

    def export(self) -> bool:
        """Do nothing: the SDK asks."""
        return False

    def end(self) -> None:
        """Do nothing: the SDK asks for the last time when it is shut down."""

    def _observe(self, metric: Metric, _: CallbackOptions) -> Iterator[Observation]:
        try:
            # Once in a collection, which begins with the first metric: all its values
            # are of one moment, and the counters are read once.
            if self._totals is None or metric is METRICS[0]:
                self._totals = self._readings.read()
                self._record_durations(self._totals)
            observations = [
                Observation(value, _attributes(metric, labels))
                for (name, labels), value in self._totals.items()
                if name == metric.name and not isinstance(value, Histogram)
            ]
        except Exception as error:  # noqa: BLE001 - the SDK would log a traceback
            pass_on(error)
            return
        yield from observations

    def _record_durations(self, totals: Totals) -> None:
        for (name, labels), growth in self._growth.of(totals).items():
            if isinstance(growth, Histogram):
                metric, instrument = self._histograms[name]
                attributes = _attributes(metric, labels)
                for seconds in replayed(growth):
                    instrument.record(seconds, attributes)
        self._growth.take(totals)


def _histogram(
    meter: metrics.Meter, metric: Metric
) -> tuple[Metric, metrics.Histogram]:
    make: Any = partial(
        meter.create_histogram, metric.name, unit=metric.unit, description=metric.help
    )
    try:
        return metric, make(explicit_bucket_boundaries_advisory=LATENCY_BOUNDS)
    except TypeError:  # before version 1.31 the SDK's own bounds are all there is
        return metric, make()


def _attributes(metric: Metric, labels: Labels) -> dict[str, str | Sequence[str]]:
    attributes: dict[str, str | Sequence[str]] = {}
    for name, value in zip(metric.labels, labels, strict=True):
        if name == "table":
            attributes |= _SYSTEM
            attributes[ATTRIBUTES[name]] = (value,)
        elif value:
            attributes[ATTRIBUTES.get(name, name)] = value
    return attributes
