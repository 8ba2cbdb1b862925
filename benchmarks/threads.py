"""Near hits, misses and writes beside each other, in the threads of one process.

Threads of one process share the interpreter, and the kinds do not get equal shares. A
thread that computes keeps the interpreter for 5 ms. One that makes a system call or
waits for another thread gives it up, and among many that compute it may then wait for
the turns of all of them.

So a crowd is compared with an equal one whose misses and writes go without the cache,
and whose hits are the same. If the cache makes system calls, a third crowd goes without
it, too, and makes as many. What the first crowd is slower than that, it waits for other
threads of its kind. The work of a crowd is also compared with that of one thread: it
is less only if threads wait while nobody computes.
"""

import os
import sys
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
AS_OFTEN = "{} threads, only the hits cached, as many system calls"

SLICES = 100
"""Slices of a scale's time that a crowd runs for: a thread waits 5 ms for its turn."""

_OF_SYSTEM = ("posix", "fcntl")
"""Modules whose functions give up the interpreter, most of them."""

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

    def took(self, lone: Mapping[str, "Crowd"]) -> float:
        """Return the microseconds for what single threads do in a millisecond.

        lone: the same calls of each kind, made by one thread.
        """
        alone = sum(len(self.taken[kind]) * lone[kind].micros(kind) for kind in lone)
        return self.seconds * 1e6 / alone * 1e3

    def slowest(self, kind: str, share: float) -> float:
        """Return the microseconds that so large a share of calls stay below."""
        taken = sorted(self.taken[kind])
        return taken[min(int(len(taken) * share), len(taken) - 1)] * 1e6


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare each kind of call among others with the same alone, then its waits."""
    rounds, seconds = (scale.server_rounds + 1) // 2, scale.seconds * SLICES
    for store in (names.MEMORY, names.DISK):
        contenders = _contenders(places.stores()[store])
        alone: dict[str, list[Crowd]] = defaultdict(list)
        crowds: dict[str, list[Crowd]] = defaultdict(list)
        took: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            for name, calls in contenders.items():
                lone = {k: run_crowd({k: calls[k]}, 1, seconds) for k in KINDS}
                if name == CACHED:
                    for kind, crowd in lone.items():
                        alone[kind].append(crowd)
                for count in THREADS:
                    crowd = run_crowd(calls, count, seconds)
                    crowds[name.format(count)].append(crowd)
                    took[name.format(count)].append(crowd.took(lone))
        for kind in KINDS:
            yield _throughput(kind, store, alone[kind], crowds)
        yield _work(store, took)
        for count in THREADS:
            yield _waits(store, count, crowds)


def _contenders(settings: Mapping[str, Any]) -> dict[str, Calls]:
    """Return the calls of each crowd, by its name."""
    cached, bare = _calls(client(**settings)), _calls(client())
    mixed = {**bare, KINDS[0]: cached[KINDS[0]]}
    more = {
        kind: max(system_calls(cached[kind]) - system_calls(bare[kind]), 0)
        for kind in KINDS[1:]
    }
    contenders: dict[str, Calls] = {CACHED: cached, UNCACHED: mixed}
    if any(more.values()):
        contenders[AS_OFTEN] = {
            KINDS[0]: mixed[KINDS[0]],
            **{kind: _with_system_calls(bare[kind], more[kind]) for kind in more},
        }
    return contenders


def system_calls(call: Callable[[], object]) -> int:
    """Return how often a call gives up the interpreter for a call of the system.

    Some of them are SQLite's. The least of several: now and then there is more to do.
    """
    counts: list[int] = []

    def note(_frame: object, event: str, function: Any) -> None:
        if event == "c_call":
            owner = type(getattr(function, "__self__", None)).__module__
            if "sqlite3" in owner or function.__module__ in _OF_SYSTEM:
                counts[-1] += 1

    for _ in range(5):
        counts.append(0)
        sys.setprofile(note)
        try:
            call()
        finally:
            sys.setprofile(None)
    return min(counts)


def _with_system_calls(call: Callable[[], object], number: int) -> Callable[[], object]:
    """Return a call that makes so many cheap ones of the system, too."""

    def make_both() -> None:
        call()
        for _ in range(number):
            os.stat(__file__)  # noqa: PTH116 - Path.stat computes more

    return make_both


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
        "throughput inverted. A third of the threads make calls of each kind. Where "
        "the cache makes system calls, each of which gives up the interpreter, a third "
        "crowd makes as many without it. What is above that waits for other threads.",
    )


def _work(store: str, took: Mapping[str, list[float]]) -> Group:
    rounds = len(next(iter(took.values())))
    return Group(
        f"threads-work-{store}",
        f"Threads: the calls of all kinds together, {store}",
        ALONE,
        {ALONE: [1000.0] * rounds, **took},
        note="Wall-clock microseconds that a crowd needs for the calls that a single "
        "thread makes in a millisecond. Calls without the cache are compared with "
        "single ones without it. What is far above 1 would be waiting while no thread "
        "computes; a longer wait of one kind alone is another kind's turn.",
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
