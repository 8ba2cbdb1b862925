"""The three tables and what is in them before the crawl begins.

`credentials` and `rules` are the metadata that every request reads again, with
provisioned read capacity; `graph` is what the service writes, on demand. Run as a
process of its own, so that it is configured by the environment like any other client.
"""

from __future__ import annotations

import argparse
from typing import Any

import boto3

TENANT = "acme-research"
CRAWL_KEY = "key-crawl-7f3a9c"
ADMIN_KEY = "key-admin-c01d44"
TEMPORARY_KEYS = tuple(f"key-temporary-{number}" for number in range(1, 6))

NOTE = (
    "Agreed with the site's operator; see the crawling policy, section {section}, "
    "before this is changed. Changes need the approval of the data steward, and are "
    "announced to everybody whose crawls they concern at least one day ahead."
)


def credential(api_key: str, role: str) -> dict[str, Any]:
    """Return one record of `credentials`: about a third of a kilobyte."""
    return {
        "api_key": api_key,
        "tenant": TENANT,
        "role": role,
        "state": "active",
        "issued_at": "2031-02-03T09:30:00Z",
        "contact": "crawl-operations@acme-research.example",
        "note": NOTE.format(section=2),
    }


def rule(rule_id: str, kind: str, **settings: object) -> dict[str, Any]:
    """Return one record of `rules`: about a quarter of a kilobyte."""
    note = NOTE.format(section=4)
    return {"tenant": TENANT, "rule_id": rule_id, "kind": kind, "note": note} | settings


CREDENTIALS = (
    credential(CRAWL_KEY, "crawler"),
    credential(ADMIN_KEY, "admin"),
    *(credential(key, "crawler") for key in TEMPORARY_KEYS),
)
RULES = (
    rule("10-hosts", "hosts", values=["127.0.0.1", "www.acme-research.example"]),
    rule("20-depth", "depth", limit=8),
    rule("30-private", "blocked", values=["/private/"]),
    rule("40-shop", "blocked", values=["/cart/", "/search/"]),
)


def create(name: str, *key: str, read_capacity: int | None = None) -> dict[str, Any]:
    """Return CreateTable's parameters for string keys; on demand without capacity."""
    schema = zip(key, ("HASH", "RANGE"), strict=False)
    billing: dict[str, Any] = {"BillingMode": "PAY_PER_REQUEST"}
    if read_capacity is not None:
        throughput = {"ReadCapacityUnits": read_capacity, "WriteCapacityUnits": 5}
        billing = {"ProvisionedThroughput": throughput}
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": a, "KeyType": t} for a, t in schema],
        "AttributeDefinitions": [
            {"AttributeName": a, "AttributeType": "S"} for a in key
        ],
    } | billing


def main() -> None:
    """Create the tables in the DynamoDB that the environment names, and fill them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--read-capacity", type=int, required=True)
    read_capacity = parser.parse_args().read_capacity
    # boto3's resource classes are made at run time: there is no type to name.
    dynamodb: Any = boto3.resource("dynamodb")
    credentials = dynamodb.create_table(
        **create("credentials", "api_key", read_capacity=read_capacity)
    )
    rules = dynamodb.create_table(
        **create("rules", "tenant", "rule_id", read_capacity=read_capacity)
    )
    dynamodb.create_table(**create("graph", "url", "fact"))
    for table, items in ((credentials, CREDENTIALS), (rules, RULES)):
        for item in items:
            table.put_item(Item=item)


if __name__ == "__main__":
    main()
