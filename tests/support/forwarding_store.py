"""A store that passes every verb on to another one, and may do something before it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from botocache._coherence import Eviction, EvictionRequest, Loaded
from botocache.stores.protocol import Fill, Store

VERBS = (
    "now",
    "load",
    "load_many",
    "fill",
    "fill_many",
    "evict",
    "clear",
    "close",
)
"""The verbs before which something may be done; `is_current` is none."""


class ForwardingStore(ABC):
    """Passes each verb on to `store`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @abstractmethod
    def _before(self, verb: str) -> None:
        """Do something before a verb is passed on; it is not, where this raises."""

    def now(self) -> float:
        """See Store.now."""
        self._before("now")
        return self.store.now()

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        self._before("load")
        return self.store.load(key, tags)

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        self._before("load_many")
        return self.store.load_many(lookups)

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current."""
        return self.store.is_current(tags, snapshot)

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        self._before("fill")
        self.store.fill(key, entry, ttl, tags)

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        self._before("fill_many")
        self.store.fill_many(fills)

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        self._before("evict")
        return self.store.evict(request)

    def clear(self) -> None:
        """See Store.clear."""
        self._before("clear")
        self.store.clear()

    def close(self) -> None:
        """See Store.close."""
        self._before("close")
        self.store.close()
