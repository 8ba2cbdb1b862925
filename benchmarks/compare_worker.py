"""A program: measures the botocache package of one tree, and prints JSON.

    python -I compare_worker.py TREE SECONDS [--cpu] [--redis URL] [--entries N]

It imports nothing else of the tree, so that one and the same program measures both
sides of a comparison. A handler of `before-send` answers in DynamoDB's place. SECONDS:
for each kind of call. Beside each call runs its base, in slices that alternate: the
same call without botocache, or answered by a do-nothing handler of `before-call`.
Entries: of which the size is measured.
"""

import argparse
import json
import secrets
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import botocore.session
from botocore.awsrequest import AWSResponse

SLICES = 9
BATCH = 50
WARM_UPS = 3
"""Calls after which the near cache remembers an answer."""

ITEM = {
    "pk": {"S": "user#1234"},
    "sk": {"S": "profile"},
    "name": {"S": "Ada"},
    "age": {"N": "42"},
    "tags": {"SS": ["a", "b", "c"]},
    "nested": {"M": {"x": {"BOOL": True}, "y": {"NULL": True}}},
}
_numbers = count()
_PROCESS = secrets.token_hex(4)
_session_of_all = botocore.session.Session()

Call: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Clock:
    """What time is, and which of several slices counts.

    now: in seconds.
    of_slices: picks one of them.
    """

    now: Callable[[], float]
    of_slices: Callable[[list[float]], float]


WALL = Clock(time.perf_counter, statistics.median)
CPU = Clock(time.process_time, min)
"""Other processes hardly change the processor time of the slice with the least."""


def main() -> None:
    """Measure all stores, print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--redis", metavar="URL")
    parser.add_argument("--entries", type=int, default=500)
    parsed = parser.parse_args()
    sys.path.insert(0, str(parsed.tree))
    import botocache

    assert Path(botocache.__file__).is_relative_to(parsed.tree), botocache.__file__
    clock = CPU if parsed.cpu else WALL
    results: dict[str, tuple[float, float | None]] = {}
    with tempfile.TemporaryDirectory() as name:
        urls = {"memory": "memory:", "disk": f"disk://{name}"}
        if parsed.redis:
            urls["redis"] = parsed.redis
        for store, url in urls.items():
            for what, (call, base) in calls(url).items():
                results[f"{what}, {store}"] = micros(call, base, parsed.seconds, clock)
        weigh: dict[str, Callable[[], int]] = {
            "memory": allocated,
            "disk": lambda: used(Path(name)),
        }
        tracemalloc.start()  # slows everything down, so after all timing
        for store, size in weigh.items():
            results[f"bytes of an entry, {store}"] = (
                weight(urls[store], size, parsed.entries),
                None,
            )
    print(json.dumps(results))


def calls(url: str) -> Mapping[str, tuple[Call, Call]]:
    """Return a call of each kind on a store, each with its base."""
    near, hooks = client(url), client(url, near="off")
    early = client_that_remembers_nothing(url)
    bare, handler = client(None), answered_by_handler(client(None))
    table, table_handler = table_of(url), table_of(None)
    answered_by_handler(table_handler.meta.client)
    cached = [new_key() for _ in range(BATCH)]
    half = cached[: BATCH // 2]
    for made in (near, hooks, early):
        getting(made)()  # learns the key attributes
    return {
        "near hit": (getting(near), getting(handler)),
        "resource near hit": (
            lambda: table.get_item(Key=PLAIN_KEY),
            lambda: table_handler.get_item(Key=PLAIN_KEY),
        ),
        "hit looked up early": (getting(early), getting(handler)),
        "hit through hooks": (getting(hooks), getting(handler)),
        "near miss": (getting_new(near), getting_new(bare)),
        "miss through hooks": (getting_new(hooks), getting_new(bare)),
        "update": (updating(near), updating(bare)),
        "put": (putting(near), putting(bare)),
        f"batch of {BATCH}, all hits": (batch(near, cached), batch(bare, cached)),
        f"batch of {BATCH}, half hits": (batch(near, half), batch(bare, half)),
        f"batch of {BATCH}, no hits": (batch(near, []), batch(bare, [])),
    }


# --- clients -----------------------------------------------------------------------


def session(url: str | None, **settings: Any) -> Any:
    """Return a new session, cached if there is a URL.

    Sessions share the service models, which take botocore longest to load.
    """
    of_botocore = botocore.session.Session()
    loader = _session_of_all.get_component("data_loader")
    of_botocore.register_component("data_loader", loader)
    made = boto3.Session(
        botocore_session=of_botocore,
        aws_access_key_id="AKIABENCH",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    if url is not None:
        import botocache

        # Named, because the handler below could tell callers apart.
        botocache.install(made, url=url, ttl=3600.0, scope="benchmarks", **settings)
    return made


def client(url: str | None, **settings: Any) -> Any:
    """Return a client whose requests are answered at once."""
    made = session(url, **settings).client("dynamodb", endpoint_url=ENDPOINT)
    made.meta.events.register("before-send.dynamodb", answer)
    return made


def client_that_remembers_nothing(url: str) -> Any:
    """Return a client whose near cache looks each hit up in the store."""
    from botocache._near import answers

    limit = answers.SIZE_LIMIT
    answers.SIZE_LIMIT = 0
    try:
        return client(url, namespace="early")
    finally:
        answers.SIZE_LIMIT = limit


def table_of(url: str | None) -> Any:
    """Return a resource's Table, as `client`."""
    made = session(url).resource("dynamodb", endpoint_url=ENDPOINT)
    made.meta.client.meta.events.register("before-send.dynamodb", answer)
    return made.Table("t")


def answered_by_handler(made: Any) -> Any:
    """Give a client a `before-call` handler that only answers; return the client."""

    def answer_it(params: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        # Resources rewrite the item in place.
        body = {"Item": dict(ITEM), "ResponseMetadata": {}}
        return AWSResponse(params["url"], 200, {}, None), body  # type: ignore[arg-type]

    made.meta.events.register("before-call.dynamodb.GetItem", answer_it)
    return made


def answer(request: Any, **_: Any) -> AWSResponse:
    """Answer in DynamoDB's place, reads with the items that they name."""
    asked = json.loads(request.body)
    body: dict[str, Any] = {}
    if "RequestItems" in asked:
        keys = asked["RequestItems"]["t"]["Keys"]
        items = [{**ITEM, **key} for key in keys]
        body = {"Responses": {"t": items}, "UnprocessedKeys": {}}
    elif request.headers["X-Amz-Target"].endswith(b"GetItem"):
        body = {"Item": {**ITEM, **asked["Key"]}}
    raw = Raw(json.dumps(body).encode())
    return AWSResponse(request.url, 200, {}, raw)  # type: ignore[arg-type]  # it takes any mapping


class Raw:
    """The body of a response."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        """Yield the body in one piece."""
        yield self._body


# --- calls -------------------------------------------------------------------------


def key_of(name: str) -> dict[str, Any]:
    """Return the key of the item of that name."""
    return {"pk": {"S": name}, "sk": ITEM["sk"]}


ENDPOINT = "http://127.0.0.1:1"
KEY = key_of("hit")
PLAIN_KEY = {"pk": "hit", "sk": "profile"}


def new_key() -> dict[str, Any]:
    """Return a key that was never used before.

    Nor by another process, with which this one may share a server.
    """
    return key_of(f"new#{_PROCESS}#{next(_numbers)}")


def getting(made: Any) -> Call:
    """Return a read of one item, the same each time."""
    return lambda: made.get_item(TableName="t", Key=KEY)


def getting_new(made: Any) -> Call:
    """Return a read of another item each time."""
    return lambda: made.get_item(TableName="t", Key=new_key())


def updating(made: Any) -> Call:
    """Return an update of another item each time."""
    return lambda: made.update_item(
        TableName="t",
        Key=new_key(),
        UpdateExpression="SET age = :a",
        ExpressionAttributeValues={":a": {"N": "43"}},
    )


def putting(made: Any) -> Call:
    """Return a put of another item each time."""
    return lambda: made.put_item(TableName="t", Item={**ITEM, **new_key()})


def batch(made: Any, same: list[dict[str, Any]]) -> Call:
    """Return a batch read of the same keys, and of new ones to make it full."""

    def read() -> object:
        keys = same + [new_key() for _ in range(BATCH - len(same))]
        return made.batch_get_item(RequestItems={"t": {"Keys": keys}})

    return read


# --- measuring ---------------------------------------------------------------------


def micros(call: Call, base: Call, seconds: float, clock: Clock) -> tuple[float, float]:
    """Return the microseconds of a call and of its base."""
    counts = [calls_in(each, seconds / SLICES) for each in (call, base)]
    slices: tuple[list[float], list[float]] = ([], [])
    for _ in range(SLICES):
        for each, number, taken in zip((call, base), counts, slices, strict=True):
            taken.append(timed(each, number, clock) / number)
    of_call, of_base = (clock.of_slices(taken) * 1e6 for taken in slices)
    return of_call, of_base


def calls_in(call: Call, seconds: float) -> int:
    """Return how many calls take about so long; make some to find out."""
    taken, number = 0.0, 1
    timed(call, WARM_UPS, WALL)
    while taken < seconds / 2:  # doubles the calls until they take long enough
        number *= 2
        taken = timed(call, number, WALL)
    return number


def timed(call: Call, number: int, clock: Clock) -> float:
    """Return the seconds that so many calls take."""
    begin = clock.now()
    for _ in range(number):
        call()
    return clock.now() - begin


def weight(url: str, size: Callable[[], int], entries: int) -> float:
    """Return the bytes that an entry takes, in a cache without the near tier."""
    made = client(url, near="off", namespace="weight")
    before = 0
    for _ in range(2):  # in the first round SQLite's log grows to its usual size
        before = size()
        for _ in range(entries):
            made.get_item(TableName="t", Key=new_key())
    return (size() - before) / entries


def allocated() -> int:
    """Return the bytes that Python objects take, since tracing began."""
    return tracemalloc.get_traced_memory()[0]


def used(directory: Path) -> int:
    """Return the bytes that files in a directory take."""
    return sum(
        path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file()
    )


if __name__ == "__main__":
    main()
