"""A resource's answers have the form that boto3's deserializer gives them now."""

from collections.abc import Callable
from decimal import Context, Decimal, Inexact, Rounded
from typing import Any

import pytest
from boto3.dynamodb import types
from boto3.dynamodb.conditions import Key
from boto3.dynamodb.types import Binary, TypeDeserializer

import botocache
from botocache import Cache
from tests.integration.app import World

near_or_not = pytest.mark.parametrize("near", ["on", "off"])

ITEM = {
    "pk": "a",
    "n": Decimal("1.5"),
    "list": [Decimal(2), "s", {"deep": Decimal(3)}],
    "numbers": {Decimal(4)},
    "bytes": Binary(b"b"),
}
FLOATS = {
    **ITEM,
    "n": 1.5,
    "list": [2.0, "s", {"deep": 3.0}],
    "numbers": {4.0},
}

_deserialize = TypeDeserializer.deserialize


def as_float(_: Any, value: str) -> float:
    """Deserialize a number as applications do that want floats."""
    return float(value)


class FloatDeserializer(TypeDeserializer):
    """The same, as a class."""

    _deserialize_n = as_float


def patch_class(_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch boto3's class."""
    monkeypatch.setattr(TypeDeserializer, "_deserialize_n", as_float)


def patch_deserialize(_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch the method that the resource layer calls."""
    floats = FloatDeserializer()
    monkeypatch.setattr(
        TypeDeserializer, "deserialize", lambda _, value: _deserialize(floats, value)
    )


def patch_instance(injector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch the one deserializer of the resource."""
    own = injector._deserializer
    monkeypatch.setattr(own, "_deserialize_n", float, raising=False)


def replace_deserializer(injector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the resource another deserializer."""
    monkeypatch.setattr(injector, "_deserializer", FloatDeserializer())


class Floats(Context):
    """A context of decimal that makes floats."""

    def create_decimal(self, num: Any = "0", /) -> Any:
        return float(num)


def replace_context(_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace boto3's context, which makes the numbers."""
    monkeypatch.setattr(types, "DYNAMODB_CONTEXT", Floats())


PATCHES = [
    patch_class,
    patch_deserialize,
    patch_instance,
    replace_deserializer,
    replace_context,
]


def read_all(table: Any) -> list[Any]:
    """Read the item in the ways that the near cache answers."""
    return [
        table.get_item(Key={"pk": "a"})["Item"],
        *table.query(KeyConditionExpression=Key("pk").eq("a"))["Items"],
        *table.scan()["Items"],
    ]


@near_or_not
@pytest.mark.parametrize("patch", PATCHES)
def test_an_answer_has_the_form_of_now(
    world: World,
    near: Any,
    patch: Callable[[Any, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = world.session()
    cache: Cache = botocache.install(session, url=world.store, near=near)
    resource = world.resource(session)
    table = resource.Table(world.table("pk:S"))
    world.resource(world.session()).Table(table.name).put_item(Item=ITEM)
    injector = resource._injector
    for _ in range(3):
        assert read_all(table) == [ITEM] * 3
    for _ in range(2):
        with monkeypatch.context() as patched, world.counting() as reached:
            patch(injector, patched)
            for _ in range(3):
                assert read_all(table) == [FLOATS] * 3
                assert type(read_all(table)[0]["n"]) is float
        for _ in range(3):
            assert read_all(table) == [ITEM] * 3
            assert type(read_all(table)[0]["n"]) is Decimal
        assert reached == {}  # they are hits all the same
    near_hits = cache.stats().near_hits
    read_all(table)
    assert cache.stats().near_hits - near_hits == (3 if near == "on" else 0)


@pytest.mark.parametrize("patch", [patch_class, patch_deserialize])
def test_answers_are_remembered_in_a_patched_form(
    world: World,
    patch: Callable[[Any, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patch(None, monkeypatch)
    session = world.session()
    cache = botocache.install(session, url=world.store)
    table = world.resource(session).Table(world.table("pk:S"))
    for _ in range(3):
        table.get_item(Key={"pk": "a"})
    near_hits = cache.stats().near_hits
    table.get_item(Key={"pk": "a"})
    assert cache.stats().near_hits == near_hits + 1


def round_numbers(patched: pytest.MonkeyPatch) -> None:
    """Change boto3's context in place."""
    patched.setattr(types.DYNAMODB_CONTEXT, "prec", 1)
    for signal in (Inexact, Rounded):
        patched.setitem(types.DYNAMODB_CONTEXT.traps, signal, False)


def take_bytes(patched: pytest.MonkeyPatch) -> None:
    """Replace boto3's type of binary values."""
    patched.setattr(types, "Binary", bytes)


@near_or_not
@pytest.mark.parametrize(
    ("patch", "name", "value"),
    [(round_numbers, "n", Decimal(2)), (take_bytes, "bytes", b"b")],
)
def test_an_answer_has_the_types_of_now(
    world: World,
    near: Any,
    patch: Callable[[pytest.MonkeyPatch], None],
    name: str,
    value: object,
) -> None:
    session = world.session()
    botocache.install(session, url=world.store, near=near)
    table = world.resource(session).Table(world.table("pk:S"))
    world.resource(world.session()).Table(table.name).put_item(Item=ITEM)
    for _ in range(3):
        assert table.get_item(Key={"pk": "a"})["Item"] == ITEM
    with pytest.MonkeyPatch.context() as patched:
        patch(patched)
        for _ in range(3):
            read = table.get_item(Key={"pk": "a"})["Item"][name]
            assert (type(read), read) == (type(value), value)
    assert table.get_item(Key={"pk": "a"})["Item"] == ITEM
