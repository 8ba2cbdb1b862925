"""The keys of one cache in use: its entries' codec and its store's names.

A function of the application's may return the keys, for example from a KMS. It is
called when the store is first used. While there are no keys, the store is skipped: the
application runs uncached, never in clear.
"""

import contextlib
import math
import os
import threading
from collections.abc import Callable
from functools import cache
from time import monotonic
from time import time as wall_clock
from typing import Final, NamedTuple

from botocache._cache.entries import ClearEntries, EntryCodec, Header, Packed
from botocache._dynamodb.read_units import SMALLEST, ReadCost
from botocache._errors import CodecError, ConfigError, StoreSkippedError, pass_on
from botocache._forks import renew_after_fork
from botocache._log import describe
from botocache._settings.encryption_keys import EncryptionKeys, Key
from botocache.stores.keyed_names import Names

RETRY_INTERVAL = 60.0
"""Seconds after which a source of keys that failed is called again."""

PATIENCE = 1.0
"""Seconds that other threads wait while one calls the source of the keys."""


class InUse(NamedTuple):
    """What is made of the keys.

    codec: of the first key.
    older: returns the codecs of the other keys; a record may still be encrypted with
        one of them.
    """

    names: Names
    codec: EntryCodec
    older: Callable[[], tuple[EntryCodec, ...]]


class Keyring:
    """The keys of one cache, obtained at their first use. Safe for threads.

    namespace: of the installation; it is bound into its entries.
    report: called with the error if the keys cannot be had.

    Raises ConfigError if `cryptography` is needed and cannot be imported.
    """

    def __init__(
        self,
        keys: EncryptionKeys,
        namespace: str,
        report: Callable[[Exception], None],
    ) -> None:
        self._keys: Final = keys
        self._namespace: Final = namespace
        self._report: Final = report
        self._in_use: InUse | None = None
        self._failure: Exception | None = None
        self._next_attempt: float = -math.inf
        if keys.may_encrypt:
            _require_cryptography()
        self._renew()
        renew_after_fork(self, Keyring._renew)

    def __repr__(self) -> str:
        return f"<Keyring {self._keys!r}>"

    def names(self) -> Names:
        """Return the names of the store. Raises StoreSkippedError without keys."""
        return (self._in_use or self._obtain()).names

    def codec(self) -> EntryCodec:
        """Return the codec of the entries. Raises StoreSkippedError without keys."""
        return (self._in_use or self._obtain()).codec

    def older(self) -> tuple[EntryCodec, ...]:
        """Return the codecs of the other keys. Raises StoreSkippedError without any."""
        return (self._in_use or self._obtain()).older()

    def _obtain(self) -> InUse:
        """Obtain the keys, or wait a moment for the thread that does."""
        now = monotonic()
        with self._lock:
            is_mine = now >= self._next_attempt
            if is_mine:
                self._next_attempt = now + RETRY_INTERVAL
                self._patient_until = now + PATIENCE
                self._asker, self._asked = threading.get_ident(), threading.Event()
        if is_mine:
            asked = self._asked
            try:
                self._in_use = _in_use(self._keys.obtain(), self._namespace)
            except BaseException as error:
                self._next_attempt = -math.inf  # after an interruption, at once
                own = pass_on(error)
                self._next_attempt = now + RETRY_INTERVAL
                self._report(own)
                # Its frames would live as long, and may hold secrets.
                self._failure = own.with_traceback(None)
            finally:
                asked.set()
        # The source itself may read from DynamoDB: it must not wait for its own end.
        elif self._asker != threading.get_ident():
            self._asked.wait(max(0.0, self._patient_until - now))
        if self._in_use is None:
            raise StoreSkippedError(
                "skipped: there are no encryption keys"
            ) from self._failure
        return self._in_use

    def _renew(self) -> None:
        """Forget what another thread does, at the start and in a forked child."""
        self._lock = threading.RLock()  # a signal handler may make calls in here
        self._next_attempt = -math.inf
        self._patient_until = -math.inf
        self._asker, self._asked = 0, threading.Event()


class KeyringCodec:
    """The codec of a keyring's keys. See EntryCodec. May raise StoreSkippedError."""

    def __init__(self, keyring: Keyring) -> None:
        self._codec: Final = keyring.codec

    def encode(  # noqa: PLR0913, PLR0917 - what an entry consists of
        self,
        key: bytes,
        packed: bytes,
        snapshot: tuple[int, ...],
        stored_at: float,
        expires_at: float,
        cost: ReadCost = SMALLEST,
    ) -> bytes:
        """See EntryCodec.encode."""
        return self._codec().encode(key, packed, snapshot, stored_at, expires_at, cost)

    def open(self, key: bytes, header: Header) -> Packed:
        """See EntryCodec.open."""
        return self._codec().open(key, header)


class KeyringRecords(KeyringCodec):
    """The codec of records that processes with any of the keys have posted.

    An entry under an older key is a miss, which the next fill ends. A record is the
    only one of its kind, so it is read under each key. One in clear is refused, also
    where `plain` is among the keys: nothing proves who has written it.
    """

    def __init__(self, keyring: Keyring) -> None:
        super().__init__(keyring)
        self._older: Final = keyring.older

    def open(self, key: bytes, header: Header) -> Packed:
        """See EntryCodec.open."""
        try:
            return super().open(key, header)
        except CodecError:
            for codec in self._older():
                with contextlib.suppress(CodecError):
                    return codec.open(key, header)
            raise


def _in_use(keys: tuple[Key, ...], namespace: str) -> InUse:
    first, *others = keys

    @cache
    def older() -> tuple[EntryCodec, ...]:
        try:
            return tuple(_codec(key, namespace) for key in others if key is not None)
        except ImportError:  # with `plain` first, cryptography may be lacking
            return ()

    codec = ClearEntries() if first is None else _codec(first, namespace)
    return InUse(Names(keys), codec, older)


def _codec(key: bytes, namespace: str) -> EntryCodec:
    from botocache._cache.encryption import EncryptedEntries

    codec = EncryptedEntries(key, namespace, os.urandom, wall_clock)
    renew_after_fork(codec, EncryptedEntries.drop_salt)
    return codec


def _require_cryptography() -> None:
    try:
        from botocache._cache import encryption  # noqa: F401 - whether it can be
    except Exception as error:
        pass_on(error)
        is_absent = (
            isinstance(error, ModuleNotFoundError) and error.name == "cryptography"
        )
        cause = "" if is_absent else f", which cannot be imported ({describe(error)})"
        raise ConfigError(
            f"encryption_keys needs the package cryptography{cause}: "
            "pip install 'botocache-dynamodb[encryption]'"
        ) from error
