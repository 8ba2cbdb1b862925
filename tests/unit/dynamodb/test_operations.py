"""What each call to DynamoDB means for the cache, from DynamoDB's own semantics."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from botocache._digests import digest
from botocache._dynamodb.operations import OPERATIONS, may_write, plan
from botocache._dynamodb.plans import (
    BatchRead,
    Bypass,
    CachingMode,
    CallPlan,
    Describe,
    KeyAttributes,
    KeysOf,
    Kind,
    Read,
    Write,
    described_keys,
    last_key_attributes,
)
from botocache._dynamodb.reads import read_of
from botocache._dynamodb.tags import (
    EVERYTHING,
    Tag,
    any_write_tags,
    item_tag,
    partition_tag,
    precise_writes_tag,
    table_tag,
    writes_tag,
)
from botocache._dynamodb.types import Answer, Body, Item
from botocache._dynamodb.values import table_name
from botocache._dynamodb.writes import item_tags

MODEL = botocore.session.get_session().get_service_model("dynamodb")

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/t"
A, B, ONE = {"S": "a"}, {"S": "b"}, {"N": "1"}
KEY = {"pk": A, "sk": ONE}
ITEM = {**KEY, "other": {"BOOL": True}}


def knowing(**schemas: str) -> KeysOf:
    """Return what is known of tables: `t="pk sk"`."""
    known = {table: frozenset(names.split()) for table, names in schemas.items()}
    return known.get


NOTHING = knowing()
KNOWN = knowing(t="pk sk")


def planned(operation: str, keys_of: KeysOf = NOTHING, **body: Any) -> CallPlan:
    return plan(operation, body, keys_of)


def write(operation: str, keys_of: KeysOf = NOTHING, **body: Any) -> Write:
    made = plan(operation, body, keys_of)
    assert isinstance(made, Write)
    return made


def read(operation: str, keys_of: KeysOf = NOTHING, **body: Any) -> Read:
    made = plan(operation, body, keys_of)
    assert isinstance(made, Read)
    return made


def tags_of_item(table: str, **key: Mapping[str, Any]) -> set[Tag]:
    """Return what a write to the item must evict, by the table of the design."""
    partitions = {partition_tag(table, name, value) for name, value in key.items()}
    return {
        writes_tag(table),
        item_tag(table, key),
        *partitions,
    }


# --- the operations, one by one ----------------------------------------------------


class Row(NamedTuple):
    """What an operation must be. body: a valid request. tables: that it may change."""

    kind: type[CallPlan]
    body: dict[str, Any]
    tables: tuple[str, ...] = ()


def _passes(**body: Any) -> Row:
    return Row(Bypass, body)


def _changes(*tables: str, **body: Any) -> Row:
    return Row(Write, body, tables)


_NAMED = {"TableName": "t"}
_S3 = {"S3BucketSource": {"S3Bucket": "b"}, "InputFormat": "CSV"}
_KINESIS = {"TableName": "t", "StreamArn": "arn:aws:kinesis:eu-west-1:1:stream/stream"}
_BACKUP = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/backup/01"
_IMPORT = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/import/01-0123456789-abcdef"
_EXPORT = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/export/01-0123456789-abcdef"
_BULK = "arn:aws:dynamodb:eu-west-1:123456789012:bulk-operation/0123456789012345"
_SCHEMA = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
}

ROWS = {
    # Data is read, and answers are kept.
    "GetItem": Row(Read, {**_NAMED, "Key": KEY}),
    "Query": Row(
        Read,
        {
            **_NAMED,
            "KeyConditionExpression": "pk = :a",
            "ExpressionAttributeValues": {":a": A},
        },
    ),
    "BatchGetItem": Row(BatchRead, {"RequestItems": {"t": {"Keys": [KEY]}}}),
    "Scan": Row(Read, dict(_NAMED)),
    # Data is read past the cache.
    "SearchVectors": _passes(**_NAMED, IndexName="index", SearchVector=[ONE], TopK=1),
    "TransactGetItems": _passes(
        TransactItems=[{"Get": {"TableName": "t", "Key": KEY}}]
    ),
    # Items are written.
    "PutItem": _changes("t", **_NAMED, Item=ITEM),
    "UpdateItem": _changes("t", **_NAMED, Key=KEY),
    "DeleteItem": _changes("t", **_NAMED, Key=KEY),
    "BatchWriteItem": _changes(
        "t",
        "u",
        RequestItems={
            "t": [{"PutRequest": {"Item": ITEM}}],
            "u": [{"DeleteRequest": {"Key": KEY}}],
        },
    ),
    "TransactWriteItems": _changes(
        "t",
        "u",
        TransactItems=[
            {"Put": {"TableName": "t", "Item": ITEM}},
            {"Update": {"TableName": "u", "Key": KEY, "UpdateExpression": "SET a=:a"}},
        ],
    ),
    "ExecuteStatement": _changes("t", Statement="DELETE FROM t WHERE pk='a'"),
    "BatchExecuteStatement": _changes(
        "t",
        "u",
        Statements=[
            {"Statement": "UPDATE t SET a=1 WHERE pk='a'"},
            {"Statement": "INSERT INTO u VALUE {'pk': 'a'}"},
        ],
    ),
    "ExecuteTransaction": _changes(
        "t", TransactStatements=[{"Statement": "UPDATE t SET a=1 WHERE pk='a'"}]
    ),
    "StartBulkPutItems": _changes(
        "t",
        **_NAMED,
        InputS3Configuration={"S3Bucket": "b", "InputFormat": "ION"},
        OutputS3Configuration={"S3Bucket": "b", "OutputType": []},
    ),
    # A table comes, goes, or becomes another one.
    "CreateTable": _changes("t", **_NAMED, **_SCHEMA),
    "DeleteTable": _changes("t", **_NAMED),
    "UpdateTable": _changes("t", **_NAMED),
    "ImportTable": _changes("t", **_S3, TableCreationParameters={**_NAMED, **_SCHEMA}),
    "RestoreTableFromBackup": _changes("t", TargetTableName="t", BackupArn=_BACKUP),
    "RestoreTableToPointInTime": _changes(
        "t", TargetTableName="t", SourceTableName="u"
    ),
    "CreateGlobalTable": _changes("t", GlobalTableName="t", ReplicationGroup=[]),
    "UpdateGlobalTable": _changes("t", GlobalTableName="t", ReplicaUpdates=[]),
    "UpdateGlobalTableSettings": _changes("t", GlobalTableName="t"),
    # Who may read it changes.
    "PutResourcePolicy": _changes("t", ResourceArn=ARN, Policy="{}"),
    "DeleteResourcePolicy": _changes("t", ResourceArn=ARN),
    # Its key attributes are told.
    "DescribeTable": Row(Describe, dict(_NAMED)),
    # No item is read or written: descriptions, lists, backups, streams, tags.
    "CancelBulkOperation": _passes(BulkOperationArn=_BULK),
    "CreateBackup": _passes(**_NAMED, BackupName="backup"),
    "DeleteBackup": _passes(BackupArn=_BACKUP),
    "DescribeBackup": _passes(BackupArn=_BACKUP),
    "DescribeBulkOperation": _passes(BulkOperationArn=_BULK),
    "DescribeContinuousBackups": _passes(**_NAMED),
    "DescribeContributorInsights": _passes(**_NAMED),
    "DescribeEndpoints": _passes(),
    "DescribeExport": _passes(ExportArn=_EXPORT),
    "DescribeGlobalTable": _passes(GlobalTableName="t"),
    "DescribeGlobalTableSettings": _passes(GlobalTableName="t"),
    "DescribeImport": _passes(ImportArn=_IMPORT),
    "DescribeKinesisStreamingDestination": _passes(**_NAMED),
    "DescribeLimits": _passes(),
    "DescribeTableReplicaAutoScaling": _passes(**_NAMED),
    "DescribeTimeToLive": _passes(**_NAMED),
    "DisableKinesisStreamingDestination": _passes(**_KINESIS),
    "EnableKinesisStreamingDestination": _passes(**_KINESIS),
    "ExportTableToPointInTime": _passes(TableArn=ARN, S3Bucket="b"),
    "GetResourcePolicy": _passes(ResourceArn=ARN),
    "ListBackups": _passes(**_NAMED),
    "ListBulkOperations": _passes(),
    "ListContributorInsights": _passes(**_NAMED),
    "ListExports": _passes(TableArn=ARN),
    "ListGlobalTables": _passes(),
    "ListImports": _passes(TableArn=ARN),
    "ListTables": _passes(),
    "ListTagsOfResource": _passes(ResourceArn=ARN),
    "TagResource": _passes(ResourceArn=ARN, Tags=[]),
    "UntagResource": _passes(ResourceArn=ARN, TagKeys=[]),
    "UpdateContinuousBackups": _passes(
        **_NAMED,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    ),
    "UpdateContributorInsights": _passes(**_NAMED, ContributorInsightsAction="ENABLE"),
    "UpdateKinesisStreamingDestination": _passes(**_KINESIS),
    "UpdateTableReplicaAutoScaling": _passes(**_NAMED),
    "UpdateTimeToLive": _passes(
        **_NAMED, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    ),
}

WRITES = [operation for operation, row in ROWS.items() if row.kind is Write]


def test_every_operation_of_the_service_has_a_rule() -> None:
    assert set(MODEL.operation_names) <= set(OPERATIONS)


def test_every_operation_of_the_service_has_a_row_here() -> None:
    assert set(MODEL.operation_names) | set(OPERATIONS) == set(ROWS)


@pytest.mark.parametrize("operation", sorted(set(ROWS) & set(MODEL.operation_names)))
def test_the_request_of_each_row_is_one_that_botocore_sends(operation: str) -> None:
    body = json.dumps(ROWS[operation].body)
    for short in ("t", "u"):  # the names of DynamoDB's tables have three letters
        body = body.replace(f'"{short}"', f'"{short * 3}"')
    shape = MODEL.operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(json.loads(body), shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize("keys_of", [NOTHING, KNOWN], ids=["nothing known", "known"])
@pytest.mark.parametrize("operation", ROWS)
def test_each_operation_has_the_plan_of_its_row(
    operation: str, keys_of: KeysOf
) -> None:
    row = ROWS[operation]
    made = plan(operation, row.body, keys_of)
    assert type(made) is row.kind
    assert made.why.endswith(".")


@pytest.mark.parametrize("operation", WRITES)
def test_each_write_evicts_the_tables_that_it_may_change(operation: str) -> None:
    row = ROWS[operation]
    assert {tag.table for tag in write(operation, **row.body).tags} == set(row.tables)


@pytest.mark.parametrize("operation", ROWS)
def test_may_write_follows_the_rule_of_the_operation(operation: str) -> None:
    assert may_write(operation) is (ROWS[operation].kind is Write)


def test_an_unknown_operation_may_write() -> None:
    assert may_write("BrandNewOperation")


# --- PutItem -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys_of", "item", "tags"),
    [
        (knowing(t="pk sk"), ITEM, tags_of_item("t", **KEY)),
        (knowing(t="pk"), ITEM, tags_of_item("t", pk=A)),
        (knowing(t="other"), {"other": ONE, "pk": A}, tags_of_item("t", other=ONE)),
        (NOTHING, ITEM, {table_tag("t")}),
        (knowing(u="pk sk"), ITEM, {table_tag("t")}),
        (knowing(t="pk sk"), {"pk": A}, {table_tag("t")}),
        (knowing(t="pk sk"), {}, {table_tag("t")}),
        (knowing(t="pk other"), ITEM, {table_tag("t")}),  # a key is no BOOL
    ],
)
def test_a_put_evicts_the_item_when_the_key_attributes_are_known_else_the_table(
    keys_of: KeysOf, item: Mapping[str, Any], tags: set[Tag]
) -> None:
    assert set(write("PutItem", keys_of, TableName="t", Item=item).tags) == tags


def test_a_put_rests_on_the_key_attributes_that_were_learned() -> None:
    made = write("PutItem", KNOWN, TableName="t", Item=ITEM)
    assert (made.assumed, made.named, made.described) == (("t",), (), "")


@pytest.mark.parametrize("keys_of", [NOTHING, knowing(t="pk absent")])
def test_a_put_that_evicts_the_table_rests_on_nothing(keys_of: KeysOf) -> None:
    made = write("PutItem", keys_of, TableName="t", Item=ITEM)
    assert (made.assumed, made.named, made.described) == ((), (), "")


# --- UpdateItem and DeleteItem -----------------------------------------------------


@pytest.mark.parametrize("operation", ["UpdateItem", "DeleteItem"])
@pytest.mark.parametrize(
    ("keys_of", "more"),
    [
        (NOTHING, set()),
        (knowing(t="pk sk"), set()),
        (knowing(u="id"), set()),
        (knowing(t="pk"), {table_tag("t")}),
        (knowing(t="id"), {table_tag("t")}),
        (knowing(t="pk sk id"), {table_tag("t")}),
    ],
)
def test_an_update_evicts_its_item_and_a_recreated_table(
    operation: str, keys_of: KeysOf, more: set[Tag]
) -> None:
    made = write(operation, keys_of, TableName="t", Key=KEY)
    assert set(made.tags) == tags_of_item("t", **KEY) | more
    assert made.named == (("t", frozenset({"pk", "sk"})),)
    assert (made.assumed, made.described) == ((), "")


def test_a_write_evicts_a_query_by_each_of_its_key_attributes() -> None:
    tags = write("UpdateItem", TableName="t", Key=KEY).tags
    assert partition_tag("t", "pk", A) in tags
    assert partition_tag("t", "sk", {"N": "1.0"}) in tags
    assert item_tag("t", {"sk": {"N": "01"}, "pk": A}) in tags


def test_the_tags_of_an_item_are_those_of_the_design() -> None:
    assert set(item_tags("t", KEY)) == tags_of_item("t", **KEY)


def made_by_hand(table: str, key: Item) -> list[Tag]:
    """Return the tags of a write by the functions that reads make theirs with."""
    partitions = [partition_tag(table, name, key[name]) for name in sorted(key)]
    return [writes_tag(table), item_tag(table, key), *partitions]


@given(
    st.sampled_from(["t", "T" * 255, "täble", ARN]),
    st.dictionaries(
        st.text(max_size=40),
        st.one_of(
            st.fixed_dictionaries({"S": st.text() | st.just("x" * 5000)}),
            st.fixed_dictionaries({"N": st.integers(-(10**40), 10**40).map(str)}),
            st.fixed_dictionaries(
                {"B": st.binary().map(lambda b: b64encode(b).decode())}
            ),
        ),
        min_size=1,
        max_size=2,
    ),
)
def test_a_write_has_the_tags_and_digests_that_reads_have(
    table: str, key: Item
) -> None:
    for made in (
        plan("UpdateItem", {"TableName": table, "Key": key}, lambda _: None),
        plan("PutItem", {"TableName": table, "Item": key}, lambda _: frozenset(key)),
        plan(
            "BatchWriteItem",
            {"RequestItems": {table: [{"DeleteRequest": {"Key": key}}] * 2}},
            lambda _: None,
        ),
    ):
        assert isinstance(made, Write)
        if made.tags == (table_tag(table_name(table)),):  # DynamoDB will refuse it
            continue
        assert [*made.tags] == made_by_hand(table_name(table), key)
        assert made.digests == tuple(digest("tag", *tag) for tag in made.tags)


# --- several items -----------------------------------------------------------------


def _put(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"PutRequest": {"Item": item}}


def _delete(key: Mapping[str, Any]) -> dict[str, Any]:
    return {"DeleteRequest": {"Key": key}}


def test_a_batch_evicts_the_items_of_each_table() -> None:
    made = write(
        "BatchWriteItem",
        knowing(t="pk sk", u="id", w="id", x="id"),
        RequestItems={
            "t": [_put(ITEM), _delete({"pk": B, "sk": ONE})],
            "u": [_put({"id": A}), _put({"id": B})],
            "v": [_put({"id": A})],
            "w": [_delete({"other": A})],
            "x": [_put({"other": A})],
        },
    )
    assert set(made.tags) == {
        *tags_of_item("t", **KEY),
        *tags_of_item("t", pk=B, sk=ONE),
        *tags_of_item("u", id=A),
        *tags_of_item("u", id=B),
        table_tag("v"),
        table_tag("w"),
        *tags_of_item("w", other=A),
        table_tag("x"),
    }
    assert len(made.tags) == len(set(made.tags))
    assert made.assumed == ("t", "u")
    assert made.named == (
        ("t", frozenset({"pk", "sk"})),
        ("w", frozenset({"other"})),
    )


def test_a_transaction_evicts_the_items_that_it_writes_and_no_others() -> None:
    made = write(
        "TransactWriteItems",
        knowing(t="pk sk"),
        TransactItems=[
            {"ConditionCheck": {"TableName": "c", "Key": {"id": A}}},
            {"Put": {"TableName": "t", "Item": ITEM}},
            {"Put": {"TableName": "new", "Item": ITEM}},
            {"Update": {"TableName": "u", "Key": {"id": A}}},
            {"Delete": {"TableName": "d", "Key": {"id": B}}},
        ],
    )
    assert set(made.tags) == {
        *tags_of_item("t", **KEY),
        table_tag("new"),
        *tags_of_item("u", id=A),
        *tags_of_item("d", id=B),
    }
    assert made.assumed == ("t",)
    assert made.named == (("u", frozenset({"id"})), ("d", frozenset({"id"})))


def test_several_writes_to_a_table_name_its_key_attributes_once() -> None:
    made = write(
        "BatchWriteItem", RequestItems={"t": [_delete({"id": A}), _delete({"id": B})]}
    )
    assert made.named == (("t", frozenset({"id"})),)


def test_one_write_that_cannot_be_understood_makes_all_coarse() -> None:
    made = write(
        "TransactWriteItems",
        TransactItems=[
            {"Update": {"TableName": "t", "Key": KEY}},
            {"Update": {"TableName": "u"}},
        ],
    )
    assert set(made.tags) == {table_tag("t"), table_tag("u")}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("BatchWriteItem", {"RequestItems": {}}),
        ("BatchWriteItem", {"RequestItems": {"t": []}}),
        ("TransactWriteItems", {"TransactItems": []}),
        (
            "TransactWriteItems",
            {"TransactItems": [{"ConditionCheck": {"TableName": "t", "Key": KEY}}]},
        ),
        ("BatchExecuteStatement", {"Statements": []}),
        ("ExecuteTransaction", {"TransactStatements": []}),
    ],
)
def test_what_writes_nothing_evicts_nothing(operation: str, body: Body) -> None:
    assert plan(operation, body, KNOWN) == Bypass()


# --- ARNs as names of tables -------------------------------------------------------


@pytest.mark.parametrize("operation", ROWS)
def test_a_table_named_by_its_arn_is_the_same_table(operation: str) -> None:
    body = ROWS[operation].body
    by_arn: dict[str, Any] = json.loads(
        json.dumps(body).replace('"t"', f'"{ARN}"').replace(" t ", f' \\"{ARN}\\" ')
    )
    one = plan(operation, body, KNOWN)
    other = plan(operation, by_arn, lambda table: KNOWN(table_name(table)))
    match one, other:
        case Read(), Read():
            assert (other.table, other.tags) == (one.table, one.tags)
            assert other.table_parameter == ARN
        case BatchRead(), BatchRead():
            assert [read.tags for read in other.reads[ARN]] == [
                read.tags for read in one.reads["t"]
            ]
        case Write(), Write():
            # Only an ARN names the account, so plans keep the request's own name.
            assert by_name(other) == by_name(one)
            if one.item is not None and other.item is not None:
                assert read_of(other.item).tags == read_of(one.item).tags
            assert (other.item is None) is (one.item is None)
        case Describe(), Describe():
            assert (one.table, other.table) == ("t", ARN)
        case _:
            assert other == one


def by_name(made: Write) -> Write:
    """Return a plan, without its item, as if its request had names and no ARN."""
    return made._replace(
        item=None,
        named=tuple((table_name(table), keys) for table, keys in made.named),
        assumed=tuple(map(table_name, made.assumed)),
        described=table_name(made.described),
    )


def test_the_key_attributes_of_a_table_are_asked_for_by_its_arn() -> None:
    asked: list[str] = []

    def keys_of(table: str) -> None:
        asked.append(table)

    for operation in ("PutItem", "UpdateItem", "DeleteItem"):
        plan(
            operation,
            {"TableName": ARN, "Item": {}, "Key": {"pk": {"S": "a"}}},
            keys_of,
        )
    index_query = {
        "TableName": ARN,
        "IndexName": "i",
        "KeyConditionExpression": "a = b",
    }
    plan("Query", index_query, keys_of)
    assert asked == [ARN] * 4


def test_key_attributes_that_are_not_known_for_certain_are_not_used() -> None:
    def ambiguous(_table: str) -> frozenset[str]:
        return frozenset()

    item, key = {"pk": {"S": "a"}, "g": {"S": "b"}}, {"pk": {"S": "a"}}
    put = write("PutItem", ambiguous, TableName="t", Item=item)
    assert (put.tags, put.assumed) == ((table_tag("t"),), ())
    update = write("UpdateItem", ambiguous, TableName="t", Key=key)
    assert table_tag("t") in update.tags
    assert set(update.tags) >= set(item_tags("t", key))
    made = read(
        "Query",
        ambiguous,
        TableName="t",
        IndexName="i",
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "a"}},
    )
    assert not made.rests_on_schema
    assert made.tags[2:] == any_write_tags("t")


# --- PartiQL -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("INSERT INTO t VALUE {'pk': 'a'}", "t"),
        ("INSERT INTO \"t\" VALUE {'pk': 'a'}", "t"),
        ("INSERT INTO\"t\"VALUE {'pk': 'a'}", "t"),
        ("insert\tinto\n t value {'pk': ?}", "t"),
        ("UPDATE t SET a=1 WHERE pk='a'", "t"),
        ("update t set a=1 where pk='a'", "t"),
        ("Update  t  Remove a Where pk='a'", "t"),
        ("UPDATE \"t\" SET a=1 WHERE pk='a'", "t"),
        ("DELETE FROM t WHERE pk='a'", "t"),
        ("delete  from\r\nt where pk='a'", "t"),
        ('DELETE FROM "my-table.v1_x" WHERE pk=?', "my-table.v1_x"),
        ("UPDATE my-table SET a=1 WHERE pk=?", "my-table"),
        ("UPDATE my.table SET a=1 WHERE pk=?", "my.table"),
        ('UPDATE "t"."index" SET a=1 WHERE pk=?', "t"),
        ("  \n\t UPDATE t SET a=1", "t"),
        ("DELETE FROM t", "t"),
        (f'DELETE FROM "{ARN}" WHERE pk=?', "t"),
        (f'UPDATE "{ARN}/index/by_age" SET a=1', "t"),
        ("INSERT INTO select VALUE {}", "select"),
        ("UPDATE t SET a='SELECT' WHERE pk='DELETE FROM u'", "t"),
    ],
)
def test_a_statement_that_writes_evicts_its_table(statement: str, table: str) -> None:
    made = write("ExecuteStatement", KNOWN, Statement=statement)
    assert made == Write((table_tag(table),), why=made.why)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM t",
        "select * from t where pk = 'UPDATE'",
        '\n Select a FROM "t"."index" WHERE pk=?',
        "EXISTS(SELECT * FROM t WHERE pk='a')",
        "exists (select * from t)",
        'SELECT"a" FROM t',
    ],
)
def test_a_statement_that_reads_passes(statement: str) -> None:
    assert planned("ExecuteStatement", Statement=statement) == Bypass()


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "   ",
        "UPDATE",
        "INSERT INTO",
        "DELETE t WHERE pk='a'",
        "INSERT t VALUE {}",
        "UPDATEt SET a=1",
        "SELECTED FROM t",
        "UPSERT INTO t VALUE {}",
        "REPLACE INTO t VALUE {}",
        "CREATE TABLE t",
        "DROP TABLE t",
        "MERGE INTO t",
        "EXEC something",
        "(SELECT * FROM t)",
        "-- a comment\nUPDATE t SET a=1",
        "-- UPDATE u\nUPDATE t SET a=1",
        "/* SELECT */ UPDATE t SET a=1",
        "UPDATE /* u */ t SET a=1",
        "UPDATE -- u\n t SET a=1",
        "UPDATE--u\nt SET a=1",
        "UPDATE t--u\nSET a=1",
        "DELETE/**/FROM t",
        "DELETE FROM/**/t",
        "INSERT -- x\n INTO t VALUE {}",
        "UPDATE 't' SET a=1",
        "UPDATE `t` SET a=1",
        "UPDATE ? SET a=1",
        "UPDATE arn:aws:dynamodb:eu-west-1:1:table/t SET a=1",
        'UPDATE "t SET a=1',
        'UPDATE "" SET a=1',
    ],
    ids=ascii,
)
def test_a_statement_that_is_not_understood_evicts_everything(statement: str) -> None:
    made = write("ExecuteStatement", KNOWN, Statement=statement)
    assert made == Write((EVERYTHING,), why=made.why)


STATEMENTS = {
    "BatchExecuteStatement": "Statements",
    "ExecuteTransaction": "TransactStatements",
}


@pytest.mark.parametrize(("operation", "parameter"), STATEMENTS.items())
@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["SELECT * FROM t"], Bypass()),
        (["SELECT * FROM t", "EXISTS(SELECT * FROM u)"], Bypass()),
        (
            ["SELECT * FROM t", "DELETE FROM u", "UPDATE v SET a=1", "delete from u"],
            Write((table_tag("u"), table_tag("v"))),
        ),
        (["DELETE FROM t", "-- ?"], Write((EVERYTHING,))),
        (["SELECT * FROM t", "DROP t"], Write((EVERYTHING,))),
    ],
)
def test_several_statements_evict_what_each_of_them_writes(
    operation: str, parameter: str, statements: list[str], expected: CallPlan
) -> None:
    body = {parameter: [{"Statement": statement} for statement in statements]}
    made = plan(operation, body, KNOWN)
    assert (made._replace(why="") if isinstance(made, Write) else made) == expected


# --- whole tables ------------------------------------------------------------------

WHOLE_TABLES = [
    "CreateGlobalTable",
    "CreateTable",
    "DeleteResourcePolicy",
    "DeleteTable",
    "ImportTable",
    "PutResourcePolicy",
    "RestoreTableFromBackup",
    "RestoreTableToPointInTime",
    "StartBulkPutItems",
    "UpdateGlobalTable",
    "UpdateGlobalTableSettings",
    "UpdateTable",
]


@pytest.mark.parametrize("operation", WHOLE_TABLES)
def test_what_changes_a_table_evicts_all_of_it(operation: str) -> None:
    made = write(operation, KNOWN, **ROWS[operation].body)
    assert made.tags == (table_tag("t"),)
    assert (made.named, made.assumed) == ((), ())


@pytest.mark.parametrize(
    "operation",
    ["CreateTable", "UpdateTable", "RestoreTableFromBackup", "ImportTable"],
)
def test_the_answer_to_what_makes_a_table_may_describe_it(operation: str) -> None:
    assert write(operation, **ROWS[operation].body).described == "t"


@pytest.mark.parametrize("name", ["t", ARN])
def test_a_description_is_of_the_table_that_it_names(name: str) -> None:
    assert planned("DescribeTable", TableName=name) == Describe(name)


# --- operations without a rule -----------------------------------------------------


@pytest.mark.parametrize(
    ("body", "tables"),
    [
        ({"TableName": "t"}, ["t"]),
        ({"TableArn": ARN}, ["t"]),
        ({"ResourceArn": ARN}, ["t"]),
        ({"GlobalTableName": "t"}, ["t"]),
        ({"SourceTableName": "t", "TargetTableName": "u"}, ["t", "u"]),
        ({"GlobalTableSourceArn": ARN, "TableName": "u"}, ["u"]),
        ({"RequestItems": {"t": [], ARN: [], "u": {"Keys": []}}}, ["t", "u"]),
        ({"Items": [{"Put": {"TableName": "t"}}, {"TableName": "u"}]}, ["t", "u"]),
        (
            {"Parameters": {"TableName": "t", "Deep": [[{"TableName": "u"}]]}},
            ["t", "u"],
        ),
        ({"TableName": "t", "RequestItems": [{"TableName": "u"}]}, ["t", "u"]),
    ],
)
def test_an_unknown_operation_evicts_the_tables_that_it_names(
    body: Body, tables: list[str]
) -> None:
    made = plan("BrandNewOperation", body, KNOWN)
    assert isinstance(made, Write)
    assert set(made.tags) == set(map(table_tag, tables))
    assert len(made.tags) == len(tables)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"BackupName": "t", "Limit": 5, "Tables": ["t"]},
        {"TableName": None},
        {"TableNames": "t"},
        {"RequestItems": []},
    ],
)
def test_an_unknown_operation_that_names_no_table_passes(body: Body) -> None:
    assert plan("BrandNewOperation", body, KNOWN) == Bypass()


# --- GetItem -----------------------------------------------------------------------


def test_a_get_depends_on_its_table_and_its_item() -> None:
    made = read("GetItem", KNOWN, TableName="t", Key=KEY)
    assert made.tags == (EVERYTHING, table_tag("t"), item_tag("t", KEY))
    assert (made.table, made.table_parameter) == ("t", "t")
    assert made.named == frozenset({"pk", "sk"})
    assert (made.names_all, made.is_on_index) == (True, False)


def test_a_put_and_an_update_evict_the_get_of_their_item_alone() -> None:
    for operation, body in (("PutItem", {"Item": ITEM}), ("UpdateItem", {"Key": KEY})):
        evicted = set(write(operation, KNOWN, TableName="t", **body).tags)
        same = read("GetItem", TableName=ARN, Key={"sk": {"N": "1.0"}, "pk": A})
        other = read("GetItem", TableName="t", Key={"pk": A, "sk": {"N": "2"}})
        assert not evicted.isdisjoint(same.tags)
        assert evicted.isdisjoint(other.tags)


# --- Query -------------------------------------------------------------------------


def _query(
    condition: str, keys_of: KeysOf = NOTHING, *, index: str = "", **more: Any
) -> Read:
    on_index = {"IndexName": index} if index else {}
    return read(
        "Query",
        keys_of,
        TableName="t",
        KeyConditionExpression=condition,
        ExpressionAttributeValues={":a": A, ":b": B, ":1": ONE},
        **on_index,
        **more,
    )


PK = partition_tag("t", "pk", A)
WRITES_TAG = writes_tag("t")
ANY_WRITE = (WRITES_TAG, precise_writes_tag("t"))

BASE_QUERIES = [
    ("pk = :a", {"pk"}),
    ("pk = :a AND sk > :1", {"pk", "sk"}),
    ("sk < :1 AND pk = :a", {"pk", "sk"}),
    ("pk = :a AND sk BETWEEN :1 AND :1", {"pk", "sk"}),
    ("begins_with(sk, :b) AND pk = :a", {"pk", "sk"}),
]


@pytest.mark.parametrize(("condition", "named"), BASE_QUERIES)
@pytest.mark.parametrize("keys_of", [NOTHING, KNOWN, knowing(t="id")])
def test_a_query_of_a_table_depends_on_the_partition_that_it_reads(
    condition: str, named: set[str], keys_of: KeysOf
) -> None:
    made = _query(condition, keys_of)
    assert made.tags == (EVERYTHING, table_tag("t"), PK)
    assert made.named == named
    assert (made.names_all, made.is_on_index) == (False, False)


@pytest.mark.parametrize("condition", ["pk = :a AND sk = :1", "sk = :1 AND (pk = :a)"])
def test_a_query_of_a_table_by_both_key_attributes_depends_on_one_item(
    condition: str,
) -> None:
    made = _query(condition)
    assert made.tags == (EVERYTHING, table_tag("t"), item_tag("t", KEY))
    assert made.named == {"pk", "sk"}
    tags = set(made.tags)
    assert not tags.isdisjoint(tags_of_item("t", **KEY))
    assert tags.isdisjoint(tags_of_item("t", pk=A, sk={"N": "2"}))
    assert tags.isdisjoint(tags_of_item("t", pk=B, sk=ONE))


@pytest.mark.parametrize(
    "condition",
    ["pk > :a", "pk = :a OR pk = :b", "pk = :a AND", "pk = :unknown", "", "pk IN (:a)"],
)
def test_a_query_that_cannot_be_read_depends_on_every_write_to_the_table(
    condition: str,
) -> None:
    made = _query(condition, KNOWN)
    assert made.tags == (EVERYTHING, table_tag("t"), *ANY_WRITE)


def _legacy(**conditions: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: {"ComparisonOperator": operator, "AttributeValueList": [value]}
        for name, (operator, value) in conditions.items()
    }


@pytest.mark.parametrize(
    ("conditions", "narrow", "named"),
    [
        (_legacy(pk=("EQ", A)), (PK,), {"pk"}),
        (_legacy(pk=("EQ", A), sk=("GT", ONE)), (PK,), {"pk", "sk"}),
        (_legacy(pk=("GT", A)), ANY_WRITE, {"pk"}),
        ({}, ANY_WRITE, set()),
    ],
)
def test_legacy_key_conditions_are_read_as_well(
    conditions: dict[str, Any], narrow: tuple[Tag, ...], named: set[str]
) -> None:
    made = read("Query", TableName="t", KeyConditions=conditions)
    assert made.tags == (EVERYTHING, table_tag("t"), *narrow)
    assert made.named == named


def test_a_query_without_any_condition_depends_on_every_write() -> None:
    made = read("Query", KNOWN, TableName="t")
    assert made.tags == (EVERYTHING, table_tag("t"), *ANY_WRITE)


@pytest.mark.parametrize(
    ("condition", "keys_of", "narrow"),
    [
        ("pk = :a", NOTHING, ANY_WRITE),
        ("pk = :a", knowing(u="pk"), ANY_WRITE),
        ("pk = :a", knowing(t="id"), ANY_WRITE),
        ("pk = :a", knowing(t="pk"), (PK,)),
        ("pk = :a AND age > :1", knowing(t="pk sk"), (PK,)),
        ("pk > :a AND age = :1", knowing(t="pk sk"), ANY_WRITE),
        ("age = :1 AND pk = :a", knowing(t="pk sk"), (PK,)),
        ("age = :1 AND sk > :1", knowing(t="pk sk"), ANY_WRITE),
        ("pk = :a OR age = :1", knowing(t="pk sk"), ANY_WRITE),
    ],
)
def test_a_query_of_an_index_depends_on_a_partition_of_the_table_or_on_every_write(
    condition: str, keys_of: KeysOf, narrow: tuple[Tag, ...]
) -> None:
    made = _query(condition, keys_of, index="index")
    assert made.tags == (EVERYTHING, table_tag("t"), *narrow)
    assert (made.names_all, made.is_on_index) == (False, True)


def test_a_query_of_an_index_says_nothing_of_the_key_attributes_of_the_table() -> None:
    assert _query("pk = :a", KNOWN, index="index").named == frozenset()


@pytest.mark.parametrize("condition", [row[0] for row in BASE_QUERIES])
@pytest.mark.parametrize("index", ["", "index"])
@pytest.mark.parametrize("keys_of", [NOTHING, KNOWN])
def test_a_write_into_what_a_query_reads_evicts_it(
    condition: str, index: str, keys_of: KeysOf
) -> None:
    tags = set(_query(condition, keys_of, index=index).tags)
    for operation, body in (("PutItem", {"Item": ITEM}), ("DeleteItem", {"Key": KEY})):
        assert not tags.isdisjoint(
            write(operation, keys_of, TableName="t", **body).tags
        )


@pytest.mark.parametrize("value", [{"BOOL": True}, {"S": 5}, {}, {"L": [A]}])
def test_a_query_by_what_no_key_attribute_can_be_passes(value: dict[str, Any]) -> None:
    made = planned(
        "Query",
        TableName="t",
        KeyConditionExpression="pk = :a",
        ExpressionAttributeValues={":a": value},
    )
    assert made == Bypass()


# --- BatchGetItem ------------------------------------------------------------------


def _keys(*numbers: Any) -> list[dict[str, Any]]:
    return [{"pk": A, "sk": {"N": str(number)}} for number in numbers]


def _batch(**items: Any) -> CallPlan:
    return planned("BatchGetItem", RequestItems=items)


def _reads(made: CallPlan, table: str = "t") -> tuple[Read, ...]:
    assert isinstance(made, BatchRead)
    return made.reads[table]


PROJECTED = {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "a"}}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ConsistentRead": True},
        {"ConsistentRead": False},
        PROJECTED,
        {"AttributesToGet": ["a", "b"]},
    ],
    ids=repr,
)
def test_each_key_of_a_batch_is_read_as_a_get_of_it(options: dict[str, Any]) -> None:
    made = _batch(t={"Keys": _keys(1, 2), **options}, u={"Keys": [{"id": B}]})
    assert _reads(made) == tuple(
        read("GetItem", TableName="t", Key=key, **options) for key in _keys(1, 2)
    )
    assert _reads(made, "u") == (read("GetItem", TableName="u", Key={"id": B}),)


def test_keys_of_a_batch_may_name_their_attributes_in_any_order() -> None:
    one, other = _keys(1, 2)
    other = dict(reversed(other.items()))
    made = _batch(t={"Keys": [one, other]})
    assert _reads(made) == tuple(
        read("GetItem", TableName="t", Key=key) for key in (one, other)
    )


@pytest.mark.parametrize("capacity", ["NONE", "TOTAL", "INDEXES"])
def test_the_capacity_of_a_batch_is_asked_for_once_and_not_by_its_keys(
    capacity: str,
) -> None:
    body = {"RequestItems": {"t": {"Keys": _keys(1)}}}
    made = plan("BatchGetItem", {**body, "ReturnConsumedCapacity": capacity}, NOTHING)
    assert isinstance(made, BatchRead)
    assert made.capacity == capacity
    assert [each.capacity for each in _reads(made)] == ["NONE"]


def test_a_batch_may_have_a_hundred_keys() -> None:
    most = _batch(t={"Keys": _keys(*range(60))}, u={"Keys": _keys(*range(40))})
    assert (len(_reads(most)), len(_reads(most, "u"))) == (60, 40)


REFUSED_BATCHES: dict[str, Any] = {
    "no table": {},
    "no key": {"t": {"Keys": []}},
    "a table without keys beside one with": {
        "t": {"Keys": []},
        "u": {"Keys": _keys(1)},
    },
    "over a hundred": {"t": {"Keys": _keys(*range(101))}},
    "over a hundred in all": {
        "t": {"Keys": _keys(*range(60))},
        "u": {"Keys": _keys(*range(41))},
    },
    "a key twice": {"t": {"Keys": _keys(1, 2, 1)}},
    "a key twice, in another order": {
        "t": {"Keys": [*_keys(1), dict(reversed(KEY.items()))]}
    },
    "a number twice": {"t": {"Keys": _keys("1", "1.0")}},
    "a number twice, with an exponent": {"t": {"Keys": _keys("10", "1e1")}},
    "a key twice, by the table's name and its ARN": {
        "t": {"Keys": _keys(1)},
        ARN: {"Keys": _keys(1)},
    },
    "other keys of one table, by its name and its ARN": {
        "t": {"Keys": _keys(1)},
        ARN: {"Keys": _keys(2)},
    },
    "a part with a parameter of a GetItem": {
        "t": {"Keys": _keys(1), "ReturnConsumedCapacity": "NONE"}
    },
    "a part with a parameter that is not known": {"t": {"Keys": _keys(1), "New": 1}},
    "a consistency that is neither": {"t": {"Keys": _keys(1), "ConsistentRead": None}},
    "a key twice, in binary": {"t": {"Keys": [{"pk": {"B": "AA=="}}] * 2}},
    "keys of other attributes": {"t": {"Keys": [KEY, {"pk": A}]}},
    "a key with one attribute more": {"t": {"Keys": [{"pk": B}, KEY]}},
    "keys of quite other attributes": {"t": {"Keys": [{"pk": A}, {"id": A}]}},
    "a key of none": {"t": {"Keys": [{}, KEY]}},
    "a key that is none": {"t": {"Keys": [{"pk": {"BOOL": True}}]}},
    "keys that are no keys": {"t": {"Keys": ["pk"]}},
    "no keys at all": {"t": {}},
    "keys that are no list": {"t": {"Keys": 5}},
    "both kinds of projections": {
        "t": {"Keys": _keys(1), **PROJECTED, "AttributesToGet": ["a"]}
    },
    "both kinds, in two tables": {
        "t": {"Keys": _keys(1), **PROJECTED},
        "u": {"Keys": _keys(1), "AttributesToGet": ["a"]},
    },
    "a part that is none": {"t": None},
    "a part that is a list": {"t": _keys(1)},
}


@pytest.mark.parametrize("items", REFUSED_BATCHES.values(), ids=list(REFUSED_BATCHES))
def test_a_batch_that_dynamodb_refuses_passes(items: Any) -> None:
    assert planned("BatchGetItem", RequestItems=items) == Bypass()


@pytest.mark.parametrize(
    "more",
    [
        {"RequestItems": None},
        {"RequestItems": []},
        {"RequestItems": "t"},
        {"ReturnConsumedCapacity": "ALL"},
        {"ReturnConsumedCapacity": None},
        {"TableName": "t"},
        {"New": True},
    ],
    ids=repr,
)
def test_a_batch_of_which_not_all_is_understood_passes(more: dict[str, Any]) -> None:
    body = {"RequestItems": {"t": {"Keys": _keys(1)}}}
    assert isinstance(plan("BatchGetItem", body, NOTHING), BatchRead)
    assert plan("BatchGetItem", {**body, **more}, NOTHING) == Bypass()


def test_a_batch_without_anything_passes() -> None:
    assert planned("BatchGetItem") == Bypass()


def test_a_batch_may_hold_keys_that_look_alike() -> None:
    alike = [{"pk": {"S": "1"}}, {"pk": {"N": "1"}}, {"pk": {"B": "AQ=="}}]
    assert len(_reads(_batch(t={"Keys": alike}))) == 3
    assert len(_reads(_batch(t={"Keys": _keys(1, 10, "0.1", -1)}))) == 4


# --- Scan --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"IndexName": "index"},
        {"Segment": 0, "TotalSegments": 2},
        {"Limit": 5, "ExclusiveStartKey": KEY},
        {"FilterExpression": "pk = :a", "ExpressionAttributeValues": {":a": A}},
    ],
    ids=repr,
)
@pytest.mark.parametrize("keys_of", [NOTHING, KNOWN])
def test_a_scan_depends_on_every_write_to_its_table(
    keys_of: KeysOf, more: dict[str, Any]
) -> None:
    made = read("Scan", keys_of, TableName="t", **more)
    assert made.tags == (EVERYTHING, table_tag("t"), *ANY_WRITE)
    assert (made.kind, made.named, made.precise_tags) == (Kind.SCAN, frozenset(), ())
    for name, value in more.items():
        rest = {key: kept for key, kept in more.items() if key != name}
        other = read("Scan", keys_of, TableName="t", **rest)
        assert made.question != other.question, f"{name}={value} tells them apart"


# --- index queries by images -------------------------------------------------------

AGE = partition_tag("t", "age", ONE)


@pytest.mark.parametrize(
    ("condition", "keys_of", "precise_tags"),
    [
        # An attribute that is tied to one value: all items here have it.
        ("age = :1", NOTHING, (WRITES_TAG, AGE)),
        ("age = :1", KNOWN, (WRITES_TAG, AGE)),
        ("age = :1 AND name > :a", KNOWN, (WRITES_TAG, AGE)),
        ("name = :a AND age = :1", KNOWN, (WRITES_TAG, AGE)),  # either will do
        ("pk = :a", NOTHING, (WRITES_TAG, PK)),
        # One of the table's own key attributes: a write says it anyway.
        ("pk = :a", KNOWN, ()),
        ("age = :1 AND pk = :a", KNOWN, ()),
        # None, or not for certain.
        ("age > :1", KNOWN, ()),
        ("age = :1 OR age = :1", KNOWN, ()),
        ("age = :unknown", KNOWN, ()),
    ],
)
def test_an_index_query_with_one_key_value_has_precise_tags(
    condition: str, keys_of: KeysOf, precise_tags: tuple[Tag, ...]
) -> None:
    made = _query(condition, keys_of, index="index")
    assert made.precise_tags == precise_tags
    assert made.kind is Kind.INDEX_QUERY
    assert made.broad_tags == (EVERYTHING, table_tag("t"))
    if precise_tags:
        assert made.tags == (*made.broad_tags, *ANY_WRITE)


def test_a_query_of_a_table_has_no_precise_tags() -> None:
    made = _query("pk = :a")
    assert made.precise_tags == ()
    assert made.depends_on(CachingMode.COHERENT, True) == made.tags


def test_the_tags_of_an_index_query_follow_its_mode_and_precise_eviction() -> None:
    made = _query("age = :1", index="index")
    everything = (EVERYTHING, table_tag("t"))
    assert made.depends_on(CachingMode.COHERENT, False) == (*everything, *ANY_WRITE)
    assert made.depends_on(CachingMode.COHERENT, True) == (*everything, WRITES_TAG, AGE)
    assert made.depends_on(CachingMode.TTL_ONLY, False) == everything
    assert made.depends_on(CachingMode.TTL_ONLY, True) == everything


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem"])
@pytest.mark.parametrize("keys_of", [NOTHING, KNOWN])
def test_every_write_of_an_item_evicts_a_precise_tag(
    operation: str, keys_of: KeysOf
) -> None:
    query = _query("age = :1", keys_of, index="index")
    made = write(operation, keys_of, **ROWS[operation].body)
    depends_on = query.depends_on(CachingMode.COHERENT, True)
    assert not {*made.tags}.isdisjoint(depends_on)


@pytest.mark.parametrize(
    ("operation", "keys_of", "item"),
    [
        ("PutItem", KNOWN, item_tag("t", KEY)),
        ("PutItem", NOTHING, None),
        ("UpdateItem", KNOWN, item_tag("t", KEY)),
        ("UpdateItem", NOTHING, item_tag("t", KEY)),
        ("UpdateItem", knowing(t="id"), item_tag("t", KEY)),
        ("DeleteItem", KNOWN, item_tag("t", KEY)),
        ("BatchWriteItem", KNOWN, None),
        ("TransactWriteItems", KNOWN, None),
        ("ExecuteStatement", KNOWN, None),
    ],
)
def test_a_write_of_one_item_names_the_read_of_that_item(
    operation: str, keys_of: KeysOf, item: Tag | None
) -> None:
    made = write(operation, keys_of, **ROWS[operation].body)
    if item is None:
        assert made.item is None
    else:
        assert made.item is not None
        assert read_of(made.item) == read("GetItem", TableName="t", Key=KEY)
        assert read_of(made.item).tags[-1] == item


# --- what distinguishes two reads --------------------------------------------------


def _get(**more: Any) -> Read:
    return read("GetItem", TableName="t", Key=KEY, **more)


@pytest.mark.parametrize("capacity", ["NONE", "TOTAL", "INDEXES"])
def test_the_capacity_is_not_part_of_the_question(
    capacity: str,
) -> None:
    made = _get(ReturnConsumedCapacity=capacity)
    assert made.question == _get().question
    assert made.capacity == capacity


def test_the_default_capacity_is_none() -> None:
    assert _get().capacity == "NONE"


@pytest.mark.parametrize("capacity", ["total", "", "ALL", None, 1, [], {}])
@pytest.mark.parametrize("operation", ["GetItem", "Query"])
def test_a_capacity_that_dynamodb_refuses_passes(operation: str, capacity: Any) -> None:
    body = {**ROWS[operation].body, "ReturnConsumedCapacity": capacity}
    assert plan(operation, body, KNOWN) == Bypass()


def test_consistency_is_a_field_of_the_read_and_not_part_of_its_question() -> None:
    strong, weak = _get(ConsistentRead=True), _get(ConsistentRead=False)
    assert strong.question == weak.question == _get().question
    assert [strong.is_consistent, weak.is_consistent, _get().is_consistent] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"ProjectionExpression": "pk"},
        {"AttributesToGet": ["pk"]},
        {"Limit": 1},
        {"ExpressionAttributeNames": {}},
        {"New": None},
        {"TableName": ARN},
        {"Key": {"pk": A, "sk": {"N": "2"}}},
        {"Key": {"pk": A, "sk": {"S": "1"}}},
        {"Key": {"pk": A, "SK": ONE}},
        {"Key": {"pk": A}},
    ],
)
def test_every_other_parameter_makes_another_question(more: dict[str, Any]) -> None:
    body = {"TableName": "t", "Key": KEY, **more}
    assert read("GetItem", **body).question != _get().question


@pytest.mark.parametrize("number", ["1.0", "01", "1e0", "1E+0", "0.1E1"])
def test_spellings_of_one_key_share_a_question(number: str) -> None:
    key = {"sk": {"N": number}, "pk": A}
    assert read("GetItem", TableName="t", Key=key).question == _get().question


@pytest.mark.parametrize("index", ["", "index"])
def test_forwards_is_the_default_direction_of_a_query(index: str) -> None:
    directions: list[dict[str, Any]] = [
        {},
        {"ScanIndexForward": True},
        {"ScanIndexForward": False},
    ]
    questions = [
        _query("pk = :a", index=index, **direction).question for direction in directions
    ]
    assert questions[0] == questions[1] != questions[2]


@pytest.mark.parametrize("value", [1, "true", None])
def test_an_invalid_direction_makes_another_question(value: Any) -> None:
    made = _query("pk = :a", ScanIndexForward=value)
    assert made.question != _query("pk = :a").question


def test_the_order_of_parameters_makes_no_other_question() -> None:
    turned = read("GetItem", Key=dict(reversed(KEY.items())), TableName="t")
    assert turned.question == _get().question


def test_placeholders_are_not_part_of_the_question() -> None:
    one = _get(ProjectionExpression="#a", ExpressionAttributeNames={"#a": "x"})
    other = _get(ProjectionExpression="x")
    assert one.question == other.question


# --- what answers tell -------------------------------------------------------------


def _schema_of(*names: str) -> list[dict[str, str]]:
    kinds = ("HASH", "RANGE")
    return [
        {"AttributeName": name, "KeyType": kind}
        for name, kind in zip(names, kinds, strict=False)
    ]


@pytest.mark.parametrize("parameter", ["Table", "TableDescription"])
@pytest.mark.parametrize("names", [("pk",), ("pk", "sk")])
def test_an_answer_that_describes_a_table_names_its_key_attributes(
    parameter: str, names: tuple[str, ...]
) -> None:
    table = {"TableName": "t", "KeySchema": _schema_of(*names)}
    assert described_keys({parameter: table}) == ("t", frozenset(names))


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Table": {}},
        {"Table": {"TableName": "t"}},
        {"Table": {"TableName": "t", "KeySchema": []}},
        {"Table": {"KeySchema": _schema_of("pk")}},
        {"TableDescription": {"TableName": "t", "TableStatus": "DELETING"}},
        {"ImportTableDescription": {"TableArn": ARN}},
    ],
)
def test_an_answer_that_describes_no_table_names_nothing(answer: Answer) -> None:
    assert described_keys(answer) is None


@pytest.mark.parametrize(
    ("made", "answer", "expected"),
    [
        (_query("pk = :a"), {"LastEvaluatedKey": KEY}, frozenset({"pk", "sk"})),
        (_query("pk = :a"), {"LastEvaluatedKey": {"pk": A}}, frozenset({"pk"})),
        (_query("pk = :a"), {"Items": []}, None),
        (_query("pk = :a"), {"LastEvaluatedKey": {}}, None),
        (_query("pk = :a", index="i"), {"LastEvaluatedKey": KEY}, None),
        (_get(), {"Item": ITEM}, None),
    ],
)
def test_the_last_key_of_a_page_of_a_table_names_its_key_attributes(
    made: Read, answer: Answer, expected: KeyAttributes | None
) -> None:
    assert last_key_attributes(made, answer) == expected


# --- requests that are not understood ----------------------------------------------

JUNK: list[Any] = [None, 5, 1.5, True, "x", ["x"], [5], {"x": 5}, {"x": "y"}]


def _broken(value: Any) -> Iterator[Any]:
    """Yield the value with one part of it, at any depth, replaced or left out."""
    yield from JUNK
    match value:
        case dict():
            for name, part in value.items():
                rest = {key: kept for key, kept in value.items() if key != name}
                if rest:
                    yield rest
                for broken in _broken(part):
                    yield {**value, name: broken}
        case list():
            for at, part in enumerate(value):
                for broken in _broken(part):
                    yield [*value[:at], broken, *value[at + 1 :]]


@pytest.mark.parametrize("keys_of", [NOTHING, KNOWN], ids=["nothing known", "known"])
@pytest.mark.parametrize("operation", WRITES)
def test_a_write_that_cannot_be_understood_evicts_all_the_same(
    operation: str, keys_of: KeysOf
) -> None:
    for name, value in ROWS[operation].body.items():
        for broken in _broken(value):
            body = {**ROWS[operation].body, name: broken}
            made = plan(operation, body, keys_of)
            assert isinstance(made, Write), body
            assert made.tags, body


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("body", [{}, None, [], 5, "x", [{"TableName": 5}]], ids=repr)
def test_a_write_that_names_nothing_evicts_everything(
    operation: str, body: Any
) -> None:
    made = plan(operation, body, KNOWN)
    assert isinstance(made, Write)
    assert made == Write((EVERYTHING,), why=made.why)


@pytest.mark.parametrize(
    "body",
    [
        {},
        None,
        {"TableName": "t"},
        {"TableName": None, "Key": KEY},
        {"TableName": "t", "Key": {"pk": {"BOOL": True}}},
        {"TableName": "t", "Key": {"pk": "a"}},
        {"TableName": "t", "Key": ["pk"]},
        {"TableName": "t", "Key": KEY, "ProjectionExpression": 5},
        {"TableName": "t", "Key": KEY, "ProjectionExpression": ["a"]},
        {"TableName": "t", "Key": {"pk": {"S": "\ud800"}}},
    ],
    ids=repr,
)
def test_a_get_that_cannot_be_understood_passes(body: Any) -> None:
    assert plan("GetItem", body, KNOWN) == Bypass()


def test_what_cannot_be_known_of_a_table_is_not_known() -> None:
    def broken(table: str) -> KeyAttributes | None:
        raise LookupError(table)

    made = plan("PutItem", {"TableName": "t", "Item": ITEM}, broken)
    assert isinstance(made, Write)
    assert made == Write((table_tag("t"),), why=made.why)


DEEP: list[Any] = []
for _ in range(50_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "operation", ["PutItem", "BatchWriteItem", "ExecuteStatement", "CreateTable"]
)
def test_a_write_of_any_depth_evicts_everything(operation: str) -> None:
    made = plan(operation, {"TableName": DEEP}, KNOWN)
    assert isinstance(made, Write)
    assert made == Write((EVERYTHING,), why=made.why)


def test_an_unknown_operation_of_any_depth_evicts_what_it_names_at_least() -> None:
    made = write("BrandNewOperation", Deep=DEEP, TableName="t")
    assert not {EVERYTHING, table_tag("t")}.isdisjoint(made.tags)


@pytest.mark.parametrize("operation", ["GetItem", "Query"])
def test_a_read_of_any_depth_passes(operation: str) -> None:
    assert plan(operation, {**ROWS[operation].body, "Limit": DEEP}, KNOWN) == Bypass()


_PARAMETERS = [
    "TableName",
    "Key",
    "Item",
    "RequestItems",
    "PutRequest",
    "DeleteRequest",
    "TransactItems",
    "Put",
    "Update",
    "ConditionCheck",
    "Statement",
    "Statements",
    "TransactStatements",
    "KeyConditionExpression",
    "KeyConditions",
    "ProjectionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "IndexName",
    "ConsistentRead",
    "ReturnConsumedCapacity",
    "TableCreationParameters",
    "GlobalTableName",
    "ResourceArn",
    "S",
    "N",
    "B",
    "pk",
    ":a",
]
_names = st.sampled_from(_PARAMETERS) | st.text(max_size=2)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | st.sampled_from(["t", ARN, "pk = :a", "DELETE FROM t", "SELECT 1", "TOTAL"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4)
    ),
    max_leaves=10,
)
_operations = st.sampled_from([*ROWS, "BrandNewOperation"])
_known = st.sampled_from([NOTHING, KNOWN, knowing(t="pk"), knowing(t="")])


@given(_operations | st.text(max_size=3), _json, _known)
def test_any_request_has_a_plan(operation: str, body: Any, keys_of: KeysOf) -> None:
    made = plan(operation, body, keys_of)
    assert isinstance(made, (Read, BatchRead, Write, Describe, Bypass))
    if isinstance(made, Write):
        assert may_write(operation)
        assert made.tags


def _in_batch(body: Any) -> list[Any]:
    return [
        kind
        for requests in body["RequestItems"].values()
        for request in requests
        for kind in request
    ]


def _in_transaction(body: Any) -> list[Any]:
    return [
        kind
        for part in body["TransactItems"]
        for kind in part
        if kind != "ConditionCheck"
    ]


def _in_statements(entries: Any) -> list[Any]:
    statements = [entry["Statement"].strip().upper() for entry in entries]
    return [text for text in statements if not text.startswith(("SELECT", "EXISTS"))]


MAY_BE_EMPTY: Mapping[str, Callable[[Any], list[Any]]] = {
    "BatchWriteItem": _in_batch,
    "TransactWriteItems": _in_transaction,
    "ExecuteStatement": lambda body: _in_statements([body]),
    "BatchExecuteStatement": lambda body: _in_statements(body["Statements"]),
    "ExecuteTransaction": lambda body: _in_statements(body["TransactStatements"]),
}


@given(
    st.sampled_from(WRITES),
    _json | st.dictionaries(_names, _json, max_size=4),
    _known,
)
def test_no_write_passes_without_an_eviction_unless_nothing_is_written(
    operation: str, body: Any, keys_of: KeysOf
) -> None:
    made = plan(operation, body, keys_of)
    if isinstance(made, Bypass):
        assert MAY_BE_EMPTY[operation](body) == []
    else:
        assert isinstance(made, Write)


_questions = st.dictionaries(
    st.sampled_from(["Limit", "AttributesToGet", "Select"]), _json, max_size=3
)


@given(_questions, _questions)
def test_two_requests_ask_the_same_exactly_when_they_are_equal(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    ask_the_same = _get(**a).question == _get(**b).question
    if _text(a) == _text(b):
        assert ask_the_same
    if ask_the_same:
        assert _text(_without_nulls(a)) == _text(_without_nulls(b))


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True)  # 1 and True are equal, their texts are not


def _without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    """Return a request as its server reads it. botocore sends no nulls."""
    return {name: value for name, value in body.items() if value is not None}
