"""No schedule of readers that wait for one another breaks a promise, or hangs.

One who asks is refused or interrupted, with others waiting; those who wait are woken,
or interrupted, or out of time; and writes come in between.
"""

import logging
import random
from collections.abc import Iterator

import pytest

from tests.explorer.explore import Explored, explore, sample
from tests.explorer.mutations import Mutation
from tests.explorer.programs import Program
from tests.explorer.shown import require_caught
from tests.explorer.waiter_mutations import WAITER_MUTATIONS
from tests.explorer.waiters import FEATURE

SEED = 20_261_129


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    yield
    logging.disable(logging.NOTSET)


def _cold(operations: tuple[str, ...], faults: int, moves: int) -> Program:
    clients = tuple([int("update" in name) for name in operations])
    return Program(operations, clients, faults, moves, False, (FEATURE,))


def test_no_schedule_of_readers_breaks_a_promise() -> None:
    total = Explored()
    for operations, faults, moves in (
        (("get", "get"), 1, 0),
        (("get", "get"), 0, 1),
        (("get", "get", "get"), 0, 0),
    ):
        total.add(explore(_cold(operations, faults, moves)))
    print(total)
    assert total.schedules > 1_000


LARGER = [
    _cold(("get", "get", "update"), 0, 0),
    _cold(("get", "get", "get"), 1, 0),
    _cold(("query", "query", "update"), 0, 0),
]


@pytest.mark.long("three operations, a write or a fault among them")
@pytest.mark.parametrize("program", LARGER, ids=str)
def test_no_schedule_of_a_larger_program_breaks_a_promise(program: Program) -> None:
    total = explore(program)
    print(total)
    assert total.schedules > 10_000


def test_no_drawn_schedule_of_readers_and_a_writer_breaks_a_promise() -> None:
    draw = random.Random(SEED)
    operations = ("get", "get", "get", "update")
    for _ in range(100):
        sample(_cold(operations, 2, 1).start(), draw)


@pytest.mark.parametrize("mutation", WAITER_MUTATIONS, ids=lambda m: m.name)
def test_a_fault_in_coalescing_would_be_seen(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_caught(mutation, monkeypatch)
