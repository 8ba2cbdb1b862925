"""A service in short: 95 % reads and 5 % writes of many keys, some much hotter.

moto's server answers, in a process of its own. The base is an uncached client that
makes the same calls in the same order. A key's share follows Zipf's law: the n-th has
1/n of the first one's. Cached clients make as many calls before they are measured.
"""

import json
import random
import statistics
import time
import urllib.request
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import botocache
from benchmarks import names
from benchmarks.clients import SCOPE, session
from benchmarks.measure import Group
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import SMALL

WRITES = 0.05
ROUNDS = 10
_CONSISTENT, _EVENTUAL = 1.0, 0.5


class Service:
    """Makes calls of the mix, and counts the reads that reach the server.

    rounds: microseconds of each call, round by round.
    sent: reads that reached the server.
    reads: all reads.
    units: read units that the server would bill.
    """

    def __init__(self, places: Places, table: str, weights: list[float]) -> None:
        self._places = places
        self._table = table
        self._weights = weights
        self._random = random.Random(7)
        self.rounds: list[list[float]] = []
        self.sent = self.reads = 0
        self.units = 0.0

    def connect(self, settings: dict[str, Any]) -> None:
        """Make the client; cached if there are settings."""
        made = session()
        if settings:
            botocache.install(made, scope=SCOPE, **settings)
        self._client = self._places.moto.client(made)
        self._client.meta.events.register("before-send.dynamodb", self._count)

    def run(self, calls: int) -> None:
        """Make a round of calls."""
        keys = self._random.choices(
            range(len(self._weights)), cum_weights=self._weights, k=calls
        )
        micros = []
        for number in keys:
            is_write = self._random.random() < WRITES
            key = {"pk": {"S": f"key#{number}"}, "sk": SMALL["sk"]}
            begin = time.perf_counter()
            if is_write:
                self._write(key)
            else:
                self._client.get_item(TableName=self._table, Key=key)
            micros.append((time.perf_counter() - begin) * 1e6)
            self.reads += not is_write
        self.rounds.append(micros)

    def reset(self) -> None:
        """Count from zero."""
        self.rounds.clear()
        self.sent = self.reads = 0
        self.units = 0.0

    def _write(self, key: dict[str, Any]) -> None:
        self._client.update_item(
            TableName=self._table,
            Key=key,
            UpdateExpression="SET age = :a",
            ExpressionAttributeValues={":a": {"N": str(self._random.randrange(100))}},
        )

    def _count(self, request: Any, **_: Any) -> None:
        body = json.loads(request.body)
        if "UpdateExpression" not in body:
            self.sent += 1
            self.units += _CONSISTENT if body.get("ConsistentRead") else _EVENTUAL


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Run the services in turns; yield their times and read units."""
    services = _services(scale, places)
    each = max(scale.calls // ROUNDS, 1)
    order, shuffle = list(services), random.Random(1).shuffle
    for name, service in services.items():
        service.run(each if name == names.MOTO else scale.calls)
        service.reset()
    for _ in range(ROUNDS):
        shuffle(order)
        for name in order:
            services[name].run(each)
    yield from _groups(scale, services)


def _services(scale: Scale, places: Places) -> dict[str, Service]:
    table = places.moto.create_table("pk:S", "sk:S")
    where = f"{places.moto.url}/_fill?table={table}&keys={scale.keys}"
    urllib.request.urlopen(where, timeout=600).close()
    weights = list(accumulate(1 / rank for rank in range(1, scale.keys + 1)))
    services = {}
    for name, settings in ((names.MOTO, {}), *places.stores().items()):
        services[name] = Service(places, table, weights)
        services[name].connect(settings)
    return services


def _groups(scale: Scale, services: dict[str, Service]) -> Iterator[Group]:
    title = f"Mix: 95 % GetItem, 5 % UpdateItem, {scale.keys:,} keys by Zipf"
    for name, what, value in (
        ("time", "a call, on average: the throughput's inverse", statistics.fmean),
        ("p50", "the median call", statistics.median),
        ("p99", "the call at the 99th percentile", _p99),
    ):
        times = {n: [value(r) for r in s.rounds] for n, s in services.items()}
        yield Group(f"mix-{name}", f"{title}: {what}", names.MOTO, times)
    yield Group(
        "mix-sent",
        f"{title}: reads that went to DynamoDB",
        names.MOTO,
        {n: [100 * s.sent / s.reads] for n, s in services.items()},
        unit="%",
        note="The rest to 100 is the hit ratio.",
    )
    yield Group(
        "mix-units",
        f"{title}: read units",
        names.MOTO,
        {n: [1000 * s.units / s.reads] for n, s in services.items()},
        unit="RCU",
        note="Of each thousand reads, of items up to 4 KB. A read soon after a write "
        "is sent strongly consistent, for twice the units, so that it can be kept.",
    )


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
