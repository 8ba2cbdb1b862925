"""Key attributes are learned, shared, and forgotten with the table's tag."""

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest

from botocache._cache.call_store import CallStore
from botocache._cache.entries import ClearEntries
from botocache._cache.evictions import Evictions
from botocache._cache.invalidation import KeyTypes
from botocache._cache.key_schemas import (
    MOST_ORIGINS,
    MOST_ROUNDS,
    TTL,
    KeySchemas,
    Schema,
    place_of,
    schema_key,
)
from botocache._coherence import EvictionRequest
from botocache._counting.counters import Counters
from botocache._dynamodb.tags import (
    EVERYTHING,
    Tag,
    item_tag,
    table_tag,
    tag_digest,
)
from botocache._log import FailureLog
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore

HERE, TABLE = "here", "t"
TAG = tag_digest(table_tag(TABLE))
FRESH_FOR = 60.0
PK, PK_SK, OTHER = frozenset({"pk"}), frozenset({"pk", "sk"}), frozenset({"id"})


class Schemas:
    """The schemas of one process; each of its calls has a CallStore of its own."""

    def __init__(self, store: Store) -> None:
        self.counters = Counters()
        self._store = store
        failures = FailureLog(self.counters, lambda: 0.0)
        evictions = Evictions(store, failures, settle=0.0, write_hold_off=0.0)
        self.schemas = KeySchemas(evictions, ClearEntries(), FRESH_FOR, store.now)

    def recall(
        self, origin: str, table: str, *, is_read: bool = False
    ) -> Schema | None:
        call = CallStore(self._store)
        return self.schemas.recall(call, (origin, table), is_read=is_read)

    def learn(self, attributes: frozenset[str], generation: int, **more: Any) -> bool:
        call = CallStore(self._store)
        return self.schemas.learn(call, (HERE, TABLE), attributes, generation, **more)

    def generation(self) -> int:
        return self.schemas.load_generation(CallStore(self._store), (HERE, TABLE))


@pytest.fixture
def store(clock: FakeClock) -> FailingStore:
    return FailingStore(MemoryStore(clock=clock))


@pytest.fixture
def schemas(store: FailingStore) -> Schemas:
    return Schemas(store)


def _learn(schemas: Schemas, attributes: frozenset[str], **more: Any) -> bool:
    """Learn under the current generation."""
    generation = schemas.generation()
    return schemas.learn(attributes, generation, **more)


def _attributes(schemas: Schemas) -> frozenset[str] | None:
    schema = schemas.recall(HERE, TABLE)
    return None if schema is None else schema.attributes


# --- learning and sharing ----------------------------------------------------------


def test_no_schema_is_known_at_first(schemas: Schemas) -> None:
    assert schemas.recall(HERE, TABLE) is None


def test_a_learned_schema_has_its_generation_and_its_time(
    schemas: Schemas, clock: FakeClock
) -> None:
    assert _learn(schemas, PK_SK)
    generation = schemas.generation()
    expected = Schema((HERE, TABLE), TAG, PK_SK, generation, clock())
    assert schemas.recall(HERE, TABLE) == expected


def test_load_generation_returns_the_current_one_of_the_table(
    schemas: Schemas, store: FailingStore
) -> None:
    before = schemas.generation()
    assert schemas.generation() == before
    store.evict(EvictionRequest((TAG,), 0.0))
    assert schemas.generation() != before


def test_a_schema_that_one_process_learns_reaches_all(
    schemas: Schemas, store: FailingStore
) -> None:
    _learn(schemas, PK_SK)
    another = Schemas(store)
    assert another.recall(HERE, TABLE) == schemas.recall(HERE, TABLE)


def test_a_known_schema_is_not_looked_up_again(
    schemas: Schemas, store: FailingStore
) -> None:
    _learn(schemas, PK)
    store.failing.add("load")
    assert _attributes(schemas) == PK


@pytest.mark.parametrize(("origin", "table"), [("there", TABLE), (HERE, "u")])
def test_another_origin_or_table_has_its_own_key_attributes(
    schemas: Schemas, origin: str, table: str
) -> None:
    _learn(schemas, PK)
    assert schemas.recall(origin, table) is None


def test_a_shared_schema_expires(
    schemas: Schemas, store: FailingStore, clock: FakeClock
) -> None:
    _learn(schemas, PK)
    clock.advance(TTL - 1.0)
    assert _attributes(Schemas(store)) == PK
    clock.advance(1.0)
    assert _attributes(Schemas(store)) is None


# --- how long ago it was confirmed -------------------------------------------------


def _is_fresh(schemas: Schemas) -> bool:
    assert schemas.recall(HERE, TABLE) is not None
    return schemas.recall(HERE, TABLE, is_read=True) is not None


def test_a_schema_is_fresh_for_a_while_in_every_process(
    schemas: Schemas, store: FailingStore, clock: FakeClock
) -> None:
    _learn(schemas, PK)
    clock.advance(FRESH_FOR - 0.1)
    assert _is_fresh(schemas)
    assert _is_fresh(Schemas(store))
    clock.advance(0.1)
    assert not _is_fresh(schemas)
    assert not _is_fresh(Schemas(store))


def test_a_schema_that_is_confirmed_from_time_to_time_stays_fresh_in_every_process(
    schemas: Schemas, store: FailingStore, clock: FakeClock
) -> None:
    for _ in range(4):
        _learn(schemas, PK)
        clock.advance(0.6 * FRESH_FOR)
    assert _is_fresh(schemas)
    assert _is_fresh(Schemas(store))


def test_not_every_confirmation_of_a_schema_is_filled(
    schemas: Schemas, store: FailingStore, clock: FakeClock
) -> None:
    for _ in range(5):
        _learn(schemas, PK)
        clock.advance(FRESH_FOR / 10)
    assert store.asked["fill"] == 1


def test_a_read_that_names_some_key_attributes_keeps_no_schema_fresh(
    schemas: Schemas, clock: FakeClock
) -> None:
    _learn(schemas, PK_SK)
    clock.advance(0.6 * FRESH_FOR)
    _learn(schemas, PK, is_complete=False)
    clock.advance(0.6 * FRESH_FOR)
    assert not _is_fresh(schemas)


# --- evicting the table forgets it -------------------------------------------------


def test_an_eviction_of_the_table_ends_the_sharing_of_its_schema(
    schemas: Schemas, store: FailingStore
) -> None:
    _learn(schemas, PK)
    store.evict(EvictionRequest((TAG,), 0.0))
    assert _attributes(Schemas(store)) is None


def test_the_generation_shows_that_a_recalled_schema_is_outdated(
    schemas: Schemas, store: FailingStore
) -> None:
    _learn(schemas, PK)
    store.evict(EvictionRequest((TAG,), 0.0))
    schema = schemas.recall(HERE, TABLE)
    assert schema is None or schema.generation != schemas.generation()


def test_after_an_eviction_other_key_attributes_may_be_learned(
    schemas: Schemas, store: FailingStore
) -> None:
    _learn(schemas, PK)
    store.evict(EvictionRequest((TAG,), 0.0))
    assert _learn(schemas, OTHER)
    assert _attributes(schemas) == _attributes(Schemas(store)) == OTHER


def test_a_confirmation_under_an_old_generation_is_not_shared_as_current(
    schemas: Schemas, store: FailingStore
) -> None:
    old = schemas.generation()
    store.evict(EvictionRequest((TAG,), 0.0))
    assert schemas.learn(PK, old)
    assert _attributes(Schemas(store)) is None


def test_a_schema_that_no_longer_holds_can_be_forgotten(
    schemas: Schemas, store: FailingStore
) -> None:
    _learn(schemas, PK)
    store.evict(EvictionRequest((TAG,), 0.0))
    outdated = schemas.recall(HERE, TABLE)
    assert outdated is not None
    schemas.schemas.forget(outdated)
    assert schemas.recall(HERE, TABLE) is None


def test_forgetting_an_old_schema_keeps_the_new_one(
    schemas: Schemas, store: FailingStore
) -> None:
    _learn(schemas, PK)
    outdated = schemas.recall(HERE, TABLE)
    assert outdated is not None
    store.evict(EvictionRequest((TAG,), 0.0))
    _learn(schemas, OTHER)
    schemas.schemas.forget(outdated)
    store.failing.add("load")  # to show that it is not looked up
    assert _attributes(schemas) == OTHER


# --- a table that was created anew --------------------------------------------------


@pytest.mark.parametrize("is_shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize(
    ("known", "accepted", "is_complete", "expected"),
    [
        (PK, PK, True, True),
        (PK_SK, PK_SK, True, True),
        (PK_SK, PK, True, False),
        (PK, PK_SK, True, False),
        (PK, OTHER, True, False),
        (PK_SK, PK_SK, False, True),
        (PK_SK, PK, False, True),
        (PK_SK, frozenset(), False, True),
        (PK, PK_SK, False, False),
        (PK_SK, OTHER, False, False),
        (PK_SK, PK | OTHER, False, False),
    ],
)
def test_other_key_attributes_under_the_same_generation_are_another_table(
    known: frozenset[str],
    accepted: frozenset[str],
    is_complete: bool,
    expected: bool,
    is_shared: bool,
) -> None:
    store = MemoryStore()
    first = Schemas(store)
    _learn(first, known)
    schemas = Schemas(store) if is_shared else first
    assert _learn(schemas, accepted, is_complete=is_complete) is expected


def test_an_incomplete_set_of_key_attributes_is_not_learned(
    schemas: Schemas, store: FailingStore
) -> None:
    assert _learn(schemas, PK, is_complete=False)
    assert _attributes(schemas) is None
    assert store.asked["fill_many"] == 0


# --- damage ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"origins": None},
        {"origins": {HERE: 5}},
        {"origins": {HERE: [0.0]}},
        {"origins": {HERE: ["then", {}]}},
        {"origins": {HERE: [0.0, None]}},
        {"origins": {HERE: [0.0, [["pk"]]]}},
        {"origins": {HERE: [0.0, {"pk": "L"}]}},
        {"origins": {HERE: [0.0, {"pk": b"S"}]}},
        {"origins": {HERE: [0.0, {5: "S"}]}},
        {"origins": {HERE: [0.0, {}]}},
        {"origins": {HERE: [0.0, {"pk": "S", "sk": "S", "third": "S"}]}},
        {"origins": {HERE: [float("nan"), {"pk": "S"}]}},
        {"origins": {HERE: [float("inf"), {"pk": "S"}]}},
        {"origins": {HERE: [1e12, {"pk": "S"}]}},
        {"origins": {HERE: [datetime(2026, 1, 1, tzinfo=timezone.utc), {"pk": "S"}]}},
    ],
    ids=repr,
)
def test_an_entry_that_holds_no_names_teaches_nothing(
    schemas: Schemas, store: FailingStore, body: dict[str, object]
) -> None:
    generation = schemas.generation()
    now = store.now()
    key, good = schema_key(TABLE), {"origins": {HERE: [now, {"pk": "S"}]}}
    for each in (body, good):
        packed = msgspec.msgpack.encode(each)
        times = now, now + TTL
        entry = ClearEntries().encode(key, packed, (generation,), *times)
        store.fill(key, entry, TTL)
        schema = schemas.recall(HERE, TABLE)
        assert (schema and schema.attributes) == (PK if each is good else None)


@pytest.mark.parametrize(
    "entry", [b"", b"\x00" * 40, b"\xff" * 40], ids=["0", "x", "y"]
)
def test_an_entry_that_cannot_be_read_teaches_nothing(
    schemas: Schemas, store: FailingStore, entry: bytes
) -> None:
    store.fill(schema_key(TABLE), entry, TTL)
    assert schemas.recall(HERE, TABLE) is None


def test_a_damaged_entry_is_replaced_by_what_is_learned(
    schemas: Schemas, store: FailingStore
) -> None:
    store.fill(schema_key(TABLE), b"damaged", TTL)
    assert _learn(schemas, PK)
    assert _attributes(Schemas(store)) == PK


@pytest.mark.parametrize("verb", ["load", "fill", "now"])
def test_a_store_that_fails_teaches_nothing_and_is_reported(
    schemas: Schemas, store: FailingStore, verb: str
) -> None:
    generation = schemas.generation()
    store.failing.add(verb)
    assert not schemas.learn(PK, generation)
    assert schemas.counters.read(0).failures == {"learn_failed": 1}
    store.failing.clear()
    assert _attributes(Schemas(store)) is None


# --- what an invalidation checks a key against -------------------------------------

OF_PK = (EVERYTHING, table_tag(TABLE), item_tag(TABLE, {"pk": {"N": "7"}}))
"""The tags of a GetItem by `pk`, which is a number."""


def _types(store: Store) -> list[KeyTypes]:
    """Return what a process that has made no call knows of the table."""
    return Schemas(store).schemas.types_of(CallStore(store), TABLE)


def _learn_types(
    store: Store, tags: tuple[Tag, ...], origin: str = HERE, **more: Any
) -> None:
    schemas = Schemas(store)
    schemas.schemas.learn(
        CallStore(store), (origin, TABLE), PK, schemas.generation(), tags=tags, **more
    )


def test_nothing_is_known_of_a_table_that_no_call_has_named(
    store: FailingStore,
) -> None:
    assert _types(store) == []


def test_the_types_of_key_attributes_are_learned_with_their_names(
    store: FailingStore,
) -> None:
    _learn_types(store, OF_PK)
    assert _types(store) == [{"pk": "N"}]


def test_names_are_learned_where_no_type_shows(store: FailingStore) -> None:
    _learn_types(store, (EVERYTHING, table_tag(TABLE)))
    assert _types(store) == [{"pk": ""}]


def test_types_are_those_of_an_item_of_the_table_with_these_key_attributes(
    store: FailingStore,
) -> None:
    others = (
        item_tag("u", {"pk": {"S": "7"}}),
        item_tag(TABLE, {"id": {"S": "7"}}),
    )
    _learn_types(store, (*others, *OF_PK))
    assert _types(store) == [{"pk": "N"}]


def test_a_description_tells_names_and_types(store: FailingStore) -> None:
    schemas = Schemas(store)
    table = {
        "TableName": TABLE,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "B"},
            {"AttributeName": "of an index", "AttributeType": "S"},
        ],
    }
    schemas.schemas.learn_described(
        CallStore(store), (HERE, TABLE), schemas.generation(), {"Table": table}
    )
    assert _types(store) == [{"pk": "B"}]


def test_tables_of_one_name_at_two_endpoints_are_both_known(
    store: FailingStore,
) -> None:
    _learn_types(store, OF_PK, origin=HERE)
    _learn_types(store, (), origin="there")
    assert sorted(_types(store), key=str) == [{"pk": ""}, {"pk": "N"}]


def test_an_eviction_of_the_table_ends_what_is_known_of_it(
    store: FailingStore,
) -> None:
    _learn_types(store, OF_PK)
    store.evict(EvictionRequest((TAG,), 0.0))
    assert _types(store) == []


def test_what_is_known_expires_with_the_schema(
    store: FailingStore, clock: FakeClock
) -> None:
    _learn_types(store, OF_PK)
    clock.advance(TTL)
    assert _types(store) == []


def test_a_store_that_fails_knows_nothing_and_is_reported(
    store: FailingStore,
) -> None:
    _learn_types(store, OF_PK)
    schemas = Schemas(store)
    store.failing.add("load")
    assert schemas.schemas.types_of(CallStore(store), TABLE) == []
    assert schemas.counters.read(0).failures == {"recall_failed": 1}


def test_only_so_many_origins_of_a_table_are_kept(
    store: FailingStore, clock: FakeClock
) -> None:
    for number in range(MOST_ORIGINS + 3):
        _learn_types(store, OF_PK, origin=f"origin {number}")
        clock.advance(1.0)
    assert len(_types(store)) == MOST_ORIGINS
    latest = Schemas(store)
    assert latest.recall(f"origin {MOST_ORIGINS + 2}", TABLE) is not None
    assert latest.recall("origin 2", TABLE) is None


# --- places ------------------------------------------------------------------------

ARN = "arn:aws:dynamodb:us-east-1:111122223333:table/t"


@pytest.mark.parametrize(
    ("account", "table", "place"),
    [
        ("", "t", ("here", "t")),
        ("", ARN, ("here", "t")),
        ("444455556666", "t", ("here 444455556666", "t")),
        ("444455556666", ARN, ("here 111122223333", "t")),
        ("111122223333", ARN, ("here 111122223333", "t")),
        ("444455556666", f"{ARN}/index/i", ("here 111122223333", "t")),
    ],
)
def test_a_place_has_the_account_of_an_arn_or_of_the_caller(
    account: str, table: str, place: tuple[str, str]
) -> None:
    assert place_of(HERE, account, table) == place


def _dispute(schemas: Schemas) -> None:
    """Let two tables of one place contradict each other until that ends."""
    for number in range(2 * MOST_ROUNDS + 4):
        _learn(schemas, OTHER if number % 2 else PK)


def test_an_ambiguous_place_has_no_key_attributes_for_an_hour(
    schemas: Schemas, store: FailingStore, clock: FakeClock
) -> None:
    _dispute(schemas)
    generation = schemas.generation()
    assert Schemas(store).learn(PK, generation)  # another process has met none
    for attributes in (PK, OTHER, PK):
        assert _learn(schemas, attributes)  # what it answers may be filled
        assert schemas.recall(HERE, TABLE) is None
    assert schemas.generation() == generation  # and nothing is evicted for it
    clock.advance(3601)
    assert _learn(schemas, PK)
    assert _attributes(schemas) == PK
    assert not _learn(schemas, OTHER)
    assert schemas.generation() != generation


def test_a_key_of_an_ambiguous_table_is_not_checked(
    schemas: Schemas, store: FailingStore
) -> None:
    _dispute(schemas)
    Schemas(store).learn(PK, schemas.generation())  # another process has met none
    types = schemas.schemas.types_of
    assert types(CallStore(store), TABLE) == []
    assert Schemas(store).schemas.types_of(CallStore(store), TABLE) == [{"pk": ""}]


def test_contradictions_that_are_far_apart_are_not_counted_together(
    schemas: Schemas, clock: FakeClock
) -> None:
    for number in range(20):
        _learn(schemas, OTHER if number % 2 else PK)
        clock.advance(601)
    assert _learn(schemas, PK)
    assert _attributes(schemas) == PK


def test_what_is_known_of_places_is_bounded(schemas: Schemas) -> None:
    known = schemas.schemas
    for number in range(1100 * MOST_ROUNDS):
        new = Schema((HERE, f"t{number}"), TAG, PK, 1, 0.0)
        for _ in range(number % (2 * MOST_ROUNDS)):
            known._note_contradiction(new, replace(new, attributes=OTHER))
    assert len(known._contradictions) <= 1000
    assert len(known.ambiguous) <= 1000
