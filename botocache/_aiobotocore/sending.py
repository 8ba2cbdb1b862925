"""What sends and signs the requests of an aiobotocore client: see _botocore/sending.py.

Its HTTP sessions are aiohttp's, or those of httpx since aiobotocore 3. Libraries that
record or mock HTTP replace their methods.
"""

import sys
from collections.abc import Iterator
from operator import attrgetter
from types import FunctionType
from typing import Any, Final

import aiobotocore.endpoint
from aiobotocore.client import AioBaseClient
from aiobotocore.endpoint import AioEndpoint
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.parsers import AioResponseParserFactory
from aiobotocore.signers import AioRequestSigner

from botocache._botocore.known_code import is_known, package_of
from botocache._botocore.sending import (
    OF_ENDPOINT,
    OF_SIGNER,
    Sending,
    first_foreign,
    signature_functions,
    signs_otherwise,
)
from botocache._botocore.types import (
    Client,
    endpoint_of,
    parser_defaults_of,
    parser_factory_of,
)

_TRANSPORTS = frozenset({"aiohttp", "httpx", "httpx2"})

ENDPOINTS: Final = frozenset(
    {AioEndpoint, getattr(aiobotocore.endpoint, "AnyioEndpoint", AioEndpoint)}
)


def _httpx_session() -> type | None:
    """Return aiobotocore's session over httpx; None where it has none."""
    try:
        from aiobotocore.httpxsession import HttpxSession
    except ImportError:
        return None
    kind: type = HttpxSession
    return kind


_HTTPX: Final = _httpx_session()
SESSIONS: Final = frozenset({AIOHTTPSession, _HTTPX or AIOHTTPSession})

_of_endpoint: Final = attrgetter(*sorted(OF_ENDPOINT))
_of_signer: Final = attrgetter(*sorted(OF_SIGNER))


def _senders() -> tuple[object, ...]:
    """Return what aiobotocore's classes send a request with at this moment."""
    return (
        AioBaseClient._make_request,  # noqa: SLF001 - what sends a client's requests
        *(method for kind in _ENDPOINTS for method in _of_endpoint(kind)),
        *(kind.send for kind in _SESSIONS),
        *_transports(),
    )


_ENDPOINTS = sorted(ENDPOINTS, key=lambda kind: kind.__name__)
_SESSIONS: Final[list[Any]] = sorted(SESSIONS, key=lambda kind: kind.__name__)


def _transports() -> Iterator[object]:
    """Yield what the HTTP libraries send with; a function of ours for their own."""
    aiohttp: Any = sys.modules[AIOHTTPSession.__module__]
    yield _own(vars(aiohttp.aiohttp.ClientSession).get("_request"))
    # httpx, or its successor httpx2; None if neither is installed.
    httpx = None if _HTTPX is None else vars(sys.modules[_HTTPX.__module__])["httpx"]
    if httpx is not None:
        yield _own(vars(httpx.AsyncClient).get("send"))
        yield _own(vars(httpx.AsyncHTTPTransport).get("handle_async_request"))


def _own(method: object) -> object:
    """Return a known function for one of an HTTP library; else what was found."""
    inner = method
    while inner is not None and type(inner) is not FunctionType:
        # A tracer's wrapper, which looks like what it wraps.
        wrapper = getattr(inner, "_self_wrapper", None)
        if wrapper is None or not is_known(wrapper):
            return method
        inner = getattr(inner, "__wrapped__", None)
    name = getattr(inner, "__globals__", {}).get("__name__", "")
    return _own if package_of(name) in _TRANSPORTS else method


_SENDERS: Final = tuple(each if is_known(each) else None for each in _senders())


def foreign_sender(client: Client) -> object:
    """Return what sends a client's requests; None if aiobotocore's own code does."""
    endpoint = endpoint_of(client)
    session: Any = endpoint.http_session
    if type(endpoint) not in ENDPOINTS:
        return endpoint
    if (
        type(session) not in SESSIONS
        or "send" in session.__dict__
        or "_make_request" in client.__dict__
        or not endpoint.__dict__.keys().isdisjoint(OF_ENDPOINT)
    ):
        return session
    return first_foreign(_senders(), _SENDERS)


def _signing() -> tuple[object, ...]:
    return (*_of_signer(AioRequestSigner), *signature_functions())


_SIGNING: Final = tuple(each if is_known(each) else None for each in _signing())


def foreign_signature(signer: object, version: Any) -> object:
    """Return what signs the requests of a signer; None if its keys do.

    version: of the signature, as botocore names it.
    """
    return signs_otherwise(signer, version) or first_foreign(_signing(), _SIGNING)


def is_usual(client: Any, signer: Any, version: Any) -> bool:
    """Return whether aiobotocore's own code sends, signs and parses a client's calls.

    client: None if it is not known.
    """
    if client is None:
        return False
    factory = parser_factory_of(endpoint_of(client))
    return (
        type(factory) is AioResponseParserFactory
        and "create_parser" not in factory.__dict__
        and not parser_defaults_of(factory)
        and foreign_sender(client) is None
        and foreign_signature(signer, version) is None
    )


SENDING: Final = Sending(is_usual, foreign_sender, foreign_signature)
