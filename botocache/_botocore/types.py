"""What botocache relies on in botocore, on one page: types, and how to reach them.

botocore has no public way to a client's credentials, nor to the handlers of an event.
The attributes with a `_` below are the private ones that botocache reads instead. All
of them are in botocore 1.35.68 (2024), the oldest that is supported, and in 1.44.

Two other files read private attributes. `_near/client.py` reads those below inline,
because each near hit does. `credentials.py` reads some of refreshable credentials, and
does without where they are missing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, Protocol, TypeAlias, TypedDict

from botocore.client import ClientMeta
from botocore.config import Config
from botocore.credentials import Credentials

from botocache._botocore.principals import HandOut
from botocache._cache.cache import Cache
from botocache._cache.tickets import Hit, PipelineCall, Ticket
from botocache._dynamodb.types import Answer

# --- clients -----------------------------------------------------------------------


class Signer(Protocol):
    """What signs a client's requests; botocore hands it to `before-call`.

    _credentials: what it signs with; None when the client found none. Applications
        replace it, so each call reads it anew. For credentials that refresh themselves
        botocore keeps one object through all rotations.
    """

    _credentials: Credentials | None

    @property
    def signature_version(self) -> object:
        """How it signs; UNSIGNED if it does not."""


class Client(Protocol):
    """A client of botocore.

    meta: its events, its service model and its configuration.
    _request_signer: one object for the client's life; each client has another one.
    """

    meta: ClientMeta
    _request_signer: Signer


signer_of: Final[Callable[[Client], Signer]] = attrgetter("_request_signer")
"""Returns the signer of a client."""

emitter_of_signer: Final[Callable[[Signer], object]] = attrgetter("_event_emitter")
"""Returns the emitter of a signer's client, behind a weak proxy."""


class ClientEndpoint(Protocol):
    """What sends a client's requests, and parses the answers.

    http_session: sends them.
    _response_parser_factory: makes the parser of each answer.
    """

    http_session: object
    _response_parser_factory: object


endpoint_of: Final[Callable[[Client], ClientEndpoint]] = attrgetter("_endpoint")
"""Returns what sends a client's requests."""

parser_factory_of: Final[Callable[[ClientEndpoint], object]] = attrgetter(
    "_response_parser_factory"
)
"""Returns what makes the parsers of a client's answers."""

parser_defaults_of: Final[Callable[[object], Mapping[str, object]]] = attrgetter(
    "_defaults"
)
"""Returns the parsers that replace botocore's, by name. `set_parser_defaults` changes
this mapping at any time."""

credentials_of: Final[Callable[[Signer], Credentials | None]] = attrgetter(
    "_credentials"
)
"""Returns the credentials of a signer at this moment."""

# --- events ------------------------------------------------------------------------

Handler: TypeAlias = Callable[..., Any]
"""A handler of an event. botocore passes keywords only, of which a handler takes what
it names, and `**_` for all that botocore adds in later versions."""


class HandlerTrie(Protocol):
    """The handlers of an emitter, by the name of their event."""

    def prefix_search(self, event_name: str) -> Iterable[Handler]:
        """Return the handlers of an event, also those of its prefixes and wildcards."""


class Emitter(Protocol):
    """botocore's HierarchicalEmitter, which has the handlers of one client.

    Since botocore 1.11 (2018) it stands behind an EventAliaser, as its `_emitter`.

    _lookup_cache: handlers by event. botocore puts a new dict here after each change of
        the handlers, so the same dict means the same handlers.
    _handlers: those of all events.
    """

    _lookup_cache: dict[str, Iterable[Handler]]
    _handlers: HandlerTrie


emitter_behind: Final[Callable[[object], object]] = attrgetter("_emitter")
"""Returns the emitter behind an EventAliaser."""

version_of_handlers: Final[Callable[[Emitter], object]] = attrgetter("_lookup_cache")
"""Returns the object that botocore replaces after each change of the handlers."""

handlers_of: Final[Callable[[Emitter], HandlerTrie]] = attrgetter("_handlers")
"""Returns the handlers of an emitter."""

extra_headers_of: Final[Callable[[Handler], Mapping[str, str] | None]] = attrgetter(
    "__self__._extra_headers"
)
"""Returns the headers that a connection of PynamoDB adds; `handler` is its method."""

# --- arguments of events -----------------------------------------------------------


class Course(Protocol):
    """What waits for the store of one call, so that the event loop need not.

    For a call of a client that is awaited, and a store that may wait.
    """

    def begin(
        self,
        begin: Callable[..., Hit | Ticket | None],
        arguments: tuple[Any, ...],
        key: str | None,
    ) -> Awaitable[Any]:
        """Begin the call, then call the hooks again with the outcome.

        begin: begins it; may wait. Takes `skipping`, see `Cache.begin`.
        key: id of the access key that the call's scope is of.
        """

    def finish(
        self, context: "CallContext", finish: Callable[[], object]
    ) -> Awaitable[None]:
        """End the call.

        finish: ends it; may wait. It takes the ticket out of the context.
        """


class AnsweredRefusal(Protocol):
    """A response that refuses a call, and the answer in its place. See stale.py.

    hit: the answer.
    """

    hit: Hit

    def show_error(self) -> None:
        """Let the response be what DynamoDB has sent."""

    def deliver(self, parsed: Answer, context: "CallContext") -> bool:
        """Put the answer in its place, for the application."""


class CallContext(TypedDict, total=False):
    """The dict that botocore hands to all events of one call.

    client_region: of the client.
    client_config: of the client.
    has_streaming_input: of the operation.
    auth_type: of the operation.
    signing: how the request is signed, where that differs from the client.
    retries: botocore puts it in before the first attempt, so a call without it never
        left the process (Stubber, or another plugin, answered).
    botocache_ticket: a call's ticket, with its cache.
    botocache_rewritten: lives as long as such a request.
    botocache_original: the application's own body, of a request that is sent with
        another one.
    botocache_key: id of the access key that the call's scope is of; "" if the call is
        not signed; None if the scope is of no key.
    botocache_is_foreign: present once another key has signed the request.
    botocache_call: the near client's call, if a stale answer may be returned there.
    botocache_stale: a response with an error, and the stale answer in its place.
    botocache_ending: of a call that hands out keys, whose; of one that is awaited, what
        waits for the store at its end.
    """

    client_region: str
    client_config: Config
    has_streaming_input: bool
    auth_type: str | None
    signing: Mapping[str, object]
    retries: object
    botocache_ticket: tuple[Cache, Ticket]
    botocache_original: bytes
    botocache_rewritten: object
    botocache_key: str | None
    botocache_is_foreign: bool
    botocache_call: PipelineCall
    botocache_stale: AnsweredRefusal
    botocache_ending: HandOut | Course


class Request(TypedDict):
    """A request before it is signed: `params` of `before-call`.

    url: of the endpoint.
    headers: that botocore and handlers have added so far.
    body: JSON, for clients and resources alike.
    context: of the call.
    """

    url: str
    headers: Mapping[str, str | bytes]
    body: bytes
    context: CallContext


class Response(Protocol):
    """An HTTP response, as far as `after-call` and `needs-retry` need it."""

    status_code: int
    headers: Mapping[str, str]


class ResponseDict(TypedDict):
    """What botocore parses: `response_dict` of `before-parse`.

    body: bytes; or a stream, of operations of other services.
    headers: those of the HTTP response, the same object.
    status_code: of the HTTP response.
    """

    body: bytes
    headers: Mapping[str, str]
    status_code: int
