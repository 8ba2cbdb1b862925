"""Answers come back as they were; damaged bytes are an error of one kind."""

import dataclasses
import enum
import struct
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._cache.entries import VERSION, Entry, decode_entry, encode_entry
from botocache._errors import CodecError

SNAPSHOT = (0, 1, 2**64 - 1)

_words = st.text(max_size=3)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
)
_data = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner),
    max_leaves=8,
)
_answers = st.dictionaries(_words, _data, max_size=4)
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
        {"LastEvaluatedKey": {"pk": {"S": "a"}}, "float": -0.0, "none": None},
    ],
)
def test_an_answer_comes_back_with_all_types_as_they_were(
    answer: dict[str, Any],
) -> None:
    body = decode_entry(encode_entry(answer, SNAPSHOT, 1.0, 2.0)).body()
    assert body == answer
    assert _typed(body) == _typed(answer)


@given(_answers)
def test_any_answer_comes_back_as_it_was(answer: dict[str, Any]) -> None:
    body = decode_entry(encode_entry(answer, SNAPSHOT, 1.0, 2.0)).body()
    assert _typed(body) == _typed(answer)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple), _times, _times)
def test_the_header_comes_back_as_it_was(
    snapshot: tuple[int, ...], stored_at: float, expires_at: float
) -> None:
    entry = decode_entry(encode_entry({}, snapshot, stored_at, expires_at))
    assert entry.snapshot == snapshot
    assert (entry.stored_at, entry.expires_at) == (stored_at, expires_at)


@given(_answers)
def test_no_two_decoded_answers_share_an_object(answer: dict[str, Any]) -> None:
    entry = decode_entry(encode_entry(answer, SNAPSHOT, 1.0, 2.0))
    one, other = entry.body(), entry.body()
    assert _objects(one).isdisjoint(_objects(other))
    assert _objects(one).isdisjoint(_objects(answer))


def test_changing_a_decoded_answer_does_not_change_the_entry() -> None:
    entry = decode_entry(encode_entry({"Item": {"l": [1]}}, SNAPSHOT, 1.0, 2.0))
    body = entry.body()
    body["Item"]["l"].append(2)
    body["Item"]["more"] = 3
    assert entry.body() == {"Item": {"l": [1]}}


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
        2**64,
        -(2**63) - 1,
        "\ud800",
        1j,
        _DEEP,
    ],
    ids=["object", "function", "2**64", "-2**63-1", "surrogate", "complex", "deep"],
)
def test_a_value_that_cannot_be_encoded_is_a_codec_error(value: Any) -> None:
    with pytest.raises(CodecError, match="answer cannot be encoded"):
        encode_entry({"Item": value}, SNAPSHOT, 1.0, 2.0)


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.0"),
        {"a"},
        frozenset(),
        (1, 2),
        uuid.UUID(int=1),
        _Colour.RED,
        _Point(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_would_change_its_type_is_a_codec_error(value: Any) -> None:
    with pytest.raises(CodecError, match="answer cannot be encoded"):
        encode_entry({"Item": [value]}, SNAPSHOT, 1.0, 2.0)


# --- what cannot be decoded --------------------------------------------------------

RAW = encode_entry(
    {"Item": {"pk": {"S": "ü"}, "b": {"B": b"\xff"}}}, SNAPSHOT, 1.0, 2.0
)


def _entry_of(packed: bytes) -> bytes:
    return encode_entry({}, SNAPSHOT, 1.0, 2.0)[:-1] + packed


def _read_all(raw: bytes) -> Entry | None:
    """Decode header and body; None when a CodecError says that it cannot be done."""
    try:
        entry = decode_entry(raw)
        entry.body()
    except CodecError:
        return None
    return entry


@pytest.mark.parametrize("length", range(len(RAW)))
def test_an_entry_that_was_cut_off_cannot_be_read(length: int) -> None:
    assert _read_all(RAW[:length]) is None


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\xff" * 64, b"\x00" * 64, b"{}", RAW[1:], b"\x80\x04."]
)
def test_bytes_that_are_no_entry_have_no_header(raw: bytes) -> None:
    with pytest.raises(CodecError):
        decode_entry(raw)


@pytest.mark.parametrize("version", [0, VERSION + 1, 255])
def test_an_entry_of_another_version_is_not_read(version: int) -> None:
    with pytest.raises(CodecError, match=f"version {version}, not {VERSION}"):
        decode_entry(bytes([version]) + RAW[1:])


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        b"\xa1\xff",
        b"\x80\x80",
        b"\x81\x80\x00",
        b"\x81\x91\x80\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xd7\xff" + b"\xff" * 8,
        b"\x91" * 100_000,
        b"\x80\x04\x95",
        b"\xc0",
        b"\x05",
        b"\x90",
        b"\x81\x05\x05",
        b"\xd6\x05abcd",
    ],
    ids=lambda packed: packed[:6].hex(),
)
def test_a_body_that_was_damaged_is_a_codec_error(packed: bytes) -> None:
    entry = decode_entry(_entry_of(packed))
    with pytest.raises(CodecError, match="entry body cannot be decoded"):
        entry.body()


@given(st.binary(max_size=80))
def test_random_bytes_are_an_entry_or_a_codec_error(raw: bytes) -> None:
    entry = _read_all(raw)
    assert entry is None or entry.raw == raw


@given(st.binary(max_size=40))
def test_a_random_body_is_an_answer_or_a_codec_error(packed: bytes) -> None:
    entry = _read_all(_entry_of(packed))
    assert entry is None or entry.snapshot == SNAPSHOT


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_an_entry_or_a_codec_error(at: int, flip: int) -> None:
    damaged = bytearray(RAW)
    damaged[at] ^= flip
    entry = _read_all(bytes(damaged))
    assert entry is None or entry.raw == damaged


def test_a_header_that_promises_more_than_there_is_cannot_be_read() -> None:
    raw = struct.pack("<BBdd", VERSION, 255, 1.0, 2.0) + b"\x00" * 16
    with pytest.raises(CodecError, match="header cannot be read"):
        decode_entry(raw)
