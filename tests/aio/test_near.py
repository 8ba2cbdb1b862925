"""The near cache answers clients of aiobotocore before the pipeline, without a wait."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

import pytest
from aiobotocore.client import AioBaseClient
from aiobotocore.credentials import (
    AioCredentials,
    AioDeferredRefreshableCredentials,
    AioRefreshableCredentials,
)

import botocache
from botocache import Cache
from botocache._aiobotocore.near_client import AioNearClient
from botocache._aiobotocore.offload import Offload
from botocache._near.client_state import OPERATIONS, emitter_of, state_of
from botocache.stores.protocol import Store
from tests.aio.near_world import (
    SETTINGS,
    answer_of,
    client_of,
    get,
    item,
    new_session,
    past_the_pipeline,
    put,
    run,
)
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB
from tests.support.forwarding_store import ForwardingStore
from tests.support.stores import opened_store

SETTLE = 1.1

every_store = pytest.mark.parametrize(
    "store", ["memory", "disk", "redis"], indirect=True
)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The store in memory, or the one that the test asks for, on the test's clock."""
    with opened_store(getattr(request, "param", "memory"), request) as made:
        yield made


@pytest.fixture(autouse=True)
def _all_is_awaited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a coroutine behind that was never awaited."""
    left: list[str] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda each: left.append(str(each.exc_value))
    )
    yield
    gc.collect()
    assert left == []


@pytest.fixture
def table(dynamodb: DynamoDB) -> str:
    """Return a table with three items."""
    name = dynamodb.create_table("pk:S")
    outside = dynamodb.client()
    for pk in "abc":
        outside.put_item(TableName=name, Item=item(pk))
    return name


class App:
    """An application with a cached client.

    outside: a client without the cache.
    """

    def __init__(
        self, dynamodb: DynamoDB, store: Store, clock: FakeClock, table: str
    ) -> None:
        self.dynamodb, self.store, self.clock = dynamodb, store, clock
        self.table = table
        self.outside: Any = dynamodb.client()

    @asynccontextmanager
    async def cached(self, **settings: Any) -> AsyncIterator[tuple[Any, Cache]]:
        """Yield a client and its cache."""
        session = new_session()
        cache = botocache.install(
            session, **{"url": self.store, **SETTINGS, **settings}
        )
        async with client_of(self.dynamodb, session) as client:
            yield client, cache


@pytest.fixture
def app(dynamodb: DynamoDB, store: Store, clock: FakeClock, table: str) -> App:
    return App(dynamodb, store, clock, table)


async def warm(client: Any, table: str, pk: str = "a") -> Any:
    """Read an item until it is in memory; return the last one."""
    for _ in range(2):
        await get(client, table, pk)
    return await get(client, table, pk)


def steps_of(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns at its first step, which must be its last."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("it waits")


# --- a hit -------------------------------------------------------------------------


@every_store
def test_the_third_read_reaches_neither_the_pipeline_nor_dynamodb(app: App) -> None:
    async def application() -> None:
        async with app.cached() as (client, cache):
            first = await warm(client, app.table)
            with past_the_pipeline(), app.dynamodb.counting() as reached:
                assert await get(client, app.table) == first == item("a")
            assert reached == {}
            assert cache.stats().failures == {}

    run(application)


@pytest.mark.parametrize("store", ["memory", "disk"], indirect=True)
def test_a_near_hit_is_counted_loads_nothing_and_is_done_in_one_step(app: App) -> None:
    async def application() -> None:
        async with app.cached() as (client, cache):
            await warm(client, app.table)
            before = cache.stats()
            with mock.patch.object(app.store, "load", side_effect=AssertionError):
                assert steps_of(get(client, app.table)) == item("a")
            after = cache.stats()
            assert after.near_hits == before.near_hits + 1
            assert after.hits == before.hits + 1

    run(application)


def test_a_store_in_memory_is_asked_without_a_turn_of_the_loop(app: App) -> None:
    async def application() -> None:
        async with app.cached() as (client, cache):
            for pk in "ab":
                await get(client, app.table, pk)
            near_hits = cache.stats().near_hits
            assert steps_of(get(client, app.table, "b")) == item("b")
            assert cache.stats().near_hits == near_hits
            assert cache.stats().hits == 1

    run(application)


def test_other_tasks_go_on_while_a_store_is_asked(app: App) -> None:
    """A store that waits is loaded by a thread, also where the near cache asks it."""
    turns: list[str] = []

    class Slow(ForwardingStore):
        """A store that answers once another task has run."""

        loop: asyncio.AbstractEventLoop | None = None

        def _before(self, verb: str) -> None:
            if self.loop is not None and verb == "load":
                # It would hang, and fail, if the loop itself were here.
                note = asyncio.run_coroutine_threadsafe(_note(turns), self.loop)
                note.result(10)

    async def application() -> None:
        slow = Slow(app.store)
        async with app.cached(url=slow, timeout=10) as (client, _):
            await warm(client, app.table)
            forget(client)
            slow.loop = asyncio.get_running_loop()
            with past_the_pipeline():
                assert await get(client, app.table) == item("a")
        assert turns == ["another task"]

    run(application)


async def _note(turns: list[str]) -> None:
    turns.append("another task")


def forget(client: Any) -> None:
    """Clear what the near cache of a client remembers."""
    emitter = emitter_of(client)
    assert emitter is not None
    state = state_of(client, emitter)
    assert state.answers is not None
    state.answers.clear()


@every_store
def test_answers_are_those_of_a_client_without_the_cache(app: App) -> None:
    query = {
        "TableName": app.table,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "a"}},
    }

    async def application() -> None:
        async with (
            app.cached() as (client, cache),
            client_of(app.dynamodb, new_session()) as plain,
        ):

            async def answers(caller: Any) -> list[Any]:
                made = [
                    await caller.get_item(TableName=app.table, Key={"pk": {"S": "b"}}),
                    await caller.get_item(TableName=app.table, Key={"pk": {"S": "-"}}),
                    await caller.query(**query),
                    await caller.scan(TableName=app.table),
                    await caller.batch_get_item(
                        RequestItems={
                            app.table: {"Keys": [{"pk": {"S": pk}} for pk in "ac-"]}
                        }
                    ),
                ]
                return [answer_of(each) for each in made]

            expected = await answers(plain)
            for _ in range(3):
                assert await answers(client) == expected
            with past_the_pipeline():
                assert await answers(client) == expected
            assert cache.stats().failures == {}

    run(application)


def test_changing_an_answer_does_not_change_the_next(app: App) -> None:
    async def application() -> None:
        async with app.cached() as (client, _):
            for _ in range(4):
                answer = await get(client, app.table)
                assert answer == item("a")
                answer.clear()

    run(application)


def test_entries_of_a_sync_client_are_hits_of_an_async_one_and_the_reverse(
    app: App,
) -> None:
    sync_session = app.dynamodb.session("AKIAAPPLICATION00000")
    botocache.install(sync_session, url=app.store, **SETTINGS)
    sync_client: Any = app.dynamodb.client(sync_session)
    keys = {pk: {"TableName": app.table, "Key": {"pk": {"S": pk}}} for pk in "ab"}

    async def application() -> None:
        async with app.cached() as (client, _):
            sync_client.get_item(**keys["a"])
            await get(client, app.table, "b")
            with app.dynamodb.counting() as reached:
                assert await get(client, app.table, "a") == item("a")
                assert sync_client.get_item(**keys["b"])["Item"] == item("b")
            assert reached == {}

    run(application)


# --- what ends a hit ---------------------------------------------------------------


@every_store
def test_nothing_that_was_read_before_a_write_is_served_after_it(app: App) -> None:
    async def application() -> None:
        async with app.cached() as (client, _):
            for n in range(2, 6):
                await warm(client, app.table)
                await put(client, app.table, "a", n)
                assert await get(client, app.table) == item("a", n)
                app.clock.advance(SETTLE)

    run(application)


def test_a_write_of_a_sync_client_ends_the_near_hits_of_an_async_one(app: App) -> None:
    sync_session = app.dynamodb.session("AKIAAPPLICATION00000")
    botocache.install(sync_session, url=app.store, **SETTINGS)
    sync_client: Any = app.dynamodb.client(sync_session)

    async def application() -> None:
        async with app.cached() as (client, _):
            await warm(client, app.table)
            sync_client.put_item(TableName=app.table, Item=item("a", 7))
            assert await get(client, app.table) == item("a", 7)

    run(application)


def test_bypass_and_refresh_are_of_one_task(app: App) -> None:
    async def application() -> None:
        async with app.cached() as (client, cache):
            await warm(client, app.table)
            inside, outside = asyncio.Event(), asyncio.Event()

            async def bypassing() -> None:
                with botocache.bypass():
                    inside.set()
                    await outside.wait()
                    await get(client, app.table)

            async def refreshing() -> None:
                with botocache.refresh():
                    await outside.wait()
                    await get(client, app.table)

            async def reading() -> None:
                await inside.wait()
                before = cache.stats().near_hits
                await get(client, app.table)
                assert cache.stats().near_hits == before + 1
                outside.set()

            with app.dynamodb.counting() as reached:
                await asyncio.gather(bypassing(), refreshing(), reading())
            assert reached == {"GetItem": 2}

    run(application)


def test_uninstalling_leaves_a_plain_client(app: App) -> None:
    async def application() -> None:
        session = new_session()
        async with client_of(app.dynamodb, session) as client:
            kind = type(client)
            botocache.install(client, url=app.store, **SETTINGS)
            assert isinstance(client, AioNearClient)
            await warm(client, app.table)
            botocache.uninstall(client)
            assert type(client) is kind
            with app.dynamodb.counting() as reached:
                await get(client, app.table)
            assert reached == {"GetItem": 1}

    run(application)


def test_an_existing_client_gets_near_hits(app: App) -> None:
    async def application() -> None:
        session = new_session()
        async with client_of(app.dynamodb, session) as client:
            cache = botocache.install(client, url=app.store, **SETTINGS)
            await warm(client, app.table)
            with past_the_pipeline():
                assert await get(client, app.table) == item("a")
            assert cache.stats().near_hits == 2

    run(application)


# --- handlers ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_handlers_of_after_call_run_for_each_near_hit(app: App, kind: str) -> None:
    seen: list[tuple[int, bytes]] = []

    async def note_content(http_response: Any, parsed: Any, **_: Any) -> None:
        await asyncio.sleep(0)  # another turn of the loop
        seen.append((http_response.status_code, await http_response.content))
        parsed["Noted"] = len(seen)

    def note(http_response: Any, parsed: Any, **_: Any) -> None:
        seen.append((http_response.status_code, b""))
        parsed["Noted"] = len(seen)

    async def application() -> None:
        async with app.cached() as (client, cache):
            handler = note if kind == "sync" else note_content
            client.meta.events.register("after-call.dynamodb.GetItem", handler)
            await warm(client, app.table)
            near_hits = cache.stats().near_hits
            asked = {"TableName": app.table, "Key": {"pk": {"S": "a"}}}
            with past_the_pipeline():
                answers = [await client.get_item(**asked) for _ in range(2)]
            assert [each["Noted"] for each in answers] == [4, 5]
            assert [each["Item"] for each in answers] == [item("a")] * 2
            assert seen[-2:] == [(200, b"")] * 2
            assert cache.stats().near_hits == near_hits + 2

    run(application)


def test_what_a_handler_of_after_call_raises_reaches_the_application(app: App) -> None:
    async def refuse(**_: Any) -> None:
        raise ZeroDivisionError

    async def application() -> None:
        async with app.cached() as (client, _):
            await warm(client, app.table)
            client.meta.events.register("after-call.dynamodb.GetItem", refuse)
            with pytest.raises(ZeroDivisionError):
                await get(client, app.table)

    run(application)


def test_a_handler_that_changes_requests_leaves_all_to_the_pipeline(app: App) -> None:
    def change(params: Any, **_: Any) -> None:
        params["Key"]["pk"] = {"S": "b"}

    async def application() -> None:
        async with app.cached() as (client, cache):
            await warm(client, app.table)
            near_hits = cache.stats().near_hits
            event = "before-parameter-build.dynamodb.GetItem"
            client.meta.events.register(event, change)
            assert await get(client, app.table, "a") == item("b")
            assert cache.stats().near_hits == near_hits

    run(application)


def test_all_handlers_of_aiobotocore_itself_are_known(app: App) -> None:
    async def application() -> None:
        async with app.cached() as (client, _):
            emitter = emitter_of(client)
            assert emitter is not None
            state = state_of(client, emitter)
            assert state.operations == OPERATIONS
            assert state.emitting == frozenset()
            assert state.is_plain

    run(application)


def test_a_wrapper_of_the_pipeline_sees_every_call(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    send = vars(AioBaseClient)["_make_api_call"]

    async def wrapper(client: Any, operation: str, arguments: Any) -> Any:
        calls.append(operation)
        return await send(client, operation, arguments)

    async def application() -> None:
        async with app.cached() as (client, cache):
            await warm(client, app.table)
            near_hits = cache.stats().near_hits
            monkeypatch.setattr(AioBaseClient, "_make_api_call", wrapper)
            await get(client, app.table)
            assert calls == ["GetItem"]
            assert cache.stats().near_hits == near_hits

    run(application)


# --- credentials -------------------------------------------------------------------


def test_other_keys_between_two_hits_are_another_caller(app: App) -> None:
    async def application() -> None:
        async with app.cached() as (client, _):
            await warm(client, app.table)
            credentials = client._request_signer._credentials
            credentials.access_key = "AKIAANOTHERPRINCIPAL"
            with app.dynamodb.counting() as reached:
                assert await get(client, app.table) == item("a")
            assert reached == {"GetItem": 1}
            client._request_signer._credentials = AioCredentials("AKIATHIRD", "secret")
            with app.dynamodb.counting() as reached:
                assert await get(client, app.table) == item("a")
            assert reached == {"GetItem": 1}

    run(application)


def _metadata(key: str, minutes: float = 60) -> dict[str, str]:
    expiry = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    return {
        "access_key": key,
        "secret_key": "secret",
        "token": "token",
        "expiry_time": expiry.isoformat(),
    }


@pytest.mark.parametrize("kind", ["refreshable", "deferred"])
def test_credentials_that_refresh_themselves_have_near_hits_without_being_awaited(
    app: App, kind: str
) -> None:
    refreshed: list[str] = []

    async def refresh() -> dict[str, str]:
        refreshed.append("refreshed")
        return _metadata(f"ASIA{len(refreshed):016}")

    async def application() -> None:
        credentials: Any = (
            AioRefreshableCredentials.create_from_metadata(
                _metadata("ASIAFIRST"), refresh, "a-test"
            )
            if kind == "refreshable"
            else AioDeferredRefreshableCredentials(refresh, "a-test")
        )
        async with app.cached() as (client, cache):
            client._request_signer._credentials = credentials
            await warm(client, app.table)
            near_hits = cache.stats().near_hits
            with mock.patch.object(
                AioRefreshableCredentials,
                "_protected_refresh",
                side_effect=AssertionError,
            ):
                assert steps_of(get(client, app.table)) == item("a")
            assert cache.stats().near_hits == near_hits + 1
            # New keys, by whichever task: another session of the role, perhaps.
            await credentials._protected_refresh(is_mandatory=True)
            with app.dynamodb.counting() as reached:
                assert await get(client, app.table) == item("a")
            assert reached == {"GetItem": 1}
            assert len(refreshed) == (1 if kind == "refreshable" else 2)

    run(application)


def test_credentials_about_to_expire_have_no_near_hits(app: App) -> None:
    async def refresh() -> dict[str, str]:
        return _metadata("ASIASECOND")

    async def application() -> None:
        credentials: Any = AioRefreshableCredentials.create_from_metadata(
            _metadata("ASIAFIRST", minutes=1), refresh, "a-test"
        )
        async with app.cached() as (client, cache):
            client._request_signer._credentials = credentials
            emitter = emitter_of(client)
            assert emitter is not None
            assert state_of(client, emitter).answers is None
            assert await get(client, app.table) == item("a")
            assert cache.stats().near_hits == 0

    run(application)


def test_credentials_of_the_applications_own_have_no_near_hits(app: App) -> None:
    class ByTenant(AioCredentials):  # type: ignore[misc]  # it has no types
        async def get_frozen_credentials(self) -> Any:
            await asyncio.sleep(0)
            return await super().get_frozen_credentials()

    async def application() -> None:
        async with app.cached() as (client, cache):
            client._request_signer._credentials = ByTenant("AKIATENANT", "secret")
            for _ in range(4):
                assert await get(client, app.table) == item("a")
            assert cache.stats().near_hits == 0
            assert cache.stats().failures == {}

    run(application)


# --- what goes wrong ---------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "botocache._near.client.current_mode",
        "botocache._near.client.derive_body",
        "botocache._near.client.deliver_from_store",
        "botocache._near.delivery.copier_of_hit",
    ],
)
def test_a_bug_of_our_own_never_disturbs_the_application(
    app: App, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def application() -> None:
        async with app.cached() as (client, cache):
            await warm(client, app.table)
            forget(client)
            monkeypatch.setattr(place, mock.Mock(side_effect=KeyError))
            assert await get(client, app.table) == item("a")
            assert cache.stats().failures["near_failed"] >= 1

    run(application)


@pytest.mark.parametrize("store", ["memory", "redis"], indirect=True)
def test_a_read_that_is_cancelled_leaves_nothing_and_the_next_is_answered(
    app: App,
) -> None:
    async def application() -> None:
        async with app.cached() as (client, cache):
            await warm(client, app.table)
            for turns in range(6):
                forget(client)
                task = asyncio.ensure_future(get(client, app.table, "b"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert await get(client, app.table, "b") == item("b")
            assert cache.stats().failures == {}

    run(application)


class Waiting(ForwardingStore):
    """A store that may wait, as all do that do not deny it."""

    def _before(self, verb: str) -> None:
        pass


def test_a_miss_is_begun_by_one_thread_and_filled_by_another_work(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hooks take over what the near cache has begun, without a second wait."""
    works: list[object] = []
    run_work = Offload.run

    async def note(
        offload: Offload, function: Any, *arguments: Any, **more: Any
    ) -> Any:
        works.append(function)
        return await run_work(offload, function, *arguments, **more)

    async def application() -> None:
        async with app.cached(url=Waiting(app.store)) as (client, cache):
            await get(client, app.table, "a")
            monkeypatch.setattr(Offload, "run", note)
            await get(client, app.table, "b")
            assert len(works) == 2
            assert cache.stats().fills == 2

    run(application)


def test_a_store_that_no_thread_is_free_to_ask_is_done_without(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def application() -> None:
        async with app.cached(url=Waiting(app.store)) as (client, cache):
            await warm(client, app.table)
            forget(client)
            monkeypatch.setattr("botocache._aiobotocore.offload.MOST_WAITING", 0)
            with app.dynamodb.counting() as reached:
                assert await get(client, app.table) == item("a")
            assert reached == {"GetItem": 1}
            assert cache.stats().failures["begin_failed"] >= 1

    run(application)
