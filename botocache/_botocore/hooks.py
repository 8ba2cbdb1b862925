"""botocore's events <-> Cache. The only file with an event's name in it.

Why these events, and at these places in their order:

- `creating-client-class.dynamodb`: a client gets the base class of the near cache.
- `before-call`, last: everybody who changes the request, or answers it himself
  (Stubber), has done so: botocore calls handlers of more special names first. The body
  is JSON, the same for clients and resources.
- `after-call.*.*`, first: boto3's resource layer rewrites the answer in place, and so
  may others. Wildcards come before names.
- `after-call-error.dynamodb`: no answer came.
- `needs-retry.dynamodb`, first: IAM may forbid, or a throttled table refuse, what we
  asked for beside what the application did; then the request is sent again as it was.

`before-call` and `after-call` are called for the other services of a session as well,
and leave at once.

botocore hands one dict, `context`, to all events of a call; the ticket travels in it.
With Stubber `after-call` comes without `before-call`; when another plugin raises, no
closing event comes at all. Neither may matter here.
"""

from collections.abc import Mapping
from typing import Any

from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.handlers import REGISTER_FIRST, REGISTER_LAST

from botocache._botocore.credentials import scope_of
from botocache._cache.cache import Cache, decode_body
from botocache._cache.modes import current_mode
from botocache._cache.prepare import Call
from botocache._cache.tickets import (
    Hit,
    ReadTicket,
    Ticket,
    WriteTicket,
    pipeline_call,
    response_metadata,
)
from botocache._dynamodb.types import Body
from botocache._errors import EvictionError

_TICKET = "botocache_ticket"
"""Where the ticket is in a call's context, with its cache: a write that is under way
when the cache is uninstalled must still evict at its end."""

_ORIGINAL = "botocache_original"
"""Where the application's own body is, of a request that is sent with another one."""

_NO_TICKET = (None, None)
_PROBE = "botocache-installed"
_SERVICE = "dynamodb"
_NO_SUCCESS = 300
_SERVER_ERROR = 500
_FORBIDDEN = "AccessDeniedException"
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
    }
)


class Hooks:
    """The handlers of one installation. They do nothing while `cache` is None.

    That is what makes an installation end everywhere at once: botocore copies handlers
    to each client that it makes, and nobody can reach all the copies. base: the base
    class that clients get for the near cache.
    """

    def __init__(self, base: type | None = None) -> None:
        self.cache: Cache | None = None
        self._base = base
        self._rewritten: set[int] = set()
        self._handlers = (
            ("creating-client-class.dynamodb", self._creating_class, REGISTER_LAST),
            ("before-call", self._before_call, REGISTER_LAST),
            ("after-call.*.*", self._after_call, REGISTER_FIRST),
            ("after-call-error.dynamodb", self._after_call_error, REGISTER_FIRST),
            ("needs-retry.dynamodb", self._needs_retry, REGISTER_FIRST),
            (_PROBE, self._installed, REGISTER_FIRST),
        )

    def __repr__(self) -> str:
        return f"<Hooks of {self.cache!r}>"

    def register(self, events: Any) -> None:
        """Register on the emitter of a session or client."""
        for event, handler, place in self._handlers:
            if place is REGISTER_FIRST:
                events.register_first(event, handler)
            else:
                events.register_last(event, handler)

    def unregister(self, events: Any) -> None:
        """Take them off again, unless an answer is still waited for that needs them.

        Then they stay, and do nothing else. `cache` must be None.
        """
        if self._rewritten:
            return
        for event, handler, _ in self._handlers:
            events.unregister(event, handler)

    def register_builtin(self, handlers: list[Any]) -> None:
        """Add them to the handlers that every new session registers."""
        handlers.extend(self._handlers)

    def unregister_builtin(self, handlers: list[Any]) -> None:
        """Take them off again."""
        for spec in self._handlers:
            if spec in handlers:
                handlers.remove(spec)

    # --- events --------------------------------------------------------------------

    def _creating_class(self, *, base_classes: list[type], **_: Any) -> None:
        wants_base = self.cache is not None and self.cache.near is not None
        if wants_base and self._base is not None and self._base not in base_classes:
            base_classes.insert(0, self._base)

    def _installed(self, **_: Any) -> "Hooks":
        return self

    def _before_call(
        self,
        *,
        model: Any,
        params: dict[str, Any],
        request_signer: Any,
        context: dict[str, Any],
        **_: Any,
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        cache = self.cache
        if cache is None or model.service_model.service_name != _SERVICE:
            return None
        operation, url = model.name, params["url"]
        try:
            call = Call(
                operation,
                origin(url, context["client_region"]),
                _scope(request_signer, context, cache.settings.scope),
                current_mode(),
            )
            outcome = _begin(cache, call, decode_body(params["body"]), request_signer)
            if isinstance(outcome, Hit):
                return _response(url, outcome)
        except EvictionError:  # not a failure: the user wants to know
            raise
        except Exception as error:
            outcome = cache.begin_unplanned(operation, error)
        if outcome is not None and outcome.body is not None:
            outcome = self._rewrite(params, context, outcome)
        if outcome is not None:
            context[_TICKET] = (cache, outcome)
        return None

    def _rewrite(
        self, params: dict[str, Any], context: dict[str, Any], ticket: Ticket
    ) -> Ticket | None:
        """Have a request sent as its ticket wants it; it is signed later."""
        self._rewritten.add(id(context))
        if self.cache is not None:
            context[_ORIGINAL], params["body"] = params["body"], ticket.body
            return ticket
        # Uninstalled just now: nobody may be there any more when the answer comes.
        self._rewritten.discard(id(context))
        return ticket._replace(body=None) if isinstance(ticket, WriteTicket) else None

    def _after_call(
        self,
        *,
        http_response: Any,
        parsed: dict[str, Any],
        context: dict[str, Any],
        **_: Any,
    ) -> None:
        cache, ticket = context.pop(_TICKET, _NO_TICKET)
        self._rewritten.discard(id(context))
        if cache is None or (self.cache is None and isinstance(ticket, ReadTicket)):
            return  # uninstalled meanwhile; but a batch needs its hits
        status = http_response.status_code
        metadata = parsed.get("ResponseMetadata", {})
        # An attempt before this one, or one that ended in a server error, may have
        # reached DynamoDB and be carried out later.
        certain = status < _SERVER_ERROR and not metadata.get("RetryAttempts")
        # Without a first attempt it is not DynamoDB that answered.
        succeeded = status < _NO_SUCCESS and "retries" in context
        cache.finish(ticket, parsed, succeeded=succeeded, certain=certain)

    def _after_call_error(self, *, context: dict[str, Any], **_: Any) -> None:
        cache, ticket = context.pop(_TICKET, _NO_TICKET)
        self._rewritten.discard(id(context))
        if cache is not None:
            cache.fail(ticket)

    def _needs_retry(
        self,
        *,
        response: tuple[Any, Mapping[str, Any]] | None,
        request_dict: dict[str, Any],
        **_: Any,
    ) -> int | None:
        context = request_dict.get("context", {})
        cache, ticket = context.get(_TICKET, _NO_TICKET)
        if response is None or ticket is None or request_dict["body"] != ticket.body:
            return None
        if not _is_refused_for_our_sake(ticket, *response):
            return None
        request_dict["body"] = context.pop(_ORIGINAL)
        context[_TICKET] = (cache, cache.without_additions(ticket))
        return 0  # seconds to wait


def _is_refused_for_our_sake(
    ticket: Ticket, http: Any, parsed: Mapping[str, Any]
) -> bool:
    """Tell whether DynamoDB may refuse only what we asked for beside."""
    code: str = parsed.get("Error", {}).get("Code", "")
    if isinstance(ticket, WriteTicket):  # the old item
        return code == _FORBIDDEN
    if isinstance(ticket, ReadTicket):  # strong consistency, for twice the units
        status: int = http.status_code
        return code in _THROTTLED or status >= _SERVER_ERROR
    return False


def _begin(
    cache: Cache, call: Call, parameters: Body, request_signer: object
) -> Hit | Ticket | None:
    """Begin a call, unless the near cache has begun this very call already."""
    passing = pipeline_call.get()
    if (
        passing is None
        or passing.signer is not request_signer
        or passing.operation != call.operation
    ):
        return cache.begin(call, parameters)
    pipeline_call.set(None)  # a handler may make another call within this one
    if passing.is_begun:
        ticket = passing.ticket
        if ticket is None or (
            ticket.prepared.call == call and ticket.prepared.parameters == parameters
        ):
            return ticket
    outcome = cache.begin(call, parameters)
    if isinstance(outcome, (Hit, ReadTicket)):
        passing.prepared = outcome.prepared
    return outcome


def origin(url: str, region: str) -> str:
    """Return which DynamoDB a request goes to: endpoint and region.

    Both, because an emulator keeps the tables of several regions behind one endpoint.
    """
    return f"{region} {url}"


def installed_on(events: Any) -> list[Hooks]:
    """Return the hooks that are registered on an emitter, active or not."""
    return [response for _, response in events.emit(_PROBE)]


# --- answers -----------------------------------------------------------------------


class _NoBody:
    """The body of a response that never was: whoever reads it finds it empty."""

    def stream(self, **_: Any) -> tuple[bytes, ...]:
        return ()


def http_response(url: str, headers: Mapping[str, str]) -> AWSResponse:
    """Return the response that a hit would have been."""
    return AWSResponse(url, 200, dict(headers), _NoBody())  # type: ignore[arg-type]  # it takes any mapping


def _response(url: str, hit: Hit) -> tuple[AWSResponse, dict[str, Any]]:
    metadata = response_metadata(hit.key.hex(), hit.age)
    hit.answer["ResponseMetadata"] = metadata
    return http_response(url, metadata["HTTPHeaders"]), hit.answer


def _scope(
    request_signer: Any, context: Mapping[str, Any], setting: str
) -> bytes | None:
    """Return whose answers a call may be served; None when it cannot be signed."""
    credentials = request_signer._credentials  # noqa: SLF001 - no public way from an event
    if credentials is None and context["client_config"].signature_version != UNSIGNED:
        return None
    return scope_of(credentials, setting)
