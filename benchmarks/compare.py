"""Compares the speed and size of this tree's package with that of another revision.

    python -m benchmarks compare REV [--rounds N] [--seconds S]

REV is checked out into a temporary worktree. Both packages are measured by the same
program, compare_worker.py, in processes that run in turns: REV, this tree, this tree,
REV, ... A ratio is this tree's median divided by REV's; in brackets are the quartiles
of the ratios of the rounds. `compare HEAD` in a clean tree shows the noise.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from benchmarks.machine import machine
from benchmarks.measure import RESULTS, quartiles, ratios

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("compare_worker.py")

Results: TypeAlias = Mapping[str, float]
"""Of one process: microseconds of each call, bytes of an entry."""


def main(arguments: Sequence[str]) -> None:
    """Compare, print, and write JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare", description="This tree beside a revision."
    )
    parser.add_argument("rev", metavar="REV", help="of git: a commit, branch or tag")
    parser.add_argument("--rounds", type=int, default=11, help="of one process each")
    parser.add_argument(
        "--seconds", type=float, default=0.1, help="of each kind of call"
    )
    parsed = parser.parse_args(arguments)
    with worktree(parsed.rev) as other:
        runs = measured((other, ROOT), parsed.rounds, parsed.seconds)
    rows = table(*runs)
    show(parsed.rev, rows)
    RESULTS.mkdir(exist_ok=True)
    content = {"rev": parsed.rev, "machine": machine(), "rows": rows, "runs": runs}
    out = RESULTS / "compare.json"
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextmanager
def worktree(rev: str) -> Iterator[Path]:
    """Check a revision out; yield its directory."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name, "tree")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run(
            [*git, "add", "--quiet", "--detach", str(directory), rev], check=True
        )
        try:
            yield directory
        finally:
            subprocess.run([*git, "remove", "--force", str(directory)], check=True)


def measured(
    trees: tuple[Path, Path], rounds: int, seconds: float
) -> tuple[list[Results], list[Results]]:
    """Return what each tree's processes measured, round by round."""
    runs: tuple[list[Results], list[Results]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            runs[which].append(run_worker(trees[which], seconds))
    return runs


def run_worker(tree: Path, seconds: float) -> Results:
    """Measure a tree's package in a process of its own."""
    command = [sys.executable, "-I", str(WORKER), str(tree), str(seconds)]
    results: Results = json.loads(subprocess.check_output(command, cwd=tree))
    return results


Row: TypeAlias = tuple[float, float, float, float, float]
"""Median before, median after, their ratio, and the quartiles of the ratios."""


def table(before: Sequence[Results], after: Sequence[Results]) -> dict[str, Row]:
    """Return a row for everything that both trees measured."""
    rows = {}
    for name in (name for name in before[0] if name in after[0]):
        old, new = ([run[name] for run in runs] for runs in (before, after))
        low, _, high = quartiles(ratios(new, old))
        old_median, new_median = statistics.median(old), statistics.median(new)
        rows[name] = (old_median, new_median, new_median / old_median, low, high)
    return rows


def show(rev: str, rows: Mapping[str, Row]) -> None:
    """Print the table."""
    print(f"\n  {'µs, or bytes':34}{rev[:11]:>12}{'here':>12}   ratio\n")
    for name, (old, new, ratio, low, high) in rows.items():
        spread = f"[{low:.3f} .. {high:.3f}]"
        print(f"  {name:34}{old:12,.1f}{new:12,.1f}   {ratio:.3f}  {spread}")
