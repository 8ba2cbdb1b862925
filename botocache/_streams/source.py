"""What a follower asks of a stream: the protocol, its values and its errors. Pure.

A stream has shards. A shard has records in the order in which DynamoDB made the
changes, and each item's records are in one shard at a time. A shard closes when it
splits, or after some hours; its children go on, and their records come after its own.
Records are kept for 24 hours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from botocache._errors import BotocacheError, shows

StreamRecord: TypeAlias = Mapping[str, Any]
"""A record as `GetRecords` returns it: `{"dynamodb": {"Keys": ...}, ...}`.

Binary values are bytes. Its time may be a number or a datetime: see `Page.created_at`.
"""


class Stream(NamedTuple):
    """A stream of a table.

    arn: of the stream; another one each time that it is switched on.
    view: what records show: `KEYS_ONLY`, `NEW_IMAGE`, `OLD_IMAGE` or
        `NEW_AND_OLD_IMAGES`.
    is_enabled: it takes up changes. One that was switched off can be read for a day.
    """

    arn: str
    view: str
    is_enabled: bool


class Shard(NamedTuple):
    """A part of a stream.

    parent: the id of the shard that it has followed; "" if it has none.
    is_closed: it has its last record already.
    """

    id: str
    parent: str
    is_closed: bool


@shows("next_iterator", "created_at", "answered_at")
class Page(NamedTuple):
    """What one request for records has returned.

    records: in their order; there may be none.
    next_iterator: for the next request; None at the end of a closed shard.
    created_at: when DynamoDB made the last of the records, in seconds since the epoch;
        None if there are none. Streams know it to the second, rounded down.
    answered_at: when DynamoDB answered, by its own clock, to the second, rounded down;
        None if it did not say.
    """

    records: Sequence[StreamRecord]
    next_iterator: str | None
    created_at: float | None = None
    answered_at: float | None = None


class StreamSource(Protocol):
    """The streams of one region and account. Safe for threads.

    Each method sends one request or a few, waits some seconds at most, and does not
    retry. It may raise StreamError.
    """

    def find(self, table: str) -> Stream | None:
        """Return the newest stream of a table; None if it never had one of late."""

    def shards(self, arn: str) -> Sequence[Shard]:
        """Return all shards of a stream that have records, or may get some."""

    def children(self, arn: str, parent: str) -> Sequence[Shard]:
        """Return the shards that follow a closed one; none may be known yet."""

    def is_enabled(self, arn: str) -> bool:
        """Return whether a stream takes up changes."""

    def open_latest(self, arn: str, shard: str) -> str:
        """Return an iterator behind the newest record of a shard."""

    def open_oldest(self, arn: str, shard: str) -> str:
        """Return an iterator before the oldest record of a shard."""

    def open_after(self, arn: str, shard: str, sequence_number: str) -> str:
        """Return an iterator behind a record of a shard.

        Raises RecordsTrimmedError if the record is trimmed, also if no other came after
        it, and StreamGoneError if the shard never had it.
        """

    def read(self, iterator: str) -> Page:
        """Return the next records. An iterator expires after some minutes.

        It may be read again: the same records come, and perhaps more.
        """


class StreamError(BotocacheError):
    """A request to a stream failed. The message names no key of an item."""


class StreamThrottledError(StreamError):
    """Too many requests: two readers of a shard, and five requests a second."""


class IteratorExpiredError(StreamError):
    """An iterator is too old, or unknown. Open the shard after the last record read."""


class RecordsTrimmedError(StreamError):
    """The next records are older than 24 hours and gone: changes were missed."""


class StreamGoneError(StreamError):
    """No such stream, shard or record, or no more: changes may have been missed."""


class StreamForbiddenError(StreamError):
    """The credentials may not read the stream; the message says which action."""
