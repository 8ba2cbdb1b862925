"""Heartbeats: up to when a follower has evicted the changes of a table.

A heartbeat says: every change that DynamoDB made to the table before this moment is
evicted in this store. The moment is on the store's clock. The follower posts one each
second; readers trust it for `TRUST` seconds. The law is in `_coherence.py`.

A heartbeat is an ordinary entry without tags, under a key of its own. It is no record
of the store's Board, for these reasons:

- A call asks for it by its own CallStore, so that this shares the call's deadline. A
  Board waits longer, and so is not for calls.
- It works on each store, also on one that has no Board, and under keyed names.
- The codec of entries detects damage, and with `encryption_keys` also forgery.

The store may drop it as any entry. Then the table is unfollowed until the next post,
which takes a second. A heartbeat that is true stays true, whatever happens to the
follower later. So several followers may post at once, in any order.

A table's name is not enough: a store may be shared by clients of two regions, and a
follower reads the stream of one. So a heartbeat has the region, too. It has not the
endpoint, which DynamoDB and its streams do not have in common; nor the account, which
calls do not always show. Evictions have none of these either, and may be too many.

What a process knows of heartbeats has no lock. Two calls that find it too old ask both,
which costs less than to let one of them miss. A forked child may go on with it.
"""

from typing import Final, NamedTuple, TypedDict

import msgspec

from botocache._cache.call_store import CallStore
from botocache._cache.entries import (
    CLOCK_SKEW,
    EntryCodec,
    decode_body,
    decode_header,
    encode_body,
)
from botocache._cache.evictions import Evictions
from botocache._coherence import TRUST
from botocache._digests import digest
from botocache._errors import CodecError, pass_on
from botocache.stores.protocol import Store

TTL = 600.0
"""Seconds for which the store keeps a heartbeat. It is trusted for less."""

ASK_INTERVAL = 1.0
"""Seconds between two times that a process asks the store for one heartbeat."""

_MOST_TABLES = 1000
"""Tables whose heartbeats a process knows; at one more, it forgets them all."""


class _Body(TypedDict):
    """The body of an entry. followed_until: in seconds on the store's clock."""

    followed_until: float


_decode: Final = msgspec.msgpack.Decoder(_Body).decode


class _Known(NamedTuple):
    """What a process knows of a heartbeat.

    trusted_until: in seconds on the store's clock; 0.0 if there was no heartbeat.
    asked_at: when the call began that has asked for it, on the same clock.
    """

    trusted_until: float
    asked_at: float


_NEVER_ASKED: Final = _Known(0.0, float("-inf"))


class Heartbeats:
    """The heartbeats on one store.

    store: where followers post them.
    codec: of the store's entries.
    evictions: report what fails.
    """

    def __init__(self, store: Store, codec: EntryCodec, evictions: Evictions) -> None:
        self._store: Final = store
        self._codec: Final = codec
        self._evictions: Final = evictions
        self._known: Final[dict[tuple[str, str], _Known]] = {}

    def post(self, region: str, table: str, followed_until: float) -> None:
        """Post a heartbeat, for all that share the store.

        region: of DynamoDB.
        followed_until: every change that DynamoDB has made before is evicted in this
            store, in seconds on the store's clock.

        May raise StoreError or CodecError.
        """
        key, now = heartbeat_key(region, table), self._store.now()
        packed = encode_body(_Body(followed_until=followed_until), _decode)
        entry = self._codec.encode(key, packed, (), now, now + TTL)
        self._store.fill(key, entry, TTL)

    def trusted_until(
        self, region: str, table: str, now: float, store: CallStore
    ) -> float:
        """Return until when a table counts as followed; 0.0 if that is not known.

        Call it before the generations are loaded that are to be trusted: between the
        two, a follower that is late may evict, and post. Never raises.

        region: of DynamoDB.
        now: when the call began, on the store's clock.
        store: of the call. It is asked if what this process knows does not reach beyond
            `now`, and at most once a second.
        """
        place = region, table
        known = self._known.get(place, _NEVER_ASKED)
        # A clock that was set back makes `asked_at` a moment of the future: ask again.
        if now >= known.asked_at - ASK_INTERVAL and (
            now < known.trusted_until or now < known.asked_at + ASK_INTERVAL
        ):
            return known.trusted_until
        trusted_until = 0.0
        try:
            trusted_until = max(0.0, self._load(region, table, now, store) + TRUST)
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "heartbeat_failed", "entries live for `ttl_unfollowed`", error
            )
        if len(self._known) >= _MOST_TABLES:
            self._known.clear()
        # After a failure, too: it has cost the call the time that it has for the store.
        self._known[place] = _Known(trusted_until, now)
        return trusted_until

    def known_until(self, region: str, table: str) -> float:
        """Return what the last look of `trusted_until` has found. Asks nothing."""
        return self._known.get((region, table), _NEVER_ASKED).trusted_until

    def _load(self, region: str, table: str, now: float, store: CallStore) -> float:
        """Return until when the store says that a table is followed.

        It is minus infinity if the store does not say it. May raise StoreError.
        """
        key = heartbeat_key(region, table)
        loaded = store.load(key, ())
        if loaded.entry is None:
            return _NEVER
        try:
            header = decode_header(loaded.entry)
            body = decode_body(self._codec.open(key, header), _decode)
        except CodecError as error:
            self._evictions.report(
                "heartbeat_failed", "entries live for `ttl_unfollowed`", error
            )
            return _NEVER
        until = body["followed_until"]
        # Another process may be ahead of this one by its estimate of the time. What
        # holds for a later moment holds for now. What lies further ahead is damage.
        return min(until, now) if 0.0 < until <= now + CLOCK_SKEW else _NEVER


_NEVER = float("-inf")


def heartbeat_key(region: str, table: str) -> bytes:
    """Return the key under which a table's heartbeat is posted."""
    return digest("heartbeat", region, table)
