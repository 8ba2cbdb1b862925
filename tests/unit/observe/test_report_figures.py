"""The figures of a report, from overviews that are made up."""

import math
from dataclasses import replace
from typing import Any

import pytest

from botocache._counting.stats import Stats, TableStats
from botocache._observe.records import Overview, Point
from botocache._observe.report.figures import (
    BOTH,
    MOST_STEPS,
    SERVING,
    SHADOW,
    Figures,
    figures,
)
from botocache._settings.prices import Prices
from tests.support.report_overviews import (
    NOTHING,
    NOW,
    ONLY_WRITES,
    hostile,
    process,
    stats_of,
    twenty_seconds,
    two_weeks,
)

MINUTE = int(NOW // 60)


def of(overview: Overview, days: float | None = None) -> Figures:
    return figures(overview, Prices(), days)


def overview_of(
    *points: Point, row: TableStats | None = None, **more: object
) -> Overview:
    """Return an overview of one process, which began an hour ago."""
    row = row or TableStats("t", "GetItem")
    started = more.pop("started", NOW - 3600)
    return Overview(
        (process(stats_of(row), started=started, **more),),  # type: ignore[arg-type]
        points=points,
        read_at=NOW,
    )


# --- what was saved ----------------------------------------------------------------


def test_without_counters_there_are_no_figures() -> None:
    shown = of(NOTHING)
    assert shown.is_empty
    assert (shown.saved, shown.consumed, shown.share, shown.seconds) == (0, 0, 0, 0)
    assert shown.money is None


def test_a_process_that_only_writes_is_something_to_show() -> None:
    shown = of(ONLY_WRITES)
    assert not shown.is_empty
    assert shown.total.writes == 40


def test_the_exact_counters_are_preferred_to_the_points() -> None:
    row = TableStats("t", "GetItem", units_saved=100.5, units_consumed=10)
    shown = of(overview_of(Point(MINUTE, "t", saved=98, consumed=10), row=row))
    assert (shown.saved, shown.consumed) == (100.5, 10)
    assert not shown.is_part


def test_counters_that_are_older_than_all_points_have_no_time() -> None:
    row = TableStats("t", "GetItem", units_saved=9000, units_consumed=100)
    shown = of(overview_of(Point(MINUTE, "t", saved=98, consumed=10), row=row))
    assert (shown.saved, shown.consumed) == (98, 10)
    assert shown.all_saved == 9000
    assert shown.is_part


def test_days_leave_out_the_points_before_them() -> None:
    points = [Point(MINUTE - day * 1440, "t", saved=1) for day in range(10, -1, -1)]
    row = TableStats("t", "GetItem", units_saved=11)
    overview = overview_of(*points, row=row, started=NOW - 11 * 86400)
    assert of(overview).saved == 11
    shown = of(overview, days=3)
    assert shown.saved == 4
    assert shown.seconds == pytest.approx(3 * 86400, abs=60)


def test_tables_and_operations_of_all_processes_add_up() -> None:
    rows = [
        TableStats("a", "GetItem", near_hits=3, misses=1),
        TableStats("a", "Query", store_hits=5),
        TableStats("b", "GetItem", misses=2),
    ]
    overview = Overview(
        (
            process(stats_of(*rows), started=NOW - 60),
            process(stats_of(rows[0]), started=NOW - 60, number=2),
        ),
        past=stats_of(rows[2]),
        past_processes=4,
        read_at=NOW,
    )
    shown = of(overview)
    assert [(row.table, row.operation) for row in shown.rows] == [
        ("a", "GetItem"),
        ("a", "Query"),
        ("b", "GetItem"),
    ]
    assert [(row.table, row.hits, row.misses) for row in shown.tables] == [
        ("a", 11, 2),
        ("b", 0, 4),
    ]
    assert (shown.total.hits, shown.total.misses) == (11, 6)
    assert (shown.processes, shown.ended_processes, shown.hosts) == (2, 4, 2)


@pytest.mark.parametrize(
    ("shadows", "mode"),
    [
        ([], SERVING),
        ([False, False], SERVING),
        ([True, True], SHADOW),
        ([True, False], BOTH),
    ],
)
def test_the_mode_is_that_of_all_processes(shadows: list[bool], mode: str) -> None:
    processes = [
        process(Stats(), started=NOW, number=number, shadow=shadow)
        for number, shadow in enumerate(shadows)
    ]
    assert of(Overview(tuple(processes), read_at=NOW)).mode == mode


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        ({}, True),
        ({"has_ended": True}, False),
        ({"updated": NOW - 3600}, False),
        ({"updated": NOW + 30}, True),
    ],
)
def test_a_process_runs_if_it_has_just_posted(
    change: dict[str, Any], runs: bool
) -> None:
    stats = replace(Stats(), undelivered=3)
    record = process(stats, started=NOW - 7200, **change)
    shown = of(Overview((record,), read_at=NOW))
    assert (shown.processes, shown.ended_processes) == (int(runs), int(not runs))
    # What a process that has ended could not deliver waits no more.
    assert shown.undelivered == (3 if runs else 0)


# --- time --------------------------------------------------------------------------


def test_a_short_run_takes_as_long_as_its_process_says() -> None:
    shown = of(twenty_seconds())
    assert (shown.began, shown.ended) == (NOW - 24, NOW - 4)
    (step,) = shown.steps
    assert step.seconds == 20
    assert step.began == NOW - 24
    assert (step.saved, step.consumed, step.throttled) == (1106, 194, 23)


def test_an_idle_beginning_is_not_observed_and_an_idle_end_is() -> None:
    point = Point(MINUTE - 30, "t", saved=60)
    shown = of(overview_of(point, started=NOW - 3600, updated=NOW - 4))
    assert shown.began == (MINUTE - 30) * 60
    assert shown.ended == NOW - 4


def test_the_steps_have_no_gaps_and_lose_nothing() -> None:
    points = [
        Point(MINUTE - at, "t", saved=2, consumed=1, hits=4) for at in (50, 20, 3)
    ]
    shown = of(overview_of(*points, started=NOW - 51 * 60))
    assert shown.step_minutes == 1
    starts = [step.began for step in shown.steps]
    assert starts == [(MINUTE - at) * 60.0 for at in range(50, -1, -1)]
    assert sum(step.saved for step in shown.steps) == 6
    assert sum(step.hits for step in shown.steps) == 12
    assert [step.saved for step in shown.steps if step.saved] == [2, 2, 2]


@pytest.mark.parametrize("minutes", [0, 1, 59, 60, 119, 1440, 20_160, 400_000])
def test_a_chart_has_few_steps_however_long_it_is(minutes: int) -> None:
    points = [Point(MINUTE - minutes, "t", saved=1), Point(MINUTE, "t", saved=1)]
    shown = of(overview_of(*points, started=NOW - minutes * 60 - 20))
    assert 1 <= len(shown.steps) <= MOST_STEPS
    assert sum(step.saved for step in shown.steps) == 2


def test_two_weeks_have_steps_of_three_hours() -> None:
    shown = of(two_weeks())
    assert shown.step_minutes == 180
    assert shown.seconds == pytest.approx(14 * 86400, abs=60)


# --- provisioned capacity ----------------------------------------------------------


def _capacity(shown: Figures) -> tuple[float, float]:
    assert shown.money is not None
    return shown.money.capacity_without, shown.money.capacity_with


def test_the_peak_is_that_of_the_busiest_minute() -> None:
    start = MINUTE - MINUTE % 60
    points = [
        Point(start, "t", saved=60 * 70, consumed=0),
        Point(start + 1, "t", saved=0, consumed=60 * 35),
        Point(start + 2, "t", saved=60 * 7, consumed=60 * 7),
    ]
    overview = replace(overview_of(*points), read_at=start * 60.0 + 200, processes=())
    assert _capacity(of(overview)) == (100, 50)


def test_a_point_of_five_minutes_is_no_peak_of_one() -> None:
    """Where an hour has many tables, a point stands for five minutes."""
    start = MINUTE - MINUTE % 60
    points = [Point(start, f"t{n:02}", saved=60 * 70 * 5) for n in range(11)]
    overview = replace(overview_of(*points), read_at=start * 60.0 + 200, processes=())
    assert _capacity(of(overview)) == (11 * 100, 11)
    few = replace(overview, points=tuple(points[:10]))
    assert _capacity(of(few)) == (10 * 500, 10)


# --- what is not to be trusted -----------------------------------------------------


def test_what_is_no_number_counts_as_nothing() -> None:
    shown = of(hostile())
    total = shown.total
    assert math.isfinite(shown.saved)
    assert math.isfinite(shown.consumed)
    assert total.units_consumed == 0
    assert total.stale_seconds == 0
    assert total.near_latency.count == 0  # too few buckets
    assert max(total.unfilled.values()) < 1e18
    assert (shown.entries, shown.size) == (0, 0)
    assert shown.ended_processes >= 1
    assert all(math.isfinite(key.units_saved) for key in shown.hot_keys)
    assert 0 < len(shown.steps) <= MOST_STEPS


def test_points_of_another_millennium_are_left_out() -> None:
    points = [
        Point(-(10**15), "t", saved=1),
        Point(MINUTE - 10**7, "t", saved=1),
        Point(MINUTE, "t", saved=1),
        Point(MINUTE + 10**6, "t", saved=1),
        Point(10**15, "t", saved=1),
    ]
    shown = of(overview_of(*points))
    assert shown.saved == 1
    assert len(shown.steps) <= MOST_STEPS


@pytest.mark.parametrize("read_at", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_no_time_makes_it_fail(read_at: float) -> None:
    shown = of(replace(twenty_seconds(), read_at=read_at))
    assert math.isfinite(shown.read_at)
    assert shown.ended >= shown.began
