"""A read's arguments -> the body that its request will have, where that is sure. Pure.

botocore makes the body from the arguments, and for a resource boto3 changes them first.
Nearly all reads have a form in which the result is certain. For any other form there is
no body here, and botocore handles the call, as it does with arguments that it would
refuse. Expressions are checked less closely: no entry exists for a body that DynamoDB
has not accepted.
"""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from botocache._near.call_keys import CallKey, quick_key

Arguments: TypeAlias = dict[str, Any]

Body: TypeAlias = dict[str, Any]

BodyOf: TypeAlias = Callable[[str, bytes, Arguments], Body | None]
"""Makes the body, from the operation, the arguments as JSON, and the arguments."""

_to_json = msgspec.json.encode
_from_json = msgspec.json.decode

_NO_JSON = (TypeError, ValueError, OverflowError, RecursionError, msgspec.DecodeError)
"""What the two raise at values that they do not take."""


def derive_body(
    operation: str, key: CallKey, arguments: Arguments, body_of: BodyOf | None
) -> Body | None:
    """Return the body of a call's request; None where the arguments do not tell it.

    key: the call's quick key.
    body_of: makes the body; None where that depends on other handlers.
    """
    if body_of is None or arguments.get("ConsistentRead"):
        return None  # a strongly consistent read is never a hit
    # A copy: the application may change its arguments at any time. The copy's key must
    # be the call's, or it is not what the call asks for.
    try:
        encoded = _to_json(arguments)
        copy = _from_json(encoded)
    except _NO_JSON:
        return None
    if quick_key(key[0], operation, copy) != key:
        return None
    try:
        _FORMS[operation].decode(encoded)
    except msgspec.ValidationError:
        return None  # botocore would refuse it
    return body_of(operation, encoded, copy)


_CHANGED = re.compile(rb'"BS?":|null').search
"""Finds what botocore does not send as it is given: binary, and nothing."""

_LARGEST = 10**15
"""Numbers up to here boto3 writes as Python does."""


def wire_body(_operation: str, encoded: bytes, arguments: Arguments) -> Body | None:
    """Return the body of a client's call: its arguments, as they are."""
    return None if _CHANGED(encoded) else arguments


def resource_body(operation: str, encoded: bytes, arguments: Arguments) -> Body | None:
    """Return the body of a resource's call: of a GetItem by strings and integers."""
    if operation != "GetItem" or b"null" in encoded:
        return None
    wire = {}
    for name, value in arguments["Key"].items():
        if type(value) is str:
            wire[name] = {"S": value}
        elif type(value) is int and -_LARGEST < value < _LARGEST:
            wire[name] = {"N": str(value)}
        else:
            return None
    return {**arguments, "Key": wire}


# --- forms -------------------------------------------------------------------------
# What botocore takes, and what it refuses. An answer in the cache is no proof that it
# would take the arguments: what does not matter to an answer is no part of its name.


class _Read(msgspec.Struct, forbid_unknown_fields=True, rename="pascal", kw_only=True):
    table_name: str
    attributes_to_get: list[str] = []
    consistent_read: bool = False
    return_consumed_capacity: str = ""
    projection_expression: str = ""
    expression_attribute_names: dict[str, str] = {}


class _GetItem(_Read):
    key: dict[str, Any]


class _Page(_Read):
    index_name: str = ""
    limit: int = 0
    select: str = ""
    conditional_operator: str = ""
    exclusive_start_key: dict[str, Any] = {}
    filter_expression: str = ""
    expression_attribute_values: dict[str, Any] = {}


class _Query(_Page):
    key_conditions: dict[str, Any] = {}
    query_filter: dict[str, Any] = {}
    scan_index_forward: bool = True
    key_condition_expression: str = ""


class _Scan(_Page):
    scan_filter: dict[str, Any] = {}
    total_segments: int = 0
    segment: int = 0


_FORMS: dict[str, msgspec.json.Decoder[Any]] = {
    "GetItem": msgspec.json.Decoder(_GetItem),
    "Query": msgspec.json.Decoder(_Query),
    "Scan": msgspec.json.Decoder(_Scan),
}
