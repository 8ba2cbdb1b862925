"""The checker finds what breaks the promise, and nothing else.

Histories are written as `(name, wrote, start, end)` for writes of one item and as
`(saw, start, end)` for a read of it.
"""

from dataclasses import replace

import pytest

from tests.soak.checker import violations
from tests.soak.journal import History, Outcome, Read, Write

GONE = None


def wrote(value: str | None, start: int, end: int | None) -> Write:
    """Return a write that was applied, or one without a known end."""
    outcome = Outcome.UNKNOWN if end is None else Outcome.APPLIED
    return Write(f"w{value}", "PutItem", start, {"x": value}, end, outcome)


def saw(value: str | None, start: int, end: int) -> Read:
    return Read("r", "GetItem", start, end, {"x": value}, is_hit=True)


ONE = wrote("1", 10, 20)
TWO = wrote("2", 30, 40)
DELETE = wrote(GONE, 30, 40)

RIGHT = {
    "nothing was ever there": ([], saw(GONE, 1, 2)),
    "the last value": ([ONE, TWO], saw("2", 50, 60)),
    "the value before, while it is overwritten": ([ONE, TWO], saw("1", 39, 60)),
    "the value to come, while it is written": ([ONE, TWO], saw("2", 5, 31)),
    "not there yet, while it is written": ([ONE], saw(GONE, 15, 25)),
    "either of two that overlap": ([ONE, wrote("2", 19, 40)], saw("1", 50, 60)),
    "overlapping by a moment": ([ONE, wrote("2", 20, 40)], saw("1", 50, 60)),
    "one that ended at the very start": ([ONE, wrote("2", 30, 50)], saw("1", 50, 60)),
    "what a killed writer wrote": ([wrote("1", 10, None), TWO], saw("1", 50, 60)),
    "not what a killed writer wrote": ([ONE, wrote("2", 30, None)], saw("1", 50, 60)),
    "nothing after a delete": ([ONE, DELETE], saw(GONE, 50, 60)),
    "nothing after a killed delete": (
        [wrote(GONE, 1, None), ONE, TWO],
        saw(GONE, 50, 60),
    ),
    "nothing while it is deleted": ([ONE, DELETE], saw(GONE, 25, 31)),
    "what was sent twice": ([replace(ONE, retried=True), TWO], saw("1", 50, 60)),
    "what a refused write did not write": (
        [ONE, replace(TWO, outcome=Outcome.REFUSED)],
        saw("1", 50, 60),
    ),
    "nothing after an update of what was not there": (
        [replace(TWO, if_there=frozenset("x"))],
        saw(GONE, 50, 60),
    ),
    "an item that others' writes do not touch": (
        [ONE, replace(TWO, wrote={"y": "2"})],
        saw("1", 50, 60),
    ),
}

WRONG = {
    "an old value": ([ONE, TWO], saw("1", 41, 60)),
    "an old value, when a later one was killed": (
        [ONE, TWO, wrote("3", 45, None)],
        saw("1", 50, 60),
    ),
    "an old value, when a longer one overlaps both": (
        [ONE, TWO, wrote("3", 5, 45)],
        saw("1", 50, 60),
    ),
    "an old value, when a newer one ended before an older one": (
        [ONE, wrote("2", 30, 32), wrote("3", 11, 40)],
        saw("1", 50, 60),
    ),
    "a value that was deleted": ([ONE, DELETE], saw("1", 41, 60)),
    "a value that an update overwrote": (
        [ONE, replace(TWO, if_there=frozenset("x"))],
        saw("1", 50, 60),
    ),
    "nothing, though it was written": ([ONE], saw(GONE, 21, 30)),
    "nothing, though it was written since its delete": (
        [ONE, DELETE, wrote("3", 50, 60)],
        saw(GONE, 61, 70),
    ),
    "nothing, before its delete": (
        [ONE, wrote(GONE, 71, 80)],
        saw(GONE, 61, 70),
    ),
    "nothing, though the delete was refused": (
        [ONE, replace(DELETE, outcome=Outcome.REFUSED)],
        saw(GONE, 50, 60),
    ),
    "a value that was never written": ([ONE], saw("7", 50, 60)),
    "a value of an item that was never written": ([], saw("7", 50, 60)),
    "a value that was refused": (
        [replace(ONE, outcome=Outcome.REFUSED)],
        saw("1", 50, 60),
    ),
    "a value that was yet to be written": ([ONE, TWO], saw("2", 22, 29)),
    "a value of a killed writer, older than what that overlapped with": (
        [ONE, wrote("2", 15, None), wrote("3", 30, 40)],
        saw("1", 50, 60),
    ),
}


@pytest.mark.parametrize(("writes", "read"), RIGHT.values(), ids=RIGHT)
def test_the_checker_accepts_a_read(writes: list[Write], read: Read) -> None:
    assert violations(History(writes=writes, reads=[read])) == []


@pytest.mark.parametrize(("writes", "read"), WRONG.values(), ids=WRONG)
def test_the_checker_rejects_a_read(writes: list[Write], read: Read) -> None:
    (violation,) = violations(History(writes=writes, reads=[read]))
    assert violation.item == "x"
    assert "saw" in str(violation)


LEFT = replace(TWO, name="writer/2", pending_evictions=True)
"""A write that left evictions pending."""


def elsewhere(start: int) -> Read:
    """Return a read of the previous value by another process."""
    return replace(saw("1", 0, 0), name="other/1", started=start, ended=start + 1)


BOUND = 2.0
"""Seconds for which other processes may not see that write."""


def test_a_pending_eviction_may_be_served_by_another_process_for_a_while() -> None:
    history = History(writes=[ONE, LEFT], reads=[elsewhere(40 + round(BOUND * 1e9))])
    assert violations(history, BOUND) == []


def test_a_pending_eviction_may_be_served_as_a_part_of_a_batch() -> None:
    batch = replace(elsewhere(50), kind="BatchGetItem", is_hit=False)
    assert violations(History(writes=[ONE, LEFT], reads=[batch]), BOUND) == []


@pytest.mark.parametrize(
    ("read", "more"),
    [
        (elsewhere(41 + round(BOUND * 1e9)), []),
        (replace(elsewhere(50), name="writer/3"), []),
        (replace(elsewhere(50), is_hit=False), []),
        (elsewhere(70), [wrote("0", 22, 29)]),
    ],
    ids=["later", "by its own process", "a miss", "after another write"],
)
def test_a_pending_eviction_may_not_be_served(read: Read, more: list[Write]) -> None:
    history = History(writes=[ONE, *more, LEFT], reads=[read])
    assert len(violations(history, BOUND)) == 1


def test_every_item_of_a_query_is_checked() -> None:
    query = Read("r", "Query", 50, 60, {"x": "2", "y": None})
    other = Write("w", "PutItem", 30, {"y": "9"}, 40, Outcome.APPLIED)
    (violation,) = violations(History(writes=[ONE, TWO, other], reads=[query]))
    assert (violation.item, violation.newer) == ("y", other)


def test_a_write_of_several_items_counts_for_each() -> None:
    both = Write("w", "BatchWriteItem", 30, {"x": "2", "y": "3"}, 40, Outcome.APPLIED)
    query = Read("r", "Query", 50, 60, {"x": "1", "y": None})
    found = violations(History(writes=[ONE, both], reads=[query]))
    assert [violation.item for violation in found] == ["x", "y"]
