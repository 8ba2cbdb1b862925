"""One BatchGetItem of a near client: answered, begun, or shortened.

A batch is answered from memory if all of its keys are remembered. Otherwise its client
asks the store for the keys that are not, if the request's body follows from the
arguments.

The keys that the store does not have either go through botocore's pipeline, but only
the first of them does so as an argument: the hooks put the body of all into the
request. botocore's validation has nothing to say to the others, because the form of the
arguments was checked when the body was derived. A batch that names a table by an ARN
goes through the hooks as it is: the ARN may lead to another endpoint.
"""

from typing import Any

from botocache._cache.prepare import Call
from botocache._cache.tickets import (
    BatchTicket,
    BypassTicket,
    Hit,
    Lookups,
    Ticket,
    response_metadata,
)
from botocache._dynamodb.types import Answer
from botocache._near.batch_answers import BATCH, Found
from botocache._near.batch_arguments import Batch, read_arguments
from botocache._near.call_keys import arguments_in, quick_key
from botocache._near.calls import NearBatch, NearCall
from botocache._near.delivery import Delivery, deliver_batch
from botocache._near.request_bodies import Arguments, derive_body, wire_body

_NOT_READ = (ValueError, RuntimeError)
"""marshal takes no such value, or a thread has changed a dict."""


def find_batch(
    call: NearBatch, arguments: object
) -> Answer | Delivery | NearCall | None:
    """Return what the near cache makes of a BatchGetItem. See `Outcome`."""
    try:
        batch = read_arguments(arguments)
    except _NOT_READ:
        return None
    if batch is None:
        return None
    state = call.state
    likely = state.calls.get((BATCH, None))
    if likely is None or call.started is None:
        return call  # its hooks make the call that the next one is likely to be
    token = state.tokens[BATCH]
    found = call.answers.batches.find(token, batch)
    answer = call.answers.batches.serve(batch, found, call.started)
    if answer is not None:
        return deliver_batch(call, likely.origin, answer)
    return _prepare_load(call, likely, arguments, batch, found)


def _prepare_load(
    call: NearBatch, likely: Call, arguments: object, first: Batch, found: Found
) -> NearCall | None:
    """Prepare the load of a batch that memory does not answer whole.

    Return None if its body is not certain.

    first: the batch as the arguments were at first.
    found: what is remembered of it.
    """
    state, batches = call.state, call.answers.batches
    token, body_of = state.tokens[BATCH], state.bodies.get(BATCH)
    key = quick_key(token, arguments)
    if type(key) is not bytes or state.cache is None:
        return None
    body = derive_body(BATCH, token, key, arguments, body_of)
    if body is None:
        return None
    # Read again: the application may have changed its arguments, and what is remembered
    # of a key must be the answer to that key. A client's body is such a copy itself.
    copy: Any = body if body_of is wire_body else arguments_in(key)
    try:
        batch = read_arguments(copy)
    except _NOT_READ:
        return None
    if batch is None:
        return None
    known = batches.serve_some(token, batch, found) if batch == first else None
    call.batch, call.arguments, call.known = batch, copy, known
    call.likely, call.body, call.conclude = likely, body, _conclude
    return call


def _conclude(
    call: NearBatch, outcome: Hit | Ticket | None
) -> Answer | Delivery | NearCall:
    """Return what the near cache makes of a batch that was loaded. See `Outcome`."""
    batches, batch, known = call.answers.batches, call.batch, call.known
    if isinstance(outcome, (Hit, BatchTicket)) and outcome.lookups is not None:
        if known is not None and call.started is not None:
            batches.count(batch, known, call.started)
        batches.remember(call, call.state.tokens[BATCH], batch, outcome.lookups)
    if isinstance(outcome, Hit):
        metadata = response_metadata(outcome.key.hex(), outcome.age)
        outcome.answer["ResponseMetadata"] = metadata
        return deliver_batch(call, call.likely.origin, outcome.answer)
    call.is_begun = True
    if isinstance(outcome, (BatchTicket, BypassTicket)):
        call.ticket = outcome
    if isinstance(outcome, BatchTicket):
        call.full_body = call.body
        call.shortened = _shortened(call.arguments, batch, outcome.lookups)
    return call


def _shortened(arguments: Arguments, batch: Batch, lookups: Lookups) -> Arguments:
    """Return a batch's arguments with the first key that is no hit, and no other."""
    table, key = next(
        (part.table, key)
        for part in batch.parts
        for key, lookup in zip(part.keys, lookups[part.table], strict=True)
        if not isinstance(lookup, Hit)
    )
    part = {**arguments["RequestItems"][table], "Keys": [key]}
    return {**arguments, "RequestItems": {table: part}}
