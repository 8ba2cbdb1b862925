"""An application whose store on disk is attacked: here, or in another process.

Its clock moves only when it is told to.
"""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import botocache
from botocache.stores.disk.store import DiskStore
from tests.integration.app import delete, get, put, query, set_n
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB

SECRET = "hidden"
"""Stands in the key of the item and in the credentials; no line may have it."""


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class _Running(NamedTuple):
    client: Any
    store: DiskStore
    clock: FakeClock
    log: _Lines


class Application(NamedTuple):
    """One item of a table, behind a cache in a directory.

    name: tells two in one process apart. since_boot: what its clock says at first.
    """

    url: str
    root: Path
    table: str
    name: str = ""
    since_boot: float = 10_000.0

    def read(self) -> set[int]:
        """Return the numbers that the item has in every kind of read, asked twice.

        An item that there is not has 0.
        """
        client = self._running().client
        found = set()
        for _ in range(2):
            item = get(client, self.table, pk=SECRET)
            (queried,) = query(client, self.table, pk=SECRET) or (None,)
            found |= {int(each["n"]) if each else 0 for each in (item, queried)}
        return found

    def update(self, n: int) -> None:
        set_n(self._running().client, self.table, n, pk=SECRET)

    def put(self, n: int) -> None:
        put(self._running().client, self.table, pk=SECRET, n=n)

    def delete(self) -> None:
        delete(self._running().client, self.table, pk=SECRET)

    def advance(self, seconds: float) -> None:
        """Let time pass, or step back."""
        self._running().clock.advance(seconds)

    def lines(self) -> list[str]:
        """Return what was logged since it was asked last."""
        log = self._running().log
        lines, log.lines = log.lines, []
        return lines

    def close(self) -> None:
        """Close what is open; the next call opens it again."""
        self._running().store.close()

    def end(self) -> None:
        """End. The next call starts anew, and sees the same clock."""
        running = _running.pop(self, None)
        if running is not None:
            running.store.close()
            logging.getLogger("botocache").removeHandler(running.log)

    def _running(self) -> _Running:
        if self not in _running:
            server = DynamoDB(self.url)
            session = server.session(f"AKIA{SECRET}")
            clock = _clocks.setdefault(self, FakeClock(self.since_boot))
            store = DiskStore(self.root, clock=clock)
            botocache.install(session, url=store)
            log = _Lines()
            logging.getLogger("botocache").addHandler(log)
            _running[self] = _Running(server.client(session), store, clock, log)
        return _running[self]


_running: dict[Application, _Running] = {}
_clocks: dict[Application, FakeClock] = {}
