"""Reading what processes have posted: a store is not trusted, and damage is counted."""

import os
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from botocache._cache.entries import EntryCodec
from botocache._cache.keyring import Keyring, KeyringRecords
from botocache._cache.sealed import seal
from botocache._counting.stats import OTHER, Histogram, HotKey, Stats, TableStats
from botocache._digests import digest
from botocache._errors import CodecError
from botocache._observe.differences import MOST_SERIES, bounded, difference
from botocache._observe.overview import open_board, overview_of
from botocache._observe.points import COARSE, MOST_TABLES
from botocache._observe.points import bounded as bounded_points
from botocache._observe.records import PastRecord, Point, ProcessRecord
from botocache._observe.sealing import hour_name, open_process, process_name
from botocache._observe.tidying import Tidying
from botocache._settings.encryption_keys import EncryptionKeys
from botocache._settings.load import load_settings
from botocache.stores.boards import LARGEST_RECORD
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.keys import key
from tests.support.posts import CLEAR, WALL, overview

TTL = 60.0
HOUR = int(WALL) // 3600
MINUTE = HOUR * 60

TABLE = TableStats("t", "GetItem", misses=2, bypassed={"off": 1}, units_consumed=1.0)
HOT = HotKey("t", "GetItem", "ab", '{"id": "7"}', 5, 2.5)
STATS = Stats(misses=2, failures={"load_failed": 1}, tables=(TABLE,), hot_keys=(HOT,))
PROCESS = ProcessRecord("ab", "host", 7, "1.0", WALL - 9.0, WALL, STATS)
NAME = process_name("ab")
POINT = Point(MINUTE, "t", misses=2)


def sealed(name: str, record: object, codec: EntryCodec = CLEAR) -> bytes:
    return seal(codec, name, record, time.time(), TTL)


def packed(name: str, content: bytes) -> bytes:
    """Return a record that has any bytes, with the right checksum."""
    body = zlib.compress(content)
    return CLEAR.encode(digest("record", name), body, (), WALL, WALL + TTL)


GOOD = {
    NAME: sealed(NAME, PROCESS),
    "past": sealed("past", PastRecord(STATS, 3)),
    hour_name(HOUR): sealed(hour_name(HOUR), (POINT,)),
    hour_name(HOUR, "ff"): sealed(hour_name(HOUR, "ff"), (replace(POINT, hits=1),)),
}


def test_an_overview_adds_up_what_processes_have_posted() -> None:
    seen = overview_of(GOOD, CLEAR, WALL)
    assert seen.processes == (PROCESS,)
    assert (seen.past, seen.past_processes) == (STATS, 3)
    assert seen.points == (Point(MINUTE, "t", hits=1, misses=4),)
    assert (seen.total.misses, seen.read_at, seen.unreadable) == (4, WALL, 0)


def test_the_newest_process_comes_first() -> None:
    records = [
        replace(PROCESS, process=f"a{n}", updated=WALL + n) for n in (1.0, 3.0, 2.0)
    ]
    records = [replace(r, process=r.process.replace(".", "")) for r in records]
    posted = {(n := process_name(r.process)): sealed(n, r) for r in records}
    updated = [r.updated - WALL for r in overview_of(posted, CLEAR, WALL).processes]
    assert updated == [3.0, 2.0, 1.0]


def with_table(**values: Any) -> bytes:
    stats = replace(STATS, tables=(replace(TABLE, **values),))
    return sealed(NAME, replace(PROCESS, stats=stats))


def with_process(**values: Any) -> bytes:
    return sealed(NAME, replace(PROCESS, **values))


def with_hot_key(**values: Any) -> bytes:
    hot = replace(HOT, **values)
    return with_process(stats=replace(STATS, hot_keys=(hot,)))


def with_point(**values: Any) -> bytes:
    return sealed(hour_name(HOUR), (replace(POINT, **values),))


nan, inf = float("nan"), float("inf")

DAMAGED: dict[str, tuple[str, bytes]] = {
    "nothing": (NAME, b""),
    "noise": (NAME, os.urandom(200)),
    "a cut record": (NAME, GOOD[NAME][:-9]),
    "a flipped bit": (NAME, GOOD[NAME][:60] + b"\0" + GOOD[NAME][61:]),
    "another process's record": (process_name("cd"), GOOD[NAME]),
    "a record sealed for another process": (
        process_name("cd"),
        sealed(process_name("cd"), PROCESS),
    ),
    "a sum as a process": (NAME, sealed(NAME, PastRecord(STATS, 3))),
    "a process as a sum": ("past", sealed("past", PROCESS)),
    "an unknown name": ("other", sealed("other", PROCESS)),
    "a body that is no zlib": (
        NAME,
        CLEAR.encode(digest("record", NAME), b"x" * 50, (), WALL, WALL + TTL),
    ),
    "a body that is cut": (
        NAME,
        CLEAR.encode(
            digest("record", NAME),
            zlib.compress(msgspec.msgpack.encode(PROCESS))[:-5],
            (),
            WALL,
            WALL + TTL,
        ),
    ),
    "a body that unpacks to a gigabyte": (NAME, packed(NAME, b"\0" * 2**26)),
    "a body that nests": (NAME, packed(NAME, b"\x91" * 5000)),
    "a map of other things": (NAME, packed(NAME, msgspec.msgpack.encode({"a": 1}))),
    "a negative count": (NAME, with_table(misses=-1)),
    "an impossible count": (NAME, with_table(misses=2**60)),
    "units of NaN": (NAME, with_table(units_saved=nan)),
    "infinite units": (NAME, with_table(units_consumed=inf)),
    "a negative reason": (NAME, with_table(bypassed={"off": -1})),
    "too few buckets": (NAME, with_table(miss_latency=Histogram((1, 2)))),
    "a negative bucket": (NAME, with_table(near_latency=Histogram((-1,) * 23))),
    "seconds of NaN": (NAME, with_table(near_latency=Histogram(seconds=nan))),
    "a table that acts on a terminal": (NAME, with_table(table="\x1b[2J")),
    "an operation of two lines": (NAME, with_table(operation="Get\nItem")),
    "a reason of two lines": (NAME, with_table(unfilled={"a\nb": 1})),
    "an endless table": (NAME, with_table(table="t" * 5000)),
    "a host of two lines": (NAME, with_process(host="a\nb")),
    "a version of two lines": (NAME, with_process(version="a\nb")),
    "a time of NaN": (NAME, with_process(updated=nan)),
    "a time before all times": (NAME, with_process(started=-1.0)),
    "a negative process": (NAME, with_process(pid=-1)),
    "an infinite size": (NAME, with_process(size=2**62)),
    "a hot key of a bad table": (NAME, with_hot_key(table="\x1b[2J")),
    "an endless hot key": (NAME, with_hot_key(key="k" * 5000)),
    "hits of a hot key below zero": (NAME, with_hot_key(hits=-1)),
    "a minute of another hour": (hour_name(HOUR), with_point(minute=MINUTE + 60)),
    "a point of NaN": (hour_name(HOUR), with_point(saved=nan)),
    "a point below zero": (hour_name(HOUR), with_point(hits=-1)),
    "a point of a bad table": (hour_name(HOUR), with_point(table="\x1b[2J")),
    "more processes than there can be": (
        "past",
        sealed("past", PastRecord(STATS, -1)),
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_damaged_or_forged_is_left_out_and_counted(damage: str) -> None:
    name, record = DAMAGED[damage]
    others = {n: r for n, r in GOOD.items() if n != name}
    without = overview_of(others, CLEAR, WALL)
    assert overview_of({**others, name: record}, CLEAR, WALL) == replace(
        without, unreadable=1
    )


def test_a_hot_key_cannot_act_on_a_terminal() -> None:
    posted = {NAME: with_hot_key(key="a\x1b[2J\nb")}
    (record,) = overview_of(posted, CLEAR, WALL).processes
    assert record.stats.hot_keys[0].key == r"a\x1b[2J\nb"


def test_a_record_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    newer = {**msgspec.to_builtins(PROCESS), "new_field": [1, 2], "version": "99"}
    posted = {NAME: packed(NAME, msgspec.msgpack.encode(newer))}
    assert overview_of(posted, CLEAR, WALL).processes == (
        replace(PROCESS, version="99"),
    )


# --- encryption ----------------------------------------------------------------------


def records_under(*keys: bytes | None, namespace: str = "default") -> EntryCodec:
    def report(error: Exception) -> None:
        raise AssertionError from error

    return KeyringRecords(Keyring(EncryptionKeys(keys), namespace, report))


def test_an_encrypted_record_shows_nothing_and_is_read_under_its_key() -> None:
    stats = replace(STATS, tables=(replace(TABLE, table="secret-table"),))
    record = replace(PROCESS, stats=stats)
    codec = records_under(key(1))
    raw = sealed(NAME, record, codec)
    for word in (b"secret", b"GetItem", b"host", b'"7"'):
        assert word not in raw
        assert word not in zlib.compress(raw)
    assert overview_of({NAME: raw}, codec, WALL).processes == (record,)


@pytest.mark.parametrize(
    ("writer", "reader", "is_read"),
    [
        ((key(1),), (key(1),), True),
        ((key(1),), (key(2), key(1)), True),
        ((key(1),), (None, key(1)), True),
        ((key(1),), (key(2),), False),
        ((None, key(1)), (key(1), None), False),
        ((key(1),), (None, key(2)), False),
    ],
    ids=["same", "older", "introduced", "another", "clear", "clear and another"],
)
def test_a_record_is_read_by_those_who_have_its_key(
    writer: tuple[bytes | None, ...], reader: tuple[bytes | None, ...], *, is_read: bool
) -> None:
    raw = sealed(NAME, PROCESS, records_under(*writer))
    seen = overview_of({NAME: raw}, records_under(*reader), WALL)
    assert (len(seen.processes), seen.unreadable) == (is_read, not is_read)


def test_an_encrypted_record_is_good_in_its_namespace_and_under_its_name_alone() -> (
    None
):
    raw = sealed(NAME, PROCESS, records_under(key(1)))
    with pytest.raises(CodecError):
        open_process(records_under(key(1), namespace="other"), NAME, raw)
    with pytest.raises(CodecError):
        open_process(records_under(key(1)), process_name("cd"), raw)


@pytest.mark.parametrize("names", [("past", process_name), ("hour", hour_name)])
def test_a_sum_that_cannot_be_read_stays_and_another_takes_its_place(
    names: tuple[str, Callable[..., str]],
) -> None:
    clock = FakeClock(WALL)
    store = MemoryStore(clock=clock)
    foreign = records_under(key(9))
    if names[0] == "past":
        usual, parts = "past", {process_name(f"a{n}"): n for n in range(3)}
        records: dict[str, object] = {
            name: replace(PROCESS, process=f"a{n}", has_ended=True)
            for name, n in parts.items()
        }
        store.post(usual, sealed(usual, PastRecord(STATS, 5), foreign), TTL)
    else:
        usual = hour_name(HOUR)
        records = {hour_name(HOUR, f"a{n}"): (POINT,) for n in range(3)}
        store.post(usual, sealed(usual, (POINT,), foreign), TTL)
    for name, record in records.items():
        store.post(name, sealed(name, record), 1e7)
    before = store.posted([usual])
    later = WALL + 8 * 86400.0
    Tidying(store, CLEAR, later, lambda: "new").tidy()
    assert store.posted([usual]) == before
    assert {*store.names()} == {usual, f"{usual}-new"}
    seen = overview(store, clock)
    assert seen.unreadable == 1
    assert seen.total.misses + sum(p.misses for p in seen.points) == 6


# --- bounds --------------------------------------------------------------------------


def test_counts_of_thousands_of_tables_fit_into_a_record_and_keep_their_sums() -> None:
    tables = tuple(
        TableStats(f"table-{n:04}" + "x" * 200, "GetItem", misses=n, fills=1)
        for n in range(3000)
    )
    stats = bounded(Stats(misses=sum(range(3000)), tables=tables))
    assert len(stats.tables) <= MOST_SERIES + 1
    assert sum(t.misses for t in stats.tables) == stats.misses
    assert sum(t.fills for t in stats.tables) == 3000
    assert max(t.misses for t in stats.tables if t.table != OTHER) == 2999
    assert len(sealed(NAME, replace(PROCESS, stats=stats))) < LARGEST_RECORD / 4


def test_points_of_thousands_of_tables_fit_into_a_record_and_keep_their_sums() -> None:
    points = bounded_points(
        Point(MINUTE + minute, f"table-{n:04}", misses=n)
        for n in range(1000)
        for minute in range(60)
    )
    assert len(points) <= MOST_TABLES * 60 // COARSE
    assert sum(point.misses for point in points) == 60 * sum(range(1000))
    assert len({point.table for point in points} - {OTHER}) == MOST_TABLES - 1
    assert {point.minute % COARSE for point in points} == {0}


def test_points_of_a_few_tables_are_of_single_minutes() -> None:
    points = [
        Point(MINUTE + m, table, hits=1) for m in range(60) for table in ("a", "b")
    ]
    assert bounded_points(points) == tuple(points)


def test_a_difference_and_what_was_before_are_what_is_now() -> None:
    before = Stats(
        hits=3,
        undelivered=2,
        failures={"a": 1},
        tables=(TABLE, replace(TABLE, operation="Query", stale_seconds=2.0)),
        hot_keys=(HOT,),
    )
    grown = replace(
        TABLE,
        misses=5,
        bypassed={"off": 1, "pending": 2},
        miss_latency=Histogram((1,) + (0,) * 22, 0.5),
        stale_seconds=3.0,
    )
    after = Stats(
        hits=7,
        undelivered=1,
        failures={"a": 1, "b": 4},
        tables=(grown, before.tables[1], replace(TABLE, table="u")),
        hot_keys=(replace(HOT, hits=9, units_saved=4.5),),
    )
    done = difference(after, before)
    assert done.undelivered == 1
    assert done.failures == {"b": 4}
    assert [(t.table, t.operation, t.misses) for t in done.tables] == [
        ("t", "GetItem", 3),
        ("u", "GetItem", 2),
    ]
    assert replace(before, undelivered=0) + done == after
    nothing = difference(after, after)
    assert nothing == Stats(undelivered=1)


# --- opening -------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [None, "encrypted"])
def test_a_command_opens_the_board_that_an_installation_has(
    tmp_path: Path, keys: str | None
) -> None:
    arguments: dict[str, object] = {"url": f"disk://{tmp_path}/cache"}
    if keys:
        arguments["encryption_keys"] = key(1)
    settings = load_settings(arguments, {}, "")
    with open_board(settings, os.environ) as (store, codec, _):
        raw = sealed(NAME, PROCESS, codec)
        store.post(NAME, raw, TTL)  # type: ignore[attr-defined]  # a Board
        assert overview(store, time.time, codec).processes == (PROCESS,)
    with open_board(settings, os.environ) as (store, codec, _):
        assert overview(store, time.time, codec).processes == (PROCESS,)
