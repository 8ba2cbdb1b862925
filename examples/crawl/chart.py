"""Draws consumed against provisioned read capacity: for the terminal and as a PNG.

Both drawings show several recordings of one table below each other, on the same
scales. `terminal` is pure; `png` needs matplotlib, which is imported only there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes  # optional at run time

ROWS = 9
COLUMNS = 70
MARGIN = 6
BLUE, RED, BLACK = "#3b76af", "#c0392b", "#222222"


@dataclass(frozen=True, slots=True)
class Recording:
    """One run of one table; amounts per bucket of time."""

    title: str
    provisioned: float
    consumed: tuple[float, ...]
    throttled: tuple[int, ...]
    bucket_seconds: float

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return len(self.consumed) * self.bucket_seconds

    @property
    def rates(self) -> list[float]:
        """Units consumed per second, for each bucket."""
        return [units / self.bucket_seconds for units in self.consumed]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What the terminal's chart is made of. `steps`: from nearly empty to full."""

    steps: str
    line: str
    throttled: str
    edge: str
    corner: str
    axis: str


UNICODE = Glyphs(
    "▁▂▃▄▅▆▇█",
    line="━",
    throttled="\N{MULTIPLICATION SIGN}",
    edge="│",
    corner="└",
    axis="─",
)
ASCII = Glyphs("#", line="=", throttled="x", edge="|", corner="+", axis="-")


def glyphs_for(encoding: str | None) -> Glyphs:
    """Return the glyphs that an output with this encoding can show."""
    try:
        "".join(astuple(UNICODE)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def terminal(recordings: Sequence[Recording], glyphs: Glyphs) -> str:
    """Return the charts as lines of at most 80 characters."""
    seconds = max(recording.seconds for recording in recordings)
    peak = max(max(recording.rates) for recording in recordings)
    legend = (
        f"{glyphs.steps[-1]} units consumed per second   "
        f"{glyphs.line * 2} provisioned   {glyphs.throttled} throttled"
    )
    charts = [_chart(recording, glyphs, seconds, peak) for recording in recordings]
    return "\n\n".join([*charts, legend])


def png(recordings: Sequence[Recording], path: Path) -> None:
    """Write the charts as a PNG; ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(recordings),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(9, 3.2 * len(recordings)),
        layout="constrained",
    )
    top = max(max(*recording.rates, recording.provisioned) for recording in recordings)
    for axis, recording in zip(axes[:, 0], recordings, strict=True):
        _draw(axis, recording, top)
    axes[-1, 0].set_xlabel("seconds since the crawl began")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw(axis: Axes, recording: Recording, top: float) -> None:
    width = recording.bucket_seconds
    edges = [number * width for number in range(len(recording.rates) + 1)]
    marks = [
        edge + width / 2
        for edge, refused in zip(edges, recording.throttled, strict=False)
        if refused
    ]
    axis.stairs(recording.rates, edges, fill=True, color=BLUE, label="consumed")
    axis.axhline(recording.provisioned, color=RED, ls="--", label="provisioned")
    axis.plot(
        marks,
        [top * 1.08] * len(marks),
        ls="none",
        marker="x",
        color=BLACK,
        label=f"throttled ({sum(recording.throttled):,} reads)",
    )
    axis.set_title(recording.title, loc="left")
    axis.set_ylabel("read units per second")
    axis.set_ylim(0, top * 1.35)
    axis.legend(loc="upper right", ncols=3, frameon=False)


def _chart(recording: Recording, glyphs: Glyphs, seconds: float, peak: float) -> str:
    # The provisioned line lies on the border between two rows, so that a bar that
    # ends at it is seen to end at it.
    below = max(1, math.floor(ROWS * recording.provisioned / max(peak, 1e-9)))
    below = min(below, ROWS - 2)
    step = recording.provisioned / below
    columns = [_mean(recording, seconds, column) for column in range(COLUMNS)]
    lines = [recording.title, _throttle_line(recording, glyphs, seconds)]
    for row in reversed(range(ROWS)):
        empty = glyphs.line if row == below else " "
        cells = "".join(_cell(rate / step - row, glyphs, empty) for rate in columns)
        label = f"{recording.provisioned:g}" if row == below else ""
        lines.append(f"{label:>{MARGIN - 1}} {glyphs.edge}{cells}".rstrip())
    lines.append(f"{'0':>{MARGIN - 1}} {glyphs.corner}{_time_axis(glyphs, seconds)}")
    return "\n".join(lines)


def _cell(level: float, glyphs: Glyphs, empty: str) -> str:
    """Return one cell; `level` is how much of it the bar fills, 1 or more is all."""
    step = math.floor(min(level, 1) * len(glyphs.steps))
    return glyphs.steps[step - 1] if step > 0 else empty


def _buckets(recording: Recording, seconds: float, column: int) -> slice:
    """Return which buckets of time a column shows: at least one."""
    width = seconds / COLUMNS / recording.bucket_seconds
    first = math.floor(column * width)
    return slice(first, max(first + 1, math.floor((column + 1) * width)))


def _mean(recording: Recording, seconds: float, column: int) -> float:
    rates = recording.rates[_buckets(recording, seconds, column)]
    return sum(rates) / len(rates) if rates else 0.0


def _throttle_line(recording: Recording, glyphs: Glyphs, seconds: float) -> str:
    marks = "".join(
        glyphs.throttled
        if any(recording.throttled[_buckets(recording, seconds, column)])
        else " "
        for column in range(COLUMNS)
    )
    return f"{'':>{MARGIN}} {marks}".rstrip()


def _time_axis(glyphs: Glyphs, seconds: float) -> str:
    end = f" {seconds:.0f} s"
    return glyphs.axis * (COLUMNS - len(end)) + end
