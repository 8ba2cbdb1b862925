"""Several accounts with tables of one name, on one store."""

import logging
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

import botocache
from botocache import _log
from botocache._cache.key_schemas import MOST_ROUNDS
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, new_botocore_session
from tests.support.key_ids import key_id
from tests.support.own_view import OwnView
from tests.support.refusing_server import (
    Refusal,
    RefusingServer,
)

ONE, TWO = 111122223333, 222233334444
KNOWN = key_id("AKIA", ONE, 1), key_id("AKIA", TWO, 1)
UNKNOWN = "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF"
BY_PK, BY_ID = {"pk": {"S": "a"}}, {"id": {"S": "a"}}


@pytest.fixture
def server(refusing: RefusingServer) -> RefusingServer:
    """A server that takes any key, as tables of two accounts would take theirs."""
    return refusing


@pytest.fixture
def store(clock: FakeClock) -> Store:
    return MemoryStore(clock=clock)


@pytest.fixture
def lines(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    """Return what returns the lines that have been logged since."""
    monkeypatch.setattr(_log, "_logged", set())
    caplog.set_level(logging.WARNING, "botocache")
    return lambda: caplog.messages


def client_of(
    server: RefusingServer, key: str, store: Any = None, **settings: Any
) -> Any:
    """Return a client. store: of an installation of its own, as in another process."""
    session = boto3.Session(
        key, "secret", region_name=REGION, botocore_session=new_botocore_session()
    )
    if store is not None:
        botocache.install(session, url=OwnView(store), **{"settle": 0, **settings})
    return session.client("dynamodb", endpoint_url=server.url)


def get(client: Any, key: Any, table: str = "ttt") -> Any:
    return client.get_item(TableName=table, Key=key)["Item"]


def hits_of(server: RefusingServer, calls: int, *readers: tuple[Any, Any]) -> int:
    """Read in turns; return how many of the reads the server did not see."""
    before = server.asked.total()
    for number in range(calls):
        client, key = readers[number % len(readers)]
        assert get(client, key)["secret"] == {"S": "of the table"}
    return calls - (server.asked.total() - before)


@pytest.mark.parametrize("near", ["on", "off"])
def test_accounts_whose_tables_have_other_keys_leave_each_other_alone(
    server: RefusingServer, store: Store, near: str, lines: Callable[[], list[str]]
) -> None:
    one, two = (client_of(server, key, store, near=near) for key in KNOWN)
    assert hits_of(server, 100, (one, BY_PK), (two, BY_ID)) == 98
    for client, key in ((one, BY_PK), (two, BY_ID)):  # and writes learn no other keys
        client.update_item(TableName="ttt", Key=key)
    assert hits_of(server, 100, (one, BY_PK), (two, BY_ID)) == 98
    assert lines() == []


@pytest.mark.parametrize("is_one_process", [False, True])
def test_accounts_that_are_not_known_do_not_evict_each_other_for_ever(
    server: RefusingServer,
    store: Store,
    is_one_process: bool,
    lines: Callable[[], list[str]],
) -> None:
    if is_one_process:
        botocache.install(url=store, settle=0)
    own = None if is_one_process else store
    one, two = (client_of(server, key, own) for key in UNKNOWN)
    hits = hits_of(server, 100, (one, BY_PK), (two, BY_ID))
    assert hits >= 100 - 2 - 2 * 2 * (MOST_ROUNDS + 1)
    assert hits_of(server, 100, (one, BY_PK), (two, BY_ID)) == 100
    (line,) = lines()
    assert "key_schema_conflict" in line
    assert "'ttt'" in line
    assert "`namespace`" in line


def item(server: RefusingServer, n: int) -> None:
    """Let the server answer items and index queries with this value from now on."""
    server.value = str(n)


def test_tables_that_cannot_be_told_apart_are_coherent(
    server: RefusingServer, store: Store
) -> None:
    """Each write of either table evicts what the other ones may have cached by it.

    The second process of account two has met no conflict, and may rest its writes on
    the key attributes of account one's table.
    """
    one, two, other = (client_of(server, key, store) for key in (*UNKNOWN, UNKNOWN[1]))
    hits_of(server, 100, (one, BY_PK), (two, BY_ID))
    puts: list[Any] = [
        {**BY_ID, "pk": {"S": "x"}},
        {**BY_ID, "pk": {"S": "a"}},
        {**BY_ID, "g": {"S": "x"}},
    ]
    for n, put in enumerate(puts * 3):
        for client in (one, two, other, one, two):
            get(client, BY_PK if client is one else BY_ID)
            by_index(client)
        item(server, n)
        (other, two)[n % 2].put_item(TableName="ttt", Item=put)
        for client in (two, other):
            assert get(client, BY_ID)["n"] == {"N": str(n)}
            assert by_index(client)["n"] == {"N": str(n)}


def by_index(client: Any) -> Any:
    return client.query(
        TableName="ttt",
        IndexName="by-pk",
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "a"}},
    )["Items"][0]


def test_a_table_that_is_made_anew_with_other_keys_heals_at_once(
    server: RefusingServer, store: Store, lines: Callable[[], list[str]]
) -> None:
    a, b = (client_of(server, UNKNOWN[0], store) for _ in "ab")
    for at in range(3):
        old = BY_ID if at % 2 else BY_PK
        new = BY_PK if at % 2 else BY_ID
        assert hits_of(server, 4, (a, old), (b, old)) >= 2
        # Made anew, around the cache. The first read of the new one ends the old one's.
        get(a, new)
        server.refuse(UNKNOWN[0], refusal=Refusal("ValidationException"))
        with pytest.raises(ClientError):
            get(b, old)
        server.refuse()
    assert lines() == []


@pytest.mark.parametrize(
    ("one", "two"), [(KNOWN[0], KNOWN[1]), (UNKNOWN[0], UNKNOWN[1])]
)
def test_a_write_through_an_arn_evicts_what_the_tables_own_account_caches(
    server: RefusingServer, store: Store, one: str, two: str
) -> None:
    owner, writer = client_of(server, one, store), client_of(server, two, store)
    arn = f"arn:aws:dynamodb:{REGION}:{ONE}:table/ttt"
    for _ in range(3):
        get(owner, BY_PK)
        get(writer, BY_PK, arn)
        get(writer, BY_ID)  # its own table of this name has another key
    item(server, 5)
    writer.put_item(TableName=arn, Item={**BY_PK, "n": {"N": "5"}})
    assert get(owner, BY_PK)["n"] == get(writer, BY_PK, arn)["n"] == {"N": "5"}


def test_a_named_scope_is_one_for_each_account(
    server: RefusingServer, store: Store
) -> None:
    one, two = (client_of(server, key, store, scope="team") for key in KNOWN)
    same = client_of(server, key_id("ASIA", ONE, 2), store, scope="team")
    get(one, BY_PK)
    assert hits_of(server, 1, (same, BY_PK)) == 1
    assert hits_of(server, 1, (two, BY_PK)) == 0
    assert hits_of(server, 3, (one, BY_PK), (two, BY_PK), (same, BY_PK)) == 3


def test_an_account_that_reads_the_table_of_another_one_by_its_arn(
    server: RefusingServer, store: Store, lines: Callable[[], list[str]]
) -> None:
    two = client_of(server, KNOWN[1], store)
    arn = f"arn:aws:dynamodb:{REGION}:{ONE}:table/ttt"
    for _ in range(20):
        get(two, BY_PK, arn)
        get(two, BY_ID)
    assert server.asked.total() == 2
    assert lines() == []


def test_a_write_to_a_table_that_cannot_be_told_apart_evicts_all_of_it(
    server: RefusingServer, store: Store
) -> None:
    """A process that queries an index alone finds no conflict in the answers.

    Its entry depends on a key attribute of the other account's table.
    """
    one, two, queries = (
        client_of(server, key, store) for key in (*UNKNOWN, UNKNOWN[1])
    )
    hits_of(server, 40, (one, BY_PK), (two, BY_ID))
    for n in range(1, 4):
        get(one, BY_PK)
        for _ in range(3):
            by_index(queries)
        item(server, n)
        two.update_item(TableName="ttt", Key=BY_ID)
        assert by_index(queries)["n"] == {"N": str(n)}


def test_calls_that_were_remembered_before_are_hits_again(
    server: RefusingServer, store: Store
) -> None:
    session = boto3.Session(
        UNKNOWN[1],
        "secret",
        region_name=REGION,
        botocore_session=new_botocore_session(),
    )
    botocache.install(session, url=store, settle=0)
    table = session.resource("dynamodb", endpoint_url=server.url).Table("ttt")
    one, two = client_of(server, UNKNOWN[0], store), table.meta.client

    def query() -> None:
        # Conditions are read anew each time, unless the whole call is remembered.
        table.query(KeyConditionExpression=Key("id").eq("a"))

    for _ in range(3):
        query()
    for _ in range(20):
        get(one, BY_PK)
        two.get_item(TableName="ttt", Key={"id": "a"})
    query()
    asked = server.asked.total()
    query()
    assert server.asked.total() == asked
