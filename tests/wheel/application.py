"""A plain boto3 program that knows nothing of a cache: reads, writes, reads.

Prints as JSON what it read, and which of its operations reached the server.
"""

import json
import sys
import urllib.request
from collections import Counter
from typing import Any

import boto3
from boto3.dynamodb.conditions import Key

URL, TABLE = sys.argv[1:]


def counts() -> "Counter[str]":
    with urllib.request.urlopen(f"{URL}/_counts", timeout=10) as answer:
        return Counter(json.load(answer))


def main() -> None:
    table: Any = boto3.resource("dynamodb", endpoint_url=URL).Table(TABLE)

    def read() -> list[Any]:
        item = table.get_item(Key={"pk": "a"})["Item"]
        items = table.query(KeyConditionExpression=Key("pk").eq("a"))["Items"]
        return [int(item["n"]), int(items[0]["n"])]

    before = counts()
    values = [read(), read()]
    table.update_item(
        Key={"pk": "a"},
        UpdateExpression="SET n = n + :one",
        ExpressionAttributeValues={":one": 1},
    )
    values.append(read())
    print(json.dumps({"values": values, "reached": counts() - before}))


main()
