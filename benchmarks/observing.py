"""What it costs to be seen: everything on, compared with everything off.

The counters are always on. Off are posts on the store, exporters and traces. On are
posts each second, OpenTelemetry, and Prometheus. No span is recording, and no hit is
audited: an audited hit is a request to DynamoDB, by intention.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks import names
from benchmarks.clients import Transport, client, getting, getting_new
from benchmarks.hits import always_hit
from benchmarks.measure import Contender, Group, timed_group
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import GET

SETTINGS: Mapping[str, dict[str, Any]] = {
    names.OFF: {"stats_interval": 0},
    names.ON: {"stats_interval": 1, "metrics": "otel,prometheus"},
}


def near_hit(settings: dict[str, Any]) -> Contender:
    """Return a hit that is remembered."""
    transport = Transport(GET.answer)
    return always_hit(getting(client(transport, **settings)), transport)


def store_hit(settings: dict[str, Any]) -> Contender:
    """Return a hit that is looked up each time."""
    return near_hit({**settings, "near": "off"})


def miss(settings: dict[str, Any]) -> Callable[[], object]:
    """Return a read of another item each time, which is filled."""
    return getting_new(client(Transport(GET.answer), **settings))


KINDS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "near hit": near_hit,
    "store hit": store_hit,
    "miss": miss,
}


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare each kind of read with everything on and off, on each local store."""
    for store in (names.MEMORY, names.DISK):
        for kind, make in KINDS.items():
            contenders = {
                name: make({**places.stores()[store], **settings})
                for name, settings in SETTINGS.items()
            }
            yield timed_group(
                f"observing-{kind.replace(' ', '-')}-{store}",
                f"Observing: {kind}, {store}",
                names.OFF,
                contenders,
                scale,
            )
