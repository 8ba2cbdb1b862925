"""The hooks' way to aiobotocore: its classes, and who waits for the store.

Imported once the application has imported aiobotocore.
"""

from collections.abc import Awaitable
from typing import Any

from aiobotocore.client import AioBaseClient
from aiobotocore.session import AioSession
from aiobotocore.signers import AioRequestSigner
from botocore import UNSIGNED

from botocache._aiobotocore.clients import AioKnownClient, know_aiobotocore
from botocache._aiobotocore.course import (
    Again,
    StoreCourse,
    course_of,
    finished,
    with_keys,
)
from botocache._aiobotocore.near_client import AioNearClient
from botocache._aiobotocore.offload import offload_of
from botocache._aiobotocore.waits import join, waited
from botocache._botocore.credentials import are_keys_at_hand
from botocache._botocore.hooks import Begun
from botocache._botocore.types import CallContext, Course, Signer, credentials_of
from botocache._cache.cache import Cache
from botocache._cache.coalescing import Wait
from botocache._cache.tickets import ReadTicket
from botocache._near.client import with_near, without_near


class AioAdapter:
    """See AsyncAdapter of hooks.py."""

    def __init__(self) -> None:
        # Not by the imports: if one fails, no client may be cached on the loop.
        know_aiobotocore()

    def makes(self, base_classes: list[type]) -> bool:
        """Return whether a client class with these bases is aiobotocore's."""
        return any(issubclass(each, AioBaseClient) for each in base_classes)

    def base(self, *, has_near: bool) -> type:
        """Return the base class that its clients get."""
        return AioNearClient if has_near else AioKnownClient

    def owns(self, candidate: object) -> bool:
        """Return whether a session or client is aiobotocore's."""
        return isinstance(candidate, (AioSession, AioBaseClient))

    def give_base(self, client: object, *, has_near: bool) -> None:
        """Give an existing client the base class of new ones."""
        with_near(client, self.base(has_near=has_near))

    def take_base(self, client: object) -> None:
        """Undo `give_base`."""
        without_near(client)

    def signs(self, signer: Signer) -> bool:
        """Return whether a signer is of aiobotocore."""
        return isinstance(signer, AioRequestSigner)

    def course(
        self, cache: Cache, signer: Signer, context: CallContext, again: Again
    ) -> tuple[Course | None, Awaitable[Any] | None]:
        """Return what waits for a call; and its keys, if they must be awaited first.

        No course if the store never waits: then the hooks ask it on the loop.
        """
        course = course_of(cache, signer, context, again)
        version: Any = context.get("auth_type") or signer.signature_version
        credentials = credentials_of(signer)
        if version is UNSIGNED or are_keys_at_hand(credentials, cache.settings.scope):
            return course, None

        offload = offload_of(cache)

        def failed(error: Exception) -> Any:
            return again(
                begun=Begun(cache, StoreCourse(cache, offload, again), error=error)
            )

        return course, with_keys(credentials, again, failed)

    def coalesce(
        self, begun: Begun, ticket: ReadTicket, again: Again
    ) -> tuple[ReadTicket, Awaitable[Any] | None]:
        """Return the ticket of a miss; and what to await before, if it may do that."""
        joined = join(begun.cache, ticket)
        if isinstance(joined, Wait) or begun.cache.competes(joined):
            return ticket, _after(joined, begun, again)
        return joined, None


async def _after(joined: ReadTicket | Wait, begun: Begun, again: Again) -> Any:
    """Go on with the hooks when a read has waited for another one's answer."""
    outcome = await waited(begun.cache, joined)
    return await finished(again(begun=begun._replace(outcome=outcome)))
