"""The near cache's place in a client: before botocore's request pipeline.

`NearClient` is mixed into DynamoDB client classes; its `_make_api_call` runs before
botocore's. It returns a cached answer, from this process's memory or from the store,
without running botocore's pipeline. A call that it cannot answer goes through the
pipeline with what the cache said to it, so that the hooks do not load it again. The
near cache steps aside, and botocore handles the call, whenever the result could differ.
Writes always go through the pipeline.
"""

import inspect
from collections.abc import Callable, Mapping
from time import perf_counter
from types import FunctionType
from typing import Final, TypeAlias

from botocore.client import BaseClient, ClientMeta
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.history import get_global_history_recorder

from botocache._botocore.clients import KnownClient
from botocache._botocore.types import Client, Emitter, Signer
from botocache._cache.modes import current_mode
from botocache._cache.read_mode import Mode
from botocache._cache.tickets import Hit, pipeline_call
from botocache._dynamodb.types import Answer
from botocache._errors import pass_on
from botocache._near.answers import NearAnswers, NearEntry, timing
from botocache._near.batch_answers import BATCH
from botocache._near.batches import find_batch
from botocache._near.call_keys import (
    BY_VALUE,
    CallKey,
    check_marshals,
    exact_key,
    marshalled,
    table_of,
)
from botocache._near.calls import NearCall
from botocache._near.client_state import OPERATIONS, ClientState, emitter_of, state_of
from botocache._near.delivery import Delivery, deliver_from_memory, deliver_from_store
from botocache._near.request_bodies import derive_body

_STATE = "_botocache_state"
_FINDERS = "_botocache_finders"
_REPLACED = "_botocache_replaced"

_NORMAL = Mode.NORMAL

Pipeline: TypeAlias = Callable[[str, object], Answer]
"""botocore's `_make_api_call` of a client."""

Outcome: TypeAlias = Answer | Delivery | NearCall | None
"""What the near cache makes of a call: the answer; the answer once the handlers of
`after-call` have run; the call, to be sent; None, to be sent without a record."""

Finder: TypeAlias = Callable[..., Outcome]
"""Returns what the near cache makes of a call of one operation. It takes the client,
the arguments, and True if the client was looked at already."""


class NearClient(KnownClient):
    """A base class of a client that has the cache, before botocore's own."""

    meta: ClientMeta
    _request_signer: Signer

    def _make_api_call(self, operation_name: str, api_params: object) -> Answer:
        # By its dict: a client's __getattr__ emits an event.
        find = self.__dict__.get(_FINDERS, _FIRST).get(operation_name)
        call: NearCall | None = None
        if find is not None:
            found = find(self, api_params)
            if type(found) is dict:
                return found
            if isinstance(found, Delivery):
                return found.deliver(self.meta.events)
            call = found
        pipeline: Pipeline
        try:
            pipeline = super()._make_api_call  # type: ignore[misc]  # botocore's
        except TypeError:  # `without_near` has just taken this class off, in a thread
            pipeline = self._make_api_call
        if find is not None:
            return _send(call, pipeline, operation_name, api_params)
        return pipeline(operation_name, api_params)


def with_near(client: object) -> None:
    """Give an existing client the base class, if it lacks it.

    Replaces the client's class by a subclass. A method in the client's dict would take
    the place of one that the application may have put there.
    """
    kind = type(client)
    if not issubclass(kind, NearClient):
        namespace = {"__module__": kind.__module__, _REPLACED: kind}
        client.__class__ = type(kind.__name__, (NearClient, kind), namespace)


def without_near(client: object) -> None:
    """Undo `with_near`."""
    kind = vars(type(client)).get(_REPLACED)
    if kind is not None:
        client.__class__ = kind
        vars(client).pop(_STATE, None)
        vars(client).pop(_FINDERS, None)


# --- one call ----------------------------------------------------------------------


def _finder_of(state: ClientState, operation: str) -> Finder:
    """Return what answers one operation of a client that is in this state."""
    # Each near hit runs this. Look-ups by name and further functions would take a fifth
    # longer. But the keys of the credentials stay in the state, which does not show
    # them: tools that report errors print the variables of a function.
    emitter, registered, known = state.emitter, state.registered, state.credentials
    hooks, cache, kind = state.hooks, state.cache, state.kind
    is_static = state.values is not None
    answers, detour, token = state.answers, state.detour, state.tokens[operation]
    is_emitted, is_untraced = operation in state.emitting, state.is_untraced
    is_batch = operation == BATCH

    def find(client: Client, arguments: object, is_checked: bool = False) -> Outcome:  # noqa: FBT001, FBT002, PLR0911 - by keyword, or in parts, it would take longer
        # To take the time takes 2 % of a near hit, and few near hits need it.
        started = perf_counter() if timing.is_on else None
        try:
            credentials = client._request_signer._credentials  # noqa: SLF001 - _botocore/types.py says why
            if (
                emitter._lookup_cache is not registered  # noqa: SLF001 - _botocore/types.py says why
                or credentials is not known
                or hooks.cache is not cache
                or type(credentials) is not kind
                or (
                    # All attributes: a method of the same name may be among them.
                    credentials.__dict__ != state.values
                    or _CHOICES[_CHOICE] is not _CHOOSE
                    if is_static
                    else state.size
                    and (
                        credentials._frozen_credentials is not state.keys  # type: ignore[union-attr]  # noqa: SLF001 - _botocore/types.py says why
                        or credentials._expiry_time is not state.expiry  # type: ignore[union-attr]  # noqa: SLF001 - _botocore/types.py says why
                        or len(credentials.__dict__) != state.size
                        or _REFRESHING[_CHOICE] is not _CHOOSE_REFRESHED
                        or _REFRESHING[_REFRESH] is not _REFRESHER
                    )
                )
            ) and not is_checked:
                return _enter(client, emitter)[operation](client, arguments, True)  # noqa: FBT003 - positional: it is faster
            if (
                answers is None
                or detour
                or current_mode() is not _NORMAL
                or (
                    _METHODS["_make_api_call"] is not _OWN
                    and not _comes_first(is_untraced=is_untraced)
                )
            ):
                return None
            if is_batch:
                return _find_batch(client, state, answers, started, arguments)
            key: CallKey | None = None
            try:
                key = marshalled((token, arguments), BY_VALUE)  # type: ignore[arg-type]  # it raises at others
            except Exception as error:
                check_marshals(error)
                key = exact_key(token, arguments, state.kinds, None)
            answer, entry = None, answers.memory.young.get(key) or answers.find(key)
            if entry is not None:
                answer = answers.serve(entry, started, arguments)
                if answer is not None and not is_emitted:
                    return answer
            call = NearCall(client, state, answers, operation, key, started)
            if answer is not None and entry is not None:
                return deliver_from_memory(call, entry.origin, answer)
            return _look_up(call, entry, arguments)
        except Exception as error:
            pass_on(error)
            state.report(error)
            return None

    return find


def _enter(client: Client, emitter: Emitter) -> Mapping[str, Finder]:
    """Find out the state of a client; return its finders."""
    state = state_of(client, emitter)
    finders = {operation: _finder_of(state, operation) for operation in OPERATIONS}
    vars(client)[_STATE] = state
    vars(client)[_FINDERS] = finders
    return finders


def _first_finder_of(operation: str) -> Finder:
    """Return what answers an operation of a client that has no state yet."""

    def find(client: Client, arguments: object) -> Outcome:
        finders: Mapping[str, Finder] = _NOTHING
        try:
            emitter = emitter_of(client)
            if emitter is not None:
                finders = _enter(client, emitter)
        except Exception as error:  # then botocore handles every call
            pass_on(error)
        vars(client)[_FINDERS] = finders
        return finders[operation](client, arguments)

    return find


_FIRST: Final = {operation: _first_finder_of(operation) for operation in OPERATIONS}


def _find_nothing(_client: Client, _arguments: object) -> Outcome:
    """Leave a call of a client that does not look as botocore's clients do."""
    return None


_NOTHING: Final = dict.fromkeys(OPERATIONS, _find_nothing)


def _find_batch(
    client: Client,
    state: ClientState,
    answers: NearAnswers,
    started: float | None,
    arguments: object,
) -> Outcome:
    """Return what the near cache makes of a BatchGetItem."""
    if BATCH not in state.operations or answers.now() >= state.valid_until:
        return None
    begun = perf_counter() if started is None else started
    call = NearCall(client, state, answers, BATCH, None, begun)
    return find_batch(call, arguments)


def _look_up(call: NearCall, entry: NearEntry | None, arguments: object) -> Outcome:
    """Load a call that memory does not answer by its quick key.

    entry: what is remembered under that key.
    """
    state = call.state
    # After the look-up in memory, which finds nothing of other operations: nothing of
    # them is remembered under their tokens.
    key = call.key
    if (
        key is None
        or call.operation not in state.operations
        or call.answers.now() >= call.valid_until
    ):
        return None
    prepared = None if entry is None else entry.prepared
    if prepared is None and type(key) is bytes:  # a quick one
        hit = _begin_derived(call, arguments)
        if hit is not None or call.is_begun:
            return call if hit is None else deliver_from_store(call, hit)
        token = state.tokens[call.operation]
        call.key = exact_key(token, arguments, state.kinds, key)
        if call.key is None:
            return None
        if call.key is not key:
            entry = call.answers.find(call.key)
            if entry is not None:
                answer = call.answers.serve(entry, call.started, arguments)
                if answer is not None:
                    return deliver_from_memory(call, entry.origin, answer)
                prepared = entry.prepared
    cache = state.cache
    if prepared is None or cache is None:
        return call
    call.remembered = prepared
    hit = call.note(cache.load(prepared, call.started))
    return call if hit is None else deliver_from_store(call, hit)


def _begin_derived(call: NearCall, arguments: object) -> Hit | None:
    """Begin a call whose request body follows from its arguments; return the hit.

    Does nothing if the body does not follow from them, or if no earlier call has shown
    yet which DynamoDB this client asks for this table.
    """
    state, operation = call.state, call.operation
    likely = state.calls.get((operation, table_of(arguments)))
    if likely is None or state.cache is None or call.key is None:
        return None
    body_of = state.bodies.get(operation)
    token = state.tokens[operation]
    body = derive_body(operation, token, call.key, arguments, body_of)
    if body is None:
        return None
    return call.note(state.cache.begin(likely, body, call.started))


def _send(
    call: NearCall | None, pipeline: Pipeline, operation: str, arguments: object
) -> Answer:
    """Return DynamoDB's answer; remember how to load such a call next time.

    call: None when nothing is to be remembered.
    """
    if (
        call is not None
        and call.shortened is not None
        # Unless others see the arguments: wrappers of botocore's method, or handlers of
        # its history.
        and _METHODS["_make_api_call"] is _OWN
        and not getattr(_HISTORY, "_enabled", True)
    ):
        return _send_shortened(call, pipeline, arguments)
    # None is announced as well: the hooks of a call that is made within another one
    # would take the outer call's announcement for theirs.
    token = pipeline_call.set(call)
    try:
        answer = pipeline(operation, arguments)
    finally:
        pipeline_call.reset(token)
    if call is not None and call.batch_call is not None:
        call.state.remember_batch(call.batch_call)
    if call is None or call.prepared is None or call.is_begun or call.key is None:
        return answer
    try:
        call.state.remember(call.key, call.prepared, arguments)
    except Exception as error:
        pass_on(error)
        call.state.report(error)
    return answer


def _send_shortened(call: NearCall, pipeline: Pipeline, arguments: object) -> Answer:
    """Send a batch through botocore's pipeline with one of its keys.

    The hooks replace the request's body by that of all keys which are no hits. That
    saves botocore's validation and serialisation, 20 µs a key; its result is known.
    """
    token = pipeline_call.set(call)
    answer: Answer | None = None
    try:
        answer = pipeline(BATCH, call.shortened)
    except Exception as error:
        pass_on(error)
        if call.is_full:
            raise
    finally:
        pipeline_call.reset(token)
    if answer is None or not call.is_full:
        # botocache was uninstalled meanwhile, or botocore has refused to send anything.
        return _send(None, pipeline, BATCH, arguments)
    return answer


# --- other libraries' methods ------------------------------------------------------

_METHODS = vars(BaseClient)  # a view: it shows the method of this moment
_HISTORY: Final = get_global_history_recorder()


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


def _is_botocores(method: object) -> bool:
    """Return whether botocore defines a function; its own decorators count as well."""
    if type(method) is not FunctionType:
        return False
    # By its globals: functools.wraps copies `__module__` to the wrappers of tracers.
    module: str = method.__globals__.get("__name__", "")
    return module.startswith("botocore.")


# As `is_botocores` has it for all methods, when a state is made.
_CHOICES, _CHOICE = vars(Credentials), "get_frozen_credentials"
_CHOOSE: Final = _CHOICES[_CHOICE]
_REFRESHING, _REFRESH = vars(RefreshableCredentials), "_refresh"
_CHOOSE_REFRESHED: Final = _REFRESHING[_CHOICE]
_REFRESHER: Final = _REFRESHING.get(_REFRESH)

_OWN = _METHODS["_make_api_call"] if _is_botocores(_METHODS["_make_api_call"]) else None
