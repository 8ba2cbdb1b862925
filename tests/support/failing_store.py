"""A store with verbs that a test makes fail."""

from collections import Counter

from botocache._errors import StoreError
from botocache.stores.protocol import Store
from tests.support.forwarding_store import ForwardingStore


class FailingStore(ForwardingStore):
    """Forwards each verb to `store`, except those that fail.

    failing: the names of the verbs that raise StoreError.
    asked: how often each verb was called, whether it failed or not.
    failures: how often any verb failed.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.failing: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.failures = 0

    def __repr__(self) -> str:
        return f"<FailingStore failing {sorted(self.failing)}, {self.store!r}>"

    def _before(self, verb: str) -> None:
        self.asked[verb] += 1
        if verb in self.failing:
            self.failures += 1
            raise StoreError(f"{verb} fails, as the test wants it")
