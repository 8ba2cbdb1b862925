"""The table of operations: what each call to DynamoDB reads or may change. Pure.

`plan` turns an operation and the body of its request into a CallPlan (plans.py).
OPERATIONS has a rule for every operation of the service. An operation without a rule
evicts the tables that its request names. Where in doubt a read is a bypass, and a write
evicts more. Key attributes that a request names are learned only after DynamoDB has
accepted it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from botocache._dynamodb.limits import RefusedError
from botocache._dynamodb.partiql import (
    batch_execute_statement,
    execute_statement,
    execute_transaction,
)
from botocache._dynamodb.plans import Bypass, CallPlan, KeysOf, Planner, Write
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
    """

    plan: Planner
    # False unless stated: a write that counts as a read would leave stale entries.
    is_read: bool = False
    cached: str = "no"
    depends_on: str = ""
    evicts: str = ""


REFUSED: Final = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
)
"""What a planner raises for a request that it does not understand."""


def plan(operation: str, body: Body, keys_of: KeysOf) -> CallPlan:
    """Return the plan of a request. Never raises.

    operation: as the service model spells it: `GetItem`.
    body: of the request, as on the wire.
    keys_of: returns the learned key attributes of a table.
    """
    rule = OPERATIONS.get(operation, UNKNOWN)
    try:
        return rule.plan(body, keys_of)
    except REFUSED as error:
        # DynamoDB will refuse the request, or this version does not understand it.
        # It may still be accepted, so a write must evict.
        why = _reason(error)
        if not may_write(operation):
            return Bypass(f"{why} DynamoDB is asked.")
        tables = tuple(map(table_tag, named_tables(body)))
        evicted = "every table that it names" if tables else "everything"
        return Write(tables or (EVERYTHING,), why=f"{why} So it evicts {evicted}.")


def _reason(error: Exception) -> str:
    """Return why a request has no plan of its own, in a sentence."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, KeyError):
        return f"The request lacks {error.args[0]!r}."
    return "botocache does not understand the request, or DynamoDB will refuse it."


# --- the table ---------------------------------------------------------------------

_ITEM = "the item"
_WRITES = "any write to the table"
_OF_ITEMS = (
    "the items named: their GetItem and BatchGetItem, the Query of their partitions; "
    "the table's Scan and index queries"
)
_TABLE = "the table"
_BY_STATEMENT = "the table that INSERT, UPDATE or DELETE names; SELECT: nothing"


def _passes(why: str) -> Rule:
    planned = Bypass(why)
    return Rule(lambda _body, _keys_of: planned, is_read=True)


_PASSES = _passes("It changes no item.")


def _changes(*path: str) -> Rule:
    return Rule(changes_table(*path), evicts=_TABLE)


OPERATIONS: Mapping[str, Rule] = {
    # Reads from the cache.
    "BatchGetItem": Rule(
        batch_get_item,
        is_read=True,
        cached="yes, key by key; botocache sends only the other keys",
        depends_on=_ITEM,
    ),
    "GetItem": Rule(
        get_item,
        is_read=True,
        cached='yes, "no such item" too',
        depends_on=_ITEM,
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
    ),
    "Scan": Rule(
        scan,
        is_read=True,
        cached="yes, page by page; no page above the table's `scan_size_limit`",
        depends_on=_WRITES,
    ),
    # Reads that are a bypass.
    "SearchVectors": _passes("Its result may depend on any item."),
    "TransactGetItems": _passes("It must return a serializable snapshot."),
    # Writes of items.
    "BatchWriteItem": Rule(batch_write_item, evicts=_OF_ITEMS),
    "DeleteItem": Rule(update_or_delete_item, evicts=_OF_ITEMS),
    "PutItem": Rule(
        put_item,
        evicts=f"{_OF_ITEMS}; the table, until its key attributes are known",
    ),
    "TransactWriteItems": Rule(
        transact_write_items,
        evicts=_OF_ITEMS,
    ),
    "UpdateItem": Rule(update_or_delete_item, evicts=_OF_ITEMS),
    # PartiQL: a read or a write, by its verb.
    "BatchExecuteStatement": Rule(batch_execute_statement, evicts=_BY_STATEMENT),
    "ExecuteStatement": Rule(execute_statement, evicts=_BY_STATEMENT),
    "ExecuteTransaction": Rule(execute_transaction, evicts=_BY_STATEMENT),
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
    "DeleteTable": Rule(delete_table, evicts=_TABLE),
    # It names the operation by an ARN of its own, not the table.
    "CancelBulkOperation": _passes("It names no table, and adds no item."),
    # Its answer names the table's key attributes.
    "DescribeTable": Rule(describe_table, is_read=True),
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
)
"""The rule of an operation that is newer than this table."""


def may_write(operation: str) -> bool:
    """Return True if an operation may change data, or is not known."""
    return not OPERATIONS.get(operation, UNKNOWN).is_read
