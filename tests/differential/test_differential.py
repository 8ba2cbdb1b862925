"""An application cannot tell whether the cache is on."""

from pathlib import Path

import pytest

from tests.differential.machine import run_programs
from tests.differential.runs import RUNS, SETTINGS, Run, pair_for, running

PROGRAMS = 28
"""Of each run: about a hundred calls each."""

CALLS = 2_900
"""That are made and compared in each run at least: 20,000 in all."""

assert CALLS * len(RUNS) > 20_000

SEED = 20_261_125

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
def test_no_program_can_tell_whether_the_cache_is_on(
    number: int, run: Run, tmp_path: Path
) -> None:
    with running(run.server) as server, pair_for(run, server, tmp_path) as pair:
        first = SEED + number * PROGRAMS
        run_programs(pair, range(first, first + PROGRAMS))
    print(f"{run}: {pair.calls} calls, {pair.hits} hits, {pair.near_hits} of them near")
    if SETTINGS[run.settings].get("near") == "off":
        assert pair.near_hits == 0
    else:
        assert pair.near_hits > pair.hits / 5
    assert pair.calls >= CALLS
    assert pair.hits > pair.direct.reads / 8
    assert pair.cached.reads < pair.direct.reads * 0.9
    assert set(pair.answered) >= OPERATIONS
    assert sum(pair.refused.values()) > pair.calls / 20
    assert not pair.failures
