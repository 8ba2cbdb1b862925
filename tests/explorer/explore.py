"""Runs programs through all of their schedules, or through samples of them.

Nothing is copied or undone: each schedule runs from its beginning on a new world. A
schedule is the list of choices that it made, so a failure names itself.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

from tests.explorer.operations import Clock, Fault, Operation, Read, Write
from tests.explorer.world import SETTINGS, Useless, World, version_of

Maker = Callable[[World, int], Operation]

READS: dict[str, Maker] = {
    "get": lambda world, client: Read(world, client, "GetItem"),
    "consistent get": lambda world, client: Read(
        world, client, "GetItem", consistent=True
    ),
    "query": lambda world, client: Read(world, client, "Query"),
    "query by range": lambda world, client: Read(world, client, "Query by range"),
}
WRITES: dict[str, Maker] = {
    "update": lambda world, client: Write(world, client, "UpdateItem"),
    "put": lambda world, client: Write(world, client, "PutItem"),
    "refused update": lambda world, client: Write(
        world, client, "UpdateItem", "refused"
    ),
    "update without an answer": lambda world, client: Write(
        world, client, "UpdateItem", "timeout"
    ),
}
OPERATIONS = {**READS, **WRITES}
FAULTS = (
    "none",
    "kill",
    "fail load",
    "fail fill",
    "fail evict",
    "entries",
    "generations",
)
CLOCKS: tuple[tuple[float, ...], ...] = ((), (1.1,), (5.1,))


@dataclass(frozen=True, slots=True)
class Program:
    """Operations with their clients, a fault, and what time passes among them.

    Every program ends with one more read of what was written, by the last client.
    """

    operations: tuple[str, ...]
    clients: tuple[int, ...]
    fault: str = "none"
    clock: tuple[float, ...] = ()

    def start(self) -> "Run":
        """Return a run of it, in a new world that knows the table's keys."""
        world = World(max(self.clients) + 1)
        _warm_up(world)
        operations: list[Operation] = [
            OPERATIONS[name](world, client)
            for name, client in zip(self.operations, self.clients, strict=True)
        ]
        actors = list(operations)
        if self.fault != "none":
            actors.append(Fault(world, self.fault, operations))
        if self.clock:
            actors.append(Clock(world, *self.clock))
        return Run(world, actors)


def _warm_up(world: World) -> None:
    """Fill what a service would have cached before, and teach the key attributes."""
    world.server.version = 1
    for kind in ("GetItem", "Query", "Query by range"):
        read = Read(world, 0, kind)
        for _ in range(3):
            for _, step in list(read.actions())[:1]:
                step()
    world.trace.clear()


class Run:
    """One schedule under way."""

    def __init__(self, world: World, actors: list[Operation]) -> None:
        self.world = world
        self._actors = actors

    def choices(self) -> list[tuple[str, Callable[[], None]]]:
        """Return everything that may happen next."""
        return [action for actor in self._actors for action in actor.actions()]

    def take(self, number: int) -> None:
        """Let it happen."""
        label, step = self.choices()[number]
        self.world.trace.append(label)
        step()

    def conclude(self) -> None:
        """Check what must hold at the end, whatever came before."""
        world = self.world
        client = len(world.caches) - 1
        for kind in ("GetItem", "Query"):  # served at once, if at all: still fresh?
            _read(world, client, kind)
        world.store.failing = ""
        for _ in range(2):  # a retry of an eviction holds it for a window again
            world.clock.advance(SETTINGS.write_window + 0.1)
            _read(world, client, "GetItem")
        outcome = world.begin(client, "GetItem")
        hit = getattr(outcome, "answer", None)
        is_fresh = hit is not None and version_of(hit) == world.server.version
        if not is_fresh and not world.has_late_commit and world.undelivered_by is None:
            raise Useless("\n  ".join(["no hit in the end:", *world.trace]))


def _read(world: World, client: int, kind: str) -> None:
    world.trace.append(f"client {client} {kind}, at the end")
    read = Read(world, client, kind)
    while steps := list(read.actions()):
        steps[0][1]()


# --- enumerating and sampling --------------------------------------------------------


def every_schedule(program: Program, most: int) -> int:
    """Run all schedules of a program, `most` at the most; return how many."""
    path: list[list[int]] = []  # [choice, choices] of each step
    tried = 0
    while tried < most:
        run = program.start()
        depth = 0
        while choices := len(run.choices()):
            if depth == len(path):
                path.append([0, choices])
            run.take(path[depth][0])
            depth += 1
        run.conclude()
        tried += 1
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            break
        path[-1][0] += 1
    return tried


def some_schedules(program: Program, seed: int, number: int) -> int:
    """Run a number of random schedules of a program."""
    choose = random.Random(seed).randrange
    for _ in range(number):
        run = program.start()
        while choices := len(run.choices()):
            run.take(choose(choices))
        run.conclude()
    return number


def small_programs() -> Iterator[Program]:
    """Yield every pair of operations, in one client and in two, with every fault."""
    for operations in combinations_with_replacement(OPERATIONS, 2):
        if any(name in WRITES for name in operations):
            for clients, fault, clock in product(((0, 0), (0, 1)), FAULTS, CLOCKS):
                yield Program(operations, clients, fault, clock)


def larger_programs() -> Iterator[Program]:
    """Yield every three operations, among up to three clients, with every fault."""
    for operations in combinations_with_replacement(OPERATIONS, 3):
        if any(name in WRITES for name in operations):
            for clients, fault, clock in product(
                ((0, 0, 1), (0, 1, 0), (0, 1, 2)), FAULTS, CLOCKS
            ):
                yield Program(operations, clients, fault, clock)
