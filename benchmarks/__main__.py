"""The suite.

    python -m benchmarks [--scale full|quick|tiny] [--out FILE] [NAME ...]

Prints a table for each group and the targets, and writes all of it as JSON. NAME: of
modules; all by default. See measure.py for what a figure is.
"""

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import batches, codec, crowds, hits, misses, mix, sizes, startup, writes
from benchmarks.machine import machine, versions
from benchmarks.measure import RESULTS, Group, print_table
from benchmarks.places import Places, running_places
from benchmarks.scale import SCALES, Scale
from benchmarks.targets import Verdict, as_json, judge, print_verdicts
from botocache import _install

MODULES: Mapping[str, Callable[[Scale, Places], Iterator[Group]]] = {
    "hits": hits.measure,
    "batches": batches.measure,
    "misses": misses.measure,
    "crowds": crowds.measure,
    "sizes": sizes.measure,
    "mix": mix.measure,
    "writes": writes.measure,
    "startup": startup.measure,
    "codec": codec.measure,
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Ratios, measured side by side.",
    )
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--out", type=Path, default=RESULTS / "suite.json")
    parser.add_argument("--wheel", type=Path, help="of this version, built already")
    parser.add_argument("names", nargs="*", choices=[[], *MODULES], metavar="NAME")
    arguments = parser.parse_args()
    wanted = arguments.names or list(MODULES)
    described: dict[str, object] = {"machine": machine(), "versions": versions()}
    with running_places(arguments.wheel) as places:
        described["rival"] = places.rival.versions()
        groups = []
        for group in measured(SCALES[arguments.scale], places, wanted):
            print_table(group.title, group.base, group.figures(), group.unit)
            groups.append(group)
    verdicts = judge(groups)
    print_verdicts(verdicts)
    described["command"] = " ".join(
        ["python -m benchmarks", "--scale", arguments.scale, *arguments.names]
    )
    write(arguments.out, described, groups, verdicts)


def measured(scale: Scale, places: Places, wanted: list[str]) -> Iterator[Group]:
    """Run the modules; yield what they measure."""
    for name in wanted:
        with closed_caches():
            yield from MODULES[name](scale, places)


@contextlib.contextmanager
def closed_caches() -> Iterator[None]:
    """Close the caches that were made inside, and give their memory back."""
    try:
        yield
    finally:
        for cache in _install._caches.values():  # noqa: SLF001 - a program has one cache
            cache.close()
        _install._caches.clear()  # noqa: SLF001
        _install._stores.clear()  # noqa: SLF001


def write(
    out: Path,
    described: Mapping[str, object],
    groups: list[Group],
    verdicts: list[Verdict],
) -> None:
    """Write it as JSON."""
    content = {
        "format": 1,
        **described,
        "groups": [group.as_json() for group in groups],
        "targets": as_json(verdicts),
    }
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {out.name}")


if __name__ == "__main__":
    main()
