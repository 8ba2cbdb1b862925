"""A histogram -> durations that fall into the same buckets. Pure."""

from collections.abc import Iterator

from botocache._counting.stats import LATENCY_BOUNDS, Histogram

MOST = 1000
"""Durations that one histogram is replayed by at a time: each takes some 3 µs."""


def replayed(histogram: Histogram, most: int = MOST) -> Iterator[float]:
    """Yield a duration for each one that a histogram counts, in its bucket.

    They add up to `histogram.seconds`, as far as the buckets allow that. Of a histogram
    with more than `most`, a sample in proportion; each bucket that has some is in it.
    """
    counts = histogram.counts
    lows = (0.0, *LATENCY_BOUNDS)
    highs = (*LATENCY_BOUNDS, _highest_of(histogram))
    least = sum(n * low for n, low in zip(counts, lows, strict=True))
    width = sum(
        n * (high - low) for n, low, high in zip(counts, lows, highs, strict=True)
    )
    # Bounds are in their buckets, and below them the next ones begin.
    share = min(1.0, max(0.01, (histogram.seconds - least) / width)) if width else 1.0
    total = histogram.count
    for n, low, high in zip(counts, lows, highs, strict=True):
        # Rounded up: a bucket with few calls must not disappear.
        times = n if total <= most else -(-n * most // total)
        for _ in range(times):
            yield low + share * (high - low)


def _highest_of(histogram: Histogram) -> float:
    """Return an upper bound for the last bucket, which has none."""
    over = histogram.counts[-1]
    last = LATENCY_BOUNDS[-1]
    if not over:
        return last
    rest = sum(
        n * bound for n, bound in zip(histogram.counts, LATENCY_BOUNDS, strict=False)
    )
    # What is left of the sum, if all others took as long as their bucket allows.
    return max(2 * last, (histogram.seconds - rest) / over)
