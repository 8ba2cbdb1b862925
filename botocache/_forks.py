"""Callbacks that renew locks and files in a forked child, or prepare the fork.

A lock that another thread of the parent held at the fork is never freed in the child.
The descriptor of a file lock belongs to both processes. Locks of a library cannot be
renewed: a thread of ours that uses it must be out of it at the fork.

Python runs the callbacks at the forks that it makes itself. uWSGI loads an application,
and then forks its workers from C, without them. So each call looks whether they have
run in its process: `is_renewed`.
"""

import mmap
import os
import threading  # registers its own renewals, which must run before ours
import weakref
from collections.abc import Callable
from functools import partial
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
    _This.renewing = threading.RLock()
    _renew_all()


def _renew_all() -> None:
    # A copy: a renewal may drop the last reference to another owner.
    for owner, renew in list(_renewals.items()):
        renew(owner)
    _This.process = os.getpid()
    if _page is not None:
        _page[0] = 1


# --- forks without callbacks ---------------------------------------------------------


class _This:
    """The process in which the callbacks ran last, and a lock to run them once."""

    process = os.getpid()
    renewing = threading.RLock()


def _new_page() -> "mmap.mmap | None":
    """Return memory that the system fills with zeros in each child; None if it cannot.

    To look at it takes 0.04 µs. `os.getpid` is a system call, which takes longer.
    """
    try:
        page = mmap.mmap(-1, 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except (AttributeError, OSError, ValueError):  # not Linux, or before 4.14
        return None
    page[0] = 1
    return page


_WIPE_ON_FORK = 18
"""MADV_WIPEONFORK of Linux, which `mmap` has no name for."""

_page = _new_page()


def _is_same_process() -> bool:
    return _This.process == os.getpid()


is_renewed: Callable[[], object]
is_renewed = _is_same_process if _page is None else partial(_page.__getitem__, 0)
"""Returns what is false in a child in which the callbacks have not run yet."""


def renew() -> None:
    """Run the renewals in a child that was forked without them. See `is_renewed`."""
    with _This.renewing:  # other threads of the child wait for them
        if not is_renewed():
            _renew_all()


if hasattr(os, "register_at_fork"):  # all but Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork,
    )
