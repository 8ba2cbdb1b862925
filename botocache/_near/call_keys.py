"""A call's arguments -> the key under which the near cache remembers it. Pure.

Two calls with equal keys have equal wire bodies. Python alone does not see to that:
`1 == True == Decimal("1.0")`, and `"a"` and `b"a"` have one hash. So a key holds each
value with its exact type. A call with a value of a type that is not known here has no
key, and botocore handles it. One call may have two keys, by the order of its arguments.
A key holds no object that the caller could change.

There are two kinds of keys. Nearly all arguments consist of strings, numbers and
containers of them. Their key is what `marshal` makes of them: it keeps exact types,
takes no others, and is written in C. But to marshal all buffers are alike, and it knows
neither Decimal nor the types of boto3. The key of arguments with such values is a flat
tuple, in which a container is its size, then its members.
"""

import marshal
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from typing import Any, Final, TypeAlias

from botocache._errors import pass_on

Tokens: TypeAlias = list[object]

Kinds: TypeAlias = Collection[type]

CallKey: TypeAlias = bytes | tuple[object, ...]
"""Bytes of marshal, or the flat tuple. Each holds the call's token and arguments."""


BY_VALUE = 2
"""The newest version of marshal's format in which equal values have equal bytes. Later
ones also encode how often an object is referred to."""

marshalled: Final = marshal.dumps


class UnknownTypeError(TypeError):
    """A value has a type that no key can hold."""


def quick_key(token: int, arguments: object) -> CallKey | None:
    """Return what may be the key of a call, in less time than `exact_key` takes.

    If the call's key is of marshal, this is the key. Else it is None or equal to no
    call's key, so that looking it up finds nothing.
    """
    try:
        return marshalled((token, arguments), BY_VALUE)  # type: ignore[arg-type]  # it raises at others
    except Exception as error:
        check_marshals(error)
        return None


def check_marshals(error: Exception) -> None:
    """Pass on an error that `marshalled` has raised, unless it is marshal's own."""
    # Of marshal itself. The comparison saves a call for each value that it cannot
    # take, and resources have many.
    traceback = error.__traceback__
    if type(error) is not ValueError or (traceback and traceback.tb_next) is not None:
        pass_on(error)


def marks_of(values: Sequence[object]) -> list[bytes]:
    """Return what tells each value from those that are others on the wire.

    Raises ValueError if marshal does not take a value. It takes bytes for a bytearray.
    """
    return [*map(marshalled, values, repeat(BY_VALUE))]  # type: ignore[arg-type]  # it raises at others


def exact_key(
    token: int, arguments: object, kinds: Kinds, quick: CallKey | None = b""
) -> CallKey | None:
    """Return the key of a call; None when the call has none.

    token: stands for the client and the operation, so that no two clients or operations
        share keys.
    arguments: of the call.
    kinds: types whose instances are nothing but their attributes (boto3's Binary, and
        the conditions that Key and Attr make).
    quick: the quick key of the call, for callers that have it; empty to make it. Where
        marshal does not take the arguments, it takes a microsecond to say so.
    """
    if quick == b"":
        quick = quick_key(token, arguments)
    tokens: Tokens = [token]
    try:
        if type(arguments) is not dict:
            return None
        _add_dict(tokens, arguments, kinds)
    except (UnknownTypeError, RecursionError, RuntimeError) as error:
        pass_on(error)
        return None  # RuntimeError: another thread changed a dict meanwhile
    if quick is None or not _BUFFERS.isdisjoint(tokens):
        return tuple(tokens)
    return quick


def arguments_in(key: bytes) -> object:
    """Return the arguments that a quick key was made of, as they were, in a copy."""
    _, arguments = marshal.loads(key)  # noqa: S302 - bytes of this process, from its memory
    return arguments


def is_quick(key: CallKey) -> bool:
    """Return whether a call's key is of marshal."""
    return type(key) is bytes


def table_of(arguments: object) -> str | None:
    """Return the TableName of a call's arguments, or None."""
    table = arguments.get("TableName") if type(arguments) is dict else None
    return table if type(table) is str else None


def cost_of(key: CallKey) -> int:
    """Return about how many bytes a key takes."""
    if isinstance(key, bytes):
        return 40 + len(key)
    return 100 + sum(
        70 + len(token) if isinstance(token, (str, bytes)) else 8 for token in key
    )


# A dict begins with its size, as a number. Where a value is expected, a number can be
# nothing else, because a value that is a number has its type before it.


def _add_dict(tokens: Tokens, value: Mapping[str, object], kinds: Kinds) -> None:
    add = tokens.append
    add(len(value))
    for name, member in value.items():
        if type(name) is not str:
            raise UnknownTypeError(type(name))
        add(name)
        _add(tokens, member, kinds)


def _add(tokens: Tokens, value: object, kinds: Kinds) -> None:
    kind = type(value)
    if kind is str:
        tokens.append(value)
    elif isinstance(value, dict) and kind is dict:
        _add_dict(tokens, value, kinds)
    elif kind in _ADDERS:
        tokens.append(kind)
        _ADDERS[kind](tokens, value, kinds)
    elif kind in kinds:
        tokens.append(kind)
        _add_dict(tokens, vars(value), kinds)
    else:
        raise UnknownTypeError(kind)


def _add_members(tokens: Tokens, value: Collection[object], kinds: Kinds) -> None:
    tokens.append(len(value))
    for member in value:
        _add(tokens, member, kinds)


def _add_itself(tokens: Tokens, value: object, _kinds: Kinds) -> None:
    tokens.append(value)


def _add_copy(tokens: Tokens, value: bytearray, _kinds: Kinds) -> None:
    tokens.append(bytes(value))


def _add_text(tokens: Tokens, value: object, _kinds: Kinds) -> None:
    tokens.append(str(value))


_ADDERS: dict[type, Callable[[Tokens, Any, Kinds], None]] = {
    type(None): _add_itself,
    bool: _add_itself,
    int: _add_itself,
    bytes: _add_itself,
    bytearray: _add_copy,
    Decimal: _add_text,  # 1 and 1.0 are equal, and not the same on the wire
    list: _add_members,
    tuple: _add_members,
    set: _add_members,
    frozenset: _add_members,
}
"""Adds to a key what follows a value's type. No float: `0.0 == -0.0`, and clients of
DynamoDB take none where it could matter."""

_BUFFERS = frozenset({bytes, bytearray})
