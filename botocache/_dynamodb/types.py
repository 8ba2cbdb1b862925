"""The shapes of what DynamoDB's API takes and returns, as JSON is decoded. Pure."""

from collections.abc import Mapping
from typing import Any, TypeAlias

AttributeValue: TypeAlias = Mapping[str, Any]
"""One value with its type: `{"S": "7"}`, `{"L": [{"N": "1"}]}`."""

Item: TypeAlias = Mapping[str, AttributeValue]
"""Attributes by name: an item, an item's key, or an image of an item."""

Body: TypeAlias = Mapping[str, Any]
"""The body of a request."""

Answer: TypeAlias = dict[str, Any]
"""The body of a response, as botocore parses it. May be changed by its owner."""
