"""What a cache can answer before a call is one: out of memory, or by asking ahead.

A call is planned out of its arguments where they are its request's body; the plans of
others are remembered, and so are answers. An answer is served out of this process's
memory by the same law as any other: it has not expired, and the store says, after the
call began, that its tags still have the generations of its snapshot. A store that
cannot say so by itself is asked, by the plan.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, cast
from weakref import WeakValueDictionary

from botocache._cache.entries import Entry, copier_of
from botocache._cache.evictions import BEGIN_FAILED
from botocache._cache.parts import Parts
from botocache._cache.reads import Reads
from botocache._cache.tickets import Asked, Hit, Plan, Recording, request_id
from botocache._dynamodb.operations import plan as plan_of
from botocache._dynamodb.plans import Read
from botocache._near.call_keys import ArgumentsKey, cost_of, quick_key
from botocache._near.lru import LRUCache
from botocache._near.request_bodies import NO_JSON, BodyOf, as_json, of_json
from botocache.stores.protocol import StillCurrent, Store, Watching

_PLAN_SIZE = 1500
"""Bytes that a plan takes, measured, beside its question and its key."""

SIZE_LIMIT = 64 * 1024**2
"""Bytes of the near cache."""

_ANSWER_SIZE = 1500
"""Bytes that an answer takes, measured, beside its body and its key."""


class Answer(NamedTuple):
    """An answer, and under which conditions it may be served.

    request_id: of its hits. stored_at, expires_at: of the entry; the latter is earlier
    where the plan is not good for so long. is_current: whether the entry's snapshot is.
    make: returns it, a fresh object each time, without ResponseMetadata. places: of the
    entries that the store would be asked for instead.
    """

    request_id: str
    stored_at: float
    expires_at: float
    is_current: StillCurrent
    make: Callable[[], dict[str, Any]]
    places: "tuple[Place, ...]"


class Place:
    """Where an entry is in the store, until this process fills it anew.

    `refresh()` and strongly consistent reads fill what may differ, though no write of
    ours came between: they are made to see somebody else's.
    """

    __slots__ = ("__weakref__", "is_as_it_was")

    def __init__(self) -> None:
        self.is_as_it_was = True


class Known(NamedTuple):
    """What is remembered of a call.

    origin: which DynamoDB it asks. size: bytes that this takes. plan: None where it can
    be made again out of the call's arguments.
    """

    origin: str
    size: int
    plan: Plan | None
    answer: Answer | None = None


class NearAnswers:
    """What one cache remembers of calls, by keys that tell all calls apart.

    Raises nothing that the cache's parts do not raise; whoever asks turns that into the
    ordinary way.
    """

    def __init__(self, parts: Parts, reads: Reads) -> None:
        self._reads: Final = reads
        reads.when_filled = self.filled
        self._count: Final = parts.counters.add_near_hit
        self._report: Final = parts.evictions.report
        self._now: Final = parts.store.now
        self._is_current: Final = parts.store.is_current
        self._watch: Final = _watch_of(parts.store)
        self._waiting: Final = parts.evictions.pending.waiting
        self._fresh_for: Final = parts.settings.ttl
        self._memory: Final[LRUCache[Known]] = LRUCache(SIZE_LIMIT)
        self._places: Final[WeakValueDictionary[bytes, Place]] = WeakValueDictionary()
        self._last_fill = object()
        self.find: Final = self._memory.get
        self.clear: Final = self._memory.clear

    def __repr__(self) -> str:
        return f"<NearAnswers in {self._memory!r}>"

    def serve(self, known: Known) -> dict[str, Any] | None:
        """Return the answer, as a hit is answered; None when it may not be served."""
        answer = known.answer
        # What waits is looked at first: it may be delivered in between, and then the
        # generations say what it no longer does.
        if answer is None or self._waiting:
            return None
        key, stored_at, expires_at, is_current, make, places = answer
        for place in places:
            if not place.is_as_it_was:
                return None
        now = self._now()
        if now >= expires_at or not is_current():
            return None
        made = make()
        # As response_metadata does, which would be one call more.
        made["ResponseMetadata"] = {
            "RequestId": key,
            "HTTPStatusCode": 200,
            "HTTPHeaders": {"x-botocache": "hit", "age": str(int(now - stored_at))},
            "RetryAttempts": 0,
        }
        self._count()
        return made

    def plan_ahead(
        self,
        key: ArgumentsKey,
        asked: Asked,
        body_of: BodyOf,
        arguments: Any,
        recording: Recording,
    ) -> Plan | None:
        """Plan a call out of its arguments.

        key: of the call. asked: by another call of the operation for the table.
        recording: is told, so that the call need not be planned again. None: it takes
        the ordinary way.
        """
        if "IndexName" in arguments or arguments.get("ConsistentRead"):
            # What it depends on is still to be learned, perhaps; or it is not served.
            return None
        # A copy, of which it is seen that the key is its: the caller may change his
        # arguments at any time.
        try:
            encoded = as_json(arguments)
            copy = of_json(encoded)
        except NO_JSON:
            return None
        if quick_key(key[0], asked.operation, copy) != key:
            return None
        parameters = body_of(asked.operation, encoded, copy)
        if parameters is None:
            return None
        read = plan_of(asked.operation, parameters, _nobody_knows)
        if not isinstance(read, Read):
            return None
        plan = self._reads.plan_ahead(asked, read)
        if plan is not None:
            recording.plan, recording.parameters = plan, parameters
        return plan

    def ask_again(
        self, key: ArgumentsKey, plan: Plan, recording: Recording
    ) -> "Found | None":
        """Ask the store by the plan; return the hit.

        recording: what the store said that is no hit goes on with the call.
        """
        question, last_fill = plan.question, self._last_fill
        try:
            lookup = self._reads.ask_again(plan)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call goes on without
            # At once: nobody knows whether, and when, the call gets as far as to be
            # told; and what was lost must not be served to others until then.
            self._report(*BEGIN_FAILED, error)
            recording.has_failed = True
            return None
        if not isinstance(lookup, Hit):
            recording.ticket = lookup
            return None
        entry = lookup.entry
        if entry is None or not self._is_current(question.tags, entry.snapshot):
            self.keep_plan(key, plan)
            return Found(lookup, None)  # the store does not know it by itself
        # What can be planned again is not remembered: it is the larger part.
        kept = plan if recording.parameters is None else None

        def keep(make: Callable[[], dict[str, Any]], size: int) -> None:
            places = [self._place(question.key)]
            if question.whole is not None:
                places.append(self._place(question.whole))
            # From here on the places tell of fills. One that came before, but after the
            # store was asked, may have been of one of them.
            if self._last_fill is not last_fill:
                return
            answer = Answer(
                request_id(lookup.key.hex()),
                entry.stored_at,
                self._expiry(plan, entry),
                self._watch(question.tags, entry.snapshot),
                make,
                tuple(places),
            )
            cost = _size_of(key, kept) + _ANSWER_SIZE + size
            self._memory.put(key, Known(plan.asked.origin, cost, kept, answer))

        return Found(lookup, keep)

    def keep_plan(self, key: ArgumentsKey, plan: Plan) -> None:
        """Remember how a call is asked again."""
        known = Known(plan.asked.origin, _size_of(key, plan), plan)
        self._memory.put(key, known)

    def filled(self, key: bytes) -> None:
        """Be told that this process has filled an entry."""
        self._last_fill = object()
        place = self._places.pop(key, None)
        if place is not None:
            place.is_as_it_was = False

    def _place(self, key: bytes) -> Place:
        place = self._places.get(key)
        if place is None:
            place = self._places.setdefault(key, Place())
        return place

    def _expiry(self, plan: Plan, entry: Entry) -> float:
        if plan.schema is None:
            return entry.expires_at
        return min(entry.expires_at, plan.schema.confirmed_at + self._fresh_for)


def _size_of(key: ArgumentsKey, plan: Plan | None) -> int:
    """Return the bytes that a key takes, and a plan, if there is one."""
    if plan is None:
        return cost_of(key)
    return cost_of(key) + _PLAN_SIZE + 2 * len(plan.question.read.question)


def _nobody_knows(_table: str) -> None:
    """Return a table's key attributes, for reads that do not rest on them."""


def _watch_of(
    store: Store,
) -> Callable[[Sequence[bytes], Sequence[int]], StillCurrent]:
    if issubclass(type(store), Watching):  # not of the object: it is not used yet
        return cast("Watching", store).watch
    return lambda tags, snapshot: partial(store.is_current, tags, snapshot)


Keep: TypeAlias = Callable[[Callable[[], dict[str, Any]], int], None]
"""Keeps an answer: what makes it, and how many bytes that takes."""


class Found(NamedTuple):
    """A hit of the store. keep: None where it would be of no use to keep it."""

    hit: Hit
    keep: Keep | None


def packed(plan: Plan, hit: Hit) -> tuple[Callable[[], dict[str, Any]], int]:
    """Return what makes a hit's answer as the wire has it, and how large that is.

    Before anybody changed it. The entry's own bytes where they say it all: a store in
    memory has them anyway.
    """
    entry, read = hit.entry, plan.question.read
    is_itself = hit.key == plan.question.key and read.capacity == "NONE"
    if entry is not None and is_itself:
        return entry.maker(), len(entry.raw)
    return copier_of(hit.answer)
