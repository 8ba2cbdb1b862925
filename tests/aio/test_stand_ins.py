"""Without a cache, aiobotocore's client behind a stand-in does what boto3's does.

So what a test of boto3's clients finds with `CLIENTS=aiobotocore` is the cache's doing.
"""

import contextvars
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.differential.machine import run_programs
from tests.differential.pairs import Application, Pair, Side
from tests.differential.runs import TRAITS
from tests.support import aio
from tests.support.clients import AIOBOTOCORE
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, DynamoDB

pytestmark = pytest.mark.skipif(AIOBOTOCORE, reason="there is nothing to compare with")

SESSION = aio.session_class()


class OnAiobotocore(DynamoDB):
    """A server whose clients are of aiobotocore."""

    def session(self, key: str = "AKIATEST", **options: Any) -> boto3.Session:
        session: boto3.Session = SESSION(
            aws_access_key_id=key,
            aws_secret_access_key="secret",
            region_name=REGION,
            botocore_session=aio.new_session(),
            **options,
        )
        return session


@pytest.fixture
def server(dynamodb: DynamoDB) -> OnAiobotocore:
    return OnAiobotocore(dynamodb.url)


@pytest.fixture
def client(server: OnAiobotocore) -> Any:
    return server.client()


@pytest.fixture
def table(dynamodb: DynamoDB) -> str:
    return dynamodb.create_table("pk:S")


@pytest.fixture
def pair(dynamodb: DynamoDB, server: OnAiobotocore) -> Iterator[Pair]:
    """Two applications on aiobotocore, and one on boto3. Neither has the cache."""
    of_aiobotocore = (Application(server).connect(), Application(server).connect())
    pair = Pair(
        Side(of_aiobotocore, "cached"),
        Side((Application(dynamodb).connect(),), "direct"),
        FakeClock(),
        TRAITS["moto"],
    )
    yield pair
    for application in (*of_aiobotocore, *pair.direct.applications):
        application.client.close()
        application.resource.meta.client.close()


def test_no_program_sees_a_difference_to_boto3(pair: Pair) -> None:
    run_programs(pair, [0])
    assert pair.calls > 50


def test_items_come_page_by_page(client: Any, table: str) -> None:
    for number in range(3):
        client.put_item(TableName=table, Item={"pk": {"S": str(number)}})
    paginator = client.get_paginator("scan")
    pages = paginator.paginate(TableName=table, Limit=2)
    assert [page["Count"] for page in pages] == [2, 1]
    whole = paginator.paginate(TableName=table, Limit=2).build_full_result()
    assert len(whole["Items"]) == 3


def test_a_waiter_waits(client: Any, table: str) -> None:
    client.get_waiter("table_exists").wait(TableName=table)


def test_a_resource_takes_plain_values(server: OnAiobotocore, table: str) -> None:
    rows = server.resource().Table(table)
    with rows.batch_writer() as batch:
        batch.put_item(Item={"pk": "a"})
    assert rows.get_item(Key={"pk": "a"})["Item"] == {"pk": "a"}


def test_errors_are_those_of_the_client(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException) as raised:
        client.get_item(TableName="nowhere", Key={"pk": {"S": "a"}})
    assert isinstance(raised.value, ClientError)


def test_handlers_run_on_the_loop_in_the_context_of_the_caller(
    client: Any, table: str
) -> None:
    mode = contextvars.ContextVar("mode", default="none")
    seen: list[tuple[str, threading.Thread]] = []

    def note(**_: Any) -> None:
        seen.append((mode.get(), threading.current_thread()))

    client.meta.events.register("before-call.dynamodb.Scan", note)
    mode.set("mine")
    client.scan(TableName=table)
    assert seen == [("mine", aio.loop().thread)]


def test_a_call_within_a_handler_fails_instead_of_hanging(
    client: Any, table: str
) -> None:
    client.meta.events.register(
        "before-call.dynamodb.Scan", lambda **_: client.describe_table(TableName=table)
    )
    with pytest.raises(RuntimeError, match="a handler"):
        client.scan(TableName=table)


def test_a_client_is_closed_when_nothing_of_it_is_left(
    server: OnAiobotocore, table: str
) -> None:
    client = server.client()
    http = aio.real(client)._endpoint.http_session
    paginator = client.get_paginator("scan")
    gone = weakref.ref(aio.real(client))
    del client
    assert [page["Count"] for page in paginator.paginate(TableName=table)] == [0]
    (session,) = http._sessions.values()
    del paginator
    aio.loop().run(lambda: None)  # after what the loop was given before
    aio.loop().run(lambda: None)
    gc.collect()
    assert gone() is None
    assert session.closed
