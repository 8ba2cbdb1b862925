"""The top-level attributes of an item after an UpdateItem, from its old image. Pure.

Index keys are scalars at the top level, so only those are computed. Lists, maps and
sets are no index keys: a placeholder stands for them. Where the new value of an
attribute is not certain, the functions return None.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal, localcontext
from typing import TypeAlias

from botocache._dynamodb.tokens import TokenCursor, UnreadableError
from botocache._dynamodb.types import AttributeValue, Body, Item, Names, Values

_Operand: TypeAlias = Callable[[Item], AttributeValue | None]
"""Returns a value from the item before the update; None is an absent attribute."""

Update: TypeAlias = tuple[tuple[str, _Operand], ...]
"""The attributes that an update changes, each with its new value."""

_DIGITS = 38
"""Significant digits of a number in DynamoDB."""

_EXACT = 400
"""Digits that hold the sum of any two such numbers."""

_DOCUMENT: AttributeValue = {"M": {}}
"""Stands for any list, map or set, none of which can be an index key."""


class _UncertainError(Exception):
    """The new value does not follow from the old image."""


def read_update(parameters: Body) -> Update | None:
    """Read the update of an UpdateItem's body; None if it is not understood."""
    # The legacy parameter has rules of its own, which are not implemented here.
    if "AttributeUpdates" in parameters:
        return None
    expression = parameters.get("UpdateExpression")
    if expression is None:
        return ()
    try:
        reader = _UpdateReader(
            TokenCursor(expression),
            parameters.get("ExpressionAttributeNames", {}),
            parameters.get("ExpressionAttributeValues", {}),
        )
        return tuple(reader.actions())
    # DynamoDB will refuse the parameters that raise AttributeError and TypeError.
    except (UnreadableError, RecursionError, AttributeError, TypeError):
        return None


def apply(update: Update, old: Item, key: Item) -> Item | None:
    """Return the image after an update; None if it does not follow from the old one.

    old: the item before the update, empty if there was none.
    key: of the item. An update that creates an item puts these attributes, too.
    """
    try:
        # Every operand reads the item as it was: `SET a = b, b = a` swaps two values.
        changed = {name: operand(old) for name, operand in update}
    except _UncertainError:
        return None
    new = {**old, **key, **changed}
    return {name: value for name, value in new.items() if value is not None}


class _UpdateReader:
    """Recursive descent over `SET path = operand, ... REMOVE path, ... ADD ...`."""

    def __init__(self, tokens: TokenCursor, names: Names, values: Values) -> None:
        self._tokens = tokens
        self._names = names
        self._values = values

    def actions(self) -> Iterator[tuple[str, _Operand]]:
        """Yield each action of each clause: an attribute and its new value."""
        readers = {
            "SET": self._set,
            "REMOVE": self._remove,
            "ADD": self._add,
            "DELETE": self._delete,
        }
        while not self._tokens.is_at_end:
            keyword = self._tokens.next()
            read = readers.get(keyword.text.upper())
            if keyword.kind != "word" or read is None:
                raise UnreadableError
            yield read()
            while self._tokens.accept(","):
                yield read()

    # --- actions -------------------------------------------------------------------

    # A path into an attribute (`a.b`, `a[0]`) leaves it a list or a map, as it was: an
    # index key it is neither before nor after.

    def _set(self) -> tuple[str, _Operand]:
        name, is_nested = self._path()
        self._tokens.expect("=")
        operand = self._operand()
        for sign in ("+", "-"):
            if self._tokens.accept(sign):
                operand = _sum(operand, self._operand(), sign)
                break
        return name, _unchanged(name) if is_nested else operand

    def _remove(self) -> tuple[str, _Operand]:
        name, is_nested = self._path()
        return name, _unchanged(name) if is_nested else _constant(None)

    def _add(self) -> tuple[str, _Operand]:
        name, is_nested = self._path()
        value = self._value()
        return name, _unchanged(name) if is_nested else _added(name, value)

    def _delete(self) -> tuple[str, _Operand]:
        name, _ = self._path()
        self._value()
        # DELETE removes elements of a set. If it empties the set the attribute goes,
        # but neither form is an index key.
        return name, _unchanged(name)

    # --- operands ------------------------------------------------------------------

    def _operand(self) -> _Operand:
        tokens = self._tokens
        if tokens.peek().kind == "value":
            return _constant(self._value())
        if tokens.is_at_call:
            return self._call()
        if tokens.accept("("):
            operand = self._operand()
            tokens.expect(")")
            return operand
        name, is_nested = self._path()
        return _unknown if is_nested else _present(name)

    def _call(self) -> _Operand:
        tokens = self._tokens
        function = tokens.next().text
        tokens.expect("(")
        if function == "if_not_exists":
            name, is_nested = self._path()
            tokens.expect(",")
            default = self._operand()
            tokens.expect(")")
            return _unknown if is_nested else _present_or(name, default)
        if function != "list_append":
            raise UnreadableError
        self._operand()
        tokens.expect(",")
        self._operand()
        tokens.expect(")")
        return _constant(_DOCUMENT)

    def _path(self) -> tuple[str, bool]:
        """Read a document path; return its attribute, and whether it goes deeper."""
        tokens = self._tokens
        token = tokens.next()
        name: str | None = None
        if token.kind == "word":
            name = token.text
        elif token.kind == "name":
            name = self._names.get(token.text)
        if not isinstance(name, str):
            raise UnreadableError
        is_nested = False
        while True:
            if tokens.accept("."):
                tokens.next()
            elif tokens.accept("["):
                tokens.next()
                tokens.expect("]")
            else:
                return name, is_nested
            is_nested = True

    def _value(self) -> AttributeValue:
        token = self._tokens.next()
        value = self._values.get(token.text) if token.kind == "value" else None
        # The values come from the application: the body may hold anything.
        if not isinstance(value, Mapping):
            raise UnreadableError
        return value


# --- values ------------------------------------------------------------------------


def _unknown(_: Item) -> AttributeValue:
    raise _UncertainError


def _constant(value: AttributeValue | None) -> _Operand:
    return lambda _: value


def _unchanged(name: str) -> _Operand:
    return lambda old: old.get(name)


def _present(name: str) -> _Operand:
    def read(old: Item) -> AttributeValue:
        # DynamoDB refuses to read an absent attribute. It accepted this update, so the
        # old image is not the one that the update saw.
        if name not in old:
            raise _UncertainError
        return old[name]

    return read


def _present_or(name: str, default: _Operand) -> _Operand:
    return lambda old: old[name] if name in old else default(old)


def _added(name: str, value: AttributeValue) -> _Operand:
    total = _sum(_present(name), _constant(value), "+")

    def add(old: Item) -> AttributeValue | None:
        # ADD to a set leaves a set. ADD to an absent attribute sets it.
        if "N" not in value:
            return old.get(name, value)
        return total(old) if name in old else value

    return add


def _sum(left: _Operand, right: _Operand, sign: str) -> _Operand:
    def add(old: Item) -> AttributeValue:
        try:
            # Not the thread's own decimal context, which may round or raise.
            with localcontext(Context(prec=_EXACT)):
                a, b = _number(left(old)), _number(right(old))
                total = (a + b if sign == "+" else a - b).normalize()
        except (ArithmeticError, KeyError, TypeError, ValueError):
            raise _UncertainError from None
        # DynamoDB rounds or refuses a longer number.
        if len(total.as_tuple().digits) > _DIGITS:
            raise _UncertainError
        return {"N": str(total)}

    return add


def _number(value: AttributeValue | None) -> Decimal:
    if value is None:
        raise _UncertainError
    return Decimal(value["N"])
