"""The course of one call of aiobotocore, where the store may wait: see _botocore/types.

The hooks decide, and a course waits. What may wait is called in a thread.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any, Final

from botocache._aiobotocore.cancellation import (
    end_abandoned,
    note_context,
    reset,
    skip_store,
)
from botocache._aiobotocore.offload import Offload, offload_of
from botocache._botocore.credentials import Frozen, awaited_keys
from botocache._botocore.hooks import Begun
from botocache._botocore.types import CallContext, Signer
from botocache._cache.cache import Cache
from botocache._cache.tickets import Hit, Ticket
from botocache._errors import EvictionError

Again = Callable[..., Any]
"""Calls the hooks of `before-call` once more, for the same call."""


class StoreCourse:
    """Waits for the store of one call. See Course.

    cache: of the call.
    offload: of the cache.
    again: calls the hooks once more.
    """

    __slots__ = ("_again", "_cache", "_offload")

    def __init__(self, cache: Cache, offload: Offload, again: Again) -> None:
        self._cache: Final = cache
        self._offload: Final = offload
        self._again: Final = again

    async def begin(
        self,
        begin: Callable[..., Hit | Ticket | None],
        arguments: tuple[Any, ...],
        key: str | None,
    ) -> Any:
        """See Course.begin."""
        begun = Begun(self._cache, self, key)
        try:
            outcome = await self._offload.run(
                begin,
                *arguments,
                instead=partial(begin, skipping=True),
                on_abandoned=partial(end_abandoned, self._cache),
            )
        except EvictionError:
            raise
        except Exception as error:  # noqa: BLE001 - the hooks look at it
            begun = begun._replace(error=error)
        else:
            begun = begun._replace(outcome=outcome)
        return await finished(self._again(begun=begun))

    async def finish(self, context: CallContext, finish: Callable[[], object]) -> None:
        """See Course.finish."""

        def instead() -> None:
            skip_store(context)
            finish()

        await self._offload.run(finish, instead=instead)


def course_of(
    cache: Cache, signer: Signer, context: CallContext, again: Again
) -> StoreCourse | None:
    """Return the course of a call that begins; None if its store never waits."""
    note_context(signer, context)
    offload = offload_of(cache)
    return StoreCourse(cache, offload, again) if offload.waits else None


async def with_keys(credentials: Any, again: Again, failed: Again) -> Any:
    """Await the keys of credentials, then go on with the hooks.

    failed: goes on with them if the keys could not be had.
    """
    try:
        keys: Frozen = await finished(credentials.get_frozen_credentials())
    except Exception as error:  # noqa: BLE001 - the hooks look at it
        return await finished(failed(error))
    token = awaited_keys.set((credentials, keys))
    try:
        return await finished(again())
    finally:
        reset(awaited_keys, token)


async def finished(result: "Awaitable[Any] | Any") -> Any:
    """Return a result, awaited if it must be."""
    return await result if isawaitable(result) else result
