"""The live view of `botocache stats --watch`, drawn with Rich.

One thread draws, waits for a key, and reads the store again. The terminal gets back the
mode and the screen that it had, whatever ends the view.
"""

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from botocache._cli import formats
from botocache._cli.console import clean
from botocache._cli.followed_view import behind, state_of
from botocache._cli.rates_view import (
    LATENCIES,
    TOP,
    FollowedRates,
    Watch,
    gauges_of,
    rate_of,
    time_of,
    top_keys,
    top_tables,
)
from botocache._cli.sparkline import ASCII_BARS, BARS, sparkline
from botocache._cli.stats_view import key_of, place_of
from botocache._errors import StoreError
from botocache._observe.rates import Frame, name_of

_FIXED_LINES = 13
"""Of the view: its heading, the gauges, the heads of the tables."""

_NARROW = 60
"""Columns of a terminal below which the tables have no sparklines."""

_BAR, _QUIET_BAR = "green", "blue"

_HEADROOM = 1.4
"""The highest latency takes 5 of 7 steps."""


def run_live(
    watched: Watch, seconds: float, wait: Callable[[float], object] | None = None
) -> None:
    """Draw the view every some seconds, until q or Ctrl-C.

    wait: waits, and returns True to end; None waits for the keyboard.
    """
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    trouble = ""
    with (
        _ended_by_sigterm(),
        _keyboard() as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        # A test has no keyboard, and decides itself when the view ends.
        wait = wait or pressed
        while True:
            # Before the first wait: the view shows what is known at once.
            live.update(draw(watched, trouble, console), refresh=True)
            if wait(seconds):
                return
            try:
                watched.look()
            except StoreError as error:
                trouble = f"{error}; trying again"
            else:
                trouble = ""


def draw(watched: Watch, trouble: str, console: Console) -> RenderableType:
    """Return the view, as wide and as high as the terminal.

    trouble: why the last reading failed; "" if it has not.
    """
    frames = watched.frames
    width, height = console.size
    bars = BARS if console.encoding.startswith("utf") else ASCII_BARS
    # Rich cuts off what is higher than the terminal, without a word.
    followed = watched.followed[:TOP]
    fixed = _FIXED_LINES + (len(followed) + 2 if followed else 0)
    rows = max(1, (height - fixed) // 2)
    parts: list[RenderableType] = [
        _line(place_of(watched.view), "bold"),
        _line(trouble, "bold red")
        if trouble
        else _line(f"{time_of(watched)}; q ends", "dim"),
        Text(),
        _gauges(frames, width, bars),
        Text(),
        _tables(frames, rows, width, bars),
        Text(),
        _keys(watched, rows, width, bars),
    ]
    if followed:
        parts += [Text(), _followed(followed, width)]
    return Group(*parts)


def _line(text: str, style: str) -> Text:
    return Text(clean(text), style, no_wrap=True, overflow="ellipsis")


def _gauges(frames: Sequence[Frame], width: int, bars: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", width=13, no_wrap=True)
    grid.add_column(width=24, no_wrap=True)
    grid.add_column(no_wrap=True)
    for name, value, drawn in gauges_of(frames[-1]):
        values = [drawn(frame) if frame.is_known else None for frame in frames]
        # A hit ratio of 40 % that never changes must not look like a full bar.
        top = 1.0 if name == "hit ratio" else 0.0
        if name in LATENCIES:  # a steady duration is no full bar
            top = _HEADROOM * max((each for each in values if each), default=0.0)
        line = sparkline(values, width - 13 - 24 - 4, top=top, bars=bars)
        style = _QUIET_BAR if name in LATENCIES else _BAR
        grid.add_row(name, value, Text(line, style))
    return grid


def _columns(*heads: str, width: int) -> tuple[Table, int]:
    """Return an empty table, and the width of its sparklines; 0 for none.

    heads: of a column of words, and of numbers.
    """
    words, *numbers = heads
    bars = max(0, (width - 10) // 4) if width >= _NARROW else 0
    rest = width - sum(max(9, len(name)) + 2 for name in numbers) - bars - 2
    table = Table.grid(padding=(0, 2))
    table.add_column(width=max(8, rest), no_wrap=True, overflow="ellipsis")
    for name in numbers:
        size = max(9, len(name))
        table.add_column(justify="right", width=size, no_wrap=True)
    if bars:
        table.add_column(style=_BAR, width=bars, no_wrap=True)
    head = [Text(name, "cyan bold" if name == words else "dim") for name in heads]
    table.add_row(*head, *([""] if bars else []))
    return table, bars


def _tables(
    frames: Sequence[Frame], rows: int, width: int, bars: str
) -> RenderableType:
    table, drawn = _columns("tables", "hit ratio", "saved/s", "consumed/s", width=width)
    for name, rates in top_tables(frames[-1])[:rows]:
        values = [
            frame.tables[name].saved if name in frame.tables else None
            for frame in frames
        ]
        table.add_row(
            Text(clean(name)),
            formats.share(rates.hit_ratio),
            formats.rate(rates.saved),
            formats.rate(rates.consumed),
            *([sparkline(values, drawn, bars=bars)] if drawn else []),
        )
    return table


def _keys(watched: Watch, rows: int, width: int, bars: str) -> RenderableType:
    table, drawn = _columns("keys", "saved", "reads/s", width=width)
    shows_keys = watched.view.shows_keys
    for key, hits in top_keys(watched)[:rows]:
        values = [frame.keys.get(name_of(key)) for frame in watched.frames]
        table.add_row(
            Text(clean(f"{key.table} {key_of(key, shows_keys=shows_keys)}")),
            formats.count(key.hits),
            formats.rate(hits),
            *([sparkline(values, drawn, bars=bars)] if drawn else []),
        )
    return table


def _followed(followed: Sequence[FollowedRates], width: int) -> RenderableType:
    # Without sparklines: a lag that does not change says all there is to say.
    heads = ["followed tables", "state", "behind"]
    # In a narrow terminal the state matters more than the rates.
    if width >= _NARROW:
        heads += ["records/s", "evicted/s"]
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name in heads[1:]:
        table.add_column(justify="left" if name == "state" else "right", no_wrap=True)
    styles = ["cyan bold", *["dim"] * len(heads)]
    table.add_row(*(Text(*each) for each in zip(heads, styles, strict=False)))
    for each in followed:
        now, rates = each.now, [rate_of(each.records), rate_of(each.evicted)]
        table.add_row(
            Text(clean(now.table)),
            state_of(now),
            behind(now),
            *rates[: len(heads) - 3],
        )
    return table


# --- the keyboard ------------------------------------------------------------------


@contextlib.contextmanager
def _keyboard() -> Iterator[Callable[[float], object]]:
    """Read keys at once, and not by lines; put the terminal back in the end.

    Yields a function that waits for some seconds, and returns whether q was pressed.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        yield time.sleep
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        # Not raw: Ctrl-C must stay a signal.
        tty.setcbreak(number)
        yield lambda seconds: _wait_for_q(number, seconds)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the view as Ctrl-C does, so that the terminal is put back."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_SHORT_WAIT = 0.25


def _wait_for_q(number: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        # In short waits: Python handles a signal that comes just before one after it.
        ready, _, _ = select.select([number], [], [], min(left, _SHORT_WAIT))
        if ready:
            # Past the buffer of `sys.stdin`, of which `select` knows nothing.
            pressed = os.read(number, 100)
            if not pressed or b"q" in pressed.lower():
                return True  # nothing was read: the terminal is gone
    return False
