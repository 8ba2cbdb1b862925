"""No schedule breaks a promise, and the explorer notices a schedule that does."""

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.explorer.explore import (
    Explored,
    endings,
    explore,
    follow,
    killed_at_each_turn,
    sample,
)
from tests.explorer.mutations import MUTATIONS, Mutation
from tests.explorer.operations import KINDS
from tests.explorer.programs import IMAGES, SOME_IMAGES, THROUGH, Program, programs
from tests.explorer.samples import sample_in_memory, sample_on_disk
from tests.explorer.shown import require_caught

SEED = 20_261_125

SHARE = 8
"""One program of so many of those that `make explore` runs all of."""

SHARE_OF_COLD = 3
"""The same of those on an empty store, which are small; all kinds are among them."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    yield
    logging.disable(logging.NOTSET)


# --- that no promise is broken -------------------------------------------------------


WITH_A_FAULT = [
    ("get", "unanswered update"),
    ("consistent get", "update"),
    ("query", "put"),
    ("query by range", "delete"),
    ("put", "refused update"),
]
"""Each kind once: a fault at each step of two writes takes ten times as long."""


def test_every_kind_is_explored_with_a_fault() -> None:
    assert {kind for operations in WITH_A_FAULT for kind in operations} == {*KINDS}


def test_no_schedule_of_two_operations_and_a_fault_breaks_a_promise() -> None:
    total = Explored()
    for operations in WITH_A_FAULT:
        total.add(explore(Program(operations, (0, 1), moves=0)))
    print(total)
    assert total.schedules > 2_000


def test_no_schedule_of_two_operations_while_time_moves_breaks_a_promise() -> None:
    total = Explored()
    for program in [*programs(2, faults=0)][::SHARE]:
        total.add(explore(program))
    print(total)
    assert total.schedules > 3_000


def test_no_schedule_of_two_operations_on_an_empty_store_breaks_a_promise() -> None:
    total = Explored()
    for program in [*programs(2, faults=0, moves=0, warm=False)][::SHARE_OF_COLD]:
        total.add(explore(program))
    print(total)
    assert total.schedules > 5_000


LARGER = [
    Program(("query by range", "unanswered update"), (0, 1)),
    Program(("get", "update", "unanswered update", "query"), (0, 1, 2, 0), 0, 0),
]


# The pairs and triples below are what these are made of.
@pytest.mark.long("three and four operations, a fault and time that moves")
@pytest.mark.parametrize("program", LARGER, ids=str)
def test_no_schedule_of_a_larger_program_breaks_a_promise(program: Program) -> None:
    total = explore(program)
    print(total)
    assert total.schedules > 5_000


# What each rule is for, as far as two operations can show it.
THROUGH_PAIRS = [
    ("get", "put"),
    ("consistent get", "update"),
    ("batch", "update all new"),
    ("put", "statement"),
]
IMAGES_PAIRS = [
    ("index 1", "move"),
    ("index 2", "put elsewhere"),
    ("scan", "put"),
    ("delete", "statement"),
]
SOME_IMAGES_PAIRS = [
    ("index 1", "move"),
    ("scan", "move"),
    ("index 2", "put elsewhere"),
]
LONG_PAIRS = [
    *((THROUGH.features, o) for o in (("put", "put"), ("update all new", "statement"))),
    (IMAGES.features, ("move", "put")),
    (IMAGES.features, ("put elsewhere", "move in old form")),
    (IMAGES.features, ("update", "unanswered move")),
    *((some.features, ("put elsewhere", "move")) for some in SOME_IMAGES),
]
"""With a fault each of these takes five to ten seconds."""

PAIRS = [
    *(
        Program(operations, (0, 1), moves=0, features=profile.features)
        for profile, pairs in (
            (THROUGH, THROUGH_PAIRS),
            (IMAGES, IMAGES_PAIRS),
            *((some, SOME_IMAGES_PAIRS) for some in SOME_IMAGES),
        )
        for operations in pairs
    ),
    *(
        pytest.param(
            Program(operations, (0, 1), faults, moves=0, features=features),
            marks=[pytest.mark.long("a fault at each step")] if faults else [],
        )
        for features, operations in LONG_PAIRS
        for faults in (0, 1)
    ),
]
LONG_TRIPLE = pytest.param(
    Program(("put", "put", "statement"), (0, 1, 2), 0, 0, features=("through",)),
    marks=pytest.mark.long("three writers, two of which fill"),
)
TRIPLES = [
    Program(operations, (0, 1, 2), 0, 0, features=features)
    for features, operations in (
        (("through",), ("put", "update all new", "delete")),
        (("images",), ("index 1", "move", "put")),
        (("images",), ("index 2", "move in old form", "put elsewhere")),
        (("images",), ("move in old form", "move", "put")),
        (("through", "images"), ("index 1", "put elsewhere", "update all new")),
        (("images of the odd",), ("index 1", "move", "move")),
        (("images of the even",), ("scan", "move", "move")),
    )
]


@pytest.mark.parametrize("program", [*PAIRS, *TRIPLES, LONG_TRIPLE], ids=str)
def test_no_schedule_with_a_feature_breaks_a_promise(program: Program) -> None:
    total = explore(program)
    print(total)
    assert total.schedules > 20


STALE = [
    (("throttled get", "update"), ("stale",)),
    (("throttled get", "put"), ("stale", "through")),
    (("throttled query", "unanswered update"), ("stale",)),
    (("throttled batch", "delete"), ("stale", "consistent")),
]


@pytest.mark.parametrize(("operations", "features"), STALE)
def test_no_stale_answer_is_older_than_a_write_before_it(
    operations: tuple[str, ...], features: tuple[str, ...]
) -> None:
    total = explore(Program(operations, (0, 1), faults=0, features=features))
    print(total)
    assert total.schedules > 50


@pytest.mark.parametrize("other", ["put", "unanswered put", "move in old form"])
def test_no_schedule_of_a_put_and_another_write_while_time_moves_breaks_a_promise(
    other: str,
) -> None:
    features = ("through", "consistent", "images")
    total = explore(Program(("put", other), (0, 1), faults=0, features=features))
    print(total)
    assert total.schedules > 500


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_tags_that_share_slots_are_evicted_together_and_none_is_restored_wrongly(
    slots: int,
) -> None:
    for features, operations in (
        (("images",), ("index 1", "move")),
        (("images",), ("move in old form", "put elsewhere")),
        (("through",), ("put", "update all new")),
    ):
        program = Program(operations, (0, 1), 0, 0, features=features, slots=slots)
        assert explore(program).schedules >= 20


@pytest.mark.parametrize("kind", ["put", "move", "move in old form", "delete"])
def test_a_writer_that_is_killed_at_any_word_leaves_no_stale_entry(kind: str) -> None:
    features = ("through", "images")
    for read in ("index 1", "scan"):
        program = Program((read, kind), (0, 1), moves=0, features=features)
        assert killed_at_each_turn(program, client=1) > 20


BY_WORD = [
    (("get", "update"), (0, 1)),
    (("query", "delete"), (0, 1)),
    (("get", "put"), (0, 0)),
    (("update", "update"), (0, 1)),
]


@pytest.mark.parametrize(("operations", "clients"), BY_WORD)
def test_no_order_of_words_in_memory_breaks_a_promise(
    operations: tuple[str, ...], clients: tuple[int, ...]
) -> None:
    total = explore(Program(operations, clients, faults=0, moves=0), by_word=True)
    print(total)
    assert total.schedules > 100_000


def test_no_sampled_schedule_of_a_larger_program_breaks_a_promise() -> None:
    for seed in range(SEED, SEED + 300):
        sample_in_memory(seed)


@pytest.mark.parametrize("through_botocore", [False, True])
def test_no_sampled_schedule_on_disk_breaks_a_promise(
    tmp_path: Path, *, through_botocore: bool
) -> None:
    number = 60 if through_botocore else 150
    sampled = sample_on_disk(SEED, number, tmp_path, through_botocore=through_botocore)
    assert sampled == number


# --- that it would be seen -----------------------------------------------------------


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_protocol_with_a_fault_is_caught(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_caught(mutation, monkeypatch)


# --- that nothing is left out --------------------------------------------------------

COMPARED = [
    Program(("batch", "put"), (0, 1), 0, 0, features=("through", "consistent")),
    Program(("index 1", "move"), (0, 1), 0, 0, features=("images",)),
    *(
        pytest.param(program, marks=pytest.mark.long("thousands of schedules"))
        for program in (
            Program(("index 1", "move"), (0, 1), moves=0, features=("images",)),
            Program(("get", "update"), (0, 1), moves=0),
            Program(("get", "delete"), (0, 0), moves=0),
        )
    ),
    Program(("query", "unanswered update"), (0, 1), faults=0),
    Program(("get", "put"), (0, 0), faults=0, moves=0, warm=False),
    Program(("delete",), (0,), moves=0),
]


@pytest.mark.parametrize("program", COMPARED, ids=str)
def test_every_schedule_is_counted_once_and_random_ones_end_in_no_other_state(
    program: Program,
) -> None:
    # One by one, which takes seconds: so both claims are held against the same search.
    known, number = endings(program, most=100_000)
    assert explore(program).schedules == number
    choose = random.Random(SEED)
    for _ in range(200):
        run = program.start()
        while choices := run.choices():
            run.take(choices[choose.randrange(len(choices))])
        assert run.state() in known


def test_a_schedule_has_the_same_result_each_time() -> None:
    traces = set()
    for _ in range(3):
        run = Program(("get", "update", "put"), (0, 1, 2)).start()
        sample(run, random.Random(SEED))
        traces.add((tuple(run.world.trace), run.state()))
    assert len(traces) == 1


def test_an_impossible_schedule_is_refused() -> None:
    run = Program(("get", "update"), (0, 1)).start()
    with pytest.raises(ValueError, match="is not among"):
        follow(run, ["client 1 update: the server commits"])
