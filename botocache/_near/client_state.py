"""What the near cache must know of a client before it answers in botocore's place.

A `ClientState` caches what was found out about a client: that no third-party handler
changes its requests, its credentials, and the form of its answers. It also holds the
objects it was derived from; when one of them changes, a new ClientState is made.

If botocore's private attributes (see _botocore/types.py) are not as expected, there is
no state, and botocore handles every call.
"""

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from time import time
from typing import TypedDict, cast

from botocore import UNSIGNED
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.hooks import EventAliaser

from botocache._botocore.clients import is_in_process, know, traits_of
from botocache._botocore.credentials import (
    AUTO,
    Frozen,
    is_botocores,
    scope_of,
    seconds_valid,
)
from botocache._botocore.hooks import Hooks, installed_on
from botocache._botocore.types import (
    Client,
    Emitter,
    Handler,
    credentials_of,
    emitter_behind,
    handlers_of,
    signer_of,
    version_of_handlers,
)
from botocache._cache.cache import Cache
from botocache._cache.prepare import Call, PreparedRead
from botocache._errors import shows
from botocache._near.answers import NearAnswers
from botocache._near.call_keys import CallKey, exact_key, is_quick
from botocache._near.deserializers import Injector
from botocache._near.libraries import CALL, Library, made_by
from botocache._near.request_bodies import BodyOf, derive_body, resource_body, wire_body

OPERATIONS = frozenset({"BatchGetItem", "GetItem", "Query", "Scan"})
"""What the near cache answers."""

_BUILD = "before-parameter-build.dynamodb.{}"

_BEFORE = (
    "provide-client-params.dynamodb.{}",
    _BUILD,
    "before-endpoint-resolution.dynamodb",
    "before-call.dynamodb.{}",
)
"""Events whose handlers may change a request, or answer it themselves."""

_AFTER = "after-call.dynamodb.{}"

_RESOURCE = "boto3.dynamodb.transform:TransformationInjector."
_TO_RESOURCE = f"{_RESOURCE}inject_attribute_value_output"
_OF_RESOURCE = f"{_RESOURCE}inject_attribute_value_input"

KNOWN_BEFORE = frozenset(
    {
        "boto3.dynamodb.transform:copy_dynamodb_params",
        f"{_RESOURCE}inject_condition_expressions",
        _OF_RESOURCE,
        "botocache._botocore.hooks:Hooks._before_call",
        "botocore.discovery:block_endpoint_discovery_required_operations",
        "botocore.handlers:_handle_request_validation_mode_member",
        "botocore.handlers:add_query_compatibility_header",
        "botocore.handlers:add_recursion_detection_header",
        "botocore.handlers:generate_idempotent_uuid",
        "botocore.handlers:inject_api_version_header_if_needed",
    }
)
"""Handlers that turn equal arguments of a read into equal requests."""

KNOWN_AFTER = frozenset(
    {
        "botocache._botocore.hooks:Hooks._after_call",
        # It counts successes of DynamoDB, and a hit is none.
        "botocore.retries.standard:RetryQuotaChecker.release_retry_quota",
    }
)
"""Handlers that have nothing to do where DynamoDB did not answer."""

_MOST_TABLES = 1000
"""Tables that a state has calls of; at one more it forgets them all."""


class _NoHooks:
    """Stands for the hooks of a client on which botocache was never installed."""

    cache = None


_NO_HOOKS = _NoHooks()

_numbers = count(1)


def _new_tokens() -> dict[str, int]:
    # Each number once in a process. None is ever given again, even after a fork: the
    # child goes on counting, and shares no memory.
    return {operation: next(_numbers) for operation in OPERATIONS}


@shows("operations", "is_plain", "cache")
@dataclass(frozen=True, slots=True, eq=False)
class ClientState:
    """What was found out about a client, and the objects that it was derived from.

    emitter: of the client's events.
    registered: the version of its handlers, a new object after every change.
    credentials: of the client.
    hooks: the hooks that are registered on the client.
    cache: of the hooks; None when they are not active.
    library: that the client is of.
    kind: the class of the credentials.
    values: the attributes of static credentials; None for others.
    size: how many attributes refreshable credentials have; 0 for others. With one more,
        a method of theirs may be replaced.
    keys: those of the credentials; None before the first call, and if code that is not
        botocore's chooses them.
    expiry: when the keys expire, as the credentials have it.
    scope: of the credentials' keys.
    valid_until: when botocore must refresh the keys, in seconds on the store's clock.
    operations: those that the near cache may answer.
    emitting: operations with `after-call` handlers other than ours and boto3's.
    is_plain: answers are as the wire has them; no resource layer changes them.
    injector: of boto3's resource layer; None if there is none, or not one alone.
    kinds: types of boto3 that arguments and answers may hold; see `exact_key`.
    answers: what the cache remembers; None when nothing may be answered.
    detour: true while botocore must handle all calls; see `ClientTraits.detour`.
    is_untraced: hits may skip wrappers of botocore's method.
    bodies: what derives a request's body from arguments, by operation.
    tokens: a part of the keys of this client's calls, by operation. So what was
        remembered under another state, or of another operation, is not found.
    calls: the last call of each operation and TableName: its origin and its scope. A
        batch has None in the place of the TableName.
    """

    emitter: Emitter
    registered: object
    credentials: Credentials | None
    hooks: Hooks | _NoHooks
    cache: Cache | None
    library: Library
    kind: type
    values: Mapping[str, object] | None
    size: int
    keys: Frozen | None
    expiry: object
    scope: bytes | None = None
    valid_until: float = math.inf
    operations: frozenset[str] = frozenset()
    emitting: frozenset[str] = frozenset()
    is_plain: bool = True
    injector: Injector | None = None
    kinds: frozenset[type] = frozenset()
    answers: NearAnswers | None = None
    detour: object = False
    is_untraced: bool = False
    bodies: Mapping[str, BodyOf] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=_new_tokens)
    calls: dict[tuple[str, str | None], Call] = field(default_factory=dict)

    def remember(self, key: CallKey, prepared: PreparedRead, arguments: object) -> None:
        """Remember how a call was made, for the calls after it.

        key: of the call's arguments before it was sent.
        prepared: the read that the hooks made of it.
        arguments: as they are now.
        """
        call, read = prepared.call, prepared.read
        operation = call.operation
        if self.answers is None or self.cache is None:
            return
        if is_in_process(call.origin):
            return  # a test answered; the near cache cannot see when it ends
        token = self.tokens[operation]
        if exact_key(token, arguments, self.kinds) != key:
            return  # the application changed them meanwhile: the read has another key
        if call.scope != self.scope:
            return  # the client had other credentials while the call was under way
        if is_quick(key):
            self._note_call(call, read.table_parameter)
            body_of = self.bodies.get(operation)
            if derive_body(operation, token, key, arguments, body_of) is not None:
                return  # the next call prepares its read from its arguments
        # A learned key schema may be outdated, which only the cache can check.
        if not read.rests_on_schema:
            self.answers.remember_read(key, prepared)

    def remember_batch(self, call: Call) -> None:
        """Remember which DynamoDB a batch has asked, and in whose name.

        A batch that names no table by an ARN: that may lead to another endpoint.
        """
        if not is_in_process(call.origin) and call.scope == self.scope:
            self._note_call(call, None)

    def _note_call(self, call: Call, table: str | None) -> None:
        if len(self.calls) >= _MOST_TABLES:
            self.calls.clear()
        self.calls[call.operation, table] = call

    def report(self, error: Exception) -> None:
        """Report that the near cache failed; botocore handles the call."""
        if self.cache is not None:
            self.cache.report_near(error)


def emitter_of(client: Client) -> Emitter | None:
    """Return the emitter behind a client's events; None if its type is not known."""
    events: object = client.meta.events
    if type(events) is EventAliaser:
        events = emitter_behind(events)
    library = made_by(type(client))
    if type(events) is not library.emitter or not _calls(library, type(client)):
        return None
    has_all = hasattr(events, "_lookup_cache") and hasattr(events, "_handlers")
    return cast("Emitter", events) if has_all else None


def _calls(library: Library, kind: type) -> bool:
    """Return whether no class stands between the near cache and the library's."""
    # Classes with the method, the nearest first: ..., NearClient, BaseClient.
    makers = [each for each in kind.__mro__ if CALL in vars(each)]
    own = len(library.callers)
    return (
        tuple(makers[-own:]) == library.callers
        and len(makers) > own
        and makers[-own - 1].__module__ == library.near
    )


def state_of(client: Client, emitter: Emitter) -> ClientState:
    """Return the state of a client.

    emitter: of the client, see `emitter_of`.
    """
    # First, so that a handler that is registered meanwhile outdates the new state.
    registered = version_of_handlers(emitter)
    know(client)
    signer = signer_of(client)
    credentials, traits = credentials_of(signer), traits_of(signer)
    # A client may still have the hooks of installations that have ended.
    hooks = sorted(
        installed_on(client.meta.events), key=lambda each: each.cache is None
    )
    first = hooks[0] if hooks else _NO_HOOKS
    cache = first.cache
    library = made_by(type(client))
    watched = _watched_of(credentials, library)
    keys = watched["keys"]
    seconds = 0.0 if credentials is None else seconds_valid(credentials)
    is_one = sum(each.cache is not None for each in hooks) == 1
    if (
        cache is None
        or credentials is None
        or keys is None
        or signer.signature_version is UNSIGNED
        or not isinstance(cache.near, NearAnswers)
        or not is_one
        or not seconds  # botocore must refresh the keys, or has none yet
        or not traits.is_sent_by_botocore()
        or traits.own_scope()
    ):
        return ClientState(
            emitter, registered, credentials, first, cache, library, **watched
        )
    scope, expires_at = scope_of(keys, credentials, cache.settings.scope)
    after = {
        operation: set(_names(emitter, _AFTER.format(operation)))
        for operation in OPERATIONS
    }
    is_named = cache.settings.scope != AUTO
    is_open = _is_open_on(emitter)
    is_plain = not any(_TO_RESOURCE in names for names in after.values())
    return ClientState(
        emitter,
        registered,
        credentials,
        first,
        cache,
        library,
        **watched,
        scope=scope,
        valid_until=cache.near.now() + min(seconds, expires_at - time()),
        operations=frozenset(
            operation
            for operation in OPERATIONS
            if is_open(operation)
            and traits.of(operation).is_plain(is_scope_named=is_named)
        ),
        emitting=frozenset(
            operation
            for operation, names in after.items()
            if names - KNOWN_AFTER - {_TO_RESOURCE}
        ),
        is_plain=is_plain,
        injector=None if is_plain else _injector_of(emitter),
        kinds=frozenset() if is_plain else boto3_kinds(),
        answers=cache.near,
        detour=traits.detour(OPERATIONS),
        is_untraced=cache.settings.near == "untraced",
        bodies=dict(_bodies_of(emitter, after)),
    )


class _Watched(TypedDict):
    """The fields of a state by which a change of its credentials shows."""

    kind: type
    values: Mapping[str, object] | None
    size: int
    keys: Frozen | None
    expiry: object


def _watched_of(credentials: Credentials | None, library: Library) -> _Watched:
    # First: if a thread replaces it meanwhile, the next call finds another class.
    kind = type(credentials)
    if not is_botocores(credentials):
        return _Watched(kind=kind, values=None, size=0, keys=None, expiry=None)
    # A copy: it is compared with the attributes as they are at each call.
    values = dict(vars(credentials))
    if kind is library.static:
        # Of the copy, and not by a method: a thread may replace the keys meanwhile.
        names = ReadOnlyCredentials._fields
        keys = ReadOnlyCredentials(*(values.get(name) for name in names))
        return _Watched(kind=kind, values=values, size=0, keys=keys, expiry=None)
    return _Watched(
        kind=kind,
        values=None,
        size=len(values),
        keys=values.get("_frozen_credentials"),
        expiry=values.get("_expiry_time"),
    )


def _bodies_of(
    emitter: Emitter, after: Mapping[str, Collection[str]]
) -> Iterator[tuple[str, BodyOf]]:
    """Yield each operation with what makes its bodies.

    after: names of the `after-call` handlers, by operation.
    """
    for operation, names in after.items():
        of_resource = _OF_RESOURCE in _names(emitter, _BUILD.format(operation))
        # A client with one half of boto3's resource layer was changed by another
        # library, so its bodies are not known.
        if of_resource == (_TO_RESOURCE in names):
            yield operation, resource_body if of_resource else wire_body


def _is_open_on(emitter: Emitter) -> Callable[[str], bool]:
    """Return what returns whether all handlers before an operation are known."""

    def is_open(operation: str) -> bool:
        names = (
            name
            for event in _BEFORE
            for name in _names(emitter, event.format(operation))
        )
        return KNOWN_BEFORE.issuperset(names)

    return is_open


def _injector_of(emitter: Emitter) -> Injector | None:
    """Return the one injector whose resource layer changes all answers, or None."""
    injectors = {
        getattr(handler, "__self__", None)
        for operation in OPERATIONS
        for handler in handlers_of(emitter).prefix_search(_AFTER.format(operation))
        if _name_of(handler) == _TO_RESOURCE
    }
    return cast("Injector", injectors.pop()) if len(injectors) == 1 else None


def _names(emitter: Emitter, event: str) -> Iterator[str]:
    """Yield the name of each handler of an event, or its repr if it has no name."""
    yield from map(_name_of, handlers_of(emitter).prefix_search(event))


def _name_of(handler: Handler) -> str:
    function = getattr(handler, "__func__", handler)
    name = getattr(function, "__qualname__", repr(handler))
    return f"{getattr(function, '__module__', '')}:{name}"


def boto3_kinds() -> frozenset[type]:
    """Return the types of boto3 that a resource's arguments may hold.

    Does not import boto3: an application that has such an instance has imported it.
    """
    conditions = sys.modules.get("boto3.dynamodb.conditions")
    types = sys.modules.get("boto3.dynamodb.types")
    if conditions is None or types is None:
        return frozenset()
    bases = (conditions.ConditionBase, conditions.AttributeBase)
    return frozenset(
        {
            types.Binary,
            *(
                each
                for each in vars(conditions).values()
                if isinstance(each, type) and issubclass(each, bases)
            ),
        }
    )
