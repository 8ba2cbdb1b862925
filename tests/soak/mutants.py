"""Caches that lack a rule of the protocol. A soak of each must find a violation."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from botocache._cache import stale
from botocache._cache.fills import Fills
from botocache._cache.tickets import ReadTicket
from botocache._cache.writes import Writes
from botocache._coherence import Eviction, EvictionRequest, Held, TagEviction
from botocache.stores.disk.generation_file import GenerationFile
from botocache.stores.disk.slot_words import RememberedSlots
from botocache.stores.disk.store import DiskStore
from botocache.stores.redis.store import RedisStore


def _evict_nothing() -> None:
    """No write evicts."""

    def evict(self: DiskStore, request: EvictionRequest) -> Eviction:
        def look(tags: Sequence[bytes]) -> dict[bytes, int]:
            found = self._table().slots.generations(tags)
            return dict(zip(tags, found, strict=True))

        return _nothing_done(request, look)

    def evict_on_redis(self: RedisStore, request: EvictionRequest) -> Eviction:
        def look(tags: Sequence[bytes]) -> dict[bytes, int]:
            found = self.load(bytes(16), tags).snapshot
            return dict(zip(tags, found, strict=True))

        return _nothing_done(request, look)

    DiskStore.evict = evict  # type: ignore[method-assign]  # on purpose
    RedisStore.evict = evict_on_redis  # type: ignore[method-assign]  # on purpose


def _nothing_done(
    request: EvictionRequest, look: Callable[[Sequence[bytes]], dict[bytes, int]]
) -> Eviction:
    """Return the answer to an eviction that was not carried out."""
    found = look(request.tags)
    evicted = {tag: TagEviction(found[tag], 0.0) for tag in request.tags}
    return Eviction(evicted, look(request.watch))


def _evict_before_only() -> None:
    """A write evicts before it is sent, not after it, and holds nothing off."""
    for store in (DiskStore, RedisStore):
        evict: Any = store.evict

        def evict_once(
            self: Any, request: EvictionRequest, *, evict: Any = evict
        ) -> Any:
            return evict(self, request._replace(hold_off=0.0))

        store.evict = evict_once  # type: ignore[method-assign]  # on purpose
    Writes.finish = lambda *_, **__: None  # type: ignore[method-assign]  # on purpose


def _snapshot_afterwards() -> None:
    """An answer is filled with the generations of afterwards, held off or not."""
    finish_read = Fills.finish

    def finish(
        self: Fills, ticket: ReadTicket, answer: dict[str, Any], **how: Any
    ) -> None:
        prepared = ticket.prepared
        loaded = ticket.store.load(prepared.key, prepared.tags)
        loaded = loaded._replace(held=Held.FREE)
        finish_read(self, ticket._replace(loaded=loaded), answer, **how)

    Fills.finish = finish  # type: ignore[method-assign]  # on purpose


def _stay_in_removed_directory() -> None:
    """Processes do not notice that the directory was removed."""

    def slots_in_place(self: GenerationFile) -> RememberedSlots | None:
        return self._slots_at(os.fstat(self._file.number))

    GenerationFile.slots_in_place = slots_in_place  # type: ignore[method-assign]  # on purpose


def _remember_for_good() -> None:
    """The near cache serves a remembered answer after any write."""
    DiskStore.watch = lambda *_: lambda: True  # type: ignore[method-assign]  # on purpose


def _stale_whatever_was_written() -> None:
    """An entry over its TTL answers a throttled read, though a write has evicted it."""
    vars(stale)["may_serve_stale"] = lambda _, __, expires_at, now, stale_for: (
        now < expires_at + stale_for
    )


MUTANTS: dict[str, Callable[[], None]] = {
    "evicts nothing": _evict_nothing,
    "evicts before a write only": _evict_before_only,
    "fills with the snapshot of afterwards": _snapshot_afterwards,
    "stays in a removed directory": _stay_in_removed_directory,
    "remembers for good": _remember_for_good,
    "answers stale whatever was written": _stale_whatever_was_written,
}
