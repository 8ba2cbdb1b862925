"""Learning key attributes from calls that DynamoDB accepted. Nothing here raises.

What is learned is kept by _schemas.py. Whoever finds that a table is another one now
evicts it here.
"""

from collections.abc import Mapping
from typing import Any, Final

from botocache._evictions import Evictions
from botocache._keys import table_tag, tag_digest
from botocache._planned import KeyAttributes, described_keys
from botocache._schemas import Schema, Schemas


class Learning:
    """What this process learns of tables."""

    def __init__(self, schemas: Schemas, evictions: Evictions) -> None:
        self._schemas: Final = schemas
        self._evictions: Final = evictions

    def recall(self, origin: str, table: str, *, is_read: bool) -> Schema | None:
        """Return what is known of a table; for a read, only if it is fresh."""
        try:
            schema = self._schemas.recall(origin, table)
        except Exception as error:  # noqa: BLE001 - as ever
            self._evictions.report("recall_failed", "a put evicts its table", error)
            return None
        if schema is None or (is_read and not self._schemas.is_fresh(schema)):
            return None
        return schema

    def generation(self, origin: str, table: str) -> int:
        """Return the generation that a table's tag has now. May raise StoreError."""
        return self._schemas.generation(origin, table)

    def forget(self, schema: Schema) -> None:
        """Let go of a schema that no longer holds."""
        self._schemas.forget(schema)

    def outdated(
        self, assumed: tuple[Schema, ...], generations: tuple[int, ...]
    ) -> tuple[bytes, ...]:
        """Forget the schemas that no longer hold; return their tables' tags.

        generations: of their tags now, first of all that were watched.
        """
        outdated = [
            schema
            for schema, generation in zip(assumed, generations, strict=False)
            if schema.generation != generation
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
    ) -> bool:
        """Learn what DynamoDB confirmed; False, and evict, when it was otherwise.

        False too when the store could not say how it was.
        """
        try:
            is_as_known = self._schemas.learn(
                origin, table, attributes, generation, is_complete=is_complete
            )
        except Exception as error:  # noqa: BLE001 - as ever
            self._evictions.report(
                "learn_failed", "key attributes are learned later", error
            )
            return False
        if is_as_known:
            return True
        self._evictions.evict_now((tag_digest(table_tag(table)),))
        return False

    def learn_described(
        self, origin: str, table: str, generation: int, answer: Mapping[str, Any]
    ) -> None:
        """Learn from an answer that describes a table, if it describes this one."""
        described = described_keys(answer)
        if described is not None and described[0] == table:
            self.learn(origin, table, described[1], generation)
