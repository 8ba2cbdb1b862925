"""No schedule makes the near cache break a promise; without its rules, one does."""

from dataclasses import dataclass, fields
from random import Random
from typing import Any

import pytest

from botocache._near import answers as near_answers
from botocache._near.answers import NearAnswers, NearEntry
from tests.explorer.backends import MemoryBackend
from tests.explorer.callers import Near
from tests.explorer.explore import each, sample
from tests.explorer.mutations import Patch
from tests.explorer.programs import Program, Run
from tests.explorer.samples import random_program, with_seed
from tests.explorer.turns import pause
from tests.explorer.world import TABLE, Violation
from tests.support.clock import FakeClock

SEED = 20_261_126


@dataclass(frozen=True)
class NearProgram(Program):
    """A program that calls through the near cache, which remembers client 0's reads."""

    def start(self, *, by_word: bool = False) -> Run:
        """See Program.start."""
        clock = FakeClock()
        backend = MemoryBackend(clock, by_word=by_word, slots=self.slots)
        return self.start_on(clock, backend, Near(), TABLE)


def run_some(program: Program, number: int) -> int:
    """Run schedules of a program at random; return the near hits in them."""
    served = 0
    for seed in range(SEED, SEED + number):
        choose = Random(seed)
        run = program.start()
        with_seed(seed, program, lambda run=run, choose=choose: sample(run, choose))
        served += sum(cache.stats().near_hits for cache in run.world.caches)
    return served


def test_no_schedule_of_the_smallest_program_breaks_a_promise() -> None:
    number = 0
    for run in each(NearProgram(("get", "put"), (0, 1), faults=0, moves=0).start):
        run.conclude()
        number += 1
    assert number > 20


PROGRAMS = [
    NearProgram(("get", "get", "put"), (0, 0, 1), faults=1),
    NearProgram(("query", "get", "update"), (0, 0, 1), faults=1),
    NearProgram(("get", "get", "put"), (0, 0, 0), faults=1),
    NearProgram(("get", "unanswered update", "delete"), (0, 1, 0), faults=0),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_no_sampled_schedule_of_a_small_program_breaks_a_promise(
    program: Program,
) -> None:
    assert run_some(program, 80) > 80


def test_no_sampled_schedule_of_a_larger_program_breaks_a_promise() -> None:
    served = 0
    for seed in range(SEED, SEED + 120):
        program = random_program(Random(seed))
        near = NearProgram(
            **{f.name: getattr(program, f.name) for f in fields(program)}
        )
        served += run_some(near, 1)
    assert served > 120


# --- that it would be seen ---------------------------------------------------------

_serve = NearAnswers.serve


def _whatever_the_generations_are(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(near_answers, "_watch_of", lambda _: lambda *_: lambda: True)


def _whatever_waits(patch: pytest.MonkeyPatch) -> None:
    def serve(answers: NearAnswers, entry: NearEntry, *of_call: Any) -> Any:
        waiting, answers._pending = answers._pending, {}  # type: ignore[misc]
        try:
            return _serve(answers, entry, *of_call)
        finally:
            answers._pending = waiting  # type: ignore[misc]

    patch.setattr(NearAnswers, "serve", serve)


def _what_waits_last(patch: pytest.MonkeyPatch) -> None:
    def serve(answers: NearAnswers, entry: NearEntry, *_: Any) -> Any:
        if entry.copy is None or not entry.is_current():
            return None
        pause(lambda: [("the near cache", "goes on")])
        return None if answers._pending else entry.copy()

    patch.setattr(NearAnswers, "serve", serve)


MUTATIONS: dict[str, tuple[Patch, Program]] = {
    "whatever the generations are": (
        _whatever_the_generations_are,
        NearProgram(("get", "put"), (0, 1), faults=0, moves=0),
    ),
    "whatever waits to be evicted": (
        _whatever_waits,
        NearProgram(("get", "put"), (0, 0), faults=1, moves=0),
    ),
    "what waits is looked at after the generations": (
        _what_waits_last,
        NearProgram(("get", "put"), (0, 0), faults=1, moves=0),
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_near_cache_with_a_fault_is_caught(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, program = MUTATIONS[name]
    change(monkeypatch)
    with pytest.raises(Violation) as caught:
        run_some(program, 2_000)
    print(f"{name}: {type(caught.value).__name__}: {caught.value}")
