"""What a check of the doctor finds: a subject, a state, a sentence and an advice. Pure.

A warning and a bad finding always say what to do. No finding shows a secret.
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class State(str, Enum):
    """How a subject is.

    GOOD: as it should be.
    WARNING: the cache works, but less well or less surely than it could.
    BAD: the cache does not work here, or not for long.
    """

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Finding(NamedTuple):
    """One result of a check.

    subject: what was checked, in a few words.
    state: how it is.
    found: what the check saw.
    advice: what to do; empty if there is nothing to do.
    """

    subject: str
    state: State
    found: str
    advice: str = ""


def good(subject: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(subject, State.GOOD, found)


def warning(subject: str, found: str, advice: str) -> Finding:
    """Return a finding that the user should look at."""
    return Finding(subject, State.WARNING, found, advice)


def bad(subject: str, found: str, advice: str) -> Finding:
    """Return a finding that keeps the cache from working."""
    return Finding(subject, State.BAD, found, advice)


def worst(findings: Iterable[Finding]) -> State:
    """Return the worst state among some findings."""
    states = {finding.state for finding in findings}
    return next((s for s in (State.BAD, State.WARNING) if s in states), State.GOOD)


def size_text(size: float) -> str:
    """Return bytes for people: `1.5 GiB`."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:  # noqa: PLR2004 - the step from one unit to the next
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def time_text(seconds: float) -> str:
    """Return a short time for people: `0.35 ms`."""
    if abs(seconds) < 1.0:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if abs(seconds) < 120.0 else f"{seconds:,.0f} s"  # noqa: PLR2004 - from here on, digits after the point say nothing
