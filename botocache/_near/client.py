"""The near cache's place in a client: before botocore's request pipeline.

`NearClient` is mixed into DynamoDB client classes; its `_make_api_call` runs before
botocore's. It returns a cached answer, from this process's memory or from the store,
without running botocore's pipeline. A call that it cannot answer goes through the
pipeline, and takes along what the cache said to it, so that the hooks do not ask again.
The near cache steps aside, and botocore handles the call, whenever the result could
differ. Writes always go through the pipeline.
"""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeAlias

from botocore.client import BaseClient

from botocache._cache.modes import current_mode
from botocache._cache.prepare import Mode
from botocache._cache.tickets import Hit, pipeline_call
from botocache._near.answers import NearEntry
from botocache._near.call_keys import exact_key, quick_key, table_of
from botocache._near.calls import NearCall
from botocache._near.client_state import OPERATIONS, ClientState, emitter_of, state_of
from botocache._near.delivery import (
    Delivery,
    deliver_from_memory,
    deliver_from_store,
)
from botocache._near.request_bodies import derive_body

_STATE = "_botocache_state"
_UNKNOWN = object()
_REPLACED = "_botocache_replaced"

_NORMAL = Mode.NORMAL

Outcome: TypeAlias = "dict[str, Any] | Delivery | NearCall | None"
"""What the near cache makes of a call: the answer; the answer once the handlers of
`after-call` have run; the call, to be sent; None, to be sent and not watched."""


class NearClient:
    """A base class of a client that has the cache, before botocore's own."""

    def _make_api_call(self, operation_name: str, api_params: Any) -> Any:
        call: NearCall | None = None
        if operation_name in OPERATIONS:
            # By its dict: a client's __getattr__ emits an event.
            state = self.__dict__.get(_STATE) or _first_state_of(self)
            if state is not _UNKNOWN:
                found = _find(self, state, operation_name, api_params)
                if isinstance(found, dict):
                    return found
                if isinstance(found, Delivery):
                    events: Any = self.meta.events  # type: ignore[attr-defined]  # botocore's
                    return found.deliver(events)
                call = found
        try:
            pipeline = super()._make_api_call  # type: ignore[misc]  # botocore's
        except TypeError:  # `without_near` has just taken this class off, in a thread
            pipeline = self._make_api_call
        if call is None:
            return pipeline(operation_name, api_params)
        return _send(call, pipeline, api_params)


def with_near(client: Any) -> None:
    """Give a client that exists already the base class, if it lacks it.

    Replaces its class by a subclass, and not its method by another: what is in a
    client's dict belongs to the application.
    """
    kind = type(client)
    if not issubclass(kind, NearClient):
        namespace = {"__module__": kind.__module__, _REPLACED: kind}
        client.__class__ = type(kind.__name__, (NearClient, kind), namespace)


def without_near(client: Any) -> None:
    """Undo `with_near`."""
    kind = vars(type(client)).get(_REPLACED)
    if kind is not None:
        client.__class__ = kind
        vars(client).pop(_STATE, None)


# --- one call ----------------------------------------------------------------------


def _find(client: Any, state: ClientState, operation: str, arguments: Any) -> Outcome:
    """Return what the near cache makes of a call."""
    try:
        credentials = client._request_signer._credentials  # noqa: SLF001 - as the hooks do
        # All on one level, where functions would read better: every hit is here.
        if (
            state.emitter._lookup_cache is not state.registered  # noqa: SLF001 - see client_state.py
            or credentials is not state.credentials
            or state.hooks.cache is not state.cache
            or (
                state.access_key is not None
                and credentials.access_key != state.access_key
            )
        ):
            state = state_of(client, state.emitter)
            vars(client)[_STATE] = state
        answers = state.answers
        if (
            answers is None
            or operation not in state.operations
            or current_mode() is not _NORMAL
            or (
                _METHODS["_make_api_call"] is not _OWN
                and not _comes_first(is_untraced=state.is_untraced)
            )
        ):
            return None
        key = quick_key(state.token, operation, arguments)
        entry = answers.find(key)
        if entry is not None:
            answer = answers.serve(entry)
            if answer is not None:
                if operation not in state.emitting:
                    return answer
                call = NearCall(client, state, answers, operation, key)
                return deliver_from_memory(call, entry.origin, answer)
        call = NearCall(client, state, answers, operation, key)
        return _look_up(call, entry, arguments)
    except Exception as error:
        state.report(error)
        return None


def _look_up(call: NearCall, entry: NearEntry | None, arguments: Any) -> Outcome:
    """Ask the cache for a call that is not answered from memory.

    entry: what is remembered under the call's quick key, if anything is.
    """
    if call.key is not None and (entry is None or entry.prepared is None):
        hit = _begin_derived(call, arguments)
        if hit is not None:
            return deliver_from_store(call, hit)
        if call.is_begun:
            return call
    if entry is None or entry.prepared is None:
        state = call.state
        call.key = exact_key(state.token, call.operation, arguments, state.kinds)
        if call.key is None:
            return None
        entry = call.answers.find(call.key)
        answer = None if entry is None else call.answers.serve(entry)
        if entry is not None and answer is not None:
            return deliver_from_memory(call, entry.origin, answer)
    hit = _load_remembered(call, entry)
    return call if hit is None else deliver_from_store(call, hit)


def _begin_derived(call: NearCall, arguments: Any) -> Hit | None:
    """Begin a call whose arguments tell its request's body; return the hit.

    Does nothing when they do not, or when no earlier call has told yet which DynamoDB
    this client asks for this table.
    """
    state, operation = call.state, call.operation
    likely = state.calls.get((operation, table_of(arguments)))
    if likely is None or state.cache is None or call.key is None:
        return None
    body_of = state.bodies.get(operation)
    body = derive_body(operation, call.key, arguments, body_of)
    if body is None:
        return None
    return call.begun(state.cache.begin(likely, body))


def _load_remembered(call: NearCall, entry: NearEntry | None) -> Hit | None:
    """Load the read that an earlier call has prepared, if there is one."""
    cache = call.state.cache
    if entry is None or entry.prepared is None or cache is None:
        return None
    call.remembered = entry.prepared
    return call.begun(cache.load(entry.prepared))


def _send(call: NearCall, pipeline: Callable[[str, Any], Any], arguments: Any) -> Any:
    """Return DynamoDB's answer; remember how to ask the store next time."""
    token = pipeline_call.set(call)
    try:
        answer = pipeline(call.operation, arguments)
    finally:
        pipeline_call.reset(token)
    if call.prepared is not None and not call.is_begun and call.key is not None:
        try:
            call.state.remember(call.key, call.prepared, arguments)
        except Exception as error:
            call.state.report(error)
    return answer


def _first_state_of(client: Any) -> Any:
    """Return what is found out about a client at its first call.

    _UNKNOWN when it does not look as clients are known to.
    """
    state: object = _UNKNOWN
    try:
        emitter = emitter_of(client)
        if emitter is not None:
            state = state_of(client, emitter)
    except Exception:  # noqa: S110 - the client is not as it is known
        pass
    vars(client)[_STATE] = state
    return state


# --- who else makes the call -------------------------------------------------------

_METHODS = vars(BaseClient)  # a view: it shows the method of this moment


def _comes_first(*, is_untraced: bool) -> bool:
    """Return whether hits may be answered before the method that botocore has now.

    If another library replaced `BaseClient._make_api_call`, hits must go through that
    replacement. With `near='untraced'`, a replacement that only wraps botocore's method
    (tracers do) may be skipped.
    """
    method = _METHODS["_make_api_call"]
    if _is_botocores(method):
        return True
    return is_untraced and _is_botocores(inspect.unwrap(method))


def _is_botocores(method: Any) -> bool:
    """Return whether a function is botocore's own; its own decorators are, too.

    By where it was defined, which functools.wraps does not copy.
    """
    if type(method) is not FunctionType:
        return False
    module: str = method.__globals__.get("__name__", "")
    return module.startswith("botocore.")


_OWN = _METHODS["_make_api_call"] if _is_botocores(_METHODS["_make_api_call"]) else None
