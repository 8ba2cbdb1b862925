"""The embedded store: all processes of one machine, in one private directory.

    <root>/v1/<namespace>/slots        generations and hold-offs, a file of our own
    <root>/v1/<namespace>/entries-2/   entries, SQLite
    <root>/v1/<namespace>/board/       records of processes, see board.py
    <root>/v1/<namespace>/leases       leases of entries' keys, see leases.py

`DiskStore` combines them and manages the directory. Only its user may enter it, and
it is made again if it was removed. The two parts fail independently. Without the
generation table every verb fails. Without the entries, evictions and snapshots still
work, and every load is a miss.
"""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from botocache._coherence import Eviction, EvictionRequest, Loaded
from botocache._errors import (
    EntryError,
    QueueFullError,
    StoreError,
    StoreLostError,
    StoreUnavailableError,
    pass_on,
)
from botocache._forks import renew_after_fork
from botocache.stores.clock import machine_clock
from botocache.stores.disk.board import DiskBoard
from botocache.stores.disk.connections import DatabaseReplacedError, is_owned
from botocache.stores.disk.entry_database import UNUSABLE, EntryDatabase, keeps_database
from botocache.stores.disk.fill_queue import Entry, FillQueue
from botocache.stores.disk.generation_file import (
    Exclusive,
    GenerationFile,
    Stamp,
    boot_id,
    open_generation_file,
)
from botocache.stores.disk.leases import DiskLeases
from botocache.stores.disk.private_files import is_safe_place, private_directory
from botocache.stores.disk.slot_words import RememberedSlots
from botocache.stores.protocol import (
    Clock,
    Fill,
    Lease,
    Random,
    StillCurrent,
    Usage,
)

DEFAULT_SIZE_LIMIT = 1024**3
"""Bytes of entries on disk. The generation table takes another 16 MiB."""

OPEN_PATIENCE = 0.25
"""Seconds that a call waits for the store to open.

A thread finishes the opening of SQLite after that."""

CLEAR_PATIENCE = 1.0
"""Seconds that `clear` waits for entries that are being written."""

CLOSE_PATIENCE = 2.0
"""The same for `close`, which writes those that wait."""

LEASE_PATIENCE = 0.05
"""Seconds that a fill under a lease waits for another thread that writes entries."""

WRITER_PATIENCE = 1.0
"""Seconds that an eviction looks on before it waits for the lock of the writers."""

PAUSE = 1.0
"""Seconds after a failure of SQLite in which entries are not used."""

_ENTRIES = "entries-2"
"""The directory of the entries. Generations stay in one place for all versions, so that
each sees the evictions of the others while a new one is rolled out."""

_BOARD = "board"

_FORMER = ("entries",)
"""Directories of earlier versions, whose database has a log."""

_FORMER_KEPT = 86400.0
"""Seconds after the last fill for which a former directory may be in use."""

_DISCARDED = "old-"

_TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - `is_safe_place` finds a directory of another user


def default_directory(environ: Mapping[str, str]) -> Path:
    """Return the user's directory: in the cache home, else in a temporary one.

    One that another user made, or could replace, is passed over: `/tmp/botocache-1000`
    that was there before, a HOME that `sudo` has kept.

    Writes nothing, not even to find out what can be written. Raises
    StoreUnavailableError if no directory can be.
    """
    for place in _default_places(environ):
        if _can_be_made(place) and is_safe_place(place):
            return place
    raise StoreUnavailableError(
        "url 'disk:' finds no directory that can be written, and that no other user "
        "can replace, neither XDG_CACHE_HOME nor HOME, TMPDIR or /tmp; mount one and "
        "name it, as 'disk:///path', or use a server, or 'memory:' in a single process"
    )


def _default_places(environ: Mapping[str, str]) -> list[Path]:
    """Return where the store may live, the best place first."""
    places = []
    cache_home = environ.get("XDG_CACHE_HOME")
    if cache_home and Path(cache_home).is_absolute():
        places.append(Path(cache_home, "botocache"))
    home = environ.get("HOME")
    if home and Path(home).is_absolute() and Path(home).is_dir():
        places.append(Path(home, ".cache", "botocache"))
    # Those of tempfile.gettempdir(), which writes a file to try them. Without the
    # current directory: processes that share a cache may differ in it.
    named = [environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    return places + [
        Path(temporary, f"botocache-{os.getuid()}")
        for temporary in (*named, *_TEMPORARY)
        if Path(temporary).is_absolute()
    ]


def _can_be_made(directory: Path) -> bool:
    """Return whether a directory is there, or its nearest parent can be written."""
    for place in (directory, *directory.parents):
        if os.path.lexists(place):
            # Path.is_dir() raises where a parent may not be searched.
            is_directory = os.path.isdir(place)  # noqa: PTH112 - for that reason
            return is_directory and os.access(place, os.W_OK | os.X_OK)
    return False


class DiskStore:
    """A store that all processes of one machine share. See the Store protocol.

    It opens nothing before the first verb.

    root: the directory in which the store makes `v1/<namespace>`.
    namespace: separates stores in one root.
    size_limit: of the entries, bytes.
    is_behind: a thread writes entries, soon after `fill` has returned.
    clock: seconds; the same in all processes.
    random: makes generations, as `os.urandom` does.
    wall_clock: seconds since the epoch, for records of the board.
    """

    _opening: AbstractContextManager[object]
    _writing: AbstractContextManager[object]
    _busy: threading.Lock
    _is_opening: bool
    _evictions: int
    _slot_file: GenerationFile | None
    _entries: EntryDatabase | None
    _trouble: str
    _lost: Exception | None
    _table_took: float

    def __init__(  # noqa: PLR0913 - two clocks, which tests replace
        self,
        root: Path,
        *,
        namespace: str = "default",
        size_limit: int = DEFAULT_SIZE_LIMIT,
        is_behind: bool = False,
        clock: Clock = machine_clock,
        random: Random = os.urandom,
        wall_clock: Clock = time.time,
    ) -> None:
        self._root = root
        self.directory = root / "v1" / namespace
        self.now = clock
        self._size_limit = size_limit
        self._random = random
        below = ("v1", namespace, _BOARD)
        self._board = DiskBoard(root, below, clock=wall_clock, random=random)
        self._leases = DiskLeases(root, ("v1", namespace), clock)
        self._last_table: tuple[int, ...] | None = None  # close() and a fork keep it
        # Before the renewal below: the queue renews itself.
        self._queue = FillQueue(self._write_behind) if is_behind else None
        self._reset()
        renew_after_fork(self, DiskStore._forget_parent)

    def __repr__(self) -> str:
        entries = "open" if self._entries else "not open"
        return f"<DiskStore {self.directory}, entries {entries}>"

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        table, slots = self._table_in_place()
        try:
            snapshot = slots.generations(tags)
            # The snapshot comes before the entry. In the other order, an eviction
            # between the two would give an old entry the new generation.
            queue = self._queue
            entry = None if queue is None else queue.get(key)
            if entry is None and (entries := self._open_entries()) is not None:
                try:
                    entry = entries.get(key)
                except UNUSABLE as error:
                    self._give_up_if_used(entries, error)
                    raise
            return Loaded(entry, snapshot, slots.held(tags, self.now()))
        except StoreError as error:
            if not table.has_descriptor():
                table.abandon()  # the program closed it: open the file again
            elif isinstance(error, StoreLostError):
                raise self._wiped(table) from None
            else:
                raise
        return self.load(key, tags)

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        table, slots = self._table_in_place()
        try:
            # One look at the table for all: it was in place after this call began. All
            # snapshots come before all entries, as in `load`.
            snapshots = [slots.generations(tags) for _, tags in lookups]
            found = self._entries_of([key for key, _ in lookups])
            return [
                Loaded(found.get(key), snapshot, slots.held(tags, self.now()))
                for (key, tags), snapshot in zip(lookups, snapshots, strict=True)
            ]
        except StoreError:
            if table.has_descriptor() and table.is_in_place():
                raise
        # One by one, because `load` knows what to do.
        return [self.load(key, tags) for key, tags in lookups]

    def _entries_of(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the entries that are there, by their keys."""
        found: dict[bytes, bytes] = {}
        if self._queue is not None:
            for key in keys:
                entry = self._queue.get(key)
                if entry is not None:
                    found[key] = entry
        absent = [key for key in keys if key not in found]
        entries = self._open_entries()
        if entries is None or not absent:
            return found
        try:
            found |= entries.get_many(absent)
        except UNUSABLE as error:
            self._give_up_if_used(entries, error)
            raise
        return found

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current."""
        table = self._slot_file
        slots = None if table is None else table.slots_in_place()
        try:
            return slots is not None and slots.generations(tags) == tuple(snapshot)
        except StoreError:
            return False

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """See Watching.watch."""
        table = self._slot_file
        return _never if table is None else table.watch(tags, snapshot)

    def fill(
        self,
        key: bytes,
        entry: bytes,
        ttl: float,
        tags: Sequence[bytes] = (),
    ) -> None:
        """See Store.fill."""
        self.fill_many([Fill(key, entry, ttl, tags)])

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        if not fills:
            return
        entries = [(key, entry, ttl) for key, entry, ttl, _ in fills]
        queue = self._queue
        if queue is None:
            self._table()
            self._write(entries)
            self._leases.end_of(fill.key for fill in fills)
            return
        # The thread has failed since the last fill. It has no caller to raise for.
        lost, self._lost = self._lost, None
        if lost is not None:
            raise EntryError(f"entries were lost: {lost}") from lost
        if self._entries is None:
            self._table()  # first: it makes the directory
            if self._open_entries() is None:
                raise self._not_open()
        if not queue.put(entries):
            raise QueueFullError("more entries wait for the disk than may wait")
        leases = self._leases
        if leases.held and leases.has_any_of(fill.key for fill in fills):
            # Now, and not soon: others wait for them.
            queue.flush(LEASE_PATIENCE)
            leases.end_of(fill.key for fill in fills)

    def take_lease(self, key: bytes, seconds: float) -> Lease | None:
        """See Leasing.take_lease."""
        return self._leases.take(key, seconds)

    def flush(self, patience: float) -> bool:
        """Write the entries that wait; return whether all of them are written.

        patience: seconds to wait for another thread that writes some.
        """
        return self._queue is None or self._queue.flush(patience)

    def _write(self, batch: Sequence[Entry]) -> None:
        """Write entries to the database that is in place."""
        entries = self._open_entries()
        if entries is not None and not entries.is_in_place():
            # Another process replaced the database. Loads do not check this, because
            # an entry of the old one is correct if its snapshot is.
            self._entries = None
            entries = self._open_entries()
        if entries is None:
            raise self._not_open()
        try:
            entries.put_many(batch)
        except UNUSABLE as error:
            self._give_up_if_used(entries, error)
            raise

    def _write_behind(self, batch: Sequence[Entry]) -> None:
        """Write entries in the thread of the queue. Raises nothing of our own."""
        # The next verb opens what was replaced, and reports the loss of generations. To
        # open a database here would make it in a directory without a table.
        table = self._slot_file
        if table is None or not table.is_in_place():
            return
        try:
            self._write(batch)
        except Exception as error:  # noqa: BLE001 - the next fill raises it
            self._lost = pass_on(error)

    def _not_open(self) -> EntryError:
        return EntryError(f"entries are not open: {self._trouble}")

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        # The path is looked at only afterwards. Until then it does not matter if the
        # table is in place: a call that finds another one there fails in any case.
        table = self._slot_file
        stamp = None if table is None else table.stamp()
        if table is None or stamp is None:
            table = self._table()
            if not table.has_descriptor():
                table.abandon()  # the program closed it: open the file again
                table = self._table()
            stamp = table.stamp()
        try:
            eviction = self._evict(table, request, stamp)
        except StoreLostError:
            raise self._wiped(table) from None
        if table.slots_in_place() is None and self._table().identity != table.identity:
            # The directory was removed meanwhile. Other processes may use a new one
            # already, without this eviction.
            raise StoreLostError(f"{self.directory} was removed during an eviction")
        return eviction

    def _evict(
        self, table: GenerationFile, request: EvictionRequest, stamp: Stamp | None
    ) -> Eviction:
        """Evict in a table that had this stamp just now."""
        if stamp is None:
            raise StoreLostError("the generation table was condemned")
        busy = self._busy
        if busy.locked():
            busy = self._look_on()
        with self._writing, busy:  # the file lock excludes processes, not threads
            self._evictions = mine = self._evictions + 1
            exclusive = Exclusive(table, stamp)
            try:
                eviction = table.slots.evict(request, self.now(), exclusive)
                # Once: without the lock, its own evictions count as intrusions, too.
                is_disturbed = exclusive.is_disturbed
                while is_disturbed or self._evictions != mine:
                    # A writer proceeded without the lock, or a signal handler has
                    # evicted in the middle. This call may have undone that eviction,
                    # e.g. by restoring a generation: evict again.
                    is_disturbed, mine = False, self._evictions
                    exclusive = Exclusive(table)
                    eviction = table.slots.evict(
                        request.as_first(), self.now(), exclusive
                    )
            except BaseException:
                exclusive.release()
                raise
        return eviction

    def _look_on(self) -> threading.Lock:
        """Let the eviction of another thread end; return what shows the next one.

        A thread that waits in a lock gets it before it has its turn. Until then no
        other can evict, and the next ones wait behind it. Where many threads compute,
        each turn takes as long as all of theirs together. So a thread waits here.
        It has its turn when it finds the lock free.
        """
        if is_owned(self._writing):  # in a signal handler
            return threading.Lock()  # which shows nothing: the outer one goes on
        ends, pause = time.monotonic() + WRITER_PATIENCE, 0.0001
        while self._busy.locked() and time.monotonic() < ends:
            time.sleep(pause)  # a lock would be handed over, as above
            pause = min(2 * pause, 0.002)
        return self._busy

    def clear(self) -> None:
        """See Store.clear."""
        self._table()
        entries = self._open_entries()
        if entries is None:
            raise self._not_open()
        # First: what the thread has taken must not come after the removal.
        if self._queue is not None and not self._queue.drop(CLEAR_PATIENCE):
            raise EntryError("entries are being written")
        try:
            entries.clear()
        except UNUSABLE as error:
            self._give_up_if_used(entries, error)
            raise

    def close(self) -> None:
        """See Store.close."""
        if self._queue is not None:
            self._queue.flush(CLOSE_PATIENCE)
            self._queue.stop()
        entries = self._entries
        self._leases.close()
        self._abandon_table()
        self._reset()
        if entries is not None:
            entries.close()

    # --- the board -----------------------------------------------------------------

    def post(self, name: str, record: bytes, ttl: float) -> None:
        """See Board.post."""
        self._board.post(name, record, ttl)

    def names(self) -> Collection[str]:
        """See Board.names."""
        return self._board.names()

    def posted(self, names: Collection[str] | None = None) -> dict[str, bytes]:
        """See Board.posted."""
        return self._board.posted(names)

    def merge(
        self, parts: Mapping[str, bytes], name: str, record: bytes, ttl: float
    ) -> bool:
        """See Board.merge."""
        return self._board.merge(parts, name, record, ttl)

    def usage(self) -> Usage:
        """See Board.usage. Not known unless the database is open, which has the size.

        A process may ask as it ends, and opening takes a while.
        """
        entries = self._entries
        try:
            return Usage(*entries.usage()) if entries else Usage(None, None)
        except UNUSABLE:
            return Usage(None, None)  # busy; or the next load finds out what is wrong

    # --- the directory -------------------------------------------------------------

    def _table(self) -> GenerationFile:
        """Return the table that is at the path now; open or make it if necessary."""
        return self._table_in_place()[0]

    def _table_in_place(self) -> tuple[GenerationFile, RememberedSlots]:
        """Return the table that `_table` does, and its slots as they are now."""
        table = self._slot_file
        slots = None if table is None else table.slots_in_place()
        if table is not None and slots is not None:
            return table, slots
        with self._opening:
            table = self._slot_file
            slots = None if table is None else table.slots_in_place()
            if table is not None and slots is not None:
                return table, slots
            if table is not None:
                table.abandon()
            self._slot_file = self._entries = None
            began = time.monotonic()
            try:
                below = self.directory.relative_to(self._root).parts
                with private_directory(self._root, *below) as directory:
                    table = open_generation_file(
                        self.directory / "slots", boot_id(), self._random, directory
                    )
            except OSError as error:
                pass_on(error)
                raise StoreError(f"cannot open {self.directory}: {error}") from error
            finally:
                self._table_took = time.monotonic() - began
            self._slot_file = table
            # Evictions in the previous table are lost to this one, so the first call
            # that finds another table fails and reports the loss.
            last, self._last_table = self._last_table, table.identity
            if last not in (None, table.identity):
                raise StoreLostError(f"{self.directory} was removed or replaced")
            slots = table.slots_in_place()
            if slots is None:  # removed again at once
                raise StoreError(f"{self.directory} was removed or replaced")
            return table, slots

    def _wiped(self, table: GenerationFile) -> StoreLostError:
        """Replace a table that lost generations; return the error to raise."""
        table.condemn()
        with contextlib.suppress(StoreError):
            self._table()  # raises a StoreLostError of its own for the same loss
        return StoreLostError(f"generations in {self.directory} were wiped")

    # --- entries -------------------------------------------------------------------

    def _open_entries(self) -> EntryDatabase | None:
        """Return the entries, or None while they are opened or after a failure."""
        entries = self._entries
        if entries is not None or 0.0 < self._paused_until - self.now() <= PAUSE:
            return entries
        with self._opening:
            if self._entries is None and not self._is_opening:
                self._trouble = "SQLite takes long to open them"
                opened = threading.Event()
                opener = threading.Thread(
                    target=self._open_in_background,
                    args=(opened,),
                    name="botocache-opener",
                    daemon=True,
                )
                try:
                    self._is_opening = True
                    opener.start()
                except BaseException as error:  # noqa: BLE001 - an interruption is passed on
                    if opener.ident is None:
                        self._is_opening = False
                    own = pass_on(error)
                    # The system has no thread left.
                    raise EntryError(f"cannot open entries: {own}") from own
                # One wait for the call that opens both parts of the store.
                opened.wait(max(0.0, OPEN_PATIENCE - self._table_took))
            return self._entries

    def _open_in_background(self, opened: threading.Event) -> None:
        """Open the entries, then set `opened`."""
        # In a thread, because a disk may be slow.
        try:
            self._entries = EntryDatabase(self.directory / _ENTRIES, self._size_limit)
        except UNUSABLE as error:
            self._give_up(None, error)
        except EntryError as error:  # the next call opens them
            self._trouble = str(error)
        finally:
            self._is_opening = False
            opened.set()
        for name in _FORMER:
            self._discard_former(self.directory / name)

    def _discard_former(self, entries: Path) -> None:
        """Remove the entries of an earlier version if no process fills them any more.

        One that still loads from them misses then, and makes them again.
        """
        with contextlib.suppress(OSError):
            # The directory too: a process that has just made it has no files in it yet.
            paths = [entries, *entries.iterdir()]
            latest = max(path.lstat().st_mtime for path in paths)
            if time.time() - latest > _FORMER_KEPT:
                self._discard(entries)

    def _give_up_if_used(self, entries: EntryDatabase, error: StoreError) -> None:
        """Close the entries after a failure, unless another thread did so."""
        if self._entries is entries:  # else another thread did it already
            self._give_up(entries, error)

    def _give_up(self, entries: EntryDatabase | None, error: StoreError) -> None:
        """Use no entries for `PAUSE` seconds; remove the database if it is damaged."""
        self._trouble = str(error)
        self._entries = None
        if entries is not None:
            entries.close()
        if isinstance(error, DatabaseReplacedError):
            return  # the new one is usable at once
        self._paused_until = self.now() + PAUSE
        path = self.directory / _ENTRIES
        # Kept are a database that another writer has locked, and one that could be
        # opened with more file descriptors. Any other failure may repeat for ever.
        if not keeps_database(error, path):
            self._discard(path)

    def _discard(self, entries: Path) -> None:
        """Remove entries. They are renamed first, so that no process opens a part."""
        with contextlib.suppress(OSError):
            entries.rename(entries.with_name(_DISCARDED + self._random(8).hex()))
        for discarded in self.directory.glob(f"{_DISCARDED}*"):
            with contextlib.suppress(OSError):  # a directory: rmtree removes it
                discarded.unlink()
            shutil.rmtree(discarded, ignore_errors=True)

    def _reset(self) -> None:
        """Set the state of a store that has opened nothing."""
        self._slot_file = None
        self._entries = None
        self._paused_until = 0.0
        self._trouble = ""
        self._lost = None
        self._table_took = 0.0
        self._is_opening = False
        self._evictions = 0
        # A signal handler may make calls of its own while its thread holds them.
        self._opening = threading.RLock()
        self._writing = threading.RLock()
        # Taken within `_writing`, to show that an eviction goes on. A lock, because no
        # interruption leaves it behind.
        self._busy = threading.Lock()

    def _forget_parent(self) -> None:
        """Drop all that the parent opened, in a child process.

        Parent and child would share the file lock. A thread that exists only in the
        parent may hold a lock. SQLite forbids a child even to close a connection.
        """
        if self._entries is not None:
            self._entries.leave_to_parent()
        self._abandon_table()
        self._reset()

    def _abandon_table(self) -> None:
        if self._slot_file is not None:
            self._slot_file.abandon()


def _never() -> bool:
    return False
