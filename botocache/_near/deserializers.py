"""What a resource's answer rests on besides its entry: how boto3 deserializes values.

The near cache remembers such answers as boto3's resource layer left them. Applications
patch `TypeDeserializer`, most of them to get floats, also while the process runs. An
answer that was remembered before has the old form then.
"""

import sys
from operator import attrgetter
from typing import Any, Protocol

from botocache._dynamodb.types import Answer
from botocache.stores.protocol import StillCurrent

_TYPES = frozenset({"B", "BOOL", "BS", "L", "M", "N", "NS", "NULL", "S", "SS"})
"""The types of attribute values, each the key of a dict on the wire."""

_MEMBERS = {"BS": "B", "NS": "N", "SS": "S"}
"""The types of the members of sets."""


class Injector(Protocol):
    """What registers boto3's resource layer on a client.

    _deserializer: has a method for each type of value, `_deserialize_n` and so on.
    """

    _deserializer: Any


def guard(
    is_current: StillCurrent, injector: Injector | None, answer: Answer
) -> StillCurrent | None:
    """Return what also checks that a resource still deserializes an answer so.

    None if that cannot be checked: the deserializer is not boto3's own.

    is_current: returns whether the answer's snapshot is still current.
    injector: of the resource.
    answer: on the wire.
    """
    types: Any = sys.modules.get("boto3.dynamodb.types")
    if injector is None or not hasattr(types, "DYNAMODB_CONTEXT"):
        return None
    deserializer = injector._deserializer  # noqa: SLF001 - boto3 has no other way to it
    kind, own = type(deserializer), vars(deserializer)
    if kind is not types.TypeDeserializer or own:
        return None
    names = (f"_deserialize_{name.lower()}" for name in sorted(_types_in(answer)))
    methods_of = attrgetter("deserialize", *names)
    methods, context = methods_of(kind), types.DYNAMODB_CONTEXT
    binary, precision = types.Binary, context.prec

    # On one level, because each near hit of a resource runs this.
    def is_still_current() -> bool:
        return (
            methods_of(kind) == methods
            and injector._deserializer is deserializer  # noqa: SLF001 - the resource may have another one by now
            and types.DYNAMODB_CONTEXT is context  # it makes the Decimal of a number
            and context.prec == precision
            and types.Binary is binary
            and not own
            and is_current()
        )

    return is_still_current


def _types_in(value: object) -> set[str]:
    """Return the types of the attribute values in an answer, and perhaps others."""
    found: set[str] = set()
    if isinstance(value, dict):
        found.update(_TYPES.intersection(value), *map(_types_in, value.values()))
        found.update(_MEMBERS[name] for name in found & _MEMBERS.keys())
    elif isinstance(value, list):
        found.update(*map(_types_in, value))
    return found
