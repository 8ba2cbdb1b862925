"""An application sees the same answers with and without the cache."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.differential.machine import run_programs
from tests.differential.pairs import Pair
from tests.differential.runs import RUNS, SETTINGS, Run, pair_for
from tests.support.dynamodb import DynamoDB

PROGRAMS = 15
"""Of each run at most: about 150 calls each. `make fuzz` runs more."""

CALLS = 300
"""That a run compares at least, and more until it had its operations: 2,400 in all."""

assert CALLS * len(RUNS) >= 2_400

SEED = 20_261_126

OPERATIONS = {
    "BatchExecuteStatement",
    "BatchGetItem",
    "BatchWriteItem",
    "CreateTable",
    "DeleteItem",
    "DeleteTable",
    "DescribeTable",
    "ExecuteStatement",
    "ExecuteTransaction",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactGetItems",
    "TransactWriteItems",
    "UpdateItem",
}
"""What the first run has an answer of, and in `make test-long` each run."""

MOST = 11
"""How many of them each run has an answer of."""

CASES = [
    *((number, run, MOST) for number, run in enumerate(RUNS) if number),
    (0, RUNS[0], len(OPERATIONS)),
    *(
        pytest.param(
            number, run, len(OPERATIONS), marks=pytest.mark.long("each operation")
        )
        for number, run in enumerate(RUNS)
        if number
    ),
]


def answered(pair: Pair) -> set[str]:
    """Return the operations that a pair has an answer of."""
    return OPERATIONS & {*pair.answered}


@pytest.mark.parametrize(("number", "run", "operations"), CASES, ids=str)
def test_no_program_sees_a_difference_with_the_cache_on(
    number: int,
    run: Run,
    operations: int,
    server_of: Callable[[str], DynamoDB],
    tmp_path: Path,
) -> None:
    with pair_for(run, server_of(run.server), tmp_path) as pair:
        first = SEED + number * PROGRAMS
        for seed in range(first, first + PROGRAMS):
            run_programs(pair, [seed])
            has_refusals = pair.refused.total() > pair.answered.total() / 20
            has_all = has_refusals and len(answered(pair)) >= operations
            if pair.calls >= CALLS and has_all:
                break
    print(f"{run}: {pair.calls} calls, {pair.hits} hits, {pair.near_hits} of them near")
    if SETTINGS[run.settings].get("near") == "off":
        assert pair.near_hits == 0
    else:
        assert pair.near_hits > pair.hits / 5
    assert pair.calls >= CALLS
    assert pair.hits > pair.direct.reads / 8
    assert pair.cached.reads < pair.direct.reads * 0.9
    assert len(answered(pair)) >= operations
    assert pair.refused.total() > pair.answered.total() / 20
    assert not pair.failures
