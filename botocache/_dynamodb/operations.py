"""The table of operations: what each call to DynamoDB reads or may change. Pure.

`plan` turns an operation and the body of its request into a CallPlan (plans.py).
OPERATIONS has a rule for every operation of the service. An operation without a rule
evicts the tables that its request names. Where in doubt a read is a bypass, and a write
evicts more. Key attributes that a request names are learned only after DynamoDB has
accepted it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from botocache._dynamodb.partiql import (
    batch_execute_statement,
    execute_statement,
    execute_transaction,
)
from botocache._dynamodb.plans import BYPASS, CallPlan, KeysOf, Planner, Write
from botocache._dynamodb.reads import batch_get_item, get_item, query, scan
from botocache._dynamodb.tags import EVERYTHING, table_tag
from botocache._dynamodb.types import Body
from botocache._dynamodb.writes import (
    batch_write_item,
    changes_table,
    delete_table,
    describe_table,
    named_tables,
    put_item,
    transact_write_items,
    unknown,
    update_or_delete_item,
)


class Rule(NamedTuple):
    """How the cache treats an operation, and how the documentation describes that.

    plan: makes the plan of a request.
    is_read: the operation changes no item, no table and no permission to read.
    cached: whether it can be a hit; a column of docs/reference/operations.md.
    depends_on: what its entry depends on; another column.
    evicts: the entries that it evicts; another column.
    why: a sentence for `explain`.
    """

    plan: Planner
    # False unless stated: a write that counts as a read would leave stale entries.
    is_read: bool = False
    cached: str = "no"
    depends_on: str = ""
    evicts: str = ""
    why: str = ""


def plan(operation: str, body: Body, keys_of: KeysOf) -> CallPlan:
    """Return the plan of a request. Never raises.

    operation: as the service model spells it: `GetItem`.
    body: of the request, as on the wire.
    keys_of: returns the learned key attributes of a table.
    """
    rule = OPERATIONS.get(operation, UNKNOWN)
    try:
        return rule.plan(body, keys_of)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        # DynamoDB will refuse the request, or this version does not understand it.
        # It may still be accepted, so a write must evict.
        if not may_write(operation):
            return BYPASS
        tables = tuple(map(table_tag, named_tables(body)))
        return Write(tables or (EVERYTHING,))


def _pass(_body: Body, _keys_of: KeysOf) -> CallPlan:
    return BYPASS


# --- the table ---------------------------------------------------------------------

_ITEM = "the item"
_WRITES = "any write to the table"
_OF_ITEMS = (
    "the items named: their GetItem and BatchGetItem, the Query of their partitions; "
    "the table's Scan and index queries"
)
_TABLE = "the table"
_BY_STATEMENT = "the table that INSERT, UPDATE or DELETE names; SELECT: nothing"
_PARTIQL = (
    "botocache parses the verb and the table of a PartiQL statement, nothing more."
)


def _passes(why: str) -> Rule:
    return Rule(_pass, is_read=True, why=why)


_PASSES = _passes("It changes no item.")
_CHANGES = "It may change any item of the table, or the permission to read it."


def _changes(*path: str) -> Rule:
    return Rule(changes_table(*path), evicts=_TABLE, why=_CHANGES)


OPERATIONS: Mapping[str, Rule] = {
    # Reads from the cache.
    "BatchGetItem": Rule(
        batch_get_item,
        is_read=True,
        cached="yes, key by key; botocache sends only the other keys",
        depends_on=_ITEM,
        why="Each key is a GetItem of its own.",
    ),
    "GetItem": Rule(
        get_item,
        is_read=True,
        cached='yes, "no such item" too',
        depends_on=_ITEM,
        why="It depends on one item.",
    ),
    "Query": Rule(
        query,
        is_read=True,
        cached="yes, page by page",
        depends_on=(
            "the partition; the item, if both key attributes equal a value; on an "
            "index without a key attribute of the table: any write to the table, or "
            "with `precise_index_eviction` the partition of the index"
        ),
        why="It depends on the partition of a key attribute that equals a value.",
    ),
    "Scan": Rule(
        scan,
        is_read=True,
        cached="yes, page by page; no page above the table's `scan_size_limit`",
        depends_on=_WRITES,
        why="It depends on every item.",
    ),
    # Reads that are a bypass.
    "SearchVectors": _passes("Its result may depend on any item."),
    "TransactGetItems": _passes("It must return a serializable snapshot."),
    # Writes of items.
    "BatchWriteItem": Rule(
        batch_write_item, evicts=_OF_ITEMS, why="It names the items that it writes."
    ),
    "DeleteItem": Rule(
        update_or_delete_item, evicts=_OF_ITEMS, why="It names the item."
    ),
    "PutItem": Rule(
        put_item,
        evicts=f"{_OF_ITEMS}; the table, until its key attributes are known",
        why="It names the item, once the table's key attributes are known.",
    ),
    "TransactWriteItems": Rule(
        transact_write_items,
        evicts=_OF_ITEMS,
        why="It names the items that it writes. A ConditionCheck writes none.",
    ),
    "UpdateItem": Rule(
        update_or_delete_item, evicts=_OF_ITEMS, why="It names the item."
    ),
    # PartiQL: a read or a write, by its verb.
    "BatchExecuteStatement": Rule(
        batch_execute_statement, evicts=_BY_STATEMENT, why=_PARTIQL
    ),
    "ExecuteStatement": Rule(execute_statement, evicts=_BY_STATEMENT, why=_PARTIQL),
    "ExecuteTransaction": Rule(execute_transaction, evicts=_BY_STATEMENT, why=_PARTIQL),
    # May change any item of a table, or the permission to read it.
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
    "DeleteTable": Rule(delete_table, evicts=_TABLE, why="It removes the table."),
    # It names the operation by an ARN of its own, not the table.
    "CancelBulkOperation": _passes("It names no table, and adds no item."),
    # Its answer names the table's key attributes.
    "DescribeTable": Rule(
        describe_table, is_read=True, why="Its answer names the table's key attributes."
    ),
    # No effect on items. UpdateTimeToLive is here, because the deletions that it starts
    # are DynamoDB's own: no call announces them, and TTLs alone end such entries.
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
"""A rule per operation of DynamoDB. A test compares it with botocore's model."""

UNKNOWN = Rule(
    unknown,
    evicts="the tables that it names",
    why="This version of botocache does not know it, so it may change every table "
    "that it names.",
)
"""The rule of an operation that is newer than this table."""


def may_write(operation: str) -> bool:
    """Return True if an operation may change data, or is not known."""
    return not OPERATIONS.get(operation, UNKNOWN).is_read
