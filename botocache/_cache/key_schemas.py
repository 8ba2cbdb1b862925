"""What is learned of tables' key attributes, in this process and through the store.

A schema is never asked for (an IAM policy may not allow it, and a call of our own
would be a side effect): it is read off requests that DynamoDB accepted. It is shared
as an entry that depends on its table's tag, so evicting the table forgets it, in
every process, and whoever rests on one must see that the tag's generation is still
the one under which it was learned.
"""

from dataclasses import dataclass

from botocache._cache.entries import decode_entry, encode_entry
from botocache._cache.entry_keys import schema_key
from botocache._coherence import may_serve
from botocache._dynamodb.plans import KeyAttributes
from botocache._dynamodb.tags import table_tag, tag_digest
from botocache._errors import CodecError
from botocache.stores.protocol import Store

TTL = 7 * 24 * 3600.0
"""Seconds that a schema is shared; it is learned anew at no cost."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A table's key attributes, true while its tag has this generation.

    tag: the digest of the table's tag. place: origin and table. confirmed_at: when
    DynamoDB last accepted them, in seconds on the store's clock.
    """

    place: tuple[str, str]
    tag: bytes
    attributes: KeyAttributes
    generation: int
    confirmed_at: float


class Schemas:
    """Schemas by origin and table. Every method may raise StoreError.

    fresh_for: seconds for which a confirmation is good enough to rest a read on.
    """

    def __init__(self, store: Store, fresh_for: float) -> None:
        self._store = store
        self._fresh_for = fresh_for
        self._known: dict[tuple[str, str], Schema] = {}

    def recall(self, origin: str, table: str) -> Schema | None:
        """Return what this process knows, or the store; perhaps outdated."""
        return self.known(origin, table) or self._look_up(origin, table)

    def known(self, origin: str, table: str) -> Schema | None:
        """Return what this process knows by itself; perhaps outdated."""
        return self._known.get((origin, table))

    def is_fresh(self, schema: Schema) -> bool:
        """Tell whether it was confirmed lately.

        A table may be made anew, around us, with other key attributes. A write that
        rests on the old ones evicts too much at worst, as long as no read did.
        """
        return self._store.now() - schema.confirmed_at < self._fresh_for

    def generation(self, origin: str, table: str) -> int:
        """Return the generation that the table's tag has now."""
        tag = tag_digest(table_tag(table))
        return self._store.load(schema_key(origin, table), (tag,)).snapshot[0]

    def learn(
        self,
        origin: str,
        table: str,
        attributes: KeyAttributes,
        generation: int,
        *,
        is_complete: bool = True,
    ) -> bool:
        """Keep what DynamoDB confirmed when the table's tag had this generation.

        is_complete: these are all key attributes of the table, not some of them.
        False when something else was known of the same generation: the table is
        another one now, and the caller must evict it.
        """
        known = self._known.get((origin, table))
        if known is None or known.generation != generation:
            known = self._look_up(origin, table)
        if known is None or known.generation != generation:
            if is_complete:
                self._keep(origin, table, attributes, generation)
            return True
        if attributes == known.attributes:
            age = self._store.now() - known.confirmed_at
            if is_complete and age > self._fresh_for / 2:
                self._keep(origin, table, attributes, generation)
            return True
        if not is_complete and attributes < known.attributes:
            return True
        self.forget(known)
        return False

    def forget(self, schema: Schema) -> None:
        """Let go of a schema that no longer holds."""
        if self._known.get(schema.place) is schema:
            del self._known[schema.place]

    def _look_up(self, origin: str, table: str) -> Schema | None:
        """Return what the store has, if it is current."""
        tag = tag_digest(table_tag(table))
        loaded = self._store.load(schema_key(origin, table), (tag,))
        if loaded.entry is None:
            return None
        try:
            entry = decode_entry(loaded.entry)
            now = self._store.now()
            if not may_serve(entry.snapshot, loaded.snapshot, entry.expires_at, now):
                return None
            attributes = frozenset(entry.body()["attributes"])
        except (CodecError, TypeError, KeyError):
            return None
        return self._remember(
            origin, table, attributes, loaded.snapshot[0], entry.stored_at
        )

    def _keep(
        self, origin: str, table: str, attributes: KeyAttributes, generation: int
    ) -> None:
        now = self._store.now()
        self._remember(origin, table, attributes, generation, now)
        body = {"attributes": sorted(attributes)}
        entry = encode_entry(body, (generation,), now, now + TTL)
        tags = (tag_digest(table_tag(table)),)
        self._store.fill(schema_key(origin, table), entry, TTL, tags)

    def _remember(
        self,
        origin: str,
        table: str,
        attributes: KeyAttributes,
        generation: int,
        confirmed_at: float,
    ) -> Schema:
        tag = tag_digest(table_tag(table))
        schema = Schema((origin, table), tag, attributes, generation, confirmed_at)
        self._known[schema.place] = schema
        return schema
