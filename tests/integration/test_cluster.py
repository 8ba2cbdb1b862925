"""An application with its cache in a cluster, by URL and by client."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import redis

import botocache
from botocache import Cache
from tests.integration.app import World, get, put
from tests.support.processes import eventually
from tests.support.valkey_cluster import ValkeyCluster


@pytest.fixture(params=["url", "client"])
def place(
    request: pytest.FixtureRequest, cluster: ValkeyCluster
) -> Iterator[dict[str, Any]]:
    if request.param == "url":
        yield {"url": cluster.url}
        return
    with redis.RedisCluster("127.0.0.1", cluster.nodes[0].port) as client:
        yield {"url": client}


def is_hit(cache: Cache, client: Any, table: str, expected: dict[str, Any]) -> bool:
    """Read the expected item; return whether it was a hit."""
    before = cache.stats().hits
    assert get(client, table, pk="a") == expected
    return cache.stats().hits > before


def test_an_application_reads_from_a_cluster_and_sees_its_writes(
    world: World, table: str, namespace: str, place: dict[str, Any]
) -> None:
    session = world.session()
    settings = {"namespace": namespace, "timeout": 10, "settle": 0.1, **place}
    cache = botocache.install(session, **settings)
    client = world.client(session)
    for number in range(3):
        item = {"pk": "a", "n": number}
        put(client, table, **item)
        eventually(partial(is_hit, cache, client, table, item))
    assert cache.stats().failures == {}


def test_in_a_cluster_what_a_write_has_left_is_cached(
    world: World, table: str, namespace: str, cluster: ValkeyCluster
) -> None:
    """The process puts it: no script of one server can."""
    session = world.session()
    held: dict[str, Any] = {"settle": 60.0, "write_hold_off": 180.0}
    cache = botocache.install(
        session, url=cluster.url, namespace=namespace, timeout=10, **held
    )
    client = world.client(session)
    get(client, table, pk="a")  # learns the key attributes
    put(client, table, pk="a", n=1)
    changed = client.update_item(
        TableName=table,
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "2"}},
        ReturnValues="ALL_NEW",
    )
    assert changed["Attributes"]["n"] == {"N": "2"}
    assert is_hit(cache, client, table, {"pk": "a", "n": 2})
    assert cache.stats().failures == {}
