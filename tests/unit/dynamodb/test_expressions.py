"""What is read of an expression is what it says; what cannot be read is left alone."""

import string
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._dynamodb.expressions import (
    Conditions,
    canonical_expressions,
    read_key_condition,
    read_legacy_key_conditions,
)
from botocache._dynamodb.reserved_words import RESERVED_WORDS

NAMES = {"#p": "pk", "#s": "sk", "#odd": "a b.c", "#0": "zero"}
P, S, LO, HI = {"S": "p"}, {"S": "s"}, {"N": "1"}, {"N": "9"}
VALUES = {":p": P, ":s": S, ":lo": LO, ":hi": HI, ":0": P}

# --- key conditions ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "attributes", "equal"),
    [
        ("pk = :p", ("pk",), {"pk": P}),
        ("pk=:p", ("pk",), {"pk": P}),
        ("  pk\n=\t:p  ", ("pk",), {"pk": P}),
        ("#p = :p", ("pk",), {"pk": P}),
        ("#0 = :0", ("zero",), {"zero": P}),
        ("#odd = :p", ("a b.c",), {"a b.c": P}),
        ("Pk_1 = :p", ("Pk_1",), {"Pk_1": P}),
        ("(pk = :p)", ("pk",), {"pk": P}),
        ("((pk = :p) AND (sk = :s))", ("pk", "sk"), {"pk": P, "sk": S}),
        ("pk = :p AND sk = :s", ("pk", "sk"), {"pk": P, "sk": S}),
        ("sk = :s and #p = :p", ("sk", "pk"), {"pk": P, "sk": S}),
        ("pk = :p And sk < :s", ("pk", "sk"), {"pk": P}),
        ("pk = :p AND sk <= :s", ("pk", "sk"), {"pk": P}),
        ("pk = :p AND sk > :s", ("pk", "sk"), {"pk": P}),
        ("pk = :p AND sk>=:s", ("pk", "sk"), {"pk": P}),
        ("pk = :p AND sk BETWEEN :lo AND :hi", ("pk", "sk"), {"pk": P}),
        ("sk between :lo and :hi and pk = :p", ("sk", "pk"), {"pk": P}),
        ("pk = :p AND begins_with(sk, :s)", ("pk", "sk"), {"pk": P}),
        ("begins_with ( #s , :s ) AND (pk = :p)", ("sk", "pk"), {"pk": P}),
        ("pk=:p AND(sk=:s)", ("pk", "sk"), {"pk": P, "sk": S}),
        ("sk > :s", ("sk",), {}),
        ("a = :p AND b = :s AND c > :lo", ("a", "b", "c"), {"a": P, "b": S}),
    ],
)
def test_a_key_condition_says_which_attributes_have_which_value(
    expression: str, attributes: tuple[str, ...], equal: Mapping[str, Any]
) -> None:
    read = read_key_condition(expression, NAMES, VALUES)
    assert read == Conditions(attributes, equal)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "   ",
        "pk",
        "pk =",
        "= :p",
        ":p = pk",
        "pk = sk",
        "pk = 'literal'",
        "pk = 5",
        "pk = :unknown",
        "#unknown = :p",
        "pk = #p",
        "pk <> :p",
        "pk == :p",
        "pk => :p",
        "pk < > :p",
        "NOT pk = :p",
        "pk = :p OR sk = :s",
        "pk = :p AND sk = :s OR sk = :lo",
        "(pk = :p OR pk = :s)",
        "pk = :p AND",
        "AND pk = :p",
        "pk = :p sk = :s",
        "pk = :p, sk = :s",
        "pk = :p AND pk = :s",
        "pk = :p AND #p = :p",
        "pk IN (:p, :s)",
        "pk IN (:p)",
        "(pk = :p",
        "pk = :p)",
        "()",
        "pk = (:p)",
        "a.b = :p",
        "a[0] = :p",
        "size(pk) = :p",
        "begins_with = :p",
        "Begins_With(sk, :s)",
        "begins_with(sk :s)",
        "begins_with(sk, :s",
        "begins_with(sk, sk)",
        "begins_with(:s, sk)",
        "contains(sk, :s)",
        "attribute_exists(pk)",
        "sk BETWEEN :lo",
        "sk BETWEEN :lo, :hi",
        "sk BETWEEN :lo OR :hi",
        "sk BETWEENX :lo AND :hi",
        "pk = :pAND sk = :s",
        "_pk = :p",
        "a-b = :p",
        '"pk" = :p',
        "pk = :p;",
        "pk = :p -- and more",
        "pk = :p /* and more */",
        "pk = :p\x00",
        "pk\u00a0= :p",
        "pk = :p\u2003",
        "\uff50\uff4b = :p",
    ],
    ids=ascii,
)
def test_a_key_condition_that_is_at_all_unusual_is_not_read(expression: str) -> None:
    assert read_key_condition(expression, NAMES, VALUES) is None


def test_parentheses_without_end_are_not_read() -> None:
    assert read_key_condition("(" * 50_000, NAMES, VALUES) is None


class _Term(NamedTuple):
    """One term of a key condition: `attribute operator values`."""

    attribute: str
    operator: str
    values: tuple[Mapping[str, Any], ...]


_OPERANDS = {"BETWEEN": 2}
_words = st.text(string.ascii_letters, min_size=1, max_size=3).filter(
    lambda word: word.upper() not in RESERVED_WORDS
)
_wire_values = st.fixed_dictionaries({"S": st.text(max_size=2)})


@st.composite
def _terms(draw: st.DrawFn) -> _Term:
    operator = draw(
        st.sampled_from(["=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"])
    )
    count = _OPERANDS.get(operator, 1)
    values = draw(st.lists(_wire_values, min_size=count, max_size=count))
    attribute = draw(_words | st.text(min_size=1, max_size=4))
    return _Term(attribute, operator, tuple(values))


_structures = st.lists(
    _terms(), min_size=1, max_size=3, unique_by=lambda term: term.attribute
)


class _Writer:
    """Writes terms as some text that means them."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self._draw = draw
        self.names: dict[str, str] = {}
        self.values: dict[str, Mapping[str, Any]] = {}

    def condition(self, terms: list[_Term]) -> str:
        tokens: list[str] = []
        for term in terms:
            tokens += [self._keyword("AND")] if tokens else []
            tokens += self._enclosed(self._term(term))
        return self._spaced(self._enclosed(tokens))

    def _term(self, term: _Term) -> list[str]:
        name = self._name(term.attribute)
        values = [self._value(value) for value in term.values]
        match term.operator:
            case "begins_with":
                return ["begins_with", "(", name, ",", *values, ")"]
            case "BETWEEN":
                low, high = values
                return [name, self._keyword("BETWEEN"), low, self._keyword("AND"), high]
            case operator:
                return [name, operator, *values]

    def _enclosed(self, tokens: list[str]) -> list[str]:
        return ["(", *tokens, ")"] if self._draw(st.booleans()) else tokens

    def _name(self, attribute: str) -> str:
        is_plain = attribute.isascii() and attribute.isalpha()
        is_reserved = attribute.upper() in RESERVED_WORDS
        if is_plain and not is_reserved and self._draw(st.booleans()):
            return attribute
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute
        return placeholder

    def _value(self, value: Mapping[str, Any]) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = value
        return placeholder

    def _keyword(self, keyword: str) -> str:
        spellings = [keyword, keyword.lower(), keyword.title()]
        return str(self._draw(st.sampled_from(spellings)))

    def _spaced(self, tokens: list[str]) -> str:
        text = ""
        for token in tokens:
            must = text[-1:].isalnum() and token[0].isalnum()
            choices = [" ", "\n\t "] if must else ["", " ", "\n\t "]
            if text[-1:].isalnum() and token[0] in "#:":
                choices = [" "]
            text += self._draw(st.sampled_from(choices)) + token
        return text


@given(st.data(), _structures)
def test_what_is_read_of_a_key_condition_is_what_was_meant(
    data: st.DataObject, terms: list[_Term]
) -> None:
    writer = _Writer(data.draw)
    expression = writer.condition(terms)
    assert read_key_condition(expression, writer.names, writer.values) == Conditions(
        tuple(term.attribute for term in terms),
        {term.attribute: term.values[0] for term in terms if term.operator == "="},
    )


_fragments = st.sampled_from(
    [
        *("pk", "#p", ":p", ":s", "AND", "BETWEEN", "begins_with", "OR", "=", "<"),
        *("(", ")", ",", ".", "[", "]", "0", " ", "\n", "\u00a0", "-", '"', "#", ":"),
    ]
)
_texts = st.text() | st.lists(_fragments, max_size=12).map("".join)


@given(
    _texts,
    st.dictionaries(_texts, _texts) | st.just(NAMES),
    st.dictionaries(_texts, _wire_values) | st.just(VALUES),
)
def test_any_text_is_read_or_not_read(
    expression: str, names: dict[str, str], values: dict[str, Any]
) -> None:
    read = read_key_condition(expression, names, values)
    if read is not None:
        assert set(read.equal) <= set(read.attributes)
        assert all(value in values.values() for value in read.equal.values())


# --- legacy key conditions ---------------------------------------------------------


def _condition(operator: str, *values: Mapping[str, Any]) -> dict[str, Any]:
    return {"ComparisonOperator": operator, "AttributeValueList": list(values)}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, None),
        ({"pk": _condition("EQ", P)}, Conditions(("pk",), {"pk": P})),
        (
            {"pk": _condition("EQ", P), "sk": _condition("EQ", S)},
            Conditions(("pk", "sk"), {"pk": P, "sk": S}),
        ),
        *(
            (
                {"pk": _condition("EQ", P), "sk": _condition(operator, LO)},
                Conditions(("pk", "sk"), {"pk": P}),
            )
            for operator in ("NE", "LT", "LE", "GT", "GE", "BEGINS_WITH", "IN", "eq")
        ),
        (
            {"sk": _condition("BETWEEN", LO, HI), "pk": _condition("EQ", P)},
            Conditions(("sk", "pk"), {"pk": P}),
        ),
        ({"pk": _condition("EQ", P, S)}, Conditions(("pk",), {})),
        ({"pk": _condition("EQ")}, Conditions(("pk",), {})),
        ({"pk": {"ComparisonOperator": "EQ"}}, Conditions(("pk",), {})),
        ({"pk": {}}, Conditions(("pk",), {})),
    ],
)
def test_legacy_key_conditions_say_the_same(
    conditions: Mapping[str, Any], expected: Conditions | None
) -> None:
    assert read_legacy_key_conditions(conditions) == expected


# --- one spelling ------------------------------------------------------------------


def _query(
    key: str,
    names: dict[str, str] | None = None,
    values: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    body: dict[str, Any] = {"TableName": "t", "KeyConditionExpression": key, **more}
    if names is not None:
        body["ExpressionAttributeNames"] = names
    if values is not None:
        body["ExpressionAttributeValues"] = values
    return body


def _project(projection: str, names: dict[str, str] | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"TableName": "t", "ProjectionExpression": projection}
    return body if names is None else {**body, "ExpressionAttributeNames": names}


def _filter(
    text: str, names: dict[str, str] | None = None, **values: str
) -> dict[str, Any]:
    """Return a query with a filter; each value a number, of a key condition too."""
    given = {f":{name}": {"N": value} for name, value in values.items()}
    return _query("pk = :p", names, {":p": P, **given}, FilterExpression=text)


SAME_QUESTION = [
    (_query("pk = :a", values={":a": P}), _query("pk = :b", values={":b": P})),
    (_query("pk = :a", values={":a": P}), _query("pk=:a", values={":a": P})),
    (_query("pk = :a", values={":a": P}), _query(" pk\t=\n:a ", values={":a": P})),
    (
        _query("pk = :a", values={":a": P}),
        _query("#k = :a", {"#k": "pk"}, {":a": P}),
    ),
    (
        _query("#a = :a AND #b > :b", {"#a": "x", "#b": "y"}, {":a": P, ":b": S}),
        _query("#b = :b and #a > :a", {"#a": "y", "#b": "x"}, {":b": P, ":a": S}),
    ),
    (
        _query("pk = :a AND sk = :b", values={":a": P, ":b": P}),
        _query("pk = :a AND sk = :a", values={":a": P}),
    ),
    (
        _filter("a BETWEEN :x AND :y", x="1", y="2"),
        _filter("a between :x and :y", x="1", y="2"),
    ),
    (
        _filter("NOT a IN (:x, :y) OR b = :x", x="1", y="2"),
        _filter("not #a in (:y, :x) or b=:y", {"#a": "a"}, y="1", x="2"),
    ),
    (
        _filter("size(a) > :x", x="1"),
        _filter("size ( #a ) > :y", {"#a": "a"}, y="1"),
    ),
    (_project("a, b"), _project("#x,#y", {"#x": "a", "#y": "b"})),
    (_project("a.b[0]"), _project("#x.#y[0]", {"#x": "a", "#y": "b"})),
    (_project("#x", {"#x": "name"}), _project("#y", {"#y": "name"})),
    (_project("#x", {"#x": "a.b"}), _project("#y", {"#y": "a.b"})),
    ({"TableName": "t"}, {"TableName": "t"}),
]


@pytest.mark.parametrize(("a", "b"), SAME_QUESTION)
def test_the_same_question_in_other_words_becomes_equal(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    assert canonical_expressions(a) == canonical_expressions(b)


@pytest.mark.parametrize(("body", "_"), SAME_QUESTION)
def test_the_order_of_parameters_does_not_matter(
    body: dict[str, Any], _: dict[str, Any]
) -> None:
    turned = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in reversed(body.items())
    }
    assert canonical_expressions(turned) == canonical_expressions(body)


OTHER_QUESTION = {
    "another value": (
        _query("pk = :a", values={":a": P}),
        _query("pk = :a", values={":a": S}),
    ),
    "a value of another type": (
        _query("pk = :a", values={":a": {"S": "1"}}),
        _query("pk = :a", values={":a": {"N": "1"}}),
    ),
    "a number in another spelling": (
        _query("pk = :a", values={":a": {"N": "1"}}),
        _query("pk = :a", values={":a": {"N": "1.0"}}),
    ),
    "values the other way round": (
        _filter("a BETWEEN :x AND :y", x="1", y="2"),
        _filter("a BETWEEN :y AND :x", x="1", y="2"),
    ),
    "another attribute": (
        _query("pk = :a", values={":a": P}),
        _query("pK = :a", values={":a": P}),
    ),
    "another operator": (
        _filter("a < :x", x="1"),
        _filter("a <= :x", x="1"),
    ),
    "parentheses": (
        _query("pk = :a", values={":a": P}),
        _query("(pk = :a)", values={":a": P}),
    ),
    "parentheses elsewhere": (
        _filter("a = :x AND (b = :x OR c = :x)", x="1"),
        _filter("(a = :x AND b = :x) OR c = :x", x="1"),
    ),
    "conditions in another order": (
        _query("pk = :a AND sk = :b", values={":a": P, ":b": S}),
        _query("sk = :b AND pk = :a", values={":a": P, ":b": S}),
    ),
    "attributes in another order": (_project("a, b"), _project("b, a")),
    "a reserved word, plain": (_project("name"), _project("#n", {"#n": "name"})),
    "a reserved word in another case": (
        _project("Name"),
        _project("#n", {"#n": "Name"}),
    ),
    "an unused name": (
        _project("a"),
        _project("a", {"#b": "b"}),
    ),
    "another unused name": (
        _project("a", {"#b": "b"}),
        _project("a", {"#c": "b"}),
    ),
    "an unused value": (
        _query("pk = :a", values={":a": P}),
        _query("pk = :a", values={":a": P, ":b": S}),
    ),
    "no names": (_project("a"), _project("a", {})),
    "no values": (_project("a"), _query("a", values={})),
    "an empty dict of values": (_query("a"), _query("a", values={})),
    "a function behind a placeholder": (
        _filter("size(a) > :x", x="1"),
        _filter("#f(a) > :x", {"#f": "size"}, x="1"),
    ),
    "a function that is no reserved word, behind a placeholder": (
        _filter("contains(a, :x)", x="1"),
        _filter("#f(a, :x)", {"#f": "contains"}, x="1"),
    ),
    "a function in another case": (
        _filter("size(a) > :x", x="1"),
        _filter("Size(a) > :x", x="1"),
    ),
    "a keyword behind a placeholder": (
        _filter("a = :x AND b = :x", x="1"),
        _filter("a = :x #and b = :x", {"#and": "AND"}, x="1"),
    ),
    "a path and a name with a dot": (
        _project("a.b"),
        _project("#x", {"#x": "a.b"}),
    ),
    "blanks in a path": (_project("a.b[0]"), _project("a . b [ 0 ]")),
    "no blank before a placeholder": (
        _filter("a BETWEEN :x AND :y", x="1", y="2"),
        _filter("a BETWEEN :x AND:y", x="1", y="2"),
    ),
    "no blank behind a parenthesis": (
        _filter("(a = :x) AND b = :x", x="1"),
        _filter("(a = :x)AND b = :x", x="1"),
    ),
    "no blank behind a keyword": (
        _filter("NOT (a = :x)", x="1"),
        _filter("NOT(a = :x)", x="1"),
    ),
    "a function's name as an attribute, plain": (
        _project("contains"),
        _project("#x", {"#x": "contains"}),
    ),
    "a long placeholder": (
        _project("#x", {"#x": "a"}),
        _project(f"#{'x' * 255}", {f"#{'x' * 255}": "a"}),
    ),
    "a long name, plain": (
        _project("a" * 256),
        _project("#x", {"#x": "a" * 256}),
    ),
    "another index": (_project("a[0]"), _project("a[1]")),
    "an index in another spelling": (_project("a[0]"), _project("a[00]")),
    "another expression": (
        _query("pk = :p", values={":p": P}, FilterExpression="a"),
        _query("pk = :p", values={":p": P}, ProjectionExpression="a"),
    ),
    "a blank that DynamoDB does not know": (
        _project("a, b"),
        _project("a,\u00a0b"),
    ),
    "a missing expression": (_project("a"), {"TableName": "t"}),
    "another parameter": (_project("a"), {**_project("a"), "Limit": 1}),
}


@pytest.mark.parametrize(("a", "b"), OTHER_QUESTION.values(), ids=list(OTHER_QUESTION))
def test_another_question_stays_different(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert canonical_expressions(a) != canonical_expressions(b)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"TableName": "t", "Key": {"k": {"S": "x"}}},
        {"TableName": "t", "ExpressionAttributeNames": {"#a": "a"}},
        _query("pk = :unknown", values={":a": P}),
        _query("#unknown = :a", {"#a": "a"}, {":a": P}),
        _query("pk = 'literal'", values={":a": P}),
        _query("pk = :a", values={":a": P}, FilterExpression="a / b"),
        _project("a*b"),
        _project("_a"),
    ],
)
def test_what_holds_no_expression_that_can_be_read_is_left_as_it_is(
    body: dict[str, Any],
) -> None:
    assert canonical_expressions(body) == body


def test_the_request_itself_is_not_changed() -> None:
    body = _query("#k = :a", {"#k": "pk", "#z": "z"}, {":a": P, ":z": S})
    before = _query("#k = :a", {"#k": "pk", "#z": "z"}, {":a": P, ":z": S})
    canonical_expressions(body)["More"] = 1
    assert body == before


_abstract_tokens = (
    st.tuples(st.just("plain"), st.sampled_from(["a", "b", "name", "size"]))
    | st.tuples(st.just("named"), st.sampled_from(["a", "b", "name", "AND"]))
    | st.tuples(st.just("value"), st.sampled_from(["1", "2"]))
    | st.tuples(st.just("symbol"), st.sampled_from(["=", "(", ")", "."]))
    | st.tuples(st.just("keyword"), st.sampled_from(["AND", "or"]))
)
_abstract = st.lists(_abstract_tokens, max_size=4)


def _write(tokens: list[tuple[str, str]], draw: Callable[..., Any]) -> dict[str, Any]:
    """Return a filter that consists of the tokens, with placeholders of any name."""
    names: dict[str, str] = {}
    values: dict[str, str] = {}
    numbers = iter(draw(st.permutations(range(len(tokens)))))
    written = []
    for kind, text in tokens:
        match kind:
            case "named":
                written.append(f"#x{next(numbers)}")
                names[written[-1]] = text
            case "value":
                written.append(f":x{next(numbers)}")
                values[written[-1][1:]] = text
            case _:
                written.append(text)
    # A blank beside a dot is a spelling that keeps its own question.
    text = " ".join(written).replace(" .", ".").replace(". ", ".")
    return _filter(text, names or None, **values)


def _read(tokens: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what the tokens mean: a plain name, unless reserved, is the attribute."""
    meant = []
    for (kind, text), following in zip(tokens, [*tokens, ("", "")][1:], strict=True):
        if kind == "plain" and following == ("symbol", "("):
            meant.append(("function", text))
        elif kind in ("plain", "named"):
            is_refused = kind == "plain" and text.upper() in RESERVED_WORDS
            meant.append(("refused" if is_refused else "attribute", text))
        else:
            meant.append((kind, text.upper()))
    return meant


@given(st.data(), _abstract, _abstract)
def test_two_expressions_become_equal_exactly_when_they_mean_the_same(
    data: st.DataObject, a: list[tuple[str, str]], b: list[tuple[str, str]]
) -> None:
    one, other = _write(a, data.draw), _write(b, data.draw)
    same = canonical_expressions(one) == canonical_expressions(other)
    assert same == (_read(a) == _read(b))


@given(st.data(), _abstract)
def test_other_placeholders_never_make_another_question(
    data: st.DataObject, tokens: list[tuple[str, str]]
) -> None:
    one, other = _write(tokens, data.draw), _write(tokens, data.draw)
    assert canonical_expressions(one) == canonical_expressions(other)


@given(_texts, st.dictionaries(_texts, _texts) | st.just(NAMES))
def test_any_text_has_a_canonical_form_that_loses_nothing_else(
    text: str, names: dict[str, str]
) -> None:
    canonical = canonical_expressions(_query(text, names, VALUES, Limit=1))
    assert canonical["TableName"] == "t"
    assert canonical["Limit"] == 1
    assert "KeyConditionExpression" in canonical


# --- reserved words ----------------------------------------------------------------


def test_the_reserved_words_are_those_of_the_documentation() -> None:
    assert len(RESERVED_WORDS) == 573
    assert all(word.isalpha() and word.isupper() for word in RESERVED_WORDS)
    assert {"ABORT", "NAME", "STATUS", "TTL", "USER", "YEAR", "ZONE"} <= RESERVED_WORDS
    assert RESERVED_WORDS.isdisjoint({"PK", "SK", "ID", "EMAIL", "BEGINS_WITH"})
