"""What passes between the hooks and the cache: a call, its hit, or its ticket.

A ticket is made when a call is sent and is needed when it ends. It may be abandoned at
any point; it holds no lock. One whose `body` is not None wants the call to be sent with
that body instead of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from botocache._codec import Entry
from botocache._coherence import Eviction, Loaded
from botocache._planned import BatchRead, Read, Write
from botocache._policies import TablePolicy
from botocache._schemas import Schema


class Request(NamedTuple):
    """One call, as the hooks see it.

    operation: `GetItem`. body: JSON, as on the wire. scope: returns whose answers may
    be served, or None when nobody's: the call will be refused for want of credentials.
    """

    operation: str
    body: bytes
    origin: str
    scope: Callable[[], bytes | None]


class Hit(NamedTuple):
    """An answer from the cache. answer: a fresh object, without ResponseMetadata.

    age: seconds since it was filled. key: of the entry. entry: it, or the one that the
    answer was made of; None for that of a batch.
    """

    answer: dict[str, Any]
    age: float
    key: bytes
    entry: Entry | None = None


def request_id(key: str) -> str:
    """Return the RequestId of a hit: nobody takes it for one of DynamoDB's."""
    return f"botocache-{key}"


def response_metadata(key: str, age: float) -> dict[str, Any]:
    """Return the ResponseMetadata of a hit. key: of the entry, in hexadecimal."""
    return {
        "RequestId": request_id(key),
        "HTTPStatusCode": 200,
        "HTTPHeaders": {"x-botocache": "hit", "age": str(int(age))},
        "RetryAttempts": 0,
    }


class ReadTicket(NamedTuple):
    """A read that was sent: what its answer is filled with. tags: of `loaded`."""

    read: Read
    origin: str
    policy: TablePolicy
    key: bytes
    loaded: Loaded
    began: float
    tags: tuple[bytes, ...]
    body: bytes | None = None


Lookup: TypeAlias = Hit | ReadTicket | None
"""What the cache says to one key of a batch; None when it has no say."""


class BatchTicket(NamedTuple):
    """A BatchGetItem that was sent without the keys that were hits.

    lookups: by TableName, one for each read of `batch`.
    """

    batch: BatchRead
    lookups: Mapping[str, tuple[Lookup, ...]]
    body: bytes | None


class WriteThrough(NamedTuple):
    """The entry that a write of one item may fill. key: of the entry."""

    read: Read
    policy: TablePolicy
    key: bytes


class WriteTicket(NamedTuple):
    """A write that was sent.

    tags: what it evicts, as digests. first: its first eviction; None when that failed.
    assumed: the schemas that the tags rest on. through: what it may fill. parameters:
    of the request, as the application made it. body: given when DynamoDB is asked for
    the old item as well, which the application did not ask for.
    """

    write: Write
    origin: str
    tags: tuple[bytes, ...]
    first: Eviction | None
    assumed: tuple[Schema, ...] = ()
    operation: str = ""
    parameters: Mapping[str, Any] | None = None
    through: WriteThrough | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class DescribeTicket:
    """A call that was sent and whose answer describes a table."""

    origin: str
    table: str
    generation: int
    body: None = None


Ticket: TypeAlias = ReadTicket | BatchTicket | WriteTicket | DescribeTicket
