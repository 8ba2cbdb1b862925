"""BatchGetItem: one load for all of its keys, then one fill for those that miss.

Each key is a read of its own, by the rules of reads.py: this file loads and fills
nothing itself. How hits leave a request and come back into its answer is in batches.py.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from time import perf_counter
from typing import Final

from botocache._cache.batches import (
    AnswersByKey,
    answers_by_key,
    encode_body,
    hit_of,
    merge_hits,
    with_known,
    without_hits,
)
from botocache._cache.call_store import CallStore
from botocache._cache.fills import Fills
from botocache._cache.prepare import Call, PreparedRead
from botocache._cache.preparers import Preparers
from botocache._cache.read_mode import Mode
from botocache._cache.reads import Reads, note_hot_key, why_bypassed
from botocache._cache.refusals import Refusals
from botocache._cache.services import CacheServices
from botocache._cache.tickets import (
    AuditTicket,
    BatchTicket,
    Hit,
    KnownHits,
    Lookup,
    Lookups,
    ReadTicket,
)
from botocache._counting.counters import FOREIGN, UNENCODABLE, Series
from botocache._dynamodb.key_texts import text_of_key
from botocache._dynamodb.plans import BatchRead
from botocache._dynamodb.read_units import units_of_keys
from botocache._dynamodb.types import Answer, Body
from botocache._dynamodb.values import table_name
from botocache._errors import CodecError
from botocache.stores.protocol import Fill


class BatchReads:
    """The batches of one cache.

    reads: load the keys.
    fills: fill them.
    """

    def __init__(
        self,
        services: CacheServices,
        preparers: Preparers,
        refusals: Refusals,
        reads: Reads,
        fills: Fills,
    ) -> None:
        self._preparers: Final = preparers
        self._refusals: Final = refusals
        self._reads: Final = reads
        self._fills: Final = fills
        self._series: Final = services.counters.series
        self._audits: Final = services.audits

    def begin(
        self,
        call: Call,
        parameters: Body,
        batch: BatchRead,
        store: CallStore,
        known: KnownHits | None = None,
    ) -> Hit | BatchTicket | None:
        """Return a hit if every key is one; else the ticket of the batch.

        batch: planned without the known hits.
        known: hits that the near cache has.

        Return None if a known key comes again in another spelling: then DynamoDB
        refuses the batch.
        """
        prepared = self._preparers.prepare_batch(call, parameters, batch)
        if known is not None:
            keys = {hit.key for hits in known.values() for hit in hits if hit}
            if any(read and read.key in keys for read in prepared):
                return None
        by_read = iter(self._reads.load_many(prepared, store))
        # In the order of `reads`, which load_many keeps.
        lookups: Lookups = {
            table: tuple(islice(by_read, len(part)))
            for table, part in batch.reads.items()
        }
        observer = self._reads.observer
        if observer is not None:
            for part, found in zip(batch.reads.values(), lookups.values(), strict=True):
                hits = [each for each in found if isinstance(each, Hit)]
                if hits:
                    age = max(each.age for each in hits)
                    table = part[0].table
                    observer.on_hit(table, call.operation, "store", age, len(hits))
        left = None if known is None else without_hits(parameters, known)
        self._count_hits(call, left or parameters, lookups, prepared, store)
        if known is not None:
            batch, lookups = with_known(batch, lookups, known)
        hit = hit_of(batch, lookups)
        if hit is not None:
            return hit
        left = without_hits(parameters, lookups)
        body = None if left is None else encode_body(left)
        return BatchTicket(call, parameters, batch, lookups, store, body)

    # --- counting ------------------------------------------------------------------

    def _count_hits(
        self,
        call: Call,
        parameters: Body,
        lookups: Mapping[str, tuple[Lookup, ...]],
        prepared: Sequence[PreparedRead | None],
        store: CallStore,
    ) -> None:
        """Count the hits and bypassed keys of a batch.

        prepared: the reads, in the order of the look-ups.
        """
        seconds = perf_counter() - store.started
        saved_by_audits = 0.0 if self._audits is None else self._audits.saved_per_block
        reads = iter(prepared)
        for table, part in lookups.items():
            series = self._series(table_name(table), call.operation)
            keys = parameters["RequestItems"][table]["Keys"]
            bypassed: Counter[str] = Counter()
            saved: list[tuple[Hit, float, bool]] = []
            places: list[int] = []
            for at, (lookup, read) in enumerate(zip(part, reads, strict=False)):
                if lookup is None:
                    bypassed[why_bypassed(call) if read is None else "pending"] += 1
                    continue
                hit, per_block = lookup, 0.5
                if isinstance(hit, AuditTicket):
                    hit, per_block = hit.hit, saved_by_audits
                if isinstance(hit, Hit) and hit.entry is not None:
                    blocks, is_estimated = hit.entry.cost
                    saved.append((hit, blocks * per_block, is_estimated))
                    places.append(at)
            for reason, number in bypassed.items():
                series.add_bypass(reason, number)
            if not saved:
                continue
            for index in series.add_store_hits(
                seconds,
                len(saved),
                sum(units for _, units, _ in saved),
                sum(units for _, units, is_estimated in saved if is_estimated),
            ):
                hit, units, _ = saved[index]
                note_hot_key(series, hit.key, units, text_of_key, keys[places[index]])

    def _count_misses(
        self, ticket: BatchTicket, answer: Answer, unfilled: str, length: int | None
    ) -> None:
        """Count the keys of a batch that DynamoDB had to answer, and their units."""
        is_answered = not unfilled or unfilled == FOREIGN
        seconds = perf_counter() - ticket.store.started if is_answered else None
        for table, part in ticket.lookups.items():
            sent = sum(not isinstance(lookup, Hit) for lookup in part)
            if not sent:
                continue
            misses = sum(isinstance(lookup, ReadTicket) for lookup in part)
            is_consistent = ticket.batch.reads[table][0].is_consistent
            series = self._series(table_name(table), ticket.call.operation)
            units = 0.0
            if is_answered:
                units = units_of_keys(
                    table, sent, answer, is_consistent=is_consistent, length=length
                )
                if self._audits is not None:
                    # What the cache would save, it would not consume.
                    saved = self._audits.saved_per_block * _audited_blocks(part)
                    units = max(0.0, units - saved)
            series.add_miss(seconds, units, is_consistent=is_consistent, reads=misses)
            if unfilled:
                series.add_unfilled(unfilled, misses)

    # --- after the call ------------------------------------------------------------

    def finish(
        self,
        ticket: BatchTicket,
        answer: Answer,
        *,
        unfilled: str = "",
        length: int | None = None,
        is_plain: bool = False,
    ) -> None:
        """Put the hits of a batch into its answer; fill the misses.

        Compare the hits that were not served. See `Fills.finish`.
        """
        self._count_misses(ticket, answer, unfilled, length)
        if "Error" in answer:
            return
        # Any other answer needs the hits, which were not requested; another plugin's,
        # too, which is not of DynamoDB.
        answers = answers_by_key(ticket.batch, ticket.lookups, answer)
        # First: if something fails below, the hits must be in the answer already.
        merge_hits(ticket.batch, ticket.lookups, answer, answers)
        if unfilled:
            return
        self._fill(ticket, answers, is_plain=is_plain)
        if self._audits is not None:
            for audit, item_answer in _audited(ticket, answers):
                self._audits.finish(audit, item_answer)

    def _fill(
        self, ticket: BatchTicket, answers: AnswersByKey, *, is_plain: bool
    ) -> None:
        """Fill the misses of a batch. is_plain: see `encode_answer`."""
        fills: list[Fill] = []
        filled: list[Series] = []
        may_learn: dict[tuple[str, int], bool] = {}
        for miss, item_answer in _misses(ticket, answers):
            series = self._reads.series_of(miss.prepared)
            if isinstance(item_answer, str):
                series.add_unfilled(item_answer)
                continue
            if self._refusals.tags:
                self._refusals.allow(miss.prepared)
            try:
                # All keys of a table teach the same, under one generation of it.
                place = (miss.prepared.read.table_parameter, miss.table_generation)
                if place not in may_learn:
                    may_learn[place] = self._fills.learn(miss, item_answer)
                fill = self._fills.fill_of(
                    miss, item_answer, is_plain=is_plain, is_learned=may_learn[place]
                )
            except CodecError:
                series.add_unfilled(UNENCODABLE)
                raise
            if isinstance(fill, Fill):
                fills.append(fill)
                filled.append(series)
            else:
                series.add_unfilled(fill)
        is_late = (  # as in `Fills.finish`
            ticket.store.can_defer
            and ticket.call.mode is Mode.NORMAL
            and not any(part[0].is_consistent for part in ticket.batch.reads.values())
        )
        self._fills.fill(ticket.store, fills, filled, is_late=is_late)


def _audited_blocks(lookups: Sequence[Lookup]) -> int:
    """Return the blocks that DynamoDB reads for hits that were not served."""
    return sum(
        lookup.hit.entry.cost.blocks
        for lookup in lookups
        if isinstance(lookup, AuditTicket) and lookup.hit.entry is not None
    )


def _audited(
    ticket: BatchTicket, answers: AnswersByKey
) -> Iterator[tuple[AuditTicket, Answer]]:
    """Yield the hits of a batch that DynamoDB answered, with their answers."""
    for table, by_index in answers.items():
        for index, answer in (by_index or {}).items():
            lookup = ticket.lookups[table][index]
            if isinstance(lookup, AuditTicket):
                yield lookup, answer


def _misses(
    ticket: BatchTicket, answers: AnswersByKey
) -> Iterator[tuple[ReadTicket, Answer | str]]:
    """Yield the misses of a batch with their answers, or why they have none."""
    for table, lookups in ticket.lookups.items():
        by_index = answers[table]
        for index, lookup in enumerate(lookups):
            if not isinstance(lookup, ReadTicket):
                continue
            if by_index is None:
                yield lookup, "unmatched"
            else:
                yield lookup, by_index.get(index, "unprocessed")
