"""What a read asks for, as text for people: compact JSON. Pure."""

import re
from collections.abc import Mapping

import msgspec

from botocache._dynamodb.plain_values import wire_parameters

_NAMED = re.compile(r":\w+").findall
_PLACES = ("IndexName", "ExclusiveStartKey", "Segment")


def text_of_read(parameters: object) -> str:
    """Return the key of a GetItem, or what a Query's key condition or a Scan names.

    Empty if it cannot be shown.

    parameters: of the request, as a client or a resource takes them.
    """
    if not isinstance(parameters, Mapping):
        return ""
    if "Key" in parameters:
        return text_of_key(parameters["Key"])
    shown: dict[str, object] = {
        name: parameters[name] for name in _PLACES if name in parameters
    }
    condition = parameters.get("KeyConditionExpression")
    values = parameters.get("ExpressionAttributeValues")
    if isinstance(condition, str) and isinstance(values, Mapping):
        # Without the values of a filter.
        shown |= {name: values[name] for name in _NAMED(condition) if name in values}
    if isinstance(parameters.get("KeyConditions"), Mapping):
        shown |= {
            name: condition.get("AttributeValueList")
            for name, condition in parameters["KeyConditions"].items()
        }
    return _json(shown)


def text_of_key(key: object) -> str:
    """Return the key of an item as text: `{"id":{"S":"7"}}`."""
    return _json(wire_parameters({"Key": key})[0]["Key"])


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return ""
