"""Batches of aiobotocore's clients: from memory, key by key; or sent with one key."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError

import botocache
from botocache import Cache
from botocache._aiobotocore import near_client
from botocache._cache.tickets import pipeline_call
from botocache.stores.protocol import Store
from tests.aio.near_world import (
    SETTINGS,
    answer_of,
    client_of,
    item,
    new_session,
    past_the_pipeline,
    put,
    run,
)
from tests.support.dynamodb import DynamoDB
from tests.support.stores import opened_store

every_store = pytest.mark.parametrize(
    "store", ["memory", "disk", "redis"], indirect=True
)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The store in memory, or the one that the test asks for, on the test's clock."""
    with opened_store(getattr(request, "param", "memory"), request) as made:
        yield made


class App:
    """An application with a client, whose table has the items a to f."""

    def __init__(self, dynamodb: DynamoDB, store: Store) -> None:
        self.dynamodb, self.store = dynamodb, store
        self.table = dynamodb.create_table("pk:S")
        outside: Any = dynamodb.client()
        for pk in "abcdef":
            outside.put_item(TableName=self.table, Item=item(pk))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[tuple[Any, Cache]]:
        """Yield a client whose near cache remembers the items a, b and c."""
        session = new_session()
        cache = botocache.install(session, url=self.store, **SETTINGS)
        async with client_of(self.dynamodb, session) as client:
            for _ in range(3):
                await self.batch(client, "abc")
            yield client, cache

    async def batch(self, client: Any, pks: str) -> list[str]:
        """Return the names of the items that a batch returns."""
        return [each["pk"]["S"] for each in await self.items(client, pks)]

    async def items(self, client: Any, pks: str) -> list[Any]:
        """Return the items of a batch."""
        answer = await client.batch_get_item(RequestItems=self.asked(pks))
        items: list[Any] = answer["Responses"][self.table]
        return items

    def asked(self, pks: str) -> dict[str, Any]:
        """Return the argument of a batch."""
        return {self.table: {"Keys": [{"pk": {"S": pk}} for pk in pks]}}


@pytest.fixture
def app(dynamodb: DynamoDB, store: Store) -> App:
    return App(dynamodb, store)


class Sent:
    """The keys of the batches that reach DynamoDB."""

    def __init__(self, client: Any) -> None:
        self.batches: list[str] = []
        client.meta.events.register("before-send.dynamodb", self._note)

    def _note(self, request: Any, **_: Any) -> None:
        (part,) = json.loads(request.body)["RequestItems"].values()
        self.batches.append("".join(each["pk"]["S"] for each in part["Keys"]))


def handlers_of_sent() -> Any:
    """Allow a handler of a test's own, which may else tell callers apart."""
    return mock.patch("botocache._botocore.clients.is_known", return_value=True)


@every_store
def test_any_batch_of_remembered_keys_does_not_reach_the_pipeline(app: App) -> None:
    async def application() -> None:
        async with app.client() as (client, cache):
            before = cache.stats()
            with past_the_pipeline(), app.dynamodb.counting() as reached:
                assert await app.batch(client, "ca") == ["c", "a"]
                assert await app.batch(client, "b") == ["b"]
            assert reached == {}
            assert cache.stats().hits == before.hits + 3
            assert cache.stats().failures == {}

    run(application)


@pytest.mark.parametrize("store", ["memory", "disk"], indirect=True)
def test_each_key_counts_as_a_near_hit(app: App) -> None:
    async def application() -> None:
        async with app.client() as (client, cache):
            before = cache.stats().near_hits
            await app.batch(client, "cab")
            assert cache.stats().near_hits == before + 3

    run(application)


@every_store
def test_a_batch_is_sent_with_the_keys_that_are_no_hits(app: App) -> None:
    shortened: list[Any] = []
    send = near_client._send_shortened

    async def note(call: Any, *arguments: Any) -> Any:
        shortened.append(call.shortened["RequestItems"][app.table]["Keys"])
        return await send(call, *arguments)

    async def application() -> None:
        with handlers_of_sent():
            async with app.client() as (client, cache):
                sent = Sent(client)
                await app.batch(client, "ab")  # its handlers have changed
                with mock.patch.object(near_client, "_send_shortened", note):
                    assert await app.batch(client, "daeb") == ["d", "a", "e", "b"]
                assert sent.batches == ["de"]
                assert shortened == [[{"pk": {"S": "d"}}]]
                with past_the_pipeline():
                    assert await app.batch(client, "deab") == ["d", "e", "a", "b"]
                assert cache.stats().failures == {}

    run(application)


def test_answers_are_those_of_a_client_without_the_cache(app: App) -> None:
    async def application() -> None:
        async with (
            app.client() as (client, _),
            client_of(app.dynamodb, new_session()) as plain,
        ):
            for pks in ("cdx", "afx", "fdcba", "x"):
                asked = app.asked(pks)
                expected = answer_of(await plain.batch_get_item(RequestItems=asked))
                for _ in range(3):
                    made = answer_of(await client.batch_get_item(RequestItems=asked))
                    assert made == expected

    run(application)


def test_nothing_that_was_read_before_a_write_is_served_after_it(app: App) -> None:
    async def application() -> None:
        async with app.client() as (client, _):
            await put(client, app.table, "b", 7)
            assert await app.items(client, "abc") == [
                item("a"),
                item("b", 7),
                item("c"),
            ]

    run(application)


def test_batches_of_several_tasks_at_once_have_their_own_keys(app: App) -> None:
    async def application() -> None:
        async with app.client() as (client, cache):
            wanted = ["ad", "be", "cf", "dea", "f"] * 4
            answers = await asyncio.gather(*(app.batch(client, pks) for pks in wanted))
            assert answers == [list(pks) for pks in wanted]
            assert cache.stats().failures == {}
            assert pipeline_call.get() is None

    run(application)


def test_a_cache_that_is_uninstalled_meanwhile_leaves_the_whole_answer(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = near_client._send_shortened

    async def application() -> None:
        async with client_of(app.dynamodb, new_session()) as client:
            botocache.install(client, url=app.store, **SETTINGS)
            for _ in range(3):
                await app.batch(client, "a")

            async def uninstall_and_send(*arguments: Any) -> Any:
                botocache.uninstall(client)
                return await send(*arguments)

            monkeypatch.setattr(near_client, "_send_shortened", uninstall_and_send)
            assert await app.batch(client, "abc") == ["a", "b", "c"]
            assert botocache.installed(client) is None

    run(application)


def test_new_keys_of_the_client_get_no_hit_of_the_old_ones(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = near_client._send_shortened

    async def application() -> None:
        with handlers_of_sent():
            async with app.client() as (client, _):
                sent = Sent(client)
                await app.batch(client, "ab")

                async def change_and_send(*arguments: Any) -> Any:
                    client._request_signer._credentials.access_key = "AKIAANOTHER"
                    return await send(*arguments)

                monkeypatch.setattr(near_client, "_send_shortened", change_and_send)
                assert await app.batch(client, "ad") == ["a", "d"]
                assert sent.batches == ["ad"]

    run(application)


def test_an_error_of_dynamodb_is_that_of_the_whole_request(app: App) -> None:
    async def application() -> None:
        async with app.client() as (client, _):
            asked = {**app.asked("a"), "no-such-table": {"Keys": [{"pk": {"S": "a"}}]}}
            with pytest.raises(ClientError) as caught:
                await client.batch_get_item(RequestItems=asked)
            error = caught.value.response["Error"]
            assert error["Code"] == "ResourceNotFoundException"

    run(application)


@pytest.mark.parametrize("store", ["memory", "redis"], indirect=True)
def test_a_batch_that_is_cancelled_leaves_no_announcement_and_the_next_is_whole(
    app: App,
) -> None:
    async def application() -> None:
        async with app.client() as (client, cache):
            for turns in range(8):
                task = asyncio.ensure_future(app.batch(client, "afd"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert await app.batch(client, "afd") == ["a", "f", "d"]
            assert cache.stats().failures == {}

    run(application)
