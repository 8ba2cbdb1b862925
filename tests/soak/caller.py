"""A caller: makes calls that it chooses at random, and writes down each of them.

It knows nothing of the cache, except for the header that marks a hit.
"""

import contextlib
import traceback
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple, TypeGuard

from botocore import xform_name
from botocore.exceptions import ClientError

import botocache
from tests.soak.calls import Call, Choice, Tables, choose
from tests.soak.journal import Journal, Outcome, now
from tests.soak.reads import READS, seen_by
from tests.soak.writes import WRITES

_REFUSALS = ("ConditionalCheckFailedException", "TransactionCanceledException")

_CYCLE = 2_000_000_000
"""Nanoseconds. All callers write much at its beginning and little afterwards, because
an item that is written all the time is not cached."""

_BUSY = 600_000_000


class Surroundings(NamedTuple):
    """What callers share. pending_evictions: returns the process's number of them."""

    client: Any
    tables: Tables
    journal: Journal
    pending_evictions: Callable[[], int]


class Caller:
    """One thread's calls. name: no two callers share one."""

    def __init__(self, name: str, random: Random, surroundings: Surroundings) -> None:
        self._name = name
        self._random = random
        self._client = surroundings.client
        self._journal = surroundings.journal
        self._pending_evictions = surroundings.pending_evictions
        self._count = 0
        items = surroundings.tables.items()
        self._choice = Choice(items, random, self._new_value, {})

    def call(self) -> None:
        """Make one call."""
        is_busy = now() % _CYCLE < _BUSY
        if self._random.random() < (0.5 if is_busy else 0.01):
            self.write()
        else:
            self.read()

    def read(self) -> None:
        """Make a read, sometimes with `refresh` or `bypass`."""
        mode = self._random.choices(
            [contextlib.nullcontext, botocache.refresh, botocache.bypass], [96, 2, 2]
        )[0]
        with mode():
            self._make(choose(self._choice, READS))

    def write(self) -> None:
        """Make a call that writes."""
        self._make(choose(self._choice, WRITES))

    def _new_value(self) -> str:
        self._count += 1
        return f"{self._name}/{self._count}"

    def _make(self, call: Call) -> None:
        self._count += 1
        name = f"{self._name}/{self._count}"
        self._journal.started(
            name,
            call.kind,
            {item.name: value for item, value in call.wrote},
            [item.name for item in call.if_there],
        )
        try:
            answer = getattr(self._client, xform_name(call.kind))(**call.parameters)
            self._succeeded(name, call, answer)
        except Exception as error:  # noqa: BLE001 - it is written down
            self._failed(name, call, error)

    def _succeeded(self, name: str, call: Call, answer: dict[str, Any]) -> None:
        metadata = answer["ResponseMetadata"]
        if not call.wrote:
            seen = seen_by(call, answer)
            hit = metadata["HTTPHeaders"].get("x-botocache") == "hit"
            self._journal.ended(name, saw=seen, hit=hit)
            self._choice.last_seen.update(seen)
            return
        assert not answer.get("UnprocessedItems")
        assert not any("Error" in part for part in answer.get("Responses", ()))
        self._write_ended(name, Outcome.APPLIED, retried=_was_retried(metadata))
        self._choice.last_seen.update((item.name, value) for item, value in call.wrote)

    def _failed(self, name: str, call: Call, error: Exception) -> None:
        if not (call.may_be_refused and _is_refusal(error)):
            trace = "".join(traceback.format_exception(error))
            self._journal.error(f"{name} {call}: {trace}")
            return
        # An attempt that was answered by a server error may have been carried out,
        # and be why the next one was refused.
        was_retried = _was_retried(error.response["ResponseMetadata"])
        outcome = Outcome.UNKNOWN if was_retried else Outcome.REFUSED
        self._write_ended(name, outcome, retried=was_retried)

    def _write_ended(self, name: str, outcome: Outcome, *, retried: bool) -> None:
        self._journal.ended(
            name,
            outcome=outcome.value,
            retried=retried,
            pending_evictions=self._pending_evictions() > 0,
        )


def _is_refusal(error: Exception) -> TypeGuard[ClientError]:
    if not isinstance(error, ClientError):
        return False
    return error.response["Error"]["Code"] in _REFUSALS


def _was_retried(metadata: Mapping[str, Any]) -> bool:
    return bool(metadata.get("RetryAttempts"))
