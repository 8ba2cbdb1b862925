"""No schedule of our own reads and writes makes shadow mode see an outdated hit."""

import json
from dataclasses import dataclass, fields
from random import Random
from typing import Any

import pytest

from botocache._cache.audits import Audits
from botocache._cache.batches import hit_of
from botocache._cache.tickets import AuditTicket, BatchTicket, Hit, Ticket
from botocache._coherence import Held
from tests.explorer.backends import MemoryBackend
from tests.explorer.callers import Direct, Serve
from tests.explorer.explore import each, sample
from tests.explorer.mutations import Patch
from tests.explorer.programs import Program, Run
from tests.explorer.samples import random_program, with_seed
from tests.explorer.world import TABLE, Violation, World, wire
from tests.support.calls import call_of
from tests.support.clock import FakeClock

SEED = 20_261_128


class FalseAlarm(Violation):
    """An entry was taken for outdated, and no writer had gone around the cache."""


class Shadowed(Direct):
    """Calls a cache in shadow mode; to the judge, an audited hit is one that is served.

    So what it judges is what the cache would have served.
    """

    def __init__(self) -> None:
        self.compared = 0

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller."""
        operation, parameters = world.request(kind, **more)
        cache, body = world.caches[client], json.loads(wire(parameters))
        outcome = cache.begin(call_of(operation), body)
        assert not isinstance(outcome, Hit), "shadow mode has served a hit"
        # Now, when it would be served: pending evictions may be delivered meanwhile.
        is_exempt = world.is_exempt(client)
        answer, _ = self.finish(cache, outcome, body, serve)
        self._judge(world)
        hit = _served(outcome)
        return (answer, False) if hit is None or is_exempt else (hit.answer, True)

    def _judge(self, world: World) -> None:
        tables = [table for cache in world.caches for table in cache.stats().tables]
        self.compared = max(self.compared, sum(table.compared for table in tables))
        is_covered = not (
            world.has_uncovered_commit
            or world.has_failed_eviction
            or world.has_lost_evictions
            or world.newcomers
        )
        found = {name for table in tables for name in table.differing}
        if is_covered and not found <= {"settling"}:
            raise FalseAlarm("\n  ".join([f"{found}:", *world.trace]))


def _served(outcome: Ticket | None) -> Hit | None:
    """Return the hit that would have been served; None if there was none."""
    if isinstance(outcome, AuditTicket):
        return outcome.hit
    if not isinstance(outcome, BatchTicket):
        return None
    lookups = {
        table: tuple(
            lookup.hit if isinstance(lookup, AuditTicket) else lookup for lookup in part
        )
        for table, part in outcome.lookups.items()
    }
    return hit_of(outcome.batch, lookups)


@dataclass(frozen=True)
class ShadowProgram(Program):
    """A program whose clients are in shadow mode."""

    def start(self, *, by_word: bool = False) -> Run:
        """See Program.start."""
        clock = FakeClock()
        backend = MemoryBackend(clock, by_word=by_word, slots=self.slots)
        return self.start_on(clock, backend, Shadowed(), TABLE)


def shadowed(program: Program) -> ShadowProgram:
    """Return a program in shadow mode."""
    values = {field.name: getattr(program, field.name) for field in fields(program)}
    return ShadowProgram(**{**values, "features": (*program.features, "shadow")})


def run_some(program: Program, number: int) -> int:
    """Run schedules of a program at random; return how many hits were compared."""
    compared = 0
    for seed in range(SEED, SEED + number):
        choose = Random(seed)
        run = program.start()
        with_seed(seed, program, lambda run=run, choose=choose: sample(run, choose))
        assert isinstance(run._caller, Shadowed)
        compared += run._caller.compared
    return compared


def test_no_schedule_of_a_read_and_a_write_is_a_false_alarm() -> None:
    number = 0
    for operations in (("get", "put"), ("query", "update")):
        program = shadowed(Program(operations, (0, 1), faults=0, moves=0))
        for run in each(program.start):
            run.conclude()
            number += 1
    assert number > 40


PROGRAMS = [
    Program(("get", "get", "put"), (0, 0, 1), faults=1),
    Program(("query", "get", "update"), (0, 0, 1), faults=1),
    Program(("batch", "get", "put"), (0, 1, 1), faults=0, moves=2),
    Program(("get", "unanswered update", "delete"), (0, 1, 0), faults=0),
    Program(("get", "update all new", "update"), (0, 0, 1), 0, features=("through",)),
    Program(("index 1", "move", "put"), (0, 0, 1), faults=0, features=("images",)),
    Program(("scan", "put elsewhere", "get"), (0, 1, 1), 0, features=("images",)),
]


FEW, MANY = 20, 500

schedules = pytest.mark.parametrize(
    "number",
    [FEW, pytest.param(MANY, marks=pytest.mark.long("hundreds of schedules each"))],
)


@schedules
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_no_sampled_schedule_of_a_small_program_is_a_false_alarm(
    program: Program, number: int
) -> None:
    assert run_some(shadowed(program), number) > number


@schedules
def test_no_sampled_schedule_of_a_larger_program_is_a_false_alarm(number: int) -> None:
    compared = 0
    for seed in range(SEED, SEED + 2 * number):
        compared += run_some(shadowed(random_program(Random(seed))), 1)
    assert compared > number


# --- that it would be seen ---------------------------------------------------------

_judge = Audits._judge


def _without_a_second_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Audits, "_is_overtaken", lambda *_: False)


def _whatever_is_held(patch: pytest.MonkeyPatch) -> None:
    def judge(audits: Audits, ticket: AuditTicket) -> tuple[str, float]:
        loaded = ticket.loaded._replace(held=Held.FREE)
        return _judge(audits, ticket._replace(loaded=loaded))

    patch.setattr(Audits, "_judge", judge)


MUTATIONS: dict[str, tuple[Patch, Program]] = {
    "the generations are not looked at again": (
        _without_a_second_look,
        Program(("get", "put"), (0, 1), faults=0, moves=0),
    ),
    "a hold-off is not looked at": (
        _whatever_is_held,
        Program(
            ("get", "update all new"), (0, 0), faults=0, moves=0, features=("through",)
        ),
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_shadow_mode_with_a_fault_raises_a_false_alarm(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, program = MUTATIONS[name]
    change(monkeypatch)
    with pytest.raises(FalseAlarm) as caught:
        run_some(shadowed(program), 2_000)
    print(f"{name}: {caught.value}")
