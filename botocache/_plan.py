"""The table of operations: what each call to DynamoDB reads or may change. Pure.

`plan` turns an operation and the JSON body of its request into one of

    Read      may be answered from the cache and may fill it; depends on `tags`
    Write     may change data; evicts `tags` before it is sent and after it
    Describe  passes through; its answer names the table's key attributes
    Bypass    passes through

Read is a NamedTuple, as are the other values that every hit makes: a frozen dataclass
takes four times as long to make.

Where in doubt a read passes through and a write evicts more. OPERATIONS has a rule
for every operation of the service; one that it does not know evicts the tables that
it names. What a request says of a table's key attributes is never believed before
DynamoDB has answered it without an error.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import msgspec

from botocache._expressions import (
    Conditions,
    canonical_expressions,
    read_key_condition,
    read_legacy_key_conditions,
)
from botocache._keys import (
    EVERYTHING,
    Tag,
    item_tag,
    partition_tag,
    table_name,
    table_tag,
    writes_tag,
)

Body: TypeAlias = Mapping[str, Any]
"""The JSON body of a request, decoded."""

KeyAttributes: TypeAlias = frozenset[str]
"""The names of a table's key attributes: one or two."""

KeysOf: TypeAlias = Callable[[str], KeyAttributes | None]
"""The key attributes of a table by name, as learned; None when not known."""


class Read(NamedTuple):
    """A read that may be answered from the cache.

    tags: what its answer depends on. question: what distinguishes it from other
    reads of the operation, as bytes. is_consistent: it must see DynamoDB itself.
    capacity: the ReturnConsumedCapacity that it asks for, of `table_parameter`.
    named: key attributes that the request names, in case DynamoDB accepts it; all of
    the table's when `names_all`. is_on_index: the tags rest on the learned ones.
    """

    table: str
    table_parameter: str
    tags: tuple[Tag, ...]
    question: bytes
    is_consistent: bool
    capacity: str
    named: KeyAttributes
    names_all: bool
    is_on_index: bool


@dataclass(frozen=True, slots=True)
class Write:
    """A call that may change data.

    tags: what it evicts. named: per table, the key attributes that the request names
    in full, in case DynamoDB accepts it. assumed: the tables whose learned key
    attributes the tags rest on. described: the table that the answer may describe.
    """

    tags: tuple[Tag, ...]
    named: tuple[tuple[str, KeyAttributes], ...] = ()
    assumed: tuple[str, ...] = ()
    described: str = ""


@dataclass(frozen=True, slots=True)
class Describe:
    """A call whose answer names the key attributes of a table."""

    table: str


@dataclass(frozen=True, slots=True)
class Bypass:
    """A call that is none of the cache's business."""


Plan: TypeAlias = Read | Write | Describe | Bypass
_Rule: TypeAlias = Callable[[Body, KeysOf], Plan]

_BYPASS = Bypass()
_encode = msgspec.json.Encoder(order="deterministic").encode


def plan(operation: str, body: Body, keys_of: KeysOf) -> Plan:
    """Return what a request means for the cache. Never raises.

    operation: as the service model spells it, `GetItem`. body: of the wire.
    """
    rule = OPERATIONS.get(operation, _unknown)
    try:
        return rule(body, keys_of)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        # A request that DynamoDB will refuse, or one that we do not understand.
        if not may_write(operation):
            return _BYPASS
        tables = tuple(map(table_tag, _named_tables(body)))
        return Write(tables or (EVERYTHING,))


# --- reads -------------------------------------------------------------------------

_CAPACITIES = {"NONE", "TOTAL", "INDEXES"}


def _get_item(body: Body, _keys_of: KeysOf) -> Plan:
    table = table_name(body["TableName"])
    key = body["Key"]
    tags = (EVERYTHING, table_tag(table), item_tag(table, key))
    return _read(body, tags, named=frozenset(key), names_all=True, is_on_index=False)


def _query(body: Body, keys_of: KeysOf) -> Plan:
    table = table_name(body["TableName"])
    conditions = _key_conditions(body)
    # On the table itself every attribute of a key condition is a key attribute. On an
    # index it is the index's, which may or may not be the table's too.
    key_attributes = conditions.attributes if conditions else ()
    named = frozenset(key_attributes)
    is_on_index = "IndexName" in body
    if is_on_index:
        key_attributes = tuple(keys_of(table) or ())
        named = frozenset()
    narrow = writes_tag(table)
    if conditions:
        for attribute in sorted(set(conditions.equal).intersection(key_attributes)):
            narrow = partition_tag(table, attribute, conditions.equal[attribute])
            break
    tags = (EVERYTHING, table_tag(table), narrow)
    return _read(body, tags, named=named, names_all=False, is_on_index=is_on_index)


def _key_conditions(body: Body) -> Conditions | None:
    if "KeyConditionExpression" in body:
        return read_key_condition(
            body["KeyConditionExpression"],
            body.get("ExpressionAttributeNames", {}),
            body.get("ExpressionAttributeValues", {}),
        )
    return read_legacy_key_conditions(body.get("KeyConditions", {}))


def _read(
    body: Body,
    tags: tuple[Tag, ...],
    *,
    named: KeyAttributes,
    names_all: bool,
    is_on_index: bool,
) -> Plan:
    question = canonical_expressions(body)
    capacity = question.pop("ReturnConsumedCapacity", "NONE")
    is_consistent = question.pop("ConsistentRead", False)
    if capacity not in _CAPACITIES:
        return _BYPASS
    return Read(
        table=table_name(body["TableName"]),
        table_parameter=body["TableName"],
        tags=tags,
        question=_encode(question),
        is_consistent=is_consistent,
        capacity=capacity,
        named=named,
        names_all=names_all,
        is_on_index=is_on_index,
    )


# --- writes of items ---------------------------------------------------------------


def _put_item(body: Body, keys_of: KeysOf) -> Plan:
    return _writes_of([("Put", body)], keys_of)


def _update_or_delete_item(body: Body, keys_of: KeysOf) -> Plan:
    return _writes_of([("Update", body)], keys_of)


def _batch_write_item(body: Body, keys_of: KeysOf) -> Plan:
    return _writes_of(_batch_entries(body), keys_of)


def _batch_entries(body: Body) -> Iterator[tuple[str, Body]]:
    for table, requests in body["RequestItems"].items():
        for request in requests:
            for kind, entry in request.items():
                yield kind.removesuffix("Request"), {**entry, "TableName": table}


def _transact_write_items(body: Body, keys_of: KeysOf) -> Plan:
    return _writes_of(
        (entry for part in body["TransactItems"] for entry in part.items()), keys_of
    )


def _writes_of(entries: Iterable[tuple[str, Body]], keys_of: KeysOf) -> Plan:
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
        tags.update(dict.fromkeys(item_tags(table, key)))
    return Write(tuple(tags), tuple(named), tuple(assumed)) if tags else _BYPASS


def item_tags(table: str, key: Mapping[str, Any]) -> Iterator[Tag]:
    """Yield what a write to one item evicts. key: of the wire, every key attribute."""
    yield writes_tag(table)
    yield item_tag(table, key)
    for attribute in sorted(key):
        yield partition_tag(table, attribute, key[attribute])


# --- PartiQL -----------------------------------------------------------------------

_STATEMENT = re.compile(
    r"""\s*(?P<verb>INSERT\s+INTO|UPDATE|DELETE\s+FROM|SELECT|EXISTS)\b
        (?:\s*"(?P<quoted>[^"]+)"|\s+(?P<plain>[A-Za-z_](?:-?[A-Za-z0-9_.])*)(?![^\s]))?""",
    re.IGNORECASE | re.VERBOSE,
)


def _execute_statement(body: Body, _keys_of: KeysOf) -> Plan:
    return _statements([body["Statement"]])


def _batch_execute_statement(body: Body, _keys_of: KeysOf) -> Plan:
    return _statements(entry["Statement"] for entry in body["Statements"])


def _execute_transaction(body: Body, _keys_of: KeysOf) -> Plan:
    return _statements(entry["Statement"] for entry in body["TransactStatements"])


def _statements(statements: Iterable[str]) -> Plan:
    tags: dict[Tag, None] = {}
    for statement in statements:
        match = _STATEMENT.match(statement)
        if match is None:
            return Write((EVERYTHING,))
        if match["verb"].upper() in ("SELECT", "EXISTS"):
            continue
        name = match["quoted"] or match["plain"]
        if name is None:
            return Write((EVERYTHING,))
        tags[table_tag(table_name(name))] = None
    return Write(tuple(tags)) if tags else _BYPASS


# --- whole tables ------------------------------------------------------------------


def _changes_table(*path: str) -> _Rule:
    """Return the rule of an operation that may change the table named at `path`."""

    def rule(body: Body, _keys_of: KeysOf) -> Plan:
        name: Any = body
        for step in path:
            name = name[step]
        table = table_name(name)
        return Write((table_tag(table),), described=table)

    return rule


def _delete_table(body: Body, _keys_of: KeysOf) -> Plan:
    # Its answer describes the table as well, but as it was.
    return Write((table_tag(table_name(body["TableName"])),))


def _describe_table(body: Body, _keys_of: KeysOf) -> Plan:
    return Describe(table_name(body["TableName"]))


def described_keys(answer: Mapping[str, Any]) -> tuple[str, KeyAttributes] | None:
    """Return table and key attributes from an answer that describes a table."""
    table = answer.get("Table") or answer.get("TableDescription") or {}
    elements = table.get("KeySchema")
    if not elements or "TableName" not in table:
        return None
    names = frozenset(element["AttributeName"] for element in elements)
    return table["TableName"], names


def _pass(_body: Body, _keys_of: KeysOf) -> Plan:
    return _BYPASS


_TABLE_PARAMETERS = re.compile(r"(?:Table(?:Name|Arn)|ResourceArn)$")


def _unknown(body: Body, _keys_of: KeysOf) -> Plan:
    """Plan an operation that is newer than this table: evict the tables it names."""
    tags = {table_tag(name): None for name in _named_tables(body)}
    return Write(tuple(tags)) if tags else _BYPASS


def _named_tables(body: Any) -> Iterator[str]:
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


def may_write(operation: str) -> bool:
    """Tell whether an operation may change data, for all that we know."""
    return OPERATIONS.get(operation, _unknown) not in _HARMLESS_RULES


def last_key_attributes(read: Read, answer: Mapping[str, Any]) -> KeyAttributes | None:
    """Return a table's key attributes from a page's LastEvaluatedKey, if it has one."""
    last = answer.get("LastEvaluatedKey")
    if read.is_on_index or not last:
        return None
    return frozenset(last)


_HARMLESS_RULES: frozenset[_Rule] = frozenset(
    {_get_item, _query, _describe_table, _pass}
)

OPERATIONS: Mapping[str, _Rule] = {
    # Read from the cache.
    "GetItem": _get_item,
    "Query": _query,
    # Reads that pass through.
    "BatchGetItem": _pass,
    "Scan": _pass,
    "SearchVectors": _pass,
    "TransactGetItems": _pass,
    # Writes of items.
    "BatchWriteItem": _batch_write_item,
    "DeleteItem": _update_or_delete_item,
    "PutItem": _put_item,
    "TransactWriteItems": _transact_write_items,
    "UpdateItem": _update_or_delete_item,
    # PartiQL: a read or a write, by its verb.
    "BatchExecuteStatement": _batch_execute_statement,
    "ExecuteStatement": _execute_statement,
    "ExecuteTransaction": _execute_transaction,
    # What may change a table in ways not known, or who may read it.
    "CreateGlobalTable": _changes_table("GlobalTableName"),
    "CreateTable": _changes_table("TableName"),
    "DeleteResourcePolicy": _changes_table("ResourceArn"),
    "DeleteTable": _delete_table,
    "ImportTable": _changes_table("TableCreationParameters", "TableName"),
    "PutResourcePolicy": _changes_table("ResourceArn"),
    "RestoreTableFromBackup": _changes_table("TargetTableName"),
    "RestoreTableToPointInTime": _changes_table("TargetTableName"),
    "StartBulkPutItems": _changes_table("TableName"),
    "UpdateGlobalTable": _changes_table("GlobalTableName"),
    "UpdateGlobalTableSettings": _changes_table("GlobalTableName"),
    "UpdateTable": _changes_table("TableName"),
    # A bulk operation is named by an ARN of its own, not by its table.
    "CancelBulkOperation": _pass,
    # Names a table's key attributes.
    "DescribeTable": _describe_table,
    # Changes no item.
    "CreateBackup": _pass,
    "DeleteBackup": _pass,
    "DescribeBackup": _pass,
    "DescribeBulkOperation": _pass,
    "DescribeContinuousBackups": _pass,
    "DescribeContributorInsights": _pass,
    "DescribeEndpoints": _pass,
    "DescribeExport": _pass,
    "DescribeGlobalTable": _pass,
    "DescribeGlobalTableSettings": _pass,
    "DescribeImport": _pass,
    "DescribeKinesisStreamingDestination": _pass,
    "DescribeLimits": _pass,
    "DescribeTableReplicaAutoScaling": _pass,
    "DescribeTimeToLive": _pass,
    "DisableKinesisStreamingDestination": _pass,
    "EnableKinesisStreamingDestination": _pass,
    "ExportTableToPointInTime": _pass,
    "GetResourcePolicy": _pass,
    "ListBackups": _pass,
    "ListBulkOperations": _pass,
    "ListContributorInsights": _pass,
    "ListExports": _pass,
    "ListGlobalTables": _pass,
    "ListImports": _pass,
    "ListTables": _pass,
    "ListTagsOfResource": _pass,
    "TagResource": _pass,
    "UntagResource": _pass,
    "UpdateContinuousBackups": _pass,
    "UpdateContributorInsights": _pass,
    "UpdateKinesisStreamingDestination": _pass,
    "UpdateTableReplicaAutoScaling": _pass,
    "UpdateTimeToLive": _pass,
}
"""Every operation of DynamoDB's service model; a test holds it against botocore's."""
