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

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from botocache._cache.entry_keys import entry_key
from botocache._cache.modes import Mode, current_mode
from botocache._cache.parts import Parts
from botocache._cache.reads import Reads
from botocache._cache.schema_learning import Lesson, Recalls
from botocache._cache.tickets import ReadTicket, Request, WriteThrough, WriteTicket
from botocache._coherence import Eviction, EvictionRequest, Held, is_held
from botocache._digests import EVERYTHING_DIGEST
from botocache._dynamodb import items
from botocache._dynamodb.plans import CachingMode, Item, Kind, Write
from botocache._dynamodb.reads import read_of
from botocache._dynamodb.tags import (
    EVERYTHING,
    table_tag,
    tag_digest,
    unknown_image_tag,
)
from botocache._errors import EvictionError, StoreError, is_alive
from botocache._settings.tables import caching_mode

_encode = msgspec.json.encode


class Writes:
    """The writes of one cache."""

    def __init__(self, parts: Parts, reads: Reads) -> None:
        self._store: Final = parts.store
        self._settings: Final = parts.settings
        self._counters: Final = parts.counters
        self._evictions: Final = parts.evictions
        self._learning: Final = parts.learning
        self._reads: Final = reads
        self._without_images: Final[set[tuple[str, str]]] = set()

    # --- before the call -----------------------------------------------------------

    def begin(
        self,
        request: Request,
        parameters: dict[str, Any],
        write: Write,
        recalls: Recalls,
    ) -> WriteTicket:
        """Evict for the first time."""
        tags = tuple(map(tag_digest, write.tags))
        assumed = tuple(recalls.schemas[table] for table in write.assumed)
        through = self._through(request, parameters, write.item)
        watch = dict.fromkeys(schema.tag for schema in assumed)
        if through is not None:
            watch |= dict.fromkeys(map(tag_digest, through.read.tags[:-1]))
        began = self._store.now() if through is not None else 0.0
        first = self._first(
            request.operation, write, tags, tuple(watch), recalls.failure
        )
        if first is not None:
            if through is not None and _finds_a_write(first, through, began):
                through = None
            outdated = self._learning.outdated(assumed, first.watched)
            if outdated:
                through = None
                tags = tuple(dict.fromkeys((*tags, *outdated)))
                first = self._first(request.operation, write, tags, tuple(watch))
        self._counters.add("writes")
        self._counters.add("evicted", len(write.tags))
        return WriteTicket(
            write,
            request.origin,
            tags,
            first,
            assumed,
            request.operation,
            parameters,
            through,
            self._asking_for_images(request, parameters, write),
        )

    def begin_blindly(self, operation: str, error: Exception) -> WriteTicket:
        """Evict everything for the first time: nobody knows what is written.

        error: because of which that is so; perhaps the store's.
        """
        has_waited = isinstance(error, StoreError) and not is_alive(error)
        write, tags = Write((EVERYTHING,)), (EVERYTHING_DIGEST,)
        first = self._first(operation, write, tags, (), error if has_waited else None)
        return WriteTicket(write, "", tags, first)

    def _first(
        self,
        operation: str,
        write: Write,
        tags: tuple[bytes, ...],
        watch: Sequence[bytes],
        failure: Exception | None = None,
    ) -> Eviction | None:
        """Evict for the first time; or remember it, or refuse the write.

        failure: of the store in this call, if any. It is not asked again then: that
        may take as long as before.
        """
        eviction = EvictionRequest(tags, self._settings.write_hold_off, watch)
        if self._settings.on_eviction_failure == "send":
            if failure is None:
                return self._evictions.evict(eviction)
            self._evictions.remember(tags, failure)
            return None
        if failure is None:
            try:
                return self._evictions.evict_at_once(eviction)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not evicted
                failure = error
        self._evictions.report("evict_failed", "the write is not sent", failure)
        raise EvictionError(_refusal(operation, write)) from failure

    def _through(
        self, request: Request, parameters: Mapping[str, Any], item: Item | None
    ) -> WriteThrough | None:
        """Return the entry that a write may fill, if it says what the item will be."""
        if item is None:
            return None
        if request.operation == "UpdateItem" and (
            parameters.get("ReturnValues") != "ALL_NEW"
        ):
            return None
        policy = self._reads.policy(item.table)
        if caching_mode(policy, "GetItem", Kind.ITEM) is CachingMode.OFF:
            return None
        if current_mode() is Mode.BYPASS:
            return None
        scope = request.scope()
        if scope is None:
            return None
        read = read_of(item)
        key = entry_key(scope, request.origin, read.operation, read.question)
        return WriteThrough(read, policy, key)

    def _asking_for_images(
        self, request: Request, parameters: dict[str, Any], write: Write
    ) -> bytes | None:
        """Return the request with the old item asked for, if that is of use."""
        if write.item is None or not self._settings.precise_index_eviction:
            return None
        table = write.item.table
        if (
            parameters.get("ReturnValues", "NONE") != "NONE"
            or (request.origin, table) in self._without_images
            or not items.can_be_told(request.operation, parameters)
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
        answer: dict[str, Any],
        *,
        succeeded: bool,
        certain: bool,
    ) -> None:
        """Evict for the second time, learn, and fill what is known."""
        old = _old_image(ticket, answer)
        if ticket.first is None and self._evictions.must_wait(ticket.tags):
            return
        tags = ticket.tags
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
            )
        )
        if second is None:
            return
        outdated = self._learning.outdated(ticket.assumed, second.watched)
        if outdated and not self._evictions.evict_now(outdated):
            return
        if not succeeded or not self._learn(ticket, second, answer):
            return
        if certain and not outdated:
            try:
                self._write_through(ticket, second, answer)
            except Exception as error:  # noqa: BLE001 - the write is evicted already
                self._evictions.report("fill_failed", "an item is not kept", error)

    def _learn(
        self, ticket: WriteTicket, second: Eviction, answer: Mapping[str, Any]
    ) -> bool:
        """Learn what the write says of key attributes; tell whether it is as known."""
        write, origin = ticket.write, ticket.origin
        is_as_known = True
        for table, attributes in write.named:
            generation = second.watched[tag_digest(table_tag(table))]
            lesson = self._learning.learn(origin, table, attributes, generation)
            if lesson is Lesson.UNKNOWN:
                return False
            is_as_known &= lesson is Lesson.CONFIRMED
        if write.described:
            generation = second.watched[tag_digest(table_tag(write.described))]
            self._learning.learn_described(origin, write.described, generation, answer)
        return is_as_known

    def _precisely(
        self, ticket: WriteTicket, old: Mapping[str, Any] | None
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
        return (*ticket.tags, *more), (tag_digest(unknown_image_tag(item.table)),)

    def _write_through(
        self, ticket: WriteTicket, second: Eviction, answer: Mapping[str, Any]
    ) -> None:
        """Fill the item's entry, if nobody else can have written it meanwhile."""
        through, first = ticket.through, ticket.first
        if through is None or first is None or ticket.parameters is None:
            return
        left = items.answer_after(ticket.operation, ticket.parameters, answer)
        if left is None or (left and not through.read.named <= left["Item"].keys()):
            return
        tags = tuple(map(tag_digest, through.read.tags))
        *broad, narrow = tags
        own = second.evicted[narrow]
        around = [first.watched[tag] for tag in broad]
        # Another write of the item, or an eviction of its table or of everything, came
        # between the two: it may have been carried out after this write.
        if not own.was_alone or [second.watched[tag] for tag in broad] != around:
            return
        if self._evictions.are_waiting(tags):
            return
        loaded = self._store.load(through.key, tags)
        # Only under the generation that the second eviction left: a later one may be of
        # a write that came after it.
        if loaded.snapshot == (*around, own.generation):
            self._reads.fill(
                ReadTicket(
                    through.read,
                    ticket.origin,
                    through.policy,
                    through.key,
                    loaded,
                    self._store.now(),
                    tags,
                ),
                left,
            )


def _finds_a_write(first: Eviction, through: WriteThrough, now: float) -> bool:
    """Tell whether another write of the item may be under way, by a first eviction.

    Whoever wrote it may be dead, or have had no answer: it may be carried out after
    ours, and nobody evicts then. That its hold-off is over when ours ends proves
    nothing.
    """
    if first.held is Held.WRITING:
        return True
    item = first.evicted[tag_digest(through.read.tags[-1])]
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
        watch += map(tag_digest, through.read.tags[:-1])
    return list(dict.fromkeys(watch))


def _old_image(ticket: WriteTicket, answer: dict[str, Any]) -> Mapping[str, Any] | None:
    """Take the old image, which the application did not ask for, out of an answer.

    None when it was not asked for by anybody.
    """
    if ticket.body is not None:
        image: Mapping[str, Any] = answer.pop("Attributes", {})
        return image
    asked = (ticket.parameters or {}).get("ReturnValues")
    return answer.get("Attributes", {}) if asked == "ALL_OLD" else None
