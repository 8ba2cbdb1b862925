"""Tasks that wait for the answer to another read: see _cache/coalescing.py.

A task neither blocks its loop nor keeps one of the threads of offload.py meanwhile.
What asks the store, for a lease or whether its holder has filled the entry, is a course
of its own for each look: see _cache/leases.py.
"""

import asyncio
from asyncio import current_task, events
from functools import partial
from typing import Any, TypeAlias

from botocache._aiobotocore.offload import offload_of
from botocache._cache.cache import Cache
from botocache._cache.coalescing import Wait
from botocache._cache.leases import LeasedTicket, LeaseWait
from botocache._cache.tickets import AuditTicket, Hit, Lookup, ReadTicket, Ticket

Landed: TypeAlias = Hit | AuditTicket | ReadTicket


async def landed(cache: Cache, ticket: ReadTicket) -> Hit | Ticket | None:
    """Return what a miss comes to, once the answer is there that it may wait for."""
    return await waited(cache, join(cache, ticket))


def join(cache: Cache, ticket: ReadTicket) -> ReadTicket | Wait:
    """Return the ticket to ask with, or what to await. For the calling task."""
    return cache.coalescing.join(ticket, _this_task())


async def waited(cache: Cache, joined: ReadTicket | Wait) -> Hit | Ticket | None:
    """Return what a miss comes to. joined: what `join` has returned."""
    outcome: Landed | Wait = joined
    while isinstance(outcome, Wait):
        await _pause(outcome)
        outcome = cache.coalescing.resume(outcome)
    if isinstance(outcome, ReadTicket) and cache.competes(outcome):
        return await _settled(cache, outcome)
    return outcome


async def _settled(cache: Cache, ticket: ReadTicket) -> Hit | Ticket | None:
    """Return what a miss comes to that takes a lease, or waits for its holder."""
    leases, offload = cache.leases, offload_of(cache)
    if leases is None:
        return ticket
    outcome: Lookup | LeaseWait = await offload.run(
        leases.join, ticket, instead=_ask, on_abandoned=_give_back
    )
    while isinstance(outcome, LeaseWait):
        await _sleep(outcome.pauses[0])
        outcome = await offload.run(
            leases.resume, outcome, instead=_ask_without, on_abandoned=_give_back
        )
    return cache.bypassed(ticket) if outcome is None else outcome


def _ask(ticket: ReadTicket) -> ReadTicket:
    """Do without a lease: no thread is free to ask the store for one."""
    return ticket


def _ask_without(wait: LeaseWait) -> ReadTicket:
    """Do without a look: no thread is free for it."""
    return wait.ticket


def _give_back(outcome: object) -> None:
    """End the lease of a task that was cancelled meanwhile."""
    if isinstance(outcome, LeasedTicket):
        outcome.lease.end(outcome.store)


async def _sleep(seconds: float) -> None:
    if events._get_running_loop() is not None:  # noqa: SLF001 - asyncio's own name for "or None"
        await asyncio.sleep(seconds)
        return
    import trio

    await trio.sleep(seconds)


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
