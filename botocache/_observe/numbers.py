"""Numbers as people read them: thousands, units, shares, durations, money. Pure.

For reports, advice, the doctor and the command line, so that one figure looks the same
in all of them. A narrow space keeps a number and its unit together on a page.
"""

from math import floor, isfinite, log10

_NARROW = "\N{NARROW NO-BREAK SPACE}"
UNKNOWN = "\N{EN DASH}"
"""What stands for a figure that is not known."""


def count(number: float) -> str:
    """Return a whole number with its thousands: 12,345."""
    return f"{round(number):,}" if isfinite(number) else UNKNOWN


_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k"))


def short(number: float) -> str:
    """Return a number with three figures: 12.3k, 4.56M. Below 10,000 it is whole."""
    if not isfinite(number):
        return UNKNOWN
    for least, letter in _SCALES:
        if abs(number) >= 0.99995 * least:
            scale = 1e3 if letter == "k" else least
            return f"{_figures(number / scale)}{letter}"
    return f"{number:,.0f}"


def units(number: float) -> str:
    """Return read units: whole if many, with a half if few."""
    if not isfinite(number):
        return UNKNOWN
    if abs(number) < 10 and number != round(number):
        return f"{number:.2f}".rstrip("0").rstrip(".") if number >= 0.005 else "< 0.01"
    return short(number)


def exact(number: float) -> str:
    """Return an exact number, for a title or a table."""
    if not isfinite(number):
        return UNKNOWN
    return f"{number:,.2f}".rstrip("0").rstrip(".")


def percent(part: float, whole: float) -> str:
    """Return a share: 61.3 %. It is 0 % or 100 % only if it is that exactly."""
    if not whole or not isfinite(part) or not isfinite(whole):
        return UNKNOWN
    share = part / whole * 100.0
    if 0 < share < 0.1:
        return f"<{_NARROW}0.1{_NARROW}%"
    if 99.9 < share < 100:
        return f">{_NARROW}99.9{_NARROW}%"
    text = f"{share:.1f}".removesuffix(".0")
    return f"{text}{_NARROW}%"


_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def latency(seconds: float) -> str:
    """Return how long a call took: 4.2 µs, 12 ms."""
    if seconds == float("inf"):
        return f">{_NARROW}10{_NARROW}s"
    for scale, unit in _TIMES:
        if seconds >= 0.9995 * scale:
            return f"{_figures(seconds / scale)}{_NARROW}{unit}"
    return UNKNOWN if seconds <= 0 else f"{_figures(seconds * 1e9)}{_NARROW}ns"


_SPANS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"))


_NEARLY = 0.01


def duration(seconds: float) -> str:
    """Return a time in words: 3 days, 90 seconds, 4.2 ms."""
    if not isfinite(seconds):
        return UNKNOWN
    for length, name in _SPANS:
        # Up to two of a kind, the next smaller one says more: 90 minutes.
        number = seconds / length
        if number >= 2 or abs(number - 1) < _NEARLY:
            text = (
                f"{number:.1f}".removesuffix(".0") if number < 10 else f"{number:.0f}"
            )
            return f"{text} {name}{'' if text == '1' else 's'}"
    if seconds >= 1 or seconds == 0:
        text = f"{seconds:.1f}".removesuffix(".0") if seconds < 10 else f"{seconds:.0f}"
        return f"{text} second{'' if text == '1' else 's'}"
    return latency(seconds)


_SIZES = ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def size(number: float) -> str:
    """Return bytes: 1.5 GiB."""
    for scale, unit in _SIZES:
        if number >= scale:
            return f"{_figures(number / scale)}{_NARROW}{unit}"
    return f"{number:.0f} bytes"


def amount(number: float, currency: str) -> str:
    """Return money: $1,234 or 1,234 EUR; with cents if it is little."""
    if not isfinite(number):
        return UNKNOWN
    sign = "\N{MINUS SIGN}" if number < -0.005 else ""
    value = abs(number)
    if 0 < value < 0.01:
        digits = "< 0.01"
    elif value < 1000:
        digits = f"{value:,.2f}"
    else:
        digits = f"{value:,.0f}"
    if currency == "USD":
        return f"{sign}<{_NARROW}$0.01" if "<" in digits else f"{sign}${digits}"
    return f"{sign}{digits}{_NARROW}{currency}"


def plain(text: str) -> str:
    """Return a text for terminals: their fonts may lack the narrow space."""
    return text.replace(_NARROW, " ")


def _figures(number: float) -> str:
    """Return a number with three figures: 1.23, 12.3, 123."""
    if number == 0:
        return "0"
    places = max(0, 2 - floor(log10(abs(number))))
    text = f"{number:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
