"""Schedules of small programs, sampled, and that the explorer can fail."""

import logging
from collections.abc import Iterator

import pytest

from botocache import _cache, _coherence
from botocache._cache import Cache
from botocache.stores import slots
from tests.explorer.explore import (
    Program,
    every_schedule,
    small_programs,
    some_schedules,
)
from tests.explorer.world import PromiseBroken, Useless

SEED = 20_261_124
SAMPLES = 6


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_no_sampled_schedule_of_two_operations_breaks_the_promise() -> None:
    tried = 0
    for number, program in enumerate(small_programs()):
        tried += some_schedules(program, SEED + number, SAMPLES)
    assert tried > 5_000


PROGRAMS = [
    Program(("get", "update"), (0, 1)),
    Program(("query", "put"), (0, 1)),
    Program(("get", "update without an answer"), (0, 1)),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.operations)
def test_no_schedule_of_a_read_beside_a_write_breaks_the_promise(
    program: Program,
) -> None:
    assert every_schedule(program, most=5_000) > 10


def explored() -> None:
    for program in PROGRAMS:
        every_schedule(program, most=5_000)


def test_a_protocol_without_a_second_eviction_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Cache, "_finish_write", lambda *_, **__: None)
    monkeypatch.setattr(_cache, "may_fill", lambda _: True)
    with pytest.raises(PromiseBroken):
        explored()


def test_a_protocol_without_a_first_eviction_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Cache, "_finish_write", lambda *_, **__: None)
    monkeypatch.setattr(Cache, "_begin_write", lambda *_: None)
    with pytest.raises((PromiseBroken, Useless)):
        explored()


def test_a_protocol_that_ignores_hold_offs_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_cache, "may_fill", lambda _: True)
    with pytest.raises(PromiseBroken):
        explored()


def test_a_protocol_without_settling_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_settling(*arguments: object) -> float:
        held_until = _coherence.next_held_until(*arguments)  # type: ignore[arg-type]
        return held_until if arguments[2] != 1.0 else float(str(arguments[1]))

    monkeypatch.setattr(slots, "next_held_until", no_settling)
    with pytest.raises(PromiseBroken):
        explored()


def test_entries_that_outlive_their_snapshot_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_cache, "may_serve", lambda *_: True)
    with pytest.raises(PromiseBroken):
        explored()
