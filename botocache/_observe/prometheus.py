"""The table of metrics as Counters, Gauges and Histograms of prometheus_client.

They are fed with what has grown since the last time. In multi-process mode, where each
process writes files that the others read, that is at each tick and at the end of the
process. In a single process it is whenever the registry is collected.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from prometheus_client import REGISTRY, CollectorRegistry, values
from prometheus_client import Counter as _Counter
from prometheus_client import Gauge as _Gauge
from prometheus_client import Histogram as _Histogram
from prometheus_client.metrics_core import Metric as _Family

from botocache._counting.stats import LATENCY_BOUNDS, Histogram
from botocache._errors import pass_on
from botocache._observe.metrics import METRICS, Join, Kind, Metric, prometheus_name
from botocache._observe.readings import Growth, Readings
from botocache._observe.replay import replayed

_Object: TypeAlias = _Counter | _Gauge | _Histogram

_JOINS = {Join.SUM: "livesum", Join.GREATEST: "max", Join.LATEST: "mostrecent"}


class PrometheusExporter:
    """The metrics of this process in a registry.

    registry: the default one, except in tests. An application that has its own
        registers the default one there.
    """

    def __init__(
        self, readings: Readings, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._readings: Final = readings
        self._growth: Final = Growth()
        # prometheus_client chooses this class at its import, by a variable that may be
        # gone by now, and has no public name for what it has chosen.
        self.is_asked: Final = not getattr(values.ValueClass, "_multiprocess", False)
        if self.is_asked:
            # Before the metrics: a registry collects in the order of registration.
            registry.register(_Feeder(self))
        self._objects: Final = {
            metric.name: _object(metric, registry) for metric in METRICS
        }

    def export(self) -> bool:
        """Feed what has grown, and return whether anything had."""
        totals = self._readings.read()
        # prometheus_client has counters that grow alone, so differences are fed.
        growth = self._growth.of(totals)
        # First: what is fed only in part must not be fed twice.
        self._growth.take(totals)
        is_changed = False
        for (name, labels), value in growth.items():
            of_all = self._objects[name]
            child = of_all.labels(*labels) if labels else of_all
            if isinstance(child, _Gauge):
                # Only if it changed: in multi-process mode each writes to a file.
                if not isinstance(value, Histogram) and _read(child) != value:
                    child.set(value)
                    is_changed = True
                continue
            is_changed = True
            if isinstance(value, Histogram):
                _feed(child, value)
            elif isinstance(child, _Counter):
                child.inc(value)
        return is_changed

    def end(self) -> None:
        """Feed the rest. In multi-process mode the files outlive the process."""
        self.export()
        if not self.is_asked:
            for metric in METRICS:
                gauge = self._objects[metric.name]
                # `livesum` leaves out dead processes only where a hook of the
                # server marks them as dead.
                if metric.join is Join.SUM and isinstance(gauge, _Gauge):
                    gauge.set(0.0)


class _Feeder:
    """Feeds the metrics that are registered after it, at each collection."""

    def __init__(self, exporter: PrometheusExporter) -> None:
        self._exporter: Final = exporter

    def describe(self) -> Iterable[_Family]:
        """Return nothing, at its registration."""
        return ()

    def collect(self) -> Iterator[_Family]:
        """Feed, and return nothing."""
        try:
            self._exporter.export()
        except Exception as error:  # noqa: BLE001 - the scrape shows other metrics, too
            pass_on(error)
        return iter(())


def _object(metric: Metric, registry: CollectorRegistry) -> _Object:
    name, labels = prometheus_name(metric), metric.labels
    match metric.kind:
        case Kind.COUNTER:
            return _Counter(name, metric.help, labels, registry=registry)
        case Kind.GAUGE:
            mode: Any = _JOINS[metric.join]
            return _Gauge(
                name, metric.help, labels, registry=registry, multiprocess_mode=mode
            )
        case Kind.HISTOGRAM:
            bounds = LATENCY_BOUNDS
            return _Histogram(
                name, metric.help, labels, registry=registry, buckets=bounds
            )


def _read(gauge: _Gauge) -> float:
    return float(gauge._value.get())  # noqa: SLF001 - to write it costs a file's page


def _feed(child: Any, growth: Histogram) -> None:
    """Add durations to a histogram by their buckets.

    There is no public way to add more than one. Where the parts of a histogram are not
    what they are in the versions that we know, each duration is added by itself.
    """
    buckets, total = getattr(child, "_buckets", None), getattr(child, "_sum", None)
    if buckets is None or total is None or len(buckets) != len(growth.counts):
        for seconds in replayed(growth):
            child.observe(seconds)
        return
    for bucket, count in zip(buckets, growth.counts, strict=True):
        if count:
            bucket.inc(count)
    total.inc(growth.seconds)
