"""The cache on an existing session: one line. Shows which read was a hit.

Runs against moto's in-process DynamoDB (`pip install boto3 "moto[dynamodb]"`); with
real credentials and a real table the same lines do the same.
"""

import boto3
from moto import mock_aws

import botocache


def main() -> None:
    """Read twice, write, read again."""
    session = boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    table = session.resource("dynamodb").create_table(
        TableName="pages",
        KeySchema=[{"AttributeName": "url", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "url", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.put_item(Item={"url": "/", "visits": 1})

    botocache.install(session, url="memory:")  # this is the line
    table = session.resource("dynamodb").Table("pages")

    def read(label: str) -> None:
        answer = table.get_item(Key={"url": "/"})
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        source = "the cache" if "x-botocache" in headers else "DynamoDB"
        print(f"{label:18} from {source}, visits = {answer['Item']['visits']}")

    read("first read:")
    read("second read:")
    table.update_item(
        Key={"url": "/"},
        UpdateExpression="ADD visits :one",
        ExpressionAttributeValues={":one": 1},
    )
    read("after the update:")
    table.put_item(Item={"url": "/", "visits": 0})
    read("after the put:")


if __name__ == "__main__":
    with mock_aws():
        main()
