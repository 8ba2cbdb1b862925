"""A store as one more process has it: each view gets a cache of its own."""

from collections.abc import Sequence
from functools import partial

from botocache.stores.protocol import StillCurrent, Watching
from tests.support.forwarding_store import ForwardingStore


class OwnView(ForwardingStore):
    """Passes each verb on, and watches as the store does."""

    def _before(self, verb: str) -> None:
        """Do nothing."""

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """See Watching.watch."""
        if isinstance(self.store, Watching):
            return self.store.watch(tags, snapshot)
        return partial(self.is_current, tags, snapshot)
