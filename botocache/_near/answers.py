"""Answers that this process remembers, and under which conditions it serves them.

An answer is served from memory by the same law as any other: it has not expired, and
after the call began the store confirms that its tags still have the generations of its
snapshot. If the store cannot confirm that without a round trip, nothing is served from
memory, and the call's read is loaded from the store.
"""

from collections.abc import Callable, Sequence
from functools import partial
from threading import RLock
from time import perf_counter
from typing import Final, NamedTuple, Protocol, TypeAlias, cast
from weakref import WeakValueDictionary

from botocache._cache.prepare import PreparedRead
from botocache._cache.services import CacheServices
from botocache._cache.tickets import Hit, digest_in, request_prefix
from botocache._counting.counters import NEAR_SAMPLED, NearHits
from botocache._dynamodb.key_texts import text_of_read
from botocache._dynamodb.read_units import ReadCost
from botocache._dynamodb.types import Answer
from botocache._errors import shows
from botocache._forks import renew_after_fork
from botocache._near.batch_answers import BatchAnswers, NearItem
from botocache._near.call_keys import CallKey, cost_of
from botocache._near.lru import LRUCache
from botocache._near.markers import RefillMarker
from botocache.stores.protocol import StillCurrent, Store, Watching

SIZE_LIMIT = 64 * 1024**2
"""Bytes that the near cache of one installation takes."""

_READ_SIZE = 1500
"""Bytes of a prepared read without its question, parameters and key, as measured."""

_ANSWER_SIZE = 1500
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

    origin: which DynamoDB it asks.
    size: bytes that this takes.
    prepared: the call's read; None where the call's arguments are enough to prepare it.
    copy: makes the answer; None when there is none.
    request_prefix: what the RequestIds of its hits begin with.
    stored_at: when the store's entry was filled, in seconds on the store's clock.
    expires_at: when that entry expires, in seconds on the store's clock.
    is_current: returns whether the entry's snapshot is still current.
    markers: of the entries that the call would load from the store.
    hits: counts what is served of it; None when there is no answer.
    """

    origin: str
    size: int
    prepared: PreparedRead | None
    copy: Copier | None = None
    request_prefix: str = ""
    stored_at: float = 0.0
    expires_at: float = 0.0
    is_current: StillCurrent = _never
    markers: tuple[RefillMarker, ...] = ()
    hits: NearHits | None = None


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
    find: returns what is remembered under a key, or None.
    clear: forgets everything.
    batches: what it remembers of BatchGetItem.
    """

    def __init__(self, services: CacheServices) -> None:
        store = services.store
        self._series: Final = services.counters.series
        self.now: Final = store.now
        self._is_current: Final = store.is_current
        self._watch: Final = _watch_of(store)
        self._pending: Final = services.evictions.pending.tags
        self._memory: Final[LRUCache[NearEntry]] = LRUCache(SIZE_LIMIT)
        self._markers: Final[WeakValueDictionary[bytes, RefillMarker]] = (
            WeakValueDictionary()
        )
        # In the same room: the two kinds of keys are never equal.
        items = cast("LRUCache[NearItem]", self._memory)
        self.batches: Final = BatchAnswers(services, self, items)
        self.last_fill = object()
        self.find: Final = self._memory.get
        self.clear: Final = self._memory.clear
        self._is_marking = False
        self._renew_lock()
        renew_after_fork(self, NearAnswers._renew_lock)

    def __repr__(self) -> str:
        return f"<NearAnswers in {self._memory!r}>"

    def serve(
        self, entry: NearEntry, started: float | None, arguments: object
    ) -> Answer | None:
        """Return the answer as a hit; None when it may not be served.

        started: when the call began, by `perf_counter`; None if that was not noted.
        arguments: of the call.
        """
        # One unpacking, where ten look-ups by name would take longer.
        _, _, _, copy, prefix, stored_at, expires_at, is_current, markers, hits = entry
        # Pending evictions before the generations: an eviction that is delivered in
        # between has changed the generations by the time that is_current reads them.
        if self._pending or copy is None or hits is None:
            return None
        for marker in markers:
            if marker.is_outdated:
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

    def may_remember(self, hit: Hit) -> bool:
        """Return whether a hit may be served from memory later.

        No, if the store cannot confirm its generations without a round trip; nor if its
        tags rest on a learned key schema, which only the cache can check.
        """
        prepared, entry = hit.prepared, hit.entry
        return (
            prepared is not None
            and entry is not None
            and not prepared.read.rests_on_schema
            and self._is_current(prepared.tags, entry.snapshot)
        )

    def watch(self, hit: Hit) -> StillCurrent:
        """Return what returns whether a hit's snapshot is still current."""
        prepared, entry = hit.prepared, hit.entry
        if prepared is None or entry is None:
            return _never
        return self._watch(prepared.tags, entry.snapshot)

    def remember(
        self,
        call: CallToRemember,
        hit: Hit,
        copy: Copier,
        size: int,
        is_current: StillCurrent | None = None,
    ) -> None:
        """Remember the answer of a hit that `may_remember` accepted.

        copy: makes the answer.
        size: bytes that the answer takes.
        is_current: returns whether it may still be served; None for what `watch` makes.

        Does nothing if this process filled any entry since the call began.
        """
        prepared, entry = hit.prepared, hit.entry
        if prepared is None or entry is None or call.key is None:
            return
        keys = [prepared.key]
        if prepared.whole_item_key is not None:
            keys.append(prepared.whole_item_key)
        markers = tuple(self.markers_of(keys))
        # The markers first, then the comparison. A fill of this entry that comes after
        # the markers outdates them. One that came before, but after the store was
        # loaded, has replaced last_fill. In the other order a fill in between would
        # leave no trace, and the older answer would be served.
        if self.last_fill is not call.last_fill or len(markers) < len(keys):
            return
        self._memory.put(
            call.key,
            NearEntry(
                prepared.call.origin,
                _size_of(call.key, call.remembered) + _ANSWER_SIZE + size,
                call.remembered,
                copy,
                request_prefix(hit.key.hex()),
                entry.stored_at,
                min(entry.expires_at, call.valid_until),
                is_current or self.watch(hit),
                markers,
                self._hits_of(prepared, entry.cost),
            ),
        )

    def remember_read(self, key: CallKey, prepared: PreparedRead) -> None:
        """Remember the read of a call; the next such call loads it at once."""
        size = _size_of(key, prepared)
        self._memory.put(key, NearEntry(prepared.call.origin, size, prepared))

    def on_fill(self, key: bytes) -> None:
        """Mark what is remembered of an entry as outdated: it was filled anew."""
        # In this order: a call that gets a new marker after this one was taken out must
        # find that last_fill has changed, or it would remember the older answer.
        self.last_fill = object()
        marker = self._markers.pop(key, None)
        if marker is not None:
            marker.is_outdated = True

    def on_batch(self, table: str, hits: int, age: float) -> None:
        """Hear of the near hits of a batch. Nothing listens here."""

    def _hits_of(self, prepared: PreparedRead, cost: ReadCost) -> NearHits:
        """Return what counts the hits of a read whose entry has this cost."""
        series = self._series(prepared.read.table, prepared.call.operation)
        return series.near_hits(cost.units(), is_estimated=cost.is_estimated)

    def markers_of(self, keys: Sequence[bytes]) -> list[RefillMarker]:
        """Return the marker of each entry; none within a call of this method."""
        # Under a lock: a WeakValueDictionary's setdefault is several steps. Two threads
        # could get two markers, of which a fill would find only the second. So could a
        # thread and the signal handler that interrupts it here: the handler gets none.
        with self._lock:
            if self._is_marking:
                return []
            self._is_marking = True
            try:
                markers = []
                for key in keys:
                    marker = self._markers.get(key)
                    if marker is None:
                        marker = self._markers[key] = RefillMarker()
                    markers.append(marker)
                return markers
            finally:
                self._is_marking = False

    def _renew_lock(self) -> None:
        self._lock = RLock()
        self._is_marking = False


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
