"""Learning key attributes from calls that DynamoDB accepted.

`key_schemas.py` keeps what is learned. Whoever finds that a table is another one now
evicts it here. A store that has failed is not asked again in the same call.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from botocache._cache.evictions import Evictions
from botocache._cache.key_schemas import Schema, Schemas
from botocache._dynamodb.plans import KeyAttributes, described_keys
from botocache._dynamodb.tags import table_tag, tag_digest
from botocache._errors import is_alive


class Lesson(Enum):
    """What DynamoDB's answer says of a table's key attributes.

    CONFIRMED: they are as known, or were not known. CHANGED: the table is another one
    now, and was evicted; or it could not be seen how it was. UNKNOWN: the store failed,
    and is not to be asked again in this call.
    """

    CONFIRMED = "confirmed"
    CHANGED = "changed"
    UNKNOWN = "unknown"


class Learning:
    """What this process learns of tables."""

    def __init__(self, schemas: Schemas, evictions: Evictions) -> None:
        self._schemas: Final = schemas
        self._evictions: Final = evictions

    def recall(
        self, origin: str, table: str, *, is_read: bool, may_ask: bool
    ) -> Schema | None:
        """Return what is known of a table; for a read, only if it is fresh.

        may_ask: whether the store may be asked. Raises what it raises, reported.
        """
        try:
            if may_ask:
                schema = self._schemas.recall(origin, table)
            else:
                schema = self._schemas.known(origin, table)
            is_of_use = schema and (not is_read or self._schemas.is_fresh(schema))
        except Exception as error:
            self._evictions.report("recall_failed", "a put evicts its table", error)
            raise
        return schema if is_of_use else None

    def generation(self, origin: str, table: str) -> int:
        """Return the generation that a table's tag has now. May raise StoreError."""
        return self._schemas.generation(origin, table)

    def forget(self, schema: Schema) -> None:
        """Let go of a schema that no longer holds."""
        self._schemas.forget(schema)

    def outdated(
        self, assumed: tuple[Schema, ...], generations: Mapping[bytes, int]
    ) -> tuple[bytes, ...]:
        """Forget the schemas that no longer hold; return their tables' tags.

        generations: of the tables' tags now, among others.
        """
        outdated = [
            schema for schema in assumed if schema.generation != generations[schema.tag]
        ]
        for schema in outdated:
            self._schemas.forget(schema)
        return tuple(schema.tag for schema in outdated)

    def learn(
        self,
        origin: str,
        table: str,
        attributes: KeyAttributes,
        generation: int,
        *,
        is_complete: bool = True,
    ) -> Lesson:
        """Learn what DynamoDB confirmed; evict the table when it was otherwise."""
        try:
            is_as_known = self._schemas.learn(
                origin, table, attributes, generation, is_complete=is_complete
            )
        except Exception as error:  # noqa: BLE001 - as ever
            self._evictions.report(
                "learn_failed", "key attributes are learned later", error
            )
            return Lesson.CHANGED if is_alive(error) else Lesson.UNKNOWN
        if is_as_known:
            return Lesson.CONFIRMED
        is_evicted = self._evictions.evict_now((tag_digest(table_tag(table)),))
        return Lesson.CHANGED if is_evicted else Lesson.UNKNOWN

    def learn_described(
        self, origin: str, table: str, generation: int, answer: Mapping[str, Any]
    ) -> None:
        """Learn from an answer that describes a table, if it describes this one."""
        described = described_keys(answer)
        if described is not None and described[0] == table:
            self.learn(origin, table, described[1], generation)


class Recalls:
    """What one call recalls of the tables that it names.

    schemas: by table. failure: the error after which the store is not to be asked again
    in this call; what this process knows by itself is still recalled.
    """

    __slots__ = ("_is_read", "_learning", "_origin", "failure", "schemas")

    def __init__(self, learning: Learning, origin: str, *, is_read: bool) -> None:
        self.schemas: dict[str, Schema] = {}
        self.failure: Exception | None = None
        self._learning = learning
        self._origin = origin
        self._is_read = is_read

    def keys_of(self, table: str) -> KeyAttributes | None:
        """Return a table's key attributes; for a read, only if they are fresh."""
        try:
            schema = self._learning.recall(
                self._origin,
                table,
                is_read=self._is_read,
                may_ask=self.failure is None,
            )
        except Exception as error:  # noqa: BLE001 - as ever
            if not is_alive(error):
                self.failure = error
            return None
        if schema is None:
            return None
        self.schemas[table] = schema
        return schema.attributes
