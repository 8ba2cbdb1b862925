"""The Store protocol: what a store does, and what is atomic about it.

A store keeps entries under keys, and a generation and a hold-off for each tag. Its
verbs are those of the protocol in `_coherence.py`, so a caller cannot fill without
having read generations. Keys and tags are digests of 16 bytes. A store decides nothing
about coherence: it applies `next_state` when it evicts, and returns what it holds.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from botocache._coherence import Eviction, EvictionRequest, Loaded

Random: TypeAlias = Callable[[int], bytes]
"""Returns that many random bytes; os.urandom, save in tests."""

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since a moment that stays the same for all users of the store."""

StillCurrent: TypeAlias = Callable[[], bool]
"""Tells whether some tags have some generations at this moment."""


class Fill(NamedTuple):
    """What is put: the arguments of `fill`."""

    key: bytes
    entry: bytes
    ttl: float
    tags: Sequence[bytes] = ()


@runtime_checkable
class Store(Protocol):
    """Where entries and generations live. Safe for threads and across a fork.

    Every verb may raise StoreError, and then its outcome is unknown; it raises nothing
    else. No verb waits for another process for more than a moment. A verb that finds
    that generations were lost raises StoreLostError, once.
    """

    def now(self) -> float:
        """Return seconds on the clock that all users of this store share."""

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """Look up an entry together with the generations of its tags.

        The generations are read before the entry, and the hold-offs after both. A
        tag that has no generation gets one here.
        """

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """Do what `load` does for each key and its tags; answer in the same order.

        In as few round trips as there can be, and not as one: others may evict between
        two of them.
        """

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """Tell whether the tags have these generations at this moment.

        Takes no lock, makes no request and raises nothing; False if it is not known.
        Hold-offs do not matter here.
        """

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """Put an entry. It may be dropped after `ttl` seconds, or earlier.

        tags: on which it depends; where generations expire, theirs live as long.
        """

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """Do what `fill` does for each. When it raises, any of them may be put."""

    def evict(self, request: EvictionRequest) -> Eviction:
        """Give every tag of the request a new generation and a hold-off.

        Atomic per tag against other evictions; a reader sees a tag's hold-off no
        later than its generation. Tags that are restored are written after all others:
        a writer that is killed in between must not have made an entry valid again
        which one of the others is to invalidate.
        """

    def clear(self) -> None:
        """Drop all entries. Generations stay: it is no way to evict."""

    def close(self) -> None:
        """Give back what is held open; the next verb opens it again."""


@runtime_checkable
class Watching(Protocol):
    """A store that can answer `is_current` for the same tags in a hurry."""

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """Return what says, whenever it is called, what `is_current` would.

        It may say False where that would say True: when these generations are not those
        of now, were put back meanwhile, or when what it looks at was closed.
        """
