"""A service that is attacked: a process with boto3 and botocache, as a user has it.

`python -m tests.security.service TABLE ENDPOINT` reads commands from standard input, a
line of JSON each, and answers each by a line: the answer of DynamoDB or the cache, how
long it took, and what the cache has counted.
"""

import json
import sys
import time
from typing import Any

import boto3

import botocache
from botocache.stores.protocol import Deferring, Store
from tests.support.processes import TIMEOUT


def main() -> None:
    """Serve until standard input ends."""
    table, endpoint = sys.argv[1:]
    cache = botocache.install()  # by the variables that the attacker's script sets
    client = boto3.client("dynamodb", endpoint_url=endpoint, region_name="us-east-1")
    answer: Any
    for line in sys.stdin:
        command = json.loads(line)
        began = time.monotonic()
        try:
            if command == ["flush"]:
                answer = flush(cache.services.store)
            else:
                answer = _carry_out(client, table, command)
        except Exception as error:  # noqa: BLE001 - a failure is what is looked for
            answer = {"failure": f"{type(error).__name__}: {error}"}
        took = time.monotonic() - began
        stats = cache.stats()
        counts = {"hits": stats.hits, "misses": stats.misses, **stats.failures}
        reply = {"answer": answer, "took": took, "counts": counts}
        print(json.dumps(reply, default=repr), flush=True)


def flush(store: Store) -> bool:
    """Write the entries that wait; return whether all are in the store."""
    return not isinstance(store, Deferring) or store.flush(TIMEOUT)


def _carry_out(client: Any, table: str, command: Any) -> Any:
    match command:
        case ["get", name]:
            answer = client.get_item(TableName=table, Key={"pk": {"S": name}})
            return answer.get("Item")
        case ["query", name]:
            answer = client.query(
                TableName=table,
                KeyConditionExpression="pk = :v",
                ExpressionAttributeValues={":v": {"S": name}},
            )
            return answer["Items"]
        case ["put", name, value]:
            item = {"pk": {"S": name}, "value": {"S": value}}
            client.put_item(TableName=table, Item=item)
            return item
        case _:
            return None


if __name__ == "__main__":
    main()
