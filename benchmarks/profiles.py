"""Where the time of calls goes: functions of botocache, and the rest.

cProfile gives each function's own time. That of a function written in C counts as its
caller's. cProfile slows Python down more than C, so the shares are estimates.
"""

import cProfile
import pstats
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import botocache
from benchmarks.measure import SLICES, Group
from benchmarks.scale import Scale
from benchmarks.targets import Verdict, missed

SHOWN = 5
"""Functions of a profile that are shown."""

PACKAGE = str(Path(botocache.__file__).parent)

_C = "~"
"""cProfile's file name of functions written in C."""

Function: TypeAlias = tuple[str, int, str]
"""A function of Python, as pstats names it: file, line, name."""


@dataclass(frozen=True)
class Profile:
    """The profile of a contender's calls.

    what: as its target says it.
    of: as its target says it.
    functions: of botocache, those with the largest shares of the time, and the shares.
    inside: the share of all of botocache's functions.
    """

    what: str
    of: str
    functions: list[tuple[str, float]]
    inside: float

    def as_json(self) -> dict[str, Any]:
        """Return the profile as plain data."""
        return asdict(self)


def profiles_of_missed(group: Group, scale: Scale) -> list[Profile]:
    """Profile what misses its target in a group, once for each contender.

    A contender whose calls run in another process has no profile.
    """
    by_contender: dict[str, Profile] = {}
    for verdict in missed(group):
        is_here = verdict.own in group.runs  # other processes hand over times alone
        if is_here and verdict.own not in by_contender:
            found = _profile(group, verdict, scale)
            if found.functions:
                by_contender[verdict.own] = found
    return list(by_contender.values())


def _profile(group: Group, verdict: Verdict, scale: Scale) -> Profile:
    micros = statistics.median(group.times[verdict.own])
    seconds = scale.rounds * scale.seconds * SLICES
    calls = max(round(seconds * 1e6 / micros), 1)
    spent = own_seconds(lambda: group.runs[verdict.own](calls))
    total = sum(spent.values())
    ours: dict[str, float] = defaultdict(float)
    for (file, _, name), own in spent.items():
        if file.startswith(PACKAGE):
            ours[f"{file.removeprefix(PACKAGE)[1:]}:{name}"] += own
    most = sorted(ours, key=lambda name: ours[name], reverse=True)[:SHOWN]
    shares = [(name, ours[name] / total) for name in most]
    return Profile(verdict.what, verdict.of, shares, sum(ours.values()) / total)


def own_seconds(call: Callable[[], object]) -> dict[Function, float]:
    """Make a call; return the own seconds of each function of Python."""
    profile = cProfile.Profile()
    profile.runcall(call)
    stats: dict[Function, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # it has them
    seconds: dict[Function, float] = defaultdict(float)
    for function, (_, _, own, _, callers) in stats.items():
        if function[0] != _C:
            seconds[function] += own
            continue
        for caller, (_, _, for_it, _) in callers.items():
            seconds[caller] += for_it
    return seconds
