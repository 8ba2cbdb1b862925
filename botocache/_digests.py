"""Digests: names of fixed length for keys and tags. Pure.

The input of every digest is MessagePack, which is self-delimiting and keeps types
apart. So two different inputs are never the same bytes: ("ab", "c") is not ("a", "bc").
"""

from hashlib import blake2b

import msgspec

DIGEST_SIZE = 16
"""Bytes of a key or tag. A collision is likely only among some 2^64 of them."""

_pack = msgspec.msgpack.Encoder(order="deterministic").encode


def digest(*parts: object) -> bytes:
    """Return a digest of plain data. Equal parts, and only they, have equal digests."""
    return blake2b(_pack(parts), digest_size=DIGEST_SIZE).digest()


EVERYTHING_DIGEST = digest("tag", "everything", "", ())
"""The digest of the tag on which every entry depends."""
