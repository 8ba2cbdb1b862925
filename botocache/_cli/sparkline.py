"""The course of a figure as one line of bars. Pure."""

from collections.abc import Sequence
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"
ASCII_BARS: Final = "_.-:=+*#"


def sparkline(
    values: Sequence[float | None], width: int, *, top: float = 0.0, bars: str = BARS
) -> str:
    """Return the course of values as a line of bars, the newest at the right.

    values: None where there is none.
    width: characters; older values are left out.
    top: the least value of a full bar; the highest of the values is one, too.
    bars: from the lowest to the highest.
    """
    # `values[-0:]` would be all of them.
    shown = values[-width:] if width > 0 else ()
    highest = max([top, *(value for value in shown if value is not None)])
    line = "".join(
        " " if value is None else bars[_height(value, highest, len(bars))]
        for value in shown
    )
    return line.rjust(max(width, 0))


def _height(value: float, highest: float, bars: int) -> int:
    if highest <= 0:
        return 0
    return min(bars - 1, int(value / highest * (bars - 1) + 0.5))
