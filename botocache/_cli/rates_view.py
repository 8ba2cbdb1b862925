"""What `botocache stats --watch` shows, in the words of the console."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from botocache._cli import formats
from botocache._cli.commands import complain
from botocache._cli.console import Console
from botocache._cli.followed_view import behind, state_of
from botocache._cli.stats_view import View, key_of, place_of, processes_of, quantiles
from botocache._counting.stats import LATENCY_BOUNDS, Histogram, HotKey
from botocache._errors import StoreError
from botocache._observe.document import Json
from botocache._observe.rates import Frame, Rates, Trail, name_of
from botocache._streams.followed import FollowedTable

FRAMES = 120
"""Frames that the sparklines of a live view show at most."""

TOP = 5
"""Tables and keys that are shown in each interval."""


class FollowedRates(NamedTuple):
    """A followed table, and what its followers did between two looks.

    records: a second; None if they are not known.
    evicted: tags a second.
    """

    now: FollowedTable
    records: float | None
    evicted: float | None


def followed_rates(now: FollowedTable, before: FollowedTable | None) -> FollowedRates:
    """Return the rates of a followed table. before: as it was seen last."""
    seconds = 0.0 if before is None else now.read_at - before.read_at
    if before is None or seconds <= 0:
        return FollowedRates(now, None, None)
    # A ledger that was lost and begun anew counts from nothing.
    records = max(0, now.ledger.records - before.ledger.records)
    evicted = max(0, now.ledger.evicted - before.ledger.evicted)
    return FollowedRates(now, records / seconds, evicted / seconds)


def rate_of(number: float | None) -> str:
    """Return a rate; "-" if it is not known."""
    return "-" if number is None else formats.rate(number)


class Watch:
    """A view that is looked at again and again.

    Making it reads the store, and may raise StoreError. So does `look`.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._trail = Trail(FRAMES, view.interval, view.table)
        self._before: dict[str, FollowedTable] = {}
        self.seen = view.read()
        self.frame = self._trail.add(self.seen.overview)

    def look(self) -> None:
        """Read the store again."""
        # First: if this fails, the view shows what it had.
        seen = self.view.read()
        self._before = {each.table: each for each in self.seen.overview.followed}
        self.seen = seen
        self.frame = self._trail.add(seen.overview)

    @property
    def followed(self) -> list[FollowedRates]:
        """The followed tables, with their rates since the last look."""
        return [
            followed_rates(each, self._before.get(each.table))
            for each in self.view.followed(self.seen.overview)
        ]

    @property
    def frames(self) -> Sequence[Frame]:
        """The last frames, the newest last."""
        return self._trail.frames()


def watch_in_blocks(
    watched: Watch, console: Console, seconds: float, wait: Callable[[float], object]
) -> None:
    view = watched.view
    console.lines(place_of(view))
    while True:
        wait(seconds)
        try:
            watched.look()
        except StoreError as error:
            complain("stats", f"{error}; trying again")
            continue
        rates = rates_document(watched.frame)
        console.json_line({**view.document(watched.seen), "rates": rates})
        _show_frame(watched, console)


def _show_frame(watched: Watch, console: Console) -> None:
    frame = watched.frame
    console.heading(time_of(watched))
    console.pairs([(name, text) for name, text, _ in gauges_of(frame)])
    rows = [
        (name, formats.share(rates.hit_ratio), *_per_second(rates))
        for name, rates in top_tables(frame)[:TOP]
    ]
    if rows:
        heads = ("table", "hit ratio", "hits/s", "misses/s", "saved/s", "consumed/s")
        console.table(heads, rows)
    shows_keys = watched.view.shows_keys
    keys = [
        (key.table, key_of(key, shows_keys=shows_keys), formats.rate(hits))
        for key, hits in top_keys(watched)[:TOP]
    ]
    if keys:
        console.table(("table", "key", "reads saved/s"), keys, words=2)
    followed = [
        (
            each.now.table,
            state_of(each.now),
            behind(each.now),
            rate_of(each.records),
            rate_of(each.evicted),
        )
        for each in watched.followed[:TOP]
    ]
    if followed:
        console.table(
            ("followed table", "state", "behind", "records/s", "evicted/s"),
            followed,
            words=2,
        )


def _per_second(rates: Rates) -> tuple[str, ...]:
    numbers = (rates.hits, rates.misses, rates.saved, rates.consumed)
    return tuple(map(formats.rate, numbers))


def time_of(watched: Watch) -> str:
    """Return the time of the last frame, and what its rates are of."""
    frame = watched.frame
    at = time.strftime("%H:%M:%S", time.localtime(frame.at))
    processes = processes_of(watched.view, watched.seen.overview)
    if frame.measured < frame.running:
        processes += f"; waiting for a post of {frame.running - frame.measured}"
    return f"{at}  {processes}"


LATENCIES = ("near hit", "store hit", "miss")

Gauge: TypeAlias = tuple[str, str, Callable[[Frame], float | None]]
"""A name, its value now as text, and what its sparkline shows of a frame."""


def gauges_of(frame: Frame) -> list[Gauge]:
    """Return the figures of all tables together."""
    total = frame.total
    saved, consumed = (
        formats.rate(each) if frame.is_known else "-"
        for each in (total.saved, total.consumed)
    )
    near, store, miss = total.near_latency, total.store_latency, total.miss_latency
    return [
        ("hit ratio", formats.share(total.hit_ratio), lambda f: f.total.hit_ratio),
        ("units saved/s", saved, lambda f: f.total.saved),
        ("consumed/s", consumed, lambda f: f.total.consumed),
        (LATENCIES[0], _latency(near), lambda f: _half(f.total.near_latency)),
        (LATENCIES[1], _latency(store), lambda f: _half(f.total.store_latency)),
        (LATENCIES[2], _latency(miss), lambda f: _half(f.total.miss_latency)),
    ]


def _half(histogram: Histogram) -> float | None:
    """Return the duration to draw: infinity would flatten all others."""
    if not histogram.count:
        return None
    return min(histogram.quantile(0.5), LATENCY_BOUNDS[-1])


def _latency(histogram: Histogram) -> str:
    half, most = quantiles(histogram)
    return "-" if half == "-" else f"p50 {half}, p99 {most}"


def top_tables(frame: Frame) -> list[tuple[str, Rates]]:
    """Return the tables of a frame, those first that save or read most just now."""
    return sorted(
        frame.tables.items(),
        key=lambda each: (-each[1].saved, -each[1].hits - each[1].misses, each[0]),
    )


def top_keys(watched: Watch) -> list[tuple[HotKey, float]]:
    """Return the hottest keys with their hits per second just now."""
    rates = watched.frame.keys
    keys = watched.view.stats(watched.seen.overview).hot_keys
    rated = [(key, rates.get(name_of(key), 0.0)) for key in keys]
    return sorted(rated, key=lambda each: (-each[1], -each[0].hits, each[0].digest))


def rates_document(frame: Frame) -> Json:
    """Return the rates for `--watch --json`. Latency is of the last posts."""
    return {
        "running": frame.running,
        "measured": frame.measured,
        **_rates_json(frame.total),
        "tables": {name: _rates_json(rates) for name, rates in frame.tables.items()},
    }


def _rates_json(rates: Rates) -> Json:
    return {
        "hits": rates.hits,
        "misses": rates.misses,
        "hit_ratio": rates.hit_ratio,
        "units_saved": rates.saved,
        "units_consumed": rates.consumed,
    }
