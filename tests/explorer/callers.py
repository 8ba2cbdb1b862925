"""How a call gets to its cache: as the hooks do it, or the near cache, or by them.

A Caller takes a call from its beginning to its end. In between, where DynamoDB would
answer, it calls `serve` with the request as it was sent, which returns the answer or
raises Refused, Throttled or NoAnswer.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from greenlet import getcurrent, greenlet

from botocache import Cache
from botocache._botocore.clients import know
from botocache._botocore.hooks import Hooks
from botocache._cache.prepare import PreparedRead
from botocache._cache.tickets import BatchTicket, Hit, ReadTicket, Ticket
from botocache._dynamodb.types import Body
from botocache._near.answers import NearAnswers
from botocache._near.batch_answers import BATCH
from botocache._near.batch_arguments import read_arguments
from botocache._near.call_keys import CallKey, exact_key
from botocache._near.client import NearClient, with_near
from botocache._near.client_state import OPERATIONS
from botocache._near.delivery import copier_of_hit
from botocache._near.request_bodies import derive_body, wire_body
from tests.explorer.waiters import landed
from tests.explorer.world import World, wire
from tests.support.calls import call_of

Serve = Callable[[dict[str, Any]], dict[str, Any]]


class Refused(Exception):  # noqa: N818 - it is an answer
    """DynamoDB refuses: nothing was changed."""


class Throttled(Exception):  # noqa: N818 - it is an answer
    """DynamoDB refuses a read for lack of capacity."""


class NoAnswer(Exception):  # noqa: N818 - it is what happens
    """It is unknown whether DynamoDB carried the write out."""


class Caller(Protocol):
    """Makes calls."""

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """Make a call; return its answer, and whether it was a hit.

        Raises Refused or NoAnswer where `serve` did.
        """


class Direct:
    """Calls begin and finish of the cache itself: fast."""

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller."""
        operation, parameters = world.request(kind, **more)
        cache, body = world.caches[client], json.loads(wire(parameters))
        outcome = cache.begin(call_of(operation), body)
        outcome = landed(world, client, outcome)
        return self.finish(cache, outcome, body, serve)

    def finish(
        self,
        cache: Cache,
        outcome: Hit | Ticket | None,
        parameters: Body,
        serve: Serve,
    ) -> tuple[dict[str, Any], bool]:
        """Make a call to its end. outcome: what Cache.begin returned."""
        if isinstance(outcome, Hit):
            return outcome.answer, True
        try:
            body = outcome.body if outcome is not None else None
            answer = serve(dict(parameters) if body is None else json.loads(body))
        except NoAnswer:
            if outcome is not None:
                cache.fail(outcome)
            raise
        except Refused:
            if outcome is not None:
                cache.finish(outcome, {}, succeeded=False, certain=True)
            raise
        except Throttled:
            stale = None if outcome is None else _refuse(cache, outcome)
            if outcome is not None:
                cache.finish(outcome, {}, succeeded=False, certain=True)
            if stale is None:
                raise
            return stale.answer, True
        if outcome is not None:
            cache.finish(outcome, answer, succeeded=True, certain=True)
        return answer, False


def _refuse(cache: Cache, ticket: Ticket) -> Hit | None:
    """Do what the hooks do when DynamoDB throttles a call; return its stale answer."""
    cache.count_throttled(ticket)
    cache.note_answer(ticket, is_refused=True)
    return cache.find_stale(ticket)


@dataclass
class _Place:
    """Where an answer is remembered, as of a NearCall."""

    key: CallKey | None
    last_fill: object
    remembered: PreparedRead | None = None
    valid_until: float = math.inf


class Near:
    """Looks in the near cache first, as NearClient does."""

    def __init__(self) -> None:
        self._known: set[tuple[int, str]] = set()

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller."""
        operation, parameters = world.request(kind, **more)
        cache, answers = world.caches[client], world.caches[client].near
        if operation not in OPERATIONS or not isinstance(answers, NearAnswers):
            return Direct().call(world, client, kind, serve, **more)
        if operation == BATCH:
            return self._call_batch(world, client, parameters, serve)
        token = len(OPERATIONS) * client + sorted(OPERATIONS).index(operation)
        key = exact_key(token, parameters, ())
        assert key is not None
        entry = answers.find(key)
        answer = None if entry is None else answers.serve(entry, 0.0, parameters)
        if answer is not None:
            return answer, True
        place = _Place(key, answers.last_fill)
        body: Body | None = None
        if (client, operation) in self._known:
            body = derive_body(operation, token, key, parameters, wire_body)
        if body is not None:
            outcome = cache.begin(call_of(operation), body)
            if isinstance(outcome, Hit) and (watched := answers.watch(outcome)):
                answers.remember(place, outcome, *copier_of_hit(outcome), watched)
        elif entry is not None and entry.prepared is not None:
            body = entry.prepared.parameters
            outcome = cache.load(entry.prepared)
            if isinstance(outcome, Hit) and (watched := answers.watch(outcome)):
                place.remembered = entry.prepared
                answers.remember(place, outcome, *copier_of_hit(outcome), watched)
        else:
            body = json.loads(wire(parameters))
            assert body is not None
            outcome = cache.begin(call_of(operation), body)
            if isinstance(outcome, (Hit, ReadTicket)) and outcome.prepared is not None:
                self._known.add((client, operation))
                answers.remember_read(key, outcome.prepared)
        return Direct().finish(cache, outcome, body, serve)

    def _call_batch(
        self, world: World, client: int, parameters: dict[str, Any], serve: Serve
    ) -> tuple[dict[str, Any], bool]:
        cache, answers = world.caches[client], world.caches[client].near
        assert isinstance(answers, NearAnswers)
        batch = read_arguments(parameters)
        assert batch is not None
        found = answers.batches.find(client, batch)
        answer = answers.batches.serve(batch, found, 0.0)
        if answer is not None:
            return answer, True
        place = _Place(None, answers.last_fill)
        body = json.loads(wire(parameters))
        known = answers.batches.serve_some(client, batch, found)
        hits = None if known is None else known.hits
        outcome = cache.begin(call_of(BATCH), body, None, hits)
        if isinstance(outcome, (Hit, BatchTicket)) and outcome.lookups is not None:
            if known is not None:
                answers.batches.count(batch, known, 0.0)
            answers.batches.remember(place, client, batch, outcome.lookups)
        return Direct().finish(cache, outcome, body, serve)


class ThroughBotocore:
    """Calls a real client that has the real hooks; only the network is not there."""

    def __init__(self, clients: int) -> None:
        session = boto3.Session("AKIAEXPLORER00000000", "secret")
        self._made = [_Client(session) for _ in range(clients)]

    def close(self) -> None:
        """Let its clients have no cache: whoever finds them later has another one."""
        for made in self._made:
            made.hooks.cache = None

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller."""
        operation, parameters = world.request(kind, **more)
        made = self._made[client]
        made.hooks.cache = world.caches[client]
        return made.call(operation, parameters, serve)


METHODS = {
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
        know(self._client)
        with_near(self._client)
        self._client.meta.events.register("before-send.dynamodb.*", self._send)

    def call(
        self, operation: str, parameters: dict[str, Any], serve: Serve
    ) -> tuple[dict[str, Any], bool]:
        """Make the call."""
        self._serving[getcurrent()] = serve
        try:
            answer = getattr(self._client, METHODS[operation])(**parameters)
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
