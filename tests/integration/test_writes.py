"""Every write is seen by the next read, and evicts no entry that it cannot change."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from urllib3.exceptions import ReadTimeoutError as ConnectionTimedOutError

import botocache
from tests.integration.app import (
    WINDOW,
    World,
    delete,
    every_store,
    get,
    put,
    query,
    query_index,
    set_n,
    wire,
)
from tests.support.network import intercept
from tests.support.write_through import without_write_through


@pytest.fixture
def cache(world: World, session: boto3.Session) -> botocache.Cache:
    """The cache. The tests here look at evictions and hold-offs alone."""
    return without_write_through(
        botocache.install(session, url=world.store, reads_after_write="uncached")
    )


# --- the reads ---------------------------------------------------------------------

Item = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A read of some items.

    equal: what it asks for. index: to query; "" for the table itself, None for a
    GetItem. is_concerned: by a write to the item a/1.
    """

    equal: Item
    index: str | None
    is_concerned: bool

    @property
    def operation(self) -> str:
        return "GetItem" if self.index is None else "Query"

    def ask(self, client: Any, table: str) -> list[Item]:
        """Return what it finds, in an order of ours."""
        if self.index is None:
            item = get(client, table, **self.equal)
            found = [] if item is None else [item]
        elif self.index:
            found = query_index(client, table, self.index, **self.equal)
        else:
            found = query(client, table, **self.equal)
        return sorted(found, key=itemgetter("pk", "sk"))

    def expected(self, items: list[Item]) -> list[Item]:
        """Return what it should find."""
        return [item for item in items if self.equal.items() <= item.items()]


VIEWS = (
    View({"pk": "a", "sk": "1"}, None, is_concerned=True),
    View({"pk": "a"}, "", is_concerned=True),
    View({"pk": "a", "sk": "1"}, "", is_concerned=True),
    View({"pk": "a", "size": 1}, "by_size", is_concerned=True),
    View({"color": "red"}, "by_color", is_concerned=True),
    View({"color": "blue"}, "by_color", is_concerned=True),
    View({"sk": "1"}, "by_sk", is_concerned=True),
    View({"pk": "a", "sk": "2"}, None, is_concerned=False),
    View({"pk": "b", "sk": "1"}, None, is_concerned=False),
    View({"pk": "c", "sk": "1"}, None, is_concerned=False),
    View({"pk": "b"}, "", is_concerned=False),
    View({"pk": "b", "size": 1}, "by_size", is_concerned=False),
    View({"sk": "2"}, "by_sk", is_concerned=False),
)


def make_table(world: World) -> str:
    """Create a table with indexes: of attributes of its own, and of its key's."""
    everything = {"ProjectionType": "ALL"}

    def index(name: str, *attributes: str) -> dict[str, Any]:
        kinds = zip(attributes, ("HASH", "RANGE"), strict=False)
        schema = [{"AttributeName": a, "KeyType": kind} for a, kind in kinds]
        return {"IndexName": name, "KeySchema": schema, "Projection": everything}

    return world.table(
        "pk:S",
        "sk:S",
        AttributeDefinitions=[
            {"AttributeName": "color", "AttributeType": "S"},
            {"AttributeName": "size", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[index("by_color", "color"), index("by_sk", "sk")],
        LocalSecondaryIndexes=[index("by_size", "pk", "size")],
    )


def item(pk: str, sk: str, n: int) -> Item:
    """Return an item that all indexes show."""
    color = "red" if (pk, sk) == ("a", "1") else "blue"
    return {"pk": pk, "sk": sk, "color": color, "size": 1, "n": n}


def items(n: int | None) -> list[Item]:
    """Return all items of the table: a/1 with `n`, if it is there, and others."""
    others = [item("a", "2", 0), item("b", "1", 0), item("b", "2", 0)]
    return others if n is None else [item("a", "1", n), *others]


def seed(world: World, table: str, *, n: int | None = 1) -> None:
    """Put the items around the cache."""
    requests = [{"PutRequest": {"Item": wire(each)}} for each in items(n)]
    world.outside.batch_write_item(RequestItems={table: requests})


def ask_all(client: Any, table: str) -> list[list[Item]]:
    """Read every view."""
    return [view.ask(client, table) for view in VIEWS]


def expected(n: int | None) -> list[list[Item]]:
    """Return what reading every view should give."""
    return [view.expected(items(n)) for view in VIEWS]


def expected_counts(*, of_all: bool) -> dict[str, int]:
    """Return what the views send that a write to a/1 concerns, or all of them."""
    operations = [v.operation for v in VIEWS if of_all or v.is_concerned]
    return {operation: operations.count(operation) for operation in set(operations)}


# --- the writes --------------------------------------------------------------------


@dataclass(frozen=True)
class WriteCase:
    """A write to the item a/1.

    run: takes a client, a resource and a table. before, after: the item's `n`; None
    when there is no item. is_coarse: it evicts its whole table. raises: the code of
    the error that it ends in.
    """

    run: Callable[[Any, Any, str], Any]
    before: int | None = 1
    after: int | None = 2
    is_coarse: bool = False
    raises: str = ""


KEY = {"pk": "a", "sk": "1"}
WHERE = "WHERE pk = 'a' AND sk = '1'"
SET = {
    "Key": wire(KEY),
    "UpdateExpression": "SET n = :n",
    "ExpressionAttributeValues": {":n": {"N": "2"}},
}
NEVER = {"ConditionExpression": "attribute_exists(nothing)"}
VALUE = "{'pk': 'a', 'sk': '1', 'color': 'red', 'size': 1, 'n': 2}"


def _batch_writer(resource: Any, table: str, *, is_put: bool) -> None:
    with resource.Table(table).batch_writer() as batch:
        if is_put:
            batch.put_item(Item=item("a", "1", 2))
        else:
            batch.delete_item(Key=KEY)


def _transact(client: Any, table: str, kind: str, **parameters: Any) -> None:
    entry = {kind: {"TableName": table, **parameters}}
    client.transact_write_items(TransactItems=[entry])


def _batch(client: Any, table: str, kind: str, **parameters: Any) -> None:
    client.batch_write_item(RequestItems={table: [{kind: parameters}]})


def _after_a_change_around_us(
    run: Callable[[Any, Any, str], Any],
) -> Callable[[Any, Any, str], Any]:
    """Change the item around the cache first, so that the condition fails."""

    def change_and_run(client: Any, resource: Any, table: str) -> None:
        with botocache.bypass():
            client.meta.events.emit("test-change-around-us", table=table)
        run(client, resource, table)

    return change_and_run


WRITES = {
    "PutItem": WriteCase(lambda c, _, t: put(c, t, **item("a", "1", 2))),
    "PutItem, of a new item": WriteCase(
        lambda c, _, t: put(c, t, **item("a", "1", 2)), before=None
    ),
    "PutItem, by a resource": WriteCase(
        lambda _, r, t: r.Table(t).put_item(Item=item("a", "1", 2))
    ),
    "UpdateItem": WriteCase(lambda c, _, t: set_n(c, t, 2, **KEY)),
    "UpdateItem, by a resource": WriteCase(
        lambda _, r, t: r.Table(t).update_item(
            Key=KEY,
            UpdateExpression="SET n = :n",
            ExpressionAttributeValues={":n": 2},
        )
    ),
    "UpdateItem, legacy": WriteCase(
        lambda c, _, t: c.update_item(
            TableName=t,
            Key=wire(KEY),
            AttributeUpdates={"n": {"Action": "PUT", "Value": {"N": "2"}}},
        )
    ),
    "DeleteItem": WriteCase(lambda c, _, t: delete(c, t, **KEY), after=None),
    "DeleteItem, by a resource": WriteCase(
        lambda _, r, t: r.Table(t).delete_item(Key=KEY), after=None
    ),
    "BatchWriteItem, a put": WriteCase(
        lambda c, _, t: _batch(c, t, "PutRequest", Item=wire(item("a", "1", 2)))
    ),
    "BatchWriteItem, a delete": WriteCase(
        lambda c, _, t: _batch(c, t, "DeleteRequest", Key=wire(KEY)), after=None
    ),
    "batch_writer, a put": WriteCase(lambda _, r, t: _batch_writer(r, t, is_put=True)),
    "batch_writer, a delete": WriteCase(
        lambda _, r, t: _batch_writer(r, t, is_put=False), after=None
    ),
    "TransactWriteItems, a put": WriteCase(
        lambda c, _, t: _transact(c, t, "Put", Item=wire(item("a", "1", 2)))
    ),
    "TransactWriteItems, an update": WriteCase(
        lambda c, _, t: _transact(c, t, "Update", **SET)
    ),
    "TransactWriteItems, a delete": WriteCase(
        lambda c, _, t: _transact(c, t, "Delete", Key=wire(KEY)), after=None
    ),
    "PutItem, by ARN": WriteCase(
        lambda c, _, t: put(c, arn_of(t), **item("a", "1", 2))
    ),
    "UpdateItem, by ARN": WriteCase(lambda c, _, t: set_n(c, arn_of(t), 2, **KEY)),
    "DeleteItem, by ARN": WriteCase(
        lambda c, _, t: delete(c, arn_of(t), **KEY), after=None
    ),
    "BatchWriteItem, by ARN": WriteCase(
        lambda c, _, t: _batch(c, arn_of(t), "PutRequest", Item=wire(item("a", "1", 2)))
    ),
    "TransactWriteItems, by ARN": WriteCase(
        lambda c, _, t: _transact(c, arn_of(t), "Update", **SET)
    ),
    "ExecuteStatement, INSERT": WriteCase(
        lambda c, _, t: c.execute_statement(
            Statement=f'INSERT INTO "{t}" VALUE {VALUE}'
        ),
        before=None,
        is_coarse=True,
    ),
    "ExecuteStatement, UPDATE": WriteCase(
        lambda c, _, t: c.execute_statement(
            Statement=f'UPDATE "{t}" SET n = ? {WHERE}', Parameters=[{"N": "2"}]
        ),
        is_coarse=True,
    ),
    "ExecuteStatement, DELETE": WriteCase(
        lambda c, _, t: c.execute_statement(Statement=f'DELETE FROM "{t}" {WHERE}'),
        after=None,
        is_coarse=True,
    ),
    "ExecuteStatement, in small letters": WriteCase(
        lambda c, _, t: c.execute_statement(Statement=f"delete from {t} {WHERE}"),
        after=None,
        is_coarse=True,
    ),
    "BatchExecuteStatement": WriteCase(
        lambda c, _, t: c.batch_execute_statement(
            Statements=[{"Statement": f"DELETE FROM {t} {WHERE}"}]
        ),
        after=None,
        is_coarse=True,
    ),
    "ExecuteTransaction": WriteCase(
        lambda c, _, t: c.execute_transaction(
            TransactStatements=[
                {
                    "Statement": f'UPDATE "{t}" SET n = ? {WHERE}',
                    "Parameters": [{"N": "2"}],
                }
            ]
        ),
        is_coarse=True,
    ),
    "PutItem, whose condition fails": WriteCase(
        _after_a_change_around_us(
            lambda c, _, t: c.put_item(
                TableName=t, Item=wire(item("a", "1", 9)), **NEVER
            )
        ),
        raises="ConditionalCheckFailedException",
    ),
    "UpdateItem, whose condition fails": WriteCase(
        _after_a_change_around_us(
            lambda c, _, t: c.update_item(TableName=t, **SET, **NEVER)
        ),
        raises="ConditionalCheckFailedException",
    ),
    "DeleteItem, whose condition fails": WriteCase(
        _after_a_change_around_us(
            lambda c, _, t: c.delete_item(TableName=t, Key=wire(KEY), **NEVER)
        ),
        raises="ConditionalCheckFailedException",
    ),
    "TransactWriteItems, whose condition fails": WriteCase(
        _after_a_change_around_us(
            lambda c, _, t: _transact(c, t, "Update", **SET, **NEVER)
        ),
        raises="TransactionCanceledException",
    ),
    "UpdateTable": WriteCase(
        _after_a_change_around_us(
            lambda c, _, t: c.update_table(TableName=t, BillingMode="PAY_PER_REQUEST")
        ),
        is_coarse=True,
    ),
}

writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())


def arn_of(table: str) -> str:
    """Return the ARN of a table in the server's account."""
    return f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}"


def run_write(
    world: World, write: WriteCase, client: Any, resource: Any, table: str
) -> None:
    """Run a write, which ends as it says."""

    def change_around_us(table: str, **_: Any) -> None:
        put(world.outside, table, **item("a", "1", 2))

    client.meta.events.register("test-change-around-us", change_around_us)
    if not write.raises:
        write.run(client, resource, table)
        return
    with pytest.raises(ClientError) as raised:
        write.run(client, resource, table)
    assert raised.value.response["Error"]["Code"] == write.raises


@writes
def test_the_next_read_after_a_write_is_fresh_and_nothing_else_is_evicted(
    write: WriteCase, world: World, client: Any, resource: Any
) -> None:
    check_reads_around_a_write(write, world, client, resource)


@every_store
@pytest.mark.parametrize("name", ["PutItem", "BatchWriteItem, a put", "UpdateTable"])
def test_the_next_read_is_fresh_with_each_store(
    name: str, world: World, client: Any, resource: Any
) -> None:
    """Like the test before, with one write for each kind of eviction."""
    check_reads_around_a_write(WRITES[name], world, client, resource)


def check_reads_around_a_write(
    write: WriteCase, world: World, client: Any, resource: Any
) -> None:
    """Require that what a write changed is read anew, and nothing else is."""
    table, other = make_table(world), world.table("pk:S")
    seed(world, table, n=write.before)
    get(client, other, pk="a")
    assert ask_all(client, table) == expected(write.before)
    with world.counting() as reached:
        assert ask_all(client, table) == expected(write.before)
    assert reached == {}

    run_write(world, write, client, resource, table)

    with world.counting() as reached:
        assert ask_all(client, table) == expected(write.after)
        get(client, other, pk="a")
    assert reached == expected_counts(of_all=write.is_coarse)

    world.settle()  # less than any TTL: what was not evicted still lives
    for sent in (expected_counts(of_all=write.is_coarse), {}):
        with world.counting() as reached:
            assert ask_all(client, table) == expected(write.after)
        assert reached == sent


@every_store
def test_no_written_item_is_filled_before_settle_has_passed(
    world: World, client: Any
) -> None:
    table = make_table(world)
    put(client, table, **item("a", "1", 1))
    with world.counting() as reached:
        get(client, table, **KEY)
        world.clock.advance(0.9)
        get(client, table, **KEY)
    assert reached == {"GetItem": 2}
    world.clock.advance(0.2)
    with world.counting() as reached:
        get(client, table, **KEY)
        get(client, table, **KEY)
    assert reached == {"GetItem": 1}


@every_store
def test_one_call_that_writes_to_many_items_evicts_each(
    world: World, client: Any
) -> None:
    one, two = world.table("pk:S"), world.table("pk:S")
    places = [(table, pk) for table in (one, two) for pk in "abc"]
    for table, pk in places:
        get(client, table, pk=pk)
    client.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": one, "Item": wire({"pk": "a", "n": 1})}},
            {"Delete": {"TableName": one, "Key": wire({"pk": "b"})}},
            {
                "ConditionCheck": {
                    "TableName": one,
                    "Key": wire({"pk": "c"}),
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            },
            {"Put": {"TableName": two, "Item": wire({"pk": "a", "n": 2})}},
        ]
    )
    with world.counting() as reached:
        found = [get(client, table, pk=pk) for table, pk in places]
    assert reached == {"GetItem": 3}
    assert found == [{"pk": "a", "n": 1}, None, None, {"pk": "a", "n": 2}, None, None]


def test_a_batch_over_several_tables_evicts_in_each(world: World, client: Any) -> None:
    one, two = world.table("pk:S"), world.table("pk:S")
    for table in (one, two):
        get(client, table, pk="a")
        get(client, table, pk="b")
    client.batch_write_item(
        RequestItems={
            one: [{"PutRequest": {"Item": wire({"pk": "a"})}}],
            two: [{"PutRequest": {"Item": wire({"pk": "b"})}}],
        }
    )
    places = [(table, pk) for table in (one, two) for pk in "ab"]
    with world.counting() as reached:
        found = [get(client, table, pk=pk) for table, pk in places]
    assert found == [{"pk": "a"}, None, None, {"pk": "b"}]
    assert reached == {"GetItem": 2}


def test_an_update_that_moves_an_item_in_an_index_is_seen_at_both_ends(
    world: World, client: Any
) -> None:
    table = make_table(world)
    seed(world, table)
    colors = ("red", "blue", "green")

    def found() -> list[list[str]]:
        pages = [query_index(client, table, "by_color", color=c) for c in colors]
        return [sorted(each["pk"] + each["sk"] for each in page) for page in pages]

    get(client, table, **KEY)
    assert found() == [["a1"], ["a2", "b1", "b2"], []]
    client.update_item(
        TableName=table,
        Key=wire(KEY),
        UpdateExpression="SET color = :c",
        ExpressionAttributeValues={":c": {"S": "green"}},
    )
    assert found() == [[], ["a2", "b1", "b2"], ["a1"]]


# --- names of the same thing -------------------------------------------------------

ONE = ("1", "1.0", "01", "1e0", "10E-1", "+1", "0.1e1")


@pytest.mark.parametrize("written", ONE)
def test_a_number_evicts_however_it_is_spelt(
    written: str, world: World, client: Any
) -> None:
    table = world.table("n:N")

    def read_all() -> list[Any]:
        asked = [
            client.get_item(TableName=table, Key={"n": {"N": "1"}}).get("Item", {}),
            *client.query(
                TableName=table,
                KeyConditionExpression="n = :n",
                ExpressionAttributeValues={":n": {"N": "1"}},
            )["Items"],
        ]
        return [found.get("v") for found in asked]

    read_all()
    client.update_item(
        TableName=table,
        Key={"n": {"N": written}},
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"S": written}},
    )
    assert read_all() == [{"S": written}] * 2
    client.put_item(TableName=table, Item={"n": {"N": written}, "v": {"S": "put"}})
    assert read_all() == [{"S": "put"}] * 2


@pytest.mark.parametrize("read", ONE)
def test_a_number_is_evicted_however_it_is_spelt(
    read: str, world: World, client: Any, resource: Any
) -> None:
    table = world.table("n:N")
    key = {"n": {"N": read}}
    assert "Item" not in client.get_item(TableName=table, Key=key)
    resource.Table(table).put_item(Item={"n": Decimal("1.00"), "v": "put"})
    assert client.get_item(TableName=table, Key=key)["Item"]["v"] == {"S": "put"}


def test_binary_keys_evict_by_their_bytes(world: World, client: Any) -> None:
    table = world.table("b:B")
    assert get(client, table, b=b"\x00\xff") is None
    assert get(client, table, b=b"\x00") is None
    put(client, table, b=b"\x00\xff", n=1)
    with world.counting() as reached:
        found = client.get_item(TableName=table, Key={"b": {"B": b"\x00\xff"}})
        assert get(client, table, b=b"\x00") is None
    assert found["Item"] == {"b": {"B": b"\x00\xff"}, "n": {"N": "1"}}
    assert reached == {"GetItem": 1}


def test_a_string_key_and_a_number_key_are_different(world: World, client: Any) -> None:
    table = world.table("pk:S", "sk:S")
    get(client, table, pk="a", sk="1")
    get(client, table, pk="a", sk="1.0")
    set_n(client, table, 1, pk="a", sk="1")
    with world.counting() as reached:
        assert get(client, table, pk="a", sk="1") is not None
        assert get(client, table, pk="a", sk="1.0") is None
    assert reached == {"GetItem": 1}


def test_a_write_by_name_evicts_what_was_read_by_arn(world: World, client: Any) -> None:
    table = world.table("pk:S")
    arn = arn_of(table)
    put(world.outside, table, pk="a", n=1)
    assert get(client, arn, pk="a") == {"pk": "a", "n": 1}
    assert query(client, arn, pk="a") == [{"pk": "a", "n": 1}]
    set_n(client, table, 2, pk="a")
    assert get(client, arn, pk="a") == {"pk": "a", "n": 2}
    assert query(client, arn, pk="a") == [{"pk": "a", "n": 2}]


ONE_OF_EACH_KIND = (
    "PutItem",
    "UpdateItem, by a resource",
    "BatchWriteItem, a delete",
    "TransactWriteItems, an update",
    "ExecuteStatement, DELETE",
    "UpdateItem, whose condition fails",
)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_a_write_by_another_session_with_other_credentials_evicts(
    name: str, world: World, client: Any
) -> None:
    write = WRITES[name]
    table = make_table(world)
    seed(world, table, n=write.before)
    assert ask_all(client, table) == expected(write.before)
    session = world.session("AKIAOTHERPRINCIPAL00")
    botocache.install(session, url=world.store, ttl=30)
    other, resource = world.client(session), world.resource(session)
    run_write(world, write, other, resource, table)
    assert ask_all(client, table) == expected(write.after)


# --- whole tables ------------------------------------------------------------------


@every_store
def test_a_deleted_table_is_gone_and_comes_back_empty(
    world: World, client: Any
) -> None:
    name = world.table("pk:S")
    put(world.outside, name, pk="a", n=1)
    assert get(client, name, pk="a") == {"pk": "a", "n": 1}
    assert query(client, name, pk="a") == [{"pk": "a", "n": 1}]
    client.delete_table(TableName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        get(client, name, pk="a")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        query(client, name, pk="a")
    world.dynamodb.create_table("pk:S", name=name, client=client)
    assert get(client, name, pk="a") is None
    assert query(client, name, pk="a") == []
    put(client, name, pk="a", n=2)
    assert get(client, name, pk="a") == {"pk": "a", "n": 2}


def test_a_table_may_come_back_with_another_key(world: World, client: Any) -> None:
    name = world.table("pk:S")
    put(world.outside, name, pk="a", id=7, n=1)
    assert get(client, name, pk="a") == {"pk": "a", "id": 7, "n": 1}
    client.delete_table(TableName=name)
    world.dynamodb.create_table("id:N", name=name, client=client)
    world.settle()
    for n in range(3):
        put(client, name, pk="a", id=7, n=n)
        assert get(client, name, id=7) == {"pk": "a", "id": 7, "n": n}
        world.settle()
        with world.counting() as reached:
            assert query(client, name, id=7) == [{"pk": "a", "id": 7, "n": n}]
            assert query(client, name, id=7) == [{"pk": "a", "id": 7, "n": n}]
        assert reached == {"Query": 1}


# --- writes that fail --------------------------------------------------------------

ONCE = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=2,
    read_timeout=2,
)

IMPATIENT = ONCE.merge(Config(read_timeout=0.2))
"""For a server that never answers."""


def _refused() -> Iterator[str]:
    """A port without a listener: the server has just ended."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


def _silent() -> Iterator[str]:
    """A server that takes a request and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


ENDPOINTS = {"refused": contextmanager(_refused), "silent": contextmanager(_silent)}


@every_store
@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS.keys())
def test_a_write_without_an_answer_evicts_and_keeps_its_whole_hold_off(
    endpoint: Any, world: World, client: Any, session: Any
) -> None:
    table = make_table(world)
    seed(world, table)
    assert ask_all(client, table) == expected(1)
    with endpoint() as url:
        broken = session.client("dynamodb", endpoint_url=url, config=IMPATIENT)
        with pytest.raises(BotoCoreError):
            set_n(broken, table, 2, **KEY)
        broken.close()
    with world.counting() as reached:
        assert ask_all(client, table) == expected(1)
    assert reached == expected_counts(of_all=False)
    assert_held_until_the_window_ends(world, client, table)


def assert_held_until_the_window_ends(world: World, client: Any, table: str) -> None:
    """Require that a/1 is not filled before the hold-off is over, and then is."""
    world.clock.advance(WINDOW - 0.2)
    with world.counting() as reached:
        get(client, table, **KEY)
        get(client, table, **KEY)
    assert reached == {"GetItem": 2}
    world.clock.advance(0.2)
    with world.counting() as reached:
        get(client, table, **KEY)
        get(client, table, **KEY)
    assert reached == {"GetItem": 1}


def test_a_write_that_is_carried_out_without_an_answer_is_seen(
    world: World, client: Any, session: Any
) -> None:
    table = make_table(world)
    seed(world, table)
    ask_all(client, table)
    unlucky = world.client(session, config=ONCE)

    def land_and_lose_the_answer(**_: Any) -> None:
        set_n(world.outside, table, 2, **KEY)
        raise ConnectionTimedOutError(None, "lost", "no answer")  # type: ignore[arg-type]  # no pool

    intercept(unlucky, "before-send.dynamodb", land_and_lose_the_answer)
    with pytest.raises(ReadTimeoutError):
        set_n(unlucky, table, 2, **KEY)
    assert ask_all(client, table) == expected(2)
    assert_held_until_the_window_ends(world, client, table)


def test_a_write_that_is_carried_out_after_its_timeout_is_seen_after_the_hold_off(
    world: World, client: Any, session: Any
) -> None:
    table = make_table(world)
    seed(world, table)
    ask_all(client, table)
    unlucky = world.client(session, config=ONCE)

    def time_out(**_: Any) -> None:
        raise ConnectionTimedOutError(None, "late", "no answer")  # type: ignore[arg-type]  # no pool

    intercept(unlucky, "before-send.dynamodb", time_out)
    with pytest.raises(ReadTimeoutError):
        set_n(unlucky, table, 2, **KEY)
    world.clock.advance(WINDOW - 0.2)
    assert ask_all(client, table) == expected(1)
    set_n(world.outside, table, 2, **KEY)  # now DynamoDB carries it out
    assert ask_all(client, table) == expected(2)
    world.clock.advance(0.2)
    assert ask_all(client, table) == expected(2)


def _server_error(**_: Any) -> AWSResponse:
    body = b'{"__type": "InternalServerError"}'

    class Raw:
        def stream(self, **_: Any) -> list[bytes]:
            return [body]

    return AWSResponse("http://nowhere", 500, {}, Raw())  # type: ignore[arg-type]  # all that botocore uses


@every_store
def test_a_server_error_keeps_the_whole_hold_off(
    world: World, client: Any, session: Any
) -> None:
    table = make_table(world)
    seed(world, table)
    ask_all(client, table)
    unlucky = world.client(session, config=ONCE)
    intercept(unlucky, "before-send.dynamodb", _server_error)
    with pytest.raises(ClientError):
        set_n(unlucky, table, 2, **KEY)
    with world.counting() as reached:
        ask_all(client, table)
    assert reached == expected_counts(of_all=False)
    assert_held_until_the_window_ends(world, client, table)


def test_a_write_that_was_retried_keeps_its_whole_hold_off(
    world: World, client: Any, session: Any
) -> None:
    table = make_table(world)
    seed(world, table)
    ask_all(client, table)
    lucky = world.client(session)
    answers = iter([_server_error()])

    def fail_once(**_: Any) -> AWSResponse | None:
        return next(answers, None)

    intercept(lucky, "before-send.dynamodb", fail_once)
    set_n(lucky, table, 2, **KEY)
    assert get(client, table, **KEY) == item("a", "1", 2)
    assert_held_until_the_window_ends(world, client, table)


REFUSED: dict[str, Callable[[Any, str], Any]] = {
    "a key with other attributes": lambda c, t: set_n(c, t, 2, other="a"),
    "a key with a value of the wrong type": lambda c, t: set_n(c, t, 2, pk=1, sk="1"),
    "an item without a key": lambda c, t: put(c, t, n=1),
    "a statement that is none": lambda c, _: c.execute_statement(Statement="NO WAY"),
    "no such table": lambda c, _: put(c, "no-such-table", pk="a"),
    "no such table in a batch": lambda c, _: _batch(
        c, "no-such-table", "DeleteRequest", Key=wire(KEY)
    ),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_a_write_that_dynamodb_refuses_fails_as_without_a_cache(
    refused: Callable[[Any, str], Any], world: World, client: Any, session: Any
) -> None:
    table = make_table(world)
    seed(world, table)
    ask_all(client, table)
    errors = []
    plain = world.client(world.session(), config=ONCE)
    for each in (plain, world.client(session, config=ONCE)):
        with pytest.raises(ClientError) as raised:
            refused(each, table)
        errors.append(raised.value.response["Error"]["Code"])
    assert errors[0] == errors[1]
    assert ask_all(client, table) == expected(1)
    put(client, table, **item("a", "1", 2))
    assert ask_all(client, table) == expected(2)


def test_a_key_that_is_no_unicode_fails_as_without_a_cache(
    world: World, client: Any, session: Any, table: str
) -> None:
    once = world.client(session, config=ONCE)
    get(client, table, pk="a")
    for call in (get, query, delete, put):
        with suppress(ClientError):  # of the server; nothing else may come
            call(once, table, pk="\ud800")
    world.clock.advance(WINDOW)
    set_n(client, table, 2, pk="a")
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}
