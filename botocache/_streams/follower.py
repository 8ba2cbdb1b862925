"""The loop of a follower: read what is due, evict it, keep the ledger. See Follower.

Requests of several shards run side by side in threads of their own, because each waits
for DynamoDB. What they have read is evicted together: one round trip evicts the changes
of many shards.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from botocache._counting.stats import StreamStats
from botocache._errors import pass_on, shows
from botocache._log import text_of
from botocache._streams.shard_reader import ShardReader
from botocache._streams.source import StreamError
from botocache._streams.table_follower import TableFollower

MOST_THREADS = 8
"""Requests to DynamoDB at a time."""

LONGEST_WAIT = 1.0
"""Seconds after which a look is due in any case."""

_STRAGGLER = 0.5
"""Seconds that shards which were read wait for one that takes longer."""

Outcome: TypeAlias = tuple[ShardReader, StreamError | None]
Fetch: TypeAlias = Callable[[Sequence[ShardReader]], list[Outcome]]
"""Lets readers read; returns those that are done, each with its error if it failed."""


_LONGEST_TURN = 1.0
"""Seconds after which `fetch_in_turn` begins no other request."""


def fetch_in_turn(readers: Sequence[ShardReader]) -> list[Outcome]:
    """Let readers read one after the other, in this thread.

    When requests take long, the rest waits for a later call: leases must be renewed.
    """
    outcomes: list[Outcome] = []
    end = time.monotonic() + _LONGEST_TURN
    for reader in readers:
        outcomes.append((reader, _read(reader)))
        if time.monotonic() > end:
            break
    return outcomes


def _read(reader: ShardReader) -> StreamError | None:
    try:
        reader.read()
    except StreamError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a thread must not end: no other reads
        return StreamError(f"an answer cannot be read: {text_of(pass_on(error))}")
    return None


@shows()
class Fetchers:
    """Lets readers read side by side. Its threads are daemons, and wait for nothing."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[ShardReader | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome] = SimpleQueue()
        self._reading: set[ShardReader] = set()
        self._threads = 0

    def fetch(self, readers: Sequence[ShardReader]) -> list[Outcome]:
        """See Fetch. A reader that takes long is returned by a later call."""
        for reader in readers:
            if reader not in self._reading:
                self._reading.add(reader)
                self._waiting.put(reader)
        while self._threads < min(MOST_THREADS, len(self._reading)):
            self._threads += 1
            threading.Thread(
                target=self._work, name="botocache-stream-reader", daemon=True
            ).start()
        outcomes: list[Outcome] = []
        try:
            while self._reading:
                outcome = self._done.get(timeout=_STRAGGLER)
                self._reading.discard(outcome[0])
                outcomes.append(outcome)
        except Empty:
            pass
        return outcomes

    def stop(self) -> None:
        """End the threads, as soon as they are done."""
        for _ in range(self._threads):
            self._waiting.put(None)
        self._threads = 0

    def _work(self) -> None:
        while (reader := self._waiting.get()) is not None:
            self._done.put((reader, _read(reader)))


class Follower:
    """Follows some tables of one region and account. One thread may use it.

    tables: see TableFollower.
    fetch: lets readers read.
    """

    def __init__(
        self, tables: Sequence[TableFollower], fetch: Fetch = fetch_in_turn
    ) -> None:
        self.tables: Final = tables
        self._fetch: Final = fetch

    def __repr__(self) -> str:
        return f"<Follower {[*self.tables]}>"

    def stream_stats(self) -> tuple[StreamStats, ...]:
        """Return what this process has done, for each table. Any thread may ask."""
        return tuple(table.stats() for table in self.tables)

    def step(self, now: float) -> float:
        """Do what is due; return the seconds until more is. Raises nothing of ours.

        now: in seconds on the store's clock.
        """
        began = time.monotonic()
        due = [reader for table in self.tables for reader in table.due(now)]
        failures = {
            reader: error for reader, error in self._fetch(due) if error is not None
        }
        for table in self.tables:
            readers = [*table.readers.values()]
            for reader in readers:
                if reader in failures:
                    table.note_failure(failures[reader])
            table.evict(readers)
            table.beat()
        next_due = min((table.next_due() for table in self.tables), default=now)
        # `now` was before the requests, which take time.
        pause = next_due - now - (time.monotonic() - began)
        return min(max(0.0, pause), LONGEST_WAIT)

    def run(self, now: Callable[[], float], wait: Callable[[float], bool]) -> None:
        """Follow until `wait` returns True, and give the leases back then.

        now: the store's clock, in seconds.
        wait: waits for as many seconds, and returns whether to end.
        """
        try:
            while not wait(self.step(now())):
                pass
        finally:
            self.release()

    def release(self) -> None:
        """Give back what this process leads. Raises nothing of ours."""
        for table in self.tables:
            try:
                table.release()
            except Exception as error:  # noqa: BLE001, PERF203 - the other tables must go on
                pass_on(error)
