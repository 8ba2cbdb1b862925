"""A store that fails when it is told to."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from botocache._coherence import Eviction, Loaded
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


class FlakyStore:
    """Passes every verb on to another store, unless it is to raise instead.

    calls: how often each verb was asked. damage: what is done to each entry that is
    loaded.
    """

    def __init__(self, inner: Store) -> None:
        self.calls: dict[str, int] = dict.fromkeys(VERBS, 0)
        self.damage: Callable[[bytes], bytes] | None = None
        self._inner = inner
        self._broken: dict[str, Exception] = {}
        self._planned: dict[tuple[str, int], Exception] = {}

    def __repr__(self) -> str:
        return f"<FlakyStore {self._inner!r}, broken: {', '.join(self._broken)}>"

    # --- for tests -----------------------------------------------------------------

    @contextmanager
    def failing(self, error: Exception, *verbs: str) -> Iterator[None]:
        """Raise `error` whenever one of the verbs is asked, inside."""
        self._broken = dict.fromkeys(verbs, error)
        try:
            yield
        finally:
            self._broken = {}

    def fail_once(self, error: Exception, verb: str, call: int) -> None:
        """Raise `error` at the given one of the next calls of a verb; 1 is the next."""
        self._planned[verb, self.calls[verb] + call] = error

    # --- the store -----------------------------------------------------------------

    def now(self) -> float:
        """See Store.now."""
        self._pass_or_raise("now")
        return self._inner.now()

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        self._pass_or_raise("load")
        return self._damaged(self._inner.load(key, tags))

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        self._pass_or_raise("load_many")
        return [self._damaged(loaded) for loaded in self._inner.load_many(lookups)]

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current."""
        return self._inner.is_current(tags, snapshot)

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        self._pass_or_raise("fill")
        self._inner.fill(key, entry, ttl, tags)

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        self._pass_or_raise("fill_many")
        self._inner.fill_many(fills)

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
        self._pass_or_raise("evict")
        return self._inner.evict(tags, hold_off, watch=watch, since=since, spare=spare)

    def clear(self) -> None:
        """See Store.clear."""
        self._pass_or_raise("clear")
        self._inner.clear()

    def close(self) -> None:
        """See Store.close."""
        self._pass_or_raise("close")
        self._inner.close()

    def _damaged(self, loaded: Loaded) -> Loaded:
        if self.damage is None or loaded.entry is None:
            return loaded
        return loaded._replace(entry=self.damage(loaded.entry))

    def _pass_or_raise(self, verb: str) -> None:
        self.calls[verb] += 1
        error = self._planned.pop((verb, self.calls[verb]), self._broken.get(verb))
        if error is not None:
            raise error
