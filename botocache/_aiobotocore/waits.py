"""Tasks that wait for the answer to another read: see _cache/coalescing.py.

A task neither blocks its loop nor keeps one of the threads of offload.py meanwhile.
"""

from asyncio import current_task, events
from functools import partial
from typing import Any, TypeAlias

from botocache._cache.cache import Cache
from botocache._cache.coalescing import Wait
from botocache._cache.tickets import AuditTicket, Hit, ReadTicket

Landed: TypeAlias = Hit | AuditTicket | ReadTicket


async def landed(cache: Cache, ticket: ReadTicket) -> Landed:
    """Return what a miss comes to, once the answer is there that it may wait for."""
    outcome = join(cache, ticket)
    return await waited(cache, outcome) if isinstance(outcome, Wait) else outcome


def join(cache: Cache, ticket: ReadTicket) -> ReadTicket | Wait:
    """Return the ticket to ask with, or what to await. For the calling task."""
    return cache.coalescing.join(ticket, _this_task())


async def waited(cache: Cache, wait: Wait) -> Landed:
    """Return what a miss comes to that has to wait."""
    outcome: Landed | Wait = wait
    while isinstance(outcome, Wait):
        await _pause(outcome)
        outcome = cache.coalescing.resume(outcome)
    return outcome


def _this_task() -> int:
    """Return the id of the calling task."""
    if events._get_running_loop() is None:  # noqa: SLF001 - asyncio's own name for "or None"
        import trio

        return id(trio.lowlevel.current_task())
    return id(current_task())


async def _pause(wait: Wait) -> None:
    """Wait until the flight is over, or the time of the wait."""
    if wait.is_over:
        return
    loop = events._get_running_loop()  # noqa: SLF001 - asyncio's own name for "or None"
    if loop is None:
        await _pause_on_trio(wait)
        return
    future = loop.create_future()
    wake = partial(loop.call_soon_threadsafe, _settle, future)
    timer = loop.call_later(wait.seconds, _settle, future)
    try:
        if wait.add(wake):
            await future
    finally:
        timer.cancel()
        wait.remove(wake)


async def _pause_on_trio(wait: Wait) -> None:
    import trio

    done = trio.Event()
    wake = partial(trio.lowlevel.current_trio_token().run_sync_soon, done.set)
    try:
        if wait.add(wake):
            with trio.move_on_after(wait.seconds):
                await done.wait()
    finally:
        wait.remove(wake)


def _settle(future: Any) -> None:
    if not future.done():  # else its time is over, or it was cancelled
        future.set_result(None)
