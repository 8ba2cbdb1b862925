"""How long another process still says that what was written is current.

    python -m benchmarks.client_tracking [--quick]

Two processes on one machine share a Valkey server. One has changes announced, and asks
`is_current` all the time; the other evicts, and notes when that returned. What counts
is when the last question was begun that was still answered by yes: how long after the
eviction had returned, or not at all. In between PINGs are timed on a connection of
their own. So it is done where the process waits for something between its questions, as
one that makes calls over a network does, and where it never does: there the thread that
listens seldom has a turn, and all rests on looking whether something has arrived.

Besides, what the question costs, beside the memory store's and asking the server.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from benchmarks.machine import machine
from benchmarks.measure import RESULTS, compare, report
from botocache._coherence import EvictionRequest
from botocache.stores.memory import MemoryStore
from botocache.stores.redis.commands import pack
from botocache.stores.redis.connections import exchange
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.types import Connection
from botocache.stores.redis.urls import connections_of_url
from tests.support.digests import key, tags
from tests.support.processes import Peer, running_peer
from tests.support.redis_stores import redis_store
from tests.support.valkey_server import running_valkey

KEY, TAGS = key("an entry"), tags(4)

PING = pack((b"PING",))

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}

_stores: dict[str, RedisStore] = {}


def opened(url: str, *, client_tracking: bool) -> RedisStore:
    """Return a store that takes its time: it is not what is measured."""
    name, make = connections_of_url(url, 1.0)
    return redis_store(
        make, name=name, timeout=1.0, settle=0.0, client_tracking=client_tracking
    )


def evict(url: str) -> float:
    """Evict, and return when that returned. In the other process."""
    if url not in _stores:
        _stores[url] = opened(url, client_tracking=False)
    _stores[url].evict(EvictionRequest(TAGS[:1], 0.0))
    return time.monotonic()


def snapshot_of(store: RedisStore) -> Sequence[int]:
    """Return generations that the store knows to be current."""
    while True:
        snapshot = store.load(KEY, TAGS).snapshot
        if store.is_current(TAGS, snapshot):
            return snapshot
        time.sleep(0.001)  # real: a thread begins to track


def lateness(
    store: RedisStore, writer: Peer, url: str, rest: Callable[[], object]
) -> float:
    """Return how long one eviction was not known, in microseconds; 0: not at all.

    rest: what is done between two questions.
    """
    snapshot = snapshot_of(store)
    writer.start(evict, url)
    last, begun = 0.0, time.monotonic()
    while store.is_current(TAGS, snapshot):
        last = begun
        rest()
        begun = time.monotonic()
    returned: float = writer.result()
    return max(0.0, (last - returned) * 1e6)


def ping(connection: Connection) -> float:
    """Return the microseconds of a round trip."""
    begun = time.monotonic()
    exchange(connection, PING, 1)
    return (time.monotonic() - begun) * 1e6


def quantiles(times: list[float]) -> dict[str, float]:
    """Return the distribution, and how many are more than nothing."""
    ordered = sorted(times)
    found = {
        name: ordered[min(int(share * len(ordered)), len(ordered) - 1)]
        for name, share in SHARES.items()
    }
    return {**found, "late": sum(each > 0 for each in times) / len(times)}


def measure(writes: int) -> dict[str, dict[str, float]]:
    """Measure both kinds of processes, and PINGs in between."""
    rests: dict[str, Callable[[], object]] = {
        "asks, and waits 20 us": lambda: time.sleep(20e-6),  # real: others work
        "asks on and on": lambda: None,
    }
    late: dict[str, list[float]] = {name: [] for name in rests}
    pings: list[float] = []
    with (
        running_valkey() as server,
        running_peer() as writer,
        closing(opened(server.url, client_tracking=True)) as store,
    ):
        connection = connections_of_url(server.url, 1.0)[1]()
        connection.connect()
        for _ in range(writes):
            for name, rest in rests.items():
                late[name].append(lateness(store, writer, server.url, rest))
                pings.append(ping(connection))
        connection.disconnect()
    rows = {f"still current: {name}": times for name, times in late.items()}
    return {name: quantiles(t) for name, t in {**rows, "PING": pings}.items()}


def show(writes: int, rows: dict[str, dict[str, float]]) -> None:
    """Print the table, and keep it as JSON beside the others."""
    title = "Client tracking: microseconds after an eviction of another process"
    print(f"\n{title}, {writes} writes\n")
    print(" " * 40 + "".join(f"{name:>10}" for name in SHARES) + "   late at all")
    for name, row in rows.items():
        figures = "".join(f"{row[share]:10.0f}" for share in SHARES)
        share = "" if name == "PING" else f"{row['late']:14.2%}"
        print(f"  {name:38}{figures}{share}")
    RESULTS.mkdir(exist_ok=True)
    content = {"title": title, "figures": rows, "machine": machine()}
    (RESULTS / "client_tracking.json").write_text(json.dumps(content, indent=2) + "\n")


def measure_questions(rounds: int) -> None:
    """Compare what it costs to ask what is current."""
    memory = MemoryStore()
    in_memory = memory.load(KEY, TAGS).snapshot
    with (
        running_valkey() as server,
        closing(opened(server.url, client_tracking=True)) as store,
    ):
        snapshot = snapshot_of(store)
        figures = compare(
            {
                "is_current, memory": lambda: memory.is_current(TAGS, in_memory),
                "is_current, Redis, client tracking": lambda: store.is_current(
                    TAGS, snapshot
                ),
                "load, Redis": lambda: store.load(KEY, TAGS),
            },
            base="is_current, memory",
            rounds=rounds,
            calls=200,
        )
    report("What is current: of four tags", "is_current, memory", figures)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer writes")
    quick = parser.parse_args().quick
    writes = 300 if quick else 5_000
    show(writes, measure(writes))
    measure_questions(7 if quick else 31)


if __name__ == "__main__":
    # By this name the other process finds `evict`.
    from benchmarks import client_tracking  # noqa: PLW0406 - it is `__main__` else

    client_tracking.main()
