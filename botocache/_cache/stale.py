"""Stale answers: an entry over its TTL answers a read that DynamoDB has refused.

With the setting `stale_if_throttled` only; `may_serve_stale` of _coherence.py is the
law. The ticket of a read has what its look-up found, so nothing here asks the store or
waits. What must not be answered so has no answer here: reads that the application made
strongly consistent, those of `bypass` and `refresh`, shadow mode, audited and suspect
reads, and readers that DynamoDB has refused.
"""

from collections.abc import Mapping
from typing import Final

from botocache._cache.batches import hit_of, zero_capacity
from botocache._cache.entries import CLOCK_SKEW, Entry, decode_answer, decode_header
from botocache._cache.reads import trusted_until
from botocache._cache.refusals import Refusals
from botocache._cache.services import CacheServices
from botocache._cache.tickets import BatchTicket, Hit, Lookup, ReadTicket, Ticket
from botocache._coherence import may_serve_stale, served_until
from botocache._dynamodb.plans import Kind
from botocache._dynamodb.values import table_name
from botocache._errors import CodecError


class StaleAnswers:
    """The stale answers of one cache.

    may_be: whether any table may have one.
    """

    def __init__(self, services: CacheServices, refusals: Refusals) -> None:
        settings = services.settings
        self.may_be: Final = not settings.shadow and bool(
            settings.stale_if_throttled
            or any(options.stale_if_throttled for _, options in settings.tables)
        )
        self._codec: Final = services.codec
        self._audits: Final = services.audits
        self._refused: Final = refusals.tags

    def find(self, ticket: Ticket) -> Hit | None:
        """Return what may answer a call that DynamoDB has refused; None for nothing.

        Of a batch, only if there is an answer for each of its keys.
        """
        if not self.may_be:
            return None
        if isinstance(ticket, ReadTicket):
            hit = self._of_read(ticket)
            read = ticket.prepared.read
            if hit is not None and read.capacity != "NONE":
                capacity = zero_capacity(read.table_parameter, read.capacity)
                hit.answer["ConsumedCapacity"] = capacity
            return hit
        return self._of_batch(ticket) if isinstance(ticket, BatchTicket) else None

    def _of_batch(self, ticket: BatchTicket) -> Hit | None:
        lookups: dict[str, tuple[Lookup, ...]] = {}
        for table, part in ticket.lookups.items():
            hits: list[Hit] = []
            for lookup in part:
                found: Lookup = lookup
                if isinstance(lookup, ReadTicket):
                    found = self._of_read(lookup)
                if not isinstance(found, Hit):
                    return None
                hits.append(found)
            lookups[table] = tuple(hits)
        return hit_of(ticket.batch, lookups)

    def _of_read(self, ticket: ReadTicket) -> Hit | None:
        prepared, loaded, now = ticket.prepared, ticket.loaded, ticket.store.now()
        policy, key = prepared.policy, prepared.key
        stale_for = policy.stale_if_throttled
        if (
            not stale_for
            or loaded.entry is None
            or not prepared.may_hit
            or prepared.reader_tag in self._refused
            or (self._audits is not None and self._audits.is_suspect(key))
        ):
            return None
        try:
            header = decode_header(loaded.entry)
            snapshot, filled_at, expires_at, cost, _, _ = header
            current = loaded.snapshot
            if not may_serve_stale(snapshot, current, expires_at, now, stale_for):
                return None
            if filled_at - now > CLOCK_SKEW:
                return None
            packed = self._codec.open(key, header)
            answer, decode = decode_answer(packed)
        except CodecError:  # the look-up has reported it
            return None
        is_absent = prepared.read.kind is Kind.ITEM and "Item" not in answer
        ttl = policy.negative_ttl if is_absent else policy.ttl
        stored_at = min(filled_at, now)
        # As of a hit: another process may have filled it under a longer TTL.
        expires_at = min(expires_at, stored_at + ttl)
        unfollowed = policy.ttl_unfollowed
        if unfollowed is not None:
            trusted = trusted_until(prepared, ticket.store)
            until = served_until(stored_at, ttl, unfollowed, trusted)
            expires_at = min(expires_at, until)
        if not ttl or now >= expires_at + stale_for:
            return None
        entry = Entry(snapshot, stored_at, expires_at, packed, decode, cost)
        return Hit(answer, now - stored_at, key, entry, prepared)


def reads_of(ticket: Ticket) -> Mapping[str, int]:
    """Return how many reads of a call were sent, by the table's name."""
    if isinstance(ticket, ReadTicket):
        return {ticket.prepared.read.table: 1}
    if not isinstance(ticket, BatchTicket):
        return {}
    sent: dict[str, int] = {}
    for table, part in ticket.lookups.items():
        reads = sum(not isinstance(lookup, Hit) for lookup in part)
        if reads:
            name = table_name(table)
            sent[name] = sent.get(name, 0) + reads
    return sent
