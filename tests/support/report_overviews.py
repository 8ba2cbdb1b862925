"""Overviews made up for tests, and for `make report-sample`.

As a program: write a page of each into a directory.
"""

import math
import random
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from botocache._counting.stats import (
    LATENCY_BOUNDS,
    Histogram,
    HotKey,
    Stats,
    TableStats,
)
from botocache._observe.records import Overview, Point, ProcessRecord
from botocache._observe.report.figures import Figures
from botocache._observe.report.page import page, replace_file, subject_of
from botocache._settings.prices import Prices
from tests.support.counted import bucket_of

NOW = 1_795_900_000.0
"""28 November 2026, 20:26:40 UTC."""


def write_report(
    overview: Overview, prices: Prices, path: Path, *, show_keys: bool = False
) -> Figures:
    """Write a report as the command does, and return what it shows."""
    subject = subject_of(overview, prices, show_keys=show_keys)
    replace_file(path, page(subject))
    return subject.figures


def times(median: float, spread: float, calls: int, seed: int = 1) -> Histogram:
    """Return a histogram of calls around a median."""
    chance = random.Random(seed)
    counts = [0] * (len(LATENCY_BOUNDS) + 1)
    drawn = min(calls, 2000)
    for _ in range(drawn):
        counts[bucket_of(median * math.exp(chance.gauss(0, spread)))] += 1
    scale = calls / drawn if drawn else 1
    scaled = tuple(round(each * scale) for each in counts)
    return Histogram(scaled, median * sum(scaled))


def process(
    stats: Stats, *, started: float, number: int = 1, **more: object
) -> ProcessRecord:
    """Return the record of a process that has just posted."""
    values = {
        "process": f"{number:032x}",
        "host": f"web-{number % 3}",
        "pid": 100 + number,
        "version": "0.2.0",
        "started": started,
        "updated": NOW - 4,
        "stats": stats,
        "entries": 48_211,
        "size": 310 * 1024**2,
        **more,
    }
    return ProcessRecord(**values)  # type: ignore[arg-type]


def stats_of(*rows: TableStats, hot: Iterable[HotKey] = (), **more: object) -> Stats:
    """Return the stats that have these rows."""
    values = {
        "hits": sum(row.hits for row in rows),
        "near_hits": sum(row.near_hits for row in rows),
        "misses": sum(row.misses for row in rows),
        "tables": rows,
        "hot_keys": tuple(hot),
        **more,
    }
    return Stats(**values)  # type: ignore[arg-type]


@cache
def two_weeks(*, shadow: bool = False, every: int = 15) -> Overview:
    """Return two weeks of a shop, with something to say for most of the advice.

    every: minutes from one point to the next; between them nothing happens.
    """
    chance = random.Random(7)
    minutes = int(NOW // 60) - 14 * 1440
    tables = {
        "shop-products": (0.82, 190.0, 4),
        "shop-customers": (0.63, 70.0, 9),
        "shop-carts": (0.07, 45.0, 60),
        "shop-orders-by-status": (0.31, 38.0, 20),
    }
    points = []
    sums: dict[str, list[float]] = {name: [0, 0, 0, 0, 0, 0] for name in tables}
    for minute in range(minutes, int(NOW // 60) + 1, every):
        hour = (minute % 1440) / 60
        day = 0.72 if (minute // 1440) % 7 in (2, 3) else 1.0
        load = day * (0.35 + 0.65 * max(0.0, math.sin((hour - 7) / 15 * math.pi)))
        # A sale on the tenth day, in which the uncached tables are throttled.
        sale = 2.6 if minutes + 13_800 < minute < minutes + 14_010 else 1.0
        for name, (ratio, rate, writes) in tables.items():
            reads = rate * 60 * load * sale * chance.uniform(0.85, 1.15)
            hits = reads * min(0.97, ratio * chance.uniform(0.97, 1.03))
            units = 0.5 if name != "shop-orders-by-status" else 4.0
            throttled = (
                chance.randrange(0, 9) if sale > 1 and name == "shop-carts" else 0
            )
            points.append(
                Point(
                    minute,
                    name,
                    saved=hits * units,
                    consumed=(reads - hits) * units,
                    hits=int(hits),
                    misses=int(reads - hits),
                    writes=int(writes * load * 60 / 10),
                    throttled=throttled,
                )
            )
            for at, value in enumerate(
                (
                    hits,
                    reads - hits,
                    hits * units,
                    (reads - hits) * units,
                    writes * load * 6,
                    throttled,
                )
            ):
                sums[name][at] += value
    rows = [row for name, values in sums.items() for row in _rows(name, values)]
    hot = [
        HotKey(
            "shop-products",
            "GetItem",
            f"{number * 7919:032x}"[::-1],
            f"id=S:product-{number}",
            int(90_000_000 / number**1.4),
            45_000_000 / number**1.4,
        )
        for number in range(1, 9)
    ]
    share = stats_of(*rows, hot=hot, failures={"load_failed": 31})
    started = minutes * 60.0 + 12
    return Overview(
        processes=(
            process(share, started=started, shadow=shadow),
            *(
                process(Stats(), started=started + 3600, number=number, shadow=shadow)
                for number in range(2, 7)
            ),
            process(
                Stats(),
                started=started,
                number=9,
                shadow=shadow,
                has_ended=True,
                updated=NOW - 86400,
            ),
        ),
        points=tuple(points),
        read_at=NOW,
    )


def _rows(name: str, values: list[float]) -> list[TableStats]:
    hits, misses, saved, consumed, writes, throttled = values
    operation = "Query" if name.endswith("status") else "GetItem"
    near = int(hits * 0.7)
    first = TableStats(
        name,
        operation,
        near_hits=near,
        store_hits=int(hits) - near,
        misses=int(misses),
        bypassed={"pending": 12} if name == "shop-carts" else {},
        fills=int(misses * 0.8),
        unfilled={"held": int(misses * (0.6 if name == "shop-carts" else 0.02))},
        throttled=int(throttled),
        units_saved=saved,
        units_consumed=consumed,
        units_estimated=saved * 0.03,
        near_latency=times(4.1e-6, 0.35, near // 16 + 1),
        store_latency=times(1.3e-4, 0.5, int(hits) - near),
        miss_latency=times(4.6e-3, 0.45, int(misses)),
        compared=int(hits * 0.01),
        differing=(
            {"settling": 41, "lasting": 17, "unconfirmed": 3}
            if name == "shop-customers"
            else {}
        ),
        stale_seconds=43.0 if name == "shop-customers" else 0.0,
        consistent=int(misses * 0.7) if name == "shop-customers" else 0,
        expired=int(misses * 0.64) if name == "shop-products" else 0,
        index_outdated=int(misses * 0.6) if operation == "Query" else 0,
    )
    return [
        first,
        TableStats(name, "PutItem", writes=int(writes * 0.3), evicted=int(writes)),
        TableStats(
            name, "UpdateItem", writes=int(writes * 0.7), evicted=int(writes * 2)
        ),
    ]


def twenty_seconds() -> Overview:
    """Return twenty seconds of a crawl, as the demo makes them."""
    minute = int(NOW // 60)
    row = TableStats(
        "frontier",
        "GetItem",
        near_hits=1800,
        store_hits=412,
        misses=388,
        fills=380,
        unfilled={"held": 8},
        units_saved=1106.0,
        units_consumed=194.0,
        throttled=23,
        near_latency=times(4.4e-6, 0.3, 112),
        store_latency=times(1.1e-4, 0.4, 412),
        miss_latency=times(8e-3, 0.5, 388),
    )
    return Overview(
        processes=(process(stats_of(row), started=NOW - 24, entries=388, size=2**20),),
        points=(
            Point(
                minute,
                "frontier",
                saved=1106,
                consumed=194,
                hits=2212,
                misses=388,
                throttled=23,
            ),
        ),
        read_at=NOW,
    )


def hostile() -> Overview:
    """Return an overview that another program has filled with what does harm."""
    marks = "\u202egnp.exe\u2066<script>alert(1)</script>"
    names = [
        "<script>alert('table')</script>",
        '"><img src=https://evil.example/x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        marks,
        "x" * 255,
        "w\ud800\x00\x1b[31m\n\u2028",
        "</style><style>@import 'https://evil.example/a.css'</style>",
        "-->]]>&lt;&amp;&#60;",
    ]
    rows = [
        TableStats(
            name,
            name,
            near_hits=900,
            store_hits=2000,
            misses=700,
            bypassed={name: 5},
            unfilled={name: 3, "held": 2**80},
            writes=900,
            units_saved=500.0,
            units_consumed=float("nan"),
            compared=60,
            differing={"lasting": 3, name: 2},
            stale_seconds=float("inf"),
            near_latency=Histogram((1, 2, 3), 1.0),
            expired=400,
            index_outdated=700,
            consistent=500,
            throttled=2000,
        )
        for name in names
    ]
    hot = [HotKey(name, name, name, name * 30, 9000, float("inf")) for name in names]
    record = process(
        stats_of(*rows, hot=hot, failures=dict.fromkeys(names, 900)),
        started=float("-inf"),
        host=marks,
        version=marks,
        updated=float("nan"),
        size=-5,
        entries=2**70,
    )
    points = [
        Point(int(NOW // 60) - at, name, saved=5.0, consumed=2.0, throttled=at)
        for at, name in enumerate(names)
    ]
    points += [
        Point(10**15, "late", saved=1.0),
        Point(-(10**15), "early", saved=1.0),
        Point(int(NOW // 60), "bad", saved=float("nan"), consumed=float("-inf")),
    ]
    return Overview((record,), stats_of(rows[0]), -3, tuple(points), read_at=NOW)


NOTHING = Overview(read_at=NOW)

ONLY_WRITES = Overview(
    processes=(
        process(
            stats_of(TableStats("audit-log", "PutItem", writes=40, evicted=120)),
            started=NOW - 3600,
        ),
    ),
    read_at=NOW,
)

OVERVIEWS: dict[str, Callable[[], Overview]] = {
    "two-weeks": two_weeks,
    "shadow": lambda: two_weeks(shadow=True),
    "twenty-seconds": twenty_seconds,
    "hostile": hostile,
    "nothing": lambda: NOTHING,
    "only-writes": lambda: ONLY_WRITES,
}


def _write_samples(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    samples = {
        **{name: make() for name, make in OVERVIEWS.items()},
        "two-weeks": two_weeks(every=1),
        "shadow": two_weeks(shadow=True, every=1),
    }
    for name, overview in samples.items():
        path = directory / f"{name}.html"
        write_report(overview, Prices(), path)
        print(path)


if __name__ == "__main__":
    _write_samples(Path(sys.argv[1]))
