"""The table of metrics, from which every exporter is made. Pure.

A metric reads its values from `Stats`, or from the `Usage` of the stores. What an
exporter adds is the form alone: names, units and attributes as its system wants them.
docs/reference/metrics.md shows the table; a test compares the two.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from botocache._counting.stats import Histogram, Stats, TableStats
from botocache.stores.protocol import Usage

Labels: TypeAlias = tuple[str, ...]
"""A value for each name in `Metric.labels`. An empty one: it does not apply."""

Value: TypeAlias = float | Histogram

Reading: TypeAlias = tuple[Labels, Value]

Read: TypeAlias = Callable[[Stats, Usage], Iterator[Reading]]


class Kind(Enum):
    """What a metric's values are.

    COUNTER: a sum that grows.
    GAUGE: the state of this moment.
    HISTOGRAM: durations.
    """

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Join(Enum):
    """How the gauges of several processes make one value.

    SUM: of the processes that live.
    GREATEST: of all.
    LATEST: each process reads the same thing, so the last reading counts.
    """

    SUM = "sum"
    GREATEST = "greatest"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table.

    name: as OpenTelemetry writes names; the others are derived from it.
    kind: what the values are.
    unit: by UCUM: `s`, `By`, or what is counted, in braces.
    help: what it counts, in one sentence.
    labels: the names of what tells its values apart.
    read: yields the values from the counts of a process.
    join: of a gauge.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: Labels
    read: Read
    join: Join = Join.SUM


TABLE: Final = ("table", "operation")
"""The labels of all that is counted by table and operation."""

STREAM: Final = ("table",)
"""The label of what a process does to follow the stream of a table."""


def _of_tables(read: Callable[[TableStats], Iterable[Reading]]) -> Read:
    def read_all(stats: Stats, _: Usage) -> Iterator[Reading]:
        for each in stats.tables:
            for labels, value in read(each):
                yield (each.table, each.operation, *labels), value

    return read_all


def _field(name: str) -> Read:
    """Return what reads one field of each table and operation, unless it is 0."""

    def read(each: TableStats) -> Iterator[Reading]:
        # No series for what never happened: a thousand tables would have many.
        value = getattr(each, name)
        if value:
            yield (), float(value)

    return _of_tables(read)


def _counts(name: str) -> Read:
    """Return what reads the counts by a reason of each table and operation."""

    def read(each: TableStats) -> Iterator[Reading]:
        for reason, count in sorted(getattr(each, name).items()):
            yield (reason,), float(count)

    return _of_tables(read)


def _requests(each: TableStats) -> Iterator[Reading]:
    """Yield the reads by their result. Each read has one result."""
    # Held reads are misses, and stale ones hits of the store. Each is taken out of
    # the larger count, so that the results add up to all reads.
    held, stale = each.held, each.lasting
    bypassed = sum(each.bypassed.values())
    if not (each.hits or each.misses or bypassed):
        return  # a write
    # Zeros, too: Prometheus computes no rate from a series that begins with 1.
    yield ("hit", "near"), float(each.near_hits)
    # Not below zero: an audited hit counts when it is compared, before it ends.
    yield ("hit", "store"), float(max(0, each.store_hits - stale))
    yield ("stale", "store"), float(stale)
    yield ("miss", ""), float(max(0, each.misses - held))
    yield ("held", ""), float(held)
    yield ("bypass", ""), float(bypassed)


def _durations(each: TableStats) -> Iterator[Reading]:
    for labels, histogram in (
        (("hit", "near"), each.near_latency),
        (("hit", "store"), each.store_latency),
        (("miss", ""), each.miss_latency),
    ):
        if histogram.count:
            yield labels, histogram


def _failures(stats: Stats, _: Usage) -> Iterator[Reading]:
    for kind, count in sorted(stats.failures.items()):
        yield (kind,), float(count)


def _undelivered(stats: Stats, _: Usage) -> Iterator[Reading]:
    yield (), float(stats.undelivered)


def _of_streams(name: str) -> Read:
    """Return what reads one field of each table that this process follows."""

    def read(stats: Stats, _: Usage) -> Iterator[Reading]:
        for each in stats.streams:
            value = getattr(each, name)
            if value is not None:
                # Zeros, too: a table that is followed has a series from the start on.
                yield (each.table,), float(value)

    return read


def _usage(name: str) -> Read:
    def read(_: Stats, usage: Usage) -> Iterator[Reading]:
        value = getattr(usage, name)
        if value is not None:
            yield (), float(value)

    return read


REQUESTS: Final = Metric(
    "botocache.requests",
    Kind.COUNTER,
    "{request}",
    "Reads by their result; a BatchGetItem counts once for each key.",
    (*TABLE, "result", "tier"),
    _of_tables(_requests),
)

METRICS: Final = (
    REQUESTS,
    Metric(
        "botocache.request.duration",
        Kind.HISTOGRAM,
        "s",
        "How long hits and misses took; one near hit in a hundred is timed.",
        (*TABLE, "result", "tier"),
        _of_tables(_durations),
    ),
    Metric(
        "botocache.bypasses",
        Kind.COUNTER,
        "{request}",
        "Reads that were neither looked up nor filled.",
        (*TABLE, "reason"),
        _counts("bypassed"),
    ),
    Metric(
        "botocache.fills",
        Kind.COUNTER,
        "{entry}",
        "Entries that reads and writes have filled.",
        TABLE,
        _field("fills"),
    ),
    Metric(
        "botocache.unfilled",
        Kind.COUNTER,
        "{answer}",
        "Answers of misses that were not filled.",
        (*TABLE, "reason"),
        _counts("unfilled"),
    ),
    Metric(
        "botocache.writes",
        Kind.COUNTER,
        "{call}",
        "Calls that have evicted.",
        TABLE,
        _field("writes"),
    ),
    Metric(
        "botocache.evictions",
        Kind.COUNTER,
        "{tag}",
        "Tags that these calls have evicted, each counted once per call.",
        TABLE,
        _field("evicted"),
    ),
    Metric(
        "botocache.throttled",
        Kind.COUNTER,
        "{answer}",
        "Answers of DynamoDB that refused a request for lack of capacity.",
        TABLE,
        _field("throttled"),
    ),
    Metric(
        "botocache.coalesced",
        Kind.COUNTER,
        "{request}",
        "Hits on the answer to another read, for which they waited.",
        TABLE,
        _field("coalesced"),
    ),
    Metric(
        "botocache.leased",
        Kind.COUNTER,
        "{request}",
        "Hits on what another process asked for under a lease, for which they waited.",
        TABLE,
        _field("leased"),
    ),
    Metric(
        "botocache.answered_stale",
        Kind.COUNTER,
        "{request}",
        "Refused reads that an entry over its TTL has answered.",
        TABLE,
        _field("answered_stale"),
    ),
    Metric(
        "botocache.read_units.saved",
        Kind.COUNTER,
        "{read_unit}",
        "Read units that the hits would have consumed.",
        TABLE,
        _field("units_saved"),
    ),
    Metric(
        "botocache.read_units.estimated",
        Kind.COUNTER,
        "{read_unit}",
        "The part of the saved read units that rests on an estimate of item sizes.",
        TABLE,
        _field("units_estimated"),
    ),
    Metric(
        "botocache.read_units.consumed",
        Kind.COUNTER,
        "{read_unit}",
        "Read units that misses and bypassed reads have consumed.",
        TABLE,
        _field("units_consumed"),
    ),
    Metric(
        "botocache.compared",
        Kind.COUNTER,
        "{request}",
        "Hits that shadow mode or an audit compared with DynamoDB's answer.",
        TABLE,
        _field("compared"),
    ),
    Metric(
        "botocache.differing",
        Kind.COUNTER,
        "{request}",
        "Compared hits that differed; `lasting` means that a write went around.",
        (*TABLE, "difference"),
        _counts("differing"),
    ),
    Metric(
        "botocache.staleness",
        Kind.GAUGE,
        "s",
        "The longest time for which a difference was seen to last.",
        TABLE,
        _field("stale_seconds"),
        Join.GREATEST,
    ),
    Metric(
        "botocache.failures",
        Kind.COUNTER,
        "{failure}",
        "Failures inside the cache, which the application does not see.",
        ("kind",),
        _failures,
    ),
    Metric(
        "botocache.undelivered_evictions",
        Kind.GAUGE,
        "{tag}",
        "Tags whose eviction has failed and is pending now.",
        (),
        _undelivered,
    ),
    Metric(
        "botocache.streams.lag",
        Kind.GAUGE,
        "s",
        "Time since the moment before which each change of a table has been evicted.",
        STREAM,
        _of_streams("lag"),
        Join.GREATEST,
    ),
    Metric(
        "botocache.streams.records",
        Kind.COUNTER,
        "{record}",
        "Changes by any program that this process has read of a stream.",
        STREAM,
        _of_streams("records"),
    ),
    Metric(
        "botocache.streams.evictions",
        Kind.COUNTER,
        "{tag}",
        "Tags that this process has evicted for these changes.",
        STREAM,
        _of_streams("evicted"),
    ),
    Metric(
        "botocache.streams.requests",
        Kind.COUNTER,
        "{request}",
        "GetRecords that this process has sent, which AWS charges for.",
        STREAM,
        _of_streams("requests"),
    ),
    Metric(
        "botocache.streams.gaps",
        Kind.COUNTER,
        "{gap}",
        "Times that a table was evicted because changes may have been missed.",
        STREAM,
        _of_streams("gaps"),
    ),
    Metric(
        "botocache.store.entries",
        Kind.GAUGE,
        "{entry}",
        "Entries that the store holds.",
        (),
        _usage("entries"),
        Join.LATEST,
    ),
    Metric(
        "botocache.store.size",
        Kind.GAUGE,
        "By",
        "Bytes that the entries of the store take.",
        (),
        _usage("size"),
        Join.LATEST,
    ),
)
"""All metrics, in the order of the page."""


_PROMETHEUS_UNITS = {"s": "_seconds", "By": "_bytes"}


def prometheus_name(metric: Metric) -> str:
    """Return the name by which Prometheus's expressions find a metric.

    A histogram's series have `_bucket`, `_sum` and `_count` after it.
    """
    name = metric.name.replace(".", "_") + _PROMETHEUS_UNITS.get(metric.unit, "")
    return f"{name}_total" if metric.kind is Kind.COUNTER else name


ATTRIBUTES: Final = {
    "table": "aws.dynamodb.table_names",
    "operation": "db.operation.name",
}
"""Labels that have another name in OpenTelemetry's semantic conventions."""


def cloudwatch_name(metric: Metric, labels: Labels) -> str:
    """Return CloudWatch's name of a value: what is no dimension is a part of it."""
    own = [
        value
        for name, value in zip(metric.labels, labels, strict=True)
        if name not in TABLE and value
    ]
    return ".".join([metric.name.removeprefix("botocache."), *own])


_CLOUDWATCH_UNITS = {"s": "Seconds", "By": "Bytes"}


def cloudwatch_unit(metric: Metric) -> str:
    """Return CloudWatch's name of a metric's unit."""
    return _CLOUDWATCH_UNITS.get(metric.unit, "Count")
