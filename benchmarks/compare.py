"""Compares the speed and size of this tree's package with that of another revision.

    python -m benchmarks compare REV [--rounds N] [--seconds S] [--cpu]

REV is checked out into a temporary worktree. Both packages are measured by the same
program, compare_worker.py, in processes that run in turns: REV, this tree, this tree,
REV, ... A ratio is this tree's median divided by REV's; in brackets are the quartiles
of the ratios of the rounds. `compare HEAD` in a clean tree shows the noise. The last
two columns are ratios to the base, measured in the same processes: of a hit a call that
a do-nothing handler answers, of all else the same call without botocache.

--cpu counts processor time, and of all slices the shortest: the figures to compare on
a machine that does other things. It leaves out what a call waits for, such as a server.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks.machine import machine
from benchmarks.measure import RESULTS, quartiles, ratios
from tests.support.valkey_server import running_valkey

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("compare_worker.py")

Results: TypeAlias = Mapping[str, tuple[float, float | None]]
"""Of one process: microseconds of each call and of its base; bytes of an entry."""


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
    parser.add_argument("--cpu", action="store_true", help="processor time, the least")
    parsed = parser.parse_args(arguments)
    with worktree(parsed.rev) as other, running_valkey() as server:
        options = ["--redis", server.url, *(["--cpu"] if parsed.cpu else [])]
        runs = measured((other, ROOT), parsed.rounds, parsed.seconds, options)
    rows = table(*runs, min if parsed.cpu else statistics.median)
    show(parsed.rev, rows)
    RESULTS.mkdir(exist_ok=True)
    content = {
        "rev": parsed.rev,
        "clock": "processor" if parsed.cpu else "wall",
        "machine": machine(),
        "rows": {name: asdict(row) for name, row in rows.items()},
        "runs": runs,
    }
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
    trees: tuple[Path, Path], rounds: int, seconds: float, options: Sequence[str] = ()
) -> tuple[list[Results], list[Results]]:
    """Return what each tree's processes measured, round by round."""
    runs: tuple[list[Results], list[Results]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            runs[which].append(run_worker(trees[which], seconds, options))
    return runs


def run_worker(tree: Path, seconds: float, options: Sequence[str] = ()) -> Results:
    """Measure a tree's package in a process of its own."""
    command = [sys.executable, "-I", str(WORKER), str(tree), str(seconds), *options]
    results: Results = json.loads(subprocess.check_output(command, cwd=tree))
    return results


@dataclass(frozen=True)
class Row:
    """One kind of call, in both trees.

    before: microseconds or bytes in the other tree.
    after: the same in this one.
    ratio: of the two.
    low: lower quartile of the ratios of the rounds.
    high: upper quartile.
    before_of_base: the other tree's ratio to the base, or None without a base.
    after_of_base: this tree's.
    """

    before: float
    after: float
    ratio: float
    low: float
    high: float
    before_of_base: float | None
    after_of_base: float | None


def table(
    before: Sequence[Results],
    after: Sequence[Results],
    of_rounds: Callable[[Sequence[float]], float],
) -> dict[str, Row]:
    """Return a row for everything that both trees measured.

    of_rounds: returns the figure that counts: the median, or the least.
    """
    rows = {}
    for name in (name for name in before[0] if name in after[0]):
        old, new = ([run[name][0] for run in runs] for runs in (before, after))
        low, _, high = quartiles(ratios(new, old))
        old_figure, new_figure = of_rounds(old), of_rounds(new)
        rows[name] = Row(
            old_figure,
            new_figure,
            new_figure / old_figure,
            low,
            high,
            _of_base(before, name, of_rounds),
            _of_base(after, name, of_rounds),
        )
    return rows


def _of_base(
    runs: Sequence[Results], name: str, of_rounds: Callable[[Sequence[float]], float]
) -> float | None:
    """Return the ratio to the base, each from its own rounds."""
    bases = [base for _, base in (run[name] for run in runs) if base is not None]
    if not bases:
        return None
    return of_rounds([run[name][0] for run in runs]) / of_rounds(bases)


def show(rev: str, rows: Mapping[str, Row]) -> None:
    """Print the table."""
    print(
        f"\n  {'µs, or bytes':34}{rev[:11]:>12}{'here':>12}   ratio"
        f"{'':20}{rev[:11] + '/base':>16}{'here/base':>11}\n"
    )
    for name, row in rows.items():
        spread = f"[{row.low:.3f} .. {row.high:.3f}]"
        line = f"  {name:34}{row.before:12,.1f}{row.after:12,.1f}   {row.ratio:.3f}"
        of_base = ""
        if row.before_of_base is not None:
            of_base = f"{row.before_of_base:16.3f}{row.after_of_base:11.3f}"
        print(f"{line}  {spread:18}{of_base}")
