"""Which clients of aiobotocore and aioboto3 an installation reaches; how it ends."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiobotocore
import aiobotocore.client
import pytest

import botocache
from botocache import ConfigError, _install
from botocache._botocore import clients
from botocache.stores.memory import MemoryStore
from tests.aio.app import KEY_ID, client_of, get, new_session
from tests.support.dynamodb import REGION, DynamoDB

try:
    import aioboto3
except ImportError:
    aioboto3 = None

SETTINGS: dict[str, Any] = {"near": "off", "settle": 0, "negative_ttl": 60}
_ROOT = Path(__file__).parents[2]


class Target:
    """What to install on, and what reads through it."""

    def __init__(self, target: Any, read: Callable[[str], Any]) -> None:
        self.target = target
        self.read = read


@asynccontextmanager
async def _process(url: str) -> AsyncIterator[Target]:
    async def read(table: str) -> None:
        async with client_of(url, new_session()) as client:
            await get(client, table)

    yield Target(None, read)


@asynccontextmanager
async def _session(url: str) -> AsyncIterator[Target]:
    session = new_session()

    async def read(table: str) -> None:
        async with client_of(url, session) as client:
            await get(client, table)

    yield Target(session, read)


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Target]:
    async with client_of(url, new_session()) as client:
        yield Target(client, lambda table: get(client, table))


@asynccontextmanager
async def _process_of_a_client(url: str) -> AsyncIterator[Target]:
    async with client_of(url, new_session()) as client:
        yield Target(None, lambda table: get(client, table))


def _session_of_aioboto3() -> Any:
    return aioboto3.Session(KEY_ID, "secret", region_name=REGION)


@asynccontextmanager
async def _aioboto3_session(url: str) -> AsyncIterator[Target]:
    session = _session_of_aioboto3()

    async def read(table: str) -> None:
        async with session.client("dynamodb", endpoint_url=url) as client:
            await get(client, table)

    yield Target(session, read)


@asynccontextmanager
async def _aioboto3_resource(url: str) -> AsyncIterator[Target]:
    async with _session_of_aioboto3().resource("dynamodb", endpoint_url=url) as made:

        async def read(table: str) -> None:
            await (await made.Table(table)).get_item(Key={"pk": "a"})

        yield Target(made, read)


@asynccontextmanager
async def _aioboto3_table(url: str) -> AsyncIterator[Target]:
    async with _session_of_aioboto3().resource("dynamodb", endpoint_url=url) as made:

        async def read(table: str) -> None:
            await (await made.Table(table)).get_item(Key={"pk": "a"})

        yield Target(await made.Table("whatever"), read)


TARGETS: dict[str, Any] = {
    "the process": _process,
    "the process, of a client": _process_of_a_client,
    "a session": _session,
    "a client": _client,
}
if aioboto3 is not None:
    TARGETS |= {
        "a session of aioboto3": _aioboto3_session,
        "a resource": _aioboto3_resource,
        "a Table": _aioboto3_table,
    }


@pytest.mark.parametrize("make", TARGETS.values(), ids=TARGETS)
def test_a_target_has_the_cache_from_its_installation_to_its_end(
    make: Any, dynamodb: DynamoDB
) -> None:
    table, store = dynamodb.create_table("pk:S"), MemoryStore()

    async def reaching(target: Target) -> int:
        with dynamodb.counting() as sent:
            for _ in range(2):
                await target.read(table)
        return sent["GetItem"]

    async def main() -> None:
        async with make(dynamodb.url) as target:
            assert botocache.installed(target.target) is None
            cache = botocache.install(target.target, url=store, **SETTINGS)
            assert botocache.installed(target.target) is cache
            assert await reaching(target) == 1
            assert cache is botocache.install(target.target, url=store, **SETTINGS)
            botocache.uninstall(target.target)
            assert botocache.installed(target.target) is None
            assert await reaching(target) == 2
            assert cache is botocache.install(target.target, url=store, **SETTINGS)
            assert await reaching(target) == 0

    asyncio.run(main())


def test_a_client_gets_its_class_back(dynamodb: DynamoDB) -> None:
    async def main() -> None:
        async with client_of(dynamodb.url, new_session()) as client:
            kind = type(client)
            botocache.install(client, url=MemoryStore(), **SETTINGS)
            assert type(client) is not kind
            assert isinstance(client, kind)
            botocache.uninstall(client)
            assert type(client) is kind

    asyncio.run(main())


def test_one_installation_reaches_clients_of_both_libraries(
    dynamodb: DynamoDB,
) -> None:
    table, store = dynamodb.create_table("pk:S"), MemoryStore()

    async def main() -> None:
        botocache.install(url=store, **SETTINGS)
        with dynamodb.counting() as sent:
            key = {"pk": {"S": "a"}}
            dynamodb.client(dynamodb.session(KEY_ID)).get_item(TableName=table, Key=key)
            async with client_of(dynamodb.url, new_session()) as client:
                await get(client, table)
        assert sent["GetItem"] == 1

    asyncio.run(main())


def test_what_makes_a_client_is_refused_with_a_hint() -> None:
    creating = new_session().create_client("dynamodb", region_name=REGION)
    try:
        with pytest.raises(
            ConfigError, match="ClientCreatorContext only makes a clien"
        ):
            botocache.install(creating)
    finally:
        creating._coro.close()


def test_a_client_of_another_service_is_refused(dynamodb: DynamoDB) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            making = new_session().create_client("s3", region_name=REGION)
            client = await stack.enter_async_context(making)
            with pytest.raises(ConfigError, match="not of s3"):
                botocache.install(client)

    asyncio.run(main())


def test_a_version_that_is_not_supported_is_passed_over_and_said_once(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    table = dynamodb.create_table("pk:S")

    class Adapter:
        def __init__(self) -> None:
            raise ImportError("cannot import name 'AioBaseClient'")

    monkeypatch.setattr("botocache._aiobotocore.adapter.AioAdapter", Adapter)
    monkeypatch.setattr(_install, "_adapters", {})
    monkeypatch.setattr(clients, "kinds_of_traits", {})

    async def main() -> None:
        cache = botocache.install(url=MemoryStore(), **SETTINGS)
        with dynamodb.counting() as sent:
            async with client_of(dynamodb.url, new_session()) as client:
                for _ in range(2):
                    await get(client, table)
        assert sent["GetItem"] == 2
        assert cache.stats().hits == 0

    asyncio.run(main())
    (line,) = [each for each in caplog.messages if "aiobotocore" in each]
    assert f"aiobotocore {aiobotocore.__version__} is not supported" in line


PROGRAM = """
import asyncio, sys
from aiobotocore.session import get_session

async def main():
    making = get_session().create_client(
        "dynamodb", region_name="us-east-1", endpoint_url=sys.argv[1],
        aws_access_key_id="AKIATOGGLE", aws_secret_access_key="secret",
    )
    async with making as client:
        for _ in range(3):
            await client.get_item(TableName=sys.argv[2], Key={"pk": {"S": "a"}})

asyncio.run(main())
"""


def test_the_toggle_needs_no_code(dynamodb: DynamoDB, tmp_path: Path) -> None:
    table = dynamodb.create_table("pk:S")
    program = [sys.executable, "-W", "error", "-c", PROGRAM, dynamodb.url, table]
    command = [sys.executable, "-m", "botocache", "run", "--", *program]
    environ = {
        **os.environ,
        "BOTOCACHE_URL": f"disk://{tmp_path}",
        "PYTHONPATH": str(_ROOT),
    }
    with dynamodb.counting() as sent:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    # The disk store opens its database behind the first call.
    assert sent["GetItem"] < 3
