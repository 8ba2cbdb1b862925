"""Hits among few entries and among many, and the memory of an entry.

Of many entries, reads cover either as few as the other store has, or all in turn. Then
neither a processor's cache nor the near cache helps, if they are more than it holds.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cachetools

from benchmarks import names
from benchmarks.clients import Transport, client
from benchmarks.entries import TABLE, answer_of, in_turn, key_of, opened, put_entries
from benchmarks.hits import always_hit
from benchmarks.measure import Contender, Group, timed_group
from benchmarks.places import TTL, Places
from benchmarks.scale import Scale
from tests.support.processes import running_peer

PRIME = 7_919

_READS_TO_REMEMBER = 3
"""Reads of an item after which the near cache remembers it, at most."""

_MOST_REMEMBERED = 40_000
"""More entries than the near cache has room for. While it has room, it remembers each
hit at once, which takes half of a hit's time again."""


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare many entries with few; then measure the size of one."""
    for store in (names.MEMORY, names.DISK):
        yield _hits(scale, places, store)
    yield _weights(scale, places)


# --- hits --------------------------------------------------------------------------


def _hits(scale: Scale, places: Places, name: str) -> Group:
    few, many = scale.few, scale.many
    with_few = _filled(places.stores()[name], few)
    with_many = _filled(places.stores()[name], many)
    is_remembered = many < _MOST_REMEMBERED
    all_read = names.ALL_REMEMBERED if is_remembered else names.ALL_READ
    contenders = {
        names.FEW: _reading(with_few, few),
        names.MANY.format(names.SAME_READ): _reading(with_many, few),
        # With another TTL it is another installation, with a near cache of its own.
        names.MANY.format(all_read): _reading(with_many | {"ttl": TTL - 1}, many),
    }
    title = f"Entries: GetItem hit, client, {name}, {few:,} and {many:,} entries"
    return timed_group(f"entries-{name}", title, names.FEW, contenders, scale)


def _filled(settings: dict[str, Any], count: int) -> dict[str, Any]:
    store = opened(settings)
    put_entries(store, count)
    return {"ttl": TTL, "url": store}


def _reading(settings: dict[str, Any], count: int) -> Contender:
    """Return a read of the next of `count` items each time.

    So many are read before that the near cache remembers all of them, or is full.
    """
    transport = Transport(answer_of(0))
    made, numbers = client(transport, **settings), in_turn(count, PRIME)
    contender = always_hit(
        lambda: made.get_item(TableName=TABLE, Key=key_of(next(numbers))), transport
    )
    contender.run(min(count, _MOST_REMEMBERED) * _READS_TO_REMEMBER)
    return contender


# --- memory ------------------------------------------------------------------------


def _weights(scale: Scale, places: Places) -> Group:
    count, stores = scale.kept, places.stores()
    text = len(json.dumps(answer_of(count)))
    weights = {
        "the answer as JSON": float(text),
        f"{names.MEMORY}, resident": _elsewhere(weight_in_memory, stores, count),
        "cachetools.TTLCache, resident": _elsewhere(weight_in_ttlcache, stores, count),
        f"{names.DISK}, in files": weight_on_disk(places.directory, stores, count),
        f"{names.REDIS}, used_memory": weight_on_redis(places, stores, count),
    }
    return Group(
        "weight",
        f"Memory: of each of {count:,} entries, GetItem of six attributes",
        "the answer as JSON",
        {name: [weight] for name, weight in weights.items()},
        unit="bytes",
        note="With keys and generations, which take 16 MiB at most in a local store. "
        "Measured once.",
    )


_Stores = dict[str, dict[str, Any]]


def _elsewhere(
    weigh: Callable[[_Stores, int], float], stores: _Stores, count: int
) -> float:
    """Measure in a new process, which holds nothing else."""
    with running_peer() as peer:
        return peer.call(weigh, stores, count)


def weight_in_memory(stores: _Stores, count: int) -> float:
    """Return the bytes of an entry in the memory store."""
    store = opened(stores[names.MEMORY])
    before = _resident()
    put_entries(store, count)
    return (_resident() - before) / count


def weight_in_ttlcache(_stores: _Stores, count: int) -> float:
    """Return the bytes of an answer, as objects in a dict."""
    cache: Any = cachetools.TTLCache(maxsize=count, ttl=TTL)
    before = _resident()
    for number in range(count):
        cache[f"GetItem:user#{number}"] = json.loads(json.dumps(answer_of(number)))
    return (_resident() - before) / count


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def weight_on_disk(directory: Path, stores: _Stores, count: int) -> float:
    """Return the bytes of an entry in the disk store's files."""
    store = opened(stores[names.DISK])
    place = directory / "v1" / stores[names.DISK]["namespace"]
    put_entries(store, 1)
    before = _used(place)
    put_entries(store, count)
    store.close()
    return (_used(place) - before) / count


def _used(directory: Path) -> int:
    return sum(
        path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file()
    )


def weight_on_redis(places: Places, stores: _Stores, count: int) -> float:
    """Return the bytes of an entry in the server's memory."""
    store = opened(stores[names.REDIS])
    before = places.bare.info("memory")["used_memory"]
    put_entries(store, count)
    store.close()
    used: int = places.bare.info("memory")["used_memory"] - before
    return used / count
