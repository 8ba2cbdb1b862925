"""An application whose server attacks: DynamoDB answers, and the server is used later.

tests/stores/redis/test_hostile_server.py has all attacks, and what the store makes of
each.
"""

from collections.abc import Iterator

import pytest

import botocache
from tests.stores.redis.test_hostile_server import ATTACKS
from tests.support.dynamodb import DynamoDB
from tests.support.hostile_server import HostileServer, hostile_server
from tests.support.processes import eventually
from tests.support.valkey_server import ValkeyServer

OF_ALL_KINDS = [
    "a list of two thousand million",
    "lists in lists",
    "values without end",
    "the year 9999",
    "states that are lists",
    "an entry that is a map",
]


@pytest.fixture
def server(valkey: ValkeyServer) -> Iterator[HostileServer]:
    with hostile_server(valkey.port) as made:
        yield made


def test_each_answer_is_dynamodbs_while_the_server_attacks(
    dynamodb: DynamoDB,
    server: HostileServer,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = dynamodb.create_table()
    session = dynamodb.session()
    cache = botocache.install(
        session, url=server.url(), namespace=namespace, timeout=0.1
    )
    client = dynamodb.client(session)
    plain = dynamodb.client()

    def put(n: int) -> None:
        client.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": f"{n}"}})

    def read(by: object) -> str:
        answer = by.get_item(TableName=table, Key={"pk": {"S": "a"}})  # type: ignore[attr-defined]  # clients have no types
        number: str = answer["Item"]["n"]["N"]
        return number

    def is_cached() -> bool:
        with dynamodb.counting() as reached:
            read(client)
        return not reached

    try:
        for n, name in enumerate(OF_ALL_KINDS):
            put(n)
            server.stream(ATTACKS[name].parts, ATTACKS[name].to)
            assert read(client) == read(plain) == f"{n}"
            put(n + 100)
            assert read(client) == read(plain) == f"{n + 100}"
            server.heal()
        eventually(is_cached)
        assert read(client) == f"{len(OF_ALL_KINDS) + 99}"
        assert cache.stats().undelivered == 0
    finally:
        server.heal()
        botocache.uninstall(session)
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)
