"""No sampled schedule of real clients, in tasks and beside them, breaks a promise."""

import logging
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest

from botocache._near import answers as near_answers
from tests.aio.through_aiobotocore import ThroughAiobotocore
from tests.explorer.backends import MemoryBackend, disk_backend
from tests.explorer.callers import ThroughBotocore
from tests.explorer.explore import each, follow, sample
from tests.explorer.mutations import Mutation
from tests.explorer.programs import Program, Run
from tests.explorer.samples import CLIENTS, random_tasks, with_seed
from tests.explorer.task_mutations import TASK_MUTATIONS
from tests.explorer.world import TABLE, PromiseBroken, Violation, schemas_of
from tests.support.clock import FakeClock

SEED = 20_261_129

Clients: TypeAlias = tuple[ThroughBotocore, ThroughAiobotocore]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """Return what makes ordinary and awaited calls."""
    made = ThroughBotocore(CLIENTS), ThroughAiobotocore(CLIENTS)
    yield made
    for each_made in made:
        each_made.close()


def sample_in_memory(clients: Clients, seed: int, number: int) -> int:
    """Run schedules on the memory store; return the hits in them."""
    hits = 0
    for each_seed in range(seed, seed + number):
        choose = random.Random(each_seed)
        program = random_tasks(choose)
        clock = FakeClock()
        backend = MemoryBackend(clock, slots=program.slots)
        run = program.start_on(clock, backend, clients[0], TABLE, clients[1])
        with_seed(
            each_seed, program, lambda run=run, choose=choose: sample(run, choose)
        )
        hits += sum(cache.stats().hits for cache in run.world.caches)
    return hits


def test_no_sampled_schedule_in_memory_breaks_a_promise(
    clients: Clients,
) -> None:
    assert sample_in_memory(clients, SEED, 30) > 30


@pytest.mark.long("a thousand larger programs")
def test_no_sampled_schedule_in_memory_breaks_a_promise_in_the_long_run(
    clients: Clients,
) -> None:
    assert sample_in_memory(clients, SEED, 1_000) > 1_000


def test_no_sampled_schedule_on_disk_breaks_a_promise(
    clients: Clients, tmp_path: Path
) -> None:
    clock, tables = FakeClock(), count()
    with disk_backend(clock, tmp_path, CLIENTS) as backend:
        for seed in range(SEED, SEED + 20):
            choose = random.Random(seed)
            program = random_tasks(choose)
            clock.advance(2 * 3600.0)  # whatever the last one left is over
            run = program.start_on(
                clock, backend, clients[0], f"t{next(tables)}", clients[1]
            )
            with_seed(seed, program, lambda run=run, choose=choose: sample(run, choose))


NEAR = [
    Program(("async get", "async get", "put"), (0, 0, 1), faults=1, cuts=1),
    Program(("async query", "async get", "update"), (0, 0, 1), faults=1, cuts=1),
    Program(("async get", "async get", "async put"), (0, 0, 0), faults=1, cuts=1),
    Program(("async get", "async unanswered update", "get"), (0, 1, 0), 0, cuts=1),
]
"""Programs in which the near cache knows the reads."""


def sample_near(clients: Clients, program: Program, number: int) -> int:
    """Run schedules of a program at random; return the near hits of its tasks."""
    served = 0
    for seed in range(SEED, SEED + number):
        clock, choose = FakeClock(), random.Random(seed)
        backend = MemoryBackend(clock)
        world = program.new_world(clock, backend, TABLE)
        clients[1].warm_up(world)
        clients[1].near_hits = 0
        run = Run(program, world, *clients)
        with_seed(seed, program, lambda run=run, choose=choose: sample(run, choose))
        served += clients[1].near_hits
    return served


@pytest.mark.parametrize("program", NEAR, ids=str)
def test_no_sampled_schedule_of_near_clients_breaks_a_promise(
    clients: Clients, program: Program
) -> None:
    assert sample_near(clients, program, 30) > 10


# --- that it would be seen -----------------------------------------------------------


def show(clients: Clients, mutation: Mutation) -> None:
    """Run what shows a fault, through real clients. Raises Violation."""

    def start() -> Run:
        clock = FakeClock()
        backend = MemoryBackend(clock)
        run = mutation.program.start_on(clock, backend, clients[0], TABLE, clients[1])
        for each_cache in run.world.caches:  # as a schedule expects
            schemas_of(each_cache).update(schemas_of(run.world.caches[0]))
        return run

    if mutation.schedule:
        run = start()
        # The near cache loads before the hooks do.
        loads = {"client 0 get: load": 2}
        follow(
            run, [each for each in mutation.schedule for _ in range(loads.get(each, 1))]
        )
        run.conclude()
        return
    for run in each(start):
        run.conclude()


@pytest.mark.parametrize("mutation", TASK_MUTATIONS, ids=lambda mutation: mutation.name)
def test_an_async_adapter_with_a_fault_is_caught(
    clients: Clients, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation.patch(monkeypatch)
    with pytest.raises(Violation):
        show(clients, mutation)


def test_a_near_cache_that_looks_at_no_generation_is_caught(
    clients: Clients,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near_answers, "_watch_of", lambda _: lambda *_: lambda: True)
    with pytest.raises(PromiseBroken):
        sample_near(clients, NEAR[0], 200)
