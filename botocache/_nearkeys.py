"""A call's arguments -> the key under which the near cache remembers it. Pure.

Two calls that have one key have one wire body, whatever Python says of their arguments
(`1 == True == Decimal("1.0")`, `"a"` and `b"a"` have one hash). So every value is named
by its exact type, save the commonest, `str`; a type that is not known here has no key,
and its call takes the ordinary way. The converse does not hold and need not: one call
may have two keys, by the order of its arguments.

A key is flat: a container is its size, then its members. It holds nothing that the
caller could change.
"""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

Tokens: TypeAlias = list[Any]

Kinds: TypeAlias = Collection[type]

ArgumentsKey: TypeAlias = tuple[Any, ...]


class UnknownTypeError(TypeError):
    """A value is of a type that nobody here knows."""


def arguments_key(
    token: object, operation: str, arguments: Any, kinds: Kinds
) -> ArgumentsKey | None:
    """Return the key of a call; None when it is to take the ordinary way.

    token: hashable; whatever distinguishes this call besides: whose it is. kinds:
    types whose instances are nothing but their attributes (boto3's Binary, and the
    conditions that Key and Attr make).
    """
    tokens: Tokens = [token, operation]
    try:
        if type(arguments) is not dict:
            return None
        _add_dict(tokens, arguments, kinds)
    except (UnknownTypeError, RecursionError, RuntimeError):  # changed meanwhile
        return None
    return tuple(tokens)


def cost_of(key: ArgumentsKey) -> int:
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
        # Strings, and an attribute's value as the wire has it, without a call: these
        # are nearly all there are, and it is on the path of every hit.
        kind = type(member)
        if kind is str:
            add(member)
        elif kind is dict and len(member) == 1:
            for tag, text in member.items():
                if type(tag) is str is type(text):
                    tokens += (1, tag, text)
                else:
                    _add_dict(tokens, member, kinds)
        else:
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
