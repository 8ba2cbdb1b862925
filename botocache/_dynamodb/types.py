"""The shapes of what DynamoDB's API takes and returns, as JSON is decoded. Pure.

`Any` stands here and nowhere else in the package: the service model has a type for
each operation, and the code that reads a request checks what it relies on.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

AttributeValue: TypeAlias = Mapping[str, Any]
"""One value with its type: `{"S": "7"}`, `{"L": [{"N": "1"}]}`.

Binary values are base64 text in a request, and bytes in an answer that botocore parsed.
"""

Item: TypeAlias = Mapping[str, AttributeValue]
"""Attributes by name: an item, an item's key, or an image of an item."""

Names: TypeAlias = Mapping[str, str]
"""ExpressionAttributeNames: `{"#n": "name"}`."""

Values: TypeAlias = Mapping[str, AttributeValue]
"""ExpressionAttributeValues: `{":v": {"S": "7"}}`."""

Body: TypeAlias = Mapping[str, Any]
"""The body of a request."""

Answer: TypeAlias = dict[str, Any]
"""The body of a response, as botocore parses it. May be changed by its owner."""
