"""Plain writes: the short road leaves what the long one leaves."""

import hashlib
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest

from botocache import Cache
from botocache._cache.tickets import WriteTicket
from botocache._settings.load import load_settings
from botocache.stores import memory
from botocache.stores.memory import MemoryStore
from tests.support.calls import call_of
from tests.support.clock import FakeClock

KEY = {"pk": {"S": "a"}, "sk": {"N": "1"}}
ITEM = {**KEY, "n": {"N": "2"}}
UPDATE = {
    "TableName": "t",
    "Key": KEY,
    "UpdateExpression": "SET n = :n",
    "ExpressionAttributeValues": {":n": {"N": "2"}},
}
PUT = {"TableName": "t", "Item": ITEM}

WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "an update": ("UpdateItem", UPDATE),
    "a put": ("PutItem", PUT),
    "an update by an ARN": (
        "UpdateItem",
        {**UPDATE, "TableName": "arn:aws:dynamodb:eu-west-1:123456789012:table/t"},
    ),
    "a put that returns the old item": ("PutItem", {**PUT, "ReturnValues": "ALL_OLD"}),
    "a put with a condition": ("PutItem", {**PUT, "ConditionExpression": "n > :n"}),
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "an update that returns the item": (
        "UpdateItem",
        {**UPDATE, "ReturnValues": "ALL_NEW"},
    ),
    "an update of another key": ("UpdateItem", {**UPDATE, "Key": {"id": {"S": "a"}}}),
    "an update of a part of the key": (
        "UpdateItem",
        {**UPDATE, "Key": {"pk": {"S": "a"}}},
    ),
    "an update of no key": ("UpdateItem", {**UPDATE, "Key": "a"}),
    "an update of a key that is refused": (
        "UpdateItem",
        {**UPDATE, "Key": {**KEY, "pk": {"BOOL": True}}},
    ),
    "a put without its key": ("PutItem", {**PUT, "Item": {"pk": {"S": "a"}}}),
    "a put of no item": ("PutItem", {**PUT, "Item": ["pk"]}),
    "a put without a table": ("PutItem", {"Item": ITEM}),
    "a put into no table": ("PutItem", {**PUT, "TableName": ["t"]}),
    "a delete": ("DeleteItem", {"TableName": "t", "Key": KEY}),
}
ENDS: dict[str, dict[str, bool]] = {
    "carried out": {"succeeded": True, "certain": True},
    "refused": {"succeeded": False, "certain": True},
    "perhaps carried out": {"succeeded": True, "certain": False},
    "without an answer": {"succeeded": False, "certain": False},
}


class World:
    """A cache whose clock and random numbers are those of every other world."""

    def __init__(self, **settings: object) -> None:
        numbers = count(1)

        def random(size: int) -> bytes:
            return b"".join(
                next(numbers).to_bytes(8, "little") for _ in range(-(-size // 8))
            )

        self.clock = FakeClock()
        self.store = MemoryStore(clock=self.clock, random=random)
        self.store._table._drawn_at_once = 0
        self.cache = Cache(self.store, load_settings(settings, {}, "memory:"))

    def write(self, operation: str, body: Mapping[str, Any], **end: bool) -> Any:
        call = call_of(operation)
        ticket: Any = self.cache.begin(call, dict(body))
        how: Any = {"succeeded": True, "certain": True, **end}
        self.cache.finish(ticket, {}, **how)
        return ticket

    def learn(self) -> None:
        """Make the writes of this table known, and wait until they are settled."""
        for operation, body in [*WRITES.values()] * 2:
            self.write(operation, body)
        self.clock.advance(60.0)

    def left(self) -> tuple[object, ...]:
        words: Any = self.store._table._words
        return (
            hashlib.blake2b(words).hexdigest(),
            dict(self.store._entries),
            self.cache.stats(),
            dict(self.cache._evictions.pending.tags).keys(),
        )


@pytest.fixture(autouse=True)
def few_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SLOT_COUNT", 1 << 10)  # all of them are compared


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[World, World]]:
    """Return what makes two worlds; the second one knows no plain writes."""

    def make(**settings: object) -> tuple[World, World]:
        short, long = World(**settings), World(**settings)
        monkeypatch.setattr(long.cache._writes, "begin_plain", lambda *_: None)
        for world in (short, long):
            world.learn()
        return short, long

    return make


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", [*WRITES, *OTHERS])
def test_a_plain_write_leaves_what_any_other_leaves(
    worlds: Callable[..., tuple[World, World]], name: str, end: str
) -> None:
    short, long = worlds()
    operation, body = {**WRITES, **OTHERS}[name]
    one = short.write(operation, body, **ENDS[end])
    other = long.write(operation, body, **ENDS[end])
    assert (one.kind is not None) is (name in WRITES)
    assert one.write == other.write
    assert one.through == other.through
    assert (one.tags, one.assumed) == (other.tags, other.assumed)
    assert short.left() == long.left()


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("meanwhile", WRITES)
def test_a_plain_write_beside_another_leaves_what_any_other_leaves(
    worlds: Callable[..., tuple[World, World]], name: str, meanwhile: str
) -> None:
    left = []
    for world in worlds():
        operation, body = WRITES[meanwhile]
        open_write: Any = world.cache.begin(call_of(operation), body)
        world.write(*WRITES[name])
        world.cache.finish(open_write, {}, succeeded=True, certain=True)
        left.append(world.left())
    assert left[0] == left[1]


@pytest.mark.parametrize("name", WRITES)
def test_after_an_eviction_of_the_table_a_write_leaves_what_any_other_leaves(
    worlds: Callable[..., tuple[World, World]], name: str
) -> None:
    left = []
    for world in worlds():
        world.cache.invalidate("t")
        ticket = world.write(*WRITES[name])
        # Without the words: a put evicts once more, under other generations.
        left.append((*world.left()[1:], ticket.tags, ticket.through))
    assert left[0] == left[1]


def test_a_plain_write_after_one_that_evicted_the_table_has_the_plan_of_any_other(
    worlds: Callable[..., tuple[World, World]],
) -> None:
    update = {**UPDATE, "Key": {"id": {"S": "a"}}}
    plans = []
    for world in worlds():
        for _ in range(3):  # at the first, other key attributes are known
            ticket = world.write("UpdateItem", update)
        plans.append(ticket.write)
    assert plans[0] == plans[1]


@pytest.mark.parametrize("name", WRITES)
def test_after_a_call_with_other_key_attributes_a_write_leaves_what_any_other_leaves(
    worlds: Callable[..., tuple[World, World]], name: str
) -> None:
    """The table may have been made anew."""
    left = []
    for world in worlds():
        world.write(*OTHERS["an update of another key"])
        ticket = world.write(*WRITES[name])
        assert ticket.kind is None
        left.append((*world.left(), ticket.tags, ticket.through))
    assert left[0] == left[1]


@pytest.mark.parametrize(
    "settings",
    [
        {"precise_index_eviction": True},
        {"on_eviction_failure": "refuse"},
    ],
    ids=str,
)
def test_no_write_is_plain_where_it_needs_more(settings: dict[str, object]) -> None:
    world = World(**settings)
    world.learn()
    for operation, body in WRITES.values():
        ticket = world.write(operation, body)
        assert isinstance(ticket, WriteTicket)
        assert ticket.kind is None


def test_the_kinds_of_writes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocache._cache.item_writes._MOST_KINDS", 3)
    world = World()
    for number in range(10):
        world.write("UpdateItem", {**UPDATE, "TableName": f"table-{number}"})
    assert 0 < len(world.cache._writes._plain._kinds) <= 3


def test_a_name_that_dynamodb_refuses_is_not_kept() -> None:
    world = World()
    world.write("UpdateItem", {**UPDATE, "TableName": "t" * 3000})
    assert not world.cache._writes._plain._kinds
