"""The followed tables, as `botocache stats` shows them."""

from collections.abc import Sequence

from botocache._cli import formats
from botocache._cli.console import Console
from botocache._coherence import TRUST
from botocache._streams.followed import FollowedTable

_HEADS = ("table", "state", "behind", "led by", "shards", "records", "evicted", "gaps")


def show_followed(followed: Sequence[FollowedTable], console: Console) -> None:
    """Show the followed tables, and those that no follower follows any more."""
    if not followed:
        return
    console.heading("Followed tables (evicted: tags, for changes by any program)")
    rows = [
        (
            each.table,
            state_of(each),
            behind(each),
            leaders_of(each),
            formats.count(len(each.ledger.shards)),
            formats.count(each.ledger.records),
            formats.count(each.ledger.evicted),
            formats.count(each.ledger.gaps),
        )
        for each in followed
    ]
    console.table(_HEADS, rows, words=4)
    if not all(each.is_fresh for each in followed):
        console.lines(
            "  Of a table that is not followed, entries live for ttl_unfollowed, if it "
            "is set."
        )


def state_of(followed: FollowedTable) -> str:
    """Return how a table is followed, in a few words."""
    if followed.is_fresh:
        return "followed"
    # In time, and readers do not know it: the store may drop entries.
    if followed.lag < TRUST:
        return "no heartbeat"
    return "late" if followed.leaders else "not followed"


def behind(followed: FollowedTable) -> str:
    """Return the lag of a table."""
    lag = followed.lag
    return f"{lag:.1f} s" if lag < TRUST else formats.ago(lag)


_MOST_LEADERS = 2


def leaders_of(followed: FollowedTable) -> str:
    """Return the processes that lead its shards."""
    # A table may have as many leaders as followers; two fit into a line.
    leaders = [f"{each.host}:{each.pid}" for each in followed.leaders]
    more = len(leaders) - _MOST_LEADERS
    shown = ", ".join(leaders[:_MOST_LEADERS])
    return f"{shown} and {more} more" if more > 0 else shown or "-"
