"""Plans: what is known of a read before it is made again, and how it comes to be known.

A call on its way through botocore carries a Recording where the near cache wants to
know what became of it. It travels in a context variable and not in botocore's context,
which no caller of a client can reach.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from botocache._modes import Mode
from botocache._planned import Read
from botocache._policies import TablePolicy
from botocache._schemas import Schema
from botocache._tickets import ReadTicket


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
