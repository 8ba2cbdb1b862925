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

from botocache._cache.modes import Mode, current_mode
from botocache._cache.prepare import PreparedRead
from botocache._cache.tickets import (
    EarlyLookup,
    Hit,
    PipelineCall,
    ReadTicket,
    pipeline_call,
)
from botocache._near.answers import NearEntry, NearPlace
from botocache._near.call_keys import CallKey, exact_key, quick_key, table_of
from botocache._near.client_state import OPERATIONS, emitter_of, state_of
from botocache._near.delivery import (
    ClientCall,
    Delivery,
    deliver_from_memory,
    deliver_from_store,
)
from botocache._near.request_bodies import Arguments, derive_body

_CLIENT_CACHE = "_botocache_client_cache"
_REPLACED = "_botocache_replaced"

_NORMAL = Mode.NORMAL

Outcome: TypeAlias = "dict[str, Any] | Delivery | PendingCall | None"
"""What the near cache makes of a call: the answer; the answer once the handlers of
`after-call` have run; the call, to be sent; None, to be sent and not watched."""


class NearClient:
    """A base class of a client that has the cache, before botocore's own."""

    def _make_api_call(self, operation_name: str, api_params: Any) -> Any:
        pending: PendingCall | None = None
        if operation_name in OPERATIONS:
            # By its dict: a client's __getattr__ emits an event.
            cache = self.__dict__.get(_CLIENT_CACHE) or _client_cache_of(self)
            found = cache.find(self, operation_name, api_params)
            if isinstance(found, dict):
                return found
            if isinstance(found, Delivery):
                events: Any = self.meta.events  # type: ignore[attr-defined]  # botocore's
                return found.deliver(events)
            pending = found
        try:
            pipeline = super()._make_api_call  # type: ignore[misc]  # botocore's
        except TypeError:  # `without_near` has just taken this class off, in a thread
            pipeline = self._make_api_call
        if pending is None:
            return pipeline(operation_name, api_params)
        return pending.send(pipeline, api_params)


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
        vars(client).pop(_CLIENT_CACHE, None)


# --- one client --------------------------------------------------------------------


class ClientCache:
    """The near cache of one client."""

    __slots__ = ("_emitter", "_state")

    def __init__(self, client: Any, emitter: Any) -> None:
        self._emitter = emitter
        self._state = state_of(client, emitter)

    def find(self, client: Any, operation: str, arguments: Any) -> Outcome:
        """Return what the near cache makes of a call."""
        state = self._state
        try:
            credentials = client._request_signer._credentials  # noqa: SLF001 - as the hooks do
            # All on one level, where functions would read better: every hit is here.
            if (
                self._emitter._lookup_cache is not state.registered  # noqa: SLF001 - see client_state.py
                or credentials is not state.credentials
                or state.hooks.cache is not state.cache
                or (
                    state.access_key is not None
                    and credentials.access_key != state.access_key
                )
            ):
                state = self._state = state_of(client, self._emitter)
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
                    call = ClientCall(client, state, answers, operation)
                    return deliver_from_memory(call, entry.origin, answer)
            call = ClientCall(client, state, answers, operation)
            return _look_up(call, key, entry, arguments)
        except Exception as error:  # noqa: BLE001 - caching never fails a call
            state.report(error)
            return None


def _look_up(
    call: ClientCall, key: CallKey | None, entry: NearEntry | None, arguments: Any
) -> Outcome:
    """Ask the cache for a call that is not answered from memory.

    key: the quick key, if there is one.
    entry: what is remembered under it, if anything is.
    """
    if key is not None and (entry is None or entry.prepared is None):
        place = NearPlace(key, call.answers.last_fill)
        early = _begin_derived(call, key, arguments)
        if isinstance(early, Hit):
            return deliver_from_store(call, place, early)
        if early is not None:
            return PendingCall(call, key, early)
    if entry is None or entry.prepared is None:
        key = exact_key(call.state.token, call.operation, arguments, call.state.kinds)
        entry = None if key is None else call.answers.find(key)
        answer = None if entry is None else call.answers.serve(entry)
        if entry is not None and answer is not None:
            return deliver_from_memory(call, entry.origin, answer)
    if key is None:
        return None
    if entry is None or entry.prepared is None:
        return PendingCall(call, key, None)
    return _load(call, key, entry.prepared)


def _begin_derived(
    call: ClientCall, key: CallKey, arguments: Arguments
) -> Hit | EarlyLookup | None:
    """Begin a call whose arguments tell its request's body.

    None when they do not, or when no earlier call has told yet which DynamoDB this
    client asks for this table.
    """
    state, operation = call.state, call.operation
    likely = state.calls.get((operation, table_of(arguments)))
    if likely is None or state.cache is None:
        return None
    body = derive_body(operation, key, arguments, state.bodies.get(operation))
    if body is None:
        return None
    outcome = state.cache.begin(likely, body)
    if isinstance(outcome, Hit):
        return outcome
    ticket = outcome if isinstance(outcome, ReadTicket) else None
    return EarlyLookup(likely, body, ticket)


def _load(call: ClientCall, key: CallKey, prepared: PreparedRead) -> Outcome:
    """Load a read that an earlier call has prepared."""
    place = NearPlace(key, call.answers.last_fill, prepared)
    cache = call.state.cache
    found = None if cache is None else cache.load(prepared)
    if isinstance(found, Hit):
        return deliver_from_store(call, place, found)
    early = EarlyLookup(prepared.call, prepared.parameters, found)
    return PendingCall(call, key, early)


class _NoClientCache:
    """The near cache of a client that does not look as clients are known to."""

    def find(self, *_: Any) -> None:
        return None


_NO_CLIENT_CACHE = _NoClientCache()


def _client_cache_of(client: Any) -> ClientCache | _NoClientCache:
    """Return a client's near cache; make it, at its first call."""
    cache: ClientCache | _NoClientCache = _NO_CLIENT_CACHE
    try:
        emitter = emitter_of(client)
        if emitter is not None:
            cache = ClientCache(client, emitter)
    except Exception:  # noqa: BLE001, S110 - the client is not as it is known
        pass
    vars(client)[_CLIENT_CACHE] = cache
    return cache


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


# --- a call that is sent -----------------------------------------------------------


class PendingCall:
    """A call that goes through botocore's pipeline, watched by the near cache.

    early: what the cache said to it already; None when it was not asked.
    """

    __slots__ = ("_key", "_passing", "_state")

    def __init__(
        self, call: ClientCall, key: CallKey, early: EarlyLookup | None
    ) -> None:
        signer = call.client._request_signer  # noqa: SLF001 - as the hooks do
        self._passing = PipelineCall(signer, call.operation, early)
        self._state = call.state
        self._key = key

    def send(self, pipeline: Callable[[str, Any], Any], arguments: Any) -> Any:
        """Return DynamoDB's answer; remember how to ask the store next time."""
        passing = self._passing
        token = pipeline_call.set(passing)
        try:
            answer = pipeline(passing.operation, arguments)
        finally:
            pipeline_call.reset(token)
        if passing.early is None and passing.prepared is not None:
            try:
                self._state.remember(self._key, passing.prepared, arguments)
            except Exception as error:  # noqa: BLE001 - caching never fails a call
                self._state.report(error)
        return answer
