"""The operations of a program, and what may happen around them.

A read is: begin, the server reads, finish; a write: begin, the server commits, finish
or fail; each with a pause at every call of the store. An awaited call is the same as a
task of an event loop, which may be cancelled wherever it awaits.

`ending` of a write is `ok`, `refused` (a failed condition: nothing is committed) or
`unanswered`: the request may be carried out before its sender gives up, after it, or
never. A read is answered, or `throttled`.
"""

from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.explorer.backends import Eyes, Moment, QueuedBackend
from tests.explorer.callers import Caller, NoAnswer, Refused, Throttled
from tests.explorer.threads import CUT, Task
from tests.explorer.turns import Actor, Offer, Offers, pause, record
from tests.explorer.waiters import FEATURE, Interrupted, refusals, state_of, waits_of
from tests.explorer.world import KEY, SETTINGS, Item, World

MOMENTS = (1.1, 5.1, 60.1)
"""Seconds that may pass at once: beyond settle, the write window, and the TTL."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an operation is: a kind of request, and what else there is to it.

    group: into which a write puts the item; None leaves it where it is.
    is_awaited: whether a task makes it.
    """

    request: str
    is_write: bool = False
    is_consistent: bool = False
    ending: str = "ok"
    group: str | None = None
    is_awaited: bool = False


KINDS: dict[str, Kind] = {
    "get": Kind("get"),
    "consistent get": Kind("get", is_consistent=True),
    "query": Kind("query"),
    "query by range": Kind("query by range"),
    "put": Kind("put", is_write=True, group="1"),
    "update": Kind("update", is_write=True),
    "delete": Kind("delete", is_write=True),
    "refused update": Kind("update", is_write=True, ending="refused"),
    "unanswered update": Kind("update", is_write=True, ending="unanswered"),
}
"""What differs in the protocol without any feature."""

MORE_KINDS: dict[str, Kind] = {
    "index 1": Kind("index 1"),
    "index 2": Kind("index 2"),
    "batch": Kind("batch"),
    "scan": Kind("scan"),
    "consistent query": Kind("query", is_consistent=True),
    "put elsewhere": Kind("put", is_write=True, group="2"),
    "move": Kind("move", is_write=True, group="2"),
    "move in old form": Kind("move in old form", is_write=True, group="2"),
    "update all new": Kind("update all new", is_write=True),
    "statement": Kind("statement", is_write=True),
    "refused put": Kind("put", is_write=True, ending="refused", group="1"),
    "unanswered put": Kind("put", is_write=True, ending="unanswered", group="1"),
    "unanswered move": Kind("move", is_write=True, ending="unanswered", group="2"),
    "refused move": Kind("move", is_write=True, ending="refused", group="2"),
}
"""What differs with one."""

STALE_KINDS: dict[str, Kind] = {
    "throttled get": Kind("get", ending="throttled"),
    "throttled query": Kind("query", ending="throttled"),
    "throttled batch": Kind("batch", ending="throttled"),
}
"""Reads that the server refuses, which entries over their TTL may answer."""

ALL_KINDS = {**KINDS, **MORE_KINDS, **STALE_KINDS}
ALL_KINDS.update(
    [
        (f"async {name}", replace(kind, is_awaited=True))
        for name, kind in ALL_KINDS.items()
    ]
)

_FIRST_PUT = 1001
"""The value that the first operation of a program writes; others count from 1."""

Choice = tuple[str, Callable[[], None]]
"""What may happen next, in words, and what makes it happen."""


class Operation:
    """One call of one client."""

    def __init__(
        self, world: World, client: int, kind: str, caller: Caller, number: int
    ) -> None:
        self.client = client
        self.name = f"client {client} {kind}"
        self._world = world
        self._kind = ALL_KINDS[kind]
        self._caller = caller
        self._item = Item(str(_FIRST_PUT + number), self._kind.group)
        self._is_asked_consistently = self._is_item_asked = False
        self._request = _SentWrite()
        self._is_uncovered = False
        verb = "evict" if self._kind.is_write else "load"
        work = self._write if self._kind.is_write else self._read
        self._actor = self._new_actor(work, lambda: world.ways_of(client, verb))
        self._actor.fills = "own item" if self._kind.is_write else self._kind.request

    def _new_actor(self, work: Callable[[], None], opening: Offers) -> Actor:
        world, client, kind = self._world, self.client, self._kind

        def observe() -> list[Any]:
            return world.cache_state(client)

        if not kind.is_awaited:
            return Actor(work, opening, observe)
        is_at_once = "at once" in world.features
        task = Task(work, opening if is_at_once else _begins, observe, world)
        ending: Offers = lambda: world.ways_of(  # noqa: E731 - as `opening`
            client, "evict" if kind.is_write else "fill"
        )
        task.opening_of = lambda number: ending if number else opening
        task.ended = self._end_if_cut
        return task

    def _actors(self) -> list[tuple[str, Actor]]:
        """Return all that run for it, by their names in words."""
        actors = [("", self._actor)]
        if isinstance(self._actor, Task):
            actors += [
                (f"thread {number}: ", thread)
                for number, thread in enumerate(self._actor.threads, 1)
            ]
        return actors

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end."""
        return self._actor.dead and not self._is_waited_for

    @property
    def _is_waited_for(self) -> bool:
        return isinstance(self._actor, Task) and self._actor.is_waited_for

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and is not over."""
        return self._actor.is_under_way or self._is_waited_for

    def choices(self) -> list[Choice]:
        """Return what may happen to it next."""
        choices: list[Choice] = [
            (
                f"{self.name}: {where}{words}",
                lambda actor=actor, result=result: actor.take(result),  # type: ignore[misc]  # a default
            )
            for where, actor in self._actors()
            for words, result in actor.offers()
        ]
        if isinstance(self._actor, Task):
            choices += [
                (f"{self.name}: no thread takes {number}", timer.fire)
                for number, timer in enumerate(self._actor.timers, 1)
                if timer.is_set
            ]
        if self._request.is_late and self._may_still_land():
            choices.append((f"{self.name}: is carried out late", self._land))
        return choices

    def kill(self) -> None:
        """End its process here. A request, once sent, may still be carried out."""
        was_under_way = self.is_under_way
        self._actor.kill()
        request, world = self._request, self._world
        if not was_under_way or request.sent_at is None:
            return
        if not request.version:
            request.is_late = True
        elif self._has_no_cover() or world.clock() + SETTINGS.settle > self._deadline():
            world.has_uncovered_commit = True
        else:
            world.complete(self.client, request.version)

    def lose_cover(self) -> None:
        """Lose the hold-off that covers its process's death, or a late commit."""
        self._is_uncovered |= self.is_under_way or self._request.is_late

    def _has_no_cover(self) -> bool:
        world = self._world
        return self._is_uncovered or world.has_been_full or bool(world.newcomers)

    def state(self) -> list[Any]:
        """Return all that what comes depends on, flat."""
        if self.is_over:
            state: list[Any] = ["over"]
        else:
            is_old = self._actor.ended_before < self._world.ended
            state = ["under way", is_old, *self._actor.history]
            if isinstance(self._actor, Task):
                state += self._actor.state()
        eyes, evicted_at = self._world.eyes(), self._actor.evicted_at
        if FEATURE in self._world.features:
            state += state_of(self._world, self.client) + waits_of(self._world)
        state.append(self._is_uncovered)
        state.append(evicted_at and eyes.since(evicted_at))
        return state + self._request.state(eyes)

    # --- the code that runs in turns -------------------------------------------------

    def _read(self) -> None:
        world, kind = self._world, self._kind
        floor, own = world.completed, world.own[self.client]
        record(floor, own)
        more = {"ConsistentRead": True} if kind.is_consistent else {}
        try:
            answer, is_hit = self._caller.call(
                world, self.client, kind.request, self._serve, **more
            )
        except (CancelledError, Refused, Interrupted, Throttled):
            return
        is_hit = is_hit or not self._is_item_asked
        if is_hit or self._is_asked_consistently:
            version = world.server.newest(kind.request, answer)
            world.judge_read(self.client, version, floor, own, is_hit=is_hit)

    def _serve(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Answer the read, as it was sent."""
        server = self._world.server
        self._is_asked_consistently = sent.get("ConsistentRead", False)
        asked: dict[str, Any] = sent.get("RequestItems", {"": {"Keys": [KEY]}})
        self._is_item_asked = any(KEY in each["Keys"] for each in asked.values())
        record(self._is_asked_consistently, self._is_item_asked)
        consistent = self._is_asked_consistently or self.client in self._world.newcomers

        def readable() -> list[Offer]:
            return (
                [
                    (f"the server reads version {version}", version)
                    for version in server.readable(
                        self._world.clock(), consistent=consistent
                    )
                ]
                + self._cuts()
                + refusals(self._world)
            )

        operation, _ = self._world.request(self._kind.request)
        self._note_sent()
        if self._kind.ending == "throttled":
            pause(lambda: [("the server throttles", "throttles")])
            raise Throttled
        version = pause(readable)
        if version == CUT:
            self._cut()
        if isinstance(version, str):
            self._world.faults -= 1
            raise Refused if version == "is refused" else Interrupted
        self._world.note_read()
        # A process that learns keys notes the time.
        if self._world.lends or FEATURE in self._world.features:
            record(Moment(self._world.clock()))
        return server.answer(operation, sent, version)

    def _write(self) -> None:
        world = self._world
        try:
            self._caller.call(
                world,
                self.client,
                self._kind.request,
                self._carry_out,
                **({"Item": self._item.image()} if self._kind.request == "put" else {}),
            )
        except Refused:
            pass
        except NoAnswer:
            began = self._actor.evicted_at  # for the second time, if it could
            self._request.sent_at = began or world.clock()  # its window begins anew
            self._is_uncovered = False
        except CancelledError:
            self._end_if_cut(is_last=True)
            return
        world.note_eviction()  # unless it could be done
        if self._request.version:
            world.complete(self.client, self._request.version)

    def _carry_out(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Answer the write as it was sent, or don't."""
        request = self._request
        request.sent_at = self._world.clock()
        self._note_sent()
        happens = pause(self._endings)
        self._world.begin_end()
        if happens == "refuses":
            request.sent_at = None
            raise Refused
        if happens in {"commits", "commits and is cut"}:
            self._commit()
        elif self._kind.ending != "refused":
            request.is_late = True
        if happens in {CUT, "commits and is cut"}:
            self._cut()
        if self._kind.ending == "unanswered":
            raise NoAnswer
        version, server = self._request.version, self._world.server
        images = {"ALL_NEW": version, "ALL_OLD": version - 1}
        wanted = images.get(sent.get("ReturnValues", ""))
        image = server.image(wanted) if wanted else {}
        return {"Attributes": image} if image else {}

    def _endings(self) -> list[Offer]:
        """Return how a write may end that was sent."""
        endings, cuts = _ENDINGS[self._kind.ending], self._cuts()
        if cuts and self._kind.ending != "refused":
            what = "the server commits, and it is cancelled"
            cuts.append((what, "commits and is cut"))
        return endings + cuts

    # --- a task ----------------------------------------------------------------------

    def _note_sent(self) -> None:
        if isinstance(self._actor, Task):
            self._actor.was_sent = True

    def _cuts(self) -> list[Offer]:
        return self._actor.cuts() if isinstance(self._actor, Task) else []

    def _cut(self) -> None:
        """Cancel its task where it is. Raises CancelledError."""
        assert isinstance(self._actor, Task)
        self._actor.cut()

    def _end_if_cut(self, *, is_last: bool = False) -> None:
        """Judge a write that was cut once nothing is under way for it.

        is_last: the task itself ends; else one of its threads.
        """
        task = self._actor
        assert isinstance(task, Task)
        is_cut = task.was_cut and (is_last or task.dead) and not task.is_waited_for
        if not is_cut or not self._kind.is_write:
            return
        world, request = self._world, self._request
        world.judge_end(task)
        if request.is_late or task.evicted_at is None:
            # Its window begins anew, as without an answer.
            request.sent_at = request.sent_at and (task.evicted_at or world.clock())
            self._is_uncovered = False
        world.note_eviction()  # unless it could be done
        if request.version:
            world.complete(self.client, request.version)

    # --- a write at the server -------------------------------------------------------

    def _commit(self) -> None:
        world, kind = self._world, self._kind
        item: Item | None = self._item
        if kind.request == "delete":
            item = None
        elif kind.request != "put":
            before = world.server.items[-1]
            group = kind.group or (before.group if before else None)
            item = Item(str(world.server.version + 1), group)
        self._request.version = world.server.commit(world.clock(), item)
        self._actor.version = self._request.version

    def _deadline(self) -> float:
        """Return when the hold-off of a write without a caller ends."""
        assert self._request.sent_at is not None
        since = max(self._request.sent_at, self._actor.evicted_at or 0.0)
        return since + SETTINGS.write_hold_off

    def _may_still_land(self) -> bool:
        if self.is_under_way and self._actor.evicted_at is None:
            return True
        is_in_time = self._world.clock() + SETTINGS.settle < self._deadline()
        return is_in_time and not self._has_no_cover()

    def _land(self) -> None:
        self._request.is_late = False
        self._commit()
        if not self.is_under_way:  # its caller is gone; the write counts from now on
            self._world.complete(self.client, self._request.version)


@dataclass(slots=True)
class _SentWrite:
    """A write's request, as DynamoDB has it.

    is_late: the server may still carry it out though its caller is gone.
    """

    sent_at: float | None = None
    version: int = 0
    is_late: bool = False

    def state(self, eyes: Eyes) -> list[Any]:
        if self.sent_at is None:
            return []
        return [eyes.since(self.sent_at), self.version, self.is_late]


def _begins() -> list[Offer]:
    return [("begins", "begins")]


_ENDINGS: dict[str, list[Offer]] = {
    "ok": [("the server commits", "commits")],
    "refused": [("the server refuses", "refuses")],
    "unanswered": [
        ("the server commits, and its answer is lost", "commits"),
        ("it is given up", "lost"),
    ],
}


class Surroundings:
    """What may happen besides: time passes, and one misfortune or the other."""

    def __init__(self, world: World, operations: list[Operation]) -> None:
        self._world = world
        self._operations = operations

    def choices(self) -> list[Choice]:
        """Return what may happen now; nothing once all operations are over."""
        if all(operation.is_over for operation in self._operations):
            return []
        world = self._world
        choices: list[Choice] = [
            (
                f"client {client} delivers what it has left to do",
                lambda client=client: world.deliver(client),  # type: ignore[misc]  # a default
            )
            for client in world.debtors()
        ]
        choices += [
            (f"what client {client} has sent arrives", wire.arrive)
            for client, wire in world.backend.under_way()
        ]
        choices += self._queues()
        choices += [
            ("the lease of a killed process ends", lambda key=key: self._end(key))  # type: ignore[misc]  # a default
            for key in world.desk.lost()
        ]
        if world.backend.is_full:
            choices.append(("the server has room again", world.backend.heal))
        if world.moves:
            choices += [
                (f"{seconds} s pass", lambda seconds=seconds: self._pass(seconds))  # type: ignore[misc]  # a default
                for seconds in MOMENTS
            ]
        if world.faults:
            choices += [
                (
                    f"the process of client {client} is killed",
                    lambda client=client: self._kill(client),  # type: ignore[misc]  # a default
                )
                for client in self._clients_under_way()
            ]
            choices.append(("all entries are lost", self._lose_entries))
            choices += self._misfortunes()
        return choices

    def _queues(self) -> list[Choice]:
        """What may happen to entries that are filled, and not written yet."""
        backend = self._world.backend
        if not isinstance(backend, QueuedBackend):
            return []
        queued = backend.queued()
        choices: list[Choice] = [
            (
                f"the queue of client {client} is written",
                lambda client=client: backend.write_queue(client),  # type: ignore[misc]  # a default
            )
            for client in queued
        ]
        if self._world.faults:
            choices += [
                (
                    f"the queue of client {client} is lost",
                    lambda client=client: self._lose_queue(backend, client),  # type: ignore[misc]  # a default
                )
                for client in queued
            ]
        return choices

    def _lose_queue(self, backend: QueuedBackend, client: int) -> None:
        self._world.faults -= 1
        backend.lose_queue(client)

    def _misfortunes(self) -> list[Choice]:
        backend = self._world.backend
        if not backend.is_remote:
            return [("all generations are lost", self._lose_generations)]
        return [
            (what, lambda what=what: self._befall(what))  # type: ignore[misc]  # a default
            for what in backend.misfortunes()
        ]

    def _befall(self, what: str) -> None:
        self._world.faults -= 1
        if self._world.befall(what):
            for operation in self._operations:
                operation.lose_cover()

    def _clients_under_way(self) -> list[int]:
        return sorted({o.client for o in self._operations if o.is_under_way})

    def _end(self, key: bytes) -> None:
        del self._world.desk.lent[key]

    def _pass(self, seconds: float) -> None:
        self._world.moves -= 1
        self._world.clock.advance(seconds)

    def _kill(self, client: int) -> None:
        self._world.faults -= 1
        # First: a call that is interrupted remembers its eviction. One that is killed
        # does not, and the end of its greenlet only looks like an interruption.
        self._world.lose_debts(client)
        for operation in self._operations:
            if operation.client == client and operation.is_under_way:
                operation.kill()
        backend = self._world.backend
        if isinstance(backend, QueuedBackend):  # what it has not written dies with it
            backend.lose_queue(client)
        self._world.restart(client)

    def _lose_entries(self) -> None:
        self._world.faults -= 1
        self._world.backend.lose_entries()

    def _lose_generations(self) -> None:
        self._world.faults -= 1
        self._world.lose_generations()
