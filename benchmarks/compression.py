"""From what size compressing an entry pays, and with what, beside plain decoding.

    python -m benchmarks.compression [--quick]

A hit has to decode its entry anyway, and a fill to encode it, so unpacking and packing
are shown as ratios to these. What is won is bytes: on the server, where they cost
memory, and on the network. "Pays below" is the network on which the bytes that are
saved take as long as unpacking does; on a slower one a hit gets faster.
"""

import argparse
import base64
import random
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import lz4.frame
import zstandard

from benchmarks.measure import Figure, compare, report
from botocache._cache.entries import decode_entry, encode_entry
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
    """Return an item as services keep them: names that repeat, values that do not."""
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
    """Return an item that is encrypted by its owner."""
    blob = base64.b64encode(chance.randbytes(150)).decode()
    return {
        "pk": {"S": f"{chance.getrandbits(48)}"},
        "blob": {"B": chance.randbytes(150)},
        "more": {"S": blob},
    }


KINDS = {"orders": order, "encrypted": secret}


def entry(kind: str, size: int) -> tuple[dict[str, Any], bytes]:
    """Return an answer of about that size, and its entry."""
    chance = random.Random(size)
    items = [KINDS[kind](chance)]
    while len(raw := _entry({"Items": items, "Count": len(items)})) < size:
        items.append(KINDS[kind](chance))
    if len(items) == 1:  # an attribute or two of it
        while len(raw) > size and len(items[0]) > 1:
            items[0].popitem()
            raw = _entry({"Items": items, "Count": 1})
    return {"Items": items, "Count": len(items)}, raw


def _entry(answer: dict[str, Any]) -> bytes:
    return encode_entry(answer, (1, 2, 3), 0.0, 60.0)


def main() -> None:
    """Compare, for each kind and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes")
    is_quick = parser.parse_args().quick
    for kind in KINDS:
        for size in SIZES[::3] if is_quick else SIZES:
            compare_codecs(kind, size, rounds=7 if is_quick else 15)


def compare_codecs(kind: str, size: int, rounds: int) -> None:
    """Compare all codecs for one entry, and print what each saves."""
    answer, raw = entry(kind, size)
    calls = max(3, min(200, 400_000 // len(raw)))
    packed = {name: codec.pack(raw) for name, codec in CODECS.items()}
    unpackers: dict[str, Callable[[], object]] = {
        "decode": lambda: decode_entry(raw).body(),
        **{name: partial(CODECS[name].unpack, packed[name]) for name in CODECS},
    }
    packers: dict[str, Callable[[], object]] = {
        "encode": lambda: _entry(answer),
        **{name: partial(CODECS[name].pack, raw) for name in CODECS},
    }
    title = f"{len(raw)} bytes of {kind}"
    figures = compare(unpackers, base="decode", rounds=rounds, calls=calls)
    report(f"Unpack {title}: what a hit pays", "decode", figures)
    packing = compare(packers, base="encode", rounds=rounds, calls=calls)
    report(f"Pack {title}: what a fill pays", "encode", packing)
    print()
    for figure in figures[1:]:
        print_savings(figure, len(raw), len(packed[figure.name]))


def print_savings(figure: Figure, size: int, left: int) -> None:
    """Print what a codec leaves of an entry, and on which network that is faster."""
    megabits = (size - left) * 8 / figure.micros
    pays = f"pays below {megabits:6.0f} Mbit/s" if left < size else "never pays"
    print(f"  {figure.name:44} {left / size:7.2f} of the bytes, {pays}")


if __name__ == "__main__":
    main()
