"""Images: an item after a write, as DynamoDB would return it, and before it. Pure.

DynamoDB returns numbers, sets and documents in a form of its own. An image that may
differ from that form is None.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping

from botocache._dynamodb.tags import Tag, partition_tag
from botocache._dynamodb.types import Answer, AttributeValue, Body, Item
from botocache._dynamodb.updates import apply, read_update

_PLAIN_NUMBER = re.compile(
    r"0|-?(?:0\.0{0,5}[1-9](?:[0-9]*[1-9])?|[1-9][0-9]*(?:\.[0-9]*[1-9])?)"
)
"""Numbers that DynamoDB returns as they were sent.

Smaller ones than `0.000001` may come back with an exponent.
"""

_DIGITS = 38
"""Significant digits that DynamoDB keeps."""


class _UncertainError(Exception):
    """The form that DynamoDB would return is not certain."""


def stored_item(item: Item) -> dict[str, AttributeValue] | None:
    """Return the item of a put as a read would return it; None if not certain.

    item: of the request: binary is base64 text. In the result it is bytes.
    """
    try:
        return {name: _stored(value) for name, value in item.items()}
    except (_UncertainError, AttributeError, RecursionError, TypeError):
        return None


def _stored(value: AttributeValue) -> AttributeValue:
    if len(value) != 1:
        raise _UncertainError
    ((kind, content),) = value.items()
    read = _CONTENTS.get(kind)
    if read is None:
        raise _UncertainError
    return {kind: read(content)}


def _text(content: object) -> object:
    if not isinstance(content, str):
        raise _UncertainError
    return content


def _number(content: object) -> object:
    # `1.0` comes back as `1`, and `1e2` as `100`.
    if not isinstance(content, str) or not _PLAIN_NUMBER.fullmatch(content):
        raise _UncertainError
    # DynamoDB rounds or refuses more digits. Sign and point count here, too.
    if len(content) > _DIGITS:
        raise _UncertainError
    return content


def _binary(content: object) -> object:
    if not isinstance(content, str):
        raise _UncertainError
    try:
        return b64decode(content, validate=True)
    except (Base64Error, ValueError):
        raise _UncertainError from None


def _truth(content: object) -> object:
    if not isinstance(content, bool):
        raise _UncertainError
    return content


def _null(content: object) -> object:
    if content is not True:
        raise _UncertainError
    return content


def _list(content: object) -> object:
    if not isinstance(content, list):
        raise _UncertainError
    return [_stored(value) for value in content]


def _map(content: object) -> object:
    if not isinstance(content, Mapping):
        raise _UncertainError
    return {name: _stored(value) for name, value in content.items()}


def _set_of(read: Callable[[object], object]) -> Callable[[object], object]:
    def read_set(content: object) -> object:
        # DynamoDB returns the elements of a larger set in an order of its own.
        if not isinstance(content, list) or len(content) != 1:
            raise _UncertainError
        return [read(content[0])]

    return read_set


_CONTENTS: Mapping[str, Callable[[object], object]] = {
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
"""Characters. Above the longest value of a key attribute, also in base64."""

_KEY_TYPES = {"S", "N", "B"}


def partitions_of(table: str, image: Item) -> Iterator[Tag]:
    """Yield the tag of every partition, of any index, that may hold the item.

    The cache does not know the table's indexes. Each attribute whose value could be a
    key counts as the partition key of one.
    """
    for name, value in image.items():
        ((kind, content),) = value.items()
        if kind in _KEY_TYPES and 0 < len(content) <= _LONGEST_KEY:
            yield partition_tag(table, name, value)


# --- images of a write -------------------------------------------------------------


def answer_after(operation: str, parameters: Body, answer: Answer) -> Answer | None:
    """Return a GetItem's answer after a write; None if it is not certain.

    operation: PutItem, UpdateItem or DeleteItem.
    parameters: of the request, as on the wire.
    answer: of DynamoDB to the write, parsed.
    """
    if operation == "DeleteItem":
        return {}
    item: Item | None = None
    if operation == "PutItem":
        item = stored_item(parameters["Item"])
    # ALL_NEW alone returns the whole item; UPDATED_NEW returns only what changed.
    elif parameters.get("ReturnValues") == "ALL_NEW":
        item = answer.get("Attributes")
    return {"Item": item} if item else None


def determines_new_keys(operation: str, parameters: Body) -> bool:
    """Return True if a write and the old image determine the new index keys."""
    return operation != "UpdateItem" or read_update(parameters) is not None


def image_after(operation: str, parameters: Body, old: Item) -> Item | None:
    """Return the attributes after a write that may be an index's key.

    None if one of them is not certain.

    operation: PutItem, UpdateItem or DeleteItem.
    parameters: of the request, as on the wire.
    old: the item before the write.
    """
    if operation == "DeleteItem":
        return {}
    if operation == "PutItem":
        item: Item = parameters["Item"]
        return item
    update = read_update(parameters)
    return None if update is None else apply(update, old, parameters["Key"])
