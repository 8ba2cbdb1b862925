"""Coalescing with a fault: see mutations.py."""

from dataclasses import replace
from typing import Any

from botocache._cache import coalescing
from botocache._cache.entries import decode_header
from botocache._cache.flights import Flight, OpenFlight
from botocache._cache.reads import Reads
from botocache._cache.tickets import ReadTicket
from tests.explorer.mutations import Mutation, Patch, _replace
from tests.explorer.programs import Program

_serve_landed = Reads.serve_landed
_end = OpenFlight.end


class _Any(tuple[int, ...]):
    """Generations that equal all others."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    __hash__ = tuple.__hash__


class _TakenByAll(Flight):
    """A flight for which all readers of its key wait."""

    __slots__ = ()

    def __init__(self, key: bytes, snapshot: tuple[int, ...], *more: Any) -> None:
        super().__init__(key, _Any(snapshot), *more)


def _takes_what_it_is_given(reads: Reads, ticket: ReadTicket, entry: bytes) -> Any:
    """Serve an entry without comparing snapshots."""
    loaded = ticket.loaded._replace(snapshot=decode_header(entry).snapshot)
    return _serve_landed(reads, ticket._replace(loaded=loaded), entry)


def _without_a_look(patch: Any) -> None:
    patch.setattr(coalescing, "Flight", _TakenByAll)
    patch.setattr(Reads, "serve_landed", _takes_what_it_is_given)


def _both(*patches: Patch) -> Patch:
    def apply(patch: Any) -> None:
        for each in patches:
            each(patch)

    return apply


def _ends_answered_ones(flight: OpenFlight, *, answered: bool) -> None:
    """End the flights that were answered, and no others."""
    if answered:
        _end(flight, answered=True)


def _wakes_none(flight: OpenFlight, *, answered: bool) -> None:
    """End a flight, and let those who wait for it sleep."""
    flight.flight.wakers.clear()
    _end(flight, answered=answered)


def _wakes_one(flight: OpenFlight, *, answered: bool) -> None:
    """End a flight, and wake one of those who wait for it."""
    del flight.flight.wakers[1:]
    _end(flight, answered=answered)


TWO = Program(("get", "get"), (0, 0), 1, 0, warm=False, features=("coalesce",))
THREE = Program(("get",) * 3, (0,) * 3, 0, 0, warm=False, features=("coalesce",))

_BOTH_LOOK = ("client 0 get: load", "client 0 get: load")

WAITER_MUTATIONS = [
    Mutation(
        "a waiter that takes what it is given",
        _without_a_look,
        Program(
            ("get", "update", "get"),
            (0, 1, 0),
            faults=0,
            warm=False,
            features=("coalesce",),
        ),
        schedule=(
            "client 0 get: load",
            "client 0 get: the server reads version 1",
            "client 0 get: load",
            "client 1 update: evict",
            "client 1 update: evict",
            "client 1 update: the server commits",
            "client 1 update: evict",
            "client 1 update: load",
            "client 1 update: fill",
            "1.1 s pass",
            "client 0 get: load",
            "client 0 get: fill",
            "client 0 get: fill",
            "client 0 get: is woken",
        ),
    ),
    Mutation(
        "a flight that is never ended when its ticket is dropped",
        _replace(OpenFlight, "__del__", lambda _: None),
        TWO,
        schedule=(*_BOTH_LOOK, "client 0 get: is interrupted"),
    ),
    Mutation(
        "a flight that is never ended when its call fails",
        _both(
            _replace(OpenFlight, "__del__", lambda _: None),
            _replace(OpenFlight, "end", _ends_answered_ones),
        ),
        TWO,
        schedule=(*_BOTH_LOOK, "client 0 get: is refused"),
    ),
    Mutation(
        "waiters that are not woken",
        _replace(OpenFlight, "end", _wakes_none),
        replace(TWO, faults=0),
    ),
    Mutation(
        "waiters of whom one is woken", _replace(OpenFlight, "end", _wakes_one), THREE
    ),
]
