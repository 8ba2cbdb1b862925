"""Caches that lack a rule of the protocol. A soak of each must find a violation."""

from collections.abc import Callable, Sequence
from typing import Any

from botocache._cache.reads import Reads
from botocache._cache.tickets import ReadTicket
from botocache._cache.writes import Writes
from botocache._coherence import Eviction, Held, Mark
from botocache._dynamodb.tags import tag_digest
from botocache.stores.disk.generation_file import GenerationFile
from botocache.stores.disk.store import DiskStore
from botocache.stores.redis.store import RedisStore


def _evict_nothing() -> None:
    """No write evicts."""

    def evict(
        self: DiskStore,
        tags: Sequence[bytes],
        *_: Any,
        watch: Sequence[bytes] = (),
        **__: Any,
    ) -> Eviction:
        slots = self._table().slots
        marks = tuple(Mark(generation, 0.0) for generation in slots.generations(tags))
        return Eviction(marks, slots.generations(watch))

    def evict_on_redis(
        self: RedisStore,
        tags: Sequence[bytes],
        *_: Any,
        watch: Sequence[bytes] = (),
        **__: Any,
    ) -> Eviction:
        found = self.load(bytes(16), [*tags, *watch]).snapshot
        marks = tuple(Mark(generation, 0.0) for generation in found[: len(tags)])
        return Eviction(marks, found[len(tags) :])

    DiskStore.evict = evict  # type: ignore[method-assign]  # on purpose
    RedisStore.evict = evict_on_redis  # type: ignore[method-assign]  # on purpose


def _evict_before_only() -> None:
    """A write evicts before it is sent, not after it, and holds nothing off."""
    for store in (DiskStore, RedisStore):
        evict: Any = store.evict

        def evict_once(
            self: Any,
            tags: Sequence[bytes],
            hold_off: float,
            *,
            evict: Any = evict,
            **options: Any,
        ) -> Any:
            return evict(self, tags, 0.0, **options)

        store.evict = evict_once  # type: ignore[method-assign]  # on purpose
    Writes.finish = lambda *_, **__: None  # type: ignore[method-assign]  # on purpose


def _snapshot_afterwards() -> None:
    """An answer is filled with the generations of afterwards, held off or not."""
    finish_read = Reads.finish

    def finish(self: Reads, ticket: ReadTicket, answer: dict[str, Any]) -> None:
        tags = [tag_digest(tag) for tag in ticket.read.tags]
        loaded = self._store.load(ticket.key, tags)._replace(held=Held.FREE)
        finish_read(self, ticket._replace(loaded=loaded), answer)

    Reads.finish = finish  # type: ignore[method-assign]  # on purpose


def _stay_in_removed_directory() -> None:
    """Nobody notices that the directory was removed."""
    GenerationFile.is_in_place = lambda self: True  # type: ignore[method-assign]  # on purpose


def _remember_for_good() -> None:
    """The near cache serves what it remembers, whatever was written."""
    DiskStore.watch = lambda *_: lambda: True  # type: ignore[method-assign]  # on purpose


MUTANTS: dict[str, Callable[[], None]] = {
    "evicts nothing": _evict_nothing,
    "evicts before a write only": _evict_before_only,
    "fills with the snapshot of afterwards": _snapshot_afterwards,
    "stays in a removed directory": _stay_in_removed_directory,
    "remembers for good": _remember_for_good,
}
