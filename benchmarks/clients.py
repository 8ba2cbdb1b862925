"""Clients to measure: their transport answers at once, and counts requests.

A miss and a write are compared with uncached calls over such a transport; beside a
real server's time the difference would hardly show. The count proves that a hit is one.
"""

import json
import os
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, TypeAlias

import boto3
import botocore.session
from botocore.awsrequest import AWSResponse

import botocache
from benchmarks.work import GET, KEY, SMALL, Work

ITEM = SMALL
ACCESS_KEY = "AKIABENCH"
REGION = "us-east-1"
SCOPE = "benchmarks"
"""Named, because a transport is a handler that could tell callers apart."""

ENDPOINT = "http://127.0.0.1:1"
_READS = ("GetItem'", "Query'")  # of a header in bytes


Answer: TypeAlias = Mapping[str, Any] | Callable[[bytes], Mapping[str, Any]]


class Transport:
    """Answers every request at once.

    sent: the number of requests.
    answer: to a read, or a function that makes it from the request's body.
    """

    def __init__(self, answer: Answer = GET.answer) -> None:
        self.sent = 0
        self.answer(answer)

    def answer(self, answer: Answer) -> None:
        """Set the answer to reads."""
        self._make = answer if callable(answer) else None
        self._body = b"" if callable(answer) else json.dumps(answer).encode()

    def attach(self, client: Any) -> None:
        """Answer the requests of a client."""
        client.meta.events.register("before-send.dynamodb", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        self.sent += 1
        body = self._body
        if not str(request.headers["X-Amz-Target"]).endswith(_READS):
            body = b"{}"
        elif self._make:
            body = json.dumps(self._make(request.body)).encode()
        return AWSResponse(request.url, 200, {}, _Raw(body))  # type: ignore[arg-type]  # it takes any mapping


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]


_session_of_all = botocore.session.Session()


def session() -> Any:
    """Return a new session with credentials.

    Sessions share the service models, which take botocore longest to load.
    """
    made = botocore.session.Session()
    loader = _session_of_all.get_component("data_loader")
    made.register_component("data_loader", loader)
    return boto3.Session(
        botocore_session=made,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key="secret",
        region_name=REGION,
    )


def client(transport: Transport | None = None, **settings: Any) -> Any:
    """Return a client whose transport answers at once; cached if there are settings."""
    made = session()
    if settings:
        botocache.install(made, scope=SCOPE, **settings)
    result = made.client("dynamodb", endpoint_url=ENDPOINT)
    (transport or Transport()).attach(result)
    return result


def resource(transport: Transport, **settings: Any) -> Any:
    """Return a resource, as `client`."""
    made = session()
    if settings:
        botocache.install(made, scope=SCOPE, **settings)
    result = made.resource("dynamodb", endpoint_url=ENDPOINT)
    transport.attach(result.meta.client)
    return result


def answer_in_handler(client: Any, answer: Mapping[str, Any]) -> None:
    """Give a client a `before-call` handler that only answers.

    It copies the parts of the answer that boto3's resources rewrite in place.
    """
    metadata: dict[str, Any] = {}

    def fresh() -> dict[str, Any]:
        if "Item" in answer:
            return {"Item": dict(answer["Item"]), "ResponseMetadata": metadata}
        items = [dict(item) for item in answer["Items"]]
        return {**answer, "Items": items, "ResponseMetadata": metadata}

    def answer_it(params: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        return AWSResponse(params["url"], 200, {}, None), fresh()  # type: ignore[arg-type]

    client.meta.events.register("before-call.dynamodb", answer_it)


def floor_client() -> Any:
    """Return a client whose `before-call` handler only answers."""
    result = client()
    answer_in_handler(result, GET.answer)
    return result


# --- calls -------------------------------------------------------------------------


def reading(made: Any, work: Work, name: str = "") -> Callable[[], object]:
    """Return a read by a client, the same each time. name: of the table."""
    method = getattr(made, work.method)
    arguments = {"TableName": name or work.name, **work.arguments}
    return lambda: method(**arguments)


def reading_plainly(made: Any, work: Work) -> Callable[[], object]:
    """Return a read by a Table, the same each time."""
    method, arguments = getattr(made, work.method), work.plain
    return lambda: method(**arguments)


def getting(made: Any, table: str = "t") -> Callable[[], object]:
    """Return a read of one item, the same each time."""
    return lambda: made.get_item(TableName=table, Key=KEY)


def getting_new(made: Any) -> Callable[[], object]:
    """Return a read of another item each time."""
    numbers = count()
    return lambda: made.get_item(
        TableName="t",
        Key={"pk": {"S": f"{os.getpid()}-{next(numbers)}"}, "sk": ITEM["sk"]},
    )


def updating(made: Any) -> Callable[[], object]:
    """Return an update of another item each time."""
    numbers = count()
    return lambda: made.update_item(
        TableName="t",
        Key={"pk": {"S": f"written-{next(numbers)}"}, "sk": ITEM["sk"]},
        UpdateExpression="SET age = :a",
        ExpressionAttributeValues={":a": {"N": "43"}},
    )


def putting_new(made: Any) -> Callable[[], object]:
    """Return a put of another item each time, by a client that learned the keys."""
    numbers = count()
    getting(made)()
    return lambda: made.put_item(
        TableName="t", Item={**ITEM, "pk": {"S": f"put-{next(numbers)}"}}
    )
