"""Read units are what an emulator computes that was written apart from ours.

dynalite computes those of reads. ministack computes those of writes alone, but from the
size of the item in UTF-8, where dynalite counts the letters of JavaScript: so ministack
judges the sizes of what is not ASCII.
"""

import math
import random
import string
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from botocache._dynamodb.read_units import (
    BLOCK,
    ReadCost,
    cost_of_page,
    item_size,
    units_by_table,
)
from tests.support.dynamodb import DynamoDB, running_dynalite

SEED = 20_261_128

LARGEST = 409_600
"""Bytes of an item."""

WRITTEN = 1024
"""Bytes that a write unit pays for."""


# --- random items --------------------------------------------------------------------


class Draw(random.Random):
    """Draws items of all types and sizes; the same seed draws the same."""

    letters = string.ascii_letters + string.digits

    def text(self, most: int) -> str:
        """Return a text of up to so many letters."""
        return "".join(self.choices(self.letters, k=self.randint(0, most)))

    def number(self) -> str:
        """Return a number, in one of its spellings."""
        digits = self.randint(0, 10 ** self.randint(1, 36) - 1)
        number = Decimal(digits).scaleb(self.randint(-60, 60))
        text = format(-number if self.random() < 0.5 else number, "f")
        return self.choice([text, f"{number:E}", str(digits), f"-{digits}.50"])

    def value(self, depth: int = 0) -> dict[str, Any]:
        """Return a value on the wire."""
        kinds = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS"]
        kind = self.choice([*kinds, "L", "M"] if depth < 3 else kinds)
        count = self.randint(0, 4)
        contents: dict[str, Any] = {
            "S": lambda: self.text(self.choice([3, 40, 3000])),
            "N": self.number,
            "B": lambda: self.randbytes(self.randint(0, self.choice([3, 40, 3000]))),
            "BOOL": lambda: self.random() < 0.5,
            "NULL": lambda: True,
            "SS": lambda: list({self.text(20) + "x" for _ in range(count + 1)}),
            "NS": lambda: list(
                {str(self.randint(-999, 9999)) for _ in range(count + 1)}
            ),
            "BS": lambda: list({self.randbytes(5) for _ in range(count + 1)}),
            "L": lambda: [self.value(depth + 1) for _ in range(count)],
            "M": lambda: {self.name(): self.value(depth + 1) for _ in range(count)},
        }
        return {kind: contents[kind]()}

    def name(self) -> str:
        """Return the name of an attribute."""
        return "a" + self.text(self.choice([2, 12]))

    def attributes(self) -> dict[str, Any]:
        """Return some attributes that are no keys."""
        return {self.name(): self.value() for _ in range(self.randint(0, 6))}


class DrawAll(Draw):
    """The same, of letters that take one byte to four."""

    letters = "aé€😀ß漢"


def padded(item: dict[str, Any], size: int) -> dict[str, Any]:
    """Return an item with one more attribute, so that it has this size."""
    length = size - item_size(item) - len("filler")
    assert length >= 0
    return {**item, "filler": {"S": "f" * length}}


def padded_to(item: dict[str, Any], unit: int, more: int) -> tuple[dict[str, Any], int]:
    """Return an item that fills some units exactly, or has `more` bytes; the units."""
    units = (item_size(item) + len("filler")) // unit + 1
    return padded(item, units * unit + more), units


# --- sizes ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dynalite() -> Iterator[DynamoDB]:
    with running_dynalite() as server:
        yield server


@pytest.fixture
def ministack(server_of: Callable[[str], DynamoDB]) -> DynamoDB:
    return server_of("ministack")


def test_a_byte_more_than_a_unit_is_another_unit(dynalite: DynamoDB) -> None:
    client, table = dynalite.client(), dynalite.create_table()
    draw = Draw(SEED)
    for number in range(80):
        key = {"pk": {"S": str(number)}}
        item = {**key, **draw.attributes()}
        for more in (0, 1):
            put, units = padded_to(item, BLOCK, more)
            client.put_item(TableName=table, Item=put)
            answer = client.get_item(
                TableName=table,
                Key=key,
                ConsistentRead=True,
                ReturnConsumedCapacity="TOTAL",
            )
            assert answer["ConsumedCapacity"]["CapacityUnits"] == units + more, item


@pytest.mark.parametrize("draw", [Draw(SEED), DrawAll(SEED)], ids=["ASCII", "UTF-8"])
def test_a_byte_more_than_a_write_unit_is_another_one(
    draw: Draw, ministack: DynamoDB
) -> None:
    client, table = ministack.client(), ministack.create_table()
    for number in range(60):
        item = {"pk": {"S": str(number)}, **draw.attributes()}
        for more in (0, 1):
            put, units = padded_to(item, WRITTEN, more)
            client.delete_item(TableName=table, Key={"pk": item["pk"]})
            answer = client.put_item(
                TableName=table, Item=put, ReturnConsumedCapacity="TOTAL"
            )
            assert answer["ConsumedCapacity"]["CapacityUnits"] == units + more, item


# --- reads ---------------------------------------------------------------------------

INDEXES: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": "g", "AttributeType": "S"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": name,
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": kind},
        }
        for name, kind in (("all", "ALL"), ("keys", "KEYS_ONLY"))
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "local",
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "g", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}

Read = tuple[str, dict[str, Any]]


class Table:
    """A table of random items on dynalite, and random reads of it."""

    def __init__(self, dynamodb: DynamoDB, draw: Draw) -> None:
        self.client = dynamodb.client()
        self.name = dynamodb.create_table("pk:S", "sk:S", **INDEXES)
        self._draw = draw
        self.keys: list[dict[str, Any]] = []
        for number in range(120):
            key = {"pk": {"S": "p" * draw.randint(1, 4)}, "sk": {"S": f"{number:05}"}}
            item = {**key, **draw.attributes()}
            if draw.random() < 0.8:
                item["g"] = {"S": "g" * draw.randint(1, 3)}
            size = int(LARGEST ** draw.uniform(0.3, 1))
            if item_size(item) + len("filler") < size:
                item = padded(item, size)
            self.client.put_item(TableName=self.name, Item=item)
            self.keys.append(key)

    def some_keys(self) -> list[dict[str, Any]]:
        """Return some keys; some of them are of no item."""
        keys = self._draw.sample(self.keys, self._draw.randint(1, 20))
        absent = [{**key, "sk": {"S": "none"}} for key in keys[:1]]
        return keys + absent * (self._draw.random() < 0.5)

    def read(self) -> Read:
        """Return a read that the cache may answer whole."""
        draw = self._draw
        consistently = {"ConsistentRead": draw.random() < 0.5}
        start = {"TableName": self.name}
        kind = draw.choice(["GetItem", "BatchGetItem", "Query", "Query", "Scan"])
        if kind == "GetItem":
            return kind, {**start, "Key": draw.choice(self.some_keys()), **consistently}
        if kind == "BatchGetItem":
            part = {"Keys": self.some_keys(), **consistently}
            return kind, {"RequestItems": {self.name: part}}
        limit = {"Limit": draw.randint(1, 30)} if draw.random() < 0.5 else {}
        index = draw.choice(["", "", "all", "keys", "local"])
        if index:
            start["IndexName"] = index
        if index in ("all", "keys"):
            consistently = {}
        if kind == "Query":
            limit |= self._condition("g" if consistently == {} else "pk")
        return kind, {**start, **limit, **consistently}

    def _condition(self, key: str) -> dict[str, Any]:
        return {
            "KeyConditionExpression": f"{key} = :k",
            "ExpressionAttributeValues": {
                ":k": {"S": key[0] * self._draw.randint(1, 5)}
            },
        }

    def part(self) -> Read:
        """Return a read of a page whose answer does not show all that was read."""
        kind, request = self.read()
        while kind not in ("Query", "Scan"):
            kind, request = self.read()
        values = dict(request.get("ExpressionAttributeValues", {}))
        ways: list[dict[str, Any]] = [
            {"ProjectionExpression": "pk, filler"},
            {"Select": "COUNT"},
            {
                "FilterExpression": "size(filler) > :least",
                "ExpressionAttributeValues": {**values, ":least": {"N": "9000"}},
            },
        ]
        return kind, {**request, **self._draw.choice(ways)}

    def ask(self, operation: str, request: dict[str, Any]) -> tuple[Any, float]:
        """Make a read; return its answer, without the units, and the units."""
        method = {
            "GetItem": self.client.get_item,
            "BatchGetItem": self.client.batch_get_item,
            "Query": self.client.query,
            "Scan": self.client.scan,
        }[operation]
        answer = method(**request, ReturnConsumedCapacity="TOTAL")
        reported = answer.pop("ConsumedCapacity")
        parts = reported if isinstance(reported, list) else [reported]
        units = math.fsum(part["CapacityUnits"] for part in parts)
        # dynalite takes a unit for each key that it leaves unprocessed.
        for left in answer.get("UnprocessedKeys", {}).values():
            units -= len(left["Keys"])
        is_consistent = request.get("ConsistentRead", False)
        if operation == "Scan" and is_consistent:
            units *= 2  # dynalite does not know that a Scan may be, and costs double
        # "Queries that do not return results consume the minimum number of read
        # capacity units for that type of read operation" (the documentation of Query).
        return answer, units or ReadCost(1).units(is_consistent=is_consistent)


@pytest.fixture(scope="module")
def table(dynalite: DynamoDB) -> Table:
    return Table(dynalite, Draw(SEED))


def computed(operation: str, request: dict[str, Any], answer: Any) -> float:
    return math.fsum(units_by_table(operation, request, answer).values())


def test_the_units_of_random_reads_are_those_of_the_emulator(table: Table) -> None:
    seen: dict[str, set[float]] = {}
    for _ in range(250):
        operation, request = table.read()
        answer, units = table.ask(operation, request)
        assert computed(operation, request, answer) == units, (operation, request)
        seen.setdefault(operation, set()).add(units)
    for operation in ("GetItem", "BatchGetItem", "Query", "Scan"):
        assert len(seen[operation]) > 5


def test_the_units_of_a_read_that_shows_a_part_are_right_or_marked_as_estimated(
    table: Table,
) -> None:
    right = estimated = 0
    for _ in range(120):
        operation, request = table.part()
        answer, units = table.ask(operation, request)
        cost = cost_of_page(request, answer)
        is_consistent = request.get("ConsistentRead", False)
        is_right = cost.units(is_consistent=is_consistent) == units
        assert is_right or cost.is_estimated, (operation, request)
        right += is_right
        estimated += not is_right
    assert right > 20
    assert estimated > 20


def test_a_projection_saves_nothing(table: Table) -> None:
    key = max(
        table.keys[:20], key=lambda key: table.ask("GetItem", _get(table, key))[1]
    )
    _, whole = table.ask("GetItem", _get(table, key))
    _, part = table.ask("GetItem", _get(table, key, ProjectionExpression="pk"))
    assert whole == part
    assert whole > ReadCost(1).units()


def _get(table: Table, key: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"TableName": table.name, "Key": key, **more}
