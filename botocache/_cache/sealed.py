"""Records that processes leave each other on the store: to bytes and back. Pure.

A record is MessagePack, compressed, and sealed by the codec of the entries: with a
checksum, or encrypted if the entries are. It is bound to its name, and to the namespace
if it is encrypted. No record is an entry, or an entry a record: their digests differ.

Others can write to the store. So a record is decoded within bounds, and into one type.
"""

import zlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from botocache._cache.entries import EntryCodec, decode_header
from botocache._digests import digest
from botocache._errors import CodecError
from botocache.stores.boards import LARGEST_RECORD

_T = TypeVar("_T")

_LARGEST_UNPACKED = 8 * 1024**2
"""Bytes of MessagePack in a record."""


def seal(codec: EntryCodec, name: str, record: object, now: float, ttl: float) -> bytes:
    """Return a record's bytes, which are good under its name alone.

    now: seconds since the epoch.
    ttl: seconds.

    Raises StoreSkippedError if there are no keys, and CodecError if it is too large.
    """
    packed = zlib.compress(msgspec.msgpack.encode(record), 1)
    sealed = codec.encode(_key(name), packed, (), now, now + ttl)
    if len(sealed) > LARGEST_RECORD:
        raise CodecError(f"a record has {len(sealed)} bytes, which are too many")
    return sealed


def unseal(
    codec: EntryCodec, name: str, sealed: bytes, decode: Callable[[bytes], _T]
) -> _T:
    """Return a record. Raises CodecError or StoreSkippedError.

    decode: of a typed decoder of msgspec.
    """
    # By its name: a record that was put in the place of another one is damage.
    body = codec.open(_key(name), decode_header(sealed))
    try:
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(body, _LARGEST_UNPACKED)
        if not unpacker.eof or unpacker.unused_data:
            raise CodecError("a record is cut off, or unpacks to too much")
        return decode(unpacked)
    except (zlib.error, msgspec.DecodeError, RecursionError, ValueError) as error:
        raise CodecError(f"a record cannot be decoded: {error}") from error


def _key(name: str) -> bytes:
    return digest("record", name)
