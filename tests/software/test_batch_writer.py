"""boto3's batch_writer, and the reads around it that had been cached before.

What it buffers is not written yet; what it sent is read from DynamoDB afterwards.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from tests.software.threads import THREADS, at_once
from tests.support.dynamodb import DynamoDB

FLUSHES_AT = 25


@pytest.fixture
def name(dynamodb: DynamoDB, outside: Any, resource: Any) -> str:
    """The name of a table with items 0 to 29 of a and b, each with n=0."""
    name = dynamodb.create_table("pk:S", "sk:N", client=outside)
    with resource.Table(name).batch_writer() as batch:
        for pk in "ab":
            for sk in range(30):
                batch.put_item(Item={"pk": pk, "sk": sk, "n": 0})
    return name


@pytest.fixture
def table(resource: Any, name: str) -> Any:
    """The table."""
    return resource.Table(name)


def read(table: Any, pk: str) -> dict[int, int]:
    """Return n by sk, from GetItem; the partition's Query must agree."""
    queried = table.query(KeyConditionExpression=Key("pk").eq(pk))["Items"]
    answers = [table.get_item(Key={"pk": pk, "sk": sk}) for sk in range(35)]
    items = [answer["Item"] for answer in answers if "Item" in answer]
    assert queried == items
    return {int(item["sk"]): int(item["n"]) for item in items}


def really(outside: Any, name: str, pk: str) -> dict[int, int]:
    """Return the same as DynamoDB has it."""
    answer = outside.query(
        TableName=name,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
    )
    return {int(item["sk"]["N"]): int(item["n"]["N"]) for item in answer["Items"]}


def test_a_cached_item_is_read_again_after_a_batch_wrote_it(
    table: Any, name: str, outside: Any
) -> None:
    assert read(table, "a") == dict.fromkeys(range(30), 0)
    with table.batch_writer() as batch:
        for sk in range(10, 35):
            batch.put_item(Item={"pk": "a", "sk": sk, "n": sk})
        for sk in range(5):
            batch.delete_item(Key={"pk": "a", "sk": sk})
    seen = read(table, "a")
    assert seen == {**dict.fromkeys(range(5, 10), 0), **{n: n for n in range(10, 35)}}
    assert seen == really(outside, name, "a")


def test_an_item_that_a_batch_did_not_write_stays_cached(
    table: Any, dynamodb: DynamoDB
) -> None:
    before = read(table, "a"), read(table, "b")
    with table.batch_writer() as batch:
        for sk in range(30):
            batch.put_item(Item={"pk": "a", "sk": sk, "n": 1})
    with dynamodb.counting() as reached:
        assert read(table, "b") == before[1]
    assert reached == {}
    assert read(table, "a") == dict.fromkeys(range(30), 1)


def test_a_flushed_write_is_seen_and_a_buffered_one_is_not(
    table: Any, dynamodb: DynamoDB
) -> None:
    key = {"pk": "a", "sk": 0}
    assert table.get_item(Key=key)["Item"]["n"] == 0
    with dynamodb.counting() as reached, table.batch_writer() as batch:
        for sk in range(FLUSHES_AT - 1):
            batch.put_item(Item={"pk": "a", "sk": sk, "n": 1})
            assert table.get_item(Key=key)["Item"]["n"] == 0
        batch.put_item(Item={"pk": "a", "sk": FLUSHES_AT, "n": 1})
        assert table.get_item(Key=key)["Item"]["n"] == 1
        batch.delete_item(Key=key)
        assert table.get_item(Key=key)["Item"]["n"] == 1
    assert "Item" not in table.get_item(Key=key)
    assert reached["BatchWriteItem"] == 2
    assert reached["GetItem"] <= 1


def test_the_last_of_several_writes_to_one_key_is_seen(
    table: Any, name: str, outside: Any
) -> None:
    read(table, "a")
    with table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
        for n in range(1, 60):
            batch.put_item(Item={"pk": "a", "sk": n % 4, "n": n})
        batch.delete_item(Key={"pk": "a", "sk": 0})
        batch.put_item(Item={"pk": "a", "sk": 1, "n": 100})
        batch.put_item(Item={"pk": "a", "sk": 2, "n": 101})
        batch.delete_item(Key={"pk": "a", "sk": 2})
    seen = read(table, "a")
    assert seen == {1: 100, 3: 59, **dict.fromkeys(range(4, 30), 0)}
    assert seen == really(outside, name, "a")


def test_reads_after_a_refused_batch_see_the_table(
    table: Any, name: str, outside: Any
) -> None:
    read(table, "a")

    def write_an_item_without_its_key() -> None:
        with table.batch_writer() as batch:
            batch.put_item(Item={"pk": "a", "sk": 0, "n": 1})
            batch.put_item(Item={"pk": "a"})

    with pytest.raises(ClientError, match="ValidationException"):
        write_an_item_without_its_key()
    for _ in range(2):
        assert read(table, "a") == really(outside, name, "a")


def test_flushed_writes_are_seen_after_an_exception_inside_the_batch_writer(
    table: Any, name: str, outside: Any
) -> None:
    read(table, "a")

    def fail_with_items_in_the_buffer() -> None:
        with table.batch_writer() as batch:
            for sk in range(30):
                batch.put_item(Item={"pk": "a", "sk": sk, "n": 1})
            raise LookupError

    with pytest.raises(LookupError):
        fail_with_items_in_the_buffer()
    assert read(table, "a") == really(outside, name, "a")


def test_batches_and_reads_at_the_same_time_end_in_what_dynamodb_has(
    session: boto3.Session, dynamodb: DynamoDB, name: str, outside: Any
) -> None:
    tables = [dynamodb.resource(session).Table(name) for _ in range(THREADS)]
    together = at_once(THREADS)

    def write_and_read(number: int) -> list[int]:
        mine, key = tables[number], {"pk": "a", "sk": 30 + number}
        together.wait()
        seen = []
        for n in range(1, 9):
            with mine.batch_writer() as batch:
                batch.put_item(Item={"n": n, **key})
                batch.put_item(Item={"pk": "a", "sk": n, "n": number})
            mine.query(KeyConditionExpression=Key("pk").eq("a"))
            seen += [int(mine.get_item(Key=key)["Item"]["n"]) for _ in range(2)]
        return seen

    with ThreadPoolExecutor(THREADS) as pool:
        for seen in pool.map(write_and_read, range(THREADS)):
            assert seen == [n for n in range(1, 9) for _ in range(2)]
    for _ in range(2):
        assert read(tables[0], "a") == really(outside, name, "a")
