"""What an update leaves in an item's attributes, out of what it was before. Pure.

Understood as far as index keys go: scalars at the top level. Whatever else an update
does inside lists, maps and sets makes no index key of them. "Cannot say" is None.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal, localcontext
from typing import Any, TypeAlias

from botocache._dynamodb.expressions import Token, UnreadableError, read_tokens

Image: TypeAlias = Mapping[str, Any]
"""An item: of the wire, or as botocore has parsed it, when binary is bytes."""

_Value: TypeAlias = Any
"""An attribute value, None for an absent one."""

_Operand: TypeAlias = Callable[[Image], _Value]
"""Returns a value out of the item as it was before the update."""

Update: TypeAlias = tuple[tuple[str, _Operand], ...]
"""Attributes that an update changes, and what each becomes."""

_DIGITS = 38
"""Significant digits of a number in DynamoDB."""

_EXACT = 400
"""Digits that hold the sum of any two such numbers."""

_DOCUMENT: _Value = {"M": {}}
"""Stands for any list, map or set: no index has it for a key."""


class _UncertainError(Exception):
    """The old image does not say it."""


def read_update(parameters: Mapping[str, Any]) -> Update | None:
    """Read an UpdateItem's request; None when it cannot be read for certain."""
    if "AttributeUpdates" in parameters:
        return None
    expression = parameters.get("UpdateExpression")
    if expression is None:
        return ()
    try:
        reader = _Reader(
            list(read_tokens(expression)),
            parameters.get("ExpressionAttributeNames", {}),
            parameters.get("ExpressionAttributeValues", {}),
        )
        return tuple(reader.clauses())
    except (UnreadableError, RecursionError, AttributeError, TypeError):
        return None  # the last two: DynamoDB will refuse it


def apply(update: Update, old: Image, key: Image) -> Image | None:
    """Return the image after an update; None when the old one does not say it.

    key: of the item. Documents and sets are not those that DynamoDB has then.
    """
    try:
        changed = {name: operand(old) for name, operand in update}
    except _UncertainError:
        return None
    new = {**old, **key, **changed}
    return {name: value for name, value in new.items() if value is not None}


class _Reader:
    """Recursive descent over `SET path = operand, ... REMOVE path, ... ADD ...`."""

    def __init__(
        self,
        tokens: list[Token],
        names: Mapping[str, str],
        values: Mapping[str, _Value],
    ) -> None:
        self._tokens = tokens
        self._at = 0
        self._names = names
        self._values = values

    def clauses(self) -> Iterator[tuple[str, _Operand]]:
        """Yield each action of each clause."""
        actions = {
            "SET": self._set,
            "REMOVE": self._remove,
            "ADD": self._add,
            "DELETE": self._delete,
        }
        while self._at < len(self._tokens):
            keyword = self._next()
            action = actions.get(keyword.text.upper())
            if keyword.kind != "word" or action is None:
                raise UnreadableError
            yield action()
            while self._accept(","):
                yield action()

    # --- actions -------------------------------------------------------------------

    def _set(self) -> tuple[str, _Operand]:
        name, is_inside = self._path()
        self._expect("=")
        operand = self._operand()
        for sign in ("+", "-"):
            if self._accept(sign):
                operand = _sum(operand, self._operand(), sign)
                break
        return name, _unchanged(name) if is_inside else operand

    def _remove(self) -> tuple[str, _Operand]:
        name, is_inside = self._path()
        return name, _unchanged(name) if is_inside else _constant(None)

    def _add(self) -> tuple[str, _Operand]:
        name, is_inside = self._path()
        value = self._value()
        return name, _unchanged(name) if is_inside else _added(name, value)

    def _delete(self) -> tuple[str, _Operand]:
        name, _ = self._path()
        self._value()
        return name, _unchanged(name)

    # --- operands ------------------------------------------------------------------

    def _operand(self) -> _Operand:
        token = self._peek()
        if token.kind == "value":
            return _constant(self._value())
        if token.kind == "word" and self._is_call():
            return self._call()
        if self._accept("("):
            operand = self._operand()
            self._expect(")")
            return operand
        name, is_inside = self._path()
        return _unknown if is_inside else _present(name)

    def _call(self) -> _Operand:
        function = self._next().text
        self._expect("(")
        if function == "if_not_exists":
            name, is_inside = self._path()
            self._expect(",")
            otherwise = self._operand()
            self._expect(")")
            return _unknown if is_inside else _first(name, otherwise)
        if function != "list_append":
            raise UnreadableError
        self._operand()
        self._expect(",")
        self._operand()
        self._expect(")")
        return _constant(_DOCUMENT)

    def _path(self) -> tuple[str, bool]:
        """Return a path's attribute, and whether it goes into it."""
        token = self._next()
        name: str | None = None
        if token.kind == "word":
            name = token.text
        elif token.kind == "name":
            name = self._names.get(token.text)
        if not isinstance(name, str):
            raise UnreadableError
        is_inside = False
        while True:
            if self._accept("."):
                self._next()
            elif self._accept("["):
                self._next()
                self._expect("]")
            else:
                return name, is_inside
            is_inside = True

    def _value(self) -> _Value:
        token = self._next()
        value = self._values.get(token.text) if token.kind == "value" else None
        if not isinstance(value, Mapping):
            raise UnreadableError
        return value

    # --- tokens --------------------------------------------------------------------

    def _is_call(self) -> bool:
        following = self._tokens[self._at + 1 : self._at + 2]
        return following == [Token("symbol", "(")]

    def _peek(self) -> Token:
        if self._at == len(self._tokens):
            raise UnreadableError
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _accept(self, symbol: str) -> bool:
        if self._tokens[self._at : self._at + 1] == [Token("symbol", symbol)]:
            self._at += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise UnreadableError


# --- values ------------------------------------------------------------------------


def _unknown(_: Image) -> _Value:
    raise _UncertainError


def _constant(value: _Value) -> _Operand:
    return lambda _: value


def _unchanged(name: str) -> _Operand:
    return lambda old: old.get(name)


def _present(name: str) -> _Operand:
    def read(old: Image) -> _Value:
        if name not in old:
            raise _UncertainError
        return old[name]

    return read


def _first(name: str, otherwise: _Operand) -> _Operand:
    return lambda old: old[name] if name in old else otherwise(old)


def _added(name: str, value: _Value) -> _Operand:
    total = _sum(_present(name), _constant(value), "+")

    def add(old: Image) -> _Value:
        if "N" not in value:  # a set, which stays one
            return old.get(name, value)
        return total(old) if name in old else value

    return add


def _sum(left: _Operand, right: _Operand, sign: str) -> _Operand:
    def add(old: Image) -> _Value:
        try:
            # Whatever the thread's own context is: it may round, or raise.
            with localcontext(Context(prec=_EXACT)):
                a, b = Decimal(left(old)["N"]), Decimal(right(old)["N"])
                total = (a + b if sign == "+" else a - b).normalize()
        except (ArithmeticError, KeyError, TypeError, ValueError):
            raise _UncertainError from None
        if len(total.as_tuple().digits) > _DIGITS:
            raise _UncertainError
        return {"N": str(total)}

    return add
