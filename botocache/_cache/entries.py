"""Answer <-> bytes. Pure; never pickle.

An entry is a header and a body. The header holds the snapshot and the times, which
decide whether the entry may be served; only then is the body opened. It also holds what
DynamoDB reads for the answer, so that a hit in any process knows what it saves. The
body is the parsed answer in MessagePack, by msgspec. It keeps str and bytes apart as
botocore's answers do, decodes into fresh objects, can hold nothing but data, and is the
fastest of the safe codecs (benchmarks/codec.py).

Anyone who can write to the store can write any bytes. So the decoders accept only what
a DynamoDB answer is made of, no deeper than `MOST_NESTED`, and no entry larger than
`LARGEST_ENTRY`. Decoding then takes at most 75 times an entry's bytes, for a list of
empty maps. A list of empty strings, as DynamoDB itself may return it, takes 50 times.

An EntryCodec puts header and body together. It binds them to the entry's key, so that
an entry is good under its own key alone. `ClearEntries` does that by a checksum, which
detects damage and misplacement. Against forgery there is `encryption.py`.
"""

import struct
from collections.abc import Callable
from functools import cache, partial
from typing import (
    Annotated,
    Any,
    Final,
    NamedTuple,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
)
from zlib import crc32

import msgspec

from botocache._dynamodb.read_units import SMALLEST, ReadCost
from botocache._dynamodb.types import Answer
from botocache._errors import CodecError, pass_on, shows

Packed: TypeAlias = bytes | memoryview
"""The body of an entry in MessagePack."""

Decode: TypeAlias = Callable[[Packed], Answer]
"""Decodes a body into fresh objects."""

Copier: TypeAlias = Callable[[], Answer]
"""Makes another equal answer at each call."""

CLEAR = 2
"""The version of an entry in clear; its first byte. An entry of version 1 is a miss."""

ENCRYPTED = 3
"""The version of an encrypted entry; its first byte."""

LARGEST_ENTRY = 4 * 1024**2
"""Bytes. A page of DynamoDB has a megabyte, plus names."""

MOST_NESTED = 40
"""Lists and maps inside one another. DynamoDB allows 32."""

CLOCK_SKEW = 60.0
"""Seconds by which two processes may differ in what they take for the store's time."""


class _Headers(dict[int, struct.Struct]):
    """The form of a header by the number of tags. A Struct takes long to be made."""

    def __missing__(self, tags: int) -> struct.Struct:
        made = self[tags] = struct.Struct(f"<BBddH{tags}Q")
        return made


_headers: Final = _Headers()

_ESTIMATED = 0x8000
"""The bit of a cost that is estimated; the others are its blocks."""

_CHECKSUM = struct.Struct("<I")

_WHOLE = 0x2144DF1C
"""The CRC-32 of any bytes that their own CRC-32 follows."""

_VIEW_SIZE = 400
"""Bytes of a body from which a memoryview takes less memory than a copy."""


# --- headers -----------------------------------------------------------------------


@shows("stored_at", "expires_at")
class Header(NamedTuple):
    """The header of an entry. It proves nothing before a codec has opened the body.

    snapshot: the generations of its tags when its read was sent.
    stored_at: when its read was sent, in seconds on the store's clock.
    expires_at: from when on it is a miss, in seconds on the store's clock.
    cost: what DynamoDB reads for its answer.
    raw: the whole entry.
    end: where the header ends in `raw`.
    """

    snapshot: tuple[int, ...]
    stored_at: float
    expires_at: float
    cost: ReadCost
    raw: bytes
    end: int


def encode_header(
    version: int,
    snapshot: tuple[int, ...],
    stored_at: float,
    expires_at: float,
    cost: ReadCost,
) -> bytes:
    """Return the bytes of a header."""
    blocks = cost.blocks | _ESTIMATED if cost.is_estimated else cost.blocks
    count = len(snapshot)
    return _headers[count].pack(
        version, count, stored_at, expires_at, blocks, *snapshot
    )


def decode_header(raw: bytes) -> Header:
    """Decode an entry's header. Raises CodecError if `raw` is not an entry."""
    try:
        version, count = raw[0], raw[1]
        if version not in _VERSIONS:
            raise CodecError(f"entry has version {version}, not {CLEAR} or {ENCRYPTED}")
        layout = _headers[count]
        fields = layout.unpack_from(raw)
    except (IndexError, struct.error) as error:
        raise CodecError(f"entry header cannot be read: {error}") from error
    _, _, stored_at, expires_at, blocks = fields[:_FIXED]
    # False for NaN, too.
    if not -_INFINITE < stored_at <= expires_at < _INFINITE:
        raise CodecError("entry header has impossible times")
    cost = SMALLEST
    if blocks != SMALLEST.blocks:
        # By its form it is never too high: what a hit saves has a bound.
        cost = ReadCost(blocks & ~_ESTIMATED, blocks >= _ESTIMATED)
        if not cost.blocks:
            raise CodecError("entry header has an impossible cost")
    if len(raw) > LARGEST_ENTRY:
        raise CodecError(f"entry has {len(raw)} bytes, more than {LARGEST_ENTRY}")
    return _header((fields[_FIXED:], stored_at, expires_at, cost, raw, layout.size))


_FIXED = 5
"""Fields of a header before its snapshot."""

_header: Callable[[tuple[object, ...]], Header] = partial(tuple.__new__, Header)
"""Makes a Header of its fields, in a third of the time that its class takes."""

_VERSIONS = (CLEAR, ENCRYPTED)
_INFINITE = float("inf")


# --- codecs ------------------------------------------------------------------------


class EntryCodec(Protocol):
    """Puts the entries of one cache together, and takes them apart."""

    def encode(  # noqa: PLR0913, PLR0917 - what an entry consists of
        self,
        key: bytes,
        packed: bytes,
        snapshot: tuple[int, ...],
        stored_at: float,
        expires_at: float,
        cost: ReadCost = SMALLEST,
    ) -> bytes:
        """Return an entry's bytes, which are good under `key` alone.

        Raises CodecError if they are too many.
        """

    def open(self, key: bytes, header: Header) -> Packed:
        """Return the body of an entry that was loaded under `key`.

        Raises CodecError if this codec has not encoded these very bytes for that key.
        """


class ClearEntries:
    """Entries that everyone who can read the store can read. See EntryCodec.

    CRC-32, and not BLAKE2b: at 1 KB it takes a third of the time, at 400 KB a quarter.
    """

    def encode(  # noqa: PLR0913, PLR0917 - what an entry consists of
        self,
        key: bytes,
        packed: bytes,
        snapshot: tuple[int, ...],
        stored_at: float,
        expires_at: float,
        cost: ReadCost = SMALLEST,
    ) -> bytes:
        """See EntryCodec.encode."""
        # `encode_header`, written out: it is on the path of every miss.
        count = len(snapshot)
        blocks = cost.blocks | _ESTIMATED if cost.is_estimated else cost.blocks
        header = _headers[count].pack(
            CLEAR, count, stored_at, expires_at, blocks, *snapshot
        )
        if len(header) + len(packed) + _CHECKSUM.size > LARGEST_ENTRY:
            raise too_large(len(packed))
        # Joined once, at the end: the copies of a large body take longer than all else.
        checksum = crc32(packed, crc32(header, crc32(key)))
        return b"".join((header, packed, _CHECKSUM.pack(checksum)))

    def open(self, key: bytes, header: Header) -> Packed:
        """See EntryCodec.open."""
        raw, end = header.raw, header.end
        if raw[0] != CLEAR:
            raise CodecError("entry is encrypted, and this process has no key")
        body_end = len(raw) - _CHECKSUM.size
        # The header may reach into the checksum of an entry that was cut off. All is
        # checked together, the checksum too: no part has to be taken out for that.
        if body_end < end or crc32(raw, crc32(key)) != _WHOLE:
            raise CodecError("entry does not match its checksum")
        # To cut a small body out takes a quarter of the time of a view.
        if body_end - end < _VIEW_SIZE:
            return raw[end:body_end]
        return memoryview(raw)[end:body_end]


def too_large(size: int) -> CodecError:
    """Return the error to raise for a body of that many bytes."""
    return CodecError(f"answer cannot be encoded: {size} bytes are too many")


# --- bodies ------------------------------------------------------------------------


@shows("stored_at", "expires_at")
class Entry(NamedTuple):
    """An entry that a codec has opened, and that has answered a read.

    snapshot: the generations of its tags when its read was sent.
    stored_at: when its read was sent, in seconds on the store's clock.
    expires_at: from when on it is a miss, in seconds on the store's clock.
    packed: its body.
    decode: the function that has decoded the body.
    cost: what DynamoDB reads for its answer.
    """

    snapshot: tuple[int, ...]
    stored_at: float
    expires_at: float
    packed: Packed
    decode: Decode
    cost: ReadCost = SMALLEST

    def copier(self) -> Copier:
        """Return a function that decodes the body."""
        # Near entries keep the copier, so its memory counts.
        if len(self.packed) < _VIEW_SIZE:
            return partial(self.decode, bytes(self.packed))
        return partial(self.decode, self.packed)


_T = TypeVar("_T")

_encode: Final = msgspec.msgpack.Encoder().encode


def _attribute_value(binary: type) -> Any:
    """Return the type of an attribute value, with all that it may hold.

    binary: the type of the values that DynamoDB calls binary.
    """
    # By a type for each level, because msgspec has no limit to the depth. It checks
    # types as it decodes, which takes 2 % longer than decoding without them.
    # Any: these types are made here, where a type checker does not follow.
    make: Any = TypedDict
    maps: Any = dict
    lists: Any = list
    leaf = {
        **dict.fromkeys(("S", "N"), str),
        **dict.fromkeys(("SS", "NS"), lists[str]),
        **dict.fromkeys(("BOOL", "NULL"), bool),
        "B": binary,
        "BS": lists[binary],
    }
    # The innermost ones are empty: what has an unknown name would be left out.
    empty = msgspec.Meta(max_length=0)
    innermost = {"M": Annotated[dict, empty], "L": Annotated[list, empty]}
    value = make("Value", {**leaf, **innermost}, total=False)
    for _ in range(MOST_NESTED - 1):
        nested = {"M": maps[str, value], "L": lists[value]}
        value = make("Value", {**leaf, **nested}, total=False)
    return value


def _decoder_of_answers(value: Any) -> Decode:
    """Return a decoder of answers, and of nothing else.

    value: the type of an attribute value.
    """
    # Any: see `_attribute_value`.
    make: Any = TypedDict
    maps: Any = dict
    lists: Any = list
    item = maps[str, value]
    parts = {"Item": item, "Items": lists[item], "LastEvaluatedKey": item}
    counts = dict.fromkeys(("Count", "ScannedCount"), int)
    answer = make("Answer", {**parts, **counts}, total=False)
    decode: Decode = msgspec.msgpack.Decoder(answer).decode
    return decode


ATTRIBUTE_VALUE: Final = _attribute_value(bytes)
"""The type of an attribute value, which a typed decoder makes."""

_decode_answer: Final = _decoder_of_answers(ATTRIBUTE_VALUE)


@cache
def _text_decoder() -> Decode:
    """Return the decoder for clients that read binary values as text."""
    return _decoder_of_answers(_attribute_value(str))


_MADE_MEMBERS: Final = frozenset({"Item", "Items", "LastEvaluatedKey"})


def encode_answer(answer: Answer, *, is_plain: bool = False) -> bytes:
    """Return the body of an answer's entry.

    is_plain: a decoder has just made its items, of the type ATTRIBUTE_VALUE. Then
        decoding them again would show nothing, and takes three times as long.

    Raises CodecError if it would be decoded to something else.
    """
    if is_plain and all(
        name in _MADE_MEMBERS or _is_count(name, value)
        for name, value in answer.items()
    ):
        return _encode(answer)
    try:
        # `encode_body`, written out: it is on the path of every miss.
        packed = _encode(answer)
        if _decode_answer(packed) == answer:
            return packed
    except Exception as error:
        pass_on(error)  # what comes next says what it is
    try:
        return encode_body(answer, _text_decoder())
    except CodecError:
        return encode_body(answer, _decode_answer)  # to raise its error


def _is_count(name: str, value: object) -> bool:
    return (
        name in {"Count", "ScannedCount"}
        and type(value) is int
        and 0 <= value <= _LARGEST_COUNT
    )


_LARGEST_COUNT = 2**31 - 1


def decode_answer(packed: Packed) -> tuple[Answer, Decode]:
    """Return the answer in a body, in fresh objects, and the function to decode more.

    Raises CodecError if it is not an answer of DynamoDB.
    """
    decode = _decode_answer
    try:
        return decode(packed), decode
    except msgspec.ValidationError:
        decode = _text_decoder()
    except _DECODING_ERRORS as error:
        raise _undecodable(error) from error
    return decode_body(packed, decode), decode


def encode_body(body: object, decode: Callable[[Packed], object]) -> bytes:
    """Return a body in MessagePack.

    Raises CodecError if `decode` returns something else for it.
    """
    try:
        packed = _encode(body)
        # msgspec encodes a Decimal or a set, too, but decodes a str or a list. The
        # check costs a decoding, once per miss.
        is_kept = decode(packed) == body
    except (
        TypeError,
        OverflowError,
        RecursionError,
        UnicodeEncodeError,
        msgspec.DecodeError,
        CodecError,
    ) as error:
        raise CodecError(f"answer cannot be encoded: {error}") from error
    if not is_kept:
        raise CodecError("answer cannot be encoded: it holds more than plain data")
    return packed


def decode_body(packed: Packed, decode: Callable[[Packed], _T]) -> _T:
    """Decode a body into fresh objects. Raises CodecError if `decode` refuses it."""
    try:
        return decode(packed)
    except _DECODING_ERRORS as error:
        raise _undecodable(error) from error


# RecursionError: msgspec skips what has an unknown name, however deep it is nested.
_DECODING_ERRORS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def _undecodable(error: Exception) -> CodecError:
    return CodecError(f"entry body cannot be decoded: {error}")


_decode_own: Final = msgspec.msgpack.Decoder(Answer).decode


def copier_of(answer: Answer) -> tuple[Copier, int]:
    """Return a copier for an answer of this process, and its size in bytes."""
    # Not as strict as the store's: the answer may have its ConsumedCapacity already.
    encoded = _encode(answer)
    return partial(_decode_own, encoded), len(encoded)
