"""Mode: how a read uses the cache. Pure.

A file of its own, because `bypass()` must work where botocache's dependencies cannot be
imported and the application runs uncached.
"""

from enum import Enum


class Mode(Enum):
    """How reads use the cache; see modes.py."""

    NORMAL = "normal"
    BYPASS = "bypass"
    REFRESH = "refresh"
