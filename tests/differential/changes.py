"""Strategies for calls that write. Many are refused, on purpose."""

from collections.abc import Callable

from hypothesis import strategies as st

from tests.differential.calls import Call, Parameters
from tests.differential.questions import Words, draw_condition, draw_select, where
from tests.differential.tables import (
    NAMES,
    OFTEN,
    RARELY,
    SOMETIMES,
    Draw,
    Item,
    Tables,
    Value,
    draw_item,
    draw_key,
    draw_value,
    number,
)


def _draw_conditional(draw: Draw, words: Words) -> Parameters:
    """Draw a condition, or none; half of them do not hold."""
    if not draw(SOMETIMES):
        return {}
    conditional: Parameters = {"ConditionExpression": draw_condition(draw, words)}
    if draw(SOMETIMES):
        conditional["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return conditional


def _draw_returned(draw: Draw, *choices: str) -> Parameters:
    return {"ReturnValues": draw(st.sampled_from(choices))} if draw(OFTEN) else {}


def _put(draw: Draw, tables: Tables) -> Parameters:
    name = draw(st.sampled_from(tables.names))
    words = Words()
    item = draw_item(draw, tables, tables.shape(name))
    conditional = _draw_conditional(draw, words)
    return {"TableName": name, "Item": item, **conditional, **words.parameters()}


def _put_item(draw: Draw, tables: Tables) -> Call:
    returned = _draw_returned(draw, "NONE", "ALL_OLD", "ALL_OLD")
    return Call("PutItem", {**_put(draw, tables), **returned})


def _delete(draw: Draw, tables: Tables) -> Parameters:
    name = draw(st.sampled_from(tables.names))
    words = Words()
    key = draw_key(draw, tables, tables.shape(name))
    conditional = _draw_conditional(draw, words)
    return {"TableName": name, "Key": key, **conditional, **words.parameters()}


def _delete_item(draw: Draw, tables: Tables) -> Call:
    returned = _draw_returned(draw, "NONE", "ALL_OLD")
    return Call("DeleteItem", {**_delete(draw, tables), **returned})


# --- updates -----------------------------------------------------------------------

Change = Callable[[Draw, Words], str]


def _set(draw: Draw, words: Words) -> str:
    name = draw(st.sampled_from(NAMES))
    return f"SET {words.path(name)} = {words.value(draw_value(draw, name))}"


def _set_index_key(draw: Draw, words: Words) -> str:
    name = draw(st.sampled_from(["g", "r", "l"]))
    return f"SET {words.path(name)} = {words.value(draw_value(draw, name))}"


def _set_deep(draw: Draw, words: Words) -> str:
    path = draw(st.sampled_from(["doc.b[0]", "doc.b[1].c", "doc.c", "doc.b[9]"]))
    return f"SET {words.path(path)} = {words.value({'S': 'new'})}"


def _count(draw: Draw, words: Words) -> str:
    path = words.path("n")
    zero, one = words.value({"N": "0"}), words.value({"N": "1"})
    return f"SET {path} = if_not_exists({path}, {zero}) + {one}"


def _append(draw: Draw, words: Words) -> str:
    path = words.path("doc.b")
    more = words.value({"L": [{"S": "more"}]})
    return f"SET {path} = list_append({path}, {more})"


def _remove(draw: Draw, words: Words) -> str:
    paths = ["g", "r", "l", "a", "doc.b[0]", "doc.c", "ss"]
    return f"REMOVE {words.path(draw(st.sampled_from(paths)))}"


def _add(draw: Draw, words: Words) -> str:
    return f"ADD {words.path('n')} {words.value(draw(number))}"


def _add_member(draw: Draw, words: Words) -> str:
    return f"ADD {words.path('ss')} {words.value({'SS': ['new']})}"


def _delete_member(draw: Draw, words: Words) -> str:
    return f"DELETE {words.path('ss')} {words.value({'SS': ['p']})}"


def _set_key(draw: Draw, words: Words) -> str:
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
changes_of_items = st.sampled_from(CHANGES)


def _update(draw: Draw, tables: Tables) -> Parameters:
    name = draw(st.sampled_from(tables.names))
    words = Words()
    change = draw(changes_of_items)
    if draw(RARELY) and draw(OFTEN):
        change = _set_key
    expression = change(draw, words)
    other = draw(changes_of_items)(draw, words) if draw(SOMETIMES) else ""
    if other.partition(" ")[0] != expression.partition(" ")[0]:
        expression = f"{expression} {other}".strip()
    conditional = _draw_conditional(draw, words)
    return {
        "TableName": name,
        "Key": draw_key(draw, tables, tables.shape(name)),
        "UpdateExpression": expression,
        **conditional,
        **_used(words, f"{expression} {conditional.get('ConditionExpression', '')}"),
    }


def _used(words: Words, expression: str) -> Parameters:
    """Return what the placeholders of an expression stand for, and no others'."""
    used = set(expression.translate(_PARTS).split())
    words.names = {name: path for name, path in words.names.items() if name in used}
    words.values = {name: v for name, v in words.values.items() if name in used}
    return words.parameters()


_PARTS = str.maketrans("().,[]", "      ")


def _update_item(draw: Draw, tables: Tables) -> Call:
    if draw(RARELY):
        return _old_update_item(draw, tables)
    returned = _draw_returned(
        draw, "NONE", "ALL_OLD", "ALL_NEW", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"
    )
    return Call("UpdateItem", {**_update(draw, tables), **returned})


def _old_update_item(draw: Draw, tables: Tables) -> Call:
    """Draw an update as it was before there were expressions."""
    name = draw(st.sampled_from(tables.names))
    attribute = draw(st.sampled_from(NAMES))
    value = draw_value(draw, attribute)
    parameters: Parameters = {
        "TableName": name,
        "Key": draw_key(draw, tables, tables.shape(name)),
        "AttributeUpdates": {attribute: {"Action": "PUT", "Value": value}},
    }
    if draw(OFTEN):
        parameters["Expected"] = {attribute: {"Exists": False}}
    return Call("UpdateItem", parameters)


# --- several items -----------------------------------------------------------------


def _batch_write_item(draw: Draw, tables: Tables) -> Call:
    requests: dict[str, list[Parameters]] = {}
    written: list[tuple[str, Item]] = []
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(tables.names[:-1]))
        shape = tables.shape(name)
        item = draw_item(draw, tables, shape)
        key = {attribute: item.get(attribute, {"S": ""}) for attribute in shape.keys}
        if (name, key) in written and not draw(RARELY):
            continue  # two of one item are refused
        written.append((name, key))
        request: Parameters = {"PutRequest": {"Item": item}}
        if draw(SOMETIMES):
            request = {"DeleteRequest": {"Key": key}}
        requests.setdefault(name, []).append(request)
    return Call("BatchWriteItem", {"RequestItems": requests})


def _transact_write_items(draw: Draw, tables: Tables) -> Call:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["Put", "Update", "Delete", "ConditionCheck"]))
        if kind == "Put":
            part = _put(draw, tables)
        elif kind == "Update":
            part = _update(draw, tables)
        else:
            part = _delete(draw, tables)
        if kind == "ConditionCheck" and "ConditionExpression" not in part:
            kind = "Delete"
        parts.append({kind: part})
    return Call("TransactWriteItems", {"TransactItems": parts})


# --- PartiQL -----------------------------------------------------------------------


def _draw_statement(draw: Draw, tables: Tables) -> Parameters:
    """Draw an INSERT, UPDATE or DELETE."""
    name = draw(st.sampled_from(tables.names[:-1]))
    shape = tables.shape(name)
    kind = draw(st.sampled_from(["INSERT", "UPDATE", "UPDATE", "DELETE"]))
    key = draw_key(draw, tables, shape, odd=False)
    conditions, parameters = where(key)
    if kind == "INSERT":
        item: dict[str, Value] = {**key, "n": draw(number)}
        members = ", ".join(f"'{attribute}': ?" for attribute in item)
        statement = f'INSERT INTO "{name}" VALUE {{{members}}}'
        return {"Statement": statement, "Parameters": list(item.values())}
    if kind == "UPDATE":
        statement = f'UPDATE "{name}" SET n = ? WHERE {conditions}'
        return {"Statement": statement, "Parameters": [draw(number), *parameters]}
    return {
        "Statement": f'DELETE FROM "{name}" WHERE {conditions}',
        "Parameters": parameters,
    }


def _execute_statement(draw: Draw, tables: Tables) -> Call:
    return Call("ExecuteStatement", _draw_statement(draw, tables))


def _batch_execute_statement(draw: Draw, tables: Tables) -> Call:
    statements = [_draw_statement(draw, tables) for _ in range(draw(st.integers(1, 2)))]
    if draw(RARELY):  # reads and writes in one batch are refused
        statements.append(draw_select(draw, tables))
    return Call("BatchExecuteStatement", {"Statements": statements})


def _execute_transaction(draw: Draw, tables: Tables) -> Call:
    statements = [_draw_statement(draw, tables) for _ in range(draw(st.integers(1, 2)))]
    return Call("ExecuteTransaction", {"TransactStatements": statements})


WRITES = [
    *[_put_item] * 5,
    *[_update_item] * 5,
    *[_delete_item] * 3,
    *[_batch_write_item] * 2,
    *[_transact_write_items] * 2,
    _execute_statement,
    _batch_execute_statement,
    _execute_transaction,
]


@st.composite
def changes(draw: Draw, tables: Tables) -> Call:
    """Draw a call that writes."""
    return draw(st.sampled_from(WRITES))(draw, tables)
