"""What is added to a miss and to a write.

Compared with an uncached call over a transport that answers at once; what is added is
to be small beside a call through a `before-call` handler that does nothing.
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
from benchmarks.measure import Group, time_rounds
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
        times = time_rounds(contenders, rounds=scale.rounds, seconds=scale.seconds)
        yield Group(name, title, names.AT_ONCE, times)
