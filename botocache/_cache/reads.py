"""Reads: prepare -> load -> hit or ticket -> fill.

The only place that loads for a read. `load` and `load_many` apply the same rules to one
read and to many. Methods may raise StoreError and CodecError; the caller turns them
into a miss that is not filled.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from botocache._cache.batches import (
    AnswersByKey,
    answers_by_key,
    encode_body,
    hit_of,
    merge_hits,
    remaining_body,
    zero_capacity,
)
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
from botocache._cache.prepare import Call, PreparedRead, TableCaching, prepare
from botocache._cache.services import CacheServices
from botocache._cache.tickets import AuditTicket, BatchTicket, Hit, Lookup, ReadTicket
from botocache._coherence import Held, Loaded, may_fill, may_serve
from botocache._dynamodb.plans import (
    TABLE_TAG,
    BatchRead,
    Kind,
    Read,
    last_key_attributes,
)
from botocache._dynamodb.projections import Projection, project
from botocache._dynamodb.types import Answer, Body
from botocache._errors import CodecError, pass_on
from botocache._settings.tables import caching_mode
from botocache.stores.protocol import Fill

_MOST_TABLES = 10_000
"""Kinds of reads of tables whose policy is kept; at one more, all are found anew."""

_MOST_REFUSED = 10_000
"""Readers that DynamoDB has refused; at one more, the oldest is forgotten."""

_DROPPED_FROM_ANSWERS = ("ResponseMetadata", "ConsumedCapacity")


class Reads:
    """The reads of one cache.

    on_fill: called with the key of each entry that this process fills.
    observer: hears of hits; None if there is none.
    """

    def __init__(self, services: CacheServices) -> None:
        self._codec: Final = services.codec
        self._settings: Final = services.settings
        self._counters: Final = services.counters
        self._evictions: Final = services.evictions
        self._key_schemas: Final = services.key_schemas
        self._ambiguous: Final = services.key_schemas.ambiguous
        self._pending: Final = services.evictions.pending
        self._audits: Final = services.audits
        self._caching: Final[dict[tuple[str, str, Kind], TableCaching]] = {}
        self._refused: Final[dict[bytes, None]] = {}
        self.on_fill: Callable[[bytes], None] = _ignore
        self.observer: CallObserver | None = None

    # --- before the call -----------------------------------------------------------

    def prepare(self, call: Call, parameters: Body, read: Read) -> PreparedRead | None:
        """Return the prepared read; None if the read must bypass the cache."""
        # A policy is found by matching patterns: too slow for each call.
        place = (read.table, call.operation, read.kind)
        caching = self._caching.get(place)
        if caching is None:
            if len(self._caching) >= _MOST_TABLES:
                self._caching.clear()
            policy = self._settings.policy(read.table)
            caching = self._caching[place] = TableCaching(
                policy,
                caching_mode(policy, call.operation, read.kind),
                self._settings.precise_index_eviction,
            )
        is_coarse = bool(self._ambiguous) and self._is_ambiguous(call, read)
        return prepare(call, parameters, read, caching, is_coarse=is_coarse)

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
            self._counters.add("bypassed")
        if (
            schema is not None
            and isinstance(lookup, ReadTicket)
            and lookup.table_generation != schema.generation
        ):
            # The table was evicted, so it may have been created anew with other key
            # attributes. Then the read's tags are wrong, and no write would evict it.
            self._key_schemas.forget(schema)
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
            self._counters.add("bypassed")
            return None
        # Before the look-up: an entry that expires during it is good for this call.
        now = store.now()
        loaded = store.load(prepared.key, prepared.tags)
        hit = None
        is_open = not self._refused or prepared.reader_tag not in self._refused
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
        if self._audits is not None and self._is_due(prepared):
            return AuditTicket(hit, prepared, loaded, now, store)
        self._counters.add("hits")
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
            self._counters.add("bypassed", len(reads))
            return lookups
        by_place = {
            at: read
            for at, read in enumerate(reads)
            if read is not None and not self._pending.includes(read.tags)
        }
        now = store.now()
        wholes: dict[int, PreparedRead] = {}
        loads = [(read.key, read.tags) for read in by_place.values()]
        results = store.load_many(loads) if loads else []
        for (at, read), loaded in zip(by_place.items(), results, strict=True):
            if self._refused and read.reader_tag in self._refused:
                lookups[at] = self._make_ticket(read, loaded, now, store)
                continue
            hit = self._make_hit(read, read.key, loaded, now)
            lookups[at] = hit or self._make_ticket(read, loaded, now, store)
            if hit is not None and self._is_due(read):
                lookups[at] = AuditTicket(hit, read, loaded, now, store)
            if hit is None and read.whole_item_key is not None and read.may_hit:
                wholes[at] = read
        loads = [(read.whole_item_key or b"", read.tags) for read in wholes.values()]
        results = store.load_many(loads) if loads else []
        for (at, read), loaded in zip(wholes.items(), results, strict=True):
            hit = self._project_whole_item(read, loaded, now)
            lookups[at] = hit or lookups[at]
            if hit is not None and self._is_due(read):
                lookups[at] = AuditTicket(hit, read, loaded, now, store)
        hits = sum(isinstance(lookup, Hit) for lookup in lookups)
        self._counters.add("hits", hits)
        self._counters.add("bypassed", lookups.count(None))
        return lookups

    def begin_batch(
        self, call: Call, parameters: Body, batch: BatchRead, store: CallStore
    ) -> Hit | BatchTicket | None:
        """Return a hit if every key is one; else the ticket of the batch."""
        reads = [read for part in batch.reads.values() for read in part]
        by_read = iter(
            self.load_many(
                [self.prepare(call, parameters, read) for read in reads], store
            )
        )
        # In the order of `reads`, which load_many keeps.
        lookups = {
            table: tuple(islice(by_read, len(part)))
            for table, part in batch.reads.items()
        }
        if self.observer is not None:
            for part, found in zip(batch.reads.values(), lookups.values(), strict=True):
                hits = [each for each in found if isinstance(each, Hit)]
                if hits:
                    age = max(each.age for each in hits)
                    table = part[0].table
                    self.observer.on_hit(table, call.operation, "store", age, len(hits))
        hit = hit_of(batch, lookups)
        if hit is not None:
            return hit
        body = remaining_body(parameters, lookups)
        return BatchTicket(call, batch, lookups, store, body)

    def _is_due(self, prepared: PreparedRead) -> bool:
        """Return whether a hit is audited instead of served."""
        return self._audits is not None and self._audits.is_due(prepared.key)

    def _make_hit(
        self, prepared: PreparedRead, key: bytes, loaded: Loaded, now: float
    ) -> Hit | None:
        """Return a hit made of an entry, if the entry may be served."""
        if loaded.entry is None or not prepared.may_hit:
            return None
        try:
            header = decode_header(loaded.entry)
            if not may_serve(header.snapshot, loaded.snapshot, header.expires_at, now):
                return None
            if header.stored_at - now > CLOCK_SKEW:
                return None
            packed = self._codec.open(key, header)
            answer, decode = decode_answer(packed)
            policy = prepared.policy
            is_absent = prepared.read.kind is Kind.ITEM and "Item" not in answer
            ttl = policy.negative_ttl if is_absent else policy.ttl
            # Another process may be ahead of this one by its estimate of the time.
            stored_at = min(header.stored_at, now)
            # Another process may have filled it under a longer TTL than this one has.
            # The near cache goes by this entry, so a near hit compares no more.
            expires_at = min(header.expires_at, stored_at + ttl)
            if now < expires_at:
                entry = Entry(header.snapshot, stored_at, expires_at, packed, decode)
                return Hit(answer, now - stored_at, key, entry, prepared)
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

    # --- refusals ------------------------------------------------------------------

    def refuse(self, reader_tags: Sequence[bytes]) -> None:
        """Serve these readers no hits until DynamoDB allows them a read again.

        Other processes of a role may have newer keys, and go on filling. Keys that were
        revoked must not be served that.
        """
        for tag in reader_tags:
            self._refused[tag] = None
        while len(self._refused) > _MOST_REFUSED:
            self._refused.pop(next(iter(self._refused)), None)

    def _allow(self, prepared: PreparedRead) -> None:
        self._refused.pop(prepared.reader_tag, None)

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

    def finish(self, ticket: ReadTicket, answer: Answer) -> None:
        """Learn from the answer of a read, and fill it if the hold-off allows that."""
        if self._refused:
            self._allow(ticket.prepared)
        # First: the answer may show that the table was created anew. Then the tags are
        # wrong, and it must not be filled.
        if not self._learn(ticket, answer):
            return
        if may_fill(ticket.loaded.held, is_consistent=ticket.is_consistent):
            self.fill(ticket.store, self.fills_of(ticket, answer))
        else:
            self._counters.add("held")

    def finish_audit(
        self, ticket: AuditTicket, answer: Answer, *, is_kept: bool
    ) -> None:
        """Count a hit that was not served; compare it with the answer if `is_kept`.

        The answer is not filled: see audits.py.
        """
        self._counters.add("hits")
        if is_kept and self._audits is not None:
            self._audits.finish(ticket, answer)

    def _count_batch(self, ticket: BatchTicket) -> None:
        """Count the keys of a batch that DynamoDB had to answer."""
        lookups = [lookup for part in ticket.lookups.values() for lookup in part]
        misses = sum(isinstance(lookup, ReadTicket) for lookup in lookups)
        self._counters.add("misses", misses)
        if self._audits is not None:
            audited = sum(isinstance(lookup, AuditTicket) for lookup in lookups)
            self._counters.add("hits", audited)

    def finish_batch(
        self, ticket: BatchTicket, answer: Answer, *, is_kept: bool
    ) -> None:
        """Put the hits of a batch into its answer.

        If `is_kept`, fill the misses, and compare the hits that were not served.
        """
        self._count_batch(ticket)
        # Any answer needs the hits, which were not requested; another plugin's, too,
        # which is not kept.
        if "Error" in answer:
            return
        answers = answers_by_key(ticket.batch, ticket.lookups, answer)
        # First: if something fails below, the hits must be in the answer already.
        merge_hits(ticket.batch, ticket.lookups, answer, answers)
        if not is_kept:
            return
        fills: list[Fill] = []
        audited: list[tuple[AuditTicket, Answer]] = []
        for lookup, item_answer in _answered(ticket, answers):
            if isinstance(lookup, AuditTicket):
                audited.append((lookup, item_answer))
                continue
            miss = lookup
            if self._refused:
                self._allow(miss.prepared)
            if not self._learn(miss, item_answer):
                continue
            if may_fill(miss.loaded.held, is_consistent=miss.is_consistent):
                fills += self.fills_of(miss, item_answer)
            else:
                self._counters.add("held")
        self.fill(ticket.store, fills)
        if self._audits is not None:
            for audit, item_answer in audited:
                self._audits.finish(audit, item_answer)

    def fill(self, store: CallStore, fills: Sequence[Fill]) -> None:
        """Fill entries, and tell the near cache which."""
        if not fills:
            return
        try:
            store.fill(fills)
        except Exception as error:
            pass_on(error)
            self._evictions.report("fill_failed", "an answer is not cached", error)
        else:
            self._counters.add("fills", len(fills))
        finally:
            # After a failure, too: the entries may be in the store all the same.
            for fill in fills:
                self.on_fill(fill.key)

    def fills_of(self, ticket: ReadTicket, answer: Answer) -> list[Fill]:
        """Return the fill of an answer in a list; an empty one if it is not cached."""
        prepared, began = ticket.prepared, ticket.began
        read, policy = prepared.read, prepared.policy
        is_absent = read.kind is Kind.ITEM and "Item" not in answer
        ttl = policy.negative_ttl if is_absent else policy.ttl
        if ttl <= 0.0:
            return []
        # With the snapshot from before the call: if a write began or ended since, no
        # load will serve the entry.
        kept = {k: v for k, v in answer.items() if k not in _DROPPED_FROM_ANSWERS}
        entry = self._codec.encode(
            prepared.key,
            encode_answer(kept),
            ticket.loaded.snapshot,
            began,
            began + ttl,
        )
        if read.kind is Kind.SCAN and len(entry) > policy.scan_size_limit:
            # One pass over a large table must not push all other entries out.
            return []
        return [Fill(prepared.key, entry, ttl, prepared.tags)]

    def _learn(self, ticket: ReadTicket, answer: Answer) -> bool:
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


def _ignore(_key: bytes) -> None:
    """Stand in for `on_fill` if there is no near cache."""


def _project(whole: Hit, projection: Projection) -> Hit | None:
    """Return a hit with a projection of the whole item; None if it is unclear."""
    if "Item" not in whole.answer:
        # DynamoDB may refuse a nested path for this table even if the item is absent.
        return None if projection.nested else whole
    item = project(whole.answer["Item"], projection)
    return None if item is None else whole._replace(answer={"Item": item})


def _answered(
    ticket: BatchTicket, answers: AnswersByKey
) -> Iterator[tuple[ReadTicket | AuditTicket, Answer]]:
    """Yield what DynamoDB answered of a batch, with its answers."""
    for table, by_index in answers.items():
        for index, answer in (by_index or {}).items():
            lookup = ticket.lookups[table][index]
            if isinstance(lookup, (ReadTicket, AuditTicket)):
                yield lookup, answer
