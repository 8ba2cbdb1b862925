"""Changes: what a stream's record says, and what it evicts. Pure.

A record evicts what a write of ours to the same item evicts. The tags are made by the
functions that make those of our writes, so that they agree.

A record comes from `GetRecords`, where botocore has parsed it (binary values are
bytes), or in an event of Lambda, which is JSON (binary values are base64 text). It is
damaged if it lacks what every record has. Then the item is not known, and the caller
evicts the whole table.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from botocache._coherence import Eviction, EvictionRequest, TagEviction
from botocache._dynamodb.items import MOST_ATTRIBUTES, partitions_of
from botocache._dynamodb.tags import (
    precise_writes_tag,
    table_tag,
    tag_digest,
    writes_tag,
)
from botocache._dynamodb.types import Item
from botocache._dynamodb.values import table_name
from botocache._dynamodb.writes import shape_of
from botocache._errors import pass_on, shows
from botocache._streams.source import StreamRecord


@shows("table", "sequence_number", "created_at")
class Change(NamedTuple):
    """A change of one item.

    table: its name.
    keys: every key attribute, as on the wire: binary is base64 text.
    old: the item before the change; empty if there was none; None if not known.
    new: the item after it, likewise.
    sequence_number: of the record; "" if it has none.
    created_at: when DynamoDB made the change, in seconds since the epoch; None if the
        record does not say.
    """

    table: str
    keys: Item
    old: Item | None
    new: Item | None
    sequence_number: str
    created_at: float | None


# --- from records ------------------------------------------------------------------


def change_of(record: StreamRecord, table: str) -> Change:
    """Return the change that a record of DynamoDB Streams describes.

    record: of `GetRecords`, or of an event of Lambda.
    table: its name or ARN, or the ARN of its stream.

    Raises ValueError for a damaged record. The message shows nothing of the record.
    """
    body = _mapping(_mapping(record).get("dynamodb"))
    keys = _keys(_mapping(body.get("Keys")))
    event = record.get("eventName")
    return Change(
        table_name(table),
        keys,
        _image(body.get("OldImage"), keys, is_absent=event == "INSERT"),
        _image(body.get("NewImage"), keys, is_absent=event == "REMOVE"),
        sequence_number_of(record),
        _moment(body),
    )


def change_in_kinesis(data: object) -> Change:
    """Return the change in a record of Kinesis Data Streams for DynamoDB.

    data: base64 of a JSON object, as in an event of Lambda.

    Raises ValueError if it is damaged, or no record of DynamoDB.
    """
    try:
        record = json.loads(b64decode(_text(data), validate=True))
    except RecursionError:
        raise _DamagedError("a record is no JSON that can be read") from None
    return change_of(_mapping(record), _text(record.get("tableName")))


def sequence_number_of(record: StreamRecord) -> str:
    """Return the sequence number of a record; "" if it has none."""
    body = record.get("dynamodb") if isinstance(record, Mapping) else None
    number = body.get("SequenceNumber") if isinstance(body, Mapping) else None
    return number if isinstance(number, str) else ""


class _DamagedError(ValueError):
    """A record is damaged."""


def _mapping(value: object) -> Mapping[str, object]:
    # botocore makes dicts, and `isinstance` takes ten times as long for a protocol.
    if type(value) is dict or isinstance(value, Mapping):
        return value
    raise _DamagedError("a part of a record is missing, or is no JSON object")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _DamagedError("a part of a record is missing, or is no text")
    return value


_MOST_KEYS = 2
"""Key attributes of a table."""


def _keys(found: Mapping[str, object]) -> Item:
    if not 0 < len(found) <= _MOST_KEYS:
        raise _DamagedError("a record has no key of one or two attributes")
    return {_text(name): _key_value(value) for name, value in found.items()}


def _key_value(value: object) -> dict[str, str]:
    members = [*_mapping(value).items()]
    kind, content = members[0] if len(members) == 1 else ("", None)
    if kind in ("S", "N"):
        return {kind: _text(content)}
    if kind == "B":
        if not isinstance(content, bytes):
            content = b64decode(_text(content), validate=True)
        # One spelling, as botocore sends it: a write's tags have no other.
        return {"B": b64encode(content).decode()}
    raise _DamagedError("a key attribute is no string, number or binary")


def _image(image: object, keys: Item, *, is_absent: bool) -> Item | None:
    """Return an image of the item; empty if there was no item; None if not known.

    is_absent: DynamoDB says that there was no item.

    What a stream does not show is missing as well. So only the kind of the change
    tells whether there was no item, and a missing image alone does not.
    """
    # Every item has its key. What lacks it is no image.
    if isinstance(image, Mapping) and keys.keys() <= image.keys():
        return image
    return {} if is_absent and not image else None


_UNITS = {"MILLISECOND": 1e3, "MICROSECOND": 1e6}
"""Of the time in a record of Kinesis, in a second. DynamoDB Streams has seconds."""


def _moment(body: Mapping[str, object]) -> float | None:
    created = body.get("ApproximateCreationDateTime")
    timestamp = getattr(created, "timestamp", None)  # botocore has made it a datetime
    if timestamp is not None:
        created = timestamp()
    if isinstance(created, bool) or not isinstance(created, (int, float)):
        return None
    precision = body.get("ApproximateCreationDateTimePrecision")
    return created / _UNITS.get(str(precision), 1.0)


# --- to evictions ------------------------------------------------------------------


def tags_of(change: Change, *, precise: bool) -> tuple[bytes, ...]:
    """Return the digests of the tags that a change evicts.

    precise: the setting `precise_index_eviction`. With it, a change whose both images
        are known evicts only the index queries that one of them belongs to, as a write
        does whose answer showed the old item.

    Raises ValueError for a key that no table can have.
    """
    tags = shape_of(change.table, frozenset(change.keys)).maker.tags(change.keys)
    partitions = _partitions(change) if precise else None
    if partitions is None:
        return tuple(tags)
    # In place of the tag of any write. A write of ours evicts and restores that one,
    # because it learns the old item only at its end.
    del tags[tag_digest(writes_tag(change.table))]
    precise_writes = tag_digest(precise_writes_tag(change.table))
    return tuple(dict.fromkeys((*tags, *partitions, precise_writes)))


def tags_of_keys(record: StreamRecord, table: str) -> tuple[bytes, ...]:
    """Return what `tags_of` does without `precise`, and sooner: images do not matter.

    table: its name.

    Raises ValueError for a damaged record, and for a key that no table can have.
    """
    keys = _keys(_mapping(_mapping(_mapping(record).get("dynamodb")).get("Keys")))
    return tuple(shape_of(table, frozenset(keys)).maker.tags(keys))


def tags_of_table(table: str) -> tuple[bytes, ...]:
    """Return the digests of the tags that evict a whole table.

    table: its name or ARN.
    """
    return (tag_digest(table_tag(table_name(table))),)


def _partitions(change: Change) -> list[bytes] | None:
    """Return the tags of all index partitions of both images.

    None if they are not known for certain, or are too many.
    """
    table, old, new = change.table, change.old, change.new
    if old is None or new is None or len(old) + len(new) > MOST_ATTRIBUTES:
        return None
    try:
        return [
            tag_digest(tag)
            for image in (old, new)
            for tag in partitions_of(table, image)
        ]
    except (AttributeError, TypeError, ValueError) as error:  # damaged images
        pass_on(error)
        return None


NEVER_LEFT: Final = (1 << 64) - 1
"""A generation that no tag has: stores draw theirs at random.

Not 0, which stands for a generation that a Redis server has lost.
"""


def eviction_of(tags: Sequence[bytes], settle: float) -> EvictionRequest:
    """Return the eviction of changes: the second half of other programs' writes.

    The changes are made, so their hold-off is settling: it waits for DynamoDB's
    replicas. Of the first half nothing is known. So the request has one that has left
    no generation that a tag can have: then an eviction never shortens a hold-off, and
    the result is not settling while the hold-off of another write is not.
    """
    first = TagEviction(NEVER_LEFT, 0.0)
    return EvictionRequest(
        tags, settle, first_eviction=Eviction(dict.fromkeys(tags, first), {})
    )
