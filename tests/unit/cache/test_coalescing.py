"""Reads that miss the same entry at the same time send one request.

Most readers here are tasks of one thread: `join` and `resume` wait for nothing.
"""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from botocache import Cache
from botocache._cache import coalescing, flights
from botocache._cache.coalescing import Wait
from botocache._cache.modes import refresh
from botocache._cache.tickets import AuditTicket, Hit, ReadTicket
from botocache._settings.encryption_keys import EncryptionKeys
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore
from tests.support import calls
from tests.support.clock import FakeClock
from tests.support.keys import key
from tests.support.processes import TIMEOUT, eventually

KEY = {"pk": {"S": "a"}}
ASKED = {"TableName": "t", "Key": KEY}
ITEM = {**KEY, "tags": {"L": [{"S": "x"}]}}
ANSWER = {"Item": ITEM}
UPDATE = {"TableName": "t", "Key": KEY, "UpdateExpression": "REMOVE x"}

Joined = Hit | AuditTicket | ReadTicket | Wait


class Monotonic:
    """A clock for the waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    made = Monotonic()
    for module in (coalescing, flights):
        monkeypatch.setattr(module, "monotonic", made)
    return made


class World:
    """A cache, and readers of it."""

    def __init__(self, clock: FakeClock, **settings: Any) -> None:
        self.clock = clock
        self.store = MemoryStore(clock=clock)
        self.cache = Cache(self.store, replace(Settings(), **settings))

    def look(self, **more: Any) -> ReadTicket:
        """Look for the item in the store, in vain."""
        ticket = calls.begin(self.cache, "GetItem", {**ASKED, **more})
        assert isinstance(ticket, ReadTicket)
        return ticket

    def join(self, task: int, ticket: ReadTicket | None = None) -> ReadTicket | Wait:
        """Return what a task is told: to ask, or to wait."""
        return self.cache.coalescing.join(ticket or self.look(), task)

    def ask(self, task: int = 1) -> ReadTicket:
        """Return the ticket of a task that asks for all."""
        ticket = self.join(task)
        assert isinstance(ticket, ReadTicket)
        assert ticket.flight
        return ticket

    def wait(self, task: int) -> Wait:
        """Return the wait of a task."""
        wait = self.join(task)
        assert isinstance(wait, Wait)
        return wait

    def resume(self, wait: Wait) -> Joined:
        """Return what a task is told that has waited."""
        return self.cache.coalescing.resume(wait)

    def finish(self, ticket: Any, answer: Any = None, **more: Any) -> None:
        """Let DynamoDB answer a call."""
        given = {"succeeded": True, "certain": True, **more}
        self.cache.finish(ticket, dict(answer or ANSWER), **given)

    def write(self) -> None:
        """Write the item, and let all hold-offs pass."""
        self.finish(calls.begin(self.cache, "UpdateItem", UPDATE), {"none": {}})
        self.clock.advance(6.0)


@pytest.fixture
def world(clock: FakeClock) -> Iterator[World]:
    made = World(clock)
    yield made
    made.cache.close()


def alone(joined: Joined) -> bool:
    """Return whether a reader asks, and nobody waits for it."""
    return isinstance(joined, ReadTicket) and joined.flight is False


# --- who waits, and what becomes of it -----------------------------------------------


def test_who_waits_gets_the_answer_to_the_other_one_in_objects_of_its_own(
    world: World,
) -> None:
    ticket = world.ask()
    waits = [world.wait(task) for task in (2, 3)]
    woken: list[int] = []
    assert all(w.add(lambda w=w: woken.append(w.task)) for w in waits)  # type: ignore[misc]
    world.clock.advance(2.0)
    world.finish(ticket)
    assert sorted(woken) == [2, 3]
    first, second = (world.resume(wait) for wait in waits)
    assert isinstance(first, Hit)
    assert isinstance(second, Hit)
    assert first.answer == second.answer == ANSWER
    first.answer["Item"]["tags"]["L"].append({"S": "mine"})
    assert second.answer == ANSWER
    stats = world.cache.stats()
    assert (stats.hits, stats.misses, stats.fills) == (2, 1, 1)
    assert [each.coalesced for each in stats.tables] == [2]
    assert len(world.cache.coalescing) == 0


def test_who_was_answered_by_waiting_counts_no_capacity(world: World) -> None:
    asked = {"ReturnConsumedCapacity": "TOTAL"}
    ticket = world.join(1, world.look(**asked))
    wait = world.join(2, world.look(**asked))
    assert isinstance(wait, Wait)
    capacity = {"TableName": "t", "CapacityUnits": 0.5}
    world.finish(ticket, {**ANSWER, "ConsumedCapacity": capacity})
    hit = world.resume(wait)
    assert isinstance(hit, Hit)
    assert hit.answer["ConsumedCapacity"]["CapacityUnits"] == 0.0


def test_a_call_within_a_call_does_not_wait(world: World) -> None:
    ticket = world.ask(1)
    assert alone(world.join(1))  # of the same task
    assert alone(world.join(0))  # of its thread, which would hold up its loop
    world.finish(ticket)

    world.write()
    ticket = world.ask(0)
    assert alone(world.join(0))
    assert alone(world.join(1))  # of a loop that a call in this thread has begun
    world.finish(ticket)


def test_other_keys_and_other_projections_do_not_wait(world: World) -> None:
    ticket = world.ask()
    projection = world.join(2, world.look(ProjectionExpression="tags"))
    assert isinstance(projection, ReadTicket)
    assert projection.flight
    other = world.join(3, world.look(Key={"pk": {"S": "b"}}))
    assert isinstance(other, ReadTicket)
    assert other.flight
    assert len(world.cache.coalescing) == len([ticket, projection, other])


def test_entries_that_are_encrypted_are_given_as_well(clock: FakeClock) -> None:
    world = World(clock, encryption_keys=EncryptionKeys((key(1),)))
    ticket, wait = world.ask(), world.wait(2)
    world.finish(ticket)
    hit = world.resume(wait)
    assert isinstance(hit, Hit)
    assert hit.answer == ANSWER


# --- the law -------------------------------------------------------------------------


def test_who_looks_after_a_write_takes_nothing_from_before_it(world: World) -> None:
    ticket = world.ask()
    world.write()
    later = world.ask(2)  # it asks, and those who look from now on wait for it
    wait = world.wait(3)
    world.finish(ticket, {"Item": {**ITEM, "old": {"BOOL": True}}})
    assert not wait.is_over
    world.finish(later)
    hit = world.resume(wait)
    assert isinstance(hit, Hit)
    assert hit.answer == ANSWER


def test_who_looked_before_a_write_neither_waits_nor_is_waited_for(
    world: World,
) -> None:
    early = world.look()
    world.write()
    ticket = world.ask()
    assert alone(world.join(2, early))
    assert isinstance(world.join(3), Wait)
    world.finish(ticket)


def test_an_entry_is_compared_again_before_it_is_served(world: World) -> None:
    ticket, wait = world.ask(), world.wait(2)
    world.finish(ticket)
    other = tuple(each + 1 for each in wait.ticket.loaded.snapshot)
    wait.ticket = wait.ticket._replace(
        loaded=wait.ticket.loaded._replace(snapshot=other)
    )
    assert alone(world.resume(wait))


def test_a_wait_that_outlasts_the_ttl_is_answered(clock: FakeClock) -> None:
    world = World(clock, ttl=0.1)
    ticket, wait = world.ask(), world.wait(2)
    clock.advance(0.2)
    world.finish(ticket)
    assert isinstance(world.resume(wait), Hit)


def test_an_entry_that_was_over_at_the_look_is_not_served(clock: FakeClock) -> None:
    world = World(clock, ttl=0.1)
    ticket = world.ask()
    clock.advance(0.2)
    wait = world.wait(2)
    world.finish(ticket)
    assert alone(world.resume(wait))


def test_a_strongly_consistent_read_neither_waits_nor_is_waited_for(
    world: World,
) -> None:
    assert alone(world.join(1, world.look(ConsistentRead=True)))
    ticket = world.ask(2)
    assert alone(world.join(3, world.look(ConsistentRead=True)))
    world.finish(ticket)


def test_a_read_whose_answer_may_not_be_filled_is_not_waited_for(world: World) -> None:
    write = calls.begin(world.cache, "UpdateItem", UPDATE)
    assert alone(world.join(1))
    assert len(world.cache.coalescing) == 0
    world.finish(write, {"none": {}})


def test_a_refresh_neither_waits_nor_is_waited_for(world: World) -> None:
    ticket = world.ask()
    with refresh():
        assert alone(world.join(2))
    world.finish(ticket)


def test_a_reader_that_was_refused_asks_for_itself(world: World) -> None:
    ticket, wait = world.ask(), world.wait(2)
    refused = world.look(Key={"pk": {"S": "b"}})
    world.cache.refuse(refused, {"Error": {"Code": "AccessDeniedException"}})
    world.finish(ticket)
    world.cache.refuse(refused, {"Error": {"Code": "AccessDeniedException"}})
    assert alone(world.resume(wait))
    assert alone(world.join(3))


@pytest.mark.parametrize(
    "settings",
    [
        {"coalesce": False},
        {"shadow": True},
    ],
    ids=str,
)
def test_with_some_settings_no_reader_waits(
    settings: dict[str, Any], clock: FakeClock
) -> None:
    world = World(clock, **settings)
    ticket = calls.begin(world.cache, "GetItem", ASKED)
    if isinstance(ticket, ReadTicket):
        assert alone(world.join(1, ticket))
    assert len(world.cache.coalescing) == 0


def test_an_audit_is_of_waiters_as_of_other_hits(clock: FakeClock) -> None:
    world = World(clock, audit=1.0)
    ticket, wait = world.ask(), world.wait(2)
    world.finish(ticket)
    audit = world.resume(wait)
    assert isinstance(audit, AuditTicket)
    world.finish(audit)
    assert [each.compared for each in world.cache.stats().tables] == [1]
    assert [each.coalesced for each in world.cache.stats().tables] == [0]


# --- how else a flight ends ----------------------------------------------------------


def _refused(world: World, ticket: ReadTicket) -> None:
    world.finish(ticket, {"Error": {"Code": "x"}}, succeeded=False)


def _foreign(world: World, ticket: ReadTicket) -> None:
    world.finish(ticket, succeeded=False, unfilled="foreign")


def _unanswered(world: World, ticket: ReadTicket) -> None:
    world.cache.fail(ticket)


def _dropped(_world: World, _ticket: ReadTicket) -> None:
    """Leave it to the end of the ticket."""


@pytest.mark.parametrize("end", [_refused, _foreign, _unanswered, _dropped])
def test_if_a_flight_fails_one_of_those_who_waited_asks(
    end: Callable[[World, ReadTicket], None], world: World
) -> None:
    ticket = world.ask()
    waits = [world.wait(task) for task in (2, 3, 4)]
    woken: list[int] = []
    for wait in waits:
        wait.add(lambda: woken.append(1))
    end(world, ticket)
    del ticket
    assert len(woken) == len(waits)
    asking, *waiting = [world.resume(wait) for wait in waits]
    assert isinstance(asking, ReadTicket)
    assert asking.flight
    assert all(isinstance(each, Wait) for each in waiting)
    world.finish(asking)
    for each in waiting:
        assert isinstance(each, Wait)
        assert isinstance(world.resume(each), Hit)
    assert len(world.cache.coalescing) == 0


def test_if_nothing_could_be_filled_all_ask_and_for_a_while_no_reader_waits(
    clock: FakeClock, monotonic: Monotonic
) -> None:
    world = World(clock, negative_ttl=0.0)
    ticket = world.ask()
    waits = [world.wait(task) for task in (2, 3)]
    world.finish(ticket, {"ResponseMetadata": {}})
    assert all(alone(world.resume(wait)) for wait in waits)
    assert alone(world.join(4))
    monotonic.now += coalescing.BARREN_SECONDS
    assert world.ask(5).flight


def test_of_keys_that_are_not_filled_a_bounded_number_is_known(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "MOST_BARREN", 2)
    world = World(clock, negative_ttl=0.0)
    for pk in "abcde":
        asked = {"Key": {"pk": {"S": pk}}}
        ticket = world.join(1, world.look(**asked))
        wait = world.join(2, world.look(**asked))
        assert isinstance(wait, Wait)
        wait.add(int)
        world.finish(ticket, {"ResponseMetadata": {}})
    assert len(world.cache.coalescing._barren) <= 2


def test_a_wait_is_over_in_time_and_later_readers_wait_for_who_asks_then(
    world: World, monotonic: Monotonic
) -> None:
    hanging = world.ask()
    early, late = world.wait(2), world.wait(3)
    assert early.seconds == coalescing.PATIENCE
    monotonic.now += coalescing.PATIENCE
    assert early.seconds == 0.0
    asking = world.resume(early)
    assert isinstance(asking, ReadTicket)
    assert asking.flight
    assert alone(world.resume(late))  # it has waited long enough
    wait = world.wait(4)
    world.finish(hanging)  # at last: it ends no other flight
    assert not wait.is_over
    world.finish(asking)
    assert isinstance(world.resume(wait), Hit)


def test_all_waits_of_a_reader_together_have_a_bound(
    world: World, monotonic: Monotonic
) -> None:
    ticket: Any = world.ask()
    waits: list[Any] = [world.wait(task) for task in range(2, 9)]
    asked = 1
    while waits:
        monotonic.now += coalescing.PATIENCE / 2
        world.cache.fail(ticket)
        ticket, *waits = [world.resume(wait) for wait in waits]
        assert isinstance(ticket, ReadTicket)
        waits = [each for each in waits if isinstance(each, Wait)]
        asked += 1
    assert asked == 3


def test_while_a_table_is_braked_a_wait_is_longer(
    world: World, monotonic: Monotonic
) -> None:
    world.cache.services.brakes.brake("t", world.cache.services.store.now())
    ticket, wait = world.ask(), world.wait(2)
    assert wait.seconds == coalescing.BRAKED_PATIENCE
    monotonic.now += coalescing.PATIENCE
    assert world.wait(3).seconds == coalescing.BRAKED_PATIENCE
    world.finish(ticket)


def test_who_looked_before_a_flight_landed_may_come_afterwards(
    world: World, monotonic: Monotonic
) -> None:
    late, later = world.look(), world.look()
    ticket, wait = world.ask(), world.wait(2)
    wait.add(int)
    world.finish(ticket)
    joined = world.join(3, late)
    assert isinstance(joined, Wait)
    assert joined.is_over
    assert isinstance(world.resume(joined), Hit)
    monotonic.now += coalescing.PATIENCE
    assert isinstance(world.join(4, later), ReadTicket)


def test_what_has_landed_is_kept_in_small_numbers_and_small_sizes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "MOST_LANDED", 3)
    monkeypatch.setattr(coalescing, "LARGEST_LANDED", 400)
    sizes = dict.fromkeys("abcde", 10) | {"large": 1000}
    for pk, size in sizes.items():
        asked: dict[str, Any] = {"Key": {"pk": {"S": pk}}}
        ticket = world.join(1, world.look(**asked))
        wait = world.join(2, world.look(**asked))
        assert isinstance(wait, Wait)
        wait.add(int)
        world.finish(ticket, {"Item": {**asked["Key"], "n": {"S": "x" * size}}})
    landed = world.cache.coalescing._landed.values()
    assert len(landed) == 3
    assert all(len(flight.entry) <= 400 for flight in landed)


def test_flights_have_a_bound_in_number(
    world: World, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "MOST_FLIGHTS", 2)
    asked = [{"Key": {"pk": {"S": pk}}} for pk in "abcd"]
    held = [world.join(1, world.look(**each)) for each in asked]
    assert [alone(each) for each in held] == [False, False, True, True]
    assert len(world.cache.coalescing) == 2
    monotonic.now += coalescing.BRAKED_PATIENCE  # what is so old is of no use
    held.append(world.join(1, world.look(**asked[3])))
    assert not alone(held[-1])
    assert len(world.cache.coalescing) == 2


def test_a_loop_that_was_closed_keeps_no_other_from_being_woken(world: World) -> None:
    def closed() -> None:
        raise RuntimeError("Event loop is closed")

    ticket = world.ask()
    waits = [world.wait(task) for task in (2, 3, 4)]
    woken: list[bool] = []
    for wait in waits:
        wait.add(closed if wait is waits[1] else lambda: woken.append(True))
    world.finish(ticket)
    assert len(woken) == 2


def test_what_fails_in_here_fails_no_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, wait = world.ask(), world.wait(2)
    world.finish(ticket)
    monkeypatch.setattr(coalescing, "monotonic", None)
    monkeypatch.setattr(world.cache.coalescing, "_serve", None)
    assert alone(world.resume(wait))
    world.cache.clear()
    assert alone(world.join(3))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork is what is tested")
def test_a_forked_child_waits_for_no_thread_of_its_parent(world: World) -> None:
    ticket, wait = world.ask(), world.wait(2)
    woken: list[bool] = []
    wait.add(lambda: woken.append(True))
    child = os.fork()
    if not child:  # pragma: no cover - in another process
        try:
            asks = isinstance(world.join(3), ReadTicket)
            world.finish(ticket)
            os._exit(0 if asks and not woken else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    world.finish(ticket)
    assert woken


# --- threads -------------------------------------------------------------------------


class Reader(threading.Thread):
    """A thread that reads the item, and waits if it may."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.outcome: Joined | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self.world.cache.coalescing.wait(self.world.look())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error


def _awaiting(ticket: ReadTicket) -> int:
    assert ticket.flight
    return len(ticket.flight.flight.wakers)


def test_threads_wait_until_the_answer_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "PATIENCE", float(TIMEOUT))
    ticket = world.ask(0)
    readers = [Reader(world) for _ in range(5)]
    eventually(lambda: _awaiting(ticket) == len(readers))
    world.finish(ticket)
    for reader in readers:
        reader.join(TIMEOUT)
        assert isinstance(reader.outcome, Hit)
    assert _awaiting(ticket) == 0


def test_threads_wait_in_time_only_and_leave_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "PATIENCE", 0.01)
    ticket = world.ask(0)
    reader = Reader(world)
    reader.join(TIMEOUT)
    assert isinstance(reader.outcome, ReadTicket)
    assert _awaiting(ticket) == 0
    world.finish(ticket)


class Interrupted(BaseException):
    """What a killed greenlet, or a signal, raises."""


def test_an_interruption_of_a_wait_gets_through_and_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As gevent does it: a lock of its own, in which the greenlet is killed."""

    class Replaced:
        def acquire(self, timeout: float | None = None) -> None:
            if timeout is not None:
                raise Interrupted

        def release(self) -> None:
            """Wake no thread."""

    ticket = world.ask(0)
    monkeypatch.setattr(threading, "get_ident", lambda: -1)
    monkeypatch.setattr(threading, "Lock", Replaced)
    with pytest.raises(Interrupted):
        world.cache.coalescing.wait(world.look())
    assert _awaiting(ticket) == 0
    world.finish(ticket)


def test_a_flight_that_hangs_in_a_cycle_ends_when_that_is_collected(
    world: World,
) -> None:
    cycle: list[Any] = [world.ask()]
    cycle.append(cycle)
    wait = world.wait(2)
    del cycle
    gc.collect()
    assert wait.is_over
    assert isinstance(world.resume(wait), ReadTicket)
