"""Optimistic locking: read, write on condition of the value read, or start again.

Such a loop ends because a failed condition leads to a fresh read. A stale entry that
survived the failure would fail the condition again, and again.

A thread's condition can fail only when another thread's write has succeeded since it
read, and each success can do that to it once. So the attempts that it needs have a
bound, which no luck can change.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from botocache import Cache
from tests.integration.app import delete, get, put, query, wire
from tests.software.threads import THREADS, at_once
from tests.support.dynamodb import DynamoDB

INCREMENTS = 8
REFUSALS = {"ConditionalCheckFailedException", "TransactionCanceledException"}
KEY = {"pk": "counter"}

Read = Callable[[Any, str], dict[str, Any] | None]
Write = Callable[[Any, str, dict[str, Any]], Any]


@dataclass
class Sides:
    """A client with the cache, one without it, and a counter that is 0."""

    client: Any
    outside: Any
    table: str


@pytest.fixture
def sides(dynamodb: DynamoDB, client: Any, outside: Any) -> Sides:
    """Both clients, and the counter."""
    table = dynamodb.create_table(client=outside)
    put(outside, table, **KEY, n=0, version=0)
    return Sides(client, outside, table)


def by_key(client: Any, table: str) -> dict[str, Any] | None:
    return get(client, table, **KEY)


def by_query(client: Any, table: str) -> dict[str, Any] | None:
    return next(iter(query(client, table, **KEY)), None)


def condition(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "ConditionExpression": "version = :read",
        "ExpressionAttributeValues": wire({":read": item["version"]}),
    }


def put_item(client: Any, table: str, item: dict[str, Any]) -> None:
    changed = {**item, "n": item["n"] + 1, "version": item["version"] + 1}
    client.put_item(TableName=table, Item=wire(changed), **condition(item))


def update_of(table: str, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "TableName": table,
        "Key": wire(KEY),
        "UpdateExpression": "SET n = :n, version = version + :one",
        "ConditionExpression": "version = :read",
        "ExpressionAttributeValues": wire(
            {":n": item["n"] + 1, ":one": 1, ":read": item["version"]}
        ),
    }


def update_item(client: Any, table: str, item: dict[str, Any]) -> None:
    client.update_item(**update_of(table, item), ReturnValues="ALL_NEW")


def update_item_and_ask_why_not(client: Any, table: str, item: dict[str, Any]) -> None:
    client.update_item(
        **update_of(table, item), ReturnValuesOnConditionCheckFailure="ALL_OLD"
    )


def transact(client: Any, table: str, item: dict[str, Any]) -> None:
    client.transact_write_items(TransactItems=[{"Update": update_of(table, item)}])


READS: tuple[Read, ...] = (by_key, by_query)
WRITES: tuple[Write, ...] = (
    put_item,
    update_item,
    update_item_and_ask_why_not,
    transact,
)


def name_of(value: Any) -> str:
    return str(getattr(value, "__name__", value))


reads = pytest.mark.parametrize("read", READS, ids=name_of)
writes = pytest.mark.parametrize("write", WRITES, ids=name_of)


def increment(
    client: Any, table: str, read: Read, write: Write, at_most: int = 10
) -> int:
    """Add one to the counter; return the attempts that it took.

    Raises AssertionError when it would take more than `at_most`.
    """
    for attempt in range(1, at_most + 1):
        item = read(client, table)
        assert item is not None
        if succeeds(write, client, table, item):
            return attempt
    raise AssertionError(f"not in {at_most} attempts")


def succeeds(write: Write, client: Any, table: str, item: dict[str, Any]) -> bool:
    try:
        write(client, table, item)
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSALS:
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("read", "write"), list(zip(READS * 2, WRITES, strict=True)), ids=name_of
)
def test_after_a_failed_condition_the_next_read_is_fresh(
    sides: Sides, read: Read, write: Write, cache: Cache
) -> None:
    client, table = sides.client, sides.table
    for _ in range(3):
        stale = read(client, table)
        for _ in range(2):
            assert increment(sides.outside, table, by_key, update_item) == 1
        assert read(client, table) == stale  # the cache cannot know
        assert increment(client, table, read, write) == 2
    assert read(client, table) == {**KEY, "n": 9, "version": 9}
    assert cache.stats().hits >= 6


@writes
def test_a_failed_condition_evicts_for_every_client_that_shares_the_cache(
    sides: Sides, write: Write, dynamodb: DynamoDB, session: boto3.Session
) -> None:
    table, other = sides.table, dynamodb.client(session)
    stale = by_key(other, table)
    assert stale is not None
    update_item(sides.outside, table, stale)
    assert by_key(other, table) == stale
    assert not succeeds(write, sides.client, table, stale)
    assert by_key(other, table) == {**KEY, "n": 1, "version": 1}
    assert by_query(other, table) == {**KEY, "n": 1, "version": 1}


@reads
def test_the_loser_of_a_race_to_create_an_item_sees_the_winners_item(
    sides: Sides, read: Read
) -> None:
    def create(client: Any, table: str, item: dict[str, Any]) -> None:
        client.put_item(
            TableName=table,
            Item=wire(item),
            ConditionExpression="attribute_not_exists(pk)",
        )

    client, table = sides.client, sides.table
    delete(client, table, **KEY)
    assert [read(client, table) for _ in range(2)] == [None, None]
    create(sides.outside, table, {**KEY, "owner": "outside"})
    assert read(client, table) is None
    assert not succeeds(create, client, table, {**KEY, "owner": "client"})
    assert read(client, table) == {**KEY, "owner": "outside"}


@reads
def test_a_failed_delete_of_a_version_is_followed_by_a_read_of_the_current_one(
    sides: Sides, read: Read
) -> None:
    def delete_version(client: Any, table: str, item: dict[str, Any]) -> None:
        client.delete_item(TableName=table, Key=wire(KEY), **condition(item))

    client, table = sides.client, sides.table
    stale = read(client, table)
    assert stale is not None
    update_item(sides.outside, table, stale)
    assert not succeeds(delete_version, client, table, stale)
    fresh = read(client, table)
    assert fresh == {**KEY, "n": 1, "version": 1}
    assert succeeds(delete_version, client, table, fresh)
    assert read(client, table) is None


@pytest.mark.parametrize(
    ("around", "write"),
    [(0, put_item), (0, transact), (1, update_item), (2, transact)],
    ids=name_of,
)
def test_threads_that_increment_a_counter_lose_no_update(
    sides: Sides, write: Write, around: int, cache: Cache
) -> None:
    client, outside, table = sides.client, sides.outside, sides.table
    by_key(client, table)
    at_most = 1 + INCREMENTS * (THREADS - 1)
    clients = [*[outside] * around, *[client] * (THREADS - around)]
    together = at_once(THREADS)

    def increment_often(client: Any) -> int:
        together.wait()
        return sum(
            increment(client, table, by_key, write, at_most) for _ in range(INCREMENTS)
        )

    with ThreadPoolExecutor(THREADS) as pool:
        for attempts in pool.map(increment_often, clients):
            assert INCREMENTS <= attempts <= INCREMENTS * THREADS
    total = INCREMENTS * THREADS
    assert by_key(outside, table) == {**KEY, "n": total, "version": total}
    assert cache.stats().failures == {}
