"""A key that is read often is shown as people write it."""

from typing import Any

import pytest
from boto3.dynamodb.conditions import Key

from botocache._dynamodb.key_texts import text_of_key, text_of_read

TEXTS: list[tuple[object, str]] = [
    ({"TableName": "t", "Key": {"id": {"S": "7"}}}, '{"id":{"S":"7"}}'),
    # As a resource takes it.
    ({"TableName": "t", "Key": {"id": "7", "n": 3}}, '{"id":{"S":"7"},"n":{"N":"3"}}'),
    # The values of the key condition, and not those of a filter.
    (
        {
            "IndexName": "by_owner",
            "KeyConditionExpression": "#o = :o",
            "FilterExpression": "age > :age",
            "ExpressionAttributeValues": {":o": {"S": "x"}, ":age": {"N": "3"}},
        },
        '{"IndexName":"by_owner",":o":{"S":"x"}}',
    ),
    (
        {"KeyConditions": {"pk": {"AttributeValueList": [{"S": "x"}]}}},
        '{"pk":[{"S":"x"}]}',
    ),
    ({"TableName": "t", "Segment": 1, "TotalSegments": 4}, '{"Segment":1}'),
    ({"TableName": "t"}, "{}"),
    # What cannot be shown.
    ({"KeyConditionExpression": Key("pk").eq("a")}, "{}"),
    ({"Key": {"id": {"S": "\ud800"}}}, ""),
    (None, ""),
    ({"Key": 7}, "7"),
]


@pytest.mark.parametrize(("parameters", "text"), TEXTS)
def test_a_read_is_shown_by_what_it_asks_for(parameters: Any, text: str) -> None:
    assert text_of_read(parameters) == text


def test_a_key_of_a_batch_is_shown_as_that_of_an_item() -> None:
    assert text_of_key({"id": {"S": "7"}}) == '{"id":{"S":"7"}}'
