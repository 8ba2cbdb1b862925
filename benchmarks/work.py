"""The reads that are measured, and DynamoDB's answers to them.

Each reads a table of its own, so that one cache can hold them all. Conditions are
strings, because botocache 0.0.6 never finds a condition object again.
"""

from dataclasses import dataclass
from typing import Any

SMALL: dict[str, Any] = {
    "pk": {"S": "user#1234"},
    "sk": {"S": "profile"},
    "name": {"S": "Ada Lovelace"},
    "age": {"N": "42"},
    "tags": {"SS": ["a", "b", "c"]},
    "nested": {"M": {"x": {"BOOL": True}, "y": {"NULL": True}}},
}
KEY = {"pk": SMALL["pk"], "sk": SMALL["sk"]}

_PARTS = 100
LARGE = {
    **SMALL,
    "parts": {
        "L": [
            {"M": {"id": {"N": str(number)}, "text": {"S": f"{number:160}"}}}
            for number in range(_PARTS)
        ]
    },
}
"""Some 20 KB."""


@dataclass(frozen=True)
class Work:
    """One read.

    name: of the read and of its table.
    title: for people.
    method: of clients and Tables.
    arguments: as a client takes them, without TableName.
    plain: the same arguments as a Table takes them.
    answer: as DynamoDB sends it.
    """

    name: str
    title: str
    method: str
    arguments: dict[str, Any]
    plain: dict[str, Any]
    answer: dict[str, Any]


def _getting(name: str, title: str, item: dict[str, Any]) -> Work:
    plain = {"Key": {"pk": KEY["pk"]["S"], "sk": KEY["sk"]["S"]}}
    return Work(name, title, "get_item", {"Key": KEY}, plain, {"Item": item})


def _querying(count: int) -> Work:
    items = [{**SMALL, "sk": {"S": f"order#{number:05}"}} for number in range(count)]
    condition = {"KeyConditionExpression": "pk = :pk"}
    return Work(
        f"query-{count}",
        f"Query of {count} items",
        "query",
        {**condition, "ExpressionAttributeValues": {":pk": KEY["pk"]}},
        {**condition, "ExpressionAttributeValues": {":pk": KEY["pk"]["S"]}},
        {"Items": items, "Count": count, "ScannedCount": count},
    )


GET = _getting("get", "GetItem of six attributes", SMALL)
GET_LARGE = _getting("get-large", "GetItem of 20 KB", LARGE)
QUERY_20 = _querying(20)
QUERY_200 = _querying(200)
