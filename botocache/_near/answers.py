"""Answers that this process remembers, and under which conditions it serves them.

An answer is served from memory by the same law as any other: it has not expired, and
the store says, after the call began, that its tags still have the generations of its
snapshot. A store that cannot say so without a round trip is asked by the prepared read.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast
from weakref import WeakValueDictionary

from botocache._cache.prepare import PreparedRead
from botocache._cache.services import CacheServices
from botocache._cache.tickets import Hit, request_id
from botocache._near.call_keys import CallKey, cost_of
from botocache._near.lru import LRUCache
from botocache.stores.protocol import StillCurrent, Store, Watching

SIZE_LIMIT = 64 * 1024**2
"""Bytes that the near cache of one installation takes."""

_READ_SIZE = 1500
"""Bytes that a prepared read takes beside its question, its parameters and its key:
measured."""

_ANSWER_SIZE = 1500
"""Bytes that an answer takes beside its body and its key: measured."""

Copier: TypeAlias = Callable[[], dict[str, Any]]
"""Returns an answer, a fresh object each time, without ResponseMetadata."""


def _never() -> bool:
    return False


class RefillMarker:
    """Marks remembered answers as outdated when this process refills their entry.

    `refresh()` and strongly consistent reads may fill a newer item (written around
    botocache) without changing any generation.
    """

    __slots__ = ("__weakref__", "is_outdated")

    def __init__(self) -> None:
        self.is_outdated = False


class NearEntry(NamedTuple):
    """What is remembered of a call.

    origin: which DynamoDB it asks.
    size: bytes that this takes.
    prepared: the call's read; None where the call's arguments tell it.
    copy: makes the answer; None when there is none.
    request_id: of its hits.
    stored_at, expires_at: of the store's entry, in seconds on the store's clock.
    is_current: says whether the entry's snapshot still is.
    markers: of the entries that the store would be asked for instead.
    """

    origin: str
    size: int
    prepared: PreparedRead | None
    copy: Copier | None = None
    request_id: str = ""
    stored_at: float = 0.0
    expires_at: float = 0.0
    is_current: StillCurrent = _never
    markers: tuple[RefillMarker, ...] = ()


class CallToRemember(Protocol):
    """A call whose answer is remembered. See NearCall."""

    key: CallKey | None
    last_fill: object
    remembered: PreparedRead | None


class NearAnswers:
    """What one cache remembers of calls, by keys that tell all calls apart.

    Raises nothing that the cache's services do not raise.
    """

    def __init__(self, services: CacheServices) -> None:
        store = services.store
        self._count: Final = services.counters.add_near_hit
        self._now: Final = store.now
        self._is_current: Final = store.is_current
        self._watch: Final = _watch_of(store)
        self._pending: Final = services.evictions.pending.tags
        self._memory: Final[LRUCache[NearEntry]] = LRUCache(SIZE_LIMIT)
        self._markers: Final[WeakValueDictionary[bytes, RefillMarker]] = (
            WeakValueDictionary()
        )
        self.last_fill = object()  # another one after each fill
        self.find: Final = self._memory.get
        self.clear: Final = self._memory.clear

    def __repr__(self) -> str:
        return f"<NearAnswers in {self._memory!r}>"

    def serve(self, entry: NearEntry) -> dict[str, Any] | None:
        """Return the answer, as a hit is answered; None when it may not be served."""
        # Pending evictions first: one that is delivered in between has changed the
        # generations by the time they are looked at.
        _, _, _, copy, key, stored_at, expires_at, is_current, markers = entry
        if self._pending or copy is None:
            return None
        for marker in markers:
            if marker.is_outdated:
                return None
        now = self._now()
        if now >= expires_at or not is_current():
            return None
        answer = copy()
        # What response_metadata does, which would be one call more.
        answer["ResponseMetadata"] = {
            "RequestId": key,
            "HTTPStatusCode": 200,
            "HTTPHeaders": {"x-botocache": "hit", "age": str(int(now - stored_at))},
            "RetryAttempts": 0,
        }
        self._count()
        return answer

    def may_remember(self, hit: Hit) -> bool:
        """Return whether a hit may be served from memory later.

        Not where the store cannot tell without a round trip that it is current, nor
        where the tags rest on a learned key schema, which only the cache can check.
        """
        prepared, entry = hit.prepared, hit.entry
        return (
            prepared is not None
            and entry is not None
            and not prepared.read.rests_on_schema
            and self._is_current(prepared.tags, entry.snapshot)
        )

    def remember(self, call: CallToRemember, hit: Hit, copy: Copier, size: int) -> None:
        """Remember the answer of a hit that `may_remember` accepted.

        copy: makes the answer.
        size: bytes that the answer takes.
        """
        prepared, entry = hit.prepared, hit.entry
        if prepared is None or entry is None or call.key is None:
            return
        markers = [self._marker(prepared.key)]
        if prepared.whole_item_key is not None:
            markers.append(self._marker(prepared.whole_item_key))
        # From here on the markers tell of fills. One that came before, but after the
        # store was asked, may have been of this entry.
        if self.last_fill is not call.last_fill:
            return
        self._memory.put(
            call.key,
            NearEntry(
                prepared.call.origin,
                _size_of(call.key, call.remembered) + _ANSWER_SIZE + size,
                call.remembered,
                copy,
                request_id(hit.key.hex()),
                entry.stored_at,
                entry.expires_at,
                self._watch(prepared.tags, entry.snapshot),
                tuple(markers),
            ),
        )

    def remember_read(self, key: CallKey, prepared: PreparedRead) -> None:
        """Remember the read of a call, so that the next such call can load at once."""
        size = _size_of(key, prepared)
        self._memory.put(key, NearEntry(prepared.call.origin, size, prepared))

    def on_fill(self, key: bytes) -> None:
        """Mark what is remembered of an entry as outdated: it was filled anew."""
        self.last_fill = object()
        marker = self._markers.pop(key, None)
        if marker is not None:
            marker.is_outdated = True

    def _marker(self, key: bytes) -> RefillMarker:
        marker = self._markers.get(key)
        if marker is None:
            marker = self._markers.setdefault(key, RefillMarker())
        return marker


def _size_of(key: CallKey, prepared: PreparedRead | None) -> int:
    """Return the bytes that a key takes, and a prepared read, if there is one."""
    if prepared is None:
        return cost_of(key)
    return cost_of(key) + _READ_SIZE + 4 * len(prepared.read.question)


def _watch_of(
    store: Store,
) -> Callable[[Sequence[bytes], Sequence[int]], StillCurrent]:
    if issubclass(type(store), Watching):  # isinstance would touch the store
        return cast("Watching", store).watch
    return lambda tags, snapshot: partial(store.is_current, tags, snapshot)
