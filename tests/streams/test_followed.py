"""Reading the ledgers of a store: what they say, and what is damaged is left out."""

import os
from dataclasses import replace

import pytest

from botocache._cache.call_store import CallStore
from botocache._cache.entries import ClearEntries
from botocache._coherence import TRUST
from botocache._observe.overview import read_overview
from botocache._streams.followed import FollowedTable, read_followed
from botocache._streams.ledger import Ledger, ledger_name, seal_ledger
from tests.support import followers
from tests.support.clock import FakeClock
from tests.support.followed import STORE_NOW, followed
from tests.support.followers import REGION, item

CLEAR = ClearEntries()


def posted(ledger: Ledger) -> dict[str, bytes]:
    return {
        ledger_name(ledger.region, ledger.table): seal_ledger(CLEAR, ledger, 1000.0)
    }


def advance(table: followers.FollowedTable, seconds: float) -> None:
    assert isinstance(table.clock, FakeClock)
    table.clock.advance(seconds)


def seen(table: followers.FollowedTable) -> FollowedTable:
    """Return what a command sees of a table that followers of a test follow."""
    services = table.services

    def trusted_until(region: str, name: str, now: float) -> float:
        store = CallStore(services.store)
        return services.heartbeats.trusted_until(region, name, now, store)

    overview = read_overview(table.store, services.records, trusted_until=trusted_until)
    assert overview.unreadable == 0
    (found,) = overview.followed
    return found


def test_what_followers_do_is_seen_on_the_store() -> None:
    table = followers.FollowedTable()
    follower = table.follower()
    table.run(follower, seconds=5)
    began = table.clock()
    table.stream.put(item("7"))
    table.run(follower, seconds=10)
    found = seen(table)
    assert found.is_fresh
    assert found.lag < 4.0
    assert (found.ledger.records, found.ledger.evicted) == (1, 3)
    assert found.ledger.region == REGION
    assert [each.pid for each in found.leaders] == [1]
    assert 10 <= found.seconds - (table.clock() - began) + 10 <= 16
    # A quiet shard is read every two seconds, and one with a change more often.
    assert 8 <= found.ledger.requests <= 40


def test_a_table_whose_followers_have_ended_falls_behind() -> None:
    table = followers.FollowedTable()
    follower = table.follower()
    table.run(follower, seconds=5)
    follower.release()
    assert seen(table).leaders == ()
    assert seen(table).is_fresh  # for a moment: what was true stays true
    advance(table, TRUST + 5)
    found = seen(table)
    assert not found.is_fresh
    assert found.followers == ()
    assert found.lag > TRUST


def test_counts_go_on_where_another_follower_left_them() -> None:
    table = followers.FollowedTable()
    first = table.follower()
    table.run(first, seconds=5)
    table.stream.put(item("7"))
    table.run(first, seconds=5)
    first.release()
    before = seen(table).ledger
    second = table.follower()
    table.run(second, seconds=5)
    table.stream.put(item("8"))
    table.run(second, seconds=5)
    after = seen(table).ledger
    assert (after.records, after.gaps) == (2, 0)
    assert after.requests > before.requests
    assert after.counted_since == before.counted_since
    # Each process exports its own.
    assert [each.tables[0].counts.records for each in (first, second)] == [1, 1]
    assert second.tables[0].counts.requests == after.requests - before.requests


def test_a_gap_is_counted_by_the_process_that_met_it() -> None:
    table = followers.FollowedTable()
    first = table.follower()
    table.run(first, seconds=5)
    since = seen(table).ledger.counted_since
    advance(table, 60)  # killed: it had no record yet, so no other can go on there
    second = table.follower()
    table.run(second, seconds=5)
    assert seen(table).ledger.gaps == second.tables[0].counts.gaps == 1
    assert first.tables[0].counts.gaps == 0
    assert seen(table).ledger.counted_since == since


def test_a_moment_of_another_clock_is_not_trusted() -> None:
    """A machine's clock may begin anew with it, and the ledger be of before."""
    ahead = followed(at=STORE_NOW + 3600.0).ledger
    (found,) = read_followed(posted(ahead), CLEAR, STORE_NOW)
    assert not found.is_fresh
    assert found.lag == STORE_NOW


def _cut(sealed: bytes) -> bytes:
    return sealed[:-3]


def _noise(_: bytes) -> bytes:
    return os.urandom(200)


@pytest.mark.parametrize("harm", [_cut, _noise])
def test_a_damaged_ledger_is_left_out(harm: object) -> None:
    assert callable(harm)
    good = posted(followed("orders").ledger)
    bad = {name: harm(sealed) for name, sealed in posted(followed().ledger).items()}
    found = read_followed({**good, **bad}, CLEAR, STORE_NOW)
    assert [each.table for each in found] == ["orders"]


@pytest.mark.parametrize(
    "fields",
    [
        {"records": -1},
        {"requests": 2**60},
        {"counted_since": float("nan")},
        {"last_change": float("inf")},
        {"region": "eu\x1b[31m"},
    ],
)
def test_a_ledger_with_values_that_no_follower_writes_is_left_out(
    fields: dict[str, object],
) -> None:
    bad = replace(followed().ledger, **fields)  # type: ignore[arg-type]  # fields of it
    assert read_followed(posted(bad), CLEAR, STORE_NOW) == ()
