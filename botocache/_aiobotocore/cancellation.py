"""The end of a call that is cut: cancelled, timed out, or closed with its event loop.

aiobotocore emits neither `after-call` nor `after-call-error` then. What a write had to
evict it still evicts, at once. A task that is being cancelled must not wait, so this
happens on the spot only if the store never waits.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import partial
from typing import Any

from botocache._aiobotocore.offload import offload_of
from botocache._botocore.types import CallContext, Signer
from botocache._cache.cache import Cache
from botocache._cache.tickets import Hit, Ticket
from botocache._dynamodb.types import Answer
from botocache._errors import StoreError


class OpenCall:
    """A call that is under way in this task.

    signer: of its client. A handler may call another client meanwhile.
    context: botocore's, once `before-call` has been emitted.
    """

    __slots__ = ("context", "signer")

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.context: CallContext | None = None


_open: ContextVar[OpenCall | None] = ContextVar("botocache_open_call", default=None)


def note_context(signer: Signer, context: CallContext) -> None:
    """Note the context of the call that this task makes by the client of a signer."""
    call = _open.get()
    if call is not None and call.signer is signer:
        call.context = context


async def close_if_cut(
    signer: Signer,
    pipeline: Callable[[str, object], Awaitable[Answer]],
    operation: str,
    arguments: object,
) -> Answer:
    """Make a call; if it is cut, end it for the cache.

    signer: of the client.
    pipeline: makes the call; aiobotocore's `_make_api_call`.
    """
    call = OpenCall(signer)
    token = _open.set(call)
    try:
        return await pipeline(operation, arguments)
    except BaseException:
        # Also what another library's handler raises. After a closing event there is
        # nothing left to end.
        if call.context is not None:
            _close(call.context)
        raise
    finally:
        reset(_open, token)


def reset(variable: ContextVar[Any], token: Token[Any]) -> None:
    """Reset a variable, unless its context has ended.

    A coroutine that its loop leaves behind is closed in another context.
    """
    with suppress(ValueError):
        variable.reset(token)


def _close(context: CallContext) -> None:
    cache, ticket = context.pop("botocache_ticket", (None, None))
    context.pop("botocache_rewritten", None)
    context.pop("botocache_key", None)
    context.pop("botocache_is_foreign", None)
    context.pop("botocache_ending", None)
    if cache is not None and ticket is not None:
        # botocore puts `retries` in before the first attempt.
        end_cut_call(cache, ticket, was_sent="retries" in context)


def end_cut_call(cache: Cache, ticket: Ticket, *, was_sent: bool) -> None:
    """End a call that was cut, and wait for nothing.

    was_sent: the request may have left the process.
    """
    end = partial(_end, cache, ticket, was_sent=was_sent)
    offload_of(cache).hand_over(end, instead=_skipping(ticket, end))


def end_abandoned(cache: Cache, outcome: Hit | Ticket | None) -> None:
    """End a call whose task was cut while it was begun. May wait."""
    if outcome is not None and not isinstance(outcome, Hit):
        _end(cache, outcome, was_sent=False)


def _end(cache: Cache, ticket: Ticket, *, was_sent: bool) -> None:
    cache.finish(
        ticket,
        {},
        succeeded=False,
        certain=not was_sent,
        unfilled="error" if was_sent else "not_sent",
    )


def skip_store(context: CallContext) -> None:
    """End the call of a context without its store, so that nothing waits."""
    _, ticket = context.get("botocache_ticket", (None, None))
    if ticket is not None:
        ticket.store.skip(_late())


def _late() -> StoreError:
    return StoreError("no thread was free to ask the store within its timeout")


def _skipping(ticket: Ticket, end: Callable[[], Any]) -> Callable[[], Any]:
    """Return what ends a call without its store, so that it cannot wait."""

    def end_without_store() -> Any:
        ticket.store.skip(_late())
        return end()

    return end_without_store
