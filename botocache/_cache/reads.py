"""Look-ups: a prepared read -> load -> a hit, or the ticket of a miss. Before the call.

The only place that loads for a read. `load` and `load_many` apply the same rules to one
read and to many. Both ask the store; what it said is judged by the functions that they
call, which wait for nothing. Methods may raise StoreError and CodecError; the caller
turns them into a miss that is not filled.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Final

from botocache._cache.batches import encode_body, zero_capacity
from botocache._cache.call_store import CallStore
from botocache._cache.entries import CLOCK_SKEW, Entry, decode_answer, decode_header
from botocache._cache.fills import consumption
from botocache._cache.key_schemas import Schema
from botocache._cache.observer import CallObserver  # noqa: TC001 - loaded in any case
from botocache._cache.prepare import Call, PreparedRead
from botocache._cache.preparers import Preparers
from botocache._cache.read_mode import Mode
from botocache._cache.refusals import Refusals
from botocache._cache.services import CacheServices
from botocache._cache.tickets import AuditTicket, Hit, Lookup, ReadTicket
from botocache._coherence import Held, Loaded, may_serve, served_until
from botocache._counting.counters import FOREIGN, STORE_SAMPLED, Series
from botocache._counting.hot_keys import TextOf
from botocache._dynamodb.key_texts import text_of_read
from botocache._dynamodb.plans import Kind, Read
from botocache._dynamodb.projections import Projection, project
from botocache._dynamodb.types import Answer, Body
from botocache._errors import CodecError

_NORMAL: Final = Mode.NORMAL


class Reads:
    """The look-ups of one cache.

    observer: hears of hits; None if there is none.
    """

    def __init__(
        self, services: CacheServices, preparers: Preparers, refusals: Refusals
    ) -> None:
        self._codec: Final = services.codec
        self._settings: Final = services.settings
        self._series: Final = services.counters.series
        self._known_series: Final = services.counters.known_series
        self._evictions: Final = services.evictions
        self._key_schemas: Final = services.key_schemas
        self._ambiguous: Final = services.key_schemas.ambiguous
        self._pending: Final = services.evictions.pending
        self._audits: Final = services.audits
        self._heartbeats: Final = services.heartbeats
        self._brakes: Final = services.brakes
        self._preparers: Final = preparers
        self._refused: Final = refusals.tags
        self.observer: CallObserver | None = None

    # --- before the call -----------------------------------------------------------

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
        prepared = self._preparers.prepare(call, parameters, read)
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
            prepared = self._preparers.prepare(call, parameters, read) or prepared
        return self.load(prepared, store)

    def load(self, prepared: PreparedRead, store: CallStore) -> Lookup:
        """Return the hit, or the ticket of a miss; None if an eviction is pending."""
        # `tags` is looked at here to save a method call in every hit.
        if self._pending.tags and self._evictions.are_pending(prepared.tags, store):
            self.series_of(prepared).add_bypass("pending")
            return None
        # Before the look-up: an entry that expires during it is good for this call.
        now = store.now()
        trusted = 0.0
        if prepared.policy.ttl_unfollowed is not None:
            trusted = self._trusted_until(prepared, now, store)
        loaded = store.load(prepared.key, prepared.tags)
        if loaded.entry is None and prepared.whole_item_key is None:
            return self._make_ticket(prepared, loaded, now, store)
        if self._refused and prepared.reader_tag in self._refused:
            return self._make_ticket(prepared, loaded, now, store)
        hit = self._make_hit(prepared, prepared.key, loaded, now, trusted)
        if hit is None and prepared.whole_item_key is not None and prepared.may_hit:
            whole = store.load(prepared.whole_item_key, prepared.tags)
            hit = self._project_whole_item(prepared, whole, now, trusted)
        if hit is None:
            return self._make_ticket(prepared, loaded, now, store)
        return self._serve(hit, prepared, loaded, now, store)

    def look_again(self, ticket: ReadTicket) -> tuple[Lookup, bytes]:
        """Load a read that was a miss once more, under its own key alone.

        Return its hit and the entry; or another ticket, of this look; or None if an
        eviction is pending.
        """
        prepared, store = ticket.prepared, ticket.store
        if self._pending.tags and self._evictions.are_pending(prepared.tags, store):
            self.series_of(prepared).add_bypass("pending")
            return None, b""
        now = store.now()
        trusted = 0.0
        if prepared.policy.ttl_unfollowed is not None:
            trusted = self._trusted_until(prepared, now, store)
        loaded = store.load(prepared.key, prepared.tags)
        hit = None
        if loaded.entry and not (
            self._refused and prepared.reader_tag in self._refused
        ):
            hit = self._make_hit(prepared, prepared.key, loaded, now, trusted)
        if hit is None:
            made = self._make_ticket(prepared, loaded, now, store)
            # What else the ticket has stays: it is the same read.
            return _ticket((*made[:_OF_A_LOOK], *ticket[_OF_A_LOOK:])), b""
        served = self._serve(hit, prepared, loaded, now, store)
        if isinstance(served, Hit):
            self.series_of(prepared).add_leased()
        return served, loaded.entry or b""

    def _serve(
        self,
        hit: Hit,
        prepared: PreparedRead,
        loaded: Loaded,
        now: float,
        store: CallStore,
    ) -> Hit | AuditTicket:
        """Count a hit, and return it complete; or its ticket, if it is audited."""
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

    def serve_landed(
        self, ticket: ReadTicket, entry: bytes
    ) -> Hit | AuditTicket | None:
        """Return what a reader gets who has waited for another one's answer, or None.

        ticket: of its own look, with which the entry must agree. See coalescing.py.
        """
        prepared, loaded, now, store = ticket[:4]
        if self._refused and prepared.reader_tag in self._refused:
            return None
        if self._pending.tags and self._pending.includes(prepared.tags):
            return None
        loaded = loaded._replace(entry=entry)
        # As of its look: an entry that expires during the wait is good for this call.
        trusted = trusted_until(prepared, store)
        hit = self._make_hit(prepared, prepared.key, loaded, now, trusted)
        if hit is None:
            return None
        served = self._serve(hit, prepared, loaded, now, store)
        if isinstance(served, Hit):
            self.series_of(prepared).add_coalesced()
        return served

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
        trusted = {
            at: self._trusted_until(read, now, store)
            for at, read in by_place.items()
            if read.policy.ttl_unfollowed is not None
        }
        wholes: dict[int, PreparedRead] = {}
        loads = [(read.key, read.tags) for read in by_place.values()]
        results = store.load_many(loads) if loads else []
        for (at, read), loaded in zip(by_place.items(), results, strict=True):
            if self._refused and read.reader_tag in self._refused:
                lookups[at] = self._make_ticket(read, loaded, now, store)
                continue
            hit = None
            if loaded.entry is not None:
                until = trusted.get(at, 0.0)
                hit = self._make_hit(read, read.key, loaded, now, until)
            lookups[at] = hit or self._make_ticket(read, loaded, now, store)
            if audits is not None and hit and audits.is_due(read.key, loaded.held):
                lookups[at] = _audit(hit, read, loaded, now, store)
            if hit is None and read.whole_item_key is not None and read.may_hit:
                wholes[at] = read
        loads = [(read.whole_item_key or b"", read.tags) for read in wholes.values()]
        results = store.load_many(loads) if loads else []
        for (at, read), loaded in zip(wholes.items(), results, strict=True):
            until = trusted.get(at, 0.0)
            hit = self._project_whole_item(read, loaded, now, until)
            lookups[at] = hit or lookups[at]
            if audits is not None and hit and audits.is_due(read.key, loaded.held):
                lookups[at] = _audit(hit, read, loaded, now, store)
        return lookups

    def _trusted_until(
        self, prepared: PreparedRead, now: float, store: CallStore
    ) -> float:
        """Return until when a read's table counts as followed.

        Before the read's load: see "Following streams" in `_coherence.py`.
        """
        place = followed_place(prepared)
        until = self._heartbeats.trusted_until(*place, now, store)
        if store.trusted is None:
            store.trusted = {}
        store.trusted[place] = until
        return until

    def _make_hit(
        self,
        prepared: PreparedRead,
        key: bytes,
        loaded: Loaded,
        now: float,
        trusted_until: float,
    ) -> Hit | None:
        """Return a hit made of an entry, if the entry may be served."""
        call, _, read, policy, _, _, _ = prepared
        # As `may_hit` has it.
        if loaded.entry is None or call.mode is not _NORMAL or read.is_consistent:
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
            is_absent = read.kind is Kind.ITEM and "Item" not in answer
            ttl = policy.negative_ttl if is_absent else policy.ttl
            # Another process may be ahead of this one by its estimate of the time.
            stored_at = min(filled_at, now)
            # Another process may have filled it under a longer TTL than this one has.
            # The near cache goes by this entry, so a near hit compares no more.
            expires_at = min(expires_at, stored_at + ttl)
            unfollowed = policy.ttl_unfollowed
            if unfollowed is not None:
                expires_at = min(
                    expires_at, served_until(stored_at, ttl, unfollowed, trusted_until)
                )
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
        self, prepared: PreparedRead, loaded: Loaded, now: float, trusted_until: float
    ) -> Hit | None:
        """Return a hit made of a projection of the whole item's entry, if it is one."""
        key, projection = prepared.whole_item_key, prepared.read.projection
        if key is None or projection is None:
            return None
        whole = self._make_hit(prepared, key, loaded, now, trusted_until)
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
        place = prepared.read.table, prepared.call.operation
        series = self._known_series.get(place) or self._series(*place)
        if series.add_store_hit(seconds, units, is_estimated=is_estimated):
            note_hot_key(series, hit.key, units, text_of_read, prepared.parameters)

    # --- sending a miss ------------------------------------------------------------

    def _make_ticket(
        self, prepared: PreparedRead, loaded: Loaded, now: float, store: CallStore
    ) -> ReadTicket:
        """Return the ticket of a miss, and make the read strongly consistent if useful.

        An eventually consistent read just after a write may not see it, so its answer
        could not be filled. With `reads_after_write="consistent"`, it is sent strongly
        consistent instead; but not of a table that is braked.
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
            and not self._brakes.is_braked(read.table, now)
        ):
            is_consistent = True
            body = encode_body({**prepared.parameters, "ConsistentRead": True})
        return _ticket((prepared, loaded, now, store, is_consistent, body, None))

    def without_consistency(self, ticket: ReadTicket) -> ReadTicket:
        """Return the ticket of a read that is sent again as the application made it.

        DynamoDB has refused the ConsistentRead that botocache had added.
        """
        return ticket._replace(is_consistent=False, body=None)

    # --- after the call ------------------------------------------------------------

    def finish_audit(
        self,
        ticket: AuditTicket,
        answer: Answer,
        *,
        unfilled: str = "",
        length: int | None = None,
    ) -> None:
        """Count a hit that was not served, and compare it with the answer.

        The answer is not filled: see audits.py. See `Fills.finish` for the arguments.
        """
        audits = self._audits
        if audits is None:  # then there are no such tickets
            return
        per_block = audits.saved_per_block
        self._count_hit(ticket.hit, ticket.prepared, ticket.seconds, per_block)
        if unfilled and unfilled != FOREIGN:
            return
        if not per_block:
            units, _ = consumption(ticket, answer, length)
            self.series_of(ticket.prepared).add_consumed(units)
        if not unfilled:
            audits.finish(ticket, answer)


_entry: Callable[[tuple[object, ...]], Entry] = partial(tuple.__new__, Entry)
_hit: Callable[[tuple[object, ...]], Hit] = partial(tuple.__new__, Hit)
_ticket: Callable[[tuple[object, ...]], ReadTicket] = partial(tuple.__new__, ReadTicket)
# Of all of their fields, in a third of the time that the classes take.


_OF_A_LOOK: Final = ReadTicket._fields.index("body") + 1


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


def followed_place(prepared: PreparedRead) -> tuple[str, str]:
    """Return the region and the name of a read's table, as heartbeats have them."""
    return prepared.call.origin.partition(" ")[0], prepared.read.table


def trusted_until(prepared: PreparedRead, store: CallStore) -> float:
    """Return until when a read's table counts as followed, as its look-up had it.

    Not as it is known by now: a newer heartbeat vouches for newer generations than the
    look-up gave.
    """
    trusted = store.trusted
    return trusted.get(followed_place(prepared), 0.0) if trusted else 0.0


def why_bypassed(call: Call) -> str:
    """Return why `prepare` has returned None, as it counts."""
    if call.mode is Mode.BYPASS:
        return "bypass"
    return "no_scope" if call.scope is None else "off"
