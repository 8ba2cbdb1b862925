"""What `botocache stats` shows, in the words of the console."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from botocache._cli import formats
from botocache._cli.commands import complain
from botocache._cli.console import Console
from botocache._errors import StoreError, suggestion
from botocache._observe.document import Json, document_of
from botocache._observe.figures import (
    Frame,
    Rates,
    Trail,
    by_table,
    name_of,
    of_table,
    silence_of,
    state_of,
    sum_of,
)
from botocache._observe.records import Overview
from botocache._stats import (
    LATENCY_BOUNDS,
    Counts,
    Histogram,
    HotKey,
    Stats,
    TableStats,
)
from botocache.stores.protocol import Usage

MOST_PROCESSES = 20
"""Rows of processes. There may be hundreds; `--json` has them all."""

FRAMES = 120
"""Frames that the sparklines of a live view show at most."""


class Seen(NamedTuple):
    """What is on the store at one moment.

    usage: of the store itself.
    """

    overview: Overview
    usage: Usage


class View(NamedTuple):
    """What is shown.

    read: reads the store. May raise StoreError.
    store: its name, without secrets.
    interval: seconds between two posts of a process; 0.0: they never post.
    table: the only one; None for all.
    shows_keys: keys are shown as they are, not as digests.
    """

    read: Callable[[], Seen]
    store: str
    interval: float
    table: str | None
    shows_keys: bool

    def stats(self, overview: Overview) -> Stats:
        """Return the sum of all processes, of the wanted table."""
        total = overview.total
        return total if self.table is None else of_table(total, self.table)

    def document(self, seen: Seen) -> Json:
        """Return what `--json` prints."""
        return document_of(
            seen.overview,
            self.stats(seen.overview),
            seen.usage,
            self.interval,
            shows_keys=self.shows_keys,
        )


# --- once --------------------------------------------------------------------------


def show(view: View, console: Console) -> None:
    """Show the stats once."""
    seen = view.read()
    if console.is_json:
        console.json(view.document(seen))
        return
    stats = view.stats(seen.overview)
    console.lines(heading_of(view, seen.overview))
    if not seen.overview.processes and not seen.overview.past_processes:
        _explain_nothing(view, console)
        return
    if view.table is not None and not stats.tables:
        _explain_no_table(view.table, seen.overview.total, console)
        return
    order = [each.table for each in by_table(stats.tables)]
    tables = sorted(stats.tables, key=lambda each: order.index(each.table))
    _show_totals(stats, seen.usage, console)
    _show_tables(tables, console)
    _show_latency(tables, console)
    _show_reasons(tables, console)
    _show_staleness(tables, console)
    _show_keys(view, stats.hot_keys, console)
    _show_processes(view, seen.overview, console)
    _show_failures(stats, seen.overview, console)


def heading_of(view: View, overview: Overview) -> str:
    """Return what is looked at, and how many processes have posted."""
    return f"{place_of(view)}: {processes_of(view, overview)}"


def place_of(view: View) -> str:
    """Return what is looked at: the store, and the table."""
    table = "" if view.table is None else f", table {view.table}"
    return f"botocache on {view.store}{table}"


def processes_of(view: View, overview: Overview) -> str:
    """Return how many processes are running, and how many have been."""
    states = Counter(
        state_of(each, overview.read_at, view.interval) for each in overview.processes
    )
    ended = states["ended"] + overview.past_processes
    running = states["running"]
    parts = [f"{running} process{'es' * (running != 1)} running"]
    parts += [f"{states['silent']} silent"] if states["silent"] else []
    parts += [f"{formats.count(ended)} ended"] if ended else []
    return ", ".join(parts)


def _explain_nothing(view: View, console: Console) -> None:
    if not view.interval:
        advice = "stats_interval is 0, so no process posts its counts"
    else:
        advice = (
            "Is the cache on, with the same store and namespace? See: botocache doctor"
        )
    console.finding("warning", "no process has posted its counts on this store", advice)


def _explain_no_table(table: str, stats: Stats, console: Console) -> None:
    known = sorted({each.table for each in stats.tables})
    near = suggestion(table, known)
    console.finding("warning", f"no call has named the table {table!r}{near}")


def _show_totals(stats: Stats, usage: Usage, console: Console) -> None:
    total = sum_of(stats.tables)
    looked_up = total.hits + total.misses
    all_units = total.units_saved + total.units_consumed
    ratio, near, store = (
        formats.part(hits, looked_up)
        for hits in (total.hits, total.near_hits, total.store_hits)
    )
    reads = (total.hits, total.misses, sum(total.bypassed.values()))
    hits, misses, bypassed = map(formats.count, reads)
    saved = (
        f"{formats.count(total.units_saved)} of {formats.count(all_units)}"
        f" ({formats.part(total.units_saved, all_units)})"
    )
    if total.units_estimated:
        estimated = formats.part(total.units_estimated, total.units_saved)
        saved += f"; {estimated} of them estimated"
    evictions = (
        f"{formats.count(total.evicted)} tags, by {formats.count(total.writes)} writes"
    )
    if stats.undelivered:
        evictions += f"; {formats.count(stats.undelivered)} not delivered yet"
    console.heading("Totals")
    console.pairs(
        [
            ("hit ratio", f"{ratio} (near {near}, store {store})"),
            ("reads", f"{hits} hits, {misses} misses, {bypassed} bypassed"),
            ("read units saved", saved),
            ("evictions", evictions),
            ("throttled", f"{formats.count(total.throttled)} requests"),
            ("store holds", _usage(usage)),
        ]
    )


def _usage(usage: Usage) -> str:
    entries = (
        "an unknown number of entries"
        if usage.entries is None
        else f"{formats.count(usage.entries)} entries"
    )
    return entries if usage.size is None else f"{entries}, {formats.size(usage.size)}"


def _show_tables(tables: Sequence[TableStats], console: Console) -> None:
    rows = [
        (
            each.table,
            each.operation,
            formats.part(each.hits, each.hits + each.misses),
            formats.count(each.hits),
            formats.count(each.misses),
            formats.count(each.units_saved),
            formats.count(each.units_consumed),
            formats.count(each.writes),
        )
        for each in tables
    ]
    heads = ("table", "operation", "hit ratio", "hits", "misses")
    console.heading("Tables (units: read units)")
    console.table((*heads, "units saved", "consumed", "writes"), rows, words=2)


def _show_latency(tables: Sequence[TableStats], console: Console) -> None:
    rows = [
        (
            each.table,
            each.operation,
            *_quantiles(each.near_latency),
            *_quantiles(each.store_latency),
            *_quantiles(each.miss_latency),
        )
        for each in tables
        if each.near_latency.count + each.store_latency.count + each.miss_latency.count
    ]
    if not rows:
        return
    heads = ("near p50", "p99", "store p50", "p99", "miss p50", "p99")
    console.heading("Latency (half of the calls, 99 of 100)")
    console.table(("table", "operation", *heads), rows, words=2)


def _quantiles(histogram: Histogram) -> tuple[str, str]:
    if not histogram.count:
        return "-", "-"
    half, most = histogram.quantile(0.5), histogram.quantile(0.99)
    return formats.seconds(half), formats.seconds(most)


def _show_reasons(tables: Sequence[TableStats], console: Console) -> None:
    rows = [
        (each.table, each.operation, what, _reasons(counts))
        for each in tables
        for what, counts in (("not filled", each.unfilled), ("bypassed", each.bypassed))
        if counts
    ]
    if rows:
        console.heading("Reads that filled nothing")
        console.table(("table", "operation", "what", "why"), rows, words=4)


def _reasons(counts: Counts) -> str:
    most_first = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{reason} {formats.count(n)}" for reason, n in most_first)


def _show_staleness(tables: Sequence[TableStats], console: Console) -> None:
    compared = sum(each.compared for each in tables)
    if not compared:
        return
    console.heading("Staleness")
    lasting = [each for each in tables if each.differing.get("lasting")]
    for each in lasting:
        console.finding(
            "bad",
            f"{each.table} {each.operation}: "
            f"{formats.count(each.differing['lasting'])} of "
            f"{formats.count(each.compared)} compared hits were stale, up to "
            f"{formats.ago(each.stale_seconds)}",
            f"A writer goes around botocache: find what else writes {each.table}, and "
            "let it evict.",
        )
    others = sum(
        number
        for each in tables
        for kind, number in each.differing.items()
        if kind != "lasting"
    )
    if not lasting:
        rest = f"; {formats.count(others)} differed shortly" if others else ""
        console.finding(
            "good",
            f"none of {formats.count(compared)} compared hits was stale for good{rest}",
        )


def _show_keys(view: View, keys: Iterable[HotKey], console: Console) -> None:
    most_first = sorted(keys, key=lambda key: (-key.hits, key.digest))
    if not most_first:
        return
    console.heading("Keys by reads saved (estimated from a sample)")
    rows = [
        (
            each.table,
            each.operation,
            key_of(each, shows_keys=view.shows_keys),
            formats.count(each.hits),
            formats.count(each.units_saved),
        )
        for each in most_first
    ]
    heads = ("table", "operation", "key", "reads saved", "units saved")
    console.table(heads, rows, words=3)


def key_of(key: HotKey, *, shows_keys: bool) -> str:
    """Return a key as it is shown."""
    return key.key if shows_keys else key.digest[:16]


def _show_processes(view: View, overview: Overview, console: Console) -> None:
    rows = []
    for each in overview.processes[:MOST_PROCESSES]:
        state = state_of(each, overview.read_at, view.interval)
        silence = formats.ago(silence_of(each, overview.read_at))
        since = formats.ago(max(0.0, each.updated - each.started))
        stats = each.stats
        rows.append(
            (
                f"{each.host}:{each.pid}",
                f"{state}, shadow" if each.shadow else state,
                since,
                silence,
                formats.part(stats.hits, stats.hits + stats.misses),
                formats.count(stats.units_saved),
                each.version,
            )
        )
    heads = ("process", "state", "ran", "posted ago", "hit ratio", "units saved")
    console.heading("Processes")
    console.table((*heads, "version"), rows, words=2)
    if any(each.shadow for each in overview.processes):
        console.lines("  In shadow mode the cache has served none of its hits.")
    more = len(overview.processes) - MOST_PROCESSES
    if more > 0:
        console.lines(f"  and {formats.count(more)} more; --json has all")


def _show_failures(stats: Stats, overview: Overview, console: Console) -> None:
    unreadable = overview.unreadable
    if not stats.failures and not unreadable:
        return
    console.heading("Failures inside the cache (the application sees none of them)")
    for kind, number in sorted(stats.failures.items()):
        console.finding("warning", f"{kind}: {formats.count(number)}")
    if unreadable:
        console.finding(
            "warning",
            f"{formats.count(unreadable)} records of processes cannot be read",
            "Another version wrote them, or a process with other encryption keys.",
        )


# --- again and again ---------------------------------------------------------------

TOP = 5
"""Tables and keys that are shown in each interval."""


class Watch:
    """A view that is looked at again and again.

    Making it reads the store, and may raise StoreError. So does `look`.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._trail = Trail(FRAMES, view.interval, view.table)
        self.look()

    def look(self) -> None:
        """Read the store again."""
        self.seen = self.view.read()
        self.frame = self._trail.add(self.seen.overview)

    @property
    def frames(self) -> Sequence[Frame]:
        """The last frames, the newest last."""
        return self._trail.frames()


def watch(
    view: View,
    console: Console,
    seconds: float,
    wait: Callable[[float], object] | None = None,
) -> None:
    """Show the rates every some seconds, until Ctrl-C; in a live view also until q.

    wait: waits for that many seconds. A live view ends if it returns True.
    """
    watched = Watch(view)  # if this fails, the command ends; a later failure is shown
    try:
        if console.is_live:
            from botocache._cli.live_view import run_live

            run_live(watched, seconds, wait)
        else:
            _watch_in_blocks(watched, console, seconds, wait or time.sleep)
    except KeyboardInterrupt:
        return


def _watch_in_blocks(
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
        rates = _rates_document(watched.frame)
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
    half, most = _quantiles(histogram)
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


def _rates_document(frame: Frame) -> Json:
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
