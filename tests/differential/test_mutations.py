"""Programs find a cache out that has a fault: one line of the real one changed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from botocache._cache import batch_reads
from botocache._cache import reads as cache_reads
from botocache._cache.entries import Entry
from botocache._cache.prepare import PreparedRead
from botocache._cache.reads import Reads
from botocache._cache.tickets import Hit
from botocache._coherence import Loaded
from botocache._dynamodb import expressions, items, writes
from botocache._dynamodb import operations as dynamodb_operations
from botocache._dynamodb import reads as dynamodb_reads
from botocache._dynamodb.tags import Tag, item_tag, writes_tag
from botocache._near import client, client_state, request_bodies
from botocache.stores.generation_table import GenerationTable
from tests.differential.machine import run_programs
from tests.differential.pairs import DifferenceError
from tests.differential.runs import Run, pair_for
from tests.support.dynamodb import DynamoDB
from tests.support.evicting import evicting

PROGRAMS = 60
"""Within which it must be found out."""

Patch = Callable[[pytest.MonkeyPatch], None]


def _replace(owner: Any, name: str, by: Any) -> Patch:
    return lambda patch: patch.setattr(owner, name, by)


def _pass(*operations: str) -> Patch:
    def apply(patch: pytest.MonkeyPatch) -> None:
        for operation in operations:
            patch.setitem(
                dynamodb_operations.OPERATIONS, operation, dynamodb_operations._PASSES
            )

    return apply


# --- what a write evicts -------------------------------------------------------------

_item_tags = writes.item_tags


def _item_alone(table: str, key: Mapping[str, Any]) -> Iterator[Tag]:
    yield item_tag(table, key)


def _all_but_the_items(table: str, key: Mapping[str, Any]) -> Iterator[Tag]:
    yield from (tag for tag in _item_tags(table, key) if tag != item_tag(table, key))


def _one_partition(table: str, key: Mapping[str, Any]) -> Iterator[Tag]:
    first = min(key)
    one = set(_item_tags(table, {first: key[first]}))
    fixed = {item_tag(table, key), writes_tag(table)}
    yield from (tag for tag in _item_tags(table, key) if tag in one | fixed)


def _no_index_queries(table: str, key: Mapping[str, Any]) -> Iterator[Tag]:
    yield from (tag for tag in _item_tags(table, key) if tag != writes_tag(table))


# --- reads ---------------------------------------------------------------------------

_canonical_expressions = expressions.canonical_expressions


def _without(*parameters: str) -> Patch:
    """Return the fault that questions are equal that differ in these parameters."""

    def canonical(body: Mapping[str, Any]) -> dict[str, Any]:
        question = _canonical_expressions(body)
        return {name: v for name, v in question.items() if name not in parameters}

    return _replace(dynamodb_reads, "canonical_expressions", canonical)


# --- what is answered ----------------------------------------------------------------

_hit = Reads._make_hit


def _shared_answers(patch: pytest.MonkeyPatch) -> None:
    """Give every caller the same object."""
    answers: dict[tuple[Any, ...], Any] = {}

    def hit(
        reads: Reads,
        prepared: PreparedRead,
        key: bytes,
        loaded: Loaded,
        *moments: float,
    ) -> Hit | None:
        fresh = _hit(reads, prepared, key, loaded, *moments)
        if fresh is None:
            return None
        same = answers.setdefault((key, *loaded.snapshot), fresh.answer)
        return fresh._replace(answer=same)

    patch.setattr(Reads, "_make_hit", hit)


# --- what the near cache answers -----------------------------------------------------

_copier = Entry.copier


def _never_evicted(patch: pytest.MonkeyPatch) -> None:
    """Serve whatever is remembered until its TTL, whatever was written."""
    patch.setattr(GenerationTable, "watch", lambda *_: lambda: True)


def _shared_near_answers(patch: pytest.MonkeyPatch) -> None:
    """Give every caller the same object out of memory."""

    def copier(entry: Entry) -> Callable[[], Any]:
        same = _copier(entry)()
        return lambda: same

    patch.setattr(Entry, "copier", copier)


def _by_names(patch: pytest.MonkeyPatch) -> None:
    """Take calls of a table for equal that have the same parameters."""

    def key(token: Any, arguments: Any, *_: Any) -> Any:
        # With the table: what one program leaves must not be found by the next.
        return b"%d %a %a" % (token, arguments.get("TableName"), [*arguments])

    patch.setattr(client, "marshalled", lambda of_call, _: key(*of_call))
    patch.setattr(client, "exact_key", key)
    # It compares the two once more before it remembers, and before it looks up early.
    patch.setattr(client_state, "exact_key", key)
    patch.setattr(request_bodies, "quick_key", key)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A patch that breaks a rule.

    first: the first program that is tried. Those before it do not show the fault.
    is_late: hundreds of calls are made until it is found out.
    """

    name: str
    patch: Patch
    first: int = 0
    is_late: bool = False

    def __str__(self) -> str:
        return self.name


MUTATIONS = [
    Mutation(
        "evicting the item only",
        evicting(_item_alone),
        first=5,
        is_late=True,
    ),
    Mutation(
        "evicting all but the item",
        evicting(_all_but_the_items),
    ),
    Mutation(
        "evicting one partition",
        evicting(_one_partition),
        first=36,
    ),
    Mutation(
        "evicting no index queries",
        evicting(_no_index_queries),
        first=19,
    ),
    Mutation(
        "entries served whatever happened",
        _replace(cache_reads, "may_serve", lambda *_: True),
    ),
    Mutation("batch writes pass", _pass("BatchWriteItem")),
    Mutation("transactions pass", _pass("TransactWriteItems"), first=7),
    Mutation(
        "PartiQL passes",
        _pass("ExecuteStatement", "BatchExecuteStatement"),
        first=12,
        is_late=True,
    ),
    Mutation(
        "tables come and go unseen",
        _pass("CreateTable", "DeleteTable"),
        is_late=True,
    ),
    Mutation("both directions are one", _without("ScanIndexForward"), first=46),
    Mutation(
        "all projections are one",
        _replace(dynamodb_reads, "_projected", lambda _: (None, ())),
    ),
    Mutation("all pages are one", _without("ExclusiveStartKey")),
    Mutation("an answer is shared", _shared_answers),
    Mutation(
        "a batch loses its hits",
        _replace(batch_reads, "merge_hits", lambda *_: None),
        first=5,
        is_late=True,
    ),
    Mutation(
        "a projection is the whole item",
        _replace(cache_reads, "project", lambda item, _: dict(item)),
    ),
    Mutation("a near answer is served whatever happened", _never_evicted, is_late=True),
    Mutation("a near answer is shared", _shared_near_answers),
    Mutation("values are no part of a near key", _by_names, is_late=True),
    Mutation(
        "every write is taken for a delete",
        _replace(items, "answer_after", lambda *_: {}),
    ),
]


CASES = [
    pytest.param(each, marks=pytest.mark.long("hundreds of calls"))
    if each.is_late
    else each
    for each in MUTATIONS
]


@pytest.mark.parametrize("mutation", CASES, ids=str)
def test_a_cache_with_a_fault_is_caught(
    mutation: Mutation,
    server_of: Callable[[str], DynamoDB],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run("ministack", "memory", "defaults")
    programs = range(mutation.first, mutation.first + PROGRAMS)
    with pair_for(run, server_of(run.server), tmp_path) as pair:
        mutation.patch(monkeypatch)
        with pytest.raises(DifferenceError):
            run_programs(pair, programs, shrinks=False)
    print(f"{mutation}: found out after {pair.calls} calls")
