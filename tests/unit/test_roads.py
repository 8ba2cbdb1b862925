"""What a call takes inside botocache: how many calls, through how many files.

A ceiling that a change must raise knowingly. Absolute times are the benchmarks' affair;
these numbers are the same on every machine. See architecture.md for the roads.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from botocore.handlers import BUILTIN_HANDLERS

import botocache
from botocache._counting.counters import NEAR_SAMPLED
from botocache._dynamodb.tags import tag_digest
from tests.support.trips import Trip, answering, trip_of

ANSWERS = {
    "GetItem": b'{"Item":{"pk":{"S":"a"},"n":{"N":"1"}}}',
    "BatchGetItem": b'{"Responses":{"t":[]},"UnprocessedKeys":{}}',
    "PutItem": b"{}",
    "UpdateItem": b"{}",
}


@pytest.fixture
def make_client(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Any], Any]]:
    """Return what makes a client with a warm cache; nothing leaves the process."""
    # Without moto's, which another test may have imported into this process.
    ours = [each for each in BUILTIN_HANDLERS if each[0] != "before-send"]
    monkeypatch.setattr("botocore.handlers.BUILTIN_HANDLERS", ours)
    with ExitStack() as stack:

        def make(near: Any) -> Any:
            tag_digest.cache_clear()  # else it depends on the test before this one
            session = boto3.Session("AKIA0123456789012345", "secret")
            botocache.install(
                session, url="memory:", near=near, settle=0, namespace=f"roads-{near}"
            )
            client = session.client(
                "dynamodb", region_name="us-east-1", endpoint_url="http://127.0.0.1:1"
            )
            stack.enter_context(answering(client, ANSWERS))
            for pk in "abaa":
                get(client, pk)
            get_both(client, "v", "w")
            return client

        yield make


def get(client: Any, pk: str) -> None:
    client.get_item(TableName="t", Key={"pk": {"S": pk}})


def get_both(client: Any, *pks: str) -> None:
    keys = [{"pk": {"S": pk}} for pk in pks]
    client.batch_get_item(RequestItems={"t": {"Keys": keys}})


def update(client: Any) -> None:
    client.update_item(
        TableName="t",
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "2"}},
    )


def put(client: Any) -> None:
    client.put_item(TableName="t", Item={"pk": {"S": "a"}, "n": {"N": "2"}})


ROADS: dict[str, tuple[str, Callable[[Any], None], int, int]] = {
    "near hit": ("on", lambda client: get(client, "a"), 4, 4),
    "near miss": ("on", lambda client: get(client, "z"), 85, 28),
    "hit through the hooks": ("off", lambda client: get(client, "a"), 55, 22),
    "miss through the hooks": ("off", lambda client: get(client, "z"), 72, 23),
    "update": ("off", update, 97, 21),
    "put, written through": ("off", put, 142, 27),
    "batch, one of two cached": ("off", lambda c: get_both(c, "a", "y"), 119, 26),
}
"""Near or not, the call, and the most calls and files that it may take."""


@pytest.mark.parametrize("road", ROADS)
def test_a_road_is_no_longer_than_this(
    road: str, make_client: Callable[[Any], Any]
) -> None:
    near, call, calls, files = ROADS[road]
    client = make_client(near)
    if call in (update, put):
        call(client)  # the second one learns nothing new
    trip = trip_of(lambda: call(client))
    if road == "near hit":  # two of three at most do something for a sample
        trip = min(trip, *(trip_of(lambda: call(client)) for _ in range(2)))
    print(*trip.functions, sep="\n")
    assert trip.calls <= calls
    assert trip.files <= files


def test_one_near_hit_in_so_many_takes_a_longer_road(
    make_client: Callable[[Any], Any],
) -> None:
    """Its time and its key are noted; the one before it says that it is timed."""
    client = make_client("on")
    trips = [trip_of(lambda: get(client, "a")) for _ in range(NEAR_SAMPLED)]
    *short, before, sampled = sorted(trip.calls for trip in trips)
    assert set(short) == {ROADS["near hit"][2]}
    assert before == ROADS["near hit"][2] + 1
    assert sampled <= 22


def test_a_trip_counts_what_was_called(
    make_client: Callable[[Any], Any],
) -> None:
    client = make_client("on")
    hit: Trip = trip_of(lambda: get(client, "a"))
    assert hit.functions[0] == "_near/client.py:_make_api_call"
    assert "stores/memory.py:load" not in hit.functions
    miss = trip_of(lambda: get(client, "x"))
    assert miss.functions.count("stores/memory.py:load") == 1
    assert miss.functions.count("_dynamodb/operations.py:plan") == 1
    assert "botocache._cache.prepare.PreparedRead" in miss.type_names
