"""The table of metrics as prometheus_client exposes it, in a single process."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from botocache._counting.stats import LATENCY_BOUNDS
from botocache._observe import prometheus
from botocache._observe.metrics import METRICS, prometheus_name
from botocache._observe.prometheus import PrometheusExporter
from tests.support.counted import (
    BoardStore,
    Counted,
    durations,
    everything,
    readings_of,
)

OF_TABLE = {"table": "users", "operation": "GetItem"}


class Scraped:
    """A cache whose registry is scraped."""

    def __init__(self) -> None:
        self.cache, self._store = Counted(), BoardStore(5, 600)
        self.registry = CollectorRegistry()
        readings = readings_of(self.cache, store=self._store)
        self.exporter = PrometheusExporter(readings, self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        """Return a sample of one scrape."""
        text = generate_latest(self.registry).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None


def test_each_metric_of_the_table_is_exposed_with_its_help_and_type() -> None:
    scraped = Scraped()
    scraped.cache.now = everything()
    text = generate_latest(scraped.registry).decode()
    families = {
        each.name: each
        for each in text_string_to_metric_families(text)
        if not each.name.endswith("_created")  # which the library adds
    }
    assert len(families) == len(METRICS)
    for metric in METRICS:
        family = families[prometheus_name(metric).removesuffix("_total")]
        assert family.documentation == metric.help
        assert family.type == metric.kind.value
        names = {name for sample in family.samples for name in sample.labels}
        assert names - {"le"} == set(metric.labels)
        assert family.samples


def test_a_scrape_shows_the_counts_of_its_moment() -> None:
    scraped = Scraped()
    labels = {**OF_TABLE, "result": "hit", "tier": "near"}
    for hits in (3, 10, 10, 11):
        scraped.cache.set(near_hits=hits)
        assert scraped.value("botocache_requests_total", **labels) == hits
    assert scraped.value("botocache_store_entries") == 5


@pytest.mark.parametrize("has_parts", [True, False])
def test_a_histogram_has_our_buckets_counts_and_seconds(
    has_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_parts:  # another version, whose parts have other names
        monkeypatch.setattr(prometheus, "LATENCY_BOUNDS", LATENCY_BOUNDS[:-1])
    scraped = Scraped()
    labels = {**OF_TABLE, "result": "miss", "tier": ""}
    seconds: tuple[float, ...] = ()
    for more in ((7e-6, 0.004), (0.004, 0.3)):
        seconds += more
        scraped.cache.set(miss_latency=durations(*seconds))
        name = "botocache_request_duration_seconds"
        assert scraped.value(f"{name}_count", **labels) == len(seconds)
        assert scraped.value(f"{name}_sum", **labels) == pytest.approx(sum(seconds))
        for bound in (5e-6, 1e-5, 0.005, 0.5):
            bucket = scraped.value(f"{name}_bucket", **labels, le=str(bound))
            assert bucket == sum(each <= bound for each in seconds)


def test_a_gauge_follows_up_and_down() -> None:
    scraped = Scraped()
    for undelivered in (0, 4, 1, 0):
        stats = everything()
        scraped.cache.now = stats.__class__(undelivered=undelivered)
        assert scraped.value("botocache_undelivered_evictions") == undelivered


def test_a_registry_of_the_application_may_show_the_default_one() -> None:
    scraped, own = Scraped(), CollectorRegistry()
    own.register(scraped.registry)
    scraped.cache.set(fills=3)
    assert own.get_sample_value("botocache_fills_total", OF_TABLE) == 3
