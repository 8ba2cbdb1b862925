"""Callbacks that renew locks and files in a forked child, or prepare the fork.

A lock that another thread of the parent held at the fork is never freed in the child.
The descriptor of a file lock belongs to both processes. Locks of a library cannot be
renewed: a thread of ours that uses it must be out of it at the fork.
"""

import os
import threading  # noqa: F401 - registers its own renewals, which must run before ours
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

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


_Hold: TypeAlias = tuple[Callable[[Any], None], Callable[[Any], None]]

_holders: "weakref.WeakKeyDictionary[object, _Hold]" = weakref.WeakKeyDictionary()


def hold_during_fork(
    owner: _Owner,
    hold: Callable[[_Owner], None],
    release: Callable[[_Owner], None],
) -> None:
    """Call `hold(owner)` before each fork, and `release(owner)` after it in the parent.

    Neither must raise, refer to `owner`, or take long.
    """
    _holders[owner] = (hold, release)


def _before_fork() -> None:
    for owner, (hold, _) in list(_holders.items()):
        hold(owner)


def _after_fork_in_parent() -> None:
    for owner, (_, release) in list(_holders.items()):
        release(owner)


def _after_fork() -> None:
    # A copy: a renewal may drop the last reference to another owner.
    for owner, renew in list(_renewals.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):  # all but Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork,
    )
