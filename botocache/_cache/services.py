"""What the reads, the writes and the near cache of one cache share."""

from functools import partial
from typing import NamedTuple, Protocol

from botocache._cache.audits import Audits
from botocache._cache.brakes import Brakes
from botocache._cache.entries import ClearEntries, EntryCodec
from botocache._cache.evictions import Evictions
from botocache._cache.heartbeats import Heartbeats
from botocache._cache.key_schemas import KeySchemas
from botocache._cache.keyring import Keyring, KeyringCodec, KeyringRecords
from botocache._counting.counters import Counters
from botocache._counting.stats import StreamStats
from botocache._log import FailureLog
from botocache._settings.load import Settings
from botocache.stores.keyed_names import keyed_store
from botocache.stores.protocol import Store


class CacheServices(NamedTuple):
    """The services of one cache: what its parts have in common.

    store: under keyed names, if there are keys.
    codec: of the store's entries.
    records: the codec of what processes post on the store.
    heartbeats: of the followers of tables.
    brakes: of the tables that DynamoDB has throttled lately.
    audits: None in a cache that audits nothing.
    """

    store: Store
    codec: EntryCodec
    settings: Settings
    counters: Counters
    evictions: Evictions
    key_schemas: KeySchemas
    records: EntryCodec
    heartbeats: Heartbeats
    brakes: Brakes
    audits: Audits | None = None


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
    # A table that is made anew around botocache is in no stream yet, so no follower
    # shows that its key is another one.
    bounds = settings.ttl, settings.ttl_unfollowed
    fresh_for = min(seconds for seconds in bounds if seconds is not None)
    key_schemas = KeySchemas(evictions, codec, fresh_for, store.now)
    heartbeats = Heartbeats(store, codec, evictions)
    audits = None
    if settings.shadow or settings.audit:
        audits = Audits(settings, counters, evictions, heartbeats)
    return CacheServices(
        store,
        codec,
        settings,
        counters,
        evictions,
        key_schemas,
        records,
        heartbeats,
        Brakes(),
        audits,
    )


class CountsPoster(Protocol):
    """What posts the counts of a cache."""

    def note_call(self) -> None:
        """Note that a call begins which the near cache did not answer."""

    def rest(self, *, is_closing: bool) -> None:
        """Post what is left, and end the thread. The next call may start another one.

        is_closing: the store is about to be closed, so wait for the post.
        """


class StreamCompanion(Protocol):
    """What follows streams inside a service."""

    def note_call(self) -> None:
        """Note that a call begins which the near cache did not answer."""

    def stream_stats(self) -> tuple[StreamStats, ...]:
        """Return what it has done, for each table. Asks nothing of any server."""

    def rest(self) -> None:
        """Give back what it leads, and end the thread. The next call goes on."""


class NearTier(Protocol):
    """The near cache, as the cache behind it sees it."""

    def clear(self) -> None:
        """Drop all remembered answers."""

    def on_fill(self, key: bytes) -> None:
        """Mark remembered answers of an entry as outdated: the entry was refilled."""
