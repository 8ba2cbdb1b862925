"""What a cache can answer before anything is planned: plans, and answers themselves.

An answer is served out of this process's memory by the same law as any other: it has
not expired, and the store says, after the call began, that its tags still have the
generations of its snapshot. A store that cannot say so by itself is asked, by the plan.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, cast
from weakref import WeakValueDictionary

from botocache import _codec
from botocache._codec import Entry
from botocache._nearmemory import NearMemory
from botocache._parts import Parts
from botocache._plans import Plan, Question, Recording
from botocache._reads import Reads
from botocache._tickets import Hit, request_id
from botocache.stores import StillCurrent, Store, Watching

_PLAN_SIZE = 1500
"""Bytes that a plan takes, measured, beside its question and its key."""


class Answer(NamedTuple):
    """An answer, and under which conditions it may be served.

    request_id: of its hits. stored_at, expires_at: of the entry; the latter is earlier
    where the plan is not good for so long. is_current: whether the entry's snapshot is.
    make: returns it, a fresh object each time, without ResponseMetadata. size: bytes
    that it takes. places: of the entries that the store would be asked for instead.
    """

    request_id: str
    stored_at: float
    expires_at: float
    is_current: StillCurrent
    make: Callable[[], dict[str, Any]]
    size: int
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
    """What is remembered of a call."""

    plan: Plan
    tags: tuple[bytes, ...]
    size: int
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
        self._now: Final = parts.store.now
        self._is_current: Final = parts.store.is_current
        self._watch: Final = _watch_of(parts.store)
        self._waiting: Final = parts.evictions.undelivered.waiting
        self._fresh_for: Final = parts.settings.ttl
        self._memory: Final[NearMemory[Known]] = NearMemory(
            parts.settings.near_size_limit
        )
        self._places: Final[WeakValueDictionary[bytes, Place]] = WeakValueDictionary()
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
        key, stored_at, expires_at, is_current, make, _, places = answer
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

    def ask_again(
        self, key: Hashable, known: Known, recording: Recording
    ) -> "Found | None":
        """Ask the store by the plan; return the hit.

        recording: what the store said that is no hit goes on with the call.
        """
        places = tuple(self._places_of(known.plan.question))  # as they are before that
        try:
            lookup = self._reads.ask_again(known.plan)
        except Exception as error:  # noqa: BLE001 - reported by the call, which goes on without
            recording.failure = error
            return None
        if not isinstance(lookup, Hit):
            recording.ticket = lookup
            return None
        entry = lookup.entry
        if entry is None or not self._is_current(known.tags, entry.snapshot):
            return Found(lookup, None)  # the store does not know it by itself

        def keep(make: Callable[[], dict[str, Any]], size: int) -> None:
            answer = Answer(
                request_id(lookup.key.hex()),
                entry.stored_at,
                self._expiry(known.plan, entry),
                self._watch(known.tags, entry.snapshot),
                make,
                size,
                places,
            )
            mere = known.size - (known.answer.size if known.answer else 0)
            kept = known._replace(size=mere + size, answer=answer)
            self._memory.put(key, kept)

        return Found(lookup, keep)

    def keep_plan(self, key: Hashable, plan: Plan, cost: int) -> None:
        """Remember how a call is asked again. cost: of the key, in bytes."""
        question = plan.question
        size = _PLAN_SIZE + 2 * len(question.read.question) + cost
        self._memory.put(key, Known(plan, question.tags, size))

    def filled(self, key: bytes) -> None:
        """Be told that this process has filled an entry."""
        place = self._places.pop(key, None)
        if place is not None:
            place.is_as_it_was = False

    def _places_of(self, question: Question) -> Iterator[Place]:
        for key in (question.key, question.whole):
            if key is not None:
                place = self._places.get(key)
                if place is None:
                    place = self._places.setdefault(key, Place())
                yield place

    def _expiry(self, plan: Plan, entry: Entry) -> float:
        if plan.schema is None:
            return entry.expires_at
        return min(entry.expires_at, plan.schema.confirmed_at + self._fresh_for)


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


def packed(known: Known, hit: Hit) -> tuple[Callable[[], dict[str, Any]], int]:
    """Return what makes a hit's answer as the wire has it, and how large that is.

    Before anybody changed it. The entry's own bytes where they say it all: a store in
    memory has them anyway.
    """
    entry, read = hit.entry, known.plan.question.read
    is_itself = hit.key == known.plan.question.key and read.capacity == "NONE"
    if entry is not None and is_itself:
        return entry.maker(), len(entry.raw)
    return _codec.maker_of(hit.answer)
