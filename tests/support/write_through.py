"""A cache without write-through, for tests of evictions and hold-offs alone."""

from botocache import Cache


def without_write_through(cache: Cache) -> Cache:
    """Have a cache fill no entry from a write; return the cache."""
    cache._writes._prepare_write_through = lambda *_: None  # type: ignore[method-assign]  # a seam
    return cache
