"""Draws calls that write. Many are refused, on purpose."""

from collections.abc import Callable

from tests.differential.calls import Call, Parameters
from tests.differential.questions import (
    Words,
    draw_condition,
    draw_select,
    where,
    without_unused,
)
from tests.differential.tables import (
    NAMES,
    NUMBERS,
    Dice,
    Tables,
    Value,
    draw_item,
    draw_key,
    draw_name,
    draw_value,
)


def _draw_conditional(dice: Dice, words: Words) -> Parameters:
    """Draw a condition, or none; half of them do not hold."""
    if not dice.sometimes():
        return {}
    conditional: Parameters = {"ConditionExpression": draw_condition(dice, words)}
    if dice.sometimes():
        conditional["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return conditional


def _draw_returned(dice: Dice, *choices: str) -> Parameters:
    return {"ReturnValues": dice.choice(choices)} if dice.often() else {}


def _put(dice: Dice, tables: Tables) -> Parameters:
    name = draw_name(dice, tables)
    words = Words(tables)
    item = draw_item(dice, tables, tables.shape(name))
    conditional = _draw_conditional(dice, words)
    return {"TableName": name, "Item": item, **conditional, **words.parameters()}


def _put_item(dice: Dice, tables: Tables) -> Call:
    returned = _draw_returned(dice, "NONE", "ALL_OLD", "ALL_OLD")
    return Call("PutItem", {**_put(dice, tables), **returned})


def _delete(dice: Dice, tables: Tables) -> Parameters:
    name = draw_name(dice, tables)
    words = Words(tables)
    key = draw_key(dice, tables, tables.shape(name))
    conditional = _draw_conditional(dice, words)
    return {"TableName": name, "Key": key, **conditional, **words.parameters()}


def _delete_item(dice: Dice, tables: Tables) -> Call:
    returned = _draw_returned(dice, "NONE", "ALL_OLD")
    return Call("DeleteItem", {**_delete(dice, tables), **returned})


# --- updates -----------------------------------------------------------------------

Change = Callable[[Dice, Words], str]


def _set(dice: Dice, words: Words) -> str:
    name = dice.choice(NAMES)
    return f"SET {words.path(name)} = {words.value(draw_value(dice, name))}"


def _set_index_key(dice: Dice, words: Words) -> str:
    name = dice.choice(["g", "r", "l"])
    return f"SET {words.path(name)} = {words.value(draw_value(dice, name))}"


def _set_deep(dice: Dice, words: Words) -> str:
    path = dice.choice(["doc.b[0]", "doc.b[1].c", "doc.c", "doc.b[9]"])
    return f"SET {words.path(path)} = {words.value({'S': 'new'})}"


def _count(dice: Dice, words: Words) -> str:
    path = words.path("n")
    zero, one = words.value({"N": "0"}), words.value({"N": "1"})
    return f"SET {path} = if_not_exists({path}, {zero}) + {one}"


def _append(dice: Dice, words: Words) -> str:
    path = words.path("doc.b")
    more = words.value({"L": [{"S": "more"}]})
    return f"SET {path} = list_append({path}, {more})"


def _remove(dice: Dice, words: Words) -> str:
    paths = ["g", "r", "l", "a", "doc.b[0]", "doc.c", "ss"]
    return f"REMOVE {words.path(dice.choice(paths))}"


def _add(dice: Dice, words: Words) -> str:
    return f"ADD {words.path('n')} {words.value(dice.choice(NUMBERS))}"


def _add_member(dice: Dice, words: Words) -> str:
    return f"ADD {words.path('ss')} {words.value({'SS': ['new']})}"


def _delete_member(dice: Dice, words: Words) -> str:
    return f"DELETE {words.path('ss')} {words.value({'SS': ['p']})}"


def _set_key(dice: Dice, words: Words) -> str:
    return f"SET {words.path('pk')} = {words.value({'S': 'a'})}"  # is refused


CHANGES: list[Change] = [
    *[_set] * 3,
    *[_set_index_key] * 2,
    _set_deep,
    _count,
    _append,
    *[_remove] * 2,
    _add,
    _add_member,
    _delete_member,
]


def _update(dice: Dice, tables: Tables) -> Parameters:
    name = draw_name(dice, tables)
    words = Words(tables)
    change = dice.choice(CHANGES)
    if dice.rarely() and dice.often():
        change = _set_key
    expression = change(dice, words)
    other = dice.choice(CHANGES)(dice, words) if dice.sometimes() else ""
    if other.partition(" ")[0] != expression.partition(" ")[0]:
        expression = f"{expression} {other}".strip()
    conditional = _draw_conditional(dice, words)
    return without_unused(
        {
            "TableName": name,
            "Key": draw_key(dice, tables, tables.shape(name)),
            "UpdateExpression": expression,
            **conditional,
            **words.parameters(),
        }
    )


def _update_item(dice: Dice, tables: Tables) -> Call:
    if dice.rarely():
        return _old_update_item(dice, tables)
    returned = _draw_returned(
        dice, "NONE", "ALL_OLD", "ALL_NEW", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"
    )
    return Call("UpdateItem", {**_update(dice, tables), **returned})


def _old_update_item(dice: Dice, tables: Tables) -> Call:
    """Draw an update as it was before there were expressions."""
    name = draw_name(dice, tables)
    attribute = dice.choice(NAMES)
    value = draw_value(dice, attribute)
    parameters: Parameters = {
        "TableName": name,
        "Key": draw_key(dice, tables, tables.shape(name)),
        "AttributeUpdates": {attribute: {"Action": "PUT", "Value": value}},
    }
    if dice.often():
        parameters["Expected"] = {attribute: {"Exists": False}}
    return Call("UpdateItem", parameters)


Written = tuple[str, dict[str, Value | None]]
"""A table's name and the key of an item in it."""


# --- several items -----------------------------------------------------------------


def _batch_write_item(dice: Dice, tables: Tables) -> Call:
    requests: dict[str, list[Parameters]] = {}
    written: list[Written] = []
    for _ in range(dice.randint(1, 4)):
        name = draw_name(dice, tables)
        shape = tables.shape(name)
        if dice.sometimes():
            key = draw_key(dice, tables, shape)
            part, request = {"Key": key}, {"DeleteRequest": {"Key": key}}
        else:
            item = draw_item(dice, tables, shape)
            part, request = {"Item": item}, {"PutRequest": {"Item": item}}
        if _is_new(dice, tables, {"TableName": name, **part}, written):
            requests.setdefault(name, []).append(request)
    return Call("BatchWriteItem", {"RequestItems": requests})


def _transact_write_items(dice: Dice, tables: Tables) -> Call:
    parts: list[Parameters] = []
    written: list[Written] = []
    for _ in range(dice.randint(1, 3)):
        kind = dice.choice(["Put", "Update", "Delete", "ConditionCheck"])
        part = _PARTS[kind](dice, tables)
        if kind == "ConditionCheck" and "ConditionExpression" not in part:
            kind = "Delete"
        if _is_new(dice, tables, part, written):
            parts.append({kind: part})
    return Call("TransactWriteItems", {"TransactItems": parts})


_PARTS: dict[str, Callable[[Dice, Tables], Parameters]] = {
    "Put": _put,
    "Update": _update,
    "Delete": _delete,
    "ConditionCheck": _delete,
}


def _is_new(
    dice: Dice, tables: Tables, part: Parameters, written: list[Written]
) -> bool:
    """Return whether a part is of another item; rarely True when it is not.

    Two parts of one item are refused.
    """
    name = part["TableName"]
    values = part.get("Key") or part["Item"]
    key = {attribute: values.get(attribute) for attribute in tables.shape(name).keys}
    is_new = (name, key) not in written or dice.rarely()
    written.append((name, key))
    return is_new


# --- PartiQL -----------------------------------------------------------------------


def _draw_statement(dice: Dice, tables: Tables) -> Parameters:
    """Draw an INSERT, UPDATE or DELETE."""
    name = draw_name(dice, tables)
    shape = tables.shape(name)
    kinds = ["INSERT", "UPDATE", "UPDATE", "DELETE"]
    kind = dice.choice(kinds) if tables.traits.has_partiql_writes else "UPDATE"
    key = draw_key(dice, tables, shape, odd=False)
    conditions, parameters = where(key)
    if kind == "INSERT":
        item: dict[str, Value] = {**key, "n": dice.choice(NUMBERS)}
        members = ", ".join(f"'{attribute}': ?" for attribute in item)
        statement = f'INSERT INTO "{name}" VALUE {{{members}}}'
        return {"Statement": statement, "Parameters": list(item.values())}
    if kind == "UPDATE":
        statement = f'UPDATE "{name}" SET n = ? WHERE {conditions}'
        return {
            "Statement": statement,
            "Parameters": [dice.choice(NUMBERS), *parameters],
        }
    return {
        "Statement": f'DELETE FROM "{name}" WHERE {conditions}',
        "Parameters": parameters,
    }


def _execute_statement(dice: Dice, tables: Tables) -> Call:
    return Call("ExecuteStatement", _draw_statement(dice, tables))


def _batch_execute_statement(dice: Dice, tables: Tables) -> Call:
    statements = [_draw_statement(dice, tables) for _ in range(dice.randint(1, 2))]
    if dice.rarely():  # reads and writes in one batch are refused
        statements.append(draw_select(dice, tables))
    return Call("BatchExecuteStatement", {"Statements": statements})


def _execute_transaction(dice: Dice, tables: Tables) -> Call:
    statements = [_draw_statement(dice, tables) for _ in range(dice.randint(1, 2))]
    return Call("ExecuteTransaction", {"TransactStatements": statements})


WRITES = [
    *[_put_item] * 4,
    *[_update_item] * 4,
    *[_delete_item] * 2,
    *[_batch_write_item] * 2,
    *[_transact_write_items] * 2,
    *[_execute_statement] * 2,
    _batch_execute_statement,
    _execute_transaction,
]


def draw_change(dice: Dice, tables: Tables) -> Call:
    """Draw a call that writes."""
    return dice.choice(WRITES)(dice, tables)
