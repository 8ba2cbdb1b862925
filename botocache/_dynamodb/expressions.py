"""Reads DynamoDB's expressions, as far as a cache needs to understand them. Pure.

Two questions are answered: which attributes a key condition ties to one value, and
whether two spellings of an expression are the same question. (projections.py reads
document paths from the same tokens.) Whoever asks must be able to live with "cannot
say": every function returns None (or leaves things as they are) as soon as anything is
unusual, and the caller is then coarse. Nothing here judges whether DynamoDB would
accept an expression; it will say so itself.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from botocache._dynamodb.reserved_words import RESERVED_WORDS

Value = Mapping[str, Any]
"""An attribute value of the wire: `{"S": "..."}`."""


class Conditions(NamedTuple):
    """What a key condition says.

    attributes: every attribute that it names, in order.
    equal: those that it ties to one value, with the value.
    """

    attributes: tuple[str, ...]
    equal: Mapping[str, Value]


class UnreadableError(Exception):
    """The expression is not one that is understood. For the rooms that read alone."""


# --- tokens ------------------------------------------------------------------------

_TOKEN = re.compile(
    r"[ \t\r\n]*(?:"
    r"(?P<word>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<name>\#[A-Za-z0-9_]+)"
    r"|(?P<value>:[A-Za-z0-9_]+)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<symbol><>|<=|>=|[=<>(),.\[\]+-])"
    r")"
)


class Token(NamedTuple):
    """A piece of an expression. kind: word, name, value, number or symbol."""

    kind: str
    text: str


def read_tokens(expression: str) -> Iterator[Token]:
    """Yield the pieces of an expression; raise UnreadableError at any other text."""
    at = 0
    end = len(expression.rstrip(" \t\r\n"))
    while at < end:
        match = _TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise UnreadableError
        yield Token(match.lastgroup, match[match.lastgroup])
        at = match.end()


# --- key conditions ----------------------------------------------------------------


def read_key_condition(
    expression: str, names: Mapping[str, str], values: Mapping[str, Value]
) -> Conditions | None:
    """Read a KeyConditionExpression; None when it cannot be read for certain.

    names, values: ExpressionAttributeNames and ExpressionAttributeValues.
    """
    try:
        reader = _KeyConditionReader(list(read_tokens(expression)), names, values)
        reader.conjunction()
        reader.end()
    except (UnreadableError, RecursionError):
        return None
    return Conditions(tuple(reader.attributes), reader.equal)


def read_legacy_key_conditions(conditions: Mapping[str, Any]) -> Conditions | None:
    """Read the legacy parameter KeyConditions; None when it cannot be read."""
    equal: dict[str, Value] = {}
    for attribute, condition in conditions.items():
        operator = condition.get("ComparisonOperator")
        values = condition.get("AttributeValueList", ())
        if operator == "EQ" and len(values) == 1:
            equal[attribute] = values[0]
    return Conditions(tuple(conditions), equal) if conditions else None


class _KeyConditionReader:
    """Recursive descent over `term AND term ...`, with parentheses around any part."""

    _COMPARISONS = frozenset({"<", "<=", ">", ">="})

    def __init__(
        self,
        tokens: list[Token],
        names: Mapping[str, str],
        values: Mapping[str, Value],
    ) -> None:
        self._tokens = tokens
        self._at = 0
        self._names = names
        self._values = values
        self.attributes: list[str] = []
        self.equal: dict[str, Value] = {}

    def conjunction(self) -> None:
        self._term()
        while self._accept_keyword("AND"):
            self._term()

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise UnreadableError

    def _term(self) -> None:
        if self._accept_symbol("("):
            self.conjunction()
            self._expect_symbol(")")
        elif self._peek() == Token("word", "begins_with"):
            self._next()
            self._expect_symbol("(")
            self._attribute()
            self._expect_symbol(",")
            self._value()
            self._expect_symbol(")")
        else:
            self._comparison()

    def _comparison(self) -> None:
        attribute = self._attribute()
        if self._accept_symbol("="):
            value = self._value()
            if attribute in self.equal:
                raise UnreadableError
            self.equal[attribute] = value
        elif self._accept_keyword("BETWEEN"):
            self._value()
            if not self._accept_keyword("AND"):
                raise UnreadableError
            self._value()
        else:
            operator = self._next()
            if operator.kind != "symbol" or operator.text not in self._COMPARISONS:
                raise UnreadableError
            self._value()

    def _attribute(self) -> str:
        token = self._next()
        if token.kind == "word":
            attribute = token.text
        elif token.kind == "name" and token.text in self._names:
            attribute = self._names[token.text]
        else:
            raise UnreadableError
        self.attributes.append(attribute)
        return attribute

    def _value(self) -> Value:
        token = self._next()
        if token.kind != "value" or token.text not in self._values:
            raise UnreadableError
        return self._values[token.text]

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> Token:
        token = self._peek()
        if token is None:
            raise UnreadableError
        self._at += 1
        return token

    def _accept_symbol(self, text: str) -> bool:
        if self._peek() == Token("symbol", text):
            self._at += 1
            return True
        return False

    def _expect_symbol(self, text: str) -> None:
        if not self._accept_symbol(text):
            raise UnreadableError

    def _accept_keyword(self, keyword: str) -> bool:
        token = self._peek()
        if token and token.kind == "word" and token.text.upper() == keyword:
            self._at += 1
            return True
        return False


# --- one spelling ------------------------------------------------------------------

EXPRESSIONS = ("KeyConditionExpression", "FilterExpression", "ProjectionExpression")
"""The parameters of a read that hold an expression."""

_KEYWORDS = frozenset({"AND", "BETWEEN", "IN", "NOT", "OR"})


def canonical_expressions(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with each expression as tokens that hold what they stand for.

    So the same question asked through other placeholders becomes equal. What must
    still tell two questions apart stays: parentheses and order, reserved words used
    as plain names, and names or values that no expression uses (DynamoDB refuses
    those). A body with an expression that cannot be read is returned as it is.
    """
    expressions = [name for name in EXPRESSIONS if name in body]
    if not expressions:
        return dict(body)
    names = body.get("ExpressionAttributeNames", {})
    values = body.get("ExpressionAttributeValues", {})
    used: set[str] = set()
    canonical = dict(body)
    try:
        for name in expressions:
            canonical[name] = list(_canonical_tokens(body[name], names, values, used))
    except UnreadableError:
        return dict(body)
    for parameter, given in (
        ("ExpressionAttributeNames", names),
        ("ExpressionAttributeValues", values),
    ):
        if given:
            canonical[parameter] = {k: v for k, v in given.items() if k not in used}
            if not canonical[parameter]:
                del canonical[parameter]
    return canonical


def _canonical_tokens(
    expression: str,
    names: Mapping[str, str],
    values: Mapping[str, Value],
    used: set[str],
) -> Iterator[tuple[str, Any]]:
    tokens = list(read_tokens(expression))
    for (kind, text), following in zip_longest(tokens, tokens[1:]):
        if kind == "name" and text in names:
            used.add(text)
            yield "attribute", names[text]
        elif kind == "value" and text in values:
            used.add(text)
            yield "value", values[text]
        elif kind in ("name", "value"):
            raise UnreadableError
        elif kind == "word":
            yield _canonical_word(text, is_call=following == Token("symbol", "("))
        else:
            yield kind, text


def _canonical_word(text: str, *, is_call: bool) -> tuple[str, str]:
    upper = text.upper()
    if upper in _KEYWORDS:
        return "keyword", upper
    if is_call:
        return "function", text
    if upper in RESERVED_WORDS:
        return "reserved", text
    return "attribute", text
