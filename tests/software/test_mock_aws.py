"""Tests of an application that mock DynamoDB with moto, with the cache on.

Each makes a table under the same name and puts other data into it, in one of the ways
in which moto is used. What docs/how-to/tests.md says is held here.
"""

import unittest
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError
from moto import mock_aws

import botocache
from botocache import Cache
from tests.support.dynamodb import DynamoDB

NAME = "users"
_mocked = DynamoDB("")

memory_alone = pytest.mark.parametrize("settings", ["memory"], indirect=True)
"""Runs a test with one store only: mocks take long, and the other tests have both."""


@pytest.fixture(autouse=True)
def cache(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Cache:
    """The cache, on the process before any mock begins; boto3 has no session yet."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return botocache.install(**settings)


# --- the application, and a test of it ---------------------------------------------


class Users:
    """The application: keeps users in a table."""

    def __init__(self) -> None:
        self.table = boto3.resource("dynamodb").Table(NAME)

    def add(self, name: str, age: int) -> None:
        self.table.put_item(Item={"name": name, "age": age})

    def birthday(self, name: str) -> None:
        self.table.update_item(
            Key={"name": name},
            UpdateExpression="SET age = age + :one",
            ExpressionAttributeValues={":one": 1},
        )

    def age(self, name: str) -> int | None:
        item = self.table.get_item(Key={"name": name}).get("Item")
        found = self.table.query(KeyConditionExpression=Key("name").eq(name))["Items"]
        assert found == ([] if item is None else [item])
        return None if item is None else int(item["age"])

    def all_names(self) -> set[str]:
        return {str(item["name"]) for item in self.table.scan()["Items"]}

    def remove(self, name: str) -> None:
        self.table.delete_item(Key={"name": name})


def new_users(*keys: str) -> Users:
    """Return the application with a table just made."""
    users = Users()
    client = users.table.meta.client  # a client takes longer to make than a table
    _mocked.create_table(*(keys or ("name:S",)), name=NAME, client=client)
    client.get_waiter("table_exists").wait(TableName=NAME)
    return users


def a_test(age: int) -> None:
    """A test of the application, with data of its own."""
    users = new_users()
    assert users.age("ann") is None
    users.add("ann", age)
    assert [users.age("ann") for _ in range(2)] == [age] * 2
    users.birthday("ann")
    assert [users.age("ann") for _ in range(2)] == [age + 1] * 2
    assert users.all_names() == {"ann"}
    if age % 2:
        users.remove("ann")
        assert users.age("ann") is None
        assert users.all_names() == set()


# --- the ways to mock --------------------------------------------------------------


def by_context_manager(age: int) -> None:
    with mock_aws():
        a_test(age)


@mock_aws
def by_decorator(age: int) -> None:
    a_test(age)


@mock_aws()
def by_decorator_with_parentheses(age: int) -> None:
    a_test(age)


def by_start_and_stop(age: int) -> None:
    mock = mock_aws()
    mock.start()
    try:
        a_test(age)
    finally:
        mock.stop()


def by_decorated_class(age: int) -> None:
    @mock_aws
    class Case(unittest.TestCase):
        def setUp(self) -> None:
            self.users = new_users()
            self.users.add("ann", age)

        def test_one(self) -> None:
            assert [self.users.age("ann") for _ in range(2)] == [age] * 2
            self.users.birthday("ann")
            assert self.users.age("ann") == age + 1

        def test_other(self) -> None:
            assert self.users.age("ann") == age
            self.users.remove("ann")
            assert self.users.age("ann") is None

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert result.testsRun == 2
    assert (result.errors, result.failures) == ([], [])


def inside_of_another(age: int) -> None:
    with mock_aws():
        users = new_users()
        users.add("ann", age)
        with mock_aws():
            assert users.age("ann") == age
        assert users.age("ann") == age


WAYS: tuple[Callable[[int], None], ...] = (
    by_context_manager,
    by_decorator,
    by_decorator_with_parentheses,
    by_start_and_stop,
    by_decorated_class,
    inside_of_another,
)


@memory_alone
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_tests_of_an_application_pass_one_after_the_other(
    way: Callable[[int], None], cache: Cache
) -> None:
    for age in (30, 41):
        way(age)
    assert cache.stats().hits > 0
    assert cache.stats().failures == {}


def test_tests_that_mock_in_different_ways_pass_in_any_order(cache: Cache) -> None:
    for age, way in enumerate(reversed(WAYS), start=20):
        way(age)
    assert cache.stats().failures == {}


@memory_alone
def test_a_table_that_is_created_again_may_have_another_key() -> None:
    for keys in (("name:S",), ("name:S", "age:N"), ("id:N",), ("name:S",)):
        with mock_aws():
            table = new_users(*keys).table
            item = {"id": 1, "name": "ann", "age": len(keys)}
            key = {name: item[name] for name in (k.split(":")[0] for k in keys)}
            assert "Item" not in table.get_item(Key=key)
            table.put_item(Item=item)
            for _ in range(2):
                assert table.get_item(Key=key)["Item"] == item


# --- what moto forgets -------------------------------------------------------------


@pytest.fixture
def seen(cache: Cache) -> None:
    """The cache has the item of ann, aged 30, from a mock that has ended."""
    with mock_aws():
        users = new_users()
        users.add("ann", 30)
        assert [users.age("ann") for _ in range(2)] == [30, 30]


def test_a_table_that_moto_forgot_is_answered_from_the_cache(seen: None) -> None:
    with mock_aws():
        assert Users().age("ann") == 30


def test_a_cleared_cache_serves_nothing_that_moto_forgot(
    seen: None, cache: Cache
) -> None:
    cache.clear()
    with mock_aws(), pytest.raises(ClientError, match="ResourceNotFoundException"):
        Users().age("ann")


@memory_alone
def test_a_bypassed_cache_serves_nothing_that_moto_forgot(seen: None) -> None:
    with (
        mock_aws(),
        botocache.bypass(),
        pytest.raises(ClientError, match="ResourceNotFoundException"),
    ):
        Users().age("ann")


@memory_alone
def test_creating_a_table_evicts_the_entries_of_an_earlier_test(seen: None) -> None:
    with mock_aws():
        assert new_users().age("ann") is None
