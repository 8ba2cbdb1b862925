"""What the runs say: the table side by side, and whether the demo succeeded.

Pure: values in, text out. Drawing is in `chart.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

READS = ("GetItem", "Query")
ACTIVE_HIT_RATIO = 0.5
LEAST_COMPARED = 0.95
AGREEMENT = 0.01


@dataclass(frozen=True, slots=True)
class TableReads:
    """How one table was read. The two series count per bucket of time."""

    provisioned: float
    answered: int
    consumed: tuple[float, ...]
    throttled: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One run's result: what the crawler saw, and what DynamoDB saw.

    cpu_seconds: of the graph service, for the crawl.
    """

    pages: int
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    seconds: float
    revoked: int
    undecided: int
    refused_before: int
    served_after: int
    bucket_seconds: float
    read_requests: int
    tables: dict[str, TableReads]
    cpu_seconds: float

    @classmethod
    def from_json(
        cls, crawl: dict[str, Any], meter: dict[str, Any], cpu_seconds: float
    ) -> Run:
        """Put the crawler's result and DynamoDB's recording together."""
        return cls(
            **crawl,
            cpu_seconds=cpu_seconds,
            bucket_seconds=meter["bucket_seconds"],
            read_requests=sum(meter["operations"].get(name, 0) for name in READS),
            tables={
                name: TableReads(
                    provisioned=table["provisioned"],
                    answered=table["answered"],
                    consumed=tuple(table["consumed"]),
                    throttled=tuple(table["throttled"]),
                )
                for name, table in meter["tables"].items()
            },
        )

    @property
    def answered(self) -> int:
        """Reads that DynamoDB answered: without the throttled ones."""
        return sum(table.answered for table in self.tables.values())

    @property
    def throttled(self) -> int:
        """Reads that DynamoDB refused for lack of capacity."""
        return sum(sum(table.throttled) for table in self.tables.values())

    @property
    def units(self) -> float:
        """Read capacity units consumed, of all tables."""
        return sum(sum(table.consumed) for table in self.tables.values())


@dataclass(frozen=True, slots=True)
class Counted:
    """What botocache counted: reads, and read units."""

    hits: int = 0
    sent: int = 0
    units_saved: float = 0.0
    units_consumed: float = 0.0
    compared: int = 0
    stale: int = 0

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Counted:
        """Return the totals of `botocache report --json`."""
        total = document["total"]
        return cls(
            hits=total["hits"],
            sent=total["misses"] + sum(total["bypassed"].values()),
            units_saved=document["units_saved"],
            units_consumed=document["units_consumed"],
            compared=total["compared"],
            stale=sum(
                number
                for what, number in total["differing"].items()
                if what.startswith("lasting")
            ),
        )

    @property
    def share(self) -> float:
        """The share of the read units that hits saved, or would have saved."""
        units = self.units_saved + self.units_consumed
        return self.units_saved / units if units else 0.0

    def line(self, answered: str) -> str:
        """Return botocache's own figures in a line. answered: or would have."""
        line = (
            f"  botocache {answered} {self.hits:,} of {self.hits + self.sent:,} reads, "
            f"{self.share:.0%} of the read units"
        )
        if self.compared:
            line += f"; {self.stale} of {self.compared:,} stale"
        return line


def hit_ratio(plain: Run, cached: Run) -> float:
    """Return the share of reads that never reached DynamoDB.

    By DynamoDB's own counts of answered reads. Retries of throttled reads are left
    out: they would make the cache look better than it is.
    """
    return 1 - cached.answered / plain.answered if plain.answered else 0.0


def busiest_table(plain: Run) -> str:
    """Return the table that was throttled most, then read most: the one to draw."""
    tables = plain.tables
    return max(
        tables, key=lambda name: (sum(tables[name].throttled), tables[name].answered)
    )


def table(plain: Run, cached: Run) -> str:
    """Return both runs' numbers side by side."""
    head = f"{'':<36}{'without botocache':>20}{'with botocache':>18}"
    rows = [f"{name:<36}{of(plain):>20}{of(cached):>18}" for name, of in ROWS]
    ratio = f"{hit_ratio(plain, cached):.1%}"
    rows.append(f"{'hit ratio, by what DynamoDB saw':<36}{'-':>20}{ratio:>18}")
    return "\n".join([head, "-" * len(head), *rows])


ROWS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("pages crawled", lambda run: f"{run.pages:,}"),
    ("requests to the graph service", lambda run: f"{run.requests:,}"),
    ("reads sent to DynamoDB", lambda run: f"{run.read_requests:,}"),
    ("  of these throttled", lambda run: f"{run.throttled:,}"),
    ("  of these answered", lambda run: f"{run.answered:,}"),
    ("read capacity units consumed", lambda run: f"{run.units:,.1f}"),
    ("failed requests", lambda run: f"{run.failed:,}"),
    ("latency of a request, p50 (ms)", lambda run: f"{run.p50_ms:,.0f}"),
    ("latency of a request, p99 (ms)", lambda run: f"{run.p99_ms:,.0f}"),
    ("time to crawl (s)", lambda run: f"{run.seconds:,.1f}"),
    ("CPU time of the graph service (s)", lambda run: f"{run.cpu_seconds:,.2f}"),
    ("credentials revoked meanwhile", lambda run: f"{run.revoked:,}"),
    ("  served after that", lambda run: f"{run.served_after:,}"),
)


def figures(plain: Run, cached: Run) -> dict[str, dict[str, float]]:
    """Return what the two runs took, as values that JSON can carry."""
    return {
        which: {
            "seconds": run.seconds,
            "cpu_seconds": run.cpu_seconds,
            "requests": run.requests,
            "read_requests": run.read_requests,
        }
        for which, run in (("without", plain), ("with", cached))
    }


def disagreements(run: Run, counted: Counted, *, is_shadow: bool) -> Iterator[str]:
    """Say where botocache's own figures are not those of DynamoDB, a sentence each.

    In shadow mode DynamoDB answers what would have been a hit, too. So this also holds
    what a hit saves against what it costs.
    """
    reads, units = counted.sent, counted.units_consumed
    if is_shadow:
        reads, units = reads + counted.hits, units + counted.units_saved
    for what, ours, theirs in (
        ("reads", reads, run.answered),
        ("read units", units, run.units),
    ):
        if abs(ours - theirs) > AGREEMENT * theirs:
            which = "in shadow mode" if is_shadow else "with botocache"
            yield (
                f"In the run {which} botocache counted {ours:,.1f} {what}, "
                f"and DynamoDB {theirs:,.1f}."
            )


def tried_in_vain(promised: Counted) -> Iterator[str]:
    """Say what is wrong with the figures of the shadow run, a sentence each."""
    if promised.share < ACTIVE_HIT_RATIO:
        yield f"The shadow run promises to save {promised.share:.0%} of the read units."
    # A hit whose request DynamoDB refused, for lack of capacity, has no answer.
    if promised.compared < LEAST_COMPARED * promised.hits:
        yield f"Only {promised.compared:,} of {promised.hits:,} hits were compared."
    if promised.stale:
        yield f"The shadow run found stale answers: {promised.stale}."


def complaints(plain: Run, cached: Run) -> Iterator[str]:
    """Say what is wrong, a sentence each: nothing if the demo succeeded."""
    for run, which in ((plain, "without"), (cached, "with")):
        where = f"in the run {which} botocache"
        if run.served_after:
            yield f"Revoked credentials that were served {where}: {run.served_after}."
        if run.refused_before:
            yield f"Valid credentials that were refused {where}: {run.refused_before}."
    if cached.undecided:
        yield (
            "Checks of a revocation without an answer in the run with botocache: "
            f"{cached.undecided}."
        )
    if cached.failed:
        yield f"Requests that failed in the run with botocache: {cached.failed}."
    if hit_ratio(plain, cached) < ACTIVE_HIT_RATIO:
        yield (
            "The cache was not active in the run with botocache: DynamoDB answered "
            f"{cached.answered:,} reads, and {plain.answered:,} without it."
        )
