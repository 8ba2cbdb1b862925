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
    for percent in (0, 50, 100):
        cached = KEYS * percent // 100
        contenders: dict[str, Callable[[], object]] = {
            names.AT_ONCE: _asking(client(Transport(_answer)), cached)
        }
        for name, settings in places.stores().items():
            made = client(Transport(_answer), **settings)
            contenders[name] = _asking(made, cached)
        times = time_rounds(contenders, rounds=scale.rounds, seconds=scale.seconds)
        title = f"Batch: BatchGetItem of {KEYS} keys, {percent} % cached, client"
        yield Group(f"batch-{percent}", title, names.AT_ONCE, times)


def _asking(made: Any, cached: int) -> Callable[[], object]:
    """Return a read of that many keys that are always the same, and of new ones."""
    numbers = count()
    same = [_key(f"same-{number}") for number in range(cached)]

    def ask() -> object:
        new = [_key(f"new-{next(numbers)}") for _ in range(KEYS - cached)]
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
