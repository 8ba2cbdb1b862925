"""Random schedules of larger programs, on any store and through any caller.

A seed says everything: the program, and what happens in it.
"""

import random
from dataclasses import replace
from itertools import count
from pathlib import Path

from tests.explorer.backends import disk_backend
from tests.explorer.callers import Caller, Direct, ThroughBotocore
from tests.explorer.explore import sample
from tests.explorer.operations import ALL_KINDS
from tests.explorer.programs import EVERY, IMAGES, PLAIN, SOME_IMAGES, THROUGH, Program
from tests.explorer.world import Violation
from tests.support.clock import FakeClock

CLIENTS = 3

_AWAITED = 0.6
"""How many calls of a program with tasks are awaited."""

_AT_ONCE = 0.2
"""How many stores of such programs never wait."""


def random_program(choose: random.Random) -> Program:
    """Return a program of four to six operations, at least one of them a write."""
    number = choose.randint(3, 5)
    profile = choose.choice((PLAIN, THROUGH, IMAGES, EVERY, *SOME_IMAGES))
    names = [choose.choice(profile.kinds) for _ in range(number)]
    writes = [name for name in profile.kinds if ALL_KINDS[name].is_write]
    return Program(
        operations=(*names, choose.choice(writes)),
        clients=tuple(choose.randrange(CLIENTS) for _ in range(number + 1)),
        faults=choose.randint(0, 2),
        moves=choose.randint(0, 3),
        warm=choose.random() < 0.8,
        features=profile.features,
    )


def random_tasks(choose: random.Random) -> Program:
    """Return a program of which tasks make about half of the calls."""
    program = random_program(choose)
    at_once = choose.random() < _AT_ONCE
    return replace(
        program,
        operations=tuple(
            f"async {name}" if choose.random() < _AWAITED else name
            for name in program.operations
        ),
        features=(*program.features, *(["at once"] if at_once else [])),
        cuts=choose.randint(0, 3),
    )


def sample_of_tasks(seed: int) -> None:
    """Run the schedule of a seed with tasks on the memory store."""
    choose = random.Random(seed)
    program = random_tasks(choose)
    with_seed(seed, program, lambda: sample(program.start(), choose))


def sample_in_memory(seed: int) -> None:
    """Run the schedule of a seed on the memory store."""
    choose = random.Random(seed)
    program = random_program(choose)
    with_seed(seed, program, lambda: sample(program.start(), choose))


def sample_on_redis(seed: int) -> None:
    """Run the schedule of a seed on the Redis store."""
    choose = random.Random(seed)
    program = replace(random_program(choose), shards=choose.choice((1, 2, 256)))
    with_seed(seed, program, lambda: sample(program.start(), choose))


def with_seed(seed: int, program: Program, run: object) -> None:
    """Run a schedule; a violation names the seed that reproduces it."""
    assert callable(run)
    try:
        run()
    except Violation as violation:
        raise type(violation)(f"seed {seed} ({program}): {violation}") from None


def sample_on_disk(
    seed: int, number: int, directory: Path, *, through_botocore: bool
) -> int:
    """Run schedules on disk stores, a new table for each; return how many."""
    clock = FakeClock()
    caller: Caller = ThroughBotocore(CLIENTS) if through_botocore else Direct()
    tables = count()
    with disk_backend(clock, directory, CLIENTS) as backend:
        for each_seed in range(seed, seed + number):
            choose = random.Random(each_seed)
            program = random_program(choose)
            clock.advance(2 * 3600.0)  # whatever the last one left is over
            table = f"t{next(tables)}"
            with_seed(
                each_seed,
                program,
                lambda program=program, table=table, choose=choose: sample(
                    program.start_on(clock, backend, caller, table), choose
                ),
            )
    return number
