"""BatchGetItem key by key: what is left to ask for, and what the answer says.

Hits leave the request, and come back into its answer. An answer names no keys but
those in its items, so it is taken apart only where every item can be told to be that
of one key; else nothing of its table is kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from botocache._cache.tickets import Hit, Lookup
from botocache._dynamodb.plans import BatchRead, Read
from botocache._dynamodb.tags import item_tag
from botocache._dynamodb.types import Answer

_encode = msgspec.json.encode

Lookups: TypeAlias = Mapping[str, tuple[Lookup, ...]]
"""What the cache said to each key, by TableName: `{"users": (Hit, ReadTicket)}`."""


def remaining_body(body: Mapping[str, Any], lookups: Lookups) -> bytes | None:
    """Return the request without the keys that are hits; None when none is one."""
    if not any(isinstance(o, Hit) for each in lookups.values() for o in each):
        return None
    remaining = {}
    for table, part in body["RequestItems"].items():
        keys = [
            key
            for key, lookup in zip(part["Keys"], lookups[table], strict=True)
            if not isinstance(lookup, Hit)
        ]
        if keys:
            remaining[table] = {**part, "Keys": keys}
    return _encode({**body, "RequestItems": remaining})


def hit_of(batch: BatchRead, lookups: Lookups) -> Hit | None:
    """Return the answer when every key is a hit."""
    hits = [lookup for each in lookups.values() for lookup in each]
    oldest, key = 0.0, b""
    for hit in hits:
        if not isinstance(hit, Hit):
            return None
        oldest, key = max(oldest, hit.age), hit.key
    answer: dict[str, Any] = {"Responses": {}, "UnprocessedKeys": {}}
    merge_hits(batch, lookups, answer, answers_by_key(batch, lookups, answer))
    return Hit(answer, oldest, key)


def answers_by_key(
    batch: BatchRead, lookups: Lookups, answer: Answer
) -> dict[str, dict[int, dict[str, Any]] | None]:
    """Return what was answered to each key that was asked for, as to a GetItem.

    By TableName and the key's index; keys that were not processed are left out. None
    for a table of which it cannot be told.
    """
    unprocessed = answer.get("UnprocessedKeys") or {}
    return {
        table: _answers(
            {
                index: batch.reads[table][index]
                for index, lookup in enumerate(each)
                if not isinstance(lookup, Hit)
            },
            answer.get("Responses", {}).get(table, []),
            unprocessed.get(table, {}).get("Keys", []),
        )
        for table, each in lookups.items()
    }


def _answers(
    asked: Mapping[int, Read],
    items: Sequence[Mapping[str, Any]],
    unprocessed: Sequence[Mapping[str, Any]],
) -> dict[int, dict[str, Any]] | None:
    if len(asked) == 1 and not unprocessed and len(items) <= 1:
        return {index: {"Item": item} for index in asked for item in items} or {
            index: {} for index in asked
        }
    index_of = {read.item_tag.detail: index for index, read in asked.items()}
    names = next((read.named for read in asked.values()), frozenset[str]())
    answers: dict[int, dict[str, Any]] = {index: {} for index in asked}
    try:
        for key in unprocessed:
            del answers[index_of[item_tag("", key).detail]]
        for item in items:
            key = {name: item[name] for name in names}
            index = index_of[item_tag("", key).detail]
            if answers[index]:
                return None
            answers[index] = {"Item": item}
    except (KeyError, ValueError):
        return None  # its projection leaves the key out
    return answers


def merge_hits(
    batch: BatchRead,
    lookups: Lookups,
    answer: Answer,
    answers: Mapping[str, Mapping[int, Mapping[str, Any]] | None],
) -> None:
    """Put the hits into an answer, in the order of the request where that is known."""
    responses = answer.setdefault("Responses", {})
    for table, each in lookups.items():
        hits = {i: o.answer for i, o in enumerate(each) if isinstance(o, Hit)}
        if not hits:
            continue
        answered = answers[table]
        if answered is None:
            found = [*responses.get(table, []), *_items(hits)]
        else:
            found = _items({**answered, **hits})
        responses[table] = found
    if batch.capacity != "NONE":
        _add_capacity(batch.capacity, lookups, answer)


def _items(answers: Mapping[int, Mapping[str, Any]]) -> list[Any]:
    return [answers[i]["Item"] for i in sorted(answers) if "Item" in answers[i]]


def _add_capacity(asked: str, lookups: Lookups, answer: Answer) -> None:
    """Report that the tables that were not asked consumed nothing."""
    unasked = [
        zero_capacity(table, asked)
        for table, each in lookups.items()
        if all(isinstance(lookup, Hit) for lookup in each)
    ]
    if unasked:
        answer["ConsumedCapacity"] = [*answer.get("ConsumedCapacity", ()), *unasked]


def zero_capacity(table: str, asked: str) -> dict[str, Any]:
    """Return the ConsumedCapacity of an answer that consumed none.

    table: its TableName. asked: the ReturnConsumedCapacity.
    """
    consumed: dict[str, Any] = {"TableName": table, "CapacityUnits": 0.0}
    if asked == "INDEXES":
        consumed["Table"] = {"CapacityUnits": 0.0}
    return consumed
