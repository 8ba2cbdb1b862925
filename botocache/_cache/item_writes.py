"""Plans of plain writes: a put or an update of one item of a table that is known.

Most writes differ from earlier ones in nothing but the item. What they have in common
is made once; the rest takes a third of the functions of a plan by `_dynamodb`. Every
other write, and each one that is not understood at once, is planned there. Both ways
lead to the same plan.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from botocache._cache.key_schemas import (
    LONGEST_ARN,
    KeySchemas,
    Place,
    Schema,
    place_of,
)
from botocache._cache.prepare import Call, reader_tag
from botocache._cache.read_mode import Mode
from botocache._counting.counters import Counters, Series
from botocache._digests import EVERYTHING_DIGEST
from botocache._dynamodb.operations import REFUSED
from botocache._dynamodb.plans import KeyAttributes, Write, WrittenItem
from botocache._dynamodb.tags import table_tag, tag_digest
from botocache._dynamodb.types import Body
from botocache._dynamodb.writes import WHY_ITEMS, WriteShape, shape_of
from botocache._errors import shows

_MOST_KINDS = 1000
"""Kinds that are kept; at one more, all are made anew."""

PLAIN_WRITES = frozenset({"PutItem", "UpdateItem"})
"""The operations whose writes may be plain."""

_KEY_ATTRIBUTES = 2

_NONE_NAMED: tuple[tuple[str, KeyAttributes], ...] = ()


@shows("place", "attributes")
class WriteKind(NamedTuple):
    """What plain writes have in common that differ in nothing but their item.

    is_put: they name the item, and no key: its attributes are learned ones.
    place: of the table.
    attributes: of the key.
    shape: of the writes.
    watch: the tags to watch in the first eviction.
    watch_at_end: the same for the second one.
    series: where they count.
    """

    is_put: bool
    place: Place
    attributes: KeyAttributes
    shape: WriteShape
    watch: tuple[bytes, ...]
    watch_at_end: tuple[bytes, ...]
    series: Series


@shows("kind")
class PlainWrite(NamedTuple):
    """A plain write.

    schema: of its table.
    """

    kind: WriteKind
    write: Write
    schema: Schema


class PlainWrites:
    """Plans the plain writes of one cache. It asks no store."""

    def __init__(self, counters: Counters, key_schemas: KeySchemas) -> None:
        self._counters: Final = counters
        self._known: Final = key_schemas.known_schemas
        self._ambiguous: Final = key_schemas.ambiguous
        self._kinds: Final[dict[tuple[object, ...], WriteKind]] = {}

    def plan(self, call: Call, parameters: Body) -> PlainWrite | None:
        """Return the plan of a write; None if it is not plain, or not known yet."""
        operation, origin, scope, mode, account = call
        try:
            parameter = parameters["TableName"]
            kind = self._kinds.get((operation, origin, account, scope, parameter))
            if kind is None or mode is not Mode.NORMAL or self._ambiguous:
                return None
            schema, attributes = self._known.get(kind.place), kind.attributes
            if schema is None or schema.attributes != attributes:
                return None
            shape = kind.shape
            if kind.is_put:
                item = parameters["Item"]
                key = {attribute: item[attribute] for attribute in attributes}
                named, assumed = _NONE_NAMED, shape.assumed
            else:
                key = parameters["Key"]
                # What ALL_NEW returns is filled, as a put is.
                if key.keys() != attributes or "ReturnValues" in parameters:
                    return None
                named, assumed = shape.named, ()
            tags = shape.maker.tags(key)
        except REFUSED:
            return None  # the other plan says why
        written = _written((shape.table, parameter, key))
        write = _write(
            (tuple(tags.values()), named, assumed, "", written, WHY_ITEMS, tuple(tags))
        )
        return _plain((kind, write, schema))

    def note(self, call: Call, write: Write) -> None:
        """Remember the kind of a write that was planned the other way."""
        item, operation = write.item, call.operation
        if item is None or operation not in PLAIN_WRITES or call.scope is None:
            return
        parameter, attributes = item.table_parameter, frozenset(item.key)
        if (
            len(attributes) > _KEY_ATTRIBUTES
            or max(map(len, (parameter, *attributes))) > LONGEST_ARN
        ):
            return  # DynamoDB refuses it
        table = tag_digest(table_tag(item.table))
        watch: tuple[bytes, ...] = ()
        watch_at_end: tuple[bytes, ...] = (table,)
        is_put = operation == "PutItem"
        if is_put:
            watch = table, EVERYTHING_DIGEST
            watch_at_end = *watch, reader_tag(call.scope, item.table)
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        place = operation, call.origin, call.account, call.scope, parameter
        self._kinds[place] = WriteKind(
            is_put,
            place_of(call.origin, call.account, parameter),
            attributes,
            shape_of(parameter, attributes),
            watch,
            watch_at_end,
            self._counters.series(item.table, operation),
        )


# In half of the time that their classes take.
_written: Callable[[tuple[object, ...]], WrittenItem]
_written = partial(tuple.__new__, WrittenItem)
_write: Callable[[tuple[object, ...]], Write] = partial(tuple.__new__, Write)
_plain: Callable[[tuple[object, ...]], PlainWrite] = partial(tuple.__new__, PlainWrite)
