"""Readers that wait for the answer to another one's read, in turns.

Each actor is a reader of its own, as a thread or a task is. Its wait ends when it is
woken; or, as misfortunes, when its time is over, or when it is interrupted. Here no
time passes that coalescing would notice by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from greenlet import getcurrent

from botocache._cache import coalescing
from botocache._cache.cache import Cache
from botocache._cache.coalescing import Wait
from botocache._cache.leases import LeaseWait
from botocache._cache.tickets import Hit, ReadTicket, Ticket
from tests.explorer.backends import contents
from tests.explorer.turns import Offer, pause, record
from tests.explorer.world import World

FEATURE = "coalesce"


class Interrupted(BaseException):
    """What a killed greenlet or a signal raises."""


def landed(world: World, client: int, outcome: Hit | Ticket | None) -> Any:
    """Return what a read comes to that was looked up, having waited if it may."""
    if isinstance(outcome, ReadTicket) and FEATURE in world.features:
        outcome = _coalesced(world, client, outcome)
    cache = world.caches[client]
    if isinstance(outcome, ReadTicket) and cache.competes(outcome):
        return _leased(world, cache, outcome)
    return outcome


def _leased(world: World, cache: Cache, ticket: ReadTicket) -> Any:
    leases = cache.leases
    assert leases is not None
    outcome: Any = leases.join(ticket)
    while isinstance(outcome, LeaseWait):
        pause_for_lease(world)
        outcome = leases.resume(outcome)
    record(type(outcome).__name__)
    return cache.bypassed(ticket) if outcome is None else outcome


def pause_for_lease(world: World) -> None:
    """Pause until a reader that waits for a lease looks again."""

    def offers() -> list[Offer]:
        looks: list[Offer] = [("looks again", "looks again")]
        if world.faults:
            looks.append(("is interrupted", "is interrupted"))
        return looks

    if pause(offers) == "is interrupted":
        world.faults -= 1
        raise Interrupted


def _coalesced(world: World, client: int, outcome: ReadTicket) -> Any:
    readers = world.caches[client].coalescing
    with _no_time():
        joined: Any = readers.join(outcome, id(getcurrent()))
    while isinstance(joined, Wait):
        record("waits")
        _pause(world, joined)
        with _no_time():
            joined = readers.resume(joined)
    if isinstance(joined, ReadTicket):
        record("asks", bool(joined.flight))
    else:
        record("is served")
    return joined


@contextmanager
def _no_time() -> Iterator[None]:
    names = vars(coalescing)
    before = names["monotonic"]
    names["monotonic"] = _now
    try:
        yield
    finally:
        names["monotonic"] = before


def _now() -> float:
    return 0.0


def _pause(world: World, wait: Wait) -> None:
    woken: list[bool] = []

    def wake() -> None:
        woken.append(True)

    def offers() -> list[Offer]:
        if woken:
            return [("is woken", "is woken")]
        if not world.faults:
            return []
        over, interrupted = "its time is over", "is interrupted"
        return [(over, over), (interrupted, interrupted)]

    world.waits.append(wait)
    try:
        if wait.add(wake):
            how = pause(offers)
            if how != "is woken":
                world.faults -= 1
            if how == "is interrupted":
                raise Interrupted
    finally:
        wait.remove(wake)
        world.waits.remove(wait)


def refusals(world: World) -> list[Offer]:
    """Return how a read may end without an answer."""
    if not (FEATURE in world.features or world.lends) or not world.faults:
        return []
    return [("is refused", "is refused"), ("is interrupted", "is interrupted")]


def state_of(world: World, client: int) -> list[Any]:
    """Return what a client's process knows of flights, flat."""
    readers, eyes = world.caches[client].coalescing, world.eyes()
    state: list[Any] = []
    for flight in readers._open.values():
        state += ("flight", flight.key, *flight.snapshot, eyes.since(flight.began))
        state += (flight.is_awaited, flight.is_rejected, int(flight.state))
    for flight in readers._landed.values():
        entry = contents(flight.entry)
        state += ("landed", flight.key, *entry[0], eyes.since(entry[1]), entry[3])
    return [*state, "barren", *readers._barren]


def waits_of(world: World) -> list[Any]:
    """Return how far those who wait are, flat."""
    return [
        word
        for wait in world.waits
        for word in (
            *wait.flight.snapshot,
            int(wait.flight.state),
            wait.flight.is_rejected,
        )
    ]
