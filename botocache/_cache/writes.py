"""Writes: evict before, evict after, and fill what a write says exactly.

Two things are done here only by a write that was alone: that found, in its second
eviction, what it had left in the first (see _coherence.py).

- *Write-through*: the item's entry is filled with what the write left, under the
  generations that its own second eviction gave; and only if no other write was under
  way, as far as anybody knew, when it began.
- *Precise index queries*: DynamoDB is asked for the old item; with the old and the new
  image, the index partitions that the write concerns are evicted, and the tag on which
  index queries depend for want of such knowledge is restored.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from botocache._cache.call_store import CallStore
from botocache._cache.key_schemas import KeyRecall
from botocache._cache.prepare import Call, PreparedRead
from botocache._cache.reads import Reads, fills_of
from botocache._cache.services import CacheServices
from botocache._cache.tickets import ReadTicket, WriteTicket
from botocache._coherence import Eviction, EvictionRequest, Held, is_held
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
from botocache._errors import EvictionError

_encode = msgspec.json.encode


class Writes:
    """The writes of one cache."""

    def __init__(self, services: CacheServices, reads: Reads) -> None:
        self._store: Final = services.store
        self._settings: Final = services.settings
        self._counters: Final = services.counters
        self._evictions: Final = services.evictions
        self._key_schemas: Final = services.key_schemas
        self._reads: Final = reads
        self._without_images: Final[set[tuple[str, str]]] = set()

    # --- before the call -----------------------------------------------------------

    def begin(
        self,
        call: Call,
        parameters: Body,
        write: Write,
        recall: KeyRecall,
        store: CallStore,
    ) -> WriteTicket:
        """Evict for the first time."""
        tags = tuple(map(tag_digest, write.tags))
        assumed = tuple(recall.schemas[table] for table in write.assumed)
        through = self._through(call, parameters, write.item)
        watch = dict.fromkeys(schema.tag for schema in assumed)
        if through is not None:
            watch |= dict.fromkeys(through.broad_tags)
        # Before the eviction: a hold-off that it finds counts as of then.
        began = store.now() if through is not None else 0.0
        first = self._first(call.operation, write, tags, tuple(watch), store)
        if first is not None:
            if through is not None and _finds_a_write(first, through, began):
                through = None
            outdated = self._key_schemas.outdated(assumed, first.watched)
            if outdated:
                through = None
                tags = tuple(dict.fromkeys((*tags, *outdated)))
                first = self._first(call.operation, write, tags, tuple(watch), store)
        self._counters.add("writes")
        self._counters.add("evicted", len(write.tags))
        return WriteTicket(
            write,
            call.origin,
            store,
            tags,
            first,
            assumed,
            call.operation,
            parameters,
            through,
            self._asking_for_images(call, parameters, write),
        )

    def begin_unplanned(self, operation: str, store: CallStore) -> WriteTicket:
        """Evict everything for the first time: what is written is not known."""
        write, tags = Write((EVERYTHING,)), (EVERYTHING_DIGEST,)
        first = self._first(operation, write, tags, (), store)
        return WriteTicket(write, "", store, tags, first)

    def _first(
        self,
        operation: str,
        write: Write,
        tags: tuple[bytes, ...],
        watch: Sequence[bytes],
        store: CallStore,
    ) -> Eviction | None:
        """Evict for the first time; or remember it, or refuse the write."""
        request = EvictionRequest(tags, self._settings.write_hold_off, watch)
        if self._settings.on_eviction_failure == "send":
            return self._evictions.evict(request, store)
        try:
            return self._evictions.evict_at_once(request, store)
        except Exception as error:
            self._evictions.report(
                "evict_failed", "the write is not sent", store.failure or error
            )
            raise EvictionError(_refusal(operation, write)) from error

    def _through(
        self, call: Call, parameters: Body, item: WrittenItem | None
    ) -> PreparedRead | None:
        """Return the read of the item, if the write tells what the item will be."""
        if item is None or (
            call.operation == "UpdateItem"
            and parameters.get("ReturnValues") != "ALL_NEW"
        ):
            return None
        read = read_of(item)
        get_item = call._replace(operation=read.operation)
        return self._reads.prepare(get_item, parameters, read)

    def _asking_for_images(
        self, call: Call, parameters: Body, write: Write
    ) -> bytes | None:
        """Return the request with the old item asked for, if that is of use."""
        if write.item is None or not self._settings.precise_index_eviction:
            return None
        table = write.item.table
        if (
            parameters.get("ReturnValues", "NONE") != "NONE"
            or (call.origin, table) in self._without_images
            or not items.determines_new_keys(call.operation, parameters)
        ):
            return None
        return _encode({**parameters, "ReturnValues": "ALL_OLD"})

    def without_images(self, ticket: WriteTicket) -> WriteTicket:
        """Return the ticket of a write that is sent again without asking for images.

        From now on this process does not ask for images of that table again.
        """
        if ticket.write.item is not None:
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
        """Evict for the second time, learn, and fill what is known."""
        old = _old_image(ticket, answer)
        store, tags = ticket.store, ticket.tags
        if ticket.first is None:
            if self._evictions.must_wait(tags):
                return
            # The first eviction was delivered meanwhile: the store works again.
            store = CallStore(self._store)
        restore: tuple[bytes, ...] = ()
        if succeeded and certain and ticket.first is not None:
            tags, restore = self._precisely(ticket, old)
        second = self._evictions.evict(
            EvictionRequest(
                tags,
                self._settings.settle if certain else self._settings.write_hold_off,
                _watched_at_the_end(ticket),
                ticket.first if certain else None,
                restore,
            ),
            store,
        )
        if second is None:
            return
        outdated = self._key_schemas.outdated(ticket.assumed, second.watched)
        if outdated and not self._evictions.evict_now(outdated, store):
            return
        if not succeeded or not self._learn(ticket, second, answer, store):
            return
        if certain and not outdated:
            try:
                self._write_through(ticket, second, answer, store)
            except Exception as error:  # noqa: BLE001 - the write is evicted already
                self._evictions.report("fill_failed", "an item is not kept", error)

    def _learn(
        self, ticket: WriteTicket, second: Eviction, answer: Answer, store: CallStore
    ) -> bool:
        """Learn key attributes from a write; return whether they are as known."""
        write, origin = ticket.write, ticket.origin
        is_as_known = True
        for table, attributes in write.named:
            generation = second.watched[tag_digest(table_tag(table))]
            is_as_known &= self._key_schemas.learn(
                store, (origin, table), attributes, generation
            )
        if write.described:
            table = write.described
            generation = second.watched[tag_digest(table_tag(table))]
            self._key_schemas.learn_described(
                store, (origin, table), generation, answer
            )
        return is_as_known

    def _precisely(
        self, ticket: WriteTicket, old: Image | None
    ) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Return what a write evicts at its end, and which of these it restores."""
        item, parameters = ticket.write.item, ticket.parameters
        if old is None or item is None or parameters is None:
            return ticket.tags, ()
        new = items.image_after(ticket.operation, parameters, old)
        if new is None or len(old) + len(new) > items.MOST_ATTRIBUTES:
            return ticket.tags, ()
        partitions = {
            tag_digest(tag): None
            for image in (old, new)
            for tag in items.partitions_of(item.table, image)
        }
        more = [tag for tag in partitions if tag not in ticket.tags]
        self._counters.add("evicted", len(more))
        # The precise writes tag, in place of the writes tag, says to scans and the like
        # that there was a write. No first eviction of it is needed: until the end the
        # writes tag, evicted as by every write, invalidates what depends on both.
        more.append(tag_digest(precise_writes_tag(item.table)))
        return (*ticket.tags, *more), (tag_digest(writes_tag(item.table)),)

    def _write_through(
        self, ticket: WriteTicket, second: Eviction, answer: Answer, store: CallStore
    ) -> None:
        """Fill the item's entry, if no other write can have changed it meanwhile."""
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
        loaded = store.load(through.key, through.tags)
        # Only under the generation that the second eviction left: a later one may be of
        # a write that came after it.
        if loaded.snapshot != (*around, own.generation):
            return
        read = ReadTicket(through, loaded, store.now(), store, is_consistent=True)
        self._reads.fill(store, fills_of(read, left))


def _finds_a_write(first: Eviction, through: PreparedRead, now: float) -> bool:
    """Tell whether another write of the item may be under way, by a first eviction.

    Whoever wrote it may be dead, or have had no answer: it may be carried out after
    ours, and nobody evicts then. That its hold-off is over when ours ends proves
    nothing.
    """
    if first.held is Held.WRITING:
        return True
    item = first.evicted[through.item_tag]
    return not item.is_settling and is_held(item.held_until, now)


def _refusal(operation: str, write: Write) -> str:
    """Return what is said of a write that is refused, which names no key."""
    tables = sorted({tag.table for tag in write.tags if tag.table})
    of = f"of {', '.join(map(repr, tables))} " if tables else ""
    return (
        f"{operation} was not sent: what is cached {of}could not be evicted; the "
        "setting on_eviction_failure is 'refuse' ('send' sends such writes)"
    )


def _watched_at_the_end(ticket: WriteTicket) -> list[bytes]:
    """Return the tags whose generations count after a second eviction.

    Those of the tables whose key attributes the write rests on, or its answer confirms;
    and what the item's entry depends on besides the item.
    """
    write, through = ticket.write, ticket.through
    watch = [schema.tag for schema in ticket.assumed]
    watch += [tag_digest(table_tag(table)) for table, _ in write.named]
    if write.described:
        watch.append(tag_digest(table_tag(write.described)))
    if through is not None:
        watch += through.broad_tags
    return list(dict.fromkeys(watch))


def _old_image(ticket: WriteTicket, answer: Answer) -> Image | None:
    """Take the old image, which the application did not ask for, out of an answer.

    None when it was not asked for by anybody.
    """
    if ticket.body is not None:
        image: Image = answer.pop("Attributes", {})
        return image
    asked = (ticket.parameters or {}).get("ReturnValues")
    return answer.get("Attributes", {}) if asked == "ALL_OLD" else None
