"""Reads: prepare -> load -> hit or ticket -> fill.

The only place that loads for a read. `load` and `load_many` apply the same rules to one
read and to many. Methods may raise StoreError and CodecError; the caller turns them
into a miss that is not filled.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Final

from botocache._cache.batches import encode_body, zero_capacity
from botocache._cache.call_store import CallStore
from botocache._cache.entries import (
    CLOCK_SKEW,
    Entry,
    decode_answer,
    decode_header,
    encode_answer,
)
from botocache._cache.key_schemas import LONGEST_ARN, Schema, place_of
from botocache._cache.observer import CallObserver  # noqa: TC001 - loaded in any case
from botocache._cache.prepare import (
    Call,
    ItemPreparer,
    PreparedRead,
    TableCaching,
    prepare,
)
from botocache._cache.read_mode import Mode
from botocache._cache.services import CacheServices
from botocache._cache.tickets import AuditTicket, Hit, Lookup, ReadTicket
from botocache._coherence import Held, Loaded, may_fill, may_serve
from botocache._counting.counters import FOREIGN, STORE_SAMPLED, UNENCODABLE, Series
from botocache._counting.hot_keys import TextOf
from botocache._counting.stats import HELD
from botocache._dynamodb.key_texts import text_of_read
from botocache._dynamodb.operations import REFUSED
from botocache._dynamodb.plans import (
    TABLE_TAG,
    BatchRead,
    CachingMode,
    Kind,
    Read,
    last_key_attributes,
)
from botocache._dynamodb.projections import Projection, project
from botocache._dynamodb.read_units import (
    ReadCost,
    cost_of_read,
    cost_of_units,
    reported_units,
)
from botocache._dynamodb.types import Answer, Body, Item
from botocache._dynamodb.values import table_name
from botocache._errors import CodecError, QueueFullError, pass_on
from botocache._settings.tables import caching_mode
from botocache.stores.protocol import Fill

_MOST_TABLES = 10_000
"""Kinds of reads of tables whose policy is kept; at one more, all are found anew."""

_MOST_PREPARERS = 1000
"""Preparers of reads of items that are kept; at one more, all are made anew."""

_KEY_ATTRIBUTES = 2
"""That a table has at most."""

_MOST_REFUSED = 10_000
"""Readers that DynamoDB has refused; at one more, the oldest is forgotten."""

_DROPPED_FROM_ANSWERS = ("ResponseMetadata", "ConsumedCapacity")


class Reads:
    """The reads of one cache.

    on_fill: called with the key of each entry that this process fills.
    observer: hears of hits; None if there is none.
    refused: readers that DynamoDB has refused; in order, as keys.
    """

    def __init__(self, services: CacheServices) -> None:
        self._codec: Final = services.codec
        self._settings: Final = services.settings
        self._series: Final = services.counters.series
        self._evictions: Final = services.evictions
        self._key_schemas: Final = services.key_schemas
        self._ambiguous: Final = services.key_schemas.ambiguous
        self._pending: Final = services.evictions.pending
        self._audits: Final = services.audits
        self._caching: Final[dict[tuple[str, str, Kind], TableCaching]] = {}
        self._preparers: Final[dict[tuple[str | bytes, ...], ItemPreparer]] = {}
        self.refused: Final[dict[bytes, None]] = {}
        self.on_fill: Callable[[bytes], None] = _ignore
        self.observer: CallObserver | None = None

    # --- before the call -----------------------------------------------------------

    def prepare(self, call: Call, parameters: Body, read: Read) -> PreparedRead | None:
        """Return the prepared read; None if the read must bypass the cache."""
        place = (read.table, call.operation, read.kind)
        caching = self._caching.get(place) or self._add_caching(place)
        is_coarse = bool(self._ambiguous) and self._is_ambiguous(call, read)
        return prepare(call, parameters, read, caching, is_coarse=is_coarse)

    def prepare_item(self, call: Call, parameters: Body) -> PreparedRead | None:
        """Do what a plan and `prepare` do for a GetItem without options, in one step.

        None if it takes these two: for another caching mode, a table that is ambiguous,
        a request that is not understood.
        """
        if self._ambiguous or call.scope is None or call.mode is Mode.BYPASS:
            return None
        try:
            parameter, key = parameters["TableName"], parameters["Key"]
            place = (call.scope, call.origin, parameter, *key)
            preparer = self._preparers.get(place)
            if preparer is None:
                preparer = self._add_preparer(call, parameter, key, place)
            return None if preparer is None else preparer.prepare(call, parameters)
        except REFUSED:
            return None  # the plan says why

    def _add_preparer(
        self, call: Call, parameter: str, key: Item, place: tuple[str | bytes, ...]
    ) -> ItemPreparer | None:
        """Return what prepares such reads; None if no entry of theirs is coherent."""
        of_table = (table_name(parameter), call.operation, Kind.ITEM)
        caching = self._caching.get(of_table) or self._add_caching(of_table)
        if call.scope is None or caching.mode is not CachingMode.COHERENT:
            return None
        preparer = ItemPreparer(call, call.scope, parameter, key, caching.policy)
        # DynamoDB refuses longer names, and more of them. Such reads leave nothing.
        if len(key) <= _KEY_ATTRIBUTES and max(map(len, place)) <= LONGEST_ARN:
            if len(self._preparers) >= _MOST_PREPARERS:
                self._preparers.clear()
            self._preparers[place] = preparer
        return preparer

    def prepare_batch(
        self, call: Call, parameters: Body, batch: BatchRead
    ) -> list[PreparedRead | None]:
        """Do what `prepare` does for each read of a batch."""
        prepared: list[PreparedRead | None] = []
        for part in batch.reads.values():
            # Of all keys of a table alike.
            place = (part[0].table, call.operation, part[0].kind)
            caching = self._caching.get(place) or self._add_caching(place)
            is_coarse = bool(self._ambiguous) and self._is_ambiguous(call, part[0])
            prepared += [
                prepare(call, parameters, read, caching, is_coarse=is_coarse)
                for read in part
            ]
        return prepared

    def _add_caching(self, place: tuple[str, str, Kind]) -> TableCaching:
        # A policy is found by matching patterns: too slow for each call.
        table, operation, kind = place
        if len(self._caching) >= _MOST_TABLES:
            self._caching.clear()
        policy = self._settings.policy(table)
        caching = self._caching[place] = TableCaching(
            policy,
            caching_mode(policy, operation, kind),
            self._settings.precise_index_eviction,
        )
        return caching

    def _is_ambiguous(self, call: Call, read: Read) -> bool:
        table = read.table_parameter[:LONGEST_ARN]
        place = place_of(call.origin, call.account, table)
        return self._key_schemas.is_ambiguous(place)

    def begin(
        self,
        call: Call,
        parameters: Body,
        read: Read,
        store: CallStore,
        schema: Schema | None,
    ) -> Lookup:
        """Return the hit, or the ticket of a miss; None if the read is not cached.

        schema: the one that the read's tags rest on; None if they rest on none.
        """
        prepared = self.prepare(call, parameters, read)
        lookup = None if prepared is None else self.load(prepared, store)
        if prepared is None:
            self._series(read.table, call.operation).add_bypass(why_bypassed(call))
        if (
            schema is not None
            and isinstance(lookup, ReadTicket)
            and lookup.table_generation != schema.generation
        ):
            # The table was evicted, so it may have been created anew with other key
            # attributes. Then the read's tags are wrong, and no write would evict it.
            self._key_schemas.forget(schema)
            self._series(read.table, call.operation).add_bypass("schema")
            return None
        return lookup

    def load_again(self, prepared: PreparedRead, store: CallStore) -> Lookup:
        """Do what `load` does for a read that an earlier call has prepared."""
        if self._ambiguous:  # since then, perhaps: then it has other tags now
            call, parameters, read = prepared[:3]
            prepared = self.prepare(call, parameters, read) or prepared
        return self.load(prepared, store)

    def load(self, prepared: PreparedRead, store: CallStore) -> Lookup:
        """Return the hit, or the ticket of a miss; None if an eviction is pending."""
        # `tags` is looked at here to save a method call in every hit.
        if self._pending.tags and self._evictions.are_pending(prepared.tags, store):
            self.series_of(prepared).add_bypass("pending")
            return None
        # Before the look-up: an entry that expires during it is good for this call.
        now = store.now()
        loaded = store.load(prepared.key, prepared.tags)
        hit = None
        is_open = not self.refused or prepared.reader_tag not in self.refused
        if loaded.entry is not None and is_open:
            hit = self._make_hit(prepared, prepared.key, loaded, now)
        if (
            hit is None
            and prepared.whole_item_key is not None
            and prepared.may_hit
            and is_open
        ):
            whole = store.load(prepared.whole_item_key, prepared.tags)
            hit = self._project_whole_item(prepared, whole, now)
        if hit is None:
            return self._make_ticket(prepared, loaded, now, store)
        audits = self._audits
        if audits is not None and audits.is_due(prepared.key, loaded.held):
            return _audit(hit, prepared, loaded, now, store)
        self._count_hit(hit, prepared, perf_counter() - store.started)
        read = prepared.read
        if read.capacity != "NONE":
            capacity = zero_capacity(read.table_parameter, read.capacity)
            hit.answer["ConsumedCapacity"] = capacity
        if self.observer is not None:
            operation = prepared.call.operation
            self.observer.on_hit(read.table, operation, "store", hit.age)
        return hit

    def load_many(
        self, reads: Sequence[PreparedRead | None], store: CallStore
    ) -> list[Lookup]:
        """Do what `load` does for each read, with one request to the store for all.

        Projections whose own entries are no hits take a second request. A read that is
        None gives a look-up that is None.
        """
        lookups: list[Lookup] = [None] * len(reads)
        if not self._evictions.deliver(store):
            return lookups
        by_place = {at: read for at, read in enumerate(reads) if read is not None}
        if self._pending.tags:
            by_place = {
                at: read
                for at, read in by_place.items()
                if not self._pending.includes(read.tags)
            }
        audits, now = self._audits, store.now()
        wholes: dict[int, PreparedRead] = {}
        loads = [(read.key, read.tags) for read in by_place.values()]
        results = store.load_many(loads) if loads else []
        for (at, read), loaded in zip(by_place.items(), results, strict=True):
            if self.refused and read.reader_tag in self.refused:
                lookups[at] = self._make_ticket(read, loaded, now, store)
                continue
            hit = None
            if loaded.entry is not None:
                hit = self._make_hit(read, read.key, loaded, now)
            lookups[at] = hit or self._make_ticket(read, loaded, now, store)
            if audits is not None and hit and audits.is_due(read.key, loaded.held):
                lookups[at] = _audit(hit, read, loaded, now, store)
            if hit is None and read.whole_item_key is not None and read.may_hit:
                wholes[at] = read
        loads = [(read.whole_item_key or b"", read.tags) for read in wholes.values()]
        results = store.load_many(loads) if loads else []
        for (at, read), loaded in zip(wholes.items(), results, strict=True):
            hit = self._project_whole_item(read, loaded, now)
            lookups[at] = hit or lookups[at]
            if audits is not None and hit and audits.is_due(read.key, loaded.held):
                lookups[at] = _audit(hit, read, loaded, now, store)
        return lookups

    def _make_hit(
        self, prepared: PreparedRead, key: bytes, loaded: Loaded, now: float
    ) -> Hit | None:
        """Return a hit made of an entry, if the entry may be served."""
        if loaded.entry is None or not prepared.may_hit:
            return None
        try:
            header = decode_header(loaded.entry)
            snapshot, filled_at, expires_at, cost, _, _ = header
            if not may_serve(snapshot, loaded.snapshot, expires_at, now):
                return None
            if filled_at - now > CLOCK_SKEW:
                return None
            packed = self._codec.open(key, header)
            answer, decode = decode_answer(packed)
            policy = prepared.policy
            is_absent = prepared.read.kind is Kind.ITEM and "Item" not in answer
            ttl = policy.negative_ttl if is_absent else policy.ttl
            # Another process may be ahead of this one by its estimate of the time.
            stored_at = min(filled_at, now)
            # Another process may have filled it under a longer TTL than this one has.
            # The near cache goes by this entry, so a near hit compares no more.
            expires_at = min(expires_at, stored_at + ttl)
            if now < expires_at:
                fields = (snapshot, stored_at, expires_at, packed, decode, cost)
                age = now - stored_at
                return _hit((answer, age, key, _entry(fields), prepared, None))
        except CodecError as error:
            self._evictions.report(
                "load_failed", "the entry is a miss and filled anew", error
            )
        return None

    def _project_whole_item(
        self, prepared: PreparedRead, loaded: Loaded, now: float
    ) -> Hit | None:
        """Return a hit made of a projection of the whole item's entry, if it is one."""
        key, projection = prepared.whole_item_key, prepared.read.projection
        if key is None or projection is None:
            return None
        whole = self._make_hit(prepared, key, loaded, now)
        return None if whole is None else _project(whole, projection)

    # --- counting ------------------------------------------------------------------

    def series_of(self, prepared: PreparedRead) -> Series:
        """Return where a read counts."""
        return self._series(prepared.read.table, prepared.call.operation)

    def _count_hit(
        self, hit: Hit, prepared: PreparedRead, seconds: float, per_block: float = 0.5
    ) -> None:
        """Count a hit.

        seconds: that it took.
        per_block: read units that it saves for each block that DynamoDB would read.
        """
        entry = hit.entry
        if entry is None:  # a batch, which counts key by key
            return
        blocks, is_estimated = entry.cost
        units = blocks * per_block
        series = self._series(prepared.read.table, prepared.call.operation)
        if series.add_store_hit(seconds, units, is_estimated=is_estimated):
            note_hot_key(series, hit.key, units, text_of_read, prepared.parameters)

    # --- refusals ------------------------------------------------------------------

    def refuse(self, reader_tags: Sequence[bytes]) -> None:
        """Serve these readers no hits until DynamoDB allows them a read again.

        Other processes of a role may have newer keys, and go on filling. Keys that were
        revoked must not be served that.
        """
        for tag in reader_tags:
            self.refused[tag] = None
        while len(self.refused) > _MOST_REFUSED:
            self.refused.pop(next(iter(self.refused)), None)

    def allow(self, prepared: PreparedRead) -> None:
        """Serve a reader hits again: DynamoDB has allowed it a read."""
        self.refused.pop(prepared.reader_tag, None)

    # --- sending a miss ------------------------------------------------------------

    def _make_ticket(
        self, prepared: PreparedRead, loaded: Loaded, now: float, store: CallStore
    ) -> ReadTicket:
        """Return the ticket of a miss, and make the read strongly consistent if useful.

        An eventually consistent read just after a write may not see it, so its answer
        could not be filled. With `reads_after_write="consistent"`, it is sent strongly
        consistent instead.
        """
        read, body = prepared.read, None
        is_consistent = read.is_consistent
        if (
            # Not while WRITING: then a consistent answer could not be filled either.
            loaded.held is Held.SETTLING
            and not is_consistent
            and self._settings.reads_after_write == "consistent"
            and not self._settings.shadow  # which changes no request
            and prepared.call.operation == read.operation  # not a key of a batch
            and read.kind in (Kind.ITEM, Kind.QUERY)
        ):
            is_consistent = True
            body = encode_body({**prepared.parameters, "ConsistentRead": True})
        return ReadTicket(prepared, loaded, now, store, is_consistent, body)

    def without_consistency(self, ticket: ReadTicket) -> ReadTicket:
        """Return the ticket of a read that is sent again as the application made it.

        DynamoDB has refused the ConsistentRead that botocache had added.
        """
        return ticket._replace(is_consistent=False, body=None)

    # --- after the call ------------------------------------------------------------

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

        unfilled: why the answer must not be filled; empty if it may be.
        length: bytes of the answer on the wire, if they are known.
        is_plain: see `encode_answer`.
        """
        read = ticket.prepared.read
        series = self._series(read.table, ticket.prepared.call.operation)
        if unfilled and unfilled != FOREIGN:  # it is no answer of DynamoDB's
            series.add_miss(None, 0.0, is_consistent=read.is_consistent)
            series.add_unfilled(unfilled)
            return
        units, cost = _consumption(ticket, answer, length)
        series.add_miss(
            perf_counter() - ticket.store.started,
            units,
            is_consistent=read.is_consistent,
            is_outdated=ticket.loaded.entry is not None and _is_outdated(ticket),
            is_on_index=read.is_on_index,
        )
        if not unfilled:
            if self.refused:
                self.allow(ticket.prepared)
            try:
                fill = self.fill_of(ticket, answer, cost, is_plain=is_plain)
            except CodecError:
                series.add_unfilled(UNENCODABLE)
                raise
            if isinstance(fill, Fill):
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

    def finish_audit(
        self,
        ticket: AuditTicket,
        answer: Answer,
        *,
        unfilled: str = "",
        length: int | None = None,
    ) -> None:
        """Count a hit that was not served, and compare it with the answer.

        The answer is not filled: see audits.py. See `finish` for the arguments.
        """
        audits = self._audits
        if audits is None:  # then there are no such tickets
            return
        per_block = audits.saved_per_block
        self._count_hit(ticket.hit, ticket.prepared, ticket.seconds, per_block)
        if unfilled and unfilled != FOREIGN:
            return
        if not per_block:
            units, _ = _consumption(ticket, answer, length)
            self.series_of(ticket.prepared).add_consumed(units)
        if not unfilled:
            audits.finish(ticket, answer)

    def fill_written(self, ticket: ReadTicket, answer: Answer, series: Series) -> None:
        """Fill what a write has left of an item.

        series: of the write.
        """
        fill = self._entry_of(ticket, answer)
        if isinstance(fill, Fill):
            self.fill(ticket.store, [fill], [series], is_late=ticket.store.can_defer)

    def written(self, ticket: ReadTicket, answer: Answer) -> tuple[bytes, float] | None:
        """Return the entry of what a write has left, and its TTL; None for none."""
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
        return Fill(prepared.key, entry, ttl, prepared.tags)

    def learn(self, ticket: ReadTicket, answer: Answer) -> bool:
        """Learn the table's key attributes; return whether the answer may be filled."""
        read, call = ticket.prepared.read, ticket.prepared.call
        if (
            self._ambiguous
            and self._is_ambiguous(call, read)
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
            place_of(call.origin, call.account, read.table_parameter[:LONGEST_ARN]),
            named,
            ticket.loaded.snapshot[TABLE_TAG],
            is_complete=is_complete,
            tags=read.tags,
        )


_entry: Callable[[tuple[object, ...]], Entry] = partial(tuple.__new__, Entry)
_hit: Callable[[tuple[object, ...]], Hit] = partial(tuple.__new__, Hit)
# Of all of their fields, in a third of the time that the classes take.


def _ignore(_key: bytes) -> None:
    """Stand in for `on_fill` if there is no near cache."""


def _project(whole: Hit, projection: Projection) -> Hit | None:
    """Return a hit with a projection of the whole item; None if it is unclear."""
    if "Item" not in whole.answer:
        # DynamoDB may refuse a nested path for this table even if the item is absent.
        return None if projection.nested else whole
    item = project(whole.answer["Item"], projection)
    return None if item is None else whole._replace(answer={"Item": item})


def _audit(
    hit: Hit, prepared: PreparedRead, loaded: Loaded, now: float, store: CallStore
) -> AuditTicket:
    """Return the ticket of a hit that is not served."""
    seconds = perf_counter() - store.started
    return AuditTicket(hit, prepared, loaded, now, store, seconds)


def note_hot_key(
    series: Series, key: bytes, units: float, text_of: TextOf, asked: object
) -> None:
    """Take note of the key of a hit that stands for several. See HotKeys.add."""
    series.add_hot_key(key.hex(), STORE_SAMPLED, STORE_SAMPLED * units, text_of, asked)


def why_bypassed(call: Call) -> str:
    """Return why `prepare` has returned None, as it counts."""
    if call.mode is Mode.BYPASS:
        return "bypass"
    return "no_scope" if call.scope is None else "off"


def _is_outdated(miss: ReadTicket) -> bool:
    """Return whether the store had an entry of this read that a write has evicted."""
    try:
        header = decode_header(miss.loaded.entry or b"")
    except CodecError:  # it was reported when it was loaded
        return False
    return header.snapshot != miss.loaded.snapshot


def _consumption(
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
