"""Calls as the adapter makes them, without botocore."""

from typing import Any

from botocache import Cache
from botocache._cache.modes import current_mode
from botocache._cache.prepare import Call
from botocache._cache.tickets import Hit, Ticket

ORIGIN = "here"


def call_of(operation: str, *, origin: str = ORIGIN, scope: bytes = b"me") -> Call:
    """Return a call of an operation, in the mode of now."""
    return Call(operation, origin, scope, current_mode())


def begin(
    cache: Cache, operation: str, parameters: dict[str, Any]
) -> Hit | Ticket | None:
    """Begin a call."""
    return cache.begin(call_of(operation), parameters)


def ask(
    cache: Cache, operation: str, parameters: dict[str, Any], answer: dict[str, Any]
) -> Hit | Ticket | None:
    """Make a call that DynamoDB would answer so; return what `begin` returned."""
    outcome = begin(cache, operation, parameters)
    if outcome is not None and not isinstance(outcome, Hit):
        cache.finish(outcome, answer, succeeded=True, certain=True)
    return outcome
