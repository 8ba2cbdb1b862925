"""One call of a near client, from the look-up in memory to its end."""

from collections.abc import Callable
from typing import Any, TypeAlias

from botocache._botocore.types import Client, signer_of
from botocache._cache.cache import Cache  # noqa: TC001 - it is loaded in any case
from botocache._cache.prepare import (  # noqa: TC001 - it is loaded in any case
    Call,
    PreparedRead,
)
from botocache._cache.tickets import Hit, PipelineCall, Ticket
from botocache._dynamodb.types import Body  # noqa: TC001 - it is loaded in any case
from botocache._errors import pass_on
from botocache._near.answers import NearAnswers
from botocache._near.batch_answers import KnownItems
from botocache._near.batch_arguments import Batch
from botocache._near.call_keys import CallKey
from botocache._near.client_state import ClientState
from botocache._near.request_bodies import Arguments

Conclude: TypeAlias = Callable[[Any, Hit | Ticket | None], Any]
"""Returns what the near cache makes of a call, as `Outcome` of client.py has it, from
the result of its load."""


class NearCall(PipelineCall):
    """A call that is looked up, and goes through botocore's pipeline if it is a miss.

    client: makes the call.
    state: of the client.
    answers: what the client's cache remembers.
    key: of the answer in memory; None if the call has no quick key.
    last_fill: of `answers`, taken before the store is loaded.
    started: when the call began, by `perf_counter`; None if that was not noted.
    remembered: the read of an earlier call; None where the arguments are enough.
    likely: the call that the hooks will make of it, where the arguments are enough.
    body: of its request.
    conclude: takes the result of the load; None if the store need not be asked before
        the pipeline.
    shortened: what goes through the pipeline in the place of the arguments; None for
        the arguments themselves. See batches.py.
    """

    __slots__ = (
        "answers",
        "body",
        "client",
        "conclude",
        "key",
        "last_fill",
        "likely",
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
        self.cache: Cache = state.cache  # type: ignore[assignment]  # else nothing is looked up
        self.is_begun = False
        self.ticket = None
        self.prepared = None
        self.batch_call = None
        self.full_body = None
        self.is_full = False
        self.stale = None
        self.shortened: object = None
        self.client = client
        self.state = state
        self.answers = answers
        self.key = key
        self.started = started
        # Now, before the store is loaded: see NearAnswers.remember.
        self.last_fill = answers.last_fill
        self.remembered: PreparedRead | None = None
        self.conclude: Conclude | None = None
        self.likely: Call
        self.body: Body
        self.valid_until = state.valid_until

    def fail(self, error: Exception) -> None:
        """Report that the near cache failed; botocore and the hooks handle the call."""
        pass_on(error)
        self.state.report(error)

    def load(self, skipping: bool = False) -> Hit | Ticket | None:  # noqa: FBT001, FBT002 - by keyword it would take longer
        """Ask the store. May wait: the client decides who waits for it.

        skipping: see `Cache.begin`.
        """
        if self.remembered is None:
            return self.cache.begin(
                self.likely, self.body, self.started, None, skipping
            )
        return self.cache.load(self.remembered, self.started, skipping)


class NearBatch(NearCall):
    """A BatchGetItem on its way.

    batch: the arguments, as the load has them.
    arguments: a copy of the call's.
    known: what is remembered of it; None if nothing may be served.
    """

    __slots__ = ("arguments", "batch", "known")

    arguments: Arguments
    batch: Batch
    known: KnownItems | None

    def load(self, skipping: bool = False) -> Hit | Ticket | None:  # noqa: FBT001, FBT002 - as NearCall has it
        """Ask the store for the keys that are not known. See NearCall."""
        hits = None if self.known is None else self.known.hits
        return self.cache.begin(self.likely, self.body, self.started, hits, skipping)
