"""One call of a near client, from the look-up in memory to its end."""

from botocache._botocore.types import Client, signer_of
from botocache._cache.prepare import PreparedRead  # noqa: TC001 - it is loaded in any case
from botocache._cache.tickets import (
    AuditTicket,
    BatchTicket,
    BypassTicket,
    Hit,
    PipelineCall,
    ReadTicket,
    Ticket,
)
from botocache._near.answers import NearAnswers
from botocache._near.call_keys import CallKey
from botocache._near.client_state import ClientState


class NearCall(PipelineCall):
    """A call that is looked up, and goes through botocore's pipeline if it is a miss.

    client: makes the call.
    state: of the client.
    answers: what the client's cache remembers.
    key: of the answer in memory; None if the call has no quick key.
    last_fill: of `answers`, taken before the store is loaded.
    started: when the call began, by `perf_counter`; None if that was not noted.
    remembered: the read of an earlier call; None where the arguments are enough.
    shortened: what goes through the pipeline in the place of the arguments; None for
        the arguments themselves. See batches.py.
    """

    __slots__ = (
        "answers",
        "client",
        "key",
        "last_fill",
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
        self.valid_until = state.valid_until

    def note(self, outcome: Hit | Ticket | None) -> Hit | None:
        """Return the hit; note the ticket, which the hooks take over."""
        if isinstance(outcome, Hit):
            return outcome
        self.is_begun = True
        if isinstance(outcome, (ReadTicket, AuditTicket, BatchTicket, BypassTicket)):
            self.ticket = outcome
        return None
