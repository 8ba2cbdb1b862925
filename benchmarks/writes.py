"""What write-through and asking for old images add to a put.

    python -m benchmarks.writes [--quick]

Over moto's server in another process, which is what a write to DynamoDB is like at the
least, and over a transport that answers at once, where what is added shows. The item is
there already, so that its old image is returned.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import botocache
from benchmarks.hooks import ITEM, KEY, client, session
from benchmarks.measure import compare, report
from tests.support.dynamodb import DynamoDB, running_dynamodb

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "evictions alone": {"write_through": False, "old_images": False},
    "write-through": {"write_through": True, "old_images": False},
    "old images": {"write_through": False, "old_images": True},
    "both": {"write_through": True, "old_images": True},
}


def putting(made: Any, table: str) -> Callable[[], object]:
    """Return a put of the same item, by a process that knows the table's keys."""
    made.get_item(TableName=table, Key=KEY)
    return lambda: made.put_item(TableName=table, Item=ITEM)


def on_server(server: DynamoDB, table: str, **settings: Any) -> Callable[[], object]:
    """Return a put to a server."""
    made = session()
    if settings:
        botocache.install(made, **settings)
    return putting(server.client(made), table)


def main() -> None:
    """Compare puts with puts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args().quick
    rounds = 7 if quick else 31
    base = "uncached"
    with tempfile.TemporaryDirectory() as directory, running_dynamodb() as server:
        table = server.create_table("pk:S", "sk:S")
        for store in ("memory", "disk"):
            urls = {
                name: "memory:" if store == "memory" else f"disk://{directory}/{at}"
                for at, name in enumerate(SETTINGS)
            }
            figures = compare(
                {base: on_server(server, table)}
                | {
                    name: on_server(server, table, url=urls[name], **settings)
                    for name, settings in SETTINGS.items()
                },
                base=base,
                rounds=rounds,
                calls=20,
            )
            report(f"Put to moto's server, {store}", base, figures)
            figures = compare(
                {base: putting(client(), "t")}
                | {
                    name: putting(client(url=urls[name], **settings), "t")
                    for name, settings in SETTINGS.items()
                },
                base=base,
                rounds=rounds,
                calls=100 if quick else 300,
            )
            report(f"Put, transport answers at once, {store}", base, figures)


if __name__ == "__main__":
    main()
