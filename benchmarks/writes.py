"""What write-through and asking for old images add to a put.

    python -m benchmarks.writes [--quick]

Over moto's server in another process, which is what a write to DynamoDB is like at the
least, and over a transport that answers at once, where what is added shows. The item is
there already, so that its old image is returned; and so is a large one, of which an
update changes one attribute.
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


LARGE = {
    **ITEM,
    "sk": {"S": "large"},
    "text": {"L": [{"S": "x" * 100} for _ in range(1_000)]},
}


def putting(made: Any, table: str) -> Callable[[], object]:
    """Return a put of the same item, by a process that knows the table's keys."""
    made.get_item(TableName=table, Key=KEY)
    return lambda: made.put_item(TableName=table, Item=ITEM)


def updating_large(made: Any, table: str) -> Callable[[], object]:
    """Return an update of one attribute of the large item."""
    return lambda: made.update_item(
        TableName=table,
        Key={"pk": LARGE["pk"], "sk": LARGE["sk"]},
        UpdateExpression="SET age = :a",
        ExpressionAttributeValues={":a": {"N": "43"}},
    )


def client_of(server: DynamoDB, **settings: Any) -> Any:
    """Return a client of a server."""
    made = session()
    if settings:
        botocache.install(made, **settings)
    return server.client(made)


def main() -> None:
    """Compare puts with puts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args().quick
    rounds = 7 if quick else 31
    base = "uncached"
    with tempfile.TemporaryDirectory() as directory, running_dynamodb() as server:
        table = server.create_table("pk:S", "sk:S")
        server.client().put_item(TableName=table, Item=LARGE)
        for store in ("memory", "disk"):
            urls = {
                name: "memory:" if store == "memory" else f"disk://{directory}/{at}"
                for at, name in enumerate(SETTINGS)
            }
            of_server = {base: client_of(server)} | {
                name: client_of(server, url=urls[name], **settings)
                for name, settings in SETTINGS.items()
            }
            at_once = {base: client()} | {
                name: client(url=urls[name], **settings)
                for name, settings in SETTINGS.items()
            }
            for title, clients, doing, calls in (
                ("Put to moto's server", of_server, putting, 20),
                ("Update of 100 KB on moto's server", of_server, updating_large, 5),
                ("Put, transport answers at once", at_once, putting, 100),
            ):
                figures = compare(
                    {name: doing(made, table) for name, made in clients.items()},
                    base=base,
                    rounds=rounds,
                    calls=calls,
                )
                report(f"{title}, {store}", base, figures)


if __name__ == "__main__":
    main()
