"""Entries as they are sent to a server: the large ones compressed, if that pays.

Zstandard at its fastest level, from 4 KB (benchmarks/compression.py): there a hit
takes a quarter of its decoding longer, and a page of items is a third of its size.
zlib takes a half longer both ways, and forty times as long to pack what is random.

What is not compressed is sent as it is, so it costs a look at its first byte. A value
that begins with MARK is a frame: one more byte says of what kind. Values come from a
server that others can write to: what they may make us allocate is bounded.
"""

from collections import deque

try:
    import zstandard
except ImportError:  # redis-py was installed without our extra
    zstandard = None  # type: ignore[assignment]  # then nothing is compressed

WORTH_IT = 4096
"""Bytes of an entry, from which on it is compressed."""

UNPACKED_LIMIT = 4 * 1024**2
"""Bytes of an entry, unpacked. A page of DynamoDB's has a megabyte, and names."""

MARK = b"\xc1"
"""Of a frame. No entry of ours begins so; one that does is sent in a frame."""

_PLAIN, _ZSTD = b"\0", b"\1"
_HEAD = len(MARK + _PLAIN)

# Each is used by one thread at a time: they keep their memory, and have no lock.
_packers: deque["zstandard.ZstdCompressor"] = deque(maxlen=8)
_unpackers: deque["zstandard.ZstdDecompressor"] = deque(maxlen=8)


def pack(entry: bytes) -> bytes:
    """Return what is to be sent for an entry."""
    if len(entry) >= WORTH_IT and zstandard is not None:
        packed = _compress(entry)
        if len(packed) <= len(entry) * 3 // 4:  # else it is not worth unpacking
            return MARK + _ZSTD + packed
    return MARK + _PLAIN + entry if entry[:1] == MARK else entry


def unpack(value: bytes) -> bytes | None:
    """Return the entry that was sent; None when it is damaged, or far too large."""
    if value[:1] != MARK:
        return value
    kind = value[1:_HEAD]
    if kind == _PLAIN:
        return value[_HEAD:]
    if kind == _ZSTD and zstandard is not None:
        return _decompress(value[_HEAD:])
    return None


def _compress(entry: bytes) -> bytes:
    try:
        packer = _packers.pop()
    except IndexError:
        packer = zstandard.ZstdCompressor(level=1, write_checksum=True)
    packed = packer.compress(entry)
    _packers.append(packer)
    return packed


def _decompress(packed: bytes) -> bytes | None:
    try:
        if not 0 <= zstandard.frame_content_size(packed) <= UNPACKED_LIMIT:
            return None  # as much as it says would be allocated
        try:
            unpacker = _unpackers.pop()
        except IndexError:
            unpacker = zstandard.ZstdDecompressor()
        entry = unpacker.decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
    _unpackers.append(unpacker)
    return entry
