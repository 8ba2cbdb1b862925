"""Advice, drawn from the figures of a report. Pure.

Each rule states the least evidence that it speaks on. Without that it says nothing: a
report with no advice is a good report.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from botocache._counting.stats import TableStats
from botocache._errors import shows
from botocache._observe.numbers import count, duration, percent, size, units
from botocache._observe.report.figures import SERVING, Figures
from botocache._settings.load import Settings

FIX: Final = "fix"
SAVE: Final = "save"
KNOW: Final = "know"
"""What an advice is about: something is wrong; more could be saved; good to know."""

LEAST_READS: Final = 100
"""Reads of a table, below which nothing is said about its hit ratio."""

PARTITION_LIMIT: Final = 3000.0
"""Read units a second that one partition of DynamoDB answers at most."""

_READS: Final = ("GetItem", "BatchGetItem", "Query", "Scan")


@shows("name", "kind", "table")
@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do.

    name: of the rule.
    kind: FIX, SAVE or KNOW.
    title: what the figures show.
    table: that it is about; empty for all.
    evidence: the figures, in sentences.
    action: what to do, in sentences.
    setting: to paste into the TOML file; empty if there is none.
    """

    name: str
    kind: str
    title: str
    table: str
    evidence: str
    action: str
    setting: str = ""


@shows("size_limit")
@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules look at.

    figures: of the report.
    settings: of the environment in which the report is made.
    size_limit: of the store, in bytes; None if it is not known.
    """

    figures: Figures
    settings: Settings
    size_limit: int | None


def advise(
    figures: Figures, settings: Settings, size_limit: int | None = None
) -> tuple[Advice, ...]:
    """Return all advice, the most urgent first.

    figures: of the report.
    settings: of the environment in which the report is made.
    size_limit: of the store, in bytes; None if it is not known.
    """
    situation = Situation(figures, settings, size_limit)
    found = [advice for rule in _RULES for advice in rule(situation)]
    order = (FIX, SAVE, KNOW)
    return tuple(sorted(found, key=lambda advice: order.index(advice.kind)))


# --- what is wrong -----------------------------------------------------------------


def _pending_evictions(at: Situation) -> Iterator[Advice]:
    # Of processes that run: what another one could not deliver is lost, and over.
    waiting = at.figures.undelivered
    if waiting:
        yield Advice(
            "undelivered",
            FIX,
            "Evictions wait for the store",
            "",
            f"{count(waiting)} tags were to be evicted, and the store has not taken "
            "that yet. Until it does, other processes may serve what was written "
            "over, for at most the TTL.",
            "Find out why the store does not answer: run 'botocache doctor' where the "
            "application runs.",
        )


_FAILURE_SHARE: Final = 0.001
_LEAST_FAILURES: Final = 10


def _failures(at: Situation) -> Iterator[Advice]:
    failures = at.figures.failures
    # A few failures in a million calls are what restarts look like.
    together = sum(failures.values())
    total = at.figures.total
    calls = total.looked_up + total.writes
    if together >= _LEAST_FAILURES and together >= _FAILURE_SHARE * calls:
        kinds = sorted(failures.items(), key=lambda pair: (-pair[1], pair[0]))
        listed = ", ".join(f"{kind} {count(number)}" for kind, number in kinds[:4])
        yield Advice(
            "failures",
            FIX,
            "The cache fails now and then",
            "",
            f"{count(together)} failures in {count(calls)} calls: {listed}. The "
            "application saw none of them: such a call goes to DynamoDB.",
            "Look for these names in the application's log. Run 'botocache doctor' "
            "where the application runs: it tries the store.",
        )


def _written_around(at: Situation) -> Iterator[Advice]:
    for table in _named(at.figures.tables):
        if not table.lasting:
            continue
        # Of the environment of the report, which should be that of the application.
        ttl = at.settings.policy(table.table).ttl
        shorter = max(1.0, min(5.0, ttl / 2))
        yield Advice(
            "written_around",
            FIX,
            "A writer goes around the cache",
            table.table,
            f"{count(table.lasting)} of {count(table.compared)} compared hits differed "
            "from DynamoDB's answer, and differed again later. The longest difference "
            f"lasted {duration(table.stale_seconds)}. No write through botocache "
            "explains that.",
            "Find the writer: another service, a job, the console, or a process that "
            "runs without botocache. Let it write through botocache with the same "
            "store, or call cache.invalidate(table, key) after it. Until then, shorten "
            "the TTL, which bounds the difference.",
            _table_setting(table.table, f"ttl = {shorter:g}"),
        )


# --- what could be saved -----------------------------------------------------------

_USELESS_RATIO: Final = 0.2
_OFTEN_WRITTEN: Final = 0.2
_OFTEN_HELD: Final = 0.3


def _useless(at: Situation) -> Iterator[Advice]:
    """Find tables that are written so often that entries are gone before a hit."""
    rows = at.figures.rows
    for table in _named(at.figures.tables):
        reads = [
            row for row in rows if row.table == table.table and row.operation in _READS
        ]
        useless = [row for row in reads if _is_useless(row, table.writes)]
        if not useless:
            continue
        hits = sum(row.hits for row in useless)
        looked_up = sum(row.looked_up for row in useless)
        # Held answers show that writes are the cause, and not a short TTL.
        held = sum(row.held for row in useless)
        # What has hits stays, or the table would lose them with the rest.
        # GetItem and BatchGetItem share their entries, and Query is often seldom used.
        kept = [
            name
            for name in _READS
            if name not in {row.operation for row in useless}
            and any(row.operation == name and row.hits for row in reads)
        ]
        names = " and ".join(row.operation for row in useless)
        line = ", ".join(f'"{name}"' for name in kept)
        yield Advice(
            "useless",
            SAVE,
            "Written too often to be worth caching",
            table.table,
            f"{names}: {percent(hits, looked_up)} of {count(looked_up)} reads were "
            f"hits, beside {count(table.writes)} writes to the table. "
            f"{count(held)} answers were not kept, because a write was too recent.",
            "Leave these reads out: each of them asks the store in vain."
            if kept
            else "Turn the cache off for this table: each read asks the store in vain.",
            _table_setting(
                table.table, f"operations = [{line}]" if kept else "", off=not kept
            ),
        )


def _is_useless(row: TableStats, writes: int) -> bool:
    # Both: reads that seldom hit for other reasons may do so when the day begins.
    return (
        row.looked_up >= LEAST_READS
        and row.hit_ratio < _USELESS_RATIO
        and (
            writes >= _OFTEN_WRITTEN * row.looked_up
            or row.held >= _OFTEN_HELD * row.misses
        )
    )


_OFTEN_EXPIRED: Final = 0.3
_LONGEST_ADVISED_TTL: Final = 86400.0


def _short_ttl(at: Situation) -> Iterator[Advice]:
    for table in _named(at.figures.tables):
        policy = at.settings.policy(table.table)
        ttl = policy.ttl
        if (
            # Then most near answers end because a heartbeat does, not the TTL.
            policy.ttl_unfollowed is not None
            or table.expired < LEAST_READS
            or table.expired < _OFTEN_EXPIRED * table.misses
            or table.lasting
            or ttl >= _LONGEST_ADVISED_TTL
        ):
            continue
        # Tenfold, and not for ever: the page is read again, and can advise again.
        longer = min(ttl * 10, _LONGEST_ADVISED_TTL)
        yield Advice(
            "short_ttl",
            SAVE,
            "The TTL ends answers that no write has changed",
            table.table,
            f"{count(table.expired)} times an answer in the near cache was too old, "
            "though no write through botocache had touched it. The table has "
            f"{count(table.misses)} misses, which consumed "
            f"{units(table.units_consumed)} read units with the bypassed reads.",
            f"Writes through botocache evict, so the TTL ({duration(ttl)} in these "
            "settings) only bounds what other writers change. If there are none, "
            "lengthen it.",
            _table_setting(table.table, f"ttl = {longer:g}"),
        )


_MANY_CONSISTENT: Final = 0.2


def _consistent(at: Situation) -> Iterator[Advice]:
    for table in _named(at.figures.tables):
        if (
            table.consistent < LEAST_READS
            or table.consistent < _MANY_CONSISTENT * table.looked_up
            or table.lasting
        ):
            continue
        yield Advice(
            "consistent",
            SAVE,
            "Many reads ask for strong consistency",
            table.table,
            f"{count(table.consistent)} of {count(table.looked_up)} reads have "
            "ConsistentRead, so DynamoDB answers each of them, for twice the read "
            "units.",
            "Where all writers of the table use botocache with this store, leave "
            "ConsistentRead out: a hit is never older than the last write that "
            "completed through botocache. Keep it where other writers matter.",
        )


def _index_queries(at: Situation) -> Iterator[Advice]:
    if at.settings.precise_index_eviction:
        return
    for table in _named(at.figures.tables):
        # Queries of the table itself are among them. The counts do not tell them apart.
        queries = sum(
            row.misses
            for row in at.figures.rows
            if row.table == table.table and row.operation == "Query"
        )
        if (
            table.index_outdated < LEAST_READS
            or table.index_outdated < _OFTEN_EVICTED * queries
        ):
            continue
        yield Advice(
            "index_queries",
            SAVE,
            "Each write evicts all index queries",
            table.table,
            f"{count(table.index_outdated)} of {count(queries)} misses of Query were "
            "index queries whose answer was there, and a write had evicted it. Each of "
            f"the {count(table.writes)} writes to the table evicts all of them.",
            "Evict only the queries that the old or the new item belongs to. botocache "
            "then asks DynamoDB for the old item of each write, which costs no units.",
            "precise_index_eviction = true",
        )


_OFTEN_EVICTED: Final = 0.3


_MANY_HITS: Final = 1000


def _near_off(at: Situation) -> Iterator[Advice]:
    # Batches go through the hooks, whatever the setting says.
    rows = [row for row in at.figures.rows if row.operation != "BatchGetItem"]
    hits = sum(row.store_hits for row in rows)
    near = sum(row.near_hits for row in rows)
    if at.figures.mode != SERVING or hits < _MANY_HITS or near:
        return
    is_off = at.settings.near == "off"
    mean = at.figures.total.store_latency.mean
    took = f" These took {duration(mean)} on average." if mean else ""
    yield Advice(
        "near_off",
        SAVE,
        "No hit comes from the process's own memory",
        "",
        f"{count(hits)} hits came from the store, and none from the near cache.{took} "
        "A near hit takes a few microseconds.",
        "Turn the near cache on."
        if is_off
        else "These settings have it on. See whether the application's have, and "
        "whether a wrapper around botocore's calls hides it.",
        'near = "on"' if is_off else "",
    )


_FULL: Final = 0.9


def _store_full(at: Situation) -> Iterator[Advice]:
    limit, used = at.size_limit, at.figures.size
    if not limit or used is None or used < _FULL * limit:
        return
    # Only the URL of a place on this machine can take the option.
    url = at.settings.url
    base = url.partition("?")[0] if isinstance(url, str) else ""
    gibibytes = max(1, -(-2 * limit // 1024**3))
    entries = at.figures.entries
    held = f" in {count(entries)} entries" if entries is not None else ""
    yield Advice(
        "store_full",
        SAVE,
        "The store is full",
        "",
        f"It holds {size(used)} of {size(limit)}{held}. It drops entries before their "
        "TTL to make room.",
        "Give it more room.",
        f'url = "{base}?size_limit={gibibytes}GiB"'
        if re.fullmatch(r"[A-Za-z0-9:/._-]+", base)
        else "",
    )


def _throttled(at: Situation) -> Iterator[Advice]:
    for table in _named(at.figures.tables):
        if table.throttled >= _LEAST_FAILURES:
            yield Advice(
                "throttled",
                SAVE,
                "DynamoDB refuses requests for lack of capacity",
                table.table,
                f"{count(table.throttled)} answers refused a request, beside "
                f"{count(table.misses)} misses. botocore repeats such a request, so "
                "the application may only have seen a slow call.",
                "Raise the table's capacity or its hit ratio. See at what times it "
                "happened in the chart above. With stale_if_throttled, entries over "
                "their TTL answer meanwhile.",
            )


# --- what is good to know ----------------------------------------------------------

_HOT_SHARE: Final = 0.25


def _hot_key(at: Situation) -> Iterator[Advice]:
    by_table = {row.table: row for row in at.figures.tables}
    seen = set()
    for key in at.figures.hot_keys:
        table = by_table.get(key.table)
        if (
            table is None
            or key.table in seen
            or key.hits < _MANY_HITS
            or key.hits < _HOT_SHARE * table.hits
        ):
            continue
        seen.add(key.table)
        # Of the whole time: a short peak may have been far higher.
        seconds = at.figures.seconds
        rate = key.units_saved / seconds if seconds else 0.0
        limit = (
            f" One partition answers at most {count(int(PARTITION_LIMIT))} a second."
            if rate >= PARTITION_LIMIT / 10
            else ""
        )
        yield Advice(
            "hot_key",
            KNOW,
            "One key takes a large part of the reads",
            key.table,
            f"Key {key.digest[:12]} has about {percent(key.hits, table.hits)} of the "
            f"table's hits, and saved about {units(key.units_saved)} read units, "
            f"{units(rate)} a second.{limit}",
            "Keep it cached: without the cache, all of this falls on one partition. "
            "'botocache report --show-keys' shows the key.",
        )


_RULES: Final[tuple[Callable[[Situation], Iterator[Advice]], ...]] = (
    _pending_evictions,
    _failures,
    _written_around,
    _useless,
    _short_ttl,
    _consistent,
    _index_queries,
    _near_off,
    _store_full,
    _throttled,
    _hot_key,
)


# --- parts of an advice ------------------------------------------------------------

_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")


def _named(tables: Iterable[TableStats]) -> Iterator[TableStats]:
    """Yield what is about one table; "(other)" and "(unknown)" are about several."""
    return (row for row in tables if not row.table.startswith("("))


def _table_setting(table: str, line: str, *, off: bool = False) -> str:
    """Return lines of TOML for one table; none for what cannot be a table's name."""
    if not _TABLE_NAME.fullmatch(table):
        return ""
    name = f'"{table}"' if "." in table else table
    return f'[tables]\n{name} = "off"' if off else f"[tables.{name}]\n{line}"
