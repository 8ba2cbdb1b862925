"""What passes between the adapter and the cache: a call's hit, or its ticket.

`begin` makes a ticket, and `finish` needs it. The adapter may drop a ticket at any
point: it holds no lock, and a write that is dropped evicts all the same. If a ticket's
`body` is not None, the adapter must send that body instead of the call's own.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal, NamedTuple, TypeAlias, TypedDict

from botocache._cache.call_store import CallStore
from botocache._cache.entries import Entry
from botocache._cache.flights import OpenFlight
from botocache._cache.item_writes import WriteKind
from botocache._cache.key_schemas import Place, Schema
from botocache._cache.prepare import Call, PreparedRead
from botocache._coherence import Eviction, Loaded
from botocache._dynamodb.plans import TABLE_TAG, BatchRead, Write
from botocache._dynamodb.types import Answer, Body
from botocache._errors import shows
from botocache._forks import renew_after_fork

# --- outcomes ----------------------------------------------------------------------


@shows("age", "key")
class Hit(NamedTuple):
    """An answer from the cache.

    answer: a fresh object, without ResponseMetadata.
    age: seconds since the entry's read was sent; the greatest of a batch.
    key: of the entry; of the last one of a batch.
    entry: the entry that the answer was made of; None for a batch.
    prepared: the read that the entry answers; None for a batch.
    lookups: of a batch: the hits, by TableName; else None.
    """

    answer: Answer
    age: float
    key: bytes
    entry: Entry | None = None
    prepared: PreparedRead | None = None
    lookups: "Lookups | None" = None


@shows("age", "key")
class StaleHit(Hit):
    """An answer of an entry over its TTL, in the place of a request to DynamoDB.

    For a read that has waited for another one, which DynamoDB has refused.
    """

    __slots__ = ()


class CallNumbers:
    """Numbers that tell the hits of one entry apart, in all processes that share it.

    next: returns a number, another one each time.
    """

    __slots__ = ("__weakref__", "next")

    next: Callable[[], int]

    def __init__(self) -> None:
        self._begin()
        renew_after_fork(self, CallNumbers._begin)

    def _begin(self) -> None:
        # From anywhere: other processes, and the parent of a fork, count as well.
        self.next = count(int.from_bytes(os.urandom(6), "little")).__next__


numbers: Final = CallNumbers()


def request_prefix(key: str) -> str:
    """Return what the RequestIds of an entry's hits begin with; a number follows.

    DynamoDB's have no such prefix.
    """
    return f"botocache-{key}-"


def digest_in(prefix: str) -> str:
    """Return the key that `request_prefix` has made a prefix of."""
    return prefix[len("botocache-") : -1]


class ResponseMetadata(TypedDict):
    """What botocore adds to an answer."""

    RequestId: str
    HTTPStatusCode: int
    HTTPHeaders: dict[str, str]
    RetryAttempts: int


def response_metadata(key: str, age: float, result: str = "hit") -> ResponseMetadata:
    """Return the ResponseMetadata of a hit.

    key: of the entry, in hexadecimal.
    age: of the entry, in seconds.
    result: `hit`, or `stale` for an answer in the place of DynamoDB's refusal.
    """
    return {
        "RequestId": f"{request_prefix(key)}{numbers.next()}",
        "HTTPStatusCode": 200,
        "HTTPHeaders": {"x-botocache": result, "age": str(int(age))},
        "RetryAttempts": 0,
    }


@shows("began", "is_consistent")
class ReadTicket(NamedTuple):
    """A read that is sent to DynamoDB: what is needed to fill its answer.

    prepared: the read.
    loaded: what the store had for it; its snapshot goes into the entry.
    began: when the store was asked, in seconds on its clock. The TTL counts from here.
    store: as this call uses it.
    is_consistent: the read is sent strongly consistent; botocache may have made it so.
    body: to send instead of the call's own; None to send that.
    flight: what other readers wait for; False if none may, and None as long as it is
        not known whether another reader asks the same.
    """

    prepared: PreparedRead
    loaded: Loaded
    began: float
    store: CallStore
    is_consistent: bool
    body: bytes | None = None
    flight: OpenFlight | Literal[False] | None = None

    @property
    def table_generation(self) -> int:
        """The generation that the table's tag had before the read was sent."""
        return self.loaded.snapshot[TABLE_TAG]


@shows("began")
class AuditTicket(NamedTuple):
    """A hit that is not served: DynamoDB answers, and the two are compared.

    hit: what the cache would have served. It has an entry.
    prepared: the read.
    loaded: what the store had for it; its snapshot is the entry's.
    began: when the store was asked, in seconds on its clock.
    store: as this call uses it.
    seconds: that the load took, counted from the beginning of the call.
    is_consistent: DynamoDB answers it as the application asked, eventually consistent.
    """

    hit: Hit
    prepared: PreparedRead
    loaded: Loaded
    began: float
    store: CallStore
    seconds: float
    is_consistent: bool = False
    body: None = None

    @property
    def stored_at(self) -> float:
        """When the entry's read was sent, in seconds on the store's clock."""
        return self.hit.entry.stored_at if self.hit.entry is not None else 0.0


Lookup: TypeAlias = Hit | ReadTicket | AuditTicket | None
"""The result of a look-up. None: a bypass, whose answer is not filled."""

Lookups: TypeAlias = Mapping[str, tuple[Lookup, ...]]
"""What the cache has for each key of a batch, by TableName:
`{"users": (Hit, ReadTicket)}`."""


KnownHits: TypeAlias = Mapping[str, Sequence[Hit | None]]
"""Hits that the near cache has for keys of a batch, by TableName; None for the others.

They have neither entry nor prepared read, and count as near hits.
"""


@shows("batch")
class BatchTicket(NamedTuple):
    """A BatchGetItem that is sent without the keys that are hits.

    call: the application's.
    parameters: the body of its request.
    batch: what the application's request means.
    lookups: one for each read of `batch`.
    store: as this call uses it.
    body: the request without the hits; None if there are no hits.
    """

    call: Call
    parameters: Body
    batch: BatchRead
    lookups: Lookups
    store: CallStore
    body: bytes | None


@shows("call")
class BypassTicket(NamedTuple):
    """A read that is sent to DynamoDB, and neither looked up nor filled.

    If DynamoDB refuses it, what its scope is served of the table must end all the same.

    call: the application's.
    parameters: the body of its request.
    store: as this call uses it.
    """

    call: Call
    parameters: Body
    store: CallStore
    body: None = None


class OpenWrite:
    """Makes the second eviction of a write pending, if the write is never finished.

    Whatever ends a call in the middle (a time limit, a greenlet that is killed, an
    interrupt from the keyboard, another library's handler) may also keep botocore from
    emitting its closing event. DynamoDB may have carried the write out all the same.

    tags: of that eviction; empty once the write is finished.
    """

    __slots__ = ("_add", "tags")

    def __init__(
        self, tags: tuple[bytes, ...], add: Callable[[tuple[bytes, ...]], object]
    ) -> None:
        self.tags = tags
        self._add = add

    def __del__(self) -> None:
        # `__init__` may have been interrupted; then no ticket was sent either.
        if getattr(self, "_add", None) is not None and self.tags:
            self._add(self.tags)


@shows("operation", "origin")
class WriteTicket(NamedTuple):
    """A write that is sent to DynamoDB.

    write: what the request means.
    origin: which DynamoDB, by region and endpoint.
    account: of the principal; "" if it is not known.
    store: as this call uses it.
    tags: digests of the tags that the write evicts.
    first: its first eviction; None if that failed and is pending.
    open: makes the second eviction pending if the ticket is dropped.
    assumed: the schemas that the tags rest on.
    operation: as the service model spells it.
    parameters: the body of the request, as the application made it.
    through: the read of the item whose entry the write may fill; None if it may not.
    body: the request with ReturnValues=ALL_OLD, which botocache alone wants; None if
        the write is sent as the application made it.
    began: before the first eviction, in seconds on the store's clock, where it matters.
    kind: of a plain write; None for another.
    """

    write: Write
    origin: str
    account: str
    store: CallStore
    tags: tuple[bytes, ...]
    first: Eviction | None
    open: OpenWrite
    assumed: tuple[Schema, ...] = ()
    operation: str = ""
    parameters: Body | None = None
    through: PreparedRead | None = None
    body: bytes | None = None
    began: float = 0.0
    kind: WriteKind | None = None


@dataclass(frozen=True, slots=True)
class DescribeTicket:
    """A call that is sent to DynamoDB and whose answer describes a table.

    place: origin and name of the table.
    generation: of the table's tag before the call was sent.
    store: as this call uses it.
    """

    place: Place
    generation: int
    store: CallStore
    body: None = None


Ticket: TypeAlias = (
    ReadTicket | AuditTicket | BatchTicket | BypassTicket | WriteTicket | DescribeTicket
)


@shows("retries")
class StaleAnswer(NamedTuple):
    """What answers a call in the place of an error of botocore.

    hit: the answer.
    retries: requests of this call that were sent again before.
    error: that botocore has raised.
    """

    hit: Hit
    retries: int
    error: Exception


# --- a call of a near client -------------------------------------------------------


class PipelineCall:
    """A near client's call on its way through botocore's pipeline.

    signer: of the client. A handler may call another client meanwhile; the hooks tell
        the two calls apart by it.
    operation: as the service model spells it.
    is_begun: the near cache has called `begin` or `load` already, without a hit.
    ticket: the result of that, for this call alone; None if there is none.
    prepared: set by the hooks: the read that this call makes. The near cache keeps it
        for the next identical call.
    batch_call: set by the hooks of a batch: the call that they made of the request.
    full_body: of a batch that goes through the pipeline with one key: the body that the
        hooks put in the place of the request's; else None.
    is_full: set by the hooks: they have done that.
    stale: set by the hooks, with the error that they raise: what answers the call in
        the place of that error.
    """

    __slots__ = (
        "batch_call",
        "cache",
        "full_body",
        "is_begun",
        "is_full",
        "operation",
        "prepared",
        "signer",
        "stale",
        "ticket",
    )

    signer: object
    operation: str
    cache: object
    is_begun: bool
    ticket: ReadTicket | AuditTicket | BatchTicket | BypassTicket | None
    prepared: PreparedRead | None
    batch_call: Call | None
    full_body: Body | None
    is_full: bool
    stale: "StaleAnswer | None"


pipeline_call: ContextVar[PipelineCall | None] = ContextVar(
    "botocache_pipeline_call", default=None
)
"""The near call of the calling thread or task.

A context variable and not botocore's request context: applications can change that one.
"""
