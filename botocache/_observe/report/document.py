"""The figures of a report as a document for programs: dicts, lists and scalars."""

from dataclasses import asdict
from typing import Any

from botocache._counting.stats import HotKey, TableStats
from botocache._observe.document import latency_of
from botocache._observe.report.subject import Subject


def report_document(subject: Subject) -> dict[str, Any]:
    """Return what `--json` prints."""
    figures = subject.figures
    return {
        "read_at": figures.read_at,
        "began": figures.began,
        "ended": figures.ended,
        "mode": figures.mode,
        "processes": figures.processes,
        "ended_processes": figures.ended_processes,
        "hosts": figures.hosts,
        "units_saved": figures.saved,
        "units_consumed": figures.consumed,
        "share_saved": figures.share,
        "money": None if figures.money is None else asdict(figures.money),
        "prices": asdict(subject.prices),
        "total": _row(figures.total),
        "tables": [_row(row) for row in figures.rows],
        "followed": [asdict(each) for each in figures.followed],
        "step_minutes": figures.step_minutes,
        "steps": [asdict(step) for step in figures.steps],
        "failures": figures.failures,
        "undelivered": figures.undelivered,
        "entries": figures.entries,
        "size": figures.size,
        "hot_keys": [_key(key, subject.show_keys) for key in figures.hot_keys],
        "advice": [asdict(each) for each in subject.advice],
    }


def _row(row: TableStats) -> dict[str, Any]:
    values = asdict(row)
    for name in ("near_latency", "store_latency", "miss_latency"):
        values[name] = latency_of(getattr(row, name))
    return {**values, "hits": row.hits, "hit_ratio": row.hit_ratio}


def _key(key: HotKey, show: bool) -> dict[str, Any]:  # noqa: FBT001 - of an option
    values = asdict(key)
    if not show:
        del values["key"]
    return values
