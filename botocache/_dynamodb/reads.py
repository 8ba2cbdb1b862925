"""Plans of reads: the tags and the question of each. Pure.

The question is all that distinguishes a read from others of its operation. A planner
may raise LookupError, TypeError, ValueError or AttributeError for a request that it
does not understand, or that DynamoDB will refuse. Such a request is a bypass.
"""

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from botocache._dynamodb.expressions import (
    Conditions,
    canonical_expressions,
    read_key_condition,
    read_legacy_key_conditions,
)
from botocache._dynamodb.plans import (
    BYPASS,
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
from botocache._dynamodb.types import Body
from botocache._dynamodb.values import check_key, table_name

# Deterministic: the order of members in a request's JSON must not change its question.
_encode = msgspec.json.Encoder(order="deterministic").encode
_CAPACITIES = {"NONE", "TOTAL", "INDEXES"}


def get_item(body: Body, _keys_of: KeysOf) -> CallPlan:
    # Most requests have no capacity; this spares them a function call.
    has_capacity = "ReturnConsumedCapacity" in body
    return item_read(body, _capacity(body) if has_capacity else "NONE")


def item_read(body: Body, capacity: str) -> Read:
    """Return the read of one item.

    body: of a GetItem.
    capacity: its ReturnConsumedCapacity.
    """
    table = table_name(body["TableName"])
    key = body["Key"]
    check_key(key)
    narrow = item_tag(table, key)
    # The tag has the canonical key, so `{"N": "1"}` and `{"N": "1.0"}` share an entry.
    parts = {"TableName": body["TableName"], "Key": narrow.detail}
    options = {name: body[name] for name in body if name not in _NO_OPTIONS}
    question = _encode(parts)
    whole, projection = None, None
    # Unknown parameters are options, too: they make the question another one.
    if options:
        projection, canonical = _projected(_encode(options))
        whole = question if projection is not None else None
        question = _encode({**parts, "options": canonical})
    return Read(
        "GetItem",
        Kind.ITEM,
        table,
        body["TableName"],
        (EVERYTHING, table_tag(table), narrow),
        question,
        body.get("ConsistentRead", False),
        capacity,
        named=frozenset(key),
        names_all=True,
        whole=whole,
        projection=projection,
    )


def read_of(item: WrittenItem) -> Read:
    """Return the read of an item that a write names."""
    return item_read({"TableName": item.table_parameter, "Key": item.key}, "NONE")


_NO_OPTIONS = {"TableName", "Key", "ConsistentRead", "ReturnConsumedCapacity"}


@lru_cache(maxsize=1024)
def _projected(
    options: bytes,
) -> tuple[Projection | None, dict[str, object] | tuple[Path, ...]]:
    """Return the projection of a GetItem's options, and their canonical form.

    Memoised: an application uses few projections, and parsing is half the cost of a
    hit.
    """
    body = msgspec.json.decode(options)
    projection = read_projection(body)
    if projection is None:
        return None, canonical_expressions(body)
    return projection, projection.paths


def batch_get_item(body: Body, _keys_of: KeysOf) -> CallPlan:
    """Plan each key as a GetItem; a request that DynamoDB will refuse is a bypass."""
    capacity = _capacity(body)
    reads: dict[str, tuple[Read, ...]] = {}
    for table, part in body["RequestItems"].items():
        options = {name: part[name] for name in part if name != "Keys"}
        options["TableName"] = table
        reads[table] = tuple(
            [item_read({**options, "Key": key}, "NONE") for key in part["Keys"]]
        )
    items = [read.item_tag for each in reads.values() for read in each]
    # DynamoDB refuses the whole batch. With hits for some keys, the rest of such a
    # batch might be accepted.
    is_refused = (
        not body.keys() <= {"RequestItems", "ReturnConsumedCapacity"}
        or not 0 < len(items) <= MOST_KEYS
        or len(set(items)) < len(items)
        or any(len({read.named for read in each}) != 1 for each in reads.values())
        or _mixes_projections(body["RequestItems"].values())
    )
    return BYPASS if is_refused else BatchRead(reads, capacity)


def _mixes_projections(parts: Iterable[Body]) -> bool:
    used = {name for part in parts for name in _PROJECTIONS.intersection(part)}
    return len(used) > 1


_PROJECTIONS = frozenset({"AttributesToGet", "ProjectionExpression"})

MOST_KEYS = 100
"""Keys of one BatchGetItem: DynamoDB's limit."""


def query(body: Body, keys_of: KeysOf) -> CallPlan:
    table = table_name(body["TableName"])
    conditions = _key_conditions(body)
    if "IndexName" in body:
        return _index_query(body, table, conditions, keys_of(table) or frozenset())
    if conditions is None:
        return _page_of("Query", Kind.QUERY, body, any_write_tags(table))
    # On the table itself every attribute of a key condition is a key attribute.
    named = frozenset(conditions.attributes)
    # The tags may only be narrower than the table if the key condition is understood.
    narrow: tuple[Tag, ...] = any_write_tags(table)
    if len(conditions.equal) > 1:  # a table has two key attributes at the most
        narrow = (item_tag(table, conditions.equal),)
    else:
        for attribute, value in conditions.equal.items():
            narrow = (partition_tag(table, attribute, value),)
    return _page_of("Query", Kind.QUERY, body, narrow, named)


def _index_query(
    body: Body, table: str, conditions: Conditions | None, keys: KeyAttributes
) -> CallPlan:
    equal = conditions.equal if conditions else {}
    for attribute in sorted(keys.intersection(equal)):
        partition = partition_tag(table, attribute, equal[attribute])
        planned = _page_of("Query", Kind.INDEX_QUERY, body, (partition,))
        return planned._replace(rests_on_schema=True)
    planned = _page_of("Query", Kind.INDEX_QUERY, body, any_write_tags(table))
    for attribute in sorted(equal):
        # All items of this answer have this value, on every index. So a precise write
        # changes the answer only if the old or the new image has the value, too. All
        # other writes, also of processes without the setting, evict the writes tag.
        partition = partition_tag(table, attribute, equal[attribute])
        return planned._replace(precise_tags=(writes_tag(table), partition))
    return planned


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
    return _page_of("Scan", Kind.SCAN, body, any_write_tags(table))


def _page_of(
    operation: str,
    kind: Kind,
    body: Body,
    narrow: tuple[Tag, ...],
    named: KeyAttributes = frozenset(),
) -> Read:
    """Return the read of one page of a Query or Scan."""
    capacity = _capacity(body)
    table = table_name(body["TableName"])
    question, is_consistent = _question(body)
    # Forward is the default, so both spellings are one question.
    if question.get("ScanIndexForward") is True:
        del question["ScanIndexForward"]
    return Read(
        operation,
        kind,
        table,
        body["TableName"],
        (EVERYTHING, table_tag(table), *narrow),
        _encode(question),
        is_consistent,
        capacity,
        named=named,
        is_on_index="IndexName" in body,
    )


def _question(body: Body) -> tuple[dict[str, object], bool]:
    """Return the question of a page, and whether it is strongly consistent."""
    question = canonical_expressions(body)
    # Neither changes the items of an answer: all four combinations share an entry.
    question.pop("ReturnConsumedCapacity", None)
    question.pop("ConsistentRead", None)
    return question, body.get("ConsistentRead", False)


def _capacity(body: Body) -> str:
    """Return ReturnConsumedCapacity. Raises ValueError if it is no valid choice."""
    capacity: str = body.get("ReturnConsumedCapacity", "NONE")
    if capacity not in _CAPACITIES:
        raise ValueError("DynamoDB will refuse it")
    return capacity
