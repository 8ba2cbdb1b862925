"""Advice: it comes with the figures that show it, and not without them."""

import sys
from dataclasses import replace
from typing import Any

import pytest

from botocache._counting.stats import HotKey, TableStats
from botocache._observe.advice import FIX, Advice, advise
from botocache._observe.records import Overview
from botocache._observe.report.figures import figures
from botocache._settings.load import Settings, load_settings
from botocache._settings.prices import Prices
from tests.support.report_overviews import (
    NOTHING,
    NOW,
    ONLY_WRITES,
    hostile,
    process,
    stats_of,
    times,
    two_weeks,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS = Settings(url="disk:")
GIBIBYTE = 1024**3

GOOD = TableStats(
    "users",
    "GetItem",
    near_hits=8000,
    store_hits=1500,
    misses=500,
    fills=500,
    units_saved=4750,
    units_consumed=250,
)
"""A table on which there is nothing to say."""


def overview_of(*rows: TableStats, **more: Any) -> Overview:
    record = {
        name: more.pop(name) for name in ("shadow", "size", "entries") if name in more
    }
    stats = stats_of(*rows, **more)
    return Overview((process(stats, started=NOW - 3600, **record),), read_at=NOW)


def advice_on(
    overview: Overview, settings: Settings = SETTINGS, limit: int | None = GIBIBYTE
) -> tuple[Advice, ...]:
    return advise(figures(overview, Prices()), settings, limit)


def one_on(*rows: TableStats, settings: Settings = SETTINGS, **more: Any) -> Advice:
    (advice,) = advice_on(overview_of(*rows, **more), settings)
    return advice


def written(**changes: Any) -> TableStats:
    """Return a table that is written all the time."""
    values = {
        "near_hits": 20,
        "store_hits": 30,
        "misses": 950,
        "unfilled": {"held": 600},
        **changes,
    }
    return TableStats("carts", "GetItem", **values)


PUTS = TableStats("carts", "PutItem", writes=700, evicted=2100)
EXPIRED = replace(GOOD, misses=2000, expired=900, units_consumed=1000)
AROUND = replace(GOOD, compared=90, differing={"lasting": 2}, stale_seconds=31.5)
CONSISTENT = replace(GOOD, misses=4000, consistent=3500)
INDEX = replace(GOOD, operation="Query", index_outdated=400)
UPDATES = TableStats("users", "UpdateItem", writes=200, evicted=800)
FAR = replace(GOOD, near_hits=0, store_hits=9500, store_latency=times(1e-4, 0.1, 9500))
THROTTLED = replace(GOOD, throttled=10)
HOT = HotKey("users", "GetItem", "ab" * 16, "id=S:7", 4000, 2000.0)

CASES: dict[str, tuple[dict[str, Any], list[TableStats], list[str]]] = {
    "undelivered": ({"undelivered": 3}, [GOOD], ["3 tags"]),
    "failures": (
        {"failures": {"load_failed": 90, "fill_failed": 10}},
        [GOOD],
        ["100 failures in 10,000 calls", "load_failed 90"],
    ),
    "written_around": (
        {},
        [AROUND],
        ["2 of 90", "32 seconds", "[tables.users]", "ttl = 5"],
    ),
    "useless": (
        {},
        [written(), PUTS],
        ["of 1,000 reads", "700 writes", "600 answers", '[tables]\ncarts = "off"'],
    ),
    "short_ttl": (
        {},
        [EXPIRED],
        ["900 times", "2,000 misses", "1 minute", "1,000 read units", "ttl = 600"],
    ),
    "consistent": ({}, [CONSISTENT], ["3,500 of 13,500 reads"]),
    "index_queries": (
        {},
        [INDEX, UPDATES],
        ["400 of 500 misses", "200 writes", "precise_index_eviction = true"],
    ),
    "near_off": ({}, [FAR], ["9,500 hits", "100"]),
    "store_full": (
        {"size": int(0.95 * GIBIBYTE), "entries": 77},
        [GOOD],
        ["77 entries", 'url = "disk:?size_limit=2GiB"'],
    ),
    "throttled": ({}, [THROTTLED], ["10 answers", "500 misses"]),
    "hot_key": ({"hot": [HOT]}, [GOOD], ["abababababab", "2,000 read units"]),
}


@pytest.mark.parametrize("name", CASES)
def test_advice_comes_with_its_figures_and_nothing_else_does(name: str) -> None:
    more, rows, texts = CASES[name]
    advice = one_on(*rows, **more)
    assert advice.name == name
    whole = f"{advice.title} {advice.evidence} {advice.action} {advice.setting}"
    assert [text for text in texts if text not in whole] == []


SILENT: dict[str, tuple[dict[str, Any], list[TableStats]]] = {
    "a good table": ({}, [GOOD]),
    "few failures": ({"failures": {"load_failed": 9}}, [GOOD]),
    "failures that are rare": (
        {"failures": {"load_failed": 90}},
        [replace(GOOD, near_hits=10**7)],
    ),
    "differences that did not last": (
        {},
        [replace(GOOD, compared=90, differing={"settling": 50, "unconfirmed": 9})],
    ),
    "a poor table that is seldom written": (
        {},
        [written(unfilled={"held": 10}), replace(PUTS, writes=20)],
    ),
    "a table with too few reads": ({}, [written(misses=40), PUTS]),
    "a table that is written and has hits": (
        {},
        [written(near_hits=5000), replace(PUTS, writes=9000)],
    ),
    "few expired entries": ({}, [replace(GOOD, expired=99, misses=200)]),
    "expired entries among many misses": (
        {},
        [replace(GOOD, expired=300, misses=2000)],
    ),
    "few consistent reads": ({}, [replace(GOOD, misses=4000, consistent=1000)]),
    "index queries that few writes evict": ({}, [replace(INDEX, index_outdated=99)]),
    "index queries that miss for other reasons": (
        {},
        [replace(INDEX, misses=2000), UPDATES],
    ),
    "some near hits": ({}, [replace(FAR, near_hits=1)]),
    "batches have no near hits": ({}, [replace(FAR, operation="BatchGetItem")]),
    "a shadow run has no near hits": ({"shadow": True}, [FAR]),
    "a store with room": ({"size": GIBIBYTE // 2}, [GOOD]),
    "a store of a size that is not known": ({"size": None}, [GOOD]),
    "some refusals": ({}, [replace(GOOD, throttled=9)]),
    "a key that is one of many": (
        {"hot": [replace(HOT, hits=1500)]},
        [GOOD],
    ),
    "a key with few hits": (
        {"hot": [replace(HOT, hits=999)]},
        [replace(GOOD, near_hits=500, store_hits=500)],
    ),
    "what is about several tables": (
        {},
        [replace(AROUND, table="(other)"), replace(EXPIRED, table="(unknown)")],
    ),
}


@pytest.mark.parametrize("name", SILENT)
def test_without_enough_evidence_there_is_no_advice(name: str) -> None:
    more, rows = SILENT[name]
    assert advice_on(overview_of(*rows, **more)) == ()


@pytest.mark.parametrize("overview", [NOTHING, ONLY_WRITES])
def test_without_reads_there_is_no_advice(overview: Overview) -> None:
    assert advice_on(overview) == ()


def test_a_full_store_of_unknown_limit_is_not_called_full() -> None:
    overview = overview_of(GOOD, size=GIBIBYTE)
    assert advice_on(overview, limit=None) == ()


@pytest.mark.parametrize("row", [EXPIRED, CONSISTENT], ids=["ttl", "consistent"])
def test_a_writer_around_the_cache_forbids_to_trust_it_more(row: TableStats) -> None:
    around = replace(row, compared=90, differing={"lasting": 2})
    assert one_on(around).name == "written_around"


def test_precise_eviction_is_not_advised_where_it_is_on() -> None:
    settings = replace(SETTINGS, precise_index_eviction=True)
    assert advice_on(overview_of(INDEX, UPDATES), settings) == ()


def test_only_the_operations_that_are_useless_are_left_out() -> None:
    queries = replace(written(), operation="Query")
    items = TableStats("carts", "GetItem", near_hits=900, misses=100)
    advice = one_on(queries, items, PUTS)
    assert advice.evidence.startswith("Query: ")
    assert advice.setting == '[tables.carts]\noperations = ["GetItem"]'


def test_a_near_cache_that_is_off_has_the_setting_to_paste() -> None:
    off = one_on(FAR, settings=replace(SETTINGS, near="off"))
    assert off.setting == 'near = "on"'
    assert one_on(FAR).setting == ""


def test_the_ttl_that_is_advised_rests_on_the_tables_own() -> None:
    settings = load_settings({"tables": {"users": 7200}}, {}, "disk:")
    assert one_on(EXPIRED, settings=settings).setting.endswith("ttl = 72000")
    settings = load_settings({"tables": {"users": 86400}}, {}, "disk:")
    assert advice_on(overview_of(EXPIRED), settings) == ()
    settings = load_settings({"ttl": 4}, {}, "disk:")
    assert one_on(AROUND, settings=settings).setting.endswith("ttl = 2")


@pytest.mark.parametrize("name", CASES)
def test_what_is_to_paste_is_a_valid_setting(name: str) -> None:
    more, rows, _ = CASES[name]
    rows = [replace(row, table="a.table_of-mine") for row in rows]
    for advice in advice_on(overview_of(*rows, **more)):
        given = tomllib.loads(advice.setting)
        assert load_settings(given, {}, "disk:") != load_settings(
            {}, {}, "disk:" if given else "memory:"
        )


def test_a_name_that_is_no_tables_is_not_put_into_a_setting() -> None:
    for advice in advice_on(hostile()):
        if advice.setting:
            given = tomllib.loads(advice.setting)
            assert {*given.get("tables", {})} <= {"x" * 255}


def test_what_is_wrong_comes_first() -> None:
    kinds = [advice.kind for advice in advice_on(two_weeks())]
    assert kinds[0] == FIX
    assert kinds == sorted(kinds, key=["fix", "save", "know"].index)
    assert len(kinds) >= 4
