"""Names: equal for what DynamoDB holds equal, different for everything else."""

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

from botocache._botocore.credentials import (
    ANONYMOUS_SCOPE,
    account_bits,
    named_scope,
    principal_scope,
    role_scope,
)
from botocache._botocore.hooks import origin
from botocache._cache.key_schemas import schema_key
from botocache._cache.prepare import entry_key
from botocache._digests import DIGEST_SIZE, digest
from botocache._dynamodb.tags import (
    EVERYTHING,
    Tag,
    item_tag,
    partition_tag,
    precise_writes_tag,
    table_tag,
    tag_digest,
    writes_tag,
)
from botocache._dynamodb.values import (
    canonical_number,
    canonical_value,
    table_name,
    wire_key,
)

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


@st.composite
def spelled_numbers(draw: st.DrawFn, *, most: int = 10**38 - 1, far: int = 130) -> str:
    """Some spelling of some number."""
    coefficient = str(draw(st.integers(0, most)))
    exponent = draw(st.integers(-far, far))
    zeros = draw(st.integers(0, 3))
    digits = "0" * draw(st.integers(0, 3)) + coefficient + "0" * zeros
    exponent -= zeros
    point = draw(st.integers(0, len(digits)))
    whole, fraction = digits[:point], digits[point:]
    exponent += len(fraction)
    text = f"{whole}.{fraction}" if fraction or draw(st.booleans()) else whole
    if exponent or draw(st.booleans()):
        plus = draw(st.sampled_from(["", "+"])) if exponent >= 0 else ""
        text += f"{draw(st.sampled_from('eE'))}{plus}{exponent}"
    return draw(st.sampled_from(["", "+", "-"])) + text


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


# --- digests -----------------------------------------------------------------------

_few = st.text(alphabet="ab", max_size=2)  # few, so that equal ones occur
_atoms = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.integers(-(2**63), 2**64 - 1)
    | _few
    | _few.map(str.encode)
    | st.text(max_size=3)
    | st.binary(max_size=3)
)
_plain = st.recursive(
    _atoms,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_few, inner),
    max_leaves=6,
)


def _typed(value: Any) -> Any:
    """Return what is equal only for values that are equal and of the same types."""
    if isinstance(value, (list, tuple)):
        return "list", [_typed(part) for part in value]
    if isinstance(value, dict):
        return "dict", sorted((key, _typed(part)) for key, part in value.items())
    return type(value).__name__, value


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", "b"), (["a", "b"],)),
        (("a",), (b"a",)),
        (("1",), (1,)),
        ((1,), (True,)),
        ((0,), (False,)),
        ((None,), ()),
        (("",), ()),
        (([],), ({},)),
        (([["a"], "b"],), (["a", ["b"]],)),
        (({"a": "b"},), (["a", "b"],)),
    ],
)
def test_what_is_shaped_otherwise_has_another_digest(
    a: tuple[Any, ...], b: tuple[Any, ...]
) -> None:
    assert digest(*a) != digest(*b)


@given(st.lists(_plain, max_size=3), st.lists(_plain, max_size=3))
def test_only_equal_parts_have_equal_digests(a: list[Any], b: list[Any]) -> None:
    assert (digest(*a) == digest(*b)) == (_typed(a) == _typed(b))


@given(st.dictionaries(st.text(max_size=3), _plain, max_size=4))
def test_the_order_of_a_dict_does_not_change_its_digest(parts: dict[str, Any]) -> None:
    turned = dict(reversed(parts.items()))
    assert digest(parts) == digest(turned)


def test_a_digest_is_of_the_size_that_stores_expect() -> None:
    assert len(digest("a")) == len(tag_digest(EVERYTHING)) == DIGEST_SIZE == 16


# --- tags --------------------------------------------------------------------------

TAGS = [
    EVERYTHING,
    table_tag("t"),
    table_tag("u"),
    writes_tag("t"),
    writes_tag("u"),
    precise_writes_tag("t"),
    precise_writes_tag("u"),
    partition_tag("t", "a", {"S": "1"}),
    partition_tag("u", "a", {"S": "1"}),
    partition_tag("t", "b", {"S": "1"}),
    partition_tag("t", "a", {"S": "2"}),
    partition_tag("t", "a", {"N": "1"}),
    partition_tag("t", "a", {"B": "MQ=="}),
    item_tag("t", {"a": {"S": "1"}}),
    item_tag("u", {"a": {"S": "1"}}),
    item_tag("t", {"b": {"S": "1"}}),
    item_tag("t", {"a": {"N": "1"}}),
    item_tag("t", {"a": {"B": "MQ=="}}),
    item_tag("t", {"a": {"S": "1"}, "b": {"S": "1"}}),
    item_tag("t", {"a": {"S": "1"}, "b": {"S": "2"}}),
    item_tag("t", {"a": {"S": "2"}, "b": {"S": "1"}}),
    item_tag("t", {"a": {"S": "1S"}, "b": {"S": ""}}),
]


def test_tags_of_different_things_have_different_digests() -> None:
    assert len(set(map(tag_digest, TAGS))) == len(TAGS)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"N": "1"}, {"N": "1.0"}),
        ({"N": "100"}, {"N": "1e2"}),
        ({"B": "YQ=="}, {"B": "YR=="}),  # bits that nobody reads
    ],
)
def test_equal_values_in_other_spellings_have_the_same_tags(
    a: Mapping[str, Any], b: Mapping[str, Any]
) -> None:
    assert partition_tag("t", "k", a) == partition_tag("t", "k", b)
    assert item_tag("t", {"k": a}) == item_tag("t", {"k": b})


_key_values = (
    st.fixed_dictionaries({"S": _few | st.text(max_size=3)})
    | st.fixed_dictionaries({"N": spelled_numbers(most=3, far=1)})
    | st.fixed_dictionaries({"B": st.sampled_from(["", "YQ==", "YWI=", "MQ=="])})
)
_keys = st.dictionaries(_few, _key_values, min_size=1, max_size=2)


def _meant(key: Mapping[str, Any]) -> dict[str, Any]:
    return {attribute: canonical_value(value) for attribute, value in key.items()}


@given(_keys)
def test_an_item_has_one_tag_in_whatever_order_its_key_is_written(
    key: dict[str, Any],
) -> None:
    turned = dict(reversed(key.items()))
    assert item_tag("t", key) == item_tag("t", turned)


@given(_keys, _keys)
def test_two_items_share_a_tag_exactly_when_their_keys_are_equal(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    same = tag_digest(item_tag("t", a)) == tag_digest(item_tag("t", b))
    assert same == (_meant(a) == _meant(b))


_tags = st.builds(
    Tag,
    st.sampled_from(["table", "item"]),
    _few,
    st.lists(_few | _few.map(str.encode), max_size=3).map(tuple),
)


@given(_tags, _tags)
def test_two_tags_share_a_digest_exactly_when_they_are_equal(a: Tag, b: Tag) -> None:
    assert (tag_digest(a) == tag_digest(b)) == (a == b)


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


# --- entry keys --------------------------------------------------------------------

_PARTS: tuple[bytes, str, str, bytes] = (b"scope", "here", "GetItem", b"question")


@pytest.mark.parametrize(
    "other",
    [
        (b"Scope", "here", "GetItem", b"question"),
        (b"scope", "there", "GetItem", b"question"),
        (b"scope", "here", "Query", b"question"),
        (b"scope", "here", "GetItem", b"another"),
        (b"scope", "hereGet", "Item", b"question"),
        (b"scope", "here", "GetItemq", b"uestion"),
        (b"", "", "", b""),
    ],
)
def test_whatever_distinguishes_two_reads_gives_them_two_keys(
    other: tuple[bytes, str, str, bytes],
) -> None:
    assert entry_key(*_PARTS) != entry_key(*other)


_parts = st.tuples(st.binary(max_size=1), _few, _few, st.binary(max_size=1))


@given(_parts, _parts)
def test_two_reads_share_a_key_exactly_when_they_are_the_same(
    a: tuple[bytes, str, str, bytes], b: tuple[bytes, str, str, bytes]
) -> None:
    assert (entry_key(*a) == entry_key(*b)) == (a == b)


@pytest.mark.parametrize(
    ("origin_", "table"), [("here", "u"), ("there", "t"), ("heret", "")]
)
def test_a_schema_has_a_key_of_its_own_for_each_origin_and_table(
    origin_: str, table: str
) -> None:
    assert schema_key("here", "t") != schema_key(origin_, table)


def test_no_schema_and_entry_share_a_key() -> None:
    assert schema_key("here", "t") != entry_key(b"", "here", "t", b"")


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://dynamodb.eu-west-1.amazonaws.com/", "us-east-1"),
        ("https://dynamodb.us-east-1.amazonaws.com/", "eu-west-1"),
        ("http://dynamodb.eu-west-1.amazonaws.com/", "eu-west-1"),
        ("https://dynamodb.eu-west-1.amazonaws.com:8000/", "eu-west-1"),
    ],
)
def test_another_endpoint_or_region_is_another_origin(url: str, region: str) -> None:
    here = origin("https://dynamodb.eu-west-1.amazonaws.com/", "eu-west-1")
    assert origin(url, region) != here


# --- scope -------------------------------------------------------------------------

_KEY_ID = "ASIAQNZGKIQY56JQ7WML"

SCOPES = [
    ANONYMOUS_SCOPE,
    named_scope("x"),
    named_scope("y"),
    principal_scope("x"),
    principal_scope("y"),
    principal_scope(""),
    role_scope("x", "", ""),
    role_scope("iam-role", "1", ""),
    role_scope("container-role", "1", ""),
    role_scope("iam-role", "2", ""),
    role_scope("iam-role", "1", "r"),
    role_scope("iam-role1", "", "r"),
]


def test_no_two_principals_share_a_scope() -> None:
    assert len(set(SCOPES)) == len(SCOPES)


def test_an_access_key_id_is_not_in_its_scope() -> None:
    scope = principal_scope(_KEY_ID)
    assert len(scope) == DIGEST_SIZE
    assert _KEY_ID.encode()[4:8] not in scope


def test_an_access_key_id_names_its_account() -> None:
    assert account_bits(_KEY_ID) == "29608264753"


def test_an_account_stays_when_its_keys_rotate() -> None:
    assert account_bits(_KEY_ID) == account_bits("AKIA" + _KEY_ID[4:13] + "A" * 7)


@pytest.mark.parametrize(
    "key_id",
    [
        "",
        "AKIA",
        "AKIATEST",
        "AKIAQNZGKIQY",
        "AKIA0189018901890189",
        "akiaqnzgkiqy56jq7wml",
        "AKIA" + "=" * 16,
        "AKIA" + "ü" * 16,
    ],
)
def test_what_is_no_access_key_id_names_no_account(key_id: str) -> None:
    assert account_bits(key_id) == ""


@given(st.text(max_size=24))
def test_any_text_names_an_account_or_none(key_id: str) -> None:
    bits = account_bits(key_id)
    assert bits == "" or bits.isdigit()
