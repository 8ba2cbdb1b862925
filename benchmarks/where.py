"""The files in which the time of a hit, a miss and a write goes, for each store.

The cache's time is measured without a profiler: all of a hit, and of a miss or a write
the difference to the same call without a cache. cProfile then divides that time among
files, in another run. It slows Python down more than C, so the parts are estimates.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import names
from benchmarks.clients import client, getting, getting_new, putting_new, updating
from benchmarks.measure import Group, time_rounds, timed
from benchmarks.places import Places
from benchmarks.profiles import PACKAGE, Function, own_seconds
from benchmarks.scale import Scale

Call = Callable[[], object]

WORK: dict[str, Callable[[Any], Call]] = {
    "hit": getting,
    "miss": getting_new,
    "update": updating,
    "put, written through": putting_new,
}

CALLS = 200
"""In each round."""

MOST_ROUNDS = 15

LEAST = 0.5
"""Microseconds. Files with less are left out."""

ALL = "all of it"

_LIBRARIES = ("diskcache", "redis", "botocore")


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Yield a group for each kind of call and store, with a figure for each file."""
    rounds = min(scale.rounds, MOST_ROUNDS)
    wanted = (names.MEMORY, names.DISK, names.REDIS, names.NEAR_OFF)
    for work, doing in WORK.items():
        for store in wanted:
            settings = places.variants()[store]
            takes, shares = _measured(doing, settings, rounds, is_whole=work == "hit")
            parts = {
                file: [micros]
                for file, micros in shares.most_common()
                if micros >= LEAST
            }
            title = f"Where: {work}, {store}"
            yield Group(f"where-{work}-{store}", title, ALL, {ALL: [takes], **parts})


def _measured(
    doing: Callable[[Any], Call],
    settings: dict[str, Any],
    rounds: int,
    *,
    is_whole: bool,
) -> tuple[float, Counter[str]]:
    """Return the microseconds that the cache takes, and each file's share in them.

    is_whole: the call is a hit, so that all of its time is the cache's.
    """
    cached, bare = doing(client(**settings)), doing(client())
    times = time_rounds({"cached": cached, "bare": bare}, rounds=rounds, calls=CALLS)
    takes = statistics.median(
        own - (0.0 if is_whole else other)
        for own, other in zip(times["cached"], times["bare"], strict=True)
    )
    shares = _by_file(cached, rounds * CALLS)
    if not is_whole:
        shares.pop("botocore", None)  # the call itself
        shares.pop("other", None)
    total = sum(shares.values())
    return takes, Counter({file: t / total * takes for file, t in shares.items()})


def _by_file(call: Call, calls: int) -> Counter[str]:
    """Return the seconds of some calls by file."""
    seconds: dict[str, float] = defaultdict(float)
    for function, own in own_seconds(lambda: timed(call).run(calls)).items():
        seconds[_file(function)] += own
    return Counter(seconds)


def _file(function: Function) -> str:
    """Return the file or library that a function belongs to."""
    path = function[0]
    if path.startswith(PACKAGE):
        return f"botocache{path.removeprefix(PACKAGE)}"
    for library in _LIBRARIES:
        if f"/{library}/" in path or path.endswith(f"/{library}.py"):
            return library
    return "other"
