"""A call's arguments -> the key under which the near cache remembers it. Pure.

Two calls that have one key have one wire body, whatever Python says of their arguments
(`1 == True == Decimal("1.0")`, `"a"` and `b"a"` have one hash). So every value is told
with its exact type; a type that is not known here has no key, and its call takes the
ordinary way. The converse does not hold and need not: one call may have two keys, by
the order of its arguments. A key holds nothing that the caller could change.

There are two kinds. Arguments of nothing but strings, numbers and what holds them, as
nearly all are, have the bytes that `marshal` makes of them: it tells exact types, takes
no others, and is written in C. All that is a buffer is the same to it, though, and it
knows neither Decimal nor what boto3 made. What holds such has a flat tuple, in which a
container is its size, then its members.
"""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from marshal import dumps
from typing import Any, TypeAlias

Tokens: TypeAlias = list[Any]

Kinds: TypeAlias = Collection[type]

CallKey: TypeAlias = tuple[Any, ...]


_BY_VALUE = 2
"""The newest version of marshal's format in which equal values have equal bytes: later
ones tell who else refers to an object."""


class UnknownTypeError(TypeError):
    """A value is of a type that nobody here knows."""


def quick_key(token: object, operation: str, arguments: Any) -> CallKey | None:
    """Return what may be the key of a call, in less time than `exact_key` takes.

    It is that of all calls which have this one as their key, and of no other call that
    has a key; of a call that has none it may be any that no call has.
    """
    try:
        return (token, operation, dumps(arguments, _BY_VALUE))
    except Exception:  # a type that marshal does not take, or an audit hook
        return None


def exact_key(
    token: object, operation: str, arguments: Any, kinds: Kinds
) -> CallKey | None:
    """Return the key of a call; None when it is to take the ordinary way.

    token: hashable; whatever distinguishes this call besides: whose it is. kinds:
    types whose instances are nothing but their attributes (boto3's Binary, and the
    conditions that Key and Attr make).
    """
    quick = quick_key(token, operation, arguments)
    tokens: Tokens = [token, operation]
    try:
        if type(arguments) is not dict:
            return None
        _add_dict(tokens, arguments, kinds)
    except (UnknownTypeError, RecursionError, RuntimeError):  # changed meanwhile
        return None
    if quick is None or not _BUFFERS.isdisjoint(tokens):
        return tuple(tokens)
    return quick


def is_quick(key: CallKey) -> bool:
    """Tell whether a call's key is its quick one."""
    return type(key[2]) is bytes


def table_of(arguments: Any) -> str | None:
    """Return the TableName that a call's arguments name, if they do."""
    table = arguments.get("TableName") if type(arguments) is dict else None
    return table if type(table) is str else None


def cost_of(key: CallKey) -> int:
    """Return about how many bytes a key takes."""
    return 100 + sum(
        70 + len(token) if type(token) in (str, bytes) else 8 for token in key
    )


# A container begins with its size, as a number: at a place where a value is expected,
# it can be taken for nothing else, because a value that is a number has its type first.


def _add_dict(tokens: Tokens, value: Mapping[Any, Any], kinds: Kinds) -> None:
    add = tokens.append
    add(len(value))
    for name, member in value.items():
        if type(name) is not str:
            raise UnknownTypeError(type(name))
        add(name)
        _add(tokens, member, kinds)


def _add(tokens: Tokens, value: Any, kinds: Kinds) -> None:
    kind = type(value)
    if kind is str:
        tokens.append(value)
    elif kind is dict:
        _add_dict(tokens, value, kinds)
    elif kind in _ADDERS:
        tokens.append(kind)
        _ADDERS[kind](tokens, value, kinds)
    elif kind in kinds:
        tokens.append(kind)
        _add_dict(tokens, vars(value), kinds)
    else:
        raise UnknownTypeError(kind)


def _add_members(tokens: Tokens, value: Any, kinds: Kinds) -> None:
    tokens.append(len(value))
    for member in value:
        _add(tokens, member, kinds)


def _add_itself(tokens: Tokens, value: Any, _kinds: Kinds) -> None:
    tokens.append(value)


def _add_copy(tokens: Tokens, value: bytearray, _kinds: Kinds) -> None:
    tokens.append(bytes(value))


def _add_text(tokens: Tokens, value: Any, _kinds: Kinds) -> None:
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
"""How a value is told, after its type. Not float: `0.0 == -0.0`, and DynamoDB's clients
take none where it could matter."""

_BUFFERS = frozenset({bytes, bytearray})
