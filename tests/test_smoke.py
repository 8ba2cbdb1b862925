import pytest

import botocache
from botocache.stores import Store
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB


def test_a_repeated_read_does_not_reach_dynamodb(
    dynamodb: DynamoDB, store: Store, clock: FakeClock
) -> None:
    table = dynamodb.create_table("pk:S")
    session = dynamodb.session()
    botocache.install(session, url=store)
    client = dynamodb.client(session)
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}})
    clock.advance(1.1)
    with dynamodb.counting() as reached:
        answers = [
            client.get_item(TableName=table, Key={"pk": {"S": "a"}}) for _ in range(3)
        ]
    assert reached == {"GetItem": 1}
    assert [answer["Item"] for answer in answers] == [answers[0]["Item"]] * 3
