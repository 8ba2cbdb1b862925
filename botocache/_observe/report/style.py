"""The style of a report: light and dark, wide and narrow, on a screen and on paper.

Colours have a contrast of 4.5 to 1 for text and 3 to 1 for shapes, in both schemes; a
test computes it from the variables. No colour is the only sign of anything.
"""

from pkgutil import get_data
from typing import Final

LIGHT: Final = {
    "page": "#f6f7f5",
    "surface": "#ffffff",
    "line": "#dde1dc",
    "ink": "#18211f",
    "muted": "#55605d",
    "saved": "#0b6e5f",
    "saved-soft": "#cfe9e2",
    "used": "#9a4a0c",
    "used-soft": "#f3dcc6",
    "near": "#0b6e5f",
    "store": "#3d6fb4",
    "rest": "#e4e7e3",
    "bad": "#b3261e",
    "bad-soft": "#fbe6e3",
    "note": "#3b5a9a",
    "note-soft": "#e7edf8",
}

DARK: Final = {
    "page": "#0f1513",
    "surface": "#171f1c",
    "line": "#2c3733",
    "ink": "#e8eeeb",
    "muted": "#a0aeaa",
    "saved": "#4fc9b0",
    "saved-soft": "#1d463d",
    "used": "#eda25c",
    "used-soft": "#4b3218",
    "near": "#4fc9b0",
    "store": "#86aef0",
    "rest": "#2a3531",
    "bad": "#ff8f85",
    "bad-soft": "#421c19",
    "note": "#9dbbf2",
    "note-soft": "#1c2940",
}


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


# As the scripts of the Redis store are read: a package may be in an archive.
_RULES = (get_data(__name__, "report.css") or b"").decode()

STYLE: Final = (
    f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
    "@media screen and (prefers-color-scheme:dark){:root{"
    f"{_variables(DARK)}}}}}{_RULES}"
)
