"""What DynamoDB refuses never asks the question of what it accepts.

The rules are those of DynamoDB's documentation. No server for tests knows all of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import BatchRead, Bypass, Read, Write
from botocache._dynamodb.tags import table_tag
from tests.unit.dynamodb.test_operations import KNOWN

Body: TypeAlias = dict[str, Any]

ONE, OTHER = {"N": "1"}, {"N": "2"}
ARN = "arn:aws:dynamodb:eu-west-1:1:table/t"


def get(**more: Any) -> Body:
    return {"TableName": "t", "Key": {"pk": {"S": "a"}}, **more}


def get_by(value: Mapping[str, str]) -> Body:
    return get(Key={"pk": value})


def query(filter_: str | None = None, **more: Any) -> Body:
    """Return a Query; `:p` is its partition, `:a` and `:b` are for the filter."""
    values = {":p": {"S": "x"}}
    values |= {name: ONE for name in (":a", ":b") if name in (filter_ or "")}
    body: Body = {
        "TableName": "t",
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": values,
    }
    if filter_ is not None:
        body["FilterExpression"] = filter_
    return {**body, **more}


def of_keys(*keys: str, **more: Any) -> Body:
    return {"Keys": [{"pk": {"S": key}} for key in keys], **more}


def padded(text: str, size: int) -> str:
    """Return an expression of `size` bytes, by blanks that change nothing else."""
    head, blank, rest = text.partition(" ")
    return head + blank * (size - len(text) + 1) + rest


LONG = "x" * 260
HALF = {"S": "x" * 1_100_000}

TRUTHS: list[Any] = [0, 1, "", "false", []]

LIKES: dict[str, tuple[str, Body, Body]] = {
    "a filter of 4,097 bytes": (
        "Query",
        query("a = :a"),
        query(padded("a = :a", 4097)),
    ),
    "a key condition of 4,097 bytes": (
        "Query",
        query(),
        query(KeyConditionExpression=padded("pk = :p", 4097)),
    ),
    "a filter of 4,097 bytes in fewer characters": (
        "Query",
        query("a = :a AND b = 'ß'"),
        query("a = :a AND b = '" + "ß" * 2040 + "'"),
    ),
    "a projection of a page, of 4,097 bytes": (
        "Scan",
        {"TableName": "t", "ProjectionExpression": "a, b"},
        {"TableName": "t", "ProjectionExpression": padded("a, b", 4097)},
    ),
    "a projection of an item, of 4,097 bytes": (
        "GetItem",
        get(ProjectionExpression="a, b"),
        get(ProjectionExpression=padded("a, b", 4097)),
    ),
    "a projection of an item that has its own text, of 4,097 bytes": (
        "GetItem",
        get(ProjectionExpression="a .b"),
        get(ProjectionExpression=padded("a .b", 4097)),
    ),
    "a placeholder of 256 bytes": (
        "Query",
        query("a = :a"),
        query(f"#{LONG} = :a", ExpressionAttributeNames={f"#{LONG}": "a"}),
    ),
    "a value's placeholder of 256 bytes": (
        "Query",
        query("a = :p"),
        query(
            f"a = :{LONG}",
            ExpressionAttributeValues={":p": {"S": "x"}, f":{LONG}": {"S": "x"}},
        ),
    ),
    "more than 2 MB of values, of which two are equal": (
        "Query",
        query(
            "a = :a OR b = :a",
            ExpressionAttributeValues={":p": {"S": "x"}, ":a": HALF},
        ),
        query(
            "a = :a OR b = :b",
            ExpressionAttributeValues={":p": {"S": "x"}, ":a": HALF, ":b": HALF},
        ),
    ),
    "a value that no expression uses": (
        "Query",
        query("a = :a"),
        query(
            "a = :a",
            ExpressionAttributeValues={":p": {"S": "x"}, ":a": ONE, ":b": OTHER},
        ),
    ),
    "a name that no expression uses": (
        "GetItem",
        get(ProjectionExpression="a"),
        get(ProjectionExpression="a", ExpressionAttributeNames={"#b": "b"}),
    ),
    "no names, and nothing that they could be for": (
        "GetItem",
        get(),
        get(ExpressionAttributeNames={"#b": "b"}),
    ),
    "a reserved word": (
        "Query",
        query("#n = :a", ExpressionAttributeNames={"#n": "name"}),
        query("name = :a"),
    ),
    "a function's name": (
        "Query",
        query("#n = :a", ExpressionAttributeNames={"#n": "begins_with"}),
        query("begins_with = :a"),
    ),
    "a function's name in a projection": (
        "GetItem",
        get(ProjectionExpression="#n", ExpressionAttributeNames={"#n": "contains"}),
        get(ProjectionExpression="contains"),
    ),
    "paths that overlap": (
        "GetItem",
        get(ProjectionExpression="a"),
        get(ProjectionExpression="a, a"),
    ),
    "a keyword that runs into a placeholder": (
        "Query",
        query("a BETWEEN :a AND :b"),
        query("a BETWEEN :a AND:b"),
    ),
    "redundant parentheses": (
        "Query",
        query("(a = :a)"),
        query("((a = :a))"),
    ),
    "bounds the other way round": (
        "Query",
        query(
            "a BETWEEN :a AND :b",
            ExpressionAttributeValues={":p": {"S": "x"}, ":a": ONE, ":b": OTHER},
        ),
        query(
            "a BETWEEN :a AND :b",
            ExpressionAttributeValues={":p": {"S": "x"}, ":a": OTHER, ":b": ONE},
        ),
    ),
    "a parameter that GetItem does not have": (
        "GetItem",
        get(AttributesToGet=["a"]),
        get(AttributesToGet=["a"], Limit=[]),
    ),
    "a parameter of a Query in a GetItem": (
        "GetItem",
        get(ProjectionExpression="a"),
        get(ProjectionExpression="a", Select="COUNT"),
    ),
    "both projections": (
        "GetItem",
        get(ProjectionExpression="a"),
        get(ProjectionExpression="a", AttributesToGet=["a"]),
    ),
    "a direction of a Scan": (
        "Scan",
        {"TableName": "t"},
        {"TableName": "t", "ScanIndexForward": True},
    ),
    "old and new parameters": ("Query", query(), query(QueryFilter={})),
    "an old operator": ("Query", query(), query(ConditionalOperator="AND")),
    "no item at all": ("Query", query(), query(Limit=0)),
    "an empty start": ("Query", query(), query(ExclusiveStartKey={})),
    "a segment of none": (
        "Scan",
        {"TableName": "t"},
        {"TableName": "t", "Segment": 0},
    ),
    "a selection that is none": ("Query", query(), query(Select="SOME")),
    "a selection beside a projection": (
        "Query",
        query(ProjectionExpression="a"),
        query(ProjectionExpression="a", Select="COUNT"),
    ),
    **{
        f"{operation} with a consistency of {value!r}": (
            operation,
            body,
            {**body, "ConsistentRead": value},
        )
        for value in TRUTHS
        for operation, body in (("GetItem", get()), ("Query", query()))
    },
    "a capacity that is none": ("Query", query(), query(ReturnConsumedCapacity="ALL")),
    **{
        f"the number {number[:12]}...": ("GetItem", get_by(ONE), get_by({"N": number}))
        for number in (
            *("1." + "0" * 38, "0" * 38 + "1", "1e0000", "+1", "1.", "1_0", "\uff11"),
            *("10e-1000", " 1", "1 ", ""),
        )
    },
    "zero beyond the range": ("GetItem", get_by({"N": "0"}), get_by({"N": "0e400"})),
    "another spelling of bytes": (
        "GetItem",
        get_by({"B": "YQ=="}),
        get_by({"B": "YR=="}),
    ),
    "an empty key": ("GetItem", get(), get_by({"S": ""})),
    "a key with an attribute more": (
        "GetItem",
        get(),
        get(Key={"pk": {"S": "a"}, "sk": ONE}),
    ),
}
"""For each a request that DynamoDB accepts, and its like that DynamoDB refuses."""


def check(operation: str, accepted: Body, refused: Body) -> None:
    """Check that a refused request can find nothing of an accepted one."""
    one, other = plan(operation, accepted, KNOWN), plan(operation, refused, KNOWN)
    assert isinstance(one, Read)
    if isinstance(other, Bypass):
        assert other.why.endswith(". DynamoDB is asked.")
        return
    assert isinstance(other, Read)
    assert other.question != one.question
    # A projection may be served from the whole item, whatever its own question is.
    assert other.whole is None


@pytest.mark.parametrize(
    ("operation", "accepted", "refused"), LIKES.values(), ids=list(LIKES)
)
def test_what_is_refused_has_no_question_of_what_is_accepted(
    operation: str, accepted: Body, refused: Body
) -> None:
    check(operation, accepted, refused)


@pytest.mark.parametrize("size", [4096, 4097])
def test_an_expression_of_the_longest_length_shares_its_question(size: int) -> None:
    made = plan("Query", query(padded("a = :a", size)), KNOWN)
    if size > 4096:
        assert made == Bypass()
        assert made.why == (
            "The FilterExpression has 4,097 bytes; DynamoDB allows 4,096. "
            "DynamoDB is asked."
        )
    else:
        short = plan("Query", query("a = :a"), KNOWN)
        assert isinstance(made, Read)
        assert isinstance(short, Read)
        assert made.question == short.question


@pytest.mark.parametrize(
    ("number", "like"),
    [("1" * 38, "1" * 38 + "e0"), ("-1." + "1" * 37, "-1." + "1" * 37 + "e0")],
)
def test_the_longest_numbers_share_a_question(number: str, like: str) -> None:
    one, other = (plan("GetItem", get_by({"N": n}), KNOWN) for n in (number, like))
    assert isinstance(one, Read)
    assert isinstance(other, Read)
    assert one.question == other.question


REASONS: dict[str, tuple[str, Body, str]] = {
    "a table of none": ("GetItem", {"Key": {}}, "The request lacks 'TableName'."),
    "digits": (
        "GetItem",
        get_by({"N": "1" * 39}),
        "A key attribute has 39 digits; DynamoDB allows 38.",
    ),
    "keys": (
        "BatchGetItem",
        {"RequestItems": {"t": of_keys(*map(str, range(101)))}},
        "It has 101 keys; DynamoDB allows 100.",
    ),
    "a key twice": (
        "BatchGetItem",
        {"RequestItems": {"t": of_keys("a", "a")}},
        "It has a key twice.",
    ),
    "a table twice": (
        "BatchGetItem",
        {"RequestItems": {"t": of_keys("a"), ARN: of_keys("b")}},
        "It names a table twice, by name and by ARN.",
    ),
    "both projections": (
        "BatchGetItem",
        {
            "RequestItems": {
                "t": of_keys("a", ProjectionExpression="a"),
                "u": of_keys("b", AttributesToGet=["a"]),
            }
        },
        "It has both ProjectionExpression and AttributesToGet.",
    ),
    "a truth": (
        "Scan",
        {"TableName": "t", "ConsistentRead": "yes"},
        "Its ConsistentRead is neither true nor false.",
    ),
    "a value": (
        "GetItem",
        get(Key={"pk": {"BOOL": True}}),
        "It has what is not the value of a key attribute: a string, number or binary.",
    ),
}


@pytest.mark.parametrize(
    ("operation", "body", "why"), REASONS.values(), ids=list(REASONS)
)
def test_a_bypass_says_what_is_refused(operation: str, body: Body, why: str) -> None:
    made = plan(operation, body, KNOWN)
    assert isinstance(made, Bypass)
    assert made.why == f"{why} DynamoDB is asked."


@pytest.mark.parametrize("number", ["1" * 39, "1." + "0" * 38, "+1", "1e126"])
def test_a_write_of_a_key_that_may_be_refused_evicts_its_table(number: str) -> None:
    made = plan("DeleteItem", get_by({"N": number}), KNOWN)
    assert isinstance(made, Write)
    assert made.tags == (table_tag("t"),)
    assert made.why.endswith(" So it evicts every table that it names.")


def test_a_batch_has_no_hit_for_a_part_that_is_refused() -> None:
    """A part that is refused has a key without an entry, so the batch is sent."""
    part = of_keys("a", ProjectionExpression="a, a")
    made = plan("BatchGetItem", {"RequestItems": {"t": part}}, KNOWN)
    accepted = plan("GetItem", get(ProjectionExpression="a"), KNOWN)
    assert isinstance(made, BatchRead)
    assert isinstance(accepted, Read)
    (read,) = made.reads["t"]
    assert read.question != accepted.question
    assert read.whole is None


# --- random ones -------------------------------------------------------------------

ATTRIBUTES = ["a", "name", "size", "Year", "b_c", "contains", "x.y", "and"]
_operands = st.sampled_from([{"N": "1"}, {"S": "x"}, {"N": "1.0"}])


class Writer:
    """Writes an expression with placeholders, and keeps what they stand for."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {":p": {"S": "x"}}

    def name(self, attribute: str) -> str:
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute
        return placeholder

    def value(self, value: Mapping[str, str]) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = value
        return placeholder


@st.composite
def accepted_queries(draw: st.DrawFn) -> Body:
    """Return a Query that DynamoDB accepts, with a filter of one to three terms."""
    writer = Writer()

    def term() -> str:
        path = writer.name(draw(st.sampled_from(ATTRIBUTES)))
        match draw(st.integers(0, 4)):
            case 0:
                return f"{path} <= {writer.value(draw(_operands))}"
            case 1:
                low, high = writer.value({"N": "1"}), writer.value({"N": "2"})
                return f"{path} BETWEEN {low} AND {high}"
            case 2:
                return f"{path} IN ({writer.value(draw(_operands))})"
            case 3:
                return f"attribute_exists({path})"
            case _:
                return f"NOT size({path}) > {writer.value({'N': '1'})}"

    terms = [term() for _ in range(draw(st.integers(1, 3)))]
    word = draw(st.sampled_from([" AND ", " or "]))
    body = query(word.join(terms))
    body["ExpressionAttributeNames"] = writer.names
    body["ExpressionAttributeValues"] = writer.values
    return body


def _with_filter(body: Body, text: str) -> Body:
    assume(text != body["FilterExpression"])
    return {**body, "FilterExpression": text}


def _without_first(body: Body, parameter: str) -> Body:
    _, *rest = body[parameter].items()
    return {**body, parameter: dict(rest)}


def _plain(body: Body) -> Body:
    """Write an attribute without its placeholder, where that is refused."""
    names = dict(body["ExpressionAttributeNames"])
    for placeholder, name in body["ExpressionAttributeNames"].items():
        if name not in {"a", "b_c"} and "." not in name:
            del names[placeholder]
            text = body["FilterExpression"].replace(placeholder, name)
            return {**_with_filter(body, text), "ExpressionAttributeNames": names}
    assume(False)
    raise AssertionError


def _longer_placeholder(body: Body) -> Body:
    name = body["ExpressionAttributeNames"]["#n0"]
    names = {**body["ExpressionAttributeNames"], f"#{LONG}": name}
    del names["#n0"]
    text = body["FilterExpression"].replace("#n0", f"#{LONG}")
    return {**_with_filter(body, text), "ExpressionAttributeNames": names}


MUTATIONS: dict[str, Callable[[Body], Body]] = {
    "too long": lambda b: _with_filter(b, padded(b["FilterExpression"], 4097)),
    "too long at its end": lambda b: _with_filter(
        b, b["FilterExpression"] + " " * 4096
    ),
    "redundant parentheses": lambda b: _with_filter(b, f"(({b['FilterExpression']}))"),
    "an unused name": lambda b: {
        **b,
        "ExpressionAttributeNames": {**b["ExpressionAttributeNames"], "#u": "a"},
    },
    "an unused value": lambda b: {
        **b,
        "ExpressionAttributeValues": {**b["ExpressionAttributeValues"], ":u": ONE},
    },
    "an undefined name": lambda b: _without_first(b, "ExpressionAttributeNames"),
    "an undefined value": lambda b: _without_first(b, "ExpressionAttributeValues"),
    "a plain reserved word": _plain,
    "a long placeholder": _longer_placeholder,
    "a word that runs into a placeholder": lambda b: _with_filter(
        b, b["FilterExpression"].replace("AND :", "AND:").replace(" or #", " or#")
    ),
    "an old parameter": lambda b: {**b, "QueryFilter": {}},
    "no limit at all": lambda b: {**b, "Limit": 0},
    "an unknown parameter": lambda b: {**b, "New": None},
    "a consistency of null": lambda b: {**b, "ConsistentRead": None},
    "a capacity of null": lambda b: {**b, "ReturnConsumedCapacity": None},
    "a direction of 1": lambda b: {**b, "ScanIndexForward": 1},
}


@pytest.mark.parametrize("mutation", MUTATIONS)
@settings(max_examples=30)  # times the mutations
@given(body=accepted_queries())
def test_no_refused_like_of_a_random_query_has_its_question(
    mutation: str, body: Body
) -> None:
    check("Query", body, MUTATIONS[mutation](body))


@given(accepted_queries(), st.sampled_from([" ", "\t", "\n "]))
def test_a_random_query_in_other_blanks_and_placeholders_shares_its_question(
    body: Body, blank: str
) -> None:
    names = {f"#other{k[1:]}": v for k, v in body["ExpressionAttributeNames"].items()}
    text = body["FilterExpression"].replace("#", "#other").replace(" ", blank)
    like = {**body, "FilterExpression": text, "ExpressionAttributeNames": names}
    one, other = plan("Query", body, KNOWN), plan("Query", like, KNOWN)
    assert isinstance(one, Read)
    assert isinstance(other, Read)
    assert one.question == other.question
