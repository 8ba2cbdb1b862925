"""What passes between the adapter and the cache: a call's hit, or its ticket.

A ticket is made when a call is sent and is needed when it ends. It may be abandoned at
any point; it holds no lock. One whose `body` is not None wants the call to be sent with
that body instead of its own.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from botocache._cache.call_store import CallStore
from botocache._cache.entries import Entry
from botocache._cache.key_schemas import Place, Schema
from botocache._cache.prepare import PreparedRead
from botocache._coherence import Eviction, Loaded
from botocache._dynamodb.plans import TABLE_TAG, BatchRead, Write
from botocache._dynamodb.types import Answer, Body

# --- outcomes ----------------------------------------------------------------------


class Hit(NamedTuple):
    """An answer from the cache.

    answer: a fresh object, without ResponseMetadata.
    age: seconds since it was filled.
    key: of the entry.
    entry: the entry that the answer was made of; None for that of a batch.
    prepared: the read that it answers; None for a batch.
    """

    answer: Answer
    age: float
    key: bytes
    entry: Entry | None = None
    prepared: PreparedRead | None = None


def request_id(key: str) -> str:
    """Return the RequestId of a hit, which cannot be mistaken for DynamoDB's."""
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
    """A read that was sent: what its answer is filled with.

    prepared: the read.
    loaded: what the store had for it; its snapshot goes into the entry.
    began: seconds on the store's clock, before the store was asked.
    store: as this call uses it.
    is_consistent: the read is sent strongly consistent, by its own wish or by ours.
    body: to send instead of the call's own; None sends that.
    """

    prepared: PreparedRead
    loaded: Loaded
    began: float
    store: CallStore
    is_consistent: bool
    body: bytes | None = None

    @property
    def table_generation(self) -> int:
        """The generation that the table's tag had before the read was sent."""
        return self.loaded.snapshot[TABLE_TAG]


Lookup: TypeAlias = Hit | ReadTicket | None
"""What the cache says to one read; None when it has nothing to do with it."""


class BatchTicket(NamedTuple):
    """A BatchGetItem that was sent without the keys that were hits.

    batch: what is asked for.
    lookups: by TableName, one for each read of `batch`:
        `{"users": (Hit, ReadTicket)}`.
    store: as this call uses it.
    body: the request without the hits; None when there are none.
    """

    batch: BatchRead
    lookups: Mapping[str, tuple[Lookup, ...]]
    store: CallStore
    body: bytes | None


class WriteTicket(NamedTuple):
    """A write that was sent.

    write: what it means.
    origin: which DynamoDB it changes.
    store: as this call uses it.
    tags: digests of what it evicts.
    first: its first eviction; None when that failed.
    assumed: the schemas that the tags rest on.
    operation: as the service model spells it.
    parameters: of the request, as the application made it.
    through: the read of the item, whose entry the write may fill.
    body: asks for the old item as well, which the application did not ask for.
    """

    write: Write
    origin: str
    store: CallStore
    tags: tuple[bytes, ...]
    first: Eviction | None
    assumed: tuple[Schema, ...] = ()
    operation: str = ""
    parameters: Body | None = None
    through: PreparedRead | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class DescribeTicket:
    """A call that was sent and whose answer describes a table.

    place: which table.
    generation: of the table's tag before the call was sent.
    store: as this call uses it.
    """

    place: Place
    generation: int
    store: CallStore
    body: None = None


Ticket: TypeAlias = ReadTicket | BatchTicket | WriteTicket | DescribeTicket


# --- a call of a near client -------------------------------------------------------


class PipelineCall:
    """A near client's call on its way through botocore's pipeline.

    signer: of the client; a call that another client makes meanwhile has another one.
    operation: as the service model spells it.
    cache: the one that was asked; the client may have another one by now.
    is_begun: the cache was asked already, and did not have the answer.
    ticket: what it said, good for this very call only; None when the cache has nothing
        to do with the call.
    prepared: set by the hooks: the read that this call turned out to be.
    """

    __slots__ = ("cache", "is_begun", "operation", "prepared", "signer", "ticket")

    signer: object
    operation: str
    cache: object
    is_begun: bool
    ticket: ReadTicket | None
    prepared: PreparedRead | None


pipeline_call: ContextVar[PipelineCall | None] = ContextVar(
    "botocache_pipeline_call", default=None
)
"""The call that the calling thread or task is making.

A context variable and not botocore's context: that one callers of a client can reach.
"""
