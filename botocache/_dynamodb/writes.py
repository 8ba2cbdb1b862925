"""Plans of writes: the tags that each evicts. Pure.

Where in doubt a write evicts more. A planner may raise LookupError, TypeError,
ValueError or AttributeError for a request that it does not understand. Such a request
evicts the tables that it names.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

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
from botocache._dynamodb.tags import Tag, item_tag, partition_tag, table_tag, writes_tag
from botocache._dynamodb.types import Body, Item
from botocache._dynamodb.values import check_key, table_name

# --- writes of items ---------------------------------------------------------------


def put_item(body: Body, keys_of: KeysOf) -> CallPlan:
    return _write_of_item("Put", body, keys_of)


def update_or_delete_item(body: Body, keys_of: KeysOf) -> CallPlan:
    return _write_of_item("Update", body, keys_of)


def _write_of_item(kind: str, body: Body, keys_of: KeysOf) -> CallPlan:
    planned = _writes_of([(kind, body)], keys_of)
    # The only tag of a write whose key is not known is that of the table.
    if not isinstance(planned, Write) or len(planned.tags) == 1:
        return planned
    key, parameter = body.get("Key"), body["TableName"]
    if key is None:
        key = {name: body["Item"][name] for name in keys_of(parameter) or ()}
    return planned._replace(item=WrittenItem(table_name(parameter), parameter, key))


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
    tags: dict[Tag, None] = {}  # a set that keeps its order
    named: dict[tuple[str, KeyAttributes], None] = {}
    assumed: dict[str, None] = {}
    why = _WHY_ITEMS
    for kind, entry in entries:
        if kind == "ConditionCheck":
            continue
        parameter = entry["TableName"]
        table, learned = table_name(parameter), keys_of(parameter)
        if kind == "Put":
            item = entry["Item"]
            # An item without the learned attributes shows that the table was
            # recreated with another key.
            if not learned or not learned.issubset(item):
                tags[table_tag(table)] = None
                why = _WHY_COARSE
                continue
            assumed[parameter] = None
            key = {attribute: item[attribute] for attribute in learned}
        else:
            key = entry["Key"]
            attributes = frozenset(key)
            named[parameter, attributes] = None
            # As above: entries under the old key attributes must go.
            if learned is not None and learned != attributes:
                tags[table_tag(table)] = None
                why = _WHY_COARSE
        check_key(key)
        # UTF-8 has no lone surrogates: a ValueError, before the item is read of this.
        "".join((table, *key)).encode()
        tags.update(dict.fromkeys(item_tags(table, key)))
    if not tags:
        return _WRITES_NOTHING
    return Write(tuple(tags), tuple(named), tuple(assumed), why=why)


_WRITES_NOTHING = Bypass(why="It writes no item. A ConditionCheck writes none.")
_WHY_ITEMS = "It names what it writes."
_WHY_COARSE = (
    "botocache does not know which key attributes the table has, or it has learned "
    "others than these. So it evicts the whole table."
)


def item_tags(table: str, key: Item) -> Iterator[Tag]:
    """Yield the tags that a write of one item evicts.

    table: its name.
    key: every key attribute, as on the wire.
    """
    yield writes_tag(table)
    yield item_tag(table, key)
    # Also by the sort key: it may be the partition key of an index.
    for attribute in sorted(key):
        yield partition_tag(table, attribute, key[attribute])


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
