"""Digests: names of fixed length for keys and tags. Pure.

The input of every digest is MessagePack, which is self-delimiting and keeps types
apart, so two different inputs never share one.
"""

from hashlib import blake2b
from typing import Any

import msgspec

DIGEST_SIZE = 16
"""Bytes of a key or tag: 2^64 of them before two are likely to collide."""

_pack = msgspec.msgpack.Encoder(order="deterministic").encode


def digest(*parts: Any) -> bytes:
    """Return a digest of plain data; equal parts, and only they, give equal ones."""
    return blake2b(_pack(parts), digest_size=DIGEST_SIZE).digest()


EVERYTHING_DIGEST = digest("tag", "everything", "", ())
"""The digest of the tag on which every entry depends."""
