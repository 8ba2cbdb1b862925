"""Times contenders side by side, in rounds, and compares each with a base.

Machines are shared and noisy, so a time alone means little. Every contender runs once
in every round, in an order that changes from round to round. A ratio is a contender's
time divided by the base's time in the same round. Reported are the median of these
ratios and their quartiles. The rounds are kept in the JSON, for other evaluations.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.scale import Scale

RESULTS = Path(__file__).parents[1] / "bench-out"

SLICES = 5
"""Slices of a contender's time in a round; the median slice counts."""

_TRIES = 3
"""Attempts to find how many calls fit into a time; the shortest one counts."""

Times: TypeAlias = Mapping[str, Sequence[float]]
"""What was measured of each contender, round by round."""


@dataclass(frozen=True)
class Figure:
    """One contender's result.

    micros: median time of a call, in microseconds or in the unit of its group.
    ratio: to the base of its group, median of the rounds.
    low: lower quartile of the ratios.
    high: upper quartile of the ratios.
    """

    name: str
    micros: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Contender:
    """A contender that measures its own time, for example in another process.

    run: makes that many calls and returns the seconds they took.
    """

    run: Callable[[int], float]


Contenders: TypeAlias = Mapping[str, Callable[[], object] | Contender]


@dataclass(frozen=True)
class Group:
    """Contenders that were measured side by side.

    name: identifies the group in the JSON and in targets.
    title: "Section: what", for the page and the terminal.
    base: the contender that the others are divided by.
    unit: of what was measured.
    note: one or two sentences for the page.
    runs: what was timed, by contender, to profile it.
    """

    name: str
    title: str
    base: str
    times: Times
    unit: str = "µs"
    note: str = ""
    runs: Mapping[str, Callable[[int], float]] = field(default_factory=dict)

    def figures(self) -> list[Figure]:
        """Return each contender's result."""
        base = self.times[self.base]
        return [figure_of(name, own, base) for name, own in self.times.items()]

    def as_json(self) -> dict[str, Any]:
        """Return the group as plain data, the rounds included."""
        return {
            "name": self.name,
            "title": self.title,
            "base": self.base,
            "unit": self.unit,
            "note": self.note,
            "figures": [
                {**asdict(figure), "rounds": [float(f"{t:.5g}") for t in times]}
                for figure, times in zip(
                    self.figures(), self.times.values(), strict=True
                )
            ],
        }

    def show(self) -> None:
        """Print the group's table."""
        print(f"\n{self.title}\n(ratio to: {self.base}; median, and quartiles)\n")
        for figure in self.figures():
            print(
                f"  {figure.name:44} {figure.micros:12,.2f} {self.unit:5} "
                f"{figure.ratio:7.2f}  [{figure.low:.2f} .. {figure.high:.2f}]"
            )
        if self.note:
            print(f"\n  {self.note}")


def timed_group(  # noqa: PLR0913 - the fields of a Group
    name: str,
    title: str,
    base: str,
    contenders: Contenders,
    scale: Scale,
    *,
    note: str = "",
) -> Group:
    """Return the group of contenders timed for as long as the scale says."""
    times = time_rounds(contenders, rounds=scale.rounds, seconds=scale.seconds)
    return Group(name, title, base, times, note=note, runs=runs_of(contenders))


def timed(call: Callable[[], object]) -> Contender:
    """Return the contender that repeats a call."""

    def run(calls: int) -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - begin

    return Contender(run)


def time_rounds(
    contenders: Contenders,
    *,
    rounds: int,
    calls: int = 0,
    seconds: float = 0.0,
    slices: int = SLICES,
) -> dict[str, list[float]]:
    """Return the microseconds per call of every contender, round by round.

    calls: of each contender in a round; or 0 for as many as take about `seconds`.
    slices: into which `seconds` are cut; the median slice counts, so that a short
        interruption by another process does not.
    """
    runs = runs_of(contenders)
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


def runs_of(contenders: Contenders) -> dict[str, Callable[[int], float]]:
    """Return what makes so many calls of each contender, and returns the seconds."""
    return {
        name: each.run if isinstance(each, Contender) else timed(each).run
        for name, each in contenders.items()
    }


def _micros(run: Callable[[int], float], calls: int, slices: int) -> float:
    """Return the microseconds of a call: the median of that many slices."""
    taken = [run(calls) for _ in range(slices)]
    return statistics.median(taken) / calls * 1e6


def _calls_in(seconds: float, run: Callable[[int], float]) -> int:
    """Return how many calls take so long, at least one. Makes calls to find out."""
    if not seconds:
        return 1
    run(1)  # the first call may open a store or a connection
    calls, took = 1, 0.0
    while True:
        took = min(run(calls) for _ in range(_TRIES))
        if took >= seconds / 4:
            return max(round(calls * seconds / took), 1)
        calls *= 4


def figure_of(name: str, own: Sequence[float], base: Sequence[float]) -> Figure:
    """Return a contender's result from its times and the base's, round by round."""
    low, middle, high = quartiles(ratios(own, base))
    return Figure(name, statistics.median(own), middle, low, high)


def ratios(own: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return a contender's time divided by the base's, round by round."""
    return [mine / its for mine, its in zip(own, base, strict=True)]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile, also of a single value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high
