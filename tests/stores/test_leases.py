"""Leases of each store that has them: one holder, who may die and outlives none."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from botocache._errors import StoreError
from botocache.stores.disk.leases import NAME, DiskLeases
from botocache.stores.disk.store import DiskStore
from botocache.stores.keyed_names import Names, keyed_store
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Fill, Lease, Leasing, Store, lends
from botocache.stores.redis.store import RedisStore
from tests.support.clock import FakeClock
from tests.support.digests import key, tag
from tests.support.keys import key as secret
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually, forked, running_peer
from tests.support.store_peer import hold_lease, hold_lease_at
from tests.support.stores import opened_store
from tests.support.tcp_proxy import running_proxy
from tests.support.valkey_server import ValkeyServer

KEY, OTHER = key("an entry"), key("another entry")
A = tag("a")
TTL = 60.0
LONG = 3000.0
SHORT = 0.05
"""Real seconds, on a server: it counts them by itself."""

KINDS = ("disk", "redis", "cluster", "keyed redis")

Make = Callable[[], Any]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Return what opens the store as one more process does."""
    kind = request.param.removeprefix("keyed ")
    names = Names([secret(1), secret(2)])
    with ExitStack() as stack:

        def opened() -> Any:
            made: AbstractContextManager[Store] = opened_store(kind, request)
            store = stack.enter_context(made)
            store.load(OTHER, [A])  # a server is connected to
            if kind == request.param:
                return store
            return keyed_store(store, lambda: names)

        yield opened


def take(store: Leasing, of: bytes = KEY, seconds: float = LONG) -> Lease:
    lease = store.take_lease(of, seconds)
    assert lease is not None
    return lease


def test_a_store_that_others_share_lends_and_memory_does_not(make: Make) -> None:
    assert lends(make())
    memory = MemoryStore()
    assert not lends(memory)
    assert not lends(keyed_store(memory, lambda: Names([secret(1)])))


def test_a_lease_has_one_holder_until_it_is_given_back_once(make: Make) -> None:
    here, there = make(), make()
    lease = take(here)
    assert there.take_lease(KEY, LONG) is None
    assert here.take_lease(KEY, LONG) is None  # in another thread
    assert lease.give_back()
    mine = take(there)
    assert not lease.give_back()  # this one ended before; the other's lasts
    assert here.take_lease(KEY, LONG) is None
    assert mine.give_back()


def test_each_key_has_a_lease_of_its_own(make: Make) -> None:
    here, there = make(), make()
    take(here)
    take(there, OTHER)
    assert here.take_lease(OTHER, LONG) is there.take_lease(KEY, LONG) is None


def test_a_fill_of_its_key_ends_a_lease_and_others_find_the_entry(make: Make) -> None:
    here, there = make(), make()
    lease, other = take(here), take(here, OTHER)
    here.fill(KEY, b"entry", TTL, [A])
    take(there)
    assert there.load(KEY, [A]).entry == b"entry"
    assert there.take_lease(OTHER, LONG) is None
    assert not lease.give_back()
    here.fill_many([Fill(OTHER, b"other", TTL, [A]), Fill(KEY, b"entry", TTL, [A])])
    assert not other.give_back()
    assert there.load(OTHER, [A]).entry == b"other"
    take(there, OTHER)


def test_an_entry_that_another_process_fills_ends_no_lease(make: Make) -> None:
    here, there = make(), make()
    lease = take(here)
    there.fill(KEY, b"entry", TTL, [A])
    assert there.take_lease(KEY, LONG) is None
    assert lease.give_back()


def test_a_lease_that_is_dropped_is_free_at_the_latest_with_the_next_command(
    make: Make,
) -> None:
    here, there = make(), make()
    take(here).drop()
    take(here, OTHER)
    take(there)


def test_a_lease_of_before_ends_nothing_when_its_time_is_over(
    make: Make, clock: FakeClock
) -> None:
    here = make()
    old = take(here, seconds=SHORT)
    new: list[Lease] = []

    def is_free() -> bool:
        clock.advance(SHORT / 2)
        new.extend(filter(None, [here.take_lease(KEY, LONG)]))
        return bool(new)

    eventually(is_free)
    assert not old.give_back()
    old.drop()
    assert here.take_lease(KEY, LONG) is None
    assert new[0].give_back()


def test_a_closed_store_holds_no_lease_that_others_see_for_ever(make: Make) -> None:
    here, there = make(), make()
    lease = take(here, seconds=SHORT)
    here.close()
    eventually(lambda: there.take_lease(KEY, LONG) is not None)
    lease.drop()
    assert here.take_lease(KEY, LONG) is None


def test_a_child_has_no_lease_of_its_parent_and_cannot_give_one_back(
    make: Make,
) -> None:
    here, there = make(), make()
    lease = take(here)

    def work(_pipe: object) -> None:
        assert not lease.give_back()
        lease.drop()
        with contextlib.suppress(StoreError):  # it connects anew
            here.fill(KEY, b"of the child", TTL, [A])
        eventually(lambda: _is_taken(here))

    with forked(work):
        pass
    assert there.take_lease(KEY, LONG) is None
    assert lease.give_back()


def _is_taken(store: Leasing) -> bool:
    try:
        return store.take_lease(KEY, LONG) is None
    except StoreError:
        return False


# --- a holder that dies --------------------------------------------------------------


def test_the_system_ends_the_lease_of_a_process_that_is_killed(tmp_path: Any) -> None:
    root = tmp_path / "disk"
    with running_peer() as peer, contextlib.closing(DiskStore(root)) as store:
        assert peer.call(hold_lease, root, KEY, LONG)
        assert store.take_lease(KEY, LONG) is None
        peer.kill()
        take(store)


def test_the_lease_of_a_killed_parent_ends_though_its_child_lives_on(
    tmp_path: Any,
) -> None:
    root = tmp_path / "disk"
    with contextlib.closing(DiskStore(root)) as store:
        lease = take(store)

        def work(pipe: Any) -> None:
            pipe.send(store.take_lease(OTHER, LONG) is not None)
            pipe.recv()

        with forked(work) as pipe:
            assert pipe.recv()
            store.close()  # as the kernel closes all of a process that dies
            with contextlib.closing(DiskStore(root)) as other:
                take(other)
                assert other.take_lease(OTHER, LONG) is None
            pipe.send(None)
        assert not lease.give_back()


def test_a_server_ends_the_lease_of_a_killed_process_when_its_time_is_over(
    valkey: ValkeyServer, namespace: str
) -> None:
    store: Any = open_store_at(valkey.url, namespace=namespace, timeout=TIMEOUT)
    with running_peer() as peer, contextlib.closing(store):
        assert peer.call(hold_lease_at, valkey.url, namespace, KEY, 0.3)
        assert store.take_lease(KEY, LONG) is None
        peer.kill()
        began = time.monotonic()
        eventually(lambda: store.take_lease(KEY, LONG) is not None)
        assert time.monotonic() - began < 5


# --- on disk -------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Any) -> Iterator[DiskStore]:
    """A store that writes entries behind the call, as applications have it."""
    made = DiskStore(tmp_path / "disk", is_behind=True)
    with contextlib.closing(made):
        made.load(KEY, [A])
        yield made


def test_an_entry_under_a_lease_is_written_at_once_and_no_other(
    disk: DiskStore, tmp_path: Any
) -> None:
    with contextlib.closing(DiskStore(tmp_path / "disk")) as other:
        other.load(KEY, [A])
        disk.fill(OTHER, b"other", TTL)
        take(disk)
        assert other.load(OTHER, [A]).entry is None
        disk.fill(KEY, b"entry", TTL)
        assert other.load(KEY, [A]).entry == b"entry"


def descriptors() -> set[Path]:
    return {*Path("/proc/self/fd").iterdir()}


def test_one_descriptor_is_open_and_only_once_a_lease_was_taken(
    disk: DiskStore, tmp_path: Any
) -> None:
    before = descriptors()  # and that of the look itself, whose number comes again
    assert not (disk.directory / NAME).exists()
    for number in range(100):
        take(disk, key(f"{number}"))
    assert len(descriptors() - before) == 1
    assert (disk.directory / NAME).stat().st_mode & 0o777 == 0o600
    disk.close()
    assert not descriptors() - before


def test_a_program_that_closes_all_descriptors_keeps_its_own_files(
    disk: DiskStore, tmp_path: Any
) -> None:
    lease = take(disk)
    number = disk._leases._file.number  # type: ignore[union-attr]
    own = os.open(tmp_path / "own", os.O_RDWR | os.O_CREAT)
    os.dup2(own, number)
    assert lease.give_back()
    take(disk)
    disk.close()
    os.write(number, b"still open")
    os.close(number)
    os.close(own)


def test_a_removed_directory_ends_the_leases_in_it(
    disk: DiskStore, tmp_path: Any
) -> None:
    lease = take(disk)
    (disk.directory / NAME).unlink()
    with contextlib.closing(DiskStore(tmp_path / "disk")) as other:
        theirs = take(other)
        assert disk.take_lease(OTHER, LONG) is not None
        assert disk.take_lease(KEY, LONG) is None
        assert not lease.give_back()
        assert theirs.give_back()


@pytest.mark.parametrize("harm", ["link", "second name", "directory"])
def test_a_file_that_is_none_of_ours_is_not_locked(
    disk: DiskStore, tmp_path: Any, harm: str
) -> None:
    victim, path = tmp_path / "victim", disk.directory / NAME
    victim.touch()
    if harm == "link":
        path.symlink_to(victim)
    elif harm == "second name":
        path.hardlink_to(victim)
    else:
        path.mkdir()
    with pytest.raises(StoreError):
        disk.take_lease(KEY, LONG)
    with pytest.raises(StoreError):  # and the process holds none of it
        disk.take_lease(KEY, LONG)


def test_without_such_locks_every_process_has_the_lease(tmp_path: Any) -> None:
    def refuse(_number: int, _lock: bytes) -> None:
        raise OSError(38, "not implemented")

    def leases() -> DiskLeases:
        return DiskLeases(tmp_path, (), FakeClock(), refuse)

    here, there = leases(), leases()
    lease = here.take(KEY, LONG)
    assert lease is not None
    assert there.take(KEY, LONG) is not None
    assert here.take(KEY, LONG) is None  # threads are kept apart all the same
    assert lease.give_back()
    here.close()
    there.close()


# --- on a server ---------------------------------------------------------------------


@pytest.fixture
def served(valkey: ValkeyServer, namespace: str) -> Iterator[tuple[RedisStore, Any]]:
    """A store with a connection, behind a proxy."""
    with running_proxy(valkey.port) as proxy:
        store: Any = open_store_at(
            proxy.url(), namespace=namespace, timeout=0.2, settle=0.0, longest_ttl=TTL
        )
        with contextlib.closing(store):
            eventually(lambda: _loads(store))
            store.fill(OTHER, b"other", TTL, [A])
            yield store, proxy


def _loads(store: Store) -> bool:
    try:
        store.load(KEY, [A])
    except StoreError:  # it is still being connected to
        return False
    return True


def test_a_late_fill_and_the_end_of_its_lease_are_sent_together(
    served: tuple[RedisStore, Any], valkey: ValkeyServer, namespace: str
) -> None:
    store, proxy = served
    lease = take(store)
    proxy.hold_replies()
    settled: list[object] = []
    store.for_call().fill_later([Fill(KEY, b"entry", TTL, [A])], settled.append)
    assert not lease.give_back()
    other: Any = open_store_at(valkey.url, namespace=namespace, timeout=TIMEOUT)
    with contextlib.closing(other):
        eventually(lambda: other.take_lease(KEY, LONG) is not None)
        assert other.load(KEY, [A]).entry == b"entry"
    proxy.release_replies()
    store.load(KEY, [A])
    assert settled == [None]
    last = [each for each in proxy.commands if each in (b"SET", b"EVAL")][-2:]
    assert last == [b"SET", b"EVAL"]


def test_a_lease_that_is_given_back_waits_for_no_reply(
    served: tuple[RedisStore, Any], valkey: ValkeyServer, namespace: str
) -> None:
    store, proxy = served
    lease = take(store)
    proxy.hold_replies()
    assert lease.give_back()
    other: Any = open_store_at(valkey.url, namespace=namespace, timeout=TIMEOUT)
    with contextlib.closing(other):
        eventually(lambda: other.take_lease(KEY, LONG) is not None)
    proxy.release_replies()
    assert store.load(OTHER, [A]).entry == b"other"


def test_a_lease_whose_time_is_over_ends_none_of_another_process(
    served: tuple[RedisStore, Any], valkey: ValkeyServer, namespace: str
) -> None:
    store, _ = served
    old = take(store, seconds=SHORT)
    other: Any = open_store_at(valkey.url, namespace=namespace, timeout=TIMEOUT)
    with contextlib.closing(other):
        eventually(lambda: other.take_lease(KEY, LONG) is not None)
        assert old.give_back()  # for all that this process knows
        store.load(KEY, [A])  # carried out by now
        assert store.take_lease(KEY, LONG) is None


def test_a_server_that_is_gone_lends_nothing_and_ends_no_call(
    served: tuple[RedisStore, Any],
) -> None:
    store, proxy = served
    lease = take(store)
    proxy.hold_replies()
    began = time.monotonic()
    with pytest.raises(StoreError):
        store.for_call().take_lease(OTHER, LONG)  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5
    lease.give_back()
    lease.drop()


@pytest.mark.parametrize(
    "reply", [b"+QUEUED\r\n", b":1\r\n", b"-ERR no\r\n", b"*0\r\n"]
)
def test_a_reply_that_is_none_is_a_store_error(
    served: tuple[RedisStore, Any], reply: bytes
) -> None:
    store, proxy = served
    proxy.answer(reply, to=b"NX")
    with pytest.raises(StoreError):
        store.take_lease(KEY, LONG)


def test_a_planted_lease_costs_a_wait_and_is_never_removed(
    served: tuple[RedisStore, Any], valkey: ValkeyServer, namespace: str
) -> None:
    store, _ = served
    name = store._keys.lease(KEY)
    lease = take(store)
    other: Any = open_store_at(valkey.url, namespace=namespace, timeout=TIMEOUT)
    with contextlib.closing(other):
        other.load(KEY, [A])
        other._ask(lambda: [(b"UNLINK", name), (b"HSET", name, b"a", b"b")])
        assert store.take_lease(KEY, LONG) is None
        store.fill(KEY, b"entry", TTL, [A])
        assert not lease.give_back()
        assert other._ask(lambda: [(b"HLEN", name)]) == [1]
    assert store.load(KEY, [A]).entry == b"entry"
