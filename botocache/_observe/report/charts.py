"""The charts of a report, as SVG that is as wide as its place. Pure but for the dates.

Text keeps its size at any width, because only the shapes are stretched: these are in an
inner SVG of one unit for each step, and the labels are outside of it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from math import ceil, floor, log10
from typing import Final

from botocache._counting.stats import Histogram, TableStats
from botocache._observe.numbers import count, latency, percent, units
from botocache._observe.report.figures import Step
from botocache._observe.report.markup import Content, Html, element, join, raw

_TOP: Final = 18
_PLOT: Final = 230
_STRIP: Final = 44
"""Heights in pixels: above the curves, of them, and of the refused requests below."""


def moment(seconds: float, form: str) -> str:
    """Return a time in UTC. form: as strftime takes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(form)


# --- read units over time ----------------------------------------------------------


def capacity_chart(steps: Sequence[Step], labels: tuple[str, str, str]) -> Html:
    """Return the two curves: what was consumed, and what would be without the cache.

    steps: without gaps.
    labels: of the upper curve, of the lower one, and of the space between.
    """
    consumed = [step.consumed / step.seconds for step in steps]
    together = [
        (step.consumed + step.saved) / step.seconds for step in steps
    ]  # read units a second
    ticks = _ticks(max(together))
    top = ticks[-1]
    most = max(step.throttled for step in steps)
    height = _TOP + _PLOT + 8 + (_STRIP + 22 if most else 0) + 22
    shapes = [
        _shape(consumed, [0.0] * len(steps), top, "used-area"),
        _shape(together, consumed, top, "saved-area"),
        _curve(together, top, "saved-line"),
        _curve(consumed, top, "used-line"),
    ]
    refused: Content = None
    if most:
        y = _TOP + _PLOT + 30
        refused = [
            _label(
                "0", y - 6, "start", f"refused requests, up to {count(most)} a step"
            ),
            _stretched(
                len(steps),
                y,
                _STRIP,
                [
                    _box(at, step.throttled / most, min(0.8, 0.02 * len(steps)))
                    for at, step in enumerate(steps)
                    if step.throttled
                ],
            ),
            _rule(y + _STRIP, "base"),
        ]
    title = f"{labels[0]} and {labels[1]}, in read units a second"
    return element(
        "svg",
        {
            "role": "img",
            "width": "100%",
            "height": height,
            "aria-label": f"{title}. {_description(steps, together, consumed)}",
        },
        _stretched(len(steps), _TOP, _PLOT, shapes),
        [
            [
                _rule(_y(tick, top), "grid" if tick else "base"),
                _label("0", _y(tick, top) - 5, "start", units(tick), "halo"),
            ]
            for tick in ticks
        ],
        refused,
        _times(steps, height - 4),
        _stretched(
            len(steps),
            0,
            height - 22,
            [_touch(at, step) for at, step in enumerate(steps)],
        ),
    )


def _touch(at: int, step: Step) -> Html:
    """Return what shows a step's exact figures under a pointer."""
    # A title shows without a script, also where the policy forbids all scripts.
    box = {"class": "touch", "x": at, "y": 0, "width": 1, "height": 1}
    return element(
        "g", None, element("title", None, _title(step)), element("rect", box)
    )


def _title(step: Step) -> str:
    return (
        f"{moment(step.began, '%d %b %Y, %H:%M')} UTC: {units(step.consumed)} read "
        f"units consumed, {units(step.saved)} saved, {count(step.throttled)} refused"
    )


def _description(
    steps: Sequence[Step], together: Sequence[float], consumed: Sequence[float]
) -> str:
    """Return in words what the curves show."""
    saved = sum(step.saved for step in steps)
    whole = saved + sum(step.consumed for step in steps)
    return (
        f"At most {units(max(together))} without the cache, and {units(max(consumed))} "
        f"with it. In all, {percent(saved, whole)} saved. "
        f"{count(sum(step.throttled for step in steps))} requests refused."
    )


def _shape(
    upper: Sequence[float], lower: Sequence[float], top: float, name: str
) -> Html:
    forth = "".join(_stairs(upper, top))
    back = "".join(
        f"L{at + 1} {_up(value, top)}L{at} {_up(value, top)}"
        for at, value in reversed([*enumerate(lower)])
    )
    return element("path", {"class": name, "d": raw(f"M0 1{forth}{back}Z")})


def _curve(values: Sequence[float], top: float, name: str) -> Html:
    # The first step begins with `L`; a path has to begin with `M`.
    steps = "".join(_stairs(values, top))
    return element("path", {"class": name, "d": raw(f"M{steps[1:]}")})


def _stairs(values: Sequence[float], top: float) -> Iterable[str]:
    """Yield the path of steps. They do not claim what was between two of them."""
    # No curve through the middles: a gap in time would look like a slope.
    for at, value in enumerate(values):
        yield f"L{at} {_up(value, top)}L{at + 1} {_up(value, top)}"


def _up(value: float, top: float) -> str:
    return f"{1 - value / top:.4g}"


def _y(value: float, top: float) -> float:
    return round(_TOP + _PLOT * (1 - value / top), 1)


def _stretched(width: int, y: float, height: int, shapes: Content) -> Html:
    """Return shapes in units of a step and of the height, stretched to their place."""
    return element(
        "svg",
        {
            "x": 0,
            "y": y,
            "width": "100%",
            "height": height,
            "viewBox": f"0 0 {width} 1",
            "preserveAspectRatio": "none",
        },
        shapes,
    )


def _box(at: int, share: float, width: float) -> Html:
    """Return a bar of refused requests, in the middle of its step."""
    least = max(share, 0.06)  # one of many must be seen as well
    return element(
        "rect",
        {
            "class": "bad-bar",
            "x": f"{at + 0.5 - width / 2:g}",
            "y": f"{1 - least:.4g}",
            "width": f"{width:g}",
            "height": f"{least:.4g}",
        },
    )


def _rule(y: float, name: str) -> Html:
    return element("line", {"class": name, "x1": 0, "x2": "100%", "y1": y, "y2": y})


def _label(x: str, y: float, anchor: str, text: str, name: str | None = None) -> Html:
    return element("text", {"class": name, "x": x, "y": y, "text-anchor": anchor}, text)


def _ticks(most: float) -> list[float]:
    """Return round values from 0 up to at least the greatest one, three to five."""
    if most <= 0:
        return [0.0, 1.0]
    # Three to five lines, whatever the greatest value is.
    rough = most / 3.5
    power = 10.0 ** floor(log10(rough))
    step = next(
        (each * power for each in (1, 2, 2.5, 5) if each * power >= rough), 10 * power
    )
    return [step * number for number in range(ceil(most / step - 1e-9) + 1)]


_MANY_DAYS: Final = 3 * 86400.0
_TWO_MINUTES: Final = 120.0


def _times(steps: Sequence[Step], y: float) -> Html:
    """Return the times below a chart: of its ends, and between them if it is wide."""
    began, last = steps[0].began, steps[-1]
    whole = last.began + last.seconds - began
    # The day is said once, at the left, where the time of day matters more.
    form = "%d %b" if whole > _MANY_DAYS else "%H:%M"
    first = "%d %b" if whole > _MANY_DAYS else "%d %b, %H:%M"
    if whole < _TWO_MINUTES:
        form, first = "%H:%M:%S", "%d %b, %H:%M:%S"
    places: list[tuple[str, str, float, str | None]] = [
        ("0", "start", 0.0, None),
        ("100%", "end", 1.0, None),
    ]
    if len(steps) >= 8:
        places += [
            ("50%", "middle", 0.5, None),
            ("25%", "middle", 0.25, "wide"),
            ("75%", "middle", 0.75, "wide"),
        ]
    return join(
        _label(
            x, y, anchor, moment(began + share * whole, form if share else first), name
        )
        for x, anchor, share, name in places
    )


# --- latency -----------------------------------------------------------------------

_ROW: Final = 46


def latency_chart(rows: Sequence[tuple[str, str, Histogram]]) -> Html:
    """Return how long calls took, on a scale of powers of ten.

    rows: name, class and histogram of each kind of call; none of them is empty.
    """
    bottom = _ROW * len(rows) + 6
    scale = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    summary = "; ".join(
        f"{name}: half within {latency(each.quantile(0.5))}, 99 % within "
        f"{latency(each.quantile(0.99))}"
        for name, _, each in rows
    )
    return element(
        "svg",
        {
            "role": "img",
            "width": "100%",
            "height": bottom + 24,
            "aria-label": f"How long calls took. {summary}",
        },
        [
            [
                element(
                    "line",
                    {
                        "class": "grid",
                        "x1": _x(tick),
                        "x2": _x(tick),
                        "y1": 0,
                        "y2": bottom,
                    },
                ),
                _label(
                    _x(tick),
                    bottom + 18,
                    "start"
                    if tick == scale[0]
                    else "end"
                    if tick == scale[-1]
                    else "middle",
                    latency(tick),
                    None if at % 3 == 0 or tick == scale[-1] else "wide",
                ),
            ]
            for at, tick in enumerate(scale)
        ],
        [
            _latency_row(_ROW * at, name, kind, each)
            for at, (name, kind, each) in enumerate(rows)
        ],
    )


def _latency_row(y: int, name: str, kind: str, each: Histogram) -> Html:
    # Bounds of buckets: to interpolate would show digits that were not measured.
    median, most = each.quantile(0.5), each.quantile(0.99)
    middle = y + 32
    summary = (
        f"{name}: half within {latency(median)}, 99 % within {latency(most)}, "
        f"{count(each.count)} calls"
    )
    return element(
        "g",
        None,
        element("title", None, summary),
        element("text", {"class": "name halo", "x": 0, "y": y + 17}, name),
        element(
            "line",
            {
                "class": f"range {kind}-s",
                "x1": _x(median),
                "x2": _x(most),
                "y1": middle,
                "y2": middle,
            },
        ),
        element(
            "circle", {"class": f"dot {kind}-f", "cx": _x(median), "cy": middle, "r": 8}
        ),
    )


def _x(seconds: float) -> str:
    """Return the place of a time: from 1 µs to 10 s, by powers of ten."""
    inside = min(max(seconds, 1e-6), 10.0)
    # Ends are kept off the edge, where a dot would be cut.
    return f"{1 + 98 * (log10(inside) + 6) / 7:.2f}%"


# --- bars in tables ----------------------------------------------------------------


def ratio_bar(row: TableStats) -> Html:
    """Return a bar of near hits, store hits and misses. The text is beside it."""
    looked_up = row.looked_up
    near = 100 * row.near_hits / looked_up if looked_up else 0.0
    store = 100 * row.store_hits / looked_up if looked_up else 0.0
    return _bar([("near-f", near), ("store-f", store)])


def share_bar(share: float, kind: str) -> Html:
    """Return a bar of one share. kind: its class."""
    return _bar([(kind, 100 * share)])


def _bar(parts: Iterable[tuple[str, float]]) -> Html:
    # The rest lies below the parts, so that the bar has round ends without any.
    boxes = [element("rect", {"class": "rest", "width": "100%", "height": 8, "rx": 3})]
    at = 0.0
    for kind, width in parts:
        boxes.append(
            element(
                "rect",
                {
                    "class": kind,
                    "x": f"{at:.2f}%",
                    "width": f"{width:.2f}%",
                    "height": 8,
                    "rx": 3 if width else 0,
                },
            )
        )
        at += width
    return element(
        "svg",
        {"class": "bar", "width": "100%", "height": 8, "aria-hidden": "true"},
        boxes,
    )


def sample_line(kind: str) -> Html:
    """Return a piece of a curve, for the list of what each curve is."""
    return element(
        "svg",
        {"width": 28, "height": 12, "aria-hidden": "true"},
        element("line", {"class": kind, "x1": 0, "x2": 28, "y1": 6, "y2": 6}),
    )


def sample_box(kind: str) -> Html:
    """Return a piece of an area, for the same list."""
    return element(
        "svg",
        {"width": 16, "height": 12, "aria-hidden": "true"},
        element("rect", {"class": kind, "width": 16, "height": 12, "rx": 3}),
    )
