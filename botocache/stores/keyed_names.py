"""A store under keyed names: without the key, no name tells what it stands for.

Keys and tags are digests of tables, requests and items. A reader of the store could
digest all likely ones, and compare. KeyedStore gives each digest another name, which
only holders of the key can compute. It stands between a cache and its store, and
decides nothing: what is behind it is a store like any other, with other digests.

Processes that share a store may have different keys, while a new key is introduced. So
each reads, fills and watches under the names of its own first key, and evicts under the
names of all of its keys. That is coherent while each process's keys hold the first key
of each other process: then a write is evicted under each name that a process reads by.
Under each name the laws of `_coherence.py` hold as in a store of its own.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, TypeAlias, cast

from botocache._coherence import (
    Eviction,
    EvictionRequest,
    LeftEntry,
    Loaded,
    TagEviction,
)
from botocache._digests import DIGEST_SIZE, EVERYTHING_DIGEST
from botocache._errors import StoreError
from botocache.stores.protocol import (
    Board,
    BoundedCallVerbs,
    Bounding,
    CallVerbs,
    Fill,
    Lease,
    Leasing,
    Settle,
    SettleEviction,
    StillCurrent,
    Store,
    Usage,
    Watching,
    lends,
)

_PURPOSE = b"botocache name"
"""Tells the keys that are derived here from those that are derived for entries."""

_MOST_NAMES = 8192
"""Names that are remembered; computing one takes a microsecond."""

Naming: TypeAlias = Callable[[bytes], bytes]
"""Returns the name of a digest."""


class Names:
    """The names of digests.

    keys: secrets of 32 bytes; None in the place of a key leaves digests as they are.
    first: returns the name by the first key.
    of_all: returns the names by all keys, that of the first key first.
    """

    def __init__(self, keys: Sequence[bytes | None]) -> None:
        namings = [_naming(key) for key in keys]
        self.first: Final[Naming] = lru_cache(_MOST_NAMES)(namings[0])

        def of_all(digest: bytes) -> tuple[bytes, ...]:
            # Two keys give one digest the same name only if it has no other.
            return tuple(dict.fromkeys(name(digest) for name in namings))

        self.of_all: Final = lru_cache(_MOST_NAMES)(of_all)


def _naming(key: bytes | None) -> Naming:
    if key is None:
        return bytes
    secret = blake2b(key=key, person=_PURPOSE, digest_size=32).digest()

    def name(digest: bytes) -> bytes:
        # It is the same in each cache, and the store on Redis evicts it by itself.
        if digest == EVERYTHING_DIGEST:
            return digest
        return blake2b(digest, key=secret, digest_size=DIGEST_SIZE).digest()

    return name


class KeyedVerbs:
    """What a call asks of a store under keyed names. See CallVerbs.

    names: returns the names. May raise StoreError.
    """

    __slots__ = ("_names", "_verbs")

    def __init__(self, verbs: CallVerbs, names: Callable[[], Names]) -> None:
        self._verbs = verbs
        self._names = names

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        name = self._names().first
        return self._verbs.load(name(key), [*map(name, tags)])

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        name = self._names().first
        return self._verbs.load_many(
            [(name(key), [*map(name, tags)]) for key, tags in lookups]
        )

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        name = self._names().first
        self._verbs.fill(name(key), entry, ttl, [*map(name, tags)])

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        self._verbs.fill_many(self._named(fills))

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict. What is returned was done to the names by the first key."""
        names = self._names()
        return _by_tag(self._verbs.evict(_by_name(request, names)), request, names)

    def _named(self, fills: Sequence[Fill]) -> list[Fill]:
        name = self._names().first
        return [
            Fill(name(key), entry, ttl, [*map(name, tags)])
            for key, entry, ttl, tags in fills
        ]


class _BoundedKeyedVerbs(KeyedVerbs):
    """The same of a store across a network. See BoundedCallVerbs."""

    __slots__ = ()

    def take_lease(self, key: bytes, seconds: float) -> Lease | None:
        """See Leasing.take_lease. Fails unless the store behind lends."""
        leasing = cast("Leasing", self._verbs)
        return leasing.take_lease(self._names().first(key), seconds)

    def fill_later(self, fills: Sequence[Fill], settle: Settle) -> None:
        """See BoundedCallVerbs.fill_later."""
        verbs = cast("BoundedCallVerbs", self._verbs)
        verbs.fill_later(self._named(fills), settle)

    def evict_later(self, request: EvictionRequest, settle: SettleEviction) -> None:
        """See BoundedCallVerbs.evict_later."""
        names = self._names()

        def settle_by_tag(outcome: Eviction | Exception) -> None:
            if not isinstance(outcome, Exception):
                outcome = _by_tag(outcome, request, names)
            settle(outcome)

        verbs = cast("BoundedCallVerbs", self._verbs)
        verbs.evict_later(_by_name(request, names), settle_by_tag)


def _by_name(request: EvictionRequest, names: Names) -> EvictionRequest:
    tags, hold_off, watch, first, restore, left = request
    if first is not None:
        first = first._replace(evicted=_evicted_by_name(first.evicted, names))
    if left is not None:
        others = {names.first(tag): old for tag, old in left.others.items()}
        key, item = names.first(left.key), names.first(left.item)
        left = LeftEntry(key, item, others, left.made)
    return EvictionRequest(
        _flat(map(names.of_all, tags)),
        hold_off,
        [*map(names.first, watch)],
        first,
        {*_flat(map(names.of_all, restore))},
        left,
    )


def _by_tag(answer: Eviction, request: EvictionRequest, names: Names) -> Eviction:
    evicted = _Evicted({tag: answer.evicted[names.first(tag)] for tag in request.tags})
    evicted.by_name = answer.evicted
    watched = {tag: answer.watched[names.first(tag)] for tag in request.watch}
    return Eviction(evicted, watched, answer.held, answer.has_put)


def _evicted_by_name(
    evicted: Mapping[bytes, TagEviction], names: Names
) -> Mapping[bytes, TagEviction]:
    if isinstance(evicted, _Evicted):
        return evicted.by_name
    # No store has returned it: what a follower makes of a change that others made.
    return {name: done for tag, done in evicted.items() for name in names.of_all(tag)}


class _Evicted(dict[bytes, TagEviction]):
    """What was done to tags by their names under the first key.

    by_name: what was done to all names. The second eviction compares with it.
    """

    __slots__ = ("by_name",)

    by_name: Mapping[bytes, TagEviction]


def _flat(parts: Iterable[Iterable[bytes]]) -> list[bytes]:
    return [name for part in parts for name in part]


class KeyedStore(KeyedVerbs):
    """A store under keyed names. See the Store protocol.

    store: has the entries and generations.
    names: returns the names. May raise StoreError.
    now: the clock of the store.
    """

    __slots__ = ("_store", "deliver_until", "for_call", "now", "take_lease")

    deliver_until: Callable[[float], None]
    for_call: Callable[[], BoundedCallVerbs]
    take_lease: Callable[[bytes, float], Lease | None]

    def __init__(self, store: Store, names: Callable[[], Names]) -> None:
        super().__init__(store, names)
        self._store = store
        self.now = store.now
        bounded = getattr(store, "for_call", None)  # see Bounding
        if bounded is not None:
            for_call = cast("Bounding", store).for_call
            self.for_call = lambda: _BoundedKeyedVerbs(for_call(), names)
            self.deliver_until = cast("Bounding", store).deliver_until
        if lends(store):
            take = store.take_lease
            self.take_lease = lambda key, seconds: take(names().first(key), seconds)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._store!r}>"

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current."""
        try:
            name = self._names().first
        except StoreError:
            return False
        return self._store.is_current([*map(name, tags)], snapshot)

    def clear(self) -> None:
        """See Store.clear. Entries under all names are dropped."""
        self._store.clear()

    def close(self) -> None:
        """See Store.close."""
        self._store.close()


class WatchingKeyedStore(KeyedStore):
    """A KeyedStore in front of a store that is Watching."""

    __slots__ = ()

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """See Watching.watch. A function of the store behind, as fast as without."""
        store = cast("Watching", self._store)
        return store.watch([*map(self._names().first, tags)], snapshot)


class _KeyedBoard:
    """The board of the store behind. Names of records are no digests, and stay."""

    __slots__ = ()

    _store: Store

    def post(self, name: str, record: bytes, ttl: float) -> None:
        """See Board.post."""
        cast("Board", self._store).post(name, record, ttl)

    def names(self) -> Collection[str]:
        """See Board.names."""
        return cast("Board", self._store).names()

    def posted(self, names: Collection[str] | None = None) -> dict[str, bytes]:
        """See Board.posted."""
        return cast("Board", self._store).posted(names)

    def merge(
        self, parts: Mapping[str, bytes], name: str, record: bytes, ttl: float
    ) -> bool:
        """See Board.merge."""
        return cast("Board", self._store).merge(parts, name, record, ttl)

    def usage(self) -> Usage:
        """See Board.usage."""
        return cast("Board", self._store).usage()


class _KeyedStoreAndBoard(_KeyedBoard, KeyedStore):
    __slots__ = ()


class _WatchingKeyedStoreAndBoard(_KeyedBoard, WatchingKeyedStore):
    __slots__ = ()


_KINDS: Mapping[tuple[bool, bool], type[KeyedStore]] = {
    (False, False): KeyedStore,
    (True, False): WatchingKeyedStore,
    (False, True): _KeyedStoreAndBoard,
    (True, True): _WatchingKeyedStoreAndBoard,
}
"""By whether the store behind is Watching, and whether it is a Board."""


def keyed_store(store: Store, names: Callable[[], Names]) -> Store:
    """Return a store under keyed names, with the optional methods that `store` has.

    names: returns the names, in a moment. May raise StoreError.
    """
    # As in the near cache: a store of the user's may have a `__getattr__`.
    kind = type(store)
    return _KINDS[issubclass(kind, Watching), issubclass(kind, Board)](store, names)
