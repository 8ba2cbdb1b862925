"""Reads and writes that overlap, and the key attributes that are known meanwhile.

The interleavings are forced: a handler of one client's event makes the call of another
client at that moment.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import botocache
from botocache import Cache
from botocache.stores.clock import machine_clock
from botocache.stores.disk.store import DiskStore
from tests.integration import other_process
from tests.integration.app import (
    TTL,
    WINDOW,
    World,
    delete,
    every_store,
    get,
    put,
    query,
    query_index,
    query_parameters,
    set_n,
    wire,
)
from tests.support.dynamodb import DynamoDB
from tests.support.network import intercepted
from tests.support.processes import running_peer
from tests.support.write_through import without_write_through

TIMEOUT = 30
"""Seconds after which a test that waits for a thread fails."""

MOMENTS = ("before-send", "response-received")
"""Just before a request reaches DynamoDB, and just after its answer has left it."""

moments = pytest.mark.parametrize("moment", MOMENTS)

Reader = Callable[[Any, str], Any]

READERS: dict[str, tuple[str, Reader]] = {
    "GetItem": ("GetItem", lambda client, table: [get(client, table, pk="a")]),
    "Query": ("Query", lambda client, table: query(client, table, pk="a")),
}

readers = pytest.mark.parametrize(
    ("operation", "read"), READERS.values(), ids=READERS.keys()
)


@pytest.fixture
def cache(world: World, session: boto3.Session) -> Cache:
    """The cache: hold-offs are looked at here."""
    return without_write_through(
        botocache.install(session, url=world.store, reads_after_write="uncached")
    )


@contextmanager
def meanwhile(client: Any, event: str, action: Callable[[], object]) -> Iterator[None]:
    """Do something once, when the client's next call comes to this event."""
    done: list[bool] = []

    def act(**_: Any) -> None:
        if not done:
            done.append(True)
            action()

    with intercepted(client, event, act):
        yield
    assert done, f"nothing came to {event}"


class Thread(threading.Thread):
    """A thread whose failure makes its test fail."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            self._error = error

    def finish(self) -> None:
        """Wait for its end, and raise what it raised."""
        self.join(TIMEOUT)
        assert not self.is_alive()
        if self._error is not None:
            raise self._error


class Pair:
    """A reader and a writer of one application, without hold-offs.

    So the tests show that generations alone prevent stale hits.
    """

    def __init__(self, world: World) -> None:
        session = world.session()
        botocache.install(session, url=world.store, settle=0, write_hold_off=0)
        self.reader, self.writer = world.client(session), world.client(session)


@pytest.fixture
def pair(world: World) -> Pair:
    """A reader and a writer."""
    return Pair(world)


# --- a read and a write ------------------------------------------------------------


@every_store
@moments
@readers
def test_an_answer_is_not_filled_if_a_write_overlaps_the_read(
    moment: str, operation: str, read: Reader, world: World, pair: Pair
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    with meanwhile(
        pair.reader,
        f"{moment}.dynamodb.{operation}",
        lambda: set_n(pair.writer, table, 2, pk="a"),
    ):
        read(pair.reader, table)
    with world.counting() as reached:
        assert [read(pair.reader, table) for _ in range(3)] == [
            [{"pk": "a", "n": 2}]
        ] * 3
    assert reached == {operation: 1}


@every_store
@moments
@readers
def test_an_entry_from_during_a_write_is_not_served_after_it(
    moment: str, operation: str, read: Reader, world: World, pair: Pair
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    with meanwhile(
        pair.writer,
        f"{moment}.dynamodb.UpdateItem",
        lambda: [read(pair.reader, table) for _ in range(2)],
    ):
        set_n(pair.writer, table, 2, pk="a")
    with world.counting() as reached:
        assert [read(pair.reader, table) for _ in range(3)] == [
            [{"pk": "a", "n": 2}]
        ] * 3
    assert reached == {operation: 1}


@every_store
@moments
def test_a_read_that_began_during_a_write_and_ended_after_it_is_not_filled(
    moment: str, world: World, table: str, pair: Pair
) -> None:
    put(world.outside, table, pk="a", n=1)
    under_way, write_ended = threading.Event(), threading.Event()

    def wait_for_the_write() -> None:
        under_way.set()
        assert write_ended.wait(TIMEOUT)

    def read_slowly() -> None:
        event = "response-received.dynamodb.GetItem"
        with meanwhile(pair.reader, event, wait_for_the_write):
            get(pair.reader, table, pk="a")

    reading = Thread(read_slowly)

    def start_reading() -> None:
        reading.start()
        assert under_way.wait(TIMEOUT)

    with meanwhile(pair.writer, f"{moment}.dynamodb.UpdateItem", start_reading):
        set_n(pair.writer, table, 2, pk="a")
    write_ended.set()
    reading.finish()
    with world.counting() as reached:
        found = [get(pair.writer, table, pk="a") for _ in range(2)]
    assert found == [{"pk": "a", "n": 2}] * 2
    assert reached == {"GetItem": 1}


@every_store
def test_a_hit_is_not_served_once_a_write_has_begun(
    world: World, table: str, pair: Pair
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(pair.reader, table, pk="a")
    seen: list[Any] = []
    with (
        world.counting() as reached,
        meanwhile(
            pair.writer,
            "response-received.dynamodb.UpdateItem",
            lambda: seen.append(get(pair.reader, table, pk="a")),
        ),
    ):
        set_n(pair.writer, table, 2, pk="a")
    assert seen == [{"pk": "a", "n": 2}]
    assert reached == {"GetItem": 1, "UpdateItem": 1}


@every_store
def test_a_read_that_lags_behind_a_write_does_not_pin_the_old_value(
    world: World, table: str, client: Any
) -> None:
    set_n(client, table, 2, pk="a")
    set_n(world.outside, table, 1, pk="a")  # what a replica that lags still has
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    world.clock.advance(0.9)
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    set_n(world.outside, table, 2, pk="a")
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    world.clock.advance(0.2)
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}


@every_store
def test_a_read_that_began_on_hold_off_and_ended_after_it_is_not_filled(
    world: World, table: str, client: Any
) -> None:
    set_n(client, table, 2, pk="a")
    with meanwhile(client, "response-received.dynamodb.GetItem", world.settle):
        get(client, table, pk="a")
    with world.counting() as reached:
        get(client, table, pk="a")
    assert reached == {"GetItem": 1}


# --- writes that overlap -----------------------------------------------------------


@every_store
def test_a_write_within_a_write_does_not_shorten_its_hold_off(
    world: World, table: str, client: Any, session: boto3.Session
) -> None:
    first, second = world.client(session), world.client(session)
    found: list[Any] = []

    def write_and_read() -> None:
        set_n(second, table, 1, pk="a")
        world.settle()  # of the second write; the first one is still under way
        with world.counting() as reached:
            found.extend(get(client, table, pk="a") for _ in range(2))
        assert reached == {"GetItem": 2}

    with meanwhile(first, "before-send.dynamodb.UpdateItem", write_and_read):
        set_n(first, table, 2, pk="a")
    assert found == [{"pk": "a", "n": 1}] * 2
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert_filled_once_the_window_is_over(world, client, table)


@every_store
def test_a_write_that_ends_before_another_does_not_shorten_its_hold_off(
    world: World, table: str, client: Any, session: boto3.Session
) -> None:
    slow = world.client(session)
    under_way, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        under_way.set()
        assert go_on.wait(TIMEOUT)

    def write_slowly() -> None:
        with meanwhile(slow, "before-send.dynamodb.UpdateItem", wait):
            set_n(slow, table, 2, pk="a")

    writing = Thread(write_slowly)
    writing.start()
    assert under_way.wait(TIMEOUT)
    set_n(client, table, 1, pk="a")
    world.settle()
    with world.counting() as reached:
        found = [get(client, table, pk="a") for _ in range(2)]
    go_on.set()
    writing.finish()
    assert found == [{"pk": "a", "n": 1}] * 2
    assert reached == {"GetItem": 2}
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert_filled_once_the_window_is_over(world, client, table)


def assert_filled_once_the_window_is_over(
    world: World, client: Any, table: str
) -> None:
    """Require that the item a is cached again once the longest hold-off is over."""
    world.clock.advance(WINDOW)
    with world.counting() as reached:
        for _ in range(2):
            assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert reached == {"GetItem": 1}


@every_store
@moments
def test_an_interrupted_write_evicts_and_keeps_its_whole_hold_off(
    moment: str, world: World, table: str, client: Any
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")

    def interrupt() -> None:
        set_n(world.outside, table, 2, pk="a")
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        meanwhile(client, f"{moment}.dynamodb.UpdateItem", interrupt),
    ):
        set_n(client, table, 2, pk="a")
    world.clock.advance(WINDOW - 0.2)
    with world.counting() as reached:
        for _ in range(2):
            assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert reached == {"GetItem": 2}
    world.clock.advance(0.2)
    assert_filled_once_the_window_is_over(world, client, table)


# --- other processes ---------------------------------------------------------------


class OffsetClock:
    """The machine's clock, and some seconds that have not passed."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return machine_clock() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


def test_a_writer_that_is_killed_before_its_write_ends_leaves_nothing_old(
    dynamodb: DynamoDB, tmp_path: Path
) -> None:
    outside = dynamodb.client()
    table = dynamodb.create_table("pk:S", client=outside)
    put(outside, table, pk="a", n=1)
    clock = OffsetClock()
    session = dynamodb.session()
    botocache.install(session, url=DiskStore(tmp_path, clock=clock), write_hold_off=60)
    client = dynamodb.client(session)
    assert [get(client, table, pk="a") for _ in range(2)] == [{"pk": "a", "n": 1}] * 2
    with running_peer() as peer:
        theirs = other_process.Application(dynamodb.url, tmp_path, table)
        peer.start(theirs.write_and_die, "a", 2)
        with pytest.raises(AssertionError, match="-9"):
            peer.result()
    with dynamodb.counting() as reached:
        for _ in range(2):
            assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert reached == {"GetItem": 2}
    clock.advance(WINDOW)  # the hold-off of the writer that was killed
    with dynamodb.counting() as reached:
        for _ in range(2):
            assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert reached == {"GetItem": 1}


def test_a_store_that_is_lost_during_a_write_leaves_nothing_old_behind_it(
    dynamodb: DynamoDB, tmp_path: Path
) -> None:
    """A process that is new to the store cannot see a write that is under way."""
    outside = dynamodb.client()
    table = dynamodb.create_table("pk:S", client=outside)
    put(outside, table, pk="a", n=1)

    def application() -> Any:
        session = dynamodb.session()
        botocache.install(session, url=DiskStore(tmp_path / "store"))
        return dynamodb.client(session)

    writer, newcomer = application(), application()

    def lose_and_read() -> None:
        shutil.rmtree(tmp_path / "store" / "v1")
        assert get(newcomer, table, pk="a") == {"pk": "a", "n": 1}

    with meanwhile(writer, "before-send.dynamodb.UpdateItem", lose_and_read):
        set_n(writer, table, 2, pk="a")
    assert get(newcomer, table, pk="a") == {"pk": "a", "n": 2}


def test_a_write_in_one_process_is_seen_by_the_next_read_in_another(
    dynamodb: DynamoDB, tmp_path: Path
) -> None:
    table = dynamodb.create_table("pk:S")
    ours = other_process.Application(dynamodb.url, tmp_path, table)
    with running_peer() as peer, dynamodb.counting() as reached:
        for n in range(0, 40, 2):
            ours.write("a", n)
            for _ in range(2):
                assert peer.call(ours.read, "a") == {"pk": "a", "n": n}
            peer.call(ours.write, "a", n + 1)
            for _ in range(2):
                assert ours.read("a") == {"pk": "a", "n": n + 1}
    assert reached == {"UpdateItem": 40, "GetItem": 40}


# --- what is known of a table's key ------------------------------------------------
#
# A put evicts the item that it names when the key attributes are known, else the
# whole table. Which one it was shows in whether an entry of another partition lives.


def put_restores_other_partitions(world: World, client: Any, table: str) -> bool:
    """Return whether the key attributes of a table are known when an item is put."""
    query(client, table, pk="b")
    put(client, table, pk="a", sk="1")
    with world.counting() as reached:
        query(client, table, pk="b")
    return not reached


@pytest.fixture
def ranged(world: World) -> str:
    """The name of a table with the key `pk`, `sk`."""
    return world.table("pk:S", "sk:S")


@every_store
def test_a_put_before_any_schema_is_known_evicts_the_table(
    world: World, ranged: str, client: Any
) -> None:
    for pk in "ab":
        assert query(client, ranged, pk=pk) == []
    put(client, ranged, pk="a", sk="1")
    with world.counting() as reached:
        assert query(client, ranged, pk="a") == [{"pk": "a", "sk": "1"}]
        assert query(client, ranged, pk="b") == []
    assert reached == {"Query": 2}


TEACHERS: dict[str, Callable[[Any, str], Any]] = {
    "GetItem": lambda c, t: get(c, t, pk="a", sk="1"),
    "UpdateItem": lambda c, t: set_n(c, t, 1, pk="z", sk="1"),
    "DeleteItem": lambda c, t: delete(c, t, pk="z", sk="1"),
    "BatchWriteItem": lambda c, t: c.batch_write_item(
        RequestItems={t: [{"DeleteRequest": {"Key": wire({"pk": "z", "sk": "1"})}}]}
    ),
    "TransactWriteItems": lambda c, t: c.transact_write_items(
        TransactItems=[
            {"Delete": {"TableName": t, "Key": wire({"pk": "z", "sk": "1"})}}
        ]
    ),
    "DescribeTable": lambda c, t: c.describe_table(TableName=t),
    "UpdateTable": lambda c, t: c.update_table(
        TableName=t, BillingMode="PAY_PER_REQUEST"
    ),
    "LastEvaluatedKey": lambda c, t: c.query(
        **query_parameters(t, None, pk="page"), Limit=1
    ),
}

teachers = pytest.mark.parametrize("teach", TEACHERS.values(), ids=TEACHERS.keys())


@every_store
@teachers
def test_the_key_attributes_are_learned_from_traffic(
    teach: Callable[[Any, str], Any], world: World, client: Any
) -> None:
    table = world.table("pk:S", "sk:S")
    for sk in "12":
        put(world.outside, table, pk="page", sk=sk)
    teach(client, table)
    world.settle()
    assert put_restores_other_partitions(world, client, table)


@every_store
def test_the_key_attributes_are_learned_when_a_table_is_created(
    world: World, client: Any
) -> None:
    table = world.dynamodb.create_table("pk:S", "sk:S", client=client)
    world.settle()
    assert put_restores_other_partitions(world, client, table)


@every_store
def test_a_query_alone_does_not_teach_all_key_attributes(
    world: World, ranged: str, client: Any
) -> None:
    query(client, ranged, pk="a")
    assert not put_restores_other_partitions(world, client, ranged)


@every_store
def test_a_page_of_an_index_does_not_teach_the_tables_key_attributes(
    world: World, client: Any
) -> None:
    table = world.table(
        "pk:S",
        "sk:S",
        AttributeDefinitions=[{"AttributeName": "color", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_color",
                "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    for sk in "12":
        put(world.outside, table, pk="a", sk=sk, color="red")
    page = query_parameters(table, "by_color", color="red")
    assert "color" in client.query(**page, Limit=1)["LastEvaluatedKey"]
    put(client, table, pk="a", sk="1", color="red", n=1)
    world.settle()
    assert get(client, table, pk="a", sk="1") is not None
    put(client, table, pk="a", sk="1", color="red", n=2)
    item = {"pk": "a", "sk": "1", "color": "red", "n": 2}
    assert get(client, table, pk="a", sk="1") == item
    assert item in query_index(client, table, "by_color", color="red")


@every_store
def test_learned_key_attributes_are_shared_through_the_store(
    world: World, ranged: str, client: Any
) -> None:
    get(client, ranged, pk="a", sk="1")
    other = world.cached_client(ttl=30)  # another Cache, as in another process
    assert put_restores_other_partitions(world, other, ranged)


@every_store
def test_key_attributes_that_another_cache_outdates_are_not_trusted(
    world: World, ranged: str, client: Any
) -> None:
    other = world.cached_client(ttl=30)
    get(client, ranged, pk="a", sk="1")
    get(other, ranged, pk="a", sk="1")
    other.delete_table(TableName=ranged)
    world.dynamodb.create_table("id:S", name=ranged, client=other)
    world.settle()
    put(client, ranged, id="1", pk="a", sk="1", n=1)
    world.settle()
    assert [get(client, ranged, id="1") for _ in range(2)] == [
        {"id": "1", "pk": "a", "sk": "1", "n": 1}
    ] * 2
    put(client, ranged, id="1", pk="a", sk="1", n=2)
    for each in (client, other):
        assert get(each, ranged, id="1") == {"id": "1", "pk": "a", "sk": "1", "n": 2}


@every_store
def test_deleting_a_table_forgets_its_key_attributes(
    world: World, ranged: str, client: Any
) -> None:
    get(client, ranged, pk="a", sk="1")
    client.delete_table(TableName=ranged)
    world.table("pk:S", "sk:S", name=ranged)  # around botocache
    world.settle()
    assert not put_restores_other_partitions(world, client, ranged)


def recreate_with_an_index_of_what_was_the_key(world: World, table: str) -> None:
    """Create a table with another key and an index by `pk`, around the cache."""
    world.table(
        "id:S",
        name=table,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_pk",
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    put(world.outside, table, id="1", pk="a")


@every_store
def test_an_index_query_is_fresh_after_the_table_came_back_with_another_key(
    world: World, client: Any
) -> None:
    table = world.table("pk:S")
    get(client, table, pk="a")
    client.delete_table(TableName=table)
    recreate_with_an_index_of_what_was_the_key(world, table)
    world.settle()
    assert query_index(client, table, "by_pk", pk="a") == [{"id": "1", "pk": "a"}]
    put(client, table, id="1", pk="b")
    assert query_index(client, table, "by_pk", pk="a") == []
    assert query_index(client, table, "by_pk", pk="b") == [{"id": "1", "pk": "b"}]


@every_store
def test_a_table_that_came_back_around_us_with_another_key_is_bounded_by_the_ttl(
    world: World, client: Any
) -> None:
    table = world.table("pk:S")
    get(client, table, pk="a")
    world.outside.delete_table(TableName=table)
    recreate_with_an_index_of_what_was_the_key(world, table)
    world.clock.advance(TTL)
    assert query_index(client, table, "by_pk", pk="a") == [{"id": "1", "pk": "a"}]
    put(client, table, id="1", pk="b")
    assert query_index(client, table, "by_pk", pk="a") == []


WRONG_KEYS: dict[str, Callable[[Any, str], Any]] = {
    "GetItem": lambda c, t: get(c, t, pk="a"),
    "UpdateItem": lambda c, t: set_n(c, t, 1, pk="a"),
    "DeleteItem": lambda c, t: delete(c, t, pk="a"),
    "other attributes": lambda c, t: get(c, t, pk="a", other="1"),
}


@every_store
@pytest.mark.parametrize("ask", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_a_wrong_key_in_a_request_that_fails_teaches_nothing(
    ask: Callable[[Any, str], Any], world: World, client: Any
) -> None:
    table = world.table("pk:S", "sk:S")
    with pytest.raises(ClientError):
        ask(client, table)
    world.settle()
    assert not put_restores_other_partitions(world, client, table)


@every_store
@pytest.mark.parametrize("ask", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_a_wrong_key_in_a_request_that_fails_makes_nothing_stale(
    ask: Callable[[Any, str], Any], world: World, client: Any
) -> None:
    table = world.table("pk:S", "sk:S")
    put(world.outside, table, pk="a", sk="1", n=1)
    assert get(client, table, pk="a", sk="1") is not None
    with pytest.raises(ClientError):
        ask(client, table)
    put(client, table, pk="a", sk="1", n=2)
    assert get(client, table, pk="a", sk="1") == {"pk": "a", "sk": "1", "n": 2}
    assert query(client, table, pk="a") == [{"pk": "a", "sk": "1", "n": 2}]


OTHER_KEYS = {
    "another name": ("id:S",),
    "one attribute more": ("pk:S", "id:S"),
    "swapped": ("id:S", "pk:S"),
}


@every_store
@pytest.mark.parametrize("keys", OTHER_KEYS.values(), ids=OTHER_KEYS.keys())
def test_a_table_that_came_back_around_us_with_another_key_is_noticed(
    keys: tuple[str, ...], world: World, client: Any, cache: Cache
) -> None:
    table = world.table("pk:S")
    put(client, table, pk="a", id="1", n=0)
    assert get(client, table, pk="a") == {"pk": "a", "id": "1", "n": 0}
    world.settle()
    world.outside.delete_table(TableName=table)
    world.table(*keys, name=table)
    item = {"pk": "a", "id": "1"}
    key = {name.split(":")[0]: item[name.split(":")[0]] for name in keys}
    for n in range(4):
        put(client, table, **item, n=n)
        for _ in range(2):
            assert get(client, table, **key) == {**item, "n": n}
            assert query(client, table, **key) == [{**item, "n": n}]
        world.settle()
        assert get(client, table, **key) == {**item, "n": n}
        assert query(client, table, **key) == [{**item, "n": n}]
    with world.counting() as reached:
        get(client, table, **key)
        query(client, table, **key)
    assert reached == {}
    assert cache.stats().failures == {}


@every_store
def test_a_table_that_came_back_with_fewer_key_attributes_is_noticed(
    world: World, ranged: str, client: Any
) -> None:
    put(client, ranged, pk="a", sk="1", n=0)
    world.settle()
    get(client, ranged, pk="a", sk="1")
    query(client, ranged, pk="a")
    world.outside.delete_table(TableName=ranged)
    world.table("pk:S", name=ranged)
    for n in range(3):
        put(client, ranged, pk="a", sk="1", n=n)
        assert get(client, ranged, pk="a") == {"pk": "a", "sk": "1", "n": n}
        assert query(client, ranged, pk="a") == [{"pk": "a", "sk": "1", "n": n}]
        world.settle()
        assert get(client, ranged, pk="a") == {"pk": "a", "sk": "1", "n": n}
        put(client, ranged, pk="a", n=n)  # without what was a key attribute
        assert get(client, ranged, pk="a") == {"pk": "a", "n": n}
        world.settle()
        assert query(client, ranged, pk="a") == [{"pk": "a", "n": n}]
