"""Entries as they are sent to a server: large ones compressed, if that saves a quarter.

Zstandard at its fastest level, from 4 KB on (benchmarks/compression.py): a hit takes a
quarter of its decoding longer, and a page of items is a third of its size. zlib takes a
half longer both ways, and forty times as long to compress random bytes.

An entry that is not compressed is sent as it is, so it costs a look at its first byte.
A value that begins with MARK is a frame; its next byte is the frame's kind. Others can
write to the server, so the memory that a value makes us allocate is bounded.
"""

import threading

try:
    import zstandard
except ImportError:  # redis-py was installed without our extra
    zstandard = None  # type: ignore[assignment]  # then nothing is compressed

WORTH_IT = 4096
"""Bytes of the smallest entry that is compressed."""

UNPACKED_LIMIT = 4 * 1024**2
"""Bytes of an unpacked entry. A page of DynamoDB has a megabyte, plus names."""

MARK = b"\xc1"
"""The first byte of a frame. Any other entry that begins with it is put in a frame, and
so is an empty one."""

_PLAIN, _ZSTD = b"\0", b"\1"
_HEAD = len(MARK + _PLAIN)


class _Local(threading.local):
    """A thread's own compressors: they have no lock, and making one is slow."""

    packer: "zstandard.ZstdCompressor | None" = None
    unpacker: "zstandard.ZstdDecompressor | None" = None


_local = _Local()


def pack(entry: bytes) -> bytes:
    """Return an entry as it is sent."""
    if len(entry) >= WORTH_IT and zstandard is not None:
        packed = _compress(entry)
        # Else unpacking costs more than the smaller size saves.
        if len(packed) <= len(entry) * 3 // 4:
            return MARK + _ZSTD + packed
    # A key that does not exist has an empty value as well.
    return MARK + _PLAIN + entry if entry[:1] in (MARK, b"") else entry


def unpack(value: bytes) -> bytes | None:
    """Return the entry that was sent; None if it is damaged or far too large."""
    if value[:1] != MARK:
        return value
    kind = value[1:_HEAD]
    if kind == _PLAIN:
        return value[_HEAD:]
    if kind == _ZSTD and zstandard is not None:
        return _decompress(value[_HEAD:])
    return None


def _compress(entry: bytes) -> bytes:
    packer = _local.packer
    if packer is None:
        packer = zstandard.ZstdCompressor(level=1, write_checksum=True)
        _local.packer = packer
    return packer.compress(entry)


def _decompress(packed: bytes) -> bytes | None:
    unpacker = _local.unpacker
    if unpacker is None:
        unpacker = zstandard.ZstdDecompressor(max_window_size=UNPACKED_LIMIT)
        _local.unpacker = unpacker
    try:
        # The frame states its size, and the library allocates that before it reads on.
        if not 0 <= zstandard.frame_content_size(packed) <= UNPACKED_LIMIT:
            return None
        return unpacker.decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
