"""Fills: the answer of a miss -> an entry on the store. After the call.

Methods may raise StoreError and CodecError; the caller turns them into an answer that
is not filled.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Final

from botocache._cache.call_store import CallStore
from botocache._cache.entries import decode_header, encode_answer
from botocache._cache.key_schemas import LONGEST_ARN, place_of
from botocache._cache.preparers import PLAIN_READ, Preparers, place_of_read
from botocache._cache.read_mode import Mode
from botocache._cache.refusals import Refusals
from botocache._cache.services import CacheServices
from botocache._cache.tickets import AuditTicket, ReadTicket
from botocache._coherence import Held, may_fill
from botocache._counting.counters import FOREIGN, UNENCODABLE, Series
from botocache._counting.stats import HELD
from botocache._dynamodb.plans import TABLE_TAG, Kind, last_key_attributes
from botocache._dynamodb.read_units import (
    BLOCK,
    SMALLEST,
    ReadCost,
    cost_of_read,
    cost_of_units,
    reported_units,
)
from botocache._dynamodb.types import Answer
from botocache._errors import CodecError, QueueFullError, pass_on
from botocache.stores.protocol import Fill

_DROPPED_FROM_ANSWERS = ("ResponseMetadata", "ConsumedCapacity")

_SMALLEST_UNITS: Final = SMALLEST.units()


class Fills:
    """The fills of one cache.

    on_fill: called with the key of each entry that this process fills.
    """

    def __init__(
        self, services: CacheServices, preparers: Preparers, refusals: Refusals
    ) -> None:
        self._codec: Final = services.codec
        self._series: Final = services.counters.series
        self._known_series: Final = services.counters.known_series
        self._evictions: Final = services.evictions
        self._key_schemas: Final = services.key_schemas
        self._ambiguous: Final = services.key_schemas.ambiguous
        self._preparers: Final = preparers
        self._refusals: Final = refusals
        self._refused: Final = refusals.tags
        self.on_fill: Callable[[bytes], None] = _ignore

    def finish(
        self,
        ticket: ReadTicket,
        answer: Answer,
        *,
        unfilled: str = "",
        length: int | None = None,
        is_plain: bool = False,
    ) -> None:
        """Learn from the answer of a read, and fill it if the hold-off allows that.

        This is the short road, of a GetItem without options whose answer has at most
        4 KB. It takes a third of the calls and objects of `_finish_any`, and the
        outcome is the same. It leaves to it:

        - an answer that must not be filled, and any other read;
        - a read under a hold-off, or of an entry that is outdated;
        - a table whose key attributes this process has still to learn or to confirm;
        - all reads while a reader is refused, or a table is ambiguous;
        - a policy that fills no such answer, and whatever fails before the fill.

        unfilled: why the answer must not be filled; empty if it may be.
        length: bytes of the answer on the wire, if they are known.
        is_plain: see `encode_answer`.
        """
        prepared, loaded, began, store, _, _, flight = ticket
        call, parameters, read, policy, key, tags, _ = prepared
        entry, snapshot, held = loaded
        ttl = policy.ttl if "Item" in answer else policy.negative_ttl
        if (
            unfilled
            or len(parameters) != PLAIN_READ
            or call.operation != "GetItem"
            or length is None
            or length > BLOCK
            or held is not Held.FREE
            or entry is not None
            or self._refused
            or self._ambiguous
            or ttl <= 0.0
        ):
            self._finish_any(ticket, answer, unfilled, length, is_plain=is_plain)
            return
        try:
            schema = self._key_schemas.known(
                place_of(call.origin, call.account, read.table_parameter[:LONGEST_ARN]),
                read.named,
            )
            if schema is None or schema.generation != snapshot[TABLE_TAG]:
                self._finish_any(ticket, answer, "", length, is_plain=is_plain)
                return
            seconds = perf_counter() - store.started
            kept = answer.copy()
            for name in _DROPPED_FROM_ANSWERS:
                kept.pop(name, None)
            packed = encode_answer(kept, is_plain=is_plain)
            # With the snapshot from before the call: see `_entry_of`.
            entry = self._codec.encode(key, packed, snapshot, began, began + ttl)
        except Exception as error:
            pass_on(error)  # the other road meets it as well, and counts it
            self._finish_any(ticket, answer, "", length, is_plain=is_plain)
            return
        if flight:
            flight.entry = entry
        place = read.table, "GetItem"
        series = self._known_series.get(place) or self._series(*place)
        if store.can_defer:
            series.add_miss(seconds, _SMALLEST_UNITS)
            is_late = call.mode is Mode.NORMAL  # as in `_finish_any`
            life = ttl + policy.stale_if_throttled
            self.fill(store, [Fill(key, entry, life, tags)], [series], is_late=is_late)
            return
        fills = 0
        try:
            store.fill_one(key, entry, ttl + policy.stale_if_throttled, tags)
            fills = 1
        except Exception as error:
            self._settle([series], pass_on(error))
        finally:
            # After a failure, too: see `fill`.
            self.on_fill(key)
            series.add_miss(seconds, _SMALLEST_UNITS, fills=fills)

    def _finish_any(
        self,
        ticket: ReadTicket,
        answer: Answer,
        unfilled: str,
        length: int | None,
        *,
        is_plain: bool,
    ) -> None:
        """Do what `finish` does, of any read."""
        read = ticket.prepared.read
        series = self._series(read.table, ticket.prepared.call.operation)
        if unfilled and unfilled != FOREIGN:  # it is no answer of DynamoDB's
            series.add_miss(None, 0.0, is_consistent=read.is_consistent)
            series.add_unfilled(unfilled)
            return
        units, cost = consumption(ticket, answer, length)
        series.add_miss(
            perf_counter() - ticket.store.started,
            units,
            is_consistent=read.is_consistent,
            is_outdated=ticket.loaded.entry is not None and _is_outdated(ticket),
            is_on_index=read.is_on_index,
        )
        if not unfilled:
            if self._refused:
                self._refusals.allow(ticket.prepared)
            try:
                fill = self.fill_of(ticket, answer, cost, is_plain=is_plain)
            except CodecError:
                series.add_unfilled(UNENCODABLE)
                raise
            if isinstance(fill, Fill):
                if ticket.flight:
                    ticket.flight.entry = fill.entry
                # A refresh is waited for, and a read that the application made strongly
                # consistent. There may be an older entry that is still current: loaded
                # after `on_fill`, and before this one arrives, it would be remembered.
                is_late = (
                    ticket.store.can_defer
                    and ticket.prepared.call.mode is Mode.NORMAL
                    and not read.is_consistent
                )
                self.fill(ticket.store, [fill], [series], is_late=is_late)
                return
            unfilled = fill
        series.add_unfilled(unfilled)

    def fill_written(self, ticket: ReadTicket, answer: Answer, series: Series) -> None:
        """Fill what a write has left of an item.

        series: of the write.
        """
        fill = self._entry_of(ticket, answer)
        if isinstance(fill, Fill):
            self.fill(ticket.store, [fill], [series], is_late=ticket.store.can_defer)

    def written(self, ticket: ReadTicket, answer: Answer) -> tuple[bytes, float] | None:
        """Return the entry of what a write has left, and its life; None for none."""
        fill = self._entry_of(ticket, answer)
        return (fill.entry, fill.ttl) if isinstance(fill, Fill) else None

    def fill(
        self,
        store: CallStore,
        fills: Sequence[Fill],
        counted: Sequence[Series],
        *,
        is_late: bool = False,
    ) -> None:
        """Fill entries, and tell the near cache which.

        counted: for each fill, where it counts.
        is_late: do not wait for the store's answer. Late entries do no harm: each has
            the snapshot of its read. Only of a store that can defer.
        """
        if not fills:
            return
        try:
            if is_late:
                store.fill_later(fills, partial(self._settle, counted))
            else:
                store.fill(fills)
                self._settle(counted, None)
        except Exception as error:
            self._settle(counted, pass_on(error))
        finally:
            # After a failure, too: the entries may be in the store all the same.
            for fill in fills:
                self.on_fill(fill.key)

    def _settle(self, counted: Sequence[Series], error: Exception | None) -> None:
        """Count fills whose outcome is known. error: they failed with it."""
        one = len(counted) == 1
        by_series = [(counted[0], 1)] if one else Counter(counted).items()
        if error is None:
            for series, number in by_series:
                series.add_fills(number)
            return
        is_full = isinstance(error, QueueFullError)
        for series, number in by_series:
            series.add_unfilled("queue_full" if is_full else "store_error", number)
        self._evictions.report("fill_failed", "an answer is not cached", error)

    def fill_of(
        self,
        ticket: ReadTicket,
        answer: Answer,
        cost: ReadCost | None = None,
        *,
        is_plain: bool,
        is_learned: bool | None = None,
    ) -> Fill | str:
        """Return the fill of a read's answer; or why there is none, as it counts.

        cost: what DynamoDB has read for it; None to find out.
        is_plain: see `encode_answer`.
        is_learned: what `learn` has returned for a like answer; None to call it.
        """
        # First: the answer may show that the table was created anew. Then the tags are
        # wrong, and it must not be filled.
        if is_learned is None:
            is_learned = self.learn(ticket, answer)
        if not is_learned:
            return "schema"
        held = ticket.loaded.held
        if held and not may_fill(held, is_consistent=ticket.is_consistent):
            return HELD
        return self._entry_of(ticket, answer, cost, is_plain=is_plain)

    def _entry_of(
        self,
        ticket: ReadTicket,
        answer: Answer,
        cost: ReadCost | None = None,
        *,
        is_plain: bool = False,
    ) -> Fill | str:
        """Return the fill of an answer; or why there is none. See `fill_of`."""
        prepared, began = ticket.prepared, ticket.began
        read, policy = prepared.read, prepared.policy
        is_absent = read.kind is Kind.ITEM and "Item" not in answer
        ttl = policy.negative_ttl if is_absent else policy.ttl
        if ttl <= 0.0:
            return "ttl"
        # With the snapshot from before the call: if a write began or ended since, no
        # load will serve the entry.
        kept = {k: v for k, v in answer.items() if k not in _DROPPED_FROM_ANSWERS}
        packed = encode_answer(kept, is_plain=is_plain)
        if cost is None:
            # In MessagePack as on the wire, no item is smaller than DynamoDB counts it.
            cost = cost_of_read(read, prepared.parameters, answer, len(packed))
        entry = self._codec.encode(
            prepared.key,
            packed,
            ticket.loaded.snapshot,
            began,
            began + ttl,
            cost,
        )
        if read.kind is Kind.SCAN and len(entry) > policy.scan_size_limit:
            # One pass over a large table must not push all other entries out.
            return "too_large"
        life = ttl + policy.stale_if_throttled
        return Fill(prepared.key, entry, life, prepared.tags)

    def learn(self, ticket: ReadTicket, answer: Answer) -> bool:
        """Learn the table's key attributes; return whether the answer may be filled."""
        read, call = ticket.prepared.read, ticket.prepared.call
        if (
            self._ambiguous
            and self._preparers.is_ambiguous(call, read)
            and not ticket.prepared.is_coarse
        ):
            return False
        named, is_complete = read.named, read.names_all
        if read.kind is not Kind.ITEM:
            # A LastEvaluatedKey names them all; a query's request names the first.
            last = last_key_attributes(read, answer)
            if last is not None:
                named, is_complete = last, True
        return self._key_schemas.learn(
            ticket.store,
            place_of_read(call, read),
            named,
            ticket.loaded.snapshot[TABLE_TAG],
            is_complete=is_complete,
            tags=read.tags,
        )


def _ignore(_key: bytes) -> None:
    """Stand in for `on_fill` if there is no near cache."""


def _is_outdated(miss: ReadTicket) -> bool:
    """Return whether the store had an entry of this read that a write has evicted."""
    try:
        header = decode_header(miss.loaded.entry or b"")
    except CodecError:  # it was reported when it was loaded
        return False
    # One that is kept for stale answers would be a miss without the write, too.
    is_over = miss.began >= header.expires_at
    return header.snapshot != miss.loaded.snapshot and not is_over


def consumption(
    ticket: ReadTicket | AuditTicket, answer: Answer, length: int | None
) -> tuple[float, ReadCost]:
    """Return the read units of a read, and what an entry of it saves each time."""
    prepared, is_consistent = ticket.prepared, ticket.is_consistent
    if prepared.read.capacity != "NONE":
        units = reported_units(answer)
        if units is not None:
            return units, cost_of_units(units, is_consistent=is_consistent)
    cost = cost_of_read(prepared.read, prepared.parameters, answer, length)
    return float(cost.blocks) if is_consistent else cost.blocks / 2, cost
