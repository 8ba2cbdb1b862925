"""The key attributes of tables, learned from calls and shared through the store.

The cache never calls DescribeTable: an IAM policy may forbid it, and a call of our own
would be a side effect. It learns from requests that DynamoDB accepted. A schema is
stored as an entry that depends on its table's tag, so an eviction of the table makes
every process forget it. A plan that rests on a schema must check that the tag still has
the schema's generation.

The entry has the schemas of all tables of one name, one for each origin and account,
with the types of the key attributes. `Cache.invalidate`, which has neither, checks a
key against it. Two processes that fill it at once may lose one of the two; a later call
learns it anew.

Two tables of one name and one origin, of accounts that are not known, have one place.
Where their key attributes differ, each would evict what the other has cached, for ever.
So after some rounds the place is *ambiguous* to a process: it learns no key attributes
of it and uses none. Its reads of such a table depend on any write to the table, and its
writes evict the table. That is coherent whatever other processes have learned.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias, TypedDict

import msgspec

from botocache._cache.call_store import CallStore
from botocache._cache.entries import (
    CLOCK_SKEW,
    EntryCodec,
    decode_body,
    decode_header,
    encode_body,
)
from botocache._cache.evictions import Evictions
from botocache._cache.invalidation import KeyTypes
from botocache._cache.prepare import Call
from botocache._coherence import may_serve
from botocache._digests import digest
from botocache._dynamodb.operations import may_write
from botocache._dynamodb.plans import KeyAttributes, described_keys, described_types
from botocache._dynamodb.tags import Tag, table_tag, tag_digest
from botocache._dynamodb.types import Answer
from botocache._dynamodb.values import table_account, table_name
from botocache._errors import CodecError, pass_on
from botocache._log import log, log_once
from botocache.stores.protocol import Fill

TTL = 7 * 24 * 3600.0
"""Seconds for which the store keeps a schema. Another call learns it anew."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A table's key attributes, true while the table's tag has this generation.

    place: see `place_of`.
    tag: the digest of the table's tag.
    attributes: their names.
    generation: of the tag when the attributes were learned.
    confirmed_at: when DynamoDB last accepted the attributes, in seconds on the store's
        clock.
    """

    place: "Place"
    tag: bytes
    attributes: KeyAttributes
    generation: int
    confirmed_at: float


Place: TypeAlias = tuple[str, str]
"""What tells apart the tables of one name, and the name."""

MOST_ORIGINS = 16
"""Places of which an entry has a table's schema; those confirmed last."""

MOST_ROUNDS = 3
"""Times that key attributes come back at a place, before it is ambiguous."""

_ROUNDS_WITHIN = 600.0
"""Seconds between two contradictions, after which they are not counted together."""

_AMBIGUOUS_FOR = 3600.0
"""Seconds for which a place is ambiguous."""

_MOST_PLACES = 1000
"""Places with contradictions that are kept; at one more, all are forgotten."""


LONGEST_ARN = 2048
"""Characters. What is longer names no table, and must not be remembered whole."""


@lru_cache(maxsize=1024)
def place_of(origin: str, account: str, table: str) -> Place:
    """Return the place of a table.

    Tables of two accounts may have one name, and an endpoint serves all accounts.

    origin: which DynamoDB, by region and endpoint.
    account: of the caller; "" if it is not known.
    table: the request's TableName. An ARN names the account itself.
    """
    if not account:
        # A name and an ARN may be of one table: what is learned by one serves both.
        return origin, table_name(table)
    return f"{origin} {table_account(table) or account}", table_name(table)


_MOST_SETS = 100
"""Sets of key attributes kept of a place; at one more, counting begins anew."""


class _Contradictions(NamedTuple):
    """What calls have contradicted at a place.

    attributes: sets of key attributes that were known there, or named.
    rounds: how often one of them has come back.
    last: when, in seconds on the store's clock.
    """

    attributes: frozenset[KeyAttributes] = frozenset()
    rounds: int = 0
    last: float = 0.0


_MOST_ATTRIBUTES = 2
"""Key attributes of a table: a partition key, and perhaps a sort key."""


class _Body(TypedDict):
    """The body of an entry.

    origins: by origin, the moment at which the key attributes were confirmed, in
        seconds on the store's clock, and their types by name, as far as known.
    """

    origins: dict[str, tuple[float, dict[str, Literal["S", "N", "B", ""]]]]


_decode: Final = msgspec.msgpack.Decoder(_Body).decode

MOST_TABLES = 10_000
"""Tables whose schemas a process keeps. An application may name tables by its input."""


class _Shared(NamedTuple):
    """What processes share of the tables of one name.

    generation: of the table's tag; 0 if nothing is shared.
    schemas: by origin, the moment at which the key attributes were confirmed, in
        seconds on the store's clock, and the attributes.
    """

    generation: int = 0
    schemas: Mapping[str, tuple[float, KeyTypes]] = MappingProxyType({})

    def schema(self, place: Place, tag: bytes) -> Schema | None:
        """Return the schema of a table, if it is shared."""
        found = self.schemas.get(place[0])
        if found is None:
            return None
        confirmed_at, types = found
        return Schema(place, tag, frozenset(types), self.generation, confirmed_at)


class KeySchemas:
    """The schemas of one cache, by place.

    codec: of the entries.
    fresh_for: seconds after a confirmation for which reads may rest on a schema.
    now: the store's clock.
    ambiguous: the places that are, and until when.
    known_schemas: a live view of what this process knows; it may be outdated.
    """

    def __init__(
        self,
        evictions: Evictions,
        codec: EntryCodec,
        fresh_for: float,
        now: Callable[[], float],
    ) -> None:
        self._evictions: Final = evictions
        self._codec: Final = codec
        self._fresh_for: Final = fresh_for
        self._now: Final = now
        self._known: Final[dict[Place, Schema]] = {}
        self.known_schemas: Final[Mapping[Place, Schema]] = self._known
        self._contradictions: Final[dict[Place, _Contradictions]] = {}
        self.ambiguous: Final[dict[Place, float]] = {}

    # --- before a call ---------------------------------------------------------------

    def recall(self, store: CallStore, place: Place, *, is_read: bool) -> Schema | None:
        """Return a table's schema from this process or the store; it may be outdated.

        is_read: return a fresh schema or none. A table may be created anew, around
            botocache, with other key attributes. A write that rests on the old ones
            evicts too much at worst, as long as no read rests on them.
        """
        if self.ambiguous and self.is_ambiguous(place):
            return None
        schema = self._known.get(place)
        if schema is None:
            try:
                schema = self._load(store, place)
            except Exception as error:
                pass_on(error)
                self._evictions.report(
                    "recall_failed", "a put evicts its whole table meanwhile", error
                )
        if schema is None or not is_read:
            return schema
        is_fresh = store.now() - schema.confirmed_at < self._fresh_for
        return schema if is_fresh else None

    def load_generation(self, store: CallStore, place: Place) -> int:
        """Return the current generation of a table's tag. May raise StoreError."""
        tag = tag_digest(table_tag(place[1]))
        return store.load(schema_key(place[1]), (tag,)).snapshot[0]

    def forget(self, schema: Schema) -> None:
        """Drop a schema that no longer holds."""
        # Another thread may have learned a newer one already.
        if self._known.get(schema.place) is schema:
            del self._known[schema.place]

    def forget_outdated(
        self, assumed: tuple[Schema, ...], watched: Mapping[bytes, int]
    ) -> tuple[bytes, ...]:
        """Drop the schemas that no longer hold; return the tags of their tables.

        watched: the current generations of the tables' tags, by tag.
        """
        outdated = [
            schema for schema in assumed if schema.generation != watched[schema.tag]
        ]
        for schema in outdated:
            self.forget(schema)
        return tuple(schema.tag for schema in outdated)

    def known(self, place: Place, attributes: KeyAttributes) -> Schema | None:
        """Return the schema of a table, if a call with these shows nothing new.

        attributes: all key attributes of the table, as the call has confirmed them.
        """
        known = self._known.get(place)
        if (
            known is not None
            and known.attributes == attributes
            and self._now() - known.confirmed_at < self._fresh_for / 2
        ):
            return known
        return None

    # --- after a call ----------------------------------------------------------------

    def learn(  # noqa: PLR0913 - what a call can show, and each call shows a part of it
        self,
        store: CallStore,
        place: Place,
        attributes: KeyAttributes,
        generation: int,
        *,
        is_complete: bool = True,
        tags: Sequence[Tag] = (),
        types: KeyTypes | None = None,
    ) -> bool:
        """Learn what DynamoDB accepted; return whether the call's answer may be filled.

        If other key attributes were known for the same generation, the table was
        created anew around botocache. Then evict the table, and return False.

        place: of the table.
        attributes: all key attributes of the table if `is_complete`, else some of them.
        generation: of the table's tag before the call was sent.
        tags: of the call. The tag of an item shows the types of the key attributes.
        types: of the key attributes, where the answer tells them.
        """
        known = self._known.get(place)
        if (
            known is not None
            and known.generation == generation
            and known.attributes == attributes
            and store.now() - known.confirmed_at < self._fresh_for / 2
        ):
            return True  # nothing new: the path of every miss
        if self.ambiguous and self.is_ambiguous(place):
            return True
        try:
            new = Schema(
                place,
                tag_digest(table_tag(place[1])),
                attributes,
                generation,
                store.now(),
            )
            types = types or types_in(tags, place[1], attributes)
            is_as_known = self._learn(store, new, types, is_complete=is_complete)
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "learn_failed", "a later call learns a table's key attributes", error
            )
            return False
        if not is_as_known:
            self._evictions.evict_tags((tag_digest(table_tag(place[1])),), store)
        return is_as_known

    def is_ambiguous(self, place: Place) -> bool:
        """Return whether tables of different key attributes have this place."""
        until = self.ambiguous.get(place)
        if until is None:
            return False
        if self._now() < until:
            return True
        self.ambiguous.pop(place, None)
        return False

    def _note_contradiction(self, known: Schema, new: Schema) -> None:
        """Count a contradiction; with too many the place is ambiguous.

        A table that was created anew contradicts once. Only key attributes that come
        back, again and again, are those of two tables.
        """
        place, now = new.place, new.confirmed_at
        seen = self._contradictions.get(place, _Contradictions())
        if now - seen.last > _ROUNDS_WITHIN or len(seen.attributes) > _MOST_SETS:
            seen = _Contradictions()
        rounds = seen.rounds + (new.attributes in seen.attributes)
        for each in (self._contradictions, self.ambiguous):
            if len(each) >= _MOST_PLACES:
                each.clear()
        if rounds < MOST_ROUNDS:
            both = {known.attributes, new.attributes}
            self._contradictions[place] = _Contradictions(
                seen.attributes | both, rounds, now
            )
            return
        self._contradictions.pop(place, None)
        self.ambiguous[place] = now + _AMBIGUOUS_FOR
        log_once(log.warning, "key_schema_conflict", _CONFLICT % place[1])

    def learn_described(
        self, store: CallStore, place: Place, generation: int, answer: Answer
    ) -> None:
        """Learn from an answer that describes a table, if it is that of `place`."""
        try:
            described = described_keys(answer)
            types = described_types(answer)
        except (AttributeError, LookupError, TypeError) as error:  # of a stub, perhaps
            pass_on(error)
            return
        if described is not None and described[0] == place[1]:
            self.learn(store, place, described[1], generation, types=types)

    def _learn(
        self, store: CallStore, new: Schema, types: KeyTypes, *, is_complete: bool
    ) -> bool:
        """Fill a schema if it is new; return False if it contradicts the known one."""
        known = self._known.get(new.place)
        shared: _Shared | None = None
        if known is None or known.generation != new.generation:
            # Another process may have learned it under this generation.
            shared = self._load_shared(store, new.place[1])
            known = self._remember_shared(shared, new.place)
        if known is None or known.generation != new.generation:
            if is_complete:
                self._fill(store, new, types, shared)
            return True
        if new.attributes == known.attributes:
            # At half of `fresh_for`, so that a schema in use stays fresh everywhere.
            age = new.confirmed_at - known.confirmed_at
            if is_complete and age > self._fresh_for / 2:
                self._fill(store, new, types, shared)
            return True
        if not is_complete and new.attributes < known.attributes:
            return True  # a query names the partition key alone, for example
        self.forget(known)
        self._note_contradiction(known, new)
        return False

    def _load(self, store: CallStore, place: Place) -> Schema | None:
        """Return the store's schema of a table, if it is current."""
        return self._remember_shared(self._load_shared(store, place[1]), place)

    def _remember_shared(self, shared: _Shared, place: Place) -> Schema | None:
        schema = shared.schema(place, tag_digest(table_tag(place[1])))
        return None if schema is None else self._remember(schema)

    def _load_shared(self, store: CallStore, table: str) -> _Shared:
        """Return what is shared of the tables of a name, if it is current."""
        key = schema_key(table)
        loaded = store.load(key, (tag_digest(table_tag(table)),))
        if loaded.entry is None:
            return _Shared()
        try:
            header = decode_header(loaded.entry)
            now = store.now()
            if not may_serve(header.snapshot, loaded.snapshot, header.expires_at, now):
                return _Shared()
            body = decode_body(self._codec.open(key, header), _decode)
        except CodecError:
            return _Shared()
        schemas = {
            origin: (confirmed_at, types)
            for origin, (confirmed_at, types) in body["origins"].items()
            # A schema from the future would stay fresh for ever.
            if 0.0 <= confirmed_at <= now + CLOCK_SKEW
            and 0 < len(types) <= _MOST_ATTRIBUTES
        }
        return _Shared(header.snapshot[0], schemas)

    def _fill(
        self, store: CallStore, new: Schema, types: KeyTypes, shared: _Shared | None
    ) -> None:
        # Before the fill, which may fail: this process has learned it all the same.
        self._remember(new)
        origin, table = new.place
        # Two endpoints may have a table of this name, each with a key of its own.
        shared = shared or self._load_shared(store, table)
        named = {name: types.get(name, "") for name in new.attributes}
        schemas: dict[str, tuple[float, KeyTypes]] = {origin: (new.confirmed_at, named)}
        if shared.generation == new.generation:
            schemas = {**shared.schemas, **schemas}
        latest = sorted(schemas.items(), key=lambda item: item[1][0])[-MOST_ORIGINS:]
        # Under the generation from before the call: if the table was evicted since, no
        # process uses the entry.
        now, key = new.confirmed_at, schema_key(table)
        packed = encode_body({"origins": dict(latest)}, _decode)
        entry = self._codec.encode(key, packed, (new.generation,), now, now + TTL)
        store.fill([Fill(key, entry, TTL, (new.tag,))])

    # --- for invalidations -----------------------------------------------------------

    def types_of(self, store: CallStore, table: str) -> list[KeyTypes]:
        """Return the key attributes with their types, as far as they are known.

        One for each place of a table of this name, and none if no process that shares
        the store has learned them, or if one of the places is ambiguous. Never raises.
        """
        if any(place[1] == table for place in self.ambiguous.copy()):
            return []
        try:
            shared = self._load_shared(store, table)
            return [types for _, types in shared.schemas.values()]
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "recall_failed", "the key of an invalidation is not checked", error
            )
            return []

    def _remember(self, schema: Schema) -> Schema:
        self._known[schema.place] = schema
        if len(self._known) > MOST_TABLES:
            # The one that was learned first. A look-up in the store finds it again.
            self._known.pop(next(iter(self._known)), None)
        return schema


def schema_key(table: str) -> bytes:
    """Return the key under which the schemas of all tables of a name are shared."""
    return digest("schemas", table)


def types_in(
    tags: Sequence[Tag], table: str, attributes: KeyAttributes
) -> dict[str, str]:
    """Return the types of key attributes that the tag of an item shows."""
    for tag in tags:
        # Three parts for each attribute: name, type and canonical value.
        names, kinds = tag.detail[::3], tag.detail[1::3]
        if tag.kind == "item" and tag.table == table and attributes.issuperset(names):
            return dict(zip(map(str, names), map(str, kinds), strict=True))
    return {}


_CONFLICT = (
    "tables with the name %r have different key attributes at one endpoint, and their "
    "accounts are not known. For an hour each write to one of them evicts all that is "
    "cached of both. Give each account a `namespace` of its own"
)


class KeyRecall:
    """Recalls schemas for the plan of one call, and records them.

    schemas: those that the plan rests on, by table.
    """

    __slots__ = ("_call", "_key_schemas", "_store", "schemas")

    def __init__(self, key_schemas: KeySchemas, store: CallStore, call: Call) -> None:
        self._key_schemas = key_schemas
        self._store = store
        self._call = call
        self.schemas: dict[str, Schema] = {}

    def keys_of(self, table: str) -> KeyAttributes | None:
        """Return the names of a table's key attributes. See KeysOf."""
        schema = self.schemas.get(table)
        if schema is not None:  # the plan of a put asks twice
            return schema.attributes
        call = self._call
        place = place_of(call.origin, call.account, table[:LONGEST_ARN])
        schema = self._key_schemas.recall(
            self._store, place, is_read=not may_write(call.operation)
        )
        if schema is None:
            is_ambiguous = self._key_schemas.is_ambiguous(place)
            return frozenset() if is_ambiguous else None
        self.schemas[table] = schema
        return schema.attributes
