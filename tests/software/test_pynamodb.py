"""PynamoDB models see the same with and without the cache.

Each scenario is a program over models that yields what it sees. It runs once without
and once with the cache, on tables of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import cache, cached_property, partial
from itertools import count, cycle
from typing import Any, TypeVar, cast

import pytest
from pynamodb.attributes import (
    AttributeContainer,
    BinaryAttribute,
    BinarySetAttribute,
    BooleanAttribute,
    DynamicMapAttribute,
    JSONAttribute,
    ListAttribute,
    MapAttribute,
    NullAttribute,
    NumberAttribute,
    NumberSetAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    UTCDateTimeAttribute,
    VersionAttribute,
)
from pynamodb.connection import Connection
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action
from pynamodb.indexes import (
    AllProjection,
    GlobalSecondaryIndex,
    IncludeProjection,
    KeysOnlyProjection,
    LocalSecondaryIndex,
)
from pynamodb.models import MetaModel, Model
from pynamodb.transactions import TransactGet, TransactWrite

import botocache
from tests.support.dynamodb import REGION, DynamoDB

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
WRITES = {
    "BatchWriteItem",
    "DeleteItem",
    "PutItem",
    "TransactWriteItems",
    "UpdateItem",
}
_numbers = count()


# --- the models --------------------------------------------------------------------


class Line(MapAttribute[str, Any]):
    article = UnicodeAttribute()
    pieces = NumberAttribute(default=1)


class ByDue(LocalSecondaryIndex["Order"]):
    class Meta:
        index_name = "by_due"
        projection = AllProjection()

    customer = UnicodeAttribute(hash_key=True)
    due = UTCDateTimeAttribute(range_key=True)


class ByState(GlobalSecondaryIndex["Order"]):
    class Meta:
        index_name = "by_state"
        projection = IncludeProjection(["total"])

    state = UnicodeAttribute(hash_key=True)
    number = NumberAttribute(range_key=True)


class ByNumber(GlobalSecondaryIndex["Order"]):
    class Meta:
        index_name = "by_number"
        projection = KeysOnlyProjection()

    number = NumberAttribute(hash_key=True)


class Order(Model):
    by_due = ByDue()
    by_state = ByState()
    by_number = ByNumber()
    customer = UnicodeAttribute(hash_key=True)
    number = NumberAttribute(range_key=True)
    due = UTCDateTimeAttribute(default=NOON)
    state = UnicodeAttribute(default="new")
    total = NumberAttribute(default=0)
    lines = ListAttribute(of=Line, default=list)


class Account(Model):
    name = UnicodeAttribute(hash_key=True)
    balance = NumberAttribute(default=0)
    version = VersionAttribute()


class Everything(Model):
    key = BinaryAttribute(hash_key=True, legacy_encoding=False)
    text = UnicodeAttribute()
    number = NumberAttribute()
    data = BinaryAttribute(legacy_encoding=False)
    old_data = BinaryAttribute(legacy_encoding=True)
    truth = BooleanAttribute()
    nothing = NullAttribute(null=True)
    moment = UTCDateTimeAttribute()
    expires = TTLAttribute()
    json = JSONAttribute()
    texts = UnicodeSetAttribute()
    numbers = NumberSetAttribute()
    pieces = BinarySetAttribute(legacy_encoding=False)
    mixed: ListAttribute[Any] = ListAttribute()
    lines = ListAttribute(of=Line)
    line = Line()
    free = DynamicMapAttribute()
    renamed = UnicodeAttribute(attr_name="r")


class Models:
    """The models, each with its table, and with its connection from the first use."""

    def __init__(self, server: DynamoDB) -> None:
        self._url = server.url

    @cached_property
    def orders(self) -> type[Order]:
        return _with_table(Order, self._url)

    @cached_property
    def accounts(self) -> type[Account]:
        return _with_table(Account, self._url)

    @cached_property
    def everything(self) -> type[Everything]:
        return _with_table(Everything, self._url)


Scenario = Callable[[Models], Iterator[Any]]
M = TypeVar("M", bound=Model)


@cache
def run_uncached(
    scenario: Scenario, server: DynamoDB
) -> tuple[list[Any], Counter[str]]:
    """Return the same without a cache, and what reached the server; once for all."""
    with server.counting() as reached:
        seen = run(scenario, server)
    return seen, reached


def run(scenario: Scenario, server: DynamoDB) -> list[Any]:
    """Return all results of a scenario."""
    models = Models(server)
    return [_plain(seen) for seen in scenario(models)]


def _with_table(model: type[M], url: str) -> type[M]:
    name = f"{model.__name__}{next(_numbers)}"
    meta = type("Meta", (), {"table_name": name, "host": url, "region": REGION})
    made = cast("type[M]", MetaModel(name, (model,), {"Meta": meta}))
    made.create_table(wait=True, billing_mode="PAY_PER_REQUEST")
    return made


def _plain(seen: Any) -> Any:
    """Return what can be compared: models and maps of attributes cannot."""
    if isinstance(seen, AttributeContainer):
        return _plain(seen.attribute_values)
    if isinstance(seen, Mapping):
        return {name: _plain(value) for name, value in seen.items()}
    if isinstance(seen, (list, tuple)):
        return [_plain(value) for value in seen]
    return seen


def outcome(call: Callable[[], Any]) -> Any:
    """Return a call's result, or its error with DynamoDB's message."""
    try:
        return call()
    except PynamoDBException as error:
        reasons = getattr(error, "cancellation_reasons", ())
        return type(error).__name__, error.cause_response_code, list(reasons)


def twice(call: Callable[[], Any]) -> Iterator[Any]:
    """Yield the outcome of a call, and of the same call again."""
    yield outcome(call)
    yield outcome(call)


# --- the scenarios -----------------------------------------------------------------


def every_attribute_type(models: Models) -> Iterator[Any]:
    model = models.everything
    model(
        b"\x00key",
        text="text \u00e9 \U0001f600",
        number=-0.5,
        data=b"\x00\xff",
        old_data=b"\xff\x00",
        truth=True,
        nothing=None,
        moment=NOON,
        expires=NOON,
        json={"a": [1, None, {"b": 2.5}]},
        texts={"x", "y"},
        numbers={1, 2.5},
        pieces={b"\x00", b"\x01"},
        mixed=[1, "two", [3, None], {"four": True}],
        lines=[Line(article="pen"), Line(article="ink", pieces=2)],
        line=Line(article="pad", pieces=3),
        free={"any": {"thing": [1, 2]}},
        renamed="r",
    ).save()
    yield from twice(lambda: model.get(b"\x00key"))
    mine = model.get(b"\x00key")
    mine.lines.append(Line(article="mine"))
    mine.free["any"] = "mine"
    mine.texts.add("mine")
    yield from twice(lambda: model.get(b"\x00key"))
    mine.save()
    yield from twice(lambda: model.get(b"\x00key"))
    mine.update(
        [
            model.lines[0]["pieces"].set(7),
            model.texts.delete({"x"}),
            model.number.add(1),
            model.mixed.set(model.mixed.append(["five"])),
            model.json.remove(),
        ]
    )
    yield mine
    yield from twice(lambda: model.get(b"\x00key"))


def conditional_saves(models: Models) -> Iterator[Any]:
    orders = models.orders
    order = orders("ann", 1, total=5)
    read = partial(orders.get, "ann", 1)
    yield from twice(read)
    yield outcome(lambda: order.save(orders.number.does_not_exist()) and None)
    yield from twice(read)
    order.total = 6
    yield outcome(lambda: order.save(orders.number.does_not_exist()))
    yield from twice(read)
    pay: list[Action] = [orders.total.set(7), orders.state.set("paid")]
    yield outcome(lambda: order.update(pay, orders.total == 4))
    yield from twice(read)
    yield outcome(lambda: order.update(pay, orders.total == 5) and None)
    yield from twice(read)
    yield outcome(lambda: order.delete(orders.state == "new"))
    yield from twice(read)
    yield outcome(lambda: order.delete(orders.state == "paid") and None)
    yield from twice(read)


def version_attributes(models: Models) -> Iterator[Any]:
    accounts = models.accounts
    accounts("ann", balance=10).save()
    mine, yours = accounts.get("ann"), accounts.get("ann")
    mine.balance += 1
    mine.save()
    yours.balance += 2
    yield outcome(yours.save)
    yield from twice(lambda: accounts.get("ann"))
    yours.refresh()
    yours.balance += 2
    yours.save()
    yield from twice(lambda: accounts.get("ann"))
    yield outcome(lambda: mine.update([accounts.balance.set(0)]))
    yield outcome(mine.delete)
    mine.refresh(consistent_read=True)
    mine.update([accounts.balance.add(1)])
    yield mine
    yield from twice(lambda: accounts.get("ann"))
    yield outcome(yours.delete)
    mine.delete()
    yield from twice(lambda: accounts.get("ann"))


def index_queries(models: Models) -> Iterator[Any]:
    orders = models.orders
    put_orders(orders)
    yield from each_index(orders)
    orders.get("ann", 3).update([orders.state.set("paid")])
    yield from each_index(orders)
    orders("ann", 9, total=90, due=NOON - timedelta(days=1)).save()
    yield from each_index(orders)
    orders.get("bob", 2).delete()
    yield from each_index(orders)


def put_orders(orders: type[Order]) -> None:
    for customer in ("ann", "bob"):
        for number in range(6):
            orders(
                customer,
                number,
                total=number * 10,
                due=NOON + timedelta(days=10 - number),
                state=("new", "paid", "sent")[number % 3],
                lines=[Line(article=f"article {number}")],
            ).save()


def each_index(orders: type[Order]) -> Iterator[Any]:
    week = NOON + timedelta(days=7)
    yield from twice(lambda: list(orders.by_due.query("ann")))
    yield from twice(lambda: list(orders.by_due.query("ann", orders.due < week)))
    yield from twice(
        lambda: list(orders.by_due.query("ann", scan_index_forward=False, limit=2))
    )
    yield from twice(lambda: list(orders.by_state.query("paid", rate_limit=10_000)))
    yield from twice(
        lambda: list(orders.by_state.query("new", filter_condition=orders.total > 0))
    )
    yield from twice(lambda: orders.by_state.count("paid"))
    yield from twice(lambda: list(orders.by_number.query(2)))


def queries_and_pages(models: Models) -> Iterator[Any]:
    orders = models.orders
    put_orders(orders)
    yield from each_query(orders)
    orders("ann", 2, total=21).save()
    yield from each_query(orders)
    with orders.batch_write() as batch:
        batch.delete(orders("ann", 4))
        batch.save(orders("ann", 7))
    yield from each_query(orders)


def each_query(orders: type[Order]) -> Iterator[Any]:
    yield from twice(lambda: list(orders.query("ann", page_size=2)))
    yield from twice(lambda: list(orders.query("ann", orders.number.between(1, 4))))
    yield from twice(lambda: list(orders.query("ann", attributes_to_get=["total"])))
    yield from twice(lambda: orders.count("ann", filter_condition=orders.total > 20))
    yield from twice(lambda: list(orders.query("ann", consistent_read=True)))
    pages = orders.query("ann", limit=3, page_size=3)
    yield list(pages)
    yield pages.last_evaluated_key
    rest = orders.query("ann", last_evaluated_key=pages.last_evaluated_key)
    yield list(rest), rest.total_count, rest.last_evaluated_key


def scans(models: Models) -> Iterator[Any]:
    orders = models.orders
    put_orders(orders)
    yield from each_scan(orders)
    orders("cid", 1, state="paid").save()
    yield from each_scan(orders)
    orders("bob", 3).delete()
    yield from each_scan(orders)


def each_scan(orders: type[Order]) -> Iterator[Any]:
    yield from twice(lambda: list(orders.scan()))
    yield from twice(lambda: list(orders.scan(page_size=2)))
    yield from twice(lambda: list(orders.scan(orders.state == "paid")))
    yield from twice(
        lambda: [list(orders.scan(segment=n, total_segments=2)) for n in range(2)]
    )
    yield from twice(lambda: list(orders.by_state.scan()))
    yield from twice(orders.count)
    yield from twice(lambda: orders.get("ann", 1))


def batches(models: Models) -> Iterator[Any]:
    orders = models.orders
    put_orders(orders)
    keys = [(customer, number) for customer in ("ann", "cid") for number in range(4)]
    yield from each_batch(orders, keys)
    with orders.batch_write() as batch:
        for number in range(2, 40):
            batch.save(orders("cid", number, total=number))
        batch.delete(orders("ann", 1))
    yield from each_batch(orders, keys)
    orders("ann", 1).save()
    orders.get("ann", 2).update([orders.total.set(22)])
    yield from each_batch(orders, keys)
    yield from twice(lambda: len(list(orders.query("cid"))))


def each_batch(orders: type[Order], keys: list[tuple[str, int]]) -> Iterator[Any]:
    def by_key(**options: Any) -> list[Any]:
        found = orders.batch_get(list(keys), **options)
        return sorted((_plain(order) for order in found), key=repr)

    yield from twice(lambda: orders.get(*keys[1]))
    yield from twice(by_key)
    yield from twice(lambda: orders.get(*keys[2]))
    yield from twice(lambda: by_key(attributes_to_get=["customer", "number", "total"]))
    yield from twice(lambda: by_key(consistent_read=True))


def transactions(models: Models) -> Iterator[Any]:
    orders, accounts = models.orders, models.accounts
    connection = Connection(region=REGION, host=orders.Meta.host)
    account = accounts("ann", balance=10)
    account.save()
    order = orders("ann", 1, total=4)
    for total in (4, 7):  # the second is more than is left
        yield from both(orders, accounts, connection)
        yield outcome(partial(buy, connection, account, order, total))
    yield from both(orders, accounts, connection)
    with TransactWrite(connection=connection) as transaction:
        transaction.delete(orders("ann", 1))
        transaction.condition_check(accounts, "ann", condition=accounts.balance >= 0)
    yield from both(orders, accounts, connection)


def buy(connection: Connection, account: Account, order: Order, total: int) -> None:
    model = type(account)
    order.total = total
    with TransactWrite(connection=connection) as transaction:
        transaction.update(
            account,
            actions=[model.balance.add(-total)],
            condition=model.balance >= total,
        )
        transaction.save(order)


def both(
    orders: type[Order], accounts: type[Account], connection: Connection
) -> Iterator[Any]:
    yield from twice(lambda: accounts.get("ann"))
    yield from twice(lambda: orders.get("ann", 1))
    yield from twice(lambda: list(orders.query("ann")))
    with TransactGet(connection=connection) as transaction:
        future = transaction.get(accounts, "ann")
    yield future.get()


def tables_that_come_and_go(models: Models) -> Iterator[Any]:
    orders = models.orders
    orders("ann", 1).save()
    yield from twice(lambda: orders.get("ann", 1))
    yield from twice(lambda: list(orders.query("ann")))
    orders.delete_table(wait=True)
    yield from twice(orders.exists)
    yield from twice(lambda: orders.get("ann", 1))
    yield from twice(lambda: list(orders.query("ann")))
    orders.create_table(wait=True, billing_mode="PAY_PER_REQUEST")
    yield from twice(lambda: orders.get("ann", 1))
    yield from twice(lambda: list(orders.query("ann")))


# --- the tests ---------------------------------------------------------------------

SCENARIOS: tuple[Scenario, ...] = (
    every_attribute_type,
    conditional_saves,
    version_attributes,
    index_queries,
    queries_and_pages,
    scans,
    batches,
    transactions,
    tables_that_come_and_go,
)


@pytest.mark.parametrize(
    ("scenario", "settings"),
    [
        pytest.param(scenario, store, id=f"{scenario.__name__}-{store}")
        for scenario, store in zip(SCENARIOS, cycle(("memory", "disk")), strict=False)
    ],
    indirect=["settings"],
)
def test_models_see_the_same_with_the_cache_and_call_dynamodb_less(
    scenario: Scenario, dynamodb: DynamoDB, settings: dict[str, Any]
) -> None:
    expected, without = run_uncached(scenario, dynamodb)
    stats = botocache.install(**settings).stats
    with dynamodb.counting() as reached:
        assert run(scenario, dynamodb) == expected
    assert {name: reached[name] for name in WRITES} == {
        name: without[name] for name in WRITES
    }
    assert not reached - without
    assert reached.total() < without.total()
    assert stats().hits > 0
    assert stats().failures == {}
