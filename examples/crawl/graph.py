"""The graph service: keeps what a crawl found, for callers whom it authenticates.

    POST /nodes    {"url", "title", "depth"}       store a page
    POST /edges    {"source", "target", "depth"}   store a link; depth: the target's
    POST /revoke   {"api_key"}                     revoke a credential (admin only)
    GET  /health
    GET  /usage                                    {"cpu_seconds"} of this process

The caller's key travels in `X-Api-Key`. Each request reads the caller's credential
and the tenant's rules from DynamoDB. What the rules forbid is answered with
`{"stored": false, "rule": id}`. `Service` decides, `Handler` speaks HTTP.
"""

from __future__ import annotations

import json
import resource
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from process import serve_until_parent_ends
from rules import refusal
from web import WebHandler, WebServer

BOTO_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 4},
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service answers."""

    status: HTTPStatus
    body: Mapping[str, object]


class RefusedError(Exception):
    """The caller may not do this, or not in this way."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Service:
    """The service's work, on one thread's own boto3 resource."""

    # boto3's resource classes are made at run time: there is no type to name.
    def __init__(self, dynamodb: Any) -> None:
        self._credentials = dynamodb.Table("credentials")
        self._rules = dynamodb.Table("rules")
        self._graph = dynamodb.Table("graph")
        self._actions: dict[str, Callable[[dict[str, Any], object], Reply]] = {
            "/nodes": self._store_node,
            "/edges": self._store_edge,
            "/revoke": self._revoke,
        }

    def answer(self, path: str, api_key: str, body: object) -> Reply:
        """Answer one request; never raises for what the caller or DynamoDB did."""
        try:
            credential = self._authenticate(api_key)
            return self._actions.get(path, _nothing)(credential, body)
        except RefusedError as error:
            return Reply(error.status, {"error": str(error)})
        except (ClientError, BotoCoreError) as error:
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)})

    def _authenticate(self, api_key: str) -> dict[str, Any]:
        answer = self._credentials.get_item(Key={"api_key": api_key})
        credential: dict[str, Any] = answer.get("Item", {})
        if credential.get("state") != "active":
            raise RefusedError(HTTPStatus.FORBIDDEN, "no such credential, or revoked")
        return credential

    def _refusal(self, credential: dict[str, Any], url: str, depth: int) -> str | None:
        condition = Key("tenant").eq(credential["tenant"])
        answer = self._rules.query(KeyConditionExpression=condition)
        return refusal(answer["Items"], url, depth)

    def _store_node(self, credential: dict[str, Any], body: object) -> Reply:
        url, title, depth = _text(body, "url"), _text(body, "title"), _depth(body)
        if rule := self._refusal(credential, url, depth):
            return Reply(HTTPStatus.OK, {"stored": False, "rule": rule})
        self._graph.update_item(
            Key={"url": url, "fact": "page"},
            UpdateExpression="SET title = :title, #depth = :depth ADD visits :one",
            ExpressionAttributeNames={"#depth": "depth"},
            ExpressionAttributeValues={":title": title, ":depth": depth, ":one": 1},
        )
        return Reply(HTTPStatus.OK, {"stored": True})

    def _store_edge(self, credential: dict[str, Any], body: object) -> Reply:
        source, target = _text(body, "source"), _text(body, "target")
        depth = _depth(body)
        if rule := self._refusal(credential, target, depth):
            return Reply(HTTPStatus.OK, {"stored": False, "rule": rule})
        edge = {"url": source, "fact": f"link#{target}", "depth": depth}
        self._graph.put_item(Item=edge)
        return Reply(HTTPStatus.OK, {"stored": True})

    def _revoke(self, credential: dict[str, Any], body: object) -> Reply:
        if credential["role"] != "admin":
            raise RefusedError(HTTPStatus.FORBIDDEN, "only an admin may revoke")
        revoked_key = _text(body, "api_key")
        try:
            self._credentials.update_item(
                Key={"api_key": revoked_key},
                UpdateExpression="SET #state = :revoked",
                ConditionExpression=Attr("api_key").exists(),
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":revoked": "revoked"},
            )
        except self._credentials.meta.client.exceptions.ConditionalCheckFailedException:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such credential") from None
        return Reply(HTTPStatus.OK, {"revoked": True})


def cpu_seconds() -> float:
    """Return the processor time of this process, of all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _nothing(_credential: dict[str, Any], _body: object) -> Reply:
    return Reply(HTTPStatus.NOT_FOUND, {"error": "no such resource"})


def _field(body: object, name: str) -> object:
    return body.get(name) if isinstance(body, dict) else None


def _text(body: object, name: str) -> str:
    value = _field(body, name)
    if not isinstance(value, str):
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name}: text expected")
    return value


def _depth(body: object) -> int:
    value = _field(body, "depth")
    if not isinstance(value, int):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "depth: a whole number expected")
    return value


class Handler(WebHandler):
    """One kept-alive connection: one thread, one `Service`."""

    server: GraphServer

    def setup(self) -> None:
        """Make the connection's service before its first request is read."""
        super().setup()
        self._service = self.server.new_service()

    def do_GET(self) -> None:
        """Answer /health and /usage."""
        if self.path == "/usage":
            self._send(Reply(HTTPStatus.OK, {"cpu_seconds": cpu_seconds()}))
            return
        found = self.path == "/health"
        status = HTTPStatus.OK if found else HTTPStatus.NOT_FOUND
        self._send(Reply(status, {"healthy": found}))

    def do_POST(self) -> None:
        """Hand the request to the service."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            body = json.loads(raw)
        except ValueError:
            self._send(Reply(HTTPStatus.BAD_REQUEST, {"error": "not JSON"}))
            return
        api_key = self.headers.get("X-Api-Key", "")
        self._send(self._service.answer(self.path, api_key, body))

    def _send(self, reply: Reply) -> None:
        data = json.dumps(reply.body).encode()
        self.send(reply.status, "application/json", data)


class GraphServer(WebServer):
    """The HTTP server, and where its threads get their boto3 resources."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self._session = boto3.session.Session()
        self._lock = threading.Lock()

    def new_service(self) -> Service:
        """Return a service for one thread: boto3 resources must not be shared."""
        with self._lock:
            return Service(self._session.resource("dynamodb", config=BOTO_CONFIG))


if __name__ == "__main__":
    serve_until_parent_ends(GraphServer())
