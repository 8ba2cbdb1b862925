"""What sets a client apart from others that have its credentials.

Two clients share entries only if they read answers alike, and if the same caller stands
behind their requests. botocore lets an application change both, and the credentials
show neither:

- *Reading.* A client with parsers of its own gets a scope of its own, whatever the user
  named. If a handler may change its answers, its reads are not cached.
- *Asking.* Headers that handlers added before our `before-call` are part of the scope.
  A handler that runs later may add what we cannot see, per call. So this client's reads
  are not cached, unless the user named a scope.
- *Answering.* What answers inside the process (moto) is an origin of its own.

Handlers of botocore, boto3 and known tracers change nothing of this. All else that is
not known counts as changing it: the scope is too narrow then, and never too wide.
"""

import inspect
import secrets
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MethodType
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeAlias, cast
from weakref import ref

from botocore.client import BaseClient
from botocore.credentials import Credentials
from botocore.hooks import EventAliaser, HierarchicalEmitter
from botocore.model import ServiceModel
from botocore.parsers import PROTOCOL_PARSERS, ResponseParserFactory
from botocore.signers import RequestSigner

from botocache._botocore.credentials import CallerMemory
from botocache._botocore.known_code import (
    is_known,
    name_of,
    package_of,
)
from botocache._botocore.sending import (
    Sending,
    foreign_sender,
    foreign_signature,
    is_usual,
)
from botocache._botocore.types import (
    Client,
    ClientEndpoint,
    Emitter,
    Handler,
    Signer,
    emitter_behind,
    emitter_of_signer,
    endpoint_of,
    extra_headers_of,
    handlers_of,
    parser_defaults_of,
    parser_factory_of,
    signer_of,
    version_of_handlers,
)
from botocache._digests import DIGEST_SIZE
from botocache._forks import renew_after_fork
from botocache._log import log, log_once

TRAITS: Final = "_botocache_traits"
"""The name under which a signer has the ClientTraits of its client."""

_MOTO = "moto"
_EXTRA_HEADERS = "pynamodb.connection.base:Connection._before_send"
"""The handler of PynamoDB, which adds the headers that its connection was made with."""

_ANOTHER_IDENTITY = frozenset({"botocore.handlers:disable_signing"})
"""botocore's own handlers after which a request is signed by another identity."""

# --- one operation of a client -----------------------------------------------------

_LATER_EVENTS = ("request-created", "choose-signer", "before-sign", "before-send")
"""Events after `before-call` whose handlers may change a request."""

_ANSWER_EVENTS = ("before-parse", "response-received", "needs-retry")
"""Events before `after-call` whose handlers may change an answer."""


_Found: TypeAlias = tuple[str, object]
"""An event, and a handler of it; or `the client`, and what was found of it."""


class Stubber(Protocol):
    """What moto registers on `before-send`.

    enabled: it answers at this moment.
    """

    enabled: bool


class OperationTraits(NamedTuple):
    """What the handlers of a client may do to the calls of one operation.

    changes_answers: they may change what DynamoDB answered before we see it.
    hiding: what may change requests after we have seen them, and so hides callers.
    stubbers: of moto.
    extra_headers: handlers of PynamoDB, whose connections have the headers they add.
    is_parsed_by_others: a handler that is not ours is called before botocore parses.
    """

    changes_answers: bool = False
    hiding: tuple[_Found, ...] = ()
    stubbers: tuple[Stubber, ...] = ()
    extra_headers: tuple[Handler, ...] = ()
    is_parsed_by_others: bool = False

    @property
    def is_mocked(self) -> bool:
        """Whether moto answers at this moment."""
        return any(each.enabled for each in self.stubbers)

    def headers(self) -> Iterator[tuple[str, object]]:
        """Yield the headers that handlers of PynamoDB will add."""
        for handler in self.extra_headers:
            yield from (extra_headers_of(handler) or {}).items()

    def is_plain(self, *, is_scope_named: bool) -> bool:
        """Return whether all calls have the scope of their credentials, or the named.

        Unless moto answers them.
        """
        return not (
            self.changes_answers
            or (not is_scope_named and (self.hiding or any(self.headers())))
        )


class _Detour(NamedTuple):
    """What `ClientTraits.detour` returns for a client that moto may answer."""

    parser_defaults: Mapping[str, object]
    stubbers: tuple[Stubber, ...]

    def __bool__(self) -> bool:
        return bool(self.parser_defaults) or any(each.enabled for each in self.stubbers)


class _Derived:
    """What was derived from the handlers of one version."""

    def __init__(self, version: object, parser_functions: Iterable[object]) -> None:
        self.version = version
        self.operations: dict[str, OperationTraits] = {}
        self.has_botocores_parsers = all(map(is_known, parser_functions))


class ClientTraits:
    """What sets one client apart. Kept by its signer.

    client: None if botocache has not seen how it was made, and does not know it. The
        attribute is a function, which returns None as well once the client is gone.
    signer: of the client.

    callers: remembers who made its last call.
    last_calls: by operation, the LastCall of requests.py.
    parsing: see parsing.py.
    is_uncached: its calls are awaited, by a library that botocache does not know.
    """

    signers: ClassVar[frozenset[type]] = frozenset({RequestSigner})
    """The library's own classes of signers."""

    factories: ClassVar[frozenset[type]] = frozenset({ResponseParserFactory})
    """The library's own classes that make parsers."""

    sending: ClassVar[Sending] = Sending(is_usual, foreign_sender, foreign_signature)

    static: ClassVar[type[Credentials]] = Credentials
    """The library's credentials that do not refresh themselves."""

    def __init__(self, client: Client | None, signer: Signer) -> None:
        # Weak: its signer keeps these traits, and would keep the client alive.
        self._client = None if client is None else weakref.ref(client)
        self.client: Final[Callable[[], Client | None]] = self._client or _no_client
        self._signer = weakref.ref(signer)
        self.emitter: Final = _emitter_of(signer)
        self._derived = _Derived(None, self.parser_functions())
        self._own_scope = secrets.token_bytes(DIGEST_SIZE)
        self._own_parsers: tuple[object, ...] = ()
        self.is_usual_now: Final = self.sending.is_usual
        self.callers: Final = CallerMemory(self.static)
        self.last_calls: Final[dict[str, object]] = {}
        self.parsing: object = None
        self.is_uncached: Final = type(signer) not in self.signers and (
            inspect.iscoroutinefunction(getattr(type(signer), "sign", None))
        )

    @property
    def is_of_known_client(self) -> bool:
        """Whether botocache knows the client, and not only its signer."""
        return self._client is not None

    def _endpoint(self) -> ClientEndpoint | None:
        client = self.client()
        return None if client is None else endpoint_of(client)

    def of(self, operation: str) -> OperationTraits:
        """Return the traits of the calls of an operation."""
        emitter = self.emitter
        if emitter is None:
            return OperationTraits(changes_answers=True)
        # First, so that a handler that is registered meanwhile outdates the new traits.
        version = version_of_handlers(emitter)
        derived = self._derived
        if derived.version is not version:
            derived = self._derived = _Derived(version, self.parser_functions())
        traits = derived.operations.get(operation)
        if traits is None:
            traits = self._derive(operation, emitter)
            derived.operations[operation] = traits
        return traits

    def is_usual(self, signer: Signer, version: object) -> bool:
        """Return whether botocore's own code sends, signs and parses for the client.

        Quick, for nearly all clients. True if certainly `is_sent_by_botocore`, and
        `is_signed_by_keys`, and `own_scope` is b"". If False, ask these.

        signer: of the client.
        version: of the signature, as botocore names it.
        """
        return self._derived.has_botocores_parsers and self.is_usual_now(
            self.client(), signer, version
        )

    def own_scope(self) -> bytes:
        """Return a scope for what this client alone can read; b"" if it has none.

        Parsers may be replaced at any time, also after the client was made. What was
        read with others before must not be found then.
        """
        endpoint = self._endpoint()
        parsers: tuple[object, ...] = ()
        if endpoint is not None:
            factory = parser_factory_of(endpoint)
            if (
                type(factory) in self.factories
                and "create_parser" not in vars(factory)
                and self._derived.has_botocores_parsers
            ):
                defaults = parser_defaults_of(factory)
                if not defaults:
                    return b""
                parsers = (factory, *defaults.items())
            else:
                parsers = (factory,)
        if parsers != self._own_parsers:
            self._own_scope = secrets.token_bytes(DIGEST_SIZE)
            self._own_parsers = parsers
        log_once(log.info, "answers_not_shared", _READS_ALONE)
        return self._own_scope

    def detour(self, operations: Iterable[str]) -> object:
        """Return what is true while the near cache must not answer this client's calls.

        That is while it has parsers of its own, or while moto answers. For a client
        without a scope of its own.

        operations: those of the near cache.
        """
        endpoint = self._endpoint()
        if endpoint is None:
            return True
        # The live mapping itself: each near hit asks for its truth.
        defaults = parser_defaults_of(parser_factory_of(endpoint))
        stubbers = {each for name in operations for each in self.of(name).stubbers}
        return _Detour(defaults, tuple(stubbers)) if stubbers else defaults

    def is_sent_by_botocore(self) -> bool:
        """Return whether botocore's own classes send the client's requests."""
        client = self.client()
        return client is None or self.sending.foreign_sender(client) is None

    def report_hiding(self, operation: str) -> None:
        """Log what may tell the callers of an operation apart, so that none is known.

        Not for a named scope, whose reads are cached all the same.
        """
        hiding = self.of(operation).hiding
        client = self.client()
        sender = None if client is None else self.sending.foreign_sender(client)
        if sender is not None:
            hiding += (("the client", sender),)
        _report(hiding, "callers_not_known", _HIDES_CALLERS)

    def is_signed_by_keys(self, version: object) -> bool:
        """Return whether botocore signs by the client's keys, and by nothing else.

        version: of the signature, as botocore names it.
        """
        foreign = self.sending.foreign_signature(self._signer(), version)
        if foreign is None:
            return True
        _report([("the client", foreign)], "callers_not_known", _HIDES_CALLERS)
        return False

    def _derive(self, operation: str, emitter: Emitter) -> OperationTraits:
        trie = handlers_of(emitter)

        def handlers(event: str) -> list[Handler]:
            return list(trie.prefix_search(f"{event}.dynamodb.{operation}"))

        changing: list[_Found] = [
            (event, handler)
            for event in _ANSWER_EVENTS
            for handler in handlers(event)
            if not is_known(handler)
        ]
        changing += [
            ("after-call", handler)
            for handler in _before_ours(handlers("after-call"))
            if not is_known(handler)
        ]
        later: list[tuple[str, Handler]] = [
            (event, each) for event in _LATER_EVENTS for each in handlers(event)
        ]
        later += [
            ("before-call", handler) for handler in _after_ours(handlers("before-call"))
        ]
        stubbers: list[Any] = [each for _, each in later if _is_of_moto(each)]
        extras = [each for _, each in later if _is_of_pynamodb(each)]
        hiding: list[_Found] = [
            (event, handler)
            for event, handler in later
            if handler not in stubbers
            and handler not in extras
            and (not is_known(handler) or name_of(handler) in _ANOTHER_IDENTITY)
        ]
        hiding += [("the client", each) for each in self._foreign_senders()]
        if not self.is_uncached:
            _report(changing, "answers_not_cached", _CHANGES_ANSWERS)
        return OperationTraits(
            bool(changing),
            tuple(hiding),
            tuple(stubbers),
            tuple(extras),
            is_parsed_by_others=not all(map(_is_ours, handlers("before-parse"))),
        )

    @staticmethod
    def parser_functions() -> Iterator[object]:
        """Yield the functions of the class that parses DynamoDB's answers."""
        return functions_of(cast("type", PROTOCOL_PARSERS["json"]))

    def _foreign_senders(self) -> Iterator[object]:
        """Yield what sends or signs the client's requests and is not botocore's."""
        signer: Any = self._signer()
        if type(signer) not in self.signers:
            yield type(signer)
        elif not is_known(signer.sign):
            yield signer.sign
        client = self.client()
        if client is None:
            return
        # `is_sent_by_botocore` asks for BaseClient's own at each call.
        for kind in type(client).__mro__:
            method = vars(kind).get("_make_request") if kind is not BaseClient else None
            if method is not None and not is_known(method):
                yield method


def _no_client() -> None:
    """Stand in for the reference to a client that is not known."""


_READS_ALONE = (
    "a client has parsers of its own, or botocache has not seen how it was made; it "
    "shares its answers with no other client"
)
_CHANGES_ANSWERS = "may change answers; reads of clients that have it are not cached"
_HIDES_CALLERS = (
    "may tell callers apart by what botocache cannot see; reads of clients that have "
    "it are not cached. If their callers may share answers, name a `scope`"
)


def _report(found: Iterable[_Found], event_name: str, consequence: str) -> None:
    for event, handler in found:
        what = f"{name_of(handler)}, of {event}, {consequence}"
        log_once(log.warning, event_name, what)


def _is_ours(handler: Handler) -> bool:
    return isinstance(handler, MethodType) and type(handler.__self__).__module__ == (
        "botocache._botocore.hooks"
    )


def _after_ours(handlers: list[Handler]) -> list[Handler]:
    ours = [at for at, handler in enumerate(handlers) if _is_ours(handler)]
    return handlers[ours[0] + 1 :] if ours else []


def _before_ours(handlers: list[Handler]) -> list[Handler]:
    ours = [at for at, handler in enumerate(handlers) if _is_ours(handler)]
    return handlers[: ours[-1]] if ours else []


def _is_of_moto(handler: Handler) -> bool:
    kind = type(handler)
    return package_of(kind.__module__) == _MOTO and hasattr(handler, "enabled")


def _is_of_pynamodb(handler: Handler) -> bool:
    return (
        isinstance(handler, MethodType)
        and name_of(handler) == _EXTRA_HEADERS
        and hasattr(handler.__self__, "_extra_headers")
    )


def _emitter_of(signer: Signer) -> Emitter | None:
    """Return the emitter of a signer's client; None if its type is not known."""
    try:
        events: object = emitter_of_signer(signer)
        # Through its class: the signer has a weak proxy.
        if events.__class__ is EventAliaser:
            events = emitter_behind(events)
        if not issubclass(events.__class__, HierarchicalEmitter):
            return None
        version_of_handlers(cast("Emitter", events))
    except AttributeError:
        return None
    return cast("Emitter", events)


def functions_of(parser: type) -> Iterator[object]:
    """Yield the functions of a class and of its bases."""
    for kind in parser.__mro__[:-1]:
        for member in vars(kind).values():
            function = getattr(member, "__func__", member)
            if callable(function) and not isinstance(function, type):
                yield function


# --- known clients -----------------------------------------------------------------


class KnownClient:
    """A base class of clients, before botocore's own, by which their traits are known.

    botocore hands a client's signer to the handlers of events, and not the client.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        know(self)


def know(client: object) -> None:
    """Note the traits of a client of botocore, unless they are noted."""
    client = cast("Client", client)
    signer = signer_of(client)
    traits: ClientTraits | None = vars(signer).get(TRAITS)
    if traits is None or not traits.is_of_known_client:
        kind = kinds_of_traits.get(type(signer), ClientTraits)
        traits = vars(signer)[TRAITS] = kind(client, signer)
        # botocore gives handlers the model where it does not give them the signer. Each
        # client has a model of its own. Of a shared one it is not known whose it is.
        model = client.meta.service_model
        _traits_of_models[model] = None if model in _traits_of_models else ref(traits)


_traits_of_models: Final["_TraitsOfModels"] = weakref.WeakKeyDictionary()
_TraitsOfModels: TypeAlias = (
    "weakref.WeakKeyDictionary[ServiceModel, ref[ClientTraits] | None]"
)
"""Weak on both sides: handlers of a client keep its model alive."""


kinds_of_traits: Final[dict[type, type[ClientTraits]]] = {}
"""The traits of another library's clients, by the class of their signers."""


def traits_of(signer: Signer) -> ClientTraits:
    """Return the traits of the client that has a signer."""
    traits: ClientTraits | None = vars(signer).get(TRAITS)
    if traits is None:
        kind = kinds_of_traits.get(type(signer), ClientTraits)
        traits = vars(signer)[TRAITS] = kind(None, signer)
    return traits


def traits_of_model(model: ServiceModel) -> ClientTraits | None:
    """Return the traits of the client that has a service model; None if not known."""
    found = _traits_of_models.get(model)
    return None if found is None else found()


# --- origin ----------------------------------------------------------------------


class _Process:
    """Stands for this process, in the origin of what it answers itself.

    token: unequal in any two processes. A forked child has another one than its parent:
        their mocks differ from then on.
    """

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self, _Process.renew)

    def renew(self) -> None:
        self.token = secrets.token_hex(8)


_process = _Process()


def in_process(region: str) -> str:
    """Return the region of an origin that only this process has."""
    return f"{region}@{_process.token}"


def is_in_process(origin: str) -> bool:
    """Return whether only this process has an origin."""
    region, _, _ = origin.partition(" ")
    return "@" in region
