"""A follower evicts what others have changed, and says up to when it has done so.

By the stand-in, in turns: no thread, and no time that passes by itself.
"""

import pytest

from botocache._coherence import EvictionRequest, Held
from botocache._dynamodb.tags import tag_digest
from botocache._errors import StoreError
from botocache._streams.ledger import LEASE
from botocache._streams.table_follower import CHECK, RETRY
from tests.support.clock import FakeClock
from tests.support.followers import FollowedTable, Watched, item
from tests.support.stand_in_streams import StandInStream

ITEM = {"item", "partition", "writes"}
A_LITTLE = 3.0
"""Seconds in which a change is evicted, on a quiet shard at the latest."""


@pytest.fixture
def table() -> FollowedTable:
    return FollowedTable()


# --- what a change evicts ------------------------------------------------------------


def test_a_change_of_another_program_is_evicted(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    watched, other = Watched(table, "7"), Watched(table, "8")
    table.stream.put(item("7"))
    table.run(follower, seconds=A_LITTLE)
    assert watched.evicted == ITEM
    assert other.evicted == {"writes"}


def test_only_replicas_may_lag_when_a_record_arrives(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.put(item("7"))
    tag = tag_digest(table.tags_of("7")["item"])
    while True:
        table.step(follower)
        held = table.store.load(b"\0" * 16, (tag,)).held
        if held:
            break
    assert held is Held.SETTLING  # so a strongly consistent answer may be filled


def test_a_record_never_ends_the_hold_off_of_a_write(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    tag = tag_digest(table.tags_of("7")["item"])
    table.store.evict(EvictionRequest((tag,), 60.0))  # a write of ours begins
    table.stream.put(item("7"))
    table.run(follower, seconds=A_LITTLE)
    assert table.store.load(b"\0" * 16, (tag,)).held is Held.WRITING


def test_with_both_images_only_their_index_partitions_are_evicted() -> None:
    table = FollowedTable(precise_index_eviction=True)
    follower = table.follower()
    table.run(follower, seconds=5)
    watched = Watched(table, "7")
    table.stream.put(item("7", city="Rome"), item("7", city="Oslo"))
    table.run(follower, seconds=A_LITTLE)
    assert watched.evicted == {"item", "partition", "precise writes"}


def test_a_damaged_record_evicts_the_table(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    for shard in table.stream.newest.shards:
        for record in shard.records:
            del record.content["dynamodb"]["Keys"]
    table.run(follower, seconds=A_LITTLE)
    assert watched.evicted == {"table"}


def test_a_thousand_changes_are_evicted_in_a_few_requests(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    for number in range(1000):
        table.stream.put(item(f"{number % 100}"))
    requests: list[int] = []
    evict = table.store.evict

    def counted(request: EvictionRequest) -> object:
        requests.append(len(request.tags))
        return evict(request)

    table.store.evict = counted  # type: ignore[method-assign, assignment]  # it counts
    table.run(follower, seconds=A_LITTLE)
    # One hundred items with a partition each, and the tag of any write.
    assert requests == [100, 100, 1]


# --- how it begins -------------------------------------------------------------------


def test_the_table_is_evicted_at_the_start(table: FollowedTable) -> None:
    watched = Watched(table, "7")
    follower = table.follower()
    table.step(follower)
    assert watched.evicted == {"table"}


def test_what_is_changed_between_opening_and_eviction_is_read(
    table: FollowedTable,
) -> None:
    watched = Watched(table, "7")

    def change(action: str, _shard: str) -> None:
        if action == "GetRecords":
            table.stream.before = lambda _action, _shard: None
            table.stream.put(item("7"))

    table.stream.before = change
    table.run(table.follower(), seconds=A_LITTLE)
    assert watched.evicted == {"table", *ITEM}


def test_a_second_follower_joins_without_evicting(table: FollowedTable) -> None:
    first, second = table.follower(), table.follower()
    table.run(first, seconds=5)
    watched = Watched(table, "7")
    table.run(first, second, seconds=20)
    assert watched.evicted == set()
    assert len(table.ledger.followers) == 2


def test_a_table_without_a_stream_is_said_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    stream = StandInStream(clock=clock, is_enabled=False)
    table = FollowedTable(stream)
    follower = table.follower()
    table.run(follower, seconds=30)
    (said,) = [r.getMessage() for r in caplog.records]
    assert "StreamEnabled=true" in said
    assert stream.requests("ListStreams") <= 30 / RETRY + 2
    stream.enable()
    table.run(follower, seconds=RETRY + 5)
    assert table.clock() - table.followed_until < A_LITTLE


# --- what readers may trust ----------------------------------------------------------


def test_a_quiet_table_is_followed_until_a_moment_ago(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=120)
    assert 0 <= table.clock() - table.followed_until < 4
    # Two requests in four seconds; the rest is the start.
    assert table.stream.requests("GetRecords") < 120 / 2 + 10
    assert table.stream.requests("DescribeStream") <= 2 * 120 / CHECK + 3


def test_a_busy_table_is_followed_too_though_no_page_is_empty(
    table: FollowedTable,
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    for number in range(200):
        table.stream.put(item(f"{number}"))
        table.step(follower)
    assert 0 <= table.clock() - table.followed_until < 5


def test_a_follower_that_is_behind_says_so(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.hide()
    table.stream.put(item("7"))
    table.stream.most_records = 1
    table.stream.put(item("8"))
    hidden_at = table.clock()
    table.run(follower, seconds=60)
    table.stream.show()
    table.step(follower)
    table.run(follower, seconds=1.0)
    assert table.followed_until >= hidden_at - 3  # it never goes back


def test_a_wrong_clock_of_this_machine_does_not_matter(table: FollowedTable) -> None:
    # The service is an hour ahead; its own Date says how old a record is.
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.date_offset = 3600.0
    for number in range(20):
        now = table.clock() + 3600.0
        table.stream.write(None, item(f"{number}"), created_at=now)
        table.step(follower)
    assert 0 <= table.clock() - table.followed_until < 5


def test_nothing_is_vouched_for_while_evictions_fail(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    evict, watched = table.store.evict, Watched(table, "7")

    def fail(_request: EvictionRequest) -> object:
        raise StoreError("down")

    table.store.evict = fail  # type: ignore[method-assign, assignment]  # it fails
    table.stream.put(item("7"))
    changed_at = table.clock()
    table.run(follower, seconds=20)
    assert table.followed_until <= changed_at
    table.store.evict = evict  # type: ignore[method-assign]  # it works again
    table.run(follower, seconds=A_LITTLE)
    assert watched.evicted == ITEM
    assert table.clock() - table.followed_until < 4


def test_the_heartbeat_of_the_ledger_is_what_readers_find(table: FollowedTable) -> None:
    from botocache._cache.call_store import CallStore
    from botocache._coherence import TRUST

    table.run(table.follower(), seconds=10)
    call = CallStore(table.store)
    heartbeats, now = table.services.heartbeats, table.clock()
    found = heartbeats.trusted_until("us-east-1", "users", now, call)
    assert found == table.followed_until + TRUST


# --- shards --------------------------------------------------------------------------


def test_the_children_of_a_shard_are_read_after_it(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    before, after = Watched(table, "7"), Watched(table, "8")
    table.stream.put(item("7"))
    children = table.stream.split()
    table.stream.put(item("8"))
    table.run(follower, seconds=A_LITTLE + 2)
    assert before.evicted == ITEM
    assert after.evicted == ITEM
    assert [each.id for each in table.ledger.shards] == children
    table.run(follower, seconds=5)
    assert table.clock() - table.followed_until < 4


def test_nothing_is_vouched_for_until_the_children_are_known(
    table: FollowedTable,
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.split(are_listed=False)
    split_at = table.clock()
    describes = table.stream.requests("DescribeStream")
    table.run(follower, seconds=30)
    assert table.followed_until <= split_at + 0.5
    # It asks for them now and then, and not in a loop.
    assert table.stream.requests("DescribeStream") - describes < 30
    table.stream.list_shards()
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    table.run(follower, seconds=10)
    assert watched.evicted == ITEM
    assert table.clock() - table.followed_until < 4


def test_generations_of_shards_are_followed(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    watched = [Watched(table, f"{n}") for n in range(5)]
    for number in range(5):
        table.stream.put(item(f"{number}"))
        table.stream.roll_over()
    table.run(follower, seconds=20)
    assert all(each.evicted == ITEM for each in watched)
    assert len(table.ledger.shards) == 1
    assert table.ledger.gaps == 0


# --- what goes wrong -----------------------------------------------------------------


def test_an_expired_iterator_is_opened_behind_the_last_record(
    table: FollowedTable,
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.put(item("1"))
    table.run(follower, seconds=5)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    table.stream.expire_iterators()
    table.run(follower, seconds=A_LITTLE)
    assert watched.evicted == ITEM
    assert table.ledger.gaps == 0


def test_an_expired_iterator_without_a_place_is_a_gap(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    table.stream.expire_iterators()
    table.run(follower, seconds=A_LITTLE + RETRY)
    assert watched.evicted == {"table"}
    assert table.ledger.gaps == 1


def test_an_iterator_that_always_expires_is_not_retried_for_ever(
    table: FollowedTable,
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.put(item("1"))
    table.run(follower, seconds=5)
    before = table.stream.requests("GetShardIterator")
    table.stream.refuse("GetRecords", "ExpiredIteratorException", 10_000)
    table.run(follower, seconds=60)
    assert table.stream.requests("GetShardIterator") - before < 60


def test_records_that_are_gone_are_a_gap(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.put(item("1"))
    table.run(follower, seconds=5)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    table.stream.put(item("8"))
    table.stream.trim()
    table.run(follower, seconds=A_LITTLE + RETRY)
    assert watched.evicted == {"table"}
    assert table.ledger.gaps == 1
    again = Watched(table, "9")
    table.stream.put(item("9"))
    table.run(follower, seconds=A_LITTLE)
    assert again.evicted == ITEM


def test_a_shard_that_does_not_exist_any_more_is_a_gap(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    gone = table.stream.open_shards[0].id
    table.stream.roll_over()
    table.stream.vanish(gone)
    table.run(follower, seconds=A_LITTLE + RETRY)
    assert watched.evicted == {"table"}
    assert table.clock() - table.followed_until < 5


def test_a_shard_whose_reads_fail_and_fail_is_opened_again(
    table: FollowedTable,
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.put(item("1"))
    table.run(follower, seconds=5)
    opened = table.stream.requests("GetShardIterator")
    table.stream.refuse("GetRecords", "InternalServerError", 25)
    table.run(follower, seconds=150)
    # After ten failures each, and once by another lease. It has a place, so nothing
    # was missed.
    assert 2 <= table.stream.requests("GetShardIterator") - opened <= 4
    assert table.ledger.gaps == 0
    assert table.clock() - table.followed_until < 4


def test_throttled_requests_come_less_often(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    before = table.stream.requests("GetRecords")
    table.stream.throttle(10_000)
    table.run(follower, seconds=60)
    assert table.stream.requests("GetRecords") - before < 20


def test_a_forbidden_stream_is_said_once(
    table: FollowedTable, caplog: pytest.LogCaptureFixture
) -> None:
    table.stream.deny("GetRecords")
    table.run(table.follower(), seconds=60)
    said = [r.getMessage() for r in caplog.records if "stream_failed" in r.getMessage()]
    assert len(said) == 1


def test_a_stream_that_is_switched_off_and_on_is_a_gap(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.disable()
    off_at = table.clock()
    table.run(follower, seconds=CHECK + 30)
    assert table.followed_until <= off_at + 1
    watched = Watched(table, "7")
    table.stream.put(item("7"))  # nobody is told of it
    table.stream.enable()
    table.run(follower, seconds=30)
    assert watched.evicted == {"table"}
    assert table.ledger.arn == table.stream.arn
    assert table.clock() - table.followed_until < 4


def test_a_late_record_and_one_that_comes_twice_are_evicted(
    table: FollowedTable,
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.put(item("7"))
    table.run(follower, seconds=A_LITTLE)
    again = Watched(table, "7")
    table.stream.repeat(table.stream.open_shards[0].id)
    table.run(follower, seconds=A_LITTLE)
    assert again.evicted == ITEM


# --- several followers ---------------------------------------------------------------


def test_another_follower_takes_over_within_seconds(table: FollowedTable) -> None:
    first, second = table.follower(), table.follower()
    table.run(first, second, seconds=5)
    table.stream.put(item("1"))
    table.run(first, second, seconds=5)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    table.run(second, seconds=LEASE + 4)  # the first one was killed
    assert watched.evicted == ITEM
    assert table.ledger.gaps == 0
    assert len(table.ledger.followers) == 1


def test_a_table_that_had_no_record_yet_is_evicted_by_who_takes_over(
    table: FollowedTable,
) -> None:
    first, second = table.follower(), table.follower()
    table.run(first, second, seconds=5)
    watched = Watched(table, "7")
    table.run(second, seconds=LEASE + 4)
    assert watched.evicted == {"table"}
    assert table.clock() - table.followed_until < 4


def test_a_follower_that_ends_is_followed_at_once(table: FollowedTable) -> None:
    first, second = table.follower(), table.follower()
    table.run(first, second, seconds=5)
    table.stream.put(item("1"))
    table.run(first, second, seconds=5)
    first.release()
    table.run(second, seconds=2)
    (shard,) = table.ledger.shards
    assert shard.leader == table.ledger.followers[0].process
    assert table.ledger.gaps == 0


def test_a_leader_that_was_paused_does_no_harm(table: FollowedTable) -> None:
    first, second = table.follower(), table.follower()
    table.run(first, second, seconds=5)
    table.stream.put(item("1"))
    table.run(first, second, seconds=5)
    leader = next(f for f in (first, second) if f.tables[0].readers)
    other = second if leader is first else first
    (reader,) = leader.tables[0].readers.values()
    table.stream.put(item("7"))
    reader.read()  # it has a page in its hands, and is stopped for a minute
    table.run(other, seconds=60)
    watched = Watched(table, "8")
    table.stream.put(item("8"))
    table.run(leader, other, seconds=A_LITTLE)
    assert watched.evicted == ITEM
    (shard,) = table.ledger.shards
    assert shard.leader == other.tables[0]._me.process
    assert not leader.tables[0].readers
    assert table.ledger.gaps == 0


def test_followers_that_begin_together_agree(table: FollowedTable) -> None:
    followers = [table.follower() for _ in range(4)]
    table.run(*followers, seconds=20)
    assert sum(len(f.tables[0].readers) for f in followers) == 1
    assert len(table.ledger.followers) == 4


def test_shards_are_shared_once_they_have_a_place() -> None:
    clock = FakeClock()
    table = FollowedTable(StandInStream(clock=clock, shards=4))
    first, second = table.follower(), table.follower()
    table.run(first, second, seconds=5)
    for number in range(64):
        table.stream.put(item(f"{number}"))
    table.run(first, second, seconds=10)
    assert len(first.tables[0].readers) == len(second.tables[0].readers) == 2
    watched = [Watched(table, f"{number}") for number in range(16)]
    for number in range(16):
        table.stream.put(item(f"{number}"))
    table.run(first, second, seconds=A_LITTLE)
    assert all(each.evicted == ITEM for each in watched)


def test_more_followers_than_a_service_needs_stand_by(table: FollowedTable) -> None:
    followers = [table.follower(most=2) for _ in range(5)]
    table.run(*followers, seconds=30)
    assert len(table.ledger.followers) == 2
    table.stream.put(item("1"))
    table.run(*followers, seconds=5)
    # The two are killed; one that stood by goes on.
    names = {each.process for each in table.ledger.followers}
    left = [f for f in followers if f.tables[0]._me.process not in names]
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    table.run(*left, seconds=20)
    assert watched.evicted == ITEM


# --- the store -----------------------------------------------------------------------


def test_a_ledger_that_is_lost_begins_anew(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    watched = Watched(table, "7")
    for name in [*table.store.names()]:
        table.store.post(name, b"damaged", 60.0)
    table.run(follower, seconds=10)
    assert watched.evicted == {"table"}
    assert table.clock() - table.followed_until < 4


def test_a_board_that_fails_is_asked_again(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    merge = table.store.merge

    def fail(*_: object) -> bool:
        raise StoreError("down")

    table.store.merge = fail  # type: ignore[method-assign, assignment]  # it fails
    table.run(follower, seconds=20)
    table.store.merge = merge  # type: ignore[method-assign]  # it works again
    table.run(follower, seconds=10)
    assert table.clock() - table.followed_until < 4
    assert "leads 1 shards" in repr(follower)
