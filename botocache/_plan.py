"""The table of operations: what each call to DynamoDB reads or may change. Pure.

`plan` turns an operation and the JSON body of its request into one of

    Read      may be answered from the cache and may fill it; depends on `tags`
    BatchRead one Read for each of its keys
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
from enum import Enum
from functools import lru_cache
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
    blind_tag,
    item_tag,
    partition_tag,
    table_name,
    table_tag,
    writes_tag,
)
from botocache._projections import Projection, read_projection

Body: TypeAlias = Mapping[str, Any]
"""The JSON body of a request, decoded."""

KeyAttributes: TypeAlias = frozenset[str]
"""The names of a table's key attributes: one or two."""

KeysOf: TypeAlias = Callable[[str], KeyAttributes | None]
"""The key attributes of a table by name, as learned; None when not known."""


class Kind(Enum):
    """What a read asks for; a table's policy may treat each otherwise."""

    ITEM = "item"
    QUERY = "query"
    INDEX_QUERY = "index query"
    SCAN = "scan"


class Read(NamedTuple):
    """A read that may be answered from the cache.

    operation: whose answer it is; GetItem for each key of a BatchGetItem.
    tags: what its answer depends on; the last one is the narrow one. question: what
    distinguishes it from other reads of the operation, as bytes. is_consistent: it
    must see DynamoDB itself. capacity: the ReturnConsumedCapacity that it asks for, of
    `table_parameter`. named: key attributes that the request names, in case DynamoDB
    accepts it; all of the table's when `names_all`. is_on_index: the tags rest on the
    learned ones. by_images: what it depends on in place of the narrow tag, if writes
    say what items were before them. whole: the question of the whole item, out of
    which `projection` can make the answer.
    """

    operation: str
    kind: Kind
    table: str
    table_parameter: str
    tags: tuple[Tag, ...]
    question: bytes
    is_consistent: bool
    capacity: str
    named: KeyAttributes = frozenset()
    names_all: bool = False
    is_on_index: bool = False
    by_images: tuple[Tag, ...] = ()
    whole: bytes | None = None
    projection: Projection | None = None

    def depends_on(self, keeping: str, old_images: bool) -> tuple[Tag, ...]:  # noqa: FBT001 - a setting
        """Return the tags of its entry, by its table's policy and the settings."""
        if keeping == "ttl":  # whatever is written, but for the whole table
            return self.tags[:-1]
        if self.by_images and old_images:
            return (*self.tags[:-1], *self.by_images)
        return self.tags


class BatchRead(NamedTuple):
    """A BatchGetItem. reads: one for each key, by TableName, in the request's order."""

    reads: Mapping[str, tuple[Read, ...]]
    capacity: str


@dataclass(frozen=True, slots=True)
class Write:
    """A call that may change data.

    tags: what it evicts. named: per table, the key attributes that the request names
    in full, in case DynamoDB accepts it. assumed: the tables whose learned key
    attributes the tags rest on. described: the table that the answer may describe.
    item: the read of the one item that it writes, if it is a write of one item.
    """

    tags: tuple[Tag, ...]
    named: tuple[tuple[str, KeyAttributes], ...] = ()
    assumed: tuple[str, ...] = ()
    described: str = ""
    item: Read | None = None


@dataclass(frozen=True, slots=True)
class Describe:
    """A call whose answer names the key attributes of a table."""

    table: str


@dataclass(frozen=True, slots=True)
class Bypass:
    """A call that is none of the cache's business."""


Plan: TypeAlias = Read | BatchRead | Write | Describe | Bypass
_Planner: TypeAlias = Callable[[Body, KeysOf], Plan]


class Rule(NamedTuple):
    """What is done for an operation, and what its user is told of that.

    plan: from the body of a request. cached, depends_on, evicts: for the table of
    docs/operations.md. why: a sentence.
    """

    plan: _Planner
    cached: str = "no"
    depends_on: str = ""
    evicts: str = ""
    why: str = ""


_BYPASS = Bypass()
_encode = msgspec.json.Encoder(order="deterministic").encode


def plan(operation: str, body: Body, keys_of: KeysOf) -> Plan:
    """Return what a request means for the cache. Never raises.

    operation: as the service model spells it, `GetItem`. body: of the wire.
    """
    rule = OPERATIONS.get(operation, UNKNOWN)
    try:
        return rule.plan(body, keys_of)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        # A request that DynamoDB will refuse, or one that we do not understand.
        if not may_write(operation):
            return _BYPASS
        tables = tuple(map(table_tag, _named_tables(body)))
        return Write(tables or (EVERYTHING,))


# --- reads -------------------------------------------------------------------------

_CAPACITIES = {"NONE", "TOTAL", "INDEXES"}


def _get_item(body: Body, _keys_of: KeysOf) -> Plan:
    return _item_read(body, _capacity(body))


def _item_read(body: Body, capacity: str) -> Read:
    """Return the read of one item. body: of a GetItem."""
    table = table_name(body["TableName"])
    key = body["Key"]
    narrow = item_tag(table, key)
    asked = {"TableName": body["TableName"], "Key": narrow.detail}
    options = {name: body[name] for name in body if name not in _NO_OPTIONS}
    question = _encode(asked)
    whole, projection = None, None
    if options:
        projection, canonical = _projected(_encode(options))
        whole = question if projection is not None else None
        question = _encode({**asked, "options": canonical})
    return Read(
        "GetItem",
        Kind.ITEM,
        table,
        body["TableName"],
        (EVERYTHING, table_tag(table), narrow),
        question,
        body.get("ConsistentRead", False),
        capacity,
        named=frozenset(key),
        names_all=True,
        whole=whole,
        projection=projection,
    )


_NO_OPTIONS = {"TableName", "Key", "ConsistentRead", "ReturnConsumedCapacity"}


@lru_cache(maxsize=1024)
def _projected(options: bytes) -> tuple[Projection | None, Any]:
    """Return the projection that some options of a GetItem ask for, and one spelling.

    Memoised: an application has a few, and parsing is half the cost of a hit.
    """
    body = msgspec.json.decode(options)
    projection = read_projection(body)
    if projection is None:
        return None, canonical_expressions(body)
    return projection, projection.paths


def _batch_get_item(body: Body, _keys_of: KeysOf) -> Plan:
    """Plan each key as the GetItem that it is; what is refused is left alone."""
    capacity = _capacity(body)
    reads: dict[str, tuple[Read, ...]] = {}
    for table, part in body["RequestItems"].items():
        options = {name: part[name] for name in part if name != "Keys"}
        options["TableName"] = table
        reads[table] = tuple(
            [_item_read({**options, "Key": key}, "NONE") for key in part["Keys"]]
        )
    items = [read.tags[-1] for each in reads.values() for read in each]
    is_refused = (
        not body.keys() <= {"RequestItems", "ReturnConsumedCapacity"}
        or not 0 < len(items) <= MOST_KEYS
        or len(set(items)) < len(items)
        or any(len({read.named for read in each}) != 1 for each in reads.values())
        or _mixes_projections(body["RequestItems"].values())
    )
    return _BYPASS if is_refused else BatchRead(reads, capacity)


def _mixes_projections(parts: Iterable[Body]) -> bool:
    used = {name for part in parts for name in _PROJECTIONS.intersection(part)}
    return len(used) > 1


_PROJECTIONS = frozenset({"AttributesToGet", "ProjectionExpression"})

MOST_KEYS = 100
"""Keys that one BatchGetItem may ask for."""


def _query(body: Body, keys_of: KeysOf) -> Plan:
    table = table_name(body["TableName"])
    conditions = _key_conditions(body)
    if "IndexName" in body:
        return _index_query(body, table, conditions, keys_of(table) or frozenset())
    if conditions is None:
        return _page_of("Query", Kind.QUERY, body, writes_tag(table))
    # On the table itself every attribute of a key condition is a key attribute.
    named = frozenset(conditions.attributes)
    narrow = writes_tag(table)
    if len(conditions.equal) > 1:  # a table has two key attributes at the most
        narrow = item_tag(table, conditions.equal)
    else:
        for attribute, value in conditions.equal.items():
            narrow = partition_tag(table, attribute, value)
    return _page_of("Query", Kind.QUERY, body, narrow, named)


def _index_query(
    body: Body, table: str, conditions: Conditions | None, keys: KeyAttributes
) -> Plan:
    equal = conditions.equal if conditions else {}
    for attribute in sorted(keys.intersection(equal)):
        narrow = partition_tag(table, attribute, equal[attribute])
        return _page_of("Query", Kind.INDEX_QUERY, body, narrow)
    planned = _page_of("Query", Kind.INDEX_QUERY, body, writes_tag(table))
    for attribute in sorted(equal):
        # Whatever the index is, all of its items here have this value there.
        partition = partition_tag(table, attribute, equal[attribute])
        return planned._replace(by_images=(blind_tag(table), partition))
    return planned


def _key_conditions(body: Body) -> Conditions | None:
    if "KeyConditionExpression" in body:
        return read_key_condition(
            body["KeyConditionExpression"],
            body.get("ExpressionAttributeNames", {}),
            body.get("ExpressionAttributeValues", {}),
        )
    return read_legacy_key_conditions(body.get("KeyConditions", {}))


def _scan(body: Body, _keys_of: KeysOf) -> Plan:
    return _page_of("Scan", Kind.SCAN, body, writes_tag(table_name(body["TableName"])))


def _page_of(
    operation: str,
    kind: Kind,
    body: Body,
    narrow: Tag,
    named: KeyAttributes = frozenset(),
) -> Read:
    """Return the read of one page of a Query or Scan."""
    capacity = _capacity(body)
    table = table_name(body["TableName"])
    question, is_consistent = _question(body)
    if question.get("ScanIndexForward") is True:
        del question["ScanIndexForward"]
    return Read(
        operation,
        kind,
        table,
        body["TableName"],
        (EVERYTHING, table_tag(table), narrow),
        _encode(question),
        is_consistent,
        capacity,
        named=named,
        is_on_index="IndexName" in body,
    )


def _question(body: Body) -> tuple[dict[str, Any], bool]:
    """Return what distinguishes a read, and whether it is strongly consistent."""
    question = canonical_expressions(body)
    question.pop("ReturnConsumedCapacity", None)
    return question, question.pop("ConsistentRead", False)


def _capacity(body: Body) -> str:
    """Return the ReturnConsumedCapacity asked for. Raises ValueError for another."""
    capacity: str = body.get("ReturnConsumedCapacity", "NONE")
    if capacity not in _CAPACITIES:
        raise ValueError("DynamoDB will refuse it")
    return capacity


# --- writes of items ---------------------------------------------------------------


def _put_item(body: Body, keys_of: KeysOf) -> Plan:
    return _write_of_item("Put", body, keys_of)


def _update_or_delete_item(body: Body, keys_of: KeysOf) -> Plan:
    return _write_of_item("Update", body, keys_of)


def _write_of_item(kind: str, body: Body, keys_of: KeysOf) -> Plan:
    planned = _writes_of([(kind, body)], keys_of)
    if not isinstance(planned, Write) or len(planned.tags) == 1:
        return planned
    key = body.get("Key")
    if key is None:
        learned = keys_of(table_name(body["TableName"])) or ()
        key = {attribute: body["Item"][attribute] for attribute in learned}
    item = _item_read({"TableName": body["TableName"], "Key": key}, "NONE")
    return Write(planned.tags, planned.named, planned.assumed, item=item)


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
    yield blind_tag(table)
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


def _changes_table(*path: str) -> _Planner:
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


def last_key_attributes(read: Read, answer: Mapping[str, Any]) -> KeyAttributes | None:
    """Return a table's key attributes from a page's LastEvaluatedKey, if it has one."""
    last = answer.get("LastEvaluatedKey")
    if read.is_on_index or not last:
        return None
    return frozenset(last)


# --- the table ---------------------------------------------------------------------

_ITEM = "the item"
_WRITES = "any write to the table"
_OF_ITEMS = (
    "the items named: their GetItem and BatchGetItem, the Query of their partitions; "
    "the table's Scan and index queries"
)
_TABLE = "the table"
_BY_STATEMENT = "the table that INSERT, UPDATE or DELETE names; SELECT: nothing"
_PARTIQL = "What it reads or writes stands in the statement, of which the verb is read."

_PASSES = Rule(_pass, why="It changes no item.")
_CHANGES = "It may change the table, or who may read it, in ways that it does not say."


def _changes(*path: str) -> Rule:
    return Rule(_changes_table(*path), evicts=_TABLE, why=_CHANGES)


OPERATIONS: Mapping[str, Rule] = {
    # Read from the cache.
    "BatchGetItem": Rule(
        _batch_get_item,
        cached="yes, key by key; only the others are asked for",
        depends_on=_ITEM,
        why="Each key is a GetItem of its own.",
    ),
    "GetItem": Rule(
        _get_item,
        cached='yes, "no such item" too',
        depends_on=_ITEM,
        why="It depends on one item.",
    ),
    "Query": Rule(
        _query,
        cached="yes, page by page",
        depends_on=(
            "the partition, or the item when both key attributes are equal to a value; "
            "on an index whose key is none of the table's: any write to the table, or "
            "with `old_images` the partition of the index"
        ),
        why="It depends on the partition of a key attribute that equals a value.",
    ),
    "Scan": Rule(
        _scan,
        cached="yes, page by page; a large page when it is asked for again",
        depends_on=_WRITES,
        why="It depends on every item.",
    ),
    # Reads that pass through.
    "SearchVectors": Rule(_pass, why="Nobody knows yet what its answers depend on."),
    "TransactGetItems": Rule(_pass, why="It is promised to be one moment's truth."),
    # Writes of items.
    "BatchWriteItem": Rule(
        _batch_write_item, evicts=_OF_ITEMS, why="It names the items that it writes."
    ),
    "DeleteItem": Rule(
        _update_or_delete_item, evicts=_OF_ITEMS, why="It names the item."
    ),
    "PutItem": Rule(
        _put_item,
        evicts=f"{_OF_ITEMS}; the table while its key attributes are not known",
        why="It names the item, once the table's key attributes are known.",
    ),
    "TransactWriteItems": Rule(
        _transact_write_items,
        evicts=_OF_ITEMS,
        why="It names the items that it writes; what it only checks is not written.",
    ),
    "UpdateItem": Rule(
        _update_or_delete_item, evicts=_OF_ITEMS, why="It names the item."
    ),
    # PartiQL: a read or a write, by its verb.
    "BatchExecuteStatement": Rule(
        _batch_execute_statement, evicts=_BY_STATEMENT, why=_PARTIQL
    ),
    "ExecuteStatement": Rule(_execute_statement, evicts=_BY_STATEMENT, why=_PARTIQL),
    "ExecuteTransaction": Rule(
        _execute_transaction, evicts=_BY_STATEMENT, why=_PARTIQL
    ),
    # What may change a table in ways not known, or who may read it.
    "CreateGlobalTable": _changes("GlobalTableName"),
    "CreateTable": _changes("TableName"),
    "DeleteResourcePolicy": _changes("ResourceArn"),
    "ImportTable": _changes("TableCreationParameters", "TableName"),
    "PutResourcePolicy": _changes("ResourceArn"),
    "RestoreTableFromBackup": _changes("TargetTableName"),
    "RestoreTableToPointInTime": _changes("TargetTableName"),
    "StartBulkPutItems": _changes("TableName"),
    "UpdateGlobalTable": _changes("GlobalTableName"),
    "UpdateGlobalTableSettings": _changes("GlobalTableName"),
    "UpdateTable": _changes("TableName"),
    "DeleteTable": Rule(_delete_table, evicts=_TABLE, why="It removes the table."),
    # A bulk operation is named by an ARN of its own, not by its table.
    "CancelBulkOperation": Rule(_pass, why="It names no table, and adds no item."),
    # Names a table's key attributes.
    "DescribeTable": Rule(
        _describe_table, why="Its answer tells the table's key attributes."
    ),
    # Changes no item.
    "CreateBackup": _PASSES,
    "DeleteBackup": _PASSES,
    "DescribeBackup": _PASSES,
    "DescribeBulkOperation": _PASSES,
    "DescribeContinuousBackups": _PASSES,
    "DescribeContributorInsights": _PASSES,
    "DescribeEndpoints": _PASSES,
    "DescribeExport": _PASSES,
    "DescribeGlobalTable": _PASSES,
    "DescribeGlobalTableSettings": _PASSES,
    "DescribeImport": _PASSES,
    "DescribeKinesisStreamingDestination": _PASSES,
    "DescribeLimits": _PASSES,
    "DescribeTableReplicaAutoScaling": _PASSES,
    "DescribeTimeToLive": _PASSES,
    "DisableKinesisStreamingDestination": _PASSES,
    "EnableKinesisStreamingDestination": _PASSES,
    "ExportTableToPointInTime": _PASSES,
    "GetResourcePolicy": _PASSES,
    "ListBackups": _PASSES,
    "ListBulkOperations": _PASSES,
    "ListContributorInsights": _PASSES,
    "ListExports": _PASSES,
    "ListGlobalTables": _PASSES,
    "ListImports": _PASSES,
    "ListTables": _PASSES,
    "ListTagsOfResource": _PASSES,
    "TagResource": _PASSES,
    "UntagResource": _PASSES,
    "UpdateContinuousBackups": _PASSES,
    "UpdateContributorInsights": _PASSES,
    "UpdateKinesisStreamingDestination": _PASSES,
    "UpdateTableReplicaAutoScaling": _PASSES,
    "UpdateTimeToLive": _PASSES,
}
"""Every operation of DynamoDB's service model; a test holds it against botocore's."""

UNKNOWN = Rule(
    _unknown,
    evicts="the tables that it names",
    why="This version does not know it, so it may change what it names.",
)
"""The rule of an operation that is newer than this table."""

_HARMLESS: frozenset[_Planner] = frozenset(
    {_batch_get_item, _describe_table, _get_item, _pass, _query, _scan}
)


def may_write(operation: str) -> bool:
    """Tell whether an operation may change data, for all that we know."""
    return OPERATIONS.get(operation, UNKNOWN).plan not in _HARMLESS
