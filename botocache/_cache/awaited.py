"""The cache's own functions, awaited: what may wait runs in a thread.

For asyncio and trio. These calls are rare, so the threads are the event loop's own.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def in_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return what a function returns, or raise what it raises.

    If the task is cancelled, the function runs to its end all the same.
    """
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        call = partial(function, *arguments)
        result: _Result = await trio.to_thread.run_sync(call, abandon_on_cancel=True)
        return result
    import asyncio  # an application that awaits this has loaded it

    return await asyncio.to_thread(function, *arguments)
