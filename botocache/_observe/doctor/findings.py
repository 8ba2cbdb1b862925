"""What a check of the doctor finds: a subject, a state, a sentence and an advice. Pure.

A warning and a bad finding always say what to do. No finding shows a secret.
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from botocache._observe import numbers
from botocache._observe.numbers import plain


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
    return plain(numbers.size(size))


def time_text(seconds: float) -> str:
    """Return a time for people: `350 µs`, `2 minutes`."""
    return plain(numbers.duration(seconds))
