"""A store that fails when a test says so."""

from collections import Counter
from collections.abc import Collection, Sequence

from botocache._coherence import Eviction, Loaded
from botocache._errors import StoreError
from botocache.stores import Fill, Store

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


class FailingStore:
    """Passes each verb on to `store`, save those that are to fail.

    failing: the names of the verbs that raise StoreError, for as long as they are in
    it. asked: how often each verb was asked, whether it failed or not. failures: how
    often any of them did.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.failing: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.failures = 0

    def __repr__(self) -> str:
        return f"<FailingStore failing {sorted(self.failing)}, {self.store!r}>"

    def now(self) -> float:
        """See Store.now."""
        self._ask("now")
        return self.store.now()

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        self._ask("load")
        return self.store.load(key, tags)

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        self._ask("load_many")
        return self.store.load_many(lookups)

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current."""
        return self.store.is_current(tags, snapshot)

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        self._ask("fill")
        self.store.fill(key, entry, ttl, tags)

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        self._ask("fill_many")
        self.store.fill_many(fills)

    def evict(
        self,
        tags: Sequence[bytes],
        hold_off: float,
        *,
        watch: Sequence[bytes] = (),
        since: Eviction | None = None,
        spare: Collection[bytes] = (),
    ) -> Eviction:
        """See Store.evict."""
        self._ask("evict")
        return self.store.evict(tags, hold_off, watch=watch, since=since, spare=spare)

    def clear(self) -> None:
        """See Store.clear."""
        self._ask("clear")
        self.store.clear()

    def close(self) -> None:
        """See Store.close."""
        self._ask("close")
        self.store.close()

    def _ask(self, verb: str) -> None:
        self.asked[verb] += 1
        if verb in self.failing:
            self.failures += 1
            raise StoreError(f"{verb} fails, as the test wants it")
