"""One call of a program: in which spelling, and through which door of boto3."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from boto3.dynamodb.types import TypeDeserializer
from botocore import xform_name

from tests.differential.tables import Dice

Parameters: TypeAlias = dict[str, Any]
Door: TypeAlias = Literal["client", "resource", "table"]

DOORS: tuple[Door, ...] = ("client", "resource", "table")
"""A client; the client of a resource, which takes plain values; a Table of one."""


APPLICATIONS = (0, 0, 1)


@dataclass(frozen=True, slots=True)
class Spelling:
    """One of several equivalent forms of a request.

    prefix: of placeholders. is_inline: names stand in the expressions where they can.
    is_reversed: the order of parameters. says_consistent: ConsistentRead is said where
    it is False. capacity: what ReturnConsumedCapacity asks for, if anything.
    """

    prefix: str = "n"
    is_inline: bool = False
    is_reversed: bool = False
    says_consistent: bool = False
    capacity: str = ""


_PREFIXES = ["n", "Zz", "_1"]
_CAPACITIES = ["", "", "NONE", "TOTAL", "INDEXES"]


def draw_spelling(dice: Dice) -> Spelling:
    """Draw a spelling, half of the time the one that calls have."""
    if dice.often():
        return Spelling()
    return Spelling(
        prefix=dice.choice(_PREFIXES),
        is_inline=dice.often(),
        is_reversed=dice.often(),
        says_consistent=dice.often(),
        capacity=dice.choice(_CAPACITIES),
    )


@dataclass(frozen=True, slots=True)
class Call:
    """A call with the parameters of a client.

    paging: the PaginationConfig, where a paginator makes the call.
    """

    operation: str
    parameters: Parameters
    paging: Parameters | None = None
    door: Door = "client"
    application: int = 0

    def another_way(self, dice: Dice) -> "Call":
        """Return the same call spelled and made in another way."""
        return replace(
            self,
            parameters=_respell(self.operation, self.parameters, draw_spelling(dice)),
            door=dice.choice(DOORS),
            application=dice.choice(APPLICATIONS),
        )

    def __str__(self) -> str:
        shown = ", ".join(
            f"{name}={value!r}" for name, value in self.parameters.items()
        )
        if self.paging is not None:
            shown += f", PaginationConfig={self.paging!r}"
        where = "" if self.application == 0 else "other "
        return f"{where}{self.door}.{xform_name(self.operation)}({shown})"


def make(call: Call, client: Any, resource: Any) -> Any:
    """Make a call, and return its answer, or the list of its pages."""
    method = xform_name(call.operation)
    parameters = call.parameters
    if call.door != "client":
        client = resource.meta.client
        parameters = plain(parameters)
    if call.paging is not None:
        pages = client.get_paginator(method)
        return list(pages.paginate(**parameters, PaginationConfig=dict(call.paging)))
    if call.door == "table" and call.operation in _OF_A_TABLE:
        table = resource.Table(parameters.pop("TableName"))
        return getattr(table, method)(**parameters)
    return getattr(client, method)(**parameters)


_OF_A_TABLE = {"GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem"}

# --- values ------------------------------------------------------------------------

_TYPES = {"S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"}
_deserialize: Callable[[Any], Any] = TypeDeserializer().deserialize


def plain(value: Any) -> Any:
    """Return parameters of a client as a resource takes them."""
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)) in _TYPES:
            return _deserialize(value)
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    return value


# --- spellings ---------------------------------------------------------------------

_EXPRESSIONS = (
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
    "ConditionExpression",
    "UpdateExpression",
)
_RESERVED = {"name"}
_HAS_CONSISTENT_READ = {"GetItem", "Query", "Scan"}
_HAS_CAPACITY = {
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactGetItems",
    "TransactWriteItems",
    "UpdateItem",
}


def _respell(operation: str, parameters: Parameters, spelling: Spelling) -> Parameters:
    respelled: Parameters = _respell_expressions(parameters, spelling)
    if spelling.says_consistent and operation in _HAS_CONSISTENT_READ:
        respelled.setdefault("ConsistentRead", False)
    if operation in _HAS_CAPACITY:
        respelled.pop("ReturnConsumedCapacity", None)
        if spelling.capacity:
            respelled["ReturnConsumedCapacity"] = spelling.capacity
    if spelling.is_reversed:
        return dict(reversed(respelled.items()))
    return respelled


def _respell_expressions(part: Any, spelling: Spelling) -> Any:
    if isinstance(part, list):
        return [_respell_expressions(member, spelling) for member in part]
    if not isinstance(part, Mapping):
        return part
    if not any(name in part for name in _EXPRESSIONS):
        return {
            name: _respell_expressions(member, spelling)
            for name, member in part.items()
        }
    return _Expressions(part, spelling).respelled()


class _Expressions:
    """Expressions with their names and values, in another spelling.

    Their placeholders are `#n0`, `#n1`, ... and `:v0`, `:v1`, ...
    """

    def __init__(self, part: Mapping[str, Any], spelling: Spelling) -> None:
        self._part = part
        self._spelling = spelling
        self._inline = {
            placeholder
            for placeholder, name in part.get("ExpressionAttributeNames", {}).items()
            if spelling.is_inline and name not in _RESERVED
        }

    def respelled(self) -> Parameters:
        respelled: Parameters = {}
        for name, member in self._part.items():
            new = member
            if name in _EXPRESSIONS:
                new = re.sub(r"[#:]\w+", self._token, member)
            elif name == "ExpressionAttributeValues":
                new = {self._renamed(old): value for old, value in member.items()}
            elif name == "ExpressionAttributeNames":
                new = {
                    self._renamed(old): attribute
                    for old, attribute in member.items()
                    if old not in self._inline
                }
                if not new:
                    continue
            respelled[name] = new
        return respelled

    def _token(self, match: re.Match[str]) -> str:
        if match[0] in self._inline:
            name: str = self._part["ExpressionAttributeNames"][match[0]]
            return name
        return self._renamed(match[0])

    def _renamed(self, placeholder: str) -> str:
        return f"{placeholder[0]}{self._spelling.prefix}{placeholder[2:]}"
