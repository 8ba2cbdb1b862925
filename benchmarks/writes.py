"""What the cache, with and without precise index eviction, adds to a write.

moto's server in another process shows the share in a real call; a transport that
answers at once shows the cost itself. The items exist already, so that the server
returns their old images; an update changes one attribute of a large one.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import botocache
from benchmarks import names
from benchmarks.clients import client, session
from benchmarks.measure import Group, time_rounds
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import KEY, SMALL
from tests.support.dynamodb import DynamoDB

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "cached": {"precise_index_eviction": False},
    "precise index eviction": {"precise_index_eviction": True},
}
UNCACHED = "uncached"

LARGE: dict[str, Any] = {
    **SMALL,
    "sk": {"S": "large"},
    "text": {"L": [{"S": "x" * 100} for _ in range(1_000)]},
}


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare puts with puts, and updates with updates."""
    table = places.moto.create_table("pk:S", "sk:S")
    client_of(places.moto).put_item(TableName=table, Item=LARGE)
    for store in (names.MEMORY, names.DISK):
        of_server = {UNCACHED: client_of(places.moto)}
        at_once = {UNCACHED: client()}
        for name, more in SETTINGS.items():
            settings = {**places.stores()[store], **more}
            of_server[name] = client_of(places.moto, **settings)
            at_once[name] = client(**settings)
        few, many = scale.server_rounds, scale.rounds
        for name, title, clients, doing, rounds in (
            ("put", "PutItem to moto's server", of_server, putting, few),
            ("update", "UpdateItem of 100 KB, moto's", of_server, updating_large, few),
            ("at-once", "PutItem, answered at once", at_once, putting, many),
        ):
            contenders = {n: doing(made, table) for n, made in clients.items()}
            times = time_rounds(contenders, rounds=rounds, seconds=scale.seconds)
            what = f"Writes: {title}, {store}"
            yield Group(f"writes-{name}-{store}", what, UNCACHED, times)


def putting(made: Any, table: str) -> Callable[[], object]:
    """Return a put of the same item, by a client that learned the table's keys."""
    made.get_item(TableName=table, Key=KEY)
    return lambda: made.put_item(TableName=table, Item=SMALL)


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
