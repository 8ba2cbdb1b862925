"""What the reads, the writes and the near cache of one cache share."""

from functools import partial
from typing import NamedTuple, Protocol

from botocache._cache.entries import ClearEntries, EntryCodec
from botocache._cache.evictions import Evictions
from botocache._cache.key_schemas import KeySchemas
from botocache._cache.keyring import Keyring, KeyringCodec, KeyringRecords
from botocache._counters import Counters
from botocache._log import FailureLog
from botocache._settings.load import Settings
from botocache.stores.keyed_names import keyed_store
from botocache.stores.protocol import Store


class CacheServices(NamedTuple):
    """The services of one cache: what its parts have in common.

    store: under keyed names, if there are keys.
    codec: of the store's entries.
    records: the codec of what processes post on the store.
    """

    store: Store
    codec: EntryCodec
    settings: Settings
    counters: Counters
    evictions: Evictions
    key_schemas: KeySchemas
    records: EntryCodec


def services_of(store: Store, settings: Settings) -> CacheServices:
    """Return the services of a new cache. May raise ConfigError."""
    counters = Counters()
    failures = FailureLog(counters, store.now)
    codec: EntryCodec = ClearEntries()
    records = codec
    if settings.encryption_keys is not None:
        keyring = Keyring(
            settings.encryption_keys,
            settings.namespace,
            partial(failures.report, "keys_failed", "the application runs uncached"),
        )
        store, codec = keyed_store(store, keyring.names), KeyringCodec(keyring)
        records = KeyringRecords(keyring)
    evictions = Evictions(
        store,
        failures,
        settle=settings.settle,
        write_hold_off=settings.write_hold_off,
    )
    key_schemas = KeySchemas(evictions, codec, settings.ttl, store.now)
    return CacheServices(
        store, codec, settings, counters, evictions, key_schemas, records
    )


class NearTier(Protocol):
    """The near cache, as the cache behind it sees it."""

    def clear(self) -> None:
        """Drop all remembered answers."""

    def on_fill(self, key: bytes) -> None:
        """Mark remembered answers of an entry as outdated: the entry was refilled."""
