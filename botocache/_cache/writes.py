"""Writes: evict before the call, evict after it, and fill what a write left.

Two things are done only by a write that was alone: its second eviction found what its
first one had left (see _coherence.py).

- *Write-through* fills the item's entry with what the write left, under the
  generations of its own second eviction. Only if no other write of the item was under
  way when this one began.
- *Precise index eviction* asks DynamoDB for the old item. The second eviction then
  evicts the index partitions of the old and the new image, and restores the tag on
  which all index queries depend.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from botocache._cache.batches import encode_body
from botocache._cache.call_store import CallStore
from botocache._cache.fills import Fills
from botocache._cache.item_writes import PlainWrites, WriteKind
from botocache._cache.key_schemas import KeyRecall, Schema, place_of
from botocache._cache.pending_evictions import PendingEvictions
from botocache._cache.prepare import Call, PreparedRead
from botocache._cache.preparers import Preparers
from botocache._cache.services import CacheServices
from botocache._cache.tickets import OpenWrite, ReadTicket, WriteTicket
from botocache._coherence import (
    Eviction,
    EvictionRequest,
    Held,
    LeftEntry,
    Loaded,
    is_held,
)
from botocache._counting.counters import UNKNOWN
from botocache._digests import EVERYTHING_DIGEST
from botocache._dynamodb import items
from botocache._dynamodb.plans import Write, WrittenItem
from botocache._dynamodb.reads import read_of
from botocache._dynamodb.tags import (
    EVERYTHING,
    precise_writes_tag,
    table_tag,
    tag_digest,
    writes_tag,
)
from botocache._dynamodb.types import Answer, Body
from botocache._dynamodb.types import Item as Image
from botocache._dynamodb.values import table_name
from botocache._errors import EvictionError, pass_on

_MOST_TABLES = 10_000
"""Tables that DynamoDB returns no old images of; at one more, it is asked again."""


class Writes:
    """The writes of one cache."""

    def __init__(
        self, services: CacheServices, preparers: Preparers, fills: Fills
    ) -> None:
        self._store: Final = services.store
        self._settings: Final = services.settings
        self._series: Final = services.counters.series
        self._evictions: Final = services.evictions
        self._key_schemas: Final = services.key_schemas
        self._preparers: Final = preparers
        self._fills: Final = fills
        self._without_images: Final[set[tuple[str, str]]] = set()
        self._plain: Final = PlainWrites(services.counters, services.key_schemas)
        # Otherwise a write needs more: an old image, or another answer to a failure.
        self._has_plain: Final = not self._settings.precise_index_eviction and (
            self._settings.on_eviction_failure == "send" or self._settings.shadow
        )

    # --- before the call -----------------------------------------------------------

    def begin_plain(
        self, call: Call, parameters: Body, store: CallStore
    ) -> WriteTicket | None:
        """Do what a plan and `begin` do for a plain write, in fewer steps.

        None if it is not plain; then it takes these two.
        """
        plain = self._plain.plan(call, parameters)
        if plain is None:
            return None
        kind, write, schema = plain
        through, began, watch = None, 0.0, kind.watch
        assumed: tuple[Schema, ...] = ()
        if kind.is_put:
            through = self._prepare_write_through(call, parameters, write.item)
            if through is None:
                return None
            assumed = (schema,)
            if store.can_defer:  # such a store may put the entry itself
                watch = kind.watch_at_end
        if through is not None or store.can_defer:
            # Before the eviction: a hold-off that it finds counts as of then.
            began = store.now()
        tags, pending = write.digests, self._evictions.pending.add_quietly
        request = EvictionRequest(tags, self._settings.write_hold_off, watch)
        first = self._evictions.evict(request, store)
        if first is not None and through is not None:
            if first.watched[schema.tag] != schema.generation:
                return None  # `begin` forgets the schema
            if _finds_a_write(first, through, began):
                through = None
        kind.series.add_write(len(tags))
        return _ticket(
            (
                write,
                call.origin,
                call.account,
                store,
                tags,
                first,
                OpenWrite((*tags, schema.tag) if assumed else tags, pending),
                assumed,
                call.operation,
                parameters,
                through,
                None,
                began,
                kind,
            )
        )

    def begin(
        self,
        call: Call,
        parameters: Body,
        write: Write,
        recall: KeyRecall,
        store: CallStore,
    ) -> WriteTicket:
        """Evict before the call, and return the ticket for its end.

        recall: has the schemas that the plan of the write rests on.
        """
        tags = write.digests or tuple(map(tag_digest, write.tags))
        assumed: tuple[Schema, ...] = ()
        if write.assumed:
            assumed = tuple([recall.schemas[table] for table in write.assumed])
        through = self._prepare_write_through(call, parameters, write.item)
        watch = tuple([schema.tag for schema in assumed])
        if through is not None:
            watch = tuple(dict.fromkeys((*watch, *through.broad_tags)))
            if store.can_defer:  # such a store may put the entry itself
                watch = (*watch, through.reader_tag)
        # Before the eviction: a hold-off that it finds counts as of then.
        began = store.now() if through is not None or store.can_defer else 0.0
        first = self._evict_first(call.operation, write, tags, watch, store)
        if first is not None and watch:
            if through is not None and _finds_a_write(first, through, began):
                through = None
            outdated = self._key_schemas.forget_outdated(assumed, first.watched)
            if outdated:
                # The tags rest on the keys of a table that is another one by now.
                # Found out by the eviction itself: a look before it could be too early.
                through = None
                tags = tuple(dict.fromkeys((*tags, *outdated)))
                first = self._evict_first(call.operation, write, tags, watch, store)
        self._count(call.operation, write)
        if self._has_plain and write.item is not None:
            self._plain.note(call, write)
        return WriteTicket(
            write,
            call.origin,
            call.account,
            store,
            tags,
            first,
            # The tables of the assumed keys, too: they cover whatever the tags miss.
            OpenWrite(
                (*tags, *[schema.tag for schema in assumed]) if assumed else tags,
                self._evictions.pending.add_quietly,
            ),
            assumed,
            call.operation,
            parameters,
            through,
            self._body_for_images(call, parameters, write),
            began,
        )

    def begin_unplanned(self, operation: str, store: CallStore) -> WriteTicket:
        """Evict everything before a write that could not be planned."""
        write, tags = Write((EVERYTHING,)), (EVERYTHING_DIGEST,)
        first = self._evict_first(operation, write, tags, (), store)
        self._count(operation, write)
        left = OpenWrite(tags, self._evictions.pending.add_quietly)
        return WriteTicket(write, "", "", store, tags, first, left, operation=operation)

    def _count(self, operation: str, write: Write) -> None:
        """Count a write that evicts, once for each table that it concerns."""
        if write.item is not None:  # all of its tags are of one table
            self._series(write.item.table, operation).add_write(len(write.tags))
            return
        tags = Counter(tag.table or UNKNOWN for tag in write.tags)
        for table, number in tags.items():
            self._series(table, operation).add_write(number)

    def _evict_first(
        self,
        operation: str,
        write: Write,
        tags: tuple[bytes, ...],
        watch: Sequence[bytes],
        store: CallStore,
    ) -> Eviction | None:
        """Evict before the call. If that fails, remember it or refuse the write."""
        request = EvictionRequest(tags, self._settings.write_hold_off, watch)
        # In shadow mode nothing is served, so no write need be refused.
        if self._settings.on_eviction_failure == "send" or self._settings.shadow:
            return self._evictions.evict(request, store)
        try:
            return self._evictions.evict_or_raise(request, store)
        except Exception as error:
            pass_on(error)  # the write is not sent either
            self._evictions.report(
                "evict_failed", "the write is not sent", store.failure or error
            )
            raise EvictionError(_refusal(operation, write)) from error

    def _prepare_write_through(
        self, call: Call, parameters: Body, item: WrittenItem | None
    ) -> PreparedRead | None:
        """Return the read that a write may fill; None if it will not know the item."""
        if item is None or (
            call.operation == "UpdateItem"
            and parameters.get("ReturnValues") != "ALL_NEW"
        ):
            return None
        get_item = Call("GetItem", call.origin, call.scope, call.mode, call.account)
        plain = {"TableName": item.table_parameter, "Key": item.key}
        # The common case takes half of the steps.
        through = self._preparers.prepare_item(
            get_item, plain
        ) or self._preparers.prepare(get_item, plain, read_of(item))
        if through is not None and self._key_schemas.ambiguous and through.is_coarse:
            return None  # it does not depend on the item, so shows no other write of it
        return through

    def _body_for_images(
        self, call: Call, parameters: Body, write: Write
    ) -> bytes | None:
        """Return the request with ReturnValues=ALL_OLD; None if that is of no use."""
        if write.item is None or not self._settings.precise_index_eviction:
            return None
        if self._settings.shadow:  # which changes no request
            return None
        table = write.item.table
        if (
            parameters.get("ReturnValues", "NONE") != "NONE"
            or (call.origin, table) in self._without_images
            or not items.determines_new_keys(call.operation, parameters)
        ):
            return None
        return encode_body({**parameters, "ReturnValues": "ALL_OLD"})

    def without_images(self, ticket: WriteTicket) -> WriteTicket:
        """Return the ticket of a write that is sent again as the application made it.

        DynamoDB has refused ReturnValues=ALL_OLD: the principal may not read the item.
        From now on this process does not ask for old images of that table again.
        """
        if ticket.write.item is not None:
            if len(self._without_images) >= _MOST_TABLES:
                self._without_images.clear()
            self._without_images.add((ticket.origin, ticket.write.item.table))
        return ticket._replace(body=None)

    # --- after the call ------------------------------------------------------------

    def finish(
        self,
        ticket: WriteTicket,
        answer: Answer,
        *,
        succeeded: bool,
        certain: bool,
    ) -> None:
        """Evict after the call, learn key attributes, and fill what the write left.

        certain: DynamoDB answered; a request that timed out may still be carried out.
        """
        store, tags, kind = ticket.store, ticket.tags, ticket.kind
        if (
            kind is not None
            and succeeded
            and certain
            and ticket.first is not None
            and not store.can_defer  # else its second eviction may be late
        ):
            self._finish_plain(ticket, kind, answer, store)
            return
        old = _old_image(ticket, answer)  # in any case: the application must not see it
        if ticket.first is None:
            if self._evictions.queue_if_pending(tags):
                return
            # The first eviction was delivered meanwhile: the store works again.
            store = CallStore(self._store)
        restore: tuple[bytes, ...] = ()
        # Only an answer after which the write cannot be carried out again shows the
        # item's last old image.
        if (
            old is not None
            and succeeded
            and certain
            and ticket.first is not None
            # The application may have asked for the old image, too.
            and self._settings.precise_index_eviction
        ):
            tags, restore = self._precise_tags(ticket, old)
        left = None
        if store.can_defer and certain and succeeded:
            left = self._entry_left(ticket, answer, store)
        is_late = store.can_defer and certain and not restore
        if is_late and self._evict_late(ticket, left, answer, store):
            return
        second = self._evictions.evict(
            EvictionRequest(
                tags,
                self._settings.settle if certain else self._settings.write_hold_off,
                _tags_to_watch(ticket),
                # Without it the hold-off is not shortened: see next_held_until.
                ticket.first if certain else None,
                restore,
                left,
            ),
            store,
        )
        if second is not None:
            self._conclude(
                ticket, second, answer, store, succeeded=succeeded, certain=certain
            )

    def _finish_plain(
        self, ticket: WriteTicket, kind: WriteKind, answer: Answer, store: CallStore
    ) -> None:
        """Finish a plain write that DynamoDB has carried out for certain."""
        tags, settle = ticket.tags, self._settings.settle
        request = EvictionRequest(tags, settle, kind.watch_at_end, ticket.first)
        second = self._evictions.evict(request, store)
        if second is None:
            return
        if kind.is_put:
            self._conclude(ticket, second, answer, store, succeeded=True, certain=True)
            return
        (table,) = kind.watch_at_end
        self._key_schemas.learn(
            store,
            kind.place,
            kind.attributes,
            second.watched[table],
            tags=ticket.write.tags,
        )

    def _conclude(  # noqa: PLR0913 - what `finish` has, and what the store has said
        self,
        ticket: WriteTicket,
        second: Eviction,
        answer: Answer,
        store: CallStore,
        *,
        succeeded: bool,
        certain: bool,
    ) -> None:
        """Learn and fill by what the second eviction of a write has returned."""
        # The table may have been made anew between the two evictions.
        outdated: tuple[bytes, ...] = ()
        if ticket.assumed:
            outdated = self._key_schemas.forget_outdated(ticket.assumed, second.watched)
            if outdated and not self._evictions.evict_tags(outdated, store):
                return
        if not succeeded or not self._learn(ticket, second, answer, store):
            return
        if certain and not outdated and ticket.through is not None:
            self._fill_left(ticket, second, answer, store)

    def _fill_left(
        self, ticket: WriteTicket, second: Eviction, answer: Answer, store: CallStore
    ) -> None:
        """Fill what the write has left, unless the store has put it."""
        try:
            if second.has_put:
                self._count_put(ticket)
                if ticket.through is not None:
                    self._fills.on_fill(ticket.through.key)
            else:
                self._write_through(ticket, second, answer, store)
        except Exception as error:  # the write is evicted already
            pass_on(error)
            self._evictions.report("fill_failed", "a written item is not cached", error)

    def _count_put(self, ticket: WriteTicket) -> None:
        if ticket.through is not None:
            table = ticket.through.read.table
            self._series(table, ticket.operation).add_fills(1)

    def _evict_late(
        self,
        ticket: WriteTicket,
        left: LeftEntry | None,
        answer: Answer,
        store: CallStore,
    ) -> bool:
        """Send the second eviction without waiting for it; False if that may not be.

        It may be if nothing rests on what it returns, and if the hold-off of the first
        one lasts longer by far than the write took. See _coherence.py.
        """
        settle, hold_off = self._settings.settle, self._settings.write_hold_off
        if (
            ticket.first is None
            # It fills the entry by what the second eviction returns.
            or (ticket.through is not None and left is None)
            or ticket.write.described
            # If their tables are other ones by now, these are evicted before it ends.
            or ticket.assumed
            # As long again must be left for its way to the server. And whenever it
            # arrives, replicas must have caught up before the hold-off is over.
            or not 0.0
            <= store.now() - ticket.began
            < min(settle / 2, hold_off - settle)
        ):
            return False
        known = []
        for table, attributes in ticket.write.named:
            place = place_of(ticket.origin, ticket.account, table)
            schema = self._key_schemas.known(place, attributes)
            if schema is None:
                return False
            known.append(schema)
        self._send_eviction(ticket, tuple(known), left, answer, store)
        return True

    def _send_eviction(
        self,
        ticket: WriteTicket,
        known: tuple[Schema, ...],
        entry: LeftEntry | None,
        answer: Answer,
        store: CallStore,
    ) -> None:
        """Send the second eviction; what it returns is looked at later.

        known: schemas that the write confirms, unless their tables were evicted.
        """
        tags, pending = ticket.tags, self._evictions.pending
        # Whatever becomes of the connection, what is not settled becomes pending.
        left = OpenWrite(
            ticket.open.tags, partial(_add_unless_forked, pending, os.getpid())
        )
        is_sending = True
        unput: list[Eviction] = []

        def settle(outcome: Eviction | Exception) -> None:
            if isinstance(outcome, Exception):
                self._evictions.make_pending(tags, outcome)
            else:
                self._key_schemas.forget_outdated(known, outcome.watched)
                if outcome.has_put:
                    self._count_put(ticket)
                elif is_sending and entry is not None:
                    unput.append(outcome)  # the store has waited for it
            left.tags = ()

        watch = [schema.tag for schema in known]
        if entry is not None:
            watch += entry.others
        request = EvictionRequest(
            tags,
            self._settings.settle,
            (*dict.fromkeys(watch),),
            ticket.first,
            left=entry,
        )
        try:
            store.evict_later(request, settle)
        except BaseException as error:  # as in Evictions.evict
            pending.add(tags)
            left.tags = ()
            own = pass_on(error)
            self._evictions.make_pending(tags, store.failure or own)
        is_sending = False
        if entry is not None:
            self._fills.on_fill(entry.key)
        for second in unput:
            self._fill_left(ticket, second, answer, store)

    def _learn(
        self, ticket: WriteTicket, second: Eviction, answer: Answer, store: CallStore
    ) -> bool:
        """Learn key attributes from a write; return False if they were others before.

        Under the generations that the second eviction saw: a table that was made anew
        after the write must not get the keys of its predecessor.
        """
        write = ticket.write
        is_as_known = True
        for table, attributes in write.named:
            place = place_of(ticket.origin, ticket.account, table)
            generation = second.watched[_table_digest(table)]
            is_as_known &= self._key_schemas.learn(
                store, place, attributes, generation, tags=write.tags
            )
        if write.described:
            place = place_of(ticket.origin, ticket.account, write.described)
            generation = second.watched[_table_digest(write.described)]
            self._key_schemas.learn_described(store, place, generation, answer)
        return is_as_known

    def _precise_tags(
        self, ticket: WriteTicket, old: Image
    ) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Return the tags of a second eviction, and which of these it restores.

        old: the item's old image.
        """
        item, parameters = ticket.write.item, ticket.parameters
        if item is None or parameters is None:
            return ticket.tags, ()
        new = items.image_after(ticket.operation, parameters, old)
        if new is None or len(old) + len(new) > items.MOST_ATTRIBUTES:
            return ticket.tags, ()
        try:
            partitions = {
                tag_digest(tag): None
                for image in (old, new)
                for tag in items.partitions_of(item.table, image)
            }
        except (AttributeError, TypeError, ValueError) as error:  # no image of a table
            pass_on(error)
            return ticket.tags, ()
        more = [tag for tag in partitions if tag not in ticket.tags]
        self._series(item.table, ticket.operation).add_evicted(len(more))
        # The precise writes tag, in place of the writes tag, says to scans and the like
        # that there was a write. No first eviction of it is needed: until the end the
        # writes tag, evicted as by every write, invalidates what depends on both.
        more.append(tag_digest(precise_writes_tag(item.table)))
        return (*ticket.tags, *more), (tag_digest(writes_tag(item.table)),)

    def _entry_left(
        self, ticket: WriteTicket, answer: Answer, store: CallStore
    ) -> LeftEntry | None:
        """Return the entry of what the write has left, for the store to put.

        None if it is not to be put, or if `_write_through` has to see to it.
        """
        through, first = ticket.through, ticket.first
        if through is None or first is None or ticket.parameters is None:
            return None
        others = (*through.broad_tags, through.reader_tag)
        if len(others) + 1 != len(through.tags) or not first.watched.keys() >= {
            *others
        }:
            return None
        left = items.answer_after(ticket.operation, ticket.parameters, answer)
        if left is None or (left and not through.read.named <= left["Item"].keys()):
            return None
        if self._evictions.are_pending(through.tags, store):
            return None
        *around, reader = [first.watched[tag] for tag in others]

        def made(generation: int) -> tuple[bytes, float] | None:
            loaded = Loaded(None, (*around, generation, reader), Held.FREE)
            read = ReadTicket(through, loaded, now, store, is_consistent=True)
            return self._fills.written(read, left)

        now = store.now()
        return LeftEntry(
            through.key,
            through.item_tag,
            dict(zip(others, (*around, reader), strict=True)),
            made,
        )

    def _write_through(
        self, ticket: WriteTicket, second: Eviction, answer: Answer, store: CallStore
    ) -> None:
        """Fill the item's entry, if no other write of it can have come between."""
        through, first = ticket.through, ticket.first
        if through is None or first is None or ticket.parameters is None:
            return
        left = items.answer_after(ticket.operation, ticket.parameters, answer)
        if left is None or (left and not through.read.named <= left["Item"].keys()):
            return
        own, broad = second.evicted[through.item_tag], through.broad_tags
        around = [first.watched[tag] for tag in broad]
        # Another write of the item, or an eviction of its table or of everything, came
        # between the two: it may have been carried out after this write.
        if not own.was_alone or [second.watched[tag] for tag in broad] != around:
            return
        if self._evictions.are_pending(through.tags, store):
            return
        # Only under the generation that the second eviction left: a later one may be of
        # a write that came after it. If there was one, the entry is dead as it is put.
        # The reader's tag is any: the principal made this item itself.
        reader = second.watched[through.reader_tag]
        snapshot = (*around, own.generation, reader)
        if len(snapshot) != len(through.tags):
            return  # the read depends on any write to the table
        # A hold-off does not matter: no replica's lag is in the item.
        loaded = Loaded(None, snapshot, Held.FREE)
        read = ReadTicket(through, loaded, store.now(), store, is_consistent=True)
        series = self._series(through.read.table, ticket.operation)
        self._fills.fill_written(read, left, series)


_ticket: Callable[[tuple[object, ...]], WriteTicket]
_ticket = partial(tuple.__new__, WriteTicket)
"""Makes a WriteTicket of its fields, in half of the time that its class takes."""


def _add_unless_forked(
    pending: PendingEvictions, process: int, tags: tuple[bytes, ...]
) -> None:
    """Make tags pending in the process that has sent their eviction.

    A child drops its parent's connections as it is forked. The locks of its pending
    evictions may not be renewed then, and its parent still awaits the reply.
    """
    if os.getpid() == process:
        pending.add_quietly(tags)


def _finds_a_write(first: Eviction, through: PreparedRead, now: float) -> bool:
    """Return whether another write of the item may be under way at a first eviction.

    Its writer may be dead, or without an answer. DynamoDB may then carry the other
    write out after this one, and no eviction follows. It proves nothing that the other
    hold-off is over when this write ends.
    """
    if first.held is Held.WRITING:
        return True
    item = first.evicted[through.item_tag]
    return not item.is_settling and is_held(item.held_until, now)


def _refusal(operation: str, write: Write) -> str:
    """Return the message of an EvictionError. It must name no key of an item."""
    tables = sorted({tag.table for tag in write.tags if tag.table})
    of = f" of {', '.join(map(repr, tables))}" if tables else ""
    return (
        f"{operation} was not sent: the cached answers{of} could not be evicted, and "
        "on_eviction_failure is 'refuse'. Nothing was written; the call can be made "
        "again. With 'send', such writes are sent"
    )


def _tags_to_watch(ticket: WriteTicket) -> list[bytes]:
    """Return the tags whose generations count after a second eviction.

    Two kinds: the tags of the tables whose key attributes the write rests on or its
    answer confirms, and those of the entry that the write may fill and does not evict.
    """
    write, through = ticket.write, ticket.through
    watch = [_table_digest(table) for table, _ in write.named]
    if write.described:
        watch.append(_table_digest(write.described))
    if ticket.assumed:
        watch += [schema.tag for schema in ticket.assumed]
    if through is not None:
        watch += (*through.broad_tags, through.reader_tag)
    return watch if len(watch) == 1 else list(dict.fromkeys(watch))


@lru_cache(maxsize=1024)
def _table_digest(table: str) -> bytes:
    """Return the digest of a table's tag. table: its name or ARN."""
    return tag_digest(table_tag(table_name(table)))


def _old_image(ticket: WriteTicket, answer: Answer) -> Image | None:
    """Return the old image. Remove it from an answer if botocache alone asked for it.

    None if neither the application nor botocache asked for it.
    """
    if ticket.body is not None:
        image = answer.pop("Attributes", {})
    elif (ticket.parameters or {}).get("ReturnValues") == "ALL_OLD":
        image = answer.get("Attributes", {})
    else:
        return None
    return image if isinstance(image, dict) else None  # of a stub, perhaps
