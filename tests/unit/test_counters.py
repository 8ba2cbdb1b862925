"""The counts of a process are exact; hot keys and times come from a sample."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from functools import partial
from itertools import product
from random import Random
from typing import Any

import msgspec
import pytest

from botocache._counting.counters import (
    _MOST_UNITS,
    MOST_SERIES,
    NEAR_SAMPLED,
    STORE_SAMPLED,
    Counters,
    NearHits,
    Series,
)
from botocache._counting.hot_keys import MOST_KEPT, MOST_TEXT, HotKeys
from botocache._counting.stats import (
    LATENCY_BOUNDS,
    OTHER,
    Histogram,
    HotKey,
    Stats,
    TableStats,
)
from tests.support.interruptions import Interruption, lines_of
from tests.support.processes import TIMEOUT, forked

TABLE, OPERATION = "users", "GetItem"


def _table(counters: Counters) -> TableStats:
    """Return the counts of the one table that has any."""
    (table,) = counters.read(undelivered=0).tables
    return table


def _took(*seconds: float) -> Histogram:
    """Return the histogram of calls that took so long."""
    counts = [0] * (len(LATENCY_BOUNDS) + 1)
    for each in seconds:
        counts[sum(bound < each for bound in LATENCY_BOUNDS)] += 1
    return Histogram(tuple(counts), sum(seconds))


# --- each outcome ------------------------------------------------------------------

OUTCOMES: dict[str, tuple[Callable[[Series], object], dict[str, Any]]] = {
    "near hit": (
        lambda series: series.near_hits(1.5).number(),
        {"near_hits": 1, "units_saved": 1.5},
    ),
    "near hit, estimated": (
        lambda series: series.near_hits(1.5, is_estimated=True).number(),
        {"near_hits": 1, "units_saved": 1.5, "units_estimated": 1.5},
    ),
    "latency of near hits": (
        lambda series: series.add_near_sample(3e-6, 0.5, "d", str, ""),
        {"near_latency": _took(3e-6)},
    ),
    "store hit": (
        lambda series: series.add_store_hit(0.003, 2.5),
        {"store_hits": 1, "units_saved": 2.5, "store_latency": _took(0.003)},
    ),
    "store hit, estimated": (
        lambda series: series.add_store_hit(0.0, 2.5, is_estimated=True),
        {
            "store_hits": 1,
            "units_saved": 2.5,
            "units_estimated": 2.5,
            "store_latency": _took(0.0),
        },
    ),
    "miss": (
        lambda series: series.add_miss(11.0, 0.5),
        {"misses": 1, "units_consumed": 0.5, "miss_latency": _took(11.0)},
    ),
    "miss, consistent": (
        lambda series: series.add_miss(0.02, 1.0, is_consistent=True),
        {
            "misses": 1,
            "consistent": 1,
            "units_consumed": 1.0,
            "miss_latency": _took(0.02),
        },
    ),
    "miss, outdated": (
        lambda series: series.add_miss(None, 0.0, is_outdated=True),
        {"misses": 1, "outdated": 1},
    ),
    "misses of an index, outdated": (
        lambda series: series.add_miss(
            None, 0.0, is_outdated=True, is_on_index=True, reads=2
        ),
        {"misses": 2, "outdated": 2, "index_outdated": 2},
    ),
    "miss of an index": (
        lambda series: series.add_miss(None, 0.0, is_on_index=True),
        {"misses": 1},
    ),
    "expired": (lambda series: series.add_expired(), {"expired": 1}),
    "follow-up": (
        lambda series: series.add_follow_up("evicted"),
        {"follow_ups": {"evicted": 1}},
    ),
    "miss without an answer": (
        lambda series: series.add_miss(None, 0.0),
        {"misses": 1},
    ),
    "misses of a batch": (
        lambda series: series.add_miss(0.01, 4.0, is_consistent=True, reads=2),
        {
            "misses": 2,
            "consistent": 2,
            "units_consumed": 4.0,
            "miss_latency": _took(0.01, 0.01),
        },
    ),
    "bypass": (
        lambda series: series.add_bypass("off", 3),
        {"bypassed": {"off": 3}},
    ),
    "units of a bypass": (
        lambda series: series.add_consumed(2.0),
        {"units_consumed": 2.0},
    ),
    "fill": (lambda series: series.add_fills(), {"fills": 1}),
    "no fill": (
        lambda series: series.add_unfilled("held"),
        {"unfilled": {"held": 1}},
    ),
    "leased": (lambda series: series.add_leased(), {"leased": 1}),
    "coalesced": (lambda series: series.add_coalesced(), {"coalesced": 1}),
    "throttled": (lambda series: series.add_throttled(), {"throttled": 1}),
    "stale": (lambda series: series.add_answered_stale(2), {"answered_stale": 2}),
    "write": (lambda series: series.add_write(3), {"writes": 1, "evicted": 3}),
    "more evicted": (lambda series: series.add_evicted(2), {"evicted": 2}),
    "equal": (lambda series: series.add_comparison(None), {"compared": 1}),
    "different": (
        lambda series: series.add_comparison("lasting", 2.5),
        {"compared": 1, "differing": {"lasting": 1}, "stale_seconds": 2.5},
    ),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_counts_where_it_belongs_and_nowhere_else(outcome: str) -> None:
    counters = Counters()
    act, counted = OUTCOMES[outcome]
    act(counters.series(TABLE, OPERATION))
    expected = {**asdict(TableStats(TABLE, OPERATION)), **_plain(counted)}
    assert asdict(_table(counters)) == expected


def _plain(counted: dict[str, Any]) -> dict[str, Any]:
    return {
        name: asdict(value) if isinstance(value, Histogram) else value
        for name, value in counted.items()
    }


def test_every_count_has_an_outcome() -> None:
    counted = {name for _, counts in OUTCOMES.values() for name in counts}
    named = {each.name for each in fields(TableStats)}
    assert counted == named - {"table", "operation"}


def test_the_longest_difference_stays() -> None:
    counters = Counters()
    series = counters.series(TABLE, OPERATION)
    for seconds in (1.0, 3.0, 2.0):
        series.add_comparison("lasting", seconds)
    assert _table(counters).stale_seconds == 3.0


def test_the_totals_are_the_sums_of_the_tables() -> None:
    counters = Counters()
    for table, operation in product(("a", "b"), ("GetItem", "Query")):
        series = counters.series(table, operation)
        for act, _ in OUTCOMES.values():
            act(series)
    stats = counters.read(undelivered=0)
    # Of each table: two near hits and two of the store; and so on.
    assert (stats.hits, stats.near_hits, stats.misses) == (16, 8, 36)
    assert (stats.bypassed, stats.held, stats.fills) == (12, 4, 4)
    assert (stats.writes, stats.evicted) == (4, 20)
    assert (stats.units_saved, stats.units_consumed) == (32.0, 30.0)
    assert len(stats.tables) == 4


# --- reading -----------------------------------------------------------------------


def test_nothing_is_counted_at_first() -> None:
    assert Counters().read(undelivered=0) == Stats()


def test_failures_are_counted_by_kind() -> None:
    counters = Counters()
    for kind in ("load_failed", "fill_failed", "load_failed"):
        counters.add_failure(kind)
    stats = counters.read(undelivered=0)
    assert stats == Stats(failures={"load_failed": 2, "fill_failed": 1})


def test_the_caller_passes_the_number_of_undelivered_tags() -> None:
    assert Counters().read(undelivered=7) == Stats(undelivered=7)


def test_counts_that_were_read_do_not_change() -> None:
    counters = Counters()
    series = counters.series(TABLE, OPERATION)
    series.add_bypass("off")
    before = counters.read(undelivered=0)
    copy = msgspec.msgpack.encode(before)
    for act, _ in OUTCOMES.values():
        act(series)
    counters.add_failure("load_failed")
    assert msgspec.msgpack.encode(before) == copy


def test_changing_counts_that_were_read_does_not_change_the_counters() -> None:
    counters = Counters()
    counters.series(TABLE, OPERATION).add_bypass("off")
    read = counters.read(undelivered=0)
    read.failures["load_failed"] = 1
    read.tables[0].bypassed["off"] = 7
    assert counters.read(undelivered=0).failures == {}
    assert _table(counters).bypassed == {"off": 1}


def test_reading_does_not_count() -> None:
    counters = Counters()
    near = counters.series(TABLE, OPERATION).near_hits(0.5)
    numbers = set()
    for hits in range(1, 4):
        numbers.add(near.number())
        for _ in range(2):
            stats = counters.read(undelivered=0)
            assert (stats.hits, stats.near_hits) == (hits, hits)
    assert len(numbers) == 3
    assert max(numbers) - min(numbers) == 2


def test_the_tables_are_in_the_order_of_their_names() -> None:
    counters = Counters()
    for name in ("b", "c", "a"):
        counters.series(name, "Query")
        counters.series(name, "GetItem")
    tables = [(t.table, t.operation) for t in counters.read(undelivered=0).tables]
    assert tables == sorted(tables)


# --- series ------------------------------------------------------------------------


def test_a_table_and_operation_have_one_series() -> None:
    counters = Counters()
    assert counters.series("a", "Query") is counters.series("a", "Query")
    assert counters.series("a", "Query") is not counters.series("a", "Scan")
    assert counters.series("a", "Query") is not counters.series("b", "Query")


def test_after_a_thousand_all_others_are_one() -> None:
    counters = Counters()
    for number in range(MOST_SERIES + 50):
        counters.series(f"table-{number}", OPERATION).add_fills()
    stats = counters.read(undelivered=0)
    assert len(stats.tables) == MOST_SERIES + 1
    (other,) = (table for table in stats.tables if table.table == OTHER)
    assert (other.operation, other.fills) == (OTHER, 50)
    assert stats.fills == MOST_SERIES + 50
    # Those that came first keep their own.
    assert counters.series("table-0", OPERATION).table == "table-0"


def test_a_thread_that_makes_a_series_at_the_same_time_gets_the_same() -> None:
    counters = Counters()
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(lambda n: counters.series(f"t{n % 50}", "Scan"), range(2000))
        )
    assert len(set(map(id, made))) == 50


# --- near hits ---------------------------------------------------------------------


def test_entries_of_equal_units_share_their_count() -> None:
    series = Counters().series(TABLE, OPERATION)
    assert series.near_hits(0.5) is series.near_hits(0.5)
    assert series.near_hits(0.5) is not series.near_hits(1.0)
    assert series.near_hits(0.5) is not series.near_hits(0.5, is_estimated=True)


def test_the_units_saved_by_near_hits_are_exact() -> None:
    counters = Counters()
    series = counters.series(TABLE, OPERATION)
    for hits, units in ((10, 0.5), (3, 2.0), (1, 128.0)):
        for _ in range(hits):
            series.near_hits(units).number()
    table = _table(counters)
    assert (table.near_hits, table.units_saved) == (14, 139.0)


def test_another_process_cannot_make_the_counts_grow_without_bound() -> None:
    """It fills entries, and says what each saves."""
    counters = Counters()
    series = counters.series(TABLE, OPERATION)
    for blocks in range(1, 2 * _MOST_UNITS):
        series.near_hits(blocks / 2).number()
    assert len(series._near) == _MOST_UNITS
    assert _table(counters).near_hits == 2 * _MOST_UNITS - 1
    # What finds no place counts as the nearest units that have one.
    assert series.near_hits(10_000.0) is series.near_hits(_MOST_UNITS / 2)


def test_one_near_hit_in_so_many_is_sampled() -> None:
    near = Counters().series(TABLE, OPERATION).near_hits(0.5)
    numbers = [near.number() for _ in range(NEAR_SAMPLED * 20)]
    assert sum(number % NEAR_SAMPLED == 1 for number in numbers) == 20


@pytest.mark.parametrize("keys", [2, 3, 4, 8, 10, 16, 20])
def test_each_of_several_keys_that_are_read_in_turn_is_sampled(keys: int) -> None:
    counters = Counters()
    series = counters.series(TABLE, OPERATION)
    near = series.near_hits(0.5)
    for hit in range(NEAR_SAMPLED * keys * 2):
        if near.number() % NEAR_SAMPLED == 1:
            near.sample(1e-6, f"{hit % keys}", str, "")
    hot = {key.digest: key.hits for key in counters.read(undelivered=0).hot_keys}
    assert len(hot) == keys
    assert set(hot.values()) == {2 * NEAR_SAMPLED}


def test_a_sample_stands_for_all_hits_between_two() -> None:
    counters = Counters()
    near = counters.series(TABLE, OPERATION).near_hits(1.5)
    near.sample(4e-6, "d1", str, "key")
    (key,) = counters.read(undelivered=0).hot_keys
    assert key == HotKey(
        TABLE, OPERATION, "d1", "key", NEAR_SAMPLED, 1.5 * NEAR_SAMPLED
    )
    assert _table(counters).near_latency == _took(4e-6)


def test_one_hit_of_the_store_in_so_many_is_sampled() -> None:
    series = Counters().series(TABLE, OPERATION)
    assert sum(series.add_store_hit(0.0, 0.5) for _ in range(STORE_SAMPLED * 20)) == 20


# --- hot keys ----------------------------------------------------------------------


def test_the_keys_that_save_most_come_first() -> None:
    keys, series = HotKeys(), Counters().series(TABLE, OPERATION)
    for number in range(50):
        keys.add(series, f"{number:02}", 1, float(number), str, "")
    assert [key.digest for key in keys.read()] == [f"{n}" for n in range(49, 29, -1)]


def test_a_key_that_is_read_often_is_found_among_many_that_are_not() -> None:
    keys, series = HotKeys(), Counters().series(TABLE, OPERATION)
    for number in range(20 * MOST_KEPT):
        keys.add(series, f"cold-{number}", 1, 0.5, str, "")
        if not number % 20:
            keys.add(series, "hot", 1, 0.5, str, "")
    assert len(keys._places) == MOST_KEPT
    first = keys.read()[0]
    # Never too low; too high by no more than the least of the kept ones had.
    assert first.digest == "hot" or first.hits >= MOST_KEPT
    (hot,) = (place for name, place in keys._places.items() if name[1] == "hot")
    assert MOST_KEPT <= hot.hits <= 2 * MOST_KEPT


@pytest.mark.parametrize("names", [2 * MOST_KEPT, 20 * MOST_KEPT])
def test_a_new_key_takes_a_place_with_the_fewest_reads(names: int) -> None:
    keys, series = HotKeys(), Counters().series(TABLE, OPERATION)
    choose = Random(names)
    replaced = 0
    for _ in range(10 * MOST_KEPT):
        # Some far more often than others.
        name = f"{int(names * choose.random() ** 3)}"
        hits = choose.choice([1, 17])
        before = {each: place.hits for each, place in keys._places.items()}
        keys.add(series, name, hits, 0.5, str, "")
        if len(before) < MOST_KEPT or (series, name) in before:
            continue
        replaced += 1
        (gone,) = before.keys() - keys._places.keys()
        fewest = min(before.values())
        assert before[gone] == fewest
        assert keys._places[series, name].hits == fewest + hits
    assert replaced > MOST_KEPT


def keys_with_two_that_were_read_least(series: Series) -> HotKeys:
    """Return as many keys as are kept; both have been looked for."""
    keys = HotKeys()
    for name in range(MOST_KEPT + 1):
        keys.add(series, f"{name}", 17 if 3 <= name < MOST_KEPT else 1, 0.5, str, "")
    return keys


@pytest.mark.parametrize("new", [0, 1, 2, 3])
def test_a_handler_that_counts_in_the_middle_leaves_nothing_undone(new: int) -> None:
    """It reads each key once more, and some new ones."""
    series = Counters().series(TABLE, OPERATION)

    def handle(keys: HotKeys) -> None:
        for each, digest in list(keys._places):
            keys.add(each, digest, 1, 0.5, str, "")
        for name in range(new):
            keys.add(series, f"of the handler {name}", 1, 0.5, str, "")

    def add_to(keys: HotKeys) -> None:
        keys.add(series, "new", 1, 0.5, str, "")

    reached = lines_of(partial(add_to, keys_with_two_that_were_read_least(series)))
    for at in range(reached):
        keys = keys_with_two_that_were_read_least(series)
        interruption = Interruption(at, partial(handle, keys))
        interruption.during(partial(add_to, keys))
        assert interruption.place
        keys.add(series, "newer", 1, 0.5, str, "")
        assert len(keys._places) == MOST_KEPT, interruption.place


def test_the_text_of_a_key_is_cut_off() -> None:
    keys, series = HotKeys(), Counters().series(TABLE, OPERATION)
    keys.add(series, "d", 1, 0.5, str, "x" * 5000)
    (key,) = keys.read()
    assert key.key == "x" * MOST_TEXT


def test_a_repr_shows_no_key() -> None:
    counters = Counters()
    near = counters.series(TABLE, OPERATION).near_hits(0.5)
    near.sample(0.0, "d", str, "m4rk")
    stats = counters.read(undelivered=0)
    assert stats.hot_keys[0].key == "m4rk"
    assert "m4rk" not in repr(stats)
    assert "m4rk" not in repr(counters.series(TABLE, OPERATION))


# --- threads and forks -------------------------------------------------------------


def test_no_count_is_lost_between_threads() -> None:
    counters = Counters()

    def count(number: int) -> None:
        series = counters.series(f"t{number % 3}", OPERATION)
        series.near_hits((number % 4 + 1) / 2).number()
        for act, _ in OUTCOMES.values():
            act(series)
        counters.add_failure("load_failed")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(3000)))
    stats = counters.read(undelivered=0)
    assert stats.failures == {"load_failed": 3000}
    assert (stats.near_hits, stats.hits) == (9000, 15000)
    assert (stats.misses, stats.fills, stats.evicted) == (27000, 3000, 15000)
    # The outcomes save 8 units, and one more near hit saves 0.5 to 2.
    assert stats.units_saved == 3000 * 8 + 750 * 5.0
    assert sum(t.miss_latency.count for t in stats.tables) == 12000
    assert sum(t.compared for t in stats.tables) == 6000


class _Lock:
    """Counts how often it was taken."""

    taken = 0

    def __enter__(self) -> None:
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_counts_under_the_lock(outcome: str) -> None:
    """CPython switches threads at few places, and each version at others."""
    series = Counters().series(TABLE, OPERATION)
    series._lock = lock = _Lock()
    act, _ = OUTCOMES[outcome]
    act(series)
    assert lock.taken >= 1


def test_numbers_of_near_hits_are_unique_between_threads() -> None:
    near = Counters().series(TABLE, OPERATION).near_hits(0.5)
    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda _: near.number(), range(4000)))
    assert len(set(numbers)) == 4000


def test_a_child_goes_on_with_the_counts_and_with_other_numbers() -> None:
    counters = Counters()
    series = counters.series(TABLE, OPERATION)
    near: NearHits = series.near_hits(0.5)
    here = [near.number() for _ in range(3)]
    series.add_store_hit(0.0, 0.5)

    def child(pipe: Any) -> None:
        there = [near.number() for _ in range(2)]
        series.add_store_hit(0.0, 0.5)
        stats = counters.read(undelivered=0)
        pipe.send((there, stats.near_hits, stats.hits, stats.units_saved))

    with forked(child) as pipe:
        here += [near.number() for _ in range(2)]
        assert pipe.poll(TIMEOUT)
        there, *counts = pipe.recv()
    assert counts == [5, 7, 3.5]
    stats = counters.read(undelivered=0)
    assert (stats.near_hits, stats.hits, stats.units_saved) == (5, 6, 3.0)
    assert len({*here, *there}) == 7


def test_a_lock_that_was_held_at_a_fork_is_free_in_the_child() -> None:
    counters = Counters()
    series = counters.series(TABLE, OPERATION)
    series.add_fills()

    def child(pipe: Any) -> None:
        series.add_fills()
        counters.series("another", OPERATION).add_fills()
        pipe.send(counters.read(undelivered=0).fills)

    with counters._lock, forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() == 3
    assert counters.read(undelivered=0).fills == 1


# --- values ------------------------------------------------------------------------


def test_counts_survive_a_trip_through_messagepack_and_json() -> None:
    counters = Counters()
    series = counters.series(TABLE, OPERATION)
    for act, _ in OUTCOMES.values():
        act(series)
    series.add_hot_key("d", 1, 0.5, str, "key")
    stats = counters.read(undelivered=2)
    raw = msgspec.msgpack.encode(stats)
    assert msgspec.msgpack.decode(raw, type=Stats) == stats
    assert msgspec.convert(json.loads(msgspec.json.encode(stats)), Stats) == stats


@pytest.mark.parametrize(
    ("stats", "ratio"),
    [
        (Stats(), 0.0),
        (Stats(hits=3), 1.0),
        (Stats(misses=3), 0.0),
        (Stats(hits=1, misses=3), 0.25),
        (Stats(hits=1, misses=1, bypassed=8, held=1), 0.5),
        (Stats(bypassed=8), 0.0),
    ],
)
def test_the_hit_ratio_is_that_of_the_reads_that_were_looked_up(
    stats: Stats, ratio: float
) -> None:
    assert stats.hit_ratio == ratio


def test_hits_of_a_batch_count_and_are_sampled_as_one_after_another() -> None:
    one, many = Counters().series("t", "X"), Counters().series("t", "X")
    sampled: list[int] = []
    places: list[int] = []
    before = 0
    for hits in (1, 5, 16, 17, 18, 40, 3):
        sampled += [before + at for at in range(hits) if one.add_store_hit(0.001, 0.5)]
        of_batch = many.add_store_hits(0.001, hits, hits / 2, 0.0)
        places += [before + at for at in of_batch]
        before += hits
    assert places == sampled
    found, expected = many.read(), one.read()
    assert found.store_latency.counts == expected.store_latency.counts
    assert found.store_latency.seconds == pytest.approx(expected.store_latency.seconds)
    assert (found.hits, found.units_saved) == (expected.hits, expected.units_saved)


def test_near_hits_of_a_batch_have_numbers_of_their_own() -> None:
    near = Counters().series("t", "X").near_hits(0.5)
    numbers = [near.number(), *near.take(3), near.number()]
    assert len(set(numbers)) == 5
    assert near.count == 5
