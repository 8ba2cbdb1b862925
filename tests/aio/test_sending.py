"""Who sends and signs an aiobotocore client's requests, and who hands out its keys."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiobotocore.client import AioBaseClient
from aiobotocore.endpoint import AioEndpoint
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.parsers import AioJSONParser
from aiobotocore.signers import AioRequestSigner
from aiobotocore.utils import AioContainerMetadataFetcher, AioInstanceMetadataFetcher
from botocore.auth import SigV4Auth

import botocache
from botocache._aiobotocore.adapter import AioAdapter
from botocache._botocore.principals import principals, role_principal, session_of
from botocache.stores.memory import MemoryStore
from tests.aio.app import KEY_ID, client_of, get, new_session
from tests.support.dynamodb import DynamoDB


class World:
    """A client with the cache, and one of botocore with the same keys."""

    def __init__(self, dynamodb: DynamoDB) -> None:
        self.dynamodb = dynamodb
        self.table = dynamodb.create_table("pk:S")
        self.store = MemoryStore()
        session = dynamodb.session(KEY_ID)
        self.install(session)
        self.sync = dynamodb.client(session)

    def install(self, target: Any) -> None:
        botocache.install(target, url=self.store, near="off", settle=0)

    def shared(self, change: Callable[[Any], object]) -> bool:
        """Return whether an entry of botocore's client answers a changed client."""

        async def main() -> int:
            session = new_session()
            self.install(session)
            async with client_of(self.dynamodb.url, session) as client:
                change(client)
                with self.dynamodb.counting() as sent:
                    await get(client, self.table)
                return sent["GetItem"]

        self.sync.get_item(TableName=self.table, Key={"pk": {"S": "a"}})
        return asyncio.run(main()) == 0


@pytest.fixture
def world(dynamodb: DynamoDB) -> World:
    return World(dynamodb)


def test_entries_are_shared_with_botocores_clients(world: World) -> None:
    assert world.shared(lambda _: None)


METHODS: dict[str, tuple[Any, str]] = {
    "the client": (AioBaseClient, "_make_request"),
    "the endpoint": (AioEndpoint, "_send_request"),
    "the session": (AIOHTTPSession, "send"),
    "aiohttp": (aiohttp.ClientSession, "_request"),
    "the signer": (AioRequestSigner, "get_auth_instance"),
    "the signature": (SigV4Auth, "add_auth"),
    "the parser": (AioJSONParser, "_do_parse"),
}


@pytest.mark.parametrize(("kind", "name"), METHODS.values(), ids=METHODS)
def test_a_method_that_was_replaced_keeps_a_client_to_itself(
    kind: Any, name: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = getattr(kind, name)

    def replaced(*arguments: Any, **options: Any) -> Any:
        return own(*arguments, **options)

    monkeypatch.setattr(kind, name, replaced)
    assert not world.shared(lambda _: None)


def _replace_on_the_object(name: str) -> Callable[[Any], None]:
    def change(client: Any) -> None:
        owner = {
            "send": client._endpoint.http_session,
            "_send_request": client._endpoint,
            "get_auth_instance": client._request_signer,
            "create_parser": client._endpoint._response_parser_factory,
        }[name]
        own = getattr(owner, name)
        vars(owner)[name] = partial(own)

    return change


@pytest.mark.parametrize(
    "name", ["send", "_send_request", "get_auth_instance", "create_parser"]
)
def test_a_method_of_one_object_counts_as_well(name: str, world: World) -> None:
    assert not world.shared(_replace_on_the_object(name))


def test_a_session_of_the_applications_own_counts_as_well(world: World) -> None:
    class Session(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
        """Sends by other means, perhaps."""

    def change(client: Any) -> None:
        client._endpoint.http_session.__class__ = Session

    assert not world.shared(change)


def test_a_handler_that_may_tell_callers_apart_counts_as_well(world: World) -> None:
    async def add_tenant(**_: Any) -> None:
        """Change the request, perhaps."""

    def change(client: Any) -> None:
        client.meta.events.register("before-send.dynamodb", add_tenant)

    assert not world.shared(change)


# --- endpoints that hand out keys --------------------------------------------------

EXPIRY = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
ROLE = "arn:aws:iam::123456789012:role/service"
KEYS = {"AccessKeyId": "ASIA1", "SecretAccessKey": "secret", "Token": "token"}


def test_the_role_of_a_container_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    AioAdapter()
    answer = {**KEYS, "Expiration": EXPIRY, "RoleArn": ROLE}

    async def retrieve(*_: object) -> dict[str, str]:
        return answer

    monkeypatch.setattr(AioContainerMetadataFetcher, "_retrieve_credentials", retrieve)
    fetcher = AioContainerMetadataFetcher()
    try:
        assert asyncio.run(fetcher.retrieve_full_uri("http://127.0.0.1/")) is answer
        proof = principals.of(session_of("ASIA1", "secret", "token"))
        assert proof is not None
        assert proof.scope == role_principal("container-role", "", ROLE)
    finally:
        principals.clear()


def test_the_role_of_an_instance_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    AioAdapter()
    key = "ASIAY34FZKBOKMUTVV7A"  # of the account 609629065308
    keys = {**KEYS, "AccessKeyId": key, "Expiration": EXPIRY, "Code": "Success"}

    def returning(answer: object) -> Callable[..., Awaitable[object]]:
        async def method(*_: object) -> object:
            return answer

        return method

    for name, answer in {
        "_fetch_metadata_token": "token",
        "_get_iam_role": "service",
        "_get_credentials": keys,
    }.items():
        monkeypatch.setattr(AioInstanceMetadataFetcher, name, returning(answer))
    fetcher = AioInstanceMetadataFetcher()
    try:
        asyncio.run(fetcher.retrieve_iam_role_credentials())
        assert principals.of(session_of(key, "secret", "token")) is not None
    finally:
        principals.clear()
