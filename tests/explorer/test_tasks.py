"""No schedule of awaited calls breaks a promise, wherever their tasks are cancelled.

A call awaits a thread that begins it, the server's answer, and a thread that ends it.
It is cut at each of them: while the thread goes on, when it has ended, while the
request is under way. Beside it are calls of the same kind, and ordinary ones, of the
same process and of others.
"""

import logging
from collections.abc import Iterator

import pytest

from tests.explorer.explore import Explored, endings, explore
from tests.explorer.mutations import Mutation
from tests.explorer.programs import Program
from tests.explorer.samples import sample_of_tasks
from tests.explorer.shown import require_caught
from tests.explorer.task_mutations import TASK_MUTATIONS

SEED = 20_261_129


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    yield
    logging.disable(logging.NOTSET)


PROGRAMS = [
    Program(("get", "async update"), (0, 1), 0, 0, cuts=1),
    Program(("async get", "update"), (0, 0), 0, 0, cuts=1),
    Program(("async get", "async update"), (0, 1), 0, 0, cuts=1),
    Program(("async get", "put"), (0, 1), 0, 0, cuts=1, is_behind=True),
    Program(("get", "async update"), (0, 1), 0, 0, cuts=1, shards=1),
    Program(("async put", "put"), (0, 1), 0, 0, features=("through",), cuts=1),
    Program(("async update",), (0,), 1, 0, cuts=1),
    Program(("async update", "get"), (0, 1), 0, 0, features=("at once",), cuts=1),
]
LARGER = [
    Program(("get", "async update"), (0, 1), 0, 1, cuts=1),
    Program(("async get", "update"), (0, 1), 0, 1, cuts=1),
    Program(("get", "async update"), (0, 1), 1, 0, cuts=1),
    Program(("async update",), (0,), 1, 1, cuts=1),
    Program(("async get", "async update"), (0, 0), 0, 0, cuts=2),
    Program(("async query", "async unanswered update"), (0, 1), 0, 0, cuts=1),
    Program(
        ("async index 1", "async move"), (0, 1), 0, 0, features=("images",), cuts=1
    ),
    Program(
        ("async batch", "async put"),
        (0, 1),
        faults=0,
        moves=0,
        features=("through", "consistent"),
        cuts=1,
    ),
    Program(("async get", "async put"), (0, 1), 0, 0, warm=False, cuts=1),
]
LONG = [
    pytest.param(program, marks=pytest.mark.long("time that moves, a fault, two tasks"))
    for program in LARGER
]


@pytest.mark.parametrize("program", [*PROGRAMS, *LONG], ids=str)
def test_no_schedule_of_tasks_breaks_a_promise(program: Program) -> None:
    total: Explored = explore(program)
    print(total)
    assert total.schedules > 50


def test_no_sampled_schedule_of_tasks_breaks_a_promise() -> None:
    for seed in range(SEED, SEED + 60):
        sample_of_tasks(seed)


@pytest.mark.long("two thousand larger programs")
def test_no_sampled_schedule_of_tasks_breaks_a_promise_in_the_long_run() -> None:
    for seed in range(SEED, SEED + 2_000):
        sample_of_tasks(seed)


@pytest.mark.parametrize("mutation", TASK_MUTATIONS, ids=lambda mutation: mutation.name)
def test_an_async_adapter_with_a_fault_is_caught(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_caught(mutation, monkeypatch)


@pytest.mark.parametrize(
    "program",
    [
        PROGRAMS[0],
        pytest.param(PROGRAMS[2], marks=pytest.mark.long("thousands of schedules")),
        pytest.param(PROGRAMS[6], marks=pytest.mark.long("a second")),
    ],
    ids=str,
)
def test_every_schedule_of_tasks_is_counted_once(program: Program) -> None:
    _, number = endings(program, most=100_000)
    assert explore(program).schedules == number


def test_a_task_may_be_cut_wherever_it_awaits() -> None:
    run = Program(("async update",), (0,), 0, 0, cuts=1).start()
    offered = []
    while choices := run.choices():
        words = [words.removeprefix("client 0 async update: ") for words, _ in choices]
        offered.append(set(words))
        kept = [choice for choice in choices if "cancelled" not in choice[0]]
        run.take(kept[0])
    cut = "is cancelled"
    assert offered == [
        {"begins"},
        {"thread 1: evict", cut},
        {"goes on", cut},
        {"the server commits", cut, "the server commits, and it is cancelled"},
        {"thread 2: evict", cut},
        {"goes on", cut},
    ]
