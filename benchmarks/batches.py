"""BatchGetItem of 50 keys, of which none, half, or all are cached.

Those that are not are new ones in each call. The transport makes its answer from the
request, of as many items as were asked for, which is part of what a hit saves.
"""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from benchmarks import names
from benchmarks.clients import ITEM, Transport, client
from benchmarks.measure import Group, time_rounds
from benchmarks.places import Places
from benchmarks.scale import Scale

KEYS = 50
TABLE = "batch"


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare with the same calls uncached."""
    clients = {names.AT_ONCE: client(Transport(_answer))}
    for name, settings in places.stores().items():
        clients[name] = client(Transport(_answer), **settings)
    for percent in (0, 50, 100):
        contenders = {name: _asking(made, percent) for name, made in clients.items()}
        times = time_rounds(contenders, rounds=scale.rounds, seconds=scale.seconds)
        title = f"Batch: BatchGetItem of {KEYS} keys, {percent} % cached, client"
        yield Group(f"batch-{percent}", title, names.AT_ONCE, times)


def _asking(made: Any, percent: int) -> Callable[[], object]:
    """Return a read of keys of which so many are always the same."""
    cached = KEYS * percent // 100
    numbers = count()
    same = [_key(f"same-{number}") for number in range(cached)]

    def ask() -> object:
        new = [_key(f"{percent}-{next(numbers)}") for _ in range(KEYS - cached)]
        return made.batch_get_item(RequestItems={TABLE: {"Keys": same + new}})

    return ask


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}, "sk": ITEM["sk"]}


def _answer(body: bytes) -> dict[str, Any]:
    keys = json.loads(body)["RequestItems"][TABLE]["Keys"]
    return {
        "Responses": {TABLE: [{**ITEM, **key} for key in keys]},
        "UnprocessedKeys": {},
    }
