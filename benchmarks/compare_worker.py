"""A program: measures the botocache package of one tree, and prints JSON.

    python -I compare_worker.py TREE SECONDS

It imports nothing else of the tree, so that one and the same program measures both
sides of a comparison. A handler of `before-send` answers in DynamoDB's place. SECONDS:
for each kind of call.
"""

import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

SLICES = 9
BATCH = 50
ENTRIES = 500
"""Entries whose size is measured."""

ITEM = {
    "pk": {"S": "user#1234"},
    "sk": {"S": "profile"},
    "name": {"S": "Ada"},
    "age": {"N": "42"},
    "tags": {"SS": ["a", "b", "c"]},
    "nested": {"M": {"x": {"BOOL": True}, "y": {"NULL": True}}},
}
_numbers = count()


def main() -> None:
    """Measure both local stores, print the results."""
    tree, seconds = Path(sys.argv[1]), float(sys.argv[2])
    sys.path.insert(0, str(tree))
    import botocache

    assert Path(botocache.__file__).is_relative_to(tree), botocache.__file__
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        urls = {"memory": "memory:", "disk": f"disk://{name}"}
        for store, url in urls.items():
            for what, call in calls(url).items():
                results[f"{what}, {store}"] = micros(call, seconds)
        weigh: dict[str, Callable[[], int]] = {
            "memory": allocated,
            "disk": lambda: used(Path(name)),
        }
        tracemalloc.start()  # slows everything down, so after all timing
        for store, url in urls.items():
            results[f"bytes of an entry, {store}"] = weight(url, weigh[store])
    print(json.dumps(results))


def calls(url: str) -> Mapping[str, Callable[[], object]]:
    """Return a call of each kind, on a store."""
    near, hooks = client(url), client(url, near="off")
    cached = [new_key() for _ in range(BATCH // 2)]
    near.get_item(TableName="t", Key=key_of("hit"))  # learns the key attributes
    return {
        "near hit": lambda: near.get_item(TableName="t", Key=key_of("hit")),
        "hit through hooks": lambda: hooks.get_item(TableName="t", Key=key_of("hit")),
        "near miss": lambda: near.get_item(TableName="t", Key=new_key()),
        "miss through hooks": lambda: hooks.get_item(TableName="t", Key=new_key()),
        "update": lambda: near.update_item(
            TableName="t",
            Key=new_key(),
            UpdateExpression="SET age = :a",
            ExpressionAttributeValues={":a": {"N": "43"}},
        ),
        "put": lambda: near.put_item(TableName="t", Item={**ITEM, **new_key()}),
        f"batch of {BATCH}, half hits": lambda: near.batch_get_item(
            RequestItems={
                "t": {"Keys": cached + [new_key() for _ in range(BATCH - len(cached))]}
            }
        ),
    }


def client(url: str, **settings: Any) -> Any:
    """Return a client with the cache, whose requests are answered at once."""
    import botocache

    session = boto3.Session(
        aws_access_key_id="AKIABENCH",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    # Named, because the handler below could tell callers apart.
    botocache.install(session, url=url, ttl=3600.0, scope="benchmarks", **settings)
    made = session.client("dynamodb", endpoint_url="http://127.0.0.1:1")
    made.meta.events.register("before-send.dynamodb", answer)
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


def key_of(name: str) -> dict[str, Any]:
    """Return the key of the item of that name."""
    return {"pk": {"S": name}, "sk": ITEM["sk"]}


def new_key() -> dict[str, Any]:
    """Return a key that was never used before."""
    return key_of(f"new#{next(_numbers)}")


def micros(call: Callable[[], object], seconds: float) -> float:
    """Return the microseconds of a call, the median of SLICES."""
    taken, calls = 0.0, 1
    call()
    while (
        taken < seconds / SLICES / 2
    ):  # doubles the calls until a slice is long enough
        calls *= 2
        taken = timed(call, calls)
    slices = [timed(call, calls) / calls for _ in range(SLICES)]
    return statistics.median(slices) * 1e6


def timed(call: Callable[[], object], calls: int) -> float:
    """Return the seconds that so many calls take."""
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - begin


def weight(url: str, size: Callable[[], int]) -> float:
    """Return the bytes that an entry takes, in a cache without the near tier."""
    made = client(url, near="off", namespace="weight")
    before = 0
    for _ in range(2):  # in the first round SQLite's log grows to its usual size
        before = size()
        for _ in range(ENTRIES):
            made.get_item(TableName="t", Key=new_key())
    return (size() - before) / ENTRIES


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
