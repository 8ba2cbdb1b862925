"""What sets an aiobotocore client apart: see _botocore/clients.py."""

from collections.abc import Awaitable, Callable, Iterator
from typing import cast

from aiobotocore import credentials
from aiobotocore.credentials import (
    AioCredentials,
    AioDeferredRefreshableCredentials,
    AioRefreshableCredentials,
)
from aiobotocore.parsers import PROTOCOL_PARSERS, AioResponseParserFactory
from aiobotocore.signers import AioRequestSigner
from aiobotocore.utils import AioContainerMetadataFetcher, AioInstanceMetadataFetcher

from botocache._aiobotocore.cancellation import close_if_cut
from botocache._aiobotocore.responses import AioHitResponse
from botocache._aiobotocore.sending import SENDING
from botocache._botocore.clients import (
    ClientTraits,
    KnownClient,
    functions_of,
    kinds_of_traits,
)
from botocache._botocore.credentials import add_kinds
from botocache._botocore.principals import watch_fetchers
from botocache._botocore.responses import kinds_of_responses
from botocache._botocore.types import Signer
from botocache._dynamodb.types import Answer

Pipeline = Callable[[str, object], Awaitable[Answer]]
"""aiobotocore's `_make_api_call` of a client."""


class AioClientTraits(ClientTraits):
    """What sets one client of aiobotocore apart."""

    signers = frozenset({AioRequestSigner})
    factories = frozenset({AioResponseParserFactory})
    sending = SENDING
    static = AioCredentials

    @staticmethod
    def parser_functions() -> Iterator[object]:
        """Yield the functions of the class that parses DynamoDB's answers."""
        return functions_of(cast("type", PROTOCOL_PARSERS["json"]))


class AioKnownClient(KnownClient):
    """A base class of clients, before aiobotocore's own, by which they are known.

    aiobotocore emits no closing event when a call is cancelled. This class ends it.
    """

    _request_signer: Signer

    async def _make_api_call(self, operation_name: str, api_params: object) -> Answer:
        pipeline: Pipeline
        try:
            pipeline = super()._make_api_call  # type: ignore[misc]  # aiobotocore's
        except TypeError:  # it was uninstalled meanwhile, and has this class no more
            pipeline = self._make_api_call
        return await close_if_cut(
            self._request_signer, pipeline, operation_name, api_params
        )


def _of_anyio() -> Iterator[type]:
    """Yield the credentials of aiobotocore's sessions over httpx, where it has them."""
    for name in ("AnyioRefreshableCredentials", "AnyioDeferredRefreshableCredentials"):
        kind = getattr(credentials, name, None)
        if kind is not None:
            yield kind


def know_aiobotocore() -> None:
    """Let its credentials and clients count as botocore's own kinds."""
    add_kinds(
        AioCredentials,
        AioRefreshableCredentials,
        AioDeferredRefreshableCredentials,
        *_of_anyio(),
    )
    kinds_of_traits[AioRequestSigner] = AioClientTraits
    kinds_of_responses[AioRequestSigner] = AioHitResponse
    watch_fetchers(AioContainerMetadataFetcher, AioInstanceMetadataFetcher)
