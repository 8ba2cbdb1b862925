"""Strategies for calls that read. Every one may be a call that DynamoDB refuses."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.differential.calls import Call, Parameters
from tests.differential.tables import (
    NAMES,
    OFTEN,
    RARELY,
    SOMETIMES,
    Draw,
    Item,
    Shape,
    Tables,
    Value,
    draw_key,
    draw_value,
    key_values,
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
    "missing",
]
"""Document paths; some overlap, which DynamoDB refuses."""

paths = st.sampled_from(PATHS)
some_paths = st.lists(paths, unique=True, min_size=1, max_size=3)
some_names = st.lists(
    st.sampled_from([*NAMES, "pk", "sk"]), unique=True, min_size=1, max_size=3
)
limits = st.sampled_from([1, 1, 2, 3, 50])


class Words:
    """The placeholders of one call: `#n0`, `:v0`, ..."""

    def __init__(self) -> None:
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
        """Return the parameters that say what the placeholders stand for."""
        parameters: Parameters = {}
        if self.names:
            parameters["ExpressionAttributeNames"] = self.names
        if self.values:
            parameters["ExpressionAttributeValues"] = self.values
        return parameters


# --- expressions -------------------------------------------------------------------

Predicate = Callable[[Draw, Words], str]

comparators = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])


def _compares(draw: Draw, words: Words) -> str:
    name = draw(st.sampled_from(NAMES))
    value = words.value(draw_value(draw, name))
    return f"{words.path(name)} {draw(comparators)} {value}"


def _compares_deep(draw: Draw, words: Words) -> str:
    value = words.value(draw(st.sampled_from([{"N": "0"}, {"S": "deep"}, {"N": "1"}])))
    return f"{words.path(draw(paths))} = {value}"


def _exists(draw: Draw, words: Words) -> str:
    function = draw(st.sampled_from(["attribute_exists", "attribute_not_exists"]))
    return f"{function}({words.path(draw(paths))})"


def _is_among(draw: Draw, words: Words) -> str:
    name = draw(st.sampled_from(["g", "n", "r"]))
    among = [words.value(draw_value(draw, name)) for _ in range(2)]
    return f"{words.path(name)} IN ({', '.join(among)})"


def _is_between(draw: Draw, words: Words) -> str:
    low, high = words.value({"N": "0"}), words.value({"N": "10"})
    return f"{words.path(draw(st.sampled_from(['n', 'r', 'l'])))} BETWEEN {low} AND {high}"


def _contains(draw: Draw, words: Words) -> str:
    return f"contains({words.path('ss')}, {words.value({'S': 'q'})})"


def _is_of_type(draw: Draw, words: Words) -> str:
    kind = words.value({"S": draw(st.sampled_from(["S", "N", "M", "NULL"]))})
    return f"attribute_type({words.path('a')}, {kind})"


def _begins(draw: Draw, words: Words) -> str:
    return f"begins_with({words.path('g')}, {words.value({'S': 'x'})})"


def _has_size(draw: Draw, words: Words) -> str:
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
predicates = st.sampled_from(PREDICATES)


def draw_condition(draw: Draw, words: Words) -> str:
    """Draw a condition of one or two predicates."""
    condition = draw(predicates)(draw, words)
    if draw(SOMETIMES):
        condition = f"NOT {condition}"
    if draw(SOMETIMES):
        word = draw(st.sampled_from(["AND", "OR"]))
        condition = f"({condition}) {word} {draw(predicates)(draw, words)}"
    return condition


def draw_projection(draw: Draw, words: Words) -> Parameters:
    """Draw what of the items is asked for: everything, paths or, the old way, names."""
    if draw(OFTEN):
        return {}
    if draw(RARELY):
        return {"AttributesToGet": draw(some_names)}
    return {"ProjectionExpression": ", ".join(map(words.path, draw(some_paths)))}


# --- key conditions ----------------------------------------------------------------

_RANGES = ["=", "=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"]
_OLD_NAMES = {
    "=": "EQ",
    "<": "LT",
    "<=": "LE",
    ">": "GT",
    ">=": "GE",
    "BETWEEN": "BETWEEN",
    "begins_with": "BEGINS_WITH",
}
range_operators = st.sampled_from(_RANGES)


def _draw_key_value(draw: Draw, tables: Tables, shape: Shape, name: str) -> Value:
    kind = shape.types[name]
    if name in shape.keys:
        alike = tables.numbers_are_alike
        return draw(key_values(kind, numbers_are_alike=alike))
    return draw_value(draw, name)


Condition = tuple[str, str, list[Value]]
"""Attribute, operator and operands."""


def _draw_key_conditions(
    draw: Draw, tables: Tables, shape: Shape, hash_: str, range_: str
) -> list[Condition]:
    first = "<" if draw(RARELY) and draw(OFTEN) else "="  # which is refused
    conditions = [(hash_, first, [_draw_key_value(draw, tables, shape, hash_)])]
    if range_ and draw(OFTEN):
        operator = draw(range_operators)
        count = 2 if operator == "BETWEEN" else 1
        operands = [_draw_key_value(draw, tables, shape, range_) for _ in range(count)]
        conditions.append((range_, operator, operands))
        if draw(SOMETIMES):
            conditions.reverse()
    return conditions


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


def _get_item(draw: Draw, tables: Tables) -> Call:
    name = draw(st.sampled_from(tables.names))
    words = Words()
    parameters: Parameters = {
        "TableName": name,
        "Key": draw_key(draw, tables, tables.shape(name)),
        **draw_projection(draw, words),
        **words.parameters(),
    }
    if draw(RARELY):
        parameters["ConsistentRead"] = True
    return Call("GetItem", parameters)


def _query(draw: Draw, tables: Tables) -> Call:
    name = draw(st.sampled_from(tables.names))
    shape = tables.shape(name)
    index, hash_, range_ = draw(st.sampled_from(shape.sources()))
    conditions = _draw_key_conditions(draw, tables, shape, hash_, range_)
    words = Words()
    parameters: Parameters = {"TableName": name}
    if index:
        parameters["IndexName"] = index
    if draw(RARELY):
        parameters.update(_old_style(conditions))
    else:
        parameters.update(_new_style(conditions, words))
    if draw(SOMETIMES):
        parameters["ScanIndexForward"] = draw(OFTEN)
    parameters.update(_draw_page(draw, tables, shape, hash_, range_))
    parameters.update(_draw_part(draw, words, index))
    return Call("Query", {**parameters, **words.parameters()}, _draw_paging(draw))


def _scan(draw: Draw, tables: Tables) -> Call:
    name = draw(st.sampled_from(tables.names))
    shape = tables.shape(name)
    words = Words()
    parameters: Parameters = {"TableName": name}
    index, hash_, range_ = draw(st.sampled_from(shape.sources()))
    if index and draw(OFTEN):
        parameters["IndexName"] = index
    if draw(SOMETIMES):
        parameters["TotalSegments"] = 2
        parameters["Segment"] = draw(st.sampled_from([0, 1]))
    parameters.update(_draw_page(draw, tables, shape, hash_, range_))
    parameters.update(_draw_part(draw, words, parameters.get("IndexName", "")))
    return Call("Scan", {**parameters, **words.parameters()}, _draw_paging(draw))


def _draw_page(
    draw: Draw, tables: Tables, shape: Shape, hash_: str, range_: str
) -> Parameters:
    """Draw where a page begins and how long it is."""
    page: Parameters = {}
    if draw(SOMETIMES):
        page["Limit"] = draw(limits)
    if draw(RARELY):
        start: Item = draw_key(draw, tables, shape, odd=False)
        for name in filter(None, (hash_, range_)):
            start.setdefault(name, _draw_key_value(draw, tables, shape, name))
        page["ExclusiveStartKey"] = start
    if draw(RARELY):
        page["ConsistentRead"] = True
    return page


_SELECTS = ["COUNT", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"]


def _draw_part(draw: Draw, words: Words, index: str) -> Parameters:
    """Draw which items count, and what of them is asked for."""
    part: Parameters = {}
    if draw(SOMETIMES):
        part["FilterExpression"] = draw_condition(draw, words)
    if draw(SOMETIMES):
        part["Select"] = draw(st.sampled_from(_SELECTS))
        return part
    part.update(draw_projection(draw, words))
    if "ProjectionExpression" in part and draw(SOMETIMES):
        part["Select"] = "SPECIFIC_ATTRIBUTES"
    return part


pagings = st.sampled_from(
    [{}, {"PageSize": 1}, {"PageSize": 2}, {"MaxItems": 2, "PageSize": 1}]
)


def _draw_paging(draw: Draw) -> Parameters | None:
    return draw(pagings) if draw(SOMETIMES) else None


_TOO_MANY = 101


def _batch_get_item(draw: Draw, tables: Tables) -> Call:
    names = draw(st.lists(st.sampled_from(tables.names[:-1]), unique=True, min_size=1))
    if draw(RARELY) and draw(OFTEN):
        names = tables.names  # one of which does not exist
    requests: dict[str, Any] = {}
    for name in names:
        words = Words()
        requests[name] = {
            "Keys": _draw_keys(draw, tables, tables.shape(name)),
            **draw_projection(draw, words),
            **words.parameters(),
        }
        if draw(RARELY):
            requests[name]["ConsistentRead"] = draw(OFTEN)
    return Call("BatchGetItem", {"RequestItems": requests})


def _draw_keys(draw: Draw, tables: Tables, shape: Shape) -> list[Item]:
    """Draw some keys: mostly such as can be asked for, all different."""
    keys: list[Item] = []
    for _ in range(draw(st.integers(1, 4))):
        key = draw_key(draw, tables, shape)
        if key not in keys or draw(RARELY):
            keys.append(key)
    if draw(RARELY) and draw(SOMETIMES):
        first, *rest = [*shape.keys]
        if shape.keys[first] == "N":
            apart = {name: keys[0].get(name, {"S": "odd"}) for name in rest}
            return [{first: {"N": str(n)}, **apart} for n in range(_TOO_MANY)]
        return []
    return keys


def _transact_get_items(draw: Draw, tables: Tables) -> Call:
    gets = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(tables.names[:-1]))
        words = Words()
        get: Parameters = {
            "TableName": name,
            "Key": draw_key(draw, tables, tables.shape(name)),
        }
        if draw(SOMETIMES):
            get["ProjectionExpression"] = ", ".join(
                map(words.path, draw(some_paths))
            )
        gets.append({"Get": {**get, **words.parameters()}})
    return Call("TransactGetItems", {"TransactItems": gets})


def _describe_table(draw: Draw, tables: Tables) -> Call:
    return Call("DescribeTable", {"TableName": draw(st.sampled_from(tables.names))})


# --- PartiQL -----------------------------------------------------------------------


def where(key: Item) -> tuple[str, list[Value]]:
    """Return the condition that says which item, and its parameters."""
    conditions = " AND ".join(f'"{name}" = ?' for name in key)
    return conditions, list(key.values())


def draw_select(draw: Draw, tables: Tables) -> Parameters:
    """Draw a SELECT, of an item or of some."""
    name = draw(st.sampled_from(tables.names[:-1]))
    key = draw_key(draw, tables, tables.shape(name), odd=False)
    if len(key) > 1 and draw(SOMETIMES):
        key.pop([*key][1])
    conditions, parameters = where(key)
    what = draw(st.sampled_from(["*", "a", "n, ss"]))
    statement = f'SELECT {what} FROM "{name}"'
    if draw(RARELY):
        return {"Statement": statement}
    return {"Statement": f"{statement} WHERE {conditions}", "Parameters": parameters}


def _select(draw: Draw, tables: Tables) -> Call:
    return Call("ExecuteStatement", draw_select(draw, tables))


def _select_in_batch(draw: Draw, tables: Tables) -> Call:
    statements = [draw_select(draw, tables) for _ in range(draw(st.integers(1, 2)))]
    return Call("BatchExecuteStatement", {"Statements": statements})


QUESTIONS = [
    *[_get_item] * 5,
    *[_query] * 8,
    *[_scan] * 3,
    *[_batch_get_item] * 4,
    _transact_get_items,
    _select,
    _select_in_batch,
    _describe_table,
]


@st.composite
def questions(draw: Draw, tables: Tables) -> Call:
    """Draw a call that reads."""
    return draw(st.sampled_from(QUESTIONS))(draw, tables)


