"""Images: what an item is after a write, and what it was before it. Pure.

Said only where it is certain: DynamoDB returns numbers, sets and documents in a form
of its own, and an image that is not exactly what it would return is None.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocache._dynamodb.tags import Tag, partition_tag
from botocache._dynamodb.updates import Image, apply, read_update

_PLAIN_NUMBER = re.compile(
    r"0|-?(?:0\.0{0,5}[1-9](?:[0-9]*[1-9])?|[1-9][0-9]*(?:\.[0-9]*[1-9])?)"
)
"""Not the very small ones, which may come back with an exponent."""

_DIGITS = 38
"""Significant digits that DynamoDB keeps."""


class _UncertainError(Exception):
    """It cannot be told what DynamoDB would return."""


def stored_item(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a put's item as a read would return it; None when that is not certain.

    item: of the wire.
    """
    try:
        return {name: _stored(value) for name, value in item.items()}
    except (_UncertainError, RecursionError):
        return None


def _stored(value: Mapping[str, Any]) -> dict[str, Any]:
    if len(value) != 1:
        raise _UncertainError
    ((kind, content),) = value.items()
    read = _CONTENTS.get(kind)
    if read is None:
        raise _UncertainError
    return {kind: read(content)}


def _text(content: Any) -> Any:
    if not isinstance(content, str):
        raise _UncertainError
    return content


def _number(content: Any) -> Any:
    if not isinstance(content, str) or not _PLAIN_NUMBER.fullmatch(content):
        raise _UncertainError  # DynamoDB has its own spelling of it
    if len(content) > _DIGITS:  # or rounds it, or refuses it
        raise _UncertainError
    return content


def _binary(content: Any) -> Any:
    try:
        return b64decode(content, validate=True)
    except (Base64Error, TypeError, ValueError):
        raise _UncertainError from None


def _truth(content: Any) -> Any:
    if not isinstance(content, bool):
        raise _UncertainError
    return content


def _null(content: Any) -> Any:
    if content is not True:
        raise _UncertainError
    return content


def _list(content: Any) -> Any:
    return [_stored(value) for value in content]


def _map(content: Any) -> Any:
    return {name: _stored(value) for name, value in content.items()}


def _set_of(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_set(content: Any) -> Any:
        if len(content) != 1:  # the order of more is DynamoDB's to choose
            raise _UncertainError
        return [read(content[0])]

    return read_set


_CONTENTS: Mapping[str, Callable[[Any], Any]] = {
    "S": _text,
    "N": _number,
    "B": _binary,
    "BOOL": _truth,
    "NULL": _null,
    "L": _list,
    "M": _map,
    "SS": _set_of(_text),
    "NS": _set_of(_number),
    "BS": _set_of(_binary),
}


# --- what index queries depend on --------------------------------------------------

MOST_ATTRIBUTES = 64
"""Attributes that a write evicts one by one; an item with more is evicted coarsely."""

_LONGEST_KEY = 4096
"""Characters, in base64 too, of the value of a key attribute, and more."""

_KEY_TYPES = {"S", "N", "B"}


def partitions_of(table: str, image: Image) -> Iterator[Tag]:
    """Yield the partitions of any index that an item may be in.

    Which indexes there are is not known, so any attribute counts whose value may be a
    key.
    """
    for name, value in image.items():
        ((kind, content),) = value.items()
        if kind in _KEY_TYPES and 0 < len(content) <= _LONGEST_KEY:
            yield partition_tag(table, name, value)


# --- images of a write -------------------------------------------------------------


def answer_after(
    operation: str, parameters: Mapping[str, Any], answer: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what a GetItem would be answered after a write; None when not certain.

    parameters: of the request, as on the wire. answer: DynamoDB's, parsed.
    """
    if operation == "DeleteItem":
        return {}
    item: Any = None
    if operation == "PutItem":
        item = stored_item(parameters["Item"])
    elif parameters.get("ReturnValues") == "ALL_NEW":
        item = answer.get("Attributes")
    return {"Item": item} if item else None


def can_be_told(operation: str, parameters: Mapping[str, Any]) -> bool:
    """Tell whether the old image would say what a write leaves in index keys."""
    return operation != "UpdateItem" or read_update(parameters) is not None


def image_after(
    operation: str, parameters: Mapping[str, Any], old: Image
) -> Image | None:
    """Return what a write left in attributes that may be an index's key.

    None when it cannot be told for all of them. old: the item before it.
    """
    if operation == "DeleteItem":
        return {}
    if operation == "PutItem":
        item: Image = parameters["Item"]
        return item
    update = read_update(parameters)
    return None if update is None else apply(update, old, parameters["Key"])
