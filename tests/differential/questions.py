"""Draws calls that read. Every one may be a call that DynamoDB refuses."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.differential.calls import Call, Parameters
from tests.differential.tables import (
    NAMES,
    Dice,
    Item,
    Shape,
    Tables,
    Value,
    draw_key,
    draw_key_value,
    draw_name,
    draw_value,
)

PATHS = [
    "a",
    "n",
    "name",
    "ss",
    "doc",
    "doc.b",
    "doc.b[0]",
    "doc.b[1].c",
    "doc.c",
    "doc[0].c",
    "doc.b[7]",
    "pk",
    "sk",
    "g",
    "nowhere",
]
"""Document paths; some overlap, which DynamoDB refuses."""

LIMITS = [1, 1, 2, 3, 50]


class Words:
    """The placeholders of one call, `#n0`, `:v0`, ..., and what may be said in it."""

    def __init__(self, tables: Tables) -> None:
        self.traits = tables.traits
        has_list_paths = tables.traits.has_list_paths
        self.paths = [path for path in PATHS if has_list_paths or "[" not in path]
        self.names: dict[str, str] = {}
        self.values: dict[str, Value] = {}

    def path(self, path: str) -> str:
        """Return a document path with a placeholder for each name."""
        return ".".join(map(self._step, path.split(".")))

    def _step(self, step: str) -> str:
        name, bracket, rest = step.partition("[")
        for placeholder, known in self.names.items():
            if known == name:
                return placeholder + bracket + rest
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = name
        return placeholder + bracket + rest

    def value(self, value: Value) -> str:
        """Return the placeholder of a value."""
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = value
        return placeholder

    def parameters(self) -> Parameters:
        """Return the parameters that define the placeholders."""
        parameters: Parameters = {}
        if self.names:
            parameters["ExpressionAttributeNames"] = self.names
        if self.values:
            parameters["ExpressionAttributeValues"] = self.values
        return parameters


# --- expressions -------------------------------------------------------------------

Predicate = Callable[[Dice, Words], str]

COMPARATORS = ["=", "<>", "<", "<=", ">", ">="]


def _compares(dice: Dice, words: Words) -> str:
    name = dice.choice(NAMES)
    value = words.value(draw_value(dice, name))
    return f"{words.path(name)} {dice.choice(COMPARATORS)} {value}"


def _compares_deep(dice: Dice, words: Words) -> str:
    value = words.value(dice.choice([{"N": "0"}, {"S": "deep"}, {"N": "1"}]))
    return f"{words.path(dice.choice(words.paths))} = {value}"


def _exists(dice: Dice, words: Words) -> str:
    function = dice.choice(["attribute_exists", "attribute_not_exists"])
    return f"{function}({words.path(dice.choice(words.paths))})"


def _is_among(dice: Dice, words: Words) -> str:
    name = dice.choice(["g", "n", "r"])
    among = [words.value(draw_value(dice, name)) for _ in range(2)]
    return f"{words.path(name)} IN ({', '.join(among)})"


def _is_between(dice: Dice, words: Words) -> str:
    low, high = words.value({"N": "0"}), words.value({"N": "10"})
    return f"{words.path(dice.choice(['n', 'r', 'l']))} BETWEEN {low} AND {high}"


def _contains(dice: Dice, words: Words) -> str:
    return f"contains({words.path('ss')}, {words.value({'S': 'q'})})"


def _is_of_type(dice: Dice, words: Words) -> str:
    kind = words.value({"S": dice.choice(["S", "N", "M", "NULL"])})
    return f"attribute_type({words.path('a')}, {kind})"


def _begins(dice: Dice, words: Words) -> str:
    return f"begins_with({words.path('g')}, {words.value({'S': 'x'})})"


def _has_size(dice: Dice, words: Words) -> str:
    if not words.traits.has_size_of_absent:
        return _exists(dice, words)
    return f"size({words.path('ss')}) > {words.value({'N': '1'})}"


PREDICATES: list[Predicate] = [
    _compares,
    _compares,
    _compares_deep,
    _exists,
    _exists,
    _is_among,
    _is_between,
    _contains,
    _is_of_type,
    _begins,
    _has_size,
]


def draw_condition(dice: Dice, words: Words) -> str:
    """Draw a condition of one or two predicates."""
    condition = dice.choice(PREDICATES)(dice, words)
    if dice.sometimes():
        condition = f"NOT {condition}"
    if dice.sometimes():
        word = dice.choice(["AND", "OR"])
        condition = f"({condition}) {word} {dice.choice(PREDICATES)(dice, words)}"
    return condition


def draw_projection(dice: Dice, words: Words) -> Parameters:
    """Draw a projection: none, an expression of paths, or the legacy list of names."""
    if dice.often():
        return {}
    if dice.rarely():
        return {"AttributesToGet": dice.some([*NAMES, "pk", "sk"], 1, 3)}
    return {"ProjectionExpression": draw_paths(dice, words)}


def draw_paths(dice: Dice, words: Words) -> str:
    """Draw some document paths, which rarely overlap."""
    paths = dice.some(words.paths, 1, 3)
    if not dice.rarely():
        names = [re.split(r"[.\[]", path)[0] for path in paths]
        paths = [path for i, path in enumerate(paths) if names[i] not in names[:i]]
    return ", ".join(map(words.path, paths))


# --- key conditions ----------------------------------------------------------------

RANGE_OPERATORS = ["=", "=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"]
_OLD_NAMES = {
    "=": "EQ",
    "<": "LT",
    "<=": "LE",
    ">": "GT",
    ">=": "GE",
    "BETWEEN": "BETWEEN",
    "begins_with": "BEGINS_WITH",
}


def _draw_key_value(dice: Dice, tables: Tables, shape: Shape, name: str) -> Value:
    if name in shape.keys:
        return draw_key_value(dice, tables, shape.keys[name])
    return draw_value(dice, name)


Condition = tuple[str, str, list[Value]]
"""Attribute, operator and operands."""


def _draw_key_conditions(
    dice: Dice, tables: Tables, shape: Shape, hash_: str, range_: str
) -> list[Condition]:
    first = "<" if dice.rarely() and dice.often() else "="  # which is refused
    conditions = [(hash_, first, [_draw_key_value(dice, tables, shape, hash_)])]
    if range_ and dice.often():
        operator = dice.choice(RANGE_OPERATORS)
        if operator == "begins_with" and shape.types[range_] == "N":
            operator = "="
        count = 2 if operator == "BETWEEN" else 1
        operands = [_draw_key_value(dice, tables, shape, range_) for _ in range(count)]
        if not dice.rarely():  # else some are refused
            operands.sort(key=_order)
        conditions.append((range_, operator, operands))
        can_be_first = tables.traits.has_between_first or operator != "BETWEEN"
        if can_be_first and dice.sometimes():
            conditions.reverse()
    return conditions


def _order(value: Value) -> tuple[str, Any]:
    [(kind, content)] = value.items()
    if kind == "N":
        return kind, Decimal(content)
    return kind, content if kind in ("S", "B") else repr(content)


def _new_style(conditions: list[Condition], words: Words) -> Parameters:
    parts = []
    for name, operator, operands in conditions:
        path = words.path(name)
        values = [words.value(operand) for operand in operands]
        if operator == "begins_with":
            parts.append(f"begins_with({path}, {values[0]})")
        else:
            parts.append(f"{path} {operator} {' AND '.join(values)}")
    return {"KeyConditionExpression": " AND ".join(parts)}


def _old_style(conditions: list[Condition]) -> Parameters:
    return {
        "KeyConditions": {
            name: {
                "AttributeValueList": operands,
                "ComparisonOperator": _OLD_NAMES[operator],
            }
            for name, operator, operands in conditions
        }
    }


# --- operations --------------------------------------------------------------------


def _get_item(dice: Dice, tables: Tables) -> Call:
    name = draw_name(dice, tables)
    words = Words(tables)
    parameters: Parameters = {
        "TableName": name,
        "Key": draw_key(dice, tables, tables.shape(name)),
        **draw_projection(dice, words),
        **words.parameters(),
    }
    if not tables.traits.gets_attributes:
        parameters.pop("AttributesToGet", None)
    if dice.rarely():
        parameters["ConsistentRead"] = True
    return Call("GetItem", parameters)


def _query(dice: Dice, tables: Tables) -> Call:
    name = draw_name(dice, tables)
    shape = tables.shape(name)
    index, hash_, range_ = dice.choice(shape.sources())
    conditions = _draw_key_conditions(dice, tables, shape, hash_, range_)
    words = Words(tables)
    parameters: Parameters = {"TableName": name}
    if index:
        parameters["IndexName"] = index
    if dice.rarely():
        parameters.update(_old_style(conditions))
    else:
        parameters.update(_new_style(conditions, words))
    if dice.sometimes():
        parameters["ScanIndexForward"] = dice.often()
    parameters.update(_draw_page(dice, tables, shape, hash_, range_))
    parameters.update(_draw_part(dice, words, index))
    return Call("Query", {**parameters, **words.parameters()}, _draw_paging(dice))


def _scan(dice: Dice, tables: Tables) -> Call:
    name = draw_name(dice, tables)
    shape = tables.shape(name)
    words = Words(tables)
    parameters: Parameters = {"TableName": name}
    index, hash_, range_ = dice.choice(shape.sources())
    if index and dice.often():
        parameters["IndexName"] = index
    is_binary = "B" in shape.keys.values()
    has_segments = words.traits.has_binary_segments or not is_binary
    if has_segments and dice.sometimes():
        parameters["TotalSegments"] = 2
        parameters["Segment"] = dice.choice([0, 1])
    parameters.update(_draw_page(dice, tables, shape, hash_, range_))
    parameters.update(_draw_part(dice, words, parameters.get("IndexName", "")))
    return Call("Scan", {**parameters, **words.parameters()}, _draw_paging(dice))


def _draw_page(
    dice: Dice, tables: Tables, shape: Shape, hash_: str, range_: str
) -> Parameters:
    """Draw where a page begins and how long it is."""
    page: Parameters = {}
    if dice.sometimes():
        page["Limit"] = dice.choice(LIMITS)
    if dice.rarely():
        start: Item = draw_key(dice, tables, shape, odd=False)
        for name in filter(None, (hash_, range_)):
            start.setdefault(name, _draw_key_value(dice, tables, shape, name))
        page["ExclusiveStartKey"] = start
    is_of_table = hash_ in shape.keys  # or, mostly refused, an index that shares it
    if dice.rarely() and (is_of_table or dice.rarely()):
        page["ConsistentRead"] = True
    return page


_SELECTS = ["COUNT", "COUNT", "ALL_ATTRIBUTES"]
_INDEX_SELECTS = [*_SELECTS, "ALL_PROJECTED_ATTRIBUTES"]


def _draw_part(dice: Dice, words: Words, index: str) -> Parameters:
    """Draw a filter and a projection."""
    part: Parameters = {}
    if dice.sometimes():
        part["FilterExpression"] = draw_condition(dice, words)
    if dice.sometimes():
        part["Select"] = dice.choice(_INDEX_SELECTS if index else _SELECTS)
        return part
    part.update(draw_projection(dice, words))
    if "ProjectionExpression" in part and dice.sometimes():
        part["Select"] = "SPECIFIC_ATTRIBUTES"
    return part


PAGINGS: list[Parameters] = [
    {},
    {"PageSize": 1},
    {"PageSize": 2},
    {"MaxItems": 2, "PageSize": 1},
]


def _draw_paging(dice: Dice) -> Parameters | None:
    return dice.choice(PAGINGS) if dice.sometimes() else None


_TOO_MANY = 101


def _batch_get_item(dice: Dice, tables: Tables) -> Call:
    names = dice.some(tables.names, 1, 2)
    if dice.rarely() and dice.rarely():
        names = [*names, tables.unknown]
    requests: dict[str, Any] = {}
    for name in names:
        words = Words(tables)
        requests[name] = {
            "Keys": _draw_keys(dice, tables, tables.shape(name)),
            **draw_projection(dice, words),
            **words.parameters(),
        }
        if dice.rarely():
            requests[name]["ConsistentRead"] = dice.often()
    return Call("BatchGetItem", {"RequestItems": requests})


def _draw_keys(dice: Dice, tables: Tables, shape: Shape) -> list[Item]:
    """Draw some keys, all different and mostly valid."""
    keys: list[Item] = []
    for _ in range(dice.randint(1, 4)):
        key = draw_key(dice, tables, shape)
        if key not in keys or dice.rarely():
            keys.append(key)
    if dice.rarely() and dice.sometimes():
        hash_, *_ = shape.keys
        return [{**keys[0], hash_: _key_value(shape, n)} for n in range(_TOO_MANY)]
    return [] if dice.rarely() and dice.rarely() else keys


def _key_value(shape: Shape, number: int) -> Value:
    """Return one of many values for the hash key."""
    kind = shape.hash_[-1]
    return {kind: str(number).encode() if kind == "B" else str(number)}


def _transact_get_items(dice: Dice, tables: Tables) -> Call:
    gets = []
    for _ in range(dice.randint(1, 3)):
        name = draw_name(dice, tables)
        words = Words(tables)
        get: Parameters = {
            "TableName": name,
            "Key": draw_key(dice, tables, tables.shape(name)),
        }
        if dice.sometimes():
            get["ProjectionExpression"] = draw_paths(dice, words)
        gets.append({"Get": {**get, **words.parameters()}})
    return Call("TransactGetItems", {"TransactItems": gets})


def _describe_table(dice: Dice, tables: Tables) -> Call:
    return Call("DescribeTable", {"TableName": draw_name(dice, tables)})


# --- PartiQL -----------------------------------------------------------------------


def where(key: Item) -> tuple[str, list[Value]]:
    """Return the condition that names the item, and its parameters."""
    conditions = " AND ".join(f'"{name}" = ?' for name in key)
    return conditions, list(key.values())


def draw_select(dice: Dice, tables: Tables) -> Parameters:
    """Draw a SELECT, of an item or of some."""
    name = draw_name(dice, tables)
    key = draw_key(dice, tables, tables.shape(name), odd=False)
    if len(key) > 1 and dice.sometimes():
        key.pop([*key][1])
    conditions, parameters = where(key)
    what = dice.choice(["*", "a", "n, ss"])
    statement = f'SELECT {what} FROM "{name}"'
    if dice.rarely():
        return {"Statement": statement}
    return {"Statement": f"{statement} WHERE {conditions}", "Parameters": parameters}


def _select(dice: Dice, tables: Tables) -> Call:
    return Call("ExecuteStatement", draw_select(dice, tables))


def _select_in_batch(dice: Dice, tables: Tables) -> Call:
    statements = [draw_select(dice, tables) for _ in range(dice.randint(1, 2))]
    return Call("BatchExecuteStatement", {"Statements": statements})


QUESTIONS = [
    *[_get_item] * 7,
    *[_query] * 10,
    *[_scan] * 3,
    *[_batch_get_item] * 3,
    *[_transact_get_items] * 2,
    _select,
    _select_in_batch,
    *[_describe_table] * 2,
]


def draw_question(dice: Dice, tables: Tables) -> Call:
    """Draw a call that reads."""
    return dice.choice(QUESTIONS)(dice, tables)


# --- variants ----------------------------------------------------------------------

Variation = Callable[[Dice, Parameters, Tables], None]


def vary(dice: Dice, call: Call, tables: Tables) -> Call:
    """Return a call that differs from another in one thing, if it is one of some."""
    parameters = dict(call.parameters)
    variations = _VARIATIONS.get(call.operation)
    if variations:
        dice.choice(variations)(dice, parameters, tables)
    return replace(call, parameters=without_unused(parameters))


def _turn_around(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    forward = parameters.pop("ScanIndexForward", True)
    if forward or dice.often():
        parameters["ScanIndexForward"] = not forward


def _project(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    for name in ("ProjectionExpression", "AttributesToGet", "Select"):
        parameters.pop(name, None)
    if dice.often():
        names = parameters.setdefault("ExpressionAttributeNames", {})
        parameters["ExpressionAttributeNames"] = {**names, "#n90": dice.choice(NAMES)}
        parameters["ProjectionExpression"] = "#n90"


def _limit(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    if parameters.pop("Limit", None) is None:
        parameters["Limit"] = dice.choice([1, 2])


def _start(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    if parameters.pop("ExclusiveStartKey", None) is None:
        shape = tables.shape(parameters["TableName"])
        parameters["ExclusiveStartKey"] = draw_key(dice, tables, shape, odd=False)


def _filter(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    if parameters.pop("FilterExpression", None) is None:
        names = parameters.get("ExpressionAttributeNames", {})
        parameters["ExpressionAttributeNames"] = {**names, "#n91": dice.choice(NAMES)}
        parameters["FilterExpression"] = "attribute_exists(#n91)"


def _count(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    for name in ("ProjectionExpression", "AttributesToGet"):
        parameters.pop(name, None)
    if parameters.pop("Select", None) != "COUNT":
        parameters["Select"] = "COUNT"


def _ask_dynamodb(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    if "IndexName" not in parameters:
        parameters["ConsistentRead"] = not parameters.get("ConsistentRead", False)


def _segment(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    if "Segment" in parameters:
        parameters["Segment"] = 1 - parameters["Segment"]


def _other_key(dice: Dice, parameters: Parameters, tables: Tables) -> None:
    shape = tables.shape(parameters["TableName"])
    parameters["Key"] = draw_key(dice, tables, shape)


_OF_PAGES: list[Variation] = [_project, _limit, _start, _filter, _count, _ask_dynamodb]
_VARIATIONS: Mapping[str, list[Variation]] = {
    "GetItem": [_project, _project, _ask_dynamodb, _other_key],
    "Query": [*_OF_PAGES, *[_turn_around] * 3],
    "Scan": [*_OF_PAGES, _segment],
}


def without_unused(parameters: Parameters) -> Parameters:
    """Return parameters without placeholders that no expression uses."""
    expressions = [v for k, v in parameters.items() if k.endswith("Expression")]
    used = set(re.findall(r"[#:]\w+", " ".join(expressions)))
    kept = {**parameters}
    for name in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        meanings = {k: v for k, v in kept.pop(name, {}).items() if k in used}
        if meanings:
            kept[name] = meanings
    return kept
