"""How an awaited call gets to its cache: by the real hooks, course and offload.

Of aiobotocore only the pipeline is not there, which emits the events of a call: it
needs no more than what `_pipeline` has. tests/aio runs the same operations through a
real client.
"""

import json
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any

from greenlet import getcurrent

from botocache import Cache
from botocache._aiobotocore.cancellation import close_if_cut
from botocache._aiobotocore.course import course_of, finished
from botocache._botocore import hooks
from botocache._botocore.hooks import Begun, Hooks
from botocache._cache.prepare import Call
from botocache._cache.tickets import ReadTicket
from tests.explorer.callers import NoAnswer, Refused, Serve
from tests.explorer.world import World, wire
from tests.support.calls import call_of

_URL = "http://127.0.0.1:1"
_SERVICE = SimpleNamespace(service_name="dynamodb")
_SIGNER: Any = SimpleNamespace()
_OK, _BAD_REQUEST = 200, 400


class AsTasks:
    """Makes calls as tasks of an event loop. See Caller."""

    def call(
        self, world: World, client: int, kind: str, serve: Serve, **more: Any
    ) -> tuple[dict[str, Any], bool]:
        """See Caller. Also raises CancelledError."""
        operation, parameters = world.request(kind, **more)
        of_client = _hooks_of(client)
        of_client.cache = world.caches[client]
        was_hit = False

        async def pipeline(operation: str, parameters: Any) -> Any:
            nonlocal was_hit
            answer, was_hit = await _pipeline(of_client, operation, parameters, serve)
            return answer

        answer = run(close_if_cut(_SIGNER, pipeline, operation, parameters))
        return answer, was_hit


def run(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in the current task, which pauses where it awaits a thread."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it has awaited something else")


async def _pipeline(
    of_client: Hooks, operation: str, parameters: Any, serve: Serve
) -> tuple[dict[str, Any], bool]:
    """Emit the events of a call as aiobotocore does, around the server's answer."""
    context: Any = {}
    request: Any = {"url": _URL, "headers": {}, "body": wire(parameters)}
    answered: Any = await finished(
        of_client._before_call(
            model=SimpleNamespace(name=operation, service_model=_SERVICE),  # type: ignore[arg-type]  # all it reads
            params=request,
            request_signer=_SIGNER,
            context=context,
        )
    )

    async def close(status: int, parsed: Any) -> None:
        parsed["ResponseMetadata"] = {"RetryAttempts": 0}
        http: Any = SimpleNamespace(status_code=status, headers={})
        await finished(
            of_client._after_call(http_response=http, parsed=parsed, context=context)
        )

    if answered is not None:
        _, answer = answered
        await close(_OK, answer)
        return answer, True
    context["retries"] = {}
    try:
        answer = serve(json.loads(request["body"]))
    except NoAnswer:
        await finished(of_client._after_call_error(context=context))
        raise
    except Refused:
        await close(_BAD_REQUEST, {"Error": {"Code": "ConditionalCheckFailed"}})
        raise
    await close(_OK, answer)
    return answer, False


class _Adapter:
    """Adapts the hooks as AioAdapter does, to a client that has keys and no class."""

    def signs(self, _: object) -> bool:
        """See AsyncAdapter."""
        return True

    def course(
        self, of: Cache, signer: Any, context: Any, again: Callable[..., Any]
    ) -> tuple[Any, Awaitable[Any] | None]:
        """See AsyncAdapter."""
        return course_of(of, signer, context, again), None

    def coalesce(
        self, begun: Begun, ticket: ReadTicket, again: Callable[..., Any]
    ) -> tuple[ReadTicket, Awaitable[Any] | None]:
        """See AsyncAdapter. No program has tasks that wait for one another."""
        joined = begun.cache.coalescing.join(ticket, id(getcurrent()))
        assert isinstance(joined, ReadTicket)
        assert not begun.cache.competes(joined)
        return joined, None


class _Hooks(Hooks):
    """The hooks, for calls like those of Direct: both share entries."""


def _call_of(operation: str, *_: object) -> tuple[Call, None]:
    return call_of(operation), None


# Whose a call is, a real client decides. All else is the hooks' own code.
_before_call = FunctionType(
    Hooks._before_call.__code__, {**vars(hooks), "call_of": _call_of}
)
_before_call.__kwdefaults__ = Hooks._before_call.__kwdefaults__
_Hooks._before_call = _before_call  # type: ignore[method-assign]


@cache
def _hooks_of(_client: int) -> Hooks:
    adapter: Any = _Adapter()
    return _Hooks(adapter=lambda: adapter)
