"""Protocols with a fault: one line of the real one changed, and a program to catch it.

The explorer is worth as much as what it catches. Each mutation names a program;
under the mutation at least one of its schedules breaks a promise, without it none does.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from botocache import _coherence
from botocache._cache import evictions as cache_evictions
from botocache._cache import fills as cache_fills
from botocache._cache import reads as cache_reads
from botocache._cache import stale as cache_stale
from botocache._cache import writes as cache_writes
from botocache._cache.call_store import CallStore
from botocache._cache.evictions import Evictions
from botocache._cache.fills import Fills
from botocache._cache.pending_evictions import PendingEvictions
from botocache._cache.tickets import ReadTicket, WriteTicket
from botocache._cache.writes import Writes
from botocache._coherence import Eviction, EvictionRequest, Held, TagEviction, TagState
from botocache._dynamodb import items
from botocache._dynamodb import reads as dynamodb_reads
from botocache._dynamodb import writes as dynamodb_writes
from botocache._dynamodb.plans import ITEM_TAG
from botocache._dynamodb.tags import (
    Tag,
    item_tag,
    precise_writes_tag,
    tag_digest,
    writes_tag,
)
from botocache._errors import StoreError
from botocache.stores import generation_table
from botocache.stores.generation_table import GenerationTable, MemoryTable
from botocache.stores.memory import MemoryStore
from tests.explorer import backends
from tests.explorer.backends import OPAQUE
from tests.explorer.programs import Program, one_each
from tests.explorer.world import SETTINGS, TABLE
from tests.support.evicting import evicting

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A patch that breaks a rule, and a program that shows what it breaks.

    schedule: that shows it, where a search would take more than seconds.
    by_word: whether only pauses at each word of memory show it.
    is_killed: whether it shows where the writer, client 1, is killed at some word.
    """

    name: str
    patch: Patch
    program: Program
    schedule: tuple[str, ...] = ()
    by_word: bool = False
    is_killed: bool = False


def _replace(owner: Any, name: str, by: Any) -> Patch:
    return lambda patch: patch.setattr(owner, name, by)


# --- evictions ---------------------------------------------------------------------

_evict = Evictions.evict
_finish_write = Writes.finish


def _keeps_the_first(
    evictions: Evictions, request: EvictionRequest, store: CallStore
) -> Any:
    """Do the first eviction of a write; answer the second as if it had been done."""
    if request.hold_off != SETTINGS.write_hold_off:
        # At least what a write watches is looked at.
        request = EvictionRequest((), request.hold_off, request.watch)
    return _evict(evictions, request, store)


def _keeps_the_second(
    evictions: Evictions, request: EvictionRequest, store: CallStore
) -> Any:
    """Do the second eviction alone."""
    if request.hold_off == SETTINGS.write_hold_off:
        return None
    return _evict(evictions, request, store)


def _remembers_after_a_loss(
    evictions: Evictions, request: EvictionRequest, store: CallStore
) -> Eviction | None:
    """Make an eviction pending if it finds that generations were lost."""
    try:
        return store.evict(request)
    except StoreError as error:
        evictions.make_pending(request.tags, error)
        return None


def _finishes_successes_only(
    writes: Writes, ticket: WriteTicket, answer: Any, *, succeeded: bool, certain: bool
) -> None:
    """Evict a second time only after a success."""
    if succeeded:
        _finish_write(writes, ticket, answer, succeeded=succeeded, certain=certain)


def _is_always_certain(
    writes: Writes, ticket: WriteTicket, answer: Any, *, succeeded: bool, **_: bool
) -> None:
    """Take a lost answer for an answer."""
    _finish_write(writes, ticket, answer, succeeded=succeeded, certain=True)


def _first_partition_only(table: str, key: Mapping[str, Any]) -> list[Tag]:
    """Evict the partition of the hash key alone."""
    return list(itertools.islice(dynamodb_writes.item_tags(table, key), 3))


def _item_without_queries(table: str, key: Mapping[str, Any]) -> list[Tag]:
    """Evict the item alone, like a cache that is keyed by items."""
    return [item_tag(table, key)]


# --- snapshots ---------------------------------------------------------------------

_finish_read = Fills.finish


def _snapshot_afterwards(
    fills: Fills, ticket: ReadTicket, answer: Any, **how: Any
) -> None:
    """Take the snapshot when the answer is there."""
    prepared = ticket.prepared
    loaded = ticket.store.load(prepared.key, prepared.tags)
    _finish_read(fills, ticket._replace(loaded=loaded), answer, **how)


def _mint_at_fill(fills: Fills, ticket: ReadTicket, answer: Any, **how: Any) -> None:
    """Take for a missing generation the one that there is at the fill."""
    prepared = ticket.prepared
    now = ticket.store.load(prepared.key, prepared.tags).snapshot
    snapshot = tuple(
        [seen or found for seen, found in zip(ticket.loaded.snapshot, now, strict=True)]
    )
    loaded = ticket.loaded._replace(snapshot=snapshot)
    _finish_read(fills, ticket._replace(loaded=loaded), answer, **how)


def _missing_generations(patch: pytest.MonkeyPatch) -> None:
    """Make the store return zero for a tag that was never evicted."""

    def generations(table: GenerationTable, tags: Sequence[bytes]) -> tuple[int, ...]:
        return tuple([table._words[table._at(tag)] for tag in tags])

    def look(
        table: GenerationTable, tags: Sequence[bytes]
    ) -> tuple[tuple[int, ...], list[int]]:
        return generations(table, tags), [table._at(tag) for tag in tags]

    patch.setattr(GenerationTable, "generations", generations)
    patch.setattr(GenerationTable, "look", look)
    patch.setattr(Fills, "finish", _mint_at_fill)


# --- hold-offs -----------------------------------------------------------------------


_next_held_until = _coherence.next_held_until


def _always_shortened(
    found: TagState, now: float, hold_off: float, first: TagEviction | None
) -> float:
    """Shorten the hold-off although another writer came."""
    others = found.held_until if first is None else first.held_until
    return max(others, now + hold_off)


def _below_what_was_found(
    found: TagState, now: float, hold_off: float, first: TagEviction | None
) -> float:
    """Shorten a hold-off below the one that the write's first eviction found."""
    if first is not None and first.generation == found.generation:
        return now + hold_off
    return _next_held_until(found, now, hold_off, first)


def _no_settling(table: GenerationTable, *arguments: Any) -> Any:
    """Wait for no replica: settle is zero."""
    # Where most hold-offs are made: the table asks the law about few of them.
    hold_off = 0.0 if arguments[-1] == SETTINGS.settle else arguments[-1]
    return _hold(table, *arguments[:-1], hold_off)


_renew: Callable[..., Any] = GenerationTable._renew
_hold: Callable[..., Any] = GenerationTable._hold


# --- generations -------------------------------------------------------------------


def _starts_counting_again(backend: backends.MemoryBackend) -> bool:
    """Lose generations silently, and hand out the same ones once more."""
    backend.words.clear()
    table = backend.store._table
    table._origin_generation = OPAQUE + OPAQUE // 2  # of the template, as at first
    table._random = backends.opaque_numbers(OPAQUE + OPAQUE // 2 + 1)
    return True


# --- the order of words -------------------------------------------------------------


def _hold_off_first_in_the_reader(store: MemoryStore, key: bytes, tags: Any) -> Any:
    held = store._table.held(tags, store.now())
    loaded = _load(store, key, tags)
    return loaded._replace(held=held)


_load = MemoryStore.load


def _generation_first_in_the_writer(patch: pytest.MonkeyPatch) -> None:
    """Store each generation before its hold-off."""
    evict = MemoryTable.evict_in_one_step

    class Swapped(dict[int, int]):
        """Keeps hold-offs back until the generations have been written."""

        def __init__(self, words: Any) -> None:
            super().__init__()
            self._words = words

        def __getitem__(self, index: int) -> int:
            return int(self._words[index])

        def __setitem__(self, index: int, word: int) -> None:
            if index % 2:
                super().__setitem__(index, word)
                return
            self._words[index] = word
            self._words[index + 1] = self.pop(index + 1)

    def evict_swapped(
        table: MemoryTable, request: EvictionRequest, *arguments: Any
    ) -> Any:
        view = MemoryTable.__new__(MemoryTable)
        view.__dict__.update(table.__dict__)
        view._words = Swapped(table._words)
        eviction = evict(view, request, *arguments)
        watched = dict(
            zip(request.watch, table.generations(request.watch), strict=True)
        )
        return eviction._replace(watched=watched)

    patch.setattr(MemoryTable, "evict_in_one_step", evict_swapped)


# --- writes that fill --------------------------------------------------------------

_write_through = Writes._write_through


def _always_alone(fields: Any) -> TagEviction:
    """Return every second eviction as one that was alone."""
    return TagEviction(*fields)._replace(was_alone=True)


def _whatever_the_table_was(
    writes: Writes,
    ticket: WriteTicket,
    second: Eviction,
    answer: Any,
    store: CallStore,
) -> None:
    """Do not compare the generations of everything and of the table."""
    assert ticket.first is not None
    first = ticket.first._replace(watched=second.watched)
    _write_through(writes, ticket._replace(first=first), second, answer, store)


def _under_later_generations(
    writes: Writes,
    ticket: WriteTicket,
    second: Eviction,
    answer: Any,
    store: CallStore,
) -> None:
    """Fill under the generations that are found, not those of the second eviction."""
    assert ticket.through is not None
    tags = ticket.through.tags
    found = store.load(ticket.through.key, tags).snapshot[ITEM_TAG]
    own = second.evicted[tags[ITEM_TAG]]._replace(generation=found)
    second = second._replace(evicted={**second.evicted, tags[ITEM_TAG]: own})
    _write_through(writes, ticket, second, answer, store)


class _NothingHeld:
    """Takes the place of Held where a write looks whether another is under way."""

    FREE = Held.FREE
    WRITING = object()


# --- restoring -----------------------------------------------------------------------

_precise_tags = Writes._precise_tags


def _restored_in_any_case(
    found: TagState, first: TagEviction | None
) -> TagState | None:
    """Restore a tag though another write has evicted it."""
    if first is not None:
        found = found._replace(generation=first.generation)
    return _restored_state(found, first)


_restored_state = _coherence.restored_state


def _without_the_old_image(
    writes: Writes, ticket: WriteTicket, old: Any
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Leave out the partitions that the item was in before."""
    tags, restore = _precise_tags(writes, ticket, old)
    assert ticket.write.item is not None
    table = ticket.write.item.table
    gone = set(map(tag_digest, items.partitions_of(table, old or {})))
    return tuple(t for t in tags if t in ticket.tags or t not in gone), restore


def _writes_at_the_end_only(
    evictions: Evictions, request: EvictionRequest, store: CallStore
) -> Any:
    """Leave the writes tag alone in the first half of a write."""
    if request.hold_off != SETTINGS.write_hold_off or _WRITES not in request.tags:
        return _evict(evictions, request, store)
    others = [tag for tag in request.tags if tag != _WRITES]
    watch = (*request.watch, _WRITES)
    eviction = _evict(evictions, request._replace(tags=others, watch=watch), store)
    if eviction is None:
        return None
    now = eviction.watched[_WRITES]
    untouched = TagEviction(now, 0.0, previous_generation=now)
    return eviction._replace(evicted={**eviction.evicted, _WRITES: untouched})


_WRITES = tag_digest(writes_tag(TABLE))


def _restored_without_a_trace(
    writes: Writes, ticket: WriteTicket, old: Any
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Restore the writes tag, and evict no precise writes in its place."""
    tags, restore = _precise_tags(writes, ticket, old)
    instead = tag_digest(precise_writes_tag(TABLE))
    return tuple(tag for tag in tags if tag != instead), restore


def _takes_no_answer_for_a_success(
    writes: Writes, ticket: WriteTicket, answer: Any, **_: bool
) -> None:
    """Believe that a write without an answer was carried out, and that it is over."""
    _finish_write(writes, ticket, answer, succeeded=True, certain=True)


def _restored_first(table: GenerationTable, *arguments: Any) -> Eviction:
    """Write restored tags before evicted ones."""
    held_back: dict[int, int] = {}

    def renew(words: Any, slots: Any, *rest: Any) -> Any:
        held_back.update({at: words[at] for slot in slots for at in (slot, slot + 1)})
        return _renew(table, held_back, slots, *rest)

    def restore(states: Any) -> None:
        _restore(table, states)
        for at in sorted(held_back, key=lambda at: at % 2 == 0):
            table._words[at] = held_back[at]

    view = GenerationTable.__new__(GenerationTable)
    view.__dict__.update(table.__dict__, _renew=renew, _restore=restore)
    return _evict_and_restore(view, *arguments)


_evict_and_restore = GenerationTable._evict_and_restore
_restore = GenerationTable._restore


GET, UPDATE = "client 0 get", "client 1 update"
QUIET = one_each("get", "update")
TWO_WRITERS = one_each("get", "update", "update", faults=1, moves=1)

READ_BEFORE_A_LATE_COMMIT = (
    f"{GET}: load",
    f"{GET}: the server reads version 2",
    f"{GET}: fill",
)

MUTATIONS = [
    Mutation(
        "no second eviction",
        _replace(Evictions, "evict", _keeps_the_first),
        one_each("get", "update", moves=1),
    ),
    Mutation(
        "no first eviction",
        _replace(Evictions, "evict", _keeps_the_second),
        one_each("get", "update", faults=1),
    ),
    Mutation(
        "a snapshot taken after the answer",
        _replace(Fills, "finish", _snapshot_afterwards),
        Program(("get", "update"), (0, 1), faults=0, warm=False),
        schedule=(
            f"{GET}: load",
            f"{GET}: the server reads version 1",
            f"{UPDATE}: evict",
            f"{UPDATE}: evict",
            f"{UPDATE}: the server commits",
            f"{UPDATE}: evict",
            f"{UPDATE}: load",
            f"{UPDATE}: fill",
            "1.1 s pass",
            f"{GET}: load",
            f"{GET}: load",
            f"{GET}: fill",
        ),
    ),
    Mutation(
        "a missing generation minted at the fill",
        _missing_generations,
        one_each("get", "update", moves=1, warm=False),
    ),
    Mutation(
        "hold-offs ignored",
        _replace(cache_fills, "may_fill", lambda *_, **__: True),
        QUIET,
    ),
    Mutation(
        "a hold-off shortened although another writer came",
        _replace(_coherence, "next_held_until", _always_shortened),
        TWO_WRITERS,
        schedule=(
            f"{UPDATE}: evict",
            f"{UPDATE}: the server commits",
            "client 2 update: evict",
            f"{UPDATE}: evict",
            "1.1 s pass",
            *READ_BEFORE_A_LATE_COMMIT,
            "client 2 update: the server commits",
            "the process of client 2 is killed",
        ),
    ),
    Mutation(
        "a hold-off shortened below what was found",
        _replace(_coherence, "next_held_until", _below_what_was_found),
        TWO_WRITERS,
        schedule=(
            f"{UPDATE}: evict",
            "client 2 update: evict",
            "client 2 update: the server commits",
            "client 2 update: evict",
            "1.1 s pass",
            *READ_BEFORE_A_LATE_COMMIT,
            f"{UPDATE}: the server commits",
            "the process of client 1 is killed",
        ),
    ),
    Mutation(
        "no settling, and a replica that lags",
        _replace(GenerationTable, "_hold", _no_settling),
        QUIET,
    ),
    Mutation(
        "no second eviction of a write that raised",
        _replace(Writes, "finish", _finishes_successes_only),
        one_each("get", "unanswered update", moves=1),
    ),
    Mutation(
        "a lost answer taken for one",
        _replace(Writes, "finish", _is_always_certain),
        one_each("get", "unanswered update", moves=1),
    ),
    Mutation(
        "generations that start again after a loss",
        _replace(backends.MemoryBackend, "lose_generations", _starts_counting_again),
        one_each("get", "update", faults=1),
    ),
    Mutation(
        "a loss of generations that is ignored",
        _replace(cache_evictions, "StoreLostError", ()),
        Program(("query", "consistent get", "get", "update"), (0, 0, 0, 1), moves=0),
        schedule=(
            "client 0 query: load",
            f"{UPDATE}: evict",
            f"{UPDATE}: the server commits",
            f"{UPDATE}: evict",
            "all generations are lost",
            "client 0 consistent get: load",
            "client 0 consistent get: the server reads version 2",
            f"{GET}: load",
            f"{GET}: the server reads version 1",
            f"{GET}: load",
            f"{GET}: fill",
            f"{GET}: fill",
        ),
    ),
    Mutation(
        "an eviction that is made pending after a loss",
        _replace(Evictions, "evict", _remembers_after_a_loss),
        one_each("get", "update", faults=1),
    ),
    Mutation(
        "evicting the partition of the hash key only",
        evicting(_first_partition_only),
        one_each("query by range", "update"),
    ),
    Mutation(
        "evicting the item only",
        evicting(_item_without_queries),
        one_each("query", "update"),
    ),
    Mutation(
        "entries served whatever their snapshot",
        _replace(cache_reads, "may_serve", lambda *_: True),
        QUIET,
    ),
    Mutation(
        "entries served without a look at the table's tag",
        _replace(
            cache_reads,
            "may_serve",
            lambda snapshot, current, *_: snapshot[2:] == current[2:],
        ),
        one_each("get", "put", warm=False),
    ),
    Mutation(
        "an eviction that failed and is forgotten",
        _replace(PendingEvictions, "add", lambda *_: None),
        Program(("get", "update"), (0, 0)),
        schedule=(
            "client 0 update: evict",
            "5.1 s pass",
            f"{GET}: load",
            f"{GET}: the server reads version 1",
            f"{GET}: fill",
            "client 0 update: the server commits",
            "client 0 update: evict fails",
        ),
    ),
    Mutation(
        "no second eviction after a first one that was pending and has been done since",
        _replace(Evictions, "queue_if_pending", lambda *_: True),
        Program(("get", "update", "get"), (0, 1, 0), moves=2),
        schedule=(
            f"{UPDATE}: evict fails",
            "client 1 delivers what it has left to do",
            "5.1 s pass",
            f"{GET}: load",
            f"{GET}: the server reads version 1",
            f"{GET}: fill",
            f"{UPDATE}: the server commits",
            f"{GET}: load",
            "60.1 s pass",
        ),
    ),
    Mutation(
        "the hold-off looked at before the generation",
        _replace(MemoryStore, "load", _hold_off_first_in_the_reader),
        QUIET,
        by_word=True,
    ),
    Mutation(
        "the generation stored before the hold-off",
        _generation_first_in_the_writer,
        QUIET,
        by_word=True,
    ),
    # Those of writes that fill.
    Mutation(
        "a write that fills though it was not alone",
        _replace(generation_table, "_tag_eviction", _always_alone),
        one_each("put", "put", features=("through",)),
    ),
    Mutation(
        "a write that fills without a look at the table's tag",
        _replace(Writes, "_write_through", _whatever_the_table_was),
        one_each("update all new", "statement", features=("through",)),
    ),
    Mutation(
        "a write that fills while another one of the item is under way",
        _replace(cache_writes, "is_held", lambda *_: False),
        Program(("put", "put"), (0, 1), moves=0, features=("through",)),
        schedule=(
            "client 0 put: evict",
            "client 1 put: evict",
            "client 1 put: the server commits",
            "client 0 put: the server commits",
            "client 1 put: evict",
            "client 1 put: fill",
            "the process of client 0 is killed",
        ),
    ),
    Mutation(
        "a write that fills while one of the table is under way",
        _replace(cache_writes, "Held", _NothingHeld),
        Program(
            ("update all new", "statement"), (0, 1), moves=0, features=("through",)
        ),
        schedule=(
            "client 1 statement: evict",
            "client 0 update all new: evict",
            "client 0 update all new: the server commits",
            "client 0 update all new: evict",
            "client 0 update all new: load",
            "client 0 update all new: fill",
            "client 0 update all new: fill",
            "client 1 statement: the server commits",
            "the process of client 1 is killed",
        ),
    ),
    Mutation(
        "a write that looks for others when it ends",
        _replace(cache_writes, "_finds_a_write", lambda *_: False),
        one_each("put", "unanswered put", moves=1, features=("through",)),
        schedule=(
            "client 1 unanswered put: evict",
            "client 1 unanswered put: it is given up",
            "client 1 unanswered put: evict",
            "client 0 put: evict",
            "client 0 put: the server commits",
            "client 1 unanswered put: is carried out late",
            "5.1 s pass",
            "client 0 put: evict",
            "client 0 put: fill",
        ),
    ),
    Mutation(
        "a write that fills under generations that came later",
        _replace(Writes, "_write_through", _under_later_generations),
        one_each("put", "put", features=("through",)),
    ),
    # Those of stale answers.
    Mutation(
        "a stale answer whose generations moved",
        _replace(
            cache_stale,
            "may_serve_stale",
            lambda _, __, expires_at, now, stale_for: now < expires_at + stale_for,
        ),
        one_each("throttled get", "update", moves=1, features=("stale",)),
    ),
    # Those of strongly consistent reads.
    Mutation(
        "a consistent answer filled while a write is under way",
        _replace(
            cache_fills,
            "may_fill",
            lambda held, *, is_consistent: is_consistent or held is Held.FREE,
        ),
        one_each("consistent get", "update", faults=1, features=("consistent",)),
    ),
    Mutation(
        "a hold-off that settles though another write is under way",
        _replace(
            _coherence, "next_is_settling", lambda _, __, first: first is not None
        ),
        one_each("get", "update", "update", faults=1, features=("consistent",)),
        schedule=(
            f"{UPDATE}: evict",
            "client 2 update: evict",
            "client 2 update: the server commits",
            "client 2 update: evict",
            *READ_BEFORE_A_LATE_COMMIT,
            f"{UPDATE}: the server commits",
            "the process of client 1 is killed",
        ),
    ),
    # Those of index queries by images.
    Mutation(
        "a restored tag put back though another writer came",
        _replace(generation_table, "restored_state", _restored_in_any_case),
        one_each("move in old form", "put elsewhere", features=("images",)),
    ),
    Mutation(
        "restoring without the partitions of the old image",
        _replace(Writes, "_precise_tags", _without_the_old_image),
        Program(("index 1", "move"), (0, 1), 0, 0, features=("images",)),
    ),
    Mutation(
        "restoring without the partitions of the new image",
        _replace(items, "image_after", lambda *_: {}),
        one_each("index 2", "put elsewhere", features=("images",)),
    ),
    Mutation(
        "the writes tag not evicted in the first half",
        _replace(Evictions, "evict", _writes_at_the_end_only),
        one_each("index 1", "move", faults=1, features=("images",)),
    ),
    Mutation(
        "the writes tag restored and no precise writes evicted",
        _replace(Writes, "_precise_tags", _restored_without_a_trace),
        Program(("scan", "move"), (0, 1), 0, 0, features=("images",)),
    ),
    Mutation(
        "the writes tag restored while scans do not depend on precise writes",
        _replace(dynamodb_reads, "any_write_tags", lambda table: (writes_tag(table),)),
        one_each("scan", "move", features=("images of the odd",)),
    ),
    Mutation(
        "precise reads that do not depend on the writes of other processes",
        _replace(dynamodb_reads, "writes_tag", precise_writes_tag),
        one_each("index 2", "move", features=("images of the even",)),
    ),
    Mutation(
        "restoring after an uncertain end",
        _replace(Writes, "finish", _takes_no_answer_for_a_success),
        one_each("index 1", "unanswered move", features=("images",)),
    ),
    Mutation(
        "a restored tag written before what is evicted",
        _replace(GenerationTable, "_evict_and_restore", _restored_first),
        one_each("index 1", "move", faults=1, features=("images",)),
        is_killed=True,
    ),
]
