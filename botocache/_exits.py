"""The end of a process: it delivers what it owes first, for a bounded time.

It owes pending evictions, what a server has not confirmed yet, and what it has counted
since its last post. The end is that of a script, `sys.exit`, an exception, and the same
in a child of `multiprocessing` or of `os.fork`. A process that is killed, or that calls
`os._exit`, delivers nothing.
"""

import atexit
import contextlib
import os
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

EXIT_PATIENCE = 2.0
"""Seconds by which deliveries may delay the end of a process, in all."""


class Debtor(Protocol):
    """What still has to deliver something."""

    def deliver_until(self, deadline: float) -> None:
        """Try until all is delivered, or until a moment of `time.monotonic`."""


_first: "weakref.WeakSet[Debtor]" = weakref.WeakSet()
_debtors: "weakref.WeakSet[Debtor]" = weakref.WeakSet()
_last: "weakref.WeakSet[Debtor]" = weakref.WeakSet()


class _Exit:
    """What is registered in this process.

    deadline: set when its end begins.
    is_renewed: multiprocessing calls `_renew` as a child begins.
    """

    is_renewed = False
    process = 0
    finalizer: Any = None
    deadline: float | None = None


def deliver_at_exit(debtor: Debtor) -> None:
    """Call `deliver_until` when the process ends, if the debtor still lives then."""
    _debtors.add(debtor)
    _register()


def deliver_first(debtor: Debtor) -> None:
    """Do the same before all others: what it cannot deliver, others may have to."""
    _first.add(debtor)
    _register()


def deliver_last(debtor: Debtor) -> None:
    """Do the same after all others have delivered."""
    _last.add(debtor)
    _register()


def _register() -> None:
    if _Exit.process != os.getpid():
        _Exit.process = os.getpid()
        _Exit.deadline = None
        atexit.register(_deliver)
    # A child of multiprocessing ends by os._exit, without atexit before Python 3.13. It
    # runs finalizers, and begins by dropping those that it has from its parent.
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    if not (_Exit.finalizer and _Exit.finalizer.still_active()):
        _Exit.finalizer = util.Finalize(None, _deliver, exitpriority=0)
    if not _Exit.is_renewed:
        _Exit.is_renewed = True
        util.register_after_fork(_Exit, _renew)


def _renew(_: object) -> None:
    """Register again what a child of a fork server has registered too early.

    It imports the main module, which installs, before it drops the finalizers.
    """
    if _Exit.process == os.getpid():
        _register()


def deliver_after_fork(debtor: Debtor, deliver: Callable[[Debtor], None]) -> None:
    """Have a debtor deliver when this child of a fork ends. Call it at the fork.

    deliver: `deliver_first` or `deliver_last`.

    A child of `os.fork` has what its parent has registered. One of multiprocessing
    drops that as it begins, after the callbacks of a fork have run.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(debtor, deliver)


def _deliver() -> None:
    if _Exit.deadline is None:
        _Exit.deadline = time.monotonic() + EXIT_PATIENCE
    # Evictions before counts: without them, others serve what is outdated. Whatever
    # goes wrong, the process ends, and prints nothing.
    with contextlib.suppress(Exception, KeyboardInterrupt):
        for debtors in (_first, _debtors, _last):
            for debtor in (*debtors,):
                debtor.deliver_until(_Exit.deadline)
