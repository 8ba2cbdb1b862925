"""Answer <-> bytes. Pure; never pickle.

An entry is a header and a body. The header holds the snapshot and the times, which
decide whether the entry may be served; the body is decoded only then. The body is the
parsed answer in MessagePack, by msgspec. It keeps str and bytes apart as botocore's
answers do, decodes into fresh objects, can hold nothing but data, and is the fastest of
the safe codecs (benchmarks/codec.py).
"""

import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import msgspec

from botocache._dynamodb.types import Answer
from botocache._errors import CodecError, shows

Copier: TypeAlias = Callable[[], Answer]
"""Makes another equal answer at each call."""

VERSION = 1
"""Of the layout below. An entry of another version is a miss."""

_HEADER = struct.Struct("<BBdd")
_VIEW_SIZE = 400
"""Bytes of an entry from which a memoryview takes less memory than a copy."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Answer)


@shows("stored_at", "expires_at")
class Entry(NamedTuple):
    """The header of an entry, and where its body begins.

    snapshot: the generations of its tags when its read was sent.
    stored_at: when its read was sent, in seconds on the store's clock.
    expires_at: from when on it is a miss, in seconds on the store's clock.
    raw: the whole entry.
    body_at: where the body begins in `raw`.
    """

    snapshot: tuple[int, ...]
    stored_at: float
    expires_at: float
    raw: bytes
    body_at: int

    def body(self) -> Answer:
        """Decode the body into fresh objects, which the caller may change.

        Raises CodecError if it is not a map in MessagePack.
        """
        try:
            return _decoder.decode(memoryview(self.raw)[self.body_at :])
        # RecursionError: damaged bytes may nest too deeply.
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise CodecError(f"entry body cannot be decoded: {error}") from error

    def copier(self) -> Copier:
        """Return a function that decodes the body. Call `body` first: it checks."""
        # Near entries keep the copier, so its memory counts.
        if len(self.raw) < _VIEW_SIZE:
            return partial(_decoder.decode, self.raw[self.body_at :])
        return partial(_decoder.decode, memoryview(self.raw)[self.body_at :])


def copier_of(body: Answer) -> tuple[Copier, int]:
    """Return a copier for a body that came out of an entry, and its size in bytes."""
    encoded = _encoder.encode(body)
    return partial(_decoder.decode, encoded), len(encoded)


def encode_entry(
    body: Answer, snapshot: tuple[int, ...], stored_at: float, expires_at: float
) -> bytes:
    """Return the entry's bytes.

    Raises CodecError if `body` would be decoded to something else.
    """
    try:
        packed = _encoder.encode(body)
        # msgspec encodes a Decimal or a set, too, but decodes a str or a list. The
        # check costs a decoding, once per miss.
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
        raise CodecError("answer cannot be encoded: it holds more than plain data")
    return b"".join(
        (
            _HEADER.pack(VERSION, len(snapshot), stored_at, expires_at),
            struct.pack(f"<{len(snapshot)}Q", *snapshot),
            packed,
        )
    )


def decode_entry(raw: bytes) -> Entry:
    """Decode an entry's header. Raises CodecError if `raw` is not an entry."""
    try:
        version, count, stored_at, expires_at = _HEADER.unpack_from(raw)
        if version != VERSION:
            raise CodecError(f"entry has version {version}, not {VERSION}")
        snapshot = struct.unpack_from(f"<{count}Q", raw, _HEADER.size)
    except struct.error as error:
        raise CodecError(f"entry header cannot be read: {error}") from error
    return Entry(snapshot, stored_at, expires_at, raw, _HEADER.size + 8 * count)
