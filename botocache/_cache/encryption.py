"""Encrypted entries: AES-256-GCM, so that only holders of the key can make or read one.

What is authenticated and not encrypted: the entry's key, its version, snapshot, times
and cost. So an entry cannot be moved to another key, and an eviction ends it as any
other. The namespace is part of the derived key: scope and request are equal in the
namespaces of two environments, or of two accounts, and an entry must not be moved
between them. The header also has the time of storing on the writer's own wall clock.
The store's clock may be that of a server, and who controls the server could stop it.

A nonce must not come twice under one key. Random ones of 96 bits are good for 2^32
messages, too few for all processes that share a cache. So each process has a salt of
128 random bits, and encrypts under a key of its own, which is derived from the master
key and the salt. It takes another salt after MESSAGES entries, and in a forked child. A
machine that was copied with its memory goes on with the same salt: its nonces are
random, too.

Imported only if there are keys: `cryptography` is an optional dependency. Pure.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from botocache._cache.entries import (
    ENCRYPTED,
    LARGEST_ENTRY,
    Header,
    encode_header,
    too_large,
)
from botocache._dynamodb.read_units import SMALLEST, ReadCost
from botocache._errors import CodecError

SKEW = 300.0
"""Seconds by which the wall clocks of two machines may differ."""

MESSAGES = 2**20
"""Entries that a process encrypts under one salt."""

_PURPOSE = b"botocache entry"
"""Tells the keys that are derived here from those that are derived for names."""

_SALT, _NONCE, _TAG = 16, 12, 16
_STORED = struct.Struct(f"<d{_SALT}s{_NONCE}s")
"""Time of storing, salt and nonce; they follow the header."""

_MOST_SALTS = 1024
"""Salts whose keys are kept; deriving one takes 2 µs. Another process has another."""


class EncryptedEntries:
    """Entries under one master key. See EntryCodec.

    key: 32 bytes.
    namespace: of the installation; an entry is good there alone.
    random: as os.urandom.
    clock: the wall clock of this machine, in seconds.
    """

    def __init__(
        self,
        key: bytes,
        namespace: str,
        random: Callable[[int], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._random: Final = random
        self._clock: Final = clock
        self._salt = b""
        self._left = 0  # entries to encrypt under this salt
        place = namespace.encode()

        def cipher(salt: bytes) -> AESGCM:
            # Unambiguous, because each salt has the same length.
            derived = blake2b(salt + place, key=key, person=_PURPOSE, digest_size=32)
            return AESGCM(derived.digest())

        self._cipher: Final = lru_cache(_MOST_SALTS)(cipher)

    def __repr__(self) -> str:
        return "<EncryptedEntries>"

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
        salt, nonce = self._next_salt(), self._random(_NONCE)
        clear = encode_header(ENCRYPTED, snapshot, stored_at, expires_at, cost)
        clear += _STORED.pack(self._clock(), salt, nonce)
        if len(clear) + len(packed) + _TAG > LARGEST_ENTRY:
            raise too_large(len(packed))
        return clear + self._cipher(salt).encrypt(nonce, packed, key + clear)

    def open(self, key: bytes, header: Header) -> bytes:
        """See EntryCodec.open."""
        raw, end = header.raw, header.end
        if raw[0] != ENCRYPTED:
            raise CodecError("entry is not encrypted, and this process has a key")
        try:
            stored_at, salt, nonce = _STORED.unpack_from(raw, end)
        except struct.error as error:
            raise CodecError(f"entry cannot be decrypted: {error}") from error
        # False for NaN, too. Not proven before the decryption, as the whole header.
        ttl = header.expires_at - header.stored_at
        if not -SKEW <= self._clock() - stored_at <= ttl + SKEW:
            raise CodecError("entry is too old or too new by this machine's clock")
        at = end + _STORED.size
        try:
            return self._cipher(salt).decrypt(
                nonce, memoryview(raw)[at:], key + raw[:at]
            )
        except InvalidTag:
            # Without it as the cause: it says nothing.
            raise CodecError(
                "entry cannot be decrypted: it was damaged, or forged, or encrypted "
                "with another key"
            ) from None

    def drop_salt(self) -> None:
        """Encrypt the next entry under another salt: called in a forked child."""
        self._left = 0

    def _next_salt(self) -> bytes:
        # Without a lock: threads that come here at once take a few entries more.
        if self._left <= 0:
            self._salt, self._left = self._random(_SALT), MESSAGES
        self._left -= 1
        return self._salt
