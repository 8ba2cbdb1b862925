"""The evictions of one followed table: pages of records go to the store in pieces."""

from collections.abc import Iterable, Sequence
from typing import Final

from botocache._cache.call_store import CallStore
from botocache._cache.services import CacheServices
from botocache._errors import pass_on
from botocache._log import text_of
from botocache._streams.changes import (
    change_of,
    eviction_of,
    tags_of,
    tags_of_keys,
    tags_of_table,
)
from botocache._streams.source import Page, StreamRecord
from botocache._streams.troubles import Troubles

TAGS_AT_ONCE = 100
"""Tags of one request to the store.

Valkey takes some 10 µs for a tag, and answers no other request meanwhile.
"""


class PageEvictions:
    """Evicts what the records of one table concern.

    table: its name.
    services: of the cache whose store it evicts in.
    troubles: hears of what fails.
    """

    def __init__(self, table: str, services: CacheServices, troubles: Troubles) -> None:
        self._table: Final = table
        self._store: Final = services.store
        self._evictions: Final = services.evictions
        self._settle: Final = services.settings.settle
        self._is_precise: Final = services.settings.precise_index_eviction
        self._troubles: Final = troubles

    def tags_of(self, pages: Iterable[Page]) -> list[bytes]:
        """Return the tags that the records of some pages evict, each once."""
        tags: dict[bytes, None] = {}
        for page in pages:
            for record in page.records:
                tags.update(dict.fromkeys(self._tags_of(record)))
        return [*tags]

    def _tags_of(self, record: StreamRecord) -> tuple[bytes, ...]:
        try:
            if self._is_precise:
                return tags_of(change_of(record, self._table), precise=True)
            return tags_of_keys(record, self._table)
        # Whatever it is: a page that raises would be read again for ever.
        except Exception as error:  # noqa: BLE001 - a record may be anything
            self._troubles.note(f"a record is damaged: {text_of(pass_on(error))}")
            return tags_of_table(self._table)

    def evict(self, tags: Sequence[bytes]) -> bool:
        """Evict tags; return False if the store failed. It may have some of them."""
        # One for all: once the store has failed, the rest need not wait for it, too.
        store = CallStore(self._store)
        try:
            for at in range(0, len(tags), TAGS_AT_ONCE):
                some = tags[at : at + TAGS_AT_ONCE]
                store.restart()
                self._evictions.evict_or_raise(eviction_of(some, self._settle), store)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page is kept
            self._troubles.note(f"the store failed: {text_of(error)}")
            return False
        return True

    def evict_table(self) -> bool:
        """Evict the whole table; return False if the store failed."""
        return self.evict(tags_of_table(self._table))
