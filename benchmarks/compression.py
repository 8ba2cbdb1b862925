"""Codecs that compress an entry, by size, beside plain decoding.

A hit has to decode its entry anyway, and a fill to encode it, so unpacking and packing
are shown as ratios to these. Compression saves bytes on the server, where they cost
memory, and on the network. "Pays below": on a network of that speed the saved bytes
would take as long as unpacking does; on a slower one a hit gets faster.
"""

import base64
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import lz4.frame
import zstandard

from benchmarks.measure import Group, timed_group
from benchmarks.places import Places
from benchmarks.scale import FULL, Scale
from botocache._cache.entries import (
    ClearEntries,
    decode_answer,
    decode_header,
    encode_answer,
)
from botocache.stores.redis import compression

SIZES = (200, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 64_000, 400_000)

WORDS = [
    *("order", "customer", "street", "paid", "shipped", "pending", "express", "note"),
    *("returned", "London", "Lagos", "Lima", "Osaka", "quantity", "warehouse", "gift"),
    *("invoice", "priority", "standard", "account", "renewal", "basic"),
]


class Codec(NamedTuple):
    """A way to compress, and its way back."""

    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes | None]


def _zstd(level: int) -> Codec:
    return Codec(
        zstandard.ZstdCompressor(level=level).compress,
        zstandard.ZstdDecompressor().decompress,
    )


CODECS: Mapping[str, Codec] = {
    "zlib 1": Codec(partial(zlib.compress, level=1), zlib.decompress),
    "zlib 3": Codec(partial(zlib.compress, level=3), zlib.decompress),
    "zlib 6": Codec(partial(zlib.compress, level=6), zlib.decompress),
    "zstd 1": _zstd(1),
    "zstd 3": _zstd(3),
    "lz4": Codec(lz4.frame.compress, lz4.frame.decompress),
    "as the store does it": Codec(compression.pack, compression.unpack),
}


def order(chance: random.Random) -> dict[str, Any]:
    """Return an item of a service: its names repeat, its values do not."""
    some = partial(chance.choice, WORDS)
    return {
        "pk": {"S": f"customer#{chance.getrandbits(48):012x}"},
        "sk": {
            "S": f"order#2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        },
        "id": {"S": f"{chance.getrandbits(128):032x}"},
        "status": {"S": some()},
        "total": {"N": f"{chance.randint(1, 99999) / 100}"},
        "note": {"S": " ".join(some() for _ in range(chance.randint(3, 20)))},
        "address": {
            "M": {"city": {"S": some()}, "zip": {"S": f"{chance.random():.6}"}}
        },
        "tags": {"SS": sorted({some() for _ in range(3)})},
    }


def secret(chance: random.Random) -> dict[str, Any]:
    """Return an item that the application encrypted."""
    blob = base64.b64encode(chance.randbytes(150)).decode()
    return {
        "pk": {"S": f"{chance.getrandbits(48)}"},
        "blob": {"B": chance.randbytes(150)},
        "more": {"S": blob},
    }


_KEY = bytes(16)
_clear = ClearEntries()

KINDS = {"orders": order, "encrypted": secret}


def entry(kind: str, size: int) -> tuple[dict[str, Any], bytes]:
    """Return an answer of about that size, and its entry."""
    chance = random.Random(size)
    items = [KINDS[kind](chance)]
    while len(raw := _entry({"Items": items, "Count": len(items)})) < size:
        items.append(KINDS[kind](chance))
    if len(items) == 1:  # too large: drop attributes
        while len(raw) > size and len(items[0]) > 1:
            items[0].popitem()
            raw = _entry({"Items": items, "Count": 1})
    return {"Items": items, "Count": len(items)}, raw


def _entry(answer: dict[str, Any]) -> bytes:
    return _clear.encode(_KEY, encode_answer(answer), (1, 2, 3), 0.0, 60.0)


def _decoded(raw: bytes) -> object:
    return decode_answer(_clear.open(_KEY, decode_header(raw)))


def measure(scale: Scale, _places: Places) -> Iterator[Group]:
    """Compare all codecs, for each kind and size of entry."""
    for kind in KINDS:
        for size in SIZES[:: 1 if scale is FULL else 3]:
            yield from _codecs(kind, size, scale)


def _codecs(kind: str, size: int, scale: Scale) -> Iterator[Group]:
    """Compare all codecs for one entry."""
    answer, raw = entry(kind, size)
    packed = {name: codec.pack(raw) for name, codec in CODECS.items()}
    unpackers: dict[str, Callable[[], object]] = {
        "decode": lambda: _decoded(raw),
        **{name: partial(CODECS[name].unpack, packed[name]) for name in CODECS},
    }
    packers: dict[str, Callable[[], object]] = {
        "encode": lambda: _entry(answer),
        **{name: partial(CODECS[name].pack, raw) for name in CODECS},
    }
    what = f"{len(raw)} bytes of {kind}"
    name = f"{kind}-{len(raw)}"
    title = f"Compression: unpack {what}, the cost of a hit"
    hit = timed_group(f"unpack-{name}", title, "decode", unpackers, scale)
    yield replace(hit, note=_savings(hit, len(raw), packed))
    title = f"Compression: pack {what}, the cost of a fill"
    yield timed_group(f"pack-{name}", title, "encode", packers, scale)


def _savings(group: Group, size: int, packed: Mapping[str, bytes]) -> str:
    """Return what each codec leaves of an entry, and on which network it pays."""
    parts = []
    for figure in group.figures()[1:]:
        left = len(packed[figure.name])
        megabits = max(size - left, 0) * 8 / figure.micros
        parts.append(
            f"{figure.name} leaves {left / size:.2f}, pays below {megabits:.0f} Mbit/s"
        )
    return "; ".join(parts) + "."
