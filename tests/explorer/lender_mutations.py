"""Leases, and stale answers of those who wait, with a fault: see mutations.py."""

import math
from collections.abc import Sequence
from typing import Any

from botocache._cache import coalescing, leases
from botocache._cache.entries import decode_header
from botocache._cache.leases import HeldLease, Leases
from botocache._cache.reads import Reads
from botocache._cache.stale import StaleAnswers
from botocache._cache.tickets import Hit, ReadTicket
from tests.explorer.mutations import Mutation, _replace
from tests.explorer.programs import Program, one_each
from tests.explorer.waiter_mutations import _both, _TakenByAll

_resume = Leases._resume
_look_again = Leases._look_again
_find = StaleAnswers.find


def _waits_on(
    of: Leases, ticket: ReadTicket, pauses: Sequence[float], until: float
) -> Any:
    """Wait for as long as another one has the lease."""
    del until
    return _resume(of, ticket, pauses or (0.1,), math.inf)


def _looks_under(of: Leases, lease: HeldLease, ticket: ReadTicket) -> Any:
    """Look under a lease, and keep it if the look fails."""
    lookup = _look_again(of, ticket)
    if isinstance(lookup, ReadTicket) and leases._may_be_filled(lookup):
        return leases.leased(lookup, lease)
    lease.end(ticket.store)
    return lookup


def _keeps_the_frames(_: Leases, ticket: ReadTicket, error: Exception) -> ReadTicket:
    """Let the store of a call keep the error with its frames."""
    del error
    return ticket


def _takes_what_it_is_given(reads: Reads, ticket: ReadTicket) -> Any:
    """Serve the entry that is there after a wait, whatever its snapshot."""
    prepared, store = ticket.prepared, ticket.store
    now, loaded = store.now(), store.load(prepared.key, prepared.tags)
    if loaded.entry is not None:
        loaded = loaded._replace(snapshot=decode_header(loaded.entry).snapshot)
    hit = reads._make_hit(prepared, prepared.key, loaded, now, 0.0)
    if hit is None:
        return reads._make_ticket(prepared, loaded, now, store), b""
    return hit, loaded.entry


def _gives_all_the_same(answers: StaleAnswers, ticket: Any) -> Hit | None:
    """Give every reader the stale answer that the first one got."""
    given: dict[bytes, Hit] = vars(answers).setdefault("given", {})
    key = ticket.prepared.key
    found = _find(answers, ticket)
    if found is not None:
        given.setdefault(key, found)
    return given.get(key)


_COLD_GET = one_each("get", faults=1, warm=False, features=("leases",))

LENDER_MUTATIONS = [
    Mutation(
        "a lease that is never given back",
        _both(
            _replace(HeldLease, "end", lambda *_, **__: None),
            _replace(HeldLease, "__del__", lambda _: None),
        ),
        _COLD_GET,
    ),
    Mutation(
        "a lease that is not given back when its ticket is dropped",
        _replace(HeldLease, "__del__", lambda _: None),
        _COLD_GET,
    ),
    Mutation(
        "a lease that a look keeps which fails",
        _both(
            _replace(Leases, "_look_under", _looks_under),
            _replace(Leases, "_without_lease", _keeps_the_frames),
        ),
        one_each("get", faults=1, warm=False, features=("late leases",)),
    ),
    Mutation(
        "a reader that waits for as long as another one has the lease",
        _replace(Leases, "_resume", _waits_on),
        one_each("get", "get", warm=False, features=("leases",)),
    ),
    Mutation(
        "a reader that waited for a lease and takes what it is given",
        _replace(Reads, "look_again", _takes_what_it_is_given),
        Program(
            ("get", "update", "get"), (0, 1, 2), 0, 1, warm=False, features=("leases",)
        ),
        schedule=(
            "client 0 get: load",
            "client 0 get: lease",
            "client 0 get: the server reads version 1",
            "client 1 update: evict",
            "client 1 update: evict",
            "client 1 update: the server commits",
            "client 1 update: evict",
            "client 1 update: load",
            "client 1 update: fill",
            "1.1 s pass",
            "client 2 get: load",
            "client 2 get: lease",
            "client 0 get: load",
            "client 0 get: fill",
            "client 2 get: looks again",
            "client 2 get: load",
        ),
    ),
    Mutation(
        "a stale answer for a reader whose look shows other generations",
        _both(
            _replace(coalescing, "Flight", _TakenByAll),
            _replace(StaleAnswers, "find", _gives_all_the_same),
        ),
        Program(
            ("throttled get", "update", "throttled get"),
            (0, 1, 0),
            faults=0,
            moves=2,
            features=("coalesce", "stale"),
        ),
        schedule=(
            "60.1 s pass",
            "client 0 throttled get: load",
            "client 1 update: evict",
            "client 1 update: the server commits",
            "client 1 update: evict",
            "client 1 update: load",
            "client 1 update: fill",
            "1.1 s pass",
            "client 0 throttled get: load",
            "client 0 throttled get: the server throttles",
            "client 0 throttled get: is woken",
        ),
    ),
]
