"""The world of one schedule: a model of DynamoDB, real caches, a clock, and the judge.

One item, the partition that it belongs to, and the partitions of two indexes: one by a
key attribute, the other by an attribute that writes change. Another item beside it
never changes. Each commit makes a new version of the item, so what an answer shows
says how old it is. Time stands still unless the schedule moves it. `judge_*` state what
must hold, whatever happens; a World raises nothing while the code under test is on the
stack, which would swallow it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple, cast

from botocache._cache.cache import Cache
from botocache._cache.coalescing import Wait
from botocache._cache.entries import decode_header
from botocache._cache.key_schemas import Schema
from botocache._coherence import Eviction, EvictionRequest, Loaded
from botocache._errors import StoreError, StoreLostError
from botocache._near.answers import NearAnswers
from botocache._settings.load import Settings
from botocache.stores.protocol import (
    BoundedCallVerbs,
    Fill,
    Settle,
    SettleEviction,
    Store,
    waits,
)
from tests.explorer.backends import OPAQUE, Backend, Eyes, Moment, contents
from tests.explorer.lenders import FEATURES as LENDING
from tests.explorer.lenders import Desk, Lent, arrange
from tests.explorer.lenders import state_of as leases_state_of
from tests.explorer.remote import RedisBackend
from tests.explorer.threads import give_threads
from tests.explorer.turns import (
    Actor,
    Offer,
    current_actor,
    current_call,
    pause,
    record,
)
from tests.support.clock import FakeClock
from tests.support.entries import answer_in

SETTINGS = Settings(
    ttl=60.0,
    negative_ttl=5.0,
    settle=1.0,
    write_hold_off=5.0,
    reads_after_write="uncached",
    precise_index_eviction=False,
    coalesce=False,
    # Its clients are answered by a handler, which could tell callers apart.
    scope="explorer",
)
"""Without any feature. All times are these, whatever else is set."""

FEATURES: dict[str, dict[str, Any]] = {
    "through": {},
    "consistent": {"reads_after_write": "consistent"},
    "images": {"precise_index_eviction": True},
    "images of the odd": {"precise_index_eviction": True},
    "images of the even": {"precise_index_eviction": True},
    "shadow": {"shadow": True},
    "followed": {"ttl_unfollowed": 20.0},
    "at once": {},
    "coalesce": {"coalesce": True},
    "leases": {"miss_leases": True},
    "late leases": {"miss_leases": True},
    "stale": {"stale_if_throttled": 30.0},
}
"""What each feature of a program sets; two of them for some of the clients.

Without `through` nothing writes through. With `at once` the store never waits, and
tasks ask it themselves."""


@cache
def settings_of(features: tuple[str, ...], client: int) -> Settings:
    """Return the settings of a client in a program with some features."""
    settings = SETTINGS
    for feature in features:
        is_of = {"odd": client % 2 == 1, "even": client % 2 == 0}
        if is_of.get(feature.split()[-1], True):
            settings = replace(settings, **FEATURES[feature])
    return settings


TABLE = "t"


class Violation(Exception):  # noqa: N818 - it is what is looked for
    """Something that must hold did not."""


class PromiseBroken(Violation):
    """A hit was older than a write that had completed before it began."""


class OwnWriteMissed(Violation):
    """A client did not find its own write."""


class LateFill(Violation):
    """A read that began before a write had ended left an entry that can be served."""


class NeverTrue(Violation):
    """An answer, or an entry that a write filled, shows an item that never existed."""


class NeverEnded(Violation):
    """A write that was cut has evicted once, and not once more."""


class Kept(Violation):
    """After all calls were over, a process had a lease, or others waited for it."""


class Overdue(Violation):
    """A reader waits for longer than it may."""


class LoopBlocked(Violation):
    """A task has asked a store that may wait."""


class Hanging(Violation):
    """Nothing can happen any more, and a call is not over."""


class Useless(Violation):
    """After everything settled, the second of two equal reads was not a hit."""


class Item(NamedTuple):
    """A version of the item. group: the partition of the index, if any."""

    value: str
    group: str | None

    def image(self) -> dict[str, Any]:
        """Return it as DynamoDB has it."""
        image = {**KEY, "v": {"N": self.value}}
        return image if self.group is None else {**image, "g": {"S": self.group}}


class Server:
    """DynamoDB, for one item.

    items: its versions, None where there is no item; the first is no version at all.
    """

    def __init__(self) -> None:
        self.items: list[Item | None] = [None, Item("1", "1")]
        self._recent: list[tuple[int, float]] = []

    @property
    def version(self) -> int:
        """The version of the last commit."""
        return len(self.items) - 1

    def commit(self, now: float, item: Item | None) -> int:
        """Carry out a write."""
        self.items.append(item)
        self._recent.append((self.version, now))
        return self.version

    def readable(self, now: float, *, consistent: bool) -> list[int]:
        """Return the versions that a read may see, the last one first."""
        versions = [self.version]
        if not consistent:
            versions += [
                version - 1
                for version, at in reversed(self._recent)
                if now - at < SETTINGS.settle
            ]
        return versions

    def image(self, version: int) -> dict[str, Any]:
        """Return the attributes of the item; none when there is no item."""
        item = self.items[version]
        return item.image() if item else {}

    def answer(
        self, operation: str, parameters: Mapping[str, Any], version: int
    ) -> dict[str, Any]:
        """Return the answer to a read that sees a version, as on the wire."""
        item = self.items[version]
        if operation == "GetItem":
            return {"Item": item.image()} if item else {}
        if operation == "BatchGetItem":
            responses = {
                table: [
                    image
                    for key in asked["Keys"]
                    if (image := OTHER if key != KEY else self.image(version))
                ]
                for table, asked in parameters["RequestItems"].items()
            }
            return {"Responses": responses, "UnprocessedKeys": {}}
        found = [] if item is None else [item.image()]
        if operation == "Scan":
            found.append(OTHER)
        elif parameters.get("IndexName") == "by group":
            group = parameters["ExpressionAttributeValues"][":g"]
            found = [image for image in found if image.get("g") == group]
        return {"Items": found, "Count": len(found), "ScannedCount": len(found)}

    def newest(self, kind: str, answer: Mapping[str, Any]) -> int:
        """Return the newest version that an answer may show. Raises NeverTrue."""
        shown = _images_in(answer)
        if kind in _WITH_ANOTHER:
            if OTHER not in shown:
                raise NeverTrue(f"an item is missing in {answer}")
            shown.remove(OTHER)
        group = _GROUPS.get(kind)
        for version in range(self.version, 0, -1):
            item = self.items[version]
            if item is not None and group in (None, item.group):
                if shown == [item.image()]:
                    return version
            elif not shown:
                return version
        raise NeverTrue(f"{kind} was answered {answer}")

    def state(self, eyes: Eyes) -> list[Any]:
        """Return all of it, flat."""
        state: list[Any] = [self.version]
        for item in self.items[2:]:
            state += item or ("absent",)
        state.append("recent")
        for version, at in self._recent:
            if eyes.now - at < SETTINGS.settle:
                state += (version, eyes.since(at))
        return state


KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
_OTHER_KEY = {"pk": {"S": "c"}, "sk": {"S": "d"}}
OTHER = {**_OTHER_KEY, "v": {"N": "0"}}
"""An item that is never written."""

_UPDATE = {
    "Key": KEY,
    "UpdateExpression": "SET v = :v",
    "ExpressionAttributeValues": {":v": {"N": "1"}},
}
_MOVE = {
    "Key": KEY,
    "UpdateExpression": "SET v = :v, g = :g",
    "ExpressionAttributeValues": {":v": {"N": "1"}, ":g": {"S": "2"}},
}
_MOVE_IN_OLD_FORM = {
    "Key": KEY,
    "AttributeUpdates": {
        "v": {"Action": "PUT", "Value": {"N": "1"}},
        "g": {"Action": "PUT", "Value": {"S": "2"}},
    },
}


def _of_group(group: str) -> dict[str, Any]:
    return {
        "IndexName": "by group",
        "KeyConditionExpression": "g = :g",
        "ExpressionAttributeValues": {":g": {"S": group}},
    }


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "get": ("GetItem", {"Key": KEY}),
    "query": (
        "Query",
        {
            "KeyConditionExpression": "pk = :p",
            "ExpressionAttributeValues": {":p": {"S": "a"}},
        },
    ),
    "query by range": (
        "Query",
        {
            "IndexName": "inverted",
            "KeyConditionExpression": "sk = :s",
            "ExpressionAttributeValues": {":s": {"S": "b"}},
        },
    ),
    "index 1": ("Query", _of_group("1")),
    "index 2": ("Query", _of_group("2")),
    "batch": ("BatchGetItem", {"Keys": [_OTHER_KEY, KEY]}),
    "scan": ("Scan", {}),
    "put": ("PutItem", {}),
    "update": ("UpdateItem", _UPDATE),
    "update all new": ("UpdateItem", {**_UPDATE, "ReturnValues": "ALL_NEW"}),
    "move": ("UpdateItem", _MOVE),
    "move in old form": ("UpdateItem", _MOVE_IN_OLD_FORM),
    "delete": ("DeleteItem", {"Key": KEY}),
    "statement": ("ExecuteStatement", {"Statement": 'UPDATE "{}" SET v = 1'}),
}
"""Operation and parameters of each kind of call; those of a put lack its item."""

_WITH_ANOTHER = ("batch", "scan")
_GROUPS = {"index 1": "1", "index 2": "2"}


def _images_in(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "Responses" in answer:
        return [image for found in answer["Responses"].values() for image in found]
    if "Items" in answer:
        return list(answer["Items"])
    return [answer["Item"]] if "Item" in answer else []


CUTS = ("is cut off", "is done, but cut off")
"""How a connection may be lost, upon which its command is sent again."""


class ClientStore:
    """The store as one client has it: each verb is a turn, and may be made to fail."""

    def __init__(self, world: "World", client: int, store: Store) -> None:
        self.now = world.clock
        self.has_lost = False
        self.has_begun = False
        self._world = world
        self._client = client
        self._store = store
        self._tags: dict[bytes, Sequence[bytes]] = {}
        if world.backend.is_remote:  # see Bounding
            self.for_call = lambda: self

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        self._turn("load")
        return self._note(key, tags, self._store.load(key, tags))

    def _note(self, key: bytes, tags: Sequence[bytes], loaded: Loaded) -> Loaded:
        self._tags[key] = tags
        record(*loaded.snapshot, loaded.held)
        # Of a schema, of a batch, whose hits wait for the rest, and of what a task
        # awaits, the entry counts later on; of other answers in this turn alone.
        call = current_call()
        is_awaited = current_actor() is not call
        # A hit is judged by its look; one who waits for another is served later on.
        waits = "coalesce" in self._world.features or self._world.lends
        if call is not None and (is_awaited or waits):
            call.was_exempt |= self._world.is_exempt(self._client)
        is_kept = self._world.keeps_hits or "stale" in self._world.features
        if len(tags) == 1 or is_kept or is_awaited:
            entry = contents(loaded.entry) if loaded.entry else ((), 0.0, 0.0, b"")
            record(*entry[0], Moment(entry[1]), entry[3])
        record(Moment(self.now()))
        return loaded

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many: others have their turn between any two.

        As far as the store lets them, where it is across a network.
        """
        if not self._world.backend.is_remote:
            return [self.load(key, tags) for key, tags in lookups]
        self._turn("load")
        loaded = self._store.load_many(lookups)
        return [
            self._note(*lookup, each)
            for lookup, each in zip(lookups, loaded, strict=True)
        ]

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current."""
        pause(lambda: [("is_current", "works")])
        return self._store.is_current(tags, snapshot)

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        self._fill([Fill(key, entry, ttl, tags)])

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many: it may fail, and others come, between any two."""
        at_once = len(fills) if self._world.backend.is_remote else 1
        for at in range(0, len(fills), at_once or 1):
            self._fill(fills[at : at + at_once])

    def fill_later(self, fills: Sequence[Fill], settle: Settle) -> None:
        """See BoundedCallVerbs.fill_later."""
        later = cast("BoundedCallVerbs", self._store).fill_later
        self._fill(fills, lambda fills: later(fills, settle))

    def _fill(
        self,
        fills: Sequence[Fill],
        fill: Callable[[Sequence[Fill]], None] | None = None,
    ) -> None:
        way = self._turn("fill")
        try:
            (fill or self._store.fill_many)(fills)
        finally:
            for key, entry, _, _ in fills:
                tags = self._tags.get(key, ())
                self._world.judge_fill(self._client, key, tags, entry)
        self._fail_after(way, "fill")

    def evict_later(self, request: EvictionRequest, settle: SettleEviction) -> None:
        """See BoundedCallVerbs.evict_later."""
        way = self._turn("evict")
        cast("BoundedCallVerbs", self._store).evict_later(request, settle)
        self._world.note_eviction()
        self._fail_after(way, "evict")

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        way = self._turn("evict")
        eviction = self._store.evict(request)
        call = current_call()
        if call is not None:
            call.evictions += 1
        for done in eviction.evicted.values():
            record(done.generation, Moment(max(done.held_until, self.now())))
            if self._world.features:
                is_held = done.held_until > self.now()
                record(done.is_settling and is_held, done.previous_generation)
            record(done.was_alone)  # whether the write may fill
        record(*eviction.watched.values())
        self._world.note_eviction()
        self._fail_after(way, "evict")
        return eviction

    def clear(self) -> None:
        """See Store.clear."""
        self._store.clear()

    def close(self) -> None:
        """See Store.close."""

    def _turn(self, verb: str) -> str:
        self._world.judge_wait(self)
        way: str = pause(lambda: self._world.ways_of(self._client, verb))
        self.has_begun = True
        actor = current_actor()
        if actor is not None:
            actor.verb, actor.commands = verb, 0
        if way in CUTS:
            self._world.faults -= 1
            self._world.backend.cuts[self._client] = way  # type: ignore[attr-defined]  # it is remote
            return "works"
        if self.has_lost:
            self.has_lost = False
            raise StoreLostError("generations were lost")
        if way != "works":
            self._world.fail(verb)  # at once: others may have their turn before it does
        if way == "fails":
            raise StoreError(f"{verb} fails")
        return way

    def _fail_after(self, way: str, verb: str) -> None:
        if way == "is done, but fails":
            raise StoreError(f"{verb} was done, but its answer was lost")


class ClientStoreThatLends(ClientStore):
    """The same, if it lends."""

    def take_lease(self, key: bytes, seconds: float) -> Lent | None:
        """See Leasing.take_lease."""
        way = self._turn("lease")
        lent = self._world.desk.lend(self._client, key, self.now(), seconds)
        record(lent is not None, Moment(self.now()))
        if lent is not None and way == "is done, but fails":
            lent.is_lost = True  # it was not told
        self._fail_after(way, "lease")
        return lent

    def _fill(self, fills: Sequence[Fill], fill: Any = None) -> None:
        super()._fill(fills, fill)
        for each in fills:
            self._world.desk.note_filled(self._client, each.key)


class ClientStoreAtOnce(ClientStore):
    """The same, if it never waits."""

    waits = False


class World:
    """Everything of one schedule.

    faults: how many may still happen.
    moves: how often time may still pass.
    cuts: how many awaited calls may still be cancelled.
    completed: the newest version with a write that has returned to its caller.
    own: the same by client.
    ended: how many writes have evicted for the second time.
    ended_version: the newest version of these writes.
    keeps_hits: whether batches are among the calls.
    newcomers: clients that were new to the store when its generations were lost.
    waits: of those who wait for another one's answer.
    lends: whether its stores lend.
    desk: where they do.

    Three more say what no promise covers:
    has_uncovered_commit: a killed writer's request was carried out too late.
    has_failed_eviction: an eviction failed.
    has_lost_evictions: a killed process had pending evictions.
    """

    def __init__(  # noqa: PLR0913 - what there is
        self,
        clock: FakeClock,
        backend: Backend,
        clients: int,
        table: str = TABLE,
        *,
        features: tuple[str, ...] = (),
        keeps_hits: bool = False,
    ) -> None:
        self.features = features
        self.keeps_hits = keeps_hits
        self.clock = clock
        self.backend = backend
        if isinstance(backend, RedisBackend):
            backend.ways, backend.fail = self.ways, self.fail
            backend.note_eviction = self.note_eviction
        self.table = table
        self.server = Server()
        self.lends = any(feature in features for feature in LENDING)
        self.desk = Desk()
        kind = ClientStoreAtOnce if "at once" in features else ClientStore
        kind = ClientStoreThatLends if self.lends else kind
        self.stores = [
            kind(self, client, backend.store_of(client)) for client in range(clients)
        ]
        self.caches = list(map(self._new_cache, range(clients)))
        self.faults = 0
        self.moves = 0
        self.cuts = 0
        self.completed = 0
        self.own = [0] * clients
        self.newcomers: set[int] = set()
        self.ended = 0
        self.ended_version = 0
        self.waits: list[Wait] = []
        self.has_uncovered_commit = False
        self.has_been_full = False
        self.has_lost_evictions = False
        self.has_failed_eviction = False
        self.trace: list[str] = []
        self._late_fill = ""
        self._blocked = ""
        self._is_overdue = False
        self._seen: list[object] = []

    def request(self, kind: str, **more: Any) -> tuple[str, dict[str, Any]]:
        """Return operation and parameters of a kind of call."""
        operation, parameters = REQUESTS[kind]
        if operation == "ExecuteStatement":
            return operation, {"Statement": parameters["Statement"].format(self.table)}
        if operation == "BatchGetItem":
            return operation, {"RequestItems": {self.table: parameters}}
        return operation, {"TableName": self.table, **parameters, **more}

    # --- what may go wrong -----------------------------------------------------------

    def ways(self, name: str, verb: str) -> list[Offer]:
        """Return how a verb of the store may go, or a part of it, which has a name."""
        if not self.faults:
            return [(name, "works")]
        offers = [(name, "works"), (f"{name} fails", "fails")]
        if verb != "load":
            offers.append((f"{name} is done, but fails", "is done, but fails"))
        return offers

    def ways_of(self, client: int, verb: str) -> list[Offer]:
        """Return how a verb of a client's store may go."""
        offers = self.ways(verb, verb)
        if self.faults and self._may_be_cut(client):
            offers += [(f"{verb} {way}", way) for way in CUTS]
        return offers

    def _may_be_cut(self, client: int) -> bool:
        backend = self.backend
        return isinstance(backend, RedisBackend) and backend.may_be_cut(client)

    def fail(self, verb: str) -> None:
        """Note that a verb of the store fails, as scheduled."""
        self.faults -= 1
        self.has_failed_eviction |= verb == "evict" or _is_before_a_write(verb)

    def lose_debts(self, client: int) -> None:
        """Note that a client's process is about to be killed.

        Evictions that it could not do, and remembered, are gone with it.
        """
        self.has_lost_evictions |= bool(self.caches[client]._evictions.pending)
        self.desk.lose(client)

    def restart(self, client: int) -> None:
        """Give a client's process, which was killed, a successor that knows nothing."""
        self.caches[client] = self._new_cache(client)

    def _new_cache(self, client: int) -> Cache:
        """Return a cache without a thread; `deliver` does the thread's work."""
        cache = Cache(
            self.stores[client], settings_of(self.features, client), NearAnswers
        )
        worker = cache._evictions.pending._worker
        worker.wake = _start_nothing  # type: ignore[method-assign]  # a refused thread costs a twentieth
        give_threads(cache)
        is_late = "late leases" in self.features
        arrange(cache, self.clock, self._note_overdue, is_late=is_late)
        return cache

    def _note_overdue(self) -> None:
        self._is_overdue = True

    def debtors(self) -> list[int]:
        """Return the clients with pending evictions."""
        return [
            client
            for client, cache in enumerate(self.caches)
            if cache._evictions.pending
        ]

    def deliver(self, client: int) -> None:
        """Let a client's process try its pending evictions, as it does by itself."""
        self.caches[client]._evictions.pending.attempt()

    def lose_generations(self) -> None:
        """Lose generations and hold-offs; clients of the store notice at the next call.

        A client that is new to the store does not. docs/explanation/coherence.md
        describes that gap: a lagging replica, or a late write that needed a hold-off.
        """
        self.newcomers = {c for c, s in enumerate(self.stores) if not s.has_begun}
        if not self.backend.lose_generations():
            for store in self.stores:
                store.has_lost = store.has_begun

    def befall(self, what: str) -> bool:
        """Let something befall the store; return whether hold-offs may be lost with it.

        A tag that is evicted while the store is full is not held.
        """
        may_be_lost = self.backend.befall(what)
        self.has_been_full |= self.backend.is_full
        return may_be_lost

    def is_exempt(self, client: int) -> bool:
        """Return whether another process has or had pending evictions."""
        return self.has_lost_evictions or any(
            self.has_failed_eviction and cache._evictions.pending
            for other, cache in enumerate(self.caches)
            if other != client
        )

    # --- the judge -------------------------------------------------------------------

    def complete(self, client: int, version: int) -> None:
        """Note that a write has returned to its caller."""
        self.completed = max(self.completed, version)
        self.own[client] = max(self.own[client], version)

    def judge_read(
        self, client: int, version: int, floor: int, own: int, *, is_hit: bool
    ) -> None:
        """Judge a hit or a strongly consistent miss of a client.

        floor: what was completed when it began. own: by this client.
        """
        if version < own and not self.has_lost_evictions:
            raise OwnWriteMissed(self._story(f"version {version} after its own {own}"))
        call = current_call()
        was_exempt = call is not None and call.was_exempt
        if is_hit and version < floor and not (was_exempt or self.is_exempt(client)):
            raise PromiseBroken(
                self._story(f"version {version} when {floor} had been completed")
            )

    def note_read(self) -> None:
        """Note that the server reads now, for the current actor."""
        actor = current_call()
        if actor is not None:
            actor.ended_before = self.ended

    def begin_end(self) -> None:
        """Note that the current actor's write has been answered, or given up."""
        actor = current_call()
        if actor is not None:
            actor.is_ending = True

    def note_eviction(self) -> None:
        """Count a write's second eviction: a read that begins now begins after it."""
        actor = current_call()
        if actor is None:
            return
        if actor.is_abandoned:  # with its first eviction it begins to end
            actor.is_abandoned, actor.is_ending = False, True
        elif actor.is_ending:
            actor.is_ending = False
            actor.evicted_at = self.clock()
            self.ended += 1
            self.ended_version = max(self.ended_version, actor.version)

    def judge_fill(
        self, client: int, key: bytes, tags: Sequence[bytes], entry: bytes
    ) -> None:
        """Note an entry that can be served although it may be too old."""
        actor = current_call()
        if actor is None or len(tags) < len(("everything", "table", "item")):
            return
        if self.has_lost_evictions or self.has_failed_eviction:
            return
        current = self.backend.snapshot(client, key, tags)
        if decode_header(entry).snapshot == current and not self._late_fill:
            self._late_fill = self._wrong_with(actor, answer_in(entry))

    def _wrong_with(self, actor: Actor, answer: Mapping[str, Any]) -> str:
        """Return the violation of an entry that the current actor has filled."""
        if actor.fills == "own item":
            if self.server.image(actor.version) != answer.get("Item", {}):
                return "a write has filled what it did not leave"
        elif answer.get("Item") == OTHER:
            return ""
        elif actor.fills not in _GROUPS:
            is_late = actor.ended_before < self.ended
            # Until a late second eviction arrives, nothing older may be filled.
            if not is_late or not self.backend.is_evicting():
                return "it was filled, and can be served" if is_late else ""
        # What ended meanwhile may be a write that did not concern it.
        kind = "get" if actor.fills == "own item" else actor.fills
        try:
            is_older = self.server.newest(kind, answer) < self.ended_version
        except NeverTrue as error:
            return str(error)
        return "it was filled, can be served, and is older" if is_older else ""

    def judge_wait(self, store: ClientStore) -> None:
        """Note that the current actor asks a store, if it must not wait for it."""
        actor = current_actor()
        if actor is not None and actor.is_on_loop and waits(store):
            self._blocked = "the event loop has waited for the store"

    def judge_end(self, call: Actor) -> None:
        """Judge a write whose call and threads are over."""
        if self.has_failed_eviction or self.has_lost_evictions or call.is_killed:
            return
        if call.evictions and call.evicted_at is None:
            raise NeverEnded(self._story("a write has evicted once only"))

    def judge(self) -> None:
        """Raise what could not be raised when it was seen."""
        if self._is_overdue:
            raise Overdue(self._story("a reader waits for longer than it may"))
        if self._blocked:
            raise LoopBlocked(self._story(self._blocked))
        if self._late_fill:
            raise LateFill(self._story(self._late_fill))

    def judge_kept(self) -> None:
        """Judge what a process that lives has left when no call is under way."""
        if self.desk.kept(self.clock()):
            raise Kept(self._story("a lease was not given back"))
        if any(cache.coalescing._open for cache in self.caches):
            raise Kept(self._story("a flight is not over"))

    def _story(self, what: str) -> str:
        return "\n  ".join([f"{what}:", *self.trace])

    # --- its state -------------------------------------------------------------------

    def eyes(self) -> Eyes:
        """Return how moments look now."""
        return Eyes(self.clock(), sharp=bool(self.moves))

    def cache_state(self, client: int) -> list[Any]:
        """Return the state of a client's process, flat."""
        cache = self.caches[client]
        eyes = self.eyes()
        store = self.stores[client]
        state: list[Any] = [store.has_lost, store.has_begun]
        for schema in schemas_of(cache).values():
            state += schema.attributes
            state += (schema.generation, eyes.since(schema.confirmed_at))
        state += leases_state_of(cache.leases, eyes)
        for braked_until in cache.services.brakes.until.values():
            state += ("braked", eyes.until(braked_until))
        pending = cache._evictions.pending
        if pending._tags:
            state.append(eyes.until(pending._next_attempt))
            for tag, token in pending._tags.items():
                self._seen.append(token)  # kept, so that no other gets its id
                state += (tag, OPAQUE * 2 + id(token))
        return state

    def state(self) -> list[Any]:
        """Return all that what comes depends on, flat."""
        eyes = self.eyes()
        state = self.backend.state(eyes)
        state += self.server.state(eyes)
        state += (self.faults, self.moves, self.cuts, self.completed)
        state += (*self.own, *self.newcomers)
        state += (self.has_uncovered_commit, self.ended_version)
        state += (self.has_lost_evictions, self.has_failed_eviction)
        state.append(self.has_been_full)
        if self.lends:
            state += self.desk.state(eyes)
        for client in range(len(self.caches)):
            state.append("client")
            state += self.cache_state(client)
        return state


def _start_nothing() -> None:
    """Start no thread: the schedule says when a client delivers."""


def _is_before_a_write(verb: str) -> bool:
    """Return whether a verb is of a write before it is sent, which evicts no more."""
    actor = current_call()
    if actor is None or actor.fills != "own item" or verb != "load":
        return False
    return not (actor.version or actor.is_ending)


def schemas_of(cache: Cache) -> dict[tuple[str, str], Schema]:
    """Return the key schemas that a cache has learned."""
    return cache._services.key_schemas._known


def wire(parameters: Mapping[str, Any]) -> bytes:
    """Return the body of a request."""
    return json.dumps(parameters).encode()
