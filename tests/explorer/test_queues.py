"""Entries that are filled behind the call: no schedule of the queues breaks a promise.

A queue is written at any moment: before or after others have evicted, read, or filled
the same key. It is lost with its process, and by itself, as what a full queue drops.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from botocache._cache.entries import decode_header
from botocache.stores.protocol import Fill
from tests.explorer.backends import QueuedStore
from tests.explorer.explore import Explored, explore
from tests.explorer.mutations import Mutation
from tests.explorer.programs import THROUGH, Program, one_each, programs
from tests.explorer.shown import require_caught
from tests.support.entries import answer_in, encode_entry

SHARE = 3
"""One program of so many of those that there are."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    yield
    logging.disable(logging.NOTSET)


def of_two(**more: Any) -> list[Program]:
    """Return programs of two operations, of a client each or both of one."""
    return [
        Program(each.operations, each.clients, is_behind=True, **more)
        for each in programs(2)
        if each.clients in {(0, 1), (0, 0)}
    ]


def explored(some: list[Program]) -> int:
    total = Explored()
    for program in some:
        total.add(explore(program))
    print(total)
    return total.schedules


def test_no_schedule_of_the_queues_breaks_a_promise() -> None:
    assert explored(of_two(faults=0, moves=0)[::SHARE]) > 1_000


def test_no_schedule_in_which_a_queue_is_lost_breaks_a_promise() -> None:
    assert explored(of_two(faults=1, moves=0)[:: 60 * SHARE]) > 500


def test_no_schedule_of_the_queues_on_an_empty_store_breaks_a_promise() -> None:
    assert explored(of_two(faults=0, moves=0, warm=False)[:: 8 * SHARE]) > 1_000


@pytest.mark.parametrize(
    "operations",
    [("get", "put"), ("put", "put"), ("consistent get", "update all new")],
    ids=" and ".join,
)
def test_no_schedule_of_writes_that_fill_behind_breaks_a_promise(
    operations: tuple[str, ...],
) -> None:
    program = one_each(*operations, features=THROUGH.features, is_behind=True)
    assert explored([program]) > 20


@pytest.mark.long("two reads whose queues come in either order, and time that moves")
def test_no_schedule_of_three_with_queues_breaks_a_promise() -> None:
    program = one_each("get", "get", "update", moves=1, is_behind=True)
    assert explored([program]) > 5_000


# --- that a fault would be seen ------------------------------------------------------


def _stamped_as_it_is_written(patch: pytest.MonkeyPatch) -> None:
    """Give an entry the generations of the moment in which the queue is written."""
    fill_many, asked = QueuedStore.fill_many, {}

    def noting(store: QueuedStore, fills: Sequence[Fill]) -> None:
        asked.update({fill.key: fill.tags for fill in fills})
        fill_many(store, fills)

    def write(
        store: QueuedStore, entries: Sequence[tuple[bytes, bytes, float]]
    ) -> None:
        for key, entry, ttl in entries:
            header = decode_header(entry)
            snapshot = store._shared.load(key, asked[key]).snapshot
            times = header.stored_at, header.expires_at
            stamped = encode_entry(answer_in(entry), snapshot, *times, key)
            store._shared.fill(key, stamped, ttl)

    patch.setattr(QueuedStore, "fill_many", noting)
    patch.setattr(QueuedStore, "_write", write)


def test_the_explorer_sees_an_entry_that_is_stamped_when_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = one_each("get", "update", warm=False, is_behind=True)
    fault = Mutation("a late snapshot", _stamped_as_it_is_written, program)
    require_caught(fault, monkeypatch)
