"""The calls that write: every operation that changes items.

Many have conditions on what the caller saw last, so that some are refused.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from tests.soak.calls import GROUP, Call, Choice, Item, Maker, wire


def _put(choice: Choice) -> Call:
    return _alone(choice, "PutItem", _put_of)


def _update(choice: Choice) -> Call:
    return _alone(choice, "UpdateItem", _update_of)


def _delete(choice: Choice) -> Call:
    return _alone(choice, "DeleteItem", _delete_of)


_Change: TypeAlias = tuple[dict[str, Any], str | None]
"""Parameters of a change of one item, and its value after it."""


def _put_of(choice: Choice, item: Item) -> _Change:
    value = choice.new_value()
    return {"TableName": item.table, "Item": item.with_value(value)}, value


def _update_of(choice: Choice, item: Item) -> _Change:
    value = choice.new_value()
    parameters = {
        "TableName": item.table,
        "Key": item.wire(),
        "UpdateExpression": "SET v = :v, g = :g",
        "ExpressionAttributeValues": wire(**{":v": value, ":g": GROUP}),
    }
    return parameters, value


def update_and_return(choice: Choice) -> Call:
    """Update an item, and leave it in the cache."""
    call = _update(choice)
    return replace(call, parameters=call.parameters | {"ReturnValues": "ALL_NEW"})


def _delete_of(_choice: Choice, item: Item) -> _Change:
    return {"TableName": item.table, "Key": item.wire()}, None


_CHANGES: dict[str, Callable[[Choice, Item], _Change]] = {
    "Put": _put_of,
    "Update": _update_of,
    "Delete": _delete_of,
}


def _alone(
    choice: Choice, kind: str, change: Callable[[Choice, Item], _Change]
) -> Call:
    item = choice.item()
    parameters, value = change(choice, item)
    condition = _condition(choice, item)
    return Call(
        kind,
        _with_condition(parameters, condition),
        wrote=((item, value),),
        may_be_refused=bool(condition),
    )


def _condition(choice: Choice, item: Item) -> dict[str, Any]:
    """Return a condition that may well be false, or none."""
    if choice.random.random() < 0.6:
        return {}
    seen = choice.last_seen.get(item.name)
    if seen is None:
        return {"ConditionExpression": "attribute_not_exists(v)"}
    return {
        "ConditionExpression": "v = :seen",
        "ExpressionAttributeValues": wire(**{":seen": seen}),
    }


def _with_condition(
    parameters: dict[str, Any], condition: dict[str, Any]
) -> dict[str, Any]:
    values = "ExpressionAttributeValues"
    merged = parameters | condition
    if values in merged:
        merged[values] = parameters.get(values, {}) | condition.get(values, {})
    return merged


def _batch_write(choice: Choice) -> Call:
    requests: dict[str, list[Any]] = {}
    wrote: list[tuple[Item, str | None]] = []
    for item in choice.two():
        value = choice.new_value() if choice.random.random() < 0.8 else None
        request = (
            {"DeleteRequest": {"Key": item.wire()}}
            if value is None
            else {"PutRequest": {"Item": item.with_value(value)}}
        )
        requests.setdefault(item.table, []).append(request)
        wrote.append((item, value))
    return Call("BatchWriteItem", {"RequestItems": requests}, wrote=tuple(wrote))


def _transact_write(choice: Choice) -> Call:
    parts: list[Any] = []
    wrote: list[tuple[Item, str | None]] = []
    conditions: list[dict[str, Any]] = []
    first, second, checked = choice.random.sample(choice.items, 3)
    for item in (first, second):
        verb = choice.random.choices([*_CHANGES], [4, 4, 1])[0]
        parameters, value = _CHANGES[verb](choice, item)
        conditions.append(_condition(choice, item))
        parts.append({verb: _with_condition(parameters, conditions[-1])})
        wrote.append((item, value))
    conditions.append(_condition(choice, checked))
    if conditions[-1]:
        key = {"TableName": checked.table, "Key": checked.wire()}
        parts.append({"ConditionCheck": key | conditions[-1]})
    return Call(
        "TransactWriteItems",
        {"TransactItems": parts},
        wrote=tuple(wrote),
        may_be_refused=any(conditions),
    )


def _statement(choice: Choice) -> Call:
    return _statements(choice, "ExecuteStatement", 1)


def _batch_of_statements(choice: Choice) -> Call:
    return _statements(choice, "BatchExecuteStatement", 2)


def _transaction_of_statements(choice: Choice) -> Call:
    return _statements(choice, "ExecuteTransaction", 2)


_STATEMENTS_IN = {
    "BatchExecuteStatement": "Statements",
    "ExecuteTransaction": "TransactStatements",
}


def _statements(choice: Choice, kind: str, count: int) -> Call:
    statements: list[dict[str, str]] = []
    wrote: list[tuple[Item, str | None]] = []
    if_there: list[Item] = []
    for item in choice.random.sample(choice.items, count):
        verb = choice.random.choices(["INSERT", "UPDATE", "DELETE"], [3, 4, 1])[0]
        value = None if verb == "DELETE" else choice.new_value()
        statements.append({"Statement": _partiql(verb, item, value)})
        wrote.append((item, value))
        if verb == "UPDATE":  # moto answers as if it had been there
            if_there.append(item)
    parameters = {_STATEMENTS_IN[kind]: statements} if count > 1 else statements[0]
    return Call(kind, parameters, wrote=tuple(wrote), if_there=tuple(if_there))


def _partiql(verb: str, item: Item, value: str | None) -> str:
    where = " AND ".join(f"{name} = '{part}'" for name, part in item.key)
    match verb:
        case "INSERT":  # moto's replaces what is there
            values = dict(item.key, g=GROUP, v=value or "")
            return f'INSERT INTO "{item.table}" VALUE {values!r}'
        case "UPDATE":
            return f"UPDATE \"{item.table}\" SET v = '{value}' WHERE {where}"
        case _:
            return f'DELETE FROM "{item.table}" WHERE {where}'


WRITES: dict[Maker, int] = {
    _put: 5,
    _update: 3,
    update_and_return: 3,
    _delete: 2,
    _batch_write: 2,
    _transact_write: 3,
    _statement: 1,
    _batch_of_statements: 1,
    _transaction_of_statements: 1,
}
"""And how often each is chosen."""
