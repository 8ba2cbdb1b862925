"""The Store protocol: the verbs of a store, and what is atomic about each.

A store keeps entries under keys, and a generation and a hold-off for each tag. Keys and
tags are digests of 16 bytes. Its verbs are those of the protocol in `_coherence.py`. A
store decides nothing about coherence: `evict` applies `next_state`, and `load` returns
what the store holds.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeGuard, runtime_checkable

from botocache._coherence import Eviction, EvictionRequest, Loaded
from botocache._errors import shows

Random: TypeAlias = Callable[[int], bytes]
"""Returns as many random bytes as its argument; tests replace os.urandom by it."""

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since a moment that stays the same for all users of the store."""

StillCurrent: TypeAlias = Callable[[], bool]
"""Returns True if the tags of a snapshot have its generations at this moment."""


@shows("key", "ttl", "tags")
class Fill(NamedTuple):
    """The arguments of one `fill`."""

    key: bytes
    entry: bytes
    ttl: float
    tags: Sequence[bytes] = ()


@runtime_checkable
class Store(Protocol):
    """Keeps entries and generations. Safe for threads and across a fork.

    Every verb except `is_current` may raise StoreError, and nothing else. Then its
    outcome is not known. No verb waits for another process for more than a moment. The
    first verb that finds that generations were lost raises StoreLostError, once.
    """

    def now(self) -> float:
        """Return seconds on the clock that all users of this store share."""

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """Look up an entry together with the generations of its tags.

        Reads the generations before the entry, and each tag's hold-off after its
        generation. Gives a generation to each tag that has none.

        key: of the entry.
        tags: that the entry depends on.
        """

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """Do what `load` does for each key and its tags; return the same order.

        Takes as few round trips as possible. It is not atomic: other processes may
        evict between two of the look-ups.
        """

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """Return True if the tags have these generations at this moment.

        Returns False if that is not known. Neither waits nor raises, and ignores
        hold-offs.

        tags: of an entry.
        snapshot: a generation for each tag, in the same order.
        """

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """Put an entry.

        key: of the entry.
        entry: encoded, with its snapshot.
        ttl: seconds. The store may drop the entry after them, or earlier.
        tags: that the entry depends on. If generations expire in this store, those of
            the tags live at least as long as the entry.
        """

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """Do what `fill` does for each. If it raises, each may be put or not."""

    def evict(self, request: EvictionRequest) -> Eviction:
        """Give every tag of the request a new generation and a hold-off.

        Atomic per tag against other evictions. A reader sees a tag's hold-off no later
        than its generation. Restored tags are written after all others: otherwise a
        writer that is killed in between has made an entry valid again that one of the
        other tags was to invalidate.
        """

    def clear(self) -> None:
        """Drop all entries. It does not evict: generations and hold-offs stay."""

    def close(self) -> None:
        """Close files and connections; the next verb opens them again."""


@runtime_checkable
class Watching(Protocol):
    """A store with a faster `is_current` for tags that are checked repeatedly."""

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """Return a function that does what `is_current` does for these arguments.

        The function may return False where `is_current` returns True: if a tag was
        evicted and restored meanwhile, or the store was closed.

        tags: of an entry.
        snapshot: a generation for each tag, in the same order.
        """


@runtime_checkable
class Deferring(Protocol):
    """A store that writes entries soon after `fill` has returned.

    Its own loads find them at once, and other processes once they are written. Closing
    the store writes them, and so does the end of the process.
    """

    def flush(self, patience: float) -> bool:
        """Write what waits; return whether all is written that was filled before.

        patience: seconds to wait for another thread that writes some.
        """


class Lease(Protocol):
    """The lease of an entry's key, as its holder has it. Raises nothing."""

    def give_back(self) -> bool:
        """End it, and return True if it had not ended.

        It ends by itself when its entry is filled, when its time is over, and when the
        process dies or closes the store. Waits for a moment at most.
        """

    def drop(self) -> None:
        """End it soon, where nothing may wait: in a destructor."""


class Leasing(Protocol):
    """A store that lends the key of an entry to one reader of all processes at a time.

    The reader asks DynamoDB, and others wait for its entry. No promise rests on it:
    two readers with a lease of one key send two requests, and that is all.
    """

    def take_lease(self, key: bytes, seconds: float) -> Lease | None:
        """Take the lease of a key; None if another reader has it. Does not wait for it.

        A `fill` of the key by this process ends the lease when, and only when, the
        entry is visible to all. A child of a fork has no lease of its parent.
        May raise StoreError. Where leases cannot be had for longer, everyone gets one.

        key: of the entry.
        seconds: after which the lease ends, if the store can count them.
        """


def lends(store: object) -> TypeGuard[Leasing]:
    """Return whether a store is Leasing."""
    # By its class first: a store of the user's may have a `__getattr__`. Then by its
    # instance: one under keyed names lends if the store behind does.
    return (
        hasattr(type(store), "take_lease")
        and getattr(store, "take_lease", None) is not None
    )


def waits(store: object) -> bool:
    """Return whether a store may wait, so that an event loop must not ask it.

    All may but those whose own class has `waits = False`. One that is derived from a
    store which never waits may wait, and so may one that wraps it.
    """
    return bool(vars(type(store)).get("waits", True))


class Usage(NamedTuple):
    """How much a store holds.

    entries: how many; None if the store cannot count them cheaply.
    size: bytes that they take; None if that is not known.
    """

    entries: int | None
    size: int | None


@runtime_checkable
class Board(Protocol):
    """A store on which the processes that share it leave each other small records.

    Records have nothing to do with entries: no eviction and no `clear` touches them.
    Each namespace has its own. A name has at most 100 letters, digits, `-`, `_` or `.`,
    and begins with a letter or digit; a record has at most a megabyte. A store keeps at
    most 2,000 records. Each method may raise StoreError, and nothing else, and waits
    for no other process for more than a moment.
    """

    def post(self, name: str, record: bytes, ttl: float) -> None:
        """Put a record in the place of the one with its name. ttl: seconds."""

    def names(self) -> Collection[str]:
        """Return the names of all records; some may have expired."""

    def posted(self, names: Collection[str] | None = None) -> dict[str, bytes]:
        """Return records by their names, those that are there.

        names: of the records; None for all.
        """

    def merge(
        self, parts: Mapping[str, bytes], name: str, record: bytes, ttl: float
    ) -> bool:
        """Put one record in the place of several, all at once.

        Returns False, and changes nothing, if one of the parts is not there any more,
        or has other bytes than those given; if there is a record of that name that is
        none of the parts; or if another process takes long to change records.

        parts: at most 100 records as `posted` returned them.
        """

    def usage(self) -> Usage:
        """Return how much this store holds."""


class CallVerbs(Protocol):
    """What a call asks of a store."""

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""


Settle: TypeAlias = Callable[[Exception | None], object]
"""Called once with the outcome of what was not waited for: None, or its error.

It may be called in any thread, must not raise, and must not use the store.
"""


SettleEviction: TypeAlias = Callable[[Eviction | Exception], object]
"""The same of an eviction."""


class BoundedCallVerbs(CallVerbs, Protocol):
    """What a call asks of a store across a network."""

    def fill_later(self, fills: Sequence[Fill], settle: Settle) -> None:
        """Do what `fill_many` does, and do not wait for the server's answer.

        settle: called when the outcome is known; not if this raises.
        """

    def evict_later(self, request: EvictionRequest, settle: SettleEviction) -> None:
        """Do what `evict` does, and do not wait for the server's answer.

        No tag of the request is restored.
        Commands that are sent later may be carried out before it, if they go by another
        connection. See `fill_later`.
        """


@runtime_checkable
class Bounding(Protocol):
    """A store across a network: what a call asks of it has one deadline."""

    def for_call(self) -> BoundedCallVerbs:
        """Return the store's verbs, which share one deadline from the first on."""

    def deliver_until(self, deadline: float) -> None:
        """Settle what was not waited for. deadline: moment of `time.monotonic`."""
