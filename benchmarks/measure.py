"""Measures callables side by side: interleaved rounds, medians, ratios, a table.

Machines are shared and noisy, so no time stands alone. Every contender runs once in
every round, in an order that changes, in short slices of which the median counts: what
interrupts one of them is no property of a contender. What is reported is each round's
time divided by the base's time in the same round: the median of those, and the
quartiles as its spread. The rounds themselves are kept, so that anybody can divide
otherwise.
"""

import json
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.machine import machine, versions

RESULTS = Path(__file__).parents[1] / "bench-out"

SLICES = 5
"""In which a contender runs in each round."""

_TRIES = 3
"""By which is found how often a call fits into a time; the quickest tells."""

Times: TypeAlias = Mapping[str, Sequence[float]]
"""What was measured of each contender, round by round."""


@dataclass(frozen=True)
class Figure:
    """One contender's result.

    micros: median per call, in microseconds unless its group says otherwise. ratio: to
    the base of its group, median of the rounds; low and high: its quartiles.
    """

    name: str
    micros: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Contender:
    """One that tells its time by itself. run: calls so often, returns the seconds."""

    run: Callable[[int], float]


@dataclass(frozen=True)
class Group:
    """What was measured side by side.

    name: for programs; title: for people. base: the contender that the others are
    divided by. unit: of what was measured. note: what else is to be known of it.
    """

    name: str
    title: str
    base: str
    times: Times
    unit: str = "µs"
    note: str = ""

    def figures(self) -> list[Figure]:
        """Return each contender's result."""
        base = self.times[self.base]
        return [figure_of(name, own, base) for name, own in self.times.items()]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, the rounds included."""
        return {
            **{key: value for key, value in asdict(self).items() if key != "times"},
            "figures": [
                {**asdict(figure), "rounds": [_rounded(t) for t in times]}
                for figure, times in zip(
                    self.figures(), self.times.values(), strict=True
                )
            ],
        }


def timed(call: Callable[[], object]) -> Contender:
    """Return the contender that makes a call again and again."""

    def run(calls: int) -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - begin

    return Contender(run)


def compare(
    contenders: Mapping[str, Callable[[], object] | Contender],
    *,
    base: str,
    rounds: int,
    calls: int,
) -> list[Figure]:
    """Run every contender `calls` times in each of `rounds` rounds."""
    times = time_rounds(contenders, rounds=rounds, calls=calls)
    return [figure_of(name, times[name], times[base]) for name in contenders]


def time_rounds(
    contenders: Mapping[str, Callable[[], object] | Contender],
    *,
    rounds: int,
    calls: int = 0,
    seconds: float = 0.0,
    slices: int = SLICES,
) -> dict[str, list[float]]:
    """Return the microseconds per call of every contender, round by round.

    calls: of each in a round; or else as many as take `seconds`, about, cut into
    `slices` of which the median counts: an interruption by something else on the
    machine is no property of a contender.
    """
    runs = {
        name: each.run if isinstance(each, Contender) else timed(each).run
        for name, each in contenders.items()
    }
    counts = {name: calls or _calls_in(seconds, run) for name, run in runs.items()}
    for name, run in runs.items():  # warm up
        run(max(counts[name] // 10, min(counts[name], 5)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = random.Random(1).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            cuts = 1 if calls else min(slices, counts[name])
            times[name].append(_micros(runs[name], counts[name] // cuts, cuts))
    return times


def _micros(run: Callable[[int], float], calls: int, slices: int) -> float:
    """Return the microseconds of a call: the median of that many slices."""
    taken = [run(calls) for _ in range(slices)]
    return statistics.median(taken) / calls * 1e6


def _calls_in(seconds: float, run: Callable[[int], float]) -> int:
    """Return how many calls take so long, at least one; may have made some."""
    if not seconds:
        return 1
    run(1)  # what is done once
    calls, took = 1, 0.0
    while True:
        took = min(run(calls) for _ in range(_TRIES))
        if took >= seconds / 4:
            return max(round(calls * seconds / took), 1)
        calls *= 4


def figure_of(name: str, own: Sequence[float], base: Sequence[float]) -> Figure:
    """Return a contender's result, by its times and the base's, round by round."""
    low, middle, high = quartiles(ratios(own, base))
    return Figure(name, statistics.median(own), middle, low, high)


def ratios(own: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return how many times the base it was in each round."""
    return [mine / its for mine, its in zip(own, base, strict=True)]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper one, of one value too."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def report(title: str, base: str, figures: list[Figure]) -> None:
    """Print a group's table, and keep it as JSON beside the others."""
    print_table(title, base, figures)
    name = title.partition(":")[0].lower().replace(" ", "-")
    content = {
        "title": title,
        "base": base,
        "figures": [asdict(figure) for figure in figures],
        "machine": {**machine(), **versions()},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def print_table(
    title: str, base: str, figures: Sequence[Figure], unit: str = "µs"
) -> None:
    """Print a group's table."""
    print(f"\n{title}\n(ratio to: {base}; median of the rounds, and quartiles)\n")
    for figure in figures:
        print(
            f"  {figure.name:44} {figure.micros:12,.2f} {unit:5} "
            f"{figure.ratio:7.2f}  [{figure.low:.2f} .. {figure.high:.2f}]"
        )


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
