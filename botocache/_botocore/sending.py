"""What sends and signs the requests of a client: botocore's own code, or another's.

Tests and tracers replace methods of botocore's classes, and of single objects, while
the process runs. So each call looks at all of them.
"""

from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

from botocore.auth import AUTH_TYPE_MAPS
from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.client import BaseClient
from botocore.endpoint import Endpoint
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserFactory
from botocore.signers import RequestSigner

from botocache._botocore.known_code import is_known, is_known_class
from botocache._botocore.types import (
    Client,
    endpoint_of,
    parser_defaults_of,
    parser_factory_of,
)
from botocache._errors import shows

# Views of classes: they show the methods of this moment, in half the time that it takes
# to get the attributes.

# --- sending -----------------------------------------------------------------------

_ENDPOINT: Final = vars(Endpoint)

OF_ENDPOINT: Final = _ENDPOINT.keys() & {
    "_do_get_response",
    "_get_response",
    "_send",
    "_send_request",
    "create_request",
    "make_request",
    "prepare_request",
}
"""Methods of a client's endpoint that send a request."""

_CLIENT, _SESSION = vars(BaseClient), vars(URLLib3Session)
_POOL, _TLS_POOL = vars(AWSHTTPConnectionPool), vars(AWSHTTPSConnectionPool)
_of_endpoint: Final = itemgetter(*sorted(OF_ENDPOINT))


def _senders() -> tuple[object, ...]:
    """Return what botocore's classes send a request with at this moment."""
    return (
        _CLIENT["_make_request"],
        *_of_endpoint(_ENDPOINT),
        _SESSION["send"],
        _POOL["ConnectionCls"],  # VCR.py replaces the classes of connections
        _TLS_POOL["ConnectionCls"],
    )


def _is_known(sender: object) -> bool:
    return is_known_class(sender) if isinstance(sender, type) else is_known(sender)


_SENDERS: Final = tuple(each if _is_known(each) else None for each in _senders())


def foreign_sender(client: Client) -> object:
    """Return what sends a client's requests; None if botocore's own code does."""
    endpoint = endpoint_of(client)
    session = endpoint.http_session
    kind: type = type(endpoint)
    if kind is not Endpoint:
        return endpoint
    if (
        type(session) is not URLLib3Session
        or "send" in session.__dict__
        or "_make_request" in client.__dict__
        or not endpoint.__dict__.keys().isdisjoint(OF_ENDPOINT)
    ):
        return session
    senders = _senders()
    return None if senders == _SENDERS else first_foreign(senders, _SENDERS)


# --- signing -----------------------------------------------------------------------

OF_SIGNER: Final = frozenset(
    {"_choose_signer", "get_auth", "get_auth_instance", "handler", "sign"}
)
"""Methods of a signer that choose what signs a request, and sign it."""

_SIGNER: Final = vars(RequestSigner)
_V4: Final = AUTH_TYPE_MAPS["v4"]
_of_signer: Final = itemgetter(*sorted(OF_SIGNER))
_of_v4: Final = attrgetter("__init__", "add_auth")


def signature_functions() -> tuple[object, ...]:
    """Return what makes a signature at this moment."""
    return _of_v4(_V4)


def _signing() -> tuple[object, ...]:
    """Return what botocore's classes sign a request with at this moment."""
    return (*_of_signer(_SIGNER), *_of_v4(_V4))


_SIGNING: Final = tuple(each if is_known(each) else None for each in _signing())

_BY_KEYS: Final[frozenset[Any]] = frozenset(
    kind
    for kind in AUTH_TYPE_MAPS.values()
    if kind.__module__ in {"botocore.auth", "botocore.crt.auth"}
    and not getattr(kind, "REQUIRES_TOKEN", False)
    and not getattr(kind, "REQUIRES_IDENTITY_CACHE", False)
)
"""botocore's classes that sign a request by the keys that they are given."""


def foreign_signature(signer: object, version: Any) -> object:
    """Return what signs the requests of a signer; None if its keys do, by botocore.

    A token may sign instead (`bearer`), or a signer of the application.

    version: of the signature, as botocore names it.
    """
    return signs_otherwise(signer, version) or first_foreign(_signing(), _SIGNING)


def signs_otherwise(signer: object, version: Any) -> object:
    """Return what of its own a signer signs with; None if what its class has.

    version: of the signature, as botocore names it.
    """
    by: Any = AUTH_TYPE_MAPS.get(version)
    if by in _BY_KEYS and signer.__dict__.keys().isdisjoint(OF_SIGNER):
        return None
    return by or type(signer)


def first_foreign(present: tuple[object, ...], usual: tuple[object, ...]) -> object:
    """Return the first of some functions that is not known; None if all are.

    usual: what they were at first.
    """
    if present == usual:
        return None
    return next((each or "None" for each in present if not _is_known(each)), None)


@shows()
class Sending(NamedTuple):
    """What tells whether a library's own code sends and signs: see these functions."""

    is_usual: Callable[[Any, Any, Any], bool]
    foreign_sender: Callable[[Client], object]
    foreign_signature: Callable[[object, Any], object]


# --- all, in one look --------------------------------------------------------------

_ALL: Final = (*_SENDERS, *_SIGNING)


def is_usual(client: Any, signer: Any, version: Any) -> bool:
    """Return whether botocore's own code sends, signs and parses a client's calls.

    Quick. True if the two functions above certainly return None, and the client has the
    parsers of botocore's classes. False also where only they can tell: a tracer may
    have wrapped a method. Whether those classes parse as botocore has them, is left to
    `ClientTraits`.

    client: None if it is not known.
    signer: of the client.
    version: of the signature, as botocore names it.
    """
    if client is None:
        return False
    endpoint = endpoint_of(client)
    session: Any = endpoint.http_session
    factory: Any = parser_factory_of(endpoint)
    return (
        type(endpoint) is Endpoint  # type: ignore[comparison-overlap]  # it stands for that one
        and type(session) is URLLib3Session
        and type(factory) is ResponseParserFactory
        and "create_parser" not in factory.__dict__
        and not parser_defaults_of(factory)
        and "send" not in session.__dict__
        and "_make_request" not in client.__dict__
        and endpoint.__dict__.keys().isdisjoint(OF_ENDPOINT)
        and AUTH_TYPE_MAPS.get(version) in _BY_KEYS
        and signer.__dict__.keys().isdisjoint(OF_SIGNER)
        # The methods of this moment, as above.
        and (
            _CLIENT["_make_request"],
            *_of_endpoint(_ENDPOINT),
            _SESSION["send"],
            _POOL["ConnectionCls"],
            _TLS_POOL["ConnectionCls"],
            *_of_signer(_SIGNER),
            *_of_v4(_V4),
        )
        == _ALL
    )
