"""An overview as `botocache stats --json` prints it: dicts, lists and scalars. Pure.

Programs read this: a name stays as it is, and its meaning too. docs/reference has it.
"""

import math
from typing import Any, TypeAlias

from botocache._counting.stats import Histogram, HotKey, Stats, TableStats, sum_of
from botocache._observe.rates import silence_of, state_of
from botocache._observe.records import Overview, ProcessRecord
from botocache._streams.followed import FollowedTable
from botocache.stores.protocol import Usage

Json: TypeAlias = dict[str, Any]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def document_of(
    overview: Overview,
    stats: Stats,
    usage: Usage,
    interval: float,
    *,
    shows_keys: bool,
) -> Json:
    """Return the document.

    overview: has the processes, and the followed tables.
    stats: their sum, or a part of it: of one table.
    usage: of the store.
    interval: seconds between two posts of a process.
    shows_keys: with the keys as text, not their digests alone.
    """
    return {
        "read_at": overview.read_at,
        "totals": _totals(stats),
        "tables": [_table(each) for each in stats.tables],
        "keys": [_key(each, shows_keys=shows_keys) for each in stats.hot_keys],
        "failures": stats.failures,
        "unreadable": overview.unreadable,
        "processes": [
            _process(each, overview.read_at, interval) for each in overview.processes
        ],
        "past_processes": overview.past_processes,
        "store": {"entries": usage.entries, "bytes": usage.size},
        "followed": [followed_document(each) for each in overview.followed],
    }


def followed_document(followed: FollowedTable) -> Json:
    """Return all that is known of a followed table. Times are the store's."""
    # Lengths of time, not moments: the store's clock means nothing to readers.
    ledger, now = followed.ledger, followed.read_at
    return {
        "table": followed.table,
        "region": ledger.region,
        "followed": followed.is_fresh,
        "heartbeat": followed.has_heartbeat,
        "lag": followed.lag,
        "stream": ledger.arn,
        "view": ledger.view,
        "epoch": ledger.epoch,
        "records": ledger.records,
        "evicted": ledger.evicted,
        "requests": ledger.requests,
        "gaps": ledger.gaps,
        "counted_for": followed.seconds,
        "last_change": ledger.last_change or None,
        "followers": [
            {
                "process": each.process,
                "host": each.host,
                "pid": each.pid,
                "leads": len(ledger.led_by(each.process)),
            }
            for each in followed.followers
        ],
        "shards": [
            {
                "shard": shard.id,
                "after": shard.after or None,
                "lag": followed.lag_of(shard),
                "leader": shard.leader or None,
                "leased_for": max(0.0, shard.leased_until - now),
                "has_ended": shard.has_ended,
            }
            for shard in ledger.shards
        ],
    }


def _totals(stats: Stats) -> Json:
    """Return the counts of all tables, and what no table has."""
    # As a table has them, so that a program reads both in the same way.
    totals = _counts(sum_of(stats.tables))
    return {**totals, "undelivered": stats.undelivered}


def _table(table: TableStats) -> Json:
    names = {"table": table.table, "operation": table.operation}
    return {**names, **_counts(table)}


def _counts(table: TableStats) -> Json:
    return {
        "hits": table.hits,
        "near_hits": table.near_hits,
        "store_hits": table.store_hits,
        "misses": table.misses,
        # No reads are no ratio of 0, which an alarm would take for a bad one.
        "hit_ratio": table.hit_ratio if table.looked_up else None,
        "bypassed": table.bypassed,
        "fills": table.fills,
        "unfilled": table.unfilled,
        "writes": table.writes,
        "evicted": table.evicted,
        "throttled": table.throttled,
        "coalesced": table.coalesced,
        "leased": table.leased,
        "answered_stale": table.answered_stale,
        "units_saved": table.units_saved,
        "units_estimated": table.units_estimated,
        "units_consumed": table.units_consumed,
        "latency": {
            "near": latency_of(table.near_latency),
            "store": latency_of(table.store_latency),
            "miss": latency_of(table.miss_latency),
        },
        "compared": table.compared,
        "differing": table.differing,
        "follow_ups": table.follow_ups,
        "stale_seconds": table.stale_seconds,
    }


def latency_of(histogram: Histogram) -> Json:
    """Return quantiles in seconds; None for more than the highest bound."""
    if not histogram.count:
        return {"count": 0, "mean": None, **dict.fromkeys(QUANTILES)}
    quantiles = {name: histogram.quantile(share) for name, share in QUANTILES.items()}
    return {
        "count": histogram.count,
        "mean": histogram.mean,
        # JSON has no infinity: longer than the highest bound, 10 s.
        **{name: None if math.isinf(q) else q for name, q in quantiles.items()},
    }


def _key(key: HotKey, *, shows_keys: bool) -> Json:
    document = {
        "table": key.table,
        "operation": key.operation,
        "digest": key.digest,
        "reads_saved": key.hits,
        "units_saved": key.units_saved,
    }
    # Left out, not emptied: a program that reads `key` must have asked for it.
    return {**document, "key": key.key} if shows_keys else document


def _process(record: ProcessRecord, read_at: float, interval: float) -> Json:
    return {
        "process": record.process,
        "host": record.host,
        "pid": record.pid,
        "version": record.version,
        "started": record.started,
        "updated": record.updated,
        "silent_for": silence_of(record, read_at),
        "state": state_of(record, read_at, interval),
        "shadow": record.shadow,
        "hits": record.stats.hits,
        "misses": record.stats.misses,
        "units_saved": record.stats.units_saved,
        "units_consumed": record.stats.units_consumed,
    }
