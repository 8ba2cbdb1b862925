"""What may go wrong around a follower does no more harm than it must.

Each test is a fault that a follower had. By the stand-in, in turns.
"""

from collections.abc import Callable, Sequence
from random import Random

import pytest

from botocache._botocore.following import new_follower
from botocache._cache.entries import ClearEntries
from botocache._coherence import EvictionRequest
from botocache._errors import StoreError
from botocache._streams.follower import MOST_THREADS, Fetchers
from botocache._streams.ledger import (
    LEASE,
    MOST_SHARDS,
    Ledger,
    ShardPlace,
    ledger_name,
    open_ledger,
    seal_ledger,
    strays,
)
from botocache._streams.source import Page, Shard, StreamError, StreamForbiddenError
from botocache._streams.table_follower import CHECK, HOPELESS, LOOK, RETRY
from botocache._streams.troubles import QUIET
from tests.support.clock import FakeClock
from tests.support.followers import REGION, FollowedTable, Watched, item
from tests.support.stand_in_source import StandInSource
from tests.support.stand_in_streams import StandInStream

A_LITTLE = 3.0


@pytest.fixture
def table() -> FollowedTable:
    return FollowedTable()


class Broken(StandInSource):
    """A source that raises for a while what no source may."""

    is_broken = False
    failure: Callable[[], Exception] = staticmethod(lambda: ValueError("no page"))

    def read(self, iterator: str) -> Page:
        if self.is_broken:
            raise self.failure()
        return super().read(iterator)


def counted_evictions(table: FollowedTable) -> list[Sequence[bytes]]:
    """Return a list that gets the tags of each eviction."""
    asked: list[Sequence[bytes]] = []
    evict = table.store.evict

    def counted(request: EvictionRequest) -> object:
        asked.append(request.tags)
        return evict(request)

    table.store.evict = counted  # type: ignore[method-assign, assignment]  # it counts
    return asked


# --- a store that fails ------------------------------------------------------------


def test_a_store_that_fails_is_not_asked_without_a_pause(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    attempts: list[float] = []

    def fail(_request: EvictionRequest) -> object:
        attempts.append(table.clock())
        raise StoreError("the store is down")

    table.stream.put(item("7"))
    evict = table.store.evict
    table.store.evict = fail  # type: ignore[method-assign, assignment]  # it fails
    end, pauses = table.clock() + 10, []
    while table.clock() < end:
        pauses.append(follower.step(table.clock()))
        table.clock.advance(max(pauses[-1], 0.001))
    assert len(attempts) <= 21
    assert len(pauses) < 200
    table.store.evict = evict  # type: ignore[method-assign]
    watched = Watched(table, "7")
    table.run(follower, seconds=1)
    assert "item" in watched.evicted


def test_a_board_that_takes_no_ledger_does_not_empty_the_table_every_second(
    table: FollowedTable,
) -> None:
    def full(*_: object) -> bool:
        raise StoreError("the board is full")

    table.store.merge = full  # type: ignore[method-assign, assignment]  # it fails
    asked = counted_evictions(table)
    table.run(table.follower(), seconds=300)
    assert len(asked) <= 8


def test_a_ledger_of_too_many_shards_is_not_begun(table: FollowedTable) -> None:
    stream = StandInStream(clock=table.clock, shards=4001)
    many = FollowedTable(stream)
    asked = counted_evictions(many)
    follower = many.follower()
    follower.step(many.clock())
    assert asked == []
    assert "4001" in follower.tables[0].troubles.last


def test_a_ledger_of_as_many_shards_as_can_be_fits_on_the_board() -> None:
    random = Random(7)
    places = tuple(
        ShardPlace(
            f"shardId-{random.randrange(10**20):020}-{random.randrange(2**32):08x}",
            str(random.randrange(10**37, 10**38)),
            is_whole=True,
            followed_until=random.random() * 1e9,
            leader=f"{random.randrange(8):016x}",
            leased_until=random.random() * 1e9,
        )
        for _ in range(MOST_SHARDS)
    )
    ledger = Ledger("users", "arn", "KEYS_ONLY", "e", places, region=REGION)
    codec, name = ClearEntries(), ledger_name(REGION, "users")
    assert open_ledger(codec, name, seal_ledger(codec, ledger, 1000.0)) == ledger


# --- several followers -------------------------------------------------------------


def test_a_gap_is_overcome_while_another_follower_beats() -> None:
    clock = FakeClock()
    table = FollowedTable(StandInStream(clock=clock, shards=4))
    first, second = table.follower(), table.follower()
    for number in range(40):
        table.stream.put(item(str(number)))
    table.run(first, seconds=1)
    for number in range(40):
        table.stream.put(item(str(number)))
    table.run(first, second, seconds=20)
    assert {each.leader for each in table.ledger.shards} == {
        f"{number:016x}" for number in (1, 2)
    }
    for number in range(40):
        table.stream.put(item(str(number)))
        table.stream.put(item(str(number)))
    # The other one has no gap, and goes on to change the ledger every second.
    for place in table.ledger.led_by(f"{1:016x}"):
        table.stream.trim(place.id)
    # The two take turns, so each finds the ledger changed by the other.
    table.run(first, second, seconds=RETRY + 5)
    assert table.clock() - table.followed_until < A_LITTLE
    assert table.ledger.gaps == 1


def test_followers_that_begin_at_once_do_not_replace_each_others_epoch(
    table: FollowedTable,
) -> None:
    first, second = table.follower(), table.follower()
    # The second one begins while the first one is about to write.
    steps = iter([second])

    def meanwhile(action: str, _shard: str) -> None:
        if action == "GetShardIterator":
            for other in steps:
                other.step(table.clock())

    table.stream.before = meanwhile
    first.step(table.clock())
    epoch = table.ledger.epoch
    table.run(first, second, seconds=5)
    assert table.ledger.epoch == epoch
    assert table.ledger.gaps == 0
    assert {each.leader for each in table.ledger.shards} == {f"{2:016x}"}


def test_a_follower_that_cannot_read_leaves_the_shards_to_others(
    table: FollowedTable,
) -> None:
    blind = Broken(table.stream)
    blind.failure = lambda: StreamForbiddenError("no")
    first = table.follower(blind, most=1)
    second = table.follower(most=1)
    table.run(first, seconds=5)
    table.stream.put(item("1"))
    table.run(first, seconds=5)
    blind.is_broken = True
    table.run(first, second, seconds=HOPELESS + 2 * LOOK)
    assert table.clock() - table.followed_until < A_LITTLE
    assert table.ledger.gaps == 0


def test_a_follower_that_is_alone_goes_on_when_it_can_read_again(
    table: FollowedTable,
) -> None:
    source = Broken(table.stream)
    follower = table.follower(source)
    table.run(follower, seconds=5)
    table.stream.put(item("1"))
    table.run(follower, seconds=5)
    source.is_broken = True
    table.run(follower, seconds=120)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    source.is_broken = False
    table.run(follower, seconds=LOOK + 5)
    assert watched.evicted == {"item", "partition", "writes"}
    assert table.clock() - table.followed_until < A_LITTLE


def test_who_takes_over_after_the_first_record_need_not_evict_the_table(
    table: FollowedTable,
) -> None:
    first, second = table.follower(), table.follower()
    table.run(first, seconds=5)
    (reader,) = first.tables[0].readers.values()
    reader.due_at = table.clock()
    first.tables[0]._next_beat = table.clock() + 0.9  # so no beat is due with it
    watched = Watched(table, "1")
    table.stream.put(item("1"))
    while not watched.evicted:
        table.step(first)
    table.run(second, seconds=LEASE + 5)  # the first one was killed just then
    assert table.ledger.gaps == 0
    assert table.clock() - table.followed_until < A_LITTLE


def test_a_table_that_is_named_twice_is_followed_once(
    table: FollowedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    arn = f"arn:aws:dynamodb:{REGION}:123456789012:table/users"
    other = "arn:aws:dynamodb:eu-west-1:123456789012:table/users"
    follower = new_follower(["users", arn, other], table.services, table.store)
    assert len(follower.tables) == 2


def test_two_regions_have_a_ledger_each() -> None:
    assert ledger_name("us-east-1", "users") != ledger_name("eu-west-1", "users")


# --- answers -----------------------------------------------------------------------


def test_an_answer_that_cannot_be_read_ends_no_thread(table: FollowedTable) -> None:
    source = Broken(table.stream)
    fetchers = Fetchers()
    follower = table.follower(source)
    table.run(follower, seconds=2)
    table.stream.put(item("1"))  # so that the shard can be opened again
    table.run(follower, seconds=5)
    (reader,) = follower.tables[0].readers.values()
    source.is_broken = True
    for _ in range(MOST_THREADS + 1):
        ((found, error),) = fetchers.fetch([reader])
        assert found is reader
        assert isinstance(error, StreamError)
        reader.page = None
    source.is_broken = False
    ((_, error),) = fetchers.fetch([reader])
    assert error is None
    fetchers.stop()


def test_a_reader_that_raised_waits_before_it_reads_again(table: FollowedTable) -> None:
    source = Broken(table.stream)
    follower = table.follower(source)
    table.run(follower, seconds=2)
    before = table.stream.requests("GetRecords")
    source.is_broken = True
    steps = 0
    end = table.clock() + 30
    while table.clock() < end:
        table.clock.advance(max(0.001, follower.step(table.clock())))
        steps += 1
    assert steps < 100
    assert table.stream.requests("GetRecords") == before


@pytest.mark.parametrize("record", [None, "x", {}, {"dynamodb": None}, {"dynamodb": 7}])
def test_whatever_is_no_record_evicts_the_table(
    table: FollowedTable, record: object
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    (shard,) = table.stream.newest.shards
    shard.records[-1].content = record  # type: ignore[assignment]  # damaged
    table.run(follower, seconds=A_LITTLE)
    assert watched.evicted == {"table"}
    again = Watched(table, "8")
    table.stream.put(item("8"))
    table.run(follower, seconds=A_LITTLE)
    assert "item" in again.evicted


# --- gaps that come again and again ------------------------------------------------


def test_gaps_that_come_again_evict_the_table_less_and_less_often(
    table: FollowedTable,
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    asked = counted_evictions(table)
    table.stream.refuse("GetRecords", "ExpiredIteratorException", 10_000)
    table.run(follower, seconds=300)
    assert len(asked) <= 9


def test_a_shard_that_was_shown_too_late_is_found(table: FollowedTable) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.stream.split()
    one, late = table.stream.open_shards
    late.is_listed = False
    table.run(follower, seconds=10)
    late.is_listed = True
    assert [each.id for each in table.ledger.shards] == [one.id]
    table.run(follower, seconds=2 * CHECK + 10)
    assert {each.id for each in table.ledger.shards} == {one.id, late.id}
    assert table.ledger.gaps == 1
    table.run(follower, seconds=3 * CHECK)
    assert table.ledger.gaps == 1  # and not again


def test_a_child_that_may_have_lost_its_first_records_is_a_gap(
    table: FollowedTable,
) -> None:
    first, second = table.follower(), table.follower()
    table.run(first, seconds=5)
    table.stream.split()
    while any(not each.is_whole for each in table.ledger.shards):
        table.step(first)
    first.release()
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    table.clock.advance(23.5 * 3600)
    table.stream.trim()
    table.run(second, seconds=RETRY + 5)
    assert watched.evicted == {"table"}
    assert table.ledger.gaps == 1


def test_shards_that_the_frontier_leads_to_are_no_strays() -> None:
    ledger = Ledger("users", "arn", "KEYS_ONLY", "e", (ShardPlace("b"),))
    shown = [
        Shard("a", "", is_closed=False),  # an old view: it has ended
        Shard("b", "a", is_closed=True),
        Shard("c", "b", is_closed=True),
        Shard("d", "c", is_closed=False),
    ]
    assert strays(ledger, shown) == frozenset()
    shown += [Shard("e", "a", is_closed=False), Shard("f", "", is_closed=True)]
    assert strays(ledger, shown) == {"e"}


# --- a clock that is set back ------------------------------------------------------


def test_a_follower_goes_on_when_the_clock_of_the_store_is_set_back(
    table: FollowedTable,
) -> None:
    follower = table.follower()
    table.run(follower, seconds=5)
    table.clock.advance(-600)
    watched = Watched(table, "7")
    table.stream.put(item("7"))
    table.run(follower, seconds=10)
    assert "item" in watched.evicted
    assert 0 <= table.clock() - table.followed_until < A_LITTLE


def test_a_moment_of_a_clock_that_was_set_back_is_not_handed_on(
    table: FollowedTable,
) -> None:
    first, second = table.follower(), table.follower()
    table.stream.put(item("1"))
    table.run(first, seconds=5)
    table.stream.put(item("1"))
    table.run(first, seconds=5)
    first.release()
    table.clock.advance(-600)
    table.stream.refuse("GetRecords", "InternalServerError", 10_000)
    table.run(second, seconds=10)
    assert table.followed_until <= table.clock()


# --- the log -----------------------------------------------------------------------


def test_troubles_that_take_turns_do_not_fill_the_log(
    table: FollowedTable, caplog: pytest.LogCaptureFixture
) -> None:
    source = Broken(table.stream)
    texts = iter("ab" * 10_000)
    source.failure = lambda: StreamError(next(texts))
    follower = table.follower(source)
    table.run(follower, seconds=2)
    source.is_broken = True
    table.run(follower, seconds=25)
    assert len(caplog.records) == 2


def test_a_trouble_is_over_some_time_after_its_last_failure(
    table: FollowedTable, caplog: pytest.LogCaptureFixture
) -> None:
    source = Broken(table.stream)
    source.failure = lambda: StreamError("no")
    follower = table.follower(source)
    table.run(follower, seconds=2)
    for _ in range(2):
        source.is_broken = True
        table.run(follower, seconds=10)
        assert follower.tables[0].troubles.last == "no"
        source.is_broken = False
        table.run(follower, seconds=QUIET + 10)
        assert follower.tables[0].troubles.last == ""
    assert len(caplog.records) == 2
