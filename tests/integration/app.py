"""An application that uses the cache, and the world around it.

Keys and items are written as plain values: `get(client, table, pk="a")`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

import botocache
from botocache.stores.protocol import Store
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB
from tests.support.write_through import without_write_through

SETTLE = 1.1
"""Seconds after which the hold-off of a write that ended is over."""

WINDOW = 5.1
"""Seconds after which the hold-off of a write that began is over."""

TTL = 60.1
"""Seconds after which no entry lives."""

NEGATIVE_TTL = 5.1
"""Seconds after which no entry for a missing item lives."""

every_store = pytest.mark.parametrize(
    "store", ["memory", "disk", "redis"], indirect=True
)
"""Runs a test with each store: what it claims may depend on it. Others have one."""

KEY_ID = "AKIAAPPLICATION00000"

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def wire(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item or key as a client takes it."""
    return {name: _serialize(value) for name, value in values.items()}


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as a resource has it."""
    return {name: _deserialize(value) for name, value in item.items()}


def get(client: Any, table: str, **key: Any) -> dict[str, Any] | None:
    """Get an item; None when there is none."""
    answer = client.get_item(TableName=table, Key=wire(key))
    return plain(answer["Item"]) if "Item" in answer else None


def query_parameters(table: str, index: str | None, **equal: Any) -> dict[str, Any]:
    """Return the parameters of a Query for attributes that equal values."""
    parameters: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": " AND ".join(f"#{n} = :{n}" for n in equal),
        "ExpressionAttributeNames": {f"#{name}": name for name in equal},
        "ExpressionAttributeValues": wire({f":{n}": v for n, v in equal.items()}),
    }
    if index is not None:
        parameters["IndexName"] = index
    return parameters


def query(client: Any, table: str, **equal: Any) -> list[dict[str, Any]]:
    """Query the table itself."""
    answer = client.query(**query_parameters(table, None, **equal))
    return [plain(item) for item in answer["Items"]]


def query_index(
    client: Any, table: str, index: str, **equal: Any
) -> list[dict[str, Any]]:
    """Query one of its indexes."""
    answer = client.query(**query_parameters(table, index, **equal))
    return [plain(item) for item in answer["Items"]]


def put(client: Any, table: str, **item: Any) -> None:
    """Put an item."""
    client.put_item(TableName=table, Item=wire(item))


def set_n(client: Any, table: str, n: int, **key: Any) -> None:
    """Update the attribute `n` of an item."""
    client.update_item(
        TableName=table,
        Key=wire(key),
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues=wire({":n": n}),
    )


def delete(client: Any, table: str, **key: Any) -> None:
    """Delete an item."""
    client.delete_item(TableName=table, Key=wire(key))


def answer_of(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response without what describes the call and not the answer."""
    apart = ("ResponseMetadata", "ConsumedCapacity")
    return {name: value for name, value in response.items() if name not in apart}


def without_number(hit: Mapping[str, Any]) -> dict[str, Any]:
    """Return a hit without the number that its RequestId alone has, at its end."""
    metadata = dict(hit["ResponseMetadata"])
    metadata["RequestId"], _, number = metadata["RequestId"].rpartition("-")
    assert number.isdecimal()
    return {**hit, "ResponseMetadata": metadata}


@dataclass
class World:
    """A DynamoDB, a store, its clock, and sessions that are cheap to make.

    outside: a client that goes around every cache.
    """

    dynamodb: DynamoDB
    store: Store
    clock: FakeClock
    outside: Any

    def session(self, key: str = KEY_ID, **options: Any) -> boto3.Session:
        """Return a new session with static credentials."""
        return self.dynamodb.session(key, **options)

    def client(self, session: boto3.Session, **options: Any) -> Any:
        """Return a client of the server."""
        return self.dynamodb.client(session, **options)

    def resource(self, session: boto3.Session, **options: Any) -> Any:
        """Return a resource of the server."""
        return self.dynamodb.resource(session, **options)

    def cached_client(
        self, key: str = KEY_ID, *, writes_through: bool = True, **settings: Any
    ) -> Any:
        """Return a client of a new session with the cache."""
        session = self.session(key)
        cache = botocache.install(session, url=self.store, **settings)
        if not writes_through:
            without_write_through(cache)
        return self.client(session)

    def table(self, *keys: str, **parameters: Any) -> str:
        """Create a table around the cache, with key attributes `name:type`."""
        return self.dynamodb.create_table(*keys, client=self.outside, **parameters)

    def counting(self) -> AbstractContextManager[Any]:
        """Count what reaches the server."""
        return self.dynamodb.counting()

    def settle(self) -> None:
        """Let the hold-off of writes that ended pass."""
        self.clock.advance(SETTLE)
