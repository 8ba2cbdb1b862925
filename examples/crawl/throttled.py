"""The crawl on its knees: tables with a tenth of the capacity, and stale answers.

    python examples/crawl/throttled.py

The cache is cold, and an entry lives for a quarter of a second: more reads are left
than the tables can answer. The first crawl goes on without `stale_if_throttled`, the
second one with it. All else is alike. Prints how many requests failed, how old the
answers were that came in DynamoDB's place, and whether each revoked credential was
refused at once. If one was served, the exit status is 1. It takes about two minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from report import Run
from stage import Cache, Settings, StageError, perform

TTL = 0.25
"""Seconds, which the service of a well-known case had as well."""

STALE = 60
READ_CAPACITY = 1
"""Units a second, a tenth of the demo's: two reads of an item."""


def main() -> int:
    """Crawl twice; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=60, help="pages to crawl")
    arguments = parser.parse_args()
    settings = Settings(
        pages=arguments.pages,
        read_capacity=READ_CAPACITY,
        burst_seconds=1,
        workers=12,
        seed=1,
    )
    served = 0
    try:
        for stale in (0, STALE):
            print(f"\nstale_if_throttled = {stale}", flush=True)
            run, ages = _crawl(settings, stale)
            print(_told(run, ages))
            served += run.served_after
    except StageError as error:
        print(f"It could not run: {error}.", file=sys.stderr)
        return 1
    return 1 if served else 0


def _crawl(settings: Settings, stale: int) -> tuple[Run, Counter[int]]:
    """Return the run, and how many stale answers had which age in seconds."""
    with tempfile.TemporaryDirectory(prefix="crawl-throttled-") as scratch:
        ages = Path(scratch, "ages.json")
        cache = Cache(Path(scratch, "cache"), "1")
        cache.environment |= {
            "BOTOCACHE_TTL": str(TTL),
            "BOTOCACHE_STALE_IF_THROTTLED": str(stale),
            "CRAWL_AGES": str(ages),
        }
        run = perform(settings, cache, graph_program="watched_graph.py")
        counts = json.loads(ages.read_text(encoding="utf-8"))
    return run, Counter({int(age): number for age, number in counts.items()})


def _told(run: Run, ages: Counter[int]) -> str:
    share = run.failed / max(run.requests, 1)
    undecided = f"({run.undecided} more could not be decided)"
    lines = [
        f"  requests to the service      {run.requests:6}",
        f"  of these, failed             {run.failed:6}  ({share:.1%})",
        f"  p50 and p99                  {run.p50_ms:6.0f} ms {run.p99_ms:6.0f} ms",
        f"  reads sent to DynamoDB       {run.read_requests:6}",
        f"  of these, throttled          {run.throttled:6}",
        f"  answered stale               {ages.total():6}{_ages(ages)}",
        f"  revoked credentials          {run.revoked:6}  {undecided}",
        f"  of these, served afterwards  {run.served_after:6}",
        f"  seconds                      {run.seconds:6.0f}",
    ]
    return "\n".join(lines)


def _ages(ages: Counter[int]) -> str:
    if not ages:
        return ""
    ordered = sorted(ages.elements())
    middle, oldest = ordered[len(ordered) // 2], ordered[-1]
    return f"  (median age below {middle + 1} s, the oldest below {oldest + 1} s)"


if __name__ == "__main__":
    sys.exit(main())
