"""`python -m botocache explain`: what would happen to a call, and why. Pure.

It plans as the cache does, with the settings of the environment. What only a running
cache knows comes in as an argument: a table's key attributes, and nobody's entries.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocache._dynamodb.operations import OPERATIONS, UNKNOWN, plan
from botocache._dynamodb.plans import (
    BatchRead,
    Bypass,
    CallPlan,
    Describe,
    Kind,
    Read,
    Write,
)
from botocache._dynamodb.reads import read_of
from botocache._dynamodb.tags import Tag
from botocache._errors import BotocacheError, assert_never
from botocache._settings.load import Settings
from botocache._settings.tables import TablePolicy, keeping_of


class ExplainError(BotocacheError):
    """What is to be explained is not a call."""


def explain(
    operation: str, text: str, settings: Settings, keys: frozenset[str] | None
) -> str:
    """Return lines that say what happens to a call. Raises ExplainError.

    operation: `GetItem`. text: its parameters, in JSON as on the wire, where binary is
    in base64. keys: the key attributes of its tables; None when not known.
    """
    meant = _SPELLINGS.get(operation.lower().replace("_", "").replace("-", ""))
    if operation not in OPERATIONS and meant is not None:
        raise ExplainError(f"unknown operation {operation!r}; did you mean {meant!r}?")
    parameters = _parameters(text)
    wanted: list[str] = []

    def keys_of(table: str) -> frozenset[str] | None:
        wanted.append(table)
        return keys

    planned = plan(operation, parameters, keys_of)
    rule = OPERATIONS.get(operation, UNKNOWN)
    lines = [("operation", operation), *_outcome(operation, planned, settings)]
    if isinstance(planned, Bypass) and (rule.cached != "no" or rule.evicts):
        lines.append(("why", "DynamoDB will refuse it, or it cannot be understood."))
    else:
        lines.append(("why", rule.why))
    if wanted and keys is None:
        lines.append(
            ("note", f"as if the keys of {wanted[0]!r} were not known; say --keys")
        )
    return "\n".join(f"{name:<11}{value}".rstrip() for name, value in lines)


_SPELLINGS = {name.lower(): name for name in OPERATIONS}


def _parameters(text: str) -> Mapping[str, Any]:
    try:
        parameters = json.loads(text)
    except ValueError as error:
        raise ExplainError(f"the parameters are not JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise ExplainError(
            f"expected the parameters as a JSON object, not {type(parameters).__name__}"
        )
    return parameters


_Lines = Iterator[tuple[str, str]]


def _outcome(operation: str, planned: CallPlan, settings: Settings) -> _Lines:
    match planned:
        case Read():
            yield from _read(operation, planned, settings)
        case BatchRead():
            yield "treated as", "read, key by key"
            for reads in planned.reads.values():
                for read in reads:
                    yield from _entry(operation, read, settings)
        case Write():
            yield "treated as", "write"
            yield "evicts", "before it is sent and after it, whatever came of it:"
            for tag in planned.tags:
                yield "", spelled(tag)
            if planned.item is not None:
                yield from _filled(operation, read_of(planned.item), settings)
        case Describe():
            yield "treated as", "bypass; what its answer tells of the keys is learned"
        case Bypass():
            yield "treated as", "bypass: neither read from the cache nor evicting"
        case _:
            assert_never(planned)


def _read(operation: str, read: Read, settings: Settings) -> _Lines:
    if keeping_of(settings.policy(read.table), operation, read.kind.value) == "off":
        yield "treated as", "bypass"
        yield "policy", f"{operation} of {read.table!r} ({read.kind.value}) is off"
        return
    yield "treated as", "read"
    yield from _entry(operation, read, settings)


def _entry(operation: str, read: Read, settings: Settings) -> _Lines:
    policy = settings.policy(read.table)
    keeping = keeping_of(policy, operation, read.kind.value)
    question = read.question.decode()
    yield "key", f"{read.operation} {question}, with its caller's scope and DynamoDB"
    if keeping == "off":
        yield "policy", f"{operation} of {read.table!r} is off"
        return
    if read.is_consistent:
        yield "served", "never: it is strongly consistent; its answer is kept"
    elif read.whole is not None:
        yield "served", "from its own entry, or from that of the whole item"
    yield (
        "tags",
        ", ".join(
            map(spelled, read.depends_on(keeping, settings.precise_index_eviction))
        ),
    )
    yield "ttl", _ttl(read, policy, keeping)


def _ttl(read: Read, policy: TablePolicy, keeping: str) -> str:
    text = f"{policy.ttl:g} s"
    if read.kind is Kind.ITEM:
        text += f"; {policy.negative_ttl:g} s for 'no such item'"
    if keeping == "ttl":
        text += "; until then it is kept whatever is written"
    return text


def _filled(operation: str, item: Read, settings: Settings) -> _Lines:
    policy = settings.policy(item.table)
    is_off = keeping_of(policy, "GetItem", item.kind.value) == "off"
    if operation == "UpdateItem":
        yield "fills", "the item's entry, if it asks for ReturnValues=ALL_NEW"
    elif not is_off and settings.write_through:
        yield "fills", "the item's entry, if no other write is under way"


def spelled(tag: Tag) -> str:
    """Return a tag as a reader can understand it: `item(users, id S '7')`."""
    details = [tag.table] if tag.table else []
    for at in range(0, len(tag.detail), 3):
        name, kind, value = tag.detail[at : at + 3]
        details.append(f"{name!s} {kind!s} {value!r}")
    return f"{tag.kind}({', '.join(details)})" if details else tag.kind
