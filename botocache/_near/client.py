"""The near cache: a hit before botocore's pipeline.

A base class of DynamoDB clients, whose `_make_api_call` comes before botocore's own. It
answers what a hit through the hooks would answer, by the same laws, and does the rest
of what one does: `after-call` is emitted where there is somebody to hear it. What it
does not remember it asks the store for, by a plan made out of the call's arguments. If
they do not tell for sure the call takes the ordinary way, and on that way is listened
to: to what it asks the store, so that the same call can ask at once the next time.

Reads alone: a write goes through the pipeline always.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from botocore.client import BaseClient

from botocache._cache.modes import Mode, current_mode
from botocache._cache.tickets import Plan, Recording
from botocache._cache.tickets import recording as current_recording
from botocache._near.answers import Known
from botocache._near.call_keys import (
    ArgumentsKey,
    arguments_key,
    is_quick,
    quick_key,
    table_of,
)
from botocache._near.client_state import OPERATIONS, View, emitter_of, view_of
from botocache._near.delivery import Asking, Delivered, Delivery, delivered, told

_FRONT = "_botocache_front"
_REPLACED = "_botocache_replaced"

_NORMAL = Mode.NORMAL


class NearClient:
    """A base class of a client that has the cache, before botocore's own."""

    def _make_api_call(self, operation_name: str, api_params: Any) -> Any:
        pending: _Pending | None = None
        if operation_name in OPERATIONS:
            # By its dict: a client's __getattr__ emits an event.
            front = self.__dict__.get(_FRONT) or _front_of(self)
            found = front.find(self, operation_name, api_params)
            if isinstance(found, dict):
                return found
            if isinstance(found, Delivery):
                events: Any = self.meta.events  # type: ignore[attr-defined]  # botocore's
                return found.deliver(events)
            pending = found
        try:
            pipeline = super()._make_api_call  # type: ignore[misc]  # botocore's
        except TypeError:  # just taken off by another thread, see `without_near`
            pipeline = self._make_api_call
        if pending is None:
            return pipeline(operation_name, api_params)
        return pending.call(pipeline, api_params)


def with_near(client: Any) -> None:
    """Give a client that exists already the base class, if it lacks it.

    Its class is replaced by a subclass of it, and not its method by another: what is in
    a client's dict is its own, and nobody who looks there shall find ours.
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
        vars(client).pop(_FRONT, None)


# --- one client --------------------------------------------------------------------


class _Front:
    """The near cache of one client."""

    __slots__ = ("_emitter", "_view")

    def __init__(self, client: Any, emitter: Any) -> None:
        self._emitter = emitter
        self._view = view_of(client, emitter)

    def find(
        self, client: Any, operation: str, arguments: Any
    ) -> "Delivered | Delivery | _Pending | None":
        """Return the answer; or one that others must be told of; or the call's way.

        None: it is of no interest what becomes of the call.
        """
        view = self._view
        try:
            credentials = client._request_signer._credentials  # noqa: SLF001 - as the hooks do
            # Written out, where a function would say it better: each hit is here.
            if (
                self._emitter._lookup_cache is not view.registered  # noqa: SLF001 - see _near/client_state.py
                or credentials is not view.credentials
                or view.hooks.cache is not view.cache
                or (
                    view.access_key is not None
                    and credentials.access_key != view.access_key
                )
            ):
                view = self._view = view_of(client, self._emitter)
            answers = view.answers
            if (
                answers is None
                or operation not in view.operations
                or current_mode() is not _NORMAL
                or (
                    _METHODS["_make_api_call"] is not _OWN
                    and not _comes_first(is_untraced=view.is_untraced)
                )
            ):
                return None
            key = quick_key(view.token, operation, arguments)
            known = answers.find(key)
            if known is not None:
                served = answers.serve(known)
                if served is not None:
                    if operation not in view.emitting:  # as _told says, sooner
                        return served
                    return _told(client, view, operation, known, served)
            recording = Recording(client._request_signer, operation)  # noqa: SLF001 - as the hooks do
            plan = None if known is None else known.plan
            if plan is None:
                plan = _plan_ahead(view, key, arguments, recording)
            if plan is None or key is None:
                return _otherwise(client, view, arguments, recording)
            return _ask(client, view, key, plan, recording)
        except Exception as error:  # noqa: BLE001 - a failure in here is never the application's
            view.report(error)
            return None


def _told(
    client: Any, view: View, operation: str, known: Known, served: Delivered
) -> Delivered | Delivery:
    """Return an answer out of memory; as one that others are told of, if they are."""
    if operation not in view.emitting:
        return served
    return told(Asking(client, view, operation, known.origin), served)


def _otherwise(
    client: Any, view: View, arguments: Any, recording: Recording
) -> "Delivered | Delivery | _Pending | None":
    """Say what becomes of a call that is neither known nor planned by its quick key."""
    operation, answers = recording.operation, view.answers
    key = arguments_key(view.token, operation, arguments, view.kinds)
    if key is None or answers is None:
        return None
    known = answers.find(key)
    served = None if known is None else answers.serve(known)
    if known is not None and served is not None:
        return _told(client, view, operation, known, served)
    if known is None or known.plan is None:
        return _Pending(recording, view, key)
    return _ask(client, view, key, known.plan, recording)


def _plan_ahead(
    view: View, key: ArgumentsKey | None, arguments: Any, recording: Recording
) -> Plan | None:
    """Return how the store is asked for a call, if its arguments tell."""
    operation = recording.operation
    asked = view.asked.get((operation, table_of(arguments)))
    body_of = view.bodies.get(operation)
    if key is None or asked is None or body_of is None or view.answers is None:
        return None
    return view.answers.plan_ahead(key, asked, body_of, arguments, recording)


def _ask(
    client: Any, view: View, key: ArgumentsKey, plan: Plan, recording: Recording
) -> "Delivered | Delivery | _Pending":
    """Ask the store for a call by its plan; return the hit, or the call."""
    found = None
    if view.answers is not None:
        found = view.answers.ask_again(key, plan, recording)
    if found is None:
        return _Pending(recording, view, key)
    asking = Asking(client, view, recording.operation, plan.asked.origin)
    return delivered(asking, plan, found)


class _NoFront:
    """The near cache of a client that is not as clients are known to be."""

    def find(self, *_: Any) -> None:
        return None


_NO_FRONT = _NoFront()


def _front_of(client: Any) -> _Front | _NoFront:
    """Return a client's near cache; make it, at its first call."""
    try:
        emitter = emitter_of(client)
        front = _NO_FRONT if emitter is None else _Front(client, emitter)
    except Exception:  # noqa: BLE001 - not as it is known
        front = _NO_FRONT
    vars(client)[_FRONT] = front
    return front


# --- who else makes the call -------------------------------------------------------

_METHODS = vars(BaseClient)  # as it is at any moment


def _comes_first(*, is_untraced: bool) -> bool:
    """Tell whether hits may be answered before botocore's method of now.

    Somebody may have put his own in its place, to make the call in another way or to
    watch it. Then he is asked. One that wraps botocore's, as tracers do, is not where
    the user wants his hits untraced.
    """
    method = _METHODS["_make_api_call"]
    if _is_botocores(method):
        return True
    return is_untraced and _is_botocores(inspect.unwrap(method))


def _is_botocores(method: Any) -> bool:
    """Tell whether a function is botocore's own; its own decorators are, too.

    By where it was defined, which functools.wraps does not copy.
    """
    if type(method) is not FunctionType:
        return False
    module: str = method.__globals__.get("__name__", "")
    return module.startswith("botocore.")


_OWN = _METHODS["_make_api_call"] if _is_botocores(_METHODS["_make_api_call"]) else None


# --- what becomes of a call --------------------------------------------------------


@dataclass(slots=True)
class _Pending:
    """A call that takes the ordinary way, and is listened to."""

    recording: Recording
    view: View
    key: ArgumentsKey

    def call(self, pipeline: Callable[[str, Any], Any], arguments: Any) -> Any:
        token = current_recording.set(self.recording)
        try:
            answer = pipeline(self.recording.operation, arguments)
        finally:
            current_recording.reset(token)
        try:
            self._keep(arguments)
        except Exception as error:  # noqa: BLE001 - a failure in here is never the application's
            self.view.report(error)
        return answer

    def _keep(self, arguments: Any) -> None:
        view, (operation, plan) = (
            self.view,
            (self.recording.operation, self.recording.plan),
        )
        if (
            plan is None
            or view.answers is None
            or self.recording.parameters is not None
        ):
            return  # it can be planned again, before the call
        if arguments_key(view.token, operation, arguments, view.kinds) != self.key:
            return  # changed during the call: nobody knows what was asked
        if not view.is_whose(plan):
            return
        view.answers.keep_plan(self.key, plan)
        if is_quick(self.key):  # else nothing like it could be planned
            view.learn(plan)
