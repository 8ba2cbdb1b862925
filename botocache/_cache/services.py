"""What the reads, the writes and the near cache of one cache share."""

from typing import NamedTuple, Protocol

from botocache._cache.evictions import Evictions
from botocache._cache.key_schemas import KeySchemas
from botocache._settings.load import Settings
from botocache._stats import Counters, FailureLog
from botocache.stores.protocol import Store


class CacheServices(NamedTuple):
    """The services of one cache."""

    store: Store
    settings: Settings
    counters: Counters
    evictions: Evictions
    key_schemas: KeySchemas


def services_of(store: Store, settings: Settings) -> CacheServices:
    """Return the services of a new cache."""
    counters = Counters()
    evictions = Evictions(
        store,
        FailureLog(counters, store.now),
        settle=settings.settle,
        write_hold_off=settings.write_hold_off,
    )
    key_schemas = KeySchemas(evictions, settings.ttl)
    return CacheServices(store, settings, counters, evictions, key_schemas)


class NearTier(Protocol):
    """What stands in front of a cache and remembers answers in this process."""

    def clear(self) -> None:
        """Forget all answers."""

    def on_fill(self, key: bytes) -> None:
        """Mark what is remembered of an entry as outdated: it was filled anew."""
