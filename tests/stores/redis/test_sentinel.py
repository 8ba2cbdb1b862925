"""The store behind real Sentinels: whoever is the primary is used, and no one else."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from redis.sentinel import Sentinel as Manager

from botocache._coherence import EvictionRequest, Loaded
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreError
from botocache.stores.clock import machine_clock
from botocache.stores.protocol import Store
from botocache.stores.redis.commands import pack
from botocache.stores.redis.connections import ServerConnections
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.urls import connections_of_url
from tests.support.digests import key, tag
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually
from tests.support.tcp_proxy import TcpProxy, running_proxy
from tests.support.threads import no_thread
from tests.support.valkey_sentinel import SERVICE, Service, running_service
from tests.support.valkey_server import free_port

KEY, TAG = key("an entry"), tag("a")
PING = pack((b"PING",))
TAGS = [TAG, tag_digest(EVERYTHING)]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service whose primary stays the same."""
    with running_service() as made:
        yield made


def opened(url: str, namespace: str, client: Any = None) -> Store:
    return open_store_at(
        url,
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
        longest_ttl=60.0,
        client=client,
    )


def fill(store: Store) -> Loaded:
    """Fill an entry; return it as it is found then."""
    before = store.load(KEY, TAGS)
    store.fill(KEY, b"entry", 60.0, TAGS)
    found = store.load(KEY, TAGS)
    assert found.entry == b"entry"
    assert found.snapshot == before.snapshot
    return found


def assert_works(store: Store) -> None:
    snapshot = fill(store).snapshot
    store.evict(EvictionRequest([TAG], 0.0))
    after = store.load(KEY, TAGS)
    assert after.snapshot != snapshot
    store.close()


def keeps(service: Service, namespace: str) -> bool:
    """Tell whether the present primary has the tag's generation."""
    name = Keys(namespace).generation(TAG).decode()
    return service.primary.command("EXISTS", name) == b":1\r\n"


def test_sentinels_lead_to_their_primary(service: Service, namespace: str) -> None:
    store = opened(service.url(), namespace)
    assert_works(store)
    assert keeps(service, namespace)
    assert f"/{SERVICE} " in repr(store)


def test_a_client_of_sentinels_leads_to_their_primary(
    service: Service, namespace: str
) -> None:
    manager = Manager([("127.0.0.1", service.sentinels[0].port)])  # type: ignore[no-untyped-call]  # redis-py's
    client = manager.master_for(SERVICE)  # type: ignore[no-untyped-call]  # as above
    assert_works(opened("", namespace, client))
    assert keeps(service, namespace)


def test_one_sentinel_that_answers_is_enough(service: Service, namespace: str) -> None:
    url = service.url().replace("://", "://127.0.0.1:1,")
    assert_works(opened(url, namespace))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://:s3cret@{place}/other", "No master found for 'other'"),
        ("redis+sentinel://:s3cret@127.0.0.1:1/shop", "No master found for 'shop'"),
    ],
)
def test_what_sentinels_cannot_lead_to_is_said_without_passwords(
    url: str, said: str, service: Service, namespace: str
) -> None:
    place = f"127.0.0.1:{service.sentinels[0].port}"
    store = opened(url.format(place=place), namespace)
    with pytest.raises(StoreError, match=said) as raised:
        store.load(KEY, TAGS)
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in repr(store)
    store.close()


def follow(service: Service, store: Store, namespace: str, before: Loaded) -> None:
    """Use a store until it has come to the new primary. StoreErrors are all it raises.

    Nothing from before is served there.
    """

    def has_come() -> bool:
        try:
            store.evict(EvictionRequest([TAG], 0.0))
        except StoreError:
            return False
        name = Keys(namespace).generation(TAG).decode()
        state = service.primary.command("GET", name)
        marked = (
            store.evict(EvictionRequest([TAG], 0.0))
            .evicted[TAG]
            .previous_generation.to_bytes(8, "little")
        )
        return marked in state

    eventually(has_come)
    after = store.load(KEY, TAGS)
    assert before.snapshot[1] != after.snapshot[1]  # which stands for everything


@pytest.mark.parametrize("kind", ["url", "client"])
def test_a_failover_on_command_is_followed(kind: str, namespace: str) -> None:
    with running_service() as service:
        client: Any = None
        if kind == "client":
            manager = Manager([("127.0.0.1", service.sentinels[0].port)])  # type: ignore[no-untyped-call]  # redis-py's
            client = manager.master_for(SERVICE)  # type: ignore[no-untyped-call]  # as above
        store = opened(service.url(), namespace, client)
        before = fill(store)
        service.fail_over()
        follow(service, store, namespace, before)
        assert_works(store)


def test_a_primary_that_is_killed_is_replaced_with_three_sentinels_and_a_password(
    namespace: str,
) -> None:
    with running_service(sentinels=3, password="s3cret") as service:
        store = opened(service.url(), namespace)
        before = fill(store)
        service.kill_primary()
        follow(service, store, namespace, before)
        assert_works(store)
        for url in (
            service.url().replace(":s3cret@", ":wr0ng@"),
            service.url().replace("sentinel_password=s3cret", ""),
        ):
            refused = opened(url, namespace)
            with pytest.raises(StoreError, match=r"Authentication|No master") as raised:
                refused.load(KEY, TAGS)
            assert "wr0ng" not in str(raised.value)
            assert "s3cret" not in str(raised.value)
            refused.close()


# --- who the primary is, is believed for a moment -----------------------------------


def test_the_old_primary_is_left_though_it_goes_on(namespace: str) -> None:
    """For ten seconds a Sentinel lets it go on as a primary, and all its clients."""
    with running_service() as service:
        readers = [opened(service.url(), namespace) for _ in range(2)]
        fill(readers[0])
        old, seen = service.primary, readers[1].load(KEY, TAGS).snapshot
        service.fail_over()
        eventually(lambda: readers[0].load(KEY, TAGS).snapshot[1] != seen[1])
        eventually(lambda: readers[1].load(KEY, TAGS).snapshot[1] != seen[1])
        assert b"role:master" in old.command("INFO", "replication")
        for reader in readers:
            reader.close()


@pytest.fixture
def sentinel(service: Service) -> Iterator[TcpProxy]:
    """A proxy before the Sentinel."""
    with running_proxy(service.sentinels[0].port) as proxy:
        yield proxy


@pytest.fixture
def link(sentinel: TcpProxy) -> Iterator[ServerConnections]:
    """A link that has a connection, and believes the Sentinel until a test says."""
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}/0"
    made = ServerConnections(
        connections_of_url(url, TIMEOUT)[1], lambda *_: None, TIMEOUT
    )
    assert made.ask(PING, 1) == [b"PONG"]
    believe(made)
    yield made
    made.close()


def believe(
    link: ServerConnections, *, for_long: bool = True, until_due: bool = True
) -> None:
    """Set for how long a link believes the Sentinel."""
    link._lease_of_sentinels._until = machine_clock() + TIMEOUT if for_long else 0.0
    link._lease_of_sentinels._due = machine_clock() + TIMEOUT if until_due else 0.0


def questions(sentinel: TcpProxy) -> int:
    """Return how often the Sentinel was asked who the primary is."""
    return sentinel.commands.count(b"SENTINEL")


def test_sentinels_are_asked_again_behind_the_calls(
    link: ServerConnections, sentinel: TcpProxy
) -> None:
    (connection,) = link._idle
    asked = questions(sentinel)
    assert link.ask(PING, 1) == [b"PONG"]
    assert questions(sentinel) == asked
    sentinel.hold_replies()
    believe(link, until_due=False)
    assert link.ask(PING, 1) == [b"PONG"]  # and nobody has answered
    sentinel.release_replies()
    eventually(lambda: link._lease_of_sentinels._due > 0.0)
    assert questions(sentinel) > asked
    assert [*link._idle] == [connection]


def test_after_a_pause_the_sentinels_are_asked_first(
    link: ServerConnections, sentinel: TcpProxy
) -> None:
    (connection,) = link._idle
    asked = questions(sentinel)
    believe(link, for_long=False, until_due=False)
    assert link.ask(PING, 1) == [b"PONG"]
    assert questions(sentinel) > asked
    assert [*link._idle] == [connection]


def test_nothing_is_asked_of_a_primary_that_no_sentinel_confirms(
    link: ServerConnections, sentinel: TcpProxy
) -> None:
    (connection,) = link._idle
    sentinel.refuse()
    sentinel.cut()
    believe(link, for_long=False, until_due=False)
    with pytest.raises(StoreError, match="No master found"):
        link.ask(PING, 1)
    assert not connection._sock
    sentinel.heal()
    assert link.ask(PING, 1) == [b"PONG"]


def test_a_call_that_waited_for_sentinels_in_vain_does_not_wait_again(
    link: ServerConnections, sentinel: TcpProxy
) -> None:
    sentinel.swallow()
    asked = questions(sentinel)
    link._patience = 0.2
    believe(link, for_long=False, until_due=False)
    with pytest.raises(StoreError, match="longer than"):
        link.ask(PING, 1)
    assert questions(sentinel) <= asked + 1


def test_another_primary_ends_what_leads_to_the_one_before(
    link: ServerConnections, service: Service
) -> None:
    (connection,) = link._idle
    link._lease_of_sentinels._address = ("127.0.0.1", 1)
    believe(link, for_long=False, until_due=False)
    assert link.ask(PING, 1) == [b"PONG"]
    assert not connection._sock
    assert link._lease_of_sentinels._address == ("127.0.0.1", service.primary.port)
    assert str(service.primary.port) in repr(link._lease_of_sentinels)


def test_another_primary_is_believed_in_once_it_was_met_and_greeted(
    link: ServerConnections, service: Service
) -> None:
    deadline = time.monotonic() + TIMEOUT
    link._lease_of_sentinels._address = ("127.0.0.1", 1)
    believe(link, for_long=False, until_due=False)
    for _ in range(2):
        assert not link._lease_of_sentinels.lasts(deadline)
        assert not link._idle
    when_greeted: list[bool] = []
    link._handshake = lambda _: when_greeted.append(
        link._lease_of_sentinels.lasts(deadline)
    )
    assert link.ask(PING, 1) == [b"PONG"]
    assert when_greeted == [False]
    assert link._lease_of_sentinels.lasts(deadline)


def test_a_connection_to_another_primary_ends_those_that_were_made_before(
    link: ServerConnections,
) -> None:
    (connection,) = link._idle
    link._lease_of_sentinels._address = ("127.0.0.1", 1)
    assert link.try_out(PING, 1) == [b"PONG"]
    assert not connection._sock


def test_without_threads_no_primary_is_confirmed(
    link: ServerConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe(link, for_long=False, until_due=False)
    link._patience = 0.2
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(StoreError, match="can't start new thread"):
        link.ask(PING, 1)
    monkeypatch.undo()
    link._patience = TIMEOUT
    assert link.ask(PING, 1) == [b"PONG"]


def test_one_question_to_the_sentinels_serves_all_simultaneous_calls(
    link: ServerConnections, sentinel: TcpProxy
) -> None:
    asked = questions(sentinel)
    sentinel.hold_replies()
    believe(link, for_long=False, until_due=False)
    deadline = time.monotonic() + TIMEOUT
    threads = [
        threading.Thread(target=link._lease_of_sentinels.lasts, args=(deadline,))
        for _ in "abc"
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: sentinel.unanswered > 0)
    sentinel.release_replies()
    for thread in threads:
        thread.join(TIMEOUT)
    assert link._lease_of_sentinels._until > 0.0
    assert questions(sentinel) <= asked + len(threads) - 1


def test_a_connection_whose_reply_is_late_is_ended_at_once(
    link: ServerConnections,
) -> None:
    """redis-py leaves those open that Sentinels led to."""
    (connection,) = link._idle
    connection._sock.settimeout(0.05)
    with pytest.raises(StoreError, match="Timeout"):
        link.ask(pack((b"BLPOP", b"nothing", b"0")), 1)
    assert not connection._sock


def test_a_primary_without_sentinels_is_the_primary_for_ever(
    service: Service,
) -> None:
    _, make = connections_of_url(f"redis://127.0.0.1:{service.primary.port}", TIMEOUT)
    link = ServerConnections(make, lambda *_: None, TIMEOUT)
    assert link.ask(PING, 1) == [b"PONG"]
    assert link.is_confirmed()
    assert link._lease is None  # it is not asked
    link.close()


def test_sentinels_that_are_down_are_no_reason_to_show_their_password() -> None:
    url = f"redis+sentinel://app:s3cret@127.0.0.1:{free_port()}/shop/0"
    store = opened(f"{url}?sentinel_password=s3cret2", "default")
    with closing(store), pytest.raises(StoreError) as raised:
        store.evict(EvictionRequest([TAG], 0.0))
    # Without redis-py's clients, which some versions show with their passwords.
    assert str(raised.value) == "MasterNotFoundError: No master found for 'shop'"
