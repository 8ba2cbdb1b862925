"""The explorer's awaited calls through a real client of aiobotocore.

It has the real hooks, near cache, course and offload. Only the network is not there,
and the event loop, which is that of the explorer. See tests/explorer/tasks.py.
"""

import asyncio
import json
from typing import Any

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, ReadTimeoutError

from botocache._aiobotocore.adapter import AioAdapter
from botocache._botocore.clients import know
from botocache._botocore.hooks import Hooks
from botocache._near.client import NearClient
from tests.explorer.callers import METHODS, NoAnswer, Refused, Serve
from tests.explorer.tasks import run
from tests.explorer.threads import Task
from tests.explorer.turns import Actor, current_call
from tests.explorer.world import World

_OK, _BAD_REQUEST = 200, 400


class ThroughAiobotocore:
    """Calls a real client. See Caller.

    near_hits: how many calls were near hits, or had one beside them.
    """

    def __init__(self, clients: int) -> None:
        self._made = [_Client() for _ in range(clients)]
        self.near_hits = 0

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller. Also raises CancelledError."""
        operation, parameters = world.request(kind, **more)
        made = self._made[client]
        cache = made.hooks.cache = world.caches[client]
        before = cache.stats().near_hits
        answered = made.call(operation, parameters, serve)
        self.near_hits += cache.stats().near_hits > before
        return answered

    def close(self) -> None:
        """Let its clients have no cache: whoever finds them later has another one."""
        for made in self._made:
            made.hooks.cache = None

    def warm_up(self, world: World) -> None:
        """Have each client read the item, so that its near cache knows the calls."""
        server = world.server
        for client in range(len(world.caches)):
            for kind in ("get", "query") * 3:
                operation, _ = world.request(kind)
                task = Task(
                    lambda client=client, kind=kind, operation=operation: self.call(  # type: ignore[misc]  # defaults
                        world,
                        client,
                        kind,
                        lambda sent: server.answer(operation, sent, server.version),
                    ),
                    lambda: [("begins", "begins")],
                    list,
                    world,
                )
                actors: list[Actor] = [task]
                while offers := [(a, o) for a in actors for o in a.offers()]:
                    actor, (_, result) = offers[0]
                    actor.take(result)
                    actors = [task, *task.threads]
                assert task.dead


async def _new_client() -> Any:
    making = get_session().create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="AKIAEXPLORER00000000",
        aws_secret_access_key="secret",
        config=AioConfig(retries={"total_max_attempts": 1}),
    )
    return await making.__aenter__()  # never left: it has opened nothing


class _Client:
    """A client, its hooks, and what answers it instead of a network."""

    def __init__(self) -> None:
        adapter = AioAdapter()
        self.hooks = Hooks(NearClient, lambda: adapter)
        self._serving: dict[Actor, Serve] = {}
        self._client = asyncio.run(_new_client())
        self.hooks.register(self._client.meta.events)
        know(self._client)
        adapter.give_base(self._client, has_near=True)
        self._client.meta.events.register("before-send.dynamodb.*", self._send)

    def call(
        self, operation: str, parameters: dict[str, Any], serve: Serve
    ) -> tuple[dict[str, Any], bool]:
        """Make the call."""
        task = current_call()
        assert task is not None
        self._serving[task] = serve
        try:
            answer = run(getattr(self._client, METHODS[operation])(**parameters))
        except ClientError as error:
            raise Refused from error
        except ReadTimeoutError as error:
            raise NoAnswer from error
        finally:
            del self._serving[task]
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return answer, headers.get("x-botocache") == "hit"

    def _send(self, request: Any, **_: Any) -> AioAWSResponse:
        task = current_call()
        assert task is not None
        try:
            status, body = _OK, self._serving[task](json.loads(request.body))
        except Refused:
            kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
            status, body = _BAD_REQUEST, {"__type": kind, "message": "no"}
        except NoAnswer as error:
            raise ReadTimeoutError(endpoint_url=request.url) from error
        raw: Any = _Body(json.dumps(body).encode())
        return AioAWSResponse(request.url, status, HTTPHeaders(), raw)


class _Body:
    """The body of a response."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self) -> bytes:
        return self._content
