"""Counts that are posted on a board, and overviews of it, without botocore."""

import os
import time
from collections.abc import Callable
from typing import Any

from botocache import Cache
from botocache._cache.entries import ClearEntries, EntryCodec
from botocache._observe.overview import read_overview
from botocache._observe.posting import Posting
from botocache._observe.records import Overview
from botocache._settings.load import Settings
from botocache.stores.protocol import Board, Store
from tests.support.clock import FakeClock
from tests.support.processes import TIMEOUT
from tests.support.threads import no_thread

WALL = 1_800_000_000.0
"""Seconds since the epoch at which tests of posts begin; an hour begins then."""

CLEAR: EntryCodec = ClearEntries()


class Poster:
    """A process that counts and posts, on clocks of the test.

    clock: in seconds; the wall clock goes with it.
    """

    def __init__(
        self,
        store: Store,
        clock: FakeClock,
        *,
        random: Callable[[int], bytes] = os.urandom,
        **settings: Any,
    ) -> None:
        self.store = store
        self.posting = Posting(
            clock=clock, wall_clock=clock, random=random, start=no_thread
        )
        self.cache = self.add(**settings)

    def add(self, **settings: Any) -> Cache:
        """Return one more cache on the same store, whose counts are posted."""
        assert isinstance(self.store, Board)
        cache = Cache(self.store, Settings(url="memory:", **settings))
        self.posting.attach(cache, self.store)
        return cache

    def count(
        self, misses: int = 1, table: str = "t", operation: str = "GetItem"
    ) -> None:
        """Count misses, as calls do."""
        self.posting.note_call()
        series = self.cache.services.counters.series(table, operation)
        for _ in range(misses):
            series.add_miss(0.01, 0.5)

    def end(self) -> None:
        """Do what the end of the process does."""
        self.posting.deliver_until(time.monotonic() + TIMEOUT)


def overview(
    store: Store, clock: Callable[[], float], codec: EntryCodec = CLEAR
) -> Overview:
    """Return what is on the board of a store."""
    return read_overview(store, codec, wall_clock=clock)
