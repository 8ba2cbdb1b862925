"""Read units of a hot item that is often written, by reads_after_write.

A simulation, the same on every machine: a real client, cache and store on a clock that
is set by hand. An item of up to 4 KB is read by eventually consistent reads, evenly,
and written now and then by an update that returns nothing, or by a put. A read costs
half a read unit, a strongly consistent one a whole unit.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import botocache
from benchmarks.clients import SCOPE, Transport, session
from benchmarks.measure import Group
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import KEY, SMALL
from botocache.stores.memory import MemoryStore

READS_PER_SECOND = (0.5, 10, 200)
SECONDS_BETWEEN_WRITES = (0.2, 1, 5, 30)
SECONDS = 60
NO_CACHE = "no cache"


class Simulation:
    """A client with the cache, on a clock that it sets itself."""

    def __init__(self, **settings: Any) -> None:
        self._now = 1000.0
        self._units = 0.0
        made = session()
        botocache.install(
            made, url=MemoryStore(clock=lambda: self._now), scope=SCOPE, **settings
        )
        self._client = made.client("dynamodb", endpoint_url="http://127.0.0.1:1")
        Transport(self._answer).attach(self._client)

    def _answer(self, body: bytes) -> Mapping[str, Any]:
        self._units += 1.0 if json.loads(body).get("ConsistentRead") else 0.5
        return {"Item": SMALL}

    def run(self, reads: float, write: Callable[[Any], object], every: float) -> float:
        """Return the read units per second.

        reads: per second.
        every: seconds between two writes.
        """
        self._client.get_item(TableName="t", Key=KEY)  # learns the key attributes
        begin, self._units = self._now, 0.0
        next_read, next_write = begin, begin + every
        while self._now < begin + SECONDS:
            if next_read <= next_write:
                self._now, next_read = next_read, next_read + 1 / reads
                self._client.get_item(TableName="t", Key=KEY)
            else:
                self._now, next_write = next_write, next_write + every
                write(self._client)
        return self._units / SECONDS


def _update(client: Any) -> None:
    client.update_item(TableName="t", Key=KEY, UpdateExpression="REMOVE v")


def _put(client: Any) -> None:
    client.put_item(TableName="t", Item={**KEY, "n": {"N": "1"}})


WRITERS: Mapping[str, tuple[Callable[[Any], object], dict[str, Any]]] = {
    "update, uncached": (_update, {"reads_after_write": "uncached"}),
    "update, consistent": (_update, {"reads_after_write": "consistent"}),
    "put, written through": (_put, {}),
}


def measure(_scale: Scale, _places: Places) -> Iterator[Group]:
    """Count read units for each rhythm of reads and writes."""
    for reads in READS_PER_SECOND:
        for every in SECONDS_BETWEEN_WRITES:
            units = {NO_CACHE: [reads / 2]}
            for name, (write, settings) in WRITERS.items():
                units[name] = [Simulation(**settings).run(reads, write, every)]
            title = f"Hot item: {reads} reads a second, a write every {every} s"
            name = f"hot-item-{reads}-{every}"
            yield Group(name, title, NO_CACHE, units, unit="RCU/s")
