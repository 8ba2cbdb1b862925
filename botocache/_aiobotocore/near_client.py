"""The near cache's place in a client of aiobotocore.

What it makes of a call is decided by the functions that botocore's clients use, see
`_near/client.py`. They run on the event loop and never wait. Only what they leave to
the client is awaited here: the store, `after-call`, and aiobotocore's pipeline. So a
near hit is returned without a turn of the loop.
"""

from functools import partial
from typing import Any, Final

from aiobotocore.client import AioBaseClient
from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials
from aiobotocore.hooks import AioHierarchicalEmitter
from botocore.client import BaseClient, ClientMeta

from botocache._aiobotocore.cancellation import end_abandoned, reset
from botocache._aiobotocore.clients import AioKnownClient, Pipeline
from botocache._aiobotocore.offload import offload_of
from botocache._aiobotocore.responses import AioHitResponse
from botocache._aiobotocore.waits import landed
from botocache._cache.tickets import Hit, ReadTicket, Ticket, pipeline_call
from botocache._dynamodb.types import Answer
from botocache._errors import pass_on
from botocache._near.batch_answers import BATCH
from botocache._near.calls import NearCall
from botocache._near.client import (
    FINDERS,
    FIRST,
    is_sent_shortened,
    remember_call,
)
from botocache._near.delivery import Delivery, deliver_stale
from botocache._near.libraries import Library, library_of

AIOBOTOCORE: Final[Library] = library_of(
    __name__,
    (AioKnownClient, AioBaseClient, BaseClient),
    AioBaseClient,
    AioHierarchicalEmitter,
    AioHitResponse,
    AioCredentials,
    AioRefreshableCredentials,
)


class AioNearClient(AioKnownClient):
    """A base class of a client that has the cache, before aiobotocore's own."""

    _botocache_library = AIOBOTOCORE
    meta: ClientMeta

    async def _make_api_call(self, operation_name: str, api_params: object) -> Answer:
        find = self.__dict__.get(FINDERS, FIRST).get(operation_name)
        call: NearCall | None = None
        if find is not None:
            found = find(self, api_params)
            if type(found) is dict:
                return found
            if isinstance(found, NearCall) and (conclude := found.conclude) is not None:
                call = found
                try:
                    found = conclude(call, await _load(call))
                except Exception as error:  # noqa: BLE001 - the pipeline goes on
                    call.fail(error)
                    found = None
            if found is not call:
                if isinstance(found, Delivery):
                    return await _deliver(found, self.meta.events)
                if type(found) is dict:
                    return found
                call = found
        pipeline: Pipeline
        try:
            pipeline = super()._make_api_call
        except TypeError:  # `without_near` has just taken this class off, in a thread
            pipeline = self._make_api_call
        if find is not None:
            return await _send(call, pipeline, operation_name, api_params)
        return await pipeline(operation_name, api_params)


async def _load(call: NearCall) -> Hit | Ticket | None:
    """Ask the store, wherever it may be waited for; then wait for others' answers."""
    offload = offload_of(call.cache)
    outcome: Hit | Ticket | None
    if offload.waits:
        outcome = await offload.run(
            call.load,
            instead=partial(call.load, skipping=True),
            on_abandoned=partial(end_abandoned, call.cache),
        )
    else:
        outcome = call.load()
    if type(outcome) is ReadTicket:
        return await landed(call.cache, outcome)
    return outcome


async def _deliver(delivery: Delivery, events: Any) -> Answer:
    """Return the answer. Raises what a handler of the application raises."""
    await events.emit(**delivery.event)
    return delivery.answer if delivery.remember is None else delivery.finish()


async def _send(
    call: NearCall | None, pipeline: Pipeline, operation: str, arguments: object
) -> Answer:
    """Return DynamoDB's answer; remember how to load such a call next time.

    See `_send` of `_near/client.py`.
    """
    if call is not None and call.shortened is not None and is_sent_shortened(call):
        return await _send_shortened(call, pipeline, arguments)
    token = pipeline_call.set(call)
    stale: Delivery | None = None
    try:
        answer = await pipeline(operation, arguments)
    except Exception as error:
        stale = deliver_stale(call, error)
        if stale is None:
            raise
    finally:
        reset(pipeline_call, token)
    if stale is not None and call is not None:
        answer = await _deliver(stale, call.client.meta.events)
    if call is not None and not call.is_begun:
        remember_call(call, arguments)
    return answer


async def _send_shortened(
    call: NearCall, pipeline: Pipeline, arguments: object
) -> Answer:
    """Send a batch through aiobotocore's pipeline with one of its keys.

    See `_send_shortened` of `_near/client.py`.
    """
    token = pipeline_call.set(call)
    answer: Answer | None = None
    stale: Delivery | None = None
    try:
        answer = await pipeline(BATCH, call.shortened)
    except Exception as error:
        pass_on(error)
        stale = deliver_stale(call, error)
        if call.is_full and stale is None:
            raise
    finally:
        reset(pipeline_call, token)
    if stale is not None:
        return await _deliver(stale, call.client.meta.events)
    if answer is None or not call.is_full:
        # botocache was uninstalled meanwhile, or botocore has refused to send anything.
        return await _send(None, pipeline, BATCH, arguments)
    return answer
