"""What a hot item that is often written costs, by reads_after_write and write-through.

    python -m benchmarks.hot_item

A simulation, not a measurement: a real client, cache and store on a clock that is
moved by hand, and a DynamoDB that answers at once. An item of up to 4 KB is read by
eventually consistent reads, evenly, and written now and then by an update that returns
nothing (as most do) or by a put. Counted are read units: one half for a read, one for a
strongly consistent one. It comes out the same on every machine.
"""

import json
from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse

import botocache
from benchmarks.clients import session
from benchmarks.work import KEY, SMALL
from botocache.stores.memory import MemoryStore

READS_PER_SECOND = (0.5, 10, 200)
SECONDS_BETWEEN_WRITES = (0.2, 1, 5, 30)
SECONDS = 60

SETTINGS: dict[str, dict[str, Any]] = {
    "uncached": {"reads_after_write": "uncached"},
    "consistent": {"reads_after_write": "consistent"},
}


class Simulation:
    """A client with the cache, on a clock of ours; counts read units."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.units = 0.0
        made = session()
        botocache.install(made, url=MemoryStore(clock=lambda: self.now), **settings)
        self.client = made.client("dynamodb", endpoint_url="http://127.0.0.1:1")
        self.client.meta.events.register("before-send.dynamodb", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        asked = json.loads(request.body)
        answer: dict[str, Any] = {}
        if "Item" not in asked and "UpdateExpression" not in asked:
            self.units += 1.0 if asked.get("ConsistentRead") else 0.5
            answer = {"Item": SMALL}
        return AWSResponse(request.url, 200, {}, _Body(json.dumps(answer)))  # type: ignore[arg-type]  # it takes any mapping

    def run(self, reads: float, write: Callable[[Any], object], every: float) -> float:
        """Return the read units per second."""
        self.client.get_item(TableName="t", Key=KEY)  # teaches the key attributes
        begin, self.units = self.now, 0.0
        next_read, next_write = begin, begin + every
        while self.now < begin + SECONDS:
            if next_read <= next_write:
                self.now, next_read = next_read, next_read + 1 / reads
                self.client.get_item(TableName="t", Key=KEY)
            else:
                self.now, next_write = next_write, next_write + every
                write(self.client)
        return self.units / SECONDS


class _Body:
    def __init__(self, text: str) -> None:
        self._text = text

    def stream(self, **_: Any) -> list[bytes]:
        return [self._text.encode()]


def _update(client: Any) -> None:
    client.update_item(TableName="t", Key=KEY, UpdateExpression="REMOVE v")


def _put(client: Any) -> None:
    client.put_item(TableName="t", Item={**KEY, "n": {"N": "1"}})


def main() -> None:
    """Print read units per second, one line for each rhythm."""
    columns = [
        *((f"update, {name}", _update, more) for name, more in SETTINGS.items()),
        ("put, write-through", _put, {}),
    ]
    print(__doc__)
    names = "".join(f"{name:>22}" for name, _, _ in columns)
    print(f"{'reads/s':>8}{'write every':>13}{'no cache':>12}{names}")
    for reads in READS_PER_SECOND:
        for every in SECONDS_BETWEEN_WRITES:
            units = [
                Simulation(**more).run(reads, write, every)
                for _, write, more in columns
            ]
            figures = "".join(f"{each:>22.2f}" for each in units)
            print(f"{reads:>8}{every:>11} s{reads / 2:>12.2f}{figures}")


if __name__ == "__main__":
    main()
