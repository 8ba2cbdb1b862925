"""Digests: names of fixed length for keys and tags. Pure.

The input of every digest is MessagePack, which is self-delimiting and keeps types
apart. So two different inputs are never the same bytes: ("ab", "c") is not ("a", "bc").
"""

from hashlib import blake2b
from typing import Final, Protocol

import msgspec


class Hash(Protocol):
    """A hash that is under way, of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes."""


DIGEST_SIZE = 16
"""Bytes of a key or tag. A collision is likely only among some 2^64 of them."""

pack = msgspec.msgpack.Encoder(order="deterministic").encode
"""Returns plain data as digests take it. Raises UnicodeEncodeError at a surrogate."""


def digest(*parts: object) -> bytes:
    """Return a digest of plain data. Equal parts, and only they, have equal digests."""
    try:
        packed = pack(parts)
    except UnicodeEncodeError:  # a name with a lone surrogate, which has no UTF-8
        packed = pack(_packable(parts))
    return blake2b(packed, digest_size=DIGEST_SIZE).digest()


class DigestBeginning:
    """Makes digests of parts that begin alike: all but the last are hashed once.

    length: the number of parts, at most 15.
    parts: all but the last. Raises UnicodeEncodeError for a lone surrogate.

    begun: the hash of these. For callers in a hurry, who copy it as `end` does.
    """

    __slots__ = ("begun",)

    def __init__(self, length: int, *parts: object) -> None:
        # MessagePack of a sequence is a byte for its length, then that of its parts.
        packed = [bytes([_SEQUENCE | length]), *map(pack, parts)]
        self.begun: Final = blake2b(b"".join(packed), digest_size=DIGEST_SIZE)

    def end(self, part: object) -> bytes:
        """Return what `digest` returns of all parts, with this last one.

        Raises UnicodeEncodeError for a lone surrogate.
        """
        begun = self.begun.copy()
        begun.update(pack(part))
        return begun.digest()

    def end_packed(self, part: bytes) -> bytes:
        """Do what `end` does for a part that `pack` has returned."""
        begun = self.begun.copy()
        begun.update(part)
        return begun.digest()


_SEQUENCE = 0x90
"""The first byte of a sequence of up to 15 parts, to which its length is added."""


def _packable(part: object) -> object:
    """Return a part with texts as an extension type, which no other part becomes."""
    if isinstance(part, str):
        return msgspec.msgpack.Ext(0, part.encode("utf-8", "surrogatepass"))
    if isinstance(part, (tuple, list)):
        return [*map(_packable, part)]
    return part


EVERYTHING_DIGEST = digest("tag", "everything", "", ())
"""The digest of the tag on which every entry depends."""
