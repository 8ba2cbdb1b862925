"""Where a fill of an entry shows to what the near cache remembers of it. Pure."""

from typing import Final

PLACES: Final = 1 << 15
"""Places of entries among the fills of this process. With objects they take 768 KB."""


def place_of(key: bytes) -> int:
    """Return the place of an entry among the fills."""
    return int.from_bytes(key[-2:], "little") % PLACES  # of a digest: any two bytes
