"""An answer -> a function that returns equal answers, each a fresh object. Pure.

For answers as boto3's resources return them, which hold Decimal, Binary and sets. All
copies share the values that cannot be changed. So copying a flat item takes a tenth of
the time of decoding it; copy.deepcopy takes thirty times as long.
"""

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

K = TypeVar("K")
T = TypeVar("T")

Copier: TypeAlias = Callable[[], T]
"""Returns a fresh equal of a value at each call."""

_SHARED = frozenset({str, bytes, int, float, bool, type(None), Decimal})
"""Types whose values cannot be changed."""


class NotCopyableError(TypeError):
    """A value has a type that cannot be copied here."""


def copier_for(
    value: dict[str, Any], kinds: Collection[type]
) -> Copier[dict[str, Any]]:
    """Return the copier of a value. Raises NotCopyableError.

    value: the copier keeps it, so the caller must not use it any more.
    kinds: types whose instances are made anew of their attributes, which are shared.
    """
    try:
        return _of_dict(value, kinds)
    except RecursionError:
        raise NotCopyableError(dict) from None


def _copier(value: object, kinds: Collection[type]) -> Copier[Any]:
    kind = type(value)
    if isinstance(value, dict) and kind is dict:
        return _of_dict(value, kinds)
    if isinstance(value, list) and kind is list:
        return _of_list(value, kinds)
    if isinstance(value, set) and kind is set:
        return _of_set(value, kinds)
    if kind in kinds and {type(member) for member in vars(value).values()} <= _SHARED:
        return _of_object(value)
    raise NotCopyableError(kind)


def _of_dict(value: dict[K, T], kinds: Collection[type]) -> Copier[dict[K, T]]:
    makers = [
        (name, _copier(member, kinds))
        for name, member in value.items()
        if type(member) not in _SHARED
    ]
    if not makers:
        return value.copy
    if len(makers) == 1:
        return _with_one(value, *makers[0])

    def make() -> dict[K, T]:
        made = value.copy()
        for name, maker in makers:
            made[name] = maker()
        return made

    return make


def _with_one(value: dict[K, T], name: K, maker: Copier[T]) -> Copier[dict[K, T]]:
    """Return the copier of a dict of which one member must be copied.

    An answer is one, and so are most items that are not flat.
    """

    def make() -> dict[K, T]:
        made = value.copy()
        made[name] = maker()  # without the loop, in two thirds of the time
        return made

    return make


def _of_list(value: list[T], kinds: Collection[type]) -> Copier[list[T]]:
    if {type(member) for member in value} <= _SHARED:
        return value.copy
    # Most lists hold containers alone, or none. A mixed one is copied as a dict.
    if _SHARED.isdisjoint(map(type, value)):
        makers = [_copier(member, kinds) for member in value]
        return lambda: [maker() for maker in makers]
    by_name = _of_dict(dict(enumerate(value)), kinds)
    return lambda: list(by_name().values())


def _of_set(value: set[T], kinds: Collection[type]) -> Copier[set[T]]:
    if {type(member) for member in value} <= _SHARED:
        return value.copy
    members = _of_list(list(value), kinds)
    return lambda: set(members())


def _of_object(value: T) -> Copier[T]:
    kind = type(value)
    attributes = vars(value)

    def make() -> T:
        # Not by its __init__, which checks the value and takes longer.
        made = object.__new__(kind)
        made.__dict__.update(attributes)
        return made

    return make


def cost_of(value: object) -> int:
    """Return about how many bytes the copier of a value takes."""
    if isinstance(value, dict):
        return 300 + sum(
            cost_of(name) + cost_of(member) for name, member in value.items()
        )
    if isinstance(value, (list, set)):
        return 200 + sum(map(cost_of, value))
    if isinstance(value, (str, bytes)):
        return 60 + len(value)
    return 110
