"""Whose answers an aiobotocore client is served: those of botocore's with its keys."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from aiobotocore import credentials as aio
from aiobotocore.credentials import (
    AioCredentials,
    AioDeferredRefreshableCredentials,
    AioRefreshableCredentials,
)
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import (
    Credentials,
    ReadOnlyCredentials,
    RefreshableCredentials,
)

import botocache
from botocache._botocore.credentials import AUTO, are_keys_at_hand, caller_of
from botocache._botocore.principals import principals, role_principal, session_of
from botocache._cache.cache import Cache
from botocache.stores.memory import MemoryStore
from tests.aio.app import KEY_ID, client_of, get, new_session, put
from tests.support.dynamodb import DynamoDB

NOW = datetime.now(timezone.utc)
REFRESHING: list[Any] = [AioRefreshableCredentials, AioDeferredRefreshableCredentials]
REFRESHING += [
    getattr(aio, name)
    for name in ("AnyioRefreshableCredentials", "AnyioDeferredRefreshableCredentials")
    if hasattr(aio, name)
]


class Refresher:
    """Hands out keys, each time others; counts how often.

    minutes: for which they are valid.
    """

    def __init__(self, minutes: float = 60) -> None:
        self.minutes = minutes
        self.times = 0

    async def __call__(self) -> dict[str, str]:
        self.times += 1
        await asyncio.sleep(0)
        return self.keys()

    def keys(self) -> dict[str, str]:
        return {
            "access_key": f"ASIA{self.times}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": (NOW + timedelta(minutes=self.minutes)).isoformat(),
        }


def deferred(
    refresher: Refresher, kind: Any = AioDeferredRefreshableCredentials
) -> Any:
    return kind(refresher, "assume-role")


class World:
    """An application with the cache, whose credentials are set."""

    def __init__(self, dynamodb: DynamoDB) -> None:
        self.dynamodb = dynamodb
        self.table = dynamodb.create_table("pk:S")
        self.store = MemoryStore()
        self.cache: Cache

    def run(
        self,
        credentials: Any,
        application: Callable[[Any], Awaitable[None]],
        **options: Any,
    ) -> None:
        async def main() -> None:
            session = new_session(None)
            session._credentials = credentials
            self.cache = self.install(session)
            async with client_of(self.dynamodb.url, session, **options) as client:
                await application(client)

        asyncio.run(main())

    def install(self, target: Any) -> Cache:
        return botocache.install(target, url=self.store, near="off", settle=0)

    def sync_client(self, key: str = KEY_ID, **options: Any) -> Any:
        session = self.dynamodb.session(key)
        self.install(session)
        return self.dynamodb.client(session, **options)

    async def read(self, client: Any) -> int:
        """Read an item, and return how many requests DynamoDB got for it."""
        with self.dynamodb.counting() as sent:
            assert await get(client, self.table) == "1"
        return sent["GetItem"]

    def read_by(self, client: Any) -> int:
        with self.dynamodb.counting() as sent:
            answer = client.get_item(TableName=self.table, Key={"pk": {"S": "a"}})
        assert answer["Item"]["n"]["N"] == "1"
        return sent["GetItem"]


@pytest.fixture
def world(dynamodb: DynamoDB) -> World:
    made = World(dynamodb)
    dynamodb.client().put_item(
        TableName=made.table, Item={"pk": {"S": "a"}, "n": {"N": "1"}}
    )
    return made


def test_clients_of_both_libraries_with_equal_keys_share_entries(world: World) -> None:
    """Both ways, entries and evictions."""
    sync = world.sync_client()

    async def application(client: Any) -> None:
        assert world.read_by(sync) == 1
        assert await world.read(client) == 0
        await put(client, world.table, 1)
        with world.dynamodb.counting():
            sync.get_item(TableName=world.table, Key={"pk": {"S": "a"}})
        assert await world.read(client) == 0
        sync.update_item(
            TableName=world.table,
            Key={"pk": {"S": "a"}},
            UpdateExpression="SET m = :m",
            ExpressionAttributeValues={":m": {"N": "2"}},
        )
        assert await world.read(client) == 1
        assert world.read_by(sync) == 0

    world.run(AioCredentials(KEY_ID, "secret"), application)


def test_clients_with_other_keys_share_nothing(world: World) -> None:
    sync = world.sync_client()

    async def application(client: Any) -> None:
        assert world.read_by(sync) == 1
        assert await world.read(client) == 1
        client._request_signer._credentials = AioCredentials(KEY_ID, "another")
        assert await world.read(client) == 1
        client._request_signer._credentials.secret_key = "secret"
        assert await world.read(client) == 0

    world.run(AioCredentials("AKIAOTHER", "secret"), application)


def test_unsigned_clients_of_both_libraries_share_entries(world: World) -> None:
    unsigned = Config(signature_version=UNSIGNED)
    sync = world.sync_client(config=unsigned)
    key = {"pk": {"S": "of another account, for moto"}}
    with world.dynamodb.counting() as sent:
        sync.get_item(TableName=world.table, Key=key)
    assert sent["GetItem"] == 1

    async def application(client: Any) -> None:
        with world.dynamodb.counting() as sent:
            await client.get_item(TableName=world.table, Key=key)
        assert not sent

    world.run(None, application, config=unsigned)


@pytest.mark.parametrize("kind", REFRESHING)
def test_keys_are_awaited_once_and_not_for_a_hit(kind: Any, world: World) -> None:
    if "Anyio" in kind.__name__:
        pytest.importorskip("anyio")
    refresher = Refresher()
    credentials: Any = (
        deferred(refresher, kind)
        if "Deferred" in kind.__name__
        else kind.create_from_metadata(refresher.keys(), refresher, "assume-role")
    )

    async def application(client: Any) -> None:
        assert await world.read(client) == 1
        times = refresher.times

        async def fail() -> None:
            raise AssertionError("keys were awaited")

        # Not in the dict of the credentials, which would be a method of their own.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("botocache._aiobotocore.adapter.with_keys", fail)
            assert await world.read(client) == 0
        assert refresher.times == times == (1 if "Deferred" in kind.__name__ else 0)

    world.run(credentials, application)


def test_many_tasks_at_once_refresh_keys_once(world: World) -> None:
    refresher = Refresher()

    async def application(client: Any) -> None:
        answers = await asyncio.gather(*(get(client, world.table) for _ in range(20)))
        assert answers == ["1"] * 20

    world.run(deferred(refresher), application)
    assert refresher.times == 1


def test_keys_that_are_refreshed_are_those_of_another_session(world: World) -> None:
    """Unless a proof says that they are of one role."""
    refresher = Refresher()

    async def application(client: Any) -> None:
        assert await world.read(client) == 1
        credentials = client._request_signer._credentials
        credentials._expiry_time = NOW - timedelta(minutes=1)
        assert await world.read(client) == 1
        assert refresher.times == 2
        for key in ("ASIA1", "ASIA2"):
            session = session_of(key, "secret", "token")
            principals.note(session, role_principal("one"), NOW + timedelta(hours=1))
        try:
            for times, sent in ((0, 1), (1, 0)):
                refresher.times = times  # the next keys are ASIA1, then ASIA2
                credentials._expiry_time = NOW - timedelta(minutes=1)
                assert await world.read(client) == sent
        finally:
            principals.clear()

    world.run(deferred(refresher), application)


def test_botocores_and_aiobotocores_refreshing_credentials_have_one_scope(
    world: World,
) -> None:
    keys = Refresher().keys()
    sync = RefreshableCredentials.create_from_metadata(keys, lambda: keys, "iam-role")
    found = AioRefreshableCredentials.create_from_metadata(
        keys, Refresher(), "iam-role"
    )
    assert caller_of(found, AUTO) == caller_of(sync, AUTO)
    static = AioCredentials(KEY_ID, "secret")
    assert caller_of(static, AUTO) == caller_of(Credentials(KEY_ID, "secret"), AUTO)


class RefusedError(Exception):
    """What credentials raise."""


class Refusing(AioCredentials):  # type: ignore[misc]  # aiobotocore has no types
    """Has no keys."""

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        raise RefusedError


async def refuse() -> dict[str, str]:
    raise RefusedError


@pytest.mark.parametrize(
    ("credentials", "failures"),
    [
        # aiobotocore asks these for their account, before it emits `before-call`.
        (AioDeferredRefreshableCredentials(refuse, "assume-role"), {}),
        (Refusing(KEY_ID, "secret"), {"begin_failed": 2}),
    ],
)
def test_keys_that_cannot_be_had_fail_the_call_as_without_the_cache(
    credentials: Any, failures: dict[str, int], world: World
) -> None:
    async def application(client: Any) -> None:
        for call in (get(client, world.table), put(client, world.table, 2)):
            with pytest.raises(RefusedError):
                await call

    world.run(credentials, application)
    assert world.cache.stats().failures == failures


class ByTenant(AioCredentials):  # type: ignore[misc]  # aiobotocore has no types
    """Chooses keys for each call, by whatever the application has set."""

    tenant = "one"

    def __init__(self) -> None:
        super().__init__("AKIADEFAULT", "secret")

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        await asyncio.sleep(0)
        return ReadOnlyCredentials(f"AKIA{self.tenant}", "secret", None)


def test_a_class_of_the_applications_is_asked_for_each_call(world: World) -> None:
    credentials = ByTenant()

    async def application(client: Any) -> None:
        assert await world.read(client) == 1
        assert await world.read(client) == 0
        credentials.tenant = "two"
        assert await world.read(client) == 1
        credentials.tenant = "one"
        assert await world.read(client) == 0

    world.run(credentials, application)


def test_a_method_that_was_replaced_is_asked_for_each_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(["one", "one", "two", "two", "two"])

    async def choose(_: Any) -> ReadOnlyCredentials:
        return ReadOnlyCredentials(f"AKIA{next(names)}", "secret", None)

    async def application(client: Any) -> None:
        monkeypatch.setattr(AioCredentials, "get_frozen_credentials", choose)
        assert await world.read(client) == 1  # asked once more to sign
        assert await world.read(client) == 1
        assert await world.read(client) == 0

    world.run(AioCredentials(KEY_ID, "secret"), application)


def test_a_read_that_other_keys_have_signed_is_not_filled(world: World) -> None:
    """They were refreshed between `before-call` and the signature."""

    class Changing(ByTenant):
        async def get_frozen_credentials(self) -> ReadOnlyCredentials:
            keys = await super().get_frozen_credentials()
            self.tenant += "!"
            return keys

    async def application(client: Any) -> None:
        assert await world.read(client) == 1
        client._request_signer._credentials = AioCredentials("AKIAone", "secret")
        assert await world.read(client) == 1

    world.run(Changing(), application)
    assert world.cache.stats().fills == 1


def test_keys_are_at_hand_where_nothing_must_be_awaited() -> None:
    assert are_keys_at_hand(None, AUTO)
    assert are_keys_at_hand(AioCredentials(KEY_ID, "secret"), AUTO)
    assert not are_keys_at_hand(ByTenant(), AUTO)
    assert not are_keys_at_hand(deferred(Refresher()), AUTO)
    with pytest.raises(LookupError):
        caller_of(deferred(Refresher()), AUTO)
    made: Any = AioRefreshableCredentials.create_from_metadata(
        Refresher().keys(), Refresher(), "assume-role"
    )
    assert are_keys_at_hand(made, AUTO)
    # botocore refreshes already, and can still sign: no await for the scope.
    made._expiry_time = datetime.now(timezone.utc) + timedelta(minutes=12)
    assert are_keys_at_hand(made, AUTO)
    made._expiry_time = datetime.now(timezone.utc) + timedelta(minutes=9)
    assert not are_keys_at_hand(made, AUTO)
