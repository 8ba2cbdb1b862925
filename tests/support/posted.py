"""Made-up overviews: what a few processes might have posted."""

from botocache._counting.stats import Histogram, HotKey, Stats, TableStats
from botocache._observe.records import Overview, ProcessRecord
from tests.support.counted import bucket_of

NOW = 1_800_000_000.0


def timed(**calls: int) -> Histogram:
    """Return a histogram of calls by their duration: `timed(us4=10, ms3=2)`."""
    counts = [0] * len(Histogram().counts)
    seconds = 0.0
    for name, number in calls.items():
        # Powers of two, so that sums and differences are exact.
        unit = {"us": 2.0**-20, "ms": 2.0**-10}[name[:2]]
        duration = float(name[2:]) * unit
        counts[bucket_of(duration)] += number
        seconds += duration * number
    return Histogram(tuple(counts), seconds)


def users(times: int = 1) -> TableStats:
    """Return the counts of GetItem on `users`, times some number."""
    return TableStats(
        "users",
        "GetItem",
        near_hits=70 * times,
        store_hits=14 * times,
        misses=16 * times,
        bypassed={"refresh": 2 * times},
        fills=15 * times,
        unfilled={"held": 1 * times},
        units_saved=42.0 * times,
        units_consumed=8.0 * times,
        near_latency=timed(us4=60 * times, us40=10 * times),
        store_latency=timed(us150=14 * times),
        miss_latency=timed(ms4=14 * times, ms80=2 * times),
    )


def orders(times: int = 1) -> TableStats:
    """Return the counts of Query on `orders`, times some number."""
    return TableStats(
        "orders",
        "Query",
        near_hits=10 * times,
        misses=30 * times,
        units_saved=25.5 * times,
        units_estimated=5.0 * times,
        units_consumed=76.5 * times,
        throttled=3 * times,
        near_latency=timed(us8=10 * times),
        miss_latency=timed(ms9=30 * times),
        compared=10 * times,
        differing={"settling": times, "lasting": 2 * times},
        stale_seconds=31.0,
    )


def writes(times: int = 1) -> TableStats:
    """Return the counts of UpdateItem on `users`, times some number."""
    return TableStats("users", "UpdateItem", writes=5 * times, evicted=15 * times)


def key(number: int, times: int = 1) -> HotKey:
    """Return one of the hot keys of `users`."""
    return HotKey(
        "users",
        "GetItem",
        f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}",
        f'{{"id": {{"S": "user-{number}"}}}}',
        hits=(50 - number) * times,
        units_saved=(50 - number) * times / 2,
    )


def stats_of(times: int = 1, *, failures: dict[str, int] | None = None) -> Stats:
    """Return the counts of one process."""
    tables = (orders(times), users(times), writes(times))
    return Stats(
        hits=sum(each.hits for each in tables),
        near_hits=sum(each.near_hits for each in tables),
        misses=sum(each.misses for each in tables),
        bypassed=2 * times,
        held=times,
        fills=15 * times,
        writes=5 * times,
        evicted=15 * times,
        undelivered=0,
        failures=failures or {},
        tables=tables,
        hot_keys=tuple(key(number, times) for number in range(1, 4)),
    )


def record(  # noqa: PLR0913 - what a test may want
    name: str = "a1",
    times: int = 1,
    *,
    started: float = NOW - 3600,
    updated: float = NOW - 4,
    has_ended: bool = False,
    shadow: bool = False,
    failures: dict[str, int] | None = None,
) -> ProcessRecord:
    """Return what a process has posted."""
    return ProcessRecord(
        process=name,
        host="web-1",
        pid=4242,
        version="0.1.0",
        started=started,
        updated=updated,
        stats=stats_of(times, failures=failures),
        has_ended=has_ended,
        shadow=shadow,
    )


def overview_of(*processes: ProcessRecord, at: float = NOW) -> Overview:
    """Return an overview of some processes."""
    return Overview(processes=processes, read_at=at)
