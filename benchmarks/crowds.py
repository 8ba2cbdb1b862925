"""Hits by many threads of one process, and by many processes that share a store.

Processes begin together, and each measures its own calls. With the memory store each
process has a store of its own: the base that a shared store is compared with.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import names
from benchmarks.clients import Transport, client, floor_client, reading
from benchmarks.hits import always_hit
from benchmarks.measure import SLICES, Contender, Group, Times, time_rounds, timed
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import GET
from tests.support.processes import Peer, running_peers

THREADS = (1, 8)
HEAD_START = 0.02
"""Seconds between the message to the processes and their first call."""


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare crowds with one."""
    yield _threads(scale, places)
    yield _processes(scale, places)


def _rounds(scale: Scale, contenders: dict[str, Contender]) -> Times:
    """Run them without slices: threads need a while until all of them run."""
    seconds = scale.seconds * SLICES
    rounds = max(scale.rounds // 2, 2)
    return time_rounds(contenders, rounds=rounds, seconds=seconds, slices=1)


# --- threads -----------------------------------------------------------------------


def _threads(scale: Scale, places: Places) -> Group:
    contenders = {}
    for count in THREADS:
        crowd = f"{count} thread{'s' * (count > 1)}"
        contenders[f"{names.HANDLER}, {crowd}"] = in_threads(
            timed(reading(floor_client(), GET)), count
        )
        for name, settings in places.stores().items():
            contenders[f"{name}, {crowd}"] = in_threads(_hit(settings), count)
    times = _rounds(scale, contenders)
    return Group(
        "threads",
        "Threads: GetItem hit, client, by wall clock",
        f"{names.HANDLER}, 1 thread",
        times,
        note="Wall-clock microseconds divided by the calls of all threads: the inverse "
        "of the throughput.",
    )


def _hit(settings: dict[str, Any]) -> Contender:
    transport = Transport(GET.answer)
    return always_hit(reading(client(transport, **settings), GET), transport)


def in_threads(contender: Contender, count: int) -> Contender:
    """Return a contender that divides its calls among threads."""

    def run(calls: int) -> float:
        each = -(-calls // count)
        barrier = threading.Barrier(count + 1)
        failures: list[BaseException] = []

        def work() -> None:
            barrier.wait()
            try:
                contender.run(each)
            except BaseException as error:  # noqa: BLE001 - raised below
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        barrier.wait()
        begin = time.perf_counter()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begin
        if failures:
            raise failures[0]
        return seconds * calls / (each * count)

    return Contender(run)


# --- processes ---------------------------------------------------------------------


def _processes(scale: Scale, places: Places) -> Group:
    contenders = {}
    with running_peers(max(scale.processes)) as peers:
        stores = places.stores()
        for peer in peers:
            for name, settings in stores.items():
                peer.call(open_contender, name, _hit, settings)
        for count in scale.processes:
            crowd = f"{count} process{'es' * (count > 1)}"
            for name in stores:
                contenders[f"{name}, {crowd}"] = in_processes(name, peers[:count])
        times = _rounds(scale, contenders)
    return Group(
        "processes",
        "Processes: GetItem hit, client, all of one store",
        f"{names.MEMORY}, 1 process",
        times,
        note="Microseconds of a call in each process. More processes than cores wait "
        "for each other.",
    )


def in_processes(name: str, peers: list[Peer]) -> Contender:
    """Return a contender that makes its calls in each of the processes at once."""

    def run(calls: int) -> float:
        begin = time.monotonic() + HEAD_START
        for peer in peers:
            peer.start(run_contender, name, begin, calls)
        seconds = [peer.result() for peer in peers]
        return float(sum(seconds) / len(seconds))

    return Contender(run)


_contenders: dict[str, Contender] = {}
"""In a process of the crowd."""


def open_contender(name: str, make: Callable[..., Contender], *arguments: Any) -> None:
    """Make a contender in a process of the crowd, where run_contender finds it."""
    _contenders[name] = make(*arguments)


def run_contender(name: str, begin: float, calls: int) -> float:
    """Make so many calls from a moment on; return the seconds they took."""
    time.sleep(max(begin - time.monotonic(), 0.0))  # real: all begin together
    return _contenders[name].run(calls)
