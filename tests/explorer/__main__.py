"""`make explore`: all schedules of small programs, then samples of larger ones.

    python -m tests.explorer [--minutes M] [--seed S]

Programs are taken in the order of the tiers below until the time is over, four fifths
of it for them; what was not reached is said. Ends with 1, and the schedule that shows
it, if a promise is broken.
"""

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import chain, combinations_with_replacement, count
from typing import Any

from tests.explorer.explore import Explored, explore
from tests.explorer.programs import Program, programs
from tests.explorer.samples import sample_in_memory
from tests.explorer.world import Violation

_ON_ONE_ITEM = ("get", "update", "put", "refused update", "unanswered update")
_BATCH = 500


def tiers() -> Iterator[tuple[str, list[Program]]]:
    """Yield what is explored, the small first."""
    yield "two operations, a fault, warm", list(programs(2, moves=0))
    yield "two operations, time moves, warm", list(programs(2, faults=0))
    yield "two operations, cold", list(programs(2, faults=0, moves=0, warm=False))
    yield "two operations, a fault, time moves", list(programs(2))
    yield "two operations, a fault, cold", list(programs(2, moves=0, warm=False))
    three = [
        operations
        for operations in combinations_with_replacement(_ON_ONE_ITEM, 3)
        if set(operations) != {"get"}
    ]
    yield (
        "three on one item and a query, three clients",
        [Program((*o, "query"), (0, 1, 2, 0), faults=0, moves=0) for o in three],
    )
    yield (
        "three on one item, a fault, three clients",
        [Program(o, (0, 1, 2), moves=0) for o in three],
    )
    yield (
        "three on one item, a fault, two of them by one client",
        [Program(o, c, moves=0) for o in three for c in ((0, 0, 1), (0, 1, 1))],
    )
    yield (
        "three on one item and a query, a fault, three clients",
        [Program((*o, "query"), (0, 1, 2, 0), moves=0) for o in three],
    )


def explore_one(program: Program) -> Explored | str:
    """Return what was tried, or the violation."""
    try:
        return explore(program)
    except Violation as violation:
        return f"{program}: {type(violation).__name__}: {violation}"


def sample_some(seed: int) -> Explored | str:
    """Run a batch of random schedules."""
    try:
        for number in range(_BATCH):
            sample_in_memory(seed + number)
    except Violation as violation:
        return f"{type(violation).__name__}: {violation}"
    return Explored(schedules=_BATCH)


def run(
    pool: ProcessPoolExecutor,
    work: Callable[[Any], Explored | str],
    items: Iterable[Any],
    deadline: float,
) -> tuple[int, Explored]:
    """Do the work for one item after the other until the deadline.

    Return for how many, and what it came to. Exits at the first violation.
    """
    total, done = Explored(), 0
    waiting: set[Future[Explored | str]] = set()
    todo = iter(items)
    while True:
        while len(waiting) < 2 * (os.cpu_count() or 1) and time.monotonic() < deadline:
            item = next(todo, None)
            if item is None:
                break
            waiting.add(pool.submit(work, item))
        if not waiting:
            return done, total
        finished, waiting = wait(
            waiting, max(0.0, deadline - time.monotonic()), FIRST_COMPLETED
        )
        if not finished:  # time is over; what has begun is not counted
            for future in waiting:
                future.cancel()
            return done, total
        for future in finished:
            result = future.result()
            if isinstance(result, str):
                print(result)
                sys.stdout.flush()
                os._exit(1)
            total += result
            done += 1


def main() -> None:
    """Explore for as long as told."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # failures are meant
    start = time.monotonic()
    seconds = options.minutes * 60
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(mp_context=context, initializer=_quiet)
    everything = Explored()
    for name, members in tiers():
        done, total = run(pool, explore_one, members, start + seconds * 0.8)
        everything += total
        print(
            f"{name}: {done} of {len(members)} programs, {total.schedules:,} "
            f"schedules through {total.states:,} states in {total.turns:,} turns",
            flush=True,
        )
    pool.shutdown(wait=False, cancel_futures=True)
    _end(pool)
    pool = ProcessPoolExecutor(mp_context=context, initializer=_quiet)
    seeds = count(options.seed, _BATCH)
    _, sampled = run(pool, sample_some, chain(seeds), start + seconds)
    print(f"samples from seed {options.seed}: {sampled.schedules:,} schedules")
    _end(pool)
    print(
        f"no promise broken in {everything.schedules + sampled.schedules:,} schedules, "
        f"{time.monotonic() - start:.0f} s"
    )


def _quiet() -> None:
    logging.disable(logging.CRITICAL)


def _end(pool: ProcessPoolExecutor) -> None:
    """End what a program that is not finished in time still does."""
    for process in list((pool._processes or {}).values()):
        process.kill()


if __name__ == "__main__":
    main()
