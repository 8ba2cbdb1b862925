"""Where the time of a hit, a miss and a write goes, for each store.

    python -m benchmarks.where

What the cache takes of a call is measured without a profiler: of a hit all of it, of
misses and writes what they take more than the same call without a cache, side by side.
That time is divided among files by cProfile, in a run of its own. cProfile makes calls
of Python dearer than what C does, so the parts are shares and no measurements.
"""

import cProfile
import pstats
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocache
from benchmarks import names
from benchmarks.clients import client, getting, getting_new, putting_new, updating
from benchmarks.measure import time_rounds
from benchmarks.places import Places, running_places

Call = Callable[[], object]

WORK: dict[str, Callable[[Any], Call]] = {
    "hit": getting,
    "miss": getting_new,
    "update": updating,
    "put, written through": putting_new,
}

ROUNDS = 15
CALLS = 200
"""In each round."""

LEAST = 0.5
"""Microseconds. Files with less are summed up."""

_OWN = str(Path(botocache.__file__).parent)
_LIBRARIES = ("diskcache", "redis", "botocore")
_C = "~"
"""How cProfile calls the file of what is written in C."""

_Function = tuple[str, int, str]


def main() -> None:
    """Print a table for each work and store."""
    with running_places() as places:
        for work, doing in WORK.items():
            for store, settings in _settings(places).items():
                _print(f"{work}, {store}", *_measured(doing, work == "hit", settings))


def _settings(places: Places) -> dict[str, dict[str, Any]]:
    wanted = (names.MEMORY, names.DISK, names.REDIS, names.NEAR_OFF)
    return {name: places.variants()[name] for name in wanted}


def _measured(
    doing: Callable[[Any], Call],
    is_whole: bool,  # noqa: FBT001 - one caller
    settings: dict[str, Any],
) -> tuple[float, Counter[str]]:
    """Return the microseconds that the cache takes, and each file's share in them.

    is_whole: the call is all the cache's, or nearly.
    """
    cached, bare = doing(client(**settings)), doing(client())
    times = time_rounds({"cached": cached, "bare": bare}, rounds=ROUNDS, calls=CALLS)
    takes = statistics.median(
        own - (0.0 if is_whole else other)
        for own, other in zip(times["cached"], times["bare"], strict=True)
    )
    shares = _by_file(cached)
    if not is_whole:
        shares.pop("botocore", None)  # the call itself
        shares.pop("other", None)
    total = sum(shares.values())
    return takes, Counter({file: t / total * takes for file, t in shares.items()})


def _by_file(call: Call) -> Counter[str]:
    """Return seconds by file, of what cProfile says of some calls."""
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(ROUNDS * CALLS):
        call()
    profile.disable()
    stats: dict[_Function, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # it has them
    seconds: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in stats.items():
        if function[0] != _C:
            seconds[_file(function)] += own
            continue
        for caller, (_, _, for_it, _) in callers.items():
            seconds[_file(caller)] += for_it
    return seconds


def _file(function: _Function) -> str:
    """Return what a function's time counts for. What C does counts for its caller."""
    path = function[0]
    if path.startswith(_OWN):
        return f"botocache{path.removeprefix(_OWN)}"
    for library in _LIBRARIES:
        if f"/{library}/" in path or path.endswith(f"/{library}.py"):
            return library
    return "other"


def _print(title: str, takes: float, shares: Counter[str]) -> None:
    print(f"\n{title}: {takes:.1f} µs")
    rest = 0.0
    for file, micros in shares.most_common():
        if micros < LEAST:
            rest += micros
        else:
            print(f"  {micros:7.1f}  {file}")
    print(f"  {rest:7.1f}  files with less than {LEAST}")


if __name__ == "__main__":
    main()
