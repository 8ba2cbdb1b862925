"""BatchGetItem key by key: what is still requested, and the answer to each key.

Hits are taken out of the request and put back into its answer. DynamoDB's answer does
not say which key an item answers. It is split only if every item shows its whole key;
otherwise nothing of that table is filled.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from botocache._cache.tickets import Hit, KnownHits, Lookup, Lookups
from botocache._dynamodb.plans import BatchRead, Read
from botocache._dynamodb.types import Answer, Body, Item
from botocache._dynamodb.values import LONGEST_VALUE, canonical_value

AnswersByKey: TypeAlias = Mapping[str, Mapping[int, Answer] | None]
"""DynamoDB's answer to each requested key, as a GetItem would have it.

By TableName and the key's index in the request: `{"users": {1: {"Item": ...}}}`. None
for a table whose items cannot be matched with its keys.
"""


def encode_body(body: Body) -> bytes:
    """Return the JSON of a request's body.

    msgspec takes no lone surrogates, and Python's json does. DynamoDB refuses a request
    with one. So it must not be botocache that fails, and evicts everything to be safe.
    """
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return json.dumps(body).encode()


def without_hits(body: Body, lookups: Lookups | KnownHits) -> Body | None:
    """Return a body without the keys that are hits; None if there are no hits."""
    if not any(isinstance(lookup, Hit) for part in lookups.values() for lookup in part):
        return None
    remaining = {}
    for table, part in body["RequestItems"].items():
        keys = [
            key
            for key, lookup in zip(part["Keys"], lookups[table], strict=True)
            if not isinstance(lookup, Hit)
        ]
        if keys:  # DynamoDB refuses an empty list of keys
            remaining[table] = {**part, "Keys": keys}
    return {**body, "RequestItems": remaining}


def with_known(
    batch: BatchRead, lookups: Lookups, known: KnownHits
) -> tuple[BatchRead, Lookups]:
    """Return a batch and its look-ups with the hits that were known before.

    batch: planned without them.
    lookups: of its reads.
    known: the hits, for all tables of the request.
    """
    reads: dict[str, tuple[Read, ...]] = {}
    merged: dict[str, tuple[Lookup, ...]] = {}
    for table, hits in known.items():
        of_table, found = batch.reads.get(table, ()), iter(lookups.get(table, ()))
        merged[table] = tuple([hit or next(found) for hit in hits])
        # In the place of a hit is the read of any other key: nothing looks at it.
        left = iter(of_table)
        reads[table] = of_table and tuple(
            [next(left) if hit is None else of_table[0] for hit in hits]
        )
    return batch._replace(reads=reads), merged


def hit_of(batch: BatchRead, lookups: Lookups) -> Hit | None:
    """Return the answer if every key is a hit."""
    hits = [lookup for part in lookups.values() for lookup in part]
    oldest, key = 0.0, b""
    for hit in hits:
        if not isinstance(hit, Hit):
            return None
        oldest, key = max(oldest, hit.age), hit.key
    answer: Answer = {"Responses": {}, "UnprocessedKeys": {}}
    merge_hits(batch, lookups, answer, answers_by_key(batch, lookups, answer))
    return Hit(answer, oldest, key, lookups=lookups)


def answers_by_key(batch: BatchRead, lookups: Lookups, answer: Answer) -> AnswersByKey:
    """Split an answer by key. Keys that DynamoDB did not process are left out."""
    unprocessed = answer.get("UnprocessedKeys") or {}
    return {
        table: _answers_of_table(
            {
                index: batch.reads[table][index]
                for index, lookup in enumerate(part)
                if not isinstance(lookup, Hit)
            },
            answer.get("Responses", {}).get(table, []),
            unprocessed.get(table, {}).get("Keys", []),
        )
        for table, part in lookups.items()
    }


def _answers_of_table(
    requested: Mapping[int, Read], items: Sequence[Item], unprocessed: Sequence[Item]
) -> Mapping[int, Answer] | None:
    """Return the answer to each requested key of a table; see AnswersByKey.

    requested: the reads that were sent, by the key's index in the request.
    items: of the answer, in any order; absent items are missing.
    unprocessed: the keys that DynamoDB did not process.
    """
    if len(requested) == 1 and not unprocessed and len(items) <= 1:
        # The one item answers the one key, even if a projection leaves out the key.
        return {index: {"Item": item} for index in requested for item in items} or {
            index: {} for index in requested
        }
    # By tag and not by key: `{"N": "1"}` comes back for `{"N": "1.0"}`.
    index_of = {read.item_tag.detail: index for index, read in requested.items()}
    read = next(iter(requested.values()), None)
    names = () if read is None else sorted(read.named)
    answers: dict[int, Answer] = {index: {} for index in requested}
    try:
        for key in unprocessed:
            del answers[index_of[_detail_of(key, names)]]
        for item in items:
            index = index_of[_detail_of(item, names)]
            if answers[index]:
                return None
            answers[index] = {"Item": item}
    except (KeyError, ValueError):
        return None  # the projection leaves out the key
    return answers


def _detail_of(item: Item, names: Sequence[str]) -> tuple[str | bytes, ...]:
    """Return the detail of an item's tag: see `item_tag`.

    names: of the key's attributes, sorted. Raises KeyError if one is not there.
    """
    detail: tuple[str | bytes, ...] = ()
    for name in names:
        value = item[name]
        text = value.get("S")
        if type(text) is str and len(value) == 1 and len(text) <= LONGEST_VALUE:
            detail += (name, "S", text)  # as canonical_value has it
        else:
            detail += (name, *canonical_value(value))
    return detail


def merge_hits(
    batch: BatchRead, lookups: Lookups, answer: Answer, answers: AnswersByKey
) -> None:
    """Put the hits into an answer, in the order of the request where it is known."""
    responses = answer.setdefault("Responses", {})
    for table, part in lookups.items():
        hits = {
            index: lookup.answer
            for index, lookup in enumerate(part)
            if isinstance(lookup, Hit)
        }
        if not hits:
            continue
        answered = answers[table]
        if answered is None:
            # Not every item shows its key, so the order cannot be restored.
            items = [*responses.get(table, []), *_items(hits)]
        else:
            items = _items({**answered, **hits})
        responses[table] = items
    if batch.capacity != "NONE":
        _add_capacity(batch.capacity, lookups, answer)


def _items(answers: Mapping[int, Answer]) -> list[Item]:
    return [answers[i]["Item"] for i in sorted(answers) if "Item" in answers[i]]


def _add_capacity(detail: str, lookups: Lookups, answer: Answer) -> None:
    """Report zero consumption for the tables whose keys are all hits."""
    all_hits = [
        zero_capacity(table, detail)
        for table, part in lookups.items()
        if all(isinstance(lookup, Hit) for lookup in part)
    ]
    if all_hits:
        answer["ConsumedCapacity"] = [*answer.get("ConsumedCapacity", ()), *all_hits]


def zero_capacity(table: str, detail: str) -> dict[str, object]:
    """Return a ConsumedCapacity of zero.

    table: the request's TableName.
    detail: the request's ReturnConsumedCapacity, `TOTAL` or `INDEXES`.
    """
    consumed: dict[str, object] = {"TableName": table, "CapacityUnits": 0.0}
    if detail == "INDEXES":
        consumed["Table"] = {"CapacityUnits": 0.0}
    return consumed
