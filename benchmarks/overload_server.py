"""A program: a stand-in for DynamoDB with the read capacity of one partition.

    python -m benchmarks.overload_server

It prints its port. Each read is answered from bytes that are made once, after the time
that a read takes, and costs its units of a token bucket. Above the capacity it is
refused. `POST /_begin` with a JSON of Load begins anew, and returns what was counted
before. Requests with another path than that of the present Load are late ones of what
was measured before: they are refused for good.
"""

import asyncio
import json
import math
from time import monotonic
from typing import Any, NamedTuple

LATENCY = 0.008
"""Seconds that a read takes, as DynamoDB's median; a refusal takes a quarter."""

BURST = 0.25
"""Seconds of capacity that are saved up: a partition's limit allows hardly any."""

_REFUSED = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "The level of configured provisioned throughput was exceeded",
}
_ENDED = {
    "__type": "com.amazon.coral.validate#ValidationException",
    "message": "what this request belongs to is over",
}


class Load(NamedTuple):
    """What the server gives.

    name: the path of its requests.
    rate: read units a second; 0 for any number.
    units: that a read costs.
    items: in each answer.
    size: bytes of each.
    """

    name: str
    rate: float
    units: float
    items: int
    size: int


class Table:
    """The one table, and its counts."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._level, self._at = load.rate * BURST, monotonic()
        self.counts = {"asked": 0, "refused": 0}
        item = {"pk": {"S": "a"}, "sk": {"S": "b"}, "text": {"S": "x" * load.size}}
        items = [item] * load.items
        query = {"Items": items, "Count": load.items, "ScannedCount": load.items}
        self._query = _response(200, query)
        self._item = _response(200, {"Item": item})
        self._refusal = _response(400, _REFUSED)
        self._ended = _response(400, _ENDED)
        self._path = f"POST /{load.name}".encode()

    def answer(self, head: bytes) -> tuple[bytes, float]:
        """Return an answer, and the seconds that it takes. head: of the request."""
        if not head.startswith(self._path):
            return self._ended, 0.0
        self.counts["asked"] += 1
        if not self._admits():
            self.counts["refused"] += 1
            return self._refusal, LATENCY / 4
        return self._query if b"20120810.Query" in head else self._item, LATENCY

    def _admits(self) -> bool:
        rate = self._load.rate or math.inf
        now = monotonic()
        self._level = min(rate * BURST, self._level + rate * (now - self._at))
        self._at = now
        if self._level < self._load.units:
            return False
        self._level -= self._load.units
        return True


def _response(status: int, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"Content-Length: {len(content)}\r\nx-amzn-RequestId: X\r\n\r\n"
    )
    return head.encode() + content


class Connection(asyncio.Protocol):
    """One connection: requests one after another, each with a Content-Length."""

    table = Table(Load("", 0.0, 0.5, 1, 10))

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lower = head.lower()
        size = 0
        if (at := lower.find(b"content-length:")) >= 0:
            size = int(lower[at:].split(b"\r\n", 1)[0].split(b":")[1])
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        if head.startswith(b"POST /_begin"):
            counts = Connection.table.counts
            Connection.table = Table(Load(*json.loads(rest[:size])))
            self._transport.write(_response(200, counts))
            return
        answer, seconds = Connection.table.answer(head)
        asyncio.get_running_loop().call_later(seconds, self._write, answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def main() -> None:
    """Serve until the process is killed, or its parent closes standard input."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=500)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
