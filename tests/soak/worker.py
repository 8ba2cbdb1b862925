"""A program with threads that make calls until its standard input ends.

Its argument is an Assignment, as JSON. It is there to be killed.
"""

import ctypes
import json
import logging
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from botocore.config import Config

import botocache
from tests.soak.caller import Caller, Freshness, Surroundings
from tests.soak.calls import Tables
from tests.soak.journal import Journal
from tests.soak.mutants import MUTANTS
from tests.support.dynamodb import DynamoDB

_PAUSE = 0.003
"""Seconds, at most, between two calls of a thread."""


LEASES = 0.7
"""The share of workers that take leases; all wait for reads of their own process."""

NEAR = 0.7
"""The share of workers that have the near cache."""

SHORT_TTL = 1.0
"""Seconds of half of the workers, whose entries can be stale. Others share them."""

STALE = 2.0
"""Seconds beyond their TTL for which entries may answer in the place of a refusal."""

_PR_SET_PDEATHSIG = 1
"""Of Linux's prctl.h."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The assignment of a worker.

    name: no two workers share one. url: of DynamoDB. store: its URL. journals: where
    they are. mutant: the rule that the cache lacks, if any. is_awaited: whether its
    calls are tasks of an event loop.
    """

    name: str
    seed: int
    url: str
    tables: list[str]
    store: str
    journals: str
    settle: float
    write_hold_off: float
    ttl: float
    mutant: str = ""
    threads: int = 3
    is_awaited: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def own_ttl(self) -> float:
        """The TTL that it has itself."""
        is_short = Random(f"{self.name} ttl").random() < 0.5
        return min(self.ttl, SHORT_TTL) if is_short else self.ttl

    def journal(self) -> Journal:
        return Journal(Path(self.journals, f"{self.name}.journal"))

    def install(self) -> botocache.Cache:
        return botocache.install(
            url=self.store,
            ttl=self.own_ttl,
            negative_ttl=min(self.own_ttl, 5.0),
            miss_leases=Random(f"{self.name} leases").random() < LEASES,
            stale_if_throttled=STALE,
            settle=self.settle,
            write_hold_off=self.write_hold_off,
            precise_index_eviction=Random(self.name).random()
            < 0.5,  # both kinds share a store
            stats_interval=1.0,  # workers are killed every few seconds
            near="on" if Random(f"{self.name} near").random() < NEAR else "off",
        )


class WarningsTo(logging.Handler):
    """Writes down what botocache warns of."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        # As FailureLog writes it: first the kind, last the error's type and text.
        match record.args:
            case (event, _, *_, error, _):
                self._journal.warning(str(event), str(error))
            case _:
                self._journal.warning("?", record.getMessage())


def work(assignment: Assignment, end: threading.Event) -> None:
    """Make calls until the end."""
    journal = assignment.journal()
    logging.getLogger("botocache").addHandler(WarningsTo(journal))
    if assignment.mutant:
        MUTANTS[assignment.mutant]()
    cache = assignment.install()
    tables = Tables(*assignment.tables)

    def surroundings(client: Any) -> Surroundings:
        return Surroundings(
            client,
            tables,
            journal,
            lambda: cache.stats().undelivered,
            Freshness(assignment.own_ttl, STALE),
        )

    if assignment.is_awaited:
        from tests.soak import tasks

        tasks.make_calls(
            assignment.url, assignment.name, assignment.seed, surroundings, end
        )
        return
    pool = Config(max_pool_connections=assignment.threads)
    around = surroundings(DynamoDB(assignment.url).client(config=pool))

    def make_calls(number: int) -> None:
        name = f"{assignment.name}/{number}"
        random = Random(f"{assignment.seed}/{name}")
        caller = Caller(name, random, around)
        while not end.wait(random.uniform(0.0, _PAUSE)):
            caller.call()

    threads = [
        threading.Thread(target=make_calls, args=(number,))
        for number in range(assignment.threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _die_with_parent() -> None:
    """Be killed when the soak is; a stopped worker would outlive it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Be a worker."""
    _die_with_parent()
    end = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        end.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    work(Assignment(**json.loads(sys.argv[1])), end)


if __name__ == "__main__":
    main()
