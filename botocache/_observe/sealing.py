"""What processes post of themselves: names, and records to bytes and back. Pure.

Others can write to the store. So each value of a record must be one that a process can
post. How a record is sealed stands in `_cache/sealed.py`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Final, TypeVar

import msgspec

from botocache._cache.entries import EntryCodec
from botocache._cache.sealed import unseal
from botocache._counting.stats import LATENCY_BOUNDS, Histogram, HotKey, Stats
from botocache._errors import CodecError
from botocache._observe.records import PastRecord, Point, ProcessRecord

_T = TypeVar("_T")

_LONGEST_NAME = 300
"""Characters. A table has at most 255."""

_LONGEST_KEY = 1000
"""Characters of the text of a hot key."""

_LARGEST_COUNT = 2**53

_MINUTES = 60

_PROCESS = re.compile(r"process-([A-Za-z0-9]{1,64})", re.ASCII)
_HOUR = re.compile(r"hour-([0-9]{1,10})(-[A-Za-z0-9]{1,64})?", re.ASCII)
_PAST = re.compile(r"past(-[A-Za-z0-9]{1,64})?", re.ASCII)


# --- names -------------------------------------------------------------------------


def process_name(process: str) -> str:
    """Return the name of a process's record."""
    return f"process-{process}"


def is_process(name: str) -> bool:
    """Return whether a name is that of a process's record."""
    return _PROCESS.fullmatch(name) is not None


def is_past(name: str) -> bool:
    """Return whether a name is that of a sum of processes."""
    return _PAST.fullmatch(name) is not None


def hour_name(hour: int, part: str = "") -> str:
    """Return the name of an hour's points. part: the id of those of one process."""
    return f"hour-{hour}-{part}" if part else f"hour-{hour}"


def hour_of(name: str) -> int | None:
    """Return the hour since the epoch that a name stands for; None for other names."""
    found = _HOUR.fullmatch(name)
    return int(found[1]) if found else None


# --- bytes -------------------------------------------------------------------------


def open_process(codec: EntryCodec, name: str, sealed: bytes) -> ProcessRecord:
    """Return a process's record. Raises CodecError or StoreSkippedError."""
    record = _open(codec, name, sealed, _decode_process)
    found = _PROCESS.fullmatch(name)
    if found is None or found[1] != record.process:
        raise CodecError("a record has the id of another process")
    return record


def open_past(codec: EntryCodec, name: str, sealed: bytes) -> PastRecord:
    """Return a sum of processes. Raises CodecError or StoreSkippedError."""
    return _open(codec, name, sealed, _decode_past)


def open_points(codec: EntryCodec, name: str, sealed: bytes) -> tuple[Point, ...]:
    """Return an hour's points. Raises CodecError or StoreSkippedError."""
    points = _open(codec, name, sealed, _decode_points)
    hour = hour_of(name)
    if any(point.minute // _MINUTES != hour for point in points):
        raise CodecError("a record has points of another hour")
    return points


def _open(
    codec: EntryCodec, name: str, sealed: bytes, decode: Callable[[bytes], _T]
) -> _T:
    return _checked(unseal(codec, name, sealed, decode))


_decode_process: Final = msgspec.msgpack.Decoder(ProcessRecord).decode
_decode_past: Final = msgspec.msgpack.Decoder(PastRecord).decode
_decode_points: Final = msgspec.msgpack.Decoder(tuple[Point, ...]).decode


# --- values ------------------------------------------------------------------------


def _checked(record: _T) -> _T:
    """Return a record whose values are all possible. Raises CodecError.

    Readers print names, and add counts up.
    """
    if isinstance(record, HotKey):
        if len(record.key) > _LONGEST_KEY:
            raise CodecError("a record has an impossible key")
        # A key may hold anything: a terminal or a page must not act on it.
        key = record.key if record.key.isprintable() else ascii(record.key)[1:-1]
        _check_all(getattr(record, f.name) for f in fields(record) if f.name != "key")
        return replace(record, key=key)
    if isinstance(record, Stats):
        hot_keys = tuple(map(_checked, record.hot_keys))
        _check_all(getattr(record, f.name) for f in fields(record))
        return replace(record, hot_keys=hot_keys)
    if isinstance(record, (ProcessRecord, PastRecord)):
        _check_all(getattr(record, f.name) for f in fields(record) if f.name != "stats")
        return replace(record, stats=_checked(record.stats))
    _check(record)
    return record


def _check_all(values: Iterable[object]) -> None:
    for value in values:
        _check(value)


def _check(value: object) -> None:
    if isinstance(value, str):
        if len(value) > _LONGEST_NAME or not value.isprintable():
            raise CodecError("a record has an impossible name")
    elif isinstance(value, (int, float)):  # False for NaN, too
        if not 0 <= value <= _LARGEST_COUNT:
            raise CodecError("a record has an impossible number")
    elif isinstance(value, Histogram):
        if len(value.counts) != len(LATENCY_BOUNDS) + 1:
            raise CodecError("a record has a histogram of other buckets")
        _check_all((*value.counts, value.seconds))
    elif isinstance(value, dict):
        _check_all((*value, *value.values()))
    elif isinstance(value, tuple):
        _check_all(value)
    elif is_dataclass(value) and not isinstance(value, HotKey):
        _check_all(getattr(value, each.name) for each in fields(value))


def sane(text: str) -> str:
    """Return a name as a reader takes it."""
    return text[:_LONGEST_NAME] if text.isprintable() else ascii(text)[:_LONGEST_NAME]
