"""An application whose store is encrypted gets its hits; the store tells nothing."""

from pathlib import Path
from typing import Any

import boto3
import pytest

import botocache
from tests.integration.app import World
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB
from tests.support.keys import key_text

SECRET = "marked-secret-of-an-item"


@pytest.fixture
def world(
    dynamodb: DynamoDB, request: pytest.FixtureRequest, clock: FakeClock, store: Any
) -> World:
    outside = dynamodb.session("AKIAOUTSIDE000000000")
    return World(dynamodb, store, clock, dynamodb.client(outside))


@pytest.mark.parametrize("near", ["on", "off"])
def test_replicas_with_one_key_share_hits_and_evictions(
    world: World, near: Any, clock: FakeClock
) -> None:
    table = world.table("pk:S")
    item = {"pk": {"S": "7"}, "secret": {"S": SECRET}}
    tables = {"TableName": table, "Key": {"pk": item["pk"]}}

    def replica() -> Any:
        session: boto3.Session = world.session()
        botocache.install(
            session, url=world.store, near=near, encryption_keys=key_text(1)
        )
        return world.client(session)

    def read(client: Any) -> tuple[Any, bool]:
        answer = client.get_item(**tables)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return answer.get("Item"), "x-botocache" in headers

    one, other = replica(), replica()
    one.put_item(TableName=table, Item=item)
    clock.advance(5.0)
    read(one)
    assert [read(each) for each in (one, other, other)] == [(item, True)] * 3
    other.update_item(**tables, UpdateExpression="REMOVE secret")
    assert read(one)[0] == {"pk": item["pk"]}
    clock.advance(5.0)
    read(one)
    assert read(other) == ({"pk": item["pk"]}, True)
    caches = {hooks.cache for hooks in botocache._install._installed.values()}
    assert all(not cache.stats().failures for cache in caches if cache)


@pytest.mark.parametrize("store", ["disk"], indirect=True)
def test_no_file_of_an_encrypted_store_holds_a_marked_secret(
    world: World, tmp_path: Path
) -> None:
    table = world.table("pk:S")
    session = world.session()
    cache = botocache.install(session, url=world.store, encryption_keys=key_text(1))
    client = world.client(session)
    client.put_item(
        TableName=table, Item={"pk": {"S": SECRET}, "secret": {"S": SECRET}}
    )
    for _ in range(2):
        client.get_item(TableName=table, Key={"pk": {"S": SECRET}})
        client.scan(TableName=table)
    assert cache.stats().hits
    files = [each for each in (tmp_path / "disk").rglob("*") if each.is_file()]
    assert files
    for file in files:
        content = file.read_bytes()
        assert SECRET.encode() not in content
        assert table.encode() not in content
