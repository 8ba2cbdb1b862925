"""A lock client for DynamoDB, `python_dynamodb_lock`, with the cache on.

A lock is an item with a lease and a record version number, which its owner's heartbeats
change; a client that sees the same number for a whole lease may take the lock over. It
reads consistently. Onlookers, which show the owners, do not, and read from the cache.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import boto3
import pytest
from python_dynamodb_lock.python_dynamodb_lock import (
    DynamoDBLockClient,
    DynamoDBLockError,
)

from botocache import Cache
from tests.integration.app import plain, wire
from tests.software.threads import THREADS, TIMEOUT, at_once
from tests.support.dynamodb import DynamoDB

PERIOD = timedelta(seconds=0.02)
LEASE = timedelta(seconds=60)
"""No test lasts as long, so no client takes a lock over by mistake."""

SHORT_LEASE = timedelta(seconds=0.125)  # the client refuses floats that are not exact

KEY = {"lock_key": "door", "sort_key": "-"}
ROUNDS = 5


class Locks:
    """A table of locks, and clients of it that end with the test."""

    def __init__(self, resource: Callable[[], Any], table: str, end: ExitStack) -> None:
        self._name = table
        self._resource = resource
        self.table = self.new_table()
        self._end = end

    def client(self, name: str, lease: timedelta = LEASE) -> Any:
        """Return a lock client with heartbeats."""
        executor = self._end.enter_context(ThreadPoolExecutor(1))
        client = DynamoDBLockClient(
            self._resource(),
            self._name,
            owner_name=name,
            heartbeat_period=PERIOD,
            safe_period=LEASE,
            lease_duration=lease,
            app_callback_executor=executor,
        )
        self._end.callback(client.close)
        return client

    def new_table(self) -> Any:
        """Return the table; each thread needs one of its own."""
        return self._resource().Table(self._name)

    def owner(self) -> str | None:
        """Return the owner of the lock, as an onlooker sees it twice."""
        first, second = (self.record().get("owner_name") for _ in range(2))
        assert first == second
        return first

    def record(self) -> dict[str, Any]:
        """Return the lock's item, as an onlooker sees it; empty when there is none."""
        item: dict[str, Any] = self.table.get_item(Key=KEY).get("Item", {})
        return item


@pytest.fixture
def locks(
    dynamodb: DynamoDB, session: boto3.Session, cache: Cache, outside: Any
) -> Iterator[Locks]:
    """An empty table of locks."""
    name = dynamodb.create_table("lock_key:S", "sort_key:S", client=outside)
    with ExitStack() as end:
        yield Locks(lambda: dynamodb.resource(session), name, end)


def test_onlookers_see_a_lock_acquired_and_released(locks: Locks, cache: Cache) -> None:
    ann, bob = locks.client("ann"), locks.client("bob")
    assert locks.owner() is None
    for _ in range(ROUNDS):
        for name, client in (("ann", ann), ("bob", bob)):
            lock = client.acquire_lock("door")
            assert locks.owner() == name
            lock.release(best_effort=False)
            assert locks.owner() is None
    assert cache.stats().hits > 0
    assert cache.stats().failures == {}


def test_a_lock_that_is_held_is_refused_until_it_is_released(locks: Locks) -> None:
    ann, bob = locks.client("ann"), locks.client("bob")
    lock = ann.acquire_lock("door")
    with pytest.raises(DynamoDBLockError, match="ACQUIRE_TIMEOUT"):
        bob.acquire_lock("door", retry_timeout=5 * PERIOD)
    assert locks.owner() == "ann"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bob.acquire_lock, "door", retry_timeout=LEASE)
        lock.release(best_effort=False)
        assert waiting.result(TIMEOUT).owner_name == "bob"
    assert locks.owner() == "bob"


def test_heartbeats_are_seen_by_onlookers(locks: Locks, cache: Cache) -> None:
    ann = locks.client("ann")
    ann.acquire_lock("door")
    seen: list[str] = []
    deadline = time.monotonic() + TIMEOUT
    while len(seen) < ROUNDS or not cache.stats().hits:
        assert time.monotonic() < deadline
        version = locks.record()["record_version_number"]
        if version not in seen:
            seen.append(version)
        assert version == seen[-1]  # what was is not seen again


def test_an_expired_lease_is_taken_over_and_the_late_owner_learns_of_it(
    locks: Locks,
) -> None:
    ann = locks.client("ann", lease=SHORT_LEASE)
    bob = locks.client("bob")
    lost = ann.acquire_lock("door")
    ann.close()  # its heartbeats end, and it releases nothing
    assert locks.owner() == "ann"
    lock = bob.acquire_lock("door")
    assert locks.owner() == "bob"
    with pytest.raises(DynamoDBLockError, match="LOCK_STOLEN"):
        lost.release(best_effort=False)
    assert locks.owner() == "bob"
    lock.release(best_effort=False)
    assert locks.owner() is None


def test_an_owner_whose_lock_was_removed_learns_of_it_by_its_heartbeat(
    locks: Locks,
) -> None:
    learned = threading.Event()
    codes: list[str] = []

    def tell(code: str, _: Any) -> None:
        codes.append(code)
        learned.set()

    locks.client("ann").acquire_lock("door", app_callback=tell)
    assert locks.owner() == "ann"
    locks.table.delete_item(Key=KEY)
    assert locks.owner() is None
    assert learned.wait(TIMEOUT)
    assert codes == [DynamoDBLockError.LOCK_STOLEN]
    assert locks.owner() is None


def test_an_owner_reads_protected_items_as_the_last_owner_left_them(
    locks: Locks, outside: Any
) -> None:
    account = {"lock_key": "account", "sort_key": "-"}
    locks.table.put_item(Item={**account, "balance": 0})
    clients = [locks.client(f"client {number}") for number in range(THREADS)]
    tables = [locks.new_table() for _ in range(THREADS)]
    together = at_once(THREADS)

    def deposit(client: Any, table: Any) -> None:
        together.wait()
        for _ in range(ROUNDS):
            lock = client.acquire_lock("door", retry_timeout=LEASE)
            balance = table.get_item(Key=account)["Item"]["balance"]
            table.put_item(Item={**account, "balance": balance + 1})
            lock.release(best_effort=False)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(deposit, clients, tables))
    answer = locks.table.get_item(Key=account)
    assert answer["Item"]["balance"] == THREADS * ROUNDS
    really = outside.get_item(TableName=locks.table.name, Key=wire(account))
    assert plain(really["Item"]) == answer["Item"]
