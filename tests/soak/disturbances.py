"""Disturbances of workers, and their schedule.

Kills come all the time; what is stopped goes on after a while; the store's directory
is removed while it is in use. What is done to a server: server_harms.py.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.soak.worker import Assignment
from tests.support.environment import ROOT
from tests.support.processes import TIMEOUT


class Kind(Enum):
    """What can be done."""

    KILL = "kills"
    STOP = "stops"
    CONTINUE = "continues"
    CLEAR = "clears"
    RESTART = "restarts of the server"
    FREEZE = "stops of the server"
    THAW = "continues of the server"
    PAUSE = "pauses"
    SLEEP = "sleeps"
    CUT = "cuts of all connections"
    FLUSH = "flushes"
    CROWD = "crowded servers"
    FILL_UP = "full servers"
    MAKE_ROOM = "ends of that"


class Disturbance(NamedTuple):
    """at: seconds after the beginning. slot: which worker, where it matters."""

    at: float
    kind: Kind
    slot: int = 0


def plan_disturbances(
    seconds: float, slots: int, random: Random, *, clears: bool = True
) -> list[Disturbance]:
    """Plan kills, and a stop and a clear for every 20 seconds."""
    planned: list[Disturbance] = []
    at = 0.0
    while (at := at + random.uniform(0.5, 3.0)) < seconds:
        planned.append(Disturbance(at, Kind.KILL, random.randrange(slots)))
    rounds = max(1, round(seconds / 20))
    for number in range(rounds):
        begin, end = (seconds * n / rounds for n in (number + 0.3, number + 0.8))
        stop, clear = random.uniform(begin, end), random.uniform(begin, end)
        slot = random.randrange(slots)
        planned += [
            Disturbance(stop, Kind.STOP, slot),
            Disturbance(stop + random.uniform(0.1, 2.0), Kind.CONTINUE, slot),
        ]
        planned += [Disturbance(clear, Kind.CLEAR)] * clears
    return sorted(planned, key=lambda planned: planned.at)


class Crew:
    """Workers, in slots: when one is killed another one takes its place.

    harm: does what is done to the store.
    with_tasks: whether the calls of every other worker are tasks.
    """

    def __init__(
        self,
        assignment: Assignment,
        slots: int,
        harm: Callable[[Kind], object],
        *,
        with_tasks: bool = False,
    ) -> None:
        self._assignment = assignment
        self._harm = harm
        self._with_tasks = with_tasks
        self._count = 0
        self._workers = list(map(self._start, range(slots)))

    def is_at_work(self) -> bool:
        """Return whether the worker of every slot has begun to call."""
        journals = Path(self._assignment.journals).glob("*.journal")
        return sum(path.stat().st_size > 0 for path in journals) >= len(self._workers)

    def end(self) -> None:
        """Let the workers finish. Fails unless all of them do."""
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)
            _close(worker)
        try:
            codes = [worker.wait(TIMEOUT) for worker in self._workers]
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()
        assert not any(codes), codes

    def disturb(self, disturbance: Disturbance) -> None:
        """Do it."""
        worker = self._workers[disturbance.slot]
        match disturbance.kind:
            case Kind.KILL:
                _kill(worker)
                self._workers[disturbance.slot] = self._start(disturbance.slot)
            case Kind.STOP:
                worker.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
            case Kind.CONTINUE:
                worker.send_signal(signal.SIGCONT)
            case kind:
                self._harm(kind)

    def _start(self, slot: int) -> subprocess.Popen[bytes]:
        self._count += 1
        assignment = replace(
            self._assignment,
            name=f"worker{self._count}",
            is_awaited=self._with_tasks and slot % 2 == 1,
        )
        return subprocess.Popen(
            [sys.executable, "-m", "tests.soak.worker", assignment.to_json()],
            cwd=ROOT,
            env=_without_coverage(os.environ),
            stdin=subprocess.PIPE,
        )


@contextlib.contextmanager
def running_crew(
    assignment: Assignment,
    slots: int,
    harm: Callable[[Kind], object],
    *,
    with_tasks: bool = False,
) -> Iterator[Crew]:
    """Let workers work for as long as the context lasts. None outlives it."""
    crew = Crew(assignment, slots, harm, with_tasks=with_tasks)
    try:
        yield crew
    finally:
        crew.end()


def _without_coverage(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables without coverage: killed processes could not write it."""
    return {k: v for k, v in environ.items() if not k.startswith("COV")}


def _kill(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait(TIMEOUT)
    _close(worker)


def _close(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin is not None
    worker.stdin.close()


def clear(directory: Path) -> None:
    """Remove all that is in a directory, which others go on to use meanwhile."""
    for path in directory.iterdir():
        # What a worker takes away first, or makes there again, does not keep the rest.
        shutil.rmtree(path, ignore_errors=True)
