"""What the reads and the writes of one cache work with."""

from typing import NamedTuple

from botocache._cache.evictions import Evictions
from botocache._cache.key_schemas import Schemas
from botocache._cache.schema_learning import Learning
from botocache._settings.load import Settings
from botocache._stats import Counters, FailureLog
from botocache.stores.protocol import Store


class Parts(NamedTuple):
    """The parts of a cache that its reads and writes share."""

    store: Store
    settings: Settings
    counters: Counters
    evictions: Evictions
    learning: Learning


def assemble(store: Store, settings: Settings) -> Parts:
    """Return the parts of a new cache."""
    counters = Counters()
    evictions = Evictions(
        store,
        FailureLog(counters, store.now),
        settle=settings.settle,
        write_hold_off=settings.write_hold_off,
    )
    learning = Learning(Schemas(store, settings.ttl), evictions)
    return Parts(store, settings, counters, evictions, learning)
