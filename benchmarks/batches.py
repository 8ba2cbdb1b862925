"""BatchGetItem of 50 keys, of which none, half, or all are cached.

The keys that are not cached are new in each call. The transport builds its response
from the request, with an item for each key; a hit saves that work, too.
"""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from benchmarks import names
from benchmarks.clients import ITEM, Transport, client
from benchmarks.hits import always_hit
from benchmarks.measure import Contender, Group, timed_group
from benchmarks.places import Places
from benchmarks.scale import Scale

KEYS = 50
ALL = 100
"""Per cent."""

TABLE = "batch"


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare with the same calls uncached."""
    clients = {names.AT_ONCE: client(Transport(_answer))}
    transports = {}
    for name, settings in places.stores().items():
        transports[name] = Transport(_answer)
        clients[name] = client(transports[name], **settings)
    for percent in (0, 50, ALL):
        contenders: dict[str, Callable[[], object] | Contender] = {
            name: _reading(made, percent) for name, made in clients.items()
        }
        if percent == ALL:
            for name, transport in transports.items():
                contenders[name] = always_hit(_reading(clients[name], ALL), transport)
        title = f"Batch: BatchGetItem of {KEYS} keys, {percent} % cached, client"
        yield timed_group(f"batch-{percent}", title, names.AT_ONCE, contenders, scale)


def _reading(made: Any, percent: int) -> Callable[[], object]:
    """Return a batch read of which `percent` per cent are the same keys each time."""
    cached = KEYS * percent // ALL
    numbers = count()
    same = [_key(f"same-{number}") for number in range(cached)]

    def read() -> object:
        new = [_key(f"{percent}-{next(numbers)}") for _ in range(KEYS - cached)]
        return made.batch_get_item(RequestItems={TABLE: {"Keys": same + new}})

    return read


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}, "sk": ITEM["sk"]}


def _answer(body: bytes) -> dict[str, Any]:
    keys = json.loads(body)["RequestItems"][TABLE]["Keys"]
    return {
        "Responses": {TABLE: [{**ITEM, **key} for key in keys]},
        "UnprocessedKeys": {},
    }
