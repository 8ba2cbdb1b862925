"""A follower as one more actor, writers that go around the cache, and their judge.

The stream has every commit of the server, whoever made it. The follower gets pages of
it, late and perhaps twice, evicts, notes its position, and posts a heartbeat. It may be
killed between any two of these. Its successor goes on from the position; or from the
end, if the stream was trimmed meanwhile. This follower is the tests' own: what is
explored is the law, and the readers.

Schedules are drawn at random, and their states are not compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocache._coherence import TRUST, Eviction, EvictionRequest, TagEviction
from botocache._dynamodb.tags import table_tag, tag_digest
from botocache._dynamodb.writes import item_tags
from botocache._errors import StoreError
from tests.explorer.backends import Backend, MemoryBackend
from tests.explorer.callers import Caller, Direct, Near, Serve
from tests.explorer.operations import Choice
from tests.explorer.programs import Program, Run, warm_up
from tests.explorer.turns import Actor, Offer, pause
from tests.explorer.world import (
    FEATURES,
    KEY,
    SETTINGS,
    TABLE,
    Item,
    Server,
    Violation,
    World,
)
from tests.support.calls import ORIGIN
from tests.support.clock import FakeClock

UNFOLLOWED: float = FEATURES["followed"]["ttl_unfollowed"]
MOMENTS = (1.1, 9.0, 11.0, 21.0)
"""Seconds that may pass at once: beyond settle, within trust, beyond it, and beyond
`ttl_unfollowed`."""

_AGE = UNFOLLOWED - 1.0
"""Seconds since the cache was filled, when a program begins."""

_FIRST = 2
"""The version of the stream's first record."""

_PAGES, _LIVES, _COMMITS = 4, 3, 2
"""How often a follower polls in one life, how many there are, and how often others
commit."""


class Untrue(Violation):
    """A hit shows what a follower's promise excludes."""


class StreamingServer(Server):
    """DynamoDB with a stream.

    records: when each version was committed, from the second on.
    trimmed: how many of them are gone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.records: list[float] = []
        self.trimmed = 0

    def commit(self, now: float, item: Item | None) -> int:
        """See Server.commit."""
        self.records.append(now)
        return super().commit(now, item)


class FollowedWorld(World):
    """A world whose server has a stream; its last client is the follower.

    evicted: the newest version whose record the follower has evicted.
    followed_until: the latest heartbeat that was posted.
    age: of the last hit that the store has answered.
    trusted: hits that are older than they may be unfollowed.
    """

    server: StreamingServer

    def __init__(
        self, clock: FakeClock, backend: Backend, clients: int, **how: Any
    ) -> None:
        super().__init__(clock, backend, clients + 1, **how)
        self.server = StreamingServer()
        self.evicted = 0
        self.followed_until = 0.0
        self.age = 0.0
        self.trusted = 0
        for cache in self.caches:
            cache._reads.observer = self

    def on_call(self) -> None:
        """See CallObserver."""

    def on_hit(
        self, table: str, operation: str, tier: str, age: float, hits: int = 1
    ) -> None:
        """See CallObserver."""
        del table, operation, tier, hits
        self.age = age

    def on_stale(self, table: str, operation: str, age: float, reads: int) -> None:
        """See CallObserver."""

    def on_close(self) -> None:
        """See CallObserver."""

    def judge_hit(
        self, kind: str, answer: dict[str, Any], began: float, evicted: float
    ) -> None:
        """Judge a hit by what a follower promises.

        began: when the call began.
        evicted: what had been evicted by then.
        """
        metadata = answer.get("ResponseMetadata")
        age = float(metadata["HTTPHeaders"]["age"]) if metadata else self.age
        server = self.server
        version = server.newest(kind, answer)
        if version < evicted:
            raise Untrue(self._story(f"version {version} when {evicted} was evicted"))
        if age < UNFOLLOWED:
            return
        self.trusted += 1
        if began >= self.followed_until + TRUST:
            raise Untrue(self._story(f"it is {age} s old, and nobody follows"))
        if version == server.version:
            return
        overwritten_at = server.records[version + 1 - _FIRST]
        if began >= overwritten_at + TRUST:
            late = began - overwritten_at
            raise Untrue(self._story(f"version {version}, {late} s after the next one"))


class Follower:
    """Reads the stream, and evicts: by turns, as each actor.

    position: how many records were evicted, as its successor finds it.
    """

    SETTLE = SETTINGS.settle

    def __init__(self, world: FollowedWorld) -> None:
        self._world = world
        self._client = len(world.caches) - 1
        self._lives = _LIVES
        self._actor = self._born()
        self.position = 0

    def choices(self) -> list[Choice]:
        """Return what may happen to it next."""
        actor = self._actor
        choices: list[Choice] = [
            (f"follower: {words}", lambda result=result: actor.take(result))  # type: ignore[misc]  # a default
            for words, result in actor.offers()
        ]
        if actor.is_under_way:
            choices.append(("the follower is killed", actor.kill))
        if actor.dead and self._lives:
            choices.append(("another follower takes over", self._succeed))
        return choices

    def stop(self) -> None:
        """End it."""
        self._actor.kill()

    def _born(self) -> Actor:
        return Actor(self._follow, lambda: [("begins", "begins")], list)

    def _succeed(self) -> None:
        self._lives -= 1
        self._actor = self._born()

    # --- the code that runs in turns -------------------------------------------------

    def _follow(self) -> None:
        server, clock = self._world.server, self._world.clock
        for _ in range(_PAGES):
            asked_at, position = clock(), self.position
            first, last = pause(self._pages)
            if first < 0:
                self.begin_anew(asked_at)
                continue
            # The server has answered in this turn.
            followed_until = 0.0
            if self.is_end(first, last):
                followed_until = asked_at
            elif last > position:
                followed_until = server.records[last - 1] - 1.0
            self.handle([_FIRST + at for at in range(first, last)], followed_until)

    def _pages(self) -> list[Offer]:
        """Return what the server may answer: the records from one to another."""
        server, position = self._world.server, self.position
        if position < server.trimmed:
            return [("its position is trimmed", (-1, -1))]
        offers: list[Offer] = [
            (f"it gets {last - position} records", (position, last))
            for last in range(position, len(server.records) + 1)
        ]
        if position > server.trimmed:
            offers.append(("it gets the last one again", (position - 1, position)))
        return offers

    def is_end(self, first: int, last: int) -> bool:
        """Return whether a page shows that there are no more records."""
        return first == last == len(self._world.server.records)

    def handle(self, versions: Sequence[int], followed_until: float) -> None:
        """Evict the records of a page, and tell that it is done."""
        self.evict(versions)
        self.move_on(versions)
        self.post(followed_until)

    def move_on(self, versions: Sequence[int]) -> None:
        """Note the position after a page."""
        for version in versions:
            self.position = max(self.position, version - _FIRST + 1)

    def begin_anew(self, asked_at: float) -> None:
        """Go on at the end of the stream: what was missed is not known."""
        end = len(self._world.server.records)  # it opens the shard at LATEST here
        self.evict_table(end)
        self.position = end
        self.post(asked_at)

    def evict_table(self, end: int) -> None:
        """Evict the table, for what was missed."""
        self._evict([tag_digest(table_tag(self._world.table))], end + _FIRST - 1)

    def evict(self, versions: Sequence[int]) -> None:
        """Evict what a write of the item would evict, for each record."""
        tags = [*map(tag_digest, item_tags(self._world.table, KEY))]
        for version in versions:
            self._evict(tags, version)

    def _evict(self, tags: Sequence[bytes], version: int) -> None:
        # The first half of a write that nobody knows: its generations match nothing.
        first = Eviction({tag: TagEviction(0, 0.0) for tag in tags}, {})
        request = EvictionRequest(tags, self.SETTLE, first_eviction=first)
        while True:
            try:
                self._world.stores[self._client].evict(request)
            except StoreError:
                continue  # the same page again
            self._world.evicted = max(self._world.evicted, version)
            return

    def post(self, followed_until: float) -> None:
        """Post a heartbeat, if there is anything to say."""
        if not followed_until:
            return
        world = self._world
        # Before it is there: a reader that finds it is right.
        world.followed_until = max(world.followed_until, followed_until)
        heartbeats = world.caches[self._client]._services.heartbeats
        try:
            heartbeats.post(ORIGIN, world.table, followed_until)
        except StoreError:
            return  # the next page posts another


class Judged:
    """A caller whose hits are judged by what a follower promises."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller."""
        assert isinstance(world, FollowedWorld)
        began, evicted = world.clock(), world.evicted
        answer, is_hit = self._caller.call(world, client, kind, serve, **more)
        if is_hit:
            world.judge_hit(kind, answer, began, evicted)
        return answer, is_hit


@dataclass(frozen=True)
class FollowedProgram(Program):
    """A program beside a follower, and beside writers that go around the cache.

    has_near: whether its calls go through the near cache.
    """

    has_near: bool = False

    def start(self, *, by_word: bool = False) -> Run:
        """See Program.start."""
        clock = FakeClock()
        backend = MemoryBackend(clock, by_word=by_word, slots=self.slots)
        features = (*self.features, "followed")
        clients = max(self.clients) + 1
        world = FollowedWorld(clock, backend, clients, table=TABLE, features=features)
        caller = Judged(Near() if self.has_near else Direct())
        if self.warm:
            warm_up(world, caller)
        return FollowedRun(self, world, caller)


class FollowedRun(Run):
    """One schedule of it."""

    world: FollowedWorld

    def __init__(self, program: Program, world: World, caller: Caller) -> None:
        super().__init__(program, world, caller)
        self._commits = _COMMITS
        self._clients = range(max(program.clients) + 1)
        self.world.clock.advance(_AGE)
        self._follower = Follower(self.world)
        self._follower.post(self.world.clock())

    def choices(self) -> list[Choice]:
        """See Run.choices."""
        choices = [c for operation in self._operations for c in operation.choices()]
        if not choices:
            return []
        choices += self._follower.choices()
        world = self.world
        choices += [
            (f"client {client} delivers", lambda client=client: world.deliver(client))  # type: ignore[misc]  # a default
            for client in world.debtors()
        ]
        if self._commits:
            choices.append(("somebody else commits", self._commit))
        if self._follower.position < len(world.server.records):
            choices.append(("the stream is trimmed", self._trim))
        if world.moves:
            choices += [
                (f"{seconds} s pass", lambda seconds=seconds: self._pass(seconds))  # type: ignore[misc]  # a default
                for seconds in MOMENTS
            ]
        return choices

    def _commit(self) -> None:
        self._commits -= 1
        server = self.world.server
        server.commit(self.world.clock(), Item(str(server.version + 1), "1"))

    def _trim(self) -> None:
        self.world.server.trimmed = len(self.world.server.records)

    def _pass(self, seconds: float) -> None:
        self.world.moves -= 1
        self.world.clock.advance(seconds)

    def conclude(self) -> None:
        """Read everything at some moments after the end; each hit is judged."""
        world = self.world
        self._follower.stop()
        self._require_end()
        world.faults = 0
        for seconds in (0.0, *MOMENTS):
            world.clock.advance(seconds)
            for client in world.debtors():
                world.deliver(client)
            for client in self._clients:
                for kind in ("get", "query"):
                    self._read(client, kind)
