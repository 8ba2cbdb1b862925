"""A read's arguments -> the body that its request will have, where that is sure. Pure.

botocore makes it of them, and for a resource boto3 before it. Nearly all reads are of a
form in which nothing is left to chance; for any other there is no body here, and the
call takes the ordinary way. That botocore accepts the arguments is not looked at: there
is no answer in the cache to a body that DynamoDB has not accepted.
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


def wire_body(_operation: str, encoded: bytes, arguments: Arguments) -> Body | None:
    """Return the body of a client's call: its arguments, as they are."""
    return None if _CHANGED(encoded) else arguments


def resource_body(operation: str, encoded: bytes, arguments: Arguments) -> Body | None:
    """Return the body of a resource's call: of a GetItem by strings and integers."""
    key = arguments.get("Key")
    if operation != "GetItem" or type(key) is not dict or b"null" in encoded:
        return None
    wire = {}
    for name, value in key.items():
        if type(value) is str:
            wire[name] = {"S": value}
        elif type(value) is int and -_LARGEST < value < _LARGEST:
            wire[name] = {"N": str(value)}
        else:
            return None
    return {**arguments, "Key": wire}
