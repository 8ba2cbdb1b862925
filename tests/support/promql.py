"""A parser of the part of PromQL that our examples use; all else is an error.

It is no more lenient than Prometheus: what it takes, Prometheus takes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"\s*(?:"
    r'(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<duration>\d+[smhdwy])(?![\w.])"
    r"|(?P<number>\d+(?:\.\d+)?)(?![\w.])"
    r"|(?P<name>[a-zA-Z_][a-zA-Z0-9_:]*)"
    r"|(?P<operator>=~|!~|!=|==|<=|>=|[-+*/%^(){}\[\],=<>])"
    r")"
)
_LEVELS = (
    frozenset({"or"}),
    frozenset({"and", "unless"}),
    frozenset({"==", "!=", "<=", "<", ">=", ">"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_FUNCTIONS = {"rate": 1, "increase": 1, "histogram_quantile": 2}
_OF_RANGES = frozenset({"rate", "increase"})
_AGGREGATIONS = frozenset({"sum", "max", "min", "avg", "count"})


class PromQLError(ValueError):
    """An expression is wrong, or has what this parser does not know."""


@dataclass
class Selector:
    """A metric in an expression. labels: with their operator and value."""

    name: str
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)
    is_range: bool = False


@dataclass
class Parsed:
    """What an expression names. groups: labels in `by`."""

    selectors: list[Selector] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)


def parse(expression: str) -> Parsed:
    """Return what an expression names. Raises PromQLError."""
    parser = _Parser(expression)
    parser.binary(0)
    if parser.peek() != ("end", ""):
        raise PromQLError(f"unexpected {parser.peek()[1]!r} in {expression!r}")
    return parser.parsed


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while expression[at:].strip():
        match = _TOKEN.match(expression, at)
        if match is None:
            raise PromQLError(f"no token at {expression[at:]!r}")
        kind = match.lastgroup or ""
        yield kind, match[kind]
        at = match.end()
    yield "end", ""


class _Parser:
    def __init__(self, expression: str) -> None:
        self._tokens = list(_tokens(expression))
        self.parsed = Parsed()

    def peek(self) -> tuple[str, str]:
        return self._tokens[0]

    def next(self, *texts: str, kind: str = "") -> str:
        """Take a token that must be one of these texts, or of a kind."""
        found, text = self._tokens.pop(0)
        if (texts and text not in texts) or (kind and found != kind):
            raise PromQLError(f"{text!r} where {texts or kind} was expected")
        return text

    def binary(self, level: int) -> None:
        """Take operands between the operators of a level and those that bind more."""
        if level == len(_LEVELS):
            self.operand()
            return
        self.binary(level + 1)
        while self.peek()[1] in _LEVELS[level]:
            self.next()
            self.binary(level + 1)

    def operand(self) -> None:
        kind, text = self.peek()
        if kind == "number":
            self.next()
        elif text == "(":
            self.next()
            self.binary(0)
            self.next(")")
        elif kind != "name":
            raise PromQLError(f"{text!r} where an operand was expected")
        elif text in _AGGREGATIONS:
            self.aggregation()
        elif text in _FUNCTIONS:
            self.function()
        else:
            self.selector()

    def aggregation(self) -> None:
        self.next()
        if self.peek()[1] in ("by", "without"):
            self.next()
            self.next("(")
            self.parsed.groups.add(self.next(kind="name"))
            while self.next(",", ")") == ",":
                self.parsed.groups.add(self.next(kind="name"))
        self.next("(")
        self.binary(0)
        self.next(")")

    def function(self) -> None:
        name = self.next()
        before = len(self.parsed.selectors)
        self.next("(")
        self.binary(0)
        for _ in range(_FUNCTIONS[name] - 1):
            self.next(",")
            self.binary(0)
        self.next(")")
        own = self.parsed.selectors[before:]
        if name in _OF_RANGES and not (len(own) == 1 and own[0].is_range):
            raise PromQLError(f"{name} takes one range")

    def selector(self) -> None:
        selector = Selector(self.next())
        if self.peek()[1] == "{":
            self.next()
            while self.peek()[1] != "}":
                label = self.next(kind="name")
                operator = self.next("=", "!=", "=~", "!~")
                value = self.next(kind="string")[1:-1]
                if "~" in operator:
                    re.compile(value)
                selector.labels[label] = operator, value
                if self.peek()[1] != "}":
                    self.next(",")
            self.next("}")
        if self.peek()[1] == "[":
            self.next()
            self.next(kind="duration")
            self.next("]")
            selector.is_range = True
        if self.peek()[1] == "offset":
            self.next()
            self.next(kind="duration")
        self.parsed.selectors.append(selector)
