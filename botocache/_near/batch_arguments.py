"""What the arguments of a BatchGetItem ask for, table by table. Pure."""

from typing import NamedTuple

from botocache._errors import shows
from botocache._near.call_keys import marks_of


@shows("table")
class BatchPart(NamedTuple):
    """What a batch asks one table.

    table: the TableName, which is no ARN.
    options: all parameters but the keys, as marshal has them.
    projects_by: the parameter that names a projection; None for whole items.
    keys: of the items, as the application has them.
    marks: the keys as marshal has them: equal for equal keys on the wire.
    """

    table: str
    options: bytes
    projects_by: str | None
    keys: list[object]
    marks: list[bytes]


@shows("capacity")
class Batch(NamedTuple):
    """The arguments of a BatchGetItem.

    parts: of its tables, in their order.
    capacity: its ReturnConsumedCapacity.
    """

    parts: list[BatchPart]
    capacity: str


def read_arguments(arguments: object) -> Batch | None:
    """Return the batch that a call's arguments ask for; None if they are unusual.

    Raises ValueError for a value that marshal does not take.
    """
    if type(arguments) is not dict:
        return None
    items = arguments.get("RequestItems")
    capacity = arguments.get("ReturnConsumedCapacity", "NONE")
    if (
        type(items) is not dict
        or type(capacity) is not str
        or capacity not in _CAPACITIES
        or len(arguments) > 1 + ("ReturnConsumedCapacity" in arguments)
    ):
        return None
    parts = []
    # A copy, because the application may change its arguments at any time.
    for table, part in items.copy().items():
        if type(table) is not str or table.startswith("arn:") or type(part) is not dict:
            return None
        keys = part.get("Keys")
        if type(keys) is not list:
            return None
        options, projects_by = b"", None
        if len(part) > 1:
            others = {name: value for name, value in part.items() if name != "Keys"}
            (options,) = marks_of([others])
            projects_by = next((name for name in _PROJECTIONS if name in others), None)
        keys = keys.copy()
        parts.append(BatchPart(table, options, projects_by, keys, marks_of(keys)))
    return Batch(parts, capacity)


_CAPACITIES = frozenset({"NONE", "TOTAL", "INDEXES"})
_PROJECTIONS = ("ProjectionExpression", "AttributesToGet")
