"""The items that a process remembers of BatchGetItem, and under which conditions.

Each key of a batch is remembered by itself, so that any batch of remembered keys is
answered. The law is that of every near hit, and it holds for each key. What it needs is
asked once for all keys of a batch: the pending evictions, the time, and the store's
word that all generations are current. The keys for which it does not hold, and those
that are not remembered, are left to the store.

An item is kept in MessagePack. Those of a table are joined to a list, and decoded in
one call.
"""

import struct
from collections import Counter
from collections.abc import Sequence
from itertools import chain, repeat
from operator import attrgetter
from time import perf_counter
from typing import Final, NamedTuple, Protocol, TypeAlias, cast

import msgspec

from botocache._cache.batches import zero_capacity
from botocache._cache.entries import Entry
from botocache._cache.prepare import PreparedRead
from botocache._cache.services import CacheServices
from botocache._cache.tickets import Hit, KnownHits, Lookups, response_metadata
from botocache._counting.counters import NEAR_SAMPLED, Counters, NearHits
from botocache._dynamodb.key_texts import text_of_key
from botocache._dynamodb.limits import BATCH_KEYS
from botocache._dynamodb.plans import KeyAttributes, Read
from botocache._dynamodb.read_units import ReadCost
from botocache._dynamodb.types import Answer, Item
from botocache._errors import shows
from botocache._near.batch_arguments import Batch
from botocache._near.fill_places import place_of
from botocache._near.lru import LRUCache

BATCH: Final = "BatchGetItem"

_MOST_GROUPS = 1000
"""Groups that a cache knows; at one more, it forgets them all."""

_ITEM_SIZE = 900
"""Bytes of a remembered item without its own and its key's, as measured."""

_TABLE, _NARROW = slice(2), slice(2, -1)
"""Places of the tags of everything and of the table, and of the narrow ones."""

_head = struct.Struct(">BH").pack
_LIST = 0xDC
"""MessagePack's list of up to 65,535 members: this byte, then how many."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[dict[str, object]]).decode


class _Group:
    """The items of one table that a client has read with equal options.

    named: the attributes of their keys.
    """

    __slots__ = ("named",)

    def __init__(self, named: KeyAttributes) -> None:
        self.named = named


@shows()
class _Broad(NamedTuple):
    """Tags that many items have in common: of everything, the table and the reader.

    generations: in the order of the tags.
    """

    tags: tuple[bytes, ...]
    generations: tuple[int, ...]


@shows("size", "stored_at", "expires_at")
class NearItem(NamedTuple):
    """What is remembered of a key.

    size: bytes that this takes.
    key: of the store's entry. Equal for two spellings of one key.
    packed: the item in MessagePack; empty if there is none.
    stored_at: when the entry was filled, in seconds on the store's clock.
    expires_at: when it expires, in seconds on the store's clock.
    broad: tags that it has in common with others, and their generations.
    tags: its other tags.
    generations: of these.
    places: of the entries that the key would load from the store.
    fills: what these places held. Another fill has outdated this.
    hits: counts what is served of it.
    """

    size: int
    key: bytes
    packed: bytes
    stored_at: float
    expires_at: float
    broad: _Broad
    tags: tuple[bytes, ...]
    generations: tuple[int, ...]
    places: tuple[int, ...]
    fills: tuple[object, ...]
    hits: NearHits


Found: TypeAlias = list[list[NearItem | None]]
"""What is remembered of a batch: for each part, and each of its keys."""


@shows()
class KnownItems(NamedTuple):
    """The keys of a batch that memory answers, if it does not answer all.

    found: their items, and None for the other keys.
    hits: made of these.
    """

    found: Found
    hits: KnownHits


_key_of = attrgetter("key")
_packed_of = attrgetter("packed")
_stored_of = attrgetter("stored_at")
_expiry_of = attrgetter("expires_at")
_broad_of = attrgetter("broad")
_tags_of = attrgetter("tags")
_generations_of = attrgetter("generations")
_places_of = attrgetter("places")
_fills_of = attrgetter("fills")
_hits_of = attrgetter("hits")


class Memory(Protocol):
    """What the near cache remembers of all calls."""

    last_fill: object

    def on_batch(self, table: str, hits: int, age: float) -> None:
        """Hear of the near hits of a batch."""


class CallToRemember(Protocol):
    """A call whose hits are remembered. See `NearAnswers`."""

    last_fill: object
    valid_until: float


class BatchAnswers:
    """The items that one cache remembers.

    memory: that they share with the answers to other calls.
    items: that memory, for items.
    fills: the last fill of each place; see `NearAnswers.on_fill`.
    """

    def __init__(
        self,
        services: CacheServices,
        memory: Memory,
        items: LRUCache[NearItem],
        fills: Sequence[object],
    ) -> None:
        store = services.store
        self._counters: Final = services.counters
        self._now: Final = store.now
        self._is_current: Final = store.is_current
        self._pending: Final = services.evictions.pending.tags
        self._audits: Final = services.audits
        self._memory: Final = memory
        self._items: Final = items
        self._fills: Final = fills
        self._groups: Final[dict[tuple[object, str, bytes], _Group]] = {}

    # --- serving -------------------------------------------------------------------

    def find(self, token: object, batch: Batch) -> Found:
        """Return what is remembered of each key.

        token: stands for the client and its credentials.
        """
        found: Found = []
        for part in batch.parts:
            group = self._groups.get((token, part.table, part.options))
            if group is None:
                found.append([None] * len(part.marks))
            else:
                found.append(self._items.get_many([*zip(repeat(group), part.marks)]))
        return found

    def serve(self, batch: Batch, found: Found, started: float) -> Answer | None:
        """Return the answer as a hit; None if it may not be served, or not whole.

        found: what `find` has returned since the call began.
        started: when the call began, by `perf_counter`.
        """
        # Pending evictions before the generations, see NearAnswers.serve.
        if self._pending or not all(map(all, found)):
            return None
        by_part = cast("list[list[NearItem]]", found)
        items = by_part[0] if len(by_part) == 1 else [*chain.from_iterable(by_part)]
        if not items or not _is_accepted(batch, items) or self._is_refilled(items):
            return None
        now = self._now()
        if now >= min(map(_expiry_of, items)):
            self._count_expired(items, now)
            return None
        if not self._are_current(items) or self._is_drawn(items):
            return None
        age = now - min(map(_stored_of, items))
        answer: Answer = {
            "Responses": {
                part.table: _decoded(each)
                for part, each in zip(batch.parts, by_part, strict=True)
            },
            "UnprocessedKeys": {},
        }
        if batch.capacity != "NONE":
            answer["ConsumedCapacity"] = [
                zero_capacity(part.table, batch.capacity) for part in batch.parts
            ]
        answer["ResponseMetadata"] = response_metadata(items[-1].key.hex(), age)
        for part, each in zip(batch.parts, by_part, strict=True):
            _count(each, part.keys, started)
            self._memory.on_batch(part.table, len(each), age)
        return answer

    def serve_some(
        self, token: object, batch: Batch, found: Found
    ) -> KnownItems | None:
        """Return the keys that memory answers; None if there are none.

        Call `count` once they are served. See `find` and `serve` for the arguments.
        """
        # The draws of an audit are made in the order of hits. So they are the store's.
        if self._pending or self._audits is not None:
            return None
        items = [*filter(None, chain.from_iterable(found))]
        if not items or not _is_accepted(batch, items):
            return None
        now = self._now()
        if not self._may_serve(items, now):
            # A write has evicted one of them, mostly. The others are as good as before.
            found = [
                [
                    each if each and self._may_serve([each], now) else None
                    for each in part
                ]
                for part in found
            ]
        is_any = any(map(any, found))
        if (
            not is_any
            or all(map(all, found))
            or not self._is_alike(token, batch, found)
        ):
            return None
        parts = zip(batch.parts, found, strict=True)
        return KnownItems(found, {part.table: _hits(each, now) for part, each in parts})

    def count(self, batch: Batch, known: KnownItems, started: float) -> None:
        """Count the keys that memory has answered. See `serve_some`.

        started: when the call began, by `perf_counter`.
        """
        now = self._now()
        for part, found in zip(batch.parts, known.found, strict=True):
            items = [*filter(None, found)]
            if items:
                keys = [key for key, item in zip(part.keys, found, strict=True) if item]
                _count(items, keys, started)
                age = now - min(map(_stored_of, items))
                self._memory.on_batch(part.table, len(items), age)

    def _is_alike(self, token: object, batch: Batch, found: Found) -> bool:
        """Return whether the keys that are left name the attributes of the others."""
        for part, items in zip(batch.parts, found, strict=True):
            group = self._groups.get((token, part.table, part.options))
            if group is not None and not all(
                item is not None or (type(key) is dict and key.keys() == group.named)
                for key, item in zip(part.keys, items, strict=True)
            ):
                return False
        return True

    def _may_serve(self, items: Sequence[NearItem], now: float) -> bool:
        """Return whether the law allows to serve all of the items."""
        return (
            not self._is_refilled(items)
            and now < min(map(_expiry_of, items))
            and self._are_current(items)
        )

    def _is_refilled(self, items: Sequence[NearItem]) -> bool:
        """Return whether this process has filled one of the items anew."""
        # As lists in C, by identity: a fill is a plain object, or None.
        places = chain.from_iterable(map(_places_of, items))
        fills = [*chain.from_iterable(map(_fills_of, items))]
        return [*map(self._fills.__getitem__, places)] != fills

    def _are_current(self, items: Sequence[NearItem]) -> bool:
        """Return whether the generations of all items are current."""
        # One question for all keys. Items of one table with other generations of broad
        # tags are all asked about, so that one of them is not current.
        tags = [*chain.from_iterable(map(_tags_of, items))]
        generations = [*chain.from_iterable(map(_generations_of, items))]
        for broad in {id(each): each for each in map(_broad_of, items)}.values():
            tags += broad.tags
            generations += broad.generations
        return self._is_current(tags, generations)

    def _is_drawn(self, items: Sequence[NearItem]) -> bool:
        """Return whether an item is drawn for an audit, which is then made."""
        audits = self._audits
        if audits is None:
            return False
        drawn = [audits.draw() for _ in items]
        if any(drawn):
            audits.pass_on_draws(drawn)
            return True
        return False

    def _count_expired(self, items: Sequence[NearItem], now: float) -> None:
        """Count what is too old, and no write has evicted."""
        for item in items:
            if now >= item.expires_at and self._are_current([item]):
                item.hits.expire()

    # --- remembering ---------------------------------------------------------------

    def remember(
        self, call: CallToRemember, token: object, batch: Batch, lookups: Lookups
    ) -> None:
        """Remember the hits of a batch that the store has loaded.

        Does nothing if the store cannot confirm generations without a round trip, or if
        this process filled any entry since the call began.
        """
        made = [
            (part, mark, lookup, lookup.prepared, lookup.entry)
            for part in batch.parts
            for mark, lookup in zip(part.marks, lookups[part.table], strict=True)
            if isinstance(lookup, Hit)
            and lookup.prepared
            and lookup.entry
            and not self._has((token, part.table, part.options), mark, lookup.entry)
        ]
        if not made or not self._is_current(made[0][3].tags, made[0][4].snapshot):
            return
        places = [_places(prepared) for *_, prepared, _ in made]
        fills = [tuple([self._fills[place] for place in each]) for each in places]
        # The places first, then the comparison: see NearAnswers.remember.
        if self._memory.last_fill is not call.last_fill:
            return
        maker = _ItemMaker(self._counters, call.valid_until)
        for (part, mark, hit, prepared, entry), at, filled in zip(
            made, places, fills, strict=True
        ):
            group = self._group_of((token, part.table, part.options), prepared.read)
            size = _ITEM_SIZE + len(entry.packed)
            if self._items.admits((group, mark), size):
                item = maker.item(prepared, entry, hit.answer, mark, at, filled)
                self._items.put((group, mark), item)

    def _has(self, place: tuple[object, str, bytes], mark: bytes, entry: Entry) -> bool:
        """Return whether an entry's item is remembered."""
        item = self._items.get((self._groups.get(place), mark))
        return (
            item is not None
            and item.stored_at == entry.stored_at
            and item.generations == entry.snapshot[_NARROW]
            and item.broad.generations == (*entry.snapshot[_TABLE], entry.snapshot[-1])
            and item.fills == tuple([self._fills[place] for place in item.places])
        )

    def _group_of(self, place: tuple[object, str, bytes], read: Read) -> _Group:
        group = self._groups.get(place)
        # Other attributes: the table was made anew. DynamoDB refuses a batch whose keys
        # of one table have different ones.
        if group is None or group.named != read.named:
            if len(self._groups) >= _MOST_GROUPS:
                self._groups.clear()
            group = self._groups[place] = _Group(read.named)
        return group


class _ItemMaker:
    """Makes the items of one batch. They share what is equal among them."""

    def __init__(self, counters: Counters, expires_at: float) -> None:
        self._counters = counters
        self._expires_at = expires_at
        self._broad: dict[_Broad, _Broad] = {}
        self._hits: dict[tuple[str, ReadCost], NearHits] = {}

    def item(  # noqa: PLR0913, PLR0917 - what an item consists of
        self,
        prepared: PreparedRead,
        entry: Entry,
        answer: Answer,
        mark: bytes,
        places: tuple[int, ...],
        fills: tuple[object, ...],
    ) -> NearItem:
        """Return what is remembered of a hit."""
        tags, generations = prepared.tags, entry.snapshot
        broad = _Broad(
            (*tags[_TABLE], tags[-1]), (*generations[_TABLE], generations[-1])
        )
        broad = self._broad.setdefault(broad, broad)
        packed = _encode(answer["Item"]) if "Item" in answer else b""
        return NearItem(
            _ITEM_SIZE + len(packed) + len(mark),
            prepared.key,
            packed,
            entry.stored_at,
            min(entry.expires_at, self._expires_at),
            broad,
            tags[_NARROW],
            generations[_NARROW],
            places,
            fills,
            self._hits_of(prepared.read.table, entry.cost),
        )

    def _hits_of(self, table: str, cost: ReadCost) -> NearHits:
        hits = self._hits.get((table, cost))
        if hits is None:
            series = self._counters.series(table, BATCH)
            hits = self._hits[table, cost] = series.near_hits(
                cost.units(), is_estimated=cost.is_estimated
            )
        return hits


def _places(prepared: PreparedRead) -> tuple[int, ...]:
    """Return the places of the entries that a read would load from the store."""
    place, whole = place_of(prepared.key), prepared.whole_item_key
    return (place,) if whole is None else (place, place_of(whole))


def _decoded(items: Sequence[NearItem]) -> list[Item]:
    """Return the items that are there, in fresh objects."""
    packed = [*filter(None, map(_packed_of, items))]
    # One call for all takes a tenth less than one for each.
    return cast("list[Item]", _decode(_head(_LIST, len(packed)) + b"".join(packed)))


def _hits(items: Sequence[NearItem | None], now: float) -> list[Hit | None]:
    """Return the hits of those items that are there."""
    decoded = iter(_decoded([*filter(None, items)]))
    return [
        item
        and Hit(
            {"Item": next(decoded)} if item.packed else {},
            now - item.stored_at,
            item.key,
        )
        for item in items
    ]


def _count(items: Sequence[NearItem], keys: Sequence[object], started: float) -> None:
    """Count the near hits of a table, and take note of those that stand for several."""
    counts = [*map(_hits_of, items)]
    # Items of one table cost alike, mostly. A Counter takes three times as long.
    is_one = counts.count(counts[0]) == len(counts)
    numbers = {counts[0]: len(counts)} if is_one else Counter(counts)
    for hits, number in numbers.items():
        first = hits.take(number)[0]
        # The place of the first whose number leaves 1: see NearHits.number.
        place = (1 - first) % NEAR_SAMPLED
        if place < number:
            own = [at for at, item in enumerate(items) if item.hits is hits]
            at = own[place]
            seconds = perf_counter() - started
            hits.sample(seconds, items[at].key.hex(), text_of_key, keys[at])


def _is_accepted(batch: Batch, items: Sequence[NearItem]) -> bool:
    """Return whether DynamoDB accepts these keys and the parameters together.

    It has accepted each by itself. See `_check_parts` and `_check_keys` of
    `_dynamodb/reads.py`.
    """
    kinds = {part.projects_by for part in batch.parts}
    return (
        sum(len(part.keys) for part in batch.parts) <= BATCH_KEYS
        and len(set(map(_key_of, items))) == len(items)
        and len(kinds - {None}) <= 1
    )
