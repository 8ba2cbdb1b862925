"""Answer <-> bytes. Pure; never pickle.

An entry is a header and a body. The header says what _coherence.py needs to decide
(snapshot, times), so that an entry which may not be served is never decoded. The body
is the parsed answer in MessagePack by msgspec: it keeps str and bytes apart as
botocore's answers do, decodes into fresh objects, can hold nothing but data, and is
the fastest of the safe ones (benchmarks/codec.py).
"""

import struct
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from botocache._errors import CodecError

VERSION = 1
"""Of the layout below; an entry of any other version is not read."""

_HEADER = struct.Struct("<BBdd")
_VIEW_SIZE = 400
"""Bytes that a memoryview takes, and what it looks through."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, Any])


class Entry(NamedTuple):
    """The header of an entry, and where its body begins.

    snapshot: the generations of its tags when its read was sent.
    stored_at, expires_at: seconds on the store's clock.
    """

    snapshot: tuple[int, ...]
    stored_at: float
    expires_at: float
    raw: bytes
    body_at: int

    def body(self) -> dict[str, Any]:
        """Decode the body into objects that nobody else has.

        Raises CodecError when it is not a map in MessagePack.
        """
        try:
            return _decoder.decode(memoryview(self.raw)[self.body_at :])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise CodecError(f"entry body cannot be decoded: {error}") from error

    def copier(self) -> Callable[[], dict[str, Any]]:
        """Return what decodes the body, once it was seen that it can be."""
        if len(self.raw) < _VIEW_SIZE:
            return partial(_decoder.decode, self.raw[self.body_at :])
        return partial(_decoder.decode, memoryview(self.raw)[self.body_at :])


def copier_of(body: dict[str, Any]) -> tuple[Callable[[], dict[str, Any]], int]:
    """Return what makes equals of a body that came out of an entry, and its bytes."""
    encoded = _encoder.encode(body)
    return partial(_decoder.decode, encoded), len(encoded)


def encode_entry(
    body: dict[str, Any], snapshot: tuple[int, ...], stored_at: float, expires_at: float
) -> bytes:
    """Return the entry's bytes.

    Raises CodecError when `body` holds something that would not come back as it is:
    msgspec takes a Decimal or a set too, and gives back a str or a list. Looking costs
    a decoding, on the way of a miss.
    """
    try:
        packed = _encoder.encode(body)
        is_kept = _decoder.decode(packed) == body
    except (
        TypeError,
        OverflowError,
        RecursionError,
        UnicodeEncodeError,
        msgspec.DecodeError,
    ) as error:
        raise CodecError(f"answer cannot be encoded: {error}") from error
    if not is_kept:
        raise CodecError("answer cannot be encoded: it is not plain data")
    return b"".join(
        (
            _HEADER.pack(VERSION, len(snapshot), stored_at, expires_at),
            struct.pack(f"<{len(snapshot)}Q", *snapshot),
            packed,
        )
    )


def decode_entry(raw: bytes) -> Entry:
    """Read an entry's header. Raises CodecError when `raw` is not one of ours."""
    try:
        version, count, stored_at, expires_at = _HEADER.unpack_from(raw)
        if version != VERSION:
            raise CodecError(f"entry has version {version}, not {VERSION}")
        snapshot = struct.unpack_from(f"<{count}Q", raw, _HEADER.size)
    except struct.error as error:
        raise CodecError(f"entry header cannot be read: {error}") from error
    return Entry(snapshot, stored_at, expires_at, raw, _HEADER.size + 8 * count)
