"""What `botocache stats` shows, in the words of the console."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from botocache._cli import formats
from botocache._cli.console import Console
from botocache._cli.followed_view import show_followed
from botocache._counting.stats import (
    EVICTED,
    FOLLOWED,
    LASTING,
    NOT_EVICTED,
    Counts,
    Histogram,
    HotKey,
    Stats,
    TableStats,
    sum_of,
)
from botocache._errors import suggestion
from botocache._observe.document import Json, document_of
from botocache._observe.rates import by_table, of_table, silence_of, state_of
from botocache._observe.records import Overview
from botocache._streams.followed import FollowedTable
from botocache.stores.protocol import Usage

MOST_PROCESSES = 20
"""Rows of processes. There may be hundreds; `--json` has them all."""


class StoreContent(NamedTuple):
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

    read: Callable[[], StoreContent]
    store: str
    interval: float
    table: str | None
    shows_keys: bool

    def stats(self, overview: Overview) -> Stats:
        """Return the sum of all processes, of the wanted table."""
        total = overview.total
        return total if self.table is None else of_table(total, self.table)

    def followed(self, overview: Overview) -> tuple[FollowedTable, ...]:
        """Return the followed tables, or the wanted one of them."""
        return tuple(
            each for each in overview.followed if self.table in (None, each.table)
        )

    def document(self, seen: StoreContent) -> Json:
        """Return what `--json` prints."""
        return document_of(
            replace(seen.overview, followed=self.followed(seen.overview)),
            self.stats(seen.overview),
            seen.usage,
            self.interval,
            shows_keys=self.shows_keys,
        )


# --- once --------------------------------------------------------------------------


def show(view: View, console: Console) -> None:
    """Show the stats once."""
    # Before anything is printed: the store may fail, and then that is all there is.
    seen = view.read()
    if console.is_json:
        console.json(view.document(seen))
        return
    stats = view.stats(seen.overview)
    console.lines(heading_of(view, seen.overview))
    if not seen.overview.processes and not seen.overview.past_processes:
        _explain_nothing(view, console)
        show_followed(view.followed(seen.overview), console)
        return
    if view.table is not None and not stats.tables:
        _explain_no_table(view.table, seen.overview.total, console)
        show_followed(view.followed(seen.overview), console)
        return
    # The tables that save most come first, with all their operations together.
    order = [each.table for each in by_table(stats.tables)]
    tables = sorted(stats.tables, key=lambda each: order.index(each.table))
    _show_totals(stats, seen.usage, console)
    _show_tables(tables, console)
    _show_latency(tables, console)
    _show_reasons(tables, console)
    show_followed(view.followed(seen.overview), console)
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
    # The name may be misspelt. A table without calls is not known here either.
    near = suggestion(table, known)
    console.finding("warning", f"no call has named the table {table!r}{near}")


def _show_totals(stats: Stats, usage: Usage, console: Console) -> None:
    total = sum_of(stats.tables)
    all_units = total.units_saved + total.units_consumed
    ratio, near, store = (
        formats.part(hits, total.looked_up)
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
    throttled = f"{formats.count(total.throttled)} requests"
    if total.answered_stale:
        throttled += f"; {formats.count(total.answered_stale)} reads answered stale"
    coalesced = f"{formats.count(total.coalesced)} reads"
    if total.leased:
        coalesced += f"; {formats.count(total.leased)} waited for other processes"
    console.heading("Totals")
    console.pairs(
        [
            ("hit ratio", f"{ratio} (near {near}, store {store})"),
            ("reads", f"{hits} hits, {misses} misses, {bypassed} bypassed"),
            ("read units saved", saved),
            ("evictions", evictions),
            ("throttled", throttled),
            ("coalesced", coalesced),
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
            formats.part(each.hits, each.looked_up),
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
            *quantiles(each.near_latency),
            *quantiles(each.store_latency),
            *quantiles(each.miss_latency),
        )
        for each in tables
        if each.near_latency.count + each.store_latency.count + each.miss_latency.count
    ]
    if not rows:
        return
    heads = ("near p50", "p99", "store p50", "p99", "miss p50", "p99")
    console.heading("Latency (half of the calls, 99 of 100)")
    console.table(("table", "operation", *heads), rows, words=2)


def quantiles(histogram: Histogram) -> tuple[str, str]:
    """Return the median and the 99th percentile as text."""
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
    lasting = [each for each in tables if each.lasting]
    for each in lasting:
        console.finding(
            "bad",
            f"{each.table} {each.operation}: "
            f"{formats.count(each.lasting)} of "
            f"{formats.count(each.compared)} compared hits were stale, up to "
            f"{formats.ago(each.stale_seconds)}",
            f"A writer goes around botocache: find what else writes {each.table}, and "
            "let it evict.",
        )
    # Lag of replicas, or seen once alone: no proof of a writer that goes around.
    others = sum(
        number
        for each in tables
        for kind, number in each.differing.items()
        if kind not in (LASTING, FOLLOWED)
    )
    if not lasting:
        rest = f"; {formats.count(others)} differed shortly" if others else ""
        console.finding(
            "good",
            f"none of {formats.count(compared)} compared hits was stale for good{rest}",
        )
    _show_follow_ups(tables, console)


def _show_follow_ups(tables: Sequence[TableStats], console: Console) -> None:
    """Show what followers of streams made of the hits that were stale."""
    for each in by_table(tables):
        evicted, missed = (
            each.follow_ups.get(outcome, 0) for outcome in (EVICTED, NOT_EVICTED)
        )
        # Without a difference that a follower should evict, there is nothing to say.
        if not evicted + missed:
            continue
        text = (
            f"{each.table}, while it was followed: "
            f"{formats.count(evicted)} of {formats.count(evicted + missed)} stale "
            "entries were evicted within 10 s"
        )
        if missed:
            advice = f"See the log of the follower of {each.table} for stream_failed."
            console.finding("bad", text, advice)
        else:
            console.finding("good", text)


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
    # A key may hold a name or an address. Its digest tells keys apart all the same.
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
    # Newest first, so what is left out has posted longest ago.
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
