"""Reads: load -> hit | ticket -> fill.

May raise StoreError and CodecError where the caller turns whatever happens into a miss.
"""

from typing import Any, Final, NamedTuple

import msgspec

from botocache import _codec
from botocache._batches import (
    answers_by_key,
    hit_of,
    merge,
    no_capacity,
    remaining_body,
)
from botocache._coherence import Held, Loaded, may_fill, may_serve
from botocache._errors import CodecError
from botocache._keys import digest, entry_key, tag_digest
from botocache._modes import Mode, current_mode
from botocache._parts import Parts
from botocache._planned import BatchRead, Kind, Read, last_key_attributes
from botocache._policies import TablePolicy, keeping_of
from botocache._projections import Projection, project
from botocache._schemas import Schema
from botocache._tickets import BatchTicket, Hit, Lookup, ReadTicket, Request

_TABLE_TAG = 1
"""Index of the table's tag among a Read's tags."""

_DROPPED_FROM_ANSWERS = ("ResponseMetadata", "ConsumedCapacity")

_encode = msgspec.json.encode


class _Asked(NamedTuple):
    """What the reads of one call have in common."""

    operation: str
    origin: str
    scope: bytes
    mode: Mode
    now: float


class Reads:
    """The reads of one cache."""

    def __init__(self, parts: Parts) -> None:
        self._store: Final = parts.store
        self._settings: Final = parts.settings
        self._counters: Final = parts.counters
        self._evictions: Final = parts.evictions
        self._learning: Final = parts.learning
        self._policies: Final[dict[str, TablePolicy]] = {}

    def policy(self, table: str) -> TablePolicy:
        """Return what is done for a table."""
        policy = self._policies.get(table)
        if policy is None:
            policy = self._policies[table] = self._settings.policy(table)
        return policy

    # --- before the call -----------------------------------------------------------

    def begin(
        self,
        request: Request,
        parameters: dict[str, Any],
        read: Read,
        assumed: Schema | None,
    ) -> Hit | ReadTicket | None:
        """Return the hit, or the ticket to fill with, or None."""
        asked = self._asked(request)
        if asked is None:
            return None
        lookup = self._ask(asked, read)
        if lookup is None:
            self._counters.add("bypassed")
            return None
        if isinstance(lookup, Hit):
            if read.capacity != "NONE":
                capacity = no_capacity(read.table_parameter, read.capacity)
                lookup.answer["ConsumedCapacity"] = capacity
            self._counters.add("hits")
            return lookup
        self._counters.add("misses")
        if assumed is not None:
            if assumed.generation != lookup.loaded.snapshot[_TABLE_TAG]:
                self._learning.forget(assumed)
                return None
        elif lookup.loaded.held is Held.SETTLING:
            return self._settling(lookup, parameters)
        return lookup

    def begin_batch(
        self, request: Request, parameters: dict[str, Any], batch: BatchRead
    ) -> Hit | BatchTicket | None:
        """Return the hit of all keys, or the ticket of those that are not, or None."""
        asked = self._asked(request)
        if asked is None:
            return None
        lookups = {
            table: tuple([self._ask(asked, read) for read in reads])
            for table, reads in batch.reads.items()
        }
        self._count(lookups)
        hit = hit_of(batch, lookups)
        if hit is not None:
            return hit
        return BatchTicket(batch, lookups, remaining_body(parameters, lookups))

    def _count(self, lookups: dict[str, tuple[Lookup, ...]]) -> None:
        every = [lookup for each in lookups.values() for lookup in each]
        hits = sum(isinstance(lookup, Hit) for lookup in every)
        bypassed = every.count(None)
        for outcome, number in (
            ("hits", hits),
            ("bypassed", bypassed),
            ("misses", len(every) - hits - bypassed),
        ):
            if number:
                self._counters.add(outcome, number)

    def _asked(self, request: Request) -> _Asked | None:
        """Return what a call's reads have in common; None when nobody may be served."""
        scope = request.scope()
        if scope is None:
            return None
        operation, now = request.operation, self._store.now()
        return _Asked(operation, request.origin, scope, current_mode(), now)

    def _ask(self, asked: _Asked, read: Read) -> Lookup:
        """Look one read up, if its table's policy lets us."""
        policy = self.policy(read.table)
        keeping = keeping_of(policy, asked.operation, read.kind.value)
        if keeping == "off" or asked.mode is Mode.BYPASS:
            return None
        depends_on = read.depends_on(keeping, self._settings.old_images)
        tags = tuple(map(tag_digest, depends_on))
        if self._evictions.are_waiting(tags):
            return None
        key = entry_key(asked.scope, asked.origin, read.operation, read.question)
        loaded = self._store.load(key, tags)
        if asked.mode is Mode.NORMAL and not read.is_consistent:
            hit = self._hit(key, loaded, asked.now)
            if hit is not None:
                return hit
            if read.whole is not None and read.projection is not None:
                hit = self._projected(asked, read.whole, read.projection, tags)
                if hit is not None:
                    return hit
        return ReadTicket(read, asked.origin, policy, key, loaded, asked.now)

    def _hit(self, key: bytes, loaded: Loaded, now: float) -> Hit | None:
        """Return the hit that an entry is, if it may be served."""
        if loaded.entry is None:
            return None
        try:
            entry = _codec.decode(loaded.entry)
            if may_serve(entry.snapshot, loaded.snapshot, entry.expires_at, now):
                return Hit(entry.body(), now - entry.stored_at, key)
        except CodecError as error:
            self._evictions.report("load_failed", "a miss, and filled anew", error)
        return None

    def _projected(
        self,
        asked: _Asked,
        question: bytes,
        projection: Projection,
        tags: tuple[bytes, ...],
    ) -> Hit | None:
        """Answer a projection from the whole item, if that is there."""
        key = entry_key(asked.scope, asked.origin, "GetItem", question)
        whole = self._hit(key, self._store.load(key, tags), asked.now)
        if whole is None:
            return None
        if "Item" not in whole.answer:
            # DynamoDB may refuse a path into an attribute, whatever the item.
            return None if projection.nested else whole
        item = project(whole.answer["Item"], projection)
        return None if item is None else whole._replace(answer={"Item": item})

    def _settling(self, ticket: ReadTicket, parameters: dict[str, Any]) -> ReadTicket:
        """Have a read that follows a write see it, so that its answer can be kept."""
        read = ticket.read
        if (
            self._settings.settle_reads != "consistent"
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
        read, loaded = ticket.read, ticket.loaded
        if not self._learn(ticket, answer, loaded.snapshot[_TABLE_TAG]):
            return
        if not may_fill(loaded.held, is_consistent=read.is_consistent):
            self._counters.add("held")
            return
        self.fill(ticket, answer)

    def complete(
        self, ticket: BatchTicket, answer: dict[str, Any], *, is_kept: bool
    ) -> None:
        """Put the hits of a batch into its answer; keep the rest if `is_kept`."""
        answers = answers_by_key(ticket, answer)
        merge(ticket, answer, answers)  # first: whatever fails, the hits must be there
        if not is_kept:
            return
        for table, answered in answers.items():
            for index, each in (answered or {}).items():
                lookup = ticket.lookups[table][index]
                if isinstance(lookup, ReadTicket):
                    self.finish(lookup, each)

    def fill(self, ticket: ReadTicket, answer: dict[str, Any]) -> None:
        """Put an answer."""
        read, policy, key, began = ticket.read, ticket.policy, ticket.key, ticket.began
        is_absent = read.kind is Kind.ITEM and "Item" not in answer
        ttl = policy.negative_ttl if is_absent else policy.ttl
        if ttl <= 0.0:
            return
        kept = {k: v for k, v in answer.items() if k not in _DROPPED_FROM_ANSWERS}
        entry = _codec.encode(kept, ticket.loaded.snapshot, began, began + ttl)
        is_large = len(entry) > self._settings.scan_size_limit
        if read.kind is Kind.SCAN and is_large and not self._is_asked_again(key, ttl):
            return
        try:
            self._store.fill(key, entry, ttl)
        except Exception as error:  # noqa: BLE001 - as ever
            self._evictions.report("fill_failed", "an answer is not kept", error)
        else:
            self._counters.add("fills")

    def _is_asked_again(self, key: bytes, ttl: float) -> bool:
        """Tell whether a page was asked for before within the TTL, by anybody.

        One pass over a large table must not cost all other entries their place.
        """
        note, now = digest("asked", key), self._store.now()
        if self._hit(note, self._store.load(note, ()), now) is not None:
            return True
        self._store.fill(note, _codec.encode({}, (), now, now + ttl), ttl)
        return False

    def _learn(
        self, ticket: ReadTicket, answer: dict[str, Any], generation: int
    ) -> bool:
        """Learn the table's key attributes; False when they have changed."""
        read = ticket.read
        named, is_complete = read.named, read.names_all
        last = last_key_attributes(read, answer)
        if last is not None:
            named, is_complete = last, True
        return self._learning.learn(
            ticket.origin, read.table, named, generation, is_complete=is_complete
        )
