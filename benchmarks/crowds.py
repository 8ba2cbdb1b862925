"""Hits by many threads of one process, and by many processes that share a store.

Processes begin together, and each tells how long its own calls took. On memory each
has a store of its own, which is what sharing one is compared with.
"""

import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import names
from benchmarks.clients import Transport, asking, client, floor_client
from benchmarks.hits import always_hit
from benchmarks.measure import SLICES, Contender, Group, Times, time_rounds, timed
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import GET
from tests.support.processes import Peer, running_peers

THREADS = (1, 8)
HEAD_START = 0.02
"""Seconds from telling the processes to run until they do."""


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare crowds with one."""
    yield _threads(scale, places)
    yield _processes(scale, places)


def _rounds(scale: Scale, contenders: dict[str, Contender]) -> Times:
    """Run them uncut: a crowd takes a while to be one."""
    seconds = scale.seconds * SLICES
    rounds = max(scale.rounds // 2, 2)
    return time_rounds(contenders, rounds=rounds, seconds=seconds, slices=1)


# --- threads -----------------------------------------------------------------------


def _threads(scale: Scale, places: Places) -> Group:
    contenders = {}
    for count in THREADS:
        crowd = f"{count} thread{'s' * (count > 1)}"
        contenders[f"{names.HANDLER}, {crowd}"] = in_threads(
            timed(asking(floor_client(), GET)), count
        )
        for name, settings in places.stores().items():
            contenders[f"{name}, {crowd}"] = in_threads(_hit(settings), count)
    times = _rounds(scale, contenders)
    return Group(
        "threads",
        "Threads: GetItem hit, client, by the clock on the wall",
        f"{names.HANDLER}, 1 thread",
        times,
        note="Microseconds of the clock on the wall, divided by all calls of all "
        "threads: the throughput's inverse.",
    )


def _hit(settings: dict[str, Any]) -> Contender:
    transport = Transport(GET.answer)
    return always_hit(asking(client(transport, **settings), GET), transport)


def in_threads(contender: Contender, count: int) -> Contender:
    """Return the contender that shares its calls among threads."""

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
                peer.call(open_hit, name, settings)
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
        note="Microseconds of a call in each process; with more processes than cores "
        "they wait for each other.",
    )


def in_processes(name: str, peers: list[Peer]) -> Contender:
    """Return the contender whose calls are made by each of the processes at once."""

    def run(calls: int) -> float:
        begin = time.monotonic() + HEAD_START
        for peer in peers:
            peer.start(run_hit, name, begin, calls)
        seconds = [peer.result() for peer in peers]
        return float(sum(seconds) / len(seconds))

    return Contender(run)


_hits: dict[str, Contender] = {}
"""Of a process of the crowd, by store."""


def open_hit(name: str, settings: dict[str, Any]) -> None:
    """Make the client, in a process of the crowd."""
    _hits[name] = _hit(settings)


def run_hit(name: str, begin: float, calls: int) -> float:
    """Call so often, from a moment on; return the seconds it took."""
    time.sleep(max(begin - time.monotonic(), 0.0))  # real: all begin together
    return _hits[name].run(calls)
