"""The two tables of the service, and what is in them. A program that makes them.

The environment says where DynamoDB is, as for any other client.
"""

from typing import Any

import boto3

TENANTS = tuple(f"tenant-{number:02}" for number in range(100))
KINDS = ("hosts", "depth", "hours", "quota")
NOTE = (
    "Agreed with the tenant; see the contract before this is changed. Changes need the "
    "approval of the data steward, and are announced at least one day ahead."
)


def tenant(name: str) -> dict[str, Any]:
    """Return a tenant whose limit was never changed."""
    contact = f"operations@{name}.example"
    return {"tenant": name, "limit": 100, "version": 0, "contact": contact}


def rules(name: str) -> list[dict[str, Any]]:
    """Return the rules of a tenant."""
    return [
        {"tenant": name, "rule": f"{number}0-{kind}", "kind": kind, "note": NOTE}
        for number, kind in enumerate(KINDS, 1)
    ]


def create(dynamodb: Any, name: str, *key: str) -> Any:
    """Create a table with these key attributes; return it."""
    return dynamodb.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": attribute, "KeyType": kind}
            for attribute, kind in zip(key, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": "S"} for attribute in key
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def main() -> None:
    """Create the tables in the DynamoDB that the environment names, and fill them."""
    dynamodb: Any = boto3.resource("dynamodb")
    with create(dynamodb, "tenants", "tenant").batch_writer() as tenants:
        for name in TENANTS:
            tenants.put_item(Item=tenant(name))
    with create(dynamodb, "rules", "tenant", "rule").batch_writer() as batch:
        for name in TENANTS:
            for rule in rules(name):
                batch.put_item(Item=rule)


if __name__ == "__main__":
    main()
