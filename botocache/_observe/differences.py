"""What was counted between two moments, and sums that fit into a record. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from botocache._counting.stats import (
    OTHER,
    Histogram,
    HotKey,
    Stats,
    TableStats,
    sum_by_table,
)

MOST_SERIES = 200
"""Tables and operations that a record has; the rest is one table, OTHER."""

_T = TypeVar("_T", Stats, TableStats, HotKey)

_KEPT: Final = frozenset(
    {"table", "operation", "digest", "key", "undelivered", "stale_seconds"}
)
"""Fields that do not count up: they are those of the later moment."""


def difference(later: Stats, earlier: Stats) -> Stats:
    """Return what was counted between two moments of the same counters."""
    before = {(each.table, each.operation): each for each in earlier.tables}
    tables = []
    for each in later.tables:
        known = before.get((each.table, each.operation))
        if known is None:
            tables.append(each)
        elif known != each:
            tables.append(minus(each, known))
    return replace(
        minus(later, earlier),
        tables=tuple(tables),
        hot_keys=_hot_keys(later.hot_keys, earlier.hot_keys),
    )


def bounded(stats: Stats) -> Stats:
    """Return counts with as many tables and operations as a record may have."""
    tables = stats.tables
    if len(tables) <= MOST_SERIES:
        return stats
    ordered = sorted(tables, key=lambda each: each.looked_up, reverse=True)
    kept = [each for each in ordered[:MOST_SERIES] if each.table != OTHER]
    # The operations stay apart, or the rest would mix reads with writes.
    others = [replace(each, table=OTHER) for each in tables if each not in kept]
    return replace(stats, tables=sum_by_table((*kept, *others)))


def _hot_keys(later: Iterable[HotKey], earlier: Iterable[HotKey]) -> tuple[HotKey, ...]:
    before = {(each.table, each.operation, each.digest): each for each in earlier}
    found = []
    for each in later:
        known = before.get((each.table, each.operation, each.digest))
        rest = each if known is None else minus(each, known)
        if rest.hits > 0:  # they are estimates, and may go down
            found.append(rest)
    return tuple(found)


def minus(later: _T, earlier: _T) -> _T:
    """Return what has been added to the counts; never less than nothing.

    later, earlier: of one process; the names are the same.
    """
    values: dict[str, Any] = {}
    for each in fields(later):
        a, b = getattr(later, each.name), getattr(earlier, each.name)
        if each.name in _KEPT or isinstance(a, tuple):
            continue
        if isinstance(a, Histogram):
            values[each.name] = a.since(b)
        elif isinstance(a, Mapping):
            rest = {name: count - b.get(name, 0) for name, count in a.items()}
            values[each.name] = {n: count for n, count in rest.items() if count > 0}
        else:
            values[each.name] = max(type(a)(0), a - b)
    return replace(later, **values)
