"""Shadow mode and audits: what is sent, what is compared, and what a difference is."""

import contextlib
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import pytest

import botocache
from botocache import Cache, Stats
from botocache._cache import audits as audits_module
from botocache._cache.audits import Audits, Suspect
from botocache._cache.tickets import AuditTicket, Hit, ReadTicket, Ticket
from botocache._settings.load import Settings
from botocache._settings.tables import parse_tables
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support import calls
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore
from tests.support.lagging_dynamodb import LaggingDynamoDB

SETTLE = 1.1
"""Seconds after which the hold-off of a write that ended is over."""

SHADOW = Settings(shadow=True)
ALWAYS = Settings(audit=1.0)

Asked = tuple[str, dict[str, Any]]


def key(pk: str = "a", sk: str = "1") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def item(n: int, pk: str = "a", sk: str = "1", g: str = "g") -> dict[str, Any]:
    return {**key(pk, sk), "n": {"N": str(n)}, "g": {"S": g}}


def query_by(name: str, value: str, **more: Any) -> Asked:
    return "Query", {
        "TableName": "t",
        "KeyConditionExpression": f"{name} = :v",
        "ExpressionAttributeValues": {":v": {"S": value}},
        **more,
    }


GET: Asked = ("GetItem", {"TableName": "t", "Key": key()})
QUERY = query_by("pk", "a")
INDEX_QUERY = query_by("g", "g", IndexName="by g")
SCAN: Asked = ("Scan", {"TableName": "t"})
BATCH: Asked = (
    "BatchGetItem",
    {"RequestItems": {"t": {"Keys": [key(), key(sk="2")]}}},
)
READS = {"get": GET, "query": QUERY, "index": INDEX_QUERY, "scan": SCAN, "batch": BATCH}


def put_of(n: int, **more: Any) -> Asked:
    return "PutItem", {"TableName": "t", "Item": item(n, **more)}


CACHES: list[Cache] = []
"""What the test has made."""


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    """Close what the test has made: it may have a thread that retries evictions."""
    yield
    while CACHES:
        CACHES.pop().close()


def new_cache(store: Store, settings: Settings) -> Cache:
    """Return a cache that is closed at the end of the test."""
    CACHES.append(Cache(store, settings))
    return CACHES[-1]


class World:
    """A cache in front of a DynamoDB that lags as long as the hold-off of a write."""

    def __init__(
        self, clock: FakeClock, settings: Settings, lag: float = 0.0, **more: Any
    ) -> None:
        self.clock = clock
        self.database = LaggingDynamoDB(clock, lag, **more)
        self.store = FailingStore(MemoryStore(clock=clock))
        self.cache = new_cache(self.store, settings)

    def begin(self, asked: Asked) -> Hit | Ticket | None:
        operation, parameters = asked
        return calls.begin(self.cache, operation, json.loads(json.dumps(parameters)))

    def finish(self, asked: Asked, outcome: Hit | Ticket | None) -> dict[str, Any]:
        """Send what was begun, if it was no hit; return the answer."""
        if isinstance(outcome, Hit):
            return outcome.answer
        body = getattr(outcome, "body", None)
        sent = asked[1] if body is None else json.loads(body)
        answer = self.database.answer(asked[0], sent)
        if outcome is not None:
            self.cache.finish(outcome, answer, succeeded=True, certain=True)
        return answer

    def call(self, asked: Asked) -> dict[str, Any]:
        return self.finish(asked, self.begin(asked))

    def warm(self, asked: Asked = GET, n: int = 1) -> None:
        """Have an item put, and its read cached, with no hold-off left."""
        self.call(put_of(n))
        self.clock.advance(SETTLE)
        self.call(asked)
        self.database.requests.clear()

    @property
    def stats(self) -> Stats:
        return self.cache.stats()

    def compared(self) -> tuple[int, dict[str, int]]:
        return compared_in(self.stats)


def compared_in(stats: Stats) -> tuple[int, dict[str, int]]:
    """Return how many hits were compared, and the differences by what they were."""
    differing: Counter[str] = Counter()
    for table in stats.tables:
        differing.update(table.differing)
    return sum(table.compared for table in stats.tables), dict(differing)


@pytest.fixture
def shadow(clock: FakeClock) -> World:
    return World(clock, SHADOW)


@pytest.fixture
def audited(clock: FakeClock) -> World:
    return World(clock, ALWAYS)


# --- what is sent and served -------------------------------------------------------


@pytest.mark.parametrize("asked", READS.values(), ids=READS)
def test_in_shadow_mode_each_read_is_sent_and_a_hit_is_counted(
    shadow: World, asked: Asked
) -> None:
    shadow.warm(asked)
    before = shadow.stats
    for _ in range(3):
        assert shadow.call(asked) == shadow.database.answer(*asked)
    keys = 2 if asked is BATCH else 1
    assert shadow.database.requests == [asked] * 6
    assert shadow.stats.hits - before.hits == 3 * keys
    assert shadow.stats.misses == before.misses
    assert shadow.stats.fills == before.fills
    assert shadow.compared() == (3 * keys, {})


def test_in_shadow_mode_the_caller_gets_the_answer_of_dynamodb_itself(
    shadow: World,
) -> None:
    shadow.warm()
    shadow.database.put(item(2))
    outcome = shadow.begin(GET)
    assert isinstance(outcome, AuditTicket)
    answer = shadow.database.answer(*GET)
    answer["ResponseMetadata"] = {"RequestId": "DYNAMODB"}
    before = json.dumps(answer)
    shadow.cache.finish(outcome, answer, succeeded=True, certain=True)
    assert json.dumps(answer) == before


WITH_ADDITIONS: dict[str, tuple[dict[str, Any], Asked, Callable[[World], object]]] = {
    "a read after a write": (
        {"reads_after_write": "consistent"},
        GET,
        lambda world: world.call(("UpdateItem", update_of(2))),
    ),
    "a write that requests the old item": (
        {"precise_index_eviction": True},
        put_of(2),
        lambda world: world.call(INDEX_QUERY),
    ),
    "a batch with hits": ({}, BATCH, lambda world: world.call(GET)),
}
"""Settings, a request that botocache changes, and what comes before it."""


def update_of(n: int, **more: Any) -> dict[str, Any]:
    return {
        "TableName": "t",
        "Key": key(),
        "UpdateExpression": "SET n = :n",
        "ExpressionAttributeValues": {":n": {"N": str(n)}},
        **more,
    }


@pytest.mark.parametrize("name", WITH_ADDITIONS)
@pytest.mark.parametrize("is_shadow", [False, True])
def test_shadow_mode_changes_no_request(
    clock: FakeClock, name: str, is_shadow: bool
) -> None:
    options, asked, prepare = WITH_ADDITIONS[name]
    world = World(clock, Settings(shadow=is_shadow, **options))
    world.warm()
    prepare(world)
    world.database.requests.clear()
    world.call(asked)
    assert (world.database.requests == [asked]) is is_shadow


def test_in_shadow_mode_no_write_is_refused(clock: FakeClock) -> None:
    settings = Settings(shadow=True, on_eviction_failure="refuse")
    world = World(clock, settings)
    world.store.failing.add("evict")
    world.call(put_of(1))
    assert world.database.requests == [put_of(1)]
    serving = World(clock, Settings(on_eviction_failure="refuse"))
    serving.store.failing.add("evict")
    with pytest.raises(botocache.EvictionError):
        serving.call(put_of(1))


@pytest.mark.parametrize("settings", [SHADOW, ALWAYS], ids=["shadow", "audit"])
def test_a_hit_that_dynamodb_does_not_answer_is_counted_and_not_compared(
    clock: FakeClock, settings: Settings
) -> None:
    world = World(clock, settings)
    world.warm()
    before = world.stats
    outcome = world.begin(GET)
    assert isinstance(outcome, AuditTicket)
    error = {"Error": {"Code": "ProvisionedThroughputExceededException"}}
    world.cache.finish(outcome, error, succeeded=False, certain=True)
    outcome = world.begin(GET)
    assert isinstance(outcome, AuditTicket)
    world.cache.fail(outcome)
    assert world.stats.hits - before.hits == 2
    assert world.stats.units_consumed == before.units_consumed
    assert world.compared() == (0, {})


def test_a_refused_audit_ends_the_hits_of_its_reader(audited: World) -> None:
    audited.warm()
    outcome = audited.begin(GET)
    assert isinstance(outcome, AuditTicket)
    error = {"Error": {"Code": "AccessDeniedException"}}
    audited.cache.finish(outcome, error, succeeded=False, certain=True)
    audited.cache.refuse(outcome, error)
    assert isinstance(audited.begin(GET), ReadTicket)


UNITS = {"get": 0.5, "query": 0.5, "index": 0.5, "scan": 0.5, "batch": 1.0}
"""Read units of each read, eventually consistent and of small items."""


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("settings", [SHADOW, ALWAYS], ids=["shadow", "audit"])
def test_a_hit_saves_units_in_shadow_mode_and_consumes_them_in_an_audit(
    clock: FakeClock, settings: Settings, name: str
) -> None:
    world, asked, units = World(clock, settings), READS[name], UNITS[name]
    world.database.put(item(1, sk="2"))
    world.warm(asked)
    before = world.stats
    for _ in range(4):
        world.call(asked)
    saved = world.stats.units_saved - before.units_saved
    consumed = world.stats.units_consumed - before.units_consumed
    spent = (4 * units, 0.0) if settings.shadow else (0.0, 4 * units)
    assert (saved, consumed) == pytest.approx(spent)


def test_the_latency_of_a_hit_in_shadow_mode_is_that_of_its_load(
    shadow: World,
) -> None:
    shadow.warm()
    outcome = shadow.begin(GET)
    assert isinstance(outcome, AuditTicket)
    shadow.finish(GET, outcome._replace(seconds=4e-4))
    (table,) = [each for each in shadow.stats.tables if each.store_hits]
    assert table.store_latency.count == 1
    assert table.store_latency.seconds == 4e-4


# --- which hits are audited --------------------------------------------------------


def test_a_share_of_the_hits_goes_to_dynamodb_and_the_rest_is_served(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(clock, Settings(audit=0.1, ttl=600.0))
    monkeypatch.setattr(world.cache._services.audits, "_draw", Random(7).random)
    world.warm()
    for _ in range(2000):
        world.call(GET)
    sent = len(world.database.requests)
    assert 150 < sent < 250
    assert world.compared() == (sent, {})
    assert world.stats.hits == 2000


def test_of_a_batch_the_hits_that_are_drawn_are_requested_with_the_misses(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(clock, Settings(audit=0.5))
    for sk in "1234":
        world.database.put(item(int(sk), sk=sk))
    keys = [key(sk=sk) for sk in "1234"]
    audits = world.cache._services.audits
    monkeypatch.setattr(audits, "_draw", lambda: 0.9)
    world.call(GET)
    first: Asked = ("BatchGetItem", {"RequestItems": {"t": {"Keys": keys[:3]}}})
    world.call(first)
    drawn = iter([0.9, 0.1, 0.5])
    monkeypatch.setattr(audits, "_draw", drawn.__next__)
    world.database.requests.clear()
    before = world.stats
    whole: Asked = ("BatchGetItem", {"RequestItems": {"t": {"Keys": keys}}})
    answer = world.call(whole)
    ((_, body),) = world.database.requests
    assert body["RequestItems"]["t"]["Keys"] == [keys[1], keys[3]]
    assert answer["Responses"]["t"] == [item(int(sk), sk=sk) for sk in "1234"]
    assert world.stats.hits - before.hits == 3
    assert world.stats.misses - before.misses == 1
    assert world.compared() == (1, {})


def test_a_batch_of_hits_alone_requests_what_is_drawn(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(clock, Settings(audit=0.5))
    audits = world.cache._services.audits
    monkeypatch.setattr(audits, "_draw", lambda: 0.9)
    for sk in "12":
        world.database.put(item(1, sk=sk))
    world.call(GET)
    world.call(BATCH)
    drawn = iter([0.9, 0.1])
    monkeypatch.setattr(audits, "_draw", drawn.__next__)
    world.database.requests.clear()
    answer = world.call(BATCH)
    ((_, body),) = world.database.requests
    assert body["RequestItems"]["t"]["Keys"] == [key(sk="2")]
    assert answer["Responses"]["t"] == [item(1), item(1, sk="2")]
    assert world.compared() == (1, {})


# --- what a difference is ----------------------------------------------------------


def test_a_difference_is_unconfirmed_until_settle_seconds_later_it_lasts(
    shadow: World, caplog: pytest.LogCaptureFixture
) -> None:
    shadow.warm()
    shadow.database.put(item(2))
    shadow.call(GET)
    assert shadow.compared() == (1, {"unconfirmed": 1})
    shadow.clock.advance(0.9)
    shadow.call(GET)
    assert shadow.compared() == (2, {"unconfirmed": 2})
    assert not caplog.messages
    shadow.clock.advance(0.3)
    shadow.call(GET)
    assert shadow.compared() == (3, {"unconfirmed": 2, "lasting": 1})
    (line,) = caplog.messages
    assert line.startswith("botocache: written_around: table 't': an entry still")
    assert "(since the last line: 1 times)" in line
    assert "cache.invalidate()" in line


def test_how_long_a_difference_was_seen_to_last_is_counted(shadow: World) -> None:
    shadow.warm()
    shadow.database.put(item(2))
    for seconds in (0, 10, 20, 5):
        shadow.clock.advance(seconds)
        shadow.call(GET)
    (table,) = [each for each in shadow.stats.tables if each.compared]
    assert (table.table, table.operation) == ("t", "GetItem")
    assert table.stale_seconds == pytest.approx(35.0)


@pytest.mark.parametrize("name", READS)
def test_a_writer_that_goes_around_is_seen_by_each_kind_of_read(
    clock: FakeClock, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    world, asked = World(clock, SHADOW), READS[name]
    world.warm(asked)
    world.database.put(item(2))
    world.call(asked)
    clock.advance(SETTLE)
    world.call(asked)
    lasting, event = "lasting", "written_around"
    if name == "index":  # where it may be the index's own lag
        lasting, event = "lasting_on_index", "index_behind"
    assert world.compared()[1] == {"unconfirmed": 1, lasting: 1}
    assert [line.split(": ")[1:3] for line in caplog.messages] == [[event, "table 't'"]]


OTHER_CHANGES: dict[
    str, tuple[Callable[[World], object], Callable[[World], object]]
] = {
    "a deleted item": (World.warm, lambda world: world.database.delete(key())),
    "a new item": (
        lambda world: world.call(GET),
        lambda world: world.database.put(item(1)),
    ),
}


@pytest.mark.parametrize("name", OTHER_CHANGES)
def test_an_item_that_comes_or_goes_around_the_cache_is_a_difference(
    clock: FakeClock, name: str
) -> None:
    begin, change = OTHER_CHANGES[name]
    world = World(clock, SHADOW)
    begin(world)
    change(world)
    for _ in range(2):
        world.call(GET)
        clock.advance(SETTLE)
    assert world.compared() == (2, {"unconfirmed": 1, "lasting": 1})


def test_in_shadow_mode_an_outdated_entry_stays_until_its_ttl(shadow: World) -> None:
    shadow.warm()
    shadow.database.put(item(2))
    for _ in range(11):
        shadow.clock.advance(5.0)
        shadow.call(GET)
    assert shadow.compared() == (11, {"unconfirmed": 1, "lasting": 10})
    shadow.clock.advance(5.1)
    shadow.call(GET)  # a miss, which fills
    shadow.call(GET)
    assert shadow.compared() == (12, {"unconfirmed": 1, "lasting": 10})


def test_the_log_names_a_table_once_a_minute_with_a_count(
    shadow: World, caplog: pytest.LogCaptureFixture
) -> None:
    shadow.warm()
    for second in range(1, 121):
        shadow.database.put(item(1 + second))
        shadow.call(GET)
        shadow.clock.advance(1.0)
    assert len(caplog.messages) == 2
    assert " 1 times)" in caplog.messages[0]
    assert " 59 times)" in caplog.messages[1]


# --- what is no difference ---------------------------------------------------------

NO_LAG, LAG = 0.0, 0.9


def invalidated(world: World) -> None:
    """Write around the cache, and tell it."""
    world.database.put(item(2))
    world.cache.invalidate("t", key())


def cleared(world: World) -> None:
    """Write around the cache, and clear it."""
    world.database.put(item(2))
    world.cache.clear()


REFRESHED: dict[str, Callable[[World], object]] = {
    "a put": lambda world: world.call(put_of(2)),
    "an update": lambda world: world.call(("UpdateItem", update_of(2))),
    "a transaction": lambda world: world.call(
        ("TransactWriteItems", {"TransactItems": [{"Put": put_of(2)[1]}]})
    ),
    "a batch of writes": lambda world: world.call(
        (
            "BatchWriteItem",
            {"RequestItems": {"t": [{"PutRequest": {"Item": item(2)}}]}},
        )
    ),
    "another process's put": lambda world: other(world).call(put_of(2)),
    "an invalidation": invalidated,
    "clear": cleared,
}


def other(world: World) -> World:
    """Return another process, which shares the store and DynamoDB."""
    twin = World(world.clock, SHADOW)
    twin.database, twin.store = world.database, world.store
    twin.cache = new_cache(world.store, SHADOW)
    return twin


@pytest.mark.parametrize("asked", READS.values(), ids=READS)
@pytest.mark.parametrize("name", REFRESHED)
def test_a_write_of_ours_between_the_load_and_the_answer_is_not_counted(
    shadow: World, name: str, asked: Asked
) -> None:
    shadow.warm(asked)
    if asked is BATCH:  # of whose two items one stays as it is
        shadow.call(put_of(5, sk="2"))
        shadow.clock.advance(SETTLE)
        shadow.call(asked)
    before = shadow.compared()[0]
    outcome = shadow.begin(asked)
    REFRESHED[name](shadow)
    shadow.finish(asked, outcome)
    is_batch = asked is BATCH
    assert shadow.compared() == (before + is_batch, {})
    assert not shadow.cache._services.audits._suspects  # type: ignore[union-attr]


def test_a_write_of_ours_whose_eviction_is_pending_is_not_counted(
    shadow: World,
) -> None:
    shadow.warm()
    outcome = shadow.begin(GET)
    shadow.store.failing.add("evict")
    shadow.call(put_of(2))
    assert shadow.stats.undelivered
    shadow.finish(GET, outcome)
    assert shadow.compared() == (0, {})


def test_a_difference_that_cannot_be_judged_is_not_counted(shadow: World) -> None:
    shadow.warm()
    outcome = shadow.begin(GET)
    shadow.database.put(item(2))
    shadow.store.failing.add("load")
    shadow.finish(GET, outcome)
    assert shadow.compared() == (0, {})
    assert shadow.stats.failures == {"load_failed": 1}


def test_a_replica_that_lags_behind_a_write_of_ours_is_settling(
    clock: FakeClock,
) -> None:
    world = World(clock, SHADOW, LAG)
    world.warm()
    world.call(put_of(2))  # which fills
    world.database.always_lags = True
    world.call(GET)
    assert world.compared() == (1, {"settling": 1})
    assert not world.cache._services.audits._suspects  # type: ignore[union-attr]
    clock.advance(SETTLE)
    world.call(GET)
    assert world.compared() == (2, {"settling": 1})


@pytest.mark.parametrize("asked", [GET, BATCH], ids=["item", "batch"])
def test_an_audit_gives_no_older_answer_than_the_cache_after_a_write_of_ours(
    clock: FakeClock, asked: Asked
) -> None:
    world = World(clock, ALWAYS, LAG)
    world.warm()
    for sk in "12":
        world.call(put_of(2, sk=sk))  # which fills
    world.database.always_lags = True
    outcome = world.begin(asked)
    assert isinstance(outcome, Hit)  # DynamoDB would answer with what was before
    assert "'n': {'N': '2'}" in str(outcome.answer)
    assert "'n': {'N': '1'}" not in str(outcome.answer)
    clock.advance(SETTLE)
    assert not isinstance(world.begin(asked), Hit)


def test_a_replica_that_lags_behind_another_writer_is_never_lasting(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(clock, SHADOW, LAG)
    world.warm()
    world.database.put(item(2))
    world.call(("GetItem", {**GET[1], "ConsistentRead": True}))  # fills what is new
    world.database.always_lags = True
    for _ in range(2):
        world.call(GET)
        clock.advance(0.4)
    world.database.always_lags = False
    clock.advance(0.2)
    world.call(GET)
    assert world.compared() == (3, {"unconfirmed": 2})
    clock.advance(5)
    world.call(GET)
    assert world.compared() == (4, {"unconfirmed": 2})
    assert not caplog.messages


def test_an_index_that_lags_by_more_than_settle_is_called_by_its_name(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(clock, SHADOW, index_lag=3.0)
    world.database.always_lags = True
    world.warm(INDEX_QUERY)
    clock.advance(3.0)
    for asked in (INDEX_QUERY, INDEX_QUERY, GET):
        world.call(asked)
    clock.advance(SETTLE)
    world.call(INDEX_QUERY)
    world.call(GET)
    assert world.compared()[1] == {"unconfirmed": 2, "lasting_on_index": 1}
    assert [line.split(": ")[1] for line in caplog.messages] == ["index_behind"]


def test_a_difference_of_another_entry_of_the_same_read_begins_anew(
    shadow: World,
) -> None:
    shadow.warm()
    shadow.database.put(item(2))
    shadow.call(GET)
    shadow.clock.advance(SETTLE)
    with botocache.refresh():
        shadow.call(GET)
    shadow.database.put(item(3))
    shadow.call(GET)
    assert shadow.compared() == (2, {"unconfirmed": 2})


def test_a_table_that_writes_do_not_evict_has_differences_of_its_own(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    tables = parse_tables({"t": {"index_queries": "ttl_only"}})
    world = World(clock, Settings(shadow=True, tables=tables))
    world.warm(INDEX_QUERY)
    world.call(GET)  # with its key attributes, the put need not evict the whole table
    world.call(put_of(2))
    for _ in range(2):
        clock.advance(SETTLE)
        world.call(INDEX_QUERY)
    assert world.compared() == (2, {"ttl_only": 2})
    assert not caplog.messages


@pytest.mark.parametrize("asked", [GET, BATCH], ids=["get", "batch"])
def test_missing_items_that_stay_missing_are_equal(shadow: World, asked: Asked) -> None:
    for _ in range(3):
        shadow.call(asked)
    assert shadow.compared() == (4 if asked is BATCH else 2, {})


def test_an_entry_that_expires_before_the_answer_is_compared(shadow: World) -> None:
    shadow.warm()
    outcome = shadow.begin(GET)
    shadow.clock.advance(61.0)
    shadow.finish(GET, outcome)
    assert shadow.compared() == (1, {})


# --- suspects of an audit ----------------------------------------------------------


def rarely(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have just the first hit drawn; return a list that grows with each draw."""
    draws: list[float] = []

    def draw() -> float:
        draws.append(0.0)
        return 0.0 if len(draws) == 1 else 0.99

    monkeypatch.setattr(world.cache._services.audits, "_draw", draw)
    return draws


def test_a_suspect_read_is_always_audited_until_its_entry_is_evicted(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(clock, Settings(audit=0.01))
    world.warm()
    draws = rarely(world, monkeypatch)
    world.database.put(item(2))
    for _ in range(5):
        assert world.call(GET)["Item"] == item(2)
        clock.advance(0.3)
    assert world.compared() == (5, {"unconfirmed": 4, "lasting": 1})
    assert len(draws) == 1
    assert len(caplog.messages) == 1
    # The last one has evicted the entry, so every process gets the new item from now.
    assert isinstance(other(world).begin(GET), (ReadTicket, AuditTicket))
    clock.advance(SETTLE)
    world.database.requests.clear()
    assert world.call(GET)["Item"] == item(2)
    assert world.call(GET)["Item"] == item(2)
    assert len(world.database.requests) == 1
    assert world.compared()[0] == 5


def test_a_suspect_that_is_equal_again_is_served(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(clock, Settings(audit=0.01))
    world.warm()
    rarely(world, monkeypatch)
    world.database.put(item(2))
    world.call(GET)
    world.database.put(item(1))
    world.call(GET)
    world.database.requests.clear()
    world.call(GET)
    assert world.database.requests == []
    assert world.compared() == (2, {"unconfirmed": 1})


def test_an_eviction_of_what_is_outdated_evicts_nothing_else(
    clock: FakeClock,
) -> None:
    world = World(clock, ALWAYS)
    world.warm()
    for asked in (QUERY, ("GetItem", {"TableName": "t", "Key": key("b")})):
        world.call(asked)
    world.database.put(item(2))
    world.call(GET)
    clock.advance(SETTLE)
    world.call(GET)
    assert isinstance(world.begin(GET), ReadTicket)
    assert isinstance(world.begin(QUERY), AuditTicket)


def test_suspects_are_bounded(shadow: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits_module, "MOST_SUSPECTS", 3)
    audits = shadow.cache._services.audits
    assert isinstance(audits, Audits)
    for number in range(9):
        audits._suspect(bytes([number]), Suspect(0.0, 0.0))
    assert [*audits._suspects] == [bytes([number]) for number in (6, 7, 8)]


# --- many reads --------------------------------------------------------------------

KEYS = [(pk, sk) for pk in "ab" for sk in "12"]


def chosen_read(choose: Random) -> Asked:
    pk, sk = choose.choice(KEYS)
    get = {"TableName": "t", "Key": key(pk, sk)}
    reads: list[Asked] = [
        *[("GetItem", get)] * 5,
        ("GetItem", {**get, "ConsistentRead": True}),
        query_by("pk", pk),
        query_by("g", choose.choice("gh"), IndexName="by g"),
        SCAN,
        BATCH,
    ]
    return choose.choice(reads)


def chosen_write(choose: Random) -> Asked:
    pk, sk = choose.choice(KEYS)
    n = choose.randrange(1_000_000)
    put = put_of(n, pk=pk, sk=sk, g=choose.choice("gh"))
    writes: list[Asked] = [
        put,
        ("DeleteItem", {"TableName": "t", "Key": key(pk, sk)}),
        ("UpdateItem", update_of(n)),
        ("UpdateItem", update_of(n, ReturnValues="ALL_NEW")),
        ("TransactWriteItems", {"TransactItems": [{"Put": put[1]}]}),
        (
            "BatchWriteItem",
            {"RequestItems": {"t": [{"PutRequest": {"Item": put[1]["Item"]}}]}},
        ),
    ]
    return choose.choice(writes)


def run_many(  # noqa: C901 - four kinds of steps, and the threads that take them
    worlds: list[World], each: int, around: Callable[[Random], object] | None = None
) -> tuple[int, dict[str, int]]:
    """Have each world call in a thread of its own; return what they compared.

    each: how many calls each of them makes.
    around: called now and then, to write around the cache.
    """
    clock = worlds[0].clock
    # No time passes during a write: it would outlast its hold-off, and be no mistake.
    writing = threading.Semaphore(len(worlds))
    waiting = threading.Lock()

    def advance(seconds: float) -> None:
        with waiting, contextlib.ExitStack() as held:
            for _ in worlds:
                held.enter_context(writing)
            clock.advance(seconds)

    def run(world: World, seed: int) -> None:
        choose = Random(seed)
        for _ in range(each):
            at = choose.random()
            if at < 0.03:
                with writing:
                    world.call(chosen_write(choose))
            elif at < 0.06:
                advance(choose.choice((0.05, 0.5, 1.5, 6.0)))
            elif at < 0.07 and around is not None:
                around(choose)
            else:
                world.call(chosen_read(choose))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that the threads meet in the middle of calls
    try:
        threads = [
            threading.Thread(target=run, args=(world, seed))
            for seed, world in enumerate(worlds)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    compared, differing = 0, Counter[str]()
    for cache in {id(world.cache): world.cache for world in worlds}.values():
        more, found = compared_in(cache.stats())
        compared, differing = compared + more, differing + Counter(found)
    return compared, dict(differing)


def worlds_of(clock: FakeClock, settings: Settings, lag: float) -> list[World]:
    """Return two processes with two threads each, which share a store."""
    first = World(clock, settings, lag)
    first.database.requests = _Nothing()
    second = other(first)
    second.cache = new_cache(first.store, settings)
    return [first, first, second, second]


class _Nothing(list[tuple[str, Mapping[str, Any]]]):
    """Keeps nothing."""

    def append(self, _: object) -> None:
        """See list.append."""


def test_ten_thousand_reads_with_writes_of_ours_show_no_difference(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    compared, differing = run_many(worlds_of(clock, SHADOW, NO_LAG), 4000)
    assert compared >= 10_000
    assert differing == {}
    assert not caplog.messages


def test_replicas_that_lag_behind_writes_of_ours_show_nothing_but_settling(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    compared, differing = run_many(worlds_of(clock, SHADOW, LAG), 700)
    assert compared >= 1000
    assert {*differing} == {"settling"}
    assert not caplog.messages


@pytest.mark.parametrize(
    "settings", [SHADOW, Settings(audit=0.2)], ids=["shadow", "audit"]
)
def test_among_many_reads_a_writer_that_goes_around_is_found(
    clock: FakeClock, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    worlds = worlds_of(clock, settings, NO_LAG)
    database = worlds[0].database

    def write(choose: Random) -> None:
        pk, sk = choose.choice(KEYS)
        database.put(item(choose.randrange(1_000_000), pk, sk))

    differing = dict[str, int]()
    for _ in range(20):  # as often as it takes until a suspect is read again in time
        if "lasting" not in differing:
            _, differing = run_many(worlds, 500, write)
    assert differing["lasting"] > 0
    assert any("written_around: table 't'" in line for line in caplog.messages)
