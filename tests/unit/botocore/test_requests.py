"""Origins: which DynamoDB an endpoint and a region are."""

import pytest

from botocache._botocore.requests import origin


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://dynamodb.eu-west-1.amazonaws.com/", "us-east-1"),
        ("https://dynamodb.us-east-1.amazonaws.com/", "eu-west-1"),
        ("http://dynamodb.eu-west-1.amazonaws.com/", "eu-west-1"),
        ("https://dynamodb.eu-west-1.amazonaws.com:8000/", "eu-west-1"),
    ],
)
def test_another_endpoint_or_region_is_another_origin(url: str, region: str) -> None:
    here = origin("https://dynamodb.eu-west-1.amazonaws.com/", "eu-west-1")
    assert origin(url, region) != here
