"""What a hit costs before botocore's pipeline, beside one through the hooks.

    python -m benchmarks.near [--quick]

The base is a `before-call` handler that does nothing but answer: the floor of every
design that hooks botocore's events.
"""

import argparse
import tempfile
from collections.abc import Callable

from benchmarks.clients import ITEM, client, floor_client, getting
from benchmarks.measure import compare, report
from benchmarks.work import KEY
from botocache._near.call_keys import quick_key
from botocache.stores.memory import MemoryStore

BASE = "do-nothing before-call handler"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds = 15 if parser.parse_args().quick else 101
    with tempfile.TemporaryDirectory() as directory:
        disk = f"disk://{directory}"
        contenders: dict[str, Callable[[], object]] = {
            BASE: getting(floor_client()),
            "hit through the hooks, memory": getting(
                client(url=MemoryStore(), near="off")
            ),
            "near hit, memory": getting(client(url=MemoryStore())),
            "near hit, disk": getting(client(url=disk)),
            "of that: the key of its arguments": lambda: quick_key(
                BASE, "GetItem", {"TableName": "t", "Key": KEY}
            ),
        }
        figures = compare(contenders, base=BASE, rounds=rounds, calls=200)
    report(f"near: GetItem of {len(ITEM)} attributes, a hit", BASE, figures)


if __name__ == "__main__":
    main()
