"""An async application that has the cache, against moto's server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

from aiobotocore.client import AioBaseClient
from aiobotocore.session import AioSession, get_session
from botocore.loaders import Loader

from tests.support.dynamodb import REGION, DynamoDB

KEY_ID = "AKIAAPPLICATION00000"

SETTINGS: Mapping[str, Any] = {"timeout": 10}
"""A busy machine must not make a server look as if it failed."""

_loader = Loader()
"""botocore's models, read from disk once for all sessions."""


def run(application: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an application in an event loop of its own."""
    asyncio.run(application())


def new_session(key: str = KEY_ID) -> AioSession:
    """Return a new session with static credentials."""
    session = get_session()
    session.register_component("data_loader", _loader)
    session.set_credentials(key, "secret")
    return session


@asynccontextmanager
async def client_of(
    dynamodb: DynamoDB, session: AioSession, **options: Any
) -> AsyncIterator[Any]:
    """Yield a client of the server."""
    making = session.create_client(
        "dynamodb", region_name=REGION, endpoint_url=dynamodb.url, **options
    )
    async with making as client:
        yield client


@contextmanager
def past_the_pipeline() -> Iterator[None]:
    """Fail each call that gets to aiobotocore's pipeline."""
    with mock.patch.object(
        AioBaseClient, "_emit_api_params", side_effect=AssertionError("the pipeline")
    ):
        yield


async def get(client: Any, table: str, pk: str = "a") -> Any:
    """Return an item; None when there is none."""
    return (await client.get_item(TableName=table, Key={"pk": {"S": pk}})).get("Item")


async def put(client: Any, table: str, pk: str, n: int = 1) -> None:
    """Put an item."""
    await client.put_item(TableName=table, Item=item(pk, n))


def item(pk: str, n: int = 1) -> dict[str, Any]:
    """Return an item as a client takes it."""
    return {"pk": {"S": pk}, "n": {"N": str(n)}}


def answer_of(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response without what describes the call and not the answer."""
    apart = ("ResponseMetadata", "ConsumedCapacity")
    return {name: each for name, each in response.items() if name not in apart}
