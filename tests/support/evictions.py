"""Helpers for evictions in tests."""

from botocache._coherence import Eviction


def left_by(eviction: Eviction) -> dict[bytes, int]:
    """Return the generation that an eviction left of each of its tags."""
    return {tag: done.generation for tag, done in eviction.evicted.items()}
