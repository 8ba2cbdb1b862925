"""Tokens of DynamoDB's expressions, and a cursor that reads them in order. Pure.

The readers in expressions.py, projections.py and updates.py share this file. None of
them judges whether DynamoDB would accept an expression.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from botocache._dynamodb.limits import EXPRESSION_BYTES


class UnreadableError(Exception):
    """The expression is not understood. Never leaves this package."""


_TOKEN = re.compile(
    r"[ \t\r\n]*(?:"
    r"(?P<word>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<name>\#[A-Za-z0-9_]+)"
    r"|(?P<value>:[A-Za-z0-9_]+)"
    r"|(?P<number>[0-9]+)"
    # Longer symbols first: `<=` is one token, not `<` and `=`.
    r"|(?P<symbol><>|<=|>=|[=<>(),.\[\]+-])"
    r")"
)


class Token(NamedTuple):
    """A piece of an expression.

    kind: word, name, value, number, symbol, or end.
    text: as the expression spells it.
    """

    kind: str
    text: str


END = Token("end", "")
"""What `TokenCursor.peek` returns behind the last token."""


def read_tokens(expression: str) -> Iterator[Token]:
    """Yield the tokens of an expression; raise UnreadableError at any other text."""
    at = 0
    end = len(expression.rstrip(" \t\r\n"))
    while at < end:
        match = _TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise UnreadableError
        yield Token(match.lastgroup, match[match.lastgroup])
        at = match.end()


def tokens_of(expression: str) -> tuple[Token, ...]:
    """Return the tokens of an expression; raise UnreadableError at any other text."""
    # An application has few short expressions, and reading one takes long.
    if len(expression) <= REMEMBERED:
        return _remembered_tokens(expression)
    if len(expression) > EXPRESSION_BYTES:  # DynamoDB refuses it
        raise UnreadableError
    return tuple(read_tokens(expression))


REMEMBERED = 256
"""Characters. The tokens of 256 expressions of this length take 8 MB at most."""


@lru_cache(maxsize=256)
def _remembered_tokens(expression: str) -> tuple[Token, ...]:
    return tuple(read_tokens(expression))


class TokenCursor:
    """A position in an expression's tokens, for recursive descent.

    Every method that finds another token than it needs raises UnreadableError, or
    returns False and stays where it is.
    """

    def __init__(self, expression: str) -> None:
        self._tokens = (*tokens_of(expression), END)
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """True if every token has been read."""
        return self._tokens[self._at] is END

    @property
    def is_at_call(self) -> bool:
        """True if the current token is a word with a parenthesis behind it."""
        return self.peek().kind == "word" and self._tokens[self._at + 1] == (
            "symbol",
            "(",
        )

    def peek(self) -> Token:
        """Return the current token without reading it; END behind the last one."""
        return self._tokens[self._at]

    def next(self) -> Token:
        """Read and return the current token."""
        token = self._tokens[self._at]
        # The cursor never moves past END, so `peek` needs no check of its own.
        if token is END:
            raise UnreadableError
        self._at += 1
        return token

    def accept(self, symbol: str) -> bool:
        """Read a symbol if it is the current token; return True if it was."""
        if self._tokens[self._at] == ("symbol", symbol):
            self._at += 1
            return True
        return False

    def expect(self, symbol: str) -> None:
        """Read a symbol that must be the current token."""
        if not self.accept(symbol):
            raise UnreadableError

    def accept_keyword(self, keyword: str) -> bool:
        """Read a keyword, in any case, if it is the current token.

        keyword: in capitals.
        """
        kind, text = self._tokens[self._at]
        if kind == "word" and text.upper() == keyword:
            self._at += 1
            return True
        return False
