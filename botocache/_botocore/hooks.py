"""botocore's events <-> Cache. The only file that registers handlers.

Why these events, and at these places in their order:

- `creating-client-class.dynamodb`: a client gets a base class by which it is known.
- `before-call`, last: handlers that change the request, or answer it themselves
  (Stubber), have run, because botocore calls handlers of more special names first. The
  body is JSON, the same for clients and resources.
- `after-call.*.*`, first: boto3's resource layer rewrites the answer in place, and so
  may others. Wildcards come before names.
- `after-call-error.dynamodb`: no answer came.
- `request-created.dynamodb`, last: botocore has signed the request. If the keys are not
  those that the scope is of, the answer belongs to another principal.
- `before-parse.dynamodb`, last: see `parsing.py`.
- `needs-retry.dynamodb`, first: IAM may forbid what botocache added to the request, or
  a throttled table refuse it; then the request is sent again as it was. Or a stale
  answer takes the place of the refusal: see `stale.py`, also for the last place there.

`before-call` and `after-call` are called for the other services of a session as well,
and leave at once, except for those that hand out keys: see `handouts.py`.

botocore hands one dict, `context`, to all events of a call; the ticket travels in it.
With Stubber `after-call` comes without `before-call`; when another plugin raises, no
closing event comes at all. Neither may matter here.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import WeakSet

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.client import BaseClient
from botocore.handlers import REGISTER_FIRST, REGISTER_LAST
from botocore.hooks import BaseEventHooks
from botocore.model import OperationModel
from botocore.signers import RequestSigner

from botocache._botocore import handouts
from botocache._botocore.clients import KnownClient
from botocache._botocore.parsing import is_as_made, parse
from botocache._botocore.principals import HandOut, watch_endpoints
from botocache._botocore.requests import call_of
from botocache._botocore.responses import HitResponse, kinds_of_responses
from botocache._botocore.stale import StaleResponse, is_unanswered, keep_quota
from botocache._botocore.types import (
    CallContext,
    Course,
    Handler,
    Request,
    Response,
    ResponseDict,
    Signer,
    handlers_of,
)
from botocache._cache.batches import encode_body
from botocache._cache.cache import Cache, decode_body
from botocache._cache.prepare import Call
from botocache._cache.tickets import (
    AuditTicket,
    BatchTicket,
    BypassTicket,
    Hit,
    PipelineCall,
    ReadTicket,
    StaleAnswer,
    StaleHit,
    Ticket,
    WriteTicket,
    pipeline_call,
    response_metadata,
)
from botocache._counting.counters import FOREIGN
from botocache._dynamodb.refusals import is_refusal
from botocache._dynamodb.types import Answer
from botocache._errors import EvictionError, pass_on, shows

_Registration: TypeAlias = tuple[str, Handler, object]
"""An event, its handler, and the handler's place: REGISTER_FIRST or REGISTER_LAST."""

_Answered: TypeAlias = tuple[AWSResponse, Answer]
"""What a handler of `before-call` returns in the place of DynamoDB's answer."""

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

_THROTTLED_PARTS = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError"})
"""Why a part of a transaction was cancelled."""


class _RewrittenRequest:
    """Lives as long as the context of a call that is sent with a ticket's body."""


@shows()
class Begun(NamedTuple):
    """The beginning of a call that was awaited.

    cache: that has begun it.
    course: that has waited; None if the store never waits.
    key: id of the access key that the call's scope is of.
    outcome: what the beginning has returned.
    error: what it has raised instead.
    """

    cache: Cache
    course: Course | None
    key: str | None = None
    outcome: Hit | Ticket | None = None
    error: Exception | None = None

    def take(self) -> Hit | Ticket | None:
        """Return the outcome, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.outcome


class AsyncAdapter(Protocol):
    """What the hooks need for the clients of a library whose events are awaited."""

    def makes(self, base_classes: list[type]) -> bool:
        """Return whether a client class with these bases is the library's."""

    def base(self, *, has_near: bool) -> type:
        """Return the base class that its clients get."""

    def signs(self, signer: Signer) -> bool:
        """Return whether a signer is of the library."""

    def course(
        self,
        cache: Cache,
        signer: Signer,
        context: CallContext,
        again: Callable[..., Any],
    ) -> "tuple[Course | None, Awaitable[Any] | None]":
        """Return what waits for a call; and its keys, if they must be awaited first.

        again: calls the hooks for this call once more.
        """

    def coalesce(
        self, begun: "Begun", ticket: ReadTicket, again: Callable[..., Any]
    ) -> "tuple[ReadTicket, Awaitable[Any] | None]":
        """Return the ticket of a miss; and what to await before, if it may do that.

        begun: without an outcome.
        again: see `course`.
        """


def _no_adapter() -> None:
    """Stand in for a library with clients that are awaited."""


class Hooks:
    """The handlers of one installation. They do nothing while `cache` is None.

    Setting `cache` to None ends an installation on all clients at once: botocore copies
    the handlers into every client that it makes, and keeps no list of the copies.

    base: the base class that clients get for the near cache, a KnownClient.
    adapter: returns what adapts the hooks to a library whose events are awaited, once
        the application has imported one that is supported.
    """

    def __init__(
        self,
        base: type | None = None,
        adapter: Callable[[], AsyncAdapter | None] = _no_adapter,
    ) -> None:
        watch_endpoints()
        self.cache: Cache | None = None
        self._base = KnownClient if base is None else base
        self._adapter = adapter
        # Weak: a call that is interrupted may end without a closing event.
        self._rewritten: WeakSet[_RewrittenRequest] = WeakSet()
        self._handlers: tuple[_Registration, ...] = (
            ("creating-client-class.dynamodb", self._creating_class, REGISTER_LAST),
            ("before-call", self._before_call, REGISTER_LAST),
            ("after-call.*.*", self._after_call, REGISTER_FIRST),
            ("after-call-error.dynamodb", self._after_call_error, REGISTER_FIRST),
            ("needs-retry.dynamodb", self._needs_retry, REGISTER_FIRST),
            ("request-created.dynamodb", self._request_signed, REGISTER_LAST),
            ("before-parse.dynamodb", self._before_parse, REGISTER_LAST),
            ("request-created.sts", self._handout_signed, REGISTER_LAST),
            ("request-created.sso", self._handout_signed, REGISTER_LAST),
            (_PROBE, self._installed, REGISTER_FIRST),
        )
        self._for_stale: Final[tuple[_Registration, ...]] = (
            ("needs-retry.dynamodb", self._show_refusal, REGISTER_LAST),
        )

    def __repr__(self) -> str:
        return f"<Hooks of {self.cache!r}>"

    def register(self, events: BaseEventHooks) -> None:
        """Register on the emitter of a session or client."""
        for event, handler, place in self._needed():
            if place is REGISTER_FIRST:
                events.register_first(event, handler)
            else:
                events.register_last(event, handler)

    def unregister(self, events: BaseEventHooks) -> None:
        """Take the handlers off an emitter. `cache` must be None.

        While a request that botocache has changed is under way they stay: its answer
        must be put right.
        """
        if self._rewritten:
            return
        for event, handler, _ in (*self._handlers, *self._for_stale):
            events.unregister(event, handler)

    def register_builtin(self, handlers: list[Any]) -> None:
        """Add the handlers to those that every new session registers."""
        handlers.extend(self._needed())

    def unregister_builtin(self, handlers: list[Any]) -> None:
        """Take the handlers off that list."""
        for registration in (*self._handlers, *self._for_stale):
            if registration in handlers:
                handlers.remove(registration)

    def _needed(self) -> tuple[_Registration, ...]:
        """Return the handlers that this installation needs; each takes its time."""
        if self.cache is not None and self.cache.may_answer_stale:
            return (*self._handlers, *self._for_stale)
        return self._handlers

    # --- events --------------------------------------------------------------------

    def _creating_class(self, *, base_classes: list[type], **_: object) -> None:
        if self.cache is None:
            return
        has_near = self.cache.near is not None
        base = self._base if has_near else KnownClient
        if BaseClient not in base_classes:  # but one that is derived from it
            adapter = self._adapter()
            if adapter is not None and adapter.makes(base_classes):
                base = adapter.base(has_near=has_near)
        if not any(issubclass(each, base) for each in base_classes):
            base_classes.insert(0, base)

    def _installed(self, **_: object) -> "Hooks":
        return self

    def _before_call(  # noqa: C901, PLR0911, PLR0912, PLR0915 - in parts, each call would take longer
        self,
        *,
        model: OperationModel,
        params: Request,
        request_signer: Signer,
        context: CallContext,
        begun: Begun | None = None,
        **_: object,
    ) -> _Answered | Awaitable[_Answered | None] | None:
        """Begin a call; return the answer of a hit.

        begun: given by the course of a call, which calls this again when it has waited.
        """
        cache = self.cache
        if cache is None or model.service_model.service_name != _SERVICE:
            if cache is not None:
                self._begin_handout(model, request_signer, context)
            if begun is None:
                return None
            cache = begun.cache  # it was uninstalled meanwhile
        started = perf_counter()
        operation, url = model.name, params["url"]
        course = key = None
        if type(request_signer) is not RequestSigner and begun is None:  # type: ignore[comparison-overlap]  # it stands for that one
            adapter = self._adapter_of(request_signer)
            if adapter is not None:
                again = self._again(model, params, request_signer, context)
                course, keys = adapter.course(cache, request_signer, context, again)
                if keys is not None:
                    return keys
        try:
            if begun is None:
                call, key = call_of(
                    operation, params, request_signer, context, cache.settings.scope
                )
                announced = pipeline_call.get()
                if (
                    announced is None
                    or announced.signer is not request_signer
                    or announced.operation != operation
                ):
                    if course is not None:
                        arguments = call, decode_body(params["body"]), started
                        return course.begin(cache.begin, arguments, key)
                    outcome = cache.begin(call, decode_body(params["body"]), started)
                else:
                    # Once: a handler may make another call within this one.
                    pipeline_call.set(None)
                    outcome = _begin_announced(
                        cache, call, params, announced, started, course
                    )
                    if outcome is _NOT_BEGUN and course is not None:
                        begin = partial(_begin_announced, cache, call, params)
                        return course.begin(begin, (announced, started), key)
            else:
                cache, course, key = begun.cache, begun.course, begun.key
                outcome = begun.take()
            if type(outcome) is ReadTicket and outcome.flight is None:
                adapter = self._adapter_of(request_signer)
                if adapter is None:
                    outcome = cache.settle(outcome)
                    if announced is not None and announced.signer is request_signer:
                        # To end it if the call is interrupted.
                        announced.ticket = None if type(outcome) is Hit else outcome  # type: ignore[assignment]  # of a read
                else:
                    again = self._again(model, params, request_signer, context)
                    begun = Begun(cache, course, key)
                    outcome, waiting = adapter.coalesce(begun, outcome, again)
                    if waiting is not None:
                        return waiting
            if isinstance(outcome, Hit):
                if type(outcome) is StaleHit:
                    # botocore's quota of retries grows after each answered call. This
                    # one says nothing of DynamoDB's health.
                    keep_quota(context)
                return _response(url, outcome, request_signer)
        except EvictionError:  # not a failure: the user asked for it
            raise
        except Exception as error:
            pass_on(error)  # the call is not sent, so nothing is to be evicted
            if course is not None:
                return course.begin(cache.begin_unplanned, (operation, error), None)
            outcome = cache.begin_unplanned(operation, error)
        if outcome is not None and outcome.body is not None:
            outcome = self._rewrite(params, context, outcome, outcome.body)
        if outcome is not None:
            # With its cache: a write that is under way when the cache is uninstalled
            # must still evict at its end.
            context["botocache_ticket"] = (cache, outcome)
            context["botocache_key"] = key
            if course is not None:
                context["botocache_ending"] = course
        return None

    def _adapter_of(self, signer: Signer) -> AsyncAdapter | None:
        """Return the adapter to the library of a client; None if it is botocore."""
        if type(signer) is RequestSigner:  # type: ignore[comparison-overlap]  # it stands for that one
            return None
        adapter = self._adapter()
        return adapter if adapter is not None and adapter.signs(signer) else None

    def _again(
        self,
        model: OperationModel,
        params: Request,
        request_signer: Signer,
        context: CallContext,
    ) -> Callable[..., Any]:
        """Return what calls the hooks of `before-call` once more, for this call."""
        return partial(
            self._before_call,
            model=model,
            params=params,
            request_signer=request_signer,
            context=context,
        )

    def _request_signed(self, *, request: AWSRequest, **_: object) -> None:
        """Fill nothing of a call that other keys have signed than its scope is of.

        Credentials may have been refreshed since `before-call`, or replaced by any
        means. Called for each attempt.
        """
        context: CallContext = request.context  # type: ignore[assignment]  # botocore sets it
        cache, ticket = context.get("botocache_ticket", (None, None))
        key = context.get("botocache_key")
        if cache is None or ticket is None or key is None:
            return
        if handouts.signed_by(request) != key:
            context["botocache_is_foreign"] = True
            if isinstance(ticket, WriteTicket):
                # It evicts. What it left is of a principal that is not known here.
                context["botocache_ticket"] = (cache, ticket._replace(through=None))

    def _before_parse(
        self,
        *,
        operation_model: OperationModel,
        response_dict: ResponseDict,
        customized_response_dict: dict[str, Any],
        **_: object,
    ) -> None:
        cache = self.cache
        if cache is None or not cache.settings.fast_parsing:
            return
        try:
            parse(operation_model, response_dict, customized_response_dict)
        except Exception as error:
            pass_on(error)  # then botocore parses the answer

    def _rewrite(
        self, params: Request, context: CallContext, ticket: Ticket, body: bytes
    ) -> Ticket | None:
        """Send a request with the body of its ticket; botocore signs it later."""
        # Before the cache is looked at: `unregister` comes after `cache` was set to
        # None, so either it finds this request, or this request finds no cache.
        request = context["botocache_rewritten"] = _RewrittenRequest()
        self._rewritten.add(request)
        if self.cache is not None:
            context["botocache_original"], params["body"] = params["body"], body
            return ticket
        # Uninstalled just now: the handlers may be gone when the answer comes.
        context.pop("botocache_rewritten", None)
        return ticket._replace(body=None) if isinstance(ticket, WriteTicket) else None

    def _after_call(  # noqa: C901 - in parts, each call would take longer
        self,
        *,
        http_response: Response,
        parsed: Answer,
        context: CallContext,
        **_: object,
    ) -> Awaitable[None] | None:
        if "botocache_ending" in context:
            ending = context.pop("botocache_ending")
            if not isinstance(ending, HandOut):
                again = partial(self._after_call, http_response=http_response)
                return ending.finish(
                    context, partial(again, parsed=parsed, context=context)
                )
            handouts.finish(ending, http_response, parsed)
        cache, ticket = context.pop("botocache_ticket", (None, None))
        context.pop("botocache_rewritten", None)
        context.pop("botocache_key", None)
        is_foreign = context.pop("botocache_is_foreign", False)
        if cache is None or ticket is None:
            return None
        is_on = self.cache is cache
        stale = context.pop("botocache_stale", None)
        if stale is not None:
            stale.show_error()  # for the cache, which counts it
        if not is_on and isinstance(ticket, (ReadTicket, AuditTicket)):
            if stale is not None:  # botocore has not repeated the request
                stale.deliver(parsed, context)
            # Uninstalled meanwhile: writes of this process evict no more, so the answer
            # may be outdated already. A batch goes on, because its answer needs its
            # hits, and a write still evicts.
            return None
        status = http_response.status_code
        metadata = parsed.get("ResponseMetadata", {})
        # An attempt before this one, or one that ended in a server error, may have
        # reached DynamoDB and be carried out later.
        certain = status < _SERVER_ERROR and not metadata.get("RetryAttempts")
        # Without a first attempt it is not DynamoDB that answered.
        is_sent = "retries" in context
        succeeded = is_sent and status < _NO_SUCCESS
        unfilled = "error" if is_sent else "not_sent"
        is_read = isinstance(ticket, (ReadTicket, AuditTicket, BatchTicket))
        if succeeded and is_read and (is_foreign or not is_on):
            succeeded, unfilled = False, FOREIGN  # nothing is filled or compared
        length, is_plain = None, False
        if succeeded:
            # Not its `content`: that reads it, and is a coroutine in aiobotocore.
            content = getattr(http_response, "_content", None)
            length = len(content) if type(content) is bytes else None
            is_plain = is_read and is_as_made(http_response, parsed, length)
        cache.finish(
            ticket,
            parsed,
            succeeded=succeeded,
            certain=certain,
            unfilled=unfilled,
            length=length,
            is_plain=is_plain,
        )
        # Of the calls that succeed, a batch of statements may be refused in part.
        may_be_refused = not succeeded or isinstance(ticket, BypassTicket)
        # A read that other keys have signed was refused to another principal.
        if may_be_refused and is_sent and not is_foreign and is_refusal(parsed):
            cache.refuse(ticket, parsed)
        if stale is not None and stale.deliver(parsed, context):
            cache.count_stale(ticket, stale.hit)
        return None

    def _after_call_error(
        self, *, context: CallContext, **_: object
    ) -> Awaitable[None] | None:
        ending = context.pop("botocache_ending", None)
        if ending is not None and not isinstance(ending, HandOut):
            again = partial(self._after_call_error, context=context)
            return ending.finish(context, again)
        cache, ticket = context.pop("botocache_ticket", (None, None))
        context.pop("botocache_rewritten", None)
        context.pop("botocache_key", None)
        context.pop("botocache_is_foreign", None)
        if cache is not None and ticket is not None:
            cache.fail(ticket)
        return None

    def _needs_retry(
        self,
        *,
        response: tuple[Response, Answer] | None,
        request_dict: Request,
        attempts: int = 1,
        caught_exception: Exception | None = None,
        **_: object,
    ) -> int | None:  # seconds to wait before the request is sent again
        context: CallContext = request_dict.get("context", {})
        cache, ticket = context.get("botocache_ticket", (None, None))
        if cache is None or ticket is None:
            return None
        if response is None or "Error" in response[1]:
            if response is not None and _is_throttled(response):
                cache.count_throttled(ticket)
            if (
                cache.may_answer_stale
                and cache is self.cache
                and _is_answered_stale(
                    cache, ticket, context, response or caught_exception, attempts - 1
                )
            ):
                return None
        if ticket.body is None or request_dict["body"] != ticket.body:
            return None
        if isinstance(ticket, BatchTicket) and "botocache_is_foreign" in context:
            # Its hits are of another principal. Ask DynamoDB for all of its keys.
            request_dict["body"] = context.pop("botocache_original")
            del context["botocache_ticket"]
            return None if response is None else 0
        if (
            response is not None
            and isinstance(ticket, (ReadTicket, WriteTicket))
            and _is_refused_for_our_sake(ticket, *response)
        ):
            request_dict["body"] = context.pop("botocache_original")
            context["botocache_ticket"] = (cache, cache.without_additions(ticket))
            return 0
        return None

    def _show_refusal(self, *, request_dict: Request, **_: object) -> None:
        context: CallContext = request_dict.get("context", {})
        if "botocache_stale" in context:
            context["botocache_stale"].show_error()

    # --- keys that are handed out --------------------------------------------------

    def _begin_handout(
        self, model: OperationModel, signer: Signer, context: CallContext
    ) -> None:
        if model.service_model.service_name not in handouts.SERVICES:
            return
        try:
            handouts.begin(model.name, signer, context)
        except Exception as error:
            pass_on(error)  # the principal of its keys is not known then

    def _handout_signed(self, *, request: AWSRequest, **_: object) -> None:
        context: CallContext = request.context  # type: ignore[assignment]  # botocore sets it
        handouts.sign(request, context)


def _is_answered_stale(
    cache: Cache,
    ticket: Ticket,
    context: CallContext,
    outcome: tuple[Response, Answer] | Exception | None,
    retries: int,
) -> bool:
    """Return whether a stale answer has taken the place of a response with an error.

    Raise botocore's error, if the near cache answers the call in its place.

    outcome: of the last request: its response, or the error.
    """
    # That of an earlier response, which a handler of the application had repeated.
    context.pop("botocache_stale", None)
    is_refused = _may_be_stale(outcome)
    # Each time: those who wait must get no stale answer, if the last one of several
    # responses refuses the caller itself.
    cache.note_answer(ticket, is_refused=is_refused)
    # Of another principal, who may get nothing that this one was served.
    if not is_refused or "botocache_is_foreign" in context:
        return False
    if isinstance(outcome, tuple):
        return _answer_stale(cache, ticket, context, outcome)
    _raise_for_near(cache, ticket, context, retries, outcome)
    return False


def _answer_stale(
    cache: Cache,
    ticket: Ticket,
    context: CallContext,
    response: tuple[Response, Answer],
) -> bool:
    """Hide a refusal from what would repeat the request, if a stale answer is there."""
    http, parsed = response
    hit = cache.find_stale(ticket)
    if hit is None:
        return False
    try:
        stale = StaleResponse(hit, http, parsed)
        stale.hide_error()
    except Exception as error:
        pass_on(error)  # another library's response, which cannot be changed
        return False
    context["botocache_stale"] = stale
    return True


def _raise_for_near(
    cache: Cache,
    ticket: Ticket,
    context: CallContext,
    retries: int,
    error: Exception | None,
) -> None:
    """Raise an error where the near cache answers it, if a stale answer is there."""
    call = context.get("botocache_call")
    if call is None or error is None:
        return
    hit = cache.find_stale(ticket)
    if hit is None:
        return
    call.stale = StaleAnswer(hit, retries, error)
    cache.count_stale(ticket, hit)
    raise error


def _may_be_stale(outcome: tuple[Response, Answer] | Exception | None) -> bool:
    """Return whether a stale answer may take the place of an error."""
    if isinstance(outcome, tuple):
        return _is_throttled(outcome) or outcome[0].status_code >= _SERVER_ERROR
    return is_unanswered(outcome)


def _is_throttled(response: tuple[Response, Answer]) -> bool:
    """Return whether DynamoDB refused a request, or a part of it, for capacity."""
    parsed = response[1]
    if parsed["Error"].get("Code", "") in _THROTTLED:
        return True
    reasons = parsed.get("CancellationReasons") or ()  # of a transaction
    return any(reason.get("Code") in _THROTTLED_PARTS for reason in reasons)


def _is_refused_for_our_sake(
    ticket: ReadTicket | WriteTicket, http: Response, parsed: Answer
) -> bool:
    """Return whether DynamoDB may have refused only what botocache added."""
    code: str = parsed.get("Error", {}).get("Code", "")
    if isinstance(ticket, WriteTicket):  # the old item
        return code == _FORBIDDEN
    # Strong consistency, for twice the units.
    return code in _THROTTLED or http.status_code >= _SERVER_ERROR


_NOT_BEGUN: Final[Any] = object()
"""In the place of an outcome, of a call that must still be begun."""


def _begin_announced(  # noqa: PLR0913, PLR0917 - those of `begin`, and where it finds them
    cache: Cache,
    call: Call,
    request: Request,
    announced: PipelineCall,
    started: float,
    course: Course | None = None,
    *,
    skipping: bool = False,
) -> Any:
    """Begin a call of a near client, unless the near cache has begun it already.

    Return what `Cache.begin` does.

    request: the call's. Gets the whole body of a batch that was sent with one key.
    announced: what the near cache says of the call.
    started: when the call began, by `perf_counter`.
    course: waits if the cache must begin it; then _NOT_BEGUN is returned. Most likely
        the near cache has waited already.
    skipping: see `Cache.begin`.
    """
    if announced.full_body is None:
        parameters = decode_body(request["body"])
    else:
        parameters = announced.full_body
        request["body"] = encode_body(parameters)
        announced.is_full = True
    if cache.may_answer_stale:
        request["context"]["botocache_call"] = announced
    if announced.is_begun and announced.cache is cache:
        ticket = announced.ticket
        if ticket is None:
            return None
        # Handlers, or another thread, may have changed the call since.
        begun = (
            ticket
            if isinstance(ticket, (BatchTicket, BypassTicket))
            else ticket.prepared
        )
        if begun.call == call and begun.parameters == parameters:
            return ticket
    if course is not None:
        return _NOT_BEGUN
    outcome = cache.begin(call, parameters, started, skipping=skipping)
    if isinstance(outcome, (Hit, ReadTicket, AuditTicket)):
        announced.prepared = outcome.prepared
    if isinstance(outcome, BatchTicket) or (
        isinstance(outcome, Hit) and outcome.lookups is not None
    ):
        announced.batch_call = call
    return outcome


def installed_on(events: BaseEventHooks) -> list[Hooks]:
    """Return the hooks that are registered on an emitter, active or not."""
    # Not by `emit`, which is a coroutine in aiobotocore.
    emitter: Any = getattr(events, "_emitter", events)  # behind an EventAliaser
    return [handler() for handler in handlers_of(emitter).prefix_search(_PROBE)]


# --- answers -----------------------------------------------------------------------


def _response(url: str, hit: Hit, signer: Signer) -> _Answered:
    result = "stale" if type(hit) is StaleHit else "hit"
    metadata = response_metadata(hit.key.hex(), hit.age, result)
    hit.answer["ResponseMetadata"] = metadata
    kind = kinds_of_responses.get(type(signer), HitResponse)
    return kind(url, metadata["HTTPHeaders"]), hit.answer
