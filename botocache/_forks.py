"""Callbacks that renew locks and files in a forked child.

A lock that another thread of the parent held at the fork is never freed in the child.
The descriptor of a file lock belongs to both processes.
"""

import os
import threading  # noqa: F401 - registers its own renewals, which must run before ours
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

_Owner = TypeVar("_Owner")

# Any: each callback takes the owner that it is filed under.
_renewals: "weakref.WeakKeyDictionary[object, Callable[[Any], None]]" = (
    weakref.WeakKeyDictionary()
)


def renew_after_fork(owner: _Owner, renew: Callable[[_Owner], None]) -> None:
    """Call `renew(owner)` in every child that is forked while `owner` lives.

    `renew` must not refer to `owner`: it would keep the owner alive.
    """
    _renewals[owner] = renew


def _after_fork() -> None:
    # A copy: a renewal may drop the last reference to another owner.
    for owner, renew in list(_renewals.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):  # all but Windows
    os.register_at_fork(after_in_child=_after_fork)
