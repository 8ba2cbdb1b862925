"""The course of a miss under leases: one asks, others wait, and no law is bent.

Two caches with stores of their own in one directory stand for two processes. Nothing
sleeps: at each pause of a waiter a test does what the others do meanwhile.
"""

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import botocache
from botocache import Cache
from botocache._cache import coalescing, leases
from botocache._cache.leases import PAUSES, LeasedTicket
from botocache._cache.tickets import (
    BatchTicket,
    BypassTicket,
    Hit,
    ReadTicket,
    StaleHit,
)
from botocache._errors import StoreError
from botocache._settings.load import Settings
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import lends
from tests.support.calls import begin
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually
from tests.support.valkey_server import ValkeyServer

KEY = {"pk": {"S": "a"}}
GET = ("GetItem", {"TableName": "t", "Key": KEY})
ANSWER = {"Item": {**KEY, "n": {"N": "1"}}}
UPDATE = {"TableName": "t", "Key": KEY, "UpdateExpression": "SET n = n"}


class Pauses(list[float]):
    """What waiters have slept.

    meanwhile: what others do, by the number of the pause; the first is 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: dict[int, Callable[[], object]] = {}

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
        self.meanwhile.pop(len(self) - 1, lambda: None)()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    made = Pauses()
    monkeypatch.setattr(leases, "_sleep", made)
    return made


@pytest.fixture
def make(tmp_path: Path, pauses: Pauses) -> Iterator[Callable[..., Cache]]:
    """Return what makes the cache of one more process."""
    assert not pauses
    with contextlib.ExitStack() as stack:

        def made(**settings: Any) -> Cache:
            store = DiskStore(tmp_path / "disk")
            stack.callback(store.close)
            given = {"miss_leases": True, "settle": 0.0, **settings}
            return Cache(store, Settings(url="disk:", **given))

        yield made


def get(cache: Cache) -> Any:
    return settled(cache, begin(cache, *GET))


def settled(cache: Cache, outcome: Any) -> Any:
    """Return what a call comes to, as the doors have it."""
    return cache.settle(outcome) if type(outcome) is ReadTicket else outcome


def answer(cache: Cache, ticket: Any, given: dict[str, Any] | None = None) -> None:
    cache.finish(ticket, dict(given or ANSWER), succeeded=True, certain=True)


def get_of(cache: Cache, parameters: dict[str, Any]) -> Any:
    return settled(cache, begin(cache, "GetItem", parameters))


def counts(cache: Cache) -> leases.Leases:
    assert cache.leases is not None
    return cache.leases


def has_lease(outcome: object) -> bool:
    return isinstance(outcome, LeasedTicket)


def test_one_process_asks_and_the_other_is_served_what_it_fills(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here, there = make(), make()
    asked = get(here)
    assert has_lease(asked)
    pauses.meanwhile[2] = lambda: answer(here, asked)
    hit = get(there)
    assert isinstance(hit, Hit)
    assert hit.answer == ANSWER
    assert pauses == [*PAUSES[:3]]
    assert counts(there).served == 1
    assert [each.leased for each in there.stats().tables] == [1]
    assert [each.leased for each in here.stats().tables] == [0]


def test_an_entry_that_was_filled_before_the_lease_could_be_had_is_served(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "QUICK", 0.0)  # as on a busy machine
    here, there = make(), make()
    asked, take = get(here), DiskStore.take_lease

    def take_late(*arguments: Any) -> Any:
        answer(here, asked)
        return take(*arguments)

    monkeypatch.setattr(DiskStore, "take_lease", take_late)
    assert isinstance(get(there), Hit)
    monkeypatch.undo()
    assert not pauses
    assert has_lease_of(here, asked.prepared.key)  # it was given back at once
    assert counts(there).taken == 1


def has_lease_of(cache: Cache, key: bytes) -> bool:
    store = cache._store
    return lends(store) and store.take_lease(key, 1.0) is not None


def fail(cache: Cache, ticket: Any) -> None:
    cache.fail(ticket)


def refuse(cache: Cache, ticket: Any) -> None:
    cache.finish(ticket, {}, succeeded=False, certain=True)


def drop(_cache: Cache, _ticket: Any) -> None:
    """Do nothing: the test has the only other reference, and lets it go."""


@pytest.mark.parametrize("end", [fail, refuse, drop])
def test_a_holder_that_gets_no_answer_lets_the_next_one_ask(
    make: Callable[..., Cache], pauses: Pauses, end: Callable[[Cache, Any], None]
) -> None:
    here, there, third = make(), make(), make()
    asked = [get(here)]
    pauses.meanwhile[1] = lambda: end(here, asked.pop())
    ticket = get(there)
    assert has_lease(ticket)
    assert pauses == [*PAUSES[:2]]
    pauses.meanwhile[2] = lambda: answer(there, ticket)
    assert isinstance(get(third), Hit)


def test_a_holder_that_never_ends_costs_a_read_one_wait_of_a_tenth_of_a_second(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here, there = make(), make()
    asked = get(here)
    assert type(get(there)) is ReadTicket
    assert pauses == [*PAUSES]
    assert sum(pauses) == pytest.approx(0.1)
    answer(here, asked)


def test_while_its_table_is_braked_a_read_waits_longer(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here, there = make(), make()
    there.services.brakes.brake("t", there.services.store.now())
    asked = get(here)
    pauses.meanwhile[len(PAUSES) + 1] = lambda: answer(here, asked)
    assert isinstance(get(there), Hit)
    assert sum(leases.BRAKED_PAUSES) == pytest.approx(2.0)


def test_a_holder_that_is_stopped_costs_a_process_one_wait_and_not_each_read(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make(), make()
    now = [0.0]
    monkeypatch.setattr(counts(there), "_clock", lambda: now[0])
    stopped = get(here)
    assert has_lease(stopped)
    for _ in range(3):  # none of their answers can be kept
        refuse(there, get(there))
    assert pauses == [*PAUSES]
    now[0] += leases.LEASE_SECONDS + 0.1
    refuse(there, get(there))
    assert pauses == [*PAUSES, *PAUSES]


def test_a_store_that_answers_slowly_makes_no_wait_longer(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make(), make()
    now, look = [0.0], counts(there)._look

    def look_slowly(ticket: ReadTicket) -> Any:
        now[0] += 0.19
        return look(ticket)

    monkeypatch.setattr(counts(there), "_clock", lambda: now[0])
    monkeypatch.setattr(counts(there), "_look", look_slowly)
    asked = get(here)
    assert has_lease(asked)
    assert not has_lease(get(there))
    assert pauses == [PAUSES[0]]


def test_who_has_waited_for_a_read_of_its_process_does_not_wait_long_for_another(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here, there = make(), make()
    asked = get(here)
    assert has_lease(asked)
    there.services.brakes.brake("t", there.services.store.now())
    outcome = begin(there, *GET)
    assert isinstance(outcome, ReadTicket)
    outcome.store.started -= 2.0
    assert not has_lease(settled(there, outcome))
    assert pauses == [*PAUSES]


def test_a_read_that_bypasses_the_cache_after_its_wait_has_no_flight_any_more(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make(), make()
    asked, kept = get(here), []

    def look_in_vain(ticket: ReadTicket) -> Any:
        kept.append(ticket)  # as the error of an eviction does
        return None, b""

    monkeypatch.setattr(counts(there), "_look", look_in_vain)
    assert has_lease(asked)
    assert isinstance(get(there), BypassTicket)
    assert kept[0].flight
    assert pauses
    assert not len(there.coalescing)


ITEM = {"pk": {"S": "a"}, "sk": {"S": "b"}, "n": {"N": "1"}}
QUERY = {
    "TableName": "t",
    "IndexName": "inverted",
    "KeyConditionExpression": "sk = :s",
    "ExpressionAttributeValues": {":s": {"S": "b"}},
}


def test_a_query_whose_table_is_evicted_while_it_waits_is_not_filled_anew(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    """The table may have been made anew, with other key attributes than it rests on."""
    here, there = make(), make()
    key = {name: ITEM[name] for name in ("pk", "sk")}
    for cache in (here, there):  # they learn the key attributes
        get_it = begin(cache, "GetItem", {"TableName": "t", "Key": key})
        if not isinstance(get_it, Hit):
            answer(cache, settled(cache, get_it), {"Item": ITEM})
    asked = settled(here, begin(here, "Query", QUERY))
    assert asked.prepared.read.rests_on_schema
    before = asked.table_generation
    pauses.meanwhile[1] = lambda: here.invalidate("t")
    waited = settled(there, begin(there, "Query", QUERY))
    assert pauses
    assert waited.table_generation == before


def test_a_look_that_fails_under_a_lease_gives_it_back_at_once(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "QUICK", 0.0)  # as on a busy machine
    here, there = make(), make()
    ticket = begin(here, *GET)

    def fails(*_: Any) -> Any:
        raise StoreError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(DiskStore, "load", fails)
        asked = settled(here, ticket)
    assert not has_lease(asked)
    assert not pauses
    assert has_lease_of(there, asked.prepared.key)  # it is free


def test_a_flight_whose_lease_has_failed_ends_when_its_ticket_is_dropped(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make()

    def fails(*_: Any) -> Any:
        raise StoreError("on purpose")

    monkeypatch.setattr(DiskStore, "take_lease", fails)
    asked = get(cache)
    assert asked.flight
    assert not pauses
    gc.disable()
    try:
        del asked
        assert not len(cache.coalescing)
    finally:
        gc.enable()


@pytest.fixture
def late(make: Callable[..., Cache]) -> Callable[[], Cache]:
    """Return what makes a cache in which the item's entry is over its TTL, not stale.

    DynamoDB has throttled its table.
    """

    def made() -> Cache:
        cache = make(ttl=1e-9, stale_if_throttled=60.0)
        if not begun:
            begun.append(get(cache))
            answer(cache, begun[0])
            cache.close()  # has the entry written
        cache.services.brakes.brake("t", cache.services.store.now())
        return cache

    begun: list[Any] = []
    return made


@pytest.mark.parametrize("end", [fail, refuse, drop])
def test_a_read_of_a_braked_table_is_answered_stale_when_the_holder_has_failed(
    late: Callable[[], Cache], pauses: Pauses, end: Callable[[Cache, Any], None]
) -> None:
    here, there = late(), late()
    asked = [get(here)]
    assert has_lease(asked[0])
    key = asked[0].prepared.key
    pauses.meanwhile[1] = lambda: end(here, asked.pop())
    assert isinstance(get(there), StaleHit)
    assert pauses == [*PAUSES[:2]]
    assert has_lease_of(there, key)  # it was given back
    assert sum(each.answered_stale for each in there.stats().tables) == 1
    assert len(there.coalescing) == 0


def test_a_read_of_a_braked_table_is_answered_stale_after_the_usual_wait(
    late: Callable[[], Cache], pauses: Pauses
) -> None:
    here, there = late(), late()
    asked = get(here)
    assert isinstance(get(there), StaleHit)
    assert pauses == [*PAUSES]
    answer(here, asked)


def test_a_read_of_a_table_that_is_not_braked_asks(
    late: Callable[[], Cache], pauses: Pauses
) -> None:
    here, there = late(), late()
    there.services.brakes.until.clear()
    asked = get(here)
    assert type(get(there)) is ReadTicket
    assert pauses == [*PAUSES]
    answer(here, asked)


def test_what_is_filled_from_before_a_write_serves_no_one_who_waited(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here, there, writer = make(), make(), make()
    asked = get(here)

    def write() -> None:
        writing = begin(writer, "UpdateItem", UPDATE)
        assert writing is not None
        assert not isinstance(writing, Hit)
        writer.finish(writing, {}, succeeded=True, certain=True)
        answer(here, asked)

    pauses.meanwhile[0] = write
    assert not isinstance(get(there), Hit)


def test_a_write_that_begins_while_one_waits_ends_the_wait(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here, there, writer = make(), make(), make()
    asked = get(here)
    pauses.meanwhile[1] = lambda: begin(writer, "UpdateItem", UPDATE)
    assert type(get(there)) is ReadTicket
    assert pauses == [*PAUSES[:2]]
    answer(here, asked)


def test_what_may_not_be_filled_takes_no_lease(make: Callable[..., Cache]) -> None:
    here = make()
    writing = begin(here, "UpdateItem", UPDATE)
    assert type(get(here)) is ReadTicket  # under the hold-off of that write
    assert writing is not None
    other = {**GET[1], "Key": {"pk": {"S": "b"}}}
    consistent = {**other, "ConsistentRead": True}
    assert type(settled(here, begin(here, "GetItem", consistent))) is ReadTicket
    with botocache.refresh():
        assert type(settled(here, begin(here, "GetItem", other))) is ReadTicket
    with botocache.bypass():
        assert not has_lease(settled(here, begin(here, "GetItem", other)))
    for settings in ({"shadow": True}, {"ttl": 0.0}, {"miss_leases": False}):
        assert not has_lease(get_of(make(**settings), other))
    assert counts(here).taken == 0
    assert has_lease(settled(here, begin(here, "GetItem", other)))


def test_a_read_after_a_write_that_is_made_consistent_takes_one(
    make: Callable[..., Cache],
) -> None:
    here = make(settle=3000.0)
    writing: Any = begin(here, "UpdateItem", UPDATE)
    here.finish(writing, {}, succeeded=True, certain=True)
    ticket = get(here)
    assert has_lease(ticket)
    assert ticket.is_consistent
    plain: Any = here.without_additions(ticket)
    assert has_lease(plain)
    assert not plain.is_consistent
    assert plain.lease is ticket.lease


def test_a_batch_takes_no_lease_and_waits_for_none(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here, there = make(), make()
    asked = get(here)
    keys = {"RequestItems": {"t": {"Keys": [KEY, {"pk": {"S": "b"}}]}}}
    assert isinstance(begin(there, "BatchGetItem", keys), BatchTicket)
    assert not pauses
    assert counts(there).taken == 0
    answer(here, asked)


def test_a_reader_who_was_refused_waits_for_no_entry(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here, there = make(), make()
    there.refuse(get(there), {"Error": {"Code": "AccessDeniedException"}})
    asked = get(here)
    assert type(get(there)) is ReadTicket
    assert not pauses
    answer(here, asked)


def test_answers_that_cannot_be_kept_are_not_asked_for_one_after_another(
    make: Callable[..., Cache], pauses: Pauses
) -> None:
    here = make(negative_ttl=0.0)
    for is_first in (True, False, False):
        ticket = get(here)
        assert has_lease(ticket) is is_first
        answer(here, ticket, {"ResponseMetadata": {}})
    assert not pauses


def test_a_key_is_left_alone_for_a_while_and_no_longer(
    make: Callable[..., Cache],
) -> None:
    now, cache = [5.0], make()
    made = leases.Leases(
        cache._evictions,
        cache._refusals,
        cache._reads.look_again,
        cache.services.brakes,
        clock=lambda: now[0],
    )
    made.set_apart(b"a")
    assert made._is_apart(b"a")
    assert not made._is_apart(b"b")
    now[0] += leases.APART
    assert not made._is_apart(b"a")
    for number in range(3 * leases.MOST_APART):
        made.set_apart(b"%d" % number)
    assert len(made._apart) <= leases.MOST_APART


def test_a_store_that_does_not_lend_makes_no_one_wait(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make(), make()
    asked = get(here)

    def raise_error(*_: object) -> None:
        raise StoreError("no leases today")

    monkeypatch.setattr(DiskStore, "take_lease", raise_error)
    assert type(get(there)) is ReadTicket
    assert not pauses
    assert there.stats().failures == {"lease_failed": 1}
    answer(here, asked)


def test_a_store_that_fails_while_one_waits_ends_the_wait(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make(), make()
    asked = get(here)

    def raise_error(*_: object) -> None:
        raise StoreError("the disk is gone")

    pauses.meanwhile[1] = lambda: monkeypatch.setattr(DiskStore, "load", raise_error)
    assert type(get(there)) is ReadTicket
    assert pauses == [*PAUSES[:2]]
    monkeypatch.undo()
    answer(here, asked)


def test_of_the_reads_of_a_process_one_competes_and_all_get_what_it_finds(
    make: Callable[..., Cache], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make(), make()
    asked, outcomes = get(here), list[object]()

    def read() -> None:
        outcomes.append(get(there))

    others = [threading.Thread(target=read, daemon=True) for _ in range(3)]

    def meanwhile() -> None:
        monkeypatch.setattr(coalescing, "PATIENCE", TIMEOUT)  # for a busy machine
        for other in others:
            other.start()
        (flight,) = there.coalescing._open.values()
        eventually(lambda: len(flight.wakers) == len(others))
        answer(here, asked)

    pauses.meanwhile[1] = meanwhile
    read()
    for other in others:
        other.join(TIMEOUT)
    assert [type(outcome) for outcome in outcomes] == [Hit] * 4
    assert (counts(there).waits, counts(there).served) == (1, 1)
    assert pauses == [*PAUSES[:2]]


def test_without_coalescing_each_read_competes(make: Callable[..., Cache]) -> None:
    here = make(coalesce=False)
    assert has_lease(get(here))
    assert counts(here).taken == 1


def test_what_a_process_asks_for_under_a_lease_reaches_its_other_readers(
    make: Callable[..., Cache],
) -> None:
    here = make()
    asked, outcomes = get(here), list[object]()
    other = threading.Thread(target=lambda: outcomes.append(get(here)), daemon=True)
    other.start()
    (flight,) = here.coalescing._open.values()
    eventually(lambda: bool(flight.wakers))
    answer(here, asked)
    other.join(TIMEOUT)
    assert isinstance(outcomes[0], Hit)


def test_each_look_at_a_server_has_a_deadline_of_its_own(
    pauses: Pauses,
    valkey: ValkeyServer,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timeout = 0.2
    caches = []
    for _ in range(2):
        url = valkey.url
        store = open_store_at(url, namespace=namespace, timeout=timeout, settle=0.0)
        eventually(lambda store=store: _loads(store))  # type: ignore[misc]  # a default
        caches.append(Cache(store, Settings(url=url, miss_leases=True, settle=0.0)))
    here, there = caches
    asked = get(here)
    monkeypatch.setattr(counts(there), "_clock", lambda: 0.0)  # the wait is not over
    slow = timeout * 1.2
    pauses.meanwhile[0] = lambda: time.sleep(slow)  # real: connections have its clock
    pauses.meanwhile[1] = lambda: answer(here, asked)
    assert isinstance(get(there), Hit)
    for cache in caches:
        cache.close()


def _loads(store: Any) -> bool:
    try:
        store.load(bytes(16), [])
    except StoreError:  # it is still being connected to
        return False
    return True


def test_a_store_without_leases_is_asked_for_none() -> None:
    settings = Settings(url="memory:", miss_leases=True)
    assert Cache(MemoryStore(), settings).leases is None
