"""Near hits of aioboto3's resources: answers as boto3's resource layer leaves them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary, TypeDeserializer

import botocache
from botocache import Cache
from botocache._near.client_state import OPERATIONS, emitter_of, state_of
from botocache.stores.protocol import Store
from tests.aio.near_world import (
    KEY_ID,
    SETTINGS,
    answer_of,
    new_session,
    past_the_pipeline,
    run,
)
from tests.support.dynamodb import REGION, DynamoDB
from tests.support.stores import opened_store

aioboto3 = pytest.importorskip("aioboto3", reason="this environment has no aioboto3")

ITEM: dict[str, Any] = {
    "pk": "a",
    "n": Decimal("1.5"),
    "binary": Binary(b"\x00\x01"),
    "texts": {"x", "y"},
    "list": ["x", {"deep": [Decimal(1)]}],
}

every_store = pytest.mark.parametrize(
    "store", ["memory", "disk", "redis"], indirect=True
)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The store in memory, or the one that the test asks for, on the test's clock."""
    with opened_store(getattr(request, "param", "memory"), request) as made:
        yield made


class App:
    """An application with a resource."""

    def __init__(self, dynamodb: DynamoDB, store: Store) -> None:
        self.dynamodb, self.store = dynamodb, store
        self.table = dynamodb.create_table("pk:S")
        outside: Any = dynamodb.resource()
        for pk in "abc":
            outside.Table(self.table).put_item(Item={**ITEM, "pk": pk})

    @asynccontextmanager
    async def resource(self, *, is_cached: bool = True) -> AsyncIterator[Any]:
        """Yield a resource; its cache, if it has one, is that of its session."""
        session = aioboto3.Session(botocore_session=new_session(), region_name=REGION)
        if is_cached:
            botocache.install(session, url=self.store, **SETTINGS)
        making = session.resource("dynamodb", endpoint_url=self.dynamodb.url)
        async with making as resource:
            yield resource

    @asynccontextmanager
    async def tables(self) -> AsyncIterator[tuple[Any, Any, Cache]]:
        """Yield a Table with the cache, one without it, and the cache."""
        async with self.resource() as cached, self.resource(is_cached=False) as plain:
            cache = botocache.install(cached, url=self.store, **SETTINGS)
            yield await cached.Table(self.table), await plain.Table(self.table), cache


@pytest.fixture
def app(dynamodb: DynamoDB, store: Store) -> App:
    return App(dynamodb, store)


@every_store
def test_near_hits_of_a_table_are_answers_of_a_table_without_the_cache(
    app: App,
) -> None:
    async def answers(table: Any) -> list[Any]:
        batch = {app.table: {"Keys": [{"pk": pk} for pk in "ca"]}}
        made = [
            await table.get_item(Key={"pk": "a"}),
            await table.get_item(Key={"pk": "none"}),
            await table.query(KeyConditionExpression=Key("pk").eq("a")),
            await table.scan(FilterExpression=Attr("n").lt(2)),
            await table.meta.client.batch_get_item(RequestItems=batch),
        ]
        return [answer_of(each) for each in made]

    async def application() -> None:
        async with app.tables() as (table, plain, cache):
            expected = await answers(plain)
            assert expected[0]["Item"] == ITEM
            for _ in range(4):
                assert await answers(table) == expected
            before = cache.stats().near_hits
            with past_the_pipeline():
                assert await answers(table) == expected
            assert cache.stats().near_hits >= before
            assert cache.stats().failures == {}

    run(application)


def test_near_hits_of_a_table_are_counted(app: App) -> None:
    async def application() -> None:
        async with app.tables() as (table, _, cache):
            for _ in range(3):
                await table.get_item(Key={"pk": "a"})
            before = cache.stats().near_hits
            for _ in range(5):
                await table.get_item(Key={"pk": "a"})
            assert cache.stats().near_hits == before + 5

    run(application)


def test_changing_an_answer_does_not_change_the_next(app: App) -> None:
    async def application() -> None:
        async with app.tables() as (table, _, _):
            for _ in range(4):
                item = (await table.get_item(Key={"pk": "a"}))["Item"]
                assert item == ITEM
                item["texts"].clear()
                item["binary"].value = b"spoilt"
                item["list"][1]["deep"].clear()

    run(application)


def test_values_are_as_the_deserializer_of_the_moment_makes_them(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def application() -> None:
        async with app.tables() as (table, _, _):
            for _ in range(3):
                await table.get_item(Key={"pk": "a"})
            monkeypatch.setattr(
                TypeDeserializer, "_deserialize_n", lambda _, text: float(text)
            )
            for _ in range(3):
                found = (await table.get_item(Key={"pk": "a"}))["Item"]["n"]
                assert type(found) is float

    run(application)


def test_nothing_that_was_read_before_a_write_is_served_after_it(app: App) -> None:
    async def application() -> None:
        async with app.tables() as (table, _, _):
            for n in range(3):
                for _ in range(3):
                    await table.get_item(Key={"pk": "a"})
                async with table.batch_writer() as writer:
                    await writer.put_item(Item={**ITEM, "n": n})
                assert (await table.get_item(Key={"pk": "a"}))["Item"]["n"] == n
                await table.update_item(
                    Key={"pk": "a"},
                    UpdateExpression="SET n = :n",
                    ExpressionAttributeValues={":n": n + 10},
                )
                assert (await table.get_item(Key={"pk": "a"}))["Item"]["n"] == n + 10

    run(application)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_handlers_of_after_call_get_the_answer_that_the_resource_gets(
    app: App, kind: str
) -> None:
    seen: list[Any] = []

    async def note_later(parsed: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        seen.append(parsed["Item"]["n"])

    def note(parsed: Any, **_: Any) -> None:
        seen.append(parsed["Item"]["n"])

    async def application() -> None:
        async with app.tables() as (table, _, cache):
            events = table.meta.client.meta.events
            events.register_last(
                "after-call.dynamodb.GetItem", note if kind == "sync" else note_later
            )
            for _ in range(3):
                await table.get_item(Key={"pk": "a"})
            before = cache.stats().near_hits
            with past_the_pipeline():
                answer = await table.get_item(Key={"pk": "a"})
            assert answer["Item"] == ITEM
            assert cache.stats().near_hits == before + 1
            assert len(seen) == 4
            assert len({repr(each) for each in seen}) == 1

    run(application)


def test_all_handlers_of_aioboto3_itself_are_known(app: App) -> None:
    async def application() -> None:
        async with app.resource() as resource:
            client = resource.meta.client
            emitter = emitter_of(client)
            assert emitter is not None
            state = state_of(client, emitter)
            assert state.operations == OPERATIONS
            assert state.emitting == frozenset()
            assert not state.is_plain
            assert set(state.bodies) == OPERATIONS
            assert state.injector is not None

    run(application)


def test_a_sync_and_an_async_resource_share_entries(app: App) -> None:
    session = app.dynamodb.session(KEY_ID)
    botocache.install(session, url=app.store, **SETTINGS)
    sync_table: Any = app.dynamodb.resource(session).Table(app.table)

    async def application() -> None:
        async with app.tables() as (table, _, _):
            sync_table.get_item(Key={"pk": "a"})
            await table.get_item(Key={"pk": "b"})
            with app.dynamodb.counting() as reached:
                assert (await table.get_item(Key={"pk": "a"}))["Item"] == ITEM
                assert sync_table.get_item(Key={"pk": "b"})["Item"]["pk"] == "b"
            assert reached == {}

    run(application)
