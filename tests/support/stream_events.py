"""Records of a stream, as moto's server makes them, and the events that Lambda has."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.dynamodb import DynamoDB

STREAM = "arn:aws:dynamodb:eu-central-1:123456789012:table/{}/stream/2026-11-29T12:00"
"""The ARN of a stream of a table with that name."""


def create_streamed(
    dynamodb: DynamoDB, *keys: str, view: str = "NEW_AND_OLD_IMAGES"
) -> str:
    """Create a table with a stream; return its name."""
    stream = {"StreamEnabled": True, "StreamViewType": view}
    return dynamodb.create_table(*keys, StreamSpecification=stream)


def records_of(dynamodb: DynamoDB, table: str) -> list[dict[str, Any]]:
    """Return all records of a table's stream, as botocore parses them."""
    client = dynamodb.session().client("dynamodbstreams", endpoint_url=dynamodb.url)
    (stream,) = client.list_streams(TableName=table)["Streams"]
    arn = stream["StreamArn"]
    (shard,) = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = client.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records: list[dict[str, Any]] = client.get_records(ShardIterator=iterator)[
        "Records"
    ]
    return records


def record(
    key: Mapping[str, Any],
    *,
    kind: str = "MODIFY",
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    number: str = "100000000000000000001",
) -> dict[str, Any]:
    """Return a record of `GetRecords`. old, new: its images; None for a missing one."""
    images = {"OldImage": old, "NewImage": new}
    return {
        "eventName": kind,
        "dynamodb": {
            "Keys": dict(key),
            **{name: image for name, image in images.items() if image is not None},
            "SequenceNumber": number,
        },
    }


def lambda_event(records: Sequence[Mapping[str, Any]], table: str) -> dict[str, Any]:
    """Return the event that Lambda makes of records of a table's stream."""
    arn = STREAM.format(table)
    return {"Records": plain([{**each, "eventSourceARN": arn} for each in records])}


def kinesis_event(records: Sequence[Mapping[str, Any]], table: str) -> dict[str, Any]:
    """Return the event of the same records by way of Kinesis Data Streams."""
    made = []
    for each in plain(records):
        number = each["dynamodb"].pop("SequenceNumber")
        each["dynamodb"].pop("StreamViewType", None)
        whole = {**each, "tableName": table, "recordFormat": "application/json"}
        data = base64.b64encode(json.dumps(whole).encode()).decode()
        kinesis = {"sequenceNumber": number, "partitionKey": "any", "data": data}
        made.append({"eventSource": "aws:kinesis", "kinesis": kinesis})
    return {"Records": made}


def plain(value: Any) -> Any:
    """Return what botocore has parsed as JSON: binary in base64, moments in seconds."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    return (
        base64.b64encode(value).decode()
        if isinstance(value, bytes)
        else value.timestamp()
    )
