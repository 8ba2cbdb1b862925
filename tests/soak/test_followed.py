"""What others overwrite is not served for longer than the docs promise.

And it is found out if it is: a service that trusts a dead follower fails the same soak.
"""

import pytest

from tests.soak.followed import followed_soak
from tests.soak.journal import History, Outcome, Read, Write
from tests.soak.stale import AROUND, stale_hits

SECOND = 10**9


def around(number: int, started: float) -> Write:
    """Return a write around the cache that took a tenth of a second."""
    return Write(
        f"{AROUND}/{number}",
        "PutItem",
        round(started * SECOND),
        {"x": f"{AROUND}/{number}"},
        round((started + 0.1) * SECOND),
        Outcome.UNKNOWN,
    )


def hit(value: str | None, started: float, *, is_hit: bool = True) -> Read:
    """Return a read of the item."""
    at = round(started * SECOND)
    return Read("s/1", "GetItem", at, at + 1, {"x": value}, is_hit)


def ages(writes: list[Write], *reads: Read) -> list[float]:
    """Return how stale the hits are."""
    return [each.seconds for each in stale_hits(History(writes, [*reads]))]


def test_a_hit_is_as_stale_as_the_first_write_that_it_missed_is_old() -> None:
    writes = [around(1, 1), around(2, 2), around(3, 3)]
    assert ages(writes, hit(f"{AROUND}/1", 5)) == pytest.approx([2.9])
    assert ages(writes, hit(f"{AROUND}/2", 5)) == pytest.approx([1.9])
    assert ages(writes, hit(None, 5)) == pytest.approx([3.9])


def test_a_hit_on_the_newest_value_is_not_stale() -> None:
    writes = [around(1, 1), around(2, 2)]
    assert ages(writes, hit(f"{AROUND}/2", 5)) == []
    assert ages(writes, hit(f"{AROUND}/1", 2.05)) == []  # the write is under way
    assert ages(writes, hit(f"{AROUND}/1", 5, is_hit=False)) == []


def test_writes_that_overlap_may_have_been_carried_out_in_any_order() -> None:
    writes = [around(1, 1), around(2, 1.05)]
    assert ages(writes, hit(f"{AROUND}/1", 5)) == []


def test_nothing_is_served_too_long_while_followers_are_harmed() -> None:
    report = followed_soak(3, seed=1, trust=2.0, ttl_unfollowed=0.5)
    print(report)
    assert report.problems() == []
    assert report.hits > len(report.history.reads) / 3
    assert report.disturbances


@pytest.mark.long("hits on what was overwritten, after all followers have died")
@pytest.mark.parametrize("store", ["disk", "redis"])
def test_nothing_is_served_too_long_after_all_followers_have_died(store: str) -> None:
    report = followed_soak(
        16, seed=1, store=store, trust=2.0, ttl_unfollowed=0.5, is_abandoned=True
    )
    print(report)
    assert report.problems() == []
    assert report.stale


@pytest.mark.long("real services find out a reader that trusts a dead follower")
def test_a_reader_that_trusts_a_dead_follower_is_caught() -> None:
    report = followed_soak(
        16,
        seed=1,
        trust=2.0,
        ttl_unfollowed=0.5,
        mutant="trusts for ever",
        is_abandoned=True,
    )
    assert report.late
