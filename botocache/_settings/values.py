"""Parsers of values, from any source to one form. Pure.

A parser takes text from the environment, or an object from TOML or Python. It raises a
ValueError with the expected and the given value; its caller adds the source. This file
has no name of a setting or of an option.
"""

from collections.abc import Callable

from botocache._errors import suggestion
from botocache.stores.urls import shown

_LONGEST_TTL = 30 * 24 * 3600.0
"""Seconds. A greater number is taken for a mistake in units."""


def seconds(least: float, most: float) -> Callable[[object], float]:
    """Return a parser of a number of seconds from `least` to `most`."""
    expected = f"expected a number of seconds from {least:g} to {most:.0f}"

    def parse(value: object) -> float:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                pass
            else:
                if least <= number <= most:  # false for NaN
                    return number
        raise ValueError(f"{expected}, not {shown(value)}")

    return parse


ttl = seconds(0.001, _LONGEST_TTL)
negative_ttl = ttl_unfollowed = stale_if_throttled = seconds(0.0, _LONGEST_TTL)

_SWITCHES = {
    **dict.fromkeys(("on", "true", "1"), True),
    **dict.fromkeys(("off", "false", "0"), False),
}


def switch(value: object) -> bool:
    """Return True for `on` and False for `off`, in any spelling. Raises ValueError."""
    is_on = None
    if isinstance(value, (bool, int, str)):
        is_on = _SWITCHES.get(str(value).lower())
    if is_on is None:
        raise ValueError(f"expected 'on' or 'off', not {shown(value)}")
    return is_on


def choice(*names: str) -> Callable[[object], str]:
    """Return a parser of one of several words, in any case."""

    def parse(value: object) -> str:
        if isinstance(value, str) and value.lower() in names:
            return value.lower()
        listed = " or ".join(map(repr, names))
        raise ValueError(
            f"expected {listed}, not {shown(value)}{suggestion(value, names)}"
        )

    return parse


def share(value: object) -> float:
    """Return a share from 0 to 1. Raises ValueError."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            pass
        else:
            if 0.0 <= number <= 1.0:  # false for NaN
                return number
    raise ValueError(
        f"expected a share from 0 to 1, as 0.01 for one in 100, not {shown(value)}"
    )


def words(*names: str) -> Callable[[object], tuple[str, ...]]:
    """Return a parser of some of several words: `"a,b"`, or a list of them."""

    def parse(value: object) -> tuple[str, ...]:
        listed = ", ".join(map(repr, names))
        expected = f"expected some of {listed}, with commas in between"
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            raise ValueError(f"{expected}, not {shown(value)}")  # noqa: TRY004 - as all parsers
        found = []
        for part in parts:
            word = part.strip().lower() if isinstance(part, str) else part
            if word not in names:
                hint = suggestion(part, names)
                raise ValueError(f"{expected}, not {shown(part)}{hint}")
            found.append(word)
        return tuple(dict.fromkeys(found))

    return parse
