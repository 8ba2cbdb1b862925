"""Followers of a stand-in stream on a store in memory, with a clock that tests move."""

from itertools import count

from botocache._cache.services import CacheServices, services_of
from botocache._dynamodb.tags import (
    Tag,
    item_tag,
    partition_tag,
    precise_writes_tag,
    table_tag,
    tag_digest,
    writes_tag,
)
from botocache._settings.load import load_settings
from botocache._streams.follower import Follower
from botocache._streams.ledger import Ledger, ledger_name, open_ledger
from botocache._streams.source import StreamSource
from botocache._streams.table_follower import Identity, TableFollower
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.stand_in_source import StandInSource
from tests.support.stand_in_streams import StandInStream

REGION = "us-east-1"


def item(name: str, **others: object) -> dict[str, dict[str, object]]:
    """Return an item of the table, with texts as its attributes."""
    return {"id": {"S": name}, **{key: {"S": value} for key, value in others.items()}}


class FollowedTable:
    """A table with a stream, a store, and as many followers as a test makes.

    stream: the stand-in.
    clock: of the store, the service and the machines.
    services: of a cache on the store.
    """

    def __init__(self, stream: StandInStream | None = None, **settings: object) -> None:
        clock = FakeClock() if stream is None else stream.clock
        assert isinstance(clock, FakeClock)
        self.clock: FakeClock = clock
        self.stream = stream or StandInStream(clock=self.clock)
        self.store = MemoryStore(clock=self.clock)
        loaded = load_settings({"url": "memory:", **settings}, {}, "memory:")
        self.services: CacheServices = services_of(self.store, loaded)
        self._numbers = count(1)

    def follower(
        self, source: StreamSource | None = None, *, most: int = 8
    ) -> Follower:
        """Return a new follower, which has done nothing yet."""
        number = next(self._numbers)
        table = TableFollower(
            self.stream.table,
            REGION,
            source or StandInSource(self.stream),
            services=self.services,
            board=self.store,
            identity=Identity(f"{number:016x}", "host", number),
            most=most,
            wall_clock=self.clock,
            random=_Random(number),
        )
        return Follower([table])

    def run(self, *followers: Follower, seconds: float) -> None:
        """Let followers do what is due, for some seconds of the clock."""
        end = self.clock() + seconds
        while self.clock() < end:
            self.step(*followers)

    def step(self, *followers: Follower) -> None:
        """Let each do what is due now; then let time pass until more is."""
        pauses = [follower.step(self.clock()) for follower in followers]
        self.clock.advance(max(0.05, min(pauses, default=0.05)))

    @property
    def ledger(self) -> Ledger:
        """The ledger on the board."""
        name = ledger_name(REGION, self.stream.table)
        sealed = self.store.posted([name])[name]
        return open_ledger(self.services.records, name, sealed)

    @property
    def followed_until(self) -> float:
        """How long ago the moment lies until which the ledger vouches, in seconds."""
        return self.ledger.followed_until

    def generations(self, *tags: Tag) -> tuple[int, ...]:
        """Return what generations tags have now."""
        digests = [*map(tag_digest, tags)]
        return self.store.load(b"\0" * 16, digests).snapshot

    def tags_of(self, name: str) -> dict[str, Tag]:
        """Return the tags that a write of an item may evict, by what they are."""
        table = self.stream.table
        return {
            "item": item_tag(table, {"id": {"S": name}}),
            "partition": partition_tag(table, "id", {"S": name}),
            "writes": writes_tag(table),
            "precise writes": precise_writes_tag(table),
            "table": table_tag(table),
        }


class _Random:
    """Random bytes that are the same in each run of a test."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = count(1)

    def __call__(self, length: int) -> bytes:
        number = (self._seed << 32) + next(self._numbers)
        return (number % (1 << 8 * length)).to_bytes(length, "big")


class Watched:
    """Tells which tags of an item were evicted since this was made."""

    def __init__(self, table: FollowedTable, name: str) -> None:
        self._table = table
        self._tags = table.tags_of(name)
        self._before = table.generations(*self._tags.values())

    @property
    def evicted(self) -> set[str]:
        """What was evicted."""
        now = self._table.generations(*self._tags.values())
        pairs = zip(self._tags, self._before, now, strict=True)
        return {what for what, before, after in pairs if before != after}
