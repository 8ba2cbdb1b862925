"""An answer -> whatever makes equal ones, each a fresh object. Pure.

For answers as boto3's resources return them, which have a Decimal, a Binary and sets in
them. What cannot be changed is shared by all copies; that makes one of a flat item in a
tenth of the time that decoding takes, and copy.deepcopy thirty times as long.
"""

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any, TypeAlias

Copier: TypeAlias = Callable[[], Any]

_SHARED = frozenset({str, bytes, int, float, bool, type(None), Decimal})
"""Nobody can change these."""


class NoTemplateError(TypeError):
    """A value is of a type that nobody here knows how to copy."""


def copier_for(value: dict[str, Any], kinds: Collection[type]) -> Copier:
    """Return what makes a fresh equal of `value` whenever it is called.

    kinds: types whose instances are made anew of their attributes, which are shared.
    Takes `value` over: whoever had it must not. Raises NoTemplateError.
    """
    return _copier(value, kinds)


def _copier(value: Any, kinds: Collection[type]) -> Copier:
    kind = type(value)
    if kind is dict:
        return _of_dict(value, kinds)
    if kind is list:
        return _of_list(value, kinds)
    if kind is set and {type(member) for member in value} <= _SHARED:
        return value.copy  # type: ignore[no-any-return]
    if kind is set:
        return _of_set(value, kinds)
    if kind in kinds and {type(member) for member in vars(value).values()} <= _SHARED:
        return _of_object(value)
    raise NoTemplateError(kind)


def _of_dict(value: dict[Any, Any], kinds: Collection[type]) -> Copier:
    makers = [
        (name, _copier(member, kinds))
        for name, member in value.items()
        if type(member) not in _SHARED
    ]
    if not makers:
        return value.copy

    def make() -> dict[Any, Any]:
        made = value.copy()
        for name, maker in makers:
            made[name] = maker()
        return made

    return make


def _of_list(value: list[Any], kinds: Collection[type]) -> Copier:
    if {type(member) for member in value} <= _SHARED:
        return value.copy
    if _SHARED.isdisjoint(map(type, value)):
        makers = [_copier(member, kinds) for member in value]
        return lambda: [maker() for maker in makers]
    by_name = _of_dict(dict(enumerate(value)), kinds)
    return lambda: list(by_name().values())


def _of_set(value: set[Any], kinds: Collection[type]) -> Copier:
    members = _of_list(list(value), kinds)
    return lambda: set(members())


def _of_object(value: Any) -> Copier:
    kind: type[Any] = type(value)
    attributes = vars(value)

    def make() -> Any:
        made: Any = object.__new__(kind)
        made.__dict__.update(attributes)
        return made

    return make


def cost_of(value: Any) -> int:
    """Return about how many bytes a template of a value takes."""
    if isinstance(value, dict):
        return 300 + sum(
            cost_of(name) + cost_of(member) for name, member in value.items()
        )
    if isinstance(value, (list, set)):
        return 200 + sum(map(cost_of, value))
    if isinstance(value, (str, bytes)):
        return 60 + len(value)
    return 110
