"""The end of a process: it delivers its pending evictions first, for a bounded time.

That is the end of a script, `sys.exit`, an exception, and the same in a child of
`multiprocessing` or of `os.fork`. A process that is killed, or that calls `os._exit`,
delivers nothing. Nothing is registered before an eviction is pending.
"""

import atexit
import contextlib
import os
import sys
import time
import weakref
from typing import Any, Protocol

EXIT_PATIENCE = 2.0
"""Seconds by which pending evictions may delay the end of a process, in all."""


class Debtor(Protocol):
    """What still has to deliver something."""

    def deliver_until(self, deadline: float) -> None:
        """Try until all is delivered, or until a moment of `time.monotonic`."""


_debtors: "weakref.WeakSet[Debtor]" = weakref.WeakSet()


class _Exit:
    """What is registered in this process. deadline: set when its end begins."""

    process = 0
    finalizer: Any = None
    deadline: float | None = None


def deliver_at_exit(debtor: Debtor) -> None:
    """Call `deliver_until` when the process ends, if the debtor still lives then."""
    _debtors.add(debtor)
    if _Exit.process != os.getpid():
        _Exit.process = os.getpid()
        _Exit.deadline = None
        atexit.register(_deliver)
    # A child of multiprocessing ends by os._exit, without atexit before Python 3.13. It
    # runs finalizers, and begins by dropping those that it has from its parent.
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not (_Exit.finalizer and _Exit.finalizer.still_active()):
        _Exit.finalizer = util.Finalize(None, _deliver, exitpriority=0)


def _deliver() -> None:
    if _Exit.deadline is None:
        _Exit.deadline = time.monotonic() + EXIT_PATIENCE
    # Whatever goes wrong, the process ends, and prints nothing.
    with contextlib.suppress(Exception, KeyboardInterrupt):
        for debtor in list(_debtors):
            debtor.deliver_until(_Exit.deadline)
