"""What an update leaves of an item, from DynamoDB's own semantics of expressions."""

import decimal
import string
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._dynamodb.types import Item
from botocache._dynamodb.updates import apply, read_update

KEY = {"pk": {"S": "k"}}
OLD: Item = {
    **KEY,
    "s": {"S": "text"},
    "n": {"N": "5"},
    "b": {"B": b"\x00\x01"},
    "t": {"BOOL": True},
    "l": {"L": [{"S": "first"}]},
    "m": {"M": {"x": {"N": "1"}}},
    "ss": {"SS": ["p", "q"]},
}
NAMES = {"#a": "a", "#s": "s", "#dotted": "m.x", "#n": "n"}
VALUES = {
    ":s": {"S": "new"},
    ":n": {"N": "2"},
    ":half": {"N": "0.5"},
    ":b": {"B": "AAE="},
    ":l": {"L": [{"S": "more"}]},
    ":ss": {"SS": ["r"]},
    ":tiny": {"N": "1e-37"},
}


def request(expression: Any, **more: Any) -> dict[str, Any]:
    return {
        "TableName": "t",
        "Key": KEY,
        "UpdateExpression": expression,
        "ExpressionAttributeNames": NAMES,
        "ExpressionAttributeValues": VALUES,
        **more,
    }


def after(expression: Any, old: Item = OLD) -> Item | None:
    """Return the image that an update leaves; fail if it cannot be read."""
    update = read_update(request(expression))
    assert update is not None, "it is not read"
    return apply(update, old, KEY)


def scalars(image: Item) -> dict[str, Any]:
    """Return what may be a key of an index."""
    return {k: v for k, v in image.items() if v.keys() & {"S", "N", "B"}}


# --- what is read ------------------------------------------------------------------

ABSENT: Any = None
DOCUMENT: Any = "a document"

# The attributes that change, and what they become.
CHANGES: dict[str, dict[str, Any]] = {
    "SET a = :s": {"a": {"S": "new"}},
    "set a=:s": {"a": {"S": "new"}},
    " SET\ta\n=\r:s ": {"a": {"S": "new"}},
    "SET #a = :s": {"a": {"S": "new"}},
    "SET #dotted = :s": {"m.x": {"S": "new"}},
    "SET s = :s, n = :n": {"s": {"S": "new"}, "n": {"N": "2"}},
    "SET s = :b": {"s": {"B": "AAE="}},
    "SET s = :l": {"s": DOCUMENT},
    "SET s = :ss": {"s": DOCUMENT},
    "SET l = :s": {"l": {"S": "new"}},
    # Operands are of the item as it was.
    "SET a = s": {"a": {"S": "text"}},
    "SET a = #s, s = :s": {"a": {"S": "text"}, "s": {"S": "new"}},
    "SET s = n, n = s": {"s": {"N": "5"}, "n": {"S": "text"}},
    "SET a = (s)": {"a": {"S": "text"}},
    "SET a = ((:s))": {"a": {"S": "new"}},
    "SET s = l": {"s": DOCUMENT},
    # Sums.
    "SET n = n + :n": {"n": {"N": "7"}},
    "SET n = n - :n": {"n": {"N": "3"}},
    "SET n=n-:n": {"n": {"N": "3"}},
    "SET n = :n - n": {"n": {"N": "-3"}},
    "SET a = n + n": {"a": {"N": "1E+1"}},
    "SET n = n + :half": {"n": {"N": "5.5"}},
    "SET n = n - n": {"n": {"N": "0"}},
    "SET n = n + :tiny": {"n": {"N": "5." + "0" * 36 + "1"}},
    "SET a = if_not_exists(a, :n) + :n": {"a": {"N": "4"}},
    "SET n = if_not_exists(n, :n) + :n": {"n": {"N": "7"}},
    # Functions.
    "SET a = if_not_exists(a, :s)": {"a": {"S": "new"}},
    "SET s = if_not_exists(s, :s)": {},
    "SET a = if_not_exists(s, :s)": {"a": {"S": "text"}},
    "SET a = if_not_exists(a, s)": {"a": {"S": "text"}},
    "SET a = if_not_exists(a, if_not_exists(s, :s))": {"a": {"S": "text"}},
    "SET l = list_append(l, :l)": {},
    "SET s = list_append(l, :l)": {"s": DOCUMENT},
    "SET a = list_append(if_not_exists(a, :l), :l)": {"a": DOCUMENT},
    # Paths into documents make no key of an index.
    "SET m.y = :s": {},
    "SET m.s = :s, l[0] = :n": {},
    "SET m.#s[1].x = :s": {},
    "SET m.x = m.x + :n": {},
    "REMOVE m.x, l[0]": {},
    "ADD m.x :n": {},
    "DELETE m.x :ss": {},
    # The other clauses.
    "REMOVE s": {"s": ABSENT},
    "remove s, #n": {"s": ABSENT, "n": ABSENT},
    "REMOVE a": {},
    "REMOVE l": {"l": ABSENT},
    "ADD n :n": {"n": {"N": "7"}},
    "ADD n :n, a :n": {"n": {"N": "7"}, "a": {"N": "2"}},
    "ADD ss :ss": {},
    "ADD a :ss": {"a": DOCUMENT},
    "DELETE ss :ss": {},
    "DELETE a :ss": {},
    "SET a = :s REMOVE s ADD n :n DELETE ss :ss": {
        "a": {"S": "new"},
        "s": ABSENT,
        "n": {"N": "7"},
    },
    "REMOVE s SET a = s": {"s": ABSENT, "a": {"S": "text"}},
    "SET a = remove": {"a": {"S": "a word"}},
    "SET if_not_exists = :s": {"if_not_exists": {"S": "new"}},
    "SET a = list_append": {"a": {"S": "a word"}},
}
WORDS: Item = {"remove": {"S": "a word"}, "list_append": {"S": "a word"}}


@pytest.mark.parametrize(("expression", "changes"), CHANGES.items())
def test_an_update_changes_the_attributes_of_its_expression(
    expression: str, changes: Mapping[str, Any]
) -> None:
    old = {**OLD, **WORDS}
    left = after(expression, old)
    assert left is not None
    kept = {**scalars(old), **changes}
    expected = {k: v for k, v in kept.items() if v not in (ABSENT, DOCUMENT)}
    assert scalars(left) == expected


@pytest.mark.parametrize("expression", CHANGES)
def test_an_update_knows_which_attributes_are_there(expression: str) -> None:
    old = {**OLD, **WORDS}
    left = after(expression, old)
    assert left is not None
    kept = {**old, **CHANGES[expression]}
    assert left.keys() == {name for name, value in kept.items() if value is not ABSENT}


def test_an_update_changes_no_image_that_it_is_given() -> None:
    old = {**OLD}
    after("SET a = :s, s = n REMOVE n ADD ss :ss", old)
    assert old == OLD


def test_an_update_without_an_expression_leaves_the_item_and_makes_its_key() -> None:
    update = read_update({"TableName": "t", "Key": KEY})
    assert update == ()
    assert apply(update, OLD, KEY) == OLD
    assert apply(update, {}, KEY) == KEY


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ("SET a = :s", {"a": {"S": "new"}}),
        ("SET a = if_not_exists(a, :s)", {"a": {"S": "new"}}),
        ("ADD n :n", {"n": {"N": "2"}}),
        ("REMOVE a", {}),
        ("DELETE ss :ss", {}),
    ],
)
def test_an_update_of_no_item_makes_one_with_its_key(
    expression: str, left: Item
) -> None:
    assert after(expression, {}) == {**KEY, **left}


# --- what is not said --------------------------------------------------------------

UNREADABLE = [
    # Nobody knows what it means.
    "SET",
    "SET a",
    "SET a =",
    "SET a = ,",
    "SET a = :s,",
    "SET a = :s b = :s",
    "SET a := :s",
    "SET = :s",
    "SET a = :s + ",
    "SET a = n + :n + :n",
    "SET a = n - :n - :n",
    "SET a = (n + :n)",
    "SET a = n * :n",
    "SET a = -:n",
    "SET a = 5",
    "SET a = 'text'",
    "SET a = (:s",
    "SET a = :s)",
    "SET a = size(s)",
    "SET a = IF_NOT_EXISTS(a, :s)",
    "SET a = if_not_exists(a)",
    "SET a = if_not_exists(a, :s, :s)",
    "SET a = if_not_exists(:s, a)",
    "SET a = if_not_exists(a :s)",
    "SET a = if_not_exists(a, :s",
    "SET a = list_append(l)",
    "SET a = list_append(l, :l",
    "SET a = list_append(l, :l, :l)",
    "SET a. = :s",
    "SET a[ = :s",
    "SET a[0 = :s",
    "SET a[] = :s",
    "SET :s = a",
    "REMOVE",
    "REMOVE :s",
    "REMOVE s,",
    "REMOVE s = :s",
    "ADD",
    "ADD n",
    "ADD n n",
    "ADD n = :n",
    "ADD n (:n)",
    "DELETE ss",
    "DELETE ss ss",
    "UPDATE s = :s",
    "#a = :s",
    ", SET a = :s",
    "PUT a = :s",
    "größe = :s",
    "SET größe = :s",
    "SET _a = :s",
    'SET "a" = :s',
    "SET a = :s;",
    # Nobody knows what it stands for.
    "SET #unknown = :s",
    "SET a = #unknown",
    "SET a = :unknown",
    "ADD n :unknown",
    "DELETE ss :unknown",
    "SET a = if_not_exists(#unknown, :s)",
    # It is no expression.
    5,
    [],
    {"SET": "a"},
    b"SET a = :s",
]


@pytest.mark.parametrize("expression", UNREADABLE, ids=ascii)
def test_an_expression_that_is_not_understood_is_not_read(expression: Any) -> None:
    assert read_update(request(expression)) is None


def test_legacy_attribute_updates_are_not_read() -> None:
    legacy = {"a": {"Action": "PUT", "Value": {"S": "new"}}}
    assert read_update({"Key": KEY, "AttributeUpdates": legacy}) is None
    assert read_update({"Key": KEY, "AttributeUpdates": {}}) is None


@pytest.mark.parametrize("given", [None, 5, "text", [], {"#a": 5}, {"#a": ["a"]}])
def test_invalid_names_are_not_read(given: Any) -> None:
    asked = request("SET #a = :s", ExpressionAttributeNames=given)
    assert read_update(asked) is None


@pytest.mark.parametrize("given", [None, 5, "text", [], {":s": 5}, {":s": None}])
def test_invalid_values_are_not_read(given: Any) -> None:
    asked = request("SET a = :s", ExpressionAttributeValues=given)
    assert read_update(asked) is None


@pytest.mark.parametrize(
    "expression",
    [
        "SET a = b.c",
        "SET a = m.x",
        "SET a = l[0]",
        "SET a = absent",
        "SET a = if_not_exists(m.x, :s)",
        "SET a = if_not_exists(absent, missing)",
        "SET a = absent + :n",
        "SET a = m.x + :n",
        "SET n = n + :s",
        "SET a = s + :n",
        "SET a = l + :n",
        "ADD s :n",
        "ADD l :n",
        "SET a = :s, d = m.x",
    ],
)
def test_an_attribute_that_the_old_image_lacks_makes_the_new_one_uncertain(
    expression: str,
) -> None:
    assert after(expression) is None


# --- numbers -----------------------------------------------------------------------

SUMS = [
    ("12", "1e-36", "12." + "0" * 35 + "1", None),
    ("12", "1e-37", None, "39 digits"),
    ("1e37", "1", "1" + "0" * 36 + "1", None),
    ("1e38", "1", None, "39 digits"),
    ("9" * 38, "1", "1e38", None),
    ("9" * 38, "-1", "9" * 37 + "8", None),
    ("1e125", "1e-130", None, "256 digits"),
    ("1e125", "-1e125", "0", None),
    ("0.1", "0.2", "0.3", None),
    ("-5", "5", "0", None),
    ("9e999999", "9e999999", None, "no number of DynamoDB's"),
    ("text", "1", None, "no number"),
    ("", "1", None, "no number"),
]


@pytest.mark.parametrize("action", ["SET n = n + :d", "ADD n :d"])
@pytest.mark.parametrize(("old", "more", "total", "why_not"), SUMS)
def test_a_sum_is_exact_or_uncertain(
    action: str, old: str, more: str, total: str | None, why_not: str | None
) -> None:
    asked = request(action, ExpressionAttributeValues={":d": {"N": more}})
    update = read_update(asked)
    assert update is not None
    left = apply(update, {**OLD, "n": {"N": old}}, KEY)
    if total is None:
        assert left is None, why_not
    else:
        assert left is not None
        assert decimal.Decimal(left["n"]["N"]) == decimal.Decimal(total)


@pytest.mark.parametrize("content", [None, 5.5, [], {}])
def test_a_number_that_is_no_text_raises_nothing(content: Any) -> None:
    asked = request("SET n = n + :d", ExpressionAttributeValues={":d": {"N": content}})
    update = read_update(asked)
    assert update is not None
    apply(update, OLD, KEY)


def test_a_sum_does_not_depend_on_the_decimal_context_of_the_thread() -> None:
    ours = decimal.Context(
        prec=3,
        Emax=5,
        Emin=-5,
        traps=[decimal.Inexact, decimal.Rounded, decimal.Overflow],
    )
    asked = request(
        "SET n = n + :d", ExpressionAttributeValues={":d": {"N": "0.00001"}}
    )
    update = read_update(asked)
    assert update is not None
    with decimal.localcontext(ours):
        left = apply(update, {"n": {"N": "12345678"}}, KEY)
    assert left is not None
    assert left["n"] == {"N": "12345678.00001"}


_digits = st.integers(1 - 10**38, 10**38 - 1)


@given(_digits, _digits, st.sampled_from("+-"))
def test_a_sum_is_certain_exactly_when_dynamodb_can_hold_it(
    a: int, b: int, sign: str
) -> None:
    total = a + b if sign == "+" else a - b
    asked = request(
        f"SET n = n {sign} :d", ExpressionAttributeValues={":d": {"N": str(b)}}
    )
    update = read_update(asked)
    assert update is not None
    left = apply(update, {"n": {"N": str(a)}}, KEY)
    if len(str(abs(total)).rstrip("0")) > 38:
        assert left is None
    else:
        assert left is not None
        assert int(decimal.Decimal(left["n"]["N"])) == total


# --- whatever the text -------------------------------------------------------------

_pieces = st.sampled_from(
    [
        *("SET", "set", "REMOVE", "ADD", "DELETE", "if_not_exists", "list_append"),
        *("a", "s", "n", "m", "l", "#a", "#s", "#unknown", ":s", ":n", ":ss", ":x"),
        *("=", "+", "-", ",", "(", ")", ".", "[", "]", "0", "<", "ü", "'", " "),
    ]
)
_texts = st.lists(_pieces, max_size=14).map(" ".join) | st.text(
    alphabet=string.printable + "ü\ud800", max_size=30
)
_leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=2) | _texts
_json = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["#a", "#s", ":s", ":n", "S", "N", "L"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
_bodies = st.fixed_dictionaries(
    {},
    optional={
        "UpdateExpression": _texts | _json,
        "ExpressionAttributeNames": st.just(NAMES) | _json,
        "ExpressionAttributeValues": st.just(VALUES) | _json,
        "AttributeUpdates": _json,
    },
)


@given(_bodies, st.sampled_from([OLD, {}, KEY]))
def test_no_update_raises(body: dict[str, Any], old: Item) -> None:
    update = read_update(body)
    if update is None:
        return
    left = apply(update, old, KEY)
    if left is not None:
        assert KEY.keys() <= left.keys()
        assert None not in left.values()


@given(_texts)
def test_an_update_begins_with_a_clause(text: str) -> None:
    update = read_update(request(text))
    if update is not None and text.strip(" \t\r\n"):
        first = text.split(maxsplit=1)[0].upper()
        assert first.startswith(("SET", "REMOVE", "ADD", "DELETE"))


@pytest.mark.parametrize("opening", ["(", "if_not_exists(a, ", "list_append("])
def test_an_expression_of_any_depth_is_not_read_or_is(opening: str) -> None:
    assert read_update(request("SET a = " + opening * 50_000)) is None
