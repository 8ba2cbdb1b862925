"""An application sees the same answers with and without the cache."""

from pathlib import Path

import pytest

from tests.differential.machine import run_programs
from tests.differential.runs import RUNS, SETTINGS, Run, pair_for, running

PROGRAMS = 15
"""Of each run at most: about 150 calls each. `make fuzz` runs more."""

CALLS = 1_000
"""That a run compares at least, and more until it had each operation: 8,000 in all."""

assert CALLS * len(RUNS) >= 8_000

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
"""What every run has an answer of."""


@pytest.mark.parametrize(("number", "run"), list(enumerate(RUNS)), ids=str)
def test_no_program_sees_a_difference_with_the_cache_on(
    number: int, run: Run, tmp_path: Path
) -> None:
    with running(run.server) as server, pair_for(run, server, tmp_path) as pair:
        first = SEED + number * PROGRAMS
        for seed in range(first, first + PROGRAMS):
            run_programs(pair, [seed])
            has_refusals = pair.refused.total() > pair.answered.total() / 20
            has_all = has_refusals and set(pair.answered) >= OPERATIONS
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
    assert set(pair.answered) >= OPERATIONS
    assert pair.refused.total() > pair.answered.total() / 20
    assert not pair.failures
