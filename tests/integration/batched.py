"""BatchGetItem in tests: how it is asked, what is sent, and keys left unprocessed."""

import json
from typing import Any

from botocore.awsrequest import AWSResponse

from tests.integration.app import World, plain, put, wire
from tests.support.network import intercept


def fill(world: World, table: str, *keys: str) -> None:
    """Put items around the cache."""
    for key in keys:
        put(world.outside, table, pk=key, n=ord(key), text=f"item {key}")


def keys_of(*keys: str, **options: Any) -> dict[str, Any]:
    """Return the part of a request that asks one table for keys."""
    return {"Keys": [wire({"pk": key}) for key in keys], **options}


def batch(client: Any, table: str, *keys: str, **options: Any) -> list[dict[str, Any]]:
    """Get items of one table."""
    answer = client.batch_get_item(RequestItems={table: keys_of(*keys, **options)})
    assert answer["UnprocessedKeys"] == {}
    return [plain(item) for item in answer["Responses"][table]]


class Sent:
    """The bodies that a client sends for BatchGetItem."""

    def __init__(self, client: Any) -> None:
        self.requests: list[dict[str, list[str]]] = []
        intercept(client, "before-send.dynamodb.BatchGetItem", self._note)

    def _note(self, request: Any, **_: Any) -> None:
        asked = json.loads(request.body)["RequestItems"]
        self.requests.append(
            {
                table: [key["pk"]["S"] for key in part["Keys"]]
                for table, part in asked.items()
            }
        )


class Throttling:
    """Answers in DynamoDB's place, and leaves keys unprocessed."""

    def __init__(self, client: Any, table: str, *keys: str) -> None:
        self.keys = set(keys)
        self._table = table
        intercept(client, "before-send.dynamodb.BatchGetItem", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        part = json.loads(request.body)["RequestItems"][self._table]
        asked = [key["pk"]["S"] for key in part["Keys"]]
        left = [{"pk": {"S": key}} for key in asked if key in self.keys]
        items = [
            {"pk": {"S": key}, "n": {"N": str(ord(key))}}
            for key in asked
            if key not in self.keys
        ]
        answer = {
            "Responses": {self._table: items},
            "UnprocessedKeys": {self._table: {**part, "Keys": left}} if left else {},
        }
        body = _Body(json.dumps(answer).encode())
        return AWSResponse(request.url, 200, {}, body)  # type: ignore[arg-type]  # it takes any mapping


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> tuple[bytes, ...]:
        return (self._content,)
