"""Reads that DynamoDB refuses to a principal: which answers say so. Pure.

A refusal says whose read it was, not what is wrong with the request: no permission, or
credentials that DynamoDB does not accept or no longer accepts. Only DynamoDB answers
with these codes: an error page of a proxy has none.

Source: "Error handling with DynamoDB" and "Common Errors" in the documentation of
DynamoDB. Some codes are those of IAM and of local servers, for the same thing.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocache._dynamodb.partiql import selected_tables
from botocache._dynamodb.types import Answer, Body
from botocache._dynamodb.values import table_name
from botocache._dynamodb.writes import named_tables

CODES = frozenset(
    {
        "AccessDenied",
        "AuthFailure",
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignature",
        "InvalidToken",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "SubscriptionRequired",
        "TokenRefreshRequired",
        "UnauthorizedOperation",
        "UnrecognizedClient",
    }
)
"""Codes of refusals, without the `Exception` that some of them end with."""


def is_refusal(answer: Answer) -> bool:
    """Return whether DynamoDB refused a call, or a part of it, to its principal."""
    error = answer.get("Error")
    if error is not None:
        return _is_code(error) or any(map(_is_code, _reasons(answer)))
    parts = answer.get("Responses")
    # A batch of statements succeeds as a whole, with an error for each that did not.
    return type(parts) is list and any(_is_code(part.get("Error")) for part in parts)


def _is_code(error: Any) -> bool:
    code = error.get("Code") if isinstance(error, Mapping) else None
    return isinstance(code, str) and code.removesuffix("Exception") in CODES


def _reasons(answer: Answer) -> Any:
    """Return why a transaction was cancelled, one reason for each of its parts."""
    return answer.get("CancellationReasons") or ()


def reads_items(operation: str) -> bool:
    """Return whether DynamoDB can refuse an operation because it reads items."""
    return operation in _TABLES_OF


def refused_tables(operation: str, body: Body, answer: Answer) -> set[str]:
    """Return the names of the tables whose items a refused request was to read.

    All tables that the request names: DynamoDB does not say which of them it refused.

    answer: one that `is_refusal` accepts.
    """
    if operation == "BatchExecuteStatement" and "Error" not in answer:
        # The one answer that says which statement was refused.
        parts = zip(body["Statements"], answer["Responses"], strict=False)
        body = {
            "Statements": [each for each, part in parts if _is_code(part.get("Error"))]
        }
    return {table_name(table) for table in _TABLES_OF[operation](body)}


def _of_statements(member: str) -> Callable[[Body], Iterator[str]]:
    """Return what yields the tables that the statements of a request select from."""

    def tables(body: Body) -> Iterator[str]:
        for entry in body[member]:
            yield from selected_tables(entry["Statement"])

    return tables


def _of_statement(body: Body) -> Iterator[str]:
    yield from selected_tables(body["Statement"])


_TABLES_OF: Mapping[str, Callable[[Body], Iterator[str]]] = {
    "BatchExecuteStatement": _of_statements("Statements"),
    "BatchGetItem": named_tables,
    "ExecuteStatement": _of_statement,
    "ExecuteTransaction": _of_statements("TransactStatements"),
    "GetItem": named_tables,
    "Query": named_tables,
    "Scan": named_tables,
    "SearchVectors": named_tables,
    "TransactGetItems": named_tables,
}
"""The tables that a request reads, for each operation that returns items."""
