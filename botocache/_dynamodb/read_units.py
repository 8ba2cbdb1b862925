"""Read units: what DynamoDB charges for a read, by its own rules. Pure.

DynamoDB charges what it reads, not what it returns: half a unit for each 4 KB, or a
whole one if the read is strongly consistent. A GetItem, and each key of a BatchGetItem,
is rounded up by itself, a page of a Query or Scan as a whole. A projection or a filter
saves nothing, an absent item costs as much as the smallest one. A transaction pays
double.

Sources: "Read consistency and capacity units" and "Item sizes and formats" in the
documentation of DynamoDB. It says how large a number is approximately; the rest was
found by measuring, and emulators agree on it.

A size that does not show in the answer is an estimate, and marked as one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from botocache._dynamodb.partiql import selected_tables
from botocache._dynamodb.plans import Kind, Read
from botocache._dynamodb.types import Answer, AttributeValue, Body, Item
from botocache._dynamodb.values import table_name
from botocache._errors import pass_on

BLOCK = 4096
"""Bytes that half a unit pays for."""

MOST_BLOCKS = 2**15 - 1
"""A page has 1 MB, and an index may fetch an item for each of its entries."""

_PAGE = 1024**2
"""Bytes that DynamoDB reads for a page at most, if the request has no Limit."""


class ReadCost(NamedTuple):
    """What DynamoDB reads for a request.

    blocks: of 4 KB, from 1 to MOST_BLOCKS.
    is_estimated: the answer does not show all that was read.
    """

    blocks: int
    is_estimated: bool = False

    def units(self, *, is_consistent: bool = False) -> float:
        """Return the read units of one such request."""
        return float(self.blocks) if is_consistent else self.blocks / 2


SMALLEST: Final = ReadCost(1)
"""Of an absent item, and of all items up to 4 KB."""


# --- sizes -------------------------------------------------------------------------


def item_size(item: Item) -> int:
    """Return the bytes that DynamoDB counts for an item, or for an index entry.

    Raises TypeError, ValueError or another error if it is no item on the wire.
    """
    return sum(_text_size(name) + _value_size(value) for name, value in item.items())


def _value_size(value: AttributeValue) -> int:
    ((kind, content),) = value.items()
    return _SIZES[kind](content)


_COLLECTION, _ELEMENT = 3, 1
"""Bytes of a list or map, and of each of its members, beside the members themselves."""


def _text_size(text: str) -> int:
    # Most text is ASCII, and to ask takes a tenth of encoding it.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _binary_size(value: bytes | str) -> int:
    if isinstance(value, str):  # some clients leave it in base64
        return len(value) * 3 // 4 - value.count("=", -2)
    return len(value)


_PAIR = 2


def _number_size(text: str) -> int:
    """Return the bytes of a number: a byte for each pair of digits, and one more.

    The pairs begin at the decimal point, zeros at both ends do not count, and a
    negative number has a byte for its sign.
    """
    # The common case, without a Decimal, which takes twenty times as long.
    if len(text) <= _PAIR and text.isdigit():
        return 1 if text.strip("0") == "" else 2
    sign, digits, exponent = Decimal(text).as_tuple()
    significant = "".join(map(str, digits)).lstrip("0")
    if not significant or not isinstance(exponent, int):
        return 1
    # `1000` takes no more than `1`: its zeros go into the exponent.
    trimmed = significant.rstrip("0")
    exponent += len(significant) - len(trimmed)
    # An odd exponent cuts a pair in two: `123` is 1 and 23, and so is `12.3`.
    pairs = (len(trimmed) + exponent % 2 + 1) // 2
    return 1 + pairs + sign


def _one(_: object) -> int:
    return 1


def _list_size(members: Sequence[AttributeValue]) -> int:
    return _COLLECTION + sum(_ELEMENT + _value_size(each) for each in members)


def _map_size(members: Item) -> int:
    return _COLLECTION + _ELEMENT * len(members) + item_size(members)


def _sum_of(size: Callable[[Any], int]) -> Callable[[Any], int]:
    return lambda members: sum(map(size, members))


_SIZES: Mapping[str, Callable[[Any], int]] = {
    "S": _text_size,
    "N": _number_size,
    "B": _binary_size,
    "BOOL": _one,
    "NULL": _one,
    "L": _list_size,
    "M": _map_size,
    "SS": _sum_of(_text_size),
    "NS": _sum_of(_number_size),
    "BS": _sum_of(_binary_size),
}


def _blocks(size: float) -> int:
    return min(MOST_BLOCKS, max(1, -int(-size // BLOCK)))


# --- reads that may be cached ------------------------------------------------------


def cost_of_item(item: Item | None) -> ReadCost:
    """Return what a whole item costs to read; None for an absent one."""
    return ReadCost(_blocks(item_size(item))) if item else SMALLEST


def cost_of_read(
    read: Read, parameters: Body, answer: Answer, length: int | None = None
) -> ReadCost:
    """Return what DynamoDB has read for the answer to a read.

    parameters: of the request.
    length: bytes of the answer on the wire or in MessagePack, where no item is smaller
        than DynamoDB counts it; None if they are not known.
    """
    # No item is larger than its JSON, so most answers need no look at their items.
    is_small = length is not None and length <= BLOCK
    try:
        if read.kind is not Kind.ITEM:
            return cost_of_page(parameters, answer, is_small=is_small)
        item = answer.get("Item")
        part = parameters.get("RequestItems", {}).get(read.table_parameter, parameters)
        if item is None or (read.projection is None and not _selects(part)):
            return SMALLEST if is_small else cost_of_item(item)
        # It was found, and only a part of it is here.
        return ReadCost(_blocks(item_size(item)), is_estimated=True)
    except Exception as error:  # noqa: BLE001 - an answer of another form may be cached
        pass_on(error)
        return ReadCost(1, is_estimated=True)


def cost_of_page(
    parameters: Body, answer: Answer, *, is_small: bool = False
) -> ReadCost:
    """Return what DynamoDB has read for a page of a Query or Scan.

    is_small: the whole answer is no larger than a block.
    """
    items = answer.get("Items", ())
    scanned = answer.get("ScannedCount", len(items))
    is_whole = (
        scanned == len(items)
        and not _selects(parameters)
        and parameters.get("Select") not in _PARTIAL
    )
    if is_whole:
        return SMALLEST if is_small else ReadCost(_blocks(_sum(items)))
    # A filter hides what was read, but DynamoDB stops at a megabyte.
    if "LastEvaluatedKey" in answer and "Limit" not in parameters:
        return ReadCost(_blocks(_PAGE), is_estimated=True)
    # What a filter has left out is taken to be as large as what it let through.
    size = _sum(items) * scanned / len(items) if items else 0.0
    return ReadCost(_blocks(size), is_estimated=scanned > 0)


_PARTIAL = ("COUNT", "ALL_ATTRIBUTES")
"""Values of Select of which the answer does not show the cost: nothing of the items is
shown, or an index fetches them from its table, each for units of its own."""


def _selects(parameters: Body) -> bool:
    """Return whether a request asks for a part of each item."""
    return "ProjectionExpression" in parameters or "AttributesToGet" in parameters


def _sum(items: Iterable[Item]) -> int:
    return sum(map(item_size, items))


def reported_units(answer: Answer, table: str | None = None) -> float | None:
    """Return the read units that DynamoDB reports; None if it reports none.

    table: the TableName of the part of a batch.
    """
    reported = answer.get("ConsumedCapacity")
    if table is not None:
        reported = next(
            (
                each
                for each in reported or ()
                if table_name(each.get("TableName", "")) == table_name(table)
            ),
            None,
        )
    units = (reported or {}).get("CapacityUnits")
    return float(units) if isinstance(units, (int, float)) else None


def units_of_keys(
    table: str,
    keys: int,
    answer: Answer,
    *,
    is_consistent: bool,
    length: int | None = None,
) -> float:
    """Return the read units that a BatchGetItem has consumed of a table.

    table: the request's TableName.
    keys: of the table that were sent.
    answer: DynamoDB's to these.
    length: bytes of the answer on the wire, if they are known.
    """
    reported = reported_units(answer, table)
    if reported is not None:
        return reported
    # DynamoDB charges nothing for keys that it did not process.
    unprocessed = (answer.get("UnprocessedKeys") or {}).get(table, {}).get("Keys", ())
    blocks = max(0, keys - len(unprocessed))
    if length is None or length > BLOCK:  # else each item costs one
        items = answer.get("Responses", {}).get(table, ())
        # In MessagePack no item is smaller than DynamoDB counts it, and to encode it
        # takes a thirtieth of the time.
        large = [item for item in items if not _is_small(item)]
        blocks += sum(cost_of_item(item).blocks - 1 for item in large)
    return float(blocks) if is_consistent else blocks / 2


def _is_small(item: Item) -> bool:
    try:
        return len(_pack(item)) <= BLOCK
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False  # botocore does not return such an item


_pack: Final = msgspec.msgpack.Encoder().encode


def cost_of_units(units: float, *, is_consistent: bool) -> ReadCost:
    """Return the cost of a request of which DynamoDB reports the read units."""
    blocks = units if is_consistent else 2 * units
    return ReadCost(min(MOST_BLOCKS, max(1, round(blocks))))


# --- all reads ---------------------------------------------------------------------


def reads_by_table(operation: str, body: Body) -> dict[str, int]:
    """Return how many reads a request makes of each table, by the table's name.

    A key of a batch, or of a transaction, is one. Raises an error for a request that
    DynamoDB would not take.
    """
    reads: dict[str, int] = {}
    for table, number in _READS_OF.get(operation, _of_nothing)(body):
        name = table_name(table)
        reads[name] = reads.get(name, 0) + number
    return reads


def units_by_table(operation: str, body: Body, answer: Answer) -> dict[str, float]:
    """Return the read units that a request has consumed of each table, by its name.

    body: of the request.
    answer: DynamoDB's, to all of it.
    """
    reported = answer.get("ConsumedCapacity")
    units: dict[str, float] = {}
    if reported:
        # One object for an operation on one table, a list for a batch.
        parts = [reported] if isinstance(reported, Mapping) else reported
        pairs: Iterable[tuple[str, float]] = (
            (part["TableName"], part["CapacityUnits"]) for part in parts
        )
    else:
        pairs = _UNITS_OF.get(operation, _no_units)(body, answer)
    for table, number in pairs:
        name = table_name(table)
        units[name] = units.get(name, 0.0) + number
    return units


def _of_nothing(_body: Body) -> Iterator[tuple[str, int]]:
    return iter(())


def _of_one(body: Body) -> Iterator[tuple[str, int]]:
    yield body["TableName"], 1


def _of_batch(body: Body) -> Iterator[tuple[str, int]]:
    for table, part in body["RequestItems"].items():
        yield table, len(part["Keys"])


def _of_transaction(body: Body) -> Iterator[tuple[str, int]]:
    for part in body["TransactItems"]:
        yield part["Get"]["TableName"], 1


def _of_statement(body: Body) -> Iterator[tuple[str, int]]:
    for table in selected_tables(body["Statement"]):
        yield table, 1


def _of_statements(body: Body) -> Iterator[tuple[str, int]]:
    for part in body.get("Statements") or body.get("TransactStatements") or ():
        yield from _of_statement(part)


_READS_OF = {
    "GetItem": _of_one,
    "Query": _of_one,
    "Scan": _of_one,
    "SearchVectors": _of_one,
    "BatchGetItem": _of_batch,
    "TransactGetItems": _of_transaction,
    "ExecuteStatement": _of_statement,
    "BatchExecuteStatement": _of_statements,
    "ExecuteTransaction": _of_statements,
}


def _no_units(_body: Body, _answer: Answer) -> Iterator[tuple[str, float]]:
    return iter(())


def _units_of_get(body: Body, answer: Answer) -> Iterator[tuple[str, float]]:
    cost = cost_of_item(answer.get("Item"))
    yield body["TableName"], cost.units(is_consistent=_is_consistent(body))


def _units_of_page(body: Body, answer: Answer) -> Iterator[tuple[str, float]]:
    cost = cost_of_page(body, answer)
    yield body["TableName"], cost.units(is_consistent=_is_consistent(body))


def _units_of_batch(body: Body, answer: Answer) -> Iterator[tuple[str, float]]:
    for table, part in body["RequestItems"].items():
        is_consistent = _is_consistent(part)
        keys = len(part["Keys"])
        yield table, units_of_keys(table, keys, answer, is_consistent=is_consistent)


def _units_of_transaction(body: Body, answer: Answer) -> Iterator[tuple[str, float]]:
    responses: Any = answer.get("Responses", ())
    for part, response in zip(body["TransactItems"], responses, strict=False):
        cost = cost_of_item(response.get("Item"))
        yield part["Get"]["TableName"], 2.0 * cost.blocks


def _units_of_statement(body: Body, answer: Answer) -> Iterator[tuple[str, float]]:
    cost = ReadCost(_blocks(_sum(answer.get("Items", ()))))
    for table in selected_tables(body["Statement"]):
        yield table, cost.units(is_consistent=_is_consistent(body))


def _units_of_statements(body: Body, answer: Answer) -> Iterator[tuple[str, float]]:
    is_transaction = "TransactStatements" in body
    parts = body.get("Statements") or body.get("TransactStatements") or ()
    for part, response in zip(parts, answer.get("Responses", ()), strict=False):
        cost = cost_of_item(response.get("Item"))
        units = cost.units(is_consistent=_is_consistent(part))
        for table in selected_tables(part["Statement"]):
            yield table, 2.0 * cost.blocks if is_transaction else units


def _is_consistent(body: Body) -> bool:
    return body.get("ConsistentRead") is True


_UNITS_OF = {
    "GetItem": _units_of_get,
    "Query": _units_of_page,
    "Scan": _units_of_page,
    "BatchGetItem": _units_of_batch,
    "TransactGetItems": _units_of_transaction,
    "ExecuteStatement": _units_of_statement,
    "BatchExecuteStatement": _units_of_statements,
    "ExecuteTransaction": _units_of_statements,
}
