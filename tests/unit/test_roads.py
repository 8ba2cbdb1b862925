"""What a call takes inside botocache: calls, files, and bytecode instructions.

A ceiling that a change must raise knowingly. Absolute times are the benchmarks' affair;
these numbers are the same on every machine. See architecture.md for the roads.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from boto3.dynamodb.conditions import Attr
from botocore.handlers import BUILTIN_HANDLERS

import botocache
from botocache._counting.counters import NEAR_SAMPLED
from botocache._dynamodb.tags import tag_digest
from botocache._near import answers
from tests.support.processes import eventually
from tests.support.trips import (
    COUNTS_INSTRUCTIONS,
    Trip,
    answering,
    instructions_of,
    trip_of,
)

TEN = tuple(f"ten-{number}" for number in range(10))

TRIPS = 4
"""Trips of which the shortest counts: now and then a hit is a sample."""


def batch_answer(body: bytes) -> bytes:
    """Answer with an item for each key of more than one letter; others have none."""
    keys = json.loads(body)["RequestItems"]["t"]["Keys"]
    items = [{**key, "n": {"N": "1"}} for key in keys if len(key["pk"]["S"]) > 1]
    return json.dumps({"Responses": {"t": items}, "UnprocessedKeys": {}}).encode()


ANSWERS: dict[str, bytes | Callable[[bytes], bytes]] = {
    "BatchGetItem": batch_answer,
    "PutItem": b"{}",
    "Scan": b'{"Items":[%b],"Count":3,"ScannedCount":3}'
    % b",".join([b'{"pk":{"S":"a"},"n":{"N":"1"}}'] * 3),
    "UpdateItem": b"{}",
}

CLIENTS: dict[str, dict[str, Any]] = {
    "on": {"near": "on"},
    "off": {"near": "off"},
    "on disk": {"near": "on", "url": "disk://{directory}"},
    "on redis": {"near": "on", "url": "{redis}", "timeout": 10},
    "early": {"near": "on"},
    "early disk": {"near": "on", "url": "disk://{directory}"},
    "early redis": {"near": "on", "url": "{redis}", "timeout": 10},
    "resource": {"near": "on"},
}
"""Settings of each client. An early one remembers nothing, and so asks the store.

On a busy machine a server may take longer than usual; a failure has another road.
"""


@pytest.fixture
def make_client(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[str], Any]]:
    """Return what makes a client with a warm cache; nothing leaves the process."""
    # Without moto's, which another test may have imported into this process.
    ours = [each for each in BUILTIN_HANDLERS if each[0] != "before-send"]
    monkeypatch.setattr("botocore.handlers.BUILTIN_HANDLERS", ours)
    with ExitStack() as stack:

        def make(kind: str) -> Any:
            tag_digest.cache_clear()  # else it depends on the test before this one
            settings = {"url": "memory:", **CLIENTS[kind]}
            if "redis" in kind:
                settings["url"] = request.getfixturevalue("valkey").url
            settings["url"] = settings["url"].format(directory=tmp_path)
            if "early" in kind:
                monkeypatch.setattr(answers, "SIZE_LIMIT", 0)
            of_botocore: Any = botocore.session.Session()
            of_botocore.register_component("data_loader", _LOADER)
            session: Any = boto3.Session(
                "AKIA0123456789012345",
                "secret",
                region_name="us-east-1",
                botocore_session=of_botocore,
            )
            botocache.install(
                session, settle=0, namespace=f"roads-{next(_numbers)}", **settings
            )
            where = {"endpoint_url": "http://127.0.0.1:1"}
            table, client = None, session.client("dynamodb", **where)
            if kind == "resource":
                table = session.resource("dynamodb", **where).Table("t")
                client = table.meta.client
            sent: list[bytes] = []
            bodies = {**ANSWERS, "GetItem": partial(_get_answer, sent)}
            stack.enter_context(answering(client, bodies))
            # The disk store opens its database behind the first calls.
            read = partial(get_plain, table) if table else partial(get, client, "a")
            eventually(lambda: _sends_nothing(read, sent))
            if table:
                get_plain(table)
                return table
            for pk in "abaa":
                get(client, pk)
            for _ in range(3):
                get_both(client, "v", "w")
                get_both(client, *TEN)
            return client

        yield make


_numbers = count()
_LOADER: Any = botocore.session.Session().get_component("data_loader")
"""Shared: the service models take botocore longest to load."""


def new() -> str:
    """Return a key that was never used before."""
    return f"new-{next(_numbers)}"


def _get_answer(sent: list[bytes], body: bytes) -> bytes:
    sent.append(body)
    return b'{"Item":{"pk":{"S":"a"},"n":{"N":"1"}}}'


def _sends_nothing(call: Callable[[], object], sent: list[bytes]) -> bool:
    before = len(sent)
    call()
    return len(sent) == before


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


def get_plain(table: Any) -> None:
    table.get_item(Key={"pk": "a"})


def scan_plain(table: Any) -> None:
    table.scan(FilterExpression=Attr("n").eq(1))


def five() -> list[str]:
    return [new() for _ in range(5)]


ROADS: dict[str, tuple[str, Callable[[Any], None], int, int]] = {
    "near hit": ("on", lambda client: get(client, "a"), 4, 3),
    "near miss": ("on", lambda client: get(client, "z"), 54, 26),
    "hit through the hooks": ("off", lambda client: get(client, "a"), 27, 16),
    "miss through the hooks": ("off", lambda client: get(client, "z"), 42, 19),
    "update": ("off", update, 39, 17),
    "put, written through": ("off", put, 75, 24),
    "batch, one of two cached": ("off", lambda c: get_both(c, "a", "y"), 87, 29),
    "page that is parsed in C": ("off", lambda c: c.scan(TableName=new()), 118, 30),
    "store hit": ("early", lambda client: get(client, "a"), 33, 18),
    "resource hit": ("resource", get_plain, 6, 5),
    "resource hit of a page": ("resource", scan_plain, 20, 6),
    "batch of ten, remembered": ("on", lambda c: get_both(c, *TEN), 24, 13),
    "batch of ten, half": ("on", lambda c: get_both(c, *TEN[:5], *five()), 225, 39),
    "batch of ten, none": ("on", lambda c: get_both(c, *five(), *five()), 316, 39),
    "near hit, disk": ("on disk", lambda client: get(client, "a"), 4, 3),
    "store hit, disk": ("early disk", lambda client: get(client, "a"), 47, 24),
    "near miss, disk": ("on disk", lambda client: get(client, new()), 76, 33),
    "update, disk": ("on disk", update, 69, 21),
    "store hit, redis": ("early redis", lambda client: get(client, "a"), 92, 28),
    "near miss, redis": ("on redis", lambda client: get(client, new()), 176, 38),
    "update, redis": ("on redis", update, 167, 29),
}
"""The client, the call, and the most calls and files that it may take.

A hit on disk is shorter while its entry is queued, behind the call that filled it.
"""

ONCE = ("near miss", "miss through the hooks", "batch, one of two cached")
"""Roads that their own call makes hits."""

INSTRUCTIONS = {
    "near hit": 220,
    "near miss": 2_820,
    "hit through the hooks": 1_470,
    "miss through the hooks": 2_180,
    "update": 2_470,
    "put, written through": 3_880,
    "batch, one of two cached": 4_680,
    "page that is parsed in C": 4_160,
    "store hit": 1_600,
    "resource hit": 280,
    "resource hit of a page": 710,
    "batch of ten, remembered": 1_250,
    "batch of ten, half": 12_940,
    "batch of ten, none": 15_860,
    "near hit, disk": 230,
    "store hit, disk": 1_870,
    "near miss, disk": 3_310,
    "update, disk": 4_100,
    "store hit, redis": 3_150,
    "near miss, redis": 6_260,
    "update, redis": 6_160,
}
"""The most bytecode instructions that a road may take, on Python 3.12 and later.

A call of a short function and one that loops over each byte are both one call;
instructions tell them apart. What a C function does is still one of them. Python 3.12
and 3.13 differ by three in a hundred; the larger number stands here.
"""


def shortest(
    road: str, client: Any, measure: Callable[[Callable[[], None]], Any]
) -> Any:
    """Return the shortest of several trips of one kind."""
    call = ROADS[road][1]
    if call in (update, put):
        call(client)  # the second one learns nothing new
    trips = 1 if road in ONCE else TRIPS
    return min(measure(lambda: call(client)) for _ in range(trips))


@pytest.mark.parametrize("road", ROADS)
def test_a_road_is_no_longer_than_this(
    road: str, make_client: Callable[[Any], Any]
) -> None:
    kind, _, calls, files = ROADS[road]
    trip = shortest(road, make_client(kind), trip_of)
    print(*trip.functions, sep="\n")
    assert trip.calls <= calls
    assert trip.files <= files


@pytest.mark.skipif(
    not COUNTS_INSTRUCTIONS, reason="only Python 3.12 and newer counts instructions"
)
@pytest.mark.parametrize("road", ROADS)
def test_a_road_takes_no_more_instructions_than_this(
    road: str, make_client: Callable[[Any], Any]
) -> None:
    count = shortest(road, make_client(ROADS[road][0]), instructions_of)
    print(count)
    assert count <= INSTRUCTIONS[road]


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
    assert miss.functions.count("_cache/preparers.py:prepare_item") == 1
    assert "botocache._cache.prepare.PreparedRead" in miss.type_names
