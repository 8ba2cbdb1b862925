"""What passes between the hooks and the cache: a call, its hit, or its ticket.

A ticket is made when a call is sent and is needed when it ends. It may be abandoned at
any point; it holds no lock. One whose `body` is not None wants the call to be sent with
that body instead of its own.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from botocache._cache.entries import Entry
from botocache._cache.key_schemas import Schema
from botocache._cache.modes import Mode
from botocache._coherence import Eviction, Loaded
from botocache._dynamodb.plans import BatchRead, Read, Write
from botocache._settings.tables import TablePolicy


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


class Asked(NamedTuple):
    """What the reads of one call have in common."""

    operation: str
    origin: str
    scope: bytes
    mode: Mode
    now: float


class Question(NamedTuple):
    """What the store is asked for one read.

    key, tags: of its entry. whole: the key of the whole item's entry, out of which a
    projection can be answered as well.
    """

    read: Read
    policy: TablePolicy
    key: bytes
    tags: tuple[bytes, ...]
    whole: bytes | None = None


class Plan(NamedTuple):
    """What the same call will ask the store again.

    schema: what is assumed of the table's key attributes, if the tags rest on that.
    """

    asked: Asked
    question: Question
    schema: Schema | None


@dataclass(slots=True)
class Recording:
    """What the near cache tells a call, and what it wants to know of it.

    signer: of the client whose call it is; a call that another client makes meanwhile
    has another. ticket: what the store said already to this very read, which was no
    hit. has_failed: the store did, which was reported; it is not to be asked again in
    this call. plan: what the call asked, once that is known. parameters: from which the
    plan was made, if that was before the call: the body that its request is expected
    to have.
    """

    signer: Any
    operation: str
    ticket: ReadTicket | None = None
    has_failed: bool = False
    plan: Plan | None = None
    parameters: dict[str, Any] | None = None


recording: ContextVar[Recording | None] = ContextVar(
    "botocache_recording", default=None
)
"""Of the call that the calling thread or task is making."""
