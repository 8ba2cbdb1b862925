"""What the cache adds to a miss and to a write.

Both are compared with an uncached call over a transport that answers at once.
"""

from collections.abc import Iterator

from benchmarks import names
from benchmarks.clients import (
    client,
    floor_client,
    getting_new,
    putting_new,
    updating,
)
from benchmarks.measure import Group, timed_group
from benchmarks.places import Places
from benchmarks.scale import Scale

DOING = {
    "miss": ("Miss: GetItem that is filled", getting_new),
    "update": ("Write: UpdateItem", updating),
    "put": ("Write: PutItem, written through", putting_new),
}


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare misses with uncached reads, writes with uncached writes."""
    clients = {
        names.AT_ONCE: client(),
        **{store: client(**more) for store, more in places.stores().items()},
        names.HANDLER: floor_client(),
    }
    for name, (title, doing) in DOING.items():
        contenders = {name: doing(made) for name, made in clients.items()}
        yield timed_group(name, title, names.AT_ONCE, contenders, scale)
