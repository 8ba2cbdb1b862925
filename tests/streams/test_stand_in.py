"""The stand-in for DynamoDB Streams is as real streams are, in process and by HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from math import inf
from typing import Any

import pytest

from botocache._botocore.streams import BotocoreSource
from botocache._streams.source import (
    IteratorExpiredError,
    Page,
    RecordsTrimmedError,
    Shard,
    StreamError,
    StreamForbiddenError,
    StreamGoneError,
    StreamSource,
    StreamThrottledError,
)
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB
from tests.support.dynamodb_streams import serving
from tests.support.stand_in_source import StandInSource
from tests.support.stand_in_streams import ACTIONS, StandInStream
from tests.support.stream_records import stream_record
from tests.support.streamed_table import StreamedTable


class World:
    """A stream and what reads it."""

    def __init__(self, stream: StandInStream, source: StreamSource) -> None:
        self.stream = stream
        self.source = source

    @property
    def shards(self) -> list[str]:
        return [each.id for each in self.source.shards(self.stream.arn)]

    def latest(self, shard: str = "") -> str:
        return self.source.open_latest(self.stream.arn, shard or self.shards[0])

    def oldest(self, shard: str = "") -> str:
        return self.source.open_oldest(self.stream.arn, shard or self.shards[0])

    def after(self, number: str, shard: str = "") -> str:
        return self.source.open_after(self.stream.arn, shard or self.shards[0], number)


MakeWorld = Callable[..., World]


@pytest.fixture(params=["in process", "by HTTP"])
def make(
    request: pytest.FixtureRequest,
    clock: FakeClock,
    source_at: Callable[[str], BotocoreSource],
) -> Iterator[MakeWorld]:
    """Return a function that makes a world of a stream's options."""
    with ExitStack() as servers:

        def made(**options: Any) -> World:
            stream = StandInStream(clock=clock, **options)
            if request.param == "in process":
                return World(stream, StandInSource(stream))
            server = servers.enter_context(serving(stream))
            return World(stream, source_at(server.url))

        yield made


def item(name: object, **attributes: str) -> dict[str, Any]:
    return {"id": {"S": str(name)}, **{a: {"S": v} for a, v in attributes.items()}}


def names(page: Page) -> list[str]:
    return [each["dynamodb"]["Keys"]["id"]["S"] for each in page.records]


def numbers(page: Page) -> list[int]:
    return [int(each["dynamodb"]["SequenceNumber"]) for each in page.records]


def following(page: Page) -> str:
    assert page.next_iterator is not None
    return page.next_iterator


# --- records -----------------------------------------------------------------------


def test_a_reader_from_the_latest_record_sees_what_comes_later(make: MakeWorld) -> None:
    world = make()
    world.stream.put(item("before"))
    iterator = world.latest()
    world.stream.put(item("after"))
    page = world.source.read(iterator)
    assert names(page) == ["after"]
    assert names(world.source.read(following(page))) == []


def test_a_reader_after_a_record_goes_on_behind_it(make: MakeWorld) -> None:
    world = make()
    written = [world.stream.put(item(each)) for each in "abc"]
    assert names(world.source.read(world.after(written[0]))) == ["b", "c"]
    assert names(world.source.read(world.oldest())) == ["a", "b", "c"]


def test_sequence_numbers_grow_and_their_texts_do_not(make: MakeWorld) -> None:
    world = make()
    for each in range(20):
        world.stream.put(item(each))
    found = numbers(world.source.read(world.oldest()))
    assert found == sorted(found)
    assert list(map(str, found)) != sorted(map(str, found))


def test_a_page_knows_when_its_last_record_was_made_and_when_it_was_sent(
    make: MakeWorld, clock: FakeClock
) -> None:
    world = make()
    iterator = world.oldest()
    clock.advance(0.7)
    world.stream.put(item("a"))
    clock.advance(5)
    page = world.source.read(iterator)
    assert (page.created_at, page.answered_at) == (1000.0, 1005.0)
    empty = world.source.read(following(page))
    assert (empty.created_at, empty.answered_at) == (None, 1005.0)


def test_a_page_has_a_thousand_records_at_most(make: MakeWorld) -> None:
    world = make()
    for each in range(1001):
        world.stream.put(item(each))
    page = world.source.read(world.oldest())
    assert len(page.records) == 1000
    assert names(world.source.read(following(page))) == ["1000"]


def test_a_page_has_a_megabyte_at_most(make: MakeWorld) -> None:
    world = make(view="NEW_IMAGE")
    world.stream.most_bytes = 1 << 20
    for each in range(5):
        world.stream.put(item(each, text="x" * 300_000))
    page = world.source.read(world.oldest())
    assert names(page) == ["0", "1", "2"]
    assert names(world.source.read(following(page))) == ["3", "4"]


def test_a_page_may_be_empty_though_records_follow(make: MakeWorld) -> None:
    world = make()
    world.stream.put(item("a"))
    world.stream.return_empty_pages(2)
    iterator = world.oldest()
    for expected in ([], [], ["a"]):
        page = world.source.read(iterator)
        assert names(page) == expected
        iterator = following(page)


def test_a_record_may_be_late(make: MakeWorld) -> None:
    world = make()
    world.stream.put(item("in time"))
    world.stream.hide()
    world.stream.put(item("late"))
    world.stream.put(item("later"))
    iterator, latest = world.oldest(), world.latest()
    page = world.source.read(iterator)
    assert names(page) == ["in time"]
    world.stream.show(1)
    assert names(world.source.read(following(page))) == ["late"]
    world.stream.show()
    # The late ones came after the iterator was opened.
    assert names(world.source.read(latest)) == ["late", "later"]


def test_a_record_may_come_twice(make: MakeWorld) -> None:
    world = make()
    world.stream.put(item("a"))
    world.stream.put(item("b"))
    world.stream.repeat(world.shards[0], back=2)
    page = world.source.read(world.oldest())
    assert names(page) == ["a", "b", "a"]
    assert len(set(numbers(page))) == 3


# --- shards ------------------------------------------------------------------------


def test_a_split_shard_ends_and_its_children_go_on(make: MakeWorld) -> None:
    world = make()
    parent = world.shards[0]
    for each in range(20):
        world.stream.put(item(each))
    children = world.stream.split()
    for each in range(20):
        world.stream.put(item(each))
    page = world.source.read(world.oldest(parent))
    assert (len(page.records), page.next_iterator) == (20, None)
    assert world.source.shards(world.stream.arn) == [
        Shard(parent, "", is_closed=True),
        *(Shard(each, parent, is_closed=False) for each in children),
    ]
    assert [
        each.id for each in world.source.children(world.stream.arn, parent)
    ] == children
    parts = [names(world.source.read(world.oldest(each))) for each in children]
    assert all(parts)
    assert sorted(chain(*parts)) == sorted(map(str, range(20)))
    assert set(parts[0]).isdisjoint(parts[1])


def test_an_item_stays_in_one_shard_until_that_splits(make: MakeWorld) -> None:
    world = make(shards=4)
    for each in [*range(30), *range(30)]:
        world.stream.put(item(each))
    parts = [names(world.source.read(world.oldest(each))) for each in world.shards]
    assert sum(map(len, parts)) == 60
    assert sum(len(set(part)) for part in parts) == 30


def test_a_shard_rolls_over_with_one_child(make: MakeWorld) -> None:
    world = make()
    parent = world.shards[0]
    child = world.stream.roll_over()
    assert world.source.children(world.stream.arn, parent) == [
        Shard(child, parent, is_closed=False)
    ]


def test_children_may_be_listed_later_than_their_parent_ends(make: MakeWorld) -> None:
    world = make()
    parent = world.shards[0]
    children = world.stream.split(are_listed=False)
    assert world.source.read(world.oldest()).next_iterator is None
    assert world.source.children(world.stream.arn, parent) == []
    world.stream.list_shards()
    found = world.source.children(world.stream.arn, parent)
    assert [each.id for each in found] == children


def test_a_shard_that_vanished_is_gone_for_each_request(make: MakeWorld) -> None:
    world = make()
    shard, iterator = world.shards[0], world.oldest()
    world.stream.split()
    world.stream.vanish(shard)
    assert shard not in world.shards
    with pytest.raises(StreamGoneError):
        world.source.read(iterator)
    with pytest.raises(StreamGoneError):
        world.oldest(shard)


def test_a_stream_that_is_switched_off_can_be_read_and_ends(make: MakeWorld) -> None:
    world = make()
    iterator = world.oldest()
    world.stream.put(item("a"))
    world.stream.disable()
    assert world.stream.put(item("b")) == ""
    found = world.source.find("users")
    assert found is not None
    assert not found.is_enabled
    assert not world.source.is_enabled(found.arn)
    page = world.source.read(iterator)
    assert (names(page), page.next_iterator) == (["a"], None)
    assert world.source.children(found.arn, world.shards[0]) == []


def test_a_stream_that_is_switched_on_again_is_another_one(make: MakeWorld) -> None:
    world = make()
    first, iterator = world.stream.arn, world.oldest()
    world.stream.disable()
    world.stream.enable("KEYS_ONLY")
    found = world.source.find("users")
    assert found is not None
    assert (found.arn, found.view, found.is_enabled) == (
        world.stream.arn,
        "KEYS_ONLY",
        True,
    )
    assert found.arn != first
    assert world.source.read(iterator).next_iterator is None
    world.stream.forget_streams()
    with pytest.raises(StreamGoneError):
        world.source.shards(first)
    with pytest.raises(StreamGoneError):
        world.source.read(iterator)


def test_a_table_without_a_stream_has_none(make: MakeWorld) -> None:
    world = make(is_enabled=False)
    assert world.source.find("users") is None
    assert world.source.find("orders") is None


# --- what goes wrong ---------------------------------------------------------------


def test_an_iterator_expires_after_a_quarter_of_an_hour(
    make: MakeWorld, clock: FakeClock
) -> None:
    world = make()
    iterator = world.latest()
    clock.advance(900)
    iterator = following(world.source.read(iterator))
    clock.advance(901)
    with pytest.raises(IteratorExpiredError):
        world.source.read(iterator)
    world.source.read(world.latest())


def test_iterators_expire_when_a_test_says_so(make: MakeWorld) -> None:
    world = make()
    iterator = world.latest()
    world.stream.expire_iterators()
    with pytest.raises(IteratorExpiredError):
        world.source.read(iterator)
    world.source.read(world.latest())


def test_an_iterator_of_another_server_counts_as_expired(make: MakeWorld) -> None:
    world = make()
    with pytest.raises(IteratorExpiredError):
        world.source.read(f"{world.stream.arn}|1|strange")


def test_records_that_are_trimmed_are_missed(make: MakeWorld) -> None:
    world = make()
    iterator = world.oldest()
    written = [world.stream.put(item(each)) for each in "abc"]
    world.stream.trim(records=2)
    with pytest.raises(RecordsTrimmedError):
        world.source.read(iterator)
    with pytest.raises(RecordsTrimmedError):
        world.after(written[0])
    assert names(world.source.read(world.oldest())) == ["c"]
    assert names(world.source.read(world.after(written[2]))) == []


def test_a_number_that_a_shard_never_had_counts_as_a_gap(make: MakeWorld) -> None:
    world = make(shards=2)
    for each in range(10):
        world.stream.put(item(each))
    first, second = world.shards
    number = numbers(world.source.read(world.oldest(first)))[0]
    with pytest.raises(StreamGoneError):
        world.after(str(number), second)


def test_the_next_requests_are_throttled(make: MakeWorld) -> None:
    world = make()
    world.stream.throttle(2)
    world.stream.throttle(1, "DescribeStream")
    with pytest.raises(StreamThrottledError):
        world.source.shards(world.stream.arn)
    iterator = world.latest()
    for _ in range(2):
        with pytest.raises(StreamThrottledError):
            world.source.read(iterator)
    world.source.read(iterator)


def test_a_shard_takes_five_requests_a_second(
    make: MakeWorld, clock: FakeClock
) -> None:
    world = make(shards=2)
    world.stream.rate = 5
    first, second = map(world.latest, world.shards)
    for _ in range(5):
        world.source.read(first)
    with pytest.raises(StreamThrottledError):
        world.source.read(first)
    world.source.read(second)
    clock.advance(1)
    world.source.read(first)


def test_a_shard_takes_two_readers(make: MakeWorld, clock: FakeClock) -> None:
    world = make()
    world.stream.readers = 2
    first, second, third = (world.latest() for _ in range(3))
    first = following(world.source.read(first))
    world.source.read(second)
    world.source.read(first)
    with pytest.raises(StreamThrottledError):
        world.source.read(third)
    clock.advance(1)
    world.source.read(third)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_may_be_denied(make: MakeWorld, action: str) -> None:
    world = make()
    iterator = world.latest()
    shard = world.shards[0]
    world.stream.deny(action)
    requests: dict[str, Callable[[], object]] = {
        "ListStreams": lambda: world.source.find("users"),
        "DescribeStream": lambda: world.source.shards(world.stream.arn),
        "GetShardIterator": lambda: world.latest(shard),
        "GetRecords": lambda: world.source.read(iterator),
    }
    for name, request in requests.items():
        # `find` describes the stream as well.
        if name == action or (name, action) == ("ListStreams", "DescribeStream"):
            with pytest.raises(StreamForbiddenError, match=action):
                request()
        else:
            request()
    world.stream.allow()
    requests[action]()


def test_any_other_failure_is_an_error_of_the_stream(make: MakeWorld) -> None:
    world = make()
    iterator = world.latest()
    world.stream.refuse("GetRecords", "InternalServerError")
    with pytest.raises(StreamError) as caught:
        world.source.read(iterator)
    assert type(caught.value) is StreamError
    assert world.stream.counts["GetRecords", world.shards[0]] == 1


@pytest.mark.parametrize("offset", [-3600.0, 3600.0, None])
def test_the_date_may_be_wrong_or_absent(make: MakeWorld, offset: float | None) -> None:
    world = make()
    world.stream.date_offset = offset
    page = world.source.read(world.latest())
    assert page.answered_at == (None if offset is None else 1000.0 + offset)


def test_requests_are_counted_by_action_and_shard(make: MakeWorld) -> None:
    world = make(shards=2)
    first, second = world.shards
    iterator = world.latest(first)
    for _ in range(3):
        iterator = following(world.source.read(iterator))
    assert world.stream.counts == {
        ("DescribeStream", ""): 1,
        ("GetShardIterator", first): 1,
        ("GetRecords", first): 3,
    }
    assert world.stream.requests("GetRecords") == 3
    assert second


def test_something_may_happen_just_before_a_request(make: MakeWorld) -> None:
    world = make()
    iterator = world.latest()

    def split(action: str, shard: str) -> None:
        world.stream.before = lambda _action, _shard: None
        world.stream.split(shard)

    world.stream.before = split
    assert world.source.read(iterator).next_iterator is None


# --- the records of writes ---------------------------------------------------------


def test_a_stream_without_limits_has_none() -> None:
    stream = StandInStream()
    assert stream.rate == stream.readers == inf


def test_a_write_that_changes_nothing_has_no_record() -> None:
    with pytest.raises(ValueError, match="no record"):
        stream_record(None, None)


@pytest.mark.parametrize(
    "view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
)
def test_records_of_writes_are_those_of_motos_streams(
    dynamodb: DynamoDB, source_at: Callable[[str], BotocoreSource], view: str
) -> None:
    specification = {"StreamEnabled": True, "StreamViewType": view}
    table = dynamodb.create_table("id:S", "at:N", StreamSpecification=specification)
    stream = StandInStream(table, view=view, keys=("id", "at"))
    written = StreamedTable(dynamodb.client(), stream)
    # Not a binary key: moto's records have those in base64 twice.
    key = {"id": {"S": "a"}, "at": {"N": "7"}}
    written.put({**key, "n": {"N": "1"}})
    written.update(
        key,
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"L": [{"BS": [b"\x00"]}, {"NULL": True}]}},
    )
    written.put({**key, "m": {"M": {"a": {"SS": ["b"]}}}})
    written.delete(key)
    assert written.delete(key) == ""

    def read(source: StreamSource) -> list[Any]:
        found = source.find(table)
        assert found is not None
        (shard,) = source.shards(found.arn)
        page = source.read(source.open_oldest(found.arn, shard.id))
        ours = ("Keys", "NewImage", "OldImage", "StreamViewType")
        return [
            (
                each["eventName"],
                {name: each["dynamodb"].get(name) for name in ours},
            )
            for each in page.records
        ]

    motos = read(source_at(dynamodb.url))
    assert [event for event, _ in motos] == ["INSERT", "MODIFY", "MODIFY", "REMOVE"]
    assert read(StandInSource(stream)) == motos
    with serving(stream) as server:
        assert read(source_at(server.url)) == motos
