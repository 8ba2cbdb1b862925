"""The table of operations: what each call to DynamoDB reads or may change. Pure.

`plan` turns an operation and the JSON body of its request into a CallPlan (plans.py).
OPERATIONS has a rule for every operation of the service, with what its user should
know; one that it does not know evicts the tables that it names. Where in doubt a read
passes through and a write evicts more. What a request says of a table's key attributes
is never believed before DynamoDB has answered it without an error.
"""

from collections.abc import Mapping
from typing import NamedTuple

from botocache._dynamodb.partiql import (
    batch_execute_statement,
    execute_statement,
    execute_transaction,
)
from botocache._dynamodb.plans import BYPASS, Body, CallPlan, KeysOf, Planner, Write
from botocache._dynamodb.reads import batch_get_item, get_item, query, scan
from botocache._dynamodb.tags import EVERYTHING, table_tag
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
    """What is done for an operation, and what its user is told of that.

    plan: from the body of a request. cached, depends_on, evicts: for the table of
    docs/operations.md. why: a sentence.
    """

    plan: Planner
    cached: str = "no"
    depends_on: str = ""
    evicts: str = ""
    why: str = ""


def plan(operation: str, body: Body, keys_of: KeysOf) -> CallPlan:
    """Return what a request means for the cache. Never raises.

    operation: as the service model spells it, `GetItem`. body: of the wire.
    """
    rule = OPERATIONS.get(operation, UNKNOWN)
    try:
        return rule.plan(body, keys_of)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        # A request that DynamoDB will refuse, or one that we do not understand.
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
_PARTIQL = "What it reads or writes stands in the statement, of which the verb is read."

_PASSES = Rule(_pass, why="It changes no item.")
_CHANGES = "It may change the table, or who may read it, in ways that it does not say."


def _changes(*path: str) -> Rule:
    return Rule(changes_table(*path), evicts=_TABLE, why=_CHANGES)


OPERATIONS: Mapping[str, Rule] = {
    # Read from the cache.
    "BatchGetItem": Rule(
        batch_get_item,
        cached="yes, key by key; only the others are asked for",
        depends_on=_ITEM,
        why="Each key is a GetItem of its own.",
    ),
    "GetItem": Rule(
        get_item,
        cached='yes, "no such item" too',
        depends_on=_ITEM,
        why="It depends on one item.",
    ),
    "Query": Rule(
        query,
        cached="yes, page by page",
        depends_on=(
            "the partition, or the item when both key attributes are equal to a value; "
            "on an index whose key is none of the table's: any write to the table, or "
            "with `precise_index_eviction` the partition of the index"
        ),
        why="It depends on the partition of a key attribute that equals a value.",
    ),
    "Scan": Rule(
        scan,
        cached="yes, page by page; not a page above the `scan_size_limit` of its table",
        depends_on=_WRITES,
        why="It depends on every item.",
    ),
    # Reads that pass through.
    "SearchVectors": Rule(_pass, why="Nobody knows yet what its answers depend on."),
    "TransactGetItems": Rule(_pass, why="It is promised to be one moment's truth."),
    # Writes of items.
    "BatchWriteItem": Rule(
        batch_write_item, evicts=_OF_ITEMS, why="It names the items that it writes."
    ),
    "DeleteItem": Rule(
        update_or_delete_item, evicts=_OF_ITEMS, why="It names the item."
    ),
    "PutItem": Rule(
        put_item,
        evicts=f"{_OF_ITEMS}; the table while its key attributes are not known",
        why="It names the item, once the table's key attributes are known.",
    ),
    "TransactWriteItems": Rule(
        transact_write_items,
        evicts=_OF_ITEMS,
        why="It names the items that it writes; what it only checks is not written.",
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
    "DeleteTable": Rule(delete_table, evicts=_TABLE, why="It removes the table."),
    # A bulk operation is named by an ARN of its own, not by its table.
    "CancelBulkOperation": Rule(_pass, why="It names no table, and adds no item."),
    # Names a table's key attributes.
    "DescribeTable": Rule(
        describe_table, why="Its answer tells the table's key attributes."
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
    unknown,
    evicts="the tables that it names",
    why="This version does not know it, so it may change what it names.",
)
"""The rule of an operation that is newer than this table."""

_HARMLESS: frozenset[Planner] = frozenset(
    {batch_get_item, describe_table, get_item, _pass, query, scan}
)


def may_write(operation: str) -> bool:
    """Tell whether an operation may change data, for all that we know."""
    return OPERATIONS.get(operation, UNKNOWN).plan not in _HARMLESS
