"""A batch is one request to the store, and each fill passes its entry's tags."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from botocache import Cache
from botocache._cache.key_schemas import place_of
from botocache._cache.prepare import reader_tag
from botocache._cache.tickets import (
    BatchTicket,
    BypassTicket,
    Hit,
    ReadTicket,
    WriteTicket,
)
from botocache._dynamodb.tags import (
    EVERYTHING,
    any_write_tags,
    item_tag,
    table_tag,
    tag_digest,
)
from botocache._settings.load import Settings
from botocache._settings.tables import parse_tables
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Fill
from tests.support import calls
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore

ITEMS = [{"pk": {"S": pk}, "n": {"N": "1"}} for pk in "abc"]


class RecordingStore(FailingStore):
    """Records the fills."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(MemoryStore(clock=clock))
        self.fills: list[Fill] = []

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        super().fill(key, entry, ttl, tags)
        self.fills.append(Fill(key, entry, ttl, tags))

    def fill_many(self, fills: Sequence[Fill]) -> None:
        super().fill_many(fills)
        self.fills += fills


@pytest.fixture
def store(clock: FakeClock) -> RecordingStore:
    return RecordingStore(clock)


@pytest.fixture
def cache(store: RecordingStore) -> Iterator[Cache]:
    made = Cache(store, Settings())
    yield made
    made.close()


Asked = tuple[str, dict[str, Any]]


def request(operation: str, **parameters: Any) -> Asked:
    return operation, json.loads(json.dumps(parameters))


def batch_of(pks: str, **options: Any) -> Asked:
    keys = [{"pk": {"S": pk}} for pk in pks]
    return request("BatchGetItem", RequestItems={"t": {"Keys": keys, **options}})


def answer_of(pks: str, *names: str) -> dict[str, Any]:
    items = [item for item in ITEMS if item["pk"]["S"] in pks]
    if names:
        items = [{name: item[name] for name in names} for item in items]
    return {"Responses": {"t": items}, "UnprocessedKeys": {}}


def ask(cache: Cache, asked: Asked, answer: dict[str, Any]) -> Any:
    """Make a call as the hooks do; return what `begin` returned."""
    return calls.ask(cache, *asked, answer)


def learn(cache: Cache, store: RecordingStore) -> None:
    """Have the key attributes of t learned; reset the counts of that."""
    ask(cache, request("GetItem", TableName="t", Key={"pk": {"S": "z"}}), {})
    store.asked.clear()
    store.fills.clear()


def test_a_batch_is_one_look_up_and_one_fill(
    cache: Cache, store: RecordingStore
) -> None:
    learn(cache, store)
    ask(cache, batch_of("abc"), answer_of("abc"))
    assert store.asked["load_many"] == store.asked["fill_many"] == 1
    assert store.asked["load"] == store.asked["fill"] == 0
    hit = ask(cache, batch_of("abc"), {})
    assert isinstance(hit, Hit)
    assert hit.answer == answer_of("abc")
    assert store.asked["load_many"] == 2
    assert cache.stats().hits == cache.stats().misses - 1 == 3
    assert cache.stats().fills == 4


def test_the_misses_of_a_batch_with_hits_are_filled(
    cache: Cache, store: RecordingStore
) -> None:
    learn(cache, store)
    ask(cache, batch_of("ab"), answer_of("ab"))
    answer = answer_of("c")
    ticket = ask(cache, batch_of("abc"), answer)
    assert isinstance(ticket, BatchTicket)
    assert answer["Responses"]["t"] == ITEMS
    assert len(store.fills) == 3
    assert isinstance(ask(cache, batch_of("cab"), {}), Hit)


def test_projections_of_a_batch_fall_back_to_whole_items_in_a_second_look_up(
    cache: Cache, store: RecordingStore
) -> None:
    learn(cache, store)
    ask(cache, batch_of("ab"), answer_of("ab"))
    store.asked.clear()
    answer = answer_of("c", "pk")
    ask(cache, batch_of("abc", ProjectionExpression="pk"), answer)
    assert answer["Responses"]["t"] == [{"pk": {"S": pk}} for pk in "abc"]
    assert store.asked["load_many"] == 2
    assert store.asked["load"] == 0
    assert isinstance(ask(cache, batch_of("abc", ProjectionExpression="pk"), {}), Hit)


def test_a_batch_that_is_all_hits_or_not_projected_takes_one_look_up(
    cache: Cache, store: RecordingStore
) -> None:
    learn(cache, store)
    for _ in range(2):
        ask(cache, batch_of("abc"), answer_of("abc"))
    assert store.asked["load_many"] == 2


def test_a_batch_of_tables_that_are_off_is_not_looked_up(store: RecordingStore) -> None:
    cache = Cache(store, Settings(tables=parse_tables("t=off")))
    outcome = ask(cache, batch_of("abc"), answer_of("abc"))
    assert isinstance(outcome, BatchTicket)
    assert store.asked["load_many"] == store.asked["fill_many"] == 0
    assert cache.stats().bypassed == 3


@pytest.mark.parametrize("is_second", [False, True])
def test_a_look_up_that_fails_is_a_miss_of_the_whole_batch_that_is_not_filled(
    cache: Cache, store: RecordingStore, is_second: bool
) -> None:
    learn(cache, store)
    ask(cache, batch_of("ab"), answer_of("ab"))
    store.fills.clear()
    fails = iter([False, True] if is_second else [True])

    class Once(set[str]):
        def __contains__(self, verb: object) -> bool:
            return verb == "load_many" and next(fails, False)

    store.failing = Once()
    asked = batch_of("abc", ProjectionExpression="pk")
    assert isinstance(ask(cache, asked, answer_of("abc", "pk")), BypassTicket)
    assert store.fills == []
    assert cache.stats().failures == {"begin_failed": 1}


def test_a_fill_of_a_batch_that_fails_is_counted_once(
    cache: Cache, store: RecordingStore
) -> None:
    learn(cache, store)
    fills = cache.stats().fills
    store.failing.add("fill_many")
    ask(cache, batch_of("abc"), answer_of("abc"))
    assert cache.stats().failures == {"fill_failed": 1}
    assert cache.stats().fills == fills


def test_a_key_of_a_batch_whose_eviction_is_pending_is_not_looked_up(
    cache: Cache, store: RecordingStore
) -> None:
    learn(cache, store)
    ask(cache, batch_of("abc"), answer_of("abc"))
    store.failing.add("evict")
    cache._evictions.pending.add([tag_digest(item_tag("t", {"pk": {"S": "a"}}))])
    ask(cache, batch_of("abc"), answer_of("abc"))  # tries to deliver, and fails
    answer = answer_of("a")
    ask(cache, batch_of("abc"), answer)
    assert answer["Responses"]["t"] == ITEMS
    assert len(store.fills) == 3


def tags_of(pk: str) -> tuple[bytes, ...]:
    tags = (EVERYTHING, table_tag("t"), item_tag("t", {"pk": {"S": pk}}))
    return (*map(tag_digest, tags), reader_tag(b"me", "t"))


def test_every_fill_passes_its_tags_to_the_store(
    cache: Cache, store: RecordingStore
) -> None:
    learn(cache, store)
    ask(cache, batch_of("ab"), answer_of("ab"))
    assert [fill.tags for fill in store.fills] == [tags_of("a"), tags_of("b")]
    ask(
        cache,
        request("GetItem", TableName="t", Key={"pk": {"S": "c"}}),
        {"Item": ITEMS[2]},
    )
    assert store.fills[-1].tags == tags_of("c")
    ask(cache, request("PutItem", TableName="t", Item=ITEMS[0]), {})
    assert store.fills[-1].tags == tags_of("a")
    ask(cache, request("Scan", TableName="t"), {"Items": [], "Count": 0})
    scan = store.fills[-1]
    loaded = store.load(scan.key, scan.tags)
    assert loaded.entry == scan.entry
    cache.invalidate("t")
    assert store.load(scan.key, scan.tags).snapshot != loaded.snapshot


def test_what_is_learned_is_filled_with_the_tag_of_its_table(
    cache: Cache, store: RecordingStore
) -> None:
    get = request("GetItem", TableName="t", Key={"pk": {"S": "a"}})
    ask(cache, get, {"Item": ITEMS[0]})
    of_table = (tag_digest(table_tag("t")),)
    assert [fill.tags for fill in store.fills] == [of_table, tags_of("a")]


def test_a_store_that_fails_at_the_end_of_a_batch_leaves_the_hits_in_the_answer(
    cache: Cache, store: RecordingStore
) -> None:
    learn(cache, store)
    ask(cache, batch_of("ab"), answer_of("ab"))
    ticket = calls.begin(cache, *batch_of("abc"))
    assert isinstance(ticket, BatchTicket)
    answer = answer_of("c")
    store.failing.update(("load", "fill", "fill_many"))
    cache._services.key_schemas._known.clear()
    cache.finish(ticket, answer, succeeded=True, certain=True)
    assert answer["Responses"]["t"] == ITEMS
    assert store.asked["fill_many"] == 1


def test_what_depends_on_too_little_is_not_filled_once_its_table_is_ambiguous(
    cache: Cache, store: RecordingStore
) -> None:
    get = request("GetItem", TableName="t", Key={"pk": {"S": "a"}})
    narrow = calls.begin(cache, *get)
    assert isinstance(narrow, ReadTicket)
    ambiguous = cache._services.key_schemas.ambiguous
    ambiguous[place_of(calls.ORIGIN, "", "t")] = store.now() + 1
    cache.finish(narrow, {"Item": ITEMS[0]}, succeeded=True, certain=True)
    assert store.fills == []
    coarse = calls.begin(cache, *get)
    assert isinstance(coarse, ReadTicket)
    cache.finish(coarse, {"Item": ITEMS[0]}, succeeded=True, certain=True)
    of_any_write = map(tag_digest, any_write_tags("t"))
    assert [fill.tags for fill in store.fills] == [
        (*tags_of("a")[:2], *of_any_write, tags_of("a")[-1])
    ]
    assert isinstance(calls.begin(cache, *get), Hit)
    delete = ask(
        cache, request("DeleteItem", TableName="t", Key={"pk": {"S": "b"}}), {}
    )
    assert isinstance(delete, WriteTicket)
    assert delete.through is None  # its entry would not depend on the item
    assert isinstance(calls.begin(cache, *get), ReadTicket)
