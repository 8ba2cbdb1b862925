"""The targets, as code.

Each target is computed from the rounds of one group, round by round. The median of
these values must reach the target; the quartiles are printed beside it. A target that
is missed is reported as missed.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import names
from benchmarks.measure import Group, Times, quartiles, ratios

HOOKS_MICROS = 15.0
"""Microseconds that a hit on Redis may take beside its round trip."""


@dataclass(frozen=True)
class Target:
    """One line of the table.

    what: is measured, in words.
    limit: in words.
    at_most: the limit as a number.
    group: name of the group with the times.
    value: returns, round by round, what must be at most `at_most`.
    """

    what: str
    limit: str
    at_most: float
    group: str
    value: Callable[[Times], Sequence[float]]


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured.

    measured: median of the rounds, or None if the group was not measured.
    low: lower quartile, or None.
    high: upper quartile, or None.
    verdict: `met`, `missed` or `not measured`.
    """

    what: str
    limit: str
    at_most: float
    group: str
    measured: float | None
    low: float | None
    high: float | None
    verdict: str


def judge(groups: Sequence[Group]) -> list[Verdict]:
    """Return a verdict for each target."""
    by_name = {group.name: group for group in groups}
    return [_judged(target, by_name.get(target.group)) for target in TARGETS]


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the verdicts as plain data."""
    return [asdict(verdict) for verdict in verdicts]


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print the table."""
    print("\nTargets\n")
    for each in verdicts:
        measured = "" if each.measured is None else f"{each.measured:8.2f}"
        spread = "" if each.low is None else f"[{each.low:.2f} .. {each.high:.2f}]"
        print(f"  {each.verdict:13}{measured:>8} {spread:18} {each.what}")
        print(f"  {'':13}{each.at_most:8.2f} {'at most':18} {each.limit}")


def _judged(target: Target, group: Group | None) -> Verdict:
    words = (target.what, target.limit, target.at_most, target.group)
    try:
        values = target.value(group.times) if group else ()
    except KeyError:  # a contender that this scale leaves out
        values = ()
    if not values:
        return Verdict(*words, None, None, None, "not measured")
    low, middle, high = quartiles(values)
    verdict = "met" if middle <= target.at_most else "missed"
    return Verdict(*words, middle, low, high, verdict)


# --- values ------------------------------------------------------------------------


def _ratio(own: str, base: str) -> Callable[[Times], Sequence[float]]:
    return lambda times: ratios(times[own], times[base])


def _added(own: str) -> Callable[[Times], Sequence[float]]:
    """Return the time added to an uncached call, in calls of the handler."""

    def value(times: Times) -> Sequence[float]:
        pairs = zip(times[own], times[names.AT_ONCE], strict=True)
        return ratios([mine - its for mine, its in pairs], times[names.HANDLER])

    return value


def _mgets(times: Times) -> Sequence[float]:
    less = [micros - HOOKS_MICROS for micros in times[names.REDIS]]
    return ratios(less, times[names.MGET])


def _beyond_noise(times: Times) -> Sequence[float]:
    """Return the distance from a run without botocache, in the spread of two such."""
    without = times[names.WITHOUT]
    low, middle, high = quartiles(ratios(times[names.WITHOUT_AGAIN], without))
    own = statistics.median(ratios(times[names.TOGGLE_UNSET], without))
    return [abs(own - middle) / (high - low)]


# --- the table ---------------------------------------------------------------------

_GET = "hit-get-client"
_HALF = "half of the do-nothing handler's call"


def _added_targets() -> Mapping[str, tuple[str, ...]]:
    return {
        "added to a miss": ("miss",),
        "added to a write": ("update", "put"),
    }


TARGETS: Sequence[Target] = (
    Target(
        "GetItem hit, client, memory store",
        "0.75 of botocache 0.0.6's hit",
        0.75,
        _GET,
        _ratio(names.MEMORY, names.RIVAL),
    ),
    Target(
        "GetItem hit, client, memory store",
        "1/25 of the do-nothing handler",
        1 / 25,
        _GET,
        _ratio(names.MEMORY, names.HANDLER),
    ),
    Target(
        "GetItem hit, resource, memory store",
        "1.0 of botocache 0.0.6's with a resource",
        1.0,
        "hit-get-resource",
        _ratio(names.MEMORY, names.RIVAL),
    ),
    Target(
        "GetItem hit, client, disk store, 4 processes sharing it",
        "1.3 of memory in as many processes",
        1.3,
        "processes",
        _ratio(f"{names.DISK}, 4 processes", f"{names.MEMORY}, 4 processes"),
    ),
    Target(
        "GetItem hit, client, Redis with client tracking",
        "1.3 of memory",
        1.3,
        _GET,
        _ratio(names.TRACKING, names.MEMORY),
    ),
    Target(
        "GetItem hit, client, Redis, not known to be current, less 15 µs",
        "1.25 bare MGETs of redis-py",
        1.25,
        _GET,
        _mgets,
    ),
    Target(
        "Query of 20 items, client, memory",
        "2.0 of decoding the same bytes",
        2.0,
        "hit-query-20-client",
        _ratio(names.MEMORY, names.LIMIT),
    ),
    *(
        Target(f"{what} ({group}), {store}", _HALF, 0.5, group, _added(store))
        for what, groups in _added_targets().items()
        for group in groups
        for store in (names.MEMORY, names.DISK)
    ),
    *(
        Target(
            f"hit with the many entries, {store}, {read}",
            "1.3 of that with the few",
            1.3,
            f"entries-{store}",
            _ratio(names.MANY.format(read), names.FEW),
        )
        for store in (names.MEMORY, names.DISK)
        for read in (names.SAME_READ, names.ALL_READ)
    ),
    Target(
        "interpreter start, toggle unset: off from a start without us",
        "1.0 of the spread of two runs without us",
        1.0,
        "start",
        _beyond_noise,
    ),
    Target(
        "import of botocache",
        "a tenth of importing boto3",
        0.1,
        "import",
        _ratio(names.IMPORT_OURS, names.IMPORT_BOTO3),
    ),
    *(
        Target(
            f"{kind.replace('-', ' ')} with everything on to be seen, {store}",
            f"{limit} of that with everything off",
            limit,
            f"observing-{kind}-{store}",
            _ratio(names.ON, names.OFF),
        )
        for kind, limit in (("near-hit", 1.1), ("miss", 1.03))
        for store in (names.MEMORY, names.DISK)
    ),
)
