"""A plain boto3 program that knows nothing of a cache: reads, writes, reads.

Prints as JSON what it read, and which of its operations reached the server.
"""

import json
import sys
import urllib.request
from collections import Counter
from typing import Any

import boto3

URL, TABLE = sys.argv[1:]


def counts() -> "Counter[str]":
    with urllib.request.urlopen(f"{URL}/_counts", timeout=10) as answer:
        return Counter(json.load(answer))


def main() -> None:
    # A resource takes a third longer to make. The program of docs/start.md has one.
    client: Any = boto3.client("dynamodb", endpoint_url=URL)
    key = {"pk": {"S": "a"}}

    def read() -> list[int]:
        item = client.get_item(TableName=TABLE, Key=key)["Item"]
        (queried,) = client.query(
            TableName=TABLE,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": key["pk"]},
        )["Items"]
        return [int(each["n"]["N"]) for each in (item, queried)]

    before = counts()
    values = [read(), read()]
    client.update_item(
        TableName=TABLE,
        Key=key,
        UpdateExpression="SET n = n + :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    values.append(read())
    print(json.dumps({"values": values, "reached": counts() - before}))


main()
