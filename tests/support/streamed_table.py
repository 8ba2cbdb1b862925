"""A table whose writes come into a stand-in's stream, wherever the items are kept."""

import threading
from collections.abc import Mapping
from typing import Any

from tests.support.stand_in_streams import StandInStream
from tests.support.stream_records import Item


class StreamedTable:
    """Writes of a table that go around the cache. Safe for threads.

    client: of DynamoDB, without a cache.
    stream: gets a record of each write that changes an item.
    """

    def __init__(self, client: Any, stream: StandInStream) -> None:
        self._client = client
        self._stream = stream
        # Of two writes of an item, the first one's record must come first.
        self._lock = threading.Lock()

    def put(self, item: Item) -> str:
        """Put an item; return the sequence number of the record."""
        with self._lock:
            answer = self._client.put_item(
                TableName=self._stream.table, Item=item, ReturnValues="ALL_OLD"
            )
            return self._record(answer.get("Attributes"), item)

    def update(self, key: Item, **options: Any) -> str:
        """Update an item. options: of UpdateItem, such as its expression."""
        with self._lock:
            old = self._get(key)
            self._client.update_item(TableName=self._stream.table, Key=key, **options)
            return self._record(old, self._get(key))

    def delete(self, key: Item) -> str:
        """Delete an item."""
        with self._lock:
            answer = self._client.delete_item(
                TableName=self._stream.table, Key=key, ReturnValues="ALL_OLD"
            )
            return self._record(answer.get("Attributes"), None)

    def _get(self, key: Item) -> Mapping[str, Any] | None:
        answer = self._client.get_item(
            TableName=self._stream.table, Key=key, ConsistentRead=True
        )
        found: Mapping[str, Any] | None = answer.get("Item")
        return found

    def _record(self, old: Item | None, new: Item | None) -> str:
        # A write that changes nothing has no record, as at DynamoDB.
        return "" if old == new else self._stream.write(old, new)
