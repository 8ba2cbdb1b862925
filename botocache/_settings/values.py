"""Values of settings: what a source has -> the one form that it means. Pure.

A parser takes text, as the environment has it, or what TOML and Python make of it, and
raises ValueError that says what was expected and what was there. Where it was is for
the caller to say. Names of settings and options are not known here.
"""

import re
from collections.abc import Callable
from typing import Any

from botocache._errors import suggestion

LONGEST = 30 * 24 * 3600.0
"""Seconds: more than this is taken for a mistake in units."""


def _expected_seconds(least: float, most: float = LONGEST) -> str:
    return f"expected a number of seconds from {least:g} to {most:.0f}"


def seconds(least: float, most: float = LONGEST) -> Callable[[Any], float]:
    """Return the parser of a number of seconds, from `least` to `most`."""

    def parse(value: Any) -> float:
        expected = _expected_seconds(least, most)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{expected}, not {value!r}") from None
        if isinstance(value, bool) or not least <= number <= most:
            raise ValueError(f"{expected}, not {value!r}")
        return number

    return parse


_LEAST_TTL = 0.001
EXPECTED_TTL = _expected_seconds(_LEAST_TTL)

ttl = seconds(least=_LEAST_TTL)
negative_ttl = seconds(least=0.0)

_SIZE = re.compile(r"([0-9]+)\s*(|K|M|G)(?:i?B)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def size(least: int, expected: str) -> Callable[[Any], int]:
    """Return the parser of a number of bytes, which may have a unit."""

    def parse(value: Any) -> int:
        match = _SIZE.fullmatch(str(value).strip())
        if match is None or isinstance(value, bool):
            raise ValueError(f"{expected}, not {value!r}")
        number = int(match[1]) * _UNITS[match[2].upper()]
        if number < least:
            raise ValueError(f"{expected}, not {value!r}")
        return number

    return parse


_SWITCHES = {
    **dict.fromkeys(("on", "true", "1"), True),
    **dict.fromkeys(("off", "false", "0"), False),
}


def switch(value: Any) -> bool:
    """Return whether a value says on or off. Raises ValueError."""
    position = None
    if isinstance(value, (bool, int, str)):
        position = _SWITCHES.get(str(value).lower())
    if position is None:
        raise ValueError(f"expected 'on' or 'off', not {value!r}")
    return position


def choice(*names: str) -> Callable[[Any], str]:
    """Return the parser of one of several words, in whatever case."""

    def parse(value: Any) -> str:
        if isinstance(value, str) and value.lower() in names:
            return value.lower()
        listed = " or ".join(map(repr, names))
        raise ValueError(f"expected {listed}, not {value!r}{suggestion(value, names)}")

    return parse
