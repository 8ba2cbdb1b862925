"""Figures of overviews: sums, rates that are never negative, sparklines."""

from dataclasses import replace

import pytest

from botocache._cli.sparkline import ASCII_BARS, sparkline
from botocache._counting.stats import Histogram, Stats, TableStats, sum_of
from botocache._observe.differences import minus
from botocache._observe.rates import (
    Rates,
    Trail,
    by_table,
    name_of,
    of_table,
    silence_of,
    state_of,
)
from botocache._observe.records import Overview
from tests.support.posted import (
    NOW,
    key,
    orders,
    overview_of,
    record,
    stats_of,
    timed,
    users,
    writes,
)

INTERVAL = 10.0

# --- sums --------------------------------------------------------------------------


def test_the_sum_of_tables_adds_up_each_count() -> None:
    total = sum_of((users(), orders(), writes()))
    assert (total.table, total.operation) == ("", "")
    assert (total.near_hits, total.store_hits, total.misses) == (80, 14, 46)
    assert (total.units_saved, total.units_consumed) == (67.5, 84.5)
    assert (total.bypassed, total.unfilled) == ({"refresh": 2}, {"held": 1})
    assert total.miss_latency == timed(ms4=14, ms80=2, ms9=30)
    assert sum_of(()) == TableStats("", "")


def test_a_table_is_the_sum_of_its_operations_and_those_that_save_most_are_first() -> (
    None
):
    first, second = by_table((orders(), users(), writes()))
    assert (first.table, first.hits, first.writes) == ("users", 84, 5)
    assert (second.table, second.hits, second.writes) == ("orders", 10, 0)


def test_the_stats_of_one_table_have_its_tables_and_keys_alone() -> None:
    stats = of_table(stats_of(failures={"load_failed": 1}), "orders")
    assert stats.tables == (orders(),)
    assert stats.hot_keys == ()
    assert stats.failures == {"load_failed": 1}


@pytest.mark.parametrize(
    ("updated", "has_ended", "state"),
    [
        (NOW, False, "running"),
        (NOW - 30, False, "running"),
        (NOW - 31, False, "silent"),
        (NOW - 3000, True, "ended"),
        (NOW + 500, False, "running"),  # its clock is ahead of ours
    ],
)
def test_a_process_that_has_missed_three_posts_is_silent(
    updated: float, has_ended: bool, state: str
) -> None:
    made = record(updated=updated, has_ended=has_ended)
    assert state_of(made, NOW, INTERVAL) == state
    assert silence_of(made, NOW) == max(0.0, NOW - updated)


# --- differences -------------------------------------------------------------------


def test_what_has_been_added_is_the_difference_of_each_count() -> None:
    assert minus(users(5), users(2)) == users(3)
    assert minus(orders(5), orders(2)) == orders(3)
    assert minus(key(1, 5), key(1, 2)) == key(1, 3)


def test_a_count_that_has_shrunk_has_grown_by_nothing() -> None:
    grown = minus(users(1), users(2))
    assert grown.hits == grown.misses == 0
    assert (grown.units_saved, grown.bypassed) == (0.0, {})
    assert grown.near_latency == Histogram()


# --- rates -------------------------------------------------------------------------


def trail_of(*overviews: Overview, table: str | None = None) -> Trail:
    trail = Trail(10, INTERVAL, table)
    for overview in overviews:
        trail.add(overview)
    return trail


def at(seconds: float, *processes: tuple[str, int, float]) -> Overview:
    """Return an overview: each process has a name, counts, and its last post."""
    return overview_of(
        *(
            record(name, times, updated=NOW + posted)
            for name, times, posted in processes
        ),
        at=NOW + seconds,
    )


def saved(trail: Trail) -> list[float]:
    return [frame.total.saved for frame in trail.frames()]


ONE = 42.0 + 25.5
"""Read units that one round of made-up counts saves."""


def test_rates_are_the_growth_between_two_posts_by_the_time_between_them() -> None:
    trail = trail_of(at(0, ("a", 10, -5)), at(2, ("a", 30, 0)))
    first, second = trail.frames()
    assert not first.is_known
    assert (first.running, first.measured, first.total) == (1, 0, Rates())
    assert second.is_known
    assert (second.running, second.measured) == (1, 1)
    assert second.total.saved == pytest.approx(20 * ONE / 5)
    assert second.total.consumed == pytest.approx(20 * 84.5 / 5)
    assert second.total.hits == pytest.approx(20 * 94 / 5)
    assert second.total.hit_ratio == pytest.approx(94 / 140)
    assert second.tables["orders"].misses == pytest.approx(20 * 30 / 5)
    assert second.tables["users"].miss_latency == timed(ms4=14 * 20, ms80=2 * 20)
    assert second.keys[name_of(key(1))] == pytest.approx(20 * 49 / 5)


def test_a_rate_stays_until_the_next_post_of_its_process() -> None:
    trail = trail_of(
        at(0, ("a", 10, 0)),
        at(10, ("a", 20, 10)),
        at(12, ("a", 20, 10)),
        at(14, ("a", 20, 10)),
        at(20, ("a", 50, 20)),
    )
    assert saved(trail) == pytest.approx([0, ONE, ONE, ONE, 3 * ONE])


def test_a_process_that_falls_silent_has_no_rate_any_more() -> None:
    trail = trail_of(
        at(0, ("a", 10, 0)),
        at(10, ("a", 20, 10)),
        at(40, ("a", 20, 10)),
        at(41, ("a", 20, 10)),
    )
    assert saved(trail) == pytest.approx([0, ONE, ONE, 0])


def test_a_process_that_has_ended_counts_until_its_last_post_is_over() -> None:
    ended = record("a", 20, updated=NOW + 10, has_ended=True)
    trail = trail_of(
        at(0, ("a", 10, 0)),
        overview_of(ended, at=NOW + 11),
        overview_of(ended, at=NOW + 22),
        replace(overview_of(at=NOW + 24), past=stats_of(20), past_processes=1),
    )
    assert saved(trail) == pytest.approx([0, ONE, 0, 0])
    assert [frame.running for frame in trail.frames()] == [1, 0, 0, 0]


def test_a_process_that_goes_makes_no_rate_negative() -> None:
    trail = trail_of(
        at(0, ("a", 1000, 0), ("b", 10, 0)),
        at(10, ("b", 20, 10)),
        at(20, ("b", 30, 20)),
    )
    assert saved(trail) == pytest.approx([0, ONE, ONE])


def test_a_process_that_appears_counts_with_its_mean_since_its_start() -> None:
    new = record("b", 20, started=NOW + 1, updated=NOW + 11)
    known = record("a", 10, updated=NOW)
    trail = trail_of(
        overview_of(known, at=NOW),
        overview_of(known, new, at=NOW + 11),
    )
    assert saved(trail) == pytest.approx([0, 2 * ONE])


def test_an_old_process_that_appears_late_is_no_jump() -> None:
    old = record("b", 3600, started=NOW - 3590, updated=NOW + 10)
    trail = trail_of(at(0, ("a", 10, 0)), overview_of(old, at=NOW + 11))
    assert saved(trail) == pytest.approx([0, ONE])


def test_a_process_whose_counts_begin_anew_has_no_negative_rate() -> None:
    trail = trail_of(at(0, ("a", 100, 0)), at(10, ("a", 3, 10)))
    assert saved(trail) == [0, 0]
    assert trail.frames()[-1].keys == {name_of(key(n)): 0 for n in (1, 2, 3)}


def test_a_post_without_a_new_time_changes_nothing() -> None:
    trail = trail_of(at(0, ("a", 10, 0)), at(2, ("a", 30, 0)), at(4, ("a", 40, -3)))
    assert saved(trail) == [0, 0, 0]


def test_processes_with_clocks_of_their_own_add_up() -> None:
    trail = trail_of(
        at(0, ("a", 10, -500), ("b", 10, 0)), at(10, ("a", 20, -490), ("b", 20, 10))
    )
    assert saved(trail) == pytest.approx([0, 2 * ONE])


def test_one_table_has_its_own_rates() -> None:
    trail = trail_of(at(0, ("a", 10, 0)), at(10, ("a", 20, 10)), table="orders")
    frame = trail.frames()[-1]
    assert frame.total.saved == pytest.approx(25.5)
    assert frame.tables.keys() == {"orders"}
    assert frame.keys == {}


def test_a_trail_keeps_its_last_frames() -> None:
    trail = Trail(3, INTERVAL)
    for second in range(5):
        trail.add(at(second, ("a", 1, 0)))
    assert [frame.at for frame in trail.frames()] == [NOW + 2, NOW + 3, NOW + 4]


def test_without_a_process_the_rates_are_known_to_be_nothing() -> None:
    frame = trail_of(overview_of()).frames()[0]
    assert (frame.is_known, frame.total, frame.total.hit_ratio) == (True, Rates(), None)


def test_rates_of_empty_stats_are_nothing() -> None:
    empty = replace(record("a"), stats=Stats())
    later = replace(empty, updated=NOW + 10)
    trail = trail_of(overview_of(empty), overview_of(later, at=NOW + 10))
    assert trail.frames()[-1].total == Rates()


# --- sparklines --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "width", "top", "line"),
    [
        ([], 3, 0.0, "   "),
        ([0, 0], 3, 0.0, " ▁▁"),
        ([1, 2, 4, 8], 4, 0.0, "▂▃▅█"),
        ([1, 2, 4, 8], 2, 0.0, "▅█"),
        ([8, 1], 1, 0.0, "█"),
        ([0.5, None, 1.0], 4, 1.0, " ▅ █"),
        ([0.5, 0.5], 2, 1.0, "▅▅"),
        ([5], 0, 0.0, ""),
        ([None], 2, 0.0, "  "),
    ],
)
def test_a_sparkline_shows_the_newest_at_the_right(
    values: list[float | None], width: int, top: float, line: str
) -> None:
    assert sparkline(values, width, top=top) == line


def test_a_terminal_without_unicode_gets_other_bars() -> None:
    assert sparkline([0, 4, 8], 3, bars=ASCII_BARS) == "_=#"
