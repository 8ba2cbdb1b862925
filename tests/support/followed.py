"""Made-up followed tables: what a few followers might have written."""

from botocache._coherence import TRUST
from botocache._streams.followed import FollowedTable
from botocache._streams.ledger import FollowerSeen, Ledger, ShardPlace

STORE_NOW = 5000.0

ARN = "arn:aws:dynamodb:eu-west-1:1:table/{}/stream/2026"


def followed(  # noqa: PLR0913 - what a test may want
    table: str = "users",
    *,
    lag: float = 1.5,
    view: str = "KEYS_ONLY",
    has_leader: bool = True,
    has_heartbeat: bool | None = None,
    records: int = 1200,
    gaps: int = 0,
    at: float = STORE_NOW,
) -> FollowedTable:
    """Return a table of two shards, the second of which is `lag` seconds behind."""
    leader = "ab" if has_leader else ""
    leased = at + 4 if has_leader else 0.0
    shards = (
        ShardPlace("shard-1", "7", True, at - 0.5, leader, leased),
        ShardPlace("shard-2", "9", True, at - lag, leader, leased),
    )
    seen = (FollowerSeen("ab", "web-1", 42, at + 4), FollowerSeen("cd", "old", 7, 1.0))
    ledger = Ledger(
        table,
        ARN.format(table),
        view,
        "e1",
        shards,
        seen if has_leader else seen[1:],
        records=records,
        evicted=2 * records,
        gaps=gaps,
        last_change=1_799_999_990.0,
        requests=3600,
        counted_since=max(1.0, at - 3600.0),
        region="eu-west-1",
    )
    return FollowedTable(
        ledger, at, lag < TRUST if has_heartbeat is None else has_heartbeat
    )
