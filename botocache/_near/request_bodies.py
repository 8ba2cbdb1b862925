"""A read's arguments -> the body that its request will have, if that is certain. Pure.

botocore makes the body from the arguments, and for a resource boto3 changes them first.
For nearly all reads the result is certain. For the others there is no body here, and
botocore handles the call; so it does with arguments that it would refuse. Expressions
and values are not checked: an entry exists only for a body that DynamoDB has accepted.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from botocache._dynamodb.types import Body
from botocache._errors import shows
from botocache._near.call_keys import CallKey, arguments_in, quick_key

JSONObject: TypeAlias = dict[str, Any]

Arguments: TypeAlias = JSONObject
"""The arguments of a call, decoded from JSON."""

BodyOf: TypeAlias = Callable[[str, bytes, Arguments], Body | None]
"""Returns the body, from the operation, the arguments as JSON, and the arguments."""

_to_json = msgspec.json.encode
_from_json = msgspec.json.decode

_NO_JSON = (TypeError, ValueError, OverflowError, RecursionError, msgspec.DecodeError)
"""What the two raise for values that they do not take."""


def derive_body(
    operation: str,
    token: int,
    key: CallKey,
    arguments: object,
    body_of: BodyOf | None,
) -> Body | None:
    """Return the body of a call's request; None if it is not certain.

    operation: as the service model spells it.
    token: of the client and the operation.
    key: the call's quick key.
    arguments: of the call.
    body_of: makes the body; None if that depends on other libraries' handlers.
    """
    if (
        body_of is None
        or type(arguments) is not dict
        or arguments.get("ConsistentRead")  # such a read is never a hit
    ):
        return None
    if operation == "GetItem" and len(arguments) == len(_PLAIN) and type(key) is bytes:
        # The common case, in a third of the time.
        body = _plain_body(arguments_in(key), body_of)
        if body is not None:
            return body
    # Of a copy, because the application may change its arguments at any time. A copy
    # with another key is not what the call asks for: JSON turns a tuple into a list.
    try:
        encoded = _to_json(arguments)
        copy = _from_json(encoded)
    except _NO_JSON:
        return None
    if quick_key(token, copy) != key:
        return None
    try:
        _FORMS[operation].decode(encoded)
    except msgspec.ValidationError:
        return None  # botocore would refuse it
    return body_of(operation, encoded, copy)


_PLAIN = ("TableName", "Key")


def _plain_body(arguments: Any, body_of: BodyOf) -> Body | None:
    """Return the body of a GetItem of one whole item by strings; None for any other.

    For a client, numbers are strings as well.

    arguments: of types that marshal keeps, and no others.
    """
    key = arguments.get("Key")
    if type(key) is not dict or type(arguments.get("TableName")) is not str:
        return None
    if body_of is resource_body:
        if not {*map(type, key), *map(type, key.values())} <= _TEXT:
            return None
        key = {name: {"S": value} for name, value in key.items()}
    elif body_of is wire_body:
        for name, value in key.items():
            if type(name) is not str or type(value) is not dict or len(value) != 1:
                return None
            ((kind, content),) = value.items()
            if type(content) is not str or kind not in {"S", "N"}:
                return None
    else:
        return None
    return {"TableName": arguments["TableName"], "Key": key}


_TEXT = frozenset({str})

_CHANGED = (b'"B":', b'"BS":', b"null")
"""What botocore does not send as it is given: binary values, and None."""

_LARGEST = 10**15
"""boto3 writes smaller numbers as Python does; larger ones it may write as `1E+15`."""


def wire_body(_operation: str, encoded: bytes, arguments: Arguments) -> Body | None:
    """Return the body of a client's call: its arguments."""
    # Each by itself: a regular expression takes 18 µs for 50 keys, and these take 1.
    return None if any(map(encoded.__contains__, _CHANGED)) else arguments


def resource_body(operation: str, encoded: bytes, arguments: Arguments) -> Body | None:
    """Return the body of a resource's reads by strings and integers; else None."""
    if operation not in _BY_KEYS or b"null" in encoded:
        return None
    try:
        if operation == "GetItem":
            return {**arguments, "Key": _wire_key(arguments["Key"])}
        items = {
            table: {**part, "Keys": [*map(_wire_key, part["Keys"])]}
            for table, part in arguments["RequestItems"].items()
        }
    except _UncertainError:
        return None
    return {**arguments, "RequestItems": items}


_BY_KEYS = frozenset({"GetItem", "BatchGetItem"})


class _UncertainError(Exception):
    """A key has a value that boto3 may write in several ways."""


def _wire_key(key: JSONObject) -> JSONObject:
    wire = {}
    for name, value in key.items():
        if type(value) is str:
            wire[name] = {"S": value}
        elif type(value) is int and -_LARGEST < value < _LARGEST:
            wire[name] = {"N": str(value)}
        else:
            raise _UncertainError
    return wire


# --- forms -------------------------------------------------------------------------
# What botocore takes as arguments. An entry does not prove that it takes these: an
# argument that does not change the answer is not in the entry's key.


@shows()
class _Read(msgspec.Struct, forbid_unknown_fields=True, rename="pascal", kw_only=True):
    table_name: str
    attributes_to_get: list[str] = []
    consistent_read: bool = False
    return_consumed_capacity: str = ""
    projection_expression: str = ""
    expression_attribute_names: dict[str, str] = {}


class _GetItem(_Read):
    key: JSONObject


class _Page(_Read):
    index_name: str = ""
    limit: int = 0
    select: str = ""
    conditional_operator: str = ""
    exclusive_start_key: JSONObject = {}
    filter_expression: str = ""
    expression_attribute_values: JSONObject = {}


class _Query(_Page):
    key_conditions: JSONObject = {}
    query_filter: JSONObject = {}
    scan_index_forward: bool = True
    key_condition_expression: str = ""


class _Scan(_Page):
    scan_filter: JSONObject = {}
    total_segments: int = 0
    segment: int = 0


# A batch goes through botocore with one of its keys alone, so its form must refuse all
# that botocore would: empty lists and names, and values of other types.

_OfKey: TypeAlias = dict[Literal["S", "N"], str] | str | int


@shows()
class _Part(msgspec.Struct, forbid_unknown_fields=True, rename="pascal", kw_only=True):
    keys: Annotated[list[dict[str, _OfKey]], msgspec.Meta(min_length=1)]
    attributes_to_get: Annotated[list[str], msgspec.Meta(min_length=1)] = []
    consistent_read: bool = False
    projection_expression: str = ""
    expression_attribute_names: dict[str, str] = {}


@shows()
class _BatchGetItem(
    msgspec.Struct, forbid_unknown_fields=True, rename="pascal", kw_only=True
):
    request_items: dict[Annotated[str, msgspec.Meta(min_length=1)], _Part]
    return_consumed_capacity: str = ""


_FORMS: dict[str, msgspec.json.Decoder[Any]] = {
    "BatchGetItem": msgspec.json.Decoder(_BatchGetItem),
    "GetItem": msgspec.json.Decoder(_GetItem),
    "Query": msgspec.json.Decoder(_Query),
    "Scan": msgspec.json.Decoder(_Scan),
}
