"""Near hits, misses and writes beside each other, in the threads of one process.

Threads of one process share the interpreter: with three kinds of calls, each kind has a
third of it. So a crowd is compared with an equal one whose misses and writes go without
the cache, and whose hits are the same: what is more than that is waiting for a lock.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, TypeAlias

from benchmarks import names
from benchmarks.clients import client, getting, getting_new, updating
from benchmarks.measure import Group
from benchmarks.places import Places
from benchmarks.scale import Scale

KINDS = ("near hit", "miss", "update")
THREADS = (8, 32)
ALONE = "alone, 1 thread"
CACHED = "{} threads, all cached"
UNCACHED = "{} threads, only the hits cached"

SLICES = 100
"""Slices of a scale's time that a crowd runs for: a thread waits 5 ms for its turn."""

Calls: TypeAlias = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Crowd:
    """What the threads of one round did.

    seconds: that all of them ran.
    taken: seconds of each call, by kind.
    """

    seconds: float
    taken: Mapping[str, list[float]]

    def micros(self, kind: str) -> float:
        """Return the microseconds of the clock on the wall for a call of a kind."""
        return self.seconds / len(self.taken[kind]) * 1e6

    def slowest(self, kind: str, share: float) -> float:
        """Return the microseconds that so large a share of calls stay below."""
        taken = sorted(self.taken[kind])
        return taken[min(int(len(taken) * share), len(taken) - 1)] * 1e6


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare each kind of call among others with the same alone, then its waits."""
    rounds, seconds = (scale.server_rounds + 1) // 2, scale.seconds * SLICES
    for store in (names.MEMORY, names.DISK):
        settings = places.stores()[store]
        cached, bare = _calls(client(**settings)), _calls(client())
        mixed = {**bare, KINDS[0]: cached[KINDS[0]]}
        alone: dict[str, list[Crowd]] = defaultdict(list)
        crowds: dict[str, list[Crowd]] = defaultdict(list)
        for _ in range(rounds):
            for kind, call in cached.items():
                alone[kind].append(run_crowd({kind: call}, 1, seconds))
            for count in THREADS:
                for name, calls in ((CACHED, cached), (UNCACHED, mixed)):
                    crowd = run_crowd(calls, count, seconds)
                    crowds[name.format(count)].append(crowd)
        for kind in KINDS:
            yield _throughput(kind, store, alone[kind], crowds)
        for count in THREADS:
            yield _waits(store, count, crowds)


def _calls(made: Any) -> Calls:
    hit = getting(made)
    for _ in range(3):  # until it is remembered
        hit()
    return dict(zip(KINDS, (hit, getting_new(made), updating(made)), strict=True))


def _throughput(
    kind: str, store: str, alone: list[Crowd], crowds: Mapping[str, list[Crowd]]
) -> Group:
    times = {ALONE: [crowd.micros(kind) for crowd in alone]}
    for name, some in crowds.items():
        times[name] = [crowd.micros(kind) for crowd in some]
    return Group(
        f"threads-{kind.replace(' ', '-')}-{store}",
        f"Threads: {kind} beside the other kinds, {store}",
        ALONE,
        times,
        note="Wall-clock microseconds divided by all calls of this kind, so its "
        "throughput inverted. A third of the threads make calls of each kind.",
    )


def _waits(store: str, count: int, crowds: Mapping[str, list[Crowd]]) -> Group:
    base = "the longest hit, only the hits cached"
    shares = {"the longest hit": 1.0, "99 of 100 hits": 0.99}
    times = {
        f"{what}, {which}": [
            crowd.slowest(KINDS[0], share) for crowd in crowds[name.format(count)]
        ]
        for what, share in shares.items()
        for which, name in (("only the hits cached", UNCACHED), ("all cached", CACHED))
    }
    return Group(
        f"threads-waits-{count}-{store}",
        f"Threads: how long a near hit takes among {count} threads, {store}",
        base,
        times,
        note="The longest hit waits for the interpreter, which other threads have. A "
        "wait for a lock of a miss or a write would show as a ratio far above 1.",
    )


def run_crowd(calls: Calls, threads: int, seconds: float) -> Crowd:
    """Make calls of each kind in as many threads, for so long, at least one in each."""
    kinds = list(islice(cycle(calls), threads))
    ready = threading.Barrier(threads + 1)
    over = threading.Event()
    taken: list[list[float]] = [[] for _ in kinds]
    failures: list[BaseException] = []

    def work(call: Callable[[], object], own: list[float]) -> None:
        ready.wait()
        try:
            while not own or not over.is_set():
                begin = time.perf_counter()
                call()
                own.append(time.perf_counter() - begin)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    crowd = [
        threading.Thread(target=work, args=(calls[kind], own))
        for kind, own in zip(kinds, taken, strict=True)
    ]
    for thread in crowd:
        thread.start()
    ready.wait()
    begin = time.perf_counter()
    over.wait(seconds)
    over.set()
    for thread in crowd:
        thread.join()
    wall = time.perf_counter() - begin
    if failures:
        raise failures[0]
    by_kind: dict[str, list[float]] = defaultdict(list)
    for kind, own in zip(kinds, taken, strict=True):
        by_kind[kind] += own
    return Crowd(wall, by_kind)
