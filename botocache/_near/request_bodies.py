"""A read's arguments -> the body that its request will have, where that is sure. Pure.

botocore makes it of them, and for a resource boto3 before it. Nearly all reads are of a
form in which nothing is left to chance; for any other there is no body here, and the
call takes the ordinary way, as it does with arguments that botocore would refuse. What
an answer depends on is looked at less closely: to a body that DynamoDB has not accepted
there is none in the cache.
"""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

Arguments: TypeAlias = dict[str, Any]

Body: TypeAlias = dict[str, Any]

BodyOf: TypeAlias = Callable[[str, bytes, Arguments], Body | None]
"""Makes the body, of the operation and its arguments; these as JSON, too."""

as_json = msgspec.json.encode
of_json = msgspec.json.decode

NO_JSON = (TypeError, ValueError, OverflowError, RecursionError, msgspec.DecodeError)
"""What the two raise at what they do not take."""

_CHANGED = re.compile(rb'"BS?":|null').search
"""Finds what botocore does not send as it is given: binary, and nothing."""

_LARGEST = 10**15
"""Numbers up to here boto3 writes as Python does."""


def wire_body(operation: str, encoded: bytes, arguments: Arguments) -> Body | None:
    """Return the body of a client's call: its arguments, as they are."""
    if _CHANGED(encoded) or not _is_form(operation, encoded):
        return None
    return arguments


def resource_body(operation: str, encoded: bytes, arguments: Arguments) -> Body | None:
    """Return the body of a resource's call: of a GetItem by strings and integers."""
    if operation != "GetItem" or b"null" in encoded:
        return None
    if not _is_form(operation, encoded):
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


def _is_form(operation: str, encoded: bytes) -> bool:
    try:
        _FORMS[operation].decode(encoded)
    except msgspec.ValidationError:
        return False
    return True
