"""Answers that this process remembers, and under which conditions it serves them.

An answer is served from memory by the same law as any other: it has not expired, and
after the call began the store confirms that its tags still have the generations of its
snapshot. If the store cannot confirm that without a round trip, nothing is served from
memory, and the call's read is loaded from the store.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Final, NamedTuple, Protocol, TypeAlias, cast

from botocache._cache.prepare import PreparedRead
from botocache._cache.services import CacheServices
from botocache._cache.tickets import Hit, digest_in, request_prefix
from botocache._counting.counters import NEAR_SAMPLED, NearHits
from botocache._dynamodb.key_texts import text_of_read
from botocache._dynamodb.read_units import ReadCost
from botocache._dynamodb.types import Answer
from botocache._errors import shows
from botocache._near.batch_answers import BatchAnswers, NearItem
from botocache._near.call_keys import CallKey, cost_of
from botocache._near.fill_places import PLACES, place_of
from botocache._near.lru import LRUCache
from botocache.stores.protocol import StillCurrent, Store, Watching

SIZE_LIMIT = 64 * 1024**2
"""Bytes that the near cache of one installation takes."""

_READ_SIZE = 1500
"""Bytes of a prepared read without its question, parameters and key, as measured."""

_ANSWER_SIZE = 1400
"""Bytes of an answer without its body and key, as measured."""

Copier: TypeAlias = Callable[[], Answer]
"""Returns an answer, a fresh object each time, without ResponseMetadata."""


class Timing:
    """Whether the near hits of this process take the time when they begin."""

    __slots__ = ("is_on",)

    def __init__(self) -> None:
        self.is_on = False


timing: Final = Timing()


def _never() -> bool:
    return False


@shows("origin", "size", "stored_at", "expires_at")
class NearEntry(NamedTuple):
    """What is remembered of a call.

    copy: makes the answer; None when there is none.
    request_prefix: what the RequestIds of its hits begin with.
    stored_at: when the store's entry was filled, in seconds on the store's clock.
    expires_at: when that entry expires, in seconds on the store's clock.
    is_current: returns whether the entry's snapshot is still current.
    place: of the entry among the fills; see `NearAnswers.on_fill`.
    fill: what stood there when the answer was remembered.
    hits: counts what is served of it; None when there is no answer.
    origin: which DynamoDB it asks.
    size: bytes that this takes.
    prepared: the call's read; None where the call's arguments are enough to prepare it.
    """

    copy: Copier | None
    request_prefix: str
    stored_at: float
    expires_at: float
    is_current: StillCurrent
    place: int
    fill: object
    hits: NearHits | None
    origin: str
    size: int
    prepared: PreparedRead | None


class CallToRemember(Protocol):
    """A call whose answer is remembered; its attributes are those of NearCall.

    valid_until: when its credentials must be refreshed, in seconds on the store's
        clock. No answer is served from memory after that.
    """

    key: CallKey | None
    last_fill: object
    remembered: PreparedRead | None
    valid_until: float


class NearAnswers:
    """What one cache remembers of calls, by keys that are unequal for unequal calls.

    last_fill: replaced by a new object at each fill of this process.
    now: returns the time on the store's clock.
    memory: what is remembered, by keys.
    find: returns what is remembered under a key, or None.
    clear: forgets everything.
    batches: what it remembers of BatchGetItem.
    """

    def __init__(self, services: CacheServices) -> None:
        store = services.store
        self._series: Final = services.counters.series
        self.now: Final = store.now
        self._watch: Final = _watch_of(store)
        self._pending: Final = services.evictions.pending.tags
        self.memory: Final[LRUCache[NearEntry]] = LRUCache(SIZE_LIMIT)
        self._fills: Final[list[object]] = [None] * PLACES
        # In the same room: the two kinds of keys are never equal.
        items = cast("LRUCache[NearItem]", self.memory)
        self.batches: Final = BatchAnswers(services, self, items, self._fills)
        self.last_fill = object()
        self.find: Final = self.memory.get
        self.clear: Final = self.memory.clear

    def __repr__(self) -> str:
        return f"<NearAnswers in {self.memory!r}>"

    def serve(
        self, entry: NearEntry, started: float | None, arguments: object
    ) -> Answer | None:
        """Return the answer as a hit; None when it may not be served.

        started: when the call began, by `perf_counter`; None if that was not noted.
        arguments: of the call.
        """
        # One unpacking, where eight look-ups by name would take longer.
        copy, prefix, stored_at, expires_at, is_current, place, fill, hits, _, _, _ = (
            entry
        )
        # Pending evictions before the generations: an eviction that is delivered in
        # between has changed the generations by the time that is_current reads them.
        if (
            self._pending
            or copy is None
            or hits is None
            or self._fills[place] is not fill
        ):
            return None
        now = self.now()
        if now >= expires_at:
            # For the report: a longer TTL would have kept this answer.
            if is_current():
                hits.expire()
            return None
        if not is_current():
            return None
        answer = copy()
        # As response_metadata returns it; each near hit would pay for that call.
        age = "%d" % (now - stored_at)  # noqa: UP031 - in less time than str(int())
        number = hits.number()
        answer["ResponseMetadata"] = {
            "RequestId": f"{prefix}{number}",
            "HTTPStatusCode": 200,
            "HTTPHeaders": {"x-botocache": "hit", "age": age},
            "RetryAttempts": 0,
        }
        if number % NEAR_SAMPLED < 2:  # noqa: PLR2004 - this one is sampled, or the next
            _sample(entry, number, started, arguments)
        return answer

    def admits(self, call: CallToRemember, hit: Hit) -> bool:
        """Return whether there is room for the answer of a hit. See LRUCache.admits."""
        key, entry = call.key, hit.entry
        if key is None or entry is None:
            return False
        return self.memory.admits(key, _ANSWER_SIZE + len(entry.packed))

    def watch(self, hit: Hit) -> StillCurrent | None:
        """Return what returns whether a hit's snapshot is still current.

        None if the hit may not be served from memory: if the store cannot confirm its
        generations without a round trip, or if its tags rest on a learned key schema,
        which only the cache can check.
        """
        prepared, entry = hit.prepared, hit.entry
        if prepared is None or entry is None or prepared.read.rests_on_schema:
            return None
        is_current = self._watch(prepared.tags, entry.snapshot)
        return is_current if is_current() else None

    def remember(
        self,
        call: CallToRemember,
        hit: Hit,
        copy: Copier,
        size: int,
        is_current: StillCurrent,
    ) -> None:
        """Remember the answer of a hit.

        copy: makes the answer.
        size: bytes that the answer takes.
        is_current: returns whether it may still be served: what `watch` makes, or more.

        Does nothing if this process filled any entry since the call began.
        """
        prepared, entry = hit.prepared, hit.entry
        if prepared is None or entry is None or call.key is None:
            return
        fills, place = self._fills, place_of(prepared.key)
        fill = fills[place]
        if prepared.whole_item_key is not None:
            is_current = self._unless_filled(prepared.whole_item_key, is_current)
        # The places first, then the comparison. A fill of this entry that comes after
        # the places were read shows there. One that came before, but after the store
        # was loaded, has replaced last_fill. In the other order a fill in between would
        # leave no trace, and the older answer would be served.
        if self.last_fill is not call.last_fill:
            return
        self.memory.put(
            call.key,
            NearEntry(
                copy,
                request_prefix(hit.key.hex()),
                entry.stored_at,
                min(entry.expires_at, call.valid_until),
                is_current,
                place,
                fill,
                self._hits_of(prepared, entry.cost),
                prepared.call.origin,
                _size_of(call.key, call.remembered) + _ANSWER_SIZE + size,
                call.remembered,
            ),
        )

    def remember_read(self, key: CallKey, prepared: PreparedRead) -> None:
        """Remember the read of a call; the next such call loads it at once."""
        origin, size = prepared.call.origin, _size_of(key, prepared)
        self.memory.put(
            key,
            NearEntry(
                None, "", 0.0, 0.0, _never, 0, None, None, origin, size, prepared
            ),
        )

    def on_fill(self, key: bytes) -> None:
        """Outdate what is remembered of an entry: this process has filled it anew.

        `refresh()` and strongly consistent reads may fill a newer item (written around
        botocache) without changing any generation.

        Each entry has a place among the fills, and an answer is served while that place
        holds what it held when the answer was remembered. Entries may share a place:
        then the store answers once more. So no lock is needed, and nothing per entry.
        """
        # In this order: a call that reads the new fill in its place must find that
        # last_fill has changed, or it would remember the older answer.
        fill = self.last_fill = object()
        self._fills[place_of(key)] = fill

    def _unless_filled(self, key: bytes, is_current: StillCurrent) -> StillCurrent:
        """Return what also checks that an entry was not filled since this moment."""
        fills, place = self._fills, place_of(key)
        fill = fills[place]
        return lambda: fills[place] is fill and is_current()

    def on_batch(self, table: str, hits: int, age: float) -> None:
        """Hear of the near hits of a batch. Nothing listens here."""

    def _hits_of(self, prepared: PreparedRead, cost: ReadCost) -> NearHits:
        """Return what counts the hits of a read whose entry has this cost."""
        series = self._series(prepared.read.table, prepared.call.operation)
        return series.near_hits(cost.units(), is_estimated=cost.is_estimated)


def _sample(
    entry: NearEntry, number: int, started: float | None, arguments: object
) -> None:
    """Take note of a near hit that stands for several, or have the next one timed.

    number: of the near hit.
    """
    hits = entry.hits
    timing.is_on = not number % NEAR_SAMPLED
    if timing.is_on or hits is None:
        return
    # Another thread may have begun before the timing was on.
    seconds = None if started is None else perf_counter() - started
    # A resource's condition is an object; the request that was made of it is not.
    asked = arguments if entry.prepared is None else entry.prepared.parameters
    hits.sample(seconds, digest_in(entry.request_prefix), text_of_read, asked)


def _size_of(key: CallKey, prepared: PreparedRead | None) -> int:
    """Return the bytes of a key and of a prepared read, if there is one."""
    if prepared is None:
        return cost_of(key)
    return cost_of(key) + _READ_SIZE + 4 * len(prepared.read.question)


def _watch_of(
    store: Store,
) -> Callable[[Sequence[bytes], Sequence[int]], StillCurrent]:
    # Not isinstance: it looks `watch` up on the object, and a store of the user's may
    # have a `__getattr__`.
    if issubclass(type(store), Watching):
        return cast("Watching", store).watch
    return lambda tags, snapshot: partial(store.is_current, tags, snapshot)
