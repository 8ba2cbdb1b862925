"""Which codec an entry's body is kept in: decoding and encoding, side by side.

    python -m benchmarks.codec [--quick]

Only codecs that can hold nothing but data are in question, and that keep bytes and
str apart; JSON does not and is here for scale.
"""

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import msgpack
import msgspec

from benchmarks.measure import compare, report

if TYPE_CHECKING:
    from collections.abc import Callable

ITEM = {
    "pk": {"S": "user#1234"},
    "sk": {"S": "profile"},
    "name": {"S": "Somebody"},
    "age": {"N": "42"},
    "tags": {"SS": ["a", "b", "c"]},
    "nested": {"M": {"x": {"BOOL": True}, "y": {"NULL": True}}},
}


def distinct(number: int) -> dict[str, Any]:
    """Return an item that shares no object with another."""
    item: dict[str, Any] = json.loads(json.dumps(ITEM))
    item["pk"]["S"] = f"user#{number}"
    return item


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode

ANSWERS = {
    "one item": {"Item": distinct(1)},
    "a page of 20": {"Items": [distinct(n) for n in range(20)], "Count": 20},
}


def main() -> None:
    """Compare, for an item and for a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds, calls = (9, 200) if parser.parse_args().quick else (41, 500)
    base = "msgspec, MessagePack"
    for name, answer in ANSWERS.items():
        packed, text = _pack(answer), json.dumps(answer)
        decoders: dict[str, Callable[[], object]] = {
            base: partial(_unpack, packed),
            "msgpack": partial(msgpack.unpackb, packed),
            "json": partial(json.loads, text),
        }
        figures = compare(decoders, base=base, rounds=rounds, calls=calls)
        report(f"Decode {name}: what a hit pays", base, figures)
        encoders: dict[str, Callable[[], object]] = {
            base: partial(_pack, answer),
            "msgpack": partial(msgpack.packb, answer),
            "json": partial(json.dumps, answer),
        }
        figures = compare(encoders, base=base, rounds=rounds, calls=calls)
        report(f"Encode {name}: what a fill pays", base, figures)


if __name__ == "__main__":
    main()
