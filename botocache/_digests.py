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
    try:
        packed = _pack(parts)
    except UnicodeEncodeError:  # a name with a lone surrogate, which has no UTF-8
        packed = _pack(_packable(parts))
    return blake2b(packed, digest_size=DIGEST_SIZE).digest()


def _packable(part: object) -> object:
    """Return a part with texts as an extension type, which no other part becomes."""
    if isinstance(part, str):
        return msgspec.msgpack.Ext(0, part.encode("utf-8", "surrogatepass"))
    if isinstance(part, (tuple, list)):
        return [*map(_packable, part)]
    return part


EVERYTHING_DIGEST = digest("tag", "everything", "", ())
"""The digest of the tag on which every entry depends."""
