"""Following streams: how stale hits are, how much one follower takes, what it costs.

- *Staleness*: a program writes around the cache; services read all the time. Of each
  write: for how long after it hits still showed what it had overwritten.
- *Throughput*: a stand-in for DynamoDB Streams writes ten thousand records a second
  into ten shards. One `botocache follow-streams` evicts them in Valkey.
- *Cost*: the requests of an hour in which nothing happens, on a clock that is told to
  pass.
- *Own writes*: what following costs a service that writes through the cache. The
  records of its own writes evict what write-through has put.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import botocache
from benchmarks import names
from benchmarks.measure import Group
from benchmarks.places import Places
from benchmarks.scale import Scale
from botocache._streams.ledger import ledger_name, open_ledger
from botocache.stores.boards import board_of
from tests.soak.followed import FollowedReport, followed_soak
from tests.support.dynamodb import REGION, DynamoDB, running_dynamodb
from tests.support.environment import ROOT
from tests.support.followers import FollowedTable
from tests.support.processes import eventually

FOLLOWED, BY_TTL = "with a follower, ttl of an hour", "no follower, ttl of 10 s"
QUANTILES = {"p50": 0.5, "p99": 0.99, "max": 1.0}
RATE = 10_000
SHARDS = 10
PRICE = 0.02 / 100_000
"""Dollars of a GetRecords, in us-east-1 in November 2026. The first 2.5 million of a
month and region are free; other requests to streams cost nothing."""


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Measure each."""
    seconds = {"full": 120.0, "quick": 20.0}.get(scale.name, 3.0)
    for store in ("disk", "redis"):
        yield _staleness(store, seconds)
    for view in ("KEYS_ONLY", "NEW_AND_OLD_IMAGES"):
        yield _throughput(places, view, seconds / 2)
    yield _cost()
    yield from _own_writes(places, seconds)


# --- staleness ---------------------------------------------------------------------


def _staleness(store: str, seconds: float) -> Group:
    followed = followed_soak(
        seconds, 1, store=store, ttl_unfollowed=2.0, is_calm=True, slots=1
    )
    by_ttl = followed_soak(
        seconds, 1, store=store, ttl_unfollowed=10.0, ttl=10.0, is_calm=True, slots=0
    )
    rows: dict[str, list[float]] = {}
    shares = []
    for name, report in ((FOLLOWED, followed), (BY_TTL, by_ttl)):
        ages = _served_for(report)
        for quantile, share in QUANTILES.items():
            place = min(int(share * len(ages)), len(ages) - 1)
            rows[f"{name}, {quantile}"] = [ages[place]]
        shares.append(
            f"{name}: {100 * len(report.stale) / max(report.hits, 1):.1f} % of "
            f"{report.hits:,} hits, after {len(ages)} writes"
        )
    return Group(
        f"streams-staleness-{store}",
        f"Streams: how long hits show what was overwritten around the cache, {store}",
        f"{BY_TTL}, p50",
        rows,
        unit="s",
        note=f"Stale hits: {'; '.join(shares)}.",
    )


def _served_for(report: FollowedReport) -> list[float]:
    """Return for each overwriting write the age of its last stale hit, in order."""
    longest: defaultdict[str, float] = defaultdict(float)
    for each in report.stale:
        longest[each.newer.name] = max(longest[each.newer.name], each.seconds)
    return sorted(longest.values()) or [0.0]


# --- throughput --------------------------------------------------------------------


def _throughput(places: Places, view: str, seconds: float) -> Group:
    namespace = f"streams-{view.lower()}"
    before = _commands(places)
    with _stand_in(view) as server, _following(places, namespace, server) as follower:
        lag = Lag(places, namespace)
        eventually(lambda: lag.now() is not None)
        began, used = time.monotonic(), _processor_time(follower.pid)
        print(f"{RATE} {seconds}", file=server.stdin, flush=True)
        lags = []
        while time.monotonic() < began + seconds:
            time.sleep(0.2)  # real: the follower works
            lags.append(lag.now() or 0.0)
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        took = time.monotonic() - began
        used = _processor_time(follower.pid) - used
        eventually(lambda: lag.records() >= told["written"])
        caught_up = time.monotonic() - began - took
    after = _commands(places)
    written = told["written"]
    rows = {
        "records written a second": [written / took],
        "GetRecords a second": [told["counts"]["GetRecords"] / took],
        "evictions a second, of Valkey's scripts": [
            sum(after[c] - before.get(c, 0) for c in after if c.startswith("eval"))
            / took
        ],
        "processor seconds of the follower a second": [used / took],
        "processor microseconds a record": [used / written * 1e6],
        "lag of F while it lasts, median, s": [statistics.median(lags)],
        "lag of F while it lasts, max, s": [max(lags)],
        "seconds until all was evicted, after the last": [caught_up],
    }
    return Group(
        f"streams-throughput-{view.lower()}",
        f"Streams: one follower, {RATE:,} writes a second in {SHARDS} shards, {view}",
        "records written a second",
        rows,
        unit="",
        note="The stand-in, the follower and Valkey share the machine.",
    )


class Lag:
    """How far a follower is behind, as its ledger says."""

    def __init__(self, places: Places, namespace: str) -> None:
        self._cache = botocache.install(
            DynamoDB("http://127.0.0.1:1").session(),
            url=places.valkey.url,
            namespace=namespace,
            timeout=5.0,
        )

    def _ledger(self) -> Any:
        services = self._cache.services
        board = board_of(services.store)
        assert board is not None
        name = ledger_name(REGION, "users")
        found = board.posted([name]).get(name)
        return found and open_ledger(services.records, name, found)

    def now(self) -> float | None:
        """Return the seconds from F to now; None before there is a ledger."""
        ledger = self._ledger()
        if not ledger:
            return None
        return float(self._cache.services.store.now() - ledger.followed_until)

    def records(self) -> int:
        """Return how many records were read."""
        ledger = self._ledger()
        return ledger.records if ledger else 0


@contextmanager
def _stand_in(view: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.support.dynamodb_streams"]
    options = ["--shards", str(SHARDS), "--view", view, "--padding", "300"]
    with subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield server
        assert server.stdin is not None
        server.stdin.close()


@contextmanager
def _following(
    places: Places, namespace: str, server: "subprocess.Popen[str]"
) -> Iterator["subprocess.Popen[bytes]"]:
    assert server.stdout is not None
    port = json.loads(server.stdout.readline())["port"]
    url = f"http://127.0.0.1:{port}"
    with _follower(places.valkey.url, namespace, "users", url) as follower:
        yield follower


@contextmanager
def _follower(
    store: str, namespace: str, table: str, endpoint: str
) -> Iterator["subprocess.Popen[bytes]"]:
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "BOTOCACHE_URL": store,
        "BOTOCACHE_NAMESPACE": namespace,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "botocache", "follow-streams", "--table", table],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _commands(places: Places) -> Mapping[str, int]:
    """Return how often Valkey has carried out each command."""
    stats = places.bare.info("commandstats")
    return {
        name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()
    }


# --- cost --------------------------------------------------------------------------


def _cost() -> Group:
    table = FollowedTable()
    follower = table.follower()
    table.run(follower, seconds=60)
    before = dict(table.stream.counts)
    table.run(follower, seconds=3600)
    sent = {
        action: sum(
            n - before.get((a, s), 0)
            for (a, s), n in table.stream.counts.items()
            if a == action
        )
        for action in ("GetRecords", "DescribeStream", "ListStreams")
    }
    rows = {f"{name} in an hour": [float(n)] for name, n in sent.items()}
    dollars = sent["GetRecords"] * PRICE
    return Group(
        "streams-cost",
        "Streams: requests for a table with one quiet shard",
        "GetRecords in an hour",
        rows,
        unit="",
        note=f"A quiet shard costs ${dollars:.6f} an hour, ${dollars * 730:.2f} a "
        "month (us-east-1, November 2026: $0.02 for 100,000 GetRecords, of which the "
        "first 2.5 million a month are free). A busy one is read four times a second: "
        f"${4 * 3600 * PRICE:.4f} an hour.",
    )


# --- own writes --------------------------------------------------------------------

WRITES = 0.05
CALLS_A_SECOND = 150
KEYS = 200


def _own_writes(places: Places, seconds: float) -> Iterator[Group]:
    rows: dict[str, list[float]] = {}
    with running_dynamodb() as moto:
        for name, is_followed in (("no follower", False), ("a follower", True)):
            rows[name] = [_misses(places, moto, seconds, is_followed=is_followed)]
    yield Group(
        "streams-own-writes",
        f"Streams: reads that went to DynamoDB, of a service that writes {WRITES:.0%} "
        f"itself, {CALLS_A_SECOND} calls a second, {KEYS} keys by Zipf, {names.REDIS}",
        "no follower",
        rows,
        unit="%",
        note="The rest to 100 is the hit ratio. Records of the service's own writes "
        "evict what its write-through has put, and hold it off for `settle`.",
    )


def _misses(
    places: Places, moto: DynamoDB, seconds: float, *, is_followed: bool
) -> float:
    """Return the share of reads that went to DynamoDB, in per cent."""
    view = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    table = moto.create_table(StreamSpecification=view)
    namespace = f"own-writes-{is_followed}"
    with ExitStack() as stack:
        session = moto.session()
        cache = botocache.install(
            session, url=places.valkey.url, namespace=namespace, ttl=3600.0, timeout=1.0
        )
        if is_followed:
            stack.enter_context(
                _follower(places.valkey.url, namespace, table, moto.url)
            )
            board = board_of(cache.services.store)
            assert board is not None
            eventually(lambda: bool(board.posted([ledger_name(REGION, table)])))
        client = moto.client(session)
        for number in range(KEYS):
            _put(client, table, number, 0)
        _make_calls(client, table, seconds / 4)  # to warm up
        before = cache.stats()
        _make_calls(client, table, seconds)
        after = cache.stats()
    hits, misses = after.hits - before.hits, after.misses - before.misses
    return 100 * misses / (hits + misses)


def _make_calls(client: Any, table: str, seconds: float) -> None:
    chosen = random.Random(7)
    weights = [*accumulate(1 / rank for rank in range(1, KEYS + 1))]
    began, made = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        if made > CALLS_A_SECOND * passed:
            time.sleep(0.001)  # real: a service has so many calls, and no more
            continue
        made += 1
        (number,) = chosen.choices(range(KEYS), cum_weights=weights)
        if chosen.random() < WRITES:
            _put(client, table, number, made)
        else:
            client.get_item(TableName=table, Key={"pk": {"S": str(number)}})


def _put(client: Any, table: str, number: int, value: int) -> None:
    item = {"pk": {"S": str(number)}, "v": {"N": str(value)}}
    client.put_item(TableName=table, Item=item)
