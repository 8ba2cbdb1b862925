"""Numbers as people read them: `12,345`, `84.2 %`, `5 µs`, `1.2 MiB`. Pure."""

from botocache._observe import numbers
from botocache._observe.numbers import latency, plain


def count(number: float) -> str:
    """Return a number with its thousands apart; small fractions keep one digit."""
    if number != int(number) and abs(number) < 1000:  # noqa: PLR2004 - three digits say enough
        return f"{number:,.1f}"
    return f"{number:,.0f}"


def rate(number: float) -> str:
    """Return a number per second."""
    if 0 < number < 0.05:  # noqa: PLR2004 - it would be shown as zero
        return "<0.1"
    return "0" if not number else count(round(number, 1))


def share(ratio: float | None) -> str:
    """Return a ratio in per cent; "-" for None."""
    return "-" if ratio is None else f"{100 * ratio:.1f} %"


def part(some: float, whole: float) -> str:
    """Return how much some is of a whole; "-" of nothing."""
    return share(some / whole if whole else None)


def seconds(duration: float) -> str:
    """Return a duration with the unit that suits it."""
    return plain(latency(duration)) if duration else "0"


def ago(duration: float) -> str:
    """Return a longer duration, in whole units: `45 s`, `3 min`, `2 h`, `5 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if duration >= 2 * size:
            return f"{duration / size:.0f} {unit}"
    return f"{duration:.0f} s"


def size(octets: float) -> str:
    """Return a number of bytes: `1.2 MiB`, as `size_limit` is given."""
    return plain(numbers.size(octets))
