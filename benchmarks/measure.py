"""Measures callables side by side: interleaved rounds, medians, ratios, a table.

Machines are shared and noisy, so no time stands alone. Every contender runs once in
every round, in an order that changes, and what is reported is each round's time
divided by the base's time in the same round: the median of those, and the quartiles
as its spread.
"""

import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Figure:
    """One contender's result.

    micros: median microseconds per call. ratio: to the base of its group, median of
    the rounds; low and high: its quartiles.
    """

    name: str
    micros: float
    ratio: float
    low: float
    high: float


def compare(
    contenders: Mapping[str, Callable[[], object]],
    *,
    base: str,
    rounds: int,
    calls: int,
) -> list[Figure]:
    """Run every contender `calls` times in each of `rounds` rounds."""
    times = time_rounds(contenders, rounds=rounds, calls=calls)
    return [figure_of(name, times[name], times[base]) for name in contenders]


def time_rounds(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int, calls: int
) -> dict[str, list[float]]:
    """Return the microseconds per call of every contender, round by round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = random.Random(1).shuffle
    for name in order:  # warm up
        for _ in range(max(calls // 10, 5)):
            contenders[name]()
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            call = contenders[name]
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            times[name].append((time.perf_counter() - begin) / calls * 1e6)
    return times


def figure_of(name: str, own: list[float], base: list[float]) -> Figure:
    """Return a contender's result, by its times and the base's, round by round."""
    ratios = [mine / its for mine, its in zip(own, base, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Figure(name, statistics.median(own), middle, low, high)


def report(title: str, base: str, figures: list[Figure]) -> None:
    """Print a group's table, and keep it as JSON beside the others."""
    print(f"\n{title}\n(ratio to: {base}; median of the rounds, and quartiles)\n")
    for figure in figures:
        print(
            f"  {figure.name:44} {figure.micros:10.2f} us  "
            f"{figure.ratio:7.2f}  [{figure.low:.2f} .. {figure.high:.2f}]"
        )
    RESULTS.mkdir(exist_ok=True)
    name = title.partition(":")[0].lower().replace(" ", "-")
    content = {
        "title": title,
        "base": base,
        "figures": [asdict(figure) for figure in figures],
        "machine": machine(),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def machine() -> dict[str, str]:
    """Return what the figures were measured on, and with."""
    packages = ("boto3", "botocore", "diskcache", "msgspec", "moto", "redis")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        **{package: version(package) for package in packages},
    }
