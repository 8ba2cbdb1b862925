"""What is asked and answered: the reads that are measured, and their answers.

Each is a question to a table of its own, so that one cache can hold them all. The
resource asks for the same as the client, in its own words; both by strings, because
0.0.6 never finds a condition object again.
"""

from dataclasses import dataclass
from typing import Any

SMALL: dict[str, Any] = {
    "pk": {"S": "user#1234"},
    "sk": {"S": "profile"},
    "name": {"S": "Somebody"},
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

    method: of clients and Tables. asked: its arguments but for TableName, as a client
    takes them; plain: as a Table does. answer: as DynamoDB sends it.
    """

    name: str
    title: str
    method: str
    asked: dict[str, Any]
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
