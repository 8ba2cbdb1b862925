"""A caller: makes calls that it chooses at random, and writes down each of them.

It knows nothing of the cache, except for the header that marks a hit.
"""

import contextlib
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from math import inf
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

_THROTTLED = "ProvisionedThroughputExceededException"

_CYCLE = 2_000_000_000
"""Nanoseconds. All callers write much at its beginning and little afterwards, because
an item that is written all the time is not cached."""

_BUSY = 600_000_000


class Freshness(NamedTuple):
    """How old answers may be. ttl: of hits. stale: beyond it, of stale answers."""

    ttl: float = inf
    stale: float = 0.0

    def problem(self, call: Call, metadata: Mapping[str, Any]) -> str:
        """Return what is wrong with how an answer is marked; nothing if it is right."""
        headers = metadata["HTTPHeaders"]
        result, age = headers.get("x-botocache"), float(headers.get("age", 0.0))
        if result == "hit":
            # `age` is in whole seconds.
            return "" if age <= self.ttl else f"a hit is {age} s old"
        if result != "stale":
            return ""
        if call.parameters.get("ConsistentRead") or call.kind == "TransactGetItems":
            return "it must not be stale"
        return "" if age <= self.ttl + self.stale else f"it is {age} s old"


class Surroundings(NamedTuple):
    """What callers share.

    pending_evictions: returns the process's number of them.
    freshness: of its answers.
    """

    client: Any
    tables: Tables
    journal: Journal
    pending_evictions: Callable[[], int]
    freshness: Freshness = Freshness()


class Caller:
    """One thread's calls. name: no two callers share one."""

    def __init__(self, name: str, random: Random, surroundings: Surroundings) -> None:
        self.random = random
        self.client = surroundings.client
        self.journal = surroundings.journal
        self._name = name
        self._pending_evictions = surroundings.pending_evictions
        self._freshness = surroundings.freshness
        self._count = 0
        items = surroundings.tables.items()
        self._choice = Choice(items, random, self._new_value, {})

    def call(self) -> None:
        """Make one call."""
        mode, call = self.choose()
        with mode:
            self._make(call)

    def choose(self) -> tuple[AbstractContextManager[object], Call]:
        """Choose a call. A read has sometimes to be made with `refresh` or `bypass`."""
        is_busy = now() % _CYCLE < _BUSY
        if self.random.random() < (0.5 if is_busy else 0.01):
            return contextlib.nullcontext(), choose(self._choice, WRITES)
        return self._choose_read()

    def _choose_read(self) -> tuple[AbstractContextManager[object], Call]:
        mode = self.random.choices(
            [contextlib.nullcontext, botocache.refresh, botocache.bypass], [96, 2, 2]
        )[0]
        return mode(), choose(self._choice, READS)

    def read(self) -> None:
        """Make a call that reads."""
        mode, call = self._choose_read()
        with mode:
            self._make(call)

    def write(self) -> None:
        """Make a call that writes."""
        self._make(choose(self._choice, WRITES))

    def _new_value(self) -> str:
        self._count += 1
        return f"{self._name}/{self._count}"

    def start(self, call: Call) -> str:
        """Write down a call that is about to be made; return its name."""
        self._count += 1
        name = f"{self._name}/{self._count}"
        self.journal.started(
            name,
            call.kind,
            {item.name: value for item, value in call.wrote},
            [item.name for item in call.if_there],
        )
        return name

    def _make(self, call: Call) -> None:
        name = self.start(call)
        try:
            answer = getattr(self.client, xform_name(call.kind))(**call.parameters)
            self.succeeded(name, call, answer)
        except Exception as error:  # noqa: BLE001 - it is written down
            self.failed(name, call, error)

    def succeeded(self, name: str, call: Call, answer: dict[str, Any]) -> None:
        """Write down an answer."""
        metadata = answer["ResponseMetadata"]
        if not call.wrote:
            seen = seen_by(call, answer)
            result = metadata["HTTPHeaders"].get("x-botocache")
            problem = self._freshness.problem(call, metadata)
            if problem:
                self.journal.error(f"{name} {call}: {result}: {problem}")
            self.journal.ended(
                name,
                saw=seen,
                hit=result in {"hit", "stale"},
                stale=result == "stale",
            )
            self._choice.last_seen.update(seen)
            return
        assert not answer.get("UnprocessedItems")
        assert not any("Error" in part for part in answer.get("Responses", ()))
        self._write_ended(name, Outcome.APPLIED, retried=_was_retried(metadata))
        self._choice.last_seen.update((item.name, value) for item, value in call.wrote)

    def failed(self, name: str, call: Call, error: Exception) -> None:
        """Write down an error: a refusal, or one that ought not to be."""
        if not call.wrote and _is_throttled(error):
            self.journal.cut(name)  # after the last attempt, without a stale answer
            return
        if not (call.may_be_refused and _is_refusal(error)):
            trace = "".join(traceback.format_exception(error))
            self.journal.error(f"{name} {call}: {trace}")
            return
        # An attempt that was answered by a server error may have been carried out,
        # and be why the next one was refused.
        was_retried = _was_retried(error.response["ResponseMetadata"])
        outcome = Outcome.UNKNOWN if was_retried else Outcome.REFUSED
        self._write_ended(name, outcome, retried=was_retried)

    def _write_ended(self, name: str, outcome: Outcome, *, retried: bool) -> None:
        self.journal.ended(
            name,
            outcome=outcome.value,
            retried=retried,
            pending_evictions=self._pending_evictions() > 0,
        )


def _is_refusal(error: Exception) -> TypeGuard[ClientError]:
    if not isinstance(error, ClientError):
        return False
    return error.response["Error"]["Code"] in _REFUSALS


def _is_throttled(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return False
    return error.response["Error"]["Code"] == _THROTTLED


def _was_retried(metadata: Mapping[str, Any]) -> bool:
    return bool(metadata.get("RetryAttempts"))
