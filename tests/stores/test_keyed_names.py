"""Names without the key tell nothing, and caches with neighbouring keys are coherent.

That a store under keyed names keeps the promises of any store is tested in
test_contract.py.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from botocache import Cache
from botocache._cache.tickets import Hit, ReadTicket
from botocache._coherence import EvictionRequest
from botocache._digests import EVERYTHING_DIGEST
from botocache._errors import StoreSkippedError
from botocache._settings.encryption_keys import EncryptionKeys, Key
from botocache._settings.load import Settings
from botocache.stores.keyed_names import KeyedStore, Names, keyed_store
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store, Watching
from tests.support import calls
from tests.support.clock import FakeClock
from tests.support.digests import key as entry_key
from tests.support.digests import tag, tags
from tests.support.failing_store import FailingStore
from tests.support.keys import key
from tests.support.stores import opened_store

OLD, NEW = key(1), key(2)

# --- names ---------------------------------------------------------------------------


def test_a_name_is_a_digest_that_differs_for_each_digest_and_key() -> None:
    names = Names([None, OLD])
    assert names.first(tag("a")) == tag("a")
    assert names.of_all(tag("a")) == (tag("a"), Names([OLD]).first(tag("a")))


def test_everything_has_one_name_with_any_keys() -> None:
    # The store on Redis evicts it by itself when a server has lost evictions.
    for keys in ([OLD], [NEW, OLD], [OLD, None]):
        assert Names(keys).of_all(EVERYTHING_DIGEST) == (EVERYTHING_DIGEST,)


# --- the store -----------------------------------------------------------------------


def test_a_keyed_store_has_the_optional_methods_of_the_store_behind_alone() -> None:
    names = Names([OLD])
    memory = MemoryStore()
    watching = keyed_store(memory, lambda: names)
    assert issubclass(type(watching), Watching)
    assert not hasattr(watching, "for_call")
    plain = keyed_store(FailingStore(memory), lambda: names)
    assert not issubclass(type(plain), Watching)
    assert isinstance(plain, Store)
    assert isinstance(watching, Store)


def test_a_watched_snapshot_costs_what_it_costs_in_the_store_behind() -> None:
    memory, names = MemoryStore(), Names([OLD])
    store: Any = keyed_store(memory, lambda: names)
    snapshot = store.load(entry_key("e"), tags(3)).snapshot
    is_current = store.watch(tags(3), snapshot)
    own = memory.watch([*map(names.first, tags(3))], snapshot)
    assert type(is_current) is type(own)
    assert is_current()
    store.evict(EvictionRequest(tags(3)[:1], 0.0))
    assert not is_current()


def test_without_names_each_verb_skips_the_store_and_nothing_is_current() -> None:
    def no_names() -> Names:
        raise StoreSkippedError("no keys")

    memory = MemoryStore()
    store = KeyedStore(memory, no_names)
    for use in (
        lambda: store.load(entry_key("e"), tags(2)),
        lambda: store.load_many([(entry_key("e"), tags(2))]),
        lambda: store.fill(entry_key("e"), b"entry", 1.0),
        lambda: store.fill_many([]),
        lambda: store.evict(EvictionRequest(tags(2), 1.0)),
    ):
        with pytest.raises(StoreSkippedError):
            use()
    snapshot = memory.load(entry_key("e"), tags(2)).snapshot
    assert not store.is_current(tags(2), snapshot)
    store.clear()
    store.close()


@pytest.mark.parametrize("store", ["redis"], indirect=True)
def test_the_verbs_of_one_call_share_the_deadline_of_the_store_behind(
    store: Any,
) -> None:
    names = Names([OLD])
    keyed: Any = keyed_store(store, lambda: names)
    verbs, own = keyed.for_call(), store.for_call()
    assert type(verbs._verbs) is type(own)
    verbs.fill(entry_key("e"), b"entry", 60.0, tags(2))
    assert verbs.load(entry_key("e"), tags(2)).entry == b"entry"
    assert keyed.load(entry_key("e"), tags(2)).entry == b"entry"
    assert own.load(names.first(entry_key("e")), tags(2)).entry == b"entry"
    assert own.load(entry_key("e"), tags(2)).entry is None


# --- caches with different keys ----------------------------------------------------

STEPS: dict[str, list[tuple[Key, ...] | None]] = {
    "introduced": [None, (None, NEW), (NEW, None), (NEW,)],
    "rotated": [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)],
    "taken out": [(OLD,), (OLD, None), (None, OLD), None],
}
"""The keys of the steps, of which two neighbours run side by side."""

NEIGHBOURS = {
    f"{name}, step {at}{'' if one is steps[at] else ', the other way'}": (one, other)
    for name, steps in STEPS.items()
    for at in range(3)
    for one, other in (
        (steps[at], steps[at + 1]),
        (steps[at + 1], steps[at]),
    )
}
"""The keys of a reader, and those of a writer."""

GET = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
UPDATE = {**GET, "UpdateExpression": "SET n = n + 1"}
PUT = {"TableName": "t", "Item": {"pk": {"S": "a"}, "n": {"N": "3"}}}


def answer(n: int) -> dict[str, Any]:
    return {"Item": {"pk": {"S": "a"}, "n": {"N": str(n)}}}


def cache_with(
    store: Store, keys: tuple[Key, ...] | None, *, is_precise: bool = False
) -> Cache:
    return Cache(
        store,
        Settings(
            encryption_keys=None if keys is None else EncryptionKeys(keys),
            precise_index_eviction=is_precise,
            reads_after_write="uncached",
        ),
    )


@pytest.fixture
def store(clock: FakeClock, request: pytest.FixtureRequest) -> Iterator[Store]:
    if hasattr(request, "param"):
        with opened_store(request.param, request) as made:
            yield made
    else:
        yield MemoryStore(clock=clock)


def assert_evicts_for(
    reader: Cache, writer: Cache, clock: FakeClock, operation: str
) -> None:
    """A write by one cache evicts and holds off for another one."""
    write = {"UpdateItem": UPDATE, "PutItem": PUT, "DeleteItem": GET}[operation]

    def read(n: int) -> object:
        outcome = calls.ask(reader, "GetItem", GET, answer(n))
        return outcome.answer if isinstance(outcome, Hit) else None

    assert read(0) is None
    assert read(0) == answer(0)
    ticket = calls.begin(writer, operation, write)
    # What was cached before the write is gone, and nothing is cached during it.
    assert read(0) is None
    assert read(0) is None
    reading = calls.begin(reader, "GetItem", GET)
    assert isinstance(reading, ReadTicket)
    assert ticket is not None
    assert not isinstance(ticket, Hit)
    writer.finish(ticket, {}, succeeded=True, certain=True)
    # A read that was sent during the write leaves nothing that can be served.
    clock.advance(10.0)
    reader.finish(reading, answer(0), succeeded=True, certain=True)
    # A put may have left its item under the reader's names.
    assert read(3) in (None, answer(3))
    assert read(3) == answer(3)
    reader.close()
    writer.close()


@pytest.mark.parametrize("operation", ["UpdateItem", "PutItem", "DeleteItem"])
@pytest.mark.parametrize("keys", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_a_write_with_the_keys_of_one_step_evicts_for_those_of_the_next(
    store: Store, clock: FakeClock, keys: tuple[Any, Any], operation: str
) -> None:
    reader, writer = (cache_with(store, each) for each in keys)
    other = {"TableName": "t", "Key": {"pk": {"S": "other"}}}
    calls.ask(writer, "GetItem", other, {})  # learns the table's key
    assert_evicts_for(reader, writer, clock, operation)


@pytest.mark.parametrize("keys", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_a_cache_that_evicts_by_its_first_key_alone_is_found_out(
    store: Store,
    clock: FakeClock,
    keys: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "botocache.stores.keyed_names.Names.__init__",
        lambda names, keys: _init(names, keys[:1]),
    )
    reader, writer = (cache_with(store, each) for each in keys)
    firsts = [(each or (None,))[0] for each in keys]
    if firsts[0] == firsts[1]:
        assert_evicts_for(reader, writer, clock, "UpdateItem")
    else:
        with pytest.raises(AssertionError):
            assert_evicts_for(reader, writer, clock, "UpdateItem")


_init = Names.__init__


@pytest.mark.parametrize("first", [(OLD, NEW), (OLD, None), (None, OLD)])
def test_a_write_ends_its_hold_off_and_fills_under_any_keys(
    store: Store, clock: FakeClock, first: tuple[Key, ...]
) -> None:
    """Under each name the second eviction recognizes the first one."""
    writer, neighbour = cache_with(store, first), cache_with(store, first[::-1])
    calls.ask(writer, "GetItem", GET, answer(0))
    calls.ask(writer, "PutItem", PUT, {})
    left = calls.begin(writer, "GetItem", GET)
    assert isinstance(left, Hit)
    assert left.answer == answer(3)
    clock.advance(Settings().settle + 0.5)  # and less than `write_hold_off`
    for cache in (writer, neighbour):
        calls.ask(cache, "GetItem", GET, answer(3))
        assert isinstance(calls.begin(cache, "GetItem", GET), Hit)
        cache.close()


INDEX = {
    "TableName": "t",
    "IndexName": "i",
    "KeyConditionExpression": "g = :g",
    "ExpressionAttributeValues": {":g": {"S": "x"}},
}


@pytest.mark.parametrize("keys", [(OLD, NEW), (NEW, OLD), (None, OLD), (OLD, None)])
def test_precise_evictions_restore_under_each_name(
    store: Store, clock: FakeClock, keys: tuple[Key, ...]
) -> None:
    reader = cache_with(store, keys, is_precise=True)
    writer = cache_with(store, keys[::-1], is_precise=True)
    found = {"Items": [{"pk": {"S": "b"}, "g": {"S": "x"}}], "Count": 1}
    calls.ask(writer, "GetItem", GET, answer(0))
    calls.ask(reader, "Query", INDEX, found)
    assert isinstance(calls.begin(reader, "Query", INDEX), Hit)
    old = {"pk": {"S": "a"}, "g": {"S": "y"}}
    calls.ask(writer, "DeleteItem", GET, {"Attributes": old})
    assert isinstance(calls.begin(reader, "Query", INDEX), Hit)
    old = {"pk": {"S": "a"}, "g": {"S": "x"}}
    calls.ask(writer, "DeleteItem", GET, {"Attributes": old})
    assert not isinstance(calls.begin(reader, "Query", INDEX), Hit)
    reader.close()
    writer.close()


@pytest.mark.parametrize("keys", [(OLD, NEW), (None, OLD)])
def test_evicting_everything_evicts_for_all_keys(
    store: Store, clock: FakeClock, keys: tuple[Key, ...]
) -> None:
    one, other = cache_with(store, keys), cache_with(store, keys[::-1])
    for each in (one, other):
        calls.ask(each, "GetItem", GET, answer(0))
        assert isinstance(calls.begin(each, "GetItem", GET), Hit)
    one.clear()
    for each in (one, other):
        assert not isinstance(calls.begin(each, "GetItem", GET), Hit)
        each.close()
