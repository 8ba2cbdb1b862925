"""What the caches of this process have counted: sums that never fall.

`Stats` may fall for a moment: a miss becomes a `held` one when its answer is refused,
and a hit a stale one when its difference lasts. An exported counter must not, because
Prometheus and OpenTelemetry take a fall for a restart. In a forked child the sums begin
at zero: the parent exports what was counted before the fork.
"""

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TypeAlias

from botocache._counting.stats import Histogram, Stats
from botocache._errors import pass_on
from botocache._forks import renew_after_fork
from botocache._observe.metrics import METRICS, Join, Kind, Labels, Metric, Value
from botocache.stores.boards import board_of
from botocache.stores.protocol import Usage

Totals: TypeAlias = dict[tuple[str, Labels], Value]
"""By the name of the metric and its labels."""

BY_NAME: Final = {metric.name: metric for metric in METRICS}

_USAGE_INTERVAL = 10.0
"""Seconds for which a store's usage is good: to read it may take a round trip."""

_NO_USAGE = Usage(None, None)


class Counted(Protocol):
    """A cache, as far as it is exported."""

    def stats(self) -> Stats:
        """Return the counts of this process."""


class _Source:
    """One cache. last: what was read of its counters the last time."""

    def __init__(self, cache: Counted, store: object) -> None:
        self.cache: Final = weakref.ref(cache)
        self.store: Final = weakref.ref(store)
        self.last: Totals = {}
        renew_after_fork(self, _Source._begin_anew)

    def _begin_anew(self) -> None:
        # The cache's counters, which were made before this, are renewed by now.
        cache = self.cache()
        self.last = {} if cache is None else dict(_counts_of(cache.stats()))


class Readings:
    """The sums of all caches of this process. Safe for threads and across a fork.

    clock: seconds, for the age of a store's usage.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._sources: list[_Source] = []
        self._usages: weakref.WeakKeyDictionary[object, tuple[float, Usage]] = (
            weakref.WeakKeyDictionary()
        )
        self._renew()
        renew_after_fork(self, Readings._renew)

    def add(self, cache: Counted, store: object) -> None:
        """Read this cache, too, as long as it lives. store: its own."""
        with self._lock:
            self._sources.append(_Source(cache, store))

    def read(self) -> Totals:
        """Return all counters and histograms, and the gauges of this moment."""
        with self._lock:
            gauges: Totals = {}
            stores: dict[int, object] = {}
            for source in list(self._sources):  # a copy: dead ones are removed
                cache, store = source.cache(), source.store()
                if cache is None:
                    self._sources.remove(source)
                    continue
                stats = cache.stats()
                for series, value in _counts_of(stats):
                    self._add(source, series, value)
                for metric, labels, value in _gauges_of(stats, _NO_USAGE):
                    _join(gauges, metric, labels, value)
                if store is not None:
                    # Caches of several tenants may share a store: it counts once.
                    stores[id(store)] = store
            for store in stores.values():
                for metric, labels, value in _gauges_of(None, self._usage_of(store)):
                    # Of different stores; see Join for those of different processes.
                    series = (metric.name, labels)
                    before = gauges.get(series, 0.0)
                    if not isinstance(before, Histogram):
                        gauges[series] = before + value
            return {**self._sums, **gauges}

    def _add(self, source: _Source, series: tuple[str, Labels], value: Value) -> None:
        before = source.last.get(series)
        growth = _growth(before, value)
        if growth is None:
            # Known all the same: exporters show a series from its first zero on.
            self._sums.setdefault(series, _zero_of(value))
            return
        source.last[series] = value
        total = self._sums.get(series)
        if isinstance(growth, Histogram):
            self._sums[series] = (
                growth + total if isinstance(total, Histogram) else growth
            )
        else:
            self._sums[series] = growth + (total if isinstance(total, float) else 0.0)

    def _usage_of(self, store: object) -> Usage:
        board = board_of(store)
        if board is None:
            return _NO_USAGE
        now = self._clock()
        read_at, usage = self._usages.get(store, (now - _USAGE_INTERVAL, _NO_USAGE))
        if now - read_at < _USAGE_INTERVAL:
            return usage
        try:
            usage = board.usage()
        except Exception as error:  # noqa: BLE001 - a store that fails is reported by calls
            pass_on(error)
            usage = _NO_USAGE
        self._usages[store] = (now, usage)
        return usage

    def _renew(self) -> None:
        self._lock = threading.RLock()  # a signal handler may read in here
        self._sums: Totals = {}


def _counts_of(stats: Stats) -> Iterator[tuple[tuple[str, Labels], Value]]:
    for metric in METRICS:
        if metric.kind is not Kind.GAUGE:
            for labels, value in metric.read(stats, _NO_USAGE):
                yield (metric.name, labels), value


_NO_STATS = Stats()


def _gauges_of(
    stats: Stats | None, usage: Usage
) -> Iterator[tuple[Metric, Labels, float]]:
    """Yield the gauges of a cache; with stats=None, those of a store."""
    for metric in METRICS:
        is_of_store = metric.join is Join.LATEST
        if metric.kind is Kind.GAUGE and is_of_store is (stats is None):
            for labels, value in metric.read(stats or _NO_STATS, usage):
                if not isinstance(value, Histogram):
                    yield metric, labels, value


def _join(gauges: Totals, metric: Metric, labels: Labels, value: float) -> None:
    series = (metric.name, labels)
    before = gauges.get(series)
    if isinstance(before, float):
        value = max(before, value) if metric.join is Join.GREATEST else before + value
    gauges[series] = value


def _zero_of(value: Value) -> Value:
    return Histogram() if isinstance(value, Histogram) else 0.0


def _growth(before: Value | None, now: Value) -> Value | None:
    """Return by how much a sum has grown; None if it has not."""
    if isinstance(now, Histogram):
        if not isinstance(before, Histogram):
            return now if now.count else None
        # A miss may become a hit that was held, so counts fall at times. A counter that
        # fell would look like a process that began anew.
        if now.count <= before.count:
            return None
        return now.since(before)
    # A reading that fell is made up for by the next ones; see `Readings`.
    growth = now - (before if isinstance(before, float) else 0.0)
    return growth if growth > 0 else None


class Growth:
    """What has grown since an exporter has taken it over the last time.

    Each exporter has its own. In a forked child it begins anew, as the sums do.
    """

    def __init__(self) -> None:
        self._begin_anew()
        renew_after_fork(self, Growth._begin_anew)

    def _begin_anew(self) -> None:
        self._done: Totals = {}

    def of(self, totals: Mapping[tuple[str, Labels], Value]) -> Totals:
        """Return the growth of counters and histograms, and all gauges.

        A counter that is new is in it with its zero.
        """
        grown: Totals = {}
        for series, value in totals.items():
            if BY_NAME[series[0]].kind is Kind.GAUGE:
                grown[series] = value
                continue
            growth = _growth(self._done.get(series), value)
            if growth is not None:
                grown[series] = growth
            elif series not in self._done and not isinstance(value, Histogram):
                grown[series] = 0.0
        return grown

    def take(self, totals: Mapping[tuple[str, Labels], Value]) -> None:
        """Note that these totals were exported."""
        self._done.update(totals)
