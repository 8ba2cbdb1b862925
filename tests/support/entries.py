"""Entries in clear, made and read as the cache does."""

from typing import Any

from botocache._cache.entries import (
    ClearEntries,
    Entry,
    decode_answer,
    decode_header,
    encode_answer,
)
from botocache._dynamodb.read_units import SMALLEST, ReadCost

KEY = b"key of an entry."
"""The digest under which these entries are."""

_CHECKSUM = 4

_codec = ClearEntries()


def encode_entry(
    answer: dict[str, Any],
    snapshot: tuple[int, ...],
    stored_at: float,
    expires_at: float,
    key: bytes = KEY,
) -> bytes:
    """Return the entry of an answer."""
    return encode_packed(encode_answer(answer), snapshot, stored_at, expires_at, key)


def encode_packed(  # noqa: PLR0913, PLR0917 - what an entry consists of
    packed: bytes,
    snapshot: tuple[int, ...] = (),
    stored_at: float = 1.0,
    expires_at: float = 2.0,
    key: bytes = KEY,
    cost: ReadCost = SMALLEST,
) -> bytes:
    """Return an entry with any bytes for its body."""
    return _codec.encode(key, packed, snapshot, stored_at, expires_at, cost)


def decode_entry(raw: bytes, key: bytes = KEY) -> tuple[Entry, dict[str, Any]]:
    """Return an entry and its answer. Raises CodecError."""
    header = decode_header(raw)
    packed = _codec.open(key, header)
    answer, decode = decode_answer(packed)
    times = header.stored_at, header.expires_at
    return Entry(header.snapshot, *times, packed, decode, header.cost), answer


def answer_in(raw: bytes) -> dict[str, Any]:
    """Return the answer in an entry, whatever its key."""
    body = raw[decode_header(raw).end : -_CHECKSUM]
    return decode_answer(body)[0]
