"""The promise holds among real processes, whatever is done to them.

And it is found out if it does not: a cache that lacks a rule fails the same soak.
"""

import pytest

from tests.soak.disturbances import Disturbance, Kind
from tests.soak.journal import Outcome
from tests.soak.soak import STORES, soak
from tests.soak.writes import WRITES, update_and_return

SECONDS = 7
LONGEST = 90
"""Seconds after which a cache that lacks a rule has not been found out."""

DISTURBED = [
    Disturbance(1.0, Kind.CLEAR),
    *(Disturbance(1.0, Kind.KILL, slot) for slot in range(2)),
]
"""Some of the workers know the directory from before it was removed, some do not."""


def test_no_read_is_older_than_a_write_that_completed_before_it_began() -> None:
    report = soak(SECONDS, seed=1)
    print(report)
    assert report.problems() == []
    assert report.hits > len(report.history.reads) / 5
    assert {Kind.KILL, Kind.STOP, Kind.CONTINUE, Kind.CLEAR} <= {*report.disturbances}
    assert report.stale + report.waited["throttled"] > 0
    lost = {error for _, error in report.history.warnings}
    assert "StoreLostError" in lost  # the directory was in use when it was removed
    writes = report.history.writes
    made = WRITES.keys() - {update_and_return}  # which is an update, too
    assert len({write.kind for write in writes}) == len(made)
    assert {Outcome.APPLIED, Outcome.REFUSED} <= {write.outcome for write in writes}


def test_no_read_is_older_than_a_completed_write_when_the_redis_server_is_harmed() -> (
    None
):
    report = soak(SECONDS, seed=1, store="redis")
    print(report)
    assert report.problems() == []
    assert report.hits > len(report.history.reads) / 20
    assert {Kind.KILL, Kind.RESTART, Kind.FREEZE, Kind.FILL_UP} <= {
        *report.disturbances
    }
    assert any(write.pending_evictions for write in report.history.writes)


# Whether the checker finds a violation is what test_checker.py holds.
@pytest.mark.long("real processes find out a cache that evicts nothing")
@pytest.mark.parametrize("store", STORES)
def test_a_cache_that_evicts_nothing_is_caught(store: str) -> None:
    """What lacks less is found by chance, and for certain by the explorer.

    `python -m tests.soak --mutant "..."` tries the other mutants.
    """
    report = soak(
        LONGEST,
        seed=1,
        store=store,
        mutant="evicts nothing",
        disturbances=DISTURBED if store == "disk" else (),
        ends_early=True,
    )
    assert report.violations
