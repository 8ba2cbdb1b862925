"""What must be renewed in a child process after a fork, by whoever has it.

A lock that another thread of the parent held at the fork would never be freed in the
child, and a file lock would belong to both.
"""

import os
import threading  # noqa: F401 - first: its own renewals must have been made before ours
import weakref
from collections.abc import Callable
from typing import Any

_renewals: "weakref.WeakKeyDictionary[Any, Callable[[Any], None]]" = (
    weakref.WeakKeyDictionary()
)


def renew_after_fork(owner: Any, renew: Callable[[Any], None]) -> None:
    """Call `renew(owner)` in every child forked from now on, while `owner` lives."""
    _renewals[owner] = renew


def _after_fork() -> None:
    for owner, renew in list(_renewals.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):  # all but Windows
    os.register_at_fork(after_in_child=_after_fork)
