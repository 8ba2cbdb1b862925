"""The near cache's place in a client: before botocore's request pipeline.

`NearClient` is mixed into DynamoDB client classes; its `_make_api_call` runs before
botocore's. It returns a cached answer, from this process's memory or from the store,
without running botocore's pipeline. A call that it cannot answer goes through the
pipeline with what the cache said to it, so that the hooks do not load it again. The
near cache steps aside, and botocore handles the call, whenever the result could differ.
Writes always go through the pipeline.

What the near cache makes of a call is one for all clients: a finder looks it up in
memory and prepares what the store must be asked, `conclude_read` takes the result of
that, `remember_call` what the pipeline has shown. These functions never wait. A client
waits in between, for `NearCall.load` and the pipeline: `NearClient` in its thread, the
clients of aiobotocore by `await`.
"""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final, TypeAlias

from botocore.client import ClientMeta
from botocore.history import get_global_history_recorder

from botocache._botocore.clients import KnownClient
from botocache._botocore.types import Client, Emitter, Signer
from botocache._cache.leases import abandon
from botocache._cache.modes import current_mode
from botocache._cache.read_mode import Mode
from botocache._cache.tickets import (
    Hit,
    ReadTicket,
    StaleHit,
    Ticket,
    pipeline_call,
)
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
from botocache._near.calls import NearBatch, NearCall
from botocache._near.client_state import OPERATIONS, ClientState, emitter_of, state_of
from botocache._near.delivery import (
    Delivery,
    deliver_from_memory,
    deliver_from_store,
    deliver_stale,
    deliver_stale_hit,
)
from botocache._near.libraries import BOTOCORE, CALL, CHOICE, REFRESH
from botocache._near.request_bodies import derive_body

_STATE = "_botocache_state"
FINDERS = "_botocache_finders"
_REPLACED = "_botocache_replaced"

_NORMAL = Mode.NORMAL

Pipeline: TypeAlias = Callable[[str, object], Answer]
"""botocore's `_make_api_call` of a client."""

Outcome: TypeAlias = Answer | Delivery | NearCall | None
"""What the near cache makes of a call: the answer; the answer once the handlers of
`after-call` have run; the call, to be loaded if it has a `conclude`, or else to be
sent; None, to be sent without a record."""

Finder: TypeAlias = Callable[..., Outcome]
"""Returns what the near cache makes of a call of one operation. It takes the client,
the arguments, and True if the client was looked at already."""


class NearClient(KnownClient):
    """A base class of a client that has the cache, before botocore's own."""

    _botocache_library = BOTOCORE
    meta: ClientMeta
    _request_signer: Signer

    def _make_api_call(self, operation_name: str, api_params: object) -> Answer:  # noqa: C901 - in parts, each call would take longer
        # By its dict: a client's __getattr__ emits an event.
        find = self.__dict__.get(FINDERS, FIRST).get(operation_name)
        call: NearCall | None = None
        if find is not None:
            found = find(self, api_params)
            if type(found) is dict:
                return found
            if isinstance(found, NearCall) and (conclude := found.conclude) is not None:
                call = found
                try:
                    outcome = call.load()
                    if type(outcome) is ReadTicket:  # another one may ask the same
                        outcome = call.cache.settle(outcome)
                    found = conclude(call, outcome)
                except Exception as error:
                    call.fail(error)
                    found = None
            if found is not call:  # a miss, mostly, is what it was
                if isinstance(found, Delivery):
                    return found.deliver(self.meta.events)
                if type(found) is dict:
                    return found
                call = found
        pipeline: Pipeline
        try:
            pipeline = super()._make_api_call  # type: ignore[misc]  # botocore's
        except TypeError:  # `without_near` has just taken this class off, in a thread
            pipeline = self._make_api_call
        if find is not None:
            return _send(call, pipeline, operation_name, api_params)
        return pipeline(operation_name, api_params)


def with_near(client: object, base: type = NearClient) -> None:
    """Give an existing client the base class, if it lacks it.

    Replaces the client's class by a subclass. A method in the client's dict would take
    the place of one that the application may have put there.
    """
    kind = type(client)
    if not issubclass(kind, base):
        namespace = {"__module__": kind.__module__, _REPLACED: kind}
        client.__class__ = type(kind.__name__, (base, kind), namespace)


def without_near(client: object) -> None:
    """Undo `with_near`, whichever base class it gave."""
    while (kind := vars(type(client)).get(_REPLACED)) is not None:
        client.__class__ = kind
        vars(client).pop(_STATE, None)
        vars(client).pop(FINDERS, None)


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
    library = state.library
    methods, own = library.methods, library.own
    choices, choose = library.choices, library.choose
    refreshing, choose_refreshed = library.refreshing, library.choose_refreshed
    refresh = library.refresh

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
                    or choices[CHOICE] is not choose
                    if is_static
                    else state.size
                    and (
                        credentials._frozen_credentials is not state.keys  # type: ignore[union-attr]  # noqa: SLF001 - _botocore/types.py says why
                        or credentials._expiry_time is not state.expiry  # type: ignore[union-attr]  # noqa: SLF001 - _botocore/types.py says why
                        or len(credentials.__dict__) != state.size
                        or refreshing[CHOICE] is not choose_refreshed
                        or refreshing[REFRESH] is not refresh
                    )
                )
            ) and not is_checked:
                return _enter(client, emitter)[operation](client, arguments, True)  # noqa: FBT003 - positional: it is faster
            if (
                answers is None
                or detour
                or current_mode() is not _NORMAL
                or (
                    methods[CALL] is not own
                    and not library.comes_first(is_untraced=is_untraced)
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
            return _prepare_load(call, entry, arguments)
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
    vars(client)[FINDERS] = finders
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
        vars(client)[FINDERS] = finders
        return finders[operation](client, arguments)

    return find


FIRST: Final = {operation: _first_finder_of(operation) for operation in OPERATIONS}


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
    call = NearBatch(client, state, answers, BATCH, None, begun)
    return find_batch(call, arguments)


def _prepare_load(
    call: NearCall, entry: NearEntry | None, arguments: object
) -> Outcome:
    """Prepare the load of a call that memory does not answer by its quick key.

    entry: what is remembered under that key.
    """
    state = call.state
    operation = call.operation
    key = call.key
    # After the look-up in memory, which finds nothing of other operations: nothing of
    # them is remembered under their tokens.
    if (
        key is None
        or operation not in state.operations
        or call.answers.now() >= call.valid_until
    ):
        return None
    prepared = None if entry is None else entry.prepared
    if prepared is None and type(key) is bytes:  # a quick one
        token = state.tokens[operation]
        # None if no earlier call has shown yet which DynamoDB this client asks for this
        # table.
        likely = state.calls.get((operation, table_of(arguments)))
        if likely is not None:
            body = derive_body(
                operation, token, key, arguments, state.bodies.get(operation)
            )
            if body is not None:
                call.likely = likely
                call.body = body
                call.conclude = conclude_read
                return call
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
    if prepared is not None:
        call.remembered, call.conclude = prepared, conclude_read
    return call


def conclude_read(call: NearCall, outcome: Hit | Ticket | None) -> Outcome:
    """Return what the near cache makes of a read that was loaded."""
    if type(outcome) is Hit:
        return deliver_from_store(call, outcome)
    if isinstance(outcome, StaleHit):
        return deliver_stale_hit(call, outcome)
    call.is_begun = True
    call.ticket = outcome  # type: ignore[assignment]  # of a read, for the hooks
    return call


def remember_call(call: NearCall, arguments: object) -> None:
    """Remember how to load such a call next time, from what the hooks made of it.

    For a call that was not loaded: of another one it is known.
    """
    if call.batch_call is not None:
        call.state.remember_batch(call.batch_call)
    if call.prepared is None or call.key is None:
        return
    try:
        call.state.remember(call.key, call.prepared, arguments)
    except Exception as error:
        pass_on(error)
        call.state.report(error)


def is_sent_shortened(call: NearCall) -> bool:
    """Return whether a batch goes through the pipeline with one of its keys."""
    # Unless others see the arguments: wrappers of botocore's method, or handlers of its
    # history.
    library = call.state.library
    return (
        call.shortened is not None
        and library.methods[CALL] is library.own
        and not getattr(_HISTORY, "_enabled", True)
    )


_HISTORY: Final = get_global_history_recorder()

# --- a client that waits in its thread ---------------------------------------------


def _send(
    call: NearCall | None, pipeline: Pipeline, operation: str, arguments: object
) -> Answer:
    """Return DynamoDB's answer; remember how to load such a call next time.

    call: None when nothing is to be remembered.
    """
    if call is not None and call.shortened is not None and is_sent_shortened(call):
        return _send_shortened(call, pipeline, arguments)
    # None is announced as well: the hooks of a call that is made within another one
    # would take the outer call's announcement for theirs.
    token = pipeline_call.set(call)
    stale: Delivery | None = None
    try:
        answer = pipeline(operation, arguments)
    except BaseException as error:
        # Who keeps the traceback, as gevent does of a greenlet that was killed, keeps
        # the ticket; but other readers may wait for it.
        if call is not None and isinstance(call.ticket, ReadTicket):
            abandon(call.ticket)
        if isinstance(error, Exception):
            stale = deliver_stale(call, error)
        if stale is None:
            raise
    finally:
        pipeline_call.reset(token)
    if stale is not None and call is not None:
        answer = stale.deliver(call.client.meta.events)
    if call is not None and not call.is_begun:
        remember_call(call, arguments)
    return answer


def _send_shortened(call: NearCall, pipeline: Pipeline, arguments: object) -> Answer:
    """Send a batch through botocore's pipeline with one of its keys.

    The hooks replace the request's body by that of all keys which are no hits. That
    saves botocore's validation and serialisation, 20 µs a key; its result is known.
    """
    token = pipeline_call.set(call)
    answer: Answer | None = None
    stale: Delivery | None = None
    try:
        answer = pipeline(BATCH, call.shortened)
    except Exception as error:
        pass_on(error)
        stale = deliver_stale(call, error)
        if call.is_full and stale is None:
            raise
    finally:
        pipeline_call.reset(token)
    if stale is not None:
        return stale.deliver(call.client.meta.events)
    if answer is None or not call.is_full:
        # botocache was uninstalled meanwhile, or botocore has refused to send anything.
        return _send(None, pipeline, BATCH, arguments)
    return answer
