"""Exploring for a given time, on all processors.

Programs are taken in the order of the tiers; what was not reached in time is said.
"""

import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import combinations_with_replacement
from typing import Any

from tests.explorer.explore import Explored, explore
from tests.explorer.programs import IMAGES, SOME_IMAGES, THROUGH, Program, programs
from tests.explorer.samples import sample_in_memory, sample_of_tasks, sample_on_redis
from tests.explorer.world import Violation

_ON_ONE_ITEM = ("get", "update", "refused update", "unanswered update")
"""Operations that differ in the protocol. Put and delete are like update once the key
attributes are known."""

_ALONE_OR_NOT = ("put", "update all new", "delete", "statement", "unanswered put")
"""Writes among which one that fills may not be alone."""

_RESTORING_OR_NOT = ("move", "put elsewhere", "move in old form", "unanswered move")
"""Writes with which a tag may be restored, or not."""

BATCH = 500
"""Random schedules in one piece of work."""

_SELDOM = 10
"""One in so many is run on a server, too, which takes ten times as long."""


def tiers() -> Iterator[tuple[str, list[Program]]]:
    """Yield the programs to explore, small ones first."""
    yield "two operations, a fault, warm", list(programs(2, moves=0))
    yield "two operations, time moves, warm", list(programs(2, faults=0))
    yield "two operations, cold", list(programs(2, faults=0, moves=0, warm=False))
    yield from _on_redis()
    for name, profile in (("writes that fill", THROUGH), ("images", IMAGES)):
        yield (
            f"two operations, {name}, a fault, two clients",
            [p for p in programs(2, profile=profile, moves=0) if p.clients == (0, 1)],
        )
        yield (
            f"two operations, {name}, time moves, two clients",
            [p for p in programs(2, profile=profile, faults=0) if p.clients == (0, 1)],
        )
    for profile in SOME_IMAGES:
        yield (
            f"two operations, {profile.features[0]}, two clients",
            [
                p
                for p in programs(2, profile=profile, faults=0, moves=0)
                if p.clients == (0, 1)
            ],
        )
    yield from _of_tasks()
    yield from _of_waiters()
    yield from _of_lenders()
    yield from _three_writers()
    three = [
        operations
        for operations in combinations_with_replacement(_ON_ONE_ITEM, 3)
        if set(operations) != {"get"}
    ]
    yield (
        "three on one item and a query, three clients",
        [Program((*o, "query"), (0, 1, 2, 0), faults=0, moves=0) for o in three],
    )
    yield (
        "three on one item, a fault, three clients",
        [Program(o, (0, 1, 2), moves=0) for o in three],
    )
    yield (
        "three on one item, a fault, two of them by one client",
        [Program(o, c, moves=0) for o in three for c in ((0, 0, 1), (0, 1, 1))],
    )
    yield (
        "three on one item and a query, a fault, three clients",
        [Program((*o, "query"), (0, 1, 2, 0), moves=0) for o in three],
    )
    yield "two operations, a fault, time moves", list(programs(2))
    yield "two operations, a fault, cold", list(programs(2, moves=0, warm=False))
    for name, profile in (("writes that fill", THROUGH), ("images", IMAGES)):
        yield (
            f"two operations, {name}, cold",
            list(programs(2, profile=profile, faults=0, moves=0, warm=False)),
        )


def _on_redis() -> Iterator[tuple[str, list[Program]]]:
    """Yield a server's commands, and what befalls the server."""
    pairs = [
        operations
        for operations in combinations_with_replacement(_ON_ONE_ITEM, 2)
        if operations[-1] != "get"
    ]
    for what, faults, moves, warm in (
        ("cold", 0, 0, False),
        ("time moves", 0, 1, True),
        ("a fault", 1, 0, True),
    ):
        yield (
            f"on Redis, two on one item, {what}, two clients",
            [Program(o, (0, 1), faults, moves, warm, shards=1) for o in pairs],
        )


def _of_tasks() -> Iterator[tuple[str, list[Program]]]:
    """Yield calls that are awaited, beside ordinary ones and beside each other."""
    pairs = [
        operations
        for operations in combinations_with_replacement(_ON_ONE_ITEM, 2)
        if operations[-1] != "get"
    ]
    mixed = [
        (f"async {one}" if is_first else one, other if is_first else f"async {other}")
        for one, other in pairs
        for is_first in (True, False)
    ]
    both = [(f"async {one}", f"async {other}") for one, other in pairs]
    for what, faults, moves, operations in (
        ("one of them awaited, a cut", 0, 0, mixed),
        ("both awaited, a cut", 0, 0, both),
        ("one of them awaited, a cut, time moves", 0, 1, mixed),
        ("one of them awaited, a cut, a fault", 1, 0, mixed),
    ):
        yield (
            f"two on one item, {what}",
            [
                Program(o, clients, faults, moves, cuts=1)
                for o in operations
                for clients in ((0, 0), (0, 1))
            ],
        )


def _of_waiters() -> Iterator[tuple[str, list[Program]]]:
    """Yield readers of one process that wait for one another."""
    for kind in ("get", "query", "index 1"):
        for what, operations, faults, moves in (
            ("a fault", (kind,) * 2, 1, 0),
            ("a fault, time moves", (kind,) * 2, 1, 1),
            ("two faults", (kind,) * 2, 2, 0),
            ("a fault, three of them", (kind,) * 3, 1, 0),
            ("a write", (kind, kind, "update"), 0, 0),
            ("a write, time moves", (kind, kind, "update"), 0, 1),
        ):
            clients = tuple([int(name == "update") for name in operations])
            yield (
                f"waiters, {kind}, {what}",
                [Program(operations, clients, faults, moves, False, ("coalesce",))],
            )


def _of_lenders() -> Iterator[tuple[str, list[Program]]]:
    """Yield readers that wait for the lease of another process."""
    for lease in ("leases", "late leases"):
        for what, operations, clients, faults, moves in (
            ("a fault", ("get",) * 2, (0, 1), 1, 0),
            ("time moves", ("get",) * 2, (0, 1), 0, 1),
            ("two of one process", ("get",) * 3, (0, 0, 1), 0, 0),
            ("a write", ("get", "get", "update"), (0, 1, 2), 0, 0),
            ("throttled", ("get", "throttled get", "update"), (0, 1, 2), 0, 0),
        ):
            features = ("coalesce", "stale", lease)
            yield (
                f"{lease}, {what}",
                [Program(operations, clients, faults, moves, False, features)],
            )


def _three_writers() -> Iterator[tuple[str, list[Program]]]:
    """Yield what needs a third operation: writers that are nested in one another."""
    for name, writes, profile in (
        ("writes that fill", _ALONE_OR_NOT, THROUGH),
        ("images", _RESTORING_OR_NOT, IMAGES),
    ):
        yield (
            f"three writers, {name}",
            [
                Program(o, (0, 1, 2), 0, 0, features=profile.features)
                for o in combinations_with_replacement(writes, 3)
            ],
        )
    for read in ("index 1", "index 2", "scan"):
        for profile in (IMAGES, *SOME_IMAGES):
            yield (
                f"two writers, {profile.features[0]}, and {read}",
                [
                    Program((read, *o), (0, 1, 2), 0, 0, features=profile.features)
                    for o in combinations_with_replacement(_RESTORING_OR_NOT, 2)
                ],
            )


def explore_one(program: Program) -> Explored | str:
    """Return the counts of the search, or the violation."""
    try:
        return explore(program)
    except Violation as violation:
        return f"{program}: {type(violation).__name__}: {violation}"


def sample_some(seed: int) -> Explored | str:
    """Run a batch of random schedules."""
    try:
        for number in range(BATCH):
            sample_in_memory(seed + number)
            sample_of_tasks(seed + number)
            if number % _SELDOM == 0:
                sample_on_redis(seed + number)
    except Violation as violation:
        return f"{type(violation).__name__}: {violation}"
    return Explored(schedules=2 * BATCH + BATCH // _SELDOM)


def run(
    pool: ProcessPoolExecutor,
    work: Callable[[Any], Explored | str],
    items: Iterable[Any],
    deadline: float,
) -> tuple[int, Explored]:
    """Do the work for one item after the other until the deadline.

    Return for how many, and what it came to. Exits at the first violation.
    """
    total, done = Explored(), 0
    waiting: set[Future[Explored | str]] = set()
    todo = iter(items)
    while True:
        while len(waiting) < 2 * (os.cpu_count() or 1) and time.monotonic() < deadline:
            item = next(todo, None)
            if item is None:
                break
            waiting.add(pool.submit(work, item))
        if not waiting:
            return done, total
        finished, waiting = wait(
            waiting, max(0.0, deadline - time.monotonic()), FIRST_COMPLETED
        )
        if not finished:  # time is over; what has begun is not counted
            for future in waiting:
                future.cancel()
            return done, total
        for future in finished:
            result = future.result()
            if isinstance(result, str):
                print(result)
                sys.stdout.flush()
                os._exit(1)
            total.add(result)
            done += 1


@contextmanager
def processes() -> Iterator[ProcessPoolExecutor]:
    """Yield as many processes as there are processors; they end with the context."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        pool = ProcessPoolExecutor(
            mp_context=context, initializer=_begin, initargs=(place,)
        )
        try:
            yield pool
        finally:
            started = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in started:  # they may be in the midst of a large program
                process.kill()


def _begin(place: str) -> None:
    tempfile.tempdir = place  # for their servers: a killed one leaves its directory
    logging.disable(logging.CRITICAL)  # failures are meant
