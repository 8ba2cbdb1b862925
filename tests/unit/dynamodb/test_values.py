"""Values and names: equal exactly where DynamoDB holds them equal."""

from collections.abc import Mapping
from decimal import (
    Clamped,
    Context,
    Decimal,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    Rounded,
    Subnormal,
    Underflow,
    localcontext,
)
from typing import Any

import pytest
from boto3.dynamodb.types import Binary
from hypothesis import given
from hypothesis import strategies as st

from botocache._dynamodb.values import (
    canonical_number,
    canonical_value,
    table_name,
    wire_key,
)
from tests.support.values import spelled_numbers

# --- numbers -----------------------------------------------------------------------

SPELLINGS = [
    ["1", "1.0", "01", "1e0", "1E0", "+1", "0.1e1", "10e-1", "1.", "0001.000"],
    ["0", "-0", "0.0", "00", ".0", "0e5", "-0.00", "+0E-3"],
    ["-12.5", "-012.50", "-1.25e1", "-125e-1"],
    ["100", "1e2", "1E+2", "100.0", "0100", "10e1"],
    ["0.001", "1e-3", ".001", "0.00100"],
    ["9" * 38, "9" * 38 + ".0", "0" + "9" * 38],
    ["1" + "0" * 125, "1e125", "0.1e126"],
]

NUMBERS = [
    "0",
    "1",
    "-1",
    "10",
    "0.1",
    "1e125",
    "1e-130",
    "1e-129",
    "9" * 38,
    "9" * 37 + "8",
    "1.0000000000000000000000000000000000001",
]

NO_NUMBERS = [
    "",
    " ",
    "abc",
    "1e",
    "--1",
    "1,5",
    "0x10",
    "NaN",
    "sNaN1",
    "Infinity",
    "-Infinity",
    "1e99999999999999999999",
    "\ud800",
]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda group: group[0][:8])
def test_each_spelling_of_a_number_is_the_same(spellings: list[str]) -> None:
    assert len(set(map(canonical_number, spellings))) == 1


def test_different_numbers_stay_different() -> None:
    assert len(set(map(canonical_number, NUMBERS))) == len(NUMBERS)


@pytest.mark.parametrize("text", NO_NUMBERS, ids=ascii)
def test_what_is_no_finite_number_stays_as_it_is(text: str) -> None:
    assert canonical_number(text) == text


@given(spelled_numbers(most=20, far=2), spelled_numbers(most=20, far=2))
def test_two_numbers_share_a_spelling_exactly_when_they_are_equal(
    a: str, b: str
) -> None:
    assert (canonical_number(a) == canonical_number(b)) == (Decimal(a) == Decimal(b))


@given(spelled_numbers())
def test_the_one_spelling_is_that_of_the_same_number(text: str) -> None:
    canonical = canonical_number(text)
    assert Decimal(canonical) == Decimal(text)
    assert canonical_number(canonical) == canonical
    assert canonical_number(str(Decimal(text))) == canonical


_HOSTILE_CONTEXT = Context(
    prec=5,
    Emin=-5,
    Emax=5,
    traps=[
        Clamped,
        FloatOperation,
        Inexact,
        InvalidOperation,
        Overflow,
        Rounded,
        Subnormal,
        Underflow,
    ],
)


@given(spelled_numbers() | st.sampled_from(NO_NUMBERS))
def test_the_decimal_context_of_the_thread_does_not_matter(text: str) -> None:
    expected = canonical_number(text)
    for context in (_HOSTILE_CONTEXT, Context(prec=5, traps=[])):
        with localcontext(context):
            assert canonical_number(text) == expected


@given(st.text())
def test_any_text_has_a_canonical_spelling(text: str) -> None:
    canonical = canonical_number(text)
    assert canonical_number(canonical) == canonical


# --- values ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"S": ""}, ("S", "")),
        ({"S": "1.0"}, ("S", "1.0")),
        ({"S": "ü"}, ("S", "ü")),
        ({"N": "01.0"}, ("N", "1e0")),
        ({"N": "no number"}, ("N", "no number")),
        ({"B": ""}, ("B", b"")),
        ({"B": "YWI="}, ("B", b"ab")),
        ({"B": b"ab"}, ("B", b"ab")),  # as botocore has parsed it
        ({"B": "no base64!"}, ("B", "no base64!")),
    ],
)
def test_a_key_attribute_has_a_type_and_a_canonical_value(
    value: Mapping[str, Any], expected: tuple[str, str | bytes]
) -> None:
    assert canonical_value(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"S": "a", "N": "1"},
        {"S": 1},
        {"N": 1},
        {"B": 5},
        {"S": b"ab"},
        {"N": b"1"},
        {"S": None},
        {"s": "a"},
        {"BOOL": True},
        {"NULL": True},
        {"SS": ["a"]},
        {"M": {"S": "a"}},
        {"L": []},
    ],
)
def test_what_no_key_attribute_can_have_is_a_value_error(
    value: Mapping[str, Any],
) -> None:
    with pytest.raises(ValueError, match="not the value of a key attribute"):
        canonical_value(value)


# --- table names and keys of the application ---------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("users", "users"),
        ("my.table-1_x", "my.table-1_x"),
        ("arn", "arn"),
        ("arn:aws:dynamodb:eu-west-1:123456789012:table/users", "users"),
        ("arn:aws-us-gov:dynamodb:us-gov-west-1:123456789012:table/u-1.x", "u-1.x"),
        ("arn:aws:dynamodb:eu-west-1:123456789012:table/users/index/by_age", "users"),
        ("arn:aws:dynamodb:eu-west-1:1:table/users/stream/2024-01-01T00:00", "users"),
        ("arn:aws:dynamodb:eu-west-1:1:table/", ""),
        ("arn:aws:s3:::bucket", "arn:aws:s3:::bucket"),
    ],
)
def test_a_table_is_named_by_its_name_or_its_arn(name: str, expected: str) -> None:
    assert table_name(name) == expected


class _NotAKey:
    def __repr__(self) -> str:
        return "a secret"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"S": "7"}, {"S": "7"}),
        ({"N": "7"}, {"N": "7"}),
        ({"B": b"ab"}, {"B": "YWI="}),
        ({"B": bytearray(b"ab")}, {"B": "YWI="}),
        ({"B": "ab"}, {"B": "YWI="}),  # botocore takes text for a blob
        ({"B": Binary(b"ab")}, {"B": "YWI="}),
        ("7", {"S": "7"}),
        ("", {"S": ""}),
        (b"ab", {"B": "YWI="}),
        (bytearray(b"ab"), {"B": "YWI="}),
        (Binary(b"ab"), {"B": "YWI="}),
        (7, {"N": "7"}),
        (-(10**37), {"N": "-1" + "0" * 37}),
        (Decimal("7.50"), {"N": "7.50"}),
    ],
)
def test_a_key_is_taken_as_a_client_and_as_a_resource_takes_it(
    value: Any, expected: dict[str, str]
) -> None:
    assert wire_key({"k": value}) == {"k": expected}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        1.5,
        ["7"],
        {"7"},
        {},
        {"S": 7},
        {"N": 7},
        {"B": 7},
        {"B": {"S": "7"}},
        {"BOOL": True},
        {"S": "7", "N": "7"},
        {"X": "7"},
        _NotAKey(),
    ],
)
def test_a_value_that_no_key_has_is_a_value_error_that_does_not_repeat_it(
    value: Any,
) -> None:
    with pytest.raises(ValueError, match="is no type of a key attribute") as raised:
        wire_key({"k": value})
    assert "secret" not in str(raised.value)
