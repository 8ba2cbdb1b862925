"""The calls that read: every operation that returns items, and what each of them saw.

Those that the cache answers, and those that pass through it.
"""

from typing import Any

from tests.soak.calls import GROUP, Call, Choice, Item, Maker, wire


def _get(choice: Choice) -> Call:
    item = choice.item()
    parameters: dict[str, Any] = {"TableName": item.table, "Key": item.wire()}
    if choice.random.random() < 0.05:
        parameters["ConsistentRead"] = True
    if choice.random.random() < 0.2:
        names = ["v", *(name for name, _ in item.key)]
        parameters["ProjectionExpression"] = ", ".join(names)
    return Call("GetItem", parameters, (item,))


def _query(choice: Choice) -> Call:
    return _query_for(choice, choice.item(), 0, None)


def _query_index_by_group(choice: Choice) -> Call:
    table = choice.of_pairs().table
    return Call(
        "Query",
        _query_parameters(table, "g", GROUP) | {"IndexName": "by-group"},
        tuple(item for item in choice.items if item.table == table),
    )


def _query_index_by_sort_key(choice: Choice) -> Call:
    return _query_for(choice, choice.of_pairs(), 1, "by-sk")


def _query_for(choice: Choice, like: Item, attribute: int, index: str | None) -> Call:
    """Query the items that share the value of a key attribute with an item."""
    name, value = like.key[attribute]
    parameters = _query_parameters(like.table, name, value)
    if index:
        parameters["IndexName"] = index
    return Call(
        "Query",
        parameters,
        tuple(
            item
            for item in choice.items
            if item.table == like.table and item.key[attribute] == (name, value)
        ),
    )


def _query_parameters(table: str, attribute: str, value: str) -> dict[str, Any]:
    return {
        "TableName": table,
        "KeyConditionExpression": "#a = :a",
        "ExpressionAttributeNames": {"#a": attribute},
        "ExpressionAttributeValues": wire(**{":a": value}),
    }


def _scan(choice: Choice) -> Call:
    table = choice.item().table
    covers = tuple(item for item in choice.items if item.table == table)
    return Call("Scan", {"TableName": table}, covers)


def _batch_get(choice: Choice) -> Call:
    tables: dict[str, Any] = {}
    covers = tuple(choice.random.sample(choice.items, 3))
    for item in covers:
        tables.setdefault(item.table, {"Keys": []})["Keys"].append(item.wire())
    return Call("BatchGetItem", {"RequestItems": tables}, covers)


def _transact_get(choice: Choice) -> Call:
    covers = tuple(choice.two())
    gets = [{"Get": {"TableName": i.table, "Key": i.wire()}} for i in covers]
    return Call("TransactGetItems", {"TransactItems": gets}, covers)


READS: dict[Maker, int] = {
    _get: 8,
    _query: 5,
    _query_index_by_sort_key: 3,
    _query_index_by_group: 2,
    _scan: 1,
    _batch_get: 2,
    _transact_get: 1,
}
"""And how often each is chosen."""


def seen_by(call: Call, answer: dict[str, Any]) -> dict[str, str | None]:
    """Return the values of all items that a read answers for."""
    found = {
        (table, tuple((name, item[name]["S"]) for name in names)): item["v"]["S"]
        for table, item in _items_in(call, answer)
        for names in [_key_names(call, table)]
    }
    return {item.name: found.get((item.table, item.key)) for item in call.covers}


def _key_names(call: Call, table: str) -> list[str]:
    key = next(item.key for item in call.covers if item.table == table)
    return [name for name, _ in key]


def _items_in(call: Call, answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    table = call.parameters.get("TableName", "")
    match call.kind:
        case "GetItem":
            return [(table, answer["Item"])] if "Item" in answer else []
        case "BatchGetItem":
            assert not answer.get("UnprocessedKeys")
            return [
                (t, item) for t, items in answer["Responses"].items() for item in items
            ]
        case "TransactGetItems":
            return [
                (item.table, part["Item"])
                for item, part in zip(call.covers, answer["Responses"], strict=True)
                if part.get("Item")
            ]
        case _:
            return [(table, item) for item in answer["Items"]]
