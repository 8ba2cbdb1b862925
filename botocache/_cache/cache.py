"""The cache of one installation: its public methods, and the course of one call.

Independent of botocore. The adapter calls `begin` before a request is sent, then
`finish` or `fail`. Failure policy: caching never fails a call. These three report an
error and let the call go on as without a cache. The one exception is the EvictionError
of `begin`, which the user asked for by a setting. Reads are in reads.py,
fills.py and batch_reads.py, writes in writes.py.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Final

import msgspec

from botocache._cache.awaited import in_thread
from botocache._cache.batch_reads import BatchReads
from botocache._cache.batches import without_hits
from botocache._cache.call_store import CallStore
from botocache._cache.coalescing import Coalescing, land, note_answer
from botocache._cache.evictions import BEGIN_FAILED
from botocache._cache.fills import Fills
from botocache._cache.invalidation import (
    Invalidation,
    check_against,
    checked_key,
    checked_table,
)
from botocache._cache.item_writes import PLAIN_WRITES
from botocache._cache.key_schemas import LONGEST_ARN, KeyRecall, place_of
from botocache._cache.leases import LeasedTicket, leases_of
from botocache._cache.observer import CallObserver
from botocache._cache.prepare import Call, PreparedRead, reader_tag
from botocache._cache.preparers import PLAIN_READ, Preparers
from botocache._cache.reads import Reads
from botocache._cache.refusals import Refusals
from botocache._cache.services import (
    CacheServices,
    CountsPoster,
    NearTier,
    StreamCompanion,
    services_of,
)
from botocache._cache.stale import StaleAnswers, reads_of
from botocache._cache.tickets import (
    AuditTicket,
    BatchTicket,
    BypassTicket,
    DescribeTicket,
    Hit,
    KnownHits,
    Lookup,
    ReadTicket,
    StaleHit,
    Ticket,
    WriteTicket,
)
from botocache._cache.writes import Writes
from botocache._counting.counters import UNKNOWN
from botocache._counting.stats import Stats
from botocache._digests import EVERYTHING_DIGEST
from botocache._dynamodb.operations import may_write, plan
from botocache._dynamodb.plans import BatchRead, Bypass, Describe, Read, Write
from botocache._dynamodb.read_units import reads_by_table, units_by_table
from botocache._dynamodb.refusals import reads_items, refused_tables
from botocache._dynamodb.tags import Tag, table_tag, tag_digest
from botocache._dynamodb.types import Answer, Body
from botocache._dynamodb.values import table_name
from botocache._dynamodb.writes import item_tags
from botocache._errors import EvictionError, StoreError, assert_never, pass_on
from botocache._forks import is_renewed, renew
from botocache._log import log, log_once
from botocache._settings.load import Settings
from botocache.stores.protocol import Store


class Cache:
    """The cache of one installation. Made by `botocache.install`; safe for threads.

    store: where entries and generations live. Processes that open the same one share
        them.
    settings: of the installation. Raises ConfigError if its keys cannot be used.
    may_answer_stale: whether `find_stale` may ever return an answer.
    near: makes the near cache in front of this one; None for no near cache.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        near: Callable[[CacheServices], NearTier] | None = None,
    ) -> None:
        self.settings: Final = settings
        self.poster: CountsPoster | None = None
        self.follower: StreamCompanion | None = None
        self._services: Final = services_of(store, settings)
        self._store: Final = self._services.store
        self._evictions: Final = self._services.evictions
        services, refusals = self._services, Refusals()
        preparers = Preparers(settings, services.key_schemas)
        self._preparers: Final = preparers
        self._refusals: Final = refusals
        self._fills: Final = Fills(services, preparers, refusals)
        self._reads: Final = Reads(services, preparers, refusals)
        self.coalescing: Final = Coalescing(
            refusals,
            self._reads.serve_landed,
            services.brakes,
            is_on=settings.coalesce and not settings.shadow,
        )
        self.leases: Final = leases_of(services, refusals, self._reads.look_again)
        # Returns what a miss comes to, having waited in this thread if that helps.
        self.settle: Callable[[ReadTicket], Hit | Ticket | None]
        self.settle = self.coalescing.wait
        if self.leases is not None:
            self.leases.on_found = land
            self.settle = self._settle_with_lease
        self._batches: Final = BatchReads(
            services, preparers, refusals, self._reads, self._fills
        )
        self._writes: Final = Writes(services, preparers, self._fills)
        self._stale: Final = StaleAnswers(services, refusals)
        self.may_answer_stale: Final = self._stale.may_be
        if self.may_answer_stale:
            self.coalescing.find_stale = self._answer_stale
            if self.leases is not None:
                self.leases.find_stale = self._answer_stale
        # In shadow mode nothing is served, and so nothing is remembered.
        has_near = near is not None and not settings.shadow
        self.near: Final = near(self._services) if near and has_near else None
        if self.near is not None:
            # Set late: the near cache itself is made of this cache's services.
            self._fills.on_fill = self.near.on_fill
            if self._services.audits is not None:
                self._services.audits.outdate = self.near.on_fill
        self._observer: CallObserver | None = None

    def __repr__(self) -> str:
        return f"<Cache {self._store!r}, {self.stats()!r}>"

    # --- for the application -------------------------------------------------------

    def stats(self) -> Stats:
        """Return the counts of this process since the cache was installed."""
        # See Bounding. By its class first: a store of the user's is asked for no more
        # than its verbs.
        if hasattr(type(self._store), "deliver_until"):
            settle = getattr(self._store, "deliver_until", None)
            if settle is not None:  # fills count when the server has confirmed them
                settle(monotonic() + self._services.settings.timeout)
        stats = self._services.counters.read(undelivered=len(self._evictions.pending))
        if self.follower is None:
            return stats
        return replace(stats, streams=self.follower.stream_stats())

    def invalidate(
        self, table: str, key: Mapping[str, object] | None = None
    ) -> Invalidation:
        """Evict a table, or one item of it, in all processes that share the store.

        Call it after a write that went around botocache. If the store fails, botocache
        retries the eviction; until it succeeds, this process serves none of its
        entries. Return what was evicted.

        table: its name or ARN.
        key: every key attribute of the item and no other, as a client
            (`{"id": {"S": "7"}}`) or a resource (`{"id": "7"}`) takes it. None evicts
            the whole table.

        Raises ValueError if there can be no such table or key. botocache learns the key
        attributes of tables from calls. Where it knows them, other names or types are a
        ValueError. Raises TypeError if `table` is no text, or `key` no mapping.
        """
        if not is_renewed():
            renew()
        name = checked_table(table)
        wire = None if key is None else checked_key(key)
        # A failed look-up must not keep the eviction from the store: two CallStores.
        known = self._services.key_schemas.types_of(CallStore(self._store), name)
        if wire is None:
            tags: Iterable[Tag] = [table_tag(name)]
        else:
            check_against(name, wire, known)
            tags = item_tags(name, wire)
        is_delivered = self._evictions.evict_tags(
            tuple(map(tag_digest, tags)), CallStore(self._store)
        )
        return Invalidation(name, wire, bool(known), is_delivered)

    def clear(self) -> None:
        """Evict everything, in all processes that share the store; delete entries."""
        if not is_renewed():
            renew()
        self.forget()
        store = CallStore(self._store)
        # Before the deletion: if that fails half-way, no entry that is left is served.
        if not self._evictions.evict_tags((EVERYTHING_DIGEST,), store):
            return  # the store has failed; a second request may take its timeout again
        try:
            self._store.clear()
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "clear_failed",
                "everything was evicted, but entries could not be deleted; they expire",
                error,
            )

    def close(self) -> None:
        """Close the store's files and connections. The next call opens them again.

        That call also retries the evictions that are still pending. To stop caching,
        use `botocache.uninstall`.
        """
        if not is_renewed():
            renew()
        self._evictions.pending.stop()  # first: its thread would open the store again
        self.rest(is_closing=True)
        if self._observer is not None:
            self._observer.on_close()
        self.forget()
        try:
            self._store.close()
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "close_failed",
                "the store could not be closed; the end of the process closes it",
                error,
            )

    async def ainvalidate(
        self, table: str, key: Mapping[str, object] | None = None
    ) -> Invalidation:
        """Do what `invalidate` does, and keep the event loop free meanwhile."""
        return await in_thread(self.invalidate, table, key)

    async def aclear(self) -> None:
        """Do what `clear` does, and keep the event loop free meanwhile."""
        await in_thread(self.clear)

    async def aclose(self) -> None:
        """Do what `close` does, and keep the event loop free meanwhile."""
        await in_thread(self.close)

    def forget(self) -> None:
        """Clear the near cache. The store keeps its entries."""
        if self.near is not None:
            self.near.clear()

    def rest(self, *, is_closing: bool = False) -> None:
        """Post what is left to post of this process's counts; follow no more streams.

        The next call begins with both again.
        """
        if self.follower is not None:
            self.follower.rest()
        if self.poster is not None:
            self.poster.rest(is_closing=is_closing)

    @property
    def services(self) -> CacheServices:
        """What the parts of this cache have in common, for those who observe it."""
        return self._services

    # --- for the adapter and the near cache ----------------------------------------

    def observe(self, observer: CallObserver) -> None:
        """Tell an observer of the calls from now on. The near cache has its own."""
        self._observer = self._reads.observer = observer

    def report_near(self, error: Exception) -> None:
        """Report that the near cache failed; botocore handles the call."""
        self._evictions.report(
            "near_failed", "botocore and the hooks handle the call", error
        )

    def begin(
        self,
        call: Call,
        parameters: Body,
        started: float | None = None,
        known: KnownHits | None = None,
        skipping: bool = False,  # noqa: FBT001, FBT002 - by keyword it would take longer
    ) -> Hit | Ticket | None:
        """Begin a call before it is sent.

        started: when the call began, by `perf_counter`; None for now.
        known: of a batch: hits that the near cache has. Other keys are left.
        skipping: do without the store, as after a failure. Then nothing here waits.

        Return a hit, which holds the answer; or a ticket for `finish` or `fail`; or
        None if the call does not concern the cache. Raise EvictionError if a write
        must be refused, and nothing else.
        """
        # First: two processes must not draw the same generations.
        if not is_renewed():
            renew()
        if self.poster is not None:
            self.poster.note_call()
        if self.follower is not None:
            self.follower.note_call()
        # One for both attempts: the second one must skip a store that has just failed.
        store = CallStore(self._store, started)
        if skipping:
            self._skip(store)
        outcome: Hit | Ticket | None
        try:
            prepared = None
            if call.operation == "GetItem" and len(parameters) == PLAIN_READ:
                # The common read, without a plan: it takes half of the time.
                prepared = self._preparers.prepare_item(call, parameters)
            if prepared is not None:
                outcome = self._reads.load(prepared, store)
            else:
                outcome = self._begin(call, parameters, store, known)
        except EvictionError:
            raise
        except Exception as error:
            pass_on(error)  # the call is not sent, so nothing is to be evicted
            outcome = self._begin_unplanned(call.operation, error, store, parameters)
        if outcome is None:
            return _bypass(call, parameters, store)
        return outcome

    def begin_unplanned(
        self, operation: str, error: Exception, *, skipping: bool = False
    ) -> WriteTicket | None:
        """Begin a call that could not be planned, because of `error`.

        A read is not cached. A write evicts everything, before and after the call.
        Raises EvictionError if that fails and the write must be refused.

        skipping: see `begin`.
        """
        if not is_renewed():
            renew()
        store = CallStore(self._store)
        if skipping:
            self._skip(store)
        return self._begin_unplanned(operation, error, store)

    def _skip(self, store: CallStore) -> None:
        reason = StoreError("no thread was free to ask the store within its timeout")
        store.skip(reason)
        self._evictions.report(*BEGIN_FAILED, reason)

    def load(
        self,
        prepared: PreparedRead,
        started: float | None = None,
        skipping: bool = False,  # noqa: FBT001, FBT002 - by keyword it would take longer
    ) -> Lookup | BypassTicket:
        """Load a read that was prepared by an earlier call. Never raises.

        started: when the call began, by `perf_counter`; None for now.
        skipping: see `begin`.
        """
        if not is_renewed():
            renew()
        if self.poster is not None:
            self.poster.note_call()
        if self.follower is not None:
            self.follower.note_call()
        store = CallStore(self._store, started)
        if skipping:
            self._skip(store)
        try:
            outcome = self._reads.load_again(prepared, store)
        except Exception as error:
            pass_on(error)
            self._evictions.report(*BEGIN_FAILED, error)
            self._reads.series_of(prepared).add_bypass("failed")
            outcome = None
        if outcome is None:
            return _bypass(prepared.call, prepared.parameters, store)
        return outcome

    def _settle_with_lease(self, ticket: ReadTicket) -> Hit | Ticket | None:
        """Do what `settle` does, with leases.

        It waits for a read of this process first. Of these, only the one that asks
        competes with other processes for the lease.
        """
        outcome: Lookup = self.coalescing.wait(ticket)
        leases = self.leases
        if (
            leases is not None
            and isinstance(outcome, ReadTicket)
            and self.competes(outcome)
        ):
            outcome = leases.settle(outcome)
        return self.bypassed(ticket) if outcome is None else outcome

    def competes(self, ticket: ReadTicket) -> bool:
        """Return whether a read that is about to ask takes a lease first.

        ticket: as coalescing has returned it.
        """
        return self.leases is not None and (
            bool(ticket.flight) or not self.coalescing.is_on
        )

    def bypassed(self, ticket: ReadTicket) -> BypassTicket | None:
        """Return the ticket of a miss that must not be filled any more."""
        call, parameters = ticket.prepared[:2]
        return _bypass(call, parameters, ticket.store)

    def finish(  # noqa: C901, PLR0912, PLR0913 - a case for each ticket; each says one thing of the end
        self,
        ticket: Ticket,
        answer: Answer,
        *,
        succeeded: bool,
        certain: bool,
        unfilled: str = "error",
        length: int | None = None,
        is_plain: bool = False,
    ) -> None:
        """End a call that DynamoDB answered. Raises interruptions alone.

        answer: as botocore parsed it. If the call was sent with the ticket's body, it
            is changed into the answer to the application's own request.
        succeeded: DynamoDB did not answer with an error.
        certain: no earlier attempt of this call can still be carried out.
        unfilled: why the answer of a read that did not succeed is not filled.
        length: bytes of the answer on the wire, if they are known.
        is_plain: see `encode_answer`.
        """
        reason = "" if succeeded else unfilled
        try:
            store = ticket.store
            if store.can_defer:
                store.restart()
            match ticket:
                case ReadTicket():
                    self._fills.finish(
                        ticket,
                        answer,
                        unfilled=reason,
                        length=length,
                        is_plain=is_plain,
                    )
                case AuditTicket():
                    self._reads.finish_audit(
                        ticket, answer, unfilled=reason, length=length
                    )
                case BatchTicket():
                    self._batches.finish(
                        ticket,
                        answer,
                        unfilled=reason,
                        length=length,
                        is_plain=is_plain,
                    )
                case BypassTicket():
                    if succeeded:
                        self._count_consumed(ticket, answer)
                case WriteTicket():
                    # After an error, too: DynamoDB may have carried the write out.
                    self._writes.finish(
                        ticket, answer, succeeded=succeeded, certain=certain
                    )
                    ticket.open.tags = ()
                case DescribeTicket():
                    if succeeded:
                        self._services.key_schemas.learn_described(
                            ticket.store, ticket.place, ticket.generation, answer
                        )
                case _:
                    assert_never(ticket)
        except BaseException as error:
            self._put_right(ticket, error)
        finally:
            kind = type(ticket)
            if (kind is ReadTicket or kind is LeasedTicket) and ticket.flight:  # type: ignore[union-attr]  # those two have one
                ticket.flight.end(answered=succeeded)  # type: ignore[union-attr]  # as above
            if kind is LeasedTicket:
                ticket.lease.end(ticket.store, is_answered=succeeded)  # type: ignore[union-attr]  # as above
        if self._observer is not None:
            self._observer.on_call()

    def refuse(self, ticket: Ticket, answer: Answer) -> None:
        """Evict what the scope of a refused read is served of the read's tables.

        Call it after `finish`. Raises interruptions alone.

        answer: shows that DynamoDB refused the call, or a part of it; see `is_refusal`.
        """
        try:
            tags = _reader_tags(ticket, answer)
            if tags:
                log_once(log.info, "read_refused", _REFUSED)
                self._refusals.add(tags)
                # The hold-off is of use: a host of DynamoDB that has not heard yet may
                # allow the next read, whose answer must not be filled.
                self._evictions.evict_tags(tags, ticket.store)
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "finish_failed", "a refused read has ended no hits", error
            )

    def fail(self, ticket: Ticket) -> None:
        """End a call without an answer; it may have been carried out."""
        self.finish(ticket, {}, succeeded=False, certain=False)

    def _put_right(self, ticket: Ticket, error: BaseException) -> None:
        """Report that `finish` failed; or pass on what has interrupted it."""
        # The second eviction may not have been reached.
        if isinstance(ticket, WriteTicket):
            self._evictions.pending.add(ticket.open.tags)
            ticket.open.tags = ()
        own = pass_on(error)
        if isinstance(ticket, WriteTicket):
            self._evictions.make_pending((EVERYTHING_DIGEST,), own)
        self._evictions.report(
            "finish_failed", "the answer is returned and not cached", own
        )

    def find_stale(self, ticket: Ticket) -> Hit | None:
        """Return what may answer a call that DynamoDB has refused; None for nothing.

        Never raises, and never waits. See stale.py.
        """
        try:
            return self._stale.find(ticket)
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "load_failed",
                "DynamoDB's refusal stands, without a stale answer",
                error,
            )
            return None

    def note_answer(self, ticket: Ticket, *, is_refused: bool) -> None:
        """Note an answer with an error, for other reads that wait for this one.

        is_refused: `find_stale` may answer it, as far as DynamoDB is concerned.
        """
        if isinstance(ticket, ReadTicket):
            note_answer(ticket, is_refused=is_refused)

    def _answer_stale(self, ticket: ReadTicket) -> StaleHit | None:
        """Return the stale answer of a read that is not sent, if it has one; count it.

        ticket: of a read that has waited for another one, which DynamoDB has refused.
        """
        hit = self.find_stale(ticket)
        if hit is None:
            return None
        # Those who wait for this one are answered likewise. Before `finish`, which ends
        # its flight and wakes them.
        note_answer(ticket, is_refused=True)
        self.finish(ticket, {}, succeeded=False, certain=True, unfilled="not_sent")
        self.count_stale(ticket, hit)
        return tuple.__new__(StaleHit, hit)

    def count_stale(self, ticket: Ticket, hit: Hit) -> None:
        """Count a call that `find_stale` has found the answer of. Never raises."""
        try:
            log_once(log.warning, "answered_stale", _ANSWERED_STALE)
            operation, _ = _tables_of(ticket)
            for table, reads in reads_of(ticket).items():
                series = self._services.counters.series(table, operation)
                series.add_answered_stale(reads)
                if self._observer is not None:
                    self._observer.on_stale(table, operation, hit.age, reads)
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "finish_failed", "a stale answer is not counted", error
            )

    def without_additions(self, ticket: ReadTicket | WriteTicket) -> Ticket:
        """Return the ticket of a call that is sent again with its own body.

        For a call whose first attempt DynamoDB refused because of what botocache had
        added to the request.
        """
        if isinstance(ticket, WriteTicket):
            return self._writes.without_images(ticket)
        return self._reads.without_consistency(ticket)

    # --- planning ------------------------------------------------------------------

    def _begin(  # noqa: PLR0911 - one for each kind of plan
        self,
        call: Call,
        parameters: Body,
        store: CallStore,
        known: KnownHits | None,
    ) -> Hit | Ticket | None:
        if call.operation in PLAIN_WRITES:
            ticket = self._writes.begin_plain(call, parameters, store)
            if ticket is not None:
                return ticket
        key_schemas = self._services.key_schemas
        recall = KeyRecall(key_schemas, store, call)
        left = None if known is None else without_hits(parameters, known)
        planned = plan(call.operation, left or parameters, recall.keys_of)
        match planned:
            case Read():
                schema = None
                if planned.rests_on_schema:
                    # Its generation is compared with the load's: the table may be
                    # evicted in between.
                    schema = recall.schemas[planned.table_parameter]
                return self._reads.begin(call, parameters, planned, store, schema)
            case BatchRead():
                outcome = self._batches.begin(call, parameters, planned, store, known)
                if outcome is None:
                    self._count_bypass(call.operation, parameters, "uncacheable")
                return outcome
            case Write():
                return self._writes.begin(call, parameters, planned, recall, store)
            case Describe():
                # Before the call: if the table is evicted meanwhile, the schema is
                # filled under an old generation, and no process uses it.
                place = place_of(call.origin, call.account, planned.table[:LONGEST_ARN])
                generation = key_schemas.load_generation(store, place)
                return DescribeTicket(place, generation, store)
            case Bypass():
                self._count_bypass(call.operation, parameters, "uncacheable")
                return None
            case _:
                return assert_never(planned)

    def _begin_unplanned(
        self,
        operation: str,
        error: Exception,
        store: CallStore,
        parameters: Body | None = None,
    ) -> WriteTicket | None:
        self._evictions.report(*BEGIN_FAILED, error)
        if not may_write(operation):
            self._count_bypass(operation, parameters, "failed")
            return None
        return self._writes.begin_unplanned(operation, store)

    # --- counting ------------------------------------------------------------------

    def count_throttled(self, ticket: Ticket) -> None:
        """Count an answer that refused a call for lack of capacity; never raises.

        A table whose read was refused is braked.
        """
        try:
            operation, tables = _tables_of(ticket)
            # Writes have a capacity of their own.
            is_read = not isinstance(ticket, (WriteTicket, DescribeTicket))
            for table in tables:
                self._services.counters.series(table, operation).add_throttled()
                if is_read:
                    self._services.brakes.brake(table, ticket.store.now())
        except Exception as error:
            pass_on(error)  # of a request that was not understood

    def _count_bypass(
        self, operation: str, parameters: Body | None, reason: str
    ) -> None:
        """Count a read that is not planned, once for each key that it names."""
        if not reads_items(operation):
            return
        try:
            reads = reads_by_table(operation, parameters or {})
        except Exception as error:
            pass_on(error)  # a request that DynamoDB will refuse
            reads = {UNKNOWN: 1}
        for table, number in reads.items():
            series = self._services.counters.series(table, operation)
            series.add_bypass(reason, number)

    def _count_consumed(self, ticket: BypassTicket, answer: Answer) -> None:
        operation = ticket.call.operation
        try:
            units = units_by_table(operation, ticket.parameters, answer)
        except Exception as error:
            pass_on(error)  # an answer that is not DynamoDB's
            return
        for table, number in units.items():
            self._services.counters.series(table, operation).add_consumed(number)


_REFUSED = (
    "DynamoDB has refused a read for its credentials; what its scope was served of the "
    "table has ended in all processes that share the store. Said once"
)


_ANSWERED_STALE = (
    "DynamoDB has refused a read, or did not answer it, and an entry over its TTL has "
    "answered in its place, as stale_if_throttled allows. Said once"
)


def _bypass(call: Call, parameters: Body, store: CallStore) -> BypassTicket | None:
    """Return the ticket of a call that is not cached; None if it reads no items."""
    if not reads_items(call.operation):
        return None
    return BypassTicket(call, parameters, store)


def _tables_of(ticket: Ticket) -> tuple[str, Iterable[str]]:
    """Return the operation of a call and the names of the tables that it concerns."""
    match ticket:
        case ReadTicket() | AuditTicket():
            return ticket.prepared.call.operation, (ticket.prepared.read.table,)
        case BatchTicket():
            return ticket.call.operation, map(table_name, _sent_tables(ticket))
        case BypassTicket(call, parameters):
            return call.operation, reads_by_table(call.operation, parameters)
        case WriteTicket():
            tables = dict.fromkeys(tag.table or UNKNOWN for tag in ticket.write.tags)
            return ticket.operation, tables
        case DescribeTicket():
            return "", ()
        case _:
            return assert_never(ticket)


def _sent_tables(ticket: BatchTicket) -> list[str]:
    """Return the TableNames that were sent: of the others all keys were hits."""
    return [
        table
        for table, lookups in ticket.lookups.items()
        if not all(isinstance(lookup, Hit) for lookup in lookups)
    ]


def _reader_tags(ticket: Ticket, answer: Answer) -> tuple[bytes, ...]:
    """Return the readers' tags of a refused read; none for other calls.

    A refused write says nothing of reads.
    """
    match ticket:
        case ReadTicket() | AuditTicket():
            return (ticket.prepared.reader_tag,)
        case BatchTicket():
            tables = set(map(table_name, _sent_tables(ticket)))
        case BypassTicket(call, parameters):
            tables = refused_tables(call.operation, parameters, answer)
        case WriteTicket() | DescribeTicket():
            return ()
        case _:
            return assert_never(ticket)
    scope = ticket.call.scope
    if scope is None:  # its answers are served to no call
        return ()
    return tuple(reader_tag(scope, table) for table in tables)


def decode_body(body: bytes) -> Body:
    """Return the body of a request. Raises ValueError if it is not JSON."""
    try:
        decoded: Body = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        decoded = json.loads(body)  # accepts lone surrogates; msgspec does not
    return decoded
