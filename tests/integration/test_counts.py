"""What calls of a client count: near hits, their read units and keys; throttling."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.handlers import BUILTIN_HANDLERS

import botocache
from botocache._counting.counters import NEAR_SAMPLED
from botocache._counting.stats import TableStats
from tests.support.network import intercepted

ITEM = b'{"Item":{"pk":{"S":"a"},"text":{"S":"%s"}}}' % (b"x" * 5000)  # 2 blocks
THROTTLED = (
    b'{"__type":"com.amazonaws.dynamodb.v20120810'
    b'#ProvisionedThroughputExceededException","message":"slow down"}'
)
CANCELLED = (
    b'{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",'
    b'"message":"cancelled","CancellationReasons":[{"Code":"None"},'
    b'{"Code":"ThrottlingError"}]}'
)
KEY: dict[str, Any] = {"TableName": "t", "Key": {"pk": {"S": "a"}}}


class _DynamoDB:
    """Answers the requests of a client in its process, in this order."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []

    def send(self, request: Any, **_: Any) -> AWSResponse:
        status, body = self.answers.pop(0) if self.answers else (200, ITEM)
        raw = type("Raw", (), {"stream": lambda *_, **__: (body,)})()
        return AWSResponse(request.url, status, HTTPHeaders(), raw)


@pytest.fixture
def dynamodb() -> _DynamoDB:
    return _DynamoDB()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    # Without moto's, which another test may have imported into this process.
    ours = [each for each in BUILTIN_HANDLERS if each[0] != "before-send"]
    monkeypatch.setattr("botocore.handlers.BUILTIN_HANDLERS", ours)
    return boto3.Session("AKIA0123456789012345", "secret")


@pytest.fixture
def cache(session: boto3.Session, namespace: str) -> botocache.Cache:
    return botocache.install(session, url="memory:", namespace=namespace)


@pytest.fixture
def client(
    session: boto3.Session, cache: botocache.Cache, dynamodb: _DynamoDB
) -> Iterator[Any]:
    made = session.client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        # It waits for no retry.
        config=Config(retries={"mode": "legacy", "total_max_attempts": 3}),
    )
    with ExitStack() as stack:
        stack.enter_context(intercepted(made, "before-send", dynamodb.send))
        yield made


def _table(cache: botocache.Cache, operation: str) -> TableStats:
    (table,) = (each for each in cache.stats().tables if each.operation == operation)
    return table


def test_near_hits_save_units_and_show_the_key(
    cache: botocache.Cache, client: Any
) -> None:
    hits = 3 * NEAR_SAMPLED
    for _ in range(hits + 2):  # a miss, and a hit of the store
        answer = client.get_item(**KEY)
    table = _table(cache, "GetItem")
    assert (table.misses, table.store_hits, table.near_hits) == (1, 1, hits)
    assert (table.units_consumed, table.units_saved) == (1.0, hits + 1.0)
    assert table.units_estimated == 0.0
    # The first near hit may be one that is sampled; then it was not timed.
    assert table.near_latency.count in (2, 3)
    assert 0.0 < table.near_latency.quantile(0.5) < 1.0
    (key,) = cache.stats().hot_keys
    assert (key.table, key.operation, key.key) == ("t", "GetItem", '{"pk":{"S":"a"}}')
    assert (key.hits, key.units_saved) == (hits, float(hits))
    assert key.digest in answer["ResponseMetadata"]["RequestId"]


def test_numbers_of_requests_are_unique_over_several_entries(client: Any) -> None:
    ids = {
        client.get_item(TableName="t", Key={"pk": {"S": pk}})["ResponseMetadata"].get(
            "RequestId", number
        )
        for number, pk in enumerate("abc" * 100)
    }
    assert len(ids) == 300


READS: dict[str, dict[str, Any]] = {
    "get_item": KEY,
    "query": {
        "TableName": "t",
        "KeyConditionExpression": "pk = :v",
        "ExpressionAttributeValues": {":v": {"S": "a"}},
    },
    "scan": {"TableName": "t"},
    "batch_get_item": {"RequestItems": {"t": {"Keys": [KEY["Key"]]}}},
    "update_item": KEY,
    "transact_get_items": {"TransactItems": [{"Get": KEY}]},
}


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize("method", READS)
def test_each_throttled_answer_counts_also_those_that_botocore_repeats(
    cache: botocache.Cache, client: Any, dynamodb: _DynamoDB, method: str
) -> None:
    dynamodb.answers = [(400, THROTTLED)] * 3
    with pytest.raises(ClientError, match="slow down"):
        getattr(client, method)(**READS[method])
    (table,) = cache.stats().tables
    assert (table.table, table.throttled) == ("t", 3)
    # What is refused consumes nothing.
    assert (table.units_consumed, table.fills) == (0.0, 0)


@pytest.mark.usefixtures("_no_waiting")
def test_a_transaction_that_is_cancelled_for_capacity_counts(
    cache: botocache.Cache, client: Any, dynamodb: _DynamoDB
) -> None:
    dynamodb.answers = [(400, CANCELLED)]
    with pytest.raises(ClientError):
        client.transact_get_items(TransactItems=[{"Get": KEY}, {"Get": KEY}])
    assert _table(cache, "TransactGetItems").throttled == 1


@pytest.mark.usefixtures("_no_waiting")
def test_another_error_is_not_throttling(
    cache: botocache.Cache, client: Any, dynamodb: _DynamoDB
) -> None:
    dynamodb.answers = [(400, THROTTLED.replace(b"Provisioned", b"Other"))]
    with pytest.raises(ClientError):
        client.get_item(**KEY)
    table = _table(cache, "GetItem")
    assert (table.throttled, table.misses, table.unfilled) == (0, 1, {"error": 1})
