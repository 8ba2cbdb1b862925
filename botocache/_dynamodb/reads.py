"""Plans of reads: the tags and the question of each. Pure.

The question is all that distinguishes a read from others of its operation. The rule of
its normal form: two requests share a question only if it is certain that DynamoDB
accepts both or refuses both. A request that is refused must not find the answer to its
like. So a request that may be refused

- for its size is a bypass: limits.py raises RefusedError, and `explain` shows why;
- for anything else that the normal form would forget keeps its exact text.

A planner may also raise LookupError, TypeError, ValueError or AttributeError for a
request that it does not understand. Such a request is a bypass.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import chain

import msgspec

from botocache._dynamodb.expressions import (
    Conditions,
    canonical_expressions,
    read_key_condition,
    read_legacy_key_conditions,
)
from botocache._dynamodb.item_shapes import item_shape
from botocache._dynamodb.limits import BATCH_KEYS, VALUES_BYTES, RefusedError
from botocache._dynamodb.plans import (
    BatchRead,
    CallPlan,
    KeyAttributes,
    KeysOf,
    Kind,
    Read,
    WrittenItem,
)
from botocache._dynamodb.projections import Path, Projection, read_projection
from botocache._dynamodb.tags import (
    EVERYTHING,
    Tag,
    any_write_tags,
    item_tag,
    partition_tag,
    table_tag,
    writes_tag,
)
from botocache._dynamodb.types import Body, Item
from botocache._dynamodb.values import table_name

# Deterministic: the order of members in a request's JSON must not change its question.
_encode = msgspec.json.Encoder(order="deterministic").encode
_CAPACITIES = {"NONE", "TOTAL", "INDEXES"}

_NOT_BOOLEAN = "Its ConsistentRead is neither true nor false."

_LARGEST_NORMAL = VALUES_BYTES // 2
"""Bytes of the largest question in normal form; a larger one has its exact text.

Several placeholders may stand for equal values. Then only the exact text shows whether
all of them together are too large for DynamoDB.
"""

_LARGEST_OPTIONS = 16 * 1024
"""Bytes. Above a projection that is understood."""

_LARGEST_REMEMBERED = 512
"""Bytes. What is made of 1024 such projections takes 11 MB."""


def get_item(body: Body, _keys_of: KeysOf) -> CallPlan:
    # Most requests have no capacity; this spares them a function call.
    has_capacity = "ReturnConsumedCapacity" in body
    return item_read(body, _capacity(body) if has_capacity else "NONE")


def item_read(body: Body, capacity: str) -> Read:
    """Return the read of one item.

    body: of a GetItem.
    capacity: its ReturnConsumedCapacity.
    """
    parameter, key = body["TableName"], body["Key"]
    # The tag has the canonical key, so `{"N": "1"}` and `{"N": "1.0"}` share an entry.
    read = item_shape(parameter, key).read(key)
    if len(body) == _REQUIRED and capacity == "NONE":
        return read
    is_consistent = body.get("ConsistentRead", False)
    if type(is_consistent) is not bool:
        raise RefusedError(_NOT_BOOLEAN)
    question, whole, projection = read.question, None, None
    options = {name: body[name] for name in body if name not in _NO_OPTIONS}
    # Unknown parameters are options, too: they make the question another one.
    if options:
        projection, canonical = _canonical_options(options)
        whole = question if projection is not None else None
        parts = {"TableName": parameter, "Key": read.item_tag.detail}
        question = _encode({**parts, "options": canonical})
    return read._replace(
        question=question,
        is_consistent=is_consistent,
        capacity=capacity,
        whole=whole,
        projection=projection,
    )


_REQUIRED = len(("TableName", "Key"))


def _canonical_options(
    options: dict[str, object],
) -> tuple[Projection | None, object]:
    """Return the projection of a GetItem's options, and their canonical form."""
    encoded = _encode(options)
    if len(encoded) <= _LARGEST_REMEMBERED:
        return _projected(encoded)
    if len(encoded) <= _LARGEST_OPTIONS:
        return _projected.__wrapped__(encoded)
    return None, options


def read_of(item: WrittenItem) -> Read:
    """Return the read of an item that a write names."""
    return item_read({"TableName": item.table_parameter, "Key": item.key}, "NONE")


_NO_OPTIONS = {"TableName", "Key", "ConsistentRead", "ReturnConsumedCapacity"}
_PROJECTION = {"AttributesToGet", "ExpressionAttributeNames", "ProjectionExpression"}


@lru_cache(maxsize=1024)
def _projected(
    options: bytes,
) -> tuple[Projection | None, dict[str, object] | tuple[Path, ...]]:
    """Return the projection of a GetItem's options, and their canonical form.

    Memoised: an application uses few projections, and parsing is half the cost of a
    hit.
    """
    body = msgspec.json.decode(options)
    # The paths alone are the normal form of a projection: they forget all else.
    is_projection = body.keys() <= _PROJECTION
    projection = read_projection(body) if is_projection else None
    if projection is None:
        return None, canonical_expressions(body)
    return projection, projection.paths


def batch_get_item(body: Body, _keys_of: KeysOf) -> CallPlan:
    """Plan each key as a GetItem."""
    capacity = _capacity(body)
    _check_parts(body)
    reads: dict[str, tuple[Read, ...]] = {}
    for table, part in body["RequestItems"].items():
        reads[table] = tuple(_reads_of(table, part))
    _check_keys(reads)
    return BatchRead(reads, capacity)


def _reads_of(table: str, part: Body) -> list[Read]:
    """Return the read of each key of one table."""
    keys: list[Item] = part["Keys"]
    if len(part) > 1:
        options = {name: part[name] for name in part if name != "Keys"}
        options["TableName"] = table
        return [item_read({**options, "Key": key}, "NONE") for key in keys]
    # Half of the time: the keys of a table have one shape, and no options.
    reads, shape = [], None
    for key in keys:
        if shape is None or key.keys() != shape.names:
            shape = item_shape(table, key)
        reads.append(shape.read(key))
    return reads


# DynamoDB refuses the whole batch. With hits for some keys, the rest of such a batch
# might be accepted.


def _check_parts(body: Body) -> None:
    """Raise RefusedError if a BatchGetItem has parameters that do not go together."""
    parts: Mapping[str, Body] = body["RequestItems"]
    if not body.keys() <= {"RequestItems", "ReturnConsumedCapacity"} or not all(
        part.keys() <= _PART for part in parts.values()
    ):
        raise RefusedError("It has a parameter that botocache does not know.")
    if len(_PROJECTIONS.intersection(chain.from_iterable(parts.values()))) > 1:
        raise RefusedError("It has both ProjectionExpression and AttributesToGet.")
    if len(set(map(table_name, parts))) < len(parts):
        raise RefusedError("It names a table twice, by name and by ARN.")


_PART = {"Keys", "ConsistentRead", *_PROJECTION}
_PROJECTIONS = frozenset({"AttributesToGet", "ProjectionExpression"})


def _check_keys(reads: Mapping[str, tuple[Read, ...]]) -> None:
    """Raise RefusedError if DynamoDB refuses keys of a BatchGetItem together."""
    items = [read.item_tag for each in reads.values() for read in each]
    if not all(reads.values()) or not items:
        raise RefusedError("It has no keys, or none for one of its tables.")
    if len(items) > BATCH_KEYS:
        raise RefusedError(f"It has {len(items)} keys; DynamoDB allows {BATCH_KEYS}.")
    if len(set(items)) < len(items):
        raise RefusedError("It has a key twice.")
    if any(len({read.named for read in each}) > 1 for each in reads.values()):
        raise RefusedError("The keys of one table have different attributes.")


def query(body: Body, keys_of: KeysOf) -> CallPlan:
    table = table_name(body["TableName"])
    conditions = _key_conditions(body)
    if "IndexName" in body:
        keys = keys_of(body["TableName"]) or frozenset()
        return _index_query(body, table, conditions, keys)
    if conditions is None:
        return _page_of(
            "Query", Kind.QUERY, body, any_write_tags(table), why=_WHY_UNREAD
        )
    # On the table itself every attribute of a key condition is a key attribute.
    named = frozenset(conditions.attributes)
    # The tags may only be narrower than the table if the key condition is understood.
    narrow: tuple[Tag, ...] = any_write_tags(table)
    why = _WHY_NO_VALUE
    if len(conditions.equal) > 1:  # a table has two key attributes at the most
        narrow = (item_tag(table, conditions.equal),)
        why = "Both key attributes equal a value, so it depends on one item."
    else:
        for attribute, value in conditions.equal.items():
            narrow = (partition_tag(table, attribute, value),)
            why = "A key attribute equals a value, so it depends on that partition."
    return _page_of("Query", Kind.QUERY, body, narrow, why=why, named=named)


_WHY_UNREAD = (
    "botocache does not understand the key condition. So it depends on any write to "
    "the table."
)
_WHY_NO_VALUE = (
    "No key attribute equals a value. So it depends on any write to the table."
)


def _index_query(
    body: Body, table: str, conditions: Conditions | None, keys: KeyAttributes
) -> CallPlan:
    equal = conditions.equal if conditions else {}
    for attribute in sorted(keys.intersection(equal)):
        partition = partition_tag(table, attribute, equal[attribute])
        planned = _page_of(
            "Query", Kind.INDEX_QUERY, body, (partition,), why=_WHY_INDEX_BY_KEY
        )
        return planned._replace(rests_on_schema=True)
    planned = _page_of(
        "Query", Kind.INDEX_QUERY, body, any_write_tags(table), why=_WHY_INDEX
    )
    for attribute in sorted(equal):
        # All items of this answer have this value, on every index. So a precise write
        # changes the answer only if the old or the new image has the value, too. All
        # other writes, also of processes without the setting, evict the writes tag.
        partition = partition_tag(table, attribute, equal[attribute])
        return planned._replace(precise_tags=(writes_tag(table), partition))
    return planned


_WHY_INDEX_BY_KEY = (
    "It reads an index, by a key attribute of the table that equals a value. So it "
    "depends on the items of the table with that value."
)
_WHY_INDEX = (
    "It reads an index, by no key attribute of the table that botocache knows. So it "
    "depends on any write to the table."
)


def _key_conditions(body: Body) -> Conditions | None:
    if "KeyConditionExpression" in body:
        return read_key_condition(
            body["KeyConditionExpression"],
            body.get("ExpressionAttributeNames", {}),
            body.get("ExpressionAttributeValues", {}),
        )
    return read_legacy_key_conditions(body.get("KeyConditions", {}))


def scan(body: Body, _keys_of: KeysOf) -> CallPlan:
    table = table_name(body["TableName"])
    why = "It depends on every item, so it depends on any write to the table."
    return _page_of("Scan", Kind.SCAN, body, any_write_tags(table), why=why)


def _page_of(  # noqa: PLR0913 - the two planners of pages have all of these
    operation: str,
    kind: Kind,
    body: Body,
    narrow: tuple[Tag, ...],
    *,
    why: str,
    named: KeyAttributes = frozenset(),
) -> Read:
    """Return the read of one page of a Query or Scan."""
    capacity = _capacity(body)
    table = table_name(body["TableName"])
    is_consistent = body.get("ConsistentRead", False)
    if type(is_consistent) is not bool:
        raise RefusedError(_NOT_BOOLEAN)
    return Read(
        operation,
        kind,
        table,
        body["TableName"],
        (EVERYTHING, table_tag(table), *narrow),
        _question(operation, body),
        is_consistent,
        capacity,
        named=named,
        is_on_index="IndexName" in body,
        why=why,
    )


def _question(operation: str, body: Body) -> bytes:
    """Return the question of a page."""
    question = _encode(_without_choices(operation, canonical_expressions(body)))
    if len(question) > _LARGEST_NORMAL:
        return _encode(_without_choices(operation, dict(body)))
    return question


def _without_choices(operation: str, question: dict[str, object]) -> dict[str, object]:
    """Remove the parameters that do not change the items of an answer."""
    # All combinations of these two share an entry.
    question.pop("ReturnConsumedCapacity", None)
    question.pop("ConsistentRead", None)
    # Forward is the default of a Query, so both spellings are one question.
    if operation == "Query" and question.get("ScanIndexForward") is True:
        del question["ScanIndexForward"]
    return question


def _capacity(body: Body) -> str:
    """Return ReturnConsumedCapacity. Raises RefusedError if it is no valid choice."""
    capacity: str = body.get("ReturnConsumedCapacity", "NONE")
    if capacity not in _CAPACITIES:
        raise RefusedError("Its ReturnConsumedCapacity is not one of DynamoDB's.")
    return capacity
