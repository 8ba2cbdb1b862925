"""Key conditions, and one spelling for equal expressions. Pure.

It finds the attributes that a key condition ties to one value, and gives two spellings
of an expression the same canonical form. Every function returns None, or leaves the
expression as it is, as soon as anything is unusual: the caller then depends on more, or
keeps two entries. DynamoDB alone judges whether an expression is valid.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from botocache._dynamodb.limits import NAME_BYTES, check_expression
from botocache._dynamodb.reserved_words import NO_NAMES
from botocache._dynamodb.tokens import (
    REMEMBERED,
    Token,
    TokenCursor,
    UnreadableError,
    tokens_of,
)
from botocache._dynamodb.types import AttributeValue, Body, Names, Values
from botocache._errors import shows


@shows("attributes")
class Conditions(NamedTuple):
    """The attributes of a key condition.

    attributes: every attribute that it names, in order.
    equal: the attributes that it ties to one value, with the value.
    """

    attributes: tuple[str, ...]
    equal: Mapping[str, AttributeValue]


# --- key conditions ----------------------------------------------------------------


def read_key_condition(
    expression: str, names: Names, values: Values
) -> Conditions | None:
    """Read a KeyConditionExpression; None if any part of it is not understood.

    names: ExpressionAttributeNames.
    values: ExpressionAttributeValues.
    """
    try:
        reader = _KeyConditionReader(TokenCursor(expression), names, values)
        reader.read()
    except (UnreadableError, RecursionError):
        return None
    return Conditions(tuple(reader.attributes), reader.equal)


def read_legacy_key_conditions(conditions: Body) -> Conditions | None:
    """Read the legacy parameter KeyConditions; None if it is empty."""
    equal: dict[str, AttributeValue] = {}
    for attribute, condition in conditions.items():
        operator = condition.get("ComparisonOperator")
        values = condition.get("AttributeValueList", ())
        if operator == "EQ" and len(values) == 1:
            equal[attribute] = values[0]
    return Conditions(tuple(conditions), equal) if conditions else None


class _KeyConditionReader:
    """Recursive descent over `term AND term ...`, with parentheses around any part."""

    _COMPARISONS = frozenset({"<", "<=", ">", ">="})

    def __init__(self, tokens: TokenCursor, names: Names, values: Values) -> None:
        self._tokens = tokens
        self._names = names
        self._values = values
        self.attributes: list[str] = []
        self.equal: dict[str, AttributeValue] = {}

    def read(self) -> None:
        self._conjunction()
        # A prefix that is understood may say less than the whole: `a = :a OR b = :b`.
        if not self._tokens.is_at_end:
            raise UnreadableError

    def _conjunction(self) -> None:
        self._term()
        while self._tokens.accept_keyword("AND"):
            self._term()

    def _term(self) -> None:
        tokens = self._tokens
        if tokens.accept("("):
            self._conjunction()
            tokens.expect(")")
        # Names of functions are in lower case only; keywords are in any case.
        elif tokens.peek() == ("word", "begins_with"):
            tokens.next()
            tokens.expect("(")
            self._attribute()
            tokens.expect(",")
            self._value()
            tokens.expect(")")
        else:
            self._comparison()

    def _comparison(self) -> None:
        tokens = self._tokens
        attribute = self._attribute()
        if tokens.accept("="):
            value = self._value()
            # DynamoDB refuses a second condition on an attribute. If it accepted one,
            # either value could be the one that its answer depends on.
            if attribute in self.equal:
                raise UnreadableError
            self.equal[attribute] = value
        elif tokens.accept_keyword("BETWEEN"):
            self._value()
            # This AND belongs to BETWEEN; it must not end the term.
            if not tokens.accept_keyword("AND"):
                raise UnreadableError
            self._value()
        else:
            kind, text = tokens.next()
            if kind != "symbol" or text not in self._COMPARISONS:
                raise UnreadableError
            self._value()

    def _attribute(self) -> str:
        token = self._tokens.next()
        if token.kind == "word":
            attribute = token.text
        elif token.kind == "name" and token.text in self._names:
            attribute = self._names[token.text]
        else:
            raise UnreadableError
        self.attributes.append(attribute)
        return attribute

    def _value(self) -> AttributeValue:
        token = self._tokens.next()
        if token.kind != "value" or token.text not in self._values:
            raise UnreadableError
        return self._values[token.text]


# --- one spelling ------------------------------------------------------------------

EXPRESSIONS = ("KeyConditionExpression", "FilterExpression", "ProjectionExpression")
"""The parameters of a read that hold an expression."""

_KEYWORDS = frozenset({"AND", "BETWEEN", "IN", "NOT", "OR"})

_UNCERTAIN_BLANKS = re.compile(
    r"[ \t\r\n][.\[\]]|[.\[][ \t\r\n]"  # in a path: `a . b`, `a[ 0 ]`
    r"|[\w)\]][#:]|[)\]]\w"  # missing: `AND:b`, `)AND`
    r"|\b(?:AND|BETWEEN|IN|NOT|OR)\(",
    re.IGNORECASE,
).search
"""Finds blanks, or the lack of them, that DynamoDB may refuse: it does `AND:b`."""


def canonical_expressions(body: Body) -> dict[str, object]:
    """Return `body` with each expression as a list of tokens without placeholders.

    `a = :x` with `{":x": {"S": "1"}}` and `#n = :y` with `{"#n": "a"}` and the same
    value become equal. Parentheses and the order of terms stay as they are. A body with
    an expression that is not understood, or that DynamoDB may refuse for its spelling,
    is returned as it is.

    Raises RefusedError for an expression that is too long.
    """
    expressions = [name for name in EXPRESSIONS if name in body]
    if not expressions:
        return dict(body)
    for name in expressions:
        check_expression(name, body[name])
    names = body.get("ExpressionAttributeNames", {})
    values = body.get("ExpressionAttributeValues", {})
    used: set[str] = set()
    canonical: dict[str, object] = dict(body)
    try:
        for name in expressions:
            canonical[name] = list(_canonical_tokens(body[name], names, values, used))
    except UnreadableError:
        return dict(body)
    # DynamoDB refuses a request with a name or value that no expression uses. Such a
    # request keeps them here, so it never has the key of one that DynamoDB accepts.
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
    names: Names,
    values: Values,
    used: set[str],
) -> Iterator[tuple[str, object]]:
    """Yield each token with what it stands for; add its placeholder to `used`."""
    for kind, text in _classified_tokens(expression):
        if kind == "name" and text in names:
            used.add(text)
            yield "attribute", names[text]
        elif kind == "value" and text in values:
            used.add(text)
            yield "value", values[text]
        elif kind in ("name", "value"):
            raise UnreadableError
        else:
            yield kind, text


def _classified_tokens(expression: str) -> tuple[tuple[str, str], ...]:
    """Return the tokens of an expression, with words as what they mean.

    Raises UnreadableError if DynamoDB may refuse the expression for its spelling.
    """
    if len(expression) <= REMEMBERED:
        return _remembered_tokens(expression)
    return _classify(expression)


def _classify(expression: str) -> tuple[tuple[str, str], ...]:
    tokens = tokens_of(expression)
    if _UNCERTAIN_BLANKS(expression) or any(len(t.text) > NAME_BYTES for t in tokens):
        raise UnreadableError
    return tuple(
        _classified_word(text, is_call=following == Token("symbol", "("))
        if kind == "word"
        else (kind, text)
        for (kind, text), following in zip_longest(tokens, tokens[1:])
    )


_remembered_tokens = lru_cache(maxsize=256)(_classify)


def _classified_word(text: str, *, is_call: bool) -> tuple[str, str]:
    upper = text.upper()
    if upper in _KEYWORDS:
        return "keyword", upper
    if is_call:
        return "function", text
    # DynamoDB refuses a reserved word as a plain name, and accepts it behind a
    # placeholder. If both were "attribute", the refused request would get a hit.
    if upper in NO_NAMES:
        return "reserved", text
    return "attribute", text
