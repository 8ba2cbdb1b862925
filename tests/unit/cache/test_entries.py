"""Answers come back as they were, and nothing but answers; all else is a CodecError."""

import dataclasses
import datetime as dt
import enum
import struct
import tracemalloc
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._cache import entries
from botocache._cache.entries import (
    CLEAR,
    ENCRYPTED,
    LARGEST_ENTRY,
    MOST_NESTED,
    ClearEntries,
    decode_answer,
    decode_header,
    encode_answer,
)
from botocache._dynamodb.read_units import MOST_BLOCKS, ReadCost
from botocache._errors import CodecError
from tests.support.entries import KEY, decode_entry, encode_entry, encode_packed

SNAPSHOT = (0, 1, 2**64 - 1)

_names = st.text(max_size=3)
_numbers = st.integers().map(str)
_binary = st.binary(max_size=8)
_leaves = st.one_of(
    st.fixed_dictionaries({"S": st.text(max_size=8)}),
    st.fixed_dictionaries({"N": _numbers}),
    st.fixed_dictionaries({"B": _binary}),
    st.fixed_dictionaries({"SS": st.lists(st.text(max_size=3), max_size=3)}),
    st.fixed_dictionaries({"NS": st.lists(_numbers, max_size=3)}),
    st.fixed_dictionaries({"BS": st.lists(_binary, max_size=3)}),
    st.fixed_dictionaries({"BOOL": st.booleans()}),
    st.fixed_dictionaries({"NULL": st.booleans()}),
)
_values: st.SearchStrategy[Any] = st.recursive(
    _leaves,
    lambda inner: (
        st.fixed_dictionaries({"L": st.lists(inner, max_size=3)})
        | st.fixed_dictionaries({"M": st.dictionaries(_names, inner, max_size=3)})
    ),
    max_leaves=8,
)
_items = st.dictionaries(_names, _values, max_size=3)
_answers: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "Item": _items,
        "Items": st.lists(_items, max_size=3),
        "LastEvaluatedKey": _items,
        "Count": st.integers(0, 2**63),
        "ScannedCount": st.integers(0, 2**63),
    },
)
_times = st.floats(0, 1e12)


def _typed(value: Any) -> Any:
    """Return what is equal only for values that are equal and of the same types."""
    match value:
        case list():
            return [_typed(part) for part in value]
        case dict():
            return {key: _typed(part) for key, part in value.items()}
        case _:
            return type(value), repr(value)


def _objects(value: Any) -> set[int]:
    """Return the identity of every list and dict in it."""
    match value:
        case list():
            return {id(value)}.union(*map(_objects, value))
        case dict():
            return {id(value)}.union(*map(_objects, value.values()))
        case _:
            return set()


def _nested(depth: int) -> dict[str, Any]:
    """Return an answer with that many lists and maps inside one another."""
    value: dict[str, Any] = {"L": []} if depth % 2 else {"M": {}}
    for level in range(depth - 1):
        value = {"L": [value]} if level % 2 else {"M": {"m": value}}
    return {"Item": {"deep": value}}


# --- there and back ----------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Item": {"pk": {"S": "ü\U0001f600\x00"}, "n": {"N": "1.0"}}},
        {"Item": {"b": {"B": b"\x00\xff"}, "bs": {"BS": [b"", b"a"]}}},
        {"Item": {"t": {"BOOL": True}, "f": {"BOOL": False}, "0": {"NULL": True}}},
        {"Items": [], "Count": 0, "ScannedCount": 10**12},
        {"Item": {"m": {"M": {"l": {"L": [{"S": ""}, {"L": []}, {"M": {}}]}}}}},
        {"LastEvaluatedKey": {"pk": {"S": "a"}}, "Items": [{}, {}]},
        # As a client with a parser of its own reads binary values.
        {"Item": {"b": {"B": "aae="}, "bs": {"BS": ["", "aa=="]}}},
        _nested(32),
        _nested(MOST_NESTED),
    ],
    ids=lambda answer: repr(answer)[:60],
)
def test_an_answer_comes_back_with_all_types_as_they_were(
    answer: dict[str, Any],
) -> None:
    _, body = decode_entry(encode_entry(answer, SNAPSHOT, 1.0, 2.0))
    assert body == answer
    assert _typed(body) == _typed(answer)


@given(_answers)
def test_any_answer_comes_back_as_it_was(answer: dict[str, Any]) -> None:
    _, body = decode_entry(encode_entry(answer, SNAPSHOT, 1.0, 2.0))
    assert _typed(body) == _typed(answer)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple), _times, _times)
def test_the_header_comes_back_as_it_was(
    snapshot: tuple[int, ...], one: float, other: float
) -> None:
    stored_at, expires_at = sorted((one, other))
    raw = encode_entry({}, snapshot, stored_at, expires_at)
    assert decode_header(raw)[:3] == (snapshot, stored_at, expires_at)
    assert decode_entry(raw)[0][:3] == (snapshot, stored_at, expires_at)


@given(_answers)
def test_no_two_copies_of_an_answer_share_an_object(answer: dict[str, Any]) -> None:
    entry, one = decode_entry(encode_entry(answer, SNAPSHOT, 1.0, 2.0))
    copy = entry.copier()
    each = [answer, one, copy(), copy()]
    assert all(_typed(other) == _typed(answer) for other in each)
    objects = [_objects(other) for other in each]
    assert len(set().union(*objects)) == sum(map(len, objects))


def test_a_copy_of_what_a_parser_of_its_own_has_read_is_the_same() -> None:
    answer = {"Item": {"b": {"B": "aae="}}}
    entry, _ = decode_entry(encode_entry(answer, SNAPSHOT, 1.0, 2.0))
    assert entry.copier()() == answer


@pytest.mark.parametrize("size", [1, 10_000])
def test_changing_an_answer_does_not_change_its_copies(size: int) -> None:
    answer = {"Item": {"l": {"L": [{"S": "a" * size}]}}}
    entry, body = decode_entry(encode_entry(answer, SNAPSHOT, 1.0, 2.0))
    copy = entry.copier()
    for changed in (body, copy()):
        changed["Item"]["l"]["L"].append({"S": "b"})
        changed["Item"]["more"] = {"S": "c"}
    assert copy() == answer


# --- what cannot be encoded --------------------------------------------------------


class _Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class _Point:
    x: int = 0


_DEEP: list[Any] = []
for _ in range(100_000):
    _DEEP = [_DEEP]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        len,
        "\ud800",
        1j,
        _DEEP,
        1,
        1.5,
        None,
        Decimal("1.0"),
        {"a"},
        frozenset(),
        (1, 2),
        uuid.UUID(int=1),
        dt.datetime.now(dt.timezone.utc),
        msgspec.msgpack.Ext(5, b""),
        _Colour.RED,
        _Point(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_dynamodb_does_not_return_is_a_codec_error(value: Any) -> None:
    for wrapped in ({"S": value}, {"L": [value]}, {"M": {"m": value}}, value):
        with pytest.raises(CodecError, match="answer cannot be encoded"):
            encode_answer({"Item": {"a": wrapped}})


@pytest.mark.parametrize(
    "answer",
    [
        {"Item": {"a": {"X": "of the future"}}},
        {"Item": {"a": {"S": "a", "X": "b"}}},
        {"Item": {5: {"S": "a"}}},
        {"Item": {"a": {"BOOL": 1}}},
        {"Item": {"a": {"SS": ("a",)}}},
        {"Item": {"a": {"BS": [b"a", "b"]}}},
        {"Item": None},
        {"Items": {}},
        {"Count": "1"},
        {"Count": 2**64},
        {"Item": {}, "New": 1},
        _nested(MOST_NESTED + 1),
    ],
    ids=lambda answer: repr(answer)[:60],
)
def test_an_answer_of_another_shape_is_a_codec_error(answer: dict[str, Any]) -> None:
    with pytest.raises(CodecError, match="answer cannot be encoded"):
        encode_answer(answer)


def test_an_answer_that_is_too_large_is_a_codec_error() -> None:
    header = len(encode_packed(b""))
    codec = ClearEntries()
    fitting = codec.encode(KEY, bytes(LARGEST_ENTRY - header), (), 1.0, 2.0)
    assert len(fitting) == LARGEST_ENTRY
    with pytest.raises(CodecError, match="bytes are too many"):
        codec.encode(KEY, bytes(LARGEST_ENTRY - header + 1), (), 1.0, 2.0)


# --- what cannot be decoded --------------------------------------------------------

ANSWER = {"Item": {"pk": {"S": "ü"}, "b": {"B": b"\xff"}}}
RAW = encode_entry(ANSWER, SNAPSHOT, 1.0, 2.0)


def _answer_in(raw: bytes, key: bytes = KEY) -> dict[str, Any] | None:
    """Return the answer in an entry; None if a CodecError says that there is none."""
    try:
        return decode_entry(raw, key)[1]
    except CodecError:
        return None


@pytest.mark.parametrize("length", range(len(RAW)))
def test_an_entry_that_was_cut_off_cannot_be_read(length: int) -> None:
    assert _answer_in(RAW[:length]) is None
    assert _answer_in(RAW[length:]) == (ANSWER if length == 0 else None)


@pytest.mark.parametrize("at", range(len(RAW)))
def test_an_entry_with_a_flipped_byte_cannot_be_read(at: int) -> None:
    for flip in (1, 0x80, 0xFF):
        damaged = bytearray(RAW)
        damaged[at] ^= flip
        assert _answer_in(bytes(damaged)) is None
    assert _answer_in(RAW) == ANSWER


def test_an_entry_under_another_key_cannot_be_read() -> None:
    for at in range(len(KEY)):
        other = bytearray(KEY)
        other[at] ^= 1
        assert _answer_in(RAW, bytes(other)) is None
    with pytest.raises(CodecError, match="entry does not match its checksum"):
        decode_entry(RAW, b"another key")


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\xff" * 64, b"\x00" * 64, b"{}", b"\x80\x04."]
)
def test_bytes_that_are_no_entry_have_no_header(raw: bytes) -> None:
    with pytest.raises(CodecError):
        decode_header(raw)


@pytest.mark.parametrize("version", [0, 1, 4, 255])
def test_an_entry_of_another_version_is_not_read(version: int) -> None:
    with pytest.raises(CodecError, match=f"version {version}, not 2 or 3"):
        decode_header(bytes([version]) + RAW[1:])


def test_an_encrypted_entry_is_not_read_without_a_key() -> None:
    encrypted = bytes([ENCRYPTED]) + RAW[1:]
    with pytest.raises(CodecError, match="encrypted, and this process has no key"):
        decode_entry(encrypted)
    assert RAW[0] == CLEAR


_NAN, _INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "times",
    [
        *((_NAN, 2.0), (1.0, _NAN), (_NAN, _NAN), (_INF, _INF), (1.0, _INF)),
        *((-_INF, 2.0), (-_INF, -_INF), (2.0, 1.0)),
    ],
    ids=repr,
)
def test_an_entry_with_impossible_times_is_not_read(
    times: tuple[float, float],
) -> None:
    with pytest.raises(CodecError, match="impossible times"):
        decode_header(encode_packed(b"\x80", SNAPSHOT, *times))


NOT_ANSWERS = {
    "nothing": b"",
    "no MessagePack": b"\xc1",
    "text that is not UTF-8": b"\x81\xa4Item\x81\xa1a\x81\xa1S\xa1\xff",
    "a name that is not UTF-8": b"\x81\xa4Item\x81\xa1\xff\x80",
    "two": b"\x80\x80",
    "a map as a name": b"\x81\x80\x00",
    "a list as a name": b"\x81\x91\x80\x00",
    "a list without its end": b"\xdd\xff\xff\xff\xff",
    "a map without its end": b"\xdf\xff\xff\xff\xff",
    "bytes without their end": b"\xc6\xff\xff\xff\xff",
    "a timestamp": b"\xd7\xff" + b"\xff" * 8,
    "a deep list": b"\x91" * 100_000,
    "a deep list of unknown name": b"\x81\xa1Z" + b"\x91" * 1_000_000,
    "a pickle": b"\x80\x04\x95",
    "nil": b"\xc0",
    "a number": b"\x05",
    "a list": b"\x90",
    "a number as a name": b"\x81\x05\x05",
    "an extension": b"\xd6\x05abcd",
}


@pytest.mark.parametrize("packed", NOT_ANSWERS.values(), ids=NOT_ANSWERS)
def test_a_body_that_is_no_answer_is_a_codec_error(packed: bytes) -> None:
    with pytest.raises(CodecError, match="entry body cannot be decoded"):
        decode_entry(encode_packed(packed))


PACKED_VALUES = {
    "a timestamp of 32 bits": b"\xd6\xff\0\0\0\0",
    "a timestamp of 64 bits": b"\xd7\xff" + bytes(8),
    "a timestamp of 96 bits": b"\xc7\x0c\xff" + bytes(12),
    "an extension": b"\xd4\x05\0",
    "a long extension": b"\xc9\0\0\0\1\x05\0",
    "a float": b"\xcb" + bytes(8),
    "a number": b"\x01",
    "nil": b"\xc0",
}


@pytest.mark.parametrize("value", PACKED_VALUES.values(), ids=PACKED_VALUES)
@pytest.mark.parametrize(
    "around",
    [
        b"\x81\xa4Item\x81\xa1a\x81\xa1S%b",
        b"\x81\xa4Item\x81\xa1a\x81\xa1B%b",
        b"\x81\xa4Item\x81\xa1a\x81\xa4BOOL%b",
        b"\x81\xa4Item\x81\xa1a\x81\xa2SS\x91%b",
        b"\x81\xa4Item\x81\xa1a\x81\xa1L\x91%b",
        b"\x81\xa4Item\x81\xa1a\x81\xa1M\x81\xa1m%b",
        b"\x81\xa4Item\x81\xa1a%b",
        b"\x81\xa4Item\x81%b\x80",
        b"\x81\xa4Item%b",
        b"\x81\xa5Items\x91%b",
        b"\x81%b\x80",
    ],
    ids=repr,
)
def test_no_type_that_dynamodb_does_not_return_reaches_the_application(
    around: bytes, value: bytes
) -> None:
    with pytest.raises(CodecError, match="entry body cannot be decoded"):
        decode_answer(around % value)


@pytest.mark.parametrize("value", PACKED_VALUES.values(), ids=PACKED_VALUES)
def test_what_has_an_unknown_name_is_left_out_in_copies_too(value: bytes) -> None:
    packed = b"\x82\xa4Item\x81\xa1a\x82\xa1S\xa1b\xa1Z%b\xa3New%b" % (value, value)
    entry, answer = decode_entry(encode_packed(packed))
    assert answer == entry.copier()() == {"Item": {"a": {"S": "b"}}}


def test_a_body_that_is_nested_too_deeply_is_a_codec_error() -> None:
    packed = msgspec.msgpack.encode(_nested(MOST_NESTED + 1))
    with pytest.raises(CodecError, match="entry body cannot be decoded"):
        decode_entry(encode_packed(packed))


@given(st.binary(max_size=80))
def test_random_bytes_are_no_entry(raw: bytes) -> None:
    assert _answer_in(raw) is None
    assert _answer_in(bytes([CLEAR]) + raw) is None


@given(st.binary(max_size=40))
def test_a_random_body_is_an_answer_or_a_codec_error(packed: bytes) -> None:
    answer = _answer_in(encode_packed(packed))
    assert answer is None or _answer_in(encode_entry(answer, (), 1.0, 2.0)) == answer


@pytest.mark.parametrize("blocks", [1, 2, 100, MOST_BLOCKS])
@pytest.mark.parametrize("is_estimated", [False, True])
def test_what_an_answer_costs_comes_back_as_it_was(
    blocks: int, is_estimated: bool
) -> None:
    cost = ReadCost(blocks, is_estimated)
    raw = encode_packed(b"\x80", SNAPSHOT, cost=cost)
    assert decode_header(raw).cost == cost
    assert decode_entry(raw)[0].cost == cost


@pytest.mark.parametrize("is_estimated", [False, True])
def test_an_entry_that_costs_nothing_is_not_read(is_estimated: bool) -> None:
    raw = encode_packed(b"\x80", SNAPSHOT, cost=ReadCost(0, is_estimated))
    with pytest.raises(CodecError, match="impossible cost"):
        decode_header(raw)


def test_a_header_that_promises_more_than_there_is_cannot_be_read() -> None:
    raw = struct.pack("<BBddH", CLEAR, 255, 1.0, 2.0, 1) + b"\x00" * 16
    with pytest.raises(CodecError, match="header cannot be read"):
        decode_header(raw)


# --- what decoding takes -----------------------------------------------------------

_SIZE = 64 * 1024
_BYTES_PER_BYTE = 75

BOMBS = {
    "empty maps as items": (b"\x81\xa5Items", b"\x80"),
    "empty maps as values": (b"\x81\xa4Item\x81\xa1a\x81\xa1L", b"\x80"),
    "maps of empty maps": (b"\x81\xa4Item\x81\xa1a\x81\xa1L", b"\x81\xa1M\x80"),
    "empty lists": (b"\x81\xa4Item\x81\xa1a\x81\xa1L", b"\x81\xa1L\x90"),
    "empty texts": (b"\x81\xa4Item\x81\xa1a\x81\xa1L", b"\x81\xa1S\xa0"),
    "sets of short texts": (b"\x81\xa4Item\x81\xa1a\x81\xa2SS", b"\xa2\xc3\xa9"),
    "of an unknown name": (b"\x81\xa1Z", b"\x80"),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_decoding_takes_memory_in_proportion_to_the_bytes(
    bomb: tuple[bytes, bytes],
) -> None:
    before, part = bomb
    count = _SIZE // len(part)
    packed = before + b"\xdd" + count.to_bytes(4, "big") + part * count
    tracemalloc.start()
    try:
        answer, _ = decode_answer(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _BYTES_PER_BYTE * len(packed)
    assert answer == {} or len(repr(answer)) > count


def test_an_entry_that_is_too_large_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = encode_packed(b"\x80")
    monkeypatch.setattr(entries, "LARGEST_ENTRY", len(raw) - 1)
    with pytest.raises(CodecError, match=f"entry has {len(raw)} bytes, more than"):
        decode_header(raw)
