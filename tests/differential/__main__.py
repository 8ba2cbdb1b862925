"""`make fuzz`: new random programs, on every server, store and settings, for a time.

    python -m tests.differential [--seconds S] [--seed N]

Ends with 1 if the cache shows, with the shortest program that shows it and with the
seed that makes it again.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from tests.differential.machine import run_programs
from tests.differential.runs import ALL_RUNS, pair_for, running
from tests.support.dynamodb import DynamoDB

_PROGRAMS = 12
"""How many are run of one seed."""


def main() -> int:
    """Run programs for the given number of seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    total: Counter[str] = Counter()
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(running(name))
            for name in {run.server for run in ALL_RUNS}
        }
        for seed in count(arguments.seed):
            if not _run_seed(seed, servers, total):
                print(f"to repeat it: make fuzz FOR=1 SEED={seed}")
                return 1
            if time.monotonic() > end:
                break
    print(f"seeds {arguments.seed} to {seed}: {dict(total)}")
    return 0


def _run_seed(seed: int, servers: dict[str, DynamoDB], total: Counter[str]) -> bool:
    """Run the programs of a seed; print a difference, and return False then."""
    run = ALL_RUNS[seed % len(ALL_RUNS)]
    with (
        tempfile.TemporaryDirectory() as directory,
        pair_for(run, servers[run.server], Path(directory)) as pair,
    ):
        try:
            run_programs(pair, range(seed * _PROGRAMS, (seed + 1) * _PROGRAMS))
        except Exception as error:  # noqa: BLE001 - printed with its seed
            print(f"seed {seed}: {run}: {type(error).__name__}: {error}")
            return False
        total.update(calls=pair.calls, hits=pair.hits, seeds=1)
    print(f"seed {seed}: {run}: {pair.calls} calls, {pair.hits} hits", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
