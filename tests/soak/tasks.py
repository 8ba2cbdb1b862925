"""A worker's calls as tasks of one event loop, through a client of aiobotocore.

Many of them are cancelled, at any moment: they run under a time limit that is shorter
than most calls. What such a call has done is unknown, as after a kill.
"""

import asyncio
import sys
import traceback
import warnings
from collections.abc import Callable
from random import Random
from typing import Any

from aiobotocore.session import get_session
from botocore import xform_name

from tests.soak.caller import Caller, Surroundings
from tests.soak.journal import Journal
from tests.support.dynamodb import REGION

TASKS = 6
"""Of a loop. Each makes one call after the other."""

_CUT = 0.15
"""How many calls have a time limit."""

_LIMITS = (0.002, 0.03)
"""Seconds that it is at the most: a call begins in the one, and is answered in the
other."""


class TaskCaller(Caller):
    """One task's calls."""

    async def call_and_await(self) -> None:
        """Make one call, and cancel it perhaps."""
        mode, call = self.choose()
        name = self.start(call)
        limit = None
        if self.random.random() < _CUT:
            limit = self.random.uniform(0.0, self.random.choice(_LIMITS))
        with mode:
            try:
                method = getattr(self.client, xform_name(call.kind))
                answer = await asyncio.wait_for(method(**call.parameters), limit)
                self.succeeded(name, call, answer)
            except asyncio.TimeoutError:
                self.journal.cut(name)
            except Exception as error:  # noqa: BLE001 - it is written down
                self.failed(name, call, error)


def make_calls(
    url: str, name: str, seed: int, around: Callable[[Any], Surroundings], end: Any
) -> None:
    """Make calls until the end, an event of `threading`.

    around: returns what all callers share; it gets their client.
    """
    asyncio.run(_make_calls(url, name, seed, around, end))


async def _make_calls(
    url: str, name: str, seed: int, around: Callable[[Any], Surroundings], end: Any
) -> None:
    making = get_session().create_client(
        "dynamodb",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="AKIATEST",
        aws_secret_access_key="secret",
    )
    async with making as client:
        surroundings = around(client)
        _write_down_what_is_left(surroundings.journal)

        async def work(number: int) -> None:
            own = f"{name}/{number}"
            random = Random(f"{seed}/{own}")
            caller = TaskCaller(own, random, surroundings)
            while not end.is_set():
                await asyncio.sleep(random.uniform(0.0, 0.006))  # as threads do
                await caller.call_and_await()

        await asyncio.gather(*map(work, range(TASKS)))


def _write_down_what_is_left(journal: Journal) -> None:
    """Let warnings, and errors that no task gets, be errors of the soak.

    Such as a coroutine that was never awaited, or a failing callback of the loop.
    """

    def show(message: Any, category: type[Warning], *_: Any) -> None:
        if issubclass(category, RuntimeWarning):
            journal.error(f"{category.__name__}: {message}")

    def handle(_: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        trace = "" if error is None else "".join(traceback.format_exception(error))
        journal.error(f"{context['message']}: {trace}")

    warnings.showwarning = show  # type: ignore[assignment]  # as much as it is called with
    warnings.simplefilter("always", RuntimeWarning)
    sys.unraisablehook = lambda what: journal.error(f"{what.err_msg}: {what.exc_value}")
    asyncio.get_running_loop().set_exception_handler(handle)
