"""A program: measures aiobotocore's clients, in the environment of the async tests.

    python -m benchmarks.aio_program [--scale full|quick|tiny] [--redis URL] [--json]

A near hit stands beside that of a client of botocore in the same process, all else
beside the same call of aiobotocore without the cache, to a transport that answers at
once. Without a URL it starts a server of its own. With --json it prints the groups as
JSON, for benchmarks/aio.py.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from time import perf_counter
from typing import Any, TypeAlias
from unittest.mock import patch

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.session import AioSession, get_session

import botocache
from benchmarks import names
from benchmarks.clients import (
    ACCESS_KEY,
    ENDPOINT,
    REGION,
    SCOPE,
    Transport,
    client,
    getting_new,
    putting_new,
    reading,
    updating,
)
from benchmarks.measure import Contender, Group, timed, timed_group
from benchmarks.scale import SCALES, Scale
from benchmarks.work import GET
from botocache._near import answers
from tests.support.processes import eventually
from tests.support.valkey_server import running_valkey

TTL = 3600.0
_numbers = count()

Settings: TypeAlias = Mapping[str, dict[str, Any]]
"""The settings of each store, by its name."""

DOING = {
    "miss": ("GetItem that misses and is filled", getting_new),
    "update": ("UpdateItem", updating),
    "put": ("PutItem, written through", putting_new),
}


class AioTransport(Transport):
    """Answers every request of a client of aiobotocore at once."""

    def _answer(self, request: Any, **options: Any) -> Any:
        plain: Any = super()._answer(request, **options)
        made = AioAWSResponse(plain.url, plain.status_code, plain.headers, plain.raw)
        made._content = plain.content  # noqa: SLF001 - as it has read it
        return made


class Loop:
    """An event loop, and the clients that live in it."""

    def __init__(self, stack: ExitStack) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = stack
        stack.callback(self._loop.close)

    def client(self, transport: AioTransport, settings: Mapping[str, Any]) -> Any:
        """Return a client of aiobotocore; cached if there are settings."""
        session: AioSession = get_session()
        session.set_credentials(ACCESS_KEY, "secret")
        if settings:
            botocache.install(session, scope=SCOPE, **settings)
        making = session.create_client(
            "dynamodb", region_name=REGION, endpoint_url=ENDPOINT
        )
        made = self._loop.run_until_complete(making.__aenter__())
        self._stack.callback(
            lambda: self._loop.run_until_complete(making.__aexit__(None, None, None))
        )
        transport.attach(made)
        return made

    def awaited(self, call: Callable[[], Any]) -> Contender:
        """Return the contender that awaits a call again and again."""

        async def repeat(calls: int) -> float:
            begin = perf_counter()
            for _ in range(calls):
                await call()
            return perf_counter() - begin

        return Contender(lambda calls: self._loop.run_until_complete(repeat(calls)))

    def now(self, call: Callable[[], Awaitable[object]]) -> None:
        """Make a call, and wait for it."""

        async def wait() -> None:
            await call()

        self._loop.run_until_complete(wait())


def always_hit(contender: Contender, transport: Transport) -> Contender:
    """Return a contender that fails unless each of its calls is a hit."""

    def is_hit() -> bool:
        sent = transport.sent
        contender.run(1)
        return transport.sent == sent

    eventually(is_hit)  # the disk store opens its database in the background
    contender.run(3)

    def run(calls: int) -> float:
        sent = transport.sent
        seconds = contender.run(calls)
        if transport.sent != sent:
            raise AssertionError(f"{transport.sent - sent} of {calls} were no hits")
        return seconds

    return Contender(run)


def groups(scale: Scale, loop: Loop, stores: Callable[[], Settings]) -> Iterator[Group]:
    """Yield near hits, then hits in the store, then misses and writes."""
    yield _near_hits(scale, loop, stores())
    yield _store_hits(scale, loop, stores())
    for name, (title, doing) in DOING.items():
        contenders = {}
        for store, settings in {names.AT_ONCE: {}, **stores()}.items():
            call = doing(_Awaiting(loop, loop.client(AioTransport(), settings)))
            contenders[store] = loop.awaited(call)
        yield timed_group(
            f"async-{name}", f"Async: {title}", names.AT_ONCE, contenders, scale
        )


class _Awaiting:
    """A client whose first call is awaited at once: one from which it learns."""

    def __init__(self, loop: Loop, made: Any) -> None:
        self._loop, self._made = loop, made

    def get_item(self, **arguments: Any) -> Any:
        if arguments["TableName"] == "t" and arguments["Key"]["pk"] == GET_PK:
            return self._loop.now(lambda: self._made.get_item(**arguments))
        return self._made.get_item(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


GET_PK = GET.arguments["Key"]["pk"]


def _near_hits(scale: Scale, loop: Loop, stores: Settings) -> Group:
    contenders: dict[str, Contender] = {}
    for store in (names.MEMORY, names.DISK):
        for library, one in _pair(loop, stores[store]).items():
            contenders[f"{store}, {library}"] = one
    base = f"{names.MEMORY}, {names.BOTOCORE}"
    title = f"Async: hit of {GET.title}, remembered"
    return timed_group("async-near", title, base, contenders, scale)


def _store_hits(scale: Scale, loop: Loop, stores: Settings) -> Group:
    uncached = loop.client(AioTransport(), {})
    contenders = {names.AT_ONCE: loop.awaited(reading(uncached, GET))}
    for store, settings in stores.items():
        with patch.object(answers, "SIZE_LIMIT", 0):
            pair = _pair(loop, settings)
        for library, one in pair.items():
            contenders[f"{store}, {library}"] = one
    title = f"Async: hit of {GET.title} in the store, nothing remembered"
    note = "The uncached call is aiobotocore's. Threads ask a store that may wait."
    return timed_group(
        "async-early", title, names.AT_ONCE, contenders, scale, note=note
    )


def _pair(loop: Loop, settings: Mapping[str, Any]) -> dict[str, Contender]:
    """Return hits of a client of each library, which share a store."""
    sync_transport, transport = Transport(), AioTransport()
    sync_call = reading(client(sync_transport, **settings), GET)
    call = reading(loop.client(transport, settings), GET)
    return {
        names.BOTOCORE: always_hit(timed(sync_call), sync_transport),
        names.AIOBOTOCORE: always_hit(loop.awaited(call), transport),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="aiobotocore's clients.")
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--redis", metavar="URL")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args()
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        url = parsed.redis or stack.enter_context(running_valkey()).url

        def stores() -> Settings:
            common = {"ttl": TTL, "namespace": f"aio-{next(_numbers)}"}
            redis = {**common, "url": url, "timeout": 1.0, "settle": 0.0}
            return {
                names.MEMORY: {**common, "url": "memory:?size_limit=1GiB"},
                names.DISK: {**common, "url": f"disk://{directory}?size_limit=1GiB"},
                names.REDIS: redis,
            }

        made = []
        for group in groups(SCALES[parsed.scale], Loop(stack), stores):
            if not parsed.json:
                group.show()
            made.append(group.as_json())
        if parsed.json:
            print(json.dumps(made))


if __name__ == "__main__":
    main()
