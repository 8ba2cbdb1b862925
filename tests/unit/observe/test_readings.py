"""What exporters get: sums of all caches that never fall, and gauges of now."""

import gc
from dataclasses import replace
from typing import Any

import pytest

from botocache._counting.stats import Histogram, Stats, TableStats
from botocache._observe.metrics import METRICS, Kind, prometheus_name
from botocache._observe.readings import Growth, Readings, Totals
from tests.support.clock import FakeClock
from tests.support.counted import (
    BoardStore,
    Counted,
    durations,
    everything,
    readings_of,
)
from tests.support.processes import forked

PLACE = ("users", "GetItem")


def requests(totals: Totals) -> dict[tuple[str, ...], object]:
    """Return the reads of PLACE by result and tier, without those that are 0."""
    return {
        labels[2:]: value
        for (name, labels), value in totals.items()
        if name == "botocache.requests" and labels[:2] == PLACE and value
    }


# --- the table -----------------------------------------------------------------------


def test_names_are_unique_and_end_as_each_system_wants_it() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("botocache.")
        assert metric.help.endswith(".")
        name = prometheus_name(metric)
        assert name.endswith("_total") is (metric.kind is Kind.COUNTER)
        assert name.endswith("_seconds") is (metric.unit == "s")


def test_each_value_has_a_label_for_each_name() -> None:
    seen = set()
    cache, store = Counted(), BoardStore(5, 600)
    cache.now = everything()
    for name, labels in readings_of(cache, store=store).read():
        metric = next(each for each in METRICS if each.name == name)
        assert len(labels) == len(metric.labels)
        seen.add(name)
    assert seen == {metric.name for metric in METRICS}


def test_the_results_of_reads_are_disjoint_and_add_up_to_all_reads() -> None:
    cache = Counted()
    cache.now = everything()
    found = requests(readings_of(cache).read())
    assert found == {
        ("hit", "near"): 1000,
        ("hit", "store"): 191,  # 200, of which 9 are stale
        ("stale", "store"): 9,
        ("miss", ""): 34,  # 40, of which 6 are held
        ("held", ""): 6,
        ("bypass", ""): 7,
    }
    assert sum(float(str(each)) for each in found.values()) == 1000 + 200 + 40 + 7


# --- sums ----------------------------------------------------------------------------


def test_the_counts_of_several_caches_are_one_sum() -> None:
    first, second = Counted(near_hits=3), Counted(near_hits=4)
    readings = readings_of(first, second)
    assert requests(readings.read()) == {("hit", "near"): 7}
    second.set(near_hits=6)
    assert requests(readings.read()) == {("hit", "near"): 9}


def test_a_cache_that_is_gone_stays_in_the_sums() -> None:
    first, second = Counted(near_hits=3), Counted(near_hits=4)
    readings = readings_of(first, second)
    readings.read()
    del first
    gc.collect()
    second.set(near_hits=5)
    assert requests(readings.read()) == {("hit", "near"): 8}


def test_a_miss_that_turns_out_to_be_held_lets_no_counter_fall() -> None:
    cache = Counted(misses=5)
    readings = readings_of(cache)
    assert requests(readings.read()) == {("miss", ""): 5}
    cache.set(misses=5, unfilled={"held": 1})
    assert requests(readings.read()) == {("miss", ""): 5, ("held", ""): 1}
    cache.set(misses=7, unfilled={"held": 1})
    assert requests(readings.read()) == {("miss", ""): 6, ("held", ""): 1}


def test_a_hit_that_turns_out_to_be_stale_lets_no_counter_fall() -> None:
    cache = Counted(store_hits=5)
    readings = readings_of(cache)
    readings.read()
    cache.set(store_hits=5, differing={"lasting": 2})
    found = requests(readings.read())
    assert found == {("hit", "store"): 5, ("stale", "store"): 2}


# --- gauges --------------------------------------------------------------------------


def test_a_gauge_of_caches_is_their_sum_or_the_greatest() -> None:
    first, second = Counted(stale_seconds=3.0), Counted(stale_seconds=8.0)
    first.now = replace(first.now, undelivered=2)
    second.now = replace(second.now, undelivered=5)
    totals = readings_of(first, second).read()
    assert totals["botocache.undelivered_evictions", ()] == 7
    assert totals["botocache.staleness", PLACE] == 8
    first.now = replace(first.now, undelivered=0)
    second.now = replace(second.now, undelivered=0)
    totals = readings_of(first, second).read()
    assert totals["botocache.undelivered_evictions", ()] == 0


def test_a_store_that_caches_share_counts_once() -> None:
    shared, own = BoardStore(5, 600), BoardStore(1, None)
    caches = [Counted() for _ in range(3)]
    readings = Readings()
    for cache, store in zip(caches, (shared, shared, own), strict=True):
        readings.add(cache, store)
    totals = readings.read()
    assert totals["botocache.store.entries", ()] == 6
    assert totals["botocache.store.size", ()] == 600


def test_a_store_is_asked_for_its_usage_once_in_ten_seconds_at_most() -> None:
    clock, store, cache = FakeClock(), BoardStore(5, 600), Counted()
    readings = Readings(clock)
    readings.add(cache, store)
    for seconds, reads in ((0, 1), (9, 1), (2, 2)):
        clock.advance(seconds)
        assert readings.read()["botocache.store.entries", ()] == 5
        assert store.reads == reads
    store.is_failing = True
    clock.advance(11)
    assert ("botocache.store.entries", ()) not in readings.read()
    readings.read()
    assert store.reads == 3


# --- growth --------------------------------------------------------------------------


def test_growth_is_what_was_not_taken_yet() -> None:
    cache, growth = Counted(fills=2, miss_latency=durations(0.004)), Growth()
    readings = readings_of(cache)
    fills, duration = ("botocache.fills", PLACE), "botocache.request.duration"
    misses = (duration, (*PLACE, "miss", ""))
    for _ in range(2):  # nothing was taken
        grown = growth.of(readings.read())
        assert grown[fills] == 2
        assert grown[misses] == durations(0.004)
    growth.take(readings.read())
    assert fills not in growth.of(readings.read())
    cache.set(fills=5, miss_latency=durations(0.004, 0.25, 0.5))
    grown = growth.of(readings.read())
    assert grown[fills] == 3
    assert grown[misses] == durations(0.25, 0.5)


def test_a_counter_shows_from_its_first_zero_on() -> None:
    cache, growth = Counted(misses=1), Growth()
    grown = growth.of(readings_of(cache).read())
    assert grown["botocache.requests", (*PLACE, "hit", "near")] == 0


# --- a fork --------------------------------------------------------------------------


def test_a_forked_child_exports_its_own_counts_alone() -> None:
    cache, growth = Counted(near_hits=3, miss_latency=durations(0.004)), Growth()
    readings = readings_of(cache)
    growth.take(readings.read())
    cache.set(near_hits=5, miss_latency=durations(0.004, 0.1))  # still to be exported

    def child(pipe: Any) -> None:
        before = requests(readings.read())
        cache.set(near_hits=9, miss_latency=durations(0.004, 0.1, 0.5))
        grown = growth.of(readings.read())
        latencies = [each for each in grown.values() if isinstance(each, Histogram)]
        pipe.send((before, requests(grown), latencies))

    with forked(child) as pipe:
        assert pipe.recv() == ({}, {("hit", "near"): 4}, [durations(0.5)])
    assert requests(growth.of(readings.read())) == {("hit", "near"): 2}


@pytest.mark.parametrize("stats", [Stats(), Stats(tables=(TableStats("t", "Scan"),))])
def test_a_cache_that_counted_nothing_has_no_series_but_gauges(stats: Stats) -> None:
    cache = Counted()
    cache.now = stats
    assert readings_of(cache).read() == {("botocache.undelivered_evictions", ()): 0}
