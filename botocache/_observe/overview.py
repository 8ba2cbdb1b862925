"""Read what all processes have posted on a store.

The store is not trusted: what is damaged or forged is left out and counted, and no
record makes reading fail.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from botocache._cache.call_store import CallStore
from botocache._cache.entries import EntryCodec
from botocache._cache.heartbeats import Heartbeats
from botocache._cache.services import services_of
from botocache._counting.stats import Stats
from botocache._errors import CodecError
from botocache._observe.points import sum_points
from botocache._observe.records import Overview, ProcessRecord
from botocache._observe.sealing import (
    hour_of,
    is_past,
    is_process,
    open_past,
    open_points,
    open_process,
)
from botocache._settings.load import Settings
from botocache._streams.followed import FollowedTable, TrustedUntil, read_followed
from botocache.stores.boards import board_of
from botocache.stores.opening import open_store
from botocache.stores.protocol import Store

_T = TypeVar("_T")

_Open = Callable[[EntryCodec, str, bytes], _T]


class OpenBoard(NamedTuple):
    """A store for `read_overview`, and its codec.

    store: as an installation with the same settings uses it.
    codec: of its records.
    heartbeats: of the followers of tables.
    """

    store: Store
    codec: EntryCodec
    heartbeats: Heartbeats

    def trusted_until(self, region: str, table: str, now: float) -> float:
        """See TrustedUntil."""
        # A CallStore for each: after a failure, it would skip the other tables.
        return self.heartbeats.trusted_until(region, table, now, CallStore(self.store))


@contextlib.contextmanager
def open_board(settings: Settings, environ: Mapping[str, str]) -> Iterator[OpenBoard]:
    """Open the store that settings name, for a command; close it at the end.

    environ: of the process.

    Imports no botocore, and sends nothing before the first verb. Raises ConfigError, or
    StoreUnavailableError if the environment lacks what the store needs.
    """
    # A store object is the application's: it stays open.
    url = settings.url
    is_own = isinstance(url, Store)
    store = (
        url if isinstance(url, Store) else open_store(settings.store_options(environ))
    )
    # As an installation does it, with keyed names and the codec of the same keys.
    services = services_of(store, settings)
    try:
        yield OpenBoard(services.store, services.records, services.heartbeats)
    finally:
        if not is_own:
            store.close()


def read_overview(
    store: Store,
    codec: EntryCodec,
    *,
    trusted_until: TrustedUntil | None = None,
    wall_clock: Callable[[], float] = time.time,
) -> Overview:
    """Return what all processes have posted on a store. Raises StoreError.

    store: without a Board, the overview is empty.
    codec: of the records, as `open_board` returns it.
    trusted_until: that of `open_board`; without it, heartbeats are not looked at.
    wall_clock: seconds since the epoch.
    """
    now, board = wall_clock(), board_of(store)
    if board is None:
        return Overview(read_at=now)
    posted = board.posted()
    # By the store's clock, not this machine's: a lag is a difference of its moments.
    followed = read_followed(posted, codec, store.now(), trusted_until)
    return overview_of(posted, codec, now, followed)


def overview_of(
    posted: Mapping[str, bytes],
    codec: EntryCodec,
    now: float,
    followed: tuple[FollowedTable, ...] = (),
) -> Overview:
    """Return an overview of records.

    now: seconds since the epoch.
    followed: the tables whose ledgers are among the records.

    Raises StoreSkippedError if there are no keys.
    """
    processes = _open_records(codec, posted, filter(is_process, posted), open_process)
    past = _open_records(codec, posted, filter(is_past, posted), open_past)
    hours = [name for name in posted if hour_of(name) is not None]
    points = _open_records(codec, posted, hours, open_points)
    total = Stats()
    for record in past:
        total = total + record.stats
    known = len(processes) + len(past) + len(points) + len(followed)
    return Overview(
        processes=tuple(sorted(processes, key=_newest_first)),
        past=total,
        past_processes=sum(record.processes for record in past),
        points=sum_points(point for each in points for point in each),
        read_at=now,
        unreadable=len(posted) - known,
        followed=followed,
    )


def _newest_first(record: ProcessRecord) -> tuple[float, str]:
    return -record.updated, record.process


def _open_records(
    codec: EntryCodec,
    posted: Mapping[str, bytes],
    names: Iterable[str],
    open_record: "_Open[_T]",
) -> list[_T]:
    """Return the records that can be opened."""
    records = []
    for name in names:
        # Of another version, under other keys, or forged. `unreadable` counts them.
        with contextlib.suppress(CodecError):
            records.append(open_record(codec, name, posted[name]))
    return records
