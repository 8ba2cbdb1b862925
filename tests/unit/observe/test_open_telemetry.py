"""The table of metrics as OpenTelemetry's SDK collects it."""

from typing import Any

import pytest
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
)

from botocache._counting.stats import LATENCY_BOUNDS
from botocache._observe.metrics import METRICS, Kind
from botocache._observe.open_telemetry import OpenTelemetryExporter
from tests.support.counted import (
    BoardStore,
    Counted,
    durations,
    everything,
    readings_of,
)

DELTA = dict.fromkeys(
    (Counter, ObservableCounter, Histogram), AggregationTemporality.DELTA
)


class Collected:
    """A cache that is exported to a reader of its own."""

    def __init__(self, **temporality: Any) -> None:
        self.cache, self._store = Counted(), BoardStore(5, 600)
        self.reader = InMemoryMetricReader(**temporality)
        readings = readings_of(self.cache, store=self._store)
        provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.exporter = OpenTelemetryExporter(readings, provider)

    def collect(self) -> dict[str, Any]:
        """Return the metrics by their names."""
        data: Any = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def requests(self) -> dict[str, int]:
        """Return the reads by their result and tier."""
        return {
            f"{point.attributes['result']} {point.attributes.get('tier', '')}": (
                point.value
            )
            for point in self.collect()["botocache.requests"].data.data_points
            if point.value
        }


def test_each_metric_of_the_table_is_an_instrument_of_its_kind() -> None:
    collected = Collected()
    collected.cache.now = everything()
    found = collected.collect()
    assert set(found) == {metric.name for metric in METRICS}
    for metric in METRICS:
        it = found[metric.name]
        assert (it.unit, it.description) == (metric.unit, metric.help)
        assert (
            type(it.data).__name__
            == {
                Kind.COUNTER: "Sum",
                Kind.GAUGE: "Gauge",
                Kind.HISTOGRAM: "Histogram",
            }[metric.kind]
        )
        if metric.kind is Kind.COUNTER:
            assert it.data.is_monotonic


def test_attributes_have_the_names_of_the_conventions_for_dynamodb() -> None:
    collected = Collected()
    collected.cache.set(near_hits=3, unfilled={"held": 1}, misses=1)
    found = collected.collect()
    attributes = [
        dict(point.attributes)
        for name in ("botocache.requests", "botocache.unfilled")
        for point in found[name].data.data_points
        if point.value
    ]
    of_table = {
        "db.system.name": "aws.dynamodb",
        "db.operation.name": "GetItem",
        "aws.dynamodb.table_names": ("users",),
    }
    assert attributes == [
        {**of_table, "result": "hit", "tier": "near"},
        {**of_table, "result": "held"},
        {**of_table, "reason": "held"},
    ]


@pytest.mark.parametrize("temporality", [{}, {"preferred_temporality": DELTA}])
def test_counters_follow_the_cache(temporality: dict[str, Any]) -> None:
    collected = Collected(**temporality)
    collected.cache.set(near_hits=3, misses=1)
    assert collected.requests() == {"hit near": 3, "miss ": 1}
    collected.cache.set(near_hits=10, misses=1)
    expected = {"hit near": 7} if temporality else {"hit near": 10, "miss ": 1}
    assert collected.requests() == expected


@pytest.mark.parametrize("temporality", [{}, {"preferred_temporality": DELTA}])
def test_histograms_have_the_buckets_counts_and_seconds_of_ours(
    temporality: dict[str, Any],
) -> None:
    collected = Collected(**temporality)
    rounds = [(3e-6, 7e-6, 7e-6, 0.004), (0.004, 0.03, 12.0)]
    seen: list[float] = []
    for each in rounds:
        seen = [*each] if temporality else [*seen, *each]
        so_far = [s for r in rounds[: rounds.index(each) + 1] for s in r]
        collected.cache.set(miss_latency=durations(*so_far))
        [point] = collected.collect()["botocache.request.duration"].data.data_points
        assert tuple(point.explicit_bounds) == LATENCY_BOUNDS
        assert tuple(point.bucket_counts) == durations(*seen).counts
        assert point.sum == pytest.approx(sum(seen))


def test_of_very_many_durations_a_sample_is_recorded() -> None:
    collected = Collected()
    many = [3e-6] * 90_000 + [7e-6] * 9_999 + [0.004]
    collected.cache.set(near_latency=durations(*many))
    [point] = collected.collect()["botocache.request.duration"].data.data_points
    # A thousandth of 100,000 is none; what there is must show all the same.
    assert [n for n in point.bucket_counts if n] == [900, 100, 1]


def test_each_reader_gets_the_same() -> None:
    collected = Collected()
    other = InMemoryMetricReader()
    store = BoardStore(5, 600)
    readings = readings_of(collected.cache, store=store)
    provider = MeterProvider([collected.reader.__class__(), other])
    OpenTelemetryExporter(readings, provider)
    collected.cache.set(near_hits=3, miss_latency=durations(0.004))
    data: Any = other.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    assert {metric.name for metric in metrics} >= {
        "botocache.requests",
        "botocache.request.duration",
    }
    provider.shutdown()
