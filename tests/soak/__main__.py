"""`python -m tests.soak --seconds 300 --seed 7`: fails if it shows a problem."""

import argparse
import random
import sys

from tests.soak.followed import FollowedReport, followed_soak
from tests.soak.mutants import MUTANTS
from tests.soak.soak import STORES, Report, soak

_MOST_SHOWN = 20


def main() -> int:
    """Run a soak, and print its report."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--settle", type=float, default=0.02)
    parser.add_argument("--store", choices=STORES, default="disk")
    parser.add_argument("--mutant", choices=MUTANTS, default="")
    parser.add_argument(
        "--tasks", action="store_true", help="half of the workers use aiobotocore"
    )
    parser.add_argument(
        "--followed",
        action="store_true",
        help="others write around the cache, and followers read the stream",
    )
    arguments = parser.parse_args()
    print(f"seed: {arguments.seed}", flush=True)
    if arguments.followed:
        return _show(
            followed_soak(arguments.seconds, arguments.seed, store=arguments.store)
        )
    report = soak(
        arguments.seconds,
        arguments.seed,
        store=arguments.store,
        mutant=arguments.mutant,
        settle=arguments.settle,
        with_tasks=arguments.tasks,
    )
    return _show(report)


def _show(report: Report | FollowedReport) -> int:
    print(report)
    problems = report.problems()
    for problem in problems[:_MOST_SHOWN]:
        print(problem)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
