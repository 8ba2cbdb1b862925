"""Plans of writes: what each evicts. Pure.

Where in doubt a write evicts more. A planner may raise LookupError, TypeError,
ValueError or AttributeError at a request that it does not understand: that one evicts
the tables that it names.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocache._dynamodb.plans import (
    BYPASS,
    Body,
    CallPlan,
    Describe,
    Item,
    KeyAttributes,
    KeysOf,
    Planner,
    Write,
)
from botocache._dynamodb.tags import (
    Tag,
    item_tag,
    partition_tag,
    table_tag,
    writes_tag,
)
from botocache._dynamodb.values import check_key, table_name

# --- writes of items ---------------------------------------------------------------


def put_item(body: Body, keys_of: KeysOf) -> CallPlan:
    return _write_of_item("Put", body, keys_of)


def update_or_delete_item(body: Body, keys_of: KeysOf) -> CallPlan:
    return _write_of_item("Update", body, keys_of)


def _write_of_item(kind: str, body: Body, keys_of: KeysOf) -> CallPlan:
    planned = _writes_of([(kind, body)], keys_of)
    if not isinstance(planned, Write) or len(planned.tags) == 1:
        return planned
    key, table = body.get("Key"), table_name(body["TableName"])
    if key is None:
        key = {attribute: body["Item"][attribute] for attribute in keys_of(table) or ()}
    return planned._replace(item=Item(table, body["TableName"], key))


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
    """Return the plan of some item writes, each `(Put | Update | Delete, body)`."""
    tags: dict[Tag, None] = {}  # a set that keeps its order
    named: dict[tuple[str, KeyAttributes], None] = {}
    assumed: dict[str, None] = {}
    for kind, entry in entries:
        if kind == "ConditionCheck":
            continue
        table = table_name(entry["TableName"])
        learned = keys_of(table)
        if kind == "Put":
            item = entry["Item"]
            if learned is None or not learned.issubset(item):
                tags[table_tag(table)] = None
                continue
            assumed[table] = None
            key = {attribute: item[attribute] for attribute in learned}
        else:
            key = entry["Key"]
            attributes = frozenset(key)
            named[table, attributes] = None
            if learned is not None and learned != attributes:
                tags[table_tag(table)] = None
        check_key(key)
        tags.update(dict.fromkeys(item_tags(table, key)))
    return Write(tuple(tags), tuple(named), tuple(assumed)) if tags else BYPASS


def item_tags(table: str, key: Mapping[str, Any]) -> Iterator[Tag]:
    """Yield what a write to one item evicts. key: of the wire, every key attribute."""
    yield writes_tag(table)
    yield item_tag(table, key)
    for attribute in sorted(key):
        yield partition_tag(table, attribute, key[attribute])


# --- whole tables ------------------------------------------------------------------


def changes_table(*path: str) -> Planner:
    """Return the rule of an operation that may change the table named at `path`."""

    def rule(body: Body, _keys_of: KeysOf) -> CallPlan:
        name: Any = body
        for step in path:
            name = name[step]
        table = table_name(name)
        return Write((table_tag(table),), described=table)

    return rule


def delete_table(body: Body, _keys_of: KeysOf) -> CallPlan:
    # Its answer describes the table as well, but as it was.
    return Write((table_tag(table_name(body["TableName"])),))


def describe_table(body: Body, _keys_of: KeysOf) -> CallPlan:
    return Describe(table_name(body["TableName"]))


_TABLE_PARAMETERS = re.compile(r"(?:Table(?:Name|Arn)|ResourceArn)$")


def unknown(body: Body, _keys_of: KeysOf) -> CallPlan:
    """Plan an operation that is newer than this table: evict the tables it names."""
    tags = {table_tag(name): None for name in named_tables(body)}
    return Write(tuple(tags)) if tags else BYPASS


def named_tables(body: Any) -> Iterator[str]:
    waiting = [body]  # and no recursion: it must not fail on any body
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, Mapping):
            for parameter, value in part.items():
                if isinstance(value, str):
                    if _TABLE_PARAMETERS.search(parameter):
                        yield table_name(value)
                    continue
                if parameter == "RequestItems" and isinstance(value, Mapping):
                    yield from map(table_name, value)
                waiting.append(value)
