"""A near hit on its way to the application.

botocore emits `after-call` for each answer, and so does the near cache if that event
has handlers: boto3's resource layer, which changes the answer, or the application's. If
handlers of the application must run each time, the answer is remembered as it is on the
wire; else as the resource layer has left it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypedDict

from botocore.awsrequest import AWSResponse
from botocore.hooks import BaseEventHooks
from botocore.model import OperationModel

from botocache._botocore.stale import keep_quota
from botocache._botocore.types import CallContext
from botocache._cache.entries import copier_of
from botocache._cache.tickets import Hit, response_metadata
from botocache._dynamodb.types import Answer
from botocache._errors import pass_on, shows
from botocache._near.answers import Copier
from botocache._near.calls import NearCall
from botocache._near.client_state import ClientState
from botocache._near.copies import NotCopyableError, copier_for, cost_of
from botocache._near.deserializers import guard
from botocache.stores.protocol import StillCurrent

_METADATA = "ResponseMetadata"

Remember: TypeAlias = Callable[..., None]
"""Remembers an answer: takes its copier, the bytes that the answer takes, and what
returns whether it may still be served."""


class AfterCall(TypedDict):
    """The arguments of the event `after-call`."""

    event_name: str
    http_response: AWSResponse
    parsed: Answer
    model: OperationModel
    context: CallContext


@shows()
@dataclass(slots=True)
class Delivery:
    """A hit for which `after-call` must be emitted; its handlers may change it.

    answer: for the application.
    event: the arguments of the event.
    state: of the client.
    remember: remembers the answer as the handlers have left it; None when it is
        remembered already, or not at all.
    is_current: returns whether that answer may still be served.
    """

    answer: Answer
    event: AfterCall
    state: ClientState
    remember: Remember | None = None
    is_current: StillCurrent | None = None

    def deliver(self, events: BaseEventHooks) -> Answer:
        """Return the answer. Raises what a handler of the application raises."""
        events.emit(**self.event)
        return self.answer if self.remember is None else self.finish()

    def finish(self) -> Answer:
        """Return the answer once the handlers have run, and remember it."""
        if self.remember is None or self.is_current is None:
            return self.answer
        try:
            # Before the answer is looked at: boto3 may have been patched meanwhile.
            if not self.is_current():
                return self.answer
            return _remember_as_it_is(
                self.answer, self.state.kinds, self.remember, self.is_current
            )
        except Exception as error:
            pass_on(error)
            self.state.report(error)
            return self.answer


def deliver_from_memory(
    call: NearCall, origin: str, answer: Answer
) -> Answer | Delivery:
    """Return an answer from memory, ready for the application or for its handlers.

    origin: which DynamoDB the call asks.
    """
    if call.operation not in call.state.emitting:
        return answer
    return Delivery(answer, _event(call, origin, answer), call.state)


def deliver_batch(call: NearCall, origin: str, answer: Answer) -> Answer | Delivery:
    """Return the answer to a batch as it is on the wire, ready for its handlers.

    See `deliver_from_memory`.
    """
    state = call.state
    if state.is_plain and call.operation not in state.emitting:
        return answer
    return Delivery(answer, _event(call, origin, answer), state)


def deliver_from_store(call: NearCall, hit: Hit) -> Answer | Delivery:
    """Return a hit of the store, and remember it if it may be served from memory."""
    state, answer = call.state, hit.answer
    is_emitted = call.operation in state.emitting
    remember: Remember | None = None
    is_current: StillCurrent | None = None
    answers = call.answers
    watched = answers.watch(hit) if answers.admits(call, hit) else None
    if watched is not None:
        if is_emitted or state.is_plain:
            # Before the answer is handed out: the application, or its handlers, may
            # change it.
            answers.remember(call, hit, *copier_of_hit(hit), watched)
        else:
            remember = partial(answers.remember, call, hit)
            # Before boto3 deserializes it, in whichever way it then has.
            is_current = guard(watched, state.injector, answer)
    answer[_METADATA] = response_metadata(hit.key.hex(), hit.age)
    if state.is_plain and not is_emitted:
        return answer
    origin = "" if hit.prepared is None else hit.prepared.call.origin
    return Delivery(answer, _event(call, origin, answer), state, remember, is_current)


def deliver_stale(call: NearCall | None, error: Exception) -> Delivery | None:
    """Return the stale answer in the place of an error; None for the error itself.

    It is never remembered.
    """
    stale = None if call is None else call.stale
    # By the error: a handler of the application may have raised another one since.
    if call is None or stale is None or stale.error is not error:
        return None
    return deliver_stale_hit(call, stale.hit, stale.retries)


def deliver_stale_hit(call: NearCall, hit: Hit, retries: int = 0) -> Delivery:
    """Return a stale answer, which is never remembered.

    retries: requests of this call that were sent again before.
    """
    metadata = response_metadata(hit.key.hex(), hit.age, "stale")
    metadata["RetryAttempts"] = retries
    hit.answer[_METADATA] = metadata
    origin = "" if hit.prepared is None else hit.prepared.call.origin
    event = _event(call, origin, hit.answer)
    keep_quota(event["context"])
    return Delivery(hit.answer, event, call.state)


def _remember_as_it_is(
    answer: Answer,
    kinds: frozenset[type],
    remember: Remember,
    is_current: StillCurrent,
) -> Answer:
    """Remember an answer as a resource returns it, and return a copy.

    The copier takes the answer over, so the application gets a copy.
    """
    # The metadata is of this call, as its age is.
    body = {name: value for name, value in answer.items() if name != _METADATA}
    try:
        copy = copier_for(body, kinds)
    except NotCopyableError:
        return answer  # it holds a value of a type of the application's
    made = copy()
    made[_METADATA] = answer[_METADATA]
    remember(copy, cost_of(body), is_current)
    return made


def copier_of_hit(hit: Hit) -> tuple[Copier, int]:
    """Return the copier of a hit's answer as it is on the wire, and its bytes.

    If the entry's own bytes are the whole answer, the copier decodes those: a store in
    memory holds them anyway.
    """
    entry, prepared = hit.entry, hit.prepared
    if entry is not None and prepared is not None:
        is_entry_itself = hit.key == prepared.key and prepared.read.capacity == "NONE"
        if is_entry_itself:
            return entry.copier(), len(entry.packed)
    return copier_of(hit.answer)


def _event(call: NearCall, origin: str, answer: Answer) -> AfterCall:
    """Return the arguments of `after-call` for a hit."""
    client, operation = call.client, call.operation
    response = call.state.library.response
    model = client.meta.service_model.operation_model(operation)
    _, _, url = origin.partition(" ")
    return {
        "event_name": f"after-call.dynamodb.{operation}",
        "http_response": response(url, answer[_METADATA]["HTTPHeaders"]),
        "parsed": answer,
        "model": model,
        "context": {
            "client_region": client.meta.region_name,
            "client_config": client.meta.config,
            "has_streaming_input": model.has_streaming_input,
            "auth_type": model.auth_type,
        },
    }
