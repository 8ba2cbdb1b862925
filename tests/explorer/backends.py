"""The real stores of a world, in a form that can be compared and harmed.

Memory: the real MemoryStore, whose generation table is a dict instead of 16 MiB, so
that its whole state can be compared; optionally with a pause at each word and lock.
Disk: a DiskStore for each client on one directory, as processes have it.
"""

import shutil
from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import msgspec
from greenlet import getcurrent

from botocache._cache.entries import decode_header
from botocache._coherence import Loaded
from botocache._errors import QueueFullError, StoreError
from botocache.stores import memory
from botocache.stores.disk.fill_queue import FillQueue
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Fill, Random, Store
from tests.explorer.turns import pause, record
from tests.support.clock import FakeClock
from tests.support.entries import answer_in

OPAQUE = 1 << 60
"""Numbers from here on are compared for equality only."""


def opaque_numbers(first: int = OPAQUE) -> Random:
    """Return a source of generations that differ from all other numbers."""
    numbers = count(first)
    return lambda size: b"".join(
        next(numbers).to_bytes(8, "little") for _ in range(size // 8)
    )


@lru_cache(maxsize=100_000)
def contents(entry: bytes) -> tuple[tuple[int, ...], float, float, bytes]:
    """Return snapshot, times and body of an entry."""
    header = decode_header(entry)
    body = msgspec.json.encode(answer_in(entry))
    return header.snapshot, header.stored_at, header.expires_at, body


class Eyes:
    """How moments look from now: what makes no difference to the code looks alike.

    While time may still pass all is seen to the millisecond. Afterwards only what a
    moment's age is compared with counts: what is settled, held, fresh and expired, now
    and in the seconds that `Run.conclude` lets pass.
    """

    _AGES = (4.0, 5.0, 19.0, 30.0, 49.0, 60.0)

    def __init__(self, now: float, *, sharp: bool) -> None:
        self.now = now
        self._sharp = sharp

    def since(self, moment: float) -> int:
        """Return how a moment that has passed looks."""
        if self._sharp:
            return round((self.now - moment) * 1e3)
        return bisect(self._AGES, self.now - moment)

    def until(self, moment: float) -> int:
        """Return how a moment looks until which something is held."""
        remaining = max(0.0, moment - self.now)
        return round(remaining * 1e3) if self._sharp else remaining > 0

    def hold(self, word: int) -> int:
        """Return how the second word of a slot looks; its lowest bit is no time."""
        remaining = self.until(word / 1e9)
        return remaining * 2 + (word & 1) if remaining else 0

    def look(self, moment: float) -> int:
        """Return how any moment looks."""
        return self.until(moment) if moment > self.now else ~self.since(moment)


class Moment(float):
    """A time in the state of a store."""

    __slots__ = ()


class UnderWay(Protocol):
    """Commands that have been sent, and that nothing waits for."""

    def arrive(self) -> None:
        """Let the next of them be carried out."""


class Backend(Protocol):
    """The stores of a world."""

    def store_of(self, client: int) -> Store:
        """Return the store as a client has it."""

    is_remote: bool
    """Whether it is across a network; then it takes several look-ups at once."""

    @property
    def is_full(self) -> bool:
        """Whether it has no room for anything."""

    def snapshot(self, client: int, key: bytes, tags: Sequence[bytes]) -> Sequence[int]:
        """Return the generations of tags as they are now."""

    def lose_entries(self) -> None:
        """Lose all entries, as a restart or the lack of space does."""

    def lose_generations(self) -> bool:
        """Lose all generations and hold-offs; return whether the store notices."""

    def misfortunes(self) -> list[str]:
        """Return what else may befall it now; in place of a loss of generations."""

    def befall(self, what: str) -> bool:
        """Let it happen; return whether hold-offs may be lost with it."""

    def under_way(self) -> Iterable[tuple[int, "UnderWay"]]:
        """Yield what clients have sent and not waited for, while it has not arrived."""

    def is_evicting(self) -> bool:
        """Return whether an eviction is under way that nothing waits for."""

    def heal(self) -> None:
        """Let what befell it be over."""

    def state(self, eyes: Eyes) -> list[Any]:
        """Return everything that is in it, flat. TypeError where that cannot be."""


class Words(dict[int, int]):
    """A generation table's memory; a word that was never written is zero."""

    def __missing__(self, index: int) -> int:
        return 0


class PausingWords(Words):
    """The same, with a pause before each access."""

    def __getitem__(self, index: int) -> int:
        pause(lambda: [(f"reads word {index}", None)])
        word = super().get(index, 0)
        record(word)
        return word

    def __setitem__(self, index: int, word: int) -> None:
        pause(lambda: [(f"writes word {index}", None)])
        super().__setitem__(index, word)


class RecordedWords:
    """Words as a writer looks at them: all in one go, and it remembers them."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def __getitem__(self, index: int) -> int:
        word = self._words.get(index, 0)
        record(word)
        return word


class RecordedVersion(dict[int, None]):
    """The number of a table's words. A writer that has seen it goes on by it.

    lock: of the writers' steps.
    """

    def __init__(self, lock: "PausingLock") -> None:
        super().__init__({0: None})
        self._lock = lock

    def __iter__(self) -> Iterator[int]:
        # If others change the words while it looks at them, its step fails. So it is
        # enough to have it look at all of them at once.
        lock = self._lock
        pause(lambda: [] if lock.is_held else [("looks at the words", None)])
        record(*super().__iter__())
        return super().__iter__()

    def __contains__(self, version: object) -> bool:
        is_there = super().__contains__(version)
        record(is_there)
        return is_there


class PausingLock:
    """An RLock that waits by letting others have their turn."""

    def __init__(self) -> None:
        self._owner: object = None
        self._depth = 0

    @property
    def is_held(self) -> bool:
        """Whether any actor has it."""
        return self._depth > 0

    def __enter__(self) -> None:
        if self._depth == 0 or self._owner is not getcurrent():
            pause(lambda: [] if self.is_held else [("takes the lock", None)])
            self._owner = getcurrent()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1


def small_store(clock: FakeClock, random: Random, count: int) -> MemoryStore:
    """Return a store of `count` slots without memory; the caller sets its words."""
    usual, memory.SLOT_COUNT = memory.SLOT_COUNT, 1
    try:
        store = MemoryStore(clock=clock, random=random)
    finally:
        memory.SLOT_COUNT = usual
    store._table._count = count
    store._table._drawn_at_once = 0  # thousands of worlds draw few
    return store


class Embedded:
    """What backends have in common that no network can harm."""

    is_remote = False
    is_full = False

    def under_way(self) -> Iterable[tuple[int, UnderWay]]:
        """See Backend."""
        return ()

    def is_evicting(self) -> bool:
        """See Backend."""
        return False

    def misfortunes(self) -> list[str]:
        """See Backend."""
        return []

    def befall(self, what: str) -> bool:
        """See Backend."""
        raise ValueError(what)  # it is offered none

    def heal(self) -> None:
        """See Backend."""


class MemoryBackend(Embedded):
    """One MemoryStore, shared by all clients. slots: few, and tags share them."""

    def __init__(
        self,
        clock: FakeClock,
        *,
        by_word: bool = False,
        first: int = OPAQUE,
        slots: int = memory.SLOT_COUNT,
    ) -> None:
        self.store = small_store(clock, opaque_numbers(first), slots)
        self.by_word = by_word
        self.words = PausingWords() if by_word else Words()
        self.store._table._words = self.words
        self._step = PausingLock()
        if by_word:
            table = self.store._table
            table._take_step = self._take_step
            table._version = RecordedVersion(self._step)
            hold = table._hold
            table._hold = lambda _, *rest: hold(RecordedWords(self.words), *rest)  # type: ignore[method-assign]

    def _take_step(self, calls: Iterable[object], kept: int) -> object:
        """Let no other writer come between the words; readers may."""
        with self._step:
            return deque(calls, kept)

    def copy_from(self, other: "MemoryBackend") -> None:
        """Copy another backend, whose generations must differ from this one's."""
        self.words.update(other.words)
        self.store._table._origin_generation = other.store._table._origin_generation
        self.store._entries.update(other.store._entries)
        self.store._sizes = dict(other.store._sizes)

    def store_of(self, _client: int) -> Store:
        """See Backend."""
        return self.store

    def snapshot(self, client: int, key: bytes, tags: Sequence[bytes]) -> Sequence[int]:
        """See Backend."""
        return self.store.load(key, tags).snapshot

    def lose_entries(self) -> None:
        """See Backend."""
        self.store.clear()

    def lose_generations(self) -> bool:
        """See Backend."""
        self.words.clear()
        table = self.store._table
        table._origin_generation = int.from_bytes(table._random(8), "little")
        return False

    def state(self, eyes: Eyes) -> list[Any]:
        """See Backend."""
        state: list[Any] = [self.store._table._origin_generation]
        for index in sorted(self.words):
            word = self.words.get(index, 0)
            state += (index, eyes.hold(word) if index % 2 else word)
        current = {*self.words.values(), self.store._table._origin_generation}
        for key in sorted(self.store._entries):
            snapshot, stored_at, expires_at, body = contents(self.store._entries[key])
            # What cannot be served any more is as good as nothing.
            if expires_at > eyes.now and current.issuperset(snapshot):
                state += (key, *snapshot, eyes.since(stored_at), body)
        if self.by_word:
            state += (self._step.is_held, *dict.keys(self.store._table._version))
        return state


class QueuedStore:
    """A client's own store: it fills what all clients share by a queue of the disk's.

    shared: has the generations, and the entries that are written.
    """

    def __init__(self, shared: MemoryStore) -> None:
        self.now = shared.now
        self.evict, self.clear, self.close = shared.evict, shared.clear, shared.close
        self.is_current = shared.is_current
        self._shared = shared
        self.queue = FillQueue(self._write, _start_nothing)

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        loaded = self._shared.load(key, tags)
        queued = self.queue.get(key)
        return loaded if queued is None else loaded._replace(entry=queued)

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        return [self.load(key, tags) for key, tags in lookups]

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        self.fill_many([Fill(key, entry, ttl, tags)])

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        if not self.queue.put([(key, entry, ttl) for key, entry, ttl, _ in fills]):
            raise QueueFullError("the queue is full")

    def _write(self, entries: Sequence[tuple[bytes, bytes, float]]) -> None:
        for key, entry, ttl in entries:
            self._shared.fill(key, entry, ttl)


def _start_nothing(_thread: object) -> None:
    """Start no thread: the schedule says when a queue is written."""


class QueuedBackend(MemoryBackend):
    """A MemoryBackend whose clients fill behind their calls, as on disk.

    At any moment a queue may be written, and with a fault, be lost.
    """

    def __init__(self, clock: FakeClock, clients: int, **more: Any) -> None:
        super().__init__(clock, **more)
        self._queued = [QueuedStore(self.store) for _ in range(clients)]

    def store_of(self, client: int) -> Store:
        """See Backend."""
        return self._queued[client]

    def queued(self) -> list[int]:
        """Return the clients whose queues hold entries."""
        return [n for n, store in enumerate(self._queued) if store.queue._waiting]

    def write_queue(self, client: int) -> None:
        """Let the thread of a client write."""
        self._queued[client].queue.flush(0.0)

    def heal(self) -> None:
        """See Backend. In the end all queues are written."""
        for client in self.queued():
            self.write_queue(client)

    def lose_queue(self, client: int) -> None:
        """Lose what a process had not written when it was killed; or a full queue."""
        self._queued[client].queue.renew()

    def state(self, eyes: Eyes) -> list[Any]:
        """See Backend."""
        state = super().state(eyes)
        current = {*self.words.values(), self.store._table._origin_generation}
        for store in self._queued:
            state.append("queue")
            for key in sorted(store.queue._waiting):
                entry = store.queue._waiting[key][1]
                snapshot, stored_at, expires_at, body = contents(entry)
                state.append(key)
                # One that is dead hides and replaces a live one, but is the same.
                if expires_at > eyes.now and current.issuperset(snapshot):
                    state += (*snapshot, eyes.since(stored_at), body)
        return state


class DiskBackend(Embedded):
    """A DiskStore for each client, on one directory that many worlds use in turn."""

    def __init__(self, clock: FakeClock, directory: Path, clients: int) -> None:
        self._stores = [
            DiskStore(directory, is_behind=True, clock=clock) for _ in range(clients)
        ]
        self._another = DiskStore(directory, clock=clock)

    def store_of(self, client: int) -> Store:
        """See Backend."""
        return self._stores[client]

    def snapshot(self, client: int, key: bytes, tags: Sequence[bytes]) -> Sequence[int]:
        """See Backend."""
        return self._stores[client].load(key, tags).snapshot

    def lose_entries(self) -> None:
        """See Backend."""
        with suppress(StoreError):  # removed with everything else
            self._another.clear()

    def lose_generations(self) -> bool:
        """See Backend."""
        shutil.rmtree(self._another.directory, ignore_errors=True)
        return True

    def state(self, eyes: Eyes) -> list[Any]:
        """Refuse: schedules on disk are sampled, and never compared."""
        raise TypeError("a disk's state cannot be compared; explore in memory")

    def close(self) -> None:
        """Close the files and connections of the stores."""
        for store in (*self._stores, self._another):
            store.close()


@contextmanager
def disk_backend(
    clock: FakeClock, directory: Path, clients: int
) -> Iterator[DiskBackend]:
    """Open a directory for some clients."""
    backend = DiskBackend(clock, directory, clients)
    try:
        yield backend
    finally:
        backend.close()
