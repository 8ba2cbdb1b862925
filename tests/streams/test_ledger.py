"""The ledger: who leads which shard, from where, and what readers may trust."""

from dataclasses import replace

import pytest

from botocache._cache.entries import ClearEntries
from botocache._errors import CodecError
from botocache._streams.ledger import (
    LEASE,
    FollowerSeen,
    Ledger,
    Progress,
    ShardPlace,
    advance,
    begin_epoch,
    has_gap,
    lease,
    ledger_name,
    may_join,
    open_ledger,
    release,
    seal_ledger,
)

NOW = 1000.0
REGION = "us-east-1"


def seen(process: str, now: float = NOW) -> FollowerSeen:
    """Return a follower that was just seen."""
    return FollowerSeen(process, "host", 7, now + LEASE)


def shard(name: str, after: str = "5", **fields: object) -> ShardPlace:
    """Return a shard that was read some way."""
    return replace(ShardPlace(name, after, followed_until=NOW), **fields)  # type: ignore[arg-type]  # fields of it


def ledger_of(*shards: ShardPlace, **fields: object) -> Ledger:
    """Return a ledger with a frontier."""
    new = Ledger("users", "arn", "KEYS_ONLY", "e", shards, region=REGION)
    return replace(new, **fields)  # type: ignore[arg-type]  # fields of it


def leaders(ledger: Ledger) -> dict[str, str]:
    """Return who leads each shard."""
    return {each.id: each.leader for each in ledger.shards}


def test_a_follower_that_is_alone_takes_every_shard() -> None:
    leased = lease(ledger_of(shard("1"), shard("2")), seen("a"), NOW)
    assert leaders(leased) == {"1": "a", "2": "a"}


def test_a_second_follower_gets_its_fair_share() -> None:
    shards = [shard(str(n)) for n in range(4)]
    alone = lease(ledger_of(*shards), seen("a"), NOW)
    joined = lease(alone, seen("b"), NOW)
    assert [*leaders(joined).values()] == ["a"] * 4  # each lease is good until it ends
    given_back = lease(joined, seen("a"), NOW)
    shared = lease(given_back, seen("b"), NOW)
    assert sorted(leaders(shared).values()) == ["a", "a", "b", "b"]
    # And from then on nothing moves.
    assert leaders(lease(shared, seen("a"), NOW)) == leaders(shared)


def test_a_lease_that_is_over_is_taken_by_another_follower() -> None:
    led = lease(ledger_of(shard("1")), seen("a"), NOW)
    later = NOW + LEASE + 0.1
    assert leaders(lease(led, seen("b", NOW + 1), NOW + 1)) == {"1": "a"}
    assert leaders(lease(led, seen("b", later), later)) == {"1": "b"}


def test_a_lease_that_lies_too_far_ahead_is_damage() -> None:
    damaged = ledger_of(shard("1", leader="a", leased_until=NOW + 3600.0))
    assert leaders(lease(damaged, seen("b"), NOW)) == {"1": "b"}


def test_a_shard_without_a_place_is_led_by_the_follower_that_opened_it() -> None:
    begun = begin_epoch(
        None,
        table="users",
        region=REGION,
        arn="arn",
        view="KEYS_ONLY",
        epoch="e",
        shards=["1"],
        leader=seen("a"),
        now=NOW,
        followed_until=NOW,
    )
    assert leaders(lease(begun, seen("b"), NOW)) == {"1": "a"}
    later = NOW + LEASE + 0.1
    # Nobody else can know what came after it was opened.
    assert leaders(lease(begun, seen("b", later), later)) == {"1": "a"}
    assert has_gap(begun, later)
    assert not has_gap(begun, NOW)
    placed = advance(begun, "a", {"1": Progress("9", NOW)})
    assert not has_gap(placed, later)
    assert leaders(lease(placed, seen("b", later), later)) == {"1": "b"}


def test_what_was_done_in_a_shard_that_another_one_leads_by_now_is_left_out() -> None:
    led = ledger_of(shard("1", leader="b", leased_until=NOW + LEASE))
    assert advance(led, "a", {"1": Progress("9", NOW + 9)}) == led


def test_a_table_is_followed_until_the_least_of_its_shards() -> None:
    led = ledger_of(shard("1"), shard("2", followed_until=NOW - 7))
    assert led.followed_until == NOW - 7


def test_until_when_a_shard_is_followed_never_goes_back() -> None:
    led = ledger_of(shard("1", leader="a"))
    assert advance(led, "a", {"1": Progress("9", NOW - 5)}).followed_until == NOW


def test_a_shard_that_has_ended_stays_until_its_children_are_known() -> None:
    led = ledger_of(shard("1", leader="a"), shard("2", followed_until=NOW + 50))
    ended = advance(led, "a", {"1": Progress("9", NOW + 1, has_ended=True)})
    assert ended.shards[0].has_ended
    assert ended.followed_until == NOW + 1
    children = Progress("9", NOW + 1, has_ended=True, children=("3", "4"))
    split = advance(ended, "a", {"1": children})
    assert [each.id for each in split.shards] == ["3", "4", "2"]
    assert all(each.is_whole and not each.after for each in split.shards[:2])
    # The children vouch for no more than their parent did.
    assert split.followed_until == NOW + 1


def test_a_child_that_is_known_already_keeps_its_place() -> None:
    led = ledger_of(shard("1", leader="a"), shard("3", after="77", is_whole=True))
    children = Progress("9", NOW, has_ended=True, children=("3",))
    assert advance(led, "a", {"1": children}).shards == (led.shards[1],)


def test_a_follower_that_ends_leaves_its_shards_to_the_others_at_once() -> None:
    led = lease(ledger_of(shard("1")), seen("a"), NOW)
    released = release(led, "a")
    assert leaders(lease(released, seen("b"), NOW)) == {"1": "b"}
    assert [each.process for each in released.followers] == []


def test_followers_beyond_the_most_stand_by_until_one_is_gone() -> None:
    led = lease(lease(ledger_of(shard("1")), seen("a"), NOW), seen("b"), NOW)
    assert may_join(led, "a", NOW, 2)
    assert not may_join(led, "c", NOW, 2)
    assert may_join(led, "c", NOW, 3)
    assert may_join(led, "c", NOW + LEASE + 1, 2)


def test_a_new_epoch_keeps_the_counts_and_counts_a_gap() -> None:
    former = ledger_of(shard("1"), records=5, evicted=9, gaps=1, last_change=3.0)
    new = begin_epoch(
        former,
        table="users",
        region=REGION,
        arn="arn2",
        view="NEW_IMAGE",
        epoch="f",
        shards=["2"],
        leader=seen("a"),
        now=NOW,
        followed_until=NOW,
    )
    assert (new.records, new.evicted, new.gaps, new.last_change) == (5, 9, 2, 3.0)
    assert [each.id for each in new.shards] == ["2"]


def test_a_ledger_survives_its_bytes() -> None:
    codec, led = ClearEntries(), lease(ledger_of(shard("1")), seen("a"), NOW)
    name = ledger_name(REGION, "users")
    assert open_ledger(codec, name, seal_ledger(codec, led, NOW)) == led


@pytest.mark.parametrize(
    "damaged",
    [
        ledger_of(shard("1"), table="orders"),
        ledger_of(),
        ledger_of(shard("\x1b[2J")),
        ledger_of(shard("1", after="5" * 3000)),
        ledger_of(shard("1"), arn="a\nb"),
    ],
)
def test_a_ledger_that_no_follower_writes_is_refused(damaged: Ledger) -> None:
    codec, name = ClearEntries(), ledger_name(REGION, "users")
    sealed = seal_ledger(codec, replace(damaged, table="users"), NOW)
    if damaged.table != "users":
        name = ledger_name(REGION, "orders")
    with pytest.raises(CodecError):
        open_ledger(codec, name, sealed)


def test_cut_bytes_are_refused() -> None:
    codec, name = ClearEntries(), ledger_name(REGION, "users")
    with pytest.raises(CodecError):
        open_ledger(codec, name, seal_ledger(codec, ledger_of(shard("1")), NOW)[:-1])
