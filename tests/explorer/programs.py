"""Programs: a few operations, their clients, and what may go wrong meanwhile.

A program is a starting point; explore.py runs its schedules. `warm` is how a service
is most of the time: everything was cached before, by client 0, and the table's key
attributes are known. A cold one starts with an empty store.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from typing import Any

from botocache.stores.memory import SLOT_COUNT
from tests.explorer.backends import (
    OPAQUE,
    Backend,
    MemoryBackend,
    Moment,
    QueuedBackend,
)
from tests.explorer.callers import Caller, Direct
from tests.explorer.database import Dump
from tests.explorer.operations import (
    ALL_KINDS,
    KINDS,
    MORE_KINDS,
    Choice,
    Operation,
    Surroundings,
)
from tests.explorer.remote import RedisBackend
from tests.explorer.tasks import AsTasks
from tests.explorer.world import (
    SETTINGS,
    TABLE,
    Hanging,
    Useless,
    World,
    schemas_of,
)
from tests.support.clock import FakeClock

_DOUBT = SETTINGS.settle + 0.1
"""Seconds after which a database that is new is trusted."""


@dataclass(frozen=True, slots=True)
class Program:
    """Operations, begun in any order, and the client that makes each.

    operations: by name.
    clients: the client of each operation.
    faults: how many misfortunes may happen.
    moves: how often time may pass.
    warm: whether the cache holds entries at the beginning.
    features: see FEATURES in world.py.
    slots: of the generation table; with few of them, tags share slots.
    shards: of the hold-offs on Redis; 0 for a program in memory.
    is_behind: whether clients fill behind their calls.
    cuts: how many tasks may be cancelled.
    """

    operations: tuple[str, ...]
    clients: tuple[int, ...]
    faults: int = 1
    moves: int = 1
    warm: bool = True
    features: tuple[str, ...] = ()
    slots: int = SLOT_COUNT
    shards: int = 0
    is_behind: bool = False
    cuts: int = 0

    def __str__(self) -> str:
        calls = ", ".join(
            f"{name} by {client}"
            for name, client in zip(self.operations, self.clients, strict=True)
        )
        start = "warm" if self.warm else "cold"
        more = "".join(f", {feature}" for feature in self.features)
        if self.slots != SLOT_COUNT:
            more += f", {self.slots} slots"
        if self.is_behind:
            more += ", filled behind the call"
        if self.cuts:
            more += f", {self.cuts} cancelled"
        if self.shards:
            more += f", on Redis with {self.shards} shards"
        return (
            f"{calls}; {start}, {self.faults} faults, time moves {self.moves} times"
            f"{more}"
        )

    def start(self, *, by_word: bool = False) -> "Run":
        """Return a run of it on a store in memory, or on Redis."""
        clock = FakeClock()
        if self.shards:
            return self._start_on_redis(clock)
        backend = (
            QueuedBackend(
                clock, max(self.clients) + 1, by_word=by_word, slots=self.slots
            )
            if self.is_behind
            else MemoryBackend(clock, by_word=by_word, slots=self.slots)
        )
        world = self.new_world(clock, backend, TABLE)
        if self.warm:
            _make_warm(world, backend, self.slots)
        return Run(self, world, Direct())

    def _start_on_redis(self, clock: FakeClock) -> "Run":
        backend = RedisBackend(clock, max(self.clients) + 1, shards=self.shards)
        world = self.new_world(clock, backend, TABLE)
        if self.warm:
            warm, dump = _remote_template(
                self.features, self.shards, keeps_hits=world.keeps_hits
            )
            backend.copy_from(dump)
            _make_known(world, warm)
        return Run(self, world, Direct())

    def start_on(
        self,
        clock: FakeClock,
        backend: Backend,
        caller: Caller,
        table: str,
        awaited: Caller | None = None,
    ) -> "Run":
        """Return a run of it on some store and through some caller.

        table: a name that was not used before.
        awaited: makes the calls of tasks.
        """
        world = self.new_world(clock, backend, table)
        if self.warm:
            warm_up(world, caller)
        return Run(self, world, caller, awaited)

    def new_world(self, clock: FakeClock, backend: Backend, table: str) -> World:
        """Return the world of a run, on a store and with a table that are new to it."""
        return World(
            clock,
            backend,
            max(self.clients) + 1,
            table,
            features=self.features,
            keeps_hits=any(
                ALL_KINDS[name].request == "batch" for name in self.operations
            ),
        )


def one_each(*operations: str, faults: int = 0, moves: int = 0, **more: Any) -> Program:
    """Return the program of operations by a client each, by default undisturbed."""
    return Program(operations, tuple(range(len(operations))), faults, moves, **more)


def kinds_of(world: World) -> tuple[str, ...]:
    """Return the reads that are done outside of a schedule."""
    kinds = ["get", "query", "query by range"]
    if any(feature.startswith("images") for feature in world.features):
        kinds += ["index 1", "index 2", "scan"]
    if world.keeps_hits:
        kinds += ["batch", "scan"]
    return tuple(dict.fromkeys(kinds))


def warm_up(world: World, caller: Caller) -> None:
    """Have client 0 read everything, outside of any schedule."""
    for kind in kinds_of(world):
        for _ in range(3):
            read(world, 0, kind, caller)


def read(
    world: World, client: int, kind: str, caller: Caller
) -> tuple[dict[str, Any], bool]:
    """Read outside of any schedule; nothing comes in between."""
    operation, _ = world.request(kind)
    server = world.server
    return caller.call(
        world,
        client,
        kind,
        lambda sent: server.answer(operation, sent, server.version),
    )


@cache
def _template(
    features: tuple[str, ...], slots: int, *, keeps_hits: bool
) -> tuple[World, MemoryBackend]:
    clock = FakeClock()
    backend = MemoryBackend(clock, first=OPAQUE + OPAQUE // 2, slots=slots)
    world = World(clock, backend, 1, features=features, keeps_hits=keeps_hits)
    warm_up(world, Direct())
    return world, backend


@cache
def _remote_template(
    features: tuple[str, ...], shards: int, *, keeps_hits: bool
) -> tuple[World, Dump]:
    clock = FakeClock()
    clock.advance(-_DOUBT)
    backend = RedisBackend(clock, 1, shards=shards, first=OPAQUE + OPAQUE // 2)
    world = World(clock, backend, 1, features=features, keeps_hits=keeps_hits)
    warm_up(world, Direct())
    clock.advance(_DOUBT)  # of a database that is new
    warm_up(world, Direct())
    return world, backend.dump()


def _make_warm(world: World, backend: MemoryBackend, slots: int) -> None:
    warm, warm_backend = _template(world.features, slots, keeps_hits=world.keeps_hits)
    backend.copy_from(warm_backend)
    _make_known(world, warm)


def _make_known(world: World, warm: World) -> None:
    known = schemas_of(warm.caches[0])
    for other in world.caches:
        schemas_of(other).update(known)


class Run:
    """One schedule under way."""

    def __init__(
        self,
        program: Program,
        world: World,
        caller: Caller,
        awaited: Caller | None = None,
    ) -> None:
        self.world = world
        self._caller = caller
        world.faults, world.moves = program.faults, program.moves
        world.cuts = program.cuts
        tasks = awaited or AsTasks()
        self._operations = [
            Operation(
                world,
                client,
                name,
                tasks if ALL_KINDS[name].is_awaited else caller,
                number,
            )
            for number, (name, client) in enumerate(
                zip(program.operations, program.clients, strict=True)
            )
        ]
        self._surroundings = Surroundings(world, self._operations)

    def choices(self) -> list[Choice]:
        """Return everything that may happen next; nothing at the end."""
        choices = [c for operation in self._operations for c in operation.choices()]
        return choices + self._surroundings.choices()

    def take(self, choice: Choice) -> None:
        """Let it happen. Raises Violation."""
        label, happen = choice
        self.world.trace.append(label)
        happen()
        self.world.judge()

    def state(self) -> tuple[Any, ...]:
        """Return all that what comes depends on.

        Two runs of a program with equal states go on alike: generations are compared
        with each other only, so each is replaced by the order in which it turns up.
        """
        state = self.world.state()
        for operation in self._operations:
            state.append("operation")
            state += operation.state()
        eyes = self.world.eyes()
        order: dict[int, int] = {}
        return tuple(
            [
                (
                    order.setdefault(value, ~len(order))
                    if value.__class__ is int and value >= OPAQUE
                    else eyes.look(value)
                    if value.__class__ is Moment
                    else value
                )
                for value in state
            ]
        )

    def conclude(self) -> None:
        """Check what must hold at the end, whatever came before. Raises Violation."""
        world = self.world
        self._require_end()
        world.judge_kept()
        world.faults = 0
        world.backend.heal()
        for client in world.debtors():
            world.deliver(client)
        for client in range(len(world.caches)):
            for kind in kinds_of(world):  # served at once, if at all: still fresh?
                self._read(client, kind)
        kinds = kinds_of(world) if world.features or world.keeps_hits else ("get",)
        last = len(world.caches) - 1
        for _ in range(2):  # a retry of an eviction holds it for a window again
            world.clock.advance(SETTINGS.write_hold_off + 0.1)
            for client in range(len(world.caches)):
                for kind in kinds:
                    self._read(client, kind)
        for kind in kinds:
            answer, is_hit = read(world, last, kind, self._caller)
            if world.has_uncovered_commit or world.has_lost_evictions:
                return
            is_fresh = world.server.newest(kind, answer) == world.server.version
            if not is_hit or not is_fresh:
                what = f"no fresh hit of {kind} in the end:"
                raise Useless("\n  ".join([what, *world.trace]))

    def _require_end(self) -> None:
        are_over = all(operation.is_over for operation in self._operations)
        if not are_over and not self.choices():
            raise Hanging("\n  ".join(["a call is not over:", *self.world.trace]))

    def _read(self, client: int, kind: str) -> None:
        world = self.world
        world.trace.append(f"client {client} {kind}: at the end")
        answer, is_hit = read(world, client, kind, self._caller)
        version = world.server.newest(kind, answer)
        world.judge_read(
            client, version, world.completed, world.own[client], is_hit=is_hit
        )

    def stop(self) -> None:
        """End the operations that are under way."""
        for operation in self._operations:
            operation.kill()


def groupings(number: int, most: int) -> Iterator[tuple[int, ...]]:
    """Yield each way to give operations to clients; their names make no difference."""

    def extend(clients: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(clients) == number:
            yield clients
            return
        known = max(clients, default=-1) + 1
        for client in range(min(known + 1, most)):
            yield from extend((*clients, client))

    return extend(())


@dataclass(frozen=True, slots=True)
class Profile:
    """Settings, and the operations with which they make a difference."""

    features: tuple[str, ...]
    kinds: tuple[str, ...]


PLAIN = Profile((), tuple(KINDS))

THROUGH = Profile(
    ("through", "consistent"),
    (
        *("get", "consistent get", "batch", "query"),
        *("put", "update all new", "update", "delete", "statement"),
        *("refused put", "unanswered put"),
    ),
)
"""Writes that fill, and reads that are sent strongly consistent after them."""

IMAGES = Profile(
    ("images",),
    (
        *("index 1", "index 2", "query by range", "scan"),
        *("put", "put elsewhere", "move", "move in old form", "update", "delete"),
        *("statement", "refused move", "unanswered move"),
    ),
)
"""Writes that request the old item; two do not determine the new one."""

SOME_IMAGES = [
    Profile((f"images of the {clients}",), IMAGES.kinds) for clients in ("odd", "even")
]
"""The same where some processes have the setting, and others do not."""

EVERY = Profile((*THROUGH.features, *IMAGES.features), (*KINDS, *MORE_KINDS))
"""All of it at once."""


def programs(  # noqa: PLR0913 - what a program is
    number: int,
    *,
    profile: Profile = PLAIN,
    clients: int = 3,
    faults: int = 1,
    moves: int = 1,
    warm: bool = True,
) -> Iterator[Program]:
    """Yield all programs of a number of operations, at least one of them a write."""
    for operations in combinations_with_replacement(profile.kinds, number):
        if not any(ALL_KINDS[name].is_write for name in operations):
            continue
        for grouping in groupings(number, clients):
            yield Program(operations, grouping, faults, moves, warm, profile.features)
