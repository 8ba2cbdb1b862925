"""The benchmarks' command line.

    python -m benchmarks [--scale full|quick|tiny] [--out FILE] [NAME ...]
    python -m benchmarks compare REV [--rounds N] [--cpu]

The first prints a table for each group and the targets, and writes them as JSON, with
a profile of what misses its target. NAME: of modules; without any, all of SUITE, from
which docs/performance.md and its tables are made. The second compares this tree's
package with that of a revision. See measure.py for what a figure is.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    aio,
    batches,
    cluster,
    codec,
    compare,
    compression,
    crowds,
    encryption,
    hits,
    hot_item,
    misses,
    mix,
    observing,
    overload,
    redis_store,
    sizes,
    startup,
    streams,
    threads,
    tracking,
    where,
    writes,
)
from benchmarks.machine import machine, versions
from benchmarks.measure import RESULTS, Group
from benchmarks.places import Places, running_places
from benchmarks.profiles import Profile, profiles_of_missed
from benchmarks.scale import SCALES, Scale
from benchmarks.targets import Verdict, as_json, judge, print_verdicts
from botocache import _install

SUITE: Mapping[str, Callable[[Scale, Places], Iterator[Group]]] = {
    "hits": hits.measure,
    "aio": aio.measure,
    "batches": batches.measure,
    "misses": misses.measure,
    "threads": threads.measure,
    "crowds": crowds.measure,
    "sizes": sizes.measure,
    "mix": mix.measure,
    "writes": writes.measure,
    "startup": startup.measure,
    "codec": codec.measure,
    "observing": observing.measure,
}

MODULES = {
    **SUITE,
    "cluster": cluster.measure,
    "compression": compression.measure,
    "encryption": encryption.measure,
    "hot_item": hot_item.measure,
    "overload": overload.measure,
    "redis_store": redis_store.measure,
    "streams": streams.measure,
    "tracking": tracking.measure,
    "where": where.measure,
}


def main() -> None:
    """Compare revisions, or measure, print and write."""
    if sys.argv[1:2] == ["compare"]:
        compare.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Ratios, measured side by side.",
    )
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--out", type=Path, help="the JSON")
    parser.add_argument("--wheel", type=Path, help="of this version, built already")
    parser.add_argument("names", nargs="*", choices=[[], *MODULES], metavar="NAME")
    arguments = parser.parse_args()
    scale, names = SCALES[arguments.scale], arguments.names
    described: dict[str, object] = {"machine": machine(), "versions": versions()}
    groups: list[Group] = []
    profiles: list[Profile] = []
    with running_places(arguments.wheel) as places:
        for group in measured(scale, places, names or list(SUITE)):
            group.show()
            profiles += profiles_of_missed(group, scale)
            groups.append(replace(group, runs={}))  # else its stores stay in memory
        was_started = "rival" in vars(places)
        described["rival"] = places.rival.versions() if was_started else {}
    verdicts = judge(groups)
    if any(verdict.measured is not None for verdict in verdicts):
        print_verdicts(verdicts)
    described["command"] = " ".join(
        ["python -m benchmarks", "--scale", arguments.scale, *names]
    )
    out = arguments.out or RESULTS / f"{'-'.join(names) or 'suite'}.json"
    write(out, described, groups, verdicts, profiles)


def measured(scale: Scale, places: Places, wanted: list[str]) -> Iterator[Group]:
    """Run the modules; yield what they measure."""
    for name in wanted:
        with closed_caches():
            yield from MODULES[name](scale, places)


@contextlib.contextmanager
def closed_caches() -> Iterator[None]:
    """Close the caches that were made inside, which gives their memory back."""
    try:
        yield
    finally:
        for cache in _install._caches.values():  # noqa: SLF001 - a program has one cache
            cache.close()
        _install._caches.clear()  # noqa: SLF001 - closed, so of no more use
        _install._stores.clear()  # noqa: SLF001 - closed with their caches


def write(
    out: Path,
    described: Mapping[str, object],
    groups: list[Group],
    verdicts: list[Verdict],
    profiles: list[Profile],
) -> None:
    """Write all of it as JSON."""
    content = {
        "format": 2,
        **described,
        "groups": [group.as_json() for group in groups],
        "targets": as_json(verdicts),
        "profiles": [profile.as_json() for profile in profiles],
    }
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {out.name}")


if __name__ == "__main__":
    main()
