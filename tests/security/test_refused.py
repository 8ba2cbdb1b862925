"""A read that DynamoDB refuses ends what its principal is served of the table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

import botocache
from botocache._dynamodb.refusals import CODES
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, new_botocore_session
from tests.support.failing_store import FailingStore
from tests.support.own_view import OwnView
from tests.support.processes import Peer
from tests.support.refusing_server import Refusal, RefusingServer

A, B = "AKIAPRINCIPALA000000", "AKIAPRINCIPALB000000"
PK = {"pk": {"S": "a"}}
SECRET = {**PK, "secret": {"S": "of the table"}, "n": {"N": "0"}}


@pytest.fixture
def server(refusing: RefusingServer) -> RefusingServer:
    return refusing


@pytest.fixture
def in_memory(clock: FakeClock) -> Store:
    return MemoryStore(clock=clock)


def client_of(server: RefusingServer, key: str, store: Any, **settings: Any) -> Any:
    """Return a client with a cache of its own, as in a process of its own."""
    session = boto3.Session(
        key, "secret", region_name=REGION, botocore_session=new_botocore_session()
    )
    botocache.install(session, url=OwnView(store), **{"settle": 0, **settings})
    config = Config(retries={"max_attempts": 0}, max_pool_connections=2)
    return session.client("dynamodb", endpoint_url=server.url, config=config)


def get(client: Any, table: str = "ttt", **more: Any) -> Any:
    return client.get_item(TableName=table, Key=PK, **more)["Item"]


def query(client: Any, **more: Any) -> Any:
    return client.query(
        TableName="ttt",
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "a"}},
        **more,
    )["Items"][0]


def by_projection(client: Any) -> Any:
    return get(client, ProjectionExpression="secret")


def transaction(client: Any, *tables: str) -> Any:
    gets = [{"Get": {"TableName": table, "Key": PK}} for table in tables]
    return client.transact_get_items(TransactItems=gets)


def batch(client: Any, *tables: str, key: Any = PK) -> Any:
    requests = {table: {"Keys": [key]} for table in tables}
    return client.batch_get_item(RequestItems=requests)


def bypassing(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def call(client: Any) -> Any:
        with botocache.bypass():
            return read(client)

    return call


def refreshing(client: Any) -> Any:
    with botocache.refresh():
        return get(client)


_SELECT = "SELECT * FROM \"ttt\" WHERE pk = 'a'"

READS: dict[str, Callable[[Any], Any]] = {
    "a miss": lambda c: c.get_item(TableName="ttt", Key={"pk": {"S": "z"}}),
    "a strongly consistent read": lambda c: get(c, ConsistentRead=True),
    "a read that bypasses": bypassing(get),
    "a query that bypasses": bypassing(query),
    "a read that refreshes": refreshing,
    "a query": lambda c: query(c, Limit=7),
    "an index query": lambda c: query(c, IndexName="by-pk"),
    "a scan": lambda c: c.scan(TableName="ttt", Limit=3),
    "a batch": lambda c: batch(c, "ttt", key={"pk": {"S": "y"}}),
    "a batch that bypasses": bypassing(lambda c: batch(c, "ttt")),
    "a transaction": lambda c: transaction(c, "uuu", "ttt"),
    "a statement": lambda c: c.execute_statement(Statement=_SELECT),
    "a transaction of statements": lambda c: c.execute_transaction(
        TransactStatements=[{"Statement": _SELECT}]
    ),
    "by an ARN": lambda c: c.get_item(
        TableName=f"arn:aws:dynamodb:{REGION}:111122223333:table/ttt", Key=PK
    ),
    "a batch that is too large": lambda c: c.batch_get_item(
        RequestItems={"ttt": {"Keys": [{"pk": {"S": str(n)}} for n in range(101)]}}
    ),
}
"""Reads that DynamoDB has to answer, though the entries of `warm` are there."""


def warm(*clients: Any) -> None:
    """Fill what each client reads, twice: the second time it may be remembered."""
    for _ in range(3):
        for client in clients:
            for read in (get, query, by_projection):
                read(client)
            batch(client, "ttt")


def is_served(server: RefusingServer, client: Any, table: str = "ttt") -> bool:
    """Return whether a client gets a hit, without DynamoDB's permission."""
    before = sum(server.asked.values())
    served = code_of(lambda: get(client, table))
    return not served and sum(server.asked.values()) == before


def code_of(read: Callable[[], Any]) -> str:
    """Make a read; return the code of the error that DynamoDB answers, or ""."""
    try:
        read()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.mark.parametrize("near", ["on", "off"])
def test_a_refused_read_ends_all_hits_of_its_principal_and_none_of_another(
    server: RefusingServer, store: Store, near: str
) -> None:
    a, elsewhere = (client_of(server, A, store, near=near) for _ in "ab")
    b = client_of(server, B, store, near=near)
    warm(a, elsewhere, b)
    asked = sum(server.asked.values())
    warm(a, elsewhere, b)
    assert sum(server.asked.values()) == asked  # all of these are hits
    server.refuse(A)
    warm(a, elsewhere, b)
    assert sum(server.asked.values()) == asked  # and stay so, until DynamoDB says no
    with pytest.raises(ClientError):
        get(a, ConsistentRead=True)
    asked = sum(server.asked.values())
    for client in (a, elsewhere):
        for read in (get, query, by_projection, lambda c: batch(c, "ttt")):
            with pytest.raises(ClientError):
                read(client)
    assert sum(server.asked.values()) == asked + 8
    warm(b)
    assert sum(server.asked.values()) == asked + 8
    server.refuse()
    assert get(elsewhere) == get(a) == SECRET
    assert is_served(server, a)


@pytest.mark.parametrize("near", ["on", "off"])
@pytest.mark.parametrize("read", [get, by_projection, query, lambda c: batch(c, "ttt")])
def test_what_others_of_the_scope_fill_later_is_not_served_to_keys_that_are_refused(
    server: RefusingServer, in_memory: Store, near: str, read: Callable[[Any], Any]
) -> None:
    """A token that was revoked; other processes of the role have newer ones."""
    old, new = (
        client_of(server, key, in_memory, near=near, scope="role") for key in (A, B)
    )
    warm(old, new)
    server.refuse(A)
    with pytest.raises(ClientError):
        get(old, ConsistentRead=True)
    for _ in range(3):
        warm(new)
        with pytest.raises(ClientError):
            read(old)
    assert is_served(server, old, "other") is False
    server.refuse()
    read(old)  # DynamoDB allows it again
    warm(new)
    assert is_served(server, old)


@pytest.mark.parametrize("read", READS)
def test_each_kind_of_read_counts(
    server: RefusingServer, in_memory: Store, read: str
) -> None:
    a, elsewhere, b = (client_of(server, key, in_memory) for key in (A, A, B))
    for client in (a, b):
        assert [get(client), get(client, "other")] == [SECRET, SECRET]
    assert is_served(server, elsewhere)
    server.refuse(A)
    assert code_of(lambda: READS[read](a)) == "AccessDeniedException"
    assert not is_served(server, a)
    assert not is_served(server, elsewhere)
    assert is_served(server, a, "other")
    assert is_served(server, b)


def test_a_statement_that_is_refused_in_a_batch_of_statements_counts(
    server: RefusingServer, in_memory: Store
) -> None:
    a = client_of(server, A, in_memory)
    assert [get(a), get(a, "uuu"), get(a, "vvv")] == [SECRET] * 3
    of = "SELECT * FROM \"{}\" WHERE pk = 'a'"
    server.refuse(A)
    answer = a.batch_execute_statement(
        Statements=[{"Statement": of.format(table)} for table in ("ttt", "uuu")]
    )
    assert [each["Error"]["Code"] for each in answer["Responses"]] == [
        "AccessDenied"
    ] * 2
    assert [is_served(server, a, each) for each in ("ttt", "uuu", "vvv")] == [
        False,
        False,
        True,
    ]


def test_a_refused_batch_ends_the_hits_of_each_table_that_was_sent(
    server: RefusingServer, in_memory: Store
) -> None:
    a = client_of(server, A, in_memory)
    for table in ("ttt", "uuu", "vvv"):
        get(a, table)
    server.refuse(A)
    keys = [{"pk": {"S": "z"}}]
    with pytest.raises(ClientError):
        # All keys of the last table are hits, and DynamoDB has not seen its name.
        a.batch_get_item(
            RequestItems={
                "ttt": {"Keys": keys},
                "uuu": {"Keys": keys},
                "vvv": {"Keys": [PK]},
            }
        )
    assert [is_served(server, a, each) for each in ("ttt", "uuu", "vvv")] == [
        False,
        False,
        True,
    ]


OTHERS = (
    "ValidationException",
    "ResourceNotFoundException",
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "InternalServerError",
    "UnknownOperationException",
)
"""Codes of errors that do not say whose read it was."""


@pytest.mark.parametrize("status", [400, 403])
def test_each_code_of_a_refusal_counts_and_no_other(
    server: RefusingServer, in_memory: Store, status: int
) -> None:
    a = client_of(server, A, in_memory)
    for code in (*CODES, "AccessDeniedException", "ExpiredTokenException", *OTHERS):
        server.refuse()
        get(a)
        assert is_served(server, a)
        server.refuse(A, refusal=Refusal(code, status))
        assert code_of(lambda: get(a, ConsistentRead=True)) == code
        assert is_served(server, a) == (code in OTHERS), code


WRITES: dict[str, Callable[[Any], Any]] = {
    "put": lambda c: c.put_item(TableName="ttt", Item={"pk": {"S": "z"}}),
    "update": lambda c: c.update_item(TableName="ttt", Key={"pk": {"S": "z"}}),
    "delete": lambda c: c.delete_item(TableName="ttt", Key={"pk": {"S": "z"}}),
    "description": lambda c: c.describe_table(TableName="ttt"),
    "list": lambda c: c.list_tables(),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_refused_write_says_nothing_of_reads(
    server: RefusingServer, in_memory: Store, write: str
) -> None:
    a = client_of(server, A, in_memory)
    get(a)
    server.refuse(A)
    with pytest.raises(ClientError):
        WRITES[write](a)
    assert is_served(server, a)


def test_what_another_plugin_refuses_is_no_refusal_of_dynamodb(
    server: RefusingServer, in_memory: Store
) -> None:
    a = client_of(server, A, in_memory, scope="one")
    get(a)
    error = {"Code": "AccessDeniedException", "Message": "refused"}

    def refuse(**_: Any) -> Any:
        raw: Any = None
        headers: Any = {}
        return AWSResponse("", 400, headers, raw), {"Error": error}

    a.meta.events.register_last("before-call", refuse)  # it runs after our handler
    assert code_of(lambda: get(a, ConsistentRead=True)) == "AccessDeniedException"
    a.meta.events.unregister("before-call", refuse)
    assert is_served(server, a)


def test_an_answer_that_was_on_its_way_is_not_served_after_a_refusal(
    server: RefusingServer, in_memory: Store
) -> None:
    """The other order, allowed then refused, is what all tests above do."""
    a, refused = (client_of(server, A, in_memory) for _ in "ab")

    def meanwhile(what: str) -> None:
        server.before_answer = lambda _what: None
        server.refuses = lambda _key, what: Refusal() if what == "Query" else None
        with pytest.raises(ClientError):
            query(refused)

    server.before_answer = meanwhile
    assert get(a) == SECRET  # DynamoDB allowed it just before
    server.refuse(A)
    assert not is_served(server, a)
    assert not is_served(server, refused)


def test_answers_just_after_a_refusal_are_not_filled(
    server: RefusingServer, clock: FakeClock, in_memory: Store
) -> None:
    """One host of DynamoDB may still allow what another one refuses."""
    a, b = (client_of(server, key, in_memory, settle=1) for key in (A, B))
    server.refuse(A)
    with pytest.raises(ClientError):
        get(a)
    server.refuse()
    assert get(a) == get(b) == SECRET
    assert not is_served(server, a)
    assert is_served(server, b)
    clock.advance(1.1)
    assert get(a) == SECRET
    assert is_served(server, a)


def test_what_a_principal_writes_itself_is_evicted_with_the_rest(
    server: RefusingServer, in_memory: Store
) -> None:
    a = client_of(server, A, in_memory)
    for _ in range(2):  # the first one learns the key
        a.update_item(TableName="ttt", Key=PK)
        a.put_item(TableName="ttt", Item=SECRET)
    assert is_served(server, a)
    server.refuse(A)
    with pytest.raises(ClientError):
        get(a, ConsistentRead=True)
    assert not is_served(server, a)


def test_a_table_that_is_off_here_may_be_cached_elsewhere(
    server: RefusingServer, in_memory: Store
) -> None:
    off = client_of(server, A, in_memory, tables="ttt=off")
    a = client_of(server, A, in_memory)
    get(a)
    server.refuse(A)
    with pytest.raises(ClientError):
        get(off)
    assert not is_served(server, a)


def test_a_named_scope_is_the_principal(
    server: RefusingServer, in_memory: Store
) -> None:
    a, b = (client_of(server, key, in_memory, scope="one") for key in (A, B))
    other = client_of(server, B, in_memory, scope="two")
    assert get(a) == get(other) == SECRET
    assert is_served(server, b)
    server.refuse(A)
    with pytest.raises(ClientError):
        get(a, ConsistentRead=True)
    server.refuse(A, B)
    assert not is_served(server, b)
    assert is_served(server, other)


@pytest.mark.parametrize("verbs", [{"evict"}, {"evict", "load"}])
@pytest.mark.parametrize("read", ["a miss", "a read that bypasses", "a query"])
def test_an_eviction_that_fails_is_pending_and_retried(
    server: RefusingServer, clock: FakeClock, read: str, verbs: set[str]
) -> None:
    store = MemoryStore(clock=clock)
    failing = FailingStore(store)
    a, elsewhere = client_of(server, A, failing), client_of(server, A, store)
    warm(a)
    assert is_served(server, a)
    server.refuse(A)
    failing.failing |= verbs
    with pytest.raises(ClientError):
        READS[read](a)
    assert not is_served(server, a)  # this process serves it no more
    failing.failing.clear()
    clock.advance(1.1)
    assert not is_served(server, a)
    assert not is_served(server, elsewhere)


def test_two_processes_on_one_directory(server: RefusingServer, tmp_path: Any) -> None:
    peer = Peer()
    try:
        arguments = (server.url, str(tmp_path))
        assert [peer.call(read_elsewhere, *arguments) for _ in range(3)] == [SECRET] * 3
        assert sum(server.asked.values()) == 1
        a = client_of(server, A, DiskStore(tmp_path))
        assert is_served(server, a)
        server.refuse(A)
        assert peer.call(read_elsewhere, *arguments) == SECRET
        with pytest.raises(ClientError):
            get(a, ConsistentRead=True)
        assert peer.call(read_elsewhere, *arguments) == "AccessDeniedException"
    finally:
        peer.close()


_elsewhere: list[Any] = []


def read_elsewhere(url: str, directory: str) -> Any:
    """Read in the process that runs this; return the item, or the error's code."""
    if not _elsewhere:
        _elsewhere.append(client_of(RefusingServer(url), A, DiskStore(Path(directory))))
    return code_of(lambda: get(_elsewhere[0])) or get(_elsewhere[0])
