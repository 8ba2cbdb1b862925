"""Parameters as a resource takes them -> as they are on the wire. Pure.

A resource takes plain values, `{"id": "7"}`, where the wire has `{"id": {"S": "7"}}`.
boto3 converts them by botocore's service model, which is not at hand for `explain`. The
members that hold attribute values have the same names in all operations.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from botocache._dynamodb.types import Body

_TYPES = frozenset({"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"})

_Convert: TypeAlias = Callable[[Any], object]


class Form(Enum):
    """How the attribute values of parameters are written."""

    WIRE = 'a client\'s parameters, as on the wire: {"S": "7"}'
    PLAIN = 'a resource\'s parameters, with plain values: "7"'
    MIXED = "parameters of which some values have a type, as on the wire, and some not"


def wire_parameters(parameters: Body) -> tuple[Body, Form | None]:
    """Return parameters as on the wire, and their form; None without any values."""
    forms: set[Form] = set()

    def value(given: Any) -> object:
        has_type = _has_type(given)
        forms.add(Form.WIRE if has_type else Form.PLAIN)
        return given if has_type else _typed(given)

    converted = _converted(parameters, value)
    if len(forms) > 1:
        return converted, Form.MIXED
    return converted, next(iter(forms), None)


def _has_type(value: object) -> bool:
    """Return whether a value is `{"S": "7"}`, whatever it holds."""
    return isinstance(value, Mapping) and len(value) == 1 and _TYPES.issuperset(value)


def _converted(part: Any, value: _Convert) -> Any:
    """Return a part of a request with all of its attribute values converted."""
    if isinstance(part, list):
        return [_converted(each, value) for each in part]
    if not isinstance(part, Mapping):
        return part
    return {
        name: _MEMBERS.get(name, _converted)(member, value)
        for name, member in part.items()
    }


def _map(member: Any, value: _Convert) -> Any:
    if not isinstance(member, Mapping):
        return member  # a `Key` of TagResource is text
    return {name: value(each) for name, each in member.items()}


def _maps(member: Any, value: _Convert) -> Any:
    if not isinstance(member, list):
        return member
    return [_map(each, value) for each in member]


def _values(member: Any, value: _Convert) -> Any:
    if not isinstance(member, list):
        return member
    return [value(each) for each in member]


def _conditions(member: Any, value: _Convert) -> Any:
    """Convert the legacy parameters that have a value for each attribute."""
    if not isinstance(member, Mapping):
        return member
    return {name: _condition(each, value) for name, each in member.items()}


def _condition(part: Any, value: _Convert) -> Any:
    if not isinstance(part, Mapping):
        return part
    converted = dict(part)
    if "Value" in part:
        converted["Value"] = value(part["Value"])
    if "AttributeValueList" in part:
        converted["AttributeValueList"] = _values(part["AttributeValueList"], value)
    return converted


_MEMBERS: Mapping[str, Callable[[Any, _Convert], Any]] = {
    "Key": _map,
    "Item": _map,
    "ExclusiveStartKey": _map,
    "ExpressionAttributeValues": _map,
    "Keys": _maps,
    "Parameters": _values,
    "KeyConditions": _conditions,
    "QueryFilter": _conditions,
    "ScanFilter": _conditions,
    "Expected": _conditions,
    "AttributeUpdates": _conditions,
}
"""Converts each member that holds attribute values."""


def _typed(plain: Any) -> dict[str, object]:
    """Return a JSON value with its type, as boto3's serializer chooses it."""
    match plain:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": plain}
        case int() | float() | Decimal():
            return {"N": str(plain)}
        case str():
            return {"S": plain}
        case list():
            return {"L": [_typed(each) for each in plain]}
        case _:
            return {"M": {name: _typed(each) for name, each in plain.items()}}
