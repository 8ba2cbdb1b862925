"""Plans of writes: the tags that each evicts. Pure.

Where in doubt a write evicts more. A planner may raise LookupError, TypeError,
ValueError or AttributeError for a request that it does not understand. Such a request
evicts the tables that it names.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from botocache._dynamodb.plans import (
    Bypass,
    CallPlan,
    Describe,
    KeyAttributes,
    KeysOf,
    Planner,
    Write,
    WrittenItem,
)
from botocache._dynamodb.tags import ItemTagMaker, Tag, table_tag, tag_digest
from botocache._dynamodb.types import Body, Item
from botocache._dynamodb.values import table_name
from botocache._errors import shows

# --- writes of items ---------------------------------------------------------------


def put_item(body: Body, keys_of: KeysOf) -> CallPlan:
    parameter, item = body["TableName"], body["Item"]
    learned = keys_of(parameter)
    # An item without the learned attributes shows that the table was recreated with
    # another key.
    if not learned or not learned.issubset(item):
        return Write((table_tag(table_name(parameter)),), why=_WHY_COARSE)
    key = {attribute: item[attribute] for attribute in learned}
    shape = shape_of(parameter, learned)
    return _write_of_item(shape, shape.assumed, (), key)


def update_or_delete_item(body: Body, keys_of: KeysOf) -> CallPlan:
    parameter, key = body["TableName"], body["Key"]
    learned, attributes = keys_of(parameter), frozenset(key)
    shape = shape_of(parameter, attributes)
    planned = _write_of_item(shape, (), shape.named, key)
    # Entries under the learned key attributes must go.
    if learned is not None and learned != attributes:
        tag = table_tag(shape.table)
        return planned._replace(
            tags=(tag, *planned.tags),
            digests=(tag_digest(tag), *planned.digests),
            why=_WHY_COARSE,
        )
    return planned


@shows("table")
class WriteShape(NamedTuple):
    """What the writes of a table's items have in common.

    table: its name.
    parameter: the request's TableName, which may be an ARN.
    maker: of the tags of one item.
    named: as in Write, where the request names the key.
    assumed: as in Write, where the key attributes are learned ones.
    """

    table: str
    parameter: str
    maker: ItemTagMaker
    named: tuple[tuple[str, KeyAttributes], ...]
    assumed: tuple[str, ...]


_shapes: Final[dict[tuple[str, KeyAttributes], WriteShape]] = {}

_MOST_SHAPES = 1000
"""Shapes that are kept; at one more, all are made anew."""

_LONGEST_NAMES = 2048
"""Characters of an ARN and of key attributes. Longer ones are refused, and not kept."""


def shape_of(parameter: str, attributes: KeyAttributes) -> WriteShape:
    """Return the shape of the writes of a table's items.

    parameter: the request's TableName.
    attributes: of the key. Raises ValueError if UTF-8 has no such name.
    """
    shape = _shapes.get((parameter, attributes))
    if shape is None:
        maker = ItemTagMaker(table_name(parameter), attributes)
        named = ((parameter, attributes),)
        shape = WriteShape(maker.table, parameter, maker, named, (parameter,))
        if len("".join((parameter, *attributes))) <= _LONGEST_NAMES:
            if len(_shapes) >= _MOST_SHAPES:
                _shapes.clear()
            _shapes[parameter, attributes] = shape
    return shape


def _write_of_item(
    shape: WriteShape,
    assumed: tuple[str, ...],
    named: tuple[tuple[str, KeyAttributes], ...],
    key: Item,
) -> Write:
    tags = shape.maker.tags(key)
    item = WrittenItem(shape.table, shape.parameter, key)
    return Write(tuple(tags.values()), named, assumed, "", item, WHY_ITEMS, tuple(tags))


def batch_write_item(body: Body, keys_of: KeysOf) -> CallPlan:
    return _writes_of(_batch_entries(body), keys_of)


def _batch_entries(body: Body) -> Iterator[tuple[str, Body]]:
    for table, requests in body["RequestItems"].items():
        for request in requests:
            for kind, entry in request.items():
                yield kind.removesuffix("Request"), {**entry, "TableName": table}


def transact_write_items(body: Body, keys_of: KeysOf) -> CallPlan:
    return _writes_of(
        (entry for part in body["TransactItems"] for entry in part.items()), keys_of
    )


def _writes_of(entries: Iterable[tuple[str, Body]], keys_of: KeysOf) -> CallPlan:
    """Return the plan of several writes of items.

    entries: pairs of "Put", "Update", "Delete" or "ConditionCheck" with its body.
    """
    tags: dict[bytes, Tag] = {}  # by their digests
    named: dict[tuple[str, KeyAttributes], None] = {}
    assumed: dict[str, None] = {}
    why = WHY_ITEMS
    for kind, entry in entries:
        if kind == "ConditionCheck":
            continue
        parameter = entry["TableName"]
        learned = keys_of(parameter)
        if kind == "Put":
            item = entry["Item"]
            if not learned or not learned.issubset(item):
                tag = table_tag(table_name(parameter))
                tags[tag_digest(tag)] = tag
                why = _WHY_COARSE
                continue
            assumed[parameter] = None
            attributes = learned
            key = {attribute: item[attribute] for attribute in learned}
        else:
            key = entry["Key"]
            attributes = frozenset(key)
            named[parameter, attributes] = None
            if learned is not None and learned != attributes:
                tag = table_tag(table_name(parameter))
                tags[tag_digest(tag)] = tag
                why = _WHY_COARSE
        tags |= shape_of(parameter, attributes).maker.tags(key)
    if not tags:
        return _WRITES_NOTHING
    return Write(
        tuple(tags.values()),
        tuple(named),
        tuple(assumed),
        why=why,
        digests=tuple(tags),
    )


_WRITES_NOTHING = Bypass(why="It writes no item. A ConditionCheck writes none.")
WHY_ITEMS = "It names what it writes."
_WHY_COARSE = (
    "botocache does not know which key attributes the table has, or it has learned "
    "others than these. So it evicts the whole table."
)


def item_tags(table: str, key: Item) -> Iterable[Tag]:
    """Return the tags that a write of one item evicts.

    table: its name.
    key: every key attribute, as on the wire.
    """
    return shape_of(table, frozenset(key)).maker.tags(key).values()


# --- whole tables ------------------------------------------------------------------


def changes_table(*path: str) -> Planner:
    """Return the planner of an operation that may change a whole table.

    path: members of the body that lead to the table's name.
    """
    *parents, parameter = path

    def plan(body: Body, _keys_of: KeysOf) -> CallPlan:
        for parent in parents:
            body = body[parent]
        return Write(
            (table_tag(table_name(body[parameter])),),
            described=body[parameter],
            why="It may change any item of the table, or the permission to read it.",
        )

    return plan


def delete_table(body: Body, _keys_of: KeysOf) -> CallPlan:
    # No `described`: the answer describes the table as it was before.
    return Write(
        (table_tag(table_name(body["TableName"])),), why="It removes the table."
    )


def describe_table(body: Body, _keys_of: KeysOf) -> CallPlan:
    table: str = body["TableName"]
    table_name(table)  # it is a text, or there is no plan
    return Describe(table)


_TABLE_PARAMETERS = re.compile(r"(?:Table(?:Name|Arn)|ResourceArn)$")


def unknown(body: Body, _keys_of: KeysOf) -> CallPlan:
    """Plan an operation that this version does not know: evict the tables it names."""
    tags = {table_tag(name): None for name in named_tables(body)}
    if not tags:
        return Bypass(why=f"{_WHY_UNKNOWN} It names no table.")
    return Write(
        tuple(tags),
        why=f"{_WHY_UNKNOWN} So it may change every table that it names.",
    )


_WHY_UNKNOWN = "This version of botocache does not know the operation."


def named_tables(body: Body) -> Iterator[str]:
    """Yield the names of tables at any depth of a request's body."""
    waiting: list[object] = [body]
    # A recursive function would fail on a deep body, and its write would not evict.
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, Mapping):
            yield from _tables_in(part)
            waiting += part.values()


def _tables_in(part: Body) -> Iterator[str]:
    """Yield the names of tables that are direct members of a part of a body."""
    for parameter, value in part.items():
        if isinstance(value, str):
            if _TABLE_PARAMETERS.search(parameter):
                yield table_name(value)
        # The batch operations have tables as member names: `{"users": [...]}`.
        elif parameter == "RequestItems" and isinstance(value, Mapping):
            yield from map(table_name, value)
