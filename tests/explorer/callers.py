"""How a call gets to its cache: as the hooks do it, or the near cache, or by them.

A Caller takes a call from its beginning to its end. In between, where DynamoDB would
answer, it asks `serve` with the request as it was sent, which returns the answer or
raises Refused or NoAnswer.
"""

import json
from collections.abc import Callable
from typing import Any, Protocol

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from greenlet import getcurrent, greenlet

from botocache._botocore.hooks import Hooks
from botocache._cache.tickets import Asked, Hit, Recording, Request
from botocache._near.answers import packed
from botocache._near.call_keys import arguments_key
from botocache._near.client import NearClient, with_near
from botocache._near.client_state import OPERATIONS
from botocache._near.request_bodies import wire_body
from tests.explorer.world import World, wire

Serve = Callable[[dict[str, Any]], dict[str, Any]]


class Refused(Exception):  # noqa: N818 - it is an answer
    """DynamoDB refuses: nothing was changed."""


class NoAnswer(Exception):  # noqa: N818 - it is what happens
    """Nobody knows whether DynamoDB did anything."""


class Caller(Protocol):
    """Makes calls."""

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """Make a call; return its answer, and whether it was a hit.

        Raises Refused or NoAnswer where `serve` did.
        """


class Direct:
    """Says begin and finish to the cache itself: fast."""

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller."""
        return self.listened_to(world, client, world.request(kind, **more), serve)

    def listened_to(
        self,
        world: World,
        client: int,
        asked: tuple[str, dict[str, Any]],
        serve: Serve,
        recording: Recording | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """Make a call of an operation with parameters; see Cache.begin."""
        cache = world.caches[client]
        operation, parameters = asked
        request = Request(operation, wire(parameters), "origin", lambda: b"scope")
        outcome = cache.begin(request, recording)
        if isinstance(outcome, Hit):
            return outcome.answer, True
        try:
            body = outcome.body if outcome is not None else None
            answer = serve(json.loads(body or request.body))
        except NoAnswer:
            if outcome is not None:
                cache.fail(outcome)
            raise
        except Refused:
            if outcome is not None:
                cache.finish(outcome, {}, succeeded=False, certain=True)
            raise
        if outcome is not None:
            cache.finish(outcome, answer, succeeded=True, certain=True)
        return answer, False


class Near:
    """Asks the near cache first, as its base class of clients does."""

    def __init__(self) -> None:
        self._asked: dict[tuple[int, str], Asked] = {}

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller."""
        operation, parameters = asked = world.request(kind, **more)
        answers = world.caches[client].near
        if operation not in OPERATIONS or answers is None:
            return Direct().listened_to(world, client, asked, serve)
        key = arguments_key(client, operation, parameters, ())
        assert key is not None
        recording = Recording(None, operation)
        known, like_it = answers.find(key), self._asked.get((client, operation))
        if known is not None:
            served = answers.serve(known)
            if served is not None:
                return served, True
        plan = None if known is None else known.plan
        if plan is None and like_it is not None:
            plan = answers.plan_ahead(key, like_it, wire_body, parameters, recording)
        if plan is not None:
            found = answers.ask_again(key, plan, recording)
            if found is not None:
                if found.keep is not None:
                    found.keep(*packed(plan, found.hit))
                return found.hit.answer, True
        outcome = Direct().listened_to(world, client, asked, serve, recording)
        if recording.plan is not None and recording.parameters is None:
            answers.keep_plan(key, recording.plan)
            self._asked[client, operation] = recording.plan.asked
        return outcome


class ThroughBotocore:
    """Calls a real client that has the real hooks; only the network is not there."""

    def __init__(self, clients: int) -> None:
        session = boto3.Session("AKIAEXPLORER00000000", "secret")
        self._made = [_Client(session) for _ in range(clients)]

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller."""
        operation, parameters = world.request(kind, **more)
        made = self._made[client]
        made.hooks.cache = world.caches[client]
        return made.call(operation, parameters, serve)


_METHODS = {
    "GetItem": "get_item",
    "BatchGetItem": "batch_get_item",
    "Query": "query",
    "Scan": "scan",
    "ExecuteStatement": "execute_statement",
    "PutItem": "put_item",
    "UpdateItem": "update_item",
    "DeleteItem": "delete_item",
}
_HTTP_ERROR = 400


class _Client:
    """A client, its hooks, and what answers it instead of a network."""

    def __init__(self, session: boto3.Session) -> None:
        self.hooks = Hooks(NearClient)
        self._serving: dict[greenlet, Serve] = {}
        self._client = session.client(
            "dynamodb",
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1:1",
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.hooks.register(self._client.meta.events)
        with_near(self._client)
        self._client.meta.events.register("before-send.dynamodb.*", self._send)

    def call(
        self, operation: str, parameters: dict[str, Any], serve: Serve
    ) -> tuple[dict[str, Any], bool]:
        """Make the call."""
        self._serving[getcurrent()] = serve
        try:
            answer = getattr(self._client, _METHODS[operation])(**parameters)
        except ClientError as error:
            raise Refused from error
        except ReadTimeoutError as error:
            raise NoAnswer from error
        finally:
            del self._serving[getcurrent()]
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return answer, headers.get("x-botocache") == "hit"

    def _send(self, request: Any, **_: Any) -> AWSResponse:
        try:
            serve = self._serving[getcurrent()]
            status, body = 200, serve(json.loads(request.body))
        except Refused:
            kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
            status, body = _HTTP_ERROR, {"__type": kind, "message": "no"}
        except NoAnswer as error:
            raise ReadTimeoutError(endpoint_url=request.url) from error
        return AWSResponse(
            request.url, status, HTTPHeaders(), _Body(json.dumps(body).encode())
        )


class _Body:
    """The body of a response."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> tuple[bytes, ...]:
        return (self._content,)
