"""Reads: load -> hit | ticket -> fill.

May raise StoreError and CodecError where the caller turns whatever happens into a miss.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from botocache._cache.batches import (
    answers_by_key,
    hit_of,
    merge,
    no_capacity,
    remaining_body,
)
from botocache._cache.entries import encode_entry
from botocache._cache.lookups import TABLE_TAG, Lookups
from botocache._cache.parts import Parts
from botocache._cache.schema_learning import Lesson, Recalls
from botocache._cache.tickets import (
    BatchTicket,
    Hit,
    Lookup,
    Plan,
    ReadTicket,
    Recording,
    Request,
)
from botocache._coherence import Held, may_fill
from botocache._dynamodb.plans import BatchRead, Kind, Read, last_key_attributes
from botocache.stores.protocol import Fill

_DROPPED_FROM_ANSWERS = ("ResponseMetadata", "ConsumedCapacity")

_encode = msgspec.json.encode


class Reads:
    """The reads of one cache."""

    def __init__(self, parts: Parts) -> None:
        self._store: Final = parts.store
        self._settings: Final = parts.settings
        self._counters: Final = parts.counters
        self._evictions: Final = parts.evictions
        self._learning: Final = parts.learning
        self._lookups: Final = Lookups(parts)
        self.policy: Final = self._lookups.policy
        self.plan_ahead: Final = self._lookups.plan_ahead
        self.when_filled: Callable[[bytes], None] = _nobody_cares

    # --- before the call -----------------------------------------------------------

    def begin(
        self,
        request: Request,
        parameters: dict[str, Any],
        read: Read,
        recalls: Recalls,
        recording: Recording | None = None,
    ) -> Hit | ReadTicket | None:
        """Return the hit, or the ticket to fill with, or None."""
        asked = self._lookups.asked(request)
        if asked is None:
            return None
        lookup = None if recalls.failure else self._lookups.ask(asked, read, recording)
        if recording is not None and recording.plan is not None:
            schema = recalls.schemas.get(read.table)
            recording.plan = recording.plan._replace(schema=schema)
        if lookup is None:
            self._counters.add("bypassed")
            return None
        if isinstance(lookup, Hit):
            return self._served(lookup, read)
        assumed = recalls.schemas.get(read.table)
        if assumed is None:
            return self._missed(lookup, parameters)
        self._counters.add("misses")
        if assumed.generation != lookup.loaded.snapshot[TABLE_TAG]:
            self._learning.forget(assumed)
            return None
        return lookup

    def go_on(
        self, request: Request, parameters: dict[str, Any], recording: Recording
    ) -> ReadTicket | None:
        """Return the ticket of a read that was planned and asked for before its call.

        recording: of the very parameters. None when it is to be planned all the same:
        who asks has changed, or what he is to get.
        """
        plan, ticket = recording.plan, recording.ticket
        if plan is None or ticket is None or self._evictions.pending:
            return None
        asked = self._lookups.asked(request)
        if asked is None or asked._replace(now=plan.asked.now) != plan.asked:
            return None
        return self._missed(ticket, parameters)

    def ask_again(self, plan: Plan) -> Hit | ReadTicket | None:
        """Return the hit, or what the store said instead; None: plan it anew.

        Counts hits only: the rest goes on to `begin`.
        """
        lookup = self._lookups.ask_again(plan)
        if isinstance(lookup, Hit):
            return self._served(lookup, plan.question.read)
        return lookup

    def _served(self, hit: Hit, read: Read) -> Hit:
        """Count a hit, and say of it what was asked besides."""
        if read.capacity != "NONE":
            capacity = no_capacity(read.table_parameter, read.capacity)
            hit.answer["ConsumedCapacity"] = capacity
        self._counters.add("hits")
        return hit

    def begin_batch(
        self, request: Request, parameters: dict[str, Any], batch: BatchRead
    ) -> Hit | BatchTicket | None:
        """Return the hit of all keys, or the ticket of those that are not, or None."""
        asked = self._lookups.asked(request)
        if asked is None:
            return None
        reads = [read for each in batch.reads.values() for read in each]
        found: list[Lookup] = [None] * len(reads)
        if self._evictions.deliver():
            found = self._lookups.ask_many(asked, reads)
        self._count(found)
        by_read = iter(found)
        lookups = {
            table: tuple(islice(by_read, len(each)))
            for table, each in batch.reads.items()
        }
        hit = hit_of(batch, lookups)
        if hit is not None:
            return hit
        return BatchTicket(batch, lookups, remaining_body(parameters, lookups))

    def _count(self, lookups: Sequence[Lookup]) -> None:
        hits = sum(isinstance(lookup, Hit) for lookup in lookups)
        bypassed = lookups.count(None)
        for outcome, number in (
            ("hits", hits),
            ("bypassed", bypassed),
            ("misses", len(lookups) - hits - bypassed),
        ):
            if number:
                self._counters.add(outcome, number)

    def _missed(self, ticket: ReadTicket, parameters: dict[str, Any]) -> ReadTicket:
        """Count a miss, and have it sent so that its answer can be kept."""
        self._counters.add("misses")
        if ticket.loaded.held is Held.SETTLING:
            return self._settling(ticket, parameters)
        return ticket

    def _settling(self, ticket: ReadTicket, parameters: dict[str, Any]) -> ReadTicket:
        """Have a read that follows a write see it, so that its answer can be kept."""
        read = ticket.read
        if (
            self._settings.reads_after_write != "consistent"
            or read.is_consistent
            or read.kind not in (Kind.ITEM, Kind.QUERY)
        ):
            return ticket
        return ticket._replace(
            read=read._replace(is_consistent=True),
            body=_encode({**parameters, "ConsistentRead": True}),
        )

    def as_asked(self, ticket: ReadTicket) -> ReadTicket:
        """Return the ticket of a read that is sent again, eventually consistent."""
        read = ticket.read._replace(is_consistent=False)
        return ticket._replace(read=read, body=None)

    # --- after the call ------------------------------------------------------------

    def finish(self, ticket: ReadTicket, answer: dict[str, Any]) -> None:
        """Fill the answer of a read, if it may be."""
        if self._learn(ticket, answer) is Lesson.CONFIRMED and self._may_fill(ticket):
            self.fill(ticket, answer)

    def _may_fill(self, ticket: ReadTicket) -> bool:
        """Tell whether an answer may be filled, and count when it may not."""
        is_consistent = ticket.read.is_consistent
        if may_fill(ticket.loaded.held, is_consistent=is_consistent):
            return True
        self._counters.add("held")
        return False

    def complete(
        self, ticket: BatchTicket, answer: dict[str, Any], *, is_kept: bool
    ) -> None:
        """Put the hits of a batch into its answer; keep the rest if `is_kept`."""
        answers = answers_by_key(ticket, answer)
        merge(ticket, answer, answers)  # first: whatever fails, the hits must be there
        if not is_kept:
            return
        fills = []
        for lookup, each in _misses(ticket, answers):
            lesson = self._learn(lookup, each)
            if lesson is Lesson.UNKNOWN:
                return  # what is left would ask the store again
            if lesson is Lesson.CONFIRMED and self._may_fill(lookup):
                fills += _fill_of(lookup, each)
        if fills:
            self._put(fills)

    def fill(self, ticket: ReadTicket, answer: dict[str, Any]) -> None:
        """Put an answer."""
        for fill in _fill_of(ticket, answer):
            is_large = len(fill.entry) > ticket.policy.scan_size_limit
            if ticket.read.kind is not Kind.SCAN or not is_large:
                self._put([fill])

    def _put(self, fills: list[Fill]) -> None:
        try:
            if len(fills) == 1:
                self._store.fill(*fills[0])
            else:
                self._store.fill_many(fills)
        except Exception as error:  # noqa: BLE001 - as ever
            self._evictions.report("fill_failed", "an answer is not kept", error)
        else:
            self._counters.add("fills", len(fills))
        for fill in fills:
            self.when_filled(fill.key)  # when it failed, too: nobody knows

    def _learn(self, ticket: ReadTicket, answer: dict[str, Any]) -> Lesson:
        """Learn the table's key attributes."""
        read, generation = ticket.read, ticket.loaded.snapshot[TABLE_TAG]
        named, is_complete = read.named, read.names_all
        last = last_key_attributes(read, answer)
        if last is not None:
            named, is_complete = last, True
        return self._learning.learn(
            ticket.origin, read.table, named, generation, is_complete=is_complete
        )


def _nobody_cares(_key: bytes) -> None:
    """Be told that an entry was filled."""


def _misses(
    ticket: BatchTicket, answers: Mapping[str, Mapping[int, dict[str, Any]] | None]
) -> Iterator[tuple[ReadTicket, dict[str, Any]]]:
    """Yield what was asked for of a batch, and what was answered."""
    for table, answered in answers.items():
        for index, each in (answered or {}).items():
            lookup = ticket.lookups[table][index]
            if isinstance(lookup, ReadTicket):
                yield lookup, each


def _fill_of(ticket: ReadTicket, answer: Mapping[str, Any]) -> list[Fill]:
    """Return what an answer is put as, in a list: nothing where it is not to live."""
    policy, began = ticket.policy, ticket.began
    is_absent = ticket.read.kind is Kind.ITEM and "Item" not in answer
    ttl = policy.negative_ttl if is_absent else policy.ttl
    if ttl <= 0.0:
        return []
    kept = {k: v for k, v in answer.items() if k not in _DROPPED_FROM_ANSWERS}
    entry = encode_entry(kept, ticket.loaded.snapshot, began, began + ttl)
    return [Fill(ticket.key, entry, ttl, ticket.tags)]
