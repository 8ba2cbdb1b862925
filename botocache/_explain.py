"""`botocache explain`: how the cache would treat a call, and why. Pure.

It plans a call as the cache does, with the settings of the environment. A running cache
learns the key attributes of tables; here they are an argument. The plan itself says
why. This file has no reasons of its own, except for a table's policy.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from decimal import Decimal
from difflib import get_close_matches
from typing import TypeAlias

from botocache._digests import digest
from botocache._dynamodb.items import determines_new_keys
from botocache._dynamodb.operations import OPERATIONS, plan
from botocache._dynamodb.plain_values import wire_parameters
from botocache._dynamodb.plans import (
    BatchRead,
    Bypass,
    CachingMode,
    CallPlan,
    Describe,
    Kind,
    Read,
    Write,
)
from botocache._dynamodb.reads import read_of
from botocache._dynamodb.tags import Tag
from botocache._dynamodb.types import Body
from botocache._dynamodb.values import table_name
from botocache._errors import BotocacheError, assert_never
from botocache._settings.load import Settings
from botocache._settings.tables import TablePolicy, caching_mode, policy_in_mode


class ExplainError(BotocacheError):
    """The operation is misspelt, or its parameters are not a JSON object."""


Line: TypeAlias = tuple[str, str | list[str]]
"""A name, and a text or several. Without a name it belongs to the line before it."""


def explain(
    operation: str,
    text: str,
    settings: Settings,
    keys: frozenset[str] | None,
    newer_operations: Callable[[], Collection[str]] = tuple,
) -> list[Line]:
    """Return what describes a call's treatment. Raises ExplainError.

    operation: as the service model spells it: `GetItem`.
    text: the parameters as JSON, as on the wire (`{"id": {"S": "7"}}`, binary values in
        base64) or as a resource takes them (`{"id": "7"}`).
    settings: of the cache that the call would go through.
    keys: the key attributes of its tables; None if they are not known.
    newer_operations: returns the operations of the installed botocore.
    """
    if operation not in OPERATIONS and operation not in newer_operations():
        _check_spelling(operation)
    try:
        parameters, form = wire_parameters(_parameters(text))
    except RecursionError:
        raise ExplainError("the parameters are nested too deeply") from None
    tables: list[str] = []

    # Remembers the tables, so that the note appears only if the plan uses their keys.
    def keys_of(table: str) -> frozenset[str] | None:
        tables.append(table_name(table))
        return keys

    planned = plan(operation, parameters, keys_of)
    lines: list[Line] = [("operation", operation)]
    if form is not None:
        lines.append(("read as", form.value))
    lines += _outcome(operation, parameters, planned, settings)
    if tables and keys is None:
        lines.append(
            ("note", f"the key attributes of {tables[0]!r} are not given; pass --keys")
        )
    return lines


_ONCE = ("operation", "read as", "treated as", "why")
"""Lines that an explanation has at most once."""


def texts_of(lines: Iterable[Line]) -> list[tuple[str, str]]:
    """Return an explanation for people."""
    return [
        (name, text if isinstance(text, str) else ", ".join(text))
        for name, text in lines
    ]


def document_of(lines: Iterable[Line]) -> dict[str, object]:
    """Return an explanation for programs: a text for what it has once, else a list."""
    document: dict[str, object] = {}
    many: list[str] = []
    for name, text in lines:
        if name in _ONCE:
            document[name.replace(" ", "_")] = text
            continue
        if name:
            many = document.setdefault(name, [])  # type: ignore[assignment]  # it is none of _ONCE
        if name != "evicts":  # a sentence; the tags follow it without a name
            many += [text] if isinstance(text, str) else text
    return document


def _check_spelling(operation: str) -> None:
    """Raise ExplainError if an unknown operation is a misspelt one."""
    # `get-item` and `get_item` are the spellings of the AWS CLI and of boto3.
    spelling = operation.lower().replace("_", "").replace("-", "")
    near = get_close_matches(spelling, _SPELLINGS, n=1, cutoff=_LEAST_LIKENESS)
    if near:
        meant = _SPELLINGS[near[0]]
        raise ExplainError(f"unknown operation {operation!r}; did you mean {meant!r}?")
    if not operation[:1].isupper() or not operation.isalnum():
        raise ExplainError(
            f"unknown operation {operation!r}; expected a name as the service model "
            "has it: 'GetItem'"
        )


_SPELLINGS = {name.lower(): name for name in OPERATIONS}
_LEAST_LIKENESS = 0.75
"""From 0 to 1, by difflib: `getitm` has 0.92 with `getitem`."""


def _parameters(text: str) -> Body:
    try:
        # A resource takes numbers as Decimal, which keeps how they are spelled.
        parameters = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise ExplainError(f"the parameters are not JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise ExplainError(
            f"expected the parameters as a JSON object, not {type(parameters).__name__}"
        )
    return parameters


_Lines = Iterator[Line]


def _outcome(
    operation: str, parameters: Body, planned: CallPlan, settings: Settings
) -> _Lines:
    match planned:
        case Read():
            yield from _read(operation, planned, settings)
        case BatchRead():
            yield "treated as", "read, key by key"
            for reads in planned.reads.values():
                for read in reads:
                    yield from _entry(operation, read, settings)
            yield "why", planned.why
        case Write():
            yield from _write(operation, parameters, planned, settings)
        case Describe():
            yield (
                "treated as",
                "bypass; botocache learns the key attributes in its answer",
            )
            yield "why", planned.why
        case Bypass():
            yield "treated as", "bypass: neither read from the cache nor evicting"
            yield "why", planned.why
        case _:
            assert_never(planned)


def _read(operation: str, read: Read, settings: Settings) -> _Lines:
    mode = caching_mode(settings.policy(read.table), operation, read.kind)
    if mode is CachingMode.OFF:
        yield "treated as", "bypass"
        yield "policy", f"{operation} of {read.table!r} ({read.kind.value}) is off"
        yield "why", "The table's policy says so."
        return
    yield "treated as", "read"
    yield from _entry(operation, read, settings)
    yield (
        "why",
        read.why_it_depends(
            mode, precise_index_eviction=settings.precise_index_eviction
        ),
    )


def _entry(operation: str, read: Read, settings: Settings) -> _Lines:
    policy = settings.policy(read.table)
    mode = caching_mode(policy, operation, read.kind)
    # Its digest alone: the question has the item's key, and the values of conditions.
    question = digest(read.question).hex()
    # Scope and origin are part of the key; both are known only to a client.
    yield "key", f"{read.operation} {question}, with its caller's scope and endpoint"
    if mode is CachingMode.OFF:
        yield "policy", f"{operation} of {read.table!r} is off"
        return
    if read.is_consistent:
        yield "served", "never: it is strongly consistent; its answer is filled"
    elif read.whole is not None:
        yield "served", "from its own entry, or from the entry of the whole item"
    if settings.shadow:
        yield "shadow", "DynamoDB answers, and a hit is compared with its answer"
    yield (
        "tags",
        [*map(spelled, read.depends_on(mode, settings.precise_index_eviction))],
    )
    yield "ttl", _ttl(read, policy, mode)


def _ttl(read: Read, policy: TablePolicy, mode: CachingMode) -> str:
    policy = policy_in_mode(policy, mode)
    text = f"{policy.ttl:g} s"
    if read.kind is Kind.ITEM:
        text += f"; {policy.negative_ttl:g} s for 'no such item'"
    if policy.ttl_unfollowed is not None:
        text += f"; {policy.ttl_unfollowed:g} s unless the table is followed"
    if mode is CachingMode.TTL_ONLY:
        text += "; writes do not evict it"
    if policy.stale_if_throttled:
        text += (
            f"; {policy.stale_if_throttled:g} s more while DynamoDB refuses the read"
        )
    return text


def _write(
    operation: str, parameters: Body, write: Write, settings: Settings
) -> _Lines:
    yield "treated as", "write"
    yield "evicts", "before the request, and again after its response or error:"
    for tag in write.tags:
        yield "", spelled(tag)
    if _is_precise(operation, parameters, write, settings):
        yield "precise", _PRECISE
    if write.item is not None:
        yield from _filled(operation, read_of(write.item), settings)
    yield "why", write.why


_PRECISE = (
    "with the old item in DynamoDB's answer, index queries by values that neither the "
    "old nor the new item has are valid again"
)


def _is_precise(
    operation: str, parameters: Body, write: Write, settings: Settings
) -> bool:
    """Return whether the old item restores the index queries that it is not in."""
    return (
        settings.precise_index_eviction
        and write.item is not None
        and parameters.get("ReturnValues", "NONE") in ("NONE", "ALL_OLD")
        and determines_new_keys(operation, parameters)
    )


def _filled(operation: str, item: Read, settings: Settings) -> _Lines:
    # A write through fills the entry that a GetItem of the item would load.
    policy = settings.policy(item.table)
    if caching_mode(policy, "GetItem", item.kind) is CachingMode.OFF:
        return
    if operation == "UpdateItem":
        yield "fills", "the item's entry, if its ReturnValues is ALL_NEW"
    else:
        yield "fills", "the item's entry, if no other write of the item is in progress"


def spelled(tag: Tag) -> str:
    """Return a tag as text: `item(users, id S)`. Values are not shown."""
    details = [tag.table] if tag.table else []
    # Three parts for each attribute: name, type and canonical value.
    names, kinds = tag.detail[::3], tag.detail[1::3]
    details += [f"{name!s} {kind!s}" for name, kind in zip(names, kinds, strict=True)]
    return f"{tag.kind}({', '.join(details)})" if details else tag.kind
