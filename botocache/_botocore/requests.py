"""A request of botocore -> the call that it makes: whose, and to which DynamoDB.

botocore lets an application change what decides this at any moment: the credentials and
how they sign, the handlers, the methods of its classes. So each request is looked at
anew. Only what follows from what was seen is remembered, and compared with what is
seen now: see `CallerMemory`, and `ClientTraits.last_calls`.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from botocore import UNSIGNED

from botocache._botocore.accounts import account_at_hand
from botocache._botocore.clients import (
    TRAITS,
    ClientTraits,
    OperationTraits,
    in_process,
    traits_of,
)
from botocache._botocore.credentials import AUTO, Caller, caller_of
from botocache._botocore.types import (
    CallContext,
    Request,
    Signer,
    credentials_of,
    version_of_handlers,
)
from botocache._cache.modes import current_mode
from botocache._cache.prepare import Call
from botocache._cache.read_mode import Mode
from botocache._digests import digest
from botocache._errors import shows

_USUAL_HEADERS = frozenset(
    {"Content-Type", "User-Agent", "X-Amz-Target", "X-Amzn-Trace-Id"}
)
"""Headers of nearly all requests, as botocore spells them."""

_HARMLESS_HEADERS = frozenset(
    {
        # of botocore
        "accept",
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-type",
        "user-agent",
        "x-amz-api-version",
        "x-amz-target",
        "x-amz-user-agent",
        "x-amzn-query-mode",
        # of tracers
        "b3",
        "baggage",
        "elastic-apm-traceparent",
        "newrelic",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "uber-trace-id",
        "x-amzn-trace-id",
        "x-cloud-trace-context",
    }
)
"""Headers that tell no callers apart, in lower case."""

_HARMLESS_PREFIXES = ("x-amz-checksum-", "x-b3-", "x-datadog-", "x-instana-")

_NOTHING: Final[Mapping[str, object]] = {}
_NORMAL: Final = Mode.NORMAL


@shows("call")
class LastCall(NamedTuple):
    """The last usual call of one operation of a client, and what it was made of.

    call: that the request made.
    key: access key id that the call's scope is of; None where that does not matter.
    url: of the request.
    region: of the client.
    version: of the signature, as botocore names it.
    handlers: the version of the client's handlers.
    traits: what these may do to the call.
    caller: who made it.
    setting: `scope`.
    """

    call: Call
    key: str | None
    url: str
    region: str
    version: object
    handlers: object
    traits: OperationTraits
    caller: Caller
    setting: str


def call_of(
    operation: str, request: Request, signer: Signer, context: CallContext, setting: str
) -> tuple[Call, str | None]:
    """Return the call that a request makes, and the access key id that its scope is of.

    The id is None where it does not matter who signs.

    In nearly all calls nothing has changed since the client's last one. To find that
    out takes three functions; to make the call anew takes ten.

    setting: `scope`.
    """
    client: ClientTraits = vars(signer).get(TRAITS) or traits_of(signer)
    last: Any = client.last_calls.get(operation)
    # As the signer decides it: a client that signs nothing may have credentials.
    version = context.get("auth_type") or signer.signature_version
    if (
        last is not None
        and client.emitter is not None
        and version_of_handlers(client.emitter) is last.handlers
        and version == last.version
        and setting == last.setting
        and request["url"] == last.url
        and context["client_region"] == last.region
        and current_mode() is _NORMAL
        and _USUAL_HEADERS.issuperset(request["headers"])
        # A handler may have given this call credentials of its own.
        and "request_credentials" not in context.get("signing", _NOTHING)
        and not (last.traits.stubbers and last.traits.is_mocked)
        and client.is_usual_now(client.client(), signer, version)
    ):
        credentials = credentials_of(signer)
        if (
            credentials is not None
            and client.callers.caller_of(credentials, setting) is last.caller
        ):
            return last.call, last.key
    return _new_call(client, operation, request, signer, context, version, setting)


def _new_call(  # noqa: PLR0913, PLR0917 - all that a call may depend on
    client: ClientTraits,
    operation: str,
    request: Request,
    signer: Signer,
    context: CallContext,
    version: object,
    setting: str,
) -> tuple[Call, str | None]:
    """Do what `call_of` does for any call; remember a usual one for it.

    client: the one that has the signer.
    version: of the signature, as botocore names it.
    """
    # First: what changes meanwhile outdates what is remembered.
    handlers = None if client.emitter is None else version_of_handlers(client.emitter)
    traits, mode = client.of(operation), current_mode()
    usual, is_uncached = client.is_usual(signer, version), client.is_uncached
    is_sent_by_botocore = usual or client.is_sent_by_botocore()
    is_named, caller = setting != AUTO, None
    if (
        not traits.changes_answers
        and not is_uncached
        and (is_named or is_sent_by_botocore)
    ):
        is_hidden = not is_named and (
            traits.hiding
            or "request_credentials" in context.get("signing", _NOTHING)
            or not (usual or _is_signed_by_keys(client, version))
        )
        caller = None if is_hidden else _caller(client, signer, version, setting)
    if caller is None and not is_named and not is_uncached:
        client.report_hiding(operation)
    key = None if is_named or caller is None else caller.access_key_id
    own_scope = b"" if usual or caller is None else client.own_scope()
    url, headers, region = request["url"], request["headers"], context["client_region"]
    # A library with coroutines has senders of its own, for the DynamoDB that all
    # processes share. Its writes must find the key schemas of that origin.
    is_foreign = not is_sent_by_botocore and not is_uncached
    is_mocked = bool(traits.stubbers) and traits.is_mocked  # once: it may stop
    if is_foreign or is_mocked:
        region = in_process(region)
    scope = None if caller is None else caller.scope
    if scope is not None and not is_named:
        scope = _with_headers(scope, headers, traits)
    if scope is not None and own_scope:
        scope = digest("scope", "own", scope, own_scope)
    call = Call(operation, origin(url, region), scope, mode, _account(caller, signer))
    if (
        usual
        and caller is not None
        and version is not UNSIGNED
        and mode is _NORMAL
        and not is_mocked
        and not traits.extra_headers
        and _USUAL_HEADERS.issuperset(headers)
        and "request_credentials" not in context.get("signing", _NOTHING)
    ):
        client.last_calls[operation] = LastCall(
            call, key, url, region, version, handlers, traits, caller, setting
        )
    return call, key


def _account(caller: Caller | None, signer: Signer) -> str:
    if caller is not None:
        return caller.account
    return account_at_hand(credentials_of(signer))


def _is_signed_by_keys(client: ClientTraits, version: object) -> bool:
    return version is UNSIGNED or client.is_signed_by_keys(version)


def _caller(
    client: ClientTraits, signer: Signer, version: object, setting: str
) -> Caller | None:
    """Return who makes a call; None if nothing can sign it.

    version: of its signature, as botocore names it.
    """
    if version is UNSIGNED:
        return caller_of(None, setting)
    credentials = credentials_of(signer)
    if credentials is None:
        return None
    return client.callers.caller_of(credentials, setting)


def _with_headers(
    scope: bytes, headers: Mapping[str, object], traits: OperationTraits
) -> bytes:
    """Return a scope in which the headers count that tell callers apart.

    headers: of the request, at `before-call`.
    traits: of the call.
    """
    if _USUAL_HEADERS.issuperset(headers) and not traits.extra_headers:
        return scope
    telling = sorted(
        (name.lower(), value if isinstance(value, bytes) else str(value))
        for name, value in (*headers.items(), *traits.headers())
        if not _is_harmless(name.lower())
    )
    return digest("scope", "headers", scope, telling) if telling else scope


def _is_harmless(header: str) -> bool:
    return header in _HARMLESS_HEADERS or header.startswith(_HARMLESS_PREFIXES)


def origin(url: str, region: str) -> str:
    """Return which DynamoDB a request goes to: endpoint and region.

    Both, because an emulator keeps the tables of several regions behind one endpoint.
    """
    return f"{region} {url}"
