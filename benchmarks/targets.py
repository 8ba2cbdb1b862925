"""The targets, as code.

Each target is computed from the rounds of one group, round by round. The median of
these values must reach the target; the quartiles are printed beside it. A target that
is missed is reported as missed.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
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
    of: what it is compared with, in words.
    at_most: the limit of the ratio of the two.
    group: name of the group with the times.
    own: the contender that `what` is about; if the target is missed, its calls are
        profiled.
    value: returns, round by round, what must be at most `at_most`.
    """

    what: str
    of: str
    at_most: float
    group: str
    own: str
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
    of: str
    at_most: float
    group: str
    own: str
    measured: float | None
    low: float | None
    high: float | None
    verdict: str


def judge(groups: Sequence[Group]) -> list[Verdict]:
    """Return a verdict for each target."""
    by_name = {group.name: group for group in groups}
    return [_judged(target, by_name.get(target.group)) for target in TARGETS]


def missed(group: Group) -> list[Verdict]:
    """Return the verdicts on the targets that a group misses."""
    return [verdict for verdict in judge([group]) if verdict.verdict == "missed"]


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the verdicts as plain data."""
    return [asdict(verdict) for verdict in verdicts]


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print the table."""
    print("\nTargets\n")
    for each in verdicts:
        measured = "" if each.measured is None else f"{each.measured:8.3f}"
        spread = "" if each.low is None else f"[{each.low:.3f} .. {each.high:.3f}]"
        print(f"  {each.verdict:13}{measured:>8} {spread:20} {each.what}")
        print(f"  {'':13}{each.at_most:8.3f} {'at most':20} of {each.of}")


def _judged(target: Target, group: Group | None) -> Verdict:
    words = (target.what, target.of, target.at_most, target.group, target.own)
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
_EARLY = "hit-early-client"
_HANDLER = "the do-nothing handler's call"
_CALL = "the uncached call, answered at once"
_STORES = (names.MEMORY, names.DISK, names.REDIS)


def _row(  # noqa: PLR0913, PLR0917 - the cells of a row, and the two contenders
    what: str, of: str, at_most: float, group: str, own: str, base: str
) -> Target:
    """Return the target whose value is the ratio of two contenders of a group."""
    return Target(
        what, of, at_most, group, own, lambda times: ratios(times[own], times[base])
    )


def _of_handler(what: str, at_most: float, group: str, own: str) -> Target:
    return _row(what, _HANDLER, at_most, group, own, names.HANDLER)


def _of_call(what: str, group: str, *at_most: float) -> Iterator[Target]:
    """Yield a target for each store, in the order of _STORES, as far as they go."""
    for store, limit in zip(_STORES, at_most, strict=False):
        yield _row(f"{what}, {store}", _CALL, limit, group, store, names.AT_ONCE)


TARGETS: Sequence[Target] = (
    _of_handler("GetItem hit, remembered, memory", 0.030, _GET, names.MEMORY),
    _of_handler("GetItem hit, remembered, disk", 0.045, _GET, names.DISK),
    _of_handler(
        "GetItem hit of a resource, memory", 0.035, "hit-get-resource", names.MEMORY
    ),
    _of_handler(
        "Query hit of 20 items of a resource, memory",
        0.04,
        "hit-query-20-resource",
        names.MEMORY,
    ),
    *(
        _of_handler(
            f"GetItem hit in the store, nothing remembered, {store}",
            at_most,
            _EARLY,
            names.EARLY.format(store),
        )
        for store, at_most in zip(_STORES, (0.20, 0.30, 0.75), strict=True)
    ),
    _of_handler("GetItem hit through the hooks, memory", 1.25, _GET, names.NEAR_OFF),
    *_of_call("miss that is filled", "miss", 1.12, 1.15, 1.8),
    *_of_call("UpdateItem", "update", 1.12, 1.15, 1.8),
    *_of_call("PutItem, written through", "put", 1.15, 1.20, 1.9),
    *_of_call("BatchGetItem of 50, none cached", "batch-0", 1.15, 1.25),
    *_of_call("BatchGetItem of 50, half cached", "batch-50", 0.65),
    *_of_call("BatchGetItem of 50, all cached", "batch-100", 0.05, 0.08, 0.10),
    *(
        _row(
            f"GetItem hit, many entries, {store}, {read}",
            "the hit with few entries",
            at_most,
            f"entries-{store}",
            names.MANY.format(read),
            names.FEW,
        )
        for store, read, at_most in (
            (names.MEMORY, names.SAME_READ, 1.3),
            (names.DISK, names.SAME_READ, 1.3),
            (names.MEMORY, names.ALL_READ, 4.0),
            (names.DISK, names.ALL_READ, 6.0),
        )
    ),
    _row(
        "GetItem hit of aiobotocore, remembered, memory",
        "that of botocore",
        1.3,
        "async-near",
        f"{names.MEMORY}, {names.AIOBOTOCORE}",
        f"{names.MEMORY}, {names.BOTOCORE}",
    ),
    _row(
        "GetItem hit, client, memory",
        "botocache 0.0.6's hit",
        0.75,
        _GET,
        names.MEMORY,
        names.RIVAL,
    ),
    _row(
        "GetItem hit, resource, memory",
        "botocache 0.0.6's hit with a resource",
        1.0,
        "hit-get-resource",
        names.MEMORY,
        names.RIVAL,
    ),
    _row(
        "GetItem hit, disk, 4 processes sharing it",
        "that in memory, in as many processes",
        1.3,
        "processes",
        f"{names.DISK}, 4 processes",
        f"{names.MEMORY}, 4 processes",
    ),
    _row(
        "GetItem hit, Redis with client tracking",
        "that in memory",
        1.3,
        _GET,
        names.TRACKING,
        names.MEMORY,
    ),
    Target(
        f"GetItem hit, Redis, not known to be current, less {HOOKS_MICROS:.0f} µs",
        "a bare MGET of redis-py",
        1.25,
        _GET,
        names.REDIS,
        _mgets,
    ),
    _row(
        "Query hit of 20 items, client, memory",
        "decoding the same bytes",
        2.0,
        "hit-query-20-client",
        names.MEMORY,
        names.LIMIT,
    ),
    Target(
        "interpreter start, toggle unset: off from a start without us",
        "the spread of two runs without us",
        1.0,
        "start",
        names.TOGGLE_UNSET,
        _beyond_noise,
    ),
    _row(
        "import of botocache",
        "importing boto3",
        0.1,
        "import",
        names.IMPORT_OURS,
        names.IMPORT_BOTO3,
    ),
    *(
        _row(
            f"{kind.replace('-', ' ')} with everything on to be seen, {store}",
            "that with everything off",
            limit,
            f"observing-{kind}-{store}",
            names.ON,
            names.OFF,
        )
        for kind, limit in (("near-hit", 1.1), ("miss", 1.03))
        for store in (names.MEMORY, names.DISK)
    ),
)
