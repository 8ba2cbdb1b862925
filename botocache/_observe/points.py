"""Points: what happened to each table in each minute. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Final

from botocache._counting.stats import OTHER, Stats
from botocache._observe.records import Point

MINUTE = 60.0
HOUR = 3600.0

MOST_TABLES = 50
"""Tables of an hour that have points of their own; all others are OTHER."""

FINE_TABLES = 10
"""Tables of an hour for which there is a point each minute. With more, one stands for
COARSE minutes, so that the points of two weeks fit into a store and a page."""

COARSE = 5

_NAMES: Final = ("minute", "table")
_AMOUNTS: Final = tuple(f.name for f in fields(Point) if f.name not in _NAMES)


def points_of(done: Stats, minute: int) -> tuple[Point, ...]:
    """Return one point for each table that had calls.

    done: what happened since the last points were taken.
    minute: since the epoch.
    """
    return tuple(
        point
        for point in sum_points(
            Point(
                minute,
                each.table,
                saved=each.units_saved,
                consumed=each.units_consumed,
                hits=each.hits,
                misses=each.misses,
                writes=each.writes,
                throttled=each.throttled,
                stale=each.lasting,
            )
            for each in done.tables
        )
        if any(getattr(point, name) for name in _AMOUNTS)
    )


def sum_points(points: Iterable[Point]) -> tuple[Point, ...]:
    """Return one point for each minute and table, in the order of both."""
    sums: dict[tuple[int, str], Point] = {}
    for point in points:
        place = (point.minute, point.table)
        before = sums.get(place)
        sums[place] = point if before is None else _sum(before, point)
    return tuple(sums[place] for place in sorted(sums))


def bounded(points: Iterable[Point]) -> tuple[Point, ...]:
    """Return the points of an hour, few enough for a record."""
    summed = sum_points(points)
    reads: dict[str, float] = {}
    for point in summed:
        reads[point.table] = reads.get(point.table, 0) + point.hits + point.misses
    kept = _busiest(reads)
    step = COARSE if len(reads) > FINE_TABLES else 1
    return sum_points(
        replace(
            point,
            # The same minutes in every process, or the sums of an hour would not meet.
            minute=point.minute - point.minute % step,
            table=point.table if point.table in kept else OTHER,
        )
        for point in summed
    )


def _busiest(reads: Mapping[str, float]) -> frozenset[str]:
    if len(reads) <= MOST_TABLES:
        return frozenset(reads)
    # OTHER last: a record that was bounded before may have it already.
    ordered = sorted(reads, key=lambda table: (table == OTHER, -reads[table], table))
    return frozenset(ordered[: MOST_TABLES - 1])


def _sum(left: Point, right: Point) -> Point:
    sums = {name: getattr(left, name) + getattr(right, name) for name in _AMOUNTS}
    return replace(left, **sums)
