"""One call of a near client, from the look into memory to its end."""

from typing import Any

from botocache._cache.prepare import PreparedRead  # noqa: TC001 - loaded anyway
from botocache._cache.tickets import Hit, PipelineCall, ReadTicket, Ticket
from botocache._near.answers import NearAnswers
from botocache._near.call_keys import CallKey
from botocache._near.client_state import ClientState


class NearCall(PipelineCall):
    """A call that is looked up, and goes through botocore's pipeline if it is a miss.

    client: which one makes it.
    state: what was found out about the client.
    answers: what its cache remembers.
    key: under which its answer is remembered; None if it has no quick key.
    last_fill: of `answers`, from before the store was asked.
    remembered: the read of an earlier call; None where the arguments tell it.
    """

    __slots__ = ("answers", "client", "key", "last_fill", "remembered", "state")

    def __init__(
        self,
        client: Any,
        state: ClientState,
        answers: NearAnswers,
        operation: str,
        key: CallKey | None,
    ) -> None:
        self.signer = client._request_signer  # noqa: SLF001 - as the hooks do
        self.operation = operation
        self.is_begun = False
        self.ticket = None
        self.prepared = None
        self.client = client
        self.state = state
        self.answers = answers
        self.key = key
        self.last_fill = answers.last_fill
        self.remembered: PreparedRead | None = None

    def begun(self, outcome: Hit | Ticket | None) -> Hit | None:
        """Note what the cache said to the call; return the hit."""
        if isinstance(outcome, Hit):
            return outcome
        self.is_begun = True
        self.ticket = outcome if isinstance(outcome, ReadTicket) else None
        return None
