"""A store that fails at chosen calls."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from botocache._coherence import Loaded
from botocache.stores.protocol import Store
from tests.support.forwarding_store import VERBS, ForwardingStore


class FlakyStore(ForwardingStore):
    """Forwards every verb to another store, or raises a chosen error.

    calls: how often each verb was called.
    damage: changes each entry that is loaded.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls: dict[str, int] = dict.fromkeys(VERBS, 0)
        self.damage: Callable[[bytes], bytes] | None = None
        self._broken: dict[str, Exception] = {}
        self._planned: dict[tuple[str, int], Exception] = {}

    def __repr__(self) -> str:
        return f"<FlakyStore {self.store!r}, broken: {', '.join(self._broken)}>"

    # --- for tests -----------------------------------------------------------------

    @contextmanager
    def failing(self, error: Exception, *verbs: str) -> Iterator[None]:
        """Raise `error` from the given verbs inside the context."""
        self._broken = dict.fromkeys(verbs, error)
        try:
            yield
        finally:
            self._broken = {}

    def fail_once(self, error: Exception, verb: str, call: int) -> None:
        """Raise `error` at the given one of the next calls of a verb; 1 is the next."""
        self._planned[verb, self.calls[verb] + call] = error

    # --- the store -----------------------------------------------------------------

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        return self._damaged(super().load(key, tags))

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        return [self._damaged(loaded) for loaded in super().load_many(lookups)]

    def _damaged(self, loaded: Loaded) -> Loaded:
        if self.damage is None or loaded.entry is None:
            return loaded
        return loaded._replace(entry=self.damage(loaded.entry))

    def _before(self, verb: str) -> None:
        self.calls[verb] += 1
        error = self._planned.pop((verb, self.calls[verb]), self._broken.get(verb))
        if error is not None:
            raise error
