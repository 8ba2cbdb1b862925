"""What the turns say: the table side by side, and whether the demo succeeded.

Pure: values in, text out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

READS = ("GetItem", "Query", "BatchGetItem")
LARGEST_SHARE = 0.5
"""The largest share of its reads that DynamoDB may see of a service with the cache."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of a service was like.

    seen: by the clients; see Seen of load.py.
    counts: what reached DynamoDB, by operation.
    cpu_seconds: of the service.
    longest_stop_ms: of its event loop.
    longest_own_stop_ms: the same, less what the loop waited for a processor.
    """

    seen: dict[str, float]
    counts: dict[str, int]
    cpu_seconds: float
    longest_stop_ms: float
    longest_own_stop_ms: float

    @property
    def reads(self) -> int:
        """Reads that reached DynamoDB."""
        return sum(self.counts.get(name, 0) for name in READS)

    @property
    def read_share(self) -> float:
        """The reads that reached DynamoDB, of those that the clients asked for."""
        return self.reads / self.seen["reads"] if self.seen["reads"] else 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """All turns of a service. name: of its store, or "without"."""

    name: str
    turns: list[Turn]

    @property
    def best(self) -> Turn:
        """The turn that other work on this machine has disturbed least."""
        return max(self.turns, key=lambda turn: turn.seen["per_second"])

    def total(self, what: str) -> float:
        """Return the sum of what the clients saw, of all turns."""
        return sum(turn.seen[what] for turn in self.turns)


ROWS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("requests a second", lambda run: f"{run.best.seen['per_second']:,.0f}"),
    ("latency, p50 (ms)", lambda run: f"{run.best.seen['p50_ms']:,.0f}"),
    ("latency, p99 (ms)", lambda run: f"{run.best.seen['p99_ms']:,.0f}"),
    (
        "CPU of the service, a request (ms)",
        lambda run: f"{1000 * run.best.cpu_seconds / run.best.seen['requests']:,.2f}",
    ),
    ("longest stop of its loop (ms)", lambda run: f"{run.best.longest_stop_ms:,.0f}"),
    (
        "  less the wait for a processor",
        lambda run: f"{run.best.longest_own_stop_ms:,.0f}",
    ),
    ("requests that read", lambda run: f"{run.best.seen['reads']:,}"),
    ("reads that DynamoDB saw", lambda run: f"{run.best.reads:,}"),
    ("  of the requests that read", lambda run: f"{run.best.read_share:.1%}"),
    (
        "updates that DynamoDB saw",
        lambda run: f"{run.best.counts.get('UpdateItem', 0):,}",
    ),
    ("failed requests, all turns", lambda run: f"{run.total('failed'):,}"),
    ("stale answers, all turns", lambda run: f"{run.total('stale'):,}"),
)


def table(runs: list[Run]) -> str:
    """Return the figures of the runs side by side."""
    head = f"{'':<36}" + "".join(f"{run.name:>16}" for run in runs)
    rows = [
        f"{name:<36}" + "".join(f"{of(run):>16}" for run in runs) for name, of in ROWS
    ]
    return "\n".join([head, "-" * len(head), *rows])


def complaints(runs: list[Run]) -> Iterator[str]:
    """Say what is wrong, a sentence each: nothing if the demo succeeded."""
    for run in runs:
        for what, name in (
            ("failed", "Requests that failed"),
            ("stale", "Stale answers"),
        ):
            if run.total(what):
                yield f"{name}, {run.name}: {run.total(what)}."
    plain, *cached = runs
    for run in cached:
        if run.best.read_share > LARGEST_SHARE * plain.best.read_share:
            yield f"The cache was not active, {run.name}."
