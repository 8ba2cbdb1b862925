"""When a partition is on its knees: requests that reach DynamoDB, refusals, p99.

A case that happened in public. A service has 350 containers, and a cache in each, with
a TTL of 250 ms. A hot query of an index costs 12 read units, and its partition gives
3,000 a second. 77 to 80 % of the reads are hits, and it is throttled all the same:
containers / TTL = 1,400 misses a second. Here 16 processes stand for the containers,
and the partition gives 16/350 of the units. Each process reads 20 times a second.

And one hot key with 200 readers in four processes, at the moment at which its entry
expires, and at which it is evicted: how many requests reach DynamoDB.

The server is a stand-in in a process of its own (overload_server.py). A row whose
setting this version does not have is left out.
"""

import importlib
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any, Final, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError

import botocache
from benchmarks.clients import SCOPE, session
from benchmarks.crowd import Member, call_all, running_crowd
from benchmarks.measure import Group
from benchmarks.overload_server import LATENCY, Load
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import KEY
from botocache._settings.load import Settings

PROCESSES = 16
CONTAINERS = 350
UNITS = 12.0
"""Of the query, eventually consistent: 96 KB."""

CASE: Final = Load("", 3000.0 * PROCESSES / CONTAINERS, UNITS, 24, 4000)
THREADS = 4
READS = 20
"""Of a process in a second."""

WARM_UP = 0.2
"""Seconds of reads before those that count."""

TTL = 0.25
STALE = 5.0

HOT_PROCESSES = 4
HOT_READERS = 200
HOT: Final = Load("", 0.0, 0.5, 1, 400)
HOT_TTL = 0.25
HEAD_START = 0.15
"""Seconds between the message to the processes and the moment of all reads."""

LEAST = 0.01
"""In the place of 0, by which nothing can be divided."""

NO_CACHE = "without botocache"
PER_PROCESS = "a cache per process"
SHARED = "a shared store"
COALESCED = "a shared store, coalesce"
LEASED = "a shared store, miss_leases"
LEASED_ON_DISK = "a shared store on disk, miss_leases"
BOTH = "a shared store, coalesce and miss_leases"
STALE_TOO = "a shared store, stale_if_throttled"
ALL = "a shared store, all three"

_KNOWN: Final = {field.name for field in fields(Settings)}
_COALESCE: Final = {"coalesce": True}
_LEASE: Final = {"miss_leases": True}


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Measure the case, then the hot key."""
    extent = EXTENTS[scale.name]
    with (
        running_server() as server,
        running_crowd(PROCESSES, prepare, server.port) as crowd,
    ):
        yield from _case(extent, places, server, crowd)
        yield from _hot_key(extent, places, server, crowd[:HOT_PROCESSES])


# --- the public case -----------------------------------------------------------------


class Seen(NamedTuple):
    """What a process has seen of its reads. seconds: of each that was answered."""

    seconds: list[float]
    failed: int


def _case(
    extent: "Extent", places: Places, server: "Server", crowd: Sequence[Member]
) -> Iterator[Group]:
    # A namespace is new in each row, so all would be held for `settle` at first.
    common = {"ttl": TTL, "timeout": 1.0, "settle": 0.0}
    shared = {**common, "url": places.valkey.url}
    stale = {"stale_if_throttled": STALE}
    rows = _rows(
        {
            NO_CACHE: None,
            PER_PROCESS: {**common, "url": "memory:"},
            SHARED: shared,
            COALESCED: {**shared, **_COALESCE},
            LEASED: {**shared, **_LEASE},
            BOTH: {**shared, **_COALESCE, **_LEASE},
            STALE_TOO: {**shared, **stale},
            ALL: {**shared, **_COALESCE, **_LEASE, **stale},
        }
    )
    asked, refused, answered, slowest = (_tally(rows) for _ in range(4))
    for number in range(extent.rounds):
        for name, settings in rows.items():
            row = _name(f"case-{number}-{name}")
            call_all(crowd, connect, settings, row)
            load = CASE._replace(name=row)
            # First without a limit: what is measured is not how a service starts. Its
            # reads have no entry, so that none of its refusals is answered stale.
            server.begin(load._replace(rate=0.0))
            call_all(crowd, query)
            call_all(crowd, read_on, WARM_UP, extent.patience)
            server.begin(load)
            seen = call_all(crowd, read_on, extent.seconds, extent.patience)
            counts = server.begin(load)
            took = [each for one in seen for each in one.seconds] or [LEAST]
            failed = sum(one.failed for one in seen)
            asked[name].append(max(counts["asked"] / extent.seconds, LEAST))
            refused[name].append(max(counts["refused"] / extent.seconds, LEAST))
            answered[name].append(100 * len(took) / (len(took) + failed))
            slowest[name].append(_p99(took) * 1000)
    title = f"Overload: {PROCESSES} processes, a query of {UNITS:g} units"
    note = (
        f"{CASE.rate:.0f} read units a second are {CASE.rate / UNITS:.1f} of them. "
        f"{PROCESSES * READS} reads a second, TTL {TTL * 1000:.0f} ms, a read of the "
        f"table takes {LATENCY * 1000:.0f} ms; botocore repeats as by default. In the "
        f"tables, {LEAST} stands for 0."
    )
    for what, tally, unit, about in (
        ("requests that reach DynamoDB", asked, "1/s", note),
        ("of these, throttled", refused, "1/s", ""),
        ("reads that were answered", answered, "%", "The others failed, or were late."),
        ("the read at the 99th percentile", slowest, "ms", ""),
    ):
        name = f"overload-{what.split()[-1]}"
        full = f"{title}: {what}"
        yield Group(name, full, PER_PROCESS, tally, unit=unit, note=about)


def read_on(seconds: float, patience: float) -> Seen:
    """Read for so long, in a few threads, at a rate.

    patience: seconds that a read may go on beyond; then it counts as failed.
    """
    until = time.monotonic() + seconds
    took: list[float] = []
    failed: list[None] = []
    late = [1] * THREADS

    def read() -> None:
        pause = THREADS / READS
        due = time.monotonic() + random.random() * pause
        while due < until:
            rest = max(due - time.monotonic(), 0.0)
            time.sleep(rest)  # real: the rate is one of real time
            begin = time.perf_counter()
            try:
                query()
            except ClientError:
                failed.append(None)
            else:
                took.append(time.perf_counter() - begin)
            # A read that took longer than the pause is one that did not come again.
            due = max(due + pause * random.uniform(0.5, 1.5), time.monotonic())
        late.pop()

    threads = [threading.Thread(target=read, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until + patience - time.monotonic(), 0.0))
    return Seen(took, len(failed) + len(late))


def query() -> None:
    """Read once: open all connections, and fill the entry."""
    _client.query(**QUERY)


QUERY: Final[dict[str, Any]] = {
    "TableName": "t",
    "IndexName": "hot-index",
    "KeyConditionExpression": "pk = :pk",
    "ExpressionAttributeValues": {":pk": KEY["pk"]},
}


# --- one hot key ---------------------------------------------------------------------


def _hot_key(
    extent: "Extent", places: Places, server: "Server", crowd: Sequence[Member]
) -> Iterator[Group]:
    shared = {"timeout": 1.0, "url": places.valkey.url}
    disk = {"timeout": 1.0, "url": f"disk://{places.directory}"}
    rows = _rows(
        {
            SHARED: shared,
            COALESCED: {**shared, **_COALESCE},
            LEASED: {**shared, **_LEASE},
            LEASED_ON_DISK: {**disk, **_LEASE},
            BOTH: {**shared, **_COALESCE, **_LEASE},
        }
    )
    for event, ttl in (("expires", HOT_TTL), ("is evicted", 3600.0)):
        asked, slowest = _tally(rows), _tally(rows)
        for name, settings in rows.items():
            given = {**(settings or {}), "ttl": ttl}
            row = _name(f"hot-{event}-{name}")
            call_all(crowd, connect, given, row)
            load = HOT._replace(name=row)
            server.begin(load)
            crowd[0].call(read_once)
            call_all(crowd, read_at, 0.0)  # each thread's connections
            for _ in range(extent.hot_rounds):
                crowd[0].call(read_once)
                if event == "expires":
                    time.sleep(HOT_TTL + 0.01)  # real: until the entry has expired
                else:
                    crowd[0].call(evict)
                server.begin(load)
                times = call_all(crowd, read_at, time.monotonic() + HEAD_START)
                asked[name].append(max(server.begin(load)["asked"], LEAST))
                slowest[name].append(_p99([t for each in times for t in each]) * 1000)
        title = (
            f"Hot key: {HOT_READERS} readers in {HOT_PROCESSES} processes, when it "
            f"{event}"
        )
        for what, tally, unit in (
            ("requests that reach DynamoDB", asked, ""),
            ("the read at the 99th percentile", slowest, "ms"),
        ):
            name = f"hot-key-{event.split()[-1]}-{what.split()[-1]}"
            yield Group(name, f"{title}: {what}", SHARED, tally, unit=unit)


def read_once() -> None:
    """Read the key."""
    _client.get_item(TableName="t", Key=KEY)


def evict() -> None:
    """Write the item, and leave nothing of it in the store."""
    _client.update_item(TableName="t", Key=KEY, UpdateExpression="REMOVE v")


def read_at(begin: float) -> list[float]:
    """Read the key in all threads at a moment; return how long each took."""
    took: list[float] = []

    def read() -> None:
        rest = max(begin - time.monotonic(), 0.0)
        time.sleep(rest)  # real: all processes begin at once
        started = time.perf_counter()
        read_once()
        took.append(time.perf_counter() - started)

    count = HOT_READERS // HOT_PROCESSES
    threads = [threading.Thread(target=read, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


# --- in the processes ----------------------------------------------------------------

_port = 0
_client: Any = None
_caches: list[Any] = []


def prepare(port: int) -> None:
    """Note where the server is, and import all that a client needs."""
    global _port  # noqa: PLW0603 - of a process of the benchmark
    _port = port
    for module in ("redis.cluster.store", "redis.store", "disk.store", "memory"):
        importlib.import_module(f"botocache.stores.{module}")
    connect({"url": "memory:"}, "first")
    read_once()  # imports what the first request needs
    _client.close()


def connect(settings: Mapping[str, Any] | None, row: str) -> None:
    """Make the client; cached if there are settings. row: names what is measured."""
    global _client  # noqa: PLW0603 - of a process of the benchmark
    made = session()
    for cache in _caches:
        cache.stats()  # reads the replies to the last fills
        cache.close()
    if settings is not None:
        _caches[:] = [
            botocache.install(
                made, scope=SCOPE, stats_interval=0, namespace=row, **settings
            )
        ]
    _client = made.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{_port}/{row}",
        config=Config(max_pool_connections=HOT_READERS),
    )


# --- the rest ------------------------------------------------------------------------


class Extent(NamedTuple):
    """How much is measured.

    seconds: of a row of the case.
    patience: seconds beyond, for reads that are late.
    rounds: of the case.
    hot_rounds: of each row of the hot key.
    """

    seconds: float
    patience: float
    rounds: int
    hot_rounds: int


EXTENTS: Mapping[str, Extent] = {
    "full": Extent(8.0, 2.0, 3, 15),
    "quick": Extent(0.4, 0.1, 1, 1),
    "tiny": Extent(0.2, 0.1, 1, 1),
}
"""By the name of the scale."""


def _rows(
    rows: Mapping[str, Mapping[str, Any] | None],
) -> dict[str, Mapping[str, Any] | None]:
    """Return the rows whose settings this version has."""
    quiet: dict[str, Any] = {**_COALESCE, **_LEASE}
    # What is on by default is off in rows that do not name it.
    off = {name: False for name in quiet if name in _KNOWN}
    return {
        name: None if given is None else {**off, **given}
        for name, given in rows.items()
        if given is None or given.keys() <= _KNOWN
    }


def _name(text: str) -> str:
    """Return a text as a namespace and a path take it."""
    return "".join(each if each.isalnum() else "-" for each in text)[:60]


def _tally(rows: Collection[str]) -> dict[str, list[float]]:
    return {name: [] for name in rows}


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


class Server:
    """The stand-in, in a process of its own. port: its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def begin(self, load: Load) -> dict[str, int]:
        """Begin anew; return what was counted since the last time."""
        url = f"http://127.0.0.1:{self.port}/_begin"
        request = urllib.request.Request(url, json.dumps(load).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        return counts


@contextmanager
def running_server() -> Iterator[Server]:
    """Run the stand-in for as long as the context lasts."""
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.overload_server"],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()))
