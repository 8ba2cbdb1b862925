"""Fill, load, evict, load: a store and its encryption at work, with keys of our own.

The store is one of a namespace of its own, so no process is served what is kept here.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from botocache._cache.entries import ClearEntries, EntryCodec, decode_header
from botocache._cache.keyring import Keyring
from botocache._coherence import EvictionRequest, may_serve
from botocache._errors import (
    BotocacheError,
    EntryError,
    StoreConnectingError,
    StoreError,
    pass_on,
)
from botocache._log import describe
from botocache._observe.doctor.findings import Finding, bad, good, time_text
from botocache._settings.encryption_keys import EncryptionKeys
from botocache.stores.keyed_names import keyed_store
from botocache.stores.protocol import Store

_T = TypeVar("_T")

PATIENCE = 3.0
"""Seconds in which a store that is being opened is tried again."""

_PAUSE = 0.02

_TTL = 60.0

_PACKED = b"\x81\xa4Item\x81\xa2id\x81\xa1S\xa6doctor"


class Digests(NamedTuple):
    """What one round trip keeps.

    key: of its entry.
    tag: of its eviction.
    """

    key: bytes
    tag: bytes


def fresh_digests() -> Digests:
    """Return digests that no request has."""
    return Digests(os.urandom(16), os.urandom(16))


class Encryption(NamedTuple):
    """How entries are kept.

    wrap: returns a store under the names of the keys.
    names_of: returns all names of a digest on the store itself.
    codec: of the entries.
    """

    wrap: Callable[[Store], Store]
    names_of: Callable[[bytes], Sequence[bytes]]
    codec: EntryCodec


def obtain_encryption(
    keys: EncryptionKeys | None, namespace: str
) -> Iterator[Finding | Encryption]:
    """Yield what is found about the keys, and last how entries are kept with them.

    keys: of the settings.
    namespace: in which entries are kept.
    """
    subject = "encryption"
    if keys is None:
        yield good(subject, "off: entries are in clear")
        yield Encryption(lambda store: store, lambda digest: (digest,), ClearEntries())
        return
    # The keyring raises that it skips the store, and reports why to this list.
    failures: list[Exception] = []
    try:
        keyring = Keyring(keys, namespace, failures.append)
        names, codec = keyring.names(), keyring.codec()
    except BotocacheError as error:
        cause = failures[0] if failures else error
        text = describe(cause)
        yield bad(
            subject,
            f"there are no keys: {text}",
            "pip install 'botocache-dynamodb[encryption]'"
            if "pip install" in text
            else "Correct BOTOCACHE_ENCRYPTION_KEYS; see docs/how-to/encryption.md.",
        )
        return
    does = "the first one encrypts" if keys.keys[0] else "entries are in clear so far"
    yield good(subject, f"on: {len(keys.keys)} keys can be read, and {does}")
    yield Encryption(
        lambda store: keyed_store(store, lambda: names), names.of_all, codec
    )


def check_round_trip(
    store: Store,
    codec: EntryCodec,
    digests: Digests,
    advice: str,
    flush: Callable[[], object],
) -> Iterator[Finding]:
    """Yield whether what is filled is loaded, and what is evicted is not.

    store: of a namespace of its own.
    advice: what to do if it fails.
    flush: writes what the store has filled and not written yet.
    """
    subject = "round trip"
    began = time.monotonic()
    try:
        wrong = _what_is_wrong(store, codec, digests, flush)
    except BotocacheError as error:
        yield bad(subject, f"it failed: {describe(error)}", advice)
        return
    took = time_text(time.monotonic() - began)
    if wrong:
        yield bad(subject, wrong, advice)
    else:
        yield good(subject, f"fill, load, evict, load: as it should be, in {took}")


def _what_is_wrong(
    store: Store, codec: EntryCodec, digests: Digests, flush: Callable[[], object]
) -> str:
    key, tag = digests
    # Only the first verbs wait: once they have worked, the store is open.
    before = _patiently(lambda: store.load(key, (tag,)))
    if before.entry is not None:
        return "an entry is there that was never filled"
    # On the store's own clock, as each entry of a cache.
    now = store.now()
    raw = codec.encode(key, _PACKED, tuple(before.snapshot), now, now + _TTL)
    _patiently(lambda: store.fill(key, raw, _TTL, (tag,)))
    # Else the load would find the entry in this process, and say nothing of the disk.
    flush()
    filled = store.load(key, (tag,))
    if filled.entry is None:
        return "an entry that was filled is not there"
    header = decode_header(filled.entry)
    # Through the codec of the settings: with keys, this decrypts what came back.
    if bytes(codec.open(key, header)) != _PACKED:
        return "an entry that was filled has come back as another one"
    if not may_serve(
        header.snapshot, tuple(filled.snapshot), header.expires_at, store.now()
    ):
        return "an entry that was filled is not current"
    # Without a hold-off, which would stay in the shard for others' tags.
    store.evict(EvictionRequest((tag,), 0.0))
    evicted = store.load(key, (tag,))
    if may_serve(
        header.snapshot, tuple(evicted.snapshot), header.expires_at, store.now()
    ):
        return "an entry that was evicted would still be served"
    return ""


def _patiently(verb: Callable[[], _T]) -> _T:
    """Return the result of a verb of a store that may still be opening."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return verb()
        except (EntryError, StoreConnectingError) as error:  # noqa: PERF203 - the loop retries because of it
            pass_on(error)
            if time.monotonic() >= end:
                raise StoreError(f"it does not open: {error}") from error
            time.sleep(_PAUSE)  # a store that opens in a thread announces nothing
