"""What a hit, a miss and a write cost through the hooks, for both local stores.

    python -m benchmarks.hooks [--quick]

Beside them, in the same rounds: a `before-call` handler that does nothing but answer
(the floor of every design that hooks botocore's events), an uncached call to moto's
server in another process, and an uncached call over a transport that answers at once,
which is what a miss and a write are compared with: over a real server the difference
would drown in its own time.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from itertools import count
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

import botocache
from benchmarks.measure import compare, report
from tests.support.dynamodb import running_dynamodb

ITEM = {
    "pk": {"S": "user#1234"},
    "sk": {"S": "profile"},
    "name": {"S": "Somebody"},
    "age": {"N": "42"},
    "tags": {"SS": ["a", "b", "c"]},
    "nested": {"M": {"x": {"BOOL": True}, "y": {"NULL": True}}},
}
KEY = {"pk": ITEM["pk"], "sk": ITEM["sk"]}


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]


def session() -> Any:
    """Return a session of its own, with credentials."""
    return boto3.Session(
        aws_access_key_id="AKIABENCH",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )


def client(**settings: Any) -> Any:
    """Return a client whose transport answers at once; cached if there are settings."""
    made = session()
    if settings:
        botocache.install(made, **settings)
    result = made.client("dynamodb", endpoint_url="http://127.0.0.1:1")
    body = (
        b'{"Item":{"pk":{"S":"user#1234"},"sk":{"S":"profile"},"name":{"S":"Somebody"},'
        b'"age":{"N":"42"},"tags":{"SS":["a","b","c"]},'
        b'"nested":{"M":{"x":{"BOOL":true},"y":{"NULL":true}}}}}'
    )

    def answer(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, {}, _Raw(body))  # type: ignore[arg-type]

    result.meta.events.register("before-send.dynamodb", answer)
    return result


def floor_client() -> Any:
    """Return a client whose `before-call` handler does nothing but answer."""
    result = client()

    def answer(params: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        response = AWSResponse(params["url"], 200, {}, None)  # type: ignore[arg-type]
        return response, {"Item": ITEM, "ResponseMetadata": {}}

    result.meta.events.register("before-call.dynamodb", answer)
    return result


def getting(made: Any, table: str = "t") -> Callable[[], object]:
    """Return the same read, again and again."""
    return lambda: made.get_item(TableName=table, Key=KEY)


def getting_new(made: Any) -> Callable[[], object]:
    """Return a read of another item each time."""
    numbers = count()
    return lambda: made.get_item(
        TableName="t",
        Key={"pk": {"S": f"{os.getpid()}-{next(numbers)}"}, "sk": ITEM["sk"]},
    )


def updating(made: Any) -> Callable[[], object]:
    """Return a write of another item each time."""
    numbers = count()
    return lambda: made.update_item(
        TableName="t",
        Key={"pk": {"S": f"written-{next(numbers)}"}, "sk": ITEM["sk"]},
        UpdateExpression="SET age = :a",
        ExpressionAttributeValues={":a": {"N": "43"}},
    )


def main() -> None:
    """Compare hits with hits, misses with misses, writes with writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args().quick
    rounds, calls = (7, 100) if quick else (31, 300)

    with tempfile.TemporaryDirectory() as directory, running_dynamodb() as server:
        memory = client(url="memory:", ttl=3600)
        disk = client(url=f"disk://{directory}", ttl=3600)
        plain = client()
        moto = server.client()
        table = server.create_table("pk:S", "sk:S")
        moto.put_item(TableName=table, Item=ITEM)

        base = "do-nothing before-call handler"
        figures = compare(
            {
                base: getting(floor_client()),
                "hit, memory": getting(memory),
                "hit, disk": getting(disk),
                "uncached, transport answers at once": getting(plain),
            },
            base=base,
            rounds=rounds,
            calls=calls,
        )
        report("Hit: GetItem of six attributes, client", base, figures)

        base = "hit, disk"
        figures = compare(
            {base: getting(disk), "uncached, moto's server": getting(moto, table)},
            base=base,
            rounds=rounds,
            calls=20,
        )
        report("Server: a hit beside a local server", base, figures)

        for verb, doing in (("Miss", getting_new), ("Write", updating)):
            base = "uncached, transport answers at once"
            figures = compare(
                {
                    base: doing(plain),
                    f"{verb.lower()}, memory": doing(memory),
                    f"{verb.lower()}, disk": doing(disk),
                    "do-nothing before-call handler": doing(floor_client()),
                },
                base=base,
                rounds=rounds,
                calls=calls,
            )
            report(f"{verb}: what is added to the call", base, figures)


if __name__ == "__main__":
    main()
