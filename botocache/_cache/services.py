"""What the reads, the writes and the near cache of one cache share."""

from typing import NamedTuple, Protocol

from botocache._cache.evictions import Evictions
from botocache._cache.key_schemas import KeySchemas
from botocache._settings.load import Settings
from botocache._stats import Counters, FailureLog
from botocache.stores.protocol import Store


class CacheServices(NamedTuple):
    """The services of one cache: what its parts have in common."""

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
    key_schemas = KeySchemas(evictions, settings.ttl, store.now)
    return CacheServices(store, settings, counters, evictions, key_schemas)


class NearTier(Protocol):
    """The near cache, as the cache behind it sees it."""

    def clear(self) -> None:
        """Drop all remembered answers."""

    def on_fill(self, key: bytes) -> None:
        """Mark remembered answers of an entry as outdated: the entry was refilled."""
