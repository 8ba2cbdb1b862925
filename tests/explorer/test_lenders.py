"""No schedule of readers that wait for a lease breaks a promise, or waits too long.

Processes take leases, are killed with one, interrupted or refused; their leases end
later; the store fails at each step; and writes come in between. Beside them are readers
that wait for one another in their process, and those that DynamoDB throttles.
"""

import contextlib
import logging
import random
from collections.abc import Iterator

import pytest

from tests.explorer.explore import Explored, explore, sample
from tests.explorer.lender_mutations import LENDER_MUTATIONS
from tests.explorer.mutations import Mutation
from tests.explorer.programs import Program
from tests.explorer.shown import require_caught
from tests.explorer.world import Useless

SEED = 20_261_129

BOTH = ("coalesce", "leases")
ALL = ("coalesce", "leases", "stale")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    yield
    logging.disable(logging.NOTSET)


def _cold(
    operations: tuple[str, ...],
    clients: tuple[int, ...],
    faults: int,
    moves: int,
    *features: str,
) -> Program:
    return Program(operations, clients, faults, moves, False, features)


SMALL = [
    _cold(("get", "get"), (0, 1), 0, 0, "leases"),
    _cold(("get", "get"), (0, 1), 0, 0, "late leases"),
    _cold(("get", "get"), (0, 0), 0, 0, *BOTH),
    _cold(("get",), (0,), 1, 0, "late leases"),
]


def test_no_schedule_of_readers_breaks_a_promise_or_keeps_a_lease() -> None:
    total = Explored()
    for program in SMALL:
        total.add(explore(program))
    print(total)
    assert total.schedules > 1_000


LARGER = [
    _cold(("get", "get", "get"), (0, 0, 1), 0, 0, *BOTH),
    _cold(("get",), (0,), 2, 0, "late leases"),
    _cold(("get", "get"), (0, 1), 1, 0, "leases"),
    _cold(("get", "get"), (0, 1), 1, 0, "late leases"),
    _cold(("get", "get"), (0, 1), 0, 1, "leases"),
    _cold(("get", "get"), (0, 0), 1, 0, *BOTH),
    _cold(("get", "get", "update"), (0, 1, 2), 0, 0, "leases"),
    _cold(("get", "get", "update"), (0, 0, 1), 0, 0, *BOTH),
]


@pytest.mark.long("a kill, time that moves, or a write, among readers with leases")
@pytest.mark.parametrize("program", LARGER, ids=str)
def test_no_schedule_of_a_larger_program_breaks_a_promise(program: Program) -> None:
    total = explore(program)
    print(total)
    assert total.schedules > 1_000


MIXED = ("get", "get", "query", "throttled get", "throttled query", "update", "put")


def _drawn(draw: random.Random) -> Program:
    operations = tuple(sorted(draw.choices(MIXED, k=5)))
    clients = tuple([draw.randrange(3) for _ in operations])
    features = (*ALL, "late leases") if draw.random() < 0.3 else ALL
    return Program(operations, clients, 2, 2, draw.random() < 0.5, features)


def _sample(number: int, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(number):
        # After a loss of all generations, index queries may take longer to be hits.
        with contextlib.suppress(Useless):
            sample(_drawn(draw).start(), draw)


def test_no_drawn_schedule_of_all_that_waits_breaks_a_promise() -> None:
    _sample(50, SEED)


@pytest.mark.long("five thousand schedules of five calls")
def test_no_drawn_schedule_breaks_a_promise_in_the_long_run() -> None:
    _sample(5_000, SEED + 1)


@pytest.mark.parametrize("mutation", LENDER_MUTATIONS, ids=lambda m: m.name)
def test_a_fault_in_leases_would_be_seen(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_caught(mutation, monkeypatch)
