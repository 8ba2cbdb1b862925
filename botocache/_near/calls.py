"""One call of a near client, from the look-up in memory to its end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from botocache._botocore.types import Client, signer_of
from botocache._cache.prepare import PreparedRead  # noqa: TC001 - it is loaded in any case
from botocache._cache.tickets import Hit, PipelineCall, Ticket
from botocache._dynamodb.types import Body
from botocache._errors import shows
from botocache._near.answers import NearAnswers
from botocache._near.batch_answers import KnownItems
from botocache._near.batch_arguments import Batch
from botocache._near.call_keys import CallKey
from botocache._near.client_state import ClientState
from botocache._near.request_bodies import Arguments

Load: TypeAlias = Callable[..., Hit | Ticket | None]
"""`begin` or `load` of a cache."""

Conclude: TypeAlias = Callable[["NearCall", Hit | Ticket | None], Any]
"""Returns what the near cache makes of a call, as `Outcome` of client.py has it, from
the result of its load."""


@shows("origin")
@dataclass(slots=True)
class BatchLoad:
    """What is kept of a batch while the store is asked for its keys.

    origin: which DynamoDB it asks.
    batch: the arguments, as the load has them.
    arguments: a copy of the call's.
    body: of the request.
    known: what is remembered of it; None if nothing may be served.
    """

    origin: str
    batch: Batch
    arguments: Arguments
    body: Body
    known: KnownItems | None


class NearCall(PipelineCall):
    """A call that is looked up, and goes through botocore's pipeline if it is a miss.

    client: makes the call.
    state: of the client.
    answers: what the client's cache remembers.
    key: of the answer in memory; None if the call has no quick key.
    last_fill: of `answers`, taken before the store is loaded.
    started: when the call began, by `perf_counter`; None if that was not noted.
    remembered: the read of an earlier call; None where the arguments are enough.
    load: what the store must be asked by, with its arguments; None if the call needs
        nothing of the store before the pipeline. May wait: the client decides who waits
        for it.
    conclude: takes the result of `load`.
    batch: of a batch that is loaded.
    shortened: what goes through the pipeline in the place of the arguments; None for
        the arguments themselves. See batches.py.
    """

    __slots__ = (
        "answers",
        "batch",
        "client",
        "conclude",
        "key",
        "last_fill",
        "load",
        "load_arguments",
        "remembered",
        "shortened",
        "started",
        "state",
        "valid_until",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - what the call is
        self,
        client: Client,
        state: ClientState,
        answers: NearAnswers,
        operation: str,
        key: CallKey | None,
        started: float | None,
    ) -> None:
        self.signer = signer_of(client)
        self.operation = operation
        self.cache = state.cache
        self.is_begun = False
        self.ticket = None
        self.prepared = None
        self.batch_call = None
        self.full_body = None
        self.is_full = False
        self.shortened: object = None
        self.client = client
        self.state = state
        self.answers = answers
        self.key = key
        self.started = started
        # Now, before the store is loaded: see NearAnswers.remember.
        self.last_fill = answers.last_fill
        self.remembered: PreparedRead | None = None
        self.load: Load | None = None
        self.load_arguments: tuple[object, ...]
        self.conclude: Conclude
        self.batch: BatchLoad
        self.valid_until = state.valid_until
